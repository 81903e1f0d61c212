#!/usr/bin/env bash
#
# http.cookiejar (CPython 3.11) keeps a cookie that http://localhost sets with Domain=localhost, and never sends it.
#
# Expected: it goes back to localhost. RFC 6265, section 5.3, step 6, stores it with the domain localhost, which section
# 5.1.3 says an identical host matches (if localhost counts as a public suffix, step 5 makes it a cookie for this host
# alone).
# Seen: when it sends, the jar calls a host without a dot "localhost.local", and finds that ".localhost" does not match
# it.
#
#   seen    : Domain=localhost not sent, no Domain sent
#
# Why it matters: a development server whose configuration names the cookie's domain works in the browser, and a script
# with requests or httpx is never logged in there.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check requests==2.34.2
cd "$tmp"
timeout 60 venv/bin/python - <<'PY'
import platform
import socket
import sys
import threading

import requests


def answer(raw):
    """Answers every request (none has a body) with the bytes raw; returns the port and the list of accepted connections."""
    listener, accepted = socket.create_server(("127.0.0.1", 0)), []

    def serve(peer):
        with peer:
            while peer.recv(65536):
                peer.sendall(raw)

    def accept():
        while True:
            accepted.append(listener.accept()[0])
            threading.Thread(target=serve, args=(accepted[-1],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1], accepted


seen = []
for attribute in "; Domain=localhost", "":
    port, _ = answer(f"HTTP/1.1 204 No Content\r\nSet-Cookie: sid=1; Path=/{attribute}\r\n\r\n".encode())
    with requests.Session() as session:
        session.trust_env = False
        session.get(f"http://localhost:{port}/", timeout=10)
        again = session.get(f"http://localhost:{port}/", timeout=10).request
        seen.append("sent" if "Cookie" in again.headers else "not sent")
print("version : CPython", platform.python_version(), "with requests", requests.__version__)
print("expected: sent in both cases (RFC 6265, sections 5.1.3 and 5.3)")
print(f"seen    : Domain=localhost {seen[0]}, no Domain {seen[1]}")
if seen != ["not sent", "sent"]:
    sys.exit("changed: the cookie is sent")
PY

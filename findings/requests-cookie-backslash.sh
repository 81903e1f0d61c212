#!/usr/bin/env bash
#
# requests 2.34.2 takes the quotation marks out of a quoted cookie value: every \" in it is removed before the cookie is
# sent back.
#
# Expected: the value as the server set it. RFC 6265, section 5.2, gives the octets after "=" no meaning, section 5.4
# sends them as stored. http.cookies, and so Django and Werkzeug, write values with quotation marks, JSON for one, in
# just this way.
# Seen: requests sends another value; httpx, over the same http.cookiejar, sends the right one.
#
#   seen    : requests 'prefs="{theme: dark}"'
#             httpx    'prefs="{\\"theme\\": \\"dark\\"}"'
#
# Why it matters: the application gets a value that is no JSON any more, and the user is logged out or loses settings.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check requests==2.34.2 httpx==0.28.1
cd "$tmp"
timeout 60 venv/bin/python - <<'PY'
import socket
import sys
import threading

import httpx
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


value = '"{\\"theme\\": \\"dark\\"}"'
port, _ = answer(f"HTTP/1.1 204 No Content\r\nSet-Cookie: prefs={value}; Path=/\r\n\r\n".encode())
url = f"http://127.0.0.1:{port}/"
seen = []
with requests.Session() as session, httpx.Client(trust_env=False) as client:
    session.trust_env = False
    session.get(url, timeout=10)
    seen.append(session.get(url, timeout=10).request.headers["Cookie"])
    client.get(url)
    seen.append(client.get(url).request.headers["Cookie"])
print("version :", requests.__version__)
print("expected:", repr("prefs=" + value), "(RFC 6265, sections 5.2 and 5.4)")
print("seen    : requests", repr(seen[0]))
print("          httpx   ", repr(seen[1]))
if seen != ['prefs="{theme: dark}"', "prefs=" + value]:
    sys.exit("changed: the value is no longer altered in this way")
PY

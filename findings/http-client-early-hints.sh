#!/usr/bin/env bash
#
# http.client (CPython 3.11), and so urllib3 2.8.0 and requests 2.34.2, takes 103 Early Hints for the answer.
#
# Expected: 200. RFC 9110, section 15.2: a client must be able to parse one or more 1xx responses before the final one,
# even if it does not expect them. RFC 8297 defines 103; Node's response.writeEarlyHints() sends it over HTTP/1.1.
# Seen: status 103 with an empty body; http.client passes over 100 and no other interim answer. httpx returns the 200.
#
#   seen    : requests 103 b'', httpx 200 b'hello'
#
# Why it matters: response.ok is True and the body is empty, so a program goes on as if the server had said nothing.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check requests==2.34.2 urllib3==2.8.0 httpx==0.28.1
cd "$tmp"
timeout 60 venv/bin/python - <<'PY'
import platform
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


hints = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload; as=style\r\n\r\n"
port, _ = answer(hints + b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
url = f"http://127.0.0.1:{port}/"
one, other = requests.get(url, proxies={"http": ""}, timeout=10), httpx.get(url, trust_env=False)
print("version : CPython", platform.python_version(), "with requests", requests.__version__)
print("expected: 200 b'hello' (RFC 9110, section 15.2)")
print(f"seen    : requests {one.status_code} {one.content}, httpx {other.status_code} {other.content}")
if (one.status_code, one.content, other.status_code) != (103, b"", 200):
    sys.exit("changed: the interim answer is no longer taken for the final one")
PY

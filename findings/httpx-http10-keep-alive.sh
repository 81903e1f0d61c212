#!/usr/bin/env bash
#
# httpx 0.28.1 (h11 0.16.0) never keeps a connection to a server that answers HTTP/1.0 with Connection: keep-alive.
#
# Expected: one connection for two requests. RFC 9112, section 9.3: with the keep-alive option in an HTTP/1.0 response
# the connection persists if the recipient wishes so; requests, aiohttp and curl do.
# Seen: h11 goes to MUST_CLOSE after every HTTP/1.0 message, so each request opens a connection.
#
#   seen    : connections for 2 requests: requests 1, httpx 2
#
# Why it matters: appliances and old daemons answer so; each request to them costs a connection, with https a handshake.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check httpx==0.28.1 h11==0.16.0 requests==2.34.2 urllib3==2.8.0
cd "$tmp"
timeout 60 venv/bin/python - <<'PY'
import socket
import sys
import threading

import h11
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


session = requests.Session()
session.trust_env = False
seen = []
for client in session, httpx.Client(trust_env=False):
    port, accepted = answer(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello")
    with client:
        for _ in range(2):
            client.get(f"http://127.0.0.1:{port}/", timeout=10)
    seen.append(len(accepted))
print("version : httpx", httpx.__version__, "h11", h11.__version__)
print("expected: 1 connection for 2 requests (RFC 9112, section 9.3)")
print(f"seen    : connections for 2 requests: requests {seen[0]}, httpx {seen[1]}")
if seen != [1, 2]:
    sys.exit("changed: the connection is kept, or requests does not keep it")
PY

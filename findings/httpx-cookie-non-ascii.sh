#!/usr/bin/env bash
#
# httpx 0.28.1: one cookie with a byte above 127 makes every later request to that site fail, with a
# UnicodeEncodeError.
#
# Expected: 200 each time, as from requests. RFC 6265, section 5.2, has a client take a cookie's value as the octets
# that it is, whatever servers should send (section 4.1.1), and section 5.4 has it send them back.
# Seen: the cookie is read as Latin-1 and written as ASCII, before anything is sent.
#
#   seen    : requests 200, 200, 200; httpx 200, UnicodeEncodeError, UnicodeEncodeError
#
# Why it matters: a site that keeps a user's name in a cookie serves one request per client; `except httpx.HTTPError`
# does not see why.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check httpx==0.28.1 requests==2.34.2
cd "$tmp"
timeout 60 venv/bin/python - <<'PY'
import socket
import sys
import threading

import httpx
import requests


def serve(peer):
    with peer:
        while peer.recv(65536):
            peer.sendall("HTTP/1.1 200 OK\r\nSet-Cookie: name=José; Path=/\r\nContent-Length: 0\r\n\r\n".encode())


def accept():
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=accept, daemon=True).start()
url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
session = requests.Session()
session.trust_env = False
seen = {"requests": [], "httpx": []}
for name, client in zip(seen, (session, httpx.Client(trust_env=False))):
    with client:
        for _ in range(3):
            try:
                seen[name].append(str(client.get(url, timeout=10).status_code))
            except Exception as error:  # whatever it is: the name is shown
                seen[name].append(type(error).__name__)
print("version : httpx", httpx.__version__, "requests", requests.__version__)
print("expected: 200 each time (RFC 6265, sections 5.2 and 5.4)")
print("seen    :", "; ".join(f"{name} {', '.join(results)}" for name, results in seen.items()))
if list(seen.values()) != [["200"] * 3, ["200", "UnicodeEncodeError", "UnicodeEncodeError"]]:
    sys.exit("changed: the cookie does no harm, or another")
PY

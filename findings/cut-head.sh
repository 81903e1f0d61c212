#!/usr/bin/env bash
#
# requests 2.34.2 and urllib3 2.8.0 (http.client) give out an answer whose head was cut off in the middle as a complete
# one.
#
# Expected: an error, as httpx has it. RFC 9112, section 8: a response that ends before its header section does is
# incomplete.
# Seen: the end of the connection counts as the end of the head: status 200, the fields that had come, and an empty body.
#
#   seen    : requests: 200, fields ['Content-Type'], 0 bytes
#   seen    : urllib3: 200, fields ['Content-Type'], 0 bytes
#   seen    : httpx: RemoteProtocolError
#
# Why it matters: a server that dies while it answers looks like one that had nothing to say, and no retry is made.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check requests==2.34.2 urllib3==2.8.0 httpx==0.28.1
cd "$tmp"
timeout 60 venv/bin/python - <<'PY'
import socket
import sys
import threading

import httpx
import requests
import urllib3


def serve(listener):
    while True:
        peer = listener.accept()[0]
        while b"\r\n\r\n" not in peer.recv(65536):
            pass
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n")
        peer.close()


listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=serve, args=(listener,), daemon=True).start()
url = "http://127.0.0.1:%d/" % listener.getsockname()[1]
session = requests.Session()
session.trust_env = False
answer = session.get(url, timeout=10)
seen = [f"requests: {answer.status_code}, fields {list(answer.headers)}, {len(answer.content)} bytes"]
answer = urllib3.PoolManager().request("GET", url, timeout=10)
seen.append(f"urllib3: {answer.status}, fields {list(answer.headers)}, {len(answer.data)} bytes")
try:
    seen.append(f"httpx: {httpx.get(url, trust_env=False).status_code}")
except httpx.HTTPError as error:
    seen.append(f"httpx: {type(error).__name__}")
print("version : requests", requests.__version__, "urllib3", urllib3.__version__, "httpx", httpx.__version__)
print("expected: an error from each")
for line in seen:
    print("seen    :", line)
WANTED = [
    "requests: 200, fields ['Content-Type'], 0 bytes",
    "urllib3: 200, fields ['Content-Type'], 0 bytes",
    "httpx: RemoteProtocolError",
]
if seen != WANTED:
    sys.exit(f"changed: {seen}")
PY

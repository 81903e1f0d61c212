#!/usr/bin/env bash
#
# requests 2.34.2 with HTTPAdapter(max_retries=2) repeats requests that the server has answered or is working on.
#
# Expected: by its own documentation max_retries "applies only to failed DNS lookups, socket connections and
# connection timeouts, never to requests where data has made it to the server".
# Seen: the number is handed to urllib3 as Retry(2): a GET that is answered 503 with Retry-After is repeated, and the
# server decides how long the call sleeps meanwhile; a GET whose answer does not come within the timeout is repeated
# too, and what is raised in the end is no Timeout.
#
#   seen    : 503, Retry-After: 1: sent 3 times, 2 s
#             no answer, timeout=0.5: sent 3 times, ConnectionError, a Timeout: False
#
# Why it matters: `timeout=5` does not bound the call (urllib3 obeys a Retry-After of up to 6 h), a slow query is started
# three times, and `except requests.Timeout` does not see it.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check requests==2.34.2 urllib3==2.8.0
cd "$tmp"
timeout 60 venv/bin/python - <<'PY'
import socket
import sys
import threading
import time

import requests
from requests.adapters import HTTPAdapter

received = []


def serve(peer):
    with peer:
        while head := peer.recv(65536):
            received.append(head)
            if head.startswith(b"GET /busy"):
                peer.sendall(b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 5\r\n\r\nhello")


def accept():
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=accept, daemon=True).start()
url = f"http://127.0.0.1:{listener.getsockname()[1]}"
session = requests.Session()
session.trust_env = False
session.mount("http://", HTTPAdapter(max_retries=2))
start = time.monotonic()
status = session.get(f"{url}/busy", timeout=0.5).status_code
busy, took = len(received), time.monotonic() - start
received.clear()
try:
    error = session.get(f"{url}/slow", timeout=0.5)
except requests.RequestException as raised:
    error = raised
slow = len(received), type(error).__name__, isinstance(error, requests.Timeout)
print("version : requests", requests.__version__)
print("expected: sent once in both cases; a Timeout in the second (docstring of HTTPAdapter)")
print(f"seen    : {status}, Retry-After: 1: sent {busy} times, {took:.0f} s")
print(f"          no answer, timeout=0.5: sent {slow[0]} times, {slow[1]}, a Timeout: {slow[2]}")
if (status, busy, took >= 2, slow) != (503, 3, True, (3, "ConnectionError", False)):
    sys.exit("changed: the request is repeated otherwise")
PY

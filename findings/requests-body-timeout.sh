#!/usr/bin/env bash
#
# requests 2.34.2 raises ConnectionError, not Timeout, when the server stalls in the middle of a body.
#
# Expected: requests.Timeout. The project's Quickstart ("Timeouts", and "Errors and Exceptions") says that the timeout
# counts the time without bytes on the socket, and that a request which times out raises a Timeout exception.
# Seen: only a stall before the first byte of the head does so; afterwards the ReadTimeoutError of urllib3 becomes a
# ConnectionError.
#
#   seen    : before the head ReadTimeout, a Timeout: True
#             in the body ConnectionError, a Timeout: False
#
# Why it matters: "except requests.Timeout" catches half of the timeouts, and retries meant for lost connections act on
# slow servers.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check requests==2.34.2
cd "$tmp"
timeout 60 venv/bin/python - <<'PY'
import socket
import sys
import threading
import time

import requests


def stall(raw):
    """A server that sends the bytes raw to one client and nothing after them."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        peer = listener.accept()[0]
        peer.recv(65536)
        peer.sendall(raw)
        time.sleep(10)

    threading.Thread(target=serve, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}/"


seen = []
for raw in b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello":
    try:
        requests.get(stall(raw), timeout=0.5, proxies={"http": ""})
    except requests.RequestException as error:
        seen.append((type(error).__name__, isinstance(error, requests.Timeout)))
print("version :", requests.__version__)
print('expected: a requests.Timeout in both cases (Quickstart, "Errors and Exceptions")')
print(f"seen    : before the head {seen[0][0]}, a Timeout: {seen[0][1]}")
print(f"          in the body {seen[1][0]}, a Timeout: {seen[1][1]}")
if seen != [("ReadTimeout", True), ("ConnectionError", False)]:
    sys.exit("changed: other exceptions are raised")
PY

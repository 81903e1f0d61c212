#!/usr/bin/env bash
#
# httplib2 0.32.1 sends a POST a second time, on a new connection, when the server has read it and closes.
#
# Expected: one POST, and an error. RFC 9110, section 9.2.2: a POST must not be repeated by itself unless it is known
# that it was not applied. This is the first request of a new connection, so there is no idle close that it could have
# met.
# Seen: each request is tried twice (httplib2.RETRIES), whatever its method is.
#
#   seen    : RemoteDisconnected; the server received the POST 2 times over 2 connections
#
# Why it matters: Google's older API clients send by it; what the worker did before it died is done again.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check httplib2==0.32.1
cd "$tmp"
timeout 60 venv/bin/python - <<'PY'
import socket
import sys
import threading

import httplib2

received, accepted = [], 0
listener = socket.create_server(("127.0.0.1", 0))


def serve():
    global accepted
    while True:
        peer = listener.accept()[0]
        accepted += 1
        with peer:
            got = b""
            while not got.endswith(b"order=1"):
                got += peer.recv(65536)
            received.append(got.partition(b"\r\n\r\n")[2])


threading.Thread(target=serve, daemon=True).start()
try:
    outcome = httplib2.Http(timeout=10, proxy_info=None).request(
        f"http://127.0.0.1:{listener.getsockname()[1]}/", "POST", body="order=1"
    )[0].status
except Exception as error:  # whatever it is: the name is shown
    outcome = type(error).__name__
print("version : httplib2", httplib2.__version__)
print("expected: an error, and the POST received once (RFC 9110, section 9.2.2)")
print(f"seen    : {outcome}; the server received the POST {len(received)} times over {accepted} connections")
if (outcome, len(received), accepted) != ("RemoteDisconnected", 2, 2):
    sys.exit("changed: the POST is sent otherwise")
PY

#!/usr/bin/env bash
#
# cheroot 11.1.2 answers a silent new connection with 408, and http.client (CPython 3.11) gives that 408 out as the
# answer to its first request.
#
# Expected: the answer to the request, or a lost connection. RFC 9112, section 9.2: a client that receives data while no
# request is outstanding should not take it for a response and should close.
# Seen: a connection that is opened ahead of need and used after the server's timeout (10 s by default, here 1 s) yields
# a 408 for a request that the server never read.
#
#   seen    : GET / after 2.5 s: 408, requests seen by the application: 0
#
# Why it matters: connections opened in advance, or kept by a tunnel, report a slow client where there was none; the
# request was never made.
set -eu
tmp=$(mktemp -d)
server=
stop() { [ -z "$server" ] || { kill -KILL -- "-$server" 2>/dev/null || true; sleep 0.2; }; rm -rf "$tmp"; }
trap stop EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check cheroot==11.1.2
cd "$tmp"
export PORT=$(python3 -c 'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')
cat >app.py <<'PY'
import os

from cheroot.wsgi import Server


def app(environ, start_response):
    with open("calls", "a") as calls:
        calls.write("x")
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hello"]


Server(("127.0.0.1", int(os.environ["PORT"])), app, timeout=1).start()
PY
set -m  # the server gets a process group of its own, so that its children end with it
venv/bin/python app.py >log 2>&1 &
server=$!
disown "$server"
set +m
timeout 60 venv/bin/python - <<'PY'
import http.client
import importlib.metadata
import os
import pathlib
import platform
import sys
import time

connection = http.client.HTTPConnection("127.0.0.1", int(os.environ["PORT"]), timeout=10)
for _ in range(200):
    try:
        connection.connect()
        break
    except ConnectionRefusedError:
        time.sleep(0.1)
time.sleep(2.5)
try:
    connection.request("GET", "/")
    outcome = connection.getresponse().status
except (OSError, http.client.HTTPException) as error:
    outcome = type(error).__name__
calls = len(pathlib.Path("calls").read_text()) if pathlib.Path("calls").exists() else 0
print("version : cheroot", importlib.metadata.version("cheroot"), "CPython", platform.python_version())
print("expected: 200, or an exception (RFC 9112, section 9.2)")
print(f"seen    : GET / after 2.5 s: {outcome}, requests seen by the application: {calls}")
if (outcome, calls) != (408, 0):
    sys.exit("changed: the request gets an answer of its own, or an error")
PY

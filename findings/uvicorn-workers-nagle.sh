#!/usr/bin/env bash
#
# uvicorn 0.54.0 (asyncio, no uvloop): with --workers 2 each request on a kept connection costs about 40 ms, to every
# client.
#
# Expected: what one process needs, about a millisecond. asyncio sets TCP_NODELAY on its connections so that small
# writes leave at once.
# Seen: with --workers the parent makes the listening socket with protocol number 0, CPython 3.11's asyncio sets the
# option only where the number is IPPROTO_TCP, and head and body are two writes: Nagle's algorithm holds the body back
# until the client's kernel, which delays its acknowledgement (RFC 1122, section 4.2.3.2) by 40 ms on Linux, sends one.
# A new connection's first answers are quick.
#
#   seen    : median of 20 requests on one connection: 1 process 1 ms, 2 workers 44 ms
#
# Why it matters: keeping the connection makes such a server slower than a connection per request; TCP_NODELAY on the
# client does not help.
set -eu
tmp=$(mktemp -d)
server=
stop() { [ -z "$server" ] || { kill -KILL -- "-$server" 2>/dev/null || true; sleep 0.2; }; rm -rf "$tmp"; }
trap stop EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check uvicorn==0.54.0 h11==0.16.0
cd "$tmp"
cat >app.py <<'PY'
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})
PY
export PORT1=$(python3 -c 'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')
export PORT=$(python3 -c 'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')
set -m  # the server gets a process group of its own, so that its children end with it
sh -c 'venv/bin/uvicorn --lifespan off --loop asyncio --http h11 --port "$PORT1" app:app &
    exec venv/bin/uvicorn --lifespan off --loop asyncio --http h11 --workers 2 --port "$PORT" app:app' >log 2>&1 &
server=$!
disown "$server"
set +m
timeout 60 venv/bin/python - <<'PY'
import http.client
import importlib.metadata
import os
import platform
import statistics
import sys
import time


def median(port):
    """The median time in milliseconds of 20 GETs on one connection, the first five left out."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    for _ in range(200):
        try:
            connection.connect()
            break
        except ConnectionRefusedError:
            time.sleep(0.1)
    times = []
    for _ in range(25):
        start = time.monotonic()
        connection.request("GET", "/")
        connection.getresponse().read()
        times.append(1000 * (time.monotonic() - start))
    connection.close()
    return statistics.median(times[5:])


one, two = median(int(os.environ["PORT1"])), median(int(os.environ["PORT"]))
print("version : uvicorn", importlib.metadata.version("uvicorn"), "CPython", platform.python_version())
print("expected: about the same for both")
print(f"seen    : median of 20 requests on one connection: 1 process {one:.0f} ms, 2 workers {two:.0f} ms")
if not (one < 20 and 30 < two < 200):
    sys.exit("changed: the workers answer without the delay")
PY

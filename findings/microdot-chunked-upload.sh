#!/usr/bin/env bash
#
# microdot 2.7.0 answers a chunked upload as if its body were empty.
#
# Expected: the body arrives, or 411 or 501. RFC 9112, section 6.1: a server that does not understand a transfer coding
# should answer 501; section 6.3: without a length a server may answer 411.
# Seen: the view is called with an empty body, and answers 200.
#
#   seen    : with Content-Length: 200, 5 bytes; chunked: 200, 0 bytes
#
# Why it matters: a client that streams a file, as requests does with a generator or a pipe, is told that it was stored.
set -eu
tmp=$(mktemp -d)
server=
stop() { [ -z "$server" ] || { kill -KILL -- "-$server" 2>/dev/null || true; sleep 0.2; }; rm -rf "$tmp"; }
trap stop EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check microdot==2.7.0
cd "$tmp"
export PORT=$(python3 -c 'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')
cat >app.py <<'PY'
import os

from microdot import Microdot

app = Microdot()


@app.post("/")
async def length(request):
    return str(len(request.body))


app.run("127.0.0.1", int(os.environ["PORT"]))
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
import sys
import time

seen = {}
for name, body in ("with Content-Length", b"hello"), ("chunked", iter([b"hel", b"lo"])):
    connection = http.client.HTTPConnection("127.0.0.1", int(os.environ["PORT"]), timeout=10)
    for _ in range(200):
        try:
            connection.connect()
            break
        except ConnectionRefusedError:
            time.sleep(0.1)
    connection.request("POST", "/", body, encode_chunked=True)
    response = connection.getresponse()
    seen[name] = response.status, int(response.read())
    connection.close()
print("version : microdot", importlib.metadata.version("microdot"))
print("expected: with Content-Length: 200, 5 bytes; chunked: 200, 5 bytes, or 411, or 501 (RFC 9112, sections 6.1 and 6.3)")
print("seen    :", "; ".join(f"{name}: {status}, {length} bytes" for name, (status, length) in seen.items()))
if seen != {"with Content-Length": (200, 5), "chunked": (200, 0)}:
    sys.exit("changed: the chunked body is read, or refused")
PY

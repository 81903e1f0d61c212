#!/usr/bin/env bash
#
# aiohttp 3.14.5, as a server, sends what a streaming handler writes to HEAD too, without any framing.
#
# Expected: the head only. RFC 9110, section 9.3.2: "the server MUST NOT send content in the response". aiohttp's own
# documentation: add_get() has allow_head=True and so serves HEAD by the handler of GET.
# Seen: web.Response leaves its body out, web.StreamResponse does not; its chunks lose their framing instead, and the
# connection is kept.
#
#   seen    : behind the head: web.Response b'', web.StreamResponse b'hello'
#
# Why it matters: a HEAD of a download, by a link checker or a health check, puts bytes in the place of the next answer's status line.
set -eu
tmp=$(mktemp -d)
server=
stop() { [ -z "$server" ] || { kill -KILL -- "-$server" 2>/dev/null || true; sleep 0.2; }; rm -rf "$tmp"; }
trap stop EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check aiohttp==3.14.5
cd "$tmp"
export PORT=$(python3 -c 'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')
cat >app.py <<'PY'
import os

from aiohttp import web


async def whole(request):
    return web.Response(text="hello")


async def streamed(request):
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"hel")
    await response.write(b"lo")
    return response


app = web.Application()
app.router.add_get("/whole", whole)
app.router.add_get("/streamed", streamed)
web.run_app(app, host="127.0.0.1", port=int(os.environ["PORT"]))
PY
set -m  # the server gets a process group of its own, so that its children end with it
venv/bin/python app.py >log 2>&1 &
server=$!
disown "$server"
set +m
timeout 60 venv/bin/python - <<'PY'
import importlib.metadata
import os
import socket
import sys
import time

PORT = int(os.environ["PORT"])


def behind(path):
    """What comes behind the head of the answer to HEAD within a second; the connection has to be kept."""
    for _ in range(200):
        try:
            peer = socket.create_connection(("127.0.0.1", PORT), timeout=10)
            break
        except ConnectionRefusedError:
            time.sleep(0.1)
    with peer:
        peer.sendall(f"HEAD {path} HTTP/1.1\r\nHost: a.test\r\n\r\n".encode())
        got = b""
        while b"\r\n\r\n" not in got:
            got += peer.recv(65536)
        peer.settimeout(1)
        try:
            while data := peer.recv(65536):
                got += data
            return "closed"
        except TimeoutError:
            return str(got.partition(b"\r\n\r\n")[2])


seen = behind("/whole"), behind("/streamed")
print("version :", importlib.metadata.version("aiohttp"))
print("expected: b'' for both (RFC 9110, section 9.3.2)")
print(f"seen    : behind the head: web.Response {seen[0]}, web.StreamResponse {seen[1]}")
if seen != ("b''", "b'hello'"):
    sys.exit("changed: another answer to HEAD")
PY

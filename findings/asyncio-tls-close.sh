#!/usr/bin/env bash
#
# An asyncio TLS server (here aiohttp 3.14.5 on CPython 3.11) announces the idle close with close_notify, but closes TCP
# only 30 s later.
#
# Expected: both at about the same time. RFC 5246, section 7.2.1, and RFC 8446, section 6.1: who initiates the close
# need not wait for the answering close_notify. aiohttp's keepalive_timeout is the time after which it closes (here 1 s
# instead of the default 75 s).
# Seen: asyncio waits ssl_shutdown_timeout (30 s by default) for the client's close_notify, and holds the socket open
# meanwhile.
#
#   seen    : close_notify after 1 s, FIN 30 s after that
#
# Why it matters: in these 30 s a peek at the socket shows 24 bytes and no end of file, and a write succeeds: a pool
# that tests with select and MSG_PEEK takes the connection for alive. The server, too, waits 30 s at its end for idle
# clients (uvicorn and hypercorn do the same).
set -eu
tmp=$(mktemp -d)
server=
stop() { [ -z "$server" ] || { kill -KILL -- "-$server" 2>/dev/null || true; sleep 0.2; }; rm -rf "$tmp"; }
trap stop EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check aiohttp==3.14.5 trustme==1.2.1
cd "$tmp"
export PORT=$(python3 -c 'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')
cat >app.py <<'PY'
import os
import ssl

import trustme
from aiohttp import web


async def hello(request):
    return web.Response(text="hello")


authority = trustme.CA()
authority.cert_pem.write_to_path("ca.pem")
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
authority.issue_cert("localhost").configure_cert(context)
app = web.Application()
app.router.add_get("/", hello)
web.run_app(app, host="127.0.0.1", port=int(os.environ["PORT"]), ssl_context=context, keepalive_timeout=1, print=None)
PY
set -m  # the server gets a process group of its own, so that its children end with it
venv/bin/python app.py >log 2>&1 &
server=$!
disown "$server"
set +m
timeout 100 venv/bin/python - <<'PY'
import os
import platform
import socket
import ssl
import sys
import time
from importlib.metadata import version

PORT = int(os.environ["PORT"])


def connect():
    """A connection to the server, as soon as it listens."""
    for _ in range(200):
        try:
            return socket.create_connection(("127.0.0.1", PORT), timeout=10)
        except ConnectionRefusedError:
            time.sleep(0.1)
    sys.exit("the server did not start")


raw = connect()
incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
tls = ssl.create_default_context(cafile="ca.pem").wrap_bio(incoming, outgoing, server_hostname="localhost")


def step(action):
    """What action() returns, after as many rounds with the server as it takes."""
    while True:
        try:
            result = action()
            raw.sendall(outgoing.read())
            return result
        except ssl.SSLWantReadError:
            raw.sendall(outgoing.read())
            incoming.write(raw.recv(65536))
        except ssl.SSLZeroReturnError:
            return b""


raw.settimeout(60)
step(tls.do_handshake)
step(lambda: tls.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"))
got = b""
while not got.endswith(b"hello"):
    got += step(lambda: tls.read(65536))
start = time.monotonic()
assert step(lambda: tls.read(65536)) == b"", "data in place of close_notify"
notified = time.monotonic()
while raw.recv(65536):
    pass
notify, fin = notified - start, time.monotonic() - notified
print("version : aiohttp", version("aiohttp"), "CPython", platform.python_version())
print("expected: close_notify after 1 s, FIN at about the same time (RFC 8446, section 6.1)")
print(f"seen    : close_notify after {notify:.0f} s, FIN {fin:.0f} s after that")
if not 20 < fin < 40:
    sys.exit("changed: TCP is closed at another time")
PY

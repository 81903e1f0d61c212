#!/usr/bin/env bash
#
# Werkzeug 3.1.9, threaded (what `flask run` starts), answers an HTTP/1.0 request with a chunked body.
#
# Expected: a body until the close. RFC 9112, section 6.1: a server must not send Transfer-Encoding unless the request
# is HTTP/1.1 or later.
# Seen: for a response without a length the server looks at its own version, not at the request's, so chunk sizes arrive
# as content.
#
#   seen    : Transfer-Encoding: chunked, body b'3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n'
#
# Why it matters: clients and proxies that speak HTTP/1.0 know no chunks: streamed pages get numbers in them.
set -eu
tmp=$(mktemp -d)
server=
stop() { [ -z "$server" ] || { kill -KILL -- "-$server" 2>/dev/null || true; sleep 0.2; }; rm -rf "$tmp"; }
trap stop EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check werkzeug==3.1.9
cd "$tmp"
export PORT=$(python3 -c 'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')
cat >app.py <<'PY'
import os

from werkzeug.serving import run_simple


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return iter([b"hel", b"lo"])


run_simple("127.0.0.1", int(os.environ["PORT"]), app, threaded=True)
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


def connect():
    """A connection to the server, as soon as it listens."""
    for _ in range(200):
        try:
            return socket.create_connection(("127.0.0.1", PORT), timeout=10)
        except ConnectionRefusedError:
            time.sleep(0.1)
    sys.exit("the server did not start")


with connect() as peer:
    peer.sendall(b"GET / HTTP/1.0\r\nHost: a.test\r\n\r\n")
    got = b""
    while data := peer.recv(65536):
        got += data
head, _, body = got.partition(b"\r\n\r\n")
coding = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:]).get("Transfer-Encoding")
print("version :", importlib.metadata.version("werkzeug"))
print("expected: Transfer-Encoding: None, body b'hello' (RFC 9112, section 6.1)")
print(f"seen    : Transfer-Encoding: {coding}, body {body}")
if (coding, body) != ("chunked", b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"):
    sys.exit("changed: HTTP/1.0 gets another answer")
PY

#!/usr/bin/env bash
#
# uWSGI 2.0.30 with --http, as in its quick start, answers HTTP/1.1 without Connection: close and closes at once.
#
# Expected: the close option. RFC 9112, section 9.3: a server that does not support persistent connections must send it
# in every response that is not interim.
# Seen: a response with a length, no Connection field, and the end of the stream right behind it, although the client
# asked for nothing.
#
#   seen    : HTTP/1.1 200 OK, Connection: None, then closed
#
# Why it matters: each pooled connection to such a server is dying; a client that is quick to write again loses the
# request.
set -eu
tmp=$(mktemp -d)
server=
stop() { [ -z "$server" ] || { kill -KILL -- "-$server" 2>/dev/null || true; sleep 0.2; }; rm -rf "$tmp"; }
trap stop EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check pyuwsgi==2.0.30.post1
cd "$tmp"
export PORT=$(python3 -c 'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')
cat >app.py <<'PY'
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hello"]


application = app
PY
set -m  # the server gets a process group of its own, so that its children end with it
venv/bin/uwsgi --http "127.0.0.1:$PORT" --module app:app >log 2>&1 &
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
    peer.sendall(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
    got = b""
    while b"hello" not in got:
        got += peer.recv(65536)
    lines = got.decode().partition("\r\n\r\n")[0].split("\r\n")
    option = dict(line.split(": ", 1) for line in lines[1:]).get("Connection")
    peer.settimeout(1)
    try:
        end = "closed" if peer.recv(1) == b"" else "more bytes"
    except TimeoutError:
        end = "open"
print("version : pyuwsgi", importlib.metadata.version("pyuwsgi"))
print("expected: Connection: close, or an open connection (RFC 9112, section 9.3)")
print(f"seen    : {lines[0]}, Connection: {option}, then {end}")
if (option, end) != (None, "closed"):
    sys.exit("changed: the close is announced, or does not come")
PY

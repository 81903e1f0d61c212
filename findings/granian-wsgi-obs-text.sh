#!/usr/bin/env bash
#
# granian 2.8.9, WSGI interface: a request field with a byte above 127 reaches the application as an empty string.
#
# Expected: the bytes, decoded as Latin-1. RFC 9110, section 5.5: octets above 127 in field values are opaque data; PEP
# 3333, "Unicode Issues": WSGI strings carry bytes as ISO-8859-1. Its own ASGI interface passes the bytes on, as
# gunicorn and waitress do in WSGI.
# Seen: the field is there, and empty.
#
#   seen    : wsgi '', asgi b'caf\xe9'
#
# Why it matters: requests and others send str headers as Latin-1; a file name or a user name vanishes on its way,
# without an error.
set -eu
tmp=$(mktemp -d)
server=
stop() { [ -z "$server" ] || { kill -KILL -- "-$server" 2>/dev/null || true; sleep 0.2; }; rm -rf "$tmp"; }
trap stop EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check granian==2.8.9
cd "$tmp"
cat >app.py <<'PY'
def wsgi(environ, start_response):
    start_response("200 OK", [])
    return [repr(environ.get("HTTP_X_NAME")).encode()]


async def asgi(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": repr(dict(scope["headers"]).get(b"x-name")).encode()})
PY
export PORT1=$(python3 -c 'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')
export PORT=$(python3 -c 'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')
set -m  # the server gets a process group of its own, so that its children end with it
sh -c 'venv/bin/granian --interface wsgi --port "$PORT1" app:wsgi &
    exec venv/bin/granian --interface asginl --port "$PORT" app:asgi' >log 2>&1 &
server=$!
disown "$server"
set +m
timeout 60 venv/bin/python - <<'PY'
import http.client
import os
import sys
import time
from importlib.metadata import version


def ask(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    for _ in range(200):
        try:
            connection.connect()
            break
        except ConnectionRefusedError:
            time.sleep(0.1)
    connection.request("GET", "/", headers={"X-Name": "caf\u00e9"})
    return connection.getresponse().read().decode()


seen = ask(int(os.environ["PORT1"])), ask(int(os.environ["PORT"]))
print("version :", version("granian"))
print("expected: wsgi 'caf\u00e9', asgi b'caf\\xe9' (RFC 9110, section 5.5; PEP 3333)")
print(f"seen    : wsgi {seen[0]}, asgi {seen[1]}")
if seen != ("''", "b'caf\\xe9'"):
    sys.exit("changed: the value arrives, or asgi loses it too")
PY

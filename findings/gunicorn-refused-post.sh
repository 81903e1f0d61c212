#!/usr/bin/env bash
#
# gunicorn 27.0.1, gthread workers: a request whose body the application does not read is answered with Connection:
# keep-alive, and the connection is then closed, if the body is larger than 64 KB.
#
# Expected: Connection: close. RFC 9112, section 9.6: a sender should send the close option when it intends to close a
# connection; section 9.3: without it, and in HTTP/1.1, the connection persists.
# Seen: gunicorn reads at most 64 KB of what the application left, then gives up without having said so.
#
#   seen    : 30000 bytes: 404, Connection: keep-alive, then open
#             300000 bytes: 404, Connection: keep-alive, then closed
#
# Why it matters: a client with a pool puts the connection back and loses its next request on it; a POST cannot simply
# be sent again.
set -eu
tmp=$(mktemp -d)
server=
stop() { [ -z "$server" ] || { kill -KILL -- "-$server" 2>/dev/null || true; sleep 0.2; }; rm -rf "$tmp"; }
trap stop EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check gunicorn==27.0.1
cd "$tmp"
export PORT=$(python3 -c 'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')
cat >app.py <<'PY'
def app(environ, start_response):
    start_response("404 Not Found", [("Content-Length", "0")])
    return [b""]
PY
set -m  # the server gets a process group of its own, so that its children end with it
venv/bin/gunicorn -k gthread --threads 4 -b "127.0.0.1:$PORT" app:app >log 2>&1 &
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


seen = []
for size in 30_000, 300_000:
    with connect() as peer:
        peer.sendall(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
        head = b""
        while b"\r\n\r\n" not in head:
            head += peer.recv(65536)
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:] if line)
        peer.settimeout(0.5)
        try:
            end = "closed" if peer.recv(1) == b"" else "more bytes"
        except TimeoutError:
            end = "open"
        except ConnectionResetError:
            end = "closed"
        seen.append((size, head.split()[1].decode(), fields["Connection"], end))
print("version :", importlib.metadata.version("gunicorn"))
print("expected: Connection: close where the connection is closed (RFC 9112, sections 9.3 and 9.6)")
for lead, (size, status, option, end) in zip(("seen    :", "         "), seen):
    print(f"{lead} {size} bytes: {status}, Connection: {option}, then {end}")
if [entry[2:] for entry in seen] != [("keep-alive", "open"), ("keep-alive", "closed")]:
    sys.exit("changed: the close is announced, or does not come")
PY

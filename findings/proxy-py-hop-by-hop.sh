#!/usr/bin/env bash
#
# proxy.py 2.4.10 passes Connection, and the fields that it names, on to the origin.
#
# Expected: they end at the proxy. RFC 9110, section 7.6.1: an intermediary must remove the fields that Connection
# names, and Connection itself (or put its own in place); TE and Keep-Alive are of this kind.
# Seen: the origin gets what the client meant for the proxy.
#
#   seen    : Connection: close, TE, X-Hop; TE: trailers; X-Hop: 1
#
# Why it matters: a client that asks the proxy to close makes the proxy's own connection to the origin close too, and
# the origin may send trailers that the proxy was to understand.
set -eu
tmp=$(mktemp -d)
server=
stop() { [ -z "$server" ] || { kill -KILL -- "-$server" 2>/dev/null || true; sleep 0.2; }; rm -rf "$tmp"; }
trap stop EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check proxy.py==2.4.10
cd "$tmp"
export PORT=$(python3 -c 'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')
set -m  # the server gets a process group of its own, so that its children end with it
venv/bin/proxy --hostname 127.0.0.1 --port "$PORT" --num-workers 1 --num-acceptors 1 >log 2>&1 &
server=$!
disown "$server"
set +m
timeout 60 venv/bin/python - <<'PY'
import importlib.metadata
import os
import socket
import sys
import threading
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


received = []


def serve():
    peer = origin.accept()[0]
    with peer:
        while b"\r\n\r\n" not in (head := peer.recv(65536)):
            pass
        received.extend(head.decode().split("\r\n")[1:])
        peer.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello")


origin = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=serve, daemon=True).start()
with connect() as peer:
    url = f"http://127.0.0.1:{origin.getsockname()[1]}/"
    fields = "Connection: close, TE, X-Hop\r\nTE: trailers\r\nX-Hop: 1"
    peer.sendall(f"GET {url} HTTP/1.1\r\nHost: {url[7:-1]}\r\n{fields}\r\n\r\n".encode())
    got = b""
    while not got.endswith(b"hello"):
        if not (data := peer.recv(65536)):
            break
        got += data
seen = [line for line in received if line.lower().split(":")[0] in ("connection", "te", "x-hop")]
print("version :", importlib.metadata.version("proxy.py"))
print("expected: none of Connection: close, TE, X-Hop (RFC 9110, section 7.6.1)")
print("seen    :", "; ".join(seen))
if [line.lower() for line in seen] != ["connection: close, te, x-hop", "te: trailers", "x-hop: 1"]:
    sys.exit("changed: other fields are passed on")
PY

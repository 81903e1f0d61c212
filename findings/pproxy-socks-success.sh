#!/usr/bin/env bash
#
# pproxy 2.7.9 as a SOCKS5 proxy says "succeeded" before it has connected, also where nothing listens.
#
# Expected: reply 05, connection refused. RFC 1928, section 6: the server evaluates the request and returns a reply that
# tells the outcome, and 05 is among them.
# Seen: reply 00 at once, and then the end of the stream.
#
#   seen    : reply 00, then closed
#
# Why it matters: to a client an unreachable target looks like an origin that accepts and hangs up: with https the error
# is one of the TLS handshake, with http "server disconnected", and both blame the wrong party.
set -eu
tmp=$(mktemp -d)
server=
stop() { [ -z "$server" ] || { kill -KILL -- "-$server" 2>/dev/null || true; sleep 0.2; }; rm -rf "$tmp"; }
trap stop EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check pproxy==2.7.9
cd "$tmp"
export PORT=$(python3 -c 'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')
set -m  # the server gets a process group of its own, so that its children end with it
venv/bin/pproxy -l "socks5://127.0.0.1:$PORT" >log 2>&1 &
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


with socket.create_server(("127.0.0.1", 0)) as listener:
    closed_port = listener.getsockname()[1]
with connect() as peer:
    peer.sendall(b"\x05\x01\x00")
    if peer.recv(100) != b"\x05\x00":
        sys.exit("changed: another method is asked for")
    peer.sendall(b"\x05\x01\x00\x01\x7f\x00\x00\x01" + closed_port.to_bytes(2, "big"))
    reply = peer.recv(100)
    end = "closed" if reply and peer.recv(100) == b"" else "more bytes"
print("version :", importlib.metadata.version("pproxy"))
print("expected: reply 05 (RFC 1928, section 6)")
print(f"seen    : reply {reply[1:2].hex()}, then {end}")
if (reply[1:2], end) != (b"\x00", "closed"):
    sys.exit("changed: the reply tells the outcome")
PY

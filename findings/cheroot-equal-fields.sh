#!/usr/bin/env bash
#
# cheroot 11.1.2 (CherryPy's server) keeps the last of several lines of one field, for all fields outside a list of its
# own.
#
# Expected: both values. RFC 9110, section 5.3: several lines of one field are combined, in order, with commas. Prefer
# (RFC 7240, section 2) and tracestate (W3C Trace Context, section 3.3) are list fields that may come in several lines.
# Seen: If-None-Match is combined; of the other two the application sees the last line.
#
#   seen    : If-None-Match: "a", "b"
#             Prefer: wait=10
#             tracestate: two=2
#
# Why it matters: a library that adds a line, for tracing or preferences, silently takes away what the caller had set.
set -eu
tmp=$(mktemp -d)
server=
stop() { [ -z "$server" ] || { kill -KILL -- "-$server" 2>/dev/null || true; sleep 0.2; }; rm -rf "$tmp"; }
trap stop EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check cheroot==11.1.2
cd "$tmp"
export PORT=$(python3 -c 'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')
cat >app.py <<'PY'
import os

from cheroot.wsgi import Server


def app(environ, start_response):
    body = "\n".join(environ["HTTP_" + name] for name in ("IF_NONE_MATCH", "PREFER", "TRACESTATE")).encode()
    start_response("200 OK", [("Content-Length", str(len(body))), ("Connection", "close")])
    return [body]


Server(("127.0.0.1", int(os.environ["PORT"])), app).start()
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


FIELDS = {"If-None-Match": ('"a"', '"b"'), "Prefer": ("return=minimal", "wait=10"), "tracestate": ("one=1", "two=2")}
with connect() as peer:
    lines = [f"{name}: {value}\r\n" for name, values in FIELDS.items() for value in values]
    peer.sendall(f"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n{''.join(lines)}\r\n".encode())
    got = b""
    while data := peer.recv(65536):
        got += data
seen = got.decode().partition("\r\n\r\n")[2].split("\n")
print("version :", importlib.metadata.version("cheroot"))
print("expected:", "; ".join(", ".join(values) for values in FIELDS.values()), "(RFC 9110, section 5.3)")
for lead, name, value in zip(("seen    :", "         ", "         "), FIELDS, seen):
    print(f"{lead} {name}: {value}")
if seen != ['"a", "b"', "wait=10", "two=2"]:
    sys.exit("changed: other lines are combined")
PY

#!/usr/bin/env bash
#
# gunicorn 27.0.1 (gthread, one worker) hands out TLS session tickets that it never accepts.
#
# Expected: the second connection resumes the session. RFC 8446, section 4.6.1: a ticket lets the client resume; a
# server that wants none resumed sends none (SSLContext.num_tickets = 0).
# Seen: gunicorn makes an SSLContext for each connection, and with it a new key for the tickets, so two tickets come
# with each handshake and none is ever known again. A server that makes one context (here Python's own ssl with the same
# certificate) resumes.
#
#   seen    : resumed at gunicorn: 0 of 10, at a server with one context: 10 of 10
#
# Why it matters: each new connection costs the full handshake; with gunicorn's keepalive of 2 s that is nearly each
# request after a pause.
set -eu
tmp=$(mktemp -d)
server=
stop() { [ -z "$server" ] || { kill -KILL -- "-$server" 2>/dev/null || true; sleep 0.2; }; rm -rf "$tmp"; }
trap stop EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check gunicorn==27.0.1 trustme==1.2.1
cd "$tmp"
venv/bin/python -m trustme -q -i localhost
export PORT=$(python3 -c 'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')
cat >app.py <<'PY'
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "5"), ("Connection", "close")])
    return [b"hello"]
PY
set -m  # the server gets a process group of its own, so that its children end with it
venv/bin/gunicorn -k gthread --threads 4 --certfile server.pem --keyfile server.key -b "127.0.0.1:$PORT" app:app >log 2>&1 &
server=$!
disown "$server"
set +m
timeout 60 venv/bin/python - <<'PY'
import importlib.metadata
import os
import socket
import ssl
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


context = ssl.create_default_context(cafile="client.pem")


def visit(port, session):
    """One request on a new connection: was the session resumed, and the session after it."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
        with context.wrap_socket(raw, server_hostname="localhost", session=session) as tls:
            tls.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            while tls.recv(65536):
                pass
            return tls.session_reused, tls.session


def serve(listener, server_context):
    while True:
        raw = listener.accept()[0]
        with server_context.wrap_socket(raw, server_side=True) as tls:
            tls.recv(65536)
            tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")


connect().close()
listener = socket.create_server(("127.0.0.1", 0))
server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
server_context.load_cert_chain("server.pem", "server.key")
threading.Thread(target=serve, args=(listener, server_context), daemon=True).start()
resumed = []
for port in PORT, listener.getsockname()[1]:
    session, reused = visit(port, None)[1], []
    for _ in range(10):
        again, session = visit(port, session)
        reused.append(again)
    resumed.append(sum(reused))
print("version :", importlib.metadata.version("gunicorn"), "on", ssl.OPENSSL_VERSION)
print("expected: 10 of 10 resumed (RFC 8446, section 4.6.1)")
print(f"seen    : resumed at gunicorn: {resumed[0]} of 10, at a server with one context: {resumed[1]} of 10")
if resumed != [0, 10]:
    sys.exit("changed: sessions are resumed at gunicorn, or nowhere")
PY

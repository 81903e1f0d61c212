#!/usr/bin/env bash
#
# httpx 0.28.1 (httpcore 1.0.9) closes connections that it could keep: busy ones count towards
# max_keepalive_connections.
#
# Expected: by httpx's page "Resource Limits" this limit (20 by default) is about keep-alive connections, and another
# (100) about all. 30 threads need 30 connections, of which at most 20 stay once they are idle.
# Seen: with 30 threads each answered request finds more than 20 connections in the pool, all of them busy but one, and
# that one is closed: many more connections than threads are opened.
#
#   seen    : 30 threads, 4 rounds: more connections than 45 (here 106)
#
# Why it matters: a pool that is a little too small turns into almost no pool: a new connection, with https a new
# handshake, for most requests.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check httpx==0.28.1 httpcore==1.0.9
cd "$tmp"
timeout 60 venv/bin/python - <<'PY'
import socket
import sys
import threading
import time

import httpcore
import httpx

accepted = []


def serve(peer):
    with peer:
        while peer.recv(65536):
            time.sleep(0.1)
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")


def accept():
    while True:
        accepted.append(listener.accept()[0])
        threading.Thread(target=serve, args=(accepted[-1],), daemon=True).start()


listener = socket.create_server(("127.0.0.1", 0), backlog=100)
threading.Thread(target=accept, daemon=True).start()
url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
with httpx.Client(trust_env=False) as client:

    def work():
        for _ in range(4):
            client.get(url)

    threads = [threading.Thread(target=work) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
print("version : httpx", httpx.__version__, "httpcore", httpcore.__version__)
print("expected: about 30 connections for 30 threads that are always busy")
print(f"seen    : 30 threads, 4 rounds: more connections than 45 (here {len(accepted)})")
if len(accepted) <= 45:
    sys.exit("changed: connections are kept while others are busy")
PY

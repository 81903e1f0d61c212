#!/usr/bin/env bash
#
# Installing niquests 3.21.2 exchanges the urllib3 under requests: its dependency urllib3-future overwrites the package
# at the next start.
#
# Expected: what pip says. After installing niquests it still lists urllib3 2.8.0, and requests keeps the behaviour it
# had.
# Seen: a .pth file of urllib3-future copies its own package over urllib3's. The file itself says so, and names a way
# round; who installs a program that happens to use niquests reads neither. requests then no longer reuses connections
# to servers that answer HTTP/1.0 keep-alive.
#
#   seen    : before: pip says 2.8.0, imported 2.8.0, 2 requests on 1 connection
#             after:  pip says 2.8.0, imported 2.25.904, 2 requests on 2 connections
#
# Why it matters: two programs in one environment; the second one to be installed changes how the first one speaks HTTP.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check requests==2.34.2 urllib3==2.8.0
cd "$tmp"
cat >look.py <<'PY'
import importlib.metadata
import socket
import threading

import requests
import urllib3


def answer(raw):
    """Answers every request (none has a body) with the bytes raw; returns the port and the list of accepted connections."""
    listener, accepted = socket.create_server(("127.0.0.1", 0)), []

    def serve(peer):
        with peer:
            while peer.recv(65536):
                peer.sendall(raw)

    def accept():
        while True:
            accepted.append(listener.accept()[0])
            threading.Thread(target=serve, args=(accepted[-1],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1], accepted


port, accepted = answer(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello")
with requests.Session() as session:
    session.trust_env = False
    for _ in range(2):
        session.get(f"http://127.0.0.1:{port}/", timeout=10)
print(importlib.metadata.version("urllib3"), urllib3.__version__, len(accepted))
PY
BEFORE=$(timeout 60 venv/bin/python look.py)
venv/bin/pip install -qq --disable-pip-version-check niquests==3.21.2 urllib3-future==2.25.904
AFTER=$(timeout 60 venv/bin/python look.py)
export BEFORE AFTER
timeout 60 venv/bin/python - <<'PY'
import os
import sys

before, after = os.environ["BEFORE"].split(), os.environ["AFTER"].split()
print("version : niquests 3.21.2, urllib3-future 2.25.904, urllib3 2.8.0, requests 2.34.2")
print("expected: the same after the installation as before")
print("seen    : before: pip says {}, imported {}, 2 requests on {} connection".format(*before))
print("          after:  pip says {}, imported {}, 2 requests on {} connections".format(*after))
if (before, after) != (["2.8.0", "2.8.0", "1"], ["2.8.0", "2.25.904", "2"]):
    sys.exit("changed: urllib3 stays what it was, or behaves in another way")
PY

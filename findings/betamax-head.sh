#!/usr/bin/env bash
#
# betamax 0.9.0 with requests 2.34.2 and urllib3 2.8.0 fails on HEAD of anything that has a length.
#
# Expected: the answer that the same call has without betamax. Its README: "Betamax intercepts every request you
# make", and returns what is recorded, or else "it will make the request, record the response and return the
# response".
# Seen: the recorded answer is made again as one to GET: Content-Length says 1234, no body comes, and urllib3 2 finds
# it cut short, at the recording as well as later.
#
#   seen    : without betamax 200 1234, recording ChunkedEncodingError, playing ChunkedEncodingError
#
# Why it matters: the test fails with the error of a broken network, and the code under test is right.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check betamax==0.9.0 requests==2.34.2 urllib3==2.8.0
cd "$tmp"
mkdir cassettes
timeout 60 venv/bin/python - <<'PY'
import importlib.metadata
import socket
import sys
import threading

import betamax
import requests


def serve(peer):
    with peer:
        while peer.recv(65536):
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n")


def accept():
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=accept, daemon=True).start()
url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
session = requests.Session()
session.trust_env = False


def head():
    try:
        response = session.head(url, timeout=10)
        return f"{response.status_code} {response.headers['Content-Length']}"
    except requests.RequestException as error:
        return type(error).__name__


seen = {"without betamax": head()}
for way in "recording", "playing":
    with betamax.Betamax(session, cassette_library_dir="cassettes").use_cassette("head"):
        seen[way] = head()
print("version :", ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("betamax", "requests", "urllib3")))
print("expected: 200 1234 each time")
print("seen    :", ", ".join(f"{way} {what}" for way, what in seen.items()))
if list(seen.values()) != ["200 1234", "ChunkedEncodingError", "ChunkedEncodingError"]:
    sys.exit("changed: HEAD comes out otherwise")
PY

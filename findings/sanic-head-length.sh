#!/usr/bin/env bash
#
# sanic 25.12.1 answers HEAD of a static file with Content-Length: 0.
#
# Expected: the length of the file, or no length. RFC 9110, section 8.6: a server must not send Content-Length in an
# answer to HEAD unless it is the number of octets that a GET would have got.
# Seen: 0, whatever the size of the file is.
#
#   seen    : GET Content-Length 10, HEAD Content-Length 0
#
# Why it matters: downloaders ask for the size by HEAD, to show progress, to split into ranges, or to skip what they
# have: here each file counts as empty.
set -eu
tmp=$(mktemp -d)
server=
stop() { [ -z "$server" ] || { kill -KILL -- "-$server" 2>/dev/null || true; sleep 0.2; }; rm -rf "$tmp"; }
trap stop EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check sanic==25.12.1
cd "$tmp"
mkdir static
printf 0123456789 >static/file
export PORT=$(python3 -c 'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')
cat >app.py <<'PY'
import os

from sanic import Sanic

app = Sanic("a")
app.static("/", "static")
if __name__ == "__main__":
    app.run("127.0.0.1", int(os.environ["PORT"]), single_process=True, motd=False)
PY
set -m  # the server gets a process group of its own, so that its children end with it
venv/bin/python app.py >log 2>&1 &
server=$!
disown "$server"
set +m
timeout 60 venv/bin/python - <<'PY'
import http.client
import importlib.metadata
import os
import sys
import time

seen = {}
for method in "GET", "HEAD":
    for _ in range(300):
        try:
            client = http.client.HTTPConnection("127.0.0.1", int(os.environ["PORT"]), timeout=10)
            client.request(method, "/file")
            break
        except ConnectionRefusedError:
            time.sleep(0.1)
    response = client.getresponse()
    seen[method] = response.status, response.getheader("Content-Length")
    client.close()
print("version :", importlib.metadata.version("sanic"))
print("expected: HEAD Content-Length 10, or none (RFC 9110, section 8.6)")
print("seen    :", ", ".join(f"{method} Content-Length {length}" for method, (_, length) in seen.items()))
if seen != {"GET": (200, "10"), "HEAD": (200, "0")}:
    sys.exit("changed: HEAD tells another length")
PY

#!/usr/bin/env bash
#
# waitress 3.0.2 closes the connection after each 204 and 304.
#
# Expected: the connection is kept, as after a 200 with a length. RFC 9112, section 6.3: a 204 or 304 ends with its
# header section, whatever the fields say, so it needs no close to show its end; section 9.3: an HTTP/1.1 connection
# persists.
# Seen: the response gets Connection: close, because it has no Content-Length, which RFC 9110, section 8.6, forbids in a
# 204.
#
#   seen    : 200 None, 204 close, 304 close
#
# Why it matters: an API whose DELETE and PUT answer 204, or a client that revalidates its cache, needs a new connection
# for each request.
set -eu
tmp=$(mktemp -d)
server=
stop() { [ -z "$server" ] || { kill -KILL -- "-$server" 2>/dev/null || true; sleep 0.2; }; rm -rf "$tmp"; }
trap stop EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check waitress==3.0.2
cd "$tmp"
export PORT=$(python3 -c 'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')
cat >app.py <<'PY'
STATUS = {"/200": "200 OK", "/204": "204 No Content", "/304": "304 Not Modified"}


def app(environ, start_response):
    status = STATUS[environ["PATH_INFO"]]
    start_response(status, [("Content-Length", "0")] if status == "200 OK" else [("ETag", '"a"')])
    return []
PY
set -m  # the server gets a process group of its own, so that its children end with it
venv/bin/waitress-serve --listen "127.0.0.1:$PORT" app:app >log 2>&1 &
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
for status in "200", "204", "304":
    connection = http.client.HTTPConnection("127.0.0.1", int(os.environ["PORT"]), timeout=10)
    for _ in range(200):
        try:
            connection.connect()
            break
        except ConnectionRefusedError:
            time.sleep(0.1)
    connection.request("GET", "/" + status)
    response = connection.getresponse()
    seen[str(response.status)] = response.getheader("Connection")
    connection.close()
print("version :", importlib.metadata.version("waitress"))
print("expected: 200 None, 204 None, 304 None (RFC 9112, sections 6.3 and 9.3)")
print("seen    :", ", ".join(f"{status} {option}" for status, option in seen.items()))
if seen != {"200": None, "204": "close", "304": "close"}:
    sys.exit("changed: the connection is kept")
PY

#!/usr/bin/env bash
#
# cheroot 11.1.2 refuses a request in absolute form, and uvicorn 0.54.0 hands the whole URL to the application as the
# path.
#
# Expected: the same answer as to the path alone. RFC 9112, section 3.2.2: a server must accept the absolute form in
# requests, although most clients send it to proxies only.
# Seen: 400 from cheroot (CherryPy's server); from uvicorn a path of "http://a.test/x", for which no application has a
# route.
#
#   seen    : cheroot 400 Absolute URI not allowed if server is not a proxy.
#             uvicorn 200 path=http://a.test/x
#
# Why it matters: a client whose proxy setting points at an origin, or a gateway that passes the form on, gets errors
# that look like missing pages.
set -eu
tmp=$(mktemp -d)
server=
stop() { [ -z "$server" ] || { kill -KILL -- "-$server" 2>/dev/null || true; sleep 0.2; }; rm -rf "$tmp"; }
trap stop EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check cheroot==11.1.2 uvicorn==0.54.0 h11==0.16.0
cd "$tmp"
cat >app.py <<'PY'
def wsgi(environ, start_response):
    body = ("path=" + environ["PATH_INFO"]).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


async def asgi(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": ("path=" + scope["path"]).encode()})
PY
export PORT1=$(python3 -c 'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')
CHEROOT="import os; from cheroot.wsgi import Server; import app; Server(('127.0.0.1', int(os.environ['PORT1'])), app.wsgi).start()"
export CHEROOT
export PORT=$(python3 -c 'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')
set -m  # the server gets a process group of its own, so that its children end with it
sh -c 'venv/bin/python -c "$CHEROOT" &
    exec venv/bin/uvicorn --lifespan off --http h11 --port "$PORT" app:asgi' >log 2>&1 &
server=$!
disown "$server"
set +m
timeout 60 venv/bin/python - <<'PY'
import http.client
import os
import sys
import time
from importlib.metadata import version


def ask(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    for _ in range(200):
        try:
            connection.connect()
            break
        except ConnectionRefusedError:
            time.sleep(0.1)
    connection.request("GET", "http://a.test/x", headers={"Host": "a.test"})
    response = connection.getresponse()
    return f"{response.status} {response.read().decode()}"


seen = ask(int(os.environ["PORT1"])), ask(int(os.environ["PORT"]))
print("version : cheroot", version("cheroot"), "uvicorn", version("uvicorn"))
print("expected: 200 path=/x from both (RFC 9112, section 3.2.2)")
print("seen    : cheroot", seen[0])
print("          uvicorn", seen[1])
if not seen[0].startswith("400 ") or seen[1] != "200 path=http://a.test/x":
    sys.exit("changed: the absolute form is taken in another way")
PY

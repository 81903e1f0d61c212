#!/usr/bin/env bash
#
# waitress 3.0.2, cheroot 11.1.2 and gevent 26.9.0 send the body of a Django 5.2.19 view behind the answer to HEAD,
# daphne 4.2.3 the second part of a streamed one, and aiohttp 3.14.5 all that its StreamResponse writes, on a connection
# that they keep.
#
# Expected: nothing. RFC 9110, section 9.3.2: "the server MUST NOT send content in the response". Django's generic views
# answer HEAD by their get(), and Django leaves the body to the server: gunicorn takes it off. aiohttp's documentation:
# add_get() has allow_head=True, and so serves HEAD by the handler of GET; its web.Response leaves the body out.
# Seen: the body follows the head, where a client looks for its next answer.
#
#   seen    : behind HEAD /whole   : waitress b'hello', cheroot b'hello', gevent b'hello', gunicorn b'', daphne b'', aiohttp b''
#             behind HEAD /streamed: daphne b'lo', aiohttp b'hello'
#
# Why it matters: HEAD works alone. The next call on the connection gets these bytes in the place of a status line, or,
# with a client that throws them away in time, a new connection.
set -eu
tmp=$(mktemp -d)
server=
stop() { [ -z "$server" ] || { kill -KILL -- "-$server" 2>/dev/null || true; sleep 0.2; }; rm -rf "$tmp"; }
trap stop EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check django==5.2.19 waitress==3.0.2 cheroot==11.1.2 gevent==26.9.0 \
    gunicorn==27.0.1 daphne==4.2.3 aiohttp==3.14.5
cd "$tmp"
cat >app.py <<'PY'
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path
from django.views import View

settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF="app", MIDDLEWARE=[])


class Whole(View):
    def get(self, request):
        return HttpResponse("hello", headers={"Content-Length": "5"})


class Streamed(View):
    def get(self, request):
        async def parts():
            yield "hel"
            yield "lo"

        return StreamingHttpResponse(parts())


urlpatterns = [path("whole", Whole.as_view()), path("streamed", Streamed.as_view())]
wsgi, asgi = get_wsgi_application(), get_asgi_application()
PY
cat >app_of_aiohttp.py <<'PY'
import sys

from aiohttp import web


async def whole(request):
    return web.Response(text="hello")


async def streamed(request):
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"hel")
    await response.write(b"lo")
    return response


app = web.Application()
app.router.add_get("/whole", whole)
app.router.add_get("/streamed", streamed)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]))
PY
cat >servers.py <<'PY'
"""Prints one port per server, and runs the servers until it is ended."""
import socket
import subprocess
import sys
import time

PYTHON = {
    "cheroot": "from cheroot.wsgi import Server; import app; Server(('127.0.0.1', {port}), app.wsgi).start()",
    "gevent": "from gevent.pywsgi import WSGIServer; import app; WSGIServer(('127.0.0.1', {port}), app.wsgi).serve_forever()",
}
COMMANDS = {
    "waitress": "venv/bin/waitress-serve --listen 127.0.0.1:{port} app:wsgi",
    "gunicorn": "venv/bin/gunicorn -k gthread --threads 2 -b 127.0.0.1:{port} app:wsgi",
    "daphne": "venv/bin/daphne -p {port} app:asgi",
    "aiohttp": "venv/bin/python app_of_aiohttp.py {port}",
}
with open("ports", "w") as ports:
    for name in "waitress", "cheroot", "gevent", "gunicorn", "daphne", "aiohttp":
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        code = PYTHON.get(name, "").format(port=port)
        subprocess.Popen([sys.executable, "-c", code] if code else COMMANDS[name].format(port=port).split())
        print(name, port, file=ports, flush=True)
time.sleep(150)
PY
set -m  # the server gets a process group of its own, so that its children end with it
PYTHONPATH=. venv/bin/python servers.py >log 2>&1 &
server=$!
disown "$server"
set +m
timeout 100 venv/bin/python - <<'PY'
import importlib.metadata
import pathlib
import socket
import sys
import time

for _ in range(100):
    time.sleep(0.1)
    if pathlib.Path("ports").exists() and len(lines := pathlib.Path("ports").read_text().splitlines()) == 6:
        break
ports = {name: int(port) for name, port in map(str.split, lines)}


def behind(port, path):
    """What comes behind the head of the answer to HEAD within a second; the connection has to be kept."""
    for _ in range(300):
        try:
            peer = socket.create_connection(("127.0.0.1", port), timeout=10)
            break
        except ConnectionRefusedError:
            time.sleep(0.1)
    with peer:
        peer.sendall(f"HEAD {path} HTTP/1.1\r\nHost: a.test\r\n\r\n".encode())
        got = b""
        while b"\r\n\r\n" not in got:
            got += peer.recv(65536)
        peer.settimeout(1)
        try:
            while data := peer.recv(65536):
                got += data
            return "closed"
        except TimeoutError:
            return str(got.partition(b"\r\n\r\n")[2])


whole = {name: behind(port, "/whole") for name, port in ports.items()}
streamed = {name: behind(ports[name], "/streamed") for name in ("daphne", "aiohttp")}
print("version :", ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("django", *ports)))
print("expected: b'' everywhere (RFC 9110, section 9.3.2)")
print("seen    : behind HEAD /whole   :", ", ".join(f"{name} {what}" for name, what in whole.items()))
print("          behind HEAD /streamed:", ", ".join(f"{name} {what}" for name, what in streamed.items()))
if list(whole.values()) != ["b'hello'"] * 3 + ["b''"] * 3 or list(streamed.values()) != ["b'lo'", "b'hello'"]:
    sys.exit("changed: other servers send a body to HEAD")
PY

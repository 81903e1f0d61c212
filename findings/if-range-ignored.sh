#!/usr/bin/env bash
#
# The static files of aiohttp 3.14.5, Tornado 6.6.1, Twisted 26.10.0, bottle 0.13.4 and falcon 4.4.0 answer a range
# although If-Range says that the client has a part of another file.
#
# Expected: 200 and the whole file, as Starlette and Flask have it. RFC 9110, section 13.1.5: "A recipient of an
# If-Range header field MUST ignore the Range header field if the If-Range condition evaluates as false."
# Seen: 206 and the range. aiohttp looks at a date, not at an entity tag.
#
#   seen    : If-Range with another tag : aiohttp 206, tornado 206, twisted 206, bottle 206, falcon 206, starlette 200, flask 200
#             If-Range with an old date : aiohttp 200, tornado 206, twisted 206, bottle 206, falcon 206, starlette 200, flask 200
#
# Why it matters: a download that is taken up again after the file has changed consists of both files, with no error.
# A client has to compare the ETag or Last-Modified of the 206 itself.
set -eu
tmp=$(mktemp -d)
server=
stop() { [ -z "$server" ] || { kill -KILL -- "-$server" 2>/dev/null || true; sleep 0.2; }; rm -rf "$tmp"; }
trap stop EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check aiohttp==3.14.5 tornado==6.6.1 twisted==26.10.0 bottle==0.13.4 \
    falcon==4.4.0 starlette==1.10.0 flask==3.1.3 waitress==3.0.2 werkzeug==3.1.9 uvicorn==0.54.0
cd "$tmp"
mkdir static
printf 0123456789 >static/file
cat >servers.py <<'PY'
"""Prints one port per server, and runs the servers until it is ended."""
import socket
import subprocess
import sys
import time

COMMANDS = {
    "aiohttp": "from aiohttp import web; a = web.Application(); a.router.add_static('/', 'static'); web.run_app(a, port={port})",
    "tornado": """import asyncio, tornado.web
async def main():
    tornado.web.Application([("/(.*)", tornado.web.StaticFileHandler, {{"path": "static"}})]).listen({port})
    await asyncio.Event().wait()
asyncio.run(main())""",
    "twisted": """from twisted.internet import reactor; from twisted.web import server, static
reactor.listenTCP({port}, server.Site(static.File('static'))); reactor.run()""",
    "bottle": """import bottle
bottle.route('/<name>')(lambda name: bottle.static_file(name, root='static'))
bottle.run(port={port}, server='waitress')""",
    "falcon": """import falcon, os, waitress
a = falcon.App(); a.add_static_route('/', os.path.abspath('static')); waitress.serve(a, port={port})""",
    "starlette": """import uvicorn; from starlette.applications import Starlette; from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
uvicorn.run(Starlette(routes=[Mount('/', StaticFiles(directory='static'))]), port={port})""",
    "flask": """import os, flask, waitress
a = flask.Flask('a', static_folder=None)
a.route('/<name>')(lambda name: flask.send_from_directory(os.path.abspath('static'), name)); waitress.serve(a, port={port})""",
}
with open("ports", "w") as ports:
    for name, code in COMMANDS.items():
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        subprocess.Popen([sys.executable, "-c", code.format(port=port)])
        print(name, port, file=ports, flush=True)
time.sleep(100)
PY
set -m  # the server gets a process group of its own, so that its children end with it
venv/bin/python servers.py >log 2>&1 &
server=$!
disown "$server"
set +m
timeout 60 venv/bin/python - <<'PY'
import importlib.metadata
import pathlib
import socket
import sys
import time

for _ in range(100):
    time.sleep(0.1)
    if pathlib.Path("ports").exists() and len(lines := pathlib.Path("ports").read_text().splitlines()) == 7:
        break
ports = {name: int(port) for name, port in map(str.split, lines)}


def status(port, validator):
    """The status of a request for four bytes with this If-Range."""
    for _ in range(300):
        try:
            peer = socket.create_connection(("127.0.0.1", port), timeout=10)
            break
        except ConnectionRefusedError:
            time.sleep(0.1)
    with peer:
        fields = f"Range: bytes=0-3\r\nIf-Range: {validator}\r\nConnection: close"
        peer.sendall(f"GET /file HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n\r\n".encode())
        return int(peer.recv(65536).split()[1])


VALIDATORS = {"another tag": '"of-another-file"', "an old date": "Thu, 01 Jan 1998 00:00:00 GMT"}
seen = {name: {server: status(port, value) for server, port in ports.items()} for name, value in VALIDATORS.items()}
print("version :", ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ports))
print("expected: 200 everywhere (RFC 9110, section 13.1.5)")
for lead, (name, statuses) in zip(("seen    :", "         "), seen.items()):
    print(f"{lead} If-Range with {name:<12}:", ", ".join(f"{server} {code}" for server, code in statuses.items()))
if list(seen["another tag"].values()) != [206] * 5 + [200] * 2 or list(seen["an old date"].values()) != [200] + [206] * 4 + [200] * 2:
    sys.exit("changed: other servers look at If-Range")
PY

#!/usr/bin/env bash
#
# Ranges that RFC 9110 wants answered are refused: by Twisted 26.10.0 and Flask 3.1.3 (Werkzeug 3.1.9) the last N
# bytes of a shorter file; by aiohttp 3.14.5, Flask, Starlette 1.10.0 and bottle 0.13.4 a unit that they do not know.
#
# Expected: RFC 9110, section 14.1.2: if the file is shorter than the suffix asked for, all of it is the range.
# Section 14.2: a server must ignore Range if it does not understand the unit, so 200.
# Seen: 416 or 400; Twisted fails with a 500 whose Content-Range is bytes -90-9/10.
#
#   seen    : bytes=-100 of 10 bytes: aiohttp 206, tornado 200, twisted 500, bottle 206, falcon 206, starlette 206, flask 416
#             items=0-3             : aiohttp 416, tornado 200, twisted 200, bottle 416, falcon 200, starlette 400, flask 416
#
# Why it matters: "the last 64 KB" is how the directory of a zip file, or the end of a log, is read; for a small file
# it is an error then, and the client has to ask again without Range.
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


def status(port, asked):
    """The status of a request with this Range."""
    for _ in range(300):
        try:
            peer = socket.create_connection(("127.0.0.1", port), timeout=10)
            break
        except ConnectionRefusedError:
            time.sleep(0.1)
    with peer:
        peer.sendall(f"GET /file HTTP/1.1\r\nHost: a.test\r\nRange: {asked}\r\nConnection: close\r\n\r\n".encode())
        return int(peer.recv(65536).split()[1])


RANGES = {"bytes=-100 of 10 bytes": "bytes=-100", "items=0-3": "items=0-3"}
seen = {name: {server: status(port, asked) for server, port in ports.items()} for name, asked in RANGES.items()}
print("version :", ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ports))
print("expected: 206, or 200, in the first line (RFC 9110, section 14.1.2); 200 in the second (section 14.2)")
for lead, (name, statuses) in zip(("seen    :", "         "), seen.items()):
    print(f"{lead} {name:<22}:", ", ".join(f"{server} {code}" for server, code in statuses.items()))
if [list(line.values()) for line in seen.values()] != [[206, 200, 500, 206, 206, 206, 416], [416, 200, 200, 416, 200, 400, 416]]:
    sys.exit("changed: other ranges are refused")
PY

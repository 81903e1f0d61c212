#!/usr/bin/env bash
#
# Servers that do not pass over an empty line before a request: gevent 26.9.0, eventlet 0.41.3, tremolo 0.5.3, circuits
# 3.2.5, netius 1.64.0 and socketify 0.0.31.
#
# Expected: RFC 9112, section 2.2: a server that waits for a request line should ignore at least one empty line before it.
# aiohttp 3.14.5 and waitress 3.0.2 do.
# Seen: 400; eventlet closes without an answer; socketify answers 505.
#
#   seen    : aiohttp 200, waitress 200, gevent 400, eventlet nothing, tremolo 400, circuits 400, netius 400, socketify 505
#
# Why it matters: the rule is there for clients that write a line end behind a body; the next request on such a connection
# fails, with a status that blames the request, or with none.
set -eu
tmp=$(mktemp -d)
server=
stop() { [ -z "$server" ] || { kill -KILL -- "-$server" 2>/dev/null || true; sleep 0.2; }; rm -rf "$tmp"; }
trap stop EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check aiohttp==3.14.5 waitress==3.0.2 gevent==26.9.0 eventlet==0.41.3 \
    tremolo==0.5.3 circuits==3.2.5 netius==1.64.0 socketify==0.0.31
cd "$tmp"
cat >servers.py <<'PY'
"""Prints one port per server, and runs the servers until it is ended."""
import socket
import subprocess
import sys
import time

WSGI = """
def app(environ, start):
    start("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""
COMMANDS = {
    "aiohttp": """from aiohttp import web
async def answer(request): return web.Response(text="ok")
a = web.Application(); a.router.add_get("/", answer); web.run_app(a, host="127.0.0.1", port={port})""",
    "waitress": WSGI + "import waitress; waitress.serve(app, listen='127.0.0.1:{port}')",
    "gevent": WSGI + "from gevent.pywsgi import WSGIServer; WSGIServer(('127.0.0.1', {port}), app).serve_forever()",
    "eventlet": WSGI + "import eventlet; from eventlet import wsgi; wsgi.server(eventlet.listen(('127.0.0.1', {port})), app)",
    "tremolo": """from tremolo import Application
a = Application()
@a.route("/")
async def answer(**server): return b"ok"
if __name__ == "__main__": a.run("127.0.0.1", {port}, worker_num=1)""",
    "circuits": """from circuits.web import Controller, Server
class Root(Controller):
    def index(self): return "ok"
(Server(("127.0.0.1", {port})) + Root()).run()""",
    "netius": WSGI + "import netius.servers; netius.servers.WSGIServer(app=app).serve(host='127.0.0.1', port={port})",
    "socketify": WSGI + "from socketify import WSGI; WSGI(app).listen({port}).run()",
}
with open("ports", "w") as ports:
    for name, code in COMMANDS.items():
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        with open(name + "_app.py", "w") as file:
            file.write(code.format(port=port))
        subprocess.Popen([sys.executable, name + "_app.py"])
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
    if pathlib.Path("ports").exists() and len(lines := pathlib.Path("ports").read_text().splitlines()) == 8:
        break
ports = {name: int(port) for name, port in map(str.split, lines)}


def status(port, lead):
    """The status of a GET behind these bytes; "nothing" if the server closes without an answer."""
    for _ in range(300):
        try:
            peer = socket.create_connection(("127.0.0.1", port), timeout=10)
            break
        except ConnectionRefusedError:
            time.sleep(0.1)
    with peer:
        peer.sendall(lead + f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
        return (peer.recv(65536).split() or [b"", b"nothing"])[1].decode()


plain = {name: status(port, b"") for name, port in ports.items()}
seen = {name: status(port, b"\r\n") for name, port in ports.items()}
print("version :", ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ports))
print("expected: 200 from each (RFC 9112, section 2.2), as without the line:", " ".join(plain.values()))
print("seen    :", ", ".join(f"{name} {code}" for name, code in seen.items()))
if set(plain.values()) != {"200"} or list(seen.values()) != ["200", "200", "400", "nothing", "400", "400", "400", "505"]:
    sys.exit("changed: other servers pass over the line")
PY

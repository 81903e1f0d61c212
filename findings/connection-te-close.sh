#!/usr/bin/env bash
#
# Several Python servers do not see close in "Connection: TE, close": gunicorn 27.0.1, waitress 3.0.2, cheroot 11.1.2,
# Tornado 6.6.1.
#
# Expected: a close. RFC 9110, section 7.6.1: Connection is a list of options; section 10.1.4: who sends TE must list it
# there too. RFC 9112, section 9.6: a server that receives the close option must close after its response.
# Seen: the whole value is compared with "close". The connection keeps, until the servers' idle timeout.
#
#   seen    : Connection: close      gunicorn closes, waitress closes, cheroot closes, tornado closes, uvicorn closes
#             Connection: TE, close  gunicorn keeps, waitress keeps, cheroot keeps, tornado keeps, uvicorn closes
#
# Why it matters: Perl's LWP sends just this field. A client that reads until the end of the stream waits for the idle
# timeout, which Tornado does not have.
set -eu
tmp=$(mktemp -d)
server=
stop() { [ -z "$server" ] || { kill -KILL -- "-$server" 2>/dev/null || true; sleep 0.2; }; rm -rf "$tmp"; }
trap stop EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check \
    gunicorn==27.0.1 waitress==3.0.2 cheroot==11.1.2 tornado==6.6.1 uvicorn==0.54.0 h11==0.16.0
cd "$tmp"
cat >app.py <<'PY'
def wsgi(environ, start_response):
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hello"]


async def asgi(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})
PY
cat >servers.py <<'PY'
"""Prints one port per server, and runs the servers until it is ended."""
import socket
import subprocess
import sys
import time

CHEROOT = "from cheroot.wsgi import Server; import app; Server(('127.0.0.1', %s), app.wsgi).start()"
TORNADO = """import asyncio, tornado.web
class Hello(tornado.web.RequestHandler):
    def get(self):
        self.finish("hello")
async def main():
    tornado.web.Application([("/", Hello)]).listen(%s, "127.0.0.1")
    await asyncio.Event().wait()
asyncio.run(main())"""
COMMANDS = {
    "gunicorn": lambda port: ["venv/bin/gunicorn", "-k", "gthread", "--threads", "2", "-b", f"127.0.0.1:{port}", "app:wsgi"],
    "waitress": lambda port: ["venv/bin/waitress-serve", "--listen", f"127.0.0.1:{port}", "app:wsgi"],
    "cheroot": lambda port: [sys.executable, "-c", CHEROOT % port],
    "tornado": lambda port: [sys.executable, "-c", TORNADO % port],
    "uvicorn": lambda port: ["venv/bin/uvicorn", "--lifespan", "off", "--http", "h11", "--port", port, "app:asgi"],
}
with open("ports", "w") as ports:
    for name, command in COMMANDS.items():
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = str(listener.getsockname()[1])
        subprocess.Popen(command(port))
        print(name, port, file=ports)
time.sleep(100)
PY
export PORT=$(python3 -c 'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')
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
    if pathlib.Path("ports").exists() and len(lines := pathlib.Path("ports").read_text().splitlines()) == 5:
        break
ports = {name: int(port) for name, port in map(str.split, lines)}


def end(port, option):
    """What the server on the port does behind its answer to a request with this Connection option."""
    for _ in range(200):
        try:
            peer = socket.create_connection(("127.0.0.1", port), timeout=10)
            break
        except ConnectionRefusedError:
            time.sleep(0.1)
    with peer:
        peer.sendall(f"GET / HTTP/1.1\r\nHost: a.test\r\nTE: trailers\r\nConnection: {option}\r\n\r\n".encode())
        got = b""
        while not got.endswith(b"hello"):
            got += peer.recv(65536)
        peer.settimeout(0.7)
        try:
            return "closes" if peer.recv(1) == b"" else "sends more"
        except TimeoutError:
            return "keeps"


seen = {option: {name: end(port, option) for name, port in ports.items()} for option in ("close", "TE, close")}
print("version :", ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ports))
print("expected: each closes in both cases (RFC 9110, section 7.6.1; RFC 9112, section 9.6)")
for lead, (option, ends) in zip(("seen    :", "         "), seen.items()):
    print(f"{lead} {'Connection: ' + option:<22}", ", ".join(f"{name} {what}" for name, what in ends.items()))
if list(seen["close"].values()) != ["closes"] * 5 or list(seen["TE, close"].values()) != ["keeps"] * 4 + ["closes"]:
    sys.exit("changed: other servers understand the list")
PY

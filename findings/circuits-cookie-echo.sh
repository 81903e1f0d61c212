#!/usr/bin/env bash
#
# circuits 3.2.5 (circuits.web) sends every cookie of a request back as a Set-Cookie of its own.
#
# Expected: a response sets the cookies that the application sets. RFC 6265, section 3: Cookie carries names and values
# only, the server's attributes are not in it; section 5.3, steps 3, 4, 7 and 11: a Set-Cookie with the same name, domain
# and path takes the place of the stored cookie, and without Max-Age or Expires it ends with the session.
# Seen: a cookie that lasts a year and has Path=/ comes back without either. The client keeps a second one of that name
# for the directory of each page it asks for; for a page directly below / the stored cookie is replaced by a session cookie.
#
#   seen    : sent Cookie: a=1, got Set-Cookie: a=1; the client's cookie lasts: before [True], after [False]
#
# Why it matters: "remember me" lasts until the program ends, once any page was fetched; and a client that has deleted a
# cookie while a request was on its way gets it back with the answer.
set -eu
tmp=$(mktemp -d)
server=
stop() { [ -z "$server" ] || { kill -KILL -- "-$server" 2>/dev/null || true; sleep 0.2; }; rm -rf "$tmp"; }
trap stop EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check circuits==3.2.5 requests==2.34.2
cd "$tmp"
export PORT=$(python3 -c 'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')
cat >app.py <<'PY'
import os

from circuits.web import Controller, Server


class Root(Controller):
    def index(self):
        return "no cookie is set here"

    def login(self):
        self.response.headers.add_header("Set-Cookie", "a=1; Max-Age=31536000; Path=/")
        return "welcome"


(Server(("127.0.0.1", int(os.environ["PORT"]))) + Root()).run()
PY
set -m  # the server gets a process group of its own, so that its children end with it
venv/bin/python app.py >log 2>&1 &
server=$!
disown "$server"
set +m
timeout 60 venv/bin/python - <<'PY'
import importlib.metadata
import os
import socket
import sys
import time

import requests

port = int(os.environ["PORT"])
for _ in range(200):
    try:
        socket.create_connection(("127.0.0.1", port)).close()
        break
    except ConnectionRefusedError:
        time.sleep(0.1)
session = requests.Session()
session.trust_env = False
url = f"http://127.0.0.1:{port}"


def lasts():
    """Whether the cookie outlives the program."""
    return [cookie.expires is not None for cookie in session.cookies]


session.get(url + "/login")
before = lasts()
answer = session.get(url + "/")
seen = answer.request.headers["Cookie"], answer.headers.get("Set-Cookie"), before, lasts()
print("version : circuits", importlib.metadata.version("circuits"))
print("expected: sent Cookie: a=1, got Set-Cookie: None; the client's cookie lasts: before [True], after [True] (RFC 6265)")
print("seen    : sent Cookie: {}, got Set-Cookie: {}; the client's cookie lasts: before {}, after {}".format(*seen))
if seen != ("a=1", "a=1", [True], [False]):
    sys.exit("changed: the request's cookies are not sent back")
PY

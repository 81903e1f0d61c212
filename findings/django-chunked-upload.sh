#!/usr/bin/env bash
#
# Django 5.2.19 over WSGI (here under gunicorn 27.0.1) sees an empty body where a request is sent chunked, and says 200.
#
# Expected: the body, or a refusal. RFC 9112, section 7.1: a recipient must be able to decode the chunked coding;
# section 6.3 lets a server that wants a length answer 411. gunicorn decodes, and says so in wsgi.input_terminated.
# Seen: Django reads CONTENT_LENGTH, which is absent, takes it for 0 and never reads the input. A plain WSGI application
# gets all 5 bytes.
#
#   seen    : plain WSGI 'hello', Django ''
#
# Why it matters: in requests, httpx and curl a body from a generator or a pipe goes out chunked: the upload succeeds
# and the file is empty.
set -eu
tmp=$(mktemp -d)
server=
stop() { [ -z "$server" ] || { kill -KILL -- "-$server" 2>/dev/null || true; sleep 0.2; }; rm -rf "$tmp"; }
trap stop EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check django==5.2.19 gunicorn==27.0.1
cd "$tmp"
export PORT=$(python3 -c 'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')
cat >app.py <<'PY'
import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path

settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF="app", SECRET_KEY="x", MIDDLEWARE=[])
urlpatterns = [path("django", lambda request: HttpResponse(request.body))]
by_django = get_wsgi_application()


def app(environ, start_response):
    if environ["PATH_INFO"] == "/django":
        return by_django(environ, start_response)
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
PY
set -m  # the server gets a process group of its own, so that its children end with it
venv/bin/gunicorn -b "127.0.0.1:$PORT" app:app >log 2>&1 &
server=$!
disown "$server"
set +m
timeout 60 venv/bin/python - <<'PY'
import http.client
import os
import sys
import time
from importlib.metadata import version


def post(path):
    connection = http.client.HTTPConnection("127.0.0.1", int(os.environ["PORT"]), timeout=10)
    for _ in range(200):
        try:
            connection.connect()
            break
        except ConnectionRefusedError:
            time.sleep(0.1)
    connection.request("POST", path, body=iter([b"hel", b"lo"]), encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
    response = connection.getresponse()
    return response.status, response.read().decode()


plain, django = post("/plain"), post("/django")
print("version : Django", version("django"), "gunicorn", version("gunicorn"))
print("expected: 'hello' from both, or a status of 411 (RFC 9112, sections 6.3 and 7.1)")
print(f"seen    : plain WSGI {plain[1]!r}, Django {django[1]!r}")
if (plain, django) != ((200, "hello"), (200, "")):
    sys.exit("changed: Django reads the body or refuses it")
PY

#!/usr/bin/env bash
#
# uWSGI 2.0.30 with --http never answers Expect: 100-continue before the body has come.
#
# Expected: 100, or a final status. RFC 9110, section 10.1.1: an origin server must send one or the other at once when
# the expectation comes with a body to follow.
# Seen: nothing, so that each client waits for as long as it is prepared to (curl: one second) before it sends the body
# unasked. There is an option that mends it, --http-manage-expect, which is off by default.
#
#   seen    : curl's upload of 2 MB: 1.0 s by default, 0.1 s with --http-manage-expect
#
# Why it matters: curl asks for every body over 1 MB (and so do the AWS SDKs for their uploads): each such upload takes
# a second longer.
set -eu
tmp=$(mktemp -d)
server=
stop() { [ -z "$server" ] || { kill -KILL -- "-$server" 2>/dev/null || true; sleep 0.2; }; rm -rf "$tmp"; }
trap stop EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check pyuwsgi==2.0.30.post1 pycurl==7.49.0
cd "$tmp"
export PORT1=$(python3 -c 'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')
export PORT=$(python3 -c 'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')
cat >app.py <<'PY'
def app(environ, start_response):
    size = len(environ["wsgi.input"].read())
    start_response("200 OK", [])
    return [str(size).encode()]
PY
set -m  # the server gets a process group of its own, so that its children end with it
sh -c 'venv/bin/uwsgi --http "127.0.0.1:$PORT" --module app:app &
    exec venv/bin/uwsgi --http "127.0.0.1:$PORT1" --http-manage-expect --module app:app' >log 2>&1 &
server=$!
disown "$server"
set +m
timeout 60 venv/bin/python - <<'PY'
import importlib.metadata
import io
import os
import sys
import time

import pycurl


def upload(port):
    """The time in seconds of a POST of 2 MB."""
    curl, got = pycurl.Curl(), io.BytesIO()
    curl.setopt(pycurl.URL, f"http://127.0.0.1:{port}/")
    curl.setopt(pycurl.NOPROXY, "*")
    curl.setopt(pycurl.TIMEOUT, 20)
    curl.setopt(pycurl.WRITEDATA, got)
    curl.setopt(pycurl.POSTFIELDS, "x" * 2_000_000)
    for _ in range(200):
        try:
            curl.perform()
            break
        except pycurl.error as error:
            if error.args[0] != pycurl.E_COULDNT_CONNECT:
                raise
            time.sleep(0.1)
    if got.getvalue() != b"2000000":
        sys.exit(f"changed: the upload failed: {got.getvalue()}")
    return curl.getinfo(pycurl.TOTAL_TIME)


plain, managed = upload(os.environ["PORT"]), upload(os.environ["PORT1"])
print("version : pyuwsgi", importlib.metadata.version("pyuwsgi"), "with", pycurl.version.split()[1])
print("expected: no waiting in either case (RFC 9110, section 10.1.1)")
print(f"seen    : curl's upload of 2 MB: {plain:.1f} s by default, {managed:.1f} s with --http-manage-expect")
if not (plain > 0.9 and managed < 0.7):
    sys.exit("changed: the expectation is answered by default, or never")
PY

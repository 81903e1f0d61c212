#!/usr/bin/env bash
#
# CacheControl 0.14.4 does not look at Age: a response that has spent its whole life in a cache on the way is kept as
# fresh.
#
# Expected: a second request. RFC 9111, section 4.2.3: the current age is at least the Age field's value; with
# max-age=60 and Age: 100 the response is stale when it arrives.
# Seen: the age is computed from Date alone, here that of the answer itself, as with a cache that stamps Date anew or
# with clocks that differ.
#
#   seen    : Age: 100, max-age=60: from the cache True, requests at the server 1
#
# Why it matters: where either is so, users see old data for longer than the origin allowed, by as much as the time
# spent on the way.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check cachecontrol==0.14.4 requests==2.34.2
cd "$tmp"
timeout 60 venv/bin/python - <<'PY'
import http.server
import sys
import threading
from importlib.metadata import version

import requests
from cachecontrol import CacheControl

paths = []


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        paths.append(self.path)
        self.send_response(200)
        self.send_header("Cache-Control", "max-age=60")
        self.send_header("Age", "100")
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
session = CacheControl(requests.Session())
session.trust_env = False
for _ in range(2):
    response = session.get(f"http://127.0.0.1:{server.server_port}/", timeout=10)
print("version :", version("cachecontrol"))
print("expected: from the cache False, requests at the server 2 (RFC 9111, section 4.2.3)")
print(f"seen    : Age: 100, max-age=60: from the cache {response.from_cache}, requests at the server {len(paths)}")
if (response.from_cache, len(paths)) != (True, 1):
    sys.exit("changed: Age is taken into account")
PY

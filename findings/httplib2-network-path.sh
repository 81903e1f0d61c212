#!/usr/bin/env bash
#
# httplib2 0.32.1 raises RelativeURIError for a redirect whose Location begins with "//".
#
# Expected: the redirect is followed, with the scheme of the request. RFC 9110, section 10.2.2: Location is a URI
# reference; RFC 3986, section 4.2: "//host/path" is one, a network-path reference.
# Seen: only a Location without an authority is joined with the request's URL; this one is used as it is.
#
#   seen    : RelativeURIError: Only absolute URIs are allowed. uri = //127.0.0.1:PORT/new
#
# Why it matters: sites that serve http and https redirect so; Google's older API clients use httplib2.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check httplib2==0.32.1
cd "$tmp"
timeout 60 venv/bin/python - <<'PY'
import http.server
import sys
import threading

import httplib2


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(302 if self.path == "/old" else 200)
        self.send_header("Location", f"//127.0.0.1:{server.server_port}/new")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
try:
    seen = str(httplib2.Http(timeout=10, proxy_info=None).request(f"http://127.0.0.1:{server.server_port}/old")[0].status)
except httplib2.HttpLib2Error as error:
    seen = f"{type(error).__name__}: {error}".replace(str(server.server_port), "PORT")
print("version :", httplib2.__version__)
print("expected: 200 (RFC 9110, section 10.2.2; RFC 3986, section 4.2)")
print("seen    :", seen)
if not seen.startswith("RelativeURIError"):
    sys.exit("changed: the redirect is followed")
PY

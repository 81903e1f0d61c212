#!/usr/bin/env bash
#
# requests 2.34.2, HTTPDigestAuth, sends the request again without credentials when it does not know the algorithm or
# the qop of the challenge.
#
# Expected: an error that names what is not supported (httpx raises NotImplementedError for auth-int), or at least no
# second request. RFC 7616, sections 3.3 and 3.4: SHA-512-256 is one of the three algorithms and auth-int one of the two
# protection values defined.
# Seen: build_digest_header() returns None, the header is set to None, and the request goes out a second time as it was:
# no Authorization.
#
#   seen    : algorithm=SHA-512-256: 401 after 2 requests, Authorization sent: [None, None]
#             qop="auth-int": 401 after 2 requests, Authorization sent: [None, None]
#
# Why it matters: the user sees a 401 and looks for a wrong password; an upload is sent twice for nothing.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check requests==2.34.2
cd "$tmp"
timeout 60 venv/bin/python - <<'PY'
import http.server
import sys
import threading

import requests

challenges = {"algorithm=SHA-512-256": 'qop="auth", algorithm=SHA-512-256', 'qop="auth-int"': 'qop="auth-int"'}
sent = []


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        sent.append(self.headers["Authorization"])
        self.send_response(401)
        self.send_header("WWW-Authenticate", f'Digest realm="r", nonce="n", {challenge}')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print("version :", requests.__version__)
print("expected: an error, or one request only (RFC 7616, sections 3.3 and 3.4)")
for lead, (name, challenge) in zip(("seen    :", "         "), challenges.items()):
    sent.clear()
    auth = requests.auth.HTTPDigestAuth("user", "password")
    status = requests.get(f"http://127.0.0.1:{server.server_port}/", auth=auth, proxies={"http": ""}, timeout=10).status_code
    print(f"{lead} {name}: {status} after {len(sent)} requests, Authorization sent: {sent}")
    if (status, sent) != (401, [None, None]):
        sys.exit("changed: the second request is no longer sent without credentials")
PY

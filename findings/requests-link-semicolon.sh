#!/usr/bin/env bash
#
# requests 2.34.2 cuts the target of a Link field at a semicolon, and loses the relation with it.
#
# Expected: response.links["next"]["url"] is the whole target. RFC 8288, section 3: the target is a URI reference in
# angle brackets; RFC 3986, section 3.3: a path may contain ";".
# Seen: the target ends before the semicolon, the rest is taken for a parameter, and the relation, which stands after
# it, is not read.
#
#   seen    : {'http://host/list': {'url': 'http://host/list'}}
#
# Why it matters: a client that follows rel="next" believes that the first page is the last one.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check requests==2.34.2
cd "$tmp"
timeout 60 venv/bin/python - <<'PY'
import sys

import requests

response = requests.Response()
response.headers["Link"] = '<http://host/list;jsessionid=1A2B?page=2>; rel="next"'
print("version :", requests.__version__)
print("expected: {'next': {'url': 'http://host/list;jsessionid=1A2B?page=2', 'rel': 'next'}} (RFC 8288, section 3)")
print("seen    :", response.links)
if response.links != {"http://host/list": {"url": "http://host/list"}}:
    sys.exit("changed: the target is no longer cut")
PY

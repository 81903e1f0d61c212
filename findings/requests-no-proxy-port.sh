#!/usr/bin/env bash
#
# requests 2.34.2: an entry with a port in no_proxy works for a name and not for an address.
#
# Expected: no proxy in both cases. no_proxy has no RFC; requests takes entries of the form host:port, as urllib.request
# does, and its own should_bypass_proxies() compares them with host and port.
# Seen: for an IPv4 address it looks only for equal addresses and for blocks, so the entry with a port is never met.
#
#   seen    : localhost:8080 direct, 127.0.0.1:8080 by proxy, 127.0.0.1 direct
#
# Why it matters: calls to a local service on 127.0.0.1:8080 leave by the company's proxy, which cannot reach it.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check requests==2.34.2
cd "$tmp"
timeout 60 venv/bin/python - <<'PY'
import os
import sys

import requests

os.environ.update(http_proxy="http://proxy.test:3128")
seen = []
for entry in "localhost:8080", "127.0.0.1:8080", "127.0.0.1":
    os.environ.update(no_proxy=entry, NO_PROXY=entry)
    host = entry.partition(":")[0]
    bypass = requests.utils.should_bypass_proxies(f"http://{host}:8080/", no_proxy=None)
    seen.append("direct" if bypass else "by proxy")
print("version :", requests.__version__)
print("expected: direct in each case")
print(f"seen    : localhost:8080 {seen[0]}, 127.0.0.1:8080 {seen[1]}, 127.0.0.1 {seen[2]}")
if seen != ["direct", "by proxy", "direct"]:
    sys.exit("changed: the entry with a port is understood")
PY

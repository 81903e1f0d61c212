#!/usr/bin/env bash
#
# httpx 0.28.1: params= takes the query out of the URL, the client's own params too, and even an empty mapping.
#
# Expected: the parameters are added to the query, as in requests. httpx's "Requests Compatibility Guide" lists where
# the two differ; it has an entry on query parameters (about None), and this is not in it.
# Seen: "?page=2" is gone.
#
#   seen    : params={}: http://host/list
#             params={'size': 10}: http://host/list?size=10
#             Client(params={'key': 1}): http://host/list?key=1
#             requests, params={'size': 10}: http://host/list?page=2&size=10
#
# Why it matters: with a Client that adds an API key to each request, following the server's link to the next page gives
# page one for ever.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check httpx==0.28.1 requests==2.34.2
cd "$tmp"
timeout 60 venv/bin/python - <<'PY'
import sys

import httpx
import requests

url = "http://host/list?page=2"
with httpx.Client(params={"key": 1}) as client:
    seen = {
        "params={}": str(httpx.Request("GET", url, params={}).url),
        "params={'size': 10}": str(httpx.Request("GET", url, params={"size": 10}).url),
        "Client(params={'key': 1})": str(client.build_request("GET", url).url),
        "requests, params={'size': 10}": requests.Request("GET", url, params={"size": 10}).prepare().url,
    }
print("version :", httpx.__version__)
print("expected: page=2 in each (as in requests)")
for lead, (name, what) in zip(["seen    :"] + ["         "] * 3, seen.items()):
    print(f"{lead} {name}: {what}")
base = "http://host/list"
if list(seen.values()) != [base, base + "?size=10", base + "?key=1", base + "?page=2&size=10"]:
    sys.exit("changed: the query is treated in another way")
PY

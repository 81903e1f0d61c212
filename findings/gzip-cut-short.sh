#!/usr/bin/env bash
#
# requests 2.34.2, httpx 0.28.1, aiohttp 3.14.5, httplib2 0.32.1, treq 26.7.0 and libcurl (in pycurl 7.49.0) return
# part of a gzip body that ends before the gzip data does, without an error.
#
# Expected: an error, as Tornado and the gzip command have it. RFC 1952, section 2.3: a member ends with the CRC and
# the size of what was compressed, which a decompressor has to check; RFC 9110, section 8.4.1.3 refers to it.
# Seen: Content-Length fits what was sent, so the body counts as complete, and the decoder is not asked whether it is
# done.
#
#   seen    : of 100000 bytes: requests 64970, httpx 64970, aiohttp 64970, httplib2 64970, treq 64970,
#             pycurl 64970, tornado HTTPStreamClosedError
#
# Why it matters: a server or proxy whose compressor is cut off (a worker that dies behind nginx, a file cut by a full
# disk) delivers half a document that looks whole.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check requests==2.34.2 urllib3==2.8.0 httpx==0.28.1 aiohttp==3.14.5 \
    httplib2==0.32.1 treq==26.7.0 pycurl==7.49.0 tornado==6.6.1
cd "$tmp"
cat >by_treq.py <<'PY'
import sys

import treq
from twisted.internet import defer, task


async def main(url):
    print(len(await treq.content(await treq.get(url, timeout=10))))


task.react(lambda reactor: defer.ensureDeferred(main(sys.argv[1])))
PY
timeout 100 venv/bin/python - <<'PY'
import asyncio
import gzip
import importlib.metadata
import io
import random
import socket
import subprocess
import sys
import threading

import aiohttp
import httplib2
import httpx
import pycurl
import requests
from tornado.httpclient import AsyncHTTPClient

CONTENT = random.Random(1).randbytes(100_000)  # does not compress, so that a part is a part
whole = gzip.compress(CONTENT)
part = whole[:65_000]
raw = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(part) + part


def serve(peer):
    with peer:
        while peer.recv(65536):
            peer.sendall(raw)


def accept():
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=accept, daemon=True).start()
url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
session = requests.Session()
session.trust_env = False


async def by_aiohttp():
    async with aiohttp.ClientSession() as client, client.get(url) as response:
        return await response.read()


async def by_tornado():
    return (await AsyncHTTPClient().fetch(url)).body


def by_pycurl():
    curl, body = pycurl.Curl(), io.BytesIO()
    for option, value in (pycurl.URL, url), (pycurl.ACCEPT_ENCODING, ""), (pycurl.NOPROXY, "*"), (pycurl.WRITEDATA, body):
        curl.setopt(option, value)
    curl.perform()
    return body.getvalue()


CLIENTS = {
    "requests": lambda: session.get(url, timeout=10).content,
    "httpx": lambda: httpx.get(url, trust_env=False).content,
    "aiohttp": lambda: asyncio.run(by_aiohttp()),
    "httplib2": lambda: httplib2.Http(timeout=10, proxy_info=None).request(url)[1],
    "treq": lambda: b"." * int(subprocess.run([sys.executable, "by_treq.py", url], capture_output=True, check=True).stdout),
    "pycurl": by_pycurl,
    "tornado": lambda: asyncio.run(by_tornado()),
}
seen = {}
for name, get in CLIENTS.items():
    try:
        seen[name] = len(get())
    except Exception as error:  # whatever it is: the name is shown
        seen[name] = type(error).__name__
print("version :", ", ".join(f"{name} {importlib.metadata.version(name)}" for name in CLIENTS))
print("expected: an error from each (RFC 1952, section 2.3)")
print(f"seen    : of {len(CONTENT)} bytes:", ", ".join(f"{name} {what}" for name, what in seen.items()))
if any(isinstance(what, str) or not 0 < what < 100_000 for name, what in seen.items() if name != "tornado"):
    sys.exit("changed: a client sees that the data is cut short")
PY

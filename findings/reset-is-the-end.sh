#!/usr/bin/env bash
#
# aiohttp 3.14.5 and Tornado 6.6.1, as clients, take a connection that is reset in the middle of a body for the end of
# the body.
#
# Expected: an error, as requests, httpx and libcurl have it. RFC 9112, section 8: a response without a length that
# ends with its connection "is considered complete unless an error was indicated by the underlying connection".
# Seen: what has come is returned as the whole.
#
#   seen    : aiohttp b'half of the', tornado b'half of the', requests ChunkedEncodingError, httpx ReadError, pycurl error
#
# Why it matters: answers without a length (HTTP/1.0 servers, CGI, `Connection: close`) of a process that crashes or
# of a firewall that gives up are stored as complete files.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check aiohttp==3.14.5 tornado==6.6.1 requests==2.34.2 urllib3==2.8.0 \
    httpx==0.28.1 pycurl==7.49.0
cd "$tmp"
timeout 60 venv/bin/python - <<'PY'
import asyncio
import importlib.metadata
import io
import socket
import struct
import sys
import threading
import time

import aiohttp
import httpx
import pycurl
import requests
from tornado.httpclient import AsyncHTTPClient


def serve():
    while True:
        peer = listener.accept()[0]
        while b"\r\n\r\n" not in peer.recv(65536):
            pass
        peer.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf of the")
        time.sleep(0.5)  # the client has read this by now: a reset discards what it has not
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()  # with a reset


listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=serve, daemon=True).start()
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
    for option, value in (pycurl.URL, url), (pycurl.NOPROXY, "*"), (pycurl.WRITEDATA, body):
        curl.setopt(option, value)
    curl.perform()
    return body.getvalue()


CLIENTS = {
    "aiohttp": lambda: asyncio.run(by_aiohttp()),
    "tornado": lambda: asyncio.run(by_tornado()),
    "requests": lambda: session.get(url, timeout=10).content,
    "httpx": lambda: httpx.get(url, trust_env=False).content,
    "pycurl": by_pycurl,
}
seen = {}
for name, get in CLIENTS.items():
    try:
        seen[name] = str(get())
    except Exception as error:  # whatever it is: the name is shown
        seen[name] = type(error).__name__
print("version :", ", ".join(f"{name} {importlib.metadata.version(name)}" for name in CLIENTS))
print("expected: an error from each (RFC 9112, section 8)")
print("seen    :", ", ".join(f"{name} {what}" for name, what in seen.items()))
if list(seen.values()) != ["b'half of the'"] * 2 + ["ChunkedEncodingError", "ReadError", "error"]:
    sys.exit("changed: other clients see the reset")
PY

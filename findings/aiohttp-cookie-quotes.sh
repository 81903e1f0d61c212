#!/usr/bin/env bash
#
# aiohttp 3.14.5 gives a server its cookies back in quotes, when they have "=" or "/" in them or are empty.
#
# Expected: the value as it came, as requests, httpx and browsers have it. The docstring of CookieJar: "Implements
# cookie storage adhering to RFC 6265." Its section 5.4 puts the value into the Cookie field as section 5.2 stored it,
# and "=" and "/" may stand in a value (section 4.1.1).
# Seen: CookieJar's quote_cookie is on by default, and quotes by the rules of RFC 2109, which RFC 6265 has replaced.
#
#   seen    : token=YWJjZA== comes back as requests token=YWJjZA==, httpx token=YWJjZA==, aiohttp token="YWJjZA=="
#             path=/a/b comes back as requests path=/a/b, httpx path=/a/b, aiohttp path="/a/b"
#             empty= comes back as requests empty=, httpx empty=, aiohttp empty=""
#
# Why it matters: base64 ends with "=". Python's servers take the quotes off again; one that reads the field by RFC
# 6265 has them in its session key, and the login is lost.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check aiohttp==3.14.5 requests==2.34.2 httpx==0.28.1
cd "$tmp"
timeout 60 venv/bin/python - <<'PY'
import asyncio
import importlib.metadata
import socket
import sys
import threading

import aiohttp
import httpx
import requests

received, cookie = [], ""


def serve(peer):
    with peer:
        while head := peer.recv(65536):
            received.extend(line[8:] for line in head.decode().split("\r\n") if line.startswith(("Cookie: ", "cookie: ")))
            peer.sendall(f"HTTP/1.1 200 OK\r\nSet-Cookie: {cookie}; Path=/\r\nContent-Length: 0\r\n\r\n".encode())


def accept():
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=accept, daemon=True).start()
url = f"http://localhost:{listener.getsockname()[1]}/"  # a name: aiohttp keeps no cookies of addresses by default


def by_requests():
    with requests.Session() as client:
        client.trust_env = False
        for _ in range(2):
            client.get(url, timeout=10)


def by_httpx():
    with httpx.Client(trust_env=False) as client:
        for _ in range(2):
            client.get(url)


async def by_aiohttp():
    async with aiohttp.ClientSession() as client:
        for _ in range(2):
            async with client.get(url):
                pass


CLIENTS = {"requests": by_requests, "httpx": by_httpx, "aiohttp": lambda: asyncio.run(by_aiohttp())}
seen = {}
for cookie in "token=YWJjZA==", "path=/a/b", "empty=":
    for name, visit_twice in CLIENTS.items():
        received.clear()
        visit_twice()
        seen.setdefault(cookie, {})[name] = "; ".join(received)
print("version :", ", ".join(f"{name} {importlib.metadata.version(name)}" for name in CLIENTS))
print("expected: as it came, from each (RFC 6265, section 5.4)")
for lead, (cookie, back) in zip(("seen    :", "         ", "         "), seen.items()):
    print(lead, cookie, "comes back as", ", ".join(f"{name} {what}" for name, what in back.items()))
for cookie, back in seen.items():
    name, _, value = cookie.partition("=")
    if back != {"requests": cookie, "httpx": cookie, "aiohttp": f'{name}="{value}"'}:
        sys.exit("changed: a cookie comes back otherwise")
PY

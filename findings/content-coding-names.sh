#!/usr/bin/env bash
#
# Three clients return the coded bytes for Content-Encoding values that RFC 9110 allows: httpx 0.28.1, aiohttp 3.14.5,
# httplib2 0.32.1.
#
# Expected: "hello" in each case. RFC 9110, section 8.4: codings are listed in the order in which they were applied;
# section 8.4.1: they are case-insensitive; section 8.4.1.3: a recipient should take x-gzip for gzip.
# Seen: httpx does not know x-gzip, aiohttp no list and no x-gzip, httplib2 none of the three. None raises an error;
# status 200 and compressed bytes. requests (urllib3) decodes all three.
#
#   seen    : x-gzip: requests decoded, httpx as sent, aiohttp as sent, httplib2 as sent
#             GZIP: requests decoded, httpx decoded, aiohttp decoded, httplib2 as sent
#             gzip, gzip: requests decoded, httpx decoded, aiohttp as sent, httplib2 as sent
#
# Why it matters: what fails is the JSON parser, with a message about byte 0x8b, far from the cause.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check \
    httpx==0.28.1 aiohttp==3.14.5 httplib2==0.32.1 requests==2.34.2 urllib3==2.8.0
cd "$tmp"
timeout 60 venv/bin/python - <<'PY'
import asyncio
import gzip
import socket
import sys
import threading

import aiohttp
import httplib2
import httpx
import requests


def answer(raw):
    """Answers every request (none has a body) with the bytes raw; returns the port and the list of accepted connections."""
    listener, accepted = socket.create_server(("127.0.0.1", 0)), []

    def serve(peer):
        with peer:
            while peer.recv(65536):
                peer.sendall(raw)

    def accept():
        while True:
            accepted.append(listener.accept()[0])
            threading.Thread(target=serve, args=(accepted[-1],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1], accepted


async def by_aiohttp(url):
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return await response.read()


once = gzip.compress(b"hello")
seen = {}
for name, body in {"x-gzip": once, "GZIP": once, "gzip, gzip": gzip.compress(once)}.items():
    port, _ = answer(f"HTTP/1.1 200 OK\r\nContent-Encoding: {name}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    url = f"http://127.0.0.1:{port}/"
    bodies = {
        "requests": requests.get(url, proxies={"http": ""}, timeout=10).content,
        "httpx": httpx.get(url, trust_env=False).content,
        "aiohttp": asyncio.run(by_aiohttp(url)),
        "httplib2": httplib2.Http(timeout=10, proxy_info=None).request(url)[1],
    }
    words = {b"hello": "decoded", body: "as sent"}
    seen[name] = {client: words.get(got, "something else") for client, got in bodies.items()}
print("version : httpx", httpx.__version__, "aiohttp", aiohttp.__version__, "httplib2", httplib2.__version__)
print("expected: decoded in all cases (RFC 9110, sections 8.4 and 8.4.1)")
for lead, (name, results) in zip(("seen    :", "         ", "         "), seen.items()):
    print(f"{lead} {name}: " + ", ".join(f"{client} {what}" for client, what in results.items()))
d, s = "decoded", "as sent"
if [list(results.values()) for results in seen.values()] != [[d, s, s, s], [d, d, d, s], [d, d, s, s]]:
    sys.exit("changed: other codings are understood")
PY

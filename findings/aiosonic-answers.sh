#!/usr/bin/env bash
#
# aiosonic 1.3.3 loses the body of an answer without a length, fails on chunk extensions, and drops ";..." from the
# path.
#
# Expected: b'hello' twice, and /a;b=1/c;d=2?x=1. RFC 9112, section 6.3: a response without a length ends with its
# connection; section 7.1.1: chunk extensions that are not understood must be ignored. RFC 3986, section 3.3: ";"
# belongs to the path.
# Seen: 200 and no content, without an error; a ValueError; and another resource is asked for.
#
#   seen    : until the close 200 b''; chunk extension ValueError; /a;b=1/c;d=2?x=1 is asked for as /a;b=1/c?x=1
#
# Why it matters: old servers and CGI answer until the close, and an empty file is what is stored; matrix parameters
# of a REST interface, and a ;jsessionid, do not arrive.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check aiosonic==1.3.3
cd "$tmp"
timeout 60 venv/bin/python - <<'PY'
import asyncio
import importlib.metadata
import socket
import sys
import threading

import aiosonic

ANSWERS = {
    "/close": b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello",
    "/extension": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=1\r\nhello\r\n0\r\n\r\n",
}
targets = []


def serve():
    while True:
        peer = listener.accept()[0]
        with peer:
            targets.append(peer.recv(65536).decode().split()[1])
            peer.sendall(ANSWERS.get(targets[-1], b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"))


async def get(path):
    async with aiosonic.HTTPClient() as client:
        try:
            response = await client.get(f"http://127.0.0.1:{listener.getsockname()[1]}{path}")
            return f"{response.status_code} {await response.content()}"
        except Exception as error:  # whatever it is: the name is shown
            return type(error).__name__


listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=serve, daemon=True).start()
seen = [asyncio.run(get(path)) for path in (*ANSWERS, "/a;b=1/c;d=2?x=1")]
print("version : aiosonic", importlib.metadata.version("aiosonic"))
print("expected: 200 b'hello' twice, and /a;b=1/c;d=2?x=1 (RFC 9112, sections 6.3 and 7.1.1; RFC 3986, section 3.3)")
print(f"seen    : until the close {seen[0]}; chunk extension {seen[1]}; /a;b=1/c;d=2?x=1 is asked for as {targets[-1]}")
if (seen[:2], targets[-1]) != (["200 b''", "ValueError"], "/a;b=1/c?x=1"):
    sys.exit("changed: the answers come out otherwise")
PY

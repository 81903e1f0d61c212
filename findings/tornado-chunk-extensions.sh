#!/usr/bin/env bash
#
# Tornado 6.6.1 fails on chunk extensions and on trailer fields: its client loses the response, its server refuses the
# request with 400.
#
# Expected: "hello". RFC 9112, section 7.1.1: a recipient must ignore chunk extensions that it does not know; section
# 7.1.2: it may discard trailer fields.
# Seen: the size line is given to int() as a whole, and after the last chunk nothing but an empty line is accepted.
#
#   seen    : client, extension: HTTPStreamClosedError; server, extension: 400
#             client, trailer: HTTPStreamClosedError; server, trailer: 400
#
# Why it matters: a checksum or a timing after a streamed body travels as a trailer field; Jupyter and mitmweb are
# Tornado servers.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check tornado==6.6.1
cd "$tmp"
timeout 60 venv/bin/python - <<'PY'
import asyncio
import socket
import sys
import threading

import tornado
import tornado.web
from tornado.httpclient import AsyncHTTPClient


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


bodies = {"extension": b"5;note=1\r\nhello\r\n0\r\n\r\n", "trailer": b"5\r\nhello\r\n0\r\nX-Checksum: 1\r\n\r\n"}


class Echo(tornado.web.RequestHandler):
    def post(self):
        self.finish(self.request.body)


async def main():
    seen = {}
    server = tornado.web.Application([("/", Echo)], log_function=lambda handler: None).listen(0, "127.0.0.1")
    own_port = next(iter(server._sockets.values())).getsockname()[1]
    for name, body in bodies.items():
        port, _ = answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
        try:
            client = (await AsyncHTTPClient().fetch(f"http://127.0.0.1:{port}/")).body.decode()
        except Exception as error:
            client = type(error).__name__
        reader, writer = await asyncio.open_connection("127.0.0.1", own_port)
        writer.write(b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
        seen[name] = client, (await reader.readline()).split()[1].decode()
        writer.close()
    return seen


seen = asyncio.run(main())
print("version :", tornado.version)
print("expected: hello and 200 (RFC 9112, sections 7.1.1 and 7.1.2)")
for lead, (name, (client, server)) in zip(("seen    :", "         "), seen.items()):
    print(f"{lead} client, {name}: {client}; server, {name}: {server}")
if set(seen.values()) != {("HTTPStreamClosedError", "400")}:
    sys.exit("changed: extensions or trailers are understood")
PY

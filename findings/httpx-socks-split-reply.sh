#!/usr/bin/env bash
#
# httpx 0.28.1 (httpcore 1.0.9, socksio 1.0.0) fails when a SOCKS5 proxy's reply arrives in two pieces, and not with an
# httpx error.
#
# Expected: 200. A SOCKS reply (RFC 1928, section 6) is a sequence of octets on TCP, which keeps no boundaries of
# writes. If it did fail, then by httpx's page "Exceptions" with a subclass of httpx.RequestError.
# Seen: httpcore reads once and hands what came to socksio, which demands the whole reply; its own exception reaches the
# caller.
#
#   seen    : reply in one piece 200, in two pieces socksio.exceptions.ProtocolError, an httpx error: False
#
# Why it matters: a proxy that writes the address after the status, or a path that divides segments, breaks requests at
# random, past every "except httpx.HTTPError".
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check 'httpx[socks]==0.28.1' httpcore==1.0.9 socksio==1.0.0
cd "$tmp"
timeout 60 venv/bin/python - <<'PY'
import socket
import sys
import threading
import time

import httpx


def proxy(pieces):
    """A SOCKS5 proxy for one client, which is the target too, and which writes its reply to CONNECT in these pieces."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        peer = listener.accept()[0]
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer.recv(100)
        peer.sendall(b"\x05\x00")
        peer.recv(100)
        for piece in pieces:
            peer.sendall(piece)
            time.sleep(0.2)
        if peer.recv(65536):
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    threading.Thread(target=serve, daemon=True).start()
    return f"socks5://127.0.0.1:{listener.getsockname()[1]}"


seen = []
for pieces in [b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"], [b"\x05\x00\x00\x01", b"\x00\x00\x00\x00\x00\x00"]:
    try:
        with httpx.Client(proxy=proxy(pieces), trust_env=False) as client:
            seen.append((str(client.get("http://127.0.0.1:9/").status_code), None))
    except Exception as error:
        seen.append((f"{type(error).__module__}.{type(error).__name__}", isinstance(error, httpx.HTTPError)))
print("version :", httpx.__version__)
print("expected: 200 and 200 (RFC 1928, section 6)")
print(f"seen    : reply in one piece {seen[0][0]}, in two pieces {seen[1][0]}, an httpx error: {seen[1][1]}")
if seen != [("200", None), ("socksio.exceptions.ProtocolError", False)]:
    sys.exit("changed: a divided reply is treated in another way")
PY

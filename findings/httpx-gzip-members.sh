#!/usr/bin/env bash
#
# httpx 0.28.1 returns the first member of a gzip body and drops the others, without an error.
#
# Expected: both members. RFC 9110, section 8.4.1.3, defines the coding by the gzip file format, and RFC 1952, section
# 2.2, says that a file consists of a series of members, one after the other: what `cat a.gz b.gz` and bgzip write.
# Seen: "hel" for "hello", status 200. requests (urllib3) returns "hello" for the same bytes.
#
#   seen    : httpx 'hel', requests 'hello'
#
# Why it matters: a download is cut short and nothing says so; the length of the message and the gzip checksum of the
# first member are right.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check httpx==0.28.1 requests==2.34.2 urllib3==2.8.0
cd "$tmp"
timeout 60 venv/bin/python - <<'PY'
import gzip
import socket
import sys
import threading

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


members = gzip.compress(b"hel") + gzip.compress(b"lo")
port, _ = answer(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(members) + members)
url = f"http://127.0.0.1:{port}/"
seen = httpx.get(url, trust_env=False).text, requests.get(url, proxies={"http": ""}, timeout=10).text
print("version :", httpx.__version__)
print("expected: 'hello' (RFC 1952, section 2.2; RFC 9110, section 8.4.1.3)")
print(f"seen    : httpx {seen[0]!r}, requests {seen[1]!r}")
if seen != ("hel", "hello"):
    sys.exit("changed: httpx no longer stops after the first member")
PY

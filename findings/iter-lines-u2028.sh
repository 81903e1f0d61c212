#!/usr/bin/env bash
#
# requests 2.34.2, iter_lines(decode_unicode=True), and httpx 0.28.1, iter_lines(), end a line at U+2028 and at other
# characters that end none.
#
# Expected: one line per line feed. In NDJSON (and in an event stream) only CR and LF end a line, and RFC 8259, section
# 7, lets U+2028 stand in a JSON string as it is. json.dumps(..., ensure_ascii=False) writes it so.
# Seen: one record comes as two pieces, neither of which is JSON. Both use str.splitlines(). Bytes, as iter_lines() of
# requests gives them without decode_unicode, are right.
#
#   seen    : requests, text 3 lines, bytes 2 lines; httpx 3 lines
#
# Why it matters: a stream of records fails only on the day on which a user's text contains such a character.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check requests==2.34.2 httpx==0.28.1
cd "$tmp"
timeout 60 venv/bin/python - <<'PY'
import json
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


records = [{"text": "one\u2028line"}, {"text": "another"}]
body = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()
head = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson; charset=utf-8\r\nContent-Length: %d\r\n\r\n" % len(body)
port, _ = answer(head + body)
url = f"http://127.0.0.1:{port}/"
with requests.Session() as session, httpx.Client(trust_env=False) as client:
    session.trust_env = False
    text = len(list(session.get(url, timeout=10).iter_lines(decode_unicode=True)))
    raw = len(list(session.get(url, timeout=10).iter_lines()))
    with client.stream("GET", url) as response:
        httpx_text = len(list(response.iter_lines()))
print("version : requests", requests.__version__, "httpx", httpx.__version__)
print("expected: 2 lines from each (RFC 8259, section 7)")
print(f"seen    : requests, text {text} lines, bytes {raw} lines; httpx {httpx_text} lines")
if (text, raw, httpx_text) != (3, 2, 3):
    sys.exit("changed: lines are divided in another way")
PY

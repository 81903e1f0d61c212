#!/usr/bin/env bash
#
# httplib2 0.32.1 raises a bare ValueError for every answer that has a Content-Encoding and no content.
#
# Expected: the answer, with an empty body, as from requests. RFC 9110, section 8.4: Content-Encoding tells what was
# done to the content; 204 and 304 have none (sections 15.3.5 and 15.4.5), and servers that compress everything send
# the field there too.
# Seen: the body is decoded in steps whose size is computed from its length, which is 0.
#
#   seen    : 200 ValueError, 204 ValueError, 304 ValueError (range() arg 3 must not be zero)
#
# Why it matters: a DELETE that was answered 204 counts as failed, and `except HttpLib2Error` does not see it.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check httplib2==0.32.1 requests==2.34.2
cd "$tmp"
timeout 60 venv/bin/python - <<'PY'
import socket
import sys
import threading

import httplib2
import requests


def serve(peer):
    with peer:
        while head := peer.recv(65536):
            status = head.split()[1][1:]
            length = b"Content-Length: 0\r\n" if status == b"200" else b""
            peer.sendall(b"HTTP/1.1 %b X\r\nContent-Encoding: gzip\r\n%b\r\n" % (status, length))


def accept():
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=accept, daemon=True).start()
url = f"http://127.0.0.1:{listener.getsockname()[1]}"
session = requests.Session()
session.trust_env = False
seen, other, words = {}, [], set()
for status in "200", "204", "304":
    other.append(session.get(f"{url}/{status}", timeout=10).content)
    try:
        response, content = httplib2.Http(timeout=10, proxy_info=None).request(f"{url}/{status}")
        seen[status] = str(content)
    except Exception as error:  # whatever it is: the name is shown
        seen[status] = type(error).__name__
        words.add(str(error))
print("version : httplib2", httplib2.__version__)
print("expected: b'' each time, as requests", requests.__version__, "has it")
print("seen    :", ", ".join(f"{status} {what}" for status, what in seen.items()), f"({'; '.join(words)})")
if set(seen.values()) != {"ValueError"} or set(other) != {b""}:
    sys.exit("changed: the answer comes out otherwise")
PY

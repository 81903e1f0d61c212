#!/usr/bin/env bash
#
# libcurl (in pycurl 7.49.0) sends a POST a second time when the server has read it and closes without an answer.
#
# Expected: an error. RFC 9110, section 9.2.2: a client should not retry a request with a non-idempotent method by
# itself unless it knows that the request was never applied; a worker that died in the middle of a POST may well have
# applied it.
# Seen: on a kept connection libcurl takes a close without a byte of answer for an idle close, and repeats the POST on a
# new connection.
#
#   seen    : curl reports 200; the server received the POST 2 times
#
# Why it matters: the order is placed twice, and the caller sees one success.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check pycurl==7.49.0
cd "$tmp"
timeout 60 venv/bin/python - <<'PY'
import io
import socket
import sys
import threading

import pycurl

received = []
listener = socket.create_server(("127.0.0.1", 0))


def serve():
    for number in range(2):
        peer = listener.accept()[0]
        with peer:
            while data := peer.recv(65536):
                if data.startswith(b"POST"):
                    received.append(data.partition(b"\r\n\r\n")[2])
                    if number == 0:
                        break  # as if the worker had died, with the POST read and executed
                peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")


threading.Thread(target=serve, daemon=True).start()
curl = pycurl.Curl()
curl.setopt(pycurl.URL, f"http://127.0.0.1:{listener.getsockname()[1]}/")
curl.setopt(pycurl.NOPROXY, "*")
curl.setopt(pycurl.TIMEOUT, 10)
curl.setopt(pycurl.WRITEDATA, io.BytesIO())
curl.perform()
curl.setopt(pycurl.POSTFIELDS, "order=1")
try:
    curl.perform()
    outcome = str(curl.getinfo(pycurl.RESPONSE_CODE))
except pycurl.error as error:
    outcome = f"error {error.args[0]}"
print("version :", pycurl.version.split(" OpenSSL")[0])
print("expected: an error, and the POST received once (RFC 9110, section 9.2.2)")
print(f"seen    : curl reports {outcome}; the server received the POST {received.count(b'order=1')} times")
if (outcome, received) != ("200", [b"order=1", b"order=1"]):
    sys.exit("changed: the POST is not sent again")
PY

#!/usr/bin/env bash
#
# http.cookiejar (CPython 3.11) keeps, and sends, cookies whose Expires lies before 1970 or has the two-digit year 70.
#
# Expected: a date in the past deletes the cookie. RFC 6265, section 5.1.1: two-digit years from 70 to 99 are 1970 to
# 1999, and every year from 1601 on is a date. Servers delete cookies with "Thu, 01-Jan-70 00:00:00 GMT" and the like.
# Seen: 70 is read as 2070, and dates before 1970 are no dates, so that the cookie lives as long as the session.
#
#   seen    : Thu, 01-Jan-1970 00:00:01 GMT: deleted
#             Thu, 01-Jan-70 00:00:01 GMT: sent
#             Wed, 31 Dec 1969 23:59:59 GMT: sent
#
# Why it matters: requests, httpx, mechanize and urllib all use this jar; after a logout the session cookie goes on
# being sent.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check requests==2.34.2
cd "$tmp"
timeout 60 venv/bin/python - <<'PY'
import platform
import socket
import sys
import threading

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


dates = ["Thu, 01-Jan-1970 00:00:01 GMT", "Thu, 01-Jan-70 00:00:01 GMT", "Wed, 31 Dec 1969 23:59:59 GMT"]
seen = []
for date in dates:
    port, _ = answer(f"HTTP/1.1 204 No Content\r\nSet-Cookie: sid=; Path=/; Expires={date}\r\n\r\n".encode())
    url = f"http://127.0.0.1:{port}/"
    with requests.Session() as session:
        session.trust_env = False
        session.get(url, timeout=10)
        seen.append("sent" if "Cookie" in session.get(url, timeout=10).request.headers else "deleted")
print("version : CPython", platform.python_version(), "with requests", requests.__version__)
print("expected: deleted, deleted, deleted (RFC 6265, section 5.1.1)")
for lead, date, what in zip(("seen    :", "         ", "         "), dates, seen):
    print(f"{lead} {date}: {what}")
if seen != ["deleted", "sent", "sent"]:
    sys.exit("changed: other dates are honoured now")
PY

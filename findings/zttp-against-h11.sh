#!/usr/bin/env bash
#
# zttp 0.0.35, which has h11's event model in 1/30 of the time, is no replacement for h11 under a client that keeps
# connections: it gives nobody the bytes behind a complete answer, and it refuses answers that h11 reads.
#
# Expected: what is left over can be asked for, as by h11's trailing_data: a client must not use a connection again on
# which more came than was asked for (RFC 9112, section 9.2: it "MUST NOT consider that data to be a response to a
# not-yet-issued request"). And what the two make of the same answer is the same.
# Seen: with one byte too much and with none, the connection says NEED_DATA and should_close() False, before the next
# cycle and in it; the byte becomes the beginning of the next answer. Four kinds of answers are refused which h11 reads
# (RFC 9112, section 5.2: a user agent "MUST replace" a folded line; RFC 9110, section 15: a status of 600 to 999 is to
# be treated as a 5xx), one is read which h11 refuses; heads end at 101 fields.
#
#   seen    : nothing over: NeedData, closes False; one byte over: NeedData, closes False
#   seen    : folded line: h11 reads, zttp refuses
#   seen    : status 600: h11 reads, zttp refuses
#   seen    : Content-Length: 2, 2: h11 reads, zttp refuses
#   seen    : lines that end in LF alone: h11 reads, zttp refuses
#   seen    : Transfer-Encoding: gzip, chunked: h11 refuses, zttp reads
#   seen    : 100 fields: h11 reads, zttp reads
#   seen    : 101 fields: h11 reads, zttp refuses
#
# Why it matters: the speed is real, and a pool that puts it in h11's place loses the one check that keeps a stray answer
# from being given to the next request.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check zttp==0.0.35 h11==0.16.0
cd "$tmp"
timeout 60 venv/bin/python - <<'PY'
import sys
from importlib.metadata import version

import h11
import zttp

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
FIELDS = b"".join(b"F%d: v\r\n" % number for number in range(200))


def with_fields(count):
    lines = FIELDS.split(b"\r\n")[: count - 1]
    return b"\r\n".join([b"HTTP/1.1 200 OK", *lines, b"Content-Length: 2", b"", b"hi"])


CASES = {
    "folded line": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nhi",
    "status 600": b"HTTP/1.1 600 Odd\r\nContent-Length: 2\r\n\r\nhi",
    "Content-Length: 2, 2": b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nhi",
    "lines that end in LF alone": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi",
    "Transfer-Encoding: gzip, chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "100 fields": with_fields(100),
    "101 fields": with_fields(101),
}


def by_h11(data):
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(data)
    try:
        while type(connection.next_event()) is not h11.EndOfMessage:
            pass
    except h11.RemoteProtocolError:
        return "refuses"
    return "reads"


def asked():
    connection = zttp.Connection(zttp.CLIENT)
    connection.send_request(b"GET", b"/", b"1.1", [(b"Host", b"a")])
    connection.end_message()
    connection.data_to_send()
    return connection


def by_zttp(data):
    connection = asked()
    try:
        connection.receive_data(data)
        while type(connection.next_event()) is not zttp.EndOfMessage:
            pass
    except zttp.RemoteProtocolError:
        return "refuses"
    return "reads"


def told(data):
    """What a connection says that has read one whole answer from these bytes."""
    connection = asked()
    connection.receive_data(data)
    while type(connection.next_event()) is not zttp.EndOfMessage:
        pass
    behind = type(connection.next_event()).__name__
    connection.start_next_cycle()
    again = type(connection.next_event()).__name__
    return f"{behind if behind == again else (behind, again)}, closes {connection.should_close()}"


print("version :", version("zttp"), "and h11", version("h11"))
print("expected: a difference between nothing and one byte over, and the same reading of the same answers")
seen = [f"nothing over: {told(ANSWER)}; one byte over: {told(ANSWER + b'X')}"]
seen += [f"{name}: h11 {by_h11(data)}, zttp {by_zttp(data)}" for name, data in CASES.items()]
for line in seen:
    print("seen    :", line)
WANTED = """
nothing over: NeedData, closes False; one byte over: NeedData, closes False
folded line: h11 reads, zttp refuses
status 600: h11 reads, zttp refuses
Content-Length: 2, 2: h11 reads, zttp refuses
lines that end in LF alone: h11 reads, zttp refuses
Transfer-Encoding: gzip, chunked: h11 refuses, zttp reads
100 fields: h11 reads, zttp reads
101 fields: h11 reads, zttp refuses
"""
if seen != WANTED.strip().splitlines():
    sys.exit("changed: " + str([line for line in seen if line not in WANTED]))
PY

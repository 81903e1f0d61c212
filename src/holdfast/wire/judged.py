"""A head that h11 has judged: bytes like those say the same of the same method, and need no second parsing. Pure.

Much of what a server answers over a connection begins alike. Within a second often to the byte; after that the Date is another, and
perhaps the length, an ETag, the id of the request. So the last head of a connection is kept, and a new connection begins with the
last one of its origin. It is one that says how long its body is, or that it comes in chunks, so that h11 has no more to do with
the answer, as a rule.

Alike, to this module, is a head with the same status line and the same field names, byte for byte and in order. What is in a field
whose value is another is looked at here: only bytes that h11 takes in a value, and by what the field means to the framing

| the field | another value |
|---|---|
| Content-Length, the only one (of two that are equal h11 gives one), not beside chunks | digits: the new length |
| Keep-Alive, the only one | is read |
| Transfer-Encoding, Connection, Upgrade | h11 judges the whole head |
| any other | stands for itself |
"""

from __future__ import annotations

import re

from .._values import NamedTuple
from .framing import NO_HEAD, ResponseHead, has_no_body, parse_keep_alive

MAX_BYTES = 2048  # of one that is kept

_END = b"\r\n\r\n"
_FRAMES = frozenset((b"transfer-encoding", b"connection", b"upgrade"))
_is_value = re.compile(rb"[\t -~\x80-\xff]*").fullmatch
_is_length = re.compile(rb"[0-9]{1,18}").fullmatch


class Judged(NamedTuple):
    """One head.

    Attributes:
        method: of the request to which it was the answer.
        received: its bytes: all that h11 took, a new one's first bytes.
        said: what it says.
        lines: of ``received``, each field one line; none if it has other lines.
    """

    method: bytes
    received: bytes
    said: ResponseHead
    lines: list[bytes]


NONE = Judged(b"", b"", NO_HEAD, [])


def judged(method: bytes, received: bytes, behind: bytes, said: ResponseHead) -> Judged:
    """What h11 made of ``received``, of which it left ``behind``, if it may be kept; else NONE."""
    size = len(received) - len(behind)
    if size > MAX_BYTES or (said.expected is None and not said.chunked):
        return NONE
    return Judged(method, received[:size], said, _lines_of(received[:size], said))


def _lines_of(head: bytes, said: ResponseHead) -> list[bytes]:
    lines = head.removesuffix(_END).split(b"\r\n")
    one_each = head.endswith(_END) and len(lines) == len(said.raw_headers) + 1
    hints = sum(name.lower() == b"keep-alive" for name, _ in said.raw_headers)  # of several, the last counts
    return lines if one_each and hints < 2 and all(map(_is_value, lines)) else []  # a bare LF is no value's


def alike(known: Judged, received: bytes) -> Judged:
    """What ``received`` begins with, if it is a head like the one that is known; else NONE."""
    end = received.find(_END, 0, MAX_BYTES)
    lines = received[: max(0, end)].split(b"\r\n")
    before = known.lines
    if len(lines) != len(before) or lines[0] != before[0]:
        return NONE
    status, reason, version, raw, expected, chunked, sets_cookies, encoded, hints, reuse, _ = known.said
    fields = raw.copy()
    for at, (name, _) in enumerate(raw):
        line = lines[at + 1]
        if line == before[at + 1]:
            continue
        field, colon, value = line.partition(b":")
        value = value.strip(b" \t")
        kind = name.lower()
        if field != name or not colon or not _is_value(value) or kind in _FRAMES:
            return NONE
        if kind == b"content-length":
            if chunked or not _is_length(value) or (not expected and not has_no_body(known.method, status)):
                return NONE
            expected = int(value) if expected else 0
        elif kind == b"keep-alive":
            hints = parse_keep_alive(value)
        fields[at] = name, value
    said = ResponseHead(status, reason, version, fields, expected, chunked, sets_cookies, encoded, hints, reuse)
    return Judged(known.method, received[: end + len(_END)], said, lines)

"""A head that h11 has judged: a head like it, in answer to the same method, needs no second parsing. Pure.

The heads that a server sends over one connection are mostly alike: within a second often to the byte, after that but for the Date,
and perhaps a length, an ETag, the id of the request. So the last head of a connection is kept, and a new connection begins with
the last one of its origin. Kept is only a head that says how long its body is, or that the body comes in chunks: as a rule h11 has
no more to do with such an answer.

Alike are heads with the same status line and the same field names, byte for byte and in order. A value that differs is looked at
here. It has to be of bytes that h11 takes in a value; the rest depends on what the field means to the framing:

| the field | another value |
|---|---|
| Content-Length | digits: the new length; anything else, or beside chunks: h11 judges the whole head |
| Keep-Alive, if there is one | is parsed |
| Transfer-Encoding, Connection, Upgrade | h11 judges the whole head |
| any other | is taken as it is |
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
        received: its bytes, from the status line to the empty line.
        said: what it says.
        lines: of ``received``: the status line and one for each field. Empty if h11 made other fields of them: it unfolds
            lines, and gives two equal Content-Lengths as one.
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
    return lines if one_each and hints < 2 and all(map(_is_value, lines)) else []  # no line may have a bare LF


def alike(known: Judged, received: bytes) -> Judged:
    """The head with which ``received`` begins, if it is like ``known``; else NONE."""
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
            # expected is 0 for an answer without a body too, of which a length says nothing, and for a body of no bytes.
            if chunked or not _is_length(value) or (not expected and not has_no_body(known.method, status)):
                return NONE
            expected = int(value) if expected else 0
        elif kind == b"keep-alive":
            hints = parse_keep_alive(value)
        fields[at] = name, value
    said = ResponseHead(status, reason, version, fields, expected, chunked, sets_cookies, encoded, hints, reuse)
    return Judged(known.method, received[: end + len(_END)], said, lines)

"""What the head of a response says of the body behind it and of the connection's next use. Pure: no h11 at run time, no bytes read.

h11 does the framing, by these rules (RFC 9112, section 6.3), the first that fits. "Kept" is what becomes of the connection:

| the head | the body | kept |
|---|---|---|
| answers HEAD, or has status 204 or 304, or 2xx to a CONNECT | none | yes (CONNECT: no) |
| Transfer-Encoding: chunked | its chunks | yes; no beside a Content-Length, or in HTTP/1.0 |
| Content-Length | as many bytes | yes |
| neither | until the connection ends | no |

What h11 refuses and other clients read is read here too where they all read the same, and the connection ends behind it (``mend``):

| the head | the body |
|---|---|
| chunked more than once, with ``identity`` or empty elements in the list | its chunks: applied once (section 7.1 forbids more) |
| only ``identity`` or empty elements, which name no coding | as without a Transfer-Encoding |
| a Content-Length that is no number, or several, where the rows above it decide | as they say: it is not looked at (section 6.3) |

Everything else stays refused: another coding than chunked; a Content-Length that counts and is empty, signed or ambiguous, since
section 6.3 has the response discarded, and other clients do not agree on where it would end.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import h11

RawHeaders = list[tuple[bytes, bytes]]

_NOTED = (b"content-length", b"transfer-encoding", b"content-encoding", b"keep-alive", b"connection", b"set-cookie")
_NOTED_SIZES = frozenset(map(len, _NOTED))  # most fields are told apart by their name's length alone


class Reuse(Enum):
    """What the next request on this connection needs, once the body has been read to its end."""

    NEXT_CYCLE = "h11 goes on"
    NEW_PARSER = "h11 gives up, the connection need not: HTTP/1.0 with keep-alive"
    NEVER = "the connection ends with this response"


_NEXT_CYCLE, _NEW_PARSER, _NEVER = Reuse  # a global costs a fraction of an enum's attribute


class ResponseHead(NamedTuple):
    """The head of one final response: what is said of it stays true when the connection belongs to another request.

    Attributes:
        status_code: 200 to 999.
        reason: the reason phrase as it came.
        http_version: ``b"1.1"`` or ``b"1.0"``.
        raw_headers: the fields as they came, in order.
        expected: payload bytes that will come; None when the framing does not say.
        chunked: the body comes in chunks.
        sets_cookies: there is a Set-Cookie field.
        encoded: there is a Content-Encoding field.
        keep_alive: (timeout, max) of the Keep-Alive field; None where it does not say.
        reuse: what the connection's next request needs.
        request_incomplete: it came before the whole request was sent, and the rest was not sent.
    """

    status_code: int
    reason: bytes
    http_version: bytes
    raw_headers: RawHeaders
    expected: int | None
    chunked: bool
    sets_cookies: bool
    encoded: bool
    keep_alive: tuple[float | None, int | None]
    reuse: Reuse
    request_incomplete: bool = False


UNSAID: tuple[float | None, int | None] = (None, None)
NO_HEAD = ResponseHead(0, b"", b"", [], None, False, False, False, UNSAID, _NEVER)
"""Stands where the head is still to come."""


def understand(head: h11.Response, fields: RawHeaders, request: h11.Request) -> ResponseHead:
    """What ``head``, the answer to ``request``, says. One pass over its fields."""
    length: int | None = None
    chunked = sets_cookies = encoded = False
    hints = UNSAID
    version = head.http_version
    reuse = _NEXT_CYCLE if version == b"1.1" else _NEVER
    for raw_name, value in fields:
        if len(raw_name) not in _NOTED_SIZES:
            continue
        name = raw_name.lower()
        if name == b"content-length":
            length = int(value)
        elif name == b"transfer-encoding":
            chunked = True
        elif name == b"content-encoding":
            encoded = True
        elif name == b"set-cookie":
            sets_cookies = True
        elif name == b"keep-alive":
            hints = parse_keep_alive(value)
        elif name == b"connection" and version == b"1.0" and _kept_by_both(value, request):
            reuse = _NEW_PARSER
    status = head.status_code
    bodyless = has_no_body(request.method, status)
    if chunked and (length is not None or version == b"1.0"):
        reuse = _NEVER  # RFC 9112, section 6.1: this "ought to be handled as an error", and ends with the connection
    elif not bodyless and length is None and not chunked:
        reuse = _NEVER  # the body ends with the connection: there is nothing left to reuse
    expected = 0 if bodyless else None if chunked else length
    return ResponseHead(
        status, head.reason, version, fields, expected, chunked and not bodyless, sets_cookies, encoded, hints, reuse
    )


def has_no_body(method: bytes, status: int) -> bool:
    """Whether the response to ``method`` with this status has no body, whatever its fields say (RFC 9112, section 6.3)."""
    return status in (204, 304) or method == b"HEAD" or (method == b"CONNECT" and status < 300)


def _kept_by_both(connection: bytes, request: h11.Request) -> bool:
    """Whether this Connection field of an HTTP/1.0 response keeps the connection, and the request did not end it."""
    options = connection.lower()
    if b"keep-alive" not in options or b"close" in options:
        return False
    return not any(name == b"connection" and b"close" in value.lower() for name, value in request.headers)


def parse_keep_alive(value: bytes) -> tuple[float | None, int | None]:
    """(timeout, max) of a Keep-Alive field (RFC 2068, section 19.7.1.1); None for what it does not say."""
    timeout: float | None = None
    uses: int | None = None
    for parameter in value[:200].split(b","):
        name, _, number = parameter.partition(b"=")
        number = number.strip(b' \t"')
        if number.isdigit() and len(number) < 10:
            if name.strip().lower() == b"timeout":
                timeout = float(number)
            elif name.strip().lower() == b"max":
                uses = int(number)
    return timeout, uses


# -- heads that h11 refuses ----------------------------------------------------------------------------------------------

_HEAD_END = re.compile(rb"\n\r?\n")
_STATUS = re.compile(rb"HTTP/1\.[0-9] ([2-9][0-9][0-9])[ \r\n]")
_FRAMING_FIELD = re.compile(
    rb"^(transfer-encoding|content-length):([^\n]*(?:\n[ \t][^\n]*)*)\n", re.IGNORECASE | re.MULTILINE
)
_FOLD = re.compile(rb"\r?\n[ \t]+")
_LENGTH = re.compile(rb"[0-9]{1,20}")
_CHUNKED_LINE = b"Transfer-Encoding: chunked\r\n"


class Mended(NamedTuple):
    """A head that h11 reads, made of one that it refuses: the fields that it must not see have another name.

    Attributes:
        received: the head, and what came behind it.
        alias: the other name.
        names: the names themselves, in order.
        added: whether a Transfer-Encoding of our own stands behind the other fields.
    """

    received: bytes
    alias: bytes
    names: list[bytes]
    added: bool

    def restore(self, fields: RawHeaders) -> RawHeaders:
        """The fields as they came."""
        names = iter(self.names)
        kept = fields[:-1] if self.added else fields
        return [(next(names), value) if name == self.alias else (name, value) for name, value in kept]


def mend(received: bytes, method: bytes) -> Mended | None:
    """``received`` with a head that h11 reads, if the second table above has a row for it; else None: it stays refused.

    Args:
        received: all that has come since the head's first byte; the head is complete.
        method: of the request.
    """
    end = _HEAD_END.search(received)
    status = _STATUS.match(received)
    if end is None or status is None:
        return None
    head, rest = received[: end.start() + 1], received[end.start() + 1 :]
    found = [(match[1].lower(), _FOLD.sub(b" ", match[2]).strip(b" \t\r").lower()) for match in _FRAMING_FIELD.finditer(head)]
    transfer = [value for name, value in found if name == b"transfer-encoding"]
    lengths = [value for name, value in found if name == b"content-length"]
    codings = {coding.strip(b" \t") for value in transfer for coding in value.split(b",")} - {b"identity", b""}
    if codings - {b"chunked"}:
        return None
    hidden = set()
    if transfer and transfer != [b"chunked"]:
        hidden.add(b"transfer-encoding")
    if lengths and not _is_one_number(lengths):
        if not codings and not has_no_body(method, int(status[1])):
            return None
        hidden.add(b"content-length")
    return _hide(head, rest, hidden, chunked=bool(codings)) if hidden else None


def _is_one_number(lengths: list[bytes]) -> bool:
    numbers = {number.strip(b" \t") for value in lengths for number in value.split(b",")}
    return len(numbers) == 1 and _LENGTH.fullmatch(numbers.pop()) is not None


def _hide(head: bytes, rest: bytes, hidden: set[bytes], *, chunked: bool) -> Mended:
    alias = b"holdfast-hidden"
    while alias in head.lower():
        alias += b"-"
    names: list[bytes] = []

    def rename(field: re.Match[bytes]) -> bytes:
        if field[1].lower() not in hidden:
            return field[0]
        names.append(field[1])
        return alias + b":" + field[2] + b"\n"

    added = chunked and b"transfer-encoding" in hidden
    return Mended(_FRAMING_FIELD.sub(rename, head) + (_CHUNKED_LINE if added else b"") + rest, alias, names, added)


# -- chunks that will never be any ---------------------------------------------------------------------------------------

_BEGINS_A_LINE = re.compile(
    rb"""
    [0-9A-Fa-f]{1,20} [ \t]* (?: ; [^\n]* )? \r?  # a chunk's size, whose line CRLF alone can end: a LF would not be the end to all
    | [-!\#$%&'*+.^_`|~0-9A-Za-z]* (?: : .* )?  # or trailer fields
    | \r
    """,
    re.VERBOSE | re.DOTALL,
)


def may_become_a_line(begun: bytes) -> bool:
    """Whether the start of a chunk's size line, or of the trailer fields, can still become one; if not, waiting is in vain."""
    return _BEGINS_A_LINE.fullmatch(begun) is not None

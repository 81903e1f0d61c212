"""What the head of a response says of the body behind it and of the connection's next use. Pure: no h11 at run time, no bytes read.

h11 does the framing, by these rules (RFC 9112, section 6.3), the first that fits. "Kept" is what becomes of the connection:

| the head | the body | kept |
|---|---|---|
| answers HEAD, or has status 204 or 304, or 2xx to a CONNECT | none | yes (CONNECT: no) |
| Transfer-Encoding: chunked | its chunks | yes; no beside a Content-Length, or in HTTP/1.0 |
| Content-Length | as many bytes | yes |
| neither | until the connection ends | no |

What h11 refuses is ``mending``'s subject.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from .._values import NamedTuple

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
        raw_headers: the fields as they came, in order. Not to be changed: it may be another answer's head, too.
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
        elif name == b"connection":
            options = value.lower()
            if version == b"1.1":
                if b"close" in options and b"close" in map(bytes.strip, options.split(b",")):
                    reuse = _NEVER
            elif version == b"1.0" and _kept_by_both(options, request):
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


def _kept_by_both(options: bytes, request: h11.Request) -> bool:
    """Whether this Connection field of an HTTP/1.0 response keeps the connection, and the request did not end it."""
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

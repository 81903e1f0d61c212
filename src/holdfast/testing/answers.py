"""Answer: a response that a fake server gives, as the bytes in which it comes over the connection."""

from __future__ import annotations

import json as _json
from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from .._numbers import number_of
from ..message.fields import encode_reason
from ..message.headers import Headers
from ..message.pieces import exact_bytes
from .script import Play, Said

if TYPE_CHECKING:
    from ..message.request import PreparedRequest

UNSET: Any = object()
"""No JSON: None is null."""


class Answer:
    """A response: ``Answer(201, json={"id": 7})``.

    Args:
        status: 200 to 599. Default 200.
        json: a value to send as JSON, with that Content-Type.
        text: to send in UTF-8, as text/plain.
        content: the body; of an iterable of bytes, each piece as a chunk (RFC 9112, section 7.1).
        headers: a mapping or pairs. ``Content-Length`` or ``Transfer-Encoding`` are added, and ``Content-Type`` as said above,
            unless they are among them.
        reason: the reason phrase. Default: the status' own.
        delay: seconds until it comes. No time is spent: the call's clock is moved on.

    Raises:
        ValueError: more than one of ``json``, ``text`` and ``content``; text as ``content``; a status or a delay that makes no
            sense.
        InvalidHeader: a field, or a reason phrase, that cannot be sent.
        TypeError: ``content`` is not bytes, nor an iterable of bytes.
    """

    def __init__(
        self,
        status: int = 200,
        *,
        json: Any = UNSET,
        text: str | None = None,
        content: bytes | Iterable[bytes] | None = None,
        headers: Any = None,
        reason: str | None = None,
        delay: float = 0.0,
    ) -> None:
        if (json is not UNSET) + (text is not None) + (content is not None) > 1:
            raise ValueError("Answer(): give one of json=, text= and content=")
        if isinstance(content, str):
            raise ValueError("Answer(content=...): expected bytes, or an iterable of bytes; text= takes text")
        if isinstance(status, bool) or not isinstance(status, int) or not 200 <= status <= 599:
            raise ValueError(f"Answer({status!r}): expected a status from 200 to 599")
        if not delay >= 0:
            raise ValueError(f"Answer(delay={delay!r}): expected seconds, not below 0")
        self.status = status
        self.delay = float(delay)
        self.reason = _phrase(status) if reason is None else reason
        self.headers = Headers(headers)
        self.chunked = False
        if json is not UNSET:
            body, kind = [_json.dumps(json).encode()], "application/json"
        elif text is not None:
            body, kind = [text.encode()], "text/plain; charset=utf-8"
        else:
            body, kind = _pieces_of(content), ""
            self.chunked = isinstance(content, Iterable) and not isinstance(content, (bytes, bytearray, memoryview))
        self.pieces = [piece for piece in body if piece]
        if kind and "Content-Type" not in self.headers:
            self.headers["Content-Type"] = kind
        self.headers.encode()  # an InvalidHeader here, not in the middle of a call
        encode_reason(self.reason)

    @property
    def content(self) -> bytes:
        """The whole body."""
        return b"".join(self.pieces)

    def head(self, method: str = "GET") -> bytes:
        """The status line and the fields, in answer to ``method``."""
        fields = self.headers.copy()
        framed = "Content-Length" in fields or "Transfer-Encoding" in fields
        if not framed and self.status != 204 and (self.status != 304 or self.pieces):
            name, value = ("Transfer-Encoding", "chunked") if self.chunked else ("Content-Length", str(len(self.content)))
            fields[name] = value
        lines = [f"HTTP/1.1 {self.status} {self.reason}".encode("latin-1")]
        lines += [name + b": " + value for name, value in fields.encode()]
        return b"\r\n".join((*lines, b"", b""))

    def body(self, method: str = "GET") -> list[bytes]:
        """The pieces in which the body comes, framed; none where there is none."""
        if method == "HEAD" or self.status in (204, 304):
            return []
        if not self.chunked:
            return self.pieces
        return [*(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in self.pieces), b"0\r\n\r\n"]

    def play(self, request: PreparedRequest) -> Play:
        """What the server does that gives this answer."""
        says: list[Said] = [self.head(request.method), *self.body(request.method)]
        if says[1:] and not self.chunked:
            says = [b"".join(piece for piece in says if isinstance(piece, bytes))]
        return Play((*([self.delay] if self.delay else ()), *says))

    def __repr__(self) -> str:
        return f"<Answer {self.status}, {number_of(len(self.content), 'byte')}>"


def _pieces_of(content: bytes | Iterable[bytes] | None) -> list[bytes]:
    if content is None:
        return []
    if isinstance(content, (bytes, bytearray, memoryview)):
        return [bytes(content)]
    if not isinstance(content, Iterable):
        raise TypeError(f"Answer(content={content!r}): expected bytes, or an iterable of bytes")
    return [exact_bytes(piece) for piece in content]


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""

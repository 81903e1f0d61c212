"""Responses made by hand, for the tests of what is read from them."""


from __future__ import annotations

import io
from typing import Any

import requests

from holdfast.message.pieces import PIECE
from holdfast.message.raw import LocalBody
from holdfast.message.request import PreparedRequest, Request
from holdfast.message.response import Response

Raw = list[tuple[bytes, bytes]]
Act = bytes | BaseException


class Script(LocalBody):
    """A BodySource that gives what the test says, piece by piece, and knows whether it was closed."""

    def __init__(self, *acts: Act, trailers: Raw | None = None) -> None:
        self.acts = list(acts)
        self.trailers: Raw = trailers or []
        self.closed = 0
        self.ended = False

    def read(self, size: int = PIECE) -> bytes:
        self.ended = not self.acts
        if self.acts and isinstance(self.acts[0], BaseException):
            raise self.acts.pop(0)  # type: ignore[misc]  # a local name would be a cycle through the traceback
        return self.acts.pop(0) if self.acts else b""  # type: ignore[return-value]

    def close(self) -> None:
        self.closed += 1


def asked(url: str = "http://example.com/") -> PreparedRequest:
    return Request("GET", url).prepare()


def answer(
    *acts: Act, status: int = 200, headers: Raw | None = None, reason: bytes = b"OK", url: str = "", **kwargs: Any
) -> Response:
    return Response(status, reason, headers or [], b"1.1", asked(url or "http://example.com/"), Script(*acts), **kwargs)


def source_of(response: Response) -> Script:
    source = response._source
    assert isinstance(source, Script)
    return source


def typed(content_type: str) -> Raw:
    return [(b"Content-Type", content_type.encode("latin-1"))]


def lengthy(body: bytes) -> Raw:
    return [(b"Content-Length", str(len(body)).encode())]


GZIP = [(b"content-encoding", b"gzip")]


def theirs(content: bytes, headers: dict[str, str]) -> requests.Response:
    """requests' response with the same head and body."""
    response = requests.Response()
    response.status_code = 200
    response.headers = requests.structures.CaseInsensitiveDict(headers)
    response.encoding = requests.utils.get_encoding_from_headers(response.headers)
    response.raw = io.BytesIO(content)
    return response

"""What urllib3 takes as a body, as holdfast sends it: whole from memory, or piece by piece as urllib3 would have sent it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from urllib3.exceptions import UnrewindableBodyError
from urllib3.util.request import body_to_chunks

from ...message.body import Body, BytesBody


def is_streamed(body: Any) -> bool:
    """Whether urllib3 would take it piece by piece."""
    if body is None or isinstance(body, (str, bytes, bytearray, memoryview)):
        return False
    if hasattr(body, "read"):
        return True
    try:
        memoryview(body)
    except TypeError:
        return True
    return False


class WholeBody(BytesBody):
    """A body that is in memory: bytes, text (in UTF-8), or anything with a buffer."""

    def __init__(self, body: Any) -> None:
        super().__init__(body.encode("utf-8") if isinstance(body, str) else bytes(body))


class StreamedBody(Body):
    """A file or an iterable, in the pieces in which urllib3 takes it.

    A file that knows where it stands can be sent again from there. An iterable's pieces can be had once.
    """

    def __init__(self, body: Any, method: str, blocksize: int) -> None:
        self._body = body
        self._method = method
        self._blocksize = blocksize
        self._start = _position(body)
        super().__init__(None, self._start is not None)

    def chunks(self) -> Iterator[bytes]:
        self.rewind()
        self.consumed = True
        for piece in body_to_chunks(self._body, self._method, self._blocksize).chunks or ():
            if piece:
                yield piece.encode("utf-8") if isinstance(piece, str) else piece

    def _go_back(self) -> None:
        try:
            self._body.seek(self._start)
        except OSError as error:
            raise UnrewindableBodyError("An error occurred when rewinding request body for redirect/retry.") from error

    def _pieces(self) -> Iterator[bytes]:
        return self.chunks()


def _position(body: Any) -> int | None:
    if not hasattr(body, "seek") or isinstance(body, io.TextIOBase):
        return None
    try:
        return int(body.tell())
    except (OSError, AttributeError, TypeError, ValueError):
        return None

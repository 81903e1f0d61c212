"""What urllib3 takes as a body, as holdfast sends it: whole from memory, or piece by piece as urllib3 would have sent it."""

from __future__ import annotations

import io
import select
from collections.abc import Callable, Iterator
from typing import Any

from urllib3.exceptions import UnrewindableBodyError
from urllib3.util.request import body_to_chunks

from ..._clock import system_clock
from ...message.body import Body, BytesBody
from .dialling import CallDeadline

CONTINUE = 100


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


class _Patient:
    """Waits for 100 Continue after the head has gone out, before the body follows (RFC 9110, section 10.1.1)."""

    _patience: float | None = None
    _deadline: CallDeadline
    _may_go = False

    def expect(self, patience: float, deadline: CallDeadline) -> Callable[[int, list[tuple[bytes, bytes]]], object]:
        """Wait so many seconds for it; what is returned is to be called with each informational response."""
        self._patience = patience
        self._deadline = deadline

        def told(status: int, fields: list[tuple[bytes, bytes]]) -> None:
            self._may_go = self._may_go or status == CONTINUE

        return told

    def _await(self) -> Iterator[bytes]:
        """Empty pieces: the first has the head sent, and after each the connection looks whether it was answered."""
        if self._patience is None:
            return
        self._may_go = False
        yield b""
        until = system_clock() + self._patience
        while not self._may_go and (left := until - system_clock()) > 0:
            if not _readable(self._deadline, left):
                return
            yield b""


def _readable(deadline: CallDeadline, seconds: float) -> bool:
    stream: Any = None if deadline.connection is None else deadline.connection.stream
    if stream is None or not hasattr(select, "poll"):
        return False  # Platform-specific: without poll the body follows at once, which RFC 9110 allows
    poll = select.poll()
    poll.register(stream.fileno(), select.POLLIN)
    return bool(poll.poll(seconds * 1000))


class WholeBody(_Patient, BytesBody):
    """A body that is in memory: bytes, text (in UTF-8), or anything with a buffer."""

    def __init__(self, body: Any) -> None:
        super().__init__(body.encode("utf-8") if isinstance(body, str) else bytes(body))

    def expect(self, patience: float, deadline: CallDeadline) -> Callable[[int, list[tuple[bytes, bytes]]], object]:
        self._whole, self.data = self.data, None  # type: ignore[assignment]  # or it would go out with the head
        return super().expect(patience, deadline)

    def chunks(self) -> Iterator[bytes]:
        self.consumed = True
        yield from self._await()
        yield self._whole


class StreamedBody(_Patient, Body):
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
        yield from self._await()
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

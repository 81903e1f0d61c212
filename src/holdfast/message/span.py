"""A regular file as the body of a request: its parts are sent by the kernel where that can be, and else read without detours.

Laws:

1. As many bytes as were announced, or an InvalidRequest: a file that has shrunk is never filled up, one that grew is cut.
2. The descriptor is asked of the file each time: a file that was closed meanwhile is a ValueError, never another file's bytes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from .._numbers import number_of
from ..exceptions import InvalidRequest
from .pieces import PIECE, too_short

PART_BYTES = 1 << 20  # that the kernel is given at once; between two of them deadlines and early answers are looked at
ROOM_BYTES = 256 * 1024


class FilePart:
    """Some bytes of a file that are not read. ``len()`` of them, as h11 asks."""

    __slots__ = ("_at", "_end", "_span")

    def __init__(self, span: FileSpan, at: int, end: int) -> None:
        self._span = span
        self._at = at
        self._end = end

    def __len__(self) -> int:
        return self._end - self._at

    def after(self, sent: int) -> FilePart:
        """What is left when ``sent`` bytes were sent."""
        return FilePart(self._span, self._at + sent, self._end)

    def fileno(self) -> int:
        """The file's descriptor. Raises ValueError: the file was closed."""
        descriptor: int = self._span.file.fileno()
        return descriptor

    @property
    def offset(self) -> int:
        """Where it begins in the file."""
        return self._span.start + self._at

    def read(self) -> bytes:
        """Its first 64 KiB.

        Raises:
            InvalidRequest: the file is shorter now, or cannot be read.
        """
        return self._span.read(self._at, min(PIECE, len(self)))


class FileSpan:
    """``length`` bytes of a regular file from ``start`` on. The file's own position is moved to where sending has stopped.

    Args:
        file: what Python's ``open`` gave.
        start: of the first byte, from the file's beginning.
        length: more than 64 KiB.
    """

    __slots__ = ("file", "length", "start")

    def __init__(self, file: Any, start: int, length: int) -> None:
        self.file = file
        self.start = start
        self.length = length

    def parts(self, by_kernel: bool) -> Iterator[bytes | memoryview | FilePart]:
        """First 64 KiB, to go out with the head; then parts unread, or pieces in one and the same room if not ``by_kernel``.

        Raises:
            InvalidRequest: the file is shorter now, or cannot be read.
        """
        at = 0
        try:
            yield self.read(0, PIECE)
            at = PIECE
            room = memoryview(b"" if by_kernel else bytearray(ROOM_BYTES))
            while at < self.length:
                end = min(self.length, at + (PART_BYTES if by_kernel else ROOM_BYTES))
                yield FilePart(self, at, end) if by_kernel else room[: self._read_into(room[: end - at], at)]
                at = end
        finally:
            self._leave(at)

    def read(self, at: int, size: int) -> bytes:
        """``size`` bytes. Raises InvalidRequest: the file is shorter now, or cannot be read."""
        data = bytearray(size)
        self._read_into(memoryview(data), at)
        return bytes(data)

    def _read_into(self, room: memoryview, at: int) -> int:
        got = 0
        while got < len(room):
            try:
                more = os.preadv(self.file.fileno(), [room[got:]], self.start + at + got)
            except OSError as error:
                raise InvalidRequest(f"the file to send cannot be read after {number_of(at + got, 'byte')}: {error}") from error
            if not more:
                raise too_short(at + got, self.length)
            got += more
        return got

    def _leave(self, at: int) -> None:
        try:
            self.file.seek(self.start + at)
        except (OSError, ValueError):
            pass  # it was closed: there is no position to keep

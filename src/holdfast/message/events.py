"""Event streams (``text/event-stream``): server-sent events read from bytes, as the HTML standard has it, section 9.2.

Laws:

1. How the stream was cut into pieces makes no difference: not inside a character, not between CR and LF.
2. Lines end at CR LF, LF or CR and nowhere else: U+2028 and U+0085 are characters of a line like all others.
3. What is kept is bounded: a line without an end, and an event without an end, are errors. Comments are not kept.
4. Each byte is looked at a bounded number of times.
"""

from __future__ import annotations

import json as _json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from ..exceptions import EventStreamError, EventTooLarge, JSONDecodeError
from .pieces import MAX_EVENT_BYTES

CONTENT_TYPE = "text/event-stream"

_BOM = b"\xef\xbb\xbf"
_SHOWN = 100  # characters of a server's own words in a message
_MAX_RETRY_DIGITS = 15  # a number of milliseconds beyond all sense, and far below what int() refuses


@dataclass(frozen=True)
class ServerSentEvent:
    """One event of a stream.

    Attributes:
        event: its type; ``"message"`` where the server names none.
        data: its text; lines joined by LF.
        id: the last id the stream has given, with this event or before; ``""`` for none. ``Last-Event-ID`` of a reconnect.
        retry: milliseconds to wait before a reconnect, where the lines of this event say so; else None.
    """

    event: str
    data: str
    id: str = ""
    retry: int | None = None

    def json(self, **kwargs: Any) -> Any:
        """``data`` as JSON. ``kwargs`` are those of ``json.loads``.

        Raises:
            JSONDecodeError: it is not JSON, or nested deeper than Python can follow.
        """
        try:
            return _json.loads(self.data, **kwargs)
        except _json.JSONDecodeError as error:
            raise JSONDecodeError(error.msg, error.doc, error.pos) from error
        except RecursionError as error:
            raise JSONDecodeError("Nested too deeply", "", 0) from error


class EventParser:
    """Makes events of the bytes of one stream.

    Args:
        last_event_id: the id that events have until the stream gives another: that of the connection before.
        max_event_bytes: most bytes that the fields of one event, or a line, may have; None for any number.

    Attributes:
        last_event_id: the last id of a block that has ended, with or without data: what a reconnect asks to go on from.
        retry: the last ``retry`` of the stream in milliseconds; None for none.
    """

    __slots__ = (
        "_after_cr",
        "_beginning",
        "_data",
        "_event",
        "_id",
        "_kept",
        "_max",
        "_open",
        "_open_bytes",
        "_retry",
        "last_event_id",
        "retry",
    )

    def __init__(self, last_event_id: str = "", max_event_bytes: int | None = MAX_EVENT_BYTES) -> None:
        self.last_event_id = self._id = last_event_id
        self.retry: int | None = None
        self._max = max_event_bytes
        self._beginning: bytes | None = b""  # of the stream, as long as it may be a part of a BOM
        self._after_cr = False
        self._open: list[bytes] = []  # the pieces of a line that has not ended
        self._open_bytes = 0
        self._start()

    def _start(self) -> None:
        self._event = ""
        self._data: list[str] = []
        self._retry: int | None = None
        self._kept = 0  # bytes of the lines of this event

    def feed(self, piece: bytes) -> Iterator[ServerSentEvent]:
        """The events that end in ``piece``, which follows the pieces before it. Exhaust it before the next piece.

        Raises:
            EventTooLarge: a line or an event has more bytes than allowed. The parser is of no use after that.
        """
        if self._beginning is not None:
            piece = self._without_bom(self._beginning + piece)
        for line in self._whole_lines(piece):
            if line:
                self._read(line)
            elif (event := self._end()) is not None:
                yield event

    def _without_bom(self, beginning: bytes) -> bytes:
        if len(beginning) < len(_BOM) and _BOM.startswith(beginning):
            self._beginning = beginning
            return b""
        self._beginning = None
        return beginning.removeprefix(_BOM)

    def _whole_lines(self, piece: bytes) -> Iterator[bytes]:
        """The lines that end in ``piece``, without their ends."""
        if not piece:
            return
        after_cr, self._after_cr = self._after_cr, piece.endswith(b"\r")
        if after_cr:
            piece = piece.removeprefix(b"\n")  # the second half of a CR LF whose line was read already
        for line in piece.splitlines(keepends=True):
            text = line.rstrip(b"\r\n")
            self._count(len(text))
            if text == line:
                self._open.append(line)
                return
            if self._open:
                text = b"".join((*self._open, text))
                self._open.clear()
            self._open_bytes = 0
            yield text

    def _count(self, size: int) -> None:
        self._open_bytes += size
        if self._max is not None and self._kept + self._open_bytes > self._max:
            raise EventTooLarge(
                f"an event of the stream has more than {self._max} bytes. Raise max_event_bytes, or ask the server's people: "
                "is there an empty line after each event?"
            )

    def _read(self, line: bytes) -> None:
        """One line, which is not empty: a field, or a comment."""
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value.decode("utf-8", "replace"))
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")
        elif name == b"retry" and value.isdigit():  # of bytes: ASCII digits only
            self.retry = self._retry = int(value[:_MAX_RETRY_DIGITS])
        else:
            return  # a comment, or what has no meaning, is not kept, and does not count
        self._kept += len(line)

    def _end(self) -> ServerSentEvent | None:
        """An empty line: the event, if it has data."""
        self.last_event_id = self._id
        event = None
        if self._data:
            event = ServerSentEvent(self._event or "message", "\n".join(self._data), self._id, self._retry)
        self._start()
        return event


class Streamed(Protocol):
    """What is needed of a response."""

    status_code: int
    request: Any

    @property
    def headers(self) -> Any: ...
    def iter_content(self, chunk_size: int | None) -> Iterator[bytes]: ...
    def close(self) -> None: ...


def events_in(response: Streamed, parser: EventParser) -> Iterator[ServerSentEvent]:
    """The events of a response; one that has not ended at the end of the stream is dropped, as the standard says.

    Raises:
        EventStreamError: its Content-Type is not that of an event stream; at once.
        EventTooLarge: while iterating; the response is closed.
    """
    given = str(response.headers.get("Content-Type") or "")
    if given.partition(";")[0].strip().lower() != CONTENT_TYPE:
        said = f"its Content-Type is {given[:_SHOWN]!r}, not {CONTENT_TYPE}" if given else "it has no Content-Type"
        raise EventStreamError(f"the answer ({response.status_code}) is no event stream: {said}", response=response)
    return _events(response, response.iter_content(None), parser)


def _events(response: Streamed, pieces: Iterator[bytes], parser: EventParser) -> Iterator[ServerSentEvent]:
    try:
        for piece in pieces:
            yield from parser.feed(piece)
    except EventTooLarge as error:
        response.close()
        error.response, error.request = response, response.request
        raise

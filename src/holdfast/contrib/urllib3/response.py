"""A response as http.client has it, with the body that comes from holdfast.

``CarriedResponse`` is http.client's own, and reads as it does; only the head does not come from a socket. Its ``fp`` is a
``Wire``: what http.client would find on the socket behind the head. A chunked body is framed again there, because urllib3, and
some above it, take the chunks apart themselves (``_fp.fp.readline()``, ``_fp._safe_read(n)``); so they get each piece as soon as
it arrives, which event streams need.
"""

from __future__ import annotations

import http.client
from collections.abc import Callable
from typing import Any

from ... import exceptions as ours
from ...message.response import Response
from . import errors
from .dialling import Kept


class Line:
    """What stands where a connection of urllib3 has its socket: it is asked for little, and connects nothing.

    Attributes:
        timeout: seconds that urllib3 allows for what it does next; None for any number.
        ask: sends the request that was put together, and gives its response; taken by the next ``makefile``.
        wire: the latest ``Wire``.
    """

    __slots__ = ("ask", "timeout", "wire")

    def __init__(self) -> None:
        self.timeout: float | None = None
        self.ask: Callable[[], Answer] | None = None
        self.wire: Wire | None = None

    def settimeout(self, seconds: float | None) -> None:
        self.timeout = seconds

    def gettimeout(self) -> float | None:
        return self.timeout

    def makefile(self, mode: str = "rb", *_: Any) -> Wire:
        """The response to the request that was put together."""
        self.wire = Wire(self.ask)
        self.ask = None
        return self.wire

    def shutdown(self, how: int) -> None:
        """End the body that is being read, from another thread."""
        if self.wire is not None:
            self.wire.close()

    def close(self) -> None:
        """Nothing: the connection itself is the pool's."""


class Answer:
    """A response of holdfast's.

    Attributes:
        response: its head, and ``raw``, its body.
        socket: over which it comes.
        kept: what the connection is kept under.
        trim: closes those of ``kept`` that are idle and may not be.
    """

    __slots__ = ("kept", "response", "socket", "trim")

    def __init__(self, response: Response, socket: Any, kept: Kept, trim: Callable[[Kept], object]) -> None:
        self.response = response
        self.socket = socket
        self.kept = kept
        self.trim = trim


class Wire:
    """The bytes behind the head, as a buffered reader. Closing it gives the rest of the body up.

    Attributes:
        raw: itself: some look for the socket at ``fp.raw._sock``.
        closed: nothing can be read any more.
    """

    def __init__(self, ask: Callable[[], Answer] | None) -> None:
        self._ask = ask
        self._answer: Answer | None = None
        self._chunked = False
        self._buffer = b""
        self._ended = False
        self.closed = False

    def begin(self) -> Response:
        """Send the request, and wait for the head of its response."""
        if self._ask is None:
            raise http.client.ResponseNotReady("no request was sent")
        ask, self._ask = self._ask, None
        self._answer = ask()
        return self._answer.response

    def frame_chunks(self) -> None:
        """From now on the body's pieces are given as chunks."""
        self._chunked = True

    @property
    def raw(self) -> Wire:
        return self

    @property
    def _sock(self) -> Any:
        return None if self._answer is None else self._answer.socket

    sock = _sock

    # -- reading -------------------------------------------------------------------------------------------------------

    def read(self, amt: int | None = -1) -> bytes:
        """``amt`` bytes, fewer only at the end; all that come if it is None or negative."""
        if amt is None or amt < 0:
            pieces = [self._take(None)]
            while piece := self._more():
                pieces.append(piece)
            return b"".join(pieces)
        data = self._take(amt)
        if len(data) == amt:
            return data
        pieces, left = [data], amt - len(data)
        while left and (piece := self._more()):
            if len(piece) > left:
                self._buffer = piece[left:]
                piece = piece[:left]
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)

    def read1(self, amt: int | None = -1) -> bytes:
        """What is there, or what comes next, at most ``amt`` bytes."""
        if not self._buffer and amt != 0:
            self._buffer = self._more()
        return self._take(None if amt is None or amt < 0 else amt)

    def readinto(self, buffer: Any) -> int:
        """Fill ``buffer``; how many bytes, fewer than it holds only at the end."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    readinto1 = readinto

    def peek(self, amt: int = 0) -> bytes:
        """What is there, or what comes next, without taking it."""
        if not self._buffer:
            self._buffer = self._more()
        return self._buffer

    def readline(self, limit: int | None = -1) -> bytes:
        """A line with its end, at most ``limit`` bytes of it."""
        while b"\n" not in self._buffer and (limit is None or limit < 0 or len(self._buffer) < limit):
            piece = self._more()
            if not piece:
                break
            self._buffer += piece
        end = self._buffer.find(b"\n") + 1 or len(self._buffer)
        return self._take(end if limit is None or limit < 0 else min(end, limit))

    def _take(self, amt: int | None) -> bytes:
        buffer = self._buffer
        if amt is None or amt >= len(buffer):
            self._buffer = b""
            return buffer
        self._buffer = buffer[amt:]
        return buffer[:amt]

    def _more(self) -> bytes:
        """The next piece, framed if the body is chunked; b"" at the end of file."""
        if self._ended or self._answer is None:
            return b""
        try:
            piece = self._answer.response.raw.read1()
        except ours.RequestException as error:
            self._finish()
            translated = errors.of_body(error)
            if translated is None:
                return b""
            raise translated from error
        if not piece:
            self._finish()
            return b"0\r\n\r\n" if self._chunked else b""
        return b"%x\r\n%b\r\n" % (len(piece), piece) if self._chunked else piece

    def _finish(self) -> None:
        self._ended = True
        if self._answer is not None and self._answer.kept.idle_allowed() == 0:
            self._answer.trim(self._answer.kept)  # urllib3's pool was closed meanwhile

    # -- a file --------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Read no more. Idempotent."""
        self.closed = True
        self._ask = None
        self._buffer = b""
        if self._answer is not None and not self._ended:
            self._answer.response.raw.close()
            self._finish()

    def flush(self) -> None:
        """Nothing: this is not written to."""

    def fileno(self) -> int:
        """The descriptor of the socket, to look whether something has come; reading it is the pool's."""
        if self._sock is None:
            raise OSError("there is no connection")
        descriptor: int = self._sock.fileno()
        return descriptor


class CarriedResponse(http.client.HTTPResponse):
    """http.client's response to a request that holdfast has sent."""

    fp: Any
    items: list[tuple[str, str]]  # the fields, in order
    _message: http.client.HTTPMessage | None = None

    def begin(self) -> None:
        """Send the request, and take the head of its response over."""
        answer = self.fp.begin()
        self.code = self.status = answer.status_code
        self.reason = answer.reason.strip()
        self.version = 10 if answer.http_version == "HTTP/1.0" else 11
        self.items = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in answer.raw_headers]
        self.will_close = False  # whether the connection is kept is the pool's to know
        self.chunked = False
        self.length = None
        self.chunk_left = None
        if self.status in (204, 304) or self._method == "HEAD":  # type: ignore[attr-defined]  # typeshed has only what is documented
            self.length = 0
            return
        for name, value in self.items:
            if len(name) == 14 and name.lower() == "content-length":
                self.length = int(value)  # h11 has checked it
            elif len(name) == 17 and name.lower() == "transfer-encoding":
                self.chunked = True  # the only coding that h11 takes
        if self.chunked:
            self.length = None
            self.fp.frame_chunks()

    @property
    def msg(self) -> http.client.HTTPMessage:
        """The fields; made when they are first asked for."""
        if self._message is None:
            self._message = http.client.HTTPMessage()
            for name, value in self.items:
                self._message.set_raw(name, value)
        return self._message

    @msg.setter
    def msg(self, value: Any) -> None:
        self._message = value

    headers = msg

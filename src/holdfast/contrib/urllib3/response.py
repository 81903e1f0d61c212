"""A response as http.client has it, with the body that comes from holdfast.

``CarriedResponse`` is http.client's own, and reads as it does; only the head does not come from a socket. Its ``fp`` is a
``Wire``: what http.client would find on the socket behind the head. A chunked body is framed again there, because urllib3, and
some above it, take the chunks apart themselves (``_fp.fp.readline()``, ``_fp._safe_read(n)``); so they get each piece as soon as
it arrives, which event streams need.
"""

from __future__ import annotations

import http.client
import io
from typing import Any

from urllib3._collections import HTTPHeaderDict

from ... import exceptions as ours
from ...message.fields import RawHeaders
from ...message.raw import AHEAD, BodySource
from ...message.response import Response
from . import errors
from .dialling import Kept
from .exchange import Exchange
from .keeping import trim

_EMPTY = io.BytesIO()  # shared: nothing is ever written to it


class Line:
    """What stands where a connection of urllib3 has its socket: it is asked for little, and connects nothing.

    Attributes:
        timeout: seconds that urllib3 allows for what it does next; None for any number.
        exchange: the request that was put together; taken by the next ``makefile``.
        wire: the latest ``Wire``.
    """

    __slots__ = ("exchange", "timeout", "wire")

    def __init__(self) -> None:
        self.timeout: float | None = None
        self.exchange: Exchange | None = None
        self.wire: Wire | None = None

    def settimeout(self, seconds: float | None) -> None:
        self.timeout = seconds

    def gettimeout(self) -> float | None:
        return self.timeout

    def makefile(self, mode: str = "rb", *_: Any) -> Wire:
        """The response to the request that was put together."""
        self.wire = wire = Wire(self.exchange, self.timeout)
        self.exchange = None
        return wire

    def shutdown(self, how: int) -> None:
        """End the body that is being read, from another thread."""
        if self.wire is not None:
            self.wire.close()

    def close(self) -> None:
        """Nothing: the connection itself is the pool's."""


class Wire:
    """The bytes behind the head, as a buffered reader. Closing it gives the rest of the body up.

    Attributes:
        raw: itself: some look for the socket at ``fp.raw._sock``.
        closed: nothing can be read any more.
    """

    _source: BodySource | None = None
    _kept: Kept | None = None
    _sock: Any = None
    _chunked = _ended = _broken = closed = False
    _buffer = _EMPTY  # what has come and was not taken

    def __init__(self, exchange: Exchange | None, timeout: float | None) -> None:
        self._exchange = exchange
        self._timeout = timeout

    def begin(self) -> Response:
        """Send the request, and wait for the head of its response."""
        exchange = self._exchange
        if exchange is None:
            raise http.client.ResponseNotReady("no request was sent")
        self._exchange = None  # it knows the connection that knows this
        response = exchange.run(self._timeout)
        self._source = exchange.source
        self._kept = exchange.kept
        self._sock = exchange.socket
        return response

    def frame_chunks(self) -> None:
        """From now on the body's pieces are given as chunks."""
        self._chunked = True

    @property
    def raw(self) -> Wire:
        return self

    @property
    def sock(self) -> Any:
        return self._sock

    # -- reading -------------------------------------------------------------------------------------------------------

    def read(self, amt: int | None = -1) -> bytes:
        """``amt`` bytes, fewer only at the end; all that come if it is None or negative."""
        data = self._buffer.read(amt)
        if amt is None or amt < 0:
            return b"".join((data, *iter(self._more, b"")))
        left = amt - len(data)
        if not left:
            return data
        pieces = [data] if data else []
        while left and (piece := self._more()):
            pieces.append(piece if len(piece) <= left else self._begin_with(piece, left))
            left -= len(pieces[-1])
        return b"".join(pieces)

    def read1(self, amt: int | None = -1) -> bytes:
        """What is there, or what comes next, at most ``amt`` bytes."""
        return self._buffer.read(amt) or (b"" if amt == 0 else self._begin_with(self._more(), amt))

    def _begin_with(self, data: bytes, amt: int | None) -> bytes:
        """At most ``amt`` bytes of ``data``; the rest is kept for the next read."""
        self._buffer = buffer = io.BytesIO(data)
        return buffer.read(amt)

    def readinto(self, buffer: Any) -> int:
        """Fill ``buffer``; how many bytes, fewer than it holds only at the end."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    readinto1 = readinto

    def peek(self, amt: int = 0) -> bytes:
        """What is there, or what comes next, without taking it."""
        data = self.read1()
        self._buffer = io.BytesIO(data)
        return data

    def readline(self, limit: int | None = -1) -> bytes:
        """A line with its end, at most ``limit`` bytes of it."""
        line = self._buffer.readline(limit)
        if line[-1:] == b"\n":
            return line
        left = -1 if limit is None or limit < 0 else limit - len(line)
        while line[-1:] != b"\n" and left and (piece := self._more()):
            self._buffer = buffer = io.BytesIO(piece)
            more = buffer.readline(left)
            line += more
            left = left if left < 0 else left - len(more)
        return line

    def _more(self) -> bytes:
        """What comes next, in its chunks if the body is chunked; b"" at the end of file."""
        source = self._source
        if self._ended or source is None:
            if self._broken and not self.closed:
                raise OSError("cannot read on: reading this body has failed before")  # no end of it, as behind a socket's timeout
            return b""
        try:
            pieces = source.read_pieces(AHEAD)
        except ours.RequestException as error:
            self._finish()
            translated = errors.of_body(error)
            if translated is None:
                return b""
            self._broken = True
            raise translated from error
        if not pieces:
            self._finish()
            return b"0\r\n\r\n" if self._chunked else b""
        return b"".join([b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces] if self._chunked else pieces)

    def _finish(self) -> None:
        self._ended = True
        kept = self._kept
        if kept is not None and kept.is_over():
            trim(kept)

    # -- a file --------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Read no more. Idempotent."""
        self.closed = True
        self._exchange = None
        self._buffer = _EMPTY
        if not self._ended:
            source = self._source
            if source is not None and not source.ended:
                source.close()
            self._finish()

    def flush(self) -> None:
        """Nothing: this is not written to."""

    def fileno(self) -> int:
        """The descriptor of the socket, to look whether something has come; reading it is the pool's."""
        if self._sock is None:
            raise OSError("there is no connection")
        descriptor: int = self._sock.fileno()
        return descriptor


class _Nothing:
    def makefile(self, mode: str) -> None:
        return None


_new: Any = http.client.HTTPResponse(_Nothing())  # type: ignore[arg-type]  # it asks for no more
_AS_NEW = dict(vars(_new))  # whatever this Python's http.client sets on a new response, to be set in one step


class CarriedResponse(http.client.HTTPResponse):
    """http.client's response to a request that holdfast has sent."""

    fp: Any
    fields: HTTPHeaderDict  # as urllib3 has them
    _raw: RawHeaders
    _message: http.client.HTTPMessage | None = None

    def __init__(self, sock: Any, debuglevel: int = 0, method: str | None = None, url: str | None = None) -> None:
        self.__dict__.update(_AS_NEW)
        self.debuglevel = debuglevel
        self._method = method
        self.fp = sock.makefile("rb")

    def begin(self) -> None:
        """Send the request, and take the head of its response over."""
        answer = self.fp.begin()
        self.code = self.status = answer.status_code
        self.reason = answer.reason.strip()
        self.version = 10 if answer.http_version == "HTTP/1.0" else 11
        self._raw = answer.raw_headers
        self.fields, length, coding = _fields_of(self._raw)
        self.will_close = False  # whether the connection is kept is the pool's to know
        self.chunked = False
        self.length = None
        self.chunk_left = None
        if self.status in (204, 304) or self._method == "HEAD":
            self.length = 0
        elif coding is not None:
            self.chunked = True  # the only coding that h11 takes
            self.fp.frame_chunks()
        elif length is not None:
            self.length = int(length)  # h11 has checked it

    @property
    def msg(self) -> http.client.HTTPMessage:
        """The fields; made when they are first asked for."""
        if self._message is None:
            self._message = http.client.HTTPMessage()
            for name, value in self._raw:
                self._message.set_raw(name.decode("latin-1"), value.decode("latin-1"))
        return self._message

    @msg.setter
    def msg(self, value: Any) -> None:
        self._message = value

    headers = msg


Fields = tuple[HTTPHeaderDict, "str | None", "str | None"]  # and what the body's length goes by: Content-Length, Transfer-Encoding


def _added(raw: RawHeaders) -> Fields:
    fields = HTTPHeaderDict()
    for name, value in raw:
        fields.add(name.decode("latin-1"), value.decode("latin-1"))
    return fields, fields.get("content-length"), fields.get("transfer-encoding")


def _put_in(raw: RawHeaders) -> Fields:
    """The same, without asking of each field again what is known of all: it was the dearest part of a response."""
    fields = HTTPHeaderDict()
    table: dict[str, list[str]] = fields._container  # type: ignore[assignment]  # a dict, or else ``_added`` is taken
    for name, value in raw:
        text, said = name.decode("latin-1"), value.decode("latin-1")
        key = text.lower()
        if key in table:
            table[key].append(said)
        else:
            table[key] = [text, said]
    length, coding = table.get("content-length"), table.get("transfer-encoding")
    return fields, None if length is None else length[1], None if coding is None else coding[1]


# The inside of an HTTPHeaderDict is the same in urllib3 2.0 to 2.8, and urllib3 does not promise it.
_inside: Any = getattr(_added([(b"A", b"1"), (b"a", b"2")])[0], "_container", None)
_fields_of = _put_in if type(_inside) is dict and _inside == {"a": ["A", "1", "2"]} else _added

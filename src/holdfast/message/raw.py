"""The body of a response as a stream: where its bytes come from, how far it has come, and the file that ``response.raw`` is.

``RawBody`` has what ``shutil.copyfileobj``, ``io.TextIOWrapper``, ``gzip.GzipFile``, ``tarfile`` and scripts that know
urllib3 ask of it. It gives bytes as they came, or with content codings undone, whichever is asked for first.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from enum import Enum
from operator import length_hint
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from ..exceptions import StreamConsumedError
from .decoding import Decoder, make_decoder
from .fields import RawHeaders, field_of
from .headers import Headers
from .pieces import PIECE

WHOLE_BYTES = 16 * 1024
"""A reader who asks for so many at once is given them without a buffer in between."""

AHEAD = 192 * 1024
"""Bytes read at once for a reader who takes fewer: the kernel and TLS are asked seldom, and each byte is copied once more.

256 KiB cost up to half as much again on a processor with 512 KiB of cache of its own: the kernel's copy and the piece go
through it, too.
"""

MIN_ROOM = 1 << 20
MAX_ROOM = 16 << 20

NO_FIELDS: RawHeaders = []
"""The fields of a response that did not come from a server; never changed."""


class BodyState(Enum):
    """How far a body has come: the one place that says whether it is over.

    ``RawBody.state`` is one of these. What a ``Response`` has beside it are no states but what came of them: the bytes it kept
    (``_content``), or the error that reading met, which each further access raises again (``_failure``).

    ======  =========================================  ==========  ==========  ====================  ====================
    state   entered by                                 raw.ended   raw.closed  raw.read()            response.content
    ======  =========================================  ==========  ==========  ====================  ====================
    OPEN    its beginning                              False       False       the next bytes        reads what is left
    ENDED   the read that met the end                  True        False       b"", and is PASSED    what was kept or b""
    PASSED  a read after that, or close() at the end   True        True        b""                   what was kept or b""
    CLOSED  close() before the end, or a failed read   False       True        StreamConsumedError   StreamConsumedError,
                                                                                                     or the failure again
    ======  =========================================  ==========  ==========  ====================  ====================

    ENDED and PASSED differ for wrappers: ``io.TextIOWrapper`` looks at ``closed`` before each line and finds the end itself,
    and a loop "while not raw.closed" ends too.
    """

    OPEN = "open"
    ENDED = "ended"
    PASSED = "passed"
    CLOSED = "closed"


# Each piece of a body asks; until Python 3.12 a member of an Enum takes ten times as long to look up as a global.
_OPEN, _ENDED, _PASSED, _CLOSED = BodyState.OPEN, BodyState.ENDED, BodyState.PASSED, BodyState.CLOSED


class BodySource(Protocol):
    """Where the bytes of a body come from. It owns the connection until the body has ended or is closed."""

    @property
    def holds_connection(self) -> bool:
        """Whether there may be a connection that others wait for. False: nothing is gained by draining it."""
        ...

    @property
    def trailers(self) -> RawHeaders:
        """The fields after the body; complete once it has ended."""
        ...

    @property
    def ended(self) -> bool:
        """Whether ``read`` has given all there is; it may be known with the last piece."""
        ...

    @property
    def unframed(self) -> int:
        """Bytes that come next and can be had by ``read_into``; 0 if ``read`` has them. A server may have lied."""
        ...

    def read(self, size: int = PIECE) -> bytes:
        """The next bytes of the body, of any number, best of all ``size``; b"" at its end. Raises holdfast's exceptions."""
        ...

    def read_pieces(self, size: int = PIECE) -> list[bytes]:
        """Like ``read``, in pieces of one chunk each, for programs that take a chunk for a message; none at the end."""
        ...

    def read_into(self, view: memoryview) -> int | None:
        """The next bytes, into ``view``, which is not empty; their number. None: nothing was taken, ``read`` has them now."""
        ...

    def drain(self) -> bytes | None:
        """Free the connection: the rest of the body if it is small and comes at once; None if it was given up."""
        ...

    def note_borrower(self) -> None:
        """Remember the user's line that has asked for this body, for the warning if it is dropped unread."""
        ...

    def close(self) -> None:
        """Read no more. May be called any number of times."""
        ...


class LocalBody:
    """Base of the sources that hold no connection: there is none to free, and no borrower to name in a warning."""

    __slots__ = ("ended",)

    trailers: RawHeaders = NO_FIELDS
    holds_connection = False

    if TYPE_CHECKING:

        def read(self, size: int = PIECE) -> bytes: ...

    def __init__(self) -> None:
        self.ended = False

    def read_pieces(self, size: int = PIECE) -> list[bytes]:
        """The next piece."""
        piece = self.read(size)
        return [piece] if piece else []

    @property
    def unframed(self) -> int:
        """0: it has its bytes in pieces."""
        return 0

    def read_into(self, view: memoryview) -> int | None:
        """None: it has its bytes in pieces."""
        return None

    def drain(self) -> bytes | None:
        """None: nothing was taken, and the body is as it was."""
        return None

    def note_borrower(self) -> None:
        """Nothing."""


class Drained(LocalBody):
    """A body that was read off the wire before anybody asked for it, content codings not undone. One read gives it all."""

    __slots__ = ("_data", "trailers")

    def __init__(self, data: bytes, trailers: RawHeaders) -> None:
        self.ended = True
        self._data = data
        self.trailers = trailers

    @property
    def unread(self) -> bool:
        """Whether there is something that ``read`` would give."""
        return self._data != b""

    def read(self, size: int = PIECE) -> bytes:
        """All of it, then b""."""
        data, self._data = self._data, b""
        return data

    def close(self) -> None:
        """Forget what was not read."""
        self._data = b""


class GivenBody(LocalBody):
    """The source of a body that is read from what the user has set as ``response.raw``: a file, or what has a ``stream()``."""

    __slots__ = ("_pieces", "file")

    def __init__(self, file: Any) -> None:
        super().__init__()
        self.file = file
        self._pieces: Iterator[bytes] | None = None

    def read(self, size: int = PIECE) -> bytes:
        """The next piece, b"" at the end."""
        if self._pieces is None:
            streams = hasattr(self.file, "stream")
            self._pieces = iter(self.file.stream(PIECE, decode_content=True)) if streams else _pieces_of(self.file)
        for piece in self._pieces:
            if piece:
                return piece
        self.ended = True
        return b""

    def close(self) -> None:
        """Close the file, unless it was read to its end."""
        if not self.ended:  # as in requests: what was read to its end stays as it is
            self.file.close()


def _pieces_of(file: Any) -> Iterator[bytes]:
    while piece := file.read(PIECE):  # not until b"": a file opened as text ends with ""
        yield piece


class RawFields(Headers):
    """The fields as they came, under the names urllib3 has for what several of one name say; ``items()`` has them apart."""

    __slots__ = ()

    def items(self) -> Any:
        """``(name, value)`` of every field, repeated ones apart."""
        return self.multi_items()

    iteritems = items

    def getlist(self, name: str, default: Any = ...) -> Any:
        """The values of every field of that name; ``default``, or an empty list, if there is none."""
        return self.get_list(name) or ([] if default is ... else default)

    getheaders = get_all = getlist


class RawBody:
    """The body as a readable binary stream, for ``shutil.copyfileobj``, ``io.TextIOWrapper``, ``gzip.GzipFile`` and the like.

    Attributes:
        status, version: of the head; version is 10 or 11.
        decode_content: whether reading undoes content codings when not told. False, as in requests.
        auto_close: accepted for urllib3's sake, where wrappers can read to the end only if it is set to False.
        taken: bytes that were given out.
        state: how far it has come; ``ended`` and ``closed`` follow from it.
    """

    __slots__ = (
        "_ahead",
        "_at",
        "_buffer",
        "_data",
        "_decoder",
        "_decoding",
        "_fields",
        "_max_decoded",
        "_raw_headers",
        "_reading",
        "_reason",
        "_source",
        "_version",
        "_waiting",
        "auto_close",
        "decode_content",
        "state",
        "status",
        "taken",
    )

    def __init__(
        self,
        source: BodySource | None,
        raw_headers: RawHeaders,
        status: int,
        reason: bytes,
        version: bytes,
        max_decoded: int | None,
    ) -> None:
        self._source = source
        self._raw_headers = raw_headers
        self._reason = reason
        self._version = version
        self._max_decoded = max_decoded
        self._fields: RawFields | None = None
        self._decoder: Decoder | None = None
        self._decoding: bool | None = None
        self._buffer: bytes | memoryview = b""
        self._ahead: memoryview | None = None
        self._at = 0
        self._data: bytes | None = None
        self._reading = False  # True while a reader may have bytes in hand that it has not given out
        self._waiting: Iterator[bytes] = iter(())  # chunks that came with others and were not given out yet
        self.status = status
        self.decode_content = False
        self.auto_close = True
        self.taken = 0
        self.state = _OPEN if source is not None else _ENDED

    # -- the head

    @property
    def headers(self) -> RawFields:
        """The header fields of the response."""
        if self._fields is None:
            self._fields = RawFields.from_raw(self._raw_headers)
        return self._fields

    def info(self) -> RawFields:
        """``headers``."""
        return self.headers

    getheaders = info

    def getheader(self, name: str, default: str | None = None) -> str | None:
        """The value of a header field."""
        return self.headers.get(name, default)

    @property
    def reason(self) -> str:
        """The reason phrase."""
        return self._reason.decode("latin-1")

    @property
    def version(self) -> int:
        """11 for HTTP/1.1, 10 for HTTP/1.0."""
        return 10 if self._version == b"1.0" else 11

    # -- the body

    @property
    def ended(self) -> bool:
        """Whether the body was read to its end."""
        return self.state is _ENDED or self.state is _PASSED

    @property
    def closed(self) -> bool:
        """Whether it was closed, by ``close()`` or by reading on after the end was seen."""
        return self.state is _PASSED or self.state is _CLOSED

    def read(self, amt: int | None = None, decode_content: bool | None = None, cache_content: bool = False) -> bytes:
        """``amt`` bytes, fewer only at the end; all that is left if ``amt`` is None or negative.

        ``cache_content`` keeps them as ``data``.
        """
        decode = self.decode_content if decode_content is None else decode_content
        if amt is not None and amt >= 0:
            data = self.take(amt, True, decode) if amt else b""
        else:
            self._choose(decode)
            data = self._rest()
        if cache_content:
            self._data = data
        return data

    @property
    def data(self) -> bytes:
        """All that is left when first asked for; kept."""
        return self.read(None, None, True) if self._data is None else self._data

    def read1(self, amt: int | None = None, decode_content: bool | None = None) -> bytes:
        """What arrives next, at most ``amt`` bytes."""
        decode = self.decode_content if decode_content is None else decode_content
        return b"" if amt == 0 else self.take(None if amt is None or amt < 0 else amt, False, decode)

    def stream(self, amt: int | None = PIECE, decode_content: bool | None = None) -> Iterator[bytes]:
        """The rest in pieces of at most ``amt`` bytes, as they arrive; none is of two chunks."""
        decode = self.decode_content if decode_content is None else decode_content
        while piece := self.take(amt, False, decode):
            yield piece

    read_chunked = stream

    def readinto(self, buffer: Any) -> int:
        """Read into a writable buffer what arrives next; the number of bytes, 0 at the end."""
        view = memoryview(buffer).cast("B")
        if len(view) >= WHOLE_BYTES and (size := self._directly(view)):
            return size
        piece = self.take(len(view), False, self.decode_content) if view else b""
        view[: len(piece)] = piece
        return len(piece)

    def readline(self, limit: int | None = -1) -> bytes:
        """A line with its end; at most ``limit`` bytes of it if that is not negative; b"" at the end."""
        return self._line(None if limit is None or limit < 0 else limit, self.decode_content)

    def _line(self, left: int | None, decode: bool) -> bytes:
        self._choose(decode)
        pieces: list[bytes] = []
        while left is None or left > 0:
            pieces.append(piece := self._some(left, last=b"\n", joined=True))
            if not piece or piece.endswith(b"\n"):
                break
            left = None if left is None else left - len(piece)
        return b"".join(pieces)

    def readlines(self, hint: int | None = -1) -> list[bytes]:
        """The rest line by line; no more lines once they have ``hint`` bytes, if that is positive."""
        lines: list[bytes] = []
        size = 0
        for line in self:
            lines.append(line)
            size += len(line)
            if hint is not None and 0 < hint <= size:
                break
        return lines

    def __iter__(self) -> Iterator[bytes]:
        """The rest line by line, with line ends."""
        return iter(self.readline, b"")

    # -- a file

    def readable(self) -> bool:
        """True."""
        return True

    def writable(self) -> bool:
        """False."""
        return False

    def seekable(self) -> bool:
        """False."""
        return False

    def isatty(self) -> bool:
        """False."""
        return False

    def tell(self) -> int:
        """How far the body was read, in bytes as they came: before content codings were undone."""
        return self.taken if self._decoder is None else self._decoder.fed

    def flush(self) -> None:
        """Nothing: this is not written to."""

    def _cannot(self, *_: Any) -> NoReturn:
        """io.UnsupportedOperation: this is read once, forwards; its socket belongs to the pool."""
        raise io.UnsupportedOperation("the body of a response is read once, forwards, and its socket belongs to the pool")

    seek = truncate = fileno = write = _cannot

    def close(self) -> None:
        """Read no more."""
        source = self._source
        self.state = _PASSED if self.ended else _CLOSED
        # No read begins from here on. A reader in another thread that has begun one may have bytes in hand.
        given = not self._reading and self._at >= len(self._buffer) and not length_hint(self._waiting)
        given = given and (self._decoder is None or not self._decoder.fed)
        given = given and not (isinstance(source, Drained) and source.unread)
        self._buffer, self._waiting = b"", iter(())
        if source is not None:
            source.close()
            if given and source.ended:
                self.state = _PASSED  # the end was here, only that no read had met it: nothing of the body is missed

    release_conn = close

    def __enter__(self) -> RawBody:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def take(self, limit: int | None, fill: bool, decode: bool, *, joined: bool = False) -> bytes:
        """The next bytes, b"" at the end.

        Args:
            limit: how many at most; None for as many as there are.
            fill: wait until there are ``limit`` of them, or the end.
            decode: undo content codings.
            joined: give bytes of several chunks at once, if they have come.
        """
        self._choose(decode)
        if not fill:
            return self._some(limit, joined=joined)
        piece = self._some(limit, joined=True)
        if limit is None or len(piece) == limit or not piece:
            return piece
        pieces = [piece]
        while piece and (limit := limit - len(piece)) > 0:
            pieces.append(piece := self._some(limit, joined=True))
        return b"".join(pieces)

    def _directly(self, view: memoryview) -> int:
        """What comes next, into ``view`` without a copy; 0 if that cannot be."""
        self._choose(self.decode_content)
        source = self._source
        if self._decoder is not None or self._at < len(self._buffer) or self.state is not _OPEN or source is None:
            return 0
        if length_hint(self._waiting):
            return 0
        size = source.read_into(view) or 0
        self.taken += size
        return size

    def _rest(self) -> bytes:
        """All that is left."""
        first = self._some(None, joined=True)
        source = self._source
        if self._decoder is not None or not first or source is None:
            return b"".join((first, *iter(lambda: self._some(None, joined=True), b"")))
        data = gather(b"".join((first, *self._waiting)), source)
        self.taken += len(data) - len(first)
        self.state = _PASSED if self.closed else _ENDED
        return data

    def _choose(self, decode: bool) -> None:
        if self._decoding is decode:
            return
        coding = field_of(self._raw_headers, b"content-encoding")
        if self._decoding is not None and coding and self.taken:
            raise RuntimeError("part of this body was read with the other decode_content; keep to one of the two")
        self._decoding = decode
        self._decoder = make_decoder(coding, self._max_decoded) if decode and coding else None

    def _some(self, limit: int | None, last: bytes = b"", *, joined: bool = False) -> bytes:
        """What is there, at most ``limit`` bytes, and not beyond the first ``last``; else what comes next; b"" at the end.

        ``joined``: of more than one chunk, if more has come.
        """
        # One look at the buffer: close() in another thread takes it away at any moment, and nothing left is not the end.
        start, buffer = self._at, self._buffer
        if start >= len(buffer):
            self._reading = True  # before the state is looked at: see close
            # Without the way through _next: chunks of a few bytes come by the thousand.
            piece = b"" if joined or self._decoder is not None else next(self._waiting, b"")
            start, buffer = 0, piece or self._next(limit, joined)
            self._buffer = buffer
        if last and type(buffer) is memoryview:
            self._buffer = buffer = bytes(buffer)
        size = len(buffer)
        end = size if limit is None else min(size, start + limit)
        if last and not isinstance(buffer, memoryview) and (found := buffer.find(last, start, end)) >= 0:
            end = found + 1
        self._at = end
        self._reading = False
        self.taken += end - start
        if type(buffer) is memoryview:
            return bytes(buffer[start:end])
        return buffer if end - start == size else buffer[start:end]

    def _next(self, limit: int | None, joined: bool) -> bytes | memoryview:
        """The next piece, decoded if that is wanted; b"" at the end. ``limit``: what the reader will take of it."""
        source = self._source
        if self.state is not _OPEN or source is None:
            return self._nothing_left()
        decoder = self._decoder
        if decoder is not None:
            piece = self._next_decoded(source, decoder, joined)
        elif limit is None or limit >= AHEAD:
            piece = self._pull(source, limit or AHEAD, joined)
        elif self._may_read_ahead(source) and (size := source.read_into(ahead := self._room())):
            return ahead[:size]
        else:
            piece = self._pull(source, PIECE, joined)
        if not piece:
            # Only now: coded data that was cut short has no end. Another thread may have closed it during this read.
            self.state = _PASSED if self.closed else _ENDED
        return piece

    def _pull(self, source: BodySource, size: int, joined: bool) -> bytes:
        """The next piece as it came; ``joined``: of all chunks that have come."""
        if joined:
            return b"".join(self._waiting) or source.read(size)
        piece = next(self._waiting, b"")
        if not piece:
            self._waiting = waiting = iter(source.read_pieces(size))
            piece = next(waiting, b"")
        return piece

    def _may_read_ahead(self, source: BodySource) -> bool:
        return (self._ahead is not None or source.unframed > PIECE) and not length_hint(self._waiting)

    def _room(self) -> memoryview:
        """Where to read ahead: made once."""
        if self._ahead is None:
            self._ahead = memoryview(bytearray(AHEAD))
        return self._ahead

    def _nothing_left(self) -> bytes:
        if self.state is _CLOSED:
            raise StreamConsumedError("this response was closed before the end of its body")
        self.state = _PASSED
        return b""

    def _next_decoded(self, source: BodySource, decoder: Decoder, joined: bool) -> bytes:
        while True:
            if decoder.fed and (piece := decoder.read(PIECE)):
                return piece
            data = self._pull(source, PIECE, joined)
            if not data:
                decoder.finish()
                return b""
            decoder.feed(data)


def gather(first: bytes, source: BodySource) -> bytes:
    """``first`` and all that ``source`` still gives, with one copy of it in memory.

    The room for it is made as it comes, 1 MiB and then as much again as has come, 16 MiB at most: a length that lies costs nothing.
    ``BytesIO`` gives its room away as bytes, without a copy.
    """
    second = b"" if source.ended else source.read()
    if source.ended or not second:
        return first + second if second else first
    file = io.BytesIO()
    have = file.write(first) + file.write(second)
    ahead = memoryview(b"")
    while not source.ended:
        room = min(source.unframed, max(MIN_ROOM, min(have, MAX_ROOM)))
        if len(ahead) < min(room, AHEAD):
            ahead = memoryview(bytearray(min(room, AHEAD)))
        filled = _fill(file, have, room, source, ahead) if room else 0
        if not filled:
            filled = file.write(piece := source.read(AHEAD))
            if not piece:
                break
        have += filled
        file.seek(have)
    file.truncate()
    return file.getvalue()


def _fill(file: io.BytesIO, start: int, room: int, source: BodySource, ahead: memoryview) -> int:
    """Up to ``room`` bytes from the wire into ``file`` behind ``start``; how many, 0 if the source has pieces only.

    By way of ``ahead``, not straight into the file: a view of a BytesIO that lives on in the traceback of an error, in a cycle
    with the BytesIO, makes CPython 3.12 and 3.13 fail when both are collected.
    """
    file.seek(start + room - 1)
    file.write(b"\0")
    file.seek(start)
    filled = 0
    while filled < room and (size := source.read_into(ahead[: room - filled])):
        filled += file.write(ahead[:size])
    return filled


io.IOBase.register(RawBody)  # it has what there is in one, and is no IOBase: those close themselves without a word

"""The payload of a response, and where its exchange stands: the reading half of an ``Http1Connection``.

Laws:

1. h11 frames, but a body of known length is counted here, and so are chunks whose framing is of the plainest kind (``chunks``).
   If much of a body, or of a chunk, is to come when all that came was given out, it is read straight to its reader, and never a
   byte more than belongs to it. From the first line on that is not plain, h11 judges the rest of the body.
2. A body that has come to its end has had every byte; anything else is an error that says how many came, and of how many.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h11

from ..exceptions import BodyReadTimeout, RequestException, TotalTimeout
from ..timeouts import Deadline, Timeouts
from .chunks import PlainChunks
from .failures import broken_body, cut_short, progress
from .limits import MAX_INCOMPLETE_EVENT_BYTES, check_chunks, check_trailers
from .protocols import OVER, ByteStream, Phase

if TYPE_CHECKING:
    from .framing import RawHeaders, ResponseHead

READ_PIECE_BYTES = 64 * 1024
COUNTED_BYTES = 32 * 1024  # still to come: what is shorter comes in one read or two

_IN_A_CHUNK = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx"


class Payload:
    """What an ``Http1Connection`` knows of the body that it reads. Its attributes are the connection's."""

    __slots__ = (
        "_behind",
        "_chunks",
        "_conn",
        "_deadline",
        "_fed",
        "_head",
        "_past",
        "_payload",
        "_plain",
        "_timeouts",
        "_untold",
        "phase",
        "stream",
        "trailers",
    )

    phase: Phase
    stream: ByteStream
    trailers: RawHeaders
    _behind: bytes
    _chunks: int
    _conn: h11.Connection
    _deadline: Deadline
    _fed: int
    _head: ResponseHead
    _past: bool
    _payload: int
    _plain: PlainChunks | None  # the body's framing; None: it has none, or h11 has it
    _timeouts: Timeouts
    _untold: bool

    @property
    def remaining(self) -> int | None:
        """Payload bytes still to come; None when the framing does not say."""
        expected = self._head.expected
        return None if expected is None else expected - self._payload

    def read_body(self, size: int = READ_PIECE_BYTES) -> bytes:
        """The next piece of payload, ``b""`` at its end. The exchange may be OVER with the last piece already.

        Args:
            size: bytes to ask the stream for. What has come already is given out as it is, however much.

        Raises:
            RequestException: BodyReadTimeout, TotalTimeout, IncompleteBody, RemoteProtocolError or SSLError.
        """
        if self.phase is OVER:
            return b""
        expected = self._head.expected
        if expected is not None:
            return self._read_counted(expected, size)
        plain = self._plain
        return (plain is not None and b"".join(self._read_chunks(plain, size))) or self._read_framed()

    def read_pieces(self, size: int = READ_PIECE_BYTES) -> list[bytes]:
        """Like ``read_body``, but no piece is of two chunks; none at the end."""
        plain = self._plain
        if plain is not None and self.phase is not OVER and (pieces := self._read_chunks(plain, size)):
            return pieces
        piece = self.read_body(size)
        return [piece] if piece else []

    def take_whole(self) -> bytes | None:
        """The whole payload, with which the exchange is OVER, if it came with the head; else None."""
        data, expected = self._behind, self._head.expected
        if expected is None:
            return self._take_whole_chunks()
        if len(data) < expected:
            return None
        self._behind = data[expected:]
        data = data[:expected]
        self._payload = expected
        self.phase = OVER
        return data

    def _take_whole_chunks(self) -> bytes | None:
        plain = self._plain
        data = None if plain is None or self._payload else plain.whole()
        if plain is None or data is None:
            return None
        self._payload = len(data)
        self._end_chunks(plain)
        return data

    def _end_chunks(self, plain: PlainChunks) -> None:
        self._behind = plain.rest
        self.phase = OVER

    def _read_counted(self, expected: int, size: int) -> bytes:
        left = expected - self._payload
        data = self._behind
        if left and not data:
            if self._past or left >= COUNTED_BYTES:
                self._past = True
                return self._read_past(min(size, left))
            data = self._receive_body()
            if not data:
                raise self._cut_off()
        self._behind = data[left:]
        data = data[:left]
        self._payload += len(data)
        if self._payload == expected:
            self.phase = OVER
        return data

    @property
    def unframed(self) -> int:
        """Payload bytes that come next with no frame between them, straight to ``read_body_into``; 0: ``read_body`` is to be asked.

        They are of the body, or of a large chunk. None of them has come yet, as far as it is known here.
        """
        if self._behind:
            return 0
        plain = self._plain
        left = (self.remaining or 0) if plain is None else 0 if plain.rest else plain.left
        return left if self._past or left >= COUNTED_BYTES else 0

    def _read_past(self, size: int) -> bytes:
        data = self._receive_up_to(size)
        self._count(len(data))
        return data

    def _receive_up_to(self, size: int) -> bytes:
        """Never more than belongs to the body: what follows stays in the stream."""
        seconds = self._patience()
        try:
            return self.stream.read_up_to(size, seconds)
        except TimeoutError as error:
            raise self._body_timed_out() from error
        except OSError as error:
            raise self._broken_body(error) from error

    def read_body_into(self, view: memoryview) -> int:
        """The next of what is ``unframed``, as much as is there, into ``view``; how many bytes. Neither of the two is empty.

        Raises as ``read_body`` does.
        """
        seconds = self._patience()
        left = self.unframed
        self._past = self._plain is None
        try:
            size = self.stream.read_into(view[:left], seconds)
        except TimeoutError as error:
            raise self._body_timed_out() from error
        except OSError as error:
            raise self._broken_body(error) from error
        self._count(size)
        return size

    def _patience(self) -> float | None:
        seconds = self._deadline.within(self._timeouts.read)
        if seconds == 0.0 or (self._timeouts is _AT_ONCE and not self.stream.readable_now()):
            raise self._body_timed_out()  # a server that sends without pause is never waited for
        return seconds

    def _count(self, size: int) -> None:
        if not size:
            raise self._cut_off()
        self._payload += size
        if self._plain is not None:
            self._plain.left -= size
        elif self._payload == self._head.expected:
            self.phase = OVER

    def _read_framed(self) -> bytes:
        """In chunks, or until the connection ends: h11 finds the payload, and its end."""
        while self.phase is not OVER:
            try:
                event = self._conn.next_event()
            except h11.RemoteProtocolError as error:
                raise self._broken_body(error) from error
            if type(event) is h11.Data:
                data = bytes(event.data)  # h11 gives a bytearray
                self._payload += len(data)
                self._chunks += event.chunk_start
                return data
            if type(event) is h11.EndOfMessage:
                self._finish(event)
            else:  # NEED_DATA
                if self._head.chunked:
                    # h11 has used up what it was fed, but for the start of a chunk's size line, or of the trailers.
                    check_chunks(self._conn.trailing_data[0], self._fed, self._payload, self._chunks)
                data = self._receive_body()
                self._fed += len(data)
                self._conn.receive_data(data)
        return b""

    def _read_chunks(self, plain: PlainChunks, size: int) -> list[bytes]:
        """The next pieces of plain chunks, one for each chunk; none if the body is over, or if h11 has to judge the rest."""
        while True:
            pieces = plain.pieces()
            self._payload += sum(map(len, pieces))
            if plain.ended:
                self._end_chunks(plain)
            if pieces or plain.ended:
                return pieces
            if plain.left >= COUNTED_BYTES:
                return [self._read_past(min(size, plain.left))]
            more = self._receive_body() if plain.left or plain.plain_so_far else b""
            if more:
                plain.feed(more)
            elif plain.left:
                raise self._cut_off()
            else:
                self._leave_to_h11(plain.rest)
                return []

    def _leave_to_h11(self, rest: bytes) -> None:
        """``rest`` comes between two chunks, and is not plain."""
        # A new one, which has just read a chunk of one byte: what it expects is what comes.
        self._conn = conn = new_h11()
        conn.receive_data(_IN_A_CHUNK)
        conn.next_event()
        conn.next_event()
        self._plain = None
        self._untold = True  # the new h11 does not know of the request
        self._fed = self._payload + len(rest)
        if rest:
            conn.receive_data(rest)

    def read_body_within(self, seconds: float) -> bytes:
        """Like ``read_body``, waiting at most ``seconds`` for more; with 0 only for what is here."""
        kept = self._timeouts
        self._timeouts = Timeouts(read=seconds) if seconds > 0 else _AT_ONCE
        try:
            return self.read_body()
        finally:
            self._timeouts = kept

    def _receive_body(self) -> bytes:
        """What comes next from the server; ``b""`` at the connection's end."""
        seconds = self._patience()
        self.stream.hasten()
        try:
            data = self.stream.read(seconds)
        except TimeoutError as error:
            raise self._body_timed_out() from error
        except OSError as error:
            raise self._broken_body(error) from error
        if not data and not self.stream.clean_eof and self._head.expected is None and not self._head.chunked:
            # RFC 9112, section 9.8: such a body is complete only with a valid closure alert.
            message = "the connection ended without TLS's closure alert: the body may be cut short"
            raise cut_short(message, self._payload, self._head.expected)
        return data

    def _finish(self, event: Any) -> None:
        if event.headers:
            self.trailers = check_trailers(event.headers.raw_items())
        self.phase = OVER

    # -- what went wrong ---------------------------------------------------------------------------------------------

    def _total_or(self, error: RequestException, phase: str) -> RequestException:
        if not self._deadline.expired():
            return error
        return TotalTimeout(f"the call's total of {self._deadline.total} s was used up while {phase}")

    def _cut_off(self) -> RequestException:
        error = cut_short("the connection ended before the body did", self._payload, self._head.expected)
        error.__cause__ = EOFError("end of file")
        return error

    def _body_timed_out(self) -> RequestException:
        came = progress(self._payload, self._head.expected)
        error = BodyReadTimeout(f"no more of the body within timeouts.read={self._timeouts.read} s ({came} came before)")
        return self._total_or(error, f"reading the body ({came} had come)")

    def _broken_body(self, cause: Exception) -> RequestException:
        return broken_body(cause, self._payload, self._head.expected, ended=self._conn.trailing_data[1])


_AT_ONCE = Timeouts(read=0.001)


def new_h11() -> h11.Connection:
    """The client's side of a connection on which nothing has been said yet."""
    return h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_INCOMPLETE_EVENT_BYTES)

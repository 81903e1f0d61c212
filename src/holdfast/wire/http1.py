"""Http1Connection: one HTTP/1.1 connection, h11 driven over any byte stream.

Laws:

1. Where the exchange stands is h11's knowledge; this file adds only what h11 leaves to its user: limits on *complete*
   heads, trailers and chunk overhead, HTTP/1.0 keep-alive, close-delimited bodies that must not be reused, bytes left over.
2. Nothing is read as a response that arrived before its request was written (``stream.heard``).
3. ``recycle`` is the one gate back to the pool.
4. Every failure is an ExchangeFailed that says how far the exchange got.

After EPIPE or ECONNRESET while sending, the response is still read: it may be there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import h11

from ..exceptions import (
    BodyReadTimeout,
    ChunkedEncodingError,
    ConnectionLost,
    HeadersTooLarge,
    IncompleteBody,
    ReadTimeout,
    RemoteProtocolError,
    RequestException,
    SSLError,
    TotalTimeout,
    WriteTimeout,
)
from ..reasons import Delivery, Discard, ExchangeFailed
from ..timeouts import Deadline, Timeouts

MAX_HEAD = 64 * 1024
MAX_FIELDS = 256
MAX_TRAILERS = 16 * 1024
MAX_INFORMATIONAL = 32
MAX_CHUNK_OVERHEAD = 16 * 1024  # plus a quarter of the payload, plus CHUNK_FRAMING per chunk
CHUNK_FRAMING = 24  # size in hex, and two CRLFs: what an honest chunk costs at most
MAX_INCOMPLETE = 100 * 1024
WRITE_PIECE = 64 * 1024
LINGER = 0.25  # seconds to wait for the end of file behind bytes that nobody asked for
LAST_WORDS = 2.0  # seconds to wait for a response after the server stopped taking the request

RawHeaders = list[tuple[bytes, bytes]]
OnInformational = Callable[[int, RawHeaders], object]


class ByteStream(Protocol):
    """What an Http1Connection needs of a connection."""

    clean_eof: bool
    written: int

    def read(self, seconds: float | None) -> bytes: ...
    def write_some(self, data: bytes | memoryview) -> int: ...
    def wait_writable_or_readable(self, seconds: float | None) -> tuple[bool, bool]: ...
    def readable_now(self) -> bool: ...
    def probe(self) -> Discard | None: ...
    def begin_exchange(self) -> None: ...
    def heard(self) -> bool: ...
    def undelivered(self) -> bool: ...
    def close(self, *, polite: bool = True) -> None: ...


class RequestBody(Protocol):
    """What an Http1Connection needs of a request's body."""

    @property
    def data(self) -> bytes | None: ...
    def chunks(self) -> Iterator[bytes]: ...


class Http1Connection:
    """One connection's exchanges, one after the other. Not thread-safe: its leaseholder is its only user.

    Attributes:
        stream: the byte stream; closing it is the pool's work.
        raw_headers: the fields of the last response's head, as they came.
        trailers: the fields after the chunks of the last body.
        request_incomplete: the server answered before the whole body was sent; the rest was not sent.
        expected: payload bytes the last response's head announces; None when its framing does not say.
        sets_cookies: the last response has a Set-Cookie field.
        encoded: the last response has a Content-Encoding field.
        finished: its body has been read to its end.
        keep_alive: (timeout, max) of the last response's Keep-Alive field; None where it did not say.
    """

    __slots__ = (
        "_begun",
        "_chunked",
        "_chunks",
        "_conn",
        "_deadline",
        "_eof",
        "_fed",
        "_heard",
        "_informational",
        "_payload",
        "_pending_head",
        "_request",
        "_reuse",
        "_timeouts",
        "_write_error",
        "encoded",
        "expected",
        "finished",
        "keep_alive",
        "on_informational",
        "raw_headers",
        "request_incomplete",
        "sets_cookies",
        "stream",
        "trailers",
    )

    def __init__(self, stream: ByteStream) -> None:
        self.stream = stream
        self._conn = _new_h11()
        self.keep_alive: tuple[float | None, int | None] = (None, None)
        self.sets_cookies = self.encoded = False
        self.expected: int | None = None
        self.raw_headers: RawHeaders = []
        self.trailers: RawHeaders = []
        self.on_informational: OnInformational | None = None
        self.request_incomplete = False
        self.finished = True

    # -- one exchange ------------------------------------------------------------------------------------------------

    def exchange(
        self, request: h11.Request, body: RequestBody | None, timeouts: Timeouts, deadline: Deadline
    ) -> h11.Response:
        """Send a request and return the head of its final response; ``read_body`` gives the rest.

        Raises:
            ExchangeFailed: whatever went wrong, with how far it got.
            Exception: what the body's own iterator raised, as it is.
        """
        self._begin(timeouts, deadline)
        try:
            self._send(request, body)
            return self._pending_head or self._receive_head()
        except h11.RemoteProtocolError as error:
            raise self._not_http(error) from error

    def _begin(self, timeouts: Timeouts, deadline: Deadline) -> None:
        self._timeouts = timeouts
        self._deadline = deadline
        self._pending_head: h11.Response | None = None
        self._write_error: OSError | None = None
        self.finished = False
        self._heard = False
        self._begun = False
        self._informational = 0
        self._fed = 0
        self._payload = 0
        self._chunks = 0
        self._eof = False
        self.request_incomplete = False
        self.keep_alive = (None, None)
        self.sets_cookies = self.encoded = False
        if self.trailers:
            self.trailers = []
        self.stream.begin_exchange()

    # -- sending -----------------------------------------------------------------------------------------------------

    def _send(self, request: h11.Request, body: RequestBody | None) -> None:
        conn = self._conn
        self._request = request
        head = conn.send(request)
        if body is None:
            self._write(head + conn.send(_END))
            return
        data = body.data
        if data is not None and len(data) <= WRITE_PIECE:
            self._write(head + conn.send(h11.Data(data=data)) + conn.send(_END))
            return
        self._upload(head, body)

    def _upload(self, head: bytes, body: RequestBody) -> None:
        """A body in pieces; the first goes out in one write with the head. Stops when the server has answered."""
        conn = self._conn
        waiting = head
        for piece in _pieces(body):
            # Asked before a piece and not after: behind the last one, an answer is no early answer.
            if waiting:
                self._check_fit()
            elif self._answered_early():
                self.request_incomplete = True
                return
            framed = conn.send(h11.Data(data=piece))  # type: ignore[arg-type]  # h11 takes any buffer
            if not self._write(waiting + framed if waiting else framed):
                return
            waiting = b""
            self._check_total()
        self._write(waiting + conn.send(_END))

    def _check_fit(self) -> None:
        """Probe again: making the first piece may have taken any time, and what arrived meanwhile is no answer."""
        verdict = self.stream.probe()
        if verdict is not None:
            message = f"the connection became unfit ({verdict.value}) before the request was written"
            raise ExchangeFailed(ConnectionLost(message, may_have_executed=False), Delivery.NOT_WRITTEN)

    def _check_total(self) -> None:
        """A server that takes all we have is never waited for, so no wait ends with the call's time."""
        if self._deadline.expired():
            raise self._timed_out(TotalTimeout(), "sending the request body")

    def _write(self, data: bytes) -> bool:
        """Write it all; False if the server stopped taking it, or answered, first."""
        try:
            sent = self.stream.write_some(data)
            return sent == len(data) or self._write_rest(memoryview(data)[sent:])
        except OSError as error:
            self._write_error = error
            self.request_incomplete = True
            return False

    def _write_rest(self, rest: memoryview) -> bool:
        while rest:
            sent = self._write_when_possible(rest)
            if not sent:
                self.request_incomplete = True
                return False
            rest = rest[sent:]
        return True

    def _write_when_possible(self, rest: memoryview) -> int:
        """Wait until the server takes more, and how many bytes it took; 0 if it has answered instead."""
        until = _moment(self._timeouts.write)
        while True:
            left = None if until is None else max(0.0, until - time.monotonic())
            writable, readable = self.stream.wait_writable_or_readable(self._deadline.within(left))
            if readable and self._answered_early():
                return 0
            sent = self.stream.write_some(rest) if writable else 0
            if sent and not self._deadline.expired():
                return sent
            if self._deadline.expired() or (until is not None and time.monotonic() >= until):
                raise self._timed_out(
                    WriteTimeout(f"the server took no byte of the request for timeouts.write={self._timeouts.write} s"),
                    "sending the request",
                )

    def _answered_early(self) -> bool:
        """Whether a final response has begun to arrive while the body is still being sent."""
        if self._pending_head is None:
            try:
                if not self.stream.readable_now():
                    return False
                data = self.stream.read(0.0)
            except TimeoutError:
                return False  # a record of the TLS layer's own
            except OSError as error:
                raise self._failed(error) from error
            self._feed(data)
            self._pending_head = self._next_head()
        return self._pending_head is not None

    # -- the head of the response ------------------------------------------------------------------------------------

    def _receive_head(self) -> h11.Response:
        seconds = self._timeouts.read
        if self._write_error is not None:
            seconds = LAST_WORDS if seconds is None else min(seconds, LAST_WORDS)
        self._read_into_h11(seconds)
        head = self._next_head()
        if head is None:
            until = _moment(seconds)
            while head is None:
                self._read_into_h11(None if until is None else max(0.0, until - time.monotonic()))
                head = self._next_head()
        return head

    def _read_into_h11(self, seconds: float | None) -> None:
        try:
            data = self.stream.read(self._deadline.within(seconds))
        except TimeoutError as error:
            raise self._timed_out(self._no_head(), "waiting for the response head") from error
        except OSError as error:
            raise self._failed(error) from error
        self._feed(data)

    def _feed(self, data: bytes) -> None:
        if not self._heard:
            if data and not self.stream.heard():
                raise self._spoke_first(data)
            self._heard = bool(data)
        self._fed += len(data)
        self._conn.receive_data(data)

    def _next_head(self) -> h11.Response | None:
        """The final response's head, None while it is incomplete. Informational ones are passed on and counted."""
        while True:
            event = self._conn.next_event()
            if type(event) is h11.Response:
                self._check_head(event)
                return event
            if event is h11.NEED_DATA:
                self._check_incomplete()
                return None
            self._inform(event)  # h11 has nothing else to say here: an end of file is an error to it

    def _check_incomplete(self) -> None:
        if self._fed > MAX_HEAD:
            raise self._too_large(f"the response head exceeds {MAX_HEAD} bytes")
        if not self._begun:
            begun = self._conn.trailing_data[0]
            if begun[:5] != b"HTTP/"[: len(begun)]:  # h11 would wait for an empty line
                raise self._bad(f"the response is not HTTP/1.1: it begins with {_quote(begun)}")
            self._begun = len(begun) >= 5

    def _inform(self, event: Any) -> None:
        self._informational += 1
        if event.status_code == 101:
            raise self._bad("the server switched protocols (101); holdfast speaks HTTP/1.1 only")
        if self._informational > MAX_INFORMATIONAL:
            raise self._bad(f"more than {MAX_INFORMATIONAL} informational (1xx) responses before the final one")
        self._fed = len(self._conn.trailing_data[0])
        if self.on_informational is not None:
            self.on_informational(event.status_code, event.headers.raw_items())

    def _check_head(self, head: h11.Response) -> None:
        """Bound a complete head, and note what it says about reuse. One pass over the fields."""
        version = head.http_version
        if version[:1] != b"1":
            raise self._bad(f"the server answers in HTTP/{version.decode()}; holdfast speaks HTTP/1.1")
        fields = self.raw_headers = head.headers.raw_items()
        if len(fields) > MAX_FIELDS:
            raise self._too_large(f"{len(fields)} header fields in the response; at most {MAX_FIELDS} are accepted")
        if self._fed > MAX_HEAD:
            size = sum(len(n) + len(v) + 4 for n, v in fields)
            if size > MAX_HEAD:
                raise self._too_large(f"a response head of {size} bytes; at most {MAX_HEAD} are accepted")
        self._note_framing(head)

    def _note_framing(self, head: h11.Response) -> None:
        length: int | None = None
        chunked = False
        reuse: bool | None = None if head.http_version == b"1.1" else False
        for raw_name, value in self.raw_headers:
            if len(raw_name) not in _NOTED_SIZES:
                continue
            name = raw_name.lower()
            if name == b"content-length":
                length = int(value)
            elif name == b"transfer-encoding":
                chunked = True
            elif name == b"content-encoding":
                self.encoded = True
            elif name == b"set-cookie":
                self.sets_cookies = True
            elif name == b"keep-alive":
                self.keep_alive = parse_keep_alive(value)
            elif name == b"connection" and head.http_version == b"1.0":
                reuse = reuse or self._kept_by_both(value)
        bodyless = self._bodyless(head.status_code)
        self.expected = 0 if bodyless else None if chunked else length
        self._chunked = chunked and not bodyless
        if self._chunked:
            self._fed = len(self._conn.trailing_data[0])  # counted from here: the body's bytes only
        if chunked and (length is not None or head.http_version == b"1.0"):
            reuse = False  # RFC 9112, section 6.1: this "ought to be handled as an error", and ends with the connection
        elif not bodyless and length is None and not chunked:
            reuse = False  # the body ends with the connection: there is nothing left to reuse
        self._reuse = reuse

    def _kept_by_both(self, connection: bytes) -> bool:
        """Whether this Connection field of an HTTP/1.0 response keeps the connection, and the request did not end it."""
        options = connection.lower()
        if b"keep-alive" not in options or b"close" in options:
            return False
        return not any(name == b"connection" and b"close" in value.lower() for name, value in self._request.headers)

    def _bodyless(self, status: int) -> bool:
        method = self._request.method
        return status in (204, 304) or method == b"HEAD" or (method == b"CONNECT" and status < 300)

    # -- the body ------------------------------------------------------------------------------------------------------

    @property
    def remaining(self) -> int | None:
        """Payload bytes still to come; None when the framing does not say."""
        return None if self.expected is None else self.expected - self._payload

    def read_body(self) -> bytes:
        """The next piece of payload, ``b""`` at its end. ``finished`` may be known with the last piece already.

        Raises:
            RequestException: BodyReadTimeout, TotalTimeout, IncompleteBody, RemoteProtocolError or SSLError.
        """
        while not self.finished:
            try:
                event = self._conn.next_event()
            except h11.RemoteProtocolError as error:
                raise self._broken_body(error) from error
            if type(event) is h11.Data:
                data = bytes(event.data)  # h11 gives a bytearray
                self._payload += len(data)
                if self._payload == self.expected:
                    self._finish(self._conn.next_event())  # the Content-Length is used up: h11 has the end ready
                elif event.chunk_start:
                    self._chunks += 1
                return data
            if type(event) is h11.EndOfMessage:
                self._finish(event)
            elif event is h11.NEED_DATA:
                self._read_more_body()
            else:
                self.finished = True  # PAUSED: h11 says no more behind the answer to a CONNECT, and recycle refuses
        return b""

    def read_body_within(self, seconds: float) -> bytes:
        """Like ``read_body``, waiting at most ``seconds`` for more."""
        kept = self._timeouts
        self._timeouts = Timeouts(read=seconds) if seconds > 0 else _IMPATIENT
        try:
            return self.read_body()
        finally:
            self._timeouts = kept

    def _read_more_body(self) -> None:
        if self._chunked:
            self._check_overhead()
        seconds = self._deadline.within(self._timeouts.read)
        if seconds == 0.0:
            raise self._body_timed_out()  # a server that sends without pause is never waited for
        try:
            data = self.stream.read(seconds)
        except TimeoutError as error:
            raise self._body_timed_out() from error
        except OSError as error:
            raise self._broken_body(error) from error
        if not data:
            self._eof = True
            if not self.stream.clean_eof and self.expected is None and not self._chunked:
                # RFC 9112, section 9.8: such a body is complete only with a valid closure alert.
                raise self._incomplete("the connection ended without TLS's closure alert: the body may be cut short")
        self._fed += len(data)
        self._conn.receive_data(data)

    def _check_overhead(self) -> None:
        """Called when h11 has used up what it was fed, but for the start of a chunk header."""
        overhead = self._fed - self._payload - self._chunks * CHUNK_FRAMING
        if overhead > MAX_CHUNK_OVERHEAD + self._payload // 4:
            raise HeadersTooLarge(
                f"{self._fed - self._payload} bytes of chunk framing around {self._payload} bytes of body; "
                f"at most {MAX_CHUNK_OVERHEAD} and a quarter of the body are accepted"
            )

    def _finish(self, event: Any) -> None:
        if event.headers:
            trailers = event.headers.raw_items()
            size = sum(len(n) + len(v) + 4 for n, v in trailers)
            if size > MAX_TRAILERS or len(trailers) > MAX_FIELDS:
                raise HeadersTooLarge(
                    f"{len(trailers)} trailer fields of {size} bytes; "
                    f"at most {MAX_FIELDS} fields and {MAX_TRAILERS} bytes are accepted"
                )
            self.trailers = trailers
        self.finished = True

    # -- reuse ---------------------------------------------------------------------------------------------------------

    def recycle(self) -> Discard | None:
        """Make ready for the next request; None if that was possible, else why the connection must go.

        The one gate back to the pool: both sides done, nothing left over, nothing said to close.
        """
        if not self.finished or self.request_incomplete or self._write_error is not None:
            return Discard.BROKEN
        conn = self._conn
        left_over, ended = conn.trailing_data
        if left_over:
            return Discard.UNSOLICITED  # start_next_cycle would read it as the next response
        if ended or self._reuse is False:
            return Discard.SERVER_CLOSE
        if self._reuse:
            self._conn = _new_h11()  # HTTP/1.0 with keep-alive: h11 gives up here, the connection need not
        elif conn.our_state is h11.DONE and conn.their_state is h11.DONE:
            conn.start_next_cycle()
        else:
            return Discard.SERVER_CLOSE
        return None

    def probe(self) -> Discard | None:
        """None when this idle connection is fit for another request, else why it is not."""
        return self.stream.probe()

    # -- what went wrong -----------------------------------------------------------------------------------------------

    def _delivery(self) -> Delivery:
        if self._heard:
            return Delivery.ANSWERED
        if not self.stream.written:
            return Delivery.NOT_WRITTEN
        return Delivery.NOT_DELIVERED if self.stream.undelivered() else Delivery.UNKNOWN

    def _failed(self, cause: Exception) -> ExchangeFailed:
        """The connection broke before the response head was complete."""
        delivery = self._delivery()
        error: Exception
        if _is_tls_error(cause):
            # An alert is what the server says to this request, and a damaged record is no reason to say it again.
            delivery = Delivery.ANSWERED
            error = SSLError(f"TLS failed while the response was awaited: {_text(cause)}")
        elif delivery is Delivery.ANSWERED:
            error = ConnectionLost(f"the connection broke in the middle of the response head: {_text(cause)}")
        else:
            error = ConnectionLost(
                f"the server closed the connection without a response: {_text(self._write_error or cause)}",
                may_have_executed=delivery is Delivery.UNKNOWN,
            )
        error.__cause__ = cause
        return ExchangeFailed(error, delivery)

    def _spoke_first(self, data: bytes) -> ExchangeFailed:
        """Bytes that crossed the request: the tail of something earlier, or a 408 before a close. Never an answer."""
        error = RemoteProtocolError(
            f"the server sent {len(data)} bytes before the request had reached it: no answer to it: {_quote(data)}"
        )
        delivery = Delivery.NOT_DELIVERED if self._ends_undelivered(len(data)) else Delivery.UNKNOWN
        return ExchangeFailed(error, delivery)

    def _ends_undelivered(self, received: int) -> bool:
        until = time.monotonic() + LINGER
        try:
            while received <= MAX_HEAD:
                data = self.stream.read(self._deadline.within(max(0.0, until - time.monotonic())))
                if not data:
                    return self.stream.undelivered()
                received += len(data)
        except OSError:
            pass  # no end of file within the time, or an error: no proof
        return False

    def _not_http(self, cause: h11.RemoteProtocolError) -> ExchangeFailed:
        if self._conn.trailing_data[1]:
            return self._failed(EOFError("end of file"))
        if cause.error_status_hint == 431:
            return self._too_large(f"the response head exceeds {MAX_HEAD} bytes")
        return self._bad(f"the response is not HTTP/1.1: {_text(cause)}")

    def _bad(self, message: str) -> ExchangeFailed:
        return ExchangeFailed(RemoteProtocolError(message), Delivery.ANSWERED)

    def _too_large(self, message: str) -> ExchangeFailed:
        return ExchangeFailed(HeadersTooLarge(message), Delivery.ANSWERED)

    def _timed_out(self, error: RequestException, phase: str) -> ExchangeFailed:
        delivery = Delivery.ANSWERED if self._heard else Delivery.UNKNOWN
        return ExchangeFailed(self._total_or(error, phase), delivery, timed_out=True)

    def _total_or(self, error: RequestException, phase: str) -> RequestException:
        if not self._deadline.expired():
            return error
        return TotalTimeout(f"the call's total of {self._deadline.total} s was used up while {phase}")

    def _no_head(self) -> RequestException:
        if self._write_error is not None:
            reason = _text(self._write_error)
            return ConnectionLost(f"the server stopped taking the request and did not answer: {reason}")
        return ReadTimeout(
            f"no complete response head within timeouts.read={self._timeouts.read} s"
            + (f" ({self._fed} bytes of it came)" if self._fed else "")
        )

    def _body_timed_out(self) -> RequestException:
        error = BodyReadTimeout(
            f"no more of the body within timeouts.read={self._timeouts.read} s ({self._progress()} came before)"
        )
        return self._total_or(error, f"reading the body ({self._progress()} had come)")

    def _progress(self) -> str:
        return f"{self._payload} bytes" if self.expected is None else f"{self._payload} of {self.expected} bytes"

    def _incomplete(self, message: str) -> IncompleteBody:
        return IncompleteBody(f"{message} ({self._progress()} came)", received=self._payload, expected=self.expected)

    def _broken_body(self, cause: Exception) -> RequestException:
        if _is_tls_error(cause):
            return SSLError(f"TLS failed in the middle of the body ({self._progress()} came): {_text(cause)}")
        if isinstance(cause, h11.RemoteProtocolError) and not self._eof:
            return _InvalidFraming(f"the body's chunked framing is damaged after {self._payload} bytes: {_text(cause)}")
        reason = "" if self._eof else f": {_text(cause)}"
        return self._incomplete(f"the connection ended before the body did{reason}")


class _InvalidFraming(RemoteProtocolError, ChunkedEncodingError):
    """Both by nature: what came is not HTTP, and what is broken is the chunked coding, which has a name in requests."""


_NOTED = (b"content-length", b"transfer-encoding", b"content-encoding", b"keep-alive", b"connection", b"set-cookie")
_NOTED_SIZES = frozenset(map(len, _NOTED))  # most fields are told apart by their name's length alone
_IMPATIENT = Timeouts(read=0.001)
_END = h11.EndOfMessage()


def _new_h11() -> h11.Connection:
    return h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_INCOMPLETE)


def _pieces(body: RequestBody) -> Iterator[bytes | memoryview]:
    data = body.data
    if data is None:
        yield from body.chunks()
        return
    view = memoryview(data)
    for at in range(0, len(view), WRITE_PIECE):
        yield view[at : at + WRITE_PIECE]


def parse_keep_alive(value: bytes) -> tuple[float | None, int | None]:
    """(timeout, max) of a Keep-Alive field (RFC 2068, section 19.7.1.1); None for what it does not say."""
    timeout: float | None = None
    uses: int | None = None
    for parameter in value[:200].split(b","):
        name, _, number = parameter.partition(b"=")
        number = number.strip(b' \t"')
        if number.isdigit() and len(number) < 10:
            if name.strip().lower() == b"timeout":
                timeout = float(number)
            elif name.strip().lower() == b"max":
                uses = int(number)
    return timeout, uses


def _moment(seconds: float | None) -> float | None:
    return None if seconds is None else time.monotonic() + seconds


def _is_tls_error(error: Exception) -> bool:
    # ssl is not imported for plain http; its errors carry their library's name.
    return isinstance(error, OSError) and type(error).__module__ == "ssl" and "EOF" not in type(error).__name__


def _text(error: Exception) -> str:
    """What it says, cut short: h11 quotes whole lines of the server's."""
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__)[:100]


def _quote(data: bytes) -> str:
    return repr(bytes(data[:100])) + ("…" if len(data) > 100 else "")

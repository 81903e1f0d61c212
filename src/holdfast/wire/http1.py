"""Http1Connection: one HTTP/1.1 connection, h11 driven over any byte stream.

Laws:

1. What a head says is h11's knowledge; this file adds only what h11 leaves to its user: limits on *complete* heads, trailers and
   chunk overhead, HTTP/1.0 keep-alive, close-delimited bodies that must not be reused, bytes left over. h11 is not asked what it
   has said before: requests that are sent again (``telling``), a head like the last one (``judged``). A body of known length, or in
   plain chunks, is counted past h11, and not copied five times; its connection goes on with a new h11.
2. Nothing is read as a response that arrived before its request was written (``stream.acknowledged``).
3. ``recycle`` is the one gate back to the pool.
4. Every failure is an ExchangeFailed that says how far the exchange got.
5. One clock: the deadline's, which comes with each exchange.

After EPIPE or ECONNRESET while sending, the response is still read: it may be there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import h11

from .._numbers import number_of
from ..exceptions import (
    ConnectionLost,
    RemoteProtocolError,
    RequestException,
    SSLError,
    TotalTimeout,
    WriteTimeout,
)
from ..message.span import FilePart
from ..reasons import Delivery, Discard, ExchangeFailed
from ..timeouts import Deadline, Timeouts
from .chunks import PlainChunks
from .failures import is_tls_error, lost, no_head, not_http, quote, text, too_large
from .framing import NO_HEAD, RawHeaders, ResponseHead, Reuse, understand
from .judged import NONE, alike, judged
from .limits import (
    MAX_HEAD_BYTES,
    MAX_INFORMATIONAL_RESPONSES,
    check_head,
)
from .payload import Payload, new_h11
from .protocols import BODY, HEAD, OVER, ByteStream, RequestBody, pieces_of
from .reuse import HEAD_PATIENCE_SECONDS, AfterBody, Habits, after_body
from .telling import Outgoing

if TYPE_CHECKING:
    from .mending import Mended
    from .opening import Opening

WRITE_PIECE_BYTES = 64 * 1024
FIN_WAIT_SECONDS = 0.25  # for the end of file behind bytes that are no answer
ANSWER_WAIT_SECONDS = 2.0  # for a response after the server stopped taking the request

OnInformational = Callable[[int, RawHeaders], object]


_ENDING, (_, _NEW_PARSER, _NEVER) = (h11.MUST_CLOSE, h11.CLOSED), Reuse  # globals cost a fraction of an enum's attributes


class Http1Connection(Payload):
    """One connection's exchanges, one after the other. Not thread-safe: its leaseholder is its only user.

    Args:
        stream: connected.
        habits: what the origin was seen doing, shared by its connections.

    Attributes:
        stream: the byte stream; closing it is the pool's work.
        opening: what opening it took; None of one that the dialer did not open.
        phase: where the last exchange stands.
        sent_at: the moment on the deadline's clock at which the last request was written, as far as it was.
        once: ``recycle`` made it ready for the next request of the same call, and for no other.
        session_kept: whether its user has put its TLS session away, for handshakes to come.
        trailers: the fields after the chunks of the last body.
    """

    __slots__ = (
        "_answered",
        "_before",
        "_begun",
        "_content",
        "_continued",
        "_habits",
        "_incomplete_request",
        "_informational",
        "_judged",
        "_mended",
        "_on_informational",
        "_pieces_of_head",
        "_queued",
        "_request",
        "_write_error",
        "once",
        "opening",
        "sent_at",
        "session_kept",
    )

    def __init__(self, stream: ByteStream, habits: Habits | None = None) -> None:
        self.stream = stream
        self._habits = habits or Habits()
        self.opening: Opening | None = None
        self.sent_at = 0.0
        self._conn = new_h11()
        self.trailers: RawHeaders = []
        self.phase = OVER
        self.once = self.session_kept = False
        self._head = NO_HEAD
        self._judged = self._habits.judged
        self._request = _NO_REQUEST
        self._content = self._continued = self._queued = self._past = self._untold = False
        self._behind = b""  # what is read and not given yet of a body of known length; behind its last byte, what is too much
        self._pieces_of_head: list[bytes] = []  # all that came of it, until it is complete
        self._incomplete_request = False
        self._write_error: OSError | None = None

    # -- one exchange ------------------------------------------------------------------------------------------------

    def exchange(
        self,
        request: Outgoing | h11.Request,
        body: RequestBody | None,
        timeouts: Timeouts,
        deadline: Deadline,
        on_informational: OnInformational | None = None,
    ) -> ResponseHead:
        """Send a request and return the head of its final response; ``read_body`` gives the rest.

        Args:
            request: its head; an Outgoing, if it may be sent more than once.
            on_informational: called with (status, fields) of each 1xx response.

        Raises:
            ExchangeFailed: whatever went wrong, with how far it got.
            Exception: what the body's own iterator raised, as it is.
        """
        self._begin(timeouts, deadline)
        outgoing = request if isinstance(request, Outgoing) else Outgoing(request)
        self._before = self._request
        self._request = outgoing.event
        self._on_informational = on_informational
        try:
            self._send(outgoing, body)
            self.sent_at = deadline.clock()
            if self.phase is HEAD:
                self._receive_head()
            return self._head._replace(request_incomplete=True) if self._incomplete_request else self._head
        except h11.RemoteProtocolError as error:
            raise self._not_http(error) from error

    def _begin(self, timeouts: Timeouts, deadline: Deadline) -> None:
        self._timeouts = timeouts
        self._deadline = deadline
        self._write_error = None
        self.phase = HEAD
        self._head = NO_HEAD
        self._mended: Mended | None = None
        self._answered = False
        self._begun = False
        self._informational = 0
        self._fed = 0
        self._payload = 0
        self._chunks = 0
        self._plain = None
        self._incomplete_request = self._content = self._past = False
        if self.trailers:
            self.trailers = []
        self.stream.begin_exchange()

    # -- sending -----------------------------------------------------------------------------------------------------

    def _send(self, request: Outgoing, body: RequestBody | None) -> None:
        head = request.head
        data = b"" if body is None else body.data
        self._content = data is None or len(data) > 0
        self._queued = False
        self._untold = data is not None and len(data) == request.size and request.size <= WRITE_PIECE_BYTES
        if self._untold:
            self._write(head + data if data else head)
            return
        conn = self._conn
        conn.send(request.framing)
        if body is None:
            self._write(head + conn.send(_END))
            return
        if _EXPECTS in head.lower() and self._content:
            if not self._write(head):
                return
            if not self._told_to_continue():
                self._incomplete_request = True
                return
            head = b""
        if data is not None and len(data) <= WRITE_PIECE_BYTES:
            self._write(head + conn.send(h11.Data(data=data)) + conn.send(_END))
            return
        self._upload(head, body)

    def _told_to_continue(self) -> bool:
        """Wait for a 100, a final response, or ``timeouts.expect``; False if it was the response: the body stays here.

        A server that never sends a 100 gets the body after the wait, as RFC 9110, section 10.1.1, wants it.
        """
        self._continued = False
        seconds = self._timeouts.expect
        until = self._moment(self._timeouts.read if seconds is None else seconds)
        while self.phase is HEAD and not self._continued:
            try:
                data = self.stream.read(self._deadline.within(self._left(until)))
            except TimeoutError:
                self._check_total("waiting for 100 Continue")
                return True
            except OSError as error:
                raise self._failed(error) from error
            self._feed(data)
            self._next_head()
        return self.phase is HEAD

    def _upload(self, head: bytes, body: RequestBody) -> None:
        """A body in pieces; the first goes out in one write with the head. Stops when the server has answered."""
        conn = self._conn
        waiting = head
        for piece in self._whole_file(body) or pieces_of(body, WRITE_PIECE_BYTES):
            # Asked before a piece and not after: behind the last one, an answer is no early answer.
            if waiting:
                self._check_fit()
            elif self._answered_early():
                self._incomplete_request = True
                return
            # h11 counts and frames; it is given any buffer, and gives it back uncopied.
            framed: list[Any] = conn.send_with_data_passthrough(h11.Data(data=piece)) or []  # type: ignore[arg-type]  # h11's says bytes, and takes any object
            if type(piece) is FilePart:
                if not self._write_part(piece):
                    return
            elif not self._write(framed[0] if len(framed) == 1 and not waiting else b"".join((waiting, *framed))):
                return
            waiting = b""
            self._check_total("sending the request body")
        self._write(waiting + conn.send(_END))

    def _check_fit(self) -> None:
        """Probe again: making the first piece may have taken any time, and what arrived meanwhile is no answer.

        But what TLS says is heard: a server that wants a client certificate says so right behind the handshake of TLS 1.3.
        """
        verdict = self.stream.probe()
        if verdict is not None:
            refusal = self.stream.error
            if refusal is not None and is_tls_error(refusal):
                message = f"TLS failed before the request was written: {text(refusal)}"
                raise ExchangeFailed(SSLError(message), Delivery.NOT_WRITTEN) from refusal
            message = f"the connection became unfit ({verdict.value}) before the request was written"
            raise ExchangeFailed(ConnectionLost(message, may_have_executed=False), Delivery.NOT_WRITTEN)

    def _check_total(self, phase: str) -> None:
        """A server that takes all we have is never waited for, so no wait ends with the call's time."""
        if self._deadline.expired():
            raise self._timed_out(TotalTimeout(), phase)

    def _write(self, data: bytes) -> bool:
        """Write it all; False if the server stopped taking it, or answered, first."""
        try:
            sent = self.stream.write_some(data)
            return sent == len(data) or self._write_rest(memoryview(data)[sent:])
        except OSError as error:
            self._write_error = error
            self._incomplete_request = True
            return False

    def _write_rest(self, rest: memoryview) -> bool:
        while rest:
            sent = self._write_when_possible(rest, self.stream.write_some)
            if not sent:
                self._incomplete_request = True
                return False
            rest = rest[sent:]
        return True

    def _whole_file(self, body: RequestBody) -> Iterator[bytes | memoryview | FilePart] | None:
        if any(name == b"transfer-encoding" for name, _ in self._request.headers):
            return None  # chunks have frames around them
        span = body.span()
        return None if span is None else span.parts(self.stream.sends_files)

    def _write_part(self, part: FilePart) -> bool:
        """As ``_write``."""
        try:
            while part:
                sent = self.stream.write_file(part) or self._write_when_possible(part, self.stream.write_file)
                if not sent:
                    self._incomplete_request = True
                    return False
                part = part.after(sent)
        except RequestException:
            raise  # what is wrong with the file; it is an OSError too
        except OSError as error:
            self._write_error = error
            self._incomplete_request = True
            return False
        return True

    def _write_when_possible(self, rest: Any, write: Callable[[Any], int]) -> int:
        """Wait until the server takes more, and how many bytes it took; 0 if it has answered instead."""
        until = self._moment(self._timeouts.write)
        while True:
            left = self._left(until)
            writable, readable = self.stream.wait_writable_or_readable(self._deadline.within(left))
            if readable and self._answered_early():
                return 0
            sent = write(rest) if writable else 0
            if sent and not self._deadline.expired():
                return sent
            if not (writable or readable) or self._deadline.expired() or self._left(until) == 0.0:
                raise self._timed_out(
                    WriteTimeout(f"the server took no byte of the request for timeouts.write={self._timeouts.write} s"),
                    "sending the request",
                )

    def _answered_early(self) -> bool:
        """Whether a final response has begun to arrive while the body is still being sent."""
        if self.phase is HEAD:
            try:
                if not self.stream.readable_now():
                    return False
                data = self.stream.read(0.0)
            except TimeoutError:
                return False  # a record of the TLS layer's own
            except OSError as error:
                raise self._failed(error) from error
            self._feed(data)
            self._next_head()
        return self.phase is not HEAD

    # -- the head of the response ------------------------------------------------------------------------------------

    def _receive_head(self) -> None:
        seconds = self._timeouts.read
        if self._write_error is not None:
            seconds = ANSWER_WAIT_SECONDS if seconds is None else min(seconds, ANSWER_WAIT_SECONDS)
        self._read_into_h11(seconds)
        self._next_head()
        if self.phase is HEAD:
            until = self._moment(seconds)
            while self.phase is HEAD:
                self.stream.hasten()
                self._read_into_h11(self._left(until))
                self._next_head()

    def _moment(self, seconds: float | None) -> float | None:
        return None if seconds is None else self._deadline.clock() + seconds

    def _left(self, until: float | None) -> float | None:
        return None if until is None else max(0.0, until - self._deadline.clock())

    def _read_into_h11(self, seconds: float | None) -> None:
        try:
            data = self.stream.read(self._deadline.within(seconds))
        except TimeoutError as error:
            late = no_head(self._write_error, self._timeouts.read, self._fed)
            raise self._timed_out(late, "waiting for the response head") from error
        except OSError as error:
            raise self._failed(error) from error
        self._feed(data)

    def _feed(self, data: bytes) -> None:
        if not self._answered:
            if data and not self.stream.acknowledged():
                raise self._spoke_first(data)
            self._answered = bool(data)
        if self._untold and not self._fed:
            known = self._judged
            if known.method == self._request.method and not data.startswith(known.received):
                known = alike(known, data)
            if known.method == self._request.method:
                self._judged = known
                self._head = known.said
                self._behind = data[len(known.received) :]
                if known.said.chunked:
                    self._begin_chunks()
                self._note_head()
                return
        self._pieces_of_head.append(data)
        self._fed += len(data)
        self._conn.receive_data(data)

    def _next_head(self) -> None:
        """Note the final response's head if it is complete. Informational ones are passed on and counted."""
        while self.phase is HEAD:
            try:
                event = self._conn.next_event()
            except h11.RemoteProtocolError:
                if self._untold:
                    self._tell_late()
                elif self._mended is not None or not self._mend_head():
                    raise
                continue
            if type(event) is h11.Response:
                self._check_head(event)
            elif event is h11.NEED_DATA:
                self._check_incomplete()
                return
            elif self._untold:
                self._tell_late()
            else:
                self._inform(event)  # h11 has nothing else to say here: an end of file is an error to it

    def _tell_late(self) -> None:
        """What has come is no final response: h11 is to judge it as one who knows of the request."""
        self._untold = False
        pieces = self._pieces_of_head
        self._begin_anew(b"".join(pieces))
        if not pieces[-1]:
            self._conn.receive_data(b"")  # the end of file

    def _begin_anew(self, received: bytes) -> None:
        """Give ``received`` to a new h11 that stands where the request has been sent."""
        self._conn = conn = new_h11()
        # What send() returns is dropped: the request has left, with its body.
        conn.send(h11.Request(method=self._request.method, target=self._request.target, headers=[(b"Host", b"")]))
        conn.send(_END)
        conn.receive_data(received)

    def _mend_head(self) -> bool:
        """Give a new h11 the head that the old one has refused, in a form that it reads; False if there is none."""
        from .mending import mend

        self._mended = mended = mend(b"".join(self._pieces_of_head), self._request.method)
        if mended is None:
            return False
        self._begin_anew(mended.received)
        return True

    def _check_incomplete(self) -> None:
        if self._fed > MAX_HEAD_BYTES:
            raise too_large(f"the response head exceeds {MAX_HEAD_BYTES} bytes")
        if not self._begun:
            begun = self._conn.trailing_data[0]
            if begun[:5] != b"HTTP/"[: len(begun)]:  # h11 would wait for an empty line
                raise self._late_strays() or not_http(f"the response is not HTTP/1.1: it begins with {quote(begun)}")
            self._begun = len(begun) >= 5

    def _inform(self, event: Any) -> None:
        self._informational += 1
        if event.status_code == 101:
            raise not_http("the server switched protocols (101); holdfast speaks HTTP/1.1 only")
        if self._informational > MAX_INFORMATIONAL_RESPONSES:
            raise not_http(f"more than {MAX_INFORMATIONAL_RESPONSES} informational (1xx) responses before the final one")
        self._continued |= event.status_code == 100
        behind = self._conn.trailing_data[0]
        self._fed = len(behind)
        self._pieces_of_head[:] = [behind]
        if self._on_informational is not None:
            self._on_informational(event.status_code, event.headers.raw_items())

    def _check_head(self, head: h11.Response) -> None:
        """Bound a complete head, and note what it says."""
        version = head.http_version
        if version[:1] != b"1":
            raise not_http(f"the server answers in HTTP/{version.decode()}; holdfast speaks HTTP/1.1")
        fields = head.headers.raw_items()
        check_head(fields, self._fed)
        understood = understand(head, fields, self._request)
        if self._mended is not None:
            understood = understood._replace(raw_headers=self._mended.restore(fields), reuse=_NEVER)
        self._head = understood
        if understood.expected is not None or understood.chunked:
            self._behind = self._conn.trailing_data[0]
            if self._untold and len(self._pieces_of_head) == 1:
                self._judged = found = judged(self._request.method, self._pieces_of_head[0], self._behind, understood)
                if found is not NONE:
                    self._habits.judged = found
        if understood.chunked:
            self._begin_chunks()
        self._pieces_of_head.clear()
        self._note_head()

    def _begin_chunks(self) -> None:
        """The head is complete, and a chunked body begins behind it."""
        behind, self._behind = self._behind, b""
        if self._untold or self._conn.our_state is h11.DONE:
            self._plain = PlainChunks(behind)
        else:  # the request is not over, and its h11 is still needed: it gets the body too
            self._fed = len(behind)  # counted from here: the body's bytes only

    def _note_head(self) -> None:
        """The head is complete; ``queued`` is asked at that very moment."""
        if self._content:
            self._queued = self.stream.queued()
        self.phase = BODY

    # -- reuse ---------------------------------------------------------------------------------------------------------

    def recycle(self) -> Discard | None:
        """Make ready for the next request; None if that was possible, else why the connection must go.

        The one gate back to the pool: both sides done, nothing left over, nothing said to close.
        """
        if self.phase is not OVER or self._write_error is not None:
            return Discard.BROKEN
        conn, head = self._conn, self._head
        counted = head.expected is not None or self._plain is not None
        left_over, ended = (self._behind, False) if counted else conn.trailing_data
        if left_over:
            self._note_strays(self._request)
            return Discard.UNSOLICITED  # it would be read as the next response
        reuse = head.reuse
        said_to_close = conn.our_state in _ENDING if counted else conn.their_state is not h11.DONE
        if ended or reuse is _NEVER or (said_to_close and reuse is not _NEW_PARSER):
            return Discard.SERVER_CLOSE
        if self._past and (verdict := self.probe()) is not None:
            return verdict  # what is left over was not read, it is in the stream
        if self._content or self._incomplete_request:
            fate = self._after_body()
            if fate is AfterBody.CLOSE:
                return Discard.REFUSED
            self.once = fate is AfterBody.ONCE
        if self._habits.strays_after_head and self._request.method == b"HEAD":
            return Discard.UNSOLICITED  # they come when the connection is idle, or when the next request has left
        if self._untold and not self._fed:
            pass  # h11 has seen nothing of this exchange
        elif reuse is _NEW_PARSER or self._untold or (counted and conn.our_state is h11.DONE):  # not DONE if a side said to close
            self._conn = new_h11()
        elif conn.our_state is h11.DONE:
            conn.start_next_cycle()
        else:
            return Discard.SERVER_CLOSE  # it was to switch protocols
        return None

    def _after_body(self) -> AfterBody:
        head = self._head
        status = head.status_code
        asks = b"www-authenticate" if status == 401 else b"proxy-authenticate"
        challenges = [value for name, value in head.raw_headers if name.lower() == asks] if status in (401, 407) else []
        return after_body(status, written=not self._incomplete_request, queued=self._queued, challenges=challenges)

    @property
    def may_be_kept(self) -> bool:
        """Whether the end of this body leaves a connection that can carry another request, as far as is known by now."""
        reuse = self._head.reuse
        said_to_close = reuse is Reuse.NEVER or (reuse is Reuse.NEXT_CYCLE and self._conn.our_state is h11.MUST_CLOSE)
        if said_to_close or self._write_error is not None:
            return False
        return not self._content or self._after_body() is not AfterBody.CLOSE

    def probe(self, patience: float = 0) -> Discard | None:
        """None when this idle connection is fit for another request, else why it is not. See ``SocketStream.probe``."""
        verdict = self.stream.probe(patience)
        if verdict is None and self._habits.strays_after_head is None and self._request.method == b"HEAD":
            verdict = self.stream.probe(HEAD_PATIENCE_SECONDS)
            self._habits.strays_after_head = False
        if verdict is not None and self.stream.strays:
            self._note_strays(self._request)
        return verdict

    def _note_strays(self, request: h11.Request) -> None:
        """Bytes came that no request asked for, behind the answer to ``request``."""
        if request.method == b"HEAD":
            self._habits.strays_after_head = True

    # -- what went wrong -----------------------------------------------------------------------------------------------

    def _delivery(self) -> Delivery:
        if self._answered:
            return Delivery.ANSWERED
        if not self.stream.written:
            return Delivery.NOT_WRITTEN
        return Delivery.NOT_DELIVERED if self.stream.proven_undelivered() else Delivery.UNKNOWN

    def _failed(self, cause: Exception) -> ExchangeFailed:
        """The connection broke before the response head was complete."""
        delivery = self._delivery()
        if is_tls_error(cause):
            delivery = Delivery.ANSWERED  # an alert is what the server says, a damaged record no reason to ask again
        error = lost(cause, self._write_error, delivery)
        error.__cause__ = cause
        return ExchangeFailed(error, delivery)

    def _spoke_first(self, data: bytes) -> ExchangeFailed:
        """Bytes that crossed the request: the tail of something earlier, or a 408 before a close. Never an answer."""
        self._note_strays(self._before)
        error = RemoteProtocolError(
            f"the server sent {number_of(len(data), 'byte')} before the request had reached it: no answer to it: {quote(data)}"
        )
        delivery = Delivery.NOT_DELIVERED if self._ends_undelivered(len(data)) else Delivery.UNKNOWN
        return ExchangeFailed(error, delivery)

    def _ends_undelivered(self, received: int) -> bool:
        until = self._moment(FIN_WAIT_SECONDS)
        try:
            while received <= MAX_HEAD_BYTES:
                data = self.stream.read(self._deadline.within(self._left(until)))
                if not data:
                    return self.stream.proven_undelivered()
                received += len(data)
        except OSError:
            pass  # no end of file within the time, or an error: no proof
        return False

    def _not_http(self, cause: h11.RemoteProtocolError) -> ExchangeFailed:
        if self._conn.trailing_data[1]:
            return self._failed(EOFError("end of file"))
        if cause.error_status_hint == 431:
            return too_large(f"the response head exceeds {MAX_HEAD_BYTES} bytes")
        return self._late_strays() or not_http(f"the response is not HTTP/1.1: {text(cause)}")

    def _late_strays(self) -> ExchangeFailed | None:
        """What has come is no HTTP. Behind an answer to HEAD it is the body of that one, too late for the look before this request.

        No such body is allowed (RFC 9110, section 9.3.2). It is no answer to this request, whose own may come behind it.
        """
        came = b"".join(self._pieces_of_head)
        if self._before.method != b"HEAD" or self._informational or came.startswith(b"HTTP/"[: len(came)]):
            return None
        self._note_strays(self._before)
        error = RemoteProtocolError(f"the server sent a body behind its answer to the HEAD before this request: {quote(came)}")
        return ExchangeFailed(error, Delivery.UNKNOWN)

    def _timed_out(self, error: RequestException, phase: str) -> ExchangeFailed:
        delivery = Delivery.ANSWERED if self._answered else Delivery.UNKNOWN
        return ExchangeFailed(self._total_or(error, phase), delivery, timed_out=True)

_END = h11.EndOfMessage()
_NO_REQUEST = h11.Request(method="GET", target="/", headers=[("Host", "")])
_EXPECTS = b"\r\nexpect: 100-continue\r\n"  # of a head in lower case, as h11 writes it

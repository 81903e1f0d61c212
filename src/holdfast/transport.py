"""Transport: one request to one response over a leased connection, sent again where that is safe.

Here the pool, which knows no HTTP, and the HTTP/1.1 connections, which know no pool, are brought together. From the moment a
lease is taken to the moment the body ends exactly one object owns it: ``send``, then the ``BodyStream`` of the response.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import h11

from ._clock import system_clock
from .dialer import (
    WORDS,
    attributes,
    close_connection,
    describe,
    identify,
    interrupt,
    open_connection,
    poll_idle,
    remember_session,
)
from .exceptions import (
    ClientClosed,
    ConnectionLost,
    ConnectTimeout,
    InvalidRequest,
    PoolTimeout,
    RemoteProtocolError,
    RequestException,
    Timeout,
    TotalTimeout,
)
from .exceptions import ConnectionError as HoldfastConnectionError
from .message.headers import encode_fields
from .message.raw import BodySource, Drained
from .message.response import Response
from .pool.keeper import keeper as the_keeper
from .pool.pool import Lease, Limits, Pool
from .proxied import BodyByProxy, name_the_way
from .reasons import Delivery, Discard, ExchangeFailed
from .resend import IDEMPOTENT, Resend, is_idempotent, may_resend
from .response_body import BodyStream, give_back
from .routes import Route
from .sendings import Observer, Trail, announce, log, observe, under_way
from .wire.addressing import BY_SYSTEM, Addressing
from .wire.framing import ResponseHead
from .wire.http1 import Http1Connection
from .wire.http1 import OnInformational as OnInformational
from .wire.reuse import FIN_PATIENCE_SECONDS, MAX_HABITS, Habits
from .wire.telling import Outgoing

if TYPE_CHECKING:
    from .message.request import PreparedRequest
    from .message.timings import Attempt
    from .timeouts import Deadline, Timeouts

MAX_HEADS = 512


class NextLeg:
    """The connection that only the next request of the same call may use, because an authentication goes on there.

    ``dict.pop`` and putting in are one step each, so a body that ends in another thread and the call's end settle it between them.
    """

    __slots__ = ("_closed", "_kept")

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Route, Lease[Route, Http1Connection]]] = {}
        self._closed = False

    def offer(self, route: Route, lease: Lease[Route, Http1Connection]) -> None:
        """Keep this connection for ``take`` instead of the one kept before; once the call is over, close it."""
        self._drop()
        self._kept["kept"] = (route, lease)
        if self._closed:
            self._drop()

    def take(self, route: Route) -> Lease[Route, Http1Connection] | None:
        """The connection kept, if it is one of this route and fit for a request."""
        found = self._kept.pop("kept", None)
        if found is None:
            return None
        lease = found[1]
        verdict = lease.resource.probe() if found[0] == route else Discard.REFUSED
        if verdict is not None:
            lease.discard(verdict)
            return None
        lease.reused = True
        lease.idle = 0.0
        return lease

    def close(self) -> None:
        """The call is over: close what is kept, and what is offered from now on."""
        self._closed = True
        self._drop()

    def _drop(self) -> None:
        found = self._kept.pop("kept", None)
        if found is not None:
            found[1].discard(Discard.REFUSED)


class Transport:
    """A pool of HTTP/1.1 connections and the rule by which requests are sent over them. Thread-safe.

    Args:
        limits: of the pool.
        clock: monotonic seconds.
        keeper: whether a background thread looks after idle connections; if not, that is done when one is used.
        connect: opens a connection to a route, until a moment on ``clock`` or None; the dialer's if it is not given.
        addressing: who knows the addresses of names, and which of them may be dialled; for the dialer.

    Attributes:
        observers: of the sendings of calls, see ``sendings.Trail``; may be changed at any time.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        clock: Callable[[], float] = system_clock,
        keeper: bool = True,
        connect: Callable[[Route, float | None], Http1Connection] | None = None,
        addressing: Addressing = BY_SYSTEM,
    ) -> None:
        if limits is not None and not isinstance(limits, Limits):
            raise ValueError(f"limits={limits!r}: expected holdfast.Limits")
        self.clock = clock
        self.addressing = addressing
        self.pool: Pool[Route, Http1Connection] = Pool(
            connect or partial(open_connection, clock, partial(_habits_of, {}), addressing),
            Http1Connection.probe,
            close_connection,
            look=_look,
            interrupt=interrupt,
            poll_idle=poll_idle,
            limits=limits,
            clock=clock,
            punctual=True,
            # The keeper's clock is the real one; a pool on another looks after itself when it is used.
            watch=the_keeper.watch if keeper and clock is system_clock else None,
            describe=describe,
            attributes=attributes,
            identify=identify,
            words=WORDS,
        )
        self._heads: dict[tuple[Any, ...], Outgoing] = {}
        self.observers: list[Observer] = []
        announce(self)

    def send(
        self,
        request: PreparedRequest,
        route: Route,
        timeouts: Timeouts,
        deadline: Deadline,
        on_informational: OnInformational | None = None,
        next_leg: NextLeg | None = None,
        stream: bool = True,
    ) -> Response:
        """Send and receive the head of the response; the body is read from it.

        Args:
            next_leg: has, and is given, the connection that only requests of this call may use.
            stream: the body need not be read at once. If it will be, and is here already, its connection does not wait for that.

        Raises:
            RequestException: see ``holdfast.exceptions``; ``.request`` is set.
        """
        trail = under_way.get()
        if trail is not None and trail.pool is not self.pool:
            trail = None  # of a call within whose time another client's is made
        outgoing = self._head(request, route)
        body = request.payload
        resends = lost_fresh = 0
        attempts: list[Attempt] | None = None
        while True:
            asked = outgoing if trail is None else _with_fields(outgoing, trail.begin(request))
            lease = None if next_leg is None or resends else next_leg.take(route)
            lease = lease or self._acquire(request, route, timeouts, deadline, attempts)
            try:
                if trail is not None:
                    trail.connected(route, lease)
                head = lease.resource.exchange(asked, body, timeouts, deadline, on_informational)
                status = head.status_code
                if (status != 408 and status != 417) or (
                    reason := self._resend_after(head, outgoing.event, request, route, lease, resends)
                ) is None:
                    return self._respond(request, route, lease, head, resends, next_leg, attempts, stream)
                attempts = _noted(attempts, reason, status, lease, trail)
                if status == 417:
                    outgoing = _without_expect(outgoing.event)
            except ExchangeFailed as failure:
                reason = self._resend_or_raise(failure, request, route, lease, resends, lost_fresh)
                attempts = _noted(attempts, reason, failure.error, lease, trail)
                lost_fresh += not lease.reused and failure.delivery is Delivery.UNKNOWN
            except h11.LocalProtocolError as error:
                lease.discard(Discard.BROKEN)
                raise _inexpressible(error, request) from error
            except BaseException as error:
                lease.discard(Discard.BROKEN)
                if isinstance(error, RequestException) and error.request is None:
                    error.request = request
                raise
            request.rewind()
            resends += 1

    def _acquire(
        self, request: PreparedRequest, route: Route, timeouts: Timeouts, deadline: Deadline, attempts: list[Attempt] | None
    ) -> Lease[Route, Http1Connection]:
        repeatable = (request.payload is None and request.method in IDEMPOTENT) or _repeatable(request)
        try:
            return self.pool.acquire(
                route,
                wait=timeouts.pool,
                connect=timeouts.connect,
                until=deadline.at,
                fresh=attempts is not None,
                repeatable=repeatable,
                purpose=request,
            )
        except RequestException as error:
            better = _no_connection(error, request, deadline)
            if route.proxy is not None:
                name_the_way(better, request, route)
            if attempts is not None and any(attempt.reason == Resend.IDEMPOTENT.value for attempt in attempts):
                better = _after_a_loss(better, request)
            if better is error:
                raise
            raise better from error

    # -- the request ---------------------------------------------------------------------------------------------------

    def _head(self, request: PreparedRequest, route: Route) -> Outgoing:
        """The head of the request, as h11 has validated it. A version never stands for two contents, so heads can be kept."""
        url = request.parsed
        key: tuple[Any, ...] = (request.headers.version, request.method, url.target, url.host_header)
        if route.proxy is not None and route.is_forwarded:
            from .wire.proxy import proxy_authorization

            # absolute-form, RFC 9112, section 3.2.2: without it the proxy would not know where to
            target = b"http://" + url.host_header + url.target
            answer = proxy_authorization(route.proxy, request.method, target.decode("ascii"))
            key = (*key[:2], target, url.host_header, answer)
        return self._heads.get(key) or self._new_head(request, key)

    def _new_head(self, request: PreparedRequest, key: tuple[Any, ...]) -> Outgoing:
        request.check_framing()
        said = request.headers.multi_items()
        same = (*key[1:], *said)  # a call that has fields or a body of its own has a new version each time, which says the same
        outgoing = self._heads.get(same) or _made_head(request, key, said)
        if len(self._heads) > MAX_HEADS - 2:
            self._heads.clear()
        self._heads[key] = self._heads[same] = outgoing
        return outgoing

    # -- the response --------------------------------------------------------------------------------------------------

    def _respond(
        self,
        request: PreparedRequest,
        route: Route,
        lease: Lease[Route, Http1Connection],
        head: ResponseHead,
        resends: int,
        next_leg: NextLeg | None,
        attempts: list[Attempt] | None,
        stream: bool,
    ) -> Response:
        connection = lease.resource
        if route.context is not None and not connection.session_kept:
            remember_session(connection, route, written=not head.request_incomplete)
        leg = None if next_leg is None else partial(next_leg.offer, route)
        # Nothing will come, or nothing more: from give_back on, the connection may be another's.
        whole = connection.take_whole() if not stream or head.expected == 0 else None
        body: BodySource
        if whole is not None:
            body = Drained(whole, connection.trailers)
        elif route.proxy is None:
            body = BodyStream(self.pool, lease, head.keep_alive, self.clock, leg)
        else:
            body = BodyByProxy(request, route, self.pool, lease, head.keep_alive, self.clock, leg)
        response = Response(head.status_code, head.reason, head.raw_headers.copy(), head.http_version, request, body)
        response.sets_cookies = head.sets_cookies
        response.encoded = head.encoded
        if head.request_incomplete:
            response.request_incomplete = True
        if resends:
            response.attempts = resends + 1
        held = lease.held
        if held is not None:
            # A CallRecord once it is looked at: to make one costs as much as the numbers in it.
            response.record = (lease, held, lease.idle, held.lent_at, held.uses, connection.sent_at, attempts)
        if whole is not None:
            give_back(lease, head.keep_alive, leg)
        return response

    # -- sending again -------------------------------------------------------------------------------------------------

    def _resend_or_raise(
        self,
        failure: ExchangeFailed,
        request: PreparedRequest,
        route: Route,
        lease: Lease[Route, Http1Connection],
        resends: int,
        lost_fresh: int,
    ) -> Resend:
        ended_by_server = lease.reused and not failure.timed_out and failure.delivery is not Delivery.ANSWERED
        lease.discard(Discard.STALE if ended_by_server else Discard.BROKEN)
        if self.pool.closed:
            message = "this client was closed while the request was under way"
            raise ClientClosed(message, may_have_executed=True, request=request) from failure.error
        reason = may_resend(
            reused=lease.reused,
            delivery=failure.delivery,
            idempotent=_idempotent(request),
            replayable=request.can_be_sent,
            timed_out=failure.timed_out,
            resends=resends,
            lost_fresh=lost_fresh,
        )
        if reason is None:
            error = _explained(failure, request, lease)
            if route.proxy is not None:
                name_the_way(error, request, route)
            raise error from (failure.error.__cause__ or failure.__cause__)
        self.pool.count_repeat(route, reason, request)
        return reason

    def _resend_after(
        self,
        head: ResponseHead,
        event: h11.Request,
        request: PreparedRequest,
        route: Route,
        lease: Lease[Route, Http1Connection],
        resends: int,
    ) -> Resend | None:
        """The reason to send again if this answer is not the user's.

        A 408 on a kept connection: the server had grown tired of waiting as the request set out. A 417: it will not have the
        request with its Expect field.
        """
        if head.status_code == 417 and not _expects(event):
            return None
        reason = may_resend(
            reused=lease.reused,
            delivery=Delivery.WAITED_FOR if head.status_code == 408 else Delivery.EXPECTATION_FAILED,
            idempotent=_idempotent(request),
            replayable=request.can_be_sent,
            resends=resends,
        )
        if reason is not None:
            lease.discard(Discard.SERVER_CLOSE if head.status_code == 408 else Discard.REFUSED)
            self.pool.count_repeat(route, reason, request)
        return reason

    def trail(self, clock: Callable[[], float]) -> Trail:
        """For the sendings of one call by ``clock``, told to those who observe this transport now."""
        return Trail(tuple(self.observers), clock, self.pool)

    def new_leg(self) -> NextLeg:
        """For the connection that one call may keep to itself."""
        return NextLeg()

    def on_sending(self, observer: Observer) -> Callable[[], None]:
        """See ``Client.on_sending``."""
        return observe(self.observers, observer)

    def warm(self, route: Route, count: int, connect: float | None) -> int:
        """Open ``count`` more connections, within ``connect`` seconds; how many were opened. See ``Pool.warm``."""
        return self.pool.warm(route, count, connect=connect)

    def rest(self, wait: Callable[[float], object], seconds: float) -> None:
        """Wait so long before the next connection of an event stream, by ``wait``, which the end of the stream cuts short."""
        wait(seconds)

    def close(self) -> None:
        """Close every connection; idempotent."""
        self.pool.close()


def _look(connection: Http1Connection) -> Discard | None:
    """Probe a connection that may be one of a server that closes after each answer: its FIN may be on the way."""
    return connection.probe(FIN_PATIENCE_SECONDS)


def _habits_of(known: dict[Route, Habits], route: Route) -> Habits:
    """What the origin of a route was seen doing. Of more than MAX_HABITS origins all is forgotten, to be learned again.

    No method: the pool, which asks, would keep its transport alive in a circle, and a dropped client's connections open.
    """
    found = known.get(route)
    if found is None:
        if len(known) >= MAX_HABITS:
            known.clear()
        found = known.setdefault(route, Habits())
    return found


def _made_head(request: PreparedRequest, key: tuple[Any, ...], said: list[tuple[str, str]]) -> Outgoing:
    fields = encode_fields(said)
    names = {name.lower() for name, _ in fields}
    if b"host" not in names:
        fields.insert(0, (b"Host", key[3]))
    if b"proxy-authorization" in names:
        # The route has taken it over, for the proxy; an origin, behind a tunnel or not, must never see it.
        fields = [field for field in fields if field[0].lower() != b"proxy-authorization"]
    fields += [(b"Proxy-Authorization", value.encode("latin-1")) for value in key[4:] if value is not None]
    try:
        return Outgoing(h11.Request(method=key[1], target=key[2], headers=fields))
    except h11.LocalProtocolError as error:
        raise _inexpressible(error, request) from error


def _expects(event: h11.Request) -> bool:
    return any(name == b"expect" for name, _ in event.headers)


def _without_expect(event: h11.Request) -> Outgoing:
    fields = [(name, value) for name, value in event.headers.raw_items() if name.lower() != b"expect"]
    return Outgoing(h11.Request(method=event.method, target=event.target, headers=fields))


def _with_fields(outgoing: Outgoing, fields: dict[str, str]) -> Outgoing:
    """The head with an observer's fields in the place of its own of these names; as it is where they cannot be sent."""
    if not fields:
        return outgoing
    event = outgoing.event
    names = {name.lower().encode("latin-1", "replace") for name in fields}
    kept = [(name, value) for name, value in event.headers.raw_items() if name.lower() not in names]
    try:
        added = [(name.encode("ascii"), value.encode("latin-1")) for name, value in fields.items()]
        return Outgoing(h11.Request(method=event.method, target=event.target, headers=[*kept, *added]))
    except (h11.LocalProtocolError, UnicodeError):
        log.warning("an observer of sendings gave fields that no request can have: %s", ", ".join(map(repr, fields)))
        return outgoing


def _noted(
    attempts: list[Attempt] | None,
    reason: Resend,
    outcome: Exception | int,
    lease: Lease[Route, Http1Connection],
    trail: Trail | None,
) -> list[Attempt]:
    """The sendings that came to nothing, with one more: by an error, or an answer of that status. The request is sent again."""
    from .message.timings import Attempt  # few requests are sent twice

    if trail is not None:
        trail.sent_again(reason.value, outcome)
    said = f"the server answered {outcome}" if isinstance(outcome, int) else str(outcome)
    return [*(attempts or ()), Attempt(reason.value, said, lease.reused)]


def _inexpressible(error: h11.LocalProtocolError, request: PreparedRequest) -> InvalidRequest:
    return InvalidRequest(f"this request cannot be expressed in HTTP/1.1: {error}", request=request)


def _idempotent(request: PreparedRequest) -> bool:
    return is_idempotent(request.method, request.has_idempotency_key)


def _repeatable(request: PreparedRequest) -> bool:
    """Whether it is sent again if its connection turns out to have ended: see ``may_resend``."""
    return _idempotent(request) and (request.payload is None or request.payload.replayable)


def _no_connection(error: RequestException, request: PreparedRequest, deadline: Deadline) -> RequestException:
    error.request = request
    if not isinstance(error, (PoolTimeout, ConnectTimeout)) or not deadline.expired():
        return error
    phase = "waiting for a free connection" if isinstance(error, PoolTimeout) else "connecting"
    return TotalTimeout(f"the call's total of {deadline.total} s was used up while {phase}", request=request)


def _after_a_loss(error: RequestException, request: PreparedRequest) -> RequestException:
    """No connection for sending again what was lost without proof: the first sending may have been executed."""
    before = "it had been sent before, on a connection that was lost: the server may have executed it"
    if isinstance(error, Timeout):
        error.args = (f"{error} ({before})",)
        if isinstance(error, HoldfastConnectionError):
            error.never_connected = False
        return error
    message = f"{request.method} {request.parsed.safe_text}: cannot be sent again: {error}; {before}."
    return ConnectionLost(message, may_have_executed=True, request=request)


def _explained(
    failure: ExchangeFailed, request: PreparedRequest, lease: Lease[Route, Http1Connection]
) -> RequestException:
    error = failure.error
    assert isinstance(error, RequestException)
    error.request = request
    if not isinstance(error, ConnectionLost):
        where = f"{request.method} {request.parsed.safe_text}"
        if where not in str(error):
            error.args = (f"{where}: {error}",)
        if isinstance(error, RemoteProtocolError) and failure.delivery is not Delivery.ANSWERED:  # it was no answer to this request
            error.may_have_executed = failure.delivery is Delivery.UNKNOWN
            error.args = (f"{error}{_advice(error, request)}",)
        return error
    error.reused = lease.reused
    error.idle = lease.idle
    error.args = (f"{request.method} {request.parsed.safe_text}: {error}{_history(lease)}{_advice(error, request)}",)
    return error


def _history(lease: Lease[Route, Http1Connection]) -> str:
    if lease.idle is None:
        return " (on a new connection)"
    return f" (on a connection that had been idle for {lease.idle:.2f} s)"


def _advice(error: ConnectionLost | RemoteProtocolError, request: PreparedRequest) -> str:
    if not error.may_have_executed:
        return ". The server has not seen the request."
    advice = ". The server may have executed the request"
    if not request.can_be_sent:
        return advice + "; its body was consumed and cannot be sent again."
    if not _idempotent(request):
        return advice + "; give it an Idempotency-Key header if the server knows it, and it is sent again by itself."
    return advice + "."

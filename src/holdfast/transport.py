"""Transport: one request to one response over a leased connection, sent again where that is safe.

The only place where the pillars of wire/ meet: the pool knows no HTTP, Http1Connection knows no sockets, SocketStream knows
neither. From the moment a lease is taken to the moment the body ends, exactly one object owns it: ``send``, then the
``BodyStream`` of the response.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import h11

from .exceptions import (
    ClientClosed,
    ConnectionLost,
    ConnectTimeout,
    InvalidRequest,
    PoolTimeout,
    RequestException,
    StreamConsumedError,
    TotalTimeout,
)
from .exceptions import ConnectionError as HoldfastConnectionError
from .message.response import Response
from .outcomes import Delivery, Discard, ExchangeFailed
from .retries import Resend, is_idempotent, may_resend
from .wire import network, tls
from .wire import proxy as proxies
from .wire.http1 import Http1Connection, OnInformational
from .wire.keeper import keeper as the_keeper
from .wire.pool import Lease, Limits, Pool

if TYPE_CHECKING:
    import socket
    import ssl

    from .message.request import PreparedRequest
    from .timeouts import Deadline, Timeouts

DRAIN_BYTES = 64 * 1024
DRAIN_SECONDS = 0.05
MAX_HEADS = 512


class Route(NamedTuple):
    """Everything that makes two connections interchangeable: the key of the pool.

    Attributes:
        scheme, host, port: of the server.
        context: the TLS configuration by identity; None for plain http.
        server_name: the name the certificate must be for, and SNI.
        unix_socket: connect to this path instead of host and port; None for TCP.
        source_address: local (address, port) to connect from; None for any.
        proxy: None for a connection of our own. With a context: a tunnel through it. Without: a connection to the proxy
            itself, host and port being its, over which requests to any http origin go.
    """

    scheme: str
    host: str
    port: int
    context: ssl.SSLContext | None = None
    server_name: str = ""
    unix_socket: str | None = None
    source_address: tuple[str, int] | None = None
    proxy: proxies.Proxy | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        where = f"{self.scheme}://{host}:{self.port}"
        if self.proxy is not None:
            return f"{where} through the proxy {self.proxy}" if self.context is not None else f"the proxy {where}"
        return f"{where} via {self.unix_socket}" if self.unix_socket else where


class Transport:
    """A pool of HTTP/1.1 connections and the rule by which requests are sent over them. Thread-safe.

    Args:
        limits: of the pool.
        clock: monotonic seconds.
        keeper: whether a background thread looks after idle connections; if not, that is done when one is used.
    """

    def __init__(
        self, limits: Limits | None = None, clock: Callable[[], float] = time.monotonic, keeper: bool = True
    ) -> None:
        self.clock = clock
        self.pool: Pool[Route, Http1Connection] = Pool(
            partial(_open, clock),
            Http1Connection.probe,
            _close,
            interrupt=_interrupt,
            glance=_glance,
            limits=limits,
            clock=clock,
            # The keeper's clock is the real one; a pool on another looks after itself when it is used.
            watch=the_keeper.watch if keeper and clock is time.monotonic else None,
            describe=_describe,
        )
        self._heads: dict[tuple[Any, ...], h11.Request] = {}

    def send(
        self,
        request: PreparedRequest,
        route: Route,
        timeouts: Timeouts,
        deadline: Deadline,
        on_informational: OnInformational | None = None,
    ) -> Response:
        """Send and receive the head of the response; the body is read from it.

        Raises:
            RequestException: see ``holdfast.exceptions``; ``.request`` is set.
        """
        event = self._event(request, route)
        body = request.content
        resends = 0
        while True:
            try:
                lease = self.pool.acquire(
                    route,
                    wait=timeouts.pool,
                    connect=timeouts.connect,
                    until=deadline.at,
                    fresh=resends > 0,
                    purpose=request,
                )
            except RequestException as error:
                better = _no_connection(error, request, deadline)
                if better is error:
                    raise
                raise better from error
            connection = lease.resource
            connection.on_informational = on_informational
            try:
                head = connection.exchange(event, body, timeouts, deadline)
                again = head.status_code == 408 and self._resend_after_408(request, lease, resends)
                if not again:
                    return self._respond(request, route, lease, head, resends)
                self._discard_408(route, lease)
            except ExchangeFailed as failure:
                again = self._resend_or_raise(failure, request, route, lease, resends)
            except h11.LocalProtocolError as error:
                lease.discard(Discard.BROKEN)
                raise InvalidRequest(f"this request cannot be expressed in HTTP/1.1: {error}", request=request) from error
            except BaseException as error:
                lease.discard(Discard.BROKEN)
                if isinstance(error, RequestException) and error.request is None:
                    error.request = request
                raise
            if again and body is not None:
                body.rewind()
            resends += 1

    # -- the request ---------------------------------------------------------------------------------------------------

    def _event(self, request: PreparedRequest, route: Route) -> h11.Request:
        """The head of the request as h11 has validated it. A version never stands for two contents, so heads can be kept."""
        url = request.parsed
        key: tuple[Any, ...] = (request.headers.version, request.method, url.target, url.host_header)
        if route.proxy is not None and route.context is None:
            # absolute-form, RFC 9112, section 3.2.2: without it the proxy would not know where to
            key = (*key[:2], b"http://" + url.host_header + url.target, url.host_header, route.proxy.authorization)
        return self._heads.get(key) or self._new_event(request, key)

    def _new_event(self, request: PreparedRequest, key: tuple[Any, ...]) -> h11.Request:
        request.check_framing()
        fields = request.headers.encode()
        if "Host" not in request.headers:
            fields.insert(0, (b"Host", key[3]))
        if "Proxy-Authorization" in request.headers:
            # Whoever wrote it, the route has it by now; an origin, behind a tunnel or not, must never see it.
            fields = [field for field in fields if field[0].lower() != b"proxy-authorization"]
        fields += [(b"Proxy-Authorization", value.encode("latin-1")) for value in key[4:] if value is not None]
        try:
            event = h11.Request(method=key[1], target=key[2], headers=fields)
        except h11.LocalProtocolError as error:
            raise InvalidRequest(f"this request cannot be expressed in HTTP/1.1: {error}", request=request) from error
        if len(self._heads) >= MAX_HEADS:
            self._heads.clear()
        self._heads[key] = event
        return event

    # -- the response --------------------------------------------------------------------------------------------------

    def _respond(
        self,
        request: PreparedRequest,
        route: Route,
        lease: Lease[Route, Http1Connection],
        head: h11.Response,
        resends: int,
    ) -> Response:
        connection = lease.resource
        if route.context is not None and not lease.reused:
            tls.remember_session(connection.stream.sock, route.server_name, route.port)  # type: ignore[attr-defined]
        body = BodyStream(self.pool, lease)
        response = Response(head.status_code, head.reason, connection.raw_headers, head.http_version, request, body)
        response.sets_cookies = connection.sets_cookies
        response.encoded = connection.encoded
        if connection.request_incomplete:
            response.request_incomplete = True
        if resends:
            response.attempts = resends + 1
        if connection.expected == 0:
            # Nothing will come: the connection need not wait for the caller to find out. From here on it may be another's.
            body.read()
        return response

    # -- sending again -------------------------------------------------------------------------------------------------

    def _resend_or_raise(
        self,
        failure: ExchangeFailed,
        request: PreparedRequest,
        route: Route,
        lease: Lease[Route, Http1Connection],
        resends: int,
    ) -> bool:
        gone = lease.reused and not failure.timed_out and failure.delivery is not Delivery.ANSWERED
        lease.discard(Discard.STALE if gone else Discard.BROKEN)
        if self.pool.closed:
            raise ClientClosed("this client was closed while the request was under way", request=request) from failure.error
        reason = may_resend(
            reused=lease.reused,
            delivery=failure.delivery,
            idempotent=_idempotent(request),
            replayable=_replayable(request),
            timed_out=failure.timed_out,
            resends=resends,
        )
        if reason is None:
            raise _explained(failure, request, lease) from (failure.error.__cause__ or failure.__cause__)
        self.pool.count_resent(route, reason)
        return True

    def _resend_after_408(
        self, request: PreparedRequest, lease: Lease[Route, Http1Connection], resends: int
    ) -> bool:
        """A 408 on a kept connection says that the server grew tired of waiting, just as the request set out.

        RFC 9110, section 15.5.9: the client may repeat the request on another connection.
        """
        return lease.reused and resends == 0 and _idempotent(request) and _replayable(request)

    def _discard_408(self, route: Route, lease: Lease[Route, Http1Connection]) -> None:
        lease.discard(Discard.SERVER_CLOSE)
        self.pool.count_resent(route, Resend.REQUEST_TIMEOUT)

    def close(self) -> None:
        """Close every connection; idempotent."""
        self.pool.close()


class BodyStream:
    """The payload of one response, and the lease of the connection it comes from.

    The natural end gives the connection back; anything else closes it.

    One thread reads; any other may close. Both are settled by lists of one element, from which ``pop`` takes for one taker only:

    * ``_hold`` has the lease while nobody uses it. Who reads or drains takes it out, and puts it back if there is more.
    * ``_end`` is taken by the one who decides how the connection ends: the reader who has read to the end, or the closer who finds
      the lease in use and interrupts the reader. Otherwise a closer who came late would interrupt the next borrower.

    Attributes:
        ended: the reader has had all of it; the connection is no longer this body's.
        trailers: the fields after a chunked body.
    """

    __slots__ = ("_abandoned", "_connection", "_end", "_finished", "_hold", "_pool", "ended", "trailers")

    def __init__(self, pool: Pool[Route, Http1Connection], lease: Lease[Route, Http1Connection]) -> None:
        self._pool = pool
        self._connection = lease.resource
        self._hold = [lease]
        self._end = [True]
        self._finished = self._abandoned = self.ended = False
        self.trailers: list[tuple[bytes, bytes]] = []

    def read(self) -> bytes:
        """The next piece of payload, ``b""`` at its end and ever after. With the last piece it may have ``ended`` already.

        Raises:
            RequestException: BodyReadTimeout, TotalTimeout, IncompleteBody, RemoteProtocolError, SSLError or ClientClosed;
                StreamConsumedError after ``close``.
        """
        try:
            lease = self._hold.pop()
        except IndexError:
            return self._nothing_left()
        connection = lease.resource
        try:
            data = connection.read_body()
        except BaseException as error:
            self._give_up(lease, error)
            raise
        if connection.finished:
            self.ended = True
            self._finish(lease)
            return data
        self._hold.append(lease)
        if self._abandoned:
            self.close()
        return data

    def _nothing_left(self) -> bytes:
        if self.ended:
            return b""
        raise StreamConsumedError("this response was closed before the end of its body")

    def _give_up(self, lease: Lease[Route, Http1Connection], error: BaseException) -> None:
        self._end.clear()
        lease.discard(Discard.BROKEN)
        if self._pool.closed and isinstance(error, RequestException):
            raise ClientClosed("this client was closed while the response was being read") from error
        if self._abandoned and isinstance(error, RequestException):
            raise StreamConsumedError("this response was closed while it was being read") from error

    def _finish(self, lease: Lease[Route, Http1Connection]) -> None:
        self._finished = True
        connection = lease.resource
        self.trailers = connection.trailers
        try:
            self._end.pop()
        except IndexError:
            lease.discard(Discard.BROKEN)  # whole, but somebody is interrupting its connection just now
            return
        reason = connection.recycle()
        if reason is not None:
            lease.discard(reason)
            return
        seconds, uses = connection.keep_alive
        lease.release(keep_for=None if seconds is None else keep_for(seconds), uses_left=uses)

    def drain(self) -> bytes | None:
        """The rest of the payload if it is small and comes at once (64 KiB, 50 ms).

        None if there was too much, and the connection had to go; or if somebody else is reading it.
        """
        try:
            lease = self._hold.pop()
        except IndexError:
            return b"" if self._finished else None
        pieces: list[bytes] = []
        size = 0
        until = time.monotonic() + DRAIN_SECONDS
        try:
            while (lease.resource.remaining or 0) <= DRAIN_BYTES and size <= DRAIN_BYTES and time.monotonic() < until:
                piece = lease.resource.read_body_within(max(0.0, until - time.monotonic()))
                pieces.append(piece)
                size += len(piece)
                if lease.resource.finished:
                    self.ended = not size  # who reads on from here has missed them: for him this is no end
                    self._finish(lease)
                    return b"".join(pieces)
        except Exception:  # noqa: BLE001 - whatever is wrong with the rest, nobody will read it
            pass
        except BaseException:
            lease.discard(Discard.BROKEN)
            raise
        self._end.clear()
        lease.discard(Discard.BROKEN)
        return None

    def note_borrower(self) -> None:
        """The body will be read later: remember who has asked for it."""
        for lease in self._hold:
            lease.note_borrower()

    def close(self) -> None:
        """Give up on the rest. Keeps the connection if the rest is small and already here, else closes it. Idempotent.

        Called while another thread reads, it ends that read with a StreamConsumedError.
        """
        # Not "if self._hold": a reader that began between that look and the next line would never hear of it.
        if self.drain() is None and not self._abandoned:
            self._interrupt_reader()

    def _interrupt_reader(self) -> None:
        self._abandoned = True
        try:
            self._end.pop()
        except IndexError:
            return  # it has come to its end meanwhile
        _interrupt(self._connection)
        if self._hold:
            self.drain()  # the reader had just put the lease back


def keep_for(timeout: float) -> float:
    """Seconds to keep a connection whose server has said that it closes after ``timeout`` seconds idle.

    A quarter less, at most a second, but never less than a tenth: the server's clock started earlier than ours.
    """
    return timeout - max(0.1 * timeout, min(1.0, 0.25 * timeout))


def _idempotent(request: PreparedRequest) -> bool:
    method = request.method
    return is_idempotent(method) or is_idempotent(
        method, "Idempotency-Key" in request.headers or "X-Idempotency-Key" in request.headers
    )


def _replayable(request: PreparedRequest) -> bool:
    body = request.content
    return body is None or not body.consumed or body.replayable


def _no_connection(error: RequestException, request: PreparedRequest, deadline: Deadline) -> RequestException:
    error.request = request
    if not isinstance(error, (PoolTimeout, ConnectTimeout)) or not deadline.expired():
        return error
    phase = "waiting for a free connection" if isinstance(error, PoolTimeout) else "connecting"
    return TotalTimeout(f"the call's total of {deadline.total} s was used up while {phase}", request=request)


def _explained(
    failure: ExchangeFailed, request: PreparedRequest, lease: Lease[Route, Http1Connection]
) -> RequestException:
    error = failure.error
    assert isinstance(error, RequestException)
    error.request = request
    if not isinstance(error, ConnectionLost):
        return error
    error.reused = lease.reused
    error.idle = lease.idle
    error.args = (f"{request.method} {request.parsed.safe_text}: {error}{_history(lease)}{_advice(error, request)}",)
    return error


def _history(lease: Lease[Route, Http1Connection]) -> str:
    if lease.idle is None:
        return " (on a new connection)"
    return f" (on a connection that had been idle for {lease.idle:.2f} s)"


def _advice(error: ConnectionLost, request: PreparedRequest) -> str:
    if not error.may_have_executed:
        return ". The server has not seen the request."
    advice = ". The server may have executed the request"
    if not _replayable(request):
        return advice + "; its body was consumed and cannot be sent again."
    if not _idempotent(request):
        return advice + "; give it an Idempotency-Key header if the server knows it, and it is sent again by itself."
    return advice + "."


# -- what the pool needs to know ---------------------------------------------------------------------------------------


def _open(clock: Callable[[], float], route: Route, until: float | None) -> Http1Connection:
    """Connect, and shake hands if the route is TLS. ``until`` is on the pool's clock; sockets wait on the real one."""
    if until is not None and clock is not time.monotonic:
        until = time.monotonic() + until - clock()
    if route.unix_socket is not None:
        sock = network.connect_unix(route.unix_socket, until)
    elif route.proxy is not None:
        sock = _connect_by(route.proxy, route, until)
    else:
        sock = network.connect_tcp(route.host, route.port, until, source_address=route.source_address)
    if route.context is not None:
        sock = tls.wrap(sock, route.context, route.server_name, route.port, until)
    try:
        return Http1Connection(network.SocketStream(sock))
    except BaseException:
        sock.close()
        raise


def _connect_by(proxy: proxies.Proxy, route: Route, until: float | None) -> socket.socket:
    """A socket on which the proxy listens for requests, or, for TLS, on which it has gone out of the way."""
    target = proxies.authority(route.host, route.port)
    try:
        sock = network.connect_tcp(proxy.host, proxy.port, until, source_address=route.source_address)
    except HoldfastConnectionError as error:
        raise proxies.unreachable(proxy, error) from error
    if route.context is not None:
        try:
            asked = h11.Request(method="CONNECT", target=target, headers=proxies.connect_fields(target, proxy))
            proxies.open_tunnel(Http1Connection(network.SocketStream(sock)), asked, target, proxy, until)
        except BaseException:
            sock.close()
            raise
    return sock


def _close(connection: Http1Connection, reason: Discard) -> None:
    stream: Any = connection.stream
    if reason is Discard.FORKED:
        stream.forget()
    else:
        stream.close(polite=reason is not Discard.BROKEN)


def _glance(connections: list[Http1Connection]) -> list[Http1Connection]:
    """Those whose sockets have something to say."""
    streams: list[Any] = [connection.stream for connection in connections]
    by_descriptor = {stream.fileno(): connection for stream, connection in zip(streams, connections, strict=True)}
    by_descriptor.pop(-1, None)
    return [by_descriptor[fd] for fd in network.suspicious(list(by_descriptor))]


def _describe(request: PreparedRequest) -> str:
    """For messages and logs: without userinfo and query, which may be secret."""
    return f"{request.method} {request.parsed.safe_text.partition('?')[0]}"


def _interrupt(connection: Http1Connection) -> None:
    stream: Any = connection.stream
    stream.interrupt()

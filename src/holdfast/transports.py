"""What a Client may send by instead of its own connections: ``Client(transport=...)``, and how such transports wrap one another.

A transport stands below redirects, cookies, authentication and ``Retries``: it is given one request, and gives one response back.
``ConnectionTransport`` is holdfast's own, to be wrapped::

    class Logging:
        def __init__(self, inner: holdfast.BaseTransport) -> None:
            self.inner = inner

        def handle(self, request, options):
            response = self.inner.handle(request, options)
            print(request.method, request.url, response.status_code)
            return response

    client = holdfast.Client(transport=Logging(holdfast.ConnectionTransport()))

A client without a transport of its own has none of this on its way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from dataclasses import replace as _replace
from typing import Any, Protocol

from ._clock import system_clock
from .call import Services
from .connecting import AllowAddress, Cert, Resolver, Verify
from .dialer import client_closed
from .exceptions import RequestException, StreamConsumedError
from .message.fields import encode_reason
from .message.headers import Headers
from .message.pieces import PIECE, exact_bytes
from .message.raw import BodySource, Drained, LocalBody
from .message.request import PreparedRequest
from .message.response import Response
from .pool.events import PoolEvent
from .pool.limits import Limits
from .pool.stats import PoolStats
from .routes import Addressing, Route, Routes
from .sendings import under_way
from .timeouts import Deadline, Timeouts
from .transport import NextLeg, OnInformational, Transport

MAX_DEPTH = 100  # of transports that wrap one another

__all__ = ["BaseTransport", "ConnectionTransport", "TransportOptions", "make_response"]


@dataclass(frozen=True)
class TransportOptions:
    """What belongs to a request beside itself. A transport that wraps another hands it on, as it is or changed by ``replace``.

    Attributes:
        timeouts: seconds of each phase.
        deadline: the end of the call that the request belongs to: ``deadline.within(None)`` is what is left in seconds, None for no
            end.
        verify, cert, proxies: as in ``Client.request``; None where the call and the client say nothing.
        on_informational: called with (status, fields) of each 1xx response; None for none.
        routes: the client's environment, proxies and addresses, by which ``ConnectionTransport`` finds its way.
        next_leg: where ``ConnectionTransport`` keeps a connection that authenticates as a whole for the call's next request.
    """

    timeouts: Timeouts
    deadline: Deadline
    verify: Verify
    cert: Cert
    proxies: Any
    on_informational: OnInformational | None
    routes: Routes
    next_leg: NextLeg | None

    def replace(self, **changes: Any) -> TransportOptions:
        """The same with these attributes changed: ``options.replace(timeouts=holdfast.Timeouts(read=1))``."""
        return _replace(self, **changes)


class BaseTransport(Protocol):
    """What ``Client(transport=...)`` takes: any object with ``handle``; it need not derive from this class.

    Threads that share the client call ``handle`` at the same time. Two more attributes are used where they are there:

    * ``close()``: called by ``Client.close``.
    * ``inner``: the transport that this one wraps. Along it the client finds the connections that its ``stats()``, ``on_event()``
      and their like are about.
    """

    def handle(self, request: PreparedRequest, options: TransportOptions) -> Response:
        """One request to its response: no redirect is followed, no cookie kept, nothing retried here.

        Args:
            request: as it is to be sent. It may be changed, or another one sent in its place.
            options: what belongs to it beside itself.

        Returns:
            A response whose body is unread, or was read by its ``content``: whether the user streams it is not for here. One that
            came from elsewhere is made by ``holdfast.make_response``.

        Raises:
            RequestException: what the user is to see; ``Retries`` count for ConnectionError and Timeout.
        """
        ...


class ConnectionTransport:
    """holdfast's own transport: a pool of kept connections. What a Client sends by if it is given none.

    Args:
        limits: how many connections, and for how long; see ``Limits``.
        keeper: as in ``Client``.
        resolver: as in ``Client``, which takes none where it is given a transport.
        allow_address: as in ``Client``, which takes none where it is given a transport.
        clock: seconds, monotonic.

    Raises:
        ValueError: ``limits`` are none.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        keeper: bool = True,
        resolver: Resolver | None = None,
        allow_address: AllowAddress | None = None,
        clock: Callable[[], float] = system_clock,
    ) -> None:
        self.connections = Transport(limits, clock, keeper, addressing=Addressing.of(resolver, allow_address))
        self._keeper = keeper

    @classmethod
    def over(cls, connections: Transport) -> ConnectionTransport:
        """One over the connections of a client."""
        made = cls.__new__(cls)
        made.connections, made._keeper = connections, True
        return made

    def handle(self, request: PreparedRequest, options: TransportOptions) -> Response:
        """Send it over the connection that the client's settings lead to. See ``BaseTransport.handle``."""
        routes, addressing = options.routes, self.connections.addressing
        if addressing != routes.addressing:
            routes = routes.with_addressing(addressing)
        route = routes.find(request, options.verify, options.cert, options.proxies)
        asked = (request, route, options.timeouts, options.deadline, options.on_informational, options.next_leg)
        trail = under_way.get()
        return self.connections.send(*asked) if trail is None else trail.send(self.connections.send, *asked)

    def stats(self) -> PoolStats:
        """As ``Client.stats``."""
        return self.connections.pool.stats()

    def on_event(self, callback: Callable[[PoolEvent], object]) -> Callable[[], None]:
        """As ``Client.on_event``."""
        return self.connections.pool.on_event(callback)

    def close(self) -> None:
        """Close every connection; idempotent."""
        self.connections.close()

    def __getstate__(self) -> dict[str, Any]:
        """The settings. Connections stay behind, as those of a Client do."""
        resolver, allow_address = self.connections.addressing
        limits = self.connections.pool.limits
        return {"limits": limits, "keeper": self._keeper, "resolver": resolver, "allow_address": allow_address}

    def __setstate__(self, state: dict[str, Any]) -> None:
        ConnectionTransport.__init__(self, **state)

    def __repr__(self) -> str:
        return f"<holdfast.ConnectionTransport {self.connections.pool!r}>"


def make_response(
    request: PreparedRequest,
    status_code: int,
    *,
    headers: Any = None,
    content: bytes | Iterable[bytes] = b"",
    reason: str = "",
) -> Response:
    """A response that did not come over a connection: a transport's own, or one that it had kept.

    Args:
        request: what it answers.
        status_code: 100 to 999.
        headers: a mapping or pairs; as they stand, nothing is added.
        content: the body as it would come, with the content coding that ``headers`` name; of an iterable, each piece when it is
            asked for. If it has a ``close()``, that is called when the body has ended or is given up.
        reason: the reason phrase.

    Raises:
        InvalidHeader: a field name or value, or the reason phrase, is not allowed.
        ValueError: there is no such status.
        TypeError: ``content`` is not bytes, nor an iterable of bytes; of a piece, when it is taken.
    """
    if isinstance(status_code, bool) or not isinstance(status_code, int) or not 100 <= status_code <= 999:
        raise ValueError(f"status_code={status_code!r}: expected 100 to 999")
    source: BodySource
    if isinstance(content, (bytes, bytearray, memoryview)):
        source = Drained(bytes(content), [])
    elif isinstance(content, str) or not isinstance(content, Iterable):
        raise TypeError(f"content={content!r}: expected bytes, or an iterable of bytes")
    else:
        source = PiecesBody(content)
    return Response(status_code, encode_reason(reason), Headers(headers).encode(), b"1.1", request, source)


class PiecesBody(LocalBody):
    """The source of a body whose pieces come from an iterable, which is closed when it has ended, failed or is given up, once."""

    __slots__ = ("_close", "_pieces")

    def __init__(self, pieces: Iterable[bytes]) -> None:
        super().__init__()
        self._close: Callable[[], object] | None = getattr(pieces, "close", None)
        self._pieces: Iterator[bytes] | None = iter(pieces)

    def read(self, size: int = PIECE) -> bytes:
        """The next piece that is not empty, b"" at the end. What failed or was closed before has none: StreamConsumedError."""
        if self.ended:
            return b""
        if self._pieces is None:
            raise StreamConsumedError("this response was closed before the end of its body")
        try:
            for piece in map(exact_bytes, self._pieces):
                if piece:
                    return piece
        except BaseException:
            self.close()
            raise
        self.ended = True
        self.close()
        return b""

    def close(self) -> None:
        """Take no more of it."""
        self._pieces = None
        close, self._close = self._close, None
        try:
            if close is not None:
                close()
        except Exception:
            raise
        except BaseException:  # Ctrl-C, which may come before its first line: the next to close this does it
            self._close = close
            raise

    def __del__(self) -> None:
        if hasattr(self, "_close"):  # or __init__ was interrupted
            self.close()


# -- between a call and the transport ------------------------------------------------------------------------------------


class _Asked(Route):
    """In place of a route: a transport of the user's may need none, and to find one can fail."""

    verify: Verify
    cert: Cert
    proxies: Any
    routes: Routes


class _RoutesLater(Routes):
    """The routes of a client whose transport finds the way by itself, if there is one to find."""

    __slots__ = ("_now",)

    def __init__(self, routes: Routes) -> None:
        self._now = routes

    @property
    def trust_env(self) -> bool:  # type: ignore[override]  # the client's, which may change
        """As the client says now."""
        return self._now.trust_env

    def find(self, request: PreparedRequest, verify: Verify, cert: Cert, proxies: Any = None) -> Route:
        """What ``ConnectionTransport`` will find it by."""
        asked = _Asked("", "", 0)
        asked.verify, asked.cert, asked.proxies, asked.routes = verify, cert, proxies, self._now
        return asked

    def proxy_for(self, url: Any, proxies: Any = None) -> Any:
        """As the client's."""
        return self._now.proxy_for(url, proxies)


class Handling(Transport):
    """Sends by a transport of the user's; its ``pool`` is that of the ConnectionTransport which this one wraps, or an empty one.

    Args:
        handler: the user's.
        limits: must be None: they belong to the ConnectionTransport.

    Raises:
        ValueError: ``handler`` has no ``handle``, or ``limits`` are given.
    """

    def __init__(
        self, handler: BaseTransport, limits: Limits | None, clock: Callable[[], float] = system_clock, keeper: bool = True
    ) -> None:
        if not callable(getattr(handler, "handle", None)) or isinstance(handler, type):
            raise ValueError(f"transport={handler!r}: expected an object with handle(request, options); see holdfast.BaseTransport")
        if limits is not None:
            raise ValueError("limits= belong to the transport that has the connections: give them to holdfast.ConnectionTransport")
        super().__init__(None, clock, keeper)
        self.handler = handler
        self._below = _connections_below(handler)
        self._faked = _faked(handler)
        if self._below is not None:
            self.pool = self._below.connections.pool

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
        """Have the user's transport send it. ``stream``: its connection, if it has one, is its own matter."""
        assert isinstance(route, _Asked)
        if self.pool.closed:
            raise client_closed()
        options = TransportOptions(
            timeouts, deadline, route.verify, route.cert, route.proxies, on_informational, route.routes, next_leg
        )
        try:
            response = self.handler.handle(request, options)
        except RequestException as error:
            if error.request is None:
                error.request = request
            raise
        if not isinstance(response, Response):
            raise TypeError(f"{type(self.handler).__name__}.handle() returned {response!r}: expected a holdfast.Response")
        if response.request is None:
            response.request = request
        return response

    def warm(self, route: Route, count: int, connect: float | None) -> int:
        """The same by the ConnectionTransport below. Without one nothing is opened: what would use it?"""
        if self._faked is not None and self._below is not None:
            opened: int = self._faked.warm(self._below.connections, route, count, connect)
            return opened
        return 0 if self._below is None else super().warm(route, count, connect)

    def rest(self, wait: Callable[[float], object], seconds: float) -> None:
        """The same, but for a Fake's connections, which need no wait."""
        if self._faked is None:
            super().rest(wait, seconds)
        else:
            self._faked.rest(wait, seconds)

    def close(self) -> None:
        """Close the user's transport, and what connections there are."""
        close = getattr(self.handler, "close", None)
        try:
            if close is not None:
                close()
        finally:
            super().close()


def handled(services: Services) -> Services:
    """The services of a client whose transport is a ``Handling``: routes are left to it."""
    return services._replace(routes=_RoutesLater(services.routes))


def _connections_below(transport: Any) -> ConnectionTransport | None:
    return next((each for each in _wrapped(transport) if isinstance(each, ConnectionTransport)), None)


def _faked(transport: Any) -> Any:
    """The first that says its connections are not those of the ConnectionTransport below it, as holdfast.testing.Fake does."""
    return next((each for each in _wrapped(transport) if getattr(each, "fakes_connections", False) is True), None)


def _wrapped(transport: Any) -> Iterator[Any]:
    for _ in range(MAX_DEPTH):
        if transport is None:
            return
        yield transport
        transport = getattr(transport, "inner", None)

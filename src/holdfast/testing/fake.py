"""Fake: a network that answers by routes, for the tests of programs that use holdfast.

It stands where connections are opened, and no higher: the client's own pool, its framing, its rule of what is sent again, its
errors and its events are at work, on connections whose other end is a script (``script``).

What it covers:

* ``with Fake() as fake``: every call of the process over connections of holdfast's, of clients that were there before as well: the
  module-level functions, ``Client``, ``holdfast.requests``, and transports that wrap a ``ConnectionTransport``.
* ``Client(transport=Fake())``: the calls of that client.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypedDict
from weakref import WeakSet

from .._numbers import number_of
from ..message.content import make_body
from ..routes import Route
from ..transport import Transport
from ..transports import ConnectionTransport
from .expected import Call, Expected
from .matching import NOT_GIVEN, Asked, Pattern, expected_query, split_pattern
from .sending import ScriptedRoute, Sending, World

if TYPE_CHECKING:
    from typing_extensions import Unpack  # in typing from Python 3.11 on; only type checkers read it

    from ..message.request import PreparedRequest
    from ..message.response import Response
    from ..pool.pool import Pool
    from ..timeouts import Deadline, Timeouts
    from ..transport import NextLeg, OnInformational
    from ..transports import TransportOptions

__all__ = ["Call", "Expected", "Fake", "UnmatchedRequest"]


_SEND, _WARM, _REST = "send", "warm", "rest"  # of Transport: the doors that Fakes stand in


class Matching(TypedDict, total=False):
    """What a route expects beside method and URL: see ``Fake.route``."""

    params: Any
    headers: Mapping[str, Any] | None
    content: Any
    json: Any
    data: Any


class UnmatchedRequest(AssertionError):
    """A Fake has no answer to a request, and nothing was sent. An AssertionError: no handler of network errors takes it."""


class Fake:
    """Routes, and what they answer. Strict: what no route is for is refused, and each route must have been called.

    Routes are looked at in the order in which they were added: the first that matches and is not used up answers.

    Args:
        passthrough: let what no route is for go where it was going, instead of refusing it. Default False.
        assert_all_called: at the end of the ``with`` block, if it ended well: AssertionError if a route was not called, or a
            sequence of replies not used up. Default True.
        addresses: the IP address of a name, or several in their order, as text: what a client's ``allow_address=`` is asked for. It
            is not asked about names that are not among these. ``resolver=`` is not asked at all.
        inner: of ``Client(transport=Fake(...))``: what has the client's connections, and sends what is passed through. Default: a
            ``ConnectionTransport()``.

    Attributes:
        routes: in their order.
        calls: all requests, the oldest first, those that were refused or passed through as well.

    Raises:
        ValueError: of ``addresses``, one is none.
    """

    fakes_connections = True  # for the client that sends by it

    def __init__(
        self,
        *,
        passthrough: bool = False,
        assert_all_called: bool = True,
        addresses: Mapping[str, str | Sequence[str]] | None = None,
        inner: ConnectionTransport | None = None,
    ) -> None:
        self.routes: list[Expected] = []
        self.calls: list[Call] = []
        self.inner = inner or ConnectionTransport()
        self._passthrough = passthrough
        self._assert_all_called = assert_all_called
        self._wrong: list[str] = []
        self._world = World(addresses)
        self._pools: WeakSet[Pool[Any, Any]] = WeakSet()
        self._lock = threading.Lock()  # guards the order of calls, and _wrong

    # -- routes --------------------------------------------------------------------------------------------------------

    def route(
        self,
        method: str | None = None,
        url: Any = None,
        *,
        params: Any = None,
        headers: Mapping[str, Any] | None = None,
        content: Any = NOT_GIVEN,
        json: Any = NOT_GIVEN,
        data: Any = NOT_GIVEN,
    ) -> Expected:
        """Add a route; it answers 200 without a body until it is told otherwise.

        Whatever is expected is compared by ``==``, so ``unittest.mock.ANY`` may stand for a value, anywhere.

        Args:
            method: the verb; None for any.
            url: ``https://host/path``, or ``/path`` on any host. ``*`` stands for any characters, but for ``/`` in a path, ``**``
                for those too. Or a compiled regular expression, to be found in the URL; None for any.
            params: the query, with that of ``url``; the order of names does not matter. None: what ``url`` says, and a query that
                it does not have is not expected, either.
            headers: fields that must be there: a value, a compiled regular expression, or None for one that must not be there.
            content: the body: bytes, text, or a function that is given the bytes and says whether they will do.
            json: the value that the body is in JSON.
            data: the form that the body is.

        Raises:
            ValueError: ``url`` makes no sense; or more than one of ``content``, ``json`` and ``data`` is given.
        """
        if sum(each is not NOT_GIVEN for each in (content, json, data)) > 1:
            raise ValueError("route(): a request has one body; give one of content=, json= and data=")
        origin, path, pattern, query = split_pattern(url)
        if data is not NOT_GIVEN:
            form = make_body(data, None, None)
            content = b"" if form is None else form.data
        expected = Expected(
            Pattern(
                None if method is None else method.upper(),
                origin,
                path,
                pattern,
                None if url is None and params is None else expected_query(query, params, pattern is not None),
                dict(headers or {}),
                content.encode() if isinstance(content, str) else content,
                json,
            )
        )
        self.routes.append(expected)
        return expected

    def get(self, url: Any = None, **matching: Unpack[Matching]) -> Expected:
        """``route("GET", url, ...)``."""
        return self.route("GET", url, **matching)

    def head(self, url: Any = None, **matching: Unpack[Matching]) -> Expected:
        """``route("HEAD", url, ...)``."""
        return self.route("HEAD", url, **matching)

    def options(self, url: Any = None, **matching: Unpack[Matching]) -> Expected:
        """``route("OPTIONS", url, ...)``."""
        return self.route("OPTIONS", url, **matching)

    def post(self, url: Any = None, **matching: Unpack[Matching]) -> Expected:
        """``route("POST", url, ...)``."""
        return self.route("POST", url, **matching)

    def put(self, url: Any = None, **matching: Unpack[Matching]) -> Expected:
        """``route("PUT", url, ...)``."""
        return self.route("PUT", url, **matching)

    def patch(self, url: Any = None, **matching: Unpack[Matching]) -> Expected:
        """``route("PATCH", url, ...)``."""
        return self.route("PATCH", url, **matching)

    def delete(self, url: Any = None, **matching: Unpack[Matching]) -> Expected:
        """``route("DELETE", url, ...)``."""
        return self.route("DELETE", url, **matching)

    # -- where it stands -----------------------------------------------------------------------------------------------

    def __enter__(self) -> Fake:
        _entered.enter(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _entered.leave(self)
        for pool in list(self._pools):
            for route in self._world.routes:
                pool.close_idle(route)
        if error is None:
            self.check()

    def handle(self, request: PreparedRequest, options: TransportOptions) -> Response:
        """For ``Client(transport=fake)``; see ``BaseTransport.handle``."""
        connections = self.inner.connections
        routes = options.routes.with_addressing(connections.addressing)
        route = routes.find(request, options.verify, options.cert, options.proxies)
        return self.answer(
            partial(_entered.send, _entered.fakes),
            connections,
            request,
            route,
            options.timeouts,
            options.deadline,
            options.on_informational,
            options.next_leg,
            stream=True,
        )

    def close(self) -> None:
        """Close the connections of ``inner``, for ``Client.close``."""
        self.inner.close()

    def check(self, error: BaseException | None = None) -> None:
        """What the end of a ``with`` block looks at.

        Args:
            error: what the test has failed by, if it has. What it says is not said again, and routes that were not called are its
                consequence. Default: it went well.

        Raises:
            AssertionError: a request was refused, or failed by another AssertionError (such as one of a function that answers), and
                the program hid that; or a route was not called.
        """
        told = str(error) if isinstance(error, AssertionError) else None
        hidden = [wrong for wrong in self._wrong if wrong != told]
        if hidden:
            raise UnmatchedRequest("\n".join(("something was wrong with requests, and the program went on:", *hidden)))
        if self._assert_all_called and error is None:
            self.assert_all_called()

    def assert_all_called(self) -> None:
        """AssertionError if a route was not called, or has replies left that were to be given once each."""
        missing = [f"{route} {route.missing}" for route in self.routes if route.missing]
        if missing:
            raise AssertionError("not every route of this Fake was used: " + "; ".join(missing))

    # -- one request ---------------------------------------------------------------------------------------------------

    def answer(
        self,
        before: Callable[..., Response],
        transport: Transport,
        request: PreparedRequest,
        route: Route,
        timeouts: Timeouts,
        deadline: Deadline,
        on_informational: OnInformational | None,
        next_leg: NextLeg | None,
        stream: bool,
    ) -> Response:
        """In place of ``Transport.send``. ``before``: what sends where this Fake lets through."""
        call = Call(request)
        with self._lock:
            self.calls.append(call)
        status: int | None = None
        try:
            expected = self._find(request, call)
            if expected is None or expected.passes_through:
                response = before(transport, request, route, timeouts, deadline, on_informational, next_leg, stream)
            else:
                self._pools.add(transport.pool)
                sending = Sending(transport, request, timeouts, deadline, expected, call, lambda: self._refuse(request, call))
                response = sending.run(route, self._world, on_informational, next_leg)
            status = response.status_code
            return response
        except AssertionError as error:
            with self._lock:
                self._wrong.append(str(error))
            raise
        finally:
            call.end(status)

    def warm(self, transport: Transport, route: Route, count: int, connect: float | None) -> int:
        """In place of ``Transport.warm``: connections of this Fake, so that a program which warms its pool reaches no server."""
        self._pools.add(transport.pool)
        return transport.pool.warm(ScriptedRoute.of(route, self._world, transport.addressing), count, connect=connect)

    def rest(self, wait: Callable[[float], object], seconds: float) -> None:
        """In place of ``Transport.rest``: no wait, unless a real server may be asked next."""
        if self._passthrough or any(expected.passes_through for expected in self.routes):
            wait(seconds)

    def _find(self, request: PreparedRequest, call: Call) -> Expected | None:
        """The route for a request; None: it is to go where it was going."""
        asked = Asked(request.method, request.parsed, request.headers, lambda: call.body)
        for expected in self.routes:
            if not expected.used_up and not expected.pattern.differences(asked):
                call.route = expected
                expected.calls.append(call)
                return expected
        if self._passthrough:
            return None
        raise self._refuse(request, call)

    def _refuse(self, request: PreparedRequest, call: Call) -> UnmatchedRequest:
        asked = Asked(request.method, request.parsed, request.headers, lambda: call.body)
        return UnmatchedRequest(f"{request.method} {request.parsed.safe_text} was refused: {self._why(asked)}")

    def _why(self, asked: Asked) -> str:
        if not self.routes:
            return "this Fake has no routes. Add one: fake.get(...).responds(...)"
        judged = [(expected.pattern.differences(asked), expected) for expected in self.routes]
        differences, nearest = min(judged, key=lambda each: sum(difference.weight for difference in each[0]))
        if not differences:
            return f"the replies of the route {nearest} are used up; it was called {number_of(nearest.called, 'time')}"
        lines = [f"no route of this Fake is for it. The nearest of {len(self.routes)} is {nearest}:"]
        lines += [f"  {difference}" for difference in differences]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<holdfast.testing.Fake: {number_of(len(self.routes), 'route')}, {number_of(len(self.calls), 'call')}>"


class _Entered:
    """The Fakes whose ``with`` blocks are being executed, in the order in which they began. The latest is asked first."""

    def __init__(self) -> None:
        self.fakes: tuple[Fake, ...] = ()
        self._real: Callable[..., Response] = Transport.send
        self._real_warm: Callable[..., int] = Transport.warm
        self._real_rest: Callable[..., None] = Transport.rest
        self._lock = threading.Lock()  # guards all of it

    def enter(self, fake: Fake) -> None:
        """Have it asked from now on."""
        with self._lock:
            if not self.fakes:
                self._real, self._real_warm = getattr(Transport, _SEND), getattr(Transport, _WARM)
                self._real_rest = getattr(Transport, _REST)
                setattr(Transport, _SEND, _send)
                setattr(Transport, _WARM, _warm)
                setattr(Transport, _REST, _rest)
            self.fakes = (*self.fakes, fake)

    def leave(self, fake: Fake) -> None:
        """Have it asked no more. Fakes of several threads need not leave in the opposite order."""
        with self._lock:
            fakes = list(self.fakes)
            if fake not in fakes:
                raise RuntimeError("this Fake is not entered: each __enter__, or with block, is left once")
            fakes.remove(fake)
            self.fakes = tuple(fakes)
            if not fakes:
                setattr(Transport, _SEND, self._real)
                setattr(Transport, _WARM, self._real_warm)
                setattr(Transport, _REST, self._real_rest)

    def send(self, fakes: tuple[Fake, ...], *arguments: Any) -> Response:
        """Have the last of ``fakes`` answer. What it lets through goes to the one before it, and from the first where it went."""
        if not fakes:
            return self._real(*arguments)
        return fakes[-1].answer(partial(self.send, fakes[:-1]), *arguments)

    def warm(self, transport: Transport, route: Route, count: int, connect: float | None) -> int:
        """Have the last one warm the connections; the real way if there is none any more."""
        fakes = self.fakes
        if not fakes:
            return self._real_warm(transport, route, count, connect)
        return fakes[-1].warm(transport, route, count, connect)

    def rest(self, transport: Transport, wait: Callable[[float], object], seconds: float) -> None:
        """Have the last one rest; the real way if there is none any more."""
        fakes = self.fakes
        if not fakes:
            self._real_rest(transport, wait, seconds)
        else:
            fakes[-1].rest(wait, seconds)


_entered = _Entered()


def _send(
    transport: Transport,
    request: PreparedRequest,
    route: Route,
    timeouts: Timeouts,
    deadline: Deadline,
    on_informational: OnInformational | None = None,
    next_leg: NextLeg | None = None,
    stream: bool = True,
) -> Response:
    """In place of ``Transport.send`` as long as there is a Fake."""
    # Under urllib3, its pools are the keys of the connections, and its requests no requests of ours.
    fakes = _entered.fakes if isinstance(route, Route) else ()
    return _entered.send(fakes, transport, request, route, timeouts, deadline, on_informational, next_leg, stream)


def _warm(transport: Transport, route: Route, count: int, connect: float | None) -> int:
    """In place of ``Transport.warm`` as long as there is a Fake."""
    return _entered.warm(transport, route, count, connect)


def _rest(transport: Transport, wait: Callable[[float], object], seconds: float) -> None:
    """In place of ``Transport.rest`` as long as there is a Fake."""
    _entered.rest(transport, wait, seconds)

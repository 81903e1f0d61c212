"""Sending: one request on its way over connections whose other end is a script.

Everything from the pool upwards is the client's own. The connections are in its pool under keys of their own
(``ScriptedRoute``), so that none of them is mistaken for one to a real server, and no real one is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from ..environment import address_of
from ..exceptions import AddressRefused, PoolTimeout
from ..message.url import is_ip_address
from ..reasons import Discard
from ..routes import Route
from ..timeouts import Deadline, Timeouts
from ..transport import NextLeg, OnInformational, Transport
from ..wire.addressing import BY_SYSTEM, Addressing
from ..wire.connect import none_allowed
from ..wire.http1 import Http1Connection
from ..wire.opening import Opening
from ..wire.reuse import Habits
from ..wire.tls import without_zone
from .answers import Answer
from .connection import CONTINUE
from .expected import Call, Expected
from .failures import Failure, When
from .script import CallTime, Play, ScriptedStream, current

if TYPE_CHECKING:
    from ..message.request import PreparedRequest
    from ..message.response import Response

PEER = "192.0.2.1"  # an address for documentation: RFC 5737

_send = Transport.send  # the real one, whatever a Fake puts in its place


class World:
    """What the connections of one Fake have in common: they are no others'.

    Args:
        addresses: of names; see ``Fake``.
    """

    def __init__(self, addresses: Mapping[str, str | Sequence[str]] | None = None) -> None:
        self._streams: dict[ScriptedRoute, WeakSet[ScriptedStream]] = {}
        self._addresses = {name.lower().rstrip("."): _checked(name, said) for name, said in (addresses or {}).items()}

    def addresses_of(self, host: str) -> Sequence[str]:
        """What a name leads to, as far as that is known; an address leads to itself."""
        if is_ip_address(host):
            return [str(address_of(host) or host)]
        return self._addresses.get(host.rstrip("."), ())

    def new_stream(self, route: ScriptedRoute) -> ScriptedStream:
        """A stream for a new connection."""
        stream = ScriptedStream()
        self._streams.setdefault(route, WeakSet()).add(stream)
        return stream

    def keeps_one(self, route: ScriptedRoute) -> bool:
        """Whether there is an idle connection."""
        return any(stream.is_idle for stream in self._streams.get(route, ()))

    @property
    def routes(self) -> list[ScriptedRoute]:
        """All for which there were connections."""
        return list(self._streams)


def _checked(name: str, said: str | Sequence[str]) -> tuple[str, ...]:
    several = (said,) if isinstance(said, str) else tuple(said) if isinstance(said, Sequence) else ()
    if not several or not all(isinstance(each, str) and is_ip_address(each) for each in several):
        raise ValueError(f"addresses={said!r}: expected an IP address, or several, for {name!r}")
    return several


class ScriptedRoute(Route):
    """The key of connections without sockets. Equal to one of the same world alone, and to no real route.

    Attributes:
        world: the Fake's.
        addressing: of the transport; its guard is asked, its resolver is not.
        alone: None; of a call that must not find a kept connection, the call's Sending.
    """

    world: World
    addressing: Addressing
    alone: object

    @classmethod
    def of(cls, route: Route, world: World, addressing: Addressing = BY_SYSTEM, alone: object = None) -> ScriptedRoute:
        """The one in place of a real route."""
        made = cls(*route)
        made.world, made.addressing, made.alone = world, addressing, alone
        return made

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ScriptedRoute) or other.world is not self.world or other.alone is not self.alone:
            return False
        return tuple.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((tuple.__hash__(self), id(self.world)))

    @property
    def opener(self) -> Callable[[Habits, float | None], Http1Connection]:
        """Connects to a script."""
        return self._open

    def _open(self, habits: Habits, until: float | None) -> Http1Connection:
        peer = self._dialled()
        turn = current.get()
        error = None if turn is None else turn.dial_error(self, until)
        if error is not None:
            raise error
        connection = Http1Connection(self.world.new_stream(self), habits)
        connection.opening = opening = Opening()
        opening.peer, opening.tried = peer, [(peer, "")]
        if self.context is not None:
            opening.tls = 0.0
        return connection

    def _dialled(self) -> str:
        """The first address that the client's guard allows, of those that are known. Raises AddressRefused: it allows none."""
        host, port = (self.host, self.port) if self.proxy is None else (self.proxy.host, self.proxy.port)
        refusals = []
        for address in self.world.addresses_of(host):
            try:
                self.addressing.require(address, port, host, is_proxy=self.proxy is not None)
                return address
            except AddressRefused as error:
                refusals.append(error)
        if refusals:
            raise none_allowed(refusals)
        return PEER


class _PatienceOver(Deadline):
    """A call's deadline while it waits for room: the pool is told that the wait is over, and waits no time."""

    __slots__ = ("_of",)

    def __init__(self, of: Deadline, now: float) -> None:
        self.at, self.clock, self.total = now, of.clock, of.total
        self._of = of

    def expired(self) -> bool:
        """Whether the call's own is."""
        return self._of.expired()


class Sending:
    """One request, from the call of ``Transport.send`` to the head of its response. A ``Turn`` for the streams.

    Args:
        used_up: makes the error of a request for which there is no reply left.
    """

    def __init__(
        self,
        transport: Transport,
        request: PreparedRequest,
        timeouts: Timeouts,
        deadline: Deadline,
        expected: Expected,
        call: Call,
        used_up: Callable[[], Exception],
    ) -> None:
        self._transport, self._request, self._timeouts, self._deadline = transport, request, timeouts, deadline
        self._expected, self._call, self._used_up = expected, call, used_up
        if not isinstance(deadline.clock, CallTime):
            deadline.clock = CallTime(deadline.clock)
        self.time: CallTime = deadline.clock
        self._pending: Answer | Failure | None = None
        self._stale = False

    def run(self, route: Route, world: World, on_informational: OnInformational | None, next_leg: NextLeg | None) -> Response:
        """Send it. Raises what the call is to see."""
        first = self._peek()
        when = _when(first)
        key = ScriptedRoute.of(route, world, self._transport.addressing, None if when in (When.SENDING, When.KEPT) else self)
        token = current.set(self)
        try:
            if isinstance(first, Failure) and first.kept and not world.keeps_one(key):
                self._plant(key)
            if when is When.KEPT:
                self._next()
                self._stale = True
            if when is not When.WAITING:
                return self._send(key, self._deadline, on_informational, next_leg)
            self._next()
            with self._exhausted(key):
                self.time.sleep(self._timeouts.pool or 0.0)
                patience = _PatienceOver(self._deadline, self._transport.clock())
                return self._send(key, patience, on_informational, next_leg)
        finally:
            current.reset(token)

    def _send(
        self, key: ScriptedRoute, deadline: Deadline, on_informational: OnInformational | None, next_leg: NextLeg | None
    ) -> Response:
        return _send(self._transport, self._request, key, self._timeouts, deadline, on_informational, next_leg)

    # -- the replies ---------------------------------------------------------------------------------------------------

    def _peek(self) -> Answer | Failure:
        if self._pending is None:
            self._pending = self._expected.take(self._call)
            if self._pending is None:
                raise self._used_up()
        return self._pending

    def _next(self) -> Answer | Failure:
        reply, self._pending = self._peek(), None
        if isinstance(reply, Failure):
            reply.check(self._timeouts)
        return reply

    def next_play(self, heard: bytearray) -> Play:
        """For the stream: what the server does with this sending."""
        reply = self._next()
        self._call.hear(heard)
        if isinstance(reply, Answer):
            play = reply.play(self._request)
        elif reply.play is not None:
            play = reply.play(self._request, self._deadline)
        else:
            raise AssertionError(f"{reply}: this is for a call that begins; the request of this one is being sent again")
        if play.early or not play.delivered or self._request.headers.get("Expect", "").lower() != "100-continue":
            return play
        return Play((CONTINUE, *play.says), takes=play.takes)

    def finds_stale(self) -> bool:
        """For the stream: whether the server has closed it while it was idle; once."""
        stale, self._stale = self._stale, False
        return stale

    def dial_error(self, route: Route, until: float | None) -> Exception | None:
        """For the dialer: why no connection comes about, if none does."""
        reply = self._peek()
        if not isinstance(reply, Failure) or reply.error is None:
            return None
        reply.check_context(str(route), route.context)
        self._next()
        seconds = 0.0 if until is None else max(0.0, until - self._transport.clock())
        if reply.needs:
            self.time.sleep(seconds)
        return reply.error(without_zone(route.server_name) if reply.of_tls else route.host, route.port, seconds)

    # -- the pool ------------------------------------------------------------------------------------------------------

    def _plant(self, key: ScriptedRoute) -> None:
        """Keep a connection that was used before."""
        lease = self._transport.pool.acquire(key, wait=self._timeouts.pool, purpose=self._request)
        lease.release()

    @contextmanager
    def _exhausted(self, key: ScriptedRoute) -> Iterator[None]:
        """The pool while all connections that its limits allow are in use."""
        pool = self._transport.pool
        leases: list[Any] = []
        try:
            for _ in range(self._room()):
                try:
                    leases.append(pool.acquire(key, wait=0.0, purpose=self._request))
                except PoolTimeout:
                    break  # other threads have taken the rest
            yield
        finally:
            for lease in leases:
                lease.discard(Discard.SURPLUS)

    def _room(self) -> int:
        limits, active = self._transport.pool.limits, self._transport.pool.stats().active
        total = None if limits.max_connections is None else limits.max_connections - active
        bounds = [bound for bound in (limits.max_connections_per_origin, total) if bound is not None]
        if not bounds:
            raise AssertionError("this client's Limits have no bound: no request waits for a connection, and none times out so")
        return min(bounds)


def _when(reply: Answer | Failure) -> When:
    return reply.when if isinstance(reply, Failure) else When.SENDING

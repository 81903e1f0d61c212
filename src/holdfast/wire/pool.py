"""Pool: connections of any kind, kept by key, each with exactly one owner at every moment.

Laws:

1. One lock. It guards every field of the pool, of its origins, entries and waiters. Nothing that can block or call back runs under it: no
   connect, probe, close or callback. What must be closed is collected under the lock and closed after it.
2. Hand-over, not wake-and-race. A connection or a slot is given to a waiter under the lock; whoever gave up before that is no
   longer there to be given anything.
3. A slot is the right to have one connection open. Dialling, idle and leased connections each hold one; it is given back when the
   connection is closed or the dial has failed.
4. A dial runs in a thread of its own and belongs to its slot, not to whoever asked for it: that one takes whichever comes first, its own
   dial or a connection somebody returned, and may leave on time even if the resolver hangs.
5. Acquire and release are O(1), whatever the number of origins, connections and waiters.

Who is served first. Within an origin: the one who waits longest (FIFO). Connections are reused freshest first (LIFO), so that the
others can grow old and go. Under ``max_connections`` origins compete: the longest-idle connection of any origin makes room,
and origins that wait for room take turns.

A lease dropped without release or discard gives its slot back from its finalizer. A finalizer may run anywhere, even in a thread that holds
the lock, so it only notes the lease and tries the lock; whoever holds the lock looks at the notes after letting go.
"""

from __future__ import annotations

import os
import random
import threading
import time
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ..exceptions import ClientClosed, ConnectTimeout, PoolTimeout
from ..outcomes import Discard
from .stats import OriginStats, PoolStats, Tally

MAX_UNUSED_ORIGINS = 1000  # origins with nothing open whose figures are kept apart

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")


@dataclass(frozen=True)
class Limits:
    """How many connections a pool may have, and for how long.

    Attributes:
        max_connections: open at once over all origins; None for no bound. Default None.
        max_connections_per_origin: open at once to one origin; None for no bound. Default 50.
        max_idle_connections: kept idle over all origins; None for no bound. Default 100.
        max_idle_per_origin: kept idle per origin; None for no bound. Default None.
        min_idle_connections: kept ready per origin in use. Default 0.
        idle_timeout: seconds a connection may be idle before it is closed; None for ever. Default 55, below the 60 s
            after which common servers and load balancers close.
        max_lifetime: seconds after which a connection is not reused, less up to 10 % chosen at random so that they do not all go at once;
            None for ever. Default None.
        max_requests: requests after which a connection is not reused; None for no bound. Default None.

    Raises:
        ValueError: a bound is not positive, or two of them contradict each other.
    """

    max_connections: int | None = None
    max_connections_per_origin: int | None = 50
    max_idle_connections: int | None = 100
    max_idle_per_origin: int | None = None
    min_idle_connections: int = 0
    idle_timeout: float | None = 55.0
    max_lifetime: float | None = None
    max_requests: int | None = None

    def __post_init__(self) -> None:
        for name in ("max_connections", "max_connections_per_origin", "max_lifetime", "max_requests"):
            _check_bound(name, getattr(self, name), allow_zero=False)
        for name in ("max_idle_connections", "max_idle_per_origin", "min_idle_connections", "idle_timeout"):
            _check_bound(name, getattr(self, name), allow_zero=True)


def _check_bound(name: str, value: Any, *, allow_zero: bool) -> None:
    if value is None and name != "min_idle_connections":
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        raise ValueError(f"Limits({name}={value!r}): expected a number" + (" or None" if name[:3] != "min" else ""))
    if value < 0 or (value == 0 and not allow_zero):
        raise ValueError(f"Limits({name}={value!r}): must be {'0 or more' if allow_zero else 'more than 0'}")


class _Entry(Generic[K, R]):
    """One open connection, from its dial to its end."""

    __slots__ = ("hinted_uses", "idle_since", "idle_until", "lent_at", "max_uses", "origin", "resource", "retire_at", "uses")

    def __init__(self, origin: _Origin[K, R], resource: R, retire_at: float | None, max_uses: int | None) -> None:
        self.origin = origin
        self.resource = resource
        self.retire_at = retire_at
        self.uses = 0
        self.max_uses = max_uses
        self.hinted_uses: int | None = None
        self.lent_at = 0.0
        self.idle_since = 0.0
        self.idle_until: float | None = None

    def expired(self, now: float) -> Discard | None:
        if self.idle_until is not None and now >= self.idle_until:
            return Discard.IDLE_TIMEOUT
        if self.retire_at is not None and now >= self.retire_at:
            return Discard.LIFETIME
        return None


class _Waiter(Generic[K, R]):
    """A thread that waits for a connection. Its event is a lock it holds: cheaper than threading.Event."""

    __slots__ = (
        "asked_at",
        "dialling",
        "entry",
        "error",
        "event",
        "fresh",
        "granted",
        "origin",
        "queued_until",
        "ticket",
    )

    def __init__(self, origin: _Origin[K, R], fresh: bool, ticket: int, asked_at: float) -> None:
        self.origin = origin
        self.fresh = fresh
        self.ticket = ticket
        self.asked_at = asked_at
        self.dialling = False
        self.granted = False
        self.queued_until: float | None = None  # when it was given a slot it had to wait for
        self.entry: _Entry[K, R] | None = None
        self.error: BaseException | None = None
        self.event = threading.Lock()
        self.event.acquire()

    def wake(self) -> None:
        if self.event.locked():
            self.event.release()


class _Origin(Generic[K, R]):
    """What the pool knows of one key."""

    __slots__ = ("dialling", "idle", "key", "leased", "queued", "tally", "waiting")

    def __init__(self, key: K) -> None:
        self.key = key
        self.tally = Tally()
        self.idle: dict[_Entry[K, R], None] = {}  # in the order of their return: the last is the freshest
        self.leased = 0
        self.dialling = 0
        # Everyone who waits, in order of arrival; and of these, the ones that have no slot to dial in.
        self.waiting: OrderedDict[_Waiter[K, R], None] = OrderedDict()
        self.queued: OrderedDict[_Waiter[K, R], None] = OrderedDict()

    @property
    def open(self) -> int:
        return len(self.idle) + self.leased + self.dialling

    def unused(self) -> bool:
        return not (self.idle or self.leased or self.dialling or self.waiting)


class Lease(Generic[K, R]):
    """The right to use one connection until ``release`` or ``discard``, whichever is called first, once.

    Attributes:
        resource: the connection.
        reused: it had been used before, or kept idle: the other end may have had a reason to close it.
        idle: seconds it had been idle before this use; None when it is fresh.
    """

    __slots__ = ("_entry", "_pool", "idle", "resource", "reused")

    def __init__(self, pool: Pool[K, R], entry: _Entry[K, R], idle: float | None) -> None:
        self._pool = pool
        self._entry: _Entry[K, R] | None = entry
        self.resource = entry.resource
        self.reused = entry.uses > 1 or idle is not None
        self.idle = idle

    def release(self, *, keep_for: float | None = None, uses_left: int | None = None) -> None:
        """Give the connection back for others to use.

        Args:
            keep_for: seconds the other end has said it will keep it; the pool's own idle timeout may be shorter.
            uses_left: how many more uses the other end allows.
        """
        entry, self._entry = self._entry, None
        if entry is not None:
            self._pool._give_back(entry, keep_for, uses_left)

    def discard(self, reason: Discard) -> None:
        """Close the connection and give its slot back."""
        entry, self._entry = self._entry, None
        if entry is not None:
            self._pool._discard_leased(entry, reason)

    @property
    def active(self) -> bool:
        """Whether this lease still holds its connection."""
        return self._entry is not None

    def __del__(self) -> None:
        if self._entry is not None:
            self._pool._leaked(self._entry)
            self._entry = None


def _spawn_thread(work: Callable[[], object]) -> None:
    """Run ``work`` in a daemon thread; here and now where no thread can be had (too many, or the interpreter is ending)."""
    try:
        threading.Thread(target=work, name="holdfast-dial", daemon=True).start()
    except RuntimeError:
        work()


_pools: weakref.WeakSet[Pool[Any, Any]] = weakref.WeakSet()


class Pool(Generic[K, R]):
    """Connections by key.

    Args:
        connect: opens one connection: ``connect(key, until)``, ``until`` on ``clock`` or None. Runs in a thread of its own.
        probe: None if an idle connection is fit for use, else why not. Must not block.
        close: closes a connection for the reason given. Must not raise.
        interrupt: ends a leased connection's conversation from another thread, when the pool is closed. Optional.
        limits: see ``Limits``.
        clock: seconds, monotonic.
        spawn: runs a dial in the background; tests pass one that runs it on the spot.
        jitter: a number from 0 to 1 by which lifetimes are shortened, at most by a tenth.
    """

    def __init__(
        self,
        connect: Callable[[K, float | None], R],
        probe: Callable[[R], Discard | None],
        close: Callable[[R, Discard], None],
        *,
        interrupt: Callable[[R], None] | None = None,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
        spawn: Callable[[Callable[[], object]], None] = _spawn_thread,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._connect = connect
        self._probe = probe
        self._close = close
        self._interrupt = interrupt
        self.limits = limits or Limits()
        self._clock = clock
        self._spawn = spawn
        self._jitter = jitter
        self._leaks: deque[_Entry[K, R]] = deque()
        self.on_idle: Callable[[], None] | None = None
        self._reset()
        _pools.add(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        # Everything below is guarded by the lock.
        self._closed = False
        self._origins: dict[K, _Origin[K, R]] = {}
        self._idle: OrderedDict[_Entry[K, R], None] = OrderedDict()  # of all origins, longest idle first
        self._leased: set[_Entry[K, R]] = set()
        self._open = 0
        self._unused: OrderedDict[_Origin[K, R], None] = OrderedDict()
        self._past = Tally()  # of origins no longer remembered
        self._starved: OrderedDict[_Origin[K, R], None] = OrderedDict()  # have room of their own, but the total is full
        self._tickets = 0
        self._watched = False

    # -- acquire -----------------------------------------------------------------------------------------------------

    def acquire(
        self,
        key: K,
        *,
        wait: float | None = None,
        connect: float | None = None,
        until: float | None = None,
        fresh: bool = False,
    ) -> Lease[K, R]:
        """A connection to ``key``: the freshest idle one that passes its probe, else a new one.

        Args:
            wait: seconds to wait for room under the limits; None for ever.
            connect: seconds the dial may take; None for ever.
            until: the moment on the pool's clock by which both must be done; None for no such moment.
            fresh: only a connection that nobody has used.

        Raises:
            PoolTimeout: no room after ``wait`` seconds.
            ConnectTimeout: no connection after ``connect`` seconds.
            ClientClosed: the pool is closed.
            Exception: what ``connect`` raised.
        """
        failed: _Entry[K, R] | None = None
        reason = Discard.STALE
        while True:
            doomed: list[tuple[R, Discard]] = []
            with self._lock:
                taken = self._take(key, fresh, failed, reason, doomed)
            self._dispose(doomed)
            if isinstance(taken, _Waiter):
                entry = self._await(taken, wait, connect, until)
                idle = None
            else:
                entry = taken
                idle = self._clock() - entry.idle_since
            if entry.uses == 1 and idle is None:
                return Lease(self, entry, None)
            verdict = self._probe(entry.resource)
            if verdict is None:
                return Lease(self, entry, idle if idle is not None else 0.0)
            failed, reason = entry, verdict

    def _take(
        self,
        key: K,
        fresh: bool,
        failed: _Entry[K, R] | None,
        reason: Discard,
        doomed: list[tuple[R, Discard]],
    ) -> _Entry[K, R] | _Waiter[K, R]:
        """Under the lock: an idle connection, or a place in the queue, with a slot if there is room."""
        if failed is not None:
            self._drop_leased(failed, reason, doomed)
        if self._closed:
            raise self._closed_error()
        now = self._clock()
        origin = self._origins.get(key)
        if origin is None:
            origin = self._origins[key] = _Origin(key)
        elif self._unused:
            self._unused.pop(origin, None)
        if not fresh:
            entry = self._take_idle(origin, now, doomed)
            if entry is not None:
                if failed is not None:
                    self._serve(origin, doomed)
                return entry
        return self._queue(origin, fresh, now, doomed)

    def _take_idle(self, origin: _Origin[K, R], now: float, doomed: list[tuple[R, Discard]]) -> _Entry[K, R] | None:
        while origin.idle:
            entry, _ = origin.idle.popitem()
            del self._idle[entry]
            reason = entry.expired(now)
            if reason is None:
                entry.uses += 1
                entry.lent_at = now
                origin.leased += 1
                origin.tally.reused += 1
                self._leased.add(entry)
                return entry
            self._open -= 1
            origin.tally.count_closed(reason)
            doomed.append((entry.resource, reason))
        return None

    def _queue(
        self, origin: _Origin[K, R], fresh: bool, now: float, doomed: list[tuple[R, Discard]]
    ) -> _Waiter[K, R]:
        self._tickets += 1
        waiter = _Waiter(origin, fresh, self._tickets, now)
        origin.waiting[waiter] = None
        if self._claim_slot(origin, fresh, doomed):
            waiter.granted = True
        else:
            origin.queued[waiter] = None
            self._note_starved(origin)
        return waiter

    # -- slots ---------------------------------------------------------------------------------------------------------

    def _origin_full(self, origin: _Origin[K, R]) -> bool:
        cap = self.limits.max_connections_per_origin
        return cap is not None and origin.open >= cap

    def _claim_slot(self, origin: _Origin[K, R], fresh: bool, doomed: list[tuple[R, Discard]]) -> bool:
        """Take the right to open one more connection, at the cost of an idle one if need be."""
        if self._origin_full(origin):
            if not (fresh and origin.idle):
                return False
            self._drop_idle(next(iter(origin.idle)), Discard.SURPLUS, doomed)
        cap = self.limits.max_connections
        if cap is not None and self._open >= cap:
            if not self._idle:
                return False
            self._drop_idle(next(iter(self._idle)), Discard.SURPLUS, doomed)
        origin.dialling += 1
        self._open += 1
        return True

    def _note_starved(self, origin: _Origin[K, R]) -> None:
        if origin.queued and not self._origin_full(origin):
            self._starved.setdefault(origin)

    def _serve(self, origin: _Origin[K, R], doomed: list[tuple[R, Discard]]) -> None:
        """A slot of ``origin`` may have come free: grant slots to those who wait for one, origins in turn."""
        self._note_starved(origin)
        while self._starved:
            candidate = next(iter(self._starved))
            if not candidate.queued or self._origin_full(candidate):
                del self._starved[candidate]
                continue
            if not self._claim_slot(candidate, False, doomed):
                return
            waiter, _ = candidate.queued.popitem(last=False)
            waiter.granted = True
            waiter.queued_until = self._clock()
            waiter.wake()
            self._starved.move_to_end(candidate)
        self._retire_if_unused(origin)

    def _retire_if_unused(self, origin: _Origin[K, R]) -> None:
        """Remember only so many origins that have nothing open: their figures move into the pool's total."""
        if not origin.unused() or self._origins.get(origin.key) is not origin:
            return
        self._unused[origin] = None
        if len(self._unused) > MAX_UNUSED_ORIGINS:
            oldest, _ = self._unused.popitem(last=False)
            del self._origins[oldest.key]
            self._past.absorb(oldest.tally)

    def _drop_idle(self, entry: _Entry[K, R], reason: Discard, doomed: list[tuple[R, Discard]]) -> None:
        del entry.origin.idle[entry]
        del self._idle[entry]
        self._open -= 1
        entry.origin.tally.count_closed(reason)
        doomed.append((entry.resource, reason))
        self._retire_if_unused(entry.origin)

    def _drop_leased(self, entry: _Entry[K, R], reason: Discard, doomed: list[tuple[R, Discard]]) -> None:
        if entry in self._leased:
            self._leased.remove(entry)
            entry.origin.leased -= 1
            self._open -= 1
            _count_lease(entry, self._clock())
            entry.origin.tally.count_closed(reason)
        else:
            reason = Discard.FORKED  # lent before a fork: this process's pool knows nothing of it
        doomed.append((entry.resource, reason))

    # -- waiting and dialling ------------------------------------------------------------------------------------------

    def _await(
        self, waiter: _Waiter[K, R], wait: float | None, connect: float | None, until: float | None
    ) -> _Entry[K, R]:
        """Wait for whichever comes first: a connection handed over, or one's own dial."""
        try:
            if not waiter.granted and not _wait_for(waiter, self._shorter(wait, until)):
                with self._lock:
                    if waiter.entry is None and waiter.error is None and not waiter.granted:
                        raise self._pool_timeout(waiter, wait)
            connect = self._shorter(connect, until)
            if self._start_dial(waiter, connect):
                if not _wait_for(waiter, connect):
                    with self._lock:
                        if waiter.entry is None and waiter.error is None:
                            raise self._connect_timeout(waiter, connect)
        except BaseException:
            self._withdraw(waiter)
            raise
        if waiter.error is not None:
            raise waiter.error
        assert waiter.entry is not None
        return waiter.entry

    def _shorter(self, seconds: float | None, until: float | None) -> float | None:
        if until is None:
            return seconds
        left = max(0.0, until - self._clock())
        return left if seconds is None else min(seconds, left)

    def _start_dial(self, waiter: _Waiter[K, R], connect: float | None) -> bool:
        """Dial in the slot that was granted, if it was and nothing better came meanwhile."""
        with self._lock:
            waiter.dialling = waiter.granted and waiter.entry is None and waiter.error is None
        if waiter.dialling:
            until = None if connect is None else self._clock() + connect
            self._spawn(lambda: self._dial(waiter.origin, waiter, until))
        return waiter.dialling

    def _withdraw(self, waiter: _Waiter[K, R]) -> None:
        """The waiter has given up: what it was given meanwhile goes to the next."""
        doomed: list[tuple[R, Discard]] = []
        with self._lock:
            origin = waiter.origin
            origin.waiting.pop(waiter, None)
            origin.queued.pop(waiter, None)
            if waiter.entry is not None:
                self._offer(waiter.entry, doomed)
            elif waiter.granted and not waiter.dialling:
                self._return_slot(origin)
            self._serve(origin, doomed)
        self._dispose(doomed)

    def _return_slot(self, origin: _Origin[K, R]) -> None:
        if not self._closed and self._origins.get(origin.key) is origin:
            origin.dialling -= 1
            self._open -= 1

    def _dial(self, origin: _Origin[K, R], waiter: _Waiter[K, R] | None, until: float | None) -> bool:
        """Open a connection in a slot already claimed. Whoever waits longest gets it; nobody waiting, it becomes idle."""
        try:
            resource = self._connect(origin.key, until)
        except BaseException as error:  # noqa: BLE001 - it belongs to the waiter, in whose thread it is raised
            self._dial_failed(origin, waiter, error)
            return False
        doomed: list[tuple[R, Discard]] = []
        with self._lock:
            if self._closed or self._origins.get(origin.key) is not origin:
                doomed.append((resource, Discard.CLIENT_CLOSED))
            else:
                origin.dialling -= 1
                self._admit(origin, waiter, resource, doomed)
        self._dispose(doomed)
        return True

    def _admit(
        self, origin: _Origin[K, R], waiter: _Waiter[K, R] | None, resource: R, doomed: list[tuple[R, Discard]]
    ) -> None:
        lifetime = self.limits.max_lifetime
        retire_at = None if lifetime is None else self._clock() + lifetime * (1 - 0.1 * self._jitter())
        entry = _Entry(origin, resource, retire_at, self.limits.max_requests)
        origin.tally.count_created(self._clock())
        origin.leased += 1
        self._leased.add(entry)
        if waiter is not None and waiter in origin.waiting:
            self._hand_over(entry, waiter)
        else:
            self._offer(entry, doomed)

    def _dial_failed(self, origin: _Origin[K, R], waiter: _Waiter[K, R] | None, error: BaseException) -> None:
        doomed: list[tuple[R, Discard]] = []
        with self._lock:
            self._return_slot(origin)
            if waiter is not None and waiter in origin.waiting:
                del origin.waiting[waiter]
                waiter.error = error
                waiter.wake()
            self._serve(origin, doomed)
        self._dispose(doomed)

    def _pool_timeout(self, waiter: _Waiter[K, R], wait: float | None) -> PoolTimeout:
        origin = waiter.origin
        origin.tally.pool_timeouts += 1
        return PoolTimeout(
            f"no connection to {origin.key} free after {wait} s: {origin.leased} in use and {origin.dialling} being opened "
            f"of at most {self.limits.max_connections_per_origin} per origin, {self._open} of at most "
            f"{self.limits.max_connections} in all, {len(origin.waiting) - 1} others waiting. "
            "Close or read streamed responses, raise the limits, or wait longer (timeouts.pool)."
        )

    def _connect_timeout(self, waiter: _Waiter[K, R], connect: float | None) -> ConnectTimeout:
        return ConnectTimeout(
            f"no connection to {waiter.origin.key} after {connect} s (timeouts.connect): "
            "name resolution, TCP connect or TLS handshake took longer"
        )

    # -- give back -----------------------------------------------------------------------------------------------------

    def _give_back(self, entry: _Entry[K, R], keep_for: float | None, uses_left: int | None) -> None:
        doomed: list[tuple[R, Discard]] = []
        with self._lock:
            if entry not in self._leased:
                doomed.append((entry.resource, Discard.FORKED))
            else:
                now = self._clock()
                reason = self._reason_to_retire(entry, keep_for, uses_left, now)
                if reason is not None:
                    self._drop_leased(entry, reason, doomed)
                    self._serve(entry.origin, doomed)
                else:
                    self._offer(entry, doomed, now, keep_for)
            first_idle = bool(self._idle) and not self._watched and self.on_idle is not None
            if first_idle:
                self._watched = True
        self._dispose(doomed)
        if first_idle and self.on_idle is not None:
            self.on_idle()

    def _reason_to_retire(
        self, entry: _Entry[K, R], keep_for: float | None, uses_left: int | None, now: float
    ) -> Discard | None:
        if self._closed:
            return Discard.CLIENT_CLOSED
        if keep_for is not None and keep_for <= 0:
            return Discard.SERVER_HINT
        if uses_left is not None and (entry.hinted_uses is None or entry.uses + uses_left < entry.hinted_uses):
            entry.hinted_uses = entry.uses + uses_left  # some servers count down, others repeat their setting: the least counts
        if entry.hinted_uses is not None and entry.uses >= entry.hinted_uses:
            return Discard.SERVER_HINT
        if entry.max_uses is not None and entry.uses >= entry.max_uses:
            return Discard.LIFETIME
        return Discard.LIFETIME if entry.retire_at is not None and now >= entry.retire_at else None

    def _offer(
        self,
        entry: _Entry[K, R],
        doomed: list[tuple[R, Discard]],
        now: float | None = None,
        keep_for: float | None = None,
    ) -> None:
        """A leased entry has no more use for its holder: the next in line gets it, else it becomes idle."""
        origin = entry.origin
        receiver = self._receiver(origin)
        if self._closed:
            self._drop_leased(entry, Discard.CLIENT_CLOSED, doomed)
        elif receiver is not None and not self._others_first(receiver):
            self._hand_over_lent(entry, receiver, doomed)
        elif receiver is not None or self._starved or origin.queued:
            # Somebody elsewhere, or one who wants a fresh connection, needs the slot more than anyone needs this one.
            self._drop_leased(entry, Discard.SURPLUS, doomed)
            self._serve(origin, doomed)
        else:
            self._make_idle(entry, self._clock() if now is None else now, keep_for, doomed)

    def _receiver(self, origin: _Origin[K, R]) -> _Waiter[K, R] | None:
        for waiter in origin.waiting:
            if not waiter.fresh:
                return waiter
        return None

    def _others_first(self, receiver: _Waiter[K, R]) -> bool:
        """Whether an origin that waits for room under the total cap has waited longer than ``receiver``."""
        for origin in self._starved:
            if origin is not receiver.origin and origin.queued:
                return next(iter(origin.queued)).ticket < receiver.ticket
        return False

    def _hand_over_lent(
        self, entry: _Entry[K, R], waiter: _Waiter[K, R], doomed: list[tuple[R, Discard]]
    ) -> None:
        unused_slot = waiter.granted and not waiter.dialling  # woken to dial, and has not begun
        self._hand_over(entry, waiter)
        if unused_slot:
            waiter.granted = False
            self._return_slot(entry.origin)
            self._serve(entry.origin, doomed)

    def _hand_over(self, entry: _Entry[K, R], waiter: _Waiter[K, R]) -> None:
        now = self._clock()
        tally = entry.origin.tally
        del entry.origin.waiting[waiter]
        entry.origin.queued.pop(waiter, None)
        if entry.uses:
            _count_lease(entry, now)
            tally.reused += 1
        if waiter.queued_until is not None or not waiter.granted:
            tally.count_wait((waiter.queued_until or now) - waiter.asked_at)
        entry.uses += 1
        entry.lent_at = now
        waiter.entry = entry
        waiter.wake()

    def _make_idle(
        self, entry: _Entry[K, R], now: float, keep_for: float | None, doomed: list[tuple[R, Discard]]
    ) -> None:
        origin = entry.origin
        self._leased.remove(entry)
        origin.leased -= 1
        if entry.uses:
            _count_lease(entry, now)
        keep = self.limits.idle_timeout
        if keep_for is not None and (keep is None or keep_for < keep):
            keep = keep_for
        entry.idle_since = now
        entry.idle_until = None if keep is None else now + keep
        origin.idle[entry] = None
        self._idle[entry] = None
        self._trim(origin, doomed)

    def _trim(self, origin: _Origin[K, R], doomed: list[tuple[R, Discard]]) -> None:
        limits = self.limits
        if limits.max_idle_per_origin is not None and len(origin.idle) > limits.max_idle_per_origin:
            self._drop_idle(next(iter(origin.idle)), Discard.SURPLUS, doomed)
        if limits.max_idle_connections is not None and len(self._idle) > limits.max_idle_connections:
            self._drop_idle(next(iter(self._idle)), Discard.SURPLUS, doomed)

    def _discard_leased(self, entry: _Entry[K, R], reason: Discard) -> None:
        doomed: list[tuple[R, Discard]] = []
        with self._lock:
            self._drop_leased(entry, reason, doomed)
            self._serve(entry.origin, doomed)
        self._dispose(doomed)

    def _dispose(self, doomed: list[tuple[R, Discard]]) -> None:
        """Outside the lock: close what was decided under it, and see to leases that were dropped meanwhile."""
        for resource, reason in doomed:
            self._close(resource, reason)
        if self._leaks:
            self._reap()

    def _leaked(self, entry: _Entry[K, R]) -> None:
        """Called by a finalizer: perhaps inside a garbage collection in a thread that holds the lock."""
        self._leaks.append(entry)
        if self._lock.acquire(blocking=False):
            self._lock.release()
            self._reap()

    def _reap(self) -> None:
        while self._leaks:
            try:
                entry = self._leaks.popleft()
            except IndexError:
                return  # another thread was faster
            entry.origin.tally.leaks += 1
            self._discard_leased(entry, Discard.LEAKED)

    # -- upkeep --------------------------------------------------------------------------------------------------------

    def sweep(self, now: float) -> float | None:
        """Close idle connections whose time has come; seconds until the next is due, None if none is idle."""
        doomed: list[tuple[R, Discard]] = []
        due: float | None = None
        with self._lock:
            for entry in list(self._idle):
                reason = entry.expired(now)
                if reason is not None:
                    self._drop_idle(entry, reason, doomed)
                    continue
                for moment in (entry.idle_until, entry.retire_at):
                    if moment is not None and (due is None or moment < due):
                        due = moment
            if not self._idle:
                self._watched = False
        self._dispose(doomed)
        return None if due is None else due - now

    def close_idle(self) -> int:
        """Close every idle connection; how many there were. Those in use stay."""
        doomed: list[tuple[R, Discard]] = []
        with self._lock:
            for entry in list(self._idle):
                self._drop_idle(entry, Discard.CLIENT_CLOSED, doomed)
        self._dispose(doomed)
        return len(doomed)

    def close(self) -> None:
        """Close the pool: idle connections at once; whoever waits, or reads from a leased one, gets an error. Idempotent."""
        doomed: list[tuple[R, Discard]] = []
        with self._lock:
            self._closed = True
            for entry in list(self._idle):
                self._drop_idle(entry, Discard.CLIENT_CLOSED, doomed)
            for origin in self._origins.values():
                self._refuse(origin)
            leased = [entry.resource for entry in self._leased]
        self._dispose(doomed)
        if self._interrupt is not None:
            for resource in leased:
                self._interrupt(resource)

    def _refuse(self, origin: _Origin[K, R]) -> None:
        for waiter in origin.waiting:
            waiter.error = self._closed_error()
            waiter.wake()
        origin.waiting.clear()
        origin.queued.clear()

    def _closed_error(self) -> ClientClosed:
        return ClientClosed("this client was closed; create another one")

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed

    def stats(self) -> PoolStats:
        """What the pool holds and has done, as of now."""
        with self._lock:
            now = self._clock()
            whole = self._past.copy()
            cap = self.limits.max_connections_per_origin
            origins = []
            waiting = 0
            for origin in self._origins.values():
                gauges = (origin.leased, len(origin.idle), origin.dialling, len(origin.queued))
                origins.append(OriginStats.of(str(origin.key), gauges, cap, origin.tally, now))
                whole.absorb(origin.tally)
                waiting += len(origin.queued)
            dialling = self._open - len(self._leased) - len(self._idle)
            gauges = (len(self._leased), len(self._idle), dialling, waiting)
            total = OriginStats.of("*", gauges, self.limits.max_connections, whole, now)
        return PoolStats(total, tuple(origins))

    def __repr__(self) -> str:
        with self._lock:
            leased, idle, waiting = len(self._leased), len(self._idle), sum(len(o.queued) for o in self._origins.values())
            state = "closed" if self._closed else f"{leased} active, {idle} idle, {self._open} open, {waiting} waiting"
        return f"<Pool: {state}>"

    def _after_fork_in_child(self) -> None:
        """Forget the parent's connections without a byte on them. The parent's lock may be held by a thread not here."""
        inherited = [entry.resource for entry in (*self._idle, *self._leased)]
        closed = self._closed
        self._reset()
        self._closed = closed
        for resource in inherited:
            self._close(resource, Discard.FORKED)


def _count_lease(entry: _Entry[Any, Any], now: float) -> None:
    entry.origin.tally.count_lease(now - entry.lent_at, now)


def _wait_for(waiter: _Waiter[Any, Any], seconds: float | None) -> bool:
    """Whether the waiter was woken within ``seconds``."""
    if seconds is None:
        return waiter.event.acquire()
    return waiter.event.acquire(timeout=min(seconds, threading.TIMEOUT_MAX))


def _after_fork_in_child() -> None:
    for pool in list(_pools):
        pool._after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)

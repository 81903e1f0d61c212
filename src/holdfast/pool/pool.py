"""Pool: connections of any kind, kept by key, each with exactly one owner at every moment.

Laws:

1. One lock. It guards every field of ``Slots``, of its origins, entries, waiters and dials. Nothing that can block or call back
   runs under it: no connect, probe, close, callback or log line. What is to be done is noted in ``_after`` under the lock and done
   after it, by whoever comes first.
2. Hand-over, not wake-and-race. A connection or a slot is given to a waiter under the lock; whoever gave up before that is no
   longer there to be given anything.
3. A dial runs in a thread of its own and belongs to its slot, not to whoever asked for it: that one takes whichever comes first,
   its own dial or a connection somebody returned, and may leave on time even if the resolver hangs.
4. Acquire and release are O(1), whatever the number of origins, connections and waiters.
5. Whatever is taken has an owner before it is taken: the Lease is made first. So an exception at any line (a KeyboardInterrupt may
   strike at all of them) loses no slot: outside the lock the Lease gives back, under it ``_mend`` counts anew.

A lease dropped without release or discard gives its slot back from its finalizer. A finalizer may run anywhere, even in a thread
that holds the lock, so it only notes the lease if the lock is held; whoever holds the lock looks at the notes after letting go.
"""

from __future__ import annotations

import atexit
import os
import random
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, Generic

from ..exceptions import ConnectTimeout
from ..reasons import Discard
from . import messages, upkeep
from .advice import OriginAdvice, advise
from .entries import Dial, Entry, Errand, K, Lease, Origin, R, Waiter
from .events import Announcer, PoolEvent, Utilisation, log
from .limits import Limits
from .state import Slots, closed_error
from .stats import OriginStats, PoolStats

__all__ = ["Lease", "Limits", "Pool", "PoolEvent"]

LONGEST_MOVE = 1.0  # seconds: whoever has not got the lock by then has it, and was interrupted by a signal while it had
ORIGINS_AT_ONCE = 100  # are looked at by stats() before it lets others have the lock


def _spawn_thread(work: Callable[[], object]) -> None:
    """Run ``work`` in a daemon thread; here and now where no thread can be had (too many, or the interpreter is ending)."""
    try:
        threading.Thread(target=work, name="holdfast-dial", daemon=True).start()
    except RuntimeError:
        work()


_pools: weakref.WeakSet[Pool[Any, Any]] = weakref.WeakSet()


class Pool(Slots[K, R], Generic[K, R]):
    """Connections by key.

    Args:
        connect: opens one connection: ``connect(key, until)``, ``until`` on ``clock`` or None. Runs in a thread of its own.
        probe: None if an idle connection is fit for use, else why not. Must not block.
        close: closes a connection for the reason given. Must not raise.
        interrupt: ends a leased connection's conversation from another thread, when the pool is closed. Optional.
        glance: of many idle connections, those that look as if something had happened to them; they are probed then. It consumes
            nothing, may be wrong, and may be given one that is in use or closed meanwhile. Optional.
        limits: see ``Limits``.
        clock: seconds, monotonic.
        spawn: runs a dial in the background; tests pass one that runs it on the spot.
        jitter: a number from 0 to 1 by which lifetimes are shortened, at most by a tenth.
        watch: called when there is something to sweep: somebody must call ``sweep`` from now on, until it returns None.
            Without it, the pool sweeps when it is used.
        describe: text for a lease's ``purpose``, for messages.
    """

    def __init__(
        self,
        connect: Callable[[K, float | None], R],
        probe: Callable[[R], Discard | None],
        close: Callable[[R, Discard], None],
        *,
        interrupt: Callable[[R], None] | None = None,
        glance: Callable[[list[R]], list[R]] | None = None,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
        spawn: Callable[[Callable[[], object]], object] = _spawn_thread,
        jitter: Callable[[], float] = random.random,
        watch: Callable[[Pool[K, R]], None] | None = None,
        describe: Callable[[Any], str] = str,
    ) -> None:
        self._connect = connect
        self._probe = probe
        self._close = close
        self._interrupt = interrupt
        self._glance = glance
        self.limits = limits or Limits()
        self._clock = clock
        self._spawn = spawn
        self._jitter = jitter
        self._watch = watch
        self._describe = describe
        self._news = Announcer(clock)
        self._reset()
        _pools.add(self)

    def _reset(self) -> None:
        super()._reset()
        self._watched = False
        self._sweep_at = 0.0  # for a pool without a keeper
        self._utilisation = Utilisation()  # of the total; Origin has its own

    # -- acquire -----------------------------------------------------------------------------------------------------

    def acquire(
        self,
        key: K,
        *,
        wait: float | None = None,
        connect: float | None = None,
        until: float | None = None,
        fresh: bool = False,
        purpose: Any = None,
    ) -> Lease[K, R]:
        """A connection to ``key``: the freshest idle one that passes its probe, else a new one.

        Args:
            wait: seconds to wait for room under the limits; None for ever.
            connect: seconds the dial may take; None for ever.
            until: the moment on the pool's clock by which both must be done; None for no such moment.
            fresh: only a connection that nobody has used.
            purpose: what it is for, as messages shall name it (see ``describe``).

        Raises:
            PoolTimeout: no room after ``wait`` seconds.
            ConnectTimeout: no connection after ``connect`` seconds.
            ClientClosed: the pool is closed.
            Exception: what ``connect`` raised.
        """
        lease = Lease(self)
        try:
            with self._lock:
                try:
                    waiter = self._take(lease, key, fresh, purpose)
                except BaseException:
                    self._mend(lease._entry)
                    raise
            while True:
                if self._after:
                    self._tidy()
                if waiter is not None:
                    self._await(waiter, wait, connect, until)
                    if lease.idle is None:
                        return lease
                verdict = self._probe(lease.resource)
                if verdict is None:
                    if self._news.active:
                        self._announce("reused", key, seconds=lease.idle)
                    return lease
                waiter = self._take_another(lease, key, fresh, purpose, verdict)
        except BaseException:
            self._abandon(lease)
            raise

    def _take_another(
        self, lease: Lease[K, R], key: K, fresh: bool, purpose: Any, verdict: Discard
    ) -> Waiter[K, R] | None:
        """What the lease has did not pass its probe. Its slot stays with it: it has waited for it long enough."""
        with self._lock:
            failed = lease._entry
            try:
                if failed is not None and not failed.gone:
                    failed.uses -= 1  # it never was one
                    self._drop_leased(failed, verdict, lease.idle)
                lease._entry = lease.idle = None
                lease.reused = False
                waiter = self._take(lease, key, fresh, purpose)
                if waiter is None and failed is not None:
                    self._serve(failed.origin)
                return waiter
            except BaseException:
                self._mend(failed)
                self._mend(lease._entry)
                raise

    def _abandon(self, lease: Lease[K, R]) -> None:
        """Acquiring has failed: what the lease holds, or would be given, goes to the next."""
        with self._lock:
            entry, uses = None, 0
            try:
                if lease._waiter is not None:
                    self._leave(lease._waiter)
                    lease._waiter = None
                entry = lease._entry
                if entry is not None and not entry.gone:
                    entry.uses -= 1  # it never was one
                    uses = entry.uses
                    lease._entry = None
                    self._offer(entry)
            except BaseException:
                self._mend(entry, uses)
                raise
        self._tidy()

    # -- waiting -------------------------------------------------------------------------------------------------------

    def _await(
        self, waiter: Waiter[K, R], wait: float | None, connect: float | None, until: float | None
    ) -> None:
        """Wait for whichever comes first: a connection handed over, or one's own dial."""
        while waiter.dial is None and not waiter.settled:
            if not waiter.sleep(self._shorter(wait, until)):
                self._check_pool_timeout(waiter, wait)
        connect = self._shorter(connect, until)
        if not waiter.settled and waiter.dial is not None:
            self._start_dials([waiter.dial], None if connect is None else self._clock() + connect)
        while not waiter.settled:
            if not waiter.sleep(connect):
                self._check_connect_timeout(waiter, connect)
        waiter.let_go()
        if waiter.error is not None:
            raise waiter.error

    def _shorter(self, seconds: float | None, until: float | None) -> float | None:
        if until is None:
            return seconds
        left = max(0.0, until - self._clock())
        return left if seconds is None else min(seconds, left)

    def _check_pool_timeout(self, waiter: Waiter[K, R], wait: float | None) -> None:
        with self._lock:
            if waiter.dial is not None or waiter.settled:
                return  # just in time
            shortage = messages.Shortage.of(self, waiter, wait)
            waiter.origin.tally.pool_timeouts += 1
            waiter.origin.tally.waits.add(shortage.waited)
            self._leave(waiter)
        error = shortage.error()
        self._announce("exhausted", waiter.origin.key, seconds=shortage.waited, text=str(error), warn=True)
        raise error

    def _check_connect_timeout(self, waiter: Waiter[K, R], connect: float | None) -> None:
        with self._lock:
            if waiter.settled:
                return
            self._leave(waiter)
        raise ConnectTimeout(
            f"no connection to {waiter.origin.key} after {connect} s (timeouts.connect): "
            "name resolution, TCP connect or TLS handshake took longer"
        )

    # -- dialling ------------------------------------------------------------------------------------------------------

    def _start_dials(self, dials: list[Dial[K, R]], until: float | None) -> None:
        for dial in dials:
            dial.until = until
            self._spawn(lambda dial=dial: self._dial(dial))  # type: ignore[misc]

    def _dial_for_nobody(self, claim: Callable[[], None], dials: list[Dial[K, R]], seconds: float | None) -> None:
        """Start the dials for which ``claim``, called under the lock, finds slots. Nobody waits for one whose start fails."""
        try:
            with self._lock:
                try:
                    claim()
                except BaseException:
                    self._mend(None)
                    raise
            self._start_dials(dials, None if seconds is None else self._clock() + seconds)
        except BaseException:
            with self._lock:
                self._call_off(dials)
            self._tidy()
            raise

    def _dial(self, dial: Dial[K, R]) -> None:
        """Open a connection in a slot already claimed. Whoever asked gets it, else who waits longest; else it becomes idle."""
        opened: list[R] = []
        try:
            with self._lock:
                if dial.cancelled:
                    return  # and its slot was given back
                dial.begun = True
            opened.append(self._connect(dial.origin.key, dial.until))
            self._dial_succeeded(dial, opened[0])
        except BaseException as error:  # noqa: BLE001 - it belongs to the waiter, in whose thread it is raised
            self._dial_failed(dial, opened, error)
        self._tidy()

    def _dial_succeeded(self, dial: Dial[K, R], resource: R) -> None:
        jitter = self._jitter()
        with self._lock:
            now = self._clock()
            lifetime = self.limits.max_lifetime
            retire_at = None if lifetime is None else now + lifetime * (1 - 0.1 * jitter)
            entry = Entry(dial.origin, resource, now, retire_at, self.limits.max_requests)
            dial.admitted = True
            try:
                if not self._vacate(dial):
                    self._after.append((self._close, resource, Discard.FORKED))
                    return
                self._leased.add(entry)
                dial.origin.leased += 1
                self._open += 1
                self._admit(entry, dial)
            except BaseException:
                self._mend(entry, 0)
                raise

    def _admit(self, entry: Entry[K, R], dial: Dial[K, R]) -> None:
        origin, waiter = dial.origin, dial.waiter
        origin.tally.count_created(entry.opened_at)
        self._note_event("opened", origin.key)
        if self._closed:
            self._drop_leased(entry, Discard.CLIENT_CLOSED)
        elif waiter is not None and not waiter.gone:
            self._hand_over(entry, waiter)
        else:
            self._offer(entry)
        if dial.errand is not None:
            dial.errand.done(closed_error() if self._closed else None)
            dial.errand = None
        self._note_open(origin)
        if not (self._watched or self._closed) and self._watch is not None:
            self._watched = True
            self._after.append((self._watch, self))

    def _dial_failed(self, dial: Dial[K, R], opened: list[R], error: BaseException) -> None:
        with self._lock:
            origin, waiter = dial.origin, dial.waiter
            if not dial.admitted:
                self._after.extend((self._close, resource, Discard.BROKEN) for resource in opened)
            if self._vacate(dial):
                origin.tally.failed += 1
                self._back_off(origin)
            if dial.errand is not None:
                dial.errand.done(error)
                dial.errand = None
            if waiter is not None and not waiter.gone:
                waiter.error = error
                self._release_waiter(waiter)
            self._serve(origin)

    def warm(self, key: K, count: int, *, connect: float | None = None) -> int:
        """Open ``count`` more connections to ``key`` in parallel, as far as the limits leave room, and wait for them.

        Args:
            connect: seconds they may take; None for ever. Those that take longer become idle when they are ready.

        Returns:
            How many were opened in time. Why others were not is logged.

        Raises:
            ClientClosed: the pool is closed.
        """
        errand = Errand()
        dials: list[Dial[K, R]] = []

        def claim() -> None:
            if self._closed:
                raise closed_error()
            origin = self._origins.get(key) or self._origins.setdefault(key, Origin(key))
            self._claim_for_idle(origin, count, errand, dials)
            self._forget_if_unused(origin)

        self._dial_for_nobody(claim, dials, connect)
        if dials:
            errand.event.wait(connect)
        for error in errand.errors[:3]:
            log.warning("%s: a connection could not be opened in advance: %s", key, error)
        return errand.opened

    # -- give back -----------------------------------------------------------------------------------------------------

    def _give_back(self, lease: Lease[K, R], keep_for: float | None, uses_left: int | None) -> None:
        with self._lock:
            entry = lease._entry
            if entry is None or entry.gone:
                return
            uses = entry.uses
            try:
                lease._entry = None
                entry.purpose = entry.where = None
                now = self._clock()
                entry.origin.tally.count_lease(now - entry.lent_at, now, uses)
                reason = self._reason_to_retire(entry, keep_for, uses_left, now)
                if reason is not None:
                    self._drop_leased(entry, reason)
                    self._serve(entry.origin)
                elif entry.origin.waiting or self._starved:
                    self._offer(entry, keep_for)
                else:
                    self._make_idle(entry, now, keep_for)
            except BaseException:
                self._mend(entry, uses)
                raise
        if self._watch is None and now >= self._sweep_at:
            self._sweep_at = now + upkeep.PERIOD
            self.sweep(now)
        elif self._after:
            self._tidy()

    def _reason_to_retire(
        self, entry: Entry[K, R], keep_for: float | None, uses_left: int | None, now: float
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

    def _throw_away(self, lease: Lease[K, R], reason: Discard) -> None:
        with self._lock:
            entry = lease._entry
            if entry is None or entry.gone:
                return
            try:
                lease._entry = None
                self._end_lease(entry, reason)
            except BaseException:
                self._mend(entry)
                raise
        self._tidy()

    # -- after the lock ------------------------------------------------------------------------------------------------

    def _tidy(self) -> None:
        """Without the lock: do what was decided under it. If something interrupts, the next one goes on."""
        while self._after:
            try:
                action = self._after.popleft()
            except IndexError:  # pragma: no cover - another thread was faster
                return
            try:
                action[0](*action[1:])
            except KeyboardInterrupt:
                self._after.appendleft(action)  # closing twice is harmless, not closing is not
                raise

    def _leaked(self, entry: Entry[K, R]) -> None:
        """Called by a finalizer: perhaps inside a garbage collection in a thread that holds the lock."""
        self._after.append((self._reap, entry))
        if self._lock.locked():
            return  # by this thread or another: whoever it is looks at what is noted after letting go
        harmless = (self._reap, self._close_entry, self._close)
        others = []
        try:
            while self._after:
                try:
                    action = self._after.popleft()
                except IndexError:  # pragma: no cover - another thread was faster
                    break
                if action[0] in harmless:
                    action[0](*action[1:])
                else:
                    others.append(action)  # a callback may want a lock that this very thread holds
        finally:
            self._after.extend(others)

    def _reap(self, entry: Entry[K, R]) -> None:
        with self._lock:
            if entry.gone:
                return
            try:
                entry.origin.tally.leaks += 1
                where, purpose = entry.where, entry.purpose
                self._end_lease(entry, Discard.LEAKED)
                self._after.append((self._announce_leak, entry.origin.key, purpose, where))
            except BaseException:
                self._mend(entry)
                raise

    def _announce_leak(self, key: K, purpose: Any, where: tuple[str, int] | None) -> None:
        what = str(key) if purpose is None else self._describe(purpose)
        self._announce("leaked", key, text=messages.leak_text(what, where), warn=True)

    # -- upkeep --------------------------------------------------------------------------------------------------------

    def sweep(self, now: float) -> float | None:
        """Do what is due: close idle connections that are too old or half-closed, refill, look for leaks and saturation.

        Returns:
            Seconds until there is something to do again, None if there is nothing to watch any more.
        """
        self._news.refresh()
        delay = upkeep.sweep(self, now)
        self._tidy()
        return delay

    def count_resent(self, key: K, reason: Any) -> None:
        """A request to ``key`` is sent again. ``reason``: an enum member; its value is the name it is counted under."""
        with self._lock:
            origin = self._origins.get(key)
            tally = self._past if origin is None else origin.tally
            tally.resent[reason.value] += 1
            self._note_event("resent", key, reason=reason.value)
        self._tidy()

    def on_event(self, callback: Callable[[PoolEvent], object]) -> Callable[[], None]:
        """Call ``callback`` with every ``PoolEvent`` from now on; the function returned ends that."""
        return self._news.add(callback)

    def close_idle(self) -> int:
        """Close every idle connection; how many there were. Those in use stay."""
        with self._lock:
            idle = list(self._idle)
            try:
                for entry in idle:
                    self._drop_idle(entry, Discard.CLIENT_CLOSED)
            except BaseException:
                self._mend(None)
                raise
        self._tidy()
        return len(idle)

    def close(self) -> None:
        """Close the pool: idle connections at once; whoever waits, or reads from a leased one, gets an error. Idempotent.

        A signal handler may call it: what it has interrupted is finished first, and then the pool is closed by another thread.
        """
        if not self._lock.acquire(timeout=LONGEST_MOVE):
            threading.Thread(target=self.close, name="holdfast-close").start()
            return
        self._lock.release()
        with self._lock:
            self._closed = True
            try:
                for origin in list(self._origins.values()):
                    self._refuse(origin)
            except BaseException:
                self._mend(None)
                raise
            leased = [entry.resource for entry in self._leased]
        self.close_idle()
        if self._interrupt is not None:
            for resource in leased:
                self._interrupt(resource)
        if self._watched and self._watch is not None:  # as of now: it may have had its last sweep meanwhile
            self._watch(self)  # to see that there is nothing left

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed

    def stats(self) -> PoolStats:
        """What the pool holds and has done, as of now."""
        with self._lock:
            whole = self._past.copy()
            origins = list(self._origins.values())
        rows: list[tuple[K, OriginStats]] = []
        for first in range(0, len(origins), ORIGINS_AT_ONCE):
            with self._lock:
                for origin in origins[first : first + ORIGINS_AT_ONCE]:
                    rows.append((origin.key, self._row(origin)))
                    whole.absorb(origin.tally)
        with self._lock:
            dialling = self._open - len(self._leased) - len(self._idle)
            gauges = (len(self._leased), len(self._idle), dialling, sum(row.waiting for _, row in rows))
            total = OriginStats.of("*", gauges, self.limits.max_connections, whole, self._clock())
        self._tidy()
        return PoolStats(total, tuple(row.named(str(key)) for key, row in rows))

    def _row(self, origin: Origin[K, R]) -> OriginStats:
        gauges = (origin.leased, len(origin.idle), len(origin.dials), len(origin.queued))
        # Without a name: the key's __str__ must not run under the lock.
        return OriginStats.of("", gauges, self.limits.max_connections_per_origin, origin.tally, self._clock())

    def advise(self) -> tuple[OriginAdvice, ...]:
        """Per origin: how many connections the measured load needs, what that rests on, and what to change."""
        return advise(self.stats(), self.limits)

    def __repr__(self) -> str:
        with self._lock:
            leased, idle, waiting = len(self._leased), len(self._idle), sum(len(o.queued) for o in self._origins.values())
            state = "closed" if self._closed else f"{leased} active, {idle} idle, {self._open} open, {waiting} waiting"
        return f"<Pool: {state}>"

    def __del__(self) -> None:
        # Nobody else has it: what is idle would otherwise be left to the garbage collector, with a warning each.
        for entry in getattr(self, "_idle", ()):
            self._close(entry.resource, Discard.CLIENT_CLOSED)

    def _after_fork_in_child(self) -> None:
        """Forget the parent's connections without a byte on them. The parent's lock may be held by a thread not here."""
        # list(): a finalizer may append to it at any moment.
        doomed = [action[1] for action in list(self._after) if action[0] == self._close_entry]
        inherited = [*(entry for entry in (*self._idle, *self._leased) if not entry.gone), *doomed]
        closed = self._closed
        self._reset()
        self._closed = closed
        self._news.renew_lock()
        for entry in inherited:
            entry.gone = True
            self._close(entry.resource, Discard.FORKED)


def _after_fork_in_child() -> None:
    for pool in list(_pools):
        pool._after_fork_in_child()


def _at_exit() -> None:
    """What is idle is closed in peace. The pools stay usable: other exit handlers may have something to send."""
    for pool in list(_pools):
        pool.close_idle()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(_at_exit)

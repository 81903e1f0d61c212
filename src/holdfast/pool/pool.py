"""Pool: connections of any kind, kept by key, each with exactly one owner at every moment.

``PoolState`` decides; this is its driver for threads. It takes the lock, waits, runs dials in threads of their own, does what
was deferred, and knows about forks and the end of the process.

Laws:

1. One lock. It guards the ``PoolState``, its origins, connections, waiters and dials. Nothing that can block or call back runs
   under it: no connect, probe, close, callback or log line. What is to be done is noted in ``deferred`` under the lock and done
   after it, by the thread that comes first.
2. Hand-over, not wake-and-race. A connection or a slot is given to a waiter under the lock; a waiter that gave up before that is
   no longer in line to be given anything.
3. A dial runs in a thread of its own and belongs to its slot, not to the waiter that asked for it: the waiter takes whichever comes
   first, its own dial or a connection that is given back, and may leave on time even if ``connect`` hangs. But where no connection
   to its key is in use or being opened, none can come first; if ``connect`` keeps to its time, the waiter's own thread dials then.
   What others give back meanwhile is for others.
4. Acquire and release are O(1), whatever the number of origins, connections and waiters.
5. Whatever is taken has an owner before it is taken: the Lease is made first. So an exception at any line (a KeyboardInterrupt may
   strike at all of them) loses no slot: outside the lock the Lease gives back, under it ``PoolState.repair`` counts anew.

A lease dropped without release or discard gives its slot back from its finalizer. A finalizer may run anywhere, even in a thread
that holds the lock, so it only notes the lease if the lock is held; the thread that holds it looks at the notes after letting go.
"""

from __future__ import annotations

import atexit
import sys
import threading
import weakref
from collections.abc import Callable, Mapping
from contextvars import copy_context
from dataclasses import replace
from functools import partial
from threading import get_ident
from typing import TYPE_CHECKING, Any, Generic

from .. import _fork
from .._clock import system_clock
from .._threads import start
from ..reasons import Discard
from . import deferred, messages
from .deferred import Announce
from .entries import ANY, BEGUN, CANCELLED, CLOSED, FRESH, TRUSTED, Dial, DialGroup, K, Lease, PooledConnection, R, Waiter
from .events import Announcer, PoolEvent, log, unidentified
from .lasting import look_longer
from .limits import Limits, at_random
from .state import PoolState
from .threads import ThreadWaiter, spawn_thread
from .upkeep import SWEEP_SECONDS, Upkeep
from .words import Words

if TYPE_CHECKING:
    from .advice import OriginAdvice
    from .stats import PoolStats

__all__ = ["Lease", "Limits", "Pool", "PoolEvent"]

MAX_MOVE_SECONDS = 1.0  # after so long, the lock is held by the very thread that waits for it: a signal has interrupted a move
MAX_ERRORS_LOGGED = 3  # by one warm()


def server_address(key: Any) -> Mapping[str, str | int]:
    """All that is known of a key that has only a name."""
    return {"server.address": str(key)}


_pools: weakref.WeakSet[Pool[Any, Any]] = weakref.WeakSet()


class Pool(Generic[K, R]):
    """Connections by key.

    Args:
        connect: opens one connection: ``connect(key, until)``, ``until`` on ``clock`` or None. Runs in a thread of its own, or,
            if it is ``punctual``, in that of a caller.
        probe: None if an idle connection is fit for use, else why not. Must not block.
        close: closes a connection for the reason given. Must not raise.
        interrupt: ends a leased connection's conversation from another thread, when the pool is closed. Optional.
        look: as ``probe``, but may wait some milliseconds for a verdict; asked once per origin, before the second use of a
            connection if that cannot be repeated. Optional; not asked without ``Limits.learn``.
        poll_idle: of many idle connections, those to which something seems to have happened; they are probed then. It consumes
            nothing, may be wrong, and may be given one that is in use or closed meanwhile. Optional.
        limits: see ``Limits``.
        clock: seconds, monotonic.
        spawn: runs a dial in the background; tests pass one that runs it on the spot.
        punctual: whether ``connect`` is back by ``until``, whatever happens.
        jitter: a number from 0 to 1 by which lifetimes are shortened, at most by a tenth.
        watch: called when there is something to sweep: the keeper is to call ``sweep`` from now on, until it returns None.
            Without it, the pool sweeps when it is used.
        describe: text for a lease's ``purpose``, for messages.
        identify: (method, origin) of a lease's ``purpose``, for events.
        attributes: of a key, as ``PoolStats.opentelemetry`` gives them.
        words: what the pool's sentences call things.
    """

    def __init__(
        self,
        connect: Callable[[K, float | None], R],
        probe: Callable[[R], Discard | None],
        close: Callable[[R, Discard], None],
        *,
        look: Callable[[R], Discard | None] | None = None,
        interrupt: Callable[[R], None] | None = None,
        poll_idle: Callable[[list[R]], list[R]] | None = None,
        limits: Limits | None = None,
        clock: Callable[[], float] = system_clock,
        spawn: Callable[[Callable[[], object]], object] = spawn_thread,
        punctual: bool = False,
        jitter: Callable[[], float] = at_random,
        watch: Callable[[Pool[K, R]], None] | None = None,
        describe: Callable[[Any], str] = str,
        identify: Callable[[Any], tuple[str, str]] = unidentified,
        attributes: Callable[[K], Mapping[str, str | int]] = server_address,
        words: Words | None = None,
    ) -> None:
        self._connect = connect
        self._probe = probe
        self._close = close
        self._interrupt = interrupt
        self._poll_idle = poll_idle
        self._spawn = spawn
        self._jitter = jitter
        self._watch = watch
        self._describe = describe
        self._identify = identify
        self._attributes = attributes
        self._words = words or Words()
        self._news = Announcer(clock)
        self._sweep_at = 0.0  # for a pool without a keeper
        self._state: PoolState[K, R] = PoolState(
            limits or Limits(),
            clock=clock,
            news=self._news,
            new_lock=threading.Lock,
            new_waiter=ThreadWaiter,
            dials_in_callers=punctual,
            closed_error=self._words.closed_error,
        )
        self._look = look if self.limits.learn else None
        _pools.add(self)

    @property
    def limits(self) -> Limits:
        """As given."""
        return self._state.limits

    # -- acquire -----------------------------------------------------------------------------------------------------

    def acquire(
        self,
        key: K,
        *,
        wait: float | None = None,
        connect: float | None = None,
        until: float | None = None,
        fresh: bool = False,
        repeatable: bool = True,
        purpose: Any = None,
    ) -> Lease[K, R]:
        """A connection to ``key``: the freshest idle one that passes its probe, else a new one.

        Args:
            wait: seconds to wait for room under the limits; None for ever.
            connect: seconds the dial may take; None for ever.
            until: the moment on the pool's clock by which both must be done; None for no such moment.
            fresh: only a connection that was never used.
            repeatable: what it is for can be done again on another connection, should this one have ended. If not, none is taken
                that the other end is about to close, as far as that was learned (``Limits.learn``).
            purpose: what it is for, as messages shall name it (see ``describe``).

        Raises:
            PoolTimeout: no room after ``wait`` seconds.
            ConnectTimeout: no connection after ``connect`` seconds.
            PoolClosed: the pool is closed; or what ``Words.closed_error`` makes.
            Exception: what ``connect`` raised.
        """
        lease = Lease(self, get_ident())
        state = self._state
        need = FRESH if fresh else ANY if repeatable else TRUSTED
        try:
            with state.lock:
                try:
                    waiter = state.take(lease, key, need, purpose)
                except BaseException:
                    state.repair(lease.held)
                    raise
            while True:
                if state.deferred:
                    self._run_deferred()
                if waiter is not None:
                    self._await(waiter, wait, connect, until)
                    if lease.idle is None:
                        return lease
                verdict = self._probe(lease.resource)
                if verdict is None and (repeatable or (verdict := look_longer(lease, self._look)) is None):
                    if state.news.active:
                        self._announce(Announce("reused", key, seconds=lease.idle, purpose=purpose))
                    return lease
                with state.lock:
                    waiter = state.take_another(lease, key, need, purpose, verdict)
        except BaseException:
            with state.lock:
                state.abandon(lease)
            self._run_deferred()
            raise

    # -- waiting -------------------------------------------------------------------------------------------------------

    def _await(self, waiter: Waiter[K, R], wait: float | None, connect: float | None, until: float | None) -> None:
        """Wait for whichever comes first: a connection handed over, or the waiter's own dial."""
        assert isinstance(waiter, ThreadWaiter)
        if sys.is_finalizing():
            wait = 0.0  # there is no other thread any more that could give something back
        while waiter.dial is None and not waiter.served:
            if not waiter.sleep(self._shorter(wait, until)):
                self._check_pool_timeout(waiter, wait)
        connect = self._shorter(connect, until)
        if not waiter.served and waiter.dial is not None:
            self._start_dial(waiter.dial, None if connect is None else self._state.clock() + connect)
        while not waiter.served:
            if not waiter.sleep(connect):
                self._check_connect_timeout(waiter, connect)
        waiter.let_go()
        if waiter.error is not None:
            raise waiter.error

    def _shorter(self, seconds: float | None, until: float | None) -> float | None:
        if until is None:
            return seconds
        left = max(0.0, until - self._state.clock())
        return left if seconds is None else min(seconds, left)

    def _check_pool_timeout(self, waiter: Waiter[K, R], wait: float | None) -> None:
        state = self._state
        with state.lock:
            if waiter.dial is not None or waiter.served:
                return  # 1. its time was up; 2. another thread gave it a connection or a slot; 3. it got the lock: just in time
            shortage = messages.Shortage(state, waiter, wait)
            waiter.origin.tally.pool_timeouts += 1
            waiter.origin.tally.waits.add(shortage.waited)
            state.leave(waiter)
        error = shortage.error(self._words, self._describe)
        self._announce(Announce("exhausted", waiter.origin.key, "", shortage.waited, str(error), True, waiter.purpose))
        raise error

    def _check_connect_timeout(self, waiter: Waiter[K, R], connect: float | None) -> None:
        state = self._state
        with state.lock:
            if waiter.served:
                return  # 1. its time was up; 2. its dial ended, or another thread gave back; 3. it got the lock: just in time
            state.leave(waiter)
        raise messages.connect_timeout(waiter.origin.key, connect, self._words)

    # -- dialling ------------------------------------------------------------------------------------------------------

    def _start_dial(self, dial: Dial[K, R], until: float | None) -> None:
        dial.until = until
        if not dial.in_caller:
            self._spawn(partial(copy_context().run, self._dial, dial))  # connect may ask the caller's contextvars
            return
        error = self._dial(dial)
        if error is not None and not isinstance(error, Exception):
            raise error  # Ctrl-C is this thread's, even if it struck when the dial was over and its waiter served

    def _dial_for_idle(self, claim: Callable[[], None], dials: list[Dial[K, R]], seconds: float | None) -> None:
        """Start the dials for which ``claim``, called under the lock, finds slots. No waiter waits for one whose start fails."""
        state = self._state
        try:
            with state.lock, state.repairing():
                claim()
            until = None if seconds is None else state.clock() + seconds
            for dial in dials:
                self._start_dial(dial, until)
        except BaseException:
            with state.lock:
                state.call_off(dials)
            self._run_deferred()
            raise

    def _dial(self, dial: Dial[K, R]) -> BaseException | None:
        """Open a connection in a slot already claimed. The waiter that asked gets it, else the next in line; else it is idle.

        Returns the error, if it failed.
        """
        state, failure = self._state, None
        opened: list[R] = []
        try:
            with state.lock:
                if dial.state is CANCELLED:
                    return None  # 1. its thread was started; 2. its waiter was given another connection; 3. the thread ran
                dial.state = BEGUN
            opened.append(self._connect(dial.origin.key, dial.until))
            jitter = 0.0 if state.limits.max_lifetime is None else self._jitter()
            with state.lock:
                state.admit(dial, opened[0], jitter, self._watch is not None)
        except BaseException as error:  # noqa: BLE001 - it belongs to the waiter, in whose thread it is raised
            failure = error
            with state.lock:
                state.fail(dial, opened, error)
        if state.deferred:
            self._run_deferred()
        return failure

    def warm(self, key: K, count: int, *, connect: float | None = None) -> int:
        """Open ``count`` more connections to ``key`` in parallel, as far as the limits leave room, and wait for them.

        Args:
            connect: seconds they may take; None for ever. Those that take longer become idle when they are ready.

        Returns:
            How many were opened in time. Why others were not is logged.

        Raises:
            PoolClosed: the pool is closed; or what ``Words.closed_error`` makes.
        """
        ended = threading.Event()
        group = DialGroup(ended.set)
        dials: list[Dial[K, R]] = []
        self._dial_for_idle(lambda: self._state.claim_for_warming(key, count, group, dials), dials, connect)
        if dials:
            ended.wait(connect)
        for error in group.errors[:MAX_ERRORS_LOGGED]:
            log.warning("%s: a connection could not be opened in advance: %s", key, error)
        return group.opened

    # -- give back -----------------------------------------------------------------------------------------------------

    def give_back(self, lease: Lease[K, R], keep_for: float | None, uses_left: int | None) -> None:
        """For ``Lease.release``."""
        state = self._state
        with state.lock:
            connection = lease.held
            if connection is None or connection.state is CLOSED:
                return
            uses = connection.uses
            try:
                lease.held = None
                connection.purpose = connection.where = None
                lease.returned_at = now = state.clock()
                origin = connection.origin
                origin.tally.count_lease(now - connection.lent_at, now, uses)
                if origin.learned is not None:
                    state.saw_served(origin, origin.learned, lease.idle, uses)
                reason = Discard.CLIENT_CLOSED if state.closed else connection.worn_out(keep_for, uses_left, now)
                if reason is not None:
                    state.drop_leased(connection, reason)
                    state.serve(origin)
                else:
                    state.rest(connection, now, keep_for)
                    if origin.waiting or state.starved:
                        state.offer(connection)
                    else:
                        state.put_idle(connection)
            except BaseException:
                state.repair(connection, uses)
                raise
        if self._watch is None and now >= self._sweep_at:
            self._sweep_at = now + SWEEP_SECONDS
            self.sweep(now)
        elif state.deferred:
            self._run_deferred()

    def throw_away(self, lease: Lease[K, R], reason: Discard) -> None:
        """For ``Lease.discard``."""
        state = self._state
        with state.lock:
            connection = lease.held
            if connection is None or connection.state is CLOSED:
                return
            try:
                lease.held = None
                lease.returned_at = state.clock()
                state.end_lease(connection, reason, lease.idle)
            except BaseException:
                state.repair(connection)
                raise
        self._run_deferred()

    def take_back_leaked(self, connection: PooledConnection[K, R]) -> None:
        """For ``Lease.__del__``."""
        self._do_in_finalizer(deferred.Reap(connection))

    def trim_in_finalizer(self, key: K, keep: int) -> None:
        """``close_idle`` for a finalizer of whatever owns ``key``, which may run where that would wait for itself."""
        self._do_in_finalizer(deferred.Trim(key, keep))

    def _do_in_finalizer(self, action: deferred.Action) -> None:
        """Perhaps inside a garbage collection in a thread that holds the lock: then the thread does it after letting go."""
        state = self._state
        state.deferred.append(action)
        if state.lock.locked():
            return  # by this thread or another, which does what is deferred after letting go
        others = []
        try:
            while state.deferred:
                try:
                    action = state.deferred.popleft()
                except IndexError:  # pragma: no cover - another thread was faster
                    break
                if isinstance(action, deferred.DONE_IN_FINALIZERS):
                    self._run(action)
                else:
                    others.append(action)  # a callback may want a lock that this very thread holds
        finally:
            state.deferred.extend(others)

    def leak_warning(self, connection: PooledConnection[K, R]) -> str:
        """For ``Lease.__del__``."""
        what = self._what(connection.origin.key, connection.purpose)
        return messages.leaked(what, connection.where, self._words)

    # -- without the lock ----------------------------------------------------------------------------------------------

    def _run_deferred(self) -> None:
        """Do what was decided under the lock. If an exception interrupts one action, the next thread goes on with it."""
        state = self._state
        while state.deferred:  # looked up each time: an action may fork, and the child has another
            try:
                action = state.deferred.popleft()
            except IndexError:  # pragma: no cover - another thread was faster
                return
            try:
                self._run(action)
            except KeyboardInterrupt:
                state.deferred.appendleft(action)  # closing twice is harmless, not closing is not
                raise

    def _run(self, action: deferred.Action) -> None:
        RUN[type(action)](self, action)

    def _run_close(self, action: deferred.Close) -> None:
        self._close(action.resource, action.reason)

    def _run_reap(self, action: deferred.Reap) -> None:
        with self._state.lock:
            self._state.reap(action.connection)

    def _run_trim(self, action: deferred.Trim) -> None:
        self._drop_idle(action.key, action.keep)

    def _run_announce_wait(self, action: deferred.AnnounceWait) -> None:
        text = messages.slow_wait(self._words) if action.slow else ""
        self._announce(Announce("waited", action.key, "", action.seconds, text, action.slow, action.purpose))

    def _run_announce_leak(self, action: deferred.AnnounceLeak) -> None:
        text = messages.leaked(self._what(action.key, action.purpose), action.where, self._words)
        self._announce(Announce("leaked", action.key, text=text, warn=True, purpose=action.purpose))

    def _run_watch(self, _: deferred.Watch) -> None:
        if self._watch is not None:
            self._watch(self)

    def _what(self, key: K, purpose: Any) -> str:
        return str(key) if purpose is None else self._describe(purpose)

    def _announce(self, action: Announce) -> None:
        kind, key, reason, seconds, text, warn, purpose = action
        if warn or self._news.active:
            name = "*" if key is None else str(key)
            request = ("", "") if purpose is None else self._identify(purpose)
            self._news.announce(PoolEvent(kind, name, reason, seconds, text, *request), warn=warn)

    # -- upkeep --------------------------------------------------------------------------------------------------------

    def sweep(self, now: float) -> float | None:
        """Do what is due: close idle connections that are too old or half-closed, refill, look for leaks and saturation.

        Returns:
            Seconds until there is something to do again, None if there is nothing to watch any more.
        """
        self._news.refresh()
        upkeep = Upkeep(
            self._state,
            self,
            probe=self._probe,
            poll_idle=self._poll_idle,
            describe=self._describe,
            words=self._words,
            start_dials=self._dial_for_idle,
        )
        delay = upkeep.sweep(now)
        self._run_deferred()
        return delay

    def count_repeat(self, key: K, reason: Any, purpose: Any = None) -> None:
        """What failed on a connection to ``key`` is done again on another.

        Args:
            reason: an enum member; its value is the name it is counted under (``OriginStats.resent``).
            purpose: what it is, as in ``acquire``.
        """
        state = self._state
        with state.lock:
            origin = state.origins.get(key)
            tally = state.past if origin is None else origin.tally
            tally.resent[reason.value] += 1
            state.note_event("resent", key, reason=reason.value, purpose=purpose)
        self._run_deferred()

    def on_event(self, callback: Callable[[PoolEvent], object]) -> Callable[[], None]:
        """Call ``callback`` with every ``PoolEvent`` from now on; the function returned ends that."""
        return self._news.add(callback)

    # -- the end -------------------------------------------------------------------------------------------------------

    def close_idle(self, key: K | None = None, keep: int = 0) -> int:
        """Close every idle connection; how many there were. Those in use stay.

        Args:
            key: only connections to this one; None for all.
            keep: so many stay, the freshest.
        """
        dropped = self._drop_idle(key, keep)
        self._run_deferred()
        return dropped

    def _drop_idle(self, key: K | None, keep: int) -> int:
        state = self._state
        with state.lock, state.repairing():
            origin = None if key is None else state.origins.get(key)
            idle = list(state.idle) if key is None else [] if origin is None else list(origin.idle)
            idle = idle[: max(0, len(idle) - keep)]
            for connection in idle:
                state.drop_idle(connection, Discard.CLIENT_CLOSED)
        return len(idle)

    def keep_none(self) -> None:
        """Close every idle connection now, and from now on each leased one as soon as it is given back."""
        state = self._state
        state.limits = replace(state.limits, min_idle_connections=0, max_idle_connections=0, max_idle_per_origin=0)
        self.close_idle()

    def close(self) -> None:
        """Close the pool: idle connections at once; all who wait, or read from a leased one, get an error. Idempotent.

        A signal handler may call it: the move it has interrupted is finished first, and then another thread closes the pool.
        """
        state = self._state
        if not state.lock.acquire(timeout=MAX_MOVE_SECONDS):
            start(threading.Thread(target=self.close, name="holdfast-close"))
            return
        state.lock.release()
        with state.lock:
            leased = state.close()
        self.close_idle()
        if self._interrupt is not None:
            for connection in leased:
                self._interrupt(connection.resource)
        if state.watched and self._watch is not None:  # as of now: it may have had its last sweep meanwhile
            self._watch(self)  # to see that there is nothing left

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._state.closed

    def __del__(self) -> None:
        # Otherwise the garbage collector would close the idle connections, with a warning each.
        for connection in getattr(getattr(self, "_state", None), "idle", ()):
            self._close(connection.resource, Discard.CLIENT_CLOSED)

    def forget_inherited(self) -> None:
        """In a forked child, whose lock a missing thread may hold: forget the parent's connections, without a byte on them."""
        state = self._state
        # list(): a finalizer may append to it at any moment.
        doomed = [action.resource for action in list(state.deferred) if isinstance(action, deferred.Close)]
        inherited = [connection for connection in (*state.idle, *state.leased) if connection.state is not CLOSED]
        state.reset()
        self._sweep_at = 0.0
        self._news.renew_lock()
        for connection in inherited:
            connection.state = CLOSED
        for resource in (*(connection.resource for connection in inherited), *doomed):
            self._close(resource, Discard.FORKED)

    def watch_again(self) -> None:
        """In the parent of a forked child: ask to be swept from now on, at the next use, if that was asked for before."""
        if self._state.watched:
            self._state.deferred.append(deferred.Watch())

    # -- figures -------------------------------------------------------------------------------------------------------

    def stats(self) -> PoolStats:
        """What the pool holds and has done, as of now."""
        from .figures import snapshot

        stats = snapshot(self._state, self._attributes)
        self._run_deferred()
        return stats

    def advise(self) -> tuple[OriginAdvice, ...]:
        """Per origin: how many connections the measured load needs, what that rests on, and what to change."""
        from .advice import advise

        return advise(self.stats(), self.limits, self._words)

    def __repr__(self) -> str:
        state = self._state
        with state.lock:
            leased, idle, waiting = len(state.leased), len(state.idle), sum(len(o.queued) for o in state.origins.values())
            said = "closed" if state.closed else f"{leased} active, {idle} idle, {state.open} open, {waiting} waiting"
        return f"<Pool: {said}>"


RUN: dict[type[deferred.Action], Callable[[Pool[Any, Any], Any], None]] = {
    deferred.Close: Pool._run_close,
    deferred.Reap: Pool._run_reap,
    deferred.Trim: Pool._run_trim,
    Announce: Pool._announce,
    deferred.AnnounceWait: Pool._run_announce_wait,
    deferred.AnnounceLeak: Pool._run_announce_leak,
    deferred.Watch: Pool._run_watch,
}
"""How each deferred action is done."""


def _forget_inherited() -> None:
    for pool in list(_pools):
        pool.forget_inherited()


def _watch_again() -> None:
    """In the parent: the keeper has ended for the fork, and may need to be asked to go on. The next use of the pool does that."""
    for pool in list(_pools):
        pool.watch_again()


def _at_exit() -> None:
    """Close idle connections properly. The pools stay usable: other exit handlers may have something to send."""
    for pool in list(_pools):
        pool.close_idle()


_fork.after_in_parent(_watch_again)
_fork.after_in_child(_forget_inherited)
atexit.register(_at_exit)

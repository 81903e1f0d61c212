"""Keeper: one daemon thread per process that calls ``sweep`` of every watched pool when it is due.

Guarantees: it starts with the first pool to be watched and ends when none is left; it holds pools by weak references only,
except during a sweep. It never keeps an interpreter alive (daemon), and sleeps between sweeps, a second or so if there are idle
connections.

Around a fork it ends, and starts again in the parent: CPython 3.12 and later warn of every fork of a process that has threads.
If a sweep takes longer than ``MAX_FORK_WAIT_SECONDS``, the fork does not wait for it. Some versions count a thread that starts
right after the fork as one that was there: with these the keeper comes back when one of the pools is used next. A child process
begins without a keeper, and its pools ask for one when they open a connection.

It ends with the functions of ``atexit``, before the interpreter takes its modules apart.

What it assumes: ``sweep(now)`` does not block for long and returns seconds, or None when the pool needs no more sweeps.
"""

from __future__ import annotations

import atexit
import sys
import threading
import weakref
from collections.abc import Callable
from functools import partial
from typing import Protocol

from .. import _fork
from .._clock import system_clock
from .._threads import daemon_thread, start, wait_for_end
from .events import log

FIRST_SWEEP_SECONDS = 1.0  # from the first connection of a pool to the first look at it
MIN_SWEEP_SECONDS = 0.05  # between two sweeps of one pool, even if it asks for less
SWEEP_TOGETHER_SECONDS = 0.2  # sweeps due within this time are done in one go
MAX_SLEEP_SECONDS = 1.0  # a pool that is dropped gives no notice: look again so often
RETRY_SECONDS = 60.0  # after a sweep that has raised
MAX_FORK_WAIT_SECONDS = 1.0

# CPython issue 137109: these count the threads when the functions registered for after the fork have run.
COUNTED_AFTER_FORK = (3, 13) <= sys.version_info < (3, 13, 10) or (3, 14) <= sys.version_info < (3, 14, 1)


class Sweepable(Protocol):
    """A pool, as far as the keeper is concerned."""

    def sweep(self, now: float) -> float | None: ...


class Keeper:
    """Sweeps the pools it was told to watch. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = system_clock) -> None:
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """Begin anew, as in a forked child, where neither the thread exists nor those that held the lock."""
        self._made: list[threading.Condition] = []
        # Guarded by the condition's lock, under which no pool is touched.
        self._due: weakref.WeakKeyDictionary[Sweepable, float] = weakref.WeakKeyDictionary()
        self._thread: threading.Thread | None = None
        self._turn = 0  # of the last thread that was started
        self._forks = 0  # under way: until they are over, no thread is started

    @property
    def _condition(self) -> threading.Condition:
        """Made when it is needed: gevent and eventlet may replace the locks after this module was imported.

        Its lock is re-entrant: a signal handler may close a pool, or fork, in the middle of ``watch``.
        """
        if not self._made:
            self._made.append(threading.Condition(threading.RLock()))
        return self._made[0]  # the first, if two threads have each made one

    def watch(self, pool: Sweepable) -> None:
        """Sweep ``pool`` from now on, until its ``sweep`` returns None or it is dropped; at once if it is watched already."""
        with self._condition:
            self._due[pool] = 0.0 if pool in self._due else self._clock() + FIRST_SWEEP_SECONDS
            if self._thread is not None:
                self._condition.notify()
            else:
                self._start()

    def _start(self) -> None:
        """Under the lock. Without a thread to be had, the pools are swept when the next one asks to be watched."""
        if self._forks:
            return
        self._turn += 1
        thread = daemon_thread("holdfast-keeper", partial(self._run, self._turn))
        if thread is None:
            return
        try:
            self._thread = thread
            start(thread)
        finally:  # a Ctrl-C, too, may have come before it began; if it begins all the same, its turn is over when another's comes
            if thread.ident is None:
                self._thread = None

    @property
    def running(self) -> bool:
        """Whether the thread is there."""
        return self._thread is not None

    # -- the thread ----------------------------------------------------------------------------------------------------

    def _run(self, turn: int) -> None:
        while self._wait(turn):
            for pool in self._take_due():
                self._sweep(pool)
                del pool  # or it would be kept alive until the next round

    def _wait(self, turn: int) -> bool:
        """Sleep until a sweep is due; False, and no thread any more, when no pool is left or the process is about to fork."""
        with self._condition:
            while turn == self._turn:
                moments = list(self._due.values())
                if not moments or self._forks:
                    self._thread = None
                    return False
                left = min(moments) - self._clock()
                if left <= 0:
                    return True
                self._condition.wait(min(left, MAX_SLEEP_SECONDS))
            return False

    def _take_due(self) -> list[Sweepable]:
        with self._condition:
            until = self._clock() + SWEEP_TOGETHER_SECONDS
            due = [pool for pool, moment in self._due.items() if moment <= until]
            for pool in due:
                self._due[pool] = float("inf")
        return due

    def _sweep(self, pool: Sweepable) -> None:
        try:
            delay = pool.sweep(self._clock())
        except Exception:  # noqa: BLE001 - it is logged, by a logger that ruff does not know for one
            log.exception("the upkeep of %r failed", pool)
            delay = RETRY_SECONDS
        with self._condition:
            if self._due.get(pool) != float("inf"):
                return  # it has asked again meanwhile
            if delay is None:
                del self._due[pool]
            else:
                self._due[pool] = self._clock() + max(delay, MIN_SWEEP_SECONDS)

    # -- around a fork -------------------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Before a fork, and at exit: end the thread, and wait for that, unless it takes too long or is the thread that forks."""
        thread = self._thread
        if thread is threading.current_thread():
            return
        with self._condition:
            self._forks += 1
            self._condition.notify()
        if thread is not None:
            wait_for_end(thread, MAX_FORK_WAIT_SECONDS, self._clock)

    def resume(self) -> None:
        """In the parent, after the fork."""
        with self._condition:
            self._forks = max(0, self._forks - 1)
            if self._thread is None and self._due and not COUNTED_AFTER_FORK:
                self._start()


keeper = Keeper()
"""The one of this process."""

# For good: a daemon thread is stopped where it stands when the interpreter ends, and a call from a finalizer would then wait for
# a lock that it holds. Functions of atexit that run behind this one find no keeper, and need none.
atexit.register(keeper.pause)
_fork.before(keeper.pause)
_fork.after_in_parent(keeper.resume)
_fork.after_in_child(keeper.reset)

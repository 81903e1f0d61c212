"""Keeper: one daemon thread per process that calls ``sweep`` of every watched pool when it is due.

Guarantees: it starts with the first pool to be watched and ends when none is left; it holds pools by weak references only, except
during a sweep; a child process after a fork begins without one, and its pools ask for another when they open a
connection. It never keeps an interpreter alive (daemon), and sleeps between sweeps, a second or so if there are idle connections.

What it assumes: ``sweep(now)`` does not block for long and returns seconds, or None when the pool needs no more sweeps.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import Protocol

log = logging.getLogger("holdfast.pool")

FIRST = 1.0  # seconds from the first connection of a pool to the first look at it
SHORTEST = 0.05  # seconds between two sweeps of one pool, whatever it says
TOGETHER = 0.2  # sweeps due within so many seconds are done in one go


class Sweepable(Protocol):
    """What is watched."""

    def sweep(self, now: float) -> float | None: ...


class Keeper:
    """Sweeps what it is told to watch. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._reset()

    def _reset(self) -> None:
        self._condition = threading.Condition(threading.Lock())
        # Guarded by the condition's lock, under which no pool is touched.
        self._due: weakref.WeakKeyDictionary[Sweepable, float] = weakref.WeakKeyDictionary()
        self._thread: threading.Thread | None = None

    def watch(self, pool: Sweepable) -> None:
        """Sweep ``pool`` from now on, until its ``sweep`` returns None or it is gone; at once if it is watched already."""
        with self._condition:
            self._due[pool] = 0.0 if pool in self._due else self._clock() + FIRST
            if self._thread is not None:
                self._condition.notify()
                return
            self._thread = threading.Thread(target=self._run, name="holdfast-keeper", daemon=True)
            try:
                self._thread.start()
            except RuntimeError:
                self._thread = None  # no threads left, or the interpreter is ending: the pool is swept at the next chance

    @property
    def running(self) -> bool:
        """Whether the thread is there."""
        return self._thread is not None

    def _run(self) -> None:
        while self._wait():
            for pool in self._take_due():
                self._sweep(pool)
                del pool  # or it would be kept alive until the next round

    def _wait(self) -> bool:
        """Sleep until somebody is due; False, and no thread any more, when nobody is left."""
        with self._condition:
            while True:
                moments = list(self._due.values())
                if not moments:
                    self._thread = None
                    return False
                left = min(moments) - self._clock()
                if left <= 0:
                    return True
                # A pool that is dropped gives no notice: look again now and then.
                self._condition.wait(min(left, 1.0))

    def _take_due(self) -> list[Sweepable]:
        with self._condition:
            until = self._clock() + TOGETHER
            due = [pool for pool, moment in self._due.items() if moment <= until]
            for pool in due:
                self._due[pool] = float("inf")
        return due

    def _sweep(self, pool: Sweepable) -> None:
        try:
            delay = pool.sweep(self._clock())
        except Exception:
            log.exception("the upkeep of %r failed", pool)
            delay = 60.0
        with self._condition:
            if self._due.get(pool) != float("inf"):
                return  # it has asked again meanwhile
            if delay is None:
                del self._due[pool]
            else:
                self._due[pool] = self._clock() + max(delay, SHORTEST)


keeper = Keeper()
"""The one of this process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=keeper._reset)

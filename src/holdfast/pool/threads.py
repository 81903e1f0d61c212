"""Threads of a pool: how one waits and is woken, and how a dial gets one of its own. ``PoolState`` knows none of this."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from .._threads import start_daemon
from .entries import K, Lease, Need, Origin, R, Waiter


def spawn_thread(work: Callable[[], object]) -> None:
    """Run ``work`` in a daemon thread; here and now where no thread can be had (too many, or the interpreter is ending)."""
    if not start_daemon("holdfast-dial", work):
        work()


class ThreadWaiter(Waiter[K, R]):
    """A thread that waits. Its event is a lock it holds: cheaper than threading.Event."""

    __slots__ = ("event",)

    def __init__(
        self, origin: Origin[K, R], lease: Lease[K, R], need: Need, purpose: Any, ticket: int, asked_at: float
    ) -> None:
        super().__init__(origin, lease, need, purpose, ticket, asked_at)
        self.event = threading.Lock()
        self.event.acquire()

    def wake(self) -> None:
        if self.event.locked():
            self.event.release()

    def sleep(self, seconds: float | None) -> bool:
        """Whether it was woken within ``seconds``."""
        if seconds is None:
            return self.event.acquire()
        return self.event.acquire(timeout=min(seconds, threading.TIMEOUT_MAX))

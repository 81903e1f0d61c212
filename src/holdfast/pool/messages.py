"""What a pool says when it has run out of connections: who holds them, for how long, and what to change.

Facts are copied under the pool's lock; the sentences are made after it, since they call the keys' and purposes' ``__str__``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..exceptions import PoolTimeout
from .entries import Entry, Waiter, at, calling_line

if TYPE_CHECKING:
    from .limits import Limits
    from .state import Slots

LONGEST_SHOWN = 5


class Holder:
    """Who has a connection, since when, and what for."""

    __slots__ = ("purpose", "seconds", "thread", "where")

    def __init__(self, entry: Entry[Any, Any], now: float) -> None:
        self.seconds = now - entry.lent_at
        self.purpose = entry.purpose
        self.where = entry.where
        self.thread = entry.thread

    def text(self, describe: Callable[[Any], str]) -> str:
        """``12.3 s by GET http://… (borrowed at app.py:7)``. Who is still in the call is found in its thread's stack."""
        what = "" if self.purpose is None else f" by {describe(self.purpose)}"
        if self.where is not None:
            return f"{self.seconds:.1f} s{what}{at(self.where)}"
        line = calling_line(sys._current_frames().get(self.thread))
        return f"{self.seconds:.1f} s{what}" + ("" if line is None else f" (its thread is at {line[0]}:{line[1]})")


class Shortage:
    """A waiter that has waited in vain, and what it waited for."""

    __slots__ = ("describe", "dialling", "holders", "key", "limits", "open", "origin_leased", "others", "waited")

    def __init__(self, key: Any, limits: Limits, describe: Callable[[Any], str], waited: float) -> None:
        self.key = key
        self.limits = limits
        self.describe = describe
        self.waited = waited
        self.holders: list[Holder] = []
        self.origin_leased = self.dialling = self.open = self.others = 0

    @classmethod
    def of(cls, pool: Slots[Any, Any], waiter: Waiter[Any, Any], wait: float | None) -> Shortage:
        """The facts; the caller holds the pool's lock."""
        origin, now = waiter.origin, pool._clock()
        self = cls(origin.key, pool.limits, pool._describe, now - waiter.asked_at if wait is None else wait)
        mine = pool.limits.max_connections is None or pool._origin_full(origin)
        holders = [Holder(entry, now) for entry in pool._leased if not mine or entry.origin is origin]
        self.holders = sorted(holders, key=lambda holder: -holder.seconds)
        self.origin_leased, self.dialling, self.open = origin.leased, len(origin.dials), pool._open
        self.others = len(origin.waiting) - 1
        return self

    def error(self) -> PoolTimeout:
        """One sentence of facts, the longest holders, and what to do."""
        limits = self.limits
        shown = "; ".join(holder.text(self.describe) for holder in self.holders[:LONGEST_SHOWN])
        return PoolTimeout(
            f"no connection to {self.key} free after {self.waited:g} s: {self.origin_leased} in use and {self.dialling} being "
            f"opened of at most {limits.max_connections_per_origin} per origin, {self.open} of at most "
            f"{limits.max_connections} in all, {self.others} others waiting. "
            + (f"Held longest: {shown}. " if shown else "")
            + self._advice()
        )

    def _advice(self) -> str:
        if self.holders and self.holders[0].where is not None:
            return "Read streamed responses to their end or close them, sooner; or raise the limits."
        limits = self.limits
        total_full = limits.max_connections is not None and self.open >= limits.max_connections
        name = "max_connections" if total_full else "max_connections_per_origin"
        return f"Raise Limits({name}=...), use fewer threads, or wait longer (timeouts.pool)."


def leak_text(what: str, where: tuple[str, int] | None) -> str:
    """For the event and the log."""
    return f"the response to {what} was dropped without being read or closed{at(where)}; its connection had to be closed"


def held_text(what: str, where: tuple[str, int] | None, seconds: float) -> str:
    """For ``Limits.leak_after``."""
    return f"the connection for {what} has been in use for {seconds:.1f} s{at(where)}: is its response still being read?"

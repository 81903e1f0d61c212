"""Messages: every sentence the pool says, but for those of ``advice``.

Facts are copied under the pool's lock; the sentences are made after it, since they call the keys' and purposes' ``__str__``,
which are the user's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._numbers import number_of
from ..exceptions import ConnectTimeout, PoolTimeout
from .borrower import Where, at, line_of_thread
from .entries import PooledConnection, Waiter
from .events import RECOVERED_SHARE, SATURATED_AFTER_SECONDS, SATURATED_SHARE
from .state import PoolState
from .words import Words

MAX_HOLDERS_SHOWN = 5


class Holder:
    """A lease: for how long it has its connection, what for, and who borrowed it."""

    __slots__ = ("borrower", "key", "purpose", "seconds", "where")

    def __init__(self, connection: PooledConnection[Any, Any], now: float) -> None:
        self.key = connection.origin.key
        self.seconds = now - connection.lent_at
        self.purpose = connection.purpose
        self.where = connection.where
        self.borrower = connection.borrower

    def text(self, describe: Callable[[Any], str]) -> str:
        """``12.3 s by GET http://… (borrowed at app.py:7)``, or where the borrower's thread is if it is still in its call."""
        what = "" if self.purpose is None else f" by {describe(self.purpose)}"
        if self.where is not None:
            return f"{self.seconds:.1f} s{what}{at(self.where)}"
        line = line_of_thread(self.borrower)
        return f"{self.seconds:.1f} s{what}" + ("" if line is None else f" (its thread is at {line[0]}:{line[1]})")


class Shortage:
    """A waiter that has waited in vain, and what it waited for."""

    __slots__ = ("dialling", "holders", "key", "limits", "open", "origin_leased", "others", "waited")

    def __init__(self, state: PoolState[Any, Any], waiter: Waiter[Any, Any], wait: float | None) -> None:
        """The facts; the caller holds the pool's lock."""
        origin, now, self.limits = waiter.origin, state.clock(), state.limits
        self.key = origin.key
        self.waited = now - waiter.asked_at if wait is None else wait
        of_origin = self.limits.max_connections is None or state.origin_full(origin)
        self.holders = [Holder(held, now) for held in state.leased if not of_origin or held.origin is origin]
        self.origin_leased, self.dialling, self.open = origin.leased, len(origin.dials), state.open
        self.others = len(origin.waiting) - 1

    def error(self, words: Words, describe: Callable[[Any], str]) -> PoolTimeout:
        """One sentence of facts, the longest holders, and what to do."""
        limits = self.limits
        holders = sorted(self.holders, key=lambda holder: -holder.seconds)[:MAX_HOLDERS_SHOWN]
        shown = "; ".join(holder.text(describe) for holder in holders)
        return PoolTimeout(
            f"no connection to {self.key} free after {self.waited:g} s: {self.origin_leased} in use and {self.dialling} being "
            f"opened of at most {limits.max_connections_per_origin} per origin, {self.open} of at most "
            f"{limits.max_connections} in all, {number_of(self.others, 'other')} waiting. "
            + (f"Held longest: {shown}. " if shown else "")
            + self._advice(words, holders)
        )

    def _advice(self, words: Words, holders: list[Holder]) -> str:
        if holders and holders[0].where is not None:
            return f"{words.hold_less[0].upper()}{words.hold_less[1:]}; or raise the limits."
        limits = self.limits
        total_full = limits.max_connections is not None and self.open >= limits.max_connections
        name = "max_connections" if total_full else "max_connections_per_origin"
        return f"Raise Limits({name}=...), use fewer threads, or wait longer ({words.wait_setting})."


def connect_timeout(key: Any, seconds: float | None, words: Words) -> ConnectTimeout:
    """A dial has taken longer than its waiter may wait."""
    return ConnectTimeout(
        f"no connection to {key} after {seconds} s ({words.connect_setting}): {words.connect_phases} took longer"
    )


def slow_wait(words: Words) -> str:
    """What to do when there is no room for long."""
    return f"raise max_connections_per_origin (or max_connections), or {words.hold_less}"


def leaked(what: str, where: Where | None, words: Words) -> str:
    """For the event, the log and the ResourceWarning."""
    return f"the connection for {what} was dropped while in use{at(where)}; it had to be closed. {words.drop_less}"


def held(holder: Holder, what: str, words: Words) -> str:
    """For ``Limits.leak_after``."""
    where = at(holder.where or line_of_thread(holder.borrower))
    return f"the connection for {what} has been in use for {holder.seconds:.1f} s{where}: {words.held_question}"


def saturated(name: str, cap: int, words: Words) -> str:
    """``name``: the limit that nearly all connections of are in use."""
    return (
        f"more than {SATURATED_SHARE:.0%} of the connections in use for {SATURATED_AFTER_SECONDS:.0f} s: "
        f"raise {name} (now {cap}), or use fewer threads; see {words.advise_call}"
    )


def recovered() -> str:
    """After that."""
    return f"less than {RECOVERED_SHARE:.0%} of the connections are in use again"

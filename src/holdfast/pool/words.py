"""Words: what the pool's sentences call things. A program that speaks a protocol gives those of it: ``Pool(words=...)``."""

from __future__ import annotations

from collections.abc import Callable

from .._values import NamedTuple


class PoolClosed(RuntimeError):
    """The pool was closed, and lends nothing any more."""


def pool_closed() -> Exception:
    """The error of a pool whose user has no other name for it."""
    return PoolClosed("this pool was closed; create another one")


class Words(NamedTuple):
    """What the pool's sentences call things; the defaults suit connections of any kind.

    Attributes:
        uses: what one use of a connection is, in the plural.
        wait_setting: what bounds the wait for room under the limits.
        connect_setting: what bounds the opening of a connection.
        connect_phases: what may have taken that time.
        hold_less: what the program should do when connections are in use for too long; an imperative, without a full stop.
        held_question: what to ask oneself about a connection that is in use for very long.
        not_given_back: what has happened to a lease that was dropped, and to several, after their number.
        drop_less: what the program should do instead of dropping leases; a whole sentence.
        advise_call: what returns advice.
        closed_error: makes the error that a closed pool raises; called under the pool's lock.
    """

    uses: str = "uses"
    wait_setting: str = "wait"
    connect_setting: str = "connect"
    connect_phases: str = "opening one"
    hold_less: str = "give connections back sooner"
    held_question: str = "is it still needed?"
    not_given_back: tuple[str, str] = ("lease was dropped without being given back", "leases were dropped without being given back")
    drop_less: str = "Release or discard every lease."
    advise_call: str = "pool.advise()"
    closed_error: Callable[[], Exception] = pool_closed

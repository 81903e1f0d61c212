"""Deferred actions: what is decided under the pool's lock and done without it.

The state appends them; the driver does each, in order, after it has let go of the lock. They say what, not how.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from .._values import NamedTuple
from ..reasons import Discard
from .borrower import Where
from .entries import PooledConnection


class Close(NamedTuple):
    """Close what was opened. ``connection``: None for what never became one of the pool's connections."""

    resource: Any
    reason: Discard
    connection: PooledConnection[Any, Any] | None = None


class Reap(NamedTuple):
    """Take back a connection whose lease was dropped."""

    connection: PooledConnection[Any, Any]


class Trim(NamedTuple):
    """Close what is idle to ``key`` beyond ``keep`` connections: its owner was dropped."""

    key: Any
    keep: int


class Announce(NamedTuple):
    """Tell of an event. ``key``: None for all origins together."""

    kind: str
    key: Any
    reason: str = ""
    seconds: float | None = None
    text: str = ""
    warn: bool = False
    purpose: Any = None


class AnnounceWait(NamedTuple):
    """Tell that a wait for room has ended. ``slow``: it was worth a warning."""

    key: Any
    seconds: float
    slow: bool
    purpose: Any


class AnnounceLeak(NamedTuple):
    """Tell that a lease was dropped."""

    key: Any
    purpose: Any
    where: Where | None


class Watch(NamedTuple):
    """Ask the keeper to sweep the pool from now on."""


Action: TypeAlias = Close | Reap | Trim | Announce | AnnounceWait | AnnounceLeak | Watch

# A finalizer may run while its thread holds any lock. These take the pool's, which is free then, and call nothing of the user's.
DONE_IN_FINALIZERS = (Close, Reap, Trim)

"""Events: what happens to a pool, told to callbacks and to the log ``holdfast.pool``.

The pool notes an event under its lock only if ``Announcer.active`` or if the event is worth a warning, and delivers it after
letting go. Callbacks run in the thread that caused the event, or in the next one that uses the pool; what they raise is logged and
harms nothing. Never in a finalizer: that may run while its thread holds a lock the callback wants.

========= ====================================================================================================
kind      what happened
========= ====================================================================================================
opened    a connection was opened
failed    a connection could not be opened; ``reason``: the class of the error
reused    an idle connection was taken; ``seconds``: how long it had been idle
closed    a connection was closed; ``reason``: a ``Discard`` value; ``seconds``: its age
waited    a thread had to wait for room under the limits and got it; ``seconds``: how long
exhausted a thread waited in vain: PoolTimeout; ``seconds``: how long
resent    what failed on a connection was done again on another; ``reason``: why that was safe
learned   when the other end closes was learned, or proved wrong; ``reason``: ``idle`` or ``uses``; ``seconds``: of idleness
leaked    a lease was dropped without being given back
held      a connection has been in use for longer than ``Limits.leak_after``; ``seconds``: how long
saturated more than 80 % of the connections were in use for 30 s on end
recovered after that, less than 70 % are
========= ====================================================================================================
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from .._log import Log
from .._values import Value

log = Log("holdfast.pool")

SATURATED_SHARE = 0.8  # of the connections a limit allows: more than this in use, for so many seconds on end
SATURATED_AFTER_SECONDS = 30.0
RECOVERED_SHARE = 0.7
SLOW_WAIT_SECONDS = 1.0  # of waiting for room that are worth a warning
WARN_INTERVAL_SECONDS = 60.0  # between two warnings of one kind

KINDS = (
    "opened",
    "failed",
    "reused",
    "closed",
    "waited",
    "exhausted",
    "resent",
    "learned",
    "leaked",
    "held",
    "saturated",
    "recovered",
)


@dataclass(frozen=True, eq=False, repr=False)
class PoolEvent(Value):
    """Something that happened to a pool.

    Attributes:
        kind: one of those listed in ``holdfast.pool.events``.
        origin: ``https://example.com:443``; ``*`` if it concerns all origins together.
        reason: of ``closed`` and ``resent``, the value of their enum; of ``failed``, the name of a class; else empty.
        seconds: what the kind says; None where it says nothing.
        text: the event as a sentence, with advice where there is some.
        method: of the request that it happened to, such as ``GET``; empty where there is none, as when an idle connection goes.
        request_origin: of that request, as in ``origin``; another than that by way of a proxy that reads requests itself.
    """

    kind: str
    origin: str
    reason: str = ""
    seconds: float | None = None
    text: str = ""
    method: str = ""
    request_origin: str = ""

    def __str__(self) -> str:
        reason = f" ({self.reason})" if self.reason else ""
        seconds = "" if self.seconds is None else f" {self.seconds:.3f} s"
        return f"{self.origin}: {self.kind}{reason}{seconds}" + (f": {self.text}" if self.text else "")


def unidentified(_: object) -> tuple[str, str]:
    """The method and the request's origin of an event, where what connections are for has neither."""
    return "", ""


class Announcer:
    """Callbacks and the log.

    Attributes:
        active: whether there is a callback, or a log that shows all events; if not, ordinary events are not even noted.
    """

    __slots__ = ("_callbacks", "_clock", "_lock", "_suppressed", "_warned_at", "active")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._callbacks: tuple[Callable[[PoolEvent], object], ...] = ()
        self.active = False
        self.renew_lock()
        self.refresh()

    def renew_lock(self) -> None:
        """After a fork: the old one may be held by a thread that is not here."""
        self._lock = threading.Lock()
        # Guarded by the lock.
        self._warned_at: dict[str, float] = {}
        self._suppressed: dict[str, int] = {}

    def add(self, callback: Callable[[PoolEvent], object]) -> Callable[[], None]:
        """Call ``callback`` with every event from now on; the function returned ends that."""
        if not callable(callback):
            raise TypeError(f"on_event({callback!r}): expected a callable that takes a PoolEvent")
        told = partial(callback)  # equal to nothing else: of two callbacks that are, each is ended by its own function alone
        with self._lock:
            self._callbacks = (*self._callbacks, told)
        self.refresh()
        return lambda: self._remove(told)

    def _remove(self, callback: Callable[[PoolEvent], object]) -> None:
        with self._lock:
            kept = list(self._callbacks)
            if callback in kept:
                kept.remove(callback)
            self._callbacks = tuple(kept)
        self.refresh()

    def refresh(self) -> None:
        """Find out anew whether it is active: the level of a logger may change at any time."""
        self.active = bool(self._callbacks) or log.shows_all()

    def announce(self, event: PoolEvent, *, warn: bool = False) -> None:
        """Tell the callbacks and the log. One warning of a kind is logged per minute; the next says how many were left out."""
        for callback in self._callbacks:
            try:
                callback(event)
            except Exception:
                log.exception("a callback given to on_event failed on %s", event)
        left_out = self._may_warn(event.kind) if warn else None
        if left_out is None:
            log.debug("%s", event)
        elif left_out:
            log.warning("%s (%d more like this in the last minutes)", event, left_out)
        else:
            log.warning("%s", event)

    def _may_warn(self, kind: str) -> int | None:
        """How many warnings of this kind were left out before this one; None if this one is left out too."""
        now = self._clock()
        with self._lock:
            last = self._warned_at.get(kind)
            if last is not None and now - last < WARN_INTERVAL_SECONDS:
                self._suppressed[kind] = self._suppressed.get(kind, 0) + 1
                return None
            self._warned_at[kind] = now
            return self._suppressed.pop(kind, 0)


class Utilisation:
    """Whether so many of the slots have been in use for so long that it is worth a warning, with hysteresis."""

    __slots__ = ("saturated", "since")

    def __init__(self) -> None:
        self.saturated = False
        self.since: float | None = None

    def observe(self, share: float, now: float) -> str | None:
        """``saturated`` or ``recovered`` when it becomes so, else None."""
        if share <= SATURATED_SHARE:
            self.since = None
        elif self.since is None:
            self.since = now
        if not self.saturated and self.since is not None and now - self.since >= SATURATED_AFTER_SECONDS:
            self.saturated = True
            return "saturated"
        if self.saturated and share < RECOVERED_SHARE:
            self.saturated = False
            return "recovered"
        return None

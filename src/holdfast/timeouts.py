"""How long each phase of a call may take, and the one deadline over all of them.

``Timeouts`` is what the user says. ``Deadline`` is one call's clock: it is made when the call starts, handed
down through pool, connect, write and read, and survives redirects and retries, so that ``total`` means total.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ._values import Value

Clock = Callable[[], float]


@dataclass(frozen=True, eq=False, repr=False)
class Timeouts(Value):
    """Seconds each phase may take; None waits for ever.

    Attributes:
        connect: DNS, TCP over all addresses and the TLS handshake, together. Default 10.
        read: the whole response head, then each wait for more of the body. Default 60.
        write: each wait for the server to take more of the request. Default 60.
        pool: waiting for a connection when the limits are reached. Default 30.
        total: the whole call: waiting, connecting, sending, every byte of the body, redirects and retries.
            Default None: no bound beyond the others.
        expect: how long the body of a request with ``Expect: 100-continue`` waits for the server's 100 (RFC 9110, section
            10.1.1); then it is sent all the same. None: as long as ``read``. Default 1.

    Raises:
        ValueError: a value is not a positive, finite number or None.
    """

    connect: float | None = 10.0
    read: float | None = 60.0
    write: float | None = 60.0
    pool: float | None = 30.0
    total: float | None = None
    expect: float | None = 1.0

    def __post_init__(self) -> None:
        for name in ("connect", "read", "write", "pool", "total", "expect"):
            _check_seconds(name, getattr(self, name))

    @classmethod
    def of(cls, value: TimeoutTypes) -> Timeouts:
        """The Timeouts meant by a number (connect, read and write), a (connect, read) pair, None, or a Timeouts.

        A number keeps requests' meaning: each phase has that long, and the call as a whole has no bound.
        ``None`` means that nothing is bounded, as in requests.
        """
        if isinstance(value, cls):
            return value
        if value is None:
            return NO_TIMEOUTS
        if isinstance(value, tuple):
            if len(value) != 2:
                raise ValueError(f"timeout={value!r}: a pair is (connect, read); use holdfast.Timeouts for more")
            connect, read = value
            return cls(connect=connect, read=read, write=read, pool=_DEFAULT_POOL)
        if isinstance(value, (int, float)):
            return cls(connect=value, read=value, write=value, pool=_DEFAULT_POOL)
        raise ValueError(f"timeout={value!r}: expected seconds, a (connect, read) pair, None or holdfast.Timeouts")


def _check_seconds(name: str, value: Any) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"timeout {name}={value!r}: expected a number of seconds or None")
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"timeout {name}={value!r}: must be a positive, finite number of seconds; None waits for ever")


TimeoutTypes = float | int | tuple[float | None, float | None] | Timeouts | None
_DEFAULT_POOL = 30.0
DEFAULT_TIMEOUTS = Timeouts()
NO_TIMEOUTS = Timeouts(None, None, None, None, None)


class Deadline:
    """The end of one call, on an injected monotonic clock."""

    __slots__ = ("at", "clock", "total")

    def __init__(self, total: float | None = None, clock: Clock = time.monotonic) -> None:
        self.clock = clock
        self.total = total
        self.at = None if total is None else clock() + total

    def within(self, seconds: float | None) -> float | None:
        """The shorter of ``seconds`` and what is left of the call; None if neither has an end, never below 0."""
        if self.at is None:
            return seconds
        left = self.at - self.clock()
        if left <= 0:
            return 0.0
        return left if seconds is None or left < seconds else seconds

    def expired(self) -> bool:
        """Whether the call's total time is used up."""
        return self.at is not None and self.clock() >= self.at


"""Limits: how many connections a pool may have, and for how long. A frozen value; change it by making the next one."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from .._values import Value

NOT_ZERO = ("max_connections", "max_connections_per_origin", "max_lifetime", "max_requests", "leak_after", "unused_timeout")


@dataclass(frozen=True, eq=False, repr=False)
class Limits(Value):
    """How many connections a pool may have, and for how long.

    Attributes:
        max_connections: open at once over all origins; None for no bound. Default None.
        max_connections_per_origin: open at once to one origin; None for no bound. Default 50.
        max_idle_connections: kept idle over all origins; None for no bound. Default 100.
        max_idle_per_origin: kept idle per origin; None for no bound. Default None.
        min_idle_connections: kept ready per origin in use (used in the last five minutes), as far as the other limits
            leave room. The keeper opens them. Default 0.
        idle_timeout: seconds a connection may be idle before it is closed; None for ever. Default 55, below the 60 s
            after which common servers and load balancers close.
        unused_timeout: seconds a connection that was opened ahead of need (``min_idle_connections``, ``Pool.warm``) may wait for
            its first use before it is replaced by a new one; None for ``idle_timeout``. Default 4: of the servers measured,
            the most impatient close a connection on which nothing was ever said after 5 s, and it is looked at once a second.
        max_lifetime: seconds after which a connection is not reused, less up to 10 % chosen at random so that they do
            not all go at once; None for ever. Default None.
        max_requests: requests after which a connection is not reused; None for no bound. Default None.
        learn: whether each origin's connections teach the pool when the other end closes them, so that a use that cannot be
            repeated keeps clear of that moment. Default True.
        leak_after: seconds after which a connection still in use is logged once, with where it was borrowed; None
            never. Default None.

    Raises:
        ValueError: a bound is not positive, or two of them contradict each other.
    """

    max_connections: int | None = None
    max_connections_per_origin: int | None = 50
    max_idle_connections: int | None = 100
    max_idle_per_origin: int | None = None
    min_idle_connections: int = 0
    idle_timeout: float | None = 55.0
    max_lifetime: float | None = None
    max_requests: int | None = None
    leak_after: float | None = None
    unused_timeout: float | None = 4.0
    learn: bool = True

    def __post_init__(self) -> None:
        for name in NOT_ZERO:
            _check_bound(name, getattr(self, name), allow_zero=False)
        for name in ("max_idle_connections", "max_idle_per_origin", "min_idle_connections", "idle_timeout"):
            _check_bound(name, getattr(self, name), allow_zero=True)
        if not isinstance(self.learn, bool):
            raise ValueError(f"Limits(learn={self.learn!r}): expected True or False")
        self._check_min_idle()

    def _check_min_idle(self) -> None:
        for name in ("max_connections", "max_connections_per_origin", "max_idle_connections", "max_idle_per_origin"):
            bound = getattr(self, name)
            if bound is not None and bound < self.min_idle_connections:
                raise ValueError(
                    f"Limits(min_idle_connections={self.min_idle_connections}, {name}={bound}): so many can never be "
                    f"idle; lower min_idle_connections or raise {name}"
                )


def at_random() -> float:
    """From 0 to 1. The system's, not ``random``'s: a child after a fork has chances of its own, and there is no import to pay."""
    return int.from_bytes(os.urandom(4), "big") / 2**32


def _check_bound(name: str, value: Any, *, allow_zero: bool) -> None:
    if value is None and name != "min_idle_connections":
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        raise ValueError(f"Limits({name}={value!r}): expected a number" + (" or None" if name[:3] != "min" else ""))
    if value < 0 or (value == 0 and not allow_zero):
        raise ValueError(f"Limits({name}={value!r}): must be {'0 or more' if allow_zero else 'more than 0'}")

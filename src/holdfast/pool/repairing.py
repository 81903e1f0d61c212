"""Repairing: the context of one rare move under the pool's lock. (The common ones, acquire, release and discard, do without: it
would cost each a quarter of a microsecond.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic

from .entries import K, Lease, PooledConnection, R


class Repairing(Generic[K, R]):
    """Calls ``repair`` if an exception leaves its block: see ``PoolState.repair``.

    Attributes:
        moved: the connection that is on the move.
        uses: its ``uses`` before the move; None if it is on its way out. Both may be set as the move goes on.
        lease: what this holds when the exception strikes is thrown away too.
    """

    __slots__ = ("_repair", "lease", "moved", "uses")

    def __init__(
        self,
        repair: Callable[[PooledConnection[K, R] | None, int | None], None],
        moved: PooledConnection[K, R] | None,
        uses: int | None,
        lease: Lease[K, R] | None,
    ) -> None:
        self._repair = repair
        self.moved = moved
        self.uses = uses
        self.lease = lease

    def __enter__(self) -> Repairing[K, R]:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is not None:
            self._repair(self.moved, self.uses)
            if self.lease is not None:
                self._repair(self.lease.held, None)

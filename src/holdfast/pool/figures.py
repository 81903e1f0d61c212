"""The figures of a pool as of now: a walk over its origins that lets others have the lock in between."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .entries import K, Origin, R
from .learning import NOTHING_LEARNED
from .state import PoolState
from .stats import OriginStats, PoolStats

ORIGINS_PER_LOCK = 100  # are looked at before others may have the lock


def snapshot(state: PoolState[K, R], attributes: Callable[[K], Mapping[str, Any]]) -> PoolStats:
    """Of every origin and in all. ``attributes``: of a key, for OpenTelemetry. Takes the pool's lock, several times."""
    with state.lock:
        whole = state.past.copy()
        origins = list(state.origins.values())
    rows: list[tuple[K, OriginStats]] = []
    for first in range(0, len(origins), ORIGINS_PER_LOCK):
        with state.lock:
            for origin in origins[first : first + ORIGINS_PER_LOCK]:
                rows.append((origin.key, _row(state, origin)))
                whole.absorb(origin.tally)
    with state.lock:
        dialling = state.open - len(state.leased) - len(state.idle)
        gauges = (len(state.leased), len(state.idle), dialling, sum(row.waiting for _, row in rows))
        total = OriginStats.of("*", gauges, state.limits.max_connections, whole, state.clock())
    named = tuple(row.named(str(key)) for key, row in rows)
    return PoolStats(total, named, tuple(attributes(key) for key, _ in rows))


def _row(state: PoolState[K, R], origin: Origin[K, R]) -> OriginStats:
    """The figures of one origin, without its name: the key's ``__str__`` must not run under the lock."""
    gauges = (origin.leased, len(origin.idle), len(origin.dials), len(origin.queued))
    limit = state.limits.max_connections_per_origin
    return OriginStats.of("", gauges, limit, origin.tally, state.clock(), origin.learned or NOTHING_LEARNED)

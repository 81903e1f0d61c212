"""Statistics of many pools to one server, as one row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import fields, replace
from types import MappingProxyType
from typing import Any

from ...pool.stats import OriginStats, PoolStats

_LARGEST = frozenset(("lease_p95", "wait_max", "early_end_after"))  # there is no sum of them


def by_name(stats: PoolStats) -> PoolStats:
    """The same, with the rows of one name put together.

    Counters, gauges, rates and histograms are summed, means weighted; ``lease_p95``, ``wait_max`` and ``early_end_after`` are
    the largest of them, ``limit`` is None.
    """
    rows: dict[str, OriginStats] = {}
    for row in stats.origins:
        rows[row.origin] = _sum(rows[row.origin], row) if row.origin in rows else row
    return PoolStats(stats.total, tuple(rows.values()))


def _sum(one: OriginStats, other: OriginStats) -> OriginStats:
    values: dict[str, Any] = {}
    for field in fields(OriginStats):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, Mapping):
            values[field.name] = MappingProxyType(dict(Counter(a) + Counter(b)))
        elif field.name in _LARGEST:
            values[field.name] = max(a, b)
        elif isinstance(a, (int, float)):
            values[field.name] = a + b
    requests = values["requests"]
    values["lease_mean"] = values["lease_total"] / requests if requests else 0.0
    values["limit"] = None
    return replace(one, **values)

"""A Prometheus collector over one or more clients (``pip install 'holdfast-http[prometheus]'``).

    from prometheus_client import REGISTRY
    from holdfast.contrib.prometheus import ClientCollector

    REGISTRY.register(ClientCollector(client))

The figures are read from ``client.stats()`` at each scrape: nothing is counted twice, and nothing costs a request anything.
Every metric has the labels ``client`` (the name given here) and ``origin``. A client is held by a weak reference: one that is
dropped is no longer reported.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

if TYPE_CHECKING:
    from ..client import Client
    from ..pool.stats import OriginStats

LABELS = ("client", "origin")

GAUGES = {
    "active": "Connections in use.",
    "idle": "Connections open and unused.",
    "connecting": "Connections being opened.",
    "waiting": "Threads that wait because the limits are reached.",
    "limit": "The most connections that may be open.",
    "utilisation": "(active + connecting) / limit, from 0 to 1.",
}
COUNTERS = {
    "created": ("connections_opened", "Connections opened."),
    "connect_failures": ("connect_failures", "Attempts to open a connection that failed."),
    "reused": ("reused", "Exchanges on a connection that had carried one before."),
    "requests": ("requests", "Exchanges that ended."),
    "pool_timeouts": ("pool_timeouts", "Acquisitions that gave up waiting for a connection."),
    "leaks": ("leaks", "Responses dropped without being read or closed."),
}
BY_REASON = {
    "closed": ("connections_closed", "Connections closed, by reason."),
    "resent": ("resent", "Requests sent again, by reason."),
}


class ClientCollector:
    """Reports the pools of some clients.

    Args:
        clients: positional ones are named ``default``, ``2``, ``3``, ... in the label ``client``; keywords by their names.
        prefix: the first part of every metric's name. Default ``holdfast``.

    Raises:
        ValueError: no client was given.
    """

    def __init__(self, *clients: Client, prefix: str = "holdfast", **named: Client) -> None:
        if not clients and not named:
            raise ValueError("ClientCollector(): give it a Client")
        names = {("default" if number == 1 else str(number)): client for number, client in enumerate(clients, 1)}
        self._clients = {name: weakref.ref(client) for name, client in {**names, **named}.items()}
        self._prefix = prefix

    def describe(self) -> list[Metric]:
        """No figures yet: the registry only wants the names."""
        return list(self._families().values())

    def collect(self) -> Iterator[Metric]:
        """The figures of all clients that are still there."""
        families = self._families()
        for name, reference in self._clients.items():
            client = reference()
            if client is not None:
                for origin in client.stats().origins:
                    _add(families, [name, origin.origin], origin)
        yield from families.values()

    def _families(self) -> dict[str, Any]:
        p = self._prefix
        families: dict[str, Any] = {}
        for name, text in GAUGES.items():
            families[name] = GaugeMetricFamily(f"{p}_connections_{name}", text, labels=LABELS)
        for name, (metric, text) in COUNTERS.items():
            families[name] = CounterMetricFamily(f"{p}_{metric}", text, labels=LABELS)
        for name, (metric, text) in BY_REASON.items():
            families[name] = CounterMetricFamily(f"{p}_{metric}", text, labels=(*LABELS, "reason"))
        text = "Seconds that acquisitions had to wait for room under the limits."
        families["waits"] = HistogramMetricFamily(f"{p}_acquire_wait_seconds", text, labels=LABELS)
        text = "Seconds that connections were in use per exchange."
        families["leases"] = HistogramMetricFamily(f"{p}_lease_seconds", text, labels=LABELS)
        return families


def _add(families: dict[str, Any], labels: list[str], stats: OriginStats) -> None:
    for name in (*GAUGES, *COUNTERS):
        value = getattr(stats, name)
        if value is not None:
            families[name].add_metric(labels, value)
    for name in BY_REASON:
        for reason, count in getattr(stats, name).items():
            families[name].add_metric([*labels, reason], count)
    families["waits"].add_metric(labels, _buckets(stats.wait_histogram, stats.waits), stats.wait_total)
    families["leases"].add_metric(labels, _buckets(stats.lease_histogram, stats.requests), stats.lease_total)


def _buckets(cumulative: Any, count: int) -> list[tuple[str, float]]:
    return [*((str(bound), n) for bound, n in cumulative.items()), ("+Inf", count)]

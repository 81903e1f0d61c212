"""A Prometheus collector over one or more clients (``pip install 'holdfast-http[prometheus]'``).

    from prometheus_client import REGISTRY
    from holdfast.contrib.prometheus import ClientCollector

    REGISTRY.register(ClientCollector(client))

The figures are read from ``client.stats()`` at each scrape: nothing is counted twice, and nothing costs a request anything.
Every metric has the label ``client`` (the name given here), and ``server_address``, ``server_port`` and ``url_scheme`` as
OpenTelemetry's attributes are called in Prometheus. A client is held by a weak reference: one that is dropped is not reported any
more.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .._extras import needed

with needed(__name__, "prometheus_client", "prometheus"):
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

if TYPE_CHECKING:
    from ..client import Client
    from ..pool.stats import OriginStats

OF_SERVER = ("server.address", "server.port", "url.scheme")
STATE, REASON = "http_connection_state", "reason"
LABELS = ("client", *(name.replace(".", "_") for name in OF_SERVER))

STATES = ("active", "idle")
GAUGES = {
    "connecting": ("connections_connecting", "Connections being opened."),
    "waiting": ("pending_requests", "Requests that wait because the limits are reached."),
    "limit": ("connections_limit", "The most connections that may be open."),
    "utilisation": ("connections_utilisation_ratio", "(active + connecting) / limit, from 0 to 1."),
}
COUNTERS = {
    "created": ("connections_opened", "Connections opened."),
    "connect_failures": ("connect_failures", "Attempts to open a connection that failed."),
    "reused": ("connections_reused", "Exchanges on a connection that had carried one before."),
    "requests": ("requests", "Exchanges that ended."),
    "pool_timeouts": ("pool_timeouts", "Acquisitions that gave up waiting for a connection."),
    "leaks": ("leaks", "Responses dropped without being read or closed."),
    "early_ends": ("early_ends", "Idle connections that the server had closed before the pool did."),
}
BY_REASON = {
    "closed": ("connections_closed", "Connections closed, by reason."),
    "resent": ("requests_resent", "Requests sent again, by reason."),
}
HISTOGRAMS = {
    "wait": ("request_time_in_queue_seconds", "Seconds that requests had to wait for room under the limits.", "waits"),
    "lease": ("lease_seconds", "Seconds that connections were in use per exchange.", "requests"),
}
"""By what their fields begin with; the last is the field that has the count."""


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
                for where, rows in _by_server(client).items():
                    _add(families, [name, *where], rows)
        yield from families.values()

    def _families(self) -> dict[str, Any]:
        p = self._prefix
        text = "Connections that are open, in use or unused."
        families: dict[str, Any] = {"open": GaugeMetricFamily(f"{p}_open_connections", text, labels=(*LABELS, STATE))}
        for name, (metric, text) in GAUGES.items():
            families[name] = GaugeMetricFamily(f"{p}_{metric}", text, labels=LABELS)
        for name, (metric, text) in COUNTERS.items():
            families[name] = CounterMetricFamily(f"{p}_{metric}", text, labels=LABELS)
        for name, (metric, text) in BY_REASON.items():
            families[name] = CounterMetricFamily(f"{p}_{metric}", text, labels=(*LABELS, REASON))
        for name, (metric, text, _) in HISTOGRAMS.items():
            families[name] = HistogramMetricFamily(f"{p}_{metric}", text, labels=LABELS)
        return families


def _by_server(client: Client) -> dict[tuple[str, ...], list[OriginStats]]:
    """A pool's figures by the labels of the server: several of its origins have the same if they differ in TLS or proxy alone."""
    stats = client.stats()
    found: dict[tuple[str, ...], list[OriginStats]] = {}
    for origin, attributes in zip(stats.origins, stats.attributes, strict=True):
        found.setdefault(tuple(str(attributes.get(name, "")) for name in OF_SERVER), []).append(origin)
    return found


def _add(families: dict[str, Any], labels: list[str], rows: list[OriginStats]) -> None:
    for state in STATES:
        families["open"].add_metric([*labels, state], _sum(rows, state))
    for name in ("connecting", "waiting", *COUNTERS):
        families[name].add_metric(labels, _sum(rows, name))
    if all(row.limit is not None for row in rows):
        limit = _sum(rows, "limit")
        families["limit"].add_metric(labels, limit)
        families["utilisation"].add_metric(labels, (_sum(rows, "active") + _sum(rows, "connecting")) / limit)
    for name in BY_REASON:
        for reason, count in _sums(rows, name).items():
            families[name].add_metric([*labels, reason], count)
    for name, (_, _, count_of) in HISTOGRAMS.items():
        buckets = [(str(bound), count) for bound, count in _sums(rows, f"{name}_histogram").items()]
        families[name].add_metric(labels, [*buckets, ("+Inf", _sum(rows, count_of))], _sum(rows, f"{name}_total"))


def _sum(rows: list[OriginStats], name: str) -> float:
    total: float = sum(getattr(row, name) for row in rows)
    return total


def _sums(rows: list[OriginStats], name: str) -> Counter[Any]:
    """The same of a field that maps something to counts."""
    total: Counter[Any] = Counter()
    for row in rows:
        total.update(getattr(row, name))
    return total

"""Metrics of connections: what is open now, by ``stats()`` as metrics are collected; what happens to them, by the pools' events.

What adds up is counted as it happens and not read from ``stats()``: a client that is dropped takes its figures along, and a
counter must never fall.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from opentelemetry.metrics import CallbackOptions, Observation, get_meter

from ..._version import __version__
from ...reasons import Discard
from ._attributes import OTHER, SCHEMA_URL, known_methods, server_of
from ._spans import DURATION_BOUNDS_SECONDS, SCOPE

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider

    from ...pool.events import PoolEvent
    from ...pool.pool import Pool

GAUGES = {
    "http.client.open_connections": (
        "{connection}",
        "Number of outbound HTTP connections that are currently active or idle on the client.",
    ),
    "http.client.active_requests": ("{request}", "Number of active HTTP requests."),
    "http.client.connection.pending_requests": ("{request}", "Requests that wait because the limits are reached."),
    "http.client.connection.max": ("{connection}", "The most connections that may be open."),
}
"""Unit and description of what ``PoolStats.opentelemetry`` has of now."""

LIFETIME_BOUNDS_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)  # as .NET advises


class Connections:
    """The instruments of one meter provider, and the pools of which they tell."""

    def __init__(self, provider: MeterProvider | None) -> None:
        self._pools: WeakValueDictionary[int, Pool[Any, Any]] = WeakValueDictionary()
        self._methods = known_methods()
        meter = get_meter(SCOPE, __version__, provider, SCHEMA_URL)
        for name, (unit, text) in GAUGES.items():
            meter.create_observable_up_down_counter(name, [self._reader(name)], unit, text)
        self._lifetimes = meter.create_histogram(
            "http.client.connection.duration",
            "s",
            "The duration of the successfully established outbound HTTP connections.",
            explicit_bucket_boundaries_advisory=LIFETIME_BOUNDS_SECONDS,
        )
        self._queued = meter.create_histogram(
            "http.client.request.time_in_queue",
            "s",
            "The amount of time requests spent on a queue waiting for an available connection.",
            explicit_bucket_boundaries_advisory=DURATION_BOUNDS_SECONDS,
        )
        count = meter.create_counter
        self._timeouts = count("http.client.connection.timeouts", "{timeout}", "Requests that gave up waiting for a connection.")
        self._resends = count("holdfast.request.resends", "{request}", "Requests sent again at once, on another connection.")
        self._leaks = count("holdfast.connection.leaks", "{connection}", "Responses dropped without being read or closed.")
        self._early_ends = count(
            "holdfast.connection.early_ends", "{connection}", "Connections that the server had ended before the client did."
        )

    def join(self, pool: Pool[Any, Any]) -> Callable[[], None]:
        """Tell of this pool from now on, as long as it is there; the function returned ends that."""
        number = id(pool)
        self._pools[number] = pool
        stop = pool.on_event(self.event)

        def leave() -> None:  # which must not keep the pool alive
            stop()
            self._pools.pop(number, None)

        return leave

    def _reader(self, name: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def read(_: CallbackOptions) -> Iterable[Observation]:
            # Several clients may have connections to one server: what is observed is their sum.
            sums: Counter[tuple[tuple[str, str | int], ...]] = Counter()
            for pool in filter(None, (reference() for reference in self._pools.valuerefs())):
                for found, attributes, value in pool.stats().opentelemetry():
                    if found == name:
                        sums[tuple(pair for pair in attributes.items() if pair[0] != "url.scheme")] += int(value)
            return [Observation(value, dict(pairs)) for pairs, value in sums.items()]

        return read

    def event(self, event: PoolEvent) -> None:
        """For ``Client.on_event``."""
        note = _NOTES.get(event.kind)
        if note is not None:
            note(self, event)

    def _note_closed(self, event: PoolEvent) -> None:
        where = dict(server_of(event.origin))
        self._lifetimes.record(event.seconds or 0.0, {**where, "holdfast.connection.end.reason": event.reason})
        if event.reason == Discard.STALE.value:
            self._early_ends.add(1, where)

    def _note_waited(self, event: PoolEvent) -> None:
        self._queued.record(event.seconds or 0.0, self._of_request(event))

    def _note_exhausted(self, event: PoolEvent) -> None:
        self._note_waited(event)
        self._timeouts.add(1, dict(server_of(event.origin)))

    def _note_resent(self, event: PoolEvent) -> None:
        self._resends.add(1, {**self._of_request(event), "holdfast.resend.reason": event.reason})

    def _note_leaked(self, event: PoolEvent) -> None:
        self._leaks.add(1, dict(server_of(event.origin)))

    def _of_request(self, event: PoolEvent) -> dict[str, Any]:
        """Of the request that an event has happened to, whose server may be behind a proxy."""
        where = dict(server_of(event.request_origin or event.origin))
        return {"http.request.method": event.method if event.method in self._methods else OTHER, **where}


_NOTES: dict[str, Callable[[Connections, PoolEvent], None]] = {
    "closed": Connections._note_closed,
    "waited": Connections._note_waited,
    "exhausted": Connections._note_exhausted,
    "resent": Connections._note_resent,
    "leaked": Connections._note_leaked,
}
"""What is written down of each kind of event."""

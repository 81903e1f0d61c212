"""OpenTelemetry: spans and metrics of holdfast's clients (``pip install 'holdfast-http[opentelemetry]'``: the API package alone).

    from holdfast.contrib.opentelemetry import HoldfastInstrumentor

    HoldfastInstrumentor().instrument()  # every client of the process; instrument(client) for one

``opentelemetry-instrument python program.py`` does that by itself. The names are those of OpenTelemetry's semantic conventions
1.44; docs/telemetry.md has the table.

A client that is not instrumented pays nothing. An instrumented one is told of each sending of a request (``Client.on_sending``) and
of the events of its pool (``Client.on_event``); gauges are read from ``stats()`` when the program's metrics are collected.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from ..._extras import needed
from ..._fork import after_in_child
from ...sendings import on_every_transport

with needed(__name__, "opentelemetry", "opentelemetry"):
    from ._attributes import UrlPatterns
    from ._connections import Connections
    from ._spans import RequestHook, ResponseHook, Spans

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from ...client import Client
    from ...transport import Transport

__all__ = ["HoldfastInstrumentor"]


def _base() -> type:
    """What ``opentelemetry-instrument`` calls an instrumentor, where it is installed: the package is not needed otherwise."""
    try:
        base: type = import_module("opentelemetry.instrumentation.instrumentor").BaseInstrumentor
    except ImportError:
        return object
    return base


if TYPE_CHECKING:
    _Base = object
else:
    _Base = _base()

# Guarded by the lock: instruments of one name are to be made once for each provider, and a client is to be instrumented once.
_lock = threading.RLock()  # reentrant: what is told of each transport there is instruments it
_connections: dict[Any, Connections] = {}
_undo: WeakKeyDictionary[Transport, Callable[[], None]] = WeakKeyDictionary()
_everywhere: list[Callable[[], None]] = []


class HoldfastInstrumentor(_Base):
    """Instruments clients, all of the process or one by one. All its instances are one as to what they have instrumented."""

    _is_instrumented_by_opentelemetry = False

    @property
    def is_instrumented_by_opentelemetry(self) -> bool:
        """Whether all clients are instrumented."""
        return self._is_instrumented_by_opentelemetry

    def instrumentation_dependencies(self) -> Collection[str]:
        """What is instrumented, as ``opentelemetry-instrument`` asks: the distribution that this module is of."""
        return ("holdfast-http",)

    def instrument(
        self,
        client: Client | None = None,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        request_hook: RequestHook | None = None,
        response_hook: ResponseHook | None = None,
        excluded_urls: str | None = None,
        duration_histogram_boundaries: Sequence[float] | None = None,
        skip_dep_check: bool = False,
        raise_exception_on_conflict: bool = False,
    ) -> None:
        """Instrument a client, or every client, session and transport of the process, those of later times too.

        What is instrumented already stays as it is.

        Args:
            client: a ``Client`` or ``Session``; None for all.
            tracer_provider: the global one unless given.
            meter_provider: the global one unless given.
            request_hook: called with (span, request) when a span was started and is recorded.
            response_hook: called with (span, request, response) before a span ends that has a response.
            excluded_urls: regular expressions with commas between them: no spans of requests to URLs in which one is found, and
                nothing is sent along with them. Default: what ``OTEL_PYTHON_HOLDFAST_EXCLUDED_URLS`` or
                ``OTEL_PYTHON_EXCLUDED_URLS`` says.
            duration_histogram_boundaries: seconds, of ``http.client.request.duration``; the conventions' unless given.
            skip_dep_check: for ``opentelemetry-instrument``; without effect.
            raise_exception_on_conflict: for ``opentelemetry-instrument``; without effect.

        Raises:
            ValueError: ``excluded_urls`` has a regular expression that is none.
        """
        spans = Spans(
            tracer_provider,
            meter_provider,
            request_hook,
            response_hook,
            UrlPatterns.of(excluded_urls),
            duration_histogram_boundaries,
        )
        with _lock:
            connections = _connections.get(meter_provider) or _connections.setdefault(meter_provider, Connections(meter_provider))
        if client is not None:
            _attach(client._transport, spans, connections)
            return
        with _lock:
            if not _everywhere:
                _everywhere.append(on_every_transport(lambda transport: _attach(transport, spans, connections)))
        HoldfastInstrumentor._is_instrumented_by_opentelemetry = True

    def uninstrument(self, client: Client | None = None) -> None:
        """Take it back, of a client or of all; harmless where there is nothing to take back. Spans under way end as they would."""
        if client is not None:
            _detach(client._transport)
            return
        with _lock:
            stops = list(_everywhere)
            _everywhere.clear()
        for stop in stops:
            stop()
        for transport in filter(None, (reference() for reference in _undo.keyrefs())):
            _detach(transport)
        HoldfastInstrumentor._is_instrumented_by_opentelemetry = False

    def _instrument(self, **settings: Any) -> None:
        """What BaseInstrumentor's own ``instrument`` calls, which is not used here."""
        self.instrument(**settings)

    def _uninstrument(self, **_: Any) -> None:
        """Likewise."""
        self.uninstrument()


def _renew_lock() -> None:
    """In a forked child: a thread that is not there may have held it."""
    global _lock
    _lock = threading.RLock()


after_in_child(_renew_lock)


def _attach(transport: Transport, spans: Spans, connections: Connections) -> None:
    with _lock:
        if transport in _undo:
            return
        observers = transport.observers
        observers.append(spans.observe)
        leave = connections.join(transport.pool)

        def undo() -> None:  # which must not keep the transport alive
            observers.remove(spans.observe)
            leave()

        _undo[transport] = undo


def _detach(transport: Transport) -> None:
    with _lock:
        undo = _undo.pop(transport, None)
    if undo is not None:
        undo()

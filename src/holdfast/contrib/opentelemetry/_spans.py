"""Spans: one of kind CLIENT for each sending of a request, and the histogram of how long they took.

A span begins before its connection is had. It ends with the head of the answer, or, in a call that reads the body itself, with the
end of that. The context is propagated in the fields of each sending, in the place of what the request has there already.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from opentelemetry import context as contexts
from opentelemetry import propagate
from opentelemetry.metrics import get_meter
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, get_tracer, set_span_in_context

from ..._version import __version__
from ._attributes import OTHER, SCHEMA_URL, CapturedFields, UrlPatterns, error_type, full_url, known_methods, redacted, server

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from ...message.request import PreparedRequest
    from ...message.response import Response
    from ...sendings import Sending

RequestHook: TypeAlias = "Callable[[Span, PreparedRequest], object]"
ResponseHook: TypeAlias = "Callable[[Span, PreparedRequest, Response], object]"

SCOPE = "holdfast.contrib.opentelemetry"
DURATION_BOUNDS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)  # the conventions'
# What other instrumentations set in the context for the time of a request that they have told of already.
_SUPPRESSED = ("_SUPPRESS_INSTRUMENTATION_KEY", "_SUPPRESS_HTTP_INSTRUMENTATION_KEY")
SUPPRESS_KEYS = ("suppress_instrumentation", *(getattr(contexts, name) for name in _SUPPRESSED if hasattr(contexts, name)))

log = logging.getLogger(SCOPE)


class Spans:
    """Makes them. Args: see ``HoldfastInstrumentor.instrument``."""

    def __init__(
        self,
        tracer_provider: TracerProvider | None,
        meter_provider: MeterProvider | None,
        request_hook: RequestHook | None,
        response_hook: ResponseHook | None,
        excluded: UrlPatterns,
        bounds: Sequence[float] | None,
    ) -> None:
        self._tracer = get_tracer(SCOPE, __version__, tracer_provider, SCHEMA_URL)
        self._duration = get_meter(SCOPE, __version__, meter_provider, SCHEMA_URL).create_histogram(
            "http.client.request.duration",
            "s",
            "Duration of HTTP client requests.",
            explicit_bucket_boundaries_advisory=bounds or DURATION_BOUNDS_SECONDS,
        )
        self._request_hook = request_hook
        self._response_hook = response_hook
        self._excluded = excluded
        self._methods = known_methods()
        self._asked, self._answered = CapturedFields("request"), CapturedFields("response")

    def observe(self, sending: Sending) -> Callable[[], None] | None:
        """For ``Client.on_sending``."""
        request = sending.request
        if any(contexts.get_value(key) for key in SUPPRESS_KEYS) or self._excluded.match(request.parsed.text):
            return None
        method = request.method if request.method in self._methods else OTHER
        common: dict[str, Any] = {"http.request.method": method, **server(request)}
        begun = time.time_ns()
        span = self._tracer.start_span(
            "HTTP" if method == OTHER else method,
            kind=SpanKind.CLIENT,
            attributes={**common, **self._of_request(sending, method)},
            start_time=begun,
        )
        if self._request_hook is not None and span.is_recording():
            _guarded(self._request_hook, span, request)
        propagate.inject(sending.fields, set_span_in_context(span))
        return partial(self._over, sending, span, begun, common)

    def _of_request(self, sending: Sending, method: str) -> dict[str, Any]:
        request = sending.request
        found: dict[str, Any] = {"url.full": full_url(request.parsed)}
        if method == OTHER:
            found["http.request.method_original"] = request.method
        if sending.number:
            found["http.request.resend_count"] = sending.number
            found["holdfast.resend.reason"] = sending.reason
        return {**found, **self._asked.of(request.headers)}

    def _over(self, sending: Sending, span: Span, begun: int, common: dict[str, Any]) -> None:
        seconds = max(0.0, sending.ended - sending.began)
        outcome = outcome_of(sending)
        if span.is_recording():
            span.set_attributes({**outcome, **_peer_of(sending)})
            if "error.type" in outcome:
                span.set_status(Status(StatusCode.ERROR, None if sending.error is None else redacted(str(sending.error))))
            if sending.response is not None:
                span.set_attributes(self._answered.of(sending.response.headers))
                if self._response_hook is not None:
                    _guarded(self._response_hook, span, sending.request, sending.response)
        # The span's context, so that an exemplar leads to it.
        self._duration.record(seconds, {**common, **outcome}, set_span_in_context(span))
        span.end(begun + int(seconds * 1e9))


def outcome_of(sending: Sending) -> dict[str, Any]:
    """What spans and durations say of how it went."""
    found: dict[str, Any] = {}
    if sending.response is not None:
        found["network.protocol.version"] = sending.response.http_version.removeprefix("HTTP/")
    if sending.status_code is not None:
        found["http.response.status_code"] = sending.status_code
        if sending.status_code >= 400:
            found["error.type"] = str(sending.status_code)
    if sending.error is not None and "error.type" not in found:
        found["error.type"] = error_type(sending.error)
    return found


def _peer_of(sending: Sending) -> dict[str, Any]:
    found: dict[str, Any] = {"network.peer.address": sending.peer} if sending.peer else {}
    if sending.peer_port is not None:
        found["network.peer.port"] = sending.peer_port
    return found


def _guarded(hook: Callable[..., object], *arguments: Any) -> None:
    try:
        hook(*arguments)
    except Exception:
        log.exception("a hook given to HoldfastInstrumentor.instrument() failed")

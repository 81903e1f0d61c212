"""Spans and metrics of a few calls, by OpenTelemetry's SDK: what a collector would be sent, printed.

    python examples/telemetry.py                          to a server of its own, on loopback
    python examples/telemetry.py https://api.example.com/items

The server redirects, fails once, and ends a connection without a word, so there are spans of each kind. A program in production has
an exporter in the place of ``Printed``, such as opentelemetry-exporter-otlp's, and no reader of its own; or it has none of this and
is started by ``opentelemetry-instrument``.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import holdfast

MISSING = "This example needs OpenTelemetry's SDK: pip install opentelemetry-sdk -e '.[opentelemetry]'"
ANSWER = b'{"hold": "fast"}'


# -- the embedded server -----------------------------------------------------------------------------------------------


class Answers(BaseHTTPRequestHandler):
    """Keeps connections, but for /last: it ends the connection behind that answer, as a server does that is restarted."""

    server: Failing
    protocol_version = "HTTP/1.1"
    timeout = 10

    def do_GET(self) -> None:
        """Answer."""
        if self.path == "/old":
            self._answer(301, b"", Location="/new?api_key=secret")
        elif self.path == "/busy" and not self.server.has_failed:
            self.server.has_failed = True
            self._answer(503, b"", **{"Retry-After": "0"})
        else:
            self._answer(200, ANSWER)
            self.close_connection = self.path == "/last"

    def _answer(self, status: int, body: bytes, **fields: str) -> None:
        self.send_response(status)
        for name, value in {**fields, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Leave the output to the spans."""


class Failing(ThreadingHTTPServer):
    """Fails once."""

    has_failed = False


@contextmanager
def embedded_server() -> Iterator[list[str]]:
    """The URLs to call at a running server."""
    with Failing(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="server")
        thread.start()
        try:
            yield [f"http://127.0.0.1:{server.server_port}{path}" for path in ("/old", "/busy", "/last", "/new")]
        finally:
            server.shutdown()
            thread.join()


# -- what is printed ---------------------------------------------------------------------------------------------------


def line_of(span: Any) -> str:
    """A span in one line."""
    said = span.attributes
    end = said.get("http.response.status_code") or said["error.type"]
    count, reason = said.get("http.request.resend_count"), said.get("holdfast.resend.reason")
    again = "" if count is None else f"  (again, {count}: {reason})"
    return f"{(span.end_time - span.start_time) / 1e6:8.2f} ms  {span.name} {said['url.full']}  {end}{again}"


class Printed:
    """A SpanExporter that prints a line for each span. OpenTelemetry's SDK asks an exporter for these three methods."""

    def __init__(self, success: Any) -> None:
        self._success = success

    def export(self, spans: Sequence[Any]) -> Any:
        """Print them."""
        for span in spans:
            print(line_of(span))
        return self._success

    def shutdown(self) -> None:
        """Nothing is open."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Nothing is kept back."""
        return True


def print_metrics(data: Any) -> None:
    """Each metric with its points: sums and gauges as they are, histograms as count and mean."""
    for resource in data.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    is_sum = hasattr(point, "value")
                    value = str(point.value) if is_sum else f"{point.count} x {point.sum / point.count:.4f} {metric.unit}"
                    told = {name: what for name, what in point.attributes.items() if not name.startswith("server.")}
                    print(f"  {metric.name:42}{value:16}{told or ''}".rstrip())


# -- the program -------------------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Call, and print what was seen; the exit status."""
    parser = argparse.ArgumentParser(description="Spans and metrics of a few calls.")
    parser.add_argument("urls", nargs="*", metavar="URL", help="call these (default: a server of its own)")
    given = parser.parse_args(arguments)
    try:
        trace, export = (importlib.import_module(f"opentelemetry.sdk.trace{part}") for part in ("", ".export"))
        metrics, reading = (importlib.import_module(f"opentelemetry.sdk.metrics{part}") for part in ("", ".export"))
        instrumentor = importlib.import_module("holdfast.contrib.opentelemetry").HoldfastInstrumentor()
    except ImportError:
        print(MISSING, file=sys.stderr)
        return 2
    spans, reader = trace.TracerProvider(), reading.InMemoryMetricReader()
    spans.add_span_processor(export.SimpleSpanProcessor(Printed(export.SpanExportResult.SUCCESS)))
    meters = metrics.MeterProvider([reader])
    with ExitStack() as stack:
        urls = given.urls or stack.enter_context(embedded_server())
        client = stack.enter_context(holdfast.Client(retries=2))
        instrumentor.instrument(client, tracer_provider=spans, meter_provider=meters)
        print("spans:")
        try:
            for url in urls:
                client.get(url)
        except holdfast.RequestException as error:
            print(f"gave up: {error}", file=sys.stderr)
            return 1
        finally:
            print("metrics:")
            print_metrics(reader.get_metrics_data())
            meters.shutdown()
            spans.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())

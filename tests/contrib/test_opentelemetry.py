"""Spans and metrics as OpenTelemetry's SDK receives them; their names, units and attributes are those of docs/telemetry.md."""

from __future__ import annotations

import gc
import importlib.metadata
import json
import re
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("opentelemetry.sdk", reason="needs opentelemetry-sdk")

from opentelemetry import baggage, context, trace
from opentelemetry.instrumentation.utils import suppress_http_instrumentation, suppress_instrumentation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, Metric
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode

import holdfast
from examples import telemetry
from holdfast import Client, Limits
from holdfast.contrib.opentelemetry import HoldfastInstrumentor
from holdfast.contrib.opentelemetry._attributes import redacted, server_of
from tests.conftest import FakeClock, Tls
from tests.server import Conn, Server, connect_proxy, echo, head, ok, redirect, replies, response
from tests.support import QUICK, eventually, finished, script
from tests.test_readme import PAGES, table

pytestmark = pytest.mark.usefixtures("no_leaks")

PAGE = PAGES["docs/telemetry.md"]
SPAN_TABLE = {name for row in table(PAGE, "attribute") for name in re.findall(r"`([\w.]+)`", row[0])}
METRIC_TABLE = {
    row[0].strip("`"): (row[1], row[2].strip("`"), {name for name in re.findall(r"`([\w.]+)`", row[3]) if "." in name})
    for row in table(PAGE, "metric")
}


class Collector:
    """OpenTelemetry's SDK, as a program sets it up, with exporters in memory."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider([self.reader])

    def instrument(self, client: Client | None = None, **settings: Any) -> None:
        """Instrument a client, or all."""
        providers = {"tracer_provider": self.tracers, "meter_provider": self.meters}
        HoldfastInstrumentor().instrument(client, **{**providers, **settings})

    @property
    def spans(self) -> list[ReadableSpan]:
        """Those that have ended."""
        return list(self.exporter.get_finished_spans())

    @property
    def attributes(self) -> list[dict[str, Any]]:
        """Of each of them."""
        return [dict(span.attributes or {}) for span in self.spans]

    @property
    def metrics(self) -> dict[str, Metric]:
        """By name, as collected now."""
        data = self.reader.get_metrics_data()
        resources = data.resource_metrics if data else ()
        found = [metric for resource in resources for scope in resource.scope_metrics for metric in scope.metrics]
        assert len({metric.name for metric in found}) == len(found)
        return {metric.name: metric for metric in found}

    def points(self, name: str) -> list[tuple[dict[str, Any], Any]]:
        """(attributes without those of the server, value or count) of each point of a metric."""
        metric = self.metrics.get(name)
        return [
            (
                {key: value for key, value in (point.attributes or {}).items() if not key.startswith("server.")},
                getattr(point, "count", None) or getattr(point, "value", None),
            )
            for point in (metric.data.data_points if metric else ())
        ]


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    HoldfastInstrumentor().uninstrument()
    collector.tracers.shutdown()
    collector.meters.shutdown()


def stale(conn: Conn) -> None:
    """Answer once, and reset the connection under the next request."""
    conn.expect_request()
    conn.send(ok())
    conn.expect_request()
    conn.rst()


# -- spans -------------------------------------------------------------------------------------------------------------


def test_a_call_is_a_client_span_named_by_its_method_with_the_conventions_attributes(collector: Collector) -> None:
    with Server(echo) as server, Client(timeout=QUICK) as client:
        collector.instrument(client)
        with collector.tracers.get_tracer("mine").start_as_current_span("outer") as outer:
            client.get(server.url("/path?q=1#there"))
        port = server.port

    span = collector.spans[0]
    assert (span.name, span.kind, span.status.status_code) == ("GET", SpanKind.CLIENT, StatusCode.UNSET)
    assert span.parent == outer.get_span_context()
    assert collector.attributes[0] == {
        "http.request.method": "GET",
        "url.full": f"http://127.0.0.1:{port}/path?q=1#there",
        "server.address": "127.0.0.1",
        "server.port": port,
        "network.peer.address": "127.0.0.1",
        "network.peer.port": port,
        "network.protocol.version": "1.1",
        "http.response.status_code": 200,
    }
    scope = span.instrumentation_scope
    assert scope is not None
    assert (scope.name, scope.version) == ("holdfast.contrib.opentelemetry", holdfast.__version__)
    assert scope.schema_url == "https://opentelemetry.io/schemas/1.44.0"


def test_each_sending_is_a_span_of_its_own_and_the_context_of_each_goes_out_once(collector: Collector) -> None:
    script = replies(redirect("/there"), response(503, b"", "Retry-After: 0"), ok())
    with Server(script) as server, Client(timeout=QUICK, retries=1, headers={"Traceparent": "stale"}) as client:
        collector.instrument(client)
        with collector.tracers.get_tracer("mine").start_as_current_span("outer"):
            token = context.attach(baggage.set_baggage("who", "me"))
            answer = client.get(server.url("/here"))
            context.detach(token)
        received = server.requests

    *sent, outer = collector.spans
    ids = [f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}" for span in sent if span.context]
    assert [[value[:52] for value in request.get_all("traceparent")] for request in received] == [[each] for each in ids]
    assert [request.get_all("baggage") for request in received] == [["who=me"]] * 3
    assert [span.parent for span in sent] == [outer.context] * 3
    assert answer.request.headers["Traceparent"] == "stale"
    assert [(each.get("http.request.resend_count"), each.get("holdfast.resend.reason")) for each in collector.attributes[:3]] == [
        (None, None),
        (1, "redirect"),
        (2, "retry"),
    ]
    assert [span.status.status_code for span in sent] == [StatusCode.UNSET, StatusCode.ERROR, StatusCode.UNSET]


@pytest.mark.parametrize(("status", "is_error"), [(200, False), (304, False), (399, False), (400, True), (404, True), (503, True)])
def test_a_status_from_400_on_is_an_error_without_a_description(status: int, is_error: bool, collector: Collector) -> None:
    with Server(replies(response(status))) as server, Client(timeout=QUICK) as client:
        collector.instrument(client)
        client.get(server.url())

    span = collector.spans[0]
    assert (span.status.status_code is StatusCode.ERROR, span.status.description) == (is_error, None)
    assert collector.attributes[0].get("error.type") == (str(status) if is_error else None)


def test_what_was_lost_and_sent_again_is_a_failed_span_and_a_good_one(collector: Collector) -> None:
    with Server([stale, echo]) as server, Client(timeout=QUICK) as client:
        collector.instrument(client)
        client.get(server.url())
        client.get(server.url("/?token=abc"))

    lost, last = collector.attributes[1:]
    span = collector.spans[1]
    assert lost["error.type"] == "holdfast.exceptions.ConnectionLost"
    assert lost["network.peer.port"] == server.port
    assert "http.response.status_code" not in lost
    assert (last["http.request.resend_count"], last["http.response.status_code"]) == (1, 200)
    assert collector.points("holdfast.request.resends") == [
        ({"http.request.method": "GET", "holdfast.resend.reason": last["holdfast.resend.reason"]}, 1)
    ]
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description


def test_a_server_that_cannot_be_reached_is_a_failed_span_without_a_peer(collector: Collector) -> None:
    with Server() as server:
        url = server.url("/?sig=abc")
    with Client(timeout=QUICK) as client:
        collector.instrument(client)
        with pytest.raises(holdfast.ConnectionError) as caught:
            client.get(url)

    assert collector.attributes[0]["error.type"] == "holdfast.exceptions.ConnectionError"
    assert "network.peer.address" not in collector.attributes[0]
    assert collector.spans[0].status.description == str(caught.value)


def test_an_error_is_told_without_secrets(collector: Collector) -> None:
    def script(conn: Conn) -> None:
        conn.expect_request()

    with Server(script) as server, Client(timeout=QUICK) as client:
        collector.instrument(client)
        with pytest.raises(holdfast.ConnectionLost, match="api_key=xyz"):
            client.post(server.url("/?api_key=xyz&x=1").replace("//", "//user:pass@"), data=b"x")

    said = json.dumps([span.to_json() for span in collector.spans])
    assert "api_key=REDACTED&x=1" in str(collector.spans[0].status.description)
    assert not [secret for secret in ("xyz", "user", "pass@") if secret in said]


def test_an_interruption_is_an_error_by_its_plain_name(collector: Collector) -> None:
    def hook(answer: holdfast.Response, **_: Any) -> None:
        raise KeyboardInterrupt

    with Server(echo) as server, Client(timeout=QUICK, hooks={"response": hook}) as client:
        collector.instrument(client)
        with pytest.raises(KeyboardInterrupt):
            client.get(server.url())

    assert collector.attributes[0]["error.type"] == "KeyboardInterrupt"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://h/?a=1&sig=s%20t&b=2#sig=3", "http://h/?a=1&sig=REDACTED&b=2#sig=3"),
        ("http://h/?X-Amz-Signature=1&X-Amz-Credential=2;AWSAccessKeyId=3", "http://h/?X-Amz-Signature=REDACTED&X-Amz-Credential=REDACTED;AWSAccessKeyId=REDACTED"),
        ("http://h/?api%5Fkey=1&access_token=2&client-secret=3&sort=key", "http://h/?api%5Fkey=REDACTED&access_token=REDACTED&client-secret=REDACTED&sort=key"),
        ("http://h/?flag&=1&sig=&signal=2", "http://h/?flag&=1&sig=REDACTED&signal=2"),
        ("http://h/sig=1", "http://h/sig=1"),
    ],
)  # fmt: skip
def test_secret_parameters_are_redacted_and_the_rest_stays_as_it_is(url: str, shown: str) -> None:
    assert redacted(url) == shown
    assert redacted(f"GET {url} failed") == f"GET {shown} failed"


def test_credentials_of_a_url_are_redacted(collector: Collector) -> None:
    with Server(echo) as server, Client(timeout=QUICK) as client:
        collector.instrument(client)
        client.get(server.url("/a@b").replace("//", "//user:pass@"))

    assert collector.attributes[0]["url.full"] == server.url("/a@b").replace("//", "//REDACTED:REDACTED@")


@pytest.mark.parametrize(
    ("known", "method", "name", "attributes"),
    [
        ("", "PURGE", "HTTP", {"http.request.method": "_OTHER", "http.request.method_original": "PURGE"}),
        ("", "QUERY", "QUERY", {"http.request.method": "QUERY"}),
        ("PURGE, GET", "PURGE", "PURGE", {"http.request.method": "PURGE"}),
        ("PURGE, GET", "POST", "HTTP", {"http.request.method": "_OTHER", "http.request.method_original": "POST"}),
    ],
)
def test_a_method_that_is_not_known_is_another(
    known: str, method: str, name: str, attributes: dict[str, str], collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS", known)
    with Server(echo) as server, Client(timeout=QUICK) as client:
        collector.instrument(client)
        client.request(method, server.url())

    assert collector.spans[0].name == name
    assert {key: value for key, value in collector.attributes[0].items() if key.startswith("http.request.")} == attributes


@pytest.mark.parametrize(
    ("given", "address", "port"), [("example.com:81", "example.com", 81), ("[::1]", "::1", 80), ("not a host", "127.0.0.1", None)]
)
def test_the_server_is_that_of_the_host_field(given: str, address: str, port: int | None, collector: Collector) -> None:
    with Server(echo) as server, Client(timeout=QUICK) as client:
        collector.instrument(client)
        client.get(server.url(), headers={"Host": given})

    told = collector.attributes[0]
    assert (told["server.address"], told["server.port"]) == (address, port or server.port)


@pytest.mark.needs("unix sockets")
def test_the_peer_is_what_was_dialled(collector: Collector, tls: Tls, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with Server(echo, unix_path=path), Client(unix_socket=path, timeout=QUICK) as client:
        collector.instrument(client)
        client.get("http://localhost/")
    with (
        Server(echo, tls=tls.server_context()) as server,
        Server(connect_proxy) as proxy,
        Client(proxies={"https": proxy.url()}, verify=tls.ca_path, timeout=QUICK, trust_env=False) as client,
    ):
        collector.instrument(client)
        client.get(server.url(host="localhost"))

    local, tunnelled = collector.attributes
    assert local["network.peer.address"] == path
    assert "network.peer.port" not in local
    assert (tunnelled["network.peer.address"], tunnelled["network.peer.port"]) == ("127.0.0.1", proxy.port)
    assert (tunnelled["server.address"], tunnelled["server.port"]) == ("localhost", server.port)


def test_a_span_lasts_as_long_as_what_it_is_of_and_not_until_it_is_told(collector: Collector, clock: FakeClock) -> None:
    def script(conn: Conn) -> None:
        for _ in conn.read_requests():
            clock.advance(2)
            conn.send(ok())

    with Server(script) as server, Client(timeout=None, clock=clock, keeper=False) as client:
        collector.instrument(client)
        client.get(server.url())

    span = collector.spans[0]
    assert (span.end_time or 0) - (span.start_time or 0) == 2e9
    point = collector.metrics["http.client.request.duration"].data.data_points[0]
    assert point.sum == 2  # type: ignore[union-attr]  # a histogram's


def test_a_span_that_is_not_sampled_is_propagated_and_measured_all_the_same(collector: Collector) -> None:
    called: list[Any] = []
    with Server(echo) as server, Client(timeout=QUICK) as client:
        hooks = {"request_hook": lambda *_: called.append(1), "response_hook": lambda *_: called.append(2)}
        collector.instrument(client, tracer_provider=TracerProvider(sampler=ALWAYS_OFF), **hooks)
        client.get(server.url())
        sent = server.requests[0].get("traceparent")

    assert sent.endswith(("-00", "-02"))  # 02: the trace id is random
    assert not called
    assert [count for _, count in collector.points("http.client.request.duration")] == [1]


@pytest.mark.parametrize("quiet", [suppress_instrumentation, suppress_http_instrumentation])
def test_suppressed_instrumentation_has_no_span_and_no_context(quiet: Callable[[], Any], collector: Collector) -> None:
    with Server(echo) as server, Client(timeout=QUICK) as client:
        collector.instrument(client)
        with quiet():
            client.get(server.url())

    assert not collector.spans
    assert not server.requests[0].get("traceparent")


@pytest.mark.parametrize("variable", [None, "OTEL_PYTHON_HOLDFAST_EXCLUDED_URLS", "OTEL_PYTHON_EXCLUDED_URLS"])
def test_excluded_urls_have_no_span(variable: str | None, collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = "health, /m.trics$"
    if variable is not None:
        monkeypatch.setenv(variable, listed)
    with Server(echo) as server, Client(timeout=QUICK) as client:
        collector.instrument(client, excluded_urls=listed if variable is None else None)
        for path in ("/health/1", "/metrics", "/metrics/2"):
            client.get(server.url(path))

    assert [each["url.full"] for each in collector.attributes] == [server.url("/metrics/2")]


def test_a_pattern_that_is_none_is_refused_at_once() -> None:
    with Client() as client, pytest.raises(ValueError, match=r"excluded_urls: '\(' has a regular expression that is none"):
        HoldfastInstrumentor().instrument(client, excluded_urls="(")


def test_hooks_see_the_span_the_request_and_the_response(collector: Collector) -> None:
    def request_hook(span: trace.Span, request: holdfast.PreparedRequest) -> None:
        span.update_name(f"{request.method} /items/{{id}}")

    def response_hook(span: trace.Span, request: holdfast.PreparedRequest, answer: holdfast.Response) -> None:
        span.set_attribute("mine", answer.json()["target"])

    with Server(echo) as server, Client(timeout=QUICK) as client:
        collector.instrument(client, request_hook=request_hook, response_hook=response_hook)
        client.get(server.url("/items/1"))

    assert (collector.spans[0].name, collector.attributes[0]["mine"]) == ("GET /items/{id}", "/items/1")


def test_a_hook_that_fails_is_logged_and_harms_nothing(collector: Collector, caplog: pytest.LogCaptureFixture) -> None:
    def hook(*_: Any) -> None:
        raise ValueError("of the hook's")

    with Server(echo) as server, Client(timeout=QUICK) as client:
        collector.instrument(client, request_hook=hook, response_hook=hook)
        assert client.get(server.url()).ok

    assert caplog.text.count("a hook given to HoldfastInstrumentor.instrument() failed") == 2
    assert collector.spans[0].status.status_code is StatusCode.UNSET


def test_fields_are_captured_where_the_environment_says_so_and_secrets_never(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_"
    monkeypatch.setenv(prefix + "CLIENT_REQUEST", "X-.*, authorization")
    monkeypatch.setenv(prefix + "CLIENT_RESPONSE", "content-type,x-two")
    monkeypatch.setenv(prefix + "SANITIZE_FIELDS", ".*session.*")
    fields = {"X-Mine": "1", "X-Session-Id": "2", "X-Api-Key": "3", "Accept": "4"}
    with Server(replies(ok(b"", "Content-Type: text/plain", "X-Two: a", "X-Two: b"))) as server, Client(timeout=QUICK) as client:
        collector.instrument(client)
        client.get(server.url(), headers=fields, auth=("user", "pass"))

    captured = {key: value for key, value in collector.attributes[0].items() if ".header." in key}
    assert captured == {
        "http.request.header.authorization": ("[REDACTED]",),
        "http.request.header.x-mine": ("1",),
        "http.request.header.x-session-id": ("[REDACTED]",),
        "http.request.header.x-api-key": ("[REDACTED]",),
        "http.response.header.content-type": ("text/plain",),
        "http.response.header.x-two": ("a", "b"),
    }


# -- the tables --------------------------------------------------------------------------------------------------------


def busy(conn: Conn) -> None:
    """/last: the connection ends behind the answer; /hold: half of an answer; else an answer."""
    for request in conn.read_requests():
        conn.send(head(200, "Content-Length: 9") + b"half" if request.target == "/hold" else ok())
        if request.target == "/last":
            return


def go_through_everything(server: Server, client: Client) -> None:
    """What the pool can go through: a wait, one in vain, a leak, an early end."""
    with client.get(server.url("/hold"), stream=True):
        with pytest.raises(holdfast.PoolTimeout):
            client.get(server.url(), timeout=holdfast.Timeouts(pool=0.001))
        waiting = threading.Thread(target=client.get, args=(server.url("/last"),))
        waiting.start()
        eventually(lambda: client.stats().waiting, "a waiter")
    waiting.join()
    eventually(lambda: server.conn(1).closed, "the end of /last")
    client.get(server.url())
    leaked = [client.get(server.url("/hold"), stream=True)]
    with pytest.warns(ResourceWarning):
        leaked.clear()
    client.stats()


def test_the_metrics_are_those_of_the_table_with_its_units_and_attributes(collector: Collector) -> None:
    with Server(busy) as server, Client(timeout=QUICK, limits=Limits(max_connections_per_origin=1)) as client:
        collector.instrument(client)
        go_through_everything(server, client)
        found = collector.metrics
    with Server([stale, echo]) as server, Client(timeout=QUICK) as client:
        collector.instrument(client)
        for _ in range(2):
            client.get(server.url())
        found = {**found, **{name: metric for name, metric in collector.metrics.items() if name not in found}}

    kinds = {"Histogram": "Histogram", "Sum": "Counter"}
    told = {}
    for name, metric in found.items():
        kind = kinds[type(metric.data).__name__]
        observable = kind == "Counter" and not getattr(metric.data, "is_monotonic", True)
        attributes = {key for point in metric.data.data_points for key in point.attributes or {}}
        told[name] = ("ObservableUpDownCounter" if observable else kind, metric.unit, attributes)
    assert told == METRIC_TABLE
    assert all(metric.description for metric in found.values())


def test_the_attributes_of_spans_are_those_of_the_table(collector: Collector) -> None:
    with Server(replies(redirect("/there"), response(404))) as server, Client(timeout=QUICK) as client:
        collector.instrument(client)
        client.request("PURGE", server.url())

    assert {name for each in collector.attributes for name in each} == SPAN_TABLE


def test_the_reasons_of_the_table_are_those_there_are() -> None:
    from holdfast.resend import Resend

    shown = {name for row in table(PAGE, "reason") for name in re.findall(r"`([^`]+)`", row[0])}

    assert shown == {reason.value for reason in Resend} | {"redirect", "authentication", "retry"}


def test_the_table_of_sendings_has_every_attribute() -> None:
    shown = {name for row in table(PAGE, "`Sending`") for name in re.findall(r"`(\w+)`", row[0])}

    assert shown == set(holdfast.Sending.__slots__)


# -- metrics -----------------------------------------------------------------------------------------------------------

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)


def test_durations_have_the_conventions_buckets_or_those_that_are_given(collector: Collector) -> None:
    with Server(echo) as server, Client(timeout=QUICK) as client:
        collector.instrument(client)
        client.get(server.url())
        client.close_idle()
        found = collector.metrics
    other = Collector()
    with Server(echo) as server, Client(timeout=QUICK) as client:
        other.instrument(client, duration_histogram_boundaries=[1, 2])
        client.get(server.url())
        mine = other.metrics["http.client.request.duration"].data.data_points[0]
    other.meters.shutdown()

    point = found["http.client.request.duration"].data.data_points[0]
    assert point.explicit_bounds == BOUNDS  # type: ignore[union-attr]  # a histogram's
    lifetimes = found["http.client.connection.duration"].data.data_points[0]
    assert lifetimes.explicit_bounds[-1] == 300  # type: ignore[union-attr]  # a histogram's
    assert mine.explicit_bounds == (1, 2)  # type: ignore[union-attr]  # a histogram's


def test_open_connections_are_told_by_state_and_those_of_several_clients_are_added_up(collector: Collector) -> None:
    with Server(busy) as server, Client(timeout=QUICK) as one, Client(timeout=QUICK) as other:
        for client in (one, other):
            collector.instrument(client)
            client.get(server.url())
        with one.get(server.url("/hold"), stream=True):
            now = sorted((told["http.connection.state"], count) for told, count in collector.points("http.client.open_connections"))
            active = collector.points("http.client.active_requests")
            points = collector.metrics["http.client.open_connections"].data.data_points

    assert now == [("active", 1), ("idle", 1)]
    assert active == [({}, 1)]
    assert {point.attributes["server.port"] for point in points if point.attributes} == {server.port}


def test_the_end_of_a_connection_is_told_with_its_reason(collector: Collector) -> None:
    script = replies(ok(), ok(b"", "Connection: close"))
    with Server([script, echo]) as server, Client(timeout=QUICK) as client:
        collector.instrument(client)
        for _ in range(3):
            client.get(server.url())
        client.close_idle()

    ends = collector.points("http.client.connection.duration")
    reasons = sorted((told["holdfast.connection.end.reason"], count) for told, count in ends)
    assert reasons == [("client_closed", 1), ("server_close", 1)]


def test_a_request_that_waits_has_its_time_in_the_queue_by_method_and_a_timeout_is_counted(collector: Collector) -> None:
    with Server(busy) as server, Client(timeout=QUICK, limits=Limits(max_connections_per_origin=1)) as client:
        collector.instrument(client)
        with client.get(server.url("/hold"), stream=True), pytest.raises(holdfast.PoolTimeout):
            client.request("PURGE", server.url(), timeout=holdfast.Timeouts(pool=0.001))

    assert collector.points("http.client.request.time_in_queue") == [({"http.request.method": "_OTHER"}, 1)]
    assert collector.points("http.client.connection.timeouts") == [({}, 1)]
    assert collector.attributes[-1]["error.type"] == "holdfast.exceptions.PoolTimeout"


@pytest.mark.parametrize(
    ("origin", "server"),
    [
        ("https://example.com:443", ("example.com", 443)),
        ("http://[::1]:8080", ("::1", 8080)),
        ("http://h:80 via /run/socket", ("h", 80)),
        ("https://h:443 through the proxy http://p:3128", ("h", 443)),
        ("the proxy https://p:3128", ("p", 3128)),
    ],
)
def test_an_origin_of_events_is_the_server_that_stats_name(origin: str, server: tuple[str, int]) -> None:
    assert server_of(origin) == (("server.address", server[0]), ("server.port", server[1]))


# -- whom it instruments -----------------------------------------------------------------------------------------------


def test_all_clients_are_instrumented_those_there_are_and_those_to_come_until_it_is_taken_back(collector: Collector) -> None:
    with Server(echo) as server, Client(timeout=QUICK) as early:
        collector.instrument()
        collector.instrument()
        collector.instrument(early)  # is already
        with Client(timeout=QUICK) as late, holdfast.Session() as session:
            for client in (early, late, session):
                client.get(server.url())
            assert len(collector.spans) == 3
            assert HoldfastInstrumentor().is_instrumented_by_opentelemetry
            HoldfastInstrumentor().uninstrument()
            HoldfastInstrumentor().uninstrument()
            for client in (early, late, session):
                client.get(server.url())
        with Client(timeout=QUICK) as last:
            last.get(server.url())

    assert len(collector.spans) == 3
    assert not HoldfastInstrumentor().is_instrumented_by_opentelemetry
    assert not collector.points("http.client.open_connections")


def test_one_client_is_instrumented_and_no_other_until_it_is_taken_back(collector: Collector) -> None:
    with Server(echo) as server, Client(timeout=QUICK) as one, Client(timeout=QUICK) as other:
        collector.instrument(one)
        for client in (one, other):
            client.get(server.url())
        HoldfastInstrumentor().uninstrument(one)
        HoldfastInstrumentor().uninstrument(other)
        one.get(server.url())

    assert len(collector.spans) == 1
    assert not one._transport.observers


def test_an_instrumented_client_is_dropped_like_any_other_and_told_of_no_more(collector: Collector) -> None:
    with Server(echo) as server:
        client = Client(timeout=QUICK)
        collector.instrument(client)
        client.get(server.url())
        assert collector.points("http.client.open_connections")
        gone = weakref.ref(client._transport)
        client.close()
        del client
        gc.collect()

        assert gone() is None
        assert not collector.points("http.client.open_connections")


def test_it_is_an_instrumentor_that_opentelemetry_finds() -> None:
    (found,) = importlib.metadata.entry_points(group="opentelemetry_instrumentor", name="holdfast")

    assert found.load() is HoldfastInstrumentor
    assert issubclass(HoldfastInstrumentor, importlib.import_module("opentelemetry.instrumentation.instrumentor").BaseInstrumentor)
    assert HoldfastInstrumentor() is HoldfastInstrumentor()
    (needed,) = HoldfastInstrumentor().instrumentation_dependencies()
    assert needed == found.dist.name  # type: ignore[union-attr]  # an installed one's


def test_the_base_classs_own_steps_instrument_all(collector: Collector) -> None:
    with Client() as client:
        HoldfastInstrumentor()._instrument(tracer_provider=collector.tracers, meter_provider=collector.meters)
        watched = len(client._transport.observers)
        HoldfastInstrumentor()._uninstrument()

        assert (watched, client._transport.observers) == (1, [])


PROGRAM = """
import sys
import holdfast
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

spans = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
trace.set_tracer_provider(provider)
holdfast.get(sys.argv[1])
print([span.name for span in spans.get_finished_spans()])
"""


def test_opentelemetry_instrument_instruments_an_unchanged_program() -> None:
    with Server(echo) as server:
        command = Path(sys.executable).with_name("opentelemetry-instrument")
        done = subprocess.run(
            [command, "--traces_exporter", "none", "--metrics_exporter", "none", sys.executable, "-c", PROGRAM, server.url()],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert (done.returncode, done.stdout) == (0, "['GET']\n"), done.stderr


WITHOUT_INSTRUMENTATION = """
import sys
sys.modules["opentelemetry.instrumentation"] = None  # as if it were not installed
import holdfast
from holdfast.contrib.opentelemetry import HoldfastInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

spans = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
HoldfastInstrumentor().instrument(tracer_provider=provider)
holdfast.get(sys.argv[1])
print(HoldfastInstrumentor.__mro__[1:], len(spans.get_finished_spans()))
HoldfastInstrumentor().uninstrument()
holdfast.get(sys.argv[1])
print(len(spans.get_finished_spans()))
"""


def test_it_works_where_the_instrumentation_package_is_not_installed() -> None:
    with Server(echo) as server:
        assert finished(script(WITHOUT_INSTRUMENTATION, server.url())) == "(<class 'object'>,) 1\n1\n"


FORKED = """
import os
import signal
import sys
import threading

import holdfast
from holdfast.contrib import opentelemetry

opentelemetry.HoldfastInstrumentor().instrument()
held, go_on = threading.Event(), threading.Event()

def hold():
    with opentelemetry._lock:
        held.set()
        go_on.wait()

holder = threading.Thread(target=hold)
holder.start()
held.wait()
child = os.fork()
if not child:
    signal.alarm(20)  # a child that hangs does not outlive the test
    with holdfast.Client() as client:
        os._exit(client.get(sys.argv[1]).status_code - 200)
print(os.waitpid(child, 0)[1])
go_on.set()
holder.join()
"""


@pytest.mark.needs("fork")
def test_a_forked_child_makes_clients_although_a_thread_of_its_parent_was_instrumenting_one() -> None:
    with Server(echo) as server:
        assert finished(script(FORKED, server.url())) == "0\n"


# -- beside others -----------------------------------------------------------------------------------------------------


def test_requests_by_httpx_over_holdfast_have_spans(collector: Collector) -> None:
    httpx = pytest.importorskip("httpx", reason="needs httpx: pip install 'holdfast-http[httpx]'")
    from holdfast.contrib.httpx import HoldfastTransport

    collector.instrument()
    with Server(replies(redirect("/b"), ok())) as server, httpx.Client(transport=HoldfastTransport()) as client:
        client.get(server.url("/a"), follow_redirects=True)

    assert [each["url.full"] for each in collector.attributes] == [server.url("/a"), server.url("/b")]
    assert all(request.get("traceparent") for request in server.requests)


def test_connections_under_urllib3_are_told_and_its_requests_left_to_its_own_instrumentation(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("urllib3", reason="needs urllib3")
    from holdfast.contrib.urllib3 import HoldfastPoolManager, keeping

    collector.instrument()
    monkeypatch.setattr(keeping, "_transport", transport := keeping.new_transport(keeper=False))
    with Server([stale, echo]) as server, HoldfastPoolManager() as manager:
        for _ in range(2):
            assert manager.request("GET", server.url()).status == 200
        transport.close()

    assert not collector.spans
    assert [told["http.request.method"] for told, _ in collector.points("holdfast.request.resends")] == ["GET"]
    points = collector.metrics["http.client.connection.duration"].data.data_points
    assert {point.attributes["server.port"] for point in points if point.attributes} == {server.port}


# -- the example -------------------------------------------------------------------------------------------------------


def test_the_example_prints_a_line_for_each_span_and_the_metrics(capsys: pytest.CaptureFixture[str]) -> None:
    assert telemetry.main([]) == 0

    spans, metrics = capsys.readouterr().out.split("metrics:\n")
    told = [re.sub(r"^ +[\d.]+ ms  GET http://127.0.0.1:\d+", "", line) for line in spans.splitlines()[1:]]
    assert told[:5] == [
        "/old  301",
        "/new?api_key=REDACTED  200  (again, 1: redirect)",
        "/busy  503",
        "/busy  200  (again, 1: retry)",
        "/last  200",
    ]
    assert {line.split()[0] for line in metrics.splitlines()} >= {"http.client.request.duration", "http.client.open_connections"}


def test_the_example_says_what_it_could_not_reach(capsys: pytest.CaptureFixture[str]) -> None:
    with Server() as server:
        url = server.url()

    assert telemetry.main([url]) == 1
    assert "gave up: cannot connect" in capsys.readouterr().err


def test_the_example_says_what_it_needs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)

    assert telemetry.main([]) == 2
    assert "pip install opentelemetry-sdk" in capsys.readouterr().err

"""The figures of ``client.stats()`` as Prometheus reads them: from a registry, and from the example service by a real scrape."""

from __future__ import annotations

import gc
import signal
from typing import Any

import pytest

from holdfast import Client, Limits
from tests.conftest import Tls
from tests.server import Server, echo
from tests.support import QUICK, eventually, finished, holding
from tests.test_pool_examples import service

DISTINCT = ("reason", "le", "http_connection_state")


def samples(text: str) -> dict[tuple[str, str], float]:
    """Every sample of a scrape, by its name and what distinguishes it (reason, bucket or state)."""
    from prometheus_client.parser import text_string_to_metric_families

    return {
        (sample.name, next((sample.labels[name] for name in DISTINCT if name in sample.labels), "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.usefixtures("no_leaks")
def test_a_registry_has_the_figures_of_stats_under_the_prefix_and_forgets_a_dropped_client() -> None:
    prometheus = pytest.importorskip("prometheus_client", reason="needs prometheus-client: pip install 'holdfast-http[prometheus]'")
    from holdfast.contrib.prometheus import ClientCollector

    registry = prometheus.CollectorRegistry()
    with Server(echo) as server, Client() as client:
        registry.register(ClientCollector(client, prefix="my"))
        for _ in range(4):
            client.get(server.url("/"))
        text = prometheus.generate_latest(registry).decode()
        found = samples(text)
        stats = client.stats().origins[0]
        assert found["my_requests_total", ""] == stats.requests == 4
        assert found["my_connections_reused_total", ""] == stats.reused == 3
        assert found["my_connections_opened_total", ""] == stats.created == 1
        assert found["my_open_connections", "idle"] == stats.idle == 1
        assert found["my_connections_limit", ""] == 50
        assert found["my_lease_seconds_count", ""] == 4
        assert found["my_lease_seconds_sum", ""] == pytest.approx(stats.lease_total)
        assert found["my_request_time_in_queue_seconds_bucket", "+Inf"] == 0
        client.close_idle()
        assert 'my_connections_closed_total{client="default"' in prometheus.generate_latest(registry).decode()
    del client
    gc.collect()
    assert "127.0.0.1" not in prometheus.generate_latest(registry).decode()
    with pytest.raises(ValueError, match="give it a Client"):
        ClientCollector()


GAUGES = {
    "connections_connecting": "connecting",
    "pending_requests": "waiting",
    "connections_limit": "limit",
    "connections_utilisation_ratio": "utilisation",
}


COUNTERS = {
    "connections_opened": "created",
    "connect_failures": "connect_failures",
    "connections_reused": "reused",
    "requests": "requests",
    "pool_timeouts": "pool_timeouts",
    "leaks": "leaks",
    "early_ends": "early_ends",
}


def histogram(name: str, figures: dict[str, Any], field: str) -> dict[tuple[str, str], float]:
    """The samples that a histogram of these figures has to have."""
    count = figures["waits"] if field == "wait" else figures["requests"]
    metric = f"holdfast_{name}_seconds"
    buckets = {(f"{metric}_bucket", bound): number for bound, number in {**figures[f"{field}_histogram"], "+Inf": count}.items()}
    return {**buckets, (f"{metric}_count", ""): count, (f"{metric}_sum", ""): figures[f"{field}_total"]}


@pytest.mark.usefixtures("no_leaks")
def test_a_scrape_of_the_example_service_has_every_metric_and_its_figures_are_those_of_stats() -> None:
    pytest.importorskip("prometheus_client", reason="needs prometheus-client: pip install 'holdfast-http[prometheus]'")

    with Server(holding) as site, Client(timeout=QUICK) as scraper, service(site.url()) as (url, process):
        for target in ("/1", "/close", "/2"):
            assert scraper.get(url + target[1:]).text == target
            eventually(lambda: site.conn(0).closed or site.requests[-1].target == "/1", "the end of /close")
        # The service keeps two connections ready: wait for these, or the figures would change between the two answers.
        figures: dict[str, Any] = {}
        eventually(lambda: figures.update(scraper.get(url + "stats").json()["origins"][0]) or figures["idle"] == 2, "two idle")
        scraped = scraper.get(url + "metrics")
        process.send_signal(signal.SIGTERM)
        output = finished(process)

    assert output == "ended\n"
    assert scraped.headers["Content-Type"].startswith("text/plain; version=")
    port = figures["origin"].rpartition(":")[2]
    assert f'client="default",server_address="127.0.0.1",server_port="{port}",url_scheme="http"' in scraped.text
    found = samples(scraped.text)
    gauges = {(f"holdfast_{name}", ""): figures[field] for name, field in GAUGES.items()}
    gauges |= {("holdfast_open_connections", state): figures[state] for state in ("active", "idle")}
    counters = {(f"holdfast_{name}_total", ""): figures[field] for name, field in COUNTERS.items()}
    closed = {("holdfast_connections_closed_total", reason): number for reason, number in figures["closed"].items()}
    histograms = histogram("request_time_in_queue", figures, "wait") | histogram("lease", figures, "lease")
    assert found == gauges | counters | closed | histograms
    assert (figures["requests"], figures["closed"]["stale"], figures["limit"]) == (3, 1, 20)


@pytest.mark.usefixtures("no_leaks")
def test_origins_that_differ_in_tls_alone_are_one_series_and_an_unbounded_pool_has_no_limit(tls: Tls) -> None:
    prometheus = pytest.importorskip("prometheus_client", reason="needs prometheus-client: pip install 'holdfast-http[prometheus]'")
    from holdfast.contrib.prometheus import ClientCollector

    registry = prometheus.CollectorRegistry()
    with Server(echo, tls=tls.server_context()) as server, Client(limits=Limits(max_connections_per_origin=None)) as client:
        registry.register(ClientCollector(client))
        for verify in (tls.ca_path, tls.client_context()):
            client.get(server.url("/", host="localhost"), verify=verify)
        text = prometheus.generate_latest(registry).decode()
        assert len(client.stats().origins) == 2

    found = samples(text)
    assert text.count("holdfast_requests_total{") == 1
    assert (found["holdfast_requests_total", ""], found["holdfast_open_connections", "idle"]) == (2, 2)
    assert (found["holdfast_lease_seconds_count", ""], found["holdfast_lease_seconds_bucket", "30.0"]) == (2, 2)
    assert ("holdfast_connections_limit", "") not in found

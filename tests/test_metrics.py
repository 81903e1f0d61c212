"""The figures of ``client.stats()`` as Prometheus reads them: from a registry, and from the example service by a real scrape."""

from __future__ import annotations

import gc
import signal
from typing import Any

import pytest

from holdfast import Client
from tests.server import Server, echo
from tests.support import QUICK, eventually, finished, holding
from tests.test_pool_examples import service


def samples(text: str) -> dict[tuple[str, str], float]:
    """Every sample of a scrape, by its name and what distinguishes it (reason or bucket)."""
    from prometheus_client.parser import text_string_to_metric_families

    return {
        (sample.name, sample.labels.get("reason") or sample.labels.get("le") or ""): sample.value
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
        assert found["my_reused_total", ""] == stats.reused == 3
        assert found["my_connections_opened_total", ""] == stats.created == 1
        assert found["my_connections_idle", ""] == stats.idle == 1
        assert found["my_connections_limit", ""] == 50
        assert found["my_lease_seconds_count", ""] == 4
        assert found["my_lease_seconds_sum", ""] == pytest.approx(stats.lease_total)
        assert found["my_acquire_wait_seconds_bucket", "+Inf"] == 0
        client.close_idle()
        assert 'my_connections_closed_total{client="default"' in prometheus.generate_latest(registry).decode()
    del client
    gc.collect()
    assert "127.0.0.1" not in prometheus.generate_latest(registry).decode()
    with pytest.raises(ValueError, match="give it a Client"):
        ClientCollector()


GAUGES = ("active", "idle", "connecting", "waiting", "limit", "utilisation")


COUNTERS = {
    "connections_opened": "created",
    "connect_failures": "connect_failures",
    "reused": "reused",
    "requests": "requests",
    "pool_timeouts": "pool_timeouts",
    "leaks": "leaks",
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
    assert f'client="default",origin="{figures["origin"]}"' in scraped.text
    found = samples(scraped.text)
    gauges = {(f"holdfast_connections_{name}", ""): figures[name] for name in GAUGES}
    counters = {(f"holdfast_{name}_total", ""): figures[field] for name, field in COUNTERS.items()}
    closed = {("holdfast_connections_closed_total", reason): number for reason, number in figures["closed"].items()}
    assert found == gauges | counters | closed | histogram("acquire_wait", figures, "wait") | histogram("lease", figures, "lease")
    assert (figures["requests"], figures["closed"]["stale"], figures["limit"]) == (3, 1, 20)

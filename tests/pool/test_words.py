"""What the pool of an HTTP client says is said in the words of HTTP, and names the settings that a client has."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import holdfast
from holdfast import Client, Limits, Timeouts, dialer
from holdfast.pool import messages
from holdfast.pool.pool import Pool
from holdfast.routes import Route
from holdfast.wire.proxy import Proxy
from tests.conftest import FakeClock
from tests.pool.test_pool import Asker, Net, until_waiting
from tests.server import Server
from tests.support import QUICK, holding


@pytest.fixture
def net(clock: FakeClock) -> Net:
    return Net(clock)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


def http_pool(net: Net) -> Pool[str, int]:
    """One connection to each origin."""
    return net.pool(Limits(max_connections_per_origin=1, leak_after=30), words=dialer.WORDS)


def test_a_pool_timeout_names_the_setting_or_says_that_responses_should_be_read(server: Server) -> None:
    with Client(limits=Limits(max_connections_per_origin=1), timeout=Timeouts(pool=0.02)) as client:
        options = client._routes.socket_options
        lease = client._transport.pool.acquire(Route("http", "127.0.0.1", server.port, socket_options=options))
        with pytest.raises(holdfast.PoolTimeout, match=r"use fewer threads, or wait longer \(timeouts\.pool\)\.$"):
            client.get(server.url())
        lease.release()
    advice = r"Read streamed responses to their end or close them sooner; or raise the limits\.$"
    with (
        Server(holding) as other,
        Client(limits=Limits(max_connections_per_origin=1), timeout=Timeouts(pool=0.02)) as client,
        client.get(other.url("/hold"), stream=True),
        pytest.raises(holdfast.PoolTimeout, match=advice),
    ):
        client.get(other.url())


def test_a_connect_timeout_names_the_setting_and_what_it_is_for() -> None:
    assert str(messages.connect_timeout("https://h:443", 2.5, dialer.WORDS)) == (
        "no connection to https://h:443 after 2.5 s (timeouts.connect): name resolution, TCP connect or TLS handshake took longer"
    )


def test_a_slow_wait_a_lease_held_for_long_and_a_dropped_one_are_told_as_responses(
    net: Net, caplog: pytest.LogCaptureFixture
) -> None:
    pool = http_pool(net)
    lease = pool.acquire("a")
    asker = Asker(pool)
    until_waiting(pool, 1)
    net.clock.advance(31)
    pool.sweep(net.clock())
    assert "in use for 31.0 s" in caplog.text
    assert "is its response still being read?" in caplog.text
    lease.release()
    assert "max_connections), or read streamed responses to their end or close them sooner" in caplog.text

    asker.result()
    with pytest.warns(ResourceWarning, match="Read the response to its end, close it, or use it as a context manager"):
        asker.lease = None
    (advice,) = pool.advise()
    assert "1 response was dropped without being read or closed" in " ".join(advice.sentences)
    assert "requests/s" in str(advice)


def test_a_closed_client_is_called_a_client(server: Server) -> None:
    client = Client(timeout=QUICK)
    client.close()
    for use in (client.get, client.warm):
        with pytest.raises(holdfast.ClientClosed, match=r"^this client was closed; create another one$"):
            use(server.url())


@pytest.mark.parametrize(
    ("route", "attributes"),
    [
        (Route("http", "::1", 80), {"url.scheme": "http", "server.address": "::1", "server.port": 80}),
        (Route("http", "h", 80, unix_socket="/s"), {"url.scheme": "http", "server.address": "h", "server.port": 80}),
        (Route("http", "p", 3128, proxy=Proxy("p", 3128)), {"server.address": "p", "server.port": 3128}),
    ],
    ids=["IPv6", "unix socket", "proxy"],
)
def test_a_route_says_its_attributes(route: Route, attributes: dict[str, str | int]) -> None:
    assert dialer.attributes(route) == attributes


def test_figures_for_opentelemetry_carry_the_attributes_of_the_server(server: Server) -> None:
    with Client(timeout=QUICK) as client:
        client.get(server.url())
        found = client.stats().opentelemetry()

    where = {"url.scheme": "http", "server.address": "127.0.0.1", "server.port": server.port}
    assert ("http.client.connection.max", where, 50) in found

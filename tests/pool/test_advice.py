"""``client.advise()``: what it recommends, and the measured figures it rests on."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

import holdfast
from holdfast import Client, Limits, Timeouts
from holdfast.pool.advice import advise_origin
from holdfast.pool.words import Words
from tests.conftest import FakeClock
from tests.server import Conn, Server, ok
from tests.support import QUICK, holding, settled


def sentences(client: Client, server: Server) -> str:
    """The advice on one server's origin."""
    return next(" ".join(a.sentences) for a in client.advise() if a.origin.endswith(f":{server.port}"))


def test_advice_names_the_idle_timeout_that_the_server_has(clock: FakeClock) -> None:
    with Server(holding) as server, Client(clock=clock, keeper=False) as client:
        for number in range(6):
            client.get(server.url())
            clock.advance(5.2)
            server.conn(number).close()
            server.wait_idle(number + 1)
        client.get(server.url())

        assert "the server closed 6 idle connections at about 5" in sentences(client, server)
        assert "set idle_timeout=4" in sentences(client, server)


def test_advice_says_that_more_should_be_kept_idle() -> None:
    limits = Limits(max_connections_per_origin=25, max_idle_connections=3)
    with Server(holding) as server, Client(limits=limits, timeout=QUICK) as client:
        together = threading.Barrier(25)

        def use() -> None:
            with client.get(server.url("/x"), stream=True):
                together.wait(5)  # until everybody has a connection

        threads = [threading.Thread(target=use) for _ in range(25)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert settled(client).closed == {"surplus": 22}

        assert "100% of 22 connections were used at most once" in sentences(client, server)
        assert "raise max_idle_connections" in sentences(client, server)


def test_advice_rests_on_littles_law_and_says_what_is_set(clock: FakeClock) -> None:
    """Two requests a second of half a second each: one at a time on average, and half as many again."""

    def slow(conn: Conn) -> None:
        for _ in conn.read_requests():
            clock.advance(0.5)
            conn.send(ok())

    with Server(slow) as server, Client(clock=clock, keeper=False, limits=Limits(max_connections_per_origin=5)) as client:
        assert client.advise() == ()
        for _ in range(10):
            client.get(server.url())
        [advice] = client.advise()

    assert advice.origin == f"http://127.0.0.1:{server.port}"
    assert advice.lease_mean == pytest.approx(0.5)
    assert advice.request_rate == pytest.approx(2, rel=0.2)
    assert advice.recommended_max == 2
    assert advice.current_max == 5
    assert advice.sentences == ()


def test_advice_on_leaks_waits_and_failures() -> None:
    with Server(holding) as server, Client(limits=Limits(max_connections_per_origin=1), timeout=QUICK) as client:
        with pytest.warns(ResourceWarning):
            client.get(server.url("/hold"), stream=True)
        with client.get(server.url("/hold"), stream=True), pytest.raises(holdfast.PoolTimeout):
            client.get(server.url(), timeout=Timeouts(pool=0.01))
        server.stop_listening()
        for _ in range(6):
            with pytest.raises(holdfast.ConnectionError):
                client.get(server.url())

        said = sentences(client, server)
        assert "1 response was dropped without being read or closed" in said
        assert "1 in vain: raise max_connections_per_origin" in said
        assert "6 of 8 attempts to connect failed" in said


def test_advice_says_why_requests_were_given_new_connections() -> None:
    """A server that closes after each answer, and one that closes after 5 s; the requests are such as cannot be repeated."""
    with Server(holding) as server, Client() as client:
        client.get(server.url())
        row = client.stats().origins[0]
    once = replace(row, avoided=7, closes_after_uses=1)
    later = replace(row, avoided=7, closes_after_uses=None, closes_after=4.96)

    said = "7 uses that cannot be repeated were given new connections, because the server closes each connection after one use"
    assert advise_origin(once, Limits(), Words()).sentences == (f"{said} without saying so: set max_requests=1",)
    assert "closes after 3 uses" in advise_origin(replace(once, closes_after_uses=3), Limits(), Words()).sentences[0]
    assert "closes idle connections after about 5 s" in advise_origin(later, Limits(), Words()).sentences[0]
    assert advise_origin(replace(later, closes_after=None), Limits(), Words()).sentences == ()
    assert advise_origin(replace(once, avoided=4), Limits(), Words()).sentences == ()

"""Servers that close when it suits them, each by its script: what a client has to have met once, it does not meet again.

On loopback the kernel proves that a request was not delivered. So these servers read the request at which they close, as a relay
does that acknowledges for them: nothing is proven then, and a POST is lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import holdfast
from holdfast import Client, Limits
from tests.conftest import FakeClock, Tls
from tests.server import Conn, Script, Server, ok, response
from tests.support import QUICK, holding


@pytest.fixture(params=["plain", "tls"])
def secure(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "tls")


@contextmanager
def meeting(
    script: Script, clock: FakeClock, secure: bool, tls: Tls, limits: Limits | None = None
) -> Iterator[tuple[Server, Client]]:
    """A server and a client that has not met it yet, on the test's clock."""
    context = tls.server_context() if secure else None
    client = Client(clock=clock, keeper=False, verify=tls.ca_path, limits=limits, timeout=QUICK)
    with Server(script, tls=context) as server, client:
        yield server, client


def closes_idle(clock: FakeClock, after: float) -> Script:
    """Keeps a connection for so long after each answer."""

    def script(conn: Conn) -> None:
        until = float("inf")
        for _ in conn.read_requests():
            if clock() >= until:
                return
            until = clock() + after  # first: once it has its answer, the test moves the clock
            conn.send(ok())

    return script


def closes_after(uses: int) -> Script:
    """Answers so many requests on each connection, none of them with a hint, and closes at the next."""

    def script(conn: Conn) -> None:
        for _ in range(uses):
            if conn.read_request() is None:
                return
            conn.send(ok())
        conn.read_request()

    return script


def test_only_the_first_meeting_with_an_idle_close_costs_a_post(clock: FakeClock, secure: bool, tls: Tls) -> None:
    with meeting(closes_idle(clock, 1.0), clock, secure, tls) as (server, client):
        client.post(server.url(), data=b"1")
        clock.advance(1)
        with pytest.raises(holdfast.ConnectionLost) as lost:
            client.post(server.url(), data=b"2")
        for _ in range(5):
            client.post(server.url(), data=b"3")
            clock.advance(0.99)
        assert lost.value.may_have_executed
        before = server.connections
        for _ in range(5):
            client.post(server.url(), data=b"4")
            clock.advance(0.74)
        assert server.connections == before + 1, "below that age it reuses as ever"


def test_an_idempotent_request_takes_the_old_connection_and_is_sent_again_if_it_met_the_close(
    clock: FakeClock, secure: bool, tls: Tls
) -> None:
    with meeting(closes_idle(clock, 1.0), clock, secure, tls) as (server, client):
        for _ in range(3):
            client.get(server.url())
            clock.advance(0.9)
        assert server.connections == 1
        clock.advance(0.1)
        assert client.get(server.url()).attempts == 2
        clock.advance(0.9)
        assert client.get(server.url()).attempts == 1
        clock.advance(0.9)
        client.put(server.url(), data=iter([b"a body that there is once"]))

    assert server.connections == 3


@pytest.mark.parametrize("uses", [1, 3])
def test_a_server_that_closes_after_so_many_answers_is_met_twice(
    clock: FakeClock, secure: bool, tls: Tls, uses: int
) -> None:
    with meeting(closes_after(uses), clock, secure, tls) as (server, client):
        for _ in range(2):
            for _ in range(uses):
                client.post(server.url(), data=b"1")
            with pytest.raises(holdfast.ConnectionLost):
                client.post(server.url(), data=b"2")
        for _ in range(4 * uses):
            client.post(server.url(), data=b"3")
        row = client.stats().origins[0]

    assert server.connections == 6
    assert (row.closes_after, row.closes_after_uses, row.avoided) == (None, uses, 3)


def test_gets_teach_what_spares_posts(clock: FakeClock, secure: bool, tls: Tls) -> None:
    with meeting(closes_after(1), clock, secure, tls) as (server, client):
        assert [client.get(server.url()).attempts for _ in range(3)] == [1, 2, 2]
        for _ in range(5):
            client.post(server.url(), data=b"1")


def test_a_key_makes_a_post_repeatable(clock: FakeClock, secure: bool, tls: Tls) -> None:
    with meeting(closes_after(1), clock, secure, tls) as (server, client):
        client.get(server.url())
        for _ in range(3):
            assert client.post(server.url(), data=b"1", headers={"Idempotency-Key": "k"}).attempts == 2


def test_without_learning_every_meeting_costs_one(clock: FakeClock, tls: Tls) -> None:
    with meeting(closes_after(1), clock, False, tls, Limits(learn=False)) as (server, client):
        for _ in range(3):
            client.post(server.url(), data=b"1")
            with pytest.raises(holdfast.ConnectionLost):
                client.post(server.url(), data=b"2")


# -- connections that never carried a request --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said", [response(408, b"", "Connection: close"), response(408, b"{}"), b"HTTP/1.1 400 Bad Request\r\n\r\n"]
)
def test_what_a_silent_connection_brings_is_no_answer(clock: FakeClock, secure: bool, tls: Tls, said: bytes) -> None:
    def script(conn: Conn) -> None:
        if conn.number:
            holding(conn)
        else:
            conn.send(said)

    with meeting(script, clock, secure, tls) as (server, client):
        client.warm(server.url())
        server.wait_idle(1)
        sent = client.post(server.url(), data=b"1")

        assert (sent.status_code, sent.attempts) == (200, 1)
        assert client.stats().closed == {"stale": 1}


def test_at_its_first_use_it_counts_as_reused(clock: FakeClock, secure: bool, tls: Tls) -> None:
    """The server had a reason to close it: it was silent for a while. A GET is sent again, a POST is reported."""

    def script(conn: Conn) -> None:
        if conn.number in (0, 2):
            conn.read_request()
        else:
            holding(conn)

    with meeting(script, clock, secure, tls) as (server, client):
        client.warm(server.url())
        clock.advance(3)
        assert client.get(server.url()).attempts == 2
        client.close_idle()
        client.warm(server.url())
        clock.advance(3)
        with pytest.raises(holdfast.ConnectionLost) as lost:
            client.post(server.url(), data=b"1")

    assert (lost.value.reused, lost.value.idle) == (True, 3)


def test_it_is_not_used_when_it_is_old(clock: FakeClock, secure: bool, tls: Tls) -> None:
    with meeting(holding, clock, secure, tls) as (server, client):
        client.warm(server.url(), 2)
        clock.advance(4)
        client.post(server.url(), data=b"1")

        assert client.stats().closed == {"unused": 2}
        assert [request.connection for request in server.requests] == [2]

"""What doctor looks at, each against a server that plays its part."""

from __future__ import annotations

import socket
import sys
import threading
import time

import pytest

from holdfast import ConnectionError as HoldfastConnectionError
from holdfast import ReadTimeout
from holdfast.cli import observations, probe
from holdfast.cli.observations import (
    AddressSeen,
    Bench,
    Http10,
    PerConnection,
    acknowledged,
    delayed_acks,
    each_address,
    first_answer,
    http10,
    requests_per_connection,
    resumption,
    signs_of_a_proxy,
)
from holdfast.cli.probe import Clock, Target
from tests.cli.support import hang_up
from tests.conftest import FakeClock, Tls
from tests.server import Conn, Script, Server, head, ok, replies, response

pytestmark = pytest.mark.usefixtures("no_leaks")


def bench(server: Server, clock: Clock, *, host: str | None = None, verify: str | bool = True) -> Bench:
    """A bench for a server, with a minute."""
    return Bench(Target.of(server.url(host=host), verify), clock, clock() + 60)


def test_the_first_answer_says_what_the_server_is_and_promises(clock: FakeClock) -> None:
    said = ok(b"x", "Server: Apache", "Connection: Keep-Alive", "Keep-Alive: timeout=5, max=100", "Via: 1.1 varnish")
    with Server(replies(said)) as server:
        first = first_answer(bench(server, clock))

    assert (first.status, first.version, first.server, first.says, first.kept) == (200, "HTTP/1.1", "Apache", "Keep-Alive", True)
    assert (first.hint_timeout, first.hint_max) == (5, 100)
    assert (first.method, first.proxies, first.tls, first.handshake) == ("GET", ("via",), "", None)


@pytest.mark.parametrize("size", [65537, probe.MOST_BODY + 1])
def test_a_long_body_is_asked_for_by_head_from_then_on(clock: FakeClock, size: int) -> None:
    def script(conn: Conn) -> None:
        for request in conn.read_requests():
            conn.send(head(200, f"Content-Length: {size}") + (b"" if request.method == "HEAD" else b"x" * size))

    with Server(script) as server:
        it = bench(server, clock)
        assert first_answer(it).method == "HEAD"
        assert it.method == "HEAD"
        assert it.opened == server.connections
        assert it.asked == len(server.requests)


@pytest.mark.parametrize(
    ("headers", "signs"),
    [
        ([], ()),
        ([("server", "nginx")], ()),
        ([("server", "cloudflare"), ("cf-ray", "1"), ("cf-ray", "2")], ("cf-ray", "server: cloudflare")),
        ([("x-cache", "HIT")], ("x-cache",)),
    ],
)
def test_a_proxy_gives_itself_away_by_what_it_adds(headers: list[tuple[str, str]], signs: tuple[str, ...]) -> None:
    assert signs_of_a_proxy(headers) == signs


def counting(most: int, last: bytes) -> Script:
    """Answers ``most`` requests, the last one by ``last``, and ends the connection."""

    def script(conn: Conn) -> None:
        for number in range(most):
            if conn.read_request() is None:
                return
            conn.send(last if number == most - 1 else ok())

    return script


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (counting(3, ok(b"", "Connection: close")), PerConnection(3, True, True)),
        (counting(3, ok()), PerConnection(3, True, False)),
        (counting(1, ok()), PerConnection(1, True, False)),
        (counting(1, response(200, b"", version="1.0")), PerConnection(1, True, True)),
        (counting(99, ok()), PerConnection(5, False, False)),
    ],
)
def test_how_many_requests_one_connection_carries(clock: FakeClock, script: Script, expected: PerConnection) -> None:
    with Server(script) as server:
        assert requests_per_connection(bench(server, clock), 5) == expected


def test_the_count_ends_when_its_time_does(clock: FakeClock) -> None:
    def script(conn: Conn) -> None:
        for number, _ in enumerate(conn.read_requests()):
            clock.advance(0.9 if number else 9)
            conn.send(ok())

    with Server(script) as server:
        it = Bench(Target.of(server.url()), clock, clock() + 9.5)
        assert requests_per_connection(it, 99) == PerConnection(2, False, False)


def test_an_answer_that_our_own_time_cut_off_is_not_held_against_the_server(clock: FakeClock) -> None:
    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(ok())
        conn.expect_request()
        clock.advance(60)
        conn.send(b"HTTP/1.1 ")
        conn.wait_closed()

    with Server(script) as server:
        assert requests_per_connection(bench(server, clock), 99) == PerConnection(1, False, False)


def test_a_server_that_closes_after_two_answers_for_a_while_is_waited_for() -> None:
    with Server(counting(2, ok())) as server:
        assert requests_per_connection(bench(server, time.monotonic), 2) == PerConnection(2, True, False)


def test_a_server_that_stops_answering_or_never_does_is_an_error(clock: FakeClock) -> None:
    with Server(replies(ok())) as server:
        it = bench(server, clock)
        it.patience = 0.1
        with pytest.raises(ReadTimeout):
            requests_per_connection(it, 5)
    with Server(hang_up) as server, pytest.raises(HoldfastConnectionError):
        requests_per_connection(bench(server, clock), 5)


def test_the_seconds_of_delayed_acknowledgements_are_those_that_immediate_ones_save(clock: FakeClock) -> None:
    def script(conn: Conn) -> None:
        for number, _ in enumerate(conn.read_requests()):
            clock.advance(0.044 if observations.SAMPLES <= number < 2 * observations.SAMPLES else 0.001)
            conn.send(ok())

    with Server(script) as server:
        stalls = delayed_acks(bench(server, clock))

    assert (round(stalls.plain, 3), round(stalls.quick, 3), stalls.stalls) == (0.044, 0.001, True)


@pytest.mark.skipif(sys.platform != "linux", reason="the stall is of Linux's making")
def test_a_server_that_writes_an_answer_in_two_parts_and_waits_in_between_is_found() -> None:
    def script(conn: Conn) -> None:
        conn.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
        for _ in conn.read_requests():
            conn.send(head(200, "Content-Length: 2"), b"ok")

    with Server(script) as server:
        assert delayed_acks(bench(server, time.monotonic)).stalls
    with Server(replies(*[ok(b"ok")] * 18)) as server:
        assert not delayed_acks(bench(server, time.monotonic)).stalls


def test_who_acknowledges_is_measured_on_two_connections(clock: FakeClock, tls: Tls) -> None:
    with Server(replies(*[ok()] * 3), tls=tls.server_context()) as server:
        it = bench(server, clock, host="localhost", verify=tls.ca_path)
        seen = acknowledged(it)

        assert (it.opened, it.asked) == (2, 6)
    assert seen.handshake == 0
    assert seen.answer == 0


def test_who_acknowledges_is_measured_where_nothing_is_kept_and_nothing_is_told(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "_TCP_INFO", None)
    with Server(counting(1, ok(b"", "Connection: close"))) as server:
        seen = acknowledged(bench(server, clock))

    assert (seen.ack, seen.handshake, seen.early) == (None, None, None)


def test_who_acknowledges_is_known_from_one_answer_where_the_server_then_ends_without_a_word(clock: FakeClock) -> None:
    with Server(counting(1, ok())) as server:
        it = bench(server, clock)

        assert acknowledged(it).answer == 0
        assert it.opened == 2


@pytest.mark.parametrize(("tickets", "resumed", "dials"), [(2, 5, 5), (0, 0, 0)])
def test_every_further_handshake_offers_the_newest_session(
    clock: FakeClock, tls: Tls, tickets: int, resumed: int, dials: int
) -> None:
    with Server(tls=tls.server_context(tickets=tickets)) as server:
        seen = resumption(bench(server, clock, host="localhost", verify=tls.ca_path))

        assert server.handshakes == dials + 1
        assert server.resumptions == resumed
    assert (seen.tickets, seen.dials, seen.resumed, seen.full) == (tickets > 0, dials, resumed, 0)
    assert seen.share == (1 if dials else 0)


def test_sessions_that_a_server_does_not_take_count_as_full_handshakes(clock: FakeClock, tls: Tls) -> None:
    contexts = [tls.server_context() for _ in range(6)]  # as a server that makes a new one for each connection

    def script(conn: Conn) -> None:
        conn.start_tls(contexts.pop())
        conn.expect_request()
        conn.send(ok())
        conn.wait_closed()

    with Server(script) as server:
        url = server.url(host="localhost").replace("http:", "https:")
        seen = resumption(Bench(Target.of(url, tls.ca_path), clock, clock() + 60))

    assert (seen.tickets, seen.dials, seen.resumed, seen.short) == (True, 5, 0, None)


def test_each_address_is_asked_and_a_dead_one_says_why(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(replies(ok())) as server:
        monkeypatch.setattr(observations, "addresses_of", lambda *_: [server.address, ("127.0.0.1", 1)])
        alive, dead = each_address(bench(server, clock))

    assert alive == AddressSeen("127.0.0.1", 0, None, 0, 200)
    assert dead.address == "127.0.0.1"
    assert "refused" in dead.error


def test_the_addresses_of_a_name_are_looked_up(clock: FakeClock) -> None:
    with Server(replies(ok())) as server:
        assert [each.address for each in each_address(bench(server, clock))] == ["127.0.0.1"]


def test_http_1_0_is_kept_if_the_connection_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observations, "SETTLE", 0.05)
    stays, leaves = replies(ok(b"", "Connection: keep-alive")), counting(1, ok())
    with Server([stays, leaves]) as server:
        it = bench(server, time.monotonic)
        assert http10(it) == Http10(200, "keep-alive", True)
        assert http10(it) == Http10(200, "", False)
        assert [request.version for request in server.requests] == ["1.0", "1.0"]


def test_a_step_never_has_more_time_than_is_left(clock: FakeClock) -> None:
    it = Bench(Target.of("http://localhost/"), clock, clock() + 15)

    assert (it.left(), it.late) == (10, False)
    clock.advance(12)
    assert (it.left(), it.late) == (3, False)
    clock.advance(4)
    assert (it.left(), it.late) == (1, True)


def test_nothing_but_get_and_head_is_ever_sent(clock: FakeClock, tls: Tls) -> None:
    done = threading.Event()
    with Server(tls=tls.server_context()) as server:
        it = bench(server, clock, host="localhost", verify=tls.ca_path)
        first_answer(it)
        each_address(it)
        acknowledged(it)
        resumption(it)
        done.set()

        assert {request.method for request in server.requests} == {"GET"}
        assert it.asked == len(server.requests)
        assert it.opened == server.connections

"""The pool's life and health as a service sees it: real sockets, real threads, real processes."""

from __future__ import annotations

import gc
import os
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import holdfast
from holdfast import Client, Limits, Timeouts
from holdfast.wire import network
from holdfast.wire.keeper import keeper
from holdfast.wire.pool import PoolEvent
from tests.conftest import FakeClock, Tls
from tests.server import Conn, Server, echo, ok

LONG = 10.0


@pytest.fixture
def server(no_leaks: None) -> Iterator[Server]:
    with Server(echo) as running:
        yield running


def eventually(true: Callable[[], bool], seconds: float = LONG) -> float:
    """Seconds until it was true."""
    began = time.monotonic()
    ticker = threading.Event()
    while not true():
        assert time.monotonic() - began < seconds, "still not so"
        ticker.wait(0.01)
    return time.monotonic() - began


def in_parallel(count: int, work: Callable[[int], object]) -> list[BaseException]:
    """Run ``work`` in ``count`` threads; what they raised."""
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001 - it is what the test looks at
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads), "somebody hangs"
    return errors


# -- prewarming --------------------------------------------------------------------------------------------------------


def test_warm_opens_connections_that_are_used(server: Server) -> None:
    with Client() as client:
        assert client.warm(server.url("/"), 5) == 5
        assert (client.stats().idle, client.stats().created) == (5, 5)
        assert client.get(server.url("/")).json()["connection"] in range(5)
        assert client.stats().created == 5


def test_warm_shakes_hands(no_leaks: None, tls: Tls) -> None:
    with Server(echo, tls=tls.server_context()) as server, Client(verify=tls.ca_path) as client:
        assert client.warm(server.url("/"), 2) == 2
        server.wait_for_handshakes(2)
        client.get(server.url("/"))
        assert server.connections == 2


def test_warm_of_a_dead_server_opens_nothing_and_says_why(no_leaks: None, caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with Client() as client:
        assert client.warm(f"http://127.0.0.1:{port}/", 2) == 0
    assert "could not be opened in advance" in caplog.text


# -- the keeper --------------------------------------------------------------------------------------------------------


def hold_then_close(now: threading.Event) -> Callable[[Conn], None]:
    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(ok(b"x"))
        conn.wait(now)
        conn.fin()
        conn.wait_closed()

    return script


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_idle_connections_that_the_server_closes_are_closed_within_two_seconds(no_leaks: None, tls: Tls, secure: bool) -> None:
    now = threading.Event()
    context = tls.server_context() if secure else None
    with Server(hold_then_close(now), tls=context) as server, Client(limits=Limits(100), verify=tls.ca_path) as client:
        responses = [client.get(server.url("/"), stream=True) for _ in range(20)]
        for response in responses:
            assert response.content == b"x"
        assert client.stats().idle == 20
        now.set()
        assert eventually(lambda: client.stats().idle == 0, 4) <= 2.5
        assert client.stats().closed["stale"] == 20


def test_session_tickets_are_no_reason_to_close(no_leaks: None, tls: Tls) -> None:
    with Server(echo, tls=tls.server_context(tickets=2)) as server, Client(verify=tls.ca_path) as client:
        client.warm(server.url("/"), 3)
        pool = client._transport.pool
        for _ in range(3):
            pool.sweep(time.monotonic())
        assert client.stats().idle == 3


def test_without_a_keeper_there_is_no_thread_and_use_does_the_work(server: Server, clock: FakeClock) -> None:
    eventually(lambda: not keeper.running)
    with Server(echo) as other, Client(keeper=False, clock=clock) as client:
        client.get(server.url("/"))
        assert not keeper.running
        clock.advance(client.limits.idle_timeout or 0)
        client.get(other.url("/"))
        assert client.stats().closed == {"idle_timeout": 1}


def test_the_keeper_is_gone_within_a_second_of_the_last_client(server: Server) -> None:
    eventually(lambda: not keeper.running)
    clients = [Client(), Client()]
    for client in clients:
        client.get(server.url("/"))
    assert keeper.running
    clients[0].close()
    clients[1].close()
    assert eventually(lambda: not keeper.running) < 1.0


def test_the_keeper_does_not_keep_a_dropped_client(server: Server) -> None:
    client = Client()
    client.get(server.url("/"))
    del client
    gc.collect()
    eventually(lambda: not keeper.running, 3)


def test_min_idle_connections_are_opened_for_a_server_in_use(server: Server) -> None:
    with Client(limits=Limits(min_idle_connections=3)) as client:
        client.get(server.url("/"))
        eventually(lambda: client.stats().idle == 3, 3)


def test_an_idle_client_costs_next_to_nothing(server: Server) -> None:
    with Client() as client:
        client.warm(server.url("/"), 50)
        pool = client._transport.pool
        began = time.process_time()
        for _ in range(20):
            pool.sweep(time.monotonic())
        cost = (time.process_time() - began) / 20
        assert cost < 0.001, "one such sweep a second is 0.1 %"


def test_a_glance_at_closed_descriptors_is_harmless() -> None:
    one, other = socket.socketpair()
    with one, other:
        assert network.suspicious([]) == []
        assert network.suspicious([one.fileno()]) == []
        other.send(b"x")
        assert network.suspicious([one.fileno()]) == [one.fileno()]
        assert one.recv(1) == b"x", "it has consumed nothing"
        gone = os.dup(one.fileno())
        os.close(gone)
        assert network.suspicious([gone]) == [gone]


# -- leaks -------------------------------------------------------------------------------------------------------------


def big(conn: Conn) -> None:
    for _ in conn.read_requests():
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1000)


def test_a_streamed_response_that_is_dropped_warns_at_the_line_that_asked_for_it(no_leaks: None) -> None:
    with Server(big) as server, Client(limits=Limits(max_connections_per_origin=1)) as client:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            response = client.get(server.url("/film?key=secret"), stream=True)
            line = sys._getframe().f_lineno - 1
            del response
            gc.collect()
        (warning,) = [w for w in caught if w.category is ResourceWarning]
        assert (warning.filename, warning.lineno) == (__file__, line)
        assert f"GET {server.url('/film')} was dropped while in use" in str(warning.message)
        assert "secret" not in str(warning.message)
        assert (client.stats().leaks, client.stats().active) == (1, 0)
        client.get(server.url("/"), stream=True, timeout=Timeouts(pool=1)).close()


def test_pool_timeout_tells_who_has_the_connections_and_what_to_do(no_leaks: None) -> None:
    with Server(big) as server, Client(limits=Limits(max_connections_per_origin=1)) as client:
        held = client.get(server.url("/film"), stream=True)
        line = sys._getframe().f_lineno - 1
        with pytest.raises(holdfast.exceptions.PoolTimeout) as caught:
            client.get(server.url("/other"), timeout=Timeouts(pool=0.01))
        assert f"by GET {server.url('/film')} (borrowed at {__file__}:{line})" in str(caught.value)
        assert "Read streamed responses to their end or close them, sooner; or raise the limits" in str(caught.value)
        held.close()


def test_noting_the_borrower_costs_less_than_a_microsecond_or_so(no_leaks: None) -> None:
    with Server(big) as server, Client() as client:
        response = client.get(server.url("/"), stream=True)
        source: Any = response._source
        rounds = []
        for _ in range(20):
            began = time.process_time()
            for _ in range(200):
                source.note_borrower()
            rounds.append((time.process_time() - began) / 200)
        if sys.gettrace() is None:
            assert min(rounds) < 5e-6
        response.close()


# -- events, statistics, exporters -------------------------------------------------------------------------------------


def test_a_client_tells_what_happens(no_leaks: None) -> None:
    told: list[PoolEvent] = []
    now = threading.Event()
    with Server([hold_then_close(now), echo]) as server, Client(keeper=False) as client:
        client.on_event(told.append)
        client.get(server.url("/"))
        now.set()
        stream: Any = next(iter(client._transport.pool._idle)).resource.stream
        eventually(lambda: bool(network.suspicious([stream.fileno()])))
        client.get(server.url("/"))
        kinds = [(event.kind, event.reason) for event in told]
        assert kinds == [("opened", ""), ("closed", "stale"), ("opened", "")]
        assert {event.origin for event in told} == {server.url("").rstrip("/")}


def test_a_resent_request_is_counted_and_told(no_leaks: None) -> None:
    told: list[PoolEvent] = []

    def hang_up_on_the_second(conn: Conn) -> None:
        conn.expect_request()
        conn.send(ok(b"x"))
        conn.expect_request()
        conn.close()

    with Server([hang_up_on_the_second, echo]) as server, Client() as client:
        client.on_event(told.append)
        client.get(server.url("/"))
        assert client.get(server.url("/")).status_code == 200
        assert sum(client.stats().resent.values()) == 1
        assert [event.reason for event in told if event.kind == "resent"] == list(client.stats().resent)


def test_advise_rests_on_what_was_measured(server: Server) -> None:
    with Client() as client:
        assert client.advise() == ()
        for _ in range(5):
            client.get(server.url("/"))
        (advice,) = client.advise()
        assert advice.origin == server.url("").rstrip("/")
        assert (advice.recommended_max, advice.current_max, advice.sentences) == (1, 50, ())


def test_a_prometheus_scrape_has_the_figures_of_stats(server: Server) -> None:
    prometheus = pytest.importorskip("prometheus_client")
    from prometheus_client.parser import text_string_to_metric_families

    from holdfast.contrib.prometheus import ClientCollector

    registry = prometheus.CollectorRegistry()
    with Client() as client:
        registry.register(ClientCollector(client, prefix="my"))
        for _ in range(4):
            client.get(server.url("/"))
        text = prometheus.generate_latest(registry).decode()
        samples = {
            (sample.name, sample.labels.get("reason", sample.labels.get("le", ""))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
        stats = client.stats().origins[0]
        assert samples["my_requests_total", ""] == stats.requests == 4
        assert samples["my_reused_total", ""] == stats.reused == 3
        assert samples["my_connections_opened_total", ""] == stats.created == 1
        assert samples["my_connections_idle", ""] == stats.idle == 1
        assert samples["my_connections_limit", ""] == 50
        assert samples["my_lease_seconds_count", ""] == 4
        assert samples["my_lease_seconds_sum", ""] == pytest.approx(stats.lease_total)
        assert samples["my_acquire_wait_seconds_bucket", "+Inf"] == 0
        client.close_idle()
        assert 'my_connections_closed_total{client="default"' in prometheus.generate_latest(registry).decode()
    del client
    gc.collect()
    assert "127.0.0.1" not in prometheus.generate_latest(registry).decode()
    with pytest.raises(ValueError, match="give it a Client"):
        ClientCollector()


# -- under load --------------------------------------------------------------------------------------------------------


def test_sixty_four_threads_share_eight_connections_without_an_error(server: Server) -> None:
    """And nobody waits unduly: the longest wait is at most 20 times the median."""
    waits: list[float] = []
    with Client(limits=Limits(max_connections_per_origin=8)) as client:
        client.on_event(lambda event: waits.append(event.seconds or 0.0) if event.kind == "waited" else None)

        def work(number: int) -> None:
            for _ in range(20):
                assert client.get(server.url("/")).status_code == 200

        assert in_parallel(64, work) == []
        stats = client.stats()
        assert (stats.requests, stats.active, stats.waiting, stats.connecting) == (64 * 20, 0, 0, 0)
        assert stats.created == stats.idle + sum(stats.closed.values())
        assert stats.created - sum(stats.closed.values()) <= 8
        assert server.connections <= 8
        assert stats.waits == len(waits) > 100
        assert max(waits) <= 20 * statistics.median(waits)


SERVE = """
import socketserver, sys
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        while True:
            line = self.rfile.readline()
            if not line: return
            while self.rfile.readline() not in (b"\\r\\n", b""): pass
            self.wfile.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 100
server = Server(("127.0.0.1", int(sys.argv[1])), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


def start_server(port: int = 0) -> tuple[subprocess.Popen[str], int]:
    process = subprocess.Popen([sys.executable, "-c", SERVE, str(port)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, int(process.stdout.readline())


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Platform-specific: there is no SIGKILL")
def test_a_server_that_is_killed_and_restarted_costs_no_slot(no_leaks: None) -> None:
    process, port = start_server()
    url = f"http://127.0.0.1:{port}/"
    stop = threading.Event()
    answered = [0] * 16
    with Client(limits=Limits(max_connections_per_origin=8), timeout=5) as client:

        def work(number: int) -> None:
            while not stop.is_set():
                try:
                    answered[number] += client.get(url).ok
                except holdfast.exceptions.ConnectionError:
                    stop.wait(0.005)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for _ in range(20):
            before = sum(answered)
            eventually(lambda before=before: sum(answered) > before + 20)  # type: ignore[misc]
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
            process, _ = start_server(port)
        stop.set()
        for thread in threads:
            thread.join(LONG)
        stats = client.stats()
        assert (stats.active, stats.connecting, stats.waiting) == (0, 0, 0)
        client.close_idle()
        pool = client._transport.pool
        route = next(iter(pool._origins))
        leases = [pool.acquire(route, wait=1, connect=5) for _ in range(8)]
        with pytest.raises(holdfast.exceptions.PoolTimeout):
            pool.acquire(route, wait=0)
        for lease in leases:
            lease.release()
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Platform-specific: there is no fork")
def test_parent_and_children_share_a_client_and_no_connection(no_leaks: None, tls: Tls) -> None:
    """In a process of its own, which has threads of nobody else. The server counts a handshake per process and more."""
    script = """
import os, sys, holdfast
client = holdfast.Client(verify=sys.argv[2])
def use():
    for _ in range(10):
        answer = client.get(sys.argv[1] + str(os.getpid()))
        assert answer.json()["target"] == "/" + str(os.getpid()), answer.text
use()
children = []
for _ in range(4):
    pid = os.fork()
    if not pid:
        use()
        assert client.stats().created == 1, client.stats()
        os._exit(0)
    children.append(pid)
use()
for pid in children:
    assert os.waitpid(pid, 0)[1] == 0
use()
assert client.stats().created == 1, client.stats()
assert client.stats().requests == 30, client.stats()
"""
    with Server(echo, tls=tls.server_context()) as server:
        command = [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", script, server.url("/"), tls.ca_path]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        server.wait_for_handshakes(5)
        assert server.connections == 5


def test_at_exit_there_is_no_noise(no_leaks: None, tls: Tls) -> None:
    script = """
import sys, holdfast
client = holdfast.Client(verify=sys.argv[3])
client.get(sys.argv[1])
client.get(sys.argv[2])
holdfast.get(sys.argv[1])
"""
    with Server(echo) as server, Server(echo, tls=tls.server_context()) as secure:
        command = [sys.executable, "-X", "dev", "-W", "error", "-c", script, server.url("/"), secure.url("/"), tls.ca_path]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

"""Connections that nobody uses just now: opened in advance, kept ready, watched by the keeper, closed when their time has come.

Where months matter the clock is the test's: a client without a keeper does its upkeep when a connection is given back, so that
``clock.advance()`` and a request to another origin are the time that passes. ``eventually_swept()`` wakes the keeper,
which looks by itself once a second.
"""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import holdfast
from holdfast import Client, Limits
from holdfast.pool.keeper import keeper
from tests.conftest import FakeClock, Tls
from tests.server import Conn, Server, echo, ok
from tests.support import QUICK, by_name, eventually, eventually_swept, finished, holding, script

# -- opened in advance -------------------------------------------------------------------------------------------------


def test_warm_opens_in_parallel_says_how_many_and_logs_why_not_more(caplog: pytest.LogCaptureFixture) -> None:
    together = threading.Barrier(6)

    def slow(conn: Conn) -> None:
        together.wait(5)  # nobody is answered before all are there
        echo(conn)

    with Server(slow) as server, Client(limits=Limits(max_connections_per_origin=6), timeout=QUICK) as client:
        assert client.warm(server.url(), 10) == 6
        assert client.stats().total.idle == 6
        assert client.warm(server.url()) == 0, "there is no room for more"
        assert client.get(server.url()).status_code == 200
        assert client.stats().total.created == 6
        with socket.create_server(("127.0.0.1", 0)) as unused:
            nowhere = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        assert client.warm(nowhere, 2) == 0
    assert "a connection could not be opened in advance" in caplog.text
    with pytest.raises(holdfast.ClientClosed):
        client.warm(server.url())


@pytest.mark.usefixtures("no_leaks")
def test_warm_shakes_hands_and_session_tickets_are_no_reason_to_close(tls: Tls) -> None:
    with Server(echo, tls=tls.server_context(tickets=2)) as server, Client(verify=tls.ca_path) as client:
        assert client.warm(server.url(), 3) == 3
        server.wait_for_handshakes(3)
        pool = client._transport.pool
        for _ in range(3):
            pool.sweep(time.monotonic())
        assert client.stats().idle == 3
        client.get(server.url())
        assert server.connections == 3


@pytest.mark.usefixtures("no_leaks")
def test_min_idle_connections_are_opened_by_the_keeper_and_replaced_when_they_end() -> None:
    with Server(holding) as server, Client(limits=Limits(min_idle_connections=3), timeout=QUICK) as client:
        client.get(server.url())
        eventually_swept(client, lambda: client.stats().total.idle == 3, "three idle connections")
        server.conn(0).close()
        eventually_swept(client, lambda: server.connections == 4 and client.stats().total.idle == 3, "another one")
        assert client.stats().total.closed == {"stale": 1}


def test_a_server_that_closes_what_is_kept_ready_is_not_hammered(clock: FakeClock) -> None:
    def unwilling(conn: Conn) -> None:
        if conn.number == 0:
            conn.expect_request()
            conn.send(ok(b"", "Connection: close"))

    limits = Limits(min_idle_connections=2)
    with Server(unwilling) as server, Server(holding) as other, Client(clock=clock, keeper=False, limits=limits) as client:
        client.get(server.url())
        attempts = []
        for _ in range(120):
            clock.advance(1)
            client.get(other.url())  # time passes
            eventually(lambda: not client.stats().total.connecting, "nothing being opened")
            server.wait_idle()
            attempts.append(by_name(client, server).created)

    assert attempts[1] >= 3, "it is tried"
    assert attempts[-1] <= 1 + 2 * 9, "1 s, 2 s, 4 s, … between attempts, and a minute at most"


# -- the keeper --------------------------------------------------------------------------------------------------------


def close_waits(port: int) -> int:
    """Sockets connected to ``port`` whose other end has closed."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    rows = [line.split() for line in lines]
    return sum(row[2].endswith(f":{port:04X}") and row[3] == "08" for row in rows)


@pytest.mark.skipif(not os.path.exists("/proc/net/tcp"), reason="only Linux lists its sockets")
@pytest.mark.usefixtures("no_leaks")
def test_a_hundred_idle_connections_closed_by_the_server_are_gone_within_two_seconds(tls: Tls) -> None:
    """And some over TLS, which say good-bye. Nobody wakes the keeper here."""
    ending = threading.Event()
    limits = Limits(max_connections_per_origin=100, max_idle_connections=120)

    def end(conn: Conn) -> None:
        conn.wait(ending)

    with Server(end) as plain, Server(end, tls=tls.server_context()) as secure, Client(limits=limits, verify=tls.ca_path) as client:
        assert (client.warm(plain.url(), 100), client.warm(secure.url(), 20)) == (100, 20)
        assert client.stats().total.idle == 120
        ending.set()
        closed_at = time.monotonic()
        plain.wait_idle(100)
        secure.wait_idle(20)
        eventually(lambda: not client.stats().total.idle, "all of them closed", 2)
        eventually(lambda: not close_waits(plain.port) + close_waits(secure.port), "nothing in CLOSE_WAIT", 2)
        took = time.monotonic() - closed_at

        assert by_name(client, plain).closed == {"stale": 100}
        assert by_name(client, secure).closed == {"stale": 20}
        assert took < 2


@pytest.mark.usefixtures("no_leaks")
def test_without_a_keeper_there_is_no_thread_and_use_does_the_work(clock: FakeClock) -> None:
    eventually(lambda: not keeper.running, "the end of the keeper of earlier tests")
    with Server(echo) as server, Server(echo) as other, Client(keeper=False, clock=clock) as client:
        client.get(server.url("/"))
        assert not keeper.running
        clock.advance(client.limits.idle_timeout or 0)
        client.get(other.url("/"))
        assert client.stats().closed == {"idle_timeout": 1}


# -- what it costs ------------------------------------------------------------------------------------------------------

IDLER = """
import sys, threading, time
import holdfast
client = holdfast.Client(limits=holdfast.Limits(idle_timeout=600, unused_timeout=None))  # looked at, not replaced
assert client.warm(sys.argv[1], 50) == 50
client.get(sys.argv[1])
[keeper] = set(threading.enumerate()) - {threading.main_thread()}
assert keeper.name == "holdfast-keeper"

def wakes():
    with open(f"/proc/self/task/{keeper.native_id}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("voluntary_ctxt_switches"))

print("measuring", flush=True)
clock = time.pthread_getcpuclockid(keeper.ident)
looks = []
while len(looks) < 10 and not (looks and min(looks)[0] < 0.001):
    began, slept, cpu = time.monotonic(), wakes(), time.clock_gettime(clock)
    threading.Event().wait(2)
    seconds = time.monotonic() - began
    looks.append(((time.clock_gettime(clock) - cpu) / seconds, (wakes() - slept) / seconds))
assert client.stats().total.idle == 50
sys.stdin.readline()
others = [holdfast.Client() for _ in range(3)]
for each in others:
    each.get(sys.argv[1])
assert set(threading.enumerate()) == {keeper, threading.main_thread()}, "one keeper for all clients"
for each in (client, *others):
    assert keeper.is_alive()
    each.close()
closed = time.monotonic()
keeper.join(5)
print(*min(looks), time.monotonic() - closed)
"""


@pytest.fixture(scope="module", autouse=True)
def idler() -> Iterator[subprocess.Popen[str]]:
    """A process that measures what its idle client costs while the tests of this file run."""
    with Server(holding) as server:
        process = script(IDLER, server.url(), plain=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "measuring\n", process.communicate()[1]
        yield process
        if process.poll() is None:
            process.kill()
            process.communicate()


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="only Linux says what one thread has cost")
def test_fifty_idle_connections_cost_less_than_a_thousandth_of_a_processor_and_the_keeper_ends_with_the_last_client(
    idler: subprocess.Popen[str],
) -> None:
    """What the keeper costs is what an idle client costs: there is no other thread.

    The kernel's account of that thread, two seconds at a time. Others at work on this machine make the same work dearer, and
    nothing makes it cheaper: the least of up to ten such looks is what it costs.
    """
    share, rate, seconds = map(float, finished(idler, "\n").split())

    assert share < 0.001, f"{share:.4%} of a processor"
    assert rate < 2, f"woken {rate:.1f} times a second"
    assert seconds < 1

"""The pool, tried with ints for connections and a clock that only the test moves.

``Net`` is the network: it hands out 1, 2, 3, ...; dials wait in ``net.dials`` until the test runs them, unless the pool was made
with ``net.pool(dial_at_once=True)``. Threads appear only where a wait is the claim; they are joined, never slept for.
"""

from __future__ import annotations

import gc
import logging
import os
import re
import subprocess
import sys
import threading
import types
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from holdfast.exceptions import ConnectTimeout, PoolTimeout
from holdfast.pool import borrower, entries, pool, repairing, state, threads, upkeep
from holdfast.pool.entries import ConnectionState, DialState, WaiterState
from holdfast.pool.limits import Limits
from holdfast.pool.pool import Lease, Pool, PoolEvent
from holdfast.pool.words import PoolClosed
from holdfast.reasons import Discard
from tests.conftest import FakeClock

# Many tests drop a lease when they end; those about leaks catch the warning themselves.
pytestmark = pytest.mark.filterwarnings("ignore:.*was dropped while in use:ResourceWarning")

LONG = 10.0  # seconds after which a test gives up on a thread


@pytest.fixture(scope="module", autouse=True)
def no_lease_is_left_for_others_to_find() -> Iterator[None]:
    """The warnings of leases that tests dropped are ignored here, not where the garbage happens to be collected."""
    yield
    gc.collect()


class Net:
    """Connections are numbers; what happens to them is written down."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.opened: list[int] = []
        self.closed: list[tuple[int, Discard]] = []
        self.unfit: dict[int, Discard] = {}
        self.probed: list[int] = []
        self.interrupted: list[int] = []
        self.dials: list[Callable[[], object]] = []
        self.refuse: BaseException | None = None
        self.untils: list[float | None] = []
        self.watched = 0
        self.dialled = threading.Semaphore(0)
        self._lock = threading.Lock()

    def connect(self, key: str, until: float | None) -> int:
        self.untils.append(until)
        if self.refuse is not None:
            raise self.refuse
        with self._lock:
            self.opened.append(len(self.opened) + 1)
            return self.opened[-1]

    def probe(self, resource: int) -> Discard | None:
        self.probed.append(resource)
        return self.unfit.get(resource)

    def close(self, resource: int, reason: Discard) -> None:
        self.closed.append((resource, reason))

    def later(self, work: Callable[[], object]) -> None:
        self.dials.append(work)
        self.dialled.release()

    def dial(self, index: int = 0) -> None:
        """Let a dial that waits take place."""
        self.dials.pop(index)()

    def watch(self, _: Any) -> None:
        self.watched += 1

    def pool(self, limits: Limits | None = None, *, dial_at_once: bool = True, **kw: Any) -> Pool[str, int]:
        kw.setdefault("spawn", (lambda work: work()) if dial_at_once else self.later)
        kw.setdefault("watch", self.watch)
        kw.setdefault("jitter", lambda: 0.0)
        return Pool(
            self.connect, self.probe, self.close, limits=limits, clock=self.clock, interrupt=self.interrupted.append, **kw
        )


@pytest.fixture
def net(clock: FakeClock) -> Net:
    return Net(clock)


class SlowDial:
    """Makes every dial of a pool begin at once, in a thread of its own, and end when the test says so."""

    def __init__(self, of: Pool[str, int], net: Net) -> None:
        self.go_on = threading.Event()
        self.begun = threading.Event()
        self.threads: list[threading.Thread] = []
        self.net = net
        of._connect, of._spawn = self.connect, self.spawn

    def connect(self, key: str, until: float | None) -> int:
        self.begun.set()
        assert self.go_on.wait(LONG)
        return self.net.connect(key, until)

    def spawn(self, work: Callable[[], object]) -> None:
        self.threads.append(threading.Thread(target=work, daemon=True))
        self.threads[-1].start()
        assert self.begun.wait(LONG)

    def end(self) -> None:
        self.go_on.set()
        for thread in self.threads:
            thread.join(LONG)


class Asker(threading.Thread):
    """A thread that acquires, and keeps what it got or was told."""

    def __init__(self, of: Pool[str, int], key: str = "a", **kw: Any) -> None:
        super().__init__(daemon=True)
        self.pool, self.key, self.kw = of, key, kw
        self.lease: Lease[str, int] | None = None
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self.lease = self.pool.acquire(self.key, **self.kw)
        except BaseException as error:  # noqa: BLE001 - it is what the test looks at
            self.error = error

    def result(self) -> Lease[str, int]:
        self.join(LONG)
        assert not self.is_alive(), "still waiting"
        assert self.error is None, self.error
        assert self.lease is not None
        return self.lease

    def failure(self) -> BaseException:
        self.join(LONG)
        assert not self.is_alive(), "still waiting"
        assert self.error is not None
        return self.error


def until_waiting(of: Pool[str, int], count: int, key: str = "a") -> None:
    """Return when ``count`` threads wait for ``key``; they need nothing but the processor for it."""
    give_up = threading.Event()
    timer = threading.Timer(LONG, give_up.set)
    timer.start()
    while not give_up.is_set():
        with of._state.lock:
            origin = of._state.origins.get(key)
            if origin is not None and len(origin.waiting) == count:
                break
        os.sched_yield() if hasattr(os, "sched_yield") else None
    timer.cancel()
    assert not give_up.is_set(), f"no {count} waiters"


def check(of: Pool[str, int]) -> None:
    """The invariants that hold whenever nobody is inside the pool."""
    idle = {connection for origin in of._state.origins.values() for connection in origin.idle}
    assert idle == set(of._state.idle)
    assert not idle & of._state.leased
    assert {connection.state for connection in idle} <= {ConnectionState.IDLE}
    assert {connection.state for connection in of._state.leased} <= {ConnectionState.LEASED}
    for origin in of._state.origins.values():
        assert origin.leased == sum(connection.origin is origin for connection in of._state.leased)
        assert list(origin.queued) == [waiter for waiter in origin.waiting if waiter.dial is None]
        assert [waiter.state is WaiterState.QUEUED for waiter in origin.waiting] == [w in origin.queued for w in origin.waiting]
        assert {dial.state for dial in origin.dials} <= {DialState.PLANNED, DialState.BEGUN}
        assert not (origin.idle and origin.queued)
        if of.limits.max_connections_per_origin is not None:
            assert origin.open <= of.limits.max_connections_per_origin
    assert of._state.open == sum(o.open for o in of._state.origins.values())
    if of.limits.max_connections is not None:
        assert of._state.open <= of.limits.max_connections
    resources = [connection.resource for connection in idle | of._state.leased]
    assert len(resources) == len(set(resources)), "a connection is in the pool twice"


# -- reuse -------------------------------------------------------------------------------------------------------------


def test_a_returned_connection_is_used_again(net: Net) -> None:
    p = net.pool()
    first = p.acquire("a")
    assert (first.resource, first.reused, first.idle, first.active) == (1, False, None, True)
    first.release()
    assert not first.active
    net.clock.advance(3)
    again = p.acquire("a")
    assert (again.resource, again.reused, again.idle) == (1, True, 3)
    again.release()
    assert net.opened == [1]
    check(p)


def test_the_freshest_is_used_first(net: Net) -> None:
    p = net.pool()
    one, two = p.acquire("a"), p.acquire("a")
    two.release()
    one.release()
    assert p.acquire("a").resource == 1
    assert p.acquire("a").resource == 2


def test_a_connection_serves_only_its_own_key(net: Net) -> None:
    p = net.pool()
    p.acquire("a").release()
    assert p.acquire("b").resource == 2


def test_two_holders_never_have_the_same_connection(net: Net) -> None:
    p = net.pool()
    held = [p.acquire("a") for _ in range(10)]
    assert sorted(lease.resource for lease in held) == list(range(1, 11))
    for lease in held:
        lease.release()
    check(p)


def test_fresh_means_a_connection_nobody_has_used(net: Net) -> None:
    p = net.pool()
    p.acquire("a").release()
    lease = p.acquire("a", fresh=True)
    assert (lease.resource, lease.reused) == (2, False)
    assert len(p._state.idle) == 1


def test_fresh_at_the_limit_gives_up_an_idle_connection_for_it(net: Net) -> None:
    p = net.pool(Limits(max_connections_per_origin=1))
    p.acquire("a").release()
    lease = p.acquire("a", fresh=True)
    assert lease.resource == 2
    assert net.closed == [(1, Discard.SURPLUS)]
    check(p)


def test_a_lease_ends_once(net: Net) -> None:
    p = net.pool()
    lease = p.acquire("a")
    lease.release()
    lease.release()
    lease.discard(Discard.BROKEN)
    assert net.closed == []
    assert p.stats().idle == 1
    check(p)


def test_what_fails_its_probe_is_closed_and_the_next_one_tried(net: Net) -> None:
    p = net.pool()
    held = [p.acquire("a") for _ in range(3)]
    for lease in held:
        lease.release()
    net.unfit = {3: Discard.STALE, 2: Discard.UNSOLICITED}
    lease = p.acquire("a")
    assert lease.resource == 1
    assert net.closed == [(3, Discard.STALE), (2, Discard.UNSOLICITED)]
    net.unfit[1] = Discard.STALE
    lease.release()
    lease = p.acquire("a")
    assert (lease.resource, lease.reused, lease.idle) == (4, False, None)
    assert p.stats().reused == 1, "a connection that failed its probe was not used again"
    check(p)


def test_a_probe_that_raises_loses_nothing(net: Net) -> None:
    p = net.pool(Limits(max_connections_per_origin=1))
    p.acquire("a").release()
    p._probe = lambda _: 1 / 0  # type: ignore[assignment,return-value]
    with pytest.raises(ZeroDivisionError):
        p.acquire("a")
    p._probe = net.probe
    assert p.acquire("a").resource == 1
    check(p)


# -- the end of a connection -------------------------------------------------------------------------------------------


def test_idle_connections_expire(net: Net) -> None:
    p = net.pool(Limits(idle_timeout=5))
    p.acquire("a").release()
    net.clock.advance(4.9)
    p.acquire("a").release()
    net.clock.advance(5)
    lease = p.acquire("a")
    assert lease.resource == 2
    assert net.closed == [(1, Discard.IDLE_TIMEOUT)]


def test_idle_timeout_none_keeps_for_ever_and_zero_not_at_all(net: Net) -> None:
    p = net.pool(Limits(idle_timeout=None))
    p.acquire("a").release()
    net.clock.advance(1e9)
    assert p.acquire("a").resource == 1
    q = net.pool(Limits(idle_timeout=0))
    q.acquire("a").release()
    assert q.acquire("a").resource == 3


def test_lifetime_ends_a_connection_idle_or_on_return(net: Net) -> None:
    p = net.pool(Limits(max_lifetime=10))
    p.acquire("a").release()
    net.clock.advance(10)
    lease = p.acquire("a")
    assert lease.resource == 2
    net.clock.advance(10)
    lease.release()
    assert net.closed == [(1, Discard.LIFETIME), (2, Discard.LIFETIME)]


def test_lifetimes_are_spread_by_up_to_a_tenth(net: Net) -> None:
    p = net.pool(Limits(max_lifetime=100), jitter=lambda: 1.0)
    p.acquire("a").release()
    net.clock.advance(50)
    p.acquire("a").release()
    net.clock.advance(40)
    assert p.acquire("a").resource == 2


def test_max_requests_ends_a_connection(net: Net) -> None:
    p = net.pool(Limits(max_requests=2))
    p.acquire("a").release()
    p.acquire("a").release()
    assert net.closed == [(1, Discard.LIFETIME)]


def test_the_server_says_how_long_it_keeps_it(net: Net) -> None:
    p = net.pool(Limits(idle_timeout=50))
    p.acquire("a").release(keep_for=3)
    net.clock.advance(3)
    lease = p.acquire("a")
    assert net.closed == [(1, Discard.SERVER_HINT)]
    lease.release(keep_for=1000)
    net.clock.advance(50)
    p.acquire("a").release(keep_for=0)
    assert net.closed[1:] == [(2, Discard.IDLE_TIMEOUT), (3, Discard.SERVER_HINT)]


@pytest.mark.parametrize("hints", [[2, 1, 0], [2, 2, 2]], ids=["counting down", "repeating its setting"])
def test_the_server_says_how_often_it_may_be_used(net: Net, hints: list[int]) -> None:
    p = net.pool()
    for left in hints:
        p.acquire("a").release(uses_left=left)
    assert net.closed == [(1, Discard.SERVER_HINT)]


def test_surplus_idle_connections_go_longest_idle_first(net: Net) -> None:
    p = net.pool(Limits(max_idle_connections=2))
    for lease in [p.acquire(key) for key in "abc"]:
        lease.release()
    assert net.closed == [(1, Discard.SURPLUS)]
    q = net.pool(Limits(max_idle_per_origin=1))
    for lease in [q.acquire("a"), q.acquire("a")]:
        lease.release()
    assert net.closed[1:] == [(4, Discard.SURPLUS)]


def test_every_closed_connection_is_counted_by_its_reason(net: Net) -> None:
    p = net.pool()
    for reason in (Discard.BROKEN, Discard.SERVER_CLOSE, Discard.SERVER_CLOSE):
        p.acquire("a").discard(reason)
    assert dict(p.stats().closed) == {"broken": 1, "server_close": 2}
    assert p.stats().created == 3
    check(p)


def test_one_close_that_is_interrupted_is_done_again_by_the_next_and_so_are_the_others(net: Net) -> None:
    p = net.pool()
    for lease in [p.acquire("a") for _ in range(3)]:
        lease.release()

    def close(resource: int, reason: Discard) -> None:
        net.close(resource, reason)
        if len(net.closed) == 1:
            raise KeyboardInterrupt

    p._close = close
    with pytest.raises(KeyboardInterrupt):
        p.close_idle()
    p.acquire("a").release()
    assert {resource for resource, _ in net.closed} == {1, 2, 3}
    assert net.closed[0] == net.closed[1]


# -- limits and waiting ------------------------------------------------------------------------------------------------


def test_at_the_limit_a_waiter_is_given_what_is_returned(net: Net) -> None:
    p = net.pool(Limits(max_connections_per_origin=1))
    lease = p.acquire("a")
    asker = Asker(p)
    until_waiting(p, 1)
    net.clock.advance(2)
    lease.release()
    got = asker.result()
    assert (got.resource, got.reused, got.idle) == (1, True, 0.0)
    stats = p.stats()
    assert (stats.waits, stats.wait_total, stats.wait_max, stats.waiting) == (1, 2, 2, 0)
    check(p)


def test_at_the_limit_a_waiter_is_given_the_slot_of_what_is_discarded(net: Net) -> None:
    p = net.pool(Limits(max_connections_per_origin=1))
    lease = p.acquire("a")
    asker = Asker(p)
    until_waiting(p, 1)
    lease.discard(Discard.BROKEN)
    assert asker.result().resource == 2
    check(p)


def test_waiters_are_served_in_order_of_arrival(net: Net) -> None:
    p = net.pool(Limits(max_connections_per_origin=1))
    lease = p.acquire("a")
    askers = []
    for count in range(1, 6):
        askers.append(Asker(p))
        until_waiting(p, count)
    for number, asker in enumerate(askers):
        if number % 2:
            lease.release()
        else:
            lease.discard(Discard.BROKEN)
        lease = asker.result()
        assert all(other.lease is None for other in askers[number + 1 :])
    check(p)


def test_waiting_ends_with_pool_timeout_and_costs_no_slot(net: Net) -> None:
    p = net.pool(Limits(max_connections_per_origin=1))
    lease = p.acquire("a")
    for _ in range(3):
        with pytest.raises(PoolTimeout, match=r"no connection to a free after 0\.001 s: 1 in use"):
            p.acquire("a", wait=0.001)
    assert p.stats().pool_timeouts == 3
    assert p.stats().waiting == 0
    lease.release()
    assert p.acquire("a", wait=0).resource == 1
    check(p)


def test_until_bounds_the_wait_too(net: Net) -> None:
    p = net.pool(Limits(max_connections_per_origin=1))
    held = p.acquire("a")
    with pytest.raises(PoolTimeout):
        p.acquire("a", until=net.clock() + 0.001)
    with pytest.raises(PoolTimeout):
        p.acquire("a", wait=100, until=net.clock() - 1)
    held.release()


def test_pool_timeout_names_the_holders_and_says_what_to_change(net: Net) -> None:
    p = net.pool(Limits(max_connections_per_origin=2), describe=lambda purpose: f"GET /{purpose}")
    streamed = p.acquire("a", purpose="film")
    streamed.note_borrower()
    net.clock.advance(10)
    other = p.acquire("a", purpose="poem")
    net.clock.advance(2.5)
    with pytest.raises(PoolTimeout) as caught:
        p.acquire("a", wait=0)
    text = str(caught.value)
    assert f"Held longest: 12.5 s by GET /film (borrowed at {__file__}:" in text
    assert "2.5 s by GET /poem (its thread is at " in text
    assert text.endswith("Give connections back sooner; or raise the limits.")
    streamed.release()
    third = p.acquire("a")
    with pytest.raises(PoolTimeout, match=r"Raise Limits\(max_connections_per_origin=\.\.\.\)"):
        p.acquire("a", wait=0)
    third.release()
    other.release()


def test_pool_timeout_under_the_total_limit_names_the_holders_of_all_origins(net: Net) -> None:
    p = net.pool(Limits(max_connections=1))
    held = p.acquire("a", purpose="GET /other")
    with pytest.raises(PoolTimeout, match=r"by GET /other.* Raise Limits\(max_connections=\.\.\.\)"):
        p.acquire("b", wait=0)
    held.release()


def test_the_total_limit_evicts_the_longest_idle_connection_of_any_origin(net: Net) -> None:
    p = net.pool(Limits(max_connections=2))
    for lease in [p.acquire("a"), p.acquire("b")]:
        lease.release()
    lease = p.acquire("c")
    assert lease.resource == 3
    assert net.closed == [(1, Discard.SURPLUS)]
    check(p)


def test_the_total_limit_lets_origins_that_wait_take_turns(net: Net) -> None:
    p = net.pool(Limits(max_connections=1))
    lease = p.acquire("a")
    askers = []
    for number, key in enumerate("abab"):
        askers.append(Asker(p, key))
        until_waiting(p, number // 2 + 1, key)
    for asker in askers:
        lease.release()
        lease = asker.result()
        check(p)
    assert net.opened == [1, 2, 3, 4]
    assert [reason for _, reason in net.closed] == [Discard.SURPLUS] * 3


def test_a_returned_connection_is_given_up_for_an_origin_that_waits_for_room(net: Net) -> None:
    p = net.pool(Limits(max_connections=1))
    lease = p.acquire("a")
    asker = Asker(p, "b")
    until_waiting(p, 1, "b")
    lease.release()
    assert asker.result().resource == 2
    assert net.closed == [(1, Discard.SURPLUS)]
    check(p)


def test_one_who_waits_for_a_fresh_connection_is_not_overtaken_for_ever(net: Net) -> None:
    p = net.pool(Limits(max_connections_per_origin=1))
    lease = p.acquire("a")
    fresh = Asker(p, fresh=True)
    until_waiting(p, 1)
    other = Asker(p)
    until_waiting(p, 2)
    lease.release()
    got = fresh.result()
    assert (got.resource, got.reused) == (2, False)
    assert other.lease is None
    got.release()
    assert other.result().resource == 2
    check(p)


def test_a_failed_probe_keeps_its_slot_though_others_wait(net: Net) -> None:
    p = net.pool(Limits(max_connections_per_origin=1))
    lease = p.acquire("a")
    first, second = Asker(p), None
    until_waiting(p, 1)
    second = Asker(p)
    until_waiting(p, 2)
    net.unfit[1] = Discard.STALE
    lease.release()
    got = first.result()
    assert got.resource == 2
    assert second.lease is None
    got.release()
    second.result()
    check(p)


# -- dialling ----------------------------------------------------------------------------------------------------------


def test_what_connect_raises_reaches_who_asked_and_frees_the_slot(net: Net) -> None:
    p = net.pool(Limits(max_connections_per_origin=1))
    net.refuse = OSError("no route")
    with pytest.raises(OSError, match="no route"):
        p.acquire("a")
    net.refuse = None
    assert p.acquire("a", wait=0).resource == 1
    assert p.stats().connect_failures == 1
    check(p)


def test_a_failed_dial_lets_the_next_in_line_try(net: Net) -> None:
    p = net.pool(Limits(max_connections_per_origin=1), dial_at_once=False)
    first = Asker(p)
    until_waiting(p, 1)
    second = Asker(p)
    until_waiting(p, 2)
    net.dialled.acquire()
    net.refuse = OSError("refused")
    net.dial()
    assert str(first.failure()) == "refused"
    net.dialled.acquire()
    net.refuse = None
    net.dial()
    assert second.result().resource == 1
    check(p)


def test_a_dial_is_given_the_time_that_is_left(net: Net) -> None:
    p = net.pool()
    now = net.clock()
    p.acquire("a", connect=5)
    p.acquire("b", connect=5, until=now + 3)
    p.acquire("c", until=now + 4)
    p.acquire("d")
    assert net.untils == [now + 5, now + 3, now + 4, None]


def test_a_waiter_takes_what_is_returned_before_its_own_dial_ends(net: Net) -> None:
    p = net.pool(dial_at_once=False)
    first = Asker(p)
    net.dialled.acquire()
    net.dial()
    lease = first.result()
    second = Asker(p)
    net.dialled.acquire()
    lease.release()
    assert second.result().resource == 1
    net.dial()  # it had not begun: cancelled, its slot is free already
    assert net.opened == [1]
    assert p.stats().connecting == 0
    check(p)


def test_a_dial_that_has_begun_goes_on_without_its_waiter_and_becomes_idle(net: Net) -> None:
    p = net.pool()
    dial = SlowDial(p, net)
    with pytest.raises(ConnectTimeout, match=r"no connection to a after 0\.001 s \(connect\)"):
        p.acquire("a", connect=0.001)
    assert p.stats().connecting == 1, "the resolver may hang: its slot is in use until it is back"
    dial.end()
    assert p.stats().idle == 1
    lease = p.acquire("a")
    assert (lease.resource, lease.reused) == (1, True), "it was kept idle: the server may have closed it"
    check(p)


def test_a_dial_without_its_waiter_serves_the_next_in_line(net: Net) -> None:
    p = net.pool(Limits(max_connections_per_origin=1))
    dial = SlowDial(p, net)
    with pytest.raises(ConnectTimeout):
        p.acquire("a", connect=0.001)
    second = Asker(p, fresh=True)
    until_waiting(p, 1)
    dial.end()
    got = second.result()
    assert (got.resource, got.reused) == (1, False), "nobody has used it: it is fresh enough for everybody"
    check(p)


def test_a_grant_at_the_last_moment_is_not_lost(net: Net) -> None:
    """The waiter's time was up, then it was granted a slot, then it looked: it dials, and waits for its dial.

    There used to be a bug here: the wake-up of the grant, which the waiter had not slept for, was taken for the dial's.
    """
    p = net.pool(Limits(max_connections_per_origin=1), dial_at_once=False)
    holder = Asker(p)
    net.dialled.acquire()
    net.dial()
    lease = holder.result()
    slept: list[bool] = []

    def sleep(self: threads.ThreadWaiter[str, int], seconds: float | None) -> bool:
        if not slept:
            slept.append(True)
            lease.discard(Discard.BROKEN)  # grants the slot
            return False  # and yet its time was up
        if len(slept) == 1:
            slept.append(True)
            net.dial()
        return self.event.acquire(timeout=LONG)

    waiter = types.SimpleNamespace(sleep=sleep)
    original = threads.ThreadWaiter.sleep
    threads.ThreadWaiter.sleep = waiter.sleep  # type: ignore[method-assign]
    try:
        got = p.acquire("a", wait=0.001, connect=1)
    finally:
        threads.ThreadWaiter.sleep = original  # type: ignore[method-assign]
    assert got.resource == 2
    check(p)


def test_a_spawn_that_fails_costs_no_slot(net: Net) -> None:
    def spawn(work: object) -> None:
        raise MemoryError

    p = net.pool(Limits(max_connections_per_origin=1), spawn=spawn)
    with pytest.raises(MemoryError):
        p.acquire("a")
    assert p.stats().connecting == 0
    p._spawn = lambda work: work()
    assert p.acquire("a", wait=0).resource == 1
    check(p)


def test_an_interrupt_after_the_dial_thread_was_started_costs_no_slot(net: Net) -> None:
    started: list[Callable[[], object]] = []

    def spawn(work: Callable[[], object]) -> None:
        started.append(work)
        raise KeyboardInterrupt  # Thread.start() waits for the thread: Ctrl-C may come then

    p = net.pool(Limits(max_connections_per_origin=1), spawn=spawn)
    with pytest.raises(KeyboardInterrupt):
        p.acquire("a")
    p._spawn = lambda work: work()
    lease = p.acquire("a", wait=0)
    started[0]()  # the thread comes to run after all, and finds that nobody wants it
    assert net.opened == [1]
    lease.release()
    check(p)


def test_where_no_thread_can_be_had_the_dial_runs_in_the_callers(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    assert net.pool(spawn=threads.spawn_thread).acquire("a").resource == 1


def test_dials_run_in_threads_of_their_own(net: Net) -> None:
    names: list[str] = []
    connect = net.connect

    def noting(key: str, until: float | None) -> int:
        names.append(threading.current_thread().name)
        return connect(key, until)

    p = net.pool(spawn=threads.spawn_thread)
    p._connect = noting
    p.acquire("a", connect=LONG).release()
    assert names == ["holdfast-dial"]


# -- dials in the caller's thread --------------------------------------------------------------------------------------


def dialling_threads(net: Net, p: Pool[str, int]) -> list[int]:
    """The idents of the threads in which ``p`` dials from now on."""
    idents: list[int] = []
    connect = p._connect

    def noting(key: str, until: float | None) -> int:
        idents.append(threading.get_ident())
        return connect(key, until)

    p._connect = noting
    return idents


def test_a_lone_dial_runs_in_its_callers_thread(net: Net) -> None:
    p = net.pool(spawn=threads.spawn_thread, punctual=True)
    idents = dialling_threads(net, p)
    for _ in range(3):
        p.acquire("a", connect=LONG).discard(Discard.BROKEN)
    assert idents == [threading.get_ident()] * 3
    check(p)


def test_a_dial_beside_a_connection_in_use_runs_in_a_thread_of_its_own(net: Net) -> None:
    p = net.pool(punctual=True)
    first = p.acquire("a")
    dial = SlowDial(p, net)
    second = Asker(p)
    assert dial.begun.wait(LONG)
    first.release()

    assert second.result().resource == 1, "it is given back before the dial has ended"

    dial.end()
    check(p)


def test_what_is_given_back_while_a_waiter_dials_itself_is_for_others(net: Net) -> None:
    p = net.pool(punctual=True)
    dial = SlowDial(p, net)
    alone = Asker(p)
    assert dial.begun.wait(LONG)
    p._connect = net.connect
    beside = p.acquire("a", connect=LONG)
    beside.release()
    assert p.stats().idle == 1
    assert p.acquire("a", wait=0).resource == beside.resource

    dial.end()

    assert alone.result().resource != beside.resource
    check(p)


def test_the_error_of_a_dial_in_its_callers_thread_is_the_callers(net: Net) -> None:
    p = net.pool(Limits(max_connections_per_origin=1), punctual=True)
    for error in (OSError("refused"), KeyboardInterrupt()):
        net.refuse = error
        with pytest.raises(type(error)) as caught:
            p.acquire("a")
        assert caught.value is error
    net.refuse = None
    assert p.acquire("a", wait=0).resource == 1
    check(p)


def test_an_interrupt_at_the_end_of_a_dial_in_its_callers_thread_is_the_callers(net: Net) -> None:
    p = net.pool(Limits(max_connections_per_origin=1), punctual=True)
    admit = p._state.admit

    def interrupted(dial: entries.Dial[str, int], resource: int, jitter: float, watching: bool) -> None:
        admit(dial, resource, jitter, watching)
        raise KeyboardInterrupt  # the waiter has been served by now

    p._state.admit = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        p.acquire("a")
    assert p.acquire("a", wait=0).resource == 1, "what it had been given is there for the next"
    check(p)


def test_a_pool_that_is_closed_while_a_waiter_dials_itself_refuses_it_and_closes_what_it_opened(net: Net) -> None:
    p = net.pool(punctual=True)
    dial = SlowDial(p, net)
    alone = Asker(p)
    assert dial.begun.wait(LONG)
    p.close()
    dial.end()
    alone.join(LONG)
    assert isinstance(alone.error, PoolClosed)
    assert net.closed == [(1, Discard.CLIENT_CLOSED)]


# -- warm --------------------------------------------------------------------------------------------------------------


def test_warm_opens_connections_and_says_how_many(net: Net) -> None:
    p = net.pool()
    assert p.warm("a", 3) == 3
    assert p.stats().idle == 3
    lease = p.acquire("a")
    assert (lease.resource, lease.reused) == (3, True)
    check(p)


def test_warm_stays_within_every_limit(net: Net) -> None:
    limits = [
        Limits(max_connections_per_origin=2),
        Limits(max_connections=3),
        Limits(max_idle_connections=1),
        Limits(max_idle_per_origin=4),
    ]
    pools = [net.pool(each) for each in limits]
    assert [each.warm("a", 5) for each in pools] == [2, 3, 1, 4]
    assert net.closed == []
    p = net.pool(Limits(max_connections=1))
    p.acquire("b").release()
    assert p.warm("a", 1) == 0, "nobody is displaced for it"
    assert net.closed == []
    assert p.warm("a", 0) == 0
    check(p)


def test_warm_says_why_it_did_not_succeed(net: Net, caplog: pytest.LogCaptureFixture) -> None:
    net.refuse = OSError("no route")
    p = net.pool()
    with caplog.at_level(logging.WARNING, "holdfast.pool"):
        assert p.warm("a", 2) == 0
    assert "a: a connection could not be opened in advance: no route" in caplog.text
    check(p)


def test_warm_waits_no_longer_than_it_may_and_what_comes_later_is_kept(net: Net) -> None:
    p = net.pool(dial_at_once=False)
    assert p.warm("a", 2, connect=0.001) == 0
    net.dial()
    net.dial()
    assert p.stats().idle == 2
    check(p)


def test_warm_of_a_closed_pool_raises(net: Net) -> None:
    p = net.pool()
    p.close()
    with pytest.raises(PoolClosed):
        p.warm("a", 1)


def test_a_pool_closed_while_warming_counts_nothing_as_opened(net: Net) -> None:
    p = net.pool(dial_at_once=False)
    counts: list[int] = []
    thread = threading.Thread(target=lambda: counts.append(p.warm("a", 1)))
    thread.start()
    net.dialled.acquire()
    p.close()
    net.dial()
    thread.join(LONG)
    assert counts == [0]
    assert net.closed == [(1, Discard.CLIENT_CLOSED)]


# -- close -------------------------------------------------------------------------------------------------------------


def test_close_closes_what_is_idle_and_interrupts_what_is_in_use(net: Net) -> None:
    p = net.pool()
    p.acquire("a").release()
    leases = [p.acquire("a"), p.acquire("a")]
    leases[0].release()
    p.close()
    p.close()
    assert net.closed == [(1, Discard.CLIENT_CLOSED)]
    assert net.interrupted[:1] == [2]
    leases[1].release()
    assert net.closed[1:] == [(2, Discard.CLIENT_CLOSED)]
    with pytest.raises(PoolClosed):
        p.acquire("a")
    assert p.closed
    assert repr(p) == "<Pool: closed>"
    assert p.stats().created == sum(p.stats().closed.values())
    check(p)


def test_close_wakes_everyone_who_waits(net: Net) -> None:
    p = net.pool(Limits(max_connections_per_origin=1))
    lease = p.acquire("a")
    askers = [Asker(p) for _ in range(3)]
    until_waiting(p, 3)
    p.close()
    for asker in askers:
        assert isinstance(asker.failure(), PoolClosed)
    lease.release()
    check(p)


def test_close_during_a_dial_closes_what_it_opens(net: Net) -> None:
    p = net.pool()
    dial = SlowDial(p, net)
    asker = Asker(p)
    assert dial.begun.wait(LONG)
    p.close()
    assert isinstance(asker.failure(), PoolClosed)
    dial.end()
    assert net.closed == [(1, Discard.CLIENT_CLOSED)]
    stats = p.stats()
    assert (stats.created, stats.connecting, stats.active, stats.idle) == (1, 0, 0, 0)
    assert net.watched == 0, "there is nothing to look after"
    check(p)


@pytest.mark.parametrize("step", ["_refuse", "_release_waiter", "_cancel"])
def test_an_error_while_closing_leaves_nobody_waiting(net: Net, step: str) -> None:
    p = net.pool(Limits(max_connections_per_origin=1))
    lease = p.acquire("a")
    asker = Asker(p)
    until_waiting(p, 1)
    _fails_at(p, step, 1, False, p.close)
    p.close()
    assert isinstance(asker.failure(), PoolClosed)
    lease.release()
    check(p)


def test_close_idle_leaves_what_is_in_use(net: Net) -> None:
    p = net.pool()
    lease = p.acquire("a")
    p.warm("b", 2)
    assert p.close_idle() == 2
    lease.release()
    assert p.acquire("a").resource == 1


def test_a_dropped_pool_closes_what_is_idle(net: Net) -> None:
    p = net.pool()
    p.warm("a", 2)
    del p
    gc.collect()
    assert sorted(net.closed, key=lambda c: c[0]) == [(1, Discard.CLIENT_CLOSED), (2, Discard.CLIENT_CLOSED)]


def test_at_exit_idle_connections_are_closed_and_the_pool_stays_usable(net: Net) -> None:
    p = net.pool()
    p.acquire("a").release()
    pool._at_exit()
    assert net.closed == [(1, Discard.CLIENT_CLOSED)]
    assert p.acquire("a").resource == 2


# -- leaks -------------------------------------------------------------------------------------------------------------


def test_a_dropped_lease_frees_its_slot_and_warns_at_the_borrowers_line(net: Net) -> None:
    gc.collect()
    p = net.pool(Limits(max_connections_per_origin=1))
    lease = p.acquire("a", purpose="GET http://a/film")
    lease.note_borrower()
    line = sys._getframe().f_lineno - 1
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del lease
        gc.collect()
    assert [(w.category, w.filename, w.lineno) for w in caught] == [(ResourceWarning, __file__, line)]
    assert f"GET http://a/film was dropped while in use (borrowed at {__file__}:{line})" in str(caught[0].message)
    assert net.closed == [(1, Discard.LEAKED)]
    lease = p.acquire("a", wait=0)
    assert lease.resource == 2
    assert p.stats().leaks == 1
    check(p)


def test_a_dropped_lease_needs_no_garbage_collection(net: Net) -> None:
    p = net.pool()
    gc.disable()
    try:
        for _ in range(3):
            lease = p.acquire("a")
            del lease
    finally:
        gc.enable()
    assert [reason for _, reason in net.closed] == [Discard.LEAKED] * 3


def test_a_lease_dropped_while_the_lock_is_held_is_seen_to_after_it(net: Net) -> None:
    p = net.pool(Limits(max_connections_per_origin=1))
    lease = p.acquire("a")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with p._state.lock:
            del lease
            gc.collect()
    assert net.closed == []
    p.stats()
    assert net.closed == [(1, Discard.LEAKED)]
    check(p)


def test_a_dropped_lease_serves_who_waits(net: Net) -> None:
    p = net.pool(Limits(max_connections_per_origin=1))
    lease = p.acquire("a")
    asker = Asker(p)
    until_waiting(p, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        del lease
        gc.collect()
    assert asker.result().resource == 2


def test_no_callback_runs_in_a_finalizer(net: Net) -> None:
    p = net.pool()
    lease = p.acquire("a", purpose="GET /")
    told: list[PoolEvent] = []
    p.on_event(told.append)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        del lease
        gc.collect()
    assert net.closed == [(1, Discard.LEAKED)], "the connection goes at once"
    assert told == []
    p.stats()
    assert [event.kind for event in told] == ["closed", "leaked"]


# -- exceptions at any line --------------------------------------------------------------------------------------------

FILES = {module.__file__ for module in (pool, state, entries, repairing)}


class Interrupt:
    """Raises KeyboardInterrupt at the k-th line that is executed in the pool's files, as Ctrl-C might."""

    def __init__(self, at: int) -> None:
        self.left = at
        self.struck = False

    def __enter__(self) -> Interrupt:
        self.before = sys.gettrace()
        sys.settrace(self._call)
        return self

    def __exit__(self, *exc_info: object) -> None:
        sys.settrace(self.before)

    def _call(self, frame: types.FrameType, event: str, arg: object) -> Any:
        return self._line if frame.f_code.co_filename in FILES else None

    def _line(self, frame: types.FrameType, event: str, arg: object) -> Any:
        if event == "line" and not self._between_locks(frame):
            self.left -= 1
            if self.left == 0:
                self.struck = True
                raise KeyboardInterrupt  # which ends the tracing, too
        return self._line

    def _between_locks(self, frame: types.FrameType) -> bool:
        return frame.f_lineno in DEAF_LINES[frame.f_code.co_filename]


def _deaf_lines(path: str) -> set[int]:
    """Lines that are no-ops to CPython, and at which it looks for no signals; an exception there would skip ``__exit__``."""
    with open(path, encoding="utf-8") as file:
        code = [line.partition("#")[0].strip() for line in file]
    return {n for n, line in enumerate(code, 1) if line in ("try:", "return") or re.match(r"with (self\._)?state\.lock\b", line)}


DEAF_LINES = {path: _deaf_lines(path) for path in FILES if path is not None}


def scenes() -> Iterator[tuple[str, Callable[[Pool[str, int], Net], None]]]:
    def use(p: Pool[str, int], net: Net) -> None:
        p.acquire("a", wait=0).release()

    def discard(p: Pool[str, int], net: Net) -> None:
        p.acquire("a", wait=0).discard(Discard.BROKEN)

    def stale(p: Pool[str, int], net: Net) -> None:
        net.unfit = dict.fromkeys(net.opened, Discard.STALE)
        p.acquire("a", wait=0).release()

    def expired(p: Pool[str, int], net: Net) -> None:
        net.clock.advance(1000)
        p.acquire("a", wait=0).release(keep_for=1)

    def fresh(p: Pool[str, int], net: Net) -> None:
        p.acquire("a", fresh=True, wait=0).release()

    def other(p: Pool[str, int], net: Net) -> None:
        for lease in [p.acquire(key, wait=0) for key in "bcd"]:
            lease.release()

    def crowded(p: Pool[str, int], net: Net) -> None:
        held = [p.acquire("a", wait=0) for _ in range(2)]
        with pytest.raises(PoolTimeout):
            p.acquire("a", wait=0)
        for lease in held:
            lease.release()

    def leak(p: Pool[str, int], net: Net) -> None:
        p.acquire("a", wait=0)

    def close_idle(p: Pool[str, int], net: Net) -> None:
        p.close_idle()

    yield from (("leak", leak), ("close_idle", close_idle))
    yield from (("use", use), ("discard", discard), ("stale", stale), ("expired", expired), ("fresh", fresh))
    yield from (("other", other), ("crowded", crowded))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # it strikes in finalizers, too
# Not "leak": nothing can be done about an interrupt in a finalizer that has not begun.
@pytest.mark.parametrize(("name", "scene"), [pytest.param(*scene, id=scene[0]) for scene in scenes() if scene[0] != "leak"])
def test_an_interrupt_at_any_line_loses_no_slot_and_shares_no_connection(
    clock: FakeClock, quick_gc: None, name: str, scene: Callable[[Pool[str, int], Net], None]
) -> None:
    limits = Limits(max_connections_per_origin=2, max_connections=3, max_lifetime=500)
    for at in range(1, 2000):
        net = Net(clock)
        p = net.pool(limits)
        p.warm("a", 2)
        p.on_event(lambda event: None)
        with Interrupt(at) as interrupt:
            try:
                scene(p, net)
            except KeyboardInterrupt:
                pass
        gc.collect()
        p.sweep(net.clock())
        check(p)
        net.unfit = {}
        held = [p.acquire("a", wait=0) for _ in range(2)]
        held.append(p.acquire("b", wait=0))
        assert len({lease.resource for lease in held}) == 3, f"line {at}"
        gone = [resource for resource, _ in net.closed]
        assert len(gone) == len(set(gone)), f"closed twice after an interrupt at line {at}"
        assert not {lease.resource for lease in held} & set(gone), f"closed, and yet in use, line {at}"
        for lease in held:
            lease.release()
        if not interrupt.struck:
            return
    raise AssertionError("the scene has no end")


STEPS = [
    name
    for name, step in vars(state.PoolState).items()
    if callable(step) and name not in ("__init__", "reset", "_throw_out", "_recount", "_misplaced") and "repair" not in name
]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_an_error_in_any_step_loses_no_slot_and_shares_no_connection(
    clock: FakeClock, quick_gc: None, step: str, after: bool
) -> None:
    """The same by another way: the k-th call of each step under the lock fails, as if memory or the stack were at its end."""
    for _, scene in scenes():
        for at in range(1, 100):
            net = Net(clock)
            p = net.pool(Limits(max_connections_per_origin=2, max_connections=3, max_lifetime=500))
            p.warm("a", 2)
            if not _fails_at(p, step, at, after, partial(scene, p, net)):
                break
            gc.collect()  # pytest.raises keeps frames
            p.sweep(net.clock())
            check(p)
            net.unfit = {}
            held = [p.acquire(key, wait=0) for key in "aab"]
            assert len({lease.resource for lease in held}) == 3
            gone = [resource for resource, _ in net.closed]
            assert len(gone) == len(set(gone))
            assert not {lease.resource for lease in held} & set(gone)
            for lease in held:
                lease.release()


def _fails_at(of: Pool[str, int], step: str, at: int, after: bool, scene: Callable[[], None]) -> bool:
    """Run the scene with a MemoryError in the ``at``-th call of the step; whether there were so many."""
    original = getattr(of._state, step)
    calls = [0]

    def failing(*args: Any, **kw: Any) -> Any:
        calls[0] += 1
        if calls[0] != at:
            return original(*args, **kw)
        if after:
            original(*args, **kw)
        raise MemoryError

    vars(of._state)[step] = failing
    try:
        scene()
    except MemoryError:
        pass
    del vars(of._state)[step]
    return calls[0] >= at


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_an_error_in_any_step_of_a_hand_over_leaves_no_waiter_behind(clock: FakeClock, step: str, after: bool) -> None:
    for at in range(1, 20):
        net = Net(clock)
        p = net.pool(Limits(max_connections_per_origin=1))
        leases = [p.acquire("a")]
        askers = [Asker(p)]
        until_waiting(p, 1)
        askers.append(Asker(p))
        until_waiting(p, 2)
        struck = _fails_at(p, step, at, after, leases.pop().release)
        p.sweep(net.clock())
        for asker in askers:
            asker.join(LONG)
            if isinstance(asker.error, MemoryError):
                continue  # it struck in that thread
            asker.result().release()
            asker.lease = None
        check(p)
        lease = p.acquire("a", wait=0)
        assert lease.resource not in [resource for resource, _ in net.closed]
        lease.release()
        if not struck:
            return


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("end", ["release", "discard"])
def test_an_interrupt_at_any_line_of_a_hand_over_leaves_no_waiter_behind(clock: FakeClock, quick_gc: None, end: str) -> None:
    for at in range(1, 1000):
        net = Net(clock)
        p = net.pool(Limits(max_connections_per_origin=1))
        lease: Lease[str, int] | None = p.acquire("a")
        assert lease is not None
        askers = [Asker(p)]
        until_waiting(p, 1)
        askers.append(Asker(p))
        until_waiting(p, 2)
        with Interrupt(at) as interrupt:
            try:
                if end == "discard":
                    lease.discard(Discard.BROKEN)
                else:
                    lease.release()
            except KeyboardInterrupt:
                pass
        lease = None
        gc.collect()
        p.sweep(net.clock())
        for asker in askers:
            asker.result().release()
        check(p)
        assert p.acquire("a", wait=0).resource not in [resource for resource, _ in net.closed]
        if not interrupt.struck:
            return
    raise AssertionError("the hand-over has no end")


# -- fork --------------------------------------------------------------------------------------------------------------


def test_a_child_forgets_its_parents_connections(net: Net) -> None:
    p = net.pool(Limits(max_connections_per_origin=3))
    p.warm("a", 2)
    lease = p.acquire("a")
    p._state.lock.acquire()  # by a thread that is not in the child
    p.forget_inherited()
    assert sorted(net.closed, key=lambda c: c[0]) == [(1, Discard.FORKED), (2, Discard.FORKED)]
    lease.release()
    assert p.stats().idle == 0, "it was lent by the parent's pool"
    assert len(net.closed) == 2, "closed once"
    assert [p.acquire("a", wait=0).resource for _ in range(3)] == [3, 4, 5]
    check(p)


def test_a_child_of_a_closed_pools_process_has_it_closed(net: Net) -> None:
    p = net.pool()
    p.close()
    p.forget_inherited()
    assert p.closed


def test_what_the_parent_was_about_to_close_is_forgotten_too(net: Net) -> None:
    p = net.pool()
    p.acquire("a").release()
    with p._state.lock:
        p._state.drop_idle(next(iter(p._state.idle)), Discard.SURPLUS)
    p.forget_inherited()
    assert net.closed == [(1, Discard.FORKED)]


def test_a_dial_begun_before_the_fork_has_no_slot_after_it(net: Net) -> None:
    p = net.pool()

    def connect(key: str, until: float | None) -> int:
        p.forget_inherited()
        return 7

    p._connect = connect
    dial: entries.Dial[str, int] = entries.Dial(entries.Origin("a"), None)
    p._dial(dial)
    assert net.closed == [(7, Discard.FORKED)]
    check(p)


def test_after_a_fork_the_parents_pool_asks_to_be_watched_again_when_it_is_used(net: Net) -> None:
    p = net.pool(Limits(idle_timeout=10))
    p.watch_again()
    p.acquire("a").release()
    assert net.watched == 1
    p.watch_again()
    assert net.watched == 1, "a thread that is started just now may be counted as one that the fork has found"
    p.acquire("a").release()
    assert net.watched == 2
    net.clock.advance(10)
    assert p.sweep(net.clock()) is None
    p.watch_again()
    p.stats()
    assert net.watched == 2, "there is nothing to look after"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Platform-specific: there is no fork")
def test_fork_for_real() -> None:
    """In a process of its own: a fork of one with threads is what the warning of Python 3.12 is about."""
    script = """
import os
from holdfast.pool.pool import Pool
closed = []
p = Pool(lambda key, until: os.getpid(), lambda r: None, lambda r, why: closed.append((r, why.value)))
p.acquire("a").release()
parent = os.getpid()
pid = os.fork()
lease = p.acquire("a")
assert lease.resource == os.getpid(), lease.resource
lease.release()
if not pid:
    assert closed == [(parent, "forked")], closed
    os._exit(0)
assert closed == []
assert os.waitpid(pid, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-W", "ignore::DeprecationWarning", "-c", script], check=True, timeout=60)


# -- upkeep ------------------------------------------------------------------------------------------------------------


def test_sweep_closes_what_is_due_and_says_when_the_next_is(net: Net) -> None:
    p = net.pool(Limits(idle_timeout=10, max_lifetime=15, unused_timeout=None))
    p.warm("a", 1)
    net.clock.advance(4)
    p.warm("b", 1)
    assert p.sweep(net.clock()) == pytest.approx(6)
    net.clock.advance(6)
    assert p.sweep(net.clock()) == pytest.approx(4)
    assert net.closed == [(1, Discard.IDLE_TIMEOUT)]
    net.clock.advance(4)
    assert p.sweep(net.clock()) is None
    assert net.closed[1:] == [(2, Discard.IDLE_TIMEOUT)]


def test_somebody_is_asked_to_sweep_when_the_first_connection_is_opened_and_again_after_the_last_has_gone(net: Net) -> None:
    p = net.pool(Limits(idle_timeout=10))
    assert net.watched == 0
    p.acquire("a").release()
    p.acquire("b").release()
    assert net.watched == 1
    net.clock.advance(10)
    assert p.sweep(net.clock()) is None
    p.acquire("a").release()
    assert net.watched == 2
    p.close()
    assert net.watched == 3, "to see that there is nothing left"
    assert p.sweep(net.clock()) is None


def test_without_anybody_who_sweeps_the_pool_does_it_when_it_is_used(net: Net) -> None:
    p = net.pool(Limits(idle_timeout=10), watch=None)
    p.acquire("a").release()
    net.clock.advance(10)
    p.acquire("b").release()
    assert net.closed == [(1, Discard.IDLE_TIMEOUT)]


def test_sweep_probes_what_looks_suspicious_and_closes_what_is_unfit(net: Net) -> None:
    glances: list[list[int]] = []

    def glance(resources: list[int]) -> list[int]:
        glances.append(resources)
        return [1, 3]

    p = net.pool(poll_idle=glance)
    for lease in [p.acquire("a") for _ in range(3)]:
        lease.release()
    net.unfit[1] = Discard.STALE
    net.clock.advance(2)
    assert p.sweep(net.clock()) == upkeep.SWEEP_SECONDS
    assert glances == [[1, 2, 3]]
    assert net.probed == [1, 3]
    assert net.closed == [(1, Discard.STALE)]
    check(p)
    net.clock.advance(1)
    assert p.acquire("a").idle == 3, "a look does not make it young again"


def test_a_connection_is_nobodys_while_sweep_probes_it(net: Net) -> None:
    p = net.pool(Limits(max_connections_per_origin=1), poll_idle=lambda resources: resources)
    p.acquire("a").release()
    askers: list[Asker] = []

    def probe(resource: int) -> Discard | None:
        if not askers:
            askers.append(Asker(p))
            until_waiting(p, 1)
        return None

    p._probe = probe
    p.sweep(net.clock())
    assert askers[0].result().resource == 1
    check(p)


def test_what_is_taken_between_the_glance_and_the_probe_is_left_alone(net: Net) -> None:
    taken: list[Lease[str, int]] = []

    def glance(resources: list[int]) -> list[int]:
        taken.append(p.acquire("a"))
        return resources

    p = net.pool(poll_idle=glance)
    p.acquire("a").release()
    net.probed.clear()
    p.sweep(net.clock())
    assert net.probed == [1], "by acquire, and by nobody else"
    taken[0].release()
    check(p)


def test_a_pool_closed_or_forked_during_the_probe_of_a_sweep_keeps_nothing(net: Net) -> None:
    p = net.pool(poll_idle=lambda resources: resources)
    p.acquire("a").release()
    p._probe = lambda _: p.close()
    p.sweep(net.clock())
    assert net.closed == [(1, Discard.CLIENT_CLOSED)]
    q = net.pool(poll_idle=lambda resources: resources)
    q.acquire("a").release()
    q._probe = lambda _: q.forget_inherited()
    q.sweep(net.clock())
    assert net.closed[1:] == [(2, Discard.FORKED)]
    check(q)


def test_min_idle_connections_are_kept_ready_for_origins_in_use(net: Net) -> None:
    p = net.pool(Limits(min_idle_connections=2, idle_timeout=50))
    lease = p.acquire("a")
    assert p.sweep(net.clock()) == upkeep.SWEEP_SECONDS
    assert p.stats().idle == 2
    lease.release()
    assert p.sweep(net.clock()) == upkeep.SWEEP_SECONDS
    assert net.opened == [1, 2, 3]
    net.clock.advance(50)
    p.sweep(net.clock())
    assert len(net.opened) == 5
    net.clock.advance(upkeep.IN_USE_SECONDS)
    assert p.sweep(net.clock()) is None
    assert p.stats().idle == 0
    assert len(net.opened) == 5


def test_a_server_that_closes_at_once_is_not_hammered(net: Net) -> None:
    p = net.pool(Limits(min_idle_connections=1), poll_idle=lambda resources: resources)
    p.acquire("a").discard(Discard.SERVER_CLOSE)
    for _ in range(200):
        net.unfit = dict.fromkeys(net.opened, Discard.STALE)
        p.sweep(net.clock())
        net.clock.advance(1)
    assert len(net.opened) <= 10


def test_a_server_that_does_not_answer_is_not_hammered(net: Net) -> None:
    p = net.pool(Limits(min_idle_connections=1))
    p.acquire("a").discard(Discard.SERVER_CLOSE)
    net.refuse = OSError("refused")
    for _ in range(130):
        p.sweep(net.clock())
        net.clock.advance(1)
    assert 5 <= len(net.untils) - 1 <= 9
    net.refuse = None
    net.clock.advance(60)
    p.sweep(net.clock())
    assert p.stats().idle == 1
    net.clock.advance(60)
    p.sweep(net.clock())
    assert p.stats().idle == 1


def test_a_closed_pool_is_not_refilled(net: Net) -> None:
    p = net.pool(Limits(min_idle_connections=1))
    lease = p.acquire("a")
    p.close()
    assert p.sweep(net.clock()) is None
    lease.release()
    assert net.opened == [1]


def test_leak_after_logs_once_what_is_held_too_long(net: Net, caplog: pytest.LogCaptureFixture) -> None:
    p = net.pool(Limits(leak_after=30))
    told: list[PoolEvent] = []
    lease = p.acquire("a", purpose="GET /film")
    lease.note_borrower()
    other = p.acquire("a")
    net.clock.advance(29)
    with caplog.at_level(logging.WARNING, "holdfast.pool"):
        assert p.sweep(net.clock()) == upkeep.SWEEP_SECONDS
        assert caplog.text == ""
        p.on_event(told.append)
        net.clock.advance(2)
        p.sweep(net.clock())
        p.sweep(net.clock())
    assert caplog.text.count("has been in use for 31.0 s") == 2
    assert f"the connection for GET /film has been in use for 31.0 s (borrowed at {__file__}:" in caplog.text
    assert [event.kind for event in told] == ["held", "held"]
    lease.release()
    other.release()


# -- origins that come and go ------------------------------------------------------------------------------------------


def test_figures_of_forgotten_origins_stay_in_the_total(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "MAX_UNUSED_ORIGINS", 3)
    p = net.pool()
    for number in range(10):
        p.acquire(f"host{number}").discard(Discard.SERVER_CLOSE)
    stats = p.stats()
    assert len(stats.origins) == 3
    assert stats.created == 10
    assert stats.requests == 10
    assert stats.closed["server_close"] == 10
    p.acquire("host9").release()
    assert [o.created for o in p.stats().origins if o.origin == "host9"] == [2]


def test_memory_does_not_grow_with_origins_under_a_full_total(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "MAX_UNUSED_ORIGINS", 3)
    p = net.pool(Limits(max_connections=1))
    held = p.acquire("x")
    for number in range(10):
        with pytest.raises(PoolTimeout):
            p.acquire(f"host{number}", wait=0)
    assert len(p._state.origins) == 4
    held.release()
    check(p)


def test_an_origin_that_is_used_again_is_not_forgotten(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "MAX_UNUSED_ORIGINS", 1)
    p = net.pool(Limits(max_connections_per_origin=1))
    p.acquire("a").discard(Discard.BROKEN)
    held = p.acquire("a")
    for key in "bcd":
        p.acquire(key).discard(Discard.BROKEN)
    assert "a" in p._state.origins
    with pytest.raises(PoolTimeout):
        p.acquire("a", wait=0)
    held.release()
    check(p)


# -- Limits ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"max_connections": 0}, r"max_connections=0\): must be more than 0"),
        ({"max_connections_per_origin": -1}, "must be more than 0"),
        ({"idle_timeout": -0.1}, "must be 0 or more"),
        ({"min_idle_connections": None}, "expected a number$"),
        ({"max_lifetime": "1"}, "expected a number or None"),
        ({"max_requests": True}, "expected a number or None"),
        ({"idle_timeout": float("nan")}, "expected a number or None"),
        ({"leak_after": 0}, "must be more than 0"),
        ({"min_idle_connections": 5, "max_connections": 4}, "so many can never be idle"),
        ({"min_idle_connections": 2, "max_idle_per_origin": 1}, "raise max_idle_per_origin"),
    ],
)
def test_limits_that_make_no_sense_are_refused(given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Limits(**given)


def test_repr_tells_the_state_in_one_line(net: Net) -> None:
    p = net.pool(Limits(max_connections_per_origin=2))
    p.acquire("a").release()
    lease = p.acquire("b")
    assert repr(p) == "<Pool: 1 active, 1 idle, 2 open, 0 waiting>"
    lease.release()


def test_who_borrows_from_nowhere_is_not_named() -> None:
    assert borrower.calling_line(None) is None
    assert borrower.at(None) == ""


def test_a_pool_whose_last_sweep_came_while_it_was_being_closed_is_not_watched_again(net: Net) -> None:
    """Whoever watches would keep its thread for it, a second longer."""
    p = net.pool()

    def the_keeper_comes_by(_: int) -> None:
        p.sweep(net.clock())

    p._interrupt = the_keeper_comes_by
    lease = p.acquire("a")
    watched = net.watched
    p.close()
    assert net.watched == watched
    lease.release()


def test_a_finalizer_inside_the_lock_has_its_connections_closed_after_it(net: Net) -> None:
    """The owner of a key was collected in the middle of a move: to close there and then would wait for the lock that is held."""
    p = net.pool()
    leases = [p.acquire("a"), p.acquire("a"), p.acquire("b")]
    for lease in leases:
        lease.release()

    with p._state.lock:
        p.trim_in_finalizer("a", 1)
        assert net.closed == []
    p.stats()
    assert [number for number, _ in net.closed] == [1]

    p.trim_in_finalizer("a", 0)
    assert [number for number, _ in net.closed] == [1, 2], "where nobody has the lock, it is done at once"

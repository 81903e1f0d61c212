"""Connections that were opened ahead of need, in a pool of numbers on a clock that only the test moves."""

from __future__ import annotations

import pytest

from holdfast.exceptions import ConnectTimeout
from holdfast.pool.limits import Limits
from holdfast.reasons import Discard
from tests.conftest import FakeClock
from tests.pool.test_pool import LONG, Asker, Net, SlowDial, check

# Some tests drop a lease when they end.
pytestmark = pytest.mark.filterwarnings("ignore:.*was dropped while in use:ResourceWarning")


@pytest.fixture
def net(clock: FakeClock) -> Net:
    return Net(clock)


def test_a_connection_opened_ahead_of_need_is_replaced_before_it_is_old(net: Net) -> None:
    p = net.pool(poll_idle=lambda resources: [])
    p.warm("a", 2)
    net.clock.advance(3.9)
    p.sweep(net.clock())
    assert net.closed == []
    net.clock.advance(0.2)
    p.sweep(net.clock())

    assert net.closed == [(1, Discard.UNUSED), (2, Discard.UNUSED)]
    assert net.opened == [1, 2, 3, 4]
    lease = p.acquire("a")
    assert (lease.resource, lease.reused) == (4, True)
    lease.release()
    net.clock.advance(10)
    assert p.acquire("a").resource == 4, "once it was used, it is as any other"
    check(p)


def test_it_is_not_replaced_for_longer_than_an_idle_connection_is_kept(net: Net) -> None:
    p = net.pool(Limits(idle_timeout=10), poll_idle=lambda resources: [])
    p.warm("a", 1)
    for _ in range(20):
        net.clock.advance(1)
        p.sweep(net.clock())

    assert net.opened == [1, 2, 3]
    assert net.closed == [(1, Discard.UNUSED), (2, Discard.UNUSED), (3, Discard.IDLE_TIMEOUT)]


def test_an_unused_connection_is_never_lent_when_it_is_old_whatever_the_keeper_thread_does(net: Net) -> None:
    p = net.pool()
    p.warm("a", 1)
    net.clock.advance(4)

    lease = p.acquire("a")
    assert (lease.resource, lease.reused) == (2, False)
    assert net.closed == [(1, Discard.UNUSED)]


def test_a_dial_that_was_left_is_not_replaced(net: Net) -> None:
    p = net.pool(poll_idle=lambda resources: [])
    slow = SlowDial(p, net)
    asker = Asker(p, connect=0.01)
    assert isinstance(asker.failure(), ConnectTimeout)
    slow.go_on.set()
    slow.threads[0].join(LONG)
    net.clock.advance(4)
    p.sweep(net.clock())

    assert net.closed == [(1, Discard.UNUSED)]
    assert net.opened == [1]


def test_a_server_that_does_not_answer_is_not_stormed(net: Net) -> None:
    p = net.pool(Limits(min_idle_connections=3, idle_timeout=55), poll_idle=lambda resources: [])
    p.acquire("a").release()
    p.sweep(net.clock())
    net.refuse = ConnectionRefusedError()
    for _ in range(60):
        net.clock.advance(1)
        p.sweep(net.clock())
    attempts = len(net.untils) - len(net.opened)

    assert attempts <= 3 * 8
    check(p)


def test_min_idle_connections_are_always_young(net: Net) -> None:
    p = net.pool(Limits(min_idle_connections=2), poll_idle=lambda resources: [])
    p.acquire("a").release()
    for _ in range(120):
        net.clock.advance(1)
        p.sweep(net.clock())
        idle = [c for c in p._state.idle if not c.uses]
        assert all(net.clock() - c.opened_at < 5 for c in idle)
        assert len(p._state.idle) >= 2

    check(p)


def test_unused_timeout_none_means_idle_timeout(net: Net) -> None:
    p = net.pool(Limits(unused_timeout=None, idle_timeout=None))
    p.warm("a", 1)
    net.clock.advance(10_000)

    assert p.acquire("a").resource == 1


def test_while_a_server_refuses_none_is_replaced(net: Net) -> None:
    p = net.pool(poll_idle=lambda resources: [])
    p.warm("a", 2)
    net.clock.advance(1)
    p.warm("a", 2)
    net.refuse = ConnectionRefusedError()
    for _ in range(5):
        net.clock.advance(1)
        p.sweep(net.clock())

    assert net.closed == [(number, Discard.UNUSED) for number in (1, 2, 3, 4)]
    assert len(net.untils) == 4 + 2

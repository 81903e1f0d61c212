"""Upkeep in the user's own thread, where Ctrl-C may strike: a pool without a keeper sweeps when it is used."""

from __future__ import annotations

import gc
from collections.abc import Callable

import pytest

from holdfast.pool.limits import Limits
from holdfast.pool.pool import Pool
from holdfast.reasons import Discard
from tests.conftest import FakeClock
from tests.pool.test_pool import Asker, Net, check, until_waiting
from tests.torture import Tracer

Scene = Callable[[Pool[str, int], Net], object]


def sweep(p: Pool[str, int], net: Net) -> None:
    """One that is too old, one that is half closed, one to be opened."""
    net.clock.advance(50)
    p.acquire("a").release()
    net.clock.advance(10)
    net.unfit = {3: Discard.STALE}
    p.sweep(net.clock())


SCENES: dict[str, Scene] = {
    "sweep": sweep,
    "probe that finds nothing": lambda p, net: p.sweep(net.clock()),
    "warm": lambda p, net: p.warm("b", 1),
}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore:.*was dropped while in use:ResourceWarning")
@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
def test_an_interrupt_at_any_line_of_upkeep_loses_no_slot_and_shares_no_connection(
    clock: FakeClock, quick_gc: None, scene: Scene
) -> None:
    """A connection that was being probed, or a slot for one to be opened in advance, used to be nobody's and in use for ever."""
    limits = Limits(max_connections_per_origin=3, max_connections=4, min_idle_connections=2, idle_timeout=55)
    for at in range(1, 2000):
        net = Net(clock)
        p = net.pool(limits, watch=None, poll_idle=lambda resources: resources)
        p.acquire("a").release()
        p.warm("a", 2)
        with Tracer(at) as tracer:
            try:
                scene(p, net)
            except KeyboardInterrupt:
                pass
        gc.collect()
        p.sweep(net.clock())
        check(p)
        net.unfit = {}
        held = [p.acquire(key, wait=0) for key in "aaab"]
        gone = [resource for resource, _ in net.closed]
        assert len(gone) == len(set(gone)), f"closed twice: {tracer.struck}"
        assert not {lease.resource for lease in held} & set(gone), f"closed, and yet in use: {tracer.struck}"
        for lease in held:
            lease.release()
        if not tracer.struck:
            return
    raise AssertionError("the scene has no end")


def test_an_interrupt_in_a_hand_over_whose_waiter_has_already_left_with_its_lease(clock: FakeClock) -> None:
    """1. A waiter is given its lease. 2. It looks, sees it and goes. 3. Ctrl-C strikes whoever gave it.

    What was mended then asked the waiter for its lease (AttributeError) and left it in the queue, where nobody waited any more.
    """
    net = Net(clock)
    p = net.pool(Limits(max_connections_per_origin=1))
    lease = p.acquire("a")
    asker = Asker(p)
    until_waiting(p, 1)
    (waiter,) = p._state.origins["a"].waiting

    def strike() -> float:
        if waiter.served:
            p._state.clock = net.clock
            waiter.wake()  # as if it had not fallen asleep yet
            asker.result()
            raise KeyboardInterrupt
        return net.clock()

    p._state.clock = strike
    with pytest.raises(KeyboardInterrupt):
        lease.release()

    check(p)
    asker.result().release()
    again = p.acquire("a", wait=0)
    assert again.resource == 1
    again.release()

"""A pool of numbers whose connections end, on a clock that only the test moves: it keeps clear of where they have ended before."""

from __future__ import annotations

import pytest

from holdfast.pool.learning import WITNESSES
from holdfast.pool.limits import Limits
from holdfast.pool.pool import Pool
from holdfast.reasons import Discard
from tests.conftest import FakeClock
from tests.pool.test_pool import Asker, Net, check, until_waiting

# Some tests drop a lease when they end.
pytestmark = pytest.mark.filterwarnings("ignore:.*was dropped while in use:ResourceWarning")


@pytest.fixture
def net(clock: FakeClock) -> Net:
    return Net(clock)


def use(p: Pool[str, int], *, repeatable: bool = False) -> int:
    """A use from beginning to end, of which resource."""
    lease = p.acquire("a", repeatable=repeatable)
    lease.release()
    return lease.resource


def lose(p: Pool[str, int], *, repeatable: bool = False) -> None:
    """A use under which the other end closes."""
    lease = p.acquire("a", repeatable=repeatable)
    assert lease.reused
    lease.discard(Discard.STALE)


def test_after_one_close_at_an_age_no_use_that_cannot_be_repeated_meets_it_again(net: Net) -> None:
    p = net.pool()
    use(p)
    net.clock.advance(4.9)
    lose(p)

    assert use(p) == 2
    net.clock.advance(4.8)
    assert use(p) == 3
    net.clock.advance(3.8)
    assert use(p) == 3
    stats = p.stats().origins[0]
    assert stats.closes_after == pytest.approx(4.9)
    assert (stats.closes_after_uses, stats.avoided) == (None, 1)


def test_a_use_that_can_be_repeated_takes_what_there_is(net: Net) -> None:
    p = net.pool()
    use(p)
    net.clock.advance(4.9)
    lose(p)
    use(p)
    net.clock.advance(4.8)

    assert use(p, repeatable=True) == 2


def test_an_end_that_the_probe_or_the_keeper_thread_finds_teaches_as_much(net: Net) -> None:
    p = net.pool(poll_idle=lambda resources: resources)
    use(p)
    net.clock.advance(6)
    net.unfit = {1: Discard.STALE}
    assert use(p) == 2
    assert p.stats().origins[0].closes_after == 6
    net.clock.advance(5)
    net.unfit = {2: Discard.STALE}
    p.sweep(net.clock())

    assert p.stats().origins[0].closes_after == 5


def test_a_younger_connection_is_taken_if_the_freshest_may_not_be(net: Net) -> None:
    """The freshest has answered as often as this server ever does; the one before it has not."""
    p = net.pool()
    for _ in range(2):
        for _ in range(3):
            use(p)
        lose(p)
    assert p.stats().origins[0].closes_after_uses == 3
    two, three = p.acquire("a"), p.acquire("a")
    two.release()
    three.release()
    for _ in range(2):
        assert use(p) == three.resource

    assert use(p) == two.resource


def test_a_server_that_closes_after_each_use_is_given_a_new_connection_for_each(net: Net) -> None:
    p = net.pool(Limits(max_connections_per_origin=1))
    for _ in range(2):
        use(p)
        lose(p)

    assert [use(p) for _ in range(3)] == [3, 4, 5]
    assert net.closed[2:] == [(3, Discard.SURPLUS), (4, Discard.SURPLUS)]
    assert p.stats().origins[0].closes_after_uses == 1
    check(p)


def test_a_connection_that_is_about_to_be_closed_is_not_handed_to_a_waiter_that_it_could_harm(net: Net) -> None:
    p = net.pool(Limits(max_connections_per_origin=1))
    for _ in range(2):
        use(p)
        lose(p)
    held = p.acquire("a")
    asker = Asker(p, repeatable=False)
    until_waiting(p, 1)
    held.release()

    lease = asker.result()
    assert (lease.resource, lease.reused) == (4, False)
    lease.release()
    held = p.acquire("a")
    easy = Asker(p)
    until_waiting(p, 1)
    held.release()
    assert easy.result().resource == 4


def test_one_restart_does_not_make_a_good_server_look_bad_for_long(net: Net) -> None:
    """All connections end at once, at mixed ages. Those opened after it bear witness as they grow older than that."""
    p = net.pool(poll_idle=lambda resources: resources)
    leases = [p.acquire("a") for _ in range(6)]
    for lease in leases:
        lease.release()
        net.clock.advance(0.3)
    net.unfit = dict.fromkeys(net.opened, Discard.STALE)
    p.sweep(net.clock())
    assert p.stats().origins[0].closes_after == pytest.approx(0.3)

    leases = [p.acquire("a", repeatable=False) for _ in range(6)]
    for lease in leases:
        lease.release()
    for _ in range(2):
        net.clock.advance(1)
        p.sweep(net.clock())

    assert p.stats().origins[0].closes_after is None
    assert use(p) in net.opened[6:]


def test_a_connection_bears_witness_once_while_it_is_idle(net: Net) -> None:
    p = net.pool(poll_idle=lambda resources: resources)
    use(p)
    net.clock.advance(1)
    lose(p)
    use(p)
    for _ in range(2 * WITNESSES):
        net.clock.advance(2.5)
        p.sweep(net.clock())

    assert p.stats().origins[0].closes_after == 1


def test_uses_that_go_well_refute_too(net: Net) -> None:
    p = net.pool()
    for _ in range(2):
        for _ in range(7):
            use(p)
        lose(p)
    assert p.stats().origins[0].closes_after_uses == 7
    for _ in range(7 + WITNESSES):
        use(p, repeatable=True)

    assert p.stats().origins[0].closes_after_uses is None
    assert p._state.origins["a"].learned is None


def test_a_connection_that_goes_for_its_age_says_how_old_it_became(net: Net) -> None:
    p = net.pool(Limits(idle_timeout=18), poll_idle=lambda resources: resources)
    use(p)
    net.clock.advance(9)
    lose(p)
    use(p)
    net.clock.advance(18)
    p.sweep(net.clock())

    assert p.stats().origins[0].closes_after == pytest.approx(9 + (17 - 9) / 32)


@pytest.mark.parametrize("reason", [Discard.BROKEN, Discard.SERVER_CLOSE])
def test_what_is_not_the_servers_silent_end_teaches_nothing(net: Net, reason: Discard) -> None:
    p = net.pool()
    use(p)
    net.clock.advance(5)
    p.acquire("a").discard(reason)

    assert p._state.origins["a"].learned is None


def test_the_end_of_a_connection_that_was_never_used_teaches_nothing_about_those_that_were(net: Net) -> None:
    p = net.pool()
    p.warm("a", 2)
    net.clock.advance(1)
    net.unfit = {2: Discard.STALE}
    lose(p)

    assert net.closed == [(2, Discard.STALE), (1, Discard.STALE)]
    assert p._state.origins["a"].learned is None


def test_a_pool_that_is_told_not_to_learn_does_not(net: Net) -> None:
    p = net.pool(Limits(learn=False))
    use(p)
    net.clock.advance(5)
    lose(p)
    use(p)
    net.clock.advance(5)

    assert use(p) == 2
    assert p.stats().origins[0].closes_after is None


def test_learn_is_yes_or_no() -> None:
    with pytest.raises(ValueError, match=r"Limits\(learn=1\): expected True or False"):
        Limits(learn=1)  # type: ignore[arg-type]


def test_what_was_learned_is_told(net: Net) -> None:
    p = net.pool()
    events = []
    p.on_event(lambda event: events.append((event.kind, event.reason, event.seconds)))
    use(p)
    net.clock.advance(5)
    lose(p)

    assert events[-2:] == [("closed", "stale", 5.0), ("learned", "idle", 5.0)]


def test_a_connection_is_as_old_as_before_after_a_borrower_that_never_came_to_use_it(net: Net) -> None:
    """A probe that raises, as Ctrl-C does, used to make it young again."""
    p = net.pool()
    use(p)
    net.clock.advance(5)
    with pytest.raises(KeyboardInterrupt):
        interrupted_acquire(p)

    assert p.acquire("a").idle == 5


def interrupted_acquire(p: Pool[str, int]) -> None:
    original = p._probe

    def interrupted(resource: int) -> Discard | None:
        p._probe = original
        raise KeyboardInterrupt

    p._probe = interrupted
    p.acquire("a")


def test_one_that_is_trusted_and_yet_too_old_for_its_servers_hint_is_not_replaced_by_one_that_is_not_trusted(net: Net) -> None:
    p = net.pool()
    use(p)
    net.clock.advance(10)
    lose(p)
    older, hinted = p.acquire("a"), p.acquire("a")
    older.release()
    net.clock.advance(7.5)
    hinted.release(keep_for=1)
    net.clock.advance(2)

    assert use(p) == 4


def test_one_that_was_opened_ahead_of_need_is_as_good_as_new_to_a_server_that_closes_soon(net: Net) -> None:
    p = net.pool()
    use(p)
    net.clock.advance(1)
    lose(p)
    p.warm("a", 1)
    net.clock.advance(3)

    assert use(p) == 2


# -- the first reuse ---------------------------------------------------------------------------------------------------


class Looks:
    """What a longer look finds, and at which resources there was one."""

    def __init__(self) -> None:
        self.at: list[int] = []
        self.unfit: dict[int, Discard] = {}

    def __call__(self, resource: int) -> Discard | None:
        self.at.append(resource)
        return self.unfit.get(resource)


def test_the_first_reuse_that_cannot_be_repeated_looks_longer_once(net: Net) -> None:
    looks = Looks()
    p = net.pool(look=looks)

    assert [use(p) for _ in range(4)] == [1, 1, 1, 1]
    assert looks.at == [1]
    p.close_idle()
    assert [use(p) for _ in range(3)] == [2, 2, 2]
    assert looks.at == [1], "once for the origin, not for each of its connections"


def test_what_the_longer_look_finds_is_an_end_like_any_other_and_the_next_use_looks_again(net: Net) -> None:
    looks = Looks()
    p = net.pool(Limits(max_connections_per_origin=1), look=looks)
    looks.unfit = dict.fromkeys(range(1, 10), Discard.STALE)

    assert [use(p) for _ in range(5)] == [1, 2, 3, 4, 5]
    assert looks.at == [1, 2], "by then it is known to close after each use"
    row = p.stats().origins[0]
    assert (row.closes_after_uses, row.avoided, row.created) == (1, 2, 5)
    assert net.closed == [(1, Discard.STALE), (2, Discard.STALE), (3, Discard.SURPLUS), (4, Discard.SURPLUS)]
    check(p)


def test_a_connection_that_has_served_twice_or_rested_for_a_while_is_looked_at_no_longer(net: Net) -> None:
    looks = Looks()
    p = net.pool(look=looks)
    use(p, repeatable=True)
    use(p, repeatable=True)
    assert use(p) == 1
    other = net.pool(look=looks)
    first = use(other)
    net.clock.advance(0.06)

    assert use(other) == first
    assert looks.at == []


def test_uses_that_can_be_repeated_and_connections_without_a_use_are_not_looked_at(net: Net) -> None:
    looks = Looks()
    p = net.pool(look=looks)
    p.warm("a", 1)
    use(p)
    use(p, repeatable=True)

    assert looks.at == []


def test_an_end_at_once_takes_back_what_the_look_has_found(net: Net) -> None:
    """The look was too short, or the server was exchanged for one that closes after each use."""
    looks = Looks()
    p = net.pool(look=looks)
    use(p)
    lose(p)
    use(p)
    use(p)
    assert looks.at == [1, 2]
    net.clock.advance(9)
    lose(p)
    use(p)
    use(p)

    assert looks.at == [1, 2], "an end after a time says nothing about uses"


def test_without_learning_there_is_no_longer_look(net: Net) -> None:
    looks = Looks()
    p = net.pool(Limits(learn=False), look=looks)
    use(p)
    use(p)

    assert looks.at == []


def test_an_interrupted_look_leaves_the_connection_to_others(net: Net) -> None:
    def interrupted(resource: int) -> None:
        raise KeyboardInterrupt

    p = net.pool(look=interrupted)
    use(p)
    with pytest.raises(KeyboardInterrupt):
        use(p)

    assert use(p, repeatable=True) == 1
    check(p)


def test_a_waiter_that_is_handed_a_connection_looks_as_well(net: Net) -> None:
    looks = Looks()
    p = net.pool(Limits(max_connections_per_origin=1), look=looks)
    looks.unfit[1] = Discard.STALE
    lease = p.acquire("a", repeatable=False)
    asker = Asker(p, "a", repeatable=False)
    until_waiting(p, 1)
    lease.release()

    assert asker.result().resource == 2
    assert looks.at == [1]

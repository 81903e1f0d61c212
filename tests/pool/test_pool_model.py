"""The pool against a model, under arbitrary interleavings of everything that can be done to it.

Waiters are real threads. After every step the machine lets them come to rest: each has its connection or its error, or sleeps in
the queue. Then nobody is inside the pool, and what must hold is looked at. A waiter's time runs out when a rule says so.
"""

from __future__ import annotations

import os
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from holdfast.exceptions import PoolTimeout
from holdfast.pool import threads
from holdfast.pool.limits import Limits
from holdfast.pool.pool import Lease, Pool
from holdfast.pool.words import PoolClosed
from holdfast.reasons import Discard
from tests.conftest import FakeClock
from tests.pool.test_pool import LONG, Asker, Net, check

pytestmark = pytest.mark.filterwarnings("ignore:.*was dropped while in use:ResourceWarning")

KEYS = st.sampled_from("ab")
caps = st.none() | st.integers(1, 3)


class PoolMachine(RuleBasedStateMachine):
    """Every rule is something a program, a server or time may do."""

    @initialize(
        total=caps, origin=caps, idle=caps, idle_origin=caps, uses=st.none() | st.integers(1, 3), life=st.none() | st.just(20)
    )
    def begin(
        self, total: int | None, origin: int | None, idle: int | None, idle_origin: int | None, uses: int | None, life: int | None
    ) -> None:
        self.clock = FakeClock()
        self.net = Net(self.clock)
        self.limits = Limits(total, origin, idle, idle_origin, 0, 10, life, uses)
        self.pool: Pool[str, int] = self.net.pool(self.limits, poll_idle=lambda resources: resources)
        self.held: list[tuple[str, Lease[str, int], bool]] = []
        self.asking: list[Asker] = []
        self.expired: set[Any] = set()
        self.asked = self.uses = self.leaks = self.timeouts = self.failed = 0
        self.original_sleep = threads.ThreadWaiter.sleep
        expired = self.expired

        def sleep(waiter: threads.ThreadWaiter[str, int], seconds: float | None) -> bool:
            if seconds == 0:
                return False
            assert waiter.event.acquire(timeout=LONG), "nobody woke this one"
            return waiter not in expired

        threads.ThreadWaiter.sleep = sleep  # type: ignore[method-assign,assignment]

    def teardown(self) -> None:
        if hasattr(self, "pool"):
            self.pool.close()
            for asker in self.asking:
                asker.join(LONG)
            threads.ThreadWaiter.sleep = self.original_sleep  # type: ignore[method-assign]
            for _, lease, _ in self.held:
                lease.release()

    # -- what may happen -----------------------------------------------------------------------------------------------

    @rule(key=KEYS, fresh=st.booleans(), repeatable=st.booleans())
    def acquire_now(self, key: str, fresh: bool, repeatable: bool) -> None:
        try:
            lease = self.pool.acquire(key, wait=0, fresh=fresh, repeatable=repeatable)
        except PoolTimeout:
            self.timeouts += 1
            assert self.full(key), "there was room"
        except PoolClosed:
            assert self.pool.closed
        except ConnectionRefusedError:
            self.failed += 1
        else:
            self.got(key, lease, fresh)

    @precondition(lambda self: len(self.asking) < 4)
    @rule(key=KEYS, kinds=st.lists(st.booleans(), min_size=1, max_size=4), repeatable=st.booleans())
    def ask(self, key: str, kinds: list[bool], repeatable: bool) -> None:
        for fresh in kinds:
            asker = Asker(self.pool, key, fresh=fresh, repeatable=repeatable)
            self.asked += 1
            asker.fresh, asker.order = fresh, self.asked  # type: ignore[attr-defined]
            self.asking.append(asker)
            self.rest()

    @precondition(lambda self: self.waiting())
    @rule(data=st.data())
    def time_runs_out_for_one_who_waits(self, data: st.DataObject) -> None:
        waiter = data.draw(st.sampled_from(self.waiting()))
        self.timeouts += 1
        with self.pool._state.lock:
            self.expired.add(waiter)
            waiter.wake()
        self.rest()

    @precondition(lambda self: self.held)
    @rule(data=st.data(), keep_for=st.none() | st.sampled_from([0, 1, 100]), uses_left=st.none() | st.integers(0, 2))
    def release(self, data: st.DataObject, keep_for: float | None, uses_left: int | None) -> None:
        self.take_one(data).release(keep_for=keep_for, uses_left=uses_left)
        self.uses += 1
        self.rest()

    @precondition(lambda self: self.held)
    @rule(data=st.data(), reason=st.sampled_from([Discard.BROKEN, Discard.SERVER_CLOSE, Discard.STALE]))
    def discard(self, data: st.DataObject, reason: Discard) -> None:
        self.take_one(data).discard(reason)
        self.uses += 1
        self.rest()

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        lease = self.take_one(data)
        del lease
        self.uses += 1
        self.leaks += 1
        self.rest()

    @rule(key=KEYS, count=st.integers(1, 3))
    def warm(self, key: str, count: int) -> None:
        try:
            before = len(self.net.opened)
            opened = self.pool.warm(key, count)
        except PoolClosed:
            assert self.pool.closed
        else:
            assert opened == len(self.net.opened) - before

    @precondition(lambda self: self.net.opened)
    @rule(data=st.data())
    def a_server_closes_an_idle_connection(self, data: st.DataObject) -> None:
        self.net.unfit[data.draw(st.sampled_from(self.net.opened))] = Discard.STALE

    @rule(down=st.booleans())
    def the_server_goes_down_or_comes_back(self, down: bool) -> None:
        self.net.refuse = ConnectionRefusedError() if down else None

    @rule(seconds=st.sampled_from([0.5, 5, 10, 30]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def sweep(self) -> None:
        self.pool.sweep(self.clock())
        self.rest()

    @rule()
    def close_idle(self) -> None:
        self.pool.close_idle()
        self.rest()

    @precondition(lambda self: len(self.net.opened) > 9)
    @rule()
    def close(self) -> None:
        self.pool.close()
        self.rest()

    # -- helpers -------------------------------------------------------------------------------------------------------

    def take_one(self, data: st.DataObject) -> Lease[str, int]:
        return self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))[1]

    def waiting(self) -> list[Any]:
        return [waiter for origin in self.pool._state.origins.values() for waiter in origin.queued]

    def full(self, key: str) -> bool:
        state, limits = self.pool._state, self.limits
        origin = state.origins[key]
        origin_full = limits.max_connections_per_origin is not None and origin.open >= limits.max_connections_per_origin
        total_full = limits.max_connections is not None and state.open >= limits.max_connections
        return (origin_full and not origin.idle) or (total_full and not state.idle)

    def got(self, key: str, lease: Lease[str, int], fresh: bool) -> None:
        assert not (fresh and lease.reused)
        assert lease.resource not in self.net.unfit or not lease.reused
        self.held.append((key, lease, fresh))

    def rest(self) -> None:
        """Let every waiting thread come to where it can do nothing more by itself."""
        until = time.monotonic() + LONG
        while any(asker.is_alive() and not self.sleeps(asker) for asker in self.asking):
            assert time.monotonic() < until, "somebody does not come to rest"
            os.sched_yield()
        finished = [asker for asker in self.asking if not asker.is_alive()]
        self.asking = [asker for asker in self.asking if asker.is_alive()]
        self.check_order(finished)
        for asker in finished:
            self.look_at(asker)

    def sleeps(self, asker: Asker) -> bool:
        with self.pool._state.lock:
            mine = [w for w in self.waiting() if w.lease.borrower == asker.ident and w not in self.expired]
        return bool(mine)

    def check_order(self, finished: list[Asker]) -> None:
        """Whoever got a connection came before all who still wait for one to the same origin."""
        for late in (asker for asker in self.asking if asker.is_alive()):
            for early in finished:
                assert early.lease is None or early.key != late.key or early.order < late.order  # type: ignore[attr-defined]

    def look_at(self, asker: Asker) -> None:
        if asker.lease is not None:
            self.got(asker.key, asker.lease, asker.fresh)  # type: ignore[attr-defined]
            asker.lease = None
        elif isinstance(asker.error, ConnectionRefusedError):
            self.failed += 1
        else:
            assert isinstance(asker.error, (PoolTimeout, PoolClosed)), asker.error

    # -- what must hold ------------------------------------------------------------------------------------------------

    @invariant()
    def limits_are_kept_and_nothing_is_counted_twice(self) -> None:
        if not hasattr(self, "pool"):
            return
        check(self.pool)
        limits = self.limits
        for origin in self.pool._state.origins.values():
            assert limits.max_idle_per_origin is None or len(origin.idle) <= limits.max_idle_per_origin
        assert limits.max_idle_connections is None or len(self.pool._state.idle) <= limits.max_idle_connections

    @invariant()
    def none_is_lost_and_none_is_shared(self) -> None:
        if not hasattr(self, "pool"):
            return
        closed = [resource for resource, _ in self.net.closed]
        idle = [entry.resource for entry in self.pool._state.idle]
        held = [lease.resource for _, lease, _ in self.held]
        assert sorted(closed + idle + held) == self.net.opened

    @invariant()
    def nobody_waits_in_front_of_an_open_door(self) -> None:
        if not hasattr(self, "pool"):
            return
        for waiter in self.waiting():
            assert self.full(waiter.origin.key)

    @invariant()
    def counters_add_up(self) -> None:
        if not hasattr(self, "pool"):
            return
        stats = self.pool.stats()
        assert stats.created == len(self.net.opened)
        assert sum(stats.closed.values()) == len(self.net.closed)
        assert stats.requests == self.uses
        assert stats.active == len(self.held)
        assert stats.connecting == 0
        assert stats.waiting == len(self.waiting())
        assert (stats.leaks, stats.pool_timeouts) == (self.leaks, self.timeouts)
        assert stats.created == sum(origin.created for origin in stats.origins)


PoolMachine.TestCase.settings = settings(
    max_examples=200, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestThePoolUnderAnyInterleaving = PoolMachine.TestCase

"""Figures, events and advice: what the pool counts is what happened."""

from __future__ import annotations

import copy
import inspect
import json
import logging
import math
import pickle
import random
from collections.abc import Callable
from typing import Any

import pytest

from holdfast.pool.advice import advise_origin
from holdfast.pool.events import SATURATED_AFTER_SECONDS, WARN_INTERVAL_SECONDS, Announcer, PoolEvent, Utilisation
from holdfast.pool.limits import Limits
from holdfast.pool.pool import Pool
from holdfast.pool.stats import OriginStats
from holdfast.pool.tally import RATE_BUCKET_SECONDS, Histogram, Rate, Tally
from holdfast.pool.words import Words
from holdfast.reasons import Discard
from holdfast.resend import Resend
from tests.conftest import FakeClock
from tests.pool.test_pool import Asker, Net, until_waiting

pytestmark = pytest.mark.filterwarnings("ignore:.*was dropped while in use:ResourceWarning")


@pytest.fixture
def net(clock: FakeClock) -> Net:
    return Net(clock)


# -- rates and histograms ----------------------------------------------------------------------------------------------


def test_a_rate_is_that_of_the_last_minute() -> None:
    rate = Rate()
    assert rate.per_second(5.0) == 0
    for tenth in range(3000):
        rate.add(1000 + tenth / 10)
    assert rate.per_second(1300) == pytest.approx(10, rel=0.02)
    assert rate.per_second(1330) == pytest.approx(5, rel=0.15), "half of the minute was quiet"
    assert rate.per_second(1400) == 0


def test_a_rate_of_the_first_seconds_is_not_diluted() -> None:
    rate = Rate()
    for _ in range(20):
        rate.add(1000.0)
    assert rate.per_second(1000.0) == 20
    assert rate.per_second(1004.0) == 5


def test_rates_add_up() -> None:
    one, other, both = Rate(), Rate(), Rate()
    for tenth in range(2000):
        now = 1000 + tenth / 10
        (one if tenth % 3 else other).add(now)
        both.add(now)
    total = Rate()
    total.absorb(one)
    total.absorb(other)
    total.absorb(Rate())
    assert total.per_second(1200) == pytest.approx(both.per_second(1200))
    late = Rate()
    late.add(1000 + 100 * RATE_BUCKET_SECONDS)
    total.absorb(late)
    assert sum(total.counts) == 1, "what is older than a minute is forgotten"


def test_quantiles_are_right_to_a_quarter_of_an_octave() -> None:
    histogram = Histogram()
    generator = random.Random(2)
    values = sorted(generator.lognormvariate(-3, 2) for _ in range(5000))
    for value in values:
        histogram.add(value)
    for q in (0.1, 0.5, 0.95, 0.999):
        exact = values[math.ceil(q * len(values)) - 1]
        assert exact <= histogram.quantile(q) * 1.0001 <= exact * 1.26
    assert histogram.quantile(1) == histogram.largest == values[-1]
    assert histogram.mean == pytest.approx(sum(values) / len(values))
    assert len(histogram.buckets) < 120, "memory does not grow with the number of durations"


def test_what_is_entered_together_counts_as_if_it_had_come_one_by_one() -> None:
    generator = random.Random(3)
    durations = [generator.lognormvariate(-3, 3) for _ in range(500)] + [2.0**exponent for exponent in range(-9, 9)] + [0.0]
    moments = sorted(generator.uniform(1000, 1100) for _ in range(500))
    together, singly, rate, by_one = Histogram(), Histogram(), Rate(), Rate()
    together.add_all(durations)
    rate.add_all(moments)
    for seconds in durations:
        singly.add(seconds)
    for moment in moments:
        by_one.add(moment)

    assert (together.buckets, together.count, together.largest) == (singly.buckets, singly.count, singly.largest)
    assert together.total == pytest.approx(singly.total)
    assert (rate.counts, rate.slot, rate.first) == (by_one.counts, by_one.slot, by_one.first)


def test_a_histogram_takes_nothing_and_zero() -> None:
    empty = Histogram()
    assert (empty.mean, empty.quantile(0.95), empty.largest) == (0, 0, 0)
    empty.add(0.0)
    assert (empty.count, empty.quantile(0.5)) == (1, 0)
    assert empty.cumulative((0.001, 1.0)) == {0.001: 1, 1.0: 1}


def test_histograms_add_up_and_cumulate() -> None:
    one, other = Histogram(), Histogram()
    for value in (0.0001, 0.002, 0.3):
        one.add(value)
    other.add(7.0)
    one.absorb(other)
    assert one.cumulative((0.001, 0.01, 1.0, 10.0)) == {0.001: 1, 0.01: 2, 1.0: 3, 10.0: 4}
    assert (one.count, one.largest) == (4, 7.0)
    assert one.quantile(2.0) == 7.0


def test_tallies_add_up() -> None:
    one = Tally()
    one.count_created(1000)
    one.count_lease(0.5, 1000, 1)
    one.count_lease(0.5, 1000, 2)
    one.count_closed(Discard.STALE, 2, 5.0)
    one.resent["idempotent"] += 1
    two = one.copy()
    two.absorb(one)
    assert (one.reused, two.created, two.reused, two.leases.count) == (1, 2, 2, 4)
    assert two.closed == {Discard.STALE: 2}
    assert two.resent == {"idempotent": 2}
    assert two.early_ends.count == 2


# -- the snapshot ------------------------------------------------------------------------------------------------------


def a_busy_pool(net: Net) -> Pool[str, int]:
    pool = net.pool(Limits(max_connections_per_origin=4))
    for _ in range(10):
        lease = pool.acquire("https://example.com:443")
        net.clock.advance(0.5)
        lease.release()
    pool.acquire("https://example.com:443").discard(Discard.SERVER_CLOSE)
    pool.acquire("http://[::1]:80").release()
    pool.count_repeat("https://example.com:443", Resend.IDEMPOTENT)
    pool.count_repeat("http://never.seen:80", Resend.NOT_DELIVERED)
    return pool


def test_the_snapshot_says_what_happened(net: Net) -> None:
    pool = a_busy_pool(net)
    held = pool.acquire("https://example.com:443")
    stats = pool.stats()
    first = stats.origins[0]
    assert (first.origin, first.active, first.idle, first.connecting, first.waiting) == ("https://example.com:443", 1, 0, 0, 0)
    assert (first.limit, first.utilisation) == (4, 0.25)
    assert (first.created, first.requests, first.reused, first.reuse_ratio) == (2, 11, 10, 10 / 11)
    assert dict(first.closed) == {"server_close": 1}
    assert dict(first.resent) == {"idempotent": 1}
    assert first.lease_mean == pytest.approx(5 / 11)
    assert first.lease_p95 == pytest.approx(0.5, rel=0.26)
    assert first.request_rate == pytest.approx(11 / 4.5)
    assert first.creation_rate == pytest.approx(2 / 5)
    assert (stats.created, stats.requests, stats.active, stats.idle) == (3, 12, 1, 1)
    assert dict(stats.resent) == {"idempotent": 1, Resend.NOT_DELIVERED.value: 1}
    assert stats.utilisation is None, "there is no bound on the total"
    assert repr(stats) == (
        "<PoolStats: 1 active, 1 idle, 0 connecting, 0 waiting; 12 requests on 3 connections, 83% reused>"
    )
    held.release()


def test_the_snapshot_is_frozen(net: Net) -> None:
    stats = net.pool().stats()
    with pytest.raises(AttributeError):
        stats.total = None  # type: ignore[misc,assignment]
    with pytest.raises(TypeError):
        stats.closed["stale"] = 5
    with pytest.raises(AttributeError):
        stats._nothing  # noqa: B018
    with pytest.raises(AttributeError):
        stats.nothing  # noqa: B018


@pytest.mark.parametrize("copied", [lambda it: pickle.loads(pickle.dumps(it)), copy.deepcopy], ids=["pickle", "deepcopy"])
def test_a_snapshot_can_be_sent_to_another_process_and_is_frozen_there(net: Net, copied: Callable[[Any], Any]) -> None:
    pool = a_busy_pool(net)
    stats = pool.stats()
    twin = copied(stats)
    assert twin == stats
    with pytest.raises(TypeError):
        twin.total.closed["stale"] = 1


def test_every_field_is_documented() -> None:
    documented = inspect.getdoc(OriginStats) or ""
    for name in [*OriginStats.__dataclass_fields__, "utilisation", "reuse_ratio"]:
        assert f"    {name}: " in documented, name


def test_as_dict_is_json_and_complete(net: Net) -> None:
    plain = a_busy_pool(net).stats().as_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["total"]["created"] == 2
    assert plain["origins"][0]["closed"] == {"server_close": 1}
    assert set(plain["total"]) == {*OriginStats.__dataclass_fields__, "utilisation", "reuse_ratio"}


def test_opentelemetry_names_where_there_are_some(net: Net) -> None:
    pool = net.pool(Limits(max_connections_per_origin=4), attributes=lambda key: {"server.address": key, "server.port": len(key)})
    pool.acquire("here").release()
    held = pool.acquire("there")
    found = pool.stats().opentelemetry()
    here, there = {"server.address": "here", "server.port": 4}, {"server.address": "there", "server.port": 5}
    assert ("http.client.open_connections", {**here, "http.connection.state": "idle"}, 1) in found
    assert ("http.client.open_connections", {**there, "http.connection.state": "active"}, 1) in found
    assert ("http.client.connection.max", there, 4) in found
    held.release()
    odd = net.pool(Limits(max_connections_per_origin=None))
    odd.acquire("database").release()
    assert ("http.client.active_requests", {"server.address": "database"}, 0) in odd.stats().opentelemetry()


def test_a_probe_that_fails_counts_as_no_request(net: Net) -> None:
    pool = net.pool()
    pool.acquire("a").release()
    net.unfit[1] = Discard.STALE
    net.clock.advance(3)
    pool.acquire("a").release()
    stats = pool.stats()
    assert (stats.requests, stats.reused, stats.created) == (2, 0, 2)
    assert (stats.early_ends, stats.early_end_after) == (1, 3)


def test_stats_of_many_origins_are_complete(net: Net) -> None:
    pool = net.pool(Limits(max_idle_connections=None))
    for number in range(250):
        pool.acquire(f"host{number}").release()
    stats = pool.stats()
    assert len(stats.origins) == 250
    assert (stats.idle, stats.created, stats.requests) == (250, 250, 250)


# -- events ------------------------------------------------------------------------------------------------------------


def test_everything_that_happens_is_told(net: Net) -> None:
    told: list[PoolEvent] = []
    pool = net.pool(Limits(max_connections_per_origin=1))
    end = pool.on_event(told.append)
    pool.acquire("a").release()
    net.clock.advance(2)
    lease = pool.acquire("a")
    asker = Asker(pool)
    until_waiting(pool, 1)
    net.clock.advance(0.5)
    lease.release()
    lease = asker.result()
    with pytest.raises(OSError, match="no connection"):
        pool.acquire("a", wait=0)
    pool.count_repeat("a", Resend.IDEMPOTENT)
    lease.discard(Discard.BROKEN)
    end()
    pool.acquire("a").release()
    heard = [(event.kind, event.reason, event.seconds) for event in told]
    assert heard[:3] == [("opened", "", None), ("reused", "", 2), ("waited", "", 0.5)]
    assert sorted(heard[3:], key=str) == sorted(
        [("reused", "", 0.0), ("exhausted", "", 0), ("resent", "idempotent", None), ("closed", "broken", 2.5)], key=str
    )
    assert {event.origin for event in told} == {"a"}
    end()


def test_a_callback_that_raises_is_logged_and_harms_nothing(net: Net, caplog: pytest.LogCaptureFixture) -> None:
    pool = net.pool()
    told: list[PoolEvent] = []
    pool.on_event(lambda event: 1 / 0)
    pool.on_event(told.append)
    pool.acquire("a").release()
    assert "a callback given to on_event failed on a: opened" in caplog.text
    assert [event.kind for event in told] == ["opened"]


def test_a_callback_may_use_the_pool(net: Net) -> None:
    pool = net.pool()
    seen: list[int] = []
    pool.on_event(lambda event: seen.append(pool.stats().active))
    pool.acquire("a").release()
    assert seen == [1]


def test_only_a_callable_can_listen(net: Net) -> None:
    with pytest.raises(TypeError, match="expected a callable"):
        net.pool().on_event("print")  # type: ignore[arg-type]


def test_nothing_is_noted_while_nobody_listens(net: Net) -> None:
    pool = net.pool()
    lease = pool.acquire("a")
    lease.release()
    assert not pool._state.deferred
    assert not pool._news.active


def test_debug_logging_tells_the_same(net: Net, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "holdfast.pool"):
        pool = net.pool()
        pool.acquire("a").discard(Discard.SERVER_CLOSE)
    assert [record.message for record in caplog.records] == ["a: opened", "a: closed (server_close) 0.000 s"]


def test_a_logger_that_is_turned_up_later_is_noticed_at_the_next_sweep(net: Net, caplog: pytest.LogCaptureFixture) -> None:
    pool = net.pool()
    with caplog.at_level(logging.DEBUG, "holdfast.pool"):
        pool.sweep(net.clock())
        pool.acquire("a").release()
    assert "a: opened" in caplog.text


def test_one_warning_of_a_kind_per_minute_and_the_next_says_how_many_were_left_out(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    news = Announcer(clock)
    for _ in range(3):
        news.announce(PoolEvent("exhausted", "a", seconds=1.0, text="raise it"), warn=True)
    news.announce(PoolEvent("leaked", "a"), warn=True)
    clock.advance(WARN_INTERVAL_SECONDS)
    news.announce(PoolEvent("exhausted", "a"), warn=True)
    assert [record.message for record in caplog.records if record.levelno == logging.WARNING] == [
        "a: exhausted 1.000 s: raise it",
        "a: leaked",
        "a: exhausted (2 more like this in the last minutes)",
    ]


def test_a_slow_wait_is_worth_a_warning_with_advice(net: Net, caplog: pytest.LogCaptureFixture) -> None:
    pool = net.pool(Limits(max_connections_per_origin=1))
    lease = pool.acquire("a")
    asker = Asker(pool)
    until_waiting(pool, 1)
    net.clock.advance(2)
    lease.release()
    asker.result().release()
    assert "a: waited 2.000 s: raise max_connections_per_origin" in caplog.text


# -- alerts ------------------------------------------------------------------------------------------------------------


def test_saturation_is_sustained_and_recovery_is_clear() -> None:
    gauge = Utilisation()
    assert gauge.observe(0.9, 0) is None
    assert gauge.observe(0.9, SATURATED_AFTER_SECONDS - 1) is None
    assert gauge.observe(0.5, SATURATED_AFTER_SECONDS) is None, "a dip: it begins anew"
    assert gauge.observe(1.0, 40) is None
    assert gauge.observe(1.0, 40 + SATURATED_AFTER_SECONDS) == "saturated"
    assert gauge.observe(1.0, 80) is None, "once"
    assert gauge.observe(0.75, 81) is None, "neither one nor the other"
    assert gauge.observe(0.6, 82) == "recovered"
    assert gauge.observe(0.6, 83) is None
    assert gauge.observe(0.8, 84) is None


@pytest.mark.parametrize(
    ("limits", "origin", "name"),
    [
        (Limits(max_connections_per_origin=5), "a", "max_connections_per_origin"),
        (Limits(max_connections=5, max_connections_per_origin=None), "*", "max_connections"),
    ],
    ids=["of an origin", "of the total"],
)
def test_a_saturated_pool_says_so_once_and_what_to_change(
    net: Net, caplog: pytest.LogCaptureFixture, limits: Limits, origin: str, name: str
) -> None:
    pool = net.pool(limits)
    told: list[PoolEvent] = []
    held = [pool.acquire("a") for _ in range(5)]
    pool.on_event(told.append)
    for _ in range(40):
        pool.sweep(net.clock())
        net.clock.advance(1)
    for lease in held[:3]:
        lease.release()
    pool.sweep(net.clock())
    pool.sweep(net.clock())
    assert [(event.kind, event.origin) for event in told] == [("saturated", origin), ("recovered", origin)]
    assert caplog.text.count("more than 80% of the connections in use for 30 s") == 1
    assert f"raise {name} (now 5), or use fewer threads" in caplog.text
    for lease in held[3:]:
        lease.release()
    pool.close_idle()
    pool.sweep(net.clock())
    assert not pool._state.near_limit


# -- advice ------------------------------------------------------------------------------------------------------------


def stats_of(tally: Tally, limit: int | None = 50, now: float = 1060.0) -> OriginStats:
    return OriginStats.of("a", (0, 0, 0, 0), limit, tally, now)


def test_littles_law(net: Net) -> None:
    tally = Tally()
    for number in range(600):
        tally.count_lease(0.5, 1000 + number / 10, 2)
    advice = advise_origin(stats_of(tally), Limits(), Words())
    assert advice.request_rate == pytest.approx(10, rel=0.02)
    assert advice.recommended_max == 8, "10 a second, half a second each, half as many again"
    assert advice.sentences == ()
    assert str(advice).startswith("a: 8 connections suffice (10 uses/s × 0.5 s × 1.5), 50 allowed")
    few = advise_origin(stats_of(tally, 4), Limits(max_connections_per_origin=4), Words())
    assert few.sentences == ("the load needs about 8 connections, 4 are allowed: set max_connections_per_origin=8",)


def test_only_origins_that_had_a_request_are_advised_on(net: Net) -> None:
    pool = net.pool()
    pool.warm("a", 1)
    assert pool.advise() == ()
    pool.acquire("a").release()
    assert [advice.recommended_max for advice in pool.advise()] == [1]


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        (Discard.SURPLUS, ("90% of 100 connections were used at most once and closed because there was no room to keep them: "
         "raise max_idle_connections (or max_idle_per_origin)")),
        (Discard.IDLE_TIMEOUT, ("90% of 100 connections were used at most once and closed after 55.0 s idle: raise idle_timeout "
         "if the server keeps them longer")),
        (Discard.SERVER_CLOSE, ("90% of 100 connections were used at most once and closed by the server, which does not keep "
         "connections alive")),
        (Discard.BROKEN, None),
    ],
)  # fmt: skip
def test_connections_used_once_are_explained_by_why_they_went(reason: Discard, sentence: str | None) -> None:
    tally = Tally()
    for number in range(100):
        tally.count_closed(reason, 1 if number < 90 else 5, None)
    sentences = advise_origin(stats_of(tally), Limits(), Words()).sentences
    assert sentences == (() if sentence is None else (sentence,))


def test_a_server_that_closes_earlier_than_we_do(net: Net) -> None:
    tally = Tally()
    for number in range(40):
        tally.count_closed(Discard.STALE, 5, 5.0 + number % 3)
    sentences = advise_origin(stats_of(tally), Limits(), Words()).sentences
    assert sentences == ("the server closed 40 idle connections at about 5 s: set idle_timeout=4",)
    assert advise_origin(stats_of(tally), Limits(idle_timeout=4), Words()).sentences == ()
    quick = Tally()
    for _ in range(10):
        quick.count_closed(Discard.STALE, 5, 0.5)
    assert advise_origin(stats_of(quick), Limits(), Words()).sentences[0].endswith("set idle_timeout=0.45")


def test_waits_leaks_and_failures_are_told() -> None:
    tally = Tally()
    tally.waits.add(2.5)
    tally.pool_timeouts = 1
    tally.leaks = 3
    tally.failed, tally.created = 10, 30
    sentences = advise_origin(stats_of(tally, None), Limits(), Words()).sentences
    assert sentences[0].startswith("1 use waited for a connection, the longest 2.50 s, 1 in vain: raise")
    assert sentences[1].startswith("3 leases were dropped without being given back: use 'with'")
    assert sentences[2] == "10 of 40 attempts to connect failed: check the server and the network"

"""The clock by which connections age."""

from __future__ import annotations

import time

import pytest

from holdfast._clock import system_clock
from holdfast.pool.keeper import keeper
from holdfast.pool.pool import Pool


def test_the_clock_only_goes_forward() -> None:
    moments = [system_clock() for _ in range(1000)]

    assert moments == sorted(moments)


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="only Linux has it")
def test_on_linux_the_time_asleep_counts() -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    now = system_clock()

    assert before <= now <= time.clock_gettime(time.CLOCK_BOOTTIME)


def test_the_pool_and_the_keeper_go_by_the_same_clock() -> None:
    """Or the keeper would sweep too early or too late by all the time that the machine has slept."""
    pool: Pool[str, int] = Pool(lambda key, until: 1, lambda _: None, lambda _, reason: None)

    assert keeper._clock is pool._state.clock is system_clock

"""The keeper: when it sweeps, when it starts and ends, and what it never keeps alive."""

from __future__ import annotations

import gc
import logging
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable

import pytest

from holdfast._clock import system_clock
from holdfast.pool import keeper as module
from holdfast.pool.keeper import Keeper

LONG = 10.0


class Swept:
    """Something to watch; ``answers`` says what its sweeps return, the last one for ever."""

    def __init__(self, *answers: float | None) -> None:
        self.answers = list(answers)
        self.sweeps: list[float] = []
        self.swept = threading.Semaphore(0)
        self.during: Callable[[], None] = lambda: None

    def sweep(self, now: float) -> float | None:
        self.sweeps.append(now)
        self.during()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        self.swept.release()
        return answer


@pytest.fixture
def keeper(monkeypatch: pytest.MonkeyPatch) -> Keeper:
    monkeypatch.setattr(module, "FIRST_SWEEP_SECONDS", 0.0)
    monkeypatch.setattr(module, "COUNTED_AFTER_FORK", False)
    return Keeper()


def wait_for_end(keeper: Keeper) -> None:
    thread = keeper._thread
    if thread is not None:
        thread.join(LONG)
    assert not keeper.running


def test_there_is_no_thread_until_there_is_something_to_watch_and_none_after_it(keeper: Keeper) -> None:
    assert not keeper.running
    one = Swept(None)
    keeper.watch(one)
    wait_for_end(keeper)
    assert len(one.sweeps) == 1
    keeper.watch(one)
    wait_for_end(keeper)
    assert len(one.sweeps) == 2


def test_it_sweeps_again_after_as_long_as_it_was_told(keeper: Keeper) -> None:
    one = Swept(0.06, 0.2, None)
    keeper.watch(one)
    wait_for_end(keeper)
    first, second, third = one.sweeps
    assert second - first >= 0.06
    assert third - second >= 0.2


def test_nobody_is_swept_more_often_than_every_twentieth_of_a_second(keeper: Keeper) -> None:
    one = Swept(0.0, -5.0, None)
    keeper.watch(one)
    wait_for_end(keeper)
    assert all(later - earlier >= module.MIN_SWEEP_SECONDS for earlier, later in zip(one.sweeps, one.sweeps[1:], strict=False))


def test_one_thread_sweeps_all(keeper: Keeper) -> None:
    threads = set()
    pools = [Swept(0.05, None) for _ in range(5)]
    for one in pools:
        one.during = lambda: threads.add(threading.current_thread())
        keeper.watch(one)
    wait_for_end(keeper)
    assert len(threads) == 1
    assert [len(one.sweeps) for one in pools] == [2] * 5


def test_it_keeps_nothing_alive_and_ends_when_all_are_gone(keeper: Keeper) -> None:
    one = Swept(3600.0)
    keeper.watch(one)
    assert one.swept.acquire(timeout=LONG)
    seen = weakref.ref(one)
    del one
    gc.collect()
    assert seen() is None
    with keeper._condition:
        keeper._condition.notify()  # it looks again by itself, but after a second: tests of a dropped client wait for that
    wait_for_end(keeper)


def test_what_is_watched_already_is_swept_at_once(keeper: Keeper) -> None:
    one = Swept(3600.0, None)
    keeper.watch(one)
    assert one.swept.acquire(timeout=LONG)
    began = time.monotonic()
    keeper.watch(one)
    wait_for_end(keeper)
    assert len(one.sweeps) == 2
    assert time.monotonic() - began < LONG


def test_who_asks_again_during_the_last_sweep_is_swept_again(keeper: Keeper) -> None:
    one = Swept(None)

    def ask_again() -> None:
        one.during = lambda: None
        keeper.watch(one)

    one.during = ask_again
    keeper.watch(one)
    wait_for_end(keeper)
    assert len(one.sweeps) == 2


def test_a_sweep_that_raises_is_logged_and_tried_again_later(keeper: Keeper, caplog: pytest.LogCaptureFixture) -> None:
    one, other = Swept(None), Swept(0.05, None)
    one.during = lambda: 1 / 0  # type: ignore[assignment]
    failed = threading.Event()
    logging.getLogger("holdfast.pool").addFilter(lambda record: failed.set() or True)  # type: ignore[func-returns-value]
    keeper.watch(one)
    keeper.watch(other)
    for _ in range(2):
        assert other.swept.acquire(timeout=LONG)
    assert failed.wait(LONG)
    assert "the upkeep of" in caplog.text
    assert "ZeroDivisionError" in caplog.text
    with keeper._condition:
        assert keeper._due[one] > system_clock() + 30
    logging.getLogger("holdfast.pool").filters.clear()
    del one
    gc.collect()
    caplog.clear()


def test_without_a_thread_to_be_had_it_tries_the_next_time(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Swept(None)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", lambda self: (_ for _ in ()).throw(RuntimeError("can't start")))
        keeper.watch(one)
    assert not keeper.running
    keeper.watch(one)
    wait_for_end(keeper)
    assert len(one.sweeps) == 1


def test_a_start_that_is_interrupted_leaves_it_as_it_was(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(thread: threading.Thread) -> None:
        raise KeyboardInterrupt

    one = Swept(None)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            keeper.watch(one)
        assert not keeper.running

    keeper.pause()  # nobody to wait for
    keeper.resume()
    wait_for_end(keeper)
    assert len(one.sweeps) == 1


def test_of_two_threads_the_later_one_goes_on(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Ctrl-C while a thread begins may leave it running without anyone's knowing of it."""
    unknown: list[threading.Thread] = []
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        # Begun, as far as the system is concerned; the keeper cannot know.
        begun = threading.Thread(target=thread._target, args=thread._args)  # type: ignore[attr-defined]  # private to Thread
        unknown.append(begun)
        start(begun)
        raise KeyboardInterrupt

    one = Swept(LONG)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            keeper.watch(one)

    keeper.watch(one)
    unknown[0].join(LONG)

    assert not unknown[0].is_alive()
    assert keeper.running
    keeper.pause()
    assert not keeper.running


def test_after_a_fork_it_begins_anew(keeper: Keeper) -> None:
    one, other = Swept(3600.0), Swept(None)
    keeper.watch(one)
    assert one.swept.acquire(timeout=LONG)
    parents = keeper._thread
    keeper._condition.acquire()  # by a thread that is not in the child
    condition = keeper._condition
    keeper.reset()
    assert not keeper.running
    keeper.watch(other)
    wait_for_end(keeper)
    assert len(other.sweeps) == 1
    condition.release()
    assert parents is not None


def test_it_does_not_keep_the_interpreter_alive() -> None:
    script = """
from holdfast.pool.keeper import keeper
class Pool:
    def sweep(self, now): return 3600.0
pool = Pool()
keeper.watch(pool)
"""
    began = time.monotonic()
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, timeout=60)
    assert time.monotonic() - began < 30


# -- around a fork -----------------------------------------------------------------------------------------------------


def test_before_a_fork_its_thread_ends_and_after_it_another_goes_on(keeper: Keeper) -> None:
    one = Swept(3600.0, None)
    keeper.watch(one)
    assert one.swept.acquire(timeout=LONG)
    thread = keeper._thread
    assert thread is not None
    keeper.pause()
    assert not keeper.running
    assert not thread.is_alive()
    keeper.watch(one)
    assert not keeper.running, "not before the fork is over"
    keeper.resume()
    wait_for_end(keeper)
    assert len(one.sweeps) == 2


def test_where_it_would_be_counted_it_waits_until_a_pool_asks_again(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COUNTED_AFTER_FORK", True)
    one = Swept(3600.0, None)
    keeper.watch(one)
    assert one.swept.acquire(timeout=LONG)
    keeper.pause()
    keeper.resume()
    assert not keeper.running
    keeper.watch(one)
    wait_for_end(keeper)
    assert len(one.sweeps) == 2


def test_after_the_last_of_two_forks_at_once_it_goes_on(keeper: Keeper) -> None:
    one = Swept(None)
    keeper.pause()
    keeper.pause()
    keeper.watch(one)
    keeper.resume()
    assert not keeper.running
    keeper.resume()
    wait_for_end(keeper)
    assert len(one.sweeps) == 1


def test_a_fork_does_not_wait_for_a_sweep_that_takes_long(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FORK_WAIT_SECONDS", 0.01)
    go_on = threading.Event()
    begun = threading.Event()
    one = Swept(0.0, None)

    def slow() -> None:
        begun.set()
        assert go_on.wait(LONG)

    one.during = slow
    keeper.watch(one)
    assert begun.wait(LONG)
    keeper.pause()
    keeper.resume()
    go_on.set()
    wait_for_end(keeper)
    assert len(one.sweeps) == 2


def test_the_keeper_itself_may_fork(keeper: Keeper) -> None:
    """A callback for events runs in it, and may start processes."""
    one = Swept(0.0, None)

    def fork() -> None:
        keeper.pause()
        keeper.resume()

    one.during = fork
    keeper.watch(one)
    wait_for_end(keeper)
    assert len(one.sweeps) == 2

"""Threads that are kept for the next piece of work: none is lost, none is done twice, none is left."""

from __future__ import annotations

import os
import queue
import threading
import weakref
from collections.abc import Iterator
from functools import partial

import pytest

from holdfast import _threads
from holdfast._threads import SpareThreads
from tests.support import GreenLock, eventually

LONG = 10.0  # seconds after which a test gives up on a thread


@pytest.fixture
def threads() -> Iterator[SpareThreads]:
    threads = SpareThreads("spare")
    yield threads
    threads.end()


def nothing() -> None:
    """What a thread calls in these tests when it has done its work, or what there is for it to do."""


def ident_of_worker(threads: SpareThreads) -> int:
    """The thread in which ``threads`` did a piece of work, which is spare when this returns."""
    done: queue.SimpleQueue[int] = queue.SimpleQueue()
    assert threads.run(lambda: done.put(threading.get_ident()), nothing)
    ident = done.get(timeout=LONG)
    until_spare(threads)
    return ident


def until_spare(threads: SpareThreads) -> None:
    while not threads._spare:
        os.sched_yield()


def test_a_thread_does_one_piece_of_work_after_the_other(threads: SpareThreads) -> None:
    idents = {ident_of_worker(threads) for _ in range(20)}
    assert len(idents) == 1
    assert threading.get_ident() not in idents


def test_work_that_takes_long_holds_up_no_other(threads: SpareThreads) -> None:
    go_on, over = threading.Event(), threading.Event()
    assert threads.run(lambda: go_on.wait(LONG) and over.set(), nothing)  # type: ignore[func-returns-value]  # it only has to run
    first = ident_of_worker(threads)
    assert ident_of_worker(threads) == first
    go_on.set()
    assert over.wait(LONG)


def test_who_is_told_that_work_is_done_finds_the_thread_free(threads: SpareThreads) -> None:
    seen: queue.SimpleQueue[tuple[int, int]] = queue.SimpleQueue()
    assert threads.run(nothing, lambda: seen.put((threads.busy, len(threads._spare))))
    assert seen.get(timeout=LONG) == (0, 1)


def test_a_thread_keeps_nothing_of_its_last_work_alive(threads: SpareThreads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_threads, "SPARE_SECONDS", 6 * LONG)

    class Thing:
        pass

    thing = Thing()
    gone = weakref.ref(thing)
    assert threads.run(partial(id, thing), partial(id, thing))
    del thing
    eventually(lambda: gone() is None, "the thread waits for the next and has let go of the last")


def test_a_thread_that_waited_in_vain_ends(threads: SpareThreads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_threads, "SPARE_SECONDS", 0.001)
    done: queue.SimpleQueue[threading.Thread] = queue.SimpleQueue()
    assert threads.run(lambda: done.put(threading.current_thread()), nothing)
    thread = done.get(timeout=LONG)
    thread.join(LONG)
    assert not thread.is_alive()
    assert threads._spare == []


def test_work_that_comes_as_the_time_is_up_is_done(threads: SpareThreads, monkeypatch: pytest.MonkeyPatch) -> None:
    """1. The thread's time is up. 2. A caller takes it out of the list. 3. It finds that, and waits for the work."""
    late: queue.SimpleQueue[int] = queue.SimpleQueue()
    times_up = [True]

    class Late(GreenLock):
        def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
            if timeout != -1 and times_up:
                times_up.pop()
                assert threads.run(lambda: late.put(1), nothing), "a caller takes it"
                return False
            return super().acquire(blocking, timeout)

    monkeypatch.setattr(threading, "Lock", Late)
    assert threads.run(nothing, nothing)
    assert late.get(timeout=LONG) == 1
    monkeypatch.undo()


def test_a_thread_whose_lock_is_another_librarys_now_is_not_used(threads: SpareThreads, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ident_of_worker(threads)
    [spare] = threads._spare
    assert spare.thread.ident == first
    monkeypatch.setattr(threading, "Lock", GreenLock)
    done = threading.Event()
    assert threads.run(done.set, nothing)
    assert done.wait(LONG)
    spare.thread.join(LONG)
    assert not spare.thread.is_alive()


def test_before_a_fork_the_spare_threads_end(threads: SpareThreads) -> None:
    ident_of_worker(threads)
    [spare] = threads._spare
    threads.end()
    assert not spare.thread.is_alive()
    assert threads._spare == []


def test_a_forked_child_has_none(threads: SpareThreads) -> None:
    ident_of_worker(threads)
    kept = list(threads._spare)
    threads.forget()
    assert threads._spare == []
    threads._spare.extend(kept)


def test_a_program_that_is_ending_gets_none(threads: SpareThreads, monkeypatch: pytest.MonkeyPatch) -> None:
    ident_of_worker(threads)
    monkeypatch.setattr("sys.is_finalizing", lambda: True)
    assert not threads.run(nothing, nothing)

"""Threads where there are none to be had: at the end of the interpreter, around a fork."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from holdfast import _threads
from tests.server import Server

AT_EXIT = """
import sys, holdfast
class Session:
    def __init__(self):
        self.url, self.ending = sys.argv[1], sys.is_finalizing  # names of the module are gone in the end
        self.client = holdfast.Client()
        print(self.client.get(self.url).status_code, flush=True)
    def __del__(self):
        print(self.client.post(self.url, timeout=20).status_code, self.ending(), flush=True)
keep = Session()
"""

EXHAUSTED_AT_EXIT = """
import sys
from holdfast.pool.pool import Limits, Pool
class Database:
    def __init__(self):
        self.pool = Pool(lambda key, until: object(), lambda r: None, lambda r, why: None, limits=Limits(max_connections=1))
        self.held = self.pool.acquire("a")
        self.ending = sys.is_finalizing
    def __del__(self):
        try:
            self.pool.acquire("a")
        except Exception as error:
            print(type(error).__name__, self.ending(), flush=True)
        self.held.release()
keep = Database()
"""


WATCHED_AT_EXIT = """
import sys
from holdfast.pool.keeper import keeper
class Pool:
    def sweep(self, now):
        return 3600.0
class Program:
    def __init__(self):
        self.keeper, self.pool, self.ending = keeper, Pool(), sys.is_finalizing
        self.watch()
    def watch(self):
        self.keeper.watch(self.pool)
        print(self.keeper.running, self.ending(), flush=True)
    def __del__(self):
        self.watch()
keep = Program()
"""


def run(source: str, *arguments: str) -> list[str]:
    """The lines that a fresh interpreter prints; it fails if that does not end."""
    done = subprocess.run(
        [sys.executable, "-c", source, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_call_from_a_finalizer_at_exit_ends() -> None:
    """Before Python 3.12 it used to wait for ever for a thread that had died at once, whatever its timeout."""
    with Server() as server:
        assert run(AT_EXIT, server.url()) == ["200", "200 True"]


def test_at_exit_nothing_is_waited_for_that_no_thread_can_give_back() -> None:
    assert run(EXHAUSTED_AT_EXIT) == ["PoolTimeout True"]


def test_at_exit_the_keeper_ends_before_it_could_be_stopped_with_a_lock_in_its_hands() -> None:
    """The interpreter lets daemon threads stand where they are: a call from a finalizer would wait for the lock for ever."""
    assert run(WATCHED_AT_EXIT) == ["True False", "False True"]


def test_no_thread_is_started_while_the_interpreter_is_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(sys, "is_finalizing", lambda: True)
    assert not _threads.start_daemon("test-late", lambda: done.append("work"))
    monkeypatch.undo()
    assert done == []


def test_a_thread_that_can_be_had_runs_and_keeps_no_process_alive() -> None:
    threads: list[threading.Thread] = []
    ran = threading.Event()

    def work() -> None:
        threads.append(threading.current_thread())
        ran.set()

    assert _threads.start_daemon("test-work", work)
    assert ran.wait(5)
    assert [(thread.name, thread.daemon) for thread in threads] == [("test-work", True)]


# -- forks -------------------------------------------------------------------------------------------------------------

FORK = """
import os, sys, threading, time, warnings
import holdfast
from holdfast.pool.keeper import keeper
TASKS = "/proc/self/task"
def settle():  # the thread that has dialled asks the keeper to begin, and ends
    until = time.monotonic() + 20
    while not keeper.running or threading.active_count() > 2 or (os.path.exists(TASKS) and len(os.listdir(TASKS)) > 2):
        assert time.monotonic() < until, threading.enumerate()
        time.sleep(0.001)
with holdfast.Client() as client, warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for _ in range(20):
        client.get(sys.argv[1])
        settle()
        pid = os.fork()
        if not pid:
            assert not keeper.running and threading.active_count() == 1
            client.get(sys.argv[1])
            settle()
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
print([str(warning.message) for warning in caught])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Platform-specific: there is no fork")
def test_a_process_whose_only_other_thread_is_the_keeper_forks_without_a_warning() -> None:
    """From Python 3.12 on, os.fork() warns of threads."""
    with Server() as server:
        assert run(FORK, server.url()) == ["[]"]

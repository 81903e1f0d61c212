"""Starting threads, so that a program which is ending ends; and keeping one that is done for the next piece of work.

Before Python 3.12 a thread that is started while the interpreter is finalizing dies at once, and ``Thread.start()`` waits for it
for ever. From 3.12 on it raises RuntimeError, as it does everywhere when the system has no room for another thread. Both are
told as False here; the caller then does the work itself, and waits for no other thread to do it. So is an interpreter beside the
main one that has a lock of its own: from Python 3.12 on there are no daemon threads in it.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable

SPARE_SECONDS = 1.0  # for which a thread waits for more work
MAX_FORK_WAIT_SECONDS = 1.0


def start_daemon(name: str, work: Callable[[], object]) -> bool:
    """Run ``work`` in a new thread that does not keep the process alive; whether one could be had."""
    thread = daemon_thread(name, work)
    return thread is not None and start(thread)


def daemon_thread(name: str, work: Callable[[], object]) -> threading.Thread | None:
    """A thread, not started yet, that does not keep the process alive; None in an interpreter that has no such threads."""
    try:
        return threading.Thread(target=work, name=name, daemon=True)
    except RuntimeError:
        return None


def start(thread: threading.Thread) -> bool:
    """Start this thread; whether that was possible."""
    if sys.is_finalizing():
        return False
    try:
        thread.start()
    except RuntimeError:
        return False
    return True


def wait_for_end(thread: threading.Thread, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
    """Wait until neither Python nor the system has this thread any more, for so many seconds at most."""
    if thread.ident is None:
        return  # it never began
    until = clock() + seconds
    thread.join(seconds)
    while _exists(thread) and clock() < until:
        time.sleep(0.00005)  # Python has done with it, the system not yet


def _exists(thread: threading.Thread) -> bool:
    """Whether the system still counts it as another thread of this process, as far as that can be found out.

    gevent's and eventlet's threads are not: their ident is that of the thread they run in.
    """
    ident = getattr(thread, "native_id", None)
    return ident is not None and ident != threading.get_native_id() and os.path.exists(f"/proc/self/task/{ident}")


Job = tuple[Callable[[], object], Callable[[], object]]
"""What to do, and what to call when that is done and the thread is free for more; neither raises."""


class _Spare:
    """A thread that waits for a job. The release of a lock wakes it: that costs half of what a queue does.

    Attributes:
        made_by: the class of the lock. If gevent has replaced ``threading.Lock`` since, the thread is of no use any more.
        job: what to do after the release of ``wake`` that follows; None to end.
    """

    __slots__ = ("job", "made_by", "thread", "wake")

    def __init__(self) -> None:
        self.thread = threading.current_thread()
        self.made_by = threading.Lock
        self.wake = threading.Lock()
        self.wake.acquire()
        self.job: Job | None = None

    def give(self, job: Job | None) -> None:
        """Wake it for ``job``, None to end. Called once, by the thread that took it out of the list."""
        self.job = job
        self.wake.release()

    def take(self) -> Job | None:
        """The job that was given; no reference to it is kept."""
        job, self.job = self.job, None
        return job


class SpareThreads:
    """Daemon threads for short work. One that is done waits ``SPARE_SECONDS`` for the next, at a tenth of a new thread's cost.

    A thread is spare while it is in the list, and leaves it once: taken out by a caller, who then gives it a job, or by itself when
    its time is up. It enters the list before it calls ``tell``: the caller that ``tell`` wakes finds this thread for the next job,
    and does not wait for the interpreter's lock while the thread enters. ``end`` is for before a fork: CPython 3.12 and later warn
    of one with threads.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._busy: set[int] = set()  # idents of threads, each entered and taken out by itself: no Ctrl-C strikes there
        self._spare: list[_Spare] = []

    @property
    def busy(self) -> int:
        """How many are at work, but for those that are about to begin."""
        return len(self._busy)

    def run(self, work: Callable[[], object], tell: Callable[[], object]) -> bool:
        """Do ``work`` in another thread, which then calls ``tell``; whether one could be had. Neither raises."""
        if sys.is_finalizing():
            return False
        job: Job = (work, tell)
        while self._spare:
            try:
                spare = self._spare.pop()
            except IndexError:  # pragma: no cover - another thread was faster
                break
            if spare.made_by is threading.Lock:
                spare.give(job)
                return True
            spare.give(None)
        first = [job]
        return start_daemon(self._name, lambda: self._serve(first))

    def _serve(self, first: list[Job]) -> None:
        job: Job | None = first.pop()  # Thread keeps its target, and with it this list, for as long as it runs
        me = _Spare()
        ident = threading.get_ident()
        while job is not None:
            work, tell = job
            self._busy.add(ident)
            work()
            self._busy.discard(ident)
            self._spare.append(me)
            tell()
            del job, work, tell  # or they would live until the next job comes
            job = me.take() if me.wake.acquire(timeout=SPARE_SECONDS) else self._leave_or_take(me)

    def _leave_or_take(self, me: _Spare) -> Job | None:
        try:
            self._spare.remove(me)
        except ValueError:
            me.wake.acquire()  # 1. its time was up; 2. a caller took it out of the list; 3. the job is on its way
        return me.take()

    def end(self) -> None:
        """End the threads that are spare now."""
        ending = []
        while self._spare:
            try:
                spare = self._spare.pop()
            except IndexError:  # pragma: no cover - another thread was faster
                break
            spare.give(None)
            ending.append(spare.thread)
        for thread in ending:
            wait_for_end(thread, MAX_FORK_WAIT_SECONDS)

    def forget(self) -> None:
        """In a forked child: none of them exists."""
        self._spare.clear()
        self._busy.clear()

"""What tests of a running client share: waiting for what other threads do, and Python processes of their own."""

from __future__ import annotations

import _thread
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import holdfast
from holdfast import Client, Timeouts
from holdfast.pool.keeper import keeper
from tests.server import Conn, Server, head, ok

ROOT = Path(__file__).parent.parent
QUICK = Timeouts(connect=5, read=5, pool=5)


def eventually(done: Callable[[], object], what: str, seconds: float = 10.0) -> None:
    """Return when ``done()`` is true; fail if it is not in time. For what no event tells of."""
    until = time.monotonic() + seconds
    pause = threading.Event()
    while not done():
        assert time.monotonic() < until, f"{what}: not within {seconds} s"
        pause.wait(0.002)


def in_parallel(count: int, work: Callable[[int], object]) -> list[BaseException]:
    """Run ``work(0)`` to ``work(count - 1)`` in threads; what they raised."""
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001 - it is what the test looks at
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads), "somebody hangs"
    return errors


def settled(client: Client) -> holdfast.OriginStats:
    """The total, when nothing is under way any more."""
    gauges = ("active", "connecting", "waiting")
    eventually(lambda: not sum(getattr(client.stats(), gauge) for gauge in gauges), "nothing in use, being opened or waited for")
    return client.stats().total


def by_name(client: Client, server: Server) -> holdfast.OriginStats:
    """The figures of one server's origin."""
    return next(origin for origin in client.stats().origins if origin.origin.endswith(f":{server.port}"))


def eventually_swept(client: Client, done: Callable[[], object], what: str) -> None:
    """The same for what the keeper has to do. It looks once a second; here it is woken over and over."""

    def done_by_the_keeper() -> object:
        keeper.watch(client._transport.pool)
        return done()

    eventually(done_by_the_keeper, what)


def free_port() -> int:
    """A port to listen on that stays free while nobody does: not one of those that connecting sockets are given.

    Of these thousands come and go in a run of the tests, and one that belongs to a server which is dead just now is as good as
    any other.
    """
    for port in random.sample(range(20_000, 32_000), 100):
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("none of a hundred ports is free")


def script(source: str, *arguments: str, plain: bool = False, **settings: Any) -> subprocess.Popen[str]:
    """A Python process of its own; forks with threads are what some are about, so no warning of them.

    Args:
        source: its program.
        arguments: its ``sys.argv[1:]``.
        plain: neither in development mode nor under coverage, as it measures something.
        settings: for ``subprocess.Popen``.
    """
    options = ["-W", "error", "-W", "ignore:This process:DeprecationWarning"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]), "no_proxy": "*"}
    if plain:
        environment = {name: value for name, value in environment.items() if not name.startswith("COVERAGE_")}
    else:
        options += ["-X", "dev"]
    return subprocess.Popen(
        [sys.executable, *options, "-c", source, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        **settings,
    )


def finished(process: subprocess.Popen[str], text: str | None = None) -> str:
    """What it printed; it ended well and had nothing to complain about."""
    try:
        output, errors = process.communicate(text, timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert (process.returncode, errors) == (0, "")
    return output


def holding(conn: Conn) -> None:
    """/hold: half of a response, and the rest never; /close: a response, then the end; else its target."""
    for request in conn.read_requests():
        if request.target.startswith("/hold"):
            conn.send(head(200, "Content-Length: 100000") + b"half")
        else:
            conn.send(ok(request.target.encode()))
            if request.target == "/close":
                return


class GreenLock:
    """What a library of greenlets puts in the place of threading.Lock; ``waits`` counts those with a bound."""

    waits = 0

    def __init__(self) -> None:
        self._lock = _thread.allocate_lock()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        type(self).waits += timeout != -1
        return self._lock.acquire(blocking, timeout)

    def release(self) -> None:
        self._lock.release()

    def locked(self) -> bool:
        return self._lock.locked()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

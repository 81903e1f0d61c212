"""A pool under load: more threads than connections, and a server that dies and comes back."""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
import threading

import pytest

import holdfast
from holdfast import Client, Limits, Timeouts
from tests.server import Server, echo
from tests.support import QUICK, eventually, free_port, in_parallel, settled


@pytest.mark.usefixtures("no_leaks")
def test_sixty_four_threads_share_eight_connections_without_an_error() -> None:
    """And nobody waits unduly: the longest wait is at most 20 times the median."""
    waits: list[float] = []
    with Server(echo) as server, Client(limits=Limits(max_connections_per_origin=8)) as client:
        client.on_event(lambda event: waits.append(event.seconds or 0.0) if event.kind == "waited" else None)

        def work(number: int) -> None:
            for _ in range(20):
                assert client.get(server.url("/")).status_code == 200

        assert in_parallel(64, work) == []
        stats = client.stats()
        assert (stats.requests, stats.active, stats.waiting, stats.connecting) == (64 * 20, 0, 0, 0)
        assert stats.created == stats.idle + sum(stats.closed.values())
        assert stats.created - sum(stats.closed.values()) <= 8
        assert server.connections <= 8
        assert stats.waits == len(waits) > 100
        assert max(waits) <= 20 * statistics.median(waits)


# -- a server that dies ------------------------------------------------------------------------------------------------


MORTAL = """
import socket, sys, threading
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", int(sys.argv[1])))
listener.listen(128)
print("listening", flush=True)
def serve(connection):
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    data = b""
    try:
        while True:
            while b"\\r\\n\\r\\n" not in data:
                piece = connection.recv(65536)
                if not piece:
                    return
                data += piece
            request, _, data = data.partition(b"\\r\\n\\r\\n")
            if request.startswith(b"GET /hold"):
                connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 100000\\r\\n\\r\\nhalf")
            else:
                connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 3000\\r\\n\\r\\n" + b"x" * 3000)
    except OSError:
        pass
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""


class Mortal:
    """A server in a process of its own, that can be killed and started again on the same port."""

    def __init__(self) -> None:
        self.port = free_port()
        self.start()

    def start(self) -> None:
        """Return when it listens."""
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", MORTAL, str(self.port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "listening\n":
            complaint = self._process.communicate()[1]
            raise AssertionError(f"no server on port {self.port}: exit status {self._process.returncode}, {complaint or 'no word'}")

    def kill(self) -> None:
        """SIGKILL: the kernel ends its connections."""
        self._process.kill()
        self._process.communicate()

    def __enter__(self) -> Mortal:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.kill()


class Load:
    """Threads that call a URL over and over, whatever comes of it."""

    def __init__(self, client: Client, url: str, threads: int) -> None:
        self.answers = 0
        self.failures: list[Exception] = []
        self._client = client
        self._url = url
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, name=f"load-{n}") for n in range(threads)]

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                assert self._client.get(self._url).content == b"x" * 3000
                self.answers += 1
            except Exception as error:  # noqa: BLE001 - looked at by the test
                self.failures.append(error)
                self._stop.wait(0.005)

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(10)
        assert not any(thread.is_alive() for thread in self._threads)


@pytest.mark.usefixtures("no_leaks")
def test_a_server_killed_and_restarted_twenty_times_under_load_costs_no_slot() -> None:
    limits = Limits(max_connections_per_origin=8)
    with Mortal() as server, Client(limits=limits, timeout=QUICK) as client:
        url = f"http://127.0.0.1:{server.port}"
        with Load(client, f"{url}/", 16) as load:
            for _ in range(20):
                before = load.answers
                eventually(lambda: load.answers >= before + 50, "50 more answers")  # noqa: B023 - called at once
                server.kill()
                failed = len(load.failures)
                eventually(lambda: len(load.failures) > failed, "a call that fails")  # noqa: B023
                server.start()
            before = load.answers
            eventually(lambda: load.answers >= before + 50, "50 more answers")

        kinds = {type(error) for error in load.failures}
        assert all(issubclass(kind, holdfast.ConnectionError) for kind in kinds), kinds
        total = settled(client)
        assert total.created == total.idle + sum(total.closed.values())
        assert sum(total.closed.values()) >= 20
        assert total.closed.keys() <= {"stale", "broken"}
        with contextlib.ExitStack() as stack:
            for _ in range(8):
                stack.enter_context(client.get(f"{url}/hold", stream=True))
            assert client.stats().total.active == 8
            with pytest.raises(holdfast.PoolTimeout):
                client.get(url, timeout=Timeouts(pool=0.01))
        assert settled(client).closed["broken"] >= 8, "half-read, they could not be kept"

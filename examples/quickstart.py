"""What does it cost to throw a connection away after each call? The same calls, one-off and kept alive.

    python examples/quickstart.py                                  against an HTTPS server of its own, on loopback
    python examples/quickstart.py https://a.example/ https://b.example/     against these URLs, each in its turn
    python examples/quickstart.py --calls 500

Every row makes the same number of calls. The first ones do what most scripts do, a connection per call; the others
keep their connections. The embedded server counts what really arrived, and the client's own figures have to agree
with it. At the end the server closes every idle connection, and the next calls succeed all the same.

CPU is the client's: the time of the whole process less that of the server's threads.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import socket
import ssl
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import holdfast

THREADS = 8
ANSWER = b'{"hold": "fast"}'
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(ANSWER), ANSWER)


# -- the embedded server -----------------------------------------------------------------------------------------------


@dataclass
class Seen:
    """What the server saw so far."""

    connections: int = 0
    handshakes: int = 0
    resumed: int = 0
    cpu: float = 0.0


class Server:
    """An HTTPS server on loopback, a thread per connection, that keeps its connections until told to close them."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._lock = threading.Lock()  # guards what follows
        self._seen = Seen()
        self._open: dict[ssl.SSLSocket, threading.Thread] = {}
        self._acceptor = threading.Thread(target=self._accept, name="quickstart-server", daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"https://localhost:{self._listener.getsockname()[1]}/"

    def __enter__(self) -> Server:
        self._acceptor.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # ends accept()
        self._listener.close()
        self._acceptor.join()
        self.close_connections()

    def seen(self) -> Seen:
        """The counts as of now."""
        with self._lock:
            return Seen(**vars(self._seen))

    def close_connections(self) -> int:
        """Close every connection, as a server does with those that were idle for too long; how many there were."""
        with self._lock:
            connections = dict(self._open)
        for connection in connections:
            with suppress(OSError):
                # The plain socket's method: a FIN goes out, and the thread that waits for a request reads an end.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
        for thread in connections.values():
            thread.join()
        return len(connections)

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self._listener.accept()
            except OSError:
                return
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            secured = self._context.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False)
            thread = threading.Thread(target=self._serve, args=(secured,), daemon=True)
            with self._lock:
                self._seen.connections += 1
                self._open[secured] = thread
            thread.start()

    def _serve(self, connection: ssl.SSLSocket) -> None:
        try:
            with connection, suppress(OSError):
                connection.do_handshake()
                self._count_handshake(connection)
                self._answer(connection)
        finally:
            with self._lock:
                del self._open[connection]

    def _answer(self, connection: ssl.SSLSocket) -> None:
        counted = 0.0
        with connection.makefile("rb") as incoming:
            while incoming.readline():
                skip_request(incoming)
                used = time.thread_time()
                with self._lock:  # before the answer: whoever has it may ask for the counts
                    self._seen.cpu += used - counted
                counted = used
                connection.sendall(RESPONSE)

    def _count_handshake(self, connection: ssl.SSLSocket) -> None:
        with self._lock:
            self._seen.handshakes += 1
            self._seen.resumed += bool(connection.session_reused)


def skip_request(incoming: Any) -> None:
    """Read the rest of a request whose first line was read."""
    size = 0
    while (line := incoming.readline()) not in (b"\r\n", b""):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            size = int(value)
    incoming.read(size)


@contextmanager
def embedded_server() -> Iterator[tuple[Server, str]]:
    """A running server, and the path of the CA certificate that vouches for it."""
    try:
        trustme = importlib.import_module("trustme")
    except ImportError:
        sys.exit("The embedded server's certificate needs trustme: pip install -e '.[examples]', or name URLs.")
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with tempfile.TemporaryDirectory() as directory, Server(context) as server:
        path = Path(directory, "ca.pem")
        authority.cert_pem.write_to_path(str(path))
        yield server, str(path)


# -- the ways to make a call -------------------------------------------------------------------------------------------


@dataclass
class Job:
    """The calls that every way has to make.

    Attributes:
        urls: called in turn.
        calls: how many calls in all.
        verify: as in ``holdfast.Client``.
    """

    urls: Sequence[str]
    calls: int
    verify: bool | str

    def __iter__(self) -> Iterator[str]:
        return itertools.islice(itertools.cycle(self.urls), self.calls)


# A way makes all calls and returns the statistics of every pool it used; requests has none to give.
Way = Callable[[Job], Sequence[holdfast.PoolStats]]


def with_requests(job: Job) -> Sequence[holdfast.PoolStats]:
    """``requests.get`` makes a session, and with it a connection, for each call."""
    requests = importlib.import_module("requests")
    for url in job:
        requests.get(url, verify=job.verify, timeout=60).raise_for_status()
    return []


def with_clients(job: Job) -> Sequence[holdfast.PoolStats]:
    """A new Client for each call: its connections go with it. (It does resume the TLS session of the one before.)"""
    stats = []
    for url in job:
        with holdfast.Client(verify=job.verify) as client:
            client.get(url).raise_for_status()
            stats.append(client.stats())
    return stats


def with_module(job: Job) -> Sequence[holdfast.PoolStats]:
    """``holdfast.get`` in a loop: all of the process's calls share the connections."""
    holdfast.configure(verify=job.verify)
    try:
        for url in job:
            holdfast.get(url).raise_for_status()
        return [holdfast.api.shared_client().stats()]
    finally:
        holdfast.close()


def with_threads(job: Job) -> Sequence[holdfast.PoolStats]:
    """One Client shared by some threads: it never needs more connections than there are threads."""
    with holdfast.Client(verify=job.verify) as client, ThreadPoolExecutor(THREADS) as threads:
        for response in threads.map(client.get, job):
            response.raise_for_status()
        while client.stats().total.connecting:
            time.sleep(0.001)  # a returned connection was faster than this one, which is idle when it is done
        return [client.stats()]


WAYS: dict[str, Way] = {
    "requests.get, one-off": with_requests,
    "a new holdfast.Client per call": with_clients,
    "holdfast.get, in a loop": with_module,
    f"one holdfast.Client, {THREADS} threads": with_threads,
}


# -- measuring ---------------------------------------------------------------------------------------------------------


@dataclass
class Row:
    """What one way cost. None: nobody counted it."""

    way: str
    wall: float
    cpu: float
    connections: int | None
    handshakes: int | None
    resumed: int | None
    reuse: float | None


def measure(name: str, way: Way, job: Job, server: Server | None) -> Row:
    """Run one way and take its costs.

    Raises:
        RuntimeError: client and server do not agree on the number of connections.
    """
    before = server.seen() if server else Seen()
    wall, cpu = time.perf_counter(), time.process_time()
    stats = way(job)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    created = sum(s.total.created for s in stats) if stats else None
    reuse = sum(s.total.reused for s in stats) / job.calls if stats else None
    if server is None:
        # Every connection to an https URL is one handshake; how many were resumed, only the server can tell.
        secure = sum(o.created for s in stats for o in s.origins if o.origin.startswith("https:"))
        return Row(name, wall, cpu, created, secure if stats else None, None, reuse)
    after = server.seen()
    connections = after.connections - before.connections
    if created not in (None, connections):
        raise RuntimeError(f"{name}: the client says {created} connections, the server {connections}")
    if reuse is None:
        reuse = 1 - connections / job.calls
    handshakes, resumed = after.handshakes - before.handshakes, after.resumed - before.resumed
    return Row(name, wall, cpu - (after.cpu - before.cpu), connections, handshakes, resumed, reuse)


HEADINGS = ("", "wall ms", "ms/call", "CPU ms", "connections", "handshakes", "resumed", "reused")


def table(rows: Sequence[Row], calls: int) -> str:
    """The rows in aligned columns."""
    lines = [HEADINGS, *(cells(row, calls) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    return "\n".join(
        "  ".join(cell.rjust(width) if column else cell.ljust(width) for column, (cell, width) in enumerate(pairs))
        for pairs in (zip(line, widths, strict=True) for line in lines)
    )


def cells(row: Row, calls: int) -> tuple[str, ...]:
    """One row as text; what nobody counted is a dash."""
    counts = ("-" if n is None else str(n) for n in (row.connections, row.handshakes, row.resumed))
    reuse = "-" if row.reuse is None else f"{row.reuse:.0%}"
    times = f"{row.wall * 1000:.1f}", f"{row.wall * 1000 / calls:.2f}", f"{row.cpu * 1000:.1f}"
    return (row.way, *times, *counts, reuse)


def replace_stale(server: Server, verify: str) -> None:
    """The server closes the connections that are idle; the next GET and the next POST do not notice."""
    with holdfast.Client(verify=verify) as client:
        client.get(server.url)
        for method in ("GET", "POST"):
            closed = server.close_connections()
            response = client.request(method, server.url, data=b"x" if method == "POST" else None)
            print(f"  the server closed {closed} idle connection; {method}: {response.status_code} {response.reason}")
        total = client.stats().total
        reasons = ", ".join(f"{count} {reason}" for reason, count in total.closed.items())
        print(f"  3 calls on {total.created} connections; found closed before a byte was sent: {reasons}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure every way and print what it cost; the exit status."""
    parser = argparse.ArgumentParser(description="The same calls, one-off and kept alive: what did they cost?")
    parser.add_argument("urls", nargs="*", metavar="URL", help="call these instead of the embedded server")
    parser.add_argument("--calls", type=int, default=100, help="calls in each row (default 100)")
    given = parser.parse_args(arguments)
    if given.calls < 1:
        parser.error("--calls: at least 1")
    with ExitStack() as stack:
        server, verify = stack.enter_context(embedded_server()) if not given.urls else (None, None)
        job = Job(given.urls or [server.url if server else ""], given.calls, verify or True)
        where = "an HTTPS server on loopback" if server else ", ".join(given.urls)
        print(f"{given.calls} calls each, to {where}\n")
        print(table([measure(name, way, job, server) for name, way in available().items()], given.calls))
        if server and verify:
            print("\nA connection that the server closed while it was idle")
            replace_stale(server, verify)
    return 0


def available() -> dict[str, Way]:
    """The ways that can be measured here: requests is compared only where it is installed."""
    try:
        importlib.import_module("requests")
    except ImportError:
        return {name: way for name, way in WAYS.items() if way is not with_requests}
    return WAYS


if __name__ == "__main__":
    sys.exit(main())

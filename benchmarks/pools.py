"""holdfast's pool beside other pools: what one acquire and one release cost, and whether a connection that died is noticed.

    python -m benchmarks pools [--loops 4000] [--rounds 7] [--json FILE]

Every pool keeps the same thing: TCP connections to a server on loopback, which sends back what it is sent. So only the pools
differ, and the way they look at a connection before they give it out:

* *a poll* of its socket: no packet leaves;
* *a round trip*: here one byte there and back, the least that a ``SELECT 1`` can cost. Elsewhere it takes what the link takes;
* not at all.

The kinds of a database's pool get a connection class, or a dialect, whose ping is that round trip and whose rollback does nothing.
httpcore's pool gets connections that answer without HTTP and look at their sockets by httpcore's own function.

CPU (``time.process_time``: all threads; the server is another process) per acquire and release: of 1, 8 and 64 threads with as many
connections, and of 64 threads that share 8. The pools take turns; the figure is the median of the rounds. *A dead one*: the server
closes an idle connection, and a byte is sent over what the pool gives next.

holdfast's pool, httpcore's and urllib3's PoolManager find the connection by its origin; the others have one origin only. holdfast's
and psycopg's hand a connection over to who waits longest; the others let the threads race for it.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import logging
import queue
import select
import selectors
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from benchmarks import table
from benchmarks.link import end, exit_on_sigterm
from benchmarks.results import Chart, add_option, save

CROWDS = ((1, 1), (8, 8), (64, 64), (64, 8))
"""(Threads, connections)."""
Address = tuple[str, int]


# -- what is pooled -------------------------------------------------------------------------------------------------------


class Connection:
    """A connected socket with a ping, and with the methods of a DB-API connection that a pool calls."""

    def __init__(self, address: Address) -> None:
        self.sock = socket.create_connection(address)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.pgconn = SimpleNamespace(transaction_status=0)  # IDLE, as psycopg's pool asks when it is given back
        self.closed = False

    @classmethod
    def connect(cls, conninfo: str, **kwargs: Any) -> Connection:
        """As psycopg's pool makes its connections."""
        return cls((kwargs["host"], kwargs["port"]))

    def ping(self) -> bool:
        """A round trip."""
        try:
            self.sock.sendall(b".")
            return self.sock.recv(1) == b"."
        except OSError:
            return False

    def rollback(self) -> None:
        """There is no transaction."""

    def close(self) -> None:
        """Close the socket."""
        self.closed = True
        self.sock.close()


# -- the pools ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Built:
    """A pool at work.

    Attributes:
        cycle: one acquire and one release.
        take: a socket of a connection that was acquired, and what gives it back.
        close: the pool.
    """

    cycle: Callable[[], object]
    take: Callable[[], tuple[socket.socket, Callable[[], object]]]
    close: Callable[[], object]


def _lifo(address: Address, size: int) -> Built:
    stack: queue.LifoQueue[Connection] = queue.LifoQueue()
    connections = [Connection(address) for _ in range(size)]
    for connection in connections:
        stack.put(connection)

    def take() -> tuple[socket.socket, Callable[[], object]]:
        connection = stack.get()
        return connection.sock, lambda: stack.put(connection)

    def close() -> None:
        for connection in connections:
            connection.close()

    return Built(lambda: stack.put(stack.get()), take, close)


def _holdfast(address: Address, size: int, polls: bool) -> Built:
    from holdfast.pool.pool import Limits, Pool
    from holdfast.wire.http1 import Http1Connection
    from holdfast.wire.stream import SocketStream

    def connect(key: Address, until: float | None) -> Http1Connection:
        return Http1Connection(SocketStream(socket.create_connection(key)))

    pool: Pool[Address, Http1Connection] = Pool(
        connect,
        Http1Connection.probe if polls else lambda connection: None,
        lambda connection, reason: connection.stream.close(),
        limits=Limits(max_connections_per_origin=size, max_idle_connections=size),
    )

    def take() -> tuple[socket.socket, Callable[[], object]]:
        lease = pool.acquire(address)
        sock: Any = lease.resource.stream
        return sock.sock, lease.release

    return Built(lambda: pool.acquire(address).release(), take, pool.close)


def _urllib3(address: Address, size: int, by_origin: bool) -> Built:
    manager = importlib.import_module("urllib3").PoolManager(maxsize=size, block=True)
    find = manager.connection_from_host
    pool = find(*address)
    get, put = pool._get_conn, pool._put_conn

    def take() -> tuple[socket.socket, Callable[[], object]]:
        connection = get()
        if connection.sock is None:
            connection.connect()
        return connection.sock, lambda: put(connection)

    def cycle_by_origin() -> None:
        found = find(*address)
        found._put_conn(found._get_conn())

    return Built(cycle_by_origin if by_origin else lambda: put(get()), take, manager.clear)


def _httpcore(address: Address, size: int) -> Built:
    httpcore = importlib.import_module("httpcore")
    readable = importlib.import_module("httpcore._utils").is_socket_readable

    class Answering(httpcore.ConnectionInterface):  # type: ignore[name-defined,misc]  # a class of a module found by name
        """A connection that answers at once: the pool around it is what is measured."""

        def __init__(self, origin: Any) -> None:
            self.origin = origin
            self.connection = Connection(address)
            self.busy = False

        def handle_request(self, request: Any) -> Any:
            self.busy = True
            return httpcore.Response(200, content=Body(self), extensions={"sock": self.connection.sock})

        def can_handle_request(self, origin: Any) -> bool:
            return bool(origin == self.origin)

        def is_available(self) -> bool:
            return not self.busy

        def is_idle(self) -> bool:
            return not self.busy

        def has_expired(self) -> bool:
            return not self.busy and bool(readable(self.connection.sock))

        def is_closed(self) -> bool:
            return self.connection.closed

        def close(self) -> None:
            self.connection.close()

    class Body:
        """An empty body, behind which the connection is free."""

        def __init__(self, connection: Answering) -> None:
            self.connection = connection

        def __iter__(self) -> Iterator[bytes]:
            return iter(())

        def close(self) -> None:
            self.connection.busy = False

    class Pool(httpcore.ConnectionPool):  # type: ignore[name-defined,misc]  # as above
        """The pool, with connections of that kind."""

        def create_connection(self, origin: Any) -> Any:
            return Answering(origin)

    pool = Pool(max_connections=size, max_keepalive_connections=size)
    request = httpcore.Request("GET", f"http://{address[0]}:{address[1]}/")

    def take() -> tuple[socket.socket, Callable[[], object]]:
        response = pool.handle_request(request)
        return response.extensions["sock"], response.close

    return Built(lambda: pool.handle_request(request).close(), take, pool.close)


def _sqlalchemy(address: Address, size: int, ping: bool) -> Built:
    pools = importlib.import_module("sqlalchemy.pool")
    default = importlib.import_module("sqlalchemy.engine.default")

    class Dialect(default.DefaultDialect):  # type: ignore[name-defined,misc]  # a class of a module found by name
        """Pings by a round trip."""

        def do_ping(self, dbapi_connection: Any) -> bool:
            return bool(dbapi_connection.ping())

    dialect = Dialect()
    dialect.dbapi = SimpleNamespace(Error=OSError)
    # Its reset after each use is a rollback, which does nothing here.
    options: dict[str, Any] = {"pool_size": size, "max_overflow": 0, "pre_ping": ping, "dialect": dialect, "timeout": 60}
    pool = pools.QueuePool(lambda: Connection(address), **options)

    def take() -> tuple[socket.socket, Callable[[], object]]:
        fairy = pool.connect()
        return fairy.dbapi_connection.sock, fairy.close

    return Built(lambda: pool.connect().close(), take, pool.dispose)


def _psycopg(address: Address, size: int, check: bool) -> Built:
    logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)  # that a dead connection is replaced is meant here
    module = importlib.import_module("psycopg_pool")

    def by_round_trip(connection: Connection) -> None:
        if not connection.ping():
            connection.pgconn.transaction_status = 4  # UNKNOWN: the pool forgets it
            connection.close()
            raise OSError("no answer")

    where = {"host": address[0], "port": address[1]}
    options: dict[str, Any] = {"connection_class": Connection, "kwargs": where, "check": by_round_trip if check else None}
    pool = module.ConnectionPool("", min_size=size, max_size=size, timeout=60, open=True, **options)
    pool.wait()

    def take() -> tuple[socket.socket, Callable[[], object]]:
        connection = pool.getconn()
        return connection.sock, lambda: pool.putconn(connection)

    return Built(lambda: pool.putconn(pool.getconn()), take, pool.close)


@dataclass(frozen=True)
class Kind:
    """A row: how a pool looks at a connection before it gives it out, the modules it needs, and what builds one of a size."""

    look: str
    needs: tuple[str, ...]
    build: Callable[[Address, int], Built]


POOLS = {
    "holdfast": Kind("a poll", ("holdfast",), lambda address, size: _holdfast(address, size, True)),
    "urllib3 PoolManager": Kind("a poll", ("urllib3",), lambda address, size: _urllib3(address, size, True)),
    "urllib3, the pool of one origin": Kind("a poll", ("urllib3",), lambda address, size: _urllib3(address, size, False)),
    "httpcore": Kind("a poll of each", ("httpcore",), _httpcore),
    "SQLAlchemy QueuePool, pre-ping": Kind("a round trip", ("sqlalchemy",), lambda where, size: _sqlalchemy(where, size, True)),
    "psycopg_pool, check": Kind("a round trip", ("psycopg_pool", "psycopg"), lambda where, size: _psycopg(where, size, True)),
    "holdfast, no probe": Kind("–", ("holdfast",), lambda address, size: _holdfast(address, size, False)),
    "SQLAlchemy QueuePool": Kind("–", ("sqlalchemy",), lambda address, size: _sqlalchemy(address, size, False)),
    "psycopg_pool": Kind("–", ("psycopg_pool", "psycopg"), lambda address, size: _psycopg(address, size, False)),
    "queue.LifoQueue": Kind("–", (), _lifo),
}


# -- the server -----------------------------------------------------------------------------------------------------------


def serve() -> None:
    """Send back what comes, until killed; the port goes to standard output. Upon "!" all other connections are closed."""
    found = selectors.DefaultSelector()
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    found.register(listener, selectors.EVENT_READ)
    print(listener.getsockname()[1], flush=True)
    while True:
        for key, _ in found.select():
            sock: Any = key.fileobj
            if sock is listener:
                accepted = listener.accept()[0]
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                found.register(accepted, selectors.EVENT_READ)
            elif sock.fileno() >= 0:
                _answer(found, sock, listener)


def _answer(found: selectors.BaseSelector, sock: socket.socket, listener: socket.socket) -> None:
    try:
        data = sock.recv(100)
    except OSError:
        data = b""
    others = [key.fileobj for key in list(found.get_map().values()) if key.fileobj not in (sock, listener)]
    for each in others if data == b"!" else [] if data else [sock]:
        found.unregister(each)
        assert isinstance(each, socket.socket)
        each.close()
    if data:
        sock.sendall(data)


@contextmanager
def server() -> Iterator[Address]:
    """The address of ``serve`` in a process of its own."""
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.pools", "serve"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield "127.0.0.1", int(process.stdout.readline())
    finally:
        end(process)


# -- measuring ------------------------------------------------------------------------------------------------------------


def fill(pool: Built, size: int) -> None:
    """Have that many connections open."""
    for give_back in [pool.take()[1] for _ in range(size)]:
        give_back()


def crowd(cycle: Callable[[], object], threads: int, loops: int) -> tuple[float, float]:
    """Seconds of CPU, and on the clock, of one of ``loops`` acquires and releases, which the threads share."""
    each = loops // threads
    begin = threading.Barrier(threads + 1)

    def run() -> None:
        begin.wait()
        for _ in range(each):
            cycle()

    crowded = [threading.Thread(target=run, daemon=True) for _ in range(threads)]
    for thread in crowded:
        thread.start()
    cpu, clock = time.process_time(), time.perf_counter()
    begin.wait()
    for thread in crowded:
        thread.join()
    return (time.process_time() - cpu) / (each * threads), (time.perf_counter() - clock) / (each * threads)


def notices(pool: Built, address: Address) -> bool:
    """Whether the pool gives out a living connection after the server has closed its idle one."""
    sock, give_back = pool.take()
    give_back()
    with socket.create_connection(address) as control:
        control.sendall(b"!")
        assert control.recv(1) == b"!"
        select.select([sock], [], [])
        given, give_back = pool.take()
        try:
            given.settimeout(5)
            given.sendall(b".")
            return given.recv(1) == b"."
        except OSError:
            return False
        finally:
            give_back()


@dataclass
class Found:
    """Of one pool: the rounds' seconds of CPU by crowd, those on the clock of one thread, and whether it notices."""

    cpu: dict[tuple[int, int], list[float]] = field(default_factory=dict)
    clock: list[float] = field(default_factory=list)
    notices: bool = False

    def microseconds(self, crowd: tuple[int, int]) -> float:
        """The median of CPU."""
        return statistics.median(self.cpu[crowd]) * 1e6


def compare(address: Address, names: list[str], loops: int, rounds: int) -> dict[str, Found]:
    """Every pool, crowd by crowd, in turns."""
    found = {name: Found() for name in names}
    for threads, size in CROWDS:
        pools = {name: POOLS[name].build(address, size) for name in names}
        for name, pool in pools.items():
            fill(pool, size)
            crowd(pool.cycle, threads, loops // 4)  # caches, adaptive bytecode
            found[name].cpu[threads, size] = []
        for _, (name, pool) in itertools.product(range(rounds), pools.items()):
            cpu, clock = crowd(pool.cycle, threads, loops)
            found[name].cpu[threads, size].append(cpu)
            if threads == 1:
                found[name].clock.append(clock)
        for pool in pools.values():
            pool.close()
    for name in names:
        pool = POOLS[name].build(address, 1)
        found[name].notices = notices(pool, address)
        pool.close()
    return found


# -- the command ----------------------------------------------------------------------------------------------------------


def installed() -> list[str]:
    """The pools whose modules can be imported."""
    kept = []
    for name, kind in POOLS.items():
        try:
            for module in kind.needs:
                importlib.import_module(module)
        except ImportError:
            continue
        kept.append(name)
    return kept


def title(threads: int, size: int) -> str:
    """Of a column."""
    connections = "" if threads == size else f" on {size}"
    return f"{threads} thread{'s' * (threads > 1)}{connections}"


def rows(found: dict[str, Found]) -> list[list[str]]:
    """The table; pools that are not installed are in it."""
    lines = [["µs of CPU", "looks by", *(title(*each) for each in CROWDS), "µs on the clock, 1 thread", "a dead one"]]
    for name, kind in POOLS.items():
        if name not in found:
            lines.append([name, kind.look, "not installed", *[""] * (len(CROWDS) + 1)])
            continue
        one = found[name]
        clock = f"{statistics.median(one.clock) * 1e6:.1f}"
        cpu = [f"{one.microseconds(each):.1f}" for each in CROWDS]
        lines.append([name, kind.look, *cpu, clock, "is noticed" if one.notices else "is given out"])
    return lines


def chart(found: dict[str, Found]) -> Chart:
    """The same as numbers."""
    figures = {
        title(*each): {name: round(found[name].microseconds(each), 2) if name in found else None for name in POOLS}
        for each in CROWDS
    }
    return Chart("One acquire and one release of a pool", "µs of CPU", figures)


def cheaper(found: dict[str, Found]) -> list[str]:
    """Where another pool that notices costs less than holdfast's."""
    ours = found["holdfast"]
    return [
        f"{name} costs less with {title(*each)}"
        for name, one in found.items()
        for each in CROWDS
        if one.notices and one.microseconds(each) < ours.microseconds(each)
    ]


def main() -> int:
    """Parse the command line and run; the exit status."""
    if sys.argv[1:2] == ["serve"]:
        serve()
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks pools", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--loops", type=int, default=4000, help="acquires of a round, shared by the threads (4000)")
    parser.add_argument("--rounds", type=int, default=7, help="of each pool and crowd (7)")
    add_option(parser)
    options = parser.parse_args()
    exit_on_sigterm()
    try:
        with server() as address:
            found = compare(address, installed(), options.loops, options.rounds)
    except KeyboardInterrupt:
        return 130
    print(f"medians of {options.rounds} rounds of {options.loops} acquires and releases\n")
    print(table(rows(found)))
    save(options.json, "pools", sys.argv[1:], [chart(found)])
    better = cheaper(found)
    print("\n" + ("\n".join(better) or "no pool that notices a dead connection costs less than holdfast's"))
    return 0


if __name__ == "__main__":
    sys.exit(main())

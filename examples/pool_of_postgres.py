"""The pool under holdfast keeps connections to PostgreSQL: looked at before use without a round trip, replaced after a restart.

    python examples/pool_of_postgres.py [--threads 8] [--connections 4] [--deposits 400]

It starts a PostgreSQL of its own in a temporary folder (Debian's, `apt-get install postgresql`, or the one on PATH; as the user
postgres or nobody where this runs as root), and a relay before it that counts round trips. Then it shows three things:

1. The look before use is one poll() of the socket: a transaction costs what it costs without a pool. A "SELECT 1" before each,
   as many pools send it, costs a round trip more.
2. PostgreSQL restarts while nothing is under way, and no transaction fails: the connections that the restart has ended are found
   out before they are used, and new ones are waited for until the server is back.
3. PostgreSQL restarts under load. Transactions that are under way fail, no other does. What was said to be committed is there; of
   a COMMIT that was under way only the database can tell.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from holdfast import Discard, Limits
from holdfast.pool.pool import Pool

NO_LIBRARY = "This example needs psycopg: pip install -e '.[postgres]'"
NO_SERVER = "This example needs PostgreSQL itself, which is not installed here: apt-get install postgresql"
START_SECONDS = 30.0
AGAIN_SECONDS = 0.05  # between two attempts to connect to a server that is starting

Database = Pool[str, Any]  # of psycopg's connections, by their connection string


# -- the pool: three functions -----------------------------------------------------------------------------------------


def connect(dsn: str, until: float | None) -> Any:
    """Open a connection; wait for a server that is starting, as long as there is time."""
    psycopg = importlib.import_module("psycopg")
    while True:
        left = 10.0 if until is None else until - time.monotonic()
        try:
            return fit(psycopg.connect(dsn, connect_timeout=max(2, int(left))))
        except psycopg.OperationalError:
            if left < AGAIN_SECONDS:
                raise
            threading.Event().wait(AGAIN_SECONDS)


def fit(connection: Any) -> Any:
    """Note when it was last known to be fit, for what is shown below."""
    connection.fit_at = time.monotonic()
    return connection


def probe(connection: Any) -> Discard | None:
    """Whether an idle connection is fit for use: without a byte sent, and without a wait.

    PostgreSQL says nothing on an idle connection, but for its farewell: a socket that is readable is at its end.
    """
    if connection.closed:
        return Discard.STALE
    fit(connection)
    look = select.poll()
    look.register(connection.fileno(), select.POLLIN)
    return Discard.STALE if look.poll(0) else None


def close(connection: Any, reason: Discard) -> None:
    """Called for each connection once; what it has not committed is rolled back."""
    connection.close()


@contextmanager
def transaction(database: Database, dsn: str) -> Iterator[Any]:
    """A connection for one transaction: committed and given back at the end, thrown away after an error."""
    lease = database.acquire(dsn, wait=30, connect=START_SECONDS, purpose="a transaction")
    try:
        yield lease.resource
        lease.resource.commit()
        fit(lease.resource)
    except BaseException:
        lease.discard(Discard.BROKEN)
        raise
    lease.release()


# -- a PostgreSQL of our own -------------------------------------------------------------------------------------------


def programs() -> Path | None:
    """The folder with initdb and postgres, the newest if there are several."""
    found = shutil.which("postgres")
    candidates = [Path(found).resolve().parent] if found else []
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    candidates += sorted(debian, key=lambda path: int(path.parent.name) if path.parent.name.isdigit() else 0, reverse=True)
    return next((path for path in candidates if (path / "initdb").exists() and (path / "postgres").exists()), None)


def unprivileged() -> str | None:
    """Whom to run PostgreSQL as where this is root, as which it refuses to run."""
    if os.getuid() != 0:
        return None
    known = {entry.pw_name for entry in importlib.import_module("pwd").getpwall()}
    return next(name for name in ("postgres", "nobody") if name in known)


class Postgres:
    """A server in a folder of its own, on loopback.

    Args:
        folder: empty, and the user's whom it runs as.
        user: who that is; None for who we are.
    """

    def __init__(self, programs: Path, folder: Path, user: str | None) -> None:
        self.port = free_port()
        self._programs = programs
        self._folder = folder
        self._how: dict[str, Any] = {"cwd": folder, "user": user, "stdin": subprocess.DEVNULL, "start_new_session": True}
        if user is not None:
            self._how |= {"group": importlib.import_module("pwd").getpwnam(user).pw_gid, "extra_groups": []}
        self._process: subprocess.Popen[bytes] | None = None
        made = ["-D", str(folder / "data"), "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8"]
        subprocess.run([str(programs / "initdb"), *made], check=True, stdout=subprocess.DEVNULL, **self._how)

    def start(self) -> None:
        """Start; whoever connects may have to wait."""
        settings = {"port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off"}
        arguments = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("ab") as log:
            command = [str(self._programs / "postgres"), "-D", str(self._folder / "data"), *arguments]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, **self._how)

    def stop(self) -> None:
        """End every connection and every transaction, and the server: what a restart does ("fast" shutdown)."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(START_SECONDS)
            finally:
                process.kill()  # does nothing to one that has ended
                process.wait()


def free_port() -> int:
    """A port on loopback that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@contextmanager
def own_postgres(programs: Path) -> Iterator[Postgres]:
    """A running server, gone afterwards."""
    user = unprivileged()
    with tempfile.TemporaryDirectory(prefix="pool_of_postgres-") as name:
        folder = Path(name, "server")
        folder.mkdir(mode=0o700)
        if user is not None:
            Path(name).chmod(0o711)
            shutil.chown(folder, user)
        server = Postgres(programs, folder, user)
        server.start()
        try:
            yield server
        finally:
            server.stop()


# -- a relay that counts -----------------------------------------------------------------------------------------------


class Relay:
    """Passes on what the two sides say, and counts how often a client has spoken and then waited for an answer.

    Attributes:
        round_trips: how often, on all connections.
    """

    def __init__(self, port: int) -> None:
        self.round_trips = 0
        self._to = ("127.0.0.1", port)
        self._counting = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = int(self._listener.getsockname()[1])
        self._threads = [threading.Thread(target=self._accept, name="relay")]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # by close()
            thread = threading.Thread(target=self._pass_on, args=(client,), name="relay of one connection")
            self._threads.append(thread)
            thread.start()

    def _pass_on(self, client: socket.socket) -> None:
        with client:
            try:
                with socket.create_connection(self._to, 5) as server:
                    self._between(client, server)
            except OSError:
                pass  # the server is down, or one side has broken the connection: the other side sees its end

    def _between(self, client: socket.socket, server: socket.socket) -> None:
        spoken = False
        while True:
            for one in select.select([client, server], [], [])[0]:
                data = one.recv(65536)
                if not data:
                    return
                (server if one is client else client).sendall(data)
                if one is client and not spoken:
                    with self._counting:
                        self.round_trips += 1
                spoken = one is client

    def close(self) -> None:
        """Accept no more, and wait for the connections that there are: close their clients first."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()


# -- the demonstration -------------------------------------------------------------------------------------------------


def deposit(database: Database, dsn: str) -> None:
    """What every transaction does."""
    with transaction(database, dsn) as connection:
        connection.execute("UPDATE account SET balance = balance + 1")


def cost_of(relay: Relay, count: int, work: Callable[[], None]) -> float:
    """Round trips that ``work`` takes, on average, once its connection is open and its statements are prepared."""
    for _ in range(10):
        work()
    before = relay.round_trips
    for _ in range(count):
        work()
    return (relay.round_trips - before) / count


def show_the_look(database: Database, dsn: str, relay: Relay) -> bool:
    """What a transaction costs without a pool, with this one, and with a SELECT before each; whether the look was free."""

    def asked_first() -> None:
        lease = database.acquire(dsn, wait=30, connect=START_SECONDS)
        lease.resource.autocommit = True
        lease.resource.execute("SELECT 1")
        lease.resource.autocommit = False
        lease.release()
        deposit(database, dsn)

    with closing(connect(dsn, None)) as own:

        def by_itself() -> None:
            own.execute("UPDATE account SET balance = balance + 1")
            own.commit()

        alone = cost_of(relay, 20, by_itself)
    pooled, asked = (cost_of(relay, 20, work) for work in (lambda: deposit(database, dsn), asked_first))
    print(f"round trips of a transaction: {alone:g} on a connection of its own, {pooled:g} on one of the pool,")
    print(f"  which looks at it before; {asked:g} where a SELECT 1 is sent before")
    return pooled == alone


@dataclass
class Load:
    """Transactions in several threads, and what became of them.

    Attributes:
        committed: when each that was committed ended.
        failed: of each that failed, when its connection was last known to be fit: looked at, opened, or used with success.
        down: when the server had ended.
    """

    committed: list[float] = field(default_factory=list)
    failed: list[float] = field(default_factory=list)
    down: float = 0.0

    def one(self, database: Database, dsn: str) -> None:
        """One transaction."""
        psycopg = importlib.import_module("psycopg")
        fit_at = float("inf")
        try:
            with transaction(database, dsn) as connection:
                fit_at = connection.fit_at
                connection.execute("UPDATE account SET balance = balance + 1")
                connection.execute("SELECT pg_sleep(0.002)")
            self.committed.append(time.monotonic())
        except psycopg.OperationalError:
            self.failed.append(fit_at)

    def run(self, database: Database, dsn: str, server: Postgres, threads: int, count: int, at: int) -> None:
        """Run ``count`` transactions, and restart the server when ``at`` of them are done."""
        with ThreadPoolExecutor(threads) as executor:
            under_way = [executor.submit(self.one, database, dsn) for _ in range(count)]
            for future in under_way[:at]:
                future.result()
            server.stop()
            self.down = time.monotonic()
            server.start()


def show_a_quiet_restart(database: Database, dsn: str, server: Postgres, threads: int) -> bool:
    """Restart while all connections are idle, then use them; whether no transaction failed."""
    database.warm(dsn, 3, connect=START_SECONDS)
    stale = database.stats().total.closed.get("stale", 0)
    server.stop()
    server.start()
    load = Load()
    with ThreadPoolExecutor(threads) as executor:
        list(executor.map(lambda _: load.one(database, dsn), range(50)))
    found = database.stats().total.closed.get("stale", 0) - stale
    print(f"a restart while nothing is under way, then 50 transactions: {len(load.failed)} failed,")
    print(f"  {found} connections were found stale before they were used")
    return not load.failed and found > 0


def balance(database: Database, dsn: str) -> int:
    """The sum of all deposits."""
    with transaction(database, dsn) as connection:
        return int(connection.execute("SELECT balance FROM account").fetchone()[0])


def demonstrate(database: Database, dsn: str, server: Postgres, relay: Relay, threads: int, count: int) -> bool:
    """Show it; whether all was as it is said above."""
    with transaction(database, dsn) as connection:
        connection.execute("CREATE TABLE account (balance bigint)")
        connection.execute("INSERT INTO account VALUES (0)")
    if not (show_the_look(database, dsn, relay) and show_a_quiet_restart(database, dsn, server, threads)):
        return False

    before = balance(database, dsn)
    load = Load()
    load.run(database, dsn, server, threads, count, count // 3)
    under_way = sum(fit_at <= load.down for fit_at in load.failed)
    unknown = balance(database, dsn) - before - len(load.committed)
    print(f"{count} transactions in {threads} threads, a restart of PostgreSQL in the middle:")
    print(f"  {len(load.committed)} committed, {sum(moment > load.down for moment in load.committed)} of them after the restart")
    print(f"  {len(load.failed)} failed, {under_way} of them under way when it came; {unknown} of them were committed all the same")
    total = database.stats().total
    closed = ", ".join(f"{number} {reason}" for reason, number in total.closed.items())
    print(f"  {total.requests} uses of {total.created} connections; closed: {closed}")
    return under_way == len(load.failed) and 0 <= unknown <= len(load.failed)


def main(arguments: Sequence[str] | None = None) -> int:
    """Demonstrate; the exit status is 0 if only transactions failed that were under way, and the look cost nothing."""
    parser = argparse.ArgumentParser(description="Share a few connections to PostgreSQL between many threads, and restart it.")
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--deposits", type=int, default=400)
    given = parser.parse_args(arguments)
    installed = programs()
    if importlib.util.find_spec("psycopg") is None or installed is None:
        print(NO_LIBRARY if installed is not None else NO_SERVER, file=sys.stderr)
        return 2
    limits = Limits(max_connections_per_origin=given.connections, idle_timeout=300, max_lifetime=3600, learn=False)
    with ExitStack() as stack:
        server = stack.enter_context(own_postgres(installed))
        relay = stack.enter_context(closing(Relay(server.port)))
        database: Database = stack.enter_context(closing(Pool(connect, probe, close, limits=limits)))
        dsn = f"host=127.0.0.1 port={relay.port} user=postgres dbname=postgres"
        fine = demonstrate(database, dsn, server, relay, given.threads, given.deposits)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())

"""The pool under holdfast keeps connections of any kind: here some threads share a few SQLite connections.

    python examples/pool_of_anything.py [--threads 8] [--connections 3]

A Pool is given three functions, and knows nothing else about what it keeps:

- ``connect(key, until)`` opens one, in a thread of its own; ``until``: the ``time.monotonic()`` by which it must be there;
- ``probe(connection)`` says, without waiting, why an idle one is unfit for use, or None;
- ``close(connection, reason)`` closes one.

For PostgreSQL they would be ``lambda dsn, until: psycopg.connect(dsn, connect_timeout=...)``, a probe that returns
``Discard.STALE`` if ``connection.closed`` or if its socket is readable, and ``connection.close()``; the rest stays as it is.
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

from holdfast import Discard, Limits
from holdfast.pool.pool import Pool, PoolEvent

Database = Pool[str, sqlite3.Connection]


def connect(path: str, until: float | None) -> sqlite3.Connection:
    """Open the database. Its connections go from thread to thread, but only one at a time has one."""
    return sqlite3.connect(path, check_same_thread=False)


def probe(connection: sqlite3.Connection) -> Discard | None:
    """Whether it still answers."""
    try:
        connection.execute("SELECT 1")
    except sqlite3.Error:
        return Discard.STALE
    return None


def close(connection: sqlite3.Connection, reason: Discard) -> None:
    """Called for each connection once; what it has not committed is gone."""
    connection.close()


@contextmanager
def transaction(database: Database, path: str) -> Iterator[sqlite3.Connection]:
    """A connection for one transaction: committed and given back at the end, thrown away after an error."""
    lease = database.acquire(path, wait=30, purpose="a transaction")
    try:
        yield lease.resource
        lease.resource.commit()
    except BaseException:
        lease.discard(Discard.BROKEN)
        raise
    lease.release()


def deposit(database: Database, path: str, amount: int) -> None:
    """What every thread does."""
    with transaction(database, path) as connection:
        connection.execute("UPDATE account SET balance = balance + ?", (amount,))


def balance(database: Database, path: str) -> int:
    """The sum of all deposits."""
    with transaction(database, path) as connection:
        return int(connection.execute("SELECT balance FROM account").fetchone()[0])


def show(database: Database, what: str) -> None:
    """Print the pool's figures."""
    total = database.stats().total
    closed = ", ".join(f"{count} {reason}" for reason, count in total.closed.items()) or "none"
    print(f"{what}:\n  {total.requests} uses of {total.created} connections, {total.reuse_ratio:.0%} reused; closed: {closed}")
    print(f"  {total.active} active, {total.idle} idle; {total.waits} waits, {total.pool_timeouts} in vain")


def demonstrate(database: Database, path: str, threads: int, deposits: int) -> int:
    """Use it well, use it badly, and look at the figures; the balance at the end."""
    with transaction(database, path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE account (balance INTEGER)")
        connection.execute("INSERT INTO account VALUES (0)")
    with ThreadPoolExecutor(threads) as executor:
        list(executor.map(lambda amount: deposit(database, path, amount), [1] * deposits))
    show(database, f"{deposits} transactions in {threads} threads")

    try:
        with transaction(database, path) as connection:
            connection.execute("UPDATE account SET balance = 0")
            connection.execute("INSERT INTO nowhere VALUES (1)")
    except sqlite3.OperationalError as error:
        show(database, f"After an error ({error}) the connection is thrown away, and its transaction with it")

    with transaction(database, path) as connection:
        pass
    connection.close()  # as a server, or a firewall on the way, does behind one's back
    with transaction(database, path) as connection:
        pass
    show(database, "One that was closed behind the pool's back fails its probe and is replaced")
    return balance(database, path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Demonstrate; the exit status is 0 if no deposit was lost."""
    parser = argparse.ArgumentParser(description="Share a few SQLite connections between many threads.")
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--connections", type=int, default=3)
    parser.add_argument("--deposits", type=int, default=200)
    given = parser.parse_args(arguments)
    limits = Limits(max_connections_per_origin=given.connections, idle_timeout=300, max_lifetime=3600)
    database: Database = Pool(connect, probe, close, limits=limits)

    def tell(event: PoolEvent) -> None:
        if event.kind in ("opened", "closed"):
            print(f"  {event.kind} {event.reason}".rstrip())

    database.on_event(tell)
    with tempfile.TemporaryDirectory() as directory, closing(database):
        found = demonstrate(database, str(Path(directory, "bank.db")), given.threads, given.deposits)
    print(f"balance: {found}")
    return 0 if found == given.deposits else 1


if __name__ == "__main__":
    sys.exit(main())

"""What the tests of the command share."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from holdfast.cli.main import main
from holdfast.cli.probe import Connection, Target, dial
from tests.server import Conn, Server


class Tty(io.StringIO):
    """A terminal that remembers what was written to it."""

    def isatty(self) -> bool:
        return True


def invoke(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of the command."""
    code = main(arguments)
    written = capsys.readouterr()
    return code, written.out, written.err


@contextmanager
def dialled(
    server: Server, clock: Callable[[], float], *, host: str | None = None, verify: str | bool = True
) -> Iterator[Connection]:
    """A connection to a server, closed at the end."""
    connection = dial(Target.of(server.url(host=host), verify), 5, clock=clock)
    try:
        yield connection
    finally:
        connection.close()


def answer_then(event: threading.Event, end: Callable[[Conn], object], answer: bytes) -> Callable[[Conn], None]:
    """A script: one answer, then the end when the test says so."""

    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(answer)
        conn.wait(event)
        end(conn)

    return script


def hang_up(conn: Conn) -> None:
    """A script: reads a request, and ends without an answer."""
    conn.expect_request()


def mute(conn: Conn) -> None:
    """A script: never says anything."""
    conn.wait_closed()

"""Waiting for the end of idle connections: the moments are the clock's, the ends are the server's."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from holdfast.cli.probe import Connection, Ending
from holdfast.cli.watch import AGED, IDLE, PATIENCE, SILENT, Drop, Idle, Watch, Watched, drop_of, idle_of, roles
from tests.cli.support import answer_then, dialled
from tests.conftest import FakeClock
from tests.server import WAIT_SECONDS, Conn, Server, ok, replies

pytestmark = pytest.mark.usefixtures("no_leaks")


@contextmanager
def watching(server: Server, clock: FakeClock, role: str, due: float | None = None, seconds: float = 60) -> Iterator[Watch]:
    """A Watch over one connection, which has had its answer unless it is to be silent."""
    with dialled(server, clock) as connection:
        if role != SILENT:
            connection.ask("GET", 5)
        watch = Watch(clock, clock() + seconds)
        watch.watched.append(Watched(connection, role, due))
        yield watch
        watch.close()


def test_an_idle_connection_ends_at_its_age_since_its_last_use(clock: FakeClock) -> None:
    end = threading.Event()
    with Server(answer_then(end, lambda conn: conn.fin(), ok())) as server, watching(server, clock, IDLE) as watch:
        clock.advance(5)
        end.set()
        watch.step(WAIT_SECONDS)

        assert watch.over
        assert idle_of(watch.watched, IDLE, clock()) == Idle(5, 5, ("FIN",), 0)


def test_bytes_alone_are_not_the_end(clock: FakeClock) -> None:
    end = threading.Event()

    def speak(conn: Conn) -> None:
        conn.send(b"x")
        conn.wait_closed()

    with Server(answer_then(end, speak, ok())) as server, watching(server, clock, IDLE) as watch:
        end.set()
        watch.step(WAIT_SECONDS)

        assert not watch.over
        clock.advance(7)
        assert idle_of(watch.watched, IDLE, clock()) == Idle(open_after=7)


def test_an_aged_connection_is_used_at_its_age_and_not_before(clock: FakeClock) -> None:
    with Server(replies(ok(), ok())) as server, watching(server, clock, AGED, due=30) as watch:
        clock.advance(29.9)
        watch.step(0)
        assert len(server.requests) == 1

        clock.advance(0.1)
        watch.step(0)

        assert len(server.requests) == 2
        assert watch.over
        assert drop_of(watch.watched).alive_after == pytest.approx(30)
        assert idle_of(watch.watched, IDLE, clock()).open_after == pytest.approx(30)


def test_a_path_that_resets_what_was_silent_is_a_drop(clock: FakeClock) -> None:
    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(ok())
        conn.read_head()
        conn.rst()

    with Server(script) as server, watching(server, clock, AGED, due=30) as watch:
        clock.advance(30)
        watch.step(0)

        assert drop_of(watch.watched) == Drop(None, 30, "reset")


def test_the_wait_ends_with_the_time_and_says_how_long_they_were_open(clock: FakeClock) -> None:
    shown: list[int] = []

    def show(watch: Watch) -> None:
        shown.append(len(watch.waiting))
        clock.advance(4)

    with Server(replies()) as server, watching(server, clock, SILENT, seconds=7.9) as watch:
        watch.run(show)

        assert shown == [1, 1]
        assert idle_of(watch.watched, SILENT, clock()) == Idle(open_after=8)


def used(seconds: float, use: str) -> Watched:
    """An aged connection that was used; none of its fields but these counts."""
    return Watched(None, AGED, seconds, seconds, None, use)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("uses", "drop"),
    [
        ([], Drop()),
        ([used(15, "answered"), used(60, "silence"), used(108, "silence")], Drop(15, 60, "silence")),
        ([used(15, "acknowledged, not answered"), used(30, "closed")], Drop(15)),
        ([used(60, "reset")], Drop(None, 60, "reset")),
    ],
)
def test_what_lies_between_the_last_that_arrived_and_the_first_that_was_lost(uses: list[Watched], drop: Drop) -> None:
    assert drop_of(uses) == drop


def ended(role: str, seconds: float, how: str) -> Watched:
    """A connection that the server ended."""
    return Watched(None, role, None, seconds, Ending(how))  # type: ignore[arg-type]


def test_the_ends_of_all_ages_are_taken_together_and_each_way_is_named_once() -> None:
    watched = [ended(IDLE, 9.1, "FIN"), ended(AGED, 12.0, "RST"), ended(IDLE, 10, "FIN"), ended(SILENT, 3, "FIN")]

    assert idle_of(watched, IDLE, 0) == Idle(9.1, 12.0, ("FIN", "RST"))
    assert idle_of(watched, SILENT, 0) == Idle(3, 3, ("FIN",))


@pytest.mark.parametrize("count", range(1, 9))
def test_a_few_connections_have_the_most_telling_roles_and_never_more_than_asked(count: int) -> None:
    plan = roles(count, 100)

    assert len(plan) == count
    assert plan[0] == (IDLE, None)
    assert (SILENT, None) in plan or count == 1
    assert sorted(age for _, age in plan if age is not None) == sorted([90.0, 50.0, 25.0, 12.5][: sum(r == AGED for r, _ in plan)])


@pytest.mark.parametrize("left", [60, 1])
def test_a_late_request_is_waited_for_no_longer_than_the_wait_lasts(
    clock: FakeClock, left: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    def delivered(connection: Connection, method: str, seconds: float) -> str:
        waits.append(seconds)
        return "answered"

    monkeypatch.setattr(Connection, "delivered", delivered)
    with Server(replies(ok())) as server, watching(server, clock, AGED, due=0, seconds=left) as watch:
        watch.step(0)

    assert waits == [min(PATIENCE, left)]

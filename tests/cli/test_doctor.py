"""``holdfast doctor`` as a whole: a server, its report, what was expected of it, and Ctrl-C."""

from __future__ import annotations

import argparse
import json
import sys
import threading
from collections.abc import Callable

import pytest

from holdfast import cli as package
from holdfast.cli import codes, doctor, observations
from holdfast.cli.advice import Findings
from holdfast.cli.doctor import Examination
from holdfast.cli.probe import Target
from holdfast.cli.watch import IDLE, Watch, Watched
from tests.cli.support import Tty, dialled, hang_up, invoke
from tests.conftest import FakeClock, Tls
from tests.server import Conn, Server, echo, ok, response

pytestmark = pytest.mark.usefixtures("no_leaks")
assert package.__doc__


def examine(
    server: Server, clock: FakeClock, during: Callable[[], object], *options: str, host: str | None = None, ca: str | None = None
) -> Findings:
    """What an examination finds; ``during`` is called each time that it waits."""
    parser = argparse.ArgumentParser()
    doctor.add_arguments(parser)
    target = Target.of(server.url(host=host), ca or True)
    arguments = parser.parse_args([server.url(), *options])
    return Examination(target, arguments, clock, lambda text: during() if text.startswith("waiting") else None).run()


def end_all(server: Server) -> None:
    """The server ends every connection that it has."""
    for number in range(server.connections):
        server.conn(number).fin()


def test_a_server_that_ends_idle_connections_after_five_seconds_is_told_from_the_wait(clock: FakeClock) -> None:
    with Server(echo) as server:

        def during() -> None:
            clock.advance(5)
            end_all(server)

        found = examine(server, clock, during)

        assert (found.idle.least, found.idle.most, found.idle.endings) == (5, 5, ("FIN",))
        assert found.silent is not None
        assert found.silent.least == 5
        assert found.requests is not None
        assert found.requests.answered == 150
        assert (found.opened, found.asked) == (server.connections, len(server.requests))
        assert found.troubles == ()
        assert found.resumption is None


def test_never_more_connections_are_open_at_once_than_asked_for(clock: FakeClock) -> None:
    open_now, most = 0, 0
    lock = threading.Lock()

    def script(conn: Conn) -> None:
        nonlocal open_now, most
        with lock:
            open_now += 1
            most = max(most, open_now)
        for _ in conn.read_requests():
            conn.send(ok())
        with lock:
            open_now -= 1

    with Server(script) as server:
        found = examine(server, clock, lambda: clock.advance(61), "--connections", "2", "--requests", "5")

    # A connection that was closed may not have been read to its end yet when the next one is accepted.
    assert most <= 3
    assert found.idle.least is None
    assert found.silent is not None
    assert found.drop is None


def test_over_tls_sessions_are_looked_at_too(clock: FakeClock, tls: Tls) -> None:
    with Server(echo, tls=tls.server_context()) as server:
        found = examine(server, clock, lambda: clock.advance(61), "--requests", "3", host="localhost", ca=tls.ca_path)

        assert found.resumption is not None
        assert found.resumption.share == 1
        assert found.first.tls == "TLSv1.3"
        assert found.stalls is None


def test_a_server_that_keeps_nothing_is_only_waited_for_without_a_request(clock: FakeClock) -> None:
    def script(conn: Conn) -> None:
        if conn.read_request() is not None:
            conn.send(ok(b"", "Connection: close"))

    with Server(script) as server:
        found = examine(server, clock, lambda: clock.advance(61), "--connections", "3")

    assert found.requests is None
    assert (found.idle.least, found.idle.open_after) == (None, 0)
    assert found.silent is not None


@pytest.mark.parametrize(("most", "asked"), [(1, False), (17, False), (18, True)])
def test_delayed_acks_are_looked_for_where_a_connection_carries_all_that_it_takes(clock: FakeClock, most: int, asked: bool) -> None:
    """A server that ends its connections after a few requests is none that fails."""

    def script(conn: Conn) -> None:
        for number, _ in enumerate(conn.read_requests(), start=1):
            conn.send(ok())
            if number == most:
                return

    with Server(script) as server:
        found = examine(server, clock, lambda: clock.advance(61), "--connections", "3")

    assert found.requests is not None
    assert found.requests.answered == most
    assert (found.stalls is not None, found.troubles) == (asked, ())


def test_what_fails_is_a_trouble_and_the_others_go_on(clock: FakeClock) -> None:
    """The server answers the first three connections and none of the later ones."""

    def script(conn: Conn) -> None:
        if conn.number < 3:
            echo(conn)

    with Server(script) as server:
        found = examine(server, clock, lambda: clock.advance(200))

    assert any(trouble.startswith("HTTP/1.0: ") for trouble in found.troubles)
    assert any(trouble.startswith("a connection to wait on: ") for trouble in found.troubles)
    assert found.requests is None
    assert found.addresses[0].status == 200


def test_a_server_that_refuses_further_connections_is_a_trouble(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(echo) as server:
        one = observations.http10

        def last(bench: observations.Bench) -> observations.Http10:
            found = one(bench)
            server.stop_listening()
            return found

        monkeypatch.setattr(observations, "http10", last)
        monkeypatch.setattr(observations, "SETTLE", 0.0)
        found = examine(server, clock, lambda: clock.advance(200))

    assert sum("refused" in trouble for trouble in found.troubles) == 9


def test_what_there_is_no_time_for_is_said(clock: FakeClock) -> None:
    def slow(conn: Conn) -> None:
        for _ in conn.read_requests():
            clock.advance(0.9)
            conn.send(ok())

    with Server(slow) as server:
        found = examine(server, clock, lambda: clock.advance(200), "--max", "2")

    assert "HTTP/1.0: no time was left for it" in found.troubles


def test_ctrl_c_ends_the_wait_and_shows_what_is_known(clock: FakeClock) -> None:
    def during() -> None:
        clock.advance(12)
        raise KeyboardInterrupt

    with Server(echo) as server:
        found = examine(server, clock, during)

    assert found.interrupted
    assert found.idle.open_after == 12


def test_ctrl_c_before_the_wait_leaves_a_report_too(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(bench: observations.Bench) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(observations, "acknowledged", interrupted)
    with Server(echo) as server:
        found = examine(server, clock, lambda: None)

    assert found.interrupted
    assert found.requests is None


# -- as a command ------------------------------------------------------------------------------------------------------


def brief(conn: Conn) -> None:
    """Keeps no connection, and does not stay with one that sends nothing."""
    if conn.number == 5:  # the one that is to be silent
        return
    if conn.read_request() is not None:
        conn.send(response(200, b"x", "Connection: close", "Server: brief"))


def test_the_command_writes_a_report_and_exits_by_what_was_expected(capsys: pytest.CaptureFixture[str]) -> None:
    with Server(brief) as server:
        code, out, err = invoke(
            capsys, "doctor", server.url(), "--max", "5", "--expect", "idle>=1", "--expect", "status==200", "--expect", "resumed>=1"
        )

    assert code == codes.UNEXPECTED
    assert "HTTP/1.1 200, brief" in out
    assert "holdfast.Client(limits=holdfast.Limits(idle_timeout=0))" in out
    assert err == "not as expected: idle>=1: it is 0\nnot as expected: resumed>=1: it was not measured\n"


def test_the_command_writes_json_and_shows_its_progress_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rich", None)
    monkeypatch.setattr(sys, "stderr", screen := Tty())
    with Server(brief) as server:
        code, out, _ = invoke(capsys, "doctor", server.url(), "--max", "5", "--json", "--expect", "idle==0")

    assert code == codes.OK
    assert json.loads(out)["first"]["server"] == "brief"
    assert "who acknowledges ..." in screen.getvalue()
    assert screen.getvalue().endswith("\r")


def test_what_the_wait_shows_fits_a_terminal_of_eighty_columns() -> None:
    clock = FakeClock()
    with Server(echo) as server, dialled(server, clock) as connection:
        watch = Watch(clock, clock() + 1100, watched=[Watched(connection, IDLE)] * 12)
        connection.used = clock() - 100
        text = doctor.progress_of(watch, clock())

    assert text == "waiting up to 1100 s more (Ctrl-C: report now); 0 of 12 done, idle for 100 s"
    assert len(text) < 80


@pytest.mark.parametrize(
    ("text", "says"), [("silent>=900", "it is 118 or more; measure longer"), ("silent<100", "it is 118 or more")]
)
def test_what_is_not_as_expected_is_said_with_what_was_found(text: str, says: str) -> None:
    from holdfast.cli.advice import parse_expectation
    from holdfast.cli.terminal import Terminal
    from tests.cli.test_advice import MEASURED

    stream = Tty()

    assert doctor.check([parse_expectation(text)], MEASURED, Terminal(stream)) == codes.UNEXPECTED
    assert stream.getvalue() == f"not as expected: {text}: {says}\n"


def test_an_interrupted_command_says_so_by_its_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(bench: observations.Bench) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(observations, "each_address", interrupted)
    with Server(echo) as server:
        code, out, _ = invoke(capsys, "doctor", server.url(), "--max", "5")

    assert code == codes.INTERRUPTED
    assert "interrupted: what is known so far" in out


@pytest.mark.parametrize(
    "wrong",
    [["--max", "0"], ["--max", "x"], ["--connections", "0"], ["--requests", "-1"], ["--expect", "speed>1"]],
)
def test_wrong_arguments_are_refused_before_a_byte_is_sent(capsys: pytest.CaptureFixture[str], wrong: list[str]) -> None:
    with Server(echo) as server:
        code, _, err = invoke(capsys, "doctor", server.url(), *wrong)

        assert server.connections == 0
    assert code == codes.USAGE
    assert wrong[0] in err


def test_without_an_answer_there_is_no_report(capsys: pytest.CaptureFixture[str]) -> None:
    with Server(hang_up) as server:
        code, out, err = invoke(capsys, "doctor", server.url())

    assert (code, out) == (codes.BROKEN, "")
    assert "closed the connection without an answer" in err

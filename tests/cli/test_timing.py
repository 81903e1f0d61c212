"""``holdfast timing``: the phases of each kind of call, the sentence, and the picture."""

from __future__ import annotations

import io
import json
import sys
import time

import pytest

from holdfast import ConnectionError as HoldfastConnectionError
from holdfast import ReadTimeout
from holdfast.cli import codes, timing
from holdfast.cli.probe import Target
from holdfast.cli.terminal import Terminal
from holdfast.cli.timing import COLD, KEPT, RESUMED, Kind, Stopwatch, Timings, bar, percentile, saved
from tests.cli.support import Tty, invoke
from tests.conftest import FakeClock, Tls
from tests.server import Conn, Server, echo, ok, replies

pytestmark = pytest.mark.usefixtures("no_leaks")


def measure(server: Server, clock: FakeClock, kept: int, *, host: str | None = None, ca: str | None = None) -> Timings:
    """What a stopwatch measures."""
    return Stopwatch(Target.of(server.url(host=host), ca or True), "GET", 5, clock).measure(kept)


def test_the_kinds_of_calls_have_the_phases_they_have(clock: FakeClock, tls: Tls) -> None:
    def script(conn: Conn) -> None:
        for _ in conn.read_requests():
            clock.advance(1)
            conn.send(ok())

    with Server(script, tls=tls.server_context()) as server:
        found = measure(server, clock, 3, host="localhost", ca=tls.ca_path)

        assert server.connections == 3 + 3 + 1
        assert server.resumptions == 3
    by_name = {kind.name: kind for kind in found.kinds}
    assert list(by_name) == [COLD, RESUMED, KEPT]
    assert list(by_name[COLD].calls[0]) == list(timing.PHASES)
    assert list(by_name[KEPT].calls[0]) == ["send", "wait", "download"]
    assert by_name[KEPT].totals == [1, 1, 1]
    assert (found.tls, found.closed) == ("TLSv1.3", 0)
    assert found.address in ("127.0.0.1", "::1")


def test_cold_calls_are_few_however_many_kept_ones_are_wanted(clock: FakeClock) -> None:
    with Server(echo) as server:
        found = measure(server, clock, 12)

        assert server.connections == timing.DIALS + 1
    assert [(kind.name, len(kind.calls)) for kind in found.kinds] == [(COLD, 5), (KEPT, 12)]
    assert found.kind(RESUMED) is None


def test_sessions_that_are_not_resumed_are_no_kind(clock: FakeClock, tls: Tls) -> None:
    contexts = [tls.server_context() for _ in range(9)]

    def script(conn: Conn) -> None:
        conn.start_tls(contexts.pop())
        echo(conn)

    with Server(script) as server:
        url = server.url(host="localhost").replace("http:", "https:")
        found = Stopwatch(Target.of(url, tls.ca_path), "GET", 5, clock).measure(2)

    assert [kind.name for kind in found.kinds] == [COLD, KEPT]


def test_a_server_that_ends_connections_gets_new_ones_but_not_for_ever(clock: FakeClock) -> None:
    def two_each(conn: Conn) -> None:
        for _ in range(2):
            if conn.read_request() is not None:
                conn.send(ok())

    with Server(two_each) as server:
        found = measure(server, clock, 20)

    kept = found.kind(KEPT)
    assert kept is not None
    assert (len(kept.calls), found.closed) == (5, 5)


def test_a_server_that_keeps_nothing_has_no_kept_call(clock: FakeClock) -> None:
    def one_each(conn: Conn) -> None:
        conn.expect_request()
        conn.send(ok(b"", "Connection: close"))

    with Server(one_each) as server:
        found = measure(server, clock, 20)

    assert [kind.name for kind in found.kinds] == [COLD]
    assert saved(found).startswith("The server keeps no connection: every call pays the whole")


def test_a_server_that_stops_answering_is_an_error(clock: FakeClock) -> None:
    def first_two(conn: Conn) -> None:
        if conn.number < 2:
            echo(conn)
        conn.read_request()

    with Server(first_two) as server, pytest.raises(HoldfastConnectionError):
        measure(server, clock, 2)

    with Server([echo, replies(ok())]) as server, pytest.raises(ReadTimeout):
        Stopwatch(Target.of(server.url()), "GET", 0.1, clock).measure(1)


@pytest.mark.parametrize(("values", "share", "expected"), [([1.0], 0.95, 1), ([*range(1, 21)], 0.95, 19), ([3, 1, 2], 0.5, 2)])
def test_a_percentile_is_one_of_the_values(values: list[float], share: float, expected: float) -> None:
    assert percentile(values, share) == expected


RESUMED_HALF = "where a connection is new, resumption saves 15.0 ms of 30.0 ms (50%) of the TLS handshake."
NOT_RESUMED = "TLS sessions were not resumed, so each new connection pays for a full handshake."


def timings(cold: dict[str, float], kept: float | None, resumed: dict[str, float] | None = None, closed: int = 0) -> Timings:
    """One call of each kind."""
    kinds = [Kind(COLD, (cold,))]
    kinds += [Kind(RESUMED, (resumed,))] if resumed else []
    kinds += [Kind(KEPT, ({"send": 0.0, "wait": kept, "download": 0.0},))] if kept is not None else []
    return Timings("http://example.com/", tuple(kinds), closed, "", "192.0.2.1")


@pytest.mark.parametrize(
    ("measured", "sentence"),
    [
        (timings({"dns": 0.001, "tcp": 0.02, "wait": 0.02}, 0.02), "Keep-alive saves 21.0 ms of 41.0 ms (51%) per call."),
        (timings({"dns": 0.0, "wait": 0.01}, 0.02), "Keep-alive saves nothing measurable (20.0 ms instead of 10.0 ms) per call."),
        (
            timings({"tls": 0.03, "wait": 0.02}, 0.02, {"tls": 0.015, "wait": 0.02}),
            "Keep-alive saves 30.0 ms of 50.0 ms (60%) per call; " + RESUMED_HALF,
        ),
        (
            timings({"tls": 0.03, "wait": 0.02}, 0.02),
            "Keep-alive saves 30.0 ms of 50.0 ms (60%) per call; " + NOT_RESUMED,
        ),
    ],
)
def test_what_is_saved_is_one_sentence(measured: Timings, sentence: str) -> None:
    assert saved(measured) == sentence


@pytest.mark.parametrize(
    ("start", "length", "whole", "drawn"),
    [
        (0, 10, 10, "█" * 10),
        (5, 5, 10, "     █████"),
        (0, 0.05, 10, "▏"),
        (2, 1.5, 10, "  █▌"),
        (10, 1, 10, " " * 9 + "█"),
        (0, 0, 0, ""),
    ],
)
def test_a_bar_begins_where_the_last_one_ended(start: float, length: float, whole: float, drawn: str) -> None:
    assert bar(start, length, whole, 10) == drawn


def test_the_waterfall_has_a_line_for_each_phase_and_says_what_the_server_ended() -> None:
    stream = io.StringIO()
    measured = timings({"dns": 0.001, "tcp": 0.01, "send": 0.0, "wait": 0.02, "download": 0.0}, 0.02, closed=2)
    timing.write(Terminal(stream), measured, {"one-off": timing.summary([0.1]), "kept alive": timing.summary([0.05])})
    lines = stream.getvalue().splitlines()

    assert lines[0] == "http://example.com/  192.0.2.1"
    assert lines[1] == "cold     median 31.0 ms, p95 31.0 ms, 1 call"
    assert [line.split()[0] for line in lines[2:7]] == ["DNS", "TCP", "send", "wait", "download"]
    assert lines[5].split()[-1] == "█" * 32 + "▎"
    assert "The server ended 2 connections" in stream.getvalue()
    assert "holdfast, kept alive  median 50.0 ms, p95 50.0 ms" in stream.getvalue()


def test_the_command_draws_and_compares(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)
    monkeypatch.setattr(sys, "stderr", screen := Tty())
    with Server(echo) as server:
        code, out, _ = invoke(capsys, "timing", server.url(), "-n", "2", "--compare", "--head")

        assert server.connections == 2 + 1 + 2 + 1
        assert {request.method for request in server.requests[:4]} == {"HEAD"}
    assert code == codes.OK
    assert "Keep-alive saves" in out
    assert "holdfast, one-off" in out
    assert "2 of 2 kept calls ..." in screen.getvalue()


def test_the_command_writes_json(capsys: pytest.CaptureFixture[str]) -> None:
    with Server(echo) as server:
        code, out, _ = invoke(capsys, "timing", server.url(), "-n", "2", "--json")
    found = json.loads(out)

    assert code == codes.OK
    assert list(found["kinds"]) == [COLD, KEPT]
    assert found["kinds"][KEPT]["calls"] == 2
    assert "compared" not in found


def test_the_clients_that_are_compared_keep_or_do_not() -> None:
    with Server(echo) as server:
        found = timing.compare(server.url(), 3, {}, time.monotonic)

        assert server.connections == 3 + 1
    assert list(found) == ["one-off", "kept alive"]


@pytest.mark.parametrize("wrong", ["0", "10001", "x"])
def test_a_count_that_makes_no_sense_is_refused(capsys: pytest.CaptureFixture[str], wrong: str) -> None:
    assert invoke(capsys, "timing", "http://127.0.0.1:1/", "-n", wrong)[0] == codes.USAGE

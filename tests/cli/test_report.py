"""The report says what was found, one row for each question."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from holdfast.cli import report
from holdfast.cli.advice import Findings
from holdfast.cli.observations import Acknowledged, AddressSeen, Http10, PerConnection, Resumption, Stalls
from holdfast.cli.terminal import Terminal
from holdfast.cli.watch import Drop, Idle
from tests.cli.test_advice import FIRST, MEASURED, OPEN, findings


def row(found: Findings, name: str) -> tuple[str, str]:
    """The answer of a row and its style."""
    return next((text, style) for question, text, style in report.rows_of(found) if question == name)


def test_a_server_says_its_name_or_none() -> None:
    assert row(OPEN, "server") == ("HTTP/1.1 200, nginx", "")
    odd = findings(first={"server": "a\x1b[2Jb", "tls": "TLSv1.3", "method": "HEAD", "status": 503})
    assert row(odd, "server") == ("HTTP/1.1 503, a\\x1b[2Jb, TLSv1.3, asked by HEAD: its body is long", "warn")
    assert "says no name" in row(findings(first={"server": ""}), "server")[0]


@pytest.mark.parametrize(
    ("found", "answer"),
    [
        (OPEN, ("not ended within 118 s", "good")),
        (findings(idle=Idle(4.98, 5.02, ("FIN",))), ("ended after 5.0 s, by FIN", "warn")),
        (findings(idle=Idle(8.8, 12, ("FIN", "RST"))), ("ended after 8.8 to 12.0 s, by FIN or RST", "good")),
        (findings(first={"kept": False}), ("keeps no connection: it ends after each answer", "bad")),
    ],
)
def test_the_idle_time_and_how_it_ends(found: Findings, answer: tuple[str, str]) -> None:
    assert row(found, "idle") == answer


@pytest.mark.parametrize(
    ("timeout", "most", "idle", "answer"),
    [
        (None, None, Idle(5, 5), ("none", "")),
        (5, None, Idle(6.0, 6.0), ("timeout=5: kept 1.0 s longer", "good")),
        (5, 100, Idle(4.99, 5.0), ("timeout=5, max=100: kept for 4.99 s, so a client that uses it to the full is too late", "bad")),
        (5, 100, Idle(open_after=3), ("timeout=5, max=100", "")),
        (None, 100, Idle(5, 5), ("max=100", "")),
    ],
)
def test_what_is_promised_is_held_against_what_is_done(
    timeout: int | None, most: int | None, idle: Idle, answer: tuple[str, str]
) -> None:
    assert row(findings(idle=idle, first={"hint_timeout": timeout, "hint_max": most}), "Keep-Alive field") == answer


def test_a_connection_without_a_request_may_be_answered_all_the_same() -> None:
    speaking = findings(silent=Idle(50, 50, ("'HTTP/1.1 408 Late', then FIN",)))

    assert row(speaking, "without a request")[0].endswith("then FIN: an answer to a question that was not asked")
    assert row(findings(silent=Idle(7, 7, ("FIN",))), "without a request") == ("ended after 7.0 s, by FIN", "")
    assert row(findings(silent=Idle(open_after=118)), "without a request") == ("still open after 118 s", "")


@pytest.mark.parametrize(
    ("seen", "answer"),
    [
        (PerConnection(150, False, False), ("150 on one connection, and no end", "good")),
        (PerConnection(100, True, True), ("ended after 100, and says so with the last", "good")),
        (PerConnection(10, True, False), ("ended after 10, and does not say so", "bad")),
        (PerConnection(1, True, True), ("ended after 1, and says so with the last", "bad")),
    ],
)
def test_the_requests_of_one_connection(seen: PerConnection, answer: tuple[str, str]) -> None:
    assert row(findings(requests=seen), "requests") == answer


@pytest.mark.parametrize(
    ("drop", "says", "style"),
    [
        (Drop(108), "still arrives after 108 s", "good"),
        (Drop(30, 60, "silence"), "after 60 s of silence is not acknowledged any more", "bad"),
        (Drop(30, 60, "reset"), "after 60 s of silence is reset", "bad"),
        (Drop(), "no connection was silent for long enough", ""),
    ],
)
def test_the_path_forgets_or_does_not(drop: Drop, says: str, style: str) -> None:
    text, found = row(findings(drop=drop), "the path")

    assert says in text
    assert found == style


def test_a_server_that_is_quicker_than_every_age_leaves_the_path_untried() -> None:
    assert "before it could be used again" in row(findings(drop=Drop(), idle=Idle(5, 5)), "the path")[0]


@pytest.mark.parametrize(
    ("seen", "says", "style"),
    [
        (Resumption(True, 5, 5, 0.004, 0.002, 7200), "5 of 5 handshakes resumed; 2.00 ms instead of 4.00 ms", "good"),
        (Resumption(True, 5, 2, 0.004, 0.002, None), "2 of 5", "warn"),
        (Resumption(True, 5, 0, 0.004, None, None), "0 of 5 handshakes resumed", "bad"),
        (Resumption(False, 0, 0, 0.004, None, None), "none: every new connection pays", "warn"),
    ],
)
def test_tickets_and_their_use(seen: Resumption, says: str, style: str) -> None:
    text, found = row(findings(resumption=seen), "TLS tickets")

    assert text.startswith(says)
    assert found == style


def test_stalls_acknowledgements_versions_addresses_and_troubles_have_rows() -> None:
    found = replace(
        MEASURED,
        acknowledged=Acknowledged(0.0001, None, 0.001, None),
        http10=Http10(200, "close", False),
        addresses=(AddressSeen("::1", 0.001, 0.002, 0.003, 204), AddressSeen("10.0.0.1", error="refused")),
        troubles=("HTTP/1.0: no answer",),
    )
    rows = report.rows_of(found)

    assert row(found, "delayed ACKs")[1] == "bad"
    quick = replace(found, stalls=Stalls(0.001, 0.001))
    assert row(quick, "delayed ACKs") == ("none on this side: 1.00 ms per kept request", "good")
    assert row(found, "who acknowledges")[1] == "good"
    assert row(found, "HTTP/1.0") == ("200; not kept, says close", "")
    assert ("address", "::1: 204, TCP 1.00 ms, TLS 2.00 ms, answer 3.00 ms", "") in rows
    assert ("address", "10.0.0.1: refused", "bad") in rows
    assert rows[-1] == ("trouble", "HTTP/1.0: no answer", "bad")


def test_no_line_of_the_report_is_wider_than_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    found = replace(MEASURED, idle=Idle(open_after=19))
    for columns in (40, 80, 120):
        monkeypatch.setattr(Terminal, "columns", columns)
        stream = io.StringIO()
        report.write(Terminal(stream), found)
        written = " ".join(stream.getvalue().split())

        assert "no idle connection was ended within 19 s; a larger --max sees more." in written
        assert columns == 40 or max(map(len, stream.getvalue().splitlines())) <= columns


@pytest.mark.parametrize("interrupted", [False, True])
def test_the_report_ends_with_the_limits_to_use(interrupted: bool) -> None:
    stream = io.StringIO()
    report.write(Terminal(stream), replace(MEASURED, waited=118.2, opened=15, asked=184, interrupted=interrupted))
    text = stream.getvalue()

    assert "Use Limits(idle_timeout=55): nothing ended earlier than holdfast's own 55 s." in text
    assert "httpx.Client(limits=httpx.Limits(keepalive_expiry=55))" in text
    assert "15 connections opened, 184 requests sent, 118 s" in text
    assert ("interrupted: what is known so far" in text) == interrupted
    assert FIRST.server in text

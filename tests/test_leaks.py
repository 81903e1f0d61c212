"""Connections that are not given back: who has them, for how long, and what to do about it."""

from __future__ import annotations

import sys
import time
import warnings
from typing import Any

import pytest

import holdfast
from holdfast import Client, Limits, Timeouts
from holdfast.pool.events import PoolEvent
from tests.conftest import FakeClock
from tests.server import Server
from tests.support import QUICK, eventually_swept, holding


def test_a_dropped_response_frees_its_slot_and_the_warning_names_the_borrowers_line(caplog: pytest.LogCaptureFixture) -> None:
    with Server(holding) as server, Client(limits=Limits(max_connections_per_origin=1), timeout=QUICK) as client:
        told: list[PoolEvent] = []
        client.on_event(told.append)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            client.get(server.url("/hold?key=secret"), stream=True)
            line = sys._getframe().f_lineno - 1
        assert (client.stats().leaks, client.stats().active) == (1, 0)
        assert client.get(server.url("/next")).text == "/next"

    assert [(w.category, w.filename, w.lineno) for w in caught] == [(ResourceWarning, __file__, line)]
    for text in (str(caught[0].message), caplog.text, next(e.text for e in told if e.kind == "leaked")):
        assert f"GET {server.url('/hold')}" in text
        assert f"{__file__}:{line}" in text
        assert "secret" not in text


def test_leak_after_logs_once_who_holds_a_connection_for_too_long(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    limits = Limits(leak_after=30)
    with Server(holding) as server, Server(holding) as other, Client(clock=clock, keeper=False, limits=limits) as client:
        held = client.get(server.url("/hold"), stream=True)
        line = sys._getframe().f_lineno - 1
        for seconds in (29, 2, 60):
            clock.advance(seconds)
            client.get(other.url())
            said = [r.getMessage() for r in caplog.records if "in use for" in r.getMessage()]
            assert len(said) == (seconds != 29)
        held.close()

    assert f"GET {server.url('/hold')} has been in use for 31.0 s (borrowed at {__file__}:{line})" in said[0]


def test_the_keeper_reports_what_is_held_for_too_long(caplog: pytest.LogCaptureFixture) -> None:
    with (
        Server(holding) as server,
        Client(limits=Limits(leak_after=0.05), timeout=QUICK) as client,
        client.get(server.url("/hold"), stream=True),
    ):
        eventually_swept(client, lambda: "has been in use for" in caplog.text, "the report")

    assert caplog.text.count(f"GET {server.url('/hold')} has been in use for") == 1


def test_a_pool_timeout_lists_the_holders_and_says_what_to_change() -> None:
    with Server(holding) as server, Client(limits=Limits(max_connections_per_origin=2), timeout=Timeouts(pool=0.05)) as client:
        told: list[PoolEvent] = []
        client.on_event(told.append)
        with client.get(server.url("/hold?secret"), stream=True) as one:
            first = sys._getframe().f_lineno - 1
            with client.get(server.url("/hold"), stream=True):
                second = sys._getframe().f_lineno - 1
                with pytest.raises(holdfast.PoolTimeout) as raised:
                    client.get(server.url("/other"))
            one.close()

    text = str(raised.value)
    assert "2 in use and 0 being opened of at most 2 per origin" in text
    assert f"GET {server.url('/hold')} (borrowed at {__file__}:{first})" in text
    assert f"(borrowed at {__file__}:{second})" in text
    assert "secret" not in text
    assert "Read streamed responses to their end or close them" in text
    assert [event.text for event in told if event.kind == "exhausted"] == [text]


@pytest.mark.usefixtures("no_leaks")
def test_noting_the_borrower_costs_a_few_microseconds_at_most() -> None:
    with Server(holding) as server, Client() as client:
        response = client.get(server.url("/hold"), stream=True)
        source: Any = response._source
        rounds = []
        for _ in range(20):
            began = time.process_time()
            for _ in range(200):
                source.note_borrower()
            rounds.append((time.process_time() - began) / 200)
        if sys.gettrace() is None:
            assert min(rounds) < 5e-6
        response.close()

"""What a client tells its callbacks and the log: each event in its order, and that a server is saturated."""

from __future__ import annotations

import contextlib
import logging
import threading

import pytest

import holdfast
from holdfast import Client, Limits, Timeouts
from holdfast.pool import events
from holdfast.pool.events import PoolEvent
from tests.conftest import FakeClock
from tests.server import Conn, Server, ok
from tests.support import QUICK, by_name, eventually, eventually_swept, holding, settled


class Heard:
    """The events so far. They come in the thread that caused them, so that the last may be a moment late."""

    def __init__(self) -> None:
        self.events: list[PoolEvent] = []
        self._wanted: list[str] = []

    def __call__(self, event: PoolEvent) -> None:
        self.events.append(event)

    @property
    def kinds(self) -> list[str]:
        """Each event's kind, and its reason if it has one."""
        return [f"{event.kind} {event.reason}".strip() for event in self.events]

    def next(self, *kinds: str) -> None:
        """Return when these have come, after what had come before."""
        self._wanted += kinds
        eventually(lambda: len(self.events) >= len(self._wanted), f"{kinds} after {self.kinds}")
        assert self.kinds == self._wanted


def test_events_come_in_the_order_in_which_things_happened() -> None:
    heard = Heard()
    with Server([holding, holding, holding]) as server:
        client = Client(limits=Limits(max_connections_per_origin=1), timeout=QUICK)
        end = client.on_event(heard)
        client.get(server.url("/1"))
        heard.next("opened")
        client.get(server.url("/close"))
        heard.next("reused")
        server.wait_idle()
        client.get(server.url("/3"))
        heard.next("closed stale", "opened")
        with client.get(server.url("/hold"), stream=True), pytest.raises(holdfast.PoolTimeout):
            client.get(server.url("/4"), timeout=Timeouts(pool=0.01))
        heard.next("reused", "exhausted", "closed broken")
        client.get(server.url("/5"))
        heard.next("opened")
        end()
        client.close()
    heard.next()

    assert {event.origin for event in heard.events} == {f"http://127.0.0.1:{server.port}"}
    assert all(event.seconds is not None for event in heard.events if event.kind in ("reused", "exhausted", "closed"))


def test_a_request_sent_again_and_a_wait_are_events_too() -> None:
    def rude(conn: Conn) -> None:
        """Takes the second request and closes without a word."""
        conn.expect_request()
        conn.send(ok())
        conn.expect_request()

    heard = Heard()
    limits = Limits(max_connections_per_origin=1)
    with Server([rude, holding, holding]) as server, Client(limits=limits, timeout=QUICK) as client:
        client.on_event(heard)
        client.get(server.url())
        heard.next("opened")
        client.get(server.url("/again"))
        eventually(lambda: len(heard.events) == 5, "five events")
        assert sorted(heard.kinds[1:]) == ["closed stale", "opened", "resent idempotent", "reused"]
        with client.get(server.url("/hold"), stream=True) as held:
            waiting = threading.Thread(target=client.get, args=(server.url("/waited"),))
            waiting.start()
            eventually(lambda: client.stats().total.waiting == 1, "somebody who waits")
            held.close()
            waiting.join(5)
        assert client.stats().total.waits == 1
        eventually(lambda: "waited" in heard.kinds, "the event")
        assert client.stats().total.resent == {"idempotent": 1}

    assert [event.seconds is not None for event in heard.events if event.kind == "waited"] == [True]


@pytest.mark.usefixtures("no_leaks")
def test_of_equal_callbacks_each_is_ended_by_its_own_function_and_once() -> None:
    class Kinds(list[str]):
        def __call__(self, event: PoolEvent) -> None:
            self.append(event.kind)

    ended, twice = Kinds(), Kinds()
    with Server([holding]) as server, Client(timeout=QUICK) as client:
        client.on_event(twice)
        end_ended, end_twice = client.on_event(ended), client.on_event(twice)
        end_ended()
        client.get(server.url("/1"))
        end_twice()
        end_twice()
        client.get(server.url("/2"))
    assert (ended, twice[:3]) == ([], ["opened", "opened", "reused"])


def test_a_callback_that_raises_is_logged_and_harms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def broken(event: PoolEvent) -> None:
        raise RuntimeError("not my day")

    heard = Heard()
    with Server(holding) as server, Client(timeout=QUICK) as client:
        client.on_event(broken)
        client.on_event(heard)
        for expected in ("opened", "reused", "reused"):
            client.get(server.url())
            heard.next(expected)
        assert settled(client).idle == 1
        assert client.warm(server.url(), 2) == 2
        heard.next("opened", "opened")
        with client.get(server.url("/hold"), stream=True):
            pass
        heard.next("reused", "closed broken")
    assert caplog.text.count("RuntimeError: not my day") >= len(heard.events)
    assert all(record.name == "holdfast.pool" for record in caplog.records)


def test_a_callback_may_use_the_client_itself() -> None:
    first = threading.Lock()  # let go by nobody
    answered = threading.Event()
    asked: list[int] = []

    with Server(holding) as server, Client(timeout=QUICK) as client:

        def curious(event: PoolEvent) -> None:
            assert repr(client.stats())
            if event.kind == "opened" and first.acquire(blocking=False):
                asked.append(client.get(server.url("/from/the/callback")).status_code)
                answered.set()

        client.on_event(curious)
        assert client.get(server.url()).text == "/"
        assert answered.wait(5)
    assert asked == [200]


# -- saturation --------------------------------------------------------------------------------------------------------


def test_saturation_is_told_after_thirty_seconds_and_recovery_once(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    limits = Limits(max_connections_per_origin=5)
    with Server(holding) as server, Server(holding) as other, Client(clock=clock, keeper=False, limits=limits) as client:
        told: list[PoolEvent] = []
        client.on_event(lambda event: told.append(event) if event.kind in ("saturated", "recovered") else None)

        def after(seconds: float) -> list[str]:
            clock.advance(seconds)
            client.get(other.url())
            return [event.kind for event in told]

        with contextlib.ExitStack() as stack:
            for _ in range(5):
                stack.enter_context(client.get(server.url("/hold"), stream=True))
            assert after(1) == []
            assert after(29) == []
            assert after(1) == ["saturated"]
            assert after(300) == ["saturated"]
            assert by_name(client, server).utilisation == 1
        assert after(1) == ["saturated", "recovered"]
        assert after(300) == ["saturated", "recovered"]

    assert told[0].origin == f"http://127.0.0.1:{server.port}"
    advice = "raise max_connections_per_origin (now 5), or use fewer threads; see client.advise()"
    assert advice in told[0].text
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(said) == 1
    assert advice in said[0]


def test_the_keeper_watches_for_saturation_while_nobody_gives_anything_back() -> None:
    """What hangs is what an alert is for."""
    with Server(holding) as server, Client(limits=Limits(max_connections_per_origin=1), timeout=QUICK) as client:
        heard = Heard()
        client.on_event(heard)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(events, "SATURATED_AFTER_SECONDS", 0.05)
            with client.get(server.url("/hold"), stream=True):
                eventually_swept(client, lambda: len(heard.events) >= 2, "the event")
                assert heard.kinds == ["opened", "saturated"]

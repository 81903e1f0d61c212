"""EventSource: a stream over many connections, what each ending means, and how it is closed."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import holdfast
from holdfast import Client, EventSource
from tests.server import Conn, Script, Server, head, ok, redirect, response
from tests.support import QUICK, eventually, free_port

STREAM = "Content-Type: text/event-stream"
OPENED = head(200, STREAM, "Transfer-Encoding: chunked", reason="OK")


def chunk(data: bytes) -> bytes:
    """Bytes as one chunk."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def sends(*blocks: bytes, whole: bool = True) -> Script:
    """A connection that answers one request by these blocks, and ends the body, or breaks it off."""

    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(OPENED, *(chunk(block) for block in blocks), b"0\r\n\r\n" if whole else b"")

    return script


def says(answer: bytes) -> Script:
    """A connection that answers one request by that."""

    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(answer)

    return script


def falls(conn: Conn) -> None:
    """A connection that takes the request and ends."""
    conn.expect_request()


NO_MORE = says(response(204))


def never(seconds: float) -> None:
    """A pause where there must be none."""
    raise AssertionError(f"a pause of {seconds} s")


@pytest.fixture
def client() -> Iterator[Client]:
    with Client(timeout=QUICK, retries=0) as made:
        yield made


def heard(client: Client, server: Server, **settings: Any) -> tuple[list[str], list[float], EventSource]:
    """The data of all events, and the pauses between the connections."""
    pauses: list[float] = []
    with client.events(server.url("/events"), sleep=pauses.append, **settings) as source:
        return [event.data for event in source], pauses, source


# -- going on ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_leaks")
def test_a_stream_goes_on_behind_the_last_event_after_an_end_and_after_a_loss(client: Client) -> None:
    scripts = [
        sends(b"id: 1\ndata: a\n\n", b"id: 2\ndata: b\n\n"),
        sends(b"id: 3\ndata: c\n\nid: 4\n\nid: 5\ndata: cut", whole=False),
        sends(b"data: d\n\n"),
        sends(b"id: 9\n\n"),
        NO_MORE,
    ]
    with Server(scripts) as server:
        data, pauses, source = heard(client, server, params={"q": "x"})
        requests = server.requests

    assert data == ["a", "b", "c", "d"]
    assert [request.get("Last-Event-ID", "none") for request in requests] == ["none", "2", "4", "4", "9"]
    assert {(r.method, r.target, r.get("Accept"), r.get("Cache-Control")) for r in requests} == {
        ("GET", "/events?q=x", "text/event-stream", "no-cache")
    }
    assert pauses == [3.0] * 4
    assert (source.connections, source.last_event_id) == (4, "9")


def test_the_server_says_how_long_to_wait_within_bounds(client: Client) -> None:
    scripts = [sends(b"retry: 250\n\n"), sends(b"data: 1\n\n"), sends(b"retry: 0\n"), sends(b"retry: 99999999999999\n"), NO_MORE]
    with Server(scripts) as server:
        data, pauses, _ = heard(client, server, pause=7.0)

    assert data == ["1"]
    assert pauses == [0.25, 0.25, 0.1, 60.0]


def test_an_id_from_before_is_sent_at_once_and_headers_may_be_given(client: Client) -> None:
    with Server([sends(b"data: 1\n\n"), NO_MORE]) as server:
        heard(client, server, last_event_id="☃ 7", headers={"accept": "*/*", "X-Mine": "y"})
        first = server.requests[0]

    assert first.get("Last-Event-ID").encode("latin-1").decode() == "☃ 7"
    assert (first.get_all("Accept"), first.get("X-Mine")) == (["*/*"], "y")


def test_failures_after_a_first_connection_double_the_pause_and_one_that_comes_about_ends_that(client: Client) -> None:
    scripts = [sends(b"data: 1\n\n"), falls, falls, falls, sends(b"data: 2\n\n"), falls, NO_MORE]
    with Server(scripts) as server:
        data, pauses, source = heard(client, server, pause=10.0)

    assert data == ["1", "2"]
    # holdfast itself sends a GET that a fresh connection lost once more, so two connections make a failed attempt
    assert pauses == [10.0, 20.0, 10.0]
    assert source.connections == 2


def test_after_so_many_failures_in_a_row_the_last_is_raised(client: Client) -> None:
    with Server(sends(b"id: 5\ndata: 1\n\n")) as server:
        url = server.url()
        pauses: list[float] = []

        def pause(seconds: float) -> None:
            server.stop_listening()
            pauses.append(seconds)

        source = client.events(url, max_attempts=2, pause=1.0, sleep=pause)
        events = iter(source)
        assert next(events).data == "1"
        with pytest.raises(holdfast.ConnectionError, match="cannot connect to"):
            next(events)

    assert pauses == [1.0, 2.0, 4.0]
    assert source.last_event_id == "5"


# -- what is no loss ---------------------------------------------------------------------------------------------------


def test_the_first_connection_is_asked_for_once(client: Client) -> None:
    with pytest.raises(holdfast.ConnectionError):
        next(iter(client.events(f"http://127.0.0.1:{free_port()}/", sleep=never)))


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        (response(404, b"why not"), holdfast.HTTPError, "404 Client Error"),
        (response(503, b"why not"), holdfast.HTTPError, "503 Server Error"),
        (response(202, b"why not", STREAM), holdfast.EventStreamError, "answered 202 instead of an event stream"),
        (ok(b"why not", "Content-Type: text/html"), holdfast.EventStreamError, "its Content-Type is 'text/html'"),
    ],
)
@pytest.mark.usefixtures("no_leaks")
def test_another_answer_is_an_error_at_once_and_shows_what_was_said(
    client: Client, answer: bytes, error: type[holdfast.RequestException], said: str
) -> None:
    with Server([sends(b"data: 1\n\n"), says(answer)]) as server:
        events = iter(client.events(server.url(), sleep=lambda _: None))
        assert next(events).data == "1"
        with pytest.raises(error, match=said) as caught:
            next(events)

        assert client.stats().total.active == 0
        assert caught.value.response.text == "why not"


def test_a_clients_retries_ask_again_before_an_answer_counts() -> None:
    busy = says(response(503, b"", "Retry-After: 0", "Connection: close"))
    with Server([busy, sends(b"data: 1\n\n"), busy, NO_MORE]) as server, Client(timeout=QUICK, retries=1) as client:
        assert heard(client, server)[0] == ["1"]


def test_redirects_are_followed_anew_for_each_connection(client: Client) -> None:
    def script(conn: Conn) -> None:
        for request in conn.read_requests():
            if request.target == "/events":
                conn.send(redirect(f"/{len(conn.server.requests)}"))
            else:
                conn.send(OPENED, chunk(b"data: x\n\n"), b"0\r\n\r\n") if request.target == "/1" else conn.send(response(204))

    with Server(script) as server:
        assert heard(client, server)[0] == ["x"]
        assert [request.target for request in server.requests] == ["/events", "/1", "/events", "/3"]


def test_a_total_that_is_used_up_ends_it(client: Client) -> None:
    go = threading.Event()

    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(OPENED, chunk(b"data: 1\n\n"))
        conn.wait(go)

    with Server(script) as server:
        events = iter(client.events(server.url(), timeout=holdfast.Timeouts(total=0.3), sleep=never))
        assert next(events).data == "1"
        with pytest.raises(holdfast.TotalTimeout):
            next(events)
        go.set()


def test_silence_beyond_the_read_timeout_counts_as_a_loss(client: Client) -> None:
    go = threading.Event()

    def silent(conn: Conn) -> None:
        conn.expect_request()
        conn.send(OPENED, chunk(b"id: 1\ndata: 1\n\n"))
        conn.wait(go)

    with Server([silent, NO_MORE]) as server:
        data, pauses, _ = heard(client, server, timeout=holdfast.Timeouts(read=0.1))
        go.set()

        assert (data, pauses) == (["1"], [3.0])
        assert server.requests[1].get("Last-Event-ID") == "1"


def test_an_event_too_large_ends_it(client: Client) -> None:
    with Server(sends(b"data: 1\n\ndata: " + bytes(100))) as server:
        events = iter(client.events(server.url(), max_event_bytes=50, sleep=never))
        assert next(events).data == "1"
        with pytest.raises(holdfast.EventTooLarge):
            next(events)


def test_an_id_from_before_that_is_no_text_ends_it_with_words(client: Client) -> None:
    with pytest.raises(holdfast.EventStreamError, match="cannot be taken up again behind the event with the id"):
        next(iter(client.events("http://127.0.0.1:1/", last_event_id="\ud800", sleep=never)))


@pytest.mark.parametrize("wrong", ["a\x01b", "\x7f", "b "])
def test_an_id_that_no_field_can_carry_ends_it_with_words(client: Client, wrong: str) -> None:
    with Server(sends(f"id: {wrong}\ndata: 1\n\n".encode())) as server:
        events = iter(client.events(server.url(), sleep=lambda _: None))
        assert next(events).id == wrong
        with pytest.raises(holdfast.EventStreamError, match="cannot be taken up again behind the event with the id") as caught:
            next(events)
    assert isinstance(caught.value.__cause__, holdfast.InvalidHeader)


@pytest.mark.parametrize("wrong", [{"max_attempts": -1}, {"pause": -1.0}, {"max_pause": float("nan")}])
def test_numbers_that_make_no_sense_are_refused_at_once(client: Client, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be a number, and not negative"):
        client.events("http://127.0.0.1:1/", **wrong)


# -- the end -----------------------------------------------------------------------------------------------------------


def waits(conn: Conn) -> None:
    """A stream that says one thing and stays open."""
    conn.expect_request()
    conn.send(OPENED, chunk(b"id: 1\ndata: 1\n\n"))
    conn.wait_closed()


@pytest.mark.usefixtures("no_leaks")
def test_leaving_the_loop_closes_the_connection_and_another_loop_goes_on(client: Client) -> None:
    with Server([waits, sends(b"data: 2\n\n"), NO_MORE]) as server:
        source = client.events(server.url(), sleep=lambda _: None)
        for event in source:
            assert event.data == "1"
            break
        gc.disable()  # by reference count alone
        assert server.conn(0).wait_closed() in ("fin", "rst")
        gc.enable()

        assert [event.data for event in source] == ["2"]
        assert server.requests[1].get("Last-Event-ID") == "1"


@pytest.mark.usefixtures("no_leaks")
def test_closing_from_another_thread_ends_a_read_that_is_under_way(client: Client) -> None:
    found: list[str] = []
    with Server(waits) as server:
        source = client.events(server.url(), sleep=never)
        reader = threading.Thread(target=lambda: found.extend(event.data for event in source))
        reader.start()
        eventually(lambda: found or source.last_event_id == "1", "the first event")
        source.close()
        source.close()
        reader.join(5)

        assert not reader.is_alive()
        assert found == ["1"]
        assert list(source) == []
        assert client.stats().total.active == 0


def test_closing_ends_the_pause(client: Client) -> None:
    with Server(sends(b"data: 1\n\n")) as server:
        source = client.events(server.url(), pause=60.0)
        reader = threading.Thread(target=lambda: list(source))
        reader.start()
        eventually(lambda: server.connections and client.stats().total.active == 0 and source.connections, "the pause")
        source.close()
        reader.join(5)

    assert not reader.is_alive()


@pytest.mark.usefixtures("no_leaks")
@pytest.mark.parametrize("moment", ["before the answer", "behind an event"])
def test_closing_between_two_steps_ends_it(client: Client, moment: str) -> None:
    closing: list[Callable[[], None]] = []

    def script(conn: Conn) -> None:
        conn.expect_request()
        if moment == "before the answer":
            closing[0]()
        conn.send(OPENED, chunk(b"data: 1\n\ndata: 2\n\n"), b"0\r\n\r\n")

    with Server(script) as server:
        source = client.events(server.url(), sleep=never)
        closing.append(source.close)
        events = iter(source)
        if moment == "behind an event":
            assert next(events).data == "1"
            source.close()
        assert next(events, None) is None
        assert client.stats().total.active == 0


def test_a_client_that_is_closed_ends_it_by_an_error(client: Client) -> None:
    with Server(sends(b"data: 1\n\n")) as server:
        events = iter(client.events(server.url(), sleep=lambda _: None))
        assert next(events).data == "1"
        client.close()
        with pytest.raises(holdfast.ClientClosed):
            next(events)


def test_a_session_has_events_too() -> None:
    with Server([sends(b"data: 1\n\n"), NO_MORE]) as server, holdfast.Session() as session:
        assert [event.data for event in session.events(server.url(), sleep=lambda _: None, timeout=QUICK)] == ["1"]

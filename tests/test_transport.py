"""The body of a response and the lease behind it: who may close what, and when."""

from __future__ import annotations

import pickle
import threading
import time
from typing import Any

import h11
import pytest

import holdfast
from holdfast import Client, Request, Timeouts, transport
from holdfast.exceptions import RemoteProtocolError
from holdfast.message.content import make_body
from holdfast.pool.learning import keep_for
from holdfast.reasons import Delivery, ExchangeFailed
from holdfast.wire.telling import Outgoing
from tests.chaos import switching_every
from tests.conftest import Tls
from tests.server import Conn, Server, echo, ok


def stall(conn: Conn) -> None:
    """One byte of ten, and then nothing."""
    conn.expect_request()
    conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx")
    conn.wait_closed()


@pytest.mark.parametrize("secure", [False, True])
def test_closing_from_another_thread_ends_a_read_at_once(tls: Tls, no_leaks: None, secure: bool) -> None:
    outcome: list[BaseException] = []
    reading = threading.Event()

    def read(answer: holdfast.Response) -> None:
        try:
            for _ in answer.iter_content(1):
                reading.set()
        except holdfast.RequestException as error:
            outcome.append(error)

    context = tls.server_context() if secure else None
    with Server([stall, echo], tls=context) as server, Client(verify=tls.ca_path, timeout=30) as client:
        answer = client.get(server.url("/"), stream=True)
        thread = threading.Thread(target=read, args=(answer,))
        thread.start()
        assert reading.wait(5)
        started = time.monotonic()
        answer.close()
        thread.join(5)

        assert time.monotonic() - started < 1
        assert isinstance(outcome[0], holdfast.StreamConsumedError)
        assert (client.stats().active, client.stats().leaks) == (0, 0)
        assert client.get(server.url("/")).ok


def test_closing_while_another_thread_reads_never_yields_a_cut_body_nor_a_shared_connection(no_leaks: None) -> None:
    """There used to be one: the closer drained the rest, and the reader took the end it was then told for the body's."""
    size = 60_000
    body = bytes(range(250)) * (size // 250)

    def serve(conn: Conn) -> None:
        for _ in conn.read_requests():
            conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            for at in range(0, size, 1000):
                conn.send(body[at : at + 1000])

    wrong: list[object] = []

    def read(answer: holdfast.Response) -> None:
        try:
            if b"".join(answer.iter_content(None)) != body:
                wrong.append("cut")
        except holdfast.RequestException:
            pass  # it was closed in the middle, and says so
        except Exception as error:  # noqa: BLE001 - anything else is what must not happen
            wrong.append(error)

    with Server(serve) as server, Client() as client:
        for _ in range(150):
            answer = client.get(server.url("/"), stream=True)
            thread = threading.Thread(target=read, args=(answer,))
            thread.start()
            answer.close()
            thread.join()
        stats = client.stats()

    assert wrong == []
    assert (stats.active, stats.leaks) == (0, 0)


def test_the_cause_of_a_timeout_is_kept(no_leaks: None) -> None:
    def silent(conn: Conn) -> None:
        conn.expect_request()
        conn.wait_closed()

    with Server(silent) as server, Client(timeout=Timeouts(read=0.02)) as client, pytest.raises(holdfast.ReadTimeout) as raised:
        client.get(server.url("/"))

    assert isinstance(raised.value.__cause__, TimeoutError)
    assert raised.value.request.url == server.url("/")


@pytest.mark.parametrize(("hint", "kept"), [(0, 0), (1, 0.75), (2, 1.5), (5, 4), (60, 54), (600, 540)])
def test_a_hint_is_kept_with_a_margin_that_leaves_even_one_second_usable(hint: float, kept: float) -> None:
    assert keep_for(hint) == pytest.approx(kept)


def test_threads_that_begin_together_open_no_more_connections_than_there_are_threads(tls: Tls, no_leaks: None) -> None:
    """There used to be three times as many: one served by a returned connection left its dial behind, the next began another."""
    barrier = threading.Barrier(8)
    with Server(echo, tls=tls.server_context()) as server, Client(verify=tls.ca_path) as client:

        def work() -> None:
            barrier.wait()
            for _ in range(10):
                client.get(server.url("/"))

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert client.stats().created <= 8


def test_a_body_whose_rest_was_drained_by_close_has_no_end_for_its_reader(no_leaks: None) -> None:
    def in_two(conn: Conn) -> None:
        conn.expect_request()
        conn.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n")
        conn.wait_closed()

    with Server(in_two) as server, Client() as client:
        source = client.get(server.url("/"), stream=True)._source
        assert source is not None
        assert source.read() == b"ab"
        source.close()
        with pytest.raises(holdfast.StreamConsumedError):
            source.read()

        assert client.stats().idle == 1


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_a_response_without_a_body_has_its_own_header_fields_whoever_uses_the_connection_next(
    method: str, no_leaks: None
) -> None:
    """It used to give its connection back first and look at what the connection had received afterwards."""

    def reflect(conn: Conn) -> None:
        for request in conn.read_requests():
            fields = f"X-Nonce: {request.get('X-Nonce')}\r\nSet-Cookie: nonce={request.get('X-Nonce')}\r\n"
            conn.send(f"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{fields}\r\n".encode())

    wrong: list[tuple[str, str]] = []
    limits = holdfast.Limits(max_connections_per_origin=2)

    def work(client: Client, url: str, number: int) -> None:
        for turn in range(40):
            nonce = f"{number}-{turn}"
            answer = client.request(method, url, headers={"X-Nonce": nonce})
            got = answer.headers["X-Nonce"]
            if (got, answer.cookies["nonce"]) != (nonce, nonce):
                wrong.append((nonce, got))

    with switching_every(1e-6), Server(reflect) as server, Client(limits=limits) as client:
        threads = [threading.Thread(target=work, args=(client, server.url("/"), number)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert wrong == []


def test_a_body_of_known_length_gives_its_connection_back_with_its_last_byte(no_leaks: None) -> None:
    """And not when the reader asks once more and is told that there is no more: many never do."""
    with Server(echo) as server, Client() as client:
        answer = client.get(server.url("/"), stream=True)
        size = int(answer.headers["Content-Length"])

        assert answer.raw.read(size)
        assert (client.stats().active, client.stats().idle) == (0, 1)


def test_what_may_have_been_executed_before_the_server_was_gone_is_not_told_as_never_sent(no_leaks: None) -> None:
    """A DELETE is executed, its connection is lost, and when it is to be sent again nobody listens any more."""

    def first_then_lost(conn: Conn) -> None:
        conn.expect_request()
        conn.send(ok())
        conn.expect_request()
        server.stop_listening()
        conn.rst()

    with Server(first_then_lost) as server, Client() as client:
        client.get(server.url("/"))
        with pytest.raises(holdfast.ConnectionLost, match=r"cannot be sent again: .*may have executed it") as caught:
            client.delete(server.url("/"))

    assert caught.value.may_have_executed
    assert not caught.value.never_connected
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("delivery", "may_have", "says"),
    [
        (Delivery.NOT_DELIVERED, False, "x. The server has not seen the request."),
        (Delivery.UNKNOWN, True, "x. The server may have executed the request; give it"),
        (Delivery.ANSWERED, True, "x"),
    ],
)
def test_what_came_and_was_no_answer_says_whether_its_request_may_have_been_executed(
    delivery: Delivery, may_have: bool, says: str
) -> None:
    request = Request("POST", "http://a.example/", data=b"x").prepare()
    lease: Any = None  # it has no say in it

    error = transport._explained(ExchangeFailed(RemoteProtocolError("x"), delivery), request, lease)

    assert isinstance(error, RemoteProtocolError)
    assert error.may_have_executed is may_have
    assert str(error).startswith(f"POST http://a.example/: {says}")
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.may_have_executed, str(copy)) == (may_have, str(error))


def test_a_hook_may_ask_again_over_the_connection_that_brought_all_of_its_response(no_leaks: None) -> None:
    asked: list[str] = []

    def again(response: holdfast.Response, **_: object) -> None:
        asked.append(client.get(response.url).text)

    limits = holdfast.Limits(max_connections_per_origin=1)
    with Server(echo) as server, Client(limits=limits, timeout=Timeouts(pool=5)) as client:
        first = client.get(server.url("/a"), hooks={"response": again})

        assert first.content
        assert len(asked) == 1
        assert server.connections == 1
        assert client.stats().idle == 1


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The heads that were made, in order."""
    heads: list[bytes] = []

    class Noted(Outgoing):
        def __init__(self, event: h11.Request) -> None:
            super().__init__(event)
            heads.append(self.head)

    monkeypatch.setattr(transport, "Outgoing", Noted)
    return heads


def test_a_head_is_made_once_for_all_requests_that_say_the_same(made: list[bytes]) -> None:
    with Server(echo) as server, Client() as client:
        for number in range(5):
            client.post(server.url("/"), json={"number": number}, headers={"X-Mine": "1"})
        bodies = [request.body for request in server.requests]

    assert bodies == [b'{"number": %d}' % number for number in range(5)]
    assert len(made) == 1


def test_requests_that_differ_in_anything_have_heads_of_their_own(made: list[bytes]) -> None:
    asked: list[dict[str, Any]] = [
        {"json": 1},
        {"json": 22},
        {"data": b"1"},
        {"json": 1, "headers": {"X-Mine": "1"}},
        {"json": 1, "headers": {"X-Mine": "2"}},
        {"json": 1, "headers": {"x-mine": "2"}},
        {"json": 1, "headers": {"Accept": None}},
        {"json": 1, "headers": {"Host": "another.test"}},
        {"json": 1, "params": {"a": "b"}},
        {"json": 1, "auth": ("user", "secret")},
        {"data": iter([b"1"])},
    ]
    with Server(echo) as server, Client() as client:
        for each in asked:
            client.post(server.url("/"), **each)
        client.put(server.url("/"), json=1)
        seen = [(request.method, request.target, tuple(request.headers)) for request in server.requests]

    assert len(set(seen)) == len(seen) == len(set(made)) == len(made) == len(asked) + 1


def test_no_more_heads_are_kept_than_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_HEADS", 6)
    with Server(echo) as server, Client() as client:
        for number in range(10):
            client.get(server.url(f"/{number}"))
            assert len(client._transport._heads) <= 6
        assert [request.target for request in server.requests] == [f"/{number}" for number in range(10)]


def test_framing_is_checked_each_time_though_the_head_is_known(made: list[bytes]) -> None:
    with Server(echo) as server, Client() as client:
        client.post(server.url("/"), data=b"12345", headers={"Content-Length": "5"})
        with pytest.raises(holdfast.InvalidRequest, match="says 5 bytes, the body has 3"):
            client.post(server.url("/"), data=b"123", headers={"Content-Length": "5"})
        request = client.prepare_request(holdfast.Request("POST", server.url("/"), data=b"12345"))
        request.payload = make_body(b"123")
        with pytest.raises(holdfast.InvalidRequest, match="says 5 bytes, the body has 3"):
            client.send(request)

    assert len(server.requests) == 1

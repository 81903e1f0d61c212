"""Bytes that nobody asked for are never handed to a request: not glued, not split, not late, not over TLS.

The peer of every test answers its first request with something more than the answer. The next request must get its
own answer, on another connection. Each answer carries the nonce of the request it was made for.
"""

from __future__ import annotations

import select
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import holdfast
from tests.conftest import Tls
from tests.server import Conn, Server, chunked, echo, head, ok, response

WAIT = 5.0
POISON = b"HTTP/1.1 200 OK\r\nX-Nonce: no\r\nContent-Length: 0\r\n\r\n"
KINDS = ["http", "https"]

Make = Callable[..., Server]


@pytest.fixture(params=KINDS)
def serve(request: pytest.FixtureRequest, tls: Tls) -> Make:
    """Server over plain TCP and over TLS."""
    return lambda script: Server(script, tls=tls.server_context() if request.param == "https" else None)


@pytest.fixture
def client(tls: Tls) -> Iterator[holdfast.Client]:
    with holdfast.Client(verify=tls.ca_path, timeout=WAIT, trust_env=False) as it:
        yield it


def idle_streams(client: holdfast.Client) -> list[Any]:
    return [entry.resource.stream for entry in client._transport.pool._state.idle]


def settle(client: holdfast.Client) -> None:
    """Until what was sent behind the answer has reached the connection it was sent on, if that is still open."""
    for stream in idle_streams(client):
        if not (stream.tls is not None and stream.tls.pending()):
            assert select.select([stream], [], [], WAIT)[0], "nothing arrived"


def own_answer(client: holdfast.Client, server: Server, nonce: str, method: str = "GET") -> int:
    """Ask for an answer of one's own; the number of the connection it came on."""
    answer = client.request(method, server.url("/" + nonce), headers={"X-Nonce": nonce})
    assert answer.headers.get("X-Nonce") == nonce
    connection: int = answer.json()["connection"]
    return connection


def after_poison(client: holdfast.Client, server: Server, first: str = "GET") -> None:
    """One answer with something behind it, then a request that must get its own, on another connection."""
    before = server.connections
    answer = client.request(first, server.url("/first"))
    assert "X-Nonce" not in answer.headers
    settle(client)
    assert own_answer(client, server, "second", "POST") == before + 1


def even_connections(poisonous: Callable[[Conn], None]) -> Callable[[Conn], None]:
    return lambda conn: poisonous(conn) if conn.number % 2 == 0 else echo(conn)


ANSWERS = {
    "length": ("GET", ok(b"one")),
    "chunked": ("GET", chunked(b"one")),
    "empty": ("GET", ok()),
    "204": ("GET", head(204)),
    "304": ("GET", head(304, "Content-Length: 6")),
    "HEAD": ("HEAD", head(200, "Content-Length: 6")),
    "1.0 kept": ("GET", response(200, b"one", "Connection: keep-alive", version="1.0")),
}
SURPLUS = {
    "a response": POISON,
    "half a response": POISON[:20],
    "CRLF": b"\r\n",
    "one byte": b"x",
    "a body": b"poison",
    "408": response(408, b"", "Connection: close"),
}


@pytest.mark.parametrize("surplus", SURPLUS.values(), ids=SURPLUS.keys())
@pytest.mark.parametrize(("method", "answer"), ANSWERS.values(), ids=ANSWERS.keys())
def test_glued_to_the_answer(serve: Make, client: holdfast.Client, method: str, answer: bytes, surplus: bytes) -> None:
    def glue(conn: Conn) -> None:
        conn.expect_request()
        conn.send(answer + surplus)
        conn.wait_closed()

    with serve(even_connections(glue)) as server:
        after_poison(client, server, method)


@pytest.mark.parametrize(
    ("serve", "name"),
    [("http", name) for name in ANSWERS] + [("https", name) for name in ("length", "HEAD")],
    indirect=["serve"],
)
def test_split_at_every_byte(serve: Make, client: holdfast.Client, name: str) -> None:
    method, answer = ANSWERS[name]
    glued = answer + POISON
    cuts = iter(range(1, len(glued)))

    def split(conn: Conn) -> None:
        conn.expect_request()
        cut = next(cuts)
        conn.send(glued[:cut], glued[cut:])
        conn.wait_closed()

    with serve(even_connections(split)) as server:
        for _ in range(1, len(glued)):
            after_poison(client, server, method)
            client.close_idle()


@pytest.mark.parametrize("surplus", SURPLUS.values(), ids=SURPLUS.keys())
@pytest.mark.parametrize(("method", "answer"), [ANSWERS["length"], ANSWERS["204"], ANSWERS["HEAD"]])
def test_later_on_the_idle_connection(serve: Make, client: holdfast.Client, method: str, answer: bytes, surplus: bytes) -> None:
    now = threading.Event()

    def later(conn: Conn) -> None:
        conn.expect_request()
        conn.send(answer)
        conn.wait(now)
        conn.send(surplus)
        conn.wait_closed()

    with serve([later, echo]) as server:
        client.request(method, server.url("/first"))
        assert client.stats().idle == 1
        now.set()
        settle(client)
        for nonce in ("second", "third"):
            assert own_answer(client, server, nonce, "POST") == 1


@pytest.mark.usefixtures("no_leaks")
def test_glued_and_then_closed(serve: Make, client: holdfast.Client) -> None:
    def glue(conn: Conn) -> None:
        conn.expect_request()
        conn.send(ok(b"one") + POISON)

    with serve([glue, echo]) as server:
        assert client.get(server.url()).content == b"one"
        server.wait_idle()
        assert own_answer(client, server, "second", "POST") == 1


@pytest.mark.usefixtures("no_leaks")
def test_every_connection_of_a_poisoner_is_thrown_away(serve: Make, client: holdfast.Client) -> None:
    def glue(conn: Conn) -> None:
        request = conn.expect_request()
        conn.send(ok(request.get("X-Nonce").encode()) + POISON)
        conn.wait_closed()

    with serve(glue) as server:
        for i in range(20):
            assert client.get(server.url(), headers={"X-Nonce": str(i)}).text == str(i)

        assert server.connections == 20
        assert client.stats().closed == {"unsolicited": 20}


def test_a_streamed_answer_with_something_behind_it(serve: Make, client: holdfast.Client) -> None:
    def glue(conn: Conn) -> None:
        conn.expect_request()
        conn.send(ok(b"one" * 1000) + POISON)
        conn.wait_closed()

    with serve([glue, echo]) as server:
        with client.get(server.url(), stream=True) as answer:
            assert b"".join(answer.iter_content(7)) == b"one" * 1000
        assert own_answer(client, server, "second") == 1


def test_an_answer_closed_early_with_something_behind_it(serve: Make, client: holdfast.Client) -> None:
    def glue(conn: Conn) -> None:
        conn.expect_request()
        conn.send(ok(b"one" * 1000) + POISON)
        conn.wait_closed()

    with serve([glue, echo]) as server:
        client.get(server.url(), stream=True).close()
        assert own_answer(client, server, "second") == 1


@pytest.mark.usefixtures("no_leaks")
def test_poison_that_arrives_while_the_body_is_being_made(serve: Make, client: holdfast.Client) -> None:
    """The connection was probed, the request is not yet written: nothing that is here now can be its answer.

    The body is consumed, so the request cannot be sent again. It must fail, and say that nothing was sent.
    """
    now = threading.Event()

    def later(conn: Conn) -> None:
        conn.expect_request()
        conn.send(ok(b"one"))
        conn.wait(now)
        conn.send(POISON)
        conn.wait_closed()

    def body() -> Iterator[bytes]:
        now.set()
        assert select.select([stream], [], [], WAIT)[0]
        yield b"mine"

    with serve([later, echo]) as server:
        client.get(server.url())
        (stream,) = idle_streams(client)
        with pytest.raises(holdfast.ConnectionLost) as caught:
            client.post(server.url(), data=body())

        assert caught.value.may_have_executed is False
        assert len(server.requests) == 1
        assert own_answer(client, server, "second", "POST") == 1


@pytest.mark.parametrize("surplus", [POISON, head(100) + POISON, b"x"], ids=["response", "100 and response", "byte"])
def test_a_server_that_speaks_first_is_not_believed(serve: Make, client: holdfast.Client, surplus: bytes) -> None:
    """On a fresh connection, before the request is written."""
    spoken = threading.Event()

    def first(conn: Conn) -> None:
        conn.send(surplus)
        spoken.set()
        conn.wait_closed()

    def body() -> Iterator[bytes]:
        assert spoken.wait(WAIT)
        (entry,) = client._transport.pool._state.leased
        stream: Any = entry.resource.stream
        assert select.select([stream], [], [], WAIT)[0]
        yield b"mine"

    with serve(first) as server:
        with pytest.raises(holdfast.ConnectionError):
            client.post(server.url(), data=body())
        assert server.requests == []


def test_a_post_that_meets_the_late_body_of_a_head_says_that_it_may_have_been_executed(client: holdfast.Client) -> None:
    def late(conn: Conn) -> None:
        conn.expect_request()
        conn.send(head(200, "Content-Length: 6"))
        conn.expect_request()
        conn.send(b"poison", ok(b"the answer"))
        conn.wait_closed()

    with Server([late, echo]) as server:
        client.head(server.url("/first"))
        with pytest.raises(holdfast.exceptions.RemoteProtocolError, match=r"POST .*may have executed .*Idempotency-Key") as caught:
            client.post(server.url("/second"), data=b"x")

        assert caught.value.may_have_executed
        assert [request.target for request in server.requests] == ["/first", "/second"], "it was, and is not sent again"


def test_a_cancelled_request_leaves_its_answer_to_nobody(serve: Make, client: holdfast.Client) -> None:
    """Its answer comes after the client gave up: redis-py gave it to the next user."""
    now = threading.Event()

    def slow(conn: Conn) -> None:
        conn.expect_request()
        conn.wait(now)
        conn.send(POISON)
        conn.wait_closed()

    with serve([slow, echo]) as server:
        with pytest.raises(holdfast.ReadTimeout):
            client.get(server.url(), timeout=0.03)
        now.set()
        assert own_answer(client, server, "second") == 1


@pytest.mark.parametrize("boom", [KeyboardInterrupt, ValueError])
def test_an_interrupted_upload_leaves_its_answer_to_nobody(serve: Make, client: holdfast.Client, boom: type[BaseException]) -> None:
    def body() -> Iterator[bytes]:
        yield b"x" * 100
        raise boom

    with serve(even_connections(lambda conn: echo(conn))) as server:
        with pytest.raises(boom):
            client.post(server.url(), data=body())
        assert own_answer(client, server, "second") == 1
        assert [request.target for request in server.requests] == ["/second"]


@pytest.mark.usefixtures("no_leaks")
@pytest.mark.parametrize("threads", [8])
def test_many_threads_and_a_poisoner_now_and_then(serve: Make, client: holdfast.Client, threads: int) -> None:
    """Every answer carries its own request's nonce, whatever the others' connections have been through."""

    def now_and_then(conn: Conn) -> None:
        for count, request in enumerate(conn.read_requests()):
            answer = ok(b"mine", f"X-Nonce: {request.get('X-Nonce')}")
            if count == conn.number % 4:
                conn.send(answer + POISON)
                conn.wait_closed()
                return
            conn.send(answer)

    def work(worker: int) -> None:
        for i in range(25):
            nonce = f"{worker}-{i}"
            answer = client.get(server.url(), headers={"X-Nonce": nonce})
            got.append(answer.headers["X-Nonce"] == nonce and answer.content == b"mine")

    got: list[bool] = []
    with serve(now_and_then) as server:
        workers = [threading.Thread(target=work, args=(n,)) for n in range(threads)]
        for each in workers:
            each.start()
        for each in workers:
            each.join(WAIT * 4)

        assert got == [True] * 25 * threads
        client.close()

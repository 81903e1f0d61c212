"""What real servers do with a kept-alive connection, played by script, plain and over TLS.

No call is lost that need not be, no answer is another's, and nothing waits for what will not come.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import holdfast
from holdfast import Client, Limits, Timeouts, transport
from holdfast.auth import HTTPDigestAuth
from holdfast.pool import lasting
from holdfast.reasons import Discard
from holdfast.wire.reuse import FIN_PATIENCE_SECONDS
from holdfast.wire.stream import SocketStream
from tests.conftest import Tls
from tests.server import Conn, Received, Server, chunks, echo, echo_of, head, ok, response
from tests.support import eventually, in_parallel

pytestmark = pytest.mark.usefixtures("no_leaks")

SIZES = (1, 100, 300)  # KB of a refused body
PATIENT = Timeouts(connect=5, read=10, write=10)
linux = pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="Platform-specific: only Linux tells, and can be told")


@pytest.fixture(name="secure", params=[False, True], ids=["plain", "tls"])
def _secure(request: pytest.FixtureRequest, tls: Tls) -> Any:
    """The TLS context of a server, or None."""
    return tls.server_context() if request.param else None


@pytest.fixture(name="client")
def _client(tls: Tls) -> Iterator[Client]:
    with Client(verify=tls.ca_path, timeout=PATIENT, trust_env=False) as client:
        yield client


def closed(client: Client, reason: Discard) -> int:
    return client.stats().total.closed.get(reason.value, 0)


# -- the request behind a refused body --------------------------------------------------------------------------------


def takes_the_rest_for_a_request(conn: Conn) -> None:
    """http.server: answers from the head of a POST to /refuse, and reads its body as the next request."""
    while (line := conn.read_until(b"\n")) is not None:
        words = line.split()
        if len(words) != 3 or words[0] not in (b"GET", b"POST"):
            conn.send(response(501, b"I know no such method"))
            return
        fields = conn.read_until(b"\r\n\r\n") or b""
        if words[1] == b"/refuse":
            conn.send(response(404, b"/refuse"))
            continue
        for field in fields.split(b"\r\n"):
            name, _, value = field.partition(b": ")
            if name.lower() == b"content-length":
                conn.read_exactly(int(value))
        conn.send(ok(words[1]))


def drains_some_and_closes(conn: Conn) -> None:
    """gunicorn: 404, says keep-alive, reads up to 64 KB of the rest, and closes if there was more."""
    while (request := conn.read_head()) is not None:
        length = int(request.get("Content-Length") or 0)
        if request.target == "/refuse":
            conn.send(response(404, b"/refuse", "Connection: keep-alive"))
            conn.read_exactly(min(length, 65536))
            if length > 65536:
                return
        else:
            conn.read_exactly(length)
            conn.send(ok(request.target.encode(), "Connection: keep-alive"))


def waits_for_the_rest(conn: Conn) -> None:
    """rabbitmq: 405 from the head of a POST to /refuse, and then silence on this connection."""
    while (request := conn.read_head()) is not None:
        if request.target == "/refuse":
            conn.send(response(405, b"/refuse"))
            conn.wait_closed()
            return
        conn.read_body(request)
        conn.send(ok(request.target.encode()))


UNREAD = [takes_the_rest_for_a_request, drains_some_and_closes, waits_for_the_rest]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("script", UNREAD)
def test_the_request_behind_a_refused_body_is_neither_lost_nor_given_another_answer(
    client: Client, secure: Any, script: Callable[[Conn], None], size: int, method: str
) -> None:
    with Server(script, tls=secure) as server:
        for number in range(3):
            refused = client.post(server.url("/refuse"), data=b"x" * size * 1024)
            after = client.request(method, server.url(f"/{number}"), data=b"y" if method == "POST" else None)

            assert (refused.status_code, refused.text) in [(404, "/refuse"), (405, "/refuse")]
            assert (after.status_code, after.text) == (200, f"/{number}")
        assert closed(client, Discard.REFUSED) + closed(client, Discard.BROKEN) == 3


def test_a_body_that_holds_a_request_gets_no_answer_of_its_own(client: Client, secure: Any) -> None:
    """What a server leaves unread may be written by somebody who would like it to be answered."""
    with Server(takes_the_rest_for_a_request, tls=secure) as server:
        client.post(server.url("/refuse"), data=b"GET /stolen HTTP/1.1\r\nX: y\r\n\r\n")

        assert client.get(server.url("/mine")).text == "/mine"


def answers(*statuses: int) -> Callable[[Conn], None]:
    """Reads every request, and answers with these statuses in turn."""

    def script(conn: Conn) -> None:
        for status, _ in zip(statuses, conn.read_requests(), strict=False):
            conn.send(response(status, b"said"))
        conn.wait_closed()

    return script


@pytest.mark.parametrize("status", [200, 201, 303, 422])
def test_a_status_that_says_that_the_body_was_read_keeps_the_connection(client: Client, secure: Any, status: int) -> None:
    with Server([answers(status, status)], tls=secure) as server:
        for _ in range(2):
            assert client.post(server.url(), data=b"body", allow_redirects=False).status_code == status


@pytest.mark.parametrize("status", [302, 400, 401, 404, 409, 500])
def test_any_other_status_to_a_body_closes_the_connection(client: Client, secure: Any, status: int) -> None:
    with Server([answers(status), answers(status)], tls=secure) as server:
        for _ in range(2):
            assert client.post(server.url(), data=b"body", allow_redirects=False).status_code == status
        assert closed(client, Discard.REFUSED) == 2


@pytest.mark.parametrize("asked", [{"method": "GET"}, {"method": "POST"}, {"method": "POST", "data": b""}, {"method": "DELETE"}])
def test_a_refused_request_without_a_body_keeps_the_connection(client: Client, secure: Any, asked: dict[str, Any]) -> None:
    with Server([answers(404, 404)], tls=secure) as server:
        assert [client.request(url=server.url(), **asked).status_code for _ in range(2)] == [404, 404]


def test_what_reads_the_refusal_to_its_end_does_not_matter(client: Client, secure: Any) -> None:
    """Streamed and closed, read by pieces, or given up for a redirect: the connection is not another's afterwards."""
    with Server(takes_the_rest_for_a_request, tls=secure) as server:
        client.post(server.url("/refuse"), data=b"x", stream=True).close()
        assert client.get(server.url("/1")).text == "/1"
        assert b"".join(client.post(server.url("/refuse"), data=b"x", stream=True).iter_content(1)) == b"/refuse"
        assert client.get(server.url("/2")).text == "/2"


@linux
@pytest.mark.parametrize("status", [200, 404])
def test_an_answer_from_before_the_request_was_taken_ends_the_connection(client: Client, secure: Any, status: int) -> None:
    """rabbitmq, node-exporter: what the send queue still holds, the server has not seen, whatever its answer says."""

    def early(conn: Conn) -> None:
        conn._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        conn.read_head()
        sent.wait(5)
        conn.send(response(status, b"early"))
        conn.wait_closed()

    sent = threading.Event()

    def body() -> Iterator[bytes]:
        yield b"x" * 1000
        yield b"x" * 1_000_000
        sent.set()

    with Server([early, echo], tls=secure) as server:
        # All of it is in our kernel before the server answers, and the server reads no more of it than fits into its own.
        threading.Timer(0.2, sent.set).start()
        answer = client.post(server.url(), data=body(), headers={"Content-Length": "1001000"})
        assert answer.text == "early"
        assert client.get(server.url()).json()["connection"] == 1
        assert closed(client, Discard.REFUSED) == 1


# -- authentication over several legs ----------------------------------------------------------------------------------


def leg(header: str) -> Callable[..., Any]:
    """A hook as requests_ntlm has it: two more legs, each by the response's own connection."""

    def hook(answer: Any, **kwargs: Any) -> Any:
        if answer.status_code not in (401, 407) or header in answer.request.headers:
            return answer
        for token in ("one", "two"):
            answer.content  # noqa: B018 - reads it
            again = answer.request.copy()
            again.headers[header] = f"NTLM {token}"
            answer = answer.connection.send(again, **kwargs)
        return answer

    return hook


def speaks_ntlm(status: int, field: str, header: str) -> Callable[[Conn], None]:
    """Reads every body; the three legs must be on one connection."""

    def script(conn: Conn) -> None:
        steps: list[str] = []
        for request in conn.read_requests():
            steps.append(request.get(header))
            if steps == ["", "NTLM one", "NTLM two"]:
                conn.send(ok(b"in"))
                steps.clear()
            else:
                conn.send(response(status, b"go on", f"{field}: NTLM"))

    return script


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_legs_of_an_authentication_go_on_one_connection(client: Client, secure: Any, method: str) -> None:
    with Server([speaks_ntlm(401, "WWW-Authenticate", "Authorization")], tls=secure) as server:
        for _ in range(2):
            data = b"body" if method == "POST" else None
            answer = client.request(method, server.url(), data=data, hooks={"response": leg("Authorization")})
            assert (answer.status_code, answer.text) == (200, "in")
        assert [request.body for request in server.requests] == [data or b""] * 6
        assert client.stats().active == 0


def test_no_other_call_gets_the_connection_of_an_authentication(client: Client, secure: Any) -> None:
    """Its server may be waiting for the next leg, and takes the next request for that."""

    def nosy(answer: Any, **_: Any) -> None:
        if answer.status_code == 401:
            answer.content  # noqa: B018 - reads it
            others.append(client.get(server.url()).json()["connection"])

    def challenge(conn: Conn) -> None:
        conn.expect_request()
        conn.send(response(401, b"go on", "WWW-Authenticate: NTLM"))
        conn.wait_closed()

    others: list[int] = []
    with Server([challenge, echo], tls=secure) as server:
        answer = client.post(server.url(), data=b"body", hooks={"response": nosy})

        assert (answer.status_code, others) == (401, [1])
        assert closed(client, Discard.REFUSED) == 1
        assert client.stats().active == 0


def test_a_challenge_that_is_read_after_its_call_closes_the_connection(client: Client, secure: Any) -> None:
    def challenge(conn: Conn) -> None:
        conn.expect_request()
        conn.send(response(401, b"go on", "WWW-Authenticate: NTLM"))
        conn.wait_closed()

    with Server([challenge], tls=secure) as server:
        answer = client.post(server.url(), data=b"body", stream=True, hooks={"response": lambda *_, **__: None})
        assert answer.content == b"go on"
        assert (client.stats().active, closed(client, Discard.REFUSED)) == (0, 1)


def test_a_challenge_that_no_hook_can_answer_closes_the_connection(client: Client) -> None:
    def challenge(conn: Conn) -> None:
        conn.expect_request()
        conn.send(response(401, b"go on", "WWW-Authenticate: NTLM"))
        conn.wait_closed()

    with Server([challenge]) as server:
        assert client.post(server.url(), data=b"body").text == "go on"
        assert closed(client, Discard.REFUSED) == 1


def test_a_leg_finds_another_connection_when_its_own_has_ended(client: Client) -> None:
    def challenge(conn: Conn) -> None:
        conn.expect_request()
        conn.send(response(401, b"go on", "WWW-Authenticate: NTLM"))

    def hook(answer: Any, **kwargs: Any) -> Any:
        if answer.status_code == 200:
            return answer
        answer.content  # noqa: B018 - reads it
        server.wait_idle()
        return answer.connection.send(answer.request.copy(), **kwargs)

    with Server([challenge, echo]) as server:
        answer = client.post(server.url(), data=b"body", hooks={"response": [hook]})
        assert (answer.json()["connection"], answer.attempts) == (1, 1)
        assert closed(client, Discard.STALE) == 1


def test_a_leg_to_another_origin_does_not_go_on_this_ones_connection(client: Client) -> None:
    def challenge(conn: Conn) -> None:
        conn.expect_request()
        conn.send(response(401, b"go on", "WWW-Authenticate: NTLM"))
        conn.wait_closed()

    def hook(answer: Any, **kwargs: Any) -> Any:
        if answer.status_code == 200:
            return answer
        answer.content  # noqa: B018 - reads it
        elsewhere = answer.request.copy()
        elsewhere.prepare_url(other.url("/elsewhere"), None)
        return answer.connection.send(elsewhere, **kwargs)

    with Server([challenge]) as server, Server([echo]) as other:
        answer = client.post(server.url(), data=b"body", hooks={"response": [hook]})
        assert answer.json()["target"] == "/elsewhere"
        assert closed(client, Discard.REFUSED) == 1


def test_a_digest_challenge_binds_nothing_and_the_answer_goes_on_a_new_connection(client: Client, secure: Any) -> None:
    def challenge(conn: Conn) -> None:
        """http.server: the body of the challenged request stays where it is."""
        conn.read_head()
        conn.send(response(401, b"", 'WWW-Authenticate: Digest realm="r", nonce="n", qop="auth"'))
        conn.wait_closed()

    with Server([challenge, echo], tls=secure) as server:
        answer = client.post(server.url(), data=b"body", auth=HTTPDigestAuth("user", "secret"))
        assert (answer.status_code, answer.json()["body"]) == (200, "body")


def test_a_digest_answer_whose_nonce_was_stale_at_once_is_given_once_more(client: Client, secure: Any) -> None:
    def forgetful(conn: Conn) -> None:
        for number, stale in enumerate(("", ", stale=true")):
            conn.expect_request()
            conn.send(response(401, b"", f'WWW-Authenticate: Digest realm="r", nonce="{number}", qop="auth"{stale}'))
        echo(conn)

    with Server(forgetful, tls=secure) as server:
        assert client.get(server.url(), auth=HTTPDigestAuth("user", "secret")).status_code == 200
        assert len(server.requests) == 3


# -- Expect: 100-continue ----------------------------------------------------------------------------------------------

EXPECT = {"Expect": "100-continue"}
BODIES: dict[str, Callable[[], Any]] = {
    "small": lambda: b"body",
    "large": lambda: b"x" * 300_000,
    "iterator": lambda: iter([b"one", b"two"]),
}
body_kinds = pytest.mark.parametrize("kind", BODIES)


def nothing_comes(conn: Conn) -> bool:
    """Whether not a byte of the body is here 20 ms after the head; says nothing of later."""
    return not conn.buffered and not select.select([conn._sock], [], [], 0.02)[0]


@body_kinds
def test_the_body_waits_for_the_100(client: Client, secure: Any, kind: str) -> None:
    def script(conn: Conn) -> None:
        request = conn.read_head()
        assert request is not None
        assert request.get("Expect") == "100-continue"
        held_back.append(nothing_comes(conn))
        conn.send(head(102), head(100, "Content-Length: 0"))
        whole = conn.read_body(request)
        assert whole is not None
        conn.send(head(100), ok(str(len(whole.body)).encode()))
        echo(conn)

    held_back: list[bool] = []
    seen: list[int] = []
    with Server([script], tls=secure) as server:
        body = BODIES[kind]()
        answer = client.post(server.url(), data=body, headers=EXPECT, on_informational=lambda status, _: seen.append(status))

        assert (answer.status_code, held_back, seen) == (200, [True], [102, 100, 100])
        assert answer.text == {"small": "4", "large": "300000", "iterator": "6"}[kind]
        assert client.get(server.url()).json()["connection"] == 0


@body_kinds
def test_a_server_that_never_sends_a_100_gets_the_body_after_the_wait(tls: Tls, secure: Any, kind: str) -> None:
    def says_no_100(conn: Conn) -> None:
        request = conn.read_head()
        whole = None if request is None else conn.read_body(request)
        assert whole is not None
        conn.send(echo_of(whole))

    timeouts = Timeouts(connect=5, read=5, expect=0.05)
    with Server(says_no_100, tls=secure) as server, Client(verify=tls.ca_path, timeout=timeouts) as client:
        started = time.monotonic()
        answer = client.post(server.url(), data=BODIES[kind](), headers=EXPECT)

        assert answer.ok
        assert len(answer.json()["body"]) > 3
        assert time.monotonic() - started >= 0.05


@body_kinds
@pytest.mark.parametrize("status", [200, 404, 401])
def test_a_final_answer_in_place_of_the_100_keeps_the_body_here_and_ends_the_connection(
    client: Client, secure: Any, kind: str, status: int
) -> None:
    """nginx, haproxy, uvicorn answer like this and still wait for the body."""

    def script(conn: Conn) -> None:
        conn.read_head()
        conn.send(response(status, b"no need"))
        left.append((conn.wait_closed(), conn.buffered))

    left: list[tuple[str, bytes]] = []
    with Server([script, echo], tls=secure) as server:
        answer = client.post(server.url(), data=BODIES[kind](), headers=EXPECT)
        assert (answer.status_code, answer.text, answer.request_incomplete) == (status, "no need", True)
        assert client.get(server.url()).json()["connection"] == 1
        eventually(lambda: left, "the client closes")
        assert left == [("fin" if secure is None else "close_notify", b"")]
        assert closed(client, Discard.REFUSED) == 1


@body_kinds
@pytest.mark.parametrize("body_read", [False, True])
def test_after_a_417_the_request_is_sent_again_without_it_once(
    tls: Tls, secure: Any, kind: str, body_read: bool
) -> None:
    def script(conn: Conn) -> None:
        request = conn.read_head()
        assert request is not None
        if body_read:
            conn.read_body(request)
        conn.send(response(417, b"no"))
        conn.wait_closed()

    def second(conn: Conn) -> None:
        assert conn.expect_request().get("Expect") == ""
        conn.send(response(*again))
        conn.wait_closed()

    for again in ((200, b"yes"), (417, b"never")):
        timeouts = Timeouts(connect=5, read=5, expect=0.02)
        with Server([script, second], tls=secure) as server, Client(verify=tls.ca_path, timeout=timeouts) as client:
            answer = client.post(server.url(), data=BODIES[kind](), headers=EXPECT)
            if kind == "iterator" and body_read:
                assert (answer.status_code, answer.attempts) == (417, 1)  # its bytes are gone
                continue
            assert (answer.status_code, answer.content, answer.attempts) == (*again, 2)
            assert client.stats().total.resent == {"without Expect, after a 417": 1}


def test_a_417_that_no_expectation_caused_is_the_answer(client: Client) -> None:
    with Server([answers(417)]) as server:
        assert client.post(server.url(), data=b"body").status_code == 417


def test_expect_without_a_body_waits_for_nothing(client: Client) -> None:
    with Server(echo) as server:
        started = time.monotonic()
        assert client.post(server.url(), headers=EXPECT).ok
        assert time.monotonic() - started < 0.9


def test_the_wait_for_a_100_ends_with_the_call(tls: Tls) -> None:
    def silent(conn: Conn) -> None:
        conn.read_head()
        conn.wait_closed()

    timeouts = Timeouts(total=0.05, expect=None)
    with Server(silent) as server, Client(timeout=timeouts) as client, pytest.raises(holdfast.TotalTimeout, match="100 Continue"):
        client.post(server.url(), data=b"body", headers=EXPECT)


def test_a_connection_that_ends_instead_of_a_100_was_never_given_the_body(client: Client, secure: Any) -> None:
    def ends(conn: Conn) -> None:
        conn.read_head()

    with Server([ends], tls=secure) as server, pytest.raises(holdfast.ConnectionLost) as raised:
        client.post(server.url(), data=b"body", headers=EXPECT)
    assert raised.value.may_have_executed


# -- the delayed acknowledgement ----------------------------------------------------------------------------------------


def lazily(*pieces: bytes) -> Callable[[Conn], None]:
    """Answers in pieces with Nagle's algorithm on: each waits until the one before is acknowledged."""

    def script(conn: Conn) -> None:
        conn._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
        for _ in conn.read_requests():
            conn.send(*pieces)

    return script


IN_PIECES = {
    "head, body": (head(200, "Content-Length: 4"), b"body"),
    "status line, fields": (b"HTTP/1.1 200 OK\r\n", b"Content-Length: 4\r\n\r\nbody"),
    "in the middle of a body": (head(200, "Content-Length: 16388") + b"x" * 16384, b"body"),
    "chunks": (head(200, "Transfer-Encoding: chunked"), chunks(b"body"), b"0\r\n\r\n"),
}


@linux
@pytest.mark.parametrize("pieces", IN_PIECES.values(), ids=IN_PIECES)
def test_an_answer_in_pieces_is_acknowledged_at_once(client: Client, secure: Any, pieces: tuple[bytes, ...]) -> None:
    """40 ms for each piece otherwise, from about the tenth answer on; the fastest of ten is no matter of the machine's load."""
    with Server(lazily(*pieces), tls=secure) as server:
        took = []
        for _ in range(40):
            started = time.perf_counter()
            assert client.get(server.url()).content.endswith(b"body")
            took.append(time.perf_counter() - started)
    assert min(took[30:]) < 0.03


# -- ends --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        ok(b"bye", "Connection: close"),
        head(200, "Transfer-Encoding: chunked", "Connection: close") + chunks(b"bye") + b"0\r\n\r\n",
        head(204, "Connection: close"),
        response(200, b"bye", version="1.0"),
        response(404, b"", "Connection: close"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_after_connection_close_the_client_closes_first(client: Client, secure: Any, method: str, answer: bytes) -> None:
    """werkzeug says close, and waits for the client to do it."""

    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(answer)
        endings.append(conn.wait_closed())

    endings: list[str] = []
    with Server([script], tls=secure) as server:
        client.request(method, server.url(), data=b"body" if method == "POST" else None)
        eventually(lambda: endings, "the client closes")
        assert endings == ["fin" if secure is None else "close_notify"]
        assert closed(client, Discard.SERVER_CLOSE) == 1


@pytest.mark.parametrize("by", ["the next call", "the keeper"])
def test_a_close_notify_alone_is_an_end_and_is_answered(client: Client, tls: Tls, by: str) -> None:
    """asyncio's servers send it when their patience ends, and keep the connection, and their own stop, for 30 s unless it is."""

    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(ok())
        conn.unwrap()
        gone.set()
        endings.append(conn.wait_closed())

    endings: list[str] = []
    gone = threading.Event()
    with Server([script, echo], tls=tls.server_context()) as server:
        client.get(server.url())
        assert gone.wait(5)
        if by == "the next call":
            assert client.post(server.url(), data=b"body").json()["connection"] == 1
        eventually(lambda: endings, "the client closes")
        assert endings == ["close_notify"]
        assert closed(client, Discard.STALE) == 1


def test_an_idle_connection_that_ends_without_close_notify_is_an_end_like_any_other(client: Client, tls: Tls) -> None:
    """gunicorn, granian, node."""

    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(ok())
        conn.close(notify=False)

    with Server([script, echo], tls=tls.server_context()) as server:
        client.get(server.url())
        server.wait_idle()
        assert client.post(server.url(), data=b"body").json()["connection"] == 1
        assert closed(client, Discard.STALE) == 1


@pytest.fixture(name="looks")
def _looks(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The patience of every look that had some."""
    found: list[float] = []
    probe = SocketStream.probe

    def noting(stream: SocketStream, patience: float = 0) -> Discard | None:
        if patience:
            found.append(patience)
        return probe(stream, patience)

    monkeypatch.setattr(SocketStream, "probe", noting)
    return found


def one_answer(conn: Conn) -> None:
    """uWSGI, tinyproxy: no word of a close, and the FIN a moment behind the answer. What comes after it is read, not answered."""
    request = conn.expect_request()
    conn.send(ok(request.body))
    time.sleep(0.003)
    conn.fin()
    while conn.read_request() is not None:
        pass


@pytest.mark.parametrize("before", ["nothing", "GET", "two at a time"])
def test_no_post_is_lost_to_a_server_that_gives_one_answer_and_says_nothing(
    client: Client, secure: Any, before: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy machine may make a moment longer than any patience: here there is enough of it. How much there is, is tested below."""
    monkeypatch.setattr(transport, "FIN_PATIENCE_SECONDS", 5.0)
    monkeypatch.setattr(lasting, "LASTED_SECONDS", 5.0)
    with Server(one_answer, tls=secure) as server:
        if before == "GET":
            client.get(server.url())

        def posts(numbers: range) -> None:
            assert all(client.post(server.url(), data=str(number)).text == str(number) for number in numbers)

        if before == "two at a time":
            assert in_parallel(2, lambda thread: posts(range(thread, 20, 2))) == []
        else:
            posts(range(20))
        bodies = sorted(int(request.body) for request in server.requests if request.method == "POST")
    assert bodies == list(range(20)), "each was executed once"


@pytest.mark.parametrize("learn", [True, False])
def test_the_first_connection_that_a_post_reuses_is_looked_at_for_longer(
    tls: Tls, secure: Any, looks: list[float], learn: bool
) -> None:
    limits = Limits(learn=learn)
    with Server(echo, tls=secure) as server, Client(verify=tls.ca_path, timeout=PATIENT, trust_env=False, limits=limits) as client:
        for _ in range(5):
            client.post(server.url(), data=b"x")
        assert server.connections == 1
    assert looks == [FIN_PATIENCE_SECONDS] * learn


def test_what_can_be_sent_again_is_not_looked_at_for_longer(client: Client, secure: Any, looks: list[float]) -> None:
    with Server(echo, tls=secure) as server:
        for _ in range(2):
            client.get(server.url())
            client.post(server.url(), data=b"x", headers={"Idempotency-Key": "k"})
        client.post(server.url(), data=b"x")
        assert server.connections == 1
    assert looks == [], "and after four answers on one connection, nor is a POST"


# -- closing what goes on ----------------------------------------------------------------------------------------------

GOES_ON = {
    "no length": head(200) + b"x",
    "connection: close": head(200, "Content-Length: 100", "Connection: close") + b"x",
    "1.0": head(200, "Content-Length: 100", version="1.0") + b"x",
    "chunks without an end": head(200, "Transfer-Encoding: chunked") + chunks(b"x"),
}


@pytest.mark.parametrize("answer", GOES_ON.values(), ids=GOES_ON)
def test_closing_a_response_that_could_not_be_kept_waits_for_nothing(client: Client, secure: Any, answer: bytes) -> None:
    """etcd's watch, icecast's stream: 50 ms, before."""

    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(answer)
        conn.wait_closed()

    with Server(script, tls=secure) as server:
        took = []
        for _ in range(5):
            streamed = client.get(server.url(), stream=True)
            started = time.perf_counter()
            streamed.close()
            took.append(time.perf_counter() - started)
        assert min(took) < 0.02
        assert client.stats().active == 0


def test_closing_a_refusal_to_a_body_waits_for_nothing(client: Client) -> None:
    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(head(404, "Content-Length: 100") + b"x")
        conn.wait_closed()

    with Server(script) as server:
        took = []
        for _ in range(5):
            streamed = client.post(server.url(), data=b"body", stream=True)
            started = time.perf_counter()
            streamed.close()
            took.append(time.perf_counter() - started)
        assert min(took) < 0.02


@pytest.mark.parametrize(
    "answer",
    [
        head(200, "Transfer-Encoding: chunked") + chunks(b"x") + b"0\r\n\r\n",
        head(200, "Content-Length: 100") + b"x" * 100,
        head(200, "Content-Length: 2", "Connection: keep-alive", version="1.0") + b"xx",
    ],
)
def test_closing_a_response_whose_rest_is_here_keeps_the_connection(client: Client, secure: Any, answer: bytes) -> None:
    def script(conn: Conn) -> None:
        for _ in conn.read_requests():
            conn.send(answer)

    with Server([script], tls=secure) as server:
        for _ in range(3):
            client.get(server.url(), stream=True).close()
        assert client.stats().total.created == 1


# -- what comes behind the answer to a HEAD ----------------------------------------------------------------------------


def answers_head_twice(conn: Conn) -> None:
    """cups: HEAD is answered, and then answered again with a 404 that nobody asked for."""
    for request in conn.read_requests():
        if request.method == "HEAD":
            conn.send(head(200, "Content-Length: 25"))
            gap(conn, request)
            conn.send(response(404, b"uninvited", "Connection: close"))
            return
        conn.send(ok(request.target.encode()))


def gap(conn: Conn, request: Received) -> None:
    """Between the two answers."""


def test_an_origin_that_was_seen_answering_head_twice_is_not_reused_after_a_head(client: Client, secure: Any) -> None:
    with Server(answers_head_twice, tls=secure) as server:
        for number in range(3):
            assert client.head(server.url()).status_code == 200
            if not number:
                server.wait_idle()
            assert client.get(server.url(f"/{number}")).text == f"/{number}"
            client.close_idle()
        # After the first both answers were here, and told it; then the connection goes before the second can come.
        assert closed(client, Discard.UNSOLICITED) + closed(client, Discard.STALE) == 3
        assert closed(client, Discard.UNSOLICITED) >= 2


def test_other_origins_are_reused_after_a_head(client: Client, secure: Any) -> None:
    with Server(answers_head_twice) as twice, Server([echo], tls=secure) as server:
        client.head(twice.url())
        twice.wait_idle()
        client.get(twice.url())
        for _ in range(3):
            assert client.head(server.url()).ok
            assert client.get(server.url()).json()["connection"] == 0


def test_bytes_in_the_same_segment_as_the_answer_to_a_head_are_learned_from_too(client: Client, secure: Any) -> None:
    """transmission: 32 bytes of a body that no field announces."""

    def script(conn: Conn) -> None:
        for request in conn.read_requests():
            conn.send(ok(b"x" * 32) if request.method == "HEAD" and not conn.number else head(200, "Content-Length: 0"))

    with Server(script, tls=secure) as server:
        for _ in range(3):
            assert client.head(server.url()).ok
        assert client.get(server.url()).ok
        assert closed(client, Discard.UNSOLICITED) == 3


def test_a_body_of_a_head_that_comes_when_the_next_request_has_left_is_no_answer_to_that(client: Client, secure: Any) -> None:
    """Over a slow link: no look before the request can find it."""

    def script(conn: Conn) -> None:
        for request in conn.read_requests():
            if request.method == "GET" and conn.number == 0:
                conn.send(b"late")
            conn.send(head(200, "Content-Length: 4") if request.method == "HEAD" else ok(b"its own"))

    with Server(script, tls=secure) as server:
        client.head(server.url())
        assert client.get(server.url()).text == "its own"
        client.head(server.url())
        assert client.get(server.url()).text == "its own"
        assert closed(client, Discard.UNSOLICITED) == 1, "it is remembered of the origin"


# -- TLS sessions -------------------------------------------------------------------------------------------------------


def closing(conn: Conn) -> None:
    conn.expect_request()
    conn.send(ok(str(conn.session_reused).encode(), "Connection: close"))
    conn.wait_closed()


def test_a_ticket_is_offered_once_and_kept_where_no_new_one_comes(client: Client, tls: Tls) -> None:
    """node, h2o, lighttpd: a resumed connection brings none, and the old one works on."""
    context = tls.server_context()
    with Server(closing, tls=context) as server:
        assert client.get(server.url()).text == "False"
        context.num_tickets = 0
        assert [client.get(server.url()).text for _ in range(4)] == ["True"] * 4


def test_a_connection_opened_ahead_of_need_brings_a_ticket_too(client: Client, tls: Tls) -> None:
    """It took one with it, perhaps, and would be the end of resumption otherwise."""
    with Server(closing, tls=tls.server_context()) as server:
        for resumed in ("False", "True", "True"):
            assert client.warm(server.url()) == 1
            assert client.get(server.url()).text == resumed


def test_two_connections_never_offer_one_ticket(client: Client, tls: Tls) -> None:
    """granian, deno: a ticket works once. Two connections are opened before either has brought a new one."""

    def script(conn: Conn) -> None:
        conn.expect_request()
        reused.append(conn.session_reused)
        if len(reused) == 3:
            both.set()
        if conn.number:
            conn.wait(both)
        conn.send(ok(b"", "Connection: close"))
        conn.wait_closed()

    reused: list[bool] = []
    both = threading.Event()
    with Server(script, tls=tls.server_context()) as server:
        client.get(server.url())
        assert in_parallel(2, lambda _: client.get(server.url())) == []
        assert sorted(reused) == [False, False, True]


def test_a_server_that_has_thrown_its_tickets_away_costs_a_handshake_and_no_call(client: Client, tls: Tls) -> None:
    """nginx, apache, haproxy, caddy and lighttpd do so at every reload."""
    with Server(closing, tls=tls.server_context()) as server:
        assert [client.get(server.url()).text for _ in range(2)] == ["False", "True"]
        server.tls = tls.server_context()
        assert [client.get(server.url()).text for _ in range(3)] == ["False", "True", "True"]

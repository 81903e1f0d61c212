"""``Client(transport=...)``: what a transport of the user's is given, how transports wrap one another, what stays above them."""

from __future__ import annotations

import gc
import pickle
from collections.abc import Iterator
from typing import Any

import pytest

import holdfast
from holdfast import BaseTransport, ConnectionTransport, PreparedRequest, Response, TransportOptions, make_response, requests
from holdfast.transports import PiecesBody
from tests.server import Conn, Server, echo, redirect, replies, response

pytestmark = pytest.mark.usefixtures("no_leaks")


class Recording:
    """Wraps another transport, and keeps what went through it."""

    def __init__(self, inner: BaseTransport) -> None:
        self.inner = inner
        self.seen: list[tuple[PreparedRequest, TransportOptions, int]] = []
        self.closed = 0

    def handle(self, request: PreparedRequest, options: TransportOptions) -> Response:
        answer = self.inner.handle(request, options)
        self.seen.append((request, options, answer.status_code))
        return answer

    def close(self) -> None:
        self.closed += 1


class Answering:
    """Answers by itself."""

    def __init__(self, *statuses: int, **answer: Any) -> None:
        self.statuses = list(statuses)
        self.answer = answer

    def handle(self, request: PreparedRequest, options: TransportOptions) -> Response:
        return make_response(request, self.statuses.pop(0), **self.answer)


class Caching:
    """As docs/testing.md has it: a GET is asked for once."""

    def __init__(self, inner: BaseTransport) -> None:
        self.inner = inner
        self.kept: dict[str, tuple[Any, bytes]] = {}

    def handle(self, request: PreparedRequest, options: TransportOptions) -> Response:
        url = str(request.url)
        if request.method == "GET" and url in self.kept:
            headers, content = self.kept[url]
            return make_response(request, 200, headers=headers, content=content)
        answer = self.inner.handle(request, options)
        if request.method == "GET" and answer.status_code == 200:
            content = answer.raw.read(decode_content=False)
            self.kept[url] = (answer.headers.multi_items(), content)
            return make_response(request, 200, headers=answer.headers.multi_items(), content=content)
        return answer


def is_silent(conn: Conn) -> None:
    """Reads, and never answers."""
    conn.wait_closed()


# -- wrapping ----------------------------------------------------------------------------------------------------------


def test_a_transport_that_wraps_the_connections_sees_each_request_below_redirects() -> None:
    seen = Recording(ConnectionTransport())
    with (
        Server([replies(redirect("/next", 302, "Set-Cookie: a=1"), response(200, b"there"))]) as server,
        holdfast.Client(transport=seen) as client,
    ):
        answer = client.get(server.url("/first"))

        assert (answer.content, len(answer.history)) == (b"there", 1)
        assert [(request.path_url, status) for request, _, status in seen.seen] == [("/first", 302), ("/next", 200)]
        assert seen.seen[1][0].headers["Cookie"] == "a=1"
        assert answer.connection_info is not None
        assert answer.connection_info.requests == 2


def test_transports_wrap_one_another_and_a_cache_saves_the_second_call() -> None:
    outer = Recording(Caching(inner := Recording(ConnectionTransport())))
    with Server(echo) as server, holdfast.Client(transport=outer) as client:
        first, second = client.get(server.url("/x")).json(), client.get(server.url("/x")).json()

    assert first == second
    assert (len(outer.seen), len(inner.seen), len(server.requests)) == (2, 1, 1)


def test_statistics_events_warming_and_limits_are_those_of_the_connections_below() -> None:
    connections = ConnectionTransport(holdfast.Limits(max_connections_per_origin=3))
    events: list[str] = []
    with Server(echo) as server, holdfast.Client(transport=Recording(connections)) as client:
        client.on_event(lambda event: events.append(event.kind))
        assert client.limits.max_connections_per_origin == 3
        assert client.warm(server.url(), 2) == 2
        client.get(server.url())
        stats, below = client.stats(), connections.stats()
        ended = connections.on_event(lambda event: events.append("below"))
        ended()

        assert (stats.total.requests, stats.idle) == (below.total.requests, below.idle) == (1, 2)
        assert client.close_idle() == 2
    assert events[:2] == ["opened", "opened"]
    assert "below" not in events


def test_a_transport_without_connections_warms_none() -> None:
    with Server(echo) as server, holdfast.Client(transport=Answering(200)) as client:
        assert client.warm(server.url(), 2) == 0
        assert client.get(server.url()).status_code == 200

    assert server.connections == 0


def test_a_clients_own_connections_may_be_wrapped_for_another_client() -> None:
    with Server(echo) as server, holdfast.Client() as one:
        one.get(server.url())
        other = holdfast.Client(transport=Recording(one.transport))
        other.get(server.url())

    assert server.connections == 1


def test_the_settings_of_client_and_call_reach_the_transport() -> None:
    heard: list[int] = []
    seen = Recording(Answering(200, 200))
    with holdfast.Client(transport=seen, timeout=holdfast.Timeouts(read=7, total=9), verify=False) as client:
        client.get("http://h/", on_informational=lambda status, _: heard.append(status))
        client.get("http://h/", timeout=3, verify=True, cert="c.pem", proxies={"http": "http://p"})
    (_, first, _), (_, second, _) = seen.seen

    assert (first.timeouts.read, first.verify, first.cert, first.proxies) == (7, False, None, None)
    assert 0 < (first.deadline.within(None) or 0) <= 9
    assert first.on_informational is not None
    assert (second.timeouts.read, second.verify, second.cert, second.proxies) == (3, True, "c.pem", {"http": "http://p"})
    assert second.deadline.within(None) is None


def test_options_can_be_changed_on_the_way() -> None:
    class Impatient:
        def __init__(self) -> None:
            self.inner = ConnectionTransport()

        def handle(self, request: PreparedRequest, options: TransportOptions) -> Response:
            return self.inner.handle(request, options.replace(timeouts=holdfast.Timeouts(read=0.1)))

    with (
        Server(is_silent) as server,
        holdfast.Client(transport=Impatient()) as client,
        pytest.raises(holdfast.ReadTimeout, match=r"timeouts.read=0\.1 s"),
    ):
        client.get(server.url())


def test_a_proxy_of_the_client_is_found_by_the_connections_below() -> None:
    with (
        Server(echo) as proxy,
        holdfast.Client(transport=Recording(ConnectionTransport()), proxies={"http": proxy.url()}) as client,
    ):
        assert client.get("http://far.example/x").json()["target"] == "http://far.example/x"
        client.trust_env = False
        assert client.get("http://far.example/y").status_code == 200


# -- what stays with the client ----------------------------------------------------------------------------------------


def test_retries_are_above_the_transport() -> None:
    with holdfast.Client(transport=Answering(503, 200), retries=holdfast.Retries(attempts=1, backoff=0)) as client:
        assert client.get("http://h/").status_code == 200


def test_redirects_ask_the_client_for_what_another_origin_may_be_told(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine other.example login user password word", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(netrc))
    seen = Recording(Moving())
    with holdfast.Client(transport=seen, proxies={"http": "http://p.example"}) as client:
        client.get("http://h.example/far")
        client.trust_env = False
        client.get("http://h.example/far")
        client.get("http://h.example/near", headers={"Proxy-Authorization": "Basic secret"})

    told = [request.headers for request, _, _ in seen.seen]
    assert told[1]["Authorization"].startswith("Basic ")
    assert "Authorization" not in told[3]
    assert told[5]["Proxy-Authorization"] == "Basic secret", "the same proxy"


class Moving:
    """Sends elsewhere, once."""

    def handle(self, request: PreparedRequest, options: TransportOptions) -> Response:
        elsewhere = {"/far": "http://other.example/", "/near": "/"}.get(request.path_url)
        return make_response(request, 302 if elsewhere else 200, headers={"Location": elsewhere} if elsewhere else {})


def test_an_error_of_the_transport_is_the_users_and_names_the_request() -> None:
    class Failing:
        def handle(self, request: PreparedRequest, options: TransportOptions) -> Response:
            raise holdfast.ConnectTimeout("no")

    with holdfast.Client(transport=Failing()) as client, pytest.raises(holdfast.ConnectTimeout, match="no") as caught:
        client.get("http://h/x")
    assert caught.value.request.url == "http://h/x"


def test_an_error_that_names_another_request_keeps_it() -> None:
    other = holdfast.Request("GET", "http://other/").prepare()

    class Failing:
        def handle(self, request: PreparedRequest, options: TransportOptions) -> Response:
            raise holdfast.ConnectTimeout("no", request=other)

    with holdfast.Client(transport=Failing()) as client, pytest.raises(holdfast.ConnectTimeout) as caught:
        client.get("http://h/x")
    assert caught.value.request is other


def test_what_is_no_response_is_refused_with_the_name_of_its_transport() -> None:
    class Forgetful:
        def handle(self, request: PreparedRequest, options: TransportOptions) -> Any:
            return None

    with (
        holdfast.Client(transport=Forgetful()) as client,
        pytest.raises(TypeError, match=r"Forgetful.handle\(\) returned None: expected a holdfast.Response"),
    ):
        client.get("http://h/")


def test_a_response_without_a_request_is_given_it() -> None:
    class ByHand:
        def handle(self, request: PreparedRequest, options: TransportOptions) -> Response:
            return Response(204, b"", [], b"1.1")

    with holdfast.Client(transport=ByHand()) as client:
        answer = client.get("http://h/x")
    assert (answer.url, answer.content, answer.timings) == ("http://h/x", b"", None)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"transport": object()}, "expected an object with handle"),
        ({"transport": ConnectionTransport}, "expected an object with handle"),
        ({"transport": Answering(), "limits": holdfast.Limits()}, "give them to holdfast.ConnectionTransport"),
    ],
)
def test_a_transport_that_makes_no_sense_is_refused_at_once(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        holdfast.Client(**settings)


def test_closing_the_client_closes_the_transport_and_ends_its_calls() -> None:
    seen = Recording(Answering(200))
    client = holdfast.Client(transport=seen)
    client.close()

    assert seen.closed == 1
    with pytest.raises(holdfast.ClientClosed):
        client.get("http://h/")
    assert seen.seen == []


def test_transports_that_wrap_each_other_in_a_circle_have_no_connections() -> None:
    seen = Recording(Answering(200))
    seen.inner = seen

    assert holdfast.Client(transport=seen).stats().total.requests == 0


def test_a_client_without_one_shows_its_own_connections() -> None:
    with holdfast.Client() as client:
        assert repr(client.transport) == "<holdfast.ConnectionTransport <Pool: 0 active, 0 idle, 0 open, 0 waiting>>"
    own = Answering()
    assert holdfast.Client(transport=own).transport is own


def test_a_client_pickles_with_its_transport() -> None:
    made = holdfast.Client(transport=ConnectionTransport(holdfast.Limits(max_connections=7), keeper=False), headers={"X-A": "1"})
    copy = pickle.loads(pickle.dumps(made))

    assert (copy.limits.max_connections, copy.headers["X-A"]) == (7, "1")
    assert isinstance(copy.transport, ConnectionTransport)
    with Server(echo) as server, copy:
        assert copy.get(server.url()).status_code == 200


# -- sessions and the module-level functions ---------------------------------------------------------------------------


def test_a_session_sends_by_a_transport_also_after_it_was_closed() -> None:
    seen = Recording(Answering(200, 200, 200))
    session = requests.Session(transport=seen)
    first = session.get("https://h/1")
    session.close()
    second = session.get("http://h/2")

    assert (first.status_code, second.status_code, len(seen.seen)) == (200, 200, 2)


def test_a_session_that_was_closed_leaves_the_connections_below_as_they_were() -> None:
    connections = ConnectionTransport()
    with Server(echo) as server:
        session = requests.Session(transport=Recording(connections))
        session.get(server.url())
        session.close()
        idle = connections.stats().idle
        for _ in range(3):
            session.get(server.url())
        connections.close()

    assert (idle, server.connections) == (0, 2)


def test_a_session_pickles_with_its_transport() -> None:
    copy = pickle.loads(pickle.dumps(requests.Session(transport=ConnectionTransport())))

    assert isinstance(copy.transport, ConnectionTransport)


def test_the_module_level_functions_are_configured_with_a_transport() -> None:
    seen = Recording(Answering(200, 201, 202))
    holdfast.configure(transport=seen)
    try:
        statuses = [holdfast.get("http://h/").status_code, requests.get("http://h/").status_code]
    finally:
        holdfast.configure()

    assert statuses == [200, 201]
    holdfast.close()


# -- responses that came from elsewhere --------------------------------------------------------------------------------


def request() -> PreparedRequest:
    return holdfast.Request("GET", "http://h/x").prepare()


def test_a_made_response_is_as_one_that_was_received() -> None:
    made = make_response(request(), 201, headers=[("A", "1"), ("A", "2")], content=b'{"a": 1}', reason="Made")

    assert (made.status_code, made.reason, made.headers["a"], made.json(), made.url) == (201, "Made", "1, 2", {"a": 1}, "http://h/x")
    assert list(make_response(request(), 200, content=b"abcd").iter_content(3)) == [b"abc", b"d"]
    with pytest.raises(holdfast.InvalidHeader):
        make_response(request(), 200, headers={"A": "b\nc"})


class Pieces:
    """An iterable that counts how often it is closed, and fails where it is told to."""

    def __init__(self, *pieces: bytes, fails: bool = False) -> None:
        self.pieces, self.fails, self.closed = pieces, fails, 0

    def __iter__(self) -> Iterator[bytes]:
        yield from self.pieces
        if self.fails:
            raise OSError("the disk is gone")

    def close(self) -> None:
        self.closed += 1


def test_pieces_are_taken_as_they_are_read_and_closed_at_the_end() -> None:
    pieces = Pieces(b"one", b"", b"two")
    made = make_response(request(), 200, content=pieces)

    assert list(made.iter_content(None)) == [b"one", b"two"]
    assert pieces.closed == 1
    assert PiecesBody([]).read() == b""
    ended = PiecesBody(pieces)
    assert [ended.read() for _ in range(4)] == [b"one", b"two", b"", b""]
    assert pieces.closed == 2
    pieces.closed = 1
    made.close()
    assert pieces.closed == 1


def test_a_body_that_failed_or_was_given_up_does_not_look_as_if_it_had_ended() -> None:
    failing = make_response(request(), 200, content=Pieces(b"a", fails=True)).raw
    assert failing.read(1) == b"a"
    with pytest.raises(OSError, match="the disk is gone"):
        failing.read(1)
    with pytest.raises(holdfast.StreamConsumedError):
        failing.read(1)
    closed = PiecesBody([b"a", b"b"])
    assert closed.read() == b"a"
    closed.close()
    with pytest.raises(holdfast.StreamConsumedError):
        closed.read()


def test_closing_that_is_interrupted_is_done_by_the_next_close() -> None:
    class Interrupted(Pieces):
        def close(self) -> None:
            super().close()
            if self.closed == 1:
                raise KeyboardInterrupt  # as Ctrl-C may before the first line of a close()

    pieces = Interrupted(b"a")
    made = make_response(request(), 200, content=pieces)
    with pytest.raises(KeyboardInterrupt):
        made.close()
    made.close()
    assert pieces.closed == 2


def test_content_may_be_of_any_kind_of_bytes() -> None:
    for content in (bytearray(b"abc"), memoryview(b"abc"), [memoryview(b"a"), b"bc"]):
        made = make_response(request(), 200, content=content)  # type: ignore[arg-type]  # Python's bytes are not all of them
        assert (made.content, type(made.content)) == (b"abc", bytes)


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        ({"status_code": 99}, ValueError, "status_code=99: expected 100 to 999"),
        ({"status_code": 1000}, ValueError, "status_code=1000: expected 100 to 999"),
        ({"status_code": "200"}, ValueError, "status_code='200': expected 100 to 999"),
        ({"status_code": True}, ValueError, "status_code=True: expected 100 to 999"),
        ({"reason": "a\r\nb"}, holdfast.InvalidHeader, r"reason phrase 'a\\r\\nb': control character '\\r' at position 1"),
        ({"reason": "\u2603"}, holdfast.InvalidHeader, "reason phrase '\u2603': not ISO-8859-1: '\u2603' at position 0"),
        ({"content": "text"}, TypeError, "content='text': expected bytes, or an iterable of bytes"),
        ({"content": None}, TypeError, "content=None: expected bytes, or an iterable of bytes"),
    ],
)
def test_what_makes_no_sense_in_an_answer_is_refused_when_it_is_made(
    answer: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make_response(request(), **{"status_code": 200, **answer})
    gc.collect()


@pytest.mark.parametrize("piece", ["text", 7, None])
def test_a_piece_that_is_no_bytes_is_named(piece: Any) -> None:
    pieces = Pieces(b"a", piece)
    with pytest.raises(TypeError, match=f"a piece of a body is a {type(piece).__name__}: expected bytes"):
        make_response(request(), 200, content=pieces).content  # noqa: B018
    assert pieces.closed == 1


def test_content_of_pieces_is_all_of_them() -> None:
    made = make_response(request(), 200, content=iter([b"one", b"two"]))

    assert made.content == made.content == b"onetwo"
    assert make_response(request(), 200, content=[]).content == b""


def test_pieces_are_closed_when_they_are_given_up_dropped_or_fail() -> None:
    given_up, dropped, failing = Pieces(b"a", b"b"), Pieces(b"a"), Pieces(b"a", fails=True)
    with make_response(request(), 200, content=given_up) as made:
        assert next(made.iter_content(None)) == b"a"
    made = make_response(request(), 200, content=dropped)
    del made
    gc.collect()
    with pytest.raises(OSError, match="the disk is gone"):
        make_response(request(), 200, content=failing).content  # noqa: B018

    assert (given_up.closed, dropped.closed, failing.closed) == (1, 1, 1)

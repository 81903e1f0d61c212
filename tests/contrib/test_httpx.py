"""HoldfastTransport under httpx and httpx2: what goes out and what comes back is as with the library's own transport."""

from __future__ import annotations

import gc
import gzip
import io
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import holdfast
from holdfast import Client, Limits, Retries, exceptions
from holdfast.contrib import _httpx
from holdfast.reasons import Delivery, ExchangeFailed
from tests.conftest import Tls
from tests.contrib.conftest import Road
from tests.server import Conn, Server, chunked, chunks, echo, head, ok, redirect, replies, response
from tests.support import eventually, free_port

# -- what goes out -----------------------------------------------------------------------------------------------------

CALLS: dict[str, Callable[[Any, str], Any]] = {
    "get": lambda client, url: client.get(url),
    "head": lambda client, url: client.head(url),
    "query": lambda client, url: client.get(url + "?a=%7e&b=%2F%2f", params={"c": "ü ä", "d": "1"}),
    "path": lambda client, url: client.get(url + "/a%7Eb/%c3%a4/;x=1//y"),
    "question": lambda client, url: client.get(url + "/a?"),
    "own target": lambda client, url: client.get(url, extensions={"target": b"/a\\b|c"}),
    "asterisk": lambda client, url: client.options(url, extensions={"target": b"*"}),
    "fields": lambda client, url: client.get(url, headers=[("X-A", "1"), ("x-a", "2"), (b"X-B", b"\xe4 \xff \xc3\xbc")]),
    "no fields": lambda client, url: client.send(client.build_request("GET", url, headers={"Accept": ""})),
    "json": lambda client, url: client.post(url, json={"a": [1, "ü"]}),
    "form": lambda client, url: client.put(url, data={"a": ["1", "2"], "b": "ü"}),
    "empty post": lambda client, url: client.post(url),
    "empty chunked post": lambda client, url: client.post(url, headers={"Transfer-Encoding": "chunked"}),
    "large": lambda client, url: client.post(url, content=b"x" * 300_000),
    "generator": lambda client, url: client.post(url, content=(piece for piece in (b"one", b"", b"two"))),
    "measured generator": lambda client, url: client.post(url, content=iter([b"12", b"345"]), headers={"Content-Length": "5"}),
    "file": lambda client, url: client.patch(url, content=io.BytesIO(b"x" * 70_000)),
    "multipart": lambda client, url: client.post(
        url,
        data={"a": "1"},
        files={"f": ("n.txt", io.BytesIO(b"abc"), "text/plain")},
        headers={"Content-Type": "multipart/form-data; boundary=bound"},
    ),
    "own verb": lambda client, url: client.request("purge", url),
    "user info": lambda client, url: client.get(url.replace("://", "://us%40er:pass@")),
}


@pytest.mark.parametrize("call", CALLS)
def test_what_goes_out_and_comes_back_is_as_with_the_library_s_own_transport(road: Road, call: str) -> None:
    got = []
    with Server(answering) as server:
        for client in (road.library.Client(), road.client()):
            with client:
                answer = CALLS[call](client, server.url().rstrip("/"))
                said = [answer.extensions[name] for name in ("http_version", "reason_phrase")]
                got.append([answer.status_code, answer.headers.raw, answer.content, str(answer.url), *said])
        seen = [(request.head, request.body, request.trailers) for request in server.requests]

    assert seen[0] == seen[1]
    assert got[0] == got[1]


def answering(conn: Conn) -> None:
    for request in conn.read_requests():
        body = b"" if request.method == "HEAD" else b"answer"
        conn.send(head(203, "X-Odd:  a b ", "x-odd: \xe4", f"Content-Length: {len(body)}", reason="Said \xfc") + body)


def test_a_response_of_http_1_0_says_so_and_is_kept_if_the_server_keeps_it(road: Road) -> None:
    old = response(200, b"x", "Connection: keep-alive", version="1.0")
    with Server(replies(old, old)) as server, road.client() as client:
        versions = [client.get(server.url()).http_version for _ in range(2)]
        opened = server.connections

    assert (versions, opened) == (["HTTP/1.0", "HTTP/1.0"], 1)


def test_content_codings_are_undone_by_the_library_alone(road: Road) -> None:
    coded = gzip.compress(b"plain text")
    with Server(replies(*[response(200, coded, "Content-Encoding: gzip")] * 2)) as server, road.client() as client:
        whole = client.get(server.url()).content
        with client.stream("GET", server.url()) as streamed:
            raw = b"".join(streamed.iter_raw())

    assert (whole, raw) == (b"plain text", coded)


def test_redirects_cookies_and_authentication_are_the_library_s_and_nothing_of_them_stays_here(road: Road) -> None:
    answers = [redirect("/next", 302, "Set-Cookie: a=1"), ok(b"end", "Set-Cookie: b=2")]
    with Server(replies(*answers)) as server, Client() as ours:
        transport = road.module.HoldfastTransport(client=ours)
        with road.library.Client(transport=transport, follow_redirects=True, auth=("user", "secret")) as client:
            answer = client.get(server.url())
            cookies = dict(client.cookies)
        first, second = server.requests

    assert [each.status_code for each in (*answer.history, answer)] == [302, 200]
    assert cookies == {"a": "1", "b": "2"}
    assert (first.get("Cookie"), second.get("Cookie")) == ("", "a=1")
    assert first.get("Authorization") == second.get("Authorization") != ""
    assert len(ours.cookies) == 0


# -- streams -----------------------------------------------------------------------------------------------------------


def test_a_body_is_streamed_in_while_the_server_still_sends_it(road: Road) -> None:
    more = threading.Event()

    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(head(200, "Transfer-Encoding: chunked"), chunks(b"first"))
        conn.wait(more)
        conn.send(chunks(b"second"), b"0\r\n\r\n")

    with Server(script) as server, road.client() as client, client.stream("GET", server.url()) as answer:
        pieces = answer.iter_bytes()
        first = next(pieces)
        more.set()
        rest = b"".join(pieces)

    assert (first, rest) == (b"first", b"second")


def test_a_body_is_streamed_out_while_it_is_made(road: Road) -> None:
    with Server() as server, road.client() as client:

        def pieces() -> Iterator[bytes]:
            yield b"first"
            server.wait_for_connections(1)
            yield b"second"

        answer = client.post(server.url(), content=pieces())

    assert answer.json()["body"] == "firstsecond"


def test_an_event_stream_left_in_the_middle_closes_its_connection(road: Road) -> None:
    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(head(200, "Transfer-Encoding: chunked", "Content-Type: text/event-stream"), chunks(b"data: 1\n\n"))
        conn.wait_closed()

    with Server([script, echo]) as server, road.client(limits=road.library.Limits(max_connections=1)) as client:
        with client.stream("GET", server.url()) as answer:
            line = next(answer.iter_lines())
        left = client._transport.stats()
        again = client.get(server.url())

    assert (line, left.active, left.closed, again.status_code) == ("data: 1", 0, {"broken": 1}, 200)


def test_a_small_rest_that_is_there_already_keeps_the_connection(road: Road) -> None:
    with Server(replies(chunked(b"one", b"two"), ok())) as server, road.client() as client:
        with client.stream("GET", server.url()) as answer:
            next(answer.iter_raw())
        client.get(server.url())
        stats = client._transport.stats()

    assert (stats.created, stats.reused) == (1, 1)


def test_closing_twice_and_reading_after_the_end_do_no_harm(road: Road) -> None:
    with Server() as server, road.client() as client:
        with client.stream("GET", server.url()) as answer:
            answer.read()
            answer.close()
        answer.close()
        client.get(server.url())
        stats = client._transport.stats()

    assert (stats.created, stats.active, stats.leaks) == (1, 0, 0)


def test_a_response_that_nobody_reads_or_closes_gives_its_slot_back_with_a_warning(road: Road) -> None:
    limits = Limits(max_connections=1)
    with Server() as server, road.client(limits=limits) as client:

        def drop_one() -> None:
            client.send(client.build_request("GET", server.url()), stream=True)
            gc.collect()  # the library ties a response and its stream into a knot

        with pytest.warns(ResourceWarning, match="dropped while in use"):
            drop_one()
        answer = client.get(server.url())
        leaks = client._transport.stats().leaks

    assert (answer.status_code, leaks) == (200, 1)


def test_a_body_that_raises_is_the_caller_s_error_and_costs_the_connection(road: Road) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"first"
        raise RuntimeError("mine")

    with Server(silent) as server, road.client() as client:
        with pytest.raises(RuntimeError, match="mine"):
            client.post(server.url(), content=pieces())
        stats = client._transport.stats()

    assert (stats.active, stats.closed) == (0, {"broken": 1})


# -- sent again --------------------------------------------------------------------------------------------------------


def closing_at_the_second(conn: Conn) -> None:
    """Answers one request, reads another, and ends without a word."""
    conn.expect_request()
    conn.send(ok())
    conn.expect_request()


def test_a_get_whose_connection_ends_unanswered_is_sent_again(road: Road) -> None:
    with Server([closing_at_the_second, echo]) as server, road.client() as client:
        client.get(server.url())
        answer = client.get(server.url("/again"))
        resent = client._transport.stats().resent

    assert (answer.json()["target"], resent) == ("/again", {"idempotent": 1})


def test_a_post_that_may_have_been_executed_is_reported_once_and_not_sent_again(road: Road) -> None:
    with Server([closing_at_the_second]) as server, road.client(retries=3) as client:
        client.get(server.url())
        with pytest.raises(road.library.RemoteProtocolError, match="may have executed") as caught:
            client.post(server.url(), content=b"x")
        received = len(server.requests)

    assert received == 2
    assert isinstance(caught.value.__cause__, holdfast.ConnectionLost)
    assert caught.value.__cause__.may_have_executed


def test_a_post_goes_out_over_a_new_connection_when_the_kept_one_was_closed(road: Road) -> None:
    with Server([replies_and_ends, echo]) as server, road.client() as client:
        client.get(server.url())
        eventually(lambda: server.conn(0).closed, "closed by the server")
        answer = client.post(server.url(), content=b"x")

    assert answer.json()["connection"] == 1


def replies_and_ends(conn: Conn) -> None:
    conn.expect_request()
    conn.send(ok())


class Once:
    """A file that can be read and not rewound."""

    def __init__(self) -> None:
        self.pieces = [b"once"]

    def read(self, size: int = -1) -> bytes:
        return self.pieces.pop() if self.pieces else b""


@pytest.mark.parametrize("file", [b"in memory", io.BytesIO(b"seekable")], ids=["bytes", "seekable"])
def test_a_form_whose_files_can_be_rewound_is_sent_again(road: Road, file: Any) -> None:
    with Server([closing_at_the_second, echo]) as server, road.client() as client:
        client.get(server.url())
        answer = client.put(server.url(), files={"f": ("n", file)})
        first, second = server.requests[1:]

    assert answer.json()["connection"] == 1
    assert first.body == second.body


def test_a_form_with_a_file_that_cannot_be_rewound_is_not_sent_again(road: Road) -> None:
    with Server([closing_at_the_second]) as server, road.client() as client:
        client.get(server.url())
        with pytest.raises(road.library.RemoteProtocolError, match="cannot be sent again"):
            client.put(server.url(), files={"f": ("n", Once())})


def test_a_number_of_retries_is_for_connecting_alone_as_it_is_to_the_library(road: Road) -> None:
    transport = road.module.HoldfastTransport(retries=2)
    retries = transport.client.retries

    assert (retries.attempts, retries.statuses, retries.methods) == (2, (), frozenset())


def test_retries_of_holdfast_are_obeyed_as_they_are(road: Road) -> None:
    retries = Retries(attempts=1, backoff=0)
    with Server(replies(response(503), ok(b"now"))) as server, road.client(retries=retries) as client:
        answer = client.get(server.url())

    assert answer.content == b"now"


# -- timeouts ----------------------------------------------------------------------------------------------------------


def silent(conn: Conn) -> None:
    conn.wait_closed()


def stalling(conn: Conn) -> None:
    conn.expect_request()
    conn.send(head(200, "Content-Length: 10"), b"half")
    conn.wait_closed()


def not_reading(conn: Conn) -> None:
    conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    conn.wait(finished_writing)


finished_writing = threading.Event()


def test_each_phase_has_its_timeout_and_its_exception(road: Road) -> None:
    library = road.library
    quick = library.Timeout(5, read=0.05, write=0.05)
    finished_writing.clear()
    with Server([silent, stalling, not_reading]) as server, road.client() as client:
        with pytest.raises(library.ReadTimeout, match=r"read=0\.05") as head_timeout:
            client.get(server.url(), timeout=quick)
        with pytest.raises(library.ReadTimeout, match="of the body"):
            client.get(server.url(), timeout=quick)
        with pytest.raises(library.WriteTimeout, match=r"write=0\.05"):
            client.post(server.url(), content=b"x" * 20_000_000, timeout=quick)
        finished_writing.set()

    assert str(head_timeout.value.request.url) == server.url()


@pytest.mark.parametrize("pool", [0, 0.05])
def test_waiting_for_a_connection_has_a_timeout_and_0_does_not_wait(road: Road, pool: float) -> None:
    limits = road.library.Limits(max_connections=1)
    quick = road.library.Timeout(5, pool=pool)
    with Server(stalling) as server, road.client(limits=limits) as client, client.stream("GET", server.url()):  # noqa: SIM117
        with pytest.raises(road.library.PoolTimeout):
            client.get(server.url(), timeout=quick)


def test_connecting_has_a_timeout(road: Road, tls: Tls) -> None:
    with Server(silent) as server, road.client(verify=tls.ca_path) as client:  # it never shakes hands
        url = server.url().replace("http:", "https:")
        with pytest.raises(road.library.ConnectTimeout, match="handshake"):
            client.get(url, timeout=road.library.Timeout(5, connect=0.05))


def test_none_has_no_bound_and_a_negative_timeout_is_refused(road: Road) -> None:
    assert _httpx._timeouts_of({"connect": None, "read": None, "write": None, "pool": None}, None) == holdfast.Timeouts.of(None)
    assert _httpx._timeouts_of({}, 3.0) == holdfast.Timeouts(None, None, None, None, 3.0)
    with road.client() as client, pytest.raises(ValueError, match="positive"):
        client.get("http://127.0.0.1:1/", timeout=-1)


def test_the_total_of_a_client_that_was_given_bounds_the_call(road: Road) -> None:
    with Server(silent) as server, Client(timeout=holdfast.Timeouts(total=0.05)) as ours:
        client = road.client(client=ours)
        with pytest.raises(road.library.TimeoutException, match=r"total of 0\.05 s"):
            client.get(server.url())


# -- errors ------------------------------------------------------------------------------------------------------------


def says(*pieces: bytes) -> Callable[[Conn], None]:
    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(*pieces)

    return script


def resets(conn: Conn) -> None:
    conn.expect_request()
    conn.rst()


def resets_in_the_body(conn: Conn) -> None:
    conn.expect_request()
    conn.send(head(200, "Content-Length: 10"), b"half")
    conn.wait(half_is_read)
    conn.rst()


half_is_read = threading.Event()


@pytest.mark.parametrize(
    ("script", "name"),
    [
        (says(), "RemoteProtocolError"),
        (resets, "ReadError"),
        (says(b"SSH-2.0-hello\r\n"), "RemoteProtocolError"),
        (says(head(200, "Content-Length: 10"), b"half"), "RemoteProtocolError"),
        (says(head(200, "Transfer-Encoding: chunked"), b"zz\r\n"), "RemoteProtocolError"),
        (says(head(200, *[f"X-{number}: x" for number in range(300)])), "RemoteProtocolError"),
        (says(head(101, "Upgrade: x", "Connection: upgrade")), "RemoteProtocolError"),
    ],
)
def test_what_a_server_does_wrong_is_the_library_s_own_exception(
    road: Road, script: Callable[[Conn], None], name: str
) -> None:
    with Server(script) as server, road.client() as client, pytest.raises(getattr(road.library, name)) as caught:
        client.post(server.url())

    assert type(caught.value).__name__ == name
    assert str(caught.value.request.url) == server.url()
    assert isinstance(caught.value.__cause__, holdfast.RequestException)


def test_a_reset_in_the_body_is_a_read_error_and_the_bytes_before_it_were_given_out(road: Road) -> None:
    half_is_read.clear()
    with Server(resets_in_the_body) as server, road.client() as client, client.stream("GET", server.url()) as answer:
        pieces = answer.iter_raw()
        first = next(pieces)
        half_is_read.set()
        with pytest.raises(road.library.ReadError) as caught:
            next(pieces)

    assert first == b"half"
    assert caught.value.request is answer.request


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda client: client.get("ftp://127.0.0.1/"), "UnsupportedProtocol"),
        (lambda client: client.get("//127.0.0.1/"), "UnsupportedProtocol"),
        (lambda client: client.get("http://127.0.0.1:0/"), "LocalProtocolError"),
        (lambda client: client.get("http://127.0.0.1:1/", headers={"X": "a\nb"}), "LocalProtocolError"),
        (lambda client: client.request("A B", "http://127.0.0.1:1/"), "LocalProtocolError"),
        (lambda client: client.request("CONNECT", "http://127.0.0.1:1/"), "LocalProtocolError"),
        (lambda client: client.get("http://127.0.0.1:1/", extensions={"target": b"/a b"}), "LocalProtocolError"),
        (lambda client: client.get("http://127.0.0.1:1/", extensions={"trace": print}), "LocalProtocolError"),
        (lambda client: client.get("http://127.0.0.1:1/", extensions={"sni_hostname": 7}), "LocalProtocolError"),
        (lambda client: client.post("http://127.0.0.1:1/", content=b"abc", headers={"Content-Length": "4"}), "LocalProtocolError"),
        (lambda client: client.send(framed_twice(client)), "LocalProtocolError"),
        (lambda client: client.get(f"http://127.0.0.1:{free_port()}/"), "ConnectError"),
        (lambda client: client.get("http://no-such-host.invalid/"), "ConnectError"),
    ],
)
def test_what_cannot_be_sent_is_the_library_s_own_exception(road: Road, call: Callable[[Any], Any], name: str) -> None:
    with road.client() as client, pytest.raises(getattr(road.library, name)) as caught:
        call(client)

    assert type(caught.value).__name__ == name
    assert caught.value.request is not None


def test_the_transport_itself_says_which_request_failed(road: Road) -> None:
    request = road.library.Request("GET", f"http://127.0.0.1:{free_port()}/")
    with road.module.HoldfastTransport() as transport, pytest.raises(road.library.ConnectError) as caught:
        transport.handle_request(request)

    assert caught.value.request is request


def test_a_body_is_held_to_its_length_also_when_its_fields_are_known(road: Road) -> None:
    with Server([echo, lambda conn: None]) as server, road.client() as client:
        fields = {"Content-Length": "5"}
        client.post(server.url(), content=iter([b"12345"]), headers=fields)
        with pytest.raises(road.library.LocalProtocolError, match="5"):
            client.post(server.url(), content=iter([b"123"]), headers=fields)
        received = len(server.requests)

    assert received == 1


def framed_twice(client: Any) -> Any:
    """httpx sends this as it is: two ends may disagree about where it stops."""
    request = client.build_request("POST", "http://127.0.0.1:1/", content=b"abc")
    request.headers["Transfer-Encoding"] = "chunked"
    return request


def in_exchange(error: exceptions.RequestException) -> exceptions.RequestException:
    error.__context__ = ExchangeFailed(error, Delivery.ANSWERED)
    return error


def caused(error: exceptions.RequestException, cause: Exception) -> exceptions.RequestException:
    error.__cause__ = cause
    return error


def unconnected(kind: type[exceptions.ConnectionError]) -> exceptions.RequestException:
    error = kind()
    error.never_connected = True
    return error


@pytest.mark.parametrize(
    ("error", "reading", "name"),
    [
        (exceptions.PoolTimeout(), False, "PoolTimeout"),
        (exceptions.ConnectTimeout(), False, "ConnectTimeout"),
        (exceptions.BodyReadTimeout(), True, "ReadTimeout"),
        (exceptions.TotalTimeout(), False, "TimeoutException"),
        (exceptions.ProxyError(), False, "ProxyError"),
        (exceptions.InvalidProxyURL(), False, "ProxyError"),
        (exceptions.SSLError(), False, "ConnectError"),
        (in_exchange(exceptions.SSLError()), False, "ReadError"),
        (exceptions.SSLError(), True, "ReadError"),
        (caused(exceptions.IncompleteBody(), ConnectionResetError()), True, "ReadError"),
        (exceptions.IncompleteBody(), True, "RemoteProtocolError"),
        (caused(exceptions.ConnectionLost(), EOFError()), False, "RemoteProtocolError"),
        (unconnected(exceptions.ConnectionError), False, "ConnectError"),
        (exceptions.ConnectionError(), False, "ReadError"),
        (exceptions.StreamConsumedError(), True, "ReadError"),
        (exceptions.UnrewindableBodyError(), False, "LocalProtocolError"),
        (exceptions.ClientClosed(), False, "LocalProtocolError"),
        (exceptions.ClientClosed(may_have_executed=True), False, "ReadError"),
    ],
)
def test_connect_error_is_only_said_where_nothing_was_sent(error: exceptions.RequestException, reading: bool, name: str) -> None:
    assert _httpx.name_for(error, reading) == name


def test_every_error_of_holdfast_has_a_name_in_the_library(road: Road) -> None:
    kinds = [getattr(exceptions, name) for name in exceptions.__all__]
    for kind in kinds:
        if issubclass(kind, exceptions.RequestException) and kind is not exceptions.JSONDecodeError:
            assert issubclass(getattr(road.library, _httpx.name_for(kind(), False)), road.library.TransportError)

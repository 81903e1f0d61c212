"""What a user of a Client is promised, on real sockets."""

from __future__ import annotations

import copy
import gc
import io
import json
import pickle
import socket
import ssl
import threading
import time
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

import holdfast
from holdfast import Client, Limits, Retries, Timeouts
from holdfast.pool.keeper import keeper
from holdfast.requests.cookies import CookieJar
from tests.conftest import FakeClock, Tls
from tests.server import Conn, Server, chunked, echo, ok, redirect, replies, response
from tests.support import eventually


@pytest.fixture
def server(no_leaks: None) -> Iterator[Server]:
    with Server(echo) as running:
        yield running


@pytest.fixture
def client() -> Iterator[Client]:
    with Client() as made:
        yield made


# -- one connection, many requests ------------------------------------------------------------------------------------


def test_requests_one_after_the_other_share_one_connection(server: Server, client: Client) -> None:
    answers = [client.get(server.url("/a")), client.post(server.url("/b"), data=b"x"), client.head(server.url("/c"))]

    assert [a.status_code for a in answers] == [200, 200, 200]
    assert server.connections == 1
    stats = client.stats()
    assert (stats.created, stats.requests, stats.reused) == (1, 3, 2)


def test_the_default_header_fields_are_sent_in_requests_order(server: Server, client: Client) -> None:
    client.get(server.url("/"))

    names = [name for name, _ in server.requests[0].headers]
    assert names == ["Host", "User-Agent", "Accept-Encoding", "Accept", "Connection"]


def test_a_header_set_to_none_is_not_sent_and_the_client_keeps_its_own(server: Server, client: Client) -> None:
    client.headers["X-Mine"] = "1"
    client.get(server.url("/"), headers={"Accept": None, "x-mine": "2"})
    client.get(server.url("/"))

    first, second = server.requests
    assert (first.get_all("Accept"), first.get("X-Mine")) == ([], "2")
    assert (second.get("Accept"), second.get("X-Mine")) == ("*/*", "1")


def test_changed_defaults_count_for_the_next_call(server: Server, client: Client) -> None:
    client.get(server.url("/"))
    client.headers["X-Later"] = "yes"
    client.params = {"page": "2"}
    client.auth = ("me", "pw")
    client.get(server.url("/"))

    first, second = server.requests
    assert (first.target, first.get("X-Later"), first.get("Authorization")) == ("/", "", "")
    assert (second.target, second.get("X-Later")) == ("/?page=2", "yes")
    assert second.get("Authorization").startswith("Basic ")


class Versioned:
    """A URL that is equal to its text without the version."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text + "?version=2"

    def __eq__(self, other: object) -> bool:
        return self.text == other

    def __hash__(self) -> int:
        return hash(self.text)


def test_what_is_equal_to_a_url_asked_for_before_is_still_asked_for_by_its_own_text(server: Server, client: Client) -> None:
    urls: list[Any] = [server.url("/a"), Versioned(server.url("/a")), server.url("/a")]
    for url in urls:
        client.get(url)

    assert [request.target for request in server.requests] == ["/a", "/a?version=2", "/a"]


def test_base_url_is_put_before_relative_urls_only(server: Server, no_leaks: None) -> None:
    with Client(base_url=server.url("/api/")) as client:
        client.get("items?x=1")
        client.get("/items")
        client.get(server.url("/other"))

    assert [r.target for r in server.requests] == ["/api/items?x=1", "/api/items", "/other"]


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/save/http://example.com/page", "/api/save/http://example.com/page"),
        ("save/http://example.com", "/api/save/http://example.com"),
        ("items:search", "/api/items:search"),
        ("items?next=http://example.com/", "/api/items?next=http://example.com/"),
    ],
)
def test_a_url_inside_a_path_does_not_make_that_path_a_url(server: Server, no_leaks: None, path: str, target: str) -> None:
    with Client(base_url=server.url("/api")) as client:
        client.get(path)

    assert server.requests[0].target == target


@pytest.mark.parametrize("start", ["", " ", "\n"])
def test_what_begins_with_a_scheme_is_a_url(server: Server, no_leaks: None, start: str) -> None:
    with Client(base_url="http://127.0.0.1:9/") as client:
        client.get(start + server.url("/a"))
        with pytest.raises(holdfast.InvalidSchema):
            client.get("git+ssh://127.0.0.1/")


@pytest.mark.parametrize("base_url", ["http://h/api?key=s3cr3t", "http://h/api#x", "http://h?a"])
def test_a_base_url_with_a_query_or_fragment_is_refused_at_once(base_url: str) -> None:
    with pytest.raises(ValueError, match="params="):
        Client(base_url=base_url)


@pytest.mark.parametrize("encode", [bytes, bytearray, memoryview])
def test_a_body_of_any_buffer_type_goes_out_whole(server: Server, client: Client, encode: Any) -> None:
    client.put(server.url("/"), data=encode(b"some bytes"))

    assert server.requests[0].body == b"some bytes"


def test_a_large_body_arrives_whole_and_the_connection_is_kept(server: Server, client: Client) -> None:
    body = bytes(range(256)) * 16 * 1024

    client.post(server.url("/"), data=body)
    client.post(server.url("/"), data=iter([body[:70_000], b"", body[70_000:]]))

    assert [r.body == body for r in server.requests] == [True, True]
    assert server.connections == 1


# -- redirects and cookies -----------------------------------------------------------------------------------------------


def test_redirects_are_followed_over_the_same_connection_with_their_history(no_leaks: None) -> None:
    with Server(replies(redirect("/two"), redirect("/three", 307), ok(b"end"))) as server, Client() as client:
        answer = client.get(server.url("/one"))

        assert (answer.text, [h.status_code for h in answer.history]) == ("end", [302, 307])
        assert answer.url == server.url("/three")
        assert server.connections == 1


def test_a_redirect_not_followed_names_the_next_request(no_leaks: None) -> None:
    with Server(replies(redirect("/two"))) as server, Client() as client:
        answer = client.get(server.url("/one"), allow_redirects=False)

        assert answer.is_redirect
        assert answer.next is not None
        assert answer.next.url == server.url("/two")


@pytest.mark.parametrize("location", ["ftp://elsewhere/", "http://[broken/"])
def test_a_redirect_that_cannot_be_followed_raises_only_if_it_should_be(no_leaks: None, location: str) -> None:
    with Server(replies(redirect(location), redirect(location))) as server, Client() as client:
        assert client.get(server.url("/"), allow_redirects=False).next is None
        with pytest.raises(ValueError, match=r"ftp|broken"):
            client.get(server.url("/"), stream=True)

        assert client.stats().active == 0


def test_too_many_redirects_raise_after_exactly_max_redirects(no_leaks: None) -> None:
    def loop(conn: Conn) -> None:
        for _ in conn.read_requests():
            conn.send(redirect("/again"))

    with Server(loop) as server, Client(max_redirects=3) as client:
        with pytest.raises(holdfast.TooManyRedirects) as raised:
            client.get(server.url("/"))

        assert len(server.requests) == 4
        assert raised.value.response.status_code == 302


def test_a_secret_stays_behind_when_a_redirect_leaves_the_origin(no_leaks: None) -> None:
    with Server(echo) as other, Server(replies(redirect(other.url("/there")))) as server, Client() as client:
        client.get(
            server.url("/"), auth=("u", "p"), headers={"X-Api-Key": "k", "Cookie": "a=b", "X-Plain": "stays"}
        )

        arrived = other.requests[0]
        assert (arrived.get("Authorization"), arrived.get("X-Api-Key"), arrived.get("Cookie")) == ("", "", "")
        assert arrived.get("X-Plain") == "stays"


def test_an_endless_redirect_body_costs_its_connection_and_not_the_call(no_leaks: None) -> None:
    def endless(conn: Conn) -> None:
        conn.expect_request()
        conn.send(b"HTTP/1.1 302 Found\r\nLocation: /end\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                conn.send(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
        except OSError:
            pass

    with Server([endless, replies(ok(b"end"))]) as server, Client() as client:
        assert client.get(server.url("/")).text == "end"
        assert client.stats().closed == {"broken": 1}


def test_the_content_of_a_followed_redirect_is_still_there(no_leaks: None) -> None:
    with (
        Server(replies(response(302, b"moved", "Location: /end", reason="Found"), ok(b"end"))) as server,
        Client() as client,
    ):
        answer = client.get(server.url("/"))

        assert answer.history[0].content == b"moved"


def test_cookies_are_kept_and_sent_to_the_origin_that_set_them(no_leaks: None) -> None:
    with (
        Server(replies(ok(b"", "Set-Cookie: id=7; Path=/"), ok())) as server,
        Server(echo) as other,
        Client() as client,
    ):
        client.get(server.url("/"))
        client.get(server.url("/"))
        client.get(other.url("/").replace("127.0.0.1", "localhost"))

        assert server.requests[1].get("Cookie") == "id=7"
        assert other.requests[0].get("Cookie") == ""
        assert client.cookies["id"] == "7"


# -- time ----------------------------------------------------------------------------------------------------------------


def test_total_covers_a_body_that_drips(no_leaks: None) -> None:
    def drip(conn: Conn) -> None:
        conn.expect_request()
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        pace = threading.Event()
        try:
            while not pace.wait(0.01):
                conn.send(b"x")
        except OSError:
            pass

    with Server(drip) as server, Client(timeout=Timeouts(read=1, total=0.08)) as client:
        started = time.monotonic()
        with pytest.raises(holdfast.TotalTimeout, match=r"0\.08 s"):
            client.get(server.url("/"))

        assert time.monotonic() - started < 0.58


def test_a_pool_timeout_says_how_many_are_in_use(server: Server) -> None:
    with Client(limits=Limits(max_connections_per_origin=1), timeout=Timeouts(pool=0.02)) as client:
        held = client.get(server.url("/"), stream=True)
        with pytest.raises(holdfast.PoolTimeout, match="1 in use"):
            client.get(server.url("/"))
        held.close()

        assert client.get(server.url("/")).ok


def test_total_ends_the_wait_for_a_free_connection(server: Server) -> None:
    with Client(limits=Limits(max_connections_per_origin=1), timeout=Timeouts(total=0.03)) as client:
        held = client.get(server.url("/"), stream=True, timeout=5)
        with pytest.raises(holdfast.TotalTimeout, match="waiting for a free connection"):
            client.get(server.url("/"))
        held.close()


@pytest.mark.parametrize("bad", [0, -1, float("nan"), True, "5", (1, 2, 3), (0, 1)])
def test_a_senseless_timeout_is_a_value_error_before_anything_is_sent(server: Server, client: Client, bad: Any) -> None:
    with pytest.raises(ValueError, match="timeout"):
        client.get(server.url("/"), timeout=bad)

    assert server.connections == 0


# -- streaming, leaks, closing --------------------------------------------------------------------------------------------


def test_a_streamed_body_gives_its_connection_back_at_its_end(server: Server, client: Client) -> None:
    answer = client.get(server.url("/"), stream=True)
    assert client.stats().active == 1

    b"".join(answer.iter_content(10))

    assert (client.stats().active, client.stats().idle) == (0, 1)


def test_a_bodyless_response_gives_its_connection_back_at_once(no_leaks: None) -> None:
    with Server(replies(response(204))) as server, Client() as client:
        client.get(server.url("/"), stream=True)

        assert (client.stats().active, client.stats().idle) == (0, 1)


def test_closing_early_keeps_the_connection_when_little_is_left(server: Server, client: Client) -> None:
    with client.get(server.url("/"), stream=True):
        pass
    client.get(server.url("/"))

    assert server.connections == 1


def test_closing_early_closes_the_connection_when_much_is_left(no_leaks: None) -> None:
    def large(conn: Conn) -> None:
        conn.expect_request()
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"x" * 1000)
        conn.wait_closed()

    with Server([large, echo]) as server, Client() as client:
        started = time.monotonic()
        client.get(server.url("/"), stream=True).close()

        assert time.monotonic() - started < 0.5
        assert client.stats().closed == {"broken": 1}
        assert client.get(server.url("/")).ok


def test_a_dropped_stream_frees_its_slot(server: Server) -> None:
    with Client(limits=Limits(max_connections_per_origin=1), timeout=Timeouts(pool=1)) as client:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            client.get(server.url("/"), stream=True)
            gc.collect()

        assert client.get(server.url("/")).ok
        assert client.stats().leaks == 1


def test_a_closed_client_says_so_and_closing_twice_is_fine(server: Server) -> None:
    client = Client()
    client.get(server.url("/"))
    client.close()
    client.close()

    with pytest.raises(holdfast.ClientClosed, match="closed"):
        client.get(server.url("/"))


def test_closing_ends_a_response_that_another_thread_is_reading(no_leaks: None) -> None:
    reading = threading.Event()
    outcome: list[BaseException] = []

    def stall(conn: Conn) -> None:
        conn.expect_request()
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx")
        conn.wait_closed()

    def read(url: str, client: Client) -> None:
        answer = client.get(url, stream=True)
        try:
            for _ in answer.iter_content(1):
                reading.set()
        except holdfast.RequestException as error:
            outcome.append(error)

    with Server(stall) as server:
        client = Client()
        thread = threading.Thread(target=read, args=(server.url("/"), client))
        thread.start()
        assert reading.wait(5)
        client.close()
        thread.join(5)

    assert not thread.is_alive()
    assert isinstance(outcome[0], holdfast.ClientClosed)


def test_closing_wakes_those_who_wait_for_a_connection(server: Server) -> None:
    client = Client(limits=Limits(max_connections_per_origin=1))
    held = client.get(server.url("/"), stream=True)
    outcome: list[BaseException] = []

    def wait() -> None:
        try:
            client.get(server.url("/"))
        except holdfast.RequestException as error:
            outcome.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    eventually(lambda: client.stats().waiting, "somebody who waits")
    client.close()
    thread.join(5)
    held.close()

    assert isinstance(outcome[0], holdfast.ClientClosed)


def test_a_dropped_client_closes_its_connections_without_a_warning_and_its_keeper_ends(no_leaks: None) -> None:
    ended = threading.Event()

    def serve(conn: Conn) -> None:
        conn.expect_request()
        conn.send(ok())
        conn.wait_closed()
        ended.set()

    with Server(serve) as server:
        Client().get(server.url("/"))
        gc.collect()

        assert ended.wait(5)
        eventually(lambda: not keeper.running, "the end of the keeper, which is not told", 3)


# -- TLS -----------------------------------------------------------------------------------------------------------------


def test_a_connection_that_did_not_verify_never_serves_a_request_that_does(tls: Tls, no_leaks: None) -> None:
    with Server(echo, tls=tls.server_context()) as server, Client() as client:
        assert client.get(server.url("/"), verify=False).ok
        with pytest.raises(holdfast.SSLError, match="certificate"):
            client.get(server.url("/"))
        assert client.get(server.url("/"), verify=tls.ca_path).ok
        assert client.get(server.url("/"), verify=False).json()["connection"] == 0


def test_a_context_of_ones_own_is_used_and_not_changed(tls: Tls, no_leaks: None) -> None:
    context = tls.client_context()
    before = (context.verify_mode, context.check_hostname, context.options)
    with Server(echo, tls=tls.server_context()) as server, Client(verify=context) as client:
        assert client.get(server.url("/")).ok

    assert (context.verify_mode, context.check_hostname, context.options) == before


def test_the_name_to_verify_can_be_another_than_the_urls_host(tls: Tls, no_leaks: None) -> None:
    other = tls.server_context(tls.ca.issue_cert("service.internal"))
    with Server(echo, tls=other) as server, Client(verify=tls.ca_path, server_name="service.internal") as client:
        assert client.get(server.url("/")).ok


def test_one_context_serves_all_connections_of_one_configuration(
    tls: Tls, no_leaks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []
    original = ssl.SSLContext.load_verify_locations

    def counting(self: ssl.SSLContext, *args: Any, **kwargs: Any) -> None:
        made.append(self)
        original(self, *args, **kwargs)

    with Server(echo, tls=tls.server_context()) as server:
        monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", counting)
        for _ in range(5):
            with Client(verify=tls.ca_path) as client:
                client.get(server.url("/"))

    assert len(made) <= 1


def test_a_missing_ca_bundle_is_an_os_error_that_names_it(client: Client) -> None:
    with pytest.raises(OSError, match="no-such-bundle"):
        client.get("https://127.0.0.1:1/", verify="/tmp/no-such-bundle.pem")


def test_a_client_certificate_reaches_the_server_and_is_part_of_what_connections_are_kept_by(
    tls: Tls, no_leaks: None
) -> None:
    with Server(echo, tls=tls.server_context(ask_client=True)) as server, Client(verify=tls.ca_path) as client:
        assert client.get(server.url("/"), cert=tls.client_cert).ok
        assert client.get(server.url("/"), cert=tls.client_cert).json()["connection"] == 0
        with pytest.raises(holdfast.RequestException):
            client.get(server.url("/"))


@pytest.mark.needs("unix sockets")
def test_a_unix_socket_can_stand_in_for_the_network(tmp_path: Any, no_leaks: None) -> None:
    path = str(tmp_path / "s")
    with Server(echo, unix_path=path) as server, Client(unix_socket=path) as client:
        client.get("http://whatever.example/a")
        client.get("http://whatever.example/b")

        assert [(r.target, r.get("Host"), r.connection) for r in server.requests] == [
            ("/a", "whatever.example", 0),
            ("/b", "whatever.example", 0),
        ]


# -- retries by the user's policy -----------------------------------------------------------------------------------------


def test_statuses_are_retried_as_the_policy_says(no_leaks: None) -> None:
    slept: list[float] = []
    script = replies(response(503, b"", "Retry-After: 2"), response(502), ok(b"done"))
    with Server(script) as server, Client(retries=Retries(attempts=2), sleep=slept.append) as client:
        assert client.get(server.url("/")).text == "done"

    assert slept == [2.0, 1.0]


def test_of_several_retry_after_fields_the_longest_is_waited_and_a_fraction_is_rounded_up(no_leaks: None) -> None:
    slept: list[float] = []
    script = replies(response(503, b"", "Retry-After: 2", "Retry-After: 3.1"), ok(b"done"))
    with Server(script) as server, Client(retries=Retries(attempts=1), sleep=slept.append) as client:
        assert client.get(server.url("/")).text == "done"

    assert slept == [4.0]


def test_a_policy_that_is_used_up_returns_the_last_answer(no_leaks: None) -> None:
    with Server(replies(response(503), response(503))) as server:
        with Client(retries=1, sleep=lambda _: None) as client:
            assert client.get(server.url("/")).status_code == 503
        assert len(server.requests) == 2


def test_a_post_is_not_retried_on_a_status_without_a_key(no_leaks: None) -> None:
    with Server([replies(response(503)), replies(response(503)), replies(ok())]) as server:
        with Client(retries=3, sleep=lambda _: None) as client:
            assert client.post(server.url("/"), data=b"x").status_code == 503
            assert client.post(server.url("/"), data=b"x", headers={"Idempotency-Key": "1"}).status_code == 200
        assert len(server.requests) == 3


def test_failing_to_connect_is_retried_for_every_method() -> None:
    slept: list[float] = []
    with Server(echo) as server:
        url = server.url("/")
    with Client(retries=2, sleep=slept.append) as client, pytest.raises(holdfast.ConnectionError, match="refused"):
        client.post(url, data=b"x")

    assert slept == [0.5, 1.0]


# -- threads ---------------------------------------------------------------------------------------------------------------


def test_many_threads_share_one_client_and_each_gets_its_own_answers(server: Server) -> None:
    wrong: list[str] = []
    with Client(limits=Limits(max_connections_per_origin=4)) as client:

        def work(thread: int) -> None:
            for number in range(20):
                nonce = f"{thread}-{number}"
                if client.get(server.url("/"), headers={"X-Nonce": nonce}).headers["X-Nonce"] != nonce:
                    wrong.append(nonce)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        stats = client.stats()

    assert wrong == []
    assert server.connections <= 4
    assert (stats.active, stats.connecting, stats.waiting, stats.requests) == (0, 0, 0, 320)


# -- hints and clocks ------------------------------------------------------------------------------------------------------


def test_a_keep_alive_hint_retires_the_connection_before_the_server_does(no_leaks: None) -> None:
    clock = FakeClock()
    script = replies(ok(b"1", "Keep-Alive: timeout=1"), ok(b"2", "Keep-Alive: timeout=1"))
    with Server([script, replies(ok(b"3"))]) as server, Client(clock=clock) as client:
        client.get(server.url("/"))
        clock.advance(0.7)
        assert client.get(server.url("/")).text == "2"
        clock.advance(0.8)

        assert client.get(server.url("/")).text == "3"
        assert client.stats().closed == {"server_hint": 1}


def test_keep_alive_max_counts_the_requests_left(no_leaks: None) -> None:
    script = replies(ok(b"1", "Keep-Alive: timeout=9, max=1"), ok(b"2", "Keep-Alive: timeout=9, max=0"))
    with Server([script, replies(ok(b"3"))]) as server, Client() as client:
        assert [client.get(server.url("/")).text for _ in range(3)] == ["1", "2", "3"]
        assert client.stats().closed == {"server_hint": 1}


def test_informational_responses_are_passed_on_and_not_returned(no_leaks: None) -> None:
    seen: list[int] = []
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    with Server(replies(early + ok(b"x"))) as server, Client() as client:
        answer = client.get(server.url("/"), on_informational=lambda status, fields: seen.append(status))

        assert (answer.status_code, seen) == (200, [103])


def test_trailers_are_there_when_the_body_was_read_and_are_not_headers(no_leaks: None) -> None:
    whole = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Sum: 1\r\n\r\n"
    with Server(replies(whole)) as server, Client() as client:
        answer = client.get(server.url("/"))

        assert (answer.trailers["X-Sum"], "X-Sum" in answer.headers) == ("1", False)


def test_an_early_answer_to_an_upload_is_returned_and_marked(no_leaks: None) -> None:
    def refuse(conn: Conn) -> None:
        conn.read_head()
        conn.send(response(413, b"too large"))
        conn.wait_closed()

    with Server([refuse, echo]) as server, Client() as client:
        answer = client.post(server.url("/"), data=b"x" * 16_000_000)

        assert (answer.status_code, answer.text, answer.request_incomplete) == (413, "too large", True)
        assert client.get(server.url("/")).json()["connection"] == 1


def test_an_iterator_that_raises_ends_the_call_with_its_own_exception_and_the_connection(no_leaks: None) -> None:
    def broken() -> Iterator[bytes]:
        yield b"x"
        raise OSError("the disk is gone")

    def read(conn: Conn) -> None:
        conn.read_request()

    with Server([read, echo]) as server, Client() as client:
        with pytest.raises(OSError, match="the disk is gone"):
            client.post(server.url("/"), data=broken())
        assert client.get(server.url("/")).ok


def test_a_connection_lost_says_what_may_have_happened_and_what_to_do(no_leaks: None) -> None:
    def die(conn: Conn) -> None:
        conn.expect_request()
        conn.send(ok())
        conn.expect_request()

    with Server(die) as server, Client() as client:
        client.get(server.url("/"))
        with pytest.raises(holdfast.ConnectionLost) as raised:
            client.post(server.url("/?secret=1"), data=b"x", headers={"Authorization": "Bearer hidden"})

    error = raised.value
    assert (error.may_have_executed, error.reused, error.request.method) == (True, True, "POST")
    assert error.idle is not None
    assert "may have executed" in str(error)
    assert "Idempotency-Key" in str(error)
    assert "hidden" not in str(error)
    assert isinstance(error.__cause__, EOFError)


def test_a_get_lost_with_its_kept_connection_is_sent_again_on_a_fresh_one(no_leaks: None) -> None:
    def die(conn: Conn) -> None:
        conn.expect_request()
        conn.send(ok())
        conn.expect_request()

    with Server([die, echo]) as server, Client() as client:
        client.get(server.url("/"))
        answer = client.get(server.url("/"))

    assert (answer.json()["connection"], answer.attempts, answer.resent) == (1, 2, 1)


def test_a_post_with_an_idempotency_key_is_sent_again_with_its_file_rewound(no_leaks: None, tmp_path: Any) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"skipped-payload")

    def die(conn: Conn) -> None:
        conn.expect_request()
        conn.send(ok())
        conn.expect_request()

    with Server([die, echo]) as server, Client() as client, path.open("rb") as file:
        file.seek(8)
        client.get(server.url("/"))
        answer = client.post(server.url("/"), data=file, headers={"Idempotency-Key": "k"})

    assert answer.json()["body"] == "payload"
    assert [r.body for r in server.requests[1:]] == [b"payload", b"payload"]


def test_a_copy_of_a_prepared_request_sends_the_whole_body_or_nothing_at_all(no_leaks: None) -> None:
    with Server(echo) as server, Client() as client:

        def post(data: Any) -> holdfast.PreparedRequest:
            return client.prepare_request(holdfast.Request("POST", server.url("/"), data=data))

        for data in (iter([b"one", b"two"]), io.BytesIO(b"onetwo"), b"onetwo", [b"one", b"two"]):
            assert client.send(copy.copy(post(data))).json()["body"] == "onetwo"
        seen = len(server.requests)
        for data in (iter([b"one", b"two"]), io.BytesIO(b"onetwo")):
            for twin in (copy.deepcopy(post(data)), pickle.loads(pickle.dumps(post(data)))):
                with pytest.raises(holdfast.UnrewindableBodyError, match="did not come along"):
                    client.send(twin)
        assert len(server.requests) == seen
        assert client.stats().total.active == 0
        assert client.send(pickle.loads(pickle.dumps(post(b"onetwo")))).json()["body"] == "onetwo"


def test_a_408_on_a_kept_connection_is_answered_by_another_connection(no_leaks: None) -> None:
    with Server([replies(ok(), response(408, b"", "Connection: close")), echo]) as server, Client() as client:
        client.get(server.url("/"))

        assert client.get(server.url("/")).json()["connection"] == 1
        assert client.post(server.url("/"), data=b"x").ok


def test_what_came_chunked_is_whole_and_the_connection_kept(no_leaks: None) -> None:
    with Server(replies(chunked(b"ab", b"cd"), ok(b"next"))) as server, Client() as client:
        assert client.get(server.url("/")).content == b"abcd"
        assert client.get(server.url("/")).content == b"next"


def test_senseless_client_arguments_are_refused_at_once() -> None:
    for arguments in ({"retries": "3"}, {"timeout": -1}, {"hooks": {"request": print}}):
        with pytest.raises(ValueError, match=r"retries|timeout|hook"):
            Client(**arguments)


def test_a_response_hook_sees_every_response_and_may_replace_it(no_leaks: None) -> None:
    seen: list[int] = []

    def look(answer: holdfast.Response, **settings: Any) -> None:
        seen.append(answer.status_code)
        assert {"timeout", "verify", "cert", "stream", "proxies"} <= set(settings)

    with Server(replies(redirect("/b"), ok())) as server, Client(hooks={"response": look}) as client:
        client.get(server.url("/"))

    assert seen == [302, 200]


def test_a_prepared_request_can_be_sent(server: Server, client: Client) -> None:
    prepared = client.prepare_request(holdfast.Request("post", server.url("/p"), json={"a": 1}))
    answer = client.send(prepared, timeout=5)

    assert json.loads(answer.json()["body"]) == {"a": 1}
    with pytest.raises(ValueError, match="PreparedRequest"):
        client.send(holdfast.Request("GET", server.url("/")))


def test_a_client_pickles_as_its_configuration(server: Server) -> None:
    original = Client(base_url=server.url("/"), timeout=7, params={"a": "1"}, limits=Limits(max_connections=3), cookies={"c": "1"})
    original.headers["X-Mine"] = "yes"
    del original.headers["Accept"]
    original.get("x")
    copied = pickle.loads(pickle.dumps(original))
    copied.get("x")
    original.close()
    copied.close()

    first, second = server.requests
    assert (copied.timeout.read, copied.limits.max_connections) == (7, 3)
    assert [h for h in first.headers if h[0] != "Host"] == [h for h in second.headers if h[0] != "Host"]
    assert (first.target, second.target, first.connection, second.connection) == ("/x?a=1", "/x?a=1", 0, 1)


def test_a_url_object_is_asked_for_its_text_at_every_call(server: Server) -> None:
    """Calls used to be prepared once per object, whatever it meant by then."""

    class Page:
        number = 1

        def __str__(self) -> str:
            return server.url(f"/page/{self.number}")

    page: Any = Page()
    with Client() as client:
        client.get(page)
        page.number = 2
        client.get(page)

    assert [request.target for request in server.requests] == ["/page/1", "/page/2"]


def test_a_jar_that_was_replaced_gives_no_cookies_to_redirects(no_leaks: None) -> None:
    """The request kept for a URL used to keep the jar of its time as well, and a redirect looks into its request's jar."""

    def script(conn: Conn) -> None:
        for request in conn.read_requests():
            conn.send(redirect("/there") if request.target == "/here" else ok())

    one, other = CookieJar(), CookieJar()
    with Server(script) as server, Client() as client:
        client.cookies = one
        client.get(server.url("/here"))
        client.cookies = other
        one.set("session", "of one")
        client.get(server.url("/here"))

        assert [request.get("Cookie") for request in server.requests] == ["", "", "", ""]


# -- a key for calls that may be repeated ----------------------------------------------------------------------------------


def test_a_key_is_made_for_each_call_and_is_the_same_when_the_request_is_sent_again(client: Client) -> None:
    def lost(conn: Conn) -> None:
        conn.expect_request()
        conn.rst()

    with Server([lost, echo]) as server:
        answered = client.post(server.url("/"), b"x", headers={"X-Other": "1"}, idempotency_key=True)
        client.post(server.url("/"), b"x", idempotency_key=True)

    keys = [request.get("Idempotency-Key") for request in server.requests]
    assert (answered.status_code, answered.resent, server.requests[1].get("X-Other")) == (200, 1, "1")
    assert keys[0] == keys[1] != keys[2]
    assert all(len(key) == 36 for key in keys)


def test_a_key_of_ones_own_is_sent_as_it_is(client: Client) -> None:
    with Server(echo) as server:
        client.post(server.url("/"), b"x", idempotency_key="order-7")
        client.post(server.url("/"), b"x", idempotency_key=None)

    assert [request.get("Idempotency-Key") for request in server.requests] == ["order-7", ""]


# -- the sockets -----------------------------------------------------------------------------------------------------------


def option_of(client: Client, level: int, name: int) -> int:
    (connection,) = client._transport.pool._state.idle
    stream: Any = connection.resource.stream
    return int(stream.sock.getsockopt(level, name))


@pytest.mark.needs("linux")
def test_a_socket_option_of_the_clients_goes_over_the_usual_ones(server: Server, no_leaks: None) -> None:
    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 0), (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 77)]
    with Client(socket_options=options) as client:
        assert client.get(server.url("/")).ok
        copied = pickle.loads(pickle.dumps(client))

        assert option_of(client, socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0
        assert option_of(client, socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 77
        assert option_of(client, socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
    with copied:
        assert copied.get(server.url("/")).ok
        assert option_of(copied, socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 77


@pytest.mark.needs("linux")
@pytest.mark.parametrize(("timeout", "milliseconds"), [(Timeouts(read=90), 90_000), (0.5, 30_000), (None, 0)])
def test_what_is_not_acknowledged_for_as_long_as_an_answer_is_waited_for_ends_the_connection(
    server: Server, no_leaks: None, timeout: Any, milliseconds: int
) -> None:
    with Client(timeout=timeout) as client:
        assert client.get(server.url("/"), timeout=5).ok
        assert option_of(client, socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == milliseconds


def test_a_unix_socket_is_refused_at_once_where_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "AF_UNIX", raising=False)
    with pytest.raises(ValueError, match="'/run/x': this Python has no Unix-domain sockets"):
        Client(unix_socket="/run/x")


def test_what_is_no_socket_option_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="level, option, value"):
        Client(socket_options=[(1, 2)])  # type: ignore[list-item]

"""Fake: what a route matches and answers, what is refused and how, and which calls it covers."""

from __future__ import annotations

import contextlib
import io
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest

import holdfast
from holdfast import requests
from holdfast.testing import Answer, Call, Fake, UnmatchedRequest, failures
from holdfast.transport import Transport
from tests.conftest import Tls
from tests.server import Server, echo
from tests.support import in_parallel

pytestmark = pytest.mark.usefixtures("no_leaks")

API = "https://api.example/items"


@pytest.fixture
def fake() -> Iterator[Fake]:
    """A Fake for the test."""
    with Fake() as made:
        yield made
    holdfast.close()


@pytest.fixture
def lax() -> Iterator[Fake]:
    """A Fake that minds nothing at its end."""
    made = Fake(assert_all_called=False)
    made.__enter__()
    yield made
    made.__exit__(AssertionError, AssertionError(), None)
    holdfast.close()


# -- answers -----------------------------------------------------------------------------------------------------------


def test_an_answer_has_its_status_reason_fields_and_body(fake: Fake) -> None:
    fake.get(API).responds(404, json={"why": None}, headers=[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
    with holdfast.Client() as client:
        answer = client.get(API)

        assert (answer.status_code, answer.reason, answer.json()) == (404, "Not Found", {"why": None})
        assert answer.headers["Content-Type"] == "application/json"
        assert sorted(cookie.name for cookie in client.cookies) == ["a", "b"]


@pytest.mark.parametrize(
    ("answer", "body", "fields"),
    [
        (Answer(), b"", {"content-length": "0"}),
        (Answer(content=b"abc"), b"abc", {"content-length": "3"}),
        (Answer(text="ä"), "ä".encode(), {"content-type": "text/plain; charset=utf-8", "content-length": "2"}),
        (Answer(json=None), b"null", {"content-type": "application/json", "content-length": "4"}),
        (Answer(json=1, headers={"Content-Type": "a/b"}), b"1", {"content-type": "a/b"}),
        (Answer(content=[b"one ", b"", b"two"]), b"one two", {"transfer-encoding": "chunked"}),
        (Answer(204), b"", {}),
        (Answer(304, headers={"ETag": '"x"'}), b"", {"etag": '"x"'}),
        (Answer(304, content=b"abc"), b"", {"content-length": "3"}),
        (Answer(content=b"abc", headers={"Content-Length": "3"}), b"abc", {"content-length": "3"}),
    ],
)
def test_an_answer_comes_as_a_server_would_send_it(fake: Fake, answer: Answer, body: bytes, fields: dict[str, str]) -> None:
    fake.get(API).answers(answer)
    fake.head(API).answers(answer)
    got, head = holdfast.get(API), holdfast.head(API)

    assert (got.content, head.content) == (body, b"")
    assert fields.items() <= {name.lower(): value for name, value in got.headers.items()}.items()
    assert got.headers == head.headers


def test_a_status_without_a_name_has_an_empty_reason(fake: Fake) -> None:
    fake.get(API).responds(299)

    assert holdfast.get(API).reason == ""
    assert repr(Answer(299, content=b"ab")) == "<Answer 299, 2 bytes>"


def test_the_content_of_an_answer_is_bytes_of_any_kind_and_nothing_else() -> None:
    assert Answer(content=memoryview(b"abc")).content == b"abc"
    pieces: list[Any] = [memoryview(b"a"), bytearray(b"bc")]
    assert Answer(content=pieces).pieces == [b"a", b"bc"]
    wrong: Any
    for wrong in ([1, 2], ["a"], 5):
        with pytest.raises(TypeError, match="expected"):
            Answer(content=wrong)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Answer(json=1, text="a"), "give one of json=, text= and content="),
        (lambda: Answer(99), "expected a status from 200 to 599"),
        (lambda: Answer(content="text"), "text= takes text"),  # type: ignore[arg-type]  # a mistake
        (lambda: Answer(True), "expected a status from 200 to 599"),
        (lambda: Answer(delay=-1), "expected seconds, not below 0"),
        (lambda: Answer(headers={"A": "b\nc"}), "control character"),
        (lambda: Answer(reason="a\r\nb"), "reason phrase .* control character"),
        (lambda: Fake().get(API).answers(), "give one reply for every request"),
        (lambda: Fake().get(API).fails("stale before use"), "give the reply to the request behind it"),
        (lambda: Fake().get(API).answers(failures.stale_before_use(), failures.timeout("pool")), "behind it"),
        (lambda: Fake().post(API, json=1, data={"a": "b"}), "a request has one body"),
        (lambda: Fake().get("api.example/items"), "expected https://host/path, or /path"),
        (lambda: Fake().get(7), "expected text, a compiled regular expression or None"),
    ],
)
def test_what_makes_no_sense_is_refused_when_it_is_said(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("reply", ["200", True, None, b"body", holdfast.ReadTimeout()])
def test_what_is_no_reply_is_refused(reply: object) -> None:
    with pytest.raises(TypeError, match="is no reply"):
        Fake().get(API).answers(reply)


def test_several_replies_are_given_once_each_and_then_the_route_is_used_up(lax: Fake) -> None:
    lax.get(API).answers(503, Answer(json=1), lambda call: 204)

    assert [holdfast.get(API).status_code for _ in range(3)] == [503, 200, 204]
    with pytest.raises(UnmatchedRequest, match=r"the replies of the route GET \S+/items are used up; it was called 3 times"):
        holdfast.get(API)


def test_a_route_that_is_used_up_leaves_the_request_to_the_next(fake: Fake) -> None:
    fake.get(API).answers(500, 502)
    fake.get(API).responds(200)

    assert [holdfast.get(API).status_code for _ in range(4)] == [500, 502, 200, 200]


def test_a_request_that_is_sent_again_when_the_replies_are_used_up_is_refused(lax: Fake) -> None:
    lax.get(API).answers(200, failures.lost_after_delivery())
    holdfast.get(API)

    with pytest.raises(UnmatchedRequest, match="are used up"):
        holdfast.get(API)


def test_a_function_answers_by_the_call(fake: Fake) -> None:
    def count(call: Call) -> Answer:
        return Answer(json=len(call.json()["items"]))

    fake.post(API).answers(count)

    assert holdfast.post(API, json={"items": [1, 2]}).json() == 2
    assert holdfast.post(API, data=iter([b'{"items": ', b"[1]}"])).json() == 1, "a body that gives its bytes once"


def test_retries_redirects_cookies_and_hooks_are_the_clients_own(fake: Fake) -> None:
    fake.get(API).answers(503, Answer(302, headers={"Location": "/moved", "Set-Cookie": "seen=1"}))
    moved = fake.get("https://api.example/moved", headers={"Cookie": "seen=1"})
    retries = holdfast.Retries(attempts=1, backoff=0)
    with holdfast.Client(retries=retries) as client:
        answer = client.get(API, hooks={"response": lambda response, **_: None})

    assert (answer.status_code, len(answer.history), moved.called) == (200, 1, 1)


# -- matching ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("matching", "fits", "fits_not"),
    [
        ({"url": "/items"}, ["http://a.b/items", "https://c/items"], ["http://a.b/items/1", "http://a.b/items?x=1"]),
        ({"url": "HTTPS://API.example:443/a%7eb"}, ["https://api.example/a~b"], ["http://api.example/a~b"]),
        ({"url": "https://api.example"}, ["https://api.example/"], ["https://api.example/x"]),
        ({"url": "https://api.example/*/x"}, ["https://api.example/1/x"], ["https://api.example/1/2/x"]),
        ({"url": "https://api.example/**"}, ["https://api.example/1/2/x"], ["https://api.example.org/1"]),
        ({"url": "https://*.example/x"}, ["https://a.b.example/x"], ["https://example/x", "https://a.example/y"]),
        ({"url": "http://localhost:*/"}, ["http://localhost:8080/"], ["http://localhost/"]),
        ({"url": holdfast.Url.parse("http://a.b/x")}, ["http://a.b/x"], ["http://a.b/y"]),
        ({"url": re.compile(r"/items/\d+")}, ["http://a.b/items/17?x=1"], ["http://a.b/items/x"]),
        ({"url": None}, ["http://a.b/anything?x=1"], []),
        ({"url": "/x?a=1&b=2"}, ["http://h/x?b=2&a=1"], ["http://h/x", "http://h/x?a=1", "http://h/x?a=1&b=2&c=3"]),
        ({"url": "/x?a=1", "params": {"a": 2, "b": ["x", "y"]}}, ["http://h/x?a=1&b=x&a=2&b=y"], ["http://h/x?a=1"]),
        ({"url": "/x", "params": "a=1&b="}, ["http://h/x?a=1&b="], ["http://h/x?a=1"]),
        ({"url": "/x", "params": [("a", "1"), ("a", "2")]}, ["http://h/x?a=1&a=2"], ["http://h/x?a=2&a=1"]),
        ({"url": "/x", "params": {"a": mock.ANY}}, ["http://h/x?a=7"], ["http://h/x?b=7", "http://h/x"]),
        ({"url": "/x", "params": {"a": None}}, ["http://h/x"], ["http://h/x?a=1"]),
        ({"url": "/x", "params": mock.ANY}, ["http://h/x", "http://h/x?a=1"], []),
        ({"url": re.compile("x"), "params": {"a": "1"}}, ["http://h/x?a=1"], ["http://h/x"]),
        ({"params": {"a": "1"}}, ["http://h/x?a=1"], ["http://h/x"]),
    ],
)
def test_a_route_matches_urls(lax: Fake, matching: dict[str, Any], fits: list[str], fits_not: list[str]) -> None:
    lax.route(**matching)
    for url in fits:
        assert holdfast.get(url).status_code == 200
    for url in fits_not:
        with pytest.raises(UnmatchedRequest):
            holdfast.get(url)


@pytest.mark.parametrize(
    ("headers", "fits"),
    [
        ({"x-key": "1"}, True),
        ({"X-Key": "2"}, False),
        ({"X-Key": re.compile(r"^\d$")}, True),
        ({"X-Key": re.compile("a")}, False),
        ({"X-Other": re.compile("a")}, False),
        ({"X-Key": mock.ANY}, True),
        ({"X-Other": None}, True),
        ({"X-Key": None}, False),
    ],
)
def test_a_route_matches_fields(lax: Fake, headers: dict[str, Any], fits: bool) -> None:
    lax.get(API, headers=headers)
    if fits:
        assert holdfast.get(API, headers={"X-Key": "1"}).status_code == 200
    else:
        with pytest.raises(UnmatchedRequest, match="header X-"):
            holdfast.get(API, headers={"X-Key": "1"})


@pytest.mark.parametrize(
    ("matching", "sent", "fits"),
    [
        ({"json": {"a": mock.ANY}}, {"json": {"a": 7}}, True),
        ({"json": {"a": 1}}, {"json": {"a": 2}}, False),
        ({"json": None}, {"data": b"no json"}, False),
        ({"content": b"ab"}, {"data": b"ab"}, True),
        ({"content": "ab"}, {"data": io.BytesIO(b"ab")}, True),
        ({"content": b"ab"}, {"data": iter([b"a", b"b"])}, True),
        ({"content": b"ab"}, {}, False),
        ({"content": lambda body: body.startswith(b"a")}, {"data": b"ab"}, True),
        ({"content": lambda body: False}, {"data": b"ab"}, False),
        ({"data": {"a": "1", "b": "x y"}}, {"data": {"a": "1", "b": "x y"}}, True),
        ({"data": {"a": "1"}}, {"data": {"a": "2"}}, False),
        ({"data": {}}, {}, True),
    ],
)
def test_a_route_matches_bodies(lax: Fake, matching: dict[str, Any], sent: dict[str, Any], fits: bool) -> None:
    lax.post(API, **matching)
    if fits:
        assert holdfast.post(API, **sent).status_code == 200
        assert lax.calls[0].body in (b"ab", b'{"a":7}', b'{"a": 7}', b"a=1&b=x+y", b"")
    else:
        with pytest.raises(UnmatchedRequest, match=r"(body|JSON): "):
            holdfast.post(API, **sent)


def test_each_verb_has_its_short_form(fake: Fake) -> None:
    verbs = ("get", "options", "head", "post", "put", "patch", "delete")
    for verb in verbs:
        getattr(fake, verb)(API)
    for verb in verbs:
        assert getattr(holdfast, verb)(API).status_code == 200

    assert [call.method for call in fake.calls] == [verb.upper() for verb in verbs]


# -- what is written down ----------------------------------------------------------------------------------------------


def test_calls_are_written_down_as_they_were(fake: Fake) -> None:
    route = fake.post(API).responds(201)
    large = b"x" * 100_000
    with holdfast.Client(headers={"X-Mine": "1"}) as client:
        client.post(API, json={"a": 1})
        client.post(API, data="text")
        client.post(API, data=iter([b"a", b"b"]))
        client.post(API, data=io.BytesIO(large))
        client.post(API)

    first = route.calls[0]
    assert (first.method, first.url, first.headers["X-Mine"], first.route) == ("POST", API, "1", route)
    assert (first.status_code, first.sent, first.json()) == (201, 1, {"a": 1})
    assert [call.body for call in fake.calls[1:]] == [b"text", b"ab", large, b""]
    assert fake.calls[1].text == "text"
    assert fake.calls == route.calls
    assert repr(first) == f"<Call POST {API}: 201, sent 1 time>"
    assert (route.called, repr(route)) == (5, f"<Expected POST {API}, called 5 times>")
    assert repr(fake) == "<holdfast.testing.Fake: 1 route, 5 calls>"


def test_a_body_that_was_not_written_whole_is_what_was_written_of_it(fake: Fake) -> None:
    fake.post(API).fails("early answer")
    answer = holdfast.post(API, data=iter([b"x" * 65536] * 100))

    assert (answer.status_code, answer.request_incomplete) == (413, True)
    assert 0 < len(fake.calls[0].body) < 6_553_600


def test_a_request_with_expect_is_told_to_continue_and_one_that_is_refused_is_not_sent(fake: Fake) -> None:
    fake.post(API).answers(200, failures.early_answer(417), 200)
    told: list[int] = []
    expect = {"Expect": "100-continue"}

    assert holdfast.post(API, data=b"a", headers=expect, on_informational=lambda status, _: told.append(status)).status_code == 200
    assert told == [100]
    assert holdfast.post(API, data=b"a", headers=expect).attempts == 2, "417: again, without the field"


# -- strictness --------------------------------------------------------------------------------------------------------


def test_what_no_route_is_for_is_refused_with_the_nearest_and_what_differs(lax: Fake) -> None:
    lax.get("https://other.example/unlike")
    lax.post("https://api.example/item", json={"a": 1})
    lax.post("https://api.example/items", json={"a": 1}, headers={"X-Shop": "1", "Authorization": "secret"})
    with pytest.raises(UnmatchedRequest) as caught:
        holdfast.put("https://user:word@api.example/items?page=2", json={"a": 1})

    assert str(caught.value).splitlines() == [
        f"PUT https://[secret]@{API[8:]}?page=2 was refused: no route of this Fake is for it. The nearest of 3 is POST {API}:",
        "  method: 'POST' is expected, 'PUT' came",
        "  query: nothing is expected, {'page': ['2']} came",
        "  header X-Shop: '1' is expected, nothing came",
        "  header Authorization: is not as expected (its values are secret)",
    ]
    assert lax.calls[0].route is None
    assert (lax.calls[0].sent, lax.calls[0].status_code) == (0, None)


def test_a_difference_of_bodies_is_shown_and_cut_short(lax: Fake) -> None:
    lax.post(API, json={"a": "x" * 300})
    with pytest.raises(UnmatchedRequest, match=r"JSON: \{'a': 'x{190,194}… is expected, \{'a': 2\} came"):
        holdfast.post(API, json={"a": 2})


def test_a_regular_expression_that_is_not_found_is_shown(lax: Fake) -> None:
    lax.get(re.compile("never"))
    with pytest.raises(UnmatchedRequest, match="url: /never/ is not found in"):
        holdfast.get(API)


def test_a_fake_without_routes_says_so() -> None:
    with pytest.raises(UnmatchedRequest, match="this Fake has no routes"), Fake():
        holdfast.get(API)


def test_no_handler_of_the_program_hides_a_refused_call() -> None:
    went_on = pytest.raises(UnmatchedRequest, match="wrong with requests, and the program went on:\nGET ")
    with went_on, Fake(), contextlib.suppress(Exception):  # as programs do
        holdfast.get(API)


def test_no_handler_of_the_program_hides_an_assertion_of_a_function_that_answers() -> None:
    def reply(call: Call) -> int:
        assert call.json() == {"a": 1}, "the wrong order"
        return 200

    fake = Fake()
    fake.post(API).answers(reply)
    with pytest.raises(AssertionError, match="the wrong order"), fake, contextlib.suppress(AssertionError):
        holdfast.post(API, json={"a": 2})
    holdfast.close()


def test_a_refused_call_is_no_error_of_the_network() -> None:
    assert not issubclass(UnmatchedRequest, OSError)


@pytest.mark.parametrize(
    ("replies", "called", "message"),
    [
        ((200,), 0, f"GET {API} was never called"),
        ((200, 201, 202), 2, f"GET {API} has given 2 of its 3 replies"),
    ],
)
def test_a_route_that_was_not_used_fails_the_block(replies: tuple[int, ...], called: int, message: str) -> None:
    fake = Fake()
    fake.get(API).answers(*replies)
    with pytest.raises(AssertionError, match=message), fake:
        [holdfast.get(API) for _ in range(called)]


def test_a_fake_may_be_told_not_to_mind() -> None:
    with Fake(assert_all_called=False) as fake:
        fake.get(API)
    with pytest.raises(AssertionError, match="not every route of this Fake was used"):
        fake.assert_all_called()


def test_a_fake_that_is_left_once_too_often_says_so() -> None:
    fake = Fake()
    with fake:
        pass

    with pytest.raises(RuntimeError, match="is not entered"):
        fake.__exit__(None, None, None)
    with fake:
        fake.get("http://a.example/").responds(204)
        assert holdfast.get("http://a.example/").status_code == 204, "it can be entered again"


def test_a_block_that_failed_fails_by_its_own_error() -> None:
    fake = Fake()
    fake.get(API)
    with pytest.raises(ZeroDivisionError), fake:
        raise ZeroDivisionError


# -- passing through ---------------------------------------------------------------------------------------------------


def test_what_passes_through_reaches_the_real_server_and_is_written_down() -> None:
    with Server(echo) as server, Fake(passthrough=True) as fake, holdfast.Client() as client:
        fake.get(API).responds(299)
        route = fake.get(server.url("/let")).passthrough()

        assert client.get(API).status_code == 299
        assert client.get(server.url("/let")).json()["target"] == "/let"
        assert client.get(server.url("/other")).json()["target"] == "/other"
    assert [(call.route, call.status_code) for call in fake.calls[1:]] == [(route, 200), (None, 200)]
    assert len(server.requests) == 2


# -- what is covered ---------------------------------------------------------------------------------------------------


def test_every_client_of_the_process_is_covered_also_one_that_has_a_connection_already(tls: Tls) -> None:
    with Server(echo, tls=tls.server_context()) as server, holdfast.Client(verify=tls.ca_path) as before:
        url = server.url("/x", host="localhost")
        before.get(url)
        with Fake() as fake, holdfast.Client() as inside, requests.Session() as session:
            fake.get(url).responds(299)
            answers = [
                before.get(url),
                inside.get(url),
                holdfast.get(url),
                session.get(url),
                requests.get(url),
                requests.api.get(url),
            ]
        after = before.get(url)
        holdfast.close()

    assert [answer.status_code for answer in answers] == [299] * 6
    assert (after.status_code, len(server.requests)) == (200, 2)
    assert server.connections == 1, "the real connection was kept meanwhile"


def test_a_client_may_have_a_fake_of_its_own_as_its_transport() -> None:
    fake = Fake()
    fake.get(API).fails("lost before delivery")
    with holdfast.Client(transport=fake) as client, holdfast.Client(transport=fake) as other:
        events: list[str] = []
        client.on_event(lambda event: events.append(event.kind))
        for each in (client, other):
            with pytest.raises(holdfast.ConnectionLost) as caught:
                each.get(API)
            assert not caught.value.may_have_executed
    fake.check()

    assert events[:4] == ["opened", "closed", "resent", "opened"]


def test_a_client_with_a_fake_of_its_own_goes_by_another_one_where_it_passes_through() -> None:
    with Fake() as outer, Fake(passthrough=True) as inner:
        outer.get(API).responds(298)
        inner.get("/mine").responds(299)
        own = Fake(passthrough=True)
        with holdfast.Client(transport=own) as client:
            statuses = [client.get(API).status_code, client.get("http://h/mine").status_code]

    assert statuses == [298, 299]


def test_a_transport_that_wraps_holdfasts_connections_is_covered_and_any_other_is_not() -> None:
    class Wrapping:
        def __init__(self) -> None:
            self.inner = holdfast.ConnectionTransport()

        def handle(self, request: Any, options: Any) -> Any:
            return self.inner.handle(request, options)

    class Other:
        def handle(self, request: Any, options: Any) -> Any:
            return holdfast.make_response(request, 297)

    with Fake() as fake, holdfast.Client(transport=Wrapping()) as wrapping, holdfast.Client(transport=Other()) as other:
        fake.get(API).responds(299)

        assert (wrapping.get(API).status_code, other.get(API).status_code) == (299, 297)


def test_two_fakes_one_after_the_other_share_no_connection() -> None:
    with holdfast.Client() as client:
        for _ in range(2):
            with Fake() as fake:
                fake.get(API)
                assert client.get(API).connection_info.reused is False  # type: ignore[union-attr]  # of an answer over a connection
                assert client.get(API).connection_info.reused is True  # type: ignore[union-attr]
            assert client.stats().idle == 0


def test_fakes_of_several_threads_may_leave_in_any_order() -> None:
    first, second = Fake(), Fake()
    for fake, status in ((first, 298), (second, 299)):
        fake.get(API).responds(status)
    before = holdfast.Client.send, Transport.send
    first.__enter__()
    second.__enter__()
    statuses = [holdfast.get(API).status_code]
    first.__exit__(AssertionError, AssertionError(), None)
    statuses.append(holdfast.get(API).status_code)
    second.__exit__(None, None, None)
    holdfast.close()

    assert statuses == [299, 299]
    assert (holdfast.Client.send, Transport.send) == before


def test_what_stands_on_holdfast_is_covered(fake: Fake) -> None:
    httpx = pytest.importorskip("httpx", reason="needs httpx: pip install 'holdfast-http[httpx]'")
    from holdfast.contrib.httpx import HoldfastTransport

    fake.get(API).responds(299)
    fake.post(API).fails("lost after delivery")
    with httpx.Client(transport=HoldfastTransport()) as client:
        assert client.get(API).status_code == 299
        with pytest.raises(httpx.RemoteProtocolError, match="may have executed"):
            client.post(API)


def test_connection_info_says_what_a_fake_can_say(fake: Fake) -> None:
    fake.get(API)
    answer = holdfast.get(API)

    assert answer.connection_info is not None
    assert (answer.connection_info.peer, answer.connection_info.tried) == ("192.0.2.1", (("192.0.2.1", ""),))
    assert answer.timings is not None


def test_threads_are_answered_each_their_own(fake: Fake) -> None:
    fake.get("/n/*").answers(lambda call: Answer(text=call.url.rpartition("/")[2]))
    together = threading.Barrier(8)

    def work(number: int) -> None:
        together.wait(10)
        for n in range(20):
            assert client.get(f"http://h/n/{number}-{n}").text == f"{number}-{n}"

    with holdfast.Client() as client:
        assert in_parallel(8, work) == []
    assert len(fake.calls) == 160


def test_a_streamed_answer_is_read_piece_by_piece_and_may_be_left_in_the_middle(fake: Fake) -> None:
    fake.get(API).responds(content=[b"one", b"two", b"three"])
    with holdfast.Client() as client:
        with client.get(API, stream=True) as answer:
            assert next(answer.iter_content(None)) == b"one"
        assert client.get(API).content == b"onetwothree"
        with client.get(API, stream=True) as answer:
            assert answer.raw.read(4) == b"onet"
        answer = client.get(API, stream=True)
    with pytest.raises(holdfast.ClientClosed):
        answer.content  # noqa: B018


def test_a_large_answer_is_read_past_the_parser(fake: Fake) -> None:
    large = bytes(range(256)) * 4096
    fake.get(API).responds(content=large)
    room = bytearray(len(large))

    assert holdfast.get(API).content == large
    with holdfast.get(API, stream=True) as answer:
        view, at = memoryview(room), 0
        while size := answer.raw.readinto(view[at:]):
            at += size
    assert room == large


def test_a_file_is_sent(fake: Fake, tmp_path: Any) -> None:
    path = tmp_path / "large"
    path.write_bytes(b"y" * 300_000)
    fake.put(API)
    with path.open("rb") as file:
        holdfast.put(API, data=file)

    assert fake.calls[0].body == b"y" * 300_000


def test_a_fake_answers_through_the_settings_of_a_proxy(fake: Fake) -> None:
    fake.get("http://api.example/x")
    fake.get(API)
    with holdfast.Client(proxies={"all": "http://proxy.example:3128"}) as client:
        assert client.get("http://api.example/x").status_code == 200
        assert client.get(API).status_code == 200


def test_a_pool_that_is_warmed_under_a_fake_has_the_fakes_connections_and_reaches_no_server() -> None:
    with Server(echo) as server, holdfast.Client() as client:
        with Fake() as fake:
            fake.get(server.url()).responds(299)
            assert client.warm(server.url(), 2) == 2
            assert client.get(server.url()).status_code == 299
            assert client.stats().created == 2
        assert server.connections == 0

        assert client.warm(server.url(), 1) == 1  # and the real one is there again
        server.wait_for_connections(1)


def test_warming_that_meets_the_end_of_a_fake_goes_the_real_way() -> None:
    with Server(echo) as server, holdfast.Client() as client:
        with Fake():
            late = Transport.warm  # as a thread has looked it up that runs on behind the end of the block
        route = client._routes.find(client.prepare_request(holdfast.Request("GET", server.url())), None, None)

        assert late(client._transport, route, 1, 5.0) == 1
        server.wait_for_connections(1)


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_client_with_a_fake_of_its_own_warms_that_ones_connections(wrapped: bool) -> None:
    fake = Fake()
    transport: Any = Wrapping(fake) if wrapped else fake
    with Server(echo) as server, holdfast.Client(transport=transport) as client:
        fake.get(server.url()).responds(299)
        assert client.warm(server.url(), 2) == 2
        assert client.get(server.url()).status_code == 299
        assert client.stats().created == 2

    assert server.connections == 0


class Wrapping:
    """A transport around another."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def handle(self, request: Any, options: Any) -> holdfast.Response:
        response: holdfast.Response = self.inner.handle(request, options)
        return response


# -- event streams -----------------------------------------------------------------------------------------------------

HOUR = b"retry: 3600000\nid: 1\ndata: one\n\n"


def stream(content: bytes) -> Answer:
    return Answer(content=content, headers={"Content-Type": "text/event-stream"})


def no_wait(self: Any, timeout: float | None = None) -> bool:
    raise AssertionError(f"it waits for {timeout} s")


@pytest.mark.parametrize("how", ["with", "transport"])
def test_an_event_stream_is_taken_up_again_without_a_wait(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Fake()
    fake.get(API).answers(stream(HOUR), failures.connection_refused(), stream(b"data: two\n\n"), 204)
    settings: dict[str, Any] = {"transport": fake} if how == "transport" else {}
    with holdfast.Client(**settings) as client, contextlib.ExitStack() as stack:
        source = client.events(API, max_pause=3600)
        monkeypatch.setattr(source._closed, "wait", no_wait)
        if how == "with":
            stack.enter_context(fake)
        assert [event.data for event in source] == ["one", "two"]


def test_a_sleep_of_the_streams_own_is_asked_all_the_same(fake: Fake) -> None:
    slept: list[float] = []
    fake.get(API).answers(stream(HOUR), 204)
    with holdfast.Client() as client:
        assert len(list(client.events(API, sleep=slept.append, max_pause=7))) == 1

    assert slept == [7]


@pytest.mark.parametrize("lets", [lambda fake: fake.get("https://other.example/").passthrough(), None])
def test_a_stream_that_may_go_to_a_real_server_waits(
    lets: Callable[[Fake], object] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    fake = Fake(passthrough=lets is None, assert_all_called=False)
    if lets is not None:
        lets(fake)
    fake.get(API).answers(stream(HOUR), 204)
    with fake, holdfast.Client() as client:
        source = client.events(API, max_pause=5)
        monkeypatch.setattr(source._closed, "wait", waits.append)
        assert len(list(source)) == 1

    assert waits == [5]


def test_a_stream_whose_fake_is_gone_waits_the_real_way() -> None:
    waits: list[float] = []
    with holdfast.Client() as client:
        with Fake(assert_all_called=False):
            late = Transport.rest
        late(client._transport, waits.append, 1.5)
        client._transport.rest(waits.append, 2.5)

    assert waits == [1.5, 2.5]


# -- addresses, and the guard ------------------------------------------------------------------------------------------


class Guard:
    """Allows public addresses; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int, str, bool]] = []

    def __call__(self, address: holdfast.DialAddress) -> bool:
        self.asked.append((str(address.ip), address.port, address.host, address.is_proxy))
        return holdfast.public_addresses_only(address)


@pytest.fixture
def guard() -> Guard:
    return Guard()


@pytest.mark.parametrize("url", ["http://169.254.169.254/latest/", "http://[::1]/", "http://127.1/"])
def test_a_guard_is_asked_for_an_address_in_the_url(lax: Fake, guard: Guard, url: str) -> None:
    route = lax.get(url)
    with holdfast.Client(allow_address=guard) as client, pytest.raises(holdfast.AddressRefused, match="refused by allow_address"):
        client.get(url)

    assert len(guard.asked) == 1
    assert route.calls[0].sent == 0


def test_a_guard_is_asked_for_the_addresses_that_a_name_is_said_to_have(guard: Guard) -> None:
    names = {"Inside.example.": "10.0.0.7", "mixed.example": ["10.0.0.7", "8.8.8.8"], "none.example": ["10.0.0.7", "fd00::7"]}
    with Fake(addresses=names) as fake, holdfast.Client(allow_address=guard) as client:
        fake.get("/", params=mock.ANY)
        with pytest.raises(holdfast.AddressRefused, match=r"the address 10\.0\.0\.7, port 80, of 'inside\.example' was refused"):
            client.get("http://inside.example/")
        with pytest.raises(holdfast.AddressRefused, match="None of the 2 addresses of this name is allowed"):
            client.get("http://none.example/")
        answer = client.get("http://Mixed.Example:81/")

    assert answer.connection_info is not None
    assert answer.connection_info.peer == "8.8.8.8"
    assert guard.asked[-2:] == [("10.0.0.7", 81, "mixed.example", False), ("8.8.8.8", 81, "mixed.example", False)]


def test_a_guard_is_not_asked_for_a_name_of_which_no_address_is_known(fake: Fake, guard: Guard) -> None:
    fake.get(API)
    with holdfast.Client(allow_address=guard) as client:
        assert client.get(API).ok

    assert guard.asked == []


def test_a_guard_is_asked_as_in_the_real_world_for_the_proxys_address(lax: Fake, guard: Guard) -> None:
    lax.get(API)
    client = holdfast.Client(allow_address=guard, proxies={"all": "http://10.0.0.1:3128"})
    with client, pytest.raises(holdfast.AddressRefused, match=r"of the proxy '10\.0\.0\.1'"):
        client.get(API)

    assert guard.asked == [("10.0.0.1", 3128, "10.0.0.1", True)]


def test_a_redirect_to_an_inner_address_is_refused_as_in_the_real_world(lax: Fake, guard: Guard) -> None:
    lax.get(API).responds(302, headers={"Location": "http://169.254.169.254/latest/"})
    inner = lax.get("http://169.254.169.254/latest/")
    with holdfast.Client(allow_address=guard) as client, pytest.raises(holdfast.AddressRefused):
        client.get(API)

    assert inner.calls[0].sent == 0


def test_a_pool_is_not_warmed_with_what_the_guard_refuses(guard: Guard) -> None:
    with Fake(addresses={"inside.example": "10.0.0.7"}), holdfast.Client(allow_address=guard) as client:
        assert client.warm("http://inside.example/", 1) == 0

    assert guard.asked == [("10.0.0.7", 80, "inside.example", False)]


def test_the_guard_of_the_connections_below_a_clients_own_fake_is_asked(guard: Guard) -> None:
    fake = Fake(inner=holdfast.ConnectionTransport(allow_address=guard))
    fake.get("http://10.0.0.7/")
    with holdfast.Client(transport=fake) as client, pytest.raises(holdfast.AddressRefused):
        client.get("http://10.0.0.7/")


@pytest.mark.parametrize("addresses", [{"a.example": "b.example"}, {"a.example": 7}, {"a.example": []}])
def test_what_is_said_to_be_an_address_is_one(addresses: Any) -> None:
    with pytest.raises(ValueError, match=r"^addresses=.*: expected an IP address, or several, for 'a\.example'"):
        Fake(addresses=addresses)

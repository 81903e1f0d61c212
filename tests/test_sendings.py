"""``Client.on_sending``: each time that a request goes out is told, and what came of it. A pool's events name their request."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import holdfast
from holdfast import Client, Limits, Retries, Sending
from holdfast.auth import HTTPDigestAuth
from holdfast.sendings import announce, on_every_transport, reason_after
from holdfast.transport import Transport
from tests.conftest import FakeClock, Tls
from tests.server import Conn, Server, connect_proxy, echo, head, ok, redirect, replies, response
from tests.support import QUICK

pytestmark = pytest.mark.usefixtures("no_leaks")

CHALLENGE = 'WWW-Authenticate: Digest realm="r", nonce="n", qop="auth"'


class Ledger:
    """An observer that keeps what it is told, and notes the moment at which each sending was over."""

    def __init__(self) -> None:
        self.begun: list[Sending] = []
        self.over: list[Sending] = []

    def __call__(self, sending: Sending) -> Callable[[], object]:
        self.begun.append(sending)
        return lambda: self.over.append(sending)

    @property
    def told(self) -> list[tuple[Any, ...]]:
        """(number, reason, status, name of the error) of each that is over."""
        return [(s.number, s.reason, s.status_code, s.error and type(s.error).__name__) for s in self.over]


def observed(client: Client) -> Ledger:
    """What a client's observer is told from now on."""
    ledger = Ledger()
    client.on_sending(ledger)
    return ledger


def stale(conn: Conn) -> None:
    """Answer once; the next request on this connection finds it ended, and is proven not to have been read."""
    conn.expect_request()
    conn.send(ok())
    conn.expect_request()
    conn.rst()


# -- which sendings there are, and why ---------------------------------------------------------------------------------


def test_one_call_is_one_sending_with_its_answer_and_its_connection() -> None:
    with Server(echo) as server, Client(timeout=QUICK) as client:
        ledger = observed(client)
        answers = [client.get(server.url()) for _ in range(2)]

    assert ledger.told == [(0, "", 200, None)] * 2
    assert ledger.begun == ledger.over
    assert [(s.peer, s.peer_port, s.reused) for s in ledger.over] == [
        ("127.0.0.1", server.port, False),
        ("127.0.0.1", server.port, True),
    ]
    assert [s.response for s in ledger.over] == answers


def test_hops_challenges_and_retries_are_sendings_of_one_call_each_with_its_reason() -> None:
    script = replies(
        redirect("/there"), response(401, b"", CHALLENGE), response(503, b"", "Retry-After: 0"), ok(), redirect("/x", 303), ok()
    )
    with Server(script) as server, Client(timeout=QUICK, retries=2, auth=HTTPDigestAuth("u", "p")) as client:
        ledger = observed(client)
        client.get(server.url("/here"))
        client.post(server.url("/form"), data=b"x")

    first, second = ledger.told[:4], ledger.told[4:]
    assert first == [
        (0, "", 302, None),
        (1, "redirect", 401, None),
        (2, "authentication", 503, None),
        (3, "retry", 200, None),
    ]
    assert second == [(0, "", 303, None), (1, "redirect", 200, None)]


def test_what_the_transport_sends_again_is_a_sending_with_the_reason_that_is_counted() -> None:
    with Server([stale, echo]) as server, Client(timeout=QUICK) as client:
        ledger = observed(client)
        client.get(server.url())
        answer = client.get(server.url())
        resent = client.stats().resent

    lost, last = ledger.over[1:]
    assert answer.resent == 1
    assert isinstance(lost.error, holdfast.ConnectionLost)
    assert (lost.reused, lost.peer_port, lost.response) == (True, server.port, None)
    assert (last.number, last.status_code) == (1, 200)
    assert resent == {last.reason: 1}


@pytest.mark.parametrize(
    ("status", "before", "fields", "reason"),
    [
        (408, 1, {}, "408 on a kept connection"),
        (417, 0, {"Expect": "100-continue"}, "without Expect, after a 417"),
    ],
)
def test_an_answer_that_is_not_the_users_ends_a_sending(status: int, before: int, fields: dict[str, str], reason: str) -> None:
    script = replies(*[ok()] * before, response(status, b"", "Connection: close"))
    with Server([script, echo]) as server, Client(timeout=QUICK) as client:
        ledger = observed(client)
        for _ in range(before):
            client.get(server.url())
        client.put(server.url(), data=b"x", headers=fields)

    assert ledger.told[before:] == [(0, "", status, None), (1, reason, 200, None)]
    assert ledger.over[before].response is None


def test_a_connection_that_cannot_be_had_fails_its_sending_and_each_retry() -> None:
    with Server() as server:
        url = server.url()
    with Client(timeout=QUICK, retries=Retries(1, backoff=0)) as client:
        ledger = observed(client)
        with pytest.raises(holdfast.ConnectionError):
            client.get(url)

    assert ledger.told == [(0, "", None, "ConnectionError"), (1, "retry", None, "ConnectionError")]
    assert [(s.peer, s.peer_port, s.reused) for s in ledger.over] == [("", None, None)] * 2


@pytest.mark.parametrize(
    ("status", "reason"),
    [(None, "retry"), (200, "retry"), (304, "retry"), (503, "retry"), (302, "redirect"), (401, "authentication")],
)
def test_the_reason_follows_from_the_answer_before(status: int | None, reason: str) -> None:
    assert reason_after(status) == reason


# -- when one is over --------------------------------------------------------------------------------------------------


def test_a_sending_ends_with_the_body_that_the_call_reads_else_with_the_head(clock: FakeClock) -> None:
    more = threading.Event()

    def script(conn: Conn) -> None:
        for _ in conn.read_requests():
            more.clear()
            clock.advance(2)
            conn.send(head(200, "Content-Length: 4"))
            conn.wait(more)
            clock.advance(3)
            conn.send(b"body")

    def has_head(answer: holdfast.Response, **_: Any) -> None:
        more.set()

    with Server(script) as server, Client(timeout=None, clock=clock, keeper=False) as client:
        ledger = observed(client)
        with client.get(server.url("/streamed"), stream=True) as answer:
            assert [s.ended - s.began for s in ledger.over] == [2]
            more.set()
            assert answer.content == b"body"
        client.get(server.url("/read"), hooks={"response": has_head})

    assert [s.ended - s.began for s in ledger.over] == [2, 5]


def test_a_body_cut_short_is_an_error_of_the_sending_if_the_call_reads_it() -> None:
    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(head(200, "Content-Length: 10") + b"half")

    with Server(script) as server, Client(timeout=QUICK) as client:
        ledger = observed(client)
        with pytest.raises(holdfast.IncompleteBody):
            client.get(server.url())
        answer = client.get(server.url(), stream=True)
        with pytest.raises(holdfast.IncompleteBody):
            answer.content  # noqa: B018 - reads it

    assert ledger.told == [(0, "", 200, "IncompleteBody"), (0, "", 200, None)]


def test_a_pause_before_a_retry_is_not_the_sendings_even_if_the_call_ends_in_it(clock: FakeClock) -> None:
    script = replies(response(503, b"", "Retry-After: 30"))
    with (
        Server(script) as server,
        Client(timeout=holdfast.Timeouts(total=10), clock=clock, sleep=clock.advance, keeper=False, retries=1) as client,
    ):
        ledger = observed(client)
        with pytest.raises(holdfast.TotalTimeout):
            client.get(server.url())

    assert ledger.told == [(0, "", 503, None)]
    assert ledger.over[0].ended == ledger.over[0].began


def test_too_many_redirects_are_an_error_of_the_last_sending() -> None:
    with Server(replies(redirect("/1"), redirect("/2"))) as server, Client(timeout=QUICK, max_redirects=1) as client:
        ledger = observed(client)
        with pytest.raises(holdfast.TooManyRedirects):
            client.get(server.url("/0"))

    assert ledger.told == [(0, "", 302, None), (1, "redirect", 302, "TooManyRedirects")]


@pytest.mark.parametrize(("error", "noted"), [(ValueError, None), (KeyboardInterrupt, "KeyboardInterrupt")])
def test_a_hook_that_fails_is_no_error_of_an_answer_but_an_interruption_is(error: type[BaseException], noted: str | None) -> None:
    def hook(answer: holdfast.Response, **_: Any) -> None:
        raise error("of the hook's")

    with Server(echo) as server, Client(timeout=QUICK, hooks={"response": hook}) as client:
        ledger = observed(client)
        with pytest.raises(error):
            client.get(server.url())

    assert ledger.told == [(0, "", 200, noted)]


# -- whose, and by which way -------------------------------------------------------------------------------------------


def test_a_session_tells_the_hops_of_one_call_as_a_client_does() -> None:
    script = replies(redirect("/b"), ok(b"b"), ok(b"c"))
    with Server(script) as server, holdfast.Session() as session:
        ledger = observed(session)
        session.get(server.url("/a"))
        prepared = session.prepare_request(holdfast.Request("GET", server.url("/c")))
        session.send(prepared)

    assert ledger.told == [(0, "", 302, None), (1, "redirect", 200, None), (0, "", 200, None)]


def test_a_session_whose_call_fails_tells_so() -> None:
    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(head(200, "Content-Length: 10") + b"half")

    with Server(script) as server, holdfast.Session() as session:
        ledger = observed(session)
        with pytest.raises(holdfast.IncompleteBody):
            session.get(server.url())
        prepared = session.prepare_request(holdfast.Request("GET", server.url()))
        with pytest.raises(holdfast.IncompleteBody):
            session.send(prepared)

    assert ledger.told == [(0, "", 200, "IncompleteBody")] * 2


def test_an_adapter_without_a_session_tells_too() -> None:
    with Server(echo) as server, holdfast.Session() as session:
        ledger = observed(session)
        prepared = session.prepare_request(holdfast.Request("GET", server.url()))
        session.get_adapter(server.url()).send(prepared).close()

    assert ledger.told == [(0, "", 200, None)]


@pytest.mark.needs("unix sockets")
def test_the_peer_is_the_unix_socket_or_the_proxy(tmp_path: Any, tls: Tls) -> None:
    path = str(tmp_path / "socket")
    with Server(echo, unix_path=path), Client(unix_socket=path, timeout=QUICK) as client:
        ledger = observed(client)
        client.get("http://localhost/")
    with (
        Server(echo, tls=tls.server_context()) as server,
        Server(connect_proxy) as proxy,
        Client(proxies={"https": proxy.url()}, verify=tls.ca_path, timeout=QUICK, trust_env=False) as client,
    ):
        tunnelled = observed(client)
        client.get(server.url(host="localhost"))

    assert [(s.peer, s.peer_port) for s in ledger.over] == [(path, None)]
    assert [(s.peer, s.peer_port) for s in tunnelled.over] == [("127.0.0.1", proxy.port)]


class Twice:
    """A transport of a user's: it asks again after a failure, and for /local it answers itself."""

    def __init__(self, inner: holdfast.BaseTransport) -> None:
        self.inner = inner

    def handle(self, request: holdfast.PreparedRequest, options: holdfast.TransportOptions) -> holdfast.Response:
        if request.path_url == "/local":
            return holdfast.make_response(request, 200)
        with Client(timeout=QUICK) as other:
            assert other.get(request.parsed.text + "token").ok  # a call of another client's
        try:
            return self.inner.handle(request, options)
        except holdfast.ConnectionLost:
            return self.inner.handle(request, options)


def test_sendings_below_a_transport_of_the_users_are_told_and_what_it_answers_itself_is_none() -> None:
    def lost(conn: Conn) -> None:
        conn.expect_request()

    connections = holdfast.ConnectionTransport()
    with Server([echo, lost, echo]) as server, Client(transport=Twice(connections), timeout=QUICK) as client:
        ledger = observed(client)
        client.post(server.url("/"), data=b"x")
        client.get("http://test.invalid/local")

    assert ledger.told == [(0, "", None, "ConnectionLost"), (1, "retry", 200, None)]


# -- observers ---------------------------------------------------------------------------------------------------------


def test_an_observers_fields_go_out_with_this_sending_alone_in_the_place_of_the_requests_own() -> None:
    def observer(sending: Sending) -> None:
        sending.fields["X-Number"] = str(sending.number)

    script = replies(redirect("/there"), ok(), ok())
    with Server(script) as server, Client(timeout=QUICK, headers={"x-number": "mine"}) as client:
        stop = client.on_sending(observer)
        answer = client.get(server.url())
        stop()
        client.get(server.url())
        received = server.requests

    assert [request.get_all("X-Number") for request in received] == [["0"], ["1"], ["mine"]]
    assert answer.request.headers["X-Number"] == "mine"


def test_of_equal_observers_each_is_taken_away_by_its_own_function_and_once() -> None:
    class Numbers(list[int]):
        def __call__(self, sending: Sending) -> None:
            self.append(sending.number)

    ended, twice = Numbers(), Numbers()
    with Server(replies(ok(), ok())) as server, Client(timeout=QUICK) as client:
        client.on_sending(twice)
        end_ended, end_twice = client.on_sending(ended), client.on_sending(twice)
        end_ended()
        client.get(server.url())
        end_twice()
        end_twice()
        client.get(server.url())
    assert (ended, twice) == ([], [0, 0, 0])


@pytest.mark.parametrize("fields", [{"X-A": "a\r\nb: c"}, {"X-\u20ac": "a"}, {"X-A": "\u20ac"}])
def test_fields_that_cannot_be_sent_are_left_out_and_logged(fields: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    with Server(echo) as server, Client(timeout=QUICK) as client:
        client.on_sending(lambda sending: sending.fields.update(fields))
        client.get(server.url())
        names = [name for name, _ in server.requests[0].headers]

    assert not [name for name in names if name.startswith("X-")]
    assert "fields that no request can have" in caplog.text


def test_an_observer_that_fails_harms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def begun(sending: Sending) -> Callable[[], object]:
        raise ValueError("begun")

    def over(sending: Sending) -> Callable[[], object]:
        return lambda: 1 / 0

    with Server(echo) as server, Client(timeout=QUICK) as client:
        client.on_sending(begun)
        client.on_sending(over)
        ledger = observed(client)

        assert client.get(server.url()).ok

    assert ledger.told == [(0, "", 200, None)]
    assert [record.exc_info and record.exc_info[0] for record in caplog.records] == [ValueError, ZeroDivisionError]


def test_every_transport_is_told_of_once_and_none_is_kept_alive() -> None:
    seen: list[weakref.ref[Transport]] = []
    early = Client()
    stop = on_every_transport(lambda transport: seen.append(weakref.ref(transport)))
    late = Client()
    ours = [client for client in (early, late) if [ref() for ref in seen].count(client._transport) == 1]
    stop()
    after = Client()

    assert ours == [early, late]
    assert after._transport not in [ref() for ref in seen]
    for client in (early, late, after):
        client.close()
    mine = weakref.ref(early._transport)
    del early, late, after, ours, client
    gc.collect()
    assert mine() is None


def test_a_watcher_that_fails_does_not_keep_a_client_from_being_made(caplog: pytest.LogCaptureFixture) -> None:
    def watcher(transport: Any) -> None:
        if transport == "made":
            raise ValueError("no")

    class Made(str):
        __slots__ = ("__weakref__",)

    stop = on_every_transport(watcher)
    announce(Made("made"))
    stop()

    assert "an observer of sendings failed" in caplog.text


# -- a pool's events ---------------------------------------------------------------------------------------------------


def test_events_name_the_method_and_the_origin_of_their_request() -> None:
    with Server([stale, echo]) as server, Client(timeout=QUICK) as client:
        events: list[holdfast.PoolEvent] = []
        client.on_event(events.append)
        client.get(server.url())
        client.put(server.url(), data=b"x")
        client.close_idle()
        origin = f"http://127.0.0.1:{server.port}"

    told = [(event.kind, event.method, event.request_origin) for event in events if event.kind != "learned"]
    assert told == [
        ("opened", "GET", origin),
        ("reused", "PUT", origin),
        ("closed", "PUT", origin),
        ("resent", "PUT", origin),
        ("opened", "PUT", origin),
        ("closed", "", ""),
    ]


def test_an_event_by_way_of_a_proxy_names_the_origin_of_the_url() -> None:
    with Server(replies(ok())) as proxy, Client(timeout=QUICK, proxies={"http": proxy.url()}, trust_env=False) as client:
        events: list[holdfast.PoolEvent] = []
        client.on_event(events.append)
        client.get("http://[::1]:8080/")

    assert {(event.origin, event.request_origin) for event in events if event.kind == "opened"} == {
        (f"the proxy http://127.0.0.1:{proxy.port}", "http://[::1]:8080")
    }


def test_waits_in_vain_and_leaks_name_their_request() -> None:
    limits = Limits(max_connections_per_origin=1)
    with Server(replies(head(200, "Content-Length: 9"))) as server, Client(timeout=QUICK, limits=limits) as client:
        events: list[holdfast.PoolEvent] = []
        client.on_event(events.append)
        answer: Any = client.get(server.url(), stream=True)
        with pytest.raises(holdfast.PoolTimeout):
            client.delete(server.url(), timeout=holdfast.Timeouts(pool=0.001))
        holder = [answer]
        del answer
        with pytest.warns(ResourceWarning):
            holder.clear()
        client.stats()  # which does what a finalizer has left

    told = {event.kind: event.method for event in events}
    assert (told["exhausted"], told["leaked"]) == ("DELETE", "GET")

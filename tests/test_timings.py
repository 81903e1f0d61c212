"""``response.timings`` and ``response.connection_info``: where a call's time went, and over which connection it went."""

from __future__ import annotations

import pickle
import socket
import threading
from types import SimpleNamespace
from typing import Any

import pytest

import holdfast
from holdfast.message.timings import Attempt, CallRecord, connection_of, timings_of
from holdfast.wire.opening import Opening
from tests.conftest import FakeClock, Tls
from tests.server import Conn, Server, connect_proxy, echo, head, ok, redirect, replies, response

pytestmark = pytest.mark.usefixtures("no_leaks")


def facts(answer: holdfast.Response) -> tuple[Any, Any]:
    """Timings and connection of a response, which has both."""
    assert answer.timings is not None
    assert answer.connection_info is not None
    return answer.timings, answer.connection_info


def test_the_first_call_has_the_steps_of_its_dial_and_the_next_has_none() -> None:
    with Server(echo) as server, holdfast.Client() as client:
        first, opened = facts(client.get(server.url()))
        second, reused = facts(client.get(server.url()))

    assert None not in (first.dns, first.tcp, first.download)
    assert (first.proxy, first.tls) == (None, None)
    assert (second.dns, second.tcp, second.proxy, second.tls) == (None,) * 4
    assert (opened.reused, opened.requests, opened.idle) == (False, 1, None)
    assert (reused.reused, reused.requests) == (True, 2)
    assert reused.idle is not None
    assert opened.peer == reused.peer == "127.0.0.1"
    assert opened.tried == (("127.0.0.1", ""),)


def test_each_phase_has_the_seconds_that_passed_in_it(clock: FakeClock) -> None:
    half, rest = threading.Event(), threading.Event()

    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(ok())
        conn.expect_request()
        conn.wait(half)
        clock.advance(3)
        conn.send(head(200, "Content-Length: 4") + b"ha")
        conn.wait(rest)
        conn.send(b"lf")
        conn.wait_closed()

    def arrived() -> None:
        server.wait_for_requests(2)
        half.set()

    with Server(script) as server, holdfast.Client(clock=clock, keeper=False) as client:
        client.get(server.url())
        clock.advance(7)
        threading.Thread(target=arrived).start()
        with client.get(server.url(), stream=True) as answer:
            early, info = facts(answer)
            clock.advance(5)
            rest.set()
            assert answer.content == b"half"
            late, _ = facts(answer)

    assert (info.idle, info.age) == (7, pytest.approx(7, abs=3))
    assert early.download is None
    assert early.send + early.wait == 3
    assert late.download == 5
    assert late.total == 8
    assert late.as_dict()["download"] == 5


def test_tls_says_what_was_agreed_on_and_whether_it_was_resumed(tls: Tls) -> None:
    with Server(tls=tls.server_context()) as server:
        infos = []
        for _ in range(2):
            with holdfast.Client(verify=tls.ca_path) as client:
                timings, info = facts(client.get(server.url(host="localhost")))
                infos.append(info)
                assert timings.tls is not None

    assert [info.tls_version for info in infos] == ["TLSv1.3"] * 2
    assert infos[0].tls_cipher.startswith("TLS_")
    assert infos[1].tls_resumed
    assert infos[1].as_dict()["tls_resumed"] is True


def test_the_group_is_told_where_python_tells_it() -> None:
    class Sock:
        session_reused = None

        def version(self) -> str:
            return "TLSv1.3"

        def cipher(self) -> None:
            return None

        def group(self) -> str:
            return "X25519MLKEM768"

        def selected_alpn_protocol(self) -> None:
            return None

    opening = Opening()
    opening.note_tls(Sock())

    assert (opening.tls_group, opening.tls_cipher, opening.alpn, opening.tls_resumed) == ("X25519MLKEM768", "", "", False)


def test_every_address_that_was_tried_says_what_became_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    look_up = socket.getaddrinfo
    dead = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.2", 1))
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, port, *more: [dead, *look_up("127.0.0.1", port, *more)])
    with Server(echo) as server, holdfast.Client() as client:
        _, info = facts(client.get(server.url(host="two.example")))

    assert info.tried == (("127.0.0.2", "Connection refused"), ("127.0.0.1", ""))
    assert info.peer == "127.0.0.1"


def test_by_way_of_a_proxy_the_peer_is_the_proxy(tls: Tls) -> None:
    with (
        Server(tls=tls.server_context()) as server,
        Server(connect_proxy) as proxy,
        holdfast.Client(verify=tls.ca_path, proxies={"all": proxy.url()}, trust_env=False) as client,
    ):
        timings, info = facts(client.get(server.url(host="localhost")))
    with Server(echo) as proxy, holdfast.Client(proxies={"all": proxy.url()}, trust_env=False) as client:
        forwarded, _ = facts(client.get("http://example.com/"))

    assert timings.proxy is not None
    assert timings.tls is not None
    assert info.peer == "127.0.0.1"
    assert forwarded.tls is None
    assert forwarded.proxy is not None


def test_a_unix_socket_has_no_address(tmp_path: Any) -> None:
    path = str(tmp_path / "s")
    with Server(echo, unix_path=path) as _, holdfast.Client(unix_socket=path) as client:
        timings, info = facts(client.get("http://localhost/"))

    assert (info.peer, info.tried) == ("", ())
    assert (timings.dns, timings.tcp) == (0, 0)


def test_the_attempts_that_came_to_nothing_have_reasons() -> None:
    def lost(conn: Conn) -> None:
        conn.expect_request()
        conn.send(ok())
        conn.expect_request()

    def tired(conn: Conn) -> None:
        conn.expect_request()
        conn.send(ok())
        conn.expect_request()
        conn.send(response(408, b"", "Connection: close"))

    for script, says in ((lost, "closed"), (tired, "408")):
        with Server([script, echo]) as server, holdfast.Client() as client:
            client.get(server.url())
            answer = client.get(server.url())
            _, info = facts(answer)
            reasons = client.stats().total.resent

        assert answer.attempts == 2
        (attempt,) = info.attempts
        assert says in attempt.error
        assert attempt.reused
        assert [attempt.reason] == [name for name, count in reasons.items() if count]
        assert not info.reused


def test_each_redirect_has_its_own(clock: FakeClock) -> None:
    with Server(replies(redirect("/b"), ok())) as server, holdfast.Client() as client:
        answer = client.get(server.url())

    assert facts(answer.history[0])[1].requests == 1
    assert facts(answer)[1].requests == 2


def test_what_comes_later_on_the_connection_changes_nothing() -> None:
    with Server(echo) as server, holdfast.Client() as client:
        first = client.get(server.url())
        before = facts(first)
        client.get(server.url())
        client.close()

        assert facts(first) == before


def test_a_body_that_was_given_up_has_an_end_too() -> None:
    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(head(200, "Content-Length: 999999999") + b"some")
        conn.wait_closed()

    with Server(script) as server, holdfast.Client() as client:
        with client.get(server.url(), stream=True) as answer:
            assert facts(answer)[0].download is None

        assert facts(answer)[0].download is not None


def test_a_response_built_by_hand_or_pickled_has_none() -> None:
    with Server(echo) as server, holdfast.Client() as client:
        copied = pickle.loads(pickle.dumps(client.get(server.url())))

    for answer in (copied, holdfast.Response()):
        assert answer.timings is None
        assert answer.connection_info is None


def test_a_connection_that_was_opened_before_the_call_began_cost_it_no_more_than_the_wait() -> None:
    opening = Opening()
    opening.dns, opening.tcp, opening.tls = 1.0, 2.0, 4.0

    record = record_of(opening)

    assert timings_of(record, 100.0, 102.0).queued == 0
    assert timings_of(record, 90.0, 102.0).queued == 3.5


def test_a_connection_that_the_dialer_did_not_open_says_what_is_known() -> None:
    info = connection_of(record_of(None))

    assert (info.reused, info.age, info.requests, info.peer, info.tried) == (False, 1.0, 1, "", ())
    assert info.attempts == (Attempt("stale", "lost", True),)
    assert timings_of(record_of(None), 100.0, 102.0).dns is None


def record_of(opening: Opening | None) -> CallRecord:
    """A call that had its connection at 100.5 and sent its request at 101."""
    lease = SimpleNamespace(resource=SimpleNamespace(opening=opening))
    return CallRecord(lease, SimpleNamespace(opened_at=100.0), None, 100.5, 1, 101.0, [Attempt("stale", "lost", True)])

"""One connection watched closely: what a step takes, what an answer says, and how a server ends what is idle."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from holdfast import ConnectionError as HoldfastConnectionError
from holdfast import ConnectTimeout, InvalidURL, ReadTimeout, RemoteProtocolError, SSLError
from holdfast.cli import probe
from holdfast.cli.probe import Target, dial, kernel_of
from tests.cli.support import answer_then, dialled, hang_up, mute
from tests.conftest import FakeClock, Tls
from tests.server import Conn, Server, chunked, head, ok, replies, response

pytestmark = pytest.mark.usefixtures("no_leaks")
linux = pytest.mark.needs("linux")  # only Linux tells what was acknowledged


class Spied:
    """A socket that says when it is asked for the second piece: the moment of the first byte has been noted by then."""

    def __init__(self, sock: socket.socket, asked_again: threading.Event) -> None:
        self._sock = sock
        self._asked_again = asked_again
        self._asked = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def recv(self, size: int) -> bytes:
        self._asked += 1
        if self._asked == 2:
            self._asked_again.set()
        return self._sock.recv(size)


def test_each_step_of_an_exchange_has_its_seconds(clock: FakeClock) -> None:
    def slow(conn: Conn) -> None:
        conn.expect_request()
        clock.advance(2)
        conn.send(head(200, "Content-Length: 4", "Keep-Alive: timeout=5", "X-Two: a", "X-Two: b") + b"ab")
        conn.wait(asked_again)
        clock.advance(3)
        conn.send(b"cd")

    asked_again = threading.Event()
    with Server(slow) as server, dialled(server, clock) as connection:
        connection.sock = Spied(connection.sock, asked_again)  # type: ignore[assignment]
        answer = connection.ask("GET", 60)

    assert answer.send + answer.wait + answer.download == answer.seconds == 5
    assert answer.download == 3
    assert (answer.status, answer.version, answer.size, answer.kept) == (200, "1.1", 4, True)
    assert answer.get("keep-alive") == "timeout=5"
    assert answer.get("X-Two") == "a, b"
    assert answer.get("absent") == ""


@pytest.mark.parametrize(
    ("sent", "kept", "says_close"),
    [
        (ok(b"x"), True, False),
        (chunked(b"x"), True, False),
        (ok(b"x", "Connection: Close"), False, True),
        (response(200, b"x", version="1.0"), False, False),
        (ok(b"x") + b"more", False, False),
    ],
)
def test_whether_a_connection_is_kept_is_what_both_sides_said(clock: FakeClock, sent: bytes, kept: bool, says_close: bool) -> None:
    with Server(replies(sent)) as server, dialled(server, clock) as connection:
        answer = connection.ask("GET", 5)

    assert (answer.kept, answer.says_close) == (kept, says_close)


def test_the_request_asks_to_be_kept_and_names_the_version_it_was_told(clock: FakeClock) -> None:
    with Server(replies(ok(), ok())) as server, dialled(server, clock) as connection:
        connection.ask("GET", 5)
        connection.ask("HEAD", 5, version="1.0", quick=True)
        assert connection.requests == 2

    first, second = server.requests
    assert (first.method, first.version, first.get("Connection"), first.get("Host")) == (
        "GET",
        "1.1",
        "keep-alive",
        f"127.0.0.1:{server.port}",
    )
    assert (second.method, second.version) == ("HEAD", "1.0")


@pytest.mark.parametrize(
    ("script", "error", "says"),
    [
        (hang_up, HoldfastConnectionError, "without an answer"),
        (lambda conn: (conn.expect_request(), conn.rst()), HoldfastConnectionError, "ended the connection"),
        (lambda conn: (conn.expect_request(), conn.send(b"SSH-2.0\r\n\r\n")), RemoteProtocolError, "is not HTTP"),
        (lambda conn: (conn.expect_request(), conn.send(head(200, "Content-Length: 9"))), RemoteProtocolError, "is not HTTP"),
        (replies(ok(b"x" * 11)), probe.AnswerTooLong, "longer than 10 bytes"),
    ],
)
def test_what_is_no_answer_is_an_error_that_says_so(
    clock: FakeClock, script: Callable[[Conn], None], error: type[Exception], says: str
) -> None:
    with Server(script) as server, dialled(server, clock) as connection, pytest.raises(error, match=says):
        connection.ask("GET", 5, most=10)


def test_an_answer_that_does_not_come_is_a_timeout(clock: FakeClock) -> None:
    with Server(replies()) as server, dialled(server, clock) as connection, pytest.raises(ReadTimeout, match=r"within 0\.1 s"):
        connection.ask("GET", 0.1)


def test_a_deadline_that_has_passed_while_the_answer_came_is_a_timeout(clock: FakeClock) -> None:
    def script(conn: Conn) -> None:
        conn.expect_request()
        clock.advance(6)
        conn.send(b"HTTP/1.1 200")
        conn.wait_closed()

    with Server(script) as server, dialled(server, clock) as connection, pytest.raises(ReadTimeout):
        connection.ask("GET", 5)


def test_a_tls_answer_that_is_cut_by_a_fin_is_an_error(clock: FakeClock, tls: Tls) -> None:
    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.fin()

    with (
        Server(script, tls=tls.server_context()) as server,
        dialled(server, clock, host="localhost", verify=tls.ca_path) as connection,
        pytest.raises(HoldfastConnectionError, match="ended the connection"),
    ):
        connection.ask("GET", 5)


@linux
def test_the_acknowledgement_is_seen_before_the_answer_where_it_comes_alone(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server answers only when the clock is asked after the kernel has told of the acknowledgement."""
    told, seen = threading.Event(), threading.Event()
    counts: list[int] = []

    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        conn.wait(seen)
        conn.send(ok())
        conn.wait_closed()

    def telling(sock: socket.socket) -> probe.Kernel | None:
        kernel = kernel_of(sock)
        assert kernel is not None
        counts.append(kernel.acked)
        if kernel.acked > counts[0]:
            told.set()
        return kernel

    def ticking() -> float:
        if told.is_set():
            seen.set()
        return clock.advance(0.001)

    monkeypatch.setattr(probe, "kernel_of", telling)
    with Server(script) as server, dialled(server, ticking) as connection:
        answer = connection.ask("GET", 60, watch_ack=True)

    assert answer.acked is not None
    assert 0 < answer.acked < answer.wait


@linux
def test_the_kernel_knows_a_connection_and_nothing_of_what_is_none() -> None:
    with Server() as server, socket.create_connection(server.address) as plain, socket.socket() as unconnected:
        kernel = kernel_of(plain)
        assert kernel is not None
        assert 0 < kernel.min_rtt <= 5
        assert kernel_of(unconnected) is None
    assert kernel_of(plain) is None


def test_another_system_tells_nothing(monkeypatch: pytest.MonkeyPatch, clock: FakeClock) -> None:
    monkeypatch.setattr(probe, "_TCP_INFO", None)
    with Server(replies(ok())) as server, dialled(server, clock) as connection:
        assert kernel_of(connection.sock) is None
        assert connection.ask("GET", 5, watch_ack=True).acked is None


def test_an_older_kernel_that_tells_less_is_not_asked_for_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_TCP_INFO", getattr(socket, "TCP_MAXSEG", 2))  # an option of four bytes
    with Server() as server, socket.create_connection(server.address) as plain:
        assert kernel_of(plain) is None


# -- how an idle connection ends ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (lambda conn: conn.fin(), "FIN"),
        (lambda conn: conn.rst(), "RST"),
        (lambda conn: (conn.send(b"HTTP/1.1 408 Late\r\n\r\n"), conn.fin()), "'HTTP/1.1 408 Late', then FIN"),
    ],
)
def test_a_plain_connection_ends_by_name(clock: FakeClock, end: Callable[[Conn], object], said: str) -> None:
    event = threading.Event()
    with Server(answer_then(event, end, ok())) as server, dialled(server, clock) as connection:
        connection.ask("GET", 5)
        assert connection.look() is None
        event.set()
        server.wait_idle()

        assert str(connection.wait_for_end(5)) == said


@linux
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    ("end", "said"),
    [
        (lambda conn: conn.close(), "close_notify"),
        (lambda conn: conn.fin(), "FIN without close_notify"),
        (lambda conn: conn.rst(), "RST"),
        (lambda conn: (conn.unwrap(), conn.wait_closed()), "close_notify, no FIN"),
    ],
)
def test_a_tls_connection_ends_by_name(
    clock: FakeClock, tls: Tls, version: ssl.TLSVersion, end: Callable[[Conn], object], said: str
) -> None:
    event = threading.Event()
    with (
        Server(answer_then(event, end, ok()), tls=tls.server_context(maximum=version)) as server,
        dialled(server, clock, host="localhost", verify=tls.ca_path) as connection,
    ):
        connection.ask("GET", 5)
        event.set()

        assert str(connection.wait_for_end(5)) == said


def test_where_no_system_call_tells_of_the_fin_alone_a_close_notify_counts_as_the_end(
    clock: FakeClock, tls: Tls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "_RDHUP", 0)
    event = threading.Event()
    with (
        Server(answer_then(event, lambda conn: conn.close(), ok()), tls=tls.server_context()) as server,
        dialled(server, clock, host="localhost", verify=tls.ca_path) as connection,
    ):
        connection.ask("GET", 5)
        event.set()

        assert str(connection.wait_for_end(5)) == "close_notify"


def test_a_connection_that_stays_open_has_no_end() -> None:
    import time

    with Server(replies(ok())) as server, dialled(server, time.monotonic) as connection:
        connection.ask("GET", 5)

        assert connection.wait_for_end(0.01) is None


@pytest.mark.parametrize(
    ("script", "use"),
    [
        (replies(ok(), ok()), "answered"),
        (replies(ok(), b"nonsense\r\n\r\n"), "answered"),
        (replies(ok()), "acknowledged, not answered"),
        (lambda conn: (conn.expect_request(), conn.send(ok()), conn.expect_request(), conn.rst()), "reset"),
        (lambda conn: (conn.expect_request(), conn.send(ok()), conn.expect_request()), "closed"),
    ],
)
@linux
def test_what_becomes_of_a_late_request_has_a_name(clock: FakeClock, script: Callable[[Conn], None], use: str) -> None:
    with Server(script) as server, dialled(server, clock) as connection:
        connection.ask("GET", 5)

        assert connection.delivered("GET", 0.3) == use


def test_a_request_that_nobody_acknowledges_is_silence(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's count stands still, as on a path that drops what is sent; here it is not asked at all."""
    with Server(replies(ok())) as server, dialled(server, clock) as connection:
        connection.ask("GET", 5)
        monkeypatch.setattr(probe, "_TCP_INFO", None)

        assert connection.delivered("GET", 0.1) == "silence"


# -- dialling ----------------------------------------------------------------------------------------------------------


def test_tls_sessions_are_resumed_when_they_are_offered(clock: FakeClock, tls: Tls) -> None:
    with Server(tls=tls.server_context()) as server:
        target = Target.of(server.url(host="localhost"), tls.ca_path)
        with closing(dial(target, 5, clock=clock)) as first:
            first.ask("GET", 5)
            session = first.session
            assert not first.resumed
            assert first.tls_version == "TLSv1.3"
            assert first.steps.seconds == first.steps.dns + first.steps.tcp + (first.steps.tls or 0)
        with closing(dial(target, 5, session=session, clock=clock)) as second:
            assert second.resumed


def test_a_plain_connection_has_no_session_and_no_version(clock: FakeClock) -> None:
    with Server() as server, dialled(server, clock) as connection:
        assert (connection.session, connection.resumed, connection.tls_version, connection.steps.tls) == (None, False, "", None)


def test_a_refused_port_and_an_unknown_name_are_no_connection(clock: FakeClock) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        target = Target.of(f"http://127.0.0.1:{bound.getsockname()[1]}/")
        with pytest.raises(HoldfastConnectionError, match="refused"):
            dial(target, 5, clock=clock)
    with pytest.raises(InvalidURL):
        Target.of("http:///nowhere")


def test_an_address_that_is_refused_gives_way_to_the_next(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server() as server:
        monkeypatch.setattr(probe, "addresses_of", lambda *_: [("127.0.0.1", 1), server.address])
        with dialled(server, clock) as connection:
            assert connection.address == server.address


def test_no_address_in_time_is_a_timeout(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    def late(*_: object) -> list[probe.Address]:
        clock.advance(9)
        return [("127.0.0.1", 1)]

    monkeypatch.setattr(probe, "addresses_of", late)
    with pytest.raises(ConnectTimeout, match="in time"):
        dial(Target.of("http://localhost/"), 5, clock=clock)


def test_a_handshake_that_fails_or_hangs_closes_the_socket(clock: FakeClock, tls: Tls) -> None:
    with Server(lambda conn: conn.send(b"not tls at all\r\n")) as server:
        target = Target.of(server.url(host="localhost").replace("http:", "https:"), tls.ca_path)
        with pytest.raises(SSLError, match="does not speak TLS"):
            dial(target, 5, clock=clock)
    with Server(mute) as server:
        target = Target.of(server.url(host="localhost").replace("http:", "https:"), tls.ca_path)
        with pytest.raises(ConnectTimeout, match="TLS handshake"):
            dial(target, 0.1, clock=clock)


def test_ctrl_c_in_the_handshake_closes_the_socket(clock: FakeClock, tls: Tls) -> None:
    class Interrupting(ssl.SSLContext):
        def wrap_socket(self, *_: object, **__: object) -> ssl.SSLSocket:
            raise KeyboardInterrupt

    with Server(mute) as server:
        target = Target(Target.of(server.url()).url, Interrupting(ssl.PROTOCOL_TLS_CLIENT))
        with pytest.raises(KeyboardInterrupt):
            dial(target, 5, clock=clock)
        server.wait_idle()

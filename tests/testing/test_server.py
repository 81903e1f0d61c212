"""The test server does what its scripts say, and nothing of it survives: proved with plain sockets and ssl alone."""

from __future__ import annotations

import json
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from holdfast.testing import ScriptFailed, behaviours
from tests.conftest import FakeClock, Tls, open_descriptors
from tests.server import (
    Conn,
    Server,
    chunked,
    connect_proxy,
    echo,
    head,
    ok,
    redirect,
    replies,
    response,
)

pytestmark = pytest.mark.usefixtures("no_leaks")

GET = b"GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n"


@contextmanager
def dial(server: Server) -> Iterator[socket.socket]:
    with socket.create_connection(server.address, 5) as sock:
        yield sock


@contextmanager
def dial_tls(server: Server, tls: Tls) -> Iterator[ssl.SSLSocket]:
    with (
        socket.create_connection(server.address, 5) as raw,
        tls.client_context().wrap_socket(raw, server_hostname="127.0.0.1", suppress_ragged_eofs=False) as sock,
    ):
        yield sock


def read_all(sock: socket.socket) -> bytes:
    pieces = []
    while piece := sock.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


def read_response(sock: socket.socket) -> bytes:
    """One response framed by Content-Length, head and body."""
    got = b""
    while b"\r\n\r\n" not in got:
        got += sock.recv(65536)
    size = int(got.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    while len(got.partition(b"\r\n\r\n")[2]) < size:
        got += sock.recv(65536)
    return got


class TestRequests:
    def test_a_request_is_read_byte_for_byte_and_entered_in_the_ledger(self) -> None:
        with Server(replies(ok(b"hi"))) as server, dial(server) as sock:
            sock.sendall(b"POST /p HTTP/1.1\r\nHost: x\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 5\r\n\r\nhello")
            assert read_response(sock) == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
            (request,) = server.requests
        assert (request.method, request.target, request.version) == ("POST", "/p", "1.1")
        assert request.headers == [("Host", "x"), ("X-A", "1"), ("x-a", "2"), ("Content-Length", "5")]
        assert request.get("X-a") == "1, 2"
        assert request.get("absent", "none") == "none"
        assert request.body == b"hello"
        assert request.head.startswith(b"POST /p HTTP/1.1\r\nHost: x\r\n")
        assert request.connection == 0

    @pytest.mark.parametrize("size", [1, 3, 1000])
    def test_a_chunked_body_is_joined_however_the_bytes_arrive(self, size: int) -> None:
        wire = b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: 1\r\n\r\n"
        with Server(replies(ok(), ok())) as server, dial(server) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for start in range(0, len(wire), size):
                sock.sendall(wire[start : start + size])
            read_response(sock)
            sock.sendall(GET)
            read_response(sock)
            first, second = server.requests
        assert (first.body, first.trailers) == (b"abcde", [("T", "1")])
        assert second.target == "/a?b"

    def test_pipelined_requests_are_told_apart(self) -> None:
        with Server(echo) as server, dial(server) as sock:
            sock.sendall(GET + GET)
            server.wait_for_requests(2)
            sock.shutdown(socket.SHUT_WR)
            assert read_all(sock).count(b"HTTP/1.1 200 OK") == 2

    def test_the_client_leaving_before_or_inside_a_request_reads_as_none(self) -> None:
        read: list[object] = []

        def script(conn: Conn) -> None:
            read.append((conn.read_request(), conn.ending, conn.buffered))

        put = b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        cut = [b"", b"GET /", b"PUT / HTTP/1.1\r\nContent-Length: 9\r\n\r\nhalf"]
        cut += [put, put + b"1", put + b"3\r\nab", put + b"0\r\nT: 1\r\n"]
        with Server(script) as server:
            for number, said in enumerate(cut):
                with dial(server) as sock:
                    sock.sendall(said)
                server.wait_idle(number + 1)
            assert server.requests == []
        unread = [b"", b"GET /", b"half", b"", b"1", b"ab", b""]
        assert read == [(None, "fin", rest) for rest in unread]

    def test_head_and_body_can_be_read_apart(self) -> None:
        def script(conn: Conn) -> None:
            request = conn.read_head()
            assert request is not None
            assert conn.server.requests == []
            conn.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            whole = conn.read_body(request)
            assert whole is not None
            conn.send(ok(whole.body))

        with Server([script]) as server, dial(server) as sock:
            sock.sendall(b"POST / HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
            assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
            sock.sendall(b"ab")
            assert read_all(sock).endswith(b"\r\n\r\nab")

    @pytest.mark.parametrize("framing", [b"Content-Length: 2", b"Transfer-Encoding: chunked"])
    def test_a_request_that_is_read_whole_and_waits_for_a_100_gets_one(self, framing: bytes) -> None:
        body = b"ab" if b"Length" in framing else b"2\r\nab\r\n0\r\n\r\n"
        with Server() as server, dial(server) as sock:
            for _ in range(2):
                sock.sendall(b"POST / HTTP/1.1\r\n" + framing + b"\r\nExpect: 100-Continue\r\n\r\n")
                assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
                sock.sendall(body)
                assert b'"body": "ab"' in sock.recv(4096)

    @pytest.mark.parametrize(
        "wire",
        [
            b"POST / HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nab",
            b"POST / HTTP/1.1\r\nContent-Length: 0\r\nExpect: 100-continue\r\n\r\n",
            b"POST / HTTP/1.1\r\nExpect: 100-continue\r\n\r\n",
            b"POST / HTTP/1.0\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nab",
            b"POST / HTTP/1.1\r\nContent-Length: 2\r\nExpect: tea\r\n\r\nab",
        ],
    )
    def test_no_100_is_sent_where_no_body_is_waiting_for_one(self, wire: bytes) -> None:
        with Server() as server, dial(server) as sock:
            sock.sendall(wire)
            assert sock.recv(4096).startswith(b"HTTP/1.1 200 OK")

    @pytest.mark.parametrize(
        "wire",
        [
            b"GET /\r\n\r\n",
            b"GET / SPDY/1\r\n\r\n",
            b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
            b"GET / HTTP/1.1\r\nName : x\r\n\r\n",
            b"GET / HTTP/1.1\r\n: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nA: x\ny\r\n\r\n",
            b"GET / HTTP/1.1\r\nA: x\ry\r\n\r\n",
            b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n1",
            b"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1",
            b"GET / HTTP/1.1\r\nContent-Length: +1\r\n\r\n1",
            b"GET / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
            b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\naXY",
        ],
    )
    def test_a_request_no_server_should_have_to_read_fails_the_test(self, wire: bytes) -> None:
        with pytest.raises(AssertionError), Server(replies(ok())) as server:  # noqa: PT012 - the exit raises it
            with dial(server) as sock:
                sock.sendall(wire)
                assert read_all(sock) == b""
            server.wait_idle()


class TestAnswers:
    def test_echo_answers_with_the_request_and_its_nonce_until_the_client_says_close(self) -> None:
        with Server() as server, dial(server) as sock:
            for nonce in ("n1", "n2"):
                sock.sendall(
                    f"POST /e HTTP/1.1\r\nX-Nonce: {nonce}\r\nContent-Length: 2\r\n\r\n\xe9!".encode("latin-1")
                )
                answer = read_response(sock)
                assert f"X-Nonce: {nonce}".encode() in answer
                said = json.loads(answer.partition(b"\r\n\r\n")[2])
                assert said["method"] == "POST"
                assert said["target"] == "/e"
                assert said["body"] == "\xe9!"
                assert said["headers"][0] == ["X-Nonce", nonce]
                assert said["connection"] == 0
            sock.sendall(b"HEAD / HTTP/1.1\r\nConnection: close\r\n\r\n")
            assert read_all(sock).endswith(b"\r\n\r\n")

    def test_the_ready_made_responses_are_framed_as_they_say(self) -> None:
        assert response(404, b"no", "X: y", reason="Not", version="1.0") == (
            b"HTTP/1.0 404 Not\r\nContent-Length: 2\r\nX: y\r\n\r\nno"
        )
        assert head(204) == b"HTTP/1.1 204 Said So\r\n\r\n"
        assert redirect("/b") == b"HTTP/1.1 302 Elsewhere\r\nContent-Length: 0\r\nLocation: /b\r\n\r\n"
        assert chunked(b"abc", b"d" * 17, headers=["A: b"], trailers=["T: 1"]) == (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nA: b\r\n\r\n"
            b"3\r\nabc\r\n11\r\nddddddddddddddddd\r\n0\r\nT: 1\r\n\r\n"
        )

    def test_connection_k_runs_script_k(self) -> None:
        with Server([replies(ok(b"zero")), replies(ok(b"one"))]) as server:
            for expected in (b"zero", b"one"):
                with dial(server) as sock:
                    sock.sendall(GET)
                    assert read_response(sock).endswith(expected)
            server.wait_for_connections(2)
            assert server.connections == 2
            assert [request.connection for request in server.requests] == [0, 1]

    def test_it_listens_on_ipv6_and_unix_sockets(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        with Server(host="::1") as server, dial(server) as sock:
            assert server.url("/x") == f"http://[::1]:{server.port}/x"
            assert server.url(host="localhost") == f"http://localhost:{server.port}/"
            sock.sendall(GET)
            assert b"200 OK" in read_response(sock)
        path = str(tmp_path_factory.mktemp("unix") / "s")
        with Server(unix_path=path), socket.socket(socket.AF_UNIX) as sock:
            sock.connect(path)
            sock.sendall(GET)
            assert b"200 OK" in read_response(sock)

    def test_the_proxy_relays_both_ways(self) -> None:
        with Server() as origin, Server(connect_proxy) as proxy, dial(proxy) as sock:
            sock.sendall(f"CONNECT origin.example:{origin.port} HTTP/1.1\r\n\r\n".encode())
            assert sock.recv(1000) == b"HTTP/1.1 200 Connection established\r\n\r\n"
            sock.sendall(GET)
            assert b"200 OK" in read_response(sock)
            assert len(origin.requests) == len(proxy.requests) == 1


class TestLeaving:
    def test_fin_ends_one_direction_only(self) -> None:
        heard: list[bytes] = []

        def script(conn: Conn) -> None:
            conn.expect_request()
            conn.fin()
            heard.append(conn.recv())

        with Server(script) as server, dial(server) as sock:
            sock.sendall(GET)
            assert sock.recv(1) == b""
            sock.sendall(b"still here")
            server.wait_idle()
        assert heard == [b"still here"]

    def test_rst_is_an_rst(self) -> None:
        def script(conn: Conn) -> None:
            conn.expect_request()
            conn.rst()
            assert conn.closed

        with Server(script) as server, dial(server) as sock:
            sock.sendall(GET)
            with pytest.raises(ConnectionResetError):
                sock.recv(1)

    @pytest.mark.parametrize("end", ["rst", "close"])
    def test_the_test_can_end_a_connection_whose_script_is_reading(self, end: str) -> None:
        with Server(replies(ok(), ok())) as server, dial(server) as sock:
            sock.sendall(GET)
            read_response(sock)
            getattr(server.conn(0), end)()
            if end == "close":
                assert sock.recv(1) == b""
            else:
                with pytest.raises(ConnectionResetError):
                    sock.recv(1)

    def test_it_knows_how_the_client_left(self) -> None:
        endings: list[str] = []
        with Server(lambda conn: endings.append(conn.wait_closed())) as server:
            with dial(server) as sock:
                sock.sendall(b"whatever")
            server.wait_idle()
            with dial(server) as sock:
                server.conn(1)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            server.wait_idle(2)
        assert endings == ["fin", "rst"]

    def test_a_client_that_leaves_during_the_answer_is_noted_and_no_error(self) -> None:
        def script(conn: Conn) -> None:
            conn.expect_request()
            while True:
                conn.send(b"x" * 1_000_000)

        with Server(script) as server:
            with dial(server) as sock:
                sock.sendall(GET)
                sock.recv(1)
            server.wait_idle()
            ((number, error),) = server.departures
        assert number == 0
        assert isinstance(error, ConnectionError)

    def test_it_can_stop_listening_and_go_on_serving(self) -> None:
        with Server() as server, dial(server) as sock:
            sock.sendall(GET)
            read_response(sock)
            server.stop_listening()
            with pytest.raises(ConnectionRefusedError), dial(server):
                pass
            sock.sendall(GET)
            assert b"200 OK" in read_response(sock)


class TestTls:
    def test_it_speaks_tls_and_counts_handshakes_and_resumptions(self, tls: Tls) -> None:
        with Server(replies(ok()), tls=tls.server_context()) as server:
            context = tls.client_context()
            session = None
            for _ in range(2):
                with (
                    socket.create_connection(server.address, 5) as raw,
                    context.wrap_socket(raw, server_hostname="localhost", session=session) as sock,
                ):
                    sock.sendall(GET)
                    assert b"200 OK" in read_response(sock)
                    session = sock.session
            assert server.url() == f"https://127.0.0.1:{server.port}/"
            server.wait_for_handshakes(2)
            assert (server.handshakes, server.resumptions) == (2, 1)
            assert not server.conn(0).session_reused

    def test_unwrap_sends_close_notify_and_leaves_tcp_open(self, tls: Tls) -> None:
        unwrapped = threading.Event()
        endings: list[str] = []

        def script(conn: Conn) -> None:
            conn.expect_request()
            conn.unwrap()
            unwrapped.set()
            endings.append(conn.wait_closed())

        with Server(script, tls=tls.server_context()) as server, dial_tls(server, tls) as sock:
            sock.sendall(GET)
            assert sock.recv(1) == b""  # suppress_ragged_eofs is off: only a close_notify reads as an end
            assert unwrapped.wait(5)
            assert not server.conn(0).closed
            sock.unwrap()
            sock.close()
            server.wait_idle()
        assert endings == ["close_notify"]

    def test_fin_over_tls_is_a_cut_without_close_notify_and_reading_goes_on(self, tls: Tls) -> None:
        cut = threading.Event()
        heard: list[bytes | str] = []

        def script(conn: Conn) -> None:
            conn.expect_request()
            conn.fin()
            cut.set()
            heard.extend([conn.recv(), conn.wait_closed()])

        with Server(script, tls=tls.server_context()) as server:
            with dial_tls(server, tls) as sock:
                sock.sendall(GET)
                assert cut.wait(5)
                sock.sendall(b"encrypted")
                with pytest.raises(ssl.SSLEOFError):
                    sock.recv(1)
            server.wait_idle()
        assert heard[0] == b"encrypted"
        assert heard[1] in ("alert", "fin")  # by the client's OpenSSL version

    def test_a_script_that_ends_over_tls_says_close_notify(self, tls: Tls) -> None:
        with Server(lambda conn: None, tls=tls.server_context()) as server, dial_tls(server, tls) as sock:
            assert sock.recv(1) == b""

    def test_unwrap_is_refused_without_tls(self) -> None:
        with pytest.raises(AssertionError, match="for TLS"), Server(Conn.unwrap) as server:  # noqa: PT012
            with dial(server) as sock:
                sock.recv(1)
            server.wait_idle()

    def test_a_failed_handshake_is_noted_and_no_error(self, tls: Tls) -> None:
        with Server(tls=tls.server_context()) as server:
            with dial(server) as sock:
                sock.sendall(GET)
                server.wait_for_handshakes(1)
            assert server.handshakes == 0
            assert len(server.handshake_errors) == 1
            assert server.requests == []

    def test_a_client_certificate_can_be_asked_for(self, tls: Tls) -> None:
        old = tls.server_context(ask_client=True, maximum=ssl.TLSVersion.TLSv1_2)
        with Server(tls=old) as server:
            with pytest.raises((ssl.SSLError, ConnectionError)), dial_tls(server, tls):
                pass
            context = tls.client_context()
            context.load_cert_chain(tls.client_cert_only, tls.client_key)
            with (
                socket.create_connection(server.address, 5) as raw,
                context.wrap_socket(raw, server_hostname="localhost") as sock,
            ):
                assert sock.version() == "TLSv1.2"

    def test_a_proxys_script_can_begin_tls_later(self, tls: Tls) -> None:
        def script(conn: Conn) -> None:
            assert conn.expect_request().method == "CONNECT"
            conn.send(ok())
            conn.start_tls(tls.server_context())
            conn.send(ok(b"secret"))

        with Server(script) as server, dial(server) as raw:
            raw.sendall(b"CONNECT x:1 HTTP/1.1\r\n\r\n")
            read_response(raw)
            with tls.client_context().wrap_socket(raw, server_hostname="localhost") as sock:
                assert read_response(sock).endswith(b"secret")
            assert server.handshakes == 1


class TestBounds:
    def test_a_scripts_exception_is_raised_when_the_block_ends(self) -> None:
        def script(conn: Conn) -> None:
            raise RuntimeError("the script is wrong")

        with pytest.raises(RuntimeError, match="the script is wrong"), Server(script) as server:  # noqa: PT012
            with dial(server) as sock:
                sock.recv(1)
            server.wait_idle()

    def test_the_tests_own_failure_comes_first_and_the_servers_is_printed(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def script(conn: Conn) -> None:
            raise RuntimeError("the script is wrong")

        with pytest.raises(KeyError, match="the test"), Server(script) as server:  # noqa: PT012
            with dial(server) as sock:
                sock.recv(1)
            raise KeyError("the test")
        assert "the script is wrong" in capsys.readouterr().err

    def test_a_wait_for_what_cannot_come_any_more_raises_the_scripts_error_at_once(self) -> None:
        def script(conn: Conn) -> None:
            raise RuntimeError("the script is wrong")

        def leave(conn: Conn) -> None:
            raise AssertionError("not reached")

        with pytest.raises(RuntimeError), Server([script, leave]) as server, dial(server):
            server.wait_for_requests(1)

    def test_a_connection_too_many_fails_the_test(self) -> None:
        with pytest.raises(AssertionError, match="connection 1 was opened, but there are scripts for 0 only"):  # noqa: PT012,SIM117
            with Server([]) as server:
                with dial(server) as sock:
                    sock.recv(1)
                server.wait_idle()

    def test_an_expected_request_that_does_not_come_fails_the_test(self) -> None:
        with pytest.raises(AssertionError, match="ended \\(fin\\) where a request was expected"):  # noqa: PT012,SIM117
            with Server(replies(ok())) as server:
                with dial(server):
                    pass
                server.wait_idle()

    def test_waiting_for_what_does_not_come_says_what(self) -> None:
        with (
            Server(wait_seconds=0.01) as server,
            pytest.raises(AssertionError, match=r"2 requests did not come within 0\.01 s: <Server"),
        ):
            server.wait_for_requests(2)

    def test_scripts_blocked_in_reading_or_waiting_end_with_the_server(self) -> None:
        never = threading.Event()

        def wait(conn: Conn) -> None:
            conn.wait(never)
            raise AssertionError("went on after the server was stopped")

        def read(conn: Conn) -> None:
            conn.read_request()
            raise AssertionError("went on after the server was stopped")

        def send(conn: Conn) -> None:
            while True:
                conn.send(b"x" * 1_000_000)

        with Server([wait, read, send]) as server:
            socks = [socket.create_connection(server.address) for _ in range(3)]
            server.wait_for_connections(3)
        assert " 3 connections, 0 running, 0 requests, 0 errors>" in repr(server)
        for sock in socks:
            sock.close()

    def test_a_handshake_that_never_comes_ends_with_the_server(self, tls: Tls) -> None:
        with Server(tls=tls.server_context()) as server:
            sock = socket.create_connection(server.address)
            server.wait_for_connections(1)
        assert " 1 connection, 0 running, 0 requests, 0 errors>" in repr(server)
        sock.close()

    def test_a_script_waits_for_the_tests_event(self) -> None:
        go = threading.Event()

        def script(conn: Conn) -> None:
            conn.wait(go)
            conn.send(ok(b"gone on"))

        with Server(script) as server, dial(server) as sock:
            go.set()
            assert read_response(sock).endswith(b"gone on")

    def test_a_script_that_does_not_end_fails_the_test(self) -> None:
        stubborn = threading.Event()

        def script(conn: Conn) -> None:
            stubborn.wait(5)

        with pytest.raises(AssertionError, match=r"still running 0\.05 s after the server was stopped"):  # noqa: SIM117
            with Server(script, stop_seconds=0.05) as server, dial(server):
                server.wait_for_connections(1)
        stubborn.set()


class TestFixtures:
    def test_the_clock_stands_until_it_is_advanced(self, clock: FakeClock) -> None:
        assert clock() == clock() == 1000.0
        assert clock.advance(2.5) == clock() == 1002.5
        with pytest.raises(ValueError, match="does not go back"):
            clock.advance(-1)

    def test_an_open_socket_is_seen_as_a_descriptor(self) -> None:
        before = open_descriptors()
        with socket.socket() as sock:
            new = set(open_descriptors()) - set(before)
            assert new == {sock.fileno()}


class TestWhatIsNoScript:
    """It is said where the server is made, or given its script, and not when the first client has come."""

    @pytest.mark.parametrize(
        ("wrong", "hint"),
        [
            ("x", "expected a function of a Conn, or a list of such functions"),
            (ok(b"hello"), r"behaviours\.replies\(response\) answers with a response"),
            (None, "expected a function of a Conn"),
            (7, "expected a function of a Conn"),
            ([echo, "x"], r"script\[1\]='x': expected a function of a Conn"),
            ([ok()], r"script\[0\]=b'HTTP/1\.1 200 OK"),
            (behaviours.loses, r"behaviours\.loses makes a script: call it, behaviours\.loses\(\.\.\.\)"),
            ([behaviours.keeps_alive], r"script\[0\]: behaviours\.keeps_alive makes a script"),
        ],
    )
    def test_is_refused_at_once(self, wrong: Any, hint: str) -> None:
        with pytest.raises(TypeError, match=hint):
            Server(wrong)
        with Server() as server, pytest.raises(TypeError, match=hint):
            server.script = wrong

    def test_every_behaviour_that_makes_a_script_is_known_as_one(self) -> None:
        annotated = {name: getattr(value, "__annotations__", {}) for name, value in vars(behaviours).items()}
        makers = {name for name, types in annotated.items() if types.get("return") == "Script"}

        assert makers == {maker.__name__ for maker in behaviours.MAKERS}

    @pytest.mark.parametrize("wrong", ["cert.pem", 1, object()])
    def test_tls_that_is_no_context_is_refused(self, wrong: Any) -> None:
        with pytest.raises(TypeError, match=r"expected an ssl\.SSLContext of a server, True or None"):
            Server(tls=wrong)

    def test_a_script_that_only_makes_one_fails_the_test(self) -> None:
        def maker(conn: Conn) -> Any:
            return echo

        with pytest.raises(ScriptFailed, match="maker returned a function"), Server(maker) as server, dial(server) as sock:
            assert read_all(sock) == b""

    def test_an_asynchronous_script_fails_the_test(self) -> None:
        async def later(conn: Conn) -> None:
            conn.send(ok())

        with pytest.raises(ScriptFailed, match="later is asynchronous"), Server(later) as server, dial(server) as sock:
            assert read_all(sock) == b""

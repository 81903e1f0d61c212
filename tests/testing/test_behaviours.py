"""What the ready-made scripts promise, seen by a client that must live with it, and by a plain socket where bytes count."""

from __future__ import annotations

import socket
import ssl

import pytest

import holdfast
from holdfast.testing import Server
from holdfast.testing.behaviours import (
    REQUEST_TIMEOUT,
    Ending,
    answers_early,
    cuts,
    drips,
    keeps_alive,
    loses,
    silent,
)
from holdfast.testing.connection import Conn, Script
from holdfast.testing.responses import ok, response

pytestmark = pytest.mark.usefixtures("no_leaks")

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"


def heard(server: Server, *sent: bytes) -> tuple[bytes, str]:
    """All that a plain connection is told when it sends this, and how it ends: "eof" or "reset"."""
    with socket.create_connection(server.address, 5) as sock:
        got = b""
        for each in sent:
            sock.sendall(each)
        try:
            while piece := sock.recv(65536):
                got += piece
        except ConnectionResetError:
            return got, "reset"
        return got, "eof"


class TestKeepsAlive:
    def test_it_answers_in_turn_and_repeats_the_last_answer(self) -> None:
        with Server(keeps_alive(ok(b"a"), lambda request: ok(request.target.encode()))) as server, holdfast.Client() as client:
            said = [client.get(server.url(path)).text for path in ("/1", "/2", "/3")]

            assert said == ["a", "/2", "/3"]
            assert server.connections == 1

    def test_a_connection_ends_without_notice_behind_so_many_answers(self) -> None:
        with Server(keeps_alive(requests=2)) as server:
            got, end = heard(server, GET, GET)

        assert (got, end) == (ok() * 2, "eof")

    def test_notice_is_given_in_the_last_answer_alone(self) -> None:
        with Server(keeps_alive(ok(b"x"), requests=2, notice=True)) as server:
            got, _ = heard(server, GET, GET)

        assert got == ok(b"x") + b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx"

    def test_an_idle_connection_is_ended_and_the_client_that_comes_later_is_not_the_worse_for_it(self) -> None:
        with Server(keeps_alive(idle=0.05)) as server, holdfast.Client() as client:
            client.post(server.url("/"), json={})
            server.wait_idle(1)
            client.post(server.url("/"), json={})

            assert [request.connection for request in server.requests] == [0, 1]

    def test_a_connection_that_is_used_in_time_is_not_idle(self) -> None:
        with Server(keeps_alive(idle=5)) as server, holdfast.Client() as client:
            for _ in range(3):
                client.get(server.url("/"))

            assert server.connections == 1

    def test_the_farewell_comes_before_the_end(self) -> None:
        with Server(keeps_alive(idle=0.01, farewell=REQUEST_TIMEOUT)) as server:
            got, end = heard(server)

        assert (got, end) == (REQUEST_TIMEOUT, "eof")
        assert got.startswith(b"HTTP/1.1 408 Request Timeout\r\n")

    @pytest.mark.parametrize(("ending", "end"), [("close", "eof"), ("fin", "eof"), ("rst", "reset")])
    def test_a_connection_ends_as_it_was_told(self, ending: Ending, end: str) -> None:
        with Server(keeps_alive(requests=1, ending=ending)) as server:
            assert heard(server, GET)[1] == end

    @pytest.mark.parametrize(("ending", "complaint"), [("close", None), ("fin", ssl.SSLEOFError)])
    def test_over_tls_only_a_close_is_announced_by_close_notify(self, ending: Ending, complaint: type[Exception] | None) -> None:
        with Server(keeps_alive(requests=1, ending=ending), tls=True) as server:
            context = ssl.create_default_context(cafile=server.ca_path)
            raw = socket.create_connection(server.address, 5)
            with context.wrap_socket(raw, server_hostname="127.0.0.1", suppress_ragged_eofs=False) as sock:
                sock.sendall(GET)
                got = b""
                while len(got) < len(ok()):
                    got += sock.recv(1000)
                if complaint is None:
                    assert sock.recv(1000) == b""
                else:
                    with pytest.raises(complaint):
                        sock.recv(1000)


class TestMisbehaviour:
    def test_a_drip_comes_piece_by_piece_and_only_a_bound_for_all_of_it_ends_it(self) -> None:
        bound = holdfast.Timeouts(read=60, total=0.3)
        with (
            Server(drips(ok(b"x" * 1000), seconds=0.05)) as server,
            holdfast.Client(timeout=bound) as client,
            pytest.raises(holdfast.TotalTimeout),
        ):
            client.get(server.url("/"))

    def test_a_drip_is_the_whole_response_in_the_end(self) -> None:
        with Server(drips(ok(b"slow"), seconds=0.0001, size=5)) as server:
            assert holdfast.get(server.url("/")).text == "slow"
        holdfast.close()

    def test_an_early_answer_comes_before_the_body_was_sent(self) -> None:
        refusal = response(413, b"too large", "Connection: close")
        with Server(answers_early(refusal, after=10)) as server, socket.create_connection(server.address, 5) as sock:
            sock.sendall(POST + b"x" * 10)
            got = b""
            while len(got) < len(refusal):
                got += sock.recv(1000)

            assert got == refusal
            assert server.requests == []  # none was read whole

    def test_an_early_answer_may_be_followed_by_an_end_at_once(self) -> None:
        with Server(answers_early(response(413), ending="rst")) as server:
            assert heard(server, POST)[1] == "reset"

    def test_a_client_that_leaves_before_an_early_answer_is_no_error(self) -> None:
        with Server(answers_early(response(413), after=1001)) as server:
            with socket.create_connection(server.address, 5) as sock:
                sock.sendall(POST)
            server.wait_idle()

    def test_a_response_is_cut_behind_so_many_bytes(self) -> None:
        whole = ok(b"0123456789")
        with Server(cuts(whole, len(whole) - 4)) as server:
            with pytest.raises(holdfast.RequestException, match="6 of 10 bytes"):
                holdfast.get(server.url("/"))
            with socket.create_connection(server.address, 5):
                pass  # one that leaves without a request
        holdfast.close()

    def test_a_request_is_lost_behind_its_delivery(self) -> None:
        with Server(loses(after=1)) as server, holdfast.Client() as client:
            client.get(server.url("/"))
            with pytest.raises(holdfast.ConnectionLost) as caught:
                client.post(server.url("/order"), json={})

            assert caught.value.may_have_executed
            assert [request.method for request in server.requests] == ["GET", "POST"]

    def test_a_silent_server_takes_requests_and_answers_none(self) -> None:
        with Server(silent) as server, holdfast.Client(timeout=(5, 0.05)) as client:
            with pytest.raises(holdfast.ReadTimeout):
                client.post(server.url("/"), data=b"x")

            assert server.requests[0].body == b"x"


@pytest.mark.parametrize("script", [drips(ok(b"x" * 100), seconds=60), keeps_alive(idle=60), silent])
def test_a_server_that_waits_ends_with_its_block(script: Script) -> None:
    with Server(script) as server:
        sock = socket.create_connection(server.address, 5)
        sock.sendall(GET)
        server.wait_for_connections(1)
    assert " 1 connection, 0 running" in repr(server)
    sock.close()


def test_a_script_that_idles_on_a_connection_which_the_test_closes_ends_quietly() -> None:
    with Server(keeps_alive(idle=60)) as server, socket.create_connection(server.address, 5):
        server.conn(0).close()
        server.wait_idle()


def test_what_has_come_already_is_not_idle() -> None:
    seen = []

    def script(conn: Conn) -> None:
        conn.read_exactly(1)
        seen.append(conn.idle(60))  # the rest is in the buffer
        conn.read_request()
        conn.wait_closed()
        seen.append(conn.idle(60))  # the client has left

    with Server(script) as server:
        with socket.create_connection(server.address, 5) as sock:
            sock.sendall(b"_" + GET)
        server.wait_idle()

    assert seen == [False, False]


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: keeps_alive(requests=0), "requests=0: a connection that answers none is loses"),
        (lambda: keeps_alive(notice=True), "of how many requests"),
        (lambda: keeps_alive(ending="explode"), "ending='explode': there are 'close', 'fin', 'rst'"),  # type: ignore[arg-type]
        (lambda: drips(b"", seconds=0), "both must be more than 0"),
        (lambda: cuts(b"abc", 3), "at=3: the response has 3 bytes"),
    ],
)
def test_a_behaviour_that_makes_no_sense_is_refused_before_the_server_runs(make: object, complaint: str) -> None:
    assert callable(make)
    with pytest.raises(ValueError, match=complaint):
        make()

"""What holdfast does under urllib3: reuse, detection, resending with proof, limits, closing, statistics, leaving alone."""

from __future__ import annotations

import array
import gc
import http.client
import inspect
import io
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util.retry import Retry

from holdfast.contrib import urllib3 as under
from holdfast.contrib.urllib3 import connection, dialling, exchange, heads, keeping
from holdfast.contrib.urllib3 import response as carried
from holdfast.exceptions import ConnectTimeout
from tests.conftest import Tls
from tests.server import Conn, Script, Server, chunked, connect_proxy, echo, head, ok

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture(autouse=True)
def injected(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(keeping, "_transport", transport := keeping.new_transport(keeper=False))
    under.inject()
    yield
    under.eject()
    transport.close()


def get(pool: Any, url: str, **kwargs: Any) -> Any:
    return pool.request("GET", url, **kwargs)


def always(answer: bytes) -> Script:
    def script(conn: Conn) -> None:
        for _ in conn.read_requests():
            conn.send(answer)

    return script


# -- carried -------------------------------------------------------------------------------------------------------------


def test_requests_of_a_pool_manager_share_a_connection_and_are_counted() -> None:
    with Server(echo) as server, urllib3.PoolManager() as manager:
        for _ in range(3):
            assert get(manager, server.url()).status == 200
        stats = under.stats()

        assert server.connections == 1
        assert (stats.requests, stats.created, stats.reused) == (3, 1, 2)
        assert [row.origin for row in stats.origins] == [f"http://127.0.0.1:{server.address[1]}"]


def test_a_pool_made_before_injecting_is_carried_and_one_is_left_after_ejecting() -> None:
    under.eject()
    with Server(echo) as server, HTTPConnectionPool(*server.address, maxsize=1) as pool:
        under.inject()
        get(pool, "/")
        assert under.stats().requests == 1
        under.eject()
        get(pool, "/")

        assert under.stats().requests == 1
        assert under.stats().idle == 0
        assert not isinstance(pool._new_conn(), connection.Carried)


def test_injecting_twice_and_ejecting_once_leaves_urllib3_as_it_was() -> None:
    under.eject()
    before = (HTTPConnectionPool._new_conn, HTTPSConnectionPool._new_conn, HTTPConnectionPool._make_request)
    under.inject()
    under.inject()
    assert under.injected()
    under.eject()

    assert before == (HTTPConnectionPool._new_conn, HTTPSConnectionPool._new_conn, HTTPConnectionPool._make_request)


def test_one_manager_is_carried_without_injecting() -> None:
    under.eject()
    with Server(echo) as server, under.HoldfastPoolManager() as manager, urllib3.PoolManager() as other:
        get(manager, server.url())
        get(other, server.url())

        assert under.stats().requests == 1
        assert manager.pool_classes_by_scheme == under.pool_classes_by_scheme


def test_a_connection_the_server_has_closed_is_found_before_a_post_is_sent_on_it() -> None:
    closed = threading.Event()

    def first(conn: Conn) -> None:
        conn.expect_request()
        conn.send(ok(b"one"))
        conn.fin()
        closed.set()
        conn.wait_closed()

    with Server([first, echo]) as server, urllib3.PoolManager(retries=False) as manager:
        get(manager, server.url())
        assert closed.wait(5)
        response = manager.request("POST", server.url(), body=b"once")

        assert response.status == 200
        assert [r.method for r in server.requests] == ["GET", "POST"]


def test_a_post_that_may_have_been_executed_is_reported_as_urllib3_reports_it() -> None:
    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(ok())
        conn.expect_request()
        conn.close()

    with Server([script]) as server, urllib3.PoolManager(retries=False) as manager:
        get(manager, server.url())
        with pytest.raises(urllib3.exceptions.ProtocolError) as caught:
            manager.request("POST", server.url(), body=b"x")

        assert str(caught.value.args[0]) == "Connection aborted."
        assert str(caught.value.args[1]) == "Remote end closed connection without response"
        assert "may have executed" in str(caught.value.args[1].__cause__)


def test_a_get_lost_on_a_kept_connection_is_sent_again_though_retries_are_off() -> None:
    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(ok())
        conn.expect_request()
        conn.close()

    with Server([script, echo]) as server, urllib3.PoolManager(retries=False) as manager:
        get(manager, server.url())

        assert get(manager, server.url()).status == 200
        assert under.stats().resent == {"idempotent": 1}


def test_a_file_is_sent_again_from_where_it_stood(tmp_path: Any) -> None:
    (tmp_path / "file").write_bytes(b"skip" + b"x" * 100_000)

    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(ok())
        conn.expect_request()
        conn.close()

    with Server([script, echo]) as server, urllib3.PoolManager(retries=False) as manager, open(tmp_path / "file", "rb") as file:
        get(manager, server.url())
        file.seek(4)
        assert manager.request("PUT", server.url(), body=file).status == 200
        assert server.requests[-1].body == b"x" * 100_000


# -- limits and the end --------------------------------------------------------------------------------------------------


def test_no_more_connections_than_maxsize_stay_idle() -> None:
    arrived = threading.Barrier(3)

    def script(conn: Conn) -> None:
        for _ in conn.read_requests():
            arrived.wait(5)
            conn.send(ok())

    with Server(script) as server, HTTPConnectionPool(*server.address, maxsize=1) as pool:
        threads = [threading.Thread(target=get, args=(pool, "/")) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert under.stats().idle == 1
        assert under.stats().created == 3


def test_a_blocking_pool_that_is_empty_says_so() -> None:
    with Server(echo) as server, HTTPConnectionPool(*server.address, maxsize=1, block=True) as pool:
        response = get(pool, "/", preload_content=False)
        with pytest.raises(urllib3.exceptions.EmptyPoolError):
            get(pool, "/", pool_timeout=0.01)
        response.drain_conn()
        assert get(pool, "/", pool_timeout=1).status == 200
        assert server.connections == 1


def test_closing_a_pool_closes_what_is_idle_and_lets_a_body_end() -> None:
    go_on = threading.Event()

    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(head(200, "Content-Length: 10"), b"12345")
        conn.wait(go_on)
        conn.send(b"67890")
        conn.wait_closed()

    with Server([echo, script]) as server:
        pool = HTTPConnectionPool(*server.address, maxsize=2)
        first = get(pool, "/", preload_content=False)
        streamed = get(pool, "/", preload_content=False)
        first.drain_conn()
        pool.close()
        assert under.stats().idle == 0
        go_on.set()

        assert streamed.read() == b"1234567890"
        assert under.stats().idle == 0
        with pytest.raises(urllib3.exceptions.ClosedPoolError):
            get(pool, "/")


def test_a_pool_that_is_collected_while_its_thread_holds_the_lock_of_ours_waits_for_nothing() -> None:
    """urllib3's own finalizer closes the connections of its queue, in the middle of whatever the collector has interrupted."""
    done = threading.Event()

    def drop() -> None:
        pool = HTTPConnectionPool(*server.address)
        get(pool, "/")
        with keeping.transport().pool._state.lock:
            del pool
            gc.collect()
        done.set()

    with Server(echo) as server:
        threading.Thread(target=drop, daemon=True).start()

        assert done.wait(5)
        under.stats()  # who uses the pool next does what the finalizer left
        assert under.stats().idle == 0


def test_connections_of_a_pool_that_is_dropped_are_closed() -> None:
    with Server(echo) as server:
        pool = HTTPConnectionPool(*server.address)
        get(pool, "/")
        gone = weakref.ref(pool)
        del pool
        gc.collect()

        assert gone() is None
        assert under.stats().idle == 0


def test_pools_do_not_share_connections_and_stats_have_one_row_for_the_server() -> None:
    with Server(echo) as server, urllib3.PoolManager() as one, urllib3.PoolManager() as two:
        get(one, server.url())
        get(two, server.url())
        (row,) = under.stats().origins

        assert server.connections == 2
        assert (row.requests, row.created, row.idle, row.limit) == (2, 2, 2, None)
        assert row.lease_mean == pytest.approx(row.lease_total / 2)


def test_events_advice_and_close_idle_are_the_pools() -> None:
    seen: list[str] = []
    stop = under.on_event(lambda event: seen.append(event.kind))
    with Server(echo) as server, urllib3.PoolManager() as manager:
        get(manager, server.url())
        assert under.close_idle() == 1
        assert under.advise()[0].origin.startswith("http://")
        stop()
        assert "opened" in seen


# -- bodies --------------------------------------------------------------------------------------------------------------


def test_pieces_of_a_chunked_response_are_given_as_they_arrive() -> None:
    go_on = threading.Event()

    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(head(200, "Transfer-Encoding: chunked"), b"5\r\nfirst\r\n")
        conn.wait(go_on)
        conn.send(b"6\r\nsecond\r\n0\r\n\r\n")

    with Server([script]) as server, urllib3.PoolManager() as manager:
        response = get(manager, server.url(), preload_content=False)
        pieces = response.stream()
        assert next(pieces) == b"first"
        go_on.set()
        assert list(pieces) == [b"second"]
        assert response.closed


def test_a_response_is_read_in_every_way_http_client_has() -> None:
    with Server(always(ok(b"a\nbc\ndef"))) as server, urllib3.PoolManager() as m:
        url = server.url()
        assert get(m, url, preload_content=False).read1(1) == b"a"
        buffer = bytearray(4)
        assert get(m, url, preload_content=False).readinto(buffer) == 4
        response = get(m, url, preload_content=False)
        original = response._original_response
        assert original.peek(1)[:1] == b"a"
        assert original.fp.raw.fileno() > 0
        assert isinstance(original.fp.raw._sock, socket.socket)
        assert original.readline() == b"a\n"
        assert original.fp.readline(1) == b"b"
        assert original.fp.read1(1) == b"c"
        assert original.fp.read() == b"\ndef"
        assert original.getheader("Content-Length") == "8"
        original.flush()
        original.close()
        original.close()


@pytest.mark.parametrize("framing", [["Content-Length: 20"], ["Transfer-Encoding: chunked"], ["Connection: close"]])
def test_a_file_that_could_not_be_read_on_has_no_end_that_looks_like_the_bodys(framing: list[str]) -> None:
    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(head(200, *framing) + (b"5\r\none\nt\r\n" if "chunked" in framing[0] else b"one\nt"))
        conn.wait_closed()

    with Server(script) as server, HTTPConnectionPool(*server.address) as pool:
        response = get(pool, "/", preload_content=False, timeout=0.1)
        file = response._fp
        assert file.readline() == b"one\n"
        with pytest.raises(TimeoutError):
            file.readline()
        for read in (file.readline, file.read, file.read1):
            with pytest.raises(OSError, match="cannot read on"):
                read()
        file.close()
        assert file.read() == b""


def test_a_body_is_ended_from_another_thread_by_shutdown() -> None:
    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(head(200, "Content-Length: 10"), b"12345")
        conn.wait_closed()

    with Server([script]) as server, urllib3.PoolManager() as manager:
        response = get(manager, server.url(), preload_content=False)
        assert response.read1() == b"12345"
        response.shutdown()
        with pytest.raises(urllib3.exceptions.ProtocolError):
            response.read()


def test_bodies_of_every_kind_arrive_as_with_urllib3() -> None:
    with Server(echo) as server, urllib3.PoolManager() as manager:
        kinds: tuple[Any, ...] = (b"bytes", "téxt", bytearray(b"buffer"), memoryview(b"view"), iter([b"a", "b", b""]), [b"x", b"y"])
        for body in kinds:
            manager.request("POST", server.url(), body=body)
        manager.request("POST", server.url(), body=b"whole", chunked=True)

        bodies = [r.body for r in server.requests]
        assert bodies == [b"bytes", "téxt".encode(), b"buffer", b"view", b"ab", b"xy", b"whole"]
        assert server.requests[-1].get("Transfer-Encoding") == "chunked"


# -- left to urllib3 -----------------------------------------------------------------------------------------------------


def test_a_request_for_another_protocol_is_left_to_urllib3() -> None:
    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(head(101, "Upgrade: tcp", "Connection: Upgrade"), b"raw bytes")

    with Server([script, echo]) as server, HTTPConnectionPool(*server.address) as pool:
        response = get(pool, "/", headers={"Upgrade": "tcp", "Connection": "Upgrade"}, preload_content=False)
        assert response.status == 101
        assert response._fp.fp.read(9) == b"raw bytes"
        response.close()
        assert get(pool, "/").status == 200
        assert under.left_to_urllib3()["it asks for another protocol (CONNECT, Upgrade)"] >= 1


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"Host": urllib3.util.SKIP_HEADER}, "it has no Host field, or several"),
        ({"Transfer-Encoding": "gzip, chunked"}, "Transfer-Encoding beside Content-Length, or another than chunked"),
    ],
)
def test_what_holdfast_would_not_send_is_left_to_urllib3(headers: dict[str, str], reason: str) -> None:
    def script(conn: Conn) -> None:
        conn.read_until(b"\r\n\r\n")
        conn.send(ok(b"answer"))
        conn.wait_closed()

    before = under.left_to_urllib3().get(reason, 0)
    with Server([script, echo]) as server, HTTPConnectionPool(*server.address) as pool:
        assert get(pool, "/", headers=headers, retries=False).data == b"answer"
        assert under.left_to_urllib3()[reason] == before + 1
        assert under.stats().requests == 0
        get(pool, "/")
        assert under.stats().requests == 1


def test_a_connection_used_step_by_step_is_urllib3s() -> None:
    with Server(echo) as server, HTTPConnectionPool(*server.address) as pool:
        conn: Any = pool._get_conn()
        conn.putrequest("GET", "/steps")
        conn.endheaders()
        assert conn.sock.getpeername() == server.address
        conn.close()


def test_classes_with_ways_of_their_own_are_left_alone() -> None:
    class Own(HTTPConnection):
        def connect(self) -> None:
            super().connect()

    class OwnPool(HTTPConnectionPool):
        ConnectionCls = Own

    class Opens(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return super()._new_conn()

    class OpensPool(HTTPConnectionPool):
        ConnectionCls = Opens

    with Server(echo) as server, OwnPool(*server.address) as own, OpensPool(*server.address) as opens:
        get(own, "/")
        assert under.stats().requests == 0
        get(opens, "/")
        assert under.stats().requests == 1


def test_a_patched_create_connection_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    original = urllib3.util.connection.create_connection

    def create(address: Any, *args: Any, **kwargs: Any) -> Any:
        asked.append(address)
        return original(("127.0.0.1", address[1]), *args, **kwargs)

    monkeypatch.setattr(urllib3.util.connection, "create_connection", create)
    with Server(echo) as server, HTTPConnectionPool("no.such.host", server.address[1]) as pool:
        assert get(pool, "/").status == 200
        assert asked == [("no.such.host", server.address[1])]


def test_what_is_no_socket_is_left_to_urllib3_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    class Odd:
        def __init__(self, sock: socket.socket) -> None:
            self.sock = sock

        def __getattr__(self, name: str) -> Any:
            return getattr(self.sock, name)

    original = urllib3.util.connection.create_connection
    monkeypatch.setattr(urllib3.util.connection, "create_connection", lambda *a, **k: Odd(original(*a, **k)))
    with Server(echo) as server, HTTPConnectionPool(*server.address) as pool:
        assert get(pool, "/", retries=Retry(1)).status == 200
        assert under.left_to_urllib3()["urllib3 speaks to it over Odd"] >= 1


def test_keepalive_is_on_unless_socket_options_say_otherwise() -> None:
    with Server(echo) as server:
        for options, expected in ((None, 1), ([(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 0)], 0)):
            given: dict[str, Any] = {} if options is None else {"socket_options": options}
            with HTTPConnectionPool(*server.address, **given) as pool:
                response = get(pool, "/", preload_content=False)
                sock = response._fp.fp.raw._sock
                assert bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)) == bool(expected)
                response.drain_conn()


def test_chunked_trailers_are_read_over() -> None:
    with Server(always(chunked(b"a", b"b", trailers=["X: y"]))) as server, urllib3.PoolManager() as manager:
        assert get(manager, server.url()).data == b"ab"
        assert get(manager, server.url()).data == b"ab"
        assert server.connections == 1


def test_tls_settings_tell_connections_of_one_pool_apart(tls: Tls) -> None:
    with (
        Server(echo, tls=tls.server_context()) as server,
        HTTPSConnectionPool("localhost", server.address[1], ca_certs=tls.ca_path, cert_reqs="CERT_REQUIRED") as pool,
    ):
        get(pool, "/")
        pool.cert_reqs = "CERT_NONE"  # as requests does it to a pool
        verifying = pool._get_conn()
        with pytest.warns(urllib3.exceptions.InsecureRequestWarning):
            get(pool, "/")
        assert server.connections == 2
        verifying.close()


# -- the short way, and what ends it -------------------------------------------------------------------------------------


def test_a_program_that_wraps_a_step_of_http_client_sees_every_request(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    putrequest, getresponse = http.client.HTTPConnection.putrequest, http.client.HTTPConnection.getresponse

    def wrapped_put(self: Any, method: str, url: str, *args: Any, **kwargs: Any) -> None:
        putrequest(self, method, url, *args, **kwargs)
        self.putheader("X-Trace", f"{method} {url}")

    def wrapped_get(self: Any) -> Any:
        response = getresponse(self)
        seen.append(f"{response.status} {response.getheader('Content-Type')}")
        return response

    with Server(echo) as server, HTTPConnectionPool(*server.address) as pool:
        get(pool, "/a")
        monkeypatch.setattr(http.client.HTTPConnection, "putrequest", wrapped_put)
        monkeypatch.setattr(http.client.HTTPConnection, "getresponse", wrapped_get)
        for _ in range(2):
            get(pool, "/a")

        assert [request.get("X-Trace") for request in server.requests] == ["", "GET /a", "GET /a"]
        assert seen == ["200 application/json"] * 2


def test_an_equal_request_has_its_own_body_and_its_own_failure() -> None:
    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(ok())
        conn.expect_request()
        conn.send(ok())
        conn.expect_request()
        conn.wait_closed()

    with Server([script]) as server, HTTPConnectionPool(*server.address, retries=False) as pool:
        pool.request("POST", "/", body=b"one")
        pool.request("POST", "/", body=b"two")
        with pytest.raises(urllib3.exceptions.ReadTimeoutError):
            pool.request("POST", "/", body=b"six", timeout=0.05)
        assert [request.body for request in server.requests] == [b"one", b"two", b"six"]


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (connection, exchange, heads):
        monkeypatch.setattr(module, "MAX_KNOWN", 1)
    with Server(echo) as server, HTTPConnectionPool(*server.address) as pool:
        for number in (1, 2, 1):
            assert get(pool, f"/{number}", timeout=number).json()["target"] == f"/{number}"
        assert len(heads._heads) == len(exchange._timeouts) == 1


def test_a_connection_given_back_with_its_response_unread_is_replaced() -> None:
    with Server(echo) as server, HTTPConnectionPool(*server.address, retries=False) as pool:
        get(pool, "/").data  # noqa: B018 - so that the next is the same again
        unread = get(pool, "/", preload_content=False)
        unread.release_conn()
        with pytest.raises(urllib3.exceptions.ProtocolError):
            get(pool, "/")
        assert get(pool, "/").status == 200


def test_odd_fields_arrive_or_are_left_to_urllib3() -> None:
    def script(conn: Conn) -> None:
        while (sent := conn.read_until(b"\r\n\r\n")) is not None:
            seen.append(sent)
            conn.send(ok())

    seen: list[bytes] = []
    twice = urllib3.HTTPHeaderDict([("Content-Length", "0"), ("Content-Length", "0")])
    before = under.left_to_urllib3().get("several Content-Length fields", 0)
    with Server(script) as server, HTTPConnectionPool(*server.address) as pool:
        get(pool, "/", headers={"X-Folded": "a\r\n b"})
        get(pool, "/", headers={"X-Bytes": b"value"})
        get(pool, "/", headers=twice)
        with pytest.raises(TypeError):
            get(pool, "/", headers={"X-List": ["no text"]})
        assert b"X-Folded: a b\r\n" in seen[0]
        assert b"X-Bytes: value\r\n" in seen[1]
        assert under.left_to_urllib3()["several Content-Length fields"] == before + 1


def test_a_buffer_is_a_body() -> None:
    with Server(echo) as server, HTTPConnectionPool(*server.address) as pool:
        buffer: Any = array.array("b", b"buffer")
        pool.request("PUT", "/", body=buffer)
        assert server.requests[0].body == b"buffer"


def test_a_file_that_cannot_go_back_is_reported() -> None:
    class Once(io.BytesIO):
        def seek(self, *_: Any) -> int:
            raise OSError("no")

    class Unknown(io.BytesIO):
        def tell(self) -> int:
            raise OSError("nor this")

    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(ok())
        conn.expect_request()
        conn.close()

    for kind in (Once, Unknown):
        with Server([script]) as server, HTTPConnectionPool(*server.address, retries=False) as pool:
            get(pool, "/")
            with pytest.raises((urllib3.exceptions.UnrewindableBodyError, urllib3.exceptions.ProtocolError)):
                pool.request("PUT", "/", body=kind(b"x"))


# -- connecting ----------------------------------------------------------------------------------------------------------


def test_a_handshake_that_does_not_end_is_a_connect_timeout(tls: Tls) -> None:
    def script(conn: Conn) -> None:
        conn.wait_closed()

    with (
        Server(script) as server,
        HTTPSConnectionPool("localhost", server.address[1], ca_certs=tls.ca_path) as pool,
        pytest.raises((urllib3.exceptions.ConnectTimeoutError, urllib3.exceptions.ReadTimeoutError)),
    ):
        get(pool, "/", timeout=0.1, retries=False)


def test_a_server_that_accepts_nobody_is_a_connect_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(*_: Any, **__: Any) -> Any:
        raise ConnectTimeout("nobody answered")

    monkeypatch.setattr(dialling, "connect_tcp", late)
    with HTTPConnectionPool("127.0.0.1", 9) as pool, pytest.raises(urllib3.exceptions.ConnectTimeoutError) as caught:
        get(pool, "/", timeout=3, retries=False)
    assert "Connection to 127.0.0.1 timed out. (connect timeout=" in str(caught.value)


@pytest.mark.parametrize("way", ["tunnel", "forwarding"])
def test_a_post_that_died_behind_a_proxy_is_not_sent_again_as_if_the_proxy_had_not_been_reached(tls: Tls, way: str) -> None:
    """urllib3's own connection forgets that it was reached, and its pool sends the POST four times."""
    received: list[bytes] = []

    def dies(conn: Conn) -> None:
        received.append(conn.expect_request().body)

    tunnel = way == "tunnel"
    with Server(dies, tls=tls.server_context() if tunnel else None) as origin, Server(connect_proxy if tunnel else dies) as proxy:
        url = origin.url(host="localhost") if tunnel else "http://origin.example/"
        manager = urllib3.ProxyManager(f"http://127.0.0.1:{proxy.address[1]}", ca_certs=tls.ca_path)
        with manager, pytest.raises(urllib3.exceptions.ProtocolError, match="Connection aborted"):
            manager.request("POST", url, body=b"order", timeout=5)

    assert received == [b"order"]


def test_pyopenssl_and_tls_inside_tls_are_left_to_urllib3(tls: Tls, monkeypatch: pytest.MonkeyPatch) -> None:
    context = tls.client_context()
    left = under.left_to_urllib3

    def proxy(conn: Conn) -> None:
        assert conn.read_until(b"\r\n\r\n") is not None
        conn.send(b"HTTP/1.1 200 OK\r\n\r\n")
        conn.read_until(b"never")

    with Server([proxy], tls=tls.server_context()) as server:
        manager = under.HoldfastProxyManager(f"https://localhost:{server.address[1]}", proxy_ssl_context=context, timeout=0.2)
        with manager, pytest.raises(urllib3.exceptions.HTTPError):
            get(manager, "https://origin.example/", retries=False)
    assert left()["TLS inside TLS, to reach a server through an https:// proxy"] >= 1

    monkeypatch.setattr(urllib3.util.ssl_, "IS_PYOPENSSL", True)
    with (
        Server(echo, tls=tls.server_context()) as server,
        HTTPSConnectionPool("localhost", server.address[1], ca_certs=tls.ca_path) as pool,
    ):
        assert get(pool, "/").status == 200
    assert left()["pyOpenSSL is injected into urllib3"] >= 1


@pytest.mark.needs("unix sockets")
def test_a_socket_of_another_family_gets_no_tcp_options(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    path = str(tmp_path / "socket")

    class Unix(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(path)
            return sock

    class UnixPool(HTTPConnectionPool):
        ConnectionCls = Unix

    with Server(echo, unix_path=path), UnixPool("localhost") as pool:
        assert get(pool, "/").status == 200
        assert under.stats().requests == 1


def test_ejected_pools_of_a_manager_of_ours_go_on_and_others_do_not() -> None:
    under.eject()
    with Server(echo) as server, under.HoldfastPoolManager() as manager:
        under.inject()
        under.carrying(manager)
        get(manager, server.url())
        under.eject()
        get(manager, server.url())
        assert under.stats().requests == 2


def test_what_is_no_connection_of_urllib3s_is_left_alone() -> None:
    class Fake:
        def __init__(self, **_: Any) -> None: ...

    class Pool(HTTPConnectionPool):
        ConnectionCls = Fake  # type: ignore[assignment]

    made: Any = Pool("host")._new_conn()
    assert type(made) is Fake


def test_before_a_request_there_is_no_response() -> None:
    with HTTPConnectionPool("host") as pool:
        conn: Any = pool._new_conn()
        conn.connect()
        assert conn.is_connected
        assert conn.sock.gettimeout() is None
        conn.sock.settimeout(3)
        assert conn.sock.gettimeout() == 3
        conn.sock.shutdown(0)
        with pytest.raises(http.client.ResponseNotReady):
            conn.getresponse()
        wire = conn.sock.makefile()
        with pytest.raises(http.client.ResponseNotReady):
            wire.begin()
        with pytest.raises(OSError, match="no connection"):
            wire.fileno()
        assert wire.readinto1(bytearray(3)) == 0
        conn.close()


def test_the_socket_is_found_where_programs_look_and_the_message_may_be_replaced() -> None:
    with Server(echo) as server, HTTPConnectionPool(*server.address) as pool:
        answer = get(pool, "/", preload_content=False)
        original: Any = answer._original_response
        assert original.fp.sock is original.fp.raw._sock
        assert original.fp.sock.getpeername() == server.address
        original.msg = other = http.client.HTTPMessage()
        assert original.msg is other
        assert answer.read()


REPEATED = [(b"Content-Type", b"a/b"), (b"X-Many", b"1"), (b"x-many", b"2"), (b"Content-Length", b"5")]


def test_fields_put_in_at_once_are_those_that_are_added_one_by_one() -> None:
    quick, slow = carried._put_in(REPEATED), carried._added(REPEATED)

    assert carried._fields_of is carried._put_in, "this urllib3 has another inside"
    assert list(quick[0].iteritems()) == list(slow[0].iteritems())
    assert quick[0].getlist("X-Many") == ["1", "2"]
    assert quick[1:] == slow[1:] == ("5", None)
    assert carried._put_in([(b"Transfer-Encoding", b"chunked")])[1:] == (None, "chunked")


def test_an_older_urllib3_is_given_no_arguments_that_it_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_new_response", connection._before_2_3)
    with Server(echo) as server, HTTPConnectionPool(*server.address) as pool:
        assert [get(pool, f"/{n}").json()["target"] for n in (1, 2)] == ["/1", "/2"]


class Told:
    """A method wrapped by a descriptor, as tracing agents wrap them: ``seen`` has the object of each call, or None."""

    def __init__(self, method: Any, seen: list[Any], bound: Any = None, by_class: bool = False) -> None:
        self._method, self._seen, self._bound, self._by_class = method, seen, bound, by_class
        self.__signature__ = inspect.signature(method)

    def __get__(self, owned: Any, owner: Any) -> Told:
        return Told(self._method, self._seen, owned, owned is None)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        given = args if self._bound is None else (self._bound, *args)
        self._seen.append(given[0] if self._by_class else self._bound)
        return self._method(*given, **kwargs)


@pytest.mark.parametrize("name", ["_new_conn", "_make_request", "close"])
def test_a_method_that_a_tracing_agent_has_wrapped_is_told_of_its_pool(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    seen: list[Any] = []
    under.eject()
    monkeypatch.setattr(HTTPConnectionPool, name, Told(vars(HTTPConnectionPool)[name], seen))
    under.inject()
    with Server(echo) as server, HTTPConnectionPool(*server.address) as pool:
        assert get(pool, "/").status == 200
    under.eject()

    assert seen == [pool]


SEEN_BY_AN_AGENT = """
import sys
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

port, name, moment = sys.argv[1:]
if moment == "late":
    import holdfast.contrib.urllib3
owner = HTTPConnection
while name not in vars(owner):
    owner = owner.__base__
method, seen = getattr(HTTPConnection, name), []

class Wrapper:  # as wrapt's: it equals what it wraps
    __wrapped__ = method
    __eq__ = lambda self, other: other is method
    __hash__ = None
    __get__ = lambda self, one, kind=None: self if one is None else lambda *args, **kwargs: self(one, *args, **kwargs)
    def __call__(self, *args, **kwargs):
        seen.append(1)
        return method(*args, **kwargs)

setattr(HTTPConnection if moment == "late" else owner, name, Wrapper())
import holdfast.contrib.urllib3
holdfast.contrib.urllib3.inject()
with urllib3.HTTPConnectionPool("127.0.0.1", int(port)) as pool:
    counts = []
    for _ in range(4):
        seen.clear()
        pool.request("GET", "/")
        counts.append(len(seen))
print(len(set(counts)) == 1 and counts[0] > 0 and holdfast.contrib.urllib3.stats().requests == 4)
"""


@pytest.mark.parametrize("moment", ["early", "late"])
@pytest.mark.parametrize("name", ["request", "putrequest", "putheader", "endheaders", "_send_output", "getresponse"])
def test_a_step_that_an_agent_has_wrapped_is_gone_through_each_time(name: str, moment: str) -> None:
    with Server(echo) as server:
        command = [sys.executable, "-c", SEEN_BY_AN_AGENT, str(server.address[1]), name, moment]
        said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert (said.stdout, said.stderr) == ("True\n", "")


SEEN_BY_A_CLASS = """
import http.client
import sys

seen = []

class Recording(http.client.HTTPConnection):
    def send(self, data):
        seen.append(data)
        super().send(data)

http.client.HTTPConnection = Recording
import urllib3
import holdfast.contrib.urllib3
holdfast.contrib.urllib3.inject()
with urllib3.HTTPConnectionPool("127.0.0.1", int(sys.argv[1])) as pool:
    print([pool.request("GET", f"/{n}").status for n in range(2)], len(seen))
print(holdfast.contrib.urllib3.stats().requests)
"""


def test_a_class_in_the_place_of_http_clients_sees_what_passes() -> None:
    with Server(echo) as server:
        command = [sys.executable, "-c", SEEN_BY_A_CLASS, str(server.address[1])]
        said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert (said.stdout, said.stderr) == ("[200, 200] 2\n0\n", "")


def test_a_total_is_kept_though_another_has_wrapped_the_method_that_passes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    under.eject()
    original = HTTPConnectionPool._make_request

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return original(*args, **kwargs)

    monkeypatch.setattr(HTTPConnectionPool, "_make_request", wrapped)
    under.inject()

    def dripping(conn: Conn) -> None:
        conn.expect_request()
        conn.send(b"HTTP/1.1 200 OK\r\nX: ")
        pace = threading.Event()
        for _ in range(300):
            try:
                conn.send(b"x")
            except OSError:
                return  # as it should be
            pace.wait(0.01)
        conn.send(b"\r\nContent-Length: 0\r\n\r\n")

    limits = urllib3.Timeout(total=0.2)
    with (
        Server([dripping]) as server,
        HTTPConnectionPool(*server.address, retries=False) as pool,
        pytest.raises(urllib3.exceptions.ReadTimeoutError),
    ):
        get(pool, "/", timeout=limits)

"""Tests of users put something else in place of ``socket.socket`` (mocket, httpretty): what is no socket is used as one.

The replacement here is scripted and has what the two have in common: ``connect``, ``settimeout``, ``sendall``, ``recv``, ``close``.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest

import holdfast
from holdfast.reasons import Discard
from holdfast.wire import replaced
from holdfast.wire.connect import connect_tcp
from holdfast.wire.stream import SocketStream
from tests.conftest import Tls
from tests.server import Server, chunked, ok

pytestmark = pytest.mark.usefixtures("no_leaks")


class Pretended:
    """No socket: it answers each write with what ``answer`` makes of it."""

    made: ClassVar[list[Pretended]] = []
    answer: ClassVar[Callable[[bytes], bytes]]

    def __init__(self, *kind: Any) -> None:
        self.sent: list[bytes] = []
        self.address: Any = None
        self.timeouts: list[float | None] = []
        self.closed = False
        self._unread = b""
        self.made.append(self)

    def fileno(self) -> int:
        raise NotImplementedError("there is none")

    def settimeout(self, seconds: float | None) -> None:
        self.timeouts.append(seconds)

    def connect(self, address: Any) -> None:
        self.address = address

    def sendall(self, data: bytes) -> None:
        self.sent.append(data)
        self._unread += type(self).answer(data)

    def recv(self, size: int) -> bytes:
        if not self._unread:
            raise BlockingIOError(11, "nothing more")
        data, self._unread = self._unread[:size], self._unread[size:]
        return data

    def close(self) -> None:
        self.closed = True


class PretendedContext:
    """What mocket has in place of ``ssl.SSLContext``: it wraps whatever it is given."""

    options = verify_flags = 0

    def __init__(self, *kind: Any) -> None:
        self.names: list[str] = []

    def wrap_socket(self, sock: Any, *, server_hostname: str) -> Any:
        sock.server_name = server_hostname
        return sock

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: None


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Pretended]]:
    Pretended.made.clear()
    Pretended.answer = staticmethod(lambda data: ok(b"pretended"))
    with monkeypatch.context() as patch:
        patch.setattr(socket, "socket", Pretended)
        patch.setattr(socket, "getaddrinfo", lambda host, port, *rest: [(2, 1, 6, "", (host, port))])
        yield Pretended


@pytest.fixture
def client() -> Iterator[holdfast.Client]:
    with holdfast.Client(trust_env=False) as made:
        yield made


def test_a_replaced_socket_is_used_and_kept(pretended: type[Pretended], client: holdfast.Client) -> None:
    said = [client.get("http://mocked.test/a").text, client.post("http://mocked.test/b", json={}).text]

    assert said == ["pretended", "pretended"]
    (sock,) = pretended.made
    assert sock.address == ("mocked.test", 80)
    assert [data.split(b" HTTP")[0] for data in sock.sent] == [b"GET /a", b"POST /b"]
    assert sock.timeouts[1] == pytest.approx(60, abs=1)  # timeouts.read
    assert client.stats().reused == 1


def test_the_module_level_functions_use_it_and_close_it(pretended: type[Pretended]) -> None:
    assert holdfast.get("http://mocked.test/").text == "pretended"
    holdfast.close()

    assert pretended.made[0].closed


@pytest.mark.parametrize("size", [1, 1_000_000])
def test_bodies_go_both_ways(pretended: type[Pretended], client: holdfast.Client, size: int) -> None:
    pretended.answer = staticmethod(lambda data: chunked(b"x" * size, b"y") if data.endswith(b"!") else b"")

    response = client.put("http://mocked.test/", data=b"b" * size + b"!")

    assert response.content == b"x" * size + b"y"
    assert b"".join(pretended.made[0].sent).endswith(b"b" * size + b"!")


def test_a_body_of_known_length_is_read_into_a_buffer_and_a_file_is_sent(
    pretended: type[Pretended], client: holdfast.Client, tmp_path: Any
) -> None:
    pretended.answer = staticmethod(lambda data: ok(b"z" * 300_000) if b"PUT" in data else b"")
    path = tmp_path / "file"
    path.write_bytes(b"f" * 10)
    with path.open("rb") as file:
        response = client.put("http://mocked.test/", data=file, stream=True)

    assert response.content == b"z" * 300_000


def test_https_goes_through_what_the_replacement_takes_for_tls(
    pretended: type[Pretended], monkeypatch: pytest.MonkeyPatch, tls: Tls, client: holdfast.Client
) -> None:
    real = tls.client_context()  # made before the replacement
    with monkeypatch.context() as patch:
        patch.setattr(ssl, "SSLContext", PretendedContext)
        patch.setattr(ssl, "create_default_context", PretendedContext)
        assert client.get("https://mocked.test/").text == "pretended"
        with holdfast.Client(verify=real) as another:
            assert another.get("https://mocked.test/").text == "pretended"

    assert [sock.server_name for sock in pretended.made] == ["mocked.test"] * 2  # type: ignore[attr-defined]
    assert client.stats().origins


def test_a_replacement_without_tls_is_a_clear_error(pretended: type[Pretended], client: holdfast.Client) -> None:
    with pytest.raises(holdfast.SSLError, match=r"socket\.socket is replaced by \S+Pretended, which cannot be wrapped"):
        client.get("https://mocked.test/")

    assert pretended.made[0].closed


def test_nothing_of_the_replacement_is_used_when_it_has_ended(monkeypatch: pytest.MonkeyPatch, tls: Tls) -> None:
    Pretended.answer = staticmethod(lambda data: ok(b"pretended"))
    with Server() as plain, Server(tls=tls.server_context()) as secure, holdfast.Client(verify=tls.ca_path) as client:
        urls = [plain.url("/"), secure.url("/", host="localhost")]
        with monkeypatch.context() as patch:
            patch.setattr(socket, "socket", Pretended)
            patch.setattr(socket, "getaddrinfo", lambda host, port, *rest: [(2, 1, 6, "", (host, port))])
            patch.setattr(ssl, "SSLContext", PretendedContext)
            assert [client.get(url).text for url in urls] == ["pretended"] * 2
        real = [client.get(url).json()["method"] for url in urls]

        assert real == ["GET", "GET"]


def test_a_real_connection_is_interrupted_while_sockets_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = socket.socketpair()
    stream = SocketStream(one)
    with monkeypatch.context() as patch:
        patch.setattr(socket, "socket", Pretended)
        stream.interrupt()
    assert other.recv(1) == b""
    stream.close()
    other.close()


def test_what_it_raises_is_told_as_what_a_socket_raises_would_be(
    pretended: type[Pretended], client: holdfast.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Pretended, address: Any) -> None:
        raise ConnectionRefusedError(111, "refused by the test")

    def reset(data: bytes) -> bytes:
        raise ConnectionResetError(104, "reset by the test")

    with monkeypatch.context() as patch:
        patch.setattr(Pretended, "connect", refuse)
        with pytest.raises(holdfast.ConnectionError, match=r"cannot connect to mocked\.test:80: refused by the test"):
            client.get("http://mocked.test/")
        assert pretended.made[0].closed
    pretended.answer = staticmethod(reset)
    with pytest.raises(holdfast.ConnectionError):
        client.post("http://mocked.test/", data=b"x")
    pretended.answer = staticmethod(lambda data: b"")
    with pytest.raises(holdfast.ReadTimeout):
        client.get("http://mocked.test/")


def test_a_name_without_addresses_is_the_usual_error(
    pretended: type[Pretended], client: holdfast.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:  # undone before the fixture's own
        patch.setattr(socket, "getaddrinfo", lambda *args: [])
        with pytest.raises(holdfast.ConnectionError, match="the name has no address"):
            client.get("http://mocked.test/")


def test_a_class_that_is_not_derived_but_has_a_descriptor_is_a_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    """gevent's is one."""
    real = socket.socket

    class Green:
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self._sock = real(*args, **kwargs)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._sock, name)

    with real() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        monkeypatch.setattr(socket, "socket", Green)
        sock: Any = connect_tcp("127.0.0.1", listener.getsockname()[1], None)

    assert isinstance(sock, Green)
    assert not replaced.is_replaced(sock)
    sock.close()


class TestStream:
    def test_it_ends_and_is_not_fit_for_more(self) -> None:
        sock = Pretended()
        sock.recv = lambda size: b""  # type: ignore[method-assign]
        stream = replaced.ReplacedStream(sock)

        assert stream.probe() is None
        assert (stream.read(1), stream.read(1), stream.readable_now()) == (b"", b"", True)
        assert stream.probe() is Discard.STALE

    def test_what_another_thread_ends_looks_cut_short(self) -> None:
        stream = replaced.ReplacedStream(Pretended())
        stream.interrupt()

        assert (stream.read(1), stream.clean_eof) == (b"", False)

    def test_what_breaks_is_remembered(self) -> None:
        sock = Pretended()
        broken: Any = sock
        broken.recv = broken.sendall = lambda *args: os.read(-1, 1)
        reading, writing = replaced.ReplacedStream(sock), replaced.ReplacedStream(sock)
        with pytest.raises(OSError, match="Bad file descriptor"):
            reading.read(1)
        with pytest.raises(OSError, match="Bad file descriptor"):
            writing.write_some(b"x")
        assert reading.error
        assert writing.error

    def test_nothing_is_claimed_of_what_cannot_be_known(self) -> None:
        stream = replaced.ReplacedStream(Pretended())
        stream.hasten()
        stream.begin_exchange()

        assert (stream.acknowledged(), stream.proven_undelivered(), stream.queued(), stream.fileno()) == (True, False, False, -1)
        assert stream.wait_writable_or_readable(1) == (True, False)
        stream.forget()
        assert stream.sock.closed

    @pytest.mark.parametrize("descriptor", [None, -1, "pipe"])
    def test_a_descriptor_that_is_no_sockets_is_none(self, descriptor: Any) -> None:
        ends = os.pipe()
        sock = Pretended()
        sock.fileno = lambda: ends[0] if descriptor == "pipe" else descriptor  # type: ignore[method-assign]

        assert replaced.is_replaced(sock)
        for end in ends:
            os.close(end)

    def test_a_descriptor_that_is_no_file_is_taken_for_a_sockets(self) -> None:
        sock = Pretended()
        sock.fileno = lambda: 10**6  # type: ignore[method-assign]

        assert not replaced.is_replaced(sock)

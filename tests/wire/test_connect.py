"""Connecting on loopback: names, the race of a name's addresses, Unix sockets, and what is left open."""

from __future__ import annotations

import contextlib
import contextvars
import errno
import os
import resource
import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast.exceptions import ConnectTimeout
from holdfast.wire import connect
from holdfast.wire.addressing import Address, resolve
from holdfast.wire.connect import STAGGER_SECONDS, connect_tcp, connect_unix, interleave
from holdfast.wire.stream import SocketStream
from tests.conftest import FakeClock
from tests.support import GreenLock

WAIT = 5.0
REQUEST = b"POST / HTTP/1.1\r\nHost: x\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

pytestmark = pytest.mark.usefixtures("no_leaks")
linux_only = pytest.mark.needs("linux")
unix_sockets = pytest.mark.needs("unix sockets")


# -- names ------------------------------------------------------------------------------------------------------------

V4, V6 = socket.AF_INET, socket.AF_INET6


def address(host: str, port: int = 80) -> Address:
    family = V6 if ":" in host else V4
    return (family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port, 0, 0) if family == V6 else (host, port))


def families(*each: int) -> list[Address]:
    return [(family, 0, 0, str(i), ()) for i, family in enumerate(each)]


@pytest.mark.parametrize(
    ("given", "order"),
    [
        ([], ""),
        ([V4], "0"),
        ([V6, V6, V4, V4], "0213"),
        ([V4, V6, V6], "012"),
        ([V6, V6, V6, V4], "0312"),
        ([V4, V6, V6, V6], "0123"),
        ([V4, V4, V6], "021"),
    ],
)
def test_families_take_turns(given: list[int], order: str) -> None:
    assert "".join(a[3] for a in interleave(families(*given))) == order


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Replaces the resolver: ``names("127.0.0.1", "::1", port=…)``."""

    def use(*hosts: str, port: int) -> None:
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [address(host, port) for host in hosts])

    return use


def in_(seconds: float) -> float:
    return time.monotonic() + seconds


@pytest.mark.parametrize("until", [None, 5.0])
@pytest.mark.parametrize("error", [socket.gaierror(socket.EAI_NONAME, "Name or service not known"), UnicodeError("label")])
def test_a_name_without_an_address_is_named(monkeypatch: pytest.MonkeyPatch, error: Exception, until: float | None) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(holdfast.ConnectionError, match=r"cannot resolve 'no\.example'") as caught:
        connect_tcp("no.example", 80, None if until is None else in_(until))
    assert caught.value.__cause__ is error
    assert getattr(caught.value, "never_connected", False)


def test_a_name_with_no_addresses_at_all(names: Callable[..., None]) -> None:
    names(port=80)
    with pytest.raises(holdfast.ConnectionError, match="no address"):
        connect_tcp("empty.example", 80, in_(WAIT))


def test_a_resolver_that_stalls_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()

    def stall(*_: object) -> list[Address]:
        go_on.wait(WAIT)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", stall)
    started = time.monotonic()
    with pytest.raises(ConnectTimeout, match=r"'slow\.example' was not resolved"):
        connect_tcp("slow.example", 80, in_(0.03))
    go_on.set()

    assert 0.03 <= time.monotonic() - started < 0.5


def test_a_bug_in_a_replaced_resolver_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(*_: object) -> None:
        raise KeyError("mine")

    monkeypatch.setattr(socket, "getaddrinfo", bug)
    with pytest.raises(KeyError, match="mine"):
        resolve("x.example", 80, in_(WAIT))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_addresses_need_no_thread_and_names_find_one(host: str) -> None:
    assert resolve(host, 80, in_(WAIT))[0][4][1] == 80


who = contextvars.ContextVar("who", default="")


def test_a_resolver_sees_the_callers_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guard that asks for what the caller has set would let every name through."""
    seen: list[str] = []

    def look(host: str, *_: object) -> list[Address]:
        seen.append(who.get())
        return [address("127.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", look)
    token = who.set("the caller")
    try:
        for until in (None, in_(WAIT)):
            resolve("pinned.example", 80, until)
        assert seen == ["the caller", "the caller"]
    finally:
        who.reset(token)


def test_names_are_resolved_where_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert resolve("localhost", 80, in_(WAIT))


def test_names_are_resolved_while_the_interpreter_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before Python 3.12 a thread started then is not refused: it dies, and start() waits for it for ever."""

    def hang(_: threading.Thread) -> None:
        raise AssertionError("nothing waits for a thread now")

    monkeypatch.setattr(threading.Thread, "start", hang)
    monkeypatch.setattr(sys, "is_finalizing", lambda: True)
    assert resolve("localhost", 80, in_(WAIT))


def test_a_lock_that_was_replaced_after_the_import_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """gevent: by the system's lock a name would be waited for until the timeout, since its greenlet could not run."""
    monkeypatch.setattr(threading, "Lock", GreenLock)
    monkeypatch.setattr(GreenLock, "waits", 0)
    assert resolve("localhost", 80, in_(WAIT))
    assert GreenLock.waits


def test_poll_may_be_taken_away_after_the_import(monkeypatch: pytest.MonkeyPatch) -> None:
    """eventlet does, when a program patches itself."""
    monkeypatch.delattr(select, "poll", raising=False)
    with listening() as port, connect_tcp("127.0.0.1", port, in_(WAIT)) as sock:
        stream = SocketStream(sock)
        assert stream.probe() is None
        with pytest.raises(TimeoutError):
            stream.read(0.01)
    with pytest.raises(holdfast.ConnectionError, match="refused"):
        connect_tcp("127.0.0.1", port, in_(WAIT))


# -- connecting -------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def deaf(host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """A port that answers no SYN: its backlog is full."""
    family = V6 if ":" in host else V4
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(family))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(0)
        for _ in range(4):
            knocking = stack.enter_context(socket.socket(family))
            knocking.setblocking(False)
            knocking.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@contextlib.contextmanager
def listening(host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    with socket.create_server((host, port), family=V6 if ":" in host else V4) as listener:
        yield listener.getsockname()[1]


def connected(*args: Any, **kw: Any) -> Any:
    with connect_tcp(*args, **kw) as sock:
        assert sock.gettimeout() == 0.0
        return sock.getpeername()[0]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_connects_without_a_name(host: str) -> None:
    with listening(host) as port:
        assert connected(host, port, in_(WAIT)) == host
        assert connected(host, port, None) == host


select_poll: Any = getattr(select, "poll", None)


class Poll:
    """A poll as libraries of greenlets have it: it tells that an event came, and not whether that was an error."""

    def __init__(self) -> None:
        self._poll = select_poll()
        self.register = self._poll.register

    def poll(self, milliseconds: float | None = None) -> list[tuple[int, int]]:
        return [(fd, events & (select.POLLIN | select.POLLOUT) or select.POLLOUT) for fd, events in self._poll.poll(milliseconds)]


@pytest.mark.needs("poll")
def test_a_refusal_is_one_by_a_poll_that_tells_of_no_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "poll", Poll)
    with listening() as port, connect_tcp("127.0.0.1", port, in_(WAIT)):
        pass
    with pytest.raises(holdfast.ConnectionError, match="refused"):
        connect_tcp("127.0.0.1", port, in_(WAIT))


def test_a_class_of_sockets_that_knows_streams_alone_is_asked_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """PySocks: by ``socket.socket = socks.socksocket`` scripts go through a proxy."""

    class Streams(socket.socket):
        def __init__(self, family: int, kind: int, protocol: int) -> None:
            if kind not in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                raise ValueError("stream or datagram")
            super().__init__(family, kind, protocol)

    with listening() as port:
        monkeypatch.setattr(socket, "socket", Streams)
        with connect_tcp("127.0.0.1", port, in_(WAIT)) as sock:
            assert type(sock) is Streams
            assert sock.gettimeout() == 0.0


def test_the_first_address_that_answers_wins(names: Callable[..., None]) -> None:
    with listening() as port:
        names("127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.1", port=port)
        started = time.monotonic()
        assert connected("five.example", port, in_(WAIT)) == "127.0.0.1"

    assert time.monotonic() - started < STAGGER_SECONDS, "a refusal is not waited for"


def test_a_silent_family_costs_one_stagger(names: Callable[..., None]) -> None:
    """RFC 8305: IPv6 that swallows every SYN, IPv4 that works."""
    with listening() as port, deaf("::1", port):
        names(*["::1"] * 5, "127.0.0.1", port=port)
        started = time.monotonic()
        assert connected("both.example", port, in_(WAIT)) == "127.0.0.1"

    assert STAGGER_SECONDS <= time.monotonic() - started < 5 * STAGGER_SECONDS, "one each, had the families not taken turns"


def test_a_slow_address_may_still_win(names: Callable[..., None], monkeypatch: pytest.MonkeyPatch, clock: FakeClock) -> None:
    """Everything else was refused meanwhile: the first attempt is still running.

    By a clock that stands still the second attempt begins in time, however busy the machine is.
    """
    monkeypatch.setattr(connect, "STAGGER_SECONDS", 0.01)
    with deaf() as port:
        names("127.0.0.1", "127.0.0.2", port=port)
        with pytest.raises(ConnectTimeout, match="2 of 2 addresses"):
            connect_tcp("slow.example", port, clock() + 0.05, clock=clock)


def test_nobody_answers_in_time() -> None:
    with deaf() as port:
        started = time.monotonic()
        with pytest.raises(ConnectTimeout, match=rf"127\.0\.0\.1:{port} after 0\.\d\d s: 1 of 1"):
            connect_tcp("127.0.0.1", port, in_(0.05))

    assert 0.05 <= time.monotonic() - started < 0.5, "half of what a SYN waits before it is sent again"


def test_nobody_answers_in_time_on_a_clock_that_stands_still(names: Callable[..., None], clock: FakeClock) -> None:
    """As under freezegun: a wait that came back with nothing has lasted as long as it was to last."""
    with deaf() as port:
        names("127.0.0.1", "127.0.0.1", port=port)
        started = time.monotonic()
        with pytest.raises(ConnectTimeout, match=r"after 0\.30 s: 2 of 2"):
            connect_tcp("slow.example", port, clock() + 0.3, clock=clock)

    assert time.monotonic() - started >= 0.3


@pytest.mark.parametrize("other", ["127.0.0.2", pytest.param("255.255.255.255", id="no way there")])
def test_all_refuse(names: Callable[..., None], other: str) -> None:
    """What a server says is told, whatever this machine says of an address behind it that it has no way to, as of an IPv6 one."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        names("127.0.0.1", other, port=port)
        with pytest.raises(holdfast.ConnectionError, match=r"Connection refused \(2 addresses tried") as caught:
            connect_tcp("refused.example", port, in_(WAIT))

    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.ECONNREFUSED
    assert getattr(caught.value, "never_connected", False)
    assert not isinstance(caught.value, ConnectTimeout)


@linux_only  # elsewhere the kernel refuses
def test_a_connection_of_a_socket_with_itself_is_a_refusal_and_the_port_is_free_at_once() -> None:
    """On one machine a kernel chooses, now and then, the port of the very server that is down just now."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        own = bound.getsockname()

    with pytest.raises(holdfast.ConnectionError, match="refused") as caught:
        connect_tcp("127.0.0.1", own[1], in_(WAIT), source_address=own)

    assert getattr(caught.value, "never_connected", False)
    with socket.socket() as server:
        server.bind(own)


def test_an_address_without_a_route_is_passed_over(names: Callable[..., None]) -> None:
    with listening() as port:
        names("255.255.255.255", "127.0.0.1", port=port)
        assert connected("odd.example", port, in_(WAIT)) == "127.0.0.1"


def test_too_many_open_files_is_said_and_leaves_nothing_open() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    with listening() as port:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
        try:
            with contextlib.suppress(OSError):
                while True:
                    taken.append(os.open(os.devnull, os.O_RDONLY))
            with pytest.raises(holdfast.ConnectionError, match="Too many open files") as caught:
                connect_tcp("127.0.0.1", port, in_(WAIT))
        finally:
            for fd in taken:
                os.close(fd)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.EMFILE


def test_the_source_address_is_used() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        connect_tcp("127.0.0.1", listener.getsockname()[1], in_(WAIT), source_address=("127.0.0.7", 0)),
    ):
        accepted, (host, _) = listener.accept()
        accepted.close()

    assert host == "127.0.0.7"


def test_an_address_that_makes_no_sense_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [(V4, socket.SOCK_STREAM, 0, "", "nonsense")])
    with pytest.raises(TypeError):
        connect_tcp("odd.example", 80, in_(WAIT))


def test_a_source_address_that_is_not_ours_is_an_error() -> None:
    with listening() as port, pytest.raises(holdfast.ConnectionError, match="assign"):
        connect_tcp("127.0.0.1", port, in_(WAIT), source_address=("203.0.113.1", 0))


def test_sockets_are_without_delay_and_watched() -> None:
    with listening() as port, connect_tcp("127.0.0.1", port, in_(WAIT)) as sock:
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


def test_own_options_replace_the_defaults() -> None:
    with listening() as port:
        options = [(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)]
        with connect_tcp("127.0.0.1", port, in_(WAIT), options=options) as sock:
            assert not sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


# -- Unix sockets -----------------------------------------------------------------------------------------------------


@pytest.fixture
def unix(tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(0)
        yield path, listener


@unix_sockets
@pytest.mark.parametrize("until", [None, WAIT])
def test_a_unix_socket_connects(unix: tuple[str, socket.socket], until: float | None) -> None:
    path, listener = unix
    with connect_unix(path, None if until is None else in_(until)) as sock, listener.accept()[0] as peer:
        peer.sendall(b"x")
        assert sock.gettimeout() == 0.0
        assert SocketStream(sock).read(WAIT) == b"x"


@unix_sockets
def test_a_unix_socket_nobody_listens_at(tmp_path: Path) -> None:
    with pytest.raises(holdfast.ConnectionError, match="No such file") as caught:
        connect_unix(str(tmp_path / "none"), in_(WAIT))
    assert getattr(caught.value, "never_connected", False)


@unix_sockets
def test_a_unix_socket_with_a_full_backlog_is_waited_for(unix: tuple[str, socket.socket]) -> None:
    path, _ = unix
    with connect_unix(path, in_(WAIT)):
        started = time.monotonic()
        with pytest.raises(ConnectTimeout, match="accepted no connection"):
            connect_unix(path, in_(0.05))

    assert 0.04 <= time.monotonic() - started < 0.55


@unix_sockets
def test_a_unix_path_that_makes_no_sense_leaves_nothing_open() -> None:
    with pytest.raises(TypeError):
        connect_unix(3.5, None)  # type: ignore[arg-type]


@unix_sockets
def test_a_unix_path_that_is_too_long_is_an_error() -> None:
    with pytest.raises(holdfast.ConnectionError, match="too long"):
        connect_unix("/" + "x" * 200, None)

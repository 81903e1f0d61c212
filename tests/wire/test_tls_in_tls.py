"""TLS inside TLS, byte by byte: a peer that decides which records of either layer arrive together, half, late or damaged."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from holdfast.exceptions import ConnectTimeout, SSLError
from holdfast.wire import tls_in_tls
from holdfast.wire.stream import SocketStream
from holdfast.wire.tls_in_tls import TlsInTls
from tests.conftest import Tls

pytestmark = pytest.mark.usefixtures("no_leaks")


class Peer:
    """The other end of both layers. What it writes goes out when, and in the pieces, that the test says.

    Attributes:
        inner: the TLS object of the inner layer; its records collect in ``out``.
        outer: the TLS socket that carries them.
    """

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        self.outer = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=False)
        self.into, self.out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.inner = context.wrap_bio(self.into, self.out, server_side=True)

    def shake_hands(self) -> None:
        self.outer.do_handshake()
        while True:
            try:
                self.inner.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.flush()
                self.into.write(self.outer.recv(65536))
        self.flush()

    def flush(self) -> None:
        if self.out.pending:
            self.outer.sendall(self.out.read())

    def read(self, size: int) -> bytes:
        """So many bytes from inside."""
        found = b""
        while len(found) < size:
            try:
                found += self.inner.read(size - len(found))
            except ssl.SSLWantReadError:
                self.into.write(self.outer.recv(65536))
        return found


    def read_until(self, mark: bytes) -> bytes:
        """What comes from inside, up to this mark at its end."""
        found = b""
        while not found.endswith(mark):
            found += self.read(1)
        return found


@pytest.fixture
def layers(tls: Tls, request: pytest.FixtureRequest) -> Iterator[tuple[TlsInTls, Peer]]:
    """Both ends after both handshakes."""
    ours, theirs = socket.socketpair()
    peer = Peer(theirs, tls.server_context(tickets=getattr(request, "param", 0)))
    thread = threading.Thread(target=peer.shake_hands)
    thread.start()
    context = tls.client_context()
    carrier = context.wrap_socket(ours, server_hostname="localhost", suppress_ragged_eofs=False)
    carrier.setblocking(False)
    try:
        inner = tls_in_tls.wrap(carrier, SocketStream(carrier), context, "localhost", 443, time.monotonic() + 5)
        thread.join()
        yield inner, peer
    finally:
        thread.join()
        carrier.close()
        peer.outer.close()


Layers = tuple[TlsInTls, Peer]


def read_all(inner: TlsInTls, size: int) -> bytes:
    stream, found = SocketStream(inner), b""  # type: ignore[arg-type]
    while len(found) < size:
        data = stream.read(5)
        assert data, "it ended early"
        found += data
    return found


def test_bytes_go_both_ways(layers: Layers) -> None:
    inner, peer = layers
    assert inner.send(b"hello") == 5
    assert peer.read(5) == b"hello"
    peer.inner.write(b"world")
    peer.flush()

    assert read_all(inner, 5) == b"world"
    assert inner.pending() == 0
    with pytest.raises(ssl.SSLWantReadError):
        inner.recv(10)


def test_what_arrived_with_what_was_read_is_pending_though_the_kernel_has_nothing(layers: Layers) -> None:
    inner, peer = layers
    for piece in (b"one", b"two", b"three"):
        peer.inner.write(piece)
    peer.flush()
    assert read_all(inner, 3) == b"one"

    assert inner.pending() == 3
    assert inner.recv(2) == b"tw"
    assert inner.pending() == 1
    assert (inner.recv(10), inner.recv(10)) == (b"o", b"three")


def test_many_records_in_one_go_come_whole(layers: Layers) -> None:
    inner, peer = layers
    data = bytes(range(256)) * 1000
    peer.inner.write(data)
    sent = threading.Thread(target=peer.flush)
    sent.start()

    assert read_all(inner, len(data)) == data
    sent.join()


def test_half_a_record_is_nothing_yet_and_is_not_lost(layers: Layers) -> None:
    inner, peer = layers
    peer.inner.write(b"whole")
    record = peer.out.read()
    for end in (3, len(record) - 1):
        start = 0 if end == 3 else 3
        peer.outer.sendall(record[start:end])
        with pytest.raises(TimeoutError):
            SocketStream(inner).read(0.05)  # type: ignore[arg-type]
        assert inner.pending() == 0
    peer.outer.sendall(record[-1:])

    assert read_all(inner, 5) == b"whole"


def test_a_close_notify_that_came_with_the_last_bytes_is_the_end_though_tcp_stays_open(layers: Layers) -> None:
    inner, peer = layers
    peer.inner.write(b"last")
    with pytest.raises(ssl.SSLWantReadError):
        peer.inner.unwrap()
    peer.flush()
    stream: Any = SocketStream(inner)  # type: ignore[arg-type]

    assert stream.read(5) == b"last"
    assert inner.pending() == 1, "the end can be read without the kernel"
    assert stream.read(5) == b""
    assert stream.clean_eof


@pytest.mark.parametrize("polite", [True, False])
def test_an_end_outside_is_no_clean_end_inside(layers: Layers, polite: bool) -> None:
    inner, peer = layers
    peer.inner.write(b"half")
    peer.flush()
    if polite:
        peer.outer.setblocking(False)
        with pytest.raises(ssl.SSLWantReadError):
            peer.outer.unwrap()
    socket.socket.shutdown(peer.outer, socket.SHUT_WR)
    stream: Any = SocketStream(inner)  # type: ignore[arg-type]

    assert stream.read(5) == b"half"
    assert stream.read(5) == b""
    assert not stream.clean_eof


def test_a_damaged_record_behind_good_ones_waits_for_its_reader(layers: Layers) -> None:
    inner, peer = layers
    peer.inner.write(b"good")
    peer.inner.write(b"bad")
    records = bytearray(peer.out.read())
    records[-1] ^= 1
    peer.outer.sendall(records)
    assert read_all(inner, 4) == b"good"

    assert inner.pending() == 1
    with pytest.raises(ssl.SSLError, match=r"BAD_RECORD|DECRYPTION"):
        inner.recv(10)


@pytest.mark.parametrize("layers", [2], indirect=True)
def test_session_tickets_of_either_layer_are_no_bytes(layers: Layers) -> None:
    inner, peer = layers
    peer.inner.write(b"x")
    peer.flush()
    assert read_all(inner, 1) == b"x"

    assert inner.pending() == 0
    assert SocketStream(inner).probe() is None  # type: ignore[arg-type]
    assert inner.session is not None
    assert inner.session.has_ticket


def test_bytes_count_as_sent_when_the_kernel_has_all_of_them(layers: Layers) -> None:
    """Nothing is read at the other end until the kernel takes no more: what was reported as sent is exactly what arrives."""
    inner, peer = layers
    data = bytes(range(256)) * 256
    sent = 0
    while True:
        try:
            sent += inner.send(data[sent % len(data) :])
        except ssl.SSLWantWriteError:
            break
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(peer.read_until(b"END")))
    reader.start()
    stream = SocketStream(inner)  # type: ignore[arg-type]
    rest = data[sent % len(data) :]
    while not (more := stream.write_some(rest)):
        stream.wait_writable_or_readable(5)
    assert stream.write_some(b"END") == 3
    reader.join(5)

    assert more <= tls_in_tls.WRITE_SIZE
    assert got[0] == (data * (sent // len(data) + 2))[: sent + more] + b"END"


def test_a_polite_close_says_goodbye_inside_and_outside(layers: Layers) -> None:
    inner, peer = layers
    SocketStream(inner).close()  # type: ignore[arg-type]

    assert inner.fileno() == -1
    peer.into.write(peer.outer.recv(65536))
    assert peer.inner.read(10) == b""
    assert peer.outer.recv(10) == b""


def test_the_kernel_is_not_asked_about_the_server_and_nothing_ever_blocks(layers: Layers) -> None:
    inner, _ = layers
    with pytest.raises(OSError, match="no socket"):
        inner.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    with pytest.raises(ValueError, match="never blocks"):
        inner.setblocking(True)
    stream = SocketStream(inner)  # type: ignore[arg-type]
    stream.begin_exchange()

    assert stream.acknowledged()
    assert not stream.proven_undelivered()


def outside_only(tls: Tls, then: Any) -> tuple[ssl.SSLSocket, threading.Thread]:
    """A carrier whose other end shakes hands outside, and then does as it is told."""
    ours, theirs = socket.socketpair()

    def run() -> None:
        with tls.server_context().wrap_socket(theirs, server_side=True) as outer:
            then(outer)

    thread = threading.Thread(target=run)
    thread.start()
    carrier = tls.client_context().wrap_socket(ours, server_hostname="localhost", suppress_ragged_eofs=False)
    carrier.setblocking(False)
    return carrier, thread


@pytest.mark.parametrize(
    ("then", "kind", "words"),
    [
        (
            lambda outer: outer.recv(65536) and outer.recv(1),
            ConnectTimeout,
            r"handshake with localhost:443 was not done after 0\.\d\d s",
        ),
        (lambda outer: outer.recv(65536), SSLError, "localhost:443 closed the connection during the TLS handshake"),
        (
            lambda outer: outer.sendall(b"HTTP/1.1 400 Bad\r\n\r\n") or outer.recv(65536),
            SSLError,
            "localhost:443 does not speak TLS",
        ),
    ],
)
def test_a_handshake_that_fails_says_how(tls: Tls, then: Any, kind: type[Exception], words: str) -> None:
    def quietly(outer: ssl.SSLSocket) -> None:
        try:
            then(outer)
        except OSError:
            pass  # the client has gone

    carrier, thread = outside_only(tls, quietly)
    with pytest.raises(kind, match=words):
        tls_in_tls.wrap(carrier, SocketStream(carrier), tls.client_context(), "localhost", 443, time.monotonic() + 0.2)
    carrier.close()
    thread.join()

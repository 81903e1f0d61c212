"""Sockets on loopback: what the kernel says of the other end, and of what was delivered to it."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import ssl
import struct
import threading
import time
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from holdfast.reasons import Discard
from holdfast.wire import stream as streams
from holdfast.wire.readiness import readable_fds, readiness_of, wait_for
from holdfast.wire.stream import SocketStream
from tests.conftest import FakeClock, Tls
from tests.platforms import POLLPRI, POLLRDHUP, happens
from tests.support import eventually

WAIT = 5.0
REQUEST = b"POST / HTTP/1.1\r\nHost: x\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

pytestmark = pytest.mark.usefixtures("no_leaks")
linux_only = pytest.mark.needs("linux")  # only Linux tells what was acknowledged


class Pair:
    """A SocketStream and the peer's end of its connection."""

    def __init__(self, stream: SocketStream, peer: socket.socket) -> None:
        self.stream = stream
        self.peer = peer

    def exchange(self, request: bytes = REQUEST, answer: bytes = ANSWER) -> None:
        """One request that was answered: from here on the connection is a used one."""
        self.stream.begin_exchange()
        assert self.stream.write_some(request) == len(request)
        missing = len(request)
        while missing:
            missing -= len(self.peer.recv(missing))
        self.peer.sendall(answer)
        assert self.stream.read(WAIT) == answer
        assert self.stream.acknowledged()

    def rst(self) -> None:
        self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        socket.socket.close(self.peer)

    def wait_readable(self) -> None:
        assert select.select([self.stream], [], [], WAIT)[0], "nothing arrived"

    def wait_gone(self) -> None:
        """Until an RST is here."""
        assert happens(self.stream.fileno(), 0, WAIT), "no RST arrived"

    def wait_hung_up(self) -> None:
        """Until a FIN or an RST is here, behind whatever came before it."""
        assert happens(self.stream.fileno(), POLLRDHUP, WAIT), "no end arrived"


@pytest.fixture
def plain() -> Iterator[Pair]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname(), WAIT)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = listener.accept()[0]
    pair = Pair(SocketStream(client), peer)
    peer.settimeout(WAIT)
    yield pair
    pair.stream.close(polite=False)
    peer.close()


def shake_hands(client: socket.socket, peer: socket.socket, tls: Tls, server: ssl.SSLContext) -> Pair:
    found: list[ssl.SSLSocket] = []

    def serve() -> None:
        found.append(server.wrap_socket(peer, server_side=True, suppress_ragged_eofs=False))

    thread = threading.Thread(target=serve)
    thread.start()
    secure = tls.client_context().wrap_socket(client, server_hostname="localhost", suppress_ragged_eofs=False)
    thread.join(WAIT)
    return Pair(SocketStream(secure), found[0])


@pytest.fixture
def secure(tls: Tls) -> Iterator[Callable[..., Pair]]:
    """A function that makes a Pair over TLS, from what ``tls.server_context`` takes."""
    with contextlib.ExitStack() as stack:

        def make(**options: Any) -> Pair:
            with socket.create_server(("127.0.0.1", 0)) as listener:
                client = socket.create_connection(listener.getsockname(), WAIT)
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                peer = listener.accept()[0]
            peer.settimeout(WAIT)
            pair = shake_hands(client, peer, tls, tls.server_context(**options))
            stack.callback(pair.peer.close)
            stack.callback(pair.stream.close, polite=False)
            return pair

        yield make


# -- reading ----------------------------------------------------------------------------------------------------------


def test_reads_are_bounded_and_the_end_stays_the_end(plain: Pair) -> None:
    plain.peer.sendall(b"x" * 100_000)
    got = b""
    while len(got) < 100_000:
        piece = plain.stream.read(WAIT)
        assert len(piece) <= 65536
        got += piece
    plain.peer.close()

    assert plain.stream.read(WAIT) == b""
    assert plain.stream.read(0.0) == b""
    assert plain.stream.readable_now()


def test_a_read_gives_up_after_its_time(plain: Pair) -> None:
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        plain.stream.read(0.02)

    assert 0.02 <= time.monotonic() - started < 0.52


def test_half_a_tls_record_does_not_reset_the_time(secure: Callable[..., Pair]) -> None:
    pair = secure(tickets=0)
    raw = socket.socket(fileno=os.dup(pair.peer.fileno()))
    with raw:
        raw.sendall(b"\x17\x03\x03\x00\x50")
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            pair.stream.read(0.05)
        assert 0.05 <= time.monotonic() - started < 0.55
        with pytest.raises(TimeoutError):
            pair.stream.read(0.0)


def test_a_read_is_on_the_clock_it_was_given(secure: Callable[..., Pair], clock: FakeClock) -> None:
    """Half a record at a time, and the clock says that it is over."""
    pair = secure(tickets=0)
    pair.stream._clock = clock
    with socket.socket(fileno=os.dup(pair.peer.fileno())) as raw:
        raw.sendall(b"\x17\x03\x03\x00\x50")
        with pytest.raises(TimeoutError):
            pair.stream.read(0.02)


@pytest.mark.parametrize("end", ["data", "FIN", pytest.param("RST", marks=linux_only), "alert"])
def test_what_follows_half_a_tls_record_is_read(secure: Callable[..., Pair], end: str) -> None:
    pair = secure(tickets=0)
    with socket.socket(fileno=os.dup(pair.peer.fileno())) as raw:
        raw.sendall(b"\x17\x03")
        pair.wait_readable()
        follow = {
            "data": lambda: raw.sendall(b"\x03\x00\x20" + b"\0" * 32),  # whole, and damaged
            "FIN": lambda: raw.shutdown(socket.SHUT_WR),
            "RST": pair.rst,
            "alert": lambda: raw.sendall(b"\x03\x00\x02\x01\x00"),
        }[end]
        if end == "RST":
            raw.close()
        timer = threading.Timer(0.02, follow)
        timer.start()
        if end == "FIN":
            assert pair.stream.read(WAIT) == b""
            assert not pair.stream.clean_eof
        else:
            with pytest.raises(OSError, match=r".") as caught:
                pair.stream.read(WAIT)
            assert not isinstance(caught.value, TimeoutError)
        timer.join()


def test_session_tickets_do_not_end_a_read(secure: Callable[..., Pair]) -> None:
    pair = secure(tickets=2)
    pair.peer.sendall(b"hello")

    assert pair.stream.read(WAIT) == b"hello"


@pytest.mark.parametrize("wait", [0.0, 0.02])
def test_session_tickets_are_nothing_to_read(secure: Callable[..., Pair], wait: float) -> None:
    pair = secure(tickets=2)
    pair.wait_readable()

    with pytest.raises(TimeoutError):
        pair.stream.read(wait)


def test_the_kernels_own_timeout_is_not_our_impatience(plain: Pair) -> None:
    """ETIMEDOUT (the peer answers no keepalive probe) is a TimeoutError to Python, as is waiting too long to us."""
    with pytest.raises(OSError, match="timed out") as caught:
        plain.stream._end_of_file_or_raise(OSError(errno.ETIMEDOUT, "Connection timed out"))

    assert not isinstance(caught.value, TimeoutError)
    assert plain.stream.probe() is Discard.STALE


def test_a_full_socket_takes_nothing_and_says_so(plain: Pair) -> None:
    while plain.stream.write_some(b"x" * 65536):
        pass

    assert plain.stream.wait_writable_or_readable(0.0) == (False, False)
    plain.peer.sendall(b"stop")
    assert plain.stream.wait_writable_or_readable(WAIT) == (False, True)


def test_a_broken_socket_is_both_writable_and_readable(plain: Pair) -> None:
    plain.rst()
    plain.wait_gone()

    assert wait_for(plain.stream.fileno(), 0.0) == (True, True)


def test_tls_is_counted_as_written_from_the_first_attempt(secure: Callable[..., Pair]) -> None:
    """A record may be half out when send() says that it would block."""
    pair = secure()
    pair.stream.begin_exchange()
    while pair.stream.write_some(b"x" * 65536):
        pass

    before = pair.stream.written
    assert pair.stream.write_some(b"x" * 65536) == 0  # OpenSSL wants the same bytes again
    assert pair.stream.written > before


# -- the probe --------------------------------------------------------------------------------------------------------


def test_a_quiet_connection_is_fit(plain: Pair) -> None:
    plain.exchange()

    assert plain.stream.probe() is None
    plain.exchange()


def test_an_end_of_file_is_stale(plain: Pair) -> None:
    plain.exchange()
    plain.peer.close()
    plain.wait_readable()

    assert plain.stream.probe() is Discard.STALE
    assert plain.stream.probe() is Discard.STALE


def test_a_half_closed_connection_is_stale(plain: Pair) -> None:
    plain.peer.shutdown(socket.SHUT_WR)
    plain.wait_readable()

    assert plain.stream.probe() is Discard.STALE


def test_a_reset_is_stale_and_remembered(plain: Pair) -> None:
    """The first read after an RST takes the error with it."""
    plain.exchange()
    plain.rst()
    plain.wait_gone()

    assert plain.stream.probe() is Discard.STALE
    assert plain.stream.probe() is Discard.STALE


@pytest.mark.parametrize("data", [b"x", b"\r\n", ANSWER], ids=["x", "CRLF", "response"])
def test_unsolicited_bytes_are_seen_and_remembered(plain: Pair, data: bytes) -> None:
    plain.exchange()
    plain.peer.sendall(data)
    plain.wait_readable()

    assert plain.stream.probe() is Discard.UNSOLICITED
    assert plain.stream.probe() is not None


@linux_only  # elsewhere the bytes are seen alone, and count as unsolicited
def test_bytes_and_an_end_of_file_are_stale(plain: Pair) -> None:
    """A 408 and a FIN."""
    plain.peer.sendall(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
    plain.peer.close()
    plain.wait_hung_up()

    assert plain.stream.probe() is Discard.STALE


def test_without_poll_an_end_without_an_alert_is_no_error(secure: Callable[..., Pair], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(select, "poll", raising=False)
    pair = secure()
    pair.exchange()
    pair.stream._readiness = readiness_of(pair.stream.fileno())
    pair.peer.close()
    pair.wait_hung_up()

    assert pair.stream.probe() is Discard.STALE
    assert pair.stream.error is None


def test_urgent_data_is_unsolicited(plain: Pair) -> None:
    plain.peer.send(b"!", socket.MSG_OOB)
    assert happens(plain.stream.fileno(), POLLPRI, WAIT)

    assert plain.stream.probe() is Discard.UNSOLICITED


def test_session_tickets_do_not_make_a_connection_unfit(secure: Callable[..., Pair]) -> None:
    """A poll alone would throw every fresh TLS 1.3 connection away."""
    pair = secure(tickets=2)
    pair.wait_readable()

    assert pair.stream.probe() is None
    pair.exchange()


def test_tls_bytes_are_unsolicited(secure: Callable[..., Pair]) -> None:
    pair = secure(tickets=0)
    pair.exchange()
    pair.peer.sendall(ANSWER)
    pair.wait_readable()

    assert pair.stream.probe() is Discard.UNSOLICITED
    assert pair.stream.probe() is not None


def test_bytes_that_were_decrypted_already_are_unsolicited(secure: Callable[..., Pair]) -> None:
    """poll is blind to them: they are in OpenSSL's buffer, not in the kernel's."""
    pair = secure(tickets=0)
    pair.peer.sendall(b"answer" + b"surplus")
    pair.wait_readable()
    assert pair.stream.sock.recv(6) == b"answer"

    assert not select.select([pair.stream], [], [], 0)[0]
    assert pair.stream.probe() is Discard.UNSOLICITED


def test_a_closure_alert_is_stale_though_tcp_is_open(secure: Callable[..., Pair]) -> None:
    pair = secure(tickets=0)
    pair.peer.settimeout(0)
    with contextlib.suppress(ssl.SSLWantReadError):
        pair.peer.unwrap()  # type: ignore[attr-defined]
    pair.wait_readable()

    assert pair.stream.probe() is Discard.STALE


def test_a_damaged_record_is_stale(secure: Callable[..., Pair]) -> None:
    pair = secure(tickets=0)
    with socket.socket(fileno=os.dup(pair.peer.fileno())) as raw:
        raw.sendall(b"\x17\x03\x03\x00\x20" + b"\0" * 32)
    pair.wait_readable()

    assert pair.stream.probe() is Discard.STALE
    assert pair.stream.probe() is Discard.STALE


@pytest.mark.parametrize("fin", [False, True], ids=["alert", "alert and FIN"])
def test_an_alert_is_stale_and_kept(secure: Callable[..., Pair], fin: bool) -> None:
    """What TLS says is the reason, and the hang-up that follows it is none."""
    pair = secure(maximum=ssl.TLSVersion.TLSv1_2)
    pair.exchange()
    with socket.socket(fileno=os.dup(pair.peer.fileno())) as raw:
        raw.sendall(b"\x15\x03\x03\x00\x20" + b"\0" * 32)  # encrypted by another key: OpenSSL's own error will do
        if fin:
            raw.shutdown(socket.SHUT_WR)
    pair.wait_readable()
    if fin:
        pair.wait_hung_up()

    assert pair.stream.probe() is Discard.STALE
    assert isinstance(pair.stream.error, ssl.SSLError)


@pytest.mark.parametrize("polite", [True, False])
def test_a_peer_that_leaves_without_a_reason_leaves_none(secure: Callable[..., Pair], polite: bool) -> None:
    pair = secure()
    pair.exchange()
    if polite:
        pair.peer.settimeout(0)
        with contextlib.suppress(ssl.SSLWantReadError):
            pair.peer.unwrap()  # type: ignore[attr-defined]
    pair.peer.close()
    pair.wait_hung_up()

    assert pair.stream.probe() is Discard.STALE
    assert pair.stream.error is None


def test_endless_tickets_are_not_accepted_for_ever(secure: Callable[..., Pair]) -> None:
    """A piece of a record looks like a ticket to the probe. An idle connection is allowed four."""
    pair = secure(tickets=0)
    verdicts = []
    with socket.socket(fileno=os.dup(pair.peer.fileno())) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"\x17\x03\x03\x00\x20":
            raw.sendall(bytes([byte]))
            pair.wait_readable()
            verdicts.append(pair.stream.probe())

    assert verdicts == [None] * 4 + [Discard.UNSOLICITED]


def test_a_connection_this_side_ended_is_unfit(plain: Pair) -> None:
    plain.stream.interrupt()

    assert plain.stream.probe() is Discard.STALE


# -- was it delivered? ------------------------------------------------------------------------------------------------


@linux_only
@pytest.mark.parametrize("used", [0, 1, 2])
def test_closed_before_the_request_arrived_is_proof(plain: Pair, used: int) -> None:
    for _ in range(used):
        plain.exchange()
    plain.stream.begin_exchange()
    plain.peer.close()
    plain.stream.write_some(REQUEST)

    assert plain.stream.read(WAIT) == b""
    assert plain.stream.proven_undelivered()
    assert plain.stream.proven_undelivered(), "asking does not change the answer"


@linux_only
def test_proof_after_a_request_of_many_segments(plain: Pair) -> None:
    plain.exchange(request=b"x" * 50_000)
    plain.stream.begin_exchange()
    plain.peer.close()
    plain.stream.write_some(REQUEST)

    assert plain.stream.read(WAIT) == b""
    assert plain.stream.proven_undelivered()


@linux_only
def test_the_write_that_fails_with_epipe_keeps_the_proof(plain: Pair) -> None:
    """EPIPE: the RST found the socket in CLOSE_WAIT, so the FIN had been first."""
    plain.exchange()
    plain.stream.begin_exchange()
    plain.peer.close()
    plain.stream.write_some(REQUEST)
    plain.wait_gone()
    with pytest.raises(BrokenPipeError):
        plain.stream.write_some(b"more")

    assert plain.stream.read(WAIT) == b""
    assert plain.stream.proven_undelivered()


def test_without_an_end_of_file_there_is_no_proof(plain: Pair) -> None:
    plain.stream.begin_exchange()
    plain.stream.write_some(REQUEST)

    assert not plain.stream.proven_undelivered()


def test_read_by_the_peer_is_delivered(plain: Pair) -> None:
    plain.exchange()
    plain.stream.begin_exchange()
    plain.stream.write_some(REQUEST)
    plain.peer.recv(1000)
    plain.peer.close()

    assert plain.stream.read(WAIT) == b""
    assert not plain.stream.proven_undelivered()


def test_a_reset_after_the_request_was_read_proves_nothing(plain: Pair) -> None:
    """The worker that did the work and died. After the RST the kernel says end of file, as if nothing had been."""
    plain.exchange()
    plain.stream.begin_exchange()
    plain.stream.write_some(REQUEST)
    plain.peer.recv(1000)
    plain.rst()
    with pytest.raises(ConnectionResetError):
        plain.stream.read(WAIT)

    assert plain.stream.read(WAIT) == b""
    assert not plain.stream.proven_undelivered()


def test_a_reset_that_only_the_write_saw_proves_nothing(plain: Pair) -> None:
    plain.exchange()
    plain.stream.begin_exchange()
    plain.stream.write_some(REQUEST)
    plain.peer.recv(1000)
    plain.rst()
    plain.wait_gone()
    with pytest.raises(ConnectionResetError):
        plain.stream.write_some(b"the second piece")

    assert plain.stream.read(WAIT) == b""
    assert not plain.stream.proven_undelivered()
    with pytest.raises(BrokenPipeError):
        plain.stream.write_some(b"the third")
    assert not plain.stream.proven_undelivered()


def test_closing_with_the_request_unread_proves_nothing(plain: Pair) -> None:
    """The kernel acknowledged it, and close() with unread bytes sends an RST."""
    plain.exchange()
    plain.stream.begin_exchange()
    plain.stream.write_some(REQUEST)
    assert select.select([plain.peer], [], [], WAIT)[0]
    plain.peer.close()
    plain.wait_gone()
    with pytest.raises(ConnectionResetError):
        plain.stream.read(WAIT)

    assert not plain.stream.proven_undelivered()


def test_an_end_of_file_of_our_own_making_proves_nothing(plain: Pair) -> None:
    plain.exchange()
    plain.stream.begin_exchange()
    plain.stream.interrupt()
    with contextlib.suppress(OSError):
        plain.stream.write_some(REQUEST)

    assert plain.stream.read(WAIT) == b""
    assert not plain.stream.proven_undelivered()
    assert not plain.stream.clean_eof, "a body that lasts until end of file is not complete"


@linux_only
@pytest.mark.parametrize("polite", [True, False], ids=["close_notify and FIN", "FIN alone"])
def test_tls_closed_before_the_request_arrived_is_proof(secure: Callable[..., Pair], polite: bool) -> None:
    pair = secure()
    pair.exchange()
    pair.stream.begin_exchange()
    if polite:
        pair.peer.settimeout(0)
        with contextlib.suppress(ssl.SSLWantReadError):
            pair.peer.unwrap()  # type: ignore[attr-defined]
    pair.peer.close()
    pair.stream.write_some(REQUEST)

    assert pair.stream.read(WAIT) == b""
    assert pair.stream.clean_eof is polite
    assert pair.stream.proven_undelivered()


def test_a_closure_alert_without_a_fin_proves_nothing(secure: Callable[..., Pair]) -> None:
    """TLS lets the peer read on (RFC 8446, section 6.1)."""
    pair = secure()
    pair.exchange()
    pair.stream.begin_exchange()
    pair.peer.settimeout(0)
    with contextlib.suppress(ssl.SSLWantReadError):
        pair.peer.unwrap()  # type: ignore[attr-defined]

    assert pair.stream.read(WAIT) == b""
    assert not pair.stream.proven_undelivered()


def test_a_tls_peer_that_read_the_request_and_was_reset_proves_nothing(secure: Callable[..., Pair]) -> None:
    """ssl reports an RST as end of file."""
    pair = secure()
    pair.exchange()
    pair.stream.begin_exchange()
    pair.stream.write_some(REQUEST)
    pair.peer.recv(1000)
    pair.rst()
    pair.wait_gone()
    with contextlib.suppress(OSError):
        assert pair.stream.read(WAIT) == b""

    assert not pair.stream.proven_undelivered()
    assert not pair.stream.proven_undelivered()


def test_a_tls_peer_that_read_the_request_has_it(secure: Callable[..., Pair]) -> None:
    pair = secure()
    pair.exchange()
    pair.stream.begin_exchange()
    pair.stream.write_some(REQUEST)
    pair.peer.recv(1000)
    pair.peer.close()

    assert pair.stream.read(WAIT) == b""
    assert not pair.stream.proven_undelivered()


def test_nothing_is_claimed_of_sockets_that_are_not_tcp() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        stream = SocketStream(ours)
        stream.begin_exchange()
        theirs.close()
        with contextlib.suppress(BrokenPipeError):
            stream.write_some(REQUEST)

        assert stream.read(WAIT) == b""
        assert not stream.proven_undelivered()
        assert stream.acknowledged()
        stream.close()


@pytest.mark.skipif(not hasattr(socket, "IPPROTO_MPTCP"), reason="this Python has no name for Multipath TCP")
def test_nothing_is_claimed_of_multipath_tcp() -> None:
    """Its TCP_INFO is one subflow's, and a FIN there ends only that."""
    protocol = getattr(socket, "IPPROTO_MPTCP", 0)
    try:
        client = socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol)
    except OSError:
        pytest.skip("this kernel has no Multipath TCP")
    stream = SocketStream(client)
    stream.begin_exchange()
    stream.close()

    assert stream._acked_before is None


# -- was it heard? ----------------------------------------------------------------------------------------------------


@linux_only
@pytest.mark.parametrize("used", [0, 1])
def test_bytes_from_before_the_request_are_known_as_such(plain: Pair, used: int) -> None:
    for _ in range(used):
        plain.exchange()
    plain.stream.begin_exchange()
    plain.peer.sendall(ANSWER)
    plain.wait_readable()

    assert plain.stream.read(WAIT) == ANSWER
    assert not plain.stream.acknowledged()


@linux_only
def test_tls_bytes_from_before_the_request_are_known_as_such(secure: Callable[..., Pair]) -> None:
    pair = secure()
    pair.exchange()
    pair.stream.begin_exchange()
    pair.peer.sendall(ANSWER)

    assert pair.stream.read(WAIT) == ANSWER
    assert not pair.stream.acknowledged()


def last_data(pair: Pair) -> tuple[int, int]:
    """Milliseconds since the kernel sent, and received, data on our end."""
    info = pair.stream.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 128)
    return struct.unpack_from("=I", info, 44)[0], struct.unpack_from("=I", info, 52)[0]


def wait_some_jiffies(pair: Pair) -> None:
    """Until what arrived last did so a while ago, by the kernel's own clock."""
    eventually(lambda: last_data(pair)[1] >= 20, "20 ms since the last bytes")


@linux_only
@pytest.mark.parametrize("used", [0, 1])
def test_bytes_that_arrived_before_the_request_left_are_known_even_when_it_was_acknowledged(plain: Pair, used: int) -> None:
    """They came between the probe and the write, of a thread that had to wait for the interpreter."""
    for _ in range(used):
        plain.exchange()
    plain.stream.begin_exchange()
    plain.peer.sendall(ANSWER)
    wait_some_jiffies(plain)
    plain.stream.write_some(REQUEST)
    assert plain.peer.recv(len(REQUEST))
    eventually(lambda: streams._tcp_info(plain.stream.sock)[2] != plain.stream._acked_before, "an acknowledgement")

    assert plain.stream.read(WAIT) == ANSWER
    assert not plain.stream.acknowledged()


@linux_only
def test_an_answer_that_waited_to_be_read_is_an_answer(plain: Pair) -> None:
    plain.stream.begin_exchange()
    plain.stream.write_some(REQUEST)
    assert plain.peer.recv(len(REQUEST))
    plain.peer.sendall(ANSWER)
    wait_some_jiffies(plain)

    assert plain.stream.read(WAIT) == ANSWER
    assert plain.stream.acknowledged()


@linux_only
def test_an_answer_to_the_first_half_of_a_request_is_an_answer(plain: Pair) -> None:
    """A 413, say: what was written after it had arrived takes nothing from it."""
    plain.stream.begin_exchange()
    plain.stream.write_some(REQUEST)
    assert plain.peer.recv(len(REQUEST))
    plain.peer.sendall(ANSWER)
    wait_some_jiffies(plain)
    plain.stream.write_some(b"the other half")

    assert plain.stream.read(WAIT) == ANSWER
    assert plain.stream.acknowledged()


def test_answers_are_heard_a_hundred_times(plain: Pair) -> None:
    for size in [10, 1199, 1200, 1201, 5000] * 20:
        plain.exchange(request=b"x" * size)
        assert plain.stream.acknowledged(), size


# -- the end ----------------------------------------------------------------------------------------------------------


@linux_only
def test_what_was_written_after_the_answer_began_counts_for_the_next_request(plain: Pair) -> None:
    """A body that waited for a 100: the count that was noted at the 100 lacks it, and a stray would count as the next answer."""
    plain.stream.begin_exchange()
    plain.stream.write_some(b"head")
    assert plain.peer.recv(4)
    plain.peer.sendall(b"100")
    assert plain.stream.read(WAIT) == b"100"
    assert plain.stream.acknowledged()
    plain.stream.write_some(b"body")
    assert plain.peer.recv(4)
    plain.peer.sendall(ANSWER)
    assert plain.stream.read(WAIT) == ANSWER

    plain.stream.begin_exchange()
    plain.peer.sendall(b"stray")
    plain.wait_readable()
    assert plain.stream.read(WAIT) == b"stray"
    assert not plain.stream.acknowledged()


# -- what the send queue and the acknowledgements tell, and are told ---------------------------------------------------


@linux_only
def test_the_send_queue_tells_whether_the_peer_has_it_all(plain: Pair) -> None:
    plain.stream.begin_exchange()
    plain.stream.write_some(REQUEST)
    assert plain.peer.recv(len(REQUEST))
    eventually(lambda: not plain.stream.queued(), "it is acknowledged")
    written = 0
    while taken := plain.stream.write_some(b"x" * 65536):
        written += taken
    assert plain.stream.queued(), "the peer's buffer is full, and so is ours"
    while written:
        written -= len(plain.peer.recv(65536))
    eventually(lambda: not plain.stream.queued(), "it is acknowledged")


@linux_only
def test_over_a_unix_socket_it_tells_whether_the_peer_has_read_it_all() -> None:
    ours, peer = socket.socketpair()
    stream = SocketStream(ours)
    with peer:
        stream.write_some(REQUEST)
        assert stream.queued()
        peer.recv(4)
        assert stream.queued()
        peer.recv(1000)
        assert not stream.queued()
        stream.close()
        assert not stream.queued()


@linux_only
def test_where_the_send_queue_is_not_told_it_is_taken_for_empty(plain: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    while plain.stream.write_some(b"x" * 65536):
        pass
    monkeypatch.setattr(streams, "_SEND_QUEUE", 0)
    assert not plain.stream.queued()
    monkeypatch.setattr(streams, "_SEND_QUEUE", None)
    assert not plain.stream.queued()


@pytest.mark.parametrize("option", [None, 9999], ids=["no such option", "refused"])
def test_where_acknowledgements_cannot_be_hastened_reading_goes_on(
    plain: Pair, monkeypatch: pytest.MonkeyPatch, option: int | None
) -> None:
    monkeypatch.setattr(streams, "_QUICK_ACK", option)
    plain.stream.hasten()
    plain.exchange()


def test_nothing_is_hastened_where_the_rest_is_here_or_the_socket_is_no_tcp(plain: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_QUICK_ACK", "an option that would raise a TypeError")
    plain.peer.sendall(b"rest")
    plain.wait_readable()
    plain.stream.hasten()
    ours, peer = socket.socketpair()
    with peer:
        stream = SocketStream(ours)
        stream.hasten()
        stream.close()


def test_interrupt_ends_a_read_in_another_thread(plain: Pair) -> None:
    began = threading.Event()
    got: list[bytes] = []

    def read() -> None:
        began.set()
        got.append(plain.stream.read(WAIT))

    thread = threading.Thread(target=read)
    thread.start()
    began.wait(WAIT)
    plain.stream.interrupt()
    thread.join(WAIT)

    assert got == [b""]
    assert plain.peer.recv(1) == b""


def test_interrupt_and_close_of_a_dead_connection_are_quiet(plain: Pair) -> None:
    plain.rst()
    plain.wait_gone()
    plain.stream.interrupt()
    plain.stream.close()
    plain.stream.interrupt()
    plain.stream.close()

    assert plain.stream.fileno() == -1


def test_a_polite_close_says_goodbye_over_tls(secure: Callable[..., Pair]) -> None:
    pair = secure(tickets=0)
    pair.stream.close()

    assert pair.peer.recv(1) == b"", "without the alert this raises: ragged ends are not suppressed"


def test_an_impolite_close_does_not(secure: Callable[..., Pair]) -> None:
    pair = secure(tickets=0)
    pair.stream.close(polite=False)

    with pytest.raises(ssl.SSLEOFError):
        pair.peer.recv(1)


def test_a_forgotten_connection_is_left_to_the_parent(secure: Callable[..., Pair]) -> None:
    """After a fork the descriptor is shared: a byte of ours, or a shutdown, would break the parent's conversation."""
    pair = secure(tickets=0)
    shared = os.dup(pair.stream.fileno())
    pair.stream.forget()
    pair.peer.settimeout(0)

    with pytest.raises(ssl.SSLWantReadError):
        pair.peer.recv(1)
    os.close(shared)
    assert pair.stream.probe() is Discard.STALE


@pytest.mark.parametrize("seen_by", ["read", "slow read", "probe", "probe, with the FIN behind"])
def test_a_closure_alert_is_answered(secure: Callable[..., Pair], seen_by: str) -> None:
    """Without the answer this raises: ragged ends are not suppressed."""
    pair = secure(tickets=2 if seen_by == "slow read" else 0)
    pair.peer.settimeout(0)
    with contextlib.suppress(ssl.SSLWantReadError):
        pair.peer.unwrap()  # type: ignore[attr-defined]
    pair.peer.settimeout(WAIT)
    pair.wait_readable()
    if "FIN" in seen_by:
        socket.socket.shutdown(pair.peer, socket.SHUT_WR)
        pair.wait_hung_up()
    if "probe" in seen_by:
        assert pair.stream.probe() is Discard.STALE
    else:
        assert pair.stream.read(WAIT) == b""
    pair.stream.close()

    pair.peer.unwrap()  # type: ignore[attr-defined]  # raises if there is no alert of ours


@pytest.mark.parametrize("seen_by", ["read", "probe"])
def test_an_end_without_an_alert_is_not_answered(secure: Callable[..., Pair], seen_by: str) -> None:
    """It would be answered by an RST."""
    pair = secure(tickets=0)
    socket.socket.shutdown(pair.peer, socket.SHUT_WR)
    pair.wait_readable()
    if seen_by == "probe":
        assert pair.stream.probe() is Discard.STALE
    else:
        assert pair.stream.read(WAIT) == b""
    pair.stream.close()

    with pytest.raises((ssl.SSLEOFError, ssl.SSLZeroReturnError, OSError)):
        assert pair.peer.recv(1) == b"x"


def test_a_polite_close_does_not_wait_for_a_peer_that_does_not_read(secure: Callable[..., Pair]) -> None:
    pair = secure()
    while pair.stream.write_some(b"x" * 65536):
        pass
    started = time.monotonic()
    pair.stream.close()

    assert time.monotonic() - started < 0.5


@pytest.mark.parametrize("has_poll", [True, False])
def test_a_glance_at_closed_descriptors_is_harmless(monkeypatch: pytest.MonkeyPatch, has_poll: bool) -> None:
    """The keeper looks at hundreds at once: one that another thread has closed spoils nothing for the others."""
    if not has_poll:
        monkeypatch.delattr(select, "poll", raising=False)
    one, other = socket.socketpair()
    with one, other:
        assert readable_fds([]) == []
        assert readable_fds([one.fileno()]) == []
        other.send(b"x")
        assert readable_fds([one.fileno()]) == [one.fileno()]
        assert one.recv(1) == b"x", "it has consumed nothing"
        gone = os.dup(one.fileno())
        os.close(gone)
        assert readable_fds([gone]) == [gone]
        assert readable_fds([one.fileno(), gone]) == [gone]


def test_a_look_that_fails_for_want_of_memory_is_left_to_the_read_that_follows(
    plain: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ENOMEM out of poll, where an acknowledgement was only to be hastened, came out as a bare OSError."""

    def no_memory(seconds: float | None) -> int:
        raise OSError(errno.ENOMEM, "no memory")

    monkeypatch.setattr(plain.stream, "_readiness", types.SimpleNamespace(events=no_memory))

    plain.stream.hasten()

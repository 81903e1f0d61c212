"""Sockets: names resolved, addresses raced, and SocketStream, which owns a descriptor and what the kernel knows of it.

Law: a socket is non-blocking all its life; every wait is a ``poll`` with the time that is left. ``settimeout`` would
cost a second poll per call and cannot hold one deadline over many reads.

What the kernel knows (Linux). ``TCP_INFO.tcpi_bytes_acked`` counts what the peer's kernel has acknowledged, and every
segment a peer sends acknowledges what had reached it. ``begin_exchange`` notes the count before a request is written:

* the peer's FIN arrived and the count has not moved: the peer had closed before any byte of the request reached
  it. It can never read them. This is the proof of non-delivery (``undelivered``).
* response bytes arrived and the count has not moved: they were sent before the request arrived, so they are no answer
  to it (``heard``). Nor are they if the last of them arrived before the request left, by the kernel's own times.

What it does not prove. A bare RST: a peer that reads a request and aborts looks the same. So an error on the socket ends
all proof, since after it the kernel reports end of file whether or not a FIN came. EPIPE alone does not: Linux gives it,
instead of ECONNRESET, exactly when the RST came after the FIN. No proof is claimed where the count stands at 0 (emulated
kernels do not keep it; a real one counts the SYN), nor for a socket that is not plain TCP.

What stays in doubt. Bytes that cross the request count as its answer if its acknowledgement arrives before they are read. And
the kernel's times are jiffies, of 1 to 10 ms: bytes that arrive between the probe and the write are told from an answer
only if a jiffy lay in between. The probe just before the write keeps that moment short; a busy interpreter draws it out.
"""

from __future__ import annotations

import errno
import select
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue
from typing import Any

from ..exceptions import ConnectionError as HoldfastConnectionError
from ..exceptions import ConnectTimeout
from ..outcomes import Discard

READ_SIZE = 65536
ONE_SEGMENT = 1200  # bytes that any path carries in one TCP segment
STAGGER = 0.25  # seconds between attempts to the addresses of one name: RFC 8305, section 5
TOO_LONG = 2e6  # seconds; poll(2)'s int of milliseconds overflows after 24 days: whoever waits longer waits for ever
TICKET_READS = 4  # readable-but-empty TLS sockets accepted per idle period (session tickets, KeyUpdate)
LINGER_FOR_FIN = 0.05  # seconds a FIN may trail the close_notify it belongs to

_POLLRDHUP: int = getattr(select, "POLLRDHUP", 0)
_SO_PROTOCOL = 38
_TCP_INFO: int | None = getattr(socket, "TCP_INFO", 11) if sys.platform == "linux" else None
_TCP_INFO_FIELDS = struct.Struct("=44xI4xI64xQ")  # tcpi_last_data_sent and _recv, in milliseconds ago; tcpi_bytes_acked
_CLOSE_WAIT, _CLOSED = 8, 7
_NO_LINGER = struct.pack("ii" if sys.platform != "win32" else "hh", 1, 0)

SocketOption = tuple[int, int, int]


def default_socket_options() -> list[SocketOption]:
    """TCP_NODELAY, and keepalive probes that notice a vanished peer after 30 + 3 × 10 s of silence.

    Without TCP_NODELAY a resumed TLS handshake followed by a request waits 40 ms for a delayed ACK.
    """
    options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    return options


class SocketStream:
    """A byte stream over one connected socket, plain or TLS. Not thread-safe: its leaseholder is its only user.

    Attributes:
        sock: the socket; an ``ssl.SSLSocket`` when ``secure``.
        written: bytes of this exchange that may have left; for TLS, where a record can be half out, those of every
            attempt.
        clean_eof: False once a TLS stream ended without close_notify, or this side ended it: what came before may be
            cut short.
    """

    __slots__ = (
        "_acked_before",
        "_acked_last",
        "_eof",
        "_error",
        "_fin",
        "_plain_tcp",
        "_poll",
        "_recv",
        "_tickets",
        "_writes",
        "clean_eof",
        "info",
        "secure",
        "sock",
        "written",
    )

    def __init__(self, sock: socket.socket, info: dict[str, Any] | None = None) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.secure = isinstance(sock, ssl.SSLSocket)
        self.info = info or {}
        self.clean_eof = True
        self.written = self._writes = 0
        self._recv = sock.recv
        self._acked_before: int | None = None
        self._acked_last: int | None = None
        self._tickets = 0
        self._eof = False
        self._fin = False  # noted for TLS only
        self._error: OSError | None = None
        try:
            self._poll = _Poll(sock.fileno())
            self._plain_tcp = _is_plain_tcp(sock)
        except BaseException:
            sock.close()  # it was given away: nobody else would
            raise

    # -- reading and writing ---------------------------------------------------------------------------------------

    def read(self, seconds: float | None) -> bytes:
        """The next bytes, at most 64 KiB; ``b""`` at end of file.

        Raises:
            TimeoutError: nothing came for ``seconds``.
            OSError: the connection broke.
        """
        if self._eof:
            return b""
        if (self.secure and self._pending()) or self._wait_readable(seconds):
            try:
                data = self._recv(READ_SIZE)
            except (BlockingIOError, ssl.SSLWantReadError):
                return self._read_slowly(seconds)
            except OSError as error:
                return self._end_of_file_or_raise(error)
            if not data:
                self._eof = True
            return data
        raise TimeoutError(f"nothing to read for {seconds} s")

    def _wait_readable(self, seconds: float | None) -> bool:
        events = self._poll.events(seconds)
        if events & _Poll.GONE and self.secure:
            self._note_fin()
        return events != 0

    def _note_fin(self) -> None:
        """Ask the kernel what ended a TLS connection before ``ssl`` is asked to read.

        ssl reports an RST as end of file too (SSL_read_ex hides errno), and at an end without close_notify OpenSSL
        writes an alert, which takes the socket's error with it.
        """
        if self._fin or _TCP_INFO is None or not self._plain_tcp:
            return
        state = self.sock.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, 1)[0]
        if state == _CLOSE_WAIT:
            self._fin = True
        elif state == _CLOSED:
            code = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            self._fin = code == errno.EPIPE
            if code and not self._fin:
                self._error = OSError(code, _strerror(code))

    def _pending(self) -> bool:
        return self.secure and self.sock.pending() > 0  # type: ignore[attr-defined]

    def _read_slowly(self, seconds: float | None) -> bytes:
        """Readable, yet no byte for us: half a TLS record, or one of the TLS layer's own. Wait on, within the time."""
        until = None if seconds is None else time.monotonic() + seconds
        while True:
            left = None if until is None else max(0.0, until - time.monotonic())
            if not self._pending() and not self._wait_readable(left):
                raise TimeoutError(f"nothing to read for {seconds} s")
            try:
                data = self._recv(READ_SIZE)
            except (BlockingIOError, ssl.SSLWantReadError):
                if left == 0.0:
                    raise TimeoutError(f"nothing to read for {seconds} s") from None
                continue
            except OSError as error:
                return self._end_of_file_or_raise(error)
            if not data:
                self._eof = True
            return data

    def _end_of_file_or_raise(self, error: OSError) -> bytes:
        if isinstance(error, ssl.SSLEOFError) and self._error is not None:
            raise self._error  # an RST: see _note_fin
        if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
            self.clean_eof = isinstance(error, ssl.SSLZeroReturnError)
            self._eof = True
            return b""
        self._remember(error)
        if isinstance(error, TimeoutError):
            # ETIMEDOUT: the peer answers the kernel's probes no more. TimeoutError is what our own patience raises.
            raise ConnectionAbortedError(error.errno, error.strerror) from error
        raise error

    def _remember(self, error: OSError) -> None:
        # EPIPE means that the RST found the socket in CLOSE_WAIT: the FIN was here first, the proof still stands.
        if error.errno != errno.EPIPE or isinstance(error, ssl.SSLError):
            self._error = error

    def write_some(self, data: bytes | memoryview) -> int:
        """Hand the kernel what it takes without waiting; the number of bytes, 0 if it takes none now.

        Raises:
            OSError: the connection broke. What the peer sent before that can still be read.
        """
        self._writes += 1
        try:
            if self.secure:
                self.written += len(data)
                return self.sock.send(data)
            sent = self.sock.send(data)
            self.written += sent
            return sent
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return 0
        except OSError as error:
            self._remember(error)
            raise

    def wait_writable_or_readable(self, seconds: float | None) -> tuple[bool, bool]:
        """Wait until more can be written or read; (writable, readable), both False after ``seconds``."""
        return wait_for(self.sock.fileno(), seconds)

    def readable_now(self) -> bool:
        """Whether a read would find bytes, an end of file or an error without waiting."""
        return self._eof or self._pending() or self._poll.events(0) != 0

    # -- what is known of the other end ------------------------------------------------------------------------------

    def probe(self) -> Discard | None:
        """None when an idle stream is fit for another request, else why it is not. Costs one poll when it is."""
        if self._eof or self._error is not None:
            return Discard.STALE
        if self.secure and self._pending():
            return Discard.UNSOLICITED
        try:
            events = self._poll.events(0)
        except OSError as error:  # ENOMEM: nothing is known, so nothing is promised
            self._error = error
            return Discard.STALE
        return None if not events else self._diagnose(events)

    def _diagnose(self, events: int) -> Discard | None:
        if events & _Poll.GONE:
            self._eof = True  # remembered: the first read after an RST takes the error with it
            return Discard.STALE
        if not self.secure:
            return self._diagnose_plain()
        self._tickets += 1
        if self._tickets > TICKET_READS:
            return Discard.UNSOLICITED
        try:
            data = self._recv(1)
        except ssl.SSLWantReadError:
            return None  # a session ticket or KeyUpdate: the TLS layer has dealt with it
        except OSError as error:
            self._error = error
            return Discard.STALE
        self._eof = True
        return Discard.UNSOLICITED if data else Discard.STALE

    def _diagnose_plain(self) -> Discard | None:
        try:
            data = self.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return Discard.UNSOLICITED  # urgent data only
        except OSError as error:
            self._error = error
            return Discard.STALE
        self._eof = True
        return Discard.UNSOLICITED if data else Discard.STALE

    def begin_exchange(self) -> None:
        """Note what the peer has acknowledged so far; call it before the first byte of a request is written."""
        self._tickets = self.written = self._writes = 0
        acked, self._acked_last = self._acked_last, None
        self._acked_before = self._bytes_acked() if acked is None else acked

    def _bytes_acked(self) -> int | None:
        return _tcp_info(self.sock)[2] if self._plain_tcp else None

    def heard(self) -> bool:
        """Whether the peer can have sent what has arrived in answer to this exchange's request.

        False only if the kernel knows better: it acknowledged nothing of the request, or the last bytes that arrived did so before
        the request, a single write, had left (not for TLS, which writes in the middle of a read). True when nothing is known.
        """
        before = self._acked_before
        if before is None:
            return True
        sent_ago, received_ago, acked = _tcp_info(self.sock)
        if self.written <= ONE_SEGMENT:
            # The answer to a request of one segment acknowledges all of it: this is the next request's count as well,
            # and saves a system call. Were it too low, a proof would be missed, never wrongly given.
            self._acked_last = acked
            if received_ago > sent_ago and self._writes == 1 and not self.secure:
                return False
        return acked != before

    def undelivered(self) -> bool:
        """Whether it is proven that no byte of this exchange's request reached the peer, nor ever will."""
        if self._acked_before is None or not self._eof or self._error is not None:
            return False
        if self.secure and not self._fin_arrived():
            return False
        return _tcp_info(self.sock)[2] == self._acked_before

    def _fin_arrived(self) -> bool:
        """close_notify alone leaves the peer free to read on (RFC 8446, section 6.1); only the FIN says it cannot.

        A peer may shut down its sending side and read on after a FIN too, but one that has declared it will never
        answer has no reason to act on a request it receives later.
        """
        if not self._fin and self._poll.hung_up(LINGER_FOR_FIN):
            self._note_fin()
        return self._fin

    # -- the end ---------------------------------------------------------------------------------------------------

    def interrupt(self) -> None:
        """End the conversation from another thread: its reader sees end of file. The descriptor stays its owner's."""
        self.clean_eof = False  # or a body that lasts until end of file would look complete
        self._error = ConnectionAbortedError(errno.ECONNABORTED, "ended by this side")  # and this end proves nothing
        try:
            # Not SSLSocket.shutdown: that one drops the TLS object under a reader, who would then read ciphertext.
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)
        except OSError:
            pass  # it is closed or was never connected: that is what was wanted

    def close(self, *, polite: bool = True) -> None:
        """Close the descriptor. ``polite`` sends TLS's closure alert first (RFC 9112, section 9.8), without waiting."""
        if polite and self.secure and not self._eof and self._error is None:
            try:
                self.sock.unwrap()  # type: ignore[attr-defined]
            except (OSError, ValueError):
                pass  # it wants the peer's alert now, or the peer is gone: the alert is out or never will be
        self.sock.close()

    def forget(self) -> None:
        """Give the descriptor back without a byte on the wire: after a fork it is the parent's connection."""
        self._eof = True
        self.sock.close()

    def fileno(self) -> int:
        """The descriptor, -1 when closed."""
        return self.sock.fileno()


def _tcp_info(sock: socket.socket) -> tuple[int, int, int | None]:
    """Milliseconds since data was sent, and received, last; bytes the peer's kernel has acknowledged, None if unknown."""
    if _TCP_INFO is None:
        return 0, 0, None  # Platform-specific: only Linux tells
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, 128)
    except OSError:
        return 0, 0, None
    if len(info) < 128:
        return 0, 0, None  # Platform-specific: before Linux 4.1
    sent_ago, received_ago, acked = _TCP_INFO_FIELDS.unpack_from(info)
    return sent_ago, received_ago, acked or None


def _is_plain_tcp(sock: socket.socket) -> bool:
    """Multipath TCP answers TCP_INFO too, but for one of its subflows, and a FIN there ends only that."""
    if _TCP_INFO is None:
        return False  # Platform-specific: nothing would be known anyway
    try:
        return sock.getsockopt(socket.SOL_SOCKET, _SO_PROTOCOL) == socket.IPPROTO_TCP
    except OSError:
        return False  # whatever it is, nothing is claimed of it


class _Poll:
    """Readiness of one descriptor, on one poll object kept as long as it: 0.4 µs a question instead of 1.4."""

    __slots__ = ("_fd", "_poll")

    if hasattr(select, "poll"):
        GONE = select.POLLERR | select.POLLHUP | select.POLLNVAL | _POLLRDHUP

        def __init__(self, fd: int) -> None:
            self._fd = fd
            poll = select.poll()
            poll.register(fd, select.POLLIN | select.POLLPRI | _POLLRDHUP)
            self._poll = poll.poll

        def events(self, seconds: float | None) -> int:
            """The poll(2) events (something to read, an end, an error) that come within ``seconds``; 0 for none."""
            found = self._poll(None if seconds is None or seconds > TOO_LONG else seconds * 1000)
            return found[0][1] if found else 0

        def hung_up(self, seconds: float) -> bool:
            """Whether the peer's FIN, or an RST, is here within ``seconds``. Data that arrives does not count."""
            poll = select.poll()
            poll.register(self._fd, _POLLRDHUP)
            return bool(poll.poll(seconds * 1000))

    else:  # pragma: no cover - Platform-specific: Windows has no poll
        GONE = 0

        def __init__(self, fd: int) -> None:
            self._fd = fd

        def events(self, seconds: float | None) -> int:
            return 1 if select.select([self._fd], [], [], seconds)[0] else 0

        def hung_up(self, seconds: float) -> bool:
            return False


def _milliseconds(seconds: float | None) -> float | None:
    """For poll(2)."""
    return None if seconds is None or seconds > TOO_LONG else seconds * 1000


def wait_for(fd: int, seconds: float | None) -> tuple[bool, bool]:
    """(writable, readable) of one descriptor within ``seconds``; an error or a hang-up counts as both."""
    if not hasattr(select, "poll"):  # pragma: no cover - Platform-specific: Windows has no poll
        readable, writable, broken = select.select([fd], [fd], [fd], seconds)
        return bool(writable or broken), bool(readable)
    poll = select.poll()
    poll.register(fd, select.POLLIN | select.POLLOUT)
    found = poll.poll(_milliseconds(seconds))
    events = found[0][1] if found else 0
    gone = events & (select.POLLERR | select.POLLHUP | select.POLLNVAL)
    return bool(gone or events & select.POLLOUT), bool(gone or events & select.POLLIN)


def suspicious(fds: list[int]) -> list[int]:
    """Those of many idle descriptors on which something has happened: bytes, an end, an error. Consumes nothing."""
    if not hasattr(select, "poll"):  # pragma: no cover - Platform-specific: Windows has no poll, and select takes 512
        chunks = [fds[first : first + 500] for first in range(0, len(fds), 500)]
        return [fd for chunk in chunks for fd in select.select(chunk, [], [], 0)[0]]
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN | select.POLLPRI | _POLLRDHUP)
    return [fd for fd, _ in poll.poll(0)]


# -- connecting ----------------------------------------------------------------------------------------------------

Address = tuple[int, int, int, str, Any]  # what socket.getaddrinfo returns


def connect_tcp(
    host: str,
    port: int,
    until: float | None,
    *,
    source_address: tuple[str, int] | None = None,
    options: Iterable[SocketOption] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> socket.socket:
    """A connected, non-blocking TCP socket: the first of the name's addresses to answer (RFC 8305).

    Args:
        until: the moment on ``clock`` by which it must be connected; None waits for ever.

    Raises:
        ConnectTimeout: no address answered in time.
        ConnectionError: the name has no address, or every address refused; the cause is the last refusal.
    """
    addresses = resolve(host, port, until, clock)
    race = _Race(host, port, interleave(addresses), source_address, options, until, clock)
    try:
        return race.run()
    except HoldfastConnectionError:
        raise
    except OSError as error:  # poll or getsockopt failed: no memory, no buffers
        raise _never_connected(f"cannot connect to {host}:{port}: {_reason(error)}") from error
    finally:
        race.close_losers()


def _never_connected(message: str) -> HoldfastConnectionError:
    """Nothing of the request has left: a Retries policy may repeat it whatever its method."""
    error = HoldfastConnectionError(message)
    error.never_connected = True
    return error


def resolve(
    host: str, port: int, until: float | None = None, clock: Callable[[], float] = time.monotonic
) -> list[Address]:
    """The addresses of a name, by ``socket.getaddrinfo`` (so that replacements of it work).

    getaddrinfo takes no time limit: where there is one, it runs in a thread of its own, and is left behind when late.

    Raises:
        ConnectTimeout: no answer by ``until``, a moment on ``clock``.
        ConnectionError: there is no such name, or no answer; the cause is getaddrinfo's own error.
    """
    if until is None or _is_address(host):
        found = _look_up(host, port)
    else:
        found = _look_up_aside(host, port, max(0.0, until - clock()))
    if isinstance(found, (OSError, UnicodeError)):
        message = f"cannot resolve {host!r}: {_reason(found)}. Is the name right, and DNS reachable?"
        raise _never_connected(message) from found
    if isinstance(found, BaseException):
        raise found
    return found


def _is_address(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()


def _look_up(host: str, port: int) -> list[Address] | BaseException:
    try:
        return socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)  # type: ignore[return-value]
    except BaseException as error:  # noqa: BLE001 - raised again by the thread that wants the addresses
        return error


def _look_up_aside(host: str, port: int, seconds: float) -> list[Address] | BaseException:
    answer: SimpleQueue[list[Address] | BaseException] = SimpleQueue()
    thread = threading.Thread(target=lambda: answer.put(_look_up(host, port)), name=f"holdfast-dns-{host}", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # the interpreter is ending, or there is no room for a thread
        return _look_up(host, port)
    try:
        return answer.get(timeout=min(seconds, threading.TIMEOUT_MAX))
    except Empty:
        raise ConnectTimeout(
            f"the name {host!r} was not resolved after {seconds:.2f} s. Raise timeouts.connect, or check DNS."
        ) from None


def interleave(addresses: list[Address]) -> list[Address]:
    """The families in turn, beginning with the resolver's first choice: RFC 8305, section 4."""
    first = addresses[0][0] if addresses else None
    preferred = [a for a in addresses if a[0] == first]
    others = [a for a in addresses if a[0] != first]
    mixed = [a for pair in zip(preferred, others) for a in pair]  # noqa: B905 - the longer one's rest follows
    return mixed + preferred[len(others) :] + others[len(preferred) :]


class _Race:
    """Connection attempts to several addresses, each starting when the one before failed or STAGGER after it began."""

    def __init__(
        self,
        host: str,
        port: int,
        addresses: list[Address],
        source_address: tuple[str, int] | None,
        options: Iterable[SocketOption] | None,
        until: float | None,
        clock: Callable[[], float],
    ) -> None:
        self.where = f"{host}:{port}"
        self.waiting = list(reversed(addresses))
        self.tried = 0
        self.source_address = source_address
        self.options = default_socket_options() if options is None else list(options)
        self.until = until
        self.clock = clock
        self.started = clock()
        self.running: dict[int, socket.socket] = {}
        self.errors: list[OSError] = []

    def run(self) -> socket.socket:
        next_start = self.started
        while self.waiting or self.running:
            now = self.clock()
            if self.until is not None and now >= self.until:
                raise self._timed_out(now)
            if self.waiting and (not self.running or now >= next_start):
                self._start(self.waiting.pop())
                next_start = now + STAGGER
            winner = self._wait(next_start if self.waiting else None)
            if winner is not None:
                return winner
        raise self._refused()

    def _start(self, address: Address) -> None:
        family, kind, protocol, _, sockaddr = address
        self.tried += 1
        sock = None
        try:
            sock = socket.socket(family, kind, protocol)
            sock.setblocking(False)
            for option in self.options:
                sock.setsockopt(*option)
            if self.source_address is not None:
                sock.bind(self.source_address)
            code = sock.connect_ex(sockaddr)
            if code not in (0, errno.EINPROGRESS, errno.EWOULDBLOCK):
                raise OSError(code, _strerror(code))
        except OSError as error:
            self.errors.append(error)
            if sock is not None:
                sock.close()
        except BaseException:
            if sock is not None:
                sock.close()
            raise
        else:
            self.running[sock.fileno()] = sock

    def _wait(self, next_start: float | None) -> socket.socket | None:
        if not self.running:
            return None
        moments = [m for m in (next_start, self.until) if m is not None]
        seconds = max(0.0, min(moments) - self.clock()) if moments else None
        for fd in _connected_or_failed(list(self.running), seconds):
            sock = self.running[fd]
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code == 0 and _met_itself(sock):
                code = errno.ECONNREFUSED
            del self.running[fd]  # until here close_losers has it, whatever was raised
            if code == 0:
                return sock
            sock.close()
            self.errors.append(OSError(code, _strerror(code)))
        return None

    def _timed_out(self, now: float) -> ConnectTimeout:
        error = ConnectTimeout(
            f"no TCP connection to {self.where} after {now - self.started:.2f} s: "
            f"{self.tried} of {self.tried + len(self.waiting)} addresses tried, none answered. "
            "Raise timeouts.connect, or check the network."
        )
        error.__cause__ = self.errors[-1] if self.errors else TimeoutError("connect")
        return error

    def _refused(self) -> HoldfastConnectionError:
        cause = self.errors[-1] if self.errors else OSError("the name has no address")
        error = _never_connected(f"cannot connect to {self.where}: {_reason(cause)} ({self.tried} addresses tried)")
        error.__cause__ = cause
        return error

    def close_losers(self) -> None:
        """Close every attempt that did not win."""
        for sock in self.running.values():
            sock.close()
        self.running.clear()


def _met_itself(sock: socket.socket) -> bool:
    """Whether both ends are this socket: nobody listens there, and the kernel chose that very port for ours.

    TCP allows it (RFC 9293, section 3.5, simultaneous open). It happens on one machine, while a server on an ephemeral port is
    down: each request would be read as its own answer, and the server could not have its port back.
    """
    try:
        if sock.getsockname() != sock.getpeername():
            return False
    except OSError:
        return False  # it is gone already: whoever uses it will find out
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)  # by RST: TIME_WAIT would keep the port
    return True


def _connected_or_failed(fds: list[int], seconds: float | None) -> list[int]:
    if not hasattr(select, "poll"):  # pragma: no cover - Platform-specific: Windows has no poll
        _, writable, broken = select.select([], fds, fds, seconds)
        return list({*writable, *broken})
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLOUT)
    return [fd for fd, _ in poll.poll(_milliseconds(seconds))]


def connect_unix(path: str, until: float | None) -> socket.socket:
    """A connected, non-blocking Unix-domain stream socket.

    Raises:
        ConnectTimeout: whoever listens at ``path`` accepted nobody until then.
        ConnectionError: nobody listens at ``path``.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if until is not None:
            _bound_blocking_connect(sock, until - time.monotonic())
        sock.connect(path)
        sock.setblocking(False)
    except BlockingIOError as error:
        sock.close()
        raise ConnectTimeout(f"nobody accepted at the Unix socket {path!r} in time") from error
    except OSError as error:
        sock.close()
        raise _never_connected(f"cannot connect to the Unix socket {path!r}: {_reason(error)}") from error
    except BaseException:
        sock.close()
        raise
    return sock


def _bound_blocking_connect(sock: socket.socket, seconds: float) -> None:
    """Let the kernel wait: a non-blocking connect to a full backlog fails at once, and no poll tells when there is room."""
    microseconds = max(1, min(int(seconds * 1e6), 10**12))  # 0 would be for ever
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", *divmod(microseconds, 10**6)))


def _strerror(code: int) -> str:
    import os

    return os.strerror(code)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__

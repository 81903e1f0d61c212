"""SocketStream: owns the descriptor of one connected socket, and what the kernel knows of it.

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
import time
from typing import Any

from ..reasons import Discard

READ_SIZE = 65536
ONE_SEGMENT = 1200  # bytes that any path carries in one TCP segment
TOO_LONG = 2e6  # seconds; poll(2)'s int of milliseconds overflows after 24 days: whoever waits longer waits for ever
TICKET_READS = 4  # readable-but-empty TLS sockets accepted per idle period (session tickets, KeyUpdate)
LINGER_FOR_FIN = 0.05  # seconds a FIN may trail the close_notify it belongs to

_POLLRDHUP: int = getattr(select, "POLLRDHUP", 0)
_SO_PROTOCOL = 38
_TCP_INFO: int | None = getattr(socket, "TCP_INFO", 11) if sys.platform == "linux" else None
_TCP_INFO_FIELDS = struct.Struct("=44xI4xI64xQ")  # tcpi_last_data_sent and _recv, in milliseconds ago; tcpi_bytes_acked
_CLOSE_WAIT, _CLOSED = 8, 7
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
                self._error = OSError(code, strerror(code))

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


def milliseconds(seconds: float | None) -> float | None:
    """For poll(2)."""
    return None if seconds is None or seconds > TOO_LONG else seconds * 1000


def wait_for(fd: int, seconds: float | None) -> tuple[bool, bool]:
    """(writable, readable) of one descriptor within ``seconds``; an error or a hang-up counts as both."""
    if not hasattr(select, "poll"):  # pragma: no cover - Platform-specific: Windows has no poll
        readable, writable, broken = select.select([fd], [fd], [fd], seconds)
        return bool(writable or broken), bool(readable)
    poll = select.poll()
    poll.register(fd, select.POLLIN | select.POLLOUT)
    found = poll.poll(milliseconds(seconds))
    events = found[0][1] if found else 0
    gone = events & (select.POLLERR | select.POLLHUP | select.POLLNVAL)
    return bool(gone or events & select.POLLOUT), bool(gone or events & select.POLLIN)


def readable_fds(fds: list[int]) -> list[int]:
    """Those of many idle descriptors on which something has happened: bytes, an end, an error. Consumes nothing."""
    if not hasattr(select, "poll"):  # pragma: no cover - Platform-specific: Windows has no poll, and select takes 512
        chunks = [fds[first : first + 500] for first in range(0, len(fds), 500)]
        return [fd for chunk in chunks for fd in select.select(chunk, [], [], 0)[0]]
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN | select.POLLPRI | _POLLRDHUP)
    return [fd for fd, _ in poll.poll(0)]


def strerror(code: int) -> str:
    import os

    return os.strerror(code)

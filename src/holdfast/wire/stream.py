"""SocketStream: owns the descriptor of one connected socket, and what the kernel knows of it.

Law: a socket is non-blocking all its life; every wait is a ``poll`` with the time that is left (``readiness``). ``settimeout``
would cost a second poll per call and cannot hold one deadline over many reads.

What the kernel knows (Linux). ``TCP_INFO.tcpi_bytes_acked`` counts what the peer's kernel has acknowledged, and every
segment a peer sends acknowledges what had reached it. ``begin_exchange`` notes the count before a request is written:

* the peer's FIN arrived and the count has not moved: the peer had closed before any byte of the request reached
  it. It can never read them. This is the proof of non-delivery (``proven_undelivered``).
* response bytes arrived and the count has not moved: they were sent before the request arrived, so they are no answer
  to it (``acknowledged``). Nor are they if the last of them arrived before the request left, by the kernel's own times.

What it does not prove. A bare RST: a peer that reads a request and aborts looks the same. So an error on the socket ends
all proof, since after it the kernel reports end of file whether or not a FIN came. EPIPE alone does not: Linux gives it,
instead of ECONNRESET, exactly when the RST came after the FIN. No proof is claimed where the count stands at 0 (emulated
kernels do not keep it; a real one counts the SYN), nor for a socket that is not plain TCP.

What stays in doubt. Bytes that cross the request count as its answer if its acknowledgement arrives before they are read. And
the kernel's times are jiffies, of 1 to 10 ms: bytes that arrive between the probe and the write are told from an answer
only if a jiffy lay in between. The probe just before the write keeps that moment short; a busy interpreter draws it out.
"""

from __future__ import annotations

import _socket
import errno
import os
import socket
import struct
import sys
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

if sys.platform == "linux":
    from fcntl import ioctl

from .._values import NamedTuple
from ..message.span import FilePart
from ..reasons import Discard
from .readiness import GONE, readiness_of, wait_for

READ_BYTES = 65536
MAX_READ_BYTES = 1 << 20  # of a body at once: a reader who asks for more gets it in pieces, and memory follows what came
ONE_SEGMENT_BYTES = 1200  # what any path carries in one TCP segment
NOT_BY_KERNEL = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EIO, errno.EOVERFLOW)  # the file's fault, not the socket's
MAX_TICKET_READS = 4  # readable-but-empty TLS sockets accepted per idle period (session tickets, KeyUpdate)
FIN_WAIT_SECONDS = 0.05  # by which a FIN may trail the close_notify it belongs to

_SO_PROTOCOL = 38
_TCP_INFO: int | None = getattr(socket, "TCP_INFO", 11) if sys.platform == "linux" else None
_QUICK_ACK: int | None = getattr(socket, "TCP_QUICKACK", None)
_SEND_QUEUE: int | None = 0x5411 if sys.platform == "linux" else None  # ioctl SIOCOUTQ, tcp(7)
_TCP_INFO_FIELDS = struct.Struct("=44xI4xI64xQ")  # tcpi_last_data_sent and _recv, in milliseconds ago; tcpi_bytes_acked
_CLOSE_WAIT, _CLOSED = 8, 7


class _Errors(NamedTuple):
    """What a socket raises, by what it means: classes for ``except`` and ``isinstance``.

    Attributes:
        unreadable: nothing can be read now.
        unwritable: nothing can be written now.
        want_read: the TLS layer needs more of the peer's bytes.
        cut_short: a TLS stream ended without close_notify.
        told_to_end: it ended by close_notify.
        tls: any error of the TLS layer.
    """

    unreadable: tuple[type[OSError], ...] = (BlockingIOError,)
    unwritable: tuple[type[OSError], ...] = (BlockingIOError,)
    want_read: tuple[type[OSError], ...] = ()
    cut_short: tuple[type[OSError], ...] = ()
    told_to_end: tuple[type[OSError], ...] = ()
    tls: tuple[type[OSError], ...] = ()


_PLAIN_ERRORS = _Errors()


@lru_cache(maxsize=1)
def _tls_errors() -> _Errors:
    """First asked for by a TLS stream: a program that speaks plain http alone does not load OpenSSL."""
    import ssl

    return _Errors(
        unreadable=(BlockingIOError, ssl.SSLWantReadError),
        unwritable=(BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError),
        want_read=(ssl.SSLWantReadError,),
        cut_short=(ssl.SSLEOFError,),
        told_to_end=(ssl.SSLZeroReturnError,),
        tls=(ssl.SSLError,),
    )


class SocketStream:
    """A byte stream over one connected socket, plain or TLS. Not thread-safe: its leaseholder is its only user.

    Args:
        sock: connected; it is this stream's from here on.
        clock: seconds, monotonic: the one that the deadlines of its reader are on.

    Attributes:
        sock: the socket.
        tls: the same when it is a TLS socket, else None.
        strays: the last ``probe`` found bytes that no request asked for.
        error: what broke the connection, as far as it is known; it ends all proof of what was delivered.
        written: bytes of this exchange that may have left; for TLS, where a record can be half out, those of every
            attempt.
        clean_eof: False once a TLS stream ended without close_notify, or this side ended it: what came before may be
            cut short.
    """

    __slots__ = (
        "_acked_before",
        "_acked_last",
        "_clock",
        "_eof",
        "_errors",
        "_fin",
        "_goodbye",
        "_later",
        "_plain_tcp",
        "_readiness",
        "_recv",
        "_recv_into",
        "_tickets",
        "_writes",
        "clean_eof",
        "error",
        "sock",
        "strays",
        "tls",
        "written",
    )

    def __init__(self, sock: socket.socket, clock: Callable[[], float] = time.monotonic) -> None:
        if sock.gettimeout() != 0.0:
            sock.setblocking(False)
        self.sock = sock
        self.tls: Any = sock if hasattr(sock, "pending") else None  # an ssl.SSLSocket, or a TlsInTls
        self._errors = _PLAIN_ERRORS if self.tls is None else _tls_errors()
        self._clock = clock
        self.clean_eof = True
        self.strays = False
        self.written = self._writes = 0
        self._recv = sock.recv
        self._recv_into = sock.recv_into
        self._later: OSError | None = None  # what broke the connection behind bytes that were given out before it
        self._acked_before: int | None = None
        self._acked_last: int | None = None
        self._tickets = 0
        self._eof = self._goodbye = False
        self._fin = False  # noted for TLS only
        self.error: OSError | None = None
        try:
            self._readiness = readiness_of(sock.fileno())
            self._plain_tcp = _is_plain_tcp(sock)
        except BaseException:
            sock.close()  # it was given to this stream: its former owner would not
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
        if (self.tls is not None and self.tls.pending() > 0) or self._wait_readable(seconds):
            try:
                data = self._recv(READ_BYTES)
            except self._errors.unreadable:
                slowly: bytes = self._receive_slowly(seconds, self._recv, READ_BYTES)
                return slowly
            except OSError as error:
                return self._end_of_file_or_raise(error)
            if not data:
                self._note_end()
            return data
        raise TimeoutError(f"nothing to read for {seconds} s")

    def read_up_to(self, size: int, seconds: float | None) -> bytes:
        """At most ``size`` bytes (and 1 MiB) of what comes next; of TLS all the records that are there. ``b""`` at end of file.

        Raises as ``read`` does.
        """
        left = min(size, MAX_READ_BYTES)
        data: bytes = self._receive(seconds, self._recv, left)
        if self.tls is None or not data:
            return data
        pieces = [data]
        while (left := left - len(data)) and (data := self._receive_more(self._recv, left)):
            pieces.append(data)
        return b"".join(pieces)

    def read_into(self, view: memoryview, seconds: float | None) -> int:
        """Like ``read_up_to``, into ``view``, which is not empty; the number of bytes, 0 at end of file."""
        got: int = self._receive(seconds, self._recv_into, view, len(view)) or 0
        if self.tls is not None:
            while 0 < got < len(view) and (more := self._receive_more(self._recv_into, view[got:], len(view) - got)):
                got += more
        return got

    def _receive(self, seconds: float | None, receive: Callable[..., Any], *arguments: Any) -> Any:
        """What ``receive`` gives, with a wait for it if need be; empty at end of file. A plain socket is not asked twice."""
        if self._later is not None:
            raise self._later
        if self._eof:
            return b""
        # For TLS the kernel is asked first: see _note_fin.
        if self.tls is not None and not self._pending() and not self._wait_readable(0):
            self._acknowledge_at_once()
            if not self._wait_readable(seconds):
                raise TimeoutError(f"nothing to read for {seconds} s")
        try:
            received = receive(*arguments)
        except self._errors.unreadable:
            return self._receive_slowly(seconds, receive, *arguments)
        except OSError as error:
            return self._end_of_file_or_raise(error)
        if not received:
            self._note_end()
        return received

    def _receive_more(self, receive: Callable[..., Any], *arguments: Any) -> Any:
        """What the next TLS record has, if it is there; what else may be there is told by the next read."""
        events = self._readiness.events(0)
        if not events or events & GONE:
            return b""
        try:
            received = receive(*arguments)
        except self._errors.want_read:
            return b""
        except OSError as error:
            try:
                return self._end_of_file_or_raise(error)
            except OSError as failure:
                self._later = failure
                return b""
        if not received:
            self._note_end()
        return received

    def _wait_readable(self, seconds: float | None) -> bool:
        events = self._readiness.events(seconds)
        if events & GONE and self.tls is not None:
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
                self.error = OSError(code, os.strerror(code))

    def _pending(self) -> bool:
        return self.tls is not None and self.tls.pending() > 0

    def _receive_slowly(self, seconds: float | None, receive: Callable[..., Any], *arguments: Any) -> Any:
        """Readable, yet no byte for us: half a TLS record, or one of the TLS layer's own. Wait on, within the time."""
        until = None if seconds is None else self._clock() + seconds
        while True:
            left = None if until is None else max(0.0, until - self._clock())
            self.hasten()
            if not self._pending() and not self._wait_readable(left):
                raise TimeoutError(f"nothing to read for {seconds} s")
            try:
                data = receive(*arguments)
            except self._errors.unreadable:
                if left == 0.0:
                    raise TimeoutError(f"nothing to read for {seconds} s") from None
                continue
            except OSError as error:
                return self._end_of_file_or_raise(error)
            if not data:
                self._note_end()
            return data

    def _note_end(self) -> None:
        self._eof = True
        self._goodbye = self.tls is not None  # only a close_notify reads like this over TLS

    def _end_of_file_or_raise(self, error: OSError) -> bytes:
        errors = self._errors
        if isinstance(error, errors.cut_short) and self.error is not None:
            raise self.error  # an RST: see _note_fin
        if isinstance(error, errors.cut_short + errors.told_to_end):
            self.clean_eof = isinstance(error, errors.told_to_end)
            self._eof = True
            return b""
        self._remember(error)
        if isinstance(error, TimeoutError):
            # ETIMEDOUT: the peer answers the kernel's probes no more. TimeoutError is what our own patience raises.
            raise ConnectionAbortedError(error.errno, error.strerror) from error
        raise error

    def _remember(self, error: OSError) -> None:
        # EPIPE means that the RST found the socket in CLOSE_WAIT: the FIN was here first, the proof still stands.
        if error.errno != errno.EPIPE or isinstance(error, self._errors.tls):
            self.error = error

    def write_some(self, data: bytes | memoryview) -> int:
        """Hand the kernel what it takes without waiting; the number of bytes, 0 if it takes none now.

        Raises:
            OSError: the connection broke. What the peer sent before that can still be read.
        """
        self._writes += 1
        try:
            if self.tls is not None:
                self.written += len(data)
                sent = self.sock.send(data)
                return sent if sent == len(data) else self._write_records(memoryview(data), sent)
            sent = self.sock.send(data)
            self.written += sent
            return sent
        except self._errors.unwritable:
            return 0
        except OSError as error:
            self._remember(error)
            raise

    def _write_records(self, view: memoryview, sent: int) -> int:
        """ssl writes one TLS record at a time; here all that the kernel takes."""
        try:
            while sent < len(view):
                sent += self.sock.send(view[sent:])
        except self._errors.unwritable:
            pass  # no more fits now: what was taken is counted
        return sent

    @property
    def sends_files(self) -> bool:
        """Whether the kernel can send a file over it: it is plain, and the system has ``sendfile``."""
        return self.tls is None and hasattr(os, "sendfile")

    def write_file(self, part: FilePart) -> int:
        """Like ``write_some``, a part of a file, by the kernel if it can: some file systems have no ``sendfile``.

        Raises:
            OSError: the connection broke.
            InvalidRequest: the file is shorter now, or cannot be read.
        """
        self._writes += 1
        try:
            sent = os.sendfile(self.sock.fileno(), part.fileno(), part.offset, len(part))
        except BlockingIOError:
            return 0
        except OSError as error:
            if error.errno not in NOT_BY_KERNEL:
                self._remember(error)
                raise
            sent = 0
        self.written += sent
        return sent or self.write_some(part.read())

    def wait_writable_or_readable(self, seconds: float | None) -> tuple[bool, bool]:
        """Wait until more can be written or read; (writable, readable), both False after ``seconds``."""
        return wait_for(self.sock.fileno(), seconds)

    def readable_now(self) -> bool:
        """Whether a read would find bytes, an end of file or an error without waiting."""
        return self._eof or self._pending() or self._readiness.events(0) != 0

    def hasten(self) -> None:
        """Part of an answer is here: if a read for more would wait, have the kernel acknowledge that part at once.

        A server that writes in pieces with Nagle's algorithm on sends the next one when the last is acknowledged, and this kernel
        waits 40 ms with that, in the hope of something to send along.
        """
        try:
            if self._plain_tcp and _QUICK_ACK is not None and not self.readable_now():
                self._acknowledge_at_once()
        except OSError:
            pass  # this only shortens the wait: the read will say what is wrong with the socket

    def _acknowledge_at_once(self) -> None:
        if self._plain_tcp and _QUICK_ACK is not None:
            try:
                self.sock.setsockopt(socket.IPPROTO_TCP, _QUICK_ACK, 1)  # the kernel forgets it soon: it is set for each wait
            except OSError:
                pass  # as in hasten

    # -- what is known of the other end ------------------------------------------------------------------------------

    def probe(self, patience: float = 0) -> Discard | None:
        """None when an idle stream is fit for another request, else why it is not. Costs one poll when it is.

        Args:
            patience: seconds to wait for something that speaks against it.
        """
        if self._eof or self.error is not None:
            return Discard.STALE
        if self.tls is not None and self.tls.pending() > 0:
            return Discard.UNSOLICITED
        try:
            events = self._readiness.events(patience)
        except OSError as error:  # ENOMEM: nothing is known, so nothing is promised
            self.error = error
            return Discard.STALE
        return None if not events else self._diagnose(events)

    def _diagnose(self, events: int) -> Discard | None:
        if events & GONE:
            self._note_last_words()
            self._eof = True  # remembered: the first read after an RST takes the error with it
            return Discard.STALE
        if self.tls is None:
            return self._diagnose_plain()
        self._tickets += 1
        if self._tickets > MAX_TICKET_READS:
            return Discard.UNSOLICITED
        try:
            data = self._recv(1)
        except self._errors.want_read:
            return None  # a session ticket or KeyUpdate: the TLS layer has dealt with it
        except self._errors.cut_short:
            self._eof = True  # Platform-specific: where there is no POLLRDHUP, an end without an alert is found by reading
            return Discard.STALE
        except OSError as error:
            self.error = error
            return Discard.STALE
        self._eof = True
        self.strays = bool(data)
        self._goodbye = not data
        return Discard.UNSOLICITED if data else Discard.STALE

    def _note_last_words(self) -> None:
        """What a peer that hangs up said just before: over TLS perhaps why (a client certificate is wanted, is expired ...)."""
        errors = self._errors
        try:
            self.strays = bool(self._recv(1))
            self._goodbye = not self.strays and self.tls is not None
        except errors.unreadable + errors.cut_short + errors.told_to_end:
            pass  # it said nothing
        except OSError as error:
            self.error = error

    def _diagnose_plain(self) -> Discard | None:
        try:
            data = self.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return Discard.UNSOLICITED  # urgent data only
        except OSError as error:
            self.error = error
            return Discard.STALE
        self._eof = True
        self.strays = bool(data)
        return Discard.UNSOLICITED if data else Discard.STALE

    def begin_exchange(self) -> None:
        """Note what the peer has acknowledged so far; call it before the first byte of a request is written."""
        # What was acknowledged when the answer began is all of the last request, unless more of it was written after that.
        acked = self._acked_last if self._writes == 1 else None
        self._acked_last = None
        self._tickets = self.written = self._writes = 0
        self._acked_before = self._bytes_acked() if acked is None else acked

    def _bytes_acked(self) -> int | None:
        return _tcp_info(self.sock)[2] if self._plain_tcp else None

    def acknowledged(self) -> bool:
        """Whether what has arrived can be the peer's answer to this exchange's request: it had received some of it.

        False only if the kernel knows better: it acknowledged nothing of the request, or the last bytes that arrived did so before
        the request, a single write, had left (not for TLS, which writes in the middle of a read). True when nothing is known.
        """
        before = self._acked_before
        if before is None:
            return True
        sent_ago, received_ago, acked = _tcp_info(self.sock)
        if self.written <= ONE_SEGMENT_BYTES and self._writes == 1:
            # The answer to a request of one segment acknowledges all of it: this is the next request's count as well,
            # and saves a system call. Were it too low, a proof would be missed, never wrongly given.
            self._acked_last = acked
            if received_ago > sent_ago and self.tls is None:
                return False
        return acked != before

    def queued(self) -> bool:
        """Whether the peer's kernel has not acknowledged all of the request (over a Unix socket: its reader has not read all).

        False where that is not known.
        """
        if _SEND_QUEUE is None:
            return False  # Platform-specific: only Linux tells
        try:
            return ioctl(self.sock.fileno(), _SEND_QUEUE, bytes(4)) != bytes(4)
        except (OSError, ValueError):
            return False  # an emulated kernel; or another thread has closed the client, and the descriptor with it

    def proven_undelivered(self) -> bool:
        """Whether it is proven that no byte of this exchange's request reached the peer, nor ever will."""
        if self._acked_before is None or not self._eof or self.error is not None:
            return False
        if self.tls is not None and not self._fin_arrived():
            return False
        return _tcp_info(self.sock)[2] == self._acked_before

    def _fin_arrived(self) -> bool:
        """close_notify alone leaves the peer free to read on (RFC 8446, section 6.1); only the FIN says it cannot.

        A peer may shut down its sending side and read on after a FIN too, but one that has declared it will never
        answer has no reason to act on a request it receives later.
        """
        if not self._fin and self._readiness.hung_up(FIN_WAIT_SECONDS):
            self._note_fin()
        return self._fin

    # -- the end ---------------------------------------------------------------------------------------------------

    def interrupt(self) -> None:
        """End the conversation from another thread: its reader sees end of file. The descriptor stays its owner's."""
        self.clean_eof = False  # or a body that lasts until end of file would look complete
        self.error = ConnectionAbortedError(errno.ECONNABORTED, "ended by this side")  # and this end proves nothing
        try:
            # Not SSLSocket.shutdown: that one drops the TLS object under a reader, who would then read ciphertext.
            carrier = getattr(self.sock, "carrier", self.sock)
            (_socket.socket if is_system_socket(carrier) else socket.socket).shutdown(carrier, socket.SHUT_RDWR)
        except OSError:
            pass  # it is closed or was never connected: that is what was wanted

    def close(self, *, polite: bool = True) -> None:
        """Close the descriptor. ``polite`` sends TLS's closure alert first (RFC 9112, section 9.8), without waiting.

        A peer's own alert is answered too: asyncio's servers keep the connection for 30 s more in the hope of it.
        """
        if polite and self.tls is not None and (not self._eof or self._goodbye) and self.error is None:
            try:
                self.tls.unwrap()
            except (OSError, ValueError):
                pass  # it wants the peer's alert now, or the peer is gone: the alert is out or never will be
        self.sock.close()

    def drop_write_buffer(self) -> None:
        """Have OpenSSL free the 16 KiB that it writes from, until it writes again.

        No write may be half done: OpenSSL would finish that one, and take more bytes than there are in nothing.

        It frees them behind each write. But it takes them to read a ticket of TLS 1.3 too, which mostly comes after the request,
        and keeps them as long as the connection is idle. A write of nothing sends nothing (SSL_write_ex(3)), and ends as others do.
        """
        import ssl  # is loaded: this is for TLS alone

        if isinstance(self.sock, ssl.SSLSocket):
            try:
                self.sock.send(b"")
            except OSError:
                pass  # the connection is broken: who reads from it next is told

    def forget(self) -> None:
        """Give the descriptor back without a byte on the wire: after a fork it is the parent's connection."""
        self._eof = True
        self.sock.close()

    def fileno(self) -> int:
        """The descriptor, -1 when closed."""
        return self.sock.fileno()


def is_system_socket(sock: Any) -> bool:
    """Whether it is of the interpreter's own class. gevent's and TlsInTls are not, nor what a test puts in its place."""
    return isinstance(sock, _socket.socket)


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

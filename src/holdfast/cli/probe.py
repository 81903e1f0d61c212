"""A connection under the magnifying glass: dialled, used and watched by hand, so that each step has its time.

holdfast's pool is built to hide what this module looks for, so it is not used here. A ``Connection`` is one socket and its one
user. It has no TCP keepalive, which would keep a connection open on a path that drops what is silent, and it asks for quick
acknowledgements only when told to. A method never waits longer than it was told to.

``Kernel`` is what Linux tells of a TCP connection (``TCP_INFO``, struct tcp_info in linux/tcp.h). Elsewhere it is None, and what
rests on it is "not known".
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import h11

from .._numbers import number_of
from .._version import __version__
from ..connecting import Authorities, Cert
from ..exceptions import ConnectionError as HoldfastConnectionError
from ..exceptions import ConnectTimeout, ReadTimeout, RemoteProtocolError, SSLError
from ..message.url import Url
from ..wire.addressing import addresses_tried, resolve
from ..wire.tls import context_for, explain, without_zone

Clock = Callable[[], float]
Address = tuple[Any, ...]

MOST_BODY = 1 << 20  # bytes of an answer that a measurement reads; more is an error that says so
PIECE = 65536
MOST_SAID = 200  # bytes kept of what a server says on an idle connection
ACK_TICK = 0.0005  # seconds between two looks at the acknowledgement of a request
LINGER = 0.05  # seconds a FIN may trail the close_notify it belongs to

_CLOSED = 7  # TCP_CLOSE
_INFO = struct.Struct("=B67xI48xQ20xI")  # state; rtt; bytes_acked; min_rtt
_TCP_INFO: int | None = getattr(socket, "TCP_INFO", 11) if sys.platform == "linux" else None
_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)
_RDHUP: int = getattr(select, "POLLRDHUP", 0)


class AnswerTooLong(RemoteProtocolError):
    """An answer has more bytes than a measurement reads."""


class Kernel(NamedTuple):
    """What the kernel knows of a connection: its state, smoothed and least round-trip time (s), bytes acknowledged."""

    state: int
    rtt: float
    min_rtt: float
    acked: int


def kernel_of(sock: socket.socket) -> Kernel | None:
    """What the kernel knows of this socket; None where it does not say."""
    if _TCP_INFO is None:
        return None  # Platform-specific: only Linux tells
    try:
        info = socket.socket.getsockopt(sock, socket.IPPROTO_TCP, _TCP_INFO, 256)
    except OSError:
        return None
    if len(info) < _INFO.size:
        return None  # Platform-specific: before Linux 4.6
    state, rtt, acked, least = _INFO.unpack_from(info)
    return Kernel(state, rtt / 1e6, least / 1e6, acked) if acked else None


def readable(descriptors: Iterable[int], seconds: float) -> list[int]:
    """Those on which something has happened, bytes or an end, waiting at most ``seconds`` for the first."""
    wanted = list(descriptors)
    if not hasattr(select, "poll"):  # Platform-specific: Windows has no poll
        return select.select(wanted, [], [], seconds)[0] if wanted else []
    poll = select.poll()
    for descriptor in wanted:
        poll.register(descriptor, select.POLLIN)
    return [descriptor for descriptor, _ in poll.poll(seconds * 1000)]


@dataclass(frozen=True)
class Target:
    """What is measured.

    Attributes:
        url: parsed, without a fragment.
        context: for https; None for http.
    """

    url: Url
    context: ssl.SSLContext | None

    @classmethod
    def of(cls, url: str, verify: Authorities = True, cert: Cert = None) -> Target:
        """The target of a URL; raises InvalidURL and its kin, or OSError for a CA file that is not there."""
        parsed = Url.parse(url)
        return cls(parsed, context_for(verify, cert) if parsed.scheme == "https" else None)


@dataclass(frozen=True)
class Answer:
    """A response, and what it took.

    Attributes:
        send, wait, download: seconds until the request was written, until the first byte came, until the last one did.
        acked: seconds from writing to the peer's acknowledgement, where it was looked for and came before the answer.
        kept: whether both sides may use the connection again (RFC 9112, section 9.3).
    """

    status: int
    version: str
    headers: tuple[tuple[str, str], ...]
    size: int
    send: float
    wait: float
    download: float
    kept: bool
    acked: float | None = None

    def get(self, name: str) -> str:
        """The values of a field joined by ", "; "" when it is absent."""
        return ", ".join(value for key, value in self.headers if key == name.lower())

    @property
    def says_close(self) -> bool:
        """Whether it announces the end of the connection."""
        return "close" in [word.strip().lower() for word in self.get("connection").split(",")]

    @property
    def seconds(self) -> float:
        """All three phases together."""
        return self.send + self.wait + self.download


@dataclass(frozen=True)
class Ending:
    """How a server ended a connection: "FIN", "RST", "close_notify" or "FIN without close_notify"; and what it said before.

    Attributes:
        fin: whether the FIN was there too; False after a close_notify that is not followed by one.
        said: the first bytes of what came that no request had asked for.
    """

    how: str
    fin: bool = True
    said: bytes = b""

    def __str__(self) -> str:
        how = self.how + ("" if self.fin else ", no FIN")
        first_line = self.said.partition(b"\r\n")[0].decode("latin-1")[:60]
        return f"{first_line!r}, then {how}" if self.said else how


@dataclass
class Dialled:
    """Seconds of each step of a dial; ``tls`` is None for http."""

    dns: float
    tcp: float
    tls: float | None = None

    @property
    def seconds(self) -> float:
        """All steps together."""
        return self.dns + self.tcp + (self.tls or 0.0)


def addresses_of(target: Target, seconds: float, clock: Clock = time.monotonic) -> list[Address]:
    """Each socket address of the name once, in the resolver's order."""
    found = resolve(target.url.host, target.url.port, clock() + seconds, clock)
    return list(dict.fromkeys(address[4] for address in found))


@dataclass
class Connection:
    """One connection that is measured. Made by ``dial``; close it.

    Attributes:
        sock: the socket; an ssl.SSLSocket for https.
        steps: what the dial took.
        requests: how many were answered on it.
        opened, used: moments on ``clock``: when it was opened, and last used.
        said: bytes that came without a request.
    """

    target: Target
    sock: socket.socket
    address: Address
    steps: Dialled
    clock: Clock
    opened: float
    used: float
    requests: int = 0
    said: bytes = field(default=b"", repr=False)

    # -- one exchange ----------------------------------------------------------------------------------------------

    def ask(
        self,
        method: str,
        seconds: float,
        *,
        quick: bool = False,
        watch_ack: bool = False,
        version: str = "1.1",
        most: int | None = MOST_BODY,
    ) -> Answer:
        """Send a request and read its whole answer.

        Args:
            seconds: for all of it.
            quick: ask the kernel for immediate acknowledgements while reading.
            watch_ack: note when the request was acknowledged.
            version: of HTTP, in the request line.
            most: bytes the body may have; None for any number.

        Raises:
            ReadTimeout: no answer within ``seconds``.
            ConnectionError: the connection ended before the answer did.
            RemoteProtocolError: what came is not HTTP, or is more than ``most`` bytes.
        """
        http = h11.Connection(h11.CLIENT)
        data = self._request(http, method, version)
        before = kernel_of(self.sock) if watch_ack else None
        until = (started := self.clock()) + seconds
        try:
            self.sock.settimeout(seconds)
            self.sock.sendall(data)
            sent = self.clock()
            acked = self._acknowledged(before, sent, until) if before is not None else None
            reader = _Reader(self, http, until, quick, most)
            answer = reader.read(started, sent, acked)
        except TimeoutError as error:
            raise ReadTimeout(f"no answer from {self.where} within {seconds:.1f} s") from error
        except h11.RemoteProtocolError as error:
            raise RemoteProtocolError(f"what {self.where} answers is not HTTP: {error}") from error
        except ssl.SSLError as error:
            raise HoldfastConnectionError(f"{self.where} ended the connection: {error.reason or error}") from error
        except OSError as error:
            if isinstance(error, (HoldfastConnectionError, RemoteProtocolError)):
                raise
            raise HoldfastConnectionError(f"{self.where} ended the connection: {error.strerror or error}") from error
        self.requests += 1
        self.used = self.clock()
        return answer

    @property
    def where(self) -> str:
        """Host and port for messages."""
        return f"{self.target.url.host}:{self.target.url.port}"

    def _request(self, http: h11.Connection, method: str, version: str) -> bytes:
        url = self.target.url
        fields = [
            (b"Host", url.host_header),
            (b"User-Agent", f"holdfast/{__version__}".encode()),
            (b"Accept", b"*/*"),
            (b"Connection", b"keep-alive"),  # an HTTP/1.0 server needs it, and apache and tomcat send their hint only if asked
        ]
        head = http.send(h11.Request(method=method, target=url.target, headers=fields))
        http.send(h11.EndOfMessage())
        assert head is not None
        return head.replace(b" HTTP/1.1\r\n", f" HTTP/{version}\r\n".encode(), 1)

    def _acknowledged(self, before: Kernel, sent: float, until: float) -> float | None:
        """Seconds until the peer's kernel had the request, if that is seen before the answer; else None."""
        while self.clock() < until:
            now = kernel_of(self.sock)
            if now is None or readable([self.fileno()], 0):
                return None  # the acknowledgement came with the answer, or is not to be known
            if now.acked > before.acked:
                return self.clock() - sent
            readable([self.fileno()], ACK_TICK)
        return None

    def delivered(self, method: str, seconds: float) -> str:
        """Use the connection after a long silence: "answered", "reset", "closed", or "silence" if no acknowledgement came."""
        before = kernel_of(self.sock)
        try:
            self.ask(method, seconds)
            return "answered"
        except ReadTimeout:
            now = kernel_of(self.sock)
            return "silence" if before is None or now is None or now.acked == before.acked else "acknowledged, not answered"
        except RemoteProtocolError:
            return "answered"
        except HoldfastConnectionError as error:
            return "reset" if isinstance(error.__cause__, ConnectionResetError) else "closed"

    # -- an idle connection ----------------------------------------------------------------------------------------

    def look(self) -> Ending | None:
        """How the server has ended this connection; None while it has not. Never waits, except for a FIN on its way."""
        while readable([self.fileno()], 0) or self._pending():
            reset = self.target.context is not None and self._was_reset()  # after the event: it is the end that is read now
            try:
                self.sock.settimeout(0)
                data = self.sock.recv(PIECE)
            except (BlockingIOError, ssl.SSLWantReadError):
                return None
            except ssl.SSLEOFError:
                return Ending("RST" if reset else "FIN without close_notify", said=self.said)
            except OSError:
                return Ending("RST", said=self.said)
            if not data:
                return self._clean_end(reset)
            self.said = (self.said + data)[:MOST_SAID]
        return None

    def _pending(self) -> bool:
        """Whether ``ssl`` has bytes already that the kernel has not any more."""
        return isinstance(self.sock, ssl.SSLSocket) and self.sock.pending() > 0

    def _was_reset(self) -> bool:
        """Asked before ``ssl`` reads: OpenSSL takes the socket's error with it, and an RST then looks like a FIN."""
        kernel = kernel_of(self.sock)
        return kernel is not None and kernel.state == _CLOSED

    def _clean_end(self, reset: bool) -> Ending:
        if self.target.context is None:
            return Ending("FIN", said=self.said)
        if not _RDHUP:
            return Ending("close_notify", said=self.said)  # Platform-specific: only Linux tells of the FIN alone
        poll = select.poll()
        poll.register(self.sock.fileno(), _RDHUP)
        return Ending("close_notify", bool(reset or poll.poll(LINGER * 1000)), self.said)

    def wait_for_end(self, seconds: float) -> Ending | None:
        """How the server ends this connection within ``seconds``; None if it does not."""
        until = self.clock() + seconds
        while (ending := self.look()) is None and (left := until - self.clock()) > 0:
            if not readable([self.fileno()], left):  # the kernel has waited all the time that was left
                return None
        return ending

    @property
    def session(self) -> ssl.SSLSession | None:
        """The TLS session to resume, once an answer was read; None if the server gave no ticket, or for http."""
        session = self.sock.session if isinstance(self.sock, ssl.SSLSocket) else None
        return session if session is not None and session.has_ticket else None

    @property
    def resumed(self) -> bool:
        """Whether the handshake resumed a session."""
        return isinstance(self.sock, ssl.SSLSocket) and bool(self.sock.session_reused)

    @property
    def tls_version(self) -> str:
        """``"TLSv1.3"``; "" for http."""
        return (self.sock.version() or "") if isinstance(self.sock, ssl.SSLSocket) else ""

    def close(self) -> None:
        """Close it; over TLS with a close_notify, without waiting for an answer to it."""
        if isinstance(self.sock, ssl.SSLSocket):
            try:
                self.sock.settimeout(0)
                self.sock.unwrap()
            except (OSError, ValueError):
                pass  # the alert is out or never will be
        self.sock.close()

    def fileno(self) -> int:
        """The descriptor, -1 when closed."""
        return self.sock.fileno()


class _Reader:
    """Reads one answer: the moments of its first and last byte, and its size."""

    def __init__(self, connection: Connection, http: h11.Connection, until: float, quick: bool, most: int | None) -> None:
        self.connection = connection
        self.http = http
        self.until = until
        self.quick = quick
        self.most = most
        self.first: float | None = None

    def read(self, started: float, sent: float, acked: float | None) -> Answer:
        head = None
        size = 0
        while True:
            event = self.http.next_event()
            if event is h11.NEED_DATA:
                self._receive()
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                size += len(event.data)
                self._check(size)
            elif isinstance(event, (h11.EndOfMessage, h11.ConnectionClosed)):
                break
        assert head is not None  # h11 raises where an answer ends before its head does
        ended = self.connection.clock()
        first = ended if self.first is None else self.first
        return Answer(
            head.status_code,
            head.http_version.decode("ascii"),
            tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers),
            size,
            sent - started,
            first - sent,
            ended - first,
            self.http.our_state is h11.DONE and self.http.their_state is h11.DONE and not self.http.trailing_data[0],
            acked,
        )

    def _receive(self) -> None:
        sock, clock = self.connection.sock, self.connection.clock
        left = self.until - clock()
        if left <= 0:
            raise TimeoutError
        if self.quick and _QUICKACK is not None:
            socket.socket.setsockopt(sock, socket.IPPROTO_TCP, _QUICKACK, 1)
        sock.settimeout(left)
        data = sock.recv(PIECE)
        if self.first is None:
            if not data:
                raise HoldfastConnectionError(f"{self.connection.where} closed the connection without an answer")
            self.first = clock()
        self.http.receive_data(data)

    def _check(self, size: int) -> None:
        if self.most is not None and size > self.most:
            raise AnswerTooLong(f"the answer of {self.connection.where} is longer than {number_of(self.most, 'byte')}")


def dial(
    target: Target,
    seconds: float,
    *,
    session: ssl.SSLSession | None = None,
    address: Address | None = None,
    clock: Clock = time.monotonic,
) -> Connection:
    """A new connection: the name is resolved (unless ``address`` says where), then each address is tried in turn.

    Args:
        seconds: for all of it.
        session: a TLS session to resume.

    Raises:
        ConnectTimeout: no connection within ``seconds``.
        ConnectionError: no such name, or every address refused.
        SSLError: the TLS handshake failed.
    """
    until = (started := clock()) + seconds
    addresses = addresses_of(target, seconds, clock) if address is None else [address]
    resolved = clock()
    sock, won = _connect(target, addresses, until, clock)
    connected = clock()
    steps = Dialled(resolved - started, connected - resolved)
    if target.context is not None:
        sock = _secure(target, sock, target.context, session, until, clock)
        steps.tls = clock() - connected
    return Connection(target, sock, won, steps, clock, clock(), clock())


def _connect(target: Target, addresses: list[Address], until: float, clock: Clock) -> tuple[socket.socket, Address]:
    where = f"{target.url.host}:{target.url.port}"
    failure: OSError | None = None
    for number, address in enumerate(addresses):
        left = until - clock()
        if left <= 0:
            break
        try:
            share = left / (len(addresses) - number)  # a dead address leaves time for those after it
            sock = socket.create_connection(address[:2], share)
        except OSError as error:
            failure = error
            continue
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock, address
    if failure is None or isinstance(failure, TimeoutError):
        raise ConnectTimeout(f"no TCP connection to {where} in time ({addresses_tried(len(addresses))})") from failure
    raise HoldfastConnectionError(
        f"cannot connect to {where}: {failure.strerror or failure} ({addresses_tried(len(addresses))})"
    ) from failure


def _secure(
    target: Target, sock: socket.socket, context: ssl.SSLContext, session: ssl.SSLSession | None, until: float, clock: Clock
) -> ssl.SSLSocket:
    try:
        sock.settimeout(max(0.001, until - clock()))
        return context.wrap_socket(sock, server_hostname=without_zone(target.url.host), suppress_ragged_eofs=False, session=session)
    except TimeoutError as error:
        sock.close()
        raise ConnectTimeout(f"the TLS handshake with {target.url.host}:{target.url.port} was not done in time") from error
    except (OSError, ValueError) as error:
        sock.close()
        raise SSLError(explain(error, target.url.host, target.url.port)) from error
    except BaseException:
        sock.close()
        raise

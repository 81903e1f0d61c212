"""Connecting: a name's addresses raced (RFC 8305), Unix-domain sockets; a connected, non-blocking socket or an error.

Every wait is a ``poll`` with the time that is left until the one deadline of the dial, on the clock that comes with it. What loses
the race is closed.
"""

from __future__ import annotations

import _socket
import errno
import os
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from ..exceptions import AddressRefused, ConnectTimeout
from ..exceptions import ConnectionError as HoldfastConnectionError
from .addressing import BY_SYSTEM, Address, Addressing, addresses_tried, never_connected, reason_of, resolve
from .opening import Opening
from .readiness import wait_connected

MAX_USER_TIMEOUT_MS = 2**31 - 1
STAGGER_SECONDS = 0.25  # between attempts to the addresses of one name: RFC 8305, section 5

# Errors of this machine, which has no way to the address's family: the answer of a server at another address says more.
_NO_WAY = (errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)

FIRST_UNPRIVILEGED_PORT = 1024

# None if a program replaced it before this import: PySocks' class does not know SOCK_NONBLOCK.
_STANDARD_SOCKET = socket.socket if socket.socket.__module__ == "socket" else None
_NON_BLOCKING: int = getattr(socket, "SOCK_NONBLOCK", 0)  # saves a system call for each socket; 0 where the system has no such flag
_UNDER_WAY = (0, errno.EINPROGRESS, errno.EWOULDBLOCK)  # what connect_ex returns unless it failed
_NO_LINGER = struct.pack("ii" if sys.platform != "win32" else "hh", 1, 0)

SocketOption = tuple[int, int, Any]
Allow = Callable[[tuple[Any, ...]], None]
"""Asked before a socket address is dialled; raises what forbids it."""

DEFAULT_SOCKET_OPTIONS: tuple[SocketOption, ...] = (
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
        if hasattr(socket, name)
    ),
)
"""TCP_NODELAY, and keepalive probes that notice a vanished peer after 30 + 3 × 10 s of silence.

Without TCP_NODELAY a resumed TLS handshake followed by a request waits 40 ms for a delayed ACK.
"""


def user_timeout(seconds: float | None) -> list[SocketOption]:
    """TCP_USER_TIMEOUT (RFC 5482): what was sent and not acknowledged for ``seconds`` ends the connection. Linux only.

    For the answer of minutes behind a NAT that has forgotten the connection: without it, what is sent is repeated for a quarter of
    an hour before the kernel gives up.
    """
    if seconds is None or not hasattr(socket, "TCP_USER_TIMEOUT"):
        return []
    return [(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, min(int(seconds * 1000), MAX_USER_TIMEOUT_MS))]


def connect_tcp(
    host: str,
    port: int,
    until: float | None,
    *,
    source_address: tuple[str, int] | None = None,
    options: Iterable[SocketOption] | None = None,
    clock: Callable[[], float] = time.monotonic,
    opening: Opening | None = None,
    addressing: Addressing = BY_SYSTEM,
    is_proxy: bool = False,
) -> socket.socket:
    """A connected, non-blocking TCP socket: the first of the name's addresses to answer (RFC 8305).

    Args:
        until: the moment on ``clock`` by which it must be connected; None waits for ever.
        opening: where to write down what it took, and what became of each address.
        addressing: who knows the name's addresses, and which of them may be dialled.
        is_proxy: whether ``host`` is a proxy's, for the guard to know.

    Raises:
        AddressRefused: none of the addresses may be dialled.
        ConnectTimeout: no address answered in time.
        ConnectionError: the name has no address, or every address refused; the cause is the last refusal.
    """
    opening = opening or Opening()
    asked = clock()
    addresses = resolve(host, port, until, clock, addressing.resolver)

    allow = None if addressing.allow_address is None else partial(_require, addressing, host, is_proxy)
    race = _Race(host, port, interleave(addresses), source_address, options, until, clock, allow)
    opening.dns += race.started - asked
    try:
        sock = None if _is_own_class(socket.socket) else _connect_replaced(addresses, until, clock, allow)
        sock = race.run(opening) if sock is None else sock
        return sock  # noqa: RET504 - a Ctrl-C while the losers are closed finds it in this frame, see dialer
    except (HoldfastConnectionError, AddressRefused):
        raise
    except OSError as error:  # poll or getsockopt failed: no memory, no buffers
        raise never_connected(f"cannot connect to {host}:{port}: {reason_of(error)}") from error
    finally:
        opening.tcp += clock() - race.started
        opening.tried += race.outcomes.items()
        race.close_losers()


def _require(addressing: Addressing, host: str, is_proxy: bool, sockaddr: tuple[Any, ...]) -> None:
    addressing.require(str(sockaddr[0]), sockaddr[1], host, is_proxy=is_proxy)


def _is_own_class(made: Any) -> bool:
    return made is _STANDARD_SOCKET or (isinstance(made, type) and issubclass(made, _socket.socket))


def _connect_replaced(addresses: list[Address], until: float | None, clock: Callable[[], float], allow: Allow | None) -> Any:
    from . import replaced  # by a test, or by gevent

    if not addresses:
        return None
    if allow is not None:
        allow(addresses[0][4])
    return replaced.connect(addresses[0], until, clock)


def all_refused(where: str, cause: Exception, tried: int) -> HoldfastConnectionError:
    """Every address has refused; ``cause``: the last of these refusals."""
    error = never_connected(f"cannot connect to {where}: {reason_of(cause)} ({addresses_tried(tried)})")
    error.__cause__ = cause
    return error


def no_answer(where: str, seconds: float, tried: int, of: int) -> ConnectTimeout:
    """No address has answered within ``seconds``; ``tried`` of them were asked."""
    return ConnectTimeout(
        f"no TCP connection to {where} after {seconds:.2f} s: {tried} of {addresses_tried(of)}, none answered. "
        "Raise timeouts.connect, or check the network."
    )


def interleave(addresses: list[Address]) -> list[Address]:
    """The families in turn, beginning with the resolver's first choice: RFC 8305, section 4."""
    if len(addresses) < 2:
        return addresses
    first = addresses[0][0]
    preferred = [a for a in addresses if a[0] == first]
    others = [a for a in addresses if a[0] != first]
    mixed = [a for pair in zip(preferred, others) for a in pair]  # noqa: B905 - the longer one's rest follows
    return mixed + preferred[len(others) :] + others[len(preferred) :]


class _Race:
    """Connection attempts to several addresses, each starting when the one before failed or STAGGER_SECONDS after it began."""

    __slots__ = (
        "allow",
        "clock",
        "errors",
        "guarding",
        "host",
        "now",
        "options",
        "outcomes",
        "port",
        "running",
        "source_address",
        "started",
        "tried",
        "until",
        "waiting",
    )

    def __init__(
        self,
        host: str,
        port: int,
        addresses: list[Address],
        source_address: tuple[str, int] | None,
        options: Iterable[SocketOption] | None,
        until: float | None,
        clock: Callable[[], float],
        allow: Allow | None,
    ) -> None:
        self.host = host
        self.port = port
        self.waiting = addresses[::-1]
        self.tried = 0
        self.source_address = source_address
        self.options = DEFAULT_SOCKET_OPTIONS if options is None else tuple(options)
        self.until = until
        self.clock = clock
        self.allow = allow
        self.started = self.now = clock()
        self.guarding = 0.0  # seconds that the program's guard took; nothing can interrupt it
        self.running: dict[int, tuple[socket.socket, str]] = {}  # by descriptor, each with its address
        self.errors: list[OSError] = []
        self.outcomes: dict[str, str] = {}  # by address; of those that lost the race: "did not answer first"

    def run(self, opening: Opening) -> socket.socket:
        """The socket of the first address that answers; ``opening.peer`` is that address."""
        next_start = self.started
        while self.waiting or self.running:
            if self.until is not None and self.now >= self.until:
                raise self._timed_out()
            if self.waiting and (not self.running or self.now >= next_start):
                self._start(self.waiting.pop())
                next_start = self.now + STAGGER_SECONDS
            winner = self._wait(next_start if self.waiting else None, opening) if self.running else None
            if winner is not None:
                return winner
            self.now = max(self.now, self.clock())
        raise self._refused()

    def _start(self, address: Address) -> None:
        family, kind, protocol, _, sockaddr = address
        name = str(sockaddr[0])
        self.outcomes[name] = "did not answer first"
        sock = None
        try:
            if self.allow is not None:
                self.allow(sockaddr)
                if self._guard_was_late():
                    self.outcomes[name] = "not dialled: allow_address= took all the time"
                    self.waiting.append(address)
                    return
            self.tried += 1
            if socket.socket is _STANDARD_SOCKET and _NON_BLOCKING:
                sock = socket.socket(family, kind | _NON_BLOCKING, protocol)
            else:
                sock = socket.socket(family, kind, protocol)
                sock.setblocking(False)
            for option in self.options:
                sock.setsockopt(*option)
            if self.source_address is not None:
                sock.bind(self.source_address)
            code = sock.connect_ex(sockaddr)
            if code not in _UNDER_WAY:
                raise OSError(code, os.strerror(code))
        except OSError as error:
            self.errors.append(error)
            self.outcomes[name] = reason_of(error)
            if sock is not None:
                sock.close()
        except BaseException:
            if sock is not None:
                sock.close()
            raise
        else:
            self.running[sock.fileno()] = sock, name

    def _guard_was_late(self) -> bool:
        """Count the time that the guard took; whether nothing is left to connect in."""
        now = max(self.now, self.clock())
        self.guarding += now - self.now
        self.now = now
        return self.until is not None and now >= self.until

    def _wait(self, next_start: float | None, opening: Opening) -> socket.socket | None:
        until = self.until
        moment = next_start if until is None else until if next_start is None else min(next_start, until)
        ready = wait_connected(list(self.running), None if moment is None else max(0.0, moment - self.now))
        if not ready and moment is not None:
            self.now = moment  # it has come, even on a clock that stands still
        for fd, connected in ready:
            sock, name = self.running[fd]
            code = 0 if connected else sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code == 0 and self._may_meet_itself() and _met_itself(sock, self.port):
                code = errno.ECONNREFUSED
            del self.running[fd]  # until here close_losers has it, whatever was raised
            self.outcomes[name] = os.strerror(code) if code else ""
            if code == 0:
                opening.peer = name
                return sock
            sock.close()
            self.errors.append(OSError(code, os.strerror(code)))
        return None

    def _may_meet_itself(self) -> bool:
        """Whether our end can have the server's port: a privileged one only by ``source_address``, the kernel chooses none."""
        return self.port >= FIRST_UNPRIVILEGED_PORT or self.source_address is not None

    def _timed_out(self) -> ConnectTimeout:
        seconds = self.now - self.started
        error = no_answer(f"{self.host}:{self.port}", seconds, self.tried, self.tried + len(self.waiting))
        if self.guarding > seconds / 2:
            error.args = (f"{error} allow_address= took {self.guarding:.2f} s of that.",)
        error.__cause__ = self.errors[-1] if self.errors else TimeoutError("connect")
        return error

    def _refused(self) -> HoldfastConnectionError | AddressRefused:
        forbidden = [error for error in self.errors if isinstance(error, AddressRefused)]
        if forbidden and not self.tried:
            return none_allowed(forbidden)
        failures = [error for error in self.errors if not isinstance(error, AddressRefused)]
        answers = [error for error in failures if error.errno not in _NO_WAY] or failures
        cause = answers[-1] if answers else OSError("the name has no address")
        return all_refused(f"{self.host}:{self.port}", cause, self.tried)

    def close_losers(self) -> None:
        """Close every attempt that did not win."""
        for sock, _ in self.running.values():
            sock.close()
        self.running.clear()


def none_allowed(refusals: list[AddressRefused]) -> AddressRefused:
    """The first refusal, which says how many there were."""
    first = refusals[0]
    if len(refusals) > 1:
        first.args = (f"{first} None of the {len(refusals)} addresses of this name is allowed.",)
    return first


def _met_itself(sock: socket.socket, port: int) -> bool:
    """Whether both ends are this socket: no server listens there, and the kernel chose that very port for ours.

    TCP allows it (RFC 9293, section 3.5, simultaneous open). It happens on one machine, while a server on an ephemeral port is
    down: each request would be read as its own answer, and the server could not have its port back.
    """
    try:
        mine = sock.getsockname()
        if mine[1] != port or mine != sock.getpeername():
            return False
    except OSError:
        return False  # it is gone already, as its first reader or writer will find
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)  # by RST: TIME_WAIT would keep the port
    return True


def has_unix_sockets() -> bool:
    """Whether there are Unix-domain sockets here: Python has none on Windows."""
    return hasattr(socket, "AF_UNIX")


def connect_unix(path: str, until: float | None, clock: Callable[[], float] = time.monotonic) -> socket.socket:
    """A connected, non-blocking Unix-domain stream socket.

    Args:
        until: the moment on ``clock`` by which it must be connected; None waits for ever.

    Raises:
        ConnectTimeout: the server that listens at ``path`` accepted no connection until then.
        ConnectionError: no server listens at ``path``.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if until is not None:
            _bound_blocking_connect(sock, until - clock())
        sock.connect(path)
        sock.setblocking(False)
    except BlockingIOError as error:
        sock.close()
        raise ConnectTimeout(f"the server accepted no connection at the Unix socket {path!r} in time") from error
    except OSError as error:
        sock.close()
        raise never_connected(f"cannot connect to the Unix socket {path!r}: {reason_of(error)}") from error
    except BaseException:
        sock.close()
        raise
    return sock


def _bound_blocking_connect(sock: socket.socket, seconds: float) -> None:
    """Let the kernel wait: a non-blocking connect to a full backlog fails at once, and no poll tells when there is room."""
    microseconds = max(1, min(int(seconds * 1e6), 10**12))  # 0 would be for ever
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", *divmod(microseconds, 10**6)))


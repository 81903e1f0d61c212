"""Conn, the server's end of one connection: what a script of ``Server`` reads, sends and does to it.

Sockets stay blocking and have no timeout: a thread is in the kernel's ``recv``, which ``shutdown()`` from another thread ends. With
a timeout Python would be in ``poll()``, which does not notice.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from .._numbers import number_of
from ..wire.readiness import wait_readable

PIECE = 65536
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
MAX_HEAD_BYTES = 16 * 1024 * 1024
CONNECT_SECONDS = 5.0

Script = Callable[["Conn"], object]


class ScriptFailed(AssertionError):
    """What came is not what the script is about, or did not come in time. ``Server`` raises it again in the test's thread."""


def check(holds: bool, complaint: str) -> None:
    """An ``assert`` that python -O keeps.

    Raises:
        ScriptFailed: it does not hold.
    """
    if not holds:
        raise ScriptFailed(complaint)


@dataclass(frozen=True)
class Received:
    """One request as it stood on the wire."""

    method: str
    target: str
    version: str
    headers: list[tuple[str, str]]
    head: bytes
    connection: int
    body: bytes = b""
    trailers: list[tuple[str, str]] = field(default_factory=list)

    def get_all(self, name: str) -> list[str]:
        """Every value of this field, in order."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def get(self, name: str, default: str = "") -> str:
        """The values of this field joined by ", "; ``default`` when it is absent."""
        return ", ".join(self.get_all(name)) or default

    @property
    def awaits_100(self) -> bool:
        """Whether its body waits until the server says 100, or until the client's patience is over (RFC 9110, section 10.1.1)."""
        has_body = self.get("Content-Length", "0") != "0" or bool(self.get_all("Transfer-Encoding"))
        return has_body and self.version != "1.0" and self.get("Expect").lower() == "100-continue"


class Stopped(Exception):
    """The server is being stopped: the script ends here, and nothing is wrong. A script lets it pass."""


class Home(Protocol):
    """What a connection needs of its ``Server``."""

    stopping: bool

    @property
    def requests(self) -> list[Received]:
        """The ledger."""

    def url(self, path: str = "/", *, host: str | None = None) -> str:
        """The URL of a path."""

    def enter(self, request: Received) -> None:
        """Put a request that was read whole into the ledger."""

    def count_handshake(self, sock: ssl.SSLSocket) -> None:
        """A TLS handshake was completed."""

    def wait_event(self, event: threading.Event) -> None:
        """Wait for the test's event on behalf of a script."""

    def pause(self, seconds: float) -> None:
        """Wait so long on behalf of a script."""


class Conn:
    """The server's end of one accepted connection.

    Attributes:
        number: the connection's place in the order of acceptance, from 0.
        server: the Server it belongs to.
        ending: how the client left: "fin", "rst", over TLS "close_notify" or "alert" too; "" while it has not.
    """

    def __init__(self, server: Home, sock: socket.socket, number: int) -> None:
        self.server = server
        self.number = number
        self.ending = ""
        self._sock = sock
        self._buffer = b""
        self._lock = threading.Lock()  # guards which socket object owns the descriptor, and whether it is closed
        self._closed = False

    # reading

    def read_requests(self) -> Iterable[Received]:
        """Every request until the client leaves."""
        while (request := self.read_request()) is not None:
            yield request

    def expect_request(self) -> Received:
        """The next request.

        Raises:
            ScriptFailed: the client left instead.
        """
        request = self.read_request()
        if request is None:
            raise ScriptFailed(f"connection {self.number} ended ({self.ending}) where a request was expected")
        return request

    def read_request(self) -> Received | None:
        """The next whole request, entered in the ledger; None if the client left before it was whole.

        A body that waits for a 100 (``Expect: 100-continue``) is sent one. To answer otherwise, or not at all: ``read_head``, and
        perhaps ``read_body``.
        """
        request = self.read_head()
        if request is None:
            return None
        if request.awaits_100 and not self._buffer:
            self.send(CONTINUE)
        whole = self.read_body(request)
        if whole is not None:
            self.server.enter(whole)
        return whole

    def read_head(self) -> Received | None:
        """The next request's head (its body is still on the wire, nothing is in the ledger); None at the end."""
        raw = self.read_until(b"\r\n\r\n")
        return None if raw is None else _parse_head(raw, self.number)

    def read_body(self, request: Received) -> Received | None:
        """The request with its body; None if the client left before it was whole."""
        lengths, codings = request.get_all("Content-Length"), request.get_all("Transfer-Encoding")
        check(len(lengths) + len(codings) <= 1, f"framed twice: {lengths} {codings}")
        if codings:
            check(codings == ["chunked"], f"Transfer-Encoding: {codings}")
            return self._read_chunked(request)
        if not lengths:
            return request
        check(lengths[0].isdecimal(), f"Content-Length: {lengths[0]!r}")
        body = self.read_exactly(int(lengths[0]))
        return None if body is None else replace(request, body=body)

    def _read_chunked(self, request: Received) -> Received | None:
        body = bytearray()
        while (line := self.read_until(b"\r\n")) is not None:
            size = int(line.split(b";")[0], 16)
            if size == 0:
                return self._read_trailers(request, bytes(body))
            piece = self.read_exactly(size + 2)
            if piece is None:
                return None
            check(piece.endswith(b"\r\n"), f"chunk of {number_of(size, 'byte')} is followed by {piece[-2:]!r}")
            body += piece[:-2]
        return None

    def _read_trailers(self, request: Received, body: bytes) -> Received | None:
        lines: list[bytes] = []
        while (line := self.read_until(b"\r\n")) is not None:
            if line == b"\r\n":
                return replace(request, body=body, trailers=_parse_fields(lines))
            lines.append(line[:-2])
        return None

    def read_until(self, mark: bytes) -> bytes | None:
        """Everything up to and including ``mark``; None if the client left first (``buffered`` has the rest).

        Raises:
            ScriptFailed: there are 16 MiB, and no ``mark``.
        """
        start = 0
        while (at := self._buffer.find(mark, start)) < 0:
            check(len(self._buffer) < MAX_HEAD_BYTES, f"{number_of(len(self._buffer), 'byte')} came without {mark!r}")
            start = max(0, len(self._buffer) - len(mark) + 1)
            if not self._fill():
                return None
        return self._take(at + len(mark))

    def read_exactly(self, size: int) -> bytes | None:
        """The next ``size`` bytes; None if the client left first (``buffered`` has the rest)."""
        pieces, missing = [self._take(size)], size
        missing -= len(pieces[0])
        while missing:
            if not self._fill():
                self._buffer = b"".join(pieces)
                return None
            pieces.append(self._take(missing))
            missing -= len(pieces[-1])
        return b"".join(pieces)

    def recv(self) -> bytes:
        """Whatever there is, at least one byte; b"" when the client has left."""
        if not self._buffer:
            self._fill()
        return self._take(len(self._buffer))

    @property
    def buffered(self) -> bytes:
        """What was received and not yet read by the script."""
        return self._buffer

    def idle(self, seconds: float) -> bool:
        """Wait for more from the client; whether nothing came for so many seconds, not even its end."""
        if self._buffer or self.ending or (isinstance(self._sock, ssl.SSLSocket) and self._sock.pending()):
            return False
        descriptor = self._sock.fileno()
        quiet = descriptor >= 0 and not wait_readable(descriptor, seconds)
        if self._closed or self.server.stopping:
            raise Stopped
        return quiet

    def wait_closed(self) -> str:
        """Discard what comes until the client leaves; how it left, as in ``ending``."""
        while self._fill():
            self._buffer = b""
        return self.ending

    def _take(self, size: int) -> bytes:
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def _fill(self) -> bool:
        if self.ending:
            return False
        data = self._receive()
        if not data and (self._closed or self.server.stopping):
            raise Stopped  # it was not the client who left
        self._buffer += data
        return bool(data)

    def _receive(self) -> bytes:
        try:
            data = self._sock.recv(PIECE)
        except ssl.SSLEOFError:
            self.ending = "fin"
            return b""
        except ssl.SSLZeroReturnError:  # what b"" becomes once we have sent our own close_notify
            self.ending = "close_notify"
            return b""
        except ssl.SSLError:  # OpenSSL says "decode error" when it finds a FIN without close_notify, then leaves
            self.ending = "alert"
            return b""
        except ConnectionError:
            self.ending = "rst"
            return b""
        except OSError:
            if not self._closed:  # by the test's thread
                raise
            return b""
        if not data:
            self.ending = "close_notify" if isinstance(self._sock, ssl.SSLSocket) else "fin"
        return data

    # writing and leaving

    def send(self, *pieces: bytes) -> None:
        """Send the pieces, one write for each (TCP_NODELAY is set; the client may still see them as one)."""
        for piece in pieces:
            self._sock.sendall(piece)

    def send_raw(self, data: bytes) -> None:
        """Send bytes past TLS: a record that no key fits, an alert of one's own."""
        socket.socket.sendall(self._sock, data)

    def fin(self) -> None:
        """Close the sending direction: a bare FIN; over TLS that is one *without* close_notify."""
        # ssl.SSLSocket.shutdown() would also forget the TLS state, and what comes after would be read as plaintext.
        self._raw("shutdown", socket.SHUT_WR)

    def unwrap(self) -> None:
        """Over TLS: send close_notify, and nothing else; the TCP connection stays open in both directions."""
        if not isinstance(self._sock, ssl.SSLSocket):
            raise ScriptFailed("unwrap() is for TLS")
        self._sock.setblocking(False)  # or SSL_shutdown would wait for the client's own close_notify
        try:
            self._sock.unwrap()
        except (ssl.SSLWantReadError, ssl.SSLSyscallError):
            pass  # ours is sent; the client's answer to it is not waited for
        finally:
            self._sock.setblocking(True)

    def rst(self) -> None:
        """Abort: an RST, whatever is still unsent is lost."""
        self._raw("setsockopt", socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close(notify=False)

    def close(self, *, notify: bool = True) -> None:
        """Close the connection, over TLS with a close_notify unless told otherwise. Idempotent.

        As with every TCP server, what the client sent and the script has not read turns the FIN into an RST.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
        if notify and isinstance(self._sock, ssl.SSLSocket):
            with contextlib.suppress(OSError, ValueError):
                self.unwrap()
        # A thread inside recv() holds the descriptor: without this the FIN or RST would leave only when it returns.
        self._raw("shutdown", socket.SHUT_RD)
        self._sock.close()

    @property
    def closed(self) -> bool:
        """Whether this end was closed: its FIN or RST has been sent."""
        return self._closed and self._sock.fileno() < 0

    def _raw(self, method: str, *args: Any) -> None:
        """Call the plain socket's method; that the client is gone already is no matter."""
        with contextlib.suppress(OSError):
            getattr(socket.socket, method)(self._sock, *args)

    # TLS, tunnels, waiting

    def start_tls(self, context: ssl.SSLContext) -> None:
        """Speak TLS from here on (a proxy's script does that after its 200)."""
        with self._lock:
            if self.server.stopping:
                raise Stopped
            check(not self._buffer, f"{number_of(len(self._buffer), 'byte')} came before the TLS handshake")
            secured = context.wrap_socket(
                self._sock, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=False
            )
            self._sock = secured
        secured.do_handshake()
        self.server.count_handshake(secured)

    @property
    def session_reused(self) -> bool:
        """Whether the TLS handshake resumed an earlier session."""
        return isinstance(self._sock, ssl.SSLSocket) and bool(self._sock.session_reused)

    @property
    def sock(self) -> socket.socket:
        """The socket itself (an ssl.SSLSocket after the handshake), for what has no method here."""
        return self._sock

    def relay(self, address: tuple[str, int]) -> None:
        """Carry bytes both ways between this connection and ``address`` until one side ends."""
        with socket.create_connection(address, CONNECT_SECONDS) as other:
            other.settimeout(None)
            other.sendall(self._take(len(self._buffer)))
            self._relay(other)

    def _relay(self, other: socket.socket) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._sock, selectors.EVENT_READ, (self._sock, other))
            selector.register(other, selectors.EVENT_READ, (other, self._sock))
            while True:
                for key, _ in selector.select():
                    source, sink = key.data
                    while data := source.recv(PIECE):
                        sink.sendall(data)
                        if not getattr(source, "pending", int)():  # what TLS has decrypted, the selector knows nothing of
                            break
                    else:
                        return

    def wait(self, event: threading.Event) -> None:
        """Wait until the test sets the event; ends the script quietly if the server is stopped meanwhile.

        Raises:
            ScriptFailed: it is not set within the server's ``wait_seconds``.
        """
        self.server.wait_event(event)

    def pause(self, seconds: float) -> None:
        """Do nothing for so long; ends the script quietly if the server is stopped meanwhile."""
        self.server.pause(seconds)

    def interrupt(self) -> None:
        """End whatever blocks the script's thread (the server does this when it stops)."""
        with self._lock:
            self._raw("shutdown", socket.SHUT_RDWR)


def _parse_head(raw: bytes, connection: int) -> Received:
    lines = raw[:-4].split(b"\r\n")
    parts = lines[0].split(b" ")
    check(len(parts) == 3, f"request line {lines[0]!r}")
    check(parts[2].startswith(b"HTTP/1."), f"request line {lines[0]!r}")
    method, target, version = (part.decode("latin-1") for part in parts)
    return Received(method, target, version[5:], _parse_fields(lines[1:]), raw, connection)


def _parse_fields(lines: Iterable[bytes]) -> list[tuple[str, str]]:
    fields = []
    for line in lines:
        name, colon, value = line.partition(b":")
        check(colon != b"", f"field line {line!r}")
        check(name == name.strip(), f"field line {line!r}")
        check(name != b"", f"field line {line!r}")
        check(b"\n" not in line, f"field line {line!r}")
        check(b"\r" not in line, f"field line {line!r}")
        fields.append((name.decode("latin-1"), value.strip(b" \t").decode("latin-1")))
    return fields


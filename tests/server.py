"""A real server on loopback whose behaviour is a script per connection: the test is the peer, well-behaved or not.

The law of this file: *what the server does is written in the test, byte by byte, and nothing of it is left behind.*

- ``Server(script)`` runs ``script(conn)`` in a thread of its own for every accepted connection; ``Server([a, b])``
  runs ``a`` on connection 0, ``b`` on connection 1, and a third connection is an error.
- Every request that was read whole is in ``server.requests`` at the moment it was read, before any answer: the
  ledger says what was delivered, whatever the client believes.
- A script's exception is raised again when the ``with`` block ends, so a broken server cannot make a test pass. That
  the client went away while the script was sending is not an error (``server.departures`` has it).
- At the end every thread has ended and every socket is closed within ``STOP_SECONDS``, or the test fails.

Nothing here sleeps. Where a script has to wait for the test, it waits for an event (``conn.wait(event)``); where the
test has to wait for the server, it waits for the ledger (``server.wait_for_requests(2)``). Every wait is bounded by
``WAIT_SECONDS`` and fails by an AssertionError which says what did not come.

Sockets stay blocking and have no timeout: a thread is in the kernel's ``recv``, which ``shutdown()`` from another
thread ends. With a timeout Python would be in ``poll()``, which does not notice.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import ssl
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

WAIT_SECONDS = 5.0
STOP_SECONDS = 2.0
PIECE = 65536

Script = Callable[["Conn"], None]


# -- what is said ------------------------------------------------------------------------------------------------


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


def response(status: int, body: bytes = b"", *headers: str, reason: str = "Said So", version: str = "1.1") -> bytes:
    """A whole response with a Content-Length: ``response(404, b"no", "X-Why: because")``."""
    return head(status, f"Content-Length: {len(body)}", *headers, reason=reason, version=version) + body


def ok(body: bytes = b"", *headers: str) -> bytes:
    """A whole 200 response with a Content-Length."""
    return response(200, body, *headers, reason="OK")


def head(status: int, *headers: str, reason: str = "Said So", version: str = "1.1") -> bytes:
    """A status line and fields, the empty line included. No field is added."""
    lines = [f"HTTP/{version} {status} {reason}", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1")


def chunked(*pieces: bytes, headers: Sequence[str] = (), trailers: Sequence[str] = ()) -> bytes:
    """A whole 200 response in chunks, one for each piece."""
    ending = "".join(f"{line}\r\n" for line in trailers).encode("latin-1")
    return (
        head(200, "Transfer-Encoding: chunked", *headers, reason="OK") + chunks(*pieces) + b"0\r\n" + ending + b"\r\n"
    )


def chunks(*pieces: bytes) -> bytes:
    """The pieces framed as chunks, without the last chunk."""
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)


def redirect(location: str, status: int = 302, *headers: str) -> bytes:
    """A whole redirect without a body."""
    return response(status, b"", f"Location: {location}", *headers, reason="Elsewhere")


# -- ready-made scripts ------------------------------------------------------------------------------------------


def echo(conn: Conn) -> None:
    """Answer every request until the client leaves (or says ``Connection: close``) with the request itself as JSON."""
    for request in conn.read_requests():
        conn.send(echo_of(request))
        if request.get("Connection").lower() == "close":
            return


def echo_of(request: Received) -> bytes:
    """The response ``echo`` gives: method, target, headers, body (latin-1), connection; ``X-Nonce`` as it came."""
    said = {
        "method": request.method,
        "target": request.target,
        "headers": request.headers,
        "body": request.body.decode("latin-1"),
        "connection": request.connection,
    }
    body = json.dumps(said).encode()
    nonces = [f"X-Nonce: {value}" for value in request.get_all("X-Nonce")]
    whole = ok(body, "Content-Type: application/json", *nonces)
    return whole[: -len(body)] if request.method == "HEAD" else whole


def replies(*responses: bytes) -> Script:
    """A script that answers one request with each response, then keeps the connection until the client leaves."""

    def script(conn: Conn) -> None:
        for each in responses:
            conn.expect_request()
            conn.send(each)
        conn.wait_closed()

    return script


def connect_proxy(conn: Conn) -> None:
    """A proxy that grants one CONNECT, whatever name it asks for, to that port on 127.0.0.1 and relays."""
    request = conn.expect_request()
    assert request.method == "CONNECT", f"the proxy was asked to {request.method} {request.target}"
    conn.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
    conn.relay(("127.0.0.1", int(request.target.rpartition(":")[2])))


# -- one connection ----------------------------------------------------------------------------------------------


class Stopped(Exception):
    """The server is being stopped: the script ends here, and that is nobody's fault."""


class Conn:
    """The server's end of one accepted connection.

    Attributes:
        number: the connection's place in the order of acceptance, from 0.
        server: the Server it belongs to.
        ending: how the client left: "fin", "rst", over TLS "close_notify" or "alert" too; "" while it has not.
    """

    def __init__(self, server: Server, sock: socket.socket, number: int) -> None:
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
        """The next request; that the client left instead fails the test."""
        request = self.read_request()
        assert request is not None, f"connection {self.number} ended ({self.ending}) where a request was expected"
        return request

    def read_request(self) -> Received | None:
        """The next whole request, entered in the ledger; None if the client left before it was whole."""
        request = self.read_head()
        if request is None:
            return None
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
        assert len(lengths) + len(codings) <= 1, f"framed twice: {lengths} {codings}"
        if codings:
            assert codings == ["chunked"], f"Transfer-Encoding: {codings}"
            return self._read_chunked(request)
        if not lengths:
            return request
        assert lengths[0].isdecimal(), f"Content-Length: {lengths[0]!r}"
        body = self.read_exactly(int(lengths[0]))
        return None if body is None else _with_body(request, body)

    def _read_chunked(self, request: Received) -> Received | None:
        body = bytearray()
        while (line := self.read_until(b"\r\n")) is not None:
            size = int(line.split(b";")[0], 16)
            if size == 0:
                return self._read_trailers(request, bytes(body))
            piece = self.read_exactly(size + 2)
            if piece is None:
                return None
            assert piece.endswith(b"\r\n"), f"chunk of {size} bytes is followed by {piece[-2:]!r}"
            body += piece[:-2]
        return None

    def _read_trailers(self, request: Received, body: bytes) -> Received | None:
        lines: list[bytes] = []
        while (line := self.read_until(b"\r\n")) is not None:
            if line == b"\r\n":
                return _with_body(request, body, _parse_fields(lines))
            lines.append(line[:-2])
        return None

    def read_until(self, mark: bytes) -> bytes | None:
        """Everything up to and including ``mark``; None if the client left first (``buffered`` has the rest)."""
        start = 0
        while (at := self._buffer.find(mark, start)) < 0:
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

    def fin(self) -> None:
        """Close the sending direction: a bare FIN; over TLS that is one *without* close_notify."""
        # ssl.SSLSocket.shutdown() would also forget the TLS state, and what comes after would be read as plaintext.
        self._raw("shutdown", socket.SHUT_WR)

    def unwrap(self) -> None:
        """Over TLS: send close_notify, and nothing else; the TCP connection stays open in both directions."""
        assert isinstance(self._sock, ssl.SSLSocket), "unwrap() is for TLS"
        self._sock.setblocking(False)  # or SSL_shutdown would wait for the client's own close_notify
        try:
            self._sock.unwrap()
        except (ssl.SSLWantReadError, ssl.SSLSyscallError):
            pass
        finally:
            self._sock.setblocking(True)

    def rst(self) -> None:
        """Abort: an RST, whatever is still unsent is lost."""
        self._raw("setsockopt", socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close(notify=False)

    def close(self, *, notify: bool = True) -> None:
        """Close the connection, over TLS with a close_notify unless told otherwise. Idempotent.

        As with every TCP server, what the client sent and nobody read turns the FIN into an RST.
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
            assert not self._buffer, f"{len(self._buffer)} bytes came before the TLS handshake"
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
        with socket.create_connection(address, WAIT_SECONDS) as other:
            other.settimeout(None)
            other.sendall(self._take(len(self._buffer)))
            self._relay(other)

    def _relay(self, other: socket.socket) -> None:
        ways = {self._sock: other, other: self._sock}
        while ways:
            for source in select.select(list(ways), [], [])[0]:
                while data := source.recv(PIECE):
                    ways[source].sendall(data)
                    if not getattr(source, "pending", int)():  # what TLS has decrypted already, select knows nothing of
                        break
                else:
                    return

    def wait(self, event: threading.Event) -> None:
        """Wait until the test sets the event; ends the script quietly if the server is stopped meanwhile."""
        self.server.wait_event(event)

    def interrupt(self) -> None:
        """End whatever blocks the script's thread (the server does this when it stops)."""
        with self._lock:
            self._raw("shutdown", socket.SHUT_RDWR)


def _parse_head(raw: bytes, connection: int) -> Received:
    lines = raw[:-4].split(b"\r\n")
    parts = lines[0].split(b" ")
    assert len(parts) == 3, f"request line {lines[0]!r}"
    assert parts[2].startswith(b"HTTP/1."), f"request line {lines[0]!r}"
    method, target, version = (part.decode("latin-1") for part in parts)
    return Received(method, target, version[5:], _parse_fields(lines[1:]), raw, connection)


def _parse_fields(lines: Iterable[bytes]) -> list[tuple[str, str]]:
    fields = []
    for line in lines:
        name, colon, value = line.partition(b":")
        assert colon, f"field line {line!r}"
        assert name == name.strip(), f"field line {line!r}"
        assert name, f"field line {line!r}"
        assert b"\n" not in line, f"field line {line!r}"
        assert b"\r" not in line, f"field line {line!r}"
        fields.append((name.decode("latin-1"), value.strip(b" \t").decode("latin-1")))
    return fields


def _with_body(request: Received, body: bytes, trailers: list[tuple[str, str]] | None = None) -> Received:
    r = request
    return Received(r.method, r.target, r.version, r.headers, r.head, r.connection, body, trailers or [])


# -- the server --------------------------------------------------------------------------------------------------


class Server:
    """Listens while the ``with`` block runs; ``script`` (or the k-th of several) is the peer.

    Args:
        script: what every connection does (``echo`` if not given), or one script for each connection in turn.
        tls: speak TLS with this context (see the ``tls`` fixture); None is plain TCP.
        host: the address to listen on; ``url()`` uses it.
        unix_path: listen on a Unix socket at this path instead.
        backlog: of ``listen()``.
    """

    def __init__(
        self,
        script: Script | Sequence[Script] = echo,
        *,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
        unix_path: str | None = None,
        backlog: int = 128,
    ) -> None:
        self.tls = tls
        self.host = host
        self.port = 0
        self.stopping = False
        self.errors: list[BaseException] = []
        self.departures: list[tuple[int, BaseException]] = []
        self.handshake_errors: list[BaseException] = []
        self.handshakes = 0
        self.resumptions = 0
        self._scripts: list[Script] | None = None if callable(script) else list(script)
        self._script: Script | None = script if callable(script) else None
        self._changed = threading.Condition()  # guards every list and count of this object
        self._requests: list[Received] = []
        self._conns: list[Conn] = []
        self._threads: list[threading.Thread] = []
        self._running = 0
        self._events: list[threading.Event] = []
        self._listener = self._listen(unix_path, backlog)
        self._wake, self._waker = socket.socketpair()

    def _listen(self, unix_path: str | None, backlog: int) -> socket.socket:
        if unix_path is not None:
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(unix_path)
        else:
            listener = socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self.host, 0))
            self.port = listener.getsockname()[1]
        listener.listen(backlog)
        return listener

    # what the test asks

    def url(self, path: str = "/", *, host: str | None = None) -> str:
        """The URL of a path; ``host`` names the server otherwise ("localhost")."""
        name = host or self.host
        name = f"[{name}]" if ":" in name else name
        return f"{'https' if self.tls else 'http'}://{name}:{self.port}{path}"

    @property
    def address(self) -> tuple[str, int]:
        """Host and port, for a plain socket."""
        return (self.host, self.port)

    @property
    def requests(self) -> list[Received]:
        """The ledger: every whole request in the order in which they were read."""
        with self._changed:
            return list(self._requests)

    @property
    def connections(self) -> int:
        """How many connections were accepted."""
        with self._changed:
            return len(self._conns)

    def conn(self, number: int) -> Conn:
        """Connection ``number``, as soon as it is accepted."""
        self._wait_until(lambda: len(self._conns) > number, f"connection {number} was not opened")
        return self._conns[number]

    def wait_for_connections(self, count: int) -> None:
        """Return when ``count`` connections were accepted."""
        self.conn(count - 1)

    def wait_for_requests(self, count: int) -> list[Received]:
        """The ledger, as soon as it has ``count`` requests."""
        self._wait_until(lambda: len(self._requests) >= count, f"{count} requests did not come")
        return self.requests

    def wait_for_handshakes(self, count: int) -> None:
        """Return when ``count`` TLS handshakes were completed or failed."""
        self._wait_until(
            lambda: self.handshakes + len(self.handshake_errors) >= count, f"{count} handshakes did not come"
        )

    def wait_idle(self, connections: int = 1) -> None:
        """Return when ``connections`` were accepted and every script so far has ended by itself."""
        self._wait_until(
            lambda: len(self._conns) >= connections and self._running == 0,
            f"{connections} connections did not come and end",
        )

    def stop_listening(self) -> None:
        """Refuse connections from here on; those that exist go on."""
        if self._acceptor.is_alive():
            self._waker.send(b"x")
            self._acceptor.join(WAIT_SECONDS)
        self._listener.close()

    def _wait_until(self, done: Callable[[], bool], complaint: str) -> None:
        with self._changed:
            came = self._changed.wait_for(lambda: done() or self.errors, WAIT_SECONDS)
            if not done():
                self._raise_errors()
            assert came, f"{complaint} within {WAIT_SECONDS} s: {self!r}"

    def __repr__(self) -> str:
        return (
            f"<Server {self.host}:{self.port} {len(self._conns)} connections, {self._running} running, "
            f"{len(self._requests)} requests, {len(self.errors)} errors>"
        )

    # what the scripts report

    def enter(self, request: Received) -> None:
        """Put a request that was read whole into the ledger."""
        with self._changed:
            self._requests.append(request)
            self._changed.notify_all()

    def count_handshake(self, sock: ssl.SSLSocket) -> None:
        """A TLS handshake was completed."""
        with self._changed:
            self.handshakes += 1
            self.resumptions += bool(sock.session_reused)
            self._changed.notify_all()

    def wait_event(self, event: threading.Event) -> None:
        """Wait for the test's event on behalf of a script."""
        with self._changed:
            self._events.append(event)  # stop() sets it
            if self.stopping:
                raise Stopped
        assert event.wait(WAIT_SECONDS), f"the script's event was not set within {WAIT_SECONDS} s"
        if self.stopping:
            raise Stopped

    # running

    def __enter__(self) -> Server:
        self._acceptor = threading.Thread(target=self._accept, name="test-server-accept", daemon=True)
        self._acceptor.start()
        return self

    def _accept(self) -> None:
        while self._wake not in (ready := select.select([self._listener, self._wake], [], [])[0]):
            assert ready
            try:
                sock = self._listener.accept()[0]
            except OSError:  # the client was gone before it was accepted
                continue
            self._start(sock)
        self._wake.recv(1)

    def _start(self, sock: socket.socket) -> None:
        if sock.family != getattr(socket, "AF_UNIX", None):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._changed:
            conn = Conn(self, sock, len(self._conns))
            thread = threading.Thread(target=self._run, args=(conn,), name=f"test-server-{conn.number}", daemon=True)
            self._conns.append(conn)
            self._threads.append(thread)
            self._running += 1
            self._changed.notify_all()
        thread.start()

    def _run(self, conn: Conn) -> None:
        try:
            if self._secure(conn):
                self._script_for(conn)(conn)
        except Stopped:
            pass
        except (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
            self._report(self.departures, (conn.number, error))
        except BaseException as error:  # noqa: BLE001 - raised again in the test's own thread
            if not (self.stopping and isinstance(error, OSError)):
                self._report(self.errors, error)
        finally:
            conn.close()
            self._ended()

    def _secure(self, conn: Conn) -> bool:
        if self.tls is None:
            return True
        try:
            conn.start_tls(self.tls)
        except OSError as error:
            self._report(self.handshake_errors, error)
            return False
        return True

    def _script_for(self, conn: Conn) -> Script:
        if self._script is not None:
            return self._script
        assert self._scripts is not None
        known = len(self._scripts)
        assert conn.number < known, f"connection {conn.number} was opened, but there are scripts for {known} only"
        return self._scripts[conn.number]

    def _report(self, where: list[Any], what: object) -> None:
        with self._changed:
            where.append(what)
            self._changed.notify_all()

    def _ended(self) -> None:
        with self._changed:
            self._running -= 1
            self._changed.notify_all()

    # stopping

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        left = self._stop()
        if error is not None:  # the test has failed already; say what the server knows and do not hide that
            for each in self.errors:
                traceback.print_exception(type(each), each, each.__traceback__, file=sys.stderr)
            return
        self._raise_errors()
        assert not left, f"still running {STOP_SECONDS} s after the server was stopped: {left}"

    def _stop(self) -> list[str]:
        until = time.monotonic() + STOP_SECONDS
        self.stop_listening()
        with self._changed:
            self.stopping = True
            events, conns, threads = list(self._events), list(self._conns), list(self._threads)
        for event in events:
            event.set()
        for conn in conns:
            conn.interrupt()
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        for conn in conns:
            conn.close(notify=False)
        self._wake.close()
        self._waker.close()
        return [thread.name for thread in threads if thread.is_alive()]

    def _raise_errors(self) -> None:
        if self.errors:
            raise self.errors[0]

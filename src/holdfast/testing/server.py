"""A real server on loopback whose behaviour is a script for each connection: a test is the peer, well-behaved or not.

The law of this file: *what the server does is written in the test, byte by byte if need be, and nothing of it is left behind.*

- ``Server(script)`` runs ``script(conn)`` in a thread of its own for every accepted connection; ``Server([a, b])`` runs ``a`` on
  connection 0, ``b`` on connection 1, and a third connection is an error. Ready-made scripts are in ``behaviours``.
- Every request that was read whole is in ``server.requests`` at the moment it was read, before any answer: the ledger says what
  was delivered, whatever the client believes.
- A script's exception is raised again when the ``with`` block ends, so a broken server cannot make a test pass. That the client
  went away while the script was sending is no error (``server.departures`` has it).
- At the end every thread has ended and every socket is closed within ``stop_seconds``, or the test fails.

Where a script has to wait for the test, it waits for an event (``conn.wait(event)``); where the test has to wait for the server, it
waits for the ledger (``server.wait_for_requests(2)``). Each wait is bounded by ``wait_seconds`` and fails by a ``ScriptFailed``, an
AssertionError, which says what did not come.
"""

from __future__ import annotations

import selectors
import socket
import ssl
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .._clock import system_clock
from .._numbers import number_of
from ..timeouts import Deadline
from . import behaviours
from .behaviours import echo
from .connection import Conn, Received, Script, ScriptFailed, Stopped, check

if TYPE_CHECKING:
    from .certificates import Authority

WAIT_SECONDS = 5.0
STOP_SECONDS = 2.0
MAX_CONNECTIONS = 2000  # a thread each


class Server:
    """Listens on a free port of loopback while the ``with`` block runs; ``script`` (or the k-th of several) is the peer.

    Args:
        script: what every connection does (``echo`` if not given), or one script for each connection in turn.
        tls: speak TLS: with this server context, or, if True, with a certificate for localhost, 127.0.0.1 and ::1 that is made for
            this process; ``ca_path`` is what a client verifies it against. Default: plain TCP.
        host: the address to listen on; ``url()`` uses it. Default 127.0.0.1.
        unix_path: listen on a Unix socket at this path instead.
        backlog: of ``listen()``.
        wait_seconds: how long each wait of the test for the server, and of a script for the test, may take. Default 5.
        stop_seconds: how long ending all threads may take. Default 2.

    Raises:
        TypeError: ``script`` is no function of a ``Conn``, nor a list of such, or ``tls`` no context.
        ModuleNotFoundError: ``tls=True``, and trustme is not installed: the extra ``testing`` has it.

    Attributes:
        script: may be set: it counts for connections that are accepted from then on. The k-th of several is for the k-th
            connection from then on.
        errors: what scripts raised; the first is raised again in the test's thread.
        departures: (connection, error) where the client left while a script was reading or sending.
        handshakes, resumptions: how many TLS handshakes were completed, and how many of them resumed a session.
        handshake_errors: why the others failed.
        stopping: whether the ``with`` block has ended.
    """

    def __init__(
        self,
        script: Script | Sequence[Script] = echo,
        *,
        tls: ssl.SSLContext | bool | None = None,
        host: str = "127.0.0.1",
        unix_path: str | None = None,
        backlog: int = 128,
        wait_seconds: float = WAIT_SECONDS,
        stop_seconds: float = STOP_SECONDS,
    ) -> None:
        wraps = hasattr(tls, "wrap_socket")  # truststore may have put a class of its own in place of ssl's
        if not (wraps or tls is None or isinstance(tls, bool)):
            raise TypeError(f"tls={tls!r}: expected an ssl.SSLContext of a server, True or None")
        self._authority = _own_authority() if tls is True else None
        context: Any = tls if wraps else None
        self.tls: ssl.SSLContext | None = self._authority.server_context() if self._authority else context
        self.host = host
        self.port = 0
        self.stopping = False
        self.errors: list[BaseException] = []
        self.departures: list[tuple[int, BaseException]] = []
        self.handshake_errors: list[BaseException] = []
        self.handshakes = 0
        self.resumptions = 0
        self._wait_seconds, self._stop_seconds = wait_seconds, stop_seconds
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._changed = threading.Condition()  # guards every list and count of this object
        self._requests: list[Received] = []
        self._conns: list[Conn] = []
        self._threads: list[threading.Thread] = []
        self._running = 0
        self._events: list[threading.Event] = []
        self._ended_all = threading.Event()
        self.script = script
        self._listener = self._listen(unix_path, backlog)
        self._wake, self._waker = socket.socketpair()

    @property
    def script(self) -> Script | Sequence[Script]:
        """What connections do that are accepted from now on."""
        return self._script

    @script.setter
    def script(self, value: Script | Sequence[Script]) -> None:
        _check_script(value)
        with self._changed:
            self._script = value
            self._first = len(self._conns)  # the connection that the first of several is for

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
    def ca_path(self) -> str:
        """With ``tls=True``: a PEM file with the authority's certificate, for ``verify=``; there until the ``with`` block ends.

        Raises:
            ValueError: this server's certificate was not made by it.
        """
        if self._authority is None:
            raise ValueError("only Server(tls=True) has an authority of its own; you have the context that you gave")
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="holdfast-testing-")
            Path(self._folder.name, "ca.pem").write_bytes(self._authority.pem)
        return str(Path(self._folder.name, "ca.pem"))

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
        self._wait_until(lambda: len(self._requests) >= count, f"{number_of(count, 'request')} did not come")
        return self.requests

    def wait_for_handshakes(self, count: int) -> None:
        """Return when ``count`` TLS handshakes were completed or failed."""
        self._wait_until(
            lambda: self.handshakes + len(self.handshake_errors) >= count, f"{number_of(count, 'handshake')} did not come"
        )

    def wait_idle(self, connections: int = 1) -> None:
        """Return when ``connections`` were accepted and every script so far has ended by itself."""
        self._wait_until(
            lambda: len(self._conns) >= connections and self._running == 0,
            f"{number_of(connections, 'connection')} did not come and end",
        )

    def stop_listening(self) -> None:
        """Refuse connections from here on; those that exist go on."""
        if self._acceptor.is_alive():
            self._waker.send(b"x")
            self._acceptor.join(self._stop_seconds)
        self._listener.close()

    def _wait_until(self, done: Callable[[], bool], complaint: str) -> None:
        with self._changed:
            self._changed.wait_for(lambda: done() or self.errors, self._wait_seconds)
            if not done():
                self._raise_errors()
                raise ScriptFailed(f"{complaint} within {self._wait_seconds} s: {self!r}")

    def __repr__(self) -> str:
        return (
            f"<Server {self.host}:{self.port} {number_of(len(self._conns), 'connection')}, {self._running} running, "
            f"{number_of(len(self._requests), 'request')}, {number_of(len(self.errors), 'error')}>"
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
        came = event.wait(self._wait_seconds)
        if self.stopping:
            raise Stopped
        check(came, f"the script's event was not set within {self._wait_seconds} s")

    def pause(self, seconds: float) -> None:
        """Wait so long on behalf of a script."""
        if self._ended_all.wait(seconds):
            raise Stopped

    # running

    def __enter__(self) -> Server:
        self._acceptor = threading.Thread(target=self._accept, name="holdfast-testing-accept", daemon=True)
        self._acceptor.start()
        return self

    def _accept(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._wake, selectors.EVENT_READ)
            while self._wake not in [key.fileobj for key, _ in selector.select()]:
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
            turn = (conn, self._script, conn.number - self._first)
            thread = threading.Thread(target=self._run, args=turn, name=f"holdfast-testing-{conn.number}", daemon=True)
            self._conns.append(conn)
            self._threads.append(thread)
            self._running += 1
            self._changed.notify_all()
            crowded = self._running > MAX_CONNECTIONS
        try:
            check(not crowded, f"more than {number_of(MAX_CONNECTIONS, 'connection is', 'connections are')} open at once")
            thread.start()
        except (ScriptFailed, RuntimeError) as error:  # the system has no room for another thread
            self._threads.remove(thread)
            self._report(self.errors, error)
            conn.close(notify=False)
            self._ended()

    def _run(self, conn: Conn, script: Script | Sequence[Script], turn: int) -> None:
        try:
            if self._secure(conn):
                if not callable(script):
                    number, scripts = conn.number + 1, len(script)
                    check(turn < scripts, f"connection {number} was opened, but there are scripts for {scripts} only")
                    script = script[turn]
                _check_returned(script, script(conn))
        except Stopped:
            pass  # the server was closed while the script waited
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
        check(not left, f"still running {self._stop_seconds} s after the server was stopped: {left}")

    def _stop(self) -> list[str]:
        deadline = Deadline(self._stop_seconds, system_clock)
        self.stop_listening()
        with self._changed:
            self.stopping = True
            events, conns, threads = list(self._events), list(self._conns), list(self._threads)
        self._ended_all.set()
        for event in events:
            event.set()
        for conn in conns:
            conn.interrupt()
        for thread in threads:
            thread.join(deadline.within(None))
        for conn in conns:
            conn.close(notify=False)
        self._wake.close()
        self._waker.close()
        if self._folder is not None:
            self._folder.cleanup()
        return [thread.name for thread in threads if thread.is_alive()]

    def _raise_errors(self) -> None:
        if self.errors:
            raise self.errors[0]


def _check_script(script: Any) -> None:
    """TypeError if it can play no connection: when the server is made, and not when its first client has come."""
    is_list = isinstance(script, Sequence) and not isinstance(script, (str, bytes, bytearray))
    for number, each in enumerate(script if is_list else [script]):
        name = f"script[{number}]" if is_list else "script"
        if each in behaviours.MAKERS:
            raise TypeError(f"{name}: behaviours.{each.__name__} makes a script: call it, behaviours.{each.__name__}(...)")
        if callable(each):
            continue
        hint = "; behaviours.replies(response) answers with a response" if isinstance(each, (bytes, bytearray)) else ""
        raise TypeError(f"{name}={each!r}: expected a function of a Conn, or a list of such functions{hint}")


def _check_returned(script: Script, returned: object) -> None:
    """A script does what it does, and returns nothing: what looks like one that has yet to begin was never played."""
    name = getattr(script, "__qualname__", repr(script))
    if hasattr(returned, "__await__"):
        getattr(returned, "close", int)()  # a coroutine, which nothing is going to await
        raise ScriptFailed(f"{name} is asynchronous: a script is a plain function of a Conn")
    check(not callable(returned), f"{name} returned a function: a script plays the connection itself; was its result meant?")


def _own_authority() -> Authority:
    from .certificates import authority

    return authority()

"""Sockets that are none: what mocket, httpretty and the like put in place of ``socket.socket`` while a test runs.

Behind them is no descriptor that could be polled, and no kernel that could be asked what has arrived. They are used as the
libraries use them for which they were made: ``connect``, ``sendall``, and ``recv`` with a timeout. Nothing is claimed of what was
delivered, and none of their connections is used after the replacement has ended. gevent's and eventlet's sockets have a
descriptor: they are not meant here.
"""

from __future__ import annotations

import os
import socket
import stat
import time
from collections.abc import Callable
from typing import Any

from ..exceptions import SSLError
from ..message.span import FilePart
from ..reasons import Discard
from .stream import is_system_socket

READ_BYTES = 65536


def is_replaced(sock: Any) -> bool:
    """Whether there is no socket of the system behind this one, which is not of the interpreter's own class."""
    try:
        descriptor = sock.fileno()
    except Exception:  # noqa: BLE001 - whatever a replacement raises: it has none
        return True
    if not isinstance(descriptor, int) or descriptor < 0:
        return True
    try:
        return not stat.S_ISSOCK(os.fstat(descriptor).st_mode)
    except OSError:
        return False  # Platform-specific: on Windows a socket is no file


def connect(
    address: tuple[Any, ...], until: float | None, clock: Callable[[], float] = time.monotonic
) -> Any:
    """A replaced socket, connected to one of ``getaddrinfo``'s addresses; None if it has a descriptor after all.

    Raises:
        OSError: as the replacement has it.
    """
    sock: Any = socket.socket(*address[:3])
    if is_system_socket(sock) or not is_replaced(sock):
        sock.close()
        return None
    try:
        sock.settimeout(None if until is None else max(0.001, until - clock()))
        sock.connect(address[4])
    except BaseException:
        sock.close()
        raise
    return sock


def wrap(sock: Any, context: Any, server_name: str, port: int) -> Any:
    """A replaced socket inside what the replacement takes for TLS.

    Raises:
        SSLError: it has no such thing.
    """
    import ssl  # plain http needs none

    if not isinstance(context, ssl.SSLContext):
        context = ssl.create_default_context()  # the replacement's own: this one was made before it
    try:
        return context.wrap_socket(sock, server_hostname=server_name)
    except Exception as error:
        sock.close()
        kind = f"{type(sock).__module__}.{type(sock).__qualname__}"
        raise SSLError(
            f"no TLS with {server_name}:{port}: socket.socket is replaced by {kind}, which cannot be wrapped: {error!r}"
        ) from error


def stream_over(sock: Any) -> ReplacedStream | None:
    """The stream over a replaced socket; None if it is a socket, of gevent's class perhaps."""
    return ReplacedStream(sock) if is_replaced(sock) else None


class ReplacedStream:
    """The ``ByteStream`` over a socket that is none.

    Args:
        sock: connected, and wrapped if it is to be.
    """

    sends_files = False

    def __init__(self, sock: Any) -> None:
        self.sock = sock
        self.clean_eof = True
        self.strays = False
        self.written = 0
        self.error: OSError | None = None
        self._replacement = socket.socket
        self._eof = False

    def read(self, seconds: float | None) -> bytes:
        """The next bytes; b"" at the end.

        Raises:
            TimeoutError: nothing came for ``seconds``, or the replacement has nothing more.
            OSError: the replacement broke.
        """
        return self.read_up_to(READ_BYTES, seconds)

    def read_up_to(self, size: int, seconds: float | None) -> bytes:
        """At most ``size`` bytes. Raises as ``read`` does."""
        if self._eof:
            return b""
        try:
            self.sock.settimeout(seconds)
            data: bytes = self.sock.recv(min(size, READ_BYTES))
        except BlockingIOError as error:  # mocket's way to say that it has no more
            raise TimeoutError("the replaced socket has nothing to read") from error
        except OSError as error:
            self.error = error
            raise
        self._eof = not data
        return data

    def read_into(self, view: memoryview, seconds: float | None) -> int:
        """Like ``read_up_to``, into ``view``; the number of bytes."""
        data = self.read_up_to(len(view), seconds)
        view[: len(data)] = data
        return len(data)

    def write_some(self, data: bytes | memoryview) -> int:
        """Send all of it.

        Raises:
            OSError: the replacement broke.
        """
        try:
            self.sock.sendall(bytes(data))
        except OSError as error:
            self.error = error
            raise
        self.written += len(data)
        return len(data)

    def write_file(self, part: FilePart) -> int:
        """Send what the file has."""
        return self.write_some(part.read())

    def wait_writable_or_readable(self, seconds: float | None) -> tuple[bool, bool]:
        """It takes all that it is given."""
        return True, False

    def readable_now(self) -> bool:
        """It cannot be asked: only reading tells."""
        return self._eof

    def hasten(self) -> None:
        """Nothing."""

    def queued(self) -> bool:
        """It is not known."""
        return False

    def probe(self, patience: float = 0) -> Discard | None:
        """Whether another request may be sent: while the replacement lasts, and has not ended it."""
        fit = not self._eof and self.error is None and socket.socket is self._replacement
        return None if fit else Discard.STALE

    def begin_exchange(self) -> None:
        """A request will be written."""
        self.written = 0

    def acknowledged(self) -> bool:
        """Nothing speaks against it."""
        return True

    def proven_undelivered(self) -> bool:
        """Nothing is proven."""
        return False

    def interrupt(self) -> None:
        """End the conversation from another thread."""
        self.clean_eof, self._eof = False, True

    def close(self, *, polite: bool = True) -> None:
        """Close it."""
        self._eof = True
        self.sock.close()

    def forget(self) -> None:
        """Close it: no other process has it."""
        self.close()

    def fileno(self) -> int:
        """None that can be polled."""
        return -1

"""TLS inside TLS: to an https server through a proxy that is itself spoken to over TLS.

An ``ssl.SSLSocket`` cannot be wrapped again, so the inner layer runs over two memory buffers (``ssl.MemoryBIO``), and ``TlsInTls``
carries their bytes to and from the outer one. It has the surface of a non-blocking ``ssl.SSLSocket`` as far as ``SocketStream``
uses it, in the same words: ``SSLWantReadError`` where there is nothing to read, ``SSLEOFError`` where the connection ended
without close_notify of the *inner* layer: that of the outer one is the proxy's, and says nothing about the server's body.

Two traps. What has arrived may lie in any of three buffers, none of which the kernel knows: ``pending`` looks ahead in them, and
``recv`` says that there is nothing only when all three are empty. And bytes that the inner layer has taken may wait for the outer
one: ``send`` counts them as sent only when the kernel has all of them, for no later call would see to the rest.

Of what was delivered nothing is claimed: acknowledged is what the proxy's kernel has, whatever the server got.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable

from ..exceptions import ConnectTimeout, SSLError
from .bounded import Bounded
from .openssl import ssl
from .protocols import ByteStream
from .tls import explain, resumable, without_zone

READ_SIZE = 65536
WRITE_SIZE = 16384  # one TLS record


class TlsInTls:
    """The TLS layer inside a tunnel through a proxy spoken to over TLS. Not thread-safe.

    Attributes:
        carrier: the TLS socket to the proxy, which has the descriptor.
    """

    def __init__(self, carrier: ssl.SSLSocket, context: ssl.SSLContext, name: str, session: ssl.SSLSession | None = None) -> None:
        self.carrier = carrier
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._inner = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name, session=session)
        self._ready = b""  # decrypted by pending() and not yet read
        self._failure: OSError | None = None  # met by pending(), for the next recv()
        self._unsent = b""  # encrypted and not yet taken by the carrier
        self._owed = 0  # bytes of the caller's that are in _unsent, and not yet reported as sent

    def shake_hands(self, connection: Bounded) -> None:
        """The inner handshake, over a stream on the carrier.

        Raises:
            TimeoutError: there was no time for it.
            OSError: it failed, or the connection broke.
        """
        while not self._shake_once(connection):
            self._take(connection.receive())

    def _shake_once(self, connection: Bounded) -> bool:
        """One step; whether it was the last."""
        try:
            self._inner.do_handshake()
            done = True
        except ssl.SSLWantReadError:
            done = False
        except ssl.SSLError:
            try:
                connection.send(self._outgoing.read())  # an alert: the server is told why
            except OSError:
                pass  # it has gone; what went wrong before that counts
            raise
        connection.send(self._outgoing.read())
        return done

    def _take(self, data: bytes) -> None:
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    # -- reading -------------------------------------------------------------------------------------------------------

    def recv(self, size: int) -> bytes:
        """At most ``size`` bytes, ``b""`` after the server's close_notify. Never waits.

        Raises:
            ssl.SSLWantReadError: there is nothing to read now.
            OSError: the connection broke, or ended without close_notify (``ssl.SSLEOFError``).
        """
        if self._ready:
            data, self._ready = self._ready[:size], self._ready[size:]
            return data
        if self._failure is not None:
            raise self._failure
        while True:
            try:
                data = self._inner.read(size)
            except ssl.SSLWantReadError:
                self._push_if_possible()
                self._take(self.carrier.recv(READ_SIZE))  # raises if the carrier has nothing either
                continue
            self._push_if_possible()
            return data

    def recv_into(self, view: memoryview, size: int) -> int:
        """Like ``recv``, into ``view``; the number of bytes."""
        data = self.recv(size)
        view[: len(data)] = data
        return len(data)

    def pending(self) -> int:
        """Bytes that can be read without the kernel; an end or an error that waits in a buffer counts as one."""
        if not self._ready and self._failure is None and (self._incoming.pending or self.carrier.pending()):
            self._look_ahead()
        return len(self._ready) or self._inner.pending() or int(self._failure is not None)

    def _look_ahead(self) -> None:
        try:
            while True:
                try:
                    self._ready = self._inner.read(READ_SIZE)
                    break
                except ssl.SSLWantReadError:
                    if not self.carrier.pending():
                        return  # half a record, or one of the TLS layer's own
                    self._take(self.carrier.recv(READ_SIZE))
        except ssl.SSLWantReadError:
            return
        except OSError as error:
            self._failure = error
            return
        if not self._ready:
            self._failure = ssl.SSLZeroReturnError(ssl.SSL_ERROR_ZERO_RETURN, "TLS/SSL connection has been closed (EOF)")

    # -- writing -------------------------------------------------------------------------------------------------------

    def send(self, data: bytes | memoryview) -> int:
        """How many bytes were sent. Never waits; after a Want error the same data must be given again.

        Raises:
            ssl.SSLWantWriteError, ssl.SSLWantReadError: the kernel takes none now.
            OSError: the connection broke.
        """
        if not self._owed:
            self._push()
            self._owed = self._inner.write(memoryview(data)[:WRITE_SIZE])
        self._push()
        sent, self._owed = self._owed, 0
        return sent

    def _push(self) -> None:
        while True:
            self._unsent = self._unsent or self._outgoing.read()
            if not self._unsent:
                return
            self._unsent = self._unsent[self.carrier.send(self._unsent) :]

    def _push_if_possible(self) -> None:
        """The inner layer's own words (an answer to KeyUpdate); what the kernel does not take now goes with the next bytes."""
        if self._outgoing.pending and not self._owed:
            try:
                self._push()
            except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
                pass  # the kernel is full: the rest goes with the next bytes

    # -- what an SSLSocket has besides ---------------------------------------------------------------------------------

    @property
    def context(self) -> ssl.SSLContext:
        """The inner layer's."""
        return self._inner.context

    @property
    def session(self) -> ssl.SSLSession | None:
        """The inner layer's."""
        return self._inner.session

    def version(self) -> str | None:
        """Of the inner layer."""
        return self._inner.version()

    def cipher(self) -> tuple[str, str, int] | None:
        """Of the inner layer."""
        return self._inner.cipher()

    def selected_alpn_protocol(self) -> str | None:
        """Of the inner layer."""
        return self._inner.selected_alpn_protocol()

    @property
    def session_reused(self) -> bool:
        """Whether the inner layer's handshake resumed a session."""
        return bool(self._inner.session_reused)

    def gettimeout(self) -> float:
        """0: it never blocks."""
        return 0.0

    def setblocking(self, flag: bool) -> None:
        """There is no waiting here, only on the carrier's descriptor."""
        if flag:
            raise ValueError("a TLS connection inside another never blocks")

    def getsockopt(self, *args: int) -> int:
        """Nothing: what the kernel knows is about the proxy, and would be taken for the server's."""
        raise OSError(errno.ENOTSUP, "this is no socket")

    def fileno(self) -> int:
        """The carrier's descriptor, -1 when closed."""
        return self.carrier.fileno()

    def unwrap(self) -> None:
        """Send close_notify, the inner one first, without waiting for the other ends'."""
        try:
            self._inner.unwrap()
        except ssl.SSLWantReadError:
            pass  # ours is written
        self._push()
        self.carrier.unwrap()

    def close(self) -> None:
        """Close the carrier."""
        self.carrier.close()


def wrap(
    carrier: ssl.SSLSocket,
    stream: ByteStream,
    context: ssl.SSLContext,
    server_name: str,
    port: int,
    until: float | None,
    clock: Callable[[], float] = time.monotonic,
) -> TlsInTls:
    """The TLS layer to ``server_name`` inside ``carrier``, after its handshake. The carrier stays the caller's, to close too.

    Args:
        stream: a byte stream over ``carrier``, for the handshake.
        until: the moment on ``clock`` by which the handshake must be done; None waits for ever.

    Raises:
        ConnectTimeout: it was not done by then.
        SSLError: it failed; the message names the host and the reason.
    """
    started = clock()
    try:
        inner = TlsInTls(carrier, context, without_zone(server_name), resumable(context, server_name, port))
        inner.shake_hands(Bounded(stream, until, clock))
        return inner
    except TimeoutError as error:
        raise ConnectTimeout(
            f"the TLS handshake with {server_name}:{port} was not done after {clock() - started:.2f} s"
        ) from error
    except (OSError, ValueError) as error:
        raise SSLError(explain(error, server_name, port)) from error

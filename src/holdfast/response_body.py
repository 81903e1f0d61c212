"""BodyStream: the payload of one response, and the lease of the connection it comes from."""

from __future__ import annotations

import time

from .dialer import interrupt
from .exceptions import ClientClosed, RequestException, StreamConsumedError
from .pool.pool import Lease, Pool
from .reasons import Discard
from .routes import Route
from .wire.http1 import Http1Connection

DRAIN_BYTES = 64 * 1024
DRAIN_SECONDS = 0.05


class BodyStream:
    """The payload of one response, and the lease of the connection it comes from.

    The natural end gives the connection back; anything else closes it.

    One thread reads; any other may close. Both are settled by lists of one element, from which ``pop`` takes for one taker only:

    * ``_hold`` has the lease while nobody uses it. Who reads or drains takes it out, and puts it back if there is more.
    * ``_end`` is taken by the one who decides how the connection ends: the reader who has read to the end, or the closer who finds
      the lease in use and interrupts the reader. Otherwise a closer who came late would interrupt the next borrower.

    Attributes:
        ended: the reader has had all of it; the connection is no longer this body's.
        trailers: the fields after a chunked body.
    """

    holds_connection = True

    __slots__ = ("_abandoned", "_connection", "_end", "_finished", "_hold", "_pool", "ended", "trailers")

    def __init__(self, pool: Pool[Route, Http1Connection], lease: Lease[Route, Http1Connection]) -> None:
        self._pool = pool
        self._connection = lease.resource
        self._hold = [lease]
        self._end = [True]
        self._finished = self._abandoned = self.ended = False
        self.trailers: list[tuple[bytes, bytes]] = []

    def read(self) -> bytes:
        """The next piece of payload, ``b""`` at its end and ever after. With the last piece it may have ``ended`` already.

        Raises:
            RequestException: BodyReadTimeout, TotalTimeout, IncompleteBody, RemoteProtocolError, SSLError or ClientClosed;
                StreamConsumedError after ``close``.
        """
        try:
            lease = self._hold.pop()
        except IndexError:
            return self._nothing_left()
        connection = lease.resource
        try:
            data = connection.read_body()
        except BaseException as error:
            self._give_up(lease, error)
            raise
        if connection.finished:
            self.ended = True
            self._finish(lease)
            return data
        self._hold.append(lease)
        if self._abandoned:
            self.close()
        return data

    def _nothing_left(self) -> bytes:
        if self.ended:
            return b""
        raise StreamConsumedError("this response was closed before the end of its body")

    def _give_up(self, lease: Lease[Route, Http1Connection], error: BaseException) -> None:
        self._end.clear()
        lease.discard(Discard.BROKEN)
        if self._pool.closed and isinstance(error, RequestException):
            message = "this client was closed while the response was being read"
            raise ClientClosed(message, may_have_executed=True) from error
        if self._abandoned and isinstance(error, RequestException):
            raise StreamConsumedError("this response was closed while it was being read") from error

    def _finish(self, lease: Lease[Route, Http1Connection]) -> None:
        self._finished = True
        connection = lease.resource
        self.trailers = connection.trailers
        try:
            self._end.pop()
        except IndexError:
            lease.discard(Discard.BROKEN)  # whole, but somebody is interrupting its connection just now
            return
        reason = connection.recycle()
        if reason is not None:
            lease.discard(reason)
            return
        seconds, uses = connection.keep_alive
        lease.release(keep_for=None if seconds is None else keep_for(seconds), uses_left=uses)

    def drain(self) -> bytes | None:
        """The rest of the payload if it is small and comes at once (64 KiB, 50 ms).

        None if there was too much, and the connection had to go; or if somebody else is reading it.
        """
        try:
            lease = self._hold.pop()
        except IndexError:
            return b"" if self._finished else None
        pieces: list[bytes] = []
        size = 0
        until = time.monotonic() + DRAIN_SECONDS
        try:
            while (lease.resource.remaining or 0) <= DRAIN_BYTES and size <= DRAIN_BYTES and time.monotonic() < until:
                piece = lease.resource.read_body_within(max(0.0, until - time.monotonic()))
                pieces.append(piece)
                size += len(piece)
                if lease.resource.finished:
                    self.ended = not size  # who reads on from here has missed them: for him this is no end
                    self._finish(lease)
                    return b"".join(pieces)
        except Exception:  # noqa: BLE001 - whatever is wrong with the rest, nobody will read it
            pass
        except BaseException:
            lease.discard(Discard.BROKEN)
            raise
        self._end.clear()
        lease.discard(Discard.BROKEN)
        return None

    def note_borrower(self) -> None:
        """The body will be read later: remember who has asked for it."""
        for lease in self._hold:
            lease.note_borrower()

    def close(self) -> None:
        """Give up on the rest. Keeps the connection if the rest is small and already here, else closes it. Idempotent.

        Called while another thread reads, it ends that read with a StreamConsumedError.
        """
        # Not "if self._hold": a reader that began between that look and the next line would never hear of it.
        if self.drain() is None and not self._abandoned:
            self._interrupt_reader()

    def _interrupt_reader(self) -> None:
        self._abandoned = True
        try:
            self._end.pop()
        except IndexError:
            return  # it has come to its end meanwhile
        interrupt(self._connection)
        if self._hold:
            self.drain()  # the reader had just put the lease back


def keep_for(timeout: float) -> float:
    """Seconds to keep a connection whose server has said that it closes after ``timeout`` seconds idle.

    A quarter less, at most a second, but never less than a tenth: the server's clock started earlier than ours.
    """
    return timeout - max(0.1 * timeout, min(1.0, 0.25 * timeout))

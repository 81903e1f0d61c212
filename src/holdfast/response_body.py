"""BodyStream: the payload of one response, and the lease of the connection it comes from."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import Enum

from .dialer import interrupt
from .exceptions import ClientClosed, RequestException, StreamConsumedError
from .message.pieces import PIECE
from .pool.learning import keep_for
from .pool.pool import Lease, Pool
from .reasons import Discard
from .routes import Route
from .wire.http1 import Http1Connection
from .wire.protocols import OVER

DRAIN_BYTES = 64 * 1024
DRAIN_SECONDS = 0.05


class BodyState(Enum):
    """How far a body has come. Only the thread that has taken the lease changes it, so no change is lost.

    | state | set by | the connection | ``read()`` | ``drain()`` |
    |---|---|---|---|---|
    | OPEN | – | leased to this body | the next piece | the rest, if it is small and here |
    | ENDED | the read that found the end, or a drain that found nothing before it | given back, or closed | ``b""`` | ``b""`` |
    | DRAINED | a drain that found a small rest | given back, or closed | StreamConsumedError | ``b""`` |
    | LOST | a read that failed, or a drain of too much | closed | StreamConsumedError | None |
    """

    OPEN = "open"
    ENDED = "ended"
    DRAINED = "drained"
    LOST = "lost"


_OPEN, _ENDED, _DRAINED, _LOST = BodyState


def give_back(
    lease: Lease[Route, Http1Connection],
    keep_alive: tuple[float | None, int | None],
    next_leg: Callable[[Lease[Route, Http1Connection]], None] | None,
) -> None:
    """The body has been read: the connection goes to its next user, if it can have one. For the arguments see ``BodyStream``."""
    connection = lease.resource
    reason = connection.recycle()
    if reason is not None:
        lease.discard(reason)
    elif connection.once:
        connection.once = False
        if next_leg is None:
            lease.discard(Discard.REFUSED)
        else:
            next_leg(lease)
    else:
        seconds, uses = keep_alive
        lease.release(keep_for=None if seconds is None else keep_for(seconds), uses_left=uses)


class BodyStream:
    """The payload of one response, and the lease of the connection it comes from.

    The natural end gives the connection back; anything else closes it. One thread reads; any other may close.

    Two things, each in a dict of its own out of which one thread can take it (``dict.pop`` is one step, and so is putting back),
    settle who does what:

    * The lease, while no thread uses it. A reader or a drain takes it, and puts it back if there is more.
    * The verdict: the right to decide how the connection ends. The lease's user takes it at the body's end or at a failure; a
      closer who finds the lease in use takes it before interrupting. The second to come knows by that what the first has done.

    The races, reader R against closer C:

    1. R takes the lease. C finds none, takes the verdict, interrupts the socket. R's read fails, finds the verdict gone, and says
       that the response was closed.
    2. R reads to the end and takes the verdict. C finds neither: it has nothing to do. It cannot interrupt the next borrower.
    3. C takes the verdict after R has read the end and before R takes it: the connection is about to be interrupted, so R does not
       give it back but closes it. R has the whole body all the same.
    4. R puts the lease back after C has found none, and then looks for the verdict. If C has it by then, R drains or closes for C.
       If C takes it later, C looks for the lease once more after interrupting, and finds it, or a reader who has it: see 1.

    Args:
        keep_alive: (seconds, uses) the server's Keep-Alive field allows; None where it does not say.
        clock: seconds, monotonic.
        next_leg: takes the connection at the body's end if only the next request of the same call may use it; None: there is none.

    Attributes:
        state: see ``BodyState``.
        trailers: the fields after a chunked body.
    """

    holds_connection = True

    __slots__ = ("_clock", "_connection", "_keep_alive", "_lease", "_next_leg", "_pool", "_verdict", "state", "trailers")

    def __init__(
        self,
        pool: Pool[Route, Http1Connection],
        lease: Lease[Route, Http1Connection],
        keep_alive: tuple[float | None, int | None] = (None, None),
        clock: Callable[[], float] = time.monotonic,
        next_leg: Callable[[Lease[Route, Http1Connection]], None] | None = None,
    ) -> None:
        self._pool = pool
        self._next_leg = next_leg
        self._connection = lease.resource
        self._lease = {"lease": lease}
        self._verdict = {"verdict": True}
        self._keep_alive = keep_alive
        self._clock = clock
        self.state = _OPEN
        self.trailers: list[tuple[bytes, bytes]] = []

    @property
    def ended(self) -> bool:
        """Whether the reader has had all of it; the connection is no longer this body's."""
        return self.state is _ENDED

    @property
    def unframed(self) -> int:
        """Bytes that come next, by the framing, with no frame between them; 0 if ``read`` is to be asked for what comes."""
        lease = self._lease.get("lease")
        return 0 if lease is None else lease.resource.unframed

    def read(self, size: int = PIECE) -> bytes:
        """The next piece of payload, ``b""`` at its end and ever after. With the last piece it may have ``ended`` already.

        Args:
            size: bytes that the reader wants; what came with the head may be more.

        Raises:
            RequestException: BodyReadTimeout, TotalTimeout, IncompleteBody, RemoteProtocolError, SSLError or ClientClosed;
                StreamConsumedError after ``close``.
        """
        lease = self._lease.pop("lease", None)
        if lease is None:
            return self._nothing_left()
        connection = lease.resource
        try:
            data = connection.read_body(size)
        except BaseException as error:
            self._give_up(lease, error)
            raise
        if connection.phase is OVER:
            self._finish(lease, _ENDED)
            return data
        self._put_back(lease)
        return data

    def read_pieces(self, size: int = PIECE) -> list[bytes]:
        """Like ``read``, but no piece is of two chunks; none at the end and ever after."""
        lease = self._lease.pop("lease", None)
        if lease is None:
            self._nothing_left()
            return []
        connection = lease.resource
        try:
            pieces = connection.read_pieces(size)
        except BaseException as error:
            self._give_up(lease, error)
            raise
        if connection.phase is OVER:
            self._finish(lease, _ENDED)
            return pieces
        self._put_back(lease)
        return pieces

    def read_into(self, view: memoryview) -> int | None:
        """Like ``read``, without a copy, into ``view``, which is not empty; how many bytes. None: ``read`` has to be asked now."""
        lease = self._lease.pop("lease", None)
        if lease is None:
            return None
        connection = lease.resource
        if connection.phase is OVER or not connection.unframed:
            self._put_back(lease)
            return None
        try:
            size = connection.read_body_into(view)
        except BaseException as error:
            self._give_up(lease, error)
            raise
        if connection.phase is OVER:
            self._finish(lease, _ENDED)
            return size
        self._put_back(lease)
        return size

    def _put_back(self, lease: Lease[Route, Http1Connection]) -> None:
        self._lease["lease"] = lease
        if not self._verdict:
            self.close()  # race 4

    def _nothing_left(self) -> bytes:
        if self.ended:
            return b""
        raise StreamConsumedError("this response was closed before the end of its body")

    def _give_up(self, lease: Lease[Route, Http1Connection], error: BaseException) -> None:
        self.state = _LOST
        closed_meanwhile = self._verdict.pop("verdict", None) is None  # race 1
        lease.discard(Discard.BROKEN)
        if self._pool.closed and isinstance(error, RequestException):
            message = "this client was closed while the response was being read"
            raise ClientClosed(message, may_have_executed=True) from error
        if closed_meanwhile and isinstance(error, RequestException):
            raise StreamConsumedError("this response was closed while it was being read") from error

    def _finish(self, lease: Lease[Route, Http1Connection], state: BodyState) -> None:
        connection = lease.resource
        self.trailers = connection.trailers
        self.state = state
        if self._verdict.pop("verdict", None) is None:
            lease.discard(Discard.BROKEN)  # race 3
            return
        give_back(lease, self._keep_alive, self._next_leg)

    def drain(self) -> bytes | None:
        """The rest of the payload if it is small and comes at once (64 KiB, 50 ms).

        None if there was too much, and the connection had to go; or if another thread is reading it.
        """
        return self._drain(for_connection=False)

    def _drain(self, *, for_connection: bool) -> bytes | None:
        """``for_connection``: the rest is of no interest, only what its end would leave: a connection for the next request."""
        lease = self._lease.pop("lease", None)
        if lease is None:
            return b"" if self.state is _ENDED or self.state is _DRAINED else None
        try:
            rest = self._read_small_rest(lease.resource, for_connection)
            if rest is not None:
                self._finish(lease, _DRAINED if rest else _ENDED)  # a reader that goes on has missed the rest: no end for it
                return rest
        except Exception:  # noqa: BLE001 - what is wrong with the rest does not matter: it will not be read
            pass
        except BaseException:
            self.state = _LOST
            lease.discard(Discard.BROKEN)
            raise
        self.state = _LOST
        self._verdict.pop("verdict", None)
        lease.discard(Discard.BROKEN)
        return None

    def _read_small_rest(self, connection: Http1Connection, for_connection: bool) -> bytes | None:
        if for_connection and not connection.may_be_kept:
            return None
        pieces: list[bytes] = []
        size = 0
        # A body that does not say where it ends may go on for ever: what is here of it is read, and nothing is waited for.
        at_once = for_connection and connection.remaining is None
        until = self._clock() + DRAIN_SECONDS
        while (connection.remaining or 0) <= DRAIN_BYTES and size <= DRAIN_BYTES and (left := until - self._clock()) > 0:
            piece = connection.read_body_within(0 if at_once else left)
            pieces.append(piece)
            size += len(piece)
            if connection.phase is OVER:
                return b"".join(pieces)
        return None

    def note_borrower(self) -> None:
        """The body will be read later: remember which line of the user's has asked for it."""
        lease = self._lease.get("lease")
        if lease is not None:
            lease.note_borrower()

    def close(self) -> None:
        """Give up on the rest. Idempotent.

        Keeps the connection if the rest is small and here, or if its length is known and it comes within 50 ms; else closes it.
        Nothing is waited for where the connection could not be kept anyway.

        Called while another thread reads, it ends that read with a StreamConsumedError.
        """
        # Not "if the lease is there": a reader that began between that look and the next line would never hear of it.
        if self._drain(for_connection=True) is None:
            self._interrupt_reader()

    def _interrupt_reader(self) -> None:
        if self._verdict.pop("verdict", None) is None:
            return  # race 2; or it was closed before
        interrupt(self._connection)
        self._drain(for_connection=True)  # race 4

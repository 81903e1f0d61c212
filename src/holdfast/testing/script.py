"""A connection whose other end is a script: what a fake server does with one sending of a request, said beforehand.

``ScriptedStream`` stands where a socket's stream stands. Above it all is real: the pool, the framing, the rules by which a request
is sent again, the errors. Waiting takes no time: it moves the call's clock (``CallTime``).
"""

from __future__ import annotations

import errno
import math
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from ..message.span import FilePart
from ..reasons import Discard

if TYPE_CHECKING:
    from ..routes import Route

READ_BYTES = 64 * 1024  # at once, as from a socket


class End(Enum):
    """How the server's end of a connection ends."""

    FIN = "fin"
    RST = "rst"


Said = bytes | float | End
"""Bytes that arrive; seconds in which nothing does (``math.inf``: nothing more); the end of the connection."""


@dataclass(frozen=True)
class Play:
    """What the server does with one sending of a request.

    Attributes:
        says: what arrives from it.
        delivered: whether the request reaches it. If not, it had closed before, and what it says is its FIN.
        early: whether it answers while the request is still being sent.
        takes: bytes of the request that it takes; None for all.
    """

    says: tuple[Said, ...]
    delivered: bool = True
    early: bool = False
    takes: int | None = None


class CallTime:
    """A call's clock: the client's, and the seconds that the call has spent in waits that took no time.

    It stands in the call's Deadline, so that redirects and ``Retries`` go on by it; a Call that waits to try again has it sleep.
    """

    __slots__ = ("_clock", "slept")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.slept = 0.0

    def __call__(self) -> float:
        return self._clock() + self.slept

    def sleep(self, seconds: float) -> None:
        """Let that much time go by."""
        self.slept += seconds


class Turn(Protocol):
    """A request that is being sent: what the streams in its way ask."""

    time: CallTime

    def next_play(self, heard: bytearray) -> Play:
        """What the server does with this sending. ``heard``: what will be written of it."""

    def finds_stale(self) -> bool:
        """Whether the server has closed the idle connection that is being looked at."""

    def dial_error(self, route: Route, until: float | None) -> Exception | None:
        """Why no connection comes about; None if one does."""


current: ContextVar[Turn | None] = ContextVar("holdfast.testing", default=None)
"""The request that this thread is sending."""


class ScriptedStream:
    """A ``ByteStream`` without a socket. Its ``begin_exchange`` asks the current turn for the play."""

    sends_files = False

    def __init__(self) -> None:
        self.clean_eof = True
        self.written = 0
        self.strays = False
        self.error: OSError | None = None
        self._eof = False
        self._play = Play(())
        self._says: Iterator[Said] = iter(())
        self._next: Said | None = None
        self._at = 0  # bytes of _next that have arrived: slicing what is left, each time, would copy a large body for each read
        self._time = CallTime(float)
        self._busy = self._asked = False
        self._heard = bytearray()

    @property
    def is_idle(self) -> bool:
        """Whether it is open, and no exchange is under way."""
        return not (self._busy or self._eof or self.error)

    def begin_exchange(self) -> None:
        """A request is about to be written."""
        turn = current.get()
        assert turn is not None, "a connection of a Fake is used by what is no call"
        self.written = 0
        self._time, self._heard = turn.time, bytearray()
        self._busy, self._asked = True, False
        self._play = turn.next_play(self._heard)
        self._says = iter(self._play.says)
        self._advance()

    def _advance(self) -> None:
        self._next, self._at = next(self._says, None), 0
        self._busy = self._busy and self._next is not None

    # -- reading -------------------------------------------------------------------------------------------------------

    def read(self, seconds: float | None) -> bytes:
        """What the server says next. Raises TimeoutError and OSError as a socket's stream does."""
        return self.read_up_to(READ_BYTES, seconds)

    def read_up_to(self, size: int, seconds: float | None) -> bytes:
        """At most ``size`` bytes of it."""
        self._asked = True
        left = seconds
        while not self._eof:
            if self.error is not None:
                raise self.error
            said = self._next
            if isinstance(said, bytes):
                return self._take(said, size)
            if isinstance(said, End):
                self._end(said)
                continue
            left = self._wait(math.inf if said is None else said, left)
        return b""

    def _take(self, said: bytes, size: int) -> bytes:
        taken = said[self._at : self._at + size]
        self._at += size
        if self._at >= len(said):
            self._advance()
        return taken

    def _end(self, how: End) -> None:
        self._advance()
        if how is End.FIN:
            self._eof = True
        else:
            self.error = ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")

    def _wait(self, pause: float, left: float | None) -> float | None:
        if left is None:
            if pause == math.inf:
                raise AssertionError("the faked server sends no more, and the call has no timeout: it would wait for ever")
            self._time.sleep(pause)
            self._advance()
            return None
        self._time.sleep(min(pause, left))
        if pause > left:
            self._next = pause - left
            raise TimeoutError(f"nothing to read for {left} s")
        self._advance()
        return left - pause

    def read_into(self, view: memoryview, seconds: float | None) -> int:
        """The same, into ``view``."""
        data = self.read_up_to(len(view), seconds)
        view[: len(data)] = data
        return len(data)

    def readable_now(self) -> bool:
        """Whether a read would not wait; a server that does not answer early has nothing to say before it was asked."""
        ready = self._eof or self.error is not None or isinstance(self._next, (bytes, End))
        return ready and (self._asked or (self._play.early and self.written > 0))

    # -- writing -------------------------------------------------------------------------------------------------------

    def write_some(self, data: bytes | memoryview) -> int:
        """Let the server take what it takes."""
        takes = self._play.takes
        size = len(data) if takes is None else min(len(data), takes - self.written)
        self._heard += data[:size]
        self.written += size
        return size

    def write_file(self, part: FilePart) -> int:
        """The same of a file."""
        return self.write_some(part.read())

    def wait_writable_or_readable(self, seconds: float | None) -> tuple[bool, bool]:
        """Neither: the server takes no more, and the call waits in vain."""
        self._time.sleep(seconds or 0.0)  # no play is without an end here: see Failure.check
        return False, False

    # -- what is known of the other end --------------------------------------------------------------------------------

    def probe(self, patience: float = 0) -> Discard | None:
        """Why the idle connection is unfit, if it is."""
        if self._eof or self.error is not None:
            return Discard.STALE
        if self._busy:
            return None
        turn = current.get()
        if turn is not None and turn.finds_stale():
            self._eof = True
            return Discard.STALE
        return None

    def hasten(self) -> None:
        """Nothing: there is no kernel."""

    def queued(self) -> bool:
        """False: what was written has arrived."""
        return False

    def acknowledged(self) -> bool:
        """True: what arrives is an answer."""
        return True

    def proven_undelivered(self) -> bool:
        """Whether the server had closed before the request reached it."""
        return self._eof and not self._play.delivered

    # -- the end -------------------------------------------------------------------------------------------------------

    def interrupt(self) -> None:
        """End the conversation."""
        self.clean_eof = False
        self.error = ConnectionAbortedError(errno.ECONNABORTED, "ended by this side")

    def close(self, *, polite: bool = True) -> None:
        """End it for good."""
        self._eof = True

    def forget(self) -> None:
        """The same: nothing is shared with another process."""
        self._eof = True

    def fileno(self) -> int:
        """-1: there is none."""
        return -1

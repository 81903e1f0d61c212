"""Who has what: Entry (one open connection), Lease (the right to use it), Waiter and Dial (the right to get one), Origin.

All but Lease belong to the pool and are guarded by its lock. A Lease is made before anything is taken for it, so
that whatever is taken has an owner from the first moment: if an exception strikes in between (a KeyboardInterrupt may, at any
line), the lease knows what has to go back.
"""

from __future__ import annotations

import sys
import threading
import warnings
from collections import OrderedDict
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..reasons import Discard
from .events import Utilisation
from .stats import Tally

if TYPE_CHECKING:
    from .pool import Pool

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")

PACKAGE = __name__.partition(".")[0]
NEVER = -1.0


class Entry(Generic[K, R]):
    """One open connection, from the end of its dial to its own end."""

    __slots__ = (
        "gone",
        "hinted",
        "hinted_uses",
        "idle_since",
        "idle_until",
        "leaked",
        "lent_at",
        "max_uses",
        "opened_at",
        "origin",
        "purpose",
        "reported",
        "resource",
        "retire_at",
        "thread",
        "uses",
        "where",
    )

    def __init__(
        self, origin: Origin[K, R], resource: R, now: float, retire_at: float | None, max_uses: int | None
    ) -> None:
        self.origin = origin
        self.resource = resource
        self.opened_at = now
        self.retire_at = retire_at
        self.max_uses = max_uses
        self.uses = 0
        self.gone = False  # not the pool's any more: closed, about to be, or its parent process's
        self.leaked = False  # its lease was dropped
        self.hinted = False  # idle_until is what the other end has asked for
        self.hinted_uses: int | None = None
        self.idle_since = NEVER
        self.idle_until: float | None = None
        self.lent_at = now
        self.purpose: Any = None
        self.thread = 0
        self.where: tuple[str, int] | None = None
        self.reported = 0.0  # the lent_at for which leak_after was reported

    def expired(self, now: float) -> Discard | None:
        """Why an idle connection must not be used any more, None if it may."""
        if self.idle_until is not None and now >= self.idle_until:
            return Discard.SERVER_HINT if self.hinted else Discard.IDLE_TIMEOUT
        if self.retire_at is not None and now >= self.retire_at:
            return Discard.LIFETIME
        return None

    @property
    def pristine(self) -> bool:
        """Whether it has just been opened: never used, never idle."""
        return not self.uses and self.idle_since == NEVER


class Waiter(Generic[K, R]):
    """A thread that waits for a connection. Its event is a lock it holds: cheaper than threading.Event."""

    __slots__ = ("asked_at", "dial", "error", "event", "fresh", "gone", "lease", "origin", "purpose", "queued", "thread", "ticket")

    def __init__(
        self, origin: Origin[K, R], lease: Lease[K, R], fresh: bool, purpose: Any, ticket: int, asked_at: float
    ) -> None:
        self.origin = origin
        self.lease = lease
        self.fresh = fresh
        self.purpose = purpose
        self.thread = threading.get_ident()
        self.ticket = ticket
        self.asked_at = asked_at
        self.queued = False  # had to wait for room under the limits
        self.dial: Dial[K, R] | None = None  # the slot it was granted
        self.error: BaseException | None = None
        self.gone = False  # has what it wanted, or gave up
        self.event = threading.Lock()
        self.event.acquire()

    @property
    def settled(self) -> bool:
        """Whether it has a connection or an error."""
        lease = getattr(self, "lease", None)
        return lease is None or lease._entry is not None or self.error is not None

    def has(self, entry: Entry[K, R]) -> bool:
        """Whether it is being given this connection: its lease has it, or it has already gone with it."""
        lease = getattr(self, "lease", None)
        return lease is None or lease._entry is entry

    def let_go(self) -> None:
        """Part with the lease, which is its owner's alone now: a dial that still runs would keep it alive."""
        self.lease._waiter = None
        del self.lease

    def wake(self) -> None:
        """Let it look again. Called under the pool's lock, after what it is woken for was written down."""
        if self.event.locked():
            self.event.release()

    def sleep(self, seconds: float | None) -> bool:
        """Whether it was woken within ``seconds``."""
        if seconds is None:
            return self.event.acquire()
        return self.event.acquire(timeout=min(seconds, threading.TIMEOUT_MAX))


class Dial(Generic[K, R]):
    """A slot in which a connection is being opened, or may be.

    Until it has begun it can be cancelled, and its slot given back; from then on the slot is its own until it ends.
    """

    __slots__ = ("admitted", "begun", "cancelled", "errand", "origin", "until", "waiter")

    def __init__(self, origin: Origin[K, R], waiter: Waiter[K, R] | None, errand: Errand | None = None) -> None:
        self.origin = origin
        self.waiter = waiter  # who asked for it; None for a connection that is to be idle
        self.errand = errand
        self.until: float | None = None
        self.begun = False
        self.admitted = False  # its slot has become a connection's
        self.cancelled = False


class Errand:
    """Several dials somebody waits for together."""

    __slots__ = ("errors", "event", "left", "opened")

    def __init__(self) -> None:
        self.left = 0
        self.opened = 0
        self.errors: list[BaseException] = []
        self.event = threading.Event()

    def done(self, error: BaseException | None) -> None:
        """One of the dials has ended."""
        self.left -= 1
        if error is None:
            self.opened += 1
        else:
            self.errors.append(error)
        if self.left <= 0:
            self.event.set()


class Origin(Generic[K, R]):
    """What the pool knows of one key."""

    __slots__ = (
        "dials",
        "idle",
        "key",
        "leased",
        "queued",
        "refill_at",
        "refill_delay",
        "tally",
        "utilisation",
        "waiting",
    )

    def __init__(self, key: K) -> None:
        self.key = key
        self.tally = Tally()
        self.idle: dict[Entry[K, R], None] = {}  # in the order of their return: the last is the freshest
        self.leased = 0
        self.dials: set[Dial[K, R]] = set()
        # Everyone who waits, in order of arrival; and of these, the ones that have no slot to dial in.
        self.waiting: OrderedDict[Waiter[K, R], None] = OrderedDict()
        self.queued: OrderedDict[Waiter[K, R], None] = OrderedDict()
        self.refill_at = 0.0
        self.refill_delay = 0.0
        self.utilisation = Utilisation()

    @property
    def open(self) -> int:
        """Slots in use."""
        return len(self.idle) + self.leased + len(self.dials)

    @property
    def busy(self) -> int:
        """Slots in which something is going on."""
        return self.leased + len(self.dials)

    @property
    def spare_dials(self) -> int:
        """Dials under way that nobody waits for any more: who comes next takes what they bring, and needs no dial of its own."""
        return sum(dial.waiter is None or dial.waiter.gone for dial in self.dials) if self.dials else 0

    def unused(self) -> bool:
        """Whether nothing is open and nobody waits."""
        return not (self.idle or self.leased or self.dials or self.waiting)


class Lease(Generic[K, R]):
    """The right to use one connection until ``release`` or ``discard``, whichever is called first, once.

    Attributes:
        resource: the connection.
        reused: it had been used before, or kept idle: the other end may have had a reason to close it.
        idle: seconds it had been idle before this use; None when it is fresh.
    """

    __slots__ = ("__weakref__", "_entry", "_pool", "_waiter", "idle", "resource", "reused")

    resource: R

    def __init__(self, pool: Pool[K, R]) -> None:
        self._pool = pool
        self._entry: Entry[K, R] | None = None
        self._waiter: Waiter[K, R] | None = None
        self.reused = False
        self.idle: float | None = None

    def release(self, *, keep_for: float | None = None, uses_left: int | None = None) -> None:
        """Give the connection back for others to use.

        Args:
            keep_for: seconds the other end has said it will keep it; the pool's own idle timeout may be shorter.
            uses_left: how many more uses the other end allows.
        """
        self._pool._give_back(self, keep_for, uses_left)

    def discard(self, reason: Discard) -> None:
        """Close the connection and give its slot back."""
        self._pool._throw_away(self, reason)

    def note_borrower(self) -> None:
        """Remember the line outside this package that is being executed: it will hold the connection for a while.

        Costs as much as there are frames in between, so only for what outlives the call: a response that is streamed.
        """
        entry = self._entry
        if entry is not None:
            entry.where = calling_line(sys._getframe(1))

    @property
    def active(self) -> bool:
        """Whether this lease still holds its connection."""
        return self._entry is not None

    def __del__(self) -> None:
        try:
            entry = self._entry
        except AttributeError:
            return  # not even __init__ was finished
        if entry is None or entry.gone:
            return
        entry.leaked = True  # if something interrupts here, the next sweep sees to it
        where, what = entry.where, entry.purpose
        self._pool._leaked(entry)
        if not sys.is_finalizing():
            _warn_of_leak(self._pool._describe(what) if what is not None else str(entry.origin.key), where)


def _warn_of_leak(what: str, where: tuple[str, int] | None) -> None:
    """A ResourceWarning that is shown at the line which borrowed the connection."""
    message = (
        f"the connection for {what} was dropped while in use{at(where)}; it had to be closed. "
        "Read the response to its end, close it, or use it as a context manager."
    )
    filename, line = where or (__file__, 0)
    warnings.warn_explicit(message, ResourceWarning, filename, line)


def calling_line(frame: Any) -> tuple[str, int] | None:
    """(file, line) of the innermost caller outside this package; None if there is none."""
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name != PACKAGE and not name.startswith(PACKAGE + "."):
            return frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back
    return None


def at(where: tuple[str, int] | None) -> str:
    """`` (borrowed at file:line)``, or nothing if that is not known."""
    return "" if where is None else f" (borrowed at {where[0]}:{where[1]})"

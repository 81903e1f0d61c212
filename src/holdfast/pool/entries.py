"""Who has what: PooledConnection, Lease (the right to use one), Waiter and Dial (the right to get one), Origin.

All but Lease belong to the pool and are guarded by its lock. A Lease is made before anything is taken for it, so
that whatever is taken has an owner from the first moment: if an exception strikes in between (a KeyboardInterrupt may, at any
line), the lease knows what has to go back.
"""

from __future__ import annotations

import sys
import warnings
from collections import OrderedDict
from collections.abc import Callable, Hashable
from enum import Enum
from itertools import islice
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar

from ..reasons import Discard
from .borrower import Where, current_line
from .events import Utilisation
from .learning import Learned
from .tally import Tally

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")

NEVER = -1.0  # the idle_since of a connection that was never idle


class ConnectionState(Enum):
    """Where a connection is.

    ====== ======================================== ====================================================================
    state  it is in                                 and becomes
    ====== ======================================== ====================================================================
    LEASED ``PoolState.leased``                     IDLE when it is given back and no waiter wants it; CLOSED when it is
                                                    thrown away, leaked, too old or surplus; it stays LEASED, with another
                                                    lease, when a waiter is given it
    IDLE   ``PoolState.idle`` and ``Origin.idle``   LEASED when it is taken, or probed by upkeep; CLOSED when it is too old,
                                                    found stale, or when its slot is needed
    CLOSED nowhere                                  nothing: it is closed, about to be, or its parent process's
    ====== ======================================== ====================================================================
    """

    LEASED = "leased"
    IDLE = "idle"
    CLOSED = "closed"


class WaiterState(Enum):
    """How far a waiter has come.

    ======= =========================================== ================================================================
    state   it is in                                    and becomes
    ======= =========================================== ================================================================
    QUEUED  ``Origin.waiting`` and ``Origin.queued``    GRANTED when it is given a slot to dial in; SERVED; LEFT
    GRANTED ``Origin.waiting``                          SERVED by its own dial or a connection given back before; LEFT
    SERVED  neither                                     nothing: its lease has a connection, or it has an error
    LEFT    neither                                     nothing: it has given up
    ======= =========================================== ================================================================
    """

    QUEUED = "queued"
    GRANTED = "granted"
    SERVED = "served"
    LEFT = "left"


class DialState(Enum):
    """How far a dial has come. It has a slot, being in ``Origin.dials``, while it is PLANNED or BEGUN.

    ========= ==========================================================================================================
    state     and becomes
    ========= ==========================================================================================================
    PLANNED   BEGUN when its thread runs; CANCELLED when its waiter needs it no more
    BEGUN     ADMITTED when it has opened a connection, which takes over the slot; FAILED; it cannot be cancelled
    ADMITTED  nothing
    FAILED    nothing
    CANCELLED nothing: its thread, should it run, ends without a connection
    ========= ==========================================================================================================
    """

    PLANNED = "planned"
    BEGUN = "begun"
    ADMITTED = "admitted"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Need(Enum):
    """Which connections a borrower can use.

    ======= ============================================================================================================
    ANY     whatever passes its probe: should it have ended all the same, the use can be repeated on another
    TRUSTED one that is well clear of the moment at which the origin is known to close (``Origin.trusts``), or a new one
    FRESH   a new one
    ======= ============================================================================================================
    """

    ANY = "any"
    TRUSTED = "trusted"
    FRESH = "fresh"


# Looked up once here: an attribute of an Enum's class costs more than a global name, and acquire and release look at these.
# Each line names all members of its class, in their order there.
LEASED, IDLE, CLOSED = ConnectionState
QUEUED, GRANTED, SERVED, LEFT = WaiterState
PLANNED, BEGUN, ADMITTED, FAILED, CANCELLED = DialState
ANY, TRUSTED, FRESH = Need
IDLE_TIMEOUT = Discard.IDLE_TIMEOUT

MAX_LOOKED_AT = 8  # idle connections, the freshest first, for one that is trusted


class PooledConnection(Generic[K, R]):
    """One open connection, from the end of its dial to its own end."""

    __slots__ = (
        "borrower",
        "hinted_uses",
        "idle_reason",
        "idle_since",
        "idle_until",
        "leaked",
        "lent_at",
        "max_uses",
        "opened_at",
        "origin",
        "purpose",
        "replace_until",
        "reported",
        "resource",
        "retire_at",
        "state",
        "uses",
        "where",
        "witness",
    )

    def __init__(
        self, origin: Origin[K, R], resource: R, now: float, retire_at: float | None, max_uses: int | None
    ) -> None:
        self.origin = origin
        self.resource = resource
        self.state: ConnectionState = LEASED
        self.opened_at = now
        self.retire_at = retire_at
        self.max_uses = max_uses
        self.uses = 0
        self.leaked = False  # its lease was dropped
        self.hinted_uses: int | None = None
        self.idle_since = NEVER
        self.idle_until: float | None = None
        self.idle_reason = IDLE_TIMEOUT  # why it goes at idle_until
        self.replace_until: float | None = None  # by another that is ready for use, as long as it is not used itself
        self.witness = NEVER  # the idle_since of the last time it was idle and bore witness for Learned
        self.lent_at = now
        self.purpose: Any = None
        self.borrower = 0
        self.where: Where | None = None
        self.reported = 0.0  # the lent_at for which leak_after was reported

    def expired(self, now: float) -> Discard | None:
        """Why an idle connection must not be used any more, None if it may."""
        if self.idle_until is not None and now >= self.idle_until:
            return self.idle_reason
        if self.retire_at is not None and now >= self.retire_at:
            return Discard.LIFETIME
        return None

    def worn_out(self, keep_for: float | None, uses_left: int | None, now: float) -> Discard | None:
        """Why a connection that is given back must not be used again, None if it may. See ``Lease.release``."""
        if keep_for is not None and keep_for <= 0:
            return Discard.SERVER_HINT
        if uses_left is not None and (self.hinted_uses is None or self.uses + uses_left < self.hinted_uses):
            self.hinted_uses = self.uses + uses_left  # some servers count down, others repeat their setting: the least counts
        if self.hinted_uses is not None and self.uses >= self.hinted_uses:
            return Discard.SERVER_HINT
        if self.max_uses is not None and self.uses >= self.max_uses:
            return Discard.LIFETIME
        return Discard.LIFETIME if self.retire_at is not None and now >= self.retire_at else None

    @property
    def pristine(self) -> bool:
        """Whether it has just been opened: never used, never idle."""
        return not self.uses and self.idle_since == NEVER


class Waiter(Generic[K, R]):
    """A borrower that waits for a connection. How it is woken is its subclass's business: the driver brings it."""

    __slots__ = ("asked_at", "dial", "error", "lease", "need", "origin", "purpose", "state", "ticket")

    def __init__(
        self, origin: Origin[K, R], lease: Lease[K, R], need: Need, purpose: Any, ticket: int, asked_at: float
    ) -> None:
        self.origin = origin
        self.lease = lease
        self.need = need
        self.purpose = purpose
        self.ticket = ticket
        self.asked_at = asked_at
        self.state: WaiterState = QUEUED
        self.dial: Dial[K, R] | None = None  # the slot it was granted
        self.error: BaseException | None = None

    def wake(self) -> None:
        """Let it look again. Called under the pool's lock, after what it is woken for was written down."""
        raise NotImplementedError

    @property
    def waiting(self) -> bool:
        """Whether it still wants something."""
        return self.state is QUEUED or self.state is GRANTED

    @property
    def served(self) -> bool:
        """Whether it has a connection or an error. The waiter itself asks this, without the lock."""
        lease = getattr(self, "lease", None)
        return lease is None or lease.held is not None or self.error is not None

    def accepts(self, connection: PooledConnection[K, R], now: float) -> bool:
        """Whether it can use this connection; a pristine one is fresh enough for every need."""
        if self.need is ANY or connection.pristine:
            return True
        return self.need is TRUSTED and self.origin.trusts(connection, now)

    @property
    def listens(self) -> bool:
        """Whether it would notice being given a connection: not while it dials itself. Of each origin, one at most does that."""
        return self.dial is None or not self.dial.in_caller

    def has(self, connection: PooledConnection[K, R]) -> bool:
        """Whether it is being given this connection: its lease has it, or the waiter has already gone with it."""
        lease = getattr(self, "lease", None)
        return lease is None or lease.held is connection

    def let_go(self) -> None:
        """Part with the lease, which is its owner's alone now: a dial that still runs would keep it alive."""
        self.lease.waiter = None
        del self.lease


class Dial(Generic[K, R]):
    """A slot in which a connection is being opened, or may be: see ``DialState``."""

    __slots__ = ("group", "in_caller", "origin", "replace_until", "state", "until", "waiter")

    def __init__(
        self,
        origin: Origin[K, R],
        waiter: Waiter[K, R] | None,
        group: DialGroup | None = None,
        replace_until: float | None = None,
        in_caller: bool = False,
    ) -> None:
        self.origin = origin
        self.waiter = waiter  # asked for it; None for a connection that is to be idle
        self.group = group
        self.replace_until = replace_until  # see PooledConnection
        self.in_caller = in_caller  # its waiter's own thread opens it
        self.until: float | None = None
        self.state: DialState = PLANNED

    @property
    def has_slot(self) -> bool:
        """Whether a connection is being opened in its slot, or may be."""
        return self.state is PLANNED or self.state is BEGUN

    @property
    def unclaimed(self) -> bool:
        """Whether no waiter waits for it, or none waits any more: what it opens is for the next in line."""
        return self.waiter is None or not self.waiter.waiting

    def end(self, error: BaseException | None) -> None:
        """Tell its group, once."""
        if self.group is not None:
            self.group.one_ended(error)
            self.group = None


class DialGroup:
    """Several dials that one caller waits for together. ``wake`` is called when the last of them has ended."""

    __slots__ = ("errors", "left", "opened", "wake")

    def __init__(self, wake: Callable[[], object]) -> None:
        self.wake = wake
        self.left = 0
        self.opened = 0
        self.errors: list[BaseException] = []

    def one_ended(self, error: BaseException | None) -> None:
        """One of the dials has ended."""
        self.left -= 1
        if error is None:
            self.opened += 1
        else:
            self.errors.append(error)
        if self.left <= 0:
            self.wake()


class Origin(Generic[K, R]):
    """What the pool knows of one key."""

    __slots__ = (
        "dials",
        "idle",
        "key",
        "lasting",
        "learned",
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
        self.idle: dict[PooledConnection[K, R], None] = {}  # in the order of their return: the last is the freshest
        self.leased = 0
        self.dials: set[Dial[K, R]] = set()
        # All waiters, in order of arrival; and of these, the ones that have no slot to dial in.
        self.waiting: OrderedDict[Waiter[K, R], None] = OrderedDict()
        self.queued: OrderedDict[Waiter[K, R], None] = OrderedDict()
        self.refill_at = 0.0
        self.refill_delay = 0.0
        self.utilisation = Utilisation()
        self.lasting = False  # a connection was seen to outlive a use: see look_longer
        self.learned: Learned | None = None  # None until a connection has ended by itself

    @property
    def open(self) -> int:
        """Slots in use."""
        return len(self.idle) + self.leased + len(self.dials)

    @property
    def busy(self) -> int:
        """Slots in which something is going on."""
        return self.leased + len(self.dials)

    @property
    def unclaimed_dials(self) -> int:
        """Dials under way whose connection the next in line will be given: it needs no dial of its own."""
        return sum(dial.unclaimed for dial in self.dials) if self.dials else 0

    @property
    def dials_for_idle(self) -> int:
        """Dials under way that no waiter has asked for: what they open is to be idle."""
        return sum(dial.waiter is None for dial in self.dials)

    def trusts(self, connection: PooledConnection[K, R], now: float) -> bool:
        """Whether the other end is hardly closing this connection now. One that was never used has its own time: ``UNUSED``."""
        learned = self.learned
        return learned is None or not connection.uses or learned.trusts(now - connection.idle_since, connection.uses)

    def trusted_first(self, now: float) -> bool:
        """Make the freshest idle connection that is trusted the next to be taken; False if there is none among the first few."""
        for connection in islice(reversed(self.idle), MAX_LOOKED_AT):
            if self.trusts(connection, now) and connection.expired(now) is None:
                self.idle[connection] = self.idle.pop(connection)
                return True
        self.tally.avoided += 1
        return False

    def unused(self) -> bool:
        """Whether nothing is open and no waiter waits."""
        return not (self.idle or self.leased or self.dials or self.waiting)


class Mutex(Protocol):
    """What the driver's lock can do; ``threading.Lock`` can."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool: ...
    def release(self) -> None: ...
    def locked(self) -> bool: ...
    def __enter__(self) -> bool: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


class LeaseOwner(Protocol[K, R]):
    """To whom a Lease goes back: the pool."""

    def give_back(self, lease: Lease[K, R], keep_for: float | None, uses_left: int | None) -> None:
        """See ``Lease.release``."""

    def throw_away(self, lease: Lease[K, R], reason: Discard) -> None:
        """See ``Lease.discard``."""

    def take_back_leaked(self, connection: PooledConnection[K, R]) -> None:
        """The lease of ``connection`` is being collected as garbage."""

    def leak_warning(self, connection: PooledConnection[K, R]) -> str:
        """What the ResourceWarning about it says."""


class Lease(Generic[K, R]):
    """The right to use one connection until ``release`` or ``discard``, whichever is called first, once.

    Attributes:
        resource: the connection.
        reused: it had been used before, or kept idle: the other end may have had a reason to close it.
        idle: seconds it had been idle before this use; None when it is fresh.
        borrower: the thread for which it was taken, by its ident.
        returned_at: the moment at which it went back; not there before.
        held, waiter: the pool's: what this lease holds, and who waits for it to hold something.
    """

    __slots__ = ("__weakref__", "_owner", "borrower", "held", "idle", "resource", "returned_at", "reused", "waiter")

    resource: R
    returned_at: float

    def __init__(self, owner: LeaseOwner[K, R], borrower: int) -> None:
        self._owner = owner
        self.borrower = borrower
        self.held: PooledConnection[K, R] | None = None
        self.waiter: Waiter[K, R] | None = None
        self.reused = False
        self.idle: float | None = None

    def release(self, *, keep_for: float | None = None, uses_left: int | None = None) -> None:
        """Give the connection back for others to use.

        Args:
            keep_for: seconds the other end has said it will keep it; the pool's own idle timeout may be shorter.
            uses_left: how many more uses the other end allows.
        """
        self._owner.give_back(self, keep_for, uses_left)

    def discard(self, reason: Discard) -> None:
        """Close the connection and give its slot back."""
        self._owner.throw_away(self, reason)

    def note_borrower(self) -> None:
        """Remember the line outside this package that is being executed: it will hold the connection for a while.

        Costs as much as there are frames in between, so only for what outlives the call that acquired it.
        """
        held = self.held
        if held is not None:
            held.where = current_line()

    @property
    def active(self) -> bool:
        """Whether this lease still holds its connection."""
        return self.held is not None

    def __del__(self) -> None:
        try:
            held = self.held
        except AttributeError:
            return  # not even __init__ was finished
        if held is None or held.state is CLOSED:
            return
        held.leaked = True  # if an exception strikes here, the next sweep takes the connection back
        where = held.where
        self._owner.take_back_leaked(held)
        if not sys.is_finalizing():
            filename, line = where or (__file__, 0)  # the warning is shown at the line which borrowed the connection
            warnings.warn_explicit(self._owner.leak_warning(held), ResourceWarning, filename, line)

"""Holdings: what a pool holds under its lock, and what it notes about it: events, back-off, what ends teach. No moves.

``PoolState`` moves these things; its docstring has the laws.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Generic

from .deferred import Action, Announce
from .entries import IDLE, K, Mutex, Origin, PooledConnection, R, Waiter
from .events import Announcer, Utilisation
from .learning import AT_ONCE_SECONDS, Learned
from .limits import Limits
from .tally import Tally

# Seconds until the next attempt to keep connections ready for a server that does not want them: the first, the longest.
MIN_BACK_OFF_SECONDS, MAX_BACK_OFF_SECONDS = 1.0, 60.0


class Holdings(Generic[K, R]):
    """The state of a pool.

    Args:
        limits: see ``Limits``.
        clock: seconds, monotonic.
        news: whether an event is worth noting.
        new_lock: makes the lock, and a new one in a forked child.
        new_waiter: makes a waiter that knows how it is woken.
        dials_in_callers: whether a waiter may open its connection itself, where no other can be given to it meanwhile.
        closed_error: makes the error that a closed pool raises; called under the lock.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        clock: Callable[[], float],
        news: Announcer,
        new_lock: Callable[[], Mutex],
        new_waiter: type[Waiter[K, R]],
        dials_in_callers: bool,
        closed_error: Callable[[], Exception],
    ) -> None:
        self.limits = limits
        self.clock = clock
        self.news = news
        self._new_lock = new_lock
        self.new_waiter = new_waiter
        self.dials_in_callers = dials_in_callers
        self.closed_error = closed_error
        self.closed = False
        self.reset()

    def reset(self) -> None:
        """Forget all connections, without closing them. A closed pool stays closed."""
        self.lock = self._new_lock()
        # Everything below, and what it refers to, is guarded by the lock.
        self.origins: dict[K, Origin[K, R]] = {}
        self.idle: OrderedDict[PooledConnection[K, R], None] = OrderedDict()  # of all origins, longest idle first
        self.leased: set[PooledConnection[K, R]] = set()
        self.open = 0
        self.starved: OrderedDict[Origin[K, R], None] = OrderedDict()  # have room of their own, but the total is full
        self.past = Tally()  # of origins no longer remembered
        self.near_limit: dict[Origin[K, R], None] = {}  # upkeep looks at their utilisation
        self.utilisation = Utilisation()  # of the total; Origin has its own
        self.watched = False  # the keeper has been asked to sweep
        self.unused: OrderedDict[Origin[K, R], None] = OrderedDict()
        self.tickets = 0
        # A deque needs no lock of its own: finalizers append to it, too.
        self.deferred: deque[Action] = deque()

    # -- facts and notes -----------------------------------------------------------------------------------------------

    def origin_full(self, origin: Origin[K, R]) -> bool:
        """Whether the limit per origin is reached."""
        cap = self.limits.max_connections_per_origin
        return cap is not None and origin.open >= cap

    def back_off(self, origin: Origin[K, R]) -> None:
        """Do not keep connections ready for a server that does not want them: try again after twice as long each time."""
        origin.refill_delay = min(MAX_BACK_OFF_SECONDS, max(MIN_BACK_OFF_SECONDS, 2 * origin.refill_delay))
        origin.refill_at = self.clock() + origin.refill_delay

    def note_event(
        self,
        kind: str,
        key: K | None,
        *,
        reason: str = "",
        seconds: float | None = None,
        text: str = "",
        warn: bool = False,
        purpose: object = None,
    ) -> None:
        """Have an event told, if there is a listener or it is worth a warning. ``key``: None for all origins together."""
        if warn or self.news.active:
            self.deferred.append(Announce(kind, key, reason, seconds, text, warn, purpose))

    # -- learning ------------------------------------------------------------------------------------------------------

    def saw_end(self, origin: Origin[K, R], idle: float, uses: int) -> None:
        """The other end has closed a connection ``idle`` seconds after its ``uses``-th use."""
        if uses > 0 and self.limits.learn:
            origin.learned = origin.learned or Learned()
            origin.learned.ended(idle, uses)
            origin.lasting = origin.lasting and idle >= AT_ONCE_SECONDS
            self._tell_learned(origin, origin.learned)

    def saw_served(self, origin: Origin[K, R], learned: Learned, idle: float | None, uses: int) -> None:
        """A connection that had been idle for so long has been through its ``uses``-th use."""
        if learned.served(idle or 0.0, uses):
            self._tell_learned(origin, learned)

    def saw_alive(self, connection: PooledConnection[K, R], now: float) -> None:
        """A look has found an idle connection alive: what it refutes, it refutes once in each idle period."""
        origin, learned, idle = connection.origin, connection.origin.learned, now - connection.idle_since
        if learned is None or connection.state is not IDLE or connection.witness == connection.idle_since:
            return
        connection.witness = connection.idle_since
        learned.lived(idle, connection.uses)
        self._tell_learned(origin, learned)

    def _tell_learned(self, origin: Origin[K, R], learned: Learned) -> None:
        news = learned.news()
        if news is not None:
            reason, seconds, text = news
            self.note_event("learned", origin.key, reason=reason, seconds=seconds, text=text)
        if learned.empty:
            origin.learned = None

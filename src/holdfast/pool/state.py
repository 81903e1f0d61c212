"""Slots: who holds what, who waits, who is next. The pool's state and every move in it, to be called under the pool's lock.

Nothing here blocks or calls back. What is to be done without the lock is appended to ``_after``.

Laws:

1. A slot is the right to have one connection open. Dials, idle and leased connections each hold one; it is given back when
   the connection is doomed or the dial has failed.
2. No idle connection where somebody waits: ``origin.idle`` and ``origin.queued`` are never both filled, nor ``_idle`` and
   ``_starved``. So a newcomer who finds an idle connection or room overtakes nobody.
3. Whoever frees a slot calls ``_serve`` before the lock is let go.
4. Whatever exception strikes in the middle of a move (KeyboardInterrupt, MemoryError, RecursionError), ``_mend`` throws away the
   connection that was being moved, finishes what was begun for others and counts everything anew.

Who is served first. Within an origin: the one who waits longest (FIFO). Connections are reused freshest first (LIFO), so that the
others can grow old and go. Under ``max_connections`` origins compete: the longest-idle connection of any origin makes room,
and origins that wait for room take turns.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from threading import get_ident
from typing import TYPE_CHECKING, Any, Generic

from ..exceptions import ClientClosed
from ..reasons import Discard
from .entries import Dial, Entry, Errand, K, Lease, Origin, R, Waiter
from .events import SATURATED, SLOW_WAIT, Announcer, PoolEvent
from .stats import Tally

if TYPE_CHECKING:
    from .limits import Limits

MAX_UNUSED_ORIGINS = 1000  # origins with nothing open whose figures are kept apart
FIRST_BACK_OFF, LONGEST_BACK_OFF = 1.0, 60.0  # seconds until the next attempt to keep connections ready
SLOW_WAIT_ADVICE = "raise max_connections_per_origin (or max_connections), or read and close streamed responses sooner"

# Reasons for which a connection that nobody ever used went: the other end does not want to keep it.
BY_THE_OTHER_END = frozenset({Discard.STALE, Discard.UNSOLICITED, Discard.BROKEN})


class Slots(Generic[K, R]):
    """The state of a pool. See ``Pool`` for the arguments."""

    limits: Limits
    _clock: Callable[[], float]
    _close: Callable[[R, Discard], None]
    _news: Announcer
    _describe: Callable[[Any], str]

    def _reset(self) -> None:
        self._lock = threading.Lock()
        # Everything below is guarded by the lock.
        self._origins: dict[K, Origin[K, R]] = {}
        self._idle: OrderedDict[Entry[K, R], None] = OrderedDict()  # of all origins, longest idle first
        self._leased: set[Entry[K, R]] = set()
        self._open = 0
        self._unused: OrderedDict[Origin[K, R], None] = OrderedDict()
        self._past = Tally()  # of origins no longer remembered
        self._starved: OrderedDict[Origin[K, R], None] = OrderedDict()  # have room of their own, but the total is full
        self._hot: dict[Origin[K, R], None] = {}  # have been near their limit: upkeep looks at their utilisation
        self._tickets = 0
        self._closed = False
        # What is to be done without the lock, as (function, arguments...). A deque needs no lock of its own.
        self._after: deque[tuple[Any, ...]] = deque()

    # -- taking --------------------------------------------------------------------------------------------------------

    def _take(self, lease: Lease[K, R], key: K, fresh: bool, purpose: Any) -> Waiter[K, R] | None:
        """An idle connection for the lease, or else a place in the queue, with a slot if there is room."""
        if self._closed:
            raise closed_error()
        origin = self._origins.get(key)
        if origin is None:
            origin = self._origins[key] = Origin(key)
        if origin.idle and not fresh and self._take_idle(lease, origin, purpose):
            return None
        return self._queue(origin, lease, fresh, purpose)

    def _take_idle(self, lease: Lease[K, R], origin: Origin[K, R], purpose: Any) -> bool:
        now = self._clock()
        while origin.idle:
            entry, _ = origin.idle.popitem()
            lease._entry = entry
            del self._idle[entry]
            reason = entry.expired(now)
            if reason is None:
                self._leased.add(entry)
                origin.leased += 1
                entry.uses += 1
                entry.lent_at = now
                entry.purpose = purpose
                entry.thread = get_ident()
                lease.resource = entry.resource
                lease.idle = now - entry.idle_since
                lease.reused = True
                return True
            self._doom(entry, reason, now - entry.idle_since)
            lease._entry = None
            self._open -= 1
        return False

    def _queue(self, origin: Origin[K, R], lease: Lease[K, R], fresh: bool, purpose: Any) -> Waiter[K, R]:
        self._unused.pop(origin, None)
        self._tickets += 1
        waiter = Waiter(origin, lease, fresh, purpose, self._tickets, self._clock())
        lease._waiter = waiter
        origin.waiting[waiter] = None
        if len(origin.queued) >= origin.spare_dials and self._claim_slot(origin, fresh):
            self._grant(waiter)
        else:
            waiter.queued = True
            origin.queued[waiter] = None
            self._note_starved(origin)
        return waiter

    # -- slots ---------------------------------------------------------------------------------------------------------

    def _origin_full(self, origin: Origin[K, R]) -> bool:
        cap = self.limits.max_connections_per_origin
        return cap is not None and origin.open >= cap

    def _claim_slot(self, origin: Origin[K, R], fresh: bool) -> bool:
        """Make room for one more connection, at the cost of an idle one if need be; whether that was possible."""
        if self._origin_full(origin):
            if not (fresh and origin.idle):
                return False
            self._drop_idle(next(iter(origin.idle)), Discard.SURPLUS)
        cap = self.limits.max_connections
        if cap is not None and self._open >= cap:
            if not self._idle:
                return False
            self._drop_idle(next(iter(self._idle)), Discard.SURPLUS)
        return True

    def _grant(self, waiter: Waiter[K, R]) -> None:
        """Give a slot, of which ``_claim_slot`` has said that it is there."""
        waiter.dial = Dial(waiter.origin, waiter)
        self._occupy(waiter.dial)

    def _occupy(self, dial: Dial[K, R]) -> None:
        dial.origin.dials.add(dial)
        self._open += 1

    def _vacate(self, dial: Dial[K, R]) -> bool:
        """Give the slot of a dial back; False if it has none (any more, or since a fork)."""
        origin = dial.origin
        if dial not in origin.dials or self._origins.get(origin.key) is not origin:
            return False
        origin.dials.remove(dial)
        self._open -= 1
        return True

    def _claim_for_idle(
        self, origin: Origin[K, R], count: int, errand: Errand | None, dials: list[Dial[K, R]]
    ) -> None:
        """Slots for up to ``count`` connections that are to be idle, into ``dials``. Nobody is displaced, nor overtaken."""
        limits = self.limits
        under_way = sum(dial.waiter is None for dial in origin.dials)
        bounds = (
            (limits.max_connections_per_origin, origin.open),
            (limits.max_connections, self._open),
            (limits.max_idle_per_origin, len(origin.idle) + under_way),
            (limits.max_idle_connections, len(self._idle) + under_way),
        )
        room = min([count, *(bound - used for bound, used in bounds if bound is not None)])
        if errand is not None:
            errand.left = max(room, 0)
        for _ in range(room):
            self._unused.pop(origin, None)
            dials.append(Dial(origin, None, errand))
            self._occupy(dials[-1])

    def _call_off(self, dials: list[Dial[K, R]]) -> None:
        """Those that have not begun will not, and their slots go to others."""
        for dial in dials:
            if not dial.begun:
                dial.cancelled = True
                self._vacate(dial)
                self._serve(dial.origin)

    # -- serving -------------------------------------------------------------------------------------------------------

    def _wants_slot(self, origin: Origin[K, R]) -> bool:
        """Whether more threads wait than dials are under way for nobody in particular, and there is room for one more."""
        return len(origin.queued) > origin.spare_dials and not self._origin_full(origin)

    def _note_starved(self, origin: Origin[K, R]) -> None:
        if origin.queued and self._wants_slot(origin):
            self._starved.setdefault(origin)

    def _first_starved(self) -> Origin[K, R] | None:
        while self._starved:
            origin = next(iter(self._starved))
            if self._wants_slot(origin):
                return origin
            del self._starved[origin]
        return None

    def _serve(self, origin: Origin[K, R]) -> None:
        """A slot may have come free, perhaps one of ``origin``: grant slots to those who wait for one, origins in turn."""
        self._note_starved(origin)
        while (starved := self._first_starved()) is not None and self._claim_slot(starved, False):
            waiter, _ = starved.queued.popitem(last=False)
            self._grant(waiter)
            waiter.wake()
            self._count_wait(waiter)
            self._starved.move_to_end(starved)
        self._forget_if_unused(origin)

    def _forget_if_unused(self, origin: Origin[K, R]) -> None:
        """Remember only so many origins that have nothing open: their figures move into the pool's total."""
        if not origin.unused() or self._origins.get(origin.key) is not origin:
            return
        self._unused[origin] = None
        if len(self._unused) > MAX_UNUSED_ORIGINS:
            oldest, _ = self._unused.popitem(last=False)
            if oldest.unused():
                self._past.absorb(oldest.tally)
                self._hot.pop(oldest, None)
                del self._origins[oldest.key]

    def _leave(self, waiter: Waiter[K, R]) -> None:
        """The waiter has given up; a slot that it has not begun to use goes to the next. Harmless when repeated."""
        origin = waiter.origin
        origin.waiting.pop(waiter, None)
        self._dequeue(waiter)
        waiter.gone = True
        self._cancel(waiter)
        self._serve(origin)

    def _cancel(self, waiter: Waiter[K, R]) -> None:
        dial = waiter.dial
        if dial is not None and not dial.begun:
            dial.cancelled = True
            self._vacate(dial)

    def _refuse(self, origin: Origin[K, R]) -> None:
        for waiter in list(origin.waiting):
            waiter.error = closed_error()
            self._release_waiter(waiter)
            self._cancel(waiter)

    # -- passing on ----------------------------------------------------------------------------------------------------

    def _offer(self, entry: Entry[K, R], keep_for: float | None = None) -> None:
        """A leased entry has no more use for its holder: the next in line gets it, else it becomes idle."""
        origin = entry.origin
        receiver = self._receiver(entry)
        if origin in self._starved:
            self._starved.move_to_end(origin)  # whoever gets it now: it was this origin's turn
        if self._closed:
            self._drop_leased(entry, Discard.CLIENT_CLOSED)
        elif receiver is not None and not self._others_first(receiver):
            self._hand_over(entry, receiver)
            self._cancel(receiver)  # the slot in which it was about to dial
            self._serve(origin)
        elif receiver is not None or origin.queued or self._first_starved() is not None:
            # Somebody elsewhere, or one who wants a fresh connection, needs the slot more than anyone needs this one.
            self._drop_leased(entry, Discard.SURPLUS)
            self._serve(origin)
        else:
            self._make_idle(entry, self._clock(), keep_for)

    def _receiver(self, entry: Entry[K, R]) -> Waiter[K, R] | None:
        """Who has waited longest for such a connection; one that nobody has used is fresh enough for everybody."""
        for waiter in entry.origin.waiting:
            if not waiter.fresh or entry.pristine:
                return waiter
            if waiter.dial is None:
                return None  # the first in line wants a slot, not this connection: overtake it, and it may wait for ever
        return None

    def _others_first(self, receiver: Waiter[K, R]) -> bool:
        """Whether an origin that waits for room under the total cap has waited longer than ``receiver``."""
        for origin in self._starved:
            if origin is not receiver.origin and origin.queued and not self._origin_full(origin):
                return next(iter(origin.queued)).ticket < receiver.ticket
        return False

    def _hand_over(self, entry: Entry[K, R], waiter: Waiter[K, R]) -> None:
        lease = waiter.lease
        lease.resource = entry.resource
        lease.reused = not entry.pristine
        lease.idle = None if entry.pristine else 0.0
        lease._entry = entry  # from here on it is the waiter's
        entry.uses += 1
        entry.lent_at = self._clock()
        entry.purpose = waiter.purpose
        entry.thread = waiter.thread
        self._release_waiter(waiter)
        if waiter.queued and waiter.dial is None:
            self._count_wait(waiter)

    def _release_waiter(self, waiter: Waiter[K, R]) -> None:
        """It has its connection or its error: nothing more is for it."""
        waiter.gone = True
        waiter.wake()
        self._dequeue(waiter)
        waiter.origin.waiting.pop(waiter, None)

    def _dequeue(self, waiter: Waiter[K, R]) -> None:
        origin = waiter.origin
        origin.queued.pop(waiter, None)
        if not origin.queued:
            self._starved.pop(origin, None)

    def _count_wait(self, waiter: Waiter[K, R]) -> None:
        seconds = self._clock() - waiter.asked_at
        waiter.origin.tally.waits.add(seconds)
        slow = seconds > SLOW_WAIT
        self._note_event("waited", waiter.origin.key, seconds=seconds, warn=slow, text=SLOW_WAIT_ADVICE if slow else "")

    def _make_idle(self, entry: Entry[K, R], now: float, keep_for: float | None = None) -> None:
        keep = self.limits.idle_timeout
        entry.hinted = keep_for is not None and (keep is None or keep_for < keep)
        if entry.hinted:
            keep = keep_for
        entry.idle_since = now
        entry.idle_until = None if keep is None else now + keep
        self._put_idle(entry)

    def _put_idle(self, entry: Entry[K, R]) -> None:
        origin, limits = entry.origin, self.limits
        self._leased.remove(entry)
        origin.leased -= 1
        origin.idle[entry] = None
        self._idle[entry] = None
        if limits.max_idle_per_origin is not None and len(origin.idle) > limits.max_idle_per_origin:
            self._drop_idle(next(iter(origin.idle)), Discard.SURPLUS)
        if limits.max_idle_connections is not None and len(self._idle) > limits.max_idle_connections:
            self._drop_idle(next(iter(self._idle)), Discard.SURPLUS)

    # -- the end of a connection ---------------------------------------------------------------------------------------

    def _end_lease(self, entry: Entry[K, R], reason: Discard) -> None:
        if not entry.gone:
            now = self._clock()
            entry.origin.tally.count_lease(now - entry.lent_at, now, entry.uses)
            self._drop_leased(entry, reason)
            self._serve(entry.origin)

    def _drop_idle(self, entry: Entry[K, R], reason: Discard) -> None:
        self._doom(entry, reason, self._clock() - entry.idle_since)
        del entry.origin.idle[entry]
        del self._idle[entry]
        self._open -= 1
        self._forget_if_unused(entry.origin)

    def _drop_leased(self, entry: Entry[K, R], reason: Discard, idle: float | None = None) -> None:
        self._doom(entry, reason, idle)
        self._leased.remove(entry)
        entry.origin.leased -= 1
        self._open -= 1

    def _doom(self, entry: Entry[K, R], reason: Discard, idle: float | None = None) -> None:
        """Note that the connection is to be closed, and why."""
        self._after.append((self._close_entry, entry, reason))
        entry.gone = True
        origin = entry.origin
        origin.tally.count_closed(reason, entry.uses, idle)
        if not entry.uses and reason in BY_THE_OTHER_END:
            self._back_off(origin)
        if self._news.active:
            self._note_event("closed", origin.key, reason=reason.value, seconds=self._clock() - entry.opened_at)

    def _back_off(self, origin: Origin[K, R]) -> None:
        """Do not keep connections ready for a server that does not want them: try again after twice as long each time."""
        origin.refill_delay = min(LONGEST_BACK_OFF, max(FIRST_BACK_OFF, 2 * origin.refill_delay))
        origin.refill_at = self._clock() + origin.refill_delay

    # -- after an exception --------------------------------------------------------------------------------------------

    def _mend(self, moved: Entry[K, R] | None, uses: int | None = None) -> None:
        """An exception struck in the middle of a move. Afterwards every slot is counted, and none twice.

        Args:
            moved: the entry that was on the move. Unless it has reached another holder, it is thrown away.
            uses: its ``uses`` before the move; None if it was on its way out.
        """
        for action in list(self._after):
            if action[0] == self._close_entry:
                action[1].gone = True
        origins = list(self._origins.values())
        for origin in origins:
            for waiter in list(origin.waiting):
                if not waiter.gone and moved is not None and waiter.has(moved) and moved.uses == uses:
                    moved.uses += 1
                self._mend_waiter(waiter)
        if moved is not None and (uses is None or moved.uses == uses):
            self._throw_out(moved)
        for entry in [e for e in self._idle if e.gone or e not in e.origin.idle]:
            self._throw_out(entry)
        for entry in [e for origin in origins for e in origin.idle if e.gone or e not in self._idle or e in self._leased]:
            self._throw_out(entry)
        self._leased -= {entry for entry in self._leased if entry.gone}
        self._recount(origins)
        for origin in origins:
            self._note_starved(origin)
        for origin in origins:
            self._serve(origin)

    def _mend_waiter(self, waiter: Waiter[K, R]) -> None:
        dial = waiter.dial
        if waiter.gone or waiter.settled:
            self._release_waiter(waiter)
            self._cancel(waiter)
        elif dial is not None and not dial.admitted and not dial.cancelled:
            waiter.origin.dials.add(dial)
            waiter.wake()

    def _throw_out(self, entry: Entry[K, R]) -> None:
        entry.origin.idle.pop(entry, None)
        self._idle.pop(entry, None)
        self._leased.discard(entry)
        if not any(action[0] == self._close_entry and action[1] is entry for action in list(self._after)):
            self._after.append((self._close_entry, entry, Discard.BROKEN))
        if not entry.gone:
            entry.origin.tally.closed[Discard.BROKEN] += 1
        entry.gone = True

    def _recount(self, origins: list[Origin[K, R]]) -> None:
        self._open = 0
        for origin in origins:
            origin.leased = sum(entry.origin is origin for entry in self._leased)
            origin.queued = OrderedDict.fromkeys(waiter for waiter in origin.waiting if waiter.dial is None)
            self._open += origin.open

    # -- notes for after the lock --------------------------------------------------------------------------------------

    def _note_event(
        self,
        kind: str,
        key: K | None,
        *,
        reason: str = "",
        seconds: float | None = None,
        text: str = "",
        warn: bool = False,
    ) -> None:
        """Tell it after the lock, if anybody listens. ``key``: None for all origins together."""
        if self._news.active or warn:
            self._after.append((self._announce, kind, key, reason, seconds, text, warn))

    def _announce(
        self, kind: str, key: K | None, reason: str = "", seconds: float | None = None, text: str = "", warn: bool = False
    ) -> None:
        if warn or self._news.active:
            name = "*" if key is None else str(key)
            self._news.announce(PoolEvent(kind, name, reason, seconds, text), warn=warn)

    def _close_entry(self, entry: Entry[K, R], reason: Discard) -> None:
        self._close(entry.resource, reason)

    def _note_open(self, origin: Origin[K, R]) -> None:
        """A connection was opened: rare enough for what need not be looked at in every use."""
        cap = self.limits.max_connections_per_origin
        if cap is not None and origin.open > cap * SATURATED:
            self._hot[origin] = None


def closed_error() -> ClientClosed:
    """What whoever wants a connection of a closed pool gets."""
    return ClientClosed("this client was closed; create another one")

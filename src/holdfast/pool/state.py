"""PoolState: connections, slots and waiters, and every move between them; to be called under the pool's lock.

Nothing here blocks or calls back, and nothing knows what a thread is: the driver (``Pool``) brings the lock and the waiters, which
know how they are woken. Actions for which the lock must be free are appended to ``deferred``.

Laws:

1. A slot is the right to have one connection open. Dials, idle and leased connections each hold one; it is given back when
   the connection is retired or the dial has failed.
2. No idle connection where a waiter needs one: ``origin.idle`` and ``origin.queued`` are never both filled, nor ``idle`` and
   ``starved``. So a newcomer that finds an idle connection or room overtakes no waiter.
3. A move that frees a slot calls ``serve`` before the lock is let go.
4. Whatever exception strikes in the middle of a move (KeyboardInterrupt, MemoryError, RecursionError), ``repair`` throws away the
   connection that was being moved, finishes what was begun for others and counts everything anew.

Facts and what is derived from them. The facts are ``PooledConnection.state``, ``Dial.state``, and of a waiter its dial, its
error and what its lease holds. ``Origin.leased``, ``Origin.queued``, ``Waiter.state``, ``open`` and ``starved`` follow from
these, and are kept so that every move is O(1): ``_recount`` is their definition.

Who is served first. Within an origin: the waiter that waits longest (FIFO). Connections are reused freshest first (LIFO), so that
the others can grow old and go. Under ``max_connections`` origins compete: the longest-idle connection of any origin makes room,
and origins that wait for room take turns.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Any

from ..reasons import Discard
from .deferred import AnnounceLeak, AnnounceWait, Close, Watch
from .entries import (
    ADMITTED,
    ANY,
    CANCELLED,
    CLOSED,
    FAILED,
    GRANTED,
    IDLE,
    IDLE_TIMEOUT,
    LEASED,
    LEFT,
    NEVER,
    PLANNED,
    QUEUED,
    SERVED,
    TRUSTED,
    Dial,
    DialGroup,
    K,
    Lease,
    Need,
    Origin,
    PooledConnection,
    R,
    Waiter,
)
from .events import SATURATED_SHARE, SLOW_WAIT_SECONDS
from .holdings import Holdings
from .repairing import Repairing

MAX_UNUSED_ORIGINS = 1000  # origins with nothing open whose figures are kept apart
# Reasons for which a connection that was never used went: the other end does not want to keep it.
BY_THE_OTHER_END = frozenset({Discard.STALE, Discard.UNSOLICITED, Discard.BROKEN})

SERVER_HINT, STALE = Discard.SERVER_HINT, Discard.STALE  # looked up once, for each give-back and each end


class PoolState(Holdings[K, R]):
    """Every move of connections, slots and waiters; see ``Holdings`` for its arguments."""

    # -- taking --------------------------------------------------------------------------------------------------------

    def take(self, lease: Lease[K, R], key: K, need: Need, purpose: Any) -> Waiter[K, R] | None:
        """An idle connection for the lease, or else a place in the queue, with a slot if there is room."""
        if self.closed:
            raise self.closed_error()
        origin = self.origins.get(key)
        if origin is None:
            origin = self.origins[key] = Origin(key)
        if origin.idle and (need is ANY or self._suits(origin, need)) and self._take_idle(lease, origin, purpose):
            return None
        return self._queue(origin, lease, need, purpose)

    def _suits(self, origin: Origin[K, R], need: Need) -> bool:
        """Whether an idle connection serves this need; it is the next to be taken then."""
        return need is TRUSTED and (origin.learned is None or origin.trusted_first(self.clock()))

    def _take_idle(self, lease: Lease[K, R], origin: Origin[K, R], purpose: Any) -> bool:
        now = self.clock()
        while origin.idle:
            connection, _ = origin.idle.popitem()
            lease.held = connection
            del self.idle[connection]
            reason = connection.expired(now)
            if reason is None:
                self.leased.add(connection)
                origin.leased += 1
                connection.state = LEASED
                connection.uses += 1
                connection.lent_at = now
                connection.purpose = purpose
                connection.borrower = lease.borrower
                lease.resource = connection.resource
                lease.idle = now - connection.idle_since
                lease.reused = True
                return True
            self._retire(connection, reason, now - connection.idle_since)
            lease.held = None
            self.open -= 1
        return False

    def _queue(self, origin: Origin[K, R], lease: Lease[K, R], need: Need, purpose: Any) -> Waiter[K, R]:
        self.unused.pop(origin, None)
        self.tickets += 1
        waiter = self.new_waiter(origin, lease, need, purpose, self.tickets, self.clock())
        lease.waiter = waiter
        origin.waiting[waiter] = None
        if len(origin.queued) >= origin.unclaimed_dials and self._make_room(origin, need is not ANY):
            self._grant(waiter)
        else:
            origin.queued[waiter] = None
            self._note_starved(origin)
        return waiter

    def take_another(self, lease: Lease[K, R], key: K, need: Need, purpose: Any, verdict: Discard) -> Waiter[K, R] | None:
        """What the lease holds did not pass its probe. Its slot stays with the lease, which has waited for it long enough."""
        failed = lease.held
        with self.repairing(failed, lease=lease):
            if failed is not None and failed.state is not CLOSED:
                failed.uses -= 1  # it never was one
                self.drop_leased(failed, verdict, lease.idle)
            lease.held = lease.idle = None
            lease.reused = False
            waiter = self.take(lease, key, need, purpose)
            if waiter is None and failed is not None:
                self.serve(failed.origin)
            return waiter

    def abandon(self, lease: Lease[K, R]) -> None:
        """Acquiring has failed: what the lease holds, or would be given, goes to the next in line."""
        with self.repairing() as repairing:
            if lease.waiter is not None:
                self.leave(lease.waiter)
                lease.waiter = None
            connection = repairing.moved = lease.held
            if connection is not None and connection.state is not CLOSED:
                connection.uses -= 1  # it never was one
                repairing.uses = connection.uses
                lease.held = None
                self.offer(connection)

    # -- slots ---------------------------------------------------------------------------------------------------------

    def _make_room(self, origin: Origin[K, R], fresh: bool) -> bool:
        """Make room for one more connection, at the cost of an idle one if need be; whether that was possible."""
        if self.origin_full(origin):
            if not (fresh and origin.idle):
                return False
            self.drop_idle(next(iter(origin.idle)), Discard.SURPLUS)
        cap = self.limits.max_connections
        if cap is not None and self.open >= cap:
            if not self.idle:
                return False
            self.drop_idle(next(iter(self.idle)), Discard.SURPLUS)
        return True

    def _grant(self, waiter: Waiter[K, R]) -> None:
        """Give the waiter a slot, of which ``_make_room`` has said that it is there."""
        waiter.dial = Dial(waiter.origin, waiter, in_caller=self.dials_in_callers and not waiter.origin.busy)
        waiter.state = GRANTED
        self._occupy(waiter.dial)

    def _occupy(self, dial: Dial[K, R]) -> None:
        dial.origin.dials.add(dial)
        self.open += 1

    def _vacate(self, dial: Dial[K, R]) -> bool:
        """Give the slot of a dial back; False if it has none (any more, or since a fork)."""
        origin = dial.origin
        if dial not in origin.dials or self.origins.get(origin.key) is not origin:
            return False
        origin.dials.remove(dial)
        self.open -= 1
        return True

    def claim_for_warming(self, key: K, count: int, group: DialGroup, dials: list[Dial[K, R]]) -> None:
        """Slots for up to ``count`` connections to ``key`` that are to be idle, into ``dials``."""
        if self.closed:
            raise self.closed_error()
        origin = self.origins.get(key) or self.origins.setdefault(key, Origin(key))
        self.claim_for_idle(origin, count, group, dials)
        self._forget_if_unused(origin)

    def claim_for_idle(
        self,
        origin: Origin[K, R],
        count: int,
        group: DialGroup | None,
        dials: list[Dial[K, R]],
        replace_until: float | None = None,
    ) -> None:
        """The same. No connection is displaced for them, and no waiter overtaken."""
        limits, under_way = self.limits, origin.dials_for_idle
        bounds = (
            (limits.max_connections_per_origin, origin.open),
            (limits.max_connections, self.open),
            (limits.max_idle_per_origin, len(origin.idle) + under_way),
            (limits.max_idle_connections, len(self.idle) + under_way),
        )
        room = min([count, *(bound - used for bound, used in bounds if bound is not None)])
        if group is not None:
            group.left = max(room, 0)
        for _ in range(room):
            self.unused.pop(origin, None)
            dials.append(Dial(origin, None, group, replace_until))
            self._occupy(dials[-1])

    def call_off(self, dials: list[Dial[K, R]]) -> None:
        """Those that have not begun will not, and their slots go to others."""
        for dial in dials:
            if dial.state is PLANNED:
                self._cancel(dial)
                self.serve(dial.origin)

    def _cancel(self, dial: Dial[K, R] | None) -> None:
        if dial is not None and dial.state is PLANNED:
            dial.state = CANCELLED
            self._vacate(dial)

    # -- the end of a dial ---------------------------------------------------------------------------------------------

    def admit(self, dial: Dial[K, R], resource: R, jitter: float, watching: bool) -> None:
        """A dial has opened a connection: its waiter gets it, else the waiter that waits longest; else it becomes idle.

        Args:
            jitter: from 0 to 1: by how much of a tenth its lifetime is shortened.
            watching: whether there is a keeper to be asked to sweep.
        """
        now = self.clock()
        lifetime = self.limits.max_lifetime
        retire_at = None if lifetime is None else now + lifetime * (1 - 0.1 * jitter)
        connection = PooledConnection(dial.origin, resource, now, retire_at, self.limits.max_requests)
        dial.state = ADMITTED
        try:  # not repairing(): an exception on the way into it would find a resource that neither it nor fail() closes
            if not self._vacate(dial):
                self.deferred.append(Close(resource, Discard.FORKED))
                return
            self.leased.add(connection)
            dial.origin.leased += 1
            self.open += 1
            self._introduce(connection, dial)
            if watching and not (self.watched or self.closed):
                self.watched = True
                self.deferred.append(Watch())
        except BaseException:
            self.repair(connection, 0)
            raise

    def _introduce(self, connection: PooledConnection[K, R], dial: Dial[K, R]) -> None:
        origin, waiter = dial.origin, dial.waiter
        if waiter is None:
            connection.replace_until = dial.replace_until or self._idle_until(connection.opened_at)
        origin.tally.count_created(connection.opened_at)
        self.note_event("opened", origin.key, purpose=None if waiter is None else waiter.purpose)
        if self.closed:
            self.drop_leased(connection, Discard.CLIENT_CLOSED)
        elif waiter is not None and waiter.waiting:
            self._hand_over(connection, waiter)
        else:
            self.offer(connection)
        dial.end(self.closed_error() if self.closed else None)
        cap = self.limits.max_connections_per_origin
        if cap is not None and origin.open > cap * SATURATED_SHARE:
            self.near_limit[origin] = None

    def fail(self, dial: Dial[K, R], opened: list[R], error: BaseException) -> None:
        """A dial has come to nothing. ``opened``: a resource that it had opened before it failed; it is closed."""
        origin, waiter = dial.origin, dial.waiter
        if dial.state is not ADMITTED:
            self.deferred.extend(Close(resource, Discard.BROKEN) for resource in opened)
            dial.state = FAILED
        if self._vacate(dial):
            origin.tally.failed += 1
            self.note_event("failed", origin.key, reason=type(error).__name__)
            self.back_off(origin)
        dial.end(error)
        if waiter is not None and waiter.waiting:
            waiter.error = error
            self._release_waiter(waiter)
        self.serve(origin)

    # -- serving -------------------------------------------------------------------------------------------------------

    def _wants_slot(self, origin: Origin[K, R]) -> bool:
        """Whether more waiters are queued than unclaimed dials are under way, and there is room for one more."""
        return len(origin.queued) > origin.unclaimed_dials and not self.origin_full(origin)

    def _note_starved(self, origin: Origin[K, R]) -> None:
        if origin.queued and self._wants_slot(origin):
            self.starved.setdefault(origin)

    def _first_starved(self) -> Origin[K, R] | None:
        while self.starved:
            origin = next(iter(self.starved))
            if self._wants_slot(origin):
                return origin
            del self.starved[origin]
        return None

    def serve(self, origin: Origin[K, R]) -> None:
        """A slot may have come free, perhaps one of ``origin``: grant slots to queued waiters, origins in turn."""
        if origin.queued:
            self._note_starved(origin)
        while self.starved and (starved := self._first_starved()) is not None and self._make_room(starved, False):
            waiter, _ = starved.queued.popitem(last=False)
            self._grant(waiter)
            waiter.wake()
            self._count_wait(waiter)
            self.starved.move_to_end(starved)
        self._forget_if_unused(origin)

    def _forget_if_unused(self, origin: Origin[K, R]) -> None:
        """Remember only so many origins that have nothing open: their figures move into the pool's total."""
        if not origin.unused() or self.origins.get(origin.key) is not origin:
            return
        self.unused[origin] = None
        if len(self.unused) > MAX_UNUSED_ORIGINS:
            oldest, _ = self.unused.popitem(last=False)
            if oldest.unused():
                self.past.absorb(oldest.tally)
                self.near_limit.pop(oldest, None)
                del self.origins[oldest.key]

    def leave(self, waiter: Waiter[K, R]) -> None:
        """The waiter has given up; a slot that it has not begun to use goes to the next. Harmless when repeated."""
        origin = waiter.origin
        origin.waiting.pop(waiter, None)
        self._dequeue(waiter)
        waiter.state = LEFT
        self._cancel(waiter.dial)
        self.serve(origin)

    def close(self) -> list[PooledConnection[K, R]]:
        """Lend nothing from now on, and refuse all waiters. Returns the connections that are leased now."""
        self.closed = True
        with self.repairing():
            for origin in list(self.origins.values()):
                self._refuse(origin)
        return list(self.leased)

    def _refuse(self, origin: Origin[K, R]) -> None:
        for waiter in list(origin.waiting):
            waiter.error = self.closed_error()
            self._release_waiter(waiter)
            self._cancel(waiter.dial)

    # -- passing on ----------------------------------------------------------------------------------------------------

    def offer(self, connection: PooledConnection[K, R]) -> None:
        """A leased connection has no more use for its holder: the next in line gets it, else it becomes idle."""
        origin = connection.origin
        receiver = self._receiver(connection)
        if origin in self.starved:
            self.starved.move_to_end(origin)  # even if it goes to another waiter: it was this origin's turn
        if self.closed:
            self.drop_leased(connection, Discard.CLIENT_CLOSED)
        elif receiver is not None and not self._others_first(receiver):
            self._hand_over(connection, receiver)
            self._cancel(receiver.dial)  # the slot in which it was about to dial
            self.serve(origin)
        elif receiver is not None or origin.queued or self._first_starved() is not None:
            # A waiter of another origin, or a waiter for a fresh connection, has a better claim to the slot.
            self.drop_leased(connection, Discard.SURPLUS)
            self.serve(origin)
        else:
            if connection.idle_since == NEVER:
                self._rest_unused(connection)
            self.put_idle(connection)

    def _receiver(self, connection: PooledConnection[K, R]) -> Waiter[K, R] | None:
        """The waiter that has waited longest for such a connection."""
        now = self.clock()
        for waiter in connection.origin.waiting:
            if waiter.listens and waiter.accepts(connection, now):
                return waiter
            if waiter.dial is None:
                return None  # the first in line wants a slot, not this connection: overtake it, and it may wait for ever
        return None

    def _others_first(self, receiver: Waiter[K, R]) -> bool:
        """Whether an origin that waits for room under the total cap has waited longer than ``receiver``."""
        for origin in self.starved:
            if origin is not receiver.origin and origin.queued and not self.origin_full(origin):
                return next(iter(origin.queued)).ticket < receiver.ticket
        return False

    def _hand_over(self, connection: PooledConnection[K, R], waiter: Waiter[K, R]) -> None:
        lease = waiter.lease
        queued = waiter.dial is None
        lease.resource = connection.resource
        now = self.clock()
        lease.reused = not connection.pristine
        lease.idle = None if connection.pristine else now - connection.idle_since
        lease.held = connection  # from here on it is the waiter's
        connection.uses += 1
        connection.lent_at = now
        connection.purpose = waiter.purpose
        connection.borrower = lease.borrower
        self._release_waiter(waiter)
        if queued:
            self._count_wait(waiter)

    def _release_waiter(self, waiter: Waiter[K, R]) -> None:
        """It has its connection or its error: nothing more is for it."""
        waiter.state = SERVED
        waiter.wake()
        self._dequeue(waiter)
        waiter.origin.waiting.pop(waiter, None)

    def _dequeue(self, waiter: Waiter[K, R]) -> None:
        origin = waiter.origin
        origin.queued.pop(waiter, None)
        if not origin.queued:
            self.starved.pop(origin, None)

    def _count_wait(self, waiter: Waiter[K, R]) -> None:
        """It has had to wait for room, until now."""
        seconds = self.clock() - waiter.asked_at
        waiter.origin.tally.waits.add(seconds)
        slow = seconds > SLOW_WAIT_SECONDS
        if slow or self.news.active:
            self.deferred.append(AnnounceWait(waiter.origin.key, seconds, slow, waiter.purpose))

    # -- idle connections ----------------------------------------------------------------------------------------------

    def rest(self, connection: PooledConnection[K, R], now: float, keep_for: float | None) -> None:
        """Its use has ended. It rests until the pool's own time is over or ``keep_for``, the other end's, if that is sooner."""
        keep = self.limits.idle_timeout
        connection.idle_reason = IDLE_TIMEOUT
        if keep_for is not None and (keep is None or keep_for < keep):
            keep = keep_for
            connection.idle_reason = SERVER_HINT
        connection.idle_since = now
        connection.idle_until = None if keep is None else now + keep

    def _rest_unused(self, connection: PooledConnection[K, R]) -> None:
        """It was opened ahead of need, and rests for a shorter time: see ``Limits.unused_timeout``."""
        unused, now = self.limits.unused_timeout, self.clock()
        latest = connection.replace_until or self._idle_until(now)
        until = latest if unused is None else min(latest, now + unused)
        connection.idle_reason = Discard.UNUSED if until < latest else IDLE_TIMEOUT
        connection.idle_since = now
        connection.idle_until = until

    def _idle_until(self, now: float) -> float:
        keep = self.limits.idle_timeout
        return math.inf if keep is None else now + keep

    def put_idle(self, connection: PooledConnection[K, R]) -> None:
        """Keep a leased connection that rests already."""
        origin, limits = connection.origin, self.limits
        self.leased.remove(connection)
        origin.leased -= 1
        origin.idle[connection] = None
        self.idle[connection] = None
        connection.state = IDLE
        if limits.max_idle_per_origin is not None and len(origin.idle) > limits.max_idle_per_origin:
            self.drop_idle(next(iter(origin.idle)), Discard.SURPLUS)
        if limits.max_idle_connections is not None and len(self.idle) > limits.max_idle_connections:
            self.drop_idle(next(iter(self.idle)), Discard.SURPLUS)

    def take_for_probe(self, lease: Lease[K, R], connection: PooledConnection[K, R]) -> bool:
        """Take an idle connection out, so that no other lease has it while it is probed; False if it is not idle any more."""
        if connection.state is not IDLE:
            return False
        with self.repairing(connection):
            lease.held = connection
            connection.lent_at = self.clock()
            del self.idle[connection], connection.origin.idle[connection]
            self.leased.add(connection)
            connection.origin.leased += 1
            connection.state = LEASED
        return True

    def put_back_probed(self, lease: Lease[K, R], verdict: Discard | None) -> None:
        """The probe is over. A connection that is fit is as old as before."""
        connection = lease.held
        if connection is None or connection.state is CLOSED:
            return
        with self.repairing(connection, connection.uses):
            lease.held = None
            if verdict is not None:
                self.drop_leased(connection, verdict, self.clock() - connection.idle_since)
                self.serve(connection.origin)
            elif self.closed or connection.origin.waiting or self.starved:
                self.offer(connection)
            else:
                self.put_idle(connection)

    # -- the end of a connection ---------------------------------------------------------------------------------------

    def end_lease(self, connection: PooledConnection[K, R], reason: Discard, idle: float | None = None) -> None:
        """Its use has ended, and so does the connection. ``idle``: seconds it had been, before the use."""
        if connection.state is not CLOSED:
            now = self.clock()
            connection.origin.tally.count_lease(now - connection.lent_at, now, connection.uses)
            self.drop_leased(connection, reason)
            if reason is STALE and idle is not None:
                self.saw_end(connection.origin, idle, connection.uses - 1)
            self.serve(connection.origin)

    def reap(self, connection: PooledConnection[K, R]) -> None:
        """Its lease was dropped."""
        if connection.state is CLOSED:
            return
        origin = connection.origin
        with self.repairing(connection):
            origin.tally.leaks += 1
            where, purpose = connection.where, connection.purpose
            self.end_lease(connection, Discard.LEAKED)
            self.deferred.append(AnnounceLeak(origin.key, purpose, where))

    def drop_idle(self, connection: PooledConnection[K, R], reason: Discard) -> None:
        """Retire an idle connection. No waiter can need its slot but the waiter for which room is being made."""
        self._retire(connection, reason, self.clock() - connection.idle_since)
        del connection.origin.idle[connection]
        del self.idle[connection]
        self.open -= 1
        self._forget_if_unused(connection.origin)

    def drop_leased(self, connection: PooledConnection[K, R], reason: Discard, idle: float | None = None) -> None:
        """Retire a leased connection; the caller then calls ``serve``."""
        self._retire(connection, reason, idle)
        self.leased.remove(connection)
        connection.origin.leased -= 1
        self.open -= 1

    def _retire(self, connection: PooledConnection[K, R], reason: Discard, idle: float | None = None) -> None:
        """Note that the connection is to be closed, and why."""
        self.deferred.append(Close(connection.resource, reason, connection))
        connection.state = CLOSED
        origin = connection.origin
        origin.tally.count_closed(reason, connection.uses, idle)
        if not connection.uses and reason in BY_THE_OTHER_END:
            self.back_off(origin)
        if self.news.active:
            age, purpose = self.clock() - connection.opened_at, connection.purpose
            self.note_event("closed", origin.key, reason=reason.value, seconds=age, purpose=purpose)
        if reason is STALE and idle is not None:
            self.saw_end(origin, idle, connection.uses)

    # -- after an exception --------------------------------------------------------------------------------------------

    def repairing(
        self, moved: PooledConnection[K, R] | None = None, uses: int | None = None, lease: Lease[K, R] | None = None
    ) -> Repairing[K, R]:
        """``with state.repairing(connection, uses):`` a move, after which ``repair`` is called if an exception strikes in it."""
        return Repairing(self.repair, moved, uses, lease)

    def repair(self, moved: PooledConnection[K, R] | None, uses: int | None = None) -> None:
        """An exception struck in the middle of a move. Afterwards every slot is counted, and none twice.

        Args:
            moved: the connection that was on the move. Unless it has reached another holder, it is thrown away.
            uses: its ``uses`` before the move; None if it was on its way out.
        """
        for action in list(self.deferred):
            if isinstance(action, Close) and action.connection is not None:
                action.connection.state = CLOSED
        origins = list(self.origins.values())
        for origin in origins:
            for waiter in list(origin.waiting):
                if waiter.waiting and moved is not None and waiter.has(moved) and moved.uses == uses:
                    moved.uses += 1
                self._repair_waiter(waiter)
        if moved is not None and (uses is None or moved.uses == uses):
            self._throw_out(moved)
        for connection in self._misplaced(origins):
            self._throw_out(connection)
        self._recount(origins)
        for origin in origins:
            self.serve(origin)

    def _repair_waiter(self, waiter: Waiter[K, R]) -> None:
        dial = waiter.dial
        if waiter.served or not waiter.waiting:
            self._release_waiter(waiter)
            self._cancel(dial)
        elif dial is not None and dial.has_slot:
            waiter.origin.dials.add(dial)
            waiter.wake()

    def _misplaced(self, origins: list[Origin[K, R]]) -> list[PooledConnection[K, R]]:
        """Connections that are not where their state says, or in one place only where they belong into two."""
        found = [c for c in self.idle if c.state is not IDLE or c not in c.origin.idle or c in self.leased]
        found += [c for origin in origins for c in origin.idle if c.state is not IDLE or c not in self.idle]
        return found + [c for c in self.leased if c.state is not LEASED]

    def _throw_out(self, connection: PooledConnection[K, R]) -> None:
        connection.origin.idle.pop(connection, None)
        self.idle.pop(connection, None)
        self.leased.discard(connection)
        if connection.state is not CLOSED:
            self.deferred.append(Close(connection.resource, Discard.BROKEN, connection))
            connection.origin.tally.closed[Discard.BROKEN] += 1
            connection.state = CLOSED

    def _recount(self, origins: list[Origin[K, R]]) -> None:
        """Set all that is derived from the facts; the module's docstring lists both."""
        self.open = 0
        for origin in origins:
            origin.leased = sum(connection.origin is origin for connection in self.leased)
            for waiter in origin.waiting:
                waiter.state = QUEUED if waiter.dial is None else GRANTED
            origin.queued = OrderedDict.fromkeys(waiter for waiter in origin.waiting if waiter.dial is None)
            self.open += origin.open
        for origin in origins:
            self._note_starved(origin)

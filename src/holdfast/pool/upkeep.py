"""Upkeep: what ``Pool.sweep`` does about once a second. Each step decides under the pool's lock and acts after it.

The lock is held for a copy of the list of idle connections and for what is found to be done, never for a walk over all of them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic

from ..reasons import Discard
from . import messages
from .deferred import Announce, Reap
from .entries import IDLE, Dial, K, Lease, LeaseOwner, Origin, PooledConnection, R
from .events import SATURATED_SHARE, log
from .state import PoolState
from .words import Words

SWEEP_SECONDS = 1.0  # between two looks at what can change by itself: sockets, utilisation, leases
MIN_SWEEP_SECONDS = 0.01
IN_USE_SECONDS = 300.0  # after its last use for which min_idle_connections are kept for an origin
REFILL_DIAL_SECONDS = 10.0  # for opening a connection that no waiter waits for

StartDials = Callable[[Callable[[], None], list[Dial[K, R]], float], None]
"""``start(claim, dials, seconds)``: call ``claim`` under the lock, start the dials it has put into ``dials``."""


class Upkeep(Generic[K, R]):
    """One sweep.

    Args:
        state: of the pool.
        owner: to whom the lease of a connection that is probed goes back if an exception strikes.
        probe, poll_idle, describe, words: as in ``Pool``.
        start_dials: opens connections that no waiter waits for.
    """

    def __init__(
        self,
        state: PoolState[K, R],
        owner: LeaseOwner[K, R],
        *,
        probe: Callable[[R], Discard | None],
        poll_idle: Callable[[list[R]], list[R]] | None,
        describe: Callable[[Any], str],
        words: Words,
        start_dials: StartDials[K, R],
    ) -> None:
        self._state = state
        self._owner = owner
        self._probe = probe
        self._poll_idle = poll_idle
        self._describe = describe
        self._words = words
        self._start_dials = start_dials

    def sweep(self, now: float) -> float | None:
        """Everything; seconds until the next time, None if there is nothing to watch."""
        state = self._state
        with state.lock:
            idle = list(state.idle)
            state.deferred.extend(Reap(connection) for connection in state.leased if connection.leaked)
        due = self._expire(idle, now)
        self._look_for_closed(idle)
        self._bear_witness(idle, now)
        self._refill(now)
        self._report_held(now)
        self._watch_utilisation(now)
        return self._delay(due, now)

    def _delay(self, due: float | None, now: float) -> float | None:
        state = self._state
        with state.lock:
            refilling = state.limits.min_idle_connections and any(_in_use(o, now) for o in state.origins.values())
            if state.closed or not (state.open or refilling):
                state.watched = False
                return None
            polling = self._poll_idle is not None and state.idle
            if refilling or polling or state.near_limit or state.limits.leak_after is not None:
                return SWEEP_SECONDS
        return SWEEP_SECONDS if due is None else max(due - now, MIN_SWEEP_SECONDS)

    # -- idle connections ----------------------------------------------------------------------------------------------

    def _expire(self, idle: list[PooledConnection[K, R]], now: float) -> float | None:
        """Close what is too old; the moment at which the next will be."""
        due: float | None = None
        expired = []
        for connection in idle:
            if connection.expired(now) is not None:
                expired.append(connection)
                continue
            for moment in (connection.idle_until, connection.retire_at):
                if moment is not None and (due is None or moment < due):
                    due = moment
        if expired:
            self._drop(expired, now)
        return due

    def _drop(self, expired: list[PooledConnection[K, R]], now: float) -> None:
        """Close these, and open another for each that was to be ready for use and was not used."""
        state, dials = self._state, list[Dial[K, R]]()

        def claim() -> None:
            for connection in expired:
                reason = connection.expired(now)
                if connection.state is not IDLE or reason is None:
                    continue
                if self._poll_idle is not None and reason is Discard.IDLE_TIMEOUT:
                    state.saw_alive(connection, now - SWEEP_SECONDS)  # by the last look
                origin, until = connection.origin, connection.replace_until
                state.drop_idle(connection, reason)
                if reason is Discard.UNUSED and until is not None and now >= origin.refill_at and not state.closed:
                    origin.refill_delay = 0.0  # its server has kept one for as long as is asked for
                    state.claim_for_idle(origin, 1, None, dials, until)

        self._start_dials(claim, dials, REFILL_DIAL_SECONDS)

    def _look_for_closed(self, idle: list[PooledConnection[K, R]]) -> None:
        """Probe the idle connections to which something has happened, and close those that are unfit."""
        if self._poll_idle is None or not idle:
            return
        by_resource = {id(connection.resource): connection for connection in idle}
        for resource in self._poll_idle([connection.resource for connection in idle]):
            self._probe_idle(by_resource[id(resource)])

    def _bear_witness(self, idle: list[PooledConnection[K, R]], now: float) -> None:
        """Those that have not ended, at an age or after uses at which their servers were believed to close, say so."""
        if self._poll_idle is None:
            return
        state, found = self._state, []
        for connection in idle:
            learned = connection.origin.learned
            if learned is not None and learned.refuted_by(now - connection.idle_since, connection.uses):
                found.append(connection)
        if found:
            with state.lock:
                for connection in found:
                    state.saw_alive(connection, now)

    def _probe_idle(self, connection: PooledConnection[K, R]) -> None:
        """A probe may read: the connection is taken out of idle for it, so that no other lease has it meanwhile."""
        state = self._state
        lease = Lease(self._owner, threading.get_ident())  # this may be the user's own thread: Ctrl-C may strike at any line
        verdict: Discard | None = Discard.BROKEN
        try:
            with state.lock:
                if not state.take_for_probe(lease, connection):
                    return  # 1. it was polled; 2. a thread took it, and probed it for itself; 3. this one got the lock
            verdict = self._probe(connection.resource)
        finally:
            with state.lock:
                state.put_back_probed(lease, verdict)

    def _refill(self, now: float) -> None:
        """``min_idle_connections`` for each origin in use, unless its server is known not to want them."""
        wanted = self._state.limits.min_idle_connections
        if not wanted:
            return
        state = self._state
        dials: list[Dial[K, R]] = []

        def claim() -> None:
            if state.closed:
                return
            for origin in list(state.origins.values()):
                since = [now - connection.opened_at for connection in origin.idle if connection.opened_at >= origin.refill_at]
                if since and min(since) >= origin.refill_delay:
                    origin.refill_delay = 0.0
                missing = wanted - len(origin.idle) - origin.dials_for_idle
                if missing > 0 and _in_use(origin, now) and now >= origin.refill_at:
                    state.claim_for_idle(origin, missing, None, dials)

        self._start_dials(claim, dials, REFILL_DIAL_SECONDS)

    # -- reports -------------------------------------------------------------------------------------------------------

    def _report_held(self, now: float) -> None:
        """Log, once each, the leases that are held for longer than ``leak_after``."""
        state, longest = self._state, self._state.limits.leak_after
        if longest is None:
            return
        with state.lock:
            held = [c for c in state.leased if now - c.lent_at >= longest and c.reported != c.lent_at and c.uses]
            holders = [messages.Holder(connection, now) for connection in held]
            for connection in held:
                connection.reported = connection.lent_at
        for holder in holders:
            what = str(holder.key) if holder.purpose is None else self._describe(holder.purpose)
            text = messages.held(holder, what, self._words)
            log.warning("%s: %s", holder.key, text)  # each of them: that is what leak_after is for
            if state.news.active:
                news = Announce("held", holder.key, seconds=holder.seconds, text=text, purpose=holder.purpose)
                state.deferred.append(news)

    def _watch_utilisation(self, now: float) -> None:
        """Saturation and recovery, of each origin that is near its limit and of the total."""
        state = self._state
        cap, total = state.limits.max_connections_per_origin, state.limits.max_connections
        with state.lock:
            if cap is not None:
                for origin in list(state.near_limit):
                    change = origin.utilisation.observe(origin.busy / cap, now)
                    self._tell(change, origin.key, "max_connections_per_origin", cap)
                    if origin.open <= cap * SATURATED_SHARE and not origin.utilisation.saturated:
                        del state.near_limit[origin]
            if total is not None:
                change = state.utilisation.observe((state.open - len(state.idle)) / total, now)
                self._tell(change, None, "max_connections", total)

    def _tell(self, change: str | None, key: K | None, name: str, cap: int) -> None:
        if change == "saturated":
            self._state.note_event(change, key, text=messages.saturated(name, cap, self._words), warn=True)
        elif change is not None:
            self._state.note_event(change, key, text=messages.recovered())


def _in_use(origin: Origin[Any, Any], now: float) -> bool:
    """Whether it is used, or has been until lately."""
    if origin.leased or origin.waiting:
        return True
    last = origin.tally.last_use
    return last is not None and now - last < IN_USE_SECONDS

"""Upkeep: what ``Pool.sweep`` does about once a second. Each function decides under the pool's lock and acts after it.

The lock is held for a copy of the list of idle connections and for what is found to be done, never for a walk over all of them.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from ..reasons import Discard
from . import messages
from .entries import Dial, Entry, Lease, Origin, calling_line
from .events import RECOVERED, SATURATED, SUSTAINED, log

if TYPE_CHECKING:
    from .pool import Pool

    AnyPool = Pool[Any, Any]
    AnyEntry = Entry[Any, Any]
    AnyOrigin = Origin[Any, Any]

PERIOD = 1.0  # seconds between two looks at what can change by itself: sockets, utilisation, leases
IN_USE = 300.0  # seconds after its last use for which min_idle_connections are kept for an origin
DIAL_SECONDS = 10.0  # for a connection that nobody waits for

SATURATION_ADVICE = "raise {name} (now {cap}), or use fewer threads; see client.advise()"


def sweep(pool: AnyPool, now: float) -> float | None:
    """Everything; seconds until the next time, None if there is nothing to watch."""
    with pool._lock:
        idle = list(pool._idle)
        pool._after.extend((pool._reap, entry) for entry in pool._leased if entry.leaked)
    due = _expire(pool, idle, now)
    _look_for_closed(pool, idle)
    _refill(pool, now)
    _report_held(pool, now)
    _watch_utilisation(pool, now)
    return _delay(pool, due, now)


def _delay(pool: AnyPool, due: float | None, now: float) -> float | None:
    with pool._lock:
        refilling = pool.limits.min_idle_connections and any(_in_use(o, now) for o in pool._origins.values())
        if pool._closed or not (pool._open or refilling):
            pool._watched = False
            return None
        if refilling or pool._hot or pool.limits.leak_after is not None or (pool._glance is not None and pool._idle):
            return PERIOD
    return PERIOD if due is None else max(due - now, 0.01)


def _expire(pool: AnyPool, idle: list[AnyEntry], now: float) -> float | None:
    """Close what is too old; when the next will be."""
    due: float | None = None
    expired = []
    for entry in idle:
        if entry.expired(now) is not None:
            expired.append(entry)
            continue
        for moment in (entry.idle_until, entry.retire_at):
            if moment is not None and (due is None or moment < due):
                due = moment
    if expired:
        with pool._lock:
            try:
                for entry in expired:
                    reason = entry.expired(now)
                    if entry in pool._idle and reason is not None:
                        pool._drop_idle(entry, reason)
            except BaseException:
                pool._mend(None)
                raise
    return due


def _look_for_closed(pool: AnyPool, idle: list[AnyEntry]) -> None:
    """Probe the idle connections to which something has happened, and close those that are unfit."""
    if pool._glance is None or not idle:
        return
    by_resource = {id(entry.resource): entry for entry in idle}
    for resource in pool._glance([entry.resource for entry in idle]):
        _probe_idle(pool, by_resource[id(resource)])


def _probe_idle(pool: AnyPool, entry: AnyEntry) -> None:
    """A probe may read: the connection is taken out of idle for it, and nobody else has it meanwhile."""
    lease: Lease[Any, Any] = Lease(pool)  # this may be the user's own thread, and Ctrl-C may strike at any line
    verdict: Discard | None = Discard.BROKEN
    try:
        with pool._lock:
            if entry not in pool._idle:
                return  # in use: whoever has it, has probed it
            try:
                lease._entry = entry
                entry.lent_at = pool._clock()
                del pool._idle[entry], entry.origin.idle[entry]
                pool._leased.add(entry)
                entry.origin.leased += 1
            except BaseException:
                pool._mend(entry)
                raise
        verdict = pool._probe(entry.resource)
    finally:
        with pool._lock:
            uses = entry.uses
            if lease._entry is not None and not entry.gone:
                try:
                    lease._entry = None
                    _put_back(pool, entry, verdict)
                except BaseException:
                    pool._mend(entry, uses)
                    raise


def _put_back(pool: AnyPool, entry: AnyEntry, verdict: Discard | None) -> None:
    if verdict is not None:
        pool._drop_leased(entry, verdict, pool._clock() - entry.idle_since)
        pool._serve(entry.origin)
    elif pool._closed or entry.origin.waiting or pool._starved:
        pool._offer(entry)
    else:
        pool._put_idle(entry)


def _refill(pool: AnyPool, now: float) -> None:
    """``min_idle_connections`` for each origin in use, unless its server is known not to want them."""
    wanted = pool.limits.min_idle_connections
    if not wanted:
        return
    dials: list[Dial[Any, Any]] = []

    def claim() -> None:
        if pool._closed:
            return
        for origin in list(pool._origins.values()):
            if all(now - entry.opened_at >= origin.refill_delay for entry in origin.idle):
                origin.refill_delay = 0.0 if origin.idle else origin.refill_delay
            missing = wanted - len(origin.idle) - sum(dial.waiter is None for dial in origin.dials)
            if missing > 0 and _in_use(origin, now) and now >= origin.refill_at:
                pool._claim_for_idle(origin, missing, None, dials)

    pool._dial_for_nobody(claim, dials, DIAL_SECONDS)


def _in_use(origin: AnyOrigin, now: float) -> bool:
    """Whether somebody uses it, or has until lately."""
    if origin.leased or origin.waiting:
        return True
    last = origin.tally.last_use
    return last is not None and now - last < IN_USE


def _report_held(pool: AnyPool, now: float) -> None:
    """Log, once each, the leases that are held for longer than ``leak_after``."""
    longest = pool.limits.leak_after
    if longest is None:
        return
    with pool._lock:
        held = [e for e in pool._leased if now - e.lent_at >= longest and e.reported != e.lent_at and e.uses]
        facts = [(e.origin.key, e.purpose, e.where, e.thread, now - e.lent_at) for e in held]
        for entry in held:
            entry.reported = entry.lent_at
    for key, purpose, where, thread, seconds in facts:
        what = str(key) if purpose is None else pool._describe(purpose)
        text = messages.held_text(what, where or _line_of(thread), seconds)
        log.warning("%s: %s", key, text)  # each of them: that is what leak_after is for
        pool._announce("held", key, seconds=seconds, text=text)


def _line_of(thread: int) -> tuple[str, int] | None:
    return calling_line(sys._current_frames().get(thread))


def _watch_utilisation(pool: AnyPool, now: float) -> None:
    """Saturation and recovery, of each origin that is near its limit and of the total."""
    cap, total = pool.limits.max_connections_per_origin, pool.limits.max_connections
    with pool._lock:
        if cap is not None:
            for origin in list(pool._hot):
                change = origin.utilisation.observe(origin.busy / cap, now)
                _tell(pool, change, origin.key, "max_connections_per_origin", cap)
                if origin.open <= cap * SATURATED and not origin.utilisation.saturated:
                    del pool._hot[origin]
        if total is not None:
            change = pool._utilisation.observe((pool._open - len(pool._idle)) / total, now)
            _tell(pool, change, None, "max_connections", total)


def _tell(pool: AnyPool, change: str | None, key: Any, name: str, cap: int) -> None:
    if change == "saturated":
        text = f"more than {SATURATED:.0%} of the connections in use for {SUSTAINED:.0f} s: "
        text += SATURATION_ADVICE.format(name=name, cap=cap)
        pool._note_event(change, key, text=text, warn=True)
    elif change is not None:
        pool._note_event(change, key, text=f"less than {RECOVERED:.0%} of the connections are in use again")

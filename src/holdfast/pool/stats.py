"""What a pool counts (``Tally``, guarded by the pool's lock) and what it tells (``PoolStats``, a frozen snapshot).

Memory is constant per origin: durations go into histograms whose buckets grow by a quarter of an octave (an error of 10 % at
most), rates into a ring of ten buckets of six seconds.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from ..reasons import Discard
from .learning import NOTHING_LEARNED, Learned

RATE_BUCKET_SECONDS = 6.0
RATE_BUCKETS = 10
LEASES_PER_BATCH = 64  # entered into histogram and rate together
MIN_SECONDS = 1e-9  # what a duration counts as that the clock is too coarse to see
HISTOGRAM_BOUNDS_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0)


class Rate:
    """Events per second over the last minute."""

    __slots__ = ("counts", "first", "slot")

    def __init__(self) -> None:
        self.counts = [0] * RATE_BUCKETS
        self.slot = -1
        self.first: float | None = None

    def add(self, now: float, times: int = 1) -> None:
        slot = int(now // RATE_BUCKET_SECONDS)
        if slot != self.slot:
            self._turn(slot, now)
        self.counts[slot % RATE_BUCKETS] += times

    def add_all(self, moments: Sequence[float]) -> None:
        """Several, in order of time; nearly always they belong to one slot."""
        first = moments[0]
        if moments[-1] // RATE_BUCKET_SECONDS == first // RATE_BUCKET_SECONDS:
            self.add(first, len(moments))
        else:
            for now in moments:
                self.add(now)

    def _turn(self, slot: int, now: float) -> None:
        if self.first is None:
            self.first = now
            self.slot = slot
            return
        for passed in range(max(self.slot + 1, slot - RATE_BUCKETS + 1), slot + 1):
            self.counts[passed % RATE_BUCKETS] = 0
        self.slot = slot

    def absorb(self, other: Rate) -> None:
        if other.first is None:
            return
        if self.first is None or other.slot > self.slot:
            self._turn(other.slot, other.first)
        self.first = min(self.first or other.first, other.first)
        for slot in range(max(0, self.slot - RATE_BUCKETS + 1), other.slot + 1):
            if slot > other.slot - RATE_BUCKETS:
                self.counts[slot % RATE_BUCKETS] += other.counts[slot % RATE_BUCKETS]

    def per_second(self, now: float) -> float:
        if self.first is None:
            return 0.0
        slot = int(now // RATE_BUCKET_SECONDS)
        if slot != self.slot:
            self._turn(slot, now)
        seconds = min(now - self.first, (RATE_BUCKETS - 1) * RATE_BUCKET_SECONDS + now % RATE_BUCKET_SECONDS)
        return sum(self.counts) / max(seconds, 1.0)


class Histogram:
    """Durations in seconds, in buckets a quarter of an octave wide."""

    __slots__ = ("buckets", "count", "largest", "total")

    def __init__(self) -> None:
        self.buckets: dict[int, int] = {}
        self.count = 0
        self.total = 0.0
        self.largest = 0.0

    def add(self, seconds: float) -> None:
        self.add_all((seconds,))

    def add_all(self, durations: Sequence[float]) -> None:
        """Several at once. Sorted, those of one bucket stand together: it costs by buckets and not by durations."""
        ordered = sorted(durations)
        at, count = 0, len(ordered)
        while at < count:
            fraction, exponent = math.frexp(ordered[at] or MIN_SECONDS)
            bucket = exponent * 4 + int(fraction * 8)  # fraction is in [0.5, 1), so 4 to 7
            end = bisect_left(ordered, _upper_edge(bucket), at + 1)
            # Filed first and counted last: a Ctrl-C in between must not leave a count without a bucket.
            self.buckets[bucket] = self.buckets.get(bucket, 0) + end - at
            at = end
        self.largest = max(self.largest, ordered[-1])
        self.total += sum(ordered)
        self.count += count

    def absorb(self, other: Histogram) -> None:
        self.count += other.count
        self.total += other.total
        self.largest = max(self.largest, other.largest)
        for bucket, count in other.buckets.items():
            self.buckets[bucket] = self.buckets.get(bucket, 0) + count

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else 0.0

    def quantile(self, q: float) -> float:
        """The value that a share ``q`` of the durations does not exceed; 0 if there are none."""
        return min(_upper_edge(self._bucket_of(q)), self.largest) if self.count else 0.0

    def quantile_at_least(self, q: float) -> float:
        """The same, rounded down instead of up."""
        return min(_upper_edge(self._bucket_of(q) - 1), self.largest) if self.count else 0.0

    def _bucket_of(self, q: float) -> int:
        seen = 0
        for bucket in sorted(self.buckets):
            seen += self.buckets[bucket]
            if seen >= q * self.count:
                break
        return bucket

    def cumulative(self, bounds: tuple[float, ...]) -> dict[float, int]:
        """How many durations are at most each bound, to the resolution of the buckets."""
        return {b: sum(n for k, n in self.buckets.items() if _upper_edge(k) <= b * 1.0001) for b in bounds}


def _upper_edge(bucket: int) -> float:
    exponent, part = divmod(bucket - 4, 4)
    return math.ldexp((part + 5) / 8, exponent)


class Tally:
    """What one origin's connections have gone through. Guarded by the pool's lock."""

    __slots__ = (
        "_leases",
        "_requests",
        "avoided",
        "closed",
        "created",
        "creations",
        "early_ends",
        "ended",
        "failed",
        "last_use",
        "leaks",
        "pool_timeouts",
        "resent",
        "reused",
        "single_use",
        "waits",
    )

    def __init__(self) -> None:
        self.created = 0
        self.failed = 0
        self.reused = 0
        self.leaks = 0
        self.avoided = 0
        self.pool_timeouts = 0
        self.single_use = 0
        self.last_use: float | None = None
        self.closed: Counter[Discard] = Counter()
        self.resent: Counter[str] = Counter()
        self.creations = Rate()
        self.ended: list[tuple[float, float]] = []  # (seconds, now) of the last few, not yet entered below
        self._requests = Rate()
        self._leases = Histogram()
        self.waits = Histogram()
        self.early_ends = Histogram()

    def count_created(self, now: float) -> None:
        self.created += 1
        self.creations.add(now)

    def count_closed(self, reason: Discard, uses: int, idle: float | None) -> None:
        """A connection has gone after ``uses`` uses; ``idle``: seconds since the last one, if it was idle when it went."""
        self.closed[reason] += 1
        if uses <= 1:
            self.single_use += 1
        if reason is Discard.STALE and idle is not None:
            self.early_ends.add(idle)

    def count_lease(self, seconds: float, now: float, uses: int) -> None:
        """A use has ended, the ``uses``-th of its connection."""
        if uses > 1:
            self.reused += 1
        self.last_use = now
        self.ended.append((seconds, now))
        if len(self.ended) >= LEASES_PER_BATCH:
            self._enter()

    def _enter(self) -> None:
        """Many at once cost a fraction of what each would cost by itself, in the middle of a request."""
        if self.ended:
            ended, self.ended = self.ended, []
            durations, moments = zip(*ended, strict=True)
            self._leases.add_all(durations)
            self._requests.add_all(moments)

    @property
    def leases(self) -> Histogram:
        """How long connections were in use, per exchange."""
        self._enter()
        return self._leases

    @property
    def requests(self) -> Rate:
        """Exchanges that ended."""
        self._enter()
        return self._requests

    def absorb(self, other: Tally) -> None:
        """Add another origin's figures to these."""
        for name in ("created", "failed", "reused", "leaks", "avoided", "pool_timeouts", "single_use"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.closed.update(other.closed)
        self.resent.update(other.resent)
        for name in ("creations", "requests", "leases", "waits", "early_ends"):
            getattr(self, name).absorb(getattr(other, name))

    def copy(self) -> Tally:
        """The same figures, to add others to."""
        other = Tally()
        other.absorb(self)
        return other


@dataclass(frozen=True)
class OriginStats:
    """One origin, or all of them together, at one moment.

    Attributes:
        origin: ``https://example.com:443``; ``*`` for the total.
        active: connections in use.
        idle: connections open and unused.
        connecting: connections being opened.
        waiting: threads waiting because the limits are reached.
        limit: the most that may be open; None without a bound.
        utilisation: (active + connecting) / limit, from 0 to 1; None without a bound.
        created: connections opened.
        connect_failures: attempts to open one that failed.
        creation_rate: connections opened per second, over the last minute.
        reused: exchanges that ended on a connection which had carried one before.
        reuse_ratio: reused / requests, from 0 to 1; 0 before the first request.
        closed: connections closed, by the value of their ``Discard`` reason.
        single_use: connections closed that had carried at most one request.
        resent: requests sent again, by the value of their ``Resend`` reason.
        requests: exchanges that ended (an exchange is one use of a connection).
        request_rate: exchanges that ended per second, over the last minute.
        lease_mean: mean seconds a connection was in use per exchange, to the end of the body.
        lease_p95: seconds within which 95 % of the exchanges ended (to 10 %).
        lease_total: seconds the connections were in use, together.
        lease_histogram: exchanges that took at most so many seconds: ``{0.001: n, ...}``, cumulative.
        waits: acquisitions that had to wait for room under the limits.
        wait_total: seconds they waited, together.
        wait_max: longest of these waits, in seconds.
        wait_histogram: waits of at most so many seconds: ``{0.001: n, ...}``, cumulative.
        pool_timeouts: acquisitions that gave up.
        leaks: responses dropped without being read or closed.
        early_ends: idle connections that the server had closed before the pool did.
        early_end_after: seconds of idleness after which most of these were closed already (their 10th percentile).
        closes_after: seconds of idleness after which the server closes, as learned from ends; None while nothing is known.
        closes_after_uses: requests after which it closes a connection without saying so, likewise.
        avoided: requests that passed idle connections over, because they cannot be sent again and the server was about to close.
    """

    origin: str
    active: int
    idle: int
    connecting: int
    waiting: int
    limit: int | None
    created: int
    connect_failures: int
    creation_rate: float
    reused: int
    closed: Mapping[str, int]
    single_use: int
    resent: Mapping[str, int]
    requests: int
    request_rate: float
    lease_mean: float
    lease_p95: float
    lease_total: float
    lease_histogram: Mapping[float, int]
    waits: int
    wait_total: float
    wait_max: float
    wait_histogram: Mapping[float, int]
    pool_timeouts: int
    leaks: int
    early_ends: int
    early_end_after: float
    closes_after: float | None
    closes_after_uses: int | None
    avoided: int

    @property
    def utilisation(self) -> float | None:
        """(active + connecting) / limit; None without a bound."""
        return None if self.limit is None else (self.active + self.connecting) / self.limit

    @property
    def reuse_ratio(self) -> float:
        """reused / requests; 0 before the first request."""
        return self.reused / self.requests if self.requests else 0.0

    @classmethod
    def of(
        cls,
        origin: str,
        gauges: tuple[int, int, int, int],
        limit: int | None,
        tally: Tally,
        now: float,
        learned: Learned = NOTHING_LEARNED,
    ) -> OriginStats:
        """A snapshot from (active, idle, connecting, waiting), a tally and what was learned; the caller holds the pool's lock."""
        active, idle, connecting, waiting = gauges
        uses = learned.uses.value
        return cls(
            origin=origin,
            active=active,
            idle=idle,
            connecting=connecting,
            waiting=waiting,
            limit=limit,
            created=tally.created,
            connect_failures=tally.failed,
            creation_rate=tally.creations.per_second(now),
            reused=tally.reused,
            closed=MappingProxyType({reason.value: n for reason, n in tally.closed.items()}),
            single_use=tally.single_use,
            resent=MappingProxyType(dict(tally.resent)),
            requests=tally.leases.count,
            request_rate=tally.requests.per_second(now),
            lease_mean=tally.leases.mean,
            lease_p95=tally.leases.quantile(0.95),
            lease_total=tally.leases.total,
            lease_histogram=MappingProxyType(tally.leases.cumulative(HISTOGRAM_BOUNDS_SECONDS)),
            waits=tally.waits.count,
            wait_total=tally.waits.total,
            wait_max=tally.waits.largest,
            wait_histogram=MappingProxyType(tally.waits.cumulative(HISTOGRAM_BOUNDS_SECONDS)),
            pool_timeouts=tally.pool_timeouts,
            leaks=tally.leaks,
            early_ends=tally.early_ends.count,
            early_end_after=tally.early_ends.quantile_at_least(0.1),
            closes_after=learned.idle.value,
            closes_after_uses=None if uses is None else int(uses),
            avoided=tally.avoided,
        )

    def named(self, origin: str) -> OriginStats:
        """The same figures, for an origin of this name."""
        return replace(self, origin=origin)

    def as_dict(self) -> dict[str, Any]:
        """Plain values only, ready for JSON."""
        plain = {f: getattr(self, f) for f in self.__dataclass_fields__}
        plain["closed"] = dict(self.closed)
        plain["resent"] = dict(self.resent)
        for name in ("wait_histogram", "lease_histogram"):
            plain[name] = {str(bound): n for bound, n in getattr(self, name).items()}
        return {**plain, "utilisation": self.utilisation, "reuse_ratio": self.reuse_ratio}


@dataclass(frozen=True, repr=False)
class PoolStats:
    """A pool at one moment: every figure for all origins together, and per origin.

    Attributes:
        total: all origins together. Its fields can be read from this object directly: ``stats.created``.
        origins: one OriginStats per origin that is or recently was in use.
        attributes: what tells each of them apart in ``opentelemetry``, in the same order: ``server.address`` and the like.
    """

    total: OriginStats
    origins: tuple[OriginStats, ...]
    attributes: tuple[Mapping[str, str | int], ...] = ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.total, name)

    def __repr__(self) -> str:
        t = self.total
        used = "" if t.utilisation is None else f" ({t.utilisation:.0%} of {t.limit})"
        return (
            f"<PoolStats: {t.active} active{used}, {t.idle} idle, {t.connecting} connecting, {t.waiting} waiting; "
            f"{t.requests} requests on {t.created} connections, {t.reuse_ratio:.0%} reused>"
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values only, ready for JSON."""
        return {"total": self.total.as_dict(), "origins": [o.as_dict() for o in self.origins]}

    def opentelemetry(self) -> list[tuple[str, dict[str, str | int], float]]:
        """(name, attributes, value) for each origin, under the names of OpenTelemetry's semantic conventions where there are any.

        ``http.client.open_connections`` (by ``http.connection.state``) and ``http.client.active_requests`` are those of HTTP
        clients. Where these have none, the names are those of ``db.client.connection.*`` with ``http`` for ``db``.
        """
        pairs = zip(self.origins, self.attributes, strict=True)
        return [measurement for origin, where in pairs for measurement in _measurements(origin, dict(where))]


def _measurements(stats: OriginStats, where: dict[str, str | int]) -> list[tuple[str, dict[str, str | int], float]]:
    found: list[tuple[str, dict[str, str | int], float]] = [
        ("http.client.open_connections", {**where, "http.connection.state": "active"}, stats.active),
        ("http.client.open_connections", {**where, "http.connection.state": "idle"}, stats.idle),
        ("http.client.active_requests", where, stats.active),
        ("http.client.connection.pending_requests", where, stats.waiting),
        ("http.client.connection.timeouts", where, stats.pool_timeouts),
    ]
    if stats.limit is not None:
        found.append(("http.client.connection.max", where, stats.limit))
    return found

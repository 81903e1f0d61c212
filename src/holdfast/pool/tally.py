"""What a pool counts: ``Tally``, guarded by the pool's lock. What it tells of that is in ``stats``.

Memory is constant per origin: durations go into histograms whose buckets grow by a quarter of an octave (an error of 10 % at
most), rates into a ring of ten buckets of six seconds.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

from ..reasons import Discard

RATE_BUCKET_SECONDS = 6.0
RATE_BUCKETS = 10
LEASES_PER_BATCH = 64  # entered into histogram and rate together
STALE = Discard.STALE  # looked up once
MIN_SECONDS = 1e-9  # what a duration counts as that the clock is too coarse to see


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
        if reason is STALE and idle is not None:
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

"""What a pool tells of what it counts: ``PoolStats``, a frozen snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from .._numbers import number_of
from .learning import NOTHING_LEARNED, Learned
from .tally import Tally

HISTOGRAM_BOUNDS_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0)


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

    def __getstate__(self) -> dict[str, Any]:
        return {name: dict(value) if isinstance(value, Mapping) else value for name, value in self.__dict__.items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update({name: MappingProxyType(value) if isinstance(value, dict) else value for name, value in state.items()})

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
            f"{number_of(t.requests, 'request')} on {number_of(t.created, 'connection')}, {t.reuse_ratio:.0%} reused>"
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

"""Advice: how many connections the measured load needs, and what else the figures suggest. Pure: a function of a snapshot.

Little's law: on average, rate × duration requests are under way at once. Half as many again leaves room for the times that are
busier than the average.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from .._numbers import number_of
from .events import SLOW_WAIT_SECONDS
from .limits import Limits
from .messages import slow_wait
from .stats import OriginStats, PoolStats
from .words import Words

HEADROOM = 1.5
MIN_CLOSED = 20  # connections, before their fates are taken for a pattern
MIN_OCCURRENCES = 5  # of what went wrong, likewise
NOT_KEPT_SECONDS = 0.1  # a server that closes sooner keeps nothing


@dataclass(frozen=True)
class OriginAdvice:
    """What one origin's figures suggest.

    Attributes:
        origin: ``https://example.com:443``.
        recommended_max: connections that the measured load needs: request_rate × lease_mean × 1.5, at least 1.
        request_rate: requests per second over the last minute, on which that rests.
        lease_mean: mean seconds a connection was in use per request, likewise.
        current_max: max_connections_per_origin as it is set; None without a bound.
        sentences: what to change, and why; empty if nothing needs to be.
        uses: what one use of a connection is called in the text, in the plural.
    """

    origin: str
    recommended_max: int
    request_rate: float
    lease_mean: float
    current_max: int | None
    sentences: tuple[str, ...] = field(default=())
    uses: str = field(default="requests", repr=False)

    def __str__(self) -> str:
        evidence = f"{self.request_rate:.3g} {self.uses}/s × {self.lease_mean:.3g} s × {HEADROOM}"
        enough = number_of(self.recommended_max, "connection suffices", "connections suffice")
        head = f"{self.origin}: {enough} ({evidence}), {self.current_max} allowed"
        return "\n  ".join((head, *self.sentences))


def advise(stats: PoolStats, limits: Limits, words: Words) -> tuple[OriginAdvice, ...]:
    """One piece of advice per origin whose connections were used."""
    return tuple(advise_origin(origin, limits, words) for origin in stats.origins if origin.requests)


def advise_origin(stats: OriginStats, limits: Limits, words: Words) -> OriginAdvice:
    """What one origin's figures suggest."""
    recommended = max(1, math.ceil(stats.request_rate * stats.lease_mean * HEADROOM))
    rules = (_waits, _used_once, _early_ends, _avoided, _leaks, _failures)
    sentences = [_too_few(stats.limit, recommended)] if stats.limit is not None and recommended > stats.limit else []
    sentences += [sentence for rule in rules if (sentence := rule(stats, limits, words)) is not None]
    return OriginAdvice(
        stats.origin, recommended, stats.request_rate, stats.lease_mean, stats.limit, tuple(sentences), words.uses
    )


def _too_few(limit: int, needed: int) -> str:
    allowed = number_of(limit, "is", "are")
    return f"the load needs about {number_of(needed, 'connection')}, {allowed} allowed: set max_connections_per_origin={needed}"


def _waits(stats: OriginStats, limits: Limits, words: Words) -> str | None:
    if not stats.pool_timeouts and stats.wait_max < SLOW_WAIT_SECONDS:
        return None
    waited = number_of(stats.waits, words.uses.removesuffix("s"))
    return (
        f"{waited} waited for a connection, the longest {stats.wait_max:.2f} s, {stats.pool_timeouts} in vain: "
        + slow_wait(words)
    )


def _used_once(stats: OriginStats, limits: Limits, words: Words) -> str | None:
    closed = sum(stats.closed.values())
    if closed < MIN_CLOSED or stats.single_use < 0.5 * closed:
        return None
    share = f"{stats.single_use / closed:.0%} of {number_of(closed, 'connection was', 'connections were')} used at most once"
    if stats.closed.get("surplus", 0) > 0.5 * closed:
        return f"{share} and closed because there was no room to keep them: raise max_idle_connections (or max_idle_per_origin)"
    if stats.closed.get("idle_timeout", 0) > 0.5 * closed:
        return f"{share} and closed after {limits.idle_timeout} s idle: raise idle_timeout if the server keeps them longer"
    if stats.closed.get("server_close", 0) > 0.5 * closed:
        return f"{share} and closed by the server, which does not keep connections alive"
    return None


def _early_ends(stats: OriginStats, limits: Limits, words: Words) -> str | None:
    if stats.early_ends < MIN_OCCURRENCES:
        return None
    after = stats.early_end_after
    if limits.idle_timeout is not None and after >= limits.idle_timeout:
        return None
    if after < NOT_KEPT_SECONDS:
        return f"the server closed {number_of(stats.early_ends, 'connection')} right after use: it does not keep connections alive"
    keep = max(1, math.floor(after * 0.9)) if after >= 1 else round(after * 0.9, 2)
    return f"the server closed {number_of(stats.early_ends, 'idle connection')} at about {after:.2g} s: set idle_timeout={keep}"


def _avoided(stats: OriginStats, limits: Limits, words: Words) -> str | None:
    """The pool keeps clear of the server's closes by itself; what that costs is told, and what would spare it."""
    if stats.avoided < MIN_OCCURRENCES:
        return None
    said = f"{stats.avoided} {words.uses} that cannot be repeated were given new connections, because the server closes"
    if stats.closes_after_uses is not None:
        times = "each connection after one use" if stats.closes_after_uses == 1 else f"after {stats.closes_after_uses} uses"
        return f"{said} {times} without saying so: set max_requests={stats.closes_after_uses}"
    if stats.closes_after is not None:
        return f"{said} idle connections after about {stats.closes_after:.2g} s: raise its keep-alive timeout if it is yours"
    return None


def _leaks(stats: OriginStats, limits: Limits, words: Words) -> str | None:
    if not stats.leaks:
        return None
    leaked = number_of(stats.leaks, *words.not_given_back)
    return f"{leaked}: use 'with', and see the ResourceWarnings (python -W default) for where"


def _failures(stats: OriginStats, limits: Limits, words: Words) -> str | None:
    attempts = stats.created + stats.connect_failures
    if stats.connect_failures < MIN_OCCURRENCES or stats.connect_failures < 0.1 * attempts:
        return None
    return f"{stats.connect_failures} of {number_of(attempts, 'attempt')} to connect failed: check the server and the network"

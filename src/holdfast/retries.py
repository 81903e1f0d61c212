"""Retries: the user's own policy for servers that refuse or fail. Off by default. Pure: no clock, no socket, no randomness."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from math import ceil

from ._values import Value
from .resend import IDEMPOTENT

MAX_RETRY_AFTER = 256  # characters of Retry-After that are read

# One value: seconds or a date, whose comma is behind the name of a day.
# Compiled when a server first says Retry-After: as much as a module costs.
_RETRY_AFTER = r"(?i:(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,)?[^,]+)"
_SECONDS = r"[0-9]+(?:\.[0-9]*)?|\.[0-9]+"


@dataclass(frozen=True, eq=False, repr=False)
class Retries(Value):
    """When to ask again after the server failed or could not be reached. The default never does.

    Attributes:
        attempts: how many more times to ask at most. Default 0.
        statuses: response statuses worth another try. Default 429, 502, 503 and 504.
        methods: methods that may be sent again after a response or a timeout; a request with an Idempotency-Key counts
            as one of them. Failing to connect may be retried for every method. Default: the idempotent ones.
        backoff: seconds before the second attempt; doubled for each further one. Default 0.5.
        max_backoff: longest wait in seconds, whatever the server's Retry-After says. Default 30.
        respect_retry_after: wait as long as the server's Retry-After asks. Default True.

    Raises:
        ValueError: a negative number.
    """

    attempts: int = 0
    statuses: Collection[int] = field(default=(429, 502, 503, 504))
    methods: Collection[str] = IDEMPOTENT
    backoff: float = 0.5
    max_backoff: float = 30.0
    respect_retry_after: bool = True

    def __post_init__(self) -> None:
        for name in ("attempts", "backoff", "max_backoff"):
            value = getattr(self, name)
            if not (isinstance(value, (int, float)) and value >= 0):  # a NaN is not >= 0 either
                raise ValueError(f"Retries({name}={value!r}): must be a number, and not negative")
        if isinstance(self.methods, str):
            raise ValueError(f"Retries(methods={self.methods!r}): give a collection, such as [{self.methods!r}]")
        object.__setattr__(self, "methods", frozenset(method.upper() for method in self.methods))

    @classmethod
    def of(cls, value: Retries | int | None) -> Retries:
        """The Retries meant by a number of attempts, None (none), or a Retries."""
        if isinstance(value, cls):
            return value
        if value is None:
            return NO_RETRIES
        if isinstance(value, int) and not isinstance(value, bool):
            return cls(attempts=value)
        raise ValueError(f"retries={value!r}: expected a number of attempts, None or holdfast.Retries")

    def after_response(self, method: str, status: int, has_key: bool, made: int) -> bool:
        """Whether to ask again after this response, ``made`` retries having been made."""
        return made < self.attempts and status in self.statuses and (has_key or method in self.methods)

    def after_failure(self, method: str, has_key: bool, made: int, *, connected: bool) -> bool:
        """Whether to ask again after a failure; one that never connected is safe for every method."""
        return made < self.attempts and (not connected or has_key or method in self.methods)

    def wait(self, made: int, retry_after: str | None, now: float, date: str | None = None) -> float:
        """Seconds to wait before the next attempt, ``made`` retries having been made. ``date``: see ``parse_retry_after``."""
        asked = parse_retry_after(retry_after, now, date) if self.respect_retry_after else None
        return min(self.backoff * 2.0 ** min(made, 100) if asked is None else asked, self.max_backoff)


NO_RETRIES = Retries()


def parse_retry_after(value: str | None, now: float, date: str | None = None) -> float | None:
    """Seconds asked for by Retry-After (RFC 9110, section 10.2.3), None if it is absent or makes no sense.

    A fraction, which the RFC does not have and gateways send, counts as the next whole second. Of several values, which are
    as little allowed, the longest wait counts: the server that named it is not asked too soon.

    Args:
        value: the field's; of several fields, their values joined with commas.
        now: seconds since the epoch, for the form that is a date.
        date: the Date of the same response, which goes before ``now``: the server's clock wrote both, and may be an hour apart from
            this machine's. None if there is none.
    """
    if value is None:
        return None
    waits = [_asked_wait(one.strip(), now, date) for one in re.findall(_RETRY_AFTER, value[:MAX_RETRY_AFTER])]
    return max((wait for wait in waits if wait is not None), default=None)


def _asked_wait(text: str, now: float, date: str | None) -> float | None:
    if re.fullmatch(_SECONDS, text):
        return float(ceil(float(text)))
    when = _moment(text)
    if when is None:
        return None
    sent = _moment(date[:MAX_RETRY_AFTER]) if date else None
    return max(0.0, when - (now if sent is None else sent))


def _moment(text: str) -> float | None:
    """Seconds since the epoch of an HTTP date; None if it is none."""
    from datetime import timezone  # these two are 10 ms of import that few programs ever need
    from email.utils import parsedate_to_datetime

    try:
        when = parsedate_to_datetime(text)
        if when.tzinfo is None:
            when = when.replace(tzinfo=timezone.utc)  # RFC 9110, section 5.6.7: always GMT, said or not
        return when.timestamp()
    except (TypeError, ValueError, IndexError, OverflowError):
        return None

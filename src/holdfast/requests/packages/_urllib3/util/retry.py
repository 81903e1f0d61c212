"""``urllib3.util.retry``: how often a request is tried again. Immutable: ``increment`` gives the next one.

The arguments and methods that programs use of urllib3's; what it takes beyond them is a TypeError.
"""

from __future__ import annotations

import copy
import random
import time
from collections.abc import Collection
from email.utils import parsedate_to_datetime
from typing import Any

from ..exceptions import ConnectTimeoutError, MaxRetryError, ProtocolError, ProxyError, ReadTimeoutError, ResponseError

__all__ = ["Retry"]


class Retry:
    """How often a request is tried again, and after how long.

    Args:
        total: attempts beyond the first, whatever fails; goes before the other counts. None: only those count.
        connect, read, status, other: of each kind of failure; None for no count of its own. ``read=False`` passes errors on.
        redirect: accepted: redirects are a session's business.
        allowed_methods: that may be repeated after they may have been executed; None for any.
        status_forcelist: statuses to try again after.
        backoff_factor: seconds before the second retry; doubled for each further one.
        backoff_max: seconds, at most. Default 120.
        backoff_jitter: up to so many seconds more, at random.
        raise_on_status: whether the last of such responses is an error. Default True.
        respect_retry_after_header: wait as long as the server says. Default True.
    """

    DEFAULT_ALLOWED_METHODS = frozenset(("DELETE", "GET", "HEAD", "OPTIONS", "PUT", "TRACE"))
    RETRY_AFTER_STATUS_CODES = frozenset((413, 429, 503))
    DEFAULT_BACKOFF_MAX = 120

    def __init__(
        self,
        total: int | bool | None = 10,
        connect: int | None = None,
        read: int | bool | None = None,
        redirect: int | bool | None = None,
        status: int | None = None,
        other: int | None = None,
        allowed_methods: Collection[str] | None = DEFAULT_ALLOWED_METHODS,
        status_forcelist: Collection[int] | None = None,
        backoff_factor: float = 0,
        backoff_max: float = DEFAULT_BACKOFF_MAX,
        raise_on_redirect: bool = True,
        raise_on_status: bool = True,
        history: tuple[Any, ...] = (),
        respect_retry_after_header: bool = True,
        remove_headers_on_redirect: Collection[str] = (),
        backoff_jitter: float = 0.0,
    ) -> None:
        self.total, self.connect, self.read, self.redirect = total, connect, read, redirect
        self.status, self.other = status, other
        self.allowed_methods = allowed_methods
        self.status_forcelist = status_forcelist or set()
        self.backoff_factor, self.backoff_max, self.backoff_jitter = backoff_factor, backoff_max, backoff_jitter
        self.raise_on_redirect, self.raise_on_status = raise_on_redirect, raise_on_status
        self.history = history
        self.respect_retry_after_header = respect_retry_after_header
        self.remove_headers_on_redirect = frozenset(name.lower() for name in remove_headers_on_redirect)

    @classmethod
    def from_int(cls, retries: Any, redirect: Any = True, default: Any = None) -> Retry:
        """A Retry as it is; a number becomes the total."""
        if retries is None:
            retries = cls(3) if default is None else default
        return retries if isinstance(retries, Retry) else cls(retries)

    def new(self, **changes: Any) -> Retry:
        """Another one with these attributes changed."""
        made = copy.copy(self)
        vars(made).update(changes)
        return made

    def is_retry(self, method: str, status_code: int, has_retry_after: bool = False) -> bool:
        """Whether a response of this status is to be tried again."""
        if self.allowed_methods is not None and method.upper() not in self.allowed_methods:
            return False
        if status_code in self.status_forcelist:
            return True
        asked = self.respect_retry_after_header and has_retry_after and status_code in self.RETRY_AFTER_STATUS_CODES
        return bool(self.total and asked)

    def is_exhausted(self) -> bool:
        """Whether a count has gone below 0."""
        counts = (self.total, self.connect, self.read, self.status, self.other)
        return any(count is not None and count is not False and count < 0 for count in counts)

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: Any = None,
        error: Exception | None = None,
        _pool: Any = None,
        _stacktrace: Any = None,
    ) -> Retry:
        """The next Retry, after a failure or a response.

        Raises:
            MaxRetryError: there is none; or ``error`` itself, if ``total`` or the count of its kind is False.
        """
        if error is not None and (self.total is False or (self._kind(error) == "read" and not self._may_repeat(method))):
            raise error
        kind = "status" if error is None else self._kind(error)
        total = None if self.total is None else self.total - 1
        count = getattr(self, kind)
        status = getattr(response, "status", None)
        reason = error or ResponseError(ResponseError.SPECIFIC_ERROR.format(status_code=status))
        made = self.new(history=(*self.history, (method, url, error, status)), total=total)
        setattr(made, kind, None if count is None else count - 1)
        if made.is_exhausted():
            raise MaxRetryError(_pool, url, reason) from reason
        return made

    def _kind(self, error: Exception) -> str:
        if isinstance(error, ProxyError):
            error = error.original_error
        if isinstance(error, ConnectTimeoutError):
            return "connect"
        return "read" if isinstance(error, (ReadTimeoutError, ProtocolError)) else "other"

    def _may_repeat(self, method: str | None) -> bool:
        if self.read is False or method is None:
            return False
        return self.allowed_methods is None or method.upper() in self.allowed_methods

    def get_backoff_time(self) -> float:
        """Seconds to wait now; none before the first retry."""
        if len(self.history) <= 1:
            return 0
        seconds = self.backoff_factor * 2 ** (len(self.history) - 1) + random.random() * self.backoff_jitter
        return float(max(0, min(self.backoff_max, seconds)))

    def parse_retry_after(self, retry_after: str) -> float:
        """Seconds that a Retry-After means; 0 for one in the past or without sense."""
        text = retry_after.strip()
        if text.isdigit():
            return float(text)
        try:
            return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
        except (TypeError, ValueError):
            return 0.0

    def get_retry_after(self, response: Any) -> float | None:
        """Seconds that a response asks for, or None."""
        asked = response.headers.get("Retry-After")
        return None if asked is None else self.parse_retry_after(asked)

    def sleep(self, response: Any = None) -> None:
        """Wait: as long as the response asks for, else the backoff time."""
        asked = self.get_retry_after(response) if self.respect_retry_after_header and response is not None else None
        seconds = asked or self.get_backoff_time()
        if seconds > 0:
            time.sleep(seconds)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(total={self.total}, connect={self.connect}, read={self.read}, status={self.status})"

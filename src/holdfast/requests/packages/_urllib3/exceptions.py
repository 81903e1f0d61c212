"""urllib3's errors and warnings by name, with the arguments and the inheritance that they have there."""

from __future__ import annotations

from typing import Any


class HTTPError(Exception):
    """Base of urllib3's errors."""


class HTTPWarning(Warning):
    """Base of urllib3's warnings."""


class PoolError(HTTPError):
    """Something about a pool."""

    def __init__(self, pool: Any, message: str) -> None:
        super().__init__(f"{pool}: {message}")
        self.pool = pool


class RequestError(PoolError):
    """Something about one request."""

    def __init__(self, pool: Any, url: str | None, message: str) -> None:
        super().__init__(pool, message)
        self.url = url


class MaxRetryError(RequestError):
    """The attempts are used up; ``reason`` is the last error."""

    def __init__(self, pool: Any, url: str | None, reason: Exception | None = None) -> None:
        super().__init__(pool, url, f"Max retries exceeded with url: {url} (Caused by {reason!r})")
        self.reason = reason


class ProtocolError(HTTPError):
    """The connection broke, or what came is not HTTP."""


class SSLError(HTTPError):
    """TLS failed."""


class DecodeError(HTTPError):
    """A body cannot be decoded."""


class ProxyError(HTTPError):
    """The proxy failed."""

    def __init__(self, message: str, error: Exception) -> None:
        super().__init__(message, error)
        self.original_error = error


class TimeoutError(HTTPError):  # noqa: A001 - urllib3's name
    """Something took too long."""


class ReadTimeoutError(TimeoutError, RequestError):
    """The server did not answer in time."""


class ConnectTimeoutError(TimeoutError):
    """There was no connection in time."""


class NewConnectionError(ConnectTimeoutError):
    """There was no connection."""


class ClosedPoolError(PoolError):
    """The pool was closed."""


class LocationValueError(ValueError, HTTPError):
    """A URL makes no sense."""


class LocationParseError(LocationValueError):
    """A URL cannot be parsed."""


class ResponseError(HTTPError):
    """A response that is to be retried."""

    GENERIC_ERROR = "too many error responses"
    SPECIFIC_ERROR = "too many {status_code} error responses"


class IncompleteRead(HTTPError):
    """A body was cut short."""


class InvalidHeader(HTTPError):
    """A header makes no sense."""


class SecurityWarning(HTTPWarning):
    """Something is less safe than it could be."""


class InsecureRequestWarning(SecurityWarning):
    """In urllib3: a certificate is not verified, because it was told so."""


class DependencyWarning(HTTPWarning):
    """In urllib3: a library is missing."""


class InsecurePlatformWarning(SecurityWarning):
    """In urllib3: the interpreter's TLS is old."""

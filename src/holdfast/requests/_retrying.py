"""``max_retries`` of an adapter: a urllib3 ``Retry``, or a subclass of it, run as urllib3 runs it.

It is asked after each failure and each response (``increment``, ``is_retry``, ``sleep``), is told them in urllib3's terms, and
may raise errors of its own. Below it, holdfast sends again by itself what is proven not to have been executed; that costs no
attempt here, and ``Retry(0)`` does not turn it off.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..exceptions import (
    BodyReadTimeout,
    ConnectTimeout,
    InvalidRequest,
    PoolTimeout,
    ProxyError,
    ReadTimeout,
    RequestException,
    RetryError,
    SSLError,
    TotalTimeout,
    WriteTimeout,
)
from ..exceptions import ConnectionError as HoldfastConnectionError
from ..message.request import PreparedRequest
from ..message.response import Response
from .packages import urllib3

__all__ = ["Where", "send_with"]


class Where:
    """What urllib3 names in its messages as the pool."""

    def __init__(self, request: PreparedRequest) -> None:
        url = request.parsed
        self.scheme, self.host, self.port = url.scheme, url.host, url.port

    def __repr__(self) -> str:
        return f"{self.scheme.upper()}ConnectionPool(host={self.host!r}, port={self.port!r})"

    __str__ = __repr__


def send_with(retries: Any, request: PreparedRequest, once: Callable[[], Response]) -> Response:
    """Send as often as ``retries`` says.

    Args:
        once: sends the request.

    Raises:
        RetryError: the server answered with one of the statuses to retry until the end.
        RequestException: the last failure; its cause is urllib3's MaxRetryError.
        Exception: whatever ``retries`` raises by itself.
    """
    where, method, target = Where(request), request.method, request.path_url
    while True:
        try:
            response = once()
        except (InvalidRequest, PoolTimeout, TotalTimeout):
            raise  # another attempt would end in the same
        except (HoldfastConnectionError, ReadTimeout) as error:
            retries = _after_failure(retries, request, error, where)
            retries.sleep()
        else:
            has_retry_after = bool(response.headers.get("Retry-After"))
            _note(response, retries)
            if not retries.is_retry(method, response.status_code, has_retry_after):
                return response
            raw = response.raw
            try:
                retries = retries.increment(method, target, response=raw, _pool=where)
            except urllib3.exceptions.MaxRetryError as error:
                if not retries.raise_on_status:
                    return response
                response.close()
                raise RetryError(error, request=request) from error
            if not _rewound(request):
                return response
            response.close()
            retries.sleep(raw)


def _note(response: Any, retries: Any) -> None:
    """``response.raw.retries``, as in urllib3: scripts read its ``history``."""
    response._retries = retries


def _after_failure(retries: Any, request: PreparedRequest, error: RequestException, where: Where) -> Any:
    known = _in_terms_of_urllib3(error, where, request.path_url)
    try:
        following = retries.increment(request.method, request.path_url, error=known, _pool=where, _stacktrace=error.__traceback__)
    except urllib3.exceptions.MaxRetryError as last:
        raise error from last
    except BaseException as raised:
        if raised is known:
            raise error from error.__cause__
        raise
    if not _rewound(request):
        raise error
    return following


def _rewound(request: PreparedRequest) -> bool:
    body = request.payload
    if body is None or not body.consumed:
        return True
    if body.replayable:
        body.rewind()
    return body.replayable


def _in_terms_of_urllib3(error: RequestException, where: Any, target: str) -> Exception:
    """The error that urllib3 has for this, the cause kept."""
    terms = urllib3.exceptions
    text = str(error)
    made: Exception
    if isinstance(error, ConnectTimeout):
        made = terms.ConnectTimeoutError(where, text)
    elif isinstance(error, ProxyError):
        made = terms.ProxyError(text, terms.NewConnectionError(where, text))
    elif isinstance(error, SSLError):
        made = terms.SSLError(text)
    elif isinstance(error, (ReadTimeout, BodyReadTimeout, WriteTimeout)):
        made = terms.ReadTimeoutError(where, target, text)
    elif getattr(error, "never_connected", False):
        made = terms.NewConnectionError(where, text)
    else:
        made = terms.ProtocolError("Connection aborted.", error)
    made.__cause__ = error
    return made

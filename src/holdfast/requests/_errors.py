"""What an adapter raises, with what scripts written for requests look for in it.

There the first argument of an error is urllib3's error: scripts ask ``error.args[0].reason``, or whether it is a ``MaxRetryError``.
So it is here. Its text is holdfast's all the same, and so is that of the error itself.
"""

from __future__ import annotations

import http.client
import socket
from functools import cache
from typing import Any

from ..exceptions import (
    ChunkedEncodingError,
    ConnectionLost,
    ConnectTimeout,
    InvalidHeader,
    PoolTimeout,
    ProxyError,
    ReadTimeout,
    RemoteProtocolError,
    RequestException,
    SSLError,
    Timeout,
)
from ..exceptions import ConnectionError as HoldfastConnectionError
from ..message.request import PreparedRequest
from ..wire.failures import BROKEN_HEAD
from ._retrying import Where
from .packages import urllib3

__all__ = ["make_known"]

_CONFLICT = "conflicting Content-Length"  # h11's words


class BrokenHead(ConnectionLost, ChunkedEncodingError):
    """The connection broke in the middle of the head. requests takes what came of it for the head, and misses the body."""


class ConflictingLengths(RemoteProtocolError, InvalidHeader):
    """The response has Content-Length fields that differ, which requests calls an InvalidHeader."""


class ReadTimeoutAtLast(ReadTimeout, HoldfastConnectionError):
    """A read timeout after which ``max_retries`` had no attempt left: a ConnectionError in requests, as is all that ends so."""


def make_known(error: RequestException, request: PreparedRequest) -> None:
    """Give an error of the network the class and the first argument that scripts know; others stay as they are."""
    text = str(error)
    if type(error) is ConnectionLost and BROKEN_HEAD in text:
        error.__class__ = BrokenHead
    elif type(error) is RemoteProtocolError and _CONFLICT in text:
        error.__class__ = ConflictingLengths
    elif type(error) is ReadTimeout and _ended_retries(error):
        error.__class__ = ReadTimeoutAtLast
    of_network = isinstance(error, (HoldfastConnectionError, Timeout)) and not isinstance(error, PoolTimeout)
    if of_network and len(error.args) == 1 and isinstance(error.args[0], str):
        error.args = (_argument(error, text, Where(request), request.path_url),)


def _argument(error: RequestException, text: str, where: Where, target: str) -> Exception:
    terms = urllib3.exceptions
    reason = _reason(error, text, where, terms)
    if reason is not None:
        return _told(text, terms.MaxRetryError, where, target, reason)
    if isinstance(error, Timeout):
        return _told(text, terms.ReadTimeoutError, where, target, "Read timed out.")
    return _told(text, terms.ProtocolError, "Connection aborted.", _of_loss(error.__cause__))


def _reason(error: RequestException, text: str, where: Where, terms: Any) -> Exception | None:
    """What urllib3 has below its MaxRetryError: why there was no connection, or why the last attempt of ``max_retries`` failed."""
    made: Exception | None = None
    cause = error.__cause__
    if _ended_retries(error):
        made = cause.reason  # type: ignore[union-attr]  # it has one
    elif isinstance(error, ConnectTimeout):
        made = terms.ConnectTimeoutError(where, text)
    elif isinstance(error, ProxyError):
        made = terms.ProxyError(text, terms.NewConnectionError(where, text))
    elif isinstance(error, SSLError):
        made = terms.SSLError(text)
    elif isinstance(cause, socket.gaierror) and hasattr(terms, "NameResolutionError"):
        made = terms.NameResolutionError(where.host, where, cause)
    elif getattr(error, "never_connected", False):
        made = terms.NewConnectionError(where, text)
    return made


def _ended_retries(error: RequestException) -> bool:
    return isinstance(error.__cause__, urllib3.exceptions.MaxRetryError)


def _of_loss(cause: BaseException | None) -> Exception:
    if isinstance(cause, OSError) and not isinstance(cause, RequestException):
        return type(cause)(*cause.args)
    return http.client.RemoteDisconnected("Remote end closed connection without response")


class _Told(Exception):
    """An error of urllib3's with a text of its own."""

    text: str
    made_of: tuple[Any, ...]

    def __str__(self) -> str:
        return self.text

    def __reduce__(self) -> Any:
        return (_told, (self.text, *self.made_of))


def _told(text: str, kind: Any, *arguments: Any) -> Exception:
    made: Exception = kind(*arguments)
    made.__class__ = _with_text(kind)
    made.__dict__.update(text=text, made_of=(kind, *arguments))
    return made


@cache  # of three classes
def _with_text(kind: Any) -> Any:
    return type(kind.__name__, (_Told, kind), {"__module__": kind.__module__})

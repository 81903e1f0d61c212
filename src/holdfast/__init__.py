"""holdfast: the HTTP/1.1 client that keeps its connections alive and tells the truth about them.

``import holdfast as requests`` works for scripts written for requests. Those of its names that a plain call does not need
(cookies, authentication, status codes) are imported when they are first asked for.
"""

from typing import TYPE_CHECKING, Any

from . import auth, exceptions
from ._version import __version__ as __version__
from .api import close, configure, delete, get, head, options, patch, post, put, request, stats
from .client import Client
from .exceptions import *  # noqa: F403 - the names requests has at its top level, and holdfast's own
from .message.headers import Headers
from .message.request import PreparedRequest, Request
from .message.response import Response
from .message.url import Url
from .pool.limits import Limits
from .reasons import Discard
from .retries import Retries
from .settings import default_headers
from .timeouts import Timeouts

if TYPE_CHECKING:
    from . import requests as requests
    from .event_source import EventSource
    from .message.address import DialAddress, public_addresses_only
    from .message.events import ServerSentEvent
    from .message.timings import ConnectionInfo, Timings
    from .pool.advice import OriginAdvice
    from .pool.events import PoolEvent
    from .pool.pool import Pool
    from .pool.stats import OriginStats, PoolStats
    from .requests import adapters as adapters
    from .requests import compat as compat
    from .requests import cookies, status_codes, structures
    from .requests import models as models
    from .requests import packages as packages
    from .requests import sessions as sessions
    from .requests import utils as utils
    from .requests.sessions import Session, session
    from .requests.status_codes import codes
    from .sendings import Sending
    from .transports import BaseTransport, ConnectionTransport, TransportOptions, make_response
    from .wsgi import WSGITransport

__all__ = [
    "BaseTransport",
    "Client",
    "ConnectionInfo",
    "ConnectionTransport",
    "DialAddress",
    "Discard",
    "EventSource",
    "Headers",
    "Limits",
    "OriginAdvice",
    "OriginStats",
    "Pool",
    "PoolEvent",
    "PoolStats",
    "PreparedRequest",
    "Request",
    "Response",
    "Retries",
    "Sending",
    "ServerSentEvent",
    "Session",
    "Timeouts",
    "Timings",
    "TransportOptions",
    "Url",
    "WSGITransport",
    "auth",
    "close",
    "codes",
    "configure",
    "cookies",
    "default_headers",
    "delete",
    "exceptions",
    "get",
    "head",
    "make_response",
    "options",
    "patch",
    "post",
    "public_addresses_only",
    "put",
    "request",
    "session",
    "stats",
    "status_codes",
    "structures",
]
__all__ += exceptions.__all__

_OF_REQUESTS = ("Session", "session", "codes")
"""What is there for programs written for requests, and imported for them alone: a Session is a Client with adapters."""

_OF_FEW = {
    "BaseTransport": ".transports",
    "ConnectionInfo": ".message.timings",
    "ConnectionTransport": ".transports",
    "DialAddress": ".message.address",
    "EventSource": ".event_source",
    "OriginAdvice": ".pool.advice",
    "OriginStats": ".pool.stats",
    "Pool": ".pool.pool",
    "PoolEvent": ".pool.events",
    "PoolStats": ".pool.stats",
    "Sending": ".sendings",
    "ServerSentEvent": ".message.events",
    "Timings": ".message.timings",
    "TransportOptions": ".transports",
    "WSGITransport": ".wsgi",
    "make_response": ".transports",
    "public_addresses_only": ".message.address",
}
"""Names of our own that most programs never use, and the modules they are in."""


def __getattr__(name: str) -> Any:
    """What few programs need, and ``requests`` with what programs written for it ask of it, is imported when it is asked for."""
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    if name in _OF_FEW:
        return getattr(import_module(_OF_FEW[name], __name__), name)
    requests = import_module(".requests", __name__)
    if name == "requests":
        return requests
    if name in requests.SUBMODULES or name in _OF_REQUESTS:
        return getattr(requests, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""holdfast: the HTTP/1.1 client that keeps its connections alive and tells the truth about them."""

from . import exceptions
from .api import close, configure, delete, get, head, options, patch, post, put, request
from .client import Client, default_headers
from .exceptions import *  # noqa: F403 - the names requests has at its top level, and holdfast's own
from .exceptions import RequestException
from .message.headers import Headers
from .message.request import PreparedRequest, Request
from .message.response import Response
from .message.url import Url
from .outcomes import Discard
from .retries import Retries
from .timeouts import Timeouts
from .wire.pool import Limits
from .wire.stats import OriginStats, PoolStats

__version__ = "0.1.0"

Session = Client


def session() -> Client:
    """A new Client: requests' name for it."""
    return Client()


__all__ = [
    "Client",
    "Discard",
    "Headers",
    "Limits",
    "OriginStats",
    "PoolStats",
    "PreparedRequest",
    "Request",
    "RequestException",
    "Response",
    "Retries",
    "Session",
    "Timeouts",
    "Url",
    "close",
    "configure",
    "default_headers",
    "delete",
    "exceptions",
    "get",
    "head",
    "options",
    "patch",
    "post",
    "put",
    "request",
    "session",
]
__all__ += exceptions.__all__

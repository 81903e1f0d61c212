"""holdfast: the HTTP/1.1 client that keeps its connections alive and tells the truth about them.

``import holdfast as requests`` works for scripts written for requests. Those of its names that a plain call does not need
(cookies, authentication, status codes) are imported when they are first asked for.
"""

from typing import TYPE_CHECKING, Any

from . import exceptions
from .api import close, configure, delete, get, head, options, patch, post, put, request, stats
from .client import Client, default_headers
from .exceptions import *  # noqa: F403 - the names requests has at its top level, and holdfast's own
from .message.headers import Headers
from .message.request import PreparedRequest, Request
from .message.response import Response
from .message.url import Url
from .outcomes import Discard
from .retries import Retries
from .timeouts import Timeouts
from .wire.advice import OriginAdvice
from .wire.events import PoolEvent
from .wire.pool import Limits, Pool
from .wire.stats import OriginStats, PoolStats

if TYPE_CHECKING:
    from . import auth, cookies, status_codes, structures
    from .status_codes import codes

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
    "OriginAdvice",
    "OriginStats",
    "Pool",
    "PoolEvent",
    "PoolStats",
    "PreparedRequest",
    "Request",
    "Response",
    "Retries",
    "Session",
    "Timeouts",
    "Url",
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
    "options",
    "patch",
    "post",
    "put",
    "request",
    "session",
    "stats",
    "status_codes",
    "structures",
]
__all__ += exceptions.__all__

_LATE = ("auth", "compat", "cookies", "models", "packages", "sessions", "status_codes", "structures")
_NOT_HERE = {
    "adapters": "retries, limits, TLS and proxies are arguments of Client",
    "utils": "dict_from_cookiejar and add_dict_to_cookiejar are in holdfast.cookies",
    "certs": "the CAs are certifi's; verify= takes others",
}


def __getattr__(name: str) -> Any:
    if name == "codes":
        from .status_codes import codes

        globals()[name] = codes
        return codes
    if name in _LATE:
        from importlib import import_module

        return import_module(f".{name}", __name__)
    hint = f": {_NOT_HERE[name]}" if name in _NOT_HERE else ""
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

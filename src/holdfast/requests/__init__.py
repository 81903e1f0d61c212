"""All that is there for programs written for requests, under requests' names.

``from holdfast import requests`` and ``import holdfast.requests as requests`` give this package. The verbs are those of holdfast
itself: they share its one client per process, and its connections.
"""

from typing import TYPE_CHECKING, Any

from .. import exceptions
from .._version import __version__
from ..api import delete, get, head, options, patch, post, put, request
from ..client import Client as Session
from ..exceptions import (
    ConnectionError,  # noqa: A004 - requests' name
    ConnectTimeout,
    FileModeWarning,
    HTTPError,
    JSONDecodeError,
    ReadTimeout,
    RequestException,
    Timeout,
    TooManyRedirects,
    URLRequired,
)
from ..message.request import PreparedRequest, Request
from ..message.response import Response

if TYPE_CHECKING:
    from . import auth, certs, compat, cookies, hooks, models, packages, sessions, status_codes, structures, utils
    from .status_codes import codes


def session() -> Session:
    """A new Session: requests' old name for it."""
    return Session()


__all__ = [
    "ConnectTimeout",
    "ConnectionError",
    "FileModeWarning",
    "HTTPError",
    "JSONDecodeError",
    "PreparedRequest",
    "ReadTimeout",
    "Request",
    "RequestException",
    "Response",
    "Session",
    "Timeout",
    "TooManyRedirects",
    "URLRequired",
    "__version__",
    "auth",
    "certs",
    "codes",
    "compat",
    "cookies",
    "delete",
    "exceptions",
    "get",
    "head",
    "hooks",
    "models",
    "options",
    "packages",
    "patch",
    "post",
    "put",
    "request",
    "session",
    "sessions",
    "status_codes",
    "structures",
    "utils",
]

SUBMODULES = frozenset(
    ("auth", "certs", "compat", "cookies", "hooks", "models", "packages", "sessions", "status_codes", "structures", "utils")
)
"""Imported when they are first asked for."""

NOT_HERE = {"adapters": "retries, limits, TLS and proxies are arguments of Client"}


def __getattr__(name: str) -> Any:
    if name == "codes":
        from .status_codes import codes

        globals()[name] = codes
        return codes
    if name in SUBMODULES:
        from importlib import import_module

        return import_module(f".{name}", __name__)
    hint = f": {NOT_HERE[name]}" if name in NOT_HERE else ""
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

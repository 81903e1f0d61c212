"""All that is there for programs written for requests, under requests' names.

``from holdfast import requests`` and ``import holdfast.requests as requests`` give this package; ``install()`` has ``import
requests`` give it, in a whole process. The verbs are over the same connections as holdfast's own.
"""

from typing import TYPE_CHECKING, Any

from .. import exceptions as exceptions
from ..exceptions import (
    ConnectionError,  # noqa: A004 - requests' name
    ConnectTimeout,
    FileModeWarning,
    HTTPError,
    JSONDecodeError,
    ReadTimeout,
    RequestException,
    RequestsDependencyWarning,
    Timeout,
    TooManyRedirects,
    URLRequired,
)
from . import api, sessions
from .__version__ import (
    __author__,
    __author_email__,
    __build__,
    __cake__,
    __copyright__,
    __description__,
    __license__,
    __title__,
    __url__,
    __version__,
)
from ._install import install, uninstall
from .api import delete, get, head, options, patch, post, put, request
from .models import PreparedRequest, Request, Response
from .sessions import Session, session
from .status_codes import codes

if TYPE_CHECKING:
    from . import adapters, auth, certs, compat, cookies, help, hooks, models, packages, status_codes, structures, utils  # noqa: A004

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
    "RequestsDependencyWarning",
    "Response",
    "Session",
    "Timeout",
    "TooManyRedirects",
    "URLRequired",
    "__author__",
    "__author_email__",
    "__build__",
    "__cake__",
    "__copyright__",
    "__description__",
    "__license__",
    "__title__",
    "__url__",
    "__version__",
    "adapters",
    "api",
    "auth",
    "certs",
    "codes",
    "compat",
    "cookies",
    "delete",
    "exceptions",
    "get",
    "head",
    "help",
    "hooks",
    "install",
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
    "uninstall",
    "utils",
]

SUBMODULES = frozenset(
    (
        "adapters",
        "api",
        "auth",
        "certs",
        "compat",
        "cookies",
        "help",
        "hooks",
        "models",
        "packages",
        "sessions",
        "status_codes",
        "structures",
        "utils",
    )
)
"""Modules that are attributes of this package; those that it does not need itself are imported when they are asked for."""


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in SUBMODULES:
        return import_module(f".{name}", __name__)
    if name in ("urllib3", "chardet", "idna"):
        return getattr(import_module(".packages", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

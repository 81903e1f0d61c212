"""Authentication: Basic, Bearer, Digest, and the credentials in netrc.

A callable is an authentication too: it is given the ``PreparedRequest``, changes it, and returns it. No repr and no message
holds a password or a token. Each is imported when it is first asked for: most calls have none.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .basic import AuthBase, BearerAuth, HTTPBasicAuth, HTTPProxyAuth
    from .digest import HTTPDigestAuth
    from .netrc import netrc_auth
    from .proxy_digest import HTTPProxyDigestAuth

__all__ = ["AuthBase", "BearerAuth", "HTTPBasicAuth", "HTTPDigestAuth", "HTTPProxyAuth", "HTTPProxyDigestAuth", "netrc_auth"]

_MODULES = {
    "AuthBase": ".basic",
    "BearerAuth": ".basic",
    "HTTPBasicAuth": ".basic",
    "HTTPDigestAuth": ".digest",
    "HTTPProxyAuth": ".basic",
    "HTTPProxyDigestAuth": ".proxy_digest",
    "netrc_auth": ".netrc",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found = globals()[name] = getattr(import_module(_MODULES[name], __name__), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""get(), post(), …: over one Client per process, so that a loop of one-off calls reuses connections.

The calls share connections and the settings given to ``configure``, and nothing else: what servers set lives for one call, its
redirects included. The client is made on first use, closed at exit, and usable in a forked child (which dials its own
connections). ``close`` closes connections; only ``configure`` changes settings.
"""

from __future__ import annotations

import atexit
import threading
from typing import TYPE_CHECKING, Any

from ._fork import after_in_child
from .arguments import DataTypes, GetOptions, ParamTypes, PostOptions, PutOptions, RequestOptions, Unpack, UrlTypes, taking
from .client import Client
from .exceptions import ClientClosed
from .message.response import Response

if TYPE_CHECKING:
    from .message.cookies import CookieJar
    from .pool.stats import PoolStats
else:
    PoolStats = Any  # imported when stats are asked for; get_type_hints() works without it


class SharedClient(Client):
    """The Client behind the module-level functions."""

    def _jar_for_call(self) -> CookieJar:
        from .message.cookies import CookieJar

        configured = self._jar
        return CookieJar() if configured is None else configured.copy()


# Guarded by the lock, but for looks at _client alone.
_client: SharedClient | None = None
_settings: dict[str, Any] = {}
_locks: dict[str, Any] = {}  # "lock": made on first use, so that a program may replace threading after the import


def _lock() -> Any:
    # Reentrant: a signal handler may close in the middle of anything. setdefault() is one step: all threads get the same lock.
    return _locks.get("lock") or _locks.setdefault("lock", threading.RLock())


def shared_client() -> Client:
    """The client behind the module-level functions; do not close it, use ``holdfast.close()``."""
    client = _client
    return client if client is not None else _make()


def _make() -> Client:
    global _client
    with _lock():
        if _client is None:
            _client = SharedClient(**_settings)
        return _client


def settings() -> dict[str, Any]:
    """What the shared client was configured with; not to be changed."""
    return _settings


@taking(Client)
def configure(**settings: Any) -> None:
    """Make the shared client anew, with these arguments of ``Client``: ``configure(limits=Limits(...), timeout=5)``.

    Connections of the one before are closed; its calls under way end in ClientClosed. The settings hold until the next
    ``configure``, whatever is closed.

    Raises:
        ValueError, TypeError: an argument makes no sense; the client before goes on.
    """
    global _client, _settings
    made = SharedClient(**settings)
    with _lock():
        before, _client, _settings = _client, made, settings
    if before is not None:
        before.close()


def close() -> None:
    """Close the shared connections. The next call opens new ones, with the same settings."""
    global _client
    with _lock():
        before, _client = _client, None
    if before is not None:
        before.close()


atexit.register(close)


def stats() -> PoolStats:
    """What the shared connections are and have done; see ``Client.stats``."""
    return shared_client().stats()


def request(method: str, url: UrlTypes, **kwargs: Unpack[RequestOptions]) -> Response:
    """Send a request. Arguments as in ``Client.request``."""
    while True:
        client = shared_client()
        try:
            return client.request(method, url, **kwargs)
        except ClientClosed as error:
            # 1. This thread takes the client. 2. Another thread closes it, or configures another. 3. This thread asks it for a
            # connection. Nothing was sent: the call begins again with the client that is shared now.
            if error.may_have_executed or client is _client:
                raise


def get(url: UrlTypes, params: ParamTypes = None, **kwargs: Unpack[GetOptions]) -> Response:
    """GET. Arguments as in ``Client.request``."""
    return request("GET", url, params=params, **kwargs)


def options(url: UrlTypes, **kwargs: Unpack[RequestOptions]) -> Response:
    """OPTIONS. Arguments as in ``Client.request``."""
    return request("OPTIONS", url, **kwargs)


def head(url: UrlTypes, **kwargs: Unpack[RequestOptions]) -> Response:
    """HEAD, without following redirects unless told to. Arguments as in ``Client.request``."""
    kwargs.setdefault("allow_redirects", False)
    return request("HEAD", url, **kwargs)


def post(url: UrlTypes, data: DataTypes = None, json: Any = None, **kwargs: Unpack[PostOptions]) -> Response:
    """POST. Arguments as in ``Client.request``."""
    return request("POST", url, data=data, json=json, **kwargs)


def put(url: UrlTypes, data: DataTypes = None, **kwargs: Unpack[PutOptions]) -> Response:
    """PUT. Arguments as in ``Client.request``."""
    return request("PUT", url, data=data, **kwargs)


def patch(url: UrlTypes, data: DataTypes = None, **kwargs: Unpack[PutOptions]) -> Response:
    """PATCH. Arguments as in ``Client.request``."""
    return request("PATCH", url, data=data, **kwargs)


def delete(url: UrlTypes, **kwargs: Unpack[RequestOptions]) -> Response:
    """DELETE. Arguments as in ``Client.request``."""
    return request("DELETE", url, **kwargs)


after_in_child(_locks.clear)  # the parent may have held the lock in a thread that does not exist in the child

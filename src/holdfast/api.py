"""get(), post(), …: over one Client per process, so that a loop of one-off calls reuses connections.

The calls share connections and nothing else: cookies, auth and headers live for one call, its redirects included.
The client is made on first use, closed at exit, and usable in a forked child (which dials its own connections).
"""

from __future__ import annotations

import atexit
import threading
from typing import Any

from .client import Client
from .message.response import Response
from .pool.stats import PoolStats

_lock = threading.RLock()  # a signal handler may close in the middle of anything
_client: Client | None = None


def shared_client() -> Client:
    """The client behind the module-level functions; do not close it, use ``holdfast.close()``."""
    client = _client
    return client if client is not None else _share(Client(), instead=False)


def configure(**settings: Any) -> None:
    """Make the shared client anew, with these arguments of ``Client``: ``configure(limits=Limits(...), timeout=5)``.

    Connections of the one before are closed; its calls under way end in ClientClosed.
    """
    _share(Client(**settings), instead=True)


def _share(made: Client, *, instead: bool) -> Client:
    """Share ``made``, unless a client is shared already and it is not to be ``instead`` of that; the one that is shared now.

    In one step: between two, another thread's first call would have a client with the usual settings.
    """
    global _client
    made._jar_per_call = True
    with _lock:
        before = _client
        if before is not None and not instead:
            return before
        _client = made
    if before is not None:
        before.close()
    return made


def close() -> None:
    """Close the shared connections. The next call opens new ones."""
    global _client
    with _lock:
        before, _client = _client, None
    if before is not None:
        before.close()


atexit.register(close)


def stats() -> PoolStats:
    """What the shared connections are and have done; see ``Client.stats``."""
    return shared_client().stats()


def request(method: str, url: Any, **kwargs: Any) -> Response:
    """Send a request. Arguments as in ``Client.request``."""
    return shared_client().request(method, url, **kwargs)


def get(url: Any, params: Any = None, **kwargs: Any) -> Response:
    """GET. Arguments as in ``Client.request``."""
    return shared_client().request("GET", url, params, **kwargs)


def options(url: Any, **kwargs: Any) -> Response:
    """OPTIONS. Arguments as in ``Client.request``."""
    return shared_client().options(url, **kwargs)


def head(url: Any, **kwargs: Any) -> Response:
    """HEAD, without following redirects unless told to. Arguments as in ``Client.request``."""
    return shared_client().head(url, **kwargs)


def post(url: Any, data: Any = None, json: Any = None, **kwargs: Any) -> Response:
    """POST. Arguments as in ``Client.request``."""
    return shared_client().post(url, data=data, json=json, **kwargs)


def put(url: Any, data: Any = None, **kwargs: Any) -> Response:
    """PUT. Arguments as in ``Client.request``."""
    return shared_client().put(url, data=data, **kwargs)


def patch(url: Any, data: Any = None, **kwargs: Any) -> Response:
    """PATCH. Arguments as in ``Client.request``."""
    return shared_client().patch(url, data=data, **kwargs)


def delete(url: Any, **kwargs: Any) -> Response:
    """DELETE. Arguments as in ``Client.request``."""
    return shared_client().delete(url, **kwargs)


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.RLock()


def _register_fork() -> None:
    import os

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_after_fork_in_child)


_register_fork()

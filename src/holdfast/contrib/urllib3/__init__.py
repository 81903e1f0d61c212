"""holdfast under urllib3 2: programs on urllib3, requests, botocore, kubernetes, … stay as they are, their connections are ours.

    import holdfast.contrib.urllib3

    holdfast.contrib.urllib3.inject()      # for every pool of the process, those made before too
    holdfast.contrib.urllib3.stats()       # what their connections have gone through

    manager = HoldfastPoolManager()        # or for one manager only

Above this, urllib3 works as it did: its Retry, redirects, decoding, exceptions, responses, log lines and warnings; and what stands
on it, such as adapters and mocks. Below it, a connection is found stale before it is used, a request that was provably not
delivered is sent again whatever its method, and idle connections are looked after (see docs/urllib3.md).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from inspect import signature
from typing import TYPE_CHECKING, Any

from ..._extras import needed
from ...pool.advice import OriginAdvice
from ...pool.events import PoolEvent
from ...pool.stats import PoolStats

with needed(__name__, "urllib3", "urllib3"):
    from urllib3 import PoolManager, ProxyManager
    from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
    from urllib3.util.timeout import _DEFAULT_TIMEOUT, Timeout

    from . import carriers, connection, figures, keeping
    from .connection import left_to_urllib3

__all__ = [
    "HoldfastHTTPConnectionPool",
    "HoldfastHTTPSConnectionPool",
    "HoldfastPoolManager",
    "HoldfastProxyManager",
    "advise",
    "carrying",
    "close_idle",
    "eject",
    "inject",
    "injected",
    "left_to_urllib3",
    "on_event",
    "pool_classes_by_scheme",
    "stats",
]

_lock = threading.Lock()
_originals: list[tuple[type, str, Any]] = []


def inject() -> None:
    """Carry the requests of all of urllib3's pools from now on, those that were made before included. Idempotent."""
    with _lock:
        connection.set_injected(True)
        if _originals:
            return
        _replace(HTTPConnectionPool, "_new_conn", _new_conn_like)
        _replace(HTTPSConnectionPool, "_new_conn", _new_conn_like)
        _replace(HTTPConnectionPool, "_make_request", _make_request_like)
        _replace(HTTPConnectionPool, "close", _close_like)


def eject() -> None:
    """Leave urllib3 as it was. Responses that are being read end in peace; idle connections are closed. Idempotent."""
    with _lock:
        connection.set_injected(False)
        while _originals:
            owner, name, original = _originals.pop()
            setattr(owner, name, original)
    keeping.close_idle()


def injected() -> bool:
    """Whether requests of all pools are carried just now."""
    return connection.injected()


def _replace(owner: type, name: str, like: Callable[[Any], Any]) -> None:
    _originals.append((owner, name, vars(owner)[name]))
    # By getattr: New Relic's agent puts descriptors there, which learn of the pool in __get__; as vars() has them they never do.
    setattr(owner, name, like(getattr(owner, name)))


def _new_conn_like(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def _new_conn(self: Any) -> Any:
        return carriers.carry(self, original(self), for_good=False)

    return _new_conn


# What urllib3 hands a connection are its timeouts one by one; the total is only in the whole of them, and they pass here.
_PARAMETERS = (
    "self", "conn", "method", "url", "body", "headers", "retries", "timeout", "chunked", "response_conn", "preload_content",
    "decode_content", "enforce_content_length",
)  # fmt: skip


def _make_request_like(original: Callable[..., Any]) -> Callable[..., Any]:
    def _make_request(
        self: Any,
        conn: Any,
        method: str,
        url: str,
        body: Any = None,
        headers: Any = None,
        retries: Any = None,
        timeout: Any = _DEFAULT_TIMEOUT,
        chunked: bool = False,
        response_conn: Any = None,
        preload_content: bool = True,
        decode_content: bool = True,
        enforce_content_length: bool = True,
    ) -> Any:
        if isinstance(conn, connection.Carried):
            conn._limits = _limits_of(timeout)
        more = (retries, timeout, chunked, response_conn, preload_content, decode_content, enforce_content_length)
        return original(self, conn, method, url, body, headers, *more)

    def of_any_parameters(self: Any, conn: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(conn, connection.Carried):
            conn._limits = _limits_of(kwargs.get("timeout"))
        return original(self, conn, *args, **kwargs)

    # Named one by one they cost nothing to hand on; another urllib3, or another's wrapper, may have others.
    return _make_request if tuple(signature(original).parameters) == _PARAMETERS else of_any_parameters


def _close_like(original: Callable[[Any], None]) -> Callable[[Any], None]:
    def close(self: Any) -> None:
        original(self)
        keeping.pool_closed(self)

    return close


def _limits_of(timeout: Any) -> Timeout | None:
    return timeout if isinstance(timeout, Timeout) and timeout.total is not None else None


# -- for one manager -----------------------------------------------------------------------------------------------------


if TYPE_CHECKING:
    _AnyPool = HTTPConnectionPool
else:
    _AnyPool = object


class _Carrying(_AnyPool):
    """What makes a class of urllib3's pools carry its requests."""

    def _new_conn(self) -> Any:
        return carriers.carry(self, super()._new_conn(), for_good=True)

    def _make_request(self, conn: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(conn, connection.Carried):
            conn._limits = _limits_of(kwargs.get("timeout"))
        return super()._make_request(conn, *args, **kwargs)

    def close(self) -> None:
        super().close()
        keeping.pool_closed(self)


class HoldfastHTTPConnectionPool(_Carrying, HTTPConnectionPool):
    """urllib3's pool of connections to one http server, which holdfast keeps."""


class HoldfastHTTPSConnectionPool(_Carrying, HTTPSConnectionPool):
    """urllib3's pool of connections to one https server, which holdfast keeps."""


pool_classes_by_scheme: dict[str, type[HTTPConnectionPool]] = {
    "http": HoldfastHTTPConnectionPool,
    "https": HoldfastHTTPSConnectionPool,
}
"""For ``manager.pool_classes_by_scheme`` of a manager that exists already."""


def carrying(manager: Any) -> Any:
    """Have the pools that ``manager`` makes from now on carried, of whatever classes they are (SOCKS, botocore's); the manager."""
    classes = manager.pool_classes_by_scheme
    manager.pool_classes_by_scheme = {scheme: _carrying_class(kind) for scheme, kind in classes.items()}
    return manager


def _carrying_class(kind: type) -> type:
    if issubclass(kind, _Carrying):
        return kind
    ours: dict[type, type] = {HTTPConnectionPool: HoldfastHTTPConnectionPool, HTTPSConnectionPool: HoldfastHTTPSConnectionPool}
    return ours.get(kind) or type("Holdfast" + kind.__name__, (_Carrying, kind), {"__module__": kind.__module__})


class HoldfastPoolManager(PoolManager):
    """urllib3's PoolManager, its connections kept by holdfast. Arguments as there."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        carrying(self)


class HoldfastProxyManager(ProxyManager):
    """urllib3's ProxyManager, its connections kept by holdfast. Arguments as there."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        carrying(self)


# -- the pool ------------------------------------------------------------------------------------------------------------


def stats() -> PoolStats:
    """What the connections of all carried pools have gone through: a frozen snapshot, per server and in total.

    Connections of several urllib3 pools to one server are one row.
    """
    return figures.by_name(keeping.transport().pool.stats())


def advise() -> tuple[OriginAdvice, ...]:
    """Per urllib3 pool: the connections that the measured load needs, and what that rests on."""
    return keeping.transport().pool.advise()


def on_event(callback: Callable[[PoolEvent], object]) -> Callable[[], None]:
    """Call ``callback`` with every PoolEvent from now on; the function returned ends that."""
    return keeping.transport().pool.on_event(callback)


def close_idle() -> int:
    """Close all connections that are idle now; how many."""
    return keeping.close_idle()

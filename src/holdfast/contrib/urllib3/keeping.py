"""The pool behind all connections, and what of urllib3's pools it has to know: what may idle, and when they end."""

from __future__ import annotations

import threading
import weakref
from typing import Any, cast

from urllib3.connectionpool import HTTPConnectionPool

from ...pool.limits import Limits
from ...transport import Transport
from .dialling import Kept, dial

_transport: Transport | None = None
_transport_lock = threading.Lock()


def transport() -> Transport:
    """The one behind all of them, made when it is first needed. How many connections there are is for urllib3's pools to say."""
    global _transport
    if _transport is None:
        with _transport_lock:
            if _transport is None:
                _transport = new_transport()
    return _transport


def new_transport(keeper: bool = True) -> Transport:
    """A transport whose connections urllib3 opens, as many as there are permits for them."""
    limits = Limits(max_connections_per_origin=None, max_idle_connections=None)
    return Transport(limits, keeper=keeper, connect=dial)


def table_of(owner: HTTPConnectionPool) -> dict[Any, Kept]:
    """What the connections of a urllib3 pool are kept under, by their settings."""
    table: dict[Any, Kept] | None = owner.__dict__.get("_holdfast_kept")
    if table is None:
        table = owner.__dict__.setdefault("_holdfast_kept", {})
        weakref.finalize(owner, _trim_in_finalizer, table).atexit = False  # a pool that is dropped is not always closed
    return table


def pool_closed(owner: HTTPConnectionPool) -> None:
    """A urllib3 pool was closed. Its own closing reaches only connections that are in its queue, and permits get lost."""
    _trim_all(owner.__dict__.get("_holdfast_kept", {}))


def _trim_in_finalizer(table: dict[Any, Kept]) -> None:
    """A urllib3 pool was dropped."""
    for kept in list(table.values()):
        trim(kept)


def _trim_all(table: dict[Any, Kept]) -> None:
    for kept in list(table.values()):
        if _transport is not None:
            _transport.pool.close_idle(cast(Any, kept), kept.idle_allowed())


def trim(kept: Kept) -> None:
    """Close what is idle beyond what the urllib3 pool may have.

    urllib3's finalizers call this, too, perhaps in a garbage collection in a thread that holds the lock of our pool.
    """
    if _transport is not None:
        _transport.pool.trim_in_finalizer(cast(Any, kept), kept.idle_allowed())


def close_idle() -> int:
    """Close all connections that are idle now; how many. The pool is not made for it where no request has needed it yet."""
    return 0 if _transport is None else _transport.pool.close_idle()

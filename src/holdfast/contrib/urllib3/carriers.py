"""Which of urllib3's connections become carried ones: those that differ at most in how their sockets are opened."""

from __future__ import annotations

import logging
import weakref
from typing import Any

from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

from .connection import Carried

log = logging.getLogger("holdfast.urllib3")

AWS_MODULE = "botocore.awsrequest"
AWS_PATIENCE = 1.0  # seconds that botocore waits for 100 Continue

_carriers: dict[type[HTTPConnection], type[Carried] | None] = {}


def carry(pool: HTTPConnectionPool, connection: Any, for_good: bool) -> Any:
    """This connection, that ``pool`` has just made, as one that holdfast carries; as it is, if that cannot be."""
    if isinstance(connection, Carried):
        connection._for_good = connection._for_good or for_good
        return connection
    kind = type(connection)
    if kind not in _carriers:
        _carriers[kind] = _carrier(kind)
    carrier = _carriers[kind]
    if carrier is None:
        return connection
    connection.__class__ = carrier
    connection._owner = weakref.ref(pool)
    connection._for_good = for_good
    connection.__dict__.pop("response_class", None)
    return connection


def _carrier(kind: type) -> type[Carried] | None:
    """The class of carried connections for those of ``kind``; None if they have ways of their own with requests or responses."""
    base = kind
    patience = None
    if kind.__module__ == AWS_MODULE:
        # What botocore adds is waiting for 100 Continue, on the socket; here holdfast waits.
        base = next((c for c in kind.__mro__ if c.__module__ == "urllib3.connection"), kind)
        patience = AWS_PATIENCE
    if not _only_opens_differently(base):
        log.info("connections of %s.%s are left to urllib3: they have their own ways", kind.__module__, kind.__qualname__)
        return None
    names = {"_plain": base, "_patience": patience, "__module__": kind.__module__, "__qualname__": kind.__qualname__}
    return type(kind.__name__, (Carried, base), names)


def _only_opens_differently(kind: type) -> bool:
    if not issubclass(kind, HTTPConnection):
        return False
    for each in kind.__mro__:
        if each.__module__ == "urllib3.connection":
            # warcio puts a class that records into the place of http.client's: every message has to pass through it.
            return HTTPConnection.__base__ is not None and HTTPConnection.__base__.__module__ == "http.client"
        for name, value in vars(each).items():
            if name not in ("__init__", "_new_conn") and (callable(value) or isinstance(value, property)):
                return False
    return False

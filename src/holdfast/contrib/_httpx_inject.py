"""inject() and eject() for httpx and httpx2: the methods of ``HTTPTransport`` are replaced, so that subclasses of it, and names
that were imported before, are reached too.

A transport that is made while injected has a HoldfastTransport, its carrier, and in the place of httpcore's pool a ``Standby``,
which makes that pool when something is left to the library, and after ``eject()``. Thus a transport serves whatever is asked of it
at every time, and has one pool as long as one is enough.
"""

from __future__ import annotations

import inspect
import logging
import sys
import threading
import weakref
from collections import Counter
from types import FunctionType
from typing import Any

log = logging.getLogger("holdfast.httpx")

MAX_REASONS = 64
ASYNCHRONOUS = "asynchronous: AsyncHTTPTransport, as AsyncClient makes one"


class Injection:
    """What ``inject()`` and ``eject()`` of one library do.

    Args:
        library: the module.
        transport: its HoldfastTransport.
    """

    def __init__(self, library: Any, transport: Any) -> None:
        self._library = library
        self._core = library.__name__.replace("httpx", "httpcore")
        self._transport = transport
        self._lock = threading.Lock()
        self._originals: list[tuple[type, str, Any]] = []
        self._carriers: weakref.WeakSet[Any] = weakref.WeakSet()
        self._left: Counter[str] = Counter()

    @property
    def active(self) -> bool:
        """Whether new transports go over holdfast just now."""
        return bool(self._originals)

    def left_out(self) -> dict[str, int]:
        """How many transports or requests were left to the library, by reason."""
        with self._lock:
            return dict(self._left)

    def inject(self) -> None:
        """Replace the methods. Idempotent."""
        with self._lock:
            if self._originals:
                return
            owner = self._library.HTTPTransport
            made, sent = owner.__init__, owner.handle_request
            self._replace(owner, "__init__", self._init_like(made))
            self._replace(owner, "handle_request", self._handle_like(sent))
            for name in ("close", "__exit__"):
                self._replace(owner, name, _closing_too(getattr(owner, name)))
            asynchronous = self._library.AsyncHTTPTransport
            self._replace(asynchronous, "__init__", self._counting(asynchronous.__init__))

    def eject(self) -> None:
        """Put the methods back. Idempotent."""
        with self._lock:
            while self._originals:
                owner, name, original = self._originals.pop()
                setattr(owner, name, original)
            carriers = list(self._carriers)
        for carrier in carriers:
            carrier.client.close_idle()

    def _replace(self, owner: type, name: str, new: Any) -> None:
        self._originals.append((owner, name, vars(owner)[name]))
        setattr(owner, name, new)

    # -- the methods ---------------------------------------------------------------------------------------------------

    def _init_like(self, original: Any) -> Any:
        signature = inspect.signature(original)

        def __init__(transport: Any, *args: Any, **kwargs: Any) -> None:
            bound = signature.bind(transport, *args, **kwargs)
            try:
                carrier = self._carrier(**dict(list(bound.arguments.items())[1:]))
            except ValueError as error:
                self._leave(f"a transport: {error}")
                original(transport, *args, **kwargs)
                return
            transport._holdfast = carrier
            transport._pool = Standby(transport, lambda later: original(later, *args, **kwargs), carrier)

        return __init__

    def _carrier(
        self, verify: Any = True, cert: Any = None, trust_env: bool = True, limits: Any = None, retries: int = 0, **settings: Any
    ) -> Any:
        """A HoldfastTransport with the settings of a transport of the library's, which trusts whom that trusts.

        The environment's proxies are no business of a transport there: its Client has read them, and mounts one for each.

        Raises:
            ValueError: holdfast cannot obey them.
        """
        made = self._transport(limits=limits, retries=retries, trust_env=False, **settings)
        made.trust_as_library(verify, cert, trust_env)
        with self._lock:
            self._carriers.add(made)
        return made

    def _handle_like(self, original: Any) -> Any:
        def handle_request(transport: Any, request: Any) -> Any:
            carrier = transport.__dict__.get("_holdfast")
            if carrier is None:
                return original(transport, request)
            reason = carrier.refusal(request) or self._other_road(request)
            if reason is not None:
                self._leave(f"a request: {reason}")
                return original(transport, request)
            return carrier.handle_request(request)

        return handle_request

    def _other_road(self, request: Any) -> str | None:
        """Why only the library can carry this request, whatever the settings of its transport; None: holdfast can."""
        if "upgrade" in request.headers:
            return "it asks for another protocol (Upgrade)"
        core = sys.modules.get(self._core)  # None, or half imported, until the library makes a pool or a mock replaces a method
        for name in ("ConnectionPool", "HTTPConnection"):
            kind = getattr(core, name, None)
            if kind is not None and not _as_written(kind, self._core):
                return f"{self._core}.{name}.handle_request was replaced, as mocks and tracing agents do"
        return None

    def _counting(self, original: Any) -> Any:
        def __init__(transport: Any, *args: Any, **kwargs: Any) -> None:
            self._leave(ASYNCHRONOUS)
            original(transport, *args, **kwargs)

        return __init__

    def _leave(self, reason: str) -> None:
        reason = reason[:200]
        with self._lock:
            if reason not in self._left and len(self._left) >= MAX_REASONS:
                reason = "other reasons"
            self._left[reason] += 1
            first = self._left[reason] == 1
        if first:
            log.info("left to %s, as later ones for this reason: %s", self._library.__name__, reason)


class Standby:
    """In the place of httpcore's pool: makes that pool when something is asked of it.

    Args:
        transport: the transport whose ``_pool`` it is.
        make: the library's own ``__init__`` with that transport's arguments; it sets ``_pool``.
        carrier: closed with it.
    """

    def __init__(self, transport: Any, make: Any, carrier: Any) -> None:
        self._transport = weakref.ref(transport)
        self._make = make
        self._carrier = carrier
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._pool(), name)

    def _pool(self) -> Any:
        transport: Any = self._transport()
        with self._lock:
            if transport._pool is self:
                self._make(transport)
        return transport._pool

    def close(self) -> None:
        """There is no pool to close; the carrier's connections are."""
        self._carrier.close()

    def __enter__(self) -> Standby:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _closing_too(original: Any) -> Any:
    """``close`` or ``__exit__`` for a transport that has both a pool of the library's and a carrier."""

    def close(transport: Any, *args: Any) -> Any:
        carrier = transport.__dict__.get("_holdfast")
        if carrier is not None:
            carrier.close()
        return original(transport, *args)

    return close


def _as_written(kind: type, core: str) -> bool:
    """Whether the method by which ``kind`` handles a request is the one that ``core``, the library below, has written.

    By the type, not by isinstance: wrapt's wrappers say that they are functions, and have the globals of what they wrap.
    """
    method: Any = vars(kind).get("handle_request")
    return type(method) is FunctionType and str(method.__globals__["__name__"]).startswith(core + ".")

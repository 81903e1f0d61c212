"""What a requests adapter calls its ``poolmanager``: here, a holdfast transport made with urllib3's arguments.

Each of urllib3's arguments is in one of three rows:

========================================================  ===========================================================
argument                                                  becomes
========================================================  ===========================================================
num_pools, maxsize, block                                 ``Limits``: maxsize × num_pools idle, and overflow unless block
server_hostname, source_address, socket_options           the route
ssl_context, ca_certs, cert_reqs, … (``_tls.TLS_NAMES``)  the TLS context
timeout, retries, headers, blocksize, strict              nothing: an adapter gives its own with each request, or they
                                                          show nowhere
anything else                                             urllib3's own manager, if it is installed; else an error
========================================================  ===========================================================

Programs that make urllib3 managers themselves have them read by the same table (``translated``).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cached_property
from typing import Any

from .._clock import system_clock
from ..auth.netrc import Netrc
from ..call import Services
from ..exceptions import InvalidRequest
from ..pool.limits import Limits
from ..routes import Routes, SocketOptions
from ..transport import Transport
from ..transports import BaseTransport, Handling, handled
from ..wire.addressing import BY_SYSTEM, Addressing
from ._tls import TLS_NAMES, TlsOptions

__all__ = ["Manager", "PoolView", "limits_for", "translated"]

_ROUTE_NAMES = frozenset(("server_hostname", "source_address", "socket_options"))
_WITHOUT_EFFECT = frozenset(("timeout", "retries", "headers", "blocksize", "strict"))
_KNOWN = TLS_NAMES | _ROUTE_NAMES | _WITHOUT_EFFECT
_netrc = Netrc(system_clock)


def limits_for(pools: int, size: int, block: bool) -> Limits:
    """The Limits that urllib3's ``num_pools``, ``maxsize`` and ``block`` mean. There, a size of 0 is no bound."""
    size = max(0, size)
    return Limits(
        max_connections_per_origin=size or None if block else None,
        max_idle_per_origin=size or None,
        max_idle_connections=size * max(1, pools) or None,
    )


class Manager:
    """A transport, the routes to it and its TLS, made with the arguments of ``urllib3.PoolManager``.

    After ``clear()`` it goes on with a new transport; what is being read from the one before comes to its end in peace.

    Attributes:
        connection_pool_kw: what it was made with, as in urllib3.
        tls: the TLS arguments; false if there are none.
        block: whether a request waits for a connection when all are in use, however long that takes.
        proxy: the URL of the proxy that this is for, or None.
    """

    _services: Services | None = None  # in the object once it is made

    def __init__(
        self, num_pools: int = 10, headers: Any = None, *, proxy: str | None = None, proxy_headers: Any = None, **settings: Any
    ) -> None:
        self.headers = headers or {}
        self.proxy = proxy
        self.proxy_headers = dict(proxy_headers or {})
        self.connection_pool_kw = settings
        self._num_pools = num_pools
        own = dict(settings)
        self._size = own.pop("maxsize", 1)
        self.block = bool(own.pop("block", False))
        self.is_native = not (own.keys() - _KNOWN) and set(self.proxy_headers) <= {"Proxy-Authorization"}
        self.tls = TlsOptions({name: own[name] for name in TLS_NAMES & own.keys()})
        given = own.get("socket_options")
        options = None if given is None else SocketOptions(given)
        self.routes = Routes(None, False, own.get("server_hostname"), None, own.get("source_address"), options)
        self._keeper = True
        self._handler: BaseTransport | None = None
        self._clock: Callable[[], float] = system_clock
        self._sleep: Callable[[float], object] = time.sleep
        self._foreign: Any = None
        if not self.is_native:
            self.urllib3()  # it raises now what it has against the arguments

    @cached_property
    def limits(self) -> Limits:
        """What its sizes mean; most managers of a session's own adapters are never asked."""
        return limits_for(self._num_pools, self._size, self.block)

    @classmethod
    def over(cls, transport: Transport) -> Manager:
        """A manager that begins with a transport that is there already."""
        self = cls(maxsize=10)
        self.limits = transport.pool.limits
        self._services = Services(self.routes, transport, _netrc, transport.clock, time.sleep)
        return self

    def bind(self, routes: Routes, services: Services, keeper: bool | None) -> None:
        """Take over from a client how it connects, its clock, and whether the keeper looks after idle connections."""
        how = (routes.server_name, routes.unix_socket, routes.source_address, routes.socket_options, routes.addressing)
        self.routes = Routes(None, False, *how, services.clock)
        self._clock, self._sleep, self._keeper = services.clock, services.sleep, keeper is not False
        if self._services is not None:
            transport = self._services.transport
            self._handler = transport.handler if isinstance(transport, Handling) else None
            self._services = self._routed(services._replace(routes=self.routes, transport=transport))

    def _routed(self, services: Services) -> Services:
        return services if self._handler is None else handled(services)

    def _new_transport(self, routes: Routes) -> Transport:
        if self._handler is None:
            return Transport(self.limits, self._clock, self._keeper, addressing=routes.addressing)
        return Handling(self._handler, None, self._clock, self._keeper)

    def services(self, addressing: Addressing = BY_SYSTEM) -> Services:
        """The transport and all that a call needs; made when it is first asked for, and anew after ``clear()``.

        Args:
            addressing: of the session that asks. A manager that has no connections yet takes it over.

        Raises:
            InvalidRequest: the connections here were made by another one.
        """
        services = self._services
        if services is None:
            routes = self.routes if addressing == BY_SYSTEM else self.routes.with_addressing(addressing)
            made = Services(routes, self._new_transport(routes), _netrc, self._clock, self._sleep)
            # Several threads may come here at once. setdefault() is one step: all of them get the same transport.
            services = self.__dict__.setdefault("_services", self._routed(made))
        if addressing != BY_SYSTEM and services.transport.addressing != addressing:
            raise InvalidRequest(
                "this adapter has connections that the session's resolver= and allow_address= were not asked about; "
                "mount an adapter of its own for the session"
            )
        return services

    def clear(self) -> None:
        """Close what is idle; what is in use is closed when it is given back."""
        before = self.__dict__.pop("_services", None)
        if before is not None and self._handler is None:
            before.transport.pool.keep_none()
        elif before is not None:
            before.transport.pool.close_idle()  # it is the handler's, which goes on with it
        if self._foreign is not None:
            self._foreign.clear()

    # -- for programs that use it as urllib3's

    def urllib3(self) -> Any:
        """urllib3's own manager with the same arguments, for what only that can do.

        Raises:
            InvalidRequest: urllib3 is not installed.
        """
        if self._foreign is None:
            try:
                from urllib3.poolmanager import PoolManager, proxy_from_url
            except ImportError as error:
                from .._extras import install

                unknown = sorted(self.connection_pool_kw.keys() - _KNOWN - {"maxsize", "block"})
                raise InvalidRequest(
                    f"this adapter needs urllib3, which is not installed: {install('urllib3')}"
                    + (f". It was asked for {', '.join(unknown)}" if unknown else "")
                ) from error
            if self.proxy is None:
                self._foreign = PoolManager(self._num_pools, self.headers, **self.connection_pool_kw)
            else:
                self._foreign = proxy_from_url(
                    self.proxy, num_pools=self._num_pools, proxy_headers=self.proxy_headers, **self.connection_pool_kw
                )
        return self._foreign

    @property
    def pools(self) -> Pools:
        """One for each way that connections were opened: server, TLS configuration, proxy."""
        return Pools(self)

    def __getattr__(self, name: str) -> Any:
        # connection_from_host, urlopen, request, pools, pool_classes_by_scheme: a program that asks for these wants urllib3's.
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.urllib3(), name)

    def __repr__(self) -> str:
        return f"<PoolManager of holdfast: {self.connection_pool_kw}>"


class Pools:
    """What urllib3's managers have as ``pools``: how many there are, and what they are for."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager

    def keys(self) -> list[str]:
        """The origins that have connections, or had some lately."""
        services = self._manager._services
        return [] if services is None else [origin.origin for origin in services.transport.pool.stats().origins]

    def __len__(self) -> int:
        return len(self.keys())

    def clear(self) -> None:
        """Close what is idle."""
        self._manager.clear()


def translated(manager: Any) -> Manager | None:
    """Our manager for what a program has made of urllib3's, None if that does what ours cannot."""
    if isinstance(manager, Manager):
        return manager if manager.is_native else None
    from urllib3 import poolmanager

    if type(manager) not in (poolmanager.PoolManager, poolmanager.ProxyManager):
        return None
    if manager.pool_classes_by_scheme is not poolmanager.pool_classes_by_scheme:
        return None
    settings = {
        name: value for name, value in manager.connection_pool_kw.items() if not name.startswith("_proxy") and value is not None
    }
    proxy = None
    if type(manager) is poolmanager.ProxyManager:
        proxied: Any = manager  # it has a proxy and its configuration: None is for its base
        if proxied.proxy.scheme != "http" or any(proxied.proxy_config[:1]):
            return None
        proxy = str(proxied.proxy)
    if settings.keys() - _KNOWN - {"maxsize", "block"}:
        return None
    made = Manager(manager.pools._maxsize, proxy=proxy, proxy_headers=getattr(manager, "proxy_headers", None), **settings)
    return made if made.is_native else None


class PoolView:
    """What ``cert_verify`` is given as ``conn``: the TLS settings of a pool, to be read and set.

    Args:
        manager: whose settings they are.
        scheme, host, port: where the request goes.
    """

    def __init__(self, manager: Manager, scheme: str, host: str, port: int) -> None:
        self.scheme, self.host, self.port = scheme, host, port
        self.conn_kw: dict[str, Any] = {}
        for name in TLS_NAMES:
            setattr(self, name, manager.connection_pool_kw.get(name))

    def options(self) -> TlsOptions:
        """What was set.

        Raises:
            InvalidRequest: ``conn_kw`` has what cannot be obeyed.
        """
        if unknown := sorted(self.conn_kw.keys() - TLS_NAMES):
            raise InvalidRequest(f"cert_verify() set conn_kw of the connection pool: {', '.join(unknown)} cannot be obeyed there")
        return TlsOptions({**{name: getattr(self, name) for name in TLS_NAMES}, **self.conn_kw})

"""Routes: over which connection a request goes, from what the program and the environment say of proxies and authorities.

``Route`` is the key of the pool: two requests may use the same connection exactly if their routes are equal. ``Routes`` finds
the route of a request, anew for every request and every hop of a redirect, because the environment may change at any time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ._clock import system_clock
from ._loading import loading
from ._values import NamedTuple
from .connecting import Cert, Verify
from .environment import (
    LOOK_AGAIN,
    address_of,
    choose_proxy,
    explain_authorities,
    may_name_authorities,
    may_proxy_http,
    may_proxy_https,
    snapshot,
)
from .message.url import may_be_ip_address
from .wire.addressing import BY_SYSTEM as BY_SYSTEM
from .wire.addressing import Addressing as Addressing
from .wire.connect import DEFAULT_SOCKET_OPTIONS, SocketOption, has_unix_sockets, user_timeout

if TYPE_CHECKING:
    import ssl

    from .message.request import PreparedRequest
    from .message.url import Url
    from .wire.http1 import Http1Connection
    from .wire.proxy import Proxy
    from .wire.reuse import Habits

MAX_BELIEVED = 16  # contexts of which one Routes remembers when their files were looked at
MIN_USER_TIMEOUT_SECONDS = 30.0  # a shorter read timeout is the call's patience; the connection may be another call's next


@lru_cache(maxsize=1)
def _tls_modules() -> tuple[Any, Any]:
    """``ssl`` and ``wire.tls``. The first route with a TLS context loads them: plain http does without OpenSSL."""
    with loading:
        from .wire import tls
        from .wire.openssl import ssl
    return ssl, tls


class SocketOptions(tuple[SocketOption, ...]):
    """What is set on a client's sockets. Compared and hashed by identity, since it is part of the key of every request, and hashing
    its items each time would cost more than all the rest of the key: ``socket_options_for`` gives equal options as one object.
    """

    __slots__ = ()
    __eq__ = object.__eq__
    __hash__ = object.__hash__


@lru_cache(maxsize=1024)
def socket_options_for(read: float | None, own: tuple[SocketOption, ...] = ()) -> SocketOptions:
    """The usual options and the client's own behind them, which go over the usual ones.

    Args:
        read: the client's ``timeouts.read`` in seconds: how long what was sent may stay without an acknowledgement, at least
            30 s; None for as long as the kernel likes.
        own: (level, option, value) of each.

    Raises:
        ValueError: one of ``own`` is not such a triple.
    """
    if not all(isinstance(option, tuple) and len(option) == 3 for option in own):
        raise ValueError(f"socket_options={own!r}: expected (level, option, value) of each, as socket.setsockopt takes them")
    patience = None if read is None else max(read, MIN_USER_TIMEOUT_SECONDS)
    return SocketOptions((*DEFAULT_SOCKET_OPTIONS, *user_timeout(patience), *own))


class Route(NamedTuple):
    """Everything that makes two connections interchangeable: the key of the pool.

    Attributes:
        scheme, host, port: of the server.
        context: the TLS configuration by identity; None for plain http.
        server_name: the name the certificate must be for, and SNI.
        unix_socket: connect to this path instead of host and port; None for TCP.
        source_address: local (address, port) to connect from; None for any.
        proxy: None for a connection of our own. With a context, or through SOCKS: a tunnel through it. Else a connection to the
            proxy itself, host and port being its, over which requests to any http origin go (``is_forwarded``).
        socket_options: what is set on the socket before it connects; None for ``wire.connect``'s defaults.
    """

    scheme: str
    host: str
    port: int
    context: ssl.SSLContext | None = None
    server_name: str = ""
    unix_socket: str | None = None
    source_address: tuple[str, int] | None = None
    proxy: Proxy | None = None
    socket_options: SocketOptions | None = None

    @property
    def is_forwarded(self) -> bool:
        """Whether requests are read by the proxy itself, which sends them on."""
        return self.proxy is not None and self.context is None and not self.proxy.is_socks

    @property
    def opener(self) -> Callable[[Habits, float | None], Http1Connection] | None:
        """What opens its connections, until a moment on the pool's clock, instead of the dialer: a test's; else None."""
        return None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        where = f"{self.scheme}://{host}:{self.port}"
        if self.proxy is not None:
            return f"the proxy {self.proxy}" if self.is_forwarded else f"{where} through the proxy {self.proxy}"
        return f"{where} via {self.unix_socket}" if self.unix_socket else where


class Routes:
    """Finds routes. Its attributes may be changed at any time and count for the requests that are routed afterwards.

    Args:
        proxies: as in ``Client``; copied.
        trust_env: as in ``Client``.
        server_name: the name to check certificates against, and to send as SNI, instead of the URL's host.
        unix_socket: path of a Unix-domain socket to connect to instead of the URL's host, or of any proxy.
        source_address: local (address, port) to connect from.
        socket_options: what is set on a socket, instead of the usual options; None for these.
        addressing: of the client, for what a proxy is asked for.
        clock: seconds, monotonic.

    Raises:
        ValueError: ``unix_socket`` is given and this Python has none, or there is nothing to resolve or to allow.
    """

    __slots__ = (
        "_clock",
        "_contexts",
        "addressing",
        "proxies",
        "server_name",
        "socket_options",
        "source_address",
        "trust_env",
        "unix_socket",
    )

    def __init__(
        self,
        proxies: Any = None,
        trust_env: bool = True,
        server_name: str | None = None,
        unix_socket: str | None = None,
        source_address: tuple[str, int] | None = None,
        socket_options: SocketOptions | None = None,
        addressing: Addressing = BY_SYSTEM,
        clock: Callable[[], float] = system_clock,
    ) -> None:
        if unix_socket is not None and addressing != BY_SYSTEM:
            raise ValueError(
                f"unix_socket={unix_socket!r}: no address is dialled there, so resolver= and allow_address= would never be asked"
            )
        if unix_socket is not None and not has_unix_sockets():
            raise ValueError(f"unix_socket={unix_socket!r}: this Python has no Unix-domain sockets; connect by host and port")
        self.proxies: dict[str, Any] = dict(proxies or {})
        self.trust_env = trust_env
        self.server_name = server_name
        self.unix_socket = unix_socket
        self.source_address = source_address
        self.socket_options = socket_options
        self._clock = clock
        self._contexts: dict[Any, tuple[float, ssl.SSLContext]] = {}
        self.addressing = addressing

    def with_addressing(self, addressing: Addressing) -> Routes:
        """The same routes for connections that are dialled by ``addressing``."""
        how = (self.server_name, self.unix_socket, self.source_address, self.socket_options, addressing, self._clock)
        return Routes(self.proxies, self.trust_env, *how)

    def find(self, request: PreparedRequest, verify: Verify, cert: Cert, proxies: Any = None) -> Route:
        """The route of a request. ``verify``, ``cert`` and ``proxies``: of its call.

        Raises:
            InvalidProxyURL, InvalidRequest: the proxy that was chosen cannot be understood.
            AddressRefused: the URL has an address that the proxy may not be asked for.
            SSLError, OSError, ValueError: ``verify`` or ``cert`` cannot be used.
        """
        url = request.parsed
        is_plain = url.scheme == "http"
        if (self.trust_env and (may_proxy_http() if is_plain else may_proxy_https())) or proxies or self.proxies:
            proxy = self.proxy_for(url, proxies)
            if proxy is not None:
                return self._by_proxy(proxy, request, verify, cert)
        return self._direct(url, None if is_plain else self._context(verify, cert))

    def proxy_for(self, url: Url, proxies: Any = None) -> Proxy | None:
        """The proxy on the way to a URL, None for none. ``proxies``: of the call."""
        if self.unix_socket is not None:
            return None
        chosen = choose_proxy(url, proxies, self.proxies, trust_env=self.trust_env)
        if chosen is None:
            return None
        from .wire.proxy import parse_proxy

        return parse_proxy(chosen)

    def _direct(self, url: Url, context: ssl.SSLContext | None) -> Route:
        options = self.socket_options
        name = "" if context is None else (self.server_name or url.host.rstrip("."))
        return Route(url.scheme, url.host, url.port, context, name, self.unix_socket, self.source_address, None, options)

    def _by_proxy(self, proxy: Proxy, request: PreparedRequest, verify: Verify, cert: Cert) -> Route:
        """By way of a proxy: an http request is sent to it, an https one, and any by SOCKS, through a tunnel of its own origin."""
        self._require_literal(request.parsed)
        is_plain = request.parsed.scheme == "http"
        if proxy.is_socks:
            from .wire import socks

            socks.require()
        else:
            proxy = self._informed(proxy, request, verify)
            if is_plain:
                source, options = self.source_address, self.socket_options
                return Route("http", proxy.host, proxy.port, None, proxy.host, None, source, proxy, options)
        return self._direct(request.parsed, None if is_plain else self._context(verify, cert))._replace(proxy=proxy)

    def _require_literal(self, url: Url) -> None:
        """Ask the guard for an address that the URL itself names: the proxy will dial it. Of a name only the proxy knows more.

        What some parser may take for an address, and this one cannot read, is refused.
        """
        if self.addressing.allow_address is not None and may_be_ip_address(url.host):
            address = address_of(url.host.removesuffix("."))
            self.addressing.require(url.host if address is None else str(address), url.port, url.host)

    def _informed(self, proxy: Proxy, request: PreparedRequest, verify: Verify) -> Proxy:
        """The proxy with all that its connections depend on: who is asking, and how its certificate is checked.

        It is checked as the origin's is; the client certificate is for origins, and not shown to it.
        """
        digest = getattr(request.signer, "__self__", None)
        if hasattr(digest, "answer_proxy"):
            proxy = proxy._replace(authorization=None, digest=digest)
        else:
            proxy = proxy.with_authorization(request.headers.get("Proxy-Authorization"))
        return proxy if proxy.scheme == "http" else proxy._replace(context=self._context(verify, None))

    def _context(self, verify: Verify, cert: Cert) -> ssl.SSLContext:
        """The TLS configuration. An explicit ``verify`` goes before the environment's authorities."""
        if verify is None:
            verify = True
        said = snapshot().authorities if verify is True and self.trust_env and may_name_authorities() else None
        if said is None:
            return self._context_for(verify, cert)
        paths = said.usable
        try:
            return self._context_for(paths, cert)
        except OSError as error:
            if error.filename not in paths:
                raise
            raise explain_authorities(error, said) from error

    def _context_for(self, verify: Any, cert: Cert) -> ssl.SSLContext:
        """``tls.context_for``, whose files are looked at once in ``LOOK_AGAIN`` seconds, as netrc is: that costs system calls."""
        openssl, tls = _tls_modules()
        key: Any = (openssl.SSLContext, type(verify), verify, cert)  # the class: a test may replace it; the type: 1 is no True
        now = self._clock()
        try:
            until, context = self._contexts[key]
            if now < until:
                return context
        except KeyError:
            pass  # not asked for before
        except TypeError:
            key = None  # verify is a list: it has no hash, and may have changed
        found: ssl.SSLContext = tls.context_for(verify, cert)
        if key is not None:
            if len(self._contexts) >= MAX_BELIEVED:
                self._contexts.clear()
            self._contexts[key] = (now + LOOK_AGAIN, found)
        return found

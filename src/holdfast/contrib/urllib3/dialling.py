"""How a connection of urllib3's is opened for holdfast's pool: by urllib3's own ``connect()``.

So whatever urllib3's arguments say of TLS, fingerprints, host names, proxies, tunnels, SOCKS, source addresses and socket options
is obeyed by the code it was written for, and what fails raises urllib3's own exceptions. Two things differ, both for the better:

* The addresses of a name are raced (RFC 8305) within the one time for connecting, instead of tried one after the other with the
  whole time for each; unless the program has put another ``create_connection`` or ``allowed_gai_family`` in urllib3's place.
* Keepalive probes are on, unless ``socket_options`` has its own word on SO_KEEPALIVE.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import sys
import weakref
from typing import Any

from urllib3 import exceptions as urllib3_errors
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.util import connection as sockets
from urllib3.util.timeout import Timeout as Urllib3Timeout

from ... import exceptions as ours
from ..._clock import system_clock
from ...timeouts import Deadline
from ...wire.connect import DEFAULT_SOCKET_OPTIONS, connect_tcp
from ...wire.http1 import Http1Connection
from ...wire.proxy import Proxy
from ...wire.stream import SocketStream

# What of a connection's attributes tells connections apart: none with other values may serve its requests.
IDENTITY = (
    "_dns_host",
    "port",
    "source_address",
    "socket_options",
    "proxy",
    "proxy_config",
    "_tunnel_host",
    "_tunnel_port",
    "_tunnel_headers",
    "_tunnel_scheme",
    "_socks_options",
    "key_file",
    "cert_file",
    "key_password",
    "cert_reqs",
    "ca_certs",
    "ca_cert_dir",
    "ca_cert_data",
    "ssl_context",
    "ssl_version",
    "ssl_minimum_version",
    "ssl_maximum_version",
    "assert_hostname",
    "assert_fingerprint",
    "server_hostname",
)
# What a twin does not take over: it belongs to one exchange, or is the pool's.
_OF_ONE_EXCHANGE = ("sock", "_HTTPConnection__response", "_response_options", "_limits", "_owner", "_kept")

_create_connection = sockets.create_connection
_allowed_gai_family = sockets.allowed_gai_family


class NoSocket(Exception):
    """urllib3 has opened something that is no plain or TLS socket (TLS inside TLS, pyOpenSSL): it has to speak over it itself."""


class Kept:
    """What connections are kept under: one urllib3 pool's, with one set of settings. The key of holdfast's pool, by identity.

    Connections are not shared between urllib3's pools: what its ``close()`` says has to hold, and some kinds of authentication
    (NTLM, Negotiate) belong to a connection.

    Attributes:
        scheme, host, port: of the server, or of the proxy that requests are sent to.
        heads: what was put together for requests before, by their arguments.
        left: why its requests are left to urllib3; None if they are not.
        context, server_name, proxy, is_forwarded, unix_socket: as a Route has them, and empty: what they would say is urllib3's
            matter here.
    """

    context: ssl.SSLContext | None = None
    server_name = ""
    proxy: Proxy | None = None
    is_forwarded = False
    unix_socket: str | None = None

    def __init__(self, connection: HTTPConnection, plain: type[HTTPConnection], owner: HTTPConnectionPool | None) -> None:
        tunnel: str | None = connection._tunnel_host
        self.scheme = "https" if hasattr(connection, "cert_reqs") else "http"
        self.host: str = tunnel or connection.host
        self.port: int = (connection._tunnel_port if tunnel else connection.port) or connection.default_port
        self.left: str | None = None
        self.heads: dict[Any, Any] = {}
        self._proxy = f" through the proxy {_shown(connection.proxy)}" if tunnel and connection.proxy else ""
        self._owner = None if owner is None else weakref.ref(owner)
        self._plain = plain
        self._settings = {name: value for name, value in connection.__dict__.items() if name not in _OF_ONE_EXCHANGE}

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self._proxy}"

    def idle_allowed(self) -> int:
        """How many connections may wait for their next request: urllib3's ``maxsize``, and none once its pool is closed."""
        owner = None if self._owner is None else self._owner()
        queue = None if owner is None else owner.pool
        return (1 if self._owner is None else 0) if queue is None else queue.maxsize or sys.maxsize

    def is_over(self) -> bool:
        """Whether urllib3's pool was closed, or is gone: then nothing may wait for another request."""
        if self._owner is None:
            return False
        owner = self._owner()
        return owner is None or owner.pool is None

    def twin(self) -> HTTPConnection:
        """A connection of urllib3's own, with the same settings and no socket."""
        plain = self._plain
        twin = plain.__new__(plain)
        twin.__dict__.update(self._settings)
        twin.__dict__.update({"_buffer": [], "sock": None, "_HTTPConnection__response": None, "_response_options": None})
        return twin


def _shown(proxy: Any) -> str:
    return str(proxy._replace(auth=None, path=None, query=None, fragment=None).url)


class Dialled(Http1Connection):
    """An HTTP/1.1 connection over a socket that urllib3 has opened. Tells the deadline of each exchange which connection it is."""

    __slots__ = ()

    def exchange(self, request: Any, body: Any, timeouts: Any, deadline: Any, on_informational: Any = None) -> Any:
        deadline.connection = self
        return super().exchange(request, body, timeouts, deadline, on_informational)


class CallDeadline(Deadline):
    """The deadline of one request; says over which connection it went, None while there is none."""

    __slots__ = ("connection",)

    def __init__(self, total: float | None = None) -> None:
        super().__init__(total)
        self.connection: Dialled | None = None


def dial(kept: Any, until: float | None) -> Http1Connection:
    """Open a connection as urllib3 would. Runs in a thread of the pool's.

    Raises:
        NoSocket: urllib3 opened what holdfast cannot speak over; it is closed again.
        Exception: what urllib3's ``connect()`` raised, with ``reached_proxy`` as the connection had it then.
    """
    twin = kept.twin()
    left = None if until is None else max(0.001, until - system_clock())  # the clock of the pool
    twin.timeout = left if left is not None else Urllib3Timeout.resolve_default_timeout(None)
    if _opens_plainly(type(twin)):
        twin.__dict__["_new_conn"] = lambda: _race(twin, until)
    try:
        twin.connect()
    except BaseException as error:
        reached = bool(twin._has_connected_to_proxy)
        http.client.HTTPConnection.close(twin)
        error.__dict__["reached_proxy"] = reached
        raise
    finally:
        twin.__dict__.pop("_new_conn", None)  # it holds the twin
    sock, twin.sock = twin.sock, None
    return _adopted(sock, twin)


def _adopted(sock: Any, twin: HTTPConnection) -> Dialled:
    if not isinstance(sock, socket.socket):
        sock.close()
        raise NoSocket(f"urllib3 speaks to it over {type(sock).__name__}")
    if isinstance(sock, ssl.SSLSocket):
        sock.suppress_ragged_eofs = False  # type: ignore[attr-defined]  # typeshed lacks it. True would make a broken connection look ended
    try:
        _turn_keepalive_on(sock, twin.socket_options)
        return Dialled(SocketStream(sock))
    except BaseException:
        sock.close()
        raise


def _turn_keepalive_on(sock: socket.socket, options: Any) -> None:
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    if any(tuple(option[:2]) == (socket.SOL_SOCKET, socket.SO_KEEPALIVE) for option in options or ()):
        return
    for option in DEFAULT_SOCKET_OPTIONS:
        if option[:2] != (socket.IPPROTO_TCP, socket.TCP_NODELAY):  # which socket_options decides
            sock.setsockopt(*option)


def _opens_plainly(kind: type[HTTPConnection]) -> bool:
    """Whether the way of opening sockets is still urllib3's own."""
    return (
        kind._new_conn is HTTPConnection._new_conn
        and sockets.create_connection is _create_connection
        and sockets.allowed_gai_family is _allowed_gai_family
    )


def _race(connection: HTTPConnection, until: float | None) -> socket.socket:
    """What urllib3's ``_new_conn`` does, with the addresses raced."""
    try:
        sock = connect_tcp(
            connection._dns_host,
            connection.port,
            until,
            source_address=connection.source_address,
            options=connection.socket_options or [],
        )
    except ours.ConnectTimeout as error:
        raise urllib3_errors.ConnectTimeoutError(
            connection, f"Connection to {connection.host} timed out. (connect timeout={connection.timeout})"
        ) from error
    except ours.ConnectionError as error:
        if isinstance(error.__cause__, socket.gaierror):
            raise urllib3_errors.NameResolutionError(connection.host, connection, error.__cause__) from error
        raise urllib3_errors.NewConnectionError(
            connection, f"Failed to establish a new connection: {error.__cause__ or error}"
        ) from error
    sock.settimeout(connection.timeout)
    sys.audit("http.client.connect", connection, connection.host, connection.port)
    return sock

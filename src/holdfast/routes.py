"""Routes: over which connection a request goes. Route is the key of the pool."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .wire.proxy import Proxy

if TYPE_CHECKING:
    import ssl


class Route(NamedTuple):
    """Everything that makes two connections interchangeable: the key of the pool.

    Attributes:
        scheme, host, port: of the server.
        context: the TLS configuration by identity; None for plain http.
        server_name: the name the certificate must be for, and SNI.
        unix_socket: connect to this path instead of host and port; None for TCP.
        source_address: local (address, port) to connect from; None for any.
        proxy: None for a connection of our own. With a context: a tunnel through it. Without: a connection to the proxy
            itself, host and port being its, over which requests to any http origin go.
    """

    scheme: str
    host: str
    port: int
    context: ssl.SSLContext | None = None
    server_name: str = ""
    unix_socket: str | None = None
    source_address: tuple[str, int] | None = None
    proxy: Proxy | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        where = f"{self.scheme}://{host}:{self.port}"
        if self.proxy is not None:
            return f"{where} through the proxy {self.proxy}" if self.context is not None else f"the proxy {where}"
        return f"{where} via {self.unix_socket}" if self.unix_socket else where

"""Assembly: how a client's calls come to their routes, their connections and what else they share.

Law: ``Client`` imports this module as its first object is made, and no module above imports it, or what is below it, sooner. The
modules that route, dial, frame and pool, h11 and ``socket`` come with it: all that a call may take, TLS aside, so that nothing is
left to be imported in the middle of one, or in a finalizer at the program's end. ``ssl`` comes with the first context, which the
first https URL needs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .auth.netrc import Netrc
from .call import Services
from .connecting import AllowAddress, Resolver
from .routes import BY_SYSTEM, Addressing, Routes, socket_options_for
from .transport import Transport

if TYPE_CHECKING:
    from .pool.limits import Limits
    from .transports import BaseTransport


def assemble(
    transport: BaseTransport | None,
    limits: Limits | None,
    keeper: bool,
    proxies: Any,
    trust_env: bool,
    server_name: str | None,
    unix_socket: str | None,
    source_address: tuple[str, int] | None,
    socket_options: tuple[tuple[int, int, Any], ...],
    read: float | None,
    resolver: Resolver | None,
    allow_address: AllowAddress | None,
    clock: Callable[[], float],
    sleep: Callable[[float], object],
) -> tuple[Routes, Services]:
    """The routes of a client that was given these, and what its calls share. ``read``: its ``timeouts.read``; else see ``Client``.

    Raises:
        ValueError: an argument makes no sense, or not beside another one.
    """
    options = socket_options_for(read, socket_options)
    addressing = Addressing.of(resolver, allow_address)
    routes = Routes(proxies, trust_env, server_name, unix_socket, source_address, options, addressing, clock)
    if transport is None:
        connections = Transport(limits, clock, keeper, addressing=addressing)
        return routes, Services(routes, connections, Netrc(clock), clock, sleep)
    if addressing != BY_SYSTEM:
        raise ValueError(
            "resolver= and allow_address= belong to the transport with the connections: give them to holdfast.ConnectionTransport"
        )
    from .transports import Handling, handled

    return routes, handled(Services(routes, Handling(transport, limits, clock, keeper), Netrc(clock), clock, sleep))

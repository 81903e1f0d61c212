"""Assembly: what a client needs of the modules that connect, and what its calls share.

Law: ``Client`` imports this module as its first object is made, and no module above imports it, or what is below it, sooner. The
modules that route, dial, frame and pool, h11 and ``socket`` come with it: all that a call may take, TLS aside, so that nothing is
left to be imported in the middle of one, or in a finalizer at the program's end. ``ssl`` comes with the first context, which the
first https URL needs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .auth.netrc import Netrc
from .call import Services
from .routes import BY_SYSTEM
from .routes import Addressing as Addressing
from .routes import Routes as Routes
from .routes import socket_options_for as socket_options_for
from .transport import Transport

if TYPE_CHECKING:
    from .pool.limits import Limits
    from .transports import BaseTransport


def services_of(
    transport: BaseTransport | None,
    routes: Routes,
    limits: Limits | None,
    keeper: bool,
    clock: Callable[[], float],
    sleep: Callable[[float], object],
) -> Services:
    """What the calls of a client share that was given these: connections of its own, or the transport.

    Raises:
        ValueError: a transport is given, and the client's own addressing too.
    """
    if transport is None:
        connections = Transport(limits, clock, keeper, addressing=routes.addressing)
        return Services(routes, connections, Netrc(clock), clock, sleep)
    if routes.addressing != BY_SYSTEM:
        raise ValueError(
            "resolver= and allow_address= belong to the transport with the connections: give them to holdfast.ConnectionTransport"
        )
    from .transports import Handling, handled

    return handled(Services(routes, Handling(transport, limits, clock, keeper), Netrc(clock), clock, sleep))

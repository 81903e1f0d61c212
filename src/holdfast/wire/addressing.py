"""Which addresses are dialled: those that the system's resolver or the client's own finds for a name, if the guard allows them.

Laws:

1. The guard is asked for the very address that is given to ``connect()`` next. There is no second look-up between the two.
2. It fails closed: what it raises, and an address that cannot be read, count as a no.
3. What takes no time limit, and has to end by one, runs in another thread, in a copy of the caller's context, and is left behind.
"""

from __future__ import annotations

import _socket
import contextvars
import encodings.idna  # noqa: F401 - getaddrinfo imports it, in a thread that a fork may leave behind in the middle
import socket
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from types import FunctionType
from typing import Any

from .. import _fork
from .._numbers import number_of
from .._threads import SpareThreads
from .._values import NamedTuple
from ..connecting import AllowAddress, Resolver
from ..exceptions import AddressRefused, ConnectTimeout, InvalidRequest
from ..exceptions import ConnectionError as HoldfastConnectionError
from ..message.url import is_ip_address

Address = tuple[int, int, int, str, Any]  # what socket.getaddrinfo returns

MAX_LOOK_UPS = 256
"""Look-ups that may be at work in threads of their own. One that hangs keeps its thread until the resolver itself gives up."""
TURN_SECONDS = 0.01  # between two looks of a caller whether it may begin another

# Compared by identity at each look-up, since tests and caches replace it. One that was wrapped before this import shows by its
# globals, which no wrapper takes over; wrapt's, which tracing agents use, has these too: its type tells.
_LOOK_UP: Any = socket.getaddrinfo
_STANDARD_GETADDRINFO = _LOOK_UP if type(_LOOK_UP) is FunctionType and _LOOK_UP.__globals__ is vars(socket) else None

_resolvers = SpareThreads("holdfast-dns")
_fork.before(_resolvers.end)
_fork.after_in_child(_resolvers.forget)


class Addressing(NamedTuple):
    """How a client comes from names to addresses; part of the client, not of the pool's key.

    Attributes:
        resolver: asked for the addresses of names, instead of the system's; None for that one.
        allow_address: the guard, asked before an address is dialled; None to allow all.
    """

    resolver: Resolver | None = None
    allow_address: AllowAddress | None = None

    @classmethod
    def of(cls, resolver: Resolver | None, allow_address: AllowAddress | None) -> Addressing:
        """What a program has given. Raises ValueError where it is no function."""
        if not (resolver is None or callable(resolver)):
            raise ValueError(f"resolver={resolver!r}: expected a function of a name and a port, or None")
        if not (allow_address is None or callable(allow_address)):
            raise ValueError(f"allow_address={allow_address!r}: expected a function of a DialAddress, or None")
        return cls(resolver, allow_address)

    def require(self, text: str, port: int, host: str, *, is_proxy: bool = False) -> None:
        """Ask the guard for one address.

        Args:
            text: the address, as ``socket`` writes it.
            host: the name it is of, or the address as the URL writes it.
            is_proxy: whether it is a proxy's.

        Raises:
            AddressRefused: the guard said no, or failed.
        """
        guard = self.allow_address
        if guard is None:
            return
        import ipaddress  # 5 ms of import, for clients with a guard

        from ..message import address as addresses

        what = f"the address {text}, port {port}, of {'the proxy ' if is_proxy else ''}{host!r}"
        where = ip = cause = None
        try:
            ip = ipaddress.ip_address(text)
            where = addresses.DialAddress(ip, port, host, is_proxy)
            if guard(where):
                return
            said = "refused"
        except Exception as error:  # noqa: BLE001 - whatever keeps the guard from saying yes is a no; it is the error's cause
            cause, said = error, f"not allowed ({type(error).__name__}: {error})"
        text = f"{what} was {said} by allow_address={_name(guard)}. Nothing was sent there."
        raise AddressRefused(text, address=ip, host=host) from cause


class _LeftToTheSystem(Exception):
    """A resolver of the program's has no say in a name, and the system has no address for it.

    Attributes:
        error: the system's.
    """

    def __init__(self, error: Exception) -> None:
        self.error = error


BY_SYSTEM = Addressing()
"""The system's resolver, and no guard."""


def never_connected(message: str) -> HoldfastConnectionError:
    """Nothing of the request has left: a Retries policy may repeat it whatever its method."""
    error = HoldfastConnectionError(message)
    error.never_connected = True
    return error


def addresses_tried(count: int) -> str:
    """``1 address tried``, ``2 addresses tried``: for messages."""
    return f"{number_of(count, 'address', 'addresses')} tried"


def not_resolved(host: str, cause: BaseException, resolver: Resolver | None = None) -> HoldfastConnectionError:
    """There is no such name, or no answer, or ``resolver`` failed.

    An OSError of a resolver is its answer, as one of the system's would be; anything else is taken for a mistake in it.
    """
    if resolver is None:
        return never_connected(f"cannot resolve {host!r}: {reason_of(cause)}. Is the name right, and DNS reachable?")
    if isinstance(cause, (OSError, UnicodeError)):
        advice = "Is the name right, and what the resolver asks reachable?"
    else:
        advice = "It is the resolver that failed: its error is the cause of this one"
    return never_connected(f"cannot resolve {host!r}: resolver={_name(resolver)} raised {type(cause).__name__}: {cause}. {advice}")


def resolve(
    host: str,
    port: int,
    until: float | None = None,
    clock: Callable[[], float] = time.monotonic,
    resolver: Resolver | None = None,
) -> list[Address]:
    """The addresses of a name, by ``socket.getaddrinfo`` (so that replacements of it work), or by ``resolver``.

    Neither takes a time limit: where there is one, it runs in another thread, in the caller's context (contextvars), and is left
    behind when late. Where no thread can be had it runs in the caller's, and takes the time it takes.

    Args:
        resolver: given a name and a port; see ``Client``. It is not asked for what is an address already.

    Raises:
        ConnectTimeout: no answer by ``until``, a moment on ``clock``.
        ConnectionError: there is no such name, or no answer; the cause is the resolver's own error.
        InvalidRequest: what ``resolver`` returned are no addresses.
    """
    if is_ip_address(host):
        found = _outcome(_by_system, host, port)
    else:
        look_up = partial(_outcome, _by_system if resolver is None else partial(_by_callable, resolver), host, port)
        found = look_up() if until is None else _aside(look_up, host, until, clock)
    if not isinstance(found, BaseException):
        if found or resolver is None:
            return found
        raise never_connected(f"cannot resolve {host!r}: the name has no address, by resolver={_name(resolver)}")
    if isinstance(found, _LeftToTheSystem):
        resolver, found = None, found.error
    is_answer = isinstance(found, (OSError, UnicodeError) if resolver is None else Exception)
    if not is_answer or isinstance(found, InvalidRequest):
        raise found
    raise not_resolved(host, found, resolver) from found


def _outcome(asked: Callable[[str, int], list[Address]], host: str, port: int) -> list[Address] | BaseException:
    try:
        return asked(host, port)
    except BaseException as error:  # noqa: BLE001 - raised again by the thread that wants the addresses
        return error


def _aside(
    look_up: Callable[[], list[Address] | BaseException], host: str, until: float, clock: Callable[[], float]
) -> list[Address] | BaseException:
    seconds = max(0.0, until - clock())
    _wait_for_turn(host, seconds, until, clock)
    answered = threading.Lock()  # not a class bound at import: gevent replaces it when a program patches itself
    answered.acquire()
    found: list[list[Address] | BaseException] = []
    context = contextvars.copy_context()
    if not _resolvers.run(lambda: found.append(context.run(look_up)), answered.release):
        return look_up()
    answered.acquire(timeout=min(max(0.0, until - clock()), threading.TIMEOUT_MAX))
    if not found:
        raise ConnectTimeout(f"the name {host!r} was not resolved after {seconds:.2f} s. Raise timeouts.connect, or check DNS.")
    return found[0]


def _wait_for_turn(host: str, seconds: float, until: float, clock: Callable[[], float]) -> None:
    """Until fewer than ``MAX_LOOK_UPS`` are at work; a few callers that find so at the same moment may all begin."""
    while _resolvers.busy >= MAX_LOOK_UPS:
        if clock() >= until:
            raise ConnectTimeout(
                f"the name {host!r} was not looked up for {seconds:.2f} s: {MAX_LOOK_UPS} look-ups from before have no answer. "
                "Check DNS, or the client's resolver."
            )
        time.sleep(TURN_SECONDS)


def _by_system(host: str, port: int, flags: int = 0) -> list[Address]:
    if socket.getaddrinfo is _STANDARD_GETADDRINFO:  # it makes enums of the C function's numbers: no socket needs them
        return _socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM, 0, flags)
    return socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM, 0, flags)  # type: ignore[return-value]  # typeshed's says str or int for the family


def _by_callable(resolver: Resolver, host: str, port: int) -> list[Address]:
    found = resolver(host, port)
    if found is None:
        try:
            return _by_system(host, port)
        except (OSError, UnicodeError) as error:
            raise _LeftToTheSystem(error) from error
    if isinstance(found, (str, bytes)) or not isinstance(found, Iterable):
        found = [found]
    return [address for each in found for address in _dialable(each, resolver, host, port)]


def _dialable(found: Any, resolver: Resolver, host: str, port: int) -> list[Address]:
    """One of the things that a resolver may return, as the system's would say it."""
    cause = None
    try:
        if _is_of_getaddrinfo(found):
            return [found] if found[1] == socket.SOCK_STREAM else []  # asked for all kinds
        if isinstance(found, str) or hasattr(found, "packed"):
            return _by_system(str(found), port, socket.AI_NUMERICHOST)
    except (OSError, UnicodeError) as error:
        cause = error
    if hasattr(found, "__await__"):
        close = getattr(found, "close", None)
        if close is not None:
            close()  # a coroutine, which nothing is going to await
        raise InvalidRequest(f"resolver={_name(resolver)} is asynchronous; expected a function that returns the addresses")
    raise InvalidRequest(
        f"resolver={_name(resolver)} returned {found!r} for {host!r}, which is no IP address; "
        "expected addresses as text or ipaddress objects, or None to ask the system"
    ) from cause


def _is_of_getaddrinfo(found: Any) -> bool:
    """Whether it can be dialled as one of ``socket.getaddrinfo``'s. A name in place of an address would be looked up once more."""
    if not (isinstance(found, tuple) and len(found) == 5 and all(isinstance(number, int) for number in found[:3])):
        return False
    sockaddr = found[4]
    if found[0] not in (socket.AF_INET, socket.AF_INET6) or not (isinstance(sockaddr, tuple) and 2 <= len(sockaddr) <= 4):
        return False
    host, port = sockaddr[:2]
    return isinstance(host, str) and is_ip_address(host) and isinstance(port, int) and 0 <= port <= 65535


def _name(function: Any) -> str:
    """What a user's function is called, for messages."""
    return getattr(function, "__qualname__", None) or repr(function)


def reason_of(error: BaseException) -> str:
    """An error in few words."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__

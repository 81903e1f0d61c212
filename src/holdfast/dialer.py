"""The dialer: opens, closes, polls and interrupts HTTP/1.1 connections. Here the pool meets the wire."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import h11

from ._values import NamedTuple
from .exceptions import ClientClosed, SSLError
from .exceptions import ConnectionError as HoldfastConnectionError
from .pool.words import Words
from .reasons import Discard
from .routes import Route
from .wire.addressing import Addressing
from .wire.connect import connect_tcp, connect_unix
from .wire.http1 import Http1Connection
from .wire.opening import Opening, frames_of
from .wire.protocols import ByteStream
from .wire.readiness import readable_fds
from .wire.reuse import Habits
from .wire.stream import SocketStream, is_system_socket

if TYPE_CHECKING:
    from .message.request import PreparedRequest
    from .wire.proxy import Proxy


_FORKED, _BROKEN = Discard.FORKED, Discard.BROKEN  # looked up once


class _Dial(NamedTuple):
    """One connection that is being opened: where to, until when (None: for ever), and what is written down of it."""

    route: Route
    until: float | None
    clock: Callable[[], float]
    addressing: Addressing
    opening: Opening


def open_connection(
    clock: Callable[[], float], habits_of: Callable[[Route], Habits], addressing: Addressing, route: Route, until: float | None
) -> Http1Connection:
    """Connect, and shake hands if the route is TLS, until the moment ``until`` on ``clock``; None for no such moment."""
    try:
        return _open(_Dial(route, until, clock, addressing, Opening()), habits_of)
    except Exception:
        raise
    except BaseException as error:  # Ctrl-C, if this is the thread of a caller
        _close_unreturned(error)
        raise


def _close_unreturned(error: BaseException) -> None:
    """Close the sockets that only the frames of ``error`` still know: Ctrl-C may strike at the line that returns one."""
    for frame in frames_of(error):
        package = frame.f_globals.get("__package__") or ""  # of a script it is None: a resolver, or the handler of a signal
        if package.partition(".")[0] == __package__:
            for value in list(frame.f_locals.values()):
                if isinstance(value, socket.socket):
                    value.close()


def _open(dial: _Dial, habits_of: Callable[[Route], Habits]) -> Http1Connection:
    sock: Any
    route, until, clock, _, opening = dial
    if route.opener is not None:
        return route.opener(habits_of(route), until)
    if route.unix_socket is not None:
        sock = connect_unix(route.unix_socket, until, clock)
    elif route.proxy is not None:
        sock = _connect_by(dial, route.proxy)
    else:
        sock = _tcp(dial, route.host, route.port)
    if route.context is not None and route.proxy is None:
        from .wire import tls  # is loaded, as its context shows; so it is in the functions below

        begun = clock()
        sock = tls.wrap(sock, route.context, route.server_name, route.port, until, clock)
        opening.tls = clock() - begun
    try:
        connection = Http1Connection(_stream(sock, clock), habits_of(route))
        if route.context is not None and isinstance(connection.stream, SocketStream):
            opening.note_tls(connection.stream.sock)
    except BaseException:
        sock.close()
        raise
    connection.opening = opening
    return connection


def _stream(sock: Any, clock: Callable[[], float]) -> ByteStream:
    if not is_system_socket(sock):
        from .wire import replaced  # by a test, or by gevent

        stream = replaced.stream_over(sock)
        if stream is not None:
            return stream
    return SocketStream(sock, clock)


def _tcp(dial: _Dial, host: str, port: int, *, is_proxy: bool = False) -> socket.socket:
    route = dial.route
    return connect_tcp(
        host,
        port,
        dial.until,
        source_address=route.source_address,
        options=route.socket_options,
        clock=dial.clock,
        opening=dial.opening,
        addressing=dial.addressing,
        is_proxy=is_proxy,
    )


# -- by way of a proxy ---------------------------------------------------------------------------------------------------


def _connect_by(dial: _Dial, proxy: Proxy) -> Any:
    """A socket on which the next byte is the origin's, inside TLS if it is https; or the proxy's, for http origins it serves."""
    clock, opening = dial.clock, dial.opening
    begun = clock()
    if proxy.is_socks:
        sock = _ask_socks(dial, proxy)
    elif dial.route.context is None:
        sock = _reach(dial, proxy)
    else:
        sock = _ask_for_tunnel(dial, proxy)
    reached = clock()
    opening.proxy = reached - begun - opening.dns - opening.tcp
    if dial.route.context is not None:
        sock = _secure(dial, proxy, sock)
        opening.tls = clock() - reached
    return sock


def _reach(dial: _Dial, proxy: Proxy) -> socket.socket:
    """A socket on which the proxy listens, inside TLS if it is spoken to so."""
    try:
        sock = _tcp(dial, proxy.host, proxy.port, is_proxy=True)
        if proxy.context is None:
            return sock
        from .wire import tls

        return tls.wrap(sock, proxy.context, proxy.host.rstrip("."), proxy.port, dial.until, dial.clock)
    except HoldfastConnectionError as error:
        from .wire import proxy as proxies

        raise proxies.unreachable(proxy, error) from error


def _ask_socks(dial: _Dial, proxy: Proxy) -> socket.socket:
    """A connection through a SOCKS proxy. It can be asked once only: each address of a name takes a connection of its own."""
    from .wire import socks  # few have such a proxy

    route, until, clock, addressing, _ = dial
    hosts = socks.addresses(proxy, route.host, route.port, until, clock, addressing)
    while True:
        host = hosts.pop(0)
        sock = _reach(dial, proxy)
        try:
            socks.open_tunnel(SocketStream(sock, clock), proxy, host, route.port, until, clock)
            return sock
        except socks.SocksRefused as error:
            sock.close()
            if not hosts or not error.may_be_the_address:
                raise
        except BaseException:
            sock.close()
            raise


def _ask_for_tunnel(dial: _Dial, proxy: Proxy) -> socket.socket:
    """A tunnel by CONNECT. A Digest challenge is answered on a new connection: not every proxy keeps the one it refused on."""
    from .wire import proxy as proxies

    until, clock = dial.until, dial.clock
    target = proxies.authority(dial.route.host, dial.route.port)
    answers = 0
    while True:
        sock = _reach(dial, proxy)
        try:
            asked = h11.Request(method="CONNECT", target=target, headers=proxies.connect_fields(target, proxy))
            proxies.open_tunnel(Http1Connection(_stream(sock, clock)), asked, target, proxy, until, clock)
            return sock
        except proxies.Refused as refusal:
            sock.close()
            digest = proxy.digest if refusal.status_code == 407 else None
            if digest is None or not digest.learn_from_proxy(proxy, refusal.challenges, answers):
                raise
            answers += 1
        except BaseException:
            sock.close()
            raise


def _secure(dial: _Dial, proxy: Proxy, sock: Any) -> Any:
    """TLS with the origin, over what leads to it. Owns ``sock``: a failure closes it."""
    from .wire import tls

    route, until, clock, _, _ = dial
    context: Any = route.context
    try:
        if proxy.context is None:
            return tls.wrap(sock, context, route.server_name, route.port, until, clock)
        from .wire import tls_in_tls  # few have such a proxy

        return tls_in_tls.wrap(sock, SocketStream(sock, clock), context, route.server_name, route.port, until, clock)
    except SSLError as error:
        sock.close()
        if tls.was_ended(error.__cause__):
            from .wire import proxy as proxies

            raise proxies.tunnel_ended(proxy, proxies.authority(route.host, route.port), error) from error
        raise
    except BaseException:
        sock.close()
        raise


def remember_session(connection: Http1Connection, route: Route, *, written: bool) -> None:
    """Keep the TLS session of a connection, whose first answer has arrived, for the next handshake with its server.

    Args:
        written: whether the request is: then what OpenSSL holds to write from is given up.
    """
    connection.session_kept = True
    stream = connection.stream
    if isinstance(stream, SocketStream) and stream.tls is not None and route.context is not None:
        from .wire import tls

        tls.remember_session(stream.tls, route.context, route.server_name, route.port)
        if written:
            stream.drop_write_buffer()


def close_connection(connection: Http1Connection, reason: Discard) -> None:
    if reason is _FORKED:
        connection.stream.forget()
    else:
        connection.stream.close(polite=reason is not _BROKEN)


def poll_idle(connections: list[Http1Connection]) -> list[Http1Connection]:
    """Those whose sockets have something to say."""
    by_descriptor = {connection.stream.fileno(): connection for connection in connections}
    by_descriptor.pop(-1, None)
    return [by_descriptor[fd] for fd in readable_fds(list(by_descriptor))]


def describe(request: PreparedRequest) -> str:
    """For messages and logs: without userinfo and query, which may be secret."""
    return f"{request.method} {request.parsed.safe_text.partition('?')[0]}"


def identify(request: PreparedRequest) -> tuple[str, str]:
    """(method, origin) for events; the origin as a route's name has it, ``https://example.com:443``."""
    origin = getattr(request.parsed, "origin", None)
    if origin is None:
        return request.method, ""  # urllib3's, under its own pools: it has a request line, and no URL
    scheme, host, port = origin
    return request.method, f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def attributes(route: Route) -> dict[str, str | int]:
    """``url.scheme``, ``server.address`` and ``server.port``, as OpenTelemetry calls them.

    Requests to many servers go over a connection to a proxy that reads them: address and port are its own, and it has no scheme.
    """
    where: dict[str, str | int] = {"server.address": route.host, "server.port": route.port}
    return where if route.is_forwarded else {"url.scheme": route.scheme, **where}


def client_closed() -> ClientClosed:
    """What those get who want a connection of a client that was closed."""
    return ClientClosed("this client was closed; create another one")


WORDS = Words(
    uses="requests",
    wait_setting="timeouts.pool",
    connect_setting="timeouts.connect",
    connect_phases="name resolution, TCP connect or TLS handshake",
    hold_less="read streamed responses to their end or close them sooner",
    held_question="is its response still being read?",
    not_given_back=("response was dropped without being read or closed", "responses were dropped without being read or closed"),
    drop_less="Read the response to its end, close it, or use it as a context manager.",
    advise_call="client.advise()",
    closed_error=client_closed,
)
"""What HTTP calls the things of which the pool's sentences speak."""


def interrupt(connection: Http1Connection) -> None:
    connection.stream.interrupt()

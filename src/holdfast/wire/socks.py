"""SOCKS: asking a proxy of that kind for a connection (RFC 1928 and 1929; SOCKS4 and its extension 4a, which have no RFC).

Laws, beside those of ``proxy``:

1. socksio makes the requests and reads the replies; it does no I/O. A reply is collected to its exact length, so that it may come
   byte by byte, and what stands behind it was sent before it was asked for: it is an error, never the server's first bytes.
2. The whole handshake has the one deadline of the dial.
3. Names are resolved here for ``socks5://`` and ``socks4://``, by the proxy for ``socks5h://`` and ``socks4a://``, as in requests.

``socks4`` sends the user name and has no field for a password.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from .._extras import install
from ..exceptions import AddressRefused, ConnectTimeout
from ..exceptions import ConnectionError as HoldfastConnectionError
from .addressing import Addressing, resolve
from .bounded import Bounded
from .connect import interleave
from .protocols import ByteStream
from .proxy import BrokenProxy, Proxy, UnsupportedProxy, authority

MAX_ADDRESSES = 8  # of one name that the proxy is asked for, one after the other

_RESOLVES_HERE = {"socks5": "socks5h", "socks4": "socks4a"}  # and which scheme has the proxy resolve
_BY_PASSWORD, _NONE_ACCEPTABLE = 0x02, 0xFF  # SOCKS5's ways to log in
_GRANTED = 90
_ADDRESS_MATTERS = {1, 3, 4, 5, 6, 8, 91}  # with these another address of the same name may fare better
_MEANINGS = {
    1: "general failure; often the name has no address, or the server does not answer",
    2: "its rules forbid this connection",
    3: "the network cannot be reached",
    4: "the host cannot be reached; often the name has no address",
    5: "the server refused the connection",
    6: "the server was not reached in time (TTL expired)",
    7: "it does not know the command CONNECT",
    8: "it does not know this kind of address",
    91: "rejected or failed",
    92: "it cannot ask this machine's identd who is asking",
    93: "this machine's identd names another user",
}
_LENGTHS = {1: 4, 4: 16}  # of the bound address in a SOCKS5 reply, by its type
_NAME_TYPE = 3


class SocksRefused(BrokenProxy):
    """The SOCKS proxy said no.

    Attributes:
        reply_code: the number it said it with: RFC 1928, section 6, or 91 to 93 of SOCKS4.
    """

    def __init__(self, *args: Any, reply_code: int = 0, **kw: Any) -> None:
        super().__init__(*args, **kw)
        self.reply_code = reply_code

    @property
    def may_be_the_address(self) -> bool:
        """Whether another address of the same name may fare better."""
        return self.reply_code in _ADDRESS_MATTERS


def require() -> ModuleType:
    """socksio, which is imported by the first call that needs it.

    Raises:
        UnsupportedProxy: it is not installed. An InvalidSchema, as in requests.
    """
    try:
        import socksio
    except ImportError as error:
        raise UnsupportedProxy(f"Missing dependencies for SOCKS support: {install('socks')}. Nothing was sent.") from error
    return socksio


def addresses(
    proxy: Proxy, host: str, port: int, until: float | None, clock: Callable[[], float], addressing: Addressing
) -> list[str]:
    """What the proxy is asked for, in this order until it can connect to one: the name itself, or its addresses.

    Raises:
        AddressRefused: the guard of ``addressing`` allows none of the addresses.
        InvalidRequest: the host cannot be asked for.
        ConnectTimeout, ConnectionError: the name has no address, as in ``connect.resolve``.
    """
    authority(host, port)
    plain = host.partition("%")[0] if ":" in host else host  # a zone means something on this machine only
    if proxy.scheme not in _RESOLVES_HERE:
        return [_checked(proxy, plain)]
    try:
        found = resolve(plain, port, until, clock, addressing.resolver)
    except HoldfastConnectionError as error:
        error.args = (f"{error} ({proxy.scheme}:// resolves here; {_RESOLVES_HERE[proxy.scheme]}:// has the proxy resolve)",)
        raise
    texts = [address[4][0].partition("%")[0] for address in interleave(found)]
    if proxy.scheme == "socks4":
        texts = [text for text in texts if ":" not in text] or [_checked(proxy, texts[0])]
    return _allowed(texts, host, port, addressing)[:MAX_ADDRESSES]


def _allowed(texts: list[str], host: str, port: int, addressing: Addressing) -> list[str]:
    allowed, refusal = [], None
    for text in texts:
        try:
            addressing.require(text, port, host)
            allowed.append(text)
        except AddressRefused as error:
            refusal = error
    if refusal is not None and not allowed:
        raise refusal
    return allowed


def _checked(proxy: Proxy, host: str) -> str:
    if ":" in host and proxy.scheme.startswith("socks4"):
        raise BrokenProxy(f"the proxy {proxy} cannot be asked for {host}: SOCKS4 knows no IPv6 addresses; SOCKS5 does")
    return host


def open_tunnel(
    stream: ByteStream, proxy: Proxy, host: str, port: int, until: float | None, clock: Callable[[], float]
) -> None:
    """Have the proxy connect to ``host``; when this returns, the next byte is the server's.

    Args:
        stream: to the proxy, new.
        host: what ``addresses`` gave: a name, or an address as text.
        until: the moment on ``clock`` by which all of it must be done; None waits for ever.

    Raises:
        SocksRefused: the proxy said no.
        BrokenProxy: what it said is no SOCKS, or more than was asked for, or it left.
        ConnectTimeout: it was not done in time.
    """
    require()
    handshake = _Socks5 if proxy.scheme.startswith("socks5") else _Socks4
    started = clock()
    talk = handshake(Bounded(stream, until, clock), proxy, host, port)
    try:
        talk.run()
    except TimeoutError as error:
        raise ConnectTimeout(
            f"the proxy {proxy} did not answer within {clock() - started:.2f} s ({talk.step}). "
            "Raise timeouts.connect, or check that it is a SOCKS proxy."
        ) from error
    except EOFError as error:
        came = error.args[0]
        raise talk.broken(f"closed the connection{f' after {came[:20]!r}' if came else ''}") from error
    except BrokenProxy:
        raise
    except OSError as error:
        raise talk.broken(f"broke the connection: {error.strerror or error}") from error


class _Handshake:
    """What both versions share.

    Attributes:
        step: what is being done, for messages.
    """

    version = 0

    def __init__(self, connection: Bounded, proxy: Proxy, host: str, port: int) -> None:
        self.connection = connection
        self.proxy = proxy
        self.host, self.port = host, port
        self.target = authority(host, port).decode("ascii")
        self.step = "greeting it"

    def run(self) -> None:
        raise NotImplementedError

    def take(self, size: int) -> bytes:
        """So many bytes of the reply."""
        return self.connection.receive_exactly(size)

    def end_of_reply(self) -> None:
        """The reply is whole: it has been asked for nothing else yet."""
        if self.connection.left_over:
            raise self.broken("sent bytes of its own behind its reply, which are no answer to anything")

    def expect_version(self, reply: bytes, version: int) -> None:
        if reply[0] != version:
            hint = ": is it an http:// proxy?" if reply[:1] == b"H" else ""
            raise self.broken(f"does not speak SOCKS{self.version}: its reply begins with {reply!r}{hint}")

    def broken(self, what: str) -> BrokenProxy:
        return BrokenProxy(f"the proxy {self.proxy} {what} ({self.step})")

    def refused(self, code: int) -> SocksRefused:
        meaning = _MEANINGS.get(code, "a reply that no specification knows")
        return SocksRefused(
            f"the proxy {self.proxy} did not connect to {self.target}: {meaning} (reply {code})", reply_code=code
        )


class _Socks5(_Handshake):
    version = 5

    def run(self) -> None:
        method = self.choose_method()
        if method == _BY_PASSWORD and self.proxy.credentials is not None:
            self.log_in(*self.proxy.credentials)
        elif method != 0:
            raise self.broken(f"chose a way to log in that it was not offered ({method:#04x})")
        self.ask()

    def choose_method(self) -> int:
        from socksio import socks5

        offered = [socks5.SOCKS5AuthMethod.NO_AUTH_REQUIRED]
        if self.proxy.credentials is not None:
            offered.append(socks5.SOCKS5AuthMethod.USERNAME_PASSWORD)
        self.connection.send(socks5.SOCKS5AuthMethodsRequest(offered).dumps())
        reply = self.take(2)
        self.expect_version(reply, 5)
        # A refusal first: mitmproxy sends more behind it, which says nothing.
        if reply[1] == _NONE_ACCEPTABLE and self.proxy.credentials is None:
            raise self.broken(f"wants credentials. Give them in its URL: {self.proxy.scheme}://user:password@host:port")
        if reply[1] == _NONE_ACCEPTABLE:
            raise self.broken("logs in neither by user name and password nor without")
        self.end_of_reply()
        return reply[1]

    def log_in(self, user: bytes, password: bytes) -> None:
        from socksio import socks5

        self.step = "checking user name and password"
        self.connection.send(socks5.SOCKS5UsernamePasswordRequest(user, password).dumps())
        reply = self.take(2)  # of the version some proxies say 1, as RFC 1929 does, and some 5
        if reply[1] != 0:
            raise self.broken("does not accept these credentials")
        self.end_of_reply()

    def ask(self) -> None:
        from socksio import ProtocolError, socks5

        self.step = f"connecting to {self.target}"
        asked = socks5.SOCKS5CommandRequest.from_address(socks5.SOCKS5Command.CONNECT, (self.host, self.port))
        self.connection.send(asked.dumps())
        reply = self.take(2)
        self.expect_version(reply, 5)
        if reply[1] != 0:
            raise self.refused(reply[1])  # what follows says nothing more, and some proxies leave it out
        reply += self.take(3)
        length = 1 + reply[4] if reply[3] == _NAME_TYPE else _LENGTHS.get(reply[3], 0)
        reply += self.take(length + 1) if length else b""  # two bytes of port; one of the address is here already
        try:
            socks5.SOCKS5Reply.loads(reply)
        except (ProtocolError, ValueError) as error:
            raise self.broken(f"sent a reply that is no SOCKS5: {reply[:20]!r}") from error
        self.end_of_reply()


class _Socks4(_Handshake):
    version = 4

    def run(self) -> None:
        from socksio import socks4

        self.step = f"connecting to {self.target}"
        user = b"" if self.proxy.credentials is None else self.proxy.credentials[0]
        address = socks4.SOCKS4ARequest.from_address(socks4.SOCKS4Command.CONNECT, (self.host, self.port), user)
        if _is_ipv4(self.host):
            asked = socks4.SOCKS4Request(address.command, address.port, address.addr, user).dumps(user)
        else:
            asked = address.dumps(user)
        self.connection.send(asked)
        reply = self.take(2)
        self.expect_version(reply, 0)
        if reply[1] != _GRANTED:
            raise self.refused(reply[1])
        self.take(6)
        self.end_of_reply()


def _is_ipv4(host: str) -> bool:
    from socksio.utils import AddressType, encode_address

    return encode_address(host)[0] is AddressType.IPV4

"""Proxies: what a proxy's URL says, and the tunnel through one (CONNECT, RFC 9110 section 9.3.6). SOCKS is spoken in ``socks``.

Laws:

1. The proxy's credentials are for the proxy. They are part of what tells connections apart, go into the CONNECT or into
   requests the proxy reads itself, and into no repr, message or statistic.
2. There is no tunnel until the proxy has said 2xx. What stands behind that head in the proxy's own answer was not said by the
   origin, which has not been spoken to: it is an error, never the origin's first bytes (CVE-2023-40217).
3. Opening it happens within the time for connecting, however slowly the answer drips.

Of a 2xx answer only the status counts: it has no body, whatever its fields say (RFC 9110 section 9.3.6). The exchange
itself is an HTTP/1.1 connection's work, limits included; this file only knows what to ask and how to take the answer.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from .._values import NamedTuple
from ..exceptions import ConnectionError as HoldfastConnectionError
from ..exceptions import (
    ConnectTimeout,
    InvalidProxyURL,
    InvalidRequest,
    InvalidSchema,
    ProxyError,
    RequestException,
    SSLError,
    Timeout,
)
from ..message.request import basic_authorization
from ..message.url import Url
from ..reasons import Discard, ExchangeFailed
from ..timeouts import Deadline, Timeouts
from .framing import ResponseHead

if TYPE_CHECKING:
    import ssl

    import h11

MAX_SHOWN_BYTES = 100  # of a refusal's body that are read and shown
REFUSAL_BODY_SECONDS = 0.5  # that a refusal's body may take
MAX_CREDENTIAL_BYTES = 255  # of a user name and of a password for SOCKS: RFC 1929, section 2
_SOCKS = ("socks4", "socks4a", "socks5", "socks5h")
_DEFAULT_PORTS = {"http": 80, "https": 443, **dict.fromkeys(_SOCKS, 1080)}
_HOST = r"[A-Za-z0-9.\-_~!$&'()*+,;=:]+"


class UnsupportedProxy(InvalidProxyURL, InvalidSchema):
    """Nothing was sent: the proxy's scheme is not spoken. Both by nature, and requests has a name for either."""


class BrokenProxy(ProxyError):
    """No connection through the proxy. Nothing of the request has left: a Retries policy may repeat any method."""

    never_connected = True


class Refused(BrokenProxy):
    """The proxy's answer to CONNECT was not 2xx.

    Attributes:
        status_code: what it was.
        challenges: the values of its Proxy-Authenticate fields.
    """

    def __init__(self, *args: Any, status_code: int = 0, challenges: Sequence[str] = (), **kw: Any) -> None:
        super().__init__(*args, **kw)
        self.status_code = status_code
        self.challenges = list(challenges)


class ProxyTlsError(BrokenProxy, SSLError):
    """TLS with the proxy failed, or the proxy ended the tunnel during the handshake inside. Both by nature."""


class ProxyDigest(Protocol):
    """Digest authentication to proxies, see ``holdfast.auth.HTTPProxyDigestAuth``. Hashable, and equal by credentials."""

    def answer_proxy(self, proxy: Proxy, method: str, uri: str) -> str | None:
        """The value of Proxy-Authorization for this request; None while no challenge of this proxy is known."""

    def learn_from_proxy(self, proxy: Proxy, fields: list[str], answers: int) -> bool:
        """Whether a challenge in these Proxy-Authenticate fields can be answered, ``answers`` having been given before."""


class Proxy(NamedTuple):
    """A proxy, and what it is told about who is asking: part of the key of the pool.

    Attributes:
        host, port: where it is.
        authorization: the value of Proxy-Authorization; None for none.
        scheme: ``http``, ``https`` (TLS to the proxy itself), ``socks4``, ``socks4a``, ``socks5`` or ``socks5h``.
        credentials: user name and password, for SOCKS.
        context: the TLS configuration for the proxy itself; None for plain.
        digest: what answers its Digest challenges; None for nothing.
    """

    host: str
    port: int
    authorization: str | None = None
    scheme: str = "http"
    credentials: tuple[bytes, bytes] | None = None
    context: ssl.SSLContext | None = None
    digest: ProxyDigest | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    def __repr__(self) -> str:
        return f"<Proxy {self}{' with credentials' if self.authorization or self.credentials or self.digest else ''}>"

    @property
    def is_socks(self) -> bool:
        """Whether it knows no HTTP: http requests go through it as they would go to their server."""
        return self.scheme in _SOCKS

    def with_authorization(self, value: str | None) -> Proxy:
        """This proxy, told ``value`` where its URL names no credentials."""
        return self if value is None or self.authorization is not None else self._replace(authorization=value)


def parse_proxy(given: Any) -> Proxy:
    """The proxy a URL means: ``[scheme://][user:password@]host[:port]``.

    Without a scheme it is http. Without a port it is 80, for https 443, for SOCKS 1080. Of several @ the last one counts, as in
    requests.

    Args:
        given: str or bytes, user name and password percent-encoded; or a Url.

    Raises:
        InvalidProxyURL: it cannot be understood, or is a proxy of a kind that is not known. No password is shown.
    """
    text = given.decode("latin-1") if isinstance(given, bytes) else given.text if isinstance(given, Url) else given
    if not isinstance(text, str):
        raise InvalidProxyURL(f"a proxy is given as a URL such as 'http://proxy:3128', not as {type(given).__name__}")
    return _parse(text)


@lru_cache(maxsize=64)
def _parse(text: str) -> Proxy:
    scheme, separator, rest = text.strip().partition("://")
    if not separator:
        scheme, rest = "http", scheme.removeprefix("//")
    scheme = scheme.lower()
    if scheme not in _DEFAULT_PORTS:
        # It is not shown: what is no scheme may be the beginning of a password.
        raise UnsupportedProxy(f"this kind of proxy is not known; known are {', '.join(f'{name}://' for name in _DEFAULT_PORTS)}")
    try:
        url, twin = Url.parse(f"http://{rest}"), Url.parse(f"https://{rest}")
        port = url.port if url.port == twin.port else _DEFAULT_PORTS[scheme]  # they differ where none is written
        if scheme in _SOCKS:
            return Proxy(url.host, port, scheme=scheme, credentials=_credentials(url, scheme))
        return Proxy(url.host, port, _authorization(url), scheme)
    except RequestException as error:
        raise InvalidProxyURL(f"cannot understand the proxy's URL: {error}") from None  # the cause may show more of it


def _credentials(url: Url, scheme: str) -> tuple[bytes, bytes] | None:
    """For SOCKS: both, or for SOCKS4, which has no password, a user name alone."""
    if not url.username or (url.password is None and scheme.startswith("socks5")):
        return None
    found = (url.username.encode(), (url.password or "").encode())
    if max(map(len, found)) > MAX_CREDENTIAL_BYTES or b"\0" in found[0]:
        raise InvalidProxyURL(f"a user name or password for SOCKS has at most {MAX_CREDENTIAL_BYTES} bytes, and no NUL")
    return found


def _authorization(url: Url) -> str | None:
    # As in requests: without a user or without a password there is nothing to prove.
    if not url.username or url.password is None:
        return None
    return basic_authorization(url.username, url.password)


def unreachable(proxy: Proxy, error: HoldfastConnectionError) -> HoldfastConnectionError:
    """What to raise when there was no connection to the proxy itself: it was late, it is not there, or TLS with it failed."""
    if isinstance(error, SSLError):
        hint = " Then write its URL with http://." if "does not speak TLS" in str(error) else ""
        return ProxyTlsError(f"TLS with the proxy {proxy} failed: {error}{hint}")
    kind = ConnectTimeout if isinstance(error, ConnectTimeout) else BrokenProxy
    return kind(f"the proxy {proxy} cannot be reached: {error}")


def tunnel_ended(proxy: Proxy, target: bytes, error: SSLError) -> ProxyTlsError:
    """What to raise when a tunnel ends in place of the TLS handshake: some proxies say 200 before they have a connection."""
    return ProxyTlsError(
        f"the proxy {proxy} opened the tunnel to {_shown(target)} and ended it before TLS was agreed on: "
        f"it may have failed to reach the server ({error})"
    )


# -- the tunnel --------------------------------------------------------------------------------------------------------


class Exchanger(Protocol):
    """What is needed of an HTTP/1.1 connection to the proxy."""

    def exchange(self, request: h11.Request, body: None, timeouts: Timeouts, deadline: Deadline) -> ResponseHead: ...
    def read_body(self) -> bytes: ...
    def read_body_within(self, seconds: float) -> bytes: ...
    def recycle(self) -> Discard | None: ...


def authority(host: str, port: int) -> bytes:
    """``host:port``, the target of a CONNECT.

    Raises:
        InvalidRequest: the host holds what would end the request line, or worse.
    """
    address = host.partition("%")[0] if ":" in host else host  # a zone means something on this machine only
    if not re.fullmatch(_HOST, address):
        raise InvalidRequest(f"the host {host[:100]!r} cannot be asked of a proxy: a character in it is not allowed")
    return f"[{address}]:{port}".encode("ascii") if ":" in address else f"{address}:{port}".encode("ascii")


def connect_fields(target: bytes, proxy: Proxy) -> list[tuple[bytes, bytes]]:
    """The fields of a CONNECT: Host, which RFC 9112 section 3.2 wants, and what is for the proxy. Nothing else."""
    fields = [(b"Host", target)]
    authorization = proxy_authorization(proxy, "CONNECT", target.decode("ascii"))
    if authorization is not None:
        fields.append((b"Proxy-Authorization", authorization.encode("latin-1")))
    return fields


def proxy_authorization(proxy: Proxy, method: str, uri: str) -> str | None:
    """What the proxy is told of who is asking, with a request of this method and target; None for nothing."""
    return proxy.authorization if proxy.digest is None else proxy.digest.answer_proxy(proxy, method, uri)


def open_tunnel(
    connection: Exchanger,
    request: h11.Request,
    target: bytes,
    proxy: Proxy,
    until: float | None,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Ask the proxy for a tunnel; when this returns, the next byte is the origin's.

    Args:
        connection: to the proxy, new.
        request: the CONNECT, as ``connection`` takes it.
        target: what it asks for, for messages.
        until: the moment on ``clock`` by which the answer's head must be here; None waits for ever.

    Raises:
        ProxyError: it was refused (``Refused``), or the answer is no answer, or more than one.
        ConnectTimeout: there was none in time.
    """
    started = clock()
    try:
        head = _ask(connection, request, until, clock)
    except TimeoutError as error:
        raise ConnectTimeout(
            f"the proxy {proxy} did not open the tunnel to {_shown(target)} within {clock() - started:.2f} s"
        ) from error
    except ExchangeFailed as failure:
        raise BrokenProxy(f"the proxy {proxy} opened no tunnel to {_shown(target)}: {failure.error}") from failure.error
    if not 200 <= head.status_code < 300:
        raise _refusal(connection, head, target, proxy, until, clock)
    if connection.read_body() or connection.recycle() is Discard.UNSOLICITED:
        raise BrokenProxy(
            f"the proxy {proxy} sent bytes of its own after opening the tunnel to {_shown(target)}: "
            "they cannot be the server's, which has not been spoken to"
        )


def _ask(connection: Exchanger, request: h11.Request, until: float | None, clock: Callable[[], float]) -> ResponseHead:
    left = None if until is None else until - clock()
    if left is not None and left <= 0:
        raise TimeoutError("no time is left")
    try:
        return connection.exchange(request, None, Timeouts(read=left, write=left), Deadline(left, clock))
    except ExchangeFailed as failure:
        if isinstance(failure.error, Timeout):
            raise TimeoutError(str(failure.error)) from failure.error
        raise


def _refusal(
    connection: Exchanger, head: ResponseHead, target: bytes, proxy: Proxy, until: float | None, clock: Callable[[], float]
) -> Refused:
    status = head.status_code
    body = _beginning(connection, until, clock)
    said = f"{status} {head.reason[:MAX_SHOWN_BYTES].decode('latin-1')!r}"
    for reason in _values(head, b"x-squid-error"):
        said += f", X-Squid-Error: {reason[:MAX_SHOWN_BYTES]!r}"  # squid's body begins with a doctype
    said += f", {body!r}" if body else ""
    return Refused(
        f"the proxy {proxy} refused the tunnel to {_shown(target)}: {said}{_advice(status, proxy)}",
        status_code=status,
        challenges=_values(head, b"proxy-authenticate"),
    )


def _values(head: ResponseHead, name: bytes) -> list[str]:
    """The values of one field of the answer; ``name`` in lower case."""
    return [value.decode("latin-1") for key, value in head.raw_headers if key.lower() == name]


def _advice(status: int, proxy: Proxy) -> str:
    if status not in (401, 407):  # tinyproxy says 401 to credentials that are wrong
        return ""
    if proxy.authorization is not None or proxy.digest is not None:
        return ". It does not accept these credentials."
    return f". Give credentials in its URL: {proxy.scheme}://user:password@host:port"


def _beginning(connection: Exchanger, until: float | None, clock: Callable[[], float]) -> bytes:
    """The first bytes of the body, if they come soon."""
    end = clock() + REFUSAL_BODY_SECONDS if until is None else min(until, clock() + REFUSAL_BODY_SECONDS)
    found = b""
    try:
        while len(found) < MAX_SHOWN_BYTES and (left := end - clock()) > 0:
            piece = connection.read_body_within(left)
            if not piece:
                break
            found += piece
    except (RequestException, ExchangeFailed):
        pass  # the status says enough
    return found[:MAX_SHOWN_BYTES]


def _shown(target: bytes) -> str:
    return target.decode("ascii")

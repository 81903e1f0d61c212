"""HoldfastTransport, once for httpx and httpx2, which have the same transport interface: ``contrib.httpx`` and ``contrib.httpx2``
tell it the library.

Laws:

1. One ``handle_request`` is one request over holdfast's transport, sent again by its rule alone (see docs/resending.md). Redirects,
   cookies, authentication and content codings are the library's: nothing of them is done here.
2. What goes out is what the library has written: method, target and fields as they are, and the body's bytes.
3. What cannot be obeyed is refused, a setting with a ValueError by the constructor, an extension with a LocalProtocolError before
   a byte is sent. ``inject()`` leaves to the library what is refused.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import copy
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

from .. import exceptions as ours
from ..call import Call
from ..client import Client
from ..message.body import Body, BytesBody
from ..message.headers import Headers
from ..message.request import PreparedRequest
from ..message.url import Url
from ..pool.limits import Limits
from ..reasons import ExchangeFailed
from ..retries import NO_RETRIES, Retries
from ..timeouts import Timeouts
from ..wire import tls
from ..wire.proxy import parse_proxy
from ..wire.verification import HTTPX, in_terms

if TYPE_CHECKING:
    import ssl

    from ..message.response import Response
    from ..pool.events import PoolEvent
    from ..pool.stats import PoolStats
    from ..routes import Routes

LIKE_HTTPX = Limits(max_connections=100, max_connections_per_origin=None, max_idle_connections=20, idle_timeout=5.0)
"""What httpx and httpx2 have where nothing else is said."""

SHORTEST = 1e-6  # seconds: a timeout of 0 is "do not wait" to the library
ASYNCHRONOUS = "holdfast is synchronous: call it in a thread, as by asyncio.to_thread()."
_REFUSED = {
    "trace": "extensions['trace'] names httpcore's steps, which are not taken here; use HoldfastTransport.on_event()",
}


class HoldfastTransportBase:
    """The transport, but for the library's own base class. See ``contrib.httpx.HoldfastTransport`` for what it takes."""

    library: ClassVar[Any]
    """The module: httpx or httpx2."""
    stream_class: ClassVar[type[ResponseStream]]
    """The library's kind of stream over a response."""

    _context: ssl.SSLContext | None = None  # until the first request by https
    _trusts_as_library = False  # True: the library's own arguments make the context

    def __init__(
        self,
        verify: ssl.SSLContext | str | os.PathLike[str] | bool = True,
        cert: Any = None,
        trust_env: bool = True,
        http1: bool = True,
        http2: bool = False,
        limits: Any = None,
        proxy: Any = None,
        uds: str | None = None,
        local_address: str | None = None,
        retries: Retries | int = 0,
        socket_options: Iterable[Any] | None = None,
        *,
        proxies: Mapping[str, Any] | None = None,
        client: Client | None = None,
    ) -> None:
        if http2 or not http1:
            raise ValueError("HoldfastTransport speaks HTTP/1.1 and nothing else: leave http1=True and http2=False")
        if proxy is not None and proxies is not None:
            raise ValueError("give either proxy= or proxies=")
        self._lock = threading.Lock()
        self._closed = False
        self._known = lru_cache(maxsize=256)(_fields)  # here, and not for all: it holds credentials
        self._verify = verify
        self._cert = cert
        self._trust_env = trust_env
        self._given = client
        if client is not None:
            own = (verify, cert, trust_env, limits, proxy, proxies, uds, local_address, retries, socket_options)
            if own != (True, None, True, None, None, None, None, None, 0, None):
                raise ValueError("client= brings its own settings: give either a client or settings")
            self._client = client
            return
        if verify is not True or cert is not None:
            self._context = self._make_context()  # at once: a wrong path is an error here and not at the first request
        chosen = _proxy_urls(proxies if proxy is None else {"all": proxy})
        settings: dict[str, Any] = {
            "limits": _limits(limits),
            "proxies": chosen,
            "trust_env": trust_env and not chosen,  # as in httpx: what the program says goes before the environment
            "unix_socket": uds,
            "source_address": None if local_address is None else (local_address, 0),
            "retries": _retries(retries),
            "socket_options": tuple(socket_options or ()),
        }
        self._make_client = partial(Client, **settings)
        self._client = self._make_client()

    # -- one request ---------------------------------------------------------------------------------------------------

    def handle_request(self, request: Any) -> Any:
        """Send one of the library's requests; its response, whose stream is still to be read.

        Raises:
            TransportError: one of the library's, with ``request`` set and holdfast's own as its cause.
        """
        if self._closed:
            self._reopen()
        extensions = request.extensions
        client = self._client
        try:
            if len(extensions) > 1:
                self._check(request)
            prepared = prepare(request, extensions.get("target"), self.library.ByteStream, self._known)
            verify, cert = client.verify, client.cert
            if self._given is None and prepared.parsed.scheme == "https":
                verify = self._context or self._make_default_context()
            timeouts = _timeouts_of(extensions.get("timeout") or {}, client.timeout.total)
            settings = client._settings(timeouts, verify, cert, True, client.retries, None, None)
            services = client._services
            if "sni_hostname" in extensions:
                services = services._replace(routes=_named(services.routes, extensions["sni_hostname"]))
            response = _Exchange(services, settings, client._jar_for_call).send(prepared)
        except ours.RequestException as error:
            raise self.translated(error, request) from error
        raw = response.raw
        return self.library.Response(
            response.status_code,
            headers=response.raw_headers,
            stream=self.stream_class(response, request, self.translated),
            extensions={
                "http_version": b"HTTP/1.0" if raw.version == 10 else b"HTTP/1.1",
                "reason_phrase": raw.reason.encode("latin-1"),
            },
        )

    async def handle_async_request(self, request: Any) -> Any:
        """Raise TypeError: an asynchronous client has been given a transport that is none."""
        raise TypeError(f"{ASYNCHRONOUS} {type(self).__name__} is for {self.library.__name__}.Client")

    async def __aenter__(self) -> Any:
        return await self.handle_async_request(None)

    async def aclose(self) -> None:
        """Close all connections."""
        self.close()

    def refusal(self, request: Any) -> str | None:
        """Why this request would be refused for what it asks of a transport; None if it would not."""
        for name, why in _REFUSED.items():
            if request.extensions.get(name) is not None:
                return why
        return None

    def _check(self, request: Any) -> None:
        why = self.refusal(request)
        if why is not None:
            raise ours.InvalidRequest(why)
        name = request.extensions.get("sni_hostname", "name")
        if not isinstance(name, str) or not name:
            raise ours.InvalidRequest(f"extensions['sni_hostname'] must be a host's name, not {name!r}")

    def translated(self, error: ours.RequestException, request: Any, *, reading: bool = False) -> Any:
        """The library's exception for one of holdfast's; ``reading``: it came from the body of the response."""
        text = in_terms(HTTPX, str(error), error) if self._trusts_as_library else str(error)
        return getattr(self.library, name_for(error, reading))(text, request=request)

    # -- TLS -----------------------------------------------------------------------------------------------------------

    def _make_default_context(self) -> ssl.SSLContext:
        # Several threads may come here at once with a context each. setdefault() is one step: all of them get the same.
        context: ssl.SSLContext = self.__dict__.setdefault("_context", self._make_context())
        return context

    def _make_context(self) -> ssl.SSLContext:
        """``verify=True`` trusts whom the library trusts (certifi, the system, SSL_CERT_FILE); the rest is holdfast's."""
        if self._verify is not True:
            return tls.context_for(self._verify, self._cert)
        context: ssl.SSLContext = self.library.create_ssl_context(trust_env=self._trust_env)
        context.set_alpn_protocols(["http/1.1"])
        if self._cert is not None:
            tls.load_certificate(context, self._cert)
        return context

    def trust_as_library(self, verify: Any, cert: Any, trust_env: bool) -> None:
        """Take the TLS context that the library makes of its own three settings, warnings and errors included."""
        context = self.library.create_ssl_context(verify=verify, cert=cert, trust_env=trust_env)
        if context is not verify:
            context.set_alpn_protocols(["http/1.1"])
        self._context = context
        self._trusts_as_library = True

    # -- the pool ------------------------------------------------------------------------------------------------------

    @property
    def client(self) -> Client:
        """The holdfast.Client whose connections these are: ``client.advise()``, ``client.warm(url)``, ...."""
        return self._client

    def stats(self) -> PoolStats:
        """What the pool holds and has done since it was made, or last reopened after ``close()``."""
        return self._client.stats()

    def on_event(self, callback: Callable[[PoolEvent], object]) -> Callable[[], None]:
        """Call ``callback`` with every ``PoolEvent`` from now on; the function returned ends that."""
        return self._client.on_event(callback)

    def close(self) -> None:
        """Close all connections, unless they are those of a ``client=`` that was given: that is its owner's to close.

        As with the library's own transport, a request after that opens new ones.
        """
        if self._given is None:
            self._closed = True
            self._client.close()

    def _reopen(self) -> None:
        with self._lock:
            if self._closed:
                self._client = self._make_client()
                self._closed = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._client!r}>"


class ResponseStream:
    """The bytes of a response as they came; the library undoes content codings."""

    def __init__(self, response: Response, request: Any, translated: Callable[..., Any]) -> None:
        self._response = response
        self._request = request
        self._translated = translated

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._response.raw.stream(None, False)
        except ours.RequestException as error:
            raise self._translated(error, self._request, reading=True) from error

    def close(self) -> None:
        """Read no more. The connection is kept if the rest is small and already here, else closed."""
        self._response.close()


class _Exchange(Call):
    """One request and its response, without what is the library's to do."""

    __slots__ = ()

    def _keep_cookies(self, request: PreparedRequest, response: Response) -> None:
        """Not here: the library's client has a jar of its own."""


def _named(routes: Routes, name: str) -> Routes:
    """The same routes, whose certificates are checked against another name than the URL's."""
    twin = copy(routes)
    twin.server_name = name
    return twin


# -- settings ----------------------------------------------------------------------------------------------------------


def _limits(given: Any) -> Limits:
    if given is None:
        return LIKE_HTTPX
    if isinstance(given, Limits):
        return given
    return Limits(
        max_connections=given.max_connections,
        max_connections_per_origin=None,
        max_idle_connections=given.max_keepalive_connections,
        idle_timeout=given.keepalive_expiry,
    )


def _retries(given: Retries | int) -> Retries:
    """A number means what it means to the library: that many more attempts to connect, and nothing else."""
    if isinstance(given, Retries):
        return given
    return Retries(Retries.of(given).attempts, statuses=(), methods=()) if given else NO_RETRIES


def _proxy_urls(given: Mapping[str, Any] | None) -> dict[str, str | None]:
    """By holdfast's keys; those of httpx's mounts, such as ``https://`` and ``all://``, mean the same."""
    return {key.removesuffix("://"): url if url is None else _proxy_url(url) for key, url in (given or {}).items()}


def _proxy_url(given: Any) -> str:
    """The URL of a proxy, with its credentials.

    Raises:
        ValueError: it is of a kind that holdfast does not speak to, or has fields or a TLS context of its own.
    """
    if isinstance(given, str) or not hasattr(given, "url"):
        text = str(given)
    else:
        text = _with_credentials(given)
    parse_proxy(text)
    return text


def _with_credentials(proxy: Any) -> str:
    if getattr(proxy, "ssl_context", None) is not None:
        raise ValueError("a proxy with an ssl_context is not supported: holdfast speaks to http:// proxies")
    if len(proxy.headers):
        raise ValueError("a proxy with headers of its own is not supported: give user name and password by auth=")
    text = str(proxy.url)
    if proxy.auth is None:
        return text
    scheme, _, rest = text.partition("://")
    return f"{scheme}://{':'.join(quote(part, safe='') for part in proxy.auth)}@{rest}"


# -- requests ----------------------------------------------------------------------------------------------------------


class StreamedBody(Body):
    """A request's stream, read while it is sent."""

    __slots__ = ("_stream",)

    def __init__(self, stream: Iterable[bytes]) -> None:
        super().__init__(None, _gives_again(stream))
        self._stream = stream

    def _pieces(self) -> Iterator[bytes]:
        return iter(self._stream)


def _gives_again(stream: Any) -> bool:
    """Whether iterating a second time gives the same bytes, and is known to: a multipart form whose files can be rewound."""
    fields = getattr(stream, "fields", None)
    return isinstance(fields, list) and all(_can_rewind(getattr(field, "file", b"")) for field in fields)


def _can_rewind(file: Any) -> bool:
    return isinstance(file, (str, bytes)) or (hasattr(file, "seekable") and bool(file.seekable()))


class ExactUrl(Url):
    """A URL whose target goes out as the library has written it; the normal form would escape, or spell, some of it otherwise."""

    __slots__ = ()

    def __init__(self, base: Url, target: bytes) -> None:
        store = object.__setattr__
        for name in Url.__slots__:
            store(self, name, getattr(base, name))
        store(self, "target", target)


def prepare(request: Any, target: bytes | None, byte_stream: Any, known: Callable[[Any], Headers]) -> PreparedRequest:
    """holdfast's form of one of the library's requests.

    Args:
        target: what stands on the request line in place of the URL's path and query; None for these.
        byte_stream: the library's type of streams that are in memory.
        known: ``_fields``, perhaps remembering what it gave.

    Raises:
        InvalidRequest, InvalidHeader, InvalidURL, InvalidSchema, MissingSchema: it cannot be sent.
    """
    prepared = PreparedRequest()
    prepared.prepare_method(request.method)
    url = request.url
    prepared.parsed = _url(url.raw_scheme, url.netloc, url.raw_path, target)
    stream = request.stream
    if not isinstance(stream, byte_stream):
        prepared.payload = StreamedBody(stream)
    elif (data := b"".join(stream)) or "transfer-encoding" in request.headers:
        prepared.payload = BytesBody(data)
    raw = request.headers.raw
    prepared.headers = known(tuple(raw)).copy() if prepared.payload is None else Headers.from_raw(raw)
    return prepared


def _fields(raw: tuple[tuple[bytes, bytes], ...]) -> Headers:
    """As Headers. Those of requests without a body are the same over and over: by their version the transport knows the head."""
    return Headers.from_raw(list(raw))


def _url(scheme: bytes, netloc: bytes, path: bytes, target: bytes | None) -> Url:
    origin = f"{scheme.decode('ascii')}://{netloc.decode('ascii')}" if scheme else netloc.decode("ascii")
    url = Url.parse(origin + path.decode("ascii"))
    exact = path if target is None else target
    return url if url.target == exact else ExactUrl(url, exact)


def _timeouts_of(given: Mapping[str, Any], total: float | None) -> Timeouts:
    return _timeouts(given.get("connect"), given.get("read"), given.get("write"), given.get("pool"), total)


@lru_cache(maxsize=256)
def _timeouts(connect: Any, read: Any, write: Any, pool: Any, total: float | None) -> Timeouts:
    connect, read, write, pool = (SHORTEST if seconds == 0 else seconds for seconds in (connect, read, write, pool))
    return Timeouts(connect, read, write, pool, total)


# -- errors ------------------------------------------------------------------------------------------------------------

_NAMES: tuple[tuple[type[ours.RequestException], str], ...] = (
    (ours.PoolTimeout, "PoolTimeout"),
    (ours.ConnectTimeout, "ConnectTimeout"),
    (ours.WriteTimeout, "WriteTimeout"),
    (ours.ReadTimeout, "ReadTimeout"),
    (ours.TotalTimeout, "TimeoutException"),
    (ours.ProxyError, "ProxyError"),
    (ours.InvalidProxyURL, "ProxyError"),
    (ours.RemoteProtocolError, "RemoteProtocolError"),
    (ours.InvalidSchema, "UnsupportedProtocol"),
    (ours.MissingSchema, "UnsupportedProtocol"),
    (ours.InvalidRequest, "LocalProtocolError"),
    (ours.InvalidHeader, "LocalProtocolError"),
    (ours.InvalidURL, "LocalProtocolError"),
    (ours.UnrewindableBodyError, "LocalProtocolError"),
)


def name_for(error: ours.RequestException, reading: bool) -> str:
    """The name of the library's exception. ConnectError only where nothing was sent: programs repeat a POST after it."""
    if isinstance(error, ours.ClientClosed) and error.may_have_executed:
        return "ReadError"
    for kind, name in _NAMES:
        if isinstance(error, kind):
            return name
    if isinstance(error, ours.SSLError):
        return "ReadError" if reading or _came_of_an_exchange(error) else "ConnectError"
    if isinstance(error, (ours.ConnectionLost, ours.ChunkedEncodingError)):
        # An end of file is the server's word, an error is the network's.
        return "ReadError" if isinstance(error.__cause__, OSError) else "RemoteProtocolError"
    return "ConnectError" if getattr(error, "never_connected", False) else "ReadError"


def _came_of_an_exchange(error: BaseException) -> bool:
    context = error.__context__
    while context is not None and not isinstance(context, ExchangeFailed):
        context = context.__context__
    return context is not None

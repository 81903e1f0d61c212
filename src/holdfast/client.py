"""Client: what a user holds: settings, verbs, preparing; it owns one Transport. What one call takes is in call.py.

Thread-safe: any number of threads may share a Client; its attributes may be changed at any time and count for the calls that begin
afterwards. A Response belongs to the thread that reads it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ._clock import system_clock
from ._loading import loading
from .arguments import (
    UNSET,
    AuthTypes,
    CookieTypes,
    DataTypes,
    EventOptions,
    FileTypes,
    HookTypes,
    OnInformational,
    ParamTypes,
    ProxyTypes,
    RetryTypes,
    SendOptions,
    Unpack,
    Unset,
    UrlTypes,
)
from .call import Call, CallSettings
from .connecting import AllowAddress, Cert, Resolver, Verify
from .message.headers import Headers, HeaderTypes
from .message.request import PreparedRequest, Request
from .message.response import Response
from .message.url import Url
from .pool.limits import Limits
from .redirects import SECRET_HEADERS
from .retries import Retries
from .settings import all_hooks, checked_base, merge_hooks, merge_params, with_defaults, with_idempotency_key
from .timeouts import DEFAULT_TIMEOUTS, Timeouts, TimeoutTypes
from .verbs import Verbs

if TYPE_CHECKING:
    from .auth.netrc import Netrc
    from .event_source import EventSource
    from .message.cookies import CookieJar
    from .pool.advice import OriginAdvice
    from .pool.events import PoolEvent
    from .pool.stats import PoolStats
    from .sendings import Observer
    from .transports import BaseTransport
else:
    # Imported with the first client, or when they are asked for; get_type_hints() works without them.
    BaseTransport = Observer = OriginAdvice = PoolEvent = PoolStats = Any

MAX_TEMPLATES = 512
_ABSOLUTE = r"\s*[A-Za-z][A-Za-z0-9+.\-]*://"


class Client(Verbs):
    """An HTTP/1.1 client that keeps its connections. ``Session`` is one with adapters, for programs written for requests.

    Args:
        base_url: put before URLs that have no scheme; without query and fragment. Default None.
        headers: sent with every request, on top of ``default_headers()``; None as a value removes one.
        params: appended to every URL's query.
        auth: for every request: (user, password) or a callable.
        cookies: a mapping or a CookieJar to begin with.
        timeout: seconds, (connect, read), ``Timeouts`` or None. Default ``Timeouts()``: connect 10, read 60, write 60, pool 30.
        verify: True (certifi's CAs), ``"system"`` (the operating system's), False, the path of a CA file or directory, or an
            ssl.SSLContext.
        cert: client certificate: a PEM path, or (certificate, key[, password]).
        limits: how many connections, and for how long; see ``Limits``.
        retries: a number of attempts or ``Retries``, for servers that fail or refuse. Default none.
        max_redirects: redirects followed per call. Default 30.
        hooks: ``{"response": callable or list}``.
        stream: do not read bodies until asked. Default False.
        proxies: URLs of proxies (``http``, ``https``, ``socks4``, ``socks4a``, ``socks5``, ``socks5h``) by ``scheme://host``,
            ``scheme``, ``all://host`` or ``all``; the first of these keys that is there counts, None and ``""`` mean no
            proxy. As in requests, a variable of the environment goes before them, unless ``trust_env`` is False, and
            ``proxies`` of a call before both. Copied; ``client.proxies`` may be changed later.
        trust_env: use what the environment says of proxies and, where the program is silent, of CAs and netrc. Default
            True.
        secret_headers: names not sent on to another origin after a redirect. Default ``SECRET_HEADERS``, and whatever is named
            like these (``X-Goog-Api-Key``, ``Private-Token``). ``{*SECRET_HEADERS, "X-Mine"}`` adds to them, any other set
            takes their place.
        max_decoded: most bytes that a compressed body may decode to; None for no bound. Default None.
        server_name: the name to check certificates against, and to send as SNI, instead of the URL's host.
        unix_socket: path of a Unix-domain socket to connect to instead of the URL's host, or of any proxy.
        source_address: local (address, port) to connect from.
        resolver: called with a name and a port when a connection is opened to it; returns its addresses in their order (text or
            ``ipaddress`` objects, or what ``socket.getaddrinfo`` returns), or None to ask the system. None for the system's.
        allow_address: called with each ``DialAddress`` just before it is dialled; what is not true refuses it
            (``AddressRefused``). ``holdfast.public_addresses_only`` is one. Its time counts as connecting, but
            holdfast cannot interrupt it. Default None: all are allowed.
        socket_options: (level, option, value) of each option to set on a socket before it connects, behind ``TCP_NODELAY``,
            the keepalive probes (a vanished peer is noticed after 60 s of silence) and, on Linux, ``TCP_USER_TIMEOUT``, which is
            the ``read`` timeout given here, at least 30 s: what was sent and not acknowledged for so long ends the connection,
            and probes go on for so long. An option given here goes over these.
        transport: what sends each request, instead of connections of this client's own: see ``holdfast.BaseTransport``. ``limits``
            and ``keeper`` are given to the ``holdfast.ConnectionTransport`` that it wraps, then.
        keeper: look after idle connections from a background thread, one for all clients of the process; if False, that is
            done when a connection is used. Default True.

    Raises:
        ValueError: an argument makes no sense; at once, not at the first request.
    """

    _netrc: Netrc
    _jar: CookieJar | None = None  # made when the first cookie is set or asked for

    _request_type = PreparedRequest

    params: Any
    auth: Any
    verify: Verify
    cert: Cert
    max_redirects: int
    max_decoded: int | None

    def __init__(
        self,
        *,
        base_url: str | None = None,
        headers: HeaderTypes = None,
        params: ParamTypes = None,
        auth: AuthTypes = None,
        cookies: CookieTypes = None,
        timeout: TimeoutTypes = DEFAULT_TIMEOUTS,
        verify: Verify = True,
        cert: Cert = None,
        limits: Limits | None = None,
        retries: RetryTypes = None,
        max_redirects: int = 30,
        hooks: HookTypes = None,
        stream: bool = False,
        proxies: ProxyTypes = None,
        trust_env: bool = True,
        secret_headers: Collection[str] = SECRET_HEADERS,
        max_decoded: int | None = None,
        server_name: str | None = None,
        unix_socket: str | None = None,
        source_address: tuple[str, int] | None = None,
        socket_options: Iterable[tuple[int, int, Any]] = (),
        transport: BaseTransport | None = None,
        resolver: Resolver | None = None,
        allow_address: AllowAddress | None = None,
        keeper: bool = True,
        clock: Callable[[], float] = system_clock,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        with loading:
            from .assembly import Addressing, Routes, services_of, socket_options_for  # loaded by a program's first client
        self.timeout, self._socket_options = timeout, tuple(socket_options)
        options = socket_options_for(self._timeouts.read, self._socket_options)
        addressing = Addressing.of(resolver, allow_address)
        self._routes = Routes(proxies, trust_env, server_name, unix_socket, source_address, options, addressing, clock)
        self._services = services_of(transport, self._routes, limits, keeper, clock, sleep)
        self._transport, self._netrc, self._keeper = self._services.transport, self._services.netrc, keeper
        self._templates: dict[tuple[str, Any], tuple[int, Any, PreparedRequest]] = {}
        self._base_url = None if base_url is None else checked_base(base_url)
        self._headers = with_defaults(headers)
        self.params, self.auth = {} if params is None else params, auth
        if cookies is not None:
            self.cookies = cookies
        self.verify, self.cert = verify, cert
        self.retries = Retries.of(retries)
        self.hooks: dict[str, Any] = all_hooks(hooks)
        self.stream, self.max_redirects, self.max_decoded = stream, max_redirects, max_decoded
        self.secret_headers: frozenset[str] = frozenset(name.lower() for name in secret_headers)

    # -- settings ------------------------------------------------------------------------------------------------------

    @property
    def headers(self) -> Headers:
        """The fields sent with every request."""
        return self._headers

    @headers.setter
    def headers(self, value: Any) -> None:
        self._headers = value if isinstance(value, Headers) else Headers(value)

    @property
    def cookies(self) -> CookieJar:
        """The cookie jar: what servers set, and what you put in it."""
        jar = self._jar
        if jar is None:
            from .message.cookies import CookieJar

            # Several threads may come here at once with a cookie each. setdefault() is one step: all of them get the same jar.
            jar = self.__dict__.setdefault("_jar", CookieJar())
        return jar

    @cookies.setter
    def cookies(self, value: Any) -> None:
        from .message.cookies import cookiejar_from_dict

        if value is None:
            self.__dict__.pop("_jar", None)
        else:
            self._jar = cookiejar_from_dict(value) if isinstance(value, Mapping) and not hasattr(value, "set_cookie") else value

    @property
    def timeout(self) -> Timeouts:
        """How long each phase of a call may take."""
        return self._timeouts

    @timeout.setter
    def timeout(self, value: TimeoutTypes) -> None:
        self._timeouts = Timeouts.of(value)

    @property
    def proxies(self) -> dict[str, Any]:
        """Proxies by the keys that ``Client`` describes; may be changed."""
        return self._routes.proxies

    @proxies.setter
    def proxies(self, value: dict[str, Any]) -> None:
        self._routes.proxies = value

    @property
    def trust_env(self) -> bool:
        """Whether the environment has a say in proxies, authorities and credentials."""
        return self._routes.trust_env

    @trust_env.setter
    def trust_env(self, value: bool) -> None:
        self._routes.trust_env = value

    @property
    def limits(self) -> Limits:
        """The pool's limits, as given."""
        return self._transport.pool.limits

    @property
    def transport(self) -> BaseTransport:
        """What sends each request: as given, or this client's own connections, which a transport for another client may wrap."""
        from .transports import ConnectionTransport

        handler: BaseTransport | None = getattr(self._transport, "handler", None)
        return ConnectionTransport.over(self._transport) if handler is None else handler

    # -- a call --------------------------------------------------------------------------------------------------------

    def request(
        self,
        method: str,
        url: UrlTypes,
        params: ParamTypes = None,
        data: DataTypes = None,
        headers: HeaderTypes = None,
        cookies: CookieTypes = None,
        files: FileTypes = None,
        auth: AuthTypes = None,
        timeout: TimeoutTypes | Unset = UNSET,
        allow_redirects: bool = True,
        proxies: ProxyTypes = None,
        hooks: HookTypes = None,
        stream: bool | None = None,
        verify: Verify = None,
        cert: Cert = None,
        json: Any = None,
        *,
        retries: RetryTypes | Unset = UNSET,
        on_informational: OnInformational = None,
        idempotency_key: str | bool | None = None,
    ) -> Response:
        """Send a request and return the response. The first sixteen parameters are requests', in its order.

        Args:
            method: the verb.
            url: absolute, or relative to ``base_url``.
            params: appended to the query.
            data: body: bytes, text, a form, a file, or an iterable of bytes.
            headers: for this request, over the client's; None as a value removes one.
            cookies: for this request, beside the client's.
            files: parts of a multipart form.
            auth: for this request, over the client's.
            timeout: for this call, over the client's; None waits for ever.
            allow_redirects: follow redirects. Default True.
            proxies: for this call, key by key over the environment's and the client's.
            hooks: ``{"response": callable}``, over the client's.
            stream: leave the body unread until asked; close the response, or read it to its end.
            verify: for this call, over the client's.
            cert: for this call, over the client's.
            json: a value to send as JSON.
            retries: for this call, over the client's.
            on_informational: called with (status, fields) of each 1xx response.
            idempotency_key: the value of an Idempotency-Key field, or True for one that is made for this call: for a server that
                knows the field, so that a POST may be sent again. Default None.

        Raises:
            RequestException: one of those drawn in ``holdfast.exceptions``.
            ValueError: an argument makes no sense. Nothing was sent.
        """
        if idempotency_key:
            headers = with_idempotency_key(headers, idempotency_key)
        plain = not (params or data or headers or cookies or files or auth or hooks) and json is None
        replaced = self._is_replaced()
        prepared = self._plain(method, url) if plain and not replaced else None
        if prepared is None:
            asked = Request(method, url, headers, files, data, params, auth, cookies, hooks, json)
            prepared = self.prepare_request(asked)
        if replaced:
            said: SendOptions = {
                "timeout": self._timeouts if timeout is UNSET else timeout,
                "allow_redirects": allow_redirects,
                "proxies": proxies,
                "stream": stream,
                "verify": verify,
                "cert": cert,
            }
            if retries is not UNSET:  # requests has neither of these: a send that came from elsewhere may not know them
                said["retries"] = retries
            if on_informational is not None:
                said["on_informational"] = on_informational
            return self.send(prepared, **said)
        settings = self._settings(timeout, verify, cert, stream, retries, on_informational, proxies)
        return Call(self._services, settings, self._jar_for_call).run(prepared, allow_redirects)

    def events(self, url: UrlTypes, params: ParamTypes = None, **kwargs: Unpack[EventOptions]) -> EventSource:
        """The events of a ``text/event-stream``, over as many connections as it takes; arguments as in ``EventSource``."""
        from .event_source import EventSource

        def rest(wait: Callable[[float], object], seconds: float) -> None:
            self._transport.rest(wait, seconds)  # looked up for each: a Fake may have begun since

        return EventSource(self.request, url, params, rest=rest, **kwargs)

    def send(self, request: Any, **kwargs: Unpack[SendOptions]) -> Response:
        """Send a prepared request. Keywords: timeout, allow_redirects, proxies, stream, verify, cert, retries and
        on_informational: see ``request``.

        Raises:
            ValueError: ``request`` is a ``Request``; prepare it first.
            RequestException: as in ``request``.
        """
        if not isinstance(request, PreparedRequest):
            raise ValueError("You can only send PreparedRequests.")
        settings = self._settings(
            kwargs.get("timeout", UNSET),
            kwargs.get("verify"),
            kwargs.get("cert"),
            kwargs.get("stream"),
            kwargs.get("retries", UNSET),
            kwargs.get("on_informational"),
            kwargs.get("proxies", self.proxies),  # over the environment's, in requests too
        )
        return Call(self._services, settings, self._jar_for_call).run(request, kwargs.get("allow_redirects", True))

    def _is_replaced(self) -> bool:
        """Whether ``send`` or ``prepare_request`` is another's: of a subclass, or put on the class or on this object by a mock."""
        send: Any = self.send
        prepare: Any = self.prepare_request
        try:
            return send.__func__ is not _SEND or prepare.__func__ is not _PREPARE  # of methods, which they usually are
        except AttributeError:
            return True  # what was put there is no method

    def _settings(
        self, timeout: Any, verify: Verify, cert: Cert, stream: bool | None, retries: Any, on_informational: Any, proxies: Any
    ) -> CallSettings:
        """The settings of a call: its own, and the client's where it says nothing."""
        return CallSettings(
            self._timeouts if timeout is UNSET else Timeouts.of(timeout),
            self.verify if verify is None else verify,
            self.cert if cert is None else cert,
            self.stream if stream is None else stream,
            self.retries if retries is UNSET else Retries.of(retries),
            on_informational,
            proxies,
            self.max_redirects,
            self.secret_headers,
            self.max_decoded,
        )

    def merge_environment_settings(
        self, url: Any, proxies: Any, stream: bool | None, verify: Verify, cert: Cert
    ) -> dict[str, Any]:
        """Keywords for ``send``, for scripts that prepare requests themselves; ``send`` asks the environment anyway."""
        return {"proxies": proxies, "stream": stream, "verify": verify, "cert": cert}

    # -- preparing -----------------------------------------------------------------------------------------------------

    def _plain(self, method: str, url: Any) -> PreparedRequest | None:
        """The request of a call that adds nothing of its own: a copy of the one prepared for this URL before.

        What is kept must follow from its key and the version beside it. Settings may change at any moment, so none of those
        that were found empty here is looked at again when it is made.
        """
        jar = self._jar
        if self.params or self.auth is not None or self.hooks["response"] or (jar is not None and len(jar)):
            return None
        if type(url) is not str and not isinstance(url, (bytes, Url)):
            return None  # an object whose text may be another one next time, or another than that of its equal
        netrc = self._netrc.seen() if self._routes.trust_env else None
        try:
            found = self._templates.get((method, url))
        except TypeError:
            return None  # a method that cannot be hashed is none
        if found is None or found[0] != self._headers.version or found[1] is not netrc:
            headers = self._headers.copy()
            version = headers.version
            prepared = self._prepare(Request(method, url), headers, use_netrc=netrc is not None)
            if len(self._templates) >= MAX_TEMPLATES:
                self._templates.clear()
            self._templates[method, url] = found = (version, netrc, prepared)
        twin = found[2].copy()
        twin.jar = jar
        return twin

    def prepare_request(self, request: Request) -> PreparedRequest:
        """The request as it will be sent, with this client's headers, params, cookies, auth and hooks merged in.

        Raises:
            InvalidURL, MissingSchema, InvalidSchema, InvalidHeader, InvalidRequest, InvalidJSONError: it cannot be sent.
        """
        return self._prepare(request, self._headers.copy(), self.params, self._jar, self.hooks, self.auth)

    def _prepare(
        self,
        request: Request,
        headers: Headers,
        params: Any = None,
        jar: CookieJar | None = None,
        hooks: Any = None,
        auth: Any = None,
        use_netrc: bool = True,
    ) -> PreparedRequest:
        prepared = self._request_type()
        prepared.prepare_method(request.method)
        prepared.prepare_url(self._absolute(request.url), merge_params(params, request.params))
        if request.headers:
            headers.update(request.headers)
        prepared.headers = headers
        prepared.prepare_cookies(request.cookies, jar)
        prepared.prepare_body(request.data, request.files, request.json)
        prepared.prepare_hooks(merge_hooks(hooks, request.hooks if request.has_hooks else None))
        if request.auth is not None:
            auth = request.auth
        if auth is None and use_netrc and prepared.parsed.password is None and "Authorization" not in headers:
            auth = self._netrc.credentials(prepared.parsed) if self._routes.trust_env else None
        prepared.prepare_auth(auth)
        return prepared

    def _jar_for_call(self) -> CookieJar:
        """Where a call keeps what servers set: here for all calls. A subclass may keep it for one call."""
        return self.cookies

    def _absolute(self, url: Any) -> Any:
        if self._base_url is None:
            return url
        text = url.decode("utf-8") if isinstance(url, bytes) else str(url)
        if "://" in text and re.match(_ABSOLUTE, text):
            return text
        base = self._base_url.text
        return base.rstrip("/") + "/" + text.lstrip("/") if text else base

    # -- the pool ------------------------------------------------------------------------------------------------------

    def stats(self) -> PoolStats:
        """What the pool holds and has done: a frozen snapshot, per origin and in total."""
        return self._transport.pool.stats()

    def warm(self, url: Any, n: int = 1) -> int:
        """Open ``n`` more connections to the server of ``url``, in parallel and as far as the limits leave room.

        Returns:
            How many were opened within ``timeout.connect`` seconds. Why others were not is logged (holdfast.pool). None are by a
            client whose transport has no connections, such as a ``WSGITransport``.

        Raises:
            InvalidURL, MissingSchema, InvalidSchema: of ``url``.
            ClientClosed: this client was closed.
        """
        request = PreparedRequest()
        request.prepare_url(self._absolute(url), None)
        request.headers = self._headers
        route = self._routes.find(request, self.verify, self.cert)
        return self._transport.warm(route, n, self._timeouts.connect)

    def on_event(self, callback: Callable[[PoolEvent], object]) -> Callable[[], None]:
        """Call ``callback`` with every ``PoolEvent`` from now on; the function returned ends that.

        It runs in whichever thread caused the event, without any lock held. What it raises is logged.
        """
        return self._transport.pool.on_event(callback)

    def on_sending(self, observer: Observer) -> Callable[[], None]:
        """Call ``observer`` with a ``Sending`` each time that a request goes out, the repeated ones too; the function returned ends
        that. What the observer returns is called when it is known how the sending went. What they raise is logged.
        """
        return self._transport.on_sending(observer)

    def advise(self) -> tuple[OriginAdvice, ...]:
        """Per origin: the connections that the measured load needs, what that rests on, and what to change."""
        return self._transport.pool.advise()

    def close_idle(self) -> int:
        """Close the connections that are idle now; how many."""
        return self._transport.pool.close_idle()

    def close(self) -> None:
        """Close all connections. Idempotent; later calls raise ClientClosed, and so do responses still being read.

        It is the one method that a signal handler may call.
        """
        self._transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        """The configuration as it is now. Connections stay behind: the copy opens its own."""
        state = {name: getattr(self, name) for name in _CONFIGURATION}
        state["base_url"] = None if self._base_url is None else self._base_url.text
        state["cookies"] = self._jar
        for name in ("server_name", "unix_socket", "source_address"):
            state[name] = getattr(self._routes, name)
        state["resolver"], state["allow_address"] = self._routes.addressing
        state["keeper"] = self._keeper
        if hasattr(self._transport, "handler"):
            state["transport"], state["limits"] = self.transport, None
        state["socket_options"] = self._socket_options
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        headers = state.pop("headers")
        Client.__init__(self, **state)
        self.headers = headers

    def __repr__(self) -> str:
        return f"<holdfast.Client {self._transport.pool!r}>"


_SEND, _PREPARE = Client.send, Client.prepare_request

_CONFIGURATION = (
    "headers",
    "params",
    "auth",
    "timeout",
    "verify",
    "cert",
    "limits",
    "retries",
    "max_redirects",
    "hooks",
    "stream",
    "proxies",
    "trust_env",
    "secret_headers",
    "max_decoded",
)

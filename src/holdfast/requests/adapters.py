"""``adapters`` as requests has it: what a Session sends a request with, and all that programs override in it.

Law: what a subclass overrides or passes on is obeyed, or refused with an error that names it; nothing is ignored.

====================================================  ===================================================================
overridden                                            then
====================================================  ===================================================================
``send``                                              it is called; ``super().send`` is ours
``init_poolmanager``, its arguments                   see ``_pools``; a manager made of urllib3's classes is read by the
                                                      same table, or does the sending itself
``proxy_manager_for``, ``proxy_headers``              asked where the request goes by a proxy; likewise
``cert_verify``                                       asked; what it sets is the TLS context of the request
``build_response``                                    called with an ``urllib3.HTTPResponse``
``add_headers``                                       called
``get_connection_with_tls_context``, ``request_url``  called; the pool that comes of it does the sending, which is
``build_connection_pool_key_attributes``              urllib3's unless the program has made another
====================================================  ===================================================================
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ..call import Call, CallSettings
from ..environment import explain_authorities, may_name_authorities, snapshot
from ..exceptions import (
    ConnectionError,  # noqa: A004 - requests' name
    ConnectTimeout,
    InvalidHeader,
    InvalidProxyURL,
    InvalidRequest,
    InvalidSchema,
    InvalidURL,
    ProxyError,
    ReadTimeout,
    RequestException,
    RetryError,
    SSLError,
)
from ..message import request as core
from ..message.body import Body
from ..message.cookies import CookieJar
from ..message.headers import Headers
from ..message.url import shown
from ..redirects import SECRET_HEADERS
from ..retries import NO_RETRIES
from ..timeouts import Timeouts
from ..wire.addressing import BY_SYSTEM, Addressing
from ..wire.tls import context_for
from ._context import Context, current
from ._pools import Manager, PoolView, translated
from .auth import _basic_auth_str
from .cookies import extract_cookies_to_jar
from .models import OtherUrl, PreparedRequest, Response, as_our_request, as_our_response
from .structures import CaseInsensitiveDict
from .utils import (
    DEFAULT_CA_BUNDLE_PATH,
    get_auth_from_url,
    get_encoding_from_headers,
    prepend_scheme_if_needed,
    select_proxy,
    urldefragauth,
)

if TYPE_CHECKING:
    from urllib3.util.retry import Retry as Retry

__all__ = ["DEFAULT_POOLBLOCK", "DEFAULT_POOLSIZE", "DEFAULT_POOL_TIMEOUT", "DEFAULT_RETRIES", "BaseAdapter", "HTTPAdapter"]

DEFAULT_POOLBLOCK = False
DEFAULT_POOLSIZE = 10
DEFAULT_RETRIES = 0
DEFAULT_POOL_TIMEOUT = None

_OF_URLLIB3 = {
    "ClosedPoolError": "exceptions",
    "ConnectTimeoutError": "exceptions",
    "LocationValueError": "exceptions",
    "MaxRetryError": "exceptions",
    "NewConnectionError": "exceptions",
    "PoolManager": "poolmanager",
    "ProtocolError": "exceptions",
    "ReadTimeoutError": "exceptions",
    "ResponseError": "exceptions",
    "Retry": "util",
    "TimeoutSauce": "util",
    "parse_url": "util",
    "proxy_from_url": "poolmanager",
}


def __getattr__(name: str) -> Any:
    # What requests' own module has of urllib3: urllib3 is imported when a program asks for it.
    if name not in _OF_URLLIB3:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .packages import urllib3

    value = getattr(getattr(urllib3, _OF_URLLIB3[name]), "Timeout" if name == "TimeoutSauce" else name)
    globals()[name] = value
    return value


class BaseAdapter:
    """What a Session can mount: ``send`` and ``close``."""

    def __init__(self) -> None:
        super().__init__()

    def send(
        self,
        request: Any,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> Any:
        """The Response to a PreparedRequest."""
        raise NotImplementedError

    def close(self) -> None:
        """Give up what it holds."""
        raise NotImplementedError


class HTTPAdapter(BaseAdapter):
    """Sends http and https requests over a pool of connections of its own.

    Args:
        pool_connections: hosts whose idle connections are kept. Default 10.
        pool_maxsize: idle connections that are kept per host. Default 10.
        max_retries: attempts after a failed one, or a urllib3 ``Retry``. Default 0. What holdfast sends again by itself,
            because it was certainly not executed, does not count.
        pool_block: whether a request waits when ``pool_maxsize`` connections are in use. Default False: one more is opened.
    """

    __attrs__ = ["max_retries", "config", "_pool_connections", "_pool_maxsize", "_pool_block"]  # noqa: RUF012 - programs add to it

    config: dict[str, Any]
    poolmanager: Any
    proxy_manager: dict[str, Any]

    def __init__(
        self,
        pool_connections: int = DEFAULT_POOLSIZE,
        pool_maxsize: int = DEFAULT_POOLSIZE,
        max_retries: Any = DEFAULT_RETRIES,
        pool_block: bool = DEFAULT_POOLBLOCK,
    ) -> None:
        self._retries: Any = None
        if max_retries != DEFAULT_RETRIES:
            from .packages import urllib3

            self._retries = urllib3.util.Retry.from_int(max_retries)
        self.config = {}
        self.proxy_manager = {}
        super().__init__()
        self._pool_connections = pool_connections
        self._pool_maxsize = pool_maxsize
        self._pool_block = pool_block
        self.init_poolmanager(pool_connections, pool_maxsize, block=pool_block)

    @property
    def max_retries(self) -> Any:
        """The urllib3 ``Retry`` that is run for each request; may be set."""
        if self._retries is None:
            from .packages import urllib3

            self._retries = urllib3.util.Retry(0, read=False)
        return self._retries

    @max_retries.setter
    def max_retries(self, value: Any) -> None:
        self._retries = value

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name, None) for name in self.__attrs__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.proxy_manager = {}
        self.config = {}
        self._retries = None
        for name, value in state.items():
            setattr(self, name, value)
        self.init_poolmanager(self._pool_connections, self._pool_maxsize, block=self._pool_block)

    # -- the pools -----------------------------------------------------------------------------------------------------

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = DEFAULT_POOLBLOCK, **pool_kwargs: Any) -> None:
        """Make ``self.poolmanager``; for subclasses. ``pool_kwargs``: as of ``urllib3.PoolManager``, see ``_pools``."""
        self._pool_connections = connections
        self._pool_maxsize = maxsize
        self._pool_block = block
        self.poolmanager = Manager(connections, maxsize=maxsize, block=block, **pool_kwargs)

    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> Any:
        """The manager for requests that go by this proxy; for subclasses. ``proxy_kwargs``: as ``pool_kwargs``.
        """
        if proxy in self.proxy_manager:
            return self.proxy_manager[proxy]
        made = Manager(
            self._pool_connections,
            maxsize=self._pool_maxsize,
            block=self._pool_block,
            proxy=proxy,
            proxy_headers=self.proxy_headers(proxy),
            **proxy_kwargs,
        )
        self.proxy_manager[proxy] = made
        return made

    def close(self) -> None:
        """Close what is idle. What is being read comes to its end, and the next request opens connections again."""
        self.poolmanager.clear()
        for manager in self.proxy_manager.values():
            manager.clear()

    # -- what subclasses may have a say in -----------------------------------------------------------------------------

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Set on a pool what ``verify`` and ``cert`` mean; for subclasses.

        Raises:
            OSError: a file that is named is not there.
        """
        import os

        conn.cert_reqs = "CERT_NONE"
        conn.ca_certs = conn.ca_cert_dir = None
        if url.lower().startswith("https") and verify:
            where = DEFAULT_CA_BUNDLE_PATH if verify is True else verify
            if not where or not os.path.exists(where):
                raise OSError(f"Could not find a suitable TLS CA certificate bundle, invalid path: {where}")
            conn.cert_reqs = "CERT_REQUIRED"
            if os.path.isdir(where):
                conn.ca_cert_dir = where
            else:
                conn.ca_certs = where
        if cert:
            conn.cert_file, conn.key_file = (cert, None) if isinstance(cert, (str, bytes)) else (cert[0], cert[1])
            for what, path in (("certificate file", conn.cert_file), ("key file", conn.key_file)):
                if path and not os.path.exists(path):
                    raise OSError(f"Could not find the TLS {what}, invalid path: {path}")

    def build_response(self, req: Any, resp: Any) -> Response:
        """The Response made of what a urllib3 pool has answered; for subclasses, and for mocks.

        Args:
            req: the PreparedRequest.
            resp: a ``urllib3.HTTPResponse``, or what looks like one.
        """
        response = Response()
        status: Any = getattr(resp, "status", None)
        response.status_code = status
        response.headers = Headers(list(getattr(resp, "headers", {}).items()))
        response.encoding = get_encoding_from_headers(response.headers)
        response.raw = resp
        response.reason = resp.reason
        response.url = req.url.decode("utf-8") if isinstance(req.url, bytes) else req.url
        extract_cookies_to_jar(response.cookies, req, resp)
        response.request = req
        response.connection = self
        return response

    def build_connection_pool_key_attributes(
        self, request: Any, verify: Any, cert: Any = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Where the request goes, and the TLS arguments of the pool; for subclasses."""
        import os

        url = request.parsed if isinstance(request, core.PreparedRequest) else as_our_request(request).parsed
        settings: dict[str, Any] = {"cert_reqs": "CERT_NONE" if verify is False else "CERT_REQUIRED"}
        if isinstance(verify, str):
            settings["ca_cert_dir" if os.path.isdir(verify) else "ca_certs"] = verify
        if cert is not None:
            if isinstance(cert, tuple) and len(cert) == 2:
                settings["cert_file"], settings["key_file"] = cert
            else:
                settings["cert_file"] = cert
        return {"scheme": url.scheme, "host": url.host, "port": url.port}, settings

    def get_connection_with_tls_context(self, request: Any, verify: Any, proxies: Any = None, cert: Any = None) -> Any:
        """The urllib3 pool that a request is sent over; for subclasses.

        Raises:
            InvalidRequest: urllib3 is not installed.
            InvalidProxyURL: the proxy makes no sense.
        """
        proxy = select_proxy(request.url, proxies)
        where, settings = self.build_connection_pool_key_attributes(request, verify, cert)
        manager = self._proxy_manager(proxy) if proxy else self.poolmanager
        return manager.connection_from_host(**where, pool_kwargs=settings)

    def get_connection(self, url: str, proxies: Any = None) -> Any:
        """The urllib3 pool for a URL. requests has given it up for ``get_connection_with_tls_context``."""
        import warnings

        warnings.warn("get_connection() is deprecated: use get_connection_with_tls_context()", DeprecationWarning, stacklevel=2)
        proxy = select_proxy(url, proxies)
        manager = self._proxy_manager(proxy) if proxy else self.poolmanager
        return manager.connection_from_url(url)

    def _proxy_manager(self, proxy: Any) -> Any:
        _check_proxy(proxy)
        proxy = prepend_scheme_if_needed(proxy, "http")
        return self.proxy_manager_for(proxy)

    def request_url(self, request: Any, proxies: Any) -> str:
        """What stands on the request line; for subclasses."""
        proxy = select_proxy(request.url, proxies)
        if proxy and not request.url.lower().startswith("https") and not str(proxy).lower().startswith("socks"):
            return urldefragauth(request.url)
        path: str = request.path_url
        return path

    def add_headers(self, request: Any, **kwargs: Any) -> None:
        """Add headers to a request before it is sent; for subclasses. ``kwargs``: those of ``send``."""

    def proxy_headers(self, proxy: str) -> dict[str, str]:
        """What the proxy is told; for subclasses."""
        user, password = get_auth_from_url(proxy)
        return {"Proxy-Authorization": _basic_auth_str(user, password)} if user else {}

    # -- sending -------------------------------------------------------------------------------------------------------

    def send(
        self,
        request: Any,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> Any:
        """Send a PreparedRequest and receive the head of the response; redirects and hooks are the session's.

        Args:
            stream: whether the body will be read later, chunk by chunk if it comes in chunks; for the record of who has borrowed a
                connection, too.
            timeout: seconds, (connect, read), ``holdfast.Timeouts`` or urllib3's ``Timeout``. None: what the session says;
                without one, none.
            verify, cert, proxies: of this request; neither session nor environment is asked here.

        Raises:
            RequestException: see ``holdfast.exceptions``.
        """
        given = {"stream": stream, "timeout": timeout, "verify": verify, "cert": cert, "proxies": proxies}
        if self._has_own("add_headers"):
            self.add_headers(request, **given)
        ready = as_our_request(request)
        manager = self._manager_for(ready, proxies)
        if manager is None or any(map(self._has_own, _PLUMBING)):
            if _addressing(current.get()) != BY_SYSTEM:
                raise InvalidRequest("this adapter dials by urllib3, which knows no resolver= and no allow_address= of the session")
            return self._send_by_pool(request, timeout, verify, cert, proxies)
        if isinstance(ready.parsed, OtherUrl):
            raise InvalidSchema(f"No connection adapters were found for {shown(request.url)!r}", request=request)
        if ready.parsed.scheme == "https":
            verify, cert = self._tls(manager, ready, verify, cert)
        try:
            response = self._exchange(ready, manager, stream, timeout, verify, cert, proxies)
        except RequestException as error:
            from ._errors import make_known

            make_known(error, ready)
            raise
        if request is not ready:
            response.request = request
        if self._has_own("build_response"):
            from ._raw import as_urllib3

            return self.build_response(request, as_urllib3(response.raw, ready.method, ready.path_url))
        response.connection = self
        return response

    def _has_own(self, name: str) -> bool:
        """Whether that method is a subclass's, or a mock's."""
        return getattr(type(self), name) is not _OURS[name] or name in self.__dict__

    def _manager_for(self, request: core.PreparedRequest, proxies: Any) -> Manager | None:
        """The manager that sends, None if the one that is asked for has to do it by itself."""
        manager = self.poolmanager
        if proxies:
            _check_proxy(select_proxy(request.url or "", proxies))
        if proxies and (self.proxy_manager or self._has_own("proxy_manager_for") or self._has_own("proxy_headers")):
            proxy = select_proxy(request.url or "", proxies)
            if proxy:
                manager = self._proxy_manager(proxy)
        if type(manager) is Manager:
            return manager if manager.is_native else None
        known: tuple[Any, Manager | None] = self.__dict__.get("_known_manager", (None, None))
        if known[0] is not manager:
            known = self.__dict__["_known_manager"] = (manager, translated(manager))
        return known[1]

    def _tls(self, manager: Manager, request: core.PreparedRequest, verify: Any, cert: Any) -> tuple[Any, Any]:
        """``verify`` and ``cert`` with what the manager, or a ``cert_verify`` of a subclass, says of TLS."""
        if not self._has_own("cert_verify"):
            return self._context(manager, verify, cert), None
        url = request.parsed
        view = PoolView(manager, url.scheme, url.host, url.port)
        self.cert_verify(view, url.text, verify, cert)
        return manager.tls.like(view.options()).context(True, None), None

    def _context(self, manager: Manager, verify: Any, cert: Any) -> Any:
        call = current.get()
        said = None
        if verify is True and call is not None and call.session.trust_env and may_name_authorities():
            said = snapshot().authorities  # SSL_CERT_FILE and SSL_CERT_DIR count as well, after those of requests
            verify = verify if said is None else said.usable
        try:
            return (manager.tls.context if manager.tls else context_for)(verify, cert)
        except OSError as error:
            if isinstance(error, RequestException) or error.filename is None:
                raise
            if said is not None and error.filename in said.paths:
                raise explain_authorities(error, said) from error
            what = "a suitable TLS CA certificate bundle" if error.filename == verify else "the TLS certificate or key file"
            if error.filename == (cert if isinstance(cert, str) else cert and cert[0]):
                what = "the TLS certificate file"
            elif isinstance(cert, (tuple, list)) and error.filename == cert[1]:
                what = "the TLS key file"
            raise OSError(f"Could not find {what}, invalid path: {error.filename}") from error

    def _exchange(
        self, request: core.PreparedRequest, manager: Manager, stream: Any, timeout: Any, verify: Any, cert: Any, proxies: Any
    ) -> Response:
        context = current.get()
        timeouts = _timeouts(timeout, context)
        if manager.block:
            timeouts = Timeouts(timeouts.connect, timeouts.read, timeouts.write, None, timeouts.total)  # as in urllib3
        settings = CallSettings(
            timeouts,
            verify,
            cert,
            bool(stream),
            NO_RETRIES if context is None else context.retries,
            None if context is None else context.on_informational,
            proxies,
            0,
            SECRET_HEADERS,
            None if context is None else context.max_decoded,
        )
        call = Call(manager.services(_addressing(context)), settings, CookieJar)
        if context is not None:
            if context.deadline is None:
                context.deadline = call.deadline
            call.deadline = context.deadline
            if call.trail is not None:
                call.trail = context.trail = context.trail or call.trail
                call.trail.holds = True  # the session says when the call is over
        retries = self._retries
        if retries is None or retries is False:
            return as_our_response(call.exchange(request))
        from ._retrying import send_with

        return as_our_response(send_with(retries, request, lambda: as_our_response(call.exchange(request))))

    def _send_by_pool(self, request: Any, timeout: Any, verify: Any, cert: Any, proxies: Any) -> Any:
        """By urllib3's pool, or what a subclass has made of it, as requests would; its errors are requests' errors."""
        conn = self.get_connection_with_tls_context(request, verify, proxies=proxies, cert=cert)
        self.cert_verify(conn, request.url, verify, cert)
        from .packages import urllib3

        timeouts = _timeouts(timeout, current.get())
        try:
            answer = conn.urlopen(
                method=request.method,
                url=self.request_url(request, proxies),
                body=_Pieces(request.payload) if isinstance(request.body, Body) else request.body,
                headers=dict(request.headers.items()),
                redirect=False,
                assert_same_host=False,
                preload_content=False,
                decode_content=False,
                retries=self.max_retries,
                timeout=urllib3.util.Timeout(connect=timeouts.connect, read=timeouts.read),
                chunked=request.body is not None and "Content-Length" not in request.headers,
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise _as_requests_says(error, urllib3.exceptions, request) from error
        return self.build_response(request, answer)


_PLUMBING = ("get_connection_with_tls_context", "request_url", "build_connection_pool_key_attributes")
_OURS = {name: value for name, value in vars(HTTPAdapter).items() if callable(value)}


def _check_proxy(proxy: Any) -> None:
    """InvalidProxyURL for a URL of a proxy that has no host, as requests finds it."""
    if isinstance(proxy, str) and re.match(r"[A-Za-z][A-Za-z0-9+.-]*:/(?!/)|[A-Za-z][A-Za-z0-9+.-]*://(/|:|$)", proxy):
        raise InvalidProxyURL("Please check proxy URL. It is malformed and could be missing the host.")


class _Pieces:
    """A streamed body, for urllib3 to iterate over: from the beginning each time."""

    def __init__(self, body: Body | None) -> None:
        self._body = body

    def __iter__(self) -> Any:
        return iter(()) if self._body is None else self._body.chunks()


def _addressing(context: Context | None) -> Addressing:
    """Who knows the addresses of names, and which may be dialled: of the session whose call it is."""
    found: Addressing = BY_SYSTEM if context is None else context.session._routes.addressing
    return found


def _timeouts(timeout: Any, context: Any) -> Timeouts:
    if type(timeout) is object or type(timeout).__name__ == "_TYPE_DEFAULT":
        timeout = None  # the socket module's and urllib3's word for "as usual"
    if timeout is None and context is not None:
        found: Timeouts = context.timeouts
        return found
    if hasattr(timeout, "connect_timeout") and hasattr(timeout, "read_timeout"):  # urllib3's Timeout
        connect, read = timeout.connect_timeout, timeout.read_timeout
        timeout = tuple(seconds if isinstance(seconds, (int, float)) else None for seconds in (connect, read))
    for seconds in timeout if isinstance(timeout, tuple) else (timeout,):
        if isinstance(seconds, (str, bytes, bool)):
            raise ValueError(f"Timeout value was {seconds!r}, but it must be an int, float or None.")
    if isinstance(timeout, tuple) and len(timeout) != 2:
        raise ValueError(
            f"Invalid timeout {timeout}. Pass a (connect, read) timeout tuple, or a single float to set both timeouts to the "
            "same value."
        )
    return Timeouts.of(timeout)


def _as_requests_says(error: Exception, terms: Any, request: Any) -> Exception:
    """requests' error for what a urllib3 pool has raised."""
    reason = getattr(error, "reason", None)
    if isinstance(error, RequestException):
        return error
    if isinstance(error, terms.LocationValueError):
        return InvalidURL(error, request=request)
    if isinstance(error, terms.MaxRetryError):
        if isinstance(reason, terms.ConnectTimeoutError) and not isinstance(reason, terms.NewConnectionError):
            return ConnectTimeout(error, request=request)
        rows: Any = ((terms.ResponseError, RetryError), (terms.ProxyError, ProxyError), (terms.SSLError, SSLError))
        return next((made for of, made in rows if isinstance(reason, of)), ConnectionError)(error, request=request)
    rows = (
        (terms.ProxyError, ProxyError),
        (terms.SSLError, SSLError),
        (terms.ReadTimeoutError, ReadTimeout),
        (terms.InvalidHeader, InvalidHeader),
    )
    return next((made for of, made in rows if isinstance(error, of)), ConnectionError)(error, request=request)


_UNUSED = (CaseInsensitiveDict, InvalidRequest, PreparedRequest)  # requests has these names here

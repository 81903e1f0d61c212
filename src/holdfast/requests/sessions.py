"""``sessions`` as requests has it: a Client whose every request passes the doors that programs replace.

Law: **one way, and each door is asked at call time**, so that a subclass, an attribute of one object or a mock on the class is
obeyed::

    Session.request → prepare_request → merge_environment_settings → send → get_adapter(url).send → hooks → cookies
                                                                      ↑                                   │
                                        rebuild_auth, rebuild_proxies, rebuild_method ← resolve_redirects ┘

The rules of holdfast hold in them: what is secret stays with its origin, the environment is asked at each hop, the deadline is
that of the whole call. What ``HTTPAdapter.send`` has no parameter for goes beside it (``_context``).
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, cast
from urllib.parse import urljoin
from weakref import WeakKeyDictionary

from .. import settings as core_settings
from ..arguments import UNSET, taking
from ..auth.netrc import Netrc
from ..client import Client
from ..environment import may_proxy_http, may_proxy_https
from ..exceptions import InvalidSchema, RequestException, TooManyRedirects
from ..message import request as core_request
from ..message.cookies import cookiejar_from_dict, merge_cookies
from ..message.url import shown
from ..pool.limits import Limits
from ..retries import Retries
from ..timeouts import NO_TIMEOUTS
from ..transport import Transport
from ._context import Context, current
from ._pools import Manager
from ._redirects import SessionRedirectMixin
from .adapters import BaseAdapter, HTTPAdapter
from .auth import _basic_auth_str
from .cookies import RequestsCookieJar, extract_cookies_to_jar
from .hooks import default_hooks, dispatch_hook
from .models import (
    DEFAULT_REDIRECT_LIMIT,
    REDIRECT_STATI,
    OtherUrl,
    PreparedRequest,
    Request,
    Response,
)
from .status_codes import codes
from .structures import CaseInsensitiveDict
from .utils import (
    DEFAULT_PORTS,
    default_headers,
    default_user_agent,
    get_auth_from_url,
    get_environ_proxies,
    get_netrc_auth,
    requote_uri,
    resolve_proxies,
    rewind_body,
    should_bypass_proxies,
    to_key_val_list,
)

__all__ = ["HTTPAdapter", "Session", "SessionRedirectMixin", "merge_hooks", "merge_setting", "session"]

_HERE_FOR_OTHERS = (
    DEFAULT_PORTS, DEFAULT_REDIRECT_LIMIT, REDIRECT_STATI, RequestsCookieJar, CaseInsensitiveDict, cookiejar_from_dict,
    merge_cookies, default_headers, requote_uri, rewind_body, should_bypass_proxies, default_hooks, BaseAdapter,
    TooManyRedirects, codes, get_auth_from_url, urljoin, _basic_auth_str,
)  # fmt: skip

preferred_clock = time.time
SMALL_FORM = 1024 * 1024  # bytes
OVERFLOWING = Limits(max_connections_per_origin=None)
"""As requests' own pools: one more connection is opened rather than that a request waits."""


def merge_setting(request_setting: Any, session_setting: Any, dict_class: Any = OrderedDict) -> Any:
    """A request's setting over its session's; two mappings are merged, and None removes a key."""
    if session_setting is None or request_setting is None:
        return request_setting if session_setting is None else session_setting
    if not (isinstance(session_setting, Mapping) and isinstance(request_setting, Mapping)):
        return request_setting
    merged = dict_class(to_key_val_list(session_setting))
    merged.update(to_key_val_list(request_setting))
    for name in [name for name, value in merged.items() if value is None]:
        del merged[name]
    return merged


def merge_hooks(request_hooks: Any, session_hooks: Any, dict_class: Any = OrderedDict) -> Any:
    """A request's hooks over its session's; the session's count where the request has none."""
    if session_hooks is None or session_hooks.get("response") == []:
        return request_hooks
    if request_hooks is None or request_hooks.get("response") == []:
        return session_hooks
    return merge_setting(request_hooks, session_hooks, dict_class)


class _Asked(Request):
    """A Request that is sent as soon as it is prepared."""

    __slots__ = ()


class _Netrc(Netrc):
    """The user's netrc, unless a program has replaced ``get_netrc_auth`` of this module."""

    __slots__ = ()

    def credentials(self, url: Any) -> tuple[str, str] | None:
        """User name and password for a URL's host."""
        if get_netrc_auth is not _OWN_NETRC:
            return get_netrc_auth(url.text)
        return None if isinstance(url, OtherUrl) else super().credentials(url)


class Session(SessionRedirectMixin, Client):
    """requests' Session, over holdfast: a Client with adapters, hooks of redirects, and a life after ``close()``.

    ``stats()``, ``warm()``, ``on_event()`` and their like are about the connections of its own adapters, those that it was made
    with; an adapter that is mounted has a pool of its own.

    Args:
        settings: as of ``Client``; requests' own Session takes none.

    Attributes:
        adapters: what sends, by prefix of URL, the longest first.
    """

    __attrs__ = [  # noqa: RUF012 - as in requests, where programs add to it
        "headers", "cookies", "auth", "proxies", "hooks", "params", "verify", "cert", "adapters", "stream", "trust_env",
        "max_redirects",
    ]  # fmt: skip

    _request_type = PreparedRequest
    adapters: OrderedDict[str, Any]

    @taking(Client.__init__)
    def __init__(self, **settings: Any) -> None:
        self._set_up(settings)
        if self.headers.get("User-Agent") == core_settings.default_headers()["User-Agent"]:
            self.headers["User-Agent"] = default_user_agent()
        self.adapters = OrderedDict()
        self.mount("https://", HTTPAdapter())
        self.mount("http://", HTTPAdapter())
        self._adopt(self.adapters)

    def _set_up(self, settings: dict[str, Any]) -> None:
        if settings.get("limits") is None and settings.get("transport") is None:
            settings["limits"] = OVERFLOWING
        Client.__init__(self, **settings)
        self._netrc = _Netrc(self._services.clock)
        self._home.bind(self._routes, self._services, self._keeper)

    def _adopt(self, prefixes: Iterable[str]) -> None:
        """Have the adapters of these prefixes send over the connections of the session itself."""
        for prefix in prefixes:
            self.adapters[prefix].poolmanager = self._home

    @property
    def _transport(self) -> Transport:
        """The transport of the session's own adapters; another one after ``close()``."""
        return self._home.services().transport

    @_transport.setter
    def _transport(self, value: Transport) -> None:
        self._home = Manager.over(value)

    @classmethod
    def over(cls, client: Client, settings: Mapping[str, Any]) -> Session:
        """A Session for one call, whose own adapters send over the connections of ``client``."""
        made = cls(**settings)
        if made._jar is not None:
            made._jar = made._jar.copy()  # what servers set is for this call
        own, made._home = made._home, _home_of(client)
        for adapter in made.adapters.values():
            if getattr(adapter, "poolmanager", None) is own:
                adapter.poolmanager = made._home
        return made

    # -- sending -------------------------------------------------------------------------------------------------------

    @taking(Client.request)
    def request(
        self,
        method: Any,
        url: Any,
        params: Any = None,
        data: Any = None,
        headers: Any = None,
        cookies: Any = None,
        files: Any = None,
        auth: Any = None,
        timeout: Any = UNSET,
        allow_redirects: bool = True,
        proxies: Any = None,
        hooks: Any = None,
        stream: bool | None = None,
        verify: Any = None,
        cert: Any = None,
        json: Any = None,
        *,
        retries: Any = UNSET,
        on_informational: Any = None,
        idempotency_key: str | bool | None = None,
    ) -> Response:
        """Send a request and return the response. Arguments and errors as in ``Client.request``."""
        if idempotency_key:
            headers = core_settings.with_idempotency_key(headers, idempotency_key)
        prepared = None
        if not (params or data or headers or cookies or files or auth or hooks) and json is None and self._prepares_itself():
            prepared = self._plain(method, url)
        if prepared is None:
            asked = _Asked(method, url, headers, files, data, params, auth, cookies, hooks, json)
            prepared = self.prepare_request(asked)
        call = self._context(timeout, retries, on_informational, proxies)
        call.offered = True
        settings = self.merge_environment_settings(prepared.url, {} if proxies is None else proxies, stream, verify, cert)
        before = current.set(call)
        try:
            response = self.send(
                prepared, **{"timeout": None if timeout is UNSET else timeout, "allow_redirects": allow_redirects, **settings}
            )
            call.over(None, settings["stream"])
            return response
        except BaseException as error:
            call.over(error)
            raise
        finally:
            current.reset(before)

    def _prepares_itself(self) -> bool:
        return getattr(self.prepare_request, "__func__", None) is _OWN_PREPARE and get_netrc_auth is _OWN_NETRC

    def prepare_request(self, request: Any) -> PreparedRequest:
        """The request as it will be sent, with this session's headers, params, cookies, auth and hooks merged in.

        A multipart form is read into memory, as in requests. In ``request`` and the verbs, only a small one is (1 MiB).
        """
        prepared = cast(PreparedRequest, super().prepare_request(request))  # of _request_type
        if request.files:
            prepared.read_form(SMALL_FORM if type(request) is _Asked else None)
        return prepared

    def _context(self, timeout: Any, retries: Any, on_informational: Any, said: Any) -> Context:
        return Context(
            self,
            self._timeouts if timeout is UNSET else NO_TIMEOUTS if timeout is None else self._timeouts,
            self.retries if retries is UNSET else Retries.of(retries),
            on_informational,
            self.max_decoded,
            said,
        )

    @taking(Client.send)
    def send(self, request: Any, **kwargs: Any) -> Response:
        """Send a prepared request. Keywords: timeout, allow_redirects, proxies, stream, verify, cert, retries and
        on_informational: see ``request``.

        Raises:
            ValueError: ``request`` is a ``Request``; prepare it first.
            InvalidSchema: no adapter is mounted for its URL.
            RequestException: as in ``request``.
        """
        if isinstance(request, core_request.Request):
            raise ValueError("You can only send PreparedRequests.")
        kwargs.setdefault("stream", self.stream)
        kwargs.setdefault("verify", self.verify)
        kwargs.setdefault("cert", self.cert)
        retries, informed = kwargs.pop("retries", UNSET), kwargs.pop("on_informational", None)
        said: Any = UNSET
        if "proxies" not in kwargs:
            said = dict(self.proxies)
            kwargs["proxies"] = resolve_proxies(request, self.proxies, self.trust_env) if self._may_proxy() else {}
        call = current.get()
        # A send within a call, by a hook or by a subclass that sends something else first, is part of it as far as it says nothing.
        if call is not None and call.session is self and (call.offered or kwargs.get("timeout") is None):
            call.offered = False
            answered: Response = self._send(request, kwargs)
            return answered
        call = self._context(kwargs.get("timeout", UNSET), retries, informed, said)
        before = current.set(call)
        try:
            response = self._send(request, kwargs)
            call.over(None, kwargs["stream"])
            return response
        except BaseException as error:
            call.over(error)
            raise
        finally:
            current.reset(before)

    def _send(self, request: Any, kwargs: dict[str, Any]) -> Response:
        follow = kwargs.pop("allow_redirects", True)
        stream = kwargs["stream"]
        adapter = self.get_adapter(url=request.url)
        clock = self._services.clock
        started = clock()
        response: Response = adapter.send(request, **kwargs)  # or another library's, which is like it
        if isinstance(response, Response):
            response.elapsed_seconds = clock() - started
        else:
            response.elapsed = timedelta(seconds=clock() - started)
        response = self._after_hooks(request, response, kwargs)
        self._keep_cookies(request, response)
        try:
            if follow:
                response = self._followed(request, response, kwargs)
            elif response.is_redirect:
                response.next = self._next_if_possible(request, response, kwargs)
            if not stream:
                response.content  # noqa: B018 - reads it
            else:
                _note_borrower(response)
        except KeyboardInterrupt:
            response.close()  # the caller will never have it
            raise
        return response

    def _after_hooks(self, request: Any, response: Any, kwargs: dict[str, Any]) -> Any:
        hooks = request._hooks if isinstance(request, core_request.PreparedRequest) else request.hooks
        if not hooks:
            return response
        try:
            replaced = dispatch_hook("response", hooks, response, **kwargs)
        except Exception:
            # A handler of what a hook raises, as raise_for_status often does, may look at error.response.
            try:
                if not kwargs["stream"]:
                    response.content  # noqa: B018 - reads it, as the call would have
            except RequestException:
                pass  # what the hook raised counts
            raise
        if getattr(replaced, "request", None) is None:
            replaced.request = request  # a response that was built by hand
        return replaced

    def _keep_cookies(self, request: Any, response: Any) -> None:
        for passed in response.history:
            self._extract(passed.request, passed)
        self._extract(request, response)

    def _extract(self, request: Any, response: Any) -> None:
        if isinstance(response, Response) and not response.sets_cookies:
            return
        extract_cookies_to_jar(self.cookies, request, response.raw)

    def _followed(self, request: Any, response: Any, kwargs: dict[str, Any]) -> Any:
        passed = [response]
        passed.extend(self.resolve_redirects(response, request, **kwargs))
        last = passed.pop()
        if passed:
            last.history = passed
        return last

    def _next_if_possible(self, request: Any, response: Any, kwargs: dict[str, Any]) -> Any:
        try:
            return next(iter(self.resolve_redirects(response, request, yield_requests=True, **kwargs)), None)
        except RequestException:
            return None  # following it would raise, but the caller does not follow redirects

    # -- what surrounds a call -----------------------------------------------------------------------------------------

    def _may_proxy(self) -> bool:
        """Whether the session or the environment may name a proxy."""
        return bool(self.proxies) or (self.trust_env and (may_proxy_http() or may_proxy_https()))

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> dict[str, Any]:
        """The keywords of ``send`` for a call: what it says, then the environment, then the session.

        Args:
            url: where the request goes.
            proxies: the call's own; the environment's are added to it.
            stream, verify, cert: the call's own, None where it says nothing.
        """
        if self.trust_env:
            if proxies is not None and (may_proxy_http() or may_proxy_https()):
                proxies = {**get_environ_proxies(url, no_proxy=proxies.get("no_proxy")), **proxies}
            # What the program says goes before the environment, also where the session has said it.
            if verify is True or (verify is None and self.verify is True):
                verify = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or verify
        return {
            "proxies": merge_setting(proxies, self.proxies),
            "stream": merge_setting(stream, self.stream),
            "verify": merge_setting(verify, self.verify),
            "cert": merge_setting(cert, self.cert),
        }

    def get_adapter(self, url: Any) -> Any:
        """The adapter for a URL: that of the longest prefix that fits.

        Raises:
            InvalidSchema: none fits.
        """
        lowered = url.lower()
        for prefix, adapter in self.adapters.items():
            if lowered.startswith(prefix.lower()):
                return adapter
        raise InvalidSchema(f"No connection adapters were found for {shown(url)!r}")

    def mount(self, prefix: str, adapter: Any) -> None:
        """Send what begins with ``prefix`` by ``adapter`` from now on."""
        self.adapters[prefix] = adapter
        for shorter in [known for known in self.adapters if len(known) < len(prefix)]:
            self.adapters[shorter] = self.adapters.pop(shorter)

    # -- its life ------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close what is idle, of all adapters. A body that is being read comes to its end; the session can be used again."""
        for adapter in self.adapters.values():
            adapter.close()

    def __enter__(self) -> Session:
        return self

    def __getstate__(self) -> dict[str, Any]:
        own = super().__getstate__()
        state = {name: getattr(self, name, None) for name in self.__attrs__}
        home = [prefix for prefix, adapter in self.adapters.items() if getattr(adapter, "poolmanager", None) is self._home]
        return {**state, "_holdfast": ({name: own[name] for name in own if name not in state}, home)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        settings, home = state.pop("_holdfast", ({}, ()))
        self._set_up(dict(settings))
        for name, value in state.items():
            setattr(self, name, value)
        self._adopt(home)

    def __repr__(self) -> str:
        return f"<holdfast.requests.Session {self._transport.pool!r}>"


OWN_SESSION = Session
_OWN_PREPARE = Session.prepare_request
_OWN_NETRC = get_netrc_auth
_homes: WeakKeyDictionary[Client, Manager] = WeakKeyDictionary()


def _home_of(client: Client) -> Manager:
    """The manager that sends over a client's connections; one for each client."""
    home = _homes.get(client)
    if home is None:
        home = _homes[client] = Manager.over(client._transport)
        home.bind(client._routes, client._services, None)
    return home


def _note_borrower(response: Any) -> None:
    if isinstance(response, Response):
        response.note_borrower()


def session() -> Session:
    """A new Session, of whichever class ``sessions.Session`` is now: requests' old name for it."""
    return Session()

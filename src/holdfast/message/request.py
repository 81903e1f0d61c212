"""A request: what the user asked (``Request``), and what will go out (``PreparedRequest``).

Laws of this file:

1. **The framing of a prepared request is true.** Content-Length and Transfer-Encoding come from the body. A user who
   gives one of them is checked against it; a contradiction is an ``InvalidRequest`` before any byte is sent, because
   two ends that disagree about where a request stops are a request smuggling hole (RFC 9112 section 11.2).
2. **Nothing here does I/O.** Preparing takes no byte of a file or generator.
3. **A copy shares nothing that either side changes**, except the body, of which there is only one to send. What cannot go
   along (see ``PreparedRequest.__getstate__``) is missed before a byte is sent; no copy sends less than its original.

Where a credential came from decides how far it may travel, so a prepared request remembers it: the cookies of this
one call (``cookies``), the client's jar (``jar``), whether its Cookie header was computed from them or written by the
user, and the origin that a challenge may be answered for (``auth_origin``).
"""

from __future__ import annotations

import warnings
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from .._numbers import number_of
from ..exceptions import InvalidRequest, WrongType
from .body import Body, LostBody
from .content import FORM, make_body
from .fields import NOT_TCHAR
from .headers import Headers
from .url import Url

if TYPE_CHECKING:
    from http.cookiejar import CookieJar

    from .cookies import CookieJar as OwnJar

Hook = Callable[..., Any]
Hooks = dict[str, list[Hook]]
HOOK_EVENTS = ("response",)

_METHODS: dict[Any, str] = {name: name for name in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")}
_NO_BODY_EXPECTED = frozenset(("GET", "HEAD"))

AS_TEXT: Any = object()
NOTHING_LOST: tuple[str, ...] = ()


class _Hooked:
    """What has hooks; ``_hooks`` is None until they are first asked for."""

    __slots__ = ("_hooks",)
    _hooks: Hooks | None

    @property
    def hooks(self) -> Hooks:
        """Callables by event; the only event is ``"response"``."""
        if self._hooks is None:
            self._hooks = {event: [] for event in HOOK_EVENTS}
        return self._hooks

    @hooks.setter
    def hooks(self, value: Mapping[str, Any] | None) -> None:
        # {} is not None: the user has said that there are no hooks, see check_framing().
        self._hooks = None if value is None else {event: [] for event in HOOK_EVENTS}
        self._register_all(value)

    @property
    def has_hooks(self) -> bool:
        """Whether hooks may be registered; ``hooks`` itself makes an empty mapping where there is none."""
        return self._hooks is not None

    def register_hook(self, event: str, hook: Hook | Iterable[Hook]) -> None:
        """Call ``hook`` (or each of several) with the response. ValueError if there is no such event."""
        if event not in self.hooks:
            raise ValueError(f"Unsupported event specified, with event name {event!r}; there is only 'response'")
        if callable(hook):
            self.hooks[event].append(hook)
        else:
            self.hooks[event].extend(each for each in hook if callable(each))

    def deregister_hook(self, event: str, hook: Hook) -> bool:
        """Remove a hook; False if it was not registered."""
        registered = (self._hooks or {}).get(event, [])
        if hook not in registered:
            return False
        registered.remove(hook)
        return True

    def _register_all(self, hooks: Mapping[str, Any] | None) -> None:
        for event, hook in (hooks or {}).items():
            if hook is not None:
                self.register_hook(event, hook)


class Request(_Hooked):
    """What the user asked, not yet checked.

    Args:
        method: the verb, in any case.
        url: text, bytes, or anything whose ``str()`` is an http or https URL.
        headers: a mapping or pairs; a value of None means that the field is not sent.
        files: file parts of a multipart form, in any of requests' forms.
        data: the body: bytes, text, a form (mapping or pairs), a binary file, or an iterable of bytes.
        params: appended to the URL's query.
        auth: a ``(user, password)`` pair or a callable that is given the ``PreparedRequest``.
        cookies: a mapping or a cookie jar, for this request only.
        hooks: ``{"response": callable or list of callables}``.
        json: a value to send as JSON; ignored when ``data`` or ``files`` is given.
    """

    __slots__ = (
        "__dict__",
        "__weakref__",
        "auth",
        "cookies",
        "data",
        "files",
        "headers",
        "json",
        "method",
        "params",
        "url",
    )

    def __init__(
        self,
        method: str | bytes | None = None,
        url: Any = None,
        headers: Any = None,
        files: Any = None,
        data: Any = None,
        params: Any = None,
        auth: Any = None,
        cookies: Any = None,
        hooks: Mapping[str, Any] | None = None,
        json: Any = None,
    ) -> None:
        self.method = method
        self.url = url
        self.headers = {} if headers is None else headers
        self.files = [] if files is None else files
        self.data = [] if data is None else data
        self.params = {} if params is None else params
        self.auth = auth
        self.cookies = cookies
        self.json = json
        self._hooks = None
        self._register_all(hooks)

    def prepare(self) -> PreparedRequest:
        """The request as it would be sent, without a client's defaults.

        Raises:
            InvalidRequest, InvalidURL, InvalidSchema, MissingSchema, InvalidHeader, InvalidJSONError: see there.
        """
        prepared = PreparedRequest()
        prepared.prepare(
            method=self.method,
            url=self.url,
            headers=self.headers,
            files=self.files,
            data=self.data,
            params=self.params,
            auth=self.auth,
            cookies=self.cookies,
            hooks=self._hooks,
            json=self.json,
        )
        return prepared

    def __repr__(self) -> str:
        return f"<Request [{self.method!s}]>"


class PreparedRequest(_Hooked):
    """What goes out: checked method, parsed URL, header fields, body and its framing.

    Attributes:
        method: the verb, upper case.
        parsed: the URL; ``url`` is its text, and setting ``url`` parses again.
        headers: the fields that go out. Host is added when sending, unless the user gave one.
        payload: the body, or None. ``body`` shows it as requests does.
        cookies: the jar of this one call's ``cookies=``, or None.
        jar: the client's cookie jar, or None. Read whenever the Cookie header is computed.
        auth_origin: the (scheme, host, port) that challenges may be answered for; None: no challenge is answered.
        signer: called when the URL changes, to compute an Authorization header that depends on it; None: nothing does.
    """

    __slots__ = (
        "__dict__",
        "__weakref__",
        "_cookie_is_computed",
        "_framing",
        "_lost",
        "_shown",
        "auth_origin",
        "cookies",
        "headers",
        "jar",
        "method",
        "parsed",
        "payload",
        "signer",
    )

    parsed: Url

    def __init__(self) -> None:
        self.method = ""
        self.headers = Headers()
        self.payload: Body | None = None
        self.cookies: OwnJar | None = None
        self.jar: CookieJar | None = None
        self.auth_origin: tuple[str, str, int] | None = None
        self.signer: Callable[[PreparedRequest], None] | None = None
        self._hooks = None
        self._shown: Any = None  # what ``body`` shows: the user's stream; AS_TEXT; None: what the payload says
        self._framing: str | None = None
        self._cookie_is_computed = False
        self._lost = NOTHING_LOST

    def prepare(
        self,
        method: str | bytes | None = None,
        url: Any = None,
        headers: Any = None,
        files: Any = None,
        data: Any = None,
        params: Any = None,
        auth: Any = None,
        cookies: Any = None,
        hooks: Mapping[str, Any] | None = None,
        json: Any = None,
    ) -> None:
        """Check and set everything, authentication last: it may sign all the rest. Arguments as in ``Request``."""
        self.prepare_method(method)
        self.prepare_url(url, params)
        self.prepare_headers(headers)
        self.prepare_cookies(cookies)
        self.prepare_body(data, files, json)
        self.prepare_auth(auth, url)
        self.prepare_hooks(hooks)

    # -- the request line ---------------------------------------------------------------------------------------

    def prepare_method(self, method: str | bytes | None) -> None:
        """Set the verb, in upper case.

        Raises:
            InvalidRequest: it is not a token (RFC 9110 section 9.1), or it is CONNECT, whose target is no URL.
        """
        known = _METHODS.get(method)
        self.method = known if known is not None else _checked_method(method)

    def prepare_url(self, url: Any, params: Any = None) -> None:
        """Parse ``url`` and append ``params`` to its query."""
        if not isinstance(url, Url):
            url = Url.parse(url if isinstance(url, (str, bytes)) else str(url))
        self.parsed = url.with_params(params) if params else url

    @property
    def url(self) -> str | None:
        """The whole URL, normalised, with userinfo and fragment if it has them; None before it was set."""
        parsed = getattr(self, "parsed", None)
        return None if parsed is None else parsed.text

    @url.setter
    def url(self, value: str | bytes | Url) -> None:
        self.prepare_url(value)

    @property
    def path_url(self) -> str:
        """Path and query, as they stand on the request line."""
        return self.parsed.target.decode("ascii")

    # -- header fields ------------------------------------------------------------------------------------------

    def prepare_headers(self, headers: Any) -> None:
        """Replace all header fields by ``headers``; fields with the value None are left out."""
        self.headers = Headers(headers)
        self._framing = None
        self._cookie_is_computed = False

    def prepare_cookies(self, cookies: Any = None, jar: CookieJar | None = None) -> None:
        """Compute the Cookie header, unless the user wrote one.

        Args:
            cookies: this call's own cookies, a mapping or a jar. They override equally named ones of ``jar`` and are
                sent to this origin only, unless they name a domain.
            jar: the client's jar, which is read now and again after a redirect. None keeps the one set before.
        """
        if jar is not None:
            self.jar = jar
        if cookies is not None:
            from .cookies import own_jar

            self.cookies = own_jar(cookies)
        self.refresh_cookies()

    def refresh_cookies(self) -> None:
        """Compute the Cookie header again: the URL or the jars have changed. One the user wrote stays as it is."""
        if self._cookie_is_computed:
            self.headers["Cookie"] = None
            self._cookie_is_computed = False
        if (self.jar is None and self.cookies is None) or "Cookie" in self.headers:
            return
        from .cookies import cookie_header

        value = cookie_header(self.jar, self.parsed, self.cookies)
        if value is not None:
            self.headers["Cookie"] = value
            self._cookie_is_computed = True

    @property
    def has_idempotency_key(self) -> bool:
        """Whether the server is told which operation this is, so that executing it twice is as good as once."""
        return "Idempotency-Key" in self.headers or "X-Idempotency-Key" in self.headers

    # -- body and framing ---------------------------------------------------------------------------------------

    def prepare_body(self, data: Any, files: Any = None, json: Any = None) -> None:
        """Make the body of these arguments (precedence as in requests) and set the fields that describe it."""
        nothing = data is None and json is None and files is None
        self.set_body(None if nothing else make_body(data, json, files))
        self._remember(None if files else data)

    def set_body(self, payload: Body | None) -> None:
        """Send ``payload``; set Content-Type unless there is one, and Content-Length or Transfer-Encoding.

        Raises:
            InvalidRequest: the user's framing fields contradict the body or each other.
        """
        self.payload = payload
        self._set_framing()
        if payload is not None and payload.content_type is not None and "Content-Type" not in self.headers:
            self.headers["Content-Type"] = payload.content_type

    @property
    def body(self) -> Any:
        """The body as requests shows it: bytes, text of a form, the user's own stream object, or None."""
        payload = self.payload
        if payload is None:
            return None
        shown = self._shown
        if payload.data is None or not (shown is None or shown is AS_TEXT):
            return payload if shown is None else shown
        return payload.data.decode() if shown is AS_TEXT or payload.content_type == FORM else payload.data

    @body.setter
    def body(self, value: Any) -> None:
        self.payload = value if isinstance(value, Body) else make_body(value)
        self._remember(value)
        self._set_framing()

    def _remember(self, given: Any) -> None:
        # The stream itself, for who asks for it; not what was encoded into bytes already.
        is_stream = self.payload is not None and (self.payload.data is None or hasattr(given, "read"))
        self._shown = given if is_stream else AS_TEXT if isinstance(given, str) else None

    @property
    def can_be_sent(self) -> bool:
        """Whether the whole body can be sent, again if need be; True if there is none."""
        return self.payload is None or self.payload.can_be_sent

    def rewind(self) -> None:
        """Make the body ready to be sent from its first byte; nothing if there is none.

        Raises:
            UnrewindableBodyError: it was consumed and gives its bytes only once.
        """
        if self.payload is not None:
            self.payload.rewind()

    def prepare_content_length(self, body: Any = None) -> None:
        """Set the framing fields again. ``body`` is accepted for requests' sake; the body itself is asked."""
        self._set_framing()

    def _set_framing(self) -> None:
        headers, ours = self.headers, self._framing
        name, value = self._true_framing()
        self._framing = None
        if ours is not None and ours != name:
            headers[ours] = None
        if any(field in headers and field != ours for field in ("Content-Length", "Transfer-Encoding")):
            headers[ours or ""] = None
            self.check_framing()
        elif name:
            headers[name] = value  # where ours stood before, if it did
            self._framing = name

    def _true_framing(self) -> tuple[str, str]:
        """The field that frames the body, and its value; empty if none is needed."""
        if self.payload is not None:
            # As requests: a body that was given and turns out empty goes out chunked, like one of unknown length. Only
            # where nothing was given is it Content-Length: 0.
            length = self.payload.length
            return ("Content-Length", str(length)) if length else ("Transfer-Encoding", "chunked")
        # RFC 9110 section 8.6: a user agent SHOULD send Content-Length when the method anticipates content.
        return ("", "") if self.method in _NO_BODY_EXPECTED else ("Content-Length", "0")

    def check_framing(self) -> None:
        """Whether all that is to be sent is there, and Content-Length and Transfer-Encoding agree with it and each other.

        Raises:
            InvalidRequest: they do not (RFC 9112 sections 6.1 to 6.3); it says which numbers disagree. Or this is a pickle's
                copy, and what belongs to the request was left behind.
            UnrewindableBodyError: this is a copy, and its body was left behind.
        """
        if self._lost:
            self._refuse_incomplete()
        if isinstance(self.payload, LostBody):
            self.payload.rewind()
        lengths = self.headers.get_list("Content-Length")
        codings = self.headers.get_list("Transfer-Encoding")
        if lengths and codings:
            raise InvalidRequest("Content-Length and Transfer-Encoding cannot go out together; give at most one")
        if len(lengths) > 1 or len(codings) > 1:
            name, count = ("Content-Length", len(lengths)) if lengths else ("Transfer-Encoding", len(codings))
            raise InvalidRequest(f"{name} is given {count} times; give it once, or leave it to holdfast")
        if codings and codings[0].strip().lower() != "chunked":
            raise InvalidRequest("the only Transfer-Encoding that can be sent is 'chunked'; leave the header out")
        if codings and self.payload is None:
            # It would go out as an empty body: seldom what is meant, and what a lost body looks like.
            raise InvalidRequest("Transfer-Encoding announces a body, and there is no body; leave the header out")
        if lengths:
            self._check_length(lengths[0])

    def _refuse_incomplete(self) -> None:
        if "authentication" in self._lost:
            raise InvalidRequest(
                "this request was unpickled, and its authentication did not come along, as it holds a password: "
                "call prepare_auth() with it again"
            )
        if self._hooks is None:
            raise InvalidRequest(
                "this request was unpickled, and its hooks did not come along, as functions seldom can: "
                "set request.hooks again, to {} for none"
            )

    def _check_length(self, given: str) -> None:
        # isdigit() alone takes digits of other scripts, and int() takes '+5', ' 5' and '5_0'.
        if not (given.isascii() and given.isdigit() and len(given) <= 19):
            raise InvalidRequest("Content-Length must be a decimal number of bytes; leave the header out")
        payload = self.payload
        length = 0 if payload is None else payload.length
        if length is None and payload is not None:
            payload.length = int(given)  # the user knows better; the body keeps count and holds them to it
        elif length != int(given):
            said = number_of(int(given), "byte")
            raise InvalidRequest(f"Content-Length says {said}, the body has {length}; leave the header out")

    # -- authentication and hooks -------------------------------------------------------------------------------

    def prepare_auth(self, auth: Any, url: Any = None) -> None:
        """Apply ``auth``, or the URL's userinfo if it is None.

        A pair is Basic authentication; anything else is called with this request and returns it (or another one,
        whose content is taken over).

        Raises:
            WrongType: ``auth`` is neither.
            InvalidRequest: a user name cannot be sent.
        """
        if self._lost and auth is not None:
            self._lost = tuple(what for what in self._lost if what != "authentication")
        if auth is None:
            # A user without a password says who asks, not with what right: as in requests, netrc may know more.
            user, password = self.parsed.username, self.parsed.password
            if password is None or not (user or password):
                return
            auth = (user or "", password)
        if isinstance(auth, tuple) and len(auth) == 2:
            self.headers["Authorization"] = basic_authorization(*auth)
            return
        if not callable(auth):
            raise WrongType(f"auth= takes a (user, password) pair or a callable, not a {type(auth).__name__}")
        self._take_over(auth(self))
        self._set_framing()

    def _take_over(self, other: Any) -> None:
        if other is self:
            return
        if not isinstance(other, PreparedRequest):
            raise WrongType(f"auth= must return the request it was given, not a {type(other).__name__}")
        for name in _STATE:
            if hasattr(other, name):
                setattr(self, name, getattr(other, name))

    def prepare_hooks(self, hooks: Mapping[str, Any] | None) -> None:
        """Register all of ``{"response": callable or list of callables}``."""
        self._register_all(hooks)

    # -- copies -------------------------------------------------------------------------------------------------

    def copy(self) -> PreparedRequest:
        """An independent request with the same body object."""
        # Field by field and not in a loop: a client copies a prepared request for every plain call.
        twin = PreparedRequest.__new__(PreparedRequest)
        twin.method = self.method
        twin.headers = self.headers.copy()
        twin.payload = self.payload
        twin.cookies = None if self.cookies is None else self.cookies.copy()
        twin.jar = self.jar
        twin.auth_origin = self.auth_origin
        twin.signer = self.signer
        twin._hooks = None if self._hooks is None else {event: list(calls) for event, calls in self._hooks.items()}
        twin._shown = self._shown
        twin._framing = self._framing
        twin._cookie_is_computed = self._cookie_is_computed
        twin._lost = self._lost
        try:
            twin.parsed = self.parsed
        except AttributeError:
            pass  # there is no URL yet, and the copy has none either; asking first would cost every plain call
        return twin

    __copy__ = copy

    def __deepcopy__(self, memo: dict[int, Any]) -> PreparedRequest:
        """A copy; a body that there is only once (a file, an iterator) stays, and the copy raises when it is sent."""
        twin = self.copy()
        twin.payload = self._payload_of_copy()
        if twin.payload is not self.payload:
            twin._shown = None
        return twin

    def _payload_of_copy(self) -> Body | None:
        payload = self.payload
        return payload if payload is None or payload.travels else LostBody(payload)

    def __getstate__(self) -> dict[str, Any]:
        """What a pickle holds: method, URL, header fields, this call's own cookies, and a body that is in memory.

        It is a record of what was sent, in which nothing is missing silently. A body that there is only once, hooks and what
        answers challenges do not go along, and the copy raises when it is sent without them. The client's jar does not either:
        the copy has the Cookie header that was computed from it.
        """
        lost = [*self._lost]
        signs = getattr(self.signer, "__self__", self)  # its own hook, which answers challenges, is part of it
        if any(getattr(hook, "__self__", None) is not signs for hook in (self._hooks or {}).get("response", ())):
            lost.append("hooks")
        if self.signer is not None:
            lost.append("authentication")
        return {
            "method": self.method,
            "url": self.url,
            "headers": self.headers,
            "payload": self._payload_of_copy(),
            "cookies": self.cookies,
            "is_text": self._shown is AS_TEXT,
            "framing": self._framing,
            "cookie_is_computed": self._cookie_is_computed,
            "lost": tuple(dict.fromkeys(lost)),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        PreparedRequest.__init__(self)
        self.method = state["method"]
        if state["url"] is not None:
            self.url = state["url"]
        self.headers = state["headers"]
        self.payload = state["payload"]
        self.cookies = state["cookies"]
        self._shown = AS_TEXT if state["is_text"] else None
        self._framing = state["framing"]
        self._cookie_is_computed = state["cookie_is_computed"]
        self._lost = state["lost"]

    def __repr__(self) -> str:
        return f"<PreparedRequest [{self.method}]>"


_STATE = ("_hooks", *(name for name in PreparedRequest.__slots__ if not name.startswith("__")))


def _checked_method(method: Any) -> str:
    text = method.decode("latin-1") if isinstance(method, bytes) else method
    if not isinstance(text, str) or not text:
        raise InvalidRequest(f"a method such as 'GET' is needed, not {type(method).__name__} {str(method)[:20]!r}")
    wrong = NOT_TCHAR.search(text)
    if wrong is not None:
        raise InvalidRequest(
            f"method {text[:40]!a}: character {wrong[0]!a} at position {wrong.start()} is not allowed in a token "
            "(RFC 9110 section 9.1)"
        )
    text = text.upper()
    if text == "CONNECT":
        raise InvalidRequest("CONNECT has no URL; give proxies= and holdfast opens the tunnel itself")
    return text


def basic_authorization(username: str | bytes | int, password: str | bytes | int) -> str:
    """The value of an Authorization field for Basic authentication (RFC 7617).

    Text is encoded as latin-1, as requests does; as UTF-8 where latin-1 has no such character. A number is taken for its
    digits, with a DeprecationWarning, as in requests.

    Raises:
        InvalidRequest: the user name holds ``:``, either holds a control character, or is neither text, bytes nor int.
    """
    user, secret = _credential("user name", username), _credential("password", password)
    if b":" in user:
        raise InvalidRequest("a user name for Basic authentication cannot contain ':' (RFC 7617 section 2)")
    return "Basic " + b64encode(user + b":" + secret).decode("ascii")


def _credential(what: str, value: Any) -> bytes:
    if isinstance(value, int) and not isinstance(value, bool):
        warnings.warn(f"the {what} for Basic authentication is given as int; give it as str", DeprecationWarning, 3)
        value = str(value)
    if isinstance(value, str):
        try:
            value = value.encode("latin-1")
        except UnicodeEncodeError:
            value = value.encode("utf-8")
    if not isinstance(value, bytes):
        raise WrongType(f"the {what} for Basic authentication must be str or bytes, not {type(value).__name__}")
    if any(byte < 0x20 or byte == 0x7F for byte in value):
        raise InvalidRequest(
            f"the {what} for Basic authentication holds a control character (RFC 7617 section 2); "
            "a line read from a file keeps its newline: strip() it"
        )
    return value

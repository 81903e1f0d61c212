"""Cookies: a jar that behaves like requests' one outside, and like RFC 6265bis inside.

``http.cookiejar`` keeps the cookies, so that its file formats, its policies and everybody's code for it work. What it
accepts and sends, though, is older than browsers' rules: it sends a host's own cookie to all subdomains, lets http
overwrite a Secure cookie and knows no ``__Host-``. So the two decisions are taken by ``cookie_rules``, and asked for here:

* ``extract_cookies``: which Set-Cookie fields of a response are kept (RFC 6265bis section 5.7);
* ``cookie_header``: which cookies a request carries (section 5.8.3).

A policy the user installed is asked as well, and may refuse more.

Bounds: 50 fields in a response, 180 cookies of a domain, 3000 domains, and those of ``cookie_rules``. What exceeds them
is left out; nothing is raised for what a server did.

Importing this module imports http.cookiejar, which costs as much as the rest of holdfast; a caller that has no cookies
does without.
"""

from __future__ import annotations

import copy
import itertools
import re
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any, TypeVar, overload

from .._fork import after_in_child
from .._loading import over_own_sockets
from ..exceptions import InvalidHeader
from .cookie_rules import (
    CREATED,
    NOT_IN_NAME,
    NOT_SENT,
    covering,
    created,
    in_line,
    is_hidden_by,
    is_trustworthy,
    may_send,
    parse_date,
    parse_set_cookie,
)
from .url import Url

with over_own_sockets():
    from http import cookiejar as stdlib

Cookie = stdlib.Cookie
Jar = TypeVar("Jar", bound=stdlib.CookieJar)

MAX_FIELDS = 50
MAX_PER_DOMAIN = 180
MAX_DOMAINS = 3000

_numbers = itertools.count(1)


class CookieConflictError(RuntimeError):
    """Several cookies match; give ``domain=`` or ``path=`` to ``get()``, ``set()`` or ``get_dict()``."""


class _OwnRules(stdlib.DefaultCookiePolicy):
    """Stands for: no policy beyond the rules of this file."""


class CookieJar(stdlib.CookieJar):
    """Cookies, as an ``http.cookiejar.CookieJar`` and as a mapping from names to values.

    Iterating gives Cookie objects; ``keys``, ``values``, ``items``, ``jar[name]`` are about names and values, and
    raise CookieConflictError where a name has several values. Safe to share between threads; picklable.

    Args:
        policy: an ``http.cookiejar.CookiePolicy`` that may refuse more than this library does.
        clock: gives the time in seconds since 1970.
    """

    _policy: stdlib.CookiePolicy
    _cookies: dict[str, dict[str, dict[str, Cookie]]]
    _cookies_lock: Any

    def __init__(self, policy: stdlib.CookiePolicy | None = None, *, clock: Callable[[], float] = time.time) -> None:
        super().__init__(policy or _OwnRules())
        self.clock = clock
        _jars[id(self)] = self

    # -- a mapping

    def get(self, name: str, default: Any = None, domain: str | None = None, path: str | None = None) -> Any:
        """The value of a cookie. CookieConflictError if several match."""
        try:
            return self._only(name, domain, path).value
        except KeyError:
            return default

    def set(self, name: str, value: Any, **kwargs: Any) -> Cookie | None:
        """Set a cookie; None removes it.

        Args:
            name: its name.
            value: str, or an ``http.cookies.Morsel``.
            kwargs: as for ``create_cookie``; without ``domain`` the cookie goes to every server.

        Raises:
            InvalidHeader: name or value hold a character that cannot be sent.
        """
        if value is None:
            self._remove(name, kwargs.get("domain"), kwargs.get("path"))
            return None
        cookie = morsel_to_cookie(value) if hasattr(value, "OutputString") else create_cookie(name, value, **kwargs)
        self.set_cookie(cookie)
        return cookie

    def __getitem__(self, name: str) -> Any:
        return self._only(name).value

    def __setitem__(self, name: str, value: Any) -> None:
        self.set(name, value)

    def __delitem__(self, name: str) -> None:
        self._remove(name)

    def __contains__(self, name: object) -> bool:
        return any(cookie.name == name for cookie in self) or any(cookie is name for cookie in self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (CookieJar, Mapping)):
            return NotImplemented
        return dict(self.items()) == dict(other.items())

    __hash__ = None  # type: ignore[assignment]  # typeshed has a method there, and Python this

    def iterkeys(self) -> Iterator[str]:
        """The names."""
        return (cookie.name for cookie in self)

    def itervalues(self) -> Iterator[Any]:
        """The values."""
        return (cookie.value for cookie in self)

    def iteritems(self) -> Iterator[tuple[str, Any]]:
        """``(name, value)`` pairs."""
        return ((cookie.name, cookie.value) for cookie in self)

    def keys(self) -> list[str]:
        """The names; one that several domains or paths have, several times."""
        return list(self.iterkeys())

    def values(self) -> list[Any]:
        """The values."""
        return list(self.itervalues())

    def items(self) -> list[tuple[str, Any]]:
        """``(name, value)`` pairs."""
        return list(self.iteritems())

    def pop(self, name: str, *default: Any) -> Any:
        """Remove a cookie and return its value. KeyError if there is none and no default."""
        try:
            value = self[name]
        except KeyError:
            if not default:
                raise
            return default[0]
        del self[name]
        return value

    def setdefault(self, name: str, default: Any = None) -> Any:
        """The value of a cookie, which is set to ``default`` if there is none."""
        if name not in self:
            self.set(name, default)
        return self.get(name)

    def update(self, other: Any = (), /, **more: Any) -> None:
        """Add the cookies of another jar, a mapping, or pairs."""
        if isinstance(other, stdlib.CookieJar):
            for cookie in other:
                self.set_cookie(copy.copy(cookie))
        else:
            for name, value in dict(other, **more).items():
                self.set(name, value)

    # -- domains and paths

    def list_domains(self) -> list[str]:
        """The distinct domains."""
        return list(dict.fromkeys(cookie.domain for cookie in self))

    def list_paths(self) -> list[str]:
        """The distinct paths."""
        return list(dict.fromkeys(cookie.path for cookie in self))

    def multiple_domains(self) -> bool:
        """Whether two cookies have the same domain."""
        domains = [cookie.domain for cookie in self if cookie.domain is not None]
        return len(domains) != len(set(domains))

    def get_dict(self, domain: str | None = None, path: str | None = None) -> dict[str, Any]:
        """Names and values, of one domain, one path, or all."""
        return {cookie.name: cookie.value for cookie in self._matching(None, domain, path)}

    def _matching(self, name: str | None, domain: str | None, path: str | None) -> Iterator[Cookie]:
        return (
            cookie
            for cookie in self
            if (name is None or cookie.name == name)
            and (domain is None or cookie.domain == domain)
            and (path is None or cookie.path == path)
        )

    def _only(self, name: str, domain: str | None = None, path: str | None = None) -> Cookie:
        found = list(self._matching(name, domain, path))
        if not found:
            raise KeyError(f"name={name!r}, domain={domain!r}, path={path!r}")
        if len(found) > 1:
            raise CookieConflictError(f"There are multiple cookies with name, {name!r}: give domain= or path=")
        return found[0]

    def _remove(self, name: str, domain: str | None = None, path: str | None = None) -> None:
        for cookie in list(self._matching(name, domain, path)):
            _forget(self, cookie)

    # -- a CookieJar

    def __iter__(self) -> Iterator[Cookie]:
        # The base class walks its dictionaries while others change them.
        return iter(_all_cookies(self))

    def set_cookie(self, cookie: Cookie) -> None:
        """Add a cookie, replacing one of the same name, domain and path; its place among the others is then that one's."""
        with self._cookies_lock:
            _set_creation(self, cookie, self.clock())
            super().set_cookie(cookie)

    def get_policy(self) -> stdlib.CookiePolicy:
        """The policy that may refuse cookies."""
        return self._policy

    def copy(self) -> CookieJar:
        """An independent jar with the same cookies and policy."""
        twin = CookieJar(self._policy, clock=self.clock)
        twin.update(self)
        return twin

    __copy__ = copy

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        del state["_cookies_lock"], state["clock"]
        with self._cookies_lock:
            state["_cookies"] = copy.deepcopy(self._cookies)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        CookieJar.__init__(self)
        self.__dict__.update(state)


MutableMapping.register(CookieJar)
_jars: weakref.WeakValueDictionary[int, CookieJar] = weakref.WeakValueDictionary()  # a jar has no hash


def _after_fork_in_child() -> None:
    for jar in list(_jars.values()):
        jar._cookies_lock = threading.RLock()  # the parent may have held it in a thread that does not exist here


after_in_child(_after_fork_in_child)


def _all_cookies(jar: stdlib.CookieJar) -> list[Cookie]:
    store: Any = jar
    with store._cookies_lock:
        return list(stdlib.deepvalues(store._cookies))  # type: ignore[attr-defined]  # the stubs lack it; its order is the library's own


def _forget(jar: stdlib.CookieJar, cookie: Cookie) -> None:
    # Not jar.clear(), which leaves empty dictionaries: a server that uses ever new paths would fill the jar with them.
    store: Any = jar
    with store._cookies_lock:
        paths = store._cookies.get(cookie.domain, {})
        names = paths.get(cookie.path, {})
        names.pop(cookie.name, None)
        if not names:
            paths.pop(cookie.path, None)
        if not paths:
            store._cookies.pop(cookie.domain, None)


def _set_creation(jar: stdlib.CookieJar, cookie: Cookie, now: float) -> None:
    """Note when ``jar`` got this cookie: as old as the one it replaces (RFC 6265bis section 5.7), or as it was in another jar.

    The jar's lock is held.
    """
    store: Any = jar
    replaced = store._cookies.get(cookie.domain, {}).get(cookie.path, {}).get(cookie.name)
    moment = getattr(cookie, CREATED, None) if replaced is None else created(replaced)
    setattr(cookie, CREATED, moment or (now, next(_numbers)))


# ------------------------------------------------------------------------------------------ making and merging


def create_cookie(name: str, value: Any, **kwargs: Any) -> Cookie:
    """A Cookie of ``name`` and ``value``.

    Args:
        name: its name.
        value: its value, of which the ``str()`` is sent; with None the name is sent alone, as in requests.
        kwargs: ``domain`` (default ``""``: every server), ``path`` (``"/"``), ``secure`` (False), ``expires`` (seconds
            since 1970, or None), ``port``, ``version``, ``discard``, ``comment``, ``comment_url``, ``rest``,
            ``rfc2109``.

    Raises:
        TypeError: there is another argument.
        InvalidHeader: name or value hold a control character or ``;``, or the name ``=`` (RFC 6265 section 4.1.1).
    """
    _check(name, "name", NOT_IN_NAME, name)
    _check(name, "value", NOT_SENT, value)
    fields: dict[str, Any] = {
        "version": 0,
        "port": None,
        "domain": "",
        "path": "/",
        "secure": False,
        "expires": None,
        "discard": True,
        "comment": None,
        "comment_url": None,
        "rest": {"HttpOnly": None},
        "rfc2109": False,
    }
    unknown = set(kwargs) - set(fields)
    if unknown:
        raise TypeError(f"create_cookie() got unexpected keyword arguments: {sorted(unknown)}")
    fields.update(kwargs)
    domain = fields["domain"] = fields["domain"] or ""
    return Cookie(
        name=name,
        value=value,
        port_specified=bool(fields["port"]),
        domain_specified=bool(domain),
        domain_initial_dot=domain.startswith("."),
        path_specified=bool(fields["path"]),
        **fields,
    )


def _check(name: str, what: str, not_allowed: re.Pattern[str], text: Any) -> None:
    wrong = not_allowed.search(str(text))
    if wrong is not None:
        raise InvalidHeader(
            f"cookie {str(name)[:40]!a}: {wrong[0]!a} at position {wrong.start()} cannot be in a cookie's {what} "
            "(RFC 6265 section 4.1.1); percent-encode it"
        )


def morsel_to_cookie(morsel: Any) -> Cookie:
    """The Cookie of an ``http.cookies.Morsel``; its date is read as a server's is. TypeError if its max-age is no number."""
    expires: float | None = None
    if morsel["max-age"]:
        try:
            expires = int(time.time() + int(morsel["max-age"]))
        except ValueError as error:
            raise TypeError(f"max-age: {morsel['max-age']} must be integer") from error
    elif morsel["expires"]:
        expires = parse_date(morsel["expires"])
    return create_cookie(
        morsel.key,
        morsel.value,
        comment=morsel["comment"],
        discard=False,
        domain=morsel["domain"],
        expires=expires,
        path=morsel["path"] or "/",
        rest={"HttpOnly": morsel["httponly"]},
        secure=bool(morsel["secure"]),
        version=morsel["version"] or 0,
    )


@overload
def cookiejar_from_dict(cookie_dict: Mapping[str, Any] | None, cookiejar: None = None, overwrite: bool = True) -> CookieJar: ...


@overload
def cookiejar_from_dict(cookie_dict: Mapping[str, Any] | None, cookiejar: Jar, overwrite: bool = True) -> Jar: ...


def cookiejar_from_dict(
    cookie_dict: Mapping[str, Any] | None, cookiejar: stdlib.CookieJar | None = None, overwrite: bool = True
) -> stdlib.CookieJar:
    """A jar with the cookies of a mapping, which go to every server.

    Args:
        cookie_dict: names and values.
        cookiejar: the jar to add them to; None for a new one.
        overwrite: whether they replace equally named ones.
    """
    jar = CookieJar() if cookiejar is None else cookiejar
    known = set() if overwrite else {cookie.name for cookie in _all_cookies(jar)}
    for name, value in (cookie_dict or {}).items():
        if name not in known:
            jar.set_cookie(create_cookie(name, value))
    return jar


def dict_from_cookiejar(jar: stdlib.CookieJar) -> dict[str, Any]:
    """Names and values of all cookies."""
    return {cookie.name: cookie.value for cookie in jar}


def merge_cookies(jar: stdlib.CookieJar, cookies: Any) -> stdlib.CookieJar:
    """Add a mapping, whose cookies do not replace equally named ones, or another jar, whose cookies do, to ``jar``.

    Raises:
        ValueError: ``jar`` is not a CookieJar.
    """
    if not isinstance(jar, stdlib.CookieJar):
        raise ValueError("You can only merge into CookieJar")
    if isinstance(cookies, stdlib.CookieJar):
        for cookie in _all_cookies(cookies):
            jar.set_cookie(copy.copy(cookie))
    else:
        cookiejar_from_dict(cookies, jar, overwrite=False)
    return jar


def own_jar(cookies: Any) -> CookieJar:
    """A new jar with the cookies of a jar, a mapping or pairs."""
    if isinstance(cookies, CookieJar):
        return cookies.copy()
    if isinstance(cookies, stdlib.CookieJar):
        jar = CookieJar(getattr(cookies, "_policy", None))
        jar.update(cookies)
        return jar
    jar = CookieJar()
    cookiejar_from_dict(dict(cookies), jar)
    return jar


def elsewhere(jar: stdlib.CookieJar, answered: Iterable[str], other_origin: bool) -> CookieJar:
    """What of one call's own cookies goes along with a redirect.

    Args:
        jar: the call's own cookies.
        answered: names of cookies the redirecting server set itself: its values count from now on.
        other_origin: whether the redirect leaves the origin; a cookie without a domain was meant for that one only.
    """
    kept = CookieJar(getattr(jar, "_policy", None), clock=getattr(jar, "clock", time.time))
    replaced = set(answered)
    for cookie in _all_cookies(jar):
        if cookie.domain or not (other_origin or cookie.name in replaced):
            kept.set_cookie(copy.copy(cookie))
    return kept


# ---------------------------------------------------------------------------------------------- what is received


def extract_cookies(jar: stdlib.CookieJar, url: Url, raw_headers: list[tuple[bytes, bytes]]) -> None:
    """Put the acceptable cookies of a response into ``jar``; what is not acceptable is ignored.

    Args:
        jar: any ``http.cookiejar.CookieJar``.
        url: what the response came from.
        raw_headers: its header fields.
    """
    lines = [value for name, value in raw_headers if len(name) == 10 and name.lower() == b"set-cookie"]
    if not lines:
        return
    store: Any = jar
    now = getattr(jar, "clock", time.time)()
    for line in lines[:MAX_FIELDS]:
        cookie = parse_set_cookie(line, url, now)
        # Asked and kept in one step: in between, another thread might keep the Secure one that this one must not hide.
        with store._cookies_lock:
            if cookie is not None and _may_set(jar, cookie, url, now):
                _store(jar, cookie, now)


def _store(jar: stdlib.CookieJar, cookie: Cookie, now: float) -> None:
    if cookie.is_expired(int(now)):
        _forget(jar, cookie)
        return
    _set_creation(jar, cookie, now)  # for jars that are not ours
    jar.set_cookie(cookie)
    _trim(jar, cookie.domain)


def _trim(jar: stdlib.CookieJar, domain: str) -> None:
    """Forget the oldest cookies of a domain, and the first domains, beyond the bounds."""
    store: Any = jar
    with store._cookies_lock:
        domains: dict[str, dict[str, dict[str, Cookie]]] = store._cookies
        while len(domains) > MAX_DOMAINS:
            del domains[next(name for name in domains if name not in ("", domain))]
        cookies = [cookie for names in domains.get(domain, {}).values() for cookie in names.values()]
        if len(cookies) > MAX_PER_DOMAIN:
            for cookie in sorted(cookies, key=created)[:-MAX_PER_DOMAIN]:
                _forget(jar, cookie)


def _may_set(jar: stdlib.CookieJar, cookie: Cookie, url: Url, now: float) -> bool:
    if not is_trustworthy(url) and _hides_a_secure_one(jar, cookie, url):
        return False
    policy = _foreign_policy(jar, now)
    return policy is None or bool(policy.set_ok(cookie, _as_urllib(url)))


def _hides_a_secure_one(jar: stdlib.CookieJar, cookie: Cookie, url: Url) -> bool:
    """Whether a host would get ``cookie`` in place of, or beside, a Secure one of that name (RFC 6265bis section 5.7)."""
    known = _of_host(jar, url.host)
    if cookie.domain_specified:
        known += _below(jar, cookie.domain, cookie.name)
    return any(is_hidden_by(each, cookie) for each in known)


def _below(jar: stdlib.CookieJar, dotted: str, name: str) -> list[Cookie]:
    """The cookies of this name of all domains that end with ``dotted``: only for http is every domain looked at."""
    store: Any = jar
    with store._cookies_lock:
        of_paths = [paths for domain, paths in store._cookies.items() if domain.endswith(dotted)]
        return [names[name] for paths in of_paths for names in paths.values() if name in names]


# -------------------------------------------------------------------------------------------------- what is sent


def cookie_header(jar: stdlib.CookieJar | None, url: Url, own: stdlib.CookieJar | None = None) -> str | None:
    """The value of a request's Cookie field, or None if no cookie is to be sent.

    Args:
        jar: the client's cookies.
        url: where the request goes.
        own: cookies of this one request; they take the place of equally named ones of ``jar``.
    """
    of_call = _to_send(own, url)
    names = {cookie.name for cookie in of_call}
    kept = [cookie for cookie in _to_send(jar, url) if cookie.name not in names]
    # Of one path the older ones first (RFC 6265, section 5.4): most of the jar's were there before the call.
    return in_line(sorted(kept + of_call, key=created) if kept and of_call else kept or of_call)


def _to_send(jar: stdlib.CookieJar | None, url: Url) -> list[Cookie]:
    """The jar's cookies for a request to ``url``, the oldest first."""
    if jar is None:
        return []
    now = getattr(jar, "clock", time.time)()
    chosen = sorted((cookie for cookie in _of_host(jar, url.host) if may_send(cookie, url, now)), key=created)
    policy = _foreign_policy(jar, now) if chosen else None
    if policy is None:
        return chosen
    request = _as_urllib(url)
    return [cookie for cookie in chosen if _policy_sends(policy, cookie, request)]


def _of_host(jar: stdlib.CookieJar, host: str) -> list[Cookie]:
    """All cookies whose domain covers ``host``, found by its suffixes and not by looking at every domain."""
    store: Any = jar
    found: list[Cookie] = []
    with store._cookies_lock:
        for domain, is_exact in covering(host):
            for names in store._cookies.get(domain, {}).values():
                found += [cookie for cookie in names.values() if is_exact or cookie.domain_specified]
    return found


# ---------------------------------------------------------------------------------------- http.cookiejar's policies


def _foreign_policy(jar: stdlib.CookieJar, now: float) -> Any:
    """The policy that was put into ``jar``, with the time set as ``http.cookiejar`` does; None if there is none."""
    policy = getattr(jar, "_policy", None)
    if policy is None or type(policy) is _OwnRules:
        return None
    policy._now = int(now)
    return policy


def _policy_sends(policy: Any, cookie: Cookie, request: Any) -> bool:
    return bool(
        policy.domain_return_ok(cookie.domain, request)
        and policy.path_return_ok(cookie.path, request)
        and policy.return_ok(cookie, request)
    )


def _as_urllib(url: Url) -> Any:
    from urllib.request import Request  # http.cookiejar has imported it

    return Request(url.without_userinfo().text)

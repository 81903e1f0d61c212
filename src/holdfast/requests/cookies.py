"""``cookies`` as requests has it: the jar, and what makes jars of dicts and dicts of jars.

``dict_from_cookiejar`` and ``add_dict_to_cookiejar`` are in requests' ``utils``; here they are with the others.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from http import cookiejar as stdlib
from typing import Any
from urllib.parse import urlsplit

from ..message.cookies import (
    Cookie,
    CookieConflictError,
    CookieJar,
    cookie_header,
    cookiejar_from_dict,
    create_cookie,
    dict_from_cookiejar,
    extract_cookies,
    merge_cookies,
)
from ..message.cookies import morsel_to_cookie as _morsel_to_cookie
from ..message.url import Url

__all__ = [
    "Cookie",
    "CookieConflictError",
    "CookieJar",
    "MockRequest",
    "MockResponse",
    "RequestsCookieJar",
    "add_dict_to_cookiejar",
    "cookiejar_from_dict",
    "create_cookie",
    "dict_from_cookiejar",
    "extract_cookies_to_jar",
    "get_cookie_header",
    "merge_cookies",
    "morsel_to_cookie",
    "remove_cookie_by_name",
]

RequestsCookieJar = CookieJar


def add_dict_to_cookiejar(jar: stdlib.CookieJar, cookie_dict: Mapping[str, Any]) -> stdlib.CookieJar:
    """Add the cookies of a mapping to a jar; they go to every server. Returns the jar."""
    return cookiejar_from_dict(cookie_dict, jar)


def morsel_to_cookie(morsel: Any) -> Cookie:
    """The Cookie of a ``http.cookies.Morsel``.

    Raises:
        TypeError, ValueError: its Max-Age is no number, or its Expires no date of the form that cookies are written with.
    """
    if not morsel["max-age"] and morsel["expires"]:
        time.strptime(morsel["expires"], "%a, %d-%b-%Y %H:%M:%S GMT")  # it raises what requests raises
    return _morsel_to_cookie(morsel)


def remove_cookie_by_name(cookiejar: stdlib.CookieJar, name: str, domain: str | None = None, path: str | None = None) -> None:
    """Remove every cookie of that name; of one domain, or one path, if they are given."""
    for cookie in list(cookiejar):
        if cookie.name == name and domain in (None, cookie.domain) and path in (None, cookie.path):
            cookiejar.clear(cookie.domain, cookie.path, cookie.name)


class MockRequest:
    """A request as ``http.cookiejar`` and its policies want to see it.

    Args:
        request: a PreparedRequest, or what has a ``url`` and ``headers``.
    """

    def __init__(self, request: Any) -> None:
        self._r = request
        self._new_headers: dict[str, str] = {}
        self.type: str = urlsplit(request.url).scheme

    def get_type(self) -> str:
        """The scheme."""
        return self.type

    def get_host(self) -> str:
        """Host and port."""
        return urlsplit(str(self._r.url)).netloc

    def get_origin_req_host(self) -> str:
        """Host and port."""
        return self.get_host()

    def get_full_url(self) -> str:
        """The URL, with the host that a Host field names in the place of its own."""
        url = str(self._r.url)
        named = (self._r.headers or {}).get("Host")
        return urlsplit(url)._replace(netloc=str(named)).geturl() if named else url

    def is_unverifiable(self) -> bool:
        """True: cookies here are never asked about."""
        return True

    def has_header(self, name: str) -> bool:
        """Whether the request has the field, or was given it here."""
        return name in self._r.headers or name in self._new_headers

    def get_header(self, name: str, default: Any = None) -> Any:
        """The value of a field."""
        return self._r.headers.get(name, self._new_headers.get(name, default))

    def add_header(self, key: str, val: str) -> None:
        """Refused: cookie jars add ``unredirected`` ones."""
        raise NotImplementedError("Cookie headers should be added with add_unredirected_header()")

    def add_unredirected_header(self, name: str, value: str) -> None:
        """Note a field that the jar adds."""
        self._new_headers[name] = value

    def get_new_headers(self) -> dict[str, str]:
        """The fields that were added."""
        return self._new_headers

    @property
    def unverifiable(self) -> bool:
        """True."""
        return self.is_unverifiable()

    @property
    def origin_req_host(self) -> str:
        """Host and port."""
        return self.get_origin_req_host()

    @property
    def host(self) -> str:
        """Host and port."""
        return self.get_host()


class MockResponse:
    """A response as ``http.cookiejar`` wants to see it. ``headers``: an ``http.client.HTTPMessage``."""

    def __init__(self, headers: Any) -> None:
        self._headers = headers

    def info(self) -> Any:
        """The fields."""
        return self._headers

    def getheaders(self, name: str) -> Any:
        """The values of a field."""
        return self._headers.get_all(name) or []


def extract_cookies_to_jar(jar: stdlib.CookieJar, request: Any, response: Any) -> None:
    """Put the acceptable cookies of a response into a jar.

    Args:
        request: what was asked: a PreparedRequest, or what has a ``url``.
        response: ``Response.raw``, or another urllib3 response; without an ``_original_response`` it sets none.
    """
    original = getattr(response, "_original_response", None)
    if not original:
        return
    fields = [(b"Set-Cookie", value.encode("latin-1", "surrogateescape")) for value in original.msg.get_all("Set-Cookie") or ()]
    if not fields:
        return
    url = getattr(request, "parsed", None)
    extract_cookies(jar, url if url is not None else Url.parse(request.url), fields)


def get_cookie_header(jar: stdlib.CookieJar, request: Any) -> str | None:
    """The value of the Cookie field that a jar has for a request, or None."""
    url = getattr(request, "parsed", None)
    return cookie_header(jar, url if url is not None else Url.parse(request.url))

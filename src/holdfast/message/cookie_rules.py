"""The rules of cookies: pure functions from a field, a URL and a time to what is kept, and from cookies to what is sent.

The sections are those of RFC 6265bis, which is how browsers read RFC 6265; where they differ the function says so. No
jar, no lock and no clock here: ``cookies`` has the jar, and asks.

* Kept: ``parse_set_cookie`` is one field's cookie, or None; ``is_hidden_by`` what http must not touch.
* Sent: ``covering`` are the domains whose cookies a host gets, ``may_send`` picks among them, ``in_line`` writes them.

Bounds: 4096 bytes of name and value, 1024 of an attribute; 150 cookies and 8190 bytes in a request. What exceeds them is
left out; nothing is raised for what a server did. Everything is linear in what arrived.

There is no public suffix list here: what is refused as too wide is a domain of one label, and ``co.uk`` and the like.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from http import cookiejar as stdlib
from typing import Any

from .url import Url

Cookie = stdlib.Cookie
http2time: Callable[[str], float | None] = stdlib.http2time  # type: ignore[attr-defined]

MAX_COOKIE = 4096
MAX_ATTRIBUTE = 1024
MAX_LINE = 8190
MAX_SENT = 150
MAX_HEADER = 8190

# RFC 6265bis section 5.6: a cookie with one of these is ignored altogether. A tab may stand around, not in, a value.
_CONTROLS = re.compile("[\x00-\x08\x0a-\x1f\x7f]")
NOT_SENT = re.compile("[\x00-\x1f\x7f;]")
NOT_IN_NAME = re.compile("[\x00-\x1f\x7f;=]")
_GENERIC = frozenset(("ac", "co", "com", "edu", "gov", "mil", "net", "org"))
_NUMBER = re.compile("[0-9]+|0x[0-9a-f]*")
_AGE = re.compile("-?[0-9]+")
_LONGEST_AGE = 400 * 86400  # RFC 6265bis section 5.5: the upper limit of a lifetime SHOULD be 400 days
_MAX_AGE_DIGITS = 12
_LONGEST_DATE = 100


# ----------------------------------------------------------------------------------------------------- what is received


def parse_set_cookie(line: bytes, url: Url, now: float) -> Cookie | None:
    """The cookie of one Set-Cookie field received from ``url``, or None if it has to be ignored."""
    text = line.decode("latin-1")
    if len(text) > MAX_LINE or _CONTROLS.search(text):
        return None
    pair, *rest = text.split(";")
    name, equals, value = pair.partition("=")
    name, value = name.strip(" \t"), value.strip(" \t")
    if not equals or not name or "\t" in name or "\t" in value or len(name) + len(value) > MAX_COOKIE:
        return None
    attributes = _attributes(rest)
    domain = _domain(attributes.get("domain", ""), url.host)
    if domain is None:
        return None
    path = attributes.get("path", "")
    secure = "secure" in attributes
    expires = _expires(attributes, now)
    cookie = Cookie(
        version=0,
        name=name,
        value=value,
        port=None,
        port_specified=False,
        domain=domain,
        domain_specified=domain.startswith("."),
        domain_initial_dot=domain.startswith("."),
        path=path if path.startswith("/") else _default_path(url.path),
        path_specified=path.startswith("/"),
        secure=secure,
        expires=expires,
        discard=expires is None,
        comment=None,
        comment_url=None,
        rest=_others(attributes),
        rfc2109=False,
    )
    return cookie if _keeps_promises(cookie, url, attributes) else None


def _attributes(parts: list[str]) -> dict[str, str]:
    attributes: dict[str, str] = {}
    for part in parts:
        name, _, value = part.partition("=")
        value = value.strip(" \t")
        if len(value) <= MAX_ATTRIBUTE:
            attributes[name.strip(" \t").lower()] = value  # the last of a name counts: RFC 6265bis section 5.7
    return attributes


def _others(attributes: dict[str, str]) -> dict[str, Any]:
    rest: dict[str, Any] = {}
    if "httponly" in attributes:
        rest["HttpOnly"] = None
    if "samesite" in attributes:
        rest["SameSite"] = attributes["samesite"]
    return rest


def _domain(attribute: str, host: str) -> str | None:
    """The domain a cookie is kept under: ``host`` for the host only, ``.domain`` for it and below, None to refuse."""
    wanted = attribute.removeprefix(".").lower()
    if not wanted:
        return host
    if wanted == host:
        return host if is_address(host) or _is_too_wide(host) else "." + host
    if is_address(host) or not host.endswith("." + wanted) or _is_too_wide(wanted):
        return None
    return "." + wanted


def _is_too_wide(domain: str) -> bool:
    labels = domain.rstrip(".").split(".")
    return len(labels) < 2 or (len(labels) == 2 and len(labels[1]) == 2 and labels[0] in _GENERIC)


def is_address(host: str) -> bool:
    """Whether ``host`` is an IP address, or would be taken for one: its last label is a number."""
    return ":" in host or _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]) is not None


def _default_path(path: str) -> str:
    return path[: path.rfind("/")] or "/"


def _expires(attributes: dict[str, str], now: float) -> int | None:
    age = attributes.get("max-age", "")
    if _AGE.fullmatch(age):
        if age.startswith("-"):
            return 0
        seconds = int(age) if len(age) <= _MAX_AGE_DIGITS else _LONGEST_AGE
        return int(now) + min(seconds, _LONGEST_AGE) if seconds else 0
    stated = attributes.get("expires", "")
    when = http2time(stated) if len(stated) < _LONGEST_DATE else None
    return None if when is None else int(min(when, now + _LONGEST_AGE))


def _keeps_promises(cookie: Cookie, url: Url, attributes: dict[str, str]) -> bool:
    """RFC 6265bis section 5.7: what Secure and the name's prefix promise."""
    name = cookie.name.lower()
    if cookie.secure and url.scheme != "https":
        return False
    if name.startswith("__host-"):
        return cookie.secure and not attributes.get("domain") and attributes.get("path") == "/"
    return cookie.secure or not name.startswith("__secure-")


def is_hidden_by(known: Cookie, cookie: Cookie) -> bool:
    """Whether ``cookie`` would overwrite or hide the Secure one ``known``, which an insecure origin may not (section 5.7)."""
    return known.secure and known.name == cookie.name and path_matches(cookie.path, known.path)


# --------------------------------------------------------------------------------------------------------- what is sent


def covering(host: str) -> Iterator[tuple[str, bool]]:
    """The domains whose cookies ``host`` gets; and whether all of them, or only those that were set for subdomains too."""
    yield "", True
    yield host, True
    if is_address(host):
        return
    yield "." + host, True
    if "." not in host:
        yield host + ".local", True  # how http.cookiejar itself keeps cookies of a host without a dot
    parent = host.partition(".")[2]
    while parent:
        yield "." + parent, True
        yield parent, False  # set by the user, who may leave the dot out
        parent = parent.partition(".")[2]


def may_send(cookie: Cookie, url: Url, now: float) -> bool:
    """Whether a request to ``url`` carries this cookie of a domain that covers its host (section 5.8.3)."""
    if cookie.value is None or NOT_IN_NAME.search(str(cookie.name)) or NOT_SENT.search(str(cookie.value)):
        return False
    if cookie.secure and url.scheme != "https":
        return False
    if cookie.port and str(url.port) not in cookie.port.split(","):
        return False
    return not cookie.is_expired(int(now)) and path_matches(url.path, cookie.path)


def path_matches(path: str, allowed: str | None) -> bool:
    """RFC 6265 section 5.1.4: /any covers /any and /any/thing, not /anything."""
    if not allowed or path == allowed:
        return True
    return path.startswith(allowed) and (allowed.endswith("/") or path[len(allowed)] == "/")


def in_line(cookies: list[Cookie]) -> str | None:
    """The value of a Cookie field with these cookies, or with those that there is room for; None without any.

    Longer paths come first (section 5.8.3); among equally long ones the order is that of ``cookies``.
    """
    pairs: list[str] = []
    size = 0
    for cookie in sorted(cookies, key=_path_length, reverse=True)[:MAX_SENT]:
        pair = _pair(cookie)
        if size + len(pair) <= MAX_HEADER:
            pairs.append(pair)
            size += len(pair) + 2
    return "; ".join(pairs) or None


def _path_length(cookie: Cookie) -> int:
    return len(cookie.path or "/")


def _pair(cookie: Cookie) -> str:
    text = f"{cookie.name}={cookie.value}"
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode("latin-1")
    return text

"""The rules of cookies: pure functions from a field, a URL and a time to what is kept, and from cookies to what is sent.

The sections are those of RFC 6265bis, which is how browsers read RFC 6265; where they differ the function says so. No
jar, no lock and no clock here: ``cookies`` has the jar, and asks.

* Kept: ``parse_set_cookie`` is one field's cookie, or None; ``is_hidden_by`` what http must not touch.
* Sent: ``covering`` are the domains whose cookies a host gets, ``may_send`` picks among them, ``created`` orders them,
  ``in_line`` writes them.

Bounds: 4096 bytes of name and value, 1024 of an attribute; 150 cookies and 8190 bytes in a request. What exceeds them is
left out; nothing is raised for what a server did. Everything is linear in what arrived.

There is no public suffix list here: what is refused as too wide is a domain of one label, and ``co.uk`` and the like.
"""

from __future__ import annotations

import re
from calendar import monthrange, timegm
from collections.abc import Iterator
from typing import Any

from .._loading import over_own_sockets
from .url import Url, may_be_ip_address

with over_own_sockets():
    from http import cookiejar as stdlib

Cookie = stdlib.Cookie

MAX_COOKIE = 4096
MAX_ATTRIBUTE = 1024
MAX_LINE = 8190
MAX_SENT = 150
MAX_HEADER = 8190

CREATED = "_created"
_BEFORE_ALL_OTHERS = (float("-inf"), 0)

# RFC 6265bis section 5.6: a cookie with one of these is ignored altogether. A tab may stand around, not in, a value.
_CONTROLS = re.compile("[\x00-\x08\x0a-\x1f\x7f]")
NOT_SENT = re.compile("[\x00-\x1f\x7f;]")
NOT_IN_NAME = re.compile("[\x00-\x1f\x7f;=]")
_GENERIC = frozenset(("ac", "co", "com", "edu", "gov", "mil", "net", "org"))
_BYTE = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
# Url.host has no brackets and has been checked: of the IPv6 addresses made of zeros and a final 1 there is but one.
_LOOPBACK = re.compile(rf"(?:.+\.)?localhost\.?|127(?:\.{_BYTE}){{3}}|[0:]*:0*1")
_AGE = re.compile("-?[0-9]+")
_LONGEST_AGE = 400 * 86400  # RFC 6265bis section 5.5: the upper limit of a lifetime SHOULD be 400 days
_MAX_AGE_DIGITS = 12

# RFC 6265 section 5.1.1: what stands between the tokens of a date, and what a token may be, in the order of asking.
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DATE_DELIMITERS = re.compile("[\t\x20-\x2f\x3b-\x40\x5b-\x60\x7b-\x7e]+")
_DATE_PARTS = (
    ("time", re.compile("([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?![0-9])")),
    ("day", re.compile("([0-9]{1,2})(?![0-9])")),
    ("month", re.compile(f"({'|'.join(_MONTHS)})", re.ASCII | re.IGNORECASE)),
    ("year", re.compile("([0-9]{2,4})(?![0-9])")),
)


# ----------------------------------------------------------------------------------------------------- what is received


def parse_set_cookie(line: bytes, url: Url, now: float) -> Cookie | None:
    """The cookie of one Set-Cookie field received from ``url``, or None if it has to be ignored.

    A field without ``=``, such as ``Set-Cookie: a; Path=/``, is a cookie named ``a`` with the value None, as in requests
    and http.cookiejar, and is sent as ``a``. In browsers it is a value without a name (section 5.6), which goes out in the
    same way, only that a host has room for one of it. RFC 6265 ignores such a field. One that begins with ``=`` is
    ignored, as in requests and RFC 6265: in browsers it is a value without a name, too, and might read like any cookie.
    """
    text = line.decode("latin-1")
    if len(text) > MAX_LINE or _CONTROLS.search(text):
        return None
    pair, *rest = text.split(";")
    name, equals, value = pair.partition("=")
    name, value = name.strip(" \t"), value.strip(" \t")
    if not name or "\t" in name or "\t" in value or len(name) + len(value) > MAX_COOKIE:
        return None
    pairs = _attributes(rest)
    attributes = dict(pairs)  # the last of a name counts: section 5.7
    domain = _domain(attributes.get("domain", ""), url.host)
    if domain is None:
        return None
    path = attributes.get("path", "")
    secure = "secure" in attributes
    expires = _expires(pairs, now)
    cookie = Cookie(
        version=0,
        name=name,
        value=value if equals else None,
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


def _attributes(parts: list[str]) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for part in parts:
        name, _, value = part.partition("=")
        value = value.strip(" \t")
        if len(value) <= MAX_ATTRIBUTE:
            pairs.append((name.strip(" \t").lower(), value))
    return pairs


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
        return host if may_be_ip_address(host) or _is_too_wide(host) else "." + host
    if may_be_ip_address(host) or not host.endswith("." + wanted) or _is_too_wide(wanted):
        return None
    return "." + wanted


def _is_too_wide(domain: str) -> bool:
    labels = domain.rstrip(".").split(".")
    return len(labels) < 2 or (len(labels) == 2 and len(labels[1]) == 2 and labels[0] in _GENERIC)


def _default_path(path: str) -> str:
    return path[: path.rfind("/")] or "/"


def _expires(pairs: list[tuple[str, str]], now: float) -> int | None:
    """When a cookie with these attributes ends, 400 days from now at most (section 5.5); None for the end of the session.

    Max-Age counts before Expires, and of either the last that can be read: a Max-Age in quotes, or a 29 February 2022, is
    as if it were not there (sections 5.6.1 and 5.6.2).
    """
    ages = [value for name, value in pairs if name == "max-age" and _AGE.fullmatch(value)]
    if ages:
        seconds = min(_seconds(ages[-1]), _LONGEST_AGE)
        return int(now) + seconds if seconds else 0
    dates = [parse_date(value) for name, value in pairs if name == "expires"]
    known = [date for date in dates if date is not None]
    return min(known[-1], int(now) + _LONGEST_AGE) if known else None


def _seconds(age: str) -> int:
    digits = age.lstrip("0")
    if not digits or age.startswith("-"):
        return 0
    return int(digits) if len(digits) <= _MAX_AGE_DIGITS else _LONGEST_AGE


def parse_date(text: str) -> int | None:
    """The seconds since 1970 of a cookie's date, negative before; None if it is no date (RFC 6265 section 5.1.1).

    The text is cut into tokens. The first that can be the time is the time, the first of the others that can be the day
    of the month is that, and so on; whatever else stands there is passed over, the name of a zone too: the time is UTC.
    So every order of a day, an English month, a year and a time is read, such as ``asctime()`` and the date types of
    Java and JavaScript print; ISO 8601, which has no month's name, is not.

    Browsers read dates by the same tokens, and so agree on whether a cookie is deleted. Two things are known of
    Chromium that this does not share: it takes years of five digits, and digits with letters behind them for a year.
    """
    found: dict[str, tuple[str, ...]] = {}
    for token in _DATE_DELIMITERS.split(text):
        for part, pattern in _DATE_PARTS:
            match = None if part in found else pattern.match(token)
            if match is not None:
                found[part] = match.groups()
                break
    if len(found) < len(_DATE_PARTS):
        return None
    hour, minute, second = map(int, found["time"])
    day, year = int(found["day"][0]), int(found["year"][0])
    month = 1 + _MONTHS.index(found["month"][0].lower())
    if year < 100:
        year += 1900 if year >= 70 else 2000
    if year < 1601 or hour > 23 or minute > 59 or second > 59 or not 1 <= day <= monthrange(year, month)[1]:
        return None
    return timegm((year, month, day, hour, minute, second))


def _keeps_promises(cookie: Cookie, url: Url, attributes: dict[str, str]) -> bool:
    """RFC 6265bis section 5.7: what Secure and the name's prefix promise."""
    name = cookie.name.lower()
    if cookie.secure and not is_trustworthy(url):
        return False
    if name.startswith(("__host-", "__secure-")) and not (cookie.secure and url.scheme == "https"):
        return False  # Chromium's rule: what the prefix says of https, loopback cannot keep
    return not name.startswith("__host-") or (not attributes.get("domain") and attributes.get("path") == "/")


def is_trustworthy(url: Url) -> bool:
    """Whether Secure cookies may come from ``url`` and go to it: by https; by http only if its host is loopback itself.

    Loopback are ``localhost`` and the names below it (RFC 6761 section 6.3), 127.0.0.0/8 as four decimal numbers, and
    ``[::1]``: without a proxy, what is sent there stays on the machine. Browsers treat development servers' Secure
    cookies so, and curl those of ``localhost``, 127.0.0.1 and ``[::1]``. Other spellings, ``127.1``, are any other host.
    """
    return url.scheme == "https" or _LOOPBACK.fullmatch(url.host) is not None


def is_hidden_by(known: Cookie, cookie: Cookie) -> bool:
    """Whether ``cookie`` would overwrite or hide the Secure one ``known``, which an insecure origin may not (section 5.7)."""
    return known.secure and known.name == cookie.name and path_matches(cookie.path, known.path)


# --------------------------------------------------------------------------------------------------------- what is sent


def covering(host: str) -> Iterator[tuple[str, bool]]:
    """The domains whose cookies ``host`` gets; and whether all of them, or only those that were set for subdomains too."""
    yield "", True
    yield host, True
    if may_be_ip_address(host):
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
    if NOT_IN_NAME.search(str(cookie.name)) or NOT_SENT.search(str(cookie.value)):
        return False
    # What the user set for every server is not loopback's own: as in requests it waits for https.
    if cookie.secure and not (is_trustworthy(url) if cookie.domain else url.scheme == "https"):
        return False
    if cookie.port and str(url.port) not in cookie.port.split(","):
        return False
    return not cookie.is_expired(int(now)) and path_matches(url.path, cookie.path)


def path_matches(path: str, allowed: str | None) -> bool:
    """RFC 6265 section 5.1.4: /any covers /any and /any/thing, not /anything."""
    if not allowed or path == allowed:
        return True
    return path.startswith(allowed) and (allowed.endswith("/") or path[len(allowed)] == "/")


def created(cookie: Cookie) -> tuple[float, int]:
    """When a jar first got this cookie, and its number among those of one moment; before all others if no jar has said so.

    http.cookiejar keeps no creation-time (section 5.7), so a jar writes it in an attribute of its own, ``CREATED``. Copies
    and pickles of a cookie have it too, files have not.
    """
    moment: tuple[float, int] = getattr(cookie, CREATED, _BEFORE_ALL_OTHERS)
    return moment


def in_line(cookies: list[Cookie]) -> str | None:
    """The value of a Cookie field with these cookies, or with those that there is room for; None without any.

    Longer paths come first; among equally long ones the order is that of ``cookies``, which is by age (section 5.8.3).
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
    text = str(cookie.name) if cookie.value is None else f"{cookie.name}={cookie.value}"
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode("latin-1")
    return text

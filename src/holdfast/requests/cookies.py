"""``cookies`` as requests has it: the jar, and what makes jars of dicts and dicts of jars.

``dict_from_cookiejar`` and ``add_dict_to_cookiejar`` are in requests' ``utils``; here they are with the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import cookiejar as stdlib
from typing import Any

from ..message.cookies import (
    Cookie,
    CookieConflictError,
    CookieJar,
    cookiejar_from_dict,
    create_cookie,
    dict_from_cookiejar,
    merge_cookies,
    morsel_to_cookie,
)

__all__ = [
    "Cookie",
    "CookieConflictError",
    "CookieJar",
    "RequestsCookieJar",
    "add_dict_to_cookiejar",
    "cookiejar_from_dict",
    "create_cookie",
    "dict_from_cookiejar",
    "merge_cookies",
    "morsel_to_cookie",
    "remove_cookie_by_name",
]

RequestsCookieJar = CookieJar


def add_dict_to_cookiejar(jar: stdlib.CookieJar, cookie_dict: Mapping[str, Any]) -> stdlib.CookieJar:
    """Add the cookies of a mapping to a jar; they go to every server. Returns the jar."""
    return cookiejar_from_dict(cookie_dict, jar)


def remove_cookie_by_name(cookiejar: stdlib.CookieJar, name: str, domain: str | None = None, path: str | None = None) -> None:
    """Remove every cookie of that name; of one domain, or one path, if they are given."""
    for cookie in list(cookiejar):
        if cookie.name == name and domain in (None, cookie.domain) and path in (None, cookie.path):
            cookiejar.clear(cookie.domain, cookie.path, cookie.name)

"""``compat`` as requests has it: what of the standard library scripts fetch from there."""

from __future__ import annotations

import importlib
import json
from collections import OrderedDict
from collections.abc import Callable, Mapping, MutableMapping
from http import cookiejar as cookielib
from http.cookies import Morsel
from io import StringIO
from json import JSONDecodeError
from typing import Any
from urllib.parse import (
    quote,
    quote_plus,
    unquote,
    unquote_plus,
    urldefrag,
    urlencode,
    urljoin,
    urlparse,
    urlsplit,
    urlunparse,
)
from urllib.request import getproxies, getproxies_environment, parse_http_list, proxy_bypass

try:
    from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # the stubs lack it
except ImportError:  # pragma: no cover - it is in every CPython so far, though undocumented
    proxy_bypass_environment = proxy_bypass

__all__ = [
    "Callable",
    "JSONDecodeError",
    "Mapping",
    "Morsel",
    "MutableMapping",
    "OrderedDict",
    "StringIO",
    "basestring",
    "builtin_str",
    "bytes",
    "cookielib",
    "getproxies",
    "getproxies_environment",
    "has_simplejson",
    "integer_types",
    "is_py2",
    "is_py3",
    "json",
    "numeric_types",
    "parse_http_list",
    "proxy_bypass",
    "proxy_bypass_environment",
    "quote",
    "quote_plus",
    "str",
    "unquote",
    "unquote_plus",
    "urldefrag",
    "urlencode",
    "urljoin",
    "urlparse",
    "urlsplit",
    "urlunparse",
]

builtin_str = str = str  # noqa: A001 - both names are looked up here
bytes = bytes  # noqa: A001
basestring = (str, bytes)
is_py2, is_py3 = False, True
has_simplejson = False
numeric_types = (int, float)
integer_types = (int,)


def __getattr__(name: Any) -> Any:
    """``chardet``: a library that guesses encodings, or None; and what urllib3 is; looked for when they are asked for."""
    if name == "is_urllib3_1":
        from .packages import urllib3

        return str(getattr(urllib3, "__version__", "")).startswith("1.")
    if name != "chardet":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    for library in ("chardet", "charset_normalizer"):
        try:
            return importlib.import_module(library)
        except ImportError:
            pass  # not installed: the next one is asked
    return None

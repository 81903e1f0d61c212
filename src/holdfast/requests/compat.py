"""``compat`` as requests has it: what of the standard library scripts fetch from there."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping, MutableMapping
from json import JSONDecodeError
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

__all__ = [
    "Callable",
    "JSONDecodeError",
    "Mapping",
    "MutableMapping",
    "OrderedDict",
    "basestring",
    "builtin_str",
    "bytes",
    "is_py2",
    "is_py3",
    "json",
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

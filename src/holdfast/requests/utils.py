"""``utils`` as requests has it, as far as it is about what holdfast has too."""

from __future__ import annotations

from ..client import default_headers
from ..message.cookies import cookiejar_from_dict, dict_from_cookiejar
from .compat import quote, unquote, urlparse
from .cookies import add_dict_to_cookiejar
from .structures import CaseInsensitiveDict

__all__ = [
    "CaseInsensitiveDict",
    "add_dict_to_cookiejar",
    "cookiejar_from_dict",
    "default_headers",
    "dict_from_cookiejar",
    "quote",
    "unquote",
    "urlparse",
]

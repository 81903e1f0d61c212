"""``auth`` as requests has it."""

from __future__ import annotations

from typing import Any

from ..auth import AuthBase, BearerAuth, HTTPBasicAuth, HTTPDigestAuth, HTTPProxyAuth, netrc_auth
from ..message.request import basic_authorization
from ._internal_utils import to_native_string
from .compat import basestring, urlparse
from .cookies import extract_cookies_to_jar
from .utils import parse_dict_header

__all__ = ["AuthBase", "BearerAuth", "HTTPBasicAuth", "HTTPDigestAuth", "HTTPProxyAuth", "netrc_auth"]

_HERE_FOR_OTHERS = (basestring, extract_cookies_to_jar, parse_dict_header, to_native_string, urlparse)
CONTENT_TYPE_FORM_URLENCODED = "application/x-www-form-urlencoded"
CONTENT_TYPE_MULTI_PART = "multipart/form-data"


def _basic_auth_str(username: Any, password: Any) -> str:
    """The value of an Authorization field for Basic authentication. Many programs import it, underscore or not."""
    return basic_authorization(
        username if isinstance(username, (str, bytes)) else str(username),
        password if isinstance(password, (str, bytes)) else str(password),
    )

"""Attributes: what spans and metrics say of a request, by the names of the semantic conventions; secrets taken out. Pure.

https://opentelemetry.io/docs/specs/semconv/http/http-spans/, version 1.44 (``SCHEMA_URL``).
"""

from __future__ import annotations

import os
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from ...exceptions import RequestException
from ...message.fields import is_secret
from ...message.url import Url

if TYPE_CHECKING:
    from ...message.headers import Headers
    from ...message.request import PreparedRequest

SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"

KNOWN_METHODS_VARIABLE = "OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS"
EXCLUDED_VARIABLES = ("OTEL_PYTHON_HOLDFAST_EXCLUDED_URLS", "OTEL_PYTHON_EXCLUDED_URLS")
CAPTURED_VARIABLE = "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_"
SANITIZED_VARIABLE = "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SANITIZE_FIELDS"

OTHER = "_OTHER"
# RFC 9110, section 9, RFC 5789, and QUERY as holdfast knows it.
_METHODS = frozenset(("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"))

REDACTED = "REDACTED"
# The conventions', those of earlier versions too; is_secret() knows the names that are made like secrets'.
_SECRET_PARAMETERS = frozenset(
    ("AWSAccessKeyId", "Signature", "X-Amz-Signature", "X-Amz-Credential", "X-Amz-Security-Token", "X-Goog-Signature", "sig")
)
_USERINFO = re.compile(r"^([A-Za-z][A-Za-z0-9+.\-]*://)[^/?#]*@")
_PARAMETER = re.compile(r"(?<=[?&;])([^?&;=#\s]+)=([^&;#\s]*)")


def known_methods() -> frozenset[str]:
    """Methods that are told by their names: the conventions', unless the environment lists others."""
    listed = os.environ.get(KNOWN_METHODS_VARIABLE, "")
    return frozenset(filter(None, map(str.strip, listed.split(",")))) or _METHODS


def redacted(text: str) -> str:
    """A URL, or a text in which there are some, without the values of query parameters that hold secrets."""
    return _PARAMETER.sub(_without_secret, text)


def _without_secret(found: re.Match[str]) -> str:
    name = unquote_plus(found[1])
    secret = name in _SECRET_PARAMETERS or is_secret(name)
    return f"{found[1]}={REDACTED}" if secret else found[0]


def full_url(url: Url) -> str:
    """The URL, without credentials and the values of secret parameters."""
    return redacted(_USERINFO.sub(rf"\1{REDACTED}:{REDACTED}@", url.text))


def server(request: PreparedRequest) -> dict[str, str | int]:
    """``server.address`` and ``server.port``: of the Host field that the program has set, else of the URL."""
    url, given = request.parsed, request.headers.get("Host")
    if given is not None:
        try:
            url = Url.parse(f"{url.scheme}://{given}/")
        except RequestException:
            pass  # a Host field may be anything; the URL says where the request goes
    return {"server.address": url.host, "server.port": url.port}


@lru_cache(maxsize=1024)
def server_of(origin: str) -> tuple[tuple[str, str | int], ...]:
    """The same of an origin as events name it, ``https://example.com:443``; of a proxy, its own."""
    url = Url.parse(next(word for word in origin.split() if "://" in word))
    return ("server.address", url.host), ("server.port", url.port)


def error_type(error: BaseException) -> str:
    """The name of its class, with its module unless that is Python's own."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


# -- what a program chooses by regular expressions ---------------------------------------------------------------------


def _compiled(listed: str, what: str, flags: int = 0) -> re.Pattern[str] | None:
    """The regular expressions of a list with commas, as one; None if there are none."""
    parts = [part for part in map(str.strip, listed.split(",")) if part]
    try:
        return re.compile("|".join(f"(?:{part})" for part in parts), flags) if parts else None
    except re.error as error:
        raise ValueError(f"{what}: {listed!r} has a regular expression that is none: {error}") from None


class UrlPatterns:
    """URLs of which no telemetry is wanted."""

    def __init__(self, listed: str, what: str) -> None:
        self._pattern = _compiled(listed, what)

    @classmethod
    def of(cls, given: str | None) -> UrlPatterns:
        """What the program says, or the environment.

        Raises:
            ValueError: that is not regular expressions with commas between them.
        """
        if given is not None:
            return cls(given, "excluded_urls")
        name = next((name for name in EXCLUDED_VARIABLES if name in os.environ), EXCLUDED_VARIABLES[0])
        return cls(os.environ.get(name, ""), name)

    def match(self, url: str) -> bool:
        """Whether one of them is found in this URL."""
        return self._pattern is not None and self._pattern.search(url) is not None


class CapturedFields:
    """The fields of requests or responses that spans are to have: none, unless the environment lists some.

    Args:
        side: ``request`` or ``response``.
    """

    def __init__(self, side: str) -> None:
        name = CAPTURED_VARIABLE + side.upper()
        self._prefix = f"http.{side}.header."
        self._wanted = _compiled(os.environ.get(name, ""), name, re.IGNORECASE)
        self._secret = _compiled(os.environ.get(SANITIZED_VARIABLE, ""), SANITIZED_VARIABLE, re.IGNORECASE)

    def of(self, headers: Headers) -> dict[str, Any]:
        """Their attributes. The value of a field that holds a secret, by its name or as the environment says, is redacted."""
        found: dict[str, Any] = {}
        if self._wanted is None:
            return found
        for name, value in headers.multi_items():
            if self._wanted.fullmatch(name):
                hidden = is_secret(name) or (self._secret is not None and self._secret.search(name))
                found.setdefault(self._prefix + name.lower(), []).append(f"[{REDACTED}]" if hidden else value)
        return found

"""Header fields one by one: what may stand in one, what is secret in one, and what is written inside a value.

``headers`` has the collection of them. Nothing here remembers anything. Everything a server can write is parsed in
linear time: parameters, Link, charset.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NoReturn

from ..exceptions import InvalidHeader

RawHeaders = list[tuple[bytes, bytes]]
"""Fields as they came off the wire: names in any case, in order, repeated ones apart."""

# RFC 9110 section 5.6.2: token = 1*tchar.
NOT_TCHAR = re.compile(r"[^!#$%&'*+\-.^_`|~0-9A-Za-z]")
"""A character that is in no token: in no method and no field's name."""
# RFC 9110 section 5.5: field-value = *field-content of VCHAR and obs-text, with SP and HTAB between them.
_NOT_IN_VALUE = re.compile(r"[^\t\x20-\x7e\x80-\xff]")
_BLANK = (" ", "\t")


# -- what may be sent


def is_token(text: str) -> bool:
    """Whether ``text`` is a token (RFC 9110 section 5.6.2), as methods and fields' names are."""
    return text != "" and NOT_TCHAR.search(text) is None


def encode_name(name: str) -> bytes:
    """A field's name as it is sent; InvalidHeader if it is no token (RFC 9110 section 5.1)."""
    wrong = NOT_TCHAR.search(name)
    if wrong is not None:
        raise InvalidHeader(
            f"header name {cut(name)}: {wrong[0]!r} at position {wrong.start()} is not allowed in a name"
        )
    if not name:
        raise InvalidHeader("a header's name is empty")
    return name.encode("ascii")


def encode_value(name: str, value: str) -> bytes:
    """A field's value as it is sent; InvalidHeader, naming the field, if it may not stand in one (RFC 9110 section 5.5)."""
    if _NOT_IN_VALUE.search(value) is not None or value[:1] in _BLANK or value[-1:] in _BLANK:
        _refuse_value(name, value)
    return value.encode("latin-1")


def _refuse_value(name: str, value: str) -> NoReturn:
    wrong = _NOT_IN_VALUE.search(value)
    if wrong is None:
        position = 0 if value[0] in " \t" else len(value) - 1
        raise InvalidHeader(
            f"header {cut(name)}: whitespace at position {position}, at an end of the value; strip it"
        )
    what = "control character" if wrong[0] <= "\xff" else "not ISO-8859-1 (for another encoding give bytes):"
    raise InvalidHeader(f"header {cut(name)}: {what} {wrong[0]!r} at position {wrong.start()} of the value")


def encode_reason(reason: str) -> bytes:
    """A reason phrase as it is sent; InvalidHeader if it may not stand in a status line (RFC 9112 section 4)."""
    wrong = _NOT_IN_VALUE.search(reason)
    if wrong is not None:
        what = "control character" if wrong[0] <= "\xff" else "not ISO-8859-1:"
        raise InvalidHeader(f"reason phrase {cut(reason)}: {what} {wrong[0]!r} at position {wrong.start()}")
    return reason.encode("latin-1")


def cut(name: str) -> str:
    """A name for a message: quoted, at most 100 characters."""
    shown = repr(name)
    return shown if len(shown) <= 100 else shown[:97] + "..."


# -- what is secret

SECRET_HEADERS = frozenset(
    (
        "authorization",
        "proxy-authorization",
        "cookie",
        "cookie2",
        "set-cookie",
        "set-cookie2",
        "api-key",
        "x-api-key",
        "x-auth",
        "x-auth-token",
        "x-csrf-token",
        "x-amz-security-token",
    )
)
"""Fields that hold a credential, in lower case. ``is_secret`` knows these, and the names that are made like them."""

# No list of services is complete, but their names are made alike: X-Goog-Api-Key, Private-Token, X-MBX-APIKEY,
# X-Hub-Signature-256. The last word counts; it may be joined to the one before it, and a number or a hash may follow.
_SECRET_ENDING = (  # compiled at the first redirect to another origin
    r"(?:^|[-_])(?:api|access|auth|client|csrf|private|secret|session|xsrf)?"
    r"(?:keys?|tokens?|secrets?|signature|password|passwd|passphrase|credentials?)(?:[-_]?(?:sha)?[-_]?[0-9]{1,3})?$"
)
_NOT_SECRET = frozenset(
    (
        # They name an operation, so that it is done once, wherever a redirect leads it.
        "idempotency-key",
        "x-idempotency-key",
        # A nonce that shows that the server speaks WebSocket, not who asks (RFC 6455 section 1.3).
        "sec-websocket-key",
        # They say under which names caches keep a response.
        "surrogate-key",
        "x-surrogate-key",
        "cache-key",
        "x-cache-key",
        # Where in a distributed store something is.
        "partition-key",
        "x-partition-key",
        # It names a lock, and every reader of the resource is told its name; the right to use it comes from Authorization
        # (RFC 4918 sections 6.4 and 6.5).
        "lock-token",
    )
)


def is_secret(name: str) -> bool:
    """Whether a field of that name, in any case, holds what proves who is asking: not for reprs, nor for other origins."""
    name = name.lower()
    if name in SECRET_HEADERS:
        return True
    return name not in _NOT_SECRET and ("authorization" in name or re.search(_SECRET_ENDING, name) is not None)


# -- of fields as they came off the wire, where a whole Headers would be too much


def has_field(raw: list[tuple[bytes, bytes]], name: bytes) -> bool:
    """Whether there is a field of that name, which is given in lower case."""
    size = len(name)
    return any(len(key) == size and key.lower() == name for key, _ in raw)


def field_of(raw: list[tuple[bytes, bytes]], name: bytes) -> str:
    """The joined values of a field, "" if there is none. ``name`` in lower case."""
    size = len(name)
    values = [value for key, value in raw if len(key) == size and key.lower() == name]
    return b", ".join(values).decode("latin-1") if values else ""


# -- what is written inside a value


def declared_encoding(content_type: str) -> str | None:
    """The charset parameter of a Content-Type, UTF-8 for application/json, or None."""
    kind, parameters = parse_parameters(content_type)
    charset = parameters.get("charset")
    if charset:
        return charset
    return "utf-8" if kind.strip().lower() == "application/json" else None


def parse_links(value: str) -> Iterator[dict[str, str]]:
    """The links of a Link field (RFC 8288): the parameters of each, and its target as ``url``."""
    for member in _outside_quotes(value, ","):
        target, parameters = parse_parameters(member)
        target = target.strip()
        if target.startswith("<") and target.endswith(">"):
            yield {"url": ""} | parameters | {"url": target[1:-1]}  # the target first, and no parameter in its place


def parse_parameters(text: str) -> tuple[str, dict[str, str]]:
    """``value; name=token; name="quoted"``: the value, and the parameters; the first of a name counts."""
    value, *rest = _outside_quotes(text, ";")
    parameters: dict[str, str] = {}
    for part in rest:
        name, equals, content = part.partition("=")
        if equals:
            parameters.setdefault(name.strip().lower(), content.strip().strip("'\""))
    return value, parameters


def _outside_quotes(text: str, separator: str) -> list[str]:
    """Split at separators that are neither in a quoted string nor in ``<>``, in one pass."""
    parts: list[str] = []
    start = position = 0
    end_of_quote = ""
    while position < len(text):
        char = text[position]
        if end_of_quote:
            if char == "\\" and end_of_quote == '"':
                position += 1
            elif char == end_of_quote:
                end_of_quote = ""
        elif char == '"' or char == "<":
            end_of_quote = '"' if char == '"' else ">"
        elif char == separator:
            parts.append(text[start:position])
            start = position + 1
        position += 1
    parts.append(text[start:])
    return parts

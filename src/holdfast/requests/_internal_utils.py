"""``_internal_utils`` as requests has it: two small functions that some programs import from there."""

from __future__ import annotations

import re

HEADER_VALIDATORS: dict[type, tuple[re.Pattern[str], re.Pattern[str]] | tuple[re.Pattern[bytes], re.Pattern[bytes]]] = {
    str: (re.compile(r"[^:\s][^:\r\n]*\Z"), re.compile(r"\Z|\S[^\r\n]*\Z")),
    bytes: (re.compile(rb"[^:\s][^:\r\n]*\Z"), re.compile(rb"\Z|\S[^\r\n]*\Z")),
}
"""Patterns of a header's name and value, by their type."""


def to_native_string(string: str | bytes, encoding: str = "ascii") -> str:
    """``string`` as str, decoded if it is bytes."""
    return string if isinstance(string, str) else string.decode(encoding)


def unicode_is_ascii(u_string: str) -> bool:
    """Whether the text is ASCII."""
    return u_string.isascii()

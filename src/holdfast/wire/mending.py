"""Heads that h11 refuses and that are read all the same, and lines of the chunked coding that it would wait for in vain. Pure.

Imported when the first of them comes: most programs never meet one.

What h11 refuses and other clients read is read here too where they all read the same, and the connection ends behind it:

| the head | the body |
|---|---|
| chunked more than once, with ``identity`` or empty elements in the list | its chunks: applied once (section 7.1 forbids more) |
| only ``identity`` or empty elements, which name no coding | as without a Transfer-Encoding |
| a Content-Length that is no number, or several, beside chunked or with a status without a body | as these say (section 6.3) |
| another coding, with a status without a body, or in answer to HEAD, or a CONNECT that succeeds | none (section 6.3) |

Everything else stays refused: a body in another coding than chunked; a Content-Length that counts and is empty, signed or
ambiguous, since section 6.3 has the response discarded, and other clients do not agree on where it would end.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .framing import RawHeaders, has_no_body

_HEAD_END = re.compile(rb"\n\r?\n")
_STATUS = re.compile(rb"HTTP/1\.[0-9] ([2-9][0-9][0-9])[ \r\n]")
_FRAMING_FIELD = re.compile(
    rb"^(transfer-encoding|content-length):([^\n]*(?:\n[ \t][^\n]*)*)\n", re.IGNORECASE | re.MULTILINE
)
_FOLD = re.compile(rb"\r?\n[ \t]+")
_LENGTH = re.compile(rb"[0-9]{1,20}")
_CHUNKED_LINE = b"Transfer-Encoding: chunked\r\n"


class Mended(NamedTuple):
    """A head that h11 reads, made of one that it refuses: the fields that it must not see have another name.

    Attributes:
        received: the head, and what came behind it.
        alias: the other name.
        names: the names themselves, in order.
        added: whether a Transfer-Encoding of our own stands behind the other fields.
    """

    received: bytes
    alias: bytes
    names: list[bytes]
    added: bool

    def restore(self, fields: RawHeaders) -> RawHeaders:
        """The fields as they came."""
        names = iter(self.names)
        kept = fields[:-1] if self.added else fields
        return [(next(names), value) if name == self.alias else (name, value) for name, value in kept]


def mend(received: bytes, method: bytes) -> Mended | None:
    """``received`` with a head that h11 reads, if the second table above has a row for it; else None: it stays refused.

    Args:
        received: all that has come since the head's first byte; the head is complete.
        method: of the request.
    """
    end = _HEAD_END.search(received)
    status = _STATUS.match(received)
    if end is None or status is None:
        return None
    head, rest = received[: end.start() + 1], received[end.start() + 1 :]
    found = [(match[1].lower(), _FOLD.sub(b" ", match[2]).strip(b" \t\r").lower()) for match in _FRAMING_FIELD.finditer(head)]
    transfer = [value for name, value in found if name == b"transfer-encoding"]
    lengths = [value for name, value in found if name == b"content-length"]
    codings = {coding.strip(b" \t") for value in transfer for coding in value.split(b",")} - {b"identity", b""}
    is_bare = has_no_body(method, int(status[1]))
    if codings - {b"chunked"}:
        if not is_bare:
            return None
        codings = set()
    hidden = set()
    if transfer and transfer != [b"chunked"]:
        hidden.add(b"transfer-encoding")
    if lengths and not _is_one_number(lengths):
        if not codings and not is_bare:
            return None
        hidden.add(b"content-length")
    return _hide(head, rest, hidden, chunked=bool(codings)) if hidden else None


def _is_one_number(lengths: list[bytes]) -> bool:
    numbers = {number.strip(b" \t") for value in lengths for number in value.split(b",")}
    return len(numbers) == 1 and _LENGTH.fullmatch(numbers.pop()) is not None


def _hide(head: bytes, rest: bytes, hidden: set[bytes], *, chunked: bool) -> Mended:
    alias = b"holdfast-hidden"
    while alias in head.lower():
        alias += b"-"
    names: list[bytes] = []

    def rename(field: re.Match[bytes]) -> bytes:
        if field[1].lower() not in hidden:
            return field[0]
        names.append(field[1])
        return alias + b":" + field[2] + b"\n"

    added = chunked and b"transfer-encoding" in hidden
    return Mended(_FRAMING_FIELD.sub(rename, head) + (_CHUNKED_LINE if added else b"") + rest, alias, names, added)


# -- chunks that will never be any ---------------------------------------------------------------------------------------

_BEGINS_A_LINE = re.compile(
    rb"""
    [0-9A-Fa-f]{1,20} [ \t]* (?: ; [^\n]* )? \r?  # a chunk's size, whose line CRLF alone can end: a LF would not be the end to all
    | [-!\#$%&'*+.^_`|~0-9A-Za-z]* (?: : .* )?  # or trailer fields
    | \r
    """,
    re.VERBOSE | re.DOTALL,
)


def may_become_a_line(begun: bytes) -> bool:
    """Whether the start of a chunk's size line, or of the trailer fields, can still become one; if not, waiting is in vain."""
    return _BEGINS_A_LINE.fullmatch(begun) is not None

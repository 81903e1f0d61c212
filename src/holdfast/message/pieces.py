"""Bodies in pieces: what is done with the bytes of a request's or a response's body when they do not come whole.

Laws:

1. How a body was cut into pieces makes no difference to what comes out: not to lines, characters, delimiters or counts.
2. Each byte is looked at a bounded number of times, however small the pieces are and however long the lines.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import Any

from .._numbers import number_of
from ..exceptions import InvalidRequest

PIECE = 64 * 1024
"""Bytes: the most that a piece of a body has when the caller gives no size."""

MAX_EVENT_BYTES = 1 << 20
"""Bytes: the most that one event of an event stream may have when the caller gives no bound."""

_MAX_CHARSET = 40
# They are no charsets of text on the web, and they are slow (quadratic) or warn about what they meet.
_NOT_CHARSETS = frozenset(("idna", "punycode", "raw-unicode-escape", "unicode-escape", "undefined"))


def exact_bytes(piece: Any) -> bytes:
    """One piece of a response's body that came from no server. TypeError if it is not bytes-like: a number is none, nor is text."""
    if isinstance(piece, bytes):
        return piece
    try:
        return bytes(memoryview(piece))
    except TypeError:
        raise TypeError(f"a piece of a body is a {type(piece).__name__}: expected bytes") from None


# -- of a request's body: what the user gave


def as_bytes(piece: Any) -> bytes:
    """The bytes of one piece of a body: bytes-like as it is, str in UTF-8.

    Raises:
        InvalidRequest: neither, or a str that UTF-8 cannot hold.
    """
    if isinstance(piece, bytes):
        return piece
    if isinstance(piece, str):
        try:
            return piece.encode("utf-8")
        except UnicodeEncodeError as error:
            raise InvalidRequest(
                f"text of the body cannot be encoded: lone surrogate U+{ord(piece[error.start]):04X} at character "
                f"{error.start} of {len(piece)}; encode it to bytes yourself"
            ) from error
    if isinstance(piece, (bytearray, memoryview)):
        return bytes(piece)
    raise InvalidRequest(f"a body is made of bytes or str, but a piece of it is of type {type(piece).__name__}")


def counted(pieces: Iterator[Any], length: int | None) -> Iterator[bytes]:
    """``pieces`` as bytes, cut to at most 64 KiB, as long as they keep the promise that ``length`` is."""
    sent = 0
    for raw in pieces:
        piece = as_bytes(raw)
        sent += len(piece)
        if length is not None and sent > length:
            came, said = number_of(sent, "byte"), number_of(length, "was", "were")
            raise InvalidRequest(f"the body is longer than its length: {came} or more, {said} announced")
        if 0 < len(piece) <= PIECE:
            yield piece
        else:
            for start in range(0, len(piece), PIECE):
                yield piece[start : start + PIECE]
    if length is not None and sent < length:
        raise too_short(sent, length)


def too_short(sent: int, length: int) -> InvalidRequest:
    """The error of a body that ended before its length."""
    return InvalidRequest(f"the body is shorter than its length: it ended after {sent} of {number_of(length, 'announced byte')}")


# -- of a response's body: what the user asked for


def check_chunk_size(chunk_size: Any) -> None:
    """TypeError or ValueError, with requests' words, if it is no positive int and not None."""
    if chunk_size is None:
        return
    if isinstance(chunk_size, bool) or not isinstance(chunk_size, int):
        raise TypeError(f"chunk_size must be an int, it is instead a {type(chunk_size)}.")
    if chunk_size < 1:
        raise ValueError(f"chunk_size must be at least 1 byte, not {chunk_size}; None gives pieces as they arrive")


def slices(data: bytes, size: int | None) -> Iterator[bytes]:
    """``data`` in pieces of ``size`` bytes, the last one shorter; in one piece if ``size`` is None."""
    size = size or len(data) or 1
    for start in range(0, len(data), size):
        yield data[start : start + size]


def decoded(pieces: Iterator[bytes], encoding: str) -> Iterator[str]:
    """``pieces`` as text; what is not valid in ``encoding`` is replaced by U+FFFD."""
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    for piece in pieces:
        if text := decoder.decode(piece):
            yield text
    if text := decoder.decode(b"", True):
        yield text


def lines(pieces: Iterator[Any]) -> Iterator[Any]:
    """Lines as ``splitlines()`` finds them in the whole, wherever it was cut into pieces."""
    pending: list[Any] = []
    after_cr = False
    for piece in pieces:
        newline, carriage_return = ("\n", "\r") if isinstance(piece, str) else (b"\n", b"\r")
        if after_cr and piece[:1] == newline:
            piece = piece[1:]  # the second half of a CR LF whose line was given out already
        after_cr = False
        found = piece.splitlines()
        if not found:
            continue
        # No line holds a line end, so the last line is open if it ends with the piece's last character.
        is_open = found[-1][-1:] == piece[-1:]
        after_cr = piece[-1:] == carriage_return
        for line in found[:-1] if is_open else found:
            yield _close_line(pending, line)
        if is_open:
            pending.append(found[-1])
    if pending:
        yield _close_line(pending)


def _close_line(pending: list[Any], *last: Any) -> Any:
    if not pending:
        return last[0]
    line = pending[0][:0].join((*pending, *last))
    pending.clear()
    return line


def split_at(pieces: Iterator[Any], delimiter: Any) -> Iterator[Any]:
    """What ``split(delimiter)`` makes of the whole, wherever it was cut into pieces."""
    keep = len(delimiter) - 1
    pending: list[Any] = []
    tail = delimiter[:0]
    for piece in pieces:
        parts = (tail + piece).split(delimiter)
        for part in parts[:-1]:
            yield _close_line(pending, part)
        # What may be the first half of a delimiter is looked at again; what comes before it never is.
        rest = parts[-1]
        cut = max(len(rest) - keep, 0)
        pending.append(rest[:cut])
        tail = rest[cut:]
    if pending:
        yield _close_line(pending, tail)


def text_codec(encoding: str | None) -> str | None:
    """``encoding`` if Python has a text codec of that name, else None."""
    # Python remembers every name it was asked for, so names no codec can have are not asked for.
    if not encoding or len(encoding) > _MAX_CHARSET or not encoding.isascii() or not encoding.isprintable():
        return None
    try:
        found = codecs.lookup(encoding)
    except LookupError:
        return None
    is_text = getattr(found, "_is_text_encoding", True)
    return found.name if is_text and found.name.replace("_", "-") not in _NOT_CHARSETS else None

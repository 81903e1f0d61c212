"""multipart/form-data (RFC 7578), streamed: as large as the disk, in memory of one piece.

Laws:

1. Each part is a Body, so whatever is known of bodies (length, replay, nothing taken early) is known of parts, and
   the whole has a length exactly if all parts have one.
2. No name, file name or header of a part can end its own line or the part's head: names are escaped, headers with
   control characters refused.
3. The boundary is 128 random bits that no one can foresee, so no content can contain it, nor be made to.
4. For ordinary forms the bytes on the wire are those of requests.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..exceptions import InvalidHeader, InvalidRequest
from .body import Body, BytesBody, form_pairs, stream_body
from .fields import is_token
from .pieces import PIECE, as_bytes

# RFC 2046 section 5.1.1: 1 to 70 of these, and no space at the end.
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
# The HTML standard, "Multipart form data", escapes these three. The other controls (which it lets through) are
# escaped alike: a NUL in a file name must not end a header of a C program either.
_TO_ESCAPE = re.compile(rb'["\x00-\x08\x0a-\x1f\x7f]')
_OURS = (b"content-disposition", b"content-type")


class MultipartBody(Body):
    """A form with files.

    Args:
        fields: the other fields, which come first: a mapping or an iterable of (name, value) pairs. A list of values
            repeats the name, None is left out, everything else that is neither str nor bytes is written with str().
        files: a mapping or an iterable of (name, file) pairs, where a file is the content itself, or (filename,
            content), (filename, content, content_type) or (filename, content, content_type, headers). The content is
            bytes, str, a file or an iterable of bytes; a file without a filename has its own name's last
            part, or the field's name; filename None sends none; content None leaves the part out.
        boundary: what separates the parts; random unless given.

    Raises:
        InvalidRequest: a file is in none of these forms, or the boundary is not allowed or occurs in the content.
        InvalidHeader: a header of a part holds a control character, or is no header.
    """

    __slots__ = ("_end", "_parts", "boundary")

    @property
    def travels(self) -> bool:
        """Whether all parts do."""
        return all(content.travels for _, content in self._parts)

    def __init__(self, fields: Any, files: Any, boundary: str | None = None) -> None:
        self.boundary = secrets.token_hex(16) if boundary is None else _checked_boundary(boundary)
        delimiter = b"--" + self.boundary.encode("ascii")
        self._end = delimiter + b"--\r\n"
        self._parts = [
            (delimiter + b"\r\n" + head, content) for head, content in (*_field_parts(fields), *_file_parts(files))
        ]
        if boundary is not None:
            self._refuse_boundary_in_content(delimiter)
        super().__init__(
            self._total_length(), all(content.replayable for _, content in self._parts), self._content_type()
        )
        self.data = self._in_memory()

    def _pieces(self) -> Iterator[bytes]:
        """Heads and content repacked: a form of many small fields is a few writes, not hundreds."""
        waiting = bytearray()
        for head, content in self._parts:
            waiting += head
            for piece in content.chunks():
                waiting += piece
                # What is produced while it is sent must not wait for 64 KiB to come together.
                yield from _full_pieces(waiting, 1 if content.length is None else PIECE)
            waiting += b"\r\n"
        waiting += self._end
        yield from _full_pieces(waiting, 1)

    def _go_back(self) -> None:
        for _, content in self._parts:
            content.rewind()

    def _name(self) -> str:
        parts = ", ".join(repr(content) for _, content in self._parts if not content.replayable)
        return f"MultipartBody with {parts}" if parts else "MultipartBody"

    def _content_type(self) -> str:
        boundary = self.boundary if is_token(self.boundary) else f'"{self.boundary}"'
        return f"multipart/form-data; boundary={boundary}"

    def _total_length(self) -> int | None:
        total = len(self._end)
        for head, content in self._parts:
            if content.length is None:
                return None
            total += len(head) + content.length + 2
        return total

    def _in_memory(self) -> bytes | None:
        """All of it, if it is small and in memory anyway; a large one is not worth a second copy."""
        if self.length is None or self.length > PIECE:
            return None
        contents = [(head, content.data) for head, content in self._parts if content.data is not None]
        if len(contents) < len(self._parts):
            return None
        return b"".join(part for head, data in contents for part in (head, data, b"\r\n")) + self._end

    def _refuse_boundary_in_content(self, delimiter: bytes) -> None:
        for _, content in self._parts:
            if content.data is not None and delimiter in content.data:
                raise InvalidRequest(f"the boundary {self.boundary!r} occurs in the content; leave it to be random")


def _full_pieces(waiting: bytearray, at_least: int) -> Iterator[bytes]:
    while len(waiting) >= at_least:
        yield bytes(waiting[:PIECE])
        del waiting[:PIECE]


def _checked_boundary(boundary: str) -> str:
    if not _BOUNDARY.fullmatch(boundary):
        raise InvalidRequest(f"boundary {boundary[:100]!r}: RFC 2046 allows 1 to 70 letters, digits and '()+_,-./:=?")
    return boundary


# ---------------------------------------------------------------------------------------- parts


def _field_parts(fields: Any) -> Iterator[tuple[bytes, Body]]:
    for name, value in form_pairs(_pairs("data", fields)):
        yield _head(name, None, None, None), BytesBody(value if isinstance(value, bytes) else as_bytes(str(value)))


def _file_parts(files: Any) -> Iterator[tuple[bytes, Body]]:
    for name, value in _named(_pairs("files", files)):
        filename, content, content_type, headers = _file_tuple(name, value)
        if content is not None:
            yield _head(name, filename, content_type, headers), _content(content)


def _pairs(argument: str, value: Any) -> Iterable[Any]:
    if value is None:
        return ()
    if isinstance(value, Mapping):
        return value.items()
    if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__"):
        raise InvalidRequest(f"{argument}= is of type {type(value).__name__}, not a dict or a list of pairs")
    pairs: Iterable[Any] = value
    return pairs


def _named(pairs: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    for item in pairs:
        try:
            name, value = item
        except (TypeError, ValueError) as error:
            raise InvalidRequest(f"an item of files= is no (name, file) pair but {type(item).__name__}") from error
        yield name, value


def _file_tuple(name: Any, value: Any) -> tuple[Any, Any, Any, Any]:
    """(filename, content, content_type, headers), whichever of requests' forms it came in."""
    if not isinstance(value, (tuple, list)):
        return guess_filename(value) or name, value, None, None
    if not 2 <= len(value) <= 4:
        raise InvalidRequest(
            f"a file in files= is a tuple of {len(value)}; it is (filename, content), "
            "(filename, content, content_type) or (filename, content, content_type, headers)"
        )
    filename, content, content_type, headers = (*value, None, None)[:4]
    return filename, content, content_type, headers


def guess_filename(file: Any) -> str | bytes | None:
    """The last part of a file's own name; None if it has none (``<stdin>`` and the like are not names)."""
    name = getattr(file, "name", None)
    if isinstance(name, bytes):
        return os.path.basename(name)
    if isinstance(name, str) and name and name[0] != "<" and name[-1] != ">":
        return os.path.basename(name)
    return None


def _content(content: Any) -> Body:
    if isinstance(content, (str, bytes, bytearray, memoryview)):
        return BytesBody(as_bytes(content))
    if isinstance(content, int):
        return BytesBody(str(content).encode("ascii"))
    return stream_body(content)


# ---------------------------------------------------------------------------------------- heads


def _head(name: Any, filename: Any, content_type: Any, headers: Any) -> bytes:
    """A part's header lines and the empty line that ends them."""
    disposition = b'form-data; name="' + _escaped("name", name if isinstance(name, (str, bytes)) else str(name)) + b'"'
    if filename is not None:
        disposition += b'; filename="' + _escaped("filename", filename) + b'"'
    lines = [b"Content-Disposition: " + disposition]
    others = _headers(headers)
    if not content_type:
        content_type = next((value for field, value in others if field.lower() == b"content-type"), None)
    if content_type:
        lines.append(b"Content-Type: " + _field_value("Content-Type", content_type))
    lines += [field + b": " + value for field, value in others if field.lower() not in _OURS]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def _headers(headers: Any) -> list[tuple[bytes, bytes]]:
    if not headers:
        return []
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return [(_field_name(name), _field_value(name, value)) for name, value in pairs if value]


def _field_name(name: Any) -> bytes:
    text = name.decode("latin-1") if isinstance(name, bytes) else name
    if not isinstance(text, str) or not is_token(text):
        raise InvalidHeader(f"{name!r:.100} is no name for a header of a part: RFC 9110 wants a token")
    return text.encode("ascii")


def _field_value(name: Any, value: Any) -> bytes:
    data = as_bytes(value if isinstance(value, (str, bytes)) else str(value))
    control = _CONTROL.search(data)
    if control:
        raise InvalidHeader(
            f"the part's header {name!r:.100} has a control character (0x{control[0][0]:02x}) at byte {control.start()}"
        )
    return data


def _escaped(what: str, text: Any) -> bytes:
    """A name or file name for between quotes: UTF-8, with what could end the quotes or the line as %XX."""
    if not isinstance(text, (str, bytes)):
        raise InvalidRequest(f"a part's {what} is of type {type(text).__name__}, not str or bytes")
    return _TO_ESCAPE.sub(lambda match: b"%%%02X" % match[0][0], _name_bytes(text))


def _name_bytes(text: str | bytes) -> bytes:
    if isinstance(text, bytes):
        return text
    try:
        # Names from the file system carry bytes that are not UTF-8 as surrogates: send the bytes.
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return as_bytes(text)  # says what is wrong

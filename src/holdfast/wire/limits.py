"""How large what a server sends around its bodies may be: heads, trailers, and the framing of chunks.

h11 limits events that are incomplete only. What is whole when it arrives is measured here.
"""

from __future__ import annotations

from .._numbers import number_of
from ..exceptions import HeadersTooLarge
from .failures import InvalidFraming, quote, too_large
from .framing import RawHeaders

MAX_HEAD_BYTES = 64 * 1024
MAX_FIELDS = 256
MAX_TRAILER_BYTES = 16 * 1024
MAX_INFORMATIONAL_RESPONSES = 32
MAX_CHUNK_OVERHEAD_BYTES = 16 * 1024  # plus a quarter of the payload, plus CHUNK_FRAMING_BYTES per chunk
CHUNK_FRAMING_BYTES = 24  # size in hex, and two CRLFs: what an honest chunk costs at most
MAX_INCOMPLETE_EVENT_BYTES = 100 * 1024
MAX_LINE_BYTES_CHECKED = 1024  # of a chunk's size line that is not complete: each time more of it comes


def check_head(fields: RawHeaders, fed: int) -> None:
    """A complete head. ``fed``: bytes that came since its first one, some of which may be the body's."""
    if len(fields) > MAX_FIELDS:
        raise too_large(f"{len(fields)} header fields in the response; at most {MAX_FIELDS} are accepted")
    if fed > MAX_HEAD_BYTES:
        size = _size(fields)
        if size > MAX_HEAD_BYTES:
            raise too_large(f"a response head of {size} bytes; at most {MAX_HEAD_BYTES} are accepted")


def check_trailers(trailers: RawHeaders) -> RawHeaders:
    """The fields behind a chunked body, if they are not too large."""
    size = _size(trailers)
    if size > MAX_TRAILER_BYTES or len(trailers) > MAX_FIELDS:
        raise HeadersTooLarge(
            f"{number_of(len(trailers), 'trailer field')} of {number_of(size, 'byte')}; "
            f"at most {MAX_FIELDS} fields and {MAX_TRAILER_BYTES} bytes are accepted"
        )
    return trailers


def check_chunks(begun: bytes, fed: int, payload: int, chunks: int) -> None:
    """A chunked body so far.

    Args:
        begun: the start of a chunk's size line, or of the trailers, for whose end h11 would wait.
        fed: bytes of the body that came.
        payload: bytes of payload in them.
        chunks: how many were begun.
    """
    if begun:
        _check_line(begun, payload)
    if fed - payload - chunks * CHUNK_FRAMING_BYTES > MAX_CHUNK_OVERHEAD_BYTES + payload // 4:
        raise HeadersTooLarge(
            f"{fed - payload} bytes of chunk framing around {number_of(payload, 'byte')} of body; "
            f"at most {MAX_CHUNK_OVERHEAD_BYTES} and a quarter of the body are accepted"
        )


def _check_line(begun: bytes, payload: int) -> None:
    from .mending import may_become_a_line

    if not may_become_a_line(begun[:MAX_LINE_BYTES_CHECKED]):
        raise InvalidFraming(
            f"the body's chunked framing is damaged after {number_of(payload, 'byte')}: "
            f"no chunk's size and CRLF, but {quote(begun)}"
        )


def _size(fields: RawHeaders) -> int:
    return sum(len(name) + len(value) + 4 for name, value in fields)

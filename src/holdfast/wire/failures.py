"""What went wrong on the wire, told to people: whose fault it is, and what was said, cut short."""

from __future__ import annotations

from ..exceptions import ChunkedEncodingError, HeadersTooLarge, RemoteProtocolError
from ..reasons import Delivery, ExchangeFailed

MAX_QUOTED = 100  # bytes of the server's, or characters of a library's, in one message


class InvalidFraming(RemoteProtocolError, ChunkedEncodingError):
    """Both by nature: what came is not HTTP, and what is broken is the chunked coding, which has a name in requests."""


def not_http(message: str) -> ExchangeFailed:
    """The head of the response is none."""
    return ExchangeFailed(RemoteProtocolError(message), Delivery.ANSWERED)


def too_large(message: str) -> ExchangeFailed:
    """The head of the response exceeds a limit."""
    return ExchangeFailed(HeadersTooLarge(message), Delivery.ANSWERED)


def is_tls_error(error: Exception | None) -> bool:
    """Whether TLS itself failed; an end of file that ``ssl`` reports is not meant."""
    # ssl is not imported for plain http; its errors carry their library's name.
    return isinstance(error, OSError) and type(error).__module__ == "ssl" and "EOF" not in type(error).__name__


def text(error: Exception) -> str:
    """What it says, cut short: h11 quotes whole lines of the server's."""
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__)[:MAX_QUOTED]


def quote(data: bytes) -> str:
    """The beginning of what the server sent, with escapes."""
    return repr(bytes(data[:MAX_QUOTED])) + ("…" if len(data) > MAX_QUOTED else "")

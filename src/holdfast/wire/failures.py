"""What went wrong on the wire, told to people: whose fault it is, and what was said, cut short."""

from __future__ import annotations

import h11

from .._numbers import number_of
from ..exceptions import (
    ChunkedEncodingError,
    ConnectionLost,
    HeadersTooLarge,
    IncompleteBody,
    ReadTimeout,
    RemoteProtocolError,
    RequestException,
    SSLError,
)
from ..reasons import Delivery, ExchangeFailed

MAX_QUOTED = 100  # bytes of the server's, or characters of a library's, in one message
BROKEN_HEAD = "the connection broke in the middle of the response head"


class InvalidFraming(RemoteProtocolError, ChunkedEncodingError):
    """Both by nature: what came is not HTTP, and what is broken is the chunked coding, which has a name in requests."""

def not_http(message: str) -> ExchangeFailed:
    """The head of the response is none."""
    return ExchangeFailed(RemoteProtocolError(message), Delivery.ANSWERED)


def too_large(message: str) -> ExchangeFailed:
    """The head of the response exceeds a limit."""
    return ExchangeFailed(HeadersTooLarge(message), Delivery.ANSWERED)


def progress(received: int, expected: int | None) -> str:
    """How much of a body has come."""
    return number_of(received, "byte") if expected is None else f"{received} of {number_of(expected, 'byte')}"


def lost(cause: Exception, write_error: OSError | None, delivery: Delivery) -> RequestException:
    """The connection broke before the response head was complete."""
    if is_tls_error(cause):
        return SSLError(f"TLS failed while the response was awaited: {text(cause)}")
    if delivery is Delivery.ANSWERED:
        return ConnectionLost(f"{BROKEN_HEAD}: {text(cause)}")
    return ConnectionLost(
        f"the server closed the connection without a response: {text(write_error or cause)}",
        may_have_executed=delivery is Delivery.UNKNOWN,
    )


def no_head(write_error: OSError | None, read_timeout: float | None, fed: int) -> RequestException:
    """The time for the head of the response is over; ``fed`` bytes of it came."""
    if write_error is not None:
        return ConnectionLost(f"the server stopped taking the request and did not answer: {text(write_error)}")
    came = f" ({number_of(fed, 'byte')} of it came)" if fed else ""
    return ReadTimeout(f"no complete response head within timeouts.read={read_timeout} s{came}")


def cut_short(message: str, received: int, expected: int | None) -> IncompleteBody:
    """The connection ended before the body did."""
    return IncompleteBody(f"{message} ({progress(received, expected)} came)", received=received, expected=expected)


def broken_body(cause: Exception, received: int, expected: int | None, *, ended: bool) -> RequestException:
    """The body cannot be read on. ``ended``: the connection is at its end."""
    if is_tls_error(cause):
        return SSLError(f"TLS failed in the middle of the body ({progress(received, expected)} came): {text(cause)}")
    if isinstance(cause, h11.RemoteProtocolError) and not ended:
        return InvalidFraming(f"the body's chunked framing is damaged after {number_of(received, 'byte')}: {text(cause)}")
    reason = "" if ended else f": {text(cause)}"
    return cut_short(f"the connection ended before the body did{reason}", received, expected)


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

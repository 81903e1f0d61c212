"""Every error holdfast raises, and whose fault it is.

    RequestException(OSError)              .request .response: what was asked, what came back (or None)
    ├── HTTPError                          raise_for_status(): the server answered 4xx or 5xx
    ├── ConnectionError                    the network or the server broke the exchange
    │   ├── ConnectTimeout (also Timeout)  no connection within timeouts.connect (DNS, TCP, TLS together)
    │   ├── SSLError                       the TLS handshake or a TLS record failed
    │   ├── ProxyError                     the proxy refused or broke
    │   ├── PoolTimeout (also Timeout)     every connection stayed in use for timeouts.pool seconds
    │   ├── WriteTimeout (also Timeout)    the server stopped reading the request
    │   ├── BodyReadTimeout (ReadTimeout)  the server stopped sending the body
    │   ├── ConnectionLost                 it broke before the head of the response; may_have_executed says more
    │   └── RemoteProtocolError            what arrived is not HTTP/1.x; may_have_executed here too
    │       └── HeadersTooLarge            a head, trailer or chunk overhead beyond its bound
    ├── Timeout
    │   ├── ReadTimeout                    no response head within timeouts.read seconds
    │   └── TotalTimeout                   timeouts.total is used up, in whatever phase
    ├── ChunkedEncodingError
    │   └── IncompleteBody                 the connection ended before the body did
    ├── ContentDecodingError               gzip, deflate, br or zstd data is corrupt or cut short
    │   └── DecodedTooLarge                it decodes to more than max_decoded
    ├── EventStreamError                   iter_events() of what is no event stream
    │   └── EventTooLarge                  an event of the stream has more than max_event_bytes
    ├── TooManyRedirects
    ├── UnrewindableBodyError              a body that was consumed cannot be sent again
    ├── StreamConsumedError                the body of a streamed response was read already (TypeError, RuntimeError)
    ├── InvalidJSONError
    │   └── JSONDecodeError (ValueError)   response.json() of something that is not JSON
    ├── InvalidRequest (ValueError)        nothing was sent: the arguments contradict each other
    │   ├── AddressRefused                 allow_address= forbids to dial any address of the host
    │   ├── WrongType (TypeError)          an argument is of a type that cannot be sent
    │   └── ClientClosed (RuntimeError)    this Client was closed
    ├── InvalidHeader (ValueError)         nothing was sent: a field name or value is not allowed
    └── InvalidURL, InvalidSchema, MissingSchema, InvalidProxyURL (ValueError)

Where requests has the same meaning the name is requests' own. The cause (an OSError, an ssl.SSLError, an h11
error) is always kept as ``__cause__``. No message holds a password, a cookie or an Authorization value.

requests' three warnings, RetryError and URLRequired exist so that programs that name them work: holdfast gives no such warning,
returns the last response when ``Retries`` are used up, and raises MissingSchema for a URL that is empty.
"""

from __future__ import annotations

import json as _json
from typing import Any

__all__ = [
    "AddressRefused",
    "BodyReadTimeout",
    "ChunkedEncodingError",
    "ClientClosed",
    "ConnectTimeout",
    "ConnectionError",
    "ConnectionLost",
    "ContentDecodingError",
    "DecodedTooLarge",
    "EventStreamError",
    "EventTooLarge",
    "FileModeWarning",
    "HTTPError",
    "HeadersTooLarge",
    "IncompleteBody",
    "InvalidHeader",
    "InvalidJSONError",
    "InvalidProxyURL",
    "InvalidRequest",
    "InvalidSchema",
    "InvalidURL",
    "JSONDecodeError",
    "MissingSchema",
    "PoolTimeout",
    "ProxyError",
    "ReadTimeout",
    "RemoteProtocolError",
    "RequestException",
    "RequestsDependencyWarning",
    "RequestsWarning",
    "RetryError",
    "SSLError",
    "StreamConsumedError",
    "Timeout",
    "TooManyRedirects",
    "TotalTimeout",
    "URLRequired",
    "UnrewindableBodyError",
    "WriteTimeout",
    "WrongType",
]


class RequestException(OSError):
    """Base of everything holdfast raises about a request.

    Attributes:
        request: the request that failed, or None when it could not even be built.
        response: the response that belongs to the failure, or None.
    """

    def __init__(self, *args: Any, request: Any = None, response: Any = None) -> None:
        super().__init__(*args)
        self.response = response
        self.request = request
        if request is None and response is not None:
            self.request = getattr(response, "request", None)

    def __reduce__(self) -> Any:
        # OSError's own __reduce__ forgets the keyword arguments and, given two positional ones, reorders them.
        state = self.__dict__.copy()
        as_told = getattr(state.get("response"), "_beside_its_error", None)
        if as_told is not None:
            state["response"] = as_told()
        return (_rebuild, (type(self), self.args, state))


def _rebuild(cls: type[RequestException], args: tuple[Any, ...], state: dict[str, Any]) -> RequestException:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class HTTPError(RequestException):
    """The server answered 4xx or 5xx, and ``raise_for_status()`` was asked to mind."""


class ConnectionError(RequestException):  # noqa: A001 - requests' name, and the drop-in needs it
    """The network, or the other end of it, broke the exchange.

    Attributes:
        never_connected: True when no connection came about, so that nothing can have been sent.
    """

    never_connected = False


class Timeout(RequestException):
    """Something took longer than it was allowed to."""


class ConnectTimeout(ConnectionError, Timeout):
    """No usable connection within ``timeouts.connect`` seconds: DNS, TCP and the TLS handshake together."""

    never_connected = True


class SSLError(ConnectionError):
    """The TLS handshake failed, or a TLS record was damaged."""


class ProxyError(ConnectionError):
    """The proxy refused, or could not reach the server."""


class PoolTimeout(ConnectionError, Timeout):
    """All connections the limits allow stayed in use for ``timeouts.pool`` seconds."""


class WriteTimeout(ConnectionError, Timeout):
    """The server took no byte of the request for ``timeouts.write`` seconds."""


class ReadTimeout(Timeout):
    """The server sent no complete response head within ``timeouts.read`` seconds."""


class BodyReadTimeout(ReadTimeout, ConnectionError):
    """The server sent no byte of the body for ``timeouts.read`` seconds.

    requests raises a plain ConnectionError here; being both, handlers written for either keep working.
    """


class TotalTimeout(Timeout):
    """``timeouts.total`` is used up. The message names the phase that was under way."""


class ConnectionLost(ConnectionError):
    """The connection broke before the head of the response was complete.

    Attributes:
        may_have_executed: True when the server may have acted on the request; False when it is certain that it
            has not.
        reused: whether the connection had carried an earlier request.
        idle: seconds the connection had been idle before this request; None for a fresh one.
    """

    def __init__(
        self, *args: Any, may_have_executed: bool = True, reused: bool = False, idle: float | None = None, **kw: Any
    ) -> None:
        super().__init__(*args, **kw)
        self.may_have_executed = may_have_executed
        self.reused = reused
        self.idle = idle


class RemoteProtocolError(ConnectionError):
    """What the server sent is not HTTP/1.x.

    Attributes:
        may_have_executed: as in ``ConnectionLost``. False only where the server has certainly not seen a byte of this request: what
            came was sent before.
    """

    def __init__(self, *args: Any, may_have_executed: bool = True, **kw: Any) -> None:
        super().__init__(*args, **kw)
        self.may_have_executed = may_have_executed


class HeadersTooLarge(RemoteProtocolError):
    """A head, a trailer section or chunk overhead is larger than holdfast accepts."""


class ChunkedEncodingError(RequestException):
    """The body's framing is damaged."""


class IncompleteBody(ChunkedEncodingError):
    """The connection ended before the body did.

    Attributes:
        received: payload bytes that did arrive.
        expected: payload bytes that were announced; None if the framing does not say.
    """

    def __init__(self, *args: Any, received: int = 0, expected: int | None = None, **kw: Any) -> None:
        super().__init__(*args, **kw)
        self.received = received
        self.expected = expected


class ContentDecodingError(RequestException):
    """The body arrived whole, but its content coding is corrupt, cut short or unknown to this installation."""


class DecodedTooLarge(ContentDecodingError):
    """The body decodes to more than ``max_decoded`` bytes."""


class EventStreamError(RequestException):
    """What the server answered is no event stream, or the stream cannot be taken up again."""


class EventTooLarge(EventStreamError):
    """An event of a stream, or one of its lines, has more bytes than ``max_event_bytes``."""


class TooManyRedirects(RequestException):
    """More than ``max_redirects`` redirects; ``.response`` is the last of them."""


class RetryError(RequestException):
    """In requests: too many responses of a status to retry. holdfast's own ``Retries`` return the last of them instead."""


class UnrewindableBodyError(RequestException):
    """The body has to be sent again, but an iterator or an unseekable file gives its bytes only once."""


class StreamConsumedError(RequestException, TypeError, RuntimeError):
    """The body of this streamed response was consumed already.

    requests raises a bare RuntimeError where ``content`` is asked for after that.
    """


class InvalidJSONError(RequestException):
    """A value that has no JSON form (NaN, Infinity) was given to ``json=``."""


class JSONDecodeError(InvalidJSONError, _json.JSONDecodeError):
    """The response's body is not JSON. Has ``msg``, ``doc``, ``pos``, ``lineno`` and ``colno`` as in the json module."""

    def __init__(self, msg: str, doc: str, pos: int, **kw: Any) -> None:
        _json.JSONDecodeError.__init__(self, msg, doc, pos)
        text = str(self.args[0]) if self.args else msg
        InvalidJSONError.__init__(self, text, **kw)

    def __reduce__(self) -> Any:
        return (JSONDecodeError, (self.msg, self.doc, self.pos))


class InvalidRequest(RequestException, ValueError):
    """Nothing was sent: the arguments contradict each other or cannot be expressed in HTTP/1.1."""


class AddressRefused(InvalidRequest):
    """Nothing was sent: the client's ``allow_address`` forbids to dial the address, or every address of the name.

    It is no ConnectionError, so that neither ``Retries`` nor a program that repeats what the network broke asks again.

    Attributes:
        address: the address that was refused, the first if there are several; an ``ipaddress`` object.
        host: the name it is of, or the address as the URL writes it.
    """

    def __init__(self, *args: Any, address: Any = None, host: str = "", **kw: Any) -> None:
        super().__init__(*args, **kw)
        self.address = address
        self.host = host


class WrongType(InvalidRequest, TypeError):
    """Nothing was sent: an argument is of a type that cannot be sent."""


class ClientClosed(InvalidRequest, RuntimeError):
    """This Client was closed.

    Attributes:
        may_have_executed: False when nothing of the call was sent; True when it was closed while the call was under way.
    """

    def __init__(self, *args: Any, may_have_executed: bool = False, **kw: Any) -> None:
        super().__init__(*args, **kw)
        self.may_have_executed = may_have_executed


class InvalidHeader(RequestException, ValueError):
    """Nothing was sent: a header field's name or value holds what RFC 9110 section 5.5 forbids."""


class URLRequired(RequestException):
    """requests' name; neither library raises it."""


class InvalidURL(RequestException, ValueError):
    """Nothing was sent: the URL cannot be understood."""


class InvalidSchema(RequestException, ValueError):
    """Nothing was sent: only http and https URLs can be fetched."""


class MissingSchema(RequestException, ValueError):
    """Nothing was sent: the URL has no scheme."""


class InvalidProxyURL(InvalidURL):
    """Nothing was sent: the proxy's URL cannot be understood."""


class RequestsWarning(Warning):
    """Base of requests' warnings."""


class FileModeWarning(RequestsWarning, DeprecationWarning):
    """In requests: a file was opened as text. Here its bytes are sent as they are on disk, and counted so."""


class RequestsDependencyWarning(RequestsWarning):
    """In requests: a library it needs has another version than it expects."""

"""vcrpy records the calls of holdfast, and plays them without a network::

    import vcr
    from holdfast.contrib.vcr import custom_patches

    recorder = vcr.VCR(custom_patches=custom_patches, filter_headers=["authorization", "cookie"])
    with recorder.use_cassette("tests/cassettes/order.yaml"):
        holdfast.get("https://api.example.org/orders/7")

Each request is an entry: each hop of a redirect, each answer to a challenge, each of ``Retries``. One that holdfast has sent again
because it met a connection that the server had closed is a single entry. This holds for the module-level functions, for every
``Client``, for ``holdfast.requests`` and for httpx over ``holdfast.contrib.httpx``.

A body is recorded as it came, before its content coding is undone, and read to its end before the call returns, ``stream=True``
or not: what never ends cannot be recorded. 1xx responses and trailers are not in a cassette.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from .._extras import needed
from ..message.body import Body, PiecesBody
from ..message.raw import Drained
from ..message.response import Response
from ..transport import Transport

with needed(__name__, "vcr", "vcr"):
    from vcr.errors import CannotOverwriteExistingCassetteException
    from vcr.request import Request as VcrRequest

if TYPE_CHECKING:
    from ..message.request import PreparedRequest

_send = Transport.send  # as it is without a cassette


class _Method(type):
    """A class that is called with the object on which it was found, as a function is: what vcrpy puts in place of ``send``."""

    cassette: Any

    def __get__(cls, transport: Transport | None, owner: type | None = None) -> Callable[..., Any]:
        return cls if transport is None else partial(cls, transport)

    def __call__(cls, transport: Transport, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
        """Play the response to a request, or send it and record what comes.

        Raises:
            CannotOverwriteExistingCassetteException: it is not in the cassette, and nothing is to be recorded.
        """
        cassette = cls.cassette
        asked = _as_recorded(request)
        if cassette.can_play_response_for(asked):
            return _played(request, cassette.play_response(asked))
        if cassette.write_protected and cassette.filter_request(asked):
            raise CannotOverwriteExistingCassetteException(cassette=cassette, failed_request=asked)
        response = _send(transport, request, *args, **kwargs)
        content = _take_content(response)
        cassette.append(
            asked,
            {
                "status": {"code": response.status_code, "message": response.reason},
                "headers": {name: response.headers.get_list(name) for name in response.headers},
                "body": {"string": content},
            },
        )
        return response


class RecordedSend(metaclass=_Method):
    """``Transport.send`` with a cassette. vcrpy derives a class from this one for each cassette, and fills in ``cassette``."""

    cassette = None


custom_patches = ((Transport, "send", RecordedSend),)
"""What ``vcr.VCR(custom_patches=...)`` and ``use_cassette(..., custom_patches=...)`` take."""


def _as_recorded(request: PreparedRequest) -> VcrRequest:
    url = request.parsed.without_userinfo().with_fragment("")
    return VcrRequest(request.method, url.text, _content_of(request), dict(request.headers))


def _content_of(request: PreparedRequest) -> bytes | None:
    """The request's body. One that gives its bytes once is replaced by what it gave."""
    body = request.payload
    if body is None:
        return None
    pieces = list(body.chunks())
    if body.replayable:
        body.rewind()
    else:
        request.payload = _remembered(pieces, body)
    return b"".join(pieces)


def _remembered(pieces: list[bytes], of: Body) -> Body:
    remembered = PiecesBody(pieces)
    remembered.length, remembered.content_type = of.length, of.content_type  # None: it goes out chunked, as it would have
    return remembered


def _take_content(response: Response) -> bytes:
    """The body as it came; the response gives it again."""
    source = response._source
    assert source is not None, "a response of the transport has one"
    pieces = []
    try:
        while piece := source.read():
            pieces.append(piece)
    except BaseException:
        source.close()
        raise
    content = b"".join(pieces)
    response._source = Drained(content, source.trailers)
    return content


def _played(request: PreparedRequest, recorded: Any) -> Response:
    status, content = recorded["status"], recorded["body"]["string"]
    fields = [
        (_as_came(name), _as_came(value))
        for name, values in recorded["headers"].items()
        for value in (values if isinstance(values, (list, tuple)) else [values])
    ]
    source = Drained(content.encode() if isinstance(content, str) else content or b"", [])
    return Response(status["code"], _as_came(status["message"] or ""), fields, b"1.1", request, source)


def _as_came(value: Any) -> bytes:
    """The bytes of a field or a reason. A client that reads them as UTF-8 may have recorded them, or a person written a number."""
    if isinstance(value, bytes):
        return value
    text = str(value)
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape")

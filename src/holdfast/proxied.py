"""What is different in a call by way of a proxy, once it has its connection: its errors say which way it went.

Whatever breaks there, the proxy may be the one that broke it; and over one connection to a proxy go requests to many origins. So
every error names both the URL and the proxy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .exceptions import RequestException
from .message.pieces import PIECE
from .response_body import BodyStream
from .routes import Route

if TYPE_CHECKING:
    from .message.request import PreparedRequest


def name_the_way(error: RequestException, request: PreparedRequest, route: Route) -> None:
    """Add to the message what it lacks of method, URL and proxy. Changes ``error``: its type and its cause stay."""
    text, url = str(error), request.parsed.safe_text
    if url not in text:
        text = f"{request.method} {url}: {text}"
    if str(route.proxy) not in text:
        text = f"{text} (through the proxy {route.proxy})"
    error.args = (text, *error.args[1:])


class BodyByProxy(BodyStream):
    """The body of a response that came by way of a proxy, of that request over that route; the rest is for BodyStream."""

    __slots__ = ("_request", "_route")

    def __init__(self, request: PreparedRequest, route: Route, *body: Any) -> None:
        super().__init__(*body)
        self._request = request
        self._route = route

    def read(self, size: int = PIECE) -> bytes:
        """As in ``BodyStream``."""
        try:
            return super().read(size)
        except RequestException as error:
            name_the_way(error, self._request, self._route)
            raise

    def read_pieces(self, size: int = PIECE) -> list[bytes]:
        """As in ``BodyStream``."""
        try:
            return super().read_pieces(size)
        except RequestException as error:
            name_the_way(error, self._request, self._route)
            raise

    def read_into(self, view: memoryview) -> int | None:
        """As in ``BodyStream``."""
        try:
            return super().read_into(view)
        except RequestException as error:
            name_the_way(error, self._request, self._route)
            raise

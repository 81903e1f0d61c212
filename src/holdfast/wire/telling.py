"""What h11 has to know of a request. It judges each head once, and of most exchanges it needs to see the answer only.

A connection of h11 that was told of no request reads a final response all the same, since a server may answer before it has one.
It is told where something depends on the request: a body in pieces, ``Expect``, ``Upgrade``, ``CONNECT``, ``Connection: close``.
An interim response is one to a request: when it comes, h11 is told late.
"""

from __future__ import annotations

import h11

MAX_KINDS = 64

_FRAMING = frozenset((b"connection", b"content-length", b"expect", b"transfer-encoding", b"upgrade"))
_kinds: dict[tuple[bytes, tuple[tuple[bytes, bytes], ...]], h11.Request] = {}


class Outgoing:
    """The head of a request, as it may be sent again and again.

    Args:
        event: what h11 has validated.

    Attributes:
        head: its bytes, as h11 writes them.
        size: bytes of the one body with which h11 need not be told of it; None if it has to be told in any case.

    Raises:
        h11.LocalProtocolError: h11 would not send it.
    """

    __slots__ = ("_framing", "event", "head", "size")

    def __init__(self, event: h11.Request) -> None:
        self.event = event
        self.head: bytes = h11.Connection(h11.CLIENT).send(event)
        self.size = _size_of_body(event)
        self._framing: h11.Request | None = None

    @property
    def framing(self) -> h11.Request:
        """A request that is the same to h11's state machine, and has no field besides."""
        if self._framing is None:
            self._framing = framing_of(self.event)
        return self._framing


def _size_of_body(event: h11.Request) -> int | None:
    size = 0
    if event.method == b"CONNECT":
        return None
    for name, value in event.headers:
        if name == b"content-length":
            size = int(value)
        elif name in _FRAMING and (name != b"connection" or b"close" in value.lower()):
            return None
    return size


def framing_of(request: h11.Request) -> h11.Request:
    """A request that is the same to h11's state machine, and has no field besides: for all of a kind the same object."""
    kind = (request.method, tuple(field for field in request.headers if field[0] in _FRAMING))
    found = _kinds.get(kind)
    if found is None:
        if len(_kinds) >= MAX_KINDS:
            _kinds.clear()
        found = _kinds[kind] = h11.Request(method=kind[0], target=b"/", headers=[(b"Host", b""), *kind[1]])
    return found

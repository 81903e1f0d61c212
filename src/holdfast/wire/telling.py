"""Telling h11 of a request: it is to know where the exchange stands, and need not write the same head again and again."""

from __future__ import annotations

import h11

MAX_KINDS = 64

_FRAMING = frozenset((b"connection", b"content-length", b"expect", b"transfer-encoding", b"upgrade"))
_kinds: dict[tuple[bytes, tuple[tuple[bytes, bytes], ...]], h11.Request] = {}


class Told:
    """The request that an h11 connection was told of last, and the bytes of its head."""

    __slots__ = ("_framing", "_head", "_request")

    def __init__(self) -> None:
        self._request: h11.Request | None = None
        self._head = b""
        self._framing: h11.Request | None = None

    def tell(self, conn: h11.Connection, request: h11.Request) -> bytes:
        """Tell ``conn`` of ``request``; the bytes of its head. The very same request again has the same bytes: h11 is told less."""
        if request is not self._request:
            self._request = self._framing = None
            self._head = conn.send(request)
            self._request = request
        elif self._framing is not None:
            conn.send(self._framing)
        else:
            self._framing = framing_of(request)
            conn.send(self._framing)
        return self._head


def framing_of(request: h11.Request) -> h11.Request:
    """A request that is the same to h11's state machine, and has no field besides: for all of a kind the same object."""
    kind = (request.method, tuple(field for field in request.headers if field[0] in _FRAMING))
    found = _kinds.get(kind)
    if found is None:
        if len(_kinds) >= MAX_KINDS:
            _kinds.clear()
        found = _kinds[kind] = h11.Request(method=kind[0], target=b"/", headers=[(b"Host", b""), *kind[1]])
    return found

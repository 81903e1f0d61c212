"""What is known of a call: where its time went, and over which connection it went. Made when they are asked for.

A call keeps a few numbers (``CallRecord``); these values are made of them when ``response.timings`` or
``response.connection_info`` is looked at. All moments are on the client's clock.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple


@dataclass(frozen=True)
class Timings:
    """Seconds of each phase of the exchange that brought a response; a redirect has its own.

    Attributes:
        queued: waiting for a connection: for room under the limits, for the keeper's or another caller's connection, and in
            earlier attempts.
        dns, tcp: resolving the name and connecting, to the proxy where there is one; None on a reused connection.
        proxy: asking the proxy for a way; None without one, or on a reused connection.
        tls: the handshake; None for http, or on a reused connection.
        send: from having the connection to having written the request.
        wait: from there to the head of the response.
        download: from there to the end of the body; None while that has not come.
    """

    queued: float
    dns: float | None
    tcp: float | None
    proxy: float | None
    tls: float | None
    send: float
    wait: float
    download: float | None

    @property
    def total(self) -> float:
        """All of them together, as far as they have gone."""
        return sum(value or 0.0 for value in asdict(self).values())

    def as_dict(self) -> dict[str, float | None]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Attempt:
    """One sending of the request that brought no response.

    Attributes:
        reason: why it was sent again, as ``stats().resent`` counts it.
        error: what had happened.
        reused: whether its connection had been used before.
    """

    reason: str
    error: str
    reused: bool


@dataclass(frozen=True)
class ConnectionInfo:
    """The connection that a response came over, as it was then.

    Attributes:
        reused: whether it had been used before.
        age: seconds since it was opened, when the request was sent.
        idle: seconds for which it had been idle before; None for a new one.
        requests: how many requests it had been used for, this one included.
        peer: address of the other end as really dialled: the proxy's where there is one; "" for a Unix-domain socket.
        tried: (address, what became of it) for each address tried; "" is the one that answered.
        tls_version: "TLSv1.3"; "" for http.
        tls_cipher, tls_group, alpn: what was agreed on; "" where there is none, or where Python does not tell.
        tls_resumed: whether its handshake resumed an earlier session.
        attempts: earlier sendings of this request that came to nothing, the oldest first.
    """

    reused: bool
    age: float
    idle: float | None
    requests: int
    peer: str
    tried: tuple[tuple[str, str], ...]
    tls_version: str
    tls_cipher: str
    tls_group: str
    tls_resumed: bool
    alpn: str
    attempts: tuple[Attempt, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


class CallRecord(NamedTuple):
    """What a call writes down, as a plain tuple.

    Attributes:
        lease: its ``returned_at`` is the end of the body; its ``resource`` knows its ``opening``.
        connection: its ``opened_at`` does not change; what does stands here beside it.
        idle: seconds the connection had been idle; None for a new one.
        lent_at, sent_at: moments: it was had for this request, the request was written.
        uses: of the connection, this one included.
        attempts: the sendings before; None for none.
    """

    lease: Any
    connection: Any
    idle: float | None
    lent_at: float
    uses: int
    sent_at: float
    attempts: list[Attempt] | None


class NotTold:
    """The opening of a connection that another than the dialer has opened."""

    peer = tls_version = tls_cipher = tls_group = alpn = ""
    tried: tuple[tuple[str, str], ...] = ()
    tls_resumed = False


NOT_TOLD = NotTold()


def timings_of(facts: tuple[Any, ...], started: float, head_at: float) -> Timings:
    """The phases between ``started``, the call's begin, and the end of the body."""
    record = CallRecord(*facts)
    opening = record.lease.resource.opening
    fresh = record.idle is None and opening is not None
    dialled = opening.dns + opening.tcp + (opening.proxy or 0.0) + (opening.tls or 0.0) if fresh else 0.0
    ended = getattr(record.lease, "returned_at", None)
    return Timings(
        queued=max(0.0, record.lent_at - started - dialled),  # a connection that the keeper opened was there before the call
        dns=opening.dns if fresh else None,
        tcp=opening.tcp if fresh else None,
        proxy=opening.proxy if fresh else None,
        tls=opening.tls if fresh else None,
        send=max(0.0, record.sent_at - max(record.lent_at, started)),  # the connection of an authentication is had all the while
        wait=max(0.0, head_at - record.sent_at),
        download=None if ended is None else max(0.0, ended - head_at),
    )


def connection_of(facts: tuple[Any, ...]) -> ConnectionInfo:
    """The connection as it was when the request was sent."""
    record = CallRecord(*facts)
    opening = record.lease.resource.opening or NOT_TOLD
    return ConnectionInfo(
        reused=record.idle is not None,
        age=max(0.0, record.sent_at - record.connection.opened_at),
        idle=record.idle,
        requests=record.uses,
        peer=opening.peer,
        tried=tuple(opening.tried),
        tls_version=opening.tls_version,
        tls_cipher=opening.tls_cipher,
        tls_group=opening.tls_group,
        tls_resumed=opening.tls_resumed,
        alpn=opening.alpn,
        attempts=tuple(record.attempts or ()),
    )

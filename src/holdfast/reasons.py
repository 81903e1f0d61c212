"""The names of what can happen to a connection and to an exchange: the vocabulary that pool/, wire/ and the transport share.

Every connection that leaves a pool leaves for one ``Discard``; every exchange that fails says how far it got with one
``Delivery``. The log line, the metric and the test use the same value.
"""

from __future__ import annotations

from enum import Enum


class Discard(Enum):
    """Why a connection left the pool."""

    __hash__ = object.__hash__  # Enum's is written in Python, and each connection's end is counted by its reason

    STALE = "stale"  # the server closed or reset it while it was idle
    UNSOLICITED = "unsolicited"  # bytes arrived that no request had asked for
    IDLE_TIMEOUT = "idle_timeout"  # idle for longer than Limits.idle_timeout
    UNUSED = "unused"  # opened ahead of need and not used for longer than Limits.unused_timeout
    LIFETIME = "lifetime"  # older than Limits.max_lifetime, or used max_requests times
    SERVER_HINT = "server_hint"  # the server's Keep-Alive header said it would close about now
    SERVER_CLOSE = "server_close"  # the response said, or its framing implied, that the connection ends with it
    REFUSED = "refused"  # nothing proves that the server read the body of the request it answered
    SURPLUS = "surplus"  # more idle connections than the limits keep, or room was needed for another origin
    BROKEN = "broken"  # the exchange failed, timed out, was cancelled or left unfinished
    LEAKED = "leaked"  # the response was dropped without being read or closed
    FORKED = "forked"  # it belongs to the parent process
    CLIENT_CLOSED = "client_closed"  # the client was closed


class Delivery(Enum):
    """How far a failed exchange got: what the server can have seen of the request."""

    NOT_WRITTEN = "not written"  # no byte was handed to the kernel
    NOT_DELIVERED = "not delivered"  # written, but the server had closed before any byte reached it: proven
    UNKNOWN = "unknown"  # written, no byte of a response: the server may have acted
    ANSWERED = "answered"  # part of a response arrived
    WAITED_FOR = "waited for"  # a 408 arrived: the server says that it waited for a request and has not seen one
    EXPECTATION_FAILED = "expectation failed"  # a 417 arrived: the server will not have the request with its Expect field


class ExchangeFailed(Exception):
    """One exchange over one connection came to nothing. Internal: the transport turns it into a public exception.

    Attributes:
        error: the public exception that says what happened; raised if the request is not sent again.
        delivery: how far the exchange got.
    """

    def __init__(self, error: Exception, delivery: Delivery, *, timed_out: bool = False) -> None:
        super().__init__(error)
        self.error = error
        self.delivery = delivery
        self.timed_out = timed_out

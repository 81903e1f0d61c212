"""May a failed exchange be sent again at once? One pure function: no clock, no socket, no randomness.

The connection failed the request, not the other way round. This rule is always on, free, immediate, and holds only where a
second delivery is impossible or harmless.
"""

from __future__ import annotations

from enum import Enum

from .reasons import Delivery

# RFC 9110, section 9.2.2, and QUERY (safe and idempotent by its own definition).
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "QUERY"})
MAX_RESENDS = 2  # a reused connection that was gone, then a fresh one; after that it is the server


class Resend(Enum):
    """Why a request was sent again."""

    NOT_WRITTEN = "not written"
    NOT_DELIVERED = "proven not delivered"
    IDEMPOTENT = "idempotent"
    WITHOUT_EXPECT = "without Expect, after a 417"
    REQUEST_TIMEOUT = "408 on a kept connection"


def is_idempotent(method: str, has_idempotency_key: bool = False) -> bool:
    """Whether executing the request twice is as good as once."""
    return has_idempotency_key or method in IDEMPOTENT


def may_resend(
    *,
    reused: bool,
    delivery: Delivery,
    idempotent: bool,
    replayable: bool = True,
    timed_out: bool = False,
    resends: int = 0,
    lost_fresh: int = 0,
) -> Resend | None:
    """The reason why this request may be sent again on a fresh connection, or None if it must not be.

    ==================  =================================================  ====================  ================
    connection          how far the exchange got                           idempotent, or a key  any other method
    ==================  =================================================  ====================  ================
    any                 the body cannot be given again                     no                    no
    any                 ended by a timeout of the client                   no                    no
    any                 part of the response has arrived                   no                    no
    any                 written, proven not delivered                      yes                   yes
    any                 a 417 to its Expect field (RFC 9110, 15.5.18)      yes, without it       yes, without it
    reused              nothing written                                    yes                   yes
    reused              written, no byte of a response, no proof           yes                   no
    reused              a 408 came (RFC 9110, section 15.5.9)              yes                   no
    fresh               written, no byte of a response, no proof           yes, once             no
    fresh               nothing written, or a 408 came                     no                    no
    ==================  =================================================  ====================  ================

    Every attempt after the first is made on a fresh connection, so the rows of reused ones hold once at most.

    Args:
        reused: the connection had carried a request before.
        delivery: how far the exchange got.
        idempotent: the method is (RFC 9110, section 9.2.2), or the request has an Idempotency-Key.
        replayable: the body is untouched or can be given again.
        timed_out: the exchange ended by our own patience, not by the connection's end.
        resends: how often this request was sent again already.
        lost_fresh: how often it was lost on a fresh connection before, without a byte of a response and without proof.
    """
    if not replayable:
        return None  # nothing to send: an iterator gives its bytes once
    if timed_out:
        return None  # the server may be at work on it; another one would only add to its load
    if resends >= MAX_RESENDS:
        return None  # RFC 9110, section 9.2.2: a client should not automatically retry a failed automatic retry for ever
    if delivery is Delivery.ANSWERED:
        return None  # the server has acted
    if delivery is Delivery.NOT_DELIVERED:
        return Resend.NOT_DELIVERED  # the kernel says that no byte arrived, nor ever will
    if delivery is Delivery.EXPECTATION_FAILED:
        return Resend.WITHOUT_EXPECT  # the server says that it has not done it; there is no second 417 without the field
    if delivery is Delivery.NOT_WRITTEN:
        return Resend.NOT_WRITTEN if reused else None  # a server that hangs up on a fresh connection has answered
    if not idempotent:
        return None  # conservatively: it may have been executed
    if delivery is Delivery.WAITED_FOR:
        return Resend.REQUEST_TIMEOUT if reused else None
    if reused:
        return Resend.IDEMPOTENT
    # A server that is being stopped resets, or ends, the new connections it has accepted and will not serve.
    return None if lost_fresh else Resend.IDEMPOTENT

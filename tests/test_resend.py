"""The table of what may be sent again, one test per row."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from holdfast.reasons import Delivery
from holdfast.resend import MAX_RESENDS, Resend, is_idempotent, may_resend

NOT_WRITTEN, NOT_DELIVERED, UNKNOWN, ANSWERED, WAITED_FOR, EXPECTATION_FAILED = Delivery

ROWS = [
    # what                                           reused delivery        idempotent  any other method
    ("reused, nothing written", True, NOT_WRITTEN, Resend.NOT_WRITTEN, Resend.NOT_WRITTEN),
    ("reused, proven not delivered", True, NOT_DELIVERED, Resend.NOT_DELIVERED, Resend.NOT_DELIVERED),
    ("fresh, proven not delivered", False, NOT_DELIVERED, Resend.NOT_DELIVERED, Resend.NOT_DELIVERED),
    ("reused, written, no proof", True, UNKNOWN, Resend.IDEMPOTENT, None),
    ("fresh, written, no proof", False, UNKNOWN, Resend.IDEMPOTENT, None),
    ("fresh, nothing written", False, NOT_WRITTEN, None, None),
    ("reused, response started", True, ANSWERED, None, None),
    ("fresh, response started", False, ANSWERED, None, None),
    ("reused, a 408 came", True, WAITED_FOR, Resend.REQUEST_TIMEOUT, None),
    ("fresh, a 408 came", False, WAITED_FOR, None, None),
    ("reused, a 417 to Expect", True, EXPECTATION_FAILED, Resend.WITHOUT_EXPECT, Resend.WITHOUT_EXPECT),
    ("fresh, a 417 to Expect", False, EXPECTATION_FAILED, Resend.WITHOUT_EXPECT, Resend.WITHOUT_EXPECT),
]


@pytest.mark.parametrize(("reused", "delivery", "idempotent", "other"), [r[1:] for r in ROWS], ids=[r[0] for r in ROWS])
def test_each_row_of_the_table(reused: bool, delivery: Delivery, idempotent: Resend | None, other: Resend | None) -> None:
    assert may_resend(reused=reused, delivery=delivery, idempotent=True) is idempotent
    assert may_resend(reused=reused, delivery=delivery, idempotent=False) is other


EVERYTHING = list(itertools.product([True, False], Delivery, [True, False]))


@pytest.mark.parametrize(("reused", "delivery", "idempotent"), EVERYTHING)
def test_what_cannot_be_given_again_is_never_sent_again(reused: bool, delivery: Delivery, idempotent: bool) -> None:
    assert may_resend(reused=reused, delivery=delivery, idempotent=idempotent, replayable=False) is None


@pytest.mark.parametrize(("reused", "delivery", "idempotent"), EVERYTHING)
def test_our_own_impatience_is_no_reason_to_send_again(reused: bool, delivery: Delivery, idempotent: bool) -> None:
    assert may_resend(reused=reused, delivery=delivery, idempotent=idempotent, timed_out=True) is None


@pytest.mark.parametrize(("reused", "delivery", "idempotent"), EVERYTHING)
def test_the_loop_ends_whatever_happens(reused: bool, delivery: Delivery, idempotent: bool) -> None:
    assert may_resend(reused=reused, delivery=delivery, idempotent=idempotent, resends=MAX_RESENDS) is None


def test_the_second_resend_is_still_allowed() -> None:
    """A reused connection was gone, and so was the fresh one, proven: two servers closed, nothing was executed."""
    assert may_resend(reused=False, delivery=NOT_DELIVERED, idempotent=False, resends=1) is Resend.NOT_DELIVERED


def test_a_request_that_may_have_been_executed_is_resent_only_if_idempotent() -> None:
    """The invariant behind the table, over all of it."""
    for reused, delivery, replayable, timed_out, resends in itertools.product(
        [True, False], Delivery, [True, False], [True, False], range(MAX_RESENDS + 2)
    ):
        reason = may_resend(
            reused=reused,
            delivery=delivery,
            idempotent=False,
            replayable=replayable,
            timed_out=timed_out,
            resends=resends,
        )
        assert reason is None or delivery in (NOT_WRITTEN, NOT_DELIVERED, EXPECTATION_FAILED)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "QUERY"])
def test_idempotent_methods(method: str) -> None:
    assert is_idempotent(method)


@pytest.mark.parametrize("method", ["POST", "PATCH", "CONNECT", "LOCK", "get", ""])
def test_other_methods_need_a_key(method: str) -> None:
    assert not is_idempotent(method)
    assert is_idempotent(method, has_idempotency_key=True)


def test_an_idempotent_request_lost_on_a_fresh_connection_is_sent_again_once() -> None:
    lost: Any = {"reused": False, "delivery": UNKNOWN, "idempotent": True}

    assert may_resend(**lost, resends=0, lost_fresh=0) is Resend.IDEMPOTENT
    assert may_resend(**lost, resends=1, lost_fresh=0) is Resend.IDEMPOTENT, "the one before was a reused connection"
    assert may_resend(**lost, resends=1, lost_fresh=1) is None

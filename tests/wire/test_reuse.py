"""The table of who may use a connection after a request with a body, one test per row; and what is read out of challenges."""

from __future__ import annotations

import pytest

from holdfast.wire.reuse import AfterBody, after_body

ROWS = [
    # status, written, queued, what follows
    (200, True, False, AfterBody.REUSE),
    (204, True, False, AfterBody.REUSE),
    (303, True, False, AfterBody.REUSE),
    (422, True, False, AfterBody.REUSE),
    (200, True, True, AfterBody.CLOSE),
    (200, False, False, AfterBody.CLOSE),
    (422, True, True, AfterBody.CLOSE),
    (302, True, False, AfterBody.CLOSE),
    (307, True, False, AfterBody.CLOSE),
    (400, True, False, AfterBody.CLOSE),
    (401, True, False, AfterBody.CLOSE),
    (404, True, False, AfterBody.CLOSE),
    (405, True, False, AfterBody.CLOSE),
    (409, True, False, AfterBody.CLOSE),
    (413, True, False, AfterBody.CLOSE),
    (417, True, False, AfterBody.CLOSE),
    (500, True, False, AfterBody.CLOSE),
    (503, True, False, AfterBody.CLOSE),
]


@pytest.mark.parametrize(("status", "written", "queued", "fate"), ROWS)
def test_each_row_of_the_table(status: int, written: bool, queued: bool, fate: AfterBody) -> None:
    assert after_body(status, written=written, queued=queued) is fate


CHALLENGES = [
    ([b"NTLM"], AfterBody.ONCE),
    ([b"Negotiate"], AfterBody.ONCE),
    ([b"negotiate YIIabc=="], AfterBody.ONCE),
    ([b"Foo", b"Basic realm=x"], AfterBody.ONCE),
    ([b'Basic realm="x", NTLM'], AfterBody.ONCE),
    ([b'Digest realm="a", nonce="b", qop="auth", Negotiate'], AfterBody.ONCE),
    ([b'Basic realm="x, NTLM"'], AfterBody.CLOSE),
    ([b'Basic realm="a \\" NTLM"'], AfterBody.CLOSE),
    ([b'Digest realm="a", algorithm = MD5, nonce="b"'], AfterBody.CLOSE),
    ([b"BASIC realm=x", b'Bearer error="invalid_token"'], AfterBody.CLOSE),
    ([b""], AfterBody.CLOSE),
    ([], AfterBody.CLOSE),
]


@pytest.mark.parametrize("status", [401, 407])
@pytest.mark.parametrize(("challenges", "fate"), CHALLENGES)
def test_only_a_scheme_that_may_hold_for_the_connection_keeps_it_for_the_next_leg(
    status: int, challenges: list[bytes], fate: AfterBody
) -> None:
    assert after_body(status, written=True, queued=False, challenges=challenges) is fate


@pytest.mark.parametrize(("written", "queued"), [(False, False), (True, True), (False, True)])
def test_no_leg_follows_where_the_server_cannot_have_read_the_body(written: bool, queued: bool) -> None:
    assert after_body(401, written=written, queued=queued, challenges=[b"NTLM"]) is AfterBody.CLOSE

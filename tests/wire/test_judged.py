"""A head that h11 has judged before: it says what it said, and only the very same bytes are taken for it."""

from __future__ import annotations

import h11
import pytest

from holdfast.reasons import Discard
from holdfast.wire import http1
from holdfast.wire.framing import ResponseHead
from holdfast.wire.http1 import Http1Connection
from holdfast.wire.judged import MAX_BYTES
from holdfast.wire.reuse import Habits
from tests.server import chunked, head, ok
from tests.wire.test_http1 import WHOLE, Stream, ask, body_of


class Judge(h11.Connection):
    """Counts what it is asked."""

    asked = 0

    def receive_data(self, data: bytes) -> None:
        Judge.asked += 1
        super().receive_data(data)


@pytest.fixture(autouse=True)
def _counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http1, "new_h11", lambda: Judge(h11.CLIENT))
    monkeypatch.setattr(Judge, "asked", 0)


def story(connection: Http1Connection, method: str = "GET") -> tuple[ResponseHead, bytes, object]:
    return ask(connection, method), body_of(connection), connection.recycle()


KEPT = [row for row in WHOLE if row[3] is None]


@pytest.mark.parametrize("raw", [row[1] for row in KEPT], ids=[row[0] for row in KEPT])
def test_an_answer_whose_head_is_known_is_read_as_it_was_the_first_time(raw: bytes) -> None:
    connection = Http1Connection(Stream(raw, raw, raw))

    first = story(connection)

    assert story(connection) == first == story(connection)
    assert (Judge.asked == 1) == (not raw.startswith(b"HTTP/1.1 1"))


def test_a_connection_goes_on_after_an_answer_whose_head_was_known() -> None:
    raw = [ok(b"one"), ok(b"two"), chunked(b"three"), ok(b"for"), ok(b"six"), ok(b"seven"), ok(b"x", "Connection: close")]
    connection = Http1Connection(Stream(*raw))

    found = [story(connection)[1:] for _ in raw]

    assert [body for body, _ in found] == [b"one", b"two", b"three", b"for", b"six", b"seven", b"x"]
    assert [fate is None for _, fate in found] == [True] * 6 + [False]
    assert Judge.asked == 5  # "two" begins as "one" does, "six" as "for"


def test_what_is_known_of_one_method_is_not_said_of_another() -> None:
    raw = head(200, "Content-Length: 5")
    connection = Http1Connection(Stream(raw, raw + b"hello", raw))

    assert story(connection, "HEAD")[1:] == (b"", None)
    assert story(connection)[1:] == (b"hello", None)
    assert story(connection, "HEAD")[1:] == (b"", None)
    assert Judge.asked == 3


def test_a_body_may_come_later_than_a_head_that_was_known_and_bytes_too_many_are_seen_behind_it() -> None:
    connection = Http1Connection(Stream(ok(b"hello"), head(200, "Content-Length: 5"), b"he", b"llo", ok(b"hello") + b"more"))

    assert story(connection)[1:] == (b"hello", None)
    assert story(connection)[1:] == (b"hello", None)
    assert story(connection)[2] is not None


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n" + ok(b"hello"),
        ok(b"hello", "X: " + "y" * MAX_BYTES),
    ],
)
def test_these_heads_are_judged_each_time(raw: bytes) -> None:
    connection = Http1Connection(Stream(raw, raw))

    assert story(connection) == story(connection)
    assert Judge.asked >= 2


def test_a_head_that_comes_in_pieces_is_judged_and_one_of_which_only_a_part_has_come_is_not_known() -> None:
    raw = ok(b"hello")
    connection = Http1Connection(Stream(raw[:20], raw[20:], raw, raw[:20], raw[20:]))

    assert [story(connection)[1:] for _ in range(3)] == [(b"hello", None)] * 3
    assert Judge.asked == 5


def test_a_new_connection_begins_with_the_head_that_came_last_from_its_origin() -> None:
    raw = ok(b"hello", "Connection: close")
    habits, others = Habits(), Habits()

    first = story(Http1Connection(Stream(raw), habits))

    assert story(Http1Connection(Stream(raw), habits)) == first
    assert first[2] is Discard.SERVER_CLOSE
    assert Judge.asked == 1
    assert story(Http1Connection(Stream(raw), others)) == first
    assert Judge.asked == 2, "of another origin nothing is known"


def test_a_head_that_cannot_be_kept_leaves_the_one_that_an_origin_is_known_by() -> None:
    habits = Habits()
    story(Http1Connection(Stream(ok(b"hello")), habits))
    story(Http1Connection(Stream(ok(b"hello", "X: " + "y" * MAX_BYTES)), habits))
    asked = Judge.asked

    assert story(Http1Connection(Stream(ok(b"hello")), habits))[1:] == (b"hello", None)
    assert Judge.asked == asked


def test_what_a_connection_knows_is_its_own_from_then_on() -> None:
    habits = Habits()
    one, two = ok(b"one"), ok(b"2", "X: y")
    first, second = (Http1Connection(Stream(raw, raw), habits) for raw in (one, two))

    found = [story(first)[1], story(second)[1], story(first)[1], story(second)[1]]

    assert found == [b"one", b"2", b"one", b"2"]
    assert Judge.asked == 2

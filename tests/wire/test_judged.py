"""A head like one that h11 has judged before: it says what h11 would say of it."""

from __future__ import annotations

import random

import h11
import pytest

from holdfast.exceptions import RequestException
from holdfast.reasons import Discard, ExchangeFailed
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
    assert Judge.asked == 4  # "one", "three", "for" and "x": "two" begins as "one" does, "six" and "seven" as "for"


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


PLAIN = [
    b"HTTP/1.1 200 OK",
    b"Server: nginx",
    b"Date: Sun, 29 Nov 2026 17:00:00 GMT",
    b"Content-Type: text/plain",
    b"Content-Length: 5",
    b"Connection: keep-alive",
    b"Keep-Alive: timeout=5, max=99",
    b"X-Request-Id: 1f3a",
    b"set-cookie: a=b; Path=/",
]
BASES = {
    "length": PLAIN,
    "chunks": [*PLAIN[:4], b"Transfer-Encoding: chunked", *PLAIN[5:]],
    "chunks and a length": [*PLAIN, b"Transfer-Encoding: chunked"],
    "empty": [*PLAIN[:4], b"Content-Length: 0", *PLAIN[5:]],
    "no content": [b"HTTP/1.1 204 No Content", *PLAIN[1:4], *PLAIN[5:]],
    "1.0": [b"HTTP/1.0 200 OK", *PLAIN[1:]],
    "two lengths": [*PLAIN, b"Content-Length: 5"],
    "coded": [*PLAIN, b"Content-Encoding: gzip"],
}
VALUES = (
    b"",
    b" ",
    b" x ",
    b"\tx\t",
    b" 0",
    b" 5",
    b" 05",
    b" +5",
    b" -5",
    b" 5, 5",
    b" 5,6",
    b" 0x5",
    b" 5_0",
    b" 7",
    b" 3",
    b" 99999999999999999999",
    b" close",
    b" Keep-Alive",
    b" chunked",
    b" identity",
    b" gzip, chunked",
    b" timeout=1",
    b" max=0",
    b" \xe9",
    b" a\x00b",
    b" a\x0bb",
    b" a\x7fb",
    b" a\nX: y",
    b" a\rb",
    b" a\r\n folded",
)


def varied(chance: random.Random, lines: list[bytes]) -> list[bytes]:
    """The same head, in which one or two lines are others."""
    lines = lines.copy()
    for _ in range(chance.choice((1, 1, 2))):
        at = chance.randrange(len(lines))
        name, colon, value = lines[at].partition(b":")
        if chance.random() < 0.8:
            lines[at] = name + colon + chance.choice(VALUES)
        else:
            others = (name.upper() + colon + value, name + b" " + colon + value, name + b"s" + colon + value, name, b"")
            lines[at] = chance.choice(others)
    return lines


def told(connection: Http1Connection, method: str) -> object:
    """All that an exchange says, or what is wrong with it."""
    try:
        return story(connection, method)
    except ExchangeFailed as failure:
        return type(failure.error), failure.delivery
    except RequestException as error:
        return type(error)


@pytest.mark.parametrize("seed", range(400))
def test_a_head_like_one_that_is_known_says_what_h11_would_say(seed: int) -> None:
    chance = random.Random(seed)
    base = chance.choice(list(BASES.values()))
    method = chance.choice(("GET", "GET", "HEAD"))
    body = b"5\r\nhello\r\n0\r\n\r\n" if b"Transfer-Encoding: chunked" in base else b"hello"
    body = b"" if method == "HEAD" or base in (BASES["no content"], BASES["empty"]) else body
    known = b"\r\n".join(base) + b"\r\n\r\n" + body
    other = b"\r\n".join(varied(chance, base)) + b"\r\n\r\n" + body
    habits = Habits()
    connection, strict = Http1Connection(Stream(known, other), habits), Http1Connection(Stream(head(204), other))

    story(strict, method)  # an answer that is not like the next
    if story(connection, method)[2] is not None:  # it has ended: the next one begins with what its origin has said
        connection, strict = Http1Connection(Stream(other), habits), Http1Connection(Stream(other))

    assert told(connection, method) == told(strict, method)


def test_lines_that_end_otherwise_and_folded_ones_cannot_be_taken_for_each_other() -> None:
    odd = b"HTTP/1.1 200 OK\r\nA: 1\nContent-Length: 0\r\nC: x\r\n%s\r\n\r\n"
    connection = Http1Connection(Stream(odd % b" folded", odd % b"C: y"))

    assert len(story(connection)[0].raw_headers) == 3
    assert len(story(connection)[0].raw_headers) == 4


def test_a_length_of_nothing_is_no_sign_of_a_body_that_has_none() -> None:
    connection = Http1Connection(Stream(ok(), ok(b"hello"), ok(), head(204, "X: 1"), head(204, "X: 2")))

    assert [(said.expected, body) for said, body, _ in (story(connection) for _ in range(5))] == [
        (0, b""), (5, b"hello"), (0, b""), (0, b""), (0, b"")
    ]  # fmt: skip


def test_of_two_keep_alive_fields_the_last_counts_whichever_is_another() -> None:
    heads = [head(204, *(f"Keep-Alive: timeout={n}" for n in pair)) for pair in ((5, 60), (3, 60), (3, 9))]
    connection = Http1Connection(Stream(*heads))

    assert [story(connection)[0].keep_alive[0] for _ in heads] == [60, 60, 9]


def test_heads_that_differ_in_date_length_and_id_are_judged_once() -> None:
    heads = [
        head(200, f"Date: {n}", f"Content-Length: {n}", f"X-Request-Id: {n * n}", f"Keep-Alive: timeout={n}").replace(b": ", b":  ")
        for n in range(1, 12)
    ]
    connection = Http1Connection(Stream(*(said + b"x" * n for n, said in enumerate(heads, 1))))

    found = [story(connection) for _ in heads]

    assert Judge.asked == 1
    assert [(said.expected, said.keep_alive[0], len(body), fate) for said, body, fate in found] == [
        (n, n, n, None) for n in range(1, 12)
    ]
    assert found[-1][0].raw_headers[2] == (b"X-Request-Id", b"121")
    assert found[0][0].raw_headers[2] == (b"X-Request-Id", b"1"), "each has fields of its own"

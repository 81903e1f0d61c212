"""A Body keeps its promises about length, replay and memory, whatever it is made of. Those of files: test_files.py."""


from __future__ import annotations

import array
import collections
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.exceptions import InvalidRequest, UnrewindableBodyError
from holdfast.message.content import make_body
from holdfast.message.pieces import PIECE
from tests.message.bodies import made, sent

# ---------------------------------------------------------------------------------------- in memory


@pytest.mark.parametrize("nothing", [None, b"", "", {}, [], (), bytearray()])
def test_nothing_is_no_body(nothing: Any) -> None:
    assert make_body(nothing) is None


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"bytes", b"bytes"),
        ("gr\u00fc\u00df", b"gr\xc3\xbc\xc3\x9f"),
        (bytearray(b"array"), b"array"),
        (memoryview(b"a-b-c")[::2], b"abc"),
        (array.array("H", [0x4141, 0x4242]), b"AABB"),
    ],
)
def test_what_is_in_memory_is_one_replayable_piece_without_a_content_type(data: Any, expected: bytes) -> None:
    body = made(data)
    assert (body.data, body.length, body.content_type, body.replayable) == (expected, len(expected), None, True)
    assert sent(body) == sent(body) == expected


def test_a_bytearray_that_changes_after_the_call_does_not_change_the_body() -> None:
    data = bytearray(b"before")
    body = made(data)
    data[:] = b"after!"
    assert sent(body) == b"before"


def test_text_that_utf8_cannot_hold_is_refused_by_position() -> None:
    with pytest.raises(InvalidRequest, match=r"U\+D800 at character 2 of 3"):
        make_body("ab\ud800")


@pytest.mark.parametrize("thing", [5, 0, False, 1.5, object(), Path("x")])
def test_what_has_no_bytes_is_refused_by_type(thing: Any) -> None:
    with pytest.raises(InvalidRequest, match=f"type {type(thing).__name__} cannot be sent"):
        make_body(thing)


def test_large_data_leaves_in_pieces_of_at_most_64_kib() -> None:
    data = os.urandom(3 * PIECE + 1)
    pieces = list(made(data).chunks())
    assert [len(piece) for piece in pieces] == [PIECE, PIECE, PIECE, 1]
    assert b"".join(pieces) == data


def test_the_repr_tells_the_state() -> None:
    body = made(b"abc")
    assert repr(body) == "<BytesBody: 3 bytes, untouched, replayable>"
    stream = made(iter([b"x"]))
    next(stream.chunks())
    assert repr(stream) == "<IterBody of list_iterator: unknown length, consumed>"


# ---------------------------------------------------------------------------------------- iterators


def test_nothing_of_a_generator_is_taken_before_it_is_sent() -> None:
    taken = []

    def pieces() -> Iterator[bytes]:
        taken.append(1)
        yield b"one"

    body = made(pieces())
    chunks = body.chunks()
    assert (taken, body.consumed, body.length, body.data) == ([], False, None, None)
    assert next(chunks) == b"one"
    assert (taken, body.consumed) == ([1], True)


def test_pieces_of_an_iterator_may_be_text_empty_or_large() -> None:
    pieces = ["\u00e4", b"", bytearray(b"x"), memoryview(b"y"), bytes(PIECE + 1)]
    assert [len(piece) for piece in made(iter(pieces)).chunks()] == [2, 1, 1, PIECE, 1]


def test_a_consumed_iterator_is_never_sent_again_as_an_empty_body() -> None:
    body = made(iter([b"once"]))
    body.rewind()  # untouched: nothing to do
    assert sent(body) == b"once"
    with pytest.raises(UnrewindableBodyError, match="IterBody of list_iterator"):
        body.rewind()
    with pytest.raises(UnrewindableBodyError, match="gives its bytes only once"):
        next(body.chunks())


def test_one_byte_taken_is_consumed_too() -> None:
    body = made(iter([b"one", b"two"]))
    next(body.chunks())
    with pytest.raises(UnrewindableBodyError):
        body.rewind()


def test_a_generator_that_has_ended_is_refused_at_once() -> None:
    spent = (piece for piece in [b"x"])
    assert list(spent) == [b"x"]
    with pytest.raises(UnrewindableBodyError, match="already ended"):
        make_body(spent)


def test_a_generator_that_has_begun_gives_its_rest() -> None:
    begun = (piece for piece in [b"head", b"rest"])
    assert next(begun) == b"head"
    assert sent(made(begun)) == b"rest"


def test_an_iterable_that_hands_out_the_same_generator_is_not_believed_to_be_replayable() -> None:
    class Deceptive:
        def __init__(self) -> None:
            self.pieces = iter([b"x"])

        def __iter__(self) -> Iterator[bytes]:
            return self.pieces

    assert not made(Deceptive()).replayable


def test_the_error_of_an_iterator_is_raised_as_it_is() -> None:
    def broken() -> Iterator[bytes]:
        yield b"x"
        raise LookupError("mine")

    chunks = made(broken()).chunks()
    assert next(chunks) == b"x"
    with pytest.raises(LookupError, match="mine"):
        next(chunks)


def test_a_piece_that_is_not_bytes_is_refused_by_type() -> None:
    with pytest.raises(InvalidRequest, match="type int"):
        sent(made(iter([b"x", 5])))


def test_a_list_of_bytes_has_a_length_and_can_be_sent_twice() -> None:
    body = made([b"ab", "\u00e4", bytearray(b"c")])
    assert (body.length, body.replayable, body.content_type) == (5, True, None)
    assert sent(body) == b"ab\xc3\xa4c"
    body.rewind()
    assert not body.consumed
    assert sent(body) == b"ab\xc3\xa4c"


class Sized:
    """The recipe for progress bars: __iter__ with a __len__ that counts bytes."""

    def __init__(self, length: int, *pieces: bytes) -> None:
        self.length = length
        self.pieces = pieces

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.pieces)


def test_the_len_of_a_sized_iterable_is_its_bytes_as_in_requests() -> None:
    body = made(Sized(4, b"ab", b"cd"))
    oracle = requests.Request("POST", "http://h/", data=Sized(4, b"ab", b"cd")).prepare()
    assert body.length == int(oracle.headers["Content-Length"]) == 4
    assert sent(body) == b"abcd"


@pytest.mark.parametrize("collection", [collections.deque([b"abc"]), {b"abc"}, {b"abc": 1}.keys()])
def test_the_len_of_a_collection_is_not_its_bytes(collection: Any) -> None:
    body = made(collection)
    assert body.length is None
    assert sent(body) == b"abc"


def test_a_len_attribute_is_believed() -> None:
    class Announced:
        len = 3

        def __iter__(self) -> Iterator[bytes]:
            return iter([b"abc"])

    assert made(Announced()).length == 3


def test_a_body_longer_than_its_length_is_cut_before_the_first_byte_too_many() -> None:
    chunks = made(Sized(3, b"ab", b"cd")).chunks()
    assert next(chunks) == b"ab"
    with pytest.raises(InvalidRequest, match="4 bytes or more, 3 were announced"):
        next(chunks)


def test_a_body_shorter_than_its_length_is_an_error_with_both_numbers() -> None:
    with pytest.raises(InvalidRequest, match="ended after 4 of 9 announced"):
        sent(made(Sized(9, b"ab", b"cd")))


def test_a_length_set_before_sending_is_kept_as_a_promise() -> None:
    body = made(iter([b"abc"]))
    body.length = 2
    with pytest.raises(InvalidRequest, match="3 bytes or more, 2 were announced"):
        sent(body)


def test_asynchronous_bodies_are_refused() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"x"  # pragma: no cover - never run

    with pytest.raises(InvalidRequest, match="async_generator is asynchronous"):
        make_body(pieces())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=20) | st.text(max_size=5)), st.integers(0, 60))
def test_every_iterator_gives_exactly_its_bytes_or_an_error(pieces: list[Any], length: int) -> None:
    expected = b"".join(piece if isinstance(piece, bytes) else piece.encode() for piece in pieces)
    assert sent(made(iter(pieces))) == expected
    body = made(iter(pieces))
    body.length = length
    given_out = b""
    try:
        for piece in body.chunks():
            given_out += piece
        assert len(expected) == length
    except InvalidRequest:
        assert len(expected) != length
    assert expected.startswith(given_out)
    assert len(given_out) <= length

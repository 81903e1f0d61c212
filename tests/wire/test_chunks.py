"""Chunks are read past h11: what is given out, and what is an error, is what h11 alone would give out and refuse."""

from __future__ import annotations

import random
import re
import tracemalloc
from collections.abc import Iterator

import h11
import pytest

from holdfast.exceptions import IncompleteBody, RequestException
from holdfast.reasons import Discard
from holdfast.wire import chunks, http1, payload
from holdfast.wire.chunks import PlainChunks
from holdfast.wire.http1 import Http1Connection
from holdfast.wire.payload import COUNTED_BYTES
from holdfast.wire.protocols import OVER
from tests.server import head, ok
from tests.wire.test_http1 import END, Stream, ask, body_of

HEAD = head(200, "Transfer-Encoding: chunked")
SIZES = (1, 1, 7, 7, 16, 300, 5000, COUNTED_BYTES - 1, COUNTED_BYTES, COUNTED_BYTES + 1, 70_000, 200_000)
LINES = (b"%x\r\n",) * 12 + (b"%X\r\n", b"%020x\r\n", b"%016x\r\n", b"%x;a=b\r\n", b"%x \r\n", b"%x;\t\r\n")
LASTS = (b"0\r\n\r\n",) * 4 + (b"000\r\n\r\n", b"0;end\r\n\r\n", b"0\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n")
DAMAGES = (b"\n", b"\r", b"\r\n", b" ", b"g", b"", b"\0", b"-", b"0x", b"\x80")


def frames(random: random.Random) -> list[bytes]:
    """A chunked body, its framing apart from its data."""
    found = []
    for _ in range(random.choice((0, 1, 2, 3, 5, 40))):
        size = random.choice(SIZES)
        found += [random.choice(LINES) % size, random.randbytes(16) * (size // 16) + b"x" * (size % 16), b"\r\n"]
    return [*found, random.choice(LASTS)]


def damaged(random: random.Random, parts: list[bytes]) -> list[bytes]:
    """With one byte of its framing replaced, or an end that comes too soon."""
    at = random.choice([n for n, part in enumerate(parts) if len(part) < 40])
    part = parts[at]
    where = random.randrange(len(part))
    if random.random() < 0.2:
        return [*parts[:at], part[:where]]
    return [*parts[:at], part[:where] + random.choice(DAMAGES) + part[where + 1 :], *parts[at + 1 :]]


def cut(random: random.Random, raw: bytes) -> list[bytes]:
    """In pieces of 64 KiB at most, many of which end inside of the framing."""
    pieces = []
    while raw:
        size = random.choice((1, 2, 3, 5, 100, 8192, 32_768, 65_536, 65_536, 65_536))
        pieces.append(raw[:size])
        raw = raw[size:]
    return pieces


def pieces_of(connection: Http1Connection, size: int, way: str) -> Iterator[bytes]:
    """The body. "into": what of it can be read straight into a buffer of the reader's is read so."""
    room = memoryview(bytearray(size))
    while connection.phase is not OVER:
        if way == "whole" and (data := connection.take_whole()) is not None:
            yield data
        elif way == "into" and connection.unframed:
            yield bytes(room[: connection.read_body_into(room)])
        else:
            yield from connection.read_pieces(size) if way == "pieces" else [connection.read_body(size)]


WAYS = ("pieces", "into", "joined", "whole")


def outcome(pieces: list[bytes], way: str, before: bytes) -> tuple[bytes, object, list[tuple[bytes, bytes]]]:
    """The payload, what became of it and of the connection, and the trailers; behind ``before``, an answer whose head is known."""
    connection = Http1Connection(Stream(*filter(None, [before]), *pieces, END))
    if before:
        ask(connection)
        assert body_of(connection) == b"before"
        assert connection.recycle() is None
    ask(connection)
    data = b""
    try:
        for piece in pieces_of(connection, len(pieces[-1]), way):
            data += piece
    except RequestException as error:
        return data, type(error), []
    return data, connection.recycle(), connection.trailers


@pytest.mark.parametrize("seed", range(100))
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "damaged"])
def test_chunks_past_h11_are_what_they_are_to_h11(seed: int, whole: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(seed)
    parts = frames(chance)
    raw = b"".join(parts if whole else damaged(chance, parts))
    pieces = [HEAD + raw[:100], *cut(chance, raw[100:])] if chance.random() < 0.5 else [HEAD, *cut(chance, raw)]
    before = chance.choice((b"", HEAD + b"6\r\nbefore\r\n0\r\n\r\n"))

    found = [outcome(pieces, way, before) for way in WAYS]

    nothing = re.compile(b"(?!)")
    monkeypatch.setattr(chunks, "_size_line_at", nothing.match)
    monkeypatch.setattr(chunks, "_begins_plainly", nothing.fullmatch)
    monkeypatch.setattr(chunks, "_LAST", b"\r\nnever")
    assert found == [outcome(pieces, "pieces", before)] * len(WAYS), "no line is plain: all is h11's"
    assert not whole or found[0][1] is None


def test_pieces_are_of_one_chunk_each_and_a_read_is_of_all_that_have_come() -> None:
    raw = b"3\r\none\r\n3\r\ntwo\r\n5\r\nthree\r\n4\r\nfo"
    connection = Http1Connection(Stream(HEAD + raw, b"ur\r\n4\r\nfive\r\n3\r\nsix\r\n0\r\n\r\n"))
    ask(connection)

    assert connection.read_pieces() == [b"one", b"two", b"three", b"fo"]
    assert connection.phase is not OVER
    assert connection.read_body() == b"urfivesix"
    assert connection.phase is OVER, "known with the last piece"
    assert (connection.read_pieces(), connection.read_body()) == ([], b"")


def test_a_last_chunk_that_looks_like_one_inside_of_a_chunk_is_data() -> None:
    raw = b"9\r\na\r\n0\r\n\r\n"
    connection = Http1Connection(Stream(HEAD + raw, b"z\r\n0\r\n\r\n"))
    ask(connection)

    assert connection.take_whole() is None
    assert body_of(connection) == b"a\r\n0\r\n\r\nz"
    assert connection.recycle() is None


@pytest.fixture
def given_to_h11(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes h11 was given, each time."""
    given: list[int] = []

    class Watched(h11.Connection):
        def receive_data(self, data: bytes) -> None:
            given.append(len(data))
            super().receive_data(data)

    for module in (http1, payload):
        monkeypatch.setattr(module, "new_h11", lambda: Watched(h11.CLIENT))
    return given


@pytest.mark.parametrize("size", [1, 1000, 70_000])
def test_a_body_in_plain_chunks_is_not_given_to_an_h11_that_was_told_of_the_request_either(
    size: int, given_to_h11: list[int]
) -> None:
    raw = (b"%x\r\n" % size + b"x" * size + b"\r\n") * 3 + b"0\r\n\r\n"
    connection = Http1Connection(Stream(HEAD, raw, ok(b"next")))
    ask(connection, "GET", ("Expect", "100-continue"))

    assert body_of(connection) == b"x" * 3 * size
    assert given_to_h11 == [len(HEAD)]
    assert connection.recycle() is None
    ask(connection)
    assert body_of(connection) == b"next"


def test_what_is_fed_behind_a_part_of_a_line_completes_it() -> None:
    plain = PlainChunks(b"")
    found = b""
    for at in range(len(raw := b"1\r\na\r\n0A\r\n" + b"b" * 10 + b"\r\n0\r\n\r\n")):
        assert not plain.ended
        plain.feed(raw[at : at + 1])
        found += b"".join(plain.pieces())
        assert plain.left or plain.ended or plain.plain_so_far
    assert (found, plain.ended, plain.rest) == (b"abbbbbbbbbb", True, b"")


def test_a_large_chunk_is_not_given_to_h11(given_to_h11: list[int]) -> None:
    piece = b"%x\r\n" % 100_000 + b"x" * 100_000 + b"\r\n"
    connection = Http1Connection(Stream(HEAD, piece, piece + piece, b"0\r\n\r\n", ok(b"next")))
    ask(connection)

    assert body_of(connection) == b"x" * 300_000
    assert connection.recycle() is None
    assert max(given_to_h11) < 100
    ask(connection)
    assert body_of(connection) == b"next"


@pytest.mark.parametrize("way", WAYS)
def test_a_connection_keeps_nothing_of_a_body_that_is_over(way: str) -> None:
    raw = b"%x\r\n" % 30_000 + b"x" * 30_000 + b"\r\n0\r\n\r\n"
    connection = Http1Connection(Stream(HEAD + raw))

    tracemalloc.start()
    try:
        ask(connection)
        assert sum(map(len, pieces_of(connection, 1000, way))) == 30_000
        assert connection.recycle() is None
        assert tracemalloc.get_traced_memory()[0] < 20_000
    finally:
        tracemalloc.stop()


def test_bytes_behind_the_last_chunk_end_the_connection() -> None:
    raw = b"%x\r\n" % 50_000 + b"x" * 50_000 + b"\r\n0\r\n\r\n"
    connection = Http1Connection(Stream(HEAD, raw + b"HTTP/1.1 200"))
    ask(connection)

    assert len(body_of(connection)) == 50_000
    assert connection.recycle() is Discard.UNSOLICITED


@pytest.mark.parametrize("said", ["Connection: close", "Content-Length: 50000"])
def test_a_connection_of_which_that_was_said_ends_behind_a_large_chunk(said: str) -> None:
    raw = b"%x\r\n" % 50_000 + b"x" * 50_000 + b"\r\n0\r\n\r\n"
    connection = Http1Connection(Stream(head(200, "Transfer-Encoding: chunked", said) + raw))
    ask(connection)

    assert len(body_of(connection)) == 50_000
    assert connection.recycle() is Discard.SERVER_CLOSE


def test_a_request_that_ends_the_connection_has_its_large_chunks_by_h11() -> None:
    raw = b"%x\r\n" % 50_000 + b"x" * 50_000 + b"\r\n0\r\n\r\n"
    connection = Http1Connection(Stream(HEAD, raw))
    ask(connection, "GET", ("Connection", "close"))

    assert len(body_of(connection)) == 50_000
    assert connection.recycle() is Discard.SERVER_CLOSE


def test_the_end_in_the_middle_of_a_large_chunk_says_how_much_has_come() -> None:
    connection = Http1Connection(Stream(HEAD, b"%x\r\n" % 100_000 + b"x" * 99_999, END))
    ask(connection)

    with pytest.raises(IncompleteBody, match="99999 bytes came") as caught:
        body_of(connection)

    assert caught.value.received == 99_999
    assert connection.recycle() is Discard.BROKEN

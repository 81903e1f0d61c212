"""The body as a file: the states it goes through, and the sources it may come from."""

from __future__ import annotations

import gzip
import io
import shutil
import threading
import time
import zlib
from collections.abc import Callable

import pytest

from holdfast.exceptions import (
    StreamConsumedError,
)
from holdfast.message.fields import RawHeaders
from holdfast.message.pieces import PIECE
from holdfast.message.raw import NO_FIELDS, BodySource, BodyState, Drained, GivenBody, LocalBody, RawBody
from holdfast.message.response import Response
from tests.message.responses import GZIP, answer, asked

OPEN, ENDED, PASSED, CLOSED = BodyState.OPEN, BodyState.ENDED, BodyState.PASSED, BodyState.CLOSED


class Pieces(LocalBody):
    """A source that gives these pieces."""

    def __init__(self, *pieces: bytes) -> None:
        super().__init__()
        self.pieces = list(pieces)
        self.closings = 0

    def read(self, size: int = PIECE) -> bytes:
        self.ended = not self.pieces
        return self.pieces.pop(0) if self.pieces else b""

    def close(self) -> None:
        self.closings += 1


class FromWire(Pieces):
    """A source that holds a connection: what is left of it is small, or it is not."""

    def __init__(self, *pieces: bytes, small: bool = True) -> None:
        super().__init__(*pieces)
        self.small = small
        self.noted = 0

    trailers: RawHeaders = [(b"X-Sum", b"1")]  # noqa: RUF012 - never changed
    holds_connection = True

    def drain(self) -> bytes | None:
        rest = b"".join(self.pieces)
        self.pieces = []
        return rest if self.small else None

    def note_borrower(self) -> None:
        self.noted += 1


def raw_of(source: BodySource | None, fields: RawHeaders = NO_FIELDS) -> RawBody:
    return RawBody(source, fields, 200, b"OK", b"1.1", None)


def read(raw: RawBody) -> None:
    raw.read1(2)


def close(raw: RawBody) -> None:
    raw.close()


@pytest.mark.parametrize(
    ("acts", "state", "closed", "ended"),
    [
        ([], OPEN, False, False),
        ([read], OPEN, False, False),
        ([read, read], OPEN, False, False),  # all bytes are out, and nobody has seen the end
        ([read, read, read], ENDED, False, True),
        ([RawBody.read], ENDED, False, True),
        ([RawBody.read, read], PASSED, True, True),
        ([RawBody.read, RawBody.read, RawBody.read], PASSED, True, True),
        ([RawBody.read, close], PASSED, True, True),
        ([RawBody.read, close, read], PASSED, True, True),
        ([close], CLOSED, True, False),
        ([read, close, close], CLOSED, True, False),
    ],
)
def test_the_states_of_a_body(acts: list[Callable[[RawBody], object]], state: BodyState, closed: bool, ended: bool) -> None:
    raw = raw_of(Pieces(b"ab", b"c"))
    for act in acts:
        act(raw)
    assert (raw.state, raw.closed, raw.ended) == (state, closed, ended)
    if state is CLOSED:
        with pytest.raises(StreamConsumedError, match="closed before the end"):
            raw.read()
    elif ended:
        assert raw.read() == b""


def test_closing_where_the_end_is_known_and_all_was_given_misses_nothing() -> None:
    for taken, state in ((0, CLOSED), (2, CLOSED), (3, PASSED)):
        raw = raw_of(Drained(b"abc", []))
        raw.read(taken)
        raw.close()
        assert raw.state is state


def test_a_body_without_a_source_has_ended() -> None:
    raw = raw_of(None)
    assert (raw.state, raw.read(), raw.state) == (ENDED, b"", PASSED)
    raw.close()
    assert Response(204, b"", [], b"1.1", None, None).raw.read() == b""


def test_closing_in_another_thread_while_the_last_piece_is_read_leaves_it_closed_and_whole() -> None:
    class Slow(Pieces):
        def read(self, size: int = PIECE) -> bytes:
            piece = super().read(size)
            if not piece:
                closer = threading.Thread(target=raw.close)
                closer.start()
                closer.join()
            return piece

    raw = raw_of(Slow(b"abc"))
    assert raw.read() == b"abc"
    assert (raw.state, raw.closed, raw.ended) == (PASSED, True, True)


def test_a_given_file_and_a_drained_body_hold_no_connection_to_be_freed() -> None:
    for source in (GivenBody(io.BytesIO(b"abc")), Drained(b"abc", [])):
        assert not source.holds_connection
        response = Response(302, b"", [], b"1.1", None, source)
        response.note_borrower()
        response.free_connection()
        assert response._source is source
        assert response.content == b"abc"


def test_a_small_rest_is_kept_when_the_connection_is_freed() -> None:
    source = FromWire(b"ab", b"c")
    response = Response(302, b"", [], b"1.1", None, source)
    response.note_borrower()
    response.free_connection()
    response.free_connection()
    assert source.noted == 1
    assert response.content == b"abc"
    assert response.trailers == {"X-Sum": "1"}
    response.free_connection()
    assert response.content == b"abc"


def test_a_large_rest_is_given_up_when_the_connection_is_freed() -> None:
    source = FromWire(b"abc", small=False)
    response = Response(302, b"", [], b"1.1", None, source)
    response.free_connection()
    assert source.closings == 1
    with pytest.raises(StreamConsumedError, match="closed before its body was read"):
        _ = response.content


def test_a_response_without_a_body_has_no_connection_to_be_freed() -> None:
    response = Response()
    response.note_borrower()
    response.free_connection()
    response.status_code = 200
    assert response.ok


# -- raw -------------------------------------------------------------------------------------------------------


def test_raw_gives_the_bytes_as_they_came() -> None:
    packed = gzip.compress(b"hello")
    response = answer(packed[:3], packed[3:], headers=GZIP)
    assert response.raw.read() == packed
    assert response.raw.read() == b""
    assert (response.raw.status, response.raw.reason, response.raw.version) == (200, "OK", 11)
    assert response.raw.headers["Content-Encoding"] == "gzip"
    assert Response(200, b"", [], b"1.0", asked(), None).raw.version == 10


def test_raw_reads_as_much_as_it_is_told() -> None:
    raw = answer(b"abc", b"def", b"gh").raw
    assert (raw.read(0), raw.read(4), raw.tell(), raw.read(100), raw.read(1)) == (b"", b"abcd", 4, b"efgh", b"")
    assert answer(b"abc", b"def").raw.read(-1) == b"abcdef"


@pytest.mark.parametrize("told", [True, False])
def test_raw_undoes_codings_when_told(told: bool) -> None:
    raw = answer(gzip.compress(b"hello"), headers=GZIP).raw
    if told:
        assert raw.read(2, decode_content=True) == b"he"
        assert b"".join(raw.stream(1, decode_content=True)) == b"llo"
    else:
        raw.decode_content = True
        assert raw.read() == b"hello"


def test_raw_is_not_read_both_ways() -> None:
    raw = answer(gzip.compress(b"hello"), headers=GZIP).raw
    raw.read(2)
    with pytest.raises(RuntimeError, match="decode_content"):
        raw.read(2, decode_content=True)
    plain = answer(b"abc").raw
    assert plain.read(1) + plain.read(2, decode_content=True) == b"abc"


def test_raw_is_a_file_to_the_standard_library() -> None:
    assert list(io.TextIOWrapper(io.BufferedReader(answer(b"a\nb", b"c\n").raw))) == ["a\n", "bc\n"]
    target = io.BytesIO()
    shutil.copyfileobj(answer(b"abc", b"def").raw, target)
    assert target.getvalue() == b"abcdef"
    with gzip.open(answer(gzip.compress(b"hello")).raw) as unpacked:
        assert unpacked.read() == b"hello"
    assert list(answer(b"a\r\nb", b"c\n\nd").raw) == [b"a\r\n", b"bc\n", b"\n", b"d"]
    assert list(answer(b"a\n").raw) == [b"a\n"]


def test_raw_reads_lines_across_pieces_and_no_further_than_it_is_told() -> None:
    raw = answer(b"a\r\nb", b"c\n", b"\nde").raw
    assert [raw.readline(2), raw.readline(0), raw.readline(None), raw.readline(-1)] == [b"a\r", b"", b"\n", b"bc\n"]
    assert raw.readlines() == [b"\n", b"de"]
    assert answer(b"ab\ncd\nef\n").raw.readlines(4) == [b"ab\n", b"cd\n"]
    assert answer(b"ab\n").raw.readlines(None) == [b"ab\n"]


def test_a_line_of_raw_that_arrives_byte_by_byte_is_read_in_linear_time() -> None:
    raw = answer(*[b"x"] * 20_000).raw
    began = time.thread_time()
    assert len(raw.readline()) == 20_000
    assert time.thread_time() - began < 5


def test_a_loop_until_raw_is_closed_ends_and_a_wrapper_finds_the_end_before() -> None:
    raw = answer(b"abc", b"def").raw
    pieces = []
    while not raw.closed:
        pieces.append(raw.read(4))
    assert b"".join(pieces) == b"abcdef"
    assert list(io.TextIOWrapper(answer(b"a\nb").raw)) == ["a\n", "b"]
    assert io.BufferedReader(answer(b"a\nb").raw).readlines() == [b"a\n", b"b"]


def test_raw_cannot_be_moved_or_written() -> None:
    raw = answer(b"abc").raw
    for refused in (raw.fileno, raw.truncate, lambda: raw.seek(0), lambda: raw.write(b"")):
        with pytest.raises(io.UnsupportedOperation, match="once"):
            refused()


def test_raw_tells_what_it_can_do() -> None:
    raw = answer().raw
    assert (raw.readable(), raw.writable(), raw.seekable(), raw.closed) == (True, False, False, False)
    raw.flush()
    raw.close()
    assert raw.closed
    with pytest.raises(StreamConsumedError):
        raw.read(1)


def test_readinto_fills_what_arrived() -> None:
    raw = answer(b"abcdef").raw
    buffer = bytearray(4)
    assert (raw.readinto(buffer), bytes(buffer)) == (4, b"abcd")
    assert (raw.readinto(buffer), bytes(buffer)) == (2, b"efcd")
    assert (raw.readinto(buffer), raw.readinto(bytearray())) == (0, 0)


def test_raw_of_a_body_that_was_read_is_at_its_end() -> None:
    response = answer(b"abc")
    assert response.content == b"abc"
    assert response.raw.read() == b""
    assert isinstance(response.raw, RawBody)


class Chunks(Pieces):
    """A source of whose chunks several have come at once."""

    def read(self, size: int = PIECE) -> bytes:
        return b"".join(self.read_pieces(size))

    def read_pieces(self, size: int = PIECE) -> list[bytes]:
        come, self.pieces[:] = self.pieces[:], []
        self.ended = True
        return come


@pytest.mark.parametrize("before", [2, 3], ids=["within a chunk", "between two"])
@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        (lambda raw: raw.read(), b"twothree"),
        (lambda raw: raw.read(5), b"twothree"),
        (lambda raw: b"".join(raw.stream(2)), b"twothree"),
        (lambda raw: b"|".join(raw.stream(None)), b"two|three"),
        (lambda raw: raw.readline(), b"twothree"),
        (lambda raw: raw.data, b"twothree"),
        (lambda raw: bytes((room := bytearray(PIECE), raw.readinto(room))[0]).rstrip(b"\0"), b"two"),
    ],
    ids=["read", "read(5)", "stream(2)", "stream(None)", "readline", "data", "readinto"],
)
def test_chunks_that_have_come_at_once_are_given_one_by_one_or_joined_and_none_is_lost(
    before: int, rest: Callable[[RawBody], bytes], expected: bytes
) -> None:
    raw = raw_of(Chunks(b"one", b"two", b"three"))

    found = raw.read1(before)
    said = rest(raw)
    if before == 3:
        assert expected.startswith(said)
    assert found + said.replace(b"|", b"") + raw.read() == b"onetwothree"
    assert (raw.taken, raw.ended, raw.read()) == (11, True, b"")


def test_what_can_be_read_straight_into_a_buffer_comes_behind_the_chunks_that_have_come() -> None:
    class BeforeALargeOne(Chunks):
        """What comes behind the chunks is the start of a large one."""

        @property
        def unframed(self) -> int:
            return 0 if self.pieces else PIECE + 1

        def read_into(self, view: memoryview) -> int | None:
            if not self.unframed:
                return None
            view[:5] = b"large"
            return 5

    raw = raw_of(BeforeALargeOne(b"one", b"two", b"three"))
    room = bytearray(PIECE)

    assert [bytes(room[: raw.readinto(room)]) for _ in range(4)] == [b"one", b"two", b"three", b"large"]

    raw = raw_of(BeforeALargeOne(b"one", b"two", b"three"))
    assert [raw.read1(PIECE) for _ in range(4)] == [b"one", b"two", b"three", b"large"]


def test_chunks_that_have_come_and_were_not_given_make_closing_a_cut() -> None:
    raw = raw_of(Chunks(b"one", b"two"))
    assert raw.read1() == b"one"
    raw.close()
    with pytest.raises(StreamConsumedError):
        raw.read()


def test_coded_chunks_are_decoded_one_by_one_or_joined() -> None:
    packer = zlib.compressobj(wbits=31)
    coded = [packer.compress(word) + packer.flush(zlib.Z_SYNC_FLUSH) for word in (b"one", b"two", b"three")] + [packer.flush()]
    fields = [(b"Content-Encoding", b"gzip")]

    assert list(raw_of(Chunks(*coded), fields).stream(None, True)) == [b"one", b"two", b"three"]
    assert raw_of(Chunks(*coded), fields).read(decode_content=True) == b"onetwothree"

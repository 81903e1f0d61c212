"""The body as a file: the states it goes through, and the sources it may come from."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable

import pytest

from holdfast.exceptions import StreamConsumedError
from holdfast.message.fields import RawHeaders
from holdfast.message.raw import BodySource, BodyState, Drained, GivenBody, LocalBody, RawBody
from holdfast.message.response import Response

OPEN, ENDED, PASSED, CLOSED = BodyState.OPEN, BodyState.ENDED, BodyState.PASSED, BodyState.CLOSED


class Pieces(LocalBody):
    """A source that gives these pieces."""

    def __init__(self, *pieces: bytes) -> None:
        super().__init__()
        self.pieces = list(pieces)
        self.closings = 0

    def read(self) -> bytes:
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


def raw_of(source: BodySource | None) -> RawBody:
    return RawBody(source, [], 200, b"OK", b"1.1", None)


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


def test_a_body_without_a_source_has_ended() -> None:
    raw = raw_of(None)
    assert (raw.state, raw.read(), raw.state) == (ENDED, b"", PASSED)
    raw.close()
    assert Response(204, b"", [], b"1.1", None, None).raw.read() == b""


def test_closing_in_another_thread_while_the_last_piece_is_read_leaves_it_closed_and_whole() -> None:
    class Slow(Pieces):
        def read(self) -> bytes:
            piece = super().read()
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

"""Event streams: what the HTML standard says a stream means, however it was cut, and how much of it is kept."""

from __future__ import annotations

import dataclasses
import gzip
import itertools
import re
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

import holdfast
from holdfast.exceptions import EventStreamError, EventTooLarge, JSONDecodeError, StreamConsumedError
from holdfast.message.events import EventParser, ServerSentEvent
from holdfast.message.response import Response
from tests.message.responses import Act, answer, source_of, typed

STREAM = typed("text/event-stream")


def events(*pieces: bytes) -> list[ServerSentEvent]:
    """The events of a stream that came in these pieces."""
    return list(answer(*pieces, headers=STREAM).iter_events())


def data(*pieces: bytes) -> list[str]:
    """The same, but for their data alone."""
    return [event.data for event in events(*pieces)]


def stream(*acts: Act) -> Response:
    """A response that is an event stream."""
    return answer(*acts, headers=STREAM)


# -- what the lines mean -----------------------------------------------------------------------------------------------


def test_the_examples_of_the_standard_mean_what_it_says() -> None:
    stocks = b"data: YHOO\ndata: +2\ndata: 10\n\n"
    comments = b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n"
    blanks = b"data\n\ndata\ndata\n\ndata:"

    assert events(stocks) == [ServerSentEvent("message", "YHOO\n+2\n10")]
    assert events(comments) == [
        ServerSentEvent("message", "first event", "1"),
        ServerSentEvent("message", "second event", ""),
        ServerSentEvent("message", " third event", ""),
    ]
    assert data(blanks) == ["", "\n"], "and the last block has no end"
    assert data(b"data:test\n\ndata: test\n\n") == ["test", "test"]


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_any_line_end_ends_a_line_and_they_may_be_mixed(end: bytes) -> None:
    assert data(end.join([b"data: a", b"data: b", b"", b""])) == ["a\nb"]
    assert data(b"data: a" + end + b"data: b\r\n\r\ndata: c\n\r") == ["a\nb", "c"]


def test_a_line_feed_that_comes_after_its_carriage_return_ends_no_line_of_its_own() -> None:
    assert data(b"data: a\r", b"\ndata: b\r", b"\n\r", b"\n") == ["a\nb"]
    assert data(b"data: a\r", b"\n", b"\ndata: b\n\n") == ["a", "b"], "one line feed, not two"
    parser = EventParser()
    pieces = (b"data: a\r", b"", b"\ndata: b\n\n")
    assert [event.data for piece in pieces for event in parser.feed(piece)] == ["a\nb"], "nothing is between the two"


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\u0085", "\x0b", "\x0c", "\x1c"])
def test_what_unicode_calls_a_line_end_is_a_character_like_others(character: str) -> None:
    assert data(f"data: a{character}b\n\n".encode()) == [f"a{character}b"]


def test_one_byte_order_mark_at_the_beginning_is_left_out() -> None:
    mark = "\ufeff".encode()

    assert data(mark + b"data: a\n\n") == ["a"]
    assert data(mark[:1], mark[1:2], mark[2:], b"data: a\n\n") == ["a"]
    assert data(mark[:2], b"data: a\n\ndata: b\n\n") == ["b"], "half a mark is a name that has no meaning"
    assert data(mark + mark + b"data: a\n\ndata: b\n\n") == ["b"]
    assert data(b"data: " + mark + b"\n\n") == ["\ufeff"]
    assert data(mark) == []


def test_an_event_that_has_not_ended_is_dropped() -> None:
    assert data(b"data: a\n\ndata: b\n") == ["a"]
    assert data(b"data: a\n\ndata: b\n\n"[:-1] + b"data: c") == ["a"]


def test_an_id_lasts_until_another_one_and_one_with_a_nul_is_none() -> None:
    found = events(b"id: 1\ndata: a\n\ndata: b\n\nid: 2\0\ndata: c\n\nid\ndata: d\n\n")

    assert [(event.data, event.id) for event in found] == [("a", "1"), ("b", "1"), ("c", "1"), ("d", "")]


def test_the_id_of_a_block_without_data_counts_and_that_of_an_unfinished_one_does_not() -> None:
    parser = EventParser()

    assert list(parser.feed(b"id: 7\n\nid: 8\ndata: lost\n")) == []
    assert parser.last_event_id == "7"


def test_a_parser_goes_on_with_the_id_of_the_connection_before() -> None:
    assert next(EventParser("41").feed(b"data: a\n\n")).id == "41"


def test_retry_is_ascii_digits_only_and_counts_at_once() -> None:
    parser = EventParser()
    refused = "retry: 1.5\nretry: -1\nretry:\nretry: ٣\nretry:  5\nretry: 5 \n\n".encode()
    assert list(parser.feed(refused)) == []
    assert parser.retry is None

    assert list(parser.feed(b"retry: 2500\n")) == []
    assert parser.retry == 2500, "before the block has ended"
    assert [event.retry for event in parser.feed(b"data: a\n\ndata: b\n\n")] == [2500, None]
    assert list(parser.feed(b"retry: " + b"9" * 5000 + b"\n")) == []
    assert parser.retry == 10**15 - 1, "no number is too long for int()"
    assert list(parser.feed(b"retry: 3")) == []
    assert parser.retry == 10**15 - 1, "a line without an end says nothing"


def test_unknown_fields_and_comments_mean_nothing() -> None:
    assert data(b"DATA: x\n data: y\ndata : z\n: c\nevent\n\n") == []
    assert events(b"event: add\ndata: 1\n\nevent:\ndata: 2\n\nevent: x\n\ndata: 3\n\n") == [
        ServerSentEvent("add", "1"),
        ServerSentEvent("message", "2"),
        ServerSentEvent("message", "3"),
    ]


def test_what_is_not_utf8_is_replaced_also_where_it_was_cut() -> None:
    assert data(b"data: \xe2\x82", b"\xac \xff\n\n") == ["€ \ufffd"]
    assert data(b"data: \xe2\x82\ndata: \xac\n\n") == ["\ufffd\n\ufffd"], "a line's end ends a character"


def test_an_event_is_a_frozen_value_and_may_hold_json() -> None:
    event = events(b'data: {"a":\ndata: 1}\n\n')[0]

    assert event.json() == {"a": 1}
    assert event.json(parse_int=str) == {"a": "1"}
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.data = "x"  # type: ignore[misc]  # that is the test
    with pytest.raises(JSONDecodeError, match="Expecting value"):
        ServerSentEvent("message", "[DONE").json()
    with pytest.raises(JSONDecodeError, match="Nested too deeply"):
        ServerSentEvent("message", "[" * 100_000).json()


# -- however it was cut ------------------------------------------------------------------------------------------------


def standard(whole: bytes) -> list[tuple[str, str, str]]:
    """(type, data, id) of each event, read off the standard's text: decode it all, cut it into lines, interpret them."""
    text = whole.decode("utf-8", "replace").removeprefix("\ufeff")
    *lines, _ = re.split("\r\n|\n|\r", text)
    found, kind, buffer, last = [], "", "", ""
    for line in lines:
        if not line:
            if buffer:
                found.append((kind or "message", buffer[:-1], last))
            kind = buffer = ""
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            buffer += value + "\n"
        elif name == "event":
            kind = value
        elif name == "id" and "\0" not in value:
            last = value
    return found


NAMED = (b"data", b"data:", b"data: x", b"id: 1", b"id", b"id: \0", b"event: e", b"retry: 5", b":", b" ")
FIELDS = st.sampled_from([*NAMED, *[b""] * 5])
ENDS = st.sampled_from([b"\r", b"\n", b"\r\n", b"\r\n", b""])
BYTES = [b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\xc2\x85", b"\xe2", b"\x80", b"\xf0\x9f", b"\xff", b"\xed\xa0\x80"]
PARTS = st.tuples(FIELDS, st.sampled_from([*[b""] * 8, *BYTES]), ENDS).map(b"".join)


@given(st.lists(PARTS, max_size=30), st.lists(st.integers(0, 200), max_size=8))
def test_a_stream_means_the_same_wherever_it_was_cut(parts: list[bytes], cuts: list[int]) -> None:
    whole = b"".join(parts)
    edges = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    pieces = [whole[start:end] for start, end in itertools.pairwise(edges)]
    expected = standard(whole)

    for cut in ([whole], pieces, [whole[at : at + 1] for at in range(len(whole))], [b"", *pieces, b""]):
        parser = EventParser()
        found = [event for piece in cut for event in parser.feed(piece)]
        assert [(event.event, event.data, event.id) for event in found] == expected


def test_an_event_is_given_out_before_more_is_read() -> None:
    for text in (b"data: 1\n\n", b"data: 1\r\r", b"data: 1\r\n\r\n", b"data: 1\n\ndata: 2\nda"):
        assert next(stream(text, AssertionError("this was read too early")).iter_events()).data == "1"


def test_a_compressed_event_is_given_out_before_more_is_read() -> None:
    packer = zlib.compressobj(wbits=31)
    first = packer.compress(b"data: 1\n\n") + packer.flush(zlib.Z_SYNC_FLUSH)
    fields = [*STREAM, (b"Content-Encoding", b"gzip")]

    assert next(answer(first, AssertionError("too early"), headers=fields).iter_events()).data == "1"
    whole = gzip.compress(b"data: 1\n\ndata: 2\n\n")
    assert [event.data for event in answer(whole, headers=fields).iter_events()] == ["1", "2"]


# -- bounds ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pieces",
    [[b"x" * 11], [b"x" * 6, b"x" * 5], [b"data:a\n", b"data:"], [b"data\n", b"data\n", b"data\n"], [b"data: 1\n\n", b":" * 11]],
    ids=["a line", "a line in pieces", "a line behind another", "lines", "a comment"],
)
def test_an_event_or_a_line_that_grows_without_an_end_is_an_error_and_the_response_is_closed(pieces: list[bytes]) -> None:
    response = stream(*pieces, AssertionError("no more is read"))

    with pytest.raises(EventTooLarge, match="more than 10 bytes") as caught:
        list(response.iter_events(max_event_bytes=10))
    assert caught.value.response is response
    assert caught.value.request is response.request
    assert source_of(response).closed


def test_comments_and_empty_lines_may_go_on_for_ever() -> None:
    pieces = [b": ping\r\n"] * 50 + [b"\n"] * 50 + [b"nonsense: 1\n"] * 50 + [b"data: 1\n\n"]

    assert [event.data for event in stream(*pieces).iter_events(max_event_bytes=20)] == ["1"]
    assert len(next(stream(b"data:" + bytes(2 << 20) + b"\n\n").iter_events(max_event_bytes=None)).data) == 2 << 20


# -- the response ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["text/event-stream;charset=utf-8", "Text/Event-Stream ; x=y", "text/event-stream"])
def test_the_content_type_may_have_parameters(given: str) -> None:
    assert len(list(answer(b"data: 1\n\n", headers=typed(given)).iter_events())) == 1


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (typed("application/json"), r"the answer \(503\) is no event stream: its Content-Type is 'application/json', not text/"),
        (typed("text/event-stream-x"), "its Content-Type is 'text/event-stream-x'"),
        ([], r"the answer \(503\) is no event stream: it has no Content-Type"),
    ],
)
def test_what_is_no_event_stream_is_refused_at_once_and_can_be_read_otherwise(fields: list[tuple[bytes, bytes]], said: str) -> None:
    response = answer(b"{}", status=503, headers=fields)

    with pytest.raises(EventStreamError, match=said) as caught:
        response.iter_events()
    assert caught.value.response is response
    assert response.content == b"{}"


def test_content_that_was_read_has_events_too_and_a_stream_has_them_once() -> None:
    read = stream(b"data: 1\n\ndata: 2\n\n")
    assert read.content
    assert [[event.data for event in read.iter_events()] for _ in range(2)] == [["1", "2"]] * 2

    streamed = stream(b"data: 1\n\n")
    assert len(list(streamed.iter_events())) == 1
    with pytest.raises(StreamConsumedError):
        streamed.iter_events()


def test_responses_as_requests_has_them_have_events() -> None:
    response = holdfast.requests.Response()
    response.status_code = 200
    response.headers["Content-Type"] = "text/event-stream"
    response._content = b"data: by hand\n\n"

    assert [event.data for event in response.iter_events()] == ["by hand"]

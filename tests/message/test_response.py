"""Response: a body that is whole or an error, freed by reference count, and requests' way of showing it."""

from __future__ import annotations

import copy
import gc
import gzip
import json
import pickle
import sys
import weakref
import zlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import requests

from holdfast.exceptions import (
    ContentDecodingError,
    DecodedTooLarge,
    HTTPError,
    IncompleteBody,
    JSONDecodeError,
    RequestException,
    StreamConsumedError,
)
from holdfast.message.response import Response
from tests.message.responses import GZIP, Raw, answer, asked, lengthy, source_of, theirs, typed

# -- the head --------------------------------------------------------------------------------------------------


def test_the_head_is_shown_as_in_requests() -> None:
    response = answer(headers=[(b"X-A", b"1"), (b"x-a", b"2")], reason=b"Fine \xe9")
    assert (response.status_code, response.reason, response.http_version) == (200, "Fine é", "HTTP/1.1")
    assert response.headers["X-a"] == "1, 2"
    assert response.headers is response.headers
    assert response.url == "http://example.com/"
    response.url = "http://elsewhere/"
    assert response.url == "http://elsewhere/"
    assert (response.history, response.next, response.connection, response.request_incomplete) == (
        [],
        None,
        None,
        False,
    )
    assert (response.attempts, response.resent) == (1, 0)
    assert repr(response) == "<Response [200]>"


def test_elapsed_is_a_timedelta_over_seconds() -> None:
    response = answer()
    response.elapsed_seconds = 1.5
    assert response.elapsed == timedelta(seconds=1.5)
    response.elapsed = timedelta(milliseconds=20)
    assert response.elapsed_seconds == 0.02


@pytest.mark.parametrize("status", [200, 204, 301, 304, 399, 400, 404, 499, 500, 503, 599, 600, 999])
def test_ok_truth_and_raise_for_status_are_those_of_requests(status: int) -> None:
    reference = theirs(b"", {})
    reference.status_code, reference.reason, reference.url = status, "Not Found", "http://example.com/"
    ours = answer(status=status, reason=b"Not Found")
    assert (ours.ok, bool(ours)) == (reference.ok, bool(reference))
    if reference.ok:
        ours.raise_for_status()
        return
    with pytest.raises(requests.HTTPError) as expected:
        reference.raise_for_status()
    with pytest.raises(HTTPError) as caught:
        ours.raise_for_status()
    assert str(caught.value) == str(expected.value)
    assert caught.value.response is ours
    assert caught.value.request is ours.request


def test_an_http_error_shows_no_userinfo_and_no_raw_bytes_of_the_server() -> None:
    response = answer(status=500, reason=b"\x1b[2J" + b"\xff" * 1000, url="http://user:hunter2@example.com/")
    with pytest.raises(HTTPError) as caught:
        response.raise_for_status()
    text = str(caught.value)
    assert "hunter2" not in text
    assert text.isprintable()
    assert len(text) < 250
    response.url = "http://shown.example/"
    with pytest.raises(HTTPError, match=r"http://shown\.example/"):
        response.raise_for_status()


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 305, 307, 308, 200])
@pytest.mark.parametrize("headers", [[], [(b"LOCATION", b"/x")]])
def test_redirects_are_recognised_as_in_requests(status: int, headers: Raw) -> None:
    reference = theirs(b"", {name.decode(): value.decode() for name, value in headers})
    reference.status_code = status
    ours = answer(status=status, headers=headers)
    assert (ours.is_redirect, ours.is_permanent_redirect) == (
        reference.is_redirect,
        reference.is_permanent_redirect,
    )


def test_cookies_are_those_this_response_set() -> None:
    response = answer(headers=[(b"set-cookie", b"a=1"), (b"Set-Cookie", b"b=2; Domain=other.example")])
    assert response.cookies.get_dict() == {"a": "1"}
    jar = response.cookies
    response.cookies = jar
    assert response.cookies is jar


def test_trailers_are_there_after_the_body() -> None:
    response = answer(b"x")
    source_of(response).trailers = [(b"X-Sum", b"1")]
    assert response.content == b"x"
    assert response.trailers["x-sum"] == "1"
    assert Response(204, b"", [], b"1.1", asked(), None).trailers == {}


# -- the whole body --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("acts", [(), (b"one",), (b"one", b"two"), (b"one", b"two", b"three")])
def test_content_is_all_the_pieces_and_is_kept(acts: tuple[bytes, ...]) -> None:
    response = answer(*acts)
    assert response.content == b"".join(acts)
    assert response.content is response.content
    assert list(response.iter_content(None)) == ([b"".join(acts)] if acts else [])


def test_a_response_without_a_source_is_empty() -> None:
    response = Response(204, b"", [], b"1.1", asked(), None)
    assert (response.content, response.text, list(response.iter_content(5))) == (b"", "", [])
    response.close()


def test_content_codings_are_undone() -> None:
    packed = gzip.compress(b"hello" * 1000)
    assert answer(packed[:7], packed[7:], headers=GZIP).content == b"hello" * 1000
    twice = [(b"Content-Encoding", b"deflate"), (b"content-encoding", b"gzip")]
    assert answer(gzip.compress(zlib.compress(b"x")), headers=twice).content == b"x"
    assert answer(b"as it is", headers=[(b"Content-Encoding", b"rot13")]).content == b"as it is"
    assert answer(headers=GZIP).content == b""


def test_a_bomb_stops_at_max_decoded() -> None:
    bomb = gzip.compress(b"\0" * 10_000_000)
    with pytest.raises(DecodedTooLarge):
        _ = answer(bomb, headers=GZIP, max_decoded=1000).content
    with pytest.raises(DecodedTooLarge):
        list(answer(bomb, headers=GZIP, max_decoded=1000).iter_content(100))


FAILURES: list[tuple[Callable[[], Response], type[Exception]]] = [
    (lambda: answer(b"some", IncompleteBody("4 of 9 bytes", received=4, expected=9)), IncompleteBody),
    (lambda: answer(gzip.compress(b"x" * 1000)[:-9], headers=GZIP), ContentDecodingError),
    (lambda: answer(b"no gzip", headers=GZIP), ContentDecodingError),
]
Reading = Callable[[Response], Any]
READINGS: list[Reading] = [
    lambda response: response.content,
    lambda response: response.text,
    lambda response: list(response.iter_content(2)),
    lambda response: list(response.iter_content(None, decode_unicode=True)),
    lambda response: list(response.iter_lines()),
    lambda response: list(response),
    lambda response: pickle.dumps(response),
]


@pytest.mark.parametrize("again", READINGS)
@pytest.mark.parametrize("first", READINGS)
@pytest.mark.parametrize(("make", "kind"), FAILURES)
def test_a_body_that_failed_fails_again_and_never_looks_empty(
    make: Callable[[], Response], kind: type[Exception], first: Reading, again: Reading
) -> None:
    response = make()
    with pytest.raises(kind) as caught:
        first(response)
    assert isinstance(caught.value, RequestException)
    assert caught.value.response is response
    assert caught.value.request is response.request
    assert source_of(response).closed
    with pytest.raises(kind) as repeated:
        again(response)
    assert repeated.value is not caught.value
    assert str(repeated.value) == str(caught.value)
    assert vars(repeated.value).get("received") == vars(caught.value).get("received")


@pytest.mark.parametrize("read", READINGS[:6])
def test_a_body_whose_reading_was_interrupted_is_not_taken_for_whole(read: Callable[[Response], Any]) -> None:
    response = answer(b"half", KeyboardInterrupt(), b"rest")
    with pytest.raises(KeyboardInterrupt):
        read(response)
    assert source_of(response).closed
    for again in READINGS[:6]:
        with pytest.raises(StreamConsumedError, match="KeyboardInterrupt"):
            again(response)


def test_content_after_a_part_was_streamed_is_the_rest() -> None:
    response = answer(b"abc", b"def")
    assert next(response.iter_content(2)) == b"ab"
    assert response.content == b"cdef"
    assert b"".join(response.iter_content(2)) == response.content == b"cdef"


def test_content_after_all_was_iterated_over_is_an_error_and_after_raw_was_read_nothing() -> None:
    for pieces in ([b"abc"], []):
        response = answer(*pieces)
        assert list(response.iter_content(9)) == pieces
        for again in READINGS[:6]:
            with pytest.raises(StreamConsumedError, match="consumed already"):
                again(response)
    response = answer(b"abc")
    assert response.raw.read() == b"abc"
    assert list(response.iter_content(9)) == []
    response = answer(b"abc")
    assert response.raw.read() == b"abc"
    assert response.content == b""


def test_content_of_a_coded_body_after_a_part_is_the_rest_decoded() -> None:
    response = answer(*(bytes([byte]) for byte in gzip.compress(b"abcdef")), headers=GZIP)
    assert next(response.iter_content(2)) == b"a"
    assert response.content == b"bcdef"


@pytest.mark.parametrize("first", [lambda r: next(r.iter_content(2)), lambda r: r.raw.read(2)])
def test_a_rest_that_is_cut_short_is_an_error_and_stays_one(first: Callable[[Response], Any]) -> None:
    response = answer(b"abc", IncompleteBody("cut"))
    first(response)
    for _ in range(2):
        with pytest.raises(IncompleteBody):
            _ = response.content


def test_a_coded_rest_that_is_cut_short_is_an_error_and_stays_one() -> None:
    response = answer(gzip.compress(b"abcdef")[:-9], headers=GZIP)
    for _ in range(2):
        with pytest.raises(ContentDecodingError):
            response.raw.read(decode_content=True)
    with pytest.raises(ContentDecodingError):
        _ = response.content


def test_a_part_of_a_body_that_was_closed_is_not_its_content() -> None:
    with answer(b"abc", b"def") as response:
        next(response.iter_content(2))
    for _ in range(2):
        with pytest.raises(StreamConsumedError, match="closed"):
            _ = response.content


def test_content_is_whole_when_nothing_was_taken_yet() -> None:
    response = answer(b"abc")
    response.iter_content(2)
    _ = response.raw
    assert response.content == b"abc"


# -- closing and letting go ------------------------------------------------------------------------------------


def test_with_closes_the_source() -> None:
    with answer(b"abc") as response:
        pass
    assert source_of(response).closed
    for read in READINGS[:6]:
        with pytest.raises(StreamConsumedError, match="closed before its body was read"):
            read(response)


def test_closing_after_reading_keeps_what_was_read() -> None:
    with answer(b"abc") as response:
        assert response.content == b"abc"
    assert response.content == b"abc"
    assert source_of(response).closed


def test_closing_while_iterating_is_not_the_end_of_the_body() -> None:
    response = answer(b"abc", b"def")
    pieces = response.iter_content(None)
    assert next(pieces) == b"abc"
    response.close()
    with pytest.raises(StreamConsumedError, match="closed before the end"):
        next(pieces)


@pytest.mark.parametrize(
    "touch",
    [
        lambda response: None,
        lambda response: next(response.iter_content(1)),
        lambda response: next(response.iter_lines()),
        lambda response: response.raw.read(1),
        lambda response: (response.headers, response.cookies, response.encoding, response.links, response.trailers),
        lambda response: next(response.iter_content(1, decode_unicode=True)),
        lambda response: response.content,
        lambda response: response.close(),
    ],
)
def test_dropping_a_response_frees_its_source_at_once(touch: Callable[[Response], Any]) -> None:
    response = answer(b"ab\ncd", b"ef")
    freed = weakref.ref(source_of(response))
    gc.disable()
    try:
        touch(response)
        del response
        assert freed() is None
    finally:
        gc.enable()


def test_a_response_whose_body_failed_is_freed_with_its_exception() -> None:
    gc.disable()
    try:
        response = answer(IncompleteBody("cut"))
        freed = weakref.ref(response)
        for _ in range(2):
            try:
                _ = response.content
            except IncompleteBody:
                pass
        del response
        assert freed() is None
    finally:
        gc.enable()


# -- pieces ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_pieces_of_a_body_of_known_length_are_full(size: int) -> None:
    body = b"0123456789abcdef"
    for acts in ((body,), (body[:5], body[5:6], body[6:]), tuple(bytes([byte]) for byte in body)):
        pieces = list(answer(*acts, headers=lengthy(body)).iter_content(size))
        assert b"".join(pieces) == body
        assert {len(piece) for piece in pieces[:-1]} <= {size}


def test_pieces_of_a_body_of_unknown_length_are_given_out_as_they_arrive() -> None:
    response = answer(b"event: 1", AssertionError("this was read too early"))
    pieces = response.iter_content(512)
    assert next(pieces) == b"event: 1"


def test_no_chunk_size_means_pieces_as_they_arrive() -> None:
    assert list(answer(b"ab", b"cde", headers=lengthy(b"abcde")).iter_content(None)) == [b"ab", b"cde"]
    assert list(answer(b"a" * 200)) == [b"a" * 128, b"a" * 72]
    assert list(answer(b"abc").iter_content()) == [b"a", b"b", b"c"]


@pytest.mark.parametrize("size", [0, -1])
def test_a_chunk_size_below_one_is_an_error(size: int) -> None:
    with pytest.raises(ValueError, match="chunk_size must be at least 1 byte"):
        answer().iter_content(size)


@pytest.mark.parametrize("size", ["1", 1.0, True])
def test_a_chunk_size_that_is_no_number_is_a_type_error(size: Any) -> None:
    with pytest.raises(TypeError, match="chunk_size must be an int"):
        answer().iter_content(size)


def test_a_streamed_body_is_streamed_once() -> None:
    response = answer(b"abc")
    assert list(response.iter_content(2)) == [b"ab", b"c"]
    with pytest.raises(StreamConsumedError, match="consumed already"):
        response.iter_content(2)


def test_an_abandoned_iteration_is_continued_by_the_next() -> None:
    response = answer(b"abcdef")
    for piece in response.iter_content(2):
        assert piece == b"ab"
        break
    assert list(response.iter_content(3)) == [b"cde", b"f"]


@pytest.mark.parametrize("size", [1, 7, 1000, None])
def test_a_coded_body_is_streamed_decoded(size: int | None) -> None:
    data = bytes(range(256)) * 300
    packed = gzip.compress(data)
    acts = [packed[at : at + 100] for at in range(0, len(packed), 100)]
    assert b"".join(answer(*acts, headers=GZIP).iter_content(size)) == data


def test_streaming_a_bomb_takes_bounded_memory() -> None:
    response = answer(gzip.compress(b"\0" * 20_000_000), headers=GZIP)
    assert max(len(piece) for piece in response.iter_content(None)) <= 65536


def test_unicode_is_cut_between_characters() -> None:
    acts = [bytes([byte]) for byte in "héllo €".encode()]
    assert list(answer(*acts, headers=typed("a/b;charset=utf-8")).iter_content(1, True)) == list("héllo €")
    assert "".join(answer(b"a\xe2\x82").iter_content(1, decode_unicode=True)) == "a\ufffd"
    assert list(answer(b"\xe9", headers=typed("a/b;charset=latin-1")).iter_content(5, True)) == ["é"]


# -- text ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content_type", "content", "text"),
    [
        ("text/plain; charset=utf-8", "é".encode(), "é"),
        ("text/plain; charset=UTF-8", b"\xff", "\ufffd"),
        ('text/plain; Charset="latin-1"', b"\xe9", "é"),
        ("text/plain; a=b; charset='cp1252'", b"\x80", "€"),
        ("text/html", "é".encode(), "é"),
        ("text/html", b"\xe9", "é"),
        ("application/octet-stream", "é".encode(), "é"),
        ("application/json", "é".encode(), "é"),
        ("application/json", b"\xe9", "\ufffd"),
        ("", b"\xef\xbb\xbfx", "x"),
        ("", "é".encode("utf-16"), "é"),
        ("", b"\xfe\xff" + "é".encode("utf-16-be"), "é"),
        ("text/plain; charset=no-such", "é".encode(), "é"),
        ("text/plain; charset=", "é".encode(), "é"),
        ("text/plain; charset", "é".encode(), "é"),
        ("text/plain; charset=hex", b"6162", "6162"),
        ("text/plain; charset=zlib", zlib.compress(b"bomb"), zlib.compress(b"bomb").decode("latin-1")),
        ("text/plain; charset=punycode", b"x-", "x-"),
        ("text/plain; charset=idna", b"x.y", "x.y"),
        ("text/plain; charset=unicode_escape", b"\\u0041", "\\u0041"),
        ("text/plain; charset=\xff", b"x", "x"),
        ("text/plain; charset=a\0b", b"x", "x"),
        ("text/plain; charset=" + "u" * 1000, b"x", "x"),
    ],
)
def test_text_is_decoded_by_charset_then_utf8_then_latin1(content_type: str, content: bytes, text: str) -> None:
    assert answer(content, headers=typed(content_type)).text == text


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain; charset=utf-8",
        'a/b; x=1; charset="ascii"',
        "application/json",
        "image/png",
    ],
)
def test_encoding_is_that_of_requests_where_something_is_declared(content_type: str) -> None:
    assert answer(headers=typed(content_type)).encoding == theirs(b"", {"content-type": content_type}).encoding


def test_encoding_is_none_for_text_without_charset_where_requests_says_latin1() -> None:
    assert answer(headers=typed("text/html")).encoding is None


def test_encoding_can_be_set() -> None:
    response = answer("é".encode("utf-16-le"))
    response.encoding = "utf-16-le"
    assert (response.encoding, response.text) == ("utf-16-le", "é")
    response.encoding = None
    assert response.text == "é".encode("utf-16-le").decode("latin-1")


def test_apparent_encoding_asks_charset_normalizer_if_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "Привет, как дела? Это обычный русский текст для проверки." * 5
    assert "".encode(answer(text.encode("cp1251")).apparent_encoding) == b""
    assert answer(text.encode("utf-8")).apparent_encoding.replace("_", "-") == "utf-8"
    monkeypatch.setitem(sys.modules, "charset_normalizer", None)
    assert answer(text.encode("cp1251")).apparent_encoding == "utf-8"


# -- json ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
@pytest.mark.parametrize("content_type", ["", "application/json", "text/html"])
def test_json_recognises_its_encoding(encoding: str, content_type: str) -> None:
    content = json.dumps({"a": "é"}, ensure_ascii=False).encode(encoding)
    assert answer(content, headers=typed(content_type)).json() == {"a": "é"}


def test_json_minds_a_declared_charset_and_forgives_broken_text() -> None:
    assert answer(b'"\xe9"', headers=typed("application/json; charset=latin-1")).json() == "é"
    assert answer(b'"\xe9"', headers=typed("application/json")).json() == "\ufffd"
    assert answer(b"1.5").json(parse_float=str) == "1.5"


@pytest.mark.parametrize("content", [b"", b"<html>", b'{"a": 1', b"[" * 200_000, b"1" * 5000, b"\xff", b"\x00"])
def test_what_is_no_json_is_one_kind_of_error(content: bytes) -> None:
    response = answer(content)
    with pytest.raises(JSONDecodeError) as caught:
        response.json()
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, json.JSONDecodeError)
    assert caught.value.response is response


def test_an_error_of_the_users_own_json_hook_is_not_dressed_up() -> None:
    def refuse(text: str) -> int:
        raise ValueError("mine")

    with pytest.raises(ValueError, match=r"^mine$") as caught:
        answer(b"1").json(parse_int=refuse)
    assert not isinstance(caught.value, RequestException)


# -- pickling --------------------------------------------------------------------------------------------------


def test_a_response_survives_pickling_whole() -> None:
    response = answer(b"a", b"b", status=404, headers=[(b"X", b"1"), (b"Set-Cookie", b"a=1")], reason=b"No")
    source_of(response).trailers = [(b"T", b"2")]
    response.history = [answer(b"moved", status=302)]
    response.elapsed_seconds = 0.5
    response.encoding = "ascii"
    _ = response.cookies
    twin: Response = pickle.loads(pickle.dumps(response))
    for name in ("content", "status_code", "reason", "url", "headers", "encoding", "elapsed", "http_version"):
        assert getattr(twin, name) == getattr(response, name)
    assert twin.trailers == {"T": "2"}
    assert twin.cookies.get_dict() == {"a": "1"}
    assert twin.history[0].content == b"moved"
    assert twin.request.url == response.request.url
    assert list(twin.iter_content(1)) == [b"a", b"b"]
    twin.close()
    assert twin.raw.read() == b""


def test_what_nobody_has_asked_for_before_pickling_can_be_asked_for_after() -> None:
    twin = pickle.loads(pickle.dumps(answer(b"gr\xfc\xdfe", headers=typed("text/plain; charset=latin-1"))))
    assert (twin.text, twin.encoding, twin.headers["content-type"]) == ("grüße", "latin-1", "text/plain; charset=latin-1")


def test_fields_that_were_changed_are_pickled_as_they_are() -> None:
    response = answer(b"", headers=typed("text/plain"))
    response.headers["X-A"] = "1"
    assert pickle.loads(pickle.dumps(response)).headers == {"Content-Type": "text/plain", "X-A": "1"}


@pytest.mark.parametrize(
    "copied", [lambda it: pickle.loads(pickle.dumps(it)), copy.copy, copy.deepcopy], ids=["pickle", "copy", "deepcopy"]
)
def test_the_error_of_a_body_arrives_in_another_process_with_the_head_of_its_response(copied: Callable[[Any], Any]) -> None:
    response = answer(b"a", IncompleteBody("the connection ended", received=1, expected=3), headers=[(b"X", b"1")])
    with pytest.raises(IncompleteBody):
        _ = response.content
    twin = copied(IncompleteBody("the connection ended", received=1, expected=3, response=response))
    assert (str(twin), twin.received, twin.expected) == ("the connection ended", 1, 3)
    assert (twin.response.status_code, twin.response.headers, twin.response.url) == (200, {"X": "1"}, response.url)
    with pytest.raises(StreamConsumedError, match="reading this body failed: the connection ended"):
        _ = twin.response.content
    assert str(copied(twin)) == "the connection ended"
    with pytest.raises(IncompleteBody):
        _ = response.content


def test_a_response_whose_body_was_given_up_says_so_after_pickling() -> None:
    response = answer(b"abc")
    response.close()
    twin: Response = pickle.loads(pickle.dumps(response))
    assert twin.status_code == 200
    with pytest.raises(StreamConsumedError, match="closed before"):
        _ = twin.content
    twin.close()

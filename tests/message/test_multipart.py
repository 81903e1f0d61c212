"""multipart/form-data: the bytes of requests, streamed, with nothing a name or a header could break out of."""

from __future__ import annotations

import io
import re
import tracemalloc
from collections.abc import Iterator
from email.message import Message
from email.parser import BytesParser
from email.policy import HTTP
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.exceptions import InvalidHeader, InvalidRequest, UnrewindableBodyError
from holdfast.message.content import make_body
from holdfast.message.multipart import MultipartBody, guess_filename
from holdfast.message.pieces import PIECE


def sent(body: MultipartBody) -> bytes:
    return b"".join(body.chunks())


def head_of(*args: Any) -> bytes:
    """The head of the only part of a form with one file, given as its tuple."""
    return sent(MultipartBody(None, [("n", args)], "B")).split(b"\r\n\r\n")[0].removeprefix(b"--B\r\n")


# ---------------------------------------------------------------------------------------- like requests


class Named(io.BytesIO):
    def __init__(self, data: bytes, name: Any) -> None:
        super().__init__(data)
        self.name = name


FORMS: dict[str, tuple[Any, Any]] = {
    "bytes": (None, {"f": b"content"}),
    "text": (None, {"f": "t\u00e4xt"}),
    "bytearray": (None, {"f": ("a", bytearray(b"x"))}),
    "number": (None, {"f": 5, "g": ("g", 7), "b": True}),
    "pair": (None, {"f": ("a.txt", b"content")}),
    "pair without a filename": (None, {"f": (None, b"content")}),
    "pair with an empty filename": (None, {"f": ("", b"content")}),
    "pair as a list": (None, {"f": ["a.txt", "content"]}),
    "triple": (None, [("f", ("a.txt", b"content", "text/plain"))]),
    "triple without a type": (None, [("f", ("a.txt", b"content", None))]),
    "quadruple": (None, [("f", ("a.txt", b"content", "text/plain", {"Expires": "0", "X-Empty": "", "X-N": 1}))]),
    "quadruple with a location": (None, [("f", ("a.txt", b"c", "text/plain", {"X-Token": "t", "Content-MD5": "m"}))]),
    "quadruple with pairs": (None, [("f", ("a.txt", b"content", "text/plain", [("X-Pair", "1")]))]),
    "quadruple without headers": (None, [("f", ("a.txt", b"content", "text/plain", None))]),
    "disposition is ours": (None, [("f", ("a.txt", b"content", None, {"Content-Disposition": "evil"}))]),
    "content None is left out": (None, [("f", ("a.txt", None)), ("g", None), ("h", b"x")]),
    "nothing left": (None, {"f": None}),
    "file with a name": (None, {"f": Named(b"content", "/tmp/dir/name.bin")}),
    "file with a bytes name": (None, {"f": Named(b"content", b"/tmp/name.bin")}),
    "file with no usable name": (None, {"f": Named(b"content", "<stdin>"), "g": Named(b"c", 3), "h": Named(b"c", "")}),
    "text file": (None, {"f": io.StringIO("t\u00e4xt")}),
    "fields": ({"a": "1", "b": ["2", 3, None, b"\xff"], "c": None, "d": 1.5}, {"f": b"x"}),
    "fields as pairs": ([("a", "1"), ("a", "2"), (b"b", b"3")], {"f": b"x"}),
    "fields empty": ({}, {"f": b"x"}),
    "names in bytes": (None, [(b"f", b"content"), (b"g", (b"name", b"content"))]),
    "unicode": ({"f\u00e4": "\u20ac"}, {"\u00fc": ("\U0001f600.txt", b"x")}),
    "quotes and line ends": ({'a"b\r\nc': "1"}, {'n"\r\n': ('x"y\r\nz\\.txt', b"x")}),
    "many": ({"a": "1"}, [("f", ("1", b"x")), ("f", ("2", b"y"))]),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_the_bytes_are_those_of_requests(form: tuple[Any, Any]) -> None:
    fields, files = form
    oracle = requests.Request("POST", "http://h/", data=fields, files=files).prepare()
    boundary = str(oracle.headers["Content-Type"]).partition("boundary=")[2]
    for part in dict(files).values():
        if hasattr(part, "seek"):
            part.seek(0)
    body = MultipartBody(fields, files, boundary)
    assert sent(body) == oracle.body
    assert body.content_type == oracle.headers["Content-Type"]
    assert str(body.length) == oracle.headers["Content-Length"]


def test_a_content_type_among_the_headers_of_a_part_is_kept() -> None:
    # requests loses it.
    assert b"Content-Type: image/png" in head_of("a", b"x", None, {"content-type": "image/png"})
    assert head_of("a", b"x", "text/plain", {"content-type": "image/png"}).count(b"ontent-") == 2


def test_make_body_puts_fields_before_files() -> None:
    body = make_body({"a": "1"}, files={"f": b"x"})
    assert isinstance(body, MultipartBody)
    assert sent(body).index(b'name="a"') < sent(body).index(b'name="f"')


@pytest.mark.parametrize("data", ["text", b"bytes"])
def test_fields_must_not_be_a_string(data: Any) -> None:
    with pytest.raises(ValueError, match=r"Data must not be a string\."):
        make_body(data, files={"f": b"x"})


@pytest.mark.parametrize("data", [io.BytesIO(b"x"), iter([b"x"]), bytearray(b"x")])
def test_a_stream_and_files_exclude_each_other(data: Any) -> None:
    with pytest.raises(NotImplementedError, match="mutually exclusive"):
        make_body(data, files={"f": b"x"})


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ("text", "type str"),
        (b"bytes", "type bytes"),
        (5, "type int"),
        ([5], "pair but int"),
        (["abc"], "pair but str"),
        ([("f", ("only",))], "tuple of 1"),
        ([("f", (1, 2, 3, 4, 5))], "tuple of 5"),
        ([("f", ())], "tuple of 0"),
        ({"f": object()}, "type object cannot be sent"),
        ({"f": (5, b"x")}, "filename is of type int"),
        ({"f": ("\ud800", b"x")}, r"U\+D800"),
    ],
)
def test_files_in_another_form_are_refused(files: Any, complaint: str) -> None:
    with pytest.raises(InvalidRequest, match=complaint):
        make_body(files=files)


def test_a_field_that_is_no_pair_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="pair"):
        make_body([1], files={"f": b"x"})


def test_the_name_of_a_file_is_its_last_part() -> None:
    assert guess_filename(Named(b"", "/a/b.txt")) == "b.txt"
    assert guess_filename(Named(b"", "<fdopen>")) is None
    assert guess_filename(object()) is None


# ---------------------------------------------------------------------------------------- injection


@pytest.mark.parametrize(
    ("name", "escaped"),
    [
        ('q"q', b"q%22q"),
        ("c\rc", b"c%0Dc"),
        ("l\nl", b"l%0Al"),
        ("n\0n", b"n%00n"),
        ("e\x1be", b"e%1Be"),
        ("d\x7fd", b"d%7Fd"),
        ("tab\there", b"tab\there"),
        ("b\\b", b"b\\b"),
        ("\u00e4", b"\xc3\xa4"),
        ("not-utf8-\udcff", b"not-utf8-\xff"),
        (b'by"tes', b"by%22tes"),
    ],
)
def test_names_and_filenames_cannot_end_their_quotes_or_line(name: Any, escaped: bytes) -> None:
    assert head_of(name, b"x") == b'Content-Disposition: form-data; name="n"; filename="' + escaped + b'"'
    field = sent(MultipartBody([(name, "v")], None, "B")) if isinstance(name, bytes) or "\udcff" not in name else b""
    assert not field or b'; name="' + escaped + b'"\r\n' in field


@pytest.mark.parametrize("control", [chr(code) for code in (*range(0x09), *range(0x0A, 0x20), 0x7F)])
def test_control_characters_in_the_headers_of_a_part_are_refused(control: str) -> None:
    with pytest.raises(InvalidHeader, match="at byte 1"):
        head_of("a", b"x", f"a{control}b")
    with pytest.raises(InvalidHeader, match="X-Mine"):
        head_of("a", b"x", None, {"X-Mine": f"a{control}b"})
    with pytest.raises(InvalidHeader, match="wants a token"):
        head_of("a", b"x", None, {f"X{control}": "b"})


def test_the_value_of_a_refused_header_is_not_in_the_message() -> None:
    with pytest.raises(InvalidHeader) as caught:
        head_of("a", b"x", None, {"X-Token": "hunter2\n"})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "a b", "a:b", "\u00e4", 5])
def test_a_header_name_that_is_no_token_is_refused(name: Any) -> None:
    with pytest.raises(InvalidHeader, match="wants a token"):
        head_of("a", b"x", None, {name: "b"})


def test_header_names_and_values_may_be_bytes() -> None:
    assert head_of(None, b"x", b"text/plain", {b"X-A": b"b"}).endswith(b"Content-Type: text/plain\r\nX-A: b")


# ---------------------------------------------------------------------------------------- boundary


def test_the_boundary_is_128_fresh_random_bits() -> None:
    first, second = MultipartBody(None, {"f": b"x"}), MultipartBody(None, {"f": b"x"})
    assert re.fullmatch(r"multipart/form-data; boundary=[0-9a-f]{32}", first.content_type or "")
    assert first.boundary != second.boundary


@pytest.mark.parametrize("boundary", ["", "x" * 71, "ends with ", "a\r\nb", "a\n", 'a"b', "\u00e4"])
def test_a_boundary_rfc_2046_does_not_allow_is_refused(boundary: str) -> None:
    with pytest.raises(InvalidRequest, match="RFC 2046"):
        MultipartBody(None, {"f": b"x"}, boundary)


def test_a_boundary_that_is_no_token_is_quoted() -> None:
    assert MultipartBody(None, {"f": b"x"}, "a b:c").content_type == 'multipart/form-data; boundary="a b:c"'


def test_a_given_boundary_that_occurs_in_the_content_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="occurs in the content"):
        MultipartBody(None, {"f": b"x\r\n--B\r\n"}, "B")


# ---------------------------------------------------------------------------------------- length, replay, memory


def test_a_small_form_in_memory_is_one_piece() -> None:
    body = MultipartBody({"a": "1"}, {"f": b"x"}, "B")
    assert repr(body) == f"<MultipartBody: {body.length} bytes, untouched, replayable>"
    assert body.data == sent(body)
    assert body.length == len(sent(body))


def test_a_large_form_in_memory_is_not_copied_whole() -> None:
    body = MultipartBody({"a": "1"}, {"f": bytes(PIECE)}, "B")
    assert body.data is None
    assert body.length == len(sent(body))


def test_many_small_parts_leave_in_few_pieces() -> None:
    body = MultipartBody({f"field{n}": "value" for n in range(2000)}, {"f": b"x"})
    pieces = list(body.chunks())
    assert {len(piece) for piece in pieces[:-1]} == {PIECE}
    assert sum(map(len, pieces)) == body.length


def test_a_large_file_is_streamed_with_a_known_length(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(32 * 1024 * 1024)
    with path.open("rb") as file:
        body = MultipartBody({"a": "1"}, {"f": file})
        assert file.tell() == 0
        tracemalloc.start()
        sizes = [len(piece) for piece in body.chunks()]
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert (sum(sizes), max(sizes)) == (body.length, PIECE)
    assert peak < 16 * PIECE


def test_files_are_sent_from_where_they_stand_and_again_from_there() -> None:
    file = io.BytesIO(b"skipped,sent")
    file.seek(8)
    body = MultipartBody(None, {"f": file}, "B")
    first = sent(body)
    assert b"\r\n\r\nsent\r\n" in first
    body.rewind()
    assert (file.tell(), sent(body), body.replayable) == (8, first, True)


def test_the_same_file_twice_is_sent_whole_twice() -> None:
    file = io.BytesIO(b"shared")
    body = MultipartBody(None, [("a", ("a", file)), ("b", ("b", file))], "B")
    assert sent(body).count(b"shared") == 2


def test_a_form_half_sent_can_start_again() -> None:
    body = MultipartBody(None, {"f": io.BytesIO(b"x" * 3 * PIECE)}, "B")
    next(body.chunks())
    body.rewind()
    assert len(sent(body)) == body.length


def test_a_part_without_a_length_makes_the_form_chunked_and_unrepeatable() -> None:
    body = MultipartBody({"a": "1"}, {"f": iter([b"one", b"two"])}, "B")
    assert (body.length, body.data, body.replayable) == (None, None, False)
    assert b"onetwo" in sent(body)
    with pytest.raises(UnrewindableBodyError, match="MultipartBody with <IterBody of list_iterator"):
        body.rewind()


def test_what_a_part_produces_does_not_wait_for_the_rest() -> None:
    produced = []

    def slowly() -> Iterator[bytes]:
        for piece in (b"one", b"two"):
            produced.append(piece)
            yield piece

    chunks = MultipartBody(None, {"f": slowly()}).chunks()
    assert next(chunks).endswith(b"\r\n\r\none")
    assert produced == [b"one"]
    assert next(chunks) == b"two"


def test_a_file_that_shrinks_is_an_error_with_both_numbers() -> None:
    file = io.BytesIO(b"0123456789")
    body = MultipartBody(None, {"f": file})
    file.truncate(4)
    with pytest.raises(InvalidRequest, match="ended after 4 of 10"):
        sent(body)


# ---------------------------------------------------------------------------------------- round trip


def parsed(body: MultipartBody) -> list[Message]:
    head = f"Content-Type: {body.content_type}\r\nMIME-Version: 1.0\r\n\r\n".encode()
    message = BytesParser(policy=HTTP).parsebytes(head + sent(body))
    assert not message.defects
    parts = message.get_payload()
    assert isinstance(parts, list)
    return [part for part in parts if isinstance(part, Message)]


# What the parser can be trusted with: it knows lines by CR and LF, and mail's encodings in quoted strings not at all.
NAMES = st.text(st.sampled_from('abcXYZ019 ._-"\r\n\0\x1b'), min_size=1, max_size=12).filter(lambda name: name.strip())
CONTENTS = st.binary(max_size=200).map(lambda data: data.replace(b"\r", b"r").replace(b"\n", b"n"))


def escaped(name: str) -> str:
    return re.sub(r'["\x00-\x08\x0a-\x1f\x7f]', lambda match: f"%{ord(match[0]):02X}", name)


def named(part: Message) -> tuple[str, ...]:
    return tuple(re.findall(r'(?<=name=")[^"]*', str(part["Content-Disposition"])))


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(NAMES, CONTENTS), max_size=4),
    st.lists(st.tuples(NAMES, NAMES, CONTENTS, st.booleans()), min_size=1, max_size=4),
)
def test_a_mail_parser_finds_the_parts_that_were_put_in(
    fields: list[tuple[str, bytes]], files: list[tuple[str, str, bytes, bool]]
) -> None:
    body = MultipartBody(
        fields, [(name, (filename, io.BytesIO(data) if lazy else data)) for name, filename, data, lazy in files]
    )
    parts = parsed(body)
    assert [part.get_payload(decode=True) for part in parts] == [data for _, data in fields] + [f[2] for f in files]
    assert [named(part) for part in parts] == [(escaped(name),) for name, _ in fields] + [
        (escaped(name), escaped(filename)) for name, filename, _, _ in files
    ]
    assert len(sent(body)) == body.length


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=60), min_size=1, max_size=5), st.text("ab-\r\n", max_size=20))
def test_contents_arrive_byte_for_byte_whatever_they_look_like(contents: list[bytes], noise: str) -> None:
    # A parser of four lines, since mail's own cares about line ends inside the content.
    contents = [content + noise.encode() for content in contents]
    body = MultipartBody(None, [("f", ("n", content)) for content in contents])
    delimiter = b"--" + body.boundary.encode()
    opening, *parts, closing = (b"\r\n" + sent(body)).split(b"\r\n" + delimiter)
    assert (opening, closing) == (b"", b"--\r\n")
    assert [part.partition(b"\r\n\r\n")[2] for part in parts] == contents

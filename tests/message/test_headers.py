"""Headers: a mapping to the user, a list of fields to the wire, and no way to write a second line."""

from __future__ import annotations

import copy
import email.message
import pickle
import threading
from collections.abc import Callable, Mapping
from typing import Any

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from holdfast.exceptions import InvalidHeader
from holdfast.message.fields import SECRET_HEADERS
from holdfast.message.headers import Headers

RAW = [(b"Set-Cookie", b"a=1"), (b"Date", b"now"), (b"set-cookie", b"b=2"), (b"X-Latin", b"\xe9")]

# -- one name


def test_names_have_no_case_and_keep_their_spelling() -> None:
    headers = Headers({"Content-Type": "text/plain"})
    assert headers["content-type"] == headers["CONTENT-TYPE"] == headers[b"Content-type"] == "text/plain"
    assert "cOnTeNt-TyPe" in headers
    assert headers.__contains__(b"content-type")
    assert list(headers) == ["Content-Type"]


def test_an_absent_name_is_a_key_error_and_get_gives_the_default() -> None:
    headers = Headers()
    with pytest.raises(KeyError):
        headers["a"]
    with pytest.raises(KeyError):
        del headers["a"]
    assert headers.get("a") is None
    assert headers.get("a", "b") == "b"
    assert headers.get_list("a") == []
    assert not headers.__contains__(5)
    assert not headers.__contains__(None)


def test_repeated_values_are_joined_and_can_be_had_apart() -> None:
    headers = Headers([("Via", "a"), ("X", "y"), ("via", "b")])
    assert headers["Via"] == "a, b"
    assert headers.get_list("VIA") == ["a", "b"]
    assert headers.multi_items() == [("Via", "a"), ("X", "y"), ("via", "b")]
    assert len(headers) == 2
    assert list(headers) == ["via", "X"]


def test_setting_replaces_every_field_in_the_place_of_the_first() -> None:
    headers = Headers([("A", "1"), ("B", "2"), ("a", "3"), ("C", "4")])
    headers["a"] = "5"
    assert headers.multi_items() == [("a", "5"), ("B", "2"), ("C", "4")]
    del headers["A"]
    headers["A"] = "6"
    assert headers.multi_items() == [("B", "2"), ("C", "4"), ("A", "6")]


def test_setting_none_removes_and_is_no_error_when_absent() -> None:
    headers = Headers({"A": "1", "B": "2"})
    headers["a"] = None
    headers["x"] = None
    assert headers.multi_items() == [("B", "2")]
    assert Headers({"A": None}) == {}


def test_add_appends_a_field() -> None:
    headers = Headers({"A": "1", "B": "2"})
    headers.add("a", b"3")
    headers.add(b"C", "4")
    assert headers.multi_items() == [("A", "1"), ("B", "2"), ("a", "3"), ("C", "4")]


def test_bytes_are_iso_8859_1() -> None:
    assert Headers({b"X": b"\xe9"}).multi_items() == [("X", "\xe9")]


# -- all of them


@pytest.mark.parametrize(
    "source",
    [
        {"A": "1", "b": "2"},
        [("A", "1"), ("b", "2")],
        (["A", "1"], ("b", "2")),
        iter([("A", "1"), (b"b", b"2")]),
        Headers({"A": "1", "b": "2"}),
        CaseInsensitiveDict({"A": "1", "b": "2"}),
        {"A": "1", "b": "2"}.items(),
    ],
    ids=lambda source: type(source).__name__,
)
def test_headers_are_made_from_mappings_and_pairs(source: Any) -> None:
    assert Headers(source).multi_items() == [("A", "1"), ("b", "2")]


def test_of_two_spellings_in_a_mapping_the_last_wins_and_pairs_repeat() -> None:
    assert Headers({"A": "1", "a": "2"}).multi_items() == [("a", "2")]
    assert Headers([("A", "1"), ("a", "2")]).multi_items() == [("A", "1"), ("a", "2")]


def test_a_mapping_that_repeats_a_name_repeats_the_field() -> None:
    class Multi(dict[str, str]):
        def items(self) -> Any:
            return [("A", "1"), ("B", "2"), ("A", "3")]

    assert Headers(Multi()).multi_items() == [("A", "1"), ("B", "2"), ("A", "3")]


def test_an_email_message_gives_its_fields() -> None:
    message = email.message.Message()
    message["A"] = "1"
    message["A"] = "2"
    assert Headers(message.items()).multi_items() == [("A", "1"), ("A", "2")]


def test_update_replaces_what_it_mentions() -> None:
    headers = Headers([("A", "1"), ("B", "2"), ("a", "3"), ("C", "4")])
    headers.update({"a": "5", "C": None}, D="6")
    assert headers.multi_items() == [("a", "5"), ("B", "2"), ("D", "6")]
    headers.update([("B", "7"), ("b", "8"), ("d", None), ("D", "9")])
    assert headers.multi_items() == [("a", "5"), ("B", "7"), ("b", "8"), ("D", "9")]
    headers.update(Headers([("A", "x"), ("A", "y")]))
    assert headers.get_list("a") == ["x", "y"]
    before = headers.multi_items()
    headers.update(None)
    headers.update()
    assert headers.multi_items() == before


def test_update_with_itself_changes_no_value() -> None:
    headers = Headers([("A", "1"), ("B", "2"), ("A", "3")])
    headers.update(headers)
    assert (headers.get_list("A"), headers.get_list("B")) == (["1", "3"], ["2"])


def test_the_rest_of_a_mutable_mapping_is_there() -> None:
    headers = Headers([("A", "1"), ("a", "2"), ("B", "3")])
    assert dict(headers.items()) == {"a": "1, 2", "B": "3"}
    assert list(headers.values()) == ["1, 2", "3"]
    assert headers.pop("a") == "1, 2"
    assert headers.pop("a", "none") == "none"
    assert headers.setdefault("C", "4") == "4"
    assert headers.popitem() == ("B", "3")
    headers.clear()
    assert not headers
    assert headers.encode() == []


def test_lower_items_are_lower_and_joined() -> None:
    assert list(Headers([("A", "1"), ("a", "2"), ("B", "3")]).lower_items()) == [("a", "1, 2"), ("b", "3")]


def test_equality_ignores_case_order_and_kind_of_mapping() -> None:
    headers = Headers([("A", "1"), ("B", "2"), ("a", "3")])
    assert headers == {"b": "2", "A": "1, 3"}
    assert headers == CaseInsensitiveDict({"B": "2", "a": "1, 3"})
    assert headers == Headers([("b", "2"), ("a", "1"), ("A", "3")])
    assert headers != {"A": "1"}
    assert headers != {1: 2}
    assert headers != {"A": 1, "B": None}
    assert headers != [("A", "1"), ("B", "2"), ("a", "3")]
    assert Headers() != {"A": None}
    with pytest.raises(TypeError):
        hash(headers)


def test_a_copy_is_independent() -> None:
    headers = Headers([("A", "1"), ("a", "2")])
    for twin in (headers.copy(), copy.copy(headers), copy.deepcopy(headers), pickle.loads(pickle.dumps(headers))):
        assert twin.multi_items() == headers.multi_items()
        twin["A"] = "changed"
        twin.add("B", "new")
    assert headers.multi_items() == [("A", "1"), ("a", "2")]


class _Model:
    """What Headers should be: a plain list of fields, searched each time."""

    def __init__(self) -> None:
        self.fields: list[tuple[str, str]] = []

    def add(self, name: str, value: str) -> None:
        self.fields.append((name, value))

    def set(self, name: str, value: str | None) -> None:
        places = [i for i, (known, _) in enumerate(self.fields) if known.lower() == name.lower()]
        if value is not None and places:
            self.fields[places.pop(0)] = (name, value)
        elif value is not None:
            self.fields.append((name, value))
        self.fields = [field for i, field in enumerate(self.fields) if i not in places]


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["add", "set"]), st.sampled_from("aAbBc"), st.sampled_from(["1", "2", None])),
        max_size=20,
    ),
    st.booleans(),
)
def test_any_sequence_of_changes_leaves_what_a_list_of_fields_would_hold(
    steps: list[tuple[str, str, str | None]], raw: bool
) -> None:
    headers = Headers.from_raw([]) if raw else Headers()
    model = _Model()
    for verb, name, value in steps:
        if verb == "add" and value is not None:
            headers.add(name, value)
            model.add(name, value)
        else:
            headers[name] = value
            model.set(name, value)
        assert headers.multi_items() == model.fields
    assert [(name.decode(), value.decode()) for name, value in headers.encode()] == model.fields


# -- off the wire


def test_raw_fields_are_read_like_any_others() -> None:
    headers = Headers.from_raw(RAW)
    assert headers["SET-COOKIE"] == "a=1, b=2"
    assert headers.get_list("Set-Cookie") == ["a=1", "b=2"]
    assert headers["x-latin"] == "\xe9"
    assert headers.multi_items() == [("Set-Cookie", "a=1"), ("Date", "now"), ("set-cookie", "b=2"), ("X-Latin", "\xe9")]
    assert headers.encode() == RAW
    assert headers == Headers(RAW)


def test_raw_fields_are_not_looked_at_before_somebody_asks() -> None:
    class Untouchable(list[tuple[bytes, bytes]]):
        def __iter__(self) -> Any:
            raise AssertionError("looked at")

    headers = Headers.from_raw(Untouchable(RAW))
    twin = headers.copy()
    with pytest.raises(AssertionError, match="looked at"):
        twin["date"]


def test_changing_headers_off_the_wire_leaves_the_raw_list_alone() -> None:
    raw = list(RAW)
    headers = Headers.from_raw(raw)
    twin = headers.copy()
    headers["Date"] = "then"
    del headers["set-cookie"]
    assert raw == RAW
    assert headers.multi_items() == [("Date", "then"), ("X-Latin", "\xe9")]
    assert twin.encode() == RAW
    headers.clear()
    assert not headers
    assert len(twin) == 3


# -- version


def test_every_change_makes_the_version_grow() -> None:
    headers = Headers.from_raw(list(RAW))
    changes: list[Callable[[], object]] = [
        lambda: headers.add("A", "1"),
        lambda: headers.__setitem__("A", "1"),
        lambda: headers.update({"B": "2"}),
        lambda: headers.update(c="3"),
        lambda: headers.__delitem__("A"),
        lambda: headers.__setitem__("B", None),
        lambda: headers.setdefault("E", "5"),
        lambda: headers.pop("E"),
        lambda: headers.clear(),
    ]
    for change in changes:
        before = headers.version
        change()
        assert headers.version > before


def test_reading_does_not_change_the_version() -> None:
    headers = Headers.from_raw(list(RAW))
    before = headers.version
    headers.encode(), headers.multi_items(), headers.get("x"), list(headers), repr(headers), headers == {}
    headers["absent"] = None
    assert headers.version == before


def test_no_two_contents_share_a_version_and_a_copy_has_its_originals() -> None:
    headers = Headers({"A": "1"})
    twin = headers.copy()
    assert twin.version == headers.version
    twin["A"] = "2"
    headers["A"] = "3"
    versions = [headers.version, twin.version, Headers().version, Headers().version, Headers.from_raw([]).version]
    assert len(set(versions)) == 5


# -- what may be sent


@pytest.mark.parametrize("byte", [*range(0x20), 0x7F])
def test_no_control_character_is_sent_in_a_value(byte: int) -> None:
    for value in (f"a{chr(byte)}b", f"a{chr(byte)}", f"{chr(byte)}b", chr(byte)):
        for given_value in (value, value.encode("latin-1")):
            headers = Headers({"X-Test": given_value})
            if byte == 0x09 and value == "a\tb":
                assert headers.encode() == [(b"X-Test", b"a\tb")]
                continue
            with pytest.raises(InvalidHeader, match=r"header 'X-Test': .* at position [01]") as caught:
                headers.encode()
            assert chr(byte) not in str(caught.value) or byte == 0x20


@pytest.mark.parametrize("byte", range(256))
def test_a_name_is_a_token(byte: int) -> None:
    tchar = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    headers = Headers({b"a" + bytes([byte]): "v"})
    if byte in tchar:
        assert headers.encode() == [(b"a" + bytes([byte]), b"v")]
    else:
        with pytest.raises(InvalidHeader, match="at position 1 is not allowed in a name"):
            headers.encode()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("X", "a\r\nEvil: 1", r"^header 'X': control character '\\r' at position 1 of the value$"),
        ("X", "a\nb", r"control character '\\n' at position 1"),
        ("X", "a\x00", r"control character '\\x00' at position 1"),
        ("X", " a", "header 'X': whitespace at position 0"),
        ("X", "a ", "whitespace at position 1"),
        ("X", "a\t", "whitespace at position 1"),
        ("X", "\t", "whitespace at position 0"),
        ("X", "a€", "'€' at position 1"),
        ("X", "\ud800", r"'\\ud800' at position 0"),
        ("X: y\r\nZ", "v", r"^header name 'X: y\\r\\nZ': ':' at position 1 is not allowed in a name$"),
        ("X ", "v", "' ' at position 1"),
        (" X", "v", "' ' at position 0"),
        (":authority", "v", "':' at position 0"),
        ("", "v", "name is empty"),
        ("Ünïcode", "v", "'Ü' at position 0"),
        ("\u212aey", "v", "'\u212a' at position 0"),
    ],
)
def test_a_refusal_names_the_header_the_character_and_the_place(name: str, value: str, message: str) -> None:
    with pytest.raises(InvalidHeader, match=message):
        Headers({name: value}).encode()


def test_a_refusal_never_shows_the_value_nor_more_than_100_characters_of_a_name() -> None:
    with pytest.raises(InvalidHeader) as caught:
        Headers({"Authorization": "Bearer hunter2\n"}).encode()
    assert "hunter" not in str(caught.value)
    with pytest.raises(InvalidHeader) as caught:
        Headers({" " + "x" * 10000: "v"}).encode()
    assert len(str(caught.value)) < 200


def test_what_may_be_sent_is_sent_as_given() -> None:
    headers = Headers([("A", ""), ("b", "x\ty  z"), ("C", "\xe9\x85\xa0"), ("A", b"\xff"), ("d", "€".encode())])
    assert headers.encode() == [
        (b"A", b""),
        (b"b", b"x\ty  z"),
        (b"C", b"\xe9\x85\xa0"),
        (b"A", b"\xff"),
        (b"d", b"\xe2\x82\xac"),
    ]


@pytest.mark.parametrize("value", [1, 1.5, True, ["a"], ("a",), {"a": "b"}, object(), bytearray(b"a")])
def test_a_value_is_str_or_bytes(value: Any) -> None:
    headers = Headers()
    for change in (
        lambda: headers.__setitem__("X-Count", value),
        lambda: headers.add("X-Count", value),
        lambda: headers.update({"X-Count": value}),
        lambda: Headers({"X-Count": value}),
        lambda: Headers([("X-Count", value)]),
    ):
        with pytest.raises(InvalidHeader, match=f"header 'X-Count': .* not {type(value).__name__}"):
            change()
    assert headers == {}


@pytest.mark.parametrize("name", [1, None, ("a",)])
def test_a_name_is_str_or_bytes(name: Any) -> None:
    headers = Headers()
    for change in (
        lambda: headers.__setitem__(name, "v"),
        lambda: headers.__setitem__(name, None),
        lambda: headers.add(name, "v"),
        lambda: headers[name],
        lambda: Headers({name: "v"}),
    ):
        with pytest.raises(InvalidHeader, match=f"name must be str or bytes, not {type(name).__name__}"):
            change()


@pytest.mark.parametrize("source", ["abc", b"abc", 5, ["ab"], [("a", "b", "c")], [1]])
def test_a_source_without_pairs_is_refused(source: Any) -> None:
    with pytest.raises(InvalidHeader, match="pairs"):
        Headers(source)


def test_a_text_that_changes_after_the_check_was_read_before_it() -> None:
    class Changing(str):
        def __str__(self) -> str:
            return "a\r\nEvil: 1"

        def encode(self, *args: str) -> bytes:
            return b"a\r\nEvil: 1"

        def lower(self) -> str:
            return "a\r\nevil"

    class ChangingBytes(bytes):
        def decode(self, *args: str) -> str:
            return "a\r\nEvil: 1"

    headers = Headers([(Changing("Name"), Changing("value")), (ChangingBytes(b"Other"), ChangingBytes(b"bytes"))])
    headers.add(Changing("Third"), Changing("3"))
    assert headers.encode() == [(b"Name", b"value"), (b"Other", b"bytes"), (b"Third", b"3")]
    assert type(headers.multi_items()[0][1]) is str


@settings(deadline=None)
@given(st.lists(st.tuples(st.text(max_size=8) | st.binary(max_size=8), st.text(max_size=8) | st.binary(max_size=8))))
def test_whatever_is_encoded_h11_accepts_and_one_line_is_one_field(pairs: list[tuple[Any, Any]]) -> None:
    framing = {"host", "content-length", "transfer-encoding", "connection"}
    try:
        fields = Headers(pairs).encode()
    except InvalidHeader:
        return
    fields = [(b"Host", b"h"), *(field for field in fields if field[0].lower().decode() not in framing)]
    sent = h11.Connection(h11.CLIENT).send(h11.Request(method="GET", target="/", headers=fields))
    assert sent is not None
    assert sent.count(b"\n") == sent.count(b"\r") == 2 + len(fields)


# -- secrets, threads


def test_repr_hides_secret_values_and_shows_the_rest() -> None:
    headers = Headers({"Accept": "*/*", "AUTHORIZATION": "Bearer hunter2", "set-cookie": "s=hunter2"})
    headers.add("Set-Cookie", "t=hunter2")
    assert repr(headers) == "{'Accept': '*/*', 'AUTHORIZATION': '[secret]', 'Set-Cookie': '[secret]'}"
    for view in (headers.items(), headers.values(), headers.keys()):
        assert "hunter2" not in repr(view)
    for name in SECRET_HEADERS:
        assert "hunter2" not in repr(Headers({name.title(): "hunter2"}))


def test_headers_are_a_mapping() -> None:
    assert isinstance(Headers(), Mapping)
    assert not hasattr(Headers(), "__dict__")


def test_readers_see_whole_fields_while_another_thread_writes() -> None:
    # A dict that is iterated while it grows raises RuntimeError; a client's headers are read by every request.
    headers = Headers({"Stays": "yes"})
    finished: list[None] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            assert headers["stays"] == "yes"
            assert headers.copy()["Stays"] == "yes"
            assert (b"Stays", b"yes") in headers.encode()
            assert "Stays" in list(headers)
            repr(headers)
        finished.append(None)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for number in range(2000):
        headers[f"X-{number % 50}"] = str(number)
        headers[f"X-{(number * 7) % 50}"] = None
    done.set()
    for reader in readers:
        reader.join()
    assert len(finished) == len(readers)


def test_writers_of_different_names_lose_nothing() -> None:
    headers = Headers()

    def write(letter: str) -> None:
        for number in range(300):
            headers[f"{letter}-{number}"] = letter

    writers = [threading.Thread(target=write, args=(letter,)) for letter in "abcd"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(headers) == 1200

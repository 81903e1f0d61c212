"""What data= and json= become: forms, JSON, and the lengths and types that requests has."""


from __future__ import annotations

import collections
import io
import json
from typing import Any

import pytest
import requests

from holdfast.exceptions import InvalidJSONError, InvalidRequest
from holdfast.message.body import BytesBody
from holdfast.message.content import FORM, make_body
from tests.message.bodies import made

# ---------------------------------------------------------------------------------------- forms and json


FORMS: list[Any] = [
    {"a": 1, "b": "x y", "c": "\u00e4&="},
    {"list": ["1", 2, b"3"], "none": None, "some": [None, "x"]},
    [("a", "1"), ("a", "2"), (b"bytes", b"\xff\x00")],
    (("t", ("x", "y")), ("u", {"k": "v"})),
    [["pair", "list"]],
    {"a": None},
    {"": "", "n": 1.5, "b": True},
    {1: 2},
    collections.OrderedDict(z="1", y="2"),
]


@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_written_as_requests_writes_it(form: Any) -> None:
    oracle = requests.Request("POST", "http://h/", data=form).prepare()
    body = made(form)
    assert body.data == str(oracle.body).encode()
    assert body.content_type == oracle.headers["Content-Type"] == FORM
    assert body.replayable


@pytest.mark.parametrize("item", ["ab", 5, ("a",), ("a", "b", "c")])
def test_a_form_of_something_else_than_pairs_is_refused(item: Any) -> None:
    with pytest.raises(InvalidRequest, match="pair"):
        make_body([item])


@pytest.mark.parametrize("value", [{"a": [1, None, "\u00e4\U0001f600"]}, [], {}, 0, False, "", "\ud800"])
def test_json_is_written_as_requests_writes_it(value: Any) -> None:
    oracle = requests.Request("POST", "http://h/", json=value).prepare()
    body = made(json=value)
    assert (body.data, body.content_type) == (oracle.body, "application/json")


@pytest.mark.parametrize("value", [float("nan"), [float("inf")], {"a": -float("inf")}])
def test_json_without_a_json_form_is_refused(value: Any) -> None:
    with pytest.raises(InvalidJSONError, match="no JSON form"):
        make_body(json=value)


def test_a_circle_in_json_is_refused() -> None:
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(InvalidJSONError, match="Circular"):
        make_body(json=circle)


def test_an_object_json_does_not_know_is_a_type_error_as_in_requests() -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        make_body(json=object())


def test_json_counts_only_without_data_and_files() -> None:
    assert made(b"data", json={"a": 1}).data == b"data"
    assert made({}, json=[1]).data == b"[1]"
    assert made("", json=[1]).data == b"[1]"
    assert str(made(json=[1], files={"f": b"x"}).content_type).startswith("multipart/")
    assert made(json=[1], files={}).content_type == "application/json"


# ---------------------------------------------------------------------------------------- like requests


@pytest.mark.parametrize(
    "data", [b"raw", "t\u00e4xt", {"a": "b"}, [("a", "b")], io.BytesIO(b"file"), iter([b"x"]), "", b"", {}, None]
)
def test_length_and_type_are_those_of_requests(data: Any) -> None:
    body = make_body(data)
    oracle = requests.Request("POST", "http://h/", data=data).prepare().headers
    if body is None:
        assert oracle["Content-Length"] == "0"
    elif body.length is None:
        assert oracle["Transfer-Encoding"] == "chunked"
    else:
        assert oracle["Content-Length"] == str(body.length)
    assert oracle.get("Content-Type") == (body.content_type if body else None)


def test_a_bytes_body_is_what_it_was_given() -> None:
    body = BytesBody(json.dumps({"a": 1}).encode(), "application/json")
    assert (body.length, body.content_type) == (8, "application/json")

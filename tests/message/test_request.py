"""Request and PreparedRequest: framing that is true, methods that are tokens, and what requests would show."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from holdfast.auth import HTTPDigestAuth
from holdfast.exceptions import InvalidHeader, InvalidRequest, MissingSchema, UnrewindableBodyError
from holdfast.message.body import BytesBody
from holdfast.message.content import make_body
from holdfast.message.cookies import CookieJar
from holdfast.message.request import PreparedRequest, Request, basic_authorization

URL = "http://example.com/path?q=1"


def prepared(method: str = "GET", url: Any = URL, **kwargs: Any) -> PreparedRequest:
    return Request(method, url, **kwargs).prepare()


def generator() -> Iterator[bytes]:
    yield b"piece"


# -- the same as requests --------------------------------------------------------------------------------------

SAME: list[dict[str, Any]] = [
    {},
    {"params": {"a": ["1", "2"], "b": None}},
    {"headers": {"X-A": "1", "Accept": "*/*"}},
    {"data": {"a": "1", "b": ["2", "3"]}},
    {"data": [("a", "1"), ("a", "é")]},
    {"data": {}},
    {"data": ""},
    {"data": b""},
    {"data": "text é"},
    {"data": b"\x00bytes"},
    {"json": {"a": [1, None]}},
    {"json": []},
    {"json": 0},
    {"data": {"a": "1"}, "json": {"ignored": True}},
    {"data": b"x", "headers": {"Content-Type": "text/x"}},
    {"json": 1, "headers": {"content-type": "application/vnd.api+json"}},
    {"auth": ("user", "pass")},
    {"auth": ("üser", "pässword")},
    {"auth": requests.auth.HTTPBasicAuth("user", "pass")},
    {"cookies": {"a": "1", "b": "2"}},
    {"cookies": {"a": "1"}, "headers": {"Cookie": "mine=1"}},
    {"url": "http://user:p%40ss@example.com/"},
    {"url": "http://user:p@example.com/", "auth": ("other", "one")},
    {"url": b"http://example.com/bytes"},
]


def shown(request: Any) -> tuple[Any, ...]:
    headers = {name.lower(): value for name, value in request.headers.items()}
    return request.method, request.url, request.path_url, headers, request.body


@pytest.mark.parametrize("method", ["get", "HEAD", "post", "PUT", "delete", "OPTIONS", "patch"])
@pytest.mark.parametrize("kwargs", SAME, ids=str)
def test_a_prepared_request_shows_what_requests_shows(method: str, kwargs: dict[str, Any]) -> None:
    kwargs = {"url": URL, **kwargs}
    theirs = requests.Request(method, **kwargs).prepare()
    ours = Request(method, **kwargs).prepare()
    assert shown(ours) == shown(theirs)


def test_a_multipart_body_is_framed_and_typed_as_in_requests() -> None:
    kwargs: dict[str, Any] = {"files": {"f": ("name.txt", b"content")}, "data": {"field": "1"}}
    ours, theirs = prepared("POST", **kwargs), requests.Request("POST", URL, **kwargs).prepare()
    assert isinstance(ours.body, bytes)
    assert ours.headers["Content-Length"] == theirs.headers["Content-Length"] == str(len(ours.body))
    assert ours.headers["Content-Type"].startswith("multipart/form-data; boundary=")


def test_a_stream_is_shown_as_the_object_the_user_gave() -> None:
    file, stream = io.BytesIO(b"12345"), generator()
    assert prepared("POST", data=file).body is file
    assert prepared("POST", data=file).headers["Content-Length"] == "5"
    request = prepared("POST", data=stream)
    assert request.body is stream
    assert request.headers.multi_items() == [("Transfer-Encoding", "chunked")]


def test_a_streamed_form_is_shown_as_the_body_that_holds_it() -> None:
    request = prepared("POST", files={"f": io.BytesIO(b"x")})
    assert request.body is request.payload


def test_preparing_takes_nothing_of_a_generator() -> None:
    taken = []

    def watched() -> Iterator[bytes]:
        taken.append(1)
        yield b""

    prepared("POST", data=watched())
    assert taken == []


# -- the method ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("given", "sent"), [("get", "GET"), (b"post", "POST"), ("M-SEARCH", "M-SEARCH"), ("x!", "X!")])
def test_a_method_is_sent_in_upper_case(given: Any, sent: str) -> None:
    assert Request(given, URL).prepare().method == sent


@pytest.mark.parametrize("byte", [*range(0x21), *b'"(),/:;<=>?@[\\]{}', *range(0x7F, 0x100)])
def test_no_byte_that_is_not_of_a_token_gets_into_a_method(byte: int) -> None:
    with pytest.raises(InvalidRequest, match="position 3"):
        prepared("GET" + chr(byte) + "X")


@pytest.mark.parametrize("method", [None, "", 5, b""])
def test_there_has_to_be_a_method(method: Any) -> None:
    with pytest.raises(InvalidRequest, match="a method such as 'GET' is needed"):
        prepared(method)


def test_connect_is_not_a_method_for_urls() -> None:
    with pytest.raises(InvalidRequest, match="tunnel"):
        prepared("connect")


# -- the URL ---------------------------------------------------------------------------------------------------


def test_setting_the_url_parses_it() -> None:
    request = prepared()
    request.url = "HTTPS://Example.org"
    assert (request.url, request.parsed.host, request.path_url) == ("https://example.org/", "example.org", "/")


def test_a_missing_url_says_so() -> None:
    with pytest.raises(MissingSchema, match="No scheme supplied"):
        prepared(url=None)


def test_an_unprepared_request_has_no_url_and_can_be_copied() -> None:
    assert PreparedRequest().url is None
    assert PreparedRequest().copy().url is None
    assert pickle.loads(pickle.dumps(PreparedRequest())).url is None


# -- header fields ---------------------------------------------------------------------------------------------


def test_a_header_of_none_is_not_sent() -> None:
    assert prepared(headers={"A": None, "B": "1"}).headers.multi_items() == [("B", "1")]


def test_a_host_is_only_there_if_the_user_gave_it() -> None:
    assert "Host" not in prepared().headers
    assert prepared(headers={"Host": "other"}).headers["Host"] == "other"


def test_a_header_value_that_is_a_number_is_refused() -> None:
    with pytest.raises(InvalidHeader):
        prepared(headers={"A": 1})


# -- framing: B6 of the smuggling cases ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "data", "message"),
    [
        ([("Content-Length", "3"), ("Transfer-Encoding", "chunked")], b"abc", "cannot go out together"),
        ([("content-length", "3"), ("TRANSFER-ENCODING", "chunked")], b"abc", "cannot go out together"),
        ([("Content-Length", "3"), ("content-length", "3")], b"abc", "Content-Length is given 2 times"),
        ([("Content-Length", "3"), ("CONTENT-LENGTH", "4")], b"abc", "Content-Length is given 2 times"),
        ([("Transfer-Encoding", "chunked")] * 2, b"abc", "Transfer-Encoding is given 2 times"),
        ([("Transfer-Encoding", "gzip, chunked")], b"abc", "the only Transfer-Encoding"),
        ([("Transfer-Encoding", "xchunked")], b"abc", "the only Transfer-Encoding"),
        ([("Transfer-Encoding", "identity")], None, "the only Transfer-Encoding"),
        ([("Content-Length", "4")], b"abc", "says 4 bytes, the body has 3"),
        ([("Content-Length", "2")], b"abc", "says 2 bytes, the body has 3"),
        ([("Content-Length", "5")], None, "says 5 bytes, the body has 0"),
        *[
            ([("Content-Length", bad)], b"abc", "must be a decimal number")
            for bad in ("+3", "-3", " 3", "3 ", "0x3", "3_0", "3, 3", "", "٣", "³", "3" * 5000)
        ],
    ],
)
def test_framing_that_contradicts_is_refused(headers: Any, data: Any, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        prepared("POST", headers=headers, data=data)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_users_content_length_that_is_true_is_kept(method: str) -> None:
    assert prepared(method, headers={"content-length": "3"}, data=b"abc").headers.multi_items() == [
        ("content-length", "3")
    ]
    assert prepared(method, headers={"Content-Length": "0"}).headers["Content-Length"] == "0"


def test_a_user_may_ask_for_chunks() -> None:
    request = prepared("POST", headers={"Transfer-Encoding": " Chunked"}, data=b"abc")
    assert "Content-Length" not in request.headers


def test_a_users_content_length_holds_a_generator_to_it() -> None:
    request = prepared("POST", headers={"Content-Length": "99"}, data=generator())
    assert request.headers.multi_items() == [("Content-Length", "99")]
    assert request.payload is not None
    with pytest.raises(InvalidRequest, match="99"):
        list(request.payload.chunks())


def test_framing_spoilt_after_preparing_is_found_before_sending() -> None:
    request = prepared("POST", data=b"abc")
    request.headers.add("Transfer-Encoding", "chunked")
    with pytest.raises(InvalidRequest, match="cannot go out together"):
        request.check_framing()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"longer", {"content-length": "6"}),
        ("é", {"content-length": "2"}),
        (None, {"content-length": "0"}),
        (b"", {"content-length": "0"}),
        (generator(), {"transfer-encoding": "chunked"}),
        (BytesBody(b"made"), {"content-length": "4"}),
    ],
    ids=str,
)
def test_setting_the_body_sets_its_framing(body: Any, expected: dict[str, str]) -> None:
    for first in (b"x", generator(), None):
        request = prepared("POST", data=first)
        request.body = body
        assert dict(request.headers.lower_items()) == expected


def test_a_framing_field_that_somebody_removed_does_no_harm() -> None:
    request = prepared("POST", data=b"abc")
    del request.headers["Content-Length"]
    request.prepare_content_length(request.body)
    assert request.headers.multi_items() == [("Content-Length", "3")]


def test_set_body_takes_a_body_as_it_is() -> None:
    request = prepared("POST")
    request.set_body(make_body(json=[1]))
    assert request.headers == {"Content-Length": "3", "Content-Type": "application/json"}


# -- authentication --------------------------------------------------------------------------------------------


def test_an_auth_callable_is_given_the_finished_request_and_may_change_its_body() -> None:
    def sign(request: PreparedRequest) -> PreparedRequest:
        assert (request.body, request.headers["Content-Length"]) == (b"abc", "3")
        request.headers["X-Signature"] = "1"
        request.body = b"signed"
        return request

    request = prepared("POST", data=b"abc", auth=sign)
    assert (request.body, request.headers["Content-Length"]) == (b"signed", "6")


def test_an_auth_callable_may_return_another_request() -> None:
    request = prepared(auth=lambda request: prepared("PUT", "http://other.example/", data=b"x"))
    assert (request.method, request.url, request.body) == ("PUT", "http://other.example/", b"x")


@pytest.mark.parametrize("auth", [lambda request: None, lambda request: 5, "user:pass", ["u", "p"], 5])
def test_what_is_no_authentication_is_refused(auth: Any) -> None:
    with pytest.raises(InvalidRequest, match="auth="):
        prepared(auth=auth)


@pytest.mark.parametrize(
    ("user", "password", "message"),
    [
        ("a:b", "c", "':'"),
        (b"a:b", "c", "':'"),
        ("a\r\nX: 1", "c", "user name .* control character"),
        ("a", "secret\n", "password .* control character"),
        ("a", "\x7f", "password .* control character"),
        ("a", 5.5, "password .* not float"),
        (None, "b", "user name .* not NoneType"),
    ],
)
def test_basic_credentials_that_cannot_be_sent_are_refused_without_being_shown(
    user: Any, password: Any, message: str
) -> None:
    with pytest.raises(InvalidRequest, match=message) as caught:
        basic_authorization(user, password)
    assert "secret" not in str(caught.value)


def test_basic_credentials_outside_latin1_are_utf8() -> None:
    assert basic_authorization("ж", b"\xff") == "Basic 0LY6/w=="


def test_only_userinfo_of_the_url_makes_credentials() -> None:
    assert prepared(url="http://user:@example.com/").headers["Authorization"] == basic_authorization("user", "")
    assert "Authorization" not in prepared(url="http://user@example.com/").headers
    assert prepared(url="http://:pw@example.com/").headers["Authorization"] == basic_authorization("", "pw")
    assert "Authorization" not in prepared(url="http://@example.com/").headers


# -- hooks -----------------------------------------------------------------------------------------------------


def one(response: Any, **kwargs: Any) -> None: ...


def two(response: Any, **kwargs: Any) -> None: ...


@pytest.mark.parametrize("make", [lambda **kw: Request("GET", URL, **kw), lambda **kw: prepared(**kw)])
def test_hooks_are_registered_and_deregistered(make: Any) -> None:
    request = make(hooks={"response": [one, "not callable"]})
    request.register_hook("response", two)
    assert request.hooks == {"response": [one, two]}
    assert request.deregister_hook("response", one) is True
    assert request.deregister_hook("response", one) is False
    assert request.deregister_hook("nothing", one) is False
    assert make().deregister_hook("response", one) is False
    assert make(hooks={"response": None}).hooks == {"response": []}
    with pytest.raises(ValueError, match="Unsupported event"):
        request.register_hook("request", one)


def test_hooks_go_from_a_request_to_the_prepared_one() -> None:
    assert prepared(hooks={"response": one}).hooks == {"response": [one]}
    request = prepared(hooks={"response": one})
    request.hooks = None
    assert request.hooks == {"response": []}


# -- cookies ---------------------------------------------------------------------------------------------------


def test_the_cookie_header_is_computed_again_when_asked() -> None:
    jar = CookieJar()
    request = prepared()
    request.prepare_cookies({"own": "1"}, jar)
    assert request.headers["Cookie"] == "own=1"
    jar.set("theirs", "2")
    request.refresh_cookies()
    assert request.headers["Cookie"] == "own=1; theirs=2"
    request.prepare_cookies({})
    assert request.headers["Cookie"] == "theirs=2"
    jar.clear()
    request.refresh_cookies()
    assert "Cookie" not in request.headers


def test_a_cookie_header_of_the_users_own_stays() -> None:
    request = prepared(headers={"cookie": "mine=1"}, cookies={"a": "2"})
    request.refresh_cookies()
    assert request.headers.multi_items() == [("cookie", "mine=1")]


# -- sending again -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [None, b"abc", [b"a", b"bc"], io.BytesIO(b"abc"), {"a": "1"}])
def test_what_is_in_memory_or_can_be_sought_can_be_sent_again(data: Any) -> None:
    request = prepared("POST", data=data)
    for _ in range(2):
        assert request.can_be_sent
        request.rewind()
        whole = b"".join(request.payload.chunks()) if request.payload is not None else b""
        assert whole in (b"", b"abc", b"a=1")


def test_a_generator_can_be_sent_until_something_of_it_was_taken() -> None:
    request = prepared("POST", data=generator())
    request.rewind()
    assert request.can_be_sent
    assert request.payload is not None
    next(request.payload.chunks())
    assert not request.can_be_sent
    with pytest.raises(UnrewindableBodyError, match="gives its bytes only once"):
        request.rewind()


@pytest.mark.parametrize(("name", "has"), [("idempotency-key", True), ("X-IDEMPOTENCY-KEY", True), ("Idempotency", False)])
def test_an_idempotency_key_is_known_by_two_names_in_any_case(name: str, has: bool) -> None:
    assert prepared("POST", headers={name: "7"}).has_idempotency_key is has


# -- authentication --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pair", [("user", 12345), (7, "pass"), (7, 0)])
def test_numbers_as_user_name_or_password_are_sent_as_text_with_requests_warning(pair: tuple[Any, Any]) -> None:
    with pytest.warns(DeprecationWarning, match="Non-string (usernames|passwords)"):
        theirs = requests.Request("GET", URL, auth=pair).prepare().headers["Authorization"]
    with pytest.warns(DeprecationWarning, match="is given as int"):
        assert prepared(auth=pair).headers["Authorization"] == theirs


@pytest.mark.parametrize("pair", [(None, "pass"), ("user", None), ("user", True), ("user", object()), ("user", [1])])
def test_what_is_neither_text_nor_a_number_is_no_credential(pair: tuple[Any, Any]) -> None:
    with pytest.raises(InvalidRequest, match="must be str or bytes"):
        prepared(auth=pair)


# -- copies ----------------------------------------------------------------------------------------------------


def test_a_copy_shares_nothing_that_changes_but_the_body() -> None:
    request = prepared("POST", data=b"abc", cookies={"a": "1"}, hooks={"response": one}, headers={"A": "1"})
    twin = request.copy()
    assert shown(twin) == shown(request)
    assert twin.payload is request.payload
    twin.headers["A"] = "2"
    twin.register_hook("response", two)
    assert twin.cookies is not None
    twin.cookies.set("a", "2")
    twin.body = None
    assert request.headers["A"] == "1"
    assert request.hooks == {"response": [one]}
    assert request.cookies is not None
    assert request.cookies.get_dict() == {"a": "1"}
    assert request.body == b"abc"


def pickled(request: PreparedRequest) -> PreparedRequest:
    twin: PreparedRequest = pickle.loads(pickle.dumps(request))
    return twin


TRAVELS: list[dict[str, Any]] = [
    {},
    {"data": b"abc"},
    {"data": "text \xe9"},
    {"data": {"a": "1"}},
    {"data": [b"a", bytearray(b"bc")]},
    {"json": [1]},
    {"data": io.StringIO("abc")},
    {"files": {"f": b"x"}},
    {"files": {"f": b"x" * 200_000, "g": "y"}},
]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickled])
@pytest.mark.parametrize("given", TRAVELS)
def test_a_body_in_memory_goes_with_every_copy(given: dict[str, Any], copied: Callable[[Any], PreparedRequest]) -> None:
    request = prepared("POST", **given)
    twin = copied(request)
    twin.check_framing()
    assert (twin.method, twin.url, twin.headers) == (request.method, request.url, request.headers)
    for one in (request, twin) * 2:
        one.rewind()
    sent = [b"" if one.payload is None else b"".join(one.payload.chunks()) for one in (request, twin)]
    assert sent[0] == sent[1]


STAYS: list[Callable[[], dict[str, Any]]] = [
    lambda: {"data": generator()},
    lambda: {"data": io.BytesIO(b"abcdef")},
    lambda: {"data": iter([b"one", b"two"]), "headers": {"Content-Length": "6"}},
    lambda: {"data": open(__file__, "rb")},  # noqa: SIM115 - closed when the test lets go of it
    lambda: {"files": {"f": io.BytesIO(b"abc"), "g": b"in memory"}},
    lambda: {"files": {"f": generator()}},
]


@pytest.mark.filterwarnings("ignore:unclosed file")
@pytest.mark.parametrize("given", STAYS)
def test_a_copy_shares_a_body_that_there_is_once(given: Callable[[], dict[str, Any]]) -> None:
    request = prepared("POST", **given())
    twin = copy.copy(request)
    assert twin.payload is request.payload
    assert twin.body is request.body
    assert twin.headers is not request.headers


@pytest.mark.filterwarnings("ignore:unclosed file")
@pytest.mark.parametrize("copied", [copy.deepcopy, pickled, lambda request: copy.deepcopy(pickled(request))])
@pytest.mark.parametrize("given", STAYS)
def test_a_body_that_there_is_once_stays_with_its_request_and_its_copy_is_never_empty(
    given: Callable[[], dict[str, Any]], copied: Callable[[Any], PreparedRequest]
) -> None:
    request = prepared("POST", **given())
    twin = copied(request)
    assert twin.headers == request.headers
    assert not twin.can_be_sent
    assert "left behind" in repr(twin.body)
    for act in (twin.check_framing, twin.rewind, lambda: list(twin.payload.chunks()), twin.copy().check_framing):  # type: ignore[union-attr]  # it is there
        with pytest.raises(UnrewindableBodyError, match="did not come along"):
            act()
    assert request.can_be_sent
    twin.body = b"sixsix"
    twin.check_framing()
    assert twin.headers.get_list("Transfer-Encoding") == []
    assert twin.headers["Content-Length"] == "6"


def test_a_pickle_is_a_record_of_what_was_sent_and_knows_its_own_cookies() -> None:
    request = prepared("POST", data="abc", headers={"A": "1"}, cookies={"a": "1"})
    twin = pickled(request)
    assert shown(twin) == shown(request)
    assert twin.cookies is not None
    twin.cookies.set("a", "2")
    twin.refresh_cookies()
    assert twin.headers["Cookie"] == "a=2"
    assert request.headers["Cookie"] == "a=1"


def test_a_deep_copy_keeps_hooks_and_what_signs_it() -> None:
    request = prepared("POST", hooks={"response": one}, auth=HTTPDigestAuth("user", "pass"), cookies={"a": "1"})
    twin = copy.deepcopy(request)
    assert twin.hooks == request.hooks
    assert (twin.signer, twin.auth_origin) == (request.signer, request.auth_origin)
    assert twin.cookies is not request.cookies
    twin.check_framing()


def test_a_pickle_without_its_hooks_is_not_sent_until_they_are_given_again() -> None:
    request = prepared(hooks={"response": lambda r, **kw: r})
    for hooks in ({"response": one}, {}):
        for twin in (pickled(request), pickled(pickled(request)), pickled(request).copy()):
            with pytest.raises(InvalidRequest, match="its hooks did not come along"):
                twin.check_framing()
            twin.hooks = hooks
            twin.check_framing()


def test_a_pickle_without_what_signs_it_is_not_sent_until_that_is_given_again() -> None:
    request = prepared(auth=HTTPDigestAuth("user", "s3cret"))
    assert b"s3cret" not in pickle.dumps(request)
    for auth in (HTTPDigestAuth("user", "s3cret"), ("user", "s3cret")):
        twin = pickled(request)
        with pytest.raises(InvalidRequest, match="its authentication did not come along"):
            twin.check_framing()
        twin.prepare_auth(auth)
        twin.check_framing()


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_chunks_without_a_body_are_refused(method: str) -> None:
    request = prepared(method)
    request.headers["Content-Length"] = None
    request.headers["Transfer-Encoding"] = "chunked"
    with pytest.raises(InvalidRequest, match="there is no body"):
        request.check_framing()
    with pytest.raises(InvalidRequest, match="there is no body"):
        prepared(method, headers={"Transfer-Encoding": "chunked"})


def test_reprs_tell_the_method() -> None:
    assert repr(Request("GET", URL)) == "<Request [GET]>"
    assert repr(prepared("post")) == "<PreparedRequest [POST]>"

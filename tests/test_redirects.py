"""Which request follows a redirect, and what it may carry: methods, bodies, credentials, cookies."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from holdfast.auth import HTTPBasicAuth
from holdfast.exceptions import InvalidSchema, InvalidURL, RequestException, UnrewindableBodyError
from holdfast.message.cookies import CookieJar, extract_cookies
from holdfast.message.request import PreparedRequest, Request
from holdfast.message.response import Response
from holdfast.message.url import Url
from holdfast.redirects import SECRET_HEADERS, leaves_origin, next_request

START = "http://a.example/start"


def asked(method: str = "GET", url: str = START, **kwargs: Any) -> PreparedRequest:
    return Request(method, url, **kwargs).prepare()


def moved(
    request: PreparedRequest, *locations: str | bytes, status: int = 302, cookies: tuple[bytes, ...] = ()
) -> Response:
    raw = [(b"location", each if isinstance(each, bytes) else each.encode("latin-1")) for each in locations]
    raw += [(b"Set-Cookie", each) for each in cookies]
    return Response(status, b"Moved", raw, b"1.1", request, None)


def follow(request: PreparedRequest, location: str | bytes, status: int = 302, **kwargs: Any) -> PreparedRequest:
    following = next_request(request, moved(request, location, status=status, **kwargs), SECRET_HEADERS)
    assert following is not None
    return following


def generator() -> Iterator[bytes]:
    yield b"once"


# -- what is a redirect ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201, 300, 304, 305, 306, 400])
def test_other_statuses_are_not_followed(status: int) -> None:
    request = asked()
    assert next_request(request, moved(request, "/x", status=status), SECRET_HEADERS) is None


@pytest.mark.parametrize("locations", [(), ("",), (" \t",)])
def test_a_redirect_to_nowhere_is_not_followed(locations: tuple[str, ...]) -> None:
    request = asked()
    assert next_request(request, moved(request, *locations), SECRET_HEADERS) is None


def test_the_same_location_twice_counts_once_and_two_are_an_error() -> None:
    request = asked()
    following = next_request(request, moved(request, "/x", "/x"), SECRET_HEADERS)
    assert following is not None
    assert following.url == "http://a.example/x"
    response = moved(request, "/x", "http://evil.example/")
    with pytest.raises(InvalidURL, match="2 different Location fields") as caught:
        next_request(request, response, SECRET_HEADERS)
    assert (caught.value.request, caught.value.response) == (request, response)


# -- method and body: against requests -------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "X-OTHER"])
def test_the_method_and_whether_the_body_goes_along_are_those_of_requests(method: str, status: int) -> None:
    expected = requests.Request(method, START, data=b"abc", headers={"Content-Type": "text/x"}).prepare()
    answer = requests.Response()
    answer.status_code = status
    answer.request = expected
    answer.url = START
    answer.raw = io.BytesIO()
    answer.headers["location"] = "/next"
    theirs: Any = next(requests.Session().resolve_redirects(answer, expected, yield_requests=True))

    ours = follow(asked(method, data=b"abc", headers={"Content-Type": "text/x"}), "/next", status)
    assert ours.method == theirs.method
    assert ours.body == theirs.body
    described = ("Content-Length", "Content-Type", "Transfer-Encoding")
    got = [ours.headers.get(name) for name in described]
    # What requests leaves out urllib3 adds when it sends, except for methods that give content no meaning.
    if theirs.body is None and theirs.method not in ("GET", "HEAD", "DELETE", "OPTIONS"):
        theirs.headers["Content-Length"] = "0"
    assert got == [theirs.headers.get(name) for name in described]


def test_a_post_that_becomes_a_get_keeps_nothing_of_its_body() -> None:
    headers = {
        "Content-Encoding": "gzip",
        "Content-Language": "en",
        "content-location": "/x",
        "Expect": "100-continue",
        "Trailer": "X",
        "Accept": "a/b",
    }
    for data in (b"abc", generator(), {"a": "1"}):
        following = follow(asked("POST", data=data, headers=headers), "/x", 303)
        assert following.headers.multi_items() == [("Accept", "a/b")]
        assert (following.method, following.body, following.payload) == ("GET", None, None)


def test_a_chunked_body_named_by_the_user_goes_along_or_leaves_nothing() -> None:
    request = asked("POST", data=b"abc", headers={"Transfer-Encoding": "chunked"})
    assert follow(request, "/x", 307).headers == {"Transfer-Encoding": "chunked"}
    assert follow(request, "/x", 302).headers == {}


@pytest.mark.parametrize("status", [307, 308])
def test_a_body_is_sent_again_from_its_start(status: int) -> None:
    file = io.BytesIO(b"skipped-whole body")
    file.seek(8)
    request = asked("PUT", data=file)
    assert request.payload is not None
    assert b"".join(request.payload.chunks()) == b"whole body"
    following = follow(request, "/x", status)
    assert following.payload is request.payload
    assert file.tell() == 8
    assert b"".join(request.payload.chunks()) == b"whole body"


def test_a_body_that_was_consumed_and_gives_its_bytes_once_is_an_error() -> None:
    request = asked("POST", data=generator())
    assert request.payload is not None
    next(request.payload.chunks())
    response = moved(request, "/x", status=307)
    with pytest.raises(UnrewindableBodyError) as caught:
        next_request(request, response, SECRET_HEADERS)
    assert caught.value.response is response
    assert follow(request, "/x", 303).method == "GET"


def test_a_generator_nobody_has_touched_goes_along() -> None:
    request = asked("POST", data=generator())
    assert follow(request, "/x", 308).headers["Transfer-Encoding"] == "chunked"


def test_the_request_that_was_redirected_stays_as_it_was() -> None:
    request = asked("POST", data=b"abc", headers={"Authorization": "x", "Host": "h"}, cookies={"a": "1"})
    before = (request.method, request.url, request.headers.multi_items(), request.body)
    follow(request, "http://b.example/", 303)
    assert (request.method, request.url, request.headers.multi_items(), request.body) == before


# -- where to --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "location", "url"),
    [
        (START, "next", "http://a.example/next"),
        (START + "/deep/", "../up?q=1", "http://a.example/start/up?q=1"),
        (START, "?q", "http://a.example/start?q"),
        (START, "//b.example/x", "http://b.example/x"),
        (START, "HTTPS://B.example", "https://b.example/"),
        (START, " http://b.example/ ", "http://b.example/"),
        (START, "/caf\xc3\xa9", "http://a.example/caf%C3%A9"),
        (START, "/sp ace", "http://a.example/sp%20ace"),
        (START, "http:///x", "http://a.example/x"),
        (START, "http://", START),
        (START, "//", START),
        (START, "http://?q#f", START + "?q#f"),
        (START + "#kept", "/x", "http://a.example/x#kept"),
        (START + "#kept", "/x#own", "http://a.example/x#own"),
        (START + "#kept", "http://b.example/", "http://b.example/#kept"),
    ],
)
def test_a_location_is_resolved_and_inherits_the_fragment(start: str, location: str, url: str) -> None:
    assert follow(asked(url=start), location).url == url


@pytest.mark.parametrize("location", ["ftp://a.example/", "file:///etc/passwd", "mailto:a@b", "data:,x"])
def test_only_http_and_https_are_followed(location: str) -> None:
    request = asked()
    response = moved(request, location)
    with pytest.raises(InvalidSchema) as caught:
        next_request(request, response, SECRET_HEADERS)
    assert caught.value.response is response


@pytest.mark.parametrize("location", ["https:///x", "https://", "http://a b/", "http://a@b@/", "http://a:99999/"])
def test_a_location_without_a_sound_host_is_an_error(location: str) -> None:
    request = asked()
    with pytest.raises(RequestException) as caught:
        next_request(request, moved(request, location), SECRET_HEADERS)
    assert isinstance(caught.value, InvalidURL)


@pytest.mark.parametrize("junk", ["\r\nX-Injected: 1", "\n", "\t", "\0", "\x7f"])
def test_a_location_injects_nothing_into_the_request_line(junk: str) -> None:
    request = asked()
    try:
        following = follow(request, f"/x{junk}y")
    except InvalidURL:
        return
    assert following.parsed.target.isascii()
    assert not set(following.parsed.target) & set(b"\r\n\t\0\x7f ")


# -- credentials: A1 to A8 -------------------------------------------------------------------------------------

AWAY = [
    (START, "http://b.example/"),
    (START, "http://a.example:8080/"),
    (START, "https://a.example:8443/"),
    ("https://a.example/", "http://a.example/"),
    ("http://a.example:8080/", "https://a.example/"),
    ("http://sub.a.example/", "http://a.example/"),
    (START, "http://sub.a.example/"),
    (START, "http://a.example./"),
    ("https://a.example/", "https://a.example:444/"),
    (START, "//b.example"),
    (START, "http://a.example@b.example/"),
    ("http://127.0.0.1/", "http://127.1/"),
]
STAYING = [
    (START, "/x"),
    (START, "http://a.example/"),
    (START, "HTTP://A.EXAMPLE:80/x"),
    (START, "https://a.example/"),
    (START, "https://a.example:443/"),
    ("https://a.example/", "https://a.example:443/x"),
    ("http://a.example:8080/", "http://a.example:8080/"),
]
CARRIED: list[dict[str, Any]] = [
    {"headers": {"Authorization": "Bearer s3cret"}},
    {"headers": {"authorization": "Bearer s3cret"}},
    {"headers": [("AUTHORIZATION", "s3cret"), ("Authorization", "s3cret2")]},
    {"auth": ("user", "s3cret")},
    {"auth": HTTPBasicAuth("user", "s3cret")},
    {"headers": {"Cookie": "a=s3cret"}},
    {"headers": {"Proxy-Authorization": "Basic s3cret"}},
    {"headers": {"X-Api-Key": "s3cret"}},
    {"headers": {"API-KEY": "s3cret"}},
    {"headers": {"x-auth-token": "s3cret"}},
    {"headers": {"X-Amz-Security-Token": "s3cret"}},
    {"cookies": {"a": "s3cret"}},
]


def names(request: PreparedRequest) -> set[str]:
    return {name.lower() for name in request.headers}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("carried", CARRIED, ids=str)
@pytest.mark.parametrize(("start", "location"), AWAY)
def test_no_secret_leaves_its_origin(start: str, location: str, carried: dict[str, Any], status: int) -> None:
    request = asked(url=start, **carried)
    assert names(request)
    following = follow(request, location, status)
    assert following.headers.multi_items() == []
    back = follow(following, start, status)
    assert back.headers.multi_items() == []


@pytest.mark.parametrize("carried", CARRIED, ids=str)
@pytest.mark.parametrize(("start", "location"), STAYING)
def test_secrets_stay_within_their_origin_and_its_upgrade_to_https(
    start: str, location: str, carried: dict[str, Any]
) -> None:
    request = asked(url=start, **carried)
    # A Cookie header that the user wrote stays behind, as in requests; what is in a jar is found there again.
    kept = [(name, value) for name, value in request.headers.multi_items() if name != "Cookie" or "cookies" in carried]
    assert follow(request, location).headers.multi_items() == kept


@pytest.mark.parametrize(("start", "location"), AWAY + STAYING)
def test_leaving_an_origin_is_what_requests_takes_it_for(start: str, location: str) -> None:
    old = Url.parse(start)
    new = old.join(location)
    theirs = requests.Session().should_strip_auth(old.text, new.text)
    assert leaves_origin(old, new) is theirs


def test_userinfo_does_not_go_to_another_origin() -> None:
    request = asked(url="http://user:s3cret@a.example/")
    following = follow(request, "http://b.example/")
    assert following.url == "http://b.example/"
    assert following.headers.multi_items() == []
    assert follow(request, "/x").headers == request.headers


def test_the_set_of_secret_headers_is_the_callers() -> None:
    request = asked(headers={"X-Mine": "s3cret", "X-Api-Key": "k"})
    following = next_request(request, moved(request, "http://b.example/"), ["X-MINE"])
    assert following is not None
    assert following.headers.multi_items() == [("X-Api-Key", "k")]


@pytest.mark.parametrize("name", ["X-Goog-Api-Key", "PRIVATE-TOKEN", "X-Vault-Token", "Ocp-Apim-Subscription-Key"])
def test_what_is_named_like_a_secret_stays_with_its_origin_too(name: str) -> None:
    request = asked(headers=[(name, "s3cret"), (name.lower(), "s3cret too"), ("Accept", "a/b")])
    assert follow(request, "http://b.example/").headers.multi_items() == [("Accept", "a/b")]
    assert follow(request, "/x").headers == request.headers


def test_an_idempotency_key_is_no_secret_and_goes_along() -> None:
    request = asked("POST", headers={"Idempotency-Key": "7"}, data=b"x")
    assert follow(request, "http://b.example/", 307).headers["Idempotency-Key"] == "7"


def test_names_may_be_added_to_the_secret_ones_or_take_their_place() -> None:
    request = asked(headers={"X-Mine": "s3cret", "X-Vault-Token": "t", "Authorization": "Bearer b"})
    names = [name for name in SECRET_HEADERS if name != "x-csrf-token"]
    for secret_headers, kept in (
        ({*SECRET_HEADERS, "X-Mine"}, []),
        (SECRET_HEADERS, ["X-Mine"]),
        (names, ["X-Mine", "X-Vault-Token"]),
        ((), ["X-Mine", "X-Vault-Token", "Authorization"]),
    ):
        following = next_request(request, moved(request, "http://b.example/"), secret_headers)
        assert following is not None
        assert list(following.headers) == kept


@pytest.mark.parametrize(
    ("location", "kept"), [("/x", True), ("https://a.example/", False), ("http://b.example/", False)]
)
def test_a_host_header_is_for_the_origin_it_was_written_for(location: str, kept: bool) -> None:
    assert ("Host" in follow(asked(headers={"Host": "virtual.example"}), location).headers) is kept


def test_hooks_go_along() -> None:
    def hook(response: Any, **kwargs: Any) -> None: ...

    assert follow(asked(hooks={"response": hook}), "http://b.example/").hooks == {"response": [hook]}


# -- cookies ---------------------------------------------------------------------------------------------------


def with_jar(url: str = START, own: Any = None, **cookies: str) -> PreparedRequest:
    """A request with a client's jar, whose cookies are set by the host they are named after (a, b)."""
    jar = CookieJar()
    for name, value in cookies.items():
        jar.set(name, value, domain=f"{name}.example")
    request = Request("GET", url).prepare()
    request.prepare_cookies(own, jar)
    return request


def test_cookies_of_the_client_are_matched_again() -> None:
    request = with_jar(a="1", b="2")
    assert request.headers["Cookie"] == "a=1"
    there = follow(request, "http://b.example/")
    assert there.headers["Cookie"] == "b=2"
    assert follow(there, "http://a.example/").headers["Cookie"] == "a=1"
    assert "Cookie" not in follow(there, "http://c.example/").headers


def test_a_cookie_set_by_the_redirect_is_sent_to_its_target() -> None:
    request = with_jar(a="1")
    response = moved(request, "/x", cookies=(b"new=2",))
    assert request.jar is not None
    extract_cookies(request.jar, request.parsed, response.raw_headers)
    following = next_request(request, response, SECRET_HEADERS)
    assert following is not None
    assert following.headers["Cookie"] == "a=1; new=2"


def test_a_calls_own_cookies_stay_at_home_unless_they_name_a_domain() -> None:
    own = CookieJar()
    own.set("anywhere", "1")
    own.set("there", "2", domain="b.example")
    request = with_jar(own=own, a="3")
    assert request.headers["Cookie"] == "anywhere=1; a=3"
    following = follow(request, "http://b.example/")
    assert following.headers["Cookie"] == "there=2"
    assert "Cookie" not in follow(following, START.replace("a.example", "c.example")).headers


def test_what_the_redirect_sets_replaces_a_calls_own_cookie() -> None:
    request = with_jar(own={"token": "old", "other": "1"})
    response = moved(request, "/x", cookies=(b"token=new",))
    assert request.jar is not None
    extract_cookies(request.jar, request.parsed, response.raw_headers)
    following = next_request(request, response, SECRET_HEADERS)
    assert following is not None
    assert following.headers["Cookie"] == "other=1; token=new"


def test_a_cookie_header_of_the_users_gives_way_to_the_jars_at_every_redirect() -> None:
    jar = CookieJar()
    jar.set("a", "1", domain="a.example")
    jar.set("b", "2", domain="b.example")
    request = asked(headers={"Cookie": "mine=1"})
    request.prepare_cookies(None, jar)
    assert request.headers["Cookie"] == "mine=1"
    assert follow(request, "/x").headers["Cookie"] == "a=1"
    assert follow(request, "http://b.example/").headers["Cookie"] == "b=2"


# -- what depends on the URL -----------------------------------------------------------------------------------


def test_a_signer_signs_again_within_its_origin_only() -> None:
    def sign(request: PreparedRequest) -> None:
        request.headers["Authorization"] = f"signed {request.path_url}"

    request = asked()
    request.signer, request.auth_origin = sign, request.parsed.origin
    sign(request)
    assert follow(request, "/x").headers["Authorization"] == "signed /x"
    assert "Authorization" not in follow(request, "https://a.example/x").headers
    away = follow(request, "http://b.example/x")
    assert "Authorization" not in away.headers
    assert follow(away, "http://a.example/y").headers["Authorization"] == "signed /y"

"""Responses as urllib3's and requests' programs handle them: ``raw`` and private attributes."""

from __future__ import annotations

import gzip
import io
import zlib
from typing import Any

import pytest
import requests as theirs
import urllib3

from holdfast import requests
from holdfast.requests.cookies import MockRequest, MockResponse, extract_cookies_to_jar, get_cookie_header
from tests.server import Server, chunked, ok, replies


@pytest.fixture
def session() -> Any:
    with requests.Session() as made:
        yield made


def test_raw_has_what_urllib3s_response_has_and_each_may_be_set(session: Any) -> None:
    with Server(replies(ok(b"body", "X: 1", "Set-Cookie: a=1"))) as server:
        raw: Any = session.get(server.url("/p?q"), stream=True).raw
        assert (raw.status, raw.version, raw.version_string, raw.reason) == (200, 11, "HTTP/1.1", "OK")
        assert (raw.geturl(), raw.url, raw._request_url, raw.request_method) == ("/p?q", "/p?q", "/p?q", "GET")
        assert (raw.chunked, raw.length_remaining, raw.isclosed(), raw.supports_chunked_reads()) == (False, 4, False, True)
        assert raw._original_response.msg.get_all("Set-Cookie") == raw.msg.get_all("Set-Cookie") == ["a=1"]
        assert not raw._original_response.isclosed()
        raw._original_response.close()
        assert raw._original_response.isclosed()
        assert raw.enforce_content_length is True
        assert raw.read(1) == b"b"
        assert (raw.length_remaining, raw._fp.isclosed(), raw._fp.fp is raw._fp) == (3, False, True)
        assert raw._fp.read(1) == b"o"
        assert raw._fp.readinto(memoryview(bytearray(2))) == 2
        assert raw._fp.readable()
        assert raw._fp.read() == b""
        assert (raw._fp.isclosed(), raw._fp.fp) == (True, None)
        raw._fp.close()
        raw.drain_conn()
        raw.release_conn()
        assert raw.isclosed()
        names = "enforce_content_length chunked retries _fp _original_response msg _connection _pool _body connection url anything"
        for name in [*names.split(), "version_string", "headers"]:
            setattr(raw, name, "set")
            assert getattr(raw, name) == "set"
        raw.reason, raw.length_remaining = "Reason", 7
        assert raw.reason == "Reason"
        with pytest.raises(AttributeError, match="nothing"):
            raw.nothing  # noqa: B018 - asking is the test
        with raw._error_catcher():
            pass


def test_raw_reads_json_and_tells_redirects_and_chunks(session: Any) -> None:
    with Server(replies(chunked(b"[1,", b"2]"))) as server:
        raw = session.get(server.url(), stream=True).raw
        assert (raw.chunked, raw.length_remaining, raw.get_redirect_location(), raw.json()) == (True, None, False, [1, 2])


class Hashing:
    """A decoder of the program's own, as google-resumable-media puts one there."""

    def __init__(self) -> None:
        self.seen = b""
        self._inner = zlib.decompressobj(31)
        self.flushed = False

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        self.seen += data
        return self._inner.decompress(data)

    def flush(self) -> bytes:
        self.flushed = True
        return b""


@pytest.mark.parametrize("how", ["content", "iter_content", "raw"])
def test_a_decoder_that_a_program_puts_there_is_used(session: Any, how: str) -> None:
    plain = b"hello" * 20_000
    coded = gzip.compress(plain)
    with Server(replies(ok(coded, "Content-Encoding: gzip"))) as server:
        answer = session.get(server.url(), stream=True)
        answer.raw._decoder = decoder = Hashing()
        if how == "content":
            got = answer.content
        elif how == "raw":
            got = b"".join(answer.raw.stream(100, decode_content=True))
        else:
            got = b"".join(answer.iter_content(1000))
        assert (got == plain, decoder.seen == coded, decoder.flushed) == (True, True, True)
        answer.raw._decoder = None
        assert answer.raw._decoder is None


def test_content_is_false_before_it_is_read_and_the_flags_are_requests_flags(session: Any) -> None:
    with Server(replies(ok(b"body"), ok(b"body"))) as server:
        answer = session.get(server.url(), stream=True)
        assert (answer._content, answer._content_consumed) == (False, False)
        assert answer.content == b"body"
        assert (answer._content, answer._content_consumed) == (b"body", True)
        streamed = session.get(server.url(), stream=True)
        streamed.raw.read()
        streamed._content_consumed = True
        with pytest.raises(RuntimeError):
            streamed.content  # noqa: B018 - asking is the test
        streamed._content = b"set"
        assert streamed.content == b"set"
        streamed._content_consumed = False
        assert streamed._next is None
        assert streamed.__nonzero__() is True


def test_a_response_that_wraps_another_by_its_dict_has_all_of_it(session: Any) -> None:
    class Wrapper(requests.Response):
        def __init__(self, inner: Any, how: str) -> None:
            if how == "set":
                self.__dict__ = inner.__dict__
            else:
                super().__init__()
                self.__dict__.update(inner.__dict__)
            self.own = how

    with Server(replies(*[ok(b"body", "X: 1")] * 3)) as server:
        for how in ("set", "update"):
            inner = session.get(server.url(), stream=True)
            inner.mark = 5
            wrapped: Any = Wrapper(inner, how)
            del inner
            assert (wrapped.status_code, wrapped.headers["X"], wrapped.mark, wrapped.own) == (200, "1", 5, how)
            assert wrapped.text == "body"
        answer = session.get(server.url())
        assert set(requests.Response.__attrs__) <= set(vars(answer))
        answer.__dict__["status_code"] = 404
        answer.__dict__.update(status_code=405)
        assert answer.status_code == 405


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (urllib3.exceptions.ProtocolError("x"), requests.exceptions.ChunkedEncodingError),
        (urllib3.exceptions.DecodeError("x"), requests.exceptions.ContentDecodingError),
        (urllib3.exceptions.ReadTimeoutError(None, "u", "x"), requests.exceptions.ConnectionError),  # type: ignore[arg-type]
        (urllib3.exceptions.SSLError("x"), requests.exceptions.SSLError),
        (ZeroDivisionError("x"), ZeroDivisionError),
    ],
)
def test_errors_of_a_raw_that_was_set_are_requests_errors(raised: Exception, expected: type[Exception]) -> None:
    class Raw:
        def stream(self, *_: Any, **__: Any) -> Any:
            raise raised
            yield

        def close(self) -> None:
            pass

    response: Any = requests.Response()
    response.raw = Raw()
    with pytest.raises(expected):
        next(response.iter_content(10))


def test_a_raw_of_text_comes_to_its_end() -> None:
    response: Any = requests.Response()
    response.raw = io.StringIO("")
    assert response.content == b""
    response = requests.Response()
    response.status_code, response.raw = 0, io.BytesIO(b"x")
    assert response.content is None  # as in requests


def test_cookies_go_from_responses_to_jars_and_from_jars_to_requests() -> None:
    for module in (requests, theirs):
        jar: Any = module.cookies.RequestsCookieJar()
        request = module.Request("GET", "http://x.example/p", headers={"Host": "y.example"}).prepare()
        answer: Any = urllib3.HTTPResponse(b"")
        module.cookies.extract_cookies_to_jar(jar, request, answer)
        assert not len(jar)
        made = module.cookies.MockRequest(request)
        assert (made.type, made.get_type(), made.host, made.get_full_url()) == ("http", "http", "x.example", "http://y.example/p")
        assert (made.unverifiable, made.origin_req_host, made.has_header("Host"), made.get_header("Host")) == (
            True,
            "x.example",
            True,
            "y.example",
        )
        made.add_unredirected_header("A", "1")
        assert (made.get_new_headers(), made.has_header("A"), made.get_header("B", 5)) == ({"A": "1"}, True, 5)
        with pytest.raises(NotImplementedError):
            made.add_header("A", "1")
    plain = MockRequest(requests.Request("GET", "http://x.example/p").prepare())
    assert plain.get_full_url() == "http://x.example/p"

    class Original:
        msg = __import__("http.client").client.HTTPMessage()

    Original.msg["Set-Cookie"] = "a=1"
    assert MockResponse(Original.msg).getheaders("Set-Cookie") == ["a=1"]
    assert MockResponse(Original.msg).info() is Original.msg
    jar = requests.cookies.RequestsCookieJar()

    class Other:
        url = "http://x.example/"

    extract_cookies_to_jar(jar, Other, urllib3.HTTPResponse(b"", original_response=Original))  # type: ignore[arg-type]
    assert dict(jar) == {"a": "1"}
    assert get_cookie_header(jar, Other) == get_cookie_header(jar, plain._r) == "a=1"


@pytest.mark.parametrize("library", [theirs, requests], ids=["requests", "holdfast"])
def test_lines_of_raw_have_their_content_coding_undone_unless_they_are_asked_for_one_by_one(library: Any) -> None:
    coded = gzip.compress(b"one\r\ntwo\nthree", mtime=0)
    with Server(replies(*[ok(coded, "Content-Encoding: gzip")] * 3)) as server, library.Session() as session:
        assert list(session.get(server.url(), stream=True).raw) == [b"one\r\n", b"two\n", b"three"]
        assert session.get(server.url(), stream=True).raw.readlines() == [b"one\r\n", b"two\n", b"three"]
        assert coded.startswith(session.get(server.url(), stream=True).raw.readline())


EMPTY = [
    ("GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
    ("GET", ok(b"")),
    ("GET", ok(b"", "Content-Encoding: gzip")),
    ("GET", chunked()),
    ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
]


@pytest.mark.parametrize(("method", "answer"), EMPTY)
@pytest.mark.parametrize("library", [theirs, requests], ids=["requests", "holdfast"])
def test_nothing_is_missed_of_an_empty_body_that_was_closed_unread(library: Any, method: str, answer: bytes) -> None:
    with Server(replies(answer)) as server, library.Session() as session:
        with session.request(method, server.url(), stream=True) as response:
            pass
        assert (response.content, response.text, response.raw.read()) == (b"", "", b"")

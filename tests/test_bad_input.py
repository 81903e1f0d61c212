"""What cannot be sent is refused with the exception that is named for it, before a connection is opened.

Every case is tried with a call, where the server must not even see a connection, and with a client that has a kept one,
where the server must not see another byte.
"""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast.arguments import SendOptions
from tests.server import Server

Case = tuple[type[Exception], str, Callable[[Any, str], Any]]


async def pieces() -> AsyncIterator[bytes]:
    yield b"data"


def spent() -> Iterator[bytes]:
    generator = (piece for piece in [b"data"])
    list(generator)
    return generator


def closed() -> io.BytesIO:
    file = io.BytesIO(b"data")
    file.close()
    return file


def framed(value: str, **keywords: Any) -> Callable[[Any, str], Any]:
    return lambda c, url: c.post(url, headers={"Content-Length": value}, **keywords)


CASES: dict[str, Case] = {
    # the URL
    "no scheme": (holdfast.MissingSchema, "No scheme supplied", lambda c, _: c.get("localhost/x")),
    "empty": (holdfast.MissingSchema, "No scheme supplied", lambda c, _: c.get("")),
    "None": (holdfast.MissingSchema, "None", lambda c, _: c.get(None)),
    "another scheme": (holdfast.InvalidSchema, "ftp", lambda c, _: c.get("ftp://localhost/")),
    "mailto": (holdfast.InvalidSchema, "only http", lambda c, _: c.get("mailto:a@b")),
    "file": (holdfast.InvalidSchema, "file", lambda c, _: c.get("file:///etc/passwd")),
    "no host": (holdfast.InvalidURL, "[Nn]o host", lambda c, _: c.get("http:///x")),
    "no host, a port": (holdfast.InvalidURL, "[Nn]o host", lambda c, _: c.get("http://:80/")),
    "line end in the URL": (holdfast.InvalidURL, "strip or percent-encode", lambda c, url: c.get(url + "a\r\nb")),
    "tab in the URL": (holdfast.InvalidURL, "strip or percent-encode", lambda c, url: c.get(url + "a\tb")),
    "NUL in the URL": (
        holdfast.InvalidURL,
        "not allowed in a host",
        lambda c, url: c.get(url.replace("127", "1\x0027")),
    ),
    "space in the host": (holdfast.InvalidURL, "not allowed in a host", lambda c, _: c.get("http://local host/")),
    "two hosts": (holdfast.InvalidURL, "backslash", lambda c, _: c.get("http://a\\@b@localhost/")),
    "port of letters": (holdfast.InvalidURL, "1 to 65535", lambda c, _: c.get("http://localhost:http/")),
    "port too large": (holdfast.InvalidURL, "1 to 65535", lambda c, _: c.get("http://localhost:65536/")),
    "unfinished IPv6": (holdfast.InvalidURL, "IPv6", lambda c, _: c.get("http://[::1/")),
    "host too long": (holdfast.InvalidURL, "DNS", lambda c, _: c.get(f"http://{'a.' * 200}example/")),
    # the method
    "line end in the method": (holdfast.InvalidRequest, "position 3", lambda c, url: c.request("GET\r\nX: y", url)),
    "space in the method": (holdfast.InvalidRequest, "position 3", lambda c, url: c.request("GET /", url)),
    "empty method": (holdfast.InvalidRequest, "method", lambda c, url: c.request("", url)),
    "method of no text": (holdfast.InvalidRequest, "method", lambda c, url: c.request(5, url)),
    "method beyond ASCII": (holdfast.InvalidRequest, "position 1", lambda c, url: c.request("GÉT", url)),
    "CONNECT": (holdfast.InvalidRequest, "CONNECT", lambda c, url: c.request("CONNECT", url)),
    # header fields
    "line end in a header": (holdfast.InvalidHeader, "X-A", lambda c, url: c.get(url, headers={"X-A": "1\r\nX-B: 2"})),
    "LF in a header": (holdfast.InvalidHeader, "X-A", lambda c, url: c.get(url, headers={"X-A": "1\n2"})),
    "NUL in a header": (holdfast.InvalidHeader, "X-A", lambda c, url: c.get(url, headers={"X-A": b"1\x002"})),
    "space before a header": (holdfast.InvalidHeader, "X-A", lambda c, url: c.get(url, headers={"X-A": " 1"})),
    "header beyond latin-1": (holdfast.InvalidHeader, "X-A", lambda c, url: c.get(url, headers={"X-A": "日"})),
    "number as a header": (holdfast.InvalidHeader, "int", lambda c, url: c.get(url, headers={"X-A": 1})),
    "list as a header": (holdfast.InvalidHeader, "list", lambda c, url: c.get(url, headers={"X-A": ["1"]})),
    "line end in a name": (holdfast.InvalidHeader, "position 3", lambda c, url: c.get(url, headers={"X-A\r\nB": "1"})),
    "space in a name": (holdfast.InvalidHeader, "position 1", lambda c, url: c.get(url, headers={"X A": "1"})),
    "empty name": (holdfast.InvalidHeader, "empty", lambda c, url: c.get(url, headers={"": "1"})),
    "headers that are text": (holdfast.InvalidHeader, "str", lambda c, url: c.get(url, headers="X-A: 1")),
    # cookies
    "line end in a cookie": (holdfast.InvalidHeader, "'a'", lambda c, url: c.get(url, cookies={"a": "1\r\nX: 2"})),
    "semicolon in a cookie": (holdfast.InvalidHeader, "'a'", lambda c, url: c.get(url, cookies={"a": "1; b=2"})),
    "equals sign in a name": (holdfast.InvalidHeader, "name", lambda c, url: c.get(url, cookies={"a=b": "1"})),
    "line end in a Cookie": (holdfast.InvalidHeader, "Cookie", lambda c, url: c.get(url, headers={"Cookie": "a\nb"})),
    # authentication
    "auth that is none": (holdfast.WrongType, "auth=", lambda c, url: c.get(url, auth=5)),
    "list as auth": (holdfast.WrongType, "auth=", lambda c, url: c.get(url, auth=["user", "p"])),
    "auth that loses the request": (holdfast.WrongType, "auth=", lambda c, url: c.get(url, auth=lambda request: None)),
    "colon in a user name": (holdfast.InvalidRequest, "':'", lambda c, url: c.get(url, auth=("a:b", "p"))),
    "line end in a password": (holdfast.InvalidRequest, "password", lambda c, url: c.get(url, auth=("a", "p\n"))),
    "fraction as a password": (holdfast.WrongType, "float", lambda c, url: c.get(url, auth=("a", 5.5))),
    "line end in a user name": (
        holdfast.InvalidRequest,
        "user name",
        lambda c, url: c.get(url, auth=holdfast.auth.HTTPDigestAuth("a\r\nb", "p")),
    ),
    # the body
    "text with files": (ValueError, "must not be a string", lambda c, url: c.post(url, data="x", files={"f": b"1"})),
    "stream with files": (
        NotImplementedError,
        "mutually exclusive",
        lambda c, url: c.post(url, data=iter([b"x"]), files={"f": b"1"}),
    ),
    "number as data": (holdfast.WrongType, "int", lambda c, url: c.post(url, data=5)),
    "object as data": (holdfast.WrongType, "object", lambda c, url: c.post(url, data=object())),
    "coroutine-like data": (holdfast.WrongType, "asynchronous", lambda c, url: c.post(url, data=pieces())),
    "form that is none": (holdfast.InvalidRequest, "pair", lambda c, url: c.post(url, data=["a", "b"])),
    "closed file": (holdfast.InvalidRequest, "closed", lambda c, url: c.post(url, data=closed())),
    "spent generator": (holdfast.UnrewindableBodyError, "ended", lambda c, url: c.post(url, data=spent())),
    "NaN as JSON": (holdfast.InvalidJSONError, "JSON", lambda c, url: c.post(url, json=float("nan"))),
    "object as JSON": (TypeError, "JSON serializable", lambda c, url: c.post(url, json=object())),
    "files that are none": (holdfast.InvalidRequest, "files=", lambda c, url: c.post(url, files=5)),
    "file tuple of five": (
        holdfast.InvalidRequest,
        "tuple of 5",
        lambda c, url: c.post(url, files={"f": (1, 2, 3, 4, 5)}),
    ),
    "line end in a part's header": (
        holdfast.InvalidHeader,
        "X-A",
        lambda c, url: c.post(url, files={"f": ("n", b"1", None, {"X-A": "1\r\n2"})}),
    ),
    "shorter than its length": (holdfast.InvalidRequest, "10 bytes, the body has 4", framed("10", data=b"data")),
    "longer than its length": (holdfast.InvalidRequest, "2 bytes, the body has 4", framed("2", data=b"data")),
    "length without a body": (holdfast.InvalidRequest, "10 bytes, the body has 0", framed("10")),
    "length that is no number": (holdfast.InvalidRequest, "decimal", framed("four", data=b"data")),
    "negative length": (holdfast.InvalidRequest, "decimal", framed("-4", data=b"data")),
    "length and chunks": (
        holdfast.InvalidRequest,
        "together",
        lambda c, url: c.post(url, data=b"data", headers={"Content-Length": "4", "Transfer-Encoding": "chunked"}),
    ),
    "another transfer coding": (
        holdfast.InvalidRequest,
        "chunked",
        lambda c, url: c.post(url, data=b"data", headers={"Transfer-Encoding": "gzip"}),
    ),
    # the rest
    "negative timeout": (ValueError, "positive", lambda c, url: c.get(url, timeout=-1)),
    "timeout of zero": (ValueError, "positive", lambda c, url: c.get(url, timeout=0)),
    "timeout of NaN": (ValueError, "finite", lambda c, url: c.get(url, timeout=float("nan"))),
    "timeout of text": (ValueError, "seconds", lambda c, url: c.get(url, timeout="5")),
    "timeout of a bool": (ValueError, "number", lambda c, url: c.get(url, timeout=True)),
    "limits of a number": (ValueError, "holdfast.Limits", lambda c, url: holdfast.Client(limits=5)),  # type: ignore[arg-type]
    "timeout of a list": (ValueError, "pair", lambda c, url: c.get(url, timeout=[1, 2])),
    "timeout of three": (ValueError, "pair", lambda c, url: c.get(url, timeout=(1, 2, 3))),
    "hook for no event": (ValueError, "event", lambda c, url: c.get(url, hooks={"request": print})),
    "keyword there is not": (TypeError, "cache", lambda c, url: c.get(url, cache=True)),
    "negative retries": (ValueError, "negative", lambda c, url: c.get(url, retries=-1)),
    "proxy of another kind": (holdfast.InvalidSchema, "proxy", lambda c, url: c.get(url, proxies={"http": "ftp://p/"})),
    "proxy without a host": (holdfast.InvalidProxyURL, "host", lambda c, url: c.get(url, proxies={"http": "http://"})),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.usefixtures("no_leaks")
def test_bad_input_is_refused_before_a_connection_is_opened(name: str) -> None:
    expected, message, call = CASES[name]
    with Server() as server:
        with pytest.raises(expected, match=message):
            call(holdfast, server.url())
        holdfast.close()

        assert server.connections == 0


@pytest.mark.parametrize("name", CASES)
def test_bad_input_costs_a_client_neither_a_byte_nor_its_connection(name: str) -> None:
    expected, message, call = CASES[name]
    with Server() as server, holdfast.Client() as client:
        client.get(server.url())
        with pytest.raises(expected, match=message):
            call(client, server.url())
        client.get(server.url())

        assert server.connections == 1
        assert len(server.requests) == 2
        assert server.conn(0).buffered == b""


@pytest.mark.parametrize("name", [name for name in CASES if issubclass(CASES[name][0], holdfast.RequestException)])
def test_bad_input_is_a_request_exception_and_shows_no_secret(name: str) -> None:
    expected, _, call = CASES[name]
    with pytest.raises(holdfast.RequestException) as caught:
        call(holdfast, "http://user:hunter2@127.0.0.1:1/")

    assert isinstance(caught.value, expected)
    assert isinstance(caught.value, ValueError) or expected in (
        holdfast.InvalidJSONError,
        holdfast.UnrewindableBodyError,
    )
    assert "hunter2" not in str(caught.value)


def test_a_ca_bundle_that_is_not_there_is_an_os_error_that_names_it(tmp_path: Path) -> None:
    with Server() as server:
        url = server.url().replace("http:", "https:")
        given: list[SendOptions] = [{"verify": str(tmp_path / "no.pem")}, {"cert": str(tmp_path / "no.pem")}]
        for settings in given:
            with pytest.raises(OSError, match=r"no\.pem"):
                holdfast.get(url, **settings)
        holdfast.close()

        assert server.connections == 0


@pytest.mark.parametrize(("length", "message"), [("10", "ended after 4 of 10"), ("2", "4 bytes or more, 2 were")])
def test_a_stream_that_breaks_its_promise_never_makes_a_whole_request(length: str, message: str) -> None:
    """Only sending it shows its length, so the head is out; but the connection ends before the request does."""
    with Server() as server, holdfast.Client() as client:
        with pytest.raises(holdfast.InvalidRequest, match=message):
            client.post(server.url(), data=iter([b"data"]), headers={"Content-Length": length})
        server.wait_idle()

        assert server.requests == []

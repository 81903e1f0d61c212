"""holdfast against requests, call by call: the same call through both, to one server; nothing may differ.

``likeness`` has what compares, and ``calls_of_scripts`` more calls. ``EXCUSED`` names every call whose outcome differs:
where, and why. What differs elsewhere fails, and so does an excuse for what does not differ.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterator
from http.cookiejar import CookieJar as StdlibJar
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import requests

import holdfast
import tests.calls_of_scripts  # noqa: F401 - it has calls of its own
from tests.conftest import Tls
from tests.likeness import CALLS, PAGES, PASSWORD, Call, World, call, calls, differences, jar_of, ok, outcome, site, streamed
from tests.server import Server

# -- the calls --------------------------------------------------------------------------------------------------------

class Text(str):
    """A str that is not exactly a str."""

    __slots__ = ()


class Shown:
    """Something whose str() is a URL."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __str__(self) -> str:
        return self.url


calls("verb", {
    "get": lambda w: w.r.get(w.at()),
    "get with positional params": lambda w: w.r.get(w.at(), {"a": "1"}),
    "options": lambda w: w.r.options(w.at()),
    "head": lambda w: w.r.head(w.at()),
    "head does not follow": lambda w: w.r.head(w.to("/")),
    "head told to follow": lambda w: w.r.head(w.to("/"), allow_redirects=True),
    "post with nothing": lambda w: w.r.post(w.at()),
    "post with positional data": lambda w: w.r.post(w.at(), b"data"),
    "post with positional json": lambda w: w.r.post(w.at(), None, {"a": 1}),
    "put with nothing": lambda w: w.r.put(w.at()),
    "put with positional data": lambda w: w.r.put(w.at(), b"data"),
    "patch with positional data": lambda w: w.r.patch(w.at(), b"data"),
    "delete": lambda w: w.r.delete(w.at()),
    "delete with a body": lambda w: w.r.delete(w.at(), data=b"data"),
    "get with a body": lambda w: w.r.get(w.at(), data=b"data"),
    "request in lower case": lambda w: w.r.request("get", w.at()),
    "request with a method of one's own": lambda w: w.r.request("purge", w.at()),
    "request with keywords only": lambda w: w.r.request(method="POST", url=w.at(), data={"a": "b"}),
    "module-level calls share no cookies": lambda w: [w.r.get(w.at("/set?a=1")), w.r.get(w.at())],
})  # fmt: skip


@call("verb: all positional arguments of Session.request")
def _(w: World) -> Any:
    def hook(response: Any, **_: Any) -> None:
        heard.append(response.status_code)

    heard: list[int] = []
    with w.r.Session() as s:
        response = s.request(
            "POST", w.to("/", 307), {"p": "1"}, {"d": "2"}, {"X-H": "3"}, {"c": "4"}, None, ("u", "p"), 10.0, False, {},
            {"response": hook}, True, True, None, None,
        )  # fmt: skip
        return response, heard


calls("url", {
    "bytes": lambda w: w.r.get(w.at("/a?b=c").encode()),
    "subclass of str": lambda w: w.r.get(Text(w.at())),
    "object": lambda w: w.r.get(Shown(w.at())),
    "leading whitespace": lambda w: w.r.get("  \n" + w.at()),
    "trailing space": lambda w: w.r.get(w.at("/a ")),
    "no path": lambda w: w.r.get(w.at("")),
    "no path, a query": lambda w: w.r.get(w.at("?a=b")),
    "upper-case scheme and host": lambda w: w.r.get(w.at().replace("http", "HTTP")),
    "non-ASCII path": lambda w: w.r.get(w.at("/grüße/日本")),
    "non-ASCII query": lambda w: w.r.get(w.at("/?a=grüße")),
    "spaces": lambda w: w.r.get(w.at("/a b?c d=e f")),
    "needless escapes": lambda w: w.r.get(w.at("/%7Euser/%41")),
    "lower-case escapes": lambda w: w.r.get(w.at("/%c3%bc")),
    "lone percent sign": lambda w: w.r.get(w.at("/100%/x")),
    "reserved characters": lambda w: w.r.get(w.at("/a;b=c,d/(e)!$&'*+=:@~?f=/?:@!$&'()*+,;=")),
    "characters that need escaping": lambda w: w.r.get(w.at('/<>"{}|^`\\?<>"{}|^`\\')),
    "dot segments": lambda w: w.r.get(w.at("/a/./b/../c")),
    "empty segments": lambda w: w.r.get(w.at("//a//b/")),
    "fragment": lambda w: w.r.get(w.at("/a#part two")),
    "parameters": lambda w: w.r.get(w.at("/a;v=1?b")),
    "empty query": lambda w: w.r.get(w.at("/a?")),
    "no scheme": lambda w: w.r.get("localhost:80/"),
    "no scheme, no host": lambda w: w.r.get("/path"),
    "empty": lambda w: w.r.get(""),
    "None": lambda w: w.r.get(None),
    "ftp": lambda w: w.r.get("ftp://x.example/"),
    "mailto": lambda w: w.r.get("mailto:a@x.example"),
    "file": lambda w: w.r.get("file:///etc/passwd"),
    "data": lambda w: w.r.get("data:text/plain,x"),
    "localhost: as a scheme": lambda w: w.r.get("localhost:3128/x"),
    "no host": lambda w: w.r.get("http://"),
    "no host, a path": lambda w: w.r.get("http:///path"),
    "wildcard host": lambda w: w.r.get("http://*.example.org/"),
    "host that begins with a dot": lambda w: w.r.get("http://.example.org/"),
    "port that is no number": lambda w: w.r.get("http://x.example:eighty/"),
    "port too large": lambda w: w.r.get("http://x.example:70000/"),
    "unfinished IPv6": lambda w: w.r.get("http://[::1/"),
})  # fmt: skip

calls("params", {
    "dict": lambda w: w.r.get(w.at(), params={"a": "1", "b": "2"}),
    "list of tuples": lambda w: w.r.get(w.at(), params=[("a", "1"), ("a", "2"), ("b", "3")]),
    "tuple of tuples": lambda w: w.r.get(w.at(), params=(("a", "1"), ("b", "2"))),
    "list values": lambda w: w.r.get(w.at(), params={"a": ["1", "2"], "b": ("3",)}),
    "None is left out": lambda w: w.r.get(w.at(), params={"a": None, "b": "2"}),
    "None among list values": lambda w: w.r.get(w.at(), params={"a": ["1", None]}),
    "all None": lambda w: w.r.get(w.at(), params={"a": None}),
    "numbers and bools": lambda w: w.r.get(w.at(), params={"a": 1, "b": 2.5, "c": True}),
    "str": lambda w: w.r.get(w.at(), params="a=b&c d"),
    "bytes": lambda w: w.r.get(w.at(), params=b"a=b"),
    "non-ASCII": lambda w: w.r.get(w.at(), params={"grüße": "日本"}),
    "bytes names and values": lambda w: w.r.get(w.at(), params={b"a": b"\xff"}),
    "what needs escaping": lambda w: w.r.get(w.at(), params={"a b": "c+d&e=f/g?h#i%j~k"}),
    "with a query": lambda w: w.r.get(w.at("/?a=1"), params={"b": "2"}),
    "with an empty query": lambda w: w.r.get(w.at("/?"), params={"b": "2"}),
    "with a fragment": lambda w: w.r.get(w.at("/#x"), params={"b": "2"}),
    "without a path": lambda w: w.r.get(w.at(""), params={"b": "2"}),
    "empty value": lambda w: w.r.get(w.at(), params={"a": ""}),
    "empty dict": lambda w: w.r.get(w.at(), params={}),
    "empty list value": lambda w: w.r.get(w.at(), params={"a": []}),
    "of a post": lambda w: w.r.post(w.at(), params={"a": "1"}, data={"b": "2"}),
    "are not added again by a redirect": lambda w: w.r.get(w.to("/x"), params={"b": "2"}),
})  # fmt: skip


class Sized:
    """A file-like object of known length that cannot tell or seek."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)
        self.len = len(data)

    def read(self, size: int = -1) -> bytes:
        return self._data.read(size)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._data)


def moved(data: bytes, position: int) -> io.BytesIO:
    """A file that stands at ``position``."""
    file = io.BytesIO(data)
    file.seek(position)
    return file


def piecewise(*pieces: Any) -> Iterator[Any]:
    """A generator."""
    yield from pieces


calls("data", {
    "dict": lambda w: w.r.post(w.at(), data={"a": "1", "b": "ü ä"}),
    "list of tuples": lambda w: w.r.post(w.at(), data=[("a", "1"), ("a", "2")]),
    "tuple of tuples": lambda w: w.r.post(w.at(), data=(("a", "1"), ("a", "2"))),
    "list values": lambda w: w.r.post(w.at(), data={"a": ["1", "2"], "b": None}),
    "numbers": lambda w: w.r.post(w.at(), data={"a": 1, "b": True}),
    "bytes values": lambda w: w.r.post(w.at(), data={"a": b"\xff+"}),
    "all None": lambda w: w.r.post(w.at(), data={"a": None}),
    "str": lambda w: w.r.post(w.at(), data="a=b"),
    "non-ASCII str": lambda w: w.r.post(w.at(), data="grüße 日本"),
    "bytes": lambda w: w.r.post(w.at(), data=b"\x00\xff"),
    "bytearray": lambda w: w.r.post(w.at(), data=bytearray(b"data")),
    "empty str": lambda w: w.r.post(w.at(), data=""),
    "empty dict": lambda w: w.r.post(w.at(), data={}),
    "empty bytes": lambda w: w.r.post(w.at(), data=b""),
    "empty bytearray": lambda w: w.r.post(w.at(), data=bytearray()),
    "empty BytesIO": lambda w: w.r.post(w.at(), data=io.BytesIO()),
    "empty StringIO": lambda w: w.r.post(w.at(), data=io.StringIO()),
    "empty list value": lambda w: w.r.post(w.at(), data={"a": []}).status_code,
    "all None, of a get": lambda w: w.r.get(w.at(), data={"a": None}).status_code,
    "file": lambda w: w.r.post(w.at(), data=w.file()),
    "empty file": lambda w: w.r.post(w.at(), data=w.file(content=b"")),
    "BytesIO": lambda w: w.r.post(w.at(), data=io.BytesIO(b"data")),
    "BytesIO in the middle": lambda w: w.r.post(w.at(), data=moved(b"skipped data", 8)),
    "BytesIO at its end": lambda w: w.r.post(w.at(), data=moved(b"data", 4)),
    "StringIO": lambda w: w.r.post(w.at(), data=io.StringIO("data")),
    "something with .len": lambda w: w.r.post(w.at(), data=Sized(b"data")),
    "generator": lambda w: w.r.post(w.at(), data=piecewise(b"one", b"", b"two")),
    "generator of nothing": lambda w: w.r.post(w.at(), data=piecewise()),
    "iterator": lambda w: w.r.post(w.at(), data=iter([b"one", b"two"])),
    "large": lambda w: w.r.post(w.at(), data=b"0123456789" * 100_000),
    "large in pieces": lambda w: w.r.post(w.at(), data=piecewise(*[b"0123456789" * 1000] * 20)),
    "number": lambda w: w.r.post(w.at(), data=5),
    "with a content type": lambda w: w.r.post(w.at(), data={"a": "1"}, headers={"Content-Type": "text/x"}),
    "str with a content type": lambda w: w.r.post(w.at(), data="{}", headers={"content-type": "application/json"}),
    "with the right Content-Length": lambda w: w.r.post(w.at(), data=b"data", headers={"Content-Length": "4"}),
    "of a put": lambda w: w.r.put(w.at(), data={"a": "1"}),
    "of a patch": lambda w: w.r.patch(w.at(), data=piecewise(b"data")),
})  # fmt: skip

calls("json", {
    "dict": lambda w: w.r.post(w.at(), json={"a": [1, 2.5, None, True, "ü"]}),
    "list": lambda w: w.r.post(w.at(), json=[1]),
    "str": lambda w: w.r.post(w.at(), json="text"),
    "empty dict": lambda w: w.r.post(w.at(), json={}),
    "zero": lambda w: w.r.post(w.at(), json=0),
    "False": lambda w: w.r.post(w.at(), json=False),
    "None": lambda w: w.r.post(w.at(), json=None),
    "loses to data": lambda w: w.r.post(w.at(), data={"a": "1"}, json={"b": 2}),
    "wins over empty data": lambda w: w.r.post(w.at(), data={}, json={"b": 2}),
    "loses to files": lambda w: w.r.post(w.at(), files={"f": b"1"}, json={"b": 2}),
    "with a content type": lambda w: w.r.post(w.at(), json={}, headers={"Content-Type": "application/vnd.x+json"}),
    "NaN": lambda w: w.r.post(w.at(), json={"a": float("nan")}),
    "infinity": lambda w: w.r.post(w.at(), json=float("inf")),
    "what has no JSON": lambda w: w.r.post(w.at(), json={"a": object()}),
    "of a get": lambda w: w.r.get(w.at(), json={"a": 1}),
    "of a put": lambda w: w.r.put(w.at(), json={"a": 1}),
})  # fmt: skip

calls("files", {
    "open file": lambda w: w.r.post(w.at(), files={"f": w.file()}).status_code,
    "open file, a name to escape": lambda w: w.r.post(w.at(), files={"f": w.file('a "b" c.txt')}).status_code,
    "BytesIO": lambda w: w.r.post(w.at(), files={"f": io.BytesIO(b"data")}).status_code,
    "bytes": lambda w: w.r.post(w.at(), files={"f": b"\x00\xff"}),
    "str": lambda w: w.r.post(w.at(), files={"f": "grüße"}),
    "empty bytes": lambda w: w.r.post(w.at(), files={"f": b""}),
    "name and content": lambda w: w.r.post(w.at(), files={"f": ("n.txt", b"data")}),
    "name and file": lambda w: w.r.post(w.at(), files={"f": ("n.txt", w.file())}).status_code,
    "file in the middle": lambda w: w.r.post(w.at(), files={"f": ("n.txt", moved(b"skipped data", 8))}).status_code,
    "name, content and type": lambda w: w.r.post(w.at(), files={"f": ("n.txt", b"data", "text/x")}),
    "four": lambda w: w.r.post(w.at(), files={"f": ("n.txt", b"data", "text/x", {"X-A": "1", "X-B": "2"})}),
    "no name": lambda w: w.r.post(w.at(), files={"f": (None, b"data")}),
    "empty name": lambda w: w.r.post(w.at(), files={"f": ("", b"data")}),
    "list": lambda w: w.r.post(w.at(), files=[("f", ("1.txt", b"one")), ("f", ("2.txt", b"two")), ("g", b"three")]),
    "with data": lambda w: w.r.post(w.at(), data={"a": "1", "b": ["2", "3"]}, files={"f": b"data"}),
    "with a list of data": lambda w: w.r.post(w.at(), data=[("a", "1"), ("a", "2")], files={"f": b"data"}),
    "with numbers as data": lambda w: w.r.post(w.at(), data={"a": 1, "b": None, "c": b"\xff"}, files={"f": b"data"}),
    "non-ASCII names": lambda w: w.r.post(w.at(), files={"grüße": ("日本.txt", b"data")}),
    "names that need escaping": lambda w: w.r.post(w.at(), files={'f"\r\n': ('a"\r\nb.txt', b"data")}),
    "large": lambda w: w.r.post(w.at(), files={"f": ("n", io.BytesIO(b"0123456789" * 50_000))}).status_code,
    "no files": lambda w: w.r.post(w.at(), data={"a": "1"}, files={}),
    "data is str": lambda w: w.r.post(w.at(), data="str", files={"f": b"data"}),
    "data is a stream": lambda w: w.r.post(w.at(), data=piecewise(b"x"), files={"f": b"data"}),
    "content is None": lambda w: w.r.post(w.at(), files={"f": ("n.txt", None), "g": b"data"}),
    "of a put": lambda w: w.r.put(w.at(), files={"f": b"data"}),
})  # fmt: skip


@call("files: a large file, and request.body afterwards")
def _(w: World) -> Any:
    sent = w.r.post(w.at(), files={"f": ("n", io.BytesIO(b"0" * 100_000))})
    return type(sent.request.body).__name__


calls("headers", {
    "own": lambda w: w.r.get(w.at(), headers={"X-A": "1", "x-b": "2"}),
    "over a default": lambda w: w.r.get(w.at(), headers={"user-agent": "me", "ACCEPT": "text/html"}),
    "None removes a default": lambda w: w.r.get(w.at(), headers={"Accept": None, "accept-encoding": None}),
    "None for what is not there": lambda w: w.r.get(w.at(), headers={"X-A": None}),
    "bytes": lambda w: w.r.get(w.at(), headers={b"X-A": b"caf\xe9"}),
    "latin-1": lambda w: w.r.get(w.at(), headers={"X-A": "café"}),
    "empty value": lambda w: w.r.get(w.at(), headers={"X-A": ""}),
    "inner whitespace": lambda w: w.r.get(w.at(), headers={"X-A": "a \t b"}),
    "two spellings": lambda w: w.r.get(w.at(), headers={"X-A": "1", "x-a": "2"}),
    "Host": lambda w: w.r.get(w.at(), headers={"Host": "other.example"}),
    "Connection: close": lambda w: w.r.get(w.at(), headers={"Connection": "close"}),
    "Cookie": lambda w: w.r.get(w.at(), headers={"Cookie": "a=1"}),
    "Authorization": lambda w: w.r.get(w.at(), headers={"Authorization": "Token x"}),
    "CaseInsensitiveDict": lambda w: w.r.get(w.at(), headers=w.r.structures.CaseInsensitiveDict({"X-A": "1"})),
    "leading space": lambda w: w.r.get(w.at(), headers={"X-A": " 1"}),
    "line end": lambda w: w.r.get(w.at(), headers={"X-A": "1\r\nX-B: 2"}),
    "line end in a name": lambda w: w.r.get(w.at(), headers={"X-A\r\nX-B": "1"}),
    "colon in a name": lambda w: w.r.get(w.at(), headers={"X:A": "1"}),
    "empty name": lambda w: w.r.get(w.at(), headers={"": "1"}),
    "number": lambda w: w.r.get(w.at(), headers={"X-A": 1}),
    "list": lambda w: w.r.get(w.at(), headers={"X-A": ["1"]}),
})  # fmt: skip


@call("cookies: of a call")
def _(w: World) -> Any:
    return w.r.get(w.at(), cookies={"a": "1", "b": "2"})


calls("cookies", {
    "jar of a call": lambda w: w.r.get(w.at(), cookies=jar_of(w, a="1")),
    "of the standard library": lambda w: w.r.get(w.at(), cookies=StdlibJar()),
    "with a Cookie header": lambda w: w.r.get(w.at(), headers={"Cookie": "a=1"}, cookies={"b": "2"}),
    "set": lambda w: w.r.get(w.at("/set?a=1;%20Path=/&b=2;%20Max-Age=99")),
    "set by a redirect, module level": lambda w: w.r.get(w.to("/", set="Set-Cookie: a=1|")),
    "set, quoted": lambda w: w.r.get(w.at('/set?a="1%202"')).cookies.get_dict(),
    "set, expired": lambda w: w.r.get(w.at("/set?a=1;%20Max-Age=0")),
    "set, an attribute nobody knows": lambda w: w.r.get(w.at("/set?a=1;%20Foo=bar;%20HttpOnly")),
    "set, without a value": lambda w: w.r.get(w.at("/set?a=")),
    "set, without an equals sign": lambda w: w.r.get(w.at("/set?a;%20Path=/&b=2&c%20d&%22e%22")),
    "set, without a name": lambda w: w.r.get(w.at("/set?=a&=&;%20Path=/&%20=b=1")),
    "set, without an equals sign, expired": lambda w: w.r.get(w.at("/set?a;%20Max-Age=0")),
    "of a call, None": lambda w: w.r.get(w.at(), cookies={"a": None, "b": "", "c": "3"}),
    "set, secure, over http from loopback": lambda w: w.r.get(w.at("/set?a=1;%20Secure")),
    "set, quoted, with a comma": lambda w: w.r.get(w.at('/set?a="1,%202"')).cookies.get_dict(),
    "set, quoted, with quotes inside": lambda w: w.r.get(w.at('/set?a="%5C"1%5C""')).cookies.get_dict(),
    "of a call, quoted, with quotes inside": lambda w: w.r.get(w.at(), cookies={"a": '"\\"1\\""'}),
    "set, expired by a date": lambda w: w.r.get(w.at("/set?a=1;%20Expires=Thu,%2001%20Jan%201970%2000:00:00%20GMT")),
    "set, expired before 1970": lambda w: w.r.get(w.at("/set?a=1;%20Expires=Wed,%2031%20Dec%201969%2023:59:59%20GMT")).cookies,
    "set, a date in the form of asctime": lambda w: w.r.get(w.at("/set?a=1;%20Expires=Thu%20Jan%20%201%2000:00:00%201970")).cookies,
    "set, for another domain": lambda w: w.r.get(w.at("/set?a=1;%20Domain=other.example")),
    "set, value with an equals sign": lambda w: w.r.get(w.at("/set?a=b%3Dc%3D%3D")),
    "conflict": lambda w: twice_a(w)["a"],
    "by domain": lambda w: twice_a(w).get("a", domain="x.example"),
    "by path": lambda w: twice_a(w).get("a", path="/p", default="d"),
    "missing": lambda w: jar_of(w)["a"],
    "default": lambda w: jar_of(w).get("a", "d"),
    "in": lambda w: ["a" in jar_of(w, a="1"), "b" in jar_of(w, a="1")],
    "as a mapping": lambda w: [getattr(jar_of(w, a="1", b="2"), name)() for name in ("keys", "values", "items")],
    "dict()": lambda w: dict(jar_of(w, a="1", b="2")),
    "domains and paths": lambda w: [twice_a(w).list_domains(), twice_a(w).list_paths(), twice_a(w).multiple_domains()],
    "get_dict": lambda w: twice_a(w).get_dict(),
    "get_dict of a domain": lambda w: twice_a(w).get_dict(domain="y.example"),
    "get_dict of a path": lambda w: twice_a(w).get_dict(path="/"),
    "pickled": lambda w: pickle.loads(pickle.dumps(twice_a(w))),
    "copied": lambda w: twice_a(w).copy(),
    "create_cookie": lambda w: vars(w.r.cookies.create_cookie("a", "1", domain="x.example", secure=True)),
    "create_cookie, wrong argument": lambda w: w.r.cookies.create_cookie("a", "1", domian="x.example"),
    "merge": lambda w: w.r.cookies.merge_cookies(jar_of(w, a="1", b="2"), {"a": "9", "c": "3"}),
    "merge jars": lambda w: w.r.cookies.merge_cookies(jar_of(w, a="1", b="2"), jar_of(w, a="9", c="3")),
    "merge into a dict": lambda w: w.r.cookies.merge_cookies({}, {"a": "1"}),
    "without overwriting": lambda w: w.r.cookies.cookiejar_from_dict({"a": "9", "b": "2"}, jar_of(w, a="1"), False),
})  # fmt: skip


def twice_a(w: World) -> Any:
    """A jar with cookie ``a`` of two domains."""
    jar = w.r.cookies.RequestsCookieJar()
    jar.set("a", "1", domain="x.example", path="/")
    jar.set("a", "2", domain="y.example", path="/p")
    return jar


@call("cookies: kept by a session, sent again, and forgotten when told")
def _(w: World) -> Any:
    with w.r.Session() as s:
        s.get(w.at("/set?a=1&b=2"))
        s.get(w.at())
        s.get(w.at("/set?a=;%20Max-Age=0"))
        s.get(w.at())
        return s.cookies


@call("cookies: without an equals sign, sent again, replaced and removed")
def _(w: World) -> Any:
    with w.r.Session() as s:
        s.get(w.at("/set?a;%20Path=/&b"))
        s.get(w.at("/set?a=1;%20Path=/"))
        s.get(w.at())
        s.get(w.at("/set?a;%20Path=/;%20Max-Age=0&c"))
        return s.get(w.at()), s.cookies


@call("cookies: of one path")
def _(w: World) -> Any:
    with w.r.Session() as s:
        s.get(w.at("/set/deep/er?a=1&b=2;%20Path=/deep"))
        paths = ("/", "/set/deep", "/set/deep/x", "/deep", "/deeper")
        return [s.get(w.at(path)).status_code for path in paths], s.cookies


@call("cookies: secure ones do not go over http")
def _(w: World) -> Any:
    with w.r.Session() as s:
        s.cookies.set("a", "1", secure=True)
        return s.get(w.at())


@call("cookies: of a call are not kept")
def _(w: World) -> Any:
    with w.r.Session() as s:
        return s.get(w.at(), cookies={"a": "1"}), s.get(w.at()), s.cookies


@call("cookies: of a call over those of the session")
def _(w: World) -> Any:
    with w.r.Session() as s:
        s.cookies.set("a", "1")
        s.cookies.update({"b": "2"})
        return s.get(w.at(), cookies={"a": "9", "c": "3"}), s.cookies


@call("cookies: a session's jar replaced")
def _(w: World) -> Any:
    with w.r.Session() as s:
        s.cookies = jar_of(w, a="1")
        s.get(w.at("/set?b=2"))
        s.get(w.at())
        s.cookies.clear()
        return s.get(w.at())


@call("cookies: set by hand for a domain")
def _(w: World) -> Any:
    with w.r.Session() as s:
        s.cookies.set("a", "1", domain="127.0.0.1", path="/")
        s.cookies.set("b", "2", domain="other.example", path="/")
        s.cookies["c"] = "3"
        return s.get(w.at()), s.cookies


@call("cookies: set on the way, sent on the way")
def _(w: World) -> Any:
    with w.r.Session() as s:
        response = s.get(w.to("/", set="Set-Cookie: a=1|Set-Cookie: b=2; Path=/none|"))
        return response, response.history[0].cookies, s.cookies


@call("cookies: removed and popped")
def _(w: World) -> Any:
    jar = twice_a(w)
    jar.set("b", "3")
    jar.set("c", "4")
    w.r.cookies.remove_cookie_by_name(jar, "a", domain="x.example")
    del jar["b"]
    return jar.pop("c"), jar.pop("c", None), jar.setdefault("d", "5"), jar


@call("cookies: None removes")
def _(w: World) -> Any:
    jar = jar_of(w, a="1", b="2")
    jar.set("a", None)
    jar["c"] = "3"
    jar.update({"d": "4"})
    jar.update(jar_of(w, e="5"))
    return jar


class Token:
    """A callable authentication."""

    def __call__(self, request: Any) -> Any:
        request.headers["X-Token"] = f"{request.method} {request.path_url} {request.body!r}"
        return request


class Rewriting:
    """An authentication that changes what it signs."""

    def __call__(self, request: Any) -> Any:
        request.url += "?signed=1"
        request.prepare_body(b"signed", None)
        return request


def basic(w: World, *args: Any) -> Any:
    return w.r.auth.HTTPBasicAuth(*args)


def digest_auth(w: World, password: str = PASSWORD) -> Any:
    return w.r.auth.HTTPDigestAuth("user", password)


calls("auth", {
    "pair": lambda w: w.r.get(w.at("/basic"), auth=("user", PASSWORD)),
    "wrong pair": lambda w: w.r.get(w.at("/basic"), auth=("user", "no")),
    "HTTPBasicAuth": lambda w: w.r.get(w.at("/basic"), auth=basic(w, "user", PASSWORD)),
    "latin-1": lambda w: w.r.get(w.at(), auth=("üser", "pässword")),
    "bytes": lambda w: w.r.get(w.at(), auth=(b"user", b"\xff")),
    "empty": lambda w: w.r.get(w.at(), auth=("", "")),
    "HTTPProxyAuth": lambda w: w.r.get(w.at(), auth=w.r.auth.HTTPProxyAuth("user", "p")),
    "from the URL": lambda w: w.r.get(w.at("/basic").replace("//", "//user:open%20sesame@")),
    "user without password in the URL": lambda w: w.r.get(w.at().replace("//", "//user@")),
    "empty password in the URL": lambda w: w.r.get(w.at().replace("//", "//user:@")),
    "argument over the URL": lambda w: w.r.get(w.at().replace("//", "//u:p@"), auth=("user", "x")),
    "over a header": lambda w: w.r.get(w.at(), auth=("user", "x"), headers={"Authorization": "Token y"}),
    "callable": lambda w: w.r.post(w.at("/a?b=c"), data={"d": "e"}, auth=Token()),
    "function": lambda w: w.r.get(w.at(), auth=lambda request: request),
    "callable that changes body and URL": lambda w: w.r.post(w.at("/a"), data={"d": "e"}, auth=Rewriting()),
    "equality": lambda w: [basic(w, "a", "b") == basic(w, "a", "b"), basic(w, "a", "b") != basic(w, "a", "c"),
                           digest_auth(w) == digest_auth(w), digest_auth(w) == digest_auth(w, "x")],
    "AuthBase": lambda w: w.r.auth.AuthBase()(None),
    "digest": lambda w: w.r.get(w.at("/digest/md5?x=y"), auth=digest_auth(w)),
    "digest MD5-sess": lambda w: w.r.get(w.at("/digest/sess"), auth=digest_auth(w)),
    "digest SHA": lambda w: w.r.get(w.at("/digest/sha"), auth=digest_auth(w)),
    "digest SHA-256": lambda w: w.r.get(w.at("/digest/sha256"), auth=digest_auth(w)),
    "digest SHA-512": lambda w: w.r.get(w.at("/digest/sha512"), auth=digest_auth(w)),
    "digest without qop": lambda w: w.r.get(w.at("/digest/plain"), auth=digest_auth(w)),
    "digest with a choice of qop": lambda w: w.r.get(w.at("/digest/both"), auth=digest_auth(w)),
    "digest of a post": lambda w: w.r.post(w.at("/digest/md5"), data={"a": "1"}, auth=digest_auth(w)),
    "digest of a file": lambda w: w.r.post(w.at("/digest/md5"), data=w.file(), auth=digest_auth(w)),
    "digest, numbers": lambda w: w.r.get(w.at("/digest/md5"), auth=w.r.auth.HTTPDigestAuth(7, 12345)),
    "digest, wrong password": lambda w: w.r.get(w.at("/digest/md5"), auth=digest_auth(w, "no")),
    "digest, not asked for": lambda w: w.r.get(w.at(), auth=digest_auth(w)),
    "digest, basic asked for": lambda w: w.r.get(w.at("/basic"), auth=digest_auth(w)),
    "digest, cookies of the challenge": lambda w: w.r.get(w.at("/digest/md5/a=1"), auth=digest_auth(w)),
    "digest, challenged elsewhere": lambda w: w.r.get(w.to(w.other("/digest/md5")), auth=digest_auth(w)).status_code,
    "digest after a redirect": lambda w: w.r.get(w.to("/digest/md5"), auth=digest_auth(w)),
    "a list": lambda w: w.r.get(w.at(), auth=["user", "x"]),
})  # fmt: skip


@call("auth: digest, the nonce counted in a session")
def _(w: World) -> Any:
    with w.r.Session() as s:
        s.auth = digest_auth(w)
        return [s.get(w.at("/digest/md5")).headers.get("X-Count") for _ in range(3)]


@call("auth: of the session, of the call over it")
def _(w: World) -> Any:
    with w.r.Session() as s:
        s.auth = ("user", "session")
        return s.get(w.at()), s.get(w.at(), auth=("user", "call")), s.get(w.at(), headers={"Authorization": "Token x"})


def netrc(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    path = w.directory / "netrc"
    path.write_text("machine 127.0.0.1 login netrc password secret\n")
    monkeypatch.setenv("NETRC", str(path))


@call("auth: from netrc")
def _(w: World) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        netrc(w, patch)
        with w.r.Session() as s:
            answers = [s.get(w.at()), s.get(w.at(), auth=("user", "call"))]
            s.trust_env = False
            return [*answers, s.get(w.at())]


@call("auth: netrc of the host that a redirect leads to")
def _(w: World) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        netrc(w, patch)
        return w.r.get(w.to(w.at("/"), status=307).replace("127.0.0.1", "localhost", 1))


@call("auth: netrc and a header")
def _(w: World) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        netrc(w, patch)
        return w.r.get(w.at(), headers={"Authorization": "Token x"})


def hooked(w: World, *hooks: Callable[..., Any], **keywords: Any) -> Any:
    return w.r.get(w.at(), hooks={"response": list(hooks)}, **keywords)


def marking(response: Any, *args: Any, **kwargs: Any) -> Any:
    """The hook of requests' documentation."""
    response.hook_called = True
    return response


@call("hooks: called with")
def _(w: World) -> Any:
    heard: list[Any] = []

    def hook(response: Any, *args: Any, **kwargs: Any) -> None:
        heard.append((response.status_code, args, kwargs))

    hooked(w, hook, timeout=10)
    return heard


@call("hooks: the settings of the call")
def _(w: World) -> Any:
    heard: list[Any] = []
    w.r.get(w.at(), stream=True, hooks={"response": lambda r, **kwargs: heard.append(sorted(kwargs))}).close()
    return heard


@call("hooks: the timeout when none was given")
def _(w: World) -> Any:
    heard: list[Any] = []
    hooked(w, lambda r, **kwargs: heard.append(kwargs["timeout"]))
    return heard


@call("hooks: may leave a mark on the response")
def _(w: World) -> Any:
    return hooked(w, marking).hook_called


@call("hooks: may replace the response")
def _(w: World) -> Any:
    def other(response: Any, **_: Any) -> Any:
        response.close()
        return w.r.get(w.at("/plain?replaced"))

    return w.r.get(w.at("/status/404"), hooks={"response": other}).url


@call("hooks: several, in order")
def _(w: World) -> Any:
    heard: list[int] = []
    hooked(w, lambda r, **_: heard.append(1), lambda r, **_: heard.append(2))
    return heard


@call("hooks: may raise")
def _(w: World) -> Any:
    return w.r.get(w.at("/status/500"), hooks={"response": lambda r, **_: r.raise_for_status()})


@call("hooks: may raise, and the handler reads the body")
def _(w: World) -> Any:
    with w.r.Session() as s:
        s.hooks["response"].append(lambda r, **_: r.raise_for_status())
        for _i in range(2):
            try:
                s.get(w.at("/status/500"))
            except w.r.HTTPError as error:
                found = error.response.text
        return found


@call("hooks: of the session, and of the call instead")
def _(w: World) -> Any:
    heard: list[str] = []
    with w.r.Session() as s:
        s.hooks["response"].append(lambda r, **_: heard.append("session"))
        s.get(w.at())
        s.get(w.at(), hooks={"response": lambda r, **_: heard.append("call")})
        s.hooks = {"response": [lambda r, **_: heard.append("other")]}
        s.get(w.at())
    return heard


@call("hooks: one that is no list")
def _(w: World) -> Any:
    heard: list[str] = []
    with w.r.Session() as s:
        s.hooks = {"response": lambda r, **_: heard.append("bare")}
        s.get(w.at())
    return heard


@call("hooks: for every redirect")
def _(w: World) -> Any:
    heard: list[int] = []
    w.r.get(w.to("/"), hooks={"response": lambda r, **_: heard.append(r.status_code)})
    return heard


@call("hooks: registered")
def _(w: World) -> Any:
    def hook(response: Any, **_: Any) -> None:
        heard.append(response.status_code)

    heard: list[int] = []
    request = w.r.Request("GET", w.at())
    request.register_hook("response", hook)
    with w.r.Session() as s:
        prepared = s.prepare_request(request)
        s.send(prepared)
        gone = prepared.deregister_hook("response", hook), prepared.deregister_hook("response", hook)
        s.send(prepared)
    return heard, gone


calls("hooks", {
    "an event there is not": lambda w: w.r.Request("GET", w.at()).register_hook("request", print),
    "a response hook sees the body": lambda w: hooked(w, lambda r, **_: None).content,
})  # fmt: skip

REDIRECTED: list[tuple[str, dict[str, Any]]] = [
    ("GET", {}), ("HEAD", {}), ("DELETE", {}), ("POST", {"data": {"a": "1"}}), ("PUT", {"data": b"data"}),
    ("OPTIONS", {}), ("PATCH", {"data": b"data"}),
]  # fmt: skip


def redirected(method: str, status: int, body: dict[str, Any]) -> Call:
    return lambda w: w.r.request(method, w.to("/", status), **body)


def page(path: str) -> Call:
    return lambda w: w.r.get(w.at(path))


calls("redirect", {
    **{
        f"{method} {status}": redirected(method, status, body)
        for method, body in REDIRECTED
        for status in (301, 302, 303, 307, 308)
    },
    "300 is none": lambda w: w.r.get(w.to("/", 300)),
    "304 is none": lambda w: w.r.get(w.at("/not-modified")),
    "201 with a Location is none": lambda w: w.r.post(w.to("/", 201)),
    "no Location": lambda w: w.r.get(w.at("/status/302")),
    "empty Location": lambda w: w.r.get(w.to("")),
    "relative": lambda w: w.r.get(w.to("status/200")),
    "up": lambda w: w.r.get(w.to("../a/../b")),
    "query only": lambda w: w.r.get(w.to("?url=%2F")),
    "without a scheme": lambda w: w.r.get(w.to(w.other("/a")[5:])),
    "absolute": lambda w: w.r.get(w.to(w.at("/a"))),
    "elsewhere": lambda w: w.r.get(w.to(w.other("/a"))),
    "non-ASCII": lambda w: w.r.get(w.to("/grüße/日本?ü")),
    "escaped": lambda w: w.r.get(w.to("/gr%C3%BC%C3%9Fe%20x")),
    "escaped in lower case": lambda w: w.r.get(w.to("/gr%c3%bcn")),
    "with spaces": lambda w: w.r.get(w.to("/a b?c d")),
    "fragment goes along": lambda w: w.r.get(w.to("/a") + "#part"),
    "fragment of the Location": lambda w: w.r.get(w.to("/a#new") + "#part"),
    "not followed": lambda w: w.r.get(w.to("/a"), allow_redirects=False),
    "post not followed": lambda w: w.r.post(w.to("/a"), data={"a": "1"}, allow_redirects=False),
    "chain": lambda w: w.r.get(w.to(w.to(w.to("/end", 301), 307))),
    "to ftp": lambda w: w.r.get(w.to("ftp://x.example/")),
    "to no host": lambda w: w.r.get(w.to("http://")),
    "to no host, a path": lambda w: w.r.get(w.to("http:///a?b")),
    "to no host, no scheme": lambda w: w.r.get(w.to("//")),
    "to no host, https": lambda w: w.r.get(w.to("https://")),
    "for ever": lambda w: w.r.get(w.at("/loop/1")),
    "own header goes along": lambda w: w.r.get(w.to("/"), headers={"X-A": "1"}),
    "own header goes elsewhere": lambda w: w.r.get(w.to(w.other("/")), headers={"X-A": "1"}),
    "auth goes along": lambda w: w.r.get(w.to("/basic"), auth=("user", PASSWORD)),
    "auth does not go elsewhere": lambda w: w.r.get(w.to(w.other("/basic")), auth=("user", PASSWORD)),
    "Authorization does not go elsewhere": lambda w: w.r.get(w.to(w.other()), headers={"Authorization": "Token x"}),
    "auth of the URL goes along": lambda w: w.r.get(w.to("/basic").replace("//", "//user:open%20sesame@")),
    "X-Api-Key goes along": lambda w: w.r.get(w.to("/"), headers={"X-Api-Key": "secret"}),
    "X-Api-Key elsewhere": lambda w: w.r.get(w.to(w.other()), headers={"X-Api-Key": "secret"}),
    "Cookie header goes along": lambda w: w.r.get(w.to("/"), headers={"Cookie": "a=1"}),
    "Cookie header elsewhere": lambda w: w.r.get(w.to(w.other()), headers={"Cookie": "a=1"}),
    "cookies of the call go along": lambda w: w.r.get(w.to("/"), cookies={"a": "1"}),
    "Host of one's own": lambda w: w.r.get(w.to("/"), headers={"Host": "x.example"}),
    "file goes along": lambda w: w.r.post(w.to("/", 307), data=w.file()),
    "file in the middle goes along": lambda w: w.r.post(w.to("/", 307), data=moved(b"skipped data", 8)),
    "json goes along": lambda w: w.r.post(w.to("/", 308), json={"a": 1}),
    "files go along": lambda w: w.r.post(w.to("/", 307), files={"f": ("n", b"data")}),
    "generator goes along": lambda w: w.r.post(w.to("/", 307), data=piecewise(b"one")),
    "generator need not": lambda w: w.r.post(w.to("/", 303), data=piecewise(b"one")),
    "streamed": lambda w: w.r.get(w.to("/chunked"), stream=True),
})  # fmt: skip


@call("redirect: more than the session allows")
def _(w: World) -> Any:
    with w.r.Session() as s:
        s.max_redirects = 3
        try:
            s.get(w.at("/loop/1"))
        except w.r.TooManyRedirects as error:
            return error.response, error.request.url, error


@call("redirect: followed by hand")
def _(w: World) -> Any:
    with w.r.Session() as s:
        response = s.get(w.to("/a"), allow_redirects=False)
        return response.next, s.send(response.next)


@call("redirect: history")
def _(w: World) -> Any:
    return [[before.url for before in each.history] for each in w.r.get(w.to(w.to("/end"))).history]


@call("session: headers changed at any time")
def _(w: World) -> Any:
    with w.r.Session() as s:
        s.headers.update({"X-A": "1", "accept": "text/html"})
        s.get(w.at())
        s.headers["X-A"] = "2"
        del s.headers["Accept"]
        s.get(w.at(), headers={"x-a": None, "X-B": "3"})
        s.headers = {"User-Agent": "me", "Accept-Encoding": "br", "X-C": "4"}
        return s.get(w.at())


@call("session: headers replaced by a CaseInsensitiveDict")
def _(w: World) -> Any:
    with w.r.Session() as s:
        s.headers = w.r.structures.CaseInsensitiveDict(BARE | {"X-C": "4"})
        return s.get(w.at(), headers={"x-c": "5"})


@call("session: params changed at any time")
def _(w: World) -> Any:
    with w.r.Session() as s:
        s.params = {"a": "1", "b": "2"}
        s.get(w.at("/?z=0"))
        s.get(w.at(), params={"a": "9", "b": None, "c": "3"})
        s.params["a"] = "4"
        s.get(w.at())
        s.get(w.at(), params=[("d", "5"), ("d", "6")])
        return s.get(w.at(), params="e=7")


@call("session: streams when told so")
def _(w: World) -> Any:
    with w.r.Session() as s:
        s.stream = True
        return b"".join(s.get(w.at("/chunked")).iter_content(None)), s.get(w.at("/chunked"), stream=False).content


@call("session: as requests.session()")
def _(w: World) -> Any:
    s = w.r.session()
    try:
        return s.get(w.at()), isinstance(s, w.r.Session)
    finally:
        s.close()


@call("session: pickled")
def _(w: World) -> Any:
    with w.r.Session() as s:
        s.headers["X-A"] = "1"
        s.params = {"b": "2"}
        s.auth = ("user", "x")
        s.cookies.set("c", "3")
        s.max_redirects = 7
        copied = pickle.loads(pickle.dumps(s))
    with copied:
        return copied.get(w.at()), copied.max_redirects


@call("session: verbs")
def _(w: World) -> Any:
    with w.r.Session() as s:
        return [
            s.get(w.at(), params={"a": "1"}), s.options(w.at()), s.head(w.to("/")), s.post(w.at(), b"1", None),
            s.post(w.at(), None, [1]), s.put(w.at(), b"2"), s.patch(w.at(), b"3"), s.delete(w.at()),
        ]  # fmt: skip


@call("session: attributes")
def _(w: World) -> Any:
    with w.r.Session() as s:
        names = ("params", "auth", "verify", "cert", "stream", "trust_env", "max_redirects", "hooks")
        return {name: getattr(s, name) for name in names}, dict(s.cookies), [n for n in s.headers if n != "User-Agent"]


@call("session: a kept connection that the server closes instead of answering a get")
def _(w: World) -> Any:
    with w.r.Session() as s:
        s.get(w.at())
        return s.get(w.at("/first-only")).status_code


@call("session: a kept connection that the server closes instead of answering a post")
def _(w: World) -> Any:
    with w.r.Session() as s:
        s.get(w.at())
        return s.post(w.at("/first-only"), data=b"once").status_code


BARE = {"User-Agent": "me", "Accept-Encoding": "identity"}
"""What urllib3 would add to a request that has neither."""


@call("prepared: a Request")
def _(w: World) -> Any:
    request = w.r.Request("post", w.at("/a#b"), {"X-A": "1"}, None, {"d": "1"}, {"p": "2"}, ("u", "p"), {"c": "3"})
    return request.prepare()


@call("prepared: by the session")
def _(w: World) -> Any:
    with w.r.Session() as s:
        s.headers["X-S"] = "1"
        s.params["s"] = "2"
        s.cookies.set("s", "3")
        s.auth = ("s", "4")
        prepared = s.prepare_request(w.r.Request("PUT", w.at(), json={"a": 1}))
        return prepared, s.send(prepared)


@call("prepared: changed before sending")
def _(w: World) -> Any:
    with w.r.Session() as s:
        prepared = w.r.Request("POST", w.at(), BARE, data=b"before").prepare()
        prepared.method = "PUT"
        prepared.url = w.at("/changed")
        prepared.headers["X-A"] = "1"
        del prepared.headers["Content-Length"]
        prepared.prepare_body(b"after", None)
        return prepared, s.send(prepared)


@call("prepared: by hand")
def _(w: World) -> Any:
    prepared = w.r.PreparedRequest()
    prepared.prepare("GET", w.at(), BARE | {"X-A": "1"}, None, None, {"p": "1"}, None, {"c": "2"})
    with w.r.Session() as s:
        return prepared, prepared.path_url, s.send(prepared)


@call("prepared: step by step")
def _(w: World) -> Any:
    prepared = w.r.PreparedRequest()
    prepared.prepare_method("post")
    prepared.prepare_url(w.at("/a b"), {"p": "1"})
    prepared.prepare_headers({"X-A": "1"})
    prepared.prepare_cookies({"c": "2"})
    prepared.prepare_body({"d": "3"}, None)
    prepared.prepare_auth(("u", "p"))
    prepared.prepare_hooks({"response": []})
    return prepared


@call("prepared: copied")
def _(w: World) -> Any:
    prepared = w.r.Request("POST", w.at(), data={"a": "1"}, cookies={"c": "1"}).prepare()
    copied = prepared.copy()
    copied.headers["X-A"] = "1"
    return prepared, copied


@call("prepared: sent with settings")
def _(w: World) -> Any:
    with w.r.Session() as s:
        prepared = w.r.Request("GET", w.to("/chunked"), BARE).prepare()
        settings = {"stream": True, "timeout": (5, 5), "verify": True, "cert": None, "proxies": {}}
        followed = s.send(prepared, allow_redirects=True, **settings)
        return followed.content, s.send(prepared, allow_redirects=False)


@call("prepared: without a session's headers")
def _(w: World) -> Any:
    with w.r.Session() as s:
        return s.send(w.r.Request("GET", w.at()).prepare())


@call("prepared: a file")
def _(w: World) -> Any:
    with w.r.Session() as s:
        prepared = w.r.Request("POST", w.at(), BARE, data=io.BytesIO(b"data")).prepare()
        return s.send(prepared)


@call("prepared: sent with the settings of the environment")
def _(w: World) -> Any:
    with pytest.MonkeyPatch.context() as patch, w.r.Session() as s:
        patch.setenv("http_proxy", w.other())
        prepared = s.prepare_request(w.r.Request("GET", "http://x.example/"))
        settings = s.merge_environment_settings(prepared.url, {}, None, None, None)
        return sorted(settings), s.send(prepared, **settings)


@call("prepared: a file as its body")
def _(w: World) -> Any:
    return w.r.Request("POST", w.at(), data=io.BytesIO(b"data")).prepare()


calls("prepared", {
    "Request sent": lambda w: w.r.Session().send(w.r.Request("GET", w.at())),
    "repr": lambda w: [repr(w.r.Request("GET", w.at())), repr(w.r.Request("GET", w.at()).prepare())],
    "multipart": lambda w: w.r.Request("POST", w.at(), files={"f": ("n", b"data")}, data={"a": "1"}).prepare(),
    "json": lambda w: w.r.Request("POST", w.at(), json={"a": "ü"}).prepare(),
    "form": lambda w: w.r.Request("POST", w.at(), data={"a": "ü"}).prepare(),
    "str": lambda w: w.r.Request("POST", w.at(), data="ü").prepare(),
    "nothing": lambda w: w.r.Request("POST", w.at()).prepare(),
    "attributes of a Request": lambda w: {
        name: getattr(w.r.Request("GET", "u"), name)
        for name in ("method", "url", "headers", "files", "data", "params", "auth", "cookies", "hooks", "json")
    },
})  # fmt: skip


calls("stream", {
    "content": lambda w: streamed(w).content,
    "iter_content": lambda w: streamed(w).iter_content(),
    "iter_content(7)": lambda w: streamed(w).iter_content(7),
    "iter_content(1000)": lambda w: streamed(w).iter_content(1000),
    "iter_content(None), joined": lambda w: b"".join(streamed(w, "/chunked").iter_content(None)),
    "iter_content of chunks": lambda w: b"".join(streamed(w, "/chunked").iter_content(3)),
    "iter_content, decoded": lambda w: list(streamed(w).iter_content(3, decode_unicode=True)),
    "iter_content of nothing": lambda w: streamed(w, "/empty").iter_content(10),
    "iter_content unpacks": lambda w: b"".join(streamed(w, "/gzip").iter_content(5)),
    "iter_content after content": lambda w: w.r.get(w.at()).iter_content(10),
    "iter_content of '10'": lambda w: streamed(w, "/empty").iter_content("10"),
    "iteration": lambda w: list(streamed(w, "/binary")),
    "iter_lines": lambda w: streamed(w).iter_lines(),
    "iter_lines, decoded": lambda w: streamed(w).iter_lines(decode_unicode=True),
    "iter_lines, a delimiter": lambda w: streamed(w).iter_lines(delimiter=b"r"),
    "iter_lines, decoded, a delimiter": lambda w: streamed(w).iter_lines(delimiter="r", decode_unicode=True),
    "iter_lines, a line end at the end": lambda w: streamed(w, "/chunked-lines").iter_lines(100),
    "iter_lines of nothing": lambda w: streamed(w, "/empty").iter_lines(),
    "iter_lines after content": lambda w: w.r.get(w.at()).iter_lines(decode_unicode=True),
    "raw.read()": lambda w: streamed(w).raw.read(),
    "raw.read() of gzip": lambda w: streamed(w, "/gzip").raw.read(),
    "raw.read(decode_content=True)": lambda w: streamed(w, "/gzip").raw.read(decode_content=True),
    "raw.stream": lambda w: b"".join(streamed(w, "/gzip").raw.stream(10, decode_content=True)),
    "raw of chunks": lambda w: streamed(w, "/chunked").raw.read(),
    "raw as a file": lambda w: io.TextIOWrapper(streamed(w, "/plain").raw, encoding="utf-8").read(),
    "until the server closes": lambda w: streamed(w, "/until-close").content,
    "HTTP/1.0": lambda w: streamed(w, "/http10").content,
    "text": lambda w: streamed(w).text,
    "json": lambda w: streamed(w, "/json").json(),
})  # fmt: skip


@call("stream: raw piece by piece")
def _(w: World) -> Any:
    raw = streamed(w).raw
    return raw.read(5), raw.read(5), raw.read(), raw.read()


@call("stream: raw's attributes")
def _(w: World) -> Any:
    raw = streamed(w, "/gzip").raw
    return raw.status, raw.reason, raw.version, sorted(raw.headers.items()), raw.read()


@call("stream: decode_content set on raw")
def _(w: World) -> Any:
    response = streamed(w, "/gzip")
    response.raw.decode_content = True
    return response.raw.read()


@call("stream: consumed twice")
def _(w: World) -> Any:
    response = streamed(w)
    list(response.iter_content(10))
    return list(response.iter_content(10))


@call("stream: content after it was consumed")
def _(w: World) -> Any:
    response = streamed(w)
    list(response.iter_content(10))
    return response.content


@call("stream: content after a part of it was consumed")
def _(w: World) -> Any:
    with streamed(w) as response:
        next(response.iter_content(10))
        return response.content


@call("stream: content after a part of it was consumed, cut short")
def _(w: World) -> Any:
    response = streamed(w, "/short")
    next(response.iter_content(4))
    return response.content


@call("stream: content after a part of it was consumed, closed")
def _(w: World) -> Any:
    with streamed(w) as response:
        next(response.iter_content(10))
    return response.content


@call("stream: content after raw was read")
def _(w: World) -> Any:
    response = streamed(w)
    response.raw.read()
    return response.content, list(response.iter_content(10))


@call("stream: nothing, consumed twice")
def _(w: World) -> Any:
    response = streamed(w, "/empty")
    list(response.iter_content(10))
    return list(response.iter_content(10))


@call("stream: closed early, and again")
def _(w: World) -> Any:
    with streamed(w, "/binary") as response:
        first = next(response.iter_content(10))
    response.close()
    return first, response.status_code


calls("response", {
    **{
        path[1:]: page(path)
        for path in PAGES
        if path not in ("/", "/short", "/short-chunk", "/no-last-chunk", "/garbage", "/nothing")
    },
    "HEAD with a length": lambda w: w.r.head(w.at("/binary")),
    "HEAD of gzip": lambda w: w.r.head(w.at("/gzip")),
    "status 404": lambda w: w.r.get(w.at("/status/404")),
    "status 500": lambda w: w.r.get(w.at("/status/500")),
    "status 599": lambda w: w.r.get(w.at("/status/599")),
    "status 600": lambda w: w.r.get(w.at("/status/600")),
    "reason beyond ASCII": lambda w: w.r.get(w.at("/status/200/Gr%C3%BC%C3%9Fe")).status_code,
    "headers in any case": lambda w: [w.r.get(w.at()).headers[n] for n in ("content-type", "CONTENT-TYPE")],
    "header that is not there": lambda w: [w.r.get(w.at()).headers.get("X-None"), "x-none" in w.r.get(w.at()).headers],
    "header that is not there, by []": lambda w: w.r.get(w.at()).headers["X-None"],
    "raise_for_status of 200": lambda w: w.r.get(w.at()).raise_for_status(),
    "raise_for_status of 302": lambda w: w.r.get(w.to("/"), allow_redirects=False).raise_for_status(),
    "apparent_encoding": lambda w: w.r.get(w.at("/untyped-utf8")).apparent_encoding,
    "apparent_encoding of ASCII": lambda w: w.r.get(w.at("/untyped")).apparent_encoding,
    "context manager": lambda w: w.r.get(w.at()).__enter__().status_code,
    "elapsed": lambda w: w.r.get(w.at()).elapsed.total_seconds() > 0,
    "json() of a charset": lambda w: w.r.get(w.at("/json-latin1")).json(),
    "json() untyped": lambda w: w.r.get(w.at("/json-untyped")).json(),
    "json() as text": lambda w: w.r.get(w.at("/json-text")).json(),
    "json() of a vendor": lambda w: w.r.get(w.at("/json-vendor")).json(),
    "json() of a number": lambda w: w.r.get(w.at("/json-number")).json(),
    "json() with arguments": lambda w: w.r.get(w.at("/json-number")).json(parse_int=str),
    "json() of nothing": lambda w: w.r.get(w.at("/json-empty")).json(),
    "json() of text": lambda w: w.r.get(w.at("/plain")).json(),
    "trailers": lambda w: w.r.get(w.at("/trailers")).content,
    "codes": lambda w: [w.r.get(w.at()).status_code == w.r.codes.ok, w.r.codes["not_found"], w.r.codes.TEAPOT],
})  # fmt: skip


@call("response: raise_for_status of 404")
def _(w: World) -> Any:
    try:
        w.r.get(w.at("/status/404/Not%20Found")).raise_for_status()
    except w.r.HTTPError as error:
        return str(error), error.response, error.request.url, error


@call("response: raise_for_status of 503")
def _(w: World) -> Any:
    try:
        w.r.get(w.at("/status/503/Service%20Unavailable")).raise_for_status()
    except w.r.exceptions.HTTPError as error:
        return str(error), error.response.status_code


@call("response: raise_for_status of a URL with a password")
def _(w: World) -> Any:
    try:
        w.r.get(w.at("/status/404/Not%20Found").replace("//", "//user:secret@")).raise_for_status()
    except w.r.HTTPError as error:
        return str(error)


@call("response: json() that is not JSON")
def _(w: World) -> Any:
    try:
        w.r.get(w.at("/json-broken")).json()
    except w.r.exceptions.JSONDecodeError as error:
        return str(error), error.msg, error.doc, error.pos, error.lineno, error.colno, isinstance(error, ValueError)


@call("response: encoding set by hand")
def _(w: World) -> Any:
    response = w.r.get(w.at("/html-latin1"))
    response.encoding = "utf-8"
    wrong = response.text
    response.encoding = "latin-1"
    return wrong, response.text


@call("response: pickled")
def _(w: World) -> Any:
    response = w.r.get(w.to("/json"), params={"a": "1"})
    copied = pickle.loads(pickle.dumps(response))
    # Not the whole of it: a copy's .next is an error in requests.
    shown = copied.status_code, copied.url, copied.encoding, copied.text, dict(copied.headers), copied.reason, copied.ok
    return shown, copied.json(), copied.raise_for_status(), [each.url for each in copied.history], copied.request


@call("response: JSON in every Unicode encoding")
def _(w: World) -> Any:
    found = []
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"):
        PAGES["/json-any"] = ok('{"ä": ["日本"]}'.encode(encoding), "Content-Type: application/octet-stream")
        found.append(w.r.get(w.at("/json-any")).json())
    return found


calls("error", {
    "nobody listens": lambda w: w.r.get(w.dead),
    "no answer": lambda w: w.r.get(w.at("/nothing")),
    "no HTTP": lambda w: w.r.get(w.at("/garbage")),
    "body cut short": lambda w: w.r.get(w.at("/short")),
    "chunk cut short": lambda w: w.r.get(w.at("/short-chunk")),
    "last chunk missing": lambda w: w.r.get(w.at("/no-last-chunk")),
    "body cut short, streamed": lambda w: list(streamed(w, "/short").iter_content(None)),
    "corrupt gzip": lambda w: w.r.get(w.at("/gzip-corrupt")),
    "corrupt gzip, streamed": lambda w: list(streamed(w, "/gzip-corrupt").iter_content(10)),
    "timeout": lambda w: w.r.get(w.at("/silent"), timeout=0.05),
    "timeout as a pair": lambda w: w.r.get(w.at("/silent"), timeout=(5, 0.05)),
    "timeout in the body": lambda w: w.r.get(w.at("/stalls"), timeout=0.05),
    "timeout of no kind": lambda w: w.r.get(w.at(), timeout="soon"),
    "timeout of three": lambda w: w.r.get(w.at(), timeout=(1, 2, 3)),
    "timeout of zero": lambda w: w.r.get(w.at(), timeout=0),
    "timeout below zero": lambda w: w.r.get(w.at(), timeout=-1),
    "no timeout": lambda w: w.r.get(w.at(), timeout=None),
    "CA file that is not there": lambda w: w.r.get("https://127.0.0.1:1/", verify="/no/such/file.pem"),
    "certificate that is not there": lambda w: w.r.get("https://127.0.0.1:1/", cert="/no/such/file.pem"),
    "keyword there is not": lambda w: w.r.get(w.at(), cache=True),
})  # fmt: skip


@call("error: caught by its base, with the request")
def _(w: World) -> Any:
    try:
        w.r.get(w.dead)
    except w.r.exceptions.RequestException as error:
        return error.request.url, error.request.method, error.response


@call("proxy: of a call")
def _(w: World) -> Any:
    return w.r.get("http://x.example/a?b", proxies={"http": w.other()})


@call("proxy: of a call, for one host")
def _(w: World) -> Any:
    return w.r.get("http://x.example/", proxies={"http": w.dead, "http://x.example": w.other()})


@call("proxy: for all")
def _(w: World) -> Any:
    return w.r.get("http://x.example/", proxies={"all": w.other(), "https": w.dead})


@call("proxy: with credentials")
def _(w: World) -> Any:
    return w.r.get("http://x.example/", proxies={"http": w.other("").replace("//", "//user:p%40ss@")})


@call("proxy: without a scheme")
def _(w: World) -> Any:
    return w.r.get("http://x.example/", proxies={"http": w.other("").removeprefix("http://")})


@call("proxy: nobody listens")
def _(w: World) -> Any:
    return w.r.get("http://x.example/", proxies={"http": w.dead})


@call("proxy: of the session, and none for the call")
def _(w: World) -> Any:
    with w.r.Session() as s:
        s.proxies = {"http": w.other()}
        s.get("http://x.example/")
        s.proxies["http"] = w.dead
        return s.get("http://x.example/", proxies={"http": w.other()})


@call("proxy: of the environment")
def _(w: World) -> Any:
    with pytest.MonkeyPatch.context() as patch, w.r.Session() as s:
        patch.setenv("http_proxy", w.other())
        s.get("http://x.example/")
        patch.setenv("no_proxy", "y.example,127.0.0.1")
        s.get(w.at())
        s.get("http://x.example/")
        s.trust_env = False
        return s.get(w.at())


@call("proxy: of the environment, for all")
def _(w: World) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALL_PROXY", w.other())
        return w.r.get("http://x.example/")


calls("tls", {
    "CA file": lambda w: w.r.get(w.secure(), verify=w.tls.ca_path),
    "post": lambda w: w.r.post(w.secure(), json={"a": 1}, verify=w.tls.ca_path),
    "unknown CA": lambda w: w.r.get(w.secure()),
    "other name": lambda w: w.r.get(w.secure().replace("localhost", "127.0.0.2"), verify=w.tls.ca_path),
    "client certificate": lambda w: w.r.get(w.secure(), verify=w.tls.ca_path, cert=w.tls.client_cert),
    "client certificate and key": lambda w: w.r.get(
        w.secure(), verify=w.tls.ca_path, cert=(w.tls.client_cert_only, w.tls.client_key)),
    "http to https": lambda w: w.r.get(w.to(w.secure()), verify=w.tls.ca_path, auth=("user", "x")),
    "https to http": lambda w: w.r.get(
        w.secure(w.to(w.at("/")).removeprefix(w.at(""))), verify=w.tls.ca_path, auth=("user", "x")),
    "secure cookie": lambda w: w.r.get(w.secure("/set?a=1;%20Secure"), verify=w.tls.ca_path).cookies.get_dict(),
})  # fmt: skip


@call("tls: CA of the session")
def _(w: World) -> Any:
    with w.r.Session() as s:
        s.verify = w.tls.ca_path
        s.cert = w.tls.client_cert
        return s.get(w.secure())


@call("tls: CA of the environment")
def _(w: World) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REQUESTS_CA_BUNDLE", w.tls.ca_path)
        return w.r.get(w.secure())


@call("session: cookies of a call beside the session's")
def _(w: World) -> Any:
    with w.r.Session() as s:
        s.get(w.at("/set?a=1&b=2"))
        s.cookies.set("mine", "3")
        return s.get(w.at(), cookies={"first": "4", "second": "5"})


@call("session: a cookie of a call beside the session's of that name")
def _(w: World) -> Any:
    with w.r.Session() as s:
        s.get(w.at("/set?a=1&b=2"))
        return s.get(w.at(), cookies={"a": "call"})


@call("tls: secure cookies in a session")
def _(w: World) -> Any:
    with w.r.Session() as s:
        s.verify = w.tls.ca_path
        s.get(w.secure("/set?a=1;%20Secure&b=2"))
        s.get(w.secure())
        return s.get(w.at().replace("127.0.0.1", "localhost"))


calls("module", {
    "adapters": lambda w: w.r.adapters.HTTPAdapter.__name__,
    "utils": lambda w: w.r.utils.quote("a b"),
    "mount": lambda w: callable(w.r.Session().mount),
})  # fmt: skip


# -- what differs, and why ---------------------------------------------------------------------------------------------

# The differences that were meant from the beginning.
TIMEOUT = "there is a default timeout, and a timeout is a holdfast.Timeouts"
RESENT = "a connection that turns out dead is replaced and the request sent again, where that is safe"
CHARSET = "text without a declared charset is UTF-8 if it decodes, else ISO-8859-1, and encoding is None"
NETRC = "what the call says of its authorization counts before netrc"
INFORMATIONAL = "1xx responses are skipped"
SECRETS = "secret headers do not leave the origin they were meant for"
STREAMED = "multipart is streamed, so request.body is no bytes"
# What follows from decisions about safety: no wrong data without an error, no secret where it does not belong.
CONSUMED = "a consumed iterator is never sent again: requests sends an empty body in its place, and the server stores that"
CUT = "a compressed body that was cut short is an error, even inside intact framing"
CLOSED = "what was closed before its end has no content: requests gives an empty one"
OPEN = "raw is closed by who reads on after its end, so that a wrapper needs no auto_close=False to find the end"
EXPLICIT = "what the session says of CAs counts before the environment: in requests the environment's win"
ANEW = "the proxy is chosen anew for every hop: requests goes on to a host in no_proxy by the first hop's"
LINES = "a line end that arrives in two pieces is one: requests makes two of it, as the network happens to cut"
ORIGIN = "credentials reach only whom they were given for: a proxy's no server, Digest no other origin's challenge"
SHOWN = "no message shows a password"
REMOVED = "a header removed with None is not sent: requests removes it, and its urllib3 sends one of its own"
DATES = "a cookie's date is read as in browsers: requests keeps, and sends, what a server deletes with another form of it"
VALUE = "a cookie's value goes back as it came: requests cuts the escaped quotes out of one in quotes"
OWN = "a cookie of the call takes the place of the session's of that name: requests sends both, and servers take either"
LOOPBACK = "a Secure cookie of a loopback host goes back to it over http, as in browsers"
# What follows from one fact having one place.
FRAMING = "request.headers shows the framing that is sent; in requests urllib3 adds it when sending"
NORMAL = "a URL has one text, the one that is sent: requests shows lower-case escapes after a redirect and sends upper-case"

EXCUSED: dict[str, tuple[str, str]] = {
    "session: a cookie of a call beside the session's of that name": ("got.request.fields sent[1].fields", OWN),
    "session: a kept connection that the server closes instead of answering a get": ("got sent", RESENT),
    "response: plain": ("got.encoding", CHARSET),
    "response: plain-utf8": ("got.encoding got.text", CHARSET),
    "response: binary": ("got.text", CHARSET),
    "auth: netrc and a header": ("got.request.fields sent[0].fields", NETRC),
    "response: early": (
        "got.status_code got.reason got.encoding got.links got.fields got.repr got.content got.text",
        INFORMATIONAL,
    ),
    "redirect: X-Api-Key elsewhere": ("got.request.fields sent_elsewhere[0].fields", SECRETS),
    "data: all None": ("got.request.fields", FRAMING),
    "redirect: PUT 301": ("got.request.fields", FRAMING),
    "redirect: PATCH 301": ("got.request.fields", FRAMING),
    "redirect: generator goes along": ("got sent", CONSUMED),
    "response: gzip-cut": ("got", CUT),
    "stream: content after a part of it was consumed, closed": ("got", CLOSED),
    "raw: read when closed": ("got", CLOSED),
    "raw: closed at its end": ("got[1]", OPEN),
    "script: a session's CAs and the environment's": ("got sent_secure", EXPLICIT),
    "script: a redirect from a proxy to a host in no_proxy": ("sent sent_elsewhere", ANEW),
    "stream: iter_lines, a line end at the end": ("got", LINES),
    "auth: HTTPProxyAuth": ("sent[0].fields", ORIGIN),
    "auth: digest, challenged elsewhere": ("got sent_elsewhere", ORIGIN),
    "response: raise_for_status of a URL with a password": ("got", SHOWN),
    "headers: None removes a default": ("sent[0].fields", REMOVED),
    "prepared: without a session's headers": ("sent[0].fields", REMOVED),
    "cookies: set, expired before 1970": ("got", DATES),
    "cookies: set, a date in the form of asctime": ("got", DATES),
    "cookies: set, quoted, with quotes inside": ("got.a", VALUE),
    "cookies: of a call, quoted, with quotes inside": ("got.request.fields sent[0].fields", VALUE),
    "tls: secure cookies in a session": ("got.request.fields sent[0].fields", LOOPBACK),
    "redirect: escaped in lower case": ("got.url got.request.url", NORMAL),
}


EXCUSED_AT_THE_ROOT = {
    "script: classes by their modules": ("got[0] got[1] got[2]", "there, they are holdfast's own classes"),
    "files: a large file, and request.body afterwards": ("got", STREAMED),
    "hooks: called with": ("got[0][2].timeout", TIMEOUT),
    "hooks: the timeout when none was given": ("got[0]", TIMEOUT),
}
"""Of ``import holdfast as requests``."""


@pytest.fixture(scope="module")
def servers(tls: Tls) -> Iterator[tuple[Server, Server, Server]]:
    with Server(site) as server, Server(site) as other, Server(site, tls=tls.server_context()) as secure:
        yield server, other, secure


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No proxies, CAs or netrc of whoever runs the tests."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))


@pytest.mark.parametrize("module", [holdfast, holdfast.requests], ids=["root", "drop-in"])
@pytest.mark.parametrize("name", CALLS)
def test_is_as_with_requests(
    name: str, module: ModuleType, servers: tuple[Server, Server, Server], tls: Tls, tmp_path: Path
) -> None:
    with Server() as gone:
        dead = gone.url()
    ours, theirs = (outcome(World(each, *servers, tls, tmp_path, dead), CALLS[name]) for each in (module, requests))
    where, why = EXCUSED.get(name, ("", ""))
    if module is holdfast:
        where, why = EXCUSED_AT_THE_ROOT.get(name, (where, why))
    excused = set(where.split())

    found = {path.lstrip(".") for path in differences(ours, theirs)}

    if found != excused:
        assert ours == theirs, f"differs in {found}, and is excused for {excused or 'nothing'}"
    assert found == excused, f"there is nothing to excuse any more: {why}"


def test_the_calls_are_many_and_every_excuse_is_for_one_of_them() -> None:
    assert len(CALLS) > 700
    assert EXCUSED.keys() | EXCUSED_AT_THE_ROOT.keys() <= CALLS.keys()

"""Calls as scripts make them, for test_like_requests: from the documentation of requests, from answers to questions about
it, and from the tests of programs that use it.
"""

from __future__ import annotations

import base64
import codecs
import contextlib
import copy
import csv
import functools
import gzip
import hashlib
import io
import json
import pickle
import re
import shutil
import tarfile
import warnings
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from http.cookiejar import LWPCookieJar
from typing import Any
from urllib.parse import urljoin
from xml.etree import ElementTree

import pytest
import requests

import holdfast
from tests.likeness import BODY, FILES, LINKS, PACKED, PASSWORD, World, call, calls, jar_of, ok, streamed
from tests.server import chunked


def _zip(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


def _tar(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


LARGE = bytes(range(256)) * 2000

FILES["/csv"] = ok("name,größe\r\na,1\r\n\"b\r\nc\",2\r\n".encode(), "Content-Type: text/csv; charset=utf-8")
FILES["/csv-chunked"] = chunked(b"name,n\r", b"\na,", b"1\r\nb,2\r\n", headers=["Content-Type: text/csv"])
FILES["/archive.gz"] = ok(PACKED, "Content-Type: application/gzip")
FILES["/archive.zip"] = ok(_zip({"a.txt": BODY, "b/c.txt": b"second"}), "Content-Type: application/zip")
FILES["/archive.tar.gz"] = ok(_tar({"a.txt": BODY}), "Content-Type: application/gzip")
FILES["/json-lines"] = chunked(b'{"a": 1}\n{"a"', b": 2}\n", b'\n{"a": 3}\n', headers=["Content-Type: application/x-ndjson"])
FILES["/large"] = ok(LARGE, "Content-Type: application/octet-stream")
FILES["/xml"] = ok(b'<?xml version="1.0"?><a><b>1</b></a>', "Content-Type: application/xml")
FILES["/named"] = ok(b"x", 'Content-Disposition: attachment; filename="report.pdf"')


def copied(w: World, path: str, **settings: Any) -> bytes:
    """The body by way of shutil."""
    response = streamed(w, path)
    for name, value in settings.items():
        setattr(response.raw, name, value)
    file = io.BytesIO()
    shutil.copyfileobj(response.raw, file)
    return file.getvalue()


def raw_of(w: World, path: str = "/") -> Any:
    return streamed(w, path).raw


def open_raw(w: World, path: str) -> Any:
    """One that a wrapper can read to its end."""
    raw = raw_of(w, path)
    raw.auto_close = False
    return raw


def members(raw: Any, mode: Any) -> list[str]:
    with tarfile.open(fileobj=raw, mode=mode) as archive:
        return [member.name for member in archive]


calls("raw", {
    "copyfileobj": lambda w: copied(w, "/large") == LARGE,
    "copyfileobj of chunks": lambda w: copied(w, "/chunked"),
    "copyfileobj of gzip": lambda w: copied(w, "/gzip"),
    "copyfileobj of gzip, decoded": lambda w: copied(w, "/gzip", decode_content=True),
    "GzipFile": lambda w: gzip.GzipFile(fileobj=raw_of(w, "/archive.gz")).read(),
    "GzipFile of a content coding": lambda w: gzip.GzipFile(fileobj=raw_of(w, "/gzip")).read(),
    "tarfile, as a stream": lambda w: members(raw_of(w, "/archive.tar.gz"), "r|gz"),
    "tarfile, not as a stream": lambda w: members(raw_of(w, "/archive.tar.gz"), "r:gz"),
    "zipfile": lambda w: zipfile.ZipFile(raw_of(w, "/archive.zip")),
    "zipfile of content": lambda w: zipfile.ZipFile(io.BytesIO(w.r.get(w.at("/archive.zip")).content)).namelist(),
    "TextIOWrapper": lambda w: io.TextIOWrapper(open_raw(w, "/csv"), encoding="utf-8", newline="").readlines(),
    "TextIOWrapper of chunks": lambda w: list(io.TextIOWrapper(open_raw(w, "/csv-chunked"), encoding="utf-8")),
    "BufferedReader": lambda w: io.BufferedReader(open_raw(w, "/csv")).readlines(),
    "BufferedReader, small": lambda w: io.BufferedReader(raw_of(w), 4).read(6),
    "csv": lambda w: list(csv.reader(io.TextIOWrapper(open_raw(w, "/csv"), encoding="utf-8", newline=""))),
    "csv of codecs.iterdecode": lambda w: list(csv.reader(codecs.iterdecode(streamed(w, "/csv").iter_lines(), "utf-8"))),
    "csv of codecs.getreader": lambda w: list(csv.DictReader(codecs.getreader("utf-8")(raw_of(w, "/csv")))),
    "json.load": lambda w: json.load(raw_of(w, "/json")),
    "ElementTree.parse": lambda w: ElementTree.parse(raw_of(w, "/xml")).getroot().tag,
    "pickled file": lambda w: hashlib.md5(raw_of(w, "/large").read()).hexdigest(),
    "iteration": lambda w: b"".join(raw_of(w)),
    "lines": lambda w: list(raw_of(w)),
    "lines of chunks": lambda w: list(raw_of(w, "/chunked-lines")),
    "read(0)": lambda w: [raw_of(w).read(0), raw_of(w).read(amt=0)],
    "read(-1)": lambda w: raw_of(w).read(-1),
    "read(None)": lambda w: raw_of(w).read(None),
    "read(amt=)": lambda w: raw_of(w).read(amt=5),
    "read(amt, decode_content)": lambda w: raw_of(w, "/gzip").read(5, decode_content=True),
    "read(decode_content=False)": lambda w: raw_of(w, "/gzip").read(decode_content=False),
    "read(cache_content=)": lambda w: raw_of(w).read(cache_content=True),
    "read1": lambda w: raw_of(w).read1(5),
    "read1 of all": lambda w: raw_of(w).read1(),
    "read_chunked": lambda w: list(raw_of(w, "/chunked").read_chunked()),
    "stream of chunks": lambda w: list(raw_of(w, "/chunked").stream(1000)),
    "stream, positional decode_content": lambda w: b"".join(raw_of(w, "/gzip").stream(7, True)),
    "data": lambda w: raw_of(w).data,
    "data of gzip": lambda w: raw_of(w, "/gzip").data,
    "data twice": lambda w: [(raw := raw_of(w)).data, raw.data],
    "data after content": lambda w: w.r.get(w.at()).raw.data,
    "read after content": lambda w: w.r.get(w.at()).raw.read(),
    "status": lambda w: [(raw := raw_of(w, "/status/404/Gone%20Away")).status, raw.reason, raw.version],
    "version of HTTP/1.0": lambda w: raw_of(w, "/http10").version,
    "headers": lambda w: [*sorted((raw := raw_of(w, "/repeated")).headers.items()), raw.headers["x-a"]],
    "headers.getlist": lambda w: [raw_of(w, "/repeated").headers.getlist(name) for name in ("X-A", "x-a", "X-None")],
    "headers.getlist, default": lambda w: raw_of(w).headers.getlist("X-None", "d"),
    "headers.get_all": lambda w: raw_of(w, "/repeated").headers.get_all("X-A"),
    "headers.getheaders": lambda w: raw_of(w, "/repeated").headers.getheaders("X-A"),
    "headers.iteritems": lambda w: sorted(raw_of(w, "/repeated").headers.iteritems()),
    "headers.add": lambda w: raw_of(w).headers.add("X-A", "1"),
    "Set-Cookie apart": lambda w: raw_of(w, "/set?a=1&b=2").headers.getlist("Set-Cookie"),
    "getheader": lambda w: [raw_of(w).getheader("content-type"), raw_of(w).getheader("X-None", "d")],
    "getheaders": lambda w: sorted(raw_of(w).getheaders().items()),
    "info": lambda w: raw_of(w).info()["content-type"],
    "tell": lambda w: [(raw := raw_of(w)).tell(), raw.read(5), raw.tell()],
    "tell of gzip": lambda w: [(raw := raw_of(w, "/gzip")).read(5, decode_content=True), raw.tell() > 5],
    "seekable": lambda w: [(raw := raw_of(w)).readable(), raw.writable(), raw.seekable(), raw.isatty()],
    "seek": lambda w: raw_of(w).seek(0),
    "closed": lambda w: [(raw := raw_of(w)).closed, raw.close(), raw.closed],
    "closed at its end": lambda w: [(raw := raw_of(w)).read(), raw.closed],
    "closed beyond its end": lambda w: [(raw := raw_of(w)).read(), raw.read(), raw.read(5), raw.closed],
    "closed by the response": lambda w: [(r := streamed(w)).close(), r.raw.closed],
    "closed after content": lambda w: w.r.get(w.at()).raw.closed,
    "read when closed": lambda w: [(raw := raw_of(w)).close(), raw.read()],
    "release_conn": lambda w: [(raw := raw_of(w)).read(), raw.release_conn()],
    "release_conn in the middle": lambda w: [(r := streamed(w)).raw.read(5), r.raw.release_conn(), r.close()],
    "with": lambda w: raw_of(w).__enter__().read(5),
    "decode_content": lambda w: raw_of(w).decode_content,
    "readinto": lambda w: [raw_of(w).readinto(buffer := bytearray(5)), bytes(buffer)],
    "readline": lambda w: [(raw := raw_of(w)).readline(), raw.readline()],
    "readlines": lambda w: raw_of(w).readlines(),
    "is an io.IOBase": lambda w: isinstance(raw_of(w), io.IOBase),
})  # fmt: skip


@call("raw: until it is closed")
def _(w: World) -> Any:
    raw = raw_of(w, "/large")
    read = b""
    while not raw.closed:
        read += raw.read(100_000)
    return len(read)


@call("raw: saved piece by piece")
def _(w: World) -> Any:
    path = w.directory / "saved"
    with w.r.get(w.at("/large"), stream=True) as response, path.open("wb") as file:
        for piece in response.iter_content(chunk_size=8192):
            if piece:
                file.write(piece)
    return hashlib.md5(path.read_bytes()).hexdigest(), response.status_code


def built(w: World, **attributes: Any) -> Any:
    """A Response as tests of programs build one."""
    response = w.r.Response()
    for name, value in attributes.items():
        setattr(response, name, value)
    return response


def fields_of(w: World, **fields: str) -> Any:
    return w.r.structures.CaseInsensitiveDict({name.replace("_", "-"): value for name, value in fields.items()})


calls("built", {
    "repr": lambda w: repr(built(w)),
    "attributes": lambda w: {
        name: getattr(built(w), name)
        for name in ("status_code", "reason", "url", "encoding", "history", "raw", "request", "next", "_content")
        if name != "_content"
    },
    "elapsed": lambda w: built(w).elapsed,
    "cookies": lambda w: built(w).cookies,
    "headers": lambda w: [dict(built(w).headers), isinstance(built(w).headers, w.r.structures.CaseInsensitiveDict)],
    "content": lambda w: built(w).content,
    "text": lambda w: built(w).text,
    "json": lambda w: built(w).json(),
    "links": lambda w: built(w).links,
    "bool": lambda w: bool(built(w)),
    "is_redirect": lambda w: [built(w).is_redirect, built(w).is_permanent_redirect],
    "status and content": lambda w: seen_built(built(w, status_code=200, _content=b'{"a": 1}')),
    "json of content": lambda w: built(w, status_code=200, _content=b'{"a": "\xc3\xbc"}').json(),
    "text in its encoding": lambda w: built(w, status_code=200, _content=b"gr\xfc\xdfe", encoding="latin-1").text,
    "text without an encoding": lambda w: built(w, status_code=200, _content="größe und maß".encode()).text,
    "iter_content": lambda w: built(w, status_code=200, _content=b"abcdef", _content_consumed=True).iter_content(4),
    "iter_lines": lambda w: built(w, status_code=200, _content=b"a\nb\n", _content_consumed=True).iter_lines(),
    "raise_for_status": lambda w: built(w, status_code=200).raise_for_status(),
    "header by item": lambda w: header_by_item(w),
    "headers replaced by a dict": lambda w: built(w, headers={"Content-Type": "a/b"}).headers["Content-Type"],
    "headers replaced": lambda w: built(w, headers=fields_of(w, Content_Type="a/b")).headers["content-type"],
    "links of a header": lambda w: built(w, headers=fields_of(w, Link=LINKS)).links,
    "links of a dict": lambda w: built(w, headers={"link": LINKS}).links,
    "redirect": lambda w: seen_built(built(w, status_code=301, headers=fields_of(w, Location="/x"))),
    "encoding stays when a header says another": lambda w: built(
        w, headers=fields_of(w, Content_Type="text/html; charset=utf-8")).encoding,
    "raw": lambda w: built(w, status_code=200, raw=io.BytesIO(b"abc")).content,
    "raw, piece by piece": lambda w: built(w, status_code=200, raw=io.BytesIO(b"abcdef")).iter_content(4),
    "raw, lines": lambda w: built(w, status_code=200, raw=io.BytesIO(b"a\nb\n")).iter_lines(),
    "raw, json": lambda w: built(w, status_code=200, raw=io.BytesIO(b'{"a": 1}')).json(),
    "raw, read": lambda w: built(w, status_code=200, raw=io.BytesIO(b"abc")).raw.read(),
    "raw, read twice": lambda w: [(r := built(w, status_code=200, raw=io.BytesIO(b"abc"))).content, r.content, r.raw.read()],
    "raw that streams": lambda w: built(w, status_code=200, raw=Streaming(b"abc")).content,
    "raw closed": lambda w: [(r := built(w, status_code=200, raw=(f := io.BytesIO(b"abc")))).close(), f.closed, r.raw is f],
    "raw, consumed twice": lambda w: [
        list((r := built(w, status_code=200, raw=io.BytesIO(b"abc"))).iter_content(2)), list(r.iter_content(2))],
    "raw, with": lambda w: built(w, status_code=200, raw=io.BytesIO(b"abc")).__enter__().content,
    "pickled": lambda w: seen_built(pickle.loads(pickle.dumps(
        built(w, status_code=200, _content=b"abc", reason="Fine", url="http://x.example/", headers=fields_of(w, A="1"))))),
    "reason as bytes": lambda w: error_of(built(w, status_code=404, reason="fehlt: ü".encode(), url="http://x.example/")),
    "reason as latin-1": lambda w: error_of(built(w, status_code=404, reason=b"fehlt: \xfc", url="http://x.example/")),
    "error": lambda w: error_of(built(w, status_code=404, reason="Not Found", url="http://x.example/a")),
    "error of a server": lambda w: error_of(built(w, status_code=503, reason="Busy", url="http://x.example/a")),
    "error without more": lambda w: error_of(built(w, status_code=500)),
    "HTTPError of it": lambda w: str(w.r.HTTPError("text", response=built(w, status_code=404)).response),
    "cookies replaced": lambda w: built(w, cookies=jar_of(w, a="1")).cookies["a"],
    "history replaced": lambda w: built(w, status_code=200, history=[built(w, status_code=301)]).history,
    "request replaced": lambda w: built(w, status_code=404, request=w.r.Request("GET", "http://x.example/a").prepare()).request,
    "error of its request": lambda w: request_of_error(w),
    "elapsed replaced": lambda w: built(w, elapsed=timedelta(seconds=2)).elapsed.total_seconds(),
    "isinstance": lambda w: isinstance(built(w), w.r.models.Response),
    "subclassed": lambda w: subclassed(w),
})  # fmt: skip


def seen_built(r: Any) -> dict[str, Any]:
    names = ("status_code", "reason", "url", "encoding", "ok", "is_redirect", "is_permanent_redirect", "links", "content", "text")
    return {name: getattr(r, name) for name in names} | {"headers": dict(r.headers)}


def header_by_item(w: World) -> Any:
    response = built(w, status_code=302)
    response.headers["Location"] = "/x"
    response.headers["X-A"] = "1"
    return response.headers["x-a"], response.is_redirect, "LOCATION" in response.headers


def error_of(r: Any) -> tuple[str, bool]:
    try:
        r.raise_for_status()
    except (requests.HTTPError, holdfast.HTTPError) as error:
        return str(error), error.response is r
    return "none", False


def request_of_error(w: World) -> Any:
    request = w.r.Request("GET", "http://x.example/a").prepare()
    try:
        built(w, status_code=404, request=request).raise_for_status()
    except w.r.HTTPError as error:
        return error.request is request


def subclassed(w: World) -> Any:
    class Fake(w.r.Response):  # type: ignore[misc, name-defined]
        def __init__(self, status_code: int, content: bytes) -> None:
            super().__init__()
            self.status_code = status_code
            self._content = content

    fake = Fake(201, b'{"a": 1}')
    return fake.status_code, fake.json(), fake.ok, fake.text


class Streaming:
    """A raw that streams, as urllib3's does."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def stream(self, amt: int = 1, decode_content: bool = False) -> Iterator[bytes]:
        yield self._data + (b" decoded" if decode_content else b"")

    def close(self) -> None:
        """Nothing."""


@call("built: by a hook, in place of another")
def _(w: World) -> Any:
    def offline(response: Any, **_: Any) -> Any:
        response.close()
        made = built(w, status_code=200, _content=b"cached", url=response.url, reason="OK")
        made.request = response.request
        return made

    answer = w.r.get(w.at(), hooks={"response": offline})
    return answer.status_code, answer.text, answer.url, answer.request.method


# -- calls ---------------------------------------------------------------------------------------------------------------


def said_by(error: BaseException) -> str:
    return type(error).__name__


calls("script", {
    "params of a list in a query": lambda w: w.r.get(w.at("/get"), params={"key1": "value1", "key2": ["value2", "value3"]}).url,
    "json of a response, checked": lambda w: (r := w.r.get(w.at("/json"))).raise_for_status() or r.json()["a"],
    "status against codes": lambda w: w.r.get(w.at()).status_code == w.r.codes.ok,
    "codes by any name": lambda w: [w.r.codes.all_good, w.r.codes.im_a_teapot, w.r.codes["temporary_redirect"], w.r.codes.CREATED],
    "status_codes._codes": lambda w: [w.r.status_codes._codes[404][0], 418 in w.r.status_codes._codes],
    "name of a status": lambda w: [w.r.status_codes._codes[code][0] for code in (200, 301, 418, 503)],
    "if not response": lambda w: "failed" if not w.r.get(w.at("/status/500")) else "went well",
    "text of a page": lambda w: w.r.get(w.at("/html-latin1")).text.splitlines(),
    "lines of text": lambda w: [line for line in w.r.get(w.at("/csv")).iter_lines(decode_unicode=True) if line],
    "csv of text": lambda w: list(csv.DictReader(w.r.get(w.at("/csv")).text.splitlines())),
    "csv of content": lambda w: list(csv.reader(io.StringIO(w.r.get(w.at("/csv")).content.decode("utf-8")))),
    "json lines": lambda w: [json.loads(line) for line in streamed(w, "/json-lines").iter_lines() if line],
    "file name of the server": lambda w: re.findall('filename="(.+)"', w.r.get(w.at("/named")).headers["content-disposition"]),
    "file name of the URL": lambda w: w.r.get(w.at("/a/b.txt?x=1")).url.split("/")[-1].partition("?")[0],
    "size before fetching": lambda w: int(w.r.head(w.at("/large")).headers.get("Content-Length", 0)),
    "size of what is streamed": lambda w: (r := streamed(w, "/large")).headers["Content-length"] + str(r.close()),
    "is it there": lambda w: w.r.head(w.at("/status/404")).ok,
    "links": lambda w: w.r.head(w.at("/links")).links["next"]["url"],
    "links, none": lambda w: w.r.get(w.at()).links.get("next", {}).get("url"),
    "unshortened": lambda w: w.r.head(w.to(w.at("/end")), allow_redirects=True).url,
    "where a redirect leads": lambda w: w.r.get(w.to("/end"), allow_redirects=False).headers["Location"],
    "urljoin of a redirect": lambda w: urljoin(w.at("/a/b"), w.r.get(w.to("../c"), allow_redirects=False).headers["location"]),
    "history": lambda w: [(r.status_code, r.url) for r in w.r.get(w.to("/end", 301)).history],
    "cookie of a response": lambda w: w.r.get(w.at("/set?a=1")).cookies["a"],
    "cookies of a response as a dict": lambda w: dict(w.r.get(w.at("/set?a=1&b=2")).cookies),
    "cookies handed on": lambda w: w.r.get(w.at(), cookies=w.r.get(w.at("/set?a=1")).cookies),
    "cookie of a dict": lambda w: w.r.get(w.at("/cookies"), cookies={"cookies_are": "working"}),
    "cookies with domain and path": lambda w: tasty(w),
    "a cookie looked at": lambda w: [(c.name, c.value, c.path, c.secure) for c in w.r.get(w.at("/set?a=1;%20Path=/x")).cookies],
    "dict_from_cookiejar": lambda w: w.r.cookies.RequestsCookieJar().get_dict(),
    "form": lambda w: w.r.post(w.at(), data={"user": "me", "password": "p&=ss"}),
    "form of repeated names": lambda w: w.r.post(w.at(), data=[("key1", "value1"), ("key1", "value2")]),
    "json by hand": lambda w: w.r.post(w.at(), data=json.dumps({"some": "data"}), headers={"Content-Type": "application/json"}),
    "xml": lambda w: w.r.post(w.at(), data='<?xml version="1.0"?><a/>', headers={"Content-Type": "application/xml"}),
    "graphql": lambda w: w.r.post(w.at(), json={"query": "{ a }", "variables": {"x": None}}),
    "upload": lambda w: w.r.post(w.at(), files={"file": ("report.xls", w.file(), "application/vnd.ms-excel", {"Expires": "0"})}).ok,
    "upload of text": lambda w: w.r.post(w.at(), files={"file": ("report.csv", "some,data\nanother,row\n")}),
    "upload of several": lambda w: w.r.post(w.at(), files=[
        ("images", ("foo.png", w.file("foo.png"), "image/png")), ("images", ("bar.png", w.file("bar.png"), "image/png"))]).ok,
    "upload with fields": lambda w: w.r.post(w.at(), data={"a": "1", "b": ["2", "3"]}, files={"f": ("n", b"x", "text/plain")}),
    "upload of json and a file": lambda w: w.r.post(w.at(), files={
        "meta": (None, json.dumps({"a": 1}), "application/json"), "f": ("n.bin", b"\x00")}),
    "multipart without files": lambda w: w.r.post(w.at(), files={"a": (None, "1"), "b": (None, "2")}),
    "upload of a path": lambda w: w.r.put(w.at("/x"), data=w.file()).ok,
    "upload in chunks": lambda w: w.r.post(w.at(), data=(piece for piece in (b"hi", b"there"))).ok,
    "upload read in pieces": lambda w: w.r.post(w.at(), data=in_pieces(w.file(content=b"0123456789" * 3), 8)).ok,
    "upload of an mmap-like": lambda w: w.r.post(w.at(), data=memoryview(b"data")).ok,
    "upload with progress": lambda w: progress(w),
    "download": lambda w: b"".join(piece for piece in streamed(w, "/large").iter_content(chunk_size=8192) if piece) == LARGE,
    "download of chunks": lambda w: b"".join(streamed(w, "/chunked").iter_content(chunk_size=1024)),
    "download, decoded as text": lambda w: "".join(streamed(w, "/gzip").iter_content(7, decode_unicode=True)),
    "download with progress": lambda w: [(r := streamed(w, "/large")).raw.read(1000)[:2], r.raw.tell(), r.close()],
    "image from bytes": lambda w: io.BytesIO(w.r.get(w.at("/binary")).content).read(4),
    "timeout as a pair": lambda w: w.r.get(w.at(), timeout=(3.05, 27)).ok,
    "timeout as a number": lambda w: w.r.get(w.at(), timeout=5).ok,
    "auth from the class": lambda w: w.r.get(w.at("/basic"), auth=w.r.auth.HTTPBasicAuth("user", PASSWORD)).ok,
    "auth of one's own": lambda w: w.r.get(w.at(), auth=pizza(w)),
    "auth of one's own, with the body": lambda w: w.r.post(w.at(), json={"a": 1}, auth=signing(w)),
    "bearer token": lambda w: w.r.get(w.at(), headers={"Authorization": "Bearer token"}),
    "user agent": lambda w: w.r.get(w.at(), headers={"User-Agent": "my-app/0.0.1"}).request.headers["User-Agent"],
    "headers that were sent": lambda w: sorted(name for name in w.r.post(w.at(), data={"a": "1"}).request.headers),
    "body that was sent": lambda w: [w.r.post(w.at(), data={"a": "ü"}).request.body, w.r.post(w.at(), json=[1]).request.body],
    "server's headers": lambda w: [(h := w.r.get(w.at("/json")).headers)["Content-Type"], h.get("content-type"), dict(h)],
    "a header looked for": lambda w: [name in w.r.get(w.at("/json")).headers for name in ("CONTENT-TYPE", "X-None")],
    "request with everything": lambda w: w.r.request(
        method="POST", url=w.at("/a"), params={"q": "1"}, json={"a": 1}, headers={"X-A": "1"}, cookies={"c": "1"},
        auth=("u", "p"), timeout=5, allow_redirects=True, verify=True, stream=False, proxies=None, hooks=None, cert=None),
    "request by the name of the verb": lambda w: [getattr(w.r, verb)(w.at()).request.method for verb in ("get", "put", "delete")],
    "isinstance": lambda w: [isinstance(w.r.get(w.at()), w.r.models.Response), isinstance(w.r.get(w.at()), w.r.Response)],
    "classes by their modules": lambda w: [
        w.r.models.Response is w.r.Response, w.r.models.PreparedRequest is w.r.PreparedRequest, w.r.models.Request is w.r.Request,
        w.r.sessions.Session is w.r.Session, w.r.exceptions.HTTPError is w.r.HTTPError, w.r.api.get is w.r.get],
    "version": lambda w: [type(w.r.__version__).__name__, w.r.__version__.count(".") >= 2],
    "JSONDecodeError": lambda w: caught(w, lambda: w.r.get(w.at("/plain")).json(), w.r.exceptions.JSONDecodeError),
    "JSONDecodeError, as ValueError": lambda w: caught(w, lambda: w.r.get(w.at("/plain")).json(), ValueError),
    "JSONDecodeError, as json's": lambda w: caught(w, lambda: w.r.get(w.at("/plain")).json(), json.JSONDecodeError),
    "HTTPError": lambda w: caught(w, lambda: w.r.get(w.at("/status/404")).raise_for_status(), w.r.exceptions.HTTPError),
    "ConnectionError": lambda w: caught(w, lambda: w.r.get(w.dead), w.r.exceptions.ConnectionError),
    "Timeout": lambda w: caught(w, lambda: w.r.get(w.at("/silent"), timeout=0.05), w.r.exceptions.Timeout),
    "ReadTimeout": lambda w: caught(w, lambda: w.r.get(w.at("/silent"), timeout=0.05), w.r.ReadTimeout),
    "TooManyRedirects": lambda w: caught(w, lambda: w.r.get(w.at("/loop/1")), w.r.exceptions.TooManyRedirects),
    "MissingSchema": lambda w: caught(w, lambda: w.r.get("example.com"), w.r.exceptions.MissingSchema),
    "RequestException": lambda w: caught(w, lambda: w.r.get(w.dead), w.r.exceptions.RequestException),
    "IOError": lambda w: caught(w, lambda: w.r.get(w.dead), IOError),
    "errors made by hand": lambda w: [str(w.r.exceptions.ConnectionError("no")), w.r.exceptions.Timeout().args,
                                      w.r.HTTPError("x", response=None, request=None).request],
    "error of a response": lambda w: status_of_error(w),
    "JSONDecodeError made by hand": lambda w: str(w.r.exceptions.JSONDecodeError("msg", "doc", 0)),
    "packages": lambda w: w.r.packages.urllib3.disable_warnings(),
    "packages, one warning": lambda w: w.r.packages.urllib3.disable_warnings(
        w.r.packages.urllib3.exceptions.InsecureRequestWarning),
    "compat": lambda w: w.r.compat.urljoin("http://x.example/a/", "b"),
})  # fmt: skip


def tasty(w: World) -> Any:
    """As in the documentation, with this host for theirs."""
    jar = w.r.cookies.RequestsCookieJar()
    jar.set("tasty_cookie", "yum", domain="127.0.0.1", path="/cookies")
    jar.set("gross_cookie", "blech", domain="127.0.0.1", path="/elsewhere")
    return w.r.get(w.at("/cookies"), cookies=jar)


def in_pieces(file: Any, size: int) -> Iterator[bytes]:
    while piece := file.read(size):
        yield piece


class Watched(io.BytesIO):
    """A file that notes what was read from it."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.seen = 0

    def read(self, size: int | None = -1) -> bytes:
        piece = super().read(size)
        self.seen += len(piece)
        return piece


def progress(w: World) -> Any:
    file = Watched(b"0" * 100_000)
    return w.r.put(w.at(), data=file).status_code, file.seen


def pizza(w: World) -> Any:
    class PizzaAuth(w.r.auth.AuthBase):  # type: ignore[misc, name-defined]
        def __init__(self, username: str) -> None:
            self.username = username

        def __call__(self, r: Any) -> Any:
            r.headers["X-Pizza"] = self.username
            return r

    return PizzaAuth("kenneth")


def signing(w: World) -> Any:
    class Signing(w.r.auth.AuthBase):  # type: ignore[misc, name-defined]
        def __call__(self, r: Any) -> Any:
            body = r.body if isinstance(r.body, bytes) else (r.body or "").encode()
            r.headers["X-Signature"] = hashlib.sha256(r.method.encode() + r.path_url.encode() + body).hexdigest()
            return r

    return Signing()


def caught(w: World, failing: Any, kind: Any) -> Any:
    try:
        failing()
    except kind as error:
        return "caught", isinstance(error, w.r.RequestException), hasattr(error, "request"), hasattr(error, "response")


def status_of_error(w: World) -> Any:
    try:
        w.r.get(w.at("/status/429")).raise_for_status()
    except w.r.exceptions.HTTPError as error:
        return error.response.status_code, error.response.text, error.response.headers["Content-Type"], error.args


@call("script: a session with everything set")
def _(w: World) -> Any:
    with w.r.Session() as s:
        s.auth = ("user", "pass")
        s.headers.update({"x-test": "true"})
        s.params = {"key": "1"}
        s.cookies.update({"c": "1"})
        s.max_redirects = 5
        s.trust_env = False
        both = s.get(w.at("/headers"), headers={"x-test2": "true"})
        return both, s.get(w.at(), auth=None, params={"key": None}), s.get(w.at(), cookies={"from-my": "browser"}), s.cookies


@call("script: a session that logs in")
def _(w: World) -> Any:
    s = w.r.Session()
    s.post(w.to("/home", set="Set-Cookie: sid=1; Path=/|"), data={"user": "me", "password": "x"})
    page = s.get(w.at("/profile"))
    logged_in = "sid" in s.cookies
    s.cookies.clear()
    s.get(w.at("/profile"))
    s.close()
    return page, logged_in


@call("script: a session with verify and cert")
def _(w: World) -> Any:
    with w.r.Session() as s:
        s.verify = w.tls.ca_path
        first = s.get(w.secure())
        s.verify = False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            second = s.get(w.secure())
        s.verify = True
        try:
            s.get(w.secure(host="127.0.0.1"))
        except w.r.exceptions.SSLError:
            third = "refused"
        return first, second, third


@call("script: prepared, changed, sent with the environment's settings")
def _(w: World) -> Any:
    with w.r.Session() as s:
        prepared = s.prepare_request(w.r.Request("POST", w.at("/a"), data={"a": "1"}, headers={"X-A": "1"}))
        prepared.body = "No, I want exactly this as the body."
        prepared.headers["Content-Length"] = str(len(prepared.body))
        del prepared.headers["Content-Type"]
        settings = s.merge_environment_settings(prepared.url, {}, None, None, None)
        return s.send(prepared, **settings).status_code


@call("script: prepared and sent twice")
def _(w: World) -> Any:
    with w.r.Session() as s:
        prepared = s.prepare_request(w.r.Request("POST", w.at(), json={"a": 1}))
        return [s.send(prepared, timeout=5).status_code for _ in range(2)]


@call("script: prepared without a session, its parts shown")
def _(w: World) -> Any:
    prepared = w.r.Request("POST", w.at("/a?b=1"), data={"x": "1"}, params={"c": "2"}).prepare()
    shown = "\n".join(f"{name}: {value}" for name, value in prepared.headers.items())
    return prepared.method, prepared.path_url, shown, prepared.body


@call("script: hooks as a dict of one, of a list, and of the session")
def _(w: World) -> Any:
    heard: list[str] = []

    def record(r: Any, *args: Any, **kwargs: Any) -> None:
        heard.append(f"{r.status_code} {sorted(kwargs)}")

    def check(r: Any, *args: Any, **kwargs: Any) -> None:
        r.raise_for_status()

    w.r.get(w.at(), hooks={"response": record})
    w.r.get(w.at(), hooks={"response": [record, check]})
    s = w.r.Session()
    s.hooks["response"].append(record)
    s.get(w.at())
    s.hooks = {"response": [check]}
    try:
        s.get(w.at("/status/500"))
    except w.r.HTTPError as error:
        heard.append(str(error.response.status_code))
    s.close()
    return heard


@call("script: a hook that logs in again")
def _(w: World) -> Any:
    def refresh(r: Any, *args: Any, **kwargs: Any) -> Any:
        if r.status_code == 401:
            r.request.headers["Authorization"] = "Basic " + base64.b64encode(f"user:{PASSWORD}".encode()).decode()
            r.request.deregister_hook("response", refresh)
            r.close()
            return r.connection.send(r.request, **kwargs)
        return r

    return w.r.get(w.at("/basic"), hooks={"response": refresh}).status_code


@call("script: a subclass of Session")
def _(w: World) -> Any:
    class Api(w.r.Session):  # type: ignore[misc, name-defined]
        def __init__(self, base: str) -> None:
            super().__init__()
            self.base = base
            self.headers["X-Api"] = "1"

        def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
            kwargs.setdefault("timeout", 5)
            return super().request(method, urljoin(self.base, url), *args, **kwargs)

    with Api(w.at("/v1/")) as api:
        return api.get("things", params={"a": "1"}), api.post("things", json={"b": 2}), api.delete("/x")


@call("script: a subclass of Session that sends")
def _(w: World) -> Any:
    sent: list[str] = []

    class Logged(w.r.Session):  # type: ignore[misc, name-defined]
        def send(self, request: Any, **kwargs: Any) -> Any:
            sent.append(f"{request.method} {request.path_url}")
            return super().send(request, **kwargs)

        def prepare_request(self, request: Any) -> Any:
            request.headers = {**(request.headers or {}), "X-Made": "1"}
            return super().prepare_request(request)

    with Logged() as s:
        s.get(w.at("/a"))
        s.post(w.at("/b"), data=b"x")
    return sent


@call("script: Session.get replaced for a while")
def _(w: World) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(w.r.Session, "request", lambda self, method, url, **kwargs: (method, url, kwargs.get("json")))
        with w.r.Session() as s:
            return s.get("http://x.example/a"), s.post("http://x.example/b", json={"a": 1})


@call("script: get replaced for a while")
def _(w: World) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(w.r, "get", lambda url, **kwargs: built(w, status_code=200, _content=b"fake", url=url))
        return w.r.get("http://x.example/").text


@call("script: functools.partial for a timeout")
def _(w: World) -> Any:
    with w.r.Session() as s:
        s.request = functools.partial(s.request, timeout=5)
        return s.get(w.at()).status_code


@call("script: paged")
def _(w: World) -> Any:
    found: list[int] = []
    url = w.at("/links")
    while url and len(found) < 3:
        response = w.r.get(url)
        found.append(response.status_code)
        url = response.links.get("none", {}).get("url")
    return found


@call("script: by many threads")
def _(w: World) -> Any:
    with w.r.Session() as s, ThreadPoolExecutor(4) as pool:
        return sorted(pool.map(lambda _: s.get(w.at("/x")).status_code, range(8)))


@call("script: tried again by hand")
def _(w: World) -> Any:
    for _attempt in range(3):
        try:
            response = w.r.get(w.at("/status/503"), timeout=5)
            response.raise_for_status()
        except w.r.exceptions.RequestException as error:
            last = error
    return last.response.status_code if last.response is not None else None


@call("script: `with` around a streamed get")
def _(w: World) -> Any:
    with w.r.get(w.at("/chunked"), stream=True) as r:
        r.raise_for_status()
        return list(r.iter_lines(chunk_size=4)), r.encoding


@call("script: `with closing`")
def _(w: World) -> Any:
    with contextlib.closing(w.r.get(w.at("/chunked"), stream=True)) as r:
        return next(r.iter_content(3))


@call("script: attributes set on a response, and deleted from a session")
def _(w: World) -> Any:
    response = w.r.get(w.at("/untyped"))
    response.encoding = response.apparent_encoding
    response.from_cache = True
    response.url = "http://x.example/"
    response.status_code = 299
    response.reason = "Other"
    response.headers["X-A"] = "1"
    response._content = b"other"
    return response.text, response.from_cache, response.url, repr(response), response.reason, response.headers["x-a"]


@call("script: a copy")
def _(w: World) -> Any:
    response = w.r.get(w.at("/json"))
    twin = copy.copy(response)
    return twin.json(), twin.status_code, twin.url


@call("script: proxies for all, and none")
def _(w: World) -> Any:
    with w.r.Session() as s:
        s.proxies.update({"http": w.other(), "https": w.dead})
        s.trust_env = False
        return s.get("http://x.example/a"), s.get("http://x.example/b", proxies={"http": w.other()})


@call("script: a session's proxy and the environment's")
def _(w: World) -> Any:
    with pytest.MonkeyPatch.context() as patch, w.r.Session() as s:
        patch.setenv("http_proxy", w.other())
        s.proxies = {"http": w.at("")}
        return s.get("http://x.example/a").status_code


@call("script: a prepared request, a session's proxy and the environment's")
def _(w: World) -> Any:
    with pytest.MonkeyPatch.context() as patch, w.r.Session() as s:
        patch.setenv("http_proxy", w.other())
        s.proxies = {"http": w.at("")}
        prepared = s.prepare_request(w.r.Request("GET", "http://x.example/a"))
        return s.send(prepared).status_code, s.send(prepared, proxies={"http": w.other()}).status_code


def by_proxy_to(w: World, url: str, **variables: str) -> Any:
    """The answer to a redirect to ``url``, by the proxy of the environment."""
    with pytest.MonkeyPatch.context() as patch, w.r.Session() as s:
        for name, value in {"http_proxy": w.other(), **variables}.items():
            patch.setenv(name, value)
        return s.get("http://x.example" + w.to(url).removeprefix(w.at(""))).url


@call("script: a redirect by way of a proxy")
def _(w: World) -> Any:
    return by_proxy_to(w, "http://x.example/json"), by_proxy_to(w, w.at("/json"))


@call("script: a redirect from a proxy to a host in no_proxy")
def _(w: World) -> Any:
    return by_proxy_to(w, w.at("/json"), no_proxy="127.0.0.1")


@call("script: a session's CAs and the environment's")
def _(w: World) -> Any:
    with pytest.MonkeyPatch.context() as patch, w.r.Session() as s:
        patch.setenv("REQUESTS_CA_BUNDLE", "/no/such/bundle.pem")
        s.verify = w.tls.ca_path
        return s.get(w.secure()).status_code


@call("script: a cookie jar of the standard library, saved")
def _(w: World) -> Any:
    path = w.directory / "cookies.txt"
    with w.r.Session() as s:
        s.cookies = LWPCookieJar(str(path))
        s.get(w.at("/set?a=1;%20Max-Age=1000"))
        s.cookies.save(ignore_discard=True)
    with w.r.Session() as s:
        s.cookies = LWPCookieJar(str(path))
        s.cookies.load(ignore_discard=True)
        return s.get(w.at()), len(s.cookies)


@call("script: cookies to a file and back")
def _(w: World) -> Any:
    with w.r.Session() as s:
        s.get(w.at("/set?a=1&b=2"))
        saved = json.dumps(s.cookies.get_dict())
        pickled = pickle.dumps(s.cookies)
    with w.r.Session() as s:
        s.cookies = w.r.cookies.cookiejar_from_dict(json.loads(saved))
        first = s.get(w.at())
        s.cookies.update(pickle.loads(pickled))
        return first, s.get(w.at())


@call("script: a cookie of one's own making")
def _(w: World) -> Any:
    with w.r.Session() as s:
        s.cookies.set_cookie(w.r.cookies.create_cookie(domain="127.0.0.1", name="a", value="1"))
        s.cookies.set("b", "2", domain="127.0.0.1", path="/only")
        return s.get(w.at()), s.get(w.at("/only")), sorted(s.cookies.keys())

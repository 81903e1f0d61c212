"""What compares holdfast with requests: a server, a call through both, and everything there is to see of it as plain data.

Compared are what the server received (request line, every field in order, framing, body) and what the caller got (all
of the response, or the exception's classes). Made equal before comparing, because it differs by nature or no standard
orders it: the version in User-Agent, multipart boundaries, the random parts of Digest answers (which the server
checks), the place among the fields of Host and of the one that frames the body, and of cookies in their field.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.cookiejar import CookieJar as StdlibJar
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote

import requests

import holdfast
from tests.conftest import Tls
from tests.server import Conn, Received, Server, chunked, chunks, head, redirect, response

# -- the server --------------------------------------------------------------------------------------------------------

UTF8 = "Content-Type: text/plain; charset=utf-8"
JSON = "Content-Type: application/json"
TEXT = "grüße\r\nfrom\nthe\r\n\r\nserver"
BODY = TEXT.encode()
PACKED = gzip.compress(BODY, mtime=0)
RAW_DEFLATE = zlib.compress(BODY)[2:-4]
LINKS = '<http://x.example/2>; rel="next"; title="Next, please", </1>; rel=prev, <http://x.example/none>; type="text/html"'


def _brotli(data: bytes) -> bytes:
    import brotli

    packed: bytes = brotli.compress(data)
    return packed


def _zstd(data: bytes) -> bytes:
    try:
        from compression import zstd
    except ImportError:
        from backports import zstd
    packed: bytes = zstd.compress(data)
    return packed


def ok(body: bytes = b"", *fields: str) -> bytes:
    """A 200."""
    return response(200, body, *fields, reason="OK")


PAGES: dict[str, bytes] = {
    "/": ok(BODY, UTF8),
    "/plain": ok(b"plain", "Content-Type: text/plain"),
    "/plain-utf8": ok(BODY, "Content-Type: text/plain"),
    "/html-latin1": ok(TEXT.encode("latin-1"), "Content-Type: text/html; charset=ISO-8859-1"),
    "/utf16": ok(TEXT.encode("utf-16"), "Content-Type: text/plain; charset=utf-16"),
    "/shift-jis": ok("日本語".encode("shift-jis"), 'Content-Type: text/html; charset="Shift_JIS"'),
    "/bogus-charset": ok(b"plain", "Content-Type: text/plain; charset=no-such"),
    "/broken-utf8": ok(b"a\xffb", UTF8),
    "/untyped": ok(b"plain ascii"),
    "/untyped-utf8": ok(BODY * 5),
    "/binary": ok(bytes(range(256)), "Content-Type: application/octet-stream"),
    "/json": ok(json.dumps({"a": ["ü", 1]}, ensure_ascii=False).encode(), JSON),
    "/json-text": ok(b'{"a": 1}', UTF8),
    "/json-untyped": ok(b'{"a": 1}'),
    "/json-latin1": ok('{"a": "ü"}'.encode("latin-1"), f"{JSON}; charset=latin-1"),
    "/json-vendor": ok(b'{"a": 1}', "Content-Type: application/vnd.api+json"),
    "/json-broken": ok(b'{"a": \n1', JSON),
    "/json-empty": ok(b"", JSON),
    "/json-number": ok(b"3", JSON),
    "/empty": ok(),
    "/no-content": head(204, "X-Kept: yes", reason="No Content"),
    "/not-modified": head(304, 'ETag: "x"', reason="Not Modified"),
    "/no-reason": head(200, "Content-Length: 0", reason=""),
    "/repeated": ok(b"", "X-A: 1", "X-A: 2", "X-Empty:"),
    "/latin1-field": ok(b"", "X-A: gr\xfc\xdfe"),
    "/links": ok(b"", f"Link: {LINKS}"),
    "/links-many": ok(b"", "Link: </1>; rel=a", "Link: </2>; rel=b"),
    "/links-empty": ok(b"", "Link: "),
    "/chunked": chunked(b"one ", b"two ", b"three", headers=[UTF8]),
    "/chunked-lines": chunked(b"a\r", b"\nb\n", b"c", b"d\n", headers=[UTF8]),
    "/chunked-empty": chunked(),
    "/trailers": chunked(b"one", trailers=["X-Sum: 1"]),
    "/gzip": ok(PACKED, UTF8, "Content-Encoding: gzip"),
    "/x-gzip": ok(PACKED, UTF8, "Content-Encoding: x-gzip"),
    "/gzip-upper": ok(PACKED, UTF8, "Content-Encoding: GZip"),
    "/gzip-two": ok(PACKED + PACKED, UTF8, "Content-Encoding: gzip"),
    "/gzip-chunked": chunked(PACKED[:9], PACKED[9:], headers=[UTF8, "Content-Encoding: gzip"]),
    "/gzip-empty": ok(b"", "Content-Encoding: gzip"),
    "/gzip-corrupt": ok(b"this is not gzip", "Content-Encoding: gzip"),
    "/gzip-cut": ok(PACKED[:-9], UTF8, "Content-Encoding: gzip"),
    "/zlib": ok(zlib.compress(BODY), UTF8, "Content-Encoding: deflate"),
    "/deflate": ok(RAW_DEFLATE, UTF8, "Content-Encoding: deflate"),
    "/br": ok(_brotli(BODY), UTF8, "Content-Encoding: br"),
    "/zstd": ok(_zstd(BODY), UTF8, "Content-Encoding: zstd"),
    "/br-gzip": ok(gzip.compress(_brotli(BODY)), UTF8, "Content-Encoding: br, gzip"),
    "/unknown-coding": ok(BODY, UTF8, "Content-Encoding: rot13"),
    "/identity": ok(BODY, UTF8, "Content-Encoding: identity"),
    "/short": head(200, "Content-Length: 100", UTF8, "Connection: close", reason="OK") + b"only this",
    "/short-chunk": head(200, "Transfer-Encoding: chunked", "Connection: close") + b"64\r\nonly this",
    "/no-last-chunk": head(200, "Transfer-Encoding: chunked", "Connection: close") + chunks(b"only this"),
    "/until-close": head(200, UTF8, "Connection: close", reason="OK") + BODY,
    "/http10": head(200, UTF8, reason="OK", version="1.0") + BODY,
    "/garbage": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    "/nothing": b"",
    "/early": head(103, "Link: </style.css>", reason="Early Hints") + ok(b"final", UTF8),
    "/continue": head(100, reason="Continue") + ok(b"final", UTF8),
}
FILES: dict[str, bytes] = {}
"""More pages, for the calls that fetch them only."""
LEAVES = {"/short", "/short-chunk", "/no-last-chunk", "/until-close", "/http10", "/garbage", "/nothing"}

PASSWORD = "open sesame"
CHALLENGES = {
    "md5": 'realm="r", nonce="n1", qop="auth", algorithm=MD5, opaque="o"',
    "sess": 'realm="r", nonce="n1", qop="auth", algorithm=MD5-sess',
    "sha": 'realm="r", nonce="n1", qop="auth", algorithm=SHA',
    "sha256": 'realm="r", nonce="n1", qop="auth", algorithm=SHA-256',
    "sha512": 'realm="r", nonce="n1", qop="auth", algorithm=SHA-512',
    "plain": 'realm="r", nonce="n1"',
    "both": 'realm="r", nonce="n1", qop="auth,auth-int"',
    "int": 'realm="r", nonce="n1", qop="auth-int"',
    "unknown": 'realm="r", nonce="n1", algorithm=ROT13',
}
HASHES = {"MD5": hashlib.md5, "SHA": hashlib.sha1, "SHA-256": hashlib.sha256, "SHA-512": hashlib.sha512}


def site(conn: Conn) -> None:
    """Answer by the path: a page, or what ``answer`` makes of it."""
    for number, request in enumerate(conn.read_requests()):
        path = request.target.removeprefix("http://x.example").partition("?")[0]  # the host behind it as a proxy
        if path == "/silent":
            conn.wait_closed()
            return
        if path == "/stalls":
            conn.send(head(200, "Content-Length: 100", reason="OK") + b"only this")
            conn.wait_closed()
            return
        if path == "/first-only" and number > 0:
            return
        said = PAGES.get(path) or FILES.get(path) or answer(request, path)
        conn.send(said.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if request.method == "HEAD" else said)
        if path in LEAVES or request.get("Connection").lower() == "close":
            return


def answer(request: Received, path: str) -> bytes:
    """What depends on the request."""
    _, kind, *rest = path.split("/")
    query = {name: values[-1] for name, values in parse_qs(request.target.partition("?")[2]).items()}
    if kind == "status":
        return response(int(rest[0]), b"said", UTF8, reason=unquote(rest[1]) if rest[1:] else "Said So")
    if kind == "to" and "url" in query:
        location = unquote(query["url"]).encode().decode("latin-1")
        return redirect(location, int(rest[0]), *query.get("set", "").split("|")[:-1])
    if kind == "loop":
        return redirect(f"/loop/{int(rest[0]) + 1}")
    if kind == "set":
        return ok(b"set", *(f"Set-Cookie: {unquote(each)}" for each in request.target.partition("?")[2].split("&")))
    if kind == "basic":
        wanted = "Basic " + base64.b64encode(f"user:{PASSWORD}".encode()).decode()
        is_right = request.get("Authorization") == wanted
        return ok(b"in") if is_right else response(401, b"out", "WWW-Authenticate: Basic")
    if kind == "digest":
        return digest(request, CHALLENGES[rest[0]], *rest[1:])
    return ok(b"other", UTF8)


def digest(request: Received, challenge: str, *fields: str) -> bytes:
    """200 to a right answer to the challenge, else 401 with it."""
    given = digest_parts(request.get("Authorization"))
    if given and given["response"] == digest_response(request.method, given):
        return ok(b"in", f"X-Count: {given.get('nc', '-')}")
    more = [f"Set-Cookie: {each}" for each in fields]
    return response(401, b"out", f"WWW-Authenticate: Digest {challenge}", *more, reason="Unauthorized")


def digest_parts(field: str) -> dict[str, str]:
    """The parameters of a Digest Authorization field."""
    found = re.findall(r'(\w+)=(?:"([^"]*)"|([^\s,]+))', field) if field.startswith("Digest ") else []
    return {name: quoted or bare for name, quoted, bare in found}


def digest_response(method: str, given: dict[str, str]) -> str:
    """What the answer should be (RFC 7616 section 3.4.1)."""
    algorithm = given.get("algorithm", "MD5")
    make = HASHES[algorithm.removesuffix("-sess")]

    def hashed(text: str) -> str:
        return make(text.encode()).hexdigest()

    ha1 = hashed(f"user:{given['realm']}:{PASSWORD}")
    if algorithm.endswith("-sess"):
        ha1 = hashed(f"{ha1}:{given['nonce']}:{given['cnonce']}")
    ha2 = hashed(f"{method}:{given['uri']}")
    middle = f"{given['nc']}:{given['cnonce']}:auth:" if "qop" in given else ""
    return hashed(f"{ha1}:{given['nonce']}:{middle}{ha2}")


# -- running a call through one of the two -----------------------------------------------------------------------------


@dataclass
class World:
    """What a call may use: the module under comparison, three servers, a directory, a port where nobody listens."""

    r: Any
    server: Server
    other_server: Server
    secure_server: Server
    tls: Tls
    directory: Path
    dead: str
    opened: list[Any] = field(default_factory=list)

    def at(self, path: str = "/") -> str:
        return self.server.url(path)

    def other(self, path: str = "/") -> str:
        return self.other_server.url(path)

    def secure(self, path: str = "/", host: str = "localhost") -> str:
        return self.secure_server.url(path, host=host)

    def to(self, url: str, status: int = 302, **query: str) -> str:
        """The URL of a redirect."""
        more = "".join(f"&{name}={value}" for name, value in query.items())
        return self.at(f"/to/{status}?url={quote(quote(url, safe=''), safe='')}{more}")

    def file(self, name: str = "some file.txt", content: bytes = b"file\r\ncontent") -> Any:
        path = self.directory / name
        path.write_bytes(content)
        self.opened.append(path.open("rb"))
        return self.opened[-1]


Call = Callable[[World], Any]


def outcome(world: World, call: Call) -> dict[str, Any]:
    """All there is to compare."""
    servers = (world.server, world.other_server, world.secure_server)
    before = [len(server.requests) for server in servers]
    try:
        got = seen(call(world))
    except Exception as error:  # noqa: BLE001 - which one is what is compared
        got = {"raised": seen_error(error)}
    finally:
        for each in world.opened:
            each.close()
        holdfast.close()
    sent = [server.requests[start:] for server, start in zip(servers, before, strict=True)]
    names = ("sent", "sent_elsewhere", "sent_secure")
    return {"got": got, **{name: [seen_sent(e) for e in each] for name, each in zip(names, sent, strict=True)}}


PLACES = {"Host": 0, "Content-Length": 1, "Transfer-Encoding": 1}


def seen_sent(request: Received) -> dict[str, Any]:
    """A request as the server got it."""
    fields, body = _neutral(request.headers, request.body)
    # RFC 9110 section 5.3: the order of fields with different names is not significant. urllib3 puts a framing field that
    # requests has left out before all others.
    fields.sort(key=lambda pair: PLACES.get(pair[0], 2))
    line = f"{request.method} {request.target} HTTP/{request.version}"
    return {"line": line, "fields": fields, "body": body, "trailers": request.trailers}


def _neutral(fields: list[tuple[Any, Any]], body: Any) -> tuple[list[tuple[str, Any]], Any]:
    """Fields and body without what differs by nature."""
    neutral: list[tuple[str, Any]] = []
    for name, value in fields:
        text = value.decode("latin-1") if isinstance(value, bytes) else value
        boundary = re.search("boundary=([0-9a-f]{32})", text)
        if boundary:
            text = text.replace(boundary[1], "BOUNDARY")
            body = body.replace(boundary[1].encode(), b"BOUNDARY") if isinstance(body, bytes) else body
        parts = digest_parts(text)
        if parts:
            parts |= {"response": "checked by the server", "cnonce": "random"}
        name = name.decode() if isinstance(name, bytes) else name
        if name == "User-Agent":
            text = re.sub(r"^(python-requests|holdfast)/\S+( holdfast/\S+)?$", "UA", text)
        if name == "Cookie":
            text = "; ".join(sorted(text.split("; ")))
        neutral.append((name, sorted(parts.items()) if parts else text))
    return neutral, body


def seen(value: Any) -> Any:
    """A value as plain data."""
    if isinstance(value, (requests.Response, holdfast.Response)):
        return seen_response(value)
    if isinstance(value, (requests.PreparedRequest, holdfast.PreparedRequest)):
        fields, body = _neutral([(name, text) for name, text in value.headers.items()], value.body)
        plain = body if body is None or isinstance(body, (bytes, bytearray, str)) else "a stream"
        return {"method": value.method, "url": value.url, "fields": fields, "body": plain, "repr": repr(value)}
    if isinstance(value, StdlibJar):
        return sorted((c.name, c.value, c.domain, c.path, c.secure, c.expires is None) for c in value)
    if isinstance(value, BaseException):
        return seen_error(value)
    if isinstance(value, (list, tuple)):
        return [seen(each) for each in value]
    if isinstance(value, dict):
        return {name: seen(each) for name, each in value.items()}
    if isinstance(value, Iterator):
        return [seen(each) for each in value]
    return value


def seen_response(r: Any) -> dict[str, Any]:
    """A response: everything that a program may look at."""
    found = {
        name: seen(getattr(r, name))
        for name in (
            "status_code", "reason", "url", "encoding", "ok", "is_redirect", "is_permanent_redirect", "links", "next",
            "cookies", "request",
        )
    }  # fmt: skip
    found["fields"] = sorted(r.headers.items())
    found["bool"], found["repr"] = bool(r), repr(r)
    found["history"] = [(each.status_code, each.url, each.request.method) for each in r.history]
    found["elapsed"] = type(r.elapsed).__name__
    try:
        found["content"], found["text"] = r.content, r.text
    except Exception as error:  # noqa: BLE001
        found["content"] = seen_error(error)
    return found


def seen_error(error: BaseException) -> list[str]:
    """The classes of an exception that requests or Python document."""
    known = {name for name in dir(requests.exceptions) if isinstance(getattr(requests.exceptions, name), type)}
    known -= {"BaseHTTPError", "CompatJSONDecodeError"}
    return [
        cls.__name__
        for cls in type(error).__mro__
        if cls.__module__ in ("builtins", "json.decoder") or cls.__name__ in known
        if cls.__module__.partition(".")[0] != "urllib3"
    ]


def differences(ours: Any, theirs: Any, where: str = "") -> list[str]:
    """Where the two differ; our exceptions may be more than theirs, never less."""
    if isinstance(ours, dict) and isinstance(theirs, dict) and ours.keys() == theirs.keys():
        return [path for name in ours for path in differences(ours[name], theirs[name], f"{where}.{name}")]
    both_lists = isinstance(ours, (list, tuple)) and isinstance(theirs, (list, tuple))
    if where.endswith("raised") and both_lists and set(theirs) <= set(ours):
        return []
    if both_lists and len(ours) == len(theirs) and not where.endswith(("raised", "fields")):
        pairs = enumerate(zip(ours, theirs, strict=True))
        return [path for number, (one, other) in pairs for path in differences(one, other, f"{where}[{number}]")]
    return [] if ours == theirs else [where]


# -- the calls --------------------------------------------------------------------------------------------------------

CALLS: dict[str, Call] = {}


def calls(group: str, table: dict[str, Call]) -> None:
    for name, made in table.items():
        CALLS[f"{group}: {name}"] = made


def call(name: str) -> Callable[[Call], Call]:
    def register(made: Call) -> Call:
        assert name not in CALLS
        CALLS[name] = made
        return made

    return register


# -- what calls often need ---------------------------------------------------------------------------------------------


def jar_of(w: World, **cookies: str) -> Any:
    return w.r.cookies.cookiejar_from_dict(cookies)


def streamed(w: World, path: str = "/") -> Any:
    w.opened.append(w.r.get(w.at(path), stream=True))
    return w.opened[-1]

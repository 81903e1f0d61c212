"""What users write: a type checker has nothing to say about it. Never run; ``test_typing.py`` has it checked."""

from __future__ import annotations

import gzip
import http.cookiejar
import io
import ssl
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import assert_type

import holdfast
from holdfast import Client, Limits, Response, Retries, Timeouts
from holdfast import requests as old

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from holdfast.arguments import GetOptions, RequestOptions

URL = "https://api.example.org/v1"


def each_verb_answers_with_a_response(client: Client) -> None:
    assert_type(client.get(URL, {"page": 1}, timeout=5), Response)
    assert_type(client.post(URL, json={"a": [1, 2.5, None]}, idempotency_key=True), Response)
    assert_type(client.put(URL, b"raw", headers={"If-Match": "x"}), Response)
    assert_type(client.patch(URL, {"form": "data"}, retries=Retries(2)), Response)
    assert_type(client.delete(URL, auth=("user", "password")), Response)
    assert_type(client.head(URL, allow_redirects=True), Response)
    assert_type(client.options(URL, stream=True), Response)
    assert_type(client.request("REPORT", URL, params={"q": "x"}, timeout=(3.05, 27)), Response)
    assert_type(holdfast.get(URL, params=[("tag", "a"), ("tag", "b")], verify=False), Response)
    assert_type(holdfast.post(URL, data="text", timeout=None), Response)
    assert_type(holdfast.request("GET", URL, json={}, cookies={"id": "1"}), Response)


def bodies(client: Client, path: Path, pieces: Iterator[bytes]) -> None:
    with path.open("rb") as binary, path.open() as text, gzip.open(path) as packed, tempfile.NamedTemporaryFile() as named:
        client.post(URL, data=binary)
        client.post(URL, data=text)
        client.post(URL, data=packed)
        client.post(URL, data=named)
        client.post(URL, files={"file": binary})
        client.post(URL, files={"file": ("name.txt", binary, "text/plain")}, data={"comment": "x"})
    client.post(URL, data=pieces)
    client.post(URL, data=io.BytesIO(b"x"))
    client.post(URL, data=[("a", "1"), ("a", "2")])
    client.post(URL, data=bytearray(b"x"))
    client.post(URL, files=[("file", b"content"), ("file", ("b", "content"))])


def settings(jar: http.cookiejar.CookieJar, context: ssl.SSLContext) -> Client:
    def sign(request: holdfast.PreparedRequest) -> holdfast.PreparedRequest:
        request.headers["X-Signature"] = "x"
        return request

    holdfast.configure(limits=Limits(max_connections=10), timeout=Timeouts(read=30), verify=context)
    old.Session(headers={"X-A": "b"}, retries=3)
    plain: dict[str, str] = {"X-A": "b"}
    proxies = {"https": "http://proxy:3128"}
    return Client(
        base_url=URL, headers=plain, auth=sign, cookies=jar, verify=Path("ca.pem"), cert=("a.pem", "b.pem"), proxies=proxies
    )


def bearer(token: str) -> Callable[[holdfast.PreparedRequest], holdfast.PreparedRequest]:
    def sign(request: holdfast.PreparedRequest) -> holdfast.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {token}"
        return request

    return sign


class Signed(holdfast.auth.AuthBase):
    def __call__(self, request: holdfast.PreparedRequest) -> holdfast.PreparedRequest:
        return request


def authentication(client: Client) -> None:
    client.get(URL, auth=bearer("t"))
    client.get(URL, auth=Signed())
    client.get(URL, auth=holdfast.auth.HTTPDigestAuth("user", "password"))


def fetch(path: str, **options: Unpack[GetOptions]) -> Response:
    options.setdefault("timeout", 10)
    return holdfast.get(URL + path, **options)


def call(method: str, path: str, **options: Unpack[RequestOptions]) -> Response:
    return holdfast.request(method, URL + path, **options)


class Api(Client):
    """A client with more of its own."""

    def request(self, method: str, url: Any, *args: Any, **kwargs: Any) -> Response:
        kwargs.setdefault("timeout", 5)
        return super().request(method, url, *args, **kwargs)

    def user(self, number: int) -> dict[str, Any]:
        answer = self.get(f"/users/{number}")
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found


class Tracing(old.Session):
    """A session of a program written for requests."""

    def send(self, request: old.PreparedRequest, **kwargs: Any) -> old.Response:
        return super().send(request, **kwargs)

    def request(self, method: str, url: Any, *args: Any, **kwargs: Any) -> old.Response:
        return super().request(method, url, *args, **kwargs)


def from_requests(session: old.Session) -> old.Response:
    assert_type(old.get(URL, timeout=3), old.Response)
    assert_type(session.post(URL, json={"a": 1}), old.Response)
    assert_type(session.request("GET", URL), old.Response)
    assert_type(Tracing().get(URL), old.Response)
    prepared = session.prepare_request(old.Request("GET", URL))
    with old.Session() as another:
        assert_type(another.send(prepared, stream=True, timeout=3), old.Response)
    with Client() as client, client.get(URL, stream=True) as streamed:
        assert_type(streamed, Response)
    return session.get(URL)

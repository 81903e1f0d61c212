"""Heads of requests as http.client has written them, as holdfast's requests: parsed once each, and remembered."""

from __future__ import annotations

from typing import Any, NamedTuple

from ...message.body import Body
from ...message.headers import Headers
from ...message.request import PreparedRequest

MAX_KNOWN = 256  # heads that are remembered

_heads: dict[bytes, Head] = {}


class Leave(Exception):
    """This request is not for holdfast: its text says why."""


class Target:
    """What a request line says, as it is: urllib3 has encoded it. In place of a ``Url``, which would tidy it up."""

    __slots__ = ("host_header", "target", "text")

    def __init__(self, target: bytes, host: bytes) -> None:
        self.target = target
        self.host_header = host
        self.text = target.decode("latin-1") if b"://" in target else "//" + (host + target).decode("latin-1")

    @property
    def safe_text(self) -> str:
        start, _, rest = self.text.partition("//")
        authority, slash, path = rest.partition("/")
        return f"{start}//{authority.rpartition('@')[2]}{slash}{path}"


class Head(NamedTuple):
    """What a request line and the fields behind it say.

    Attributes:
        expects: whether there is an Expect field: then the body waits.
    """

    method: str
    target: Target
    headers: Headers
    expects: bool


def request_of(head: Head, content: Body | None) -> PreparedRequest:
    """A request with that head and this body."""
    request = PreparedRequest()
    target: Any = head.target  # it has of a Url what sending and messages ask for
    request.method, request.parsed, request.headers = head.method, target, head.headers
    request.payload = content
    return request


def known_head(sent: bytes) -> Head:
    """Method, target and fields of a head as http.client has written it.

    Raises:
        Leave: holdfast would not send it.
    """
    found = _heads.get(sent)
    if found is None:
        found = _parsed(sent)
        if len(_heads) >= MAX_KNOWN:
            _heads.clear()
        _heads[sent] = found
    return found


def _parsed(sent: bytes) -> Head:
    first, *lines = sent[:-4].split(b"\r\n")
    verb, target, _ = first.split(b" ", 2)
    fields: list[tuple[bytes, bytes]] = []
    for line in lines:
        if line[:1] in (b" ", b"\t") and fields:  # a folded value, which http.client lets pass
            fields[-1] = (fields[-1][0], fields[-1][1] + b" " + line.strip())
            continue
        name, _, value = line.partition(b":")
        fields.append((name, value.strip(b" \t")))
    headers = Headers.from_raw(fields)
    _check(fields)
    return Head(verb.decode("ascii"), Target(target, headers.get("Host", "").encode("latin-1")), headers, "Expect" in headers)


def _check(fields: list[tuple[bytes, bytes]]) -> None:
    by_name: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        by_name.setdefault(name.lower(), []).append(value)
    codings = by_name.get(b"transfer-encoding", [])
    if len(by_name.get(b"host", [])) != 1:
        raise Leave("it has no Host field, or several")
    if codings and (b"content-length" in by_name or [c.lower() for c in codings] != [b"chunked"]):
        raise Leave("Transfer-Encoding beside Content-Length, or another than chunked")
    if len(by_name.get(b"content-length", [])) > 1:
        raise Leave("several Content-Length fields")

"""Whether a request is what a route expects, and if not, what differs: in words, weighed, so that the nearest route can be named.

Everything expected is compared by ``expected == actual``, so ``unittest.mock.ANY`` and the like may stand anywhere.
"""

from __future__ import annotations

import json as _json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from ..message.fields import is_secret
from ..message.headers import Headers
from ..message.url import Url

MAX_SHOWN = 200  # characters of a value in a message

NOT_GIVEN: Any = object()

Query = dict[str, list[Any]]


class Difference(NamedTuple):
    """What of a request is not as expected.

    Attributes:
        part: ``method``, ``origin``, ``path``, ``query``, ``header X-Name``, ``body``.
        said: what is expected, and what came.
        weight: how far apart they are; the route with the least in all is the nearest.
    """

    part: str
    said: str
    weight: float

    def __str__(self) -> str:
        return f"{self.part}: {self.said}"


class Asked(NamedTuple):
    """A request, as it is compared.

    Attributes:
        body: gives the whole body; asked only if a route wants to know.
    """

    method: str
    url: Url
    headers: Headers
    body: Callable[[], bytes]


@dataclass(frozen=True)
class Pattern:
    """What a route expects. None of an attribute: anything.

    Attributes:
        method: the verb, upper case.
        origin: ``https://example.com``, ``*`` in it for any characters; or None.
        path: likewise; ``*`` stops at ``/`` there, ``**`` does not.
        url: a regular expression to be found in the URL, instead of these two.
        query: the values of each name; ``{}`` for no query; anything else is compared with such a mapping.
        headers: by name; a value, a regular expression to be found in it, or None: the field must be absent.
        body: compared with the bytes, or a function that is given them; NOT_GIVEN: anything.
        json: compared with the value that the body is in JSON; NOT_GIVEN: anything.
    """

    method: str | None
    origin: str | None
    path: str | None
    url: re.Pattern[str] | None
    query: Any
    headers: Mapping[str, Any]
    body: Any = NOT_GIVEN
    json: Any = NOT_GIVEN

    def differences(self, asked: Asked) -> list[Difference]:
        """All that is not as expected; the body is looked at only if the rest is."""
        found = [*self._head(asked), *self._fields(asked.headers)]
        return found or list(self._content(asked))

    def _head(self, asked: Asked) -> Iterable[Difference]:
        if self.method not in (None, asked.method):
            yield _difference("method", self.method, asked.method, 3)
        if self.url is not None and self.url.search(asked.url.text) is None:
            yield Difference("url", f"/{self.url.pattern}/ is not found in {asked.url.safe_text}", 5)
        origin, path = origin_of(asked.url), path_of(asked.url)
        if self.origin is not None and not _glob(self.origin, ".*").fullmatch(origin):
            yield _difference("origin", self.origin, origin, 4 + _apart(self.origin, origin))
        if self.path is not None and not _glob(self.path, "[^/]*").fullmatch(path):
            yield _difference("path", self.path, path, 2 + 4 * _apart(self.path, path))
        query = query_of(asked.url)
        if self.query is not None and self.query != query:
            yield _difference("query", self.query, query, 2)

    def _fields(self, headers: Headers) -> Iterable[Difference]:
        for name, expected in self.headers.items():
            actual = headers.get(name)
            if isinstance(expected, re.Pattern):
                if actual is not None and expected.search(actual):
                    continue
            elif expected == actual:
                continue
            if is_secret(name.lower()):
                yield Difference(f"header {name}", "is not as expected (its values are secret)", 1)
            else:
                yield _difference(f"header {name}", expected, actual, 1)

    def _content(self, asked: Asked) -> Iterable[Difference]:
        if self.body is not NOT_GIVEN:
            body = asked.body()
            if callable(self.body):
                if not self.body(body):
                    yield Difference("body", f"{getattr(self.body, '__name__', self.body)!s} says no to {_shown(body)}", 1)
            elif self.body != body:
                yield _difference("body", self.body, body, 1)
        if self.json is not NOT_GIVEN:
            try:
                value = _json.loads(asked.body())
            except ValueError:
                yield Difference("body", f"is no JSON: {_shown(asked.body())}", 1)
            else:
                if self.json != value:
                    yield _difference("JSON", self.json, value, 1)

    def __str__(self) -> str:
        where = f"/{self.url.pattern}/" if self.url is not None else (self.origin or "") + (self.path or "")
        return f"{self.method or 'ANY'} {where or 'any URL'}"


def _difference(part: str, expected: Any, actual: Any, weight: float) -> Difference:
    return Difference(part, f"{_shown(expected)} is expected, {_shown(actual)} came", weight)


def _shown(value: Any) -> str:
    if isinstance(value, re.Pattern):
        return f"/{value.pattern}/"
    text = "nothing" if value is None or value == {} else repr(value)
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"


def _apart(one: str, other: str) -> float:
    """0 for the same, 1 for nothing in common."""
    return 1 - SequenceMatcher(None, one, other, autojunk=False).ratio()


def _glob(pattern: str, star: str) -> re.Pattern[str]:
    wild = {"**": ".*", "*": star}
    return re.compile("".join(wild.get(part, re.escape(part)) for part in re.split(r"(\*\*?)", pattern)), re.DOTALL)


# -- URLs ----------------------------------------------------------------------------------------------------------------


def origin_of(url: Url) -> str:
    """Scheme, host, and the port if it is not the scheme's own."""
    return f"{url.scheme}://{url.host_header.decode('ascii')}"


def path_of(url: Url) -> str:
    """The path, without the query."""
    return url.target.decode("ascii").partition("?")[0]


def query_of(url: Url) -> Query:
    """The values of each name of the query, in order."""
    return _by_name(parse_qsl(url.target.decode("ascii").partition("?")[2], keep_blank_values=True))


def _by_name(pairs: Iterable[tuple[str, Any]]) -> Query:
    found: Query = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


def split_pattern(given: Any) -> tuple[str | None, str | None, re.Pattern[str] | None, Query]:
    """Origin, path, regular expression and query of what was given as a route's URL.

    Raises:
        ValueError: it is neither text nor a regular expression, or makes no sense.
    """
    if given is None:
        return None, None, None, {}
    if isinstance(given, re.Pattern):
        return None, None, given, {}
    if isinstance(given, Url):
        given = given.text
    if not isinstance(given, str):
        raise ValueError(f"url={given!r}: expected text, a compiled regular expression or None")
    scheme, colon, rest = given.partition("://")
    if not colon:
        if not given.startswith("/"):
            raise ValueError(f"url={given!r}: expected https://host/path, or /path for every host; * stands for anything")
        url = Url.parse(f"http://host{given}")
        return None, path_of(url), None, query_of(url)
    if "*" in rest.partition("/")[0]:
        host, _, tail = rest.partition("/")
        url = Url.parse(f"http://host/{tail}")
        return f"{scheme}://{host}".lower(), path_of(url), None, query_of(url)
    url = Url.parse(given)
    return origin_of(url), path_of(url), None, query_of(url)


def expected_query(of_url: Query, params: Any, by_regex: bool) -> Any:
    """What a route's query must be: that of its URL and its ``params`` together; None for any."""
    if params is None:
        return None if by_regex else of_url
    if not isinstance(params, (Mapping, str, list, tuple)):
        return params  # mock.ANY, or what else has a way of its own to be equal
    if isinstance(params, str):
        given = _by_name(parse_qsl(params, keep_blank_values=True))
    else:
        given = {}
        for name, value in params.items() if isinstance(params, Mapping) else params:
            values = [each for each in (value if isinstance(value, (list, tuple)) else [value]) if each is not None]
            if values:
                given.setdefault(str(name), []).extend(map(_text, values))
    return {name: [*of_url.get(name, []), *given.get(name, [])] for name in {**of_url, **given}}


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, (str, int, float)) else value

"""Url against the installed requests: the same URL text, request target, credentials and exception class.

Every difference is listed with its reason and its two results, so neither side can change without being noticed.
"""

from __future__ import annotations

import io
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import requests.adapters
import requests.utils

import holdfast.exceptions as ours
from holdfast.message.url import Url

SAME = [
    # scheme and host
    "http://example.com",
    "https://example.com",
    "HTTP://EXAMPLE.COM",
    "hTTps://Example.Com/Path",
    "http://example.com/",
    "http://example.com./",
    "http://localhost",
    "http://a",
    "http://under_score.example.com/",
    "http://-dash-.example.com/",
    "http://xn--mnchen-3ya.de/",
    "http://XN--MNCHEN-3YA.de/",
    "http://sub.sub.sub.example.co.uk/",
    "http://~tilde/",
    "http://a+b.example/",
    "http://a!$&'()*+,;=b/",
    "http://ex%61mple.com/",
    "http://%31%32%37.0.0.1/",
    "http://a%2db/",
    "  http://example.com/",
    "\n\t http://example.com/",
    "http://example.com:/",
    "http://example.com:80/",
    "http://example.com:443/",
    "https://example.com:443/",
    "https://example.com:80/",
    "http://example.com:8080/",
    "http://example.com:00080/",
    "http://example.com:000000000000000080/",
    "http://example.com:65535/",
    "http://example.com:1/",
    "http://example.com:8080",
    "http://example.com:8080?q",
    "http://example.com:8080#f",
    # addresses
    "http://127.0.0.1/",
    "http://127.0.0.1:8000/x",
    "http://127.1/",
    "http://2130706433/",
    "http://0x7f.1/",
    "http://0x7f000001/",
    "http://0177.0.0.1/",
    "http://256.256.256.256/",
    "http://1.2.3.4.5/",
    "http://[::1]/",
    "http://[::1]:8000/",
    "http://[::]/",
    "http://[2001:DB8::1]/",
    "http://[2001:db8:0:0:0:0:0:1]:80/a",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://user:pass@[::1]:8000/",
    # internationalised names
    "http://münchen.de/",
    "http://MÜNCHEN.de/",
    "http://straße.de/",
    "http://faß.example/",
    "http://www.bücher.example:8080/ä?ö#ü",
    "http://例え.jp/",
    "http://пример.испытание/",
    "http://παράδειγμα.δοκιμή/",
    "http://مثال.إختبار/",
    "http://דוגמה.טעסט/",
    "http://उदाहरण.परीक्षा/",
    "http://ñandú.example.",
    "http://my_host.münchen.de/",
    # user information
    "http://user@example.com/",
    "http://user:@example.com/",
    "http://:pass@example.com/",
    "http://user:pass@example.com/",
    "http://user:pass:word@example.com/",
    "http://us%40er:pa%3Ass@example.com/",
    "http://us%7Eer:p%2Fa@example.com/",
    "http://üser:pässword@example.com/",
    "http://us er:pa ss@example.com/",
    "http://user:pa%ss@example.com/",
    "http://user:50%25@example.com/",
    'http://us"er:p^a|s@example.com/',
    "http://good.com:@evil.com/",
    "http://a@b@c/",
    "http://user:p@ss@example.com:8000/",
    "http://me@example.org:p@@example.com/",
    "http://@@example.com/",
    "http://@example.com/",
    "http://:@example.com/",
    # path
    "http://h/a/b/c",
    "http://h//",
    "http://h//a//b",
    "http://h/a b",
    "http://h/a b ",
    "http://h/a%20b",
    "http://h/a+b",
    "http://h/%7Euser/%41%2d%5f%2E",
    "http://h/%7euser",
    "http://h/%2f%2F%5b",
    "http://h/%c3%bc",
    "http://h/ü",
    "http://h/ü%C3%BC",
    "http://h/日本語",
    "http://h/😀",
    "http://h/50%",
    "http://h/50%/a%20b",
    "http://h/%zz",
    "http://h/%",
    "http://h/%%",
    "http://h/%%41",
    "http://h/%4",
    "http://h/%2525",
    "http://h/%25%34%31",
    "http://h/[a]{b}|c\\d^e`f",
    'http://h/"a"<b>',
    "http://h/a;p=1;q=2/b;r",
    "http://h/a:b@c!$&'()*+,;=",
    "http://h/:8080",
    "http://h/http://other/",
    "http://h/a@b",
    "http://h/\x00",
    "http://h/\x01\x1f\x7f",
    "http://h/\x0b\x0c",
    "http://h/\xa0\x85",
    "http://h/\u2028\u200b",
    "http://h/\ud800",
    # dot segments
    "http://h/.",
    "http://h/..",
    "http://h/./",
    "http://h/../",
    "http://h/a/.",
    "http://h/a/..",
    "http://h/a/./b",
    "http://h/a/../b",
    "http://h/a/b/../../c",
    "http://h/a/b/../../../c",
    "http://h/../../../etc/passwd",
    "http://h/a/../../b/",
    "http://h/a//../b",
    "http://h/a/b/..//c",
    "http://h/a/.b/..c/d../e.",
    "http://h/.../a",
    "http://h/a/./././",
    "http://h/a?b/../c",
    "http://h/a#b/../c",
    # query
    "http://h?",
    "http://h/?",
    "http://h?q",
    "http://h/?q=1&r=2",
    "http://h/?q=a b",
    "http://h/?q=a+b%20c",
    "http://h/?q=ü",
    "http://h/?q=%FC",
    "http://h/?q=%7e%2D",
    "http://h/?q=100%",
    "http://h/?q=[1]",
    'http://h/?q={1}|\\^`"<>',
    "http://h/?q=?/:@",
    "http://h/?a?b?c",
    "http://h/?q='x'",
    "http://h/??",
    "http://h/p?url=http://other/?x=1%26y",
    "http://h/?mail=a@b@c",
    "http://h/?&&",
    "http://h/?=",
    "http://h/?\x00",
    # fragment
    "http://h#",
    "http://h/#",
    "http://h#f",
    "http://h/p#f",
    "http://h/p?q#f",
    "http://h/p?#f",
    "http://h/p#f?q#g",
    "http://h/p#a b",
    "http://h/p#ü",
    "http://h/p#%41%zz",
    "http://h/p#/?:@[]",
    "http://h/p#user@host",
]

REFUSED_BY_BOTH = [
    "",
    "   ",
    "example.com",
    "example.com/path",
    "www.example.com?q=1",
    "/path",
    "//example.com/path",
    "?q",
    "#f",
    "http",
    "https",
    "http//example.com",
    "httpbin.org:80/get",
    "None",
    "http:",
    "http:/",
    "http://",
    "http:///",
    "http:///path",
    "http:/example.com",
    "http:example.com",
    "http://?q",
    "http://#f",
    "http://:80/",
    "http://@/",
    "http://user:pass@/",
    "http://user@:80/",
    "http://*",
    "http://*.example.com/",
    "http://.example.com",
    "http://.",
    "http://exa mple.com/",
    "http://example.com /",
    "http:// example.com/",
    "http://exa\x00mple.com/",
    "http://exa\x1fmple.com/",
    "http://exa\x7fmple.com/",
    "http://exa\nmple.com/",
    "http://exa%0ample.com/",
    "http://exa%mple.com/",
    "http://exa%00mple.com/",
    "http://example.com:x/",
    "http://example.com:80x/",
    "http://example.com:-80/",
    "http://example.com:+80/",
    "http://example.com:8_0/",
    "http://example.com: 80/",
    "http://example.com:80 /",
    "http://example.com:65536/",
    "http://example.com:99999/",
    "http://example.com:100000/",
    "http://example.com:٨٠/",
    "http://example.com:80:80/",
    "http://::1/",
    "http://[::1/",
    "http://::1]/",
    "http://[::1]x/",
    "http://[::1]:x/",
    "http://[]/",
    "http://[1::2::3]/",
    "http://[12345::]/",
    "http://[v1.x]/",
    "http://[127.0.0.1]/",
    "http://[::g]/",
    "http://[fe80::1%]/",
    "http://[fe80::1%25eth/0]/",
    "http://[user@::1]/",
    "http://１２７.0.0.1/",
    "http://ｅxample.com/",
    "http://example。com/",
    "http://exa\u200bmple.com/",
    "http://exa\xadmple.com/",
    "http://☃.example/",
    "http://i❤.example/",
    "http://\ud800.example/",
    "http://\u0301a.example/",
    "http://xn--\xfc.example/",
]

NOT_FETCHED_BY_BOTH = [
    "ftp://example.com/file",
    "file:///etc/passwd",
    "mailto:joe@example.com",
    "data:text/plain,hello",
    "javascript:alert(1)",
    "gopher://example.com/",
    "ws://example.com/",
    "httpx://example.com/",
    "http+unix://%2Fvar%2Frun/",
    "https+x://example.com/",
    "localhost:8080/path",
    "example.com:80",
    "user:pass@example.com/",
]

_QUOTED = "a character RFC 3986 has no place for in a host; requests escapes it, and DNS never finds it"
_ROOM = "requests finds out when it looks the name up"
EXCUSED: dict[str, tuple[str, object, object]] = {
    # url: (reason, requests' text or exception, ours)
    "http://h/a\tb": ("others strip it", "http://h/a%09b", ours.InvalidURL),
    "http://h/a\n": ("others strip it", "http://h/a%0A", ours.InvalidURL),
    "http://h/\r\nX: y": ("others strip it", "http://h/%0D%0AX:%20y", ours.InvalidURL),
    "http://us\ner@h/": ("others strip it", "http://us%0Aer@h/", ours.InvalidURL),
    "http://h/?q#\n": ("others strip it", "http://h/?q#%0A", ours.InvalidURL),
    "http://good.com\\@evil.com/": (
        "others see the host evil.com",
        "http://good.com/%5C@evil.com/",
        ours.InvalidURL,
    ),
    "http://h\\p": ("others see the host h\\p", "http://h/%5Cp", ours.InvalidURL),
    "http://good.com%2f.evil.com/": ("others decode it", "http://good.com%2F.evil.com/", ours.InvalidURL),
    "http://good.com%40evil.com/": ("others decode it", "http://good.com%40evil.com/", ours.InvalidURL),
    "http://m%C3%BCnchen.de/": ("DNS has no escapes", "http://m%C3%BCnchen.de/", ours.InvalidURL),
    'http://a"b/': (_QUOTED, "http://a%22b/", ours.InvalidURL),
    "http://<a>/": (_QUOTED, "http://%3Ca%3E/", ours.InvalidURL),
    "http://a|b^c`d/": (_QUOTED, "http://a%7Cb%5Ec%60d/", ours.InvalidURL),
    "http://{a}/": (_QUOTED, "http://%7Ba%7D/", ours.InvalidURL),
    "http://h:0/": ("there is no port 0", "http://h/", ours.InvalidURL),
    "http://h:00/": ("there is no port 0", "http://h/", ours.InvalidURL),
    "http://a..b/": (_ROOM, "http://a..b/", ours.InvalidURL),
    f"http://{'a' * 64}/": (_ROOM, f"http://{'a' * 64}/", ours.InvalidURL),
    f"http://{'a.' * 126}aa/": (_ROOM, f"http://{'a.' * 126}aa/", ours.InvalidURL),
    "http://0X7F.1/": ("hosts are compared in lower case", "http://0X7F.1/", "http://0x7f.1/"),
    "http://[fe80::1%25eth0]/": ("none", "http://[fe80::1%25eth0]/", "http://[fe80::1%25eth0]/"),
    "http://[fe80::1%eth0]/a": ("none", "http://[fe80::1%25eth0]/a", "http://[fe80::1%25eth0]/a"),
    "http://[fe80::1%25eth0]/a%20b": (
        "requests escapes twice",
        "http://[fe80::1%25eth0]/a%2520b",
        "http://[fe80::1%25eth0]/a%20b",
    ),
    "http://[fe80::1%251]/": ("RFC 6874", "http://[fe80::1%1]/", "http://[fe80::1%251]/"),
    "http://[fe80::1%25eb0]/": ("RFC 6874", "http://[fe80::1%eb0]/", "http://[fe80::1%25eb0]/"),
    "http://h/a/%2e%2e/b": ("%2e is a dot (RFC 3986 section 6.2.2.2)", "http://h/a/../b", "http://h/b"),
    "http://h/a/%2E/b": ("%2e is a dot (RFC 3986 section 6.2.2.2)", "http://h/a/./b", "http://h/a/b"),
    "http://h/..//a": ("RFC 3986 section 5.2.4", "http://h/a", "http://h//a"),
    "http://ΑΣ.example/": ("a capital sigma is never final", "http://xn--mxa8a.example/", "http://xn--mxa0b.example/"),
    "http://mu\u0308nchen.de/": ("the same letter, composed", ours.InvalidURL, "http://xn--mnchen-3ya.de/"),
    "example.com/a:b": ("a colon is no scheme", ours.InvalidSchema, ours.MissingSchema),
    "example.com?u=http://x": ("a colon is no scheme", ours.InvalidSchema, ours.MissingSchema),
    ":80/x": ("a colon is no scheme", ours.InvalidSchema, ours.MissingSchema),
    "1http://x/": ("a scheme begins with a letter", ours.InvalidSchema, ours.MissingSchema),
}


def prepared(url: Any, params: Any = None) -> requests.PreparedRequest:
    """What requests makes of it, up to the point where it would open a connection."""
    request = requests.Request("GET", url, params=params).prepare()
    requests.Session().get_adapter(str(request.url))
    return request


def outcome_of_requests(url: Any) -> object:
    try:
        return prepared(url).url
    except requests.RequestException as error:
        return getattr(ours, type(error).__name__)


def our_outcome(url: str) -> object:
    try:
        return Url.parse(url).text
    except ours.RequestException as error:
        return type(error)


@pytest.mark.parametrize("url", SAME)
def test_text_target_and_credentials_are_those_of_requests(url: str) -> None:
    theirs, mine = prepared(url), Url.parse(url)
    assert mine.text == theirs.url
    assert mine.target == theirs.path_url.encode("ascii")
    if mine.password is not None:
        assert (mine.username, mine.password) == requests.utils.get_auth_from_url(str(theirs.url))
    else:
        assert requests.utils.get_auth_from_url(str(theirs.url)) == ("", "")


@pytest.mark.parametrize("url", SAME)
def test_host_and_port_are_those_urllib_finds_in_the_text(url: str) -> None:
    mine = Url.parse(url)
    split = urlsplit(mine.text)
    assert (mine.scheme, mine.host) == (split.scheme, split.hostname)
    assert mine.port == (split.port or {"http": 80, "https": 443}[mine.scheme])


@pytest.mark.parametrize("url", REFUSED_BY_BOTH)
def test_what_requests_refuses_is_refused_with_the_same_exception(url: str) -> None:
    outcome = outcome_of_requests(url)
    assert outcome in (ours.InvalidURL, ours.MissingSchema)
    assert our_outcome(url) == outcome


@pytest.mark.parametrize("url", NOT_FETCHED_BY_BOTH)
def test_what_requests_has_no_adapter_for_is_an_invalid_schema(url: str) -> None:
    assert outcome_of_requests(url) is ours.InvalidSchema
    assert our_outcome(url) is ours.InvalidSchema


@pytest.mark.parametrize("url", EXCUSED)
def test_every_difference_is_the_one_that_is_written_down(url: str) -> None:
    reason, theirs, mine = EXCUSED[url]
    assert (outcome_of_requests(url), our_outcome(url)) == (theirs, mine), reason


def test_the_corpus_is_large_enough_to_mean_something() -> None:
    assert len({*SAME, *REFUSED_BY_BOTH, *NOT_FETCHED_BY_BOTH, *EXCUSED}) > 250


@pytest.mark.parametrize("url", ["example.com", "//host/p", "http", "http//x"])
def test_the_text_of_missing_schema_is_that_of_requests(url: str) -> None:
    """But for a path alone: requests asks whether "https:///p" was meant, which is no URL."""
    with pytest.raises(requests.exceptions.MissingSchema) as theirs:
        prepared(url)
    with pytest.raises(ours.MissingSchema) as mine:
        Url.parse(url)
    assert str(mine.value) == str(theirs.value)


def test_a_path_alone_is_told_that_it_names_no_host() -> None:
    with pytest.raises(ours.MissingSchema) as error:
        Url.parse("/p")
    assert str(error.value) == "Invalid URL '/p': No scheme supplied, and no host. Give the whole URL, or the client a base_url"


@pytest.mark.parametrize("url", [b"http://h/p", b"http://h/\xc3\xbc", b" http://h"])
def test_bytes_are_utf_8(url: bytes) -> None:
    assert Url.parse(url).text == prepared(url).url


class _Multi:
    def items(self) -> list[tuple[str, str]]:
        return [("a", "1"), ("a", "2")]

    def __iter__(self) -> Any:
        raise AssertionError("items() is asked first")


@pytest.mark.parametrize("url", ["http://h", "http://h/p?x=y", "http://h/p?#f", "http://h/?x=ü#f"])
@pytest.mark.parametrize(
    "params",
    [
        None,
        {},
        [],
        "",
        b"",
        {"a": "1"},
        {"a": 1, "b": 2.5, "c": True},
        {"a": ["1", "2"], "b": ("3", 4)},
        {"a": []},
        {"a": None, "b": ["x", None, "y"], "c": [None]},
        {"a": ""},
        {"a b": "c d", "ü": "ö", "&=": "?#/%"},
        {"a": "~-._", "b": "a+b", "c": "%20"},
        {"a": b"\xff", b"b": b"x"},
        {"a": {"k": "v"}},
        {"a": [("x", "y")]},
        {"a": {"only"}},
        {1: 2, None: "n"},
        [("a", "1"), ("a", "2"), ("b", ["3", "4"])],
        (("a", "1"), ["b", "2"]),
        _Multi(),
        "a=1&b=2",
        "a=ü b",
        "a=%20%7E",
        "a=1?/:@!$&'()*+,;=",
        b"a=1&b=%20",
        "q",
    ],
    ids=repr,
)
def test_params_are_encoded_as_requests_encodes_them(url: str, params: Any) -> None:
    theirs = prepared(url, params)
    assert Url.parse(url).with_params(params).text == theirs.url


@pytest.mark.parametrize(
    ("params", "theirs", "mine"),
    [
        ("a=b#c", "http://h/?a=b#c", "http://h/?a=b%23c"),  # requests sends "a=b" and no more
        ("a=100%", "http://h/?a=100%", "http://h/?a=100%25"),
        ("a=[1]", "http://h/?a=[1]", "http://h/?a=%5B1%5D"),  # urllib3 escapes them later, on the wire
    ],
)
def test_params_strings_differ_where_requests_leaves_what_no_query_may_hold(
    params: str, theirs: str, mine: str
) -> None:
    assert prepared("http://h/", params).url == theirs
    assert Url.parse("http://h/").with_params(params).text == mine


class _OneRedirect(requests.adapters.BaseAdapter):
    """A server that answers the first request with a Location, and remembers what was asked next."""

    def __init__(self, location: str) -> None:
        super().__init__()
        self.location = location
        self.asked: list[str] = []

    def send(self, request: requests.PreparedRequest, *args: Any, **kw: Any) -> requests.Response:
        response = requests.Response()
        response.status_code = 200 if self.asked else 302
        response.headers["Location"] = self.location
        response.request, response.url, response.raw = request, str(request.url), io.BytesIO()
        self.asked.append(str(request.url))
        return response

    def close(self) -> None:
        pass


def redirected_by_requests(url: str, location: str) -> str:
    adapter = _OneRedirect(location)
    with requests.Session() as session:
        session.trust_env = False
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        session.get(url)
    return adapter.asked[-1]


LOCATIONS = [
    "http://other/",
    "HTTPS://Other:8443/Path?q",
    "//other/path",
    "/abs",
    "/abs/../x?y",
    "rel",
    "rel/",
    "./rel",
    "../rel",
    "../../../rel",
    "?q=2",
    "a?b=c",
    "/a b",
    "/%7euser/%2f",
    "/a%20b/50%25",
    "/\xc3\xbc",
    "/日".encode().decode("latin-1"),
    ";p",
    "a;p?q",
    "/a:b",
    "./a:b",
    "/http://x/",
    "http:/samehost",
    "/\\evil.com",
    "//user:pw@other/",
    "..",
    ".",
    "/.",
    "g;x=1/../y",
    "//other",
    "//other?q",
]


@pytest.mark.parametrize("base", ["http://h/a/b/c?x=y", "http://h", "http://u:p@h:8080/d/"])
@pytest.mark.parametrize("location", LOCATIONS)
def test_a_location_leads_where_requests_goes(base: str, location: str) -> None:
    # requests does not normalise the URLs it is redirected to ("HTTP://Other?q"); here there is one form only.
    theirs = redirected_by_requests(base, location)
    assert Url.parse(base).join(location).text == prepared(theirs).url


def test_an_internationalised_location_is_found_where_requests_looks_up_an_escaped_host() -> None:
    location = "//m\xc3\xbcnchen.de/"
    assert redirected_by_requests("http://h", location) == "http://m%C3%BCnchen.de/"
    assert Url.parse("http://h").join(location).text == "http://xn--mnchen-3ya.de/"

"""Url: one host for everything, no secret in any message, nothing quadratic."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.exceptions import InvalidRequest, InvalidSchema, InvalidURL, MissingSchema, RequestException
from holdfast.message import url as url_module
from holdfast.message.url import Url, is_ip_address, may_be_ip_address

# -- what a Url says


def test_a_plain_url_says_all_its_parts() -> None:
    url = Url.parse("HTTPS://User:p%40ss@Example.COM:8443/a/../b c?q=ü#frag")
    assert url.scheme == "https"
    assert url.host == "example.com"
    assert url.port == 8443
    assert url.origin == ("https", "example.com", 8443)
    assert (url.username, url.password) == ("User", "p@ss")
    assert url.path == "/b%20c"
    assert url.query == "q=%C3%BC"
    assert url.fragment == "frag"
    assert url.target == b"/b%20c?q=%C3%BC"
    assert url.host_header == b"example.com:8443"
    assert url.text == str(url) == "https://User:p%40ss@example.com:8443/b%20c?q=%C3%BC#frag"


def test_a_bare_url_says_none_or_nothing_for_what_it_lacks() -> None:
    url = Url.parse("http://h")
    assert (url.username, url.password, url.query, url.fragment) == (None, None, None, "")
    assert (url.path, url.target, url.port) == ("/", b"/", 80)


@pytest.mark.parametrize(
    ("text", "host", "port", "host_header"),
    [
        ("http://h", "h", 80, b"h"),
        ("http://h:80", "h", 80, b"h"),
        ("https://h:443", "h", 443, b"h"),
        ("https://h:80", "h", 80, b"h:80"),
        ("http://h:443", "h", 443, b"h:443"),
        ("http://h:00081", "h", 81, b"h:81"),
        ("http://H.Example.", "h.example.", 80, b"h.example."),
        ("http://u:p@h:1/", "h", 1, b"h:1"),
        ("http://[::1]", "::1", 80, b"[::1]"),
        ("http://[2001:DB8::A]:8000", "2001:db8::a", 8000, b"[2001:db8::a]:8000"),
        ("http://[::FFFF:1.2.3.4]", "::ffff:1.2.3.4", 80, b"[::ffff:1.2.3.4]"),
        ("http://[fe80::1%25eth0]:8000", "fe80::1%eth0", 8000, b"[fe80::1]:8000"),
        ("http://[FE80::1%25Eth0.100]", "fe80::1%Eth0.100", 80, b"[fe80::1]"),
        ("http://[fe80::1%1]", "fe80::1%1", 80, b"[fe80::1]"),
        ("http://[fe80::1%25]", "fe80::1%25", 80, b"[fe80::1]"),
        ("http://[::1%25.example.com]", "::1%.example.com", 80, b"[::1]"),
        ("http://2130706433", "2130706433", 80, b"2130706433"),
        ("http://0x7f.1", "0x7f.1", 80, b"0x7f.1"),
        ("http://%6C%4Fcalhost", "localhost", 80, b"localhost"),
        ("http://MÜNCHEN.DE", "xn--mnchen-3ya.de", 80, b"xn--mnchen-3ya.de"),
    ],
)
def test_host_port_and_host_field(text: str, host: str, port: int, host_header: bytes) -> None:
    url = Url.parse(text)
    assert (url.host, url.port, url.host_header) == (host, port, host_header)
    assert url.origin == (url.scheme, host, port)


@pytest.mark.parametrize(
    ("userinfo", "credentials"),
    [
        ("", (None, None)),
        ("@", (None, None)),
        ("u@", ("u", None)),
        ("u:@", ("u", "")),
        (":p@", ("", "p")),
        (":@", ("", "")),
        ("u:p:q@", ("u", "p:q")),
        ("%75%3a:%70%40@", ("u:", "p@")),
        ("ü:ö@", ("ü", "ö")),
        ("%FC@", ("\ufffd", None)),
        ("u:p@ss@", ("u", "p@ss")),
        ("me@example.org:p@@", ("me@example.org", "p@")),
        ("@:@@", ("@", "@")),
        ("u:p%40s@s@", ("u", "p@s@s")),
    ],
)
def test_credentials_are_percent_decoded(userinfo: str, credentials: tuple[str | None, str | None]) -> None:
    url = Url.parse(f"http://{userinfo}h/")
    assert (url.username, url.password) == credentials
    assert url.host == "h"


def test_the_host_is_behind_the_last_at_sign_and_the_others_are_written_so_that_every_parser_sees_it_there() -> None:
    url = Url.parse("http://good.com@evil.com:x@h:81/a@b")
    assert (url.host, url.port, url.username, url.password) == ("h", 81, "good.com@evil.com", "x")
    assert url.text == "http://good.com%40evil.com:x@h:81/a@b"
    assert Url.parse(url.text) == url
    assert "evil" not in url.safe_text
    assert Url.parse("http://h/").join("//a@b@c/").text == "http://a%40b@c/"


def test_the_user_of_a_url_is_not_its_host() -> None:
    # requests CVE-2024-47081: netrc credentials of good.com went to evil.com.
    url = Url.parse("http://good.com:@evil.com/")
    assert url.host == "evil.com"
    assert url.host_header == b"evil.com"
    assert (url.username, url.password) == ("good.com", "")


# -- what is refused


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("http://", "No host supplied"),
        ("http:///path", "No host supplied"),
        ("http://user@/", "No host supplied"),
        ("http://:80/", "No host supplied"),
        ("http://a\\@b/", "backslash"),
        ("http://a/b\tc", "'\\\\t' at position 10"),
        ("http://a/b\n", "'\\\\n' at position 10"),
        ("http://a\r\n", "'\\\\r' at position 8"),
        ("http://a b/", "' ' is not allowed in a host"),
        ("http://a\x00b/", "'\\\\x00' is not allowed in a host"),
        ("http://a%2fb/", "'%' is not allowed in a host"),
        ("http://a%0d%0ab/", "'%' is not allowed in a host"),
        ("http://a%20b/", "'%' is not allowed in a host"),
        ("http://a]/", "']' is not allowed in a host"),
        ("http://*/", "invalid label"),
        ("http://*.a/", "invalid label"),
        ("http://.a/", "invalid label"),
        ("http://./", "invalid label"),
        ("http://../", "invalid label"),
        ("http://a../", "none may be empty"),
        ("http://a..b/", "none may be empty"),
        ("http://" + "a" * 64, "labels of up to 64; DNS has room for 253 and 63"),
        ("http://" + "a." * 126 + "aa", "the host has 254 characters"),
        ("http://" + "ü" * 300, "the host has 300 characters; DNS has room for 253"),
        ("http://" + "a" * 65536, "the host has 65536 characters; DNS has room for 253"),
        ("http://h:0/", "port is not a number from 1 to 65535"),
        ("http://h:65536/", "port is not a number from 1 to 65535"),
        ("http://h:" + "9" * 5000, "port is not a number from 1 to 65535"),
        ("http://h:٨/", "port is not a number from 1 to 65535"),
        ("http://h:1:2/", "more than one colon"),
        ("http://::1/", "more than one colon"),
        ("http://[::1", r"\[address\]"),
        ("http://[::1]a", r"\[address\]"),
        ("http://[::999.0.0.1]/", "not an IPv6 address"),
        ("http://[]/", "not an IPv6 address"),
        ("http://[1.2.3.4]/", "not an IPv6 address"),
        ("http://[::1\x00]/", "not an IPv6 address"),
        ("http://[::1%25a%20b]/", "zone"),
        ("http://[::1%]/", "zone"),
        ("http://[::1%25" + "a" * 64 + "]/", "zone"),
        ("http://１２７.0.0.1/", "invalid label"),
        ("http://a。b/", "invalid label"),
        (b"http://h/\xff", "byte 9 of it is not UTF-8"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused_and_the_message_says_why(text: str | bytes, why: str) -> None:
    with pytest.raises(InvalidURL, match=why):
        Url.parse(text)


def test_a_host_of_exactly_the_length_dns_has_room_for_is_accepted() -> None:
    longest = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])
    assert len(longest) == 253
    assert Url.parse(f"http://{longest}/").host == longest
    assert Url.parse(f"http://{longest}./").host == f"{longest}."
    assert Url.parse(f"http://{'%61' * 63}/").host == "a" * 63


@pytest.mark.parametrize("text", ["ftp://h/", "file:///etc/passwd", "mailto:a@b.c", "localhost:8080/", "httpx://h"])
def test_other_schemes_are_refused_naming_those_that_are_not(text: str) -> None:
    with pytest.raises(InvalidSchema, match="only http:// and https:// URLs"):
        Url.parse(text)


@pytest.mark.parametrize("text", ["/items", "/", ""])
def test_a_path_alone_is_told_that_a_host_is_missing(text: str) -> None:
    with pytest.raises(MissingSchema, match=rf"'{text}': No scheme supplied, and no host\. Give .* a base_url$"):
        Url.parse(text)


def test_a_host_alone_is_told_what_was_probably_meant() -> None:
    with pytest.raises(MissingSchema, match=r"Perhaps you meant https://items\?"):
        Url.parse("items")


def test_a_host_and_a_port_without_a_scheme_are_told_what_was_probably_meant() -> None:
    with pytest.raises(InvalidSchema, match=r"can be fetched\. Perhaps you meant http://localhost:8080/x\?$"):
        Url.parse("localhost:8080/x")
    with pytest.raises(InvalidSchema, match=r"can be fetched$"):
        Url.parse("mailto:a@b.c")


@pytest.mark.parametrize("byte", [*range(0x21), 0x7F])
def test_no_control_character_or_space_reaches_the_wire_unescaped(byte: int) -> None:
    for template in (
        "http://h/a{}b",
        "http://h/?a{}b",
        "http://h/#a{}b",
        "http://u{}v@h/",
        "http://h{}h/",
        "http://h:8{}0/",
    ):
        try:
            url = Url.parse(template.format(chr(byte)))
        except InvalidURL:
            continue
        assert url.target.isascii()
        assert not any(c <= 0x20 or c == 0x7F for c in url.target + url.host_header + url.text.encode())
        assert url.host == "h"


# -- nobody reads a password in a message

SECRETS = ("hunter2", "h%75nter2", "alice")


@pytest.mark.parametrize(
    "text",
    [
        "http://alice:hunter2@h:x/",
        "http://alice:hunter2@h h/",
        "http://alice:hunter2@a@b:x/",
        "http://alice:hunter2@\\evil/",
        "http://alice:hunter2@h/\n",
        "http://alice:hunter2@/",
        "http://alice:hunter2@[::g]/",
        "http://alice:hun/ter2@h/",
        "http://alice:hunter2/@h/",
        "http://alice:hunter2#@h/",
        "http://alice:hunter2?@h/",
        "//alice:hunter2@h/",
        "alice:hunter2@h/",
        "alice:hunter2//@h/",
        "ftp://alice:hunter2@h/",
        "hunter2@h/p",
        "http://alice:hunter2@" + "a" * 500,
    ],
)
def test_no_message_holds_a_password(text: str) -> None:
    with pytest.raises((InvalidURL, InvalidSchema, MissingSchema)) as caught:
        Url.parse(text)
    message = str(caught.value)
    assert not any(secret in message for secret in (*SECRETS, "hun/ter2"))
    assert "[secret]@" in message
    assert len(message) < 400


def test_repr_and_safe_text_hide_the_whole_userinfo() -> None:
    url = Url.parse("http://alice:h%75nter2@h:81/p?q#f")
    assert url.safe_text == "http://[secret]@h:81/p?q#f"
    assert repr(url) == "<Url http://[secret]@h:81/p?q#f>"
    assert Url.parse("http://h/p?q#f").safe_text == "http://h/p?q#f"


def test_userinfo_is_in_neither_the_target_nor_the_host_field() -> None:
    url = Url.parse("http://alice:hunter2@h/p")
    assert url.target == b"/p"
    assert url.host_header == b"h"
    assert "alice" not in url.without_userinfo().text


def test_a_message_shows_at_most_100_characters_of_a_url_and_escapes_them() -> None:
    with pytest.raises(MissingSchema) as caught:
        Url.parse("x" * 1000)
    assert len(str(caught.value)) < 300
    with pytest.raises(MissingSchema) as caught:
        Url.parse("x\r\nSet-Log: forged")
    assert "\n" not in str(caught.value)


# -- values


def test_a_url_does_not_change() -> None:
    url = Url.parse("http://h/")
    with pytest.raises(AttributeError, match="does not change"):
        url.host = "evil"
    with pytest.raises(AttributeError, match="does not change"):
        del url.host
    assert not hasattr(url, "__dict__")


def test_equal_texts_are_equal_urls() -> None:
    one, other = Url.parse("http://h/%7Ea"), Url.parse("HTTP://H/~a")
    assert one == other
    assert hash(one) == hash(other)
    assert one != Url.parse("http://h/~b")
    assert one != "http://h/~a"
    assert len({one, other}) == 1


@pytest.mark.parametrize("text", ["http://u:p@h:80/a?b#c", "http://[fe80::1%25eth0]/", "http://münchen.de/%25"])
def test_a_url_survives_pickle_and_copy(text: str) -> None:
    url = Url.parse(text)
    for twin in (pickle.loads(pickle.dumps(url)), copy.copy(url), copy.deepcopy(url)):
        assert twin == url
        assert (twin.host, twin.password, twin.target) == (url.host, url.password, url.target)


def test_a_url_is_parsed_once() -> None:
    assert Url.parse("http://once.example/") is Url.parse("http://once.example/")
    assert Url.parse(b"http://once.example/") is Url.parse("http://once.example/")


def test_what_is_remembered_is_bounded_in_number_and_length() -> None:
    long = "http://h/" + "a" * 5000
    before = url_module._parse_cached.cache_info().currsize
    assert Url.parse(long) == Url.parse(long)
    assert url_module._parse_cached.cache_info().currsize == before
    for number in range(2000):
        Url.parse(f"http://h/{number}")
    assert url_module._parse_cached.cache_info().currsize <= 1024


def test_a_url_is_its_own_parse() -> None:
    url = Url.parse("http://h/")
    assert Url.parse(url) is url


def test_an_object_is_asked_for_its_text_once() -> None:
    class Changing(str):
        def __str__(self) -> str:
            return "http://evil/"

        def lstrip(self, *args: object) -> str:
            return "http://evil/"

    class Object:
        def __str__(self) -> str:
            return "http://object/"

    assert Url.parse(Changing("http://good/")).host == "good"
    assert Url.parse(Object()).host == "object"  # type: ignore[arg-type]


# -- the next one


@pytest.mark.parametrize(
    ("reference", "target"),
    [
        # RFC 3986 section 5.4, base http://a/b/c/d;p?q
        ("g", "http://a/b/c/g"),
        ("./g", "http://a/b/c/g"),
        ("g/", "http://a/b/c/g/"),
        ("/g", "http://a/g"),
        ("//g", "http://g/"),
        ("?y", "http://a/b/c/d;p?y"),
        ("g?y", "http://a/b/c/g?y"),
        ("#s", "http://a/b/c/d;p?q#s"),
        ("g#s", "http://a/b/c/g#s"),
        ("g?y#s", "http://a/b/c/g?y#s"),
        (";x", "http://a/b/c/;x"),
        ("g;x", "http://a/b/c/g;x"),
        ("g;x?y#s", "http://a/b/c/g;x?y#s"),
        ("", "http://a/b/c/d;p?q"),
        (".", "http://a/b/c/"),
        ("./", "http://a/b/c/"),
        ("..", "http://a/b/"),
        ("../", "http://a/b/"),
        ("../g", "http://a/b/g"),
        ("../..", "http://a/"),
        ("../../", "http://a/"),
        ("../../g", "http://a/g"),
        ("../../../g", "http://a/g"),
        ("../../../../g", "http://a/g"),
        ("/./g", "http://a/g"),
        ("/../g", "http://a/g"),
        ("g.", "http://a/b/c/g."),
        (".g", "http://a/b/c/.g"),
        ("g..", "http://a/b/c/g.."),
        ("..g", "http://a/b/c/..g"),
        ("./../g", "http://a/b/g"),
        ("./g/.", "http://a/b/c/g/"),
        ("g/./h", "http://a/b/c/g/h"),
        ("g/../h", "http://a/b/c/h"),
        ("g;x=1/./y", "http://a/b/c/g;x=1/y"),
        ("g;x=1/../y", "http://a/b/c/y"),
        ("g?y/./x", "http://a/b/c/g?y/./x"),
        ("g?y/../x", "http://a/b/c/g?y/../x"),
        ("g#s/./x", "http://a/b/c/g#s/./x"),
        ("http:g", "http://a/b/c/g"),
        ("http:", "http://a/b/c/d;p?q"),
        # what has no host stays with this one, as in requests
        ("//", "http://a/b/c/d;p?q"),
        ("http:///evil", "http://a/evil"),
        ("//?y", "http://a/b/c/d;p?y"),
        # and what servers send
        ("?", "http://a/b/c/d;p"),
        ("  /g  ", "http://a/g"),
        ("HTTPS://B/", "https://b/"),
        ("/%2e%2e/%2E%2e/g", "http://a/g"),
        ("/..//evil", "http://a//evil"),
        ("/\\evil", "http://a/%5Cevil"),
        ("\\\\evil", "http://a/b/c/%5C%5Cevil"),
        ("/http://evil", "http://a/http://evil"),
        (".//evil", "http://a/b/c//evil"),
        ("/50%/a b", "http://a/50%25/a%20b"),
        ("/\xc3\xbc", "http://a/%C3%BC"),
        (b"/\xc3\xbc", "http://a/%C3%BC"),
        ("/\xfc", "http://a/%FC"),
        (b"/\xfc%20", "http://a/%FC%20"),
        ("/日", "http://a/%E6%97%A5"),
    ],
)
def test_references_are_resolved_as_rfc_3986_says(reference: str | bytes, target: str) -> None:
    assert Url.parse("http://a/b/c/d;p?q").join(reference).text == target


@pytest.mark.parametrize("location", ["https:///evil", "https://", "/a\tb", "/a\r\nb", "//h:0", "////evil", "http:////evil"])
def test_a_location_that_cannot_be_understood_is_refused(location: str) -> None:
    with pytest.raises(InvalidURL):
        Url.parse("http://h/").join(location)


@pytest.mark.parametrize("location", ["ftp://h/", "file:///etc/passwd", "javascript:alert(1)", "data:,x", "a:b"])
def test_a_location_is_http_or_https(location: str) -> None:
    with pytest.raises(InvalidSchema):
        Url.parse("http://h/").join(location)


def test_a_relative_reference_keeps_the_authority_and_an_escaped_path() -> None:
    base = Url.parse("http://u:p@h:80/a%20b/c")
    assert base.join("50%").text == "http://u:p@h:80/a%20b/50%25"
    assert base.join("?x").password == "p"
    assert base.join("//h/").password is None


def test_with_params_appends_and_leaves_the_original() -> None:
    url = Url.parse("http://u:p@h/p?a=1#f")
    assert url.with_params({"b": ["2", None, "ü &"]}).text == "http://u:p@h/p?a=1&b=2&b=%C3%BC+%26#f"
    assert url.text == "http://u:p@h/p?a=1#f"
    assert url.with_params({"b": None}) is url
    assert url.with_params(None) is url


@pytest.mark.parametrize("params", ["x\r\ny", b"x\r\ny", {"x\r\n": "\x00\t"}, b"\xff", "#", "a b"])
def test_params_cannot_leave_the_query(params: object) -> None:
    url = Url.parse("http://h/p").with_params(params)
    assert Url.parse(url.text) == url
    assert url.fragment == ""
    assert url.target.startswith(b"/p?")
    assert not set(url.target) & set(b"\r\n\t\x00 #")


@pytest.mark.parametrize("params", [5, ["ab", "c"], [("a", "b", "c")], [1, 2], {"a": "\ud800"}, object()])
def test_params_of_another_kind_are_refused_naming_their_type(params: object) -> None:
    with pytest.raises(InvalidRequest, match=f"{type(params).__name__} given"):
        Url.parse("http://h/").with_params(params)


def test_with_fragment_and_without_userinfo() -> None:
    url = Url.parse("http://u:p@h:81/p?q#f")
    assert url.with_fragment("").text == "http://u:p@h:81/p?q"
    assert url.with_fragment("a b#").text == "http://u:p@h:81/p?q#a%20b%23"
    bare = url.without_userinfo()
    assert bare.text == "http://h:81/p?q#f"
    assert (bare.username, bare.password) == (None, None)
    assert bare.without_userinfo() is bare
    assert Url.parse("http://u@h:80/").without_userinfo().text == "http://h:80/"


# -- names in other scripts


@pytest.fixture
def without_idna_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "idna", None)
    url_module._parse_cached.cache_clear()


@pytest.mark.usefixtures("without_idna_library")
def test_without_the_idna_library_the_standard_codec_gives_the_same_host() -> None:
    assert Url.parse("http://BÜCHER.example/").host == "xn--bcher-kva.example"
    assert Url.parse("http://mu\u0308nchen.de/").host == "xn--mnchen-3ya.de"


@pytest.mark.usefixtures("without_idna_library")
@pytest.mark.parametrize(
    "host",
    ["straße.de", "ας.example", "ｅxample.com", "１２７.0.0.1", "a。b", "exa\u200bmple.com", "a\u200d.b", "ä" * 63],
)
def test_without_the_idna_library_no_name_becomes_another_one(host: str) -> None:
    with pytest.raises(InvalidURL, match="invalid label"):
        Url.parse(f"http://{host}/")


def test_an_ascii_host_never_imports_idna() -> None:
    script = (
        "import sys; from holdfast.message.url import Url; Url.parse('http://u:p@example.com/ü?q').join('/x');"
        "sys.exit('idna' in sys.modules or 'encodings.idna' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


# -- time

HALF = 32768
HOSTILE: dict[str, Callable[[], object]] = {
    "@ in the authority": lambda: Url.parse("http://" + "@" * 65536),
    "a@ in the authority": lambda: Url.parse("http://" + "a@" * HALF + "h/"),
    ": in the authority": lambda: Url.parse("http://" + ":" * 65536),
    "[ in the authority": lambda: Url.parse("http://" + "[" * 65536),
    "backslashes": lambda: Url.parse("http://h/" + "\\" * 65536),
    "% in the path": lambda: Url.parse("http://h/" + "%" * 65536),
    "escapes in the path": lambda: Url.parse("http://h/" + "%41%2f" * 11000),
    "% in the host": lambda: Url.parse("http://" + "%" * 65536),
    "escapes in the host": lambda: Url.parse("http://" + "%41" * 22000),
    "a long host": lambda: Url.parse("http://" + "a." * HALF),
    "a long international host": lambda: Url.parse("http://" + "ü" * 65536),
    "the longest international host": lambda: Url.parse("http://" + "\u0643" * 253),
    "a long port": lambda: Url.parse("http://h:" + "0" * 65536),
    "a very long port": lambda: Url.parse("http://h:" + "9" * 65536),
    "../ in the path": lambda: Url.parse("http://h" + "/.." * 22000),
    "a/../ in the path": lambda: Url.parse("http://h" + "/a/.." * 14000),
    "down and up": lambda: Url.parse("http://h" + "/a" * 16000 + "/.." * 16000),
    "alternating": lambda: Url.parse("http://h/" + "a " * HALF),
    "non-ASCII": lambda: Url.parse("http://h/" + "日" * 65536),
    "? and #": lambda: Url.parse("http://h/" + "?#" * HALF),
    "spaces before": lambda: Url.parse(" " * 65536 + "x"),
    "letters without a scheme": lambda: Url.parse("a" * 65536),
    "dots in a scheme": lambda: Url.parse("a." * HALF + ":"),
    "slashes": lambda: Url.parse("http:" + "/" * 65536),
    "joined ../": lambda: Url.parse("http://h/").join("../" * 22000),
    "joined spaces": lambda: Url.parse("http://h/").join(" " * 65536 + "x" + " " * 65536),
    "userinfo": lambda: Url.parse("http://" + "u:" * HALF + "@h/"),
    "a zone": lambda: Url.parse("http://[::1%25" + "%25" * 20000 + "]/"),
    "colons in brackets": lambda: Url.parse("http://[" + ":" * 65536 + "]/"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_64_kb_of_malice_cost_less_than_50_ms(name: str) -> None:
    def seconds() -> float:
        start = time.process_time()
        try:
            HOSTILE[name]()
        except RequestException:
            pass
        return time.process_time() - start

    assert min(seconds() for _ in range(3)) < 0.05


# -- for any text

ANY_URL = st.builds(
    "{}://{}{}{}".format,
    st.sampled_from(["http", "https", "HTTP"]),
    st.text(max_size=12) | st.sampled_from(["h", "u:p@h:80", "[::1]", "[fe80::1%25e]:9", "ü.de", "%41"]),
    st.sampled_from(["", "/", "?", "#", ":"]),
    st.text(max_size=30) | st.text(alphabet="/.%2eEaA41?#&=+ @:\\ü", max_size=30),
)


@settings(deadline=None)
@given(ANY_URL | st.text())
def test_any_text_is_a_sound_url_or_a_documented_error(text: str) -> None:
    try:
        url = Url.parse(text)
    except (InvalidURL, InvalidSchema, MissingSchema):
        return
    assert Url.parse(url.text) == url
    assert (Url.parse(url.text).origin, Url.parse(url.text).target) == (url.origin, url.target)
    assert url.text.isascii()
    assert url.text.isprintable()
    assert " " not in url.text
    assert url.target.startswith(b"/")
    assert b"#" not in url.target
    assert url.host == url.host.lower() or "%" in url.host
    assert 1 <= url.port <= 65535


@settings(deadline=None)
@given(ANY_URL, st.text(alphabet="/.%2eEaA?#:ü\\ ;", max_size=20).filter(lambda text: "//" not in text))
def test_a_reference_without_two_slashes_stays_at_its_origin(base: str, reference: str) -> None:
    try:
        url = Url.parse(base)
        joined = url.join(reference)
    except RequestException:
        return
    assert joined.origin == url.origin
    assert Url.parse(joined.text) == joined


# -- addresses


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.1", "0x7f000001", "2130706433", "0177.0.0.1", "10.0.0.0X0"),
        *("::1", "::ffff:1.2.3.4", "fe80::1%eth0", "FE80::1%25"),
    ],
)
def test_what_sockets_take_for_an_address_is_one(host: str) -> None:
    assert is_ip_address(host)
    assert may_be_ip_address(host)


@pytest.mark.parametrize(
    "host",
    [
        *("", "h", "1.example", "localhost", "127.0.0.1.example", "0xg", "127.0.0.1 x", "٣"),
        *("1::2::3", "fe80::1%", "%eth0", "a:b", "[::1]"),
    ],
)
def test_a_name_is_no_address(host: str) -> None:
    assert not is_ip_address(host)


@pytest.mark.parametrize("host", ["1.2.3.4.5", "300.1.1.1", "name.7", "name.0x1f", "127.0.0.1.", "a:b", "10.0.0.0.0X0"])
def test_what_ends_in_a_number_may_be_taken_for_an_address_and_is_none(host: str) -> None:
    assert may_be_ip_address(host)
    assert not is_ip_address(host)


@pytest.mark.parametrize("host", ["", ".", "h", "7.example", "x7", "0y1", "٣"])
def test_what_ends_in_a_label_with_a_letter_is_a_name_to_everyone(host: str) -> None:
    assert not may_be_ip_address(host)

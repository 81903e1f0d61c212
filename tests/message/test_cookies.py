"""Cookies: which a server may set, which a request carries, and a jar that works like requests'."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, MutableMapping
from http import cookiejar
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import pytest
import requests
import requests.cookies

from holdfast.exceptions import InvalidHeader
from holdfast.message.cookie_rules import parse_set_cookie
from holdfast.message.cookies import (
    MAX_DOMAINS,
    MAX_FIELDS,
    MAX_PER_DOMAIN,
    CookieConflictError,
    CookieJar,
    cookie_header,
    cookiejar_from_dict,
    create_cookie,
    dict_from_cookiejar,
    elsewhere,
    extract_cookies,
    merge_cookies,
    own_jar,
)
from holdfast.message.url import Url
from tests.conftest import FakeClock


def received(*lines: str | bytes, url: str = "http://www.example.com/", jar: Any = None) -> Any:
    """The jar after a response from ``url`` with these Set-Cookie fields."""
    jar = CookieJar() if jar is None else jar
    raw = [(b"Set-Cookie", line if isinstance(line, bytes) else line.encode("latin-1")) for line in lines]
    extract_cookies(jar, Url.parse(url), [(b"X", b"y"), *raw])
    return jar


def sent(jar: Any, url: str = "http://www.example.com/", own: Any = None) -> str | None:
    return cookie_header(jar, Url.parse(url), own)


# -- what is received: RFC 6265bis section 5.7 -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "header"),
    [
        ("a=1", "a=1"),
        ("  a \t= 1 2 ; Path=/", "a=1 2"),
        ("a=", "a="),
        ("a=b=c", "a=b=c"),
        ('a="quoted, value"', 'a="quoted, value"'),
        ("a=1; unknown; x=y;;", "a=1"),
        ("a=\xe9", "a=\xe9"),
        (b"a=\xc3\xa9", "a=\xc3\xa9"),
        ("a=1; expires=Wed, 21 Oct 2099 07:28:00 GMT", "a=1"),
        ("a=1; expires=Wednesday, 21-Oct-99 07:28:00 GMT", None),
        ("a=1; expires=Thu, 01 Jan 1970 00:00:00 GMT", None),
        ("a=1; expires=Wed, 31 Dec 1969 23:59:59 GMT", None),
        ("a=1; expires=Thu, 01-Jan-70 00:00:00 GMT", None),
        ("a=1; expires=garbage", "a=1"),
        ("a=1; expires=0", "a=1"),
        ("a=1; expires=Wed, 21 Oct 99999 07:28:00 GMT", "a=1"),
        ("a=1; expires=" + "9" * 500, "a=1"),
        ("a=1; max-age=10", "a=1"),
        ("a=1; max-age=0", None),
        ("a=1; max-age=-1", None),
        ("a=1; max-age=+10", "a=1"),
        ("a=1; max-age=x; expires=Thu, 01 Jan 1970 00:00:00 GMT", None),
        ("a=1; max-age=10; expires=Thu, 01 Jan 1970 00:00:00 GMT", "a=1"),
        ("a=1; max-age=" + "9" * 1000, "a=1"),
        ("a", "a"),
        (" a b\t; Path=/", "a b"),
        ('"a"; Secured', '"a"'),
        ("a; Max-Age=0", None),
        ("a; Secure", None),
        ("a; Domain=other.example", None),
        ("a\tb", None),
        ("__Host-a", None),
        ("__secure-a; Secure", None),
        ("=a", None),
        ("=", None),
        (" =__Host-a=1", None),
        ("", None),
        (";", None),
        ("; a=1", None),
    ],
)
def test_a_set_cookie_field_is_read_as_by_browsers(line: str | bytes, header: str | None) -> None:
    assert sent(received(line)) == header


def test_a_field_without_an_equals_sign_is_a_name_without_a_value_as_in_requests() -> None:
    jar = received("a; Path=/", "b", "b=1", "c=")
    assert jar.get_dict() == {"a": None, "b": "1", "c": ""}
    assert "a" in jar
    assert sent(jar) == "a; b=1; c="
    for same in (jar.copy(), own_jar(dict(jar)), pickle.loads(pickle.dumps(jar)), merge_cookies(CookieJar(), jar)):
        assert sent(same) == "a; b=1; c="
    assert sent(received("b", "a; Max-Age=0", jar=jar)) == "b; c="


def test_a_name_without_a_value_is_a_value_without_a_name_in_files(tmp_path: Path) -> None:
    path = tmp_path / "cookies.txt"
    jar = received("a; Max-Age=1000", jar=cookiejar.MozillaCookieJar(str(path)))
    jar.save()
    assert path.read_text().endswith("\t\ta\n")
    again = cookiejar.MozillaCookieJar(str(path))
    again.load()
    assert sent(again) == "a"


def test_a_secure_cookie_is_not_overwritten_by_http_without_an_equals_sign() -> None:
    jar = received("sid=1; Secure", url="https://h.example/")
    received("sid", "sid; Max-Age=0", url="http://h.example/", jar=jar)
    assert jar["sid"] == "1"


@pytest.mark.parametrize("byte", [*range(0x20), 0x7F])
def test_a_cookie_with_a_control_character_is_ignored_wherever_it_stands(byte: int) -> None:
    for line in (b"a=x%cy", b"a%cb=x", b"a=b; path=/%cx", b"a=b; x%c"):
        jar = received(line % byte, "fine=1", url="http://www.example.com/x")
        kept = byte == 9 and b";" in line  # a tab beside an attribute is only whitespace
        assert ("a" in jar) is kept
        assert "fine" in jar


@pytest.mark.parametrize(
    ("host", "domain", "kept"),
    [
        ("www.example.com", "example.com", True),
        ("www.example.com", ".example.com", True),
        ("www.example.com", "EXAMPLE.Com", True),
        ("www.example.com", "www.example.com", True),
        ("www.example.com", "", True),
        ("www.example.com", ".", True),
        ("evilexample.com", "example.com", False),
        ("example.com", "www.example.com", False),
        ("www.example.com", "other.example.com", False),
        ("www.example.com", "com", False),
        ("www.example.com", ".com", False),
        ("www.example.com.", "com.", False),
        ("www.example.com", "example.com.", False),
        ("www.example.com", "..example.com", False),
        ("www.example.co.uk", "co.uk", False),
        ("www.example.co.uk", ".CO.UK", False),
        ("www.example.co.uk", "example.co.uk", True),
        ("www.example.com", "ex\xe4mple.com", False),
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "0.0.1", False),
        ("127.0.0.1", ".1", False),
        ("[::1]", "::1", True),
        ("[::1]", "1", False),
        ("localhost", "localhost", True),
        ("localhost", "local", False),
        ("co.uk", "co.uk", True),
        ("com", "com", True),
        ("com", ".com", True),
        ("local", "local", True),
        ("printer.local", "local", False),
        ("printer.local", "printer.local", True),
        ("app.localhost", "localhost", False),
        ("app.localhost", "app.localhost", True),
        ("printer", "printer.local", False),
        ("intranet", "local", False),
        ("com.", "com.", True),
    ],
)
def test_a_domain_has_to_cover_the_host_and_be_no_suffix_of_all(host: str, domain: str, kept: bool) -> None:
    jar = received(f"a=1; Domain={domain}", url=f"http://{host}/")
    assert (sent(jar, f"http://{host}/") == "a=1") is kept
    assert len(jar) == kept


@pytest.mark.parametrize("host", ["co.uk", "com", "local", "localhost", "com.", "127.0.0.1"])
def test_a_domain_as_wide_as_a_suffix_is_for_the_host_only(host: str) -> None:
    jar = received(f"a=1; Domain={host}", url=f"http://{host}/")
    assert sent(jar, f"http://sub.{host}/") is None


def test_a_cookie_without_domain_is_for_its_host_only() -> None:
    jar = received("host=1", "all=2; Domain=example.com", url="http://example.com/")
    assert sent(jar, "http://example.com/") == "host=1; all=2"
    assert sent(jar, "http://www.example.com/") == "all=2"
    assert sent(jar, "http://a.b.example.com/") == "all=2"
    assert sent(jar, "http://evilexample.com/") is None
    assert sent(jar, "http://example.com.evil.example/") is None
    assert sent(jar, "http://example.com./") is None


@pytest.mark.parametrize(
    ("set_at", "attribute", "requested", "goes"),
    [
        ("/any", "", "/any", True),
        ("/any", "", "/", True),
        ("/any/x", "", "/any", True),
        ("/any/x", "", "/any/y/z", True),
        ("/any/x", "", "/anybad", False),
        ("/any/x", "", "/", False),
        ("/", "; Path=/any", "/any", True),
        ("/", "; Path=/any", "/any/", True),
        ("/", "; Path=/any", "/anybad", False),
        ("/", "; Path=/any/", "/any", False),
        ("/", "; Path=/any/", "/any/x", True),
        ("/x/y", "; Path=relative", "/x/z", True),
        ("/x/y", "; Path=relative", "/relative", False),
        ("/x/y", "; Path=", "/x/z", True),
        ("/", "; Path=/a; Path=/b", "/b", True),
        ("/", "; Path=/" + "a" * 2000, "/", True),
    ],
)
def test_paths_match_whole_segments(set_at: str, attribute: str, requested: str, goes: bool) -> None:
    jar = received("a=1" + attribute, url="http://h.example" + set_at)
    assert (sent(jar, "http://h.example" + requested) == "a=1") is goes


def test_secure_cookies_never_go_over_http_and_http_sets_none() -> None:
    jar = received("a=1; Secure", url="https://h.example/")
    assert sent(jar, "https://h.example/") == "a=1"
    assert sent(jar, "http://h.example/") is None
    assert len(received("a=1; Secure", url="http://h.example/")) == 0


LOOPBACK = [
    "localhost", "LOCALHOST", "localhost.", "app.localhost", "a.b.localhost", "127.0.0.1", "127.8.9.255", "[::1]", "[0:0::0001]",
]  # fmt: skip


@pytest.mark.parametrize("host", LOOPBACK)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_secure_cookie_of_a_loopback_host_is_kept_and_goes_back_over_http(host: str, scheme: str) -> None:
    jar = received("a=1; Secure", url=f"{scheme}://{host}:8000/")
    assert jar.get_dict() == {"a": "1"}
    assert sent(jar, f"http://{host}:8000/") == "a=1"
    assert sent(jar, f"https://{host}/") == "a=1"
    assert sent(jar, "http://h.example/") is None
    # What http on loopback has set it may replace and remove, as a development server does when one logs out.
    received("a=2", url=f"http://{host}/", jar=jar)
    assert [(cookie.value, cookie.secure) for cookie in jar] == [("2", False)]
    received("a=3; Secure", "a=; Max-Age=0", url=f"http://{host}/", jar=jar)
    assert len(jar) == 0


@pytest.mark.parametrize(
    "host",
    [
        "localhost.example", "notlocalhost", "localhost.localdomain", "local", "127.0.0.1.example", "127.1", "128.0.0.1", "0.0.0.0",
        "10.0.0.1", "192.168.0.1", "2130706433", "0x7f.0.0.1", "0177.0.0.1", "127.0.0.256", "127.0.0.01", "127.0.0.1.", "[::]",
        "[::2]", "[::1:1]", "[1::1]", "[::10]", "[::11]", "[fe80::1]", "[::ffff:127.0.0.1]",
    ],
)  # fmt: skip
def test_no_secure_cookie_goes_over_http_to_what_only_looks_like_loopback(host: str) -> None:
    assert len(received("a=1; Secure", url=f"http://{host}/")) == 0
    jar = received("a=1; Secure", url=f"https://{host}/")
    jar.set("own", "1", secure=True)
    assert sent(jar, f"https://{host}/") == "a=1; own=1"
    assert sent(jar, f"http://{host}/") is None
    received("a=evil", "a=; Max-Age=0", url=f"http://{host}/", jar=jar)
    assert jar["a"] == "1"


def test_a_secure_cookie_that_the_user_set_goes_over_http_only_to_the_loopback_host_it_names() -> None:
    jar = CookieJar()
    jar.set("all", "1", secure=True)
    jar.set("own", "2", secure=True, domain="localhost")
    assert sent(jar, "http://localhost/") == "own=2"
    assert sent(jar, "https://localhost/") == "all=1; own=2"
    assert sent(jar, "http://127.0.0.1/") is None
    assert sent(jar, "http://h.example/") is None


@pytest.mark.parametrize("line", ["a=evil", "a=evil; Domain=example.com", "a=; max-age=0", "a=evil; Path=/login/deep"])
def test_http_neither_overwrites_hides_nor_removes_a_secure_cookie(line: str) -> None:
    jar = received("a=1; Secure; Path=/login", url="https://www.example.com/")
    received(line, url="http://www.example.com/login/x", jar=jar)
    assert [(cookie.value, cookie.secure) for cookie in jar] == [("1", True)]
    received("a=2; Path=/other", url="http://www.example.com/", jar=jar)
    assert len(jar) == 2


def test_http_does_not_hide_the_secure_cookie_of_a_host_below_it() -> None:
    jar = received("a=1; Secure", url="https://www.example.com/")
    received("a=2; Secure; Domain=deep.example.com", url="https://x.deep.example.com/", jar=jar)
    received("a=evil; Domain=example.com", url="http://example.com/", jar=jar)
    received("a=evil; Domain=example.com", url="http://other.example.com/", jar=jar)
    assert sent(jar, "http://www.example.com/") is None
    assert sorted(jar.values()) == ["1", "2"]
    received("a=3", url="http://example.com/", jar=jar)
    received("b=4; Domain=example.com", "a=5; Domain=other.example.com", url="http://other.example.com/", jar=jar)
    received("a=6; Domain=anexample.com", url="http://anexample.com/", jar=jar)
    assert sorted(jar.values()) == ["1", "2", "3", "4", "5", "6"]


@pytest.mark.parametrize(
    ("line", "url", "kept"),
    [
        ("__Secure-a=1; Secure", "https://h.example/", True),
        ("__Secure-a=1", "https://h.example/", False),
        ("__secure-a=1", "https://h.example/", False),
        ("__Secure-a=1; Secure", "http://h.example/", False),
        ("__Host-a=1; Secure; Path=/", "https://h.example/", True),
        ("__HOST-a=1; Secure", "https://h.example/", False),
        ("__Host-a=1; Path=/", "https://h.example/", False),
        ("__Host-a=1; Secure; Path=/; Domain=h.example", "https://h.example/", False),
        ("__Host-a=1; Secure; Path=/; Domain=127.0.0.1", "https://127.0.0.1/", False),
        ("__Host-a=1; Secure; Path=/x", "https://h.example/", False),
        ("__Host-a=1; Secure; Path=/", "https://localhost/", True),
        ("__Host-a=1; Secure; Path=/", "http://localhost/", False),
        ("__Secure-a=1; Secure", "http://127.0.0.1/", False),
    ],
)
def test_prefixes_promise_what_they_say(line: str, url: str, kept: bool) -> None:
    assert (len(received(line, url=url)) == 1) is kept


def test_attributes_are_kept_beside_the_cookie() -> None:
    (cookie,) = received("a=1; HttpOnly; SameSite=Lax")
    assert cookie.has_nonstandard_attr("HttpOnly")
    assert cookie.get_nonstandard_attr("SameSite") == "Lax"


# -- time ------------------------------------------------------------------------------------------------------


def test_a_cookie_lasts_as_long_as_it_says_and_400_days_at_most(clock: FakeClock) -> None:
    jar = received("a=1; max-age=10", "b=2; max-age=99999999999", "c=3", jar=CookieJar(clock=clock))
    assert sent(jar) == "a=1; b=2; c=3"
    clock.advance(10)
    assert sent(jar) == "b=2; c=3"
    clock.advance(400 * 86400)
    assert sent(jar) == "c=3"


def test_an_expired_cookie_removes_the_one_it_names_and_leaves_nothing_behind() -> None:
    jar = received("a=1; Path=/x", "a=1; Path=/x; max-age=0", "never=1; max-age=0")
    assert len(jar) == 0
    assert jar._cookies == {}


# -- bounds: D8 ------------------------------------------------------------------------------------------------


def test_of_ten_thousand_cookies_of_a_response_fifty_are_kept() -> None:
    assert len(received(*[f"c{number}=1" for number in range(10_000)])) == MAX_FIELDS


def test_a_cookie_of_more_than_4096_bytes_is_ignored() -> None:
    assert len(received("a=" + "x" * 4095)) == 1
    assert len(received("a=" + "x" * 4096)) == 0
    assert len(received("a=1; x=" + "y" * 8190)) == 0


@pytest.mark.parametrize("unit", ["\\", '"', ";", "=", "a=b;", " ", "Expires=1;", "1 Jan ", "-", ":", "1-", "1:1:1", "a" * 1024])
def test_a_megabyte_of_malice_is_read_in_no_time(unit: str) -> None:
    started = time.thread_time()
    received("a=" + unit * (1_000_000 // len(unit)), "a=" + unit * (8000 // len(unit)))
    received("a=b; expires=" + (unit * 1024)[:1024])
    assert time.thread_time() - started < 0.5


def test_a_jar_is_bounded_per_domain_and_in_domains() -> None:
    jar = CookieJar()
    jar.set("users", "own")
    for number in range(MAX_PER_DOMAIN + 100):
        received(f"c{number}=1; Path=/{number}", url="http://h.example/", jar=jar)
    assert len(jar) == MAX_PER_DOMAIN + 1
    for number in range(MAX_DOMAINS + 10):
        received("a=1", url=f"http://{number}.example/", jar=jar)
    assert len(jar._cookies) == MAX_DOMAINS
    assert jar["users"] == "own"
    assert "http://h.example/" not in jar.list_domains()


def test_a_cookie_header_is_bounded_whatever_the_jar_holds() -> None:
    jar = CookieJar()
    for number in range(1000):
        jar.set(f"c{number}", "x" * 100)
    header = sent(jar)
    assert header is not None
    assert len(header) <= 8190
    assert header.startswith("c0=xxx")
    for number in range(1000):
        jar.set(f"c{number}", "")
    assert (sent(jar) or "").count(";") == 149


def test_many_domains_do_not_slow_down_a_request() -> None:
    jar = CookieJar()
    for number in range(2000):
        jar.set("a", "1", domain=f"{number}.example")
    started = time.thread_time()
    for _ in range(100):
        assert sent(jar, "http://7.example/") == "a=1"
    assert time.thread_time() - started < 0.5


# -- what is sent ----------------------------------------------------------------------------------------------


def test_longer_paths_and_older_cookies_go_first() -> None:
    jar = received("a=1; Path=/", "b=2; Path=/x/y", "c=3; Path=/x", "d=4; Path=/", url="http://h.example/x/y")
    assert sent(jar, "http://h.example/x/y") == "b=2; c=3; a=1; d=4"


def test_of_cookies_with_equally_long_paths_the_older_goes_first_whatever_their_domains(clock: FakeClock) -> None:
    url = "http://www.example.com/ab/cd"
    jar = CookieJar(clock=clock)
    for line in ("a=1; Domain=example.com; Path=/ab", "b=2; Path=/", "c=3; Path=/ab", "d=4; Domain=example.com; Path=/"):
        received(line, url=url, jar=jar)
        clock.advance(1)
    jar.set("e", "5")
    assert sent(jar, url) == "a=1; c=3; b=2; d=4; e=5"
    received("f=6; Path=/", url=url, jar=jar)
    assert sent(jar, url) == "a=1; c=3; b=2; d=4; e=5; f=6"


def test_cookies_of_one_response_go_back_in_its_order() -> None:
    lines = ("a=1; Domain=example.com", "b=2", "c=3; Domain=example.com", "d=4", "e=5; Domain=www.example.com")
    for jar in (CookieJar(), cookiejar.CookieJar(), requests.cookies.RequestsCookieJar()):
        assert sent(received(*lines, jar=jar)) == "a=1; b=2; c=3; d=4; e=5"


def test_a_cookie_that_is_replaced_keeps_its_age_and_one_that_is_removed_loses_it() -> None:
    jar = received("a=1; Domain=example.com", "b=2", "a=3; Domain=example.com")
    assert sent(jar) == "a=3; b=2"
    jar.set("a", "4", domain=".example.com")
    assert sent(jar) == "a=4; b=2"
    received("a=; Domain=example.com; Max-Age=0", "a=5; Domain=example.com", jar=jar)
    assert sent(jar) == "b=2; a=5"


def test_what_was_in_a_plain_jar_before_goes_first_and_so_does_what_replaces_it() -> None:
    jar = cookiejar.CookieJar()
    jar.set_cookie(create_cookie("a", "1"))
    jar.set_cookie(create_cookie("b", "2", domain=".example.com"))
    received("c=3", jar=jar)
    assert sent(jar) == "a=1; b=2; c=3"
    received("b=4; Domain=example.com", jar=jar)
    assert sent(jar) == "a=1; b=4; c=3"


def test_copies_and_pickles_of_a_jar_keep_the_order() -> None:
    jar = received("a=1; Domain=example.com", "b=2", "c=3; Domain=example.com")
    for twin in (jar.copy(), own_jar(jar), pickle.loads(pickle.dumps(jar)), merge_cookies(CookieJar(), jar)):
        received("d=4; Domain=example.com", jar=twin)
        assert sent(twin) == "a=1; b=2; c=3; d=4"


def test_of_two_jars_cookies_the_older_goes_first_whichever_was_read_before(clock: FakeClock) -> None:
    early = clock()
    new = received("new=1", jar=CookieJar(clock=lambda: early + 1))
    old = received("old=1; Domain=example.com", jar=CookieJar(clock=lambda: early))
    for jars in ((new, old), (old, new)):
        merged: Any = CookieJar(clock=clock)
        for jar in jars:
            merged.update(jar)
        assert sent(merged) == "old=1; new=1"


def test_the_oldest_cookies_of_a_domain_make_room_whatever_their_paths() -> None:
    jar = CookieJar()
    for number in range(MAX_PER_DOMAIN):
        received(f"c{number}=1; Path=/{number % 2}", url="http://h.example/", jar=jar)
    received("new=1; Path=/1", url="http://h.example/", jar=jar)
    assert "c0" not in jar
    received("newer=1; Path=/0", url="http://h.example/", jar=jar)
    assert "c1" not in jar
    assert len(jar) == MAX_PER_DOMAIN


def test_a_calls_own_cookies_take_the_place_of_equally_named_ones() -> None:
    jar = received("a=jar", "b=jar")
    assert sent(jar, own=own_jar({"a": "own", "c": 3})) == "b=jar; a=own; c=3"
    assert sent(None, own=own_jar({"a": "own"})) == "a=own"
    assert sent(None) is None
    assert sent(CookieJar(), own=CookieJar()) is None


@pytest.mark.parametrize(
    ("domain", "url", "goes"),
    [
        ("", "http://anywhere.example/", True),
        ("example.com", "http://example.com/", True),
        ("example.com", "http://www.example.com/", True),
        (".example.com", "http://www.example.com/", True),
        ("example.com", "http://notexample.com/", False),
        ("127.0.0.1", "http://127.0.0.1/", True),
        ("0.0.1", "http://127.0.0.1/", False),
        ("localhost", "http://localhost/", True),
        ("localhost.local", "http://localhost/", True),
    ],
)
def test_a_cookie_the_user_set_goes_where_requests_would_send_it(domain: str, url: str, goes: bool) -> None:
    jar = CookieJar()
    jar.set("a", "1", domain=domain)
    assert (sent(jar, url) == "a=1") is goes
    theirs = requests.cookies.RequestsCookieJar()
    theirs.set("a", "1", domain=domain)
    expected = requests.cookies.get_cookie_header(theirs, requests.Request("GET", url).prepare())
    assert (expected == "a=1") is _THEIRS.get(domain, goes)


def test_a_cookie_for_a_port_goes_to_that_port() -> None:
    jar = CookieJar()
    jar.set("a", "1", port="8080,81")
    assert sent(jar, "http://h.example:8080/") == "a=1"
    assert sent(jar, "http://h.example/") is None


def test_values_that_latin1_has_no_characters_for_go_out_as_utf8() -> None:
    jar = cookiejar_from_dict({"a": "é", "b": "€", "n": 5, "none": None})
    assert sent(jar) == "a=é; b=" + "€".encode().decode("latin-1") + "; n=5; none"


@pytest.mark.parametrize("byte", [*range(0x20), 0x7F, ord(";")])
def test_what_would_break_out_of_the_header_is_refused_or_left_out(byte: int) -> None:
    with pytest.raises(InvalidHeader, match="position 1 cannot be in a cookie's value"):
        own_jar({"a": f"x{chr(byte)}secret"})
    with pytest.raises(InvalidHeader, match="cannot be in a cookie's name") as caught:
        create_cookie(f"x{chr(byte)}", "secret")
    assert "secret" not in str(caught.value)
    jar = CookieJar()
    for name, value in (("smuggled", f"x{chr(byte)}y"), (f"x{chr(byte)}y", "smuggled")):
        cookie = create_cookie("a", "b")
        cookie.name, cookie.value = name, value
        jar.set_cookie(cookie)
    assert sent(jar) is None


def test_an_equals_sign_cannot_be_in_a_name() -> None:
    with pytest.raises(InvalidHeader, match="name"):
        create_cookie("a=b", "")


_THEIRS = {
    "localhost": False,  # http.cookiejar wants localhost.local there
    "0.0.1": True,  # it takes the end of an address for a parent domain
}


QUOTED = [
    r'"{\"theme\": \"dark\"}"',
    r'"\""',
    r'"a\"b"',
    r'"\\"',
    r'"\"\"\""',
    r'"caf\303\251 \054 \073"',
    '""',
    '"',
    r'\"',
    r'"a\"b',
    r'a\"b"',
]


@pytest.mark.parametrize("value", QUOTED)
def test_a_value_goes_back_as_it_came_quotes_and_backslashes_and_all(value: str) -> None:
    jar = received(f"prefs={value}; Path=/")
    assert jar["prefs"] == value
    assert sent(jar) == f"prefs={value}"
    for same in (jar.copy(), own_jar(jar), pickle.loads(pickle.dumps(jar)), merge_cookies(CookieJar(), jar)):
        assert sent(same) == f"prefs={value}"


@pytest.mark.parametrize("value", QUOTED)
def test_a_value_of_the_users_goes_out_as_it_was_given(value: str) -> None:
    jar = CookieJar()
    cookie = jar.set("prefs", value)
    assert cookie is not None
    assert cookie.value == jar["prefs"] == value
    jar["other"] = value
    jar.update({"more": value})
    jar.set_cookie(create_cookie("one", value))
    assert sent(jar) == f"prefs={value}; other={value}; more={value}; one={value}"
    own = own_jar({"prefs": value})
    assert sent(None, own=own) == f"prefs={value}"
    assert sent(None, own=elsewhere(own, [], False)) == f"prefs={value}"


def test_a_quoted_value_survives_the_files_of_the_standard_library(tmp_path: Path) -> None:
    for kind in (cookiejar.MozillaCookieJar, cookiejar.LWPCookieJar):
        path = str(tmp_path / kind.__name__)
        jar = received(*[f"c{number}={value}; max-age=1000" for number, value in enumerate(QUOTED)], jar=kind(path))
        jar.save()
        again = kind(path)
        again.load()
        assert dict(own_jar(again).items()) == {f"c{number}": value for number, value in enumerate(QUOTED)}


# -- other people's jars and policies --------------------------------------------------------------------------


def test_a_policy_of_the_users_may_refuse_to_keep_and_to_send() -> None:
    jar = CookieJar(cookiejar.DefaultCookiePolicy(allowed_domains=[]))
    assert len(received("a=1", jar=jar)) == 0
    jar = received("a=1")
    jar.set_policy(cookiejar.DefaultCookiePolicy(blocked_domains=["www.example.com"]))
    assert isinstance(jar.get_policy(), cookiejar.DefaultCookiePolicy)
    assert sent(jar) is None
    jar.set_policy(cookiejar.DefaultCookiePolicy())
    assert sent(jar) == "a=1"


def test_a_plain_jar_of_the_standard_library_is_good_enough() -> None:
    jar = received("a=1", "b=2; Domain=example.com; Path=/", jar=cookiejar.CookieJar())
    assert sent(jar) == "a=1; b=2"
    assert own_jar(jar).get_dict() == own_jar(own_jar(jar)).get_dict() == {"a": "1", "b": "2"}
    jar = received("a=1", jar=requests.cookies.RequestsCookieJar())
    assert sent(jar) == "a=1"


def test_what_a_file_keeps_is_still_for_the_host_only(tmp_path: Path) -> None:
    path = str(tmp_path / "cookies.txt")
    jar = received("a=1; max-age=1000", "b=2; max-age=1000; Domain=example.com", jar=cookiejar.MozillaCookieJar(path))
    jar.save()
    again = cookiejar.MozillaCookieJar(path)
    again.load()
    assert sent(again, "http://www.example.com/") == "a=1; b=2"
    assert sent(again, "http://sub.www.example.com/") == "b=2"


# -- the mapping -----------------------------------------------------------------------------------------------


def filled(kind: Any) -> Any:
    jar = kind()
    jar.set("a", "1", domain="one.example", path="/x")
    jar.set("b", "2", domain="two.example")
    jar["c"] = "3"
    return jar


READS: list[Callable[[Any], Any]] = [
    lambda jar: jar.keys(),
    lambda jar: jar.values(),
    lambda jar: jar.items(),
    lambda jar: (list(jar.iterkeys()), list(jar.itervalues()), list(jar.iteritems())),
    lambda jar: (jar["a"], jar.get("b"), jar.get("nothing"), jar.get("nothing", 5)),
    lambda jar: (jar.get("a", domain="one.example"), jar.get("a", domain="two.example"), jar.get("a", path="/")),
    lambda jar: ("a" in jar, "nothing" in jar, len(jar), dict(jar)),
    lambda jar: (jar.list_domains(), jar.list_paths(), jar.multiple_domains()),
    lambda jar: (jar.get_dict(), jar.get_dict(domain="one.example"), jar.get_dict(path="/")),
    lambda jar: sorted((cookie.name, cookie.value, cookie.domain, cookie.path) for cookie in jar),
    lambda jar: (jar.pop("a"), jar.pop("a", 7), jar.setdefault("a", "9"), jar.setdefault("a", "8"), jar.items()),
    lambda jar: (jar.set("a", None, domain="one.example"), jar.set("b", None), jar.items()),
    lambda jar: (jar.__delitem__("a"), jar.items()),
    lambda jar: (jar.update({"z": "26"}), jar.update(filled(type(jar))), jar.items()),
    lambda jar: (jar.copy().items(), jar.copy() == jar, jar == {"a": "1"}, jar == 5),
    lambda jar: (jar.set("m", SimpleCookie("m=1")["m"]).value, jar["m"]),
    lambda jar: isinstance(jar, MutableMapping),
    lambda jar: (jar.clear(domain="one.example"), jar.items()),
]


@pytest.mark.parametrize("read", READS)
def test_a_jar_is_the_mapping_that_requests_has(read: Any) -> None:
    assert read(filled(CookieJar)) == read(filled(requests.cookies.RequestsCookieJar))


def test_a_missing_cookie_is_a_key_error() -> None:
    jar = filled(CookieJar)
    for act in (jar.__getitem__, jar.pop):
        with pytest.raises(KeyError, match="x"):
            act("x")


def test_a_name_with_several_values_is_a_conflict_until_it_is_told_which() -> None:
    jar = filled(CookieJar)
    jar.set("a", "other", domain="two.example")
    for act in (jar.__getitem__, jar.get, jar.pop):
        with pytest.raises(CookieConflictError, match="multiple cookies"):
            act("a")
    assert "a" in jar
    assert jar.get("a", domain="two.example") == "other"
    assert jar.multiple_domains()
    assert issubclass(CookieConflictError, RuntimeError)


def test_a_jar_knows_its_cookies_themselves() -> None:
    jar = filled(CookieJar)
    assert all(cookie in jar for cookie in jar)
    with pytest.raises(TypeError):
        hash(jar)


def test_a_jar_takes_keywords_and_pairs() -> None:
    jar = CookieJar()
    jar.update([("a", "1")], b="2")
    jar.update()
    assert dict_from_cookiejar(jar) == {"a": "1", "b": "2"}


@pytest.mark.parametrize(
    ("text", "attribute", "expected"),
    [
        ("a=1; max-age=100; secure; path=/x; domain=d.example", "path", "/x"),
        ("a=1; max-age=100; secure; path=/x; domain=d.example", "secure", True),
        ("a=1; max-age=100; secure; path=/x; domain=d.example", "domain", "d.example"),
        ("a=1; expires=Wed, 21 Oct 2099 07:28:00 GMT", "expires", 4096250880),
        ("a=1", "expires", None),
        ("a=1", "path", "/"),
    ],
)
def test_a_morsel_becomes_a_cookie(text: str, attribute: str, expected: Any) -> None:
    jar = CookieJar()
    cookie = jar.set("a", SimpleCookie(text)["a"])
    assert getattr(cookie, attribute) == expected


def test_a_morsels_max_age_counts_from_now() -> None:
    jar = CookieJar()
    cookie = jar.set("a", SimpleCookie("a=1; max-age=100")["a"])
    assert cookie is not None
    assert cookie.expires is not None
    assert 90 < cookie.expires - time.time() <= 100
    broken = SimpleCookie("a=1; max-age=soon")["a"]
    with pytest.raises(TypeError, match="soon"):
        jar.set("a", broken)


def test_an_unknown_property_of_a_cookie_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="colour"):
        create_cookie("a", "b", colour="red")


def test_merging_follows_requests() -> None:
    theirs = requests.cookies
    for merge, kind in ((merge_cookies, CookieJar), (theirs.merge_cookies, theirs.RequestsCookieJar)):
        jar: Any = kind()
        nothing: Any = {}
        jar.set("a", "1")
        merge(jar, {"a": "2", "b": "3"})
        assert jar.get_dict() == {"a": "1", "b": "3"}
        merge(jar, cookiejar_from_dict({"a": "4"}))
        assert jar.get_dict() == {"a": "4", "b": "3"}
        with pytest.raises(ValueError, match="You can only merge into CookieJar"):
            merge(nothing, {})
    plain = merge_cookies(cookiejar.CookieJar(), cookiejar_from_dict({"a": "1"}))
    assert dict_from_cookiejar(plain) == {"a": "1"}
    assert len(cookiejar_from_dict(None)) == 0


def test_only_cookies_with_a_domain_go_to_another_origin() -> None:
    jar = own_jar({"a": "1", "b": "2"})
    jar.set("d", "3", domain="other.example")
    assert elsewhere(jar, ["b"], False).get_dict() == {"a": "1", "d": "3"}
    assert elsewhere(jar, [], True).get_dict() == {"d": "3"}
    assert len(jar) == 3


# -- copies, pickles, threads ----------------------------------------------------------------------------------


def test_a_copy_and_a_pickle_are_independent() -> None:
    jar = filled(CookieJar)
    for twin in (jar.copy(), pickle.loads(pickle.dumps(jar))):
        assert isinstance(twin, CookieJar)
        assert sorted(twin.items()) == sorted(jar.items())
        next(iter(twin)).value = "changed"
        twin.set("new", "1")
        assert "new" not in jar
        assert "changed" not in jar.values()
        assert sent(twin, "http://two.example/") is not None


def test_a_jar_may_be_read_and_written_by_many_threads() -> None:
    jar = CookieJar()
    errors: list[BaseException] = []
    start = threading.Barrier(4)

    def work(number: int) -> None:
        try:
            start.wait()
            for turn in range(300):
                received(f"c{turn}=1; Path=/{number}", url=f"http://{turn % 7}.example/", jar=jar)
                received(f"c{turn}=1; Path=/{number}; max-age=0", url=f"http://{turn % 7}.example/", jar=jar)
                sent(jar, f"http://{turn % 7}.example/")
                list(jar)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test has to see it
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert jar._cookies == {}


def test_nothing_imports_http_cookiejar_before_there_is_a_cookie() -> None:
    code = (
        "import sys; from holdfast.message import request, response; "
        "request.Request('GET', 'http://h/').prepare().copy(); "
        "sys.exit('http.cookiejar' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_response_without_cookies_changes_nothing() -> None:
    jar = CookieJar()
    extract_cookies(jar, Url.parse("http://h.example/"), [(b"X-Cookies", b"a=1")])
    assert len(jar) == 0
    assert parse_set_cookie(b"", Url.parse("http://h.example/"), 0) is None

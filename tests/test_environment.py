"""What the variables say, which proxy that means, and where this differs from the installed requests, by name."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import requests.utils

from holdfast import environment
from holdfast.auth.netrc import netrc_auth, netrc_stamp
from holdfast.environment import Environment, NoProxy, choose_proxy, select_proxy, snapshot
from holdfast.exceptions import InvalidRequest
from holdfast.message.url import Url
from tests.conftest import FakeClock

PROXY = "http://proxy.example:3128"
OTHER = "http://other.example:3128"


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of the variables is set, whatever the machine has."""
    for name in environment._NAMES:
        monkeypatch.delenv(name, raising=False)


def url(text: str) -> Url:
    return Url.parse(text if "://" in text else f"http://{text}/")


# -- no_proxy ----------------------------------------------------------------------------------------------------------

# (no_proxy, host[:port] or URL, whether it is covered), and requests agrees
AGREED = [
    ("example.com", "example.com", True),
    ("example.com", "www.example.com", True),
    ("example.com", "a.b.example.com", True),
    (".example.com", "example.com", True),
    (".example.com", "www.example.com", True),
    ("example.com", "badexample.com", False),
    ("example.com", "example.com.evil.test", False),
    ("example.com", "example.co", False),
    ("www.example.com", "example.com", False),
    ("EXAMPLE.com", "example.com", True),
    ("example.com", "EXAMPLE.COM", True),
    ("one.test, example.com ,two.test", "example.com", True),
    ("one.test,,example.com,", "example.com", True),
    ("one.test,two.test", "example.com", False),
    ("", "example.com", False),
    (" ", "example.com", False),
    (",", "example.com", False),
    ("*", "example.com", True),
    ("*", "192.0.2.7", True),
    ("*", "http://[::1]/", True),
    ("localhost", "localhost", True),
    ("localhost", "127.0.0.1", False),
    ("127.0.0.1", "localhost", False),
    ("127.0.0.1", "127.0.0.1", True),
    ("127.0.0.1", "127.0.0.2", False),
    ("127.0.0.1", "127.0.0.1:8080", True),
    ("192.0.2.0/24", "192.0.2.7", True),
    ("192.0.2.0/24", "192.0.3.7", False),
    ("192.0.2.128/25", "192.0.2.127", False),
    ("192.0.2.128/25", "192.0.2.128", True),
    ("192.0.2.7/32", "192.0.2.7", True),
    ("192.0.2.9/24", "192.0.2.7", True),
    ("10.0.0.0/8", "10.255.255.255", True),
    ("10.0.0.0/33", "10.0.0.1", False),
    ("10.0.0.0/x", "10.0.0.1", False),
    ("10.0.0.0/8", "ten.example", False),
    ("127.0.0.0/8", "127.1", True),
    ("127.0.0.0/8", "0x7f.1", True),
    ("127.0.0.0/8", "2130706433", True),
    ("127.0.0.0/8", "017700000001", True),
    ("example.com:8080", "example.com:8080", True),
    ("example.com:8080", "www.example.com:8080", True),
    ("example.com:8080", "example.com:8081", False),
    ("example.com:8080", "example.com", False),
    ("example.com:8080", "badexample.com:8080", False),
    ("example.com", "example.com:8080", True),
    ("::1", "http://[::1]/", True),
    ("::1", "http://[::1]:8080/", True),
    ("::1", "http://[::2]/", False),
    ("example.com", "http://[::1]/", False),
    ("http://example.com", "example.com", False),
    ("example.com/path", "example.com", False),
    ("exam*.com", "example.com", False),
    ("1.example.com", "1.example.com", True),
    ("com", "example.com", True),
    ("my_host", "my_host", True),
]

# (no_proxy, host[:port] or URL, ours, requests', why)
EXCUSED = [
    ("one.test example.com", "example.com", True, False, "white space separates, as for curl and Go"),
    ("one.test,*", "example.com", True, False, "* counts wherever it stands, as for Go"),
    ("*.example.com", "www.example.com", True, False, "*. is how people write a suffix, and Go reads it"),
    ("example.com:80", "example.com", True, False, "the port in use counts, written or not"),
    ("example.com:443", "https://example.com/", True, False, "the port in use counts, written or not"),
    ("EXAMPLE.com:8080", "example.com:8080", True, False, "case does not matter, with a port either"),
    ("example.com", "example.com.", True, False, "a final dot changes nothing about where it leads"),
    ("example.com.", "example.com", True, False, "a final dot changes nothing about where it leads"),
    ("127.0.0.1:8080", "127.0.0.1:8080", True, False, "an address may have a port like a name"),
    ("127.0.0.1", "127.1", True, False, "the same address, written otherwise"),
    ("0.0.0.0/0", "192.0.2.7", True, False, "every IPv4 address is a network too"),
    ("10.0.0.0/255.0.0.0", "10.1.2.3", True, False, "a mask in the old notation"),
    (".1", "192.0.2.1", False, True, "an address has no suffix"),
    ("2.1", "192.0.2.1", False, True, "an address has no suffix"),
    ("[::1]", "http://[::1]/", True, False, "brackets are how an address is written in URLs"),
    ("[::1]:8080", "http://[::1]:8080/", True, False, "an address may have a port like a name"),
    ("0:0::1", "http://[::1]/", True, False, "the same address, written otherwise"),
    ("2001:db8::/32", "http://[2001:db8::7]/", True, False, "networks of IPv6"),
    ("fe80::1", "http://[fe80::1%25eth0]/", True, False, "a zone says which link, not which address"),
    ("127.0.0.0/8", "http://[::ffff:127.0.0.1]/", True, False, "it leads to that IPv4 address"),
]


def theirs(no_proxy: str, text: str) -> bool:
    return bool(requests.utils.should_bypass_proxies(text if "://" in text else f"http://{text}/", no_proxy=no_proxy))


@pytest.mark.parametrize(("no_proxy", "text", "covered"), AGREED)
def test_no_proxy_covers_what_it_covers_for_requests(no_proxy: str, text: str, covered: bool) -> None:
    assert NoProxy(no_proxy).covers(url(text)) is covered
    assert theirs(no_proxy, text) is covered


@pytest.mark.parametrize(("no_proxy", "text", "ours", "requests_says", "why"), EXCUSED)
def test_no_proxy_differs_from_requests_in_these_named_cases_only(
    no_proxy: str, text: str, ours: bool, requests_says: bool, why: str
) -> None:
    assert NoProxy(no_proxy).covers(url(text)) is ours, why
    assert theirs(no_proxy, text) is requests_says


@pytest.mark.parametrize(
    ("no_proxy", "text", "covered"),
    [
        ("[::1]:8080", "http://[::1]:8081/", False),
        ("[2001:db8::]/32", "http://[2001:db8:1::]/", True),
        ("::ffff:127.0.0.1", "127.0.0.1", True),
        (".example.com", "http://[::1%25.example.com]/", False),  # CVE-2025-22870
        ("example.com:http", "example.com", False),
        ("example.com:99999999999999999999", "example.com", False),
        ("1.2.3.4.5", "1.2.3.4.5", True),  # no address, so a name
        ("256.0.0.1", "256.0.0.1", True),
        ("1.2.3.256", "1.2.3.256", True),
        ("10.0.0.0/8:80", "10.0.0.1", True),
        ("[", "example.com", False),
        ("]", "example.com", False),
        (":", "example.com", False),
        (":80", "example.com", False),
        ("/", "example.com", False),
        ("/8", "10.0.0.1", False),
        ("::/0", "10.0.0.1", False),
        ("fe80::1%eth0", "http://[fe80::1]/", True),
        ("1_0.0.0.1", "10.0.0.1", False),
        ("10.0.0.0x1", "10.0.0.1", True),
        ("*:80", "example.com", True),
        ("*:80", "https://example.com/", False),
    ],
)
def test_no_proxy_by_itself(no_proxy: str, text: str, covered: bool) -> None:
    assert NoProxy(no_proxy).covers(url(text)) is covered


# -- proxies= ----------------------------------------------------------------------------------------------------------

MAPPINGS: list[tuple[Mapping[str, Any], str, str | None]] = [
    ({"http": PROXY}, "http://a.test/", PROXY),
    ({"http": PROXY}, "https://a.test/", None),
    ({"https": PROXY}, "https://a.test/", PROXY),
    ({"all": PROXY}, "http://a.test/", PROXY),
    ({"all": PROXY}, "https://a.test/", PROXY),
    ({"http": PROXY, "all": OTHER}, "http://a.test/", PROXY),
    ({"http": PROXY, "all": OTHER}, "https://a.test/", OTHER),
    ({"http://a.test": PROXY, "http": OTHER}, "http://a.test/", PROXY),
    ({"http://a.test": PROXY, "http": OTHER}, "http://b.test/", OTHER),
    ({"http://a.test": PROXY}, "http://www.a.test/", None),
    ({"http://a.test": PROXY}, "http://a.test:8080/", PROXY),
    ({"http://a.test": PROXY}, "http://A.TEST/", PROXY),
    ({"http://A.test": PROXY}, "http://a.test/", None),
    ({"https://a.test": PROXY}, "http://a.test/", None),
    ({"all://a.test": PROXY, "all": OTHER}, "http://a.test/", PROXY),
    ({"all://a.test": PROXY, "http": OTHER}, "http://a.test/", OTHER),
    ({"http://::1": PROXY}, "http://[::1]/", PROXY),
    ({}, "http://a.test/", None),
    ({"ftp": PROXY}, "http://a.test/", None),
]


@pytest.mark.parametrize(("proxies", "text", "expected"), MAPPINGS)
def test_the_keys_of_proxies_are_tried_in_requests_order(
    proxies: Mapping[str, Any], text: str, expected: str | None
) -> None:
    assert select_proxy(url(text), proxies) == expected
    assert requests.utils.select_proxy(url(text).text, dict(proxies)) == expected


@pytest.mark.parametrize(
    ("call", "client", "expected"),
    [
        ({"http": PROXY}, {}, PROXY),
        ({}, {"http": PROXY}, PROXY),
        (None, None, None),
        ({"http": PROXY}, {"http": OTHER}, PROXY),
        ({"https": PROXY}, {"http": OTHER}, OTHER),
        ({"http": PROXY}, {"http://a.test": OTHER}, OTHER),
        ({"http": None}, {"http": OTHER}, None),
        ({"http": ""}, {"http": OTHER, "all": OTHER}, None),
        ({"http": None}, {"all": OTHER}, OTHER),
    ],
)
def test_a_call_s_proxies_go_over_the_client_s_key_by_key_as_in_requests(
    call: Any, client: Any, expected: str | None
) -> None:
    assert choose_proxy(url("a.test"), call, client, trust_env=False) == expected

    session = requests.Session()
    session.trust_env = False
    session.proxies = dict(client or {})
    merged = session.merge_environment_settings("http://a.test/", dict(call or {}), None, None, None)["proxies"]
    assert (requests.utils.select_proxy("http://a.test/", merged) or None) == expected


def test_neither_mapping_is_changed_by_choosing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", OTHER)
    call, client = {"https": PROXY}, {"all://b.test": PROXY}
    choose_proxy(url("a.test"), call, client)

    assert (call, client) == ({"https": PROXY}, {"all://b.test": PROXY})


@pytest.mark.parametrize("wrong", [PROXY, [("http", PROXY)], 3128])
def test_proxies_that_are_no_mapping_are_refused(wrong: Any) -> None:
    with pytest.raises(InvalidRequest, match="proxies must be a dict"):
        choose_proxy(url("a.test"), wrong)


# -- variables ---------------------------------------------------------------------------------------------------------

VARIABLES: list[tuple[dict[str, str], str, str | None]] = [
    ({}, "http://a.test/", None),
    ({"http_proxy": PROXY}, "http://a.test/", PROXY),
    ({"HTTP_PROXY": PROXY}, "http://a.test/", PROXY),
    ({"http_proxy": PROXY, "HTTP_PROXY": OTHER}, "http://a.test/", PROXY),
    ({"http_proxy": PROXY}, "https://a.test/", None),
    ({"HTTPS_PROXY": PROXY}, "https://a.test/", PROXY),
    ({"https_proxy": PROXY, "HTTPS_PROXY": OTHER}, "https://a.test/", PROXY),
    ({"ALL_PROXY": PROXY}, "http://a.test/", PROXY),
    ({"all_proxy": PROXY}, "https://a.test/", PROXY),
    ({"ALL_PROXY": OTHER, "HTTP_PROXY": PROXY}, "http://a.test/", PROXY),
    ({"http_proxy": "", "HTTP_PROXY": PROXY}, "http://a.test/", None),
    ({"HTTP_PROXY": "", "ALL_PROXY": PROXY}, "http://a.test/", PROXY),
    ({"HTTP_PROXY": PROXY, "REQUEST_METHOD": "GET"}, "http://a.test/", None),
    ({"HTTP_PROXY": PROXY, "REQUEST_METHOD": ""}, "http://a.test/", None),
    ({"http_proxy": PROXY, "REQUEST_METHOD": "GET"}, "http://a.test/", PROXY),
    ({"HTTPS_PROXY": PROXY, "REQUEST_METHOD": "GET"}, "https://a.test/", PROXY),
    ({"HTTP_PROXY": PROXY, "ALL_PROXY": OTHER, "REQUEST_METHOD": "GET"}, "http://a.test/", OTHER),
    ({"HTTP_PROXY": PROXY, "NO_PROXY": "a.test"}, "http://a.test/", None),
    ({"HTTP_PROXY": PROXY, "NO_PROXY": "a.test"}, "http://b.test/", PROXY),
    ({"HTTP_PROXY": PROXY, "no_proxy": "a.test", "NO_PROXY": "b.test"}, "http://b.test/", PROXY),
    ({"HTTP_PROXY": PROXY, "no_proxy": "", "NO_PROXY": "b.test"}, "http://b.test/", None),
    ({"ALL_PROXY": "socks5://proxy:1080"}, "https://b.test/", "socks5://proxy:1080"),
    ({"HTTP_PROXY": PROXY, "NO_PROXY": "*"}, "http://a.test/", None),
]


@pytest.mark.parametrize(("variables", "text", "expected"), VARIABLES)
def test_the_variables_name_the_proxy_they_name_for_requests(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], text: str, expected: str | None
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert choose_proxy(url(text)) == expected
    assert requests.utils.select_proxy(text, requests.utils.get_environ_proxies(text)) == expected
    assert choose_proxy(url(text), trust_env=False) is None


@pytest.mark.parametrize(
    ("call", "client", "expected"),
    [
        ({}, {}, OTHER),
        ({"http": PROXY}, {}, PROXY),
        ({}, {"http": PROXY}, OTHER),
        ({}, {"all": PROXY}, OTHER),
        ({}, {"http://a.test": PROXY}, PROXY),
        ({"all": PROXY}, {}, OTHER),
        ({"https": PROXY}, {"https": PROXY}, OTHER),
        ({"http": None}, {}, None),
        ({"http": None}, {"http": PROXY}, None),
        ({"http": None}, {"all": PROXY}, PROXY),
        ({"http": ""}, {}, None),
        ({"http": ""}, {"all": PROXY}, None),
        ({}, {"http": None}, OTHER),
        ({"no_proxy": "a.test"}, {}, None),
        ({"no_proxy": "a.test"}, {"http": PROXY}, PROXY),
        ({"no_proxy": "b.test"}, {}, OTHER),
        ({"no_proxy": "a.test", "http": PROXY}, {}, PROXY),
    ],
)
def test_the_variables_stand_between_the_call_s_proxies_and_the_client_s_as_in_requests(
    monkeypatch: pytest.MonkeyPatch, call: Any, client: Any, expected: str | None
) -> None:
    monkeypatch.setenv("HTTP_PROXY", OTHER)

    assert choose_proxy(url("a.test"), call, client) == expected
    assert choose_proxy(url("a.test"), call, client, trust_env=False) != OTHER

    session = requests.Session()
    session.proxies = dict(client)
    merged = session.merge_environment_settings("http://a.test/", dict(call), None, None, None)["proxies"]
    assert (requests.utils.select_proxy("http://a.test/", merged) or None) == expected


def test_a_client_s_no_proxy_stands_in_for_the_variable_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", OTHER)

    assert choose_proxy(url("a.test"), None, {"no_proxy": "a.test"}) is None


@pytest.mark.parametrize(
    ("name", "question"),
    [
        ("http_proxy", environment.may_proxy_http),
        ("HTTP_PROXY", environment.may_proxy_http),
        ("all_proxy", environment.may_proxy_http),
        ("ALL_PROXY", environment.may_proxy_http),
        ("https_proxy", environment.may_proxy_https),
        ("HTTPS_PROXY", environment.may_proxy_https),
        ("all_proxy", environment.may_proxy_https),
        ("ALL_PROXY", environment.may_proxy_https),
        ("REQUESTS_CA_BUNDLE", environment.may_name_authorities),
        ("CURL_CA_BUNDLE", environment.may_name_authorities),
        ("SSL_CERT_FILE", environment.may_name_authorities),
        ("SSL_CERT_DIR", environment.may_name_authorities),
    ],
)
def test_a_variable_that_is_set_is_seen_at_once_and_one_that_is_gone_is_gone(
    monkeypatch: pytest.MonkeyPatch, name: str, question: Callable[[], bool]
) -> None:
    assert not question()
    monkeypatch.setenv(name, PROXY)
    assert question()
    monkeypatch.delenv(name)
    assert not question()


def test_a_snapshot_is_kept_until_a_variable_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", PROXY)
    first = snapshot()
    monkeypatch.setenv("SOMETHING_ELSE", "1")
    assert snapshot() is first

    monkeypatch.setenv("NO_PROXY", "a.test")
    assert snapshot() is not first
    assert (first.proxies_for(url("a.test")), snapshot().proxies_for(url("a.test"))) == ({"http": PROXY}, {})


def test_a_snapshot_remembers_a_bounded_number_of_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "MAX_REMEMBERED", 3)
    said = Environment({"HTTP_PROXY": PROXY, "NO_PROXY": "h7"})
    found = [said.proxies_for(url(f"h{number}")) for number in (*range(10), *range(10))]

    assert found == [{} if number == 7 else {"http": PROXY} for number in (*range(10), *range(10))]
    assert len(said._found) <= 3


def test_the_repr_of_a_snapshot_shows_no_password() -> None:
    assert "secret" not in repr(Environment({"HTTP_PROXY": "http://user:secret@proxy"}))


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, None),
        ({"SSL_CERT_DIR": "/d"}, ("SSL_CERT_DIR", ("/d",))),
        ({"SSL_CERT_DIR": os.pathsep.join(["/d", "", "/e"])}, ("SSL_CERT_DIR", ("/d", "/e"))),
        ({"SSL_CERT_DIR": os.pathsep}, None),
        ({"SSL_CERT_FILE": os.pathsep.join("ab")}, ("SSL_CERT_FILE", (os.pathsep.join("ab"),))),
        ({"SSL_CERT_DIR": "/d", "SSL_CERT_FILE": "/c"}, ("SSL_CERT_FILE and SSL_CERT_DIR", ("/c", "/d"))),
        ({"SSL_CERT_FILE": "/c", "SSL_CERT_DIR": "/d", "CURL_CA_BUNDLE": "/b"}, ("CURL_CA_BUNDLE", ("/b",))),
        ({"CURL_CA_BUNDLE": "/b", "REQUESTS_CA_BUNDLE": "/a"}, ("REQUESTS_CA_BUNDLE", ("/a",))),
        ({"CURL_CA_BUNDLE": "/b", "REQUESTS_CA_BUNDLE": ""}, ("CURL_CA_BUNDLE", ("/b",))),
    ],
)
def test_the_first_variable_that_names_authorities_counts(variables: dict[str, str], expected: Any) -> None:
    assert Environment(variables).authorities == expected


def test_where_names_have_one_case_a_cgi_program_trusts_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_ONE_CASE", True)  # what Windows is like: both names find the one value
    both = {"http_proxy": PROXY, "HTTP_PROXY": PROXY}

    assert Environment(both).proxies == {"http": PROXY}
    assert Environment({**both, "REQUEST_METHOD": "GET"}).proxies == {}


# -- netrc -------------------------------------------------------------------------------------------------------------


def test_a_watch_looks_once_a_second_and_when_its_variable_changes(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = itertools.count(1)
    seen = environment.watch(lambda: next(looks), "A_VARIABLE", clock)

    assert [seen(), seen()] == [1, 1]
    clock.advance(0.9)
    assert seen() == 1
    clock.advance(0.2)
    assert [seen(), seen()] == [2, 2]
    monkeypatch.setenv("A_VARIABLE", "x")
    assert [seen(), seen()] == [3, 3]
    monkeypatch.delenv("A_VARIABLE")
    assert seen() == 4


def test_netrc_s_stamp_changes_with_the_file(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "netrc"
    monkeypatch.setenv("NETRC", str(path))
    assert netrc_stamp() is None

    path.write_text("machine a.test login me password one")
    first = netrc_stamp()
    assert first == netrc_stamp()
    assert netrc_auth(url("a.test")) == ("me", "one")
    path.write_text("machine a.test login me password three")
    assert netrc_stamp() not in (None, first)
    assert netrc_auth(url("a.test")) == ("me", "three")


WITHOUT_THE_PRIVATE_DICTIONARY = """
import os
os.environ = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
from holdfast import environment
from holdfast.message.url import Url
assert not environment.may_proxy_http()
os.environ["HTTP_PROXY"] = "http://proxy.example"
assert environment.may_proxy_http()
assert environment.choose_proxy(Url.parse("http://a.test/")) == "http://proxy.example"
"""


def test_where_os_environ_has_no_private_dictionary_it_is_asked_itself() -> None:
    subprocess.run([sys.executable, "-c", WITHOUT_THE_PRIVATE_DICTIONARY], check=True, timeout=30)

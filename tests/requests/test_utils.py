"""``utils`` and its like give what requests' own give: both are called with the same arguments."""

from __future__ import annotations

import io
import os
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests as theirs

from holdfast import requests as ours
from holdfast.exceptions import InvalidHeader, UnrewindableBodyError
from holdfast.requests._internal_utils import to_native_string, unicode_is_ascii

URLS = ["http://x.example/a b?c=%7e#f", "//x.example/p", "x.example:80/p", "http://u:p%40@x.example:1/", "http://u@x.example", "/p"]
ODD = ["%7eab%zz%", "%C3%A4", "a%2", "100%", "%g1"]


class Named:
    """An object with a name."""

    def __init__(self, name: Any) -> None:
        self.name = name


class Sized:
    """A body that says how long it is, and has gone on by three."""

    len = 10

    def tell(self) -> int:
        return 3


class Pipe:
    """A body that nobody knows the length of."""

    def tell(self) -> int:
        raise OSError

    def seek(self, *_: Any) -> None:
        raise OSError


class Unseekable(Pipe):
    """A body that tells where it is, and goes nowhere."""

    def tell(self) -> int:
        return 1


TYPES = ("text/html", "text/html; charset='utf-8'", "application/json", "image/png", "")
META = '<?xml version="1.0" encoding="XML"?><meta charset="H5"><meta content="text/html;charset=H4">'
UTFS = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")
JSONS = (b"{}", b"\xef\xbb\xbf{}", b"\0\0\0\0", b"a\0b", *("{}".encode(name) for name in UTFS))
CIDRS = ("192.168.1.0/24", "8.8.8.8", "192.168.1.0/a", "192.168.1.0/128", "192.168.1.0/-1", "1.1.1.999/24", "a/8/9")
BODIES = ("ä", b"xy", [1], io.BytesIO(b"abc"), io.StringIO("abc"), Sized(), Pipe(), Unseekable(), 5)
FIELDS = (("a", "b"), ("a", "b\n"), (" a", "b"), (b"a", b"b"), (b"a\r", b"b"), ("a", 5))

CALLS: dict[str, list[tuple[Any, ...]]] = {
    "from_key_val_list": [(None,), ([("a", 1)],), ({"a": 1},), ("text",), (5,)],
    "to_key_val_list": [(None,), ([("a", 1)],), ({"a": 1},), ("text",), (b"x",)],
    "dict_to_sequence": [([1],)],
    "guess_filename": [(Named("/a/b.txt"),), (Named("<stdin>"),), (Named(5),), (Named(b"/a/c"),), (5,)],
    "parse_list_header": [('a, "b, c", d',), ("",)],
    "parse_dict_header": [('a=b, c="d e", f',), ("",)],
    "unquote_header_value": [('"a\\"b"',), ("a",), ("",), ('"\\\\host\\share"', True), ('"\\\\x"',)],
    "get_encoding_from_headers": [({"content-type": value},) for value in TYPES],
    "_parse_content_type_header": [("text/html; charset=utf-8; Boundary = 'x'; flag",), ("a",)],
    "get_encodings_from_content": [(META,)],
    "parse_header_links": [('<http://a>; rel=next; type="x",<http://b>;rel=b',), ("",), ("<c>",), ("<d>; x=1=2; y=3",)],
    "guess_json_utf": [(data,) for data in JSONS],
    "unquote_unreserved": [(text,) for text in (*URLS, "%7eab", "%C3%A4", "a%2", "100%")],
    "requote_uri": [(text,) for text in (*URLS, *ODD)],
    "prepend_scheme_if_needed": [("x.example/p", "http"), ("https://x.example", "http"), ("//x.example/p", "http")],
    "get_auth_from_url": [(url,) for url in URLS],
    "urldefragauth": [(url,) for url in ("http://u:p@x.example/p?q#f", "//u:p@x.example/p", "x.example/p#f")],
    "address_in_network": [("192.168.1.1", "192.168.1.0/24"), ("172.16.0.1", "192.168.1.0/24")],
    "dotted_netmask": [(8,), (24,), (25,), (32,)],
    "is_ipv4_address": [("8.8.8.8",), ("8.8.8.8.8",), ("localhost",)],
    "is_valid_cidr": [(text,) for text in CIDRS],
    "select_proxy": [
        (url, proxies)
        for url in ("http://a.b/", "https://a.b/", "file:///x")
        for proxies in (None, {"http": "1", "https://a.b": "2", "all": "3"}, {"all://a.b": "4"}, {"https": None, "all": "5"})
    ],
    "super_len": [(body,) for body in BODIES],
    "check_header_validity": [(field,) for field in FIELDS],
}  # fmt: skip


def outcome(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """What a call gives, or the name of the class of what it raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return function(*arguments)
        except Exception as error:  # noqa: BLE001 - it is what is compared
            return type(error).__name__


@pytest.mark.parametrize("name", CALLS)
def test_functions_give_what_requests_functions_give(name: str) -> None:
    for arguments in CALLS[name]:
        assert outcome(getattr(ours.utils, name), arguments) == outcome(getattr(theirs.utils, name), arguments), arguments


@pytest.mark.parametrize("no_proxy", ["", "x.example, 192.168.0.0/16,[::1]", "*", "x.example:8080", ".x.example"])
def test_proxies_of_the_environment_are_chosen_as_in_requests(no_proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://proxy.example:1")
    monkeypatch.setenv("no_proxy", no_proxy)
    for url in (
        "http://x.example/",
        "http://a.x.example/",
        "http://x.example:8080/",
        "http://192.168.3.4/",
        "http://10.0.0.1",
        "file:///x",
    ):
        for given in (None, "10.0.0.1"):
            for name in ("should_bypass_proxies", "get_environ_proxies"):
                assert getattr(ours.utils, name)(url, given) == getattr(theirs.utils, name)(url, given), (name, url, given)
        if url.startswith("http"):
            asked = [module.Request("GET", url).prepare() for module in (ours, theirs)]
            chosen = [module.utils.resolve_proxies(one, {"https": "x"}) for module, one in zip((ours, theirs), asked, strict=True)]
            assert chosen[0] == chosen[1]


def test_variables_are_set_for_the_time_of_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TEST", raising=False)
    with ours.utils.set_environ("HF_TEST", "1"):
        assert os.environ["HF_TEST"] == "1"
        with ours.utils.set_environ("HF_TEST", "2"), ours.utils.set_environ("HF_TEST", None):
            assert os.environ["HF_TEST"] == "2"
        assert os.environ["HF_TEST"] == "1"
    assert "HF_TEST" not in os.environ


def test_netrc_is_read_as_in_requests(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "netrc"
    file.write_text("machine x.example login me password secret\nmachine y.example account a password p\n")
    for place in (str(file), str(tmp_path / "none")):
        monkeypatch.setenv("NETRC", place)
        for url in ("http://x.example/", b"http://y.example", "http://z.example/", "/path"):
            assert outcome(ours.utils.get_netrc_auth, (url,)) == outcome(theirs.utils.get_netrc_auth, (url,))
    file.write_text("nonsense")
    monkeypatch.setenv("NETRC", str(file))
    assert ours.utils.get_netrc_auth("http://x.example/") is None
    assert outcome(ours.utils.get_netrc_auth, ("http://x.example/", True)) == "NetrcParseError"


def test_a_path_into_a_zip_archive_becomes_a_file(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("inner/ca.pem", "content")
    extract = ours.utils.extract_zipped_paths
    assert [extract(path) for path in (str(archive), "/no/where", f"{archive}/none", str(tmp_path / "x" / "y"))] == [
        str(archive), "/no/where", f"{archive}/none", str(tmp_path / "x" / "y"),
    ]  # fmt: skip
    found = extract(f"{archive}/inner/ca.pem")
    assert Path(found).read_text() == "content"
    os.remove(found)


def test_a_file_is_written_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "f"
    with ours.utils.atomic_open(str(target)) as file:
        file.write(b"whole")
    assert target.read_bytes() == b"whole"
    with pytest.raises(ZeroDivisionError), ours.utils.atomic_open(str(target)) as file:
        file.write(bytes([1 // 0]))
    assert [path.name for path in tmp_path.iterdir()] == ["f"]
    assert target.read_bytes() == b"whole"


def test_a_file_opened_as_text_is_counted_in_bytes_with_a_warning(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("ä", encoding="utf-8")
    with open(tmp_path / "f", encoding="utf-8") as file, pytest.warns(ours.exceptions.FileModeWarning):
        assert ours.utils.super_len(file) == 2
    with open(tmp_path / "f", "rb") as binary:
        binary.read(1)
        assert ours.utils.super_len(binary) == 1


def test_a_body_is_rewound_or_says_that_it_cannot_be() -> None:
    request = ours.Request("POST", "http://x.example/", data=io.BytesIO(b"abc")).prepare()
    request.body.read()
    ours.utils.rewind_body(request)
    assert request.body.read() == b"abc"
    assert request.copy()._body_position == 0
    request = ours.Request("POST", "http://x.example/", data=iter([b"x"])).prepare()
    request._shown = Pipe()
    request._body_position = 0
    with pytest.raises(UnrewindableBodyError, match="error occurred"):
        ours.utils.rewind_body(request)
    request.body = b"bytes"
    with pytest.raises(UnrewindableBodyError, match="Unable"):
        ours.utils.rewind_body(request)


def test_text_comes_in_pieces_and_whole() -> None:
    class Answer:
        encoding: str | None = "utf-8"
        headers = {"content-type": "text/plain; charset=utf-8"}  # noqa: RUF012
        content: Any = "ä".encode()

    answer = Answer()
    for module in (ours, theirs):
        assert "".join(module.utils.stream_decode_response_unicode([b"\xc3", b"\xa4", b"\xc3"], answer)) == "ä\ufffd"
        assert list(module.utils.iter_slices("abc", 2)) == ["ab", "c"]
        assert list(module.utils.iter_slices("abc", None)) == ["abc"]
        with pytest.warns(DeprecationWarning, match="get_unicode"):
            assert module.utils.get_unicode_from_response(answer) == "ä"
    answer.content = b"\xff"
    with pytest.warns(DeprecationWarning, match="get_unicode"):
        assert ours.utils.get_unicode_from_response(answer) == "\ufffd"
    answer.content = 5
    with pytest.warns(DeprecationWarning, match="get_unicode"):
        assert ours.utils.get_unicode_from_response(answer) == 5
    answer.encoding = None
    assert list(ours.utils.stream_decode_response_unicode([b"x"], answer)) == [b"x"]


def test_small_helpers() -> None:
    assert (to_native_string("a"), to_native_string(b"a"), unicode_is_ascii("ä"), unicode_is_ascii("a")) == ("a", "a", False, True)
    assert ours.utils.default_user_agent("x").startswith("x/2.34.2 ")
    assert set(ours.utils.default_headers()) == set(theirs.utils.default_headers())
    assert ours.auth._basic_auth_str("u", "p") == theirs.auth._basic_auth_str("u", "p")
    assert ours.auth._basic_auth_str(1, 2) == "Basic MToy"
    with pytest.warns(DeprecationWarning, match="user name"):
        assert ours.Request("GET", "http://x.example/", auth=(1, "p")).prepare().headers["Authorization"] == "Basic MTpw"
    with pytest.raises(InvalidHeader, match="must be of type"):
        ours.utils.check_header_validity(("a", 5))
    for module in (ours, theirs):
        assert module.hooks.dispatch_hook("response", {"response": lambda data, **kw: data + kw["n"]}, 1, n=2) == 3
        assert module.hooks.dispatch_hook("response", {"response": [lambda data, **_: None]}, 1) == 1
        assert module.hooks.dispatch_hook("response", None, 1) == 1
        merge = module.sessions.merge_setting
        assert merge({"a": None, "b": 1}, {"a": 1, "c": 2}) == {"b": 1, "c": 2}
        assert (merge(None, 1), merge(2, None), merge(3, {})) == (1, 2, 3)
        hooks = module.sessions.merge_hooks
        assert (hooks({"response": [1]}, {"response": []}), hooks({"response": []}, {"response": [2]})) == (
            {"response": [1]},
            {"response": [2]},
        )
        assert hooks({"response": [1]}, {"response": [2]}) == {"response": [1]}
        with pytest.raises(AttributeError):
            module.compat.nothing  # noqa: B018 - asking is the test
        assert module.compat.is_urllib3_1 is False
        assert module.compat.chardet is not None


def test_urls_of_other_schemes_are_kept() -> None:
    url: Any = ours.models.any_url("odd+x://u:p@host:1/p?q#f")
    assert (url.scheme, url.host, url.port, url.path, url.query, url.fragment, url.username) == (
        "odd+x",
        "host",
        1,
        "/p",
        "q",
        "f",
        "u",
    )
    assert (url.safe_text, str(url.without_userinfo()), url.target) == ("odd+x://host:1/p?q#f", "odd+x://host:1/p?q#f", b"/p?q")
    assert str(url.with_params({"a": 1})) == "odd+x://u:p@host:1/p?q&a=1#f"
    assert url.with_params({}) is url
    assert str(url.with_fragment("g")).endswith("#g")
    assert url == ours.models.any_url(str(url))
    assert {url: 1}[ours.models.any_url(url)] == 1
    assert str(url.join("http://y.example/z")) == "http://y.example/z"
    assert ours.models.any_url("odd://host:port/").port == 0
    assert ours.models.any_url(b"file:///x").text == "file:///x"
    assert ours.models.any_url("mailto:someone").path == "someone"
    with pytest.raises(ours.exceptions.MissingSchema):
        ours.models.any_url("no scheme")

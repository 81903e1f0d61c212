"""netrc: whose password it gives, when it is read again, and what a broken file costs."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from holdfast.auth import netrc_auth
from holdfast.message.request import PreparedRequest, Request
from holdfast.message.url import Url
from holdfast.requests.utils import get_netrc_auth

URL = "http://a.example/dir/index.html?q=1"


def asked(method: str = "GET", url: str = URL, **kwargs: Any) -> PreparedRequest:
    return Request(method, url, **kwargs).prepare()


# -- netrc -----------------------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home directory."""
    monkeypatch.delenv("NETRC", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    return tmp_path


def found(url: str) -> tuple[str, str] | None:
    return netrc_auth(Url.parse(url))


ENTRIES = """
machine a.example login alice password s3cret
machine B.example login bob password hunter2
machine account.example account acc password p
machine ::1 login six password p
"""


# Before Python 3.11 the parser in the standard library refuses files with entries that have no login or password.
LENIENT = sys.version_info >= (3, 11)
if LENIENT:
    ENTRIES += "machine empty.example\n"
else:
    ENTRIES = ENTRIES.replace("account acc", "login acc")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://a.example/", ("alice", "s3cret")),
        ("https://A.EXAMPLE:8443/x", ("alice", "s3cret")),
        ("http://b.example/", ("bob", "hunter2")),
        ("http://account.example/", ("acc", "p")),
        ("http://[::1]/", ("six", "p")),
        ("http://empty.example/", None),
        ("http://sub.a.example/", None),
        ("http://example/", None),
        ("http://a.example.evil.example/", None),
        ("http://a.example:@evil.example/", None),
        ("http://a.example./", None),
        ("http://alice@a.example/", ("alice", "s3cret")),
        ("http://mallory@a.example/", None),
    ],
)
def test_netrc_knows_the_very_host_and_nobody_elses_password(
    home: Path, url: str, expected: tuple[str, str] | None
) -> None:
    (home / ".netrc").write_text(ENTRIES)
    assert found(url) == expected


@pytest.mark.parametrize(
    ("default", "expected"),
    [("default login d password p", ("d", "p"))]
    + ([("default", None), ("default password p", ("", "p"))] if LENIENT else []),
)
def test_netrcs_default_counts_for_hosts_it_does_not_name(
    home: Path, default: str, expected: tuple[str, str] | None
) -> None:
    (home / ".netrc").write_text(ENTRIES + default)
    assert found("http://other.example/") == expected
    assert found("http://a.example/") == ("alice", "s3cret")
    if LENIENT:
        assert found("http://empty.example/") is None


def test_the_environment_says_where_netrc_is(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert found("http://a.example/") is None
    (home / "_netrc").write_text("machine a.example login underscore password p")
    assert found("http://a.example/") == ("underscore", "p")
    (home / ".netrc").write_text("machine a.example login dot password p")
    assert found("http://a.example/") == ("dot", "p")
    (home / "other").write_text("machine a.example login other password p")
    monkeypatch.setenv("NETRC", "~/other")
    assert found("http://a.example/") == ("other", "p")
    monkeypatch.setenv("NETRC", str(home / "missing"))
    assert found("http://a.example/") is None
    monkeypatch.setenv("NETRC", "")
    assert found("http://a.example/") is None, "an empty name is no file: ~/.netrc is not asked"


def test_netrc_is_read_again_when_it_changed_and_only_then(home: Path) -> None:
    path = home / ".netrc"
    path.write_text("machine a.example login alice password one")
    assert found("http://a.example/") == ("alice", "one")
    before = path.stat()
    path.write_text("machine a.example login alice password two")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert found("http://a.example/") == ("alice", "one")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert found("http://a.example/") == ("alice", "two")
    path.unlink()
    assert found("http://a.example/") is None


@pytest.mark.parametrize("content", ["machine a.example login", "bogus s3cret", "machine a login b password \xff"])
def test_a_broken_netrc_is_complained_about_without_its_content(
    home: Path, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    (home / ".netrc").write_bytes(content.encode("latin-1"))
    with caplog.at_level(logging.WARNING):
        assert found("http://a.example/") is None
    if caplog.messages:
        assert "netrc is not used" in caplog.text
    assert "s3cret" not in caplog.text


def test_a_netrc_that_is_a_directory_is_as_good_as_none(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    (home / ".netrc").mkdir()
    assert found("http://a.example/") is None
    assert "Is a directory" in caplog.text


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_what_may_have_no_end_is_no_netrc_and_no_call_waits_for_it(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    os.mkfifo(home / ".netrc")
    assert found("http://a.example/") is None
    monkeypatch.setenv("NETRC", "/dev/zero")
    assert found("http://a.example/") is None
    assert get_netrc_auth("http://a.example/") is None
    assert caplog.messages == [
        f"netrc is not used: {home / '.netrc'}: not a regular file",
        "netrc is not used: /dev/zero: not a regular file",
    ]


def test_the_null_device_is_an_empty_netrc(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (home / ".netrc").write_text(ENTRIES)
    monkeypatch.setenv("NETRC", os.devnull)
    assert found("http://a.example/") is None
    assert not caplog.messages


def test_a_netrc_that_vanishes_while_it_is_looked_at_is_as_good_as_none(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os.path, "exists", lambda path: True)
    assert found("http://a.example/") is None

"""Basic and Bearer credentials: what is sent, what is refused, and what no repr shows."""

from __future__ import annotations

from typing import Any

import pytest
import requests
import requests.auth

from holdfast.auth import AuthBase, BearerAuth, HTTPBasicAuth, HTTPDigestAuth, HTTPProxyAuth
from holdfast.exceptions import InvalidRequest
from holdfast.message.request import PreparedRequest, Request

URL = "http://a.example/dir/index.html?q=1"


def asked(method: str = "GET", url: str = URL, **kwargs: Any) -> PreparedRequest:
    return Request(method, url, **kwargs).prepare()


# -- Basic and Bearer ------------------------------------------------------------------------------------------


BASIC = [("user", "pass"), ("üser", "pä:ss"), (b"b", b"\xff"), ("", ""), ("u", "")]


@pytest.mark.parametrize(("user", "password"), BASIC)
def test_basic_is_that_of_requests(user: Any, password: Any) -> None:
    theirs = requests.Request("GET", URL, auth=(user, password)).prepare().headers["Authorization"]
    assert asked(auth=HTTPBasicAuth(user, password)).headers.multi_items() == [("Authorization", theirs)]
    assert asked(auth=HTTPProxyAuth(user, password)).headers.multi_items() == [("Proxy-Authorization", theirs)]


@pytest.mark.parametrize("kind", [HTTPBasicAuth, HTTPProxyAuth])
def test_a_user_name_with_a_colon_or_a_newline_is_refused(kind: Any) -> None:
    for user, password in (("a:b", "c"), ("a\r\nX: y", "c"), ("a", "b\n")):
        with pytest.raises(InvalidRequest):
            asked(auth=kind(user, password))


def test_authentications_are_equal_by_their_credentials() -> None:
    assert HTTPBasicAuth("a", "b") == HTTPBasicAuth("a", "b")
    assert HTTPBasicAuth("a", "b") != HTTPBasicAuth("a", "c")
    assert HTTPDigestAuth("a", "b") == HTTPDigestAuth("a", "b")
    assert HTTPDigestAuth("a", "b") != 5


@pytest.mark.parametrize("auth", [HTTPBasicAuth("u", "s3cret"), HTTPDigestAuth("u", "s3cret"), BearerAuth("s3cret")])
def test_no_repr_shows_a_secret(auth: AuthBase) -> None:
    assert "s3cret" not in repr(auth)


def test_a_bearer_token_is_sent_as_it_is() -> None:
    assert asked(auth=BearerAuth("abc.def~+/==")).headers["Authorization"] == "Bearer abc.def~+/=="


@pytest.mark.parametrize("token", ["", "a b", "s3cret\n", "\x00", "é", b"bytes", None])
def test_what_is_no_token_is_refused_without_being_shown(token: Any) -> None:
    with pytest.raises(InvalidRequest, match="visible ASCII") as caught:
        BearerAuth(token)
    assert "s3cret" not in str(caught.value)


def test_the_base_class_authenticates_nobody() -> None:
    with pytest.raises(NotImplementedError):
        asked(auth=AuthBase())

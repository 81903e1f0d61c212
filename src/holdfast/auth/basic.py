"""Credentials that are sent as they are: Basic (RFC 7617), the same for a proxy, Bearer (RFC 6750)."""

from __future__ import annotations

import re

from ..exceptions import InvalidRequest
from ..message.request import PreparedRequest, basic_authorization

_VISIBLE = re.compile("[\x21-\x7e]+")


class AuthBase:
    """Base of authentications: something that is called with the request and returns it."""

    def __call__(self, r: PreparedRequest) -> PreparedRequest:
        """Add to the request what proves who is asking."""
        raise NotImplementedError("Auth hooks must be callable.")


class HTTPBasicAuth(AuthBase):
    """User name and password in an Authorization field (RFC 7617).

    Args:
        username: str (latin-1 if possible, else UTF-8) or bytes; without ``:``.
        password: str or bytes. A number is its digits, with a DeprecationWarning, as in requests.

    Raises:
        InvalidRequest: when applied to a request: a control character, or ``:`` in the user name.
    """

    def __init__(self, username: str | bytes | int, password: str | bytes | int) -> None:
        self.username = username
        self.password = password

    def __call__(self, r: PreparedRequest) -> PreparedRequest:
        """Set Authorization."""
        r.headers["Authorization"] = basic_authorization(self.username, self.password)
        return r

    def __eq__(self, other: object) -> bool:
        mine = (self.username, self.password)
        return mine == (getattr(other, "username", None), getattr(other, "password", None))

    __hash__ = None  # type: ignore[assignment]  # typeshed has a method there, and Python this


class HTTPProxyAuth(HTTPBasicAuth):
    """The same for a proxy: in a Proxy-Authorization field."""

    def __call__(self, r: PreparedRequest) -> PreparedRequest:
        """Set Proxy-Authorization."""
        r.headers["Proxy-Authorization"] = basic_authorization(self.username, self.password)
        return r


class BearerAuth(AuthBase):
    """A token in an Authorization field (RFC 6750).

    Args:
        token: visible ASCII characters, without space.

    Raises:
        InvalidRequest: it is empty or holds something else.
    """

    def __init__(self, token: str) -> None:
        if not isinstance(token, str) or not _VISIBLE.fullmatch(token):
            raise InvalidRequest(
                "a bearer token is a str of visible ASCII characters without spaces (RFC 6750 section 2.1); "
                "one read from a file keeps its newline: strip() it"
            )
        self._token = token

    def __call__(self, r: PreparedRequest) -> PreparedRequest:
        """Set Authorization."""
        r.headers["Authorization"] = f"Bearer {self._token}"
        return r

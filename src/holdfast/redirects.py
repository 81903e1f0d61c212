"""The request that follows a redirect, if any. Pure: no I/O, and neither argument is changed but for the body's rewind.

What may travel where:

==========================  ===============  =====================  ============================
\\                           same origin      http:80 → https:443    anywhere else
==========================  ===============  =====================  ============================
Authorization, X-Api-Key …  kept             kept                   dropped, every line of them
Cookie written by the user  dropped          dropped                dropped
``cookies=`` of this call   kept             kept                   only those that name a domain
cookies of the client       matched again    matched again          matched again
Host written by the user    kept             dropped                dropped
Digest answers              computed again   dropped                dropped; no challenge answered
==========================  ===============  =====================  ============================

A header that was dropped does not come back when the chain returns to the first origin. Nothing else of the last
exchange survives: a body that does not go along takes the fields that describe it with it.

Method, body and Cookie follow requests. 303, and 302 too, mean GET unless it was HEAD; 301 turns POST into GET and lets
every other method be, as in browsers (Fetch standard, HTTP-redirect fetch, step 12). A body goes along with 307 and 308
only: the PUT that a 301 answers is sent again *without* its body, where a browser would send it. A Cookie header the
user wrote is for the first request; what the jars have for the new URL takes its place.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from .exceptions import InvalidURL, RequestException
from .message.fields import SECRET_HEADERS, is_secret
from .message.headers import Headers
from .message.response import REDIRECT_STATUSES

if TYPE_CHECKING:
    from .message.cookies import CookieJar
    from .message.request import PreparedRequest
    from .message.response import Response
    from .message.url import Url

__all__ = ["SECRET_HEADERS", "leaves_origin", "next_request"]

# RFC 9110 section 15.4, step 4 of the redirection of requests: "Content-specific header fields", and what announces
# or frames content.
_BODY_HEADERS = (
    "Content-Length",
    "Transfer-Encoding",
    "Content-Type",
    "Content-Encoding",
    "Content-Language",
    "Content-Location",
    "Content-Range",
    "Content-MD5",
    "Digest",
    "Content-Digest",
    "Repr-Digest",
    "Last-Modified",
    "Trailer",
    "Expect",
)

# RFC 9110 section 8.6 wants "Content-Length: 0" only of methods that give content a meaning. The first request has it
# for these too, and one that lost its body has not: as requests sends them.
_CONTENT_HAS_NO_MEANING = frozenset(("DELETE", "OPTIONS", "TRACE"))


def next_request(
    request: PreparedRequest,
    response: Response,
    secret_headers: Collection[str] = SECRET_HEADERS,
    jar: CookieJar | None = None,
) -> PreparedRequest | None:
    """The request that follows ``response``, or None if it redirects nowhere.

    Args:
        request: the request that was answered.
        response: its answer.
        secret_headers: names, in any case, of the fields that must not leave the origin. As long as all of
            ``SECRET_HEADERS`` are among them, whatever is named alike (``fields.is_secret``) stays behind too; a set without
            one of these is taken as it is.
        jar: the call's cookies, those that the response set among them: the Cookie header is computed from it. None: those of
            the request's own jar.

    Raises:
        InvalidURL, InvalidSchema: the Location cannot be fetched, or there are two that differ.
        UnrewindableBodyError: the body would have to be sent again, but gives its bytes only once.
    """
    if response.status_code not in REDIRECT_STATUSES:
        return None
    try:
        url = _target(request.parsed, response)
        return None if url is None else follow(request, response, url, jar, secret_headers)
    except RequestException as error:
        error.request = request
        error.response = response
        raise


def leaves_origin(old: Url, new: Url) -> bool:
    """Whether what is secret to ``old`` must not be sent to ``new``.

    Scheme, host or port differ; only http:80 to https:443 of the same host counts as staying, as in requests: an
    eavesdropper there has seen it already.
    """
    if old.origin == new.origin:
        return False
    is_upgrade = old.host == new.host and old.origin[::2] == ("http", 80) and new.origin[::2] == ("https", 443)
    return not is_upgrade


def _target(url: Url, response: Response) -> Url | None:
    locations = {value.strip() for value in _locations(response.headers)}
    if len(locations) > 1:
        raise InvalidURL(f"the redirect has {len(locations)} different Location fields; which one counts is not known")
    location = locations.pop() if locations else ""
    if not location:
        return None
    return resolve(url, location)


def resolve(url: Url, location: str | bytes) -> Url:
    """The URL that a Location means, found at ``url``; ``location`` as in ``Url.join``."""
    target = url.join(location)
    # RFC 9110 section 10.2.2: a Location without a fragment inherits that of the URL it redirects.
    return target.with_fragment(url.fragment) if url.fragment and not target.fragment else target


def _locations(headers: Mapping[str, str]) -> list[str]:
    # A hook may have put another mapping in the place of the response's Headers.
    return headers.get_list("Location") if isinstance(headers, Headers) else [headers["location"]]


def follow(
    request: PreparedRequest, response: Response, url: Url, jar: CookieJar | None, secret_headers: Collection[str]
) -> PreparedRequest:
    """The request that follows ``response`` to ``url``. Arguments and errors as in ``next_request``."""
    following = request.copy()
    if jar is not None:
        following.jar = jar
    following.parsed = url
    _choose_method(following, response.status_code)
    _choose_body(following, response.status_code)
    if url.origin != request.parsed.origin and "Host" in following.headers:
        del following.headers["Host"]
    leaves = leaves_origin(request.parsed, url)
    if leaves:
        _drop_secrets(following, secret_headers)
    _keep_cookies(following, response, leaves)
    _sign_again(following)
    return following


def _choose_method(following: PreparedRequest, status: int) -> None:
    method = following.method
    if (status in (302, 303) and method != "HEAD") or (status == 301 and method == "POST"):
        following.method = "GET"


def _choose_body(following: PreparedRequest, status: int) -> None:
    if status not in (307, 308):
        _drop(following, _BODY_HEADERS)
        following.set_body(None)
        if following.method in _CONTENT_HAS_NO_MEANING:
            following.headers["Content-Length"] = None
    else:
        following.rewind()


def _drop(following: PreparedRequest, names: Collection[str]) -> None:
    for name in names:
        following.headers[name] = None


def _drop_secrets(following: PreparedRequest, secret_headers: Collection[str]) -> None:
    names = {name.lower() for name in secret_headers}
    by_rule = names >= SECRET_HEADERS  # a set of the user's own means just these names
    for name in list(following.headers):
        if name.lower() in names or (by_rule and is_secret(name)):
            following.headers[name] = None


def _keep_cookies(following: PreparedRequest, response: Response, leaves: bool) -> None:
    following.headers["Cookie"] = None
    if following.cookies is not None:
        from .message.cookies import elsewhere

        following.cookies = elsewhere(following.cookies, response.cookies.keys(), leaves)
    following.refresh_cookies()


def _sign_again(following: PreparedRequest) -> None:
    if following.signer is None:
        return
    if following.parsed.origin == following.auth_origin:
        following.signer(following)
    elif "Authorization" in following.headers:
        # What a signer computed is bound to a URL of its own origin, so even the upgrade to https does not keep it.
        del following.headers["Authorization"]

"""How a Session follows redirects: requests' ``SessionRedirectMixin``, whose every step a program may replace.

The rules are those of ``redirects``; the hooks have the last word.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin

from ..arguments import UNSET
from ..auth.netrc import Netrc
from ..exceptions import InvalidSchema, InvalidURL, RequestException, TooManyRedirects
from ..message.raw import GivenBody
from ..message.url import as_location
from ..redirects import SECRET_HEADERS, follow, leaves_origin, resolve
from ._context import current
from .auth import _basic_auth_str
from .models import OtherUrl, Response, any_url
from .status_codes import codes
from .utils import get_auth_from_url, resolve_proxies, select_proxy


class SessionRedirectMixin:
    """How a Session follows redirects. Each method may be replaced by a subclass."""

    max_redirects: int
    secret_headers: Any = SECRET_HEADERS
    trust_env: bool
    send: Any
    _netrc: Netrc

    def get_redirect_target(self, resp: Any) -> str | None:
        """The Location of a redirect that can be followed, else None.

        Raises:
            InvalidURL: there are two that differ.
        """
        if not resp.is_redirect:
            return None
        headers = resp.headers
        found = {value.strip() for value in headers.get_list("Location")} if hasattr(headers, "get_list") else set()
        if len(found) > 1:
            raise InvalidURL(f"the redirect has {len(found)} different Location fields; which one counts is not known")
        location = found.pop() if found else headers["location"]
        return as_location(location)

    def should_strip_auth(self, old_url: str, new_url: str) -> bool:
        """Whether what is secret to the one URL must not be sent to the other."""
        return leaves_origin(any_url(old_url), any_url(new_url))

    def resolve_redirects(
        self,
        resp: Any,
        req: Any,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
        yield_requests: bool = False,
        **adapter_kwargs: Any,
    ) -> Iterator[Any]:
        """The responses, one by one, that following redirects from ``resp`` brings; or the next request alone.

        Args:
            req: the request that ``resp`` answers.
            yield_requests: give the request that would be sent next, and send none.
            adapter_kwargs: and the others before: given to ``send``.

        Raises:
            TooManyRedirects: more than ``max_redirects``.
        """
        passed: list[Any] = []
        while True:
            try:
                found = self._following(resp, req, proxies)
            except BaseException as error:
                if isinstance(error, RequestException):
                    error.request, error.response = req, resp
                if not yield_requests:
                    resp.close()
                raise
            if passed:
                yield resp
            if found is None:
                return
            following, proxies = found
            if yield_requests:
                yield following
                return
            resp.next = following
            resp.history = passed.copy()
            _free(resp)
            if len(passed) >= self.max_redirects:
                raise TooManyRedirects(f"Exceeded {self.max_redirects} redirects.", response=resp)
            passed.append(resp)
            call = current.get()
            if call is not None:
                call.offered = True  # it is the same call: its deadline and its settings go along
            settings = {"stream": stream, "timeout": timeout, "verify": verify, "cert": cert, "proxies": proxies, **adapter_kwargs}
            resp = self.send(following, **settings, allow_redirects=False)
            req = following

    def _following(self, resp: Any, req: Any, proxies: Any) -> tuple[Any, Any] | None:
        """The request that follows, and its proxies: by the rules of ``redirects``, then as the hooks have it."""
        target = self.get_redirect_target(resp)
        if not target:
            return None
        before = req.parsed
        following = follow(req, resp, _joined(before, target), self._jar_of(req), self.secret_headers)
        chosen = following.method
        following.method = req.method
        self.rebuild_method(following, resp)
        if following.method != chosen:
            following.prepare_content_length()
        proxies = self._rebuilt_proxies(following, before, proxies)
        if following.signer is None and "Authorization" in req.headers and "Authorization" not in following.headers:
            following.headers["Authorization"] = req.headers["Authorization"]  # whether it stays is what rebuild_auth decides
        self.rebuild_auth(following, resp)
        return following, proxies

    def _jar_of(self, req: Any) -> Any:
        jar: Any = getattr(self, "_jar", None)
        return None if jar is None or not len(jar) else jar

    def _rebuilt_proxies(self, following: Any, before: Any, proxies: Any) -> Any:
        """``rebuild_proxies``, and the Proxy-Authorization that the user himself wrote where the proxy stays the same."""
        own = following.headers.get("Proxy-Authorization")
        rebuilt = self.rebuild_proxies(following, proxies)
        if own is not None and "Proxy-Authorization" not in following.headers:
            one, other = (_proxy_of(url, chosen) for url, chosen in ((before, proxies), (following.parsed, rebuilt)))
            if one == other:
                following.headers["Proxy-Authorization"] = own
        return rebuilt

    def rebuild_auth(self, prepared_request: Any, response: Any) -> None:
        """Take Authorization from a request that leaves its origin; give it what netrc has for its new host."""
        old, new = response.request.parsed, prepared_request.parsed
        headers = prepared_request.headers
        is_secret = "authorization" in self.secret_headers
        if is_secret and "Authorization" in headers and self.should_strip_auth(old.text, new.text):
            del headers["Authorization"]
        if "Authorization" in headers or new.password is not None or not leaves_origin(old, new) or isinstance(new, OtherUrl):
            return
        # On the way from https to http a host does not get back what was just taken from the request.
        if self.trust_env and (old.scheme, new.scheme, old.host) != ("https", "http", new.host):
            prepared_request.prepare_auth(self._netrc.credentials(new))

    def rebuild_proxies(self, prepared_request: Any, proxies: Any) -> dict[str, Any]:
        """The proxies for a redirected request, the environment asked anew, and its Proxy-Authorization."""
        call = current.get()
        if call is not None and call.session is self and call.said is not UNSET:
            proxies = self.merge_environment_settings(prepared_request.url, dict(call.said or {}), None, None, None)["proxies"]
        rebuilt = resolve_proxies(prepared_request, proxies, self.trust_env)
        headers = prepared_request.headers
        headers.pop("Proxy-Authorization", None)
        scheme = prepared_request.parsed.scheme
        user, password = get_auth_from_url(rebuilt.get(scheme) or "")
        if scheme != "https" and user and password:  # in a tunnel it would reach the server
            headers["Proxy-Authorization"] = _basic_auth_str(user, password)
        return rebuilt

    def rebuild_method(self, prepared_request: Any, response: Any) -> None:
        """The method after a redirect: 303 and 302 mean GET unless it was HEAD, 301 turns POST into GET."""
        method, status = prepared_request.method, response.status_code
        if (status in (codes.see_other, codes.found) and method != "HEAD") or (status == codes.moved and method == "POST"):
            prepared_request.method = "GET"


def _joined(before: Any, target: str) -> Any:
    """The URL that a Location means, of whatever scheme. Its characters are what they are, and no bytes of the wire."""
    try:
        return resolve(before, target.encode("utf-8", "surrogatepass"))
    except InvalidSchema:
        return any_url(urljoin(before.text, target))


def _proxy_of(url: Any, proxies: Any) -> Any:
    return select_proxy(url.text, proxies) or None


def _free(response: Any) -> None:
    """Have done with a response that is followed by another, so that its connection can be used again."""
    if isinstance(response, Response) and not isinstance(response._source, GivenBody):
        response.free_connection()
        return
    try:
        response.content  # noqa: B018 - reads it
    except (RequestException, RuntimeError):
        response.raw.read(decode_content=False)
    response.close()

"""Digest authentication to a proxy (RFC 7616): the same answers as to a server, in Proxy-Authorization.

Laws, beside those of ``digest``:

1. What is asked of a proxy is hashed with the target as the proxy sees it: the whole URL of a forwarded request, ``host:port`` of a
   CONNECT (RFC 7616 section 3.4: the request-target). So the answer is computed where the request is written, not before.
2. A challenge is answered for the proxy of the call. A redirect that goes by way of another proxy takes nothing along.
3. ``qop=auth-int`` is not answered: no proxy asks for it alone, and a CONNECT has no body to protect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from ..exceptions import InvalidRequest
from ..message.request import PreparedRequest
from .digest import CONTROLS, HTTPDigestAuth, Origin, find_challenge

if TYPE_CHECKING:
    from ..message.response import Response


class ProxyAddress(Protocol):
    """What tells proxies apart."""

    @property
    def scheme(self) -> str: ...
    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...


class _Asked:
    """What an answer is computed from: as much of a PreparedRequest as ``digest`` looks at."""

    payload = None

    def __init__(self, method: str, path_url: str) -> None:
        self.method = method
        self.path_url = path_url


class HTTPProxyDigestAuth(HTTPDigestAuth):
    """The same as ``HTTPDigestAuth`` for the proxy that a call goes by, for http and https URLs: ``auth=HTTPProxyDigestAuth(...)``.

    The 407 to a forwarded http request is answered, and requests that follow carry an answer beforehand. For https the 407 to a
    CONNECT is answered, for each tunnel anew: nonces belong to threads, and a tunnel is opened in a thread of its own. Two of these
    are the same to the pool if user name and password are.

    Args:
        username: without control characters.
        password: any text.
    """

    def __call__(self, r: PreparedRequest) -> PreparedRequest:
        """Have the proxy's challenges answered. No field is set here: what it says depends on the target the proxy is sent."""
        if not isinstance(self.username, str) or CONTROLS.search(self.username):
            raise InvalidRequest("a user name for Digest authentication is a str without control characters")
        r.auth_origin = r.parsed.origin
        r.signer = self._sign
        if self.handle_407 not in r.hooks["response"]:
            r.register_hook("response", self.handle_407)
        return r

    def __hash__(self) -> int:  # type: ignore[override]  # the base has none; this one is part of a key
        return hash((self.username, self.password))

    def _sign(self, request: PreparedRequest) -> None:
        """Nothing: see ``answer_proxy``. That a request has this signer is what tells its route."""

    def handle_407(self, response: Response, **kwargs: Any) -> Response:
        """The response hook: send a forwarded request again with an answer, if the response is a challenge to answer.

        Raises:
            UnrewindableBodyError: the body was consumed by the challenged request and gives its bytes only once.
        """
        request = response.request
        answers = 0
        while response.status_code == 407 and self._may_answer(request, response):
            proxy = response.connection.proxy_for(request)
            fields = response.headers.get_list("Proxy-Authenticate")
            if proxy is None or not self.learn_from_proxy(proxy, fields, answers):
                break
            response = self._answer(request, response, kwargs)
            answers += 1
        if "Proxy-Authentication-Info" in response.headers and self._may_answer(response.request, response):
            proxy = response.connection.proxy_for(response.request)
            if proxy is not None:
                self.take_next(_address(proxy), response.headers.get_list("Proxy-Authentication-Info"))
        return response

    def _may_answer(self, request: PreparedRequest, response: Response) -> bool:
        # A 407 inside a tunnel comes from the server, and after a redirect by way of another proxy the signer is gone.
        is_own = getattr(request.signer, "__self__", None) is self
        return is_own and request.parsed.scheme == "http" and hasattr(response.connection, "proxy_for")

    def answer_proxy(self, proxy: ProxyAddress, method: str, uri: str) -> str | None:
        """The value of Proxy-Authorization for this request; None while no challenge of this proxy is known."""
        conversation = self._conversations().get(_address(proxy))
        if conversation is None:
            return None
        conversation.count += 1
        return self.build_header(_Asked(method, uri), conversation.challenge, conversation.count)

    def learn_from_proxy(self, proxy: ProxyAddress, fields: list[str], answers: int) -> bool:
        """Whether a challenge in these Proxy-Authenticate fields can be answered, ``answers`` having been given before."""
        challenge = find_challenge(fields, _Asked("", ""))
        if challenge is None or challenge.qop == "auth-int" or not self.is_answerable(challenge, answers):
            return False
        self._agree(_address(proxy), challenge)
        return True


def _address(proxy: ProxyAddress) -> Origin:
    return proxy.scheme, proxy.host, proxy.port

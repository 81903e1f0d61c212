"""Call: one call of a user, from its first request to the response it returns: redirects, challenges, retries, cookies, hooks.

It has the call's settings and its one deadline. What outlives calls (routes, transport, netrc, clock) is in ``Services``; the
Call knows no Client.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from ._values import NamedTuple
from .connecting import Cert, Verify
from .exceptions import ClientClosed, PoolTimeout, RequestException, Timeout, TooManyRedirects, TotalTimeout
from .exceptions import ConnectionError as HoldfastConnectionError
from .message.request import PreparedRequest
from .message.response import Response
from .message.url import Url
from .redirects import leaves_origin, next_request
from .retries import NO_RETRIES, Retries
from .timeouts import Deadline, Timeouts

if TYPE_CHECKING:
    from .auth.netrc import Netrc
    from .message.cookies import CookieJar
    from .routes import Routes
    from .transport import NextLeg, Transport
    from .wire.http1 import OnInformational
    from .wire.proxy import Proxy


class Services(NamedTuple):
    """What the calls of one client share.

    Attributes:
        routes: finds the route of a request.
        transport: sends a request over a route.
        netrc: the user's netrc.
        clock: seconds, monotonic.
        sleep: waits for so many seconds.
    """

    routes: Routes
    transport: Transport
    netrc: Netrc
    clock: Callable[[], float]
    sleep: Callable[[float], object]


class CallSettings(NamedTuple):
    """The settings of one call, the client's merged in. See ``Client.request``."""

    timeouts: Timeouts
    verify: Verify
    cert: Cert
    stream: bool
    retries: Retries
    on_informational: OnInformational | None
    proxies: Any
    max_redirects: int
    secret_headers: Collection[str]
    max_decoded: int | None


class Call:
    """One call of a user: its settings, its one deadline, and the requests it takes (redirects, challenges, retries).

    Args:
        make_jar: gives the jar for what servers set; asked when the first of them sets something.

    Attributes:
        trail: its sendings; None where no observer is told of them.
    """

    __slots__ = ("_answered", "_jar", "_make_jar", "_next_leg", "deadline", "services", "settings", "trail")

    def __init__(self, services: Services, settings: CallSettings, make_jar: Callable[[], CookieJar]) -> None:
        self.services = services
        self.settings = settings
        self.deadline = Deadline(settings.timeouts.total, services.clock)
        self._make_jar = make_jar
        self._answered = False
        self._jar: CookieJar | None = None
        self._next_leg: NextLeg | None = None
        transport = services.transport
        self.trail = transport.trail(services.clock) if transport.observers else None

    def run(self, request: PreparedRequest, follow: bool) -> Response:
        """Send, follow redirects, read the body unless it is to be streamed."""
        trail = self.trail
        try:
            if trail is not None:
                trail.holds = True
            response = self.send(request)
            try:
                if response.is_redirect:
                    if follow:
                        response = self._follow(response)
                    else:
                        response.next = self._next_if_possible(response)
                if not self.settings.stream:
                    response.content  # noqa: B018 - reads it
                else:
                    response.note_borrower()
            except KeyboardInterrupt:
                response.close()  # the caller will never have it
                raise
            if trail is not None:
                trail.end(with_body=not self.settings.stream)
            return response
        except BaseException as error:
            if trail is not None:
                trail.failed(error)
            raise
        finally:
            if self._next_leg is not None:
                self._next_leg.close()

    def _follow(self, response: Response) -> Response:
        history: list[Response] = []
        while (following := self._next_or_close(response)) is not None:
            response.next = following
            # As in requests: after a redirect, history is about redirects, and challenges answered on the way are not in it.
            response.history = history.copy()
            response.free_connection()
            if len(history) >= self.settings.max_redirects:
                raise TooManyRedirects(f"Exceeded {self.settings.max_redirects} redirects.", response=response)
            history.append(response)
            self._authenticate(following, response.request.parsed)
            response = self.send(following)
        if history:
            response.history = history
        return response

    def _next_or_close(self, response: Response) -> PreparedRequest | None:
        try:
            return self._next(response)
        except BaseException:
            response.close()
            raise

    def _next_if_possible(self, response: Response) -> PreparedRequest | None:
        try:
            return self._next(response)
        except RequestException:
            return None  # following it would raise, but the caller does not follow redirects

    def _next(self, response: Response) -> PreparedRequest | None:
        return next_request(response.request, response, self.settings.secret_headers, self._jar)

    def _authenticate(self, request: PreparedRequest, before: Url) -> None:
        """Give a redirected request what netrc has for its host; take away what was meant for another proxy.

        netrc is asked where the origin is left: within it, what the call itself said still holds. On the way from https
        to http a host does not get back what was just taken from the request.
        """
        url, headers = request.parsed, request.headers
        signs_for_proxy = hasattr(getattr(request.signer, "__self__", None), "answer_proxy")
        if ("Proxy-Authorization" in headers or signs_for_proxy) and not self._same_proxy(before, url):
            headers["Proxy-Authorization"] = None
            request.signer = None if signs_for_proxy else request.signer
        if "Authorization" in headers or url.password is not None or not leaves_origin(before, url):
            return
        if (before.scheme, url.scheme, before.host) != ("https", "http", url.host):
            request.prepare_auth(self._netrc_for(url))

    def _netrc_for(self, url: Url) -> tuple[str, str] | None:
        return self.services.netrc.credentials(url) if self.services.routes.trust_env else None

    def _same_proxy(self, one: Url, other: Url) -> bool:
        proxies = (self.services.routes.proxy_for(url, self.settings.proxies) for url in (one, other))
        return len({proxy and (proxy.scheme, proxy.host, proxy.port) for proxy in proxies}) == 1

    def proxy_for(self, request: PreparedRequest) -> Proxy | None:
        """The proxy that this call's requests to that URL go by; for what answers a proxy's challenges."""
        return self.services.routes.proxy_for(request.parsed, self.settings.proxies)

    def send(self, request: PreparedRequest, **_: Any) -> Response:
        """One request to its final response, with retries, cookies and hooks, without redirects.

        This is what ``response.connection.send`` is to an auth hook; the keywords requests
        passes there are this call's own already.
        """
        response = self.exchange(request)
        if response.sets_cookies:
            self._keep_cookies(request, response)
        if request.has_hooks:
            response = self._dispatch(request, response)
        return response

    def exchange(self, request: PreparedRequest) -> Response:
        """One request to its final response, with retries: without redirects, cookies and hooks."""
        clock, settings = self.services.clock, self.settings
        started = clock()
        response = self._once(request) if settings.retries is NO_RETRIES else self._attempt(request)
        response.started_at = started
        response.elapsed_seconds = clock() - started
        if settings.max_decoded is not None:
            response.max_decoded = settings.max_decoded
        return response

    def _once(self, request: PreparedRequest) -> Response:
        """One request over the route it has now. The environment may change, so each attempt is routed anew."""
        services, settings = self.services, self.settings
        route = services.routes.find(request, settings.verify, settings.cert, settings.proxies)
        if request.has_hooks and self._next_leg is None:
            self._next_leg = services.transport.new_leg()  # a hook may answer a challenge that holds for one connection
        trail, send = self.trail, services.transport.send
        try:
            asked = (request, route, settings.timeouts, self.deadline, settings.on_informational, self._next_leg, settings.stream)
            response = send(*asked) if trail is None else trail.send(send, *asked)
        except ClientClosed as error:
            error.may_have_executed |= self._answered  # this request has not been sent, but the one before it was
            raise
        self._answered = True
        return response

    def _attempt(self, request: PreparedRequest) -> Response:
        """One request as often as the user's Retries say."""
        retries, made = self.settings.retries, 0
        while True:
            try:
                response = self._once(request)
            except (HoldfastConnectionError, Timeout) as error:
                if not retries.attempts or not self._again_after(error, request, made):
                    raise
                asked = date = None
            else:
                if not retries.after_response(request.method, response.status_code, request.has_idempotency_key, made):
                    return response
                asked, date = response.headers.get("Retry-After"), response.headers.get("Date")
                if not request.can_be_sent:
                    return response
                response.close()
            if self.trail is not None:
                self.trail.end(with_body=False)  # the pause is not its
            request.rewind()
            self._pause(retries.wait(made, asked, time.time(), date))
            made += 1

    def _again_after(self, error: RequestException, request: PreparedRequest, made: int) -> bool:
        if isinstance(error, (PoolTimeout, TotalTimeout)):
            return False
        connected = not getattr(error, "never_connected", False)
        key = request.has_idempotency_key
        return self.settings.retries.after_failure(request.method, key, made, connected=connected) and request.can_be_sent

    def _pause(self, seconds: float) -> None:
        left = self.deadline.within(seconds)
        sleep = self.services.sleep
        if sleep is time.sleep:
            sleep = getattr(self.deadline.clock, "sleep", sleep)  # the clock of a call to a Fake: no time is spent there
        sleep(seconds if left is None else left)
        if self.deadline.expired():
            raise TotalTimeout(f"the call's total of {self.deadline.total} s was used up while waiting to try again")

    def _keep_cookies(self, request: PreparedRequest, response: Response) -> None:
        from .message.cookies import extract_cookies

        if self._jar is None:
            self._jar = self._make_jar()
        extract_cookies(self._jar, request.parsed, response.raw_headers)

    def _dispatch(self, request: PreparedRequest, response: Response) -> Response:
        response.connection = self
        settings = {
            "timeout": self.settings.timeouts,
            "verify": self.settings.verify,
            "cert": self.settings.cert,
            "stream": self.settings.stream,
            "proxies": dict(self.settings.proxies or {}),
        }
        try:
            for hook in request.hooks["response"]:
                replaced = hook(response, **settings)
                if replaced is not None:
                    response = replaced
                    response.request = response.request or request  # one built by hand may have none
        except Exception:
            self._keep_for_handler(response)
            raise
        except BaseException:
            response.close()  # the caller will never have it
            raise
        return response

    def _keep_for_handler(self, response: Response) -> None:
        """A hook raised, as ``raise_for_status`` often does: an exception handler may look at ``error.response``."""
        try:
            if not self.settings.stream:
                response.content  # noqa: B018 - reads it, as the call would have
        except RequestException:
            pass  # what the hook raised counts; who asks its response for the body gets this error then

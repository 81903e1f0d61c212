"""Sendings: each time that a request of a call goes out, told to observers as it begins and once it is known how it went.

A call may take several: its request is sent again on another connection, a redirect or a challenge is followed, a user's
``Retries`` ask again. A ``Trail`` has those of one call. It is made for a client that has an observer, and for no other.

Why a sending that is not the first was made (``reason_after``):

==================================== ==============================================================
the sending before                   reason
==================================== ==============================================================
the transport sent its request again the value of its ``Resend``, as ``stats().resent`` counts
its answer was 401 or 407            ``authentication``
its answer was a redirect            ``redirect``
anything else                        ``retry``
==================================== ==============================================================
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import WeakValueDictionary

from ._log import Log
from .exceptions import RequestException
from .message.response import REDIRECT_STATUSES

if TYPE_CHECKING:
    from .message.request import PreparedRequest
    from .message.response import Response
    from .routes import Route

log = Log("holdfast.sendings")

CHALLENGES = (401, 407)


class Sending:
    """One request on its way out, and how it went. All moments are on the client's clock.

    Attributes:
        request: the request; its headers are those that the program gave.
        number: how many sendings of this call were before it.
        reason: why it is sent again, see ``holdfast.sendings``; empty for the first.
        fields: an observer may put fields in here as the sending begins: they go out with this sending alone, in the place of
            the request's own of these names.
        began, ended: moments; ``ended`` is that of the response's head or, if the call reads the body, of its end.
        peer: address of the connection's other end as really dialled: the proxy's where there is one, the path of a Unix-domain
            socket; empty while there is no connection.
        peer_port: its port; None without one.
        reused: whether its connection had been used before; None while there is none.
        status_code: of the answer; None without one.
        response: the answer; None without one, and for an answer (408, 417) after which the transport sent again.
        error: why there is no answer, or no end of it; None if nothing went wrong.
    """

    __slots__ = (
        "began",
        "ended",
        "error",
        "fields",
        "number",
        "peer",
        "peer_port",
        "reason",
        "request",
        "response",
        "reused",
        "status_code",
    )

    def __init__(self, request: PreparedRequest, number: int, reason: str, began: float) -> None:
        self.request = request
        self.number = number
        self.reason = reason
        self.fields: dict[str, str] = {}
        self.began = self.ended = began
        self.peer = ""
        self.peer_port: int | None = None
        self.reused: bool | None = None
        self.status_code: int | None = None
        self.response: Response | None = None
        self.error: BaseException | None = None


Observer: TypeAlias = "Callable[[Sending], Callable[[], object] | None]"
"""Called as a sending begins; what it returns is called when it is over. Both in the thread of the call."""


def reason_after(status: int | None) -> str:
    """Why a request follows a sending that was answered so, or not at all. The table is in the module's docstring."""
    if status in CHALLENGES:
        return "authentication"
    return "redirect" if status in REDIRECT_STATUSES else "retry"


class Trail:
    """The sendings of one call. One at most is under way; it is over when the next one begins, or the call has ended.

    Of what is over nothing is kept: a sending that has failed has its error, whose traceback has the call, which has this.

    Args:
        observers: of the client.
        clock: seconds, monotonic.
        pool: the client's: what is sent over another's connections is not this call's.

    Attributes:
        holds: whether ``end`` will be called: the answer's body may belong to the last sending. If not, a sending is over with
            the head of its answer.
    """

    __slots__ = ("_again", "_clock", "_current", "_number", "_observers", "_tellers", "holds", "pool")

    def __init__(self, observers: tuple[Observer, ...], clock: Callable[[], float], pool: object) -> None:
        self._observers = observers
        self._clock = clock
        self.pool = pool
        self._current: Sending | None = None
        self._tellers: list[Callable[[], object]] = []
        self._number = 0
        self._again = ""  # why the next one will be made, if there is one
        self.holds = False

    def send(self, send: Callable[..., Response], *arguments: Any) -> Response:
        """What ``send`` returns, with the sendings on the way told to this trail, and how the last one went."""
        token = under_way.set(self)
        try:
            response = send(*arguments)
        except BaseException as error:
            self.failed(error)
            raise
        finally:
            under_way.reset(token)
        self._answered(response)
        return response

    def begin(self, request: PreparedRequest) -> dict[str, str]:
        """A sending begins; the fields that observers want in its head."""
        self._tell()
        self._current = sending = Sending(request, self._number, self._again, self._clock())
        self._number += 1
        for observer in self._observers:
            teller = _harmless(observer, sending)
            if teller is not None:
                self._tellers.append(teller)
        return sending.fields

    def connected(self, route: Route, lease: Any) -> None:
        """It has its connection."""
        sending, opening = self._under_way(), lease.resource.opening
        sending.reused = lease.reused
        sending.peer = route.unix_socket or ("" if opening is None else opening.peer)
        if sending.peer and not route.unix_socket:
            sending.peer_port = route.port if route.proxy is None else route.proxy.port

    def sent_again(self, reason: str, outcome: BaseException | int) -> None:
        """It came to nothing, by an error or an answer of that status, and the transport sends its request again."""
        sending = self._under_way()
        if isinstance(outcome, int):
            sending.status_code = outcome
        else:
            sending.error = outcome
        sending.ended = self._clock()
        self._tell()
        self._again = reason

    def _answered(self, response: Response) -> None:
        """The head of the answer has come; perhaps of none, from a transport of the user's that has sent nothing."""
        sending = self._current
        if sending is not None:
            sending.response, sending.status_code, sending.ended = response, response.status_code, self._clock()
        if not self.holds:
            self._tell()

    def failed(self, error: BaseException) -> None:
        """The call, or this part of it, ends in an error, which may have nothing to do with an answer that is there."""
        sending = self._current
        its_own = isinstance(error, RequestException) or not isinstance(error, Exception)  # and not a hook's, say
        if sending is not None and (its_own or sending.status_code is None):
            sending.error, sending.ended = error, self._clock()
        self._tell()

    def end(self, with_body: bool) -> None:
        """The call has ended well. ``with_body``: the body of its answer has been read."""
        if with_body and self._current is not None:
            self._current.ended = self._clock()
        self._tell()

    def _under_way(self) -> Sending:
        assert self._current is not None
        return self._current

    def _tell(self) -> None:
        """The sending under way is over, if there is one."""
        tellers, self._tellers = self._tellers, []
        if self._current is not None:
            self._again = reason_after(self._current.status_code)
            self._current = None
        for teller in tellers:
            _harmless(teller)


def observe(observers: list[Any], observer: Callable[..., Any]) -> Callable[[], None]:
    """Put ``observer`` among ``observers``; the function returned takes it away, and does nothing when it is called again."""
    told = partial(observer)  # equal to nothing else: of two observers that are, each is taken away by its own function alone

    def end() -> None:
        try:
            observers.remove(told)
        except ValueError:
            pass  # it is gone already

    observers.append(told)
    return end


under_way: ContextVar[Trail | None] = ContextVar("holdfast.sendings", default=None)
"""Of the call that this thread is sending for. A transport of the user's may be between the call and its connections."""


def _harmless(function: Callable[..., Any], *arguments: Any) -> Any:
    """What it returns; None if it fails, which is logged: an observer must not break what it observes."""
    try:
        return function(*arguments)
    except Exception:
        log.exception("an observer of sendings failed")
        return None


# -- all transports of the process -------------------------------------------------------------------------------------

_transports: WeakValueDictionary[int, Any] = WeakValueDictionary()
_watchers: list[Callable[[Any], object]] = []


def announce(transport: Any) -> None:
    """A transport was made."""
    _transports[id(transport)] = transport
    for watcher in tuple(_watchers):  # one may be added or taken away meanwhile
        _harmless(watcher, transport)


def on_every_transport(watcher: Callable[[Any], object]) -> Callable[[], None]:
    """Call ``watcher`` with each transport there is, and each that is made from now on; the function returned ends that.

    It may be told of one twice, if that is made in another thread just now.
    """
    end = observe(_watchers, watcher)
    for transport in filter(None, (reference() for reference in _transports.valuerefs())):
        _harmless(watcher, transport)
    return end

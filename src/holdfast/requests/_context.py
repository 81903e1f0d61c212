"""What a call of a Session has beyond the six arguments that ``HTTPAdapter.send`` takes, on its way from the one to the other.

Between them any number of other parties may stand: mocks, instrumentation, an adapter around ours. So it does not travel as an
argument but beside the call, in a context variable: one for each thread and each greenlet.

1. ``Session.request`` offers a Context and calls ``self.send``.
2. ``Session.send`` takes the one that is offered to this session; where there is none, it makes one.
3. ``HTTPAdapter.send`` looks at it. Without one (a program calls the adapter itself) requests' own defaults hold.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..retries import Retries
    from ..sendings import Trail
    from ..timeouts import Deadline, Timeouts

__all__ = ["Context", "current"]


class Context:
    """The settings of one call.

    Attributes:
        session: whose call it is.
        timeouts: what ``timeout=None`` means to the adapter: the session's, unless the caller himself said None.
        retries, on_informational, max_decoded: as in ``Client.request``.
        deadline: the end of the call, redirects and retries included; made by the first adapter that sends for it.
        trail: the sendings of the call, its redirects included, as ``Call.trail``; made likewise.
        said: the ``proxies`` that the caller gave, without those of the session and the environment.
        offered: not yet taken by a ``send``.
    """

    __slots__ = ("deadline", "max_decoded", "offered", "on_informational", "retries", "said", "session", "timeouts", "trail")

    def __init__(
        self, session: Any, timeouts: Timeouts, retries: Retries, on_informational: Any, max_decoded: int | None, said: Any
    ) -> None:
        self.session = session
        self.timeouts = timeouts
        self.retries = retries
        self.on_informational = on_informational
        self.max_decoded = max_decoded
        self.said = said
        self.deadline: Deadline | None = None
        self.trail: Trail | None = None
        self.offered = False

    def over(self, error: BaseException | None, stream: bool | None = True) -> None:
        """The call has ended, well or in an error. ``stream``: its response has not been read."""
        trail = self.trail
        if trail is None:
            return
        if error is None:
            trail.end(with_body=not stream)
        else:
            trail.failed(error)


current: ContextVar[Context | None] = ContextVar("holdfast.requests", default=None)

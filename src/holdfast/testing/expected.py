"""Expected: a route of a Fake, what it answers, and the calls that it matched."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import h11

from .._numbers import number_of
from ..message.body import Body
from ..message.headers import Headers
from .answers import UNSET, Answer
from .failures import Failure, When, named
from .matching import Pattern

if TYPE_CHECKING:
    from ..message.request import PreparedRequest

__all__ = ["Call", "Expected", "Reply"]

Reply = Any
"""An Answer, a status, a Failure, or a function of the Call that gives one of them."""


class Call:
    """A request that a Fake was asked for, as it was then.

    Attributes:
        method, url: of the request.
        headers: its fields.
        route: what matched it; None of one that was passed through unmatched, or refused.
        status_code: of the response; None while there is none, and where none came.
        sent: how often it was sent: more than once where holdfast has sent it again, 0 where it never was.
    """

    def __init__(self, request: PreparedRequest) -> None:
        self.method = request.method
        self.url = request.parsed.text
        self.headers: Headers = request.headers.copy()
        self.route: Expected | None = None
        self.status_code: int | None = None
        self.sent = 0
        self._request: PreparedRequest | None = request
        self._body: bytes | None = None if request.payload is None else request.payload.data
        self._heard = bytearray()

    def hear(self, wire: bytearray) -> None:
        """``wire`` is going to be what is written of the next sending."""
        self.sent += 1
        self._heard = wire

    def end(self, status_code: int | None) -> None:
        """It is over. The request is its owner's again."""
        self.status_code = status_code
        self._request = None

    @property
    def body(self) -> bytes:
        """The whole body. Of one that gives its bytes once: asked for before it is sent, it is gathered; after that, what was
        written of it.
        """
        if self._body is None:
            request = self._request
            if request is None:
                return _body_in(bytes(self._heard))
            self._body = b"" if request.payload is None else _gather(request, request.payload)
        return self._body

    @property
    def text(self) -> str:
        """The body as UTF-8."""
        return self.body.decode()

    def json(self) -> Any:
        """The body as JSON. Raises ValueError: it is none."""
        return json.loads(self.body)

    def __repr__(self) -> str:
        return f"<Call {self.method} {self.url}: {self.status_code}, sent {number_of(self.sent, 'time')}>"


def _body_in(wire: bytes) -> bytes:
    """The body of a request as it was written; what there is, of one that was not written whole."""
    server = h11.Connection(h11.SERVER)
    server.receive_data(wire)
    body = bytearray()
    while type(event := server.next_event()) in (h11.Request, h11.Data):
        body += event.data if isinstance(event, h11.Data) else b""
    return bytes(body)


def _gather(request: PreparedRequest, payload: Body) -> bytes:
    pieces = list(payload.chunks())
    if payload.replayable:
        payload.rewind()
    else:
        request.payload = _Gathered(payload, pieces)
    return b"".join(pieces)


class _Gathered(Body):
    """A body that gives its bytes once, looked at before it was sent. It goes out as it would have, and still only once."""

    __slots__ = ("_parts",)

    def __init__(self, of: Body, parts: list[bytes]) -> None:
        super().__init__(of.length, False, of.content_type)
        self._parts = parts

    def _pieces(self) -> Iterator[bytes]:
        return iter(self._parts)


class Expected:
    """A route of a Fake: what it matches, and what it answers. Made by ``Fake.route`` and its short forms.

    Attributes:
        pattern: what it matches.
        calls: the requests that it matched, the oldest first.
        passes_through: its requests go where they were going.
    """

    def __init__(self, pattern: Pattern) -> None:
        self.pattern = pattern
        self.calls: list[Call] = []
        self.passes_through = False
        self._replies: tuple[Reply, ...] = (Answer(),)
        self._taken = 0
        self._lock = threading.Lock()  # guards _taken

    # -- what it answers -----------------------------------------------------------------------------------------------

    def responds(
        self,
        status: int = 200,
        *,
        json: Any = UNSET,
        text: str | None = None,
        content: bytes | Iterable[bytes] | None = None,
        headers: Any = None,
        delay: float = 0.0,
    ) -> Expected:
        """Answer every request with this. Arguments and errors as of ``Answer``."""
        return self.answers(Answer(status, json=json, text=text, content=content, headers=headers, delay=delay))

    def fails(self, failure: str | Failure, **arguments: Any) -> Expected:
        """Fail every request so: ``fails("lost after delivery", kept=True)``, ``fails(failures.timeout("read"))``.

        Raises:
            ValueError: there is no such failure, or it needs an answer behind it: give both to ``answers``.
        """
        return self.answers(named(failure, **arguments) if isinstance(failure, str) else failure)

    def answers(self, *replies: Reply) -> Expected:
        """Answer so. One reply is for every request; several are a sequence, each for one sending of a request, and behind the
        last the route is used up.

        Args:
            replies: each an ``Answer``, a status, one of ``failures``, or a function that is given the ``Call`` and returns one
                of these.

        Raises:
            ValueError: there is none, or a kept connection is to be found closed and there is no reply for the request itself.
            TypeError: one is none of these.
        """
        if not replies:
            raise ValueError("answers(): give one reply for every request, or several, each for one")
        for reply, following in zip(replies, (*replies[1:], None), strict=True):
            _check(reply)
            if when(reply) is When.KEPT and (following is None or when(following) is not When.SENDING):
                raise ValueError(f"{reply}: nothing was sent then; give the reply to the request behind it: answers({reply}, 200)")
        self._replies, self._taken = replies, 0
        return self

    def passthrough(self) -> Expected:
        """Let its requests go where they were going."""
        self.passes_through = True
        return self

    # -- what became of it ---------------------------------------------------------------------------------------------

    @property
    def called(self) -> int:
        """How many requests it has matched."""
        return len(self.calls)

    @property
    def used_up(self) -> bool:
        """Whether each reply of a sequence was given."""
        return len(self._replies) > 1 and self._taken >= len(self._replies)

    @property
    def missing(self) -> str:
        """What was expected and did not come; "" for nothing."""
        if not self.calls:
            return "was never called"
        if len(self._replies) > 1 and not self.used_up and not self.passes_through:
            return f"has given {self._taken} of its {number_of(len(self._replies), 'reply', 'replies')}"
        return ""

    def take(self, call: Call) -> Answer | Failure | None:
        """The next reply; None if there is none left."""
        with self._lock:
            if self.used_up:
                return None
            reply = self._replies[self._taken if len(self._replies) > 1 else 0]
            self._taken += 1
        while not isinstance(reply, (Answer, Failure)):
            reply = Answer(reply) if isinstance(reply, int) else _check(reply(call))
        return reply

    def __str__(self) -> str:
        return str(self.pattern)

    def __repr__(self) -> str:
        return f"<Expected {self.pattern}, called {number_of(self.called, 'time')}>"


def _check(reply: Reply) -> Reply:
    if isinstance(reply, (Answer, Failure)) or callable(reply) or (isinstance(reply, int) and not isinstance(reply, bool)):
        return reply
    raise TypeError(f"{reply!r} is no reply: expected an Answer, a status, one of holdfast.testing.failures, or a function")


def when(reply: Reply) -> When:
    """What of a call a reply meets."""
    return reply.when if isinstance(reply, Failure) else When.SENDING

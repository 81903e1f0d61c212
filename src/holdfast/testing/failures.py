"""What can go wrong between a client and a server, by name: answers for ``Fake``.

Each is what a server, or the way to it, does. What the call makes of that is decided by the code that meets real servers: so the
exception, its attributes, ``response.attempts``, ``connection_info.attempts``, the pool's events and its figures are those of the
real thing. What is sent again is one more sending, and takes the next of the route's answers, as it would at a server.

=========================  ==========================================================================================
name                       what happens
=========================  ==========================================================================================
stale_before_use           the kept connection is found closed by the server: another is opened, nothing was sent
lost_before_delivery       the server had closed the connection before any byte reached it, which is proven: sent again
lost_after_delivery        the request arrived, and the connection ended without an answer: GET is sent again, a POST is not
timeout                    one of the timeouts ends the call: pool, connect, write, read, body or total
connection_refused         nothing listens there
name_not_resolved          the name has no address
certificate_verify_failed  the server's certificate is not accepted: of an unknown authority, expired, of another name ...
body_cut_short             the connection ends before the body does
request_timeout            a 408 on a kept connection: the server had grown tired of it
early_answer               a 413, or another answer, before the server has read the request
slow_drip                  the body comes a few bytes at a time
not_http                   what comes is not HTTP
=========================  ==========================================================================================
"""

from __future__ import annotations

import errno
import math
import os
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal

from .._numbers import number_of
from ..exceptions import SSLError
from ..message.url import is_ip_address
from ..wire.addressing import not_resolved
from ..wire.connect import all_refused, no_answer
from ..wire.tls import explain
from .answers import Answer
from .script import End, Play, Said

if TYPE_CHECKING:
    from ..message.request import PreparedRequest
    from ..timeouts import Deadline, Timeouts

__all__ = [
    "Failure",
    "body_cut_short",
    "certificate_verify_failed",
    "connection_refused",
    "early_answer",
    "lost_after_delivery",
    "lost_before_delivery",
    "name_not_resolved",
    "not_http",
    "request_timeout",
    "slow_drip",
    "stale_before_use",
    "timeout",
]

Ending = Literal["fin", "rst"]
Fault = Literal["unknown authority", "self-signed", "expired", "not yet valid", "other name"]
TimeoutPhase = Literal["pool", "connect", "write", "read", "body", "total"]


class When(Enum):
    """What of a call a failure meets first."""

    WAITING = "waiting for a free connection"
    KEPT = "looking at a kept connection"
    DIALLING = "opening a connection"
    SENDING = "sending"


@dataclass(frozen=True)
class Failure:
    """One of the failures of this module; made by its functions.

    Attributes:
        name: the function's.
        when: what of a call it meets.
        kept: it happens on a connection that was used before: where the client keeps none, one is put there.
        play: of one that meets the sending: what the server does.
        error: of one that meets the dialling: what comes of it, of host, port and seconds.
        needs: the timeouts without which it cannot happen: the call would wait for ever.
        of_tls: it is one of the handshake: of https alone, and of a client that verifies.
    """

    name: str
    when: When = When.SENDING
    kept: bool = False
    play: Callable[[PreparedRequest, Deadline], Play] | None = None
    error: Callable[[str, int, float], Exception] | None = None
    needs: tuple[str, ...] = ()
    of_tls: bool = False

    def check_context(self, where: str, context: ssl.SSLContext | None) -> None:
        """AssertionError if it is one of the handshake, and there is none that could end so."""
        if not self.of_tls:
            return
        if context is None:
            raise AssertionError(f"{self}: {where} speaks no TLS; it is for https:// URLs")
        if context.verify_mode == ssl.CERT_NONE:
            raise AssertionError(f"{self}: this call verifies no certificate (verify=False), and would go on")

    def check(self, timeouts: Timeouts) -> None:
        """AssertionError if the call's timeouts leave it waiting for ever."""
        for name in self.needs:
            if getattr(timeouts, name) is None:
                raise AssertionError(f"{self}: this call has no timeouts.{name}, and would wait for ever")

    def __str__(self) -> str:
        return f"holdfast.testing.failures.{self.name}()"


def stale_before_use() -> Failure:
    """The server has closed the connection that was kept, and the client sees it before it sends. Of a call, not of a sending:
    the next answer of the route is for the request itself, which goes over a new connection.
    """
    return Failure("stale_before_use", When.KEPT, kept=True)


def lost_before_delivery(*, kept: bool = False) -> Failure:
    """The server closed the connection as the request set out, and its kernel has acknowledged no byte of it (Linux: elsewhere
    there is no such proof). holdfast sends it again, whatever its method, twice at most; then ConnectionLost, with
    ``may_have_executed`` False.

    Args:
        kept: on a connection that was used before.
    """
    play = Play((End.FIN,), delivered=False)
    return Failure("lost_before_delivery", kept=kept, play=lambda request, deadline: play)


def lost_after_delivery(*, kept: bool = False, by: Ending = "fin") -> Failure:
    """The server has the request, and its connection ends without an answer: it may have acted. An idempotent request is sent
    again, on a new connection once; any other is ConnectionLost, with ``may_have_executed`` True.

    Args:
        kept: on a connection that was used before.
        by: ``fin``, the end of a process that dies; ``rst``, an abort.
    """
    play = Play((End(by),))
    return Failure("lost_after_delivery", kept=kept, play=lambda request, deadline: play)


def timeout(phase: TimeoutPhase) -> Failure:
    """One of the timeouts ends the call, without any time being spent.

    Args:
        phase: ``pool``: all connections that the limits allow are in use (PoolTimeout). ``connect``: no address answers
            (ConnectTimeout). ``write``: the server takes no byte (WriteTimeout). ``read``: it takes the request and does not
            answer (ReadTimeout). ``body``: it stops in the middle of the body (BodyReadTimeout). ``total``: it has not answered
            when the call's whole time is over (TotalTimeout).

    Raises:
        ValueError: there is no such phase.
    """
    if phase not in _TIMEOUTS:
        raise ValueError(f"timeout({phase!r}): expected one of {', '.join(_TIMEOUTS)}")
    return _TIMEOUTS[phase]


def _late(host: str, port: int, seconds: float) -> Exception:
    error = no_answer(f"{host}:{port}", seconds, 1, 1)
    error.__cause__ = TimeoutError("connect")
    return error


def _until_the_end(request: PreparedRequest, deadline: Deadline) -> Play:
    """The server is late in what it does first: until the call's time is over."""
    sleep: Any = getattr(deadline.clock, "sleep")  # noqa: B009 - a CallTime, as deadlines have it under a Fake
    sleep(deadline.within(None) or 0.0)
    return Play((math.inf,))


def _half_a_body(request: PreparedRequest, deadline: Deadline) -> Play:
    return Play((b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab", math.inf))


_TIMEOUTS: dict[str, Failure] = {
    "pool": Failure("timeout", When.WAITING, needs=("pool",)),
    "connect": Failure("timeout", When.DIALLING, error=_late, needs=("connect",)),
    "write": Failure("timeout", play=lambda request, deadline: Play((math.inf,), takes=0), needs=("write",)),
    "read": Failure("timeout", play=lambda request, deadline: Play((math.inf,)), needs=("read",)),
    "body": Failure("timeout", play=_half_a_body, needs=("read",)),
    "total": Failure("timeout", play=_until_the_end, needs=("total",)),
}


def connection_refused() -> Failure:
    """Nothing listens at the server's port: ConnectionError, with ``never_connected`` True."""

    def error(host: str, port: int, seconds: float) -> Exception:
        return all_refused(f"{host}:{port}", OSError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED)), 1)

    return Failure("connection_refused", When.DIALLING, error=error)


def name_not_resolved() -> Failure:
    """There is no such name: ConnectionError, with ``never_connected`` True."""

    def error(host: str, port: int, seconds: float) -> Exception:
        cause = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        made = not_resolved(host, cause)
        made.__cause__ = cause
        return made

    return Failure("name_not_resolved", When.DIALLING, error=error)


_FAULTS: dict[str, tuple[int, str]] = {
    "unknown authority": (20, "unable to get local issuer certificate"),
    "self-signed": (18, "self-signed certificate" if ssl.OPENSSL_VERSION_INFO >= (3,) else "self signed certificate"),
    "expired": (10, "certificate has expired"),
    "not yet valid": (9, "certificate is not yet valid"),
    "other name": (62, "Hostname mismatch, certificate is not valid for '{}'."),
}
_OTHER_ADDRESS = (64, "IP address mismatch, certificate is not valid for '{}'.")


def certificate_verify_failed(because: Fault = "unknown authority") -> Failure:
    """The server's certificate is not accepted: SSLError, and nothing was sent. Its cause is ``ssl``'s own error.

    Args:
        because: what is wrong with it. ``unknown authority``: nothing that the client trusts has signed it, as at a company's proxy
            or where an intermediate certificate is missing.

    Raises:
        ValueError: there is no such reason.
    """
    if because not in _FAULTS:
        raise ValueError(f"certificate_verify_failed({because!r}): expected one of {', '.join(_FAULTS)}")

    def error(host: str, port: int, seconds: float) -> Exception:
        is_other_address = because == "other name" and is_ip_address(host)
        code, message = _OTHER_ADDRESS if is_other_address else _FAULTS[because]
        message = message.format(host)
        cause = ssl.SSLCertVerificationError(1, f"[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: {message}")
        cause.library, cause.reason, cause.verify_code, cause.verify_message = "SSL", "CERTIFICATE_VERIFY_FAILED", code, message
        made = SSLError(explain(cause, host, port))
        made.__cause__ = cause
        return made

    return Failure("certificate_verify_failed", When.DIALLING, error=error, of_tls=True)


def body_cut_short(content: bytes = b"cut short", after: int | None = None, *, by: Ending = "fin", **answer: Any) -> Failure:
    """The connection ends in the middle of the body: IncompleteBody, with how much came.

    Args:
        content: the whole body.
        after: how many bytes of it come. Default: half of them.
        by: how the connection ends.
        answer: ``status``, ``headers`` and the like, as in ``Answer``.

    Raises:
        ValueError: that would be all of it.
    """
    came = len(content) // 2 if after is None else after
    if not 0 <= came < len(content):
        raise ValueError(f"body_cut_short(after={after}): the body has {number_of(len(content), 'byte')}, and fewer must come")
    made = Answer(content=content, **answer)

    def play(request: PreparedRequest, deadline: Deadline) -> Play:
        return Play((made.head(request.method) + content[:came], End(by)))

    return Failure("body_cut_short", play=play)


def request_timeout() -> Failure:
    """The server has waited too long on a kept connection, and says so (408) as the next request sets out. An idempotent request
    is sent again; any other gets the 408.
    """
    said = Answer(408, headers={"Connection": "close"})
    return Failure("request_timeout", kept=True, play=lambda request, deadline: said.play(request))


def early_answer(status: int = 413, **answer: Any) -> Failure:
    """The server answers before it has read the request, and closes. What is left of a large body stays here: the response says
    ``request_incomplete``.

    Args:
        status: of the answer.
        answer: ``content``, ``headers`` and the like, as in ``Answer``.
    """
    made = Answer(status, **answer)
    made.headers["Connection"] = "close"
    return Failure("early_answer", play=lambda request, deadline: Play(made.play(request).says, early=True))


def slow_drip(content: bytes, *, every: float, size: int = 1, **answer: Any) -> Failure:
    """The body comes ``size`` bytes ``every`` so many seconds: ``timeouts.read`` counts between two of them, ``timeouts.total``
    ends it all. No time is spent: the call's clock is moved on.

    Args:
        content: the whole body.
        every: seconds before each piece.
        size: bytes of a piece.
        answer: ``status``, ``headers`` and the like, as in ``Answer``.
    """
    if not (every >= 0 and size > 0):
        raise ValueError(f"slow_drip(every={every!r}, size={size!r}): expected seconds, and bytes above 0")
    made = Answer(content=content, **answer)

    def play(request: PreparedRequest, deadline: Deadline) -> Play:
        says: list[Said] = [made.head(request.method)]
        if made.body(request.method):
            for at in range(0, len(content), size):
                says += [float(every), content[at : at + size]]
        return Play(tuple(says))

    return Failure("slow_drip", play=play)


def not_http(said: bytes = b"SSH-2.0-OpenSSH_9.6\r\n") -> Failure:
    """What comes is not HTTP: RemoteProtocolError.

    Args:
        said: what comes.
    """
    return Failure("not_http", play=lambda request, deadline: Play((said, End.FIN)))


def named(name: str, **arguments: Any) -> Failure:
    """The failure of that name, with spaces or underscores: ``named("lost after delivery", kept=True)``.

    Raises:
        ValueError: there is none.
    """
    known = [each for each in __all__ if each != "Failure"]
    wanted = name.replace(" ", "_")
    if wanted not in known:
        raise ValueError(f"there is no failure {name!r}; there are {', '.join(known)}")
    made: Failure = globals()[wanted](**arguments)
    return made

"""May a connection carry another request, after one with a body? One pure function, its table, and what an origin was seen doing.

A server may answer from the head of a request alone. What it does with the body then, it does not say:

* it reads the rest and throws it away: the connection is as good as new (uvicorn, nginx, node and most others);
* it reads some of it, and closes (gunicorn: 64 KB), perhaps although it has just said keep-alive;
* it waits for the rest, which never comes, until its own patience ends (rabbitmq);
* it leaves the rest where it is, and takes it for the next request (Python's ``http.server``). The next request is then given an
  error that is not its own, or, where the body was made for that, the answer to a request which the body's author has written.

So it is decided by what the answer itself proves, and the first row that fits counts:

| what is known | the connection | because |
|---|---|---|
| the answer came before the whole request was written (also a final answer in place of a 100) | closed | the rest is owed |
| the send queue was not empty when the answer was read (Linux) | closed | the answer left before the server's machine had it all |
| 2xx | reused | the request was "received, understood, and accepted" (RFC 9110, section 15.3) |
| 303 | reused | it points to the outcome of what was done (section 15.4.4) |
| 422 | reused | "the syntax of the request content is correct" (section 15.5.21): the server has parsed it |
| 401 or 407 with a challenge that may hold for this connection only: NTLM, Negotiate, unknown | the next request of this call | \
the next leg is of use there only, and a server that speaks such a scheme reads what it is sent |
| everything else | closed | the head is enough to say it, so nothing tells whether the body was read |

"Everything else" has 400, 409 and 412 in it, which are often said of a body that was read. They are as often said of fields
(transmission's 409, a wrong Host, an ETag). The cost is a new connection for the request behind, the gain is its right answer.

What stays in doubt: a server that answers 2xx to a small body which it leaves unread looks like one that has read it.

What is no evidence, and is therefore not asked:

* The size. ``http.server`` leaves one byte unread as well as a thousand.
* A 100. Servers send it when they see the field, before the application has looked at the request.
* ``Connection: keep-alive``. gunicorn says it, and closes.
* Silence. A rest without a line's end is noticed only when the next request completes the line.
* What the origin did before. One path reads its body, the next does not; and the first proof would be had by risking an answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum

from .judged import NONE

MAX_HABITS = 512  # origins
HEAD_PATIENCE_SECONDS = 0.002  # cups sends its second answer to a HEAD up to 0.24 ms after the first
FIN_PATIENCE_SECONDS = 0.01  # uWSGI and tinyproxy, which close unannounced, send their FIN up to 0.08 ms after the answer


class Habits:
    """What one origin was seen doing, shared by its connections.

    Attributes:
        strays_after_head: bytes that no request asked for came behind the answer to a HEAD. None until a connection is to be used
            after one for the first time: it is looked at for HEAD_PATIENCE_SECONDS.
        judged: the last head that came over any of them and may come again. It proves nothing about the next: it is compared.
    """

    __slots__ = ("judged", "strays_after_head")

    def __init__(self) -> None:
        self.judged = NONE
        self.strays_after_head: bool | None = None


class AfterBody(Enum):
    """Who may use the connection next."""

    REUSE = "any request"
    ONCE = "the next request of the same call"
    CLOSE = "none"


def after_body(status: int, *, written: bool, queued: bool, challenges: Iterable[bytes] = ()) -> AfterBody:
    """Who may use a connection on which a request with a body was answered. See the table of this module.

    Args:
        status: of the final response.
        written: the whole request was written.
        queued: some of it was still in the send queue when the answer was read.
        challenges: the values of the response's WWW-Authenticate fields for a 401, Proxy-Authenticate for a 407.
    """
    if not written or queued:
        return AfterBody.CLOSE
    if 200 <= status < 300 or status in (303, 422):
        return AfterBody.REUSE
    if status in (401, 407) and any(_may_hold_for_the_connection(challenge) for challenge in challenges):
        return AfterBody.ONCE
    return AfterBody.CLOSE


_OF_SINGLE_REQUESTS = frozenset({b"basic", b"digest", b"bearer", b"dpop", b"hoba", b"mutual", b"vapid"})
# Compiled when there is a challenge.
_QUOTED = rb'"(?:[^"\\\\]|\\\\.)*"'
_SCHEME = rb'(?:^|,)[ \t]*([^ \t,="]+)(?![^ \t,="])(?![ \t]*=)'


def _may_hold_for_the_connection(challenges: bytes) -> bool:
    """Whether one of the schemes in a list of challenges is not known to be about single requests."""
    return any(scheme.lower() not in _OF_SINGLE_REQUESTS for scheme in re.findall(_SCHEME, re.sub(_QUOTED, b"", challenges)))

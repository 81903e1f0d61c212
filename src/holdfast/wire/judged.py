"""A head that h11 has judged: the same bytes say the same of the same method, and need no second parsing. Pure.

Much of what a server answers over a connection begins alike, to the byte: until the second of its Date is over, all answers of one
length. Only the last head of a connection is kept, which costs next to nothing where each is new; a new connection begins with the
last one of its origin. It is one that says how long its body is, or that it comes in chunks, so that h11 has no more to do with the
answer, as a rule.
"""

from __future__ import annotations

from .._values import NamedTuple
from .framing import NO_HEAD, ResponseHead

MAX_BYTES = 2048  # of one that is kept


class Judged(NamedTuple):
    """One head.

    Attributes:
        method: of the request to which it was the answer.
        received: its bytes: all that h11 took, a new one's first bytes.
        said: what it says.
    """

    method: bytes
    received: bytes
    said: ResponseHead


NONE = Judged(b"", b"", NO_HEAD)


def judged(method: bytes, received: bytes, behind: bytes, said: ResponseHead) -> Judged:
    """What h11 made of ``received``, of which it left ``behind``, if it may be kept; else NONE."""
    size = len(received) - len(behind)
    return NONE if size > MAX_BYTES or (said.expected is None and not said.chunked) else Judged(method, received[:size], said)

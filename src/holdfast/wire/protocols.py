"""What an HTTP/1.1 connection stands between: the bytes of a connection, and a request's body; and where it stands itself."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Protocol

from ..message.span import FilePart, FileSpan
from ..reasons import Discard


class ByteStream(Protocol):
    """What an Http1Connection, and its user, need of a connection."""

    clean_eof: bool
    written: int
    strays: bool

    @property
    def sends_files(self) -> bool:
        """Whether ``write_file`` is there for it."""

    @property
    def error(self) -> OSError | None:
        """What broke it, as far as that is known."""

    def read(self, seconds: float | None) -> bytes: ...
    def read_up_to(self, size: int, seconds: float | None) -> bytes: ...
    def read_into(self, view: memoryview, seconds: float | None) -> int: ...
    def write_some(self, data: bytes | memoryview) -> int: ...
    def write_file(self, part: FilePart) -> int: ...
    def wait_writable_or_readable(self, seconds: float | None) -> tuple[bool, bool]: ...
    def readable_now(self) -> bool: ...
    def hasten(self) -> None: ...
    def queued(self) -> bool: ...
    def probe(self, patience: float = 0) -> Discard | None: ...
    def begin_exchange(self) -> None: ...
    def acknowledged(self) -> bool: ...
    def proven_undelivered(self) -> bool: ...
    def interrupt(self) -> None: ...
    def close(self, *, polite: bool = True) -> None: ...
    def forget(self) -> None: ...
    def fileno(self) -> int: ...


class RequestBody(Protocol):
    """What an Http1Connection needs of a request's body."""

    @property
    def data(self) -> bytes | None: ...
    def chunks(self) -> Iterator[bytes]: ...
    def span(self) -> FileSpan | None: ...


class Phase(Enum):
    """Where an exchange stands; the one fact about it, which the connection owns and the reader of its body may look at.

    | phase | since | until |
    |---|---|---|
    | HEAD | ``exchange`` began | the head of the final response is complete |
    | BODY | ``exchange`` may return | the payload has been read to its end |
    | OVER | ``read_body`` came to the end, or there was no exchange yet | the next exchange |

    An exchange that fails stays in the phase it has reached. ``recycle`` gives back what is OVER, and nothing else.
    """

    HEAD = "head"
    BODY = "body"
    OVER = "over"


HEAD, BODY, OVER = Phase  # globals cost a fraction of an enum's attributes


def pieces_of(body: RequestBody, size: int) -> Iterator[bytes | memoryview]:
    """A request's body as it goes out: in pieces of ``size`` bytes if it is in memory, else as its chunks come."""
    data = body.data
    if data is None:
        yield from body.chunks()
        return
    view = memoryview(data)
    for at in range(0, len(view), size):
        yield view[at : at + size]

"""Borrowers: which line of the program has a connection. Found in the stack, and only when it is asked for."""

from __future__ import annotations

import sys
from types import FrameType

Where = tuple[str, int]
"""(file, line)."""

PACKAGE = __name__.partition(".")[0]


def calling_line(frame: FrameType | None) -> Where | None:
    """The line of the innermost caller outside this package; None if there is none."""
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name != PACKAGE and not name.startswith(PACKAGE + "."):
            return frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back
    return None


def current_line() -> Where | None:
    """The line outside this package that is being executed in this thread."""
    return calling_line(sys._getframe(1))


def line_of_thread(ident: int) -> Where | None:
    """The line outside this package that a thread is at; None if there is no such thread."""
    return calling_line(sys._current_frames().get(ident))


def at(where: Where | None) -> str:
    """`` (borrowed at file:line)``, or nothing if that is not known."""
    return "" if where is None else f" (borrowed at {where[0]}:{where[1]})"

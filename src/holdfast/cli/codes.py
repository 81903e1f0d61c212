"""The exit codes, of all commands."""

from __future__ import annotations

OK = 0
UNEXPECTED = 1  # doctor --expect does not hold; download: a checksum differs, or a file was refused
USAGE = 2  # the arguments make no sense; nothing was sent
UNREACHABLE = 3  # no connection: the name, TCP, TLS, a proxy
CLIENT_ERROR = 4  # the answer's status is 400 to 499
SERVER_ERROR = 5  # the answer's status is 500 to 599
BROKEN = 6  # the connection was lost, or what came is not HTTP
TIMEOUT = 7  # something took longer than it may
LOCAL = 8  # a file of this machine cannot be read or written
INTERRUPTED = 130  # Ctrl-C
PIPE_CLOSED = 141  # the reader of the output has gone


def of_status(status: int) -> int:
    """The code for an answer."""
    return OK if status < 400 else CLIENT_ERROR if status < 500 else SERVER_ERROR

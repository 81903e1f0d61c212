"""Waiting for descriptors: ``poll`` where there is one, ``select`` where there is none (Windows, eventlet).

Law: which of the two there is, is asked at each call and not at import. gevent and eventlet replace them, or take them away, when a
program patches itself; a wait by the original would stop every greenlet of the process.

A wait is bounded by the duration it is given: one that comes back with nothing has lasted that long, whatever a clock says.
"""

from __future__ import annotations

import errno
import select
import sys
from collections.abc import Callable
from types import BuiltinFunctionType
from typing import Any

MAX_POLL_SECONDS = 2e6  # poll(2)'s int of milliseconds overflows after 24 days: a longer wait is one without an end
MAX_SELECT_DESCRIPTORS = 500  # select takes 512 on Windows

_POLLIN: int = getattr(select, "POLLIN", 1)
_POLLOUT: int = getattr(select, "POLLOUT", 4)
_POLLPRI: int = getattr(select, "POLLPRI", 2)
_POLLRDHUP: int = getattr(select, "POLLRDHUP", 0)
_NO_DESCRIPTOR = (errno.EBADF, getattr(errno, "WSAENOTSOCK", errno.ENOTSOCK))
_BROKEN: int = getattr(select, "POLLERR", 8) | getattr(select, "POLLHUP", 16) | getattr(select, "POLLNVAL", 32)
_SYSTEM_POLL: Any = getattr(select, "poll", None) if sys.platform == "linux" else None
GONE: int = _BROKEN | _POLLRDHUP
"""The events that say that the other end has ended its side, or the whole connection."""


class _ByPoll:
    """One poll object, kept as long as its descriptor: 0.4 µs a question instead of 1.4."""

    __slots__ = ("_fd", "_poll")

    def __init__(self, fd: int, poll: Any) -> None:
        self._fd = fd
        poll.register(fd, _POLLIN | _POLLPRI | _POLLRDHUP)
        self._poll: Callable[[float | None], list[tuple[int, int]]] = poll.poll

    def events(self, seconds: float | None) -> int:
        """The poll(2) events (something to read, an end, an error) that come within ``seconds``; 0 for none."""
        found = self._poll(None if seconds is None or seconds > MAX_POLL_SECONDS else seconds * 1000)
        return found[0][1] if found else 0

    def hung_up(self, seconds: float) -> bool:
        """Whether the peer's FIN, or an RST, is here within ``seconds``. Data that arrives does not count."""
        return bool(_wait([self._fd], _POLLRDHUP, seconds))


class _BySelect:
    """Without poll an end looks like something to read, until it is read."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def events(self, seconds: float | None) -> int:
        found = _select([self._fd], _POLLIN | _POLLPRI, seconds)
        return found[0][1] if found else 0

    def hung_up(self, seconds: float) -> bool:
        return False  # it cannot be told from data


Readiness = _ByPoll | _BySelect
"""What has happened on one descriptor that is otherwise only read from."""


def readiness_of(fd: int) -> Readiness:
    """The Readiness of one descriptor, for as long as that is open."""
    poll = _poll()
    return _BySelect(fd) if poll is None else _ByPoll(fd, poll)


def wait_for(fd: int, seconds: float | None) -> tuple[bool, bool]:
    """(writable, readable) of one descriptor within ``seconds``; an error or a hang-up counts as both."""
    found = _wait([fd], _POLLIN | _POLLOUT, seconds)
    events = found[0][1] if found else 0
    return bool(events & (_BROKEN | _POLLOUT)), bool(events & (_BROKEN | _POLLIN))


def wait_readable(fd: int, seconds: float | None) -> bool:
    """Whether one descriptor has something to read, an end or an error within ``seconds``."""
    return bool(_wait([fd], _POLLIN, seconds))


def wait_writable(fds: list[int], seconds: float | None) -> list[int]:
    """Those that can be written to within ``seconds``."""
    return [fd for fd, _ in _wait(fds, _POLLOUT, seconds)]


def wait_connected(fds: list[int], seconds: float | None) -> list[tuple[int, bool]]:
    """The sockets of a ``connect()`` under way that have connected, or failed to, within ``seconds``.

    True stands beside those that are known to have connected: Linux's own poll tells of an error with each that failed.
    ``select`` does not, nor does gevent's poll: of such a socket ``SO_ERROR`` has to be asked.
    """
    tells = isinstance(_SYSTEM_POLL, BuiltinFunctionType) and getattr(select, "poll", None) is _SYSTEM_POLL
    return [(fd, tells and events == _POLLOUT) for fd, events in _wait(fds, _POLLOUT, seconds)]


def readable_fds(fds: list[int]) -> list[int]:
    """Those of many idle descriptors on which something has happened: bytes, an end, an error. Consumes nothing."""
    return [fd for fd, _ in _wait(fds, _POLLIN | _POLLPRI | _POLLRDHUP, 0)]


def _poll() -> Any:
    """A new poll object; None where there is no such thing."""
    make: Callable[[], Any] | None = getattr(select, "poll", None)
    return None if make is None else make()


def _wait(fds: list[int], events: int, seconds: float | None) -> list[tuple[int, int]]:
    """(descriptor, events) of those on which one of these events, an error or a hang-up comes within ``seconds``."""
    poll = _poll()
    if poll is None:
        return _select(fds, events, seconds)
    for fd in fds:
        poll.register(fd, events)
    found: list[tuple[int, int]] = poll.poll(None if seconds is None or seconds > MAX_POLL_SECONDS else seconds * 1000)
    return found


def _select(fds: list[int], events: int, seconds: float | None) -> list[tuple[int, int]]:
    found: dict[int, int] = {}
    third = _POLLPRI if events & _POLLPRI else _BROKEN  # urgent data; on Windows also a connect that failed
    for first in range(0, len(fds), MAX_SELECT_DESCRIPTORS):
        some = fds[first : first + MAX_SELECT_DESCRIPTORS]
        try:
            ready = select.select(some if events & _POLLIN else [], some if events & _POLLOUT else [], some, seconds)
        except OSError as error:
            if error.errno not in _NO_DESCRIPTOR:
                raise
            found.update(_one_by_one(some, events))
            continue
        for kind, those in zip((_POLLIN, _POLLOUT, third), ready, strict=True):
            for fd in those:
                found[fd] = found.get(fd, 0) | kind
    return list(found.items())


def _one_by_one(fds: list[int], events: int) -> list[tuple[int, int]]:
    """``select`` refuses all for the sake of a closed one, which ``poll`` would call broken: so is it here."""
    if len(fds) == 1:
        return [(fds[0], _BROKEN)]
    return [pair for fd in fds for pair in _select([fd], events, 0)]

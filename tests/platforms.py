"""The machine the tests run on, and a way to take it away: other platforms, as far as they can be had on Linux.

``HOLDFAST_TESTS_WITHOUT=linux`` in the environment takes away what Linux has and Windows, macOS or a patched interpreter lacks,
before holdfast is imported. ``tests/test_other_platforms.py`` runs the client's suites so. A test that rests on one of these says
``@pytest.mark.needs("linux")``, and is not selected where it is missing.

What this is not: another kernel. Here an RST is still ECONNRESET, and ``select`` takes any descriptor below 1024.
"""

from __future__ import annotations

import importlib.util
import os
import select
import selectors  # noqa: F401 - it looks for poll when it is imported
import socket
import sys
import sysconfig
import time
from collections.abc import Iterable
from typing import Any

POLLPRI: int = getattr(select, "POLLPRI", 0)
POLLRDHUP: int = getattr(select, "POLLRDHUP", 0)
_poll: Any = getattr(select, "poll", None)  # the tests' own eyes: they stay

WITHOUT = "HOLDFAST_TESTS_WITHOUT"

ONLY_SOME_HAVE = (
    (select, ("poll", "epoll", "POLLIN", "POLLOUT", "POLLPRI", "POLLERR", "POLLHUP", "POLLNVAL", "POLLRDHUP")),
    (socket, ("TCP_INFO", "TCP_QUICKACK", "TCP_USER_TIMEOUT", "TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT")),
    (socket, ("AF_UNIX", "SOCK_NONBLOCK")),
    (os, ("register_at_fork", "fork")),
    (time, ("CLOCK_BOOTTIME",)),
)


def take_away() -> None:
    """Make this process one of a platform that has none of these, nor the kernel's answers that go by the platform's name."""
    assert "holdfast" not in sys.modules, "it has asked already"
    for module, names in ONLY_SOME_HAVE:
        for name in names:
            if hasattr(module, name):
                delattr(module, name)
    setattr(socket, "socketpair", pair_on_loopback)  # noqa: B010 - the real one wants AF_UNIX
    sysconfig.get_config_vars()  # they lie in a file that goes by the platform's name, and are read once
    sys.platform = "elsewhere"


def pair_on_loopback() -> tuple[socket.socket, socket.socket]:
    """Two connected sockets, as Python makes them on Windows."""
    with socket.create_server(("127.0.0.1", 0), backlog=1) as listener:
        one = socket.create_connection(listener.getsockname())
        return one, listener.accept()[0]


def happens(descriptor: int, event: int, seconds: float) -> bool:
    """Whether this event of poll(2), an error or a hang-up comes within ``seconds``."""
    poll = _poll()
    poll.register(descriptor, event)
    return bool(poll.poll(seconds * 1000))


def missing(needs: Iterable[str]) -> list[str]:
    """Those of the names given to ``pytest.mark.needs`` that are not to be had here; a name that is none of these is a module's."""
    here = {
        "linux": sys.platform == "linux",
        "fork": hasattr(os, "fork"),
        "poll": hasattr(select, "poll"),
        "unix sockets": hasattr(socket, "AF_UNIX"),
    }
    return [name for name in needs if not (here[name] if name in here else importlib.util.find_spec(name))]

"""A kit for the tests of programs that use holdfast; docs/testing.md tells of it. Nothing outside tests needs it.

``Fake`` answers requests by routes, without a network; ``failures`` are what it can answer with, by name. ``Server`` is a real
server on loopback whose behaviour is a script; ``behaviours`` are ready-made ones, ``responses`` the bytes that they say. The names
are imported when they are first asked for, since pytest imports this package for every program that has holdfast installed.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import behaviours as behaviours
    from . import failures as failures
    from . import responses as responses
    from .answers import Answer as Answer
    from .connection import Conn as Conn
    from .connection import Received as Received
    from .connection import ScriptFailed as ScriptFailed
    from .expected import Call as Call
    from .expected import Expected as Expected
    from .fake import Fake as Fake
    from .fake import UnmatchedRequest as UnmatchedRequest
    from .server import Server as Server

_MODULES = ("behaviours", "failures", "responses")
_HOMES = {
    "Answer": ".answers",
    "Call": ".expected",
    "Conn": ".connection",
    "Expected": ".expected",
    "Fake": ".fake",
    "Received": ".connection",
    "ScriptFailed": ".connection",
    "Server": ".server",
    "UnmatchedRequest": ".fake",
}

__all__ = [
    "Answer",
    "Call",
    "Conn",
    "Expected",
    "Fake",
    "Received",
    "ScriptFailed",
    "Server",
    "UnmatchedRequest",
    "behaviours",
    "failures",
    "responses",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    if name in _HOMES:
        return getattr(import_module(_HOMES[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

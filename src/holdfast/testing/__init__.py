"""A kit for the tests of programs that use holdfast; docs/testing.md tells of it. Nothing outside tests needs it.

``Fake`` answers requests by routes, without a network; ``failures`` are what it can answer with, by name. The names are imported
when they are first asked for, since pytest imports this package for every program that has holdfast installed.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import failures as failures
    from .answers import Answer as Answer
    from .expected import Call as Call
    from .expected import Expected as Expected
    from .fake import Fake as Fake
    from .fake import UnmatchedRequest as UnmatchedRequest

_HOMES = {"Answer": ".answers", "Call": ".expected", "Expected": ".expected", "Fake": ".fake", "UnmatchedRequest": ".fake"}

__all__ = ["Answer", "Call", "Expected", "Fake", "UnmatchedRequest", "failures"]


def __getattr__(name: str) -> Any:
    if name == "failures":
        return import_module(".failures", __name__)
    if name in _HOMES:
        return getattr(import_module(_HOMES[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""Functions to be called around ``os.fork()``: modules register them here, and only this one registers with the interpreter.

Before a fork the functions run in the reverse order of their registration, after it in that order. They are registered once,
when their module is imported, and never taken away: give module-level functions, or methods of what lives as long as the process.
"""

from __future__ import annotations

import os
from collections.abc import Callable

_before: list[Callable[[], object]] = []
_in_parent: list[Callable[[], object]] = []
_in_child: list[Callable[[], object]] = []


def before(function: Callable[[], object]) -> None:
    """Call ``function`` before each fork, in the thread that forks."""
    _before.append(function)


def after_in_parent(function: Callable[[], object]) -> None:
    """Call ``function`` in the parent after each fork, also after one that failed."""
    _in_parent.append(function)


def after_in_child(function: Callable[[], object]) -> None:
    """Call ``function`` in the child after each fork. No other thread exists there, and any lock may be held for ever."""
    _in_child.append(function)


def _call(functions: list[Callable[[], object]]) -> None:
    """Call all of them, also after an error. The first error is raised when all have run; CPython reports it and goes on."""
    errors = []
    for function in functions:
        try:
            function()
        except Exception as error:  # noqa: BLE001 - raised below
            errors.append(error)
    if errors:
        raise errors[0]


if hasattr(os, "register_at_fork"):  # Platform-specific: Windows does not fork
    os.register_at_fork(
        before=lambda: _call(_before[::-1]),
        after_in_parent=lambda: _call(_in_parent),
        after_in_child=lambda: _call(_in_child),
    )

"""``hooks`` as requests has it: the events that a hook can be registered for."""

from __future__ import annotations

from typing import Any

__all__ = ["HOOKS", "default_hooks"]

HOOKS = ["response"]


def default_hooks() -> dict[str, list[Any]]:
    """The hooks of a request that has none."""
    return {event: [] for event in HOOKS}

"""``hooks`` as requests has it: the events that a hook can be registered for, and how hooks are called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["HOOKS", "default_hooks", "dispatch_hook"]

HOOKS = ["response"]


def default_hooks() -> dict[str, list[Any]]:
    """The hooks of a request that has none."""
    return {event: [] for event in HOOKS}


def dispatch_hook(key: str, hooks: Mapping[str, Any] | None, hook_data: Any, **kwargs: Any) -> Any:
    """Give ``hook_data`` to each hook of an event in turn; what a hook returns, unless it is None, goes to the next.

    Args:
        key: the event.
        hooks: by event, a callable or several.
        kwargs: given to each hook beside the data.
    """
    found = (hooks or {}).get(key) or []
    for hook in [found] if callable(found) else found:
        replaced = hook(hook_data, **kwargs)
        if replaced is not None:
            hook_data = replaced
    return hook_data

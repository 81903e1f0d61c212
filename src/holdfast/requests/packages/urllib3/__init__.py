"""``packages.urllib3`` as scripts use it, to silence its warnings: holdfast does without urllib3, and gives no such warning."""

from __future__ import annotations

from typing import Any

from . import exceptions
from .exceptions import HTTPWarning

__all__ = ["disable_warnings", "exceptions"]


def disable_warnings(category: Any = HTTPWarning) -> None:
    """Nothing: there is nothing to silence."""

"""The names of urllib3 that scripts ask for, where it is not installed: holdfast does without, and gives no such warning."""

from __future__ import annotations

from typing import Any

from . import exceptions, util
from .exceptions import HTTPWarning
from .util.retry import Retry
from .util.timeout import Timeout

__all__ = ["Retry", "Timeout", "disable_warnings", "exceptions", "util"]

__version__ = ""


def disable_warnings(category: Any = HTTPWarning) -> None:
    """Nothing: there is nothing to silence."""


def add_stderr_logger(level: int = 0) -> None:
    """Nothing: holdfast's loggers are ``holdfast.pool`` and its like."""

"""Loggers whose module is imported with the first word. A program that logs nothing does not pay for ``import logging``."""

from __future__ import annotations

import sys
from typing import Any

DEBUG = 10  # logging.DEBUG


class Log:
    """The logger of this name. What logging costs to import is paid with the first word, if the program has not paid it."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        try:
            import logging
        except ImportError:  # the interpreter is ending, and imports nothing any more: there is no log to write to
            return lambda *_, **__: None
        return getattr(logging.getLogger(self._name), name)

    def shows_all(self) -> bool:
        """Whether it shows what is said for debugging. Where logging was never imported, the program has set no level."""
        return "logging" in sys.modules and bool(self.isEnabledFor(DEBUG))

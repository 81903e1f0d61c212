"""``urllib3.util``: ``Retry`` and ``Timeout``."""

from __future__ import annotations

from . import retry, timeout
from .retry import Retry
from .timeout import Timeout

__all__ = ["Retry", "Timeout", "retry", "timeout"]

"""``sessions`` as requests has it: ``Session`` under the name of the module that it is in there."""

from __future__ import annotations

from ..client import Client as Session

__all__ = ["Session", "session"]

session = Session

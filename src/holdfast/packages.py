"""``packages.urllib3``, so that a script may silence its warnings: holdfast does without it, and gives no such warning."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any


class HTTPWarning(Warning):
    """Base of urllib3's warnings."""


class InsecureRequestWarning(HTTPWarning):
    """In urllib3: a certificate is not verified, because it was told so."""


def disable_warnings(category: Any = HTTPWarning) -> None:
    """Nothing: there is nothing to silence."""


urllib3 = SimpleNamespace(
    disable_warnings=disable_warnings,
    exceptions=SimpleNamespace(HTTPWarning=HTTPWarning, InsecureRequestWarning=InsecureRequestWarning),
)
"""What scripts use of it: ``packages.urllib3.disable_warnings(packages.urllib3.exceptions.InsecureRequestWarning)``."""

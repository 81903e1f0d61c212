"""``packages`` as requests has it: the libraries that it came with once, under ``requests.packages``.

``packages.urllib3`` is urllib3 itself where it is installed, all of its modules included. Where it is not, it is a package with
the few names of it that scripts ask for: its errors and warnings, ``disable_warnings``, ``Retry`` and ``Timeout``.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

__all__ = ["urllib3"]


def _alias(alias: str, name: str) -> Any:
    """Make a library, and all modules of it that are loaded, importable as ``packages.ALIAS``; None if it is not installed."""
    try:
        library = import_module(name)
    except ImportError:
        return None
    for module in list(sys.modules):
        if module == name or module.startswith(f"{name}."):
            sys.modules[f"{__name__}.{alias}{module[len(name) :]}"] = sys.modules[module]
    return library


def _urllib3() -> Any:
    return _alias("urllib3", "urllib3") or _alias("urllib3", f"{__name__}._urllib3")


urllib3 = _urllib3()
idna = _alias("idna", "idna")
chardet = _alias("chardet", "chardet") or _alias("chardet", "charset_normalizer")

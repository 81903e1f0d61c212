"""``install()`` and ``uninstall()``: this package under the name ``requests``, with all of its modules, for a whole process.

A finder in front of all others gives holdfast's module for each one of requests when it is imported; none is imported before:
with ``packages`` comes urllib3, and a program may have something to patch (gevent does) before that.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, spec_from_loader
from types import ModuleType
from typing import Any

__all__ = ["install", "uninstall"]

_OURS = __package__ or ""
_NAME = "requests"


class _Finder(MetaPathFinder, Loader):
    """Finds holdfast's modules under requests' names; they stay the same objects, with their own names and specs.

    Attributes:
        before: the modules that were known under those names, None while it is not installed.
    """

    def __init__(self) -> None:
        self.before: dict[str, ModuleType] | None = None
        self._specs: dict[str, Any] = {}

    def find_spec(self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname != _NAME and not fullname.startswith(f"{_NAME}."):
            return None
        name = _OURS + fullname[len(_NAME) :]
        try:
            found = name in sys.modules or find_spec(name) is not None
        except ModuleNotFoundError:
            found = False
        # Of a module that is not here, requests' own must not be found: half of each would be worse than none.
        return spec_from_loader(fullname, self, is_package=hasattr(sys.modules.get(name), "__path__")) if found else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = import_module(_OURS + spec.name[len(_NAME) :])
        self._specs[spec.name] = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        spec = module.__spec__
        if spec is not None and spec.name in self._specs:
            module.__spec__ = self._specs.pop(spec.name)  # the import system has put its own there


_finder = _Finder()


def install() -> None:
    """From now on ``import requests``, and of each of its modules, gives this package.

    To be called before other modules import requests: what they have imported stays with them. Idempotent.
    """
    if _finder.before is not None:
        return
    _finder.before = _take_out()
    sys.meta_path.insert(0, _finder)
    # Those that are there already are not found once more: the import system would set each as an attribute of the package,
    # and "__version__" is also the name of one.
    for name in [name for name in sys.modules if name == _OURS or name.startswith(f"{_OURS}.")]:
        sys.modules[_NAME + name[len(_OURS) :]] = sys.modules[name]


def uninstall() -> None:
    """Undo ``install()``: ``import requests`` gives what it gave before it. Idempotent."""
    if _finder.before is None:
        return
    sys.meta_path.remove(_finder)
    _take_out()
    sys.modules.update(_finder.before)
    _finder.before = None


def _take_out() -> dict[str, ModuleType]:
    names = [name for name in sys.modules if name == _NAME or name.startswith(f"{_NAME}.")]
    return {name: sys.modules.pop(name) for name in names}

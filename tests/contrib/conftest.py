"""The two libraries that there is one implementation for: each test runs with both."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any, NamedTuple

import pytest

from holdfast import environment

LIBRARIES = [name for name in ("httpx", "httpx2") if name == "httpx" or importlib.util.find_spec(name)]  # httpx2 needs 3.11


class Road(NamedTuple):
    """A library, and the module that puts holdfast under it."""

    library: Any
    module: Any

    def client(self, **settings: Any) -> Any:
        """A Client of the library over a HoldfastTransport with these settings."""
        return self.library.Client(transport=self.module.HoldfastTransport(**settings))

    def left(self) -> dict[str, int]:
        """What was left to the library."""
        found: dict[str, int] = getattr(self.module, f"left_to_{self.library.__name__}")()
        return found


@pytest.fixture(params=LIBRARIES)
def road(request: pytest.FixtureRequest, no_leaks: None, monkeypatch: pytest.MonkeyPatch) -> Road:
    """One of the libraries; no variable of the environment has a say."""
    for name in environment._NAMES:
        monkeypatch.delenv(name, raising=False)
    return Road(importlib.import_module(request.param), importlib.import_module(f"holdfast.contrib.{request.param}"))

"""holdfast under one ``requests.Session``: ``session.mount("https://", HoldfastAdapter())``.

For all sessions of a process there is ``holdfast.contrib.urllib3.inject()``.
"""

from __future__ import annotations

from typing import Any

from .._extras import needed

with needed(__name__, "requests", "requests"):
    from requests.adapters import HTTPAdapter

from . import urllib3 as under

__all__ = ["HoldfastAdapter"]


class HoldfastAdapter(HTTPAdapter):
    """requests' own adapter, its connections kept by holdfast. Arguments, attributes and hooks of subclasses as there."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the manager as requests does, and carry its pools."""
        super().init_poolmanager(*args, **kwargs)  # type: ignore[no-untyped-call, unused-ignore]  # an older requests has no types
        under.carrying(self.poolmanager)

    def proxy_manager_for(self, proxy: Any, **kwargs: Any) -> Any:
        """The manager for a proxy, as requests makes it, its pools carried."""
        return under.carrying(super().proxy_manager_for(proxy, **kwargs))

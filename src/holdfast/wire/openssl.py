"""``ssl``, loaded over the interpreter's own sockets, whenever that is."""

from __future__ import annotations

from .._loading import over_own_sockets

with over_own_sockets():
    import ssl as ssl

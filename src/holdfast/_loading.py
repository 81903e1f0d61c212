"""Loading what a program may never need: the modules that connect with its first client, those of TLS with its first https URL.

``with loading:`` around such an import keeps a fork away from it. In a child that is forked while another thread is in the middle
of an import, no thread is left to finish that, and the next to import the module would wait for it for ever. OpenSSL's loading of
its algorithms, with the first contexts, is no different.

No module takes it while it is imported. 1. One thread imports the module, by no client's need; 2. another has taken the lock,
and waits for the module; 3. neither goes on.

``with over_own_sockets():`` is for what imports ``ssl``, as http.cookiejar does. ``ssl.SSLSocket`` derives, as long as the
process lives, from what ``socket.socket`` is in that moment, and that may lie in a test which has put something else there: a guard
against the network, a mock, PySocks' class.
"""

from __future__ import annotations

import _socket
import _thread
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from . import _fork

# The interpreter's own, also where a program replaces threading: no module loaded under it switches greenlets.
loading = _thread.RLock()

_fork.before(loading.acquire)
_fork.after_in_parent(loading.release)
_fork.after_in_child(loading.release)


@contextmanager
def over_own_sockets() -> Iterator[None]:
    """``socket.socket`` is the class that came with the interpreter meanwhile, unless ssl is loaded already."""
    module: Any = sys.modules.get("socket")
    own = None if module is None or "ssl" in sys.modules else _own_class()
    if own is None or module.socket is own:
        yield
        return
    replacement, module.socket = module.socket, own
    try:
        yield
    finally:
        module.socket = replacement


def _own_class() -> Any:
    kinds = _socket.socket.__subclasses__()
    return next((kind for kind in kinds if (kind.__module__, kind.__name__) == ("socket", "socket")), None)

"""Loading what a program may never need: the modules that connect with its first client, those of TLS with its first https URL.

``with loading:`` around such an import keeps a fork away from it. In a child that is forked while another thread is in the middle
of an import, no thread is left to finish that, and the next to import the module would wait for it for ever.
"""

from __future__ import annotations

import _thread

from . import _fork

# The interpreter's own, also where a program replaces threading: no module loaded under it switches greenlets.
loading = _thread.RLock()

_fork.before(loading.acquire)
_fork.after_in_parent(loading.release)
_fork.after_in_child(loading.release)

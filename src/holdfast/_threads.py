"""Starting threads, so that a program which is ending ends.

Before Python 3.12 a thread that is started while the interpreter is finalizing dies at once, and ``Thread.start()`` waits for it
for ever. From 3.12 on it raises RuntimeError, as it does everywhere when the system has no room for another thread. Both are
told as False here; the caller then does the work itself, and waits for no other thread to do it.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable


def start_daemon(name: str, work: Callable[[], object]) -> bool:
    """Run ``work`` in a new thread that does not keep the process alive; whether one could be had."""
    return start(threading.Thread(target=work, name=name, daemon=True))


def start(thread: threading.Thread) -> bool:
    """Start this thread; whether that was possible."""
    if sys.is_finalizing():
        return False
    try:
        thread.start()
    except RuntimeError:
        return False
    return True

"""The script ``holdfast``: a Ctrl-C that comes while the package is imported ends the process without a traceback.

To import the command is to import the package first, which takes a second where the disk is cold. This module therefore stands
beside the package and not in it. ``python -m holdfast`` imports the package before any line of its own, and ends as Python ends.
"""

from __future__ import annotations

import signal


def console() -> None:
    """The entry point ``holdfast``."""
    is_pythons = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # else it is ignored, as behind a shell's &
    if is_pythons:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from holdfast.cli import main

    if is_pythons:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    main.console()

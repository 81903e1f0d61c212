"""The clock by which connections age and calls end: seconds, monotonic, the time that the machine sleeps included.

A laptop that slept through the night must not believe its idle connections fresh: their servers closed them meanwhile, and the FINs
were lost. ``time.monotonic`` stands still during sleep on Linux and macOS, and goes on on Windows.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial

if hasattr(time, "CLOCK_BOOTTIME"):
    system_clock: Callable[[], float] = partial(time.clock_gettime, time.CLOCK_BOOTTIME)
elif sys.platform == "darwin":
    system_clock = partial(time.clock_gettime, time.CLOCK_MONOTONIC)
else:
    system_clock = time.monotonic

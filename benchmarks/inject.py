"""The race of ``benchmarks.race`` for programs that do not know holdfast: as they are, and with one line more.

    python -m benchmarks inject [--loopback] [--errors]

The line is ``holdfast.contrib.urllib3.inject()``. Options, table and exit status are those of ``python -m benchmarks race``.
"""

from __future__ import annotations

import sys

from benchmarks import race

PROGRAMS = ("requests", "requests+inject", "urllib3", "urllib3+inject")


def main() -> int:
    """Run the race for each of them; its exit status."""
    sys.argv += [word for program in PROGRAMS for word in ("--only", program)]
    return race.main()


if __name__ == "__main__":
    sys.exit(main())

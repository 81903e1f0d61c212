"""``python -m pages NAME``: build the site or draw a picture; without a name, list what there is."""

from __future__ import annotations

import importlib
import sys

COMMANDS = {
    "build": "the site of docs/, strictly, with every link followed (pip install -e '.[docs]')",
    "idle_times": "docs/pictures/idle-times.svg, from the tables of docs/servers.md",
    "terminal": "docs/pictures/timing.svg and doctor.svg: the commands in a terminal (needs nginx; 90 s)",
}


def main() -> int:
    """Run the command that the command line names; its exit status."""
    if len(sys.argv) != 2 or sys.argv[1] not in COMMANDS:
        print("python -m pages NAME\n")
        for name, what in COMMANDS.items():
            print(f"  {name:12} {what}")
        return 0 if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help") else 2
    status: int = importlib.import_module(f"pages.{sys.argv[1]}").main()
    return status


if __name__ == "__main__":
    sys.exit(main())

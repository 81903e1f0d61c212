"""User-space instructions of a kept-alive GET, by valgrind's callgrind: steady to 1 % on a machine that is not.

    python -m benchmarks instructions [--tls] [--ids] [--only holdfast] [--max-ratio 0.88]

Every client gets 1 KiB from a real nginx on loopback, with its own defaults. It runs twice in an interpreter of its own, the
second time for more requests: the difference, divided by theirs, is what one request costs. ``bare h11 loop`` is the floor of
``python -m benchmarks cpu``: it makes its request event anew each time. The kernel's share is not in it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from benchmarks import table
from benchmarks.cpu import CLIENTS, FLOOR, Floor, Site, fields_of_floor, installed, nginx
from benchmarks.link import exit_on_sigterm
from benchmarks.results import Chart, add_option, save

NAMES = (FLOOR, "holdfast", "urllib3", "requests", "http.client")
WARM_UP = 150  # requests of the shorter run: caches, adaptive bytecode, the connection itself


def run(name: str, site: Site, fields: list[tuple[str, str]], requests: int) -> None:
    """What valgrind watches: so many requests by one client."""
    get = Floor(site, fields).get if name == FLOOR else CLIENTS[name](site)
    for _ in range(requests):
        get()


def instructions(name: str, site: Site, fields: list[tuple[str, str]], requests: int) -> int:
    """Instructions of a whole interpreter in which ``name`` makes so many requests."""
    code = "import sys, json; from benchmarks.cpu import Site; from benchmarks.instructions import run; "
    code += "a = json.loads(sys.argv[1]); run(a[0], Site(*a[1]), a[2], a[3])"
    given = json.dumps([name, [site.port, site.ca], fields, requests])
    done = subprocess.run(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", sys.executable, "-c", code, given],
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or found is None:
        raise SystemExit(f"{name} under valgrind failed:\n{done.stderr[-2000:]}")
    return int(found[1])


def per_request(name: str, site: Site, fields: list[tuple[str, str]], requests: int) -> float:
    """Instructions of one request of ``name``, over so many."""
    with ThreadPoolExecutor(2) as pool:
        short, long = pool.map(lambda n: instructions(name, site, fields, n), (WARM_UP, WARM_UP + requests))
    return (long - short) / requests


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks instructions", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", metavar="CLIENT", action="append", choices=list(CLIENTS), help="only this client")
    parser.add_argument("--tls", action="store_true", help="over TLS (the floor too)")
    parser.add_argument("--ids", action="store_true", help="each answer's head is new: it has an X-Request-Id")
    parser.add_argument("--requests", type=int, default=200, help="requests between the two runs (200)")
    parser.add_argument("--max-ratio", type=float, help="exit with 1 if holdfast takes more than this x the floor's")
    add_option(parser)
    return parser.parse_args()


def main() -> int:
    """Parse the command line and run; the exit status."""
    options = _options()
    exit_on_sigterm()
    programs = {name: shutil.which(name) for name in ("nginx", "valgrind")}
    for name, path in programs.items():
        if path is None:
            print(f"this needs {name}, and there is none on the PATH (apt-get install {name})", file=sys.stderr)
            return 3
    names = [FLOOR, *(options.only or NAMES[1:])]
    with nginx(str(programs["nginx"]), tls=options.tls, ids=options.ids) as site:
        fields = fields_of_floor(site)
        present = [name for name in names if name == FLOOR or installed(name)]
        counts = {name: per_request(name, site, fields, options.requests) for name in present}
    lines = [["client", "instructions per GET", f"x {FLOOR}"]]
    for name in names:
        if name in counts:
            lines.append([name, f"{counts[name]:,.0f}", f"{counts[name] / counts[FLOOR]:.2f}"])
        else:
            lines.append([name, "not installed", ""])
    how = (", TLS" if options.tls else "") + (", no head twice" if options.ids else "")
    print(f"1 KiB from nginx on loopback, kept alive{how}; user space only.\n")
    print(table(lines), flush=True)
    row = f"kept alive{', TLS' if options.tls else ''}"
    figures = {row: {name: round(counts[name] / counts[FLOOR], 3) if name in counts else None for name in names}}
    save(options.json, "instructions", sys.argv[1:], [Chart("Instructions of a GET of 1 KiB", f"× {FLOOR}", figures)])
    ratio = counts["holdfast"] / counts[FLOOR] if "holdfast" in counts else None
    if options.max_ratio is not None and (ratio is None or ratio > options.max_ratio):
        print(f"\nholdfast: {'not measured' if ratio is None else f'{ratio:.2f} x the floor'}, bar {options.max_ratio}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

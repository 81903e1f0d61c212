"""User-space instructions of a kept-alive GET, by valgrind's callgrind: steady to 1 % on a machine that is not.

    python -m benchmarks instructions [--tls] [--ids] [--chunked] [--only holdfast] [--max-ratio 0.88]
    python -m benchmarks instructions --roads [--only urllib3] [--max-ratio 1.0]
    python -m benchmarks instructions --first [--tls] [--only holdfast]

Every client gets 1 KiB from a real nginx on loopback, with its own defaults, in an interpreter of its own. Nothing is counted
before it is warm (caches, adaptive bytecode, the connection itself); what is counted then is divided by the requests. ``bare h11
loop`` is the floor of ``python -m benchmarks cpu``: it makes its request event anew each time. The kernel's share is not in it.

``--roads`` measures what a program pays that knows nothing of holdfast: a library as it is, beside the very same code in an
interpreter that began with ``inject()``, or, for requests once more, with ``holdfast.requests.install()``.

``--first`` counts what a process pays before it has its first answer, on top of an empty interpreter: for the import alone, and for
import and first GET.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import re
import shutil
import subprocess
import sys

from benchmarks import table
from benchmarks.cpu import (
    CLIENTS,
    FIRST,
    FLOOR,
    NEEDED,
    Floor,
    Site,
    compiled_environment,
    fields_of_floor,
    first_program,
    installed,
    nginx,
    run_fresh,
)
from benchmarks.link import exit_on_sigterm
from benchmarks.results import Chart, add_option, save

NAMES = (FLOOR, "holdfast", "urllib3", "requests", "http.client")
ROADS = {  # a library, and what is called before it is imported: module and function
    "urllib3": (("holdfast.contrib.urllib3", "inject"),),
    "requests": (("holdfast.contrib.urllib3", "inject"), ("holdfast.requests", "install")),
    "httpx": (("holdfast.contrib.httpx", "inject"),),
    "httpx2": (("holdfast.contrib.httpx2", "inject"),),
}
WARM_UP = 250  # requests


def run(name: str, site: Site, fields: list[tuple[str, str]], requests: int, road: list[str]) -> None:
    """What valgrind watches: so many requests by one client, after the call that ``road`` names by module and function."""
    if road:
        getattr(importlib.import_module(road[0]), road[1])()
    get = Floor(site, fields).get if name == FLOOR else CLIENTS[name](site)
    for _ in range(WARM_UP):
        get()
    _count("on")
    for _ in range(requests):
        get()
    _count("off")


def _count(switch: str) -> None:
    subprocess.run(["callgrind_control", "-i", switch, str(os.getpid())], stdout=subprocess.DEVNULL, check=True)


def per_request(name: str, site: Site, fields: list[tuple[str, str]], requests: int, road: tuple[str, ...] = ()) -> float:
    """Instructions of one request of ``name``, over so many in an interpreter of its own."""
    code = "import sys, json; from benchmarks.cpu import Site; from benchmarks.instructions import run; "
    code += "a = json.loads(sys.argv[1]); run(a[0], Site(*a[1]), *a[2:])"
    given = json.dumps([name, [site.port, site.ca], fields, requests, road])
    options = ["--tool=callgrind", "--instr-atstart=no", "--callgrind-out-file=/dev/null"]
    done = subprocess.run(
        ["valgrind", *options, sys.executable, "-c", code, given],
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    return _collected(name, done) / requests


def _collected(name: str, done: subprocess.CompletedProcess[str]) -> int:
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or found is None:
        raise SystemExit(f"{name} under valgrind failed:\n{done.stderr[-2000:]}")
    return int(found[1])


def of_program(*program: str) -> int:
    """Instructions of an interpreter that runs this code with these arguments, from compiled modules."""
    run_fresh(*program)  # which compiles what it imports
    argv = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", sys.executable, "-c", *program]
    environment = {**compiled_environment(), "PYTHONHASHSEED": "0"}
    return _collected(repr(program[0]), subprocess.run(argv, env=environment, capture_output=True, text=True, check=False))


def measure_first(options: argparse.Namespace, site: Site) -> list[list[str]]:
    """The table of imports and first GETs."""
    lines = [["client", "import, M instructions", "import and first GET"]]
    empty = of_program("")
    for name in dict.fromkeys([FLOOR, *(options.only or FIRST)]):
        if name == FLOOR or installed(name):
            costs = (of_program(f"import {NEEDED if name == FLOOR else name}"), of_program(*first_program(name, site)))
            lines.append([name, *(f"{(cost - empty) / 1e6:.0f}" for cost in costs)])
    return lines


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks instructions", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", metavar="CLIENT", action="append", choices=list(CLIENTS), help="only this client")
    parser.add_argument("--tls", action="store_true", help="over TLS (the floor too)")
    parser.add_argument("--ids", action="store_true", help="no head comes twice: each has an X-Request-Id of its own")
    parser.add_argument("--chunked", action="store_true", help="the body comes in a chunk")
    parser.add_argument("--first", action="store_true", help="the import, and the first GET of a process")
    parser.add_argument("--roads", action="store_true", help="libraries as they are and over holdfast")
    parser.add_argument("--requests", type=int, default=200, help="requests that are counted (200)")
    parser.add_argument("--max-ratio", type=float, help="exit with 1 above this x the floor's, or x the library's")
    add_option(parser)
    options = parser.parse_args()
    if options.roads and (unknown := [name for name in options.only or () if name not in ROADS]):
        parser.error(f"no road leads under {', '.join(unknown)}: choose from {', '.join(ROADS)}")
    if options.first and (unknown := [name for name in options.only or () if name not in FIRST]):
        parser.error(f"there is no program of a first GET for {', '.join(unknown)}: choose from {', '.join(FIRST)}")
    if options.first and (options.roads or options.json or options.max_ratio is not None):
        parser.error("--first is a table of its own: without --roads, --json and --max-ratio")
    return options


def main() -> int:
    """Parse the command line and run; the exit status."""
    options = _options()
    exit_on_sigterm()
    programs = {name: shutil.which(name) for name in ("nginx", "valgrind")}
    for name, path in programs.items():
        if path is None:
            print(f"this needs {name}, and there is none on the PATH (apt-get install {name})", file=sys.stderr)
            return 3
    with nginx(str(programs["nginx"]), tls=options.tls, ids=options.ids, chunked=options.chunked) as site:
        if options.first:
            print(f"1 KiB from nginx on loopback{_how(options)}, on top of an empty interpreter; user space only.\n")
            print(table(measure_first(options, site)), flush=True)
            return 0
        lines, worst = (measure_roads if options.roads else measure_clients)(options, site)
    print(f"1 KiB from nginx on loopback, kept alive{_how(options)}; user space only.\n")
    print(table(lines), flush=True)
    if options.max_ratio is not None and (worst is None or worst > options.max_ratio):
        print(f"\n{'not measured' if worst is None else f'{worst:.2f} x'}, bar {options.max_ratio}")
        return 1
    return 0


def _how(options: argparse.Namespace) -> str:
    said = ((options.tls, ", TLS"), (options.ids, ", no head twice"), (options.chunked, ", chunked"))
    return "".join(words for holds, words in said if holds)


def measure_clients(options: argparse.Namespace, site: Site) -> tuple[list[list[str]], float | None]:
    """The table of clients beside the floor, and holdfast's ratio to it."""
    names = [FLOOR, *(options.only or NAMES[1:])]
    fields = fields_of_floor(site)
    present = [name for name in names if name == FLOOR or installed(name)]
    counts = {name: per_request(name, site, fields, options.requests) for name in present}
    lines = [["client", "instructions per GET", f"x {FLOOR}"]]
    for name in names:
        if name in counts:
            lines.append([name, f"{counts[name]:,.0f}", f"{counts[name] / counts[FLOOR]:.2f}"])
        else:
            lines.append([name, "not installed", ""])
    row = f"kept alive{_how(options)}"
    figures = {row: {name: round(counts[name] / counts[FLOOR], 3) if name in counts else None for name in names}}
    save(options.json, "instructions", sys.argv[1:], [Chart("Instructions of a GET of 1 KiB", f"× {FLOOR}", figures)])
    return lines, counts["holdfast"] / counts[FLOOR] if "holdfast" in counts else None


def measure_roads(options: argparse.Namespace, site: Site) -> tuple[list[list[str]], float | None]:
    """The table of libraries beside themselves over holdfast, and the worst ratio."""
    lines = [["library", "what is called before", "instructions per GET", "x as it is"]]
    ratios: list[float] = []
    for name in options.only or ROADS:
        if not installed(name):
            lines.append([name, "not installed", "", ""])
            continue
        alone = per_request(name, site, [], options.requests)
        lines.append([name, "", f"{alone:,.0f}", "1.00"])
        for road in ROADS[name]:
            carried = per_request(name, site, [], options.requests, road)
            ratios.append(carried / alone)
            lines.append([name, ".".join(road) + "()", f"{carried:,.0f}", f"{ratios[-1]:.2f}"])
    return lines, max(ratios, default=None)


if __name__ == "__main__":
    sys.exit(main())

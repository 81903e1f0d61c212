"""What one added line does: requests, urllib3, httpx and httpx2 as they are, beside the same with ``inject()``.

    python -m benchmarks inject [--only httpx --only "httpx + inject()"] [options of race]
    python -m benchmarks inject --cost [--tls] [--max-ratio 1.0]

The first is the race of ``python -m benchmarks race`` (see there) for programs that do not know holdfast: the very same code of the
client, in a process in which ``holdfast.contrib.….inject()`` was called before. ``--cost`` measures the CPU of a kept-alive GET of
1 KiB from nginx in blocks, in turn: as it is, carried, as it is, carried, …; the figure is the median of the ratios of neighbours.

Exit status: 0; 1 if an injected library failed, lost, duplicated or concealed anything, or costs more than ``--max-ratio``; 3 if
there can be no link, or no nginx.
"""

from __future__ import annotations

import importlib
import importlib.util
import shutil
import statistics
import sys
from collections.abc import Callable
from typing import Any

from benchmarks import race, table
from benchmarks.cpu import CLIENTS, Get, Site, compare, installed, nginx
from benchmarks.link import exit_on_sigterm

ROWS = [name for library in race.INJECTED for name in (library, library + race.MARK)]


def _carried_httpx(site: Site, library: str) -> Get:
    transport = importlib.import_module(f"holdfast.contrib.{library}").HoldfastTransport(verify=site.context() or True)
    client = importlib.import_module(library).Client(transport=transport)
    return lambda: client.get(site.url).content


def _carried_urllib3(site: Site) -> Get:
    manager = importlib.import_module("holdfast.contrib.urllib3").HoldfastPoolManager(ca_certs=site.ca)
    return lambda: manager.request("GET", site.url).data


def _carried_requests(site: Site) -> Get:
    session = importlib.import_module("requests").Session()
    adapter: Any = importlib.import_module("holdfast.contrib.requests").HoldfastAdapter()
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return lambda: session.get(site.url, verify=site.ca or True).content


CARRIED: dict[str, Callable[[Site], Get]] = {
    "requests": _carried_requests,
    "urllib3": _carried_urllib3,
    "httpx": lambda site: _carried_httpx(site, "httpx"),
    "httpx2": lambda site: _carried_httpx(site, "httpx2"),
}


def cost(wanted: list[str], tls: bool, rounds: int, size: int, bar: float | None) -> int:
    """Print what each library costs carried, against itself; the exit status."""
    program = shutil.which("nginx")
    if program is None:
        print("this needs nginx, and there is none on the PATH (apt-get install nginx-light)", file=sys.stderr)
        return 3
    lines = [["library", "as it is, CPU us per GET", "carried", "x as it is", "quartiles"]]
    worst = 0.0
    with nginx(program, tls=tls) as site:
        for name in wanted:
            module = f"holdfast.contrib.{name}"
            if not installed(name) or importlib.util.find_spec(module) is None:
                lines.append([name, "not installed", "", "", ""])
                continue
            figures, alone = compare(CLIENTS[name](site), {name: CARRIED[name](site)}, rounds, size)
            micro, ratio, quartiles, _ = figures[name].line()
            worst = max(worst, statistics.median(figures[name].ratios))
            lines.append([name, f"{alone * 1e6:.1f}", micro, ratio, quartiles])
    print(f"1 KiB from nginx on loopback, kept alive{', TLS' if tls else ''}; medians of {rounds} blocks of {size} requests.\n")
    print(table(lines), flush=True)
    return 1 if bar is not None and worst > bar else 0


def main() -> int:
    """Parse the command line and run; the exit status."""
    parser = race.parser_of("inject", __doc__, ROWS)
    parser.add_argument("--cost", action="store_true", help="measure CPU instead of the race")
    parser.add_argument("--tls", action="store_true", help="with --cost: over TLS")
    parser.add_argument("--rounds", type=int, default=25, help="with --cost: blocks (25)")
    parser.add_argument("--block", type=int, default=200, help="with --cost: requests in a block (200)")
    parser.add_argument("--max-ratio", type=float, help="with --cost: exit with 1 if one costs more than this x itself")
    options = parser.parse_args()
    options.only = options.only or ROWS
    if not options.cost:
        return race.run_from(options)
    exit_on_sigterm()
    wanted = list(dict.fromkeys(name.removesuffix(race.MARK) for name in options.only))
    try:
        return cost(wanted, options.tls, options.rounds, options.block, options.max_ratio)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())

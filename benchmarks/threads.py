"""Many threads on one client: requests per second, and the latency of the slowest, against an h11 connection per thread.

    python -m benchmarks threads [--threads 8 --threads 64] [--rounds 9] [--json FILE]

Every thread fetches 1 KiB from a real nginx on loopback, again and again, for the time of a round. The floor is a bare h11 loop per
thread, with a connection of its own: nothing is shared but the interpreter. Every other client is one object that all threads use,
allowed as many connections as there are threads. Rounds are in turn, floor, client, floor, …, and the figure is the median of each
round's ratio to the mean of the two floors around it.
"""

from __future__ import annotations

import argparse
import importlib
import shutil
import statistics
import sys
import threading
import time
from collections.abc import Callable

from benchmarks import table
from benchmarks.cpu import BODY, Floor, Get, Site, fields_of_floor, installed, nginx
from benchmarks.link import exit_on_sigterm
from benchmarks.results import Chart, add_option, save

FLOOR = "bare h11 loop per thread"


def _floor(site: Site, threads: int) -> Callable[[], Get]:
    fields = fields_of_floor(site)
    return lambda: Floor(site, fields).get


def _holdfast(site: Site, threads: int) -> Callable[[], Get]:
    holdfast = importlib.import_module("holdfast")
    client = holdfast.Client(limits=holdfast.Limits(max_connections_per_origin=threads, max_idle_connections=threads))
    return lambda: lambda: client.get(site.url).content


def _urllib3(site: Site, threads: int) -> Callable[[], Get]:
    pool = importlib.import_module("urllib3").PoolManager(maxsize=threads)
    return lambda: lambda: pool.request("GET", site.url).data


def _requests(site: Site, threads: int) -> Callable[[], Get]:
    requests = importlib.import_module("requests")
    session = requests.Session()
    session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=threads))
    return lambda: lambda: session.get(site.url).content


def _httpx(site: Site, threads: int) -> Callable[[], Get]:
    httpx = importlib.import_module("httpx")
    client = httpx.Client(limits=httpx.Limits(max_connections=threads, max_keepalive_connections=threads))
    return lambda: lambda: client.get(site.url).content


CLIENTS = {"holdfast": _holdfast, "urllib3": _urllib3, "requests": _requests, "httpx": _httpx}


def crowd(gets: list[Get], seconds: float) -> tuple[float, float]:
    """(requests per second, the 99th percentile of their milliseconds) of a thread for each of ``gets``."""
    taken: list[list[float]] = [[] for _ in gets]
    begin = threading.Barrier(len(gets) + 1)
    ends: list[float] = []

    def run(get: Get, mine: list[float]) -> None:
        begin.wait()
        while (then := time.perf_counter()) < ends[0]:
            get()
            mine.append(time.perf_counter() - then)

    threads = [threading.Thread(target=run, args=pair, daemon=True) for pair in zip(gets, taken, strict=True)]
    for thread in threads:
        thread.start()
    ends.append(time.perf_counter() + seconds)
    then = time.perf_counter()
    begin.wait()
    for thread in threads:
        thread.join()
    passed = time.perf_counter() - then
    every = [one for mine in taken for one in mine]
    return len(every) / passed, statistics.quantiles(every, n=100)[98] * 1e3


def measure(site: Site, threads: int, rounds: int, seconds: float) -> tuple[list[list[str]], dict[str, float | None]]:
    """The rows of the table for this many threads, and the ratios in them."""
    makers = {name: make for name, make in CLIENTS.items() if installed(name)}
    gets = {FLOOR: _gets(_floor(site, threads), threads)}
    gets |= {name: _gets(make(site, threads), threads) for name, make in makers.items()}
    for each in gets.values():
        crowd(each, seconds)  # connections, caches
    floors = [crowd(gets[FLOOR], seconds)]
    rates: dict[str, list[float]] = {name: [] for name in makers}
    ratios: dict[str, list[float]] = {name: [] for name in makers}
    slowest: dict[str, list[float]] = {name: [] for name in makers}
    for _ in range(rounds):
        for name in makers:
            rate, late = crowd(gets[name], seconds)
            floors.append(crowd(gets[FLOOR], seconds))
            rates[name].append(rate)
            ratios[name].append(2 * rate / (floors[-1][0] + floors[-2][0]))
            slowest[name].append(late)
    bare = [statistics.median(column) for column in zip(*floors, strict=True)]
    rows = [[str(threads), FLOOR, f"{bare[0]:,.0f}", "1.00", f"{bare[1]:.1f}"]]
    for name in CLIENTS:
        if name not in makers:
            rows.append([str(threads), name, "not installed", "", ""])
            continue
        figures = [statistics.median(each[name]) for each in (rates, ratios, slowest)]
        rows.append([str(threads), name, f"{figures[0]:,.0f}", f"{figures[1]:.2f}", f"{figures[2]:.1f}"])
    medians = {name: round(statistics.median(ratios[name]), 3) if name in makers else None for name in CLIENTS}
    return rows, {FLOOR: 1.0, **medians}


def _gets(make: Callable[[], Get], threads: int) -> list[Get]:
    gets = [make() for _ in range(threads)]
    assert gets[0]() == BODY
    return gets


def main() -> int:
    """Parse the command line and run; the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks threads", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, action="append", help="how many (1, 8 and 64)")
    parser.add_argument("--rounds", type=int, default=9, help="of each client (9)")
    parser.add_argument("--seconds", type=float, default=0.5, help="of a round (0.5)")
    add_option(parser)
    options = parser.parse_args()
    exit_on_sigterm()
    program = shutil.which("nginx")
    if program is None:
        print("this needs nginx, and there is none on the PATH (apt-get install nginx-light)", file=sys.stderr)
        return 3
    lines = [["threads", "client", "requests per second", f"x {FLOOR}", "99 % within ms"]]
    figures: dict[str, dict[str, float | None]] = {}
    with nginx(program, tls=False) as site:
        for threads in options.threads or (1, 8, 64):
            rows, figures[f"{threads} thread{'s' * (threads > 1)}"] = measure(site, threads, options.rounds, options.seconds)
            lines += rows
    print(f"1 KiB from nginx on loopback, kept alive; medians of {options.rounds} rounds of {options.seconds} s.\n")
    print(table(lines), flush=True)
    chart = Chart("Requests per second on one client", f"× {FLOOR}", figures, more_is_better=True)
    save(options.json, "threads", sys.argv[1:], [chart])
    return 0


if __name__ == "__main__":
    sys.exit(main())

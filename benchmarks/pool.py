"""What one acquire and one release cost, whatever else the pool holds: origins, idle connections, threads that wait.

The connections are numbers: only the pool is measured. CPU time, the best of several rounds; the claim is that every row
is within 1.5 times the first one.

A machine that is shared can be slower for seconds, longer than all rounds of one figure take: 1.8 times was seen, for any of
them. So each row is measured several times over, and the rounds of a figure lie seconds apart.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import logging
import sys
import threading
import time
from collections.abc import Callable

from holdfast.pool.entries import ANY, Lease
from holdfast.pool.limits import Limits
from holdfast.pool.pool import Pool

PASSES = 5
ROUNDS = 6
FLAT = 1.5


def new_pool(limits: Limits) -> Pool[int, int]:
    """A pool of numbers without a keeper thread, which dials on the spot."""
    numbers = itertools.count()
    return Pool(
        lambda key, until: next(numbers),
        lambda resource: None,
        lambda resource, reason: None,
        limits=limits,
        spawn=lambda work: work(),
        watch=lambda pool: None,
    )


def cost(pool: Pool[int, int], keys: list[int], loops: int) -> float:
    """Microseconds of CPU per acquire and release, over ``keys`` in turn."""
    wanted = list(itertools.islice(itertools.cycle(keys), loops))
    for key in keys[:loops]:
        pool.acquire(key).release()
    best = float("inf")
    gc.collect()
    gc.disable()
    try:
        for _ in range(ROUNDS):
            started = time.process_time()
            for key in wanted:
                pool.acquire(key).release()
            best = min(best, time.process_time() - started)
    finally:
        gc.enable()
    return best / loops * 1e6


def origins(count: int, loops: int) -> float:
    """One idle connection to each of ``count`` origins; one and the same origin is used."""
    pool = new_pool(Limits(max_idle_connections=None))
    for key in range(count):
        pool.acquire(key).release()
    return cost(pool, [count // 2], loops)


def every_origin(count: int, loops: int) -> float:
    """The same, all of the origins being used in turn."""
    pool = new_pool(Limits(max_idle_connections=None))
    return cost(pool, list(range(count)), max(loops, count))


def idle(count: int, loops: int) -> float:
    """``count`` idle connections to one origin."""
    pool = new_pool(Limits(max_connections_per_origin=None, max_idle_connections=None))
    pool.warm(0, count)
    return cost(pool, [0], loops)


def waiters(count: int, loops: int) -> float:
    """``count`` threads wait for one origin while another one is used."""
    logging.getLogger("holdfast.pool").setLevel(logging.ERROR)  # the waits are long, and meant
    pool = new_pool(Limits(max_connections_per_origin=1))
    held = pool.acquire(0)
    threads = [threading.Thread(target=lambda: pool.acquire(0).release(), daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    while pool.stats().waiting < count:
        time.sleep(0.01)
    try:
        return cost(pool, [1], loops)
    finally:
        held.release()
        for thread in threads:
            thread.join()


def hand_over(count: int, loops: int) -> float:
    """One release that hands over to the first of ``count`` who wait, and one more who comes to wait; no threads, no switches."""
    pool = new_pool(Limits(max_connections_per_origin=1))
    held = pool.acquire(0)
    queue: list[Lease[int, int]] = []

    def come_to_wait() -> None:
        lease = Lease(pool, threading.get_ident())
        with pool._state.lock:
            pool._state.take(lease, 0, ANY, None)
        queue.append(lease)

    for _ in range(count):
        come_to_wait()
    best = float("inf")
    for _ in range(ROUNDS):
        queue = queue[-count:]
        started = time.process_time()
        for number in range(loops):
            held.release()
            held = queue[number]
            come_to_wait()
        best = min(best, time.process_time() - started)
        queue = queue[loops:]
    for lease in queue:
        with pool._state.lock:
            pool._state.abandon(lease)
    held.release()
    return best / loops * 1e6


ROWS: list[tuple[str, Callable[[int, int], float], tuple[int, ...]]] = [
    ("origins, one of them used", origins, (1, 100, 10_000)),
    ("origins, all used in turn", every_origin, (1, 100, 10_000)),
    ("idle connections to the origin", idle, (1, 100, 10_000)),
    ("threads waiting elsewhere", waiters, (0, 100, 1_000)),
    ("waiting in line: one hand-over", hand_over, (10, 100, 1_000)),
]


def main() -> int:
    """Print one line per situation; 1 if one of them is not flat."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks pool", description=__doc__)
    parser.add_argument("--loops", type=int, default=5000, help="acquisitions per round (default %(default)s)")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a row costs more than 1.5 times its first figure")
    options = parser.parse_args()
    rounds = f"{PASSES * ROUNDS} rounds of {options.loops}"
    print(f"µs of CPU per acquire and release, best of {rounds}; Python {sys.version.split()[0]}\n")
    worst = 0.0
    passes = [[[measure(count, options.loops) for count in counts] for _, measure, counts in ROWS] for _ in range(PASSES)]
    for (name, _, counts), *rows in zip(ROWS, *passes, strict=True):
        figures = [min(same) for same in zip(*rows, strict=True)]
        worst = max(worst, *(figure / figures[0] for figure in figures))
        row = "   ".join(f"{count:>6}: {figure:5.2f}" for count, figure in zip(counts, figures, strict=True))
        print(f"{name:32} {row}   × {max(figures) / figures[0]:.2f}")
    print(f"\nat most {worst:.2f} times the first of a row (wanted: {FLAT})")
    return int(options.check and worst > FLAT)


if __name__ == "__main__":
    sys.exit(main())

"""A fan-out over processes with Dask: every worker has a Client of its own, made from the one here.

    python examples/fan_out_dask.py                             against a site of its own, on loopback
    python examples/fan_out_dask.py https://a.example/ ...      these URLs
    python examples/fan_out_dask.py --workers 4 --calls 1000

A Client is pickled as its configuration (limits, timeouts, headers, TLS settings, …): connections stay behind, and whoever
unpickles it opens its own. ``scatter`` sends it to each worker once, so that all calls of a worker share its connections.
``multiprocessing`` and Ray do the same: hand the Client to what initialises a worker, not to every call.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import holdfast

MISSING = "This example needs Dask: pip install 'holdfast[dask]'"


def call(client: holdfast.Client, url: str) -> tuple[int, int]:
    """Runs in a worker: which process has made the call, and what was answered."""
    return os.getpid(), client.get(url).status_code


def figures(client: holdfast.Client) -> tuple[int, str]:
    """Runs in a worker: which process it is, and how its calls went."""
    return os.getpid(), repr(client.stats())


def fan_out(dask: Any, client: holdfast.Client, urls: Sequence[str]) -> tuple[Counter[int], Counter[int], dict[int, str]]:
    """Call every URL from the workers: calls by process, answers by status, figures by process."""
    everywhere = dask.scatter(client, broadcast=True)
    done = dask.gather(dask.map(call, [everywhere] * len(urls), urls, pure=False))
    workers = list(dask.scheduler_info()["workers"])
    said = dask.gather([dask.submit(figures, everywhere, workers=[each], pure=False) for each in workers])
    return Counter(pid for pid, _ in done), Counter(status for _, status in done), dict(said)


def main(arguments: Sequence[str] | None = None) -> int:
    """Fan out, and print who has done what; the exit status is 0 if every answer was 200."""
    parser = argparse.ArgumentParser(description="Call URLs from several processes, each with a client of its own.")
    parser.add_argument("urls", nargs="*", metavar="URL", help="call these instead of the embedded site")
    parser.add_argument("--workers", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--calls", type=int, default=200, help="calls in all (default 200)")
    given = parser.parse_args(arguments)
    try:
        distributed = importlib.import_module("distributed")
    except ImportError:
        print(MISSING, file=sys.stderr)
        return 2
    with ExitStack() as stack:
        urls = given.urls or [stack.enter_context(site())]
        cluster = stack.enter_context(
            distributed.LocalCluster(
                n_workers=given.workers,
                threads_per_worker=2,
                processes=True,
                host="127.0.0.1",
                dashboard_address=None,
                local_directory=stack.enter_context(tempfile.TemporaryDirectory()),
            )
        )
        dask = stack.enter_context(distributed.Client(cluster))
        client = holdfast.Client(timeout=10, limits=holdfast.Limits(max_connections_per_origin=4))
        calls, statuses, said = fan_out(dask, client, list(itertools.islice(itertools.cycle(urls), given.calls)))
        for pid, line in sorted(said.items()):
            print(f"process {pid}: {calls[pid]} calls; {line}")
        print(f"this process, {os.getpid()}: {client.stats()!r}")
        print("answers: " + ", ".join(f"{count} × {status}" for status, count in sorted(statuses.items())))
    return 0 if set(statuses) == {200} else 1


def site() -> Any:
    """The crawler's embedded site: a script finds what lies beside it."""
    return importlib.import_module("crawler").embedded_site()


if __name__ == "__main__":
    sys.exit(main())

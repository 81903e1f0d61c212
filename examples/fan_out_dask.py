"""A fan-out over processes with Dask: every worker has a Client of its own, made from the one here.

    python examples/fan_out_dask.py                             against a site of its own, on loopback
    python examples/fan_out_dask.py https://a.example/ ...      these URLs
    python examples/fan_out_dask.py --workers 4 --calls 1000

A Client is pickled as its configuration (limits, timeouts, headers, TLS settings, …): connections stay behind, and whoever
unpickles it opens its own. So it belongs to what equips a worker (here a plugin of Dask, which equips those that come later
too), not to the calls: Dask may unpickle the argument of a call, and data that is scattered, as often as it likes.
``multiprocessing`` and Ray do the same: hand the Client to the initialiser, or to the actor.
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

MISSING = "This example needs Dask: pip install -e '.[dask]'"


def equipment(distributed: Any, client: holdfast.Client) -> Any:
    """What gives each worker its own ``client``, from when it starts until it ends."""

    class Equipment(distributed.WorkerPlugin):  # type: ignore[misc]  # its base is known at run time only
        def setup(self, worker: Any) -> None:
            worker.holdfast = client

        def teardown(self, worker: Any) -> None:
            worker.holdfast.close()

    return Equipment()


def own_client() -> holdfast.Client:
    """Runs in a worker: what it was equipped with."""
    client: holdfast.Client = importlib.import_module("distributed").get_worker().holdfast
    return client


def call(url: str) -> tuple[int, int]:
    """Runs in a worker: which process has made the call, and what was answered."""
    return os.getpid(), own_client().get(url).status_code


def figures() -> tuple[int, str]:
    """Runs in a worker: which process it is, and how its calls went."""
    return os.getpid(), repr(own_client().stats())


def fan_out(dask: Any, urls: Sequence[str]) -> tuple[Counter[int], Counter[int], dict[int, str]]:
    """Call every URL from the workers: calls by process, answers by status, figures by process."""
    done = dask.gather(dask.map(call, urls, pure=False))
    workers = list(dask.scheduler_info()["workers"])
    said = dask.gather([dask.submit(figures, workers=[each], pure=False) for each in workers])
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
        dask.register_plugin(equipment(distributed, client))
        calls, statuses, said = fan_out(dask, list(itertools.islice(itertools.cycle(urls), given.calls)))
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

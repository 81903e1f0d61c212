"""A script written for requests, with holdfast under it: one line more, and a line that tells what it did.

    python examples/under_requests.py                 against a server of its own, which gives two answers on each connection
    python examples/under_requests.py URL [TIMES]

Its connections are found stale before they are used, and a POST that provably was not delivered is sent again.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import requests

import holdfast.contrib.urllib3


def work(url: str, times: int) -> None:
    """What the script is for; it knows nothing of holdfast."""
    with requests.Session() as session:
        for number in range(times):
            response = session.post(url, json={"number": number}, timeout=10)
            response.raise_for_status()
            print(response.status_code, response.text)
        report()


def report() -> None:
    """What the connections went through."""
    stats = holdfast.contrib.urllib3.stats()
    print(f"connections: {stats.created}, requests: {stats.requests}, sent again: {sum(stats.resent.values())}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?")
    parser.add_argument("times", nargs="?", type=int, default=6)
    options = parser.parse_args(arguments)
    holdfast.contrib.urllib3.inject()
    try:
        with ExitStack() as stack:
            work(options.url or stack.enter_context(own_site()), options.times)
    finally:
        holdfast.contrib.urllib3.eject()
    return 0


def own_site() -> Any:
    """The server where none is given: a script finds what lies beside it."""
    sites = importlib.import_module("sites")
    return sites.running(sites.Counter)


if __name__ == "__main__":
    sys.exit(main())

"""Server-sent events, followed over as many connections as it takes.

    python examples/follow_events.py                a server of its own, which ends the stream and breaks it off
    python examples/follow_events.py URL

Each new connection asks for what comes behind the last event (Last-Event-ID), after the pause that the server wants.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import holdfast


def follow(client: holdfast.Client, url: str) -> int:
    """Print every event until the server says that there are no more; the exit status."""
    with client.events(url) as source:
        try:
            for event in source:
                print(f"{event.event} {event.id}: {event.data}", flush=True)
        except holdfast.RequestException as error:
            print(f"gave up: {error}", file=sys.stderr)
            return 1
    print(f"the end, after {source.connections} connections; the last event was {source.last_event_id or 'none'}")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Follow the events of a URL."""
    parser = argparse.ArgumentParser(description="Follow an event stream, and take it up again where it breaks off.")
    parser.add_argument("url", nargs="?", help="the stream (default: one of a server of its own)")
    given = parser.parse_args(arguments)
    with ExitStack() as stack:
        url = given.url or stack.enter_context(own_site())
        return follow(stack.enter_context(holdfast.Client()), url)


def own_site() -> Any:
    """The stream where none is given: a script finds what lies beside it."""
    sites = importlib.import_module("sites")
    return sites.running(sites.Ticker)


if __name__ == "__main__":
    sys.exit(main())

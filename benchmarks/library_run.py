"""What ``benchmarks.libraries`` runs in a child process: one drive of one library.

``python library_run.py NAME URL [--install]`` prints what the library gave as one line of JSON. With ``--install`` holdfast is
what the library imports as requests. Each drive is a few calls that a user of the library makes: one that succeeds and, where
there is one, one that fails.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

DRIVES: dict[str, Callable[[str], Any]] = {}


def drive(name: str) -> Callable[[Callable[[str], Any]], Callable[[str], Any]]:
    """Register a drive under the name that the library has on PyPI."""

    def register(function: Callable[[str], Any]) -> Callable[[str], Any]:
        DRIVES[name] = function
        return function

    return register


def failing(call: Callable[[], Any]) -> list[str]:
    """The names of the classes of what a call raises."""
    try:
        call()
    except Exception as error:
        return [each.__name__ for each in type(error).__mro__[:2]]
    return ["nothing raised"]


def main() -> None:
    """Run one drive and print what came of it."""
    name, url = sys.argv[1:3]
    warnings.simplefilter("ignore")
    if "--install" in sys.argv:
        import holdfast.requests

        holdfast.requests.install()
    for drives in ("library_drives", "library_services", "library_more"):
        importlib.import_module(drives)
    registered: Any = importlib.import_module("library_run")  # the module that the drives know, which is not this one
    try:
        outcome: Any = {"result": registered.DRIVES[name](url)}
    except BaseException as error:
        import traceback

        traceback.print_exc()
        outcome = {"error": f"{type(error).__name__}: {error}"[:300]}
    print("\n" + json.dumps(outcome, default=repr))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()

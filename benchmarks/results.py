"""What a measurement found, as a file: the one owner of its form. ``--json FILE`` of a command writes it, ``plot`` draws it.

A file has the command that made it, the date, the machine, the versions of all that may have been compared, and charts. A chart
is one table of numbers in one unit: of each row, the figure of each series. A figure that there is not (a peer that is not
installed, a thing that a client cannot do) is None, with its place kept.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import shlex
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

DISTRIBUTIONS = (
    "holdfast-http",
    "h11",
    "requests",
    "urllib3",
    "httpx",
    "httpcore",
    "httpx2",
    "aiohttp",
    "pycurl",
    "SQLAlchemy",
    "psycopg",
    "psycopg-pool",
)
Figures = Mapping[str, Mapping[str, float | None]]


@dataclass(frozen=True)
class Chart:
    """One table of numbers.

    Attributes:
        title: what was done.
        unit: of every figure, as in "µs of CPU".
        figures: of each row, by series (mostly a client).
        more_is_better: whether the larger figure is the better one.
    """

    title: str
    unit: str
    figures: Figures
    more_is_better: bool = False

    @property
    def series(self) -> list[str]:
        """The series of all rows, in the order in which they come."""
        return list(dict.fromkeys(name for row in self.figures.values() for name in row))


@dataclass(frozen=True)
class Results:
    """One run of one command."""

    command: str
    date: str
    machine: Mapping[str, str | int]
    versions: Mapping[str, str]
    charts: Sequence[Chart]


def add_option(parser: argparse.ArgumentParser) -> None:
    """The option of every command whose figures can be kept."""
    parser.add_argument("--json", metavar="FILE", help="write the figures there too, for python -m benchmarks plot")


def save(path: str | None, name: str, arguments: Sequence[str], charts: Sequence[Chart]) -> None:
    """Write the file, if one was asked for.

    Args:
        path: what ``--json`` was given.
        name: of the command.
        arguments: of its command line.
    """
    if path is None:
        return
    results = Results(command(name, arguments), datetime.date.today().isoformat(), machine(), versions(), charts)
    Path(path).write_text(json.dumps(asdict(results), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def load(path: Path) -> Results:
    """What ``save`` wrote; ValueError if it is something else."""
    try:
        said: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return Results(**{**said, "charts": [Chart(**chart) for chart in said["charts"]]})
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} has no figures that a benchmark's --json wrote: {error}") from error


def command(name: str, arguments: Sequence[str]) -> str:
    """The command line that gives such figures again: without the place where these were put."""
    kept, skip = [], False
    for argument in arguments:
        if not skip and argument != "--json" and not argument.startswith("--json="):
            kept.append(argument)
        skip = argument == "--json"
    return shlex.join(["python", "-m", "benchmarks", name, *kept])


def machine() -> dict[str, str | int]:
    """Of this machine: system, processor, and how many cores this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {"system": f"{platform.system()} {platform.release()}", "processor": _processor(), "cores": cores}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # only Linux has it
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def versions() -> dict[str, str]:
    """Of the interpreter, of OpenSSL, and of those distributions that are installed."""
    found = {"Python": platform.python_version(), "OpenSSL": ssl.OPENSSL_VERSION.split()[1]}
    for name in DISTRIBUTIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found

"""The memory of an idle connection, beside other clients.

    python -m benchmarks idle [--connections 200] [--json FILE]

Each client opens so many connections to one server at once, by answers of 1 KiB that it holds as streams, reads them, and keeps the
connections. *Resident* is what that added to ``VmRSS``, with what opening them took and the allocator keeps. *In use* is what is
allocated and not freed: the C library's count (``mallinfo2``: glibc 2.33 or later), in a second process whose Python asks it
for every byte. The first ten connections, with all that happens once, are in neither.

Linux only: it needs ``/proc``. What the kernel holds for a socket is the same for all, and not counted.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import importlib
import importlib.util
import json
import os
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import table
from benchmarks.bodies import server, write_certificates
from benchmarks.results import Chart, add_option, save

UNITS = {"resident": "default", "in use": "malloc"}
"""What is measured: with which allocator of Python."""

OPENED_BEFORE = 10
ANSWER = 1024
Opened = Callable[[str, int], None]
"""Has so many connections to the URL open at once, and leaves them idle."""


def _holdfast(ca: str | None, count: int) -> Opened:
    holdfast = importlib.import_module("holdfast")
    limits = holdfast.Limits(max_connections_per_origin=count, max_idle_connections=count, idle_timeout=None)
    client = holdfast.Client(verify=ca or True, limits=limits, trust_env=False)

    def run(url: str, count: int) -> None:
        for response in [client.get(url, stream=True) for _ in range(count)]:
            assert len(response.content) == ANSWER

    return run


def _requests(ca: str | None, count: int) -> Opened:
    requests = importlib.import_module("requests")
    session = requests.Session()
    session.trust_env = False
    for scheme in ("http://", "https://"):
        session.mount(scheme, requests.adapters.HTTPAdapter(pool_maxsize=count))

    def run(url: str, count: int) -> None:
        for response in [session.get(url, stream=True, verify=ca) for _ in range(count)]:
            assert len(response.content) == ANSWER

    return run


def _urllib3(ca: str | None, count: int) -> Opened:
    manager = importlib.import_module("urllib3").PoolManager(maxsize=count, **({"ca_certs": ca} if ca else {}))

    def run(url: str, count: int) -> None:
        for response in [manager.request("GET", url, preload_content=False) for _ in range(count)]:
            assert len(response.read()) == ANSWER
            response.release_conn()

    return run


def _httpx(ca: str | None, count: int) -> Opened:
    httpx = importlib.import_module("httpx")
    verify: Any = ssl.create_default_context(cafile=ca) if ca else True
    limits = httpx.Limits(max_connections=count, max_keepalive_connections=count, keepalive_expiry=None)
    client = httpx.Client(verify=verify, limits=limits, trust_env=False)

    def run(url: str, count: int) -> None:
        for response in [client.send(client.build_request("GET", url), stream=True) for _ in range(count)]:
            assert len(response.read()) == ANSWER

    return run


HOLDERS = {"holdfast": _holdfast, "urllib3": _urllib3, "requests": _requests, "httpx": _httpx}


class _Mallinfo2(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")
    ]


def _in_use() -> int | None:
    """Bytes that the C library has given out; None where it does not tell."""
    try:
        ask = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        return None
    ask.restype = _Mallinfo2
    said = ask()
    return int(said.uordblks + said.hblkhd)


def _resident() -> int:
    return int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0]) * 1024


def child(name: str, url: str, ca: str | None, count: int) -> dict[str, float | None]:
    """Bytes per idle connection: resident, and in use."""
    open_to = HOLDERS[name](ca, count + OPENED_BEFORE)
    open_to(url, OPENED_BEFORE)
    gc.collect()
    used, resident = _in_use(), _resident()
    open_to(url, count + OPENED_BEFORE)
    gc.collect()
    now, resident = _in_use(), _resident() - resident
    return {"resident": resident / count, "in use": None if used is None or now is None else (now - used) / count}


def measure(name: str, tls: bool, count: int, units: Sequence[str] = tuple(UNITS)) -> dict[str, float | None]:
    """Bytes of an idle connection of this client, by unit."""
    with tempfile.TemporaryDirectory() as directory:
        write_certificates(directory)
        ca = f"{directory}/ca.pem" if tls else "-"
        with server(directory, tls=tls) as url:
            found = {}
            for unit in units:
                argv = [sys.executable, "-m", "benchmarks.idle", "child", name, f"{url}/{ANSWER}", ca, str(count)]
                environment = {**os.environ, "no_proxy": "*", "PYTHONMALLOC": UNITS[unit]}
                done = subprocess.run(argv, capture_output=True, text=True, timeout=600, check=False, env=environment)
                if done.returncode:
                    raise RuntimeError(f"{name} failed:\n{done.stderr}")
                found[unit] = json.loads(done.stdout)[unit]
    return found


def report(count: int) -> list[Chart]:
    """Print the table of idle connections."""
    names = [name for name in HOLDERS if importlib.util.find_spec(name) is not None]
    rows = [["KiB per idle connection", *HOLDERS]]
    figures: dict[str, dict[str, float | None]] = {}
    for scheme in ("plain", "TLS"):
        found = {name: measure(name, scheme == "TLS", count) for name in names}
        for unit in UNITS:
            row = {name: _kibibytes(found[name][unit]) if name in found else None for name in HOLDERS}
            figures[f"{scheme}, {unit}"] = row
            rows.append([f"{scheme}, {unit}", *(_cell(name in found, kibibytes) for name, kibibytes in row.items())])
    print(table(rows))
    return [Chart("An idle connection", "KiB", figures)]


def _cell(installed: bool, kibibytes: float | None) -> str:
    if not installed:
        return "not installed"
    return "–" if kibibytes is None else f"{kibibytes:.1f}"


def _kibibytes(size: float | None) -> float | None:
    return None if size is None else round(size / 1024, 2)


def main() -> int:
    """Parse the command line and run; the exit status."""
    if sys.argv[1:2] == ["child"]:
        name, url, ca, count = sys.argv[2:]
        print(json.dumps(child(name, url, None if ca == "-" else ca, int(count))))
        return 0
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks idle", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--connections", type=int, default=200, help="of each client (200)")
    add_option(parser)
    options = parser.parse_args()
    if not os.path.exists("/proc/self/status"):
        print("this needs /proc/self/status: only Linux says how much of a process is resident", file=sys.stderr)
        return 3
    save(options.json, "idle", sys.argv[1:], report(options.connections))
    return 0


if __name__ == "__main__":
    sys.exit(main())

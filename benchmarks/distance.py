"""A thousand requests to a server 100 ms away: what a connection per request costs there, and what keeping them saves.

    python -m benchmarks distance [--requests 1000] [--threads 10] [--delay 0.05] [--json FILE]

An nginx with TLS 1.3 is at the other end of a link with 50 ms each way (``python -m benchmarks link``). Each way to make the
requests is a process of its own, one after the other, with its own client's defaults. nginx says in its log over which
connection each request came and whether its handshake was resumed: the counts are the server's. Seconds are from the making of
the client to the last answer; the import is not in them.

*The handshake*, apart: nginx closes after each answer, so every request shakes hands; with tickets, and with neither tickets nor a
session cache. Over TLS 1.2 a full handshake takes a round trip more than a resumed one, over TLS 1.3 both take one.

Needs Linux and root for the link, and nginx.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from benchmarks import table
from benchmarks.link import SERVER_ADDRESS, Link, LinkUnavailable, exit_on_sigterm
from benchmarks.results import Chart, add_option, save

BODY = b"0123456789abcdef" * 64
START_SECONDS = 10.0
TIMEOUT = 30.0
Get = Callable[[], int]
"""Makes one request; the length of the answer's body."""

CONFIGURATION = """
daemon off;
user root;
worker_processes 1;
pid {root}/pid;
error_log {root}/errors warn;
events {{ worker_connections 2000; }}
http {{
    log_format counted "$server_port $connection $ssl_session_reused";
    access_log {root}/log counted;
    keepalive_requests 1000000;
    ssl_certificate {root}/server.crt;
    ssl_certificate_key {root}/server.key;
    root {root}/files;
    {servers}
}}
"""


class Site(NamedTuple):
    """One of nginx' ports."""

    port: int
    settings: str


KEPT = Site(8443, "keepalive_timeout 600; ssl_protocols TLSv1.3;")
CLOSING = {
    ("1.2", "full"): Site(8444, "keepalive_timeout 0; ssl_protocols TLSv1.2; ssl_session_tickets off; ssl_session_cache none;"),
    ("1.2", "resumed"): Site(8445, "keepalive_timeout 0; ssl_protocols TLSv1.2;"),
    ("1.3", "full"): Site(8446, "keepalive_timeout 0; ssl_protocols TLSv1.3; ssl_session_tickets off; ssl_session_cache none;"),
    ("1.3", "resumed"): Site(8447, "keepalive_timeout 0; ssl_protocols TLSv1.3;"),
}


# -- the ways to make them ------------------------------------------------------------------------------------------------


def _requests_get(url: str, ca: str, threads: int) -> Get:
    requests = importlib.import_module("requests")
    return lambda: len(requests.get(url, verify=ca, timeout=TIMEOUT).content)


def _requests_session(url: str, ca: str, threads: int) -> Get:
    session = importlib.import_module("requests").Session()
    return lambda: len(session.get(url, verify=ca, timeout=TIMEOUT).content)


def _urllib3(url: str, ca: str, threads: int) -> Get:
    pool = importlib.import_module("urllib3").PoolManager(ca_certs=ca, timeout=TIMEOUT, maxsize=threads)
    return lambda: len(pool.request("GET", url).data)


def _httpx_client(url: str, ca: str, threads: int) -> Get:
    import ssl

    client = importlib.import_module("httpx").Client(verify=ssl.create_default_context(cafile=ca), timeout=TIMEOUT)
    return lambda: len(client.get(url).content)


def _holdfast_get(url: str, ca: str, threads: int) -> Get:
    holdfast = importlib.import_module("holdfast")
    holdfast.configure(verify=ca)
    return lambda: len(holdfast.get(url).content)


def _holdfast_client(url: str, ca: str, threads: int) -> Get:
    client = importlib.import_module("holdfast").Client(verify=ca)
    return lambda: len(client.get(url).content)


WAYS: dict[str, tuple[str, Callable[[str, str, int], Get]]] = {
    "requests.get, one-off": ("requests", _requests_get),
    "requests.Session": ("requests", _requests_session),
    "urllib3.PoolManager": ("urllib3", _urllib3),
    "httpx.Client": ("httpx", _httpx_client),
    "holdfast.get": ("holdfast", _holdfast_get),
    "holdfast.Client": ("holdfast", _holdfast_client),
}
"""Name: (the module it needs, what makes one)."""


def child(way: str, url: str, ca: str, count: int, threads: int) -> dict[str, float]:
    """Make the requests; seconds, and CPU seconds of this process, threads included."""
    module, make = WAYS[way]
    importlib.import_module(module)
    cpu, began = time.process_time(), time.monotonic()
    get = make(url, ca, threads)
    with ThreadPoolExecutor(threads) as pool:
        lengths = list(pool.map(lambda _: get(), range(count)))
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    if lengths != [len(BODY)] * count:
        raise SystemExit(f"{way}: some of the answers were not the file")
    return {"seconds": seconds, "cpu": cpu}


# -- the server ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """What the server saw of one way's requests, and what the client measured."""

    handshakes: int
    resumed: int
    seconds: float
    cpu: float


def seen(lines: list[str], said: dict[str, float]) -> Seen:
    """From the log's lines, "port connection reused" each."""
    reused = {connection: mark == "r" for _, connection, mark in (line.split() for line in lines)}
    return Seen(len(reused), sum(reused.values()), said["seconds"], said["cpu"])


class Server:
    """nginx at the far end of the link."""

    def __init__(self, link: Link, program: str, root: Path) -> None:
        self._link = link
        self._root = root
        self._lines_read = 0
        self.ca = str(root / "ca.pem")
        _write_files(root)
        argv = [program, "-e", f"{root}/errors", "-p", str(root), "-c", f"{root}/conf"]
        self._process = link.start_server(argv)
        self._wait(lambda: (root / "pid").exists(), "did not start")

    def _wait(self, happened: Callable[[], bool], otherwise: str) -> None:
        until = time.monotonic() + START_SECONDS
        while not happened():
            if time.monotonic() > until or self._process.poll() is not None:
                raise SystemExit(f"nginx {otherwise}: {(self._root / 'errors').read_text()}")
            time.sleep(0.02)

    def try_way(self, way: str, site: Site, count: int, threads: int) -> Seen:
        """What comes of so many requests made in this way."""
        url = f"https://{SERVER_ADDRESS}:{site.port}/k"
        argv = [sys.executable, "-m", "benchmarks.distance", "child", way, url, self.ca, str(count), str(threads)]
        client = self._link.start_client(argv, stdout=subprocess.PIPE, text=True)
        output, _ = client.communicate()
        if client.returncode:
            raise SystemExit(f"{way} failed")
        self._wait(lambda: len(self._log()) >= count, "did not note every request")
        lines = self._log()
        self._lines_read += len(lines)
        return seen(lines, json.loads(output))

    def _log(self) -> list[str]:
        return (self._root / "log").read_text().splitlines()[self._lines_read :]


def _write_files(root: Path) -> None:
    authority = importlib.import_module("trustme").CA()
    identity = authority.issue_cert(SERVER_ADDRESS)
    authority.cert_pem.write_to_path(root / "ca.pem")
    identity.cert_chain_pems[0].write_to_path(root / "server.crt")
    identity.private_key_pem.write_to_path(root / "server.key")
    (root / "files").mkdir()
    (root / "files" / "k").write_bytes(BODY)
    servers = "\n".join(
        f"server {{ listen {SERVER_ADDRESS}:{site.port} ssl; {site.settings} }}" for site in (KEPT, *CLOSING.values())
    )
    (root / "conf").write_text(CONFIGURATION.format(root=root, servers=servers))


@contextmanager
def _server(delay: float, program: str) -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as directory, Link(delay) as link:
        yield Server(link, program, Path(directory))


# -- the command ----------------------------------------------------------------------------------------------------------


def _installed() -> list[str]:
    missing = sorted({module for module, _ in WAYS.values() if importlib.util.find_spec(module) is None})
    for module in missing:
        print(f"{module} is not installed: its rows are left out")
    return [way for way, (module, _) in WAYS.items() if module not in missing]


def compare_ways(server: Server, ways: list[str], count: int, threads: int) -> Chart:
    """Print the first table: each way in one thread and in many."""
    rows = [["", "threads", "s", "handshakes", "CPU s"]]
    seconds: dict[str, dict[str, float | None]] = {}
    for way in ways:
        for crowd in (1, threads):
            print(f"{way}, {crowd} ...", file=sys.stderr, flush=True)
            found = server.try_way(way, KEPT, count, crowd)
            rows.append([way, str(crowd), f"{found.seconds:.1f}", str(found.handshakes), f"{found.cpu:.2f}"])
            seconds.setdefault(f"{crowd} thread{'s' * (crowd > 1)}", {})[way] = round(found.seconds, 2)
    print(table(rows), end="\n\n", flush=True)
    return Chart(f"{count:,} requests over TLS 1.3, 100 ms away", "s", seconds)


def compare_handshakes(server: Server, ways: list[str], count: int) -> Chart:
    """Print the second table: a handshake for each request, full or resumed."""
    rows = [["", "TLS", "server", "ms per request", "handshakes", "resumed", "CPU ms per request"]]
    figures: dict[str, dict[str, float | None]] = {}
    for way in ways:
        for (version, kind), site in CLOSING.items():
            print(f"{way}, TLS {version}, {kind} ...", file=sys.stderr, flush=True)
            found = server.try_way(way, site, count, 1)
            each = [found.seconds / count * 1e3, found.cpu / count * 1e3]
            gives = "gives tickets" if kind == "resumed" else "gives none"
            counts = [str(found.handshakes), str(found.resumed)]
            rows.append([way, version, gives, f"{each[0]:.0f}", *counts, f"{each[1]:.2f}"])
            figures.setdefault(f"TLS {version}, server {gives}", {})[way] = round(each[0], 1)
    print(table(rows), flush=True)
    return Chart("A new connection for each request, 100 ms away", "ms per request", figures)


def main() -> int:
    """Parse the command line and run; the exit status."""
    if sys.argv[1:2] == ["child"]:
        way, url, ca, count, threads = sys.argv[2:]
        print(json.dumps(child(way, url, ca, int(count), int(threads))))
        return 0
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks distance", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=1000, help="of each way (1000)")
    parser.add_argument("--threads", type=int, default=10, help="beside one thread (10)")
    parser.add_argument("--handshakes", type=int, default=50, help="of each kind (50)")
    parser.add_argument("--delay", type=float, default=0.05, help="of the link, seconds each way (0.05)")
    parser.add_argument("--only", nargs="+", choices=WAYS, metavar="WAY", help=f"of {', '.join(WAYS)}")
    add_option(parser)
    options = parser.parse_args()
    exit_on_sigterm()
    program = shutil.which("nginx")
    if program is None:
        print("this needs nginx, and there is none on the PATH (apt-get install nginx-light)", file=sys.stderr)
        return 3
    ways = [way for way in _installed() if way in (options.only or WAYS)]
    try:
        with _server(options.delay, program) as server:
            charts = [compare_ways(server, ways, options.requests, options.threads)]
            kept = [way for way in ways if way in ("requests.Session", "holdfast.Client")]
            charts.append(compare_handshakes(server, kept, options.handshakes))
    except LinkUnavailable as error:
        print(f"no link: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        return 130
    save(options.json, "distance", sys.argv[1:], charts)
    return 0


if __name__ == "__main__":
    sys.exit(main())

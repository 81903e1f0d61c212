"""Head and body in two writes, with Nagle's algorithm on: what does keeping the connection cost?

    python -m benchmarks delayed_ack [--venv DIR] [--only "http.server 1.1"]

Such a server's kernel holds the body back until the head is acknowledged, and the client's kernel delays that by 40 ms
from the second request of a connection on: a kept connection is then slower than a new one for each request. It
concerns the standard library's ``http.server`` with HTTP/1.1, uvicorn with ``--workers`` (on asyncio), and anything
that writes twice; *raw* is a script that does nothing else, *raw, one write* the same without the fault, for comparison.

Median ms per GET, with the connection kept, and with ``Connection: close`` asked for, so that each has a new one. The
kernel acknowledges at once for a while when a connection is young, so the first few of each are left out. Requests that
failed are counted beside (``http.server`` closes after a ``Connection: close`` of the client, and does not say so).

Exit status 0; 2 if nothing could be tried.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence

from benchmarks import table
from benchmarks.clients import PEERS, Peer, Setting, installed, titles
from benchmarks.link import exit_on_sigterm
from benchmarks.processes import HOST, NotStarted, Processes, environment, free_port, hear, tell
from benchmarks.real_servers import SERVERS, UVICORN_WORKERS, Environment, NotInstalled

CLIENTS = ("holdfast", "requests", "httpx", "urllib3", "http.client")
RAW = {"raw": "two", "raw, one write": "one"}
REAL = {"http.server 1.1": SERVERS["http.server 1.1"], "uvicorn --workers 2": UVICORN_WORKERS}
WARM_UP = 5

# -- the raw server ----------------------------------------------------------------------------------------------


def serve(port: int, writes: str) -> None:
    """Answer every request with a head and a body, in one write or in two; never TCP_NODELAY."""
    with socket.create_server((HOST, port)) as listener:
        while True:
            threading.Thread(target=_serve_one, args=(listener.accept()[0], writes), daemon=True).start()


def _serve_one(sock: socket.socket, writes: str) -> None:
    body = b"x" * 100
    with contextlib.suppress(OSError), sock:  # a client that leaves is no failure of the server
        buffer = b""
        while data := sock.recv(65536):
            buffer += data
            if not buffer.endswith(b"\r\n\r\n"):
                continue
            close = b"connection: close" in buffer.lower()
            buffer = b""
            head = b"HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n" % (b"Connection: close\r\n" if close else b"", len(body))
            for part in [head, body] if writes == "two" else [head + body]:
                sock.sendall(part)
            if close:
                return


@contextlib.contextmanager
def running(name: str, venv: str) -> Iterator[str]:
    """The server, started; its URL."""
    if name in REAL:
        home = Environment(venv)
        home.install(REAL[name])
        with home.running(REAL[name]) as (url, _):
            yield f"{url}/run/0123456789abcdef"
        return
    with Processes() as processes:
        port = free_port()
        argv = [sys.executable, "-m", "benchmarks.delayed_ack", "serve", str(port), RAW[name]]
        process = processes.start(argv, env=environment())
        processes.listening(process, port)
        yield f"http://{HOST}:{port}/run/0123456789abcdef"


# -- the client's process ----------------------------------------------------------------------------------------


def measure(peer: Peer, url: str, requests: int) -> list[tuple[float, int]]:
    """On kept connections, and on new ones: milliseconds of the median GET, and how many failed."""
    results = []
    for headers in ({}, {"Connection": "close"}):
        took, failed = [], 0
        for _ in range(requests + WARM_UP):
            began = time.perf_counter()
            try:
                answered = peer.send("GET", url, None, headers)[0] == 200
            except Exception:
                answered = False
            failed += not answered
            took += [time.perf_counter() - began] if answered else []
        middle = statistics.median(took[WARM_UP:]) if len(took) > WARM_UP else float("nan")
        results.append((1000 * middle, failed))
    return results


def try_client(client: str, url: str, requests: int) -> list[tuple[float, int]]:
    """One client, in a process of its own."""
    with Processes() as processes:
        process = processes.converse("benchmarks.delayed_ack", "drive", client, url, json.dumps(requests))
        try:
            return [(ms, failed) for ms, failed in hear(process, 120.0)]
        except NotStarted as error:
            raise NotStarted(f"{client}: {error}; {processes.last_words()}") from None


# -- the command -------------------------------------------------------------------------------------------------


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks delayed_ack", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", metavar="SERVER", action="append", choices=[*REAL, *RAW], help=f"of {', '.join([*REAL, *RAW])}")
    parser.add_argument("--client", action="append", choices=CLIENTS, help=f"which ones ({', '.join(CLIENTS)})")
    parser.add_argument("--venv", metavar="DIR", help="where uvicorn is, or is to be, installed (a temporary folder)")
    parser.add_argument("--requests", type=int, default=60, help="of each client, kept and not kept (60)")
    return parser.parse_args()


def run(options: argparse.Namespace) -> int:
    """Try every server with every client, print the table; the exit status."""
    clients = installed(options.client or list(CLIENTS))
    rows, broken = [["server", *[f"{client}: kept / new" for client in clients]]], []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for name in options.only or [*REAL, *RAW]:
            print(f"{name} ...", end=" ", flush=True, file=sys.stderr)
            try:
                with running(name, options.venv or folder) as url:
                    rows.append([name, *[_cell(try_client(client, url, options.requests)) for client in clients]])
            except (NotInstalled, NotStarted) as error:
                broken.append(f"{name}: not tried: {error}")
    print(f"\n{titles(clients)}. Median ms per GET, {options.requests} each.\n")
    print(table(rows))
    for line in broken:
        print(line)
    return 0 if len(rows) > 1 else 2


def _cell(results: Sequence[tuple[float, int]]) -> str:
    return " / ".join(f"{ms:.2f}{f' ({failed} failed)' if failed else ''}" for ms, failed in results)


def main() -> int:
    """Parse the command line and run; the exit status."""
    if sys.argv[1:2] == ["serve"]:
        serve(int(sys.argv[2]), sys.argv[3])
    if sys.argv[1:2] == ["drive"]:
        peer = PEERS[sys.argv[2]](Setting())
        tell(measure(peer, sys.argv[3], json.loads(sys.argv[4])))
        peer.close()
        return 0
    options = _options()
    exit_on_sigterm()
    try:
        return run(options)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())

"""Bodies in small pieces: CPU per chunk, and per line, beside other clients, and of these over holdfast.

    python -m benchmarks pieces [--items 100000] [--rounds 5] [--only holdfast requests] [--json FILE]

What programs send while they make it comes in chunks of a few bytes: the tokens of a language model, the rows of an export, a page
from a template. All of it is there to be read at once here, so that what is measured is the reading, and not the arrival.

The server is a process, and each client another one, which fetches everything once before it counts. The figure is the least of
the rounds: CPU (``time.process_time``) of a body, by its chunks or lines. *over holdfast* is the same code behind
``holdfast.contrib.urllib3.inject()`` or ``holdfast.contrib.httpx.inject()``.
"""

from __future__ import annotations

import argparse
import importlib
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from benchmarks import table
from benchmarks.link import end, exit_on_sigterm
from benchmarks.results import Chart, add_option, save

EVENT = b'data: {"choices":[{"delta":{"content":"tok"}}]}\n\n'
LINE = b'{"line": 12345, "text": "some words of a log line"}\n'
TASKS = {
    "chunks, one by one": "/events",
    "chunks, as a whole": "/events",
    "chunks, line by line": "/events",
    "a known length, line by line": "/lines",
}
OVER = " over holdfast"
Read = Callable[[Any], int]


# -- the server ----------------------------------------------------------------------------------------------------------


def answers(items: int) -> dict[bytes, bytes]:
    """By path: what is sent."""
    lines, chunk = LINE * items, b"%x\r\n%s\r\n" % (len(EVENT), EVENT)
    return {
        b"/lines": b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(lines) + lines,
        b"/events": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk * items + b"0\r\n\r\n",
    }


def serve(items: int) -> None:
    """Serve until killed, a thread per connection; the port goes to standard output."""
    known = answers(items)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            threading.Thread(target=_converse, args=(listener.accept()[0], known), daemon=True).start()


def _converse(connection: socket.socket, known: dict[bytes, bytes]) -> None:
    with connection, connection.makefile("rb") as incoming:
        while line := incoming.readline():
            while incoming.readline().strip():
                pass
            connection.sendall(known[line.split()[1]])


# -- the clients ---------------------------------------------------------------------------------------------------------


def _count(pieces: Iterable[object]) -> int:
    return sum(1 for _ in pieces)


def _like_requests(client: Any, url: str) -> dict[str, Callable[[], int]]:
    def streamed(path: str, read: Read) -> int:
        with client.get(url + path, stream=True) as response:
            return read(response)

    return {
        "chunks, one by one": lambda: streamed("/events", lambda response: _count(response.iter_content(None))),
        "chunks, as a whole": lambda: client.get(url + "/events").content.count(b"\n\n"),
        "chunks, line by line": lambda: streamed("/events", lambda response: _count(response.iter_lines())) // 2,
        "a known length, line by line": lambda: streamed("/lines", lambda response: _count(response.iter_lines())),
    }


def _urllib3(url: str) -> dict[str, Callable[[], int]]:
    manager = importlib.import_module("urllib3").PoolManager()

    def streamed(path: str, read: Read) -> int:
        response = manager.request("GET", url + path, preload_content=False)
        count = read(response)
        response.release_conn()
        return count

    return {
        "chunks, one by one": lambda: streamed("/events", lambda response: _count(response.stream(None))),
        "chunks, as a whole": lambda: manager.request("GET", url + "/events").data.count(b"\n\n"),
        "a known length, line by line": lambda: streamed("/lines", _count),
    }


def _httpx(url: str) -> dict[str, Callable[[], int]]:
    client = importlib.import_module("httpx").Client(trust_env=False)

    def streamed(path: str, read: Read) -> int:
        with client.stream("GET", url + path) as response:
            return read(response)

    return {
        "chunks, one by one": lambda: streamed("/events", lambda response: _count(response.iter_raw())),
        "chunks, as a whole": lambda: client.get(url + "/events").content.count(b"\n\n"),
        "chunks, line by line": lambda: streamed("/events", lambda response: _count(response.iter_lines())) // 2,
        "a known length, line by line": lambda: streamed("/lines", lambda response: _count(response.iter_lines())),
    }


def _of_module(name: str) -> Callable[[str], dict[str, Callable[[], int]]]:
    def make(url: str) -> dict[str, Callable[[], int]]:
        module = importlib.import_module(name)
        client = (getattr(module, "Client", None) or module.Session)()
        client.trust_env = False
        return _like_requests(client, url)

    return make


CLIENTS: dict[str, Callable[[str], dict[str, Callable[[], int]]]] = {
    "holdfast": _of_module("holdfast"),
    "requests": _of_module("requests"),
    "requests" + OVER: _of_module("requests"),
    "urllib3": _urllib3,
    "urllib3" + OVER: _urllib3,
    "httpx": _httpx,
    "httpx" + OVER: _httpx,
}
ROADS = {"requests": "holdfast.contrib.urllib3", "urllib3": "holdfast.contrib.urllib3", "httpx": "holdfast.contrib.httpx"}


def child(name: str, url: str, items: int, rounds: int) -> dict[str, float]:
    """By task, the CPU microseconds of an item."""
    if name.endswith(OVER):
        importlib.import_module(ROADS[name.removesuffix(OVER)]).inject()
    found = {}
    for task, measured in CLIENTS[name](url).items():
        count, least = measured(), float("inf")
        for _ in range(rounds):
            started = time.process_time()
            measured()
            least = min(least, time.process_time() - started)
        if count < items and name != "httpx" + OVER:  # httpx knows pieces and no chunks: holdfast gives it what has come
            raise SystemExit(f"{name}, {task}: {count} of {items} came")
        found[task] = least / items * 1e6
    return found


# -- the comparison ------------------------------------------------------------------------------------------------------


def _command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "benchmarks.pieces", *map(str, arguments)]


def main() -> int:
    """Parse the command line and run; the exit status."""
    if sys.argv[1:2] == ["serve"]:
        serve(int(sys.argv[2]))
    if sys.argv[1:2] == ["child"]:
        name, url, items, rounds = sys.argv[2:]
        print(json.dumps(child(name, url, int(items), int(rounds))))
        return 0
    parser = argparse.ArgumentParser(prog="python -m benchmarks pieces", description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=100_000, help="chunks, or lines, of a body (default 100000)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured (default 5)")
    parser.add_argument("--only", nargs="+", choices=CLIENTS, default=list(CLIENTS), help="these clients")
    add_option(parser)
    options = parser.parse_args()
    exit_on_sigterm()
    found: dict[str, dict[str, float]] = {}
    server = subprocess.Popen(_command("serve", options.items), stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        url = f"http://127.0.0.1:{server.stdout.readline().strip()}"
        for name in options.only:
            command = _command("child", name, url, options.items, options.rounds)
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"{name} is left out: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
            else:
                found[name] = json.loads(done.stdout)
    finally:
        end(server)
    rows = [["us of CPU per item", *found]]
    rows += [[task, *(f"{by[task]:.2f}" if task in by else "–" for by in found.values())] for task in TASKS]
    print(table(rows))
    figures = {task: {name: round(by[task], 3) if task in by else None for name, by in found.items()} for task in TASKS}
    save(options.json, "pieces", sys.argv[1:], [Chart("A chunk or a line of some 50 bytes", "µs of CPU", figures)])
    return 0


if __name__ == "__main__":
    sys.exit(main())

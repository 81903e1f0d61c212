"""The memory of a large upload and a large download: a form with a file, and a streamed body, in a process of their own.

    python -m benchmarks memory [--mebibytes 1024] [--max-resident 60] [--json FILE]

A child uploads a sparse file as multipart/form-data to a sink, another streams a body of the same size; each says how
much memory it ever had resident (``VmHWM`` of /proc/self/status, so Linux only), interpreter and imports included. The
server counts the bytes that came. The same with requests shows what is meant: it reads the form into memory.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import table
from benchmarks.results import Chart, add_option, save

MEBIBYTE = 1 << 20
PIECE = 256 * 1024

UPLOAD = """
import sys, {library} as client
with open(sys.argv[2], "rb") as file:
    response = client.post(sys.argv[1], data={{"name": "value"}}, files={{"file": file}})
moved = int(response.text)
"""
DOWNLOAD = """
import sys, {library} as client
with client.get(sys.argv[1], stream=True) as response:
    moved = sum(len(piece) for piece in response.iter_content(65536))
"""
REPORT = """
import json, time
for line in open("/proc/self/status"):
    if line.startswith("VmHWM"):
        resident = int(line.split()[1]) * 1024
print(json.dumps({"moved": moved, "resident": resident, "seconds": time.process_time()}))
"""


def upload(library: str, size: int) -> dict[str, Any]:
    """Bytes that arrived in the form, bytes resident at most, CPU seconds; of a child that uploads a file."""
    with tempfile.TemporaryDirectory() as directory, serve(_sink) as url:
        path = Path(directory, "sparse")
        with path.open("wb") as file:
            file.truncate(size)
        return _child(UPLOAD.format(library=library), url, str(path))


def download(library: str, size: int) -> dict[str, Any]:
    """The same of a child that streams a body."""

    def source(connection: socket.socket) -> None:
        _read_head(connection)
        _send_zeros(connection, size)

    with serve(source) as url:
        return _child(DOWNLOAD.format(library=library), url)


def _child(source: str, *arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", source + REPORT, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "no_proxy": "*"},
    )
    if done.returncode:
        raise RuntimeError(f"the child failed:\n{done.stderr}")
    said: dict[str, Any] = json.loads(done.stdout)
    return said


# -- the other end -----------------------------------------------------------------------------------------------------


@contextmanager
def serve(script: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server for one connection, in a thread; its URL."""

    def run() -> None:
        connection, _ = listener.accept()
        with connection:
            script(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        thread.join(10)


def _read_head(connection: socket.socket) -> tuple[bytes, bytes]:
    """The head of a request, and what came after it in the same piece."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(PIECE)
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def _sink(connection: socket.socket) -> None:
    """Read a request of known length, and answer how many bytes its body had."""
    head, rest = _read_head(connection)
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    left = int(fields[b"content-length"]) - len(rest)
    buffer = bytearray(PIECE)
    while left > 0 and (got := connection.recv_into(buffer)):
        left -= got
    body = b"%d" % (int(fields[b"content-length"]) - left)
    connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


def _send_zeros(connection: socket.socket, size: int) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % size)
    piece = bytes(PIECE)
    for _ in range(size // PIECE):
        connection.sendall(piece)


# -- the report --------------------------------------------------------------------------------------------------------


def main() -> int:
    """Parse the command line and run; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks memory", description=__doc__.splitlines()[0])
    parser.add_argument("--mebibytes", type=int, default=1024, help="how much to move each time (default 1024)")
    parser.add_argument("--max-resident", type=float, metavar="MIB", help="fail if holdfast had more than this resident")
    parser.add_argument("--only", choices=("holdfast", "requests"), help="measure this one only")
    add_option(parser)
    options = parser.parse_args()
    if not os.path.exists("/proc/self/status"):
        print("this needs /proc/self/status: only Linux says how much a process ever had resident", file=sys.stderr)
        return 3
    rows, worst = [], 0.0
    figures: dict[str, dict[str, float | None]] = {}
    for library in (options.only,) if options.only else ("holdfast", "requests"):
        for measure in (upload, download):
            said = measure(library, options.mebibytes * MEBIBYTE)
            resident = said["resident"] / MEBIBYTE
            worst = max(worst, resident if library == "holdfast" else 0.0)
            figures.setdefault("sent as a form" if measure is upload else "received as a stream", {})[library] = round(resident, 1)
            moved = f"{said['moved'] / MEBIBYTE:.1f}"
            rows.append([f"{library}, {measure.__name__}", moved, f"{resident:.1f}", f"{said['seconds']:.2f}"])
    print(table([["", "MiB moved", "MiB resident", "CPU s"], *rows]))
    save(options.json, "memory", sys.argv[1:], [Chart(f"The process of {options.mebibytes} MiB", "MiB resident", figures)])
    return int(options.max_resident is not None and worst > options.max_resident)


if __name__ == "__main__":
    sys.exit(main())

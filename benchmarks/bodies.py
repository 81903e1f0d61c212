"""Large bodies: CPU and peak memory of a body received as a stream or whole, and of a file sent, beside other clients.

    python -m benchmarks bodies [--mib 256] [--rounds 3] [--only holdfast requests] [--json FILE]

Each measurement is a process of its own: it imports, makes a client, fetches an empty body to have the connection, and then notes
its CPU (``time.process_time``: user and system, all threads) and the most memory it ever had resident (``VmHWM``: Linux) around
the one body. The server is another process: what it costs is not counted. The figure is the median of the rounds, in which the
clients take turns.

Streamed bodies are read in pieces of 64 KiB, ``readinto`` into a buffer of 64 KiB.
"""

from __future__ import annotations

import argparse
import http.client
import importlib
import json
import os
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import table
from benchmarks.results import Chart, add_option, save

MEBIBYTE = 1 << 20
PIECE = 64 * 1024
SERVER_PIECE = 256 * 1024
TIMEOUT = 30.0

DOWN = ("iter_content", "raw.read", "readinto", "content", "chunked", "chunked content")
UP = ("upload",)
Measured = Callable[[str, str], int]
"""Moves the one body of (url, path of the file to send), and returns how many bytes it was."""


# -- the clients: what makes one of each returns what it can do ---------------------------------------------------------


def _counted(pieces: Iterable[bytes]) -> int:
    return sum(map(len, pieces))


def _by_read(file: Any) -> int:
    return _counted(iter(lambda: file.read(PIECE), b""))


def _by_readinto(file: Any) -> int:
    buffer = bytearray(PIECE)
    return sum(iter(lambda: file.readinto(buffer), 0))


def _like_requests(client: Any) -> dict[str, Measured]:
    def streamed(read: Callable[[Any], int]) -> Measured:
        def run(url: str, _: str) -> int:
            with client.get(url, stream=True, timeout=TIMEOUT) as response:
                return read(response)

        return run

    def whole(url: str, _: str) -> int:
        return len(client.get(url, timeout=TIMEOUT).content)

    def upload(url: str, path: str) -> int:
        with open(path, "rb") as file:
            return int(client.post(url, data=file, timeout=TIMEOUT).text)

    iterate = streamed(lambda response: _counted(response.iter_content(PIECE)))
    return {
        "iter_content": iterate,
        "raw.read": streamed(lambda response: _by_read(response.raw)),
        "readinto": streamed(lambda response: _by_readinto(response.raw)),
        "content": whole,
        "chunked": iterate,
        "chunked content": whole,
        "upload": upload,
    }


def _holdfast(ca: str | None) -> dict[str, Measured]:
    return _like_requests(importlib.import_module("holdfast").Client(verify=ca or True, trust_env=False))


def _requests(ca: str | None) -> dict[str, Measured]:
    session = importlib.import_module("requests").Session()
    session.verify, session.trust_env = ca or True, False  # or a bundle that the environment names replaces the one given
    return _like_requests(session)


def _urllib3(ca: str | None) -> dict[str, Measured]:
    manager = importlib.import_module("urllib3").PoolManager(timeout=TIMEOUT, **({"ca_certs": ca} if ca else {}))

    def streamed(read: Callable[[Any], int]) -> Measured:
        def run(url: str, _: str) -> int:
            response = manager.request("GET", url, preload_content=False)
            moved = read(response)
            response.release_conn()
            return moved

        return run

    def whole(url: str, _: str) -> int:
        return len(manager.request("GET", url).data)

    def upload(url: str, path: str) -> int:
        with open(path, "rb") as file:
            length = {"Content-Length": str(os.path.getsize(path))}
            return int(manager.request("POST", url, body=file, headers=length).data)

    iterate = streamed(lambda response: _counted(response.stream(PIECE)))
    return {
        "iter_content": iterate,
        "raw.read": streamed(_by_read),
        "readinto": streamed(_by_readinto),
        "content": whole,
        "chunked": iterate,
        "chunked content": whole,
        "upload": upload,
    }


def _httpx(ca: str | None) -> dict[str, Measured]:
    verify: Any = ssl.create_default_context(cafile=ca) if ca else True
    client = importlib.import_module("httpx").Client(verify=verify, timeout=TIMEOUT)

    def iterate(url: str, _: str) -> int:
        with client.stream("GET", url) as response:
            return _counted(response.iter_bytes(PIECE))

    def whole(url: str, _: str) -> int:
        return len(client.get(url).content)

    def upload(url: str, path: str) -> int:
        with open(path, "rb") as file:
            return int(client.post(url, content=file).text)

    return {"iter_content": iterate, "content": whole, "chunked": iterate, "chunked content": whole, "upload": upload}


def _http_client(ca: str | None) -> dict[str, Measured]:
    connections: list[http.client.HTTPConnection] = []

    def answer(method: str, url: str, body: Any = None, **headers: str) -> http.client.HTTPResponse:
        parts = urllib.parse.urlsplit(url)
        if not connections:
            connections.append(
                http.client.HTTPSConnection(parts.netloc, timeout=TIMEOUT, context=ssl.create_default_context(cafile=ca))
                if ca
                else http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT)
            )
        connections[0].request(method, parts.path, body, headers)
        return connections[0].getresponse()

    def upload(url: str, path: str) -> int:
        with open(path, "rb") as file:
            return int(answer("POST", url, file, **{"Content-Length": str(os.path.getsize(path))}).read())

    def by_read(url: str, _: str) -> int:
        return _by_read(answer("GET", url))

    def whole(url: str, _: str) -> int:
        return len(answer("GET", url).read())

    return {
        "raw.read": by_read,
        "readinto": lambda url, _: _by_readinto(answer("GET", url)),
        "content": whole,
        "chunked": by_read,
        "chunked content": whole,
        "upload": upload,
    }


def _pycurl(ca: str | None) -> dict[str, Measured]:
    pycurl = importlib.import_module("pycurl")
    curl = pycurl.Curl()

    def perform(url: str, write: Callable[[bytes], None], **options: Any) -> None:
        curl.reset()
        settings = {"URL": url, "WRITEFUNCTION": write, "BUFFERSIZE": PIECE, **({"CAINFO": ca} if ca else {}), **options}
        for name, value in settings.items():
            curl.setopt(getattr(pycurl, name), value)
        curl.perform()

    def iterate(url: str, _: str) -> int:
        sizes: list[int] = []
        perform(url, lambda piece: sizes.append(len(piece)))
        return sum(sizes)

    def whole(url: str, _: str) -> int:
        pieces: list[bytes] = []
        perform(url, pieces.append)
        return len(b"".join(pieces))

    def upload(url: str, path: str) -> int:
        pieces: list[bytes] = []
        with open(path, "rb") as file:
            size = os.path.getsize(path)
            perform(url, pieces.append, POST=1, READDATA=file, POSTFIELDSIZE_LARGE=size, HTTPHEADER=["Expect:"])
        return int(b"".join(pieces))

    return {"iter_content": iterate, "content": whole, "chunked": iterate, "chunked content": whole, "upload": upload}


CLIENTS: dict[str, Callable[[str | None], dict[str, Measured]]] = {
    "holdfast": _holdfast,
    "requests": _requests,
    "urllib3": _urllib3,
    "httpx": _httpx,
    "http.client": _http_client,
    "pycurl": _pycurl,
}


# -- one measurement, in a process of its own ----------------------------------------------------------------------------


def child(name: str, what: str, url: str, size: int, ca: str | None, path: str) -> dict[str, float]:
    """CPU milliseconds, and MiB that the body added to what was resident at most."""
    can = CLIENTS[name](ca)
    can["content"](url + "/0", path)
    before, started = _most_resident(), time.process_time()
    moved = can[what](f"{url}/{'chunked' if what.startswith('chunked') else ''}{size}", path)
    spent = time.process_time() - started
    if moved != size:
        raise SystemExit(f"{name} {what}: {moved} of {size} bytes came")
    return {"ms": spent * 1000, "mib": (_most_resident() - before) / MEBIBYTE}


def _most_resident() -> int:
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


# -- the server ----------------------------------------------------------------------------------------------------------


def serve(certificates: str | None) -> None:
    """Serve until killed, a thread per connection; the port goes to standard output. GET /N gives N bytes; POST counts."""
    context: ssl.SSLContext | None = None
    if certificates is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{certificates}/server.pem")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            accepted, _ = listener.accept()
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_converse, args=(accepted, context), daemon=True).start()


def _converse(accepted: socket.socket, context: ssl.SSLContext | None) -> None:
    connection = accepted if context is None else context.wrap_socket(accepted, server_side=True)
    with connection, connection.makefile("rb", buffering=SERVER_PIECE) as incoming:
        while line := incoming.readline():
            fields = dict(_fields(incoming))
            if line.startswith(b"POST"):
                answer = b"%d" % _swallow(incoming, fields)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(answer), answer))
            else:
                _give(connection, line.split()[1].decode())


def _fields(incoming: Any) -> Iterator[tuple[bytes, bytes]]:
    while (line := incoming.readline().strip()) != b"":
        name, _, value = line.partition(b":")
        yield name.lower(), value.strip()


def _swallow(incoming: Any, fields: dict[bytes, bytes]) -> int:
    buffer = bytearray(SERVER_PIECE)
    if b"content-length" in fields:
        return _swallow_exactly(incoming, buffer, int(fields[b"content-length"]))
    total = 0
    while size := int(incoming.readline(), 16):
        total += _swallow_exactly(incoming, buffer, size)
        incoming.readline()
    incoming.readline()
    return total


def _swallow_exactly(incoming: Any, buffer: bytearray, size: int) -> int:
    left = size
    while left and (got := incoming.readinto(memoryview(buffer)[:left])):
        left -= got
    return size - left


def _give(connection: socket.socket, path: str) -> None:
    chunked = path.startswith("/chunked")
    left = int(path.removeprefix("/chunked" if chunked else "/"))
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % left
    connection.sendall(b"HTTP/1.1 200 OK\r\n%s\r\n\r\n" % framing)
    piece = bytes(SERVER_PIECE)
    framed = b"%x\r\n%s\r\n" % (SERVER_PIECE, piece)
    while left >= SERVER_PIECE:
        connection.sendall(framed if chunked else piece)
        left -= SERVER_PIECE
    if chunked:
        connection.sendall((b"%x\r\n%s\r\n" % (left, piece[:left]) if left else b"") + b"0\r\n\r\n")
    else:
        connection.sendall(piece[:left])


# -- the comparison ------------------------------------------------------------------------------------------------------


def _command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "benchmarks.bodies", *map(str, arguments)]


@contextmanager
def server(directory: str, *, tls: bool) -> Iterator[str]:
    """The URL of ``serve`` in a process of its own; ``directory`` has its certificates."""
    arguments = [directory] if tls else []
    with subprocess.Popen(_command("serve", *arguments), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"{'https' if tls else 'http'}://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()


def write_certificates(directory: str) -> None:
    """``server.pem``, for ``serve``, and ``ca.pem``, which vouches for it."""
    trustme = importlib.import_module("trustme")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(f"{directory}/ca.pem")
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(f"{directory}/server.pem")


def _measure(name: str, what: str, url: str, size: int, directory: str) -> dict[str, float]:
    ca = f"{directory}/ca.pem" if url.startswith("https") else "-"
    done = subprocess.run(
        _command("child", name, what, url, size, ca, f"{directory}/file"),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "no_proxy": "*"},
    )
    if done.returncode:
        raise RuntimeError(f"{name} {what} failed:\n{done.stderr}")
    said: dict[str, float] = json.loads(done.stdout)
    return said


def _can(name: str, what: str) -> bool:
    return what in CLIENTS[name](None)


def compare(names: list[str], tasks: list[str], schemes: list[str], size: int, rounds: int) -> dict[str, dict[str, Any]]:
    """For "task scheme" and client: the medians of ms and MiB."""
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as directory:
        write_certificates(directory)
        Path(directory, "file").write_bytes(os.urandom(MEBIBYTE) * (size // MEBIBYTE))
        for scheme in schemes:
            with server(directory, tls=scheme == "TLS") as url:
                for what in tasks:
                    able = [name for name in names if _can(name, what)]
                    runs = [{name: _measure(name, what, url, size, directory) for name in able} for _ in range(rounds)]
                    found[f"{what}, {scheme}"] = {
                        name: {unit: statistics.median(run[name][unit] for run in runs) for unit in ("ms", "mib")} for name in able
                    }
    return found


def _installed(names: list[str]) -> list[str]:
    kept = []
    for name in names:
        try:
            CLIENTS[name](None)
            kept.append(name)
        except ImportError:
            print(f"{name} is not installed: its column is left out")
    return kept


def main() -> int:
    """Parse the command line and run; the exit status."""
    if sys.argv[1:2] == ["serve"]:
        serve(sys.argv[2] if len(sys.argv) > 2 else None)
    if sys.argv[1:2] == ["child"]:
        name, what, url, size, ca, path = sys.argv[2:]
        print(json.dumps(child(name, what, url, int(size), None if ca == "-" else ca, path)))
        return 0
    parser = argparse.ArgumentParser(prog="python -m benchmarks bodies", description=__doc__.splitlines()[0])
    parser.add_argument("--mib", type=int, default=256, help="size of each body in MiB (default 256)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (default 3)")
    parser.add_argument("--only", nargs="+", choices=CLIENTS, default=list(CLIENTS), help="these clients")
    parser.add_argument("--tasks", nargs="+", choices=DOWN + UP, default=list(DOWN + UP), help="these tasks")
    parser.add_argument("--schemes", nargs="+", choices=("plain", "TLS"), default=["plain", "TLS"], help="these schemes")
    add_option(parser)
    options = parser.parse_args()
    names = _installed(options.only)
    found = compare(names, options.tasks, options.schemes, options.mib * MEBIBYTE, options.rounds)
    charts = []
    for unit, title in (("ms", "ms of CPU"), ("mib", "MiB more at the peak")):
        figures = {
            task: {name: by_name[name][unit] if name in by_name else None for name in names} for task, by_name in found.items()
        }
        rows = [[f"{options.mib} MiB, {title}", *names]]
        rows += [[task, *("–" if figure is None else f"{figure:.0f}" for figure in row.values())] for task, row in figures.items()]
        print(table(rows), end="\n\n")
        charts.append(Chart(f"{options.mib} MiB", title, figures))
    save(options.json, "bodies", sys.argv[1:], charts)
    return 0


if __name__ == "__main__":
    sys.exit(main())

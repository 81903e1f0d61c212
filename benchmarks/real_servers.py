"""Real servers from PyPI, pinned, in a virtual environment of their own, each started on loopback at its defaults."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import venv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from benchmarks.processes import HOST, Processes, environment, free_port
from benchmarks.server_apps import LEDGER

INSTALL_SECONDS = 300.0
_APP = "benchmarks.server_apps"


@dataclass(frozen=True)
class Server:
    """One server at its defaults.

    Attributes:
        argv: of its command; "{port}" and "{address}" are filled in. The first is a command of the environment.
        requirements: what it needs from PyPI, pinned; none for the standard library's.
    """

    argv: tuple[str, ...]
    requirements: tuple[str, ...] = ()


def _library(kind: str, *requirements: str) -> Server:
    return Server(("python", "-m", _APP, kind, "{port}"), requirements)


def _uwsgi(*options: str) -> Server:
    return Server(("pyuwsgi", *options, "--module", f"{_APP}:wsgi"), ("pyuwsgi==2.0.30.post1",))


_UVICORN = ("uvicorn", f"{_APP}:asgi", "--host", HOST, "--port", "{port}")
_GRANIAN = ("granian", "--host", HOST, "--port", "{port}", "--interface")
SERVERS: dict[str, Server] = {
    "uvicorn h11": Server((*_UVICORN, "--http", "h11", "--loop", "asyncio"), ("uvicorn==0.54.0", "h11==0.16.0")),
    "uvicorn httptools": Server(
        (*_UVICORN, "--http", "httptools", "--loop", "uvloop"), ("uvicorn==0.54.0", "httptools==0.9.0", "uvloop==0.23.0")
    ),
    "gunicorn gthread": Server(("gunicorn", "--threads", "8", "--bind", "{address}", f"{_APP}:wsgi"), ("gunicorn==27.0.1",)),
    "hypercorn": Server(("hypercorn", "--bind", "{address}", f"{_APP}:asgi"), ("hypercorn==0.18.0",)),
    "waitress": Server(("waitress-serve", "--listen={address}", f"{_APP}:wsgi"), ("waitress==3.0.2",)),
    "granian asgi": Server((*_GRANIAN, "asgi", f"{_APP}:asgi"), ("granian==2.8.9",)),
    "granian wsgi": Server((*_GRANIAN, "wsgi", f"{_APP}:wsgi"), ("granian==2.8.9",)),
    "daphne": Server(("daphne", "-b", HOST, "-p", "{port}", f"{_APP}:asgi"), ("daphne==4.2.3", "twisted==26.10.0")),
    "cheroot": _library("cheroot", "cheroot==11.1.2"),
    "tornado": _library("tornado", "tornado==6.6.1"),
    "twisted": _library("twisted", "twisted==26.10.0"),
    "aiohttp": _library("aiohttp", "aiohttp==3.14.5"),
    "sanic": _library("sanic", "sanic==25.12.1"),
    "http.server 1.1": _library("http.server"),
    "uwsgi --http": _uwsgi("--http", "{address}"),
    "uwsgi --http-keepalive": _uwsgi("--http", "{address}", "--http-keepalive"),
    "uwsgi --http-socket": _uwsgi("--http-socket", "{address}"),
    "uwsgi --http11-socket": _uwsgi("--http11-socket", "{address}"),
}
UVICORN_WORKERS = Server((*_UVICORN, "--loop", "asyncio", "--workers", "2"), ("uvicorn==0.54.0", "h11==0.16.0"))


class NotInstalled(RuntimeError):
    """A server's packages cannot be had; the message says pip's reason."""


class Environment:
    """The virtual environment that the servers run in.

    Args:
        folder: where it is, or is to be made; what is installed there already, in the same version, is used.
    """

    def __init__(self, folder: str) -> None:
        self.folder = os.path.abspath(folder)
        if not os.path.exists(self.command("python")):
            venv.create(self.folder, with_pip=True)

    def command(self, name: str) -> str:
        """Path of a command of the environment."""
        return os.path.join(self.folder, "Scripts" if os.name == "nt" else "bin", name)

    def install(self, server: Server) -> None:
        """Have the server's packages; NotInstalled if pip cannot get them."""
        missing = [each for each in server.requirements if each not in self._present(server.requirements)]
        if not missing:
            return
        pip = [self.command("python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *missing]
        try:
            done = subprocess.run(pip, capture_output=True, text=True, timeout=INSTALL_SECONDS, stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            raise NotInstalled(f"pip took more than {INSTALL_SECONDS:g} s") from None
        if done.returncode:
            errors = [line for line in done.stderr.splitlines() if "ERROR" in line] or ["pip failed"]
            raise NotInstalled(errors[-1][:200])

    def _present(self, requirements: Iterable[str]) -> list[str]:
        """Those of the pinned requirements that are installed."""
        program = (
            "import importlib.metadata as m, json, sys\n"
            "def has(r):\n"
            "    try: return m.version(r.partition('==')[0]) == r.partition('==')[2]\n"
            "    except m.PackageNotFoundError: return False\n"
            "print(json.dumps([r for r in sys.argv[1:] if has(r)]))"
        )
        out = subprocess.run([self.command("python"), "-c", program, *requirements], capture_output=True, check=True, text=True)
        present: list[str] = json.loads(out.stdout)
        return present

    @contextlib.contextmanager
    def running(self, server: Server) -> Iterator[tuple[str, str]]:
        """The server started: its URL, and the path of its application's ledger; ended with the block."""
        port = free_port()
        with Processes() as processes:
            ledger = os.path.join(processes.folder, "ledger")
            with open(ledger, "wb"):
                pass
            os.chmod(ledger, 0o666)
            argv = [word.format(port=port, address=f"{HOST}:{port}") for word in server.argv]
            executable = sys.executable if not server.requirements else self.command(argv[0])
            process = processes.start([executable, *argv[1:]], env=environment(**{LEDGER: ledger}), cwd=processes.folder)
            processes.listening(process, port)
            yield f"http://{HOST}:{port}", ledger


def executed(ledger: str) -> dict[str, int]:
    """How often each ``METHOD NONCE`` stands in the ledger."""
    counts: dict[str, int] = {}
    with open(ledger) as lines:
        for line in lines:
            counts[line.strip()] = counts.get(line.strip(), 0) + 1
    return counts

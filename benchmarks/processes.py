"""Processes of a measurement, and every one of them ended with it.

Each process has a session of its own, so that its workers are ended with it: SIGKILL goes to the whole group. That is
deliberate: some servers take SIGTERM for "reload", and some wait half a minute for idle connections.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from typing import Any

HOST = "127.0.0.1"
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
START_SECONDS = 20.0


class NotStarted(RuntimeError):
    """A process ended, or did not listen or answer in time; the message has the end of what it wrote."""


class Processes:
    """Starts processes; ends all of them, with their children, at the end of the ``with`` block.

    Attributes:
        folder: a temporary folder of theirs, removed with them.
    """

    def __init__(self) -> None:
        self._running: list[subprocess.Popen[Any]] = []
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.folder = self._folder.name
        os.chmod(self.folder, 0o755)  # squid and nginx drop their privileges before they open some of their files

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *exc: object) -> None:
        for process in reversed(self._running):
            kill(process)
        self._folder.cleanup()

    def start(self, argv: Sequence[str], **kwargs: Any) -> subprocess.Popen[Any]:
        """Start the process in a session of its own; what it writes goes to the ``log`` unless a pipe is asked for."""
        with open(self.log, "ab") as log:
            kwargs = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, "start_new_session": True, **kwargs}
            self._running.append(subprocess.Popen(argv, **kwargs))
        return self._running[-1]

    @property
    def log(self) -> str:
        """Path of the file that the processes write to."""
        return os.path.join(self.folder, "log")

    def converse(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a module of this package (``python -m``) with text pipes at both ends; ``ask`` and ``hear`` talk to it."""
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        return self.start([sys.executable, "-m", *arguments], env=environment(), **pipes)

    def listening(self, process: subprocess.Popen[Any], port: int) -> None:
        """Wait until something accepts connections at the port; NotStarted if the process ends first, or takes too long."""
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            if process.poll() is not None:
                break
            with contextlib.suppress(OSError), socket.create_connection((HOST, port), 1.0):
                return
            time.sleep(0.05)
        raise NotStarted(f"it did not listen ({self.last_words()})")

    def last_words(self) -> str:
        """The last line that the processes wrote."""
        with contextlib.suppress(OSError), open(self.log, "rb") as log:
            lines = log.read().decode("utf-8", "replace").strip().splitlines()
            return lines[-1][:200] if lines else "it wrote nothing"
        return "it wrote nothing"


def environment(**more: str) -> dict[str, str]:
    """The environment of a child that imports this package."""
    path = os.pathsep.join(filter(None, [ROOT, os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path, **more}


def kill(process: subprocess.Popen[Any]) -> None:
    """End the process and its children at once; its pipes are closed."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # the whole group has ended already
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):  # what was not read by the process is lost, as it should be
                pipe.close()


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port of the loopback interface on which nothing listens now."""
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind((HOST, 0))
        port: int = sock.getsockname()[1]
        return port


def hear(process: subprocess.Popen[str], seconds: float) -> Any:
    """The next line of the process, as JSON; NotStarted if there is none within that time."""
    assert process.stdout is not None
    if not select.select([process.stdout], [], [], seconds)[0]:
        raise NotStarted(f"no answer within {seconds:g} s")
    line = process.stdout.readline()
    if not line:
        raise NotStarted("its process has ended")
    return json.loads(line)


def ask(process: subprocess.Popen[str], seconds: float, line: str = "") -> Any:
    """Send a line to the process; the JSON it answers with."""
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()
    return hear(process, seconds)


def tell(value: Iterable[Any]) -> None:
    """The child's side of ``hear``: one line of JSON."""
    print(json.dumps(value), flush=True)

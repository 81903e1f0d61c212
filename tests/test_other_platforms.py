"""Windows, macOS and patched interpreters lack some of what Linux has: the client's suites pass without all of it.

Each set of suites runs in a process of its own from which it was taken away (see ``tests/platforms.py``).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.platforms import WITHOUT

ROOT = Path(__file__).parents[1]
SUITES = {
    "client": ["test_client.py", "test_api.py", "test_transport.py", "test_redirects.py", "test_bad_input.py"],
    "connections": ["wire/test_http1.py", "wire/test_stream.py"],
    "dials": ["wire/test_connect.py", "pool/test_keeper.py"],
    "others": ["cli/test_probe.py", "contrib/test_urllib3.py"],
}
WAIT = 300.0  # they take about 15 s

if os.environ.get(WITHOUT):
    pytest.skip("it would start itself", allow_module_level=True)


@pytest.fixture(scope="module")
def running() -> Iterator[dict[str, subprocess.Popen[str]]]:
    """All of them at once: they wait more than they work."""
    environment = {**os.environ, WITHOUT: "linux", "PYTEST_ADDOPTS": ""}
    started: dict[str, subprocess.Popen[str]] = {}
    try:
        for name, files in SUITES.items():
            command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider"]
            command += [f"tests/{file}" for file in files]
            started[name] = subprocess.Popen(
                command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
        yield started
    finally:
        for process in started.values():
            process.kill()
            process.communicate()


@pytest.mark.parametrize("name", SUITES)
def test_the_suites_pass_without_what_linux_has(running: dict[str, subprocess.Popen[str]], name: str) -> None:
    """What rests on Linux alone is left out by its mark and counted as such: nothing is skipped."""
    said, _ = running[name].communicate(timeout=WAIT)
    last = said.rstrip().rpartition("\n")[2]

    assert running[name].returncode == 0, said
    counts = re.fullmatch(r"(\d+) passed, (\d+) deselected in .*", last)
    assert counts, said
    passed, deselected = map(int, counts.groups())
    assert passed > 2 * deselected, f"{deselected} tests of {passed + deselected} need what Linux has: most should not"


def test_the_process_has_lost_what_linux_has() -> None:
    """Were one of these names found after all, the suites above would pass for nothing."""
    program = """
        import tests.conftest
        from holdfast.cli import probe
        from holdfast.wire import connect, readiness, stream
        print(stream._TCP_INFO, stream._QUICK_ACK, stream._SEND_QUEUE, probe._TCP_INFO, probe._QUICKACK, connect.user_timeout(90))
        print(len(connect.DEFAULT_SOCKET_OPTIONS), type(readiness.readiness_of(0)).__name__)
    """
    environment = {**os.environ, WITHOUT: "linux", "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    lines = "\n".join(line.strip() for line in program.splitlines())
    ended = subprocess.run([sys.executable, "-c", lines], env=environment, text=True, capture_output=True, check=False, timeout=60)

    assert (ended.stdout, ended.stderr) == ("None None None None None []\n2 _BySelect\n", "")

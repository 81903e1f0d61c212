"""python -m holdfast.cli.run: the program runs as under python itself, and its connections are ours."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import holdfast.requests
from holdfast.cli import run
from holdfast.pool.events import PoolEvent
from tests.server import Conn, Server, ok
from tests.support import ROOT, script

PROGRAMS = {
    "says.py": """
        import sys
        print(__name__, sys.argv, sys.path[0], __file__, __package__, type(__loader__).__name__)
        print(__spec__ and (__spec__.name, __spec__.origin), sorted(globals()))
        import __main__
        print(__main__.__dict__ is globals(), __doc__)
        """,
    "raises.py": """
        def inner():
            raise ValueError("outside") from KeyError("inside")
        inner()
        """,
    "wrong.py": """
        x = = 1
        """,
    "imports.py": """
        import no_such_module
        """,
    "exits.py": """
        import sys
        sys.exit(7)
        """,
    "exits_with_words.py": """
        import sys
        sys.exit("because")
        """,
    "exits_without.py": """
        raise SystemExit
        """,
    "interrupted.py": """
        import atexit
        atexit.register(print, "at exit")
        print("begun")
        raise KeyboardInterrupt
        """,
    "own_hook.py": """
        import sys
        sys.excepthook = lambda kind, value, trace: print(kind, value, trace.tb_frame.f_code.co_name, trace.tb_next)
        1 / 0
        """,
    "broken_hook.py": """
        import sys
        def hook(*_):
            raise RuntimeError("in the hook")
        sys.excepthook = hook
        1 / 0
        """,
    "at_exit.py": """
        import atexit, threading
        done = threading.Event()
        atexit.register(lambda: print("at exit"))
        threading.Thread(target=lambda: (done.wait(), print("in a thread"))).start()
        threading.Timer(0.01, done.set).start()
        print("end")
        """,
    "spawns.py": """
        import dataclasses, multiprocessing, pickle
        @dataclasses.dataclass
        class Value:
            x: int
        def double(value):
            return Value(value.x * 2)
        if __name__ == "__main__":
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                print(pool.map(double, [Value(4)]), pickle.loads(pickle.dumps(Value(1))))
                pool.close()
                pool.join()
        """,
}


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A directory with programs, a package and two archives."""
    for name, text in PROGRAMS.items():
        lines = text.strip("\n").split("\n")
        (tmp_path / name).write_text("\n".join(line[8:] for line in lines) + "\n")
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text((tmp_path / "says.py").read_text())
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "__init__.py").write_text("")
    with zipfile.ZipFile(tmp_path / "archive.pyz", "w") as archive:
        archive.write(tmp_path / "says.py", "__main__.py")
    with zipfile.ZipFile(tmp_path / "nothing.zip", "w") as archive:
        archive.write(tmp_path / "says.py", "other.py")
    (tmp_path / "link.py").symlink_to(package / "__main__.py")
    return tmp_path


def python(*arguments: str, cwd: Path, **variables: str) -> tuple[int, str, str]:
    """Exit status, output and complaints of an interpreter with these arguments."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]), "no_proxy": "*", **variables}
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=60, cwd=cwd, env=environment, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        *(["says.py", "a", "-b"], ["link.py"], ["package"], ["archive.pyz", "-m"]),
        *(["-m", "package", "x"], ["-m", "package.__main__"]),
        *(["raises.py"], ["wrong.py"], ["imports.py"], ["exits.py"], ["exits_with_words.py"], ["exits_without.py"]),
        *(["interrupted.py"], ["own_hook.py"], ["broken_hook.py"], ["at_exit.py"], ["spawns.py"], ["-m", "spawns"]),
        *(["no_such.py"], ["nothing.zip"], ["-m", "no_such"], ["-m", "no_such.inner"], ["-m", "package.no_such"], ["-m", "empty"]),
    ],
    ids=" ".join,
)
def test_a_program_runs_as_under_python_itself(programs: Path, arguments: list[str]) -> None:
    alone = python(*arguments, cwd=programs)
    under = python("-m", "holdfast.cli.run", *arguments, cwd=programs)

    assert under == alone


def test_where_interrupts_are_ignored_an_interrupted_program_ends_as_under_python_itself(programs: Path) -> None:
    """As it is behind a shell's ``&``: python ends by the signal even then."""
    kept = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        alone = python("interrupted.py", cwd=programs)
        under = python("-m", "holdfast.cli.run", "interrupted.py", cwd=programs)
    finally:
        signal.signal(signal.SIGINT, kept)

    assert alone[0] == -signal.SIGINT
    assert under == alone


@pytest.mark.parametrize("arguments", [["says.py"], ["archive.pyz"]], ids=" ".join)
def test_with_a_safe_path_no_directory_is_put_before_the_others(programs: Path, arguments: list[str]) -> None:
    alone = python(*arguments, cwd=programs, PYTHONSAFEPATH="1")
    under = python("-m", "holdfast.cli.run", *arguments, cwd=programs, PYTHONSAFEPATH="1")

    assert under == alone


def test_what_is_pickled_elsewhere_is_found_though_multiprocessing_was_imported_before(programs: Path) -> None:
    (programs / "sitecustomize.py").write_text("import multiprocessing\n")
    path = os.pathsep.join([str(programs), str(ROOT), *sys.path])
    status, output, complaint = python("-m", "holdfast.cli.run", "spawns.py", cwd=programs, PYTHONPATH=path)

    assert (status, output, complaint) == (0, "[Value(x=8)] Value(x=1)\n", "")


def test_a_library_that_something_has_imported_before_is_injected_too(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import httpx\n")
    (tmp_path / "fetches.py").write_text(FETCHES)
    path = os.pathsep.join([str(tmp_path), str(ROOT), *sys.path])
    with Server() as server:
        status, output, _ = python("-m", "holdfast.cli.run", "fetches.py", server.url(), cwd=tmp_path, PYTHONPATH=path)

    assert (status, output[:4]) == (0, "True")


def test_of_a_module_that_raises_the_traceback_begins_with_its_own_first_line(programs: Path) -> None:
    status, _, complaint = python("-m", "holdfast.cli.run", "-m", "raises", cwd=programs)

    assert status == 1
    assert complaint.count("File ") == 2
    assert "holdfast" not in complaint.replace(str(programs), "")


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ([], 2, "say which program"),
        (["-m"], 2, "say which program"),
        (["--stats"], 2, "say which program"),
        (["--wrong", "says.py"], 2, "no such option: --wrong"),
        (["--help"], 0, "usage: python -m holdfast run"),
        (["-h"], 0, "usage: python -m holdfast run"),
    ],
)
def test_arguments_that_make_no_sense_run_nothing(programs: Path, arguments: list[str], status: int, words: str) -> None:
    code, output, complaint = python("-m", "holdfast.cli.run", *arguments, cwd=programs)

    assert code == status
    assert words in output + complaint
    assert "__main__" not in output


FETCHES = """
import sys
import httpx
print(sys.modules["holdfast.contrib.httpx"].injected(), httpx.__spec__.loader, httpx.__loader__ is httpx.__spec__.loader)
with httpx.Client() as client:
    for _ in range(3):
        print(client.get(sys.argv[1]).text)
"""


def test_a_library_is_injected_when_the_program_imports_it(tmp_path: Path) -> None:
    (tmp_path / "fetches.py").write_text(FETCHES)
    with Server() as server:
        status, output, complaint = python("-m", "holdfast.cli.run", "fetches.py", server.url(), cwd=tmp_path)

    assert (status, complaint) == (0, "")
    assert output.startswith("True <_frozen_importlib_external.SourceFileLoader")
    assert output.split("\n")[0].endswith("True")
    assert output.count('"method": "GET"') == 3


def test_nothing_is_imported_on_behalf_of_a_program_that_does_not(tmp_path: Path) -> None:
    (tmp_path / "plain.py").write_text("import sys\nprint(sorted(sys.modules.keys() & {'httpx', 'httpx2', 'urllib3', 'h11'}))\n")
    status, output, _ = python("-m", "holdfast.cli.run", "plain.py", cwd=tmp_path)

    assert (status, output) == (0, "[]\n")  # nor h11, which holdfast is made of


def test_a_library_that_is_not_there_is_missed_as_ever_and_found_when_it_comes(tmp_path: Path) -> None:
    (tmp_path / "late.py").write_text(
        "import sys\n"
        "sys.path[:] = [each for each in sys.path if 'site-packages' not in each]\n"
        "try:\n    import httpx2\nexcept ImportError as error:\n    print(error)\n"
        "import pathlib; pathlib.Path('httpx2.py').write_text('x = 1')\n"
        "import importlib; importlib.invalidate_caches()\n"
        "import httpx2; print(httpx2.x)\n"
    )
    status, output, complaint = python("-m", "holdfast.cli.run", "late.py", cwd=tmp_path)

    assert (status, output) == (0, "No module named 'httpx2'\n1\n")
    assert "httpx2 is left as it is" in complaint  # this one has no HTTPTransport


def closing_early(conn: Conn) -> None:
    conn.expect_request()
    conn.send(ok(b"one"))
    conn.expect_request()


def answering(conn: Conn) -> None:
    for _ in conn.read_requests():
        conn.send(ok(b"later"))


def test_stats_say_what_the_pools_did_and_what_was_left_to_the_libraries(tmp_path: Path) -> None:
    (tmp_path / "fetches.py").write_text(
        FETCHES + "import asyncio\nasync def later():\n    async with httpx.AsyncClient():\n        pass\nasyncio.run(later())\n"
    )
    with Server([closing_early, answering]) as server:
        url = server.url()
        status, output, complaint = python("-m", "holdfast.cli.run", "--stats", "fetches.py", url, cwd=tmp_path)

    assert status == 0
    assert output.splitlines()[1:] == ["one", "later", "later"]
    assert url.rstrip("/") in complaint
    assert "2 connections opened, 2 times one was used again (50%)" in complaint
    assert "sent again: 1 (idempotent)" in complaint
    assert "left to httpx: 1 x asynchronous" in complaint


def test_stats_are_printed_after_what_the_program_does_at_its_own_exit(tmp_path: Path) -> None:
    (tmp_path / "late.py").write_text(
        "import atexit, sys, holdfast\natexit.register(lambda: holdfast.get(sys.argv[1]))\nraise SystemExit(3)\n"
    )
    with Server() as server:
        status, _, complaint = python("-m", "holdfast.cli.run", "--stats", "late.py", server.url(), cwd=tmp_path)

    assert status == 3
    assert "1 connection opened" in complaint


@pytest.mark.parametrize("library", ["holdfast", "requests", "httpx"])
def test_stats_count_the_connections_that_a_server_refused(tmp_path: Path, library: str) -> None:
    (tmp_path / "refused.py").write_text(
        f"import sys, {library}\ntry:\n    {library}.get(sys.argv[1])\nexcept Exception:\n    print('refused')\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    _, output, complaint = python("-m", "holdfast.cli.run", "--stats", "refused.py", f"http://127.0.0.1:{port}/", cwd=tmp_path)

    assert output == "refused\n"
    assert f"http://127.0.0.1:{port}\n" in complaint
    assert "1 connection could not be opened (" in complaint


def test_a_program_without_connections_has_stats_that_say_so(programs: Path) -> None:
    _, _, complaint = python("-m", "holdfast.cli.run", "--stats", "exits.py", cwd=programs)

    assert "no connection was opened" in complaint


def test_the_report_tells_of_everything_that_would_have_failed_and_is_bounded() -> None:
    tally = run.Tally()
    for number in range(run.MAX_ORIGINS + 5):
        tally.note(PoolEvent("opened", f"http://host{number}:80"))
    told = [("resent", "proven not delivered"), ("closed", "stale"), ("exhausted", ""), ("leaked", ""), ("reused", "")]
    for kind, reason in told:
        tally.note(PoolEvent(kind, "http://host0:80", reason))
    tally.note(PoolEvent("closed", "http://host1:80", "broken"))
    tally.note(PoolEvent("failed", "http://host2:80", "ConnectTimeout"))
    report = tally.report({"urllib3": {"it asks for another protocol": 2}})

    assert report.count("\n  http://") == run.MAX_ORIGINS
    assert "others\n    5 connections opened" in report
    assert "sent again: 1 (proven not delivered); without that, they would have failed" in report
    assert "1 connection that the server had closed was noticed" in report
    assert "1 wait for a connection was in vain" in report
    assert "1 response was never read or closed" in report
    assert "closed: 1 broken" in report
    assert "1 connection could not be opened (ConnectTimeout)" in report
    assert "left to urllib3: 2 x it asks for another protocol" in report


def test_drop_in_gives_holdfast_for_requests_or_says_why_not(tmp_path: Path) -> None:
    (tmp_path / "uses.py").write_text("import requests\nprint(\"holdfast\" in requests.__file__)\n")
    status, output, complaint = python("-m", "holdfast.cli.run", "--drop-in", "uses.py", cwd=tmp_path)

    if hasattr(holdfast.requests, "install"):
        assert (status, output) == (0, "True\n")
    else:
        assert (status, output) == (2, "")
        assert "--drop-in" in complaint


def test_a_program_can_be_run_by_a_caller_of_main_too() -> None:
    process = script(
        """
import sys
import httpx
from holdfast.cli import run
import holdfast.contrib.httpx
print(run.main(["/dev/null"]), holdfast.contrib.httpx.injected(), sys.argv)
"""
    )
    output, complaint = process.communicate(timeout=30)

    assert (process.returncode, output, complaint) == (0, "0 True ['/dev/null']\n", "")

"""Which command, and which exit code an error has."""

from __future__ import annotations

import io
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import holdfast
from holdfast.cli import codes
from holdfast.cli import main as main_module
from holdfast.cli.main import COMMANDS, code_of, main
from tests.cli.support import invoke
from tests.server import Server, ok, replies


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_names_every_command(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    code, out, _ = invoke(capsys, *arguments)

    assert code == codes.OK
    assert all(command in out for command in COMMANDS)
    assert "exit codes" in out


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(capsys, "--version")[:2] == (0, f"holdfast {holdfast.__version__}\n")


@pytest.mark.parametrize("command", ["get", "timing", "doctor", "download"])
def test_every_command_has_help_of_its_own(capsys: pytest.CaptureFixture[str], command: str) -> None:
    code, out, _ = invoke(capsys, command, "--help")

    assert code == codes.OK
    assert import_module(f"holdfast.cli.{command}").HELP in out


@pytest.mark.parametrize("arguments", [["--nonsense"], ["http://a/", "http://b/"], ["download"]])
def test_arguments_that_make_no_sense_are_usage(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert invoke(capsys, *arguments)[0] == codes.USAGE


def never_connected() -> holdfast.ConnectionError:
    error = holdfast.ConnectionError("no such name")
    error.never_connected = True
    return error


def refused() -> holdfast.ConnectionError:
    error = holdfast.ConnectionError("refused")
    error.__cause__ = ConnectionRefusedError()
    return error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (holdfast.InvalidURL("x"), codes.USAGE),
        (holdfast.ConnectTimeout("x"), codes.UNREACHABLE),
        (holdfast.SSLError("x"), codes.UNREACHABLE),
        (holdfast.ProxyError("x"), codes.UNREACHABLE),
        (never_connected(), codes.UNREACHABLE),
        (refused(), codes.UNREACHABLE),
        (holdfast.ReadTimeout("x"), codes.TIMEOUT),
        (holdfast.ConnectionError("x"), codes.BROKEN),
        (holdfast.ChunkedEncodingError("x"), codes.BROKEN),
    ],
)
def test_an_error_has_the_code_of_its_kind(error: holdfast.RequestException, code: int) -> None:
    assert code_of(error) == code


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (KeyboardInterrupt(), codes.INTERRUPTED, "interrupted"),
        (holdfast.ReadTimeout("too\x1blate"), codes.TIMEOUT, "too\\x1blate"),
        (FileNotFoundError(2, "No such file", "/tmp/x"), codes.LOCAL, "No such file: /tmp/x"),
        (OSError("odd"), codes.LOCAL, "odd"),
        (ValueError("no sense"), codes.USAGE, "no sense"),
        (SystemExit("a sentence"), codes.USAGE, ""),
        (SystemExit(3), 3, ""),
    ],
)
def test_what_a_command_raises_is_said_in_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, says: str
) -> None:
    def failing(given: list[str]) -> int:
        raise error

    monkeypatch.setattr(main_module, "_dispatch", failing)
    found, out, err = invoke(capsys, "http://example.com/")

    assert (found, out) == (code, "")
    assert says in err
    assert err.count("\n") == bool(says)


def test_a_line_that_nobody_can_read_does_not_hide_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)

    assert main(["ftp://example.com/"]) == codes.USAGE


def test_a_reader_who_has_gone_is_no_error_to_complain_of() -> None:
    body = ok(b"x" * 3_000_000)
    with Server(replies(body)) as server:
        command = [sys.executable, "-m", "holdfast", server.url()]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.read(10)
            process.stdout.close()
            said = process.stderr.read()

    assert (process.returncode, said) == (codes.PIPE_CLOSED, b"")


def test_a_broken_pipe_where_stdout_is_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(given: list[str]) -> int:
        raise BrokenPipeError

    monkeypatch.setattr(main_module, "_dispatch", failing)
    monkeypatch.setattr(sys, "stdout", io.StringIO())

    assert main(["x"]) == codes.PIPE_CLOSED


@pytest.mark.skipif(sys.platform == "win32", reason="a shell that closes descriptors")
@pytest.mark.parametrize("command", [["{url}"], ["download", "{url}", "-o", "{folder}"], ["{url}", "-d", "@-"]])
def test_streams_that_the_caller_has_closed_are_nowhere_to_write_to(command: list[str], tmp_path: Path) -> None:
    with Server() as server:
        words = [word.format(url=server.url("/x"), folder=tmp_path) for word in command]
        called = [sys.executable, "-W", "error", "-m", "holdfast", *words]
        shell = ["sh", "-c", 'exec "$@" <&- >&-', "sh", *called]
        done = subprocess.run(shell, stderr=subprocess.PIPE, timeout=60, check=False)
        assert len(server.requests) == 1

    assert (done.returncode, done.stderr) == (codes.OK, b"")


def test_run_is_handed_what_follows(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    given: list[list[str]] = []
    module = ModuleType("holdfast.cli.run")

    def run(arguments: list[str]) -> int:
        given.append(arguments)
        return 7

    module.main = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "holdfast.cli.run", module)

    assert invoke(capsys, "run", "script.py", "--json")[0] == 7
    assert given == [["script.py", "--json"]]


@pytest.mark.parametrize("missing", ["holdfast.cli.run", "something.of.its.own"])
def test_run_that_is_not_installed_is_said_and_what_it_lacks_is_raised(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], missing: str
) -> None:
    def failing(name: str, package: str) -> ModuleType:
        raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)

    monkeypatch.setattr(main_module, "import_module", failing)
    if missing == "holdfast.cli.run":
        code, _, err = invoke(capsys, "run", "x")
        assert (code, err) == (codes.USAGE, "holdfast: the command 'run' is not part of this installation\n")
    else:
        with pytest.raises(ModuleNotFoundError):
            main(["run", "x"])


def test_the_module_and_the_console_are_the_command() -> None:
    command = [sys.executable, "-m", "holdfast", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout.startswith("holdfast ")


def test_the_entry_point_exits_with_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["holdfast", "ftp://example.com/"])
    with pytest.raises(SystemExit) as stopped:
        main_module.console()

    assert stopped.value.code == codes.USAGE

"""docs/testing-servers.md is true: its file of tests passes in a pytest of its own, its scripts do what the page says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import holdfast
from holdfast.testing import behaviours
from tests.server import Server

PAGE = (Path(__file__).parents[2] / "docs" / "testing-servers.md").read_text(encoding="utf-8")
TESTS, SCRIPT, RECORDER = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_file_of_tests_passes_as_a_users_own(tmp_path: Path) -> None:
    (tmp_path / "test_orders.py").write_text(TESTS, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)

    assert "3 passed" in done.stdout, done.stdout


def test_the_script_of_ones_own_resets_where_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(SCRIPT, "docs/testing-servers.md", "exec"), {})

    first, error = capsys.readouterr().out.splitlines()
    assert first == "first"
    assert "9 of 1000 bytes" in error


def test_the_recorder_plays_what_it_has_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Server() as server:
        block = RECORDER.replace("https://api.example.org", server.url("").rstrip("/"))
        exec(compile(block, "docs/testing-servers.md", "exec"), {})
        holdfast.close()
        assert len(server.requests) == 1
    exec(compile(block, "docs/testing-servers.md", "exec"), {})


def test_the_table_has_every_behaviour() -> None:
    public = {
        name
        for name, value in vars(behaviours).items()
        if callable(value) and getattr(value, "__module__", "") == behaviours.__name__ and not name.startswith("_")
    }
    told = set(re.findall(r"`(\w+)", PAGE.split("| in `holdfast.testing.behaviours`")[1].split("\n\n")[0]))

    assert public - told == {"echo_of"}  # what echo says, for scripts that say it too

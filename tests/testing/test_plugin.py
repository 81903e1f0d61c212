"""The pytest plugin: its fixture, and that it costs a program nothing that does not use it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import holdfast
from holdfast.testing import Fake


def test_the_fixture_is_a_fake_for_the_length_of_the_test(holdfast_fake: Fake) -> None:
    holdfast_fake.get("https://api.example/x").responds(299)

    assert holdfast.get("https://api.example/x").status_code == 299
    holdfast.close()


WHAT_PYTEST_READS = {"CI", "BUILD_NUMBER", "PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PY_COLORS", "FORCE_COLOR", "NO_COLOR", "COLUMNS"}


def pytest_of_its_own(folder: Path, source: str, *options: str) -> subprocess.CompletedProcess[str]:
    """A run of pytest over one file, with the plugins that are installed and nothing of this project's settings.

    The environment is rid of what changes pytest's output: under CI it does not cut its summary's lines, for one.
    """
    (folder / "test_it.py").write_text(source, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, str(folder)]
    environment = {name: value for name, value in os.environ.items() if name not in WHAT_PYTEST_READS}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_plugin_is_found_by_its_entry_point_and_imports_nothing_until_it_is_used(tmp_path: Path) -> None:
    source = """
import sys

def test_before():
    assert "pytest_holdfast" in sys.modules
    assert "holdfast" not in sys.modules

def test_use(holdfast_fake):
    assert "holdfast" in sys.modules
"""
    done = pytest_of_its_own(tmp_path, source)

    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_a_test_whose_program_makes_a_call_that_no_route_is_for_fails_with_the_nearest_route(tmp_path: Path) -> None:
    source = """
import holdfast

def test_it(holdfast_fake):
    holdfast_fake.post("https://shop.example/order")
    try:
        holdfast.post("https://shop.example/orders")
    except Exception:
        pass
"""
    done = pytest_of_its_own(tmp_path, source)

    assert done.returncode == 1
    assert "The nearest of 1 is POST https://shop.example/order:" in done.stdout
    assert "path: '/order' is expected, '/orders' came" in done.stdout


def test_a_test_that_fails_is_told_once_and_what_its_program_has_hidden_besides(tmp_path: Path) -> None:
    source = """
import holdfast
import pytest

def test_refused(holdfast_fake):
    holdfast_fake.get("https://h/x")
    holdfast.get("https://h/y")

def test_wrong_before_any_call(holdfast_fake):
    holdfast_fake.get("https://h/x")
    assert 1 == 2

def test_left(holdfast_fake):
    holdfast_fake.get("https://h/x")
    pytest.skip("not here")

def test_hidden(holdfast_fake):
    result = None
    try:
        result = holdfast.get("https://h/hidden")
    except Exception:
        pass
    assert result is not None

def test_well(holdfast_fake):
    holdfast_fake.get("https://h/x")
"""
    done = pytest_of_its_own(tmp_path, source, "-rEfs")

    assert "3 failed, 1 passed, 1 skipped, 2 errors" in done.stdout
    assert [line.split(" - ")[0] for line in done.stdout.splitlines() if line.startswith("ERROR ")] == [
        "ERROR test_it.py::test_hidden",  # it would not have failed but for that request
        "ERROR test_it.py::test_well",
    ]
    reports = done.stdout.partition("short test summary info")[0]
    assert reports.count("GET https://h/hidden was refused") == 1


def test_names_of_the_package_are_there_when_they_are_asked_for() -> None:
    import holdfast.testing as kit

    kit.__dict__.pop("failures", None)  # which importing it has put there
    assert [getattr(kit, name) for name in kit.__all__]
    with pytest.raises(AttributeError, match=r"module 'holdfast\.testing' has no attribute 'Mock'"):
        _ = kit.Mock

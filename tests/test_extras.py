"""Where the library of an extra is missing, the error says so, and gives the command that installs it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import holdfast
from tests.test_readme import project

PACKAGE = Path(holdfast.__file__).parent

# Each library is hidden as Python itself hides a module: by None in sys.modules.
WITHOUT = """
import sys
sys.modules[{library!r}] = None
try:
    {statement}
except ImportError as error:
    print(type(error).__name__, error.name, error, sep="|")
"""

OTHER = """
import sys, types
sys.modules[{library!r}] = types.ModuleType({library!r})  # a version that has none of the names
try:
    {statement}
except ImportError as error:
    print(type(error).__name__, error.name, error, sep="|")
"""

MODULES = [
    ("holdfast.contrib.httpx", "httpx", "httpx"),
    ("holdfast.contrib.httpx2", "httpx2", "httpx2"),
    ("holdfast.contrib.opentelemetry", "opentelemetry", "opentelemetry"),
    ("holdfast.contrib.prometheus", "prometheus_client", "prometheus"),
    ("holdfast.contrib.requests", "requests", "requests"),
    ("holdfast.contrib.urllib3", "urllib3", "urllib3"),
    ("holdfast.contrib.vcr", "vcr", "vcr"),
]


def told(source: str, library: str, statement: str) -> list[str]:
    """Kind, name and text of the ImportError that a statement ends in, in a fresh interpreter."""
    program = source.format(library=library, statement=statement)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.rstrip("\n").split("|")


@pytest.mark.parametrize(("module", "library", "extra"), MODULES)
def test_a_module_without_its_library_says_how_to_install_it(module: str, library: str, extra: str) -> None:
    kind, name, text = told(WITHOUT, library, f"import {module}")

    assert (kind, name.partition(".")[0]) == ("ModuleNotFoundError", library)
    assert text == f"{module} needs {library}, which is not installed: pip install 'holdfast-http[{extra}]'"


def test_a_module_whose_library_is_of_another_version_says_so() -> None:
    kind, name, text = told(OTHER, "urllib3", "import holdfast.contrib.urllib3")

    assert (kind, name) == ("ImportError", "urllib3")
    assert text == (
        "holdfast.contrib.urllib3 needs another version of urllib3 "
        "(cannot import name 'PoolManager' from 'urllib3' (unknown location)): "
        "pip install --upgrade 'holdfast-http[urllib3]'"
    )


def test_a_library_that_lacks_what_it_needs_itself_is_told_from_one_that_is_missing() -> None:
    kind, name, text = told(WITHOUT, "urllib3", "import holdfast.contrib.requests")

    assert (kind, name) == ("ModuleNotFoundError", "urllib3")
    assert text == (
        "holdfast.contrib.requests needs requests, which needs urllib3, which is not installed: "
        "pip install 'holdfast-http[requests]'"
    )


def test_another_version_of_urllib3_below_requests_is_told_as_that_and_once() -> None:
    takes_away = "import requests, urllib3.util.timeout as timeout; del timeout._DEFAULT_TIMEOUT; import holdfast.contrib.requests"
    kind, _, text = told(WITHOUT, "nothing_at_all", takes_away)

    assert kind == "ImportError"
    assert text.startswith("holdfast.contrib.urllib3 needs another version of urllib3 (cannot import name '_DEFAULT_TIMEOUT' from")
    assert text.endswith("): pip install --upgrade 'holdfast-http[urllib3]'")


def test_a_server_without_trustme_says_how_to_install_it_or_what_to_give() -> None:
    kind, name, text = told(WITHOUT, "trustme", "from holdfast.testing import Server; Server(tls=True)")

    assert (kind, name) == ("ModuleNotFoundError", "trustme")
    assert text == (
        "Server(tls=True) needs trustme, which is not installed: pip install 'holdfast-http[testing]', "
        "or give Server an ssl.SSLContext as tls="
    )


def test_the_command_is_spelled_in_one_place() -> None:
    """Docstrings may show it; a message asks ``_extras`` for it."""
    spelled = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if re.search(r"^(?!\"\"\").*[\"'(:] ?pip install", path.read_text(encoding="utf-8"), re.MULTILINE)
    }

    assert spelled == {"_extras.py"}


def test_every_extra_that_a_message_names_is_declared() -> None:
    named = {extra for _, _, extra in MODULES}
    for path in PACKAGE.rglob("*.py"):
        named |= set(re.findall(r"holdfast-http\[(\w+)\]", path.read_text(encoding="utf-8")))
        named |= set(re.findall(r"\b(?:install|needed)\((?:\"[^\"]*\", )*\"(\w+)\"", path.read_text(encoding="utf-8")))

    assert named <= project()[1]

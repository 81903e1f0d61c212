"""requests' own test suite, on requests and with ``holdfast.requests.install()``: what passes with the one and not with the other?

    python -m benchmarks requests_suite [--venv FOLDER] [-k EXPRESSION] [--at-least 165]

Fetches the sdist of requests from PyPI, which has its tests, and what they need, into a temporary folder; nothing of it is kept.
The suite runs twice, in a process each, as it is: the second begins with ``install()``.

A *public* test is a test function that makes requests: it asks for a fixture that is a server (httpbin, one without names in its
certificate), or starts one of the suite's own, or connects to its tarpit. The others look at single functions of requests. A
function counts once, however many parameters it has, and has passed if all of them have. What fails on requests itself, on this
machine, is not counted.

Exit status: 0; 1 if fewer public tests pass than ``--at-least``.
"""

from __future__ import annotations

import argparse
import ast
import os
import subprocess
import sys
import tarfile
import tempfile
import venv
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

import holdfast

VERSION = "2.34.2"
NEEDED = [
    f"requests[socks]=={VERSION}", "urllib3==2.8.0", "h11", "certifi", "socksio", "pytest", "pytest-mock", "pytest-httpbin==2.1.0",
    "httpbin~=0.10.0", "trustme",
]  # fmt: skip
SERVERS = {"httpbin", "httpbin_secure", "nosan_server", "Server", "TLSServer", "TARPIT"}
RUN = {
    "requests": "import sys, pytest; sys.exit(pytest.main(sys.argv[1:]))",
    "holdfast": "import sys, holdfast.requests, pytest; holdfast.requests.install(); sys.exit(pytest.main(sys.argv[1:]))",
}


def fetch(folder: Path, kept: Path | None) -> tuple[Path, Path]:
    """The interpreter of an environment with all that is needed, and the folder of the suite."""
    home = kept or folder / "venv"
    python = home / "bin" / "python"
    if not python.exists():
        print(f"installing requests {VERSION} and what its tests need into {home} ...", flush=True)
        venv.create(home, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *NEEDED], check=True)
    sdist = ["--no-deps", "--no-binary", ":all:", "-d", str(folder), f"requests=={VERSION}"]
    subprocess.run([python, "-m", "pip", "download", "-q", *sdist], check=True)
    with tarfile.open(next(folder.glob("requests-*.tar.gz"))) as archive:
        archive.extractall(folder, filter="data")
    return python, folder / f"requests-{VERSION}"


def run(python: Path, suite: Path, who: str, more: Sequence[str]) -> dict[str, bool]:
    """Whether each test function has passed, by ``file::name``; those that were skipped are left out."""
    report = suite / f"{who}.xml"
    unwanted = ("proxy", "requests_ca", "curl_ca", "ssl_cert", "pythonpath", "netrc")
    environment = {name: value for name, value in os.environ.items() if not any(word in name.lower() for word in unwanted)}
    environment["PYTHONPATH"] = str(Path(holdfast.__file__).parent.parent)
    options = ["-q", "-o", "addopts=", "-p", "no:cacheprovider", f"--junit-xml={report}", "tests", *more]
    done = subprocess.run(
        [python, "-c", RUN[who], *options], cwd=suite, env=environment, capture_output=True, text=True, check=False
    )
    if not report.exists():
        raise SystemExit(f"the suite did not run on {who}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    passed: dict[str, bool] = {}
    tests = [0, 0]
    for case in ET.parse(report).iter("testcase"):
        if case.find("skipped") is not None:
            continue
        good = case.find("failure") is None and case.find("error") is None
        name = f"{case.get('classname', '').split('.')[1]}::{case.get('name', '').split('[')[0]}"
        passed[name] = good and passed.get(name, True)
        tests[not good] += 1
    print(f"{who}: {tests[0]} passed, {tests[1]} failed; {sum(passed.values())} of {len(passed)} functions", flush=True)
    return passed


def public_of(suite: Path) -> set[str]:
    """The test functions that make requests, as ``file::name``."""
    found = set()
    for path in (suite / "tests").glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                names = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)} | {each.arg for each in node.args.args}
                asked = {each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute)}
                if names & SERVERS or "basic_response_server" in asked:
                    found.add(f"{path.stem}::{node.name}")
    return found


def main() -> int:
    """Fetch and run; the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks requests_suite", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--venv", type=Path, help="an environment to make or to use; default: one in the temporary folder")
    parser.add_argument("-k", metavar="EXPRESSION", help="of pytest: only these tests")
    parser.add_argument("--at-least", type=int, help="exit with 1 if fewer public tests pass")
    options = parser.parse_args()
    more = ["-k", options.k] if options.k else []
    with tempfile.TemporaryDirectory() as temporary:
        python, suite = fetch(Path(temporary), options.venv)
        theirs, ours = (run(python, suite, who, more) for who in RUN)
        public = public_of(suite)
    sound = {name for name, good in theirs.items() if good}
    print(f"fails on requests too, here: {', '.join(sorted(theirs.keys() - sound)) or 'nothing'}")
    for name in sorted(sound):
        if not ours.get(name, False):
            print(f"{'public' if name in public else 'inside'}: {name} passes on requests only")
    counted = sound & public
    good = sum(ours.get(name, False) for name in counted)
    print(f"{good} of {len(counted)} public tests pass; {sum(ours.get(name, False) for name in sound)} of {len(sound)} in all")
    return 1 if options.at_least is not None and good < options.at_least else 0


if __name__ == "__main__":
    sys.exit(main())

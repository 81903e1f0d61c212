"""The house stands as it was drawn: imports point one way, importing is cheap, TLS is set up when it is needed.

Read from the source, not from memory: ``FLOORS`` is the drawing, and a module that is not in it fails the test.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import holdfast
from tests.conftest import Tls
from tests.server import Server

PACKAGE = Path(holdfast.__file__).parent

# From the ground up; a module imports only from floors below its own, or from its own room.
FLOORS: list[set[str]] = [
    {"_version", "_fork", "_threads", "exceptions", "timeouts", "reasons"},
    {"message", "pool"},
    {"wire", "resend", "redirects", "environment"},
    {"retries", "routes", "auth"},
    {"dialer"},
    {"response_body"},
    {"transport"},
    {"call"},
    {"client"},
    {"api"},
    {"requests"},
    {"__init__"},
    {"contrib", "cli", "__main__"},
]

EXCUSED = {("__init__", "__init__", "")}


@functools.cache
def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name below ``holdfast``; ``__init__`` is the package itself."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts[-1] == "__init__" and len(parts) > 1:
            parts = parts[:-1]
        found[".".join(parts)] = path
    return found


@functools.cache
def parsed(path: Path) -> ast.Module:
    """The tree of a file's source, which nobody changes."""
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(module: str, path: Path) -> Iterator[tuple[str, str]]:
    """(module, name) of all that a module imports from the package itself, inside functions and for types too."""
    return imports_of(module, parsed(path))


def imports_of(module: str, tree: ast.Module) -> Iterator[tuple[str, str]]:
    """The same of a tree of its source."""
    is_package = modules()[module].name == "__init__.py" if module in modules() else False
    package = ([] if module == "__init__" else module.split(".")) if is_package else module.split(".")[:-1]
    known = modules()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            for alias in node.names:
                parts = base + (node.module.split(".") if node.module else [])
                inner = ".".join([*parts, alias.name])
                yield (inner, "") if inner in known else (".".join(parts) or "__init__", alias.name)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            assert not any(name.split(".")[0] == "holdfast" for name in names), f"{module}: import relatively"


@functools.cache
def foreign(path: Path) -> set[str]:
    """The top-level names of all that a module imports from elsewhere when it runs, inside functions too."""
    found = set()
    tree = parsed(path)
    typing_only = {
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if node in typing_only:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").split(".")[0])
    return found


def floor(module: str) -> int:
    """The number of the floor a module is on."""
    top = module.split(".")[0]
    numbers = [number for number, names in enumerate(FLOORS) if top in names]
    assert numbers, f"holdfast.{module} is not in the drawing: put it on a floor"
    return numbers[0]


@pytest.mark.parametrize("module", sorted(modules()))
def test_imports_point_down(module: str) -> None:
    wrong = []
    for target, name in imports(module, modules()[module]):
        if floor(target) < floor(module) or target.split(".")[0] == module.split(".")[0] or (module, target, name) in EXCUSED:
            continue
        wrong.append(f"{target} ({name})")

    assert not wrong, f"holdfast.{module} imports sideways or upwards: {wrong}"


def test_no_two_modules_need_each_other_to_be_imported() -> None:
    needs = {module: at_import(module, path) for module, path in modules().items()}
    while True:
        ready = [module for module, needed in needs.items() if not needed & needs.keys()]
        if not ready:
            break
        for module in ready:
            del needs[module]

    assert not needs, f"these import in a circle: {sorted(needs)}"


def at_import(module: str, path: Path) -> set[str]:
    """What a module of the package imports from it at once: not inside functions, not for types only."""
    top: list[ast.stmt] = [node for node in parsed(path).body if isinstance(node, ast.ImportFrom)]
    return {target for target, _ in imports_of(module, ast.Module(top, []))}


def test_the_packages_inside_are_empty_so_that_importing_one_module_imports_no_other() -> None:
    for name in ("message", "pool", "wire", "contrib"):
        body = parsed(PACKAGE / name / "__init__.py").body

        assert all(isinstance(node, ast.Expr) for node in body), f"{name}/__init__.py has code"


@pytest.mark.parametrize(
    ("library", "allowed"),
    [
        ("h11", {"dialer", "transport", "wire.http1"}),
        ("select", {"wire.connect", "wire.stream", "wire.tls"}),
        ("ssl", {"routes", "client", "wire.stream", "wire.tls"}),
        ("socket", {"wire.connect", "wire.stream", "wire.tls", "message.url"}),  # url asks inet_pton whether a host is an address
        ("certifi", {"wire.tls", "requests.certs"}),
    ],
)
def test_a_library_is_known_only_to_those_whose_business_it_is(library: str, allowed: set[str]) -> None:
    users = {module for module, path in modules().items() if library in foreign(path)}

    assert users <= allowed, f"{library} is none of the business of {users - allowed}"


def test_time_is_asked_of_the_clock_that_was_passed_in() -> None:
    """A default is bound once, when a function is made; a call would look the name up again, and may find another clock."""
    clocks = {"monotonic", "perf_counter", "monotonic_ns", "perf_counter_ns", "sleep"}
    calls = [
        f"holdfast.{module}:{node.lineno}"
        for module, path in modules().items()
        if module.split(".")[0] in ("wire", "dialer", "transport", "response_body", "timeouts", "pool")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and (node.func.value.id, node.func.attr in clocks) == ("time", True)
    ]

    assert not calls, f"time is asked by name in {calls}"


def test_values_and_pure_rules_do_no_input_or_output_and_hold_no_lock() -> None:
    for module in ("retries", "redirects", "timeouts", "exceptions", "reasons", "resend", "message.headers", "message.url"):
        effects = foreign(modules()[module]) & {"threading", "select", "ssl", "subprocess", "http", "random"}

        assert not effects, f"holdfast.{module} is pure, but imports {effects}"


# -- what importing costs ----------------------------------------------------------------------------------------------


def run(source: str, *arguments: str) -> dict[str, object]:
    """What a fresh interpreter prints as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", source, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert isinstance(answer, dict)
    return answer


IMPORTED = """
import sys
before = set(sys.modules)
import holdfast
found = sorted(set(sys.modules) - before)
import json
print(json.dumps({"modules": found}))
"""


@pytest.fixture(scope="module")
def imported() -> set[str]:
    """The modules that ``import holdfast`` adds to an interpreter that has none of them."""
    found = run(IMPORTED)["modules"]
    assert isinstance(found, list)
    return set(found)


def test_importing_holdfast_imports_no_other_library_but_h11(imported: set[str]) -> None:
    tops = {name.split(".")[0] for name in imported}

    assert tops - set(sys.stdlib_module_names) == {"holdfast", "h11"}


@pytest.mark.parametrize(
    "heavy",
    [
        "datetime",
        "hashlib",
        "asyncio",
        "compression",
        "concurrent.futures",
        "email",
        "http.client",
        "http.cookiejar",
        "http.server",
        "mimetypes",
        "multiprocessing",
        "netrc",
        "subprocess",
        "tempfile",
        "unicodedata",
        "urllib.request",
    ],
)
def test_importing_holdfast_leaves_out_what_most_programs_never_use(heavy: str, imported: set[str]) -> None:
    assert heavy not in imported


def test_modules_of_rare_use_wait_for_it(imported: set[str]) -> None:
    assert not imported & {"holdfast.message.cookies", "holdfast.message.multipart", "holdfast.contrib"}


# -- TLS when it is needed ---------------------------------------------------------------------------------------------

COUNT_CONTEXTS = """
import json, ssl, sys

made = []
make = ssl.SSLContext.__new__

def counted(cls, *args, **kwargs):
    made.append(cls)
    return make(cls, *args, **kwargs)

ssl.SSLContext.__new__ = counted
import holdfast
at_import = len(made)
statuses = []
for url in sys.argv[2:]:
    with holdfast.Client(verify=sys.argv[1]) as client:
        statuses.append(client.get(url).status_code)
print(json.dumps({"at_import": at_import, "after": len(made), "statuses": statuses}))
"""


def test_no_ssl_context_is_built_at_import_or_for_plain_http(tls: Tls) -> None:
    with Server() as server:
        seen = run(COUNT_CONTEXTS, tls.ca_path, server.url("/a"), server.url("/b"))

    assert seen == {"at_import": 0, "after": 0, "statuses": [200, 200]}


def test_one_ssl_context_is_built_for_all_clients_of_one_configuration(tls: Tls) -> None:
    with Server(tls=tls.server_context()) as server:
        seen = run(COUNT_CONTEXTS, tls.ca_path, *[server.url("/", host="localhost")] * 3)

    assert seen == {"at_import": 0, "after": 1, "statuses": [200, 200, 200]}


# -- what is public ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(holdfast.__all__))
def test_every_public_name_exists_and_says_what_it_is(name: str) -> None:
    value = getattr(holdfast, name)
    generated = f"{name}("  # the docstring that a dataclass without one is given

    assert inspect.getdoc(value), f"holdfast.{name} has no docstring"
    assert not str(value.__doc__).startswith(generated)


def test_public_names_are_named_once() -> None:
    assert len(holdfast.__all__) == len(set(holdfast.__all__))


@pytest.mark.parametrize("name", ["Client", "Headers", "Limits", "PoolStats", "Response", "Retries", "Timeouts", "Url"])
def test_every_public_method_of_a_public_class_says_what_it_does(name: str) -> None:
    silent = [
        attribute
        for attribute, value in vars(getattr(holdfast, name)).items()
        if not attribute.startswith("_")
        and (inspect.isfunction(value) or isinstance(value, property | classmethod | staticmethod))
        and not inspect.getdoc(getattr(getattr(holdfast, name), attribute))
    ]

    assert not silent, f"holdfast.{name} has undocumented {silent}"


def test_every_module_opens_with_what_it_is() -> None:
    for module in modules():
        name = "holdfast" if module == "__init__" else f"holdfast.{module}"

        assert importlib.import_module(name).__doc__, f"{name} has no docstring"

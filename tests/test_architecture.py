"""The house stands as it was drawn: who may import whom, what each folder knows, how long a file may be, what an import costs.

Read from the source, not from memory, and without a list of exceptions: imports inside functions and imports for types count like
all others. A module or folder that is not in ``MAY_IMPORT`` fails the test.
"""

from __future__ import annotations

import ast
import functools
import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import holdfast
from tests.conftest import Tls
from tests.server import Server

PACKAGE = Path(holdfast.__file__).parent

MESSAGES = {"message", "exceptions"}
CONNECTION = MESSAGES | {"wire", "reasons", "timeouts"}
ONE_REQUEST = CONNECTION | {"pool", "dialer", "response_body", "routes", "resend", "sendings", "transport"}
ONE_CALL = (ONE_REQUEST - {"pool", "wire", "dialer", "response_body"}) | {"auth", "redirects", "retries", "environment", "call"}
ABOVE = {"arguments", "settings", "verbs", "transports", "wsgi", "assembly", "client", "api"}
EVERYTHING = ONE_REQUEST | ONE_CALL | ABOVE | {"connecting", "_clock", "_loading", "_numbers", "_extras", "_version"}

FROM_OUTSIDE = ("requests", "contrib", "cli", "testing")

MAY_IMPORT: dict[str, set[str]] = {
    # what all others stand on
    "_version": set(),
    "_clock": set(),
    "_numbers": set(),
    "_extras": set(),
    "_fork": set(),
    "_loading": {"_fork"},
    "_log": set(),
    "_values": set(),
    "_threads": set(),
    "exceptions": set(),
    "reasons": set(),
    "timeouts": {"_values"},
    # the wings, which know nothing of one another
    "message": {"exceptions", "_numbers", "_extras", "_fork", "_loading"},
    "pool": {"exceptions", "reasons", "_clock", "_numbers", "_fork", "_log", "_threads", "_values"},
    "wire": MESSAGES | {"connecting", "reasons", "timeouts"} | {"_numbers", "_extras", "_fork", "_loading", "_threads", "_values"},
    # rules and choices
    "connecting": {"message"},
    "resend": {"reasons"},
    "retries": {"resend", "_values"},
    "sendings": MESSAGES | {"routes", "_log"},
    "redirects": MESSAGES,
    "environment": MESSAGES | {"_values"},
    "auth": MESSAGES | {"environment"},
    "routes": MESSAGES | {"connecting", "environment", "wire", "_clock", "_loading", "_values"},
    # where pool and wire meet
    "dialer": CONNECTION | {"pool", "routes", "_values"},
    "response_body": CONNECTION | {"pool", "dialer", "routes"},
    "proxied": {"exceptions", "message", "response_body", "routes"},
    "transport": ONE_REQUEST | {"proxied", "_clock"},
    # a user's call
    "call": ONE_CALL | CONNECTION | {"connecting", "_values"},
    "arguments": {"connecting", "message", "retries", "timeouts"},
    "settings": MESSAGES | {"arguments", "_version"},
    "verbs": {"arguments", "message"},
    "transports": ONE_CALL | {"connecting", "pool", "dialer", "timeouts", "_clock"},
    "wsgi": ONE_CALL | {"timeouts", "transports", "_numbers", "_version"},
    "event_source": {"exceptions", "message", "retries"},
    "assembly": ONE_CALL | {"connecting", "pool", "transports"},
    "client": (ONE_CALL - {"routes", "transport"})
    | {"arguments", "assembly", "connecting", "event_source", "settings", "verbs", "pool", "timeouts", "transports"}
    | {"_clock", "_loading"},
    "api": {"arguments", "client", "exceptions", "message", "pool", "_fork"},
    # who comes in from outside
    "requests": EVERYTHING,
    "contrib": EVERYTHING | {"requests", "_fork"},
    "cli": EVERYTHING | {"requests", "contrib"},
    "testing": EVERYTHING | {"requests"},
    "__main__": {"cli"},
    "__init__": EVERYTHING | {"event_source", "requests"},
}


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


def imports(module: str) -> Iterator[tuple[str, str]]:
    """(module, name) of all that a module imports from the package itself: at once, inside functions, and for types."""
    path = modules()[module]
    if path.name != "__init__.py":
        package = module.split(".")[:-1]
    else:
        package = [] if module == "__init__" else module.split(".")
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            for alias in node.names:
                parts = base + (node.module.split(".") if node.module else [])
                inner = ".".join([*parts, alias.name])
                yield (inner, "") if inner in modules() else (".".join(parts) or "__init__", alias.name)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            assert not any(name.split(".")[0] == "holdfast" for name in names), f"{module}: import relatively"


@functools.cache
def foreign(path: Path) -> set[str]:
    """The top-level names of all that a module imports from elsewhere, inside functions and for types too."""
    found = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").split(".")[0])
    return found


def wing(module: str) -> str:
    """The folder or file at the package's top that a module belongs to."""
    return module.split(".")[0]


@pytest.mark.parametrize("module", sorted(modules()))
def test_each_folder_and_file_imports_only_what_is_below_it(module: str) -> None:
    assert wing(module) in MAY_IMPORT, f"holdfast.{module} is not in the drawing: say what it may import"
    allowed = MAY_IMPORT[wing(module)] | {wing(module)}

    wrong = sorted({f"{target} ({name})" for target, name in imports(module) if wing(target) not in allowed})
    assert not wrong, f"holdfast.{module} imports {wrong}"


def test_the_pool_and_the_wire_meet_in_three_files_only() -> None:
    meeting = {
        module
        for module in modules()
        if {"pool", "wire"} <= {wing(target) for target, _ in imports(module)} and wing(module) not in FROM_OUTSIDE
    }

    assert meeting <= {"transport", "response_body", "dialer"}


@pytest.mark.parametrize("pillar", ["requests", "contrib"])
def test_what_is_for_other_programs_is_imported_by_the_root_alone(pillar: str) -> None:
    users = {wing(module) for module in modules() if any(wing(target) == pillar for target, _ in imports(module))}

    assert users - {pillar, "contrib", "cli"} <= {"__init__"}


def test_no_module_needs_itself() -> None:
    """No circle of any kind: not through a function's import, and not through an import for types."""
    needs = {module: {target for target, _ in imports(module)} - {module} for module in modules()}
    while ready := [module for module, needed in needs.items() if not needed & needs.keys()]:
        for module in ready:
            del needs[module]

    assert not needs, f"these import one another in a circle: {sorted(needs)}"


@pytest.mark.parametrize(
    ("library", "allowed"),
    [
        ("h11", {"dialer", "transport", "wire", "cli", "testing"}),
        ("select", {"wire", "contrib", "cli"}),
        ("ssl", {"routes", "connecting", "wire", "contrib", "requests", "cli", "testing"}),
        ("socket", {"wire", "dialer", *FROM_OUTSIDE}),
        ("certifi", {"wire", "requests"}),
        ("socksio", {"wire"}),
        ("threading", {"pool", "wire", "auth", "message", "api", "_threads", "event_source", *FROM_OUTSIDE}),
    ],
)
def test_a_library_is_known_only_to_those_whose_business_it_is(library: str, allowed: set[str]) -> None:
    users = {wing(module) for module, path in modules().items() if library in foreign(path)}

    assert users <= allowed, f"{library} is none of the business of {users - allowed}"


def test_values_and_pure_rules_do_no_input_or_output_and_hold_no_lock() -> None:
    for module in ("resend", "retries", "redirects", "timeouts", "exceptions", "reasons", "message.headers", "message.url"):
        effects = foreign(modules()[module]) & {"threading", "select", "ssl", "subprocess", "http", "random"}

        assert not effects, f"holdfast.{module} is pure, but imports {effects}"


def test_the_pools_state_knows_no_threads_and_http1_no_sockets() -> None:
    assert not foreign(modules()["pool.state"]) & {"threading", "socket", "ssl"}
    assert not foreign(modules()["wire.http1"]) & {"threading", "socket", "ssl", "select"}


# -- what a module keeps to itself -------------------------------------------------------------------------------------


def private_uses(module: str) -> Iterator[tuple[int, str]]:
    """(line, attribute) of every ``thing._attribute`` in a module that neither ``self``, ``cls`` nor its own code defines."""
    tree = parsed(modules()[module])
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    own |= {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and is_self(node.value)
    }
    own |= {
        str(constant.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and any(isinstance(name, ast.Name) and name.id == "__slots__" for name in node.targets)
        for constant in ast.walk(node.value)
        if isinstance(constant, ast.Constant)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or not node.attr.startswith("_") or node.attr.startswith("__"):
            continue
        if not is_self(node.value) and node.attr not in own and ast.unparse(node.value) not in ("sys", "os"):
            yield node.lineno, node.attr


def is_self(node: ast.AST) -> bool:
    """Whether an expression is the object, or the class, that the method belongs to."""
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


@pytest.mark.parametrize("module", sorted(m for m in modules() if wing(m) in ("pool", "call", "client", "transport", "dialer")))
def test_no_module_reads_what_is_private_to_another(module: str) -> None:
    found = [f"line {line}: {name}" for line, name in private_uses(module)]

    assert not found, f"holdfast.{module} reads {found}"


def test_the_time_is_asked_of_an_injected_clock_alone() -> None:
    calls = [
        f"{module}:{node.lineno}"
        for module, path in modules().items()
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("time.monotonic", "monotonic", "time.perf_counter")
    ]

    assert not calls, f"the clock is asked by name in {calls}"


# -- how long a file, and a function, may be ---------------------------------------------------------------------------

LONGEST_FILE = 640
LONGEST_FUNCTION = 50


@pytest.mark.parametrize("module", sorted(modules()))
def test_files_and_functions_have_one_subject_each(module: str) -> None:
    path = modules()[module]
    lines = path.read_text(encoding="utf-8").count("\n")
    long = [
        f"{node.name}: {length(node)}"
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and length(node) > LONGEST_FUNCTION
    ]

    assert lines <= LONGEST_FILE
    assert not long, "functions of more lines than that, docstring aside"


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Its lines without its docstring."""
    lines = (function.end_lineno or 0) - function.lineno + 1
    first = function.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        lines -= (first.end_lineno or 0) - first.lineno + 1
    return lines


RIDDLES = re.compile(r"\b(whoever|somebody|nobody|the one who)\b", re.IGNORECASE)


@pytest.mark.parametrize("module", sorted(modules()))
def test_sentences_name_the_actor(module: str) -> None:
    lines = modules()[module].read_text(encoding="utf-8").splitlines()
    riddles = [f"line {number}: {line.strip()}" for number, line in enumerate(lines, 1) if RIDDLES.search(line)]

    assert not riddles, "say who it is: the waiter, the keeper thread, the server, the user"


@pytest.mark.parametrize("module", sorted(modules()))
def test_a_type_checker_is_silenced_with_a_reason(module: str) -> None:
    lines = [line for line in modules()[module].read_text(encoding="utf-8").splitlines() if "# type: ignore" in line]
    bare = [line.strip() for line in lines if not re.search(r"# type: ignore\[[a-z, -]+\]  # \w", line)]

    assert not bare, "say beside it in what the library's types are wrong"


# -- what importing costs ----------------------------------------------------------------------------------------------


def run(source: str, *arguments: str) -> dict[str, object]:
    """What a fresh interpreter prints as JSON. It is not under coverage, which imports some of what is looked for."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run(
        [sys.executable, "-c", source, *arguments], capture_output=True, text=True, timeout=60, check=False, env=environment
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


def test_importing_holdfast_imports_no_other_library(imported: set[str]) -> None:
    tops = {name.split(".")[0] for name in imported}

    assert tops - set(sys.stdlib_module_names) == {"holdfast"}


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
        "logging",
        "mimetypes",
        "multiprocessing",
        "netrc",
        "queue",
        "random",
        "select",
        "socket",
        "ssl",
        "subprocess",
        "tempfile",
        "unicodedata",
        "urllib.request",
    ],
)
def test_importing_holdfast_leaves_out_what_most_programs_never_use(heavy: str, imported: set[str]) -> None:
    assert heavy not in imported


def test_modules_of_rare_use_wait_for_it(imported: set[str]) -> None:
    rare = {"message.cookies", "message.multipart", "wire.mending", "wire.proxy", "wire.replaced", "wire.socks", "wire.tls_in_tls"}
    rare |= {"event_source", "message.events", "contrib", "testing", "transports", "wsgi"}
    rare |= {"auth.basic", "auth.digest", "auth.proxy_digest", "message.timings", "pool.advice", "pool.figures", "pool.stats"}

    assert not imported & {f"holdfast.{name}" for name in rare}


@pytest.mark.parametrize("folder", ["wire", "pool", "transport", "dialer", "response_body", "routes", "environment", "assembly"])
def test_what_connects_waits_for_the_first_client(folder: str, imported: set[str]) -> None:
    found = {name for name in imported if wing(name.removeprefix("holdfast.")) == folder}

    assert found <= {"holdfast.pool", "holdfast.pool.limits"}  # an argument of Client


LOADED = """
import json, sys
import holdfast
at_import = set(sys.modules)
client = holdfast.Client(verify=sys.argv[1])
by_client = set(sys.modules)
status = client.get(sys.argv[2]).status_code
client.close()
tops = sorted({name.split(".")[0] for name in by_client - at_import})
print(json.dumps({"status": status, "by_client": tops, "by_call": sorted(set(sys.modules) - by_client)}))
"""


def of_ours(found: object) -> set[str]:
    assert isinstance(found, list)
    return {name for name in found if name.split(".")[0] in ("holdfast", "h11", "ssl", "socket", "threading")}


def test_all_that_a_plain_call_takes_comes_with_the_client_and_no_openssl_comes_at_all(tls: Tls) -> None:
    with Server() as server:
        seen = run(LOADED, tls.ca_path, server.url("/"))

    assert seen["status"] == 200
    assert of_ours(seen["by_client"]) == {"holdfast", "h11", "socket"}
    assert of_ours(seen["by_call"]) == set()


def test_the_first_https_call_brings_tls_and_no_more(tls: Tls) -> None:
    with Server(tls=tls.server_context()) as server:
        seen = run(LOADED, tls.ca_path, server.url("/", host="localhost"))

    assert seen["status"] == 200
    assert of_ours(seen["by_call"]) == {"ssl", "holdfast.wire.openssl", "holdfast.wire.tls", "holdfast.wire.fifo"}


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
    for module, path in modules().items():
        assert ast.get_docstring(parsed(path)), f"holdfast.{module} has no docstring"  # read, as some need a library to be imported

"""The pool can be read alone: what its files import, which names they share, how long they are."""

from __future__ import annotations

import ast
import functools
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.pool import pool

FOLDER = Path(pool.__file__).parent
FILES = sorted(FOLDER.glob("*.py"))
MAX_LINES = 640
MAX_FUNCTION_LINES = 50
each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)

# The interpreter's own: a frame is had from nowhere else.
OF_THE_INTERPRETER = {"_getframe", "_current_frames"}


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """(dots, module) of all imports, inside functions and for types too; ``from . import x`` imports x."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names = [node.module] if node.module else [alias.name for alias in node.names]
            yield from ((node.level, name) for name in names)


@each_file
def test_the_pool_knows_neither_http_nor_sockets(path: Path) -> None:
    outside = {name for dots, name in imported(path) if dots == 2}
    libraries = {name.partition(".")[0] for dots, name in imported(path) if dots == 0}

    assert outside <= {"exceptions", "reasons", "_fork", "_threads"}
    assert not libraries & {"h11", "ssl", "socket", "select", "http", "urllib"}


def test_no_module_of_the_pool_imports_one_that_imports_it() -> None:
    needs = {path.stem: {name for dots, name in imported(path) if dots == 1} for path in FILES}
    while ready := [name for name, needed in needs.items() if not needed & needs.keys()]:
        for name in ready:
            del needs[name]

    assert not needs


@each_file
def test_a_private_name_is_used_where_it_is_defined(path: Path) -> None:
    """A class of the module assigns or defines it; or it is the interpreter's."""
    nodes = list(ast.walk(parsed(path)))
    functions = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    assigned = {node.attr for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)}
    used = {node.attr for node in nodes if isinstance(node, ast.Attribute) and re.match(r"_[^_]", node.attr)}

    assert used <= functions | assigned | OF_THE_INTERPRETER | {"_fork"}


def test_the_state_knows_no_threads() -> None:
    for name in ("state", "entries", "deferred", "repairing"):
        assert not {module for _, module in imported(FOLDER / f"{name}.py")} & {"threading", "time", "asyncio", "_threads"}


@each_file
def test_files_and_functions_are_short(path: Path) -> None:
    long = [
        node.name
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef) and length(node) > MAX_FUNCTION_LINES
    ]

    assert long == []
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES


def length(function: ast.FunctionDef) -> int:
    """Lines without the docstring."""
    docstring = function.body[0] if ast.get_docstring(function) else None
    documented = (docstring.end_lineno or 0) - docstring.lineno + 1 if docstring else 0
    return (function.end_lineno or 0) - function.lineno + 1 - documented


@each_file
def test_comments_name_the_actor(path: Path) -> None:
    """It is the waiter, the keeper thread, the server, and not "whoever"."""
    riddle = re.compile(r"\b(whoever|somebody|someone|nobody|nobody's)\b", re.IGNORECASE)
    with path.open("rb") as file:
        told = [t.string for t in tokenize.tokenize(file.readline) if t.type in (tokenize.COMMENT, tokenize.STRING)]

    assert [text for text in told if riddle.search(text)] == []

"""Typing pleasant in an editor: type checkers know each keyword of a call, accept what users write and find what they mistype."""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import re
import subprocess
import sys
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast import arguments
from holdfast.requests import api as requests_api

HERE = Path(__file__).parent
OF_USERS = [str(HERE / "usage.py"), str(HERE / "mistakes.py")]
VERBS = ("get", "options", "head", "post", "put", "patch", "delete")


def run(*command: str, cwd: Path) -> str:
    """What a program says that must end well."""
    environment = {**os.environ, "MYPYPATH": ""}
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=cwd, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="mypy is not installed: the extra lint has it")
def test_mypy_accepts_what_users_write_and_finds_each_mistake(tmp_path: Path) -> None:
    said = run("mypy", "--strict", "--config-file=", f"--cache-dir={tmp_path}", *OF_USERS, cwd=tmp_path)

    assert "no issues found in 2 source files" in said


@pytest.mark.skipif(importlib.util.find_spec("pyright") is None, reason="pyright is not installed: pip install pyright")
def test_pyright_accepts_what_users_write_and_finds_each_mistake(tmp_path: Path) -> None:
    for each in OF_USERS:
        (tmp_path / Path(each).name).write_text(Path(each).read_text())
    settings = {"typeCheckingMode": "strict", "reportUnnecessaryTypeIgnoreComment": True, "pythonVersion": "3.10"}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))

    said = run("pyright", "--pythonpath", sys.executable, cwd=tmp_path)

    assert "0 errors, 0 warnings" in said


# -- one owner for each fact -------------------------------------------------------------------------------------------


def parameters(function: Callable[..., Any]) -> dict[str, str]:
    """The parameters of a function and their types, as they are written; without self, method, url and keywords of a table."""
    found = inspect.signature(function).parameters.values()
    return {
        p.name: re.sub(r" \| Unset$", "", p.annotation)
        for p in found
        if p.name not in ("self", "method", "url") and p.kind is not p.VAR_KEYWORD
    }


def table(function: Callable[..., Any]) -> dict[str, str]:
    """The keywords, and their types, of the table that a function's ``**kwargs`` unpacks."""
    name = re.fullmatch(r"Unpack\[(\w+)\]", inspect.signature(function).parameters["kwargs"].annotation)
    assert name, f"{function.__name__} says no Unpack"
    hints = getattr(arguments, name[1]).__annotations__
    return {key: getattr(hint, "__forward_arg__", hint) for key, hint in hints.items()}


ALL = parameters(holdfast.Client.request)


@pytest.mark.parametrize("owner", [holdfast.Client, holdfast, requests_api], ids=["Client", "holdfast", "requests"])
@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_takes_what_request_takes_and_nothing_twice(owner: Any, verb: str) -> None:
    own, others = parameters(getattr(owner, verb)), table(getattr(owner, verb))

    assert not own.keys() & others.keys()
    assert {**own, **others} == ALL


@pytest.mark.parametrize("function", [holdfast.request, requests_api.request])
def test_request_at_module_level_takes_what_the_clients_takes(function: Callable[..., Any]) -> None:
    assert table(function) == ALL


def test_send_takes_the_settings_that_request_takes() -> None:
    settings = table(holdfast.Client.send)

    assert settings == {name: ALL[name] for name in settings}
    assert ALL.keys() - settings.keys() == inspect.signature(holdfast.Request).parameters.keys() - {"method", "url"} | {
        "idempotency_key"
    }


def test_a_sessions_request_has_the_parameters_of_a_clients() -> None:
    ours, theirs = (list(inspect.signature(each.request).parameters) for each in (holdfast.Client, holdfast.Session))

    assert theirs == ours


# -- at run time -------------------------------------------------------------------------------------------------------

PUBLIC = {
    **{verb: getattr(holdfast, verb) for verb in (*VERBS, "request", "configure", "stats", "close")},
    **{f"requests.{verb}": getattr(requests_api, verb) for verb in (*VERBS, "request")},
    **{f"Client.{verb}": getattr(holdfast.Client, verb) for verb in (*VERBS, "request", "send", "__init__")},
    **{f"Session.{verb}": getattr(holdfast.Session, verb) for verb in (*VERBS, "request", "send", "__init__")},
}


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_function_tells_its_signature_and_its_types_at_run_time(name: str) -> None:
    signature, hints = inspect.signature(PUBLIC[name]), typing.get_type_hints(PUBLIC[name])

    assert hints.keys() <= signature.parameters.keys() | {"return"}
    assert "return" in hints


def test_what_was_not_given_says_so_and_is_false() -> None:
    assert repr(arguments.UNSET) == "UNSET"
    assert not arguments.UNSET

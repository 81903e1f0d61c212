"""A number and what it counts agree, wherever a message has both."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import holdfast
from holdfast._numbers import number_of
from tests.test_architecture import modules, parsed

COUNTED = re.compile(
    r" (?:idle |kept |new |header |trailer |decoded )?(addresses|attempts|bytes|calls|connections|errors|events|fields|files|"
    r"handshakes|others|replies|requests|responses|routes|scripts|threads|times)\b"
)
MORE_THAN_ONE = re.compile(r"^[A-Z_]+$|\.max_|\._max$|max_decoded|\.most$|^len\(refusals\)$|\.attempts$|closes_after_uses$|^said$")
"""Constants and limits, and what stands there only if there are several."""
ABOVE_ONE = {"wire.limits", "message.request"}
"""Modules that tell of numbers above a limit, or above one, alone."""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((1, "connection"), "1 connection"),
        ((0, "connection"), "0 connections"),
        ((2, "address", "addresses"), "2 addresses"),
        ((1, "response was", "responses were"), "1 response was"),
        ((12345, "byte", "", ","), "12,345 bytes"),
    ],
)
def test_a_number_has_its_noun_in_the_right_form(arguments: tuple[int, str], said: str) -> None:
    assert number_of(*arguments) == said


def counts(path: Path) -> Iterator[str]:
    """Each ``{number} things`` of a file's f-strings."""
    for node in ast.walk(parsed(path)):
        if not isinstance(node, ast.JoinedStr):
            continue
        for value, text in zip(node.values, node.values[1:], strict=False):
            if isinstance(value, ast.FormattedValue) and isinstance(text, ast.Constant) and COUNTED.match(str(text.value)):
                expression = ast.unparse(value.value)
                if not MORE_THAN_ONE.search(expression) and "number_of(" not in expression:
                    yield f"{{{expression}}}{text.value!s}"


@pytest.mark.parametrize("module", sorted(set(modules()) - ABOVE_ONE))
def test_no_message_counts_without_regard_for_one(module: str) -> None:
    assert not list(counts(modules()[module])), "say number_of(n, 'connection')"


def test_the_figures_of_a_client_that_has_made_one_call_are_in_the_singular() -> None:
    from holdfast.testing import Fake

    with Fake() as fake, holdfast.Client() as client:
        fake.get("http://a.example/")
        client.get("http://a.example/")

        assert repr(client.stats()).endswith("; 1 request on 1 connection, 0% reused>")

"""The README is true: its commands are the gate's, its Python prints what it says, its tables agree with the code."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import holdfast
from holdfast.reasons import Delivery
from holdfast.resend import IDEMPOTENT, MAX_RESENDS, may_resend
from tests.server import Conn, Received, Server, chunked, ok, response

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[tuple[int, str]]:
    """(number of its first line, text) of every fenced block in ``language``."""
    found = re.finditer(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [(README.count("\n", 0, each.start(1)) + 1, each.group(1)) for each in found]


def table(heading: str) -> list[list[str]]:
    """The cells of the table whose first row begins with ``heading``, without its heading rows."""
    lines = README.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {heading}"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


# -- the commands ------------------------------------------------------------------------------------------------------


def test_there_are_two_commands_of_one_line_each() -> None:
    commands = [text for _, text in blocks("sh")]

    assert [text.count("\n") for text in commands] == [1, 1]
    assert commands[0].endswith(" examples/quickstart.py\n")
    assert commands[1].endswith(" -m pytest -q\n")


def test_the_extras_the_readme_installs_are_there() -> None:
    named = {extra for group in re.findall(r"\.?'?(?:holdfast-http|\.)\[([a-z,]+)\]", README) for extra in group.split(",")}

    assert {"examples", "test", "lint"} <= named
    assert named <= set(importlib.metadata.metadata("holdfast-http").get_all("Provides-Extra") or [])


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
@pytest.mark.parametrize("number", [1, 2])
def test_the_gate_runs_the_very_commands_of_the_readme(number: int) -> None:
    gate = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    function = re.search(r"^readme_command\(\) \{.*?^\}$", gate, re.MULTILINE | re.DOTALL)
    assert function is not None
    done = subprocess.run(
        ["bash", "-c", f"{function.group()}\nreadme_command {number}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )

    assert done.stdout == blocks("sh")[number - 1][1]


# -- the Python --------------------------------------------------------------------------------------------------------


def api(conn: Conn) -> None:
    """What https://api.example.com is in the README."""
    for request in conn.read_requests():
        answer = answer_to(request, conn.server)
        if answer is None:
            return
        conn.send(answer)


def answer_to(request: Received, server: Server) -> bytes | None:
    path = request.target.partition("?")[0]
    if path == "/crash":
        return None
    if path == "/busy" and len(server.requests) == 1:
        return response(503, b"", "Retry-After: 0")
    if path == "/log":
        return chunked(b"one ", b"line\n", headers=["Content-Type: text/plain"])
    if path == "/upload":
        assert b'name="document"; filename="report.txt"' in request.body
    known = path in ("/busy", "/upload") or path.startswith("/items")
    return ok(b'["item"]', "Content-Type: application/json") if known else response(404, b"")


@pytest.fixture
def server() -> Iterator[Server]:
    """The server that the README's examples talk to."""
    with Server(api) as running:
        yield running
    holdfast.close()


@pytest.mark.parametrize(("line", "block"), [pytest.param(*each, id=f"line {each[0]}") for each in blocks("python")])
def test_every_python_block_runs_and_prints_what_its_comments_say(
    line: int, block: str, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    here = block.replace("https://api.example.com", server.url("").rstrip("/"))
    holdfast.close()
    exec(compile("\n" * (line - 1) + here, "README.md", "exec"), {"holdfast": holdfast})

    expected = re.findall(r"print\(.*\)  # (.*)$", block, re.MULTILINE)
    assert capsys.readouterr().out.splitlines() == expected
    assert server.requests, "the block made no call"


# -- the tables --------------------------------------------------------------------------------------------------------

CONNECTIONS = {"any": (False, True), "reused": (True,), "fresh": (False,)}
HOW_FAR: dict[str, list[tuple[Delivery, bool, bool]]] = {  # delivery, replayable, timed out
    "the body was consumed and cannot be given again": [(each, False, False) for each in Delivery],
    "a byte of the response arrived": [(Delivery.ANSWERED, True, False)],
    "a timeout of ours ended it": [(each, True, True) for each in Delivery],
    "nothing was written": [(Delivery.NOT_WRITTEN, True, False)],
    "written, and proven not delivered (Linux)": [(Delivery.NOT_DELIVERED, True, False)],
    "written, no answer, no proof": [(Delivery.UNKNOWN, True, False)],
    "no answer, no proof": [(Delivery.UNKNOWN, True, False), (Delivery.NOT_WRITTEN, True, False)],
}


@pytest.mark.parametrize("row", table("the connection | how far"), ids=" | ".join)
def test_the_table_of_resending_is_the_rule(row: list[str]) -> None:
    connection, how_far, idempotent, other = row
    cases = [(reused, *case) for reused in CONNECTIONS[connection] for case in HOW_FAR[how_far]]
    for verdict, is_idempotent in ((idempotent, True), (other, False)):
        for reused, delivery, replayable, timed_out in cases:
            reason = may_resend(
                reused=reused,
                delivery=delivery,
                idempotent=is_idempotent,
                replayable=replayable,
                timed_out=timed_out,
            )

            assert (reason is not None) == (verdict == "again"), (reused, delivery, is_idempotent)


def test_the_prose_of_resending_names_the_methods_and_the_bound() -> None:
    prose = README[README.index("## What is sent again") : README.index("## Timeouts")]

    assert MAX_RESENDS == 2, "the README says twice"
    assert all(method in prose for method in IDEMPOTENT)


@pytest.mark.parametrize("kind", [holdfast.Timeouts, holdfast.Limits])
def test_the_tables_of_settings_have_every_field_with_its_default(kind: type) -> None:
    assert dataclasses.is_dataclass(kind)
    rows = {row[0].strip("`"): row[1] for row in table(f"`{kind.__name__}(...)`")}
    fields = {field.name: field.default for field in dataclasses.fields(kind)}
    shown = {name: "none" if value is None else f"{value:g}" for name, value in fields.items()}

    assert {name: value.removesuffix(" s") for name, value in rows.items()} == shown


def test_the_table_of_metrics_has_every_field() -> None:
    named = {name for row in table("field | meaning") for name in re.findall(r"`(\w+)`", row[0])}
    fields = {field.name for field in dataclasses.fields(holdfast.OriginStats)}
    derived = {name for name, value in vars(holdfast.OriginStats).items() if isinstance(value, property)}

    assert named == fields | derived


def test_every_reason_for_closing_is_in_the_drawing() -> None:
    drawing = README[README.index("(nothing)") : README.index("A connection has one owner")]

    assert not [reason.value for reason in holdfast.Discard if reason.value not in drawing]


def test_every_error_the_readme_names_exists() -> None:
    chapter = README[README.index("## Errors") : README.index("## In production")]
    names = set(re.findall(r"`([A-Z]\w+)`", chapter)) - {"ValueError"}

    assert len(names) > 10
    assert not [name for name in names if not hasattr(holdfast, name)]


def test_every_file_the_readme_names_is_there() -> None:
    linked = [target for target in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in target]
    named = re.findall(r"`((?:wire|message)/(?:\w+\.py)?|\w+\.py|(?:tests|examples|benchmarks|\.ci)/[\w.]+)`", README)
    homes = (ROOT, ROOT / "src" / "holdfast")

    assert "wire/pool.py" in named
    assert not [name for name in linked + named if not any((home / name).exists() for home in homes)]

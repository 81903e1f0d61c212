"""README and docs/ are true: their commands are the gate's, their Python prints what it says, their tables agree with the code."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast.contrib.urllib3 import keeping
from holdfast.reasons import Delivery
from holdfast.resend import IDEMPOTENT, MAX_RESENDS, Resend, may_resend
from tests.server import Conn, Home, Received, Server, chunked, ok, response

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
}
RUN_ELSEWHERE = {"docs/testing-servers.md"}  # its blocks are files of tests: tests/testing/test_page.py
README = PAGES["README.md"]
RESENDING = PAGES["docs/resending.md"]
CONNECTIONS = PAGES["docs/connections.md"]
METRICS = PAGES["docs/metrics.md"]


def blocks(language: str, page: str = README) -> list[tuple[int, str]]:
    """(number of its first line, text) of every fenced block of ``page`` in ``language``."""
    found = re.finditer(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return [(page.count("\n", 0, each.start(1)) + 1, each.group(1)) for each in found]


def table(page: str, heading: str) -> list[list[str]]:
    """The cells of the table of ``page`` whose first row begins with ``heading``, without its heading rows."""
    lines = page.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {heading}"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def first_column(page: str, heading: str) -> set[str]:
    """Every name in `code` in the first column of a table."""
    return {name for row in table(page, heading) for name in re.findall(r"`(\w+)`", row[0])}


def chapter(page: str, heading: str) -> str:
    """The text below one heading of the second level, up to the next."""
    return page.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


# -- the commands ------------------------------------------------------------------------------------------------------


def test_there_are_two_commands_of_one_line_each() -> None:
    commands = [text for _, text in blocks("sh")]

    assert [text.count("\n") for text in commands] == [1, 1]
    assert commands[0].endswith(" examples/quickstart.py\n")
    assert commands[1].endswith(" -m pytest -q\n")


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


def project() -> tuple[str, set[str]]:
    """(name, extras) of the distribution."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    name = re.search(r'^name = "(.+)"$', text, re.MULTILINE)
    extras = re.search(r"^\[project\.optional-dependencies\]\n(.*?)^\[", text, re.MULTILINE | re.DOTALL)
    assert name is not None
    assert extras is not None
    return name.group(1), set(re.findall(r"^(\w+) = \[", extras.group(1), re.MULTILINE))


@pytest.mark.parametrize("page", PAGES)
def test_the_extras_a_page_installs_are_there(page: str) -> None:
    named = {extra for group in re.findall(r"'(?:holdfast-http|\.)\[([a-z,]+)\]'", PAGES[page]) for extra in group.split(",")}

    assert named <= project()[1]
    assert page != "README.md" or {"examples", "test", "lint", "dask"} <= named


def test_every_line_that_installs_holdfast_has_the_name_of_the_distribution() -> None:
    sources = [path for folder in ("src", "examples", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    texts = [*PAGES.values(), *(path.read_text(encoding="utf-8") for path in sources)]
    named = [found for text in texts for found in re.findall(r"pip install(?: -\w+)* '?(holdfast[\w-]*)", text)]

    assert len(named) > 5
    assert set(named) == {project()[0]} == {"holdfast-http"}


# -- the Python --------------------------------------------------------------------------------------------------------


def api(conn: Conn) -> None:
    """What https://api.example.com is in the pages."""
    for request in conn.read_requests():
        answer = answer_to(request, conn.server)
        if answer is None:
            return
        conn.send(answer)


SDKS = ("openai", "anthropic", "boto3", "kubernetes")  # the extra "sdks": the gate runs their blocks in a step of its own
ENDS_ONCE = "api.example.com ends its first connection at the second request"


def ends_once(conn: Conn) -> None:
    """What it is in a page that says ENDS_ONCE."""
    for number, request in enumerate(conn.read_requests()):
        if conn.number == 0 and number == 1:
            return
        conn.send(answer_to(request, conn.server) or response(404, b""))


def answer_to(request: Received, server: Home) -> bytes | None:
    path = request.target.partition("?")[0]
    if path == "/crash":
        return None
    if path == "/busy" and len(server.requests) == 1:
        return response(503, b"", "Retry-After: 0")
    if path == "/events":
        if request.get("Last-Event-ID") == "2":
            return response(204)
        return chunked(b'retry: 10\nid: 2\nevent: tick\ndata: {"left": 1}\n\n', headers=["Content-Type: text/event-stream"])
    if path == "/log":
        return chunked(b"one ", b"line\n", headers=["Content-Type: text/plain"])
    if path == "/upload":
        assert b'name="document"; filename="report.txt"' in request.body
    if path == "/api/v1/namespaces":
        return ok(b'{"items": []}', "Content-Type: application/json")
    known = path in ("/busy", "/upload") or path.startswith("/items")
    return ok(b'["item"]', "Content-Type: application/json") if known else response(404, b"")


@pytest.fixture
def page() -> str:
    """The page whose examples run; a test of all pages gives another."""
    return "README.md"


@pytest.fixture
def server(page: str) -> Iterator[Server]:
    """The server that the page's examples talk to."""
    with Server(ends_once if ENDS_ONCE in " ".join(PAGES[page].split()) else api) as running:
        yield running
    holdfast.close()


FILE = re.compile(r"# (\w+\.py)\n")  # the first line of a block that is a file of its own


@pytest.fixture
def under_urllib3(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each block begins with figures of its own, as it would in a program of its own."""
    transport = keeping.new_transport()
    monkeypatch.setattr(keeping, "_transport", transport)
    yield
    transport.close()


def of_linux(block: str) -> list[pytest.MarkDecorator]:
    """The mark of a block that names what only Linux has."""
    return [pytest.mark.needs("linux")] if "socket.TCP_" in block else []


@pytest.mark.usefixtures("under_urllib3")
@pytest.mark.parametrize(
    ("page", "line", "block"),
    [
        pytest.param(page, *each, id=f"{page}, line {each[0]}", marks=of_linux(each[1]))
        for page in PAGES
        if page not in RUN_ELSEWHERE
        for each in blocks("python", PAGES[page])
        if not FILE.match(each[1])
    ],
)
def test_every_python_block_runs_and_prints_what_its_comments_say(
    page: str, line: int, block: str, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    for sdk in re.findall(rf"^import ({'|'.join(SDKS)})$", block, re.MULTILINE):
        pytest.importorskip(sdk, reason=f"needs {sdk}: pip install -e '.[sdks]'")
    here = block.replace("https://api.example.com", server.url("").rstrip("/"))
    holdfast.close()
    exec(compile("\n" * (line - 1) + here, page, "exec"), {"holdfast": holdfast})

    expected = re.findall(r"print\(.*\)  # (.*)$", block, re.MULTILINE)
    assert capsys.readouterr().out.splitlines() == expected
    assert expected or here != block, "the block shows nothing and makes no call"
    assert server.requests or here == block or re.search(r"Fake|WSGITransport", block), "the block made no call"


def test_the_files_of_the_page_on_testing_are_a_test_of_ten_lines_that_passes(tmp_path: Path) -> None:
    files = {found[1]: text for _, text in blocks("python", PAGES["docs/testing.md"]) if (found := FILE.match(text))}
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)

    assert files.keys() == {"orders.py", "test_orders.py"}
    assert len(list(filter(None, files["test_orders.py"].splitlines()[1:]))) <= 10
    assert "1 passed" in done.stdout, done.stdout


def test_the_table_of_failures_has_every_one() -> None:
    from holdfast.testing import failures

    assert first_column(PAGES["docs/testing.md"], "name | what happens") == set(failures.__all__) - {"Failure"}


# -- the links and the form --------------------------------------------------------------------------------------------


def anchors(page: str) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    prose = re.sub(r"^```.*?^```$", "", page, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_every_relative_link_leads_to_a_file_and_a_heading_that_are_there(page: str) -> None:
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", PAGES[page]) if "://" not in link]
    broken = []
    for link in links:
        target, _, anchor = link.partition("#")
        path = ((ROOT / page).parent / target).resolve() if target else ROOT / page
        name = path.relative_to(ROOT).as_posix()
        if not path.exists() or (anchor and anchor not in anchors(PAGES[name])):
            broken.append(link)

    assert not broken


def test_the_readme_leads_to_the_index_and_is_short() -> None:
    assert "](docs/index.md)" in README
    assert README.count("\n") <= 260


def test_the_index_leads_to_every_page() -> None:
    pages = {page.removeprefix("docs/") for page in PAGES} - {"README.md", "index.md"}

    assert len(pages) >= 20
    assert pages <= set(re.findall(r"\]\(([\w/-]+\.md)\)", PAGES["docs/index.md"])), "a page that nobody finds"


def test_the_navigation_of_the_site_has_every_page_once() -> None:
    navigation = re.findall(r'= "([\w/-]+\.md)"', (ROOT / "docs" / "zensical.toml").read_text(encoding="utf-8"))

    assert sorted(navigation) == sorted(page.removeprefix("docs/") for page in PAGES if page != "README.md")


OF_REQUESTS = {"Session", "session", "codes", "cookies", "status_codes", "structures"}  # docs/from-requests.md tells of these


def test_the_reference_has_every_public_name_once() -> None:
    reference = "".join(text for page, text in PAGES.items() if page.startswith("docs/reference/"))
    shown = re.findall(r"^::: holdfast\.(\w+)$", reference, re.MULTILINE)

    assert sorted(shown) == sorted({"testing", *holdfast.__all__} - set(holdfast.exceptions.__all__) - OF_REQUESTS)


SOURCE = ROOT / "src" / "holdfast"


@pytest.mark.parametrize("page", PAGES)
def test_every_file_and_folder_a_page_names_is_there(page: str) -> None:
    named = set(re.findall(r"`([\w./]+(?:\.py|/))`", PAGES[page])) - {"docs/"}
    modules = {path.name for path in SOURCE.rglob("*.py")}

    assert not [name for name in named if name not in modules and not any((home / name).exists() for home in (ROOT, SOURCE))]


def test_the_drawing_of_the_source_has_every_module_and_every_folder_of_its_root() -> None:
    drawing = chapter(PAGES["docs/architecture.md"], "The folders")
    drawn = re.findall(r"^  (\w+(?:\.py|/)) +\S", drawing, re.MULTILINE)
    folders = {f"{path.parent.name}/" for path in SOURCE.glob("*/__init__.py")}

    assert sorted(drawn) == sorted(folders | {path.name for path in SOURCE.glob("*.py")})


@pytest.mark.parametrize("page", PAGES)
def test_every_benchmark_and_example_a_page_runs_is_there(page: str) -> None:
    from benchmarks.__main__ import MEASUREMENTS

    assert set(re.findall(r"python -m benchmarks (\w+)", PAGES[page])) <= set(MEASUREMENTS)
    assert all((ROOT / path).exists() for path in re.findall(r"python (examples/\w+\.py)", PAGES[page]))


# -- the tables --------------------------------------------------------------------------------------------------------

REUSED = {"any": (False, True), "reused": (True,), "fresh": (False,)}
Case = tuple[Delivery, bool, bool]  # delivery, replayable, timed out
CONSUMED: list[Case] = [(each, False, False) for each in Delivery]
ANSWERED: list[Case] = [(Delivery.ANSWERED, True, False)]
TIMED_OUT: list[Case] = [(each, True, True) for each in Delivery]
HOW_FAR: dict[str, list[Case]] = {
    "the body was consumed and cannot be given again": CONSUMED,
    "a byte of the response arrived": ANSWERED,
    "one of the call's timeouts ended it": TIMED_OUT,
    "a byte of the response arrived, one of the call's timeouts ended it, or the body cannot be given again": [
        *ANSWERED,
        *TIMED_OUT,
        *CONSUMED,
    ],
    "nothing was written": [(Delivery.NOT_WRITTEN, True, False)],
    "written, and proven not delivered (Linux)": [(Delivery.NOT_DELIVERED, True, False)],
    "written, no answer, no proof": [(Delivery.UNKNOWN, True, False)],
    "the answer is a 417 to an `Expect` field": [(Delivery.EXPECTATION_FAILED, True, False)],
    "the answer is a 408": [(Delivery.WAITED_FOR, True, False)],
    "nothing was written, or the answer is a 408": [(Delivery.NOT_WRITTEN, True, False), (Delivery.WAITED_FOR, True, False)],
}


@pytest.mark.parametrize(
    "row",
    [pytest.param(row, id=" | ".join(row)) for page in (README, RESENDING) for row in table(page, "the connection | how far")],
)
def test_the_tables_of_resending_are_the_rule(row: list[str]) -> None:
    connection, how_far, idempotent, other = row
    cases = [(reused, *case) for reused in REUSED[connection] for case in HOW_FAR[how_far]]
    for cell, is_idempotent in ((idempotent, True), (other, False)):
        verdict = cell.strip("*").partition(":")[0]
        assert verdict in ("again", "again, once", "no")
        for reused, delivery, replayable, timed_out in cases:
            for lost_before in (0, 1):
                reason = may_resend(
                    reused=reused,
                    delivery=delivery,
                    idempotent=is_idempotent,
                    replayable=replayable,
                    timed_out=timed_out,
                    lost_fresh=lost_before,
                )
                allowed = verdict == "again" or (verdict == "again, once" and not lost_before)

                assert (reason is not None) == allowed, (reused, delivery, is_idempotent, lost_before)


@pytest.mark.parametrize("prose", [chapter(README, "What is sent again"), RESENDING], ids=["README", "resending"])
def test_the_prose_of_resending_names_the_methods_and_the_bound(prose: str) -> None:
    assert MAX_RESENDS == 2
    assert "at most twice" in prose
    assert all(method in prose for method in IDEMPOTENT)


def test_the_reasons_for_resending_are_those_that_are_counted() -> None:
    assert {row[0].strip("`") for row in table(RESENDING, "reason | the row")} == {reason.value for reason in Resend}


def defaults(kind: Any) -> dict[str, str]:
    """The fields of a dataclass of settings with their defaults, as the tables write them."""
    shown = {field.name: field.default for field in dataclasses.fields(kind)}
    return {name: "none" if value is None else str(value) if value is True else f"{value:g}" for name, value in shown.items()}


def settings(page: str, kind: type) -> dict[str, str]:
    """The names and defaults of a table of settings."""
    return {row[0].strip("`"): row[1].removesuffix(" s") for row in table(page, f"`{kind.__name__}(...)`")}


def test_the_tables_of_settings_have_every_field_with_its_default() -> None:
    assert settings(README, holdfast.Timeouts) == defaults(holdfast.Timeouts)
    assert settings(CONNECTIONS, holdfast.Limits) == defaults(holdfast.Limits)
    assert settings(README, holdfast.Limits).items() <= defaults(holdfast.Limits).items()


def test_the_table_of_retries_has_every_field_with_its_default() -> None:
    shown = settings(RESENDING, holdfast.Retries)
    retries = holdfast.Retries()
    plain = {name: f"{getattr(retries, name):g}" for name in ("attempts", "backoff", "max_backoff")}

    assert shown.keys() == {field.name for field in dataclasses.fields(holdfast.Retries)}
    assert plain.items() <= shown.items()
    assert shown["statuses"] == ", ".join(map(str, retries.statuses))
    assert shown["respect_retry_after"] == str(retries.respect_retry_after)


def test_the_table_of_metrics_has_every_field() -> None:
    fields = {field.name for field in dataclasses.fields(holdfast.OriginStats)}
    derived = {name for name, value in vars(holdfast.OriginStats).items() if isinstance(value, property)}

    assert first_column(METRICS, "field | meaning") == fields | derived


def test_the_table_of_events_has_every_kind() -> None:
    kinds = sys.modules[holdfast.PoolEvent.__module__].KINDS

    assert first_column(METRICS, "kind | what happened") == set(kinds)


def test_the_table_of_advice_has_every_field() -> None:
    shown = {name for row in table(chapter(METRICS, "Advice"), "field") for name in re.findall(r"`(\w+)`", row[0])}

    assert shown == {field.name for field in dataclasses.fields(holdfast.OriginAdvice)}


def test_the_table_of_prometheus_has_every_metric() -> None:
    pytest.importorskip("prometheus_client", reason="needs prometheus-client: pip install 'holdfast-http[prometheus]'")
    from holdfast.contrib.prometheus import ClientCollector

    with holdfast.Client() as client:
        families = ClientCollector(client).describe()
    suffix = {"counter": "_total", "gauge": "", "histogram": ""}

    assert first_column(METRICS, "metric | type") == {family.name + suffix[family.type] for family in families}


def test_the_table_of_opentelemetry_has_every_name(server: Server) -> None:
    with holdfast.Client() as client:
        client.get(server.url("/items"))
        names = {name for name, _, _ in client.stats().opentelemetry()}

    assert {row[0].split("`")[1] for row in table(METRICS, "name | field")} == names


def test_every_reason_for_closing_is_in_the_drawing_and_in_the_table() -> None:
    drawing = CONNECTIONS[CONNECTIONS.index("(nothing)") : CONNECTIONS.index("A connection has one owner")]
    reasons = {reason.value for reason in holdfast.Discard}

    assert not [reason for reason in reasons if reason not in drawing]
    assert first_column(CONNECTIONS, "`Discard`") == reasons


def test_every_error_the_readme_names_exists() -> None:
    text = chapter(README, "Errors and timeouts")
    names = set(re.findall(r"`([A-Z]\w+)`", text)) - {"ValueError", "None"}

    assert len(names) > 10
    assert not [name for name in names if not hasattr(holdfast, name)]


def test_what_is_called_absent_is_absent() -> None:
    rows = table(PAGES["docs/from-requests.md"], "absent")
    absent = {name for row in rows for name in re.findall(r"`(?:holdfast\.)?(\w+)`", row[0])}


    assert not [name for name in absent if hasattr(holdfast, name) or hasattr(holdfast.Session, name)]

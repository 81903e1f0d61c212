"""What the benchmarks say is what they measured: their figures, their files, their drawings."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks import distance, idle, plot, pools
from benchmarks.processes import ROOT, environment
from benchmarks.results import Chart, Results, command, load, save
from tests.conftest import Tls
from tests.server import Conn, Server, ok, replies

DRAWN = sorted(plot.FOLDER.glob("*.json"))
PAGES = [Path(ROOT, "README.md"), *Path(ROOT, "docs").glob("*.md")]
FIGURES: dict[str, dict[str, float | None]] = {
    "one": {"holdfast": 12.34, "requests": 5.0, "curl": None},
    "two": {"holdfast": 0.0, "curl": 1234.5},
}
RESULTS = Results(
    "python -m benchmarks cpu --tls",
    "2026-11-29",
    {"system": "Linux 6", "processor": "a processor", "cores": 1},
    {"Python": "3.11.7", "holdfast-http": "0.1.0", "requests": "2.0", "psycopg-pool": "3.0"},
    [Chart("A call", "ms", FIGURES)],
)


# -- the files ------------------------------------------------------------------------------------------------------------


def test_a_file_has_the_figures_the_command_and_where_they_come_from(tmp_path: Path) -> None:
    path = tmp_path / "cpu.json"
    save(str(path), "cpu", ["--tls", "--json", str(path)], RESULTS.charts)

    found = load(path)
    assert found.charts == RESULTS.charts
    assert found.command == RESULTS.command
    assert found.versions["Python"] == ".".join(map(str, sys.version_info[:3]))
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", found.date)
    assert set(found.machine) == {"system", "processor", "cores"}


def test_without_a_file_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save(None, "cpu", [], RESULTS.charts)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [["--json", "x.json", "--rounds", "3"], ["--rounds", "3", "--json=x.json"]])
def test_the_command_of_a_file_is_without_its_place(arguments: list[str]) -> None:
    assert command("pools", arguments) == "python -m benchmarks pools --rounds 3"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"charts": [{"title": "x"}]}'])
def test_a_file_that_no_benchmark_wrote_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)

    with pytest.raises(ValueError, match=r"other\.json"):
        load(path)


# -- the drawings ---------------------------------------------------------------------------------------------------------


def test_every_row_is_a_panel_and_every_series_has_its_place_in_each() -> None:
    drawn = plot.panels(RESULTS.charts[0])

    assert [panel.title for panel in drawn] == ["one", "two"]
    assert [[(bar.name, bar.label) for bar in panel.bars] for panel in drawn] == [
        [("holdfast", "12.3"), ("requests", "5"), ("curl", "–")],
        [("holdfast", "0"), ("requests", "–"), ("curl", "1,234")],
    ]
    assert [bar.ours for bar in drawn[0].bars] == [True, False, False]


@pytest.mark.parametrize(
    ("figure", "text"),
    [(0.0, "0"), (0.01234, "0.012"), (0.1234, "0.123"), (1.0, "1"), (1.234, "1.23"), (99.96, "100"), (1234567.0, "1,234,567")],
)
def test_a_figure_is_written_with_three_digits(figure: float, text: str) -> None:
    assert plot.written(figure) == text


def test_a_panel_without_a_figure_has_a_scale() -> None:
    assert plot.Panel("none", [plot.Bar("curl", None, False)]).end > 0


def test_a_drawing_says_which_way_is_better() -> None:
    chart = RESULTS.charts[0]

    assert plot.heading(chart) == "A call: ms (less is better)"
    assert plot.heading(replace(chart, more_is_better=True)) == "A call: ms (more is better)"


def test_a_drawing_names_command_machine_date_and_the_versions_of_what_it_shows() -> None:
    assert plot.origin(RESULTS) == (
        "python -m benchmarks cpu --tls",
        "2026-11-29; a processor, 1 core, Linux 6; Python 3.11.7, holdfast-http 0.1.0, requests 2.0",
    )


def texts(path: Path) -> set[str]:
    """All text of an SVG."""
    return {"".join(node.itertext()).strip() for node in ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text")}


def shown(results: Results) -> set[str]:
    """All that a drawing of it has to say."""
    drawn = [panel for chart in results.charts for panel in plot.panels(chart)]
    bars = [bar for panel in drawn for bar in panel.bars]
    said = {plot.heading(chart) for chart in results.charts} | {panel.title for panel in drawn}
    return said | {bar.label for bar in bars} | {bar.name for bar in bars} | set(plot.origin(results))


@pytest.mark.needs("matplotlib")
def test_the_same_figures_give_the_same_bytes(tmp_path: Path) -> None:
    one, two = tmp_path / "one.svg", tmp_path / "two.svg"
    plot.draw(RESULTS, one)
    plot.draw(RESULTS, two)

    assert one.read_bytes() == two.read_bytes()
    assert shown(RESULTS) <= texts(one)


@pytest.mark.needs("matplotlib")
def test_plot_draws_every_file_of_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        save(str(tmp_path / f"{name}.json"), "cpu", [], RESULTS.charts)
    monkeypatch.setattr(sys, "argv", ["plot", str(tmp_path)])

    assert plot.main() == 0
    assert sorted(path.name for path in tmp_path.glob("*.svg")) == ["a.svg", "b.svg"]


@pytest.mark.parametrize(("files", "complaint"), [({}, "no figures in"), ({"bad.json": "{}"}, "bad.json")])
def test_plot_says_what_it_cannot_draw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], files: dict[str, str], complaint: str
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(sys, "argv", ["plot", str(tmp_path)])

    assert plot.main() == 2
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize("path", DRAWN, ids=lambda path: path.stem)
def test_a_drawing_of_the_pages_shows_the_figures_beside_it(path: Path) -> None:
    assert shown(load(path)) <= texts(path.with_suffix(".svg"))


def test_every_drawing_has_its_figures_and_is_on_a_page() -> None:
    drawings = {path.name for path in plot.FOLDER.glob("*.svg")}
    linked = {name for page in PAGES for name in re.findall(r"figures/(\w+\.svg)", page.read_text(encoding="utf-8"))}

    assert drawings == {path.with_suffix(".svg").name for path in DRAWN} == linked


# -- distance -------------------------------------------------------------------------------------------------------------


def test_the_log_of_the_server_tells_connections_and_which_of_them_were_resumed() -> None:
    log = ["8443 1 .", "8443 1 .", "8443 2 r", "8443 3 r", "8443 2 r"]

    assert distance.seen(log, {"seconds": 1.5, "cpu": 0.5}) == distance.Seen(3, 2, 1.5, 0.5)


@pytest.mark.parametrize(("way", "connections"), [("requests.get, one-off", 4), ("requests.Session", 1), ("holdfast.Client", 1)])
def test_a_way_makes_as_many_requests_as_asked_on_its_own_connections(tls: Tls, way: str, connections: int) -> None:
    def serve(conn: Conn) -> None:
        for _ in conn.read_requests():
            conn.send(ok(distance.BODY))

    with Server(serve, tls=tls.server_context()) as server:
        said = run_child("distance", way, server.url("/k"), tls.ca_path, "4", "1")

        assert (server.connections, len(server.requests)) == (connections, 4)
    assert said["seconds"] > 0
    assert said["cpu"] > 0


def test_an_answer_that_is_not_the_file_ends_the_way(tls: Tls) -> None:
    with Server(replies(ok(b"another")), tls=tls.server_context()) as server, pytest.raises(AssertionError, match="not the file"):
        run_child("distance", "requests.Session", server.url("/k"), tls.ca_path, "1", "1")


def run_child(module: str, *arguments: str) -> dict[str, Any]:
    argv = [sys.executable, "-m", f"benchmarks.{module}", "child", *arguments]
    done = subprocess.run(argv, env=environment(no_proxy="*"), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


# -- pools ----------------------------------------------------------------------------------------------------------------

EACH_POOL = [pytest.param(name, marks=pytest.mark.needs(*kind.needs)) for name, kind in pools.POOLS.items()]


@pytest.mark.parametrize("name", EACH_POOL)
def test_a_pool_that_looks_notices_a_dead_connection_and_another_does_not(name: str) -> None:
    with pools.server() as address:
        pool = pools.POOLS[name].build(address, 1)
        try:
            assert pools.notices(pool, address) == (pools.POOLS[name].look != "–")
        finally:
            pool.close()


@pytest.mark.parametrize("name", EACH_POOL)
def test_as_many_connections_as_there_may_be_are_used_by_more_threads(name: str) -> None:
    with pools.server() as address:
        pool = pools.POOLS[name].build(address, 2)
        try:
            pools.fill(pool, 2)
            cpu, clock = pools.crowd(pool.cycle, 4, 40)
        finally:
            pool.close()

    assert cpu > 0
    assert clock > 0


def found(cpu: float, *, notices: bool) -> pools.Found:
    return pools.Found({crowd: [cpu, cpu, 1.0] for crowd in pools.CROWDS}, [cpu], notices)


def test_a_pool_that_is_not_installed_is_named() -> None:
    table = pools.rows({"holdfast": found(2e-6, notices=True)})

    assert [row[0] for row in table[1:]] == list(pools.POOLS)
    assert table[1][2:] == ["2.0"] * 4 + ["2.0", "is noticed"]
    assert all(row[2] == "not installed" for row in table[2:])
    assert all(len(row) == len(table[0]) for row in table)


def test_where_another_pool_that_notices_costs_less_is_said() -> None:
    measured = {
        "holdfast": found(2e-6, notices=True),
        "urllib3 PoolManager": found(3e-6, notices=True),
        "psycopg_pool, check": found(1e-6, notices=True),
        "queue.LifoQueue": found(1e-6, notices=False),
    }

    assert {line.partition(" costs")[0] for line in pools.cheaper(measured)} == {"psycopg_pool, check"}
    assert pools.chart(measured).figures["64 threads on 8"]["queue.LifoQueue"] == 1.0
    assert pools.chart(measured).figures["1 thread"]["httpcore"] is None


# -- idle connections -----------------------------------------------------------------------------------------------------

KIBIBYTE = 1024


def in_use(name: str, *, tls: bool) -> float:
    found = idle.measure(name, tls, 40, ["in use"])["in use"]
    assert found is not None
    return found


@pytest.mark.needs("linux")
def test_an_idle_connection_holds_none_of_the_16_kib_that_tls_is_written_from() -> None:
    assert 20 * KIBIBYTE < in_use("holdfast", tls=True) < 40 * KIBIBYTE


@pytest.mark.needs("linux")
@pytest.mark.parametrize("name", idle.HOLDERS)
def test_every_client_keeps_the_connections_whose_memory_is_measured(name: str) -> None:
    assert in_use(name, tls=False) > KIBIBYTE, "they were closed"

"""What ``docs/tools/`` makes: the picture of idle times is that of the tables, and a dead link is found."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from docs.tools import idle_times
from docs.tools.build_site import dead_links
from docs.tools.idle_times import Idle
from docs.tools.terminal import COLUMNS, picture

TABLE = """
| server | idle, s | ends by |
|---|---|---|
| `slow` 1.0 | 8.8–12.0 (documented: 10) | FIN |
| hasty 2.0 | **4.99**–5.00 | FIN |
| shut | closes after each answer | FIN |
| open | never closes | – |

| name | what |
|---|---|
| idle, s | 7 |
"""


def test_the_rows_of_a_table_are_read_with_their_ranges() -> None:
    assert idle_times.idle_times(TABLE) == [
        Idle("shut", 0, 0),
        Idle("hasty 2.0", 4.99, 5.0),
        Idle("slow 1.0", 8.8, 12.0),
        Idle("open", math.inf, math.inf),
    ]


def test_a_cell_that_says_no_time_is_an_error() -> None:
    with pytest.raises(ValueError, match="no idle time: 'soon'"):
        idle_times.idle_times("| server | idle, s |\n|---|---|\n| a | soon |\n")


def test_the_picture_of_idle_times_is_drawn_from_the_tables_as_they_are() -> None:
    rows = idle_times.idle_times(idle_times.TABLES.read_text(encoding="utf-8"))
    drawn = idle_times.PICTURE.read_text(encoding="utf-8")

    assert len(rows) > 40
    assert drawn == idle_times.svg(rows), "run python -m docs.tools.idle_times"


def test_the_lines_of_the_clients_stand_where_the_comparison_says() -> None:
    lines = (idle_times.ROOT / "docs" / "comparison.md").read_text(encoding="utf-8").splitlines()
    names, times = (next(line for line in lines if line.startswith(start)) for start in ("| | holdfast", "| idle timeout"))
    said = dict(zip(names.split("|"), times.split("|"), strict=True))

    for client, seconds in idle_times.CLIENTS.items():
        assert next(time for name, time in said.items() if client.split(" ")[0] in name).strip() == f"{seconds:g} s"


def test_a_terminal_is_drawn_with_its_command_and_its_colours() -> None:
    drawn = picture("holdfast timing URL", "\x1b[31mred\x1b[0m", COLUMNS)

    assert "holdfast&#160;timing&#160;URL" in drawn
    assert ">red</text>" in drawn


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Two pages and a picture, all of whose links lead somewhere."""
    (tmp_path / "other").mkdir()
    (tmp_path / "picture.svg").write_text("<svg/>")
    (tmp_path / "other" / "index.html").write_text('<h1 id="top">Other</h1><a href="..">up</a><a href="https://example.com/">away</a>')
    links = '<a href="other/#top">a</a><a href="#here">b</a><a name="here"></a><img src="picture.svg"><a href="/other/">c</a>'
    (tmp_path / "index.html").write_text(links)
    return tmp_path


def test_links_that_lead_somewhere_are_not_complained_of(site: Path) -> None:
    assert list(dead_links(site)) == []


@pytest.mark.parametrize(
    "link", ["gone/", "gone.html", "other/#gone", "#gone", "gone.svg", "/gone/", "../picture.svg#top", "../.."]
)
def test_a_link_that_leads_nowhere_in_the_site_is_found(site: Path, link: str) -> None:
    (site.parent / "index.html").write_text("a page of another site")
    (site / "other" / "dead.html").write_text(f'<a href="{link}">x</a>')

    assert list(dead_links(site)) == [f"other/dead.html: {link}"]

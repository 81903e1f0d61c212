"""docs/pictures/idle-times.svg: how long servers keep an idle connection, drawn from the tables of docs/servers.md.

``python -m docs.tools.idle_times`` writes it. A row of a table becomes a bar when its "idle, s" begins with a number; servers that
close after each answer, or never, are named below the bars. The axis is logarithmic: the times go from 1 s to 300 s.
"""

from __future__ import annotations

import html
import math
import re
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TABLES = ROOT / "docs" / "servers.md"
PICTURE = ROOT / "docs" / "pictures" / "idle-times.svg"

LEAST, MOST = 1.0, 400.0  # seconds, the ends of the axis
TICKS = (1, 2, 5, 10, 20, 30, 60, 120, 300)
CLIENTS = {"httpx 5": 5.0, "aiohttp 15": 15.0, "holdfast 55": 55.0}  # how long they keep one, as docs/comparison.md says
WIDTH, LEFT, RIGHT, TOP, ROW = 960, 320, 30, 60, 19
STYLE = """
text { font: 13px sans-serif; fill: #222 }
.head { font-size: 15px; font-weight: bold }
.note { font-size: 12px }
.tick { font-size: 11px; fill: #555 }
.client { font-size: 12px; fill: #b3261e }
"""


@dataclass(frozen=True)
class Idle:
    """How long one server keeps an idle connection.

    Attributes:
        server: its name, short.
        least: seconds; 0 closes after each answer, infinity never closes.
        most: seconds, where it varies.
    """

    server: str
    least: float
    most: float


def idle_times(page: str) -> list[Idle]:
    """The rows of all tables of ``page`` that have a column "idle, s", the most impatient server first."""
    found, column = [], None
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            column = None
        elif "idle, s" in cells:
            column = cells.index("idle, s")
        elif column is not None and not set(line) <= set("|-"):
            found.append(Idle(_short(cells[0]), *_seconds(cells[column])))
    return sorted(found, key=lambda each: (each.least, each.most))


def _seconds(cell: str) -> tuple[float, float]:
    if cell.startswith("closes after each answer"):
        return 0.0, 0.0
    if cell.startswith("never"):
        return math.inf, math.inf
    numbers = re.match(r"\**([\d.]+)\**(?:–([\d.]+))?", cell)
    if numbers is None:
        raise ValueError(f"no idle time: {cell!r}")
    return float(numbers[1]), float(numbers[2] or numbers[1])


def _short(name: str) -> str:
    """A server's name without what its row says of how it was run."""
    return re.sub(r"[`*]", "", name)


def svg(rows: list[Idle]) -> str:
    """The picture."""
    bars = [row for row in rows if 0 < row.least < math.inf]
    bottom = TOP + ROW * len(bars)
    parts = [_grid(bottom)]
    for number, row in enumerate(bars):
        parts.append(_bar(row, TOP + ROW * number))
    for number, (client, seconds) in enumerate(CLIENTS.items()):
        parts.append(_client(client, seconds, bottom, number))
    texts = [
        "close after each answer: " + "; ".join(row.server for row in rows if row.least == 0),
        "never close: " + "; ".join(row.server for row in rows if row.least == math.inf),
    ]
    lines = [line for text in texts for line in _wrapped(text)]
    parts += [_text(20, bottom + 50 + 17 * number, line, "note") for number, line in enumerate(lines)]
    height = bottom + 50 + 17 * len(lines) + 5
    label = "Seconds for which servers keep an idle connection, by default"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{label}">\n'
        f'<style>{STYLE}</style>\n<rect width="{WIDTH}" height="{height}" fill="#fff"/>\n{_text(20, 25, label, "head")}\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _x(seconds: float) -> float:
    share = math.log(seconds / LEAST) / math.log(MOST / LEAST)
    return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:g}" y="{y:g}" class="{kind}" text-anchor="{anchor}">{html.escape(text)}</text>'


def _grid(bottom: int) -> str:
    lines = [
        f'<line x1="{_x(tick):g}" y1="{TOP - 4}" x2="{_x(tick):g}" y2="{bottom}" stroke="#ddd"/>\n'
        + _text(_x(tick), bottom + 14, f"{tick} s", "tick", "middle")
        for tick in TICKS
    ]
    return "\n".join(lines)


def _bar(row: Idle, y: int) -> str:
    """To the least time in full, from there to the most paler; at least a sliver, for 1 s is where the axis begins."""
    least, most = max(_x(row.least), LEFT + 3), max(_x(row.most), LEFT + 3)
    sure = f'<rect x="{LEFT}" y="{y + 3}" width="{least - LEFT:g}" height="12" fill="#3f6fb5"/>'
    maybe = f'<rect x="{least:g}" y="{y + 3}" width="{most - least:g}" height="12" fill="#a9c1e4"/>' if most > least else ""
    return _text(LEFT - 8, y + 14, row.server, "", "end") + sure + maybe


def _client(name: str, seconds: float, bottom: int, number: int) -> str:
    x = _x(seconds)
    line = f'<line x1="{x:g}" y1="{TOP - 8}" x2="{x:g}" y2="{bottom}" stroke="#b3261e" stroke-dasharray="4 3"/>'
    return line + _text(x, TOP - 12, f"{name} s", "client", "middle")


def _wrapped(text: str, width: int = 135) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


def main() -> int:
    """Write the picture."""
    PICTURE.write_text(svg(idle_times(TABLES.read_text(encoding="utf-8"))), encoding="utf-8")
    print(PICTURE)
    return 0


if __name__ == "__main__":
    sys.exit(main())

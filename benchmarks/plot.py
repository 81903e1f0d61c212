"""Draws what other commands measured: of each file of figures that ``--json`` wrote, an SVG beside it.

    python -m benchmarks plot [FOLDER]

The folder is ``docs/figures`` if none is given. Every row of a chart is a panel with a scale of its own from 0 on, every series a
bar with its figure, in the order of the file: those where holdfast loses too. What was not measured keeps its place. Below stand
the command, the machine, the versions and the date of the run.

The same figures give the same bytes, whatever the day, with the same version of matplotlib (``pip install -e '.[bench]'``).
Text stays text.
"""

from __future__ import annotations

import argparse
import importlib
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.results import Chart, Results, load

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "figures"
OURS, THEIRS, INK = "#1b6ca8", "#b9c0c8", "#24292f"
COLUMNS = 3
WIDTH, BAR, TOP, BOTTOM, BETWEEN = 11.0, 0.24, 0.75, 0.7, 0.55  # inches
SETTINGS = {
    "svg.hashsalt": "holdfast",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": THEIRS,
    "axes.titlesize": 9,
    "xtick.color": INK,
    "ytick.color": INK,
}


@dataclass(frozen=True)
class Bar:
    """One figure.

    Attributes:
        figure: None if there is none.
        ours: whether it is one of holdfast's.
    """

    name: str
    figure: float | None
    ours: bool

    @property
    def label(self) -> str:
        """The figure with three digits, or a dash."""
        return "–" if self.figure is None else written(self.figure)


@dataclass(frozen=True)
class Panel:
    """One row of a chart."""

    title: str
    bars: Sequence[Bar]

    @property
    def end(self) -> float:
        """Of its scale: there is room behind the longest bar for its figure."""
        return 1.3 * max((bar.figure or 0.0 for bar in self.bars), default=0.0) or 1.0


def written(figure: float) -> str:
    """With three digits that count, as people write it: 0.123, 1.23, 12.3, 1,234."""
    decimals = 0 if abs(figure) >= 100 or figure == 0 else min(3, 2 - math.floor(math.log10(abs(figure))))
    text = f"{figure:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def panels(chart: Chart) -> list[Panel]:
    """A panel for each row, each with a bar for every series of the chart."""
    return [
        Panel(row, [Bar(name, figures.get(name), name.startswith("holdfast")) for name in chart.series])
        for row, figures in chart.figures.items()
    ]


def heading(chart: Chart) -> str:
    """What is shown, in which unit, and which way is better."""
    return f"{chart.title}: {chart.unit} ({'more' if chart.more_is_better else 'less'} is better)"


def origin(results: Results) -> tuple[str, str]:
    """Two lines: how the figures were had; where, when and of what."""
    machine = results.machine
    series = [_plain(name) for chart in results.charts for name in chart.series]
    kept = {
        name: version
        for name, version in results.versions.items()
        if name in ("Python", "OpenSSL") or any(_plain(name.removesuffix("-http")) in each for each in series)
    }
    told = ", ".join(f"{name} {version}" for name, version in kept.items())
    cores = f"{machine['cores']} core{'' if machine['cores'] == 1 else 's'}"
    return f"{results.command}", f"{results.date}; {machine['processor']}, {cores}, {machine['system']}; {told}"


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")


def draw(results: Results, path: Path) -> None:
    """Write the SVG."""
    matplotlib = importlib.import_module("matplotlib")
    figures = importlib.import_module("matplotlib.figure")
    with matplotlib.rc_context(SETTINGS):
        drawn = [(chart, panels(chart)) for chart in results.charts]
        heights = [_height(each) for _, each in drawn]
        total = sum(heights) + BOTTOM
        figure = figures.Figure(figsize=(WIDTH, total))
        top = total
        for (chart, each), height in zip(drawn, heights, strict=True):
            figure.text(0.01, (top - 0.3) / total, heading(chart), fontsize=11, fontweight="bold")
            _draw_panels(figure, each, top - TOP, total)
            top -= height
        for line, text in enumerate(reversed(origin(results))):
            figure.text(0.01, (0.12 + 0.2 * line) / total, text, fontsize=7.5)
        # Neither the day nor the version of what drew it is in the file.
        figure.savefig(path, format="svg", facecolor="white", metadata={"Date": None, "Creator": None})


def _columns(each: Sequence[Panel]) -> int:
    return 2 if len(each) == 4 else min(COLUMNS, len(each))


def _height(each: Sequence[Panel]) -> float:
    lines = math.ceil(len(each) / _columns(each))
    return TOP + lines * (max(len(panel.bars) for panel in each) * BAR + BETWEEN)


def _draw_panels(figure: Any, each: Sequence[Panel], top: float, total: float) -> None:
    """In lines of some columns; the names of the series stand before the first column."""
    columns = _columns(each)
    left = 0.02 + 0.0062 * max(len(bar.name) for panel in each for bar in panel.bars)
    width = (0.99 - left) / columns
    height = len(each[0].bars) * BAR
    for number, panel in enumerate(each):
        line, column = divmod(number, columns)
        bottom = top - (line + 1) * height - line * BETWEEN
        axes = figure.add_axes((left + column * width, bottom / total, width - 0.02, height / total))
        _draw_bars(axes, panel, named=column == 0)


def _draw_bars(axes: Any, panel: Panel, *, named: bool) -> None:
    places = range(len(panel.bars))
    colours = [OURS if bar.ours else THEIRS for bar in panel.bars]
    axes.barh(places, [bar.figure or 0.0 for bar in panel.bars], color=colours, height=0.7)
    for place, bar in zip(places, panel.bars, strict=True):
        weight = "bold" if bar.ours else "normal"
        axes.text(max(bar.figure or 0.0, 0.0) + panel.end * 0.015, place, bar.label, va="center", fontsize=8, fontweight=weight)
    axes.set_title(panel.title, loc="left")
    axes.set_xlim(0, panel.end)
    axes.set_ylim(len(panel.bars) - 0.5, -0.5)
    axes.set_xticks([])
    axes.set_yticks(list(places), [bar.name for bar in panel.bars] if named else [""] * len(panel.bars))
    axes.tick_params(length=0)
    for side in ("top", "right", "bottom"):
        axes.spines[side].set_visible(False)


def main() -> int:
    """Draw every file of the folder; the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks plot", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER, help="where the files are (docs/figures)")
    options = parser.parse_args()
    files = sorted(options.folder.glob("*.json"))
    if not files:
        print(f"no figures in {options.folder}: have a command write some, with --json {options.folder}/NAME.json", file=sys.stderr)
        return 2
    try:
        for file in files:
            draw(load(file), file.with_suffix(".svg"))
            print(file.with_suffix(".svg"))
    except ModuleNotFoundError as error:
        print(f"this needs {error.name}: pip install -e '.[bench]'", file=sys.stderr)
        return 3
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Where the commands write: plain text, or more where the library rich is installed (extra ``cli``) and a person looks.

This is the only module that knows rich. A ``Terminal`` has few verbs, and both kinds have all of them. Nothing that a server sent
reaches a terminal as a control sequence: ``harmless`` takes these out, because a response must not be able to retitle a window or
overwrite what was printed before it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any, TextIO

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
STYLES = {"good": "green", "warn": "yellow", "bad": "bold red", "dim": "dim", "name": "cyan", "head": "bold"}
LANGUAGES = {"html": "html", "xml": "xml", "javascript": "javascript", "css": "css", "yaml": "yaml"}


def harmless(text: str) -> str:
    r"""``text`` with control characters, other than tab and newline, written out: ``\x1b[2J``."""
    return _CONTROLS.sub(lambda found: f"\\x{ord(found.group()):02x}", text.replace("\r\n", "\n"))


def is_terminal(stream: Any) -> bool:
    """Whether a person looks at this stream."""
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):
        return False


def terminal(stream: TextIO) -> Terminal:
    """The Terminal for a stream: rich's where it is installed and the stream is a terminal, else the plain one."""
    rich = _rich() if is_terminal(stream) else None
    return Terminal(stream) if rich is None else RichTerminal(stream, rich)


def _rich() -> dict[str, ModuleType] | None:
    """The modules of rich that are used here. Not by import statements: a type checker need not have it."""
    try:
        return {name: import_module(f"rich.{name}") for name in ("console", "syntax", "text")}
    except ImportError:
        return None


class Progress:
    """One line that changes; on a stream that is no terminal it is not shown at all."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream if is_terminal(stream) else None
        self._width = 0

    def show(self, text: str) -> None:
        """Put ``text`` in place of what stands there."""
        if self._stream is not None:
            columns = _columns(self._stream) - 1
            text = text[:columns]
            self._stream.write("\r" + text.ljust(self._width))
            self._stream.flush()
            self._width = len(text)

    def clear(self) -> None:
        """Leave an empty line."""
        if self._stream is not None and self._width:
            self._stream.write("\r" + " " * self._width + "\r")
            self._stream.flush()
            self._width = 0


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError, AttributeError):
        return 80


class Terminal:
    """Plain text.

    Attributes:
        stream: where it goes.
        interactive: whether a person looks.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.interactive = is_terminal(stream)

    @property
    def columns(self) -> int:
        """The width."""
        return _columns(self.stream)

    def line(self, *pieces: str | tuple[str, str], end: str = "\n") -> None:
        """Write pieces of text, each as it is or with a style of STYLES: ``line(("403", "bad"), " Forbidden")``."""
        self.stream.write("".join(piece if isinstance(piece, str) else piece[0] for piece in pieces) + end)

    def rows(self, rows: Sequence[Sequence[tuple[str, str]]]) -> None:
        """Write a table without lines: the last column is wrapped to the width."""
        widths = [max(len(row[column][0]) for row in rows) for column in range(len(rows[0]) - 1)]
        indent = sum(widths) + 2 * len(widths)
        for row in rows:
            for (text, style), width in zip(row[:-1], widths, strict=True):
                self.line((text.ljust(width), style), "  ", end="")
            text, style = row[-1]
            for number, part in enumerate(wrapped(text, self.columns - indent)):
                self.line(" " * indent if number else "", (part, style))

    def json(self, text: str) -> None:
        """Write JSON, indented. ``text`` that is none is written as it is."""
        self.stream.write(indented(text) + "\n")

    def code(self, text: str, language: str) -> None:
        """Write text in a language of LANGUAGES, coloured where that can be."""
        self.stream.write(text if text.endswith("\n") else text + "\n")

    @contextmanager
    def progress(self) -> Iterator[Progress]:
        """A line that changes while the block runs."""
        progress = Progress(self.stream)
        try:
            yield progress
        finally:
            progress.clear()


class RichTerminal(Terminal):
    """The same in colours. ``NO_COLOR`` is respected, by rich."""

    def __init__(self, stream: TextIO, rich: Mapping[str, ModuleType]) -> None:
        super().__init__(stream)
        self._rich = rich
        self._console: Any = rich["console"].Console(file=stream, highlight=False, soft_wrap=True)

    def line(self, *pieces: str | tuple[str, str], end: str = "\n") -> None:
        """See Terminal."""
        parts = [piece if isinstance(piece, str) else (piece[0], STYLES.get(piece[1], piece[1])) for piece in pieces]
        self._console.print(self._rich["text"].Text.assemble(*parts), end=end)

    def json(self, text: str) -> None:
        """See Terminal."""
        self.code(indented(text), "json")

    def code(self, text: str, language: str) -> None:
        """See Terminal."""
        syntax = self._rich["syntax"].Syntax(text, language, theme="ansi_dark", background_color="default", word_wrap=False)
        shown = syntax.highlight(text)
        shown.rstrip()
        self._console.print(shown)


def indented(text: str) -> str:
    """JSON with two spaces a level, its keys in their order; what is not JSON as it is."""
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except ValueError:
        return text.rstrip("\n")


def wrapped(text: str, width: int) -> list[str]:
    """``text`` in lines of at most ``width`` (at least 20), broken at spaces."""
    import textwrap

    return textwrap.wrap(text, max(20, width), break_long_words=False, break_on_hyphens=False) or [""]


def milliseconds(seconds: float) -> str:
    """``0.31 ms``, ``12.3 ms``, ``1.20 s``."""
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{seconds * 1e3:.2f} ms" if seconds < 0.01 else f"{seconds * 1e3:.1f} ms"

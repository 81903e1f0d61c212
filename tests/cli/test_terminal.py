"""Plain where it must be, colourful where it can be, and harmless everywhere."""

from __future__ import annotations

import io
import sys

import pytest

from holdfast.cli import terminal as module
from holdfast.cli.terminal import RichTerminal, Terminal, harmless, indented, is_terminal, milliseconds, terminal, wrapped
from tests.cli.support import Tty


def test_no_control_sequence_of_a_server_reaches_a_terminal() -> None:
    assert harmless("a\x1b]0;owned\x07\tb\r\nc\rd\x9b2J\x7f") == "a\\x1b]0;owned\\x07\tb\nc\\x0dd\\x9b2J\\x7f"


def test_what_is_no_file_or_closed_is_no_terminal() -> None:
    closed = io.StringIO()
    closed.close()

    assert not is_terminal(object())
    assert not is_terminal(closed)
    assert not is_terminal(io.StringIO())
    assert is_terminal(Tty())


def test_without_rich_a_terminal_is_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)

    assert type(terminal(Tty())) is Terminal


def test_into_a_pipe_it_is_plain_with_rich_too() -> None:
    assert type(terminal(io.StringIO())) is Terminal


def test_lines_rows_json_and_code_are_plain_text() -> None:
    stream = io.StringIO()
    out = Terminal(stream)
    out.line(("403", "bad"), " Forbidden")
    out.rows([[("a", "name"), ("b", "")], [("long", "name"), ("word " * 20, "")]])
    out.json('{"b":1,"a":"ü"}')
    out.code("<a/>", "xml")
    out.code("<b/>\n", "xml")

    assert stream.getvalue() == (
        "403 Forbidden\n"
        "a     b\n"
        "long  " + ("word " * 15).rstrip() + "\n"
        "      " + ("word " * 5).rstrip() + "\n"
        '{\n  "b": 1,\n  "a": "ü"\n}\n'
        "<a/>\n<b/>\n"
    )


def test_what_is_not_json_stays_as_it_is() -> None:
    assert indented("{nope\n") == "{nope"


def test_text_is_wrapped_at_spaces_and_an_empty_one_is_a_line() -> None:
    assert wrapped("", 40) == [""]
    assert wrapped("aaaa bbbb-cccc dddddddddddddddddddddddddd", 3) == ["aaaa bbbb-cccc", "dddddddddddddddddddddddddd"]


def test_progress_is_one_line_that_changes_and_is_gone_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_columns", lambda stream: 11)
    stream = Tty()
    with Terminal(stream).progress() as progress:
        progress.show("a long sentence")
        progress.show("short")

    assert stream.getvalue() == "\ra long sen\rshort     \r     \r"


def test_progress_is_not_written_into_a_pipe() -> None:
    stream = io.StringIO()
    with Terminal(stream).progress() as progress:
        progress.show("unseen")

    assert stream.getvalue() == ""


def test_the_width_is_the_terminals_or_eighty() -> None:
    with open("/dev/null", "w", encoding="utf-8") as null:
        assert Terminal(null).columns == 80
    assert Terminal(io.StringIO()).columns == 80


@pytest.mark.parametrize(("seconds", "text"), [(0.00031, "0.31 ms"), (0.0123, "12.3 ms"), (1.2, "1.20 s")])
def test_seconds_are_read_in_their_own_size(seconds: float, text: str) -> None:
    assert milliseconds(seconds) == text


def test_with_rich_there_are_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rich", reason="needs rich: pip install 'holdfast-http[cli]'")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    stream = Tty()
    out = terminal(stream)
    assert isinstance(out, RichTerminal)
    out.line(("403", "bad"), " [no markup] ", ("x", "magenta"))
    out.json('{"a": 1}')
    out.code("<a/>\n", "xml")
    text = stream.getvalue()

    assert "\x1b[1;31m403\x1b[0m [no markup] \x1b[35mx" in text
    assert '\x1b[94m"a"' in text or '"a"' in text
    assert "a" in text.splitlines()[-1]
    assert "\x1b[" in text.splitlines()[-1]

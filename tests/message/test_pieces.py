"""Bodies that do not come whole: lines and delimiters are those of the whole, wherever it was cut."""


from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.message.responses import answer, typed

# -- lines -----------------------------------------------------------------------------------------------------

TEXTS = [
    b"",
    b"\n",
    b"\r\n",
    b"a",
    b"a\n",
    b"a\nb",
    b"a\r\nb\r\n",
    b"a\r\rb\n\nc",
    b"\r\n\r\n",
    b"a\n\rb",
    b"one line\r\nanother\rthird\n\nlast",
    b"x\x85y\x0bz",
]


def cuts(data: bytes) -> Iterator[list[bytes]]:
    for first in range(len(data) + 1):
        for second in range(first, len(data) + 1):
            yield [piece for piece in (data[:first], data[first:second], data[second:]) if piece]


@pytest.mark.parametrize("text", TEXTS)
def test_lines_are_those_of_the_whole_wherever_it_was_cut(text: bytes) -> None:
    for acts in cuts(text):
        assert list(answer(*acts).iter_lines()) == text.splitlines()
        charset = typed("a/b;charset=latin-1")
        assert (
            list(answer(*acts, headers=charset).iter_lines(decode_unicode=True)) == text.decode("latin-1").splitlines()
        )


@pytest.mark.parametrize("text", [b"a", b"a--b", b"a--b--", b"----", b"-", b"a-b---c"])
def test_a_delimiter_splits_the_whole_wherever_it_was_cut(text: bytes) -> None:
    for acts in cuts(text):
        assert list(answer(*acts).iter_lines(delimiter=b"--")) == text.split(b"--")
        charset = typed("a/b;charset=latin-1")
        lines = answer(*acts, headers=charset).iter_lines(decode_unicode=True, delimiter="--")
        assert list(lines) == text.decode().split("--")
    assert list(answer().iter_lines(delimiter=b"--")) == []


def test_a_line_is_given_out_before_more_is_read() -> None:
    for text in (b"data: 1\n", b"data: 1\r", b"data: 1\r\n", b"data: 1\nda"):
        response = answer(text, AssertionError("this was read too early"))
        assert next(response.iter_lines()) == b"data: 1"


@pytest.mark.parametrize("delimiter", [None, b"--"])
def test_a_line_of_megabytes_is_joined_in_linear_time(delimiter: bytes | None) -> None:
    response = answer(*[b"x" * 512] * 20_000)
    started = time.thread_time()
    assert [len(line) for line in response.iter_lines(delimiter=delimiter)] == [512 * 20_000]
    assert time.thread_time() - started < 2  # 0.05 in fact; joining at every piece takes a minute

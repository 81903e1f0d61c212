"""Interleavings that were once wrong, one test each; and a tool that tries every one of them: ``Meanwhile``.

A race of two threads is found by luck, or by trying: at the k-th step of the one the other does all its work, for every k.
Whatever goes wrong when the interpreter changes threads once goes wrong here, every time, at the same k.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast import Client
from holdfast.message.response import RawBody
from tests.server import Conn, Server

HERE = str(Path(holdfast.__file__).parent)
BLOCKED = 0.02  # seconds after which the other thread is taken to wait for a lock that this one holds


class Meanwhile:
    """At the k-th step of holdfast in this thread, another one does ``work``: to its end, or to where it has to wait for us.

    Args:
        at: k, from 1.
        work: what is done meanwhile.
        functions: those whose steps count, at every instruction: "pool.py:acquire"; empty for every line of holdfast.

    Attributes:
        struck: whether there were so many steps.
    """

    def __init__(self, at: int, work: Callable[[], object], *functions: str) -> None:
        self.struck = False
        self._at = at
        self._functions = functions
        self._steps = 0
        self._errors: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, args=(work,), name="test-meanwhile")

    def _run(self, work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised again by the test's own thread
            self._errors.append(error)

    def __enter__(self) -> Meanwhile:
        self._before = sys.gettrace()
        sys.settrace(self._on_call)
        return self

    def __exit__(self, *exc_info: object) -> None:
        sys.settrace(self._before)
        if self.struck:
            self._thread.join(10)
            assert not self._thread.is_alive(), "a deadlock"
        if self._errors:
            raise self._errors[0]

    def _on_call(self, frame: Any, event: str, arg: Any) -> Any:
        path, name = frame.f_code.co_filename, frame.f_code.co_name
        if not path.startswith(HERE) or (self._functions and f"{Path(path).name}:{name}" not in self._functions):
            return None
        frame.f_trace_opcodes = bool(self._functions)
        return self._on_step

    def _on_step(self, frame: Any, event: str, arg: Any) -> Any:
        if event == ("opcode" if self._functions else "line"):
            self._steps += 1
            if self._steps == self._at:
                self.struck = True
                self._thread.start()
                self._thread.join(BLOCKED)
        return self._on_step


def at_every_step(work: Callable[[], object], *functions: str) -> Iterator[Meanwhile]:
    """A Meanwhile for each k. The caller enters each of them; it ends after the first that had nothing left to strike."""
    for at in itertools.count(1):
        meanwhile = Meanwhile(at, work, *functions)
        yield meanwhile
        if not meanwhile.struck:
            assert at > 1, "nothing was executed"
            return


# -- a response that is closed while another thread reads it ------------------------------------------------------------


class Pieces:
    """A body for a RawBody."""

    trailers: list[tuple[bytes, bytes]] = []  # noqa: RUF012 - never changed

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = iter(pieces)

    def read(self) -> bytes:
        return next(self._pieces, b"")

    def close(self) -> None:
        pass


def test_a_piece_that_close_throws_away_is_not_the_end_of_the_body() -> None:
    """close() emptied the buffer between two looks of its reader, who took the empty piece for the end: a cut body."""
    current: list[RawBody] = []
    for meanwhile in at_every_step(lambda: current[-1].close(), "response.py:_some", "response.py:_next"):
        current.append(RawBody(Pieces(b"12345", b"67890"), [], 200, b"OK", b"1.1", None))
        with meanwhile, contextlib.suppress(holdfast.StreamConsumedError):
            assert b"".join(current[-1].stream(3)) == b"1234567890"


def stall(conn: Conn) -> None:
    """To every request one byte of ten, and then nothing."""
    for _ in conn.read_requests():
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx")


def test_a_close_that_finds_a_reader_beginning_just_now_ends_its_read(no_leaks: None) -> None:
    """It saw that nobody was reading, was too late to take the body for itself, and left: the reader never heard of it."""
    answers: list[holdfast.Response] = []

    def read() -> None:
        with pytest.raises(holdfast.StreamConsumedError):
            answers[-1].content  # noqa: B018 - reads it

    with Server(stall) as server, Client(timeout=0.5) as client:
        for meanwhile in at_every_step(read, "transport.py:close"):
            answers.append(client.get(server.url("/"), stream=True))
            source: Any = answers[-1]._source
            with meanwhile:
                source.close()

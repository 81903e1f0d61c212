"""ScriptedStream alone: what the calls of a Fake do not come by."""

from __future__ import annotations

from typing import Any

import pytest

import holdfast
from holdfast.message.span import FilePart, FileSpan
from holdfast.reasons import Discard
from holdfast.routes import Route
from holdfast.testing import Answer, Fake
from holdfast.testing.script import CallTime, Play, ScriptedStream, current
from holdfast.testing.sending import ScriptedRoute, World


def test_a_server_that_owes_the_rest_to_a_call_without_timeouts_ends_the_test() -> None:
    with Fake() as fake, holdfast.Client(timeout=None) as client:
        fake.get("/x").answers(Answer(content=b"abc", headers={"Content-Length": "4"}))

        with pytest.raises(AssertionError, match="it would wait for ever"):
            client.get("http://h/x")


def test_a_late_answer_comes_to_a_call_without_timeouts() -> None:
    with Fake() as fake, holdfast.Client(timeout=None) as client:
        fake.get("/x").responds(delay=10**9)

        assert client.get("http://h/x").status_code == 200


def test_a_file_can_be_written_to_it(tmp_path: object) -> None:
    path = f"{tmp_path}/file"
    with open(path, "wb") as file:
        file.write(b"abc" * 1000)
    stream = ScriptedStream()
    with open(path, "rb") as file:
        assert stream.write_file(FilePart(FileSpan(file, 0, 3000), 0, 3000)) == 3000
    assert stream.written == 3000


@pytest.mark.parametrize("end", ["forget", "interrupt", "close"])
def test_it_is_stale_when_it_was_ended(end: str) -> None:
    stream = ScriptedStream()
    assert stream.probe() is None
    getattr(stream, end)()

    assert stream.probe() is Discard.STALE
    assert not stream.is_idle
    assert stream.fileno() == -1


def test_each_byte_of_a_large_body_is_copied_once_however_many_reads_it_takes() -> None:
    class Counting(bytes):
        copied = 0

        def __getitem__(self, key: Any) -> Any:
            found = Counting(super().__getitem__(key))
            Counting.copied += len(found)
            return found

    class Answering:
        time = CallTime(float)

        def next_play(self, heard: bytearray) -> Play:
            return Play((Counting(range(100)), Counting(b"end")))

        def finds_stale(self) -> bool:
            return False

        def dial_error(self, route: Route, until: float | None) -> Exception | None:
            return None

    stream = ScriptedStream()
    token = current.set(Answering())
    try:
        stream.begin_exchange()
    finally:
        current.reset(token)

    assert b"".join(stream.read_up_to(7, 1.0) for _ in range(16)) == bytes(range(100)) + b"end"
    assert Counting.copied == 103


def test_a_scripted_route_is_equal_to_one_of_its_world_alone() -> None:
    route, world = Route("http", "h", 80), World()
    scripted = ScriptedRoute.of(route, world)

    assert scripted == ScriptedRoute.of(route, world)
    assert scripted != route
    assert route != scripted
    assert scripted != ScriptedRoute.of(route, World())
    assert scripted != ScriptedRoute.of(route, world, alone=object())
    assert scripted != ScriptedRoute.of(route._replace(port=81), world)
    assert str(scripted) == str(route)


def test_a_client_that_is_closed_while_its_answer_is_read_ends_that() -> None:
    with Fake() as fake, holdfast.Client() as client:
        fake.get("/x").responds(content=[b"one", b"two"])
        with client.get("http://h/x", stream=True) as answer:
            pieces = answer.iter_content(None)
            assert next(pieces) == b"one"
            client.close()
            with pytest.raises(holdfast.ClientClosed):
                next(pieces)

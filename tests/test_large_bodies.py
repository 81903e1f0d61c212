"""Bodies that are long: of known length, so that they are read past h11, and files, which the kernel sends.

Each way of reading gives the same bytes, the same errors with the same numbers, and the same connection back as any other body's.
"""

from __future__ import annotations

import io
import os
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast.message.raw import AHEAD, WHOLE_BYTES
from holdfast.wire.payload import COUNTED_BYTES
from tests.conftest import Tls
from tests.server import Conn, Server, echo, head, ok

WAIT = 5.0
BODY = bytes(os.urandom(1 << 16)) * 12 + b"the end"  # 786 439 bytes
LENGTH = f"Content-Length: {len(BODY)}"

Make = Callable[..., Server]
Read = Callable[[holdfast.Response], bytes]


@pytest.fixture(params=["http", "https"])
def serve(request: pytest.FixtureRequest, tls: Tls) -> Make:
    """Server over plain TCP and over TLS."""
    return lambda script: Server(script, tls=tls.server_context() if request.param == "https" else None)


@pytest.fixture
def client(tls: Tls) -> Iterator[holdfast.Client]:
    with holdfast.Client(verify=tls.ca_path, timeout=WAIT, trust_env=False) as it:
        yield it


# -- every way of reading ------------------------------------------------------------------------------------------------


def by_iterating(size: int | None) -> Read:
    def read(response: holdfast.Response) -> bytes:
        pieces = list(response.iter_content(size))
        assert size is None or all(len(piece) == size for piece in pieces[:-1])
        return b"".join(pieces)

    return read


def by_joining(size: int | None) -> Read:
    return lambda response: b"".join(response.iter_content(size))


def by_reading(size: int) -> Read:
    def read(response: holdfast.Response) -> bytes:
        pieces = list(iter(lambda: response.raw.read(size), b""))
        assert all(len(piece) == size for piece in pieces[:-1])
        return b"".join(pieces)

    return read


def by_reading_into(size: int) -> Read:
    def read(response: holdfast.Response) -> bytes:
        room = bytearray(size)
        return b"".join(bytes(room[:got]) for got in iter(lambda: response.raw.readinto(room), 0))

    return read


def mixed(response: holdfast.Response) -> bytes:
    """A few bytes, a line, into a buffer, and the rest."""
    raw, room = response.raw, bytearray(WHOLE_BYTES)
    begun: bytes = raw.read(10) + raw.readline(5) + raw.readline(3 * AHEAD)
    while got := raw.readinto(room):
        begun += room[:got]
        begun += raw.read(1) + raw.read1(WHOLE_BYTES + 1)
        if len(begun) > 3 * len(BODY) // 4:
            break
    assert raw.tell() == len(begun)
    rest: bytes = raw.read()
    return begun + rest


def whole(response: holdfast.Response) -> bytes:
    return response.content


WAYS: dict[str, Read] = {
    "content": whole,
    "raw.read()": lambda response: response.raw.read(),
    "mixed": mixed,
    **{f"iter_content({size})": by_iterating(size) for size in (None, 1000, WHOLE_BYTES, AHEAD - 1, AHEAD, 500_000, 1 << 30)},
    **{f"read({size})": by_reading(size) for size in (100, WHOLE_BYTES, 1 << 20)},
    **{f"readinto({size})": by_reading_into(size) for size in (100, WHOLE_BYTES, 1 << 20)},
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_reading_gives_all_of_it_and_the_connection_back(serve: Make, client: holdfast.Client, way: str) -> None:
    with serve(lambda conn: [conn.send(ok(BODY)) for _ in conn.read_requests()]) as server:
        for _ in range(2):
            response = client.get(server.url(), stream=True)
            assert WAYS[way](response) == BODY
            assert response.raw.read() == b""
    assert server.connections == 1


IN_CHUNKS = {  # how long a piece is depends on how the bytes arrive: the length is not known
    **{name: way for name, way in WAYS.items() if not name.startswith("iter_content")},
    **{f"iter_content({size})": by_joining(size) for size in (None, 1000, AHEAD)},
}


@pytest.mark.parametrize("way", IN_CHUNKS)
def test_every_way_of_reading_gives_all_of_its_large_chunks(serve: Make, client: holdfast.Client, way: str) -> None:
    chunks = (BODY[:300_000], BODY[300_000:300_010], BODY[300_010:])
    framed = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    with serve(lambda conn: [conn.send(head(200, "Transfer-Encoding: chunked") + framed) for _ in conn.read_requests()]) as server:
        for _ in range(2):
            response = client.get(server.url(), stream=True)
            assert IN_CHUNKS[way](response) == BODY
            assert response.raw.read() == b""
    assert server.connections == 1


CUTS = [0, 1, 2, 3, *(len(BODY) - COUNTED_BYTES + more for more in (-1, 0, 1)), len(BODY) - 2, len(BODY) - 1]


@pytest.mark.parametrize("first", CUTS)
def test_it_does_not_matter_how_much_came_with_the_head(serve: Make, client: holdfast.Client, first: int) -> None:
    read = threading.Event()

    def script(conn: Conn) -> None:
        for _ in conn.read_requests():
            conn.send(head(200, LENGTH) + BODY[:first])
            conn.wait(read)
            conn.send(BODY[first:])

    with serve(script) as server:
        for _ in range(2):
            read.clear()
            response = client.get(server.url(), stream=True)
            got = response.raw.read(min(first, 60_000)) if first else b""
            read.set()
            assert got + response.content == BODY
    assert server.connections == 1


# -- what is wrong with it -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["content", "iter_content(1000)", "read(1048576)", "readinto(16384)"])
def test_a_byte_behind_it_belongs_to_no_answer(serve: Make, client: holdfast.Client, way: str) -> None:
    def script(conn: Conn) -> None:
        if conn.number:
            echo(conn)
            return
        conn.expect_request()
        conn.send(ok(BODY) + b"H")
        conn.wait_closed()

    with serve(script) as server:
        assert WAYS[way](client.get(server.url(), stream=True)) == BODY
        assert client.get(server.url("/own")).json()["target"] == "/own"
    assert server.connections == 2


ENDS: dict[str, Callable[[Conn], None]] = {
    "FIN": lambda conn: conn.close(),
    "FIN without close_notify": lambda conn: conn.close(notify=False),
    "RST": lambda conn: conn.rst(),
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("way", ["content", "iter_content(16384)", "readinto(16384)"])
def test_a_body_that_ends_early_is_an_error_with_both_numbers(serve: Make, client: holdfast.Client, way: str, end: str) -> None:
    arrived = threading.Event()

    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(head(200, LENGTH) + BODY[:300_000])
        conn.wait(arrived)
        ENDS[end](conn)

    with serve(script) as server:
        response = client.get(server.url(), stream=True)
        begun = response.raw.read(200_000)
        begun += response.raw.read(100_000)
        arrived.set()
        with pytest.raises(holdfast.IncompleteBody) as caught:
            WAYS[way](response)
    assert begun == BODY[:300_000]
    assert (caught.value.received, caught.value.expected) == (300_000, len(BODY))


@pytest.mark.parametrize("way", ["content", "iter_content(16384)", "readinto(1048576)"])
def test_what_came_before_a_damaged_record_is_given_out_first(client: holdfast.Client, tls: Tls, way: str) -> None:
    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(head(200, LENGTH) + BODY[:300_000])
        conn.send_raw(b"\x17\x03\x03\x00\x20" + bytes(32))
        conn.wait_closed()

    with Server(script, tls=tls.server_context()) as server:
        response = client.get(server.url(), stream=True)
        with pytest.raises(holdfast.SSLError, match=f"300000 of {len(BODY)} bytes came"):
            WAYS[way](response)


def test_a_length_that_lies_takes_no_memory_for_what_never_comes(serve: Make, client: holdfast.Client) -> None:
    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(head(200, "Content-Length: 1000000000000") + BODY)

    with serve(script) as server:
        client.get(server.url(), stream=True).close()
        tracemalloc.start()
        try:
            with pytest.raises(holdfast.IncompleteBody) as caught:
                client.get(server.url())
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert caught.value.received == len(BODY)
    assert peak < 8 << 20


def test_content_is_in_memory_once(client: holdfast.Client) -> None:
    size = 64 << 20

    def script(conn: Conn) -> None:
        for _ in conn.read_requests():
            conn.send(head(200, f"Content-Length: {size}"))
            piece = bytes(1 << 20)
            for _ in range(size >> 20):
                conn.send(piece)

    with Server(script) as server:
        tracemalloc.start()
        try:
            content = client.get(server.url()).content
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert len(content) == size
    assert peak < 1.2 * size, "a tenth, and what the server has in hand"


def test_no_more_of_it_in_time_says_how_much_came(serve: Make, client: holdfast.Client) -> None:
    over = threading.Event()

    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(head(200, LENGTH) + BODY[:300_000])
        conn.wait(over)

    with serve(script) as server:
        response = client.get(server.url(), stream=True, timeout=holdfast.Timeouts(read=0.2))
        with pytest.raises(holdfast.BodyReadTimeout, match=f"300000 of {len(BODY)} bytes"):
            response.content  # noqa: B018 - reading it is the point
        over.set()


@pytest.mark.parametrize("way", ["content", "readinto(1048576)"])
def test_the_total_time_ends_a_body_that_comes_without_pause(serve: Make, client: holdfast.Client, way: str) -> None:
    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(head(200, f"Content-Length: {1 << 50}"))
        while True:
            conn.send(BODY)

    with serve(script) as server, pytest.raises(holdfast.TotalTimeout, match="reading the body"):
        WAYS[way](client.get(server.url(), stream=True, timeout=holdfast.Timeouts(total=0.3)))


@pytest.mark.parametrize("way", ["iter_content(16384)", "readinto(16384)"])
def test_closing_from_another_thread_ends_the_read(serve: Make, client: holdfast.Client, way: str) -> None:
    over = threading.Event()

    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(head(200, LENGTH) + BODY[:300_000])
        conn.wait(over)

    with serve(script) as server:
        response = client.get(server.url(), stream=True)
        assert response.raw.read(300_000) == BODY[:300_000]
        said: list[BaseException] = []

        def read() -> None:
            try:
                WAYS[way](response)
            except holdfast.RequestException as error:
                said.append(error)

        reader = threading.Thread(target=read)
        reader.start()
        source: Any = response._source
        while source._lease:  # until the reader has it
            pass
        response.close()
        reader.join(WAIT)
        over.set()
    assert [type(error) for error in said] == [holdfast.StreamConsumedError]


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        (ok(BODY), True),
        (ok(BODY, "Connection: close"), False),
        (ok(BODY).replace(b"HTTP/1.1", b"HTTP/1.0", 1), False),
        (ok(BODY, "Connection: keep-alive").replace(b"HTTP/1.1", b"HTTP/1.0", 1), True),
    ],
    ids=["1.1", "close", "1.0", "1.0 keep-alive"],
)
def test_the_connection_is_kept_as_after_any_body(serve: Make, client: holdfast.Client, answer: bytes, kept: bool) -> None:
    with serve(lambda conn: [conn.send(answer) for _ in conn.read_requests()]) as server:
        for _ in range(3):
            assert client.get(server.url()).content == BODY
    assert server.connections == (1 if kept else 3)


def test_a_server_that_hangs_up_behind_it_is_not_asked_again(serve: Make, client: holdfast.Client) -> None:
    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(ok(BODY))

    with serve(script) as server:
        for _ in range(2):
            assert client.get(server.url()).content == BODY
    assert server.connections == 2


# -- files ---------------------------------------------------------------------------------------------------------------


def count(conn: Conn) -> None:
    for request in conn.read_requests():
        conn.send(ok(b"%d" % len(request.body)))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "file"
    made.write_bytes(BODY * 3)
    return made


@pytest.mark.parametrize("mode", ["rb", "r+b", "unbuffered"])
def test_a_file_arrives_from_where_it_stands(serve: Make, client: holdfast.Client, path: Path, mode: str) -> None:
    with serve(count) as server, path.open("rb", buffering=0) if mode == "unbuffered" else path.open(mode) as file:
        file.seek(1000)
        for _ in range(2):
            file.seek(1000)
            client.post(server.url(), data=file)
            assert file.tell() == len(BODY) * 3
        assert [request.body == (BODY * 3)[1000:] for request in server.requests] == [True, True]
    assert server.connections == 1


def test_what_was_written_and_not_flushed_is_sent(serve: Make, client: holdfast.Client, path: Path) -> None:
    with serve(count) as server, path.open("r+b") as file:
        file.write(b"new")
        file.seek(0)
        client.post(server.url(), data=file)
        assert server.requests[0].body == (b"new" + (BODY * 3)[3:])


def test_a_redirect_sends_it_again(serve: Make, client: holdfast.Client, path: Path) -> None:
    def script(conn: Conn) -> None:
        for request in conn.read_requests():
            conn.send(head(307, "Location: /there", "Content-Length: 0") if request.target == "/" else ok())

    with serve(script) as server, path.open("rb") as file:
        client.post(server.url(), data=file)
        assert [request.body == BODY * 3 for request in server.requests] == [True, True]


def test_it_goes_in_chunks_if_they_are_asked_for(serve: Make, client: holdfast.Client, path: Path) -> None:
    with serve(count) as server, path.open("rb") as file:
        client.post(server.url(), data=file, headers={"Transfer-Encoding": "chunked"})
        assert server.requests[0].body == BODY * 3


class Counting(io.FileIO):
    """Reads as it likes, and what it reads is what is sent."""

    seen = 0

    def read(self, size: int | None = -1) -> Any:
        data = super().read(size)
        self.seen += len(data or b"")
        return data


def test_a_reader_that_counts_is_asked(serve: Make, client: holdfast.Client, path: Path) -> None:
    with serve(count) as server, Counting(str(path)) as file:
        client.post(server.url(), data=file)
        assert file.seen == len(BODY) * 3
        assert server.requests[0].body == BODY * 3


def changing(path: Path, change: Callable[[Any], None]) -> Callable[[Conn], None]:
    """Read the head and the first of the body, change the file, and read on."""

    def script(conn: Conn) -> None:
        request = conn.read_head()
        assert request is not None
        conn.read_exactly(1000)
        change(path)
        left = int(request.get("Content-Length")) - 1000
        if conn.read_exactly(left) is not None:
            conn.send(ok(b"all"))

    return script


def big(path: Path) -> int:
    """More than sockets take unread."""
    size = 64 << 20
    os.truncate(path, size)
    return size


def test_a_file_that_shrinks_meanwhile_is_an_error_with_both_numbers(serve: Make, client: holdfast.Client, path: Path) -> None:
    size = big(path)
    ended = pytest.raises(holdfast.InvalidRequest, match=f"it ended after [0-9]+ of {size} announced bytes")
    with serve(changing(path, lambda path: os.truncate(path, 100_000))) as server, path.open("rb") as file, ended:
        client.post(server.url(), data=file)


def test_a_file_that_grows_meanwhile_is_sent_as_long_as_it_was(serve: Make, client: holdfast.Client, path: Path) -> None:
    size = big(path)
    with serve(changing(path, lambda path: os.truncate(path, 2 * size))) as server, path.open("rb") as file:
        assert client.post(server.url(), data=file).text == "all"


def test_an_early_answer_ends_it(serve: Make, client: holdfast.Client, path: Path) -> None:
    def script(conn: Conn) -> None:
        conn.read_head()
        conn.send(head(413, "Content-Length: 0"))
        conn.wait_closed()

    big(path)
    with serve(script) as server, path.open("rb") as file:
        response = client.post(server.url(), data=file)
        assert (response.status_code, response.request_incomplete) == (413, True)


@pytest.mark.parametrize(
    ("limits", "error"),
    [(holdfast.Timeouts(write=0.2), holdfast.WriteTimeout), (holdfast.Timeouts(total=0.2), holdfast.TotalTimeout)],
)
def test_a_server_that_takes_no_more_ends_it(
    serve: Make, client: holdfast.Client, path: Path, limits: holdfast.Timeouts, error: type[Exception]
) -> None:
    over = threading.Event()

    def script(conn: Conn) -> None:
        conn.read_head()
        conn.wait(over)

    big(path)
    with serve(script) as server, path.open("rb") as file:
        with pytest.raises(error):
            client.post(server.url(), data=file, timeout=limits)
        over.set()


def test_a_server_that_resets_it_is_said_to_have_gone(serve: Make, client: holdfast.Client, path: Path) -> None:
    def script(conn: Conn) -> None:
        conn.read_head()
        conn.rst()

    big(path)
    with serve(script) as server, path.open("rb") as file, pytest.raises(holdfast.ConnectionLost):
        client.post(server.url(), data=file)


def test_a_file_closed_meanwhile_is_an_error_and_no_other_files_bytes(client: holdfast.Client, path: Path) -> None:
    big(path)
    file = path.open("rb")
    with Server(changing(path, lambda _: file.close())) as server, pytest.raises(ValueError, match="closed file"):
        client.post(server.url(), data=file)


@pytest.mark.parametrize("fault", [22, 38, 95])
def test_a_file_system_without_sendfile_is_read(
    client: holdfast.Client, path: Path, fault: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> int:
        raise OSError(fault, os.strerror(fault))

    monkeypatch.setattr(os, "sendfile", refuse)
    with Server(count) as server, path.open("rb") as file:
        client.post(server.url(), data=file)
        assert server.requests[0].body == BODY * 3


def test_a_file_that_cannot_be_read_on_is_said_to_be_at_fault(
    serve: Make, client: holdfast.Client, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = os.preadv

    def fail(descriptor: int, rooms: Any, at: int) -> int:
        if at:
            raise OSError(5, "Input/output error")
        return read(descriptor, rooms, at)

    def refuse(*_: Any) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "preadv", fail)
    monkeypatch.setattr(os, "sendfile", refuse)
    unreadable = pytest.raises(holdfast.InvalidRequest, match=r"cannot be read after 65536 bytes.*Input/output error")
    with serve(count) as server, path.open("rb") as file, unreadable:
        client.post(server.url(), data=file)

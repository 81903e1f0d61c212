"""Bodies of files: what their sizes are worth, where they begin, and that they can be sent again."""


from __future__ import annotations

import codecs
import gzip
import io
import mmap
import os
import sys
import tempfile
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from holdfast.exceptions import InvalidRequest, UnrewindableBodyError
from holdfast.message.body import FileBody
from holdfast.message.content import make_body
from holdfast.message.pieces import PIECE
from tests.message.bodies import made, sent

# ---------------------------------------------------------------------------------------- files


def test_a_file_is_sent_from_where_it_stands_and_again_from_there(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"0123456789")
    with path.open("rb") as file:
        file.seek(4)
        body = made(file)
        assert (body.length, body.replayable, body.data, file.tell()) == (6, True, None, 4)
        assert sent(body) == b"456789"
        body.rewind()
        assert (body.consumed, file.tell()) == (False, 4)
        assert sent(body) == b"456789"


def test_a_file_in_memory_counts_what_is_left() -> None:
    file = io.BytesIO(b"abcdef")
    file.seek(2)
    assert made(file).length == 4
    file.seek(99)
    assert made(file).length == 0
    assert made(io.BytesIO()).length == 0


def test_what_was_written_but_not_flushed_counts(tmp_path: Path) -> None:
    with (tmp_path / "f").open("w+b") as file:
        file.write(b"buffered")
        file.seek(0)
        assert made(file).length == 8
        file.seek(0, os.SEEK_END)
        file.write(b" more")
        body = FileBody(file, 0)
        assert body.length == 13
        assert sent(body) == b"buffered more"


def test_a_gigantic_file_is_never_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(64 * 1024 * 1024)
    with path.open("rb") as file:
        body = made(file)
        tracemalloc.start()
        total = sum(len(piece) for piece in body.chunks())
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert total == body.length == 64 * 1024 * 1024
    assert peak < 8 * PIECE


def test_a_file_that_grows_is_sent_as_long_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"line\n")
    with path.open("rb") as file:
        body = made(file)
        path.write_bytes(b"line\nline\n")
        assert sent(body) == b"line\n"


def test_a_file_that_shrinks_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"0123456789")
    with path.open("rb") as file:
        body = made(file)
        os.truncate(path, 4)
        with pytest.raises(InvalidRequest, match="ended after 4 of 10"):
            sent(body)


def test_a_file_that_gives_more_than_asked_for_is_an_error() -> None:
    class Greedy:
        len = 3

        def read(self, size: int) -> bytes:
            return b"abcdef"

    with pytest.raises(InvalidRequest, match="6 bytes or more, 3 were announced"):
        sent(made(Greedy()))


def test_a_pipe_has_no_length_and_no_second_time() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"piped")
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        body = made(file)
        assert (body.length, body.replayable) == (None, False)
        assert sent(body) == b"piped"
        with pytest.raises(UnrewindableBodyError, match="BufferedReader"):
            body.rewind()


def test_a_nonblocking_file_without_data_is_an_error() -> None:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    with os.fdopen(reader, "rb", buffering=0) as file, pytest.raises(InvalidRequest, match="non-blocking"):
        sent(made(file))
    os.close(writer)


def test_a_closed_file_is_refused_before_anything_is_sent() -> None:
    file = io.BytesIO(b"x")
    file.close()
    with pytest.raises(InvalidRequest, match=r"BytesIO.* is closed"):
        make_body(file)
    text = io.StringIO("x")
    text.close()
    with pytest.raises(InvalidRequest, match=r"StringIO.* is closed"):
        make_body(text)


def test_a_file_closed_after_the_call_cannot_be_taken_back() -> None:
    file = io.BytesIO(b"x")
    body = made(file)
    sent(body)
    file.close()
    with pytest.raises(UnrewindableBodyError, match="cannot go back to byte 0"):
        body.rewind()
    with pytest.raises(UnrewindableBodyError, match="BytesIO"):
        sent(body)


def test_the_length_of_a_gzip_file_is_what_reading_gives(tmp_path: Path) -> None:
    path = tmp_path / "f.gz"
    path.write_bytes(gzip.compress(b"x" * 1000))
    with gzip.open(path) as file:
        body = made(file)
        assert sent(body) == b"x" * 1000
        assert body.length in (1000, None)


def test_a_file_that_cannot_seek_to_its_end_goes_out_chunked_from_where_it_stands() -> None:
    class NoEnd(io.BytesIO):
        def seek(self, offset: int, whence: int = 0) -> int:
            if whence:
                raise ValueError("Seek from end not supported")
            return super().seek(offset)

    file = NoEnd(b"abcd")
    file.seek(1)
    body = made(file)
    assert (body.length, body.replayable) == (None, True)
    assert sent(body) == sent(body) == b"bcd"


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs /proc")
@pytest.mark.parametrize("name", ["status", "cmdline"], ids=["cannot seek to its end", "ends at 0"])
def test_a_file_of_proc_says_it_is_empty_and_is_not(name: str) -> None:
    with open(f"/proc/self/{name}", "rb") as file:
        body = made(file)
        assert (body.length, file.tell()) == (None, 0)
        assert sent(body)


SYS = "/sys/class/net/lo/address"


@pytest.mark.skipif(not os.path.exists(SYS), reason="needs /sys")
@pytest.mark.parametrize("opened", [{"mode": "rb"}, {"mode": "rb", "buffering": 0}, {"mode": "r"}])
@pytest.mark.parametrize("skipped", [0, 3])
def test_a_file_of_sys_says_it_is_a_page_long_and_is_not(opened: dict[str, Any], skipped: int) -> None:
    with open(SYS, **opened) as file:
        file.seek(skipped)
        body = made(file)
        assert (body.length, file.tell()) == (None, skipped)
        assert sent(body) == sent(body) == b"00:00:00:00:00:00\n"[skipped:]


@pytest.mark.skipif(not os.path.exists(SYS), reason="needs /sys")
def test_a_wrapper_around_a_file_of_sys_goes_out_chunked() -> None:
    with open(SYS, "rb") as file:
        body = made(Wrapped(file))
        assert body.length is None
        assert sent(body) == b"00:00:00:00:00:00\n"


def test_a_file_with_a_hole_is_as_long_as_it_says(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb+") as file:
        file.truncate(100_000)
        assert made(file).length == 100_000


@pytest.mark.parametrize("position", [0, 3])
def test_a_file_that_is_open_for_writing_only_is_refused_before_a_byte_is_sent(tmp_path: Path, position: int) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"abc")
    with path.open("r+b") as reader, open(reader.fileno(), "wb", closefd=False) as file:
        reader.seek(0)
        file.seek(position)
        with pytest.raises(InvalidRequest, match=r"cannot be read: .*mode 'rb'"):
            next(made(file).chunks())


def test_an_empty_file_has_length_0(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    with path.open("rb") as file:
        body = made(file)
        assert body.length == 0
        assert sent(body) == b""


class Wrapped:
    """A wrapper as progress bars make them: it reads and has a descriptor, and nothing else."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def read(self, size: int) -> Any:
        return self.file.read(size)

    def fileno(self) -> int:
        number: int = self.file.fileno()
        return number


def test_a_wrapper_with_a_descriptor_has_the_length_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"wrapped")
    with path.open("rb") as file:
        body = made(Wrapped(file))
        assert (body.length, body.replayable) == (7, False)
        assert sent(body) == b"wrapped"


def test_a_wrapper_around_a_file_that_was_read_from_goes_out_chunked(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"head, rest")
    with path.open("rb", buffering=0) as file:
        file.read(6)
        body = made(Wrapped(file))
        assert body.length is None
        assert sent(body) == b"rest"


def test_a_wrapper_around_an_empty_file_goes_out_chunked(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.touch()
    with path.open("rb") as file:
        assert made(Wrapped(file)).length is None


def test_a_mapped_file_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"mapped")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        body = made(mapped)
        assert (body.length, body.replayable) == (6, True)
        assert sent(body) == b"mapped"


def test_a_file_that_does_not_say_whether_it_can_seek_is_tried() -> None:
    class Old:
        def __init__(self) -> None:
            self.file = io.BytesIO(b"old style")
            self.read, self.seek, self.tell = self.file.read, self.file.seek, self.file.tell

    body = made(Old())
    assert (body.length, body.replayable) == (9, True)


def test_a_file_whose_position_is_no_number_is_only_read_once() -> None:
    class Odd(io.BytesIO):
        def tell(self) -> Any:
            return "here"

    body = made(Odd(b"odd"))
    assert (body.length, body.replayable) == (None, False)
    assert sent(body) == b"odd"


def test_the_same_file_in_two_bodies_is_sent_whole_twice() -> None:
    file = io.BytesIO(b"shared")
    first, second = made(file), made(file)
    assert sent(first) == sent(second) == b"shared"


# ---------------------------------------------------------------------------------------- text files


def test_a_text_file_is_sent_as_its_bytes_are_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_bytes("\u00e4\r\nb\n".encode())
    with path.open(encoding="utf-8") as file:
        body = made(file)
        assert (body.length, body.replayable) == (6, True)
        assert sent(body) == sent(body) == path.read_bytes()


def test_a_text_file_is_sent_from_the_line_it_stands_at(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_bytes(b"first\nsecond\n")
    with path.open(encoding="utf-8") as file:
        assert file.readline() == "first\n"
        body = made(file)
        assert body.length == 7
        assert sent(body) == b"second\n"


def test_a_text_file_whose_position_is_no_byte_count_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_bytes(b"ab\r\ncd")
    with path.open(encoding="utf-8") as file:
        # The CR is the last byte it has seen, and may or may not become a line end.
        file._CHUNK_SIZE = 3  # type: ignore[attr-defined]
        file.read(2)
        with pytest.raises(InvalidRequest, match="'rb'"):
            make_body(file)


def test_a_text_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_bytes(b"\xe4")
    with path.open(encoding="latin-1") as file, pytest.raises(InvalidRequest, match=r"latin-1.*'rb'"):
        make_body(file)


def test_a_text_file_in_the_middle_of_an_iteration_gives_its_rest_in_utf8(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_bytes("a\n\u00e4\n".encode("latin-1"))
    with path.open(encoding="latin-1") as file:
        for _ in file:
            body = made(file)
            break
        assert (body.length, body.replayable) == (None, False)
        assert sent(body) == "\u00e4\n".encode()


def test_a_text_pipe_goes_out_chunked_in_utf8() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"\xe4")
    os.close(writer)
    with os.fdopen(reader, encoding="latin-1") as file:
        assert sent(made(file)) == b"\xc3\xa4"


def test_a_temporary_text_file_is_sent_as_bytes() -> None:
    with tempfile.NamedTemporaryFile("w+", encoding="utf-8") as file:
        file.write("t\u00e4xt")
        file.seek(0)
        body = made(file)
        assert body.length == 5
        assert sent(body) == "t\u00e4xt".encode()


@pytest.mark.parametrize("max_size", [0, 1], ids=["in memory", "on disk"])
@pytest.mark.parametrize("newline", [None, "", "\r\n"])
def test_a_spooled_text_file_is_sent_as_the_bytes_it_holds(max_size: int, newline: str | None) -> None:
    with tempfile.SpooledTemporaryFile(max_size, "w+", encoding="utf-8", newline=newline) as file:
        file.write("one\r\nt\u00e4xt\r\n")
        file.seek(0)
        whole = made(file)
        content = sent(whole)
        assert (len(content), content.replace(b"\r\r", b"\r")) == (whole.length, "one\r\nt\u00e4xt\r\n".encode())
        assert sent(whole) == content
        file.seek(0)
        file.readline()
        assert sent(made(file)) == content[content.index(b"\n") + 1 :]


def test_a_spooled_file_of_bytes_is_not_moved_to_the_disk_to_ask_for_its_length() -> None:
    with tempfile.SpooledTemporaryFile(1000) as file:
        file.write(b"abc")
        file.seek(1)
        assert made(file).length == 2
        assert sent(made(file)) == b"bc"
        assert isinstance(file._file, io.BytesIO)  # there is no other way to see it


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_text_that_is_decoded_on_the_way_has_no_length_that_the_disk_knows(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "f"
    path.write_text("t\u00e4xt", encoding=encoding)
    coder = codecs.lookup(encoding)
    with codecs.StreamReaderWriter(path.open("rb"), coder.streamreader, coder.streamwriter) as file:
        body = made(file)
        assert body.length is None
        assert sent(body) == sent(body) == "t\u00e4xt".encode()


def test_an_encoder_that_says_its_length_and_an_encoding_is_believed() -> None:
    class Encoder:
        encoding = "utf-8"
        len = 3

        def read(self, size: int = -1) -> bytes:
            return b"abc"

    assert made(Encoder()).length == 3


def test_a_string_io_is_its_rest_in_utf8() -> None:
    file = io.StringIO("x\u00e4\u00f6")
    file.read(1)
    body = made(file)
    assert (body.length, body.data) == (4, "\u00e4\u00f6".encode())
    assert file.tell() == 1


def test_standard_input_can_be_sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "in"
    path.write_bytes(b"typed")
    with path.open(encoding="utf-8") as file:
        monkeypatch.setattr(sys, "stdin", file)
        assert sent(made(sys.stdin)) == b"typed"

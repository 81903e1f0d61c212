"""``holdfast download``: parallel, resumed where it was cut, checked, and left resumable by Ctrl-C."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast.cli import codes, download
from holdfast.cli.download import Crew, Fetch, File, Refused, files_of, line_of, name_of, progress_of, size_of, validator_of
from holdfast.cli.terminal import Terminal
from tests.cli.support import Tty, invoke
from tests.conftest import Tls
from tests.server import Conn, Server, chunked, head, ok, replies, response

pytestmark = pytest.mark.usefixtures("no_leaks")

CONTENT = b"".join(b"%07d\n" % number for number in range(4096))  # 32 KiB
SUM = hashlib.sha256(CONTENT).hexdigest()
ETAG = 'ETag: "v1"'


def cut(at: int, *headers: str) -> Callable[[Conn], None]:
    """Sends ``at`` bytes of the content and ends the connection."""

    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(head(200, f"Content-Length: {len(CONTENT)}", *headers) + CONTENT[:at])

    return script


def rest(start: int, *headers: str) -> bytes:
    """The answer to a request for the rest."""
    fields = [f"Content-Range: bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}", *headers]
    return response(206, CONTENT[start:], *fields, reason="Partial Content")


def fetch(
    server: Server,
    directory: Path,
    *,
    attempts: int = 3,
    sha256: str | None = None,
    pause: Callable[[float], object] = lambda _: None,
) -> File:
    """One file, fetched."""
    (file,) = files_of([server.url("/file.bin")], directory, [sha256] if sha256 else [])
    with holdfast.Client() as client:
        Fetch(client, file, attempts, pause, lambda: False).run()
    return file


def left(directory: Path) -> list[str]:
    """The names in a directory."""
    return sorted(path.name for path in directory.iterdir())


# -- one file ----------------------------------------------------------------------------------------------------------


def test_a_file_has_its_name_and_nothing_else_is_left(tmp_path: Path) -> None:
    with Server(replies(ok(CONTENT, ETAG))) as server:
        file = fetch(server, tmp_path, sha256=SUM)

        assert server.requests[0].get("Accept-Encoding") == "identity"
        assert server.requests[0].get("Range") == ""
    assert (file.state, file.size, file.done, file.resumed) == ("done", len(CONTENT), len(CONTENT), 0)
    assert left(tmp_path) == ["file.bin"]
    assert file.path.read_bytes() == CONTENT


def test_what_was_cut_short_is_gone_on_with(tmp_path: Path) -> None:
    with Server([cut(10_000, ETAG), replies(rest(10_000, ETAG))]) as server:
        file = fetch(server, tmp_path)

        assert [(each.get("Range"), each.get("If-Range")) for each in server.requests] == [("", ""), ("bytes=10000-", '"v1"')]
    assert file.path.read_bytes() == CONTENT
    assert (file.done, file.resumed) == (len(CONTENT), 10_000)


def test_a_file_that_has_changed_meanwhile_begins_anew(tmp_path: Path) -> None:
    other = b"other" * 100
    with Server([cut(10_000, ETAG), replies(ok(other, 'ETag: "v2"'))]) as server:
        file = fetch(server, tmp_path)

    assert file.path.read_bytes() == other
    assert file.resumed == 0


@pytest.mark.parametrize(
    "headers",
    [
        [],
        ['ETag: W/"weak"'],
        ["Last-Modified: Sat, 28 Nov 2026 10:00:00 GMT", "Date: Sat, 28 Nov 2026 10:00:30 GMT"],
        [ETAG, "Content-Encoding: gzip"],
    ],
)
def test_without_a_strong_validator_it_begins_anew(tmp_path: Path, headers: list[str]) -> None:
    coded = "Content-Encoding: gzip" in headers
    body = gzip.compress(CONTENT) if coded else CONTENT

    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(head(200, f"Content-Length: {len(body)}", *headers) + body[: len(body) // 2])

    with Server([script, replies(ok(body, *headers))]) as server:
        file = fetch(server, tmp_path)

        assert [each.get("Range") for each in server.requests] == ["", ""]
    assert file.path.read_bytes() == CONTENT
    assert file.size == (None if coded else len(CONTENT))


def test_an_old_last_modified_is_a_strong_validator(tmp_path: Path) -> None:
    modified = "Sat, 28 Nov 2026 10:00:00 GMT"
    with Server([cut(9, f"Last-Modified: {modified}", "Date: Sat, 28 Nov 2026 10:01:00 GMT"), replies(rest(9))]) as server:
        fetch(server, tmp_path)

        assert server.requests[1].get("If-Range") == modified


@pytest.mark.parametrize("modified", [b"yesterday", b"Mon, 01 Jan 99999999999999999999 00:00:00 GMT"])
def test_a_date_that_is_none_is_no_validator(modified: bytes) -> None:
    today = b"Sat, 28 Nov 2026 10:00:00 GMT"
    assert validator_of(holdfast.Response(200, raw_headers=[(b"Last-Modified", modified), (b"Date", today)])) == ""


def test_bytes_that_came_begin_the_count_of_attempts_again(tmp_path: Path) -> None:
    pauses: list[float] = []
    scripts = [cut(10, ETAG)]
    for start in range(10, 50, 10):

        def some(conn: Conn, start: int = start) -> None:
            conn.expect_request()
            conn.send(rest(start)[: -len(CONTENT) + start + 10])

        scripts.append(some)
    with Server([*scripts, replies(rest(50))]) as server:
        file = fetch(server, tmp_path, attempts=2, pause=pauses.append)

    assert file.path.read_bytes() == CONTENT
    assert pauses == [0.5] * 5


def test_attempts_in_vain_have_an_end_and_pauses_grow(tmp_path: Path) -> None:
    pauses: list[float] = []
    busy = response(503, b"", "Retry-After: 3")
    until = response(503, b"", "Date: Wed, 21 Oct 2015 07:28:00 GMT", "Retry-After: Wed, 21 Oct 2015 07:28:07 GMT")
    with Server(replies(response(500), busy, response(502), until, response(503, b"", "Retry-After: soon"))) as server:
        file = fetch(server, tmp_path, attempts=5, pause=pauses.append)

    assert (file.state, pauses) == ("failed", [0.5, 3, 2, 7])
    assert isinstance(file.error, holdfast.HTTPError)
    assert download.code_of(file) == codes.BROKEN


@pytest.mark.parametrize(
    ("answer", "says", "code"),
    [
        (response(404, b"", reason="Not Found"), "the server answered 404 Not Found", codes.CLIENT_ERROR),
        (response(204, reason="No Content"), "the server answered 204 No Content", codes.UNEXPECTED),
        (response(206, b"x", "Content-Range: bytes 5-5/9"), "asked for all", codes.UNEXPECTED),
    ],
)
def test_what_no_other_attempt_would_mend_is_refused_at_once(tmp_path: Path, answer: bytes, says: str, code: int) -> None:
    with Server(replies(answer)) as server:
        file = fetch(server, tmp_path)

        assert len(server.requests) == 1
    assert file.state == "failed"
    assert says in str(file.error)
    assert download.code_of(file) == code


def test_a_part_of_another_place_than_asked_for_is_not_written(tmp_path: Path) -> None:
    with Server([cut(10, ETAG), replies(rest(20))]) as server:
        file = fetch(server, tmp_path)

    assert file.state == "failed"
    assert "asked for bytes=10-" in str(file.error)
    assert left(tmp_path) == []


def range_of(first: int, last: int, *headers: str, total: int | str = len(CONTENT)) -> bytes:
    """The answer to a request for a range, of which it may be a part."""
    return response(206, CONTENT[first : last + 1], f"Content-Range: bytes {first}-{last}/{total}", *headers)


@pytest.mark.parametrize(
    "forged",
    [
        response(206, b"x" * (len(CONTENT) - 10), f"Content-Range: bytes 10-{len(CONTENT) - 1}/{len(CONTENT)}", 'ETag: "v2"'),
        response(206, b"x" * (len(CONTENT) - 5), f"Content-Range: bytes 10-{len(CONTENT) + 4}/{len(CONTENT) + 5}", ETAG),
        response(206, b"x" * (len(CONTENT) - 5), f"Content-Range: bytes 10-{len(CONTENT) + 4}/{len(CONTENT)}", ETAG),
        response(206, b"x" * 5, f"Content-Range: bytes 10-{len(CONTENT) - 1}/{len(CONTENT)}", ETAG),
        response(206, b"x" * len(CONTENT), f"Content-Range: bytes 10-{len(CONTENT) - 1}/{len(CONTENT)}", ETAG),
        response(206, gzip.compress(b"x"), f"Content-Range: bytes 10-{len(CONTENT) - 1}/{len(CONTENT)}", "Content-Encoding: gzip"),
        chunked(b"x" * 5, headers=[f"Content-Range: bytes 10-19/{len(CONTENT)}"]).replace(b" 200 ", b" 206 ", 1),
        response(206, b"", f"Content-Range: bytes 10-9/{len(CONTENT)}", ETAG),
        response(416, b"", "Content-Range: bytes */10", ETAG),
        range_of(10, len(CONTENT) - 1, ETAG, "Last-Modified: Sat, 28 Nov 2026 10:00:00 GMT"),
    ],
    ids=["version", "size", "beyond the size", "too short", "too long", "coded", "too short in chunks", "empty", "416", "date"],
)
def test_a_rest_that_does_not_belong_to_what_is_here_is_not_put_behind_it(tmp_path: Path, forged: bytes) -> None:
    dated = "Last-Modified: Fri, 27 Nov 2026 10:00:00 GMT"
    with Server([cut(10, ETAG, dated), replies(forged, ok(CONTENT)), replies(ok(CONTENT))]) as server:
        file = fetch(server, tmp_path)

        assert [each.get("Range") for each in server.requests] == ["", "bytes=10-", ""]
    assert (file.state, file.done, file.size) == ("done", len(CONTENT), len(CONTENT))
    assert file.path.read_bytes() == CONTENT


def test_beginning_anew_has_an_end_where_no_beginning_comes_farther_than_the_one_before(tmp_path: Path) -> None:
    def cuts_and_mixes(conn: Conn) -> None:
        for request in conn.read_requests():
            if request.get("Range"):
                conn.send(response(206, CONTENT[10:], f"Content-Range: bytes 10-{len(CONTENT) - 1}/{len(CONTENT)}", 'ETag: "v2"'))
            else:
                conn.send(head(200, f"Content-Length: {len(CONTENT)}", ETAG) + CONTENT[:10])
                return

    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        assert len(pauses) < 9, "it goes on for ever"

    with Server(cuts_and_mixes) as server:
        file = fetch(server, tmp_path, attempts=3, pause=pause)

    assert (file.state, pauses) == ("failed", [0.5, 1.0])


def test_a_length_beside_chunks_is_not_the_size_of_the_file(tmp_path: Path) -> None:
    """RFC 9112, section 6.3: Transfer-Encoding overrides it."""
    answer = chunked(CONTENT, headers=[f"Content-Length: {len(CONTENT) + 5}", ETAG])
    with Server([replies(answer), replies(response(500))]) as server:
        file = fetch(server, tmp_path, attempts=1)

        assert len(server.requests) == 1
    assert (file.state, file.size, file.path.read_bytes()) == ("done", None, CONTENT)


def test_a_server_that_gives_less_than_was_asked_for_is_asked_for_the_rest(tmp_path: Path) -> None:
    pauses: list[float] = []
    last = len(CONTENT) - 1
    ranges = [range_of(10, 19, ETAG), range_of(20, 29, total="*"), range_of(30, last, ETAG, total="*")]
    with Server([cut(10, ETAG), replies(*ranges)]) as server:
        file = fetch(server, tmp_path, attempts=2, pause=pauses.append)

        assert [each.get("Range") for each in server.requests] == ["", "bytes=10-", "bytes=20-", "bytes=30-"]
    assert file.path.read_bytes() == CONTENT
    assert pauses == [0.5]  # behind what was cut, and not between parts


def test_a_run_that_is_killed_between_the_note_of_a_new_version_and_its_first_byte_mixes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file.bin.part").write_bytes(b"old" * 10)
    write = Path.write_text

    def killed(path: Path, *args: Any, **kwargs: Any) -> int:
        write(path, *args, **kwargs)
        raise KeyboardInterrupt

    with Server([replies(ok(CONTENT, ETAG)), replies(ok(CONTENT, ETAG))]) as server:
        with monkeypatch.context() as patched:
            patched.setattr(Path, "write_text", killed)
            with pytest.raises(KeyboardInterrupt):
                fetch(server, tmp_path)
        file = fetch(server, tmp_path)

        assert server.requests[-1].get("Range") == ""
    assert file.path.read_bytes() == CONTENT


def test_of_a_file_of_unknown_size_the_rest_ends_it(tmp_path: Path) -> None:
    def unsized(conn: Conn) -> None:
        conn.expect_request()
        conn.send(head(200, "Transfer-Encoding: chunked", ETAG) + b"a\r\n" + CONTENT[:10] + b"\r\n")

    with Server([unsized, replies(range_of(10, len(CONTENT) - 1, total="*"))]) as server:
        file = fetch(server, tmp_path)

    assert file.path.read_bytes() == CONTENT


def test_a_whole_part_is_known_by_416(tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(CONTENT)
    with Server(replies(response(416, b"", f"Content-Range: bytes */{len(CONTENT)}"))) as server:
        note(tmp_path, server)
        file = fetch(server, tmp_path)

    assert (file.state, file.done) == ("done", len(CONTENT))
    assert file.path.read_bytes() == CONTENT


def test_a_part_that_is_longer_than_the_file_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(CONTENT + b"more")
    with Server(replies(response(416, b"", f"Content-Range: bytes */{len(CONTENT)}"), ok(CONTENT))) as server:
        note(tmp_path, server)
        file = fetch(server, tmp_path)

        assert [each.get("Range") for each in server.requests] == [f"bytes={len(CONTENT) + 4}-", ""]
    assert file.path.read_bytes() == CONTENT


def note(directory: Path, server: Server, **changes: object) -> None:
    """The note beside a part."""
    said = {"url": server.url("/file.bin"), "validator": '"v1"', "size": None, **changes}
    (directory / "file.bin.part.json").write_text(json.dumps(said))


@pytest.mark.parametrize("odd", ["{", "[]", '{"url": 1}', "[" * 100_000, ""], ids=["cut", "list", "other", "deep", "elsewhere"])
def test_a_note_that_cannot_be_read_or_is_of_another_url_is_none(tmp_path: Path, odd: str) -> None:
    (tmp_path / "file.bin.part").write_bytes(b"part")
    with Server(replies(ok(CONTENT))) as server:
        if odd:
            (tmp_path / "file.bin.part.json").write_text(odd)
        else:
            note(tmp_path, server, url="http://elsewhere/")
        fetch(server, tmp_path)

        assert server.requests[0].get("Range") == ""


def test_a_wrong_checksum_is_not_kept(tmp_path: Path) -> None:
    with Server(replies(ok(b"forged"))) as server:
        file = fetch(server, tmp_path, sha256=SUM)

    assert file.state == "failed"
    assert f"expected was {SUM}" in str(file.error)
    assert left(tmp_path) == []


def test_a_certificate_that_is_not_accepted_is_not_tried_again(tmp_path: Path, tls: Tls) -> None:
    pauses: list[float] = []
    with Server(replies(ok(CONTENT)), tls=tls.server_context()) as server:
        (file,) = files_of([server.url("/file.bin", host="localhost")], tmp_path, [])
        with holdfast.Client() as client:
            Fetch(client, file, 3, pauses.append, lambda: False).run()
        server.wait_for_handshakes(1)

    assert (file.state, pauses, len(server.handshake_errors)) == ("failed", [], 1)
    assert download.code_of(file) == codes.UNREACHABLE


def test_a_url_that_cannot_be_sent_is_not_tried_again(tmp_path: Path) -> None:
    file = File("http://exa mple/", tmp_path / "x")
    with holdfast.Client() as client:
        Fetch(client, file, 5, lambda _: None, lambda: False).run()

    assert (file.state, download.code_of(file)) == ("failed", codes.USAGE)


def test_a_file_that_fails_by_a_bug_takes_no_other_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(holdfast.Client):
        def get(self, url: Any, *args: Any, **kwargs: Any) -> Any:
            if "bad" in url:
                raise ZeroDivisionError("a bug")
            return super().get(url, *args, **kwargs)

    with Server(shelf) as server, Broken() as client:
        files = files_of([server.url("/bad"), server.url("/good")], tmp_path, [])
        crew = Crew(client, files, 1)
        crew.start(1)
        assert crew.wait(10)

    assert [file.state for file in files] == ["failed", "done"]
    assert download.code_of(files[0]) == codes.LOCAL
    assert "ZeroDivisionError: a bug" in line_of(files[0])[1]


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file may grow beyond ``size`` bytes: the kernel refuses the rest, as on a disk that is full."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_is_full_keeps_what_is_there_for_a_run_with_more_room(tmp_path: Path) -> None:
    half = len(CONTENT) // 2
    with Server([replies(ok(CONTENT, ETAG)), replies(rest(half))]) as server:
        with room_for(half):
            file = fetch(server, tmp_path, sha256=SUM)
        failed = line_of(file)[1]
        again = fetch(server, tmp_path, sha256=SUM)

        assert [request.get("Range") for request in server.requests] == ["", f"bytes={half}-"], "and it is not tried again at once"
    assert (file.state, download.code_of(file)) == ("failed", codes.LOCAL)
    assert failed.startswith(f"{file.path}  File too large")
    assert (again.state, again.resumed, left(tmp_path)) == ("done", half, ["file.bin"])


def test_a_disk_without_room_for_the_note_leaves_nothing_that_could_be_gone_on_with(tmp_path: Path) -> None:
    with Server(replies(ok(CONTENT, ETAG))) as server:
        with room_for(10):
            file = fetch(server, tmp_path)
        again = fetch(server, tmp_path, sha256=SUM)

        assert [request.get("Range") for request in server.requests] == ["", ""]
    assert (file.state, again.state, left(tmp_path)) == ("failed", "done", ["file.bin"])


def test_a_directory_that_is_not_there_is_an_error_of_this_machine(tmp_path: Path) -> None:
    with Server(replies(ok(CONTENT))) as server:
        file = fetch(server, tmp_path / "missing")

    assert (file.state, download.code_of(file)) == ("failed", codes.LOCAL)


# -- names -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://a/dir/file.tar.gz?x=1#y", "file.tar.gz"),
        ("http://a/", "index.html"),
        ("http://a/dir/", "index.html"),
        ("http://a/%2e%2e%2f%2e%2e%2fetc%2fpasswd", "_.._etc_passwd"),
        ("http://a/%2e%2e", "index.html"),
        ("http://a/.hidden", "hidden"),
        ("http://a/a%00b%5cc%3ad", "a_b_c_d"),
        ("http://a/%C3%BC.txt", "ü.txt"),
        ("http://a/" + "x" * 300, "x" * 200),
        ("http://a/" + "%E2%98%83" * 150, "☃" * 66),  # file systems count bytes
        ("http://a/" + "x" * 199 + ".x", "x" * 199),  # no dot is left at its end
        ("http://a/x%20.%20", "x"),
        ("http://a/%22a%22%3C%3E%7Cb%3F%2A", "_a____b__"),  # of these and the rest Windows makes devices, or nothing
        ("http://a/con", "_con"),
        ("http://a/AUX.txt", "_AUX.txt"),
        ("http://a/nul%20.tar.gz", "_nul .tar.gz"),
        ("http://a/Com1.log", "_Com1.log"),
        ("http://a/lpt%C2%B2", "_lpt²"),
        ("http://a/CONOUT$", "_CONOUT$"),
        ("http://a/NUL.", "_NUL"),
        ("http://a/com10", "com10"),
        ("http://a/console.log", "console.log"),
        ("http://a/auxiliary", "auxiliary"),
        ("http://a/a%C2%9B31m%E2%80%AEgpj.exe", "a_31m_gpj.exe"),  # what a terminal obeys, and what turns a name round
    ],
)
def test_a_name_stays_in_its_directory(url: str, name: str) -> None:
    assert name_of(holdfast.Url.parse(url)) == name


def test_files_of_one_name_have_numbers(tmp_path: Path) -> None:
    urls = ["http://a/x.zip", "http://b/x.zip", "http://c/x.zip", "http://a/x.zip.part"]

    assert [file.path.name for file in files_of(urls, tmp_path, [])] == ["x.zip", "x-2.zip", "x-3.zip", "x.zip-2.part"]
    assert [file.path.name for file in files_of(urls[::-1], tmp_path, [])] == ["x.zip.part", "x-2.zip", "x-3.zip", "x-4.zip"]


def test_names_that_differ_in_case_or_in_how_an_umlaut_is_written_are_one_to_some_file_systems(tmp_path: Path) -> None:
    urls = ["http://a/README", "http://a/readme", "http://a/%C3%BC", "http://a/u%CC%88", "http://a/ReadMe.PART"]

    names = [file.path.name for file in files_of(urls, tmp_path, [])]

    assert names == ["README", "readme-2", "ü", "u\u0308-2", "ReadMe-3.PART"], "-2.PART would be the part of readme-2"


def test_checksums_are_for_all_or_for_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="given 1 time for 2 URLs"):
        files_of(["http://a/x", "http://a/y"], tmp_path, [SUM])


# -- the command -------------------------------------------------------------------------------------------------------


def shelf(conn: Conn) -> None:
    """Has every file but one."""
    for request in conn.read_requests():
        conn.send(response(404, reason="Not Found") if request.target == "/none" else ok(request.target.encode()))


def test_the_command_fetches_in_parallel_and_says_what_became_of_each(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with Server(shelf) as server:
        urls = [server.url(f"/{number}") for number in range(9)]
        code, out, _ = invoke(capsys, "download", *urls, server.url("/none"), "-o", str(tmp_path / "new"), "-j", "3")

        assert server.connections <= 3
    assert code == codes.CLIENT_ERROR
    assert out.count("done    ") == 9
    assert "failed  " in out
    assert "the server answered 404 Not Found" in out
    assert [(tmp_path / "new" / str(number)).read_text() for number in range(9)] == [f"/{number}" for number in range(9)]


def test_what_is_there_is_not_fetched_again_unless_it_is_wrong_or_wanted(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    good, wrong = hashlib.sha256(b"/x").hexdigest(), hashlib.sha256(b"").hexdigest()
    with Server(shelf) as server:
        url, to = server.url("/x"), str(tmp_path)
        for options, state, requests in [
            ([], "done", 1),
            ([], "there", 1),
            (["--sha256", good.upper()], "there", 1),
            (["--overwrite"], "done", 2),
        ]:
            code, out, _ = invoke(capsys, "download", url, "-o", to, *options)
            assert (code, out.split()[0], len(server.requests)) == (codes.OK, state, requests)
        code, out, _ = invoke(capsys, "download", url, "-o", to, "--sha256", wrong)
        assert (code, out.split()[0]) == (codes.UNEXPECTED, "failed")
    assert (tmp_path / "x").read_bytes() == b"/x"


@pytest.mark.parametrize("wrong", [["-j", "0"], ["-j", "300"], ["--attempts", "x"], ["--sha256", "123"], ["--sha256", SUM, "http://b/"]])
def test_arguments_that_make_no_sense_send_nothing(capsys: pytest.CaptureFixture[str], wrong: list[str]) -> None:
    assert invoke(capsys, "download", "http://127.0.0.1:1/x", *wrong)[0] == codes.USAGE


def test_ctrl_c_leaves_what_the_next_run_goes_on_with(tmp_path: Path) -> None:
    """A real process, and a real SIGINT, while a file is half here."""
    half = len(CONTENT) // 2

    def stuck(conn: Conn) -> None:
        conn.expect_request()
        conn.send(head(200, f"Content-Length: {len(CONTENT)}", ETAG) + CONTENT[:half])
        conn.wait_closed()

    # A shell that starts the tests in the background ignores SIGINT for them, and so for their children.
    program = "import signal; signal.signal(2, signal.default_int_handler); from holdfast.cli.main import console; console()"
    with Server([stuck, replies(rest(half))]) as server:
        command = [sys.executable, "-c", program, "download", server.url("/file.bin"), "-o", str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            server.wait_for_requests(1)
            wait_for_size(tmp_path / "file.bin.part", half)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=30)
        assert (process.returncode, err) == (codes.INTERRUPTED, "")
        assert "the same command goes on where this one stopped" in out
        assert left(tmp_path) == ["file.bin.part", "file.bin.part.json"]

        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == codes.OK
        assert server.requests[1].get("Range") == f"bytes={half}-"
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def wait_for_size(path: Path, size: int) -> None:
    """Return when a file of another process has that size: there is no event to wait for."""
    tick = threading.Event()
    for _ in range(1000):
        if path.exists() and path.stat().st_size >= size:
            return
        tick.wait(0.01)
    raise AssertionError(f"{path} has not {size} bytes")


def test_ctrl_c_ends_the_reads_of_all_workers(tmp_path: Path) -> None:
    def stuck(conn: Conn) -> None:
        conn.expect_request()
        conn.send(head(200, "Content-Length: 10", ETAG) + b"half")
        conn.wait_closed()

    class Interrupted(io.StringIO):
        """The progress is shown while the workers are at work; that is when Ctrl-C comes."""

        def isatty(self) -> bool:
            return True

        def write(self, text: str) -> int:
            if text.startswith("\r["):
                server.wait_for_requests(2)
                raise KeyboardInterrupt
            return super().write(text)

    with Server(stuck) as server, holdfast.Client() as client:
        files = files_of([server.url(f"/{number}") for number in range(3)], tmp_path, [])
        crew = Crew(client, files, 5)
        code = download.work(crew, 2, Terminal(Interrupted()), lambda: 0.0)

        assert code == codes.INTERRUPTED
        assert crew.wait(0)
        assert [file.state for file in files] == ["waiting"] * 3
        assert len(server.requests) == 2


def test_a_stop_between_two_attempts_leaves_the_file_waiting(tmp_path: Path) -> None:
    with Server(cut(10, ETAG)) as server, holdfast.Client() as client:
        (file,) = files_of([server.url("/x")], tmp_path, [])
        Fetch(client, file, 5, lambda _: None, lambda: True).run()

    assert file.state == "waiting"
    assert left(tmp_path) == ["x.part", "x.part.json"]


def test_no_file_is_begun_after_a_stop(tmp_path: Path) -> None:
    with Server(shelf) as server, holdfast.Client() as client:
        crew = Crew(client, files_of([server.url("/x")], tmp_path, []), 5)
        crew.stop.set()
        crew.start(1)
        while not crew.wait(1):
            pass

        assert server.requests == []


# -- what is shown -----------------------------------------------------------------------------------------------------


def test_the_progress_counts_bytes_where_all_sizes_are_known_and_files_where_not() -> None:
    path = Path("x")
    half = File("", path, None, 8_000_000, 6_000_000, 1_000_000, "fetching")
    known = [half, File("", path, None, 2_000_000, 2_000_000, 0, "done")]

    assert progress_of(known, 2) == "[################....] 1 of 2 files, 8.0 MB of 10.0 MB, 3.5 MB/s"
    assert progress_of([*known, File("", path)], 0) == "[#######.............] 1 of 3 files, 8.0 MB"


def test_progress_is_shown_while_files_come(tmp_path: Path) -> None:
    ready = threading.Event()

    def slow(conn: Conn) -> None:
        conn.expect_request()
        conn.wait(ready)
        conn.send(ok(b"x"))
        conn.wait_closed()

    screen = Tty()

    def clock() -> float:
        if screen.getvalue():
            ready.set()
        return 0.0

    with Server(slow) as server, holdfast.Client() as client:
        crew = Crew(client, files_of([server.url("/x")], tmp_path, []), 5)
        assert download.work(crew, 1, Terminal(screen), clock) == codes.OK

    assert screen.getvalue().startswith("\r[....................] 0 of 1 file, 0 B")


@pytest.mark.parametrize(("count", "text"), [(812, "812 B"), (1234, "1.2 kB"), (8e7, "80.0 MB"), (3e12, "3000.0 GB")])
def test_sizes_are_read_in_their_own_unit(count: float, text: str) -> None:
    assert size_of(count) == text


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (File("", Path("a"), None, 9, 9, 4, "done"), "done      a  9 B (4 B of it resumed)"),
        (File("", Path("a"), None, None, 7, 0, "waiting"), "not done  a  7 B so far"),
        (File("", Path("a\x1b"), None, None, 0, 0, "waiting"), "not done  a\\x1b"),
        (File("", Path("a"), None, None, 0, 0, "failed", Refused("\x07no")), "failed    a  \\x07no"),
    ],
)
def test_a_line_says_what_became_of_a_file(file: File, text: str) -> None:
    stream = io.StringIO()
    Terminal(stream).line(*line_of(file), end="")

    assert stream.getvalue() == text


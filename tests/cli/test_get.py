"""``holdfast URL``: what is sent, what is shown to a person, and what goes into a pipe."""

from __future__ import annotations

import gzip
import io
import json
import os
import socket
import stat
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path

import pytest

import holdfast
from holdfast.cli import codes, get
from holdfast.cli.main import main
from holdfast.pool.events import PoolEvent
from tests.cli.support import Tty, invoke
from tests.conftest import Tls
from tests.server import Conn, Server, chunked, echo, head, ok, redirect, replies, response

pytestmark = pytest.mark.usefixtures("no_leaks")


def sent(server: Server) -> tuple[str, str, bytes]:
    """Method, target and body of the only request."""
    (request,) = server.requests
    return request.method, request.target, request.body


def on_screen(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str]:
    """Exit code and standard output of the command where that is a terminal, without rich."""
    monkeypatch.setitem(sys.modules, "rich.console", None)
    with redirect_stdout(Tty()) as screen:
        return main(arguments), screen.getvalue()


# -- what is sent ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "method", "target", "kind", "body"),
    [
        ([], "GET", "/", "", b""),
        (["-q", "a=1", "-q", "b=x y"], "GET", "/?a=1&b=x+y", "", b""),
        (["-X", "delete"], "DELETE", "/", "", b""),
        (["-j", '{"a": 1}'], "POST", "/", "application/json", b'{"a": 1}'),
        (["-f", "a=1", "-f", "b=2=3"], "POST", "/", "application/x-www-form-urlencoded", b"a=1&b=2%3D3"),
        (["-d", "text"], "POST", "/", "", b"text"),
        (["-X", "PUT", "-d", "ü"], "PUT", "/", "", "ü".encode()),
    ],
)
def test_arguments_make_a_request(
    capsys: pytest.CaptureFixture[str], arguments: list[str], method: str, target: str, kind: str, body: bytes
) -> None:
    with Server(replies(ok(b"done"))) as server:
        code, out, _ = invoke(capsys, server.url(), *arguments)

        assert sent(server) == (method, target, body)
        assert server.requests[0].get("Content-Type") == kind
    assert (code, out) == (codes.OK, "done")


def test_files_are_sent_from_their_paths_and_from_standard_input(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.txt"
    path.write_bytes(b"from a file")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"from stdin")))
    with Server(replies(*[ok()] * 1)) as server:
        invoke(capsys, server.url(), "-d", f"@{path}")
        assert sent(server)[2] == b"from a file"
    with Server(replies(ok())) as server:
        invoke(capsys, server.url(), "-d", "@-")
        assert sent(server)[2] == b"from stdin"
    with Server(replies(ok())) as server:
        invoke(capsys, server.url(), "-F", f"document={path}", "-f", "title=Q3")
        body = sent(server)[2]
    assert b'name="document"; filename="report.txt"' in body
    assert b"from a file" in body
    assert b'name="title"' in body


@pytest.mark.parametrize(
    ("arguments", "name", "value"),
    [
        (["-H", "X-Mine: a: b"], "X-Mine", "a: b"),
        (["-H", "Accept:"], "Accept", ""),
        (["-a", "user:pass"], "Authorization", "Basic dXNlcjpwYXNz"),
        (["--bearer", "token"], "Authorization", "Bearer token"),
    ],
)
def test_fields_and_credentials_are_sent(
    capsys: pytest.CaptureFixture[str], arguments: list[str], name: str, value: str
) -> None:
    with Server(replies(ok())) as server:
        invoke(capsys, server.url(), *arguments)

        assert server.requests[0].get(name) == value


def test_digest_answers_the_challenge(capsys: pytest.CaptureFixture[str]) -> None:
    challenge = response(401, b"", 'WWW-Authenticate: Digest realm="r", nonce="n", qop="auth"')
    with Server(replies(challenge, ok())) as server:
        code = invoke(capsys, server.url(), "-a", "user:pass", "--digest")[0]

        assert server.requests[1].get("Authorization").startswith("Digest ")
    assert code == codes.OK


def test_redirects_are_followed_unless_they_are_not_to_be(capsys: pytest.CaptureFixture[str]) -> None:
    with Server(replies(redirect("/there"), ok(b"there"))) as server:
        assert invoke(capsys, server.url())[1] == "there"
    with Server(replies(redirect("/there"))) as server:
        assert invoke(capsys, server.url(), "--no-follow")[0] == codes.OK
        assert len(server.requests) == 1


def test_a_proxy_of_the_command_line_goes_before_the_environments(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with Server(replies(ok())) as proxy:
        assert invoke(capsys, "http://example.com/a", "--proxy", proxy.url())[0] == codes.OK
        assert proxy.requests[0].target == "http://example.com/a"
    with Server(replies(ok())) as server:
        assert invoke(capsys, server.url(), "--proxy", "")[0] == codes.OK


def test_a_certificate_is_verified_unless_it_is_not_to_be(capsys: pytest.CaptureFixture[str], tls: Tls) -> None:
    with Server(tls=tls.server_context(ask_client=True)) as server:
        url = server.url(host="localhost")
        mine = ["--cert", tls.client_cert_only, "--key", tls.client_key]
        assert invoke(capsys, url, *mine)[0] == codes.UNREACHABLE
        assert invoke(capsys, url, "--cacert", tls.ca_path, *mine)[0] == codes.OK
        assert invoke(capsys, url, "--insecure", "--cert", tls.client_cert)[0] == codes.OK


def test_a_timeout_has_a_code_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    with Server(replies()) as server:
        code, _, err = invoke(capsys, server.url(), "--timeout", "0.1")

    assert code == codes.TIMEOUT
    assert err.startswith("holdfast: ")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-j", "{"], "not JSON"),
        (["-j", "{}", "-d", "x"], "--json and --data"),
        (["-d", "x", "-f", "a=1"], "--data and --form"),
        (["-a", "u:p", "--bearer", "t"], "--auth and --bearer"),
        (["-f", "novalue"], "NAME=VALUE"),
        (["-H", "novalue"], "'NAME: VALUE'"),
        (["--timeout", "0"], "more than 0 seconds"),
        (["-H", "bad name: x"], "bad name"),
    ],
)
def test_arguments_that_contradict_each_other_send_nothing(
    capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    with Server() as server:
        code, _, err = invoke(capsys, server.url(), *arguments)

        assert server.requests == []
    assert code == codes.USAGE
    assert says in err


def test_a_file_that_is_not_there_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with Server() as server:
        code, _, err = invoke(capsys, server.url(), "-F", f"a={tmp_path / 'missing'}")

    assert code == codes.LOCAL
    assert "missing" in err


# -- into a pipe or a file ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "code"), [(200, 0), (304, 0), (404, 4), (503, 5)])
def test_the_exit_code_is_the_kind_of_status(capsys: pytest.CaptureFixture[str], status: int, code: int) -> None:
    with Server(replies(response(status))) as server:
        assert invoke(capsys, server.url())[0] == code


def test_into_a_pipe_go_the_decoded_bytes_as_they_are(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    raw = bytes(range(256))
    with Server(replies(ok(gzip.compress(raw), "Content-Encoding: gzip", "Content-Type: application/json"))) as server:
        code = main([server.url()])

    assert (code, capfdbinary.readouterr().out) == (0, raw)


def test_the_head_is_shown_before_the_body(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    with Server(replies(ok(b"body", "X-Mine: yes"))) as server:
        main([server.url(), "-i"])

    assert capfdbinary.readouterr().out == b"HTTP/1.1 200 OK\nContent-Length: 4\nX-Mine: yes\n\nbody"


def test_a_file_has_its_name_only_when_it_is_whole(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "out"
    with Server(replies(ok(b"whole"))) as server:
        assert invoke(capsys, server.url(), "-o", str(path)) == (codes.OK, "", "")
    assert path.read_bytes() == b"whole"

    def cut(conn: Conn) -> None:
        conn.expect_request()
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")

    with Server(cut) as server:
        assert invoke(capsys, server.url(), "-o", str(path))[0] == codes.BROKEN
    assert path.read_bytes() == b"whole"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a named pipe stands for what is no file of bytes: /dev/null, a terminal")
def test_what_is_no_plain_file_is_written_to_and_not_replaced(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with Server(replies(ok(b"whole"))) as server:
        assert invoke(capsys, server.url(), "-o", str(pipe)) == (codes.OK, "", "")
    assert os.read(reader, 100) == b"whole"
    os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert list(tmp_path.iterdir()) == [pipe]


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="files by the number of their descriptor")
def test_a_plain_file_that_is_named_by_its_descriptor_is_written_to_and_not_replaced(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "file"
    with open(file, "wb") as opened, Server(replies(ok(b"whole"))) as server:
        before = os.fstat(opened.fileno()).st_ino
        assert invoke(capsys, server.url(), "-o", f"/dev/fd/{opened.fileno()}")[0] == codes.OK
    assert (file.read_bytes(), file.stat().st_ino, list(tmp_path.iterdir())) == (b"whole", before, [file])


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="a file system of plain files below /dev")
def test_a_plain_file_below_dev_has_its_name_only_when_it_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        path = Path(folder, "file")
        path.write_bytes(b"old")
        with Server(lambda conn: conn.send(head(200, "Content-Length: 9") + b"cut")) as server:
            assert invoke(capsys, server.url(), "-o", str(path))[0] == codes.BROKEN
        assert (path.read_bytes(), list(path.parent.iterdir())) == (b"old", [path])


def test_behind_a_link_the_file_is_replaced_and_the_link_stays(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    link, file = tmp_path / "link", tmp_path / "there" / "file"
    link.symlink_to(file)
    for body in (b"first", b"second"):
        with Server(replies(ok(body))) as server:
            assert invoke(capsys, server.url(), "-o", str(link))[0] == codes.OK
        assert (link.is_symlink(), file.read_bytes(), list(file.parent.iterdir())) == (True, body, [file])


def test_a_directory_is_no_file_to_write(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with Server(replies(ok(b"body"))) as server:
        assert invoke(capsys, server.url(), "-o", str(folder))[0] == codes.LOCAL
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is full")
def test_a_disk_that_is_full_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with Server(replies(ok(b"body"))) as server:
        code, _, err = invoke(capsys, server.url(), "-o", "/dev/full")

    assert (code, err) == (codes.LOCAL, "holdfast: No space left on device: /dev/full\n")


def test_an_error_page_does_not_take_the_files_place(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"good")
    with Server(replies(response(404, b"sorry", reason="Not Found"))) as server:
        code, _, err = invoke(capsys, server.url(), "-o", str(path))

    assert (code, err) == (codes.CLIENT_ERROR, f"404 Not Found: nothing was written to {path}\n")
    assert path.read_bytes() == b"good"


def test_a_person_is_told_what_was_written(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)
    monkeypatch.setattr(sys, "stderr", screen := Tty())
    with Server(replies(ok(b"x" * 1234))) as server:
        invoke(capsys, server.url(), "-o", str(tmp_path / "out"))

    assert screen.getvalue() == f"{tmp_path / 'out'}: 1,234 bytes\n"


# -- for a person ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        (ok(b'{"b":[1],"a":"\xc3\xbc"}', "Content-Type: application/json"), '{\n  "b": [\n    1\n  ],\n  "a": "ü"\n}\n'),
        (ok(b'{"a":1}', "Content-Type: application/problem+json"), '{\n  "a": 1\n}\n'),
        (ok(b"{broken", "Content-Type: application/json"), "{broken\n"),
        (ok(b"<p>\x1b[2J</p>", "Content-Type: text/html; charset=utf-8"), "<p>\\x1b[2J</p>\n"),
        (ok(b"<a/>\n", "Content-Type: image/svg+xml"), "<a/>\n"),
        (ok(b"", "Content-Type: text/html"), ""),
        (ok(b"plain\x07", "Content-Type: text/plain"), "plain\\x07\n"),
        (ok(b"line\n", "Content-Type: text/plain"), "line\n"),
        (ok("ü".encode("latin-1"), "Content-Type: text/plain; charset=latin-1"), "ü\n"),
        (ok("ü".encode(), "Content-Type: text/plain; charset=nonsense"), "ü\n"),
        (ok(b"\x89PNG\0\0"), "6 bytes that are no text: -o PATH writes them to a file, --raw to the terminal\n"),
        (chunked(b"data: 1\n\n", b"data: 2\n\n", headers=["Content-Type: text/event-stream"]), "data: 1\n\ndata: 2\n\n"),
    ],
)
def test_a_body_is_laid_out_for_a_person(monkeypatch: pytest.MonkeyPatch, answer: bytes, shown: str) -> None:
    with Server(replies(answer)) as server:
        assert on_screen(monkeypatch, server.url()) == (codes.OK, shown)


def test_a_body_too_long_to_be_laid_out_is_shown_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(get, "MOST_PRETTY", 10)
    body = b'{"a":"' + b"x" * 100_000 + b'"}'
    with Server(replies(ok(body, "Content-Type: application/json"))) as server:
        assert on_screen(monkeypatch, server.url())[1] == body.decode() + "\n"


def test_raw_is_raw_on_a_terminal_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(replies(ok(b'{"a":1}\x1b', "Content-Type: application/json"))) as server:
        assert on_screen(monkeypatch, server.url(), "--raw")[1] == '{"a":1}\x1b'


# -- the exchange ------------------------------------------------------------------------------------------------------


def test_verbose_shows_the_exchange_without_secrets_and_the_connections_life(capsys: pytest.CaptureFixture[str]) -> None:
    with Server(replies(redirect("/next"), ok(b"body", "Set-Cookie: a=secret", "X-Odd: \x9b2J"))) as server:
        code, out, err = invoke(capsys, server.url("/first"), "-v", "-a", "user:pass", "-H", "X-Api-Key: hush")

    assert (code, out) == (codes.OK, "body")
    assert f"* opened a connection to http://127.0.0.1:{server.port}" in err
    assert "* reused a connection to" in err
    assert "> GET /first HTTP/1.1" in err
    assert f"> Host: 127.0.0.1:{server.port}" in err
    assert "> Authorization: [secret]" in err
    assert "> X-Api-Key: [secret]" in err
    assert "< HTTP/1.1 302 Elsewhere" in err
    assert "> GET /next HTTP/1.1" in err
    assert "< Set-Cookie: [secret]" in err
    assert "< X-Odd: \\x9b2J" in err
    assert "* connected to 127.0.0.1: DNS " in err
    assert "* answered on request 2 of a connection" in err
    assert "(client_closed)" in err


def test_a_request_that_was_sent_again_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    def lost(conn: Conn) -> None:
        conn.expect_request()
        conn.send(redirect("/b"))
        conn.expect_request()

    with Server([lost, echo]) as server:
        code, out, err = invoke(capsys, server.url(), "-v")

    assert code == codes.OK
    assert json.loads(out)["target"] == "/b"
    assert "* sent again to" in err
    assert "* sent in vain (" in err
    assert "sent 2 times" in err


def test_tls_and_the_addresses_that_did_not_answer_are_told(
    capsys: pytest.CaptureFixture[str], tls: Tls, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up = socket.getaddrinfo
    dead = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.2", 1))
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, port, *more: [dead, *look_up("127.0.0.1", port, *more)])
    with Server(tls=tls.server_context()) as server:
        _, _, err = invoke(capsys, server.url(host="localhost"), "-v", "--cacert", tls.ca_path)

    assert "* tried 127.0.0.2: Connection refused" in err
    assert "(TLSv1.3, TLS_" in err


def test_a_response_built_by_hand_has_no_story() -> None:
    assert get.story_of(holdfast.Response(200)) == []


@pytest.mark.parametrize(
    ("event", "says"),
    [
        (PoolEvent("waited", "http://a:80", seconds=1.5), "* waited 1.500 s for a connection to http://a:80\n"),
        (PoolEvent("saturated", "http://a:80"), ""),
    ],
)
def test_an_event_is_a_sentence_or_none(event: PoolEvent, says: str) -> None:
    from holdfast.cli.terminal import Terminal

    stream = io.StringIO()
    get.Narrator(Terminal(stream)).event(event)

    assert stream.getvalue() == says

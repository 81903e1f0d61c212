"""Three scripts written for requests print the same with ``import holdfast as requests`` as with the real one.

And every example runs with no argument, against a site of its own.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from urllib.parse import parse_qs

import pytest

from examples import follow_events, login_with_cookies, paginated_api, upload_with_progress
from tests.server import Conn, Home, Received, Script, Server, ok, redirect, response

JSON = "Content-Type: application/json"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("http_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    yield
    import holdfast

    holdfast.close()


def printed(
    example: ModuleType, site: Script, capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0
) -> tuple[list[str], list[Received]]:
    """What the script prints with either library, which is the same, and what the server received from holdfast."""
    outputs, ledgers = [], []
    for library in ([], ["--real"]):
        with Server(site) as server:
            given = [each.replace("URL", server.url("")) for each in arguments]
            assert example.main([*library, *given]) == status
            outputs.append(capsys.readouterr().out.replace(server.url(""), "URL").splitlines())
            ledgers.append(server.requests)
    assert outputs[0] == outputs[1]
    assert [(r.method, r.target) for r in ledgers[0]] == [(r.method, r.target) for r in ledgers[1]]
    return outputs[0], ledgers[0]


# -- a paginated API ---------------------------------------------------------------------------------------------------

NAMES = ["ant", "bee", "cat", "dog", "eel", "fox", "gnu"]


def api(*refusals: bytes) -> Script:
    """Seven items in pages of three; the first calls of every connection's life are refused as given."""

    def script(conn: Conn) -> None:
        for request in conn.read_requests():
            served = len(conn.server.requests) - 1
            conn.send(refusals[served] if served < len(refusals) else page(conn.server, request))

    return script


def page(server: Home, request: Received) -> bytes:
    query = {name: values[0] for name, values in parse_qs(request.target.partition("?")[2]).items()}
    assert request.get("Authorization") == "Bearer t"
    assert query["sort"] == "name"
    number, size = int(query.get("page", "1")), int(query["per_page"])
    items = [{"id": i, "name": name} for i, name in enumerate(NAMES)][(number - 1) * size : number * size]
    more = number * size < len(NAMES)
    link = f'<{server.url("/items")}?sort=name&per_page={size}&page={number + 1}>; rel="next"'
    return ok(json.dumps(items).encode(), JSON, *([f"Link: {link}"] if more else []))


def test_a_paginated_api_client_gets_every_page_over_one_connection(capsys: pytest.CaptureFixture[str]) -> None:
    lines, received = printed(paginated_api, api(), capsys, "--token", "t", "URL/items")

    assert [line.split()[1] for line in lines[:-1]] == NAMES
    assert lines[-1] == "3 calls, 0 of them again"
    assert {request.connection for request in received} == {0}


def test_it_asks_again_where_the_status_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    site = api(response(503, b"later", "Retry-After: 0"), response(429, b"slow down"))

    lines, received = printed(paginated_api, site, capsys, "--token", "t", "--page-size", "4", "URL/items")

    assert lines[-1] == "4 calls, 2 of them again"
    assert {request.connection for request in received} == {0}


@pytest.mark.parametrize(
    ("refusals", "said"),
    [
        ([response(502, reason="Bad Gateway")] * 4, "gave up: 502 Server Error: Bad Gateway for url: URL/items?"),
        ([response(404, reason="Not Found")], "gave up: 404 Client Error: Not Found for url: URL/items?"),
    ],
)
def test_it_gives_up_with_the_same_words(refusals: list[bytes], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines, _ = printed(paginated_api, api(*refusals), capsys, "--token", "t", "URL/items", status=1)

    assert lines == [f"{said}per_page=3&sort=name"]


# -- an upload ---------------------------------------------------------------------------------------------------------


def intake(conn: Conn) -> None:
    """Say what came in the form, but for the boundary."""
    request = conn.expect_request()
    boundary = request.get("Content-Type").partition("boundary=")[2].encode()
    parts = [part.strip(b"\r\n") for part in request.body.split(b"--" + boundary)[1:-1]]
    said = {
        "parts": [part.partition(b"\r\n\r\n")[0].decode() for part in parts],
        "bytes": len(parts[-1].partition(b"\r\n\r\n")[2]),
        "framing": [name for name, _ in request.headers if name in ("Content-Length", "Transfer-Encoding")],
        "by": request.get("X-Requested-By"),
    }
    conn.send(response(201, json.dumps(said).encode(), JSON, reason="Created"))
    conn.wait_closed()


def test_an_upload_shows_its_progress(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "data.bin"
    path.write_bytes(b"0123456789abcdef" * 50_000)

    lines, _ = printed(upload_with_progress, intake, capsys, str(path), "URL/upload")

    assert lines[:11] == [f"{percent:3} %" for percent in range(0, 101, 10)]
    assert "bytes: 800000" in lines
    assert "framing: ['Content-Length']" in lines


def test_an_upload_that_is_refused_says_so(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "data.bin"
    path.write_bytes(b"data")

    def full(conn: Conn) -> None:
        conn.expect_request()
        conn.send(response(413, b"too much"))
        conn.wait_closed()

    lines, _ = printed(upload_with_progress, full, capsys, str(path), "URL/upload", status=1)

    assert lines[-1] == "refused: 413 too much"


# -- a login -----------------------------------------------------------------------------------------------------------

FORM = b'<form method="post"><input name="token" value="t0ken"></form>'
HTML = "Content-Type: text/html; charset=utf-8"
GONE = "Max-Age=0; Path=/"


def members(conn: Conn) -> None:
    """A site with a login form, an account and a way out."""
    for request in conn.read_requests():
        conn.send(answered(request))


def answered(request: Received) -> bytes:
    cookies = set(request.get("Cookie").split("; "))
    form = parse_qs(request.body.decode())
    if request.target == "/login" and request.method == "GET":
        return ok(FORM, HTML, "Set-Cookie: form=f0rm; Path=/login; HttpOnly")
    if request.target == "/login":
        right = {"user": ["alice"], "password": ["open sesame"], "token": ["t0ken"]}
        if form != right or "form=f0rm" not in cookies or not request.get("Referer").endswith("/login"):
            return response(403, b"no", HTML)
        return redirect(
            "/welcome",
            302,
            "Set-Cookie: session=s3ssion; Path=/; HttpOnly",
            "Set-Cookie: form=; Max-Age=0; Path=/login",
        )
    if request.target == "/welcome":
        return redirect("account#top", 301, "Set-Cookie: seen=1; Path=/")
    if request.target == "/account":
        inside = "session=s3ssion" in cookies
        return ok(b'{"name": "Alice"}', JSON) if inside else redirect("/login?next=/account", 303)
    return redirect("/login", 303, f"Set-Cookie: session=; {GONE}", f"Set-Cookie: seen=; {GONE}")


def test_a_login_carries_its_cookies_through_the_redirects(capsys: pytest.CaptureFixture[str]) -> None:
    lines, received = printed(login_with_cookies, members, capsys, "URL")

    assert lines[:3] == [
        "  302 POST URL/login -> /welcome",
        "  301 GET URL/welcome -> account#top",
        "  200 GET URL/account#top",
    ]
    assert "account: Alice" in lines
    assert lines[-1] == "afterwards: 303 True URL/login?next=/account"
    # A 302 to the form is no proof that it was read: what follows has a connection of its own.
    assert [request.connection for request in received[:2]] == [0, 0]
    assert {request.connection for request in received[2:]} == {1}


def test_a_login_with_a_wrong_password_is_not_let_in(capsys: pytest.CaptureFixture[str]) -> None:
    lines, _ = printed(login_with_cookies, members, capsys, "URL", "--password", "x", status=1)

    assert lines == ["  403 POST URL/login", "not let in"]


def test_cookies_are_kept_from_one_run_to_the_next(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    kept = []
    for library in ("holdfast", "requests"):
        (tmp_path / library).write_text(json.dumps({"theme": "dark"}))
        with Server(members) as server:
            real = ["--real"] if library == "requests" else []
            assert login_with_cookies.main([*real, server.url(""), "--jar", str(tmp_path / library)]) == 0
        assert server.requests[0].get("Cookie") == "theme=dark"
        assert capsys.readouterr().out.splitlines()[-2] == "cookies: form, theme"  # the way out ends at the form
        kept.append(json.loads((tmp_path / library).read_text()))

    assert kept[0] == kept[1] == {"theme": "dark", "session": "s3ssion", "seen": "1"}


def test_a_server_that_is_gone_is_a_connection_error_in_both(capsys: pytest.CaptureFixture[str]) -> None:
    with Server() as server:
        url = server.url("/items")
    for library in ([], ["--real"]):
        assert paginated_api.main([*library, url]) == 1
        assert capsys.readouterr().out == "gave up: the server cannot be reached\n"


# -- with no argument --------------------------------------------------------------------------------------------------

EXAMPLES = Path(paginated_api.__file__).parent
ALONE = {
    "follow_events": "the end, after 3 connections; the last event was 9",
    "login_with_cookies": "afterwards: 303 True URL/login?next=/account",
    "paginated_api": "4 calls, 1 of them again",
    "telemetry": "  http.client.connection.max                50",
    "under_requests": "connections: 3, requests: 6, sent again: 0",
    "upload_with_progress": "received: ",
}
ELSEWHERE = {
    "crawler": "test_pool_examples",
    "fan_out_dask": "test_pool_examples",
    "pool_of_anything": "test_pool_examples",
    "pool_of_postgres": "test_pool_examples",
    "quickstart": "test_quickstart",
    "service": "test_pool_examples",
    "sites": "of all that have a site of their own",
}


@pytest.mark.parametrize("example", ALONE)
def test_an_example_needs_no_argument_and_no_particular_folder(example: str, tmp_path: Path) -> None:
    if example == "under_requests":
        pytest.importorskip("requests", reason="needs requests")
    if example == "telemetry":
        pytest.importorskip("opentelemetry.sdk", reason="needs opentelemetry-sdk")
    quiet = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    command = [sys.executable, str(EXAMPLES / f"{example}.py")]
    done = subprocess.run(command, cwd=tmp_path, env=quiet, capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    last = re.sub(r"http://127.0.0.1:\d+", "URL", done.stdout.splitlines()[-1])
    assert last.startswith(ALONE[example])


def test_every_example_is_run_by_a_test() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} - {"__init__"} == ALONE.keys() | ELSEWHERE.keys()


def test_an_event_stream_that_is_none_is_given_up_with_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    with Server() as server:
        assert follow_events.main([server.url("")]) == 1

    assert "gave up: the answer (200) is no event stream: its Content-Type is 'application/json'" in capsys.readouterr().err

"""holdfast.contrib.vcr: the real vcrpy records against a real server, and plays when that is gone."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import vcr
from vcr.errors import CannotOverwriteExistingCassetteException
from vcr.serializers import yamlserializer

import holdfast
import holdfast.requests
from holdfast.contrib.vcr import custom_patches
from holdfast.transport import Transport
from tests.server import Conn, Server, chunked, echo, echo_of, head, ok, redirect, replies, response

pytestmark = pytest.mark.usefixtures("no_leaks")


class Tape:
    """One cassette: each ``with`` uses it anew."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.recorder = vcr.VCR(custom_patches=custom_patches)

    def use(self, **settings: Any) -> Any:
        return self.recorder.use_cassette(str(self.path), **settings)

    @property
    def entries(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = yamlserializer.deserialize(self.path.read_text())["interactions"]
        return found


@pytest.fixture
def tape(tmp_path: Path) -> Tape:
    return Tape(tmp_path / "tape.yaml")


@pytest.fixture
def client() -> Iterator[holdfast.Client]:
    with holdfast.Client() as made:
        yield made


def test_a_call_is_recorded_and_played_without_the_server(tape: Tape, client: holdfast.Client) -> None:
    with Server() as server:
        url = server.url("/a?b=1")
        with tape.use():
            first = client.post(url, json={"x": 1}, headers={"X-A": "b"})
        assert len(server.requests) == 1
    with tape.use(record_mode="none") as cassette:
        again = client.post(url, json={"x": 1})

        assert cassette.all_played
    assert again.json() == first.json()
    assert (again.status_code, again.reason, again.headers) == (200, "OK", first.headers)
    assert tape.entries[0]["request"]["uri"] == url
    assert tape.entries[0]["request"]["body"] == '{"x": 1}'
    assert tape.entries[0]["request"]["headers"]["X-A"] == ["b"]
    assert (again.timings, again.connection_info) == (None, None)  # there was none


def test_module_level_calls_and_sessions_are_recorded_and_played(tape: Tape) -> None:
    def call(url: str) -> list[str]:
        with holdfast.requests.Session() as session:
            return [holdfast.get(url + "1").text, holdfast.requests.get(url + "2").text, session.get(url + "3").text]

    with Server() as server:
        url = server.url("/")
        with tape.use():
            recorded = call(url)
        holdfast.close()
    with tape.use():
        assert call(url) == recorded
    holdfast.close()


def test_httpx_over_holdfast_is_recorded_once(tape: Tape) -> None:
    httpx = pytest.importorskip("httpx")
    from holdfast.contrib.httpx import HoldfastTransport

    with Server() as server, httpx.Client(transport=HoldfastTransport()) as client:
        url = server.url("/")
        with tape.use():
            recorded = client.get(url).text
    with httpx.Client(transport=HoldfastTransport()) as client, tape.use():
        assert client.get(url).text == recorded

    assert len(tape.entries) == 1


def test_a_stream_is_a_stream_when_recorded_and_when_played(tape: Tape, client: holdfast.Client) -> None:
    pieces = [b"one\n", b"two\n", b"three\n"]
    with Server(replies(chunked(*pieces, trailers=["X-T: 1"]))) as server:
        url = server.url("/")
        with tape.use(), client.get(url, stream=True) as streamed:
            recorded = list(streamed.iter_lines())
            assert streamed.trailers["X-T"] == "1"
    with tape.use(), client.get(url, stream=True) as streamed:
        assert list(streamed.iter_lines()) == recorded == [b"one", b"two", b"three"]


def test_a_body_is_recorded_as_it_came_and_decoded_each_time(tape: Tape, client: holdfast.Client) -> None:
    packed = gzip.compress(b"text " * 100)
    with Server(replies(ok(packed, "Content-Encoding: gzip"))) as server:
        url = server.url("/")
        with tape.use():
            assert client.get(url).content == b"text " * 100
    with tape.use():
        response = client.get(url)
        assert response.content == b"text " * 100
        assert response.headers["Content-Encoding"] == "gzip"
    with tape.use(allow_playback_repeats=True), client.get(url, stream=True) as response:
        assert response.raw.read(decode_content=False) == packed


def test_what_vcrpy_has_decoded_is_played_as_it_is(tape: Tape, client: holdfast.Client) -> None:
    with Server(replies(ok(gzip.compress(b"plain"), "Content-Encoding: gzip"))) as server:
        url = server.url("/")
        with tape.use(decode_compressed_response=True):
            assert client.get(url).text == "plain"
    with tape.use():
        response = client.get(url)

    assert response.text == "plain"
    assert "Content-Encoding" not in response.headers
    assert tape.entries[0]["response"]["body"]["string"] == "plain"


def test_each_hop_of_a_redirect_is_an_entry_and_cookies_go_along(tape: Tape, client: holdfast.Client) -> None:
    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(redirect("/there", 302, "Set-Cookie: a=1", "Set-Cookie: b=2; Path=/"))
        conn.send(echo_of(conn.expect_request()))
        conn.wait_closed()

    with Server(script) as server:
        url = server.url("/here")
        with tape.use():
            first = client.get(url)
    with holdfast.Client() as another, tape.use():
        again = another.get(url)
        jar = dict(another.cookies)

    assert [entry["request"]["uri"].rsplit("/")[-1] for entry in tape.entries] == ["here", "there"]
    assert again.json() == first.json()
    assert [hop.status_code for hop in again.history] == [302]
    assert jar == {"a": "1", "b": "2"}


def test_a_request_that_is_not_in_the_cassette_is_vcrpys_own_error_and_nothing_is_sent(tape: Tape, client: holdfast.Client) -> None:
    with Server() as server:
        with tape.use():
            client.get(server.url("/known"))
        with tape.use(), pytest.raises(CannotOverwriteExistingCassetteException, match="/unknown"):
            client.get(server.url("/unknown"))
        with tape.use():
            client.get(server.url("/known"))
            with pytest.raises(CannotOverwriteExistingCassetteException):
                client.get(server.url("/known"))  # it was played already

        assert [request.target for request in server.requests] == ["/known"]


def test_a_request_that_a_filter_leaves_out_goes_to_the_server_each_time(tape: Tape, client: holdfast.Client) -> None:
    with Server() as server:
        for _ in range(2):
            with tape.use(ignore_hosts=["127.0.0.1"]):
                client.get(server.url("/"))

        assert len(server.requests) == 2


def test_secrets_of_the_url_are_not_recorded(tape: Tape, client: holdfast.Client) -> None:
    with Server(replies(ok())) as server, tape.use(filter_headers=["authorization"]):
        client.get(server.url("/").replace("http://", "http://user:hunter2@") + "#part")

        assert server.requests[0].get("Authorization")
    assert "hunter2" not in tape.path.read_text()
    assert "Authorization" not in tape.path.read_text()
    assert tape.entries[0]["request"]["uri"] == server.url("/")


def test_a_generator_is_sent_once_in_chunks_and_recorded(tape: Tape, client: holdfast.Client) -> None:
    with Server() as server:
        url = server.url("/")
        with tape.use(match_on=["method", "uri", "body"]):
            client.post(url, data=(piece for piece in (b"ab", b"cd")))

        assert (server.requests[0].body, server.requests[0].get("Transfer-Encoding")) == (b"abcd", "chunked")
    with tape.use(match_on=["method", "uri", "body"]):
        assert client.post(url, data=iter([b"abcd"])).ok


def test_a_file_is_sent_and_recorded(tape: Tape, client: holdfast.Client, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    with Server() as server, tape.use(), path.open("rb") as file:
        client.put(server.url("/"), data=file)

        assert server.requests[0].body == b"content"
    assert tape.entries[0]["request"]["body"] == "content"


def test_a_response_without_a_body_or_a_reason_is_played_as_it_was(tape: Tape, client: holdfast.Client) -> None:
    with Server(replies(head(204, reason=""), response(404, b"no"))) as server:
        url = server.url("/")
        with tape.use():
            client.delete(url)
            client.get(url)
    with tape.use():
        gone, missing = client.delete(url), client.get(url)

    assert (gone.status_code, gone.reason, gone.content) == (204, "", b"")
    with pytest.raises(holdfast.HTTPError, match="404"):
        missing.raise_for_status()


def test_a_body_that_breaks_off_is_its_own_error_and_not_recorded(tape: Tape, client: holdfast.Client) -> None:
    whole = ok(b"0123456789")

    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(whole[:-3])

    with Server(script) as server, tape.use() as cassette:
        with pytest.raises(holdfast.RequestException, match="7 of 10 bytes"):
            client.get(server.url("/"))
        assert len(cassette) == 0
    assert client.stats().active == 0


def test_a_failure_is_not_recorded(tape: Tape, client: holdfast.Client) -> None:
    with Server() as server:
        url = server.url("/")
    with tape.use() as cassette, pytest.raises(holdfast.ConnectionError):
        client.get(url)

    assert len(cassette) == 0


def test_a_cassette_of_another_client_is_played(tape: Tape, client: holdfast.Client) -> None:
    tape.path.write_text(
        """
interactions:
- request: {body: null, headers: {Accept: ['*/*']}, method: GET, uri: 'http://elsewhere.invalid/'}
  response:
    body: {string: text}
    headers: {Content-Type: text/plain, Set-Cookie: [a=1]}
    status: {code: 200, message: null}
version: 1
"""
    )
    with tape.use():
        played = client.get("http://elsewhere.invalid/")

    assert (played.text, played.reason, played.headers["content-type"], played.cookies["a"]) == ("text", "", "text/plain", "1")


def test_a_cassette_that_was_written_by_hand_is_played(tape: Tape, client: holdfast.Client) -> None:
    tape.path.write_text(
        """
interactions:
- request: {body: null, headers: {}, method: GET, uri: 'http://elsewhere.invalid/'}
  response:
    body: {string: text}
    headers: {Content-Length: 4, X-Numbers: [1, 2], X-Name: [\u2603], X-Bytes: !!binary aGVs, X-Pieces: [!!binary bG8=]}
    status: {code: 200, message: \u2603}
version: 1
""",
        encoding="utf-8",
    )
    with tape.use():
        played = client.get("http://elsewhere.invalid/")

    assert (played.text, played.headers["content-length"], played.headers["x-numbers"]) == ("text", "4", "1, 2")
    assert (played.headers["x-bytes"], played.headers["x-pieces"]) == ("hel", "lo")
    assert played.headers["x-name"].encode("latin-1").decode() == played.reason.encode("latin-1").decode() == "\u2603"


def test_without_a_cassette_all_is_as_before(tape: Tape, client: holdfast.Client) -> None:
    before = Transport.send
    with Server(echo) as server:
        with tape.use():
            assert Transport.send is not before  # a class that is called as a method
        client.get(server.url("/"))

    assert Transport.send is before
    assert not tape.path.exists()

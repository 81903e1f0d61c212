"""What an adapter raises has what scripts written for requests look for: classes, and urllib3's error as the first argument."""

from __future__ import annotations

import errno
import pickle
import socket
from collections.abc import Callable
from typing import Any

import pytest
import urllib3

from holdfast import requests
from tests.server import Conn, Server


@pytest.fixture
def session() -> Any:
    with requests.Session() as made:
        made.trust_env = False
        yield made


def failing(session: Any, script: Callable[[Conn], None], **kwargs: Any) -> Any:
    with Server([script] * 3) as server, pytest.raises(requests.RequestException) as caught:
        session.post(server.url("/x"), data=b"1", **kwargs)
    return caught.value


def closing(conn: Conn) -> None:
    conn.expect_request()


def silent(conn: Conn) -> None:
    conn.expect_request()
    conn.wait_closed()


def answering(answer: bytes) -> Callable[[Conn], None]:
    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(answer)

    return script


def refused(session: Any) -> Any:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(requests.ConnectionError) as caught:
        session.get(f"http://127.0.0.1:{port}/x")
    return caught.value


def test_a_refused_connection_has_the_max_retry_error_and_its_reason(session: Any) -> None:
    error = refused(session)

    assert isinstance(error.args[0], urllib3.exceptions.MaxRetryError)
    assert isinstance(error.args[0].reason, urllib3.exceptions.NewConnectionError)
    assert "Max retries exceeded with url: /x" in error.args[0].args[0]
    assert str(error) == str(error.args[0])
    assert "refused" in str(error)


def test_a_handshake_that_took_too_long_says_so_as_the_reason(session: Any) -> None:
    def mute(conn: Conn) -> None:
        conn.wait_closed()

    with Server([mute]) as server:
        url = server.url().replace("http:", "https:")
        with pytest.raises(requests.exceptions.ConnectTimeout) as caught:
            session.get(url, timeout=(0.05, 1))

    assert isinstance(caught.value.args[0].reason, urllib3.exceptions.ConnectTimeoutError)


def test_a_name_that_is_not_known_has_the_resolver_s_error(session: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(requests.ConnectionError) as caught:
        session.get("http://nowhere.example/")

    assert isinstance(caught.value.args[0].reason, urllib3.exceptions.NameResolutionError)


def test_a_read_that_took_too_long_has_urllib3s_words(session: Any) -> None:
    error = failing(session, silent, timeout=0.05)

    assert isinstance(error, requests.ReadTimeout)
    assert isinstance(error.args[0], urllib3.exceptions.ReadTimeoutError)
    assert "Read timed out" in error.args[0].args[0]
    assert "timeouts.read=0.05" in str(error)


def test_a_lost_connection_has_a_protocol_error_with_what_the_socket_said(session: Any) -> None:
    error = failing(session, closing)

    first = error.args[0]
    assert isinstance(first, urllib3.exceptions.ProtocolError)
    assert first.args[0] == "Connection aborted."
    assert "Remote end closed connection" in str(first.args[1])


def test_a_reset_is_told_with_its_number(session: Any) -> None:
    def resetting(conn: Conn) -> None:
        conn.expect_request()
        conn.rst()

    error = failing(session, resetting)

    assert isinstance(error.args[0].args[1], ConnectionResetError)
    assert error.args[0].args[1].errno == errno.ECONNRESET


def test_a_server_that_speaks_no_tls_has_an_ssl_error_as_the_reason(session: Any) -> None:
    def plain(conn: Conn) -> None:
        conn.send(b"HTTP/1.1 400 Bad\r\n\r\n")
        conn.wait_closed()

    with Server([plain]) as server, pytest.raises(requests.exceptions.SSLError) as caught:
        session.get(server.url().replace("http:", "https:"))

    assert isinstance(caught.value.args[0].reason, urllib3.exceptions.SSLError)


def test_a_proxy_that_refuses_is_the_reason(session: Any) -> None:
    refusing = answering(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")
    with Server([refusing]) as proxy, pytest.raises(requests.exceptions.ProxyError) as caught:
        session.get("https://host.example/", proxies={"https": proxy.url()})

    assert isinstance(caught.value.args[0].reason, urllib3.exceptions.ProxyError)


def test_lengths_that_differ_are_an_invalid_header_and_no_http(session: Any) -> None:
    error = failing(session, answering(b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\nContent-Length: 32\r\n\r\n"))

    assert isinstance(error, requests.exceptions.InvalidHeader)
    assert isinstance(error, requests.exceptions.ConnectionError)


def test_a_head_that_was_cut_short_is_damage_to_the_body_s_framing_too(session: Any) -> None:
    error = failing(session, answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"))
    assert error.may_have_executed

    assert isinstance(error, requests.exceptions.ChunkedEncodingError)
    assert isinstance(error, requests.exceptions.ConnectionError)


def test_an_error_survives_pickling_with_its_text(session: Any) -> None:
    error = refused(session)
    again = pickle.loads(pickle.dumps(error))

    assert (type(again), str(again)) == (type(error), str(error))
    assert isinstance(again.args[0], urllib3.exceptions.MaxRetryError)


def test_what_is_no_failure_of_the_network_keeps_its_text_as_its_argument(session: Any) -> None:
    with pytest.raises(requests.exceptions.InvalidHeader) as caught:
        session.get("http://127.0.0.1:1/", headers={"X": "a\nb"})

    assert isinstance(caught.value.args[0], str)


def test_a_length_that_is_none_is_refused_when_it_would_be_sent_and_not_before(session: Any) -> None:
    with Server() as server:
        prepared = requests.Request("POST", server.url(), headers={"Content-Length": "not zero"}).prepare()
        assert prepared.headers["Content-Length"] == "not zero"
        with pytest.raises(requests.exceptions.RequestException, match="decimal number"):
            session.send(prepared)
        assert server.connections == 0

        prepared.headers["Content-Length"] = "0"
        assert session.send(prepared).status_code == 200

"""What a proxy's URL means, and every answer a proxy can give to CONNECT, on real sockets."""

from __future__ import annotations

import pickle
import socket
import time
from collections.abc import Callable
from typing import Any

import h11
import pytest

from holdfast.exceptions import (
    ConnectTimeout,
    InvalidProxyURL,
    InvalidRequest,
    InvalidSchema,
    ProxyError,
)
from holdfast.message.request import basic_authorization
from holdfast.message.url import Url
from holdfast.wire.http1 import Http1Connection
from holdfast.wire.proxy import Proxy, Refused, authority, connect_fields, open_tunnel, parse_proxy, unreachable
from holdfast.wire.stream import SocketStream
from tests.server import Conn, Script, Server

BASIC = "Basic dXNlcjpzM2NyM3Q="  # user:s3cr3t
SECRETS = ("s3cr3t", "s3cr", "dXNlcjpzM2NyM3Q")


# -- URLs --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://proxy:3128", Proxy("proxy", 3128)),
        ("http://proxy", Proxy("proxy", 80)),
        ("HTTP://Proxy:3128/", Proxy("proxy", 3128)),
        ("proxy:3128", Proxy("proxy", 3128)),
        ("proxy", Proxy("proxy", 80)),
        ("//proxy:3128", Proxy("proxy", 3128)),
        (" http://proxy:3128\n", Proxy("proxy", 3128)),
        (b"http://proxy:3128", Proxy("proxy", 3128)),
        (Url.parse("http://proxy:3128"), Proxy("proxy", 3128)),
        ("http://[::1]:3128", Proxy("::1", 3128)),
        ("http://user:s3cr3t@proxy:3128", Proxy("proxy", 3128, BASIC)),
        ("user:s3cr3t@proxy:3128", Proxy("proxy", 3128, BASIC)),
        ("http://us%65r:s3cr%33t@proxy:3128", Proxy("proxy", 3128, BASIC)),
        ("http://user:p@ss@proxy:3128", Proxy("proxy", 3128, "Basic dXNlcjpwQHNz")),
        ("user:p@ss@proxy", Proxy("proxy", 80, "Basic dXNlcjpwQHNz")),
        ("http://user:@proxy", Proxy("proxy", 80, "Basic dXNlcjo=")),
        ("http://user@proxy", Proxy("proxy", 80)),
        ("http://:s3cr3t@proxy", Proxy("proxy", 80)),
        ("http://@proxy", Proxy("proxy", 80)),
    ],
)
def test_a_proxy_is_host_port_and_credentials(text: Any, expected: Proxy) -> None:
    assert parse_proxy(text) == expected


def test_a_kind_of_proxy_that_is_not_known_is_an_invalid_schema_that_names_those_that_are() -> None:
    with pytest.raises(InvalidProxyURL, match="known are http://, https://, socks4://") as caught:
        parse_proxy("ftp://user:s3cr3t@proxy:1080")

    assert isinstance(caught.value, InvalidSchema)
    assert not any(secret in str(caught.value) for secret in SECRETS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://proxy", Proxy("proxy", 443, scheme="https")),
        ("https://proxy:80", Proxy("proxy", 80, scheme="https")),
        ("http://proxy:443", Proxy("proxy", 443)),
        ("https://user:s3cr3t@proxy:3129", Proxy("proxy", 3129, BASIC, "https")),
        ("socks5://proxy", Proxy("proxy", 1080, scheme="socks5")),
        ("SOCKS5H://proxy:80", Proxy("proxy", 80, scheme="socks5h")),
        ("socks4a://[::1]:443", Proxy("::1", 443, scheme="socks4a")),
        ("socks5://us%65r:s3cr%33t@proxy", Proxy("proxy", 1080, None, "socks5", (b"user", b"s3cr3t"))),
        ("socks5://%C3%A9:%C3%A9@proxy", Proxy("proxy", 1080, None, "socks5", ("é".encode(), "é".encode()))),
        ("socks5://user@proxy", Proxy("proxy", 1080, scheme="socks5")),
        ("socks5://user:@proxy", Proxy("proxy", 1080, None, "socks5", (b"user", b""))),
        ("socks4://user@proxy", Proxy("proxy", 1080, None, "socks4", (b"user", b""))),
    ],
)
def test_every_kind_of_proxy_has_its_default_port_and_its_credentials(text: str, expected: Proxy) -> None:
    assert parse_proxy(text) == expected
    assert "s3cr3t" not in repr(parse_proxy(text))
    assert str(parse_proxy(text)).startswith(expected.scheme + "://")


@pytest.mark.parametrize(
    ("text", "password"),
    [
        ("http://user:p@ss@proxy:3128", "p@ss"),
        ("user:p@ss@proxy:3128", "p@ss"),
        ("http://user:@@@proxy:3128", "@@"),
        ("http://user:p%40@s@proxy:3128/@path", "p@@s"),
    ],
)
def test_of_several_at_signs_the_last_one_counts_as_in_requests(text: str, password: str) -> None:
    assert parse_proxy(text) == Proxy("proxy", 3128, basic_authorization("user", password))


@pytest.mark.parametrize("text", [f"socks5://u:{'x' * 256}@proxy", f"socks5://{'x' * 256}:p@proxy", "socks4://a%00b@proxy"])
def test_credentials_that_socks_cannot_carry_are_refused_without_being_shown(text: str) -> None:
    with pytest.raises(InvalidProxyURL, match="at most 255 bytes") as caught:
        parse_proxy(text)

    assert "xxx" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://",
        "http://:3128",
        "http://proxy:port",
        "http://proxy:99999",
        "http://user:s3cr3t@proxy:port",
        "http://user:s3cr3t@",
        "http://user:s3cr/t@proxy:3128",
        "http://user:s3cr#t@proxy:3128",
        "http://user:s3cr@t@proxy:port",
        "http://us%3Aer:s3cr3t@proxy:3128",
        "http://user:s3cr3t%0D%0A@proxy:3128",
        "http://user:s3cr3t\r\n@proxy:3128",
        "http://proxy\r\nX: y:3128",
        "ftp://user:s3cr3t@proxy",
        "user:s3cr3t://proxy",
        "http://pro xy",
        3128,
        True,
    ],
)
def test_what_is_no_proxy_is_refused_and_no_password_is_shown(text: Any) -> None:
    with pytest.raises(InvalidProxyURL) as caught:
        parse_proxy(text)

    assert isinstance(caught.value, ValueError)
    assert not any(secret in str(caught.value) for secret in SECRETS)
    assert caught.value.__cause__ is None


def test_neither_repr_nor_str_of_a_proxy_shows_credentials() -> None:
    proxy = parse_proxy("http://user:s3cr3t@proxy:3128")

    assert str(proxy) == "http://proxy:3128"
    assert repr(proxy) == "<Proxy http://proxy:3128 with credentials>"
    assert (str(parse_proxy("[::1]:8")), repr(parse_proxy("[::1]:8"))) == ("http://[::1]:8", "<Proxy http://[::1]:8>")


def test_credentials_of_the_url_are_not_overruled() -> None:
    plain, known = parse_proxy("http://proxy"), parse_proxy("http://user:s3cr3t@proxy")

    assert known.with_authorization("Basic x") is known
    assert plain.with_authorization(None) is plain
    assert plain.with_authorization("Basic x") == Proxy("proxy", 80, "Basic x")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("example.com", b"example.com:443"),
        ("192.0.2.7", b"192.0.2.7:443"),
        ("::1", b"[::1]:443"),
        ("fe80::1%eth0", b"[fe80::1]:443"),
    ],
)
def test_a_tunnel_is_asked_for_by_host_and_port(host: str, expected: bytes) -> None:
    assert authority(host, 443) == expected


@pytest.mark.parametrize("host", ["a\r\nX: y", "a\nb", "a b", "a\0", "a/b", "a@b", "ä.test", "", "[::1]", "a\x7f"])
def test_a_host_that_would_break_the_request_line_is_never_asked_for(host: str) -> None:
    with pytest.raises(InvalidRequest, match="cannot be asked of a proxy"):
        authority(host, 443)


# -- CONNECT -----------------------------------------------------------------------------------------------------------


pytestmark = pytest.mark.usefixtures("no_leaks")

TARGET = b"origin.test:443"
PROXY = Proxy("proxy", 3128)


def tunnel(script: Script, *, proxy: Proxy = PROXY, seconds: float | None = 5.0) -> socket.socket:
    """A socket behind an open tunnel through a proxy that follows ``script``."""
    with Server(script) as server:
        return tunnel_to(server, proxy, seconds)


def tunnel_to(server: Server, proxy: Proxy, seconds: float | None) -> socket.socket:
    sock = socket.create_connection(server.address)
    try:
        request = h11.Request(method="CONNECT", target=TARGET, headers=connect_fields(TARGET, proxy))
        until = None if seconds is None else time.monotonic() + seconds
        open_tunnel(Http1Connection(SocketStream(sock)), request, TARGET, proxy, until)
    except BaseException:
        sock.close()
        raise
    return sock


def says(*pieces: bytes) -> Script:
    """A proxy that answers a CONNECT with these pieces and keeps the connection."""

    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(*pieces)
        conn.wait_closed()

    return script


def says_and_leaves(*pieces: bytes) -> Script:
    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(*pieces)

    return script


OPEN = b"HTTP/1.1 200 Connection established\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        OPEN,
        b"HTTP/1.0 200 OK\r\n\r\n",
        b"HTTP/1.1 200\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 299 Fine\r\nProxy-Agent: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + OPEN,
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 3 + OPEN,
    ],
)
def test_any_2xx_opens_the_tunnel_and_of_its_fields_none_matters(answer: bytes) -> None:
    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(answer)
        assert conn.read_exactly(5) == b"hello"
        conn.send(b"world")
        conn.wait_closed()

    with Server(script) as server:
        sock = tunnel_to(server, PROXY, 5.0)
        sock.setblocking(True)
        with sock:
            sock.sendall(b"hello")
            assert sock.recv(10) == b"world"


def test_an_answer_may_come_byte_by_byte() -> None:
    with tunnel(says(*(bytes([byte]) for byte in OPEN))) as sock:
        assert sock.fileno() != -1, "a socket that is open, not a refusal"


def test_what_is_asked_is_host_port_and_what_is_for_the_proxy() -> None:
    with Server(says(OPEN)) as server:
        tunnel_to(server, Proxy("proxy", 3128, BASIC), None).close()

    head = f"CONNECT origin.test:443 HTTP/1.1\r\nHost: origin.test:443\r\nProxy-Authorization: {BASIC}\r\n\r\n"
    assert server.requests[0].head == head.encode()


REFUSALS: list[tuple[bytes, int, str]] = [
    (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nnot there", 403, "403 'Forbidden', b'not there'"),
    (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", 502, "502 'Bad Gateway'"),
    (b"HTTP/1.0 503 Busy\r\n\r\nuntil the end", 503, "503 'Busy', b'until the end'"),
    (b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", 500, "b'abcde'"),
    (b"HTTP/1.1 302 Found\r\nLocation: http://login/\r\nContent-Length: 0\r\n\r\n", 302, "302 'Found'"),
    (b"HTTP/1.1 404 \xe9\r\nContent-Length: 3\r\n\r\n\x00\r\n", 404, r"404 'é', b'\x00\r\n'"),
    (b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 500, "500 'No'"),
    (b"HTTP/1.1 500 No\r\nContent-Length: 900\r\n\r\n" + b"x" * 900, 500, f"b'{'x' * 100}'"),
    (b"HTTP/1.1 500 No\r\nContent-Length: 900\r\n\r\ncut sh", 500, "b'cut sh'"),
    (b"HTTP/1.1 503 No\r\nX-Squid-Error: ERR_X 111\r\n\r\n<!DOC", 503, "X-Squid-Error: 'ERR_X 111', b'<!DOC'"),
]


@pytest.mark.parametrize(("answer", "status", "shown"), REFUSALS)
def test_a_refusal_is_shown_with_its_status_and_the_beginning_of_its_body(
    answer: bytes, status: int, shown: str
) -> None:
    with pytest.raises(ProxyError) as caught:
        tunnel(says_and_leaves(answer))

    assert isinstance(caught.value, Refused)
    assert caught.value.status_code == status
    assert str(caught.value).startswith("the proxy http://proxy:3128 refused the tunnel to origin.test:443: ")
    assert shown in str(caught.value)
    assert "x" * 101 not in str(caught.value)
    assert caught.value.never_connected


def test_407_says_where_credentials_go_or_that_they_are_wrong() -> None:
    answer = b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n"
    with pytest.raises(ProxyError, match="Give credentials in its URL"):
        tunnel(says(answer))
    with pytest.raises(ProxyError, match="does not accept these credentials") as caught:
        tunnel(says(answer), proxy=Proxy("proxy", 3128, BASIC))

    assert not any(secret in str(caught.value) for secret in SECRETS)


def test_a_refusal_survives_pickling() -> None:
    with pytest.raises(ProxyError) as caught:
        tunnel(says_and_leaves(REFUSALS[0][0]))
    copy = pickle.loads(pickle.dumps(caught.value))

    assert (str(copy), copy.status_code) == (str(caught.value), 403)


def test_a_body_that_does_not_come_does_not_hold_up_the_refusal() -> None:
    started = time.monotonic()
    with pytest.raises(ProxyError, match="403"):
        tunnel(says(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\n"), seconds=None)

    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (says(OPEN + b"HTTP/1.1 200 OK\r\n\r\n"), "sent bytes of its own"),
        (says(OPEN + b"\x16"), "sent bytes of its own"),
        (says(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), "sent bytes of its own"),
        (says_and_leaves(OPEN + b"x"), "sent bytes of its own"),
        (says(b"SSH-2.0-OpenSSH\r\n"), "not HTTP/1.1"),
        (says(b"HTTP/2 200\r\n\r\n"), "HTTP/"),
        (says(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"), "not HTTP/1.1"),
        (says(b"HTTP/1.1 100 Continue\r\n\r\n" * 40), "informational"),
        (says(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 300 + b"\r\n"), "300 header fields"),
        (says(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000), "too long|exceeds"),
        (says_and_leaves(b""), "closed"),
        (says_and_leaves(b"HTTP/1.1 200 OK\r\nX-Half: "), "head"),
        (lambda conn: conn.rst(), "http://proxy:3128"),
    ],
)
def test_what_is_no_clean_answer_opens_no_tunnel(script: Callable[[Conn], None], words: str) -> None:
    with pytest.raises(ProxyError, match=words) as caught:
        tunnel(script)

    assert "http://proxy:3128" in str(caught.value)
    assert "origin.test:443" in str(caught.value)


def drip(conn: Conn) -> None:
    """One field after the other, never the end: every wait is short, the whole is not."""
    conn.expect_request()
    conn.send(b"HTTP/1.1 200 OK\r\n")
    while not conn.closed:
        conn.send(b"X: y\r\n")
        if conn.sock.gettimeout() is None:
            conn.sock.settimeout(0.01)
        try:
            if not conn.sock.recv(1):
                return
        except TimeoutError:
            continue


@pytest.mark.parametrize("script", [says(), says(b"HTTP/1.1 2"), says(b"HTTP/1.1 100 Continue\r\n\r\n"), drip])
def test_a_proxy_that_does_not_answer_in_time_is_a_connect_timeout(script: Script) -> None:
    started = time.monotonic()
    with pytest.raises(ConnectTimeout, match=r"did not open the tunnel to origin\.test:443 within 0\.\d\d s"):
        tunnel(script, seconds=0.15)

    assert 0.1 < time.monotonic() - started < 1


def test_nothing_is_asked_when_no_time_is_left() -> None:
    with Server(lambda conn: conn.wait_closed()) as server:
        with pytest.raises(ConnectTimeout):
            tunnel_to(server, PROXY, 0.0)
        server.wait_idle()

    assert server.requests == []


def test_a_proxy_that_is_not_there_is_a_proxy_error_and_one_that_is_late_a_timeout() -> None:
    proxy = parse_proxy("http://user:s3cr3t@proxy:3128")
    refused, late = unreachable(proxy, ProxyError("refused")), unreachable(proxy, ConnectTimeout("late"))

    assert (type(refused).__mro__[1], type(late)) == (ProxyError, ConnectTimeout)
    assert str(refused) == "the proxy http://proxy:3128 cannot be reached: refused"

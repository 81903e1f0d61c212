"""Every answer a SOCKS proxy can give, on real sockets: whole, byte by byte, glued, cut, late, none at all."""

from __future__ import annotations

import pickle
import socket
import sys
import time
from collections.abc import Callable

import pytest

from holdfast.exceptions import ConnectionError as HoldfastConnectionError
from holdfast.exceptions import ConnectTimeout, InvalidRequest, InvalidSchema, ProxyError
from holdfast.wire import socks
from holdfast.wire.proxy import Proxy, parse_proxy
from holdfast.wire.stream import SocketStream
from tests.server import Conn, Script, Server

pytestmark = pytest.mark.usefixtures("no_leaks")

SECRET = "s3cr3t"
OK5 = b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"
OK4 = b"\x00\x5a\x00\x50\x7f\x00\x00\x01"
NO_LOGIN, PASSWORD = b"\x05\x00", b"\x05\x02"
ASK_NAME = b"\x05\x01\x00\x03\x0borigin.test\x01\xbb"
ASK_IPV4 = b"\x05\x01\x00\x01\xc0\x00\x02\x07\x01\xbb"
ASK_IPV6 = b"\x05\x01\x00\x04" + b"\x20\x01\x0d\xb8" + b"\x00" * 11 + b"\x07\x01\xbb"
LOG_IN = b"\x01\x04user\x06s3cr3t"


def proxy(scheme: str, userinfo: str = "") -> Proxy:
    return parse_proxy(f"{scheme}://{userinfo}proxy:1080")


WITH, WITHOUT = proxy("socks5h", "user:s3cr3t@"), proxy("socks5h")


def says(*talk: tuple[int, bytes] | bytes, leave: bool = False, bytewise: bool = False) -> Script:
    """Read so many bytes, then say this; ...; then keep the connection, or leave."""

    def script(conn: Conn) -> None:
        for step in talk:
            size, answer = step if isinstance(step, tuple) else (0, step)
            assert conn.read_exactly(size) is not None
            conn.send(*([bytes([byte]) for byte in answer] if bytewise else [answer]))
        if not leave:
            conn.wait_closed()

    return script


def through(server: Server, by: Proxy, host: str = "origin.test", port: int = 443, seconds: float | None = 5.0) -> socket.socket:
    sock = socket.create_connection(server.address)
    try:
        until = None if seconds is None else time.monotonic() + seconds
        socks.open_tunnel(SocketStream(sock), by, host, port, until, time.monotonic)
    except BaseException:
        sock.close()
        raise
    return sock


def tunnel(script: Script, by: Proxy = WITHOUT, host: str = "origin.test", seconds: float | None = 5.0) -> socket.socket:
    with Server(script) as server:
        return through(server, by, host, seconds=seconds)


# -- what is asked -----------------------------------------------------------------------------------------------------

ASKED: list[tuple[Proxy, str, list[tuple[bytes, bytes]]]] = [
    (WITHOUT, "origin.test", [(b"\x05\x01\x00", NO_LOGIN), (ASK_NAME, OK5)]),
    (WITHOUT, "192.0.2.7", [(b"\x05\x01\x00", NO_LOGIN), (ASK_IPV4, OK5)]),
    (WITHOUT, "2001:db8::7", [(b"\x05\x01\x00", NO_LOGIN), (ASK_IPV6, OK5)]),
    (proxy("socks5"), "192.0.2.7", [(b"\x05\x01\x00", NO_LOGIN), (ASK_IPV4, OK5)]),
    (WITH, "origin.test", [(b"\x05\x02\x00\x02", PASSWORD), (LOG_IN, b"\x01\x00"), (ASK_NAME, OK5)]),
    (WITH, "origin.test", [(b"\x05\x02\x00\x02", PASSWORD), (LOG_IN, b"\x05\x00"), (ASK_NAME, OK5)]),
    (WITH, "origin.test", [(b"\x05\x02\x00\x02", NO_LOGIN), (ASK_NAME, OK5)]),
    (proxy("socks4"), "192.0.2.7", [(b"\x04\x01\x01\xbb\xc0\x00\x02\x07\x00", OK4)]),
    (proxy("socks4", "user@"), "192.0.2.7", [(b"\x04\x01\x01\xbb\xc0\x00\x02\x07user\x00", OK4)]),
    (proxy("socks4a", "user:s3cr3t@"), "192.0.2.7", [(b"\x04\x01\x01\xbb\xc0\x00\x02\x07user\x00", OK4)]),
    (proxy("socks4a", "user@"), "origin.test", [(b"\x04\x01\x01\xbb\x00\x00\x00\xffuser\x00origin.test\x00", OK4)]),
    (proxy("socks4a"), "origin.test", [(b"\x04\x01\x01\xbb\x00\x00\x00\xff\x00origin.test\x00", OK4)]),
]


@pytest.mark.parametrize("bytewise", [False, True])
@pytest.mark.parametrize(("by", "host", "talk"), ASKED)
def test_what_is_asked_is_what_the_protocols_say_and_what_comes_next_is_the_server_s(
    by: Proxy, host: str, talk: list[tuple[bytes, bytes]], bytewise: bool
) -> None:
    def script(conn: Conn) -> None:
        for asked, answer in talk:
            assert conn.read_exactly(len(asked)) == asked
            conn.send(*([bytes([byte]) for byte in answer] if bytewise else [answer]))
        assert conn.read_exactly(5) == b"hello"
        conn.send(b"world")
        conn.wait_closed()

    with Server(script) as server, through(server, by, host) as sock:
        sock.setblocking(True)
        sock.sendall(b"hello")
        assert sock.recv(10) == b"world"


@pytest.mark.parametrize(
    "reply", [OK5, b"\x05\x00\x00\x04" + b"\x00" * 18, b"\x05\x00\x00\x03\x03abc\x00\x50", b"\x05\x00\x00\x03\x00\x00\x50"]
)
def test_a_reply_may_name_any_kind_of_address_and_be_cut_anywhere(reply: bytes) -> None:
    for cut in range(1, len(reply)):

        def script(conn: Conn, cut: int = cut) -> None:
            conn.read_exactly(3)
            conn.send(NO_LOGIN)
            conn.read_exactly(len(ASK_NAME))
            conn.send(reply[:cut], reply[cut:])
            conn.wait_closed()

        tunnel(script, seconds=None).close()


# -- whose addresses ---------------------------------------------------------------------------------------------------


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is asked of the resolver; origin.test has two IPv6 addresses, an IPv4 one in between by RFC 8305."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, *rest: object) -> list[object]:
        asked.append(host)
        if host == "nowhere.test":
            raise socket.gaierror(-2, "Name or service not known")
        found = {"six.test": ["2001:db8::1"]}.get(host, ["2001:db8::1", "2001:db8::2", "192.0.2.7"])
        return [(socket.AF_INET6 if ":" in text else socket.AF_INET, socket.SOCK_STREAM, 6, "", (text, port)) for text in found]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def addresses(scheme: str, host: str = "origin.test") -> list[str]:
    return socks.addresses(proxy(scheme), host, 443, time.monotonic() + 5, time.monotonic)


def test_socks5_and_socks4_resolve_here_and_the_others_leave_the_name_to_the_proxy(names: list[str]) -> None:
    assert addresses("socks5h") == ["origin.test"]
    assert addresses("socks4a") == ["origin.test"]
    assert names == []
    assert addresses("socks5") == ["2001:db8::1", "192.0.2.7", "2001:db8::2"]
    assert addresses("socks4") == ["192.0.2.7"]
    assert names == ["origin.test"] * 2


def test_an_address_goes_to_the_proxy_as_it_is_without_its_zone(names: list[str]) -> None:
    assert addresses("socks5h", "fe80::1%eth0") == ["fe80::1"]


@pytest.mark.parametrize(("scheme", "host"), [("socks4", "six.test"), ("socks4a", "2001:db8::7")])
def test_socks4_knows_no_ipv6_and_says_so(names: list[str], scheme: str, host: str) -> None:
    with pytest.raises(ProxyError, match=f"the proxy {scheme}://proxy:1080 cannot be asked for 2001:db8.*SOCKS5 does"):
        addresses(scheme, host)


def test_a_name_that_has_no_address_here_may_have_one_at_the_proxy(names: list[str]) -> None:
    with pytest.raises(HoldfastConnectionError, match="socks5:// resolves here; socks5h:// has the proxy resolve"):
        addresses("socks5", "nowhere.test")


@pytest.mark.parametrize("host", ["a\0b", "a b", "a\r\nb", "ä.test", ""])
def test_a_host_that_would_break_out_of_its_field_is_never_asked_for(host: str) -> None:
    with pytest.raises(InvalidRequest):
        addresses("socks4a", host)


# -- what goes wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "words"), [(1, "general failure"), (2, "rules forbid"), (5, "refused"), (8, "kind of address"), (77, "no spec")]
)
@pytest.mark.parametrize("tail", [b"\x00\x01\x00\x00\x00\x00\x00\x00", b"\x00\x00", b""])
def test_a_refusal_is_told_in_words_with_its_number_even_if_it_is_cut_short(code: int, words: str, tail: bytes) -> None:
    reply = bytes([5, code]) + tail
    with pytest.raises(socks.SocksRefused, match=words) as caught:
        tunnel(says((3, NO_LOGIN), (len(ASK_NAME), reply), leave=True))

    assert str(caught.value).startswith("the proxy socks5h://proxy:1080 did not connect to origin.test:443: ")
    assert f"(reply {code})" in str(caught.value)
    assert caught.value.never_connected
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.reply_code, str(copy)) == (code, str(caught.value))


@pytest.mark.parametrize(("code", "words"), [(91, "rejected or failed"), (92, "identd"), (93, "another user")])
def test_a_refusal_of_socks4_is_told_in_words(code: int, words: str) -> None:
    with pytest.raises(socks.SocksRefused, match=words) as caught:
        tunnel(says((9, bytes([0, code, 0, 0, 0, 0, 0, 0]))), proxy("socks4"), "192.0.2.7")

    assert caught.value.reply_code == code


def test_which_refusals_may_be_the_address_s_fault() -> None:
    assert socks.SocksRefused(reply_code=4).may_be_the_address
    assert not socks.SocksRefused(reply_code=2).may_be_the_address


BROKEN: list[tuple[Proxy, Script, str]] = [
    (WITHOUT, says((3, b"\x05\xff")), r"wants credentials. Give them in its URL: socks5h://user:password@host:port"),
    (WITHOUT, says((3, b"\x05\xff\x00\x01")), "wants credentials"),
    (WITH, says((4, PASSWORD), (len(LOG_IN), b"\x01\x01\x00")), "does not accept these credentials"),
    (WITH, says((4, b"\x05\xff")), "neither by user name and password nor without"),
    (WITH, says((4, PASSWORD), (len(LOG_IN), b"\x01\x01")), r"does not accept these credentials \(checking user name"),
    (WITHOUT, says((3, PASSWORD)), r"was not offered \(0x02\)"),
    (WITHOUT, says((3, b"\x05\x01")), r"was not offered \(0x01\)"),
    (WITHOUT, says((3, b"HTTP/1.1 400 Bad Request\r\n\r\n")), "does not speak SOCKS5.*is it an http:// proxy"),
    (WITHOUT, says((3, b"\x00\x5b")), "does not speak SOCKS5"),
    (WITHOUT, says((3, NO_LOGIN), (18, b"\x04\x00\x00\x01")), "does not speak SOCKS5"),
    (proxy("socks4a"), says((21, b"\x05\x00")), "does not speak SOCKS4"),
    (WITHOUT, says((3, NO_LOGIN), (18, b"\x05\x00\x00\x09\x00\x00\x00\x00\x00\x00")), "a reply that is no SOCKS5"),
    (WITHOUT, says((3, NO_LOGIN), (18, b"\x05\x00\x00\x03\x02\xff\xff\x00\x50")), "a reply that is no SOCKS5"),
    (WITHOUT, says((3, NO_LOGIN + OK5)), "sent bytes of its own behind its reply"),
    (WITHOUT, says((3, NO_LOGIN), (18, OK5 + OK5)), "sent bytes of its own"),
    (WITHOUT, says((3, NO_LOGIN), (18, OK5 + b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\ninjected")), "sent bytes of its own"),
    (WITH, says((4, PASSWORD), (len(LOG_IN), b"\x01\x00" + OK5)), "sent bytes of its own"),
    (proxy("socks4a"), says((21, OK4 + b"x")), "sent bytes of its own"),
    (WITHOUT, says((3, b""), leave=True), r"closed the connection \(greeting it\)"),
    (WITHOUT, says((3, b"\x05"), leave=True), r"closed the connection after b'\\x05' \(greeting it\)"),
    (WITHOUT, says((3, NO_LOGIN), (18, OK5[:7]), leave=True), r"closed the connection after .*\(connecting to origin.test:443\)"),
    (proxy("socks4a"), says((21, OK4[:5]), leave=True), "closed the connection after"),
    (WITHOUT, lambda conn: conn.rst(), "broke the connection|closed the connection"),
]


@pytest.mark.parametrize(("by", "script", "words"), BROKEN)
def test_what_is_no_clean_answer_opens_no_tunnel_and_says_whose_fault_it_is(
    by: Proxy, script: Callable[[Conn], None], words: str
) -> None:
    with pytest.raises(ProxyError, match=words) as caught:
        tunnel(script, by)

    assert str(caught.value).startswith(f"the proxy {by.scheme}://proxy:1080 ")
    assert SECRET not in str(caught.value)


def drip(conn: Conn) -> None:
    """Each byte comes soon, the whole never."""
    conn.read_exactly(3)
    conn.send(NO_LOGIN)
    conn.read_exactly(18)
    conn.send(b"\x05\x00\x00\x03\xff")
    conn.sock.settimeout(0.01)
    while not conn.closed:
        conn.send(b"x")
        try:
            if not conn.sock.recv(1):
                return
        except TimeoutError:
            continue


@pytest.mark.parametrize(
    ("script", "step"),
    [(says(), "greeting it"), (says((3, b"\x05")), "greeting it"), (says((3, NO_LOGIN)), "connecting"), (drip, "connecting")],
)
def test_a_proxy_that_does_not_answer_in_time_is_a_connect_timeout_that_names_the_step(script: Script, step: str) -> None:
    started = time.monotonic()
    with pytest.raises(ConnectTimeout, match=rf"the proxy socks5h://proxy:1080 did not answer within 0\.\d\d s \({step}"):
        tunnel(script, seconds=0.15)

    assert 0.1 < time.monotonic() - started < 1


def test_nothing_is_asked_when_no_time_is_left() -> None:
    with Server(lambda conn: conn.wait_closed()) as server, pytest.raises(ConnectTimeout):
        through(server, WITHOUT, seconds=0.0)


def test_without_socksio_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)
    with pytest.raises(InvalidSchema, match=r"Missing dependencies for SOCKS support: pip install 'holdfast-http\[socks\]'"):
        socks.require()

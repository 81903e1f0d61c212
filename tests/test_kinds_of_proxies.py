"""Proxies other than plain HTTP ones, as a user of a Client meets them: SOCKS, and TLS to the proxy itself."""

from __future__ import annotations

import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import holdfast
from holdfast import Client, Limits, Retries, Timeouts, environment
from holdfast.wire.proxy import ProxyTlsError
from tests.conftest import Tls
from tests.server import Conn, Received, Script, Server, chunked, connect_proxy, head, ok, redirect, replies, response
from tests.support import free_port
from tests.test_proxies import NAMES, OPEN, basic, lines, network, said

OK5 = b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"
SECRET = "s3cr3t"


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, no_leaks: None) -> None:
    """None of the variables is set, whatever the machine has."""
    for name in (*environment._NAMES, "NETRC"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def client(tls: Tls) -> Iterator[Client]:
    with Client(verify=tls.ca_path) as made:
        yield made


def at(proxy: Server, scheme: str, userinfo: str = "") -> str:
    return f"{scheme}://{userinfo}{'@' if userinfo else ''}127.0.0.1:{proxy.port}"


# -- SOCKS -------------------------------------------------------------------------------------------------------------


class Socks:
    """A SOCKS5 proxy that stands at the other end of what it is asked for, too.

    Attributes:
        asked: (host, port, user or None) of each connection that it was asked for.
        codes: what it replies, by host; else 0.
    """

    def __init__(self, tls: Tls, answer: Callable[[Received], bytes] = said, **codes: int) -> None:
        self.context = tls.server_context(tls.ca.issue_cert(*NAMES))
        self.answer = answer
        self.codes = {host.replace("_", "."): code for host, code in codes.items()}
        self.asked: list[tuple[str, int, str | None]] = []

    def __call__(self, conn: Conn) -> None:
        user, is_known = self.log_in(conn)
        if not is_known:
            return
        _, _, _, kind = exactly(conn, 4)
        host = self.read_host(conn, kind)
        port = int.from_bytes(exactly(conn, 2), "big")
        self.asked.append((host, port, user))
        code = self.codes.get(host, 0)
        conn.send(bytes([5, code]) + OK5[2:])
        if code:
            return
        if port in (443, 444):
            conn.start_tls(self.context)
        for request in conn.read_requests():
            conn.send(self.answer(request))

    def log_in(self, conn: Conn) -> tuple[str | None, bool]:
        _, count = exactly(conn, 2)
        if 2 not in exactly(conn, count):
            conn.send(b"\x05\x00")
            return None, True
        conn.send(b"\x05\x02")
        user = exactly(conn, exactly(conn, 2)[1]).decode()
        password = exactly(conn, exactly(conn, 1)[0]).decode()
        conn.send(b"\x01\x00" if password == SECRET else b"\x01\x01")
        return user, password == SECRET

    def read_host(self, conn: Conn, kind: int) -> str:
        if kind == 3:
            return exactly(conn, exactly(conn, 1)[0]).decode()
        family, size = {1: (socket.AF_INET, 4), 4: (socket.AF_INET6, 16)}[kind]
        return socket.inet_ntop(family, exactly(conn, size))


def exactly(conn: Conn, size: int) -> bytes:
    data = conn.read_exactly(size)
    assert data is not None, f"the client left ({conn.ending})"
    return data


def test_http_and_https_go_through_socks_in_origin_form_over_connections_of_each_origin(tls: Tls, client: Client) -> None:
    socks = Socks(tls)
    with Server(socks) as proxy:
        client.proxies = {"all": at(proxy, "socks5h")}
        urls = ("http://origin.test/a?b=c", "https://origin.test/d", "http://other.test:81/")
        texts = [client.get(url).text for url in urls * 2]

        assert (proxy.connections, client.stats().created, client.stats().reused) == (3, 3, 3)
    assert texts[:3] == ["GET /a?b=c at origin.test", "GET /d at origin.test", "GET / at other.test:81"]
    assert socks.asked == [("origin.test", 80, None), ("origin.test", 443, None), ("other.test", 81, None)]


def test_bodies_go_through_socks_both_ways(tls: Tls, client: Client) -> None:
    with Server(Socks(tls, lambda request: ok(request.body))) as proxy:
        client.proxies = {"all": at(proxy, "socks5h")}
        for scheme in ("http", "https"):
            assert client.post(f"{scheme}://origin.test/", data=b"x" * 1_000_000).content == b"x" * 1_000_000
            assert client.post(f"{scheme}://origin.test/", data=iter([b"a", b"b"])).content == b"ab"


def test_socks5_resolves_here_and_goes_on_to_the_next_address_where_the_first_fails(
    tls: Tls, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, *rest: Any) -> Any:
        return [*real("::1", port, *rest), *real("127.0.0.7", port, *rest)] if host == "origin.test" else real(host, port, *rest)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    socks = Socks(tls)
    socks.codes["::1"] = 3
    with Server(socks) as proxy:
        assert client.get("http://origin.test/", proxies={"http": at(proxy, "socks5")}).status_code == 200
        socks.codes["127.0.0.7"] = 5
        with pytest.raises(holdfast.ProxyError, match=r"did not connect to 127\.0\.0\.7:443: the server refused .* \(reply 5\)"):
            client.get("https://origin.test/", proxies={"https": at(proxy, "socks5")})
        socks.codes["::1"] = 2  # forbidden is forbidden: no other address is tried
        with pytest.raises(holdfast.ProxyError, match="rules forbid"):
            client.get("https://origin.test/", proxies={"https": at(proxy, "socks5")})

    assert [host for host, _, _ in socks.asked] == ["::1", "127.0.0.7"] * 2 + ["::1"]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_credentials_for_socks_tell_connections_apart_and_are_shown_nowhere(tls: Tls, client: Client, scheme: str) -> None:
    socks = Socks(tls)
    with Server(socks) as proxy:
        answers = [
            client.get(f"{scheme}://origin.test/", proxies={scheme: at(proxy, "socks5h", userinfo)})
            for userinfo in (f"a:{SECRET}", f"b:{SECRET}", "", f"a:{SECRET}")
        ]
        with pytest.raises(holdfast.ProxyError, match="does not accept these credentials") as caught:
            client.get(f"{scheme}://origin.test/", proxies={scheme: at(proxy, "socks5h", "a:wr0ng")})

        assert proxy.connections == 4
        assert [user for _, _, user in socks.asked] == ["a", "b", None]
        route = client._routes.find(answers[0].request, True, None, {"all": at(proxy, "socks5h", f"a:{SECRET}")})
        shown = f"{client.stats()!r} {client!r} {answers!r} {route!r} {route} {caught.value}"
    assert "through the proxy socks5h://127.0.0.1" in shown
    assert SECRET not in shown
    assert "wr0ng" not in shown


def test_all_proxy_may_name_a_socks_proxy_and_no_proxy_goes_around_it(
    tls: Tls, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Server(Socks(tls)) as proxy, Server() as direct:
        monkeypatch.setenv("ALL_PROXY", at(proxy, "socks5h"))
        monkeypatch.setenv("no_proxy", "127.0.0.0/8")
        assert client.get("https://origin.test/").text == "GET / at origin.test"
        assert client.get("http://origin.test/").text == "GET / at origin.test"
        assert client.get(direct.url("/x")).json()["target"] == "/x"

        assert (proxy.connections, direct.connections) == (2, 1)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_what_is_meant_for_an_http_proxy_reaches_no_server_through_socks(tls: Tls, client: Client, scheme: str) -> None:
    with Server(Socks(tls)) as proxy:
        headers = {"Proxy-Authorization": basic("user", SECRET)}
        for _ in range(2):
            client.get(f"{scheme}://origin.test/", headers=headers, proxies={scheme: at(proxy, "socks5h")})

        assert proxy.connections == 1
    assert [request.get_all("Proxy-Authorization") for request in proxy.requests] == [[], []]


def test_each_hop_of_a_redirect_goes_by_socks_or_not_as_its_url_says(tls: Tls, client: Client) -> None:
    with Server() as direct, Server(Socks(tls, lambda request: redirect(direct.url("/c")))) as proxy:
        proxies = {"all": at(proxy, "socks5h"), "all://127.0.0.1": ""}
        assert client.get("https://origin.test/a", proxies=proxies).json()["target"] == "/c"


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("kind", ["socks5", "socks5h", "socks4", "socks4a"])
def test_a_socks_proxy_that_is_not_there_is_a_proxy_error_that_names_it_and_the_url(client: Client, kind: str, scheme: str) -> None:
    waits: list[float] = []
    with (
        Client(retries=Retries(attempts=1), sleep=waits.append) as patient,
        pytest.raises(
            holdfast.ProxyError, match=f"POST {scheme}://127.0.0.1/x.*the proxy {kind}://127.0.0.1:.*cannot be reached"
        ) as caught,
    ):
        patient.post(f"{scheme}://127.0.0.1/x", data=b"x", proxies={"all": f"{kind}://u:{SECRET}@127.0.0.1:{free_port()}"})

    assert SECRET not in str(caught.value)
    assert len(waits) == 1, "nothing was sent, so a POST may be tried again"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_silent_socks_proxy_is_a_connect_timeout_that_names_both(client: Client, scheme: str) -> None:
    with Server(lambda conn: conn.wait_closed()) as proxy:
        client.proxies = {"all": at(proxy, "socks5h")}
        with pytest.raises(holdfast.ConnectTimeout, match=f"{scheme}://origin.test/.*(the|through the) proxy socks5h://127"):
            client.get(f"{scheme}://origin.test/", timeout=Timeouts(connect=0.1))
        with pytest.raises(holdfast.TotalTimeout, match=f"{scheme}://origin.test/.*connecting.*the proxy socks5h://127"):
            client.get(f"{scheme}://origin.test/", timeout=Timeouts(total=0.1))


def test_without_socksio_nothing_is_sent(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)
    with Server() as server, pytest.raises(holdfast.InvalidSchema, match=r"pip install 'holdfast-http\[socks\]'"):
        client.get(server.url("/"), proxies={"all": at(server, "socks5")})

    assert server.connections == 0


def test_what_a_socks_proxy_injects_after_its_reply_is_no_response(tls: Tls, client: Client) -> None:
    """Late, so that it is not found with the reply: the connection is looked at before it is used."""
    injected = threading.Event()

    def script(conn: Conn) -> None:
        exactly(conn, 3)
        conn.send(b"\x05\x00")
        exactly(conn, 18)
        conn.send(OK5)
        conn.recv()
        conn.send(ok(b"injected"))
        injected.set()
        conn.wait_closed()

    with Server(script) as proxy, pytest.raises(holdfast.ConnectionError):
        client.get("https://origin.test/", proxies={"all": at(proxy, "socks5h")})
    assert injected.is_set()


# -- TLS to the proxy --------------------------------------------------------------------------------------------------


@pytest.fixture
def secure_proxy(tls: Tls) -> Iterator[Server]:
    """A proxy spoken to over TLS that relays tunnels to where they lead on this machine, and forwards nothing."""
    with Server(connect_proxy, tls=tls.server_context()) as running:
        yield running


def test_http_goes_over_tls_to_the_proxy_in_absolute_form(tls: Tls, client: Client) -> None:
    with Server(network(tls), tls=tls.server_context()) as proxy:
        client.proxies["http"] = at(proxy, "https", f"user:{SECRET}")
        texts = [client.get(url).text for url in ("http://origin.test/a", "http://other.test/b")]

        assert (proxy.connections, proxy.handshakes, client.stats().created) == (1, 1, 1)
    assert texts == ["GET http://origin.test/a at origin.test", "GET http://other.test/b at other.test"]
    assert [request.get("Proxy-Authorization") for request in proxy.requests] == [basic("user", SECRET)] * 2


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_https_goes_inside_tls_inside_the_tunnel_and_is_kept(
    tls: Tls, client: Client, secure_proxy: Server, version: ssl.TLSVersion
) -> None:
    with Server(tls=tls.server_context(maximum=version)) as server:
        client.proxies["https"] = at(secure_proxy, "https", f"user:{SECRET}")
        for size in (0, 1, 16_384, 300_000):
            for data in (b"x" * size, iter([b"x" * size])):
                answer = client.post(server.url("/a", host="localhost"), data=data)
                assert (answer.json()["target"], len(answer.json()["body"])) == ("/a", size)

        assert (secure_proxy.connections, server.connections, client.stats().created) == (1, 1, 1)
    (connect,) = secure_proxy.requests
    assert (connect.method, connect.get("Proxy-Authorization")) == ("CONNECT", basic("user", SECRET))


def test_large_bodies_come_whole_out_of_tls_in_tls(tls: Tls, client: Client, secure_proxy: Server) -> None:
    body = bytes(range(256)) * 20_000
    answers = (ok(body), chunked(*[body[at : at + 70_001] for at in range(0, len(body), 70_001)]), ok(b""))
    with Server(replies(*answers, *answers), tls=tls.server_context()) as server:
        client.proxies["https"] = at(secure_proxy, "https")
        got = [client.get(server.url("/", host="localhost")).content for _ in range(6)]

    assert got == [body, body, b""] * 2


def test_a_session_with_the_server_inside_is_resumed(tls: Tls, secure_proxy: Server) -> None:
    with Server(tls=tls.server_context()) as server:
        for _ in range(2):
            with Client(verify=tls.ca_path, proxies={"https": at(secure_proxy, "https")}) as client:
                client.get(server.url("/", host="localhost"))

        assert server.resumptions == 1


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_proxy_s_certificate_is_checked_as_the_origin_s_is(tls: Tls, scheme: str) -> None:
    with Server(network(tls), tls=tls.server_context()) as proxy, Client(proxies={"all": at(proxy, "https")}) as client:
        where = f"https://127.0.0.1:{proxy.port}"
        with pytest.raises(
            holdfast.ProxyError, match=f"{scheme}://origin.test/.*TLS with the proxy {where} failed: .*not valid"
        ) as caught:
            client.get(f"{scheme}://origin.test/")
        assert isinstance(caught.value, holdfast.SSLError)
        other_name = {"all": f"https://127.0.0.2:{proxy.port}"}
        with pytest.raises(holdfast.ProxyError, match=r"127\.0\.0\.2"):
            client.get(f"{scheme}://origin.test/", verify=tls.ca_path, proxies=other_name)
        assert client.get("http://origin.test/", verify=False).status_code == 200
        with pytest.raises(holdfast.ProxyError):  # a connection that was not verified serves no call that verifies
            client.get("http://origin.test/")

    assert [request.method for request in proxy.requests] == ["GET"]


def test_the_certificate_inside_is_checked_against_the_origin_and_is_not_the_proxy_s_fault(
    tls: Tls, client: Client, secure_proxy: Server
) -> None:
    identity = tls.ca.issue_cert("third.test")
    with Server(tls=tls.server_context(identity)) as server:
        client.proxies["https"] = at(secure_proxy, "https")
        with pytest.raises(
            holdfast.SSLError, match=rf"certificate of localhost:{server.port} is not valid.*through the proxy"
        ) as caught:
            client.get(server.url("/", host="localhost"))

        assert not isinstance(caught.value, holdfast.ProxyError)
        server.wait_for_handshakes(1)
        assert "ALERT" in str(server.handshake_errors[0]), "the server is told"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_plain_proxy_given_as_https_is_recognised(client: Client, scheme: str) -> None:
    def plain(conn: Conn) -> None:
        conn.recv()
        conn.send(response(400, b"Bad Request"))

    with Server(plain) as proxy, pytest.raises(holdfast.ProxyError, match=r"does not speak TLS.*Then write its URL with http://"):
        client.get(f"{scheme}://origin.test/", proxies={"all": at(proxy, "https")})


def test_a_refusal_inside_tls_is_told_as_any_other(tls: Tls, client: Client) -> None:
    with (
        Server(replies(response(403, b"no", reason="Filtered")), tls=tls.server_context()) as proxy,
        pytest.raises(holdfast.ProxyError, match=r"the proxy https://.* refused the tunnel .*403 'Filtered', b'no'"),
    ):
        client.get("https://origin.test/", proxies={"all": at(proxy, "https")})


def test_a_body_cut_inside_is_incomplete_whatever_the_proxy_s_tls_says(tls: Tls, client: Client, secure_proxy: Server) -> None:
    def cut(conn: Conn) -> None:
        conn.expect_request()
        conn.send(head(200) + b"half")
        conn.fin()  # without close_notify; the proxy says its own, outside
        conn.wait_closed()

    def whole(conn: Conn) -> None:
        conn.expect_request()
        conn.send(head(200) + b"whole")

    with Server([cut, whole], tls=tls.server_context()) as server:
        client.proxies["https"] = at(secure_proxy, "https")
        with pytest.raises(holdfast.IncompleteBody, match=r"closure alert.*through the proxy https://127"):
            client.get(server.url("/", host="localhost"))
        assert client.get(server.url("/", host="localhost")).text == "whole"


def test_a_tunnel_inside_that_was_closed_while_idle_is_replaced(tls: Tls, client: Client, secure_proxy: Server) -> None:
    gone = threading.Event()

    def once(conn: Conn) -> None:
        conn.expect_request()
        conn.send(ok(b"1"))
        conn.wait(gone)

    with Server([once, replies(ok(b"2"))], tls=tls.server_context()) as server:
        client.proxies["https"] = at(secure_proxy, "https")
        assert client.get(server.url("/", host="localhost")).text == "1"
        gone.set()
        secure_proxy.wait_idle()
        assert client.post(server.url("/", host="localhost")).text == "2"

        assert client.stats().closed == {"stale": 1}


def test_nothing_is_claimed_of_what_was_delivered_through_tls_in_tls(tls: Tls, client: Client, secure_proxy: Server) -> None:
    """The proxy acknowledges what the server never sees: a POST that meets the end of the connection may have been executed."""

    def dies(conn: Conn) -> None:
        conn.expect_request()
        conn.send(ok(b"1"))
        conn.expect_request()

    with Server(dies, tls=tls.server_context()) as server:
        client.proxies["https"] = at(secure_proxy, "https")
        client.get(server.url("/", host="localhost"))
        with pytest.raises(holdfast.ConnectionLost, match="through the proxy https://") as caught:
            client.post(server.url("/", host="localhost"))

    assert caught.value.may_have_executed


def test_a_handshake_inside_that_does_not_come_is_a_connect_timeout(tls: Tls, client: Client) -> None:
    def silent(conn: Conn) -> None:
        conn.expect_request()
        conn.send(OPEN)
        conn.wait_closed()

    with Server(silent, tls=tls.server_context()) as proxy:
        started = time.monotonic()
        with pytest.raises(holdfast.ConnectTimeout, match=r"handshake with origin.test|origin.test.*through the proxy"):
            client.get("https://origin.test/", proxies={"all": at(proxy, "https")}, timeout=Timeouts(connect=0.2))

        assert time.monotonic() - started < 1


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_tunnel_that_ends_right_after_its_200_is_the_proxy_s_failure(tls: Tls, client: Client, scheme: str) -> None:
    def ends(conn: Conn) -> None:
        conn.expect_request()
        conn.send(OPEN)

    context = tls.server_context() if scheme == "https" else None
    with (
        Server(ends, tls=context) as proxy,
        pytest.raises(holdfast.ProxyError, match=r"opened the tunnel to origin\.test:443 and ended it") as caught,
    ):
        client.post("https://origin.test/", proxies={"all": at(proxy, scheme)})

    assert isinstance(caught.value, ProxyTlsError)
    assert isinstance(caught.value, holdfast.SSLError)
    assert caught.value.never_connected
    assert f"the proxy {at(proxy, scheme)} " in str(caught.value)


def test_plaintext_inside_the_proxy_s_tls_never_becomes_a_response(tls: Tls, client: Client) -> None:
    def later(conn: Conn) -> None:
        conn.expect_request()
        conn.send(OPEN)
        conn.recv()
        conn.send(ok(b"injected"))
        conn.wait_closed()

    with Server(later, tls=tls.server_context()) as proxy, pytest.raises(holdfast.SSLError):
        client.get("https://origin.test/", proxies={"all": at(proxy, "https")})


def test_a_reader_inside_is_interrupted_when_the_client_is_closed(tls: Tls, secure_proxy: Server) -> None:
    def holds(conn: Conn) -> None:
        conn.expect_request()
        conn.send(head(200, "Content-Length: 10") + b"half")
        conn.wait_closed()

    with Server(holds, tls=tls.server_context()) as server:
        client = Client(verify=tls.ca_path, proxies={"https": at(secure_proxy, "https")})
        answer = client.get(server.url("/", host="localhost"), stream=True)
        pieces = answer.iter_content(4)
        assert next(pieces) == b"half"
        closer = threading.Timer(0.05, client.close)
        closer.start()
        with pytest.raises(holdfast.ClientClosed):
            next(pieces)
        closer.join()


def test_limits_hold_for_tunnels_inside_tls(tls: Tls, secure_proxy: Server) -> None:
    limits = Limits(max_connections_per_origin=1)
    with Server(tls=tls.server_context()) as server:
        with Client(verify=tls.ca_path, proxies={"all": at(secure_proxy, "https")}, limits=limits) as client:
            url = server.url("/", host="localhost")
            with client.get(url, stream=True), pytest.raises(holdfast.PoolTimeout):
                client.get(url, timeout=Timeouts(pool=0.05))
            assert client.get(url).status_code == 200
        assert server.connections == 1


# -- what an error says ------------------------------------------------------------------------------------------------


def silent_after(*pieces: bytes) -> Script:
    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(*pieces)
        conn.wait_closed()

    return script


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (silent_after(), holdfast.ReadTimeout),
        (silent_after(head(200, "Content-Length: 9") + b"half"), holdfast.BodyReadTimeout),
        (lambda conn: conn.expect_request() and None, holdfast.ConnectionLost),
        (lambda conn: conn.expect_request() and conn.send(head(200, "Content-Length: 9") + b"half"), holdfast.IncompleteBody),
        (silent_after(b"SSH-2.0-OpenSSH\r\n"), holdfast.RemoteProtocolError),
    ],
)
def test_every_error_of_a_forwarded_call_names_the_url_and_the_proxy(
    client: Client, script: Script, kind: type[holdfast.RequestException]
) -> None:
    with Server(script) as proxy, pytest.raises(kind) as caught:
        client.post(
            "http://me:pw@origin.test/a",
            proxies={"http": f"http://user:{SECRET}@127.0.0.1:{proxy.port}"},
            timeout=Timeouts(read=0.1),
        )

    assert "POST http://[secret]@origin.test/a" in str(caught.value)
    assert f"the proxy http://127.0.0.1:{proxy.port}" in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("ending", ["fin", "rst", "close"])
@pytest.mark.parametrize("size", [100_000, 3_000_000])
def test_an_early_413_behind_a_tunnel_is_read_however_the_connection_ends_after_it(
    tls: Tls, client: Client, ending: str, size: int
) -> None:
    context = tls.server_context(tls.ca.issue_cert(*NAMES))

    def refuses(conn: Conn) -> None:
        conn.expect_request()
        conn.send(OPEN)
        conn.start_tls(context)
        conn.read_head()
        conn.send(response(413, b"too large", "Connection: close"))
        getattr(conn, ending)()  # what is unread turns the close into a reset
        if ending == "fin":
            conn.wait_closed()

    with Server(refuses) as proxy:
        for _ in range(5):
            answer = client.post("https://origin.test/", data=b"x" * size, proxies={"https": at(proxy, "http")})

            assert (answer.status_code, answer.text) == (413, "too large")


def test_a_server_behind_socks_has_its_address_among_the_attributes_and_a_forwarding_proxy_its_name(
    tls: Tls, client: Client
) -> None:
    with Server(Socks(tls)) as socks, Server(network(tls)) as forwarding:
        client.get("http://origin.test/", proxies={"http": at(socks, "socks5h")})
        client.get("http://origin.test/", proxies={"http": at(forwarding, "http")})
        found = [dict(attributes) for attributes in client.stats().attributes]

    assert {"url.scheme": "http", "server.address": "origin.test", "server.port": 80} in found
    assert {"server.address": f"the proxy http://127.0.0.1:{forwarding.port}"} in found


# -- a 407 to a request with a body ------------------------------------------------------------------------------------


def refusing(conn: Conn) -> None:
    """squid: keep-alive, it says, and answers nothing more on a connection on which it has refused a body."""
    for request in conn.read_requests():
        if request.method == "POST":
            conn.send(response(407, b"", "Connection: keep-alive", "Proxy-Authenticate: Basic realm=x"))
            conn.wait_closed()
        else:
            conn.send(response(407, b"", "Connection: keep-alive", "Proxy-Authenticate: Basic realm=x"))


def test_after_a_407_to_a_body_the_connection_is_not_used_again(client: Client) -> None:
    with Server(refusing) as proxy:
        client.proxies = {"http": at(proxy, "http")}
        statuses = [
            client.request(method, "http://origin.test/", data=data).status_code
            for method, data in (("GET", None), ("POST", b"x"), ("GET", None), ("GET", None))
        ]

        assert statuses == [407] * 4
        assert proxy.connections == 2
    assert lines(proxy)[0] == "GET http://origin.test/"

"""Proxies, the environment's CA bundles and netrc, as a user of a Client meets them: who sees what, and over what.

The proxies here stand for the whole network: whatever a URL names, they answer for it themselves, so that the
tests can use real names and the default ports. What an origin would see is in the proxy's ledger.
"""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import ssl
import tempfile
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast import Client, Limits, Retries, Timeouts, environment
from holdfast.auth import HTTPProxyAuth
from tests.conftest import FakeClock, Tls
from tests.server import Conn, Received, Script, Server, connect_proxy, echo, ok, redirect, replies
from tests.support import free_port
from tests.test_interop import daemon, needs

OPEN = b"HTTP/1.1 200 Connection established\r\n\r\n"
NAMES = ("origin.test", "other.test", "localhost")


def basic(user: str, password: str) -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, no_leaks: None, tmp_path: Path) -> None:
    """None of the variables is set, and there is no netrc, whatever the machine has."""
    for name in (*environment._NAMES, "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def client(tls: Tls) -> Iterator[Client]:
    with Client(verify=tls.ca_path) as made:
        yield made


def said(request: Received) -> bytes:
    return ok(f"{request.method} {request.target} at {request.get('Host')}".encode())


def network(tls: Tls, answer: Callable[[Received], bytes] = said) -> Script:
    """A proxy that opens every tunnel and stands at its other end, too."""
    context = tls.server_context(tls.ca.issue_cert(*NAMES))

    def script(conn: Conn) -> None:
        for request in conn.read_requests():
            if request.method == "CONNECT":
                conn.send(OPEN)
                try:
                    conn.start_tls(context)
                except ssl.SSLError:
                    return  # the client does not like the certificate
            else:
                conn.send(answer(request))

    return script


def at(proxy: Server, userinfo: str = "") -> str:
    return f"http://{userinfo}{'@' if userinfo else ''}127.0.0.1:{proxy.port}"


def lines(server: Server) -> list[str]:
    return [f"{request.method} {request.target}" for request in server.requests]


# -- forwarding --------------------------------------------------------------------------------------------------------


def test_http_goes_to_the_proxy_in_absolute_form_over_one_connection_for_all_origins(tls: Tls, client: Client) -> None:
    with Server(network(tls)) as proxy:
        client.proxies["http"] = at(proxy)
        urls = ("http://origin.test", "http://other.test:8080/a?b=%20#c", "http://me:pw@origin.test/x", "http://[::1]/")
        texts = [client.get(url).text for url in urls]

        assert proxy.connections == 1
        assert client.stats().created == 1
    assert lines(proxy) == [
        "GET http://origin.test/",
        "GET http://other.test:8080/a?b=%20",
        "GET http://origin.test/x",
        "GET http://[::1]/",
    ]
    assert [request.get_all("Host") for request in proxy.requests] == [
        ["origin.test"],
        ["other.test:8080"],
        ["origin.test"],
        ["[::1]"],
    ]
    assert texts[0] == "GET http://origin.test/ at origin.test"


def test_the_response_s_url_is_the_origin_s(tls: Tls, client: Client) -> None:
    with Server(network(tls)) as proxy:
        response = client.get("http://origin.test/a", proxies={"http": at(proxy)})

    assert (response.url, response.request.url) == ("http://origin.test/a", "http://origin.test/a")


def test_bodies_go_through_a_forward_proxy(tls: Tls, client: Client) -> None:
    with Server(network(tls)) as proxy:
        client.proxies = {"all": at(proxy)}
        client.post("http://origin.test/", data=b"x" * 100_000)
        client.post("http://origin.test/", data=iter([b"a", b"b"]))

    assert [request.body for request in proxy.requests] == [b"x" * 100_000, b"ab"]


def test_credentials_of_the_proxy_s_url_are_sent_to_it_with_every_request(tls: Tls, client: Client) -> None:
    with Server(network(tls)) as proxy:
        client.proxies = {"http": at(proxy, "user:s3cr%33t")}
        for _ in range(2):
            response = client.get("http://origin.test/")

        assert "Proxy-Authorization" not in response.request.headers
    assert [r.get_all("Proxy-Authorization") for r in proxy.requests] == [[basic("user", "s3cr3t")]] * 2


def test_a_forward_proxy_s_407_is_a_response(client: Client) -> None:
    with Server(replies(b"HTTP/1.1 407 Who?\r\nContent-Length: 2\r\n\r\nno")) as proxy:
        response = client.get("http://origin.test/", proxies={"http": at(proxy)})

    assert (response.status_code, response.text) == (407, "no")


# -- tunnels -----------------------------------------------------------------------------------------------------------


def test_https_goes_through_a_tunnel_that_is_kept(tls: Tls, client: Client) -> None:
    with Server(network(tls)) as proxy:
        client.proxies["https"] = at(proxy, "user:s3cr3t")
        texts = [client.get(f"https://origin.test/{path}").text for path in "ab"]

        assert proxy.connections == 1
        assert (client.stats().created, client.stats().reused) == (1, 1)
    assert texts == ["GET /a at origin.test", "GET /b at origin.test"]
    assert lines(proxy) == ["CONNECT origin.test:443", "GET /a", "GET /b"]
    connect, *inside = proxy.requests
    assert connect.headers == [("Host", "origin.test:443"), ("Proxy-Authorization", basic("user", "s3cr3t"))]
    assert [request.get_all("Proxy-Authorization") for request in inside] == [[], []]


def test_every_origin_has_tunnels_of_its_own(tls: Tls, client: Client) -> None:
    with Server(network(tls)) as proxy:
        client.proxies = {"all": at(proxy)}
        for url in ("https://origin.test/", "https://other.test/", "https://origin.test:444/", "http://origin.test/"):
            client.get(url)

        assert proxy.connections == 4
    assert [line for line in lines(proxy) if "CONNECT" in line] == [
        "CONNECT origin.test:443",
        "CONNECT other.test:443",
        "CONNECT origin.test:444",
    ]


def test_the_certificate_inside_a_tunnel_is_checked_against_the_origin(tls: Tls, client: Client) -> None:
    with Server(network(tls)) as proxy:
        with pytest.raises(holdfast.SSLError, match=r"third\.test"):
            client.get("https://third.test/", proxies={"https": at(proxy)})
        with pytest.raises(holdfast.SSLError, match="not valid"), Client() as strict:
            strict.get("https://origin.test/", proxies={"https": at(proxy)})

    assert {request.method for request in proxy.requests} == {"CONNECT"}


def test_an_unverified_tunnel_never_serves_a_call_that_verifies(tls: Tls) -> None:
    with Server(network(tls)) as proxy, Client(proxies={"https": at(proxy)}) as client:
        assert client.get("https://third.test/", verify=False).status_code == 200
        with pytest.raises(holdfast.SSLError):
            client.get("https://third.test/", verify=tls.ca_path)


def test_a_relaying_proxy_leads_to_the_real_server(tls: Tls, client: Client) -> None:
    with Server(tls=tls.server_context()) as server, Server(connect_proxy) as proxy:
        client.proxies = {"https": at(proxy)}
        answers = [client.post(server.url("/a", host="localhost"), data=b"x" * 100_000) for _ in range(2)]

        assert [len(answer.json()["body"]) for answer in answers] == [100_000] * 2
        assert (proxy.connections, server.connections) == (1, 1)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_other_credentials_are_another_connection(tls: Tls, client: Client, scheme: str) -> None:
    with Server(network(tls)) as proxy:
        for userinfo in ("a:1", "b:2", "", "a:1"):
            client.get(f"{scheme}://origin.test/", proxies={scheme: at(proxy, userinfo)})

        assert proxy.connections == 3
    if scheme == "https":
        asked = [r.get("Proxy-Authorization") for r in proxy.requests if r.method == "CONNECT"]
        assert asked == [basic("a", "1"), basic("b", "2"), ""]


def test_limits_hold_for_tunnels(tls: Tls) -> None:
    with Server(network(tls)) as proxy:
        limits = Limits(max_connections_per_origin=1)
        with Client(verify=tls.ca_path, proxies={"all": at(proxy)}, limits=limits) as client:
            with client.get("https://origin.test/", stream=True), pytest.raises(holdfast.PoolTimeout):
                client.get("https://origin.test/", timeout=Timeouts(pool=0.05))
            assert client.get("https://origin.test/").status_code == 200
        assert proxy.connections == 1


# -- Proxy-Authorization that the user wrote --------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["auth", "header", "client header"])
def test_a_proxy_authorization_of_the_user_s_reaches_the_proxy_and_no_origin(
    tls: Tls, client: Client, how: str
) -> None:
    kwargs: dict[str, Any] = {}
    if how == "auth":
        kwargs["auth"] = HTTPProxyAuth("user", "s3cr3t")
    elif how == "header":
        kwargs["headers"] = {"proxy-authorization": basic("user", "s3cr3t")}
    else:
        client.headers["Proxy-Authorization"] = basic("user", "s3cr3t")
    with Server(network(tls)) as proxy, Server() as direct:
        proxies = {"all": at(proxy), "all://127.0.0.1": None, "http://127.0.0.1": ""}
        for url in ("http://origin.test/", "https://origin.test/", "http://origin.test/", direct.url("/")):
            assert client.get(url, proxies=proxies, **kwargs).status_code == 200

    wanted = basic("user", "s3cr3t")
    assert [(r.method, r.get_all("Proxy-Authorization")) for r in proxy.requests] == [
        ("GET", [wanted]),
        ("CONNECT", [wanted]),
        ("GET", []),
        ("GET", [wanted]),
    ]
    assert direct.requests[0].get_all("Proxy-Authorization") == []


def test_credentials_of_the_proxy_s_url_go_over_a_header_as_in_requests(tls: Tls, client: Client) -> None:
    with Server(network(tls)) as proxy:
        headers = {"Proxy-Authorization": "Basic x"}
        for scheme in ("http", "https"):
            client.get(f"{scheme}://origin.test/", headers=headers, proxies={"all": at(proxy, "user:s3cr3t")})

    assert [r.get_all("Proxy-Authorization") for r in proxy.requests] == [[basic("user", "s3cr3t")]] * 2 + [[]]


# -- which proxy -------------------------------------------------------------------------------------------------------


def test_proxies_take_effect_at_once_and_no_dict_of_the_caller_s_is_changed(tls: Tls) -> None:
    with Server(network(tls)) as one, Server(network(tls)) as two:
        given = {"http": at(one)}
        call = {"https": at(two)}
        with Client(proxies=given) as client:
            client.get("http://origin.test/1", proxies=call)
            client.proxies["http"] = at(two)
            client.get("http://origin.test/2", proxies=call)
            client.proxies = {"http": at(one)}
            client.get("http://origin.test/3")

        assert (given, call) == ({"http": at(one)}, {"https": at(two)})
    assert [request.target[-1] for request in one.requests] == ["1", "3"]
    assert [request.target[-1] for request in two.requests] == ["2"]


def test_a_prepared_request_is_sent_through_the_proxies_given_to_send(tls: Tls, client: Client) -> None:
    with Server(network(tls)) as proxy:
        prepared = holdfast.Request("GET", "http://origin.test/").prepare()
        assert client.send(prepared, proxies={"http": at(proxy)}).status_code == 200


def test_a_hook_is_told_the_call_s_proxies(tls: Tls, client: Client) -> None:
    seen: list[Any] = []
    with Server(network(tls)) as proxy:
        proxies = {"http": at(proxy)}
        hooks = {"response": lambda response, **settings: seen.append(settings["proxies"])}
        client.get("http://origin.test/", proxies=proxies, hooks=hooks)

    assert seen == [proxies]
    assert seen[0] is not proxies


def test_a_pickled_client_keeps_its_proxies() -> None:
    with Client(proxies={"http": "http://proxy:1"}) as client, pickle.loads(pickle.dumps(client)) as copy:
        assert copy.proxies == {"http": "http://proxy:1"}


def test_a_unix_socket_is_no_way_to_a_proxy(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with Server(echo, unix_path=path), Client(unix_socket=path, proxies={"all": "http://127.0.0.1:9"}) as client:
        assert client.get("http://origin.test/a").json()["target"] == "/a"


def test_the_environment_s_proxies_count_from_the_next_call_on(
    tls: Tls, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Server(network(tls)) as proxy, Server() as direct:
        client.get(direct.url("/1"))
        monkeypatch.setenv("HTTP_PROXY", at(proxy))
        client.get(direct.url("/2"))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        client.get(direct.url("/3"))
        client.get("http://origin.test/4")
        monkeypatch.setenv("HTTPS_PROXY", at(proxy))
        client.get("https://origin.test/5")
        monkeypatch.delenv("NO_PROXY")
        client.trust_env = False
        client.get(direct.url("/6"))
        client.trust_env = True
        client.get(direct.url("/7"), proxies={"http": None})

    assert [request.target for request in direct.requests] == ["/1", "/3", "/6", "/7"]
    assert lines(proxy) == [
        f"GET {direct.url('/2')}",
        "GET http://origin.test/4",
        "CONNECT origin.test:443",
        "GET /5",
    ]


# -- redirects ---------------------------------------------------------------------------------------------------------


def test_each_hop_of_a_redirect_chooses_its_proxy_and_credentials_stay_with_theirs(tls: Tls, client: Client) -> None:
    with Server() as direct:

        def answer(request: Received) -> bytes:
            if request.target.startswith("http://origin.test/"):
                return redirect("https://other.test/b")
            return redirect(direct.url("/c"))

        with Server(network(tls, answer)) as one, Server(network(tls, answer)) as two:
            client.proxies = {
                "http": at(one, "one:s3cr3t"),
                "https": at(two, "two:t0p"),
                "http://127.0.0.1": "",
            }
            response = client.get("http://origin.test/a")

    assert [hop.status_code for hop in response.history] == [302, 302]
    assert response.json()["target"] == "/c"
    assert [(r.method, r.get_all("Proxy-Authorization")) for r in one.requests] == [("GET", [basic("one", "s3cr3t")])]
    assert [(r.method, r.get_all("Proxy-Authorization")) for r in two.requests] == [
        ("CONNECT", [basic("two", "t0p")]),
        ("GET", []),
    ]
    assert direct.requests[0].get_all("Proxy-Authorization") == []
    assert b"s3cr3t" not in direct.requests[0].head


def test_no_proxy_is_asked_anew_for_the_host_of_a_redirect(
    tls: Tls, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Server() as direct, Server(network(tls, lambda request: redirect(direct.url("/b")))) as proxy:
        monkeypatch.setenv("http_proxy", at(proxy))
        monkeypatch.setenv("no_proxy", "127.0.0.0/8")
        response = client.get("http://origin.test/a")

    assert response.json()["target"] == "/b"
    assert lines(proxy) == ["GET http://origin.test/a"]


def test_a_header_for_one_proxy_is_not_taken_to_another_by_an_upgrade_to_https(tls: Tls) -> None:
    """http:80 to https:443 of one host keeps other secrets; this one is not the host's."""
    with (
        Server(network(tls, lambda r: redirect("https://origin.test/"))) as one,
        Server(network(tls)) as two,
        Client(verify=tls.ca_path, proxies={"http": at(one), "https": at(two)}, secret_headers=()) as client,
    ):
        headers = {"Proxy-Authorization": basic("user", "s3cr3t"), "Authorization": "Bearer t"}
        client.get("http://origin.test/", headers=headers)

    assert one.requests[0].get("Proxy-Authorization") == basic("user", "s3cr3t")
    assert [r.get_all("Proxy-Authorization") for r in two.requests] == [[], []]
    assert two.requests[1].get("Authorization") == "Bearer t"


def test_a_header_for_a_proxy_goes_along_while_the_proxy_is_the_same(tls: Tls) -> None:
    def answer(request: Received) -> bytes:
        return redirect("/b") if request.target.endswith("/a") else said(request)

    with Server(network(tls, answer)) as proxy, Client(proxies={"http": at(proxy)}) as client:
        client.get("http://origin.test/a", auth=HTTPProxyAuth("user", "s3cr3t"))

    assert [r.get("Proxy-Authorization") for r in proxy.requests] == [basic("user", "s3cr3t")] * 2


# -- what goes wrong ---------------------------------------------------------------------------------------------------


def nobody() -> str:
    return f"http://user:s3cr3t@127.0.0.1:{free_port()}"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_is_not_there_is_a_proxy_error(client: Client, scheme: str) -> None:
    with pytest.raises(holdfast.ProxyError, match="cannot be reached") as caught:
        client.get(f"{scheme}://origin.test/", proxies={scheme: nobody()})

    assert isinstance(caught.value, holdfast.ConnectionError)
    assert caught.value.request.url == f"{scheme}://origin.test/"
    assert "s3cr3t" not in str(caught.value)


def test_a_post_may_be_tried_again_while_the_proxy_is_not_there() -> None:
    waits: list[float] = []
    with Client(retries=Retries(attempts=2), sleep=waits.append) as client, pytest.raises(holdfast.ProxyError):
        client.post("http://origin.test/", data=b"x", proxies={"http": nobody()})

    assert len(waits) == 2


def test_a_refused_tunnel_is_a_proxy_error_with_the_proxy_s_words(client: Client) -> None:
    answer = b"HTTP/1.1 403 Filtered\r\nContent-Length: 10\r\n\r\nnot today!"
    with Server(replies(answer)) as proxy, pytest.raises(holdfast.ProxyError, match="403 'Filtered', b'not today!'"):
        client.get("https://origin.test/", proxies={"https": at(proxy)})

    assert (client.stats().idle, client.stats().active) == (0, 0)


def test_a_proxy_that_says_nothing_is_a_connect_timeout(client: Client) -> None:
    def silent(conn: Conn) -> None:
        conn.wait_closed()

    started = time.monotonic()
    with Server(silent) as proxy:
        client.proxies = {"https": at(proxy)}
        with pytest.raises(holdfast.ConnectTimeout, match=r"the tunnel|through the proxy"):
            client.get("https://origin.test/", timeout=Timeouts(connect=0.1))
        with pytest.raises(holdfast.TotalTimeout, match="connecting"):
            client.get("https://origin.test/", timeout=Timeouts(total=0.1))

    assert time.monotonic() - started < 1


def test_plaintext_behind_the_proxy_s_200_never_becomes_a_response(client: Client) -> None:
    with Server(replies(OPEN + ok(b"injected"))) as proxy, pytest.raises(holdfast.ProxyError, match="bytes of its own"):
        client.get("https://origin.test/", proxies={"https": at(proxy)})


def test_plaintext_after_the_proxy_s_200_never_becomes_a_response(client: Client) -> None:
    def later(conn: Conn) -> None:
        conn.expect_request()
        conn.send(OPEN)
        conn.recv()  # the beginning of the handshake
        conn.send(ok(b"injected"))

    with Server(later) as proxy, pytest.raises(holdfast.SSLError):
        client.get("https://origin.test/", proxies={"https": at(proxy)})


@pytest.mark.parametrize("proxy", ["ftp://127.0.0.1:1", "socks5://", "socks6://127.0.0.1:1", "http://", 7])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_cannot_be_used_is_an_error_and_not_passed_by(client: Client, scheme: str, proxy: Any) -> None:
    with Server() as server:
        url = server.url("/") if scheme == "http" else f"https://127.0.0.1:{server.port}/"
        with pytest.raises(holdfast.InvalidProxyURL):
            client.get(url, proxies={scheme: proxy})

        assert server.connections == 0


def test_proxies_of_a_wrong_kind_are_an_error(client: Client) -> None:
    with pytest.raises(holdfast.InvalidRequest, match="proxies must be a dict"):
        client.get("http://origin.test/", proxies="http://proxy")  # type: ignore[arg-type]  # that is the test


def test_no_statistic_repr_or_message_shows_the_credentials(tls: Tls, client: Client) -> None:
    with Server(network(tls)) as proxy:
        client.proxies = {"all": at(proxy, "user:s3cr3t")}
        answers = [client.get(f"{scheme}://origin.test/") for scheme in ("http", "https")]
        routes = [client._routes.find(answer.request, client.verify, None) for answer in answers]
        shown = f"{client.stats()!r} {client!r} {answers!r} {routes!r} {[str(route) for route in routes]}"

    assert "through the proxy http://127.0.0.1" in shown
    assert "s3cr3t" not in shown
    assert basic("user", "s3cr3t")[6:] not in shown


# -- a tunnel is a connection like any other ---------------------------------------------------------------------------


def test_a_tunnel_closed_while_idle_is_replaced_without_anybody_noticing(tls: Tls, client: Client) -> None:
    gone = threading.Event()
    context = tls.server_context(tls.ca.issue_cert(*NAMES))

    def once(conn: Conn) -> None:
        conn.expect_request()
        conn.send(OPEN)
        conn.start_tls(context)
        conn.send(said(conn.expect_request()))
        conn.wait(gone)

    with Server([once, network(tls)]) as proxy:
        client.proxies = {"https": at(proxy)}
        client.get("https://origin.test/1")
        gone.set()
        proxy.wait_idle()
        assert client.post("https://origin.test/2").text == "POST /2 at origin.test"

    assert lines(proxy) == ["CONNECT origin.test:443", "GET /1", "CONNECT origin.test:443", "POST /2"]


def test_a_request_lost_in_a_kept_tunnel_is_sent_again_if_it_is_idempotent_and_reported_if_not(
    tls: Tls, client: Client
) -> None:
    context = tls.server_context(tls.ca.issue_cert(*NAMES))

    def dies_after_the_second_request(conn: Conn) -> None:
        conn.expect_request()
        conn.send(OPEN)
        conn.start_tls(context)
        conn.send(said(conn.expect_request()))
        conn.expect_request()

    with Server([dies_after_the_second_request, dies_after_the_second_request]) as proxy:
        client.proxies = {"https": at(proxy)}
        client.get("https://origin.test/1")
        assert client.get("https://origin.test/2").status_code == 200
        with pytest.raises(holdfast.ConnectionLost) as caught:
            client.post("https://origin.test/3")

    assert caught.value.may_have_executed
    assert lines(proxy) == [
        "CONNECT origin.test:443",
        *("GET /1", "GET /2"),
        "CONNECT origin.test:443",
        *("GET /2", "POST /3"),
    ]


# -- certificate authorities -------------------------------------------------------------------------------------------


@pytest.fixture
def secure(tls: Tls) -> Iterator[Server]:
    with Server(tls=tls.server_context()) as running:
        yield running


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
@pytest.mark.parametrize("verify", [True, None])
def test_a_variable_names_the_authorities_where_nothing_else_does(
    tls: Tls, secure: Server, monkeypatch: pytest.MonkeyPatch, name: str, verify: bool | None
) -> None:
    with Client(verify=verify) as client:
        with pytest.raises(holdfast.SSLError):
            client.get(secure.url("/"))
        monkeypatch.setenv(name, tls.ca_path)
        assert client.get(secure.url("/")).status_code == 200
        assert client.get(secure.url("/")).status_code == 200
        assert secure.connections == 2
        client.trust_env = False
        with pytest.raises(holdfast.SSLError):
            client.get(secure.url("/"))


def test_a_directory_of_certificates_can_be_named(
    tls: Tls, secure: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    put_hashed(tls.ca_path, tmp_path)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    with Client() as client:
        assert client.get(secure.url("/")).status_code == 200


def put_hashed(ca_path: str, directory: Path) -> None:
    """Put the certificate where OpenSSL looks for it in a directory."""
    import subprocess

    openssl = needs("openssl")
    digest = subprocess.run(
        [openssl, "x509", "-in", ca_path, "-noout", "-hash"], check=True, capture_output=True, text=True
    ).stdout.strip()
    shutil.copy(ca_path, directory / f"{digest}.0")


@pytest.mark.parametrize("named", ["{empty}:{full}", "{full}:{missing}", "{missing}:{empty}:{full}", "{missing}::{full}:"])
def test_several_directories_can_be_named_and_a_missing_one_does_not_matter(
    tls: Tls, secure: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, named: str
) -> None:
    empty, full, missing = (tmp_path / name for name in ("empty", "full", "missing"))
    empty.mkdir()
    full.mkdir()
    put_hashed(tls.ca_path, full)
    monkeypatch.setenv("SSL_CERT_DIR", named.format(empty=empty, full=full, missing=missing).replace(":", os.pathsep))
    with Client() as client:
        assert client.get(secure.url("/")).status_code == 200


def test_file_and_directories_of_openssl_s_variables_count_together(
    tls: Tls, secure: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import certifi

    put_hashed(tls.ca_path, tmp_path)
    for file, directory in ((certifi.where(), str(tmp_path)), (tls.ca_path, "/nowhere"), ("/nowhere.pem", str(tmp_path))):
        monkeypatch.setenv("SSL_CERT_FILE", file)
        monkeypatch.setenv("SSL_CERT_DIR", directory)
        with Client() as client:
            assert client.get(secure.url("/")).status_code == 200
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
    monkeypatch.setenv("SSL_CERT_DIR", "/nowhere")
    with Client() as client, pytest.raises(holdfast.RequestException, match="SSL_CERT_FILE and SSL_CERT_DIR, and neither"):
        client.get(secure.url("/"))


def test_what_client_or_call_say_of_verify_goes_over_the_variables(
    tls: Tls, secure: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/at/all.pem")
    url = secure.url("/")
    for setting in (False, tls.ca_path, tls.client_context()):
        with Client(verify=setting) as client:
            assert client.get(url).status_code == 200
        with Client() as client:
            assert client.get(url, verify=setting).status_code == 200


def test_a_bundle_that_is_not_there_is_an_error_that_names_the_variable_and_nothing_is_sent(
    secure: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CURL_CA_BUNDLE", "/nowhere/at/all.pem")
    with Client() as client:
        with pytest.raises(environment.UnusableAuthorities, match=r"'/nowhere/at/all.pem' .*CURL_CA_BUNDLE") as caught:
            client.get(secure.url("/"))
        assert isinstance(caught.value, holdfast.RequestException)
        assert pickle.loads(pickle.dumps(caught.value)).path == "/nowhere/at/all.pem"
        with pytest.raises(OSError, match="no/cert") as other:
            client.get(secure.url("/"), verify=False, cert="/no/cert.pem")
        assert "CURL_CA_BUNDLE" not in str(other.value)

    assert secure.connections == 0


def test_a_client_certificate_that_is_not_there_is_not_blamed_on_the_variable(
    tls: Tls, secure: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CURL_CA_BUNDLE", tls.ca_path)
    with Client(cert="/no/cert.pem") as client, pytest.raises(OSError, match="client certificate") as caught:
        client.get(secure.url("/"))

    assert "CURL_CA_BUNDLE" not in str(caught.value)


def test_the_environment_s_authorities_hold_inside_tunnels_too(tls: Tls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", tls.ca_path)
    with Server(network(tls)) as proxy, Client(proxies={"https": at(proxy)}) as client:
        assert client.get("https://origin.test/").status_code == 200


# -- netrc -------------------------------------------------------------------------------------------------------------

NETRC = "machine 127.0.0.1 login ann password one\nmachine localhost login lou password two\n"


@pytest.fixture
def netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "netrc"
    path.write_text(NETRC)
    path.chmod(0o600)
    monkeypatch.setenv("NETRC", str(path))
    return path


def authorizations(server: Server) -> list[str]:
    return [request.get("Authorization") for request in server.requests]


def test_netrc_is_used_where_nothing_else_names_credentials(netrc: Path) -> None:
    with Server() as server, Client() as client:
        client.get(server.url("/"))
        client.get(server.url("/"))
        client.get(server.url("/", host="localhost"), params={"a": "b"})
        client.get(server.url("/").replace("http://", "http://ann@"))
        client.trust_env = False
        client.get(server.url("/"))
        client.get(server.url("/", host="localhost"), params={"a": "b"})

    assert authorizations(server) == [basic("ann", "one")] * 2 + [basic("lou", "two"), basic("ann", "one"), "", ""]


def test_explicit_credentials_of_any_kind_go_over_netrc(netrc: Path) -> None:
    with Server() as server, Client() as client:
        url = server.url("/")
        client.get(url, auth=("me", "mine"))
        client.get(url, headers={"authorization": "Bearer t"})
        client.get(url.replace("http://", "http://eve:hers@"))
        client.get(url.replace("http://", "http://eve:@"))
        client.get(url.replace("http://", "http://eve@"))
        client.get(url.replace("http://", "http://ann:hers@"))
        client.auth = ("me", "mine")
        client.get(url)
        client.auth = None
        client.headers["Authorization"] = "Bearer c"
        client.get(url)

    mine = basic("me", "mine")
    urls = [basic("eve", "hers"), basic("eve", ""), "", basic("ann", "hers")]  # a user alone is not another's password
    assert authorizations(server) == [mine, "Bearer t", *urls, mine, "Bearer c"]


def test_a_netrc_that_appears_changes_or_goes_is_noticed_within_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    path = tmp_path / ".netrc"
    with Server() as server, Client(clock=clock, timeout=None) as client:

        def call() -> str:
            client.get(server.url("/"))
            return server.requests[-1].get("Authorization")

        assert call() == ""
        path.write_text(NETRC)
        path.chmod(0o600)
        clock.advance(1.1)
        assert call() == basic("ann", "one")
        path.write_text(NETRC.replace("one", "three"))
        clock.advance(1.1)
        assert [call(), call()] == [basic("ann", "three")] * 2
        path.unlink()
        clock.advance(1.1)
        assert call() == ""
        (tmp_path / "elsewhere").write_text(NETRC)
        (tmp_path / "elsewhere").chmod(0o600)
        monkeypatch.setenv("NETRC", str(tmp_path / "elsewhere"))
        assert call() == basic("ann", "one")


def test_a_redirect_to_another_host_asks_netrc_for_that_host_and_takes_nothing_along(netrc: Path) -> None:
    with Server() as last, Server(replies(redirect(last.url("/", host="localhost")))) as first, Client() as client:
        client.get(first.url("/"))
    assert authorizations(first) + authorizations(last) == [basic("ann", "one"), basic("lou", "two")]

    with Server() as last, Server(replies(redirect(last.url("/", host="localhost")))) as first, Client() as client:
        client.get(first.url("/"), headers={"Authorization": "Bearer t"})
    assert authorizations(first) + authorizations(last) == ["Bearer t", basic("lou", "two")]

    netrc.write_text(NETRC.splitlines()[0])
    with Server() as last, Server(replies(redirect(last.url("/", host="localhost")))) as first, Client() as client:
        client.get(first.url("/"))
    assert authorizations(first) + authorizations(last) == [basic("ann", "one"), ""]


def test_a_redirect_within_the_origin_leaves_explicit_authentication_alone(netrc: Path) -> None:
    def own(request: Any) -> Any:
        request.headers["X-Own"] = "1"
        return request

    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(redirect("/b"))
        echo(conn)

    with Server(script) as server, Client() as client:
        client.get(server.url("/a"), auth=own)

    assert authorizations(server) == ["", ""]


def test_a_url_s_own_credentials_in_a_location_go_over_netrc(netrc: Path) -> None:
    with Server() as last:
        location = last.url("/", host="localhost").replace("http://", "http://lou:hers@")
        with Server(replies(redirect(location))) as first, Client() as client:
            client.get(first.url("/"))

    assert basic("lou", "two") not in authorizations(last)


def test_a_downgrade_of_one_host_does_not_get_netrc_s_credentials_back(tls: Tls, netrc: Path) -> None:
    netrc.write_text("machine origin.test login ann password one\nmachine other.test login lou password two\n")

    def answer(request: Received) -> bytes:
        where = {"/a": "http://origin.test/b", "http://origin.test/b": "http://other.test/c"}.get(request.target)
        return redirect(where) if where else said(request)

    with Server(network(tls, answer)) as proxy, Client(verify=tls.ca_path, proxies={"all": at(proxy)}) as client:
        client.get("https://origin.test/a")

    assert authorizations(proxy) == ["", basic("ann", "one"), "", basic("lou", "two")]


# -- real proxies ------------------------------------------------------------------------------------------------------

TINYPROXY = """
Port {port}
Listen 127.0.0.1
Timeout 60
MaxClients 50
LogLevel Error
BasicAuth user s3cr3t
"""

SQUID = """
http_port 127.0.0.1:{port}
pid_filename none
access_log none
cache_log {root}/cache.log
cache_store_log none
cache deny all
coredump_dir {root}
auth_param basic program {ncsa} {root}/passwords
auth_param basic children 2
acl known proxy_auth REQUIRED
http_access allow known
http_access deny all
"""
NCSA = "user:$apr1$holdfast$ykCmbe08kAWwXBYbWSOwU.\n"


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that a daemon which gives up its rights can still use."""
    path = Path(tempfile.mkdtemp(prefix="holdfast-proxy-"))
    path.chmod(0o777)
    yield path
    shutil.rmtree(path)


@pytest.fixture(params=["tinyproxy", "squid"])
def real_proxy(request: pytest.FixtureRequest, open_directory: Path) -> Iterator[int]:
    """The port of a real proxy that asks for user and s3cr3t."""
    program, port, root = needs(request.param), free_port(), open_directory
    if request.param == "tinyproxy":
        (root / "conf").write_text(TINYPROXY.format(port=port))
        argv = [program, "-d", "-c", str(root / "conf")]
    else:
        ncsa = next((p for p in Path("/usr/lib").glob("squid*/basic_ncsa_auth")), None)
        if ncsa is None:
            pytest.skip("squid's basic_ncsa_auth is not installed")
        (root / "conf").write_text(SQUID.format(port=port, root=root, ncsa=ncsa))
        (root / "passwords").write_text(NCSA)
        argv = [program, "-N", "-f", str(root / "conf")]
    # SIGTERM: squid takes two seconds to say good-bye to nobody.
    with daemon(port, *argv, cwd=root, end=signal.SIGKILL):
        yield port


def test_a_real_proxy_forwards_and_tunnels(tls: Tls, real_proxy: int) -> None:
    proxy = f"http://user:s3cr3t@127.0.0.1:{real_proxy}"
    with (
        Server() as plain,
        Server() as other,
        Server(tls=tls.server_context()) as secure,
        Client(verify=tls.ca_path, proxies={"all": proxy}) as client,
    ):
        urls = (plain.url("/a?b=c"), other.url("/"), secure.url("/", host="localhost")) * 3
        # Not POST: tinyproxy closes behind every forwarded response without announcing it, and a request that follows
        # at once may be lost, nobody knows how. What is idempotent is sent again.
        answers = [client.put(url, data=b"x" * 70_000) for url in urls]

        assert [answer.status_code for answer in answers] == [200] * 9
        assert all(len(answer.json()["body"]) == 70_000 for answer in answers)
        assert answers[0].json()["target"] == "/a?b=c"
        assert secure.connections == 1
        seen = [request for server in (plain, other, secure) for request in server.requests]
        assert [request.get_all("Proxy-Authorization") for request in seen] == [[]] * 9


def test_a_real_proxy_s_refusals_are_told_apart(tls: Tls, real_proxy: int) -> None:
    with Server(tls=tls.server_context()) as secure, Client(verify=tls.ca_path) as client:
        for userinfo, words in (("", "Give credentials"), ("user:wrong@", "does not accept")):
            proxies = {"all": f"http://{userinfo}127.0.0.1:{real_proxy}"}
            with pytest.raises(holdfast.ProxyError, match=rf"40[17] .*{words}"):
                client.get(secure.url("/", host="localhost"), proxies=proxies)
            assert client.get("http://localhost:9/", proxies=proxies).status_code in (401, 407)
        nobody_there = f"https://127.0.0.1:{free_port()}/"
        with pytest.raises(holdfast.ProxyError, match=r"50\d"):
            client.get(nobody_there, proxies={"https": f"http://user:s3cr3t@127.0.0.1:{real_proxy}"})

        assert secure.connections == 0

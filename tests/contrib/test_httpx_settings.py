"""What a HoldfastTransport takes: TLS, proxies, limits, options of sockets, a client; obeyed, or refused by its constructor."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from holdfast import Client, Limits
from tests.conftest import Tls
from tests.contrib.conftest import Road
from tests.server import Conn, Server, echo
from tests.support import eventually, in_parallel

# -- TLS ---------------------------------------------------------------------------------------------------------------


def test_whom_it_trusts_is_said_by_verify_or_by_the_environment_as_to_the_library(
    road: Road, tls: Tls, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Server(tls=tls.server_context()) as server:
        for verify in (tls.ca_path, Path(tls.ca_path), tls.client_context(), False):
            with road.client(verify=verify) as client:
                assert client.get(server.url()).status_code == 200
        with road.client() as client, pytest.raises(road.library.ConnectError, match="certificate"):
            client.get(server.url())
        monkeypatch.setenv("SSL_CERT_FILE", tls.ca_path)
        with road.client() as client:
            assert client.get(server.url()).status_code == 200
            assert client.get(server.url()).status_code == 200
        with road.client(trust_env=False) as client, pytest.raises(road.library.ConnectError, match="certificate"):
            client.get(server.url())


def test_a_client_certificate_is_shown_with_either_kind_of_authorities(
    road: Road, tls: Tls, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Server(tls=tls.server_context(ask_client=True)) as server:
        with road.client(verify=tls.ca_path, cert=(tls.client_cert_only, tls.client_key)) as client:
            assert client.get(server.url()).status_code == 200
        monkeypatch.setenv("SSL_CERT_FILE", tls.ca_path)
        with road.client(cert=tls.client_cert) as client:
            assert client.get(server.url()).status_code == 200
        with road.client() as client, pytest.raises(road.library.ReadError):
            client.get(server.url())  # with TLS 1.3 the server says no behind the handshake: something was sent


def test_a_wrong_path_is_an_error_of_the_constructor(road: Road) -> None:
    with pytest.raises(OSError, match="CA bundle"):
        road.module.HoldfastTransport(verify="/no/such/file")


def test_sni_hostname_is_sent_and_is_the_name_that_the_certificate_must_have(road: Road, tls: Tls) -> None:
    names: list[str | None] = []
    context = tls.server_context(tls.ca.issue_cert("origin.test"))
    context.sni_callback = lambda sock, name, _: names.append(name)
    with Server(tls=context) as server, road.client(verify=tls.ca_path) as client:
        answer = client.get(server.url(), extensions={"sni_hostname": "origin.test"})
        with pytest.raises(road.library.ConnectError, match=r"other\.test"):
            client.get(server.url(), extensions={"sni_hostname": "other.test"})
        with pytest.raises(road.library.ConnectError):
            client.get(server.url())  # not over the connection that was verified for another name

    assert (answer.status_code, names[:2]) == (200, ["origin.test", "other.test"])


def test_sni_hostname_says_nothing_to_plain_http(road: Road) -> None:
    with Server() as server, road.client() as client:
        assert client.get(server.url(), extensions={"sni_hostname": "origin.test"}).status_code == 200


# -- settings ----------------------------------------------------------------------------------------------------------


def test_without_limits_it_has_those_of_the_library(road: Road) -> None:
    theirs = road.library._config.DEFAULT_LIMITS

    assert road.module.HoldfastTransport().client.limits == road.module.HoldfastTransport(limits=theirs).client.limits


def test_limits_are_the_library_s_or_holdfast_s(road: Road) -> None:
    theirs = road.library.Limits(max_connections=None, max_keepalive_connections=3, keepalive_expiry=None)
    ours = Limits(max_connections_per_origin=2)

    assert road.module.HoldfastTransport(limits=theirs).client.limits == Limits(
        max_connections=None, max_connections_per_origin=None, max_idle_connections=3, idle_timeout=None
    )
    assert road.module.HoldfastTransport(limits=ours).client.limits is ours


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"http2": True}, "HTTP/1.1"),
        ({"http1": False}, "HTTP/1.1"),
        ({"proxy": "http://p:1", "proxies": {"all": "http://p:1"}}, "either proxy= or proxies="),
        ({"proxy": "gopher://p:1"}, "proxy"),
        ({"proxies": {"https": "gopher://p:1"}}, "proxy"),
        ({"client": Client(), "verify": False}, "either a client or settings"),
        ({"client": Client(), "retries": 1}, "either a client or settings"),
        ({"retries": -1}, "negative"),
    ],
)
def test_a_setting_that_cannot_be_obeyed_is_refused(road: Road, settings: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        road.module.HoldfastTransport(**settings)


def test_a_proxy_with_fields_or_a_context_of_its_own_is_refused(road: Road) -> None:
    for settings in ({"headers": {"X-A": "1"}}, {"ssl_context": ssl.create_default_context()}):
        with pytest.raises(ValueError, match="not supported"):
            road.module.HoldfastTransport(proxy=road.library.Proxy("http://p:1", **settings))


def test_requests_go_by_the_proxy_that_is_given_with_its_credentials(road: Road) -> None:
    with Server() as proxy:
        given = [
            {"proxy": proxy.url()},
            {"proxy": road.library.URL(proxy.url())},
            {"proxy": road.library.Proxy(proxy.url(), auth=("us er", "p@ss:"))},
            {"proxies": {"http://": proxy.url()}},
            {"proxies": {"http": proxy.url(), "https": None}},
        ]
        for settings in given:
            with road.client(**settings) as client:
                client.get("http://origin.test/a%7Eb?x")
        requests = proxy.requests

    assert {request.target for request in requests} == {"http://origin.test/a%7Eb?x"}
    assert [request.get("Proxy-Authorization") != "" for request in requests] == [False, False, True, False, False]


def test_the_environment_s_proxy_counts_unless_one_is_given_or_it_is_not_trusted(
    road: Road, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Server() as proxy, Server() as origin:
        monkeypatch.setenv("http_proxy", proxy.url())
        for settings, by_proxy in (({}, 1), ({"trust_env": False}, 1), ({"proxies": {"https": proxy.url()}}, 1)):
            with road.client(**settings) as client:
                client.get(origin.url())
            assert len(proxy.requests) == by_proxy


def test_socket_options_are_set_on_the_socket(road: Road) -> None:
    with Server() as server:
        with road.client(socket_options=[(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]) as client:
            assert client.get(server.url()).status_code == 200
        with road.client(socket_options=[(socket.SOL_SOCKET, 9999, 1)]) as client, pytest.raises(road.library.ConnectError):
            client.get(server.url())


def test_it_connects_from_an_address_and_to_a_unix_socket(road: Road, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with Server(unix_path=path), road.client(uds=path) as client:
        assert client.get("http://anything.test/").json()["target"] == "/"
    peers: list[str] = []

    def script(conn: Conn) -> None:
        peers.append(conn.sock.getpeername()[0])
        echo(conn)

    with Server(script) as server, road.client(local_address="127.0.0.2") as client:
        client.get(server.url())

    assert peers == ["127.0.0.2"]


def test_a_client_that_is_given_stays_open_and_its_settings_count(road: Road, tls: Tls) -> None:
    with Server(tls=tls.server_context()) as server, Client(verify=tls.ca_path) as ours:
        with road.client(client=ours) as client:
            client.get(server.url())
        ours.get(server.url())
        stats = ours.stats()

    assert (stats.created, stats.reused) == (1, 1)


def test_after_close_a_request_opens_new_connections_as_with_the_library_s_own(road: Road) -> None:
    transport = road.module.HoldfastTransport()
    with Server() as server:
        for _ in range(2):
            with road.library.Client(transport=transport) as client:
                client.get(server.url())
            assert transport.stats().idle == 0
        opened = server.connections

    assert opened == 2


def test_threads_that_reopen_it_at_once_share_the_new_connections(road: Road) -> None:
    transport = road.module.HoldfastTransport()
    transport.close()
    transport._reopen()
    reopened = transport.client
    transport._reopen()

    assert transport.client is reopened


def test_events_and_its_repr_tell_of_the_pool(road: Road) -> None:
    events: list[str] = []
    with Server() as server, road.client() as client:
        transport = client._transport
        end = transport.on_event(lambda event: events.append(event.kind))
        client.get(server.url())
        end()
        client.get(server.url())

        assert (events, repr(transport).startswith("<HoldfastTransport <holdfast.Client")) == (["opened"], True)


def test_an_asynchronous_client_is_told_that_this_is_no_transport_for_it(road: Road) -> None:
    async def enter() -> None:
        async with road.library.AsyncClient(transport=road.module.HoldfastTransport()):
            pass

    async def ask() -> None:
        client = road.library.AsyncClient(transport=road.module.HoldfastTransport())
        try:
            await client.get("http://127.0.0.1:1/")
        finally:
            await client.aclose()

    for use in (enter, ask):
        with pytest.raises(TypeError, match="synchronous"):
            asyncio.run(use())


def test_a_client_that_is_dropped_closes_its_connections(road: Road) -> None:
    with Server() as server:
        client = road.client()
        client.get(server.url())
        del client
        gc.collect()
        eventually(lambda: server.conn(0).closed, "the connection")


def test_threads_share_a_transport_within_its_limits(road: Road, tls: Tls) -> None:
    with (
        Server(tls=tls.server_context()) as server,
        road.client(verify=tls.ca_path, limits=road.library.Limits(max_connections=3)) as client,
    ):
        answers: list[str] = []

        def ask(number: int) -> None:
            answers.extend(client.post(server.url(), content=b"%d" % number).json()["body"] for _ in range(10))

        errors = in_parallel(8, ask)
        opened = server.connections

    assert (errors, len(answers)) == ([], 80)
    assert sorted(set(answers)) == [str(number) for number in range(8)]
    assert opened <= 3


def test_threads_that_need_the_first_context_at_once_get_the_same(road: Road) -> None:
    transport = road.module.HoldfastTransport()
    contexts: list[ssl.SSLContext] = []
    errors = in_parallel(4, lambda _: contexts.append(transport._make_default_context()))

    assert (errors, len(set(map(id, contexts)))) == ([], 1)



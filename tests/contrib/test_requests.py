"""holdfast under requests: one adapter, botocore's way of waiting, and the example."""

from __future__ import annotations

import sys
import threading
import types
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import urllib3
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

from examples import under_requests
from holdfast.contrib import urllib3 as under
from holdfast.contrib.requests import HoldfastAdapter
from holdfast.contrib.urllib3 import carriers, errors, keeping
from holdfast.exceptions import (
    ClientClosed,
    ConnectTimeout,
    HeadersTooLarge,
    InvalidHeader,
    PoolTimeout,
    RemoteProtocolError,
    RequestException,
    SSLError,
    TotalTimeout,
    UnrewindableBodyError,
    WriteTimeout,
)
from holdfast.testing import Fake
from tests.conftest import Tls
from tests.server import Conn, Server, connect_proxy, echo, head, ok, response

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture(autouse=True)
def pool_without_keeper(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(keeping, "_transport", transport := keeping.new_transport(keeper=False))
    yield
    under.eject()
    transport.close()


def test_one_session_is_carried_by_its_adapter_and_others_are_not() -> None:
    with Server(echo) as server, requests.Session() as carried, requests.Session() as plain:
        carried.mount("http://", HoldfastAdapter(pool_maxsize=3, max_retries=1))
        for _ in range(2):
            assert carried.get(server.url()).json()["method"] == "GET"
            plain.get(server.url())

        assert under.stats().requests == 2
        assert server.connections == 2


def test_a_fake_leaves_requests_over_holdfast_alone() -> None:
    with Server(echo) as server, Fake(), requests.Session() as session:
        session.mount("http://", HoldfastAdapter())
        session.trust_env = False

        assert session.get(server.url("/x")).json()["target"] == "/x"


def test_a_session_whose_adapter_is_ours_reaches_https_through_a_proxy(tls: Tls) -> None:
    with (
        Server(echo, tls=tls.server_context()) as origin,
        Server(connect_proxy) as proxy,
        requests.Session() as session,
    ):
        session.mount("https://", HoldfastAdapter())
        session.proxies = {"https": f"http://127.0.0.1:{proxy.address[1]}"}
        session.verify, session.trust_env = tls.ca_path, False
        for _ in range(2):
            assert session.get(origin.url(host="localhost")).status_code == 200

        assert origin.connections == 1
        assert "through the proxy http://127.0.0.1" in under.stats().origins[0].origin


def test_a_verified_session_never_uses_what_an_unverified_one_has_opened(tls: Tls) -> None:
    under.inject()
    with Server(echo, tls=tls.server_context()) as server, requests.Session() as session:
        url = server.url(host="localhost")
        with pytest.warns(urllib3.exceptions.InsecureRequestWarning):
            session.get(url, verify=False)
        with pytest.raises(requests.exceptions.SSLError):
            session.get(url)


def test_the_example_prints_what_the_connections_went_through(capsys: pytest.CaptureFixture[str]) -> None:
    def script(conn: Conn) -> None:
        for _ in conn.read_requests():
            conn.send(ok(b"done"))

    with Server(script) as server:
        assert under_requests.main([server.url(), "2"]) == 0

    assert capsys.readouterr().out.splitlines() == ["200 done", "200 done", "connections: 1, requests: 2, sent again: 0"]


# -- 100 Continue --------------------------------------------------------------------------------------------------------


@pytest.fixture
def aws_pool(monkeypatch: pytest.MonkeyPatch) -> type[HTTPConnectionPool]:
    """A pool with a connection class where botocore has its own; botocore itself is tried by benchmarks/programs.py."""
    module = types.ModuleType("botocore.awsrequest")
    monkeypatch.setitem(sys.modules, "botocore.awsrequest", module)

    class AWSHTTPConnection(HTTPConnection):
        __module__ = "botocore.awsrequest"

        def send(self, data: Any) -> None:
            raise AssertionError("holdfast waits in its place")

    class AWSHTTPConnectionPool(HTTPConnectionPool):
        ConnectionCls = AWSHTTPConnection

    return AWSHTTPConnectionPool


EXPECT = {"Expect": "100-continue", "Content-Length": "5"}


@pytest.mark.parametrize("body", [b"whole", [b"who", b"le"]])
def test_the_body_follows_when_the_server_says_100(aws_pool: Any, body: Any) -> None:
    under.inject()

    def script(conn: Conn) -> None:
        request = conn.read_head()
        assert request is not None
        conn.send(head(100))
        assert conn.read_exactly(5) == b"whole"
        conn.send(ok(b"thanks"))
        conn.expect_request()
        conn.send(ok())

    with Server([script]) as server, aws_pool(*server.address) as pool:
        assert pool.request("PUT", "/", body=body, headers=EXPECT).data == b"thanks"
        assert pool.request("GET", "/").status == 200
        assert under.stats().requests == 2


def test_the_body_is_not_sent_to_a_server_that_refuses(aws_pool: Any) -> None:
    under.inject()

    def script(conn: Conn) -> None:
        assert conn.read_head() is not None
        conn.send(response(403, b"no"))
        assert conn.read_exactly(1) is None

    with Server([script]) as server, aws_pool(*server.address) as pool:
        assert pool.request("PUT", "/", body=b"whole", headers=EXPECT).status == 403


def test_the_body_follows_after_a_while_when_the_server_says_nothing(aws_pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carriers, "AWS_PATIENCE", 0.05)
    under.inject()
    with Server(echo) as server, aws_pool(*server.address) as pool:
        assert pool.request("PUT", "/", body=b"whole", headers=EXPECT).status == 200
        assert server.requests[0].body == b"whole"


def test_the_body_follows_over_tls(tls: Tls, aws_pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carriers, "AWS_PATIENCE", 5.0)

    class AWSHTTPSConnection(urllib3.connection.HTTPSConnection):
        __module__ = "botocore.awsrequest"

    class Pool(urllib3.HTTPSConnectionPool):
        ConnectionCls = AWSHTTPSConnection

    def script(conn: Conn) -> None:
        assert conn.read_head() is not None
        conn.send(head(103), head(100))
        assert conn.read_exactly(5) == b"whole"
        conn.send(ok())

    under.inject()
    with Server([script], tls=tls.server_context()) as server, Pool("localhost", server.address[1], ca_certs=tls.ca_path) as pool:
        assert pool.request("PUT", "/", body=b"whole", headers=EXPECT).status == 200


# -- errors --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (ClientClosed("x"), "ConnectionAbortedError"),
        (InvalidHeader("x"), "ValueError"),
        (UnrewindableBodyError("x"), "UnrewindableBodyError"),
        (ConnectTimeout("x"), "ConnectTimeoutError"),
        (PoolTimeout("x"), "TimeoutError"),
        (WriteTimeout("x"), "ProtocolError"),
        (TotalTimeout("x"), "TimeoutError"),
        (SSLError("x"), "SSLError"),
        (HeadersTooLarge("x"), "HTTPException"),
        (RemoteProtocolError("x"), "BadStatusLine"),
        (RequestException("x"), "ProtocolError"),
    ],
)
def test_each_error_leaves_as_the_one_urllib3_would_raise(ours: Any, theirs: str) -> None:
    found = errors.of_exchange(ours, HTTPConnection("host"), 1.0)
    assert type(found).__name__ == theirs
    assert not isinstance(found, RequestException)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(SSLError("x"), "SSLError"), (ClientClosed("x"), "ConnectionAbortedError"), (HeadersTooLarge("x"), "HTTPException")],
)
def test_each_error_of_a_body_leaves_as_http_clients(ours: Any, theirs: str) -> None:
    assert type(errors.of_body(ours)).__name__ == theirs


def test_a_server_that_stops_reading_is_a_protocol_error_as_with_urllib3() -> None:
    kinds = []
    for switch in (under.eject, under.inject):
        switch()
        done = threading.Event()

        def script(conn: Conn, done: threading.Event = done) -> None:
            conn.read_head()
            conn.wait(done)

        with (
            Server([script]) as server,
            urllib3.PoolManager() as manager,
        ):
            with pytest.raises(urllib3.exceptions.ProtocolError) as caught:
                manager.request("PUT", server.url(), body=b"x" * 30_000_000, timeout=0.1, retries=False)
            done.set()
        kinds.append([type(arg) for arg in caught.value.args])
    assert kinds[0] == kinds[1]

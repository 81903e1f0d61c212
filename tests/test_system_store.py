"""verify="system": the operating system's store, read once, and never mixed up with another way of verifying."""

from __future__ import annotations

import ssl
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import truststore

import holdfast
from holdfast import Client
from holdfast.wire import tls as wire_tls
from holdfast.wire.tls import context_for
from tests.conftest import Tls
from tests.server import Server, connect_proxy
from tests.support import QUICK


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, no_leaks: None) -> None:
    """A process that has read no store yet, and whose environment says nothing of authorities or proxies."""
    monkeypatch.setattr(wire_tls, "_contexts", OrderedDict())
    for name in holdfast.environment._NAMES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tls: Tls, tmp_path: Path) -> str:
    """The system's store has the authority of the tests, and nothing else."""
    monkeypatch.setenv("SSL_CERT_FILE", tls.ca_path)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    return tls.ca_path


def test_the_systems_store_is_trusted_and_certifis_is_not(tls: Tls, store: str) -> None:
    with Server(tls=tls.server_context()) as server, Client(verify="system", timeout=QUICK, trust_env=False) as client:
        assert client.get(server.url(host="localhost")).ok
        with pytest.raises(holdfast.SSLError, match=r"certificate of localhost:\d+ is not valid"):
            client.get(server.url(host="localhost"), verify=True)


def test_it_is_read_once_per_process_and_certificate(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[ssl.SSLContext] = []
    real = ssl.SSLContext.load_default_certs

    def counted(self: ssl.SSLContext, *rest: ssl.Purpose) -> None:
        read.append(self)
        real(self, *rest)

    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", counted)

    assert context_for("system") is context_for("system")
    assert len(read) == 1


def test_a_variable_that_names_a_bundle_does_not_overrule_it(tls: Tls, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/bundle.pem")
    with Server(tls=tls.server_context()) as server, Client(verify="system", timeout=QUICK) as client:
        assert client.get(server.url(host="localhost")).ok
        with pytest.raises(holdfast.InvalidRequest, match="REQUESTS_CA_BUNDLE"):
            client.get(server.url(host="localhost"), verify=True)
    with Server(tls=tls.server_context()) as server, holdfast.Session() as session:
        session.verify = "system"
        assert session.get(server.url(host="localhost")).ok


def test_a_connection_that_was_verified_in_one_way_is_never_used_for_another(tls: Tls, store: str) -> None:
    with Server(tls=tls.server_context()) as server, Client(timeout=QUICK) as client:
        url = server.url(host="localhost")
        for verify in ("system", store, False, "system", store, False):
            assert client.get(url, verify=verify).ok

        assert server.connections == 3


def test_through_proxies_too(tls: Tls, store: str) -> None:
    with Server(tls=tls.server_context()) as server, Server(connect_proxy, tls=tls.server_context()) as proxy:
        proxies = {"https": f"https://localhost:{proxy.port}"}
        with Client(timeout=QUICK, proxies=proxies, trust_env=False) as client:
            url = server.url(host="localhost")
            for verify in ("system", store, "system", store):
                assert client.get(url, verify=verify).ok
            with pytest.raises(holdfast.SSLError, match="TLS with the proxy"):
                client.get(url, verify=True)

        assert (server.connections, proxy.connections) == (2, 3)


def test_sessions_are_resumed(tls: Tls, store: str) -> None:
    with Server(tls=tls.server_context()) as server, Client(verify="system", timeout=QUICK) as client:
        infos = []
        for _ in range(2):
            infos.append(client.get(server.url(host="localhost")).connection_info)
            client.close_idle()

    assert [info is not None and info.tls_resumed for info in infos] == [False, True]


def test_a_system_without_a_store_is_said_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    with Client(verify="system") as client, pytest.raises(holdfast.SSLError, match="no authorities where OpenSSL looks for"):
        client.get("https://127.0.0.1:1/")

    (tmp_path / "12345678.0").write_text("read when a certificate comes")
    assert isinstance(context_for("system"), ssl.SSLContext)


def test_an_adapter_with_tls_arguments_of_its_own_knows_the_word(tls: Tls, store: str) -> None:
    class Pinned(holdfast.adapters.HTTPAdapter):
        def init_poolmanager(self, *arguments: Any, **settings: Any) -> None:
            super().init_poolmanager(*arguments, ssl_minimum_version=ssl.TLSVersion.TLSv1_3, **settings)

    with Server(tls=tls.server_context()) as server, holdfast.Session() as session:
        session.mount("https://", Pinned())
        assert session.get(server.url(host="localhost"), verify="system").ok


# -- truststore --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_where_openssl_does_not_know_the_systems_store_truststore_is_used(
    tls: Tls, store: str, monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    with monkeypatch.context() as there:
        there.setattr(sys, "platform", platform)
        context = context_for("system")
    assert isinstance(context, truststore.SSLContext)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2

    with Server(tls=tls.server_context()) as server, Client(verify="system", timeout=QUICK) as client:
        infos = []
        for _ in range(2):
            infos.append(client.get(server.url(host="localhost")).connection_info)
            client.close_idle()
    # truststore looks at the certificate after the handshake, and a resumed one has none
    assert [info is not None and info.tls_resumed for info in infos] == [False, False]


def test_without_truststore_openssl_does_what_it_can_there(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "truststore", None)
    with monkeypatch.context() as there:
        there.setattr(sys, "platform", "darwin")
        context = context_for("system")

    assert type(context) is ssl.SSLContext
    assert context.cert_store_stats()["x509_ca"] == 1


def test_a_program_may_have_put_truststore_in_place_of_ssls_contexts(
    tls: Tls, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = tls.server_context()
    monkeypatch.setattr(ssl, "SSLContext", truststore.SSLContext)
    with Server(tls=context) as server, Client(verify="system", timeout=QUICK) as client:
        assert client.get(server.url(host="localhost")).ok

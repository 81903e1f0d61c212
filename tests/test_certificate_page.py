"""What the page on CERTIFICATE_VERIFY_FAILED says of other clients and of the environment is so; its blocks run in test_readme."""

from __future__ import annotations

import importlib
import ssl
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast import requests as drop_in
from tests.conftest import Tls
from tests.server import Server
from tests.test_proxies import put_hashed
from tests.test_readme import PAGES, table

PAGE = PAGES["docs/errors/certificate-verify-failed-unable-to-get-local-issuer-certificate.md"]
BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
VARIABLES = (*BUNDLES, "SSL_CERT_FILE", "SSL_CERT_DIR")
ROWS = {row[0]: [cell == "yes" for cell in row[1:]] for row in table(PAGE, "| `REQUESTS_CA_BUNDLE`")}


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, no_leaks: None) -> None:
    """An environment that names no authorities."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def get(client: str, url: str) -> None:
    """One GET by a client without any setting of its own."""
    if client == "urllib.request":
        urllib.request.build_opener().open(url, timeout=5).close()  # urlopen() keeps its first opener, and that one its context
    elif client == "urllib3":
        with importlib.import_module("urllib3").PoolManager(retries=False) as manager:
            manager.request("GET", url, timeout=5)
    elif client == "holdfast":
        with holdfast.Client(timeout=5) as ours:
            ours.get(url)
    else:
        importlib.import_module(client).get(url, timeout=5)


def test_the_table_has_each_client() -> None:
    assert ROWS.keys() == {"requests", "urllib3", "httpx", "httpx2", "urllib.request", "holdfast"}


@pytest.mark.parametrize("client", ROWS)
@pytest.mark.parametrize("variable", VARIABLES)
def test_a_variable_is_heeded_as_the_table_says(
    client: str, variable: str, tls: Tls, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if client not in ("holdfast", "urllib.request"):
        pytest.importorskip(client)
    value = tls.ca_path
    if variable == "SSL_CERT_DIR":
        put_hashed(tls.ca_path, tmp_path)
        value = str(tmp_path)
    with Server(tls=tls.server_context()) as server:
        url = server.url(host="localhost")
        with pytest.raises(Exception, match="CERTIFICATE_VERIFY_FAILED"):
            get(client, url)
        monkeypatch.setenv(variable, value)
        if ROWS[client][VARIABLES.index(variable)]:
            get(client, url)
        else:
            with pytest.raises(Exception, match="CERTIFICATE_VERIFY_FAILED"):
                get(client, url)


@pytest.mark.parametrize("variable", BUNDLES)
def test_in_requests_a_variable_goes_over_the_sessions_verify_and_not_over_a_calls(
    variable: str, tls: Tls, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = pytest.importorskip("requests")
    monkeypatch.setenv(variable, importlib.import_module("certifi").where())
    with Server(tls=tls.server_context()) as server, requests.Session() as session:
        url = server.url(host="localhost")
        session.verify = tls.ca_path
        with pytest.raises(requests.exceptions.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
            session.get(url)
        assert session.get(url, verify=tls.ca_path).ok


@pytest.mark.parametrize("kind", [holdfast.Client, drop_in.Session])
@pytest.mark.parametrize("variable", VARIABLES)
def test_in_holdfast_what_the_program_says_goes_over_the_variables(
    kind: Callable[[], Any], variable: str, tls: Tls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, importlib.import_module("certifi").where())
    with Server(tls=tls.server_context()) as server, kind() as client:
        client.verify = tls.ca_path
        assert client.get(server.url(host="localhost")).ok


CASES: list[tuple[str, Callable[[Tls], Any]]] = [
    ("unable to get local issuer certificate", lambda tls: None),
    ("Hostname mismatch, certificate is not valid for", lambda tls: tls.ca.issue_cert("other.example")),
]


@pytest.mark.parametrize(("words", "issue"), CASES, ids=[words for words, _ in CASES])
@pytest.mark.parametrize("client", ["requests", "urllib3", "httpx", "httpx2", "urllib.request", "holdfast", "holdfast.requests"])
def test_the_words_behind_the_message_are_the_same_in_every_client(
    client: str, words: str, issue: Callable[[Tls], Any], tls: Tls, monkeypatch: pytest.MonkeyPatch
) -> None:
    if client not in ("urllib.request", "holdfast", "holdfast.requests"):
        pytest.importorskip(client)
    assert words in PAGE
    if issue(tls) is not None:
        for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
            monkeypatch.setenv(name, tls.ca_path)
    with Server(tls=tls.server_context(issue(tls))) as server, pytest.raises(Exception, match=words) as caught:
        get(client, server.url(host="localhost"))

    assert "CERTIFICATE_VERIFY_FAILED" in str(caught.value)


def test_the_cause_is_ssls_own_error_with_its_code(tls: Tls) -> None:
    with Server(tls=tls.server_context()) as server, pytest.raises(holdfast.SSLError) as caught:
        get("holdfast", server.url(host="localhost"))

    assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)
    assert caught.value.__cause__.verify_code == 20

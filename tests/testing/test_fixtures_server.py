"""The fixtures of servers, TLS with a certificate made for the process, and a script that is set while the server runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import holdfast
from holdfast.testing import ScriptFailed, Server, certificates, connection
from holdfast.testing import server as server_module
from holdfast.testing.behaviours import replies
from holdfast.testing.connection import Conn
from holdfast.testing.responses import ok

pytestmark = pytest.mark.usefixtures("no_leaks")


def test_the_fixture_is_a_server_that_echoes_until_it_is_told_otherwise(holdfast_server: Server) -> None:
    with holdfast.Client() as client:
        assert client.get(holdfast_server.url("/a")).json()["target"] == "/a"
        client.close_idle()
        holdfast_server.script = replies(ok(b"other"))

        assert client.get(holdfast_server.url("/b")).text == "other"


def test_several_scripts_that_are_set_later_are_for_the_connections_from_then_on(holdfast_server: Server) -> None:
    for path in ("/a", "/b"):
        with holdfast.Client() as client:
            client.get(holdfast_server.url(path))
    holdfast_server.script = [replies(ok(b"first")), replies(ok(b"second"))]
    said = []
    for _ in range(2):
        with holdfast.Client() as client:
            said.append(client.get(holdfast_server.url("/")).text)

    assert said == ["first", "second"]


def test_the_tls_fixture_is_verified_against_an_authority_of_its_own(holdfast_tls_server: Server) -> None:
    with holdfast.Client(verify=holdfast_tls_server.ca_path) as client:
        assert client.get(holdfast_tls_server.url("/")).status_code == 200
        assert client.get(holdfast_tls_server.url("/", host="localhost")).status_code == 200
    with holdfast.Client() as client, pytest.raises(holdfast.SSLError):
        client.get(holdfast_tls_server.url("/"))


def test_the_authoritys_file_is_there_until_the_server_ends() -> None:
    with Server(tls=True) as server:
        path = Path(server.ca_path)
        assert path.read_bytes() == certificates.authority().pem
        assert server.ca_path == str(path)
    assert not path.exists()


def test_a_server_without_an_authority_says_so() -> None:
    with Server() as server, pytest.raises(ValueError, match="only Server\\(tls=True\\)"):
        _ = server.ca_path


def test_without_trustme_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    certificates.authority.cache_clear()
    monkeypatch.setitem(sys.modules, "trustme", None)

    with pytest.raises(ModuleNotFoundError, match=r"pip install 'holdfast-http\[testing\]', or give Server an ssl.SSLContext"):
        Server(tls=True)


def test_more_connections_at_once_than_threads_are_allowed_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "MAX_CONNECTIONS", 1)
    with pytest.raises(ScriptFailed, match="more than 1 connection is open at once"):  # noqa: PT012,SIM117
        with Server() as server, holdfast.Client() as one, holdfast.Client() as other:
            one.get(server.url("/"))
            with pytest.raises(holdfast.ConnectionError):
                other.get(server.url("/"))


def test_a_head_without_an_end_is_not_read_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MAX_HEAD_BYTES", 100)
    with pytest.raises(ScriptFailed, match="bytes came without"):  # noqa: SIM117
        with Server(lambda conn: conn.read_until(b"!")) as server, pytest.raises(holdfast.ConnectionError):
            holdfast.get(server.url("/" + 1000 * "x"))


def test_unwrap_of_a_plain_connection_is_the_scripts_mistake() -> None:
    with pytest.raises(ScriptFailed, match=r"unwrap\(\) is for TLS"):  # noqa: SIM117
        with Server(Conn.unwrap) as server, holdfast.Client() as client, pytest.raises(holdfast.RequestException):
            client.get(server.url("/"))


def test_a_test_file_of_a_user_has_the_fixtures_by_the_entry_point(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        """
import sys
import pytest

def test_before():
    assert "pytest_holdfast" in sys.modules
    assert "holdfast" not in sys.modules

def test_lost(holdfast_server):
    import holdfast
    from holdfast.testing import behaviours
    holdfast_server.script = behaviours.loses()
    with pytest.raises(holdfast.ConnectionLost) as caught:
        holdfast.post(holdfast_server.url("/order"), json={})
    assert caught.value.may_have_executed

def test_script_goes_wrong(holdfast_server):
    holdfast_server.script = []
    import holdfast
    with pytest.raises(holdfast.ConnectionError):
        holdfast.post(holdfast_server.url("/order"), json={})
""",
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)

    assert "3 passed, 1 error" in done.stdout, done.stdout
    assert "connection 1 was opened, but there are scripts for 0 only" in done.stdout

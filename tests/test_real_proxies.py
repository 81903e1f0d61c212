"""Against real proxies: microsocks, Dante, and squid spoken to over TLS and asking for Digest.

Each is skipped, by name, where it is not installed. tinyproxy and squid as plain HTTP proxies are in test_proxies.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast import Client, environment
from holdfast.auth import HTTPProxyDigestAuth
from tests.conftest import Tls
from tests.server import Server
from tests.support import free_port
from tests.test_interop import daemon, needs

DANTE = """
logoutput: stderr
internal: 127.0.0.1 port = {port}
external: lo
clientmethod: none
socksmethod: none
client pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}
socks block {{ from: 0.0.0.0/0 to: 127.0.0.5/32 }}
socks pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}
"""

SQUID = """
{listen}
pid_filename none
access_log none
cache_log {root}/cache.log
cache_store_log none
cache deny all
coredump_dir {root}
{auth}
http_access allow {who}
http_access deny all
"""


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, no_leaks: None) -> None:
    """None of the variables is set, whatever the machine has."""
    for name in (*environment._NAMES, "NETRC"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def root() -> Iterator[Path]:
    """A directory that a daemon which gives up its rights can still use."""
    path = Path(tempfile.mkdtemp(prefix="holdfast-proxy-"))
    path.chmod(0o777)
    yield path
    shutil.rmtree(path)


@contextlib.contextmanager
def microsocks(root: Path, *more: str) -> Iterator[int]:
    program, port = needs("microsocks"), free_port()
    with daemon(port, program, "-i", "127.0.0.1", "-p", str(port), *more, cwd=root):
        yield port


@contextlib.contextmanager
def dante(root: Path) -> Iterator[int]:
    program, port = needs("danted"), free_port()
    (root / "conf").write_text(DANTE.format(port=port))
    with daemon(port, program, "-f", str(root / "conf"), "-p", str(root / "pid"), cwd=root):
        yield port


@contextlib.contextmanager
def squid(root: Path, tls: Tls | None, digest: bool = False) -> Iterator[int]:
    program, port = needs("squid"), free_port()
    listen = f"http_port 127.0.0.1:{port}"
    if tls is not None:
        built = subprocess.run([program, "-v"], capture_output=True, text=True, check=False).stdout
        if "--with-openssl" not in built:
            pytest.skip("squid is not built with OpenSSL (Debian: squid-openssl)")
        (root / "cert.pem").write_bytes(tls.identity.private_key_and_cert_chain_pem.bytes())
        listen = f"https_port 127.0.0.1:{port} tls-cert={root}/cert.pem"
    auth, who = "", "all"
    if digest:
        helper = shutil.which("digest_file_auth", path=f"/usr/lib/squid:{Path(program).parent.parent}/lib/squid")
        if helper is None:
            pytest.skip("squid's digest_file_auth is not installed")
        secret = hashlib.md5(b"user:proxy:s3cr3t").hexdigest()
        (root / "passwords").write_text(f"user:proxy:{secret}\n")
        auth = (
            f"auth_param digest program {helper} -c {root}/passwords\nauth_param digest children 2\nauth_param digest realm proxy\n"
        )
        auth += "acl known proxy_auth REQUIRED"
        who = "known"
    (root / "conf").write_text(SQUID.format(listen=listen, root=root, auth=auth, who=who))
    # SIGTERM: squid takes two seconds to say good-bye.
    with daemon(port, program, "-N", "-f", str(root / "conf"), cwd=root, end=signal.SIGKILL):
        yield port


@pytest.fixture
def origins(tls: Tls) -> Iterator[tuple[Server, Server]]:
    """A plain server and one of TLS."""
    with Server() as plain, Server(tls=tls.server_context()) as secure:
        yield plain, secure


def urls(origins: tuple[Server, Server], host: str = "localhost") -> list[str]:
    return [origin.url("/a?b=c", host=host) for origin in origins]


def go_through(client: Client, origins: tuple[Server, Server], host: str = "localhost") -> None:
    """Bodies both ways, twice to either origin, over one connection each."""
    for url in urls(origins, host) * 2:
        answer = client.post(url, data=b"x" * 70_000)
        assert (answer.status_code, answer.json()["target"], len(answer.json()["body"])) == (200, "/a?b=c", 70_000)
        assert "Proxy-Authorization" not in dict(answer.json()["headers"])


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_microsocks_carries_http_and_https(tls: Tls, root: Path, origins: tuple[Server, Server], scheme: str) -> None:
    with microsocks(root) as port, Client(verify=tls.ca_path, proxies={"all": f"{scheme}://127.0.0.1:{port}"}) as client:
        go_through(client, origins)
        with pytest.raises(holdfast.ProxyError, match=r"the server refused the connection \(reply 5\)"):
            client.get(f"http://127.0.0.1:{free_port()}/")

    assert [origin.connections for origin in origins] == [1, 1]


def test_microsocks_asks_for_credentials_and_says_whether_they_are_right(
    tls: Tls, root: Path, origins: tuple[Server, Server]
) -> None:
    with microsocks(root, "-u", "user", "-P", "s3cr3t") as port, Client(verify=tls.ca_path) as client:
        for userinfo, words in (("", "wants credentials"), ("user:wr0ng@", "does not accept these credentials")):
            for url in urls(origins):
                with pytest.raises(holdfast.ProxyError, match=words) as caught:
                    client.get(url, proxies={"all": f"socks5h://{userinfo}127.0.0.1:{port}"})
                assert "wr0ng" not in str(caught.value)
        assert [origin.connections for origin in origins] == [0, 0]
        client.proxies = {"all": f"socks5h://user:s3cr3t@127.0.0.1:{port}"}
        go_through(client, origins)


@pytest.mark.parametrize("scheme", ["socks5", "socks5h", "socks4", "socks4a"])
def test_dante_carries_http_and_https_and_says_what_its_rules_forbid(
    tls: Tls, root: Path, origins: tuple[Server, Server], scheme: str
) -> None:
    with dante(root) as port, Client(verify=tls.ca_path, proxies={"all": f"{scheme}://127.0.0.1:{port}"}) as client:
        # Dante refuses every name of SOCKS4a (91), to curl as well; an address goes as in SOCKS4.
        go_through(client, origins, "127.0.0.1" if scheme == "socks4a" else "localhost")
        words = "rules forbid" if scheme.startswith("socks5") else "rejected or failed"
        with pytest.raises(holdfast.ProxyError, match=words):
            client.get("http://127.0.0.5:80/")
        with pytest.raises(holdfast.ProxyError, match=r"refused|reply 91"):
            client.get(f"http://127.0.0.1:{free_port()}/")

    assert [origin.connections for origin in origins] == [1, 1]


@pytest.mark.parametrize("proxy", [microsocks, dante])
def test_names_are_resolved_where_the_scheme_says(
    tls: Tls, root: Path, origins: tuple[Server, Server], monkeypatch: pytest.MonkeyPatch, proxy: Any
) -> None:
    real = socket.getaddrinfo

    def getaddrinfo(host: str, *rest: Any) -> Any:
        assert host != "localhost", "this name was to be resolved by the proxy"
        return real("127.0.0.1" if host == "only-here.test" else host, *rest)

    with proxy(root) as port, Client() as client:
        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        here, there = {"all": f"socks5://127.0.0.1:{port}"}, {"all": f"socks5h://127.0.0.1:{port}"}
        assert client.get(origins[0].url("/", host="only-here.test"), proxies=here).status_code == 200
        assert client.get(origins[0].url("/", host="localhost"), proxies=there).status_code == 200
        with pytest.raises(holdfast.ProxyError, match=r"reply [14]"):
            client.get(origins[0].url("/", host="only-here.test"), proxies=there)
        with pytest.raises(holdfast.ConnectionError, match="socks5h:// has the proxy resolve"):
            client.get("http://nowhere.invalid/", proxies=here)


def test_squid_is_spoken_to_over_tls(tls: Tls, root: Path, origins: tuple[Server, Server]) -> None:
    with squid(root, tls) as port, Client(verify=tls.ca_path, proxies={"all": f"https://127.0.0.1:{port}"}) as client:
        go_through(client, origins)
        with pytest.raises(holdfast.ProxyError, match=r"503 .*X-Squid-Error: 'ERR_CONNECT_FAIL 111'"):
            client.get(f"https://127.0.0.1:{free_port()}/")
        with Client(proxies=client.proxies) as strict, pytest.raises(holdfast.ProxyError, match="certificate"):
            strict.get(urls(origins)[0])
        with pytest.raises(holdfast.ProxyError, match=r"not HTTP|closed|reset"):
            client.get(urls(origins)[1], proxies={"all": f"http://127.0.0.1:{port}"})

    assert origins[1].connections == 1


@pytest.mark.parametrize("secure", [False, True])
def test_squid_asks_for_digest_and_gets_it(tls: Tls, root: Path, origins: tuple[Server, Server], secure: bool) -> None:
    with squid(root, tls if secure else None, digest=True) as port, Client(verify=tls.ca_path) as client:
        client.proxies = {"all": f"http{'s' if secure else ''}://127.0.0.1:{port}"}
        plain, inside = urls(origins)
        client.auth = HTTPProxyDigestAuth("user", "s3cr3t")
        go_through(client, origins)
        assert client.get(plain).history == []
        wrong = HTTPProxyDigestAuth("user", "wr0ng")
        assert client.get(plain, auth=wrong).status_code == 407
        with pytest.raises(holdfast.ProxyError, match=r"407 .*does not accept these credentials"):
            client.get(inside.replace("localhost", "127.0.0.1"), auth=wrong)


def test_squid_that_refuses_a_body_keeps_no_later_call_waiting(tls: Tls, root: Path, origins: tuple[Server, Server]) -> None:
    with squid(root, None, digest=True) as port:
        proxies = {"all": f"http://127.0.0.1:{port}"}
        with Client(proxies=proxies, timeout=5) as client:
            for size in (1, 70_000, 300_000):
                statuses = [client.post(urls(origins)[0], data=b"x" * size).status_code, client.get(urls(origins)[0]).status_code]

                assert statuses == [407, 407]

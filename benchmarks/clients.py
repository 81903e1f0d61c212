"""The clients that are compared, each behind the same two methods."""

from __future__ import annotations

import contextlib
import http.client
import importlib
import ssl
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

TIMEOUT = 5.0


@dataclass(frozen=True)
class Setting:
    """What a client is made with.

    Attributes:
        ca: path of the certificate authority to trust; None where everything is plain.
        proxy: the proxy's URL for both schemes.
        timeout: seconds for connecting and for each read.
    """

    ca: str | None = None
    proxy: str | None = None
    timeout: float = TIMEOUT


class Peer(Protocol):
    """One client; all but ``http.client`` may be used by many threads."""

    def send(self, method: str, url: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> tuple[int, str]:
        """Send the request; the response's status and body."""
        ...

    def close(self) -> None:
        """Close its connections."""
        ...


class _Verbs:
    """holdfast, requests and httpx: they differ in how a client is made and in the body's argument."""

    def __init__(self, client: Any, setting: Setting, body: str = "data") -> None:
        self.client, self.timeout, self.body = client, setting.timeout, body

    def send(self, method: str, url: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> tuple[int, str]:
        content = {} if body is None else {self.body: body}
        response = self.client.request(method, url, headers=headers, timeout=self.timeout, **content)
        return response.status_code, response.content.decode("latin-1")

    def close(self) -> None:
        self.client.close()


def _holdfast(setting: Setting) -> Peer:
    proxies = {"http": setting.proxy, "https": setting.proxy} if setting.proxy else None
    client = importlib.import_module("holdfast").Client(verify=setting.ca or True, proxies=proxies, trust_env=False)
    return _Verbs(client, setting)


def _requests(setting: Setting) -> Peer:
    session = importlib.import_module("requests").Session()
    session.verify, session.trust_env = setting.ca or True, False
    if setting.proxy:
        session.proxies = {"http": setting.proxy, "https": setting.proxy}
    return _Verbs(session, setting)


def _httpx(setting: Setting) -> Peer:
    context = ssl.create_default_context(cafile=setting.ca)
    client = importlib.import_module("httpx").Client(verify=context, trust_env=False, proxy=setting.proxy)
    return _Verbs(client, setting, body="content")


class _Urllib3:
    """A PoolManager, which sends a GET again when its connection ends, and a POST not."""

    def __init__(self, setting: Setting) -> None:
        urllib3 = importlib.import_module("urllib3")
        options: dict[str, Any] = {"timeout": setting.timeout, "maxsize": 10}
        if setting.ca:
            options["ca_certs"] = setting.ca
        self.pool = urllib3.ProxyManager(setting.proxy, **options) if setting.proxy else urllib3.PoolManager(**options)

    def send(self, method: str, url: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> tuple[int, str]:
        response = self.pool.request(method, url, body=body, headers=headers)
        return response.status, response.data.decode("latin-1")

    def close(self) -> None:
        self.pool.clear()


class _HttpClient:
    """The standard library's: one connection, made again after a failure."""

    def __init__(self, setting: Setting) -> None:
        self.timeout = setting.timeout
        self.connection: http.client.HTTPConnection | None = None

    def send(self, method: str, url: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> tuple[int, str]:
        parts = urllib.parse.urlsplit(url)
        if self.connection is None:
            self.connection = http.client.HTTPConnection(parts.netloc, timeout=self.timeout)
        try:
            self.connection.request(method, parts.path, body, headers or {})
            response = self.connection.getresponse()
            return response.status, response.read().decode("latin-1")
        except Exception:
            self.close()
            raise

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None


PEERS: dict[str, Callable[[Setting], Peer]] = {
    "holdfast": _holdfast,
    "requests": _requests,
    "httpx": _httpx,
    "urllib3": _Urllib3,
    "http.client": _HttpClient,
}


def version(peer: str) -> str | None:
    """The installed version; None if the peer is not installed."""
    if peer == "http.client":
        return ""
    with contextlib.suppress(ImportError):
        return str(importlib.import_module(peer).__version__)
    return None


def installed(names: list[str]) -> list[str]:
    """Those of the peers that are installed; the others are said by name."""
    for name in names:
        if version(name) is None:
            print(f"{name} is not installed: its rows are left out")
    return [name for name in names if version(name) is not None]


def titles(names: list[str]) -> str:
    """As in "holdfast 0.1.0, requests 2.34.2"."""
    return ", ".join(f"{name} {version(name)}".strip() for name in names)

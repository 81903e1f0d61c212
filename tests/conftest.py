"""What the tests share: certificates, a clock that only the test moves, and the check that nothing is left behind."""

from __future__ import annotations

import gc
import os
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.platforms import WITHOUT, missing, take_away

if os.environ.get(WITHOUT) == "linux":
    take_away()

from holdfast.wire import addressing

SETTLE_SECONDS = 10.0


class Tls:
    """A certificate authority and what it issued, for one test session.

    Attributes:
        ca: the authority; ``tls.ca.issue_cert("other.example")`` makes further certificates.
        ca_path: the authority's certificate as a PEM file: what a client gives as ``verify=``.
        client_cert: PEM file with the client's certificate and key, issued by the same authority: ``cert=``.
        client_key: PEM file with the client's key alone; ``client_cert_only`` has the certificate alone.
    """

    def __init__(self, directory: Path) -> None:
        self.ca = trustme.CA()
        self.identity = self.ca.issue_cert("localhost", "127.0.0.1", "::1")
        client = self.ca.issue_cert("client@example.org")
        self.ca_path = str(directory / "ca.pem")
        self.client_cert = str(directory / "client.pem")
        self.client_key = str(directory / "client.key")
        self.client_cert_only = str(directory / "client.crt")
        self.ca.cert_pem.write_to_path(self.ca_path)
        client.private_key_and_cert_chain_pem.write_to_path(self.client_cert)
        client.private_key_pem.write_to_path(self.client_key)
        client.cert_chain_pems[0].write_to_path(self.client_cert_only)

    def server_context(
        self,
        identity: trustme.LeafCert | None = None,
        *,
        tickets: int = 2,
        maximum: ssl.TLSVersion | None = None,
        ask_client: bool = False,
    ) -> ssl.SSLContext:
        """A new server context: how many TLS 1.3 tickets, up to which version, is a client certificate a must."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        (identity or self.identity).configure_cert(context)
        context.num_tickets = tickets
        if maximum is not None:
            context.maximum_version = maximum
        if ask_client:
            self.ca.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def client_context(self) -> ssl.SSLContext:
        """A new client context that trusts this authority."""
        return ssl.create_default_context(cafile=self.ca_path)


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    """A certificate authority, a certificate for localhost, 127.0.0.1 and ::1, and a client's certificate."""
    return Tls(tmp_path_factory.mktemp("tls"))


class FakeClock:
    """A monotonic clock that stands still until the test advances it: ``Deadline(5, clock)``; ``clock.advance(6)``."""

    __slots__ = ("_lock", "_now")

    def __init__(self, now: float = 1000.0) -> None:
        self._now = now
        self._lock = threading.Lock()

    def __call__(self) -> float:
        return self._now

    def advance(self, seconds: float) -> float:
        """Move the clock forward; returns the new time."""
        if seconds < 0:
            raise ValueError(f"advance({seconds}): a monotonic clock does not go back")
        with self._lock:
            self._now += seconds
            return self._now


@pytest.fixture
def clock() -> FakeClock:
    """A FakeClock at 1000.0 seconds."""
    return FakeClock()


def open_descriptors() -> dict[int, str]:
    """Descriptor number -> what it refers to (Linux; elsewhere empty, and nothing is checked)."""
    found = {}
    try:
        numbers = os.listdir("/proc/self/fd")
    except OSError:
        return {}
    for number in numbers:
        try:
            found[int(number)] = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue  # listdir()'s own descriptor, closed by now
    return found


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """What pytest knows of thousands of tests is no garbage.

    Looked at over and over, it would take a third of the time that they take to be found, and a quarter of a second in each
    ``gc.collect()`` of a test.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A test marked ``needs`` is not selected where what it needs is missing; pytest says how many were not."""
    gone = [item for item in items if any(missing(mark.args) for mark in item.iter_markers("needs"))]
    config.hook.pytest_deselected(items=gone)
    items[:] = [item for item in items if item not in gone]


@pytest.fixture
def quick_gc() -> None:
    """``gc.collect()`` looks only at what was made since: hundreds of them are affordable."""
    gc.collect()  # so that what earlier tests left behind is not kept for ever
    gc.freeze()


@pytest.fixture
def no_leaks(quick_gc: None) -> Iterator[None]:
    """Fails a test which leaves a thread or a descriptor behind. Name it first among the test's fixtures."""
    threads, descriptors = set(threading.enumerate()), open_descriptors()
    yield
    addressing._resolvers.end()  # a resolver's thread waits a second for the next name
    until = time.monotonic() + SETTLE_SECONDS
    while (more := set(threading.enumerate()) - threads) and time.monotonic() < until:
        for thread in more:  # one that ends may have started another
            thread.join(max(0.0, until - time.monotonic()))
    gc.collect()  # what is unreachable is closed by its finaliser (and warns, if it ought to)
    left = [thread.name for thread in threading.enumerate() if thread not in threads]
    assert not left, f"threads left behind: {left}"
    kept = {fd: to for fd, to in open_descriptors().items() if descriptors.get(fd) != to}
    assert not kept, f"descriptors left behind: {kept}"

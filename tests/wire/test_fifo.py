"""FIFOs where PEM files are expected: what is written to one is read, and no call waits for ever for what is not."""

from __future__ import annotations

import os
import ssl
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast.requests._tls import TlsOptions
from holdfast.wire import fifo, tls
from tests.conftest import Tls

WAIT = 5.0

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="no copies in memory here: OpenSSL opens FIFOs itself, and waits"),
    pytest.mark.usefixtures("no_leaks", "fresh_contexts"),
]


@pytest.fixture
def fresh_contexts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "_contexts", OrderedDict())


@pytest.fixture(name="authority")
def _authority(tls: Tls) -> Tls:
    return tls


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fifo, "PATIENCE_SECONDS", 0.01)


@pytest.fixture
def empty(tmp_path: Path) -> str:
    """A FIFO without a writer and without a reader."""
    os.mkfifo(tmp_path / "fifo")
    return str(tmp_path / "fifo")


def test_a_bundle_is_read_from_a_fifo_once_by_all_threads_that_come_at_once(empty: str, authority: Tls) -> None:
    found: list[ssl.SSLContext] = []

    def ask() -> None:
        found.append(tls.context_for(empty))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    Path(empty).write_bytes(Path(authority.ca_path).read_bytes())
    for thread in threads:
        thread.join(WAIT)

    assert len(found) == 4
    assert {id(context) for context in found} == {id(tls.context_for(empty))}, "written to meanwhile, it is no other"
    assert found[0].cert_store_stats()["x509_ca"] == 1


@pytest.mark.parametrize("by_two", [False, True])
def test_a_certificate_and_its_key_are_read_from_one_fifo_or_two(empty: str, authority: Tls, by_two: bool) -> None:
    other = empty + "2"
    os.mkfifo(other)
    sources = {empty: authority.client_cert_only, other: authority.client_key} if by_two else {empty: authority.client_cert}
    writers = [threading.Thread(target=Path(to).write_bytes, args=(Path(of).read_bytes(),)) for to, of in sources.items()]
    for writer in writers:
        writer.start()

    assert tls.context_for(False, (empty, other) if by_two else empty).post_handshake_auth
    for writer in writers:
        writer.join(WAIT)


def _as_urllib3(**given: str) -> ssl.SSLContext | None:
    return TlsOptions(given)._build(None, None)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "load",
    [
        lambda path, tls: _context(path),
        lambda path, tls: _context(False, path),
        lambda path, tls: _context(False, (tls.client_cert_only, path)),
        lambda path, tls: _as_urllib3(ca_certs=path),
        lambda path, tls: _as_urllib3(cert_reqs="CERT_NONE", cert_file=path),
    ],
    ids=["verify", "cert", "key", "ca_certs", "cert_file"],
)
def test_a_fifo_without_a_writer_is_named_and_waited_for_within_bounds(
    empty: str, authority: Tls, load: Callable[[str, Tls], object]
) -> None:
    with pytest.raises(OSError, match="gave nothing for") as caught:
        load(empty, authority)
    assert empty in str(caught.value)


def _context(*arguments: object) -> ssl.SSLContext:
    return tls.context_for(*arguments)  # type: ignore[arg-type]


@pytest.mark.usefixtures("impatient")
def test_a_fifo_whose_writer_stalls_is_waited_for_within_bounds(empty: str) -> None:
    with open(empty, "r+b", buffering=0) as both_ends:
        both_ends.write(b"-----BEGIN CERTIFICATE-----")

        with pytest.raises(OSError, match="gave nothing more for"):
            tls.context_for(empty)


def test_a_fifo_that_gives_more_than_any_bundle_has_is_refused(empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fifo, "MAX_BYTES", 100)
    with open(empty, "r+b", buffering=0) as both_ends:
        both_ends.write(bytes(101))

        with pytest.raises(OSError, match="more than 100 bytes"):
            tls.context_for(empty)


def test_keys_are_not_logged_to_a_fifo_without_a_reader(empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", empty)

    with pytest.raises(OSError, match="SSLKEYLOGFILE: no program reads this FIFO"):
        tls.context_for(False)

"""TLS against a real server on loopback: contexts, certificates of every kind, sessions, and what a cut leaves."""

from __future__ import annotations

import contextlib
import datetime
import gc
import io
import os
import re
import select
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from urllib3.util.ssl_ import create_urllib3_context

import holdfast
from holdfast.connecting import Authorities, Cert
from holdfast.exceptions import ConnectTimeout, IncompleteBody, RemoteProtocolError, SSLError
from holdfast.timeouts import Timeouts
from holdfast.wire import tls
from holdfast.wire.connect import connect_tcp
from holdfast.wire.stream import SocketStream
from tests.conftest import FakeClock, Tls, open_descriptors
from tests.server import Conn, Server, chunked, echo, head, ok, replies
from tests.support import eventually

WAIT = 5.0

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture
def fresh_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "_contexts", OrderedDict())
    monkeypatch.setattr(tls, "_sessions", OrderedDict())


@pytest.fixture(name="authority")
def _authority(tls: Tls) -> Tls:
    """The ``tls`` fixture by a name that the module under test does not have."""
    return tls


@pytest.fixture
def client(authority: Tls) -> Iterator[holdfast.Client]:
    with holdfast.Client(verify=authority.ca_path, timeout=WAIT, trust_env=False) as it:
        yield it


# -- contexts ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("fresh_caches")
class TestContexts:
    def test_there_is_one_per_configuration(self, authority: Tls) -> None:
        configurations: list[tuple[Authorities, Cert]] = [
            (True, None),
            (False, None),
            (authority.ca_path, None),
            (Path(authority.ca_path), None),
            (authority.ca_path, authority.client_cert),
            (authority.ca_path, (authority.client_cert_only, authority.client_key)),
        ]
        for verify, cert in configurations:
            assert tls.context_for(verify, cert) is tls.context_for(verify, cert)

        assert len(tls._contexts) == 5, "a path is a path, however it is spelled"

    def test_configurations_do_not_share_one(self, authority: Tls) -> None:
        contexts = [
            tls.context_for(True),
            tls.context_for(False),
            tls.context_for(authority.ca_path),
            tls.context_for(authority.ca_path, authority.client_cert),
        ]

        assert len({id(context) for context in contexts}) == 4

    def test_verification_is_what_it_says(self, authority: Tls) -> None:
        for verify in (True, authority.ca_path):
            context = tls.context_for(verify)
            assert context.verify_mode is ssl.CERT_REQUIRED
            assert context.check_hostname
        assert tls.context_for(False).verify_mode is ssl.CERT_NONE
        assert not tls.context_for(False).check_hostname

    def test_a_ca_replaces_the_others(self, authority: Tls) -> None:
        assert len(tls.context_for(authority.ca_path).get_ca_certs()) == 1
        assert len(tls.context_for(True).get_ca_certs()) > 50

    def test_a_directory_of_cas_is_accepted(self, tmp_path: Path) -> None:
        assert tls.context_for(str(tmp_path)).verify_mode is ssl.CERT_REQUIRED

    def test_a_ready_context_is_used_as_it_is(self) -> None:
        mine = ssl.create_default_context()
        before = mine.options, mine.verify_mode, mine.verify_flags

        assert tls.context_for(mine) is mine
        assert (mine.options, mine.verify_mode, mine.verify_flags) == before
        assert not tls._contexts

    def test_a_ready_context_with_a_certificate_is_a_contradiction(self, authority: Tls) -> None:
        with pytest.raises(ValueError, match="load the certificate into the context"):
            tls.context_for(ssl.create_default_context(), authority.client_cert)

    @pytest.mark.parametrize("with_certificate", [False, True])
    def test_a_context_has_all_that_ssl_and_urllib3_set_in_theirs(self, authority: Tls, with_certificate: bool) -> None:
        """By hand is missed what a new Python or urllib3 adds: on each of them, this compares."""
        ours = tls.context_for(authority.ca_path, authority.client_cert if with_certificate else None)
        for theirs in (ssl.create_default_context(cafile=authority.ca_path), create_urllib3_context()):
            assert ours.verify_flags == theirs.verify_flags
            assert (ours.verify_mode, ours.check_hostname) == (theirs.verify_mode, theirs.check_hostname)
            assert ours.minimum_version >= theirs.minimum_version
            # Tickets of TLS 1.2 are what sessions are resumed by; urllib3 resumes none.
            assert (theirs.options & ~ours.options) in (0, ssl.OP_NO_TICKET)
            assert {cipher["name"] for cipher in ours.get_ciphers()} == {cipher["name"] for cipher in theirs.get_ciphers()}
        assert not ours.hostname_checks_common_name
        # urllib3 offers it without a certificate too, when there is nothing to show.
        assert ours.post_handshake_auth is with_certificate

    def test_a_renewed_bundle_is_read_again(self, authority: Tls, tmp_path: Path) -> None:
        path = tmp_path / "ca.pem"
        path.write_bytes(authority.ca.cert_pem.bytes())
        old = tls.context_for(str(path))
        os.utime(path, ns=(1, 1))

        assert tls.context_for(str(path)) is not old

    def test_a_bundle_of_the_same_time_is_read_again_if_another_or_grown(self, authority: Tls, tmp_path: Path) -> None:
        path, other = tmp_path / "ca.pem", tmp_path / "other.pem"
        pem = authority.ca.cert_pem.bytes()
        for file, content in ((path, pem), (other, trustme.CA().cert_pem.bytes() + pem)):
            file.write_bytes(content)
            os.utime(file, ns=(1, 1))
        half = tls.context_for(str(path))
        path.write_bytes(other.read_bytes())
        os.utime(path, ns=(1, 1))
        grown = tls.context_for(str(path))
        other.replace(path)

        assert (len(half.get_ca_certs()), len(grown.get_ca_certs())) == (1, 2)
        assert tls.context_for(str(path)) is not grown

    def test_a_path_that_does_not_exist_is_named(self) -> None:
        with pytest.raises(FileNotFoundError, match=r"CA bundle.*/no/such\.pem"):
            tls.context_for("/no/such.pem")
        with pytest.raises(FileNotFoundError, match=r"client certificate.*/no/such\.pem"):
            tls.context_for(True, "/no/such.pem")

    def test_a_bundle_without_a_certificate_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "empty.pem"
        path.write_text("nothing")

        with pytest.raises(SSLError, match=r"empty\.pem.*no certificate"):
            tls.context_for(str(path))

    def test_a_certificate_without_its_key_is_an_error(self, authority: Tls) -> None:
        with pytest.raises(SSLError, match="client certificate"):
            tls.context_for(True, authority.client_cert_only)

    def test_an_encrypted_key_is_never_asked_for_at_the_terminal(self, authority: Tls, tmp_path: Path) -> None:
        from cryptography.hazmat.primitives import serialization

        key = serialization.load_pem_private_key(Path(authority.client_key).read_bytes(), None)
        path = tmp_path / "encrypted.key"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(b"sesame"),
            )
        )

        with pytest.raises(SSLError, match="is the key encrypted"):
            tls.context_for(True, (authority.client_cert_only, str(path)))
        with pytest.raises(SSLError) as caught:
            tls.context_for(True, (authority.client_cert_only, str(path), "swordfish"))
        assert "swordfish" not in str(caught.value)
        assert tls.context_for(True, (authority.client_cert_only, str(path), "sesame"))

    def test_they_are_bounded(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tls, "MAX_CONTEXTS", 3)
        for i in range(5):
            (tmp_path / str(i)).mkdir()
            tls.context_for(str(tmp_path / str(i)))

        assert len(tls._contexts) == 3

    def test_many_threads_get_the_same_one(self) -> None:
        found: list[ssl.SSLContext] = []
        start = threading.Barrier(8)

        def ask() -> None:
            start.wait(WAIT)
            found.append(tls.context_for(False))

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT)

        assert len({id(context) for context in found}) == 1

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    def test_a_lock_that_was_held_at_a_fork_is_free_in_the_child(self) -> None:
        with tls._lock():
            child = os.fork()
            if child == 0:
                os._exit(0 if tls._lock().acquire(timeout=WAIT) else 1)
        assert os.waitpid(child, 0)[1] == 0

    def test_keys_are_logged_where_the_environment_asks(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))

        assert tls.context_for(False).keylog_filename == str(tmp_path / "keys")
        tls._contexts.clear()  # the context keeps the file open

    def test_the_oldest_protocols_and_renegotiation_are_off(self) -> None:
        context = tls.context_for(False)

        assert context.minimum_version is ssl.TLSVersion.TLSv1_2
        assert context.options & ssl.OP_NO_RENEGOTIATION


# -- certificates -----------------------------------------------------------------------------------------------------


def days(count: int) -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=count)


def issued(*names: str, **options: Any) -> Callable[[trustme.CA], trustme.LeafCert]:
    return lambda ca: ca.issue_cert(*names, **options)


BAD = {
    "wrong name": (issued("other.example"), "Hostname mismatch.*localhost"),
    "name only in CN": (issued("other.example", common_name="localhost"), "Hostname mismatch"),
    "address for a name": (issued("127.0.0.1"), "Hostname mismatch"),
    "wildcard of nothing": (issued("*.localhost"), "Hostname mismatch"),
    "expired": (issued("localhost", not_after=days(-1)), "expired"),
    "not yet valid": (issued("localhost", not_before=days(1)), "not yet valid"),
    "unknown authority": (lambda _: trustme.CA().issue_cert("localhost"), "local issuer certificate"),
    "missing intermediate": (
        lambda ca: _without_chain(ca.create_child_ca().issue_cert("localhost")),
        "local issuer certificate",
    ),
}


def _without_chain(leaf: trustme.LeafCert) -> trustme.LeafCert:
    del leaf.cert_chain_pems[1:]
    return leaf


class _LeafAlone:
    """What ``configure_cert`` of trustme does, without the chain."""

    def __init__(self, leaf: trustme.LeafCert) -> None:
        self.leaf = leaf

    def configure_cert(self, context: ssl.SSLContext) -> None:
        with self.leaf.private_key_pem.tempfile() as key, self.leaf.cert_chain_pems[0].tempfile() as cert:
            context.load_cert_chain(cert, key)


@pytest.mark.parametrize(("issue", "reason"), BAD.values(), ids=BAD.keys())
def test_a_certificate_that_is_not_valid_is_refused_with_host_and_reason(
    authority: Tls, client: holdfast.Client, issue: Callable[[trustme.CA], trustme.LeafCert], reason: str
) -> None:
    leaf: Any = _LeafAlone(issue(authority.ca))
    with Server(tls=authority.server_context(leaf)) as server:
        with pytest.raises(SSLError, match=reason) as caught:
            client.get(server.url("/", host="localhost"))
        server.wait_for_handshakes(1)

    assert f"localhost:{server.port}" in str(caught.value)
    assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)
    assert server.requests == []
    assert server.connections == 1, "there is no point in trying again"


@pytest.mark.parametrize("names", [(), ("other.example",), ("127.0.0.1",)], ids=["no name", "another name", "an address"])
def test_a_common_name_is_not_believed(authority: Tls, client: holdfast.Client, names: tuple[str, ...]) -> None:
    leaf = authority.ca.issue_cert(*names, common_name="localhost")
    with Server(tls=authority.server_context(leaf)) as server:
        with pytest.raises(SSLError, match=r"localhost:\d+ is not valid .*: (Hostname mismatch|Empty Subject Alternative Name)"):
            client.get(server.url("/", host="localhost"))
        assert client.get(server.url("/", host="localhost"), verify=False).ok


@pytest.mark.parametrize("anchor", ["the intermediate", "the leaf"])
def test_what_is_trusted_without_its_own_issuer_is_so_as_in_ssl_itself(authority: Tls, tmp_path: Path, anchor: str) -> None:
    """From Python 3.13 on such a chain ends at what is trusted (VERIFY_X509_PARTIAL_CHAIN); before, it has to go to its root."""
    intermediate = authority.ca.create_child_ca()
    leaf = intermediate.issue_cert("localhost")
    path = str(tmp_path / "trusted.pem")
    (intermediate.cert_pem if anchor == "the intermediate" else leaf.cert_chain_pems[0]).write_to_path(path)
    with Server(tls=authority.server_context(leaf)) as server:

        def accepted(verify: Any) -> bool:
            with holdfast.Client(verify=verify, timeout=WAIT, trust_env=False) as client:
                try:
                    return client.get(server.url("/", host="localhost")).ok
                except SSLError:
                    return False

        assert accepted(path) is accepted(ssl.create_default_context(cafile=path)) is (sys.version_info >= (3, 13))


def test_a_self_signed_certificate_is_refused(authority: Tls, client: holdfast.Client, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    stranger = trustme.CA()
    with stranger.private_key_pem.tempfile() as key, stranger.cert_pem.tempfile() as cert:
        context.load_cert_chain(cert, key)
    with Server(tls=context) as server, pytest.raises(SSLError, match=r"certificate of localhost.*self.signed"):
        client.get(server.url("/", host="localhost"))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_an_address_needs_a_certificate_for_that_address(authority: Tls, client: holdfast.Client, host: str) -> None:
    leaf = authority.ca.issue_cert("localhost")
    with (
        Server(tls=authority.server_context(leaf), host=host) as server,
        pytest.raises(SSLError, match="address mismatch"),
    ):
        client.get(server.url())
    with Server(tls=authority.server_context(), host=host) as server:
        assert client.get(server.url()).ok


def test_a_zone_is_no_part_of_the_name(authority: Tls, client: holdfast.Client) -> None:
    """It says which of this machine's links is meant. RFC 6066 allows no address in SNI, and no certificate has a zone."""
    said: list[str | None] = []
    context = authority.server_context()
    context.sni_callback = lambda sock, name, _: said.append(name)
    with Server(tls=context, host="::1") as server:
        assert client.get(f"https://[::1%252]:{server.port}/").ok
        assert client.get(f"https://[::1%251]:{server.port}/", verify=False).ok
    assert said == [None, None]
    with (
        Server(tls=authority.server_context(authority.ca.issue_cert("::2")), host="::1") as server,
        pytest.raises(SSLError, match=rf"certificate of ::1%2:{server.port} is not valid .*: IP address mismatch"),
    ):
        client.get(f"https://[::1%252]:{server.port}/")


def test_sessions_of_one_address_in_two_zones_are_two(authority: Tls, client: holdfast.Client) -> None:
    """fe80::1 on this link and on that are two machines."""
    with Server(closing, tls=authority.server_context(), host="::1") as server:
        urls = [f"https://[::1%25{zone}]:{server.port}/" for zone in ("1", "2", "1")]
        assert [client.get(url).text for url in urls] == ["False", "False", "True"]


@pytest.mark.parametrize(
    ("server_name", "name"),
    [("fe80::1%eth0", "fe80::1"), ("::1%1%2", "::1"), ("::1", "::1"), ("127.0.0.1", "127.0.0.1"), ("a%b.example", "a%b.example")],
)
def test_only_an_address_with_a_colon_has_a_zone(server_name: str, name: str) -> None:
    assert tls.without_zone(server_name) == name


def test_a_trailing_dot_is_no_part_of_the_name(authority: Tls, client: holdfast.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest: resolve(host.rstrip("."), *rest))
    with Server(tls=authority.server_context()) as server:
        assert client.get(server.url("/", host="localhost.")).ok


def test_without_verification_everything_is_accepted_and_nothing_is_mixed(authority: Tls, client: holdfast.Client) -> None:
    with Server(tls=authority.server_context(trustme.CA().issue_cert("x.example"))) as server:
        assert client.get(server.url(), verify=False).ok
        with pytest.raises(SSLError):
            client.get(server.url())
        assert client.get(server.url(), verify=False).json()["connection"] == 0


def test_another_name_can_be_asked_for(authority: Tls) -> None:
    leaf = authority.ca.issue_cert("inside.example")
    with (
        Server(tls=authority.server_context(leaf)) as server,
        holdfast.Client(verify=authority.ca_path, server_name="inside.example", trust_env=False) as client,
    ):
        assert client.get(server.url()).ok


# -- handshakes that fail ---------------------------------------------------------------------------------------------


def test_a_plain_http_server_is_recognised(client: holdfast.Client) -> None:
    def plain(conn: Conn) -> None:
        conn.recv()
        conn.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        conn.wait_closed()

    with Server(plain) as server, pytest.raises(SSLError, match="is it an http:// server"):
        client.get(server.url().replace("http:", "https:"))


def test_a_tls_server_behind_an_http_url_is_no_http(authority: Tls, client: holdfast.Client) -> None:
    with (
        Server(tls=authority.server_context()) as server,
        pytest.raises((RemoteProtocolError, holdfast.ConnectionLost)),
    ):
        client.get(server.url().replace("https:", "http:"))


def test_a_tls_alert_to_plain_http_is_no_http(client: holdfast.Client) -> None:
    with Server(replies(b"\x15\x03\x01\x00\x02\x02\x46")) as server, pytest.raises(RemoteProtocolError):
        client.get(server.url())


@pytest.mark.parametrize("end", ["fin", "rst"])
@pytest.mark.parametrize("after", [0, 1, 100], ids=["accept", "one byte", "the hello"])
def test_a_handshake_that_is_cut_off(client: holdfast.Client, end: str, after: int) -> None:
    def cut(conn: Conn) -> None:
        if after:
            conn.read_exactly(after)
        conn.rst() if end == "rst" else conn.close()

    # ConnectionError: the RST may be here before connect() has looked.
    expected = holdfast.ConnectionError if (end, after) == ("rst", 0) else SSLError
    with Server(cut) as server, pytest.raises(expected, match=rf"127\.0\.0\.1:{server.port}") as caught:
        client.get(server.url().replace("http:", "https:"))

    assert caught.value.__cause__ is not None
    assert server.connections == 1


def test_a_connection_that_is_gone_before_the_handshake(authority: Tls) -> None:
    """Nothing is left open, whichever call notices: wrap_socket itself looks at the socket."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sock = socket.create_connection(listener.getsockname(), WAIT)
        peer = listener.accept()[0]
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    peer.close()
    poll = select.poll()
    poll.register(sock, 0)
    assert poll.poll(WAIT * 1000)

    with pytest.raises(SSLError, match="localhost:443"):
        tls.wrap(sock, authority.client_context(), "localhost", 443, time.monotonic() + WAIT)


class ResetWhileWrapped(socket.socket):
    """Its peer resets when wrap_socket has taken the descriptor over and has not looked at it yet."""

    peer: socket.socket

    def detach(self) -> int:
        descriptor = super().detach()
        if descriptor < 0:
            return descriptor  # it is not the first time
        self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.peer.close()
        poll = select.poll()
        poll.register(descriptor, 0)
        assert poll.poll(WAIT * 1000)
        return descriptor


def test_a_reset_in_the_middle_of_wrap_socket_leaves_nothing_open(authority: Tls) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sock = ResetWhileWrapped()
        sock.connect(listener.getsockname())
        sock.peer = listener.accept()[0]
    before = open_descriptors()

    with pytest.raises(SSLError, match="closed the connection during the TLS handshake") as caught:
        tls.wrap(sock, authority.client_context(), "localhost", 443, time.monotonic() + WAIT)

    # While the error still keeps the frames alive, and no finaliser could have run.
    assert caught.value.__traceback__ is not None
    assert len(open_descriptors()) == len(before) - 2


class InterruptedWhileWrapped(socket.socket):
    """Ctrl-C when wrap_socket has made an SSLSocket of the descriptor and has not taken it from this socket yet."""

    struck = False

    def detach(self) -> int:
        if not self.struck:
            self.struck = True
            raise KeyboardInterrupt
        return super().detach()


def test_an_interrupt_that_finds_the_descriptor_with_two_sockets_closes_it_once(authority: Tls) -> None:
    """Closed twice, it would be somebody else's by the second time."""
    ours, theirs = socket.socketpair()
    sock = InterruptedWhileWrapped(fileno=ours.detach())
    descriptor = sock.fileno()

    with theirs:
        with pytest.raises(KeyboardInterrupt) as caught:
            tls.wrap(sock, authority.client_context(), "localhost", 443, time.monotonic() + WAIT)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)

        os.dup2(theirs.fileno(), descriptor)  # somebody else's
        sock.close()
        del caught, sock
        gc.collect()
        os.close(descriptor)  # is still open


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x03"], ids=["nothing", "half a record"])
def test_a_handshake_that_stalls_ends_with_the_time_to_connect(client: holdfast.Client, said: bytes) -> None:
    def stall(conn: Conn) -> None:
        conn.send(said)
        conn.wait_closed()

    with Server(stall) as server:
        started = time.monotonic()
        with pytest.raises(ConnectTimeout, match="TLS handshake"):
            client.get(server.url().replace("http:", "https:"), timeout=Timeouts(connect=0.05))

    assert 0.05 <= time.monotonic() - started < 0.55


def test_a_handshake_that_stalls_ends_on_a_clock_that_stands_still(authority: Tls, clock: FakeClock) -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with theirs, pytest.raises(ConnectTimeout, match="TLS handshake with localhost:443"):
        tls.wrap(ours, authority.client_context(), "localhost", 443, clock() + 0.05, clock)


FROZEN = """
import inspect, sys, threading, time
import holdfast

real = time.monotonic

def frozen():
    # As freezegun does: what threading itself asks for, at most five frames away, is the real time.
    frame = inspect.currentframe().f_back
    for _ in range(5):
        if frame is None:
            break
        if frame.f_globals.get("__name__") == "threading":
            return real()
        frame = frame.f_back
    return 1326499200.0

for module in list(sys.modules.values()):
    for name, value in list(vars(module).items()):
        if value is real and module not in (threading, sys.modules["__main__"]):
            setattr(module, name, frozen)

with holdfast.Client(verify=sys.argv[1], timeout=5, trust_env=False) as client:
    print([client.get(url).status_code for url in sys.argv[3:]])
    print([client.post(url, data=iter([b"x" * 1000] * 200)).status_code for url in sys.argv[3:]])
    for timeout in (0.1, holdfast.Timeouts(total=0.1)):
        for url in (sys.argv[2], sys.argv[2].replace("https", "http")):
            try:
                client.get(url, timeout=timeout)
            except holdfast.Timeout as error:
                print(type(error).__name__)
"""


def test_a_program_whose_clock_is_frozen_gets_its_answers_and_its_timeouts(authority: Tls) -> None:
    """freezegun replaces time.monotonic after the import, for some callers and not for others: no two of ours may differ."""

    def silent(conn: Conn) -> None:
        conn.wait_closed()

    with Server(tls=authority.server_context()) as secure, Server() as plain, Server(silent) as stalls:
        urls = [secure.url(), secure.url("/", host="localhost"), plain.url(), plain.url("/", host="localhost")]
        done = subprocess.run(
            [sys.executable, "-c", FROZEN, authority.ca_path, stalls.url().replace("http:", "https:"), *urls],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    assert done.stderr == ""
    assert done.stdout.split("\n")[:2] == [str([200] * 4)] * 2
    assert done.stdout.split()[-4:] == ["ConnectTimeout", "ReadTimeout", "TotalTimeout", "TotalTimeout"]


def test_a_lock_is_made_when_it_is_first_needed() -> None:
    """One made at import is a real one, and stops every greenlet of a program that patches itself later."""
    code = "import holdfast.wire.tls as tls; print(len(tls._locks)); tls.context_for(False); print(len(tls._locks))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout.split() == ["0", "1"]


def test_a_handshake_that_drips_ends_with_the_time_to_connect(client: holdfast.Client) -> None:
    stop = threading.Event()

    def drip(conn: Conn) -> None:
        conn.send(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc")
        while not stop.wait(0.002):
            conn.send(b"\0")

    with Server(drip) as server:
        started = time.monotonic()
        with pytest.raises((ConnectTimeout, SSLError)):
            client.get(server.url().replace("http:", "https:"), timeout=Timeouts(connect=0.05))
        elapsed = time.monotonic() - started
        stop.set()

    assert elapsed < 0.55


def test_a_server_of_the_oldest_kind_is_refused(authority: Tls, client: holdfast.Client) -> None:
    context = authority.server_context()
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with Server(tls=context) as server, pytest.raises(SSLError, match="TLS handshake with"):
        client.get(server.url())


@pytest.mark.parametrize("name", [".x", "x" * 64 + ".example", "x..example"])
def test_a_name_tls_cannot_send_is_an_error(authority: Tls, name: str) -> None:
    ours, theirs = socket.socketpair()
    with theirs, pytest.raises(SSLError, match="handshake"):
        tls.wrap(ours, authority.client_context(), name, 443, None)


# -- client certificates ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", [False, True], ids=["one file", "two files"])
def test_a_client_certificate_is_shown(authority: Tls, client: holdfast.Client, split: bool) -> None:
    cert: Any = (authority.client_cert_only, authority.client_key) if split else authority.client_cert
    with Server(tls=authority.server_context(ask_client=True)) as server:
        assert client.get(server.url(), cert=cert).json()["connection"] == 0
        assert client.get(server.url(), cert=cert).json()["connection"] == 0


def test_a_client_certificate_is_shown_to_a_server_that_asks_after_the_handshake(authority: Tls, client: holdfast.Client) -> None:
    """TLS 1.3; as Apache does where only some of its paths want one."""

    def ask_late(conn: Conn) -> None:
        secure: Any = conn.sock
        conn.expect_request()
        secure.verify_client_post_handshake()
        conn.send(ok(b"first"))
        conn.expect_request()  # the certificate came before it
        conn.send(ok(b"known" if secure.getpeercert() else b"unknown"))

    context = authority.server_context(ask_client=True)
    context.post_handshake_auth = True
    with Server(ask_late, tls=context) as server:
        assert client.get(server.url(), cert=authority.client_cert).text == "first"
        assert client.get(server.url(), cert=authority.client_cert).text == "known"


@pytest.mark.parametrize("maximum", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_missing_client_certificate_is_a_tls_error(
    authority: Tls, client: holdfast.Client, maximum: ssl.TLSVersion, method: str
) -> None:
    """With TLS 1.3 the client's handshake is done before the server looks: the alert comes instead of an answer."""
    with Server(tls=authority.server_context(ask_client=True, maximum=maximum)) as server:
        with pytest.raises(SSLError):
            client.request(method, server.url(), data=b"x" if method == "POST" else None)
        server.wait_for_handshakes(1)

    assert server.connections == 1
    assert server.requests == []


def refused(server: Server, client: holdfast.Client, body: str, **kw: Any) -> str:
    """What an upload in this form is told, whose first piece is made when the server has already refused."""

    def pieces() -> Iterator[bytes]:
        eventually(lambda: server.handshake_errors, "the server's refusal")
        yield b"x" * 1000

    data: Any = {"generator": pieces(), "100 KB": b"x" * 100_000, "file": io.BytesIO(b"x" * 200_000), "small": b"x"}[body]
    with pytest.raises(SSLError) as caught:
        client.post(server.url(), data=data, **kw)
    assert isinstance(caught.value.__cause__, ssl.SSLError)
    assert caught.value.request is not None
    return str(caught.value).lower()


UPLOADS = ["generator", "100 KB", "file", "small"]


@pytest.mark.parametrize("body", UPLOADS)
def test_what_tls_says_behind_the_handshake_is_told_however_the_body_is_sent(
    authority: Tls, client: holdfast.Client, body: str
) -> None:
    """An upload looks at the connection before its first write: what it found there was thrown away, and "stale" was said."""
    with Server(tls=authority.server_context(ask_client=True)) as server:
        assert "certificate required" in refused(server, client, body)

    assert server.requests == []


@pytest.mark.parametrize("body", UPLOADS)
def test_a_client_certificate_of_an_unknown_authority_is_named_however_the_body_is_sent(
    authority: Tls, client: holdfast.Client, body: str, tmp_path: Path
) -> None:
    path = str(tmp_path / "stranger.pem")
    trustme.CA().issue_cert("stranger@example.org").private_key_and_cert_chain_pem.write_to_path(path)
    with Server(tls=authority.server_context(ask_client=True)) as server:
        assert "unknown ca" in refused(server, client, body, cert=path)


# -- sessions ---------------------------------------------------------------------------------------------------------


def closing(conn: Conn) -> None:
    request = conn.expect_request()
    conn.send(ok(str(conn.session_reused).encode(), "Connection: close"))
    assert request.target == "/"
    conn.wait_closed()


@pytest.mark.parametrize("maximum", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_next_handshake_resumes_the_session(authority: Tls, client: holdfast.Client, maximum: ssl.TLSVersion) -> None:
    with Server(closing, tls=authority.server_context(maximum=maximum)) as server:
        assert [client.get(server.url()).text for _ in range(3)] == ["False", "True", "True"]


def test_sessions_are_shared_by_clients_of_one_process(authority: Tls) -> None:
    with Server(closing, tls=authority.server_context()) as server:
        for resumed in ("False", "True"):
            with holdfast.Client(verify=authority.ca_path, trust_env=False) as client:
                assert client.get(server.url()).text == resumed


def test_a_session_is_never_taken_over_to_another_verification(authority: Tls, client: holdfast.Client) -> None:
    """A resumed handshake brings no certificate: it would be as if it had been verified."""
    with Server(closing, tls=authority.server_context(trustme.CA().issue_cert("localhost"))) as server:
        url = server.url("/", host="localhost")
        assert client.get(url, verify=False).text == "False"
        assert client.get(url, verify=False).text == "True"
        with pytest.raises(SSLError):
            client.get(url)


def test_a_context_that_begins_to_verify_forgets_what_it_did_not(authority: Tls) -> None:
    mine = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    mine.check_hostname = False
    mine.verify_mode = ssl.CERT_NONE
    with Server(closing, tls=authority.server_context()) as server:
        with holdfast.Client(verify=mine, trust_env=False) as client:
            assert client.get(server.url()).text == "False"
        mine.verify_mode = ssl.CERT_REQUIRED
        with holdfast.Client(verify=mine, trust_env=False) as client, pytest.raises(SSLError):
            client.get(server.url())


def test_a_session_is_not_taken_over_to_another_name_or_port(authority: Tls, client: holdfast.Client) -> None:
    context = authority.server_context()
    with Server(closing, tls=context) as one, Server(closing, tls=context) as two:
        assert client.get(one.url()).text == "False"
        assert client.get(one.url("/", host="localhost")).text == "False"
        assert client.get(two.url()).text == "False"


def test_sessions_are_bounded(authority: Tls, client: holdfast.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "MAX_SESSIONS", 1)
    with Server(closing, tls=authority.server_context()) as server:
        client.get(server.url())
        client.get(server.url("/", host="localhost"))

        assert len(tls._sessions) == 1
        assert client.get(server.url()).text == "False"


def test_a_server_without_tickets_has_no_session_to_resume(authority: Tls, client: holdfast.Client) -> None:
    with Server(closing, tls=authority.server_context(tickets=0)) as server:
        assert [client.get(server.url()).text for _ in range(2)] == ["False", "False"]


class Counting(ssl.SSLSocket):
    """Counts how often its session is read, which leaks some kilobytes of CPython each time, and how often nothing is written."""

    sessions = nothings = 0

    def __getattribute__(self, name: str) -> Any:
        if name == "session":
            Counting.sessions += 1
        return super().__getattribute__(name)

    def send(self, data: Any, flags: int = 0) -> int:
        Counting.nothings += not len(data)
        return super().send(data, flags)


@pytest.fixture
def counting(authority: Tls, monkeypatch: pytest.MonkeyPatch) -> Iterator[holdfast.Client]:
    """A client whose TLS sockets are Counting."""
    for count in ("sessions", "nothings"):
        monkeypatch.setattr(Counting, count, 0)
    context = authority.client_context()
    context.sslsocket_class = Counting
    with holdfast.Client(verify=context, trust_env=False) as client:
        yield client


def test_a_session_of_tls_1_2_that_was_resumed_is_not_read_again(authority: Tls, counting: holdfast.Client) -> None:
    with Server(closing, tls=authority.server_context(maximum=ssl.TLSVersion.TLSv1_2)) as server:
        assert [counting.get(server.url()).text for _ in range(3)] == ["False", "True", "True"]

    assert Counting.sessions == 1


def test_no_session_is_read_where_enough_are_kept(
    authority: Tls, counting: holdfast.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "MAX_SESSIONS_PER_SERVER", 2)
    monkeypatch.setattr(tls, "resumable", lambda *_: None)  # as if all had shaken hands before there was a session
    with Server(closing, tls=authority.server_context()) as server:
        assert [counting.get(server.url()).text for _ in range(4)] == ["False"] * 4

    assert Counting.sessions == 2


# -- what OpenSSL holds --------------------------------------------------------------------------------------------------


def test_a_write_of_nothing_sends_nothing(authority: Tls) -> None:
    """What ``drop_write_buffer`` rests on."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = authority.client_context().wrap_bio(back, there, server_hostname="localhost")
    theirs = authority.server_context().wrap_bio(there, back, server_side=True)
    with contextlib.suppress(ssl.SSLWantReadError):
        ours.do_handshake()
    with contextlib.suppress(ssl.SSLWantReadError):
        theirs.do_handshake()
    ours.do_handshake()
    there.read()

    assert ours.write(b"") == 0
    assert there.pending == 0


def test_the_write_buffer_is_dropped_once_for_each_connection(authority: Tls, counting: holdfast.Client) -> None:
    with Server(echo, tls=authority.server_context()) as server:
        for _ in range(3):
            counting.get(server.url())

    assert Counting.nothings == 1


def test_the_write_buffer_stays_where_a_write_is_half_done(authority: Tls, counting: holdfast.Client) -> None:
    head_read = threading.Event()

    def refuse(conn: Conn) -> None:
        conn.read_head()
        conn.send(head(413, "Connection: close", "Content-Length: 5"))
        conn.wait(head_read)
        conn.send(b"later")

    server = Server(refuse, tls=authority.server_context())
    with server, counting.post(server.url(), data=bytes(32 << 20), stream=True) as response:
        head_read.set()
        assert (response.status_code, response.text) == (413, "later")

    assert Counting.nothings == 0


def test_a_connection_that_is_gone_has_no_write_buffer_to_drop(authority: Tls) -> None:
    with Server(echo, tls=authority.server_context()) as server:
        connected = connect_tcp("127.0.0.1", server.port, None)
        sock = tls.wrap(connected, authority.client_context(), "127.0.0.1", server.port, None)
        stream = SocketStream(sock)
        stream.close()
        with pytest.raises(OSError, match="descriptor"):
            sock.send(b"")

        stream.drop_write_buffer()


# -- idle -------------------------------------------------------------------------------------------------------------


def quiet(sock: socket.socket) -> bool:
    return not select.select([sock], [], [], 0)[0]


def pooled(client: holdfast.Client) -> Any:
    """The stream of the one idle connection."""
    (entry,) = client._transport.pool._state.idle
    return entry.resource.stream


@pytest.mark.parametrize("count", [0, 1, 2, 4])
def test_however_many_tickets_the_connection_is_reused(authority: Tls, client: holdfast.Client, count: int) -> None:
    with Server(tls=authority.server_context(tickets=count)) as server:
        assert [client.get(server.url()).json()["connection"] for _ in range(5)] == [0] * 5


def test_a_closure_alert_while_idle_is_noticed(authority: Tls, client: holdfast.Client) -> None:
    def goodbye(conn: Conn) -> None:
        conn.expect_request()
        conn.send(ok())
        conn.unwrap()
        conn.wait_closed()

    with Server([goodbye, echo], tls=authority.server_context()) as server:
        client.get(server.url())
        assert select.select([pooled(client)], [], [], WAIT)[0]
        assert client.post(server.url(), data=b"x").json()["connection"] == 1


OPENSSL = shutil.which("openssl")


@pytest.fixture
def s_server(authority: Tls, tmp_path: Path) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """``openssl s_server``, whose terminal knows k: KeyUpdate, and Q: quit."""
    if OPENSSL is None:
        pytest.skip("there is no openssl command")
    pem = tmp_path / "server.pem"
    authority.identity.private_key_and_cert_chain_pem.write_to_path(str(pem))
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    command = [OPENSSL, "s_server", "-accept", f"127.0.0.1:{port}", "-cert", str(pem), "-tls1_3", "-naccept", "1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        read_until(process, b"ACCEPT")
        yield port, process
        process.kill()
        process.wait(WAIT)


def read_until(process: subprocess.Popen[bytes], mark: bytes) -> None:
    seen = b""
    assert process.stdout is not None
    while mark not in seen:
        assert select.select([process.stdout], [], [], WAIT)[0], f"openssl said {seen!r}, and not {mark!r}"
        data = os.read(process.stdout.fileno(), 65536)
        assert data, f"openssl ended after {seen!r}"
        seen += data


def say(process: subprocess.Popen[bytes], text: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(text)
    process.stdin.flush()


@pytest.mark.parametrize("letter", [b"k", b"K"], ids=["KeyUpdate", "KeyUpdate, and yours"])
def test_a_key_update_while_idle_does_not_cost_the_connection(
    authority: Tls, s_server: tuple[int, subprocess.Popen[bytes]], letter: bytes
) -> None:
    port, process = s_server
    with tls.wrap(
        connect_tcp("127.0.0.1", port, time.monotonic() + WAIT),
        authority.client_context(),
        "localhost",
        port,
        time.monotonic() + WAIT,
    ) as secure:
        stream = SocketStream(secure)
        stream.begin_exchange()
        stream.write_some(b"hello\n")
        read_until(process, b"hello")
        with contextlib.suppress(TimeoutError):
            stream.read(0.0)  # the tickets
        say(process, letter + b"\n")
        assert select.select([stream], [], [], WAIT)[0], "no KeyUpdate came"

        assert stream.probe() is None
        assert quiet(secure)
        stream.begin_exchange()
        stream.write_some(b"again\n")
        read_until(process, b"again")
        say(process, b"answer\n")
        assert stream.read(WAIT) == b"answer\n"
        assert stream.acknowledged()
        stream.close(polite=False)


# -- cuts -------------------------------------------------------------------------------------------------------------


def then_cut(raw: bytes, *, notify: bool) -> Callable[[Conn], None]:
    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(raw)
        conn.close(notify=notify)

    return script


@pytest.mark.parametrize("raw", [ok(b"hello"), chunked(b"hello")], ids=["length", "chunked"])
def test_a_whole_response_needs_no_closure_alert(authority: Tls, client: holdfast.Client, raw: bytes) -> None:
    with Server([then_cut(raw, notify=False), echo], tls=authority.server_context()) as server:
        assert client.get(server.url()).text == "hello"
        server.wait_idle()
        assert client.get(server.url()).json()["connection"] == 1


def test_a_body_that_ends_with_the_connection_needs_one(authority: Tls, client: holdfast.Client) -> None:
    with Server(then_cut(head(200) + b"hello", notify=False), tls=authority.server_context()) as server:
        with pytest.raises(IncompleteBody, match="closure alert") as caught:
            client.get(server.url())
        assert caught.value.received == 5
    with Server(then_cut(head(200) + b"hello", notify=True), tls=authority.server_context()) as server:
        assert client.get(server.url()).text == "hello"


@pytest.mark.parametrize("notify", [True, False], ids=["alert", "no alert"])
@pytest.mark.parametrize("raw", [ok(b"hello")[:-1], chunked(b"hello")[:-5]], ids=["length", "chunked"])
def test_a_framed_body_that_is_cut_is_incomplete_either_way(
    authority: Tls, client: holdfast.Client, raw: bytes, notify: bool
) -> None:
    with (
        Server(then_cut(raw, notify=notify), tls=authority.server_context()) as server,
        pytest.raises(IncompleteBody),
    ):
        client.get(server.url())


def test_a_damaged_record_in_the_body_is_a_tls_error(authority: Tls, client: holdfast.Client) -> None:
    def damage(conn: Conn) -> None:
        conn.expect_request()
        conn.send(head(200, "Content-Length: 500") + b"x" * 100)
        with socket.socket(fileno=os.dup(conn.sock.fileno())) as raw:
            raw.sendall(b"\x17\x03\x03\x01\x00" + b"\0" * 256)
        conn.wait_closed()

    with Server(damage, tls=authority.server_context()) as server:
        with pytest.raises(SSLError, match=re.compile("100 of 500 bytes.*record", re.IGNORECASE)):
            client.get(server.url())
        assert client.stats().idle == 0


def test_plain_http_needs_no_context(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "_build_context", None)
    with Server() as server, holdfast.Client(trust_env=False) as client:
        assert client.get(server.url()).ok

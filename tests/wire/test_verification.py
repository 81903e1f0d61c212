"""What an SSLError says is to be done about a certificate: tried with real handshakes, in the library's words and the command's."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from holdfast import Client, SSLError
from holdfast.cli import codes
from holdfast.wire.verification import COMMAND, explain, in_terms
from tests.cli.support import invoke
from tests.conftest import Tls
from tests.server import Server
from tests.support import QUICK

NOW = datetime.datetime.now(datetime.timezone.utc)
DAY = datetime.timedelta(days=1)


def without_key_identifiers(name: str, path: Path, *, issuer: tuple[x509.Certificate, Any] | None = None) -> ssl.SSLContext:
    """A server context, whose certificate is signed by itself or by ``issuer`` and goes to ``path`` as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer = issuer[0].subject if issuer else subject
    builder = x509.CertificateBuilder(signer, subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(NOW - DAY).not_valid_after(NOW + DAY)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    certificate = builder.sign(issuer[1] if issuer else key, hashes.SHA256())
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    bytes_of_key = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    key_path = path.with_suffix(".key")
    key_path.write_bytes(bytes_of_key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, key_path)
    return context


def said(context: ssl.SSLContext, verify: Any, host: str = "localhost") -> str:
    """The text of the SSLError at a server with this context."""
    with Server(tls=context) as server, Client(verify=verify, timeout=QUICK, trust_env=False) as client:
        with pytest.raises(SSLError) as caught:
            client.get(server.url("/", host=host))
        server.wait_for_handshakes(1)
    return str(caught.value).replace(f"{host}:{server.port}", "SERVER")


UNKNOWN = (
    "the certificate of SERVER is not valid (CERTIFICATE_VERIFY_FAILED): unable to get local issuer certificate. "
    "No authority that is trusted here has signed "
    "it: verify=PATH trusts those in a PEM file (a private authority, a company's proxy), "
    "verify=\"system\" those of the operating "
    "system. A server that leaves out its intermediate certificate looks the same"
)


def test_an_authority_that_is_not_trusted_is_told_how_to_be_trusted(tls: Tls) -> None:
    assert said(tls.server_context(), True) == UNKNOWN


def test_a_certificate_that_signed_itself_can_be_trusted_itself(tmp_path: Path) -> None:
    path = tmp_path / "own.pem"
    context = without_key_identifiers("localhost", path)
    text = said(context, True).replace("self signed", "self-signed")  # as OpenSSL 1.1 spells it

    assert text == (
        "the certificate of SERVER is not valid (CERTIFICATE_VERIFY_FAILED): self-signed certificate. "
        "It has signed itself: verify=PATH trusts it, where PATH is a PEM file with this very certificate"
    )
    with Server(tls=context) as server, Client(verify=str(path), timeout=QUICK) as client:
        assert client.get(server.url("/", host="localhost")).ok


@pytest.mark.parametrize(
    ("times", "fault"),
    [
        ({"not_after": NOW - DAY}, "certificate has expired"),
        ({"not_before": NOW + DAY, "not_after": NOW + 2 * DAY}, "certificate is not yet valid"),
    ],
)
def test_a_certificate_out_of_its_time_is_the_servers_to_replace_or_the_clocks(
    tls: Tls, times: dict[str, Any], fault: str
) -> None:
    began = datetime.date.today()
    text = said(tls.server_context(tls.ca.issue_cert("localhost", **times)), tls.ca_path)

    assert text.startswith(f"the certificate of SERVER is not valid (CERTIFICATE_VERIFY_FAILED): {fault}. ")
    assert "The server needs another one, if the clock of this machine is right" in text
    assert text.endswith(tuple(f"here it is {day.isoformat()}" for day in (began, datetime.date.today())))  # midnight may pass


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_another_name_is_told_as_that(tls: Tls, host: str) -> None:
    text = said(tls.server_context(tls.ca.issue_cert("other.example")), tls.ca_path, host)

    assert text.endswith(
        f"for '{host}'. Call the server by a name that is in its certificate, or have one issued for this name"
    )


def signer_of(tls: Tls) -> tuple[x509.Certificate, Any]:
    private = tls.ca.private_key_pem.bytes()
    return x509.load_pem_x509_certificate(tls.ca.cert_pem.bytes()), serialization.load_pem_private_key(private, None)


def test_what_only_the_strict_checks_refuse_is_told_how_to_be_accepted(tls: Tls, tmp_path: Path) -> None:
    context = without_key_identifiers("localhost", tmp_path / "loose.pem", issuer=signer_of(tls))
    strict, lenient = tls.client_context(), tls.client_context()
    strict.verify_flags |= ssl.VERIFY_X509_STRICT  # the default from Python 3.13 on
    lenient.verify_flags &= ~ssl.VERIFY_X509_STRICT
    text = said(context, strict)

    assert text == (
        "the certificate of SERVER is not valid (CERTIFICATE_VERIFY_FAILED): Missing Authority Key Identifier. "
        "Its authority has to issue it anew, as RFC 5280 wants it: Python 3.13 and later are strict; "
        "verify= an ssl.SSLContext without VERIFY_X509_STRICT accepts it until then"
    )
    with Server(tls=context) as server, Client(verify=lenient, timeout=QUICK) as client:
        assert client.get(server.url("/", host="localhost")).ok


@pytest.fixture
def bad_certificates(tls: Tls, tmp_path: Path) -> dict[str, ssl.SSLContext]:
    return {
        "unknown": tls.server_context(),
        "itself": without_key_identifiers("localhost", tmp_path / "own.pem"),
        "expired": tls.server_context(tls.ca.issue_cert("localhost", not_after=NOW - DAY)),
        "name": tls.server_context(tls.ca.issue_cert("other.example")),
    }


@pytest.mark.parametrize("case", ["unknown", "itself", "expired", "name"])
def test_no_remedy_turns_verification_off(bad_certificates: dict[str, ssl.SSLContext], case: str) -> None:
    assert "False" not in said(bad_certificates[case], True)
    assert "insecure" not in said(bad_certificates[case], True)


@pytest.mark.parametrize("command", ["get", "timing", "doctor", "download"])
def test_the_command_says_it_in_its_own_options(
    capsys: pytest.CaptureFixture[str], tls: Tls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with Server(tls=tls.server_context()) as server:
        code, out, err = invoke(capsys, command, server.url("/a.bin", host="localhost"))
        server.wait_for_handshakes(1)
    told = " ".join((out + err).split())

    assert code == codes.UNREACHABLE
    assert "--cacert PATH trusts those in a PEM file" in told
    assert "--cacert system those of the operating system" in told
    assert "verify=" not in told


def test_an_error_that_is_not_openssls_is_told_by_its_own_text() -> None:
    """As truststore raises it on macOS and Windows, where the system verifies: without OpenSSL's verdict."""
    error = ssl.SSLCertVerificationError("Peer sent no certificates to verify")

    told = explain(error, "SERVER")

    assert told == "the certificate of SERVER is not valid (CERTIFICATE_VERIFY_FAILED): Peer sent no certificates to verify"
    assert in_terms(COMMAND, told, error) == told


def test_an_error_without_a_certificate_is_told_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    with Server(lambda conn: conn.close()) as server:
        _, _, err = invoke(capsys, server.url().replace("http", "https", 1))

    assert "closed the connection during the TLS handshake" in err
    assert "--cacert" not in err


"""What urllib3's TLS arguments mean, as an ``ssl.SSLContext`` that does all of it.

A context with checks of its own (a fingerprint, another name than the host's) brings them along in its class of sockets, so
that no connection is ready before it has passed.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import Any

from .._loading import loading
from ..exceptions import InvalidRequest, SSLError
from ..wire.fifo import steady
from ..wire.openssl import ssl
from ..wire.tls import SYSTEM, load_authorities, log_keys
from .certs import where

__all__ = ["TLS_NAMES", "TlsOptions"]

TLS_NAMES = frozenset(
    (
        "ssl_context",
        "ca_certs",
        "ca_cert_dir",
        "ca_cert_data",
        "cert_reqs",
        "cert_file",
        "key_file",
        "key_password",
        "assert_hostname",
        "assert_fingerprint",
        "ssl_version",
        "ssl_minimum_version",
        "ssl_maximum_version",
    )
)
"""The arguments of a pool that are about TLS, but for ``server_hostname``."""

_HASHES = {32: hashlib.md5, 40: hashlib.sha1, 64: hashlib.sha256}
_VERSIONS = {
    "PROTOCOL_TLSv1_2": (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2),
    "PROTOCOL_TLS": (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.MAXIMUM_SUPPORTED),
    "PROTOCOL_TLS_CLIENT": (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.MAXIMUM_SUPPORTED),
}


class TlsOptions:
    """urllib3's TLS arguments of one pool, and the contexts made of them.

    Args:
        given: of the names in ``TLS_NAMES``; those that are None say nothing.
    """

    def __init__(self, given: dict[str, Any]) -> None:
        self._given = {name: value for name, value in given.items() if value is not None}
        self._made: dict[Any, Any] = {}
        self._unverified = False

    def __bool__(self) -> bool:
        return bool(self._given)

    def like(self, other: TlsOptions) -> TlsOptions:
        """The one with the same settings as ``other`` that was made before; ``other`` itself the first time."""
        key = ("like", tuple(sorted((name, _hashable(value)) for name, value in other._given.items())))
        found: TlsOptions = self._made.setdefault(key, other)
        return found

    def context(self, verify: Any, cert: Any) -> ssl.SSLContext:
        """The context for connections with these settings of a call.

        Raises:
            SSLError, OSError: a file is not there, or not what it should be.
            InvalidRequest: what is asked contradicts itself.
        """
        own = self._given.get("ssl_context")
        if own is not None:
            return self._user_context(own, verify, cert)
        key = (verify, cert if cert is None or isinstance(cert, str) else tuple(cert))
        if key not in self._made:
            self._made[key] = self._build(verify, cert)
        made: ssl.SSLContext = self._made[key]
        return made

    def _user_context(self, context: ssl.SSLContext, verify: Any, cert: Any) -> ssl.SSLContext:
        """The user's own, with authorities and certificates loaded into it as urllib3 does; loaded once."""
        if self._given.get("assert_fingerprint") or isinstance(self._given.get("assert_hostname"), str):
            raise InvalidRequest("assert_fingerprint and assert_hostname need a context of holdfast's own: leave ssl_context out")
        if verify is False or self._given.get("cert_reqs") in ("CERT_NONE", ssl.CERT_NONE):
            return self._unverifying(context)
        if self._unverified:
            raise InvalidRequest(
                "verify=False has turned off the verification of this ssl_context; mount another adapter for calls that verify"
            )
        if self._given.get("assert_hostname") is False:
            context.check_hostname = False
        self._load(context, verify, cert)
        return context

    def _unverifying(self, context: ssl.SSLContext) -> ssl.SSLContext:
        if context.verify_mode is not ssl.CERT_NONE:
            if context.check_hostname:
                # As in urllib3, and for its reason: the context is the user's, and other connections may rely on it.
                raise ValueError(
                    "Cannot set verify_mode to CERT_NONE when check_hostname is enabled: verify=False together with an "
                    "ssl_context; set check_hostname = False on that context first"
                )
            context.verify_mode = ssl.CERT_NONE
            self._unverified = True
        return context

    def _load(self, context: ssl.SSLContext, verify: Any, cert: Any) -> None:
        key = ("loaded", verify, cert)
        if key not in self._made:
            self._load_authorities(context, verify)
            self._load_certificate(context, cert)
            self._made[key] = context

    def _load_authorities(self, context: ssl.SSLContext, verify: Any) -> None:
        if verify == SYSTEM:
            load_authorities(context, verify)
            return
        given = self._given
        file, folder, data = given.get("ca_certs"), given.get("ca_cert_dir"), given.get("ca_cert_data")
        if isinstance(verify, (str, os.PathLike)):
            # As in requests: what the call says of authorities takes the place of what the pool was made with.
            file, folder, data = (None, verify, None) if os.path.isdir(verify) else (verify, None, None)
        if not (file or folder or data):
            file = where()
        try:
            with steady(file) as bundle, loading:
                context.load_verify_locations(bundle, folder, data)
        except ssl.SSLError as error:
            raise SSLError(f"the CA bundle {file or folder!r} holds no certificate in PEM form: {error}") from error
        except OSError as error:
            if error.filename:
                raise  # of a FIFO
            raise OSError(
                error.errno, f"Could not find a suitable TLS CA certificate bundle, invalid path: {file or folder}"
            ) from error

    def _load_certificate(self, context: ssl.SSLContext, cert: Any) -> None:
        given = self._given
        file, key, password = given.get("cert_file"), given.get("key_file"), given.get("key_password")
        if cert is not None:
            file, key, password = (*((cert,) if isinstance(cert, (str, os.PathLike)) else tuple(cert)), None, None)[:3]
        if file is not None:
            try:
                with steady(file) as its_file, steady(key) as key_file, loading:
                    context.load_cert_chain(its_file, key_file, password or "")
            except ssl.SSLError as error:
                raise SSLError(f"cannot use the client certificate {os.fspath(file)!r}: {error}") from error

    def _build(self, verify: Any, cert: Any) -> ssl.SSLContext:
        given = self._given
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.set_alpn_protocols(["http/1.1"])
        lowest, highest = _versions(given.get("ssl_version"))
        context.minimum_version = given.get("ssl_minimum_version") or lowest
        context.maximum_version = given.get("ssl_maximum_version") or highest
        mode = "CERT_NONE" if verify is False else given.get("cert_reqs", "CERT_REQUIRED")
        name = given.get("assert_hostname")
        if name is not None:
            context.check_hostname = False
        if mode in ("CERT_NONE", ssl.CERT_NONE):
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            name = None
        else:
            self._load_authorities(context, verify)
        self._load_certificate(context, cert)
        fingerprint = given.get("assert_fingerprint")
        if fingerprint or name:
            context.sslsocket_class = _checking(fingerprint, name or None)
        log_keys(context)
        return context


def _hashable(value: Any) -> Any:
    return value if isinstance(value, (str, bytes, int, float)) else id(value)


def _versions(wanted: Any) -> tuple[ssl.TLSVersion, ssl.TLSVersion]:
    """The lowest and the highest version that an ``ssl_version`` means."""
    name = "PROTOCOL_TLS" if wanted is None else getattr(wanted, "name", None) or str(wanted)
    if name in ("TLSv1_2", "PROTOCOL_TLSv1_2"):
        name = "PROTOCOL_TLSv1_2"
    try:
        return _VERSIONS[name]
    except KeyError:
        raise InvalidRequest(
            f"ssl_version={name}: TLS before 1.2 is broken; for an old server give an ssl_context that allows it"
        ) from None


def _checking(fingerprint: Any, name: str | None) -> type[ssl.SSLSocket]:
    """A class of sockets whose handshake fails if the server's certificate is not the expected one."""
    wanted = b"" if not fingerprint else _digest(fingerprint)

    class CheckingSocket(ssl.SSLSocket):
        """Checks the server's certificate as soon as there is one."""

        def do_handshake(self, block: bool = False) -> None:
            super().do_handshake(block)
            if wanted:
                found = _HASHES[len(wanted) * 2](self.getpeercert(True) or b"").digest()
                if not hmac.compare_digest(found, wanted):
                    raise ssl.SSLError(f"Fingerprints did not match. Expected {wanted.hex()!r}, got {found.hex()!r}")
            if name is not None:
                _check_name(self.getpeercert() or {}, name)

    return CheckingSocket


def _digest(fingerprint: Any) -> bytes:
    text = str(fingerprint).replace(":", "").lower()
    if len(text) not in _HASHES:
        raise InvalidRequest(f"assert_fingerprint={fingerprint!r}: expected the MD5, SHA-1 or SHA-256 of a certificate, in hex")
    return bytes.fromhex(text)


def _check_name(certificate: dict[str, Any], name: str) -> None:
    """RFC 6125, section 6.4: the name itself, or one wildcard in place of its first label."""
    wanted = name.lower().rstrip(".")
    names = [value.lower() for kind, value in certificate.get("subjectAltName", ()) if kind in ("DNS", "IP Address")]
    _, _, parent = wanted.partition(".")
    if wanted not in names and f"*.{parent}" not in names:
        raise ssl.SSLError(f"hostname {name!r} doesn't match any of {names}")

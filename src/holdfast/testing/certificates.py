"""An authority for the tests of one process, and certificates of loopback's names. Made with trustme, of the extra ``testing``."""

from __future__ import annotations

import functools
import ssl
from typing import TYPE_CHECKING

from .._extras import needed

if TYPE_CHECKING:
    import trustme

NAMES = ("localhost", "127.0.0.1", "::1")


class Authority:
    """A certificate authority that only this process knows.

    Attributes:
        ca: trustme's; ``ca.issue_cert("other.example")`` makes further certificates.
        pem: its certificate.
    """

    def __init__(self, ca: trustme.CA) -> None:
        self.ca = ca
        self.pem: bytes = ca.cert_pem.bytes()
        self._leaf = ca.issue_cert(*NAMES)

    def server_context(self) -> ssl.SSLContext:
        """A new context of a server on loopback."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._leaf.configure_cert(context)
        return context


@functools.cache
def authority() -> Authority:
    """The process's own authority.

    Raises:
        ModuleNotFoundError: trustme is not installed.
    """
    with needed("Server(tls=True)", "trustme", "testing", otherwise="give Server an ssl.SSLContext as tls="):
        import trustme
    return Authority(trustme.CA())

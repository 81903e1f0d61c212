"""What opening a connection took, and what was found out on the way: a few numbers, written down once per connection."""

from __future__ import annotations

from collections.abc import Iterator
from types import FrameType
from typing import Any


class Opening:
    """How one connection came to be.

    Attributes:
        dns, tcp: seconds; with several attempts, as by way of some proxies, of all of them.
        proxy: seconds of what was said to a proxy, its own TLS included; None without a proxy.
        tls: seconds of the TLS handshake with the server; None without TLS.
        tried: (address, what became of it) of each address that was tried, in their order; "" is the one that answered.
        peer: the address of the socket's other end, which is the proxy's where there is one; "" for a Unix-domain socket.
        tls_version, tls_cipher, tls_group, alpn: what was agreed on; "" where there is none, or where Python does not tell.
        tls_resumed: whether the handshake resumed an earlier session.
    """

    __slots__ = ("alpn", "dns", "peer", "proxy", "tcp", "tls", "tls_cipher", "tls_group", "tls_resumed", "tls_version", "tried")

    def __init__(self) -> None:
        self.dns = self.tcp = 0.0
        self.proxy: float | None = None
        self.tls: float | None = None
        self.tried: list[tuple[str, str]] = []
        self.peer = self.tls_version = self.tls_cipher = self.tls_group = self.alpn = ""
        self.tls_resumed = False

    def note_tls(self, sock: Any) -> None:
        """What the handshake of ``sock``, an SSLSocket or a TlsInTls, has agreed on."""
        self.tls_version = sock.version() or ""
        self.tls_cipher = (sock.cipher() or ("",))[0]
        self.tls_group = sock.group() or "" if hasattr(sock, "group") else ""  # from Python 3.15 on
        self.tls_resumed = bool(sock.session_reused)
        self.alpn = sock.selected_alpn_protocol() or ""


def frames_of(error: BaseException) -> Iterator[FrameType]:
    """The frames from where ``error`` was caught to where it was raised. They have the sockets that were opened and never returned.

    Without the module traceback, whose import costs more than this.
    """
    entry = error.__traceback__
    while entry is not None:
        yield entry.tb_frame
        entry = entry.tb_next

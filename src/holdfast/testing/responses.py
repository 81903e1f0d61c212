"""Responses as the bytes that a server sends: nothing is added to what is said here but the framing that a name promises."""

from __future__ import annotations

from collections.abc import Sequence


def response(status: int, body: bytes = b"", *headers: str, reason: str = "Said So", version: str = "1.1") -> bytes:
    """A whole response with a Content-Length: ``response(404, b"no", "X-Why: because")``."""
    return head(status, f"Content-Length: {len(body)}", *headers, reason=reason, version=version) + body


def ok(body: bytes = b"", *headers: str) -> bytes:
    """A whole 200 response with a Content-Length."""
    return response(200, body, *headers, reason="OK")


def head(status: int, *headers: str, reason: str = "Said So", version: str = "1.1") -> bytes:
    """A status line and fields, the empty line included. No field is added."""
    lines = [f"HTTP/{version} {status} {reason}", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1")


def chunked(*pieces: bytes, headers: Sequence[str] = (), trailers: Sequence[str] = ()) -> bytes:
    """A whole 200 response in chunks, one for each piece."""
    ending = "".join(f"{line}\r\n" for line in trailers).encode("latin-1")
    return (
        head(200, "Transfer-Encoding: chunked", *headers, reason="OK") + chunks(*pieces) + b"0\r\n" + ending + b"\r\n"
    )


def chunks(*pieces: bytes) -> bytes:
    """The pieces framed as chunks, without the last chunk."""
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)


def redirect(location: str, status: int = 302, *headers: str) -> bytes:
    """A whole redirect without a body."""
    return response(status, b"", f"Location: {location}", *headers, reason="Elsewhere")

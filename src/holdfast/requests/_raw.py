"""``response.raw`` as urllib3's response has it: every attribute that programs read or set there, over holdfast's ``RawBody``.

Made when a program asks for ``raw``; a response whose content is read needs none.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, cast

from ..message.fields import RawHeaders
from ..message.raw import RawBody

__all__ = ["OriginalResponse", "Raw", "SourceFile", "as_urllib3"]

REDIRECTS = (301, 302, 303, 307, 308)


class OriginalResponse:
    """What urllib3 calls the original response, http.client's: ``msg`` is what cookie jars look into.

    Attributes:
        msg: the fields, as an ``http.client.HTTPMessage``.
    """

    def __init__(self, raw_headers: RawHeaders) -> None:
        from http.client import HTTPMessage

        self.msg = HTTPMessage()
        for name, value in raw_headers:
            self.msg.add_header(name.decode("latin-1"), value.decode("latin-1"))
        self._closed = False

    def isclosed(self) -> bool:
        """Whether ``close`` was called: holdfast closes bodies itself."""
        return self._closed

    def close(self) -> None:
        """Nothing but that ``isclosed`` says so."""
        self._closed = True


class SourceFile(io.RawIOBase):
    """The undecoded body as the file that urllib3 calls ``_fp``.

    Args:
        raw: what is read; what it has given out here is missing there, and the other way round.
    """

    def __init__(self, raw: RawBody) -> None:
        super().__init__()
        self._raw = raw

    def readable(self) -> bool:
        """True."""
        return True

    def read(self, amt: int | None = -1) -> bytes:
        """``amt`` bytes, fewer at the end; all that is left if it is None or negative."""
        return self._raw.read(amt, decode_content=False)

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; the number of bytes."""
        data = self._raw.read1(len(buffer), decode_content=False)
        buffer[: len(data)] = data
        return len(data)

    def isclosed(self) -> bool:
        """Whether the end was seen, or the body closed."""
        return bool(self._raw.ended or self._raw.closed)

    @property
    def fp(self) -> Any:
        """None at the end, as http.client's response has it: CacheControl keeps what it has read then."""
        return None if self.isclosed() else self

    def close(self) -> None:
        """Read no more."""
        if not self.closed:
            self._raw.close()
        super().close()


class _ForeignDecoder:
    """A decoder that a program has put in the place of ours, as urllib3's are: ``decompress`` and ``flush``."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.fed = 0
        self._pieces: list[bytes] = []

    def feed(self, data: bytes) -> None:
        self.fed += len(data)
        self._pieces.append(self.inner.decompress(data))

    def read(self, limit: int) -> bytes:
        while self._pieces:
            piece = self._pieces.pop(0)
            if len(piece) > limit:
                self._pieces.insert(0, piece[limit:])
            if piece:
                return piece[:limit]
        return b""

    def finish(self) -> None:
        self.inner.flush()


_decoder_slot: Any = RawBody.__dict__["_decoder"]


class Raw(RawBody):
    """A ``RawBody`` with the names of urllib3's response, and room for more.

    Attributes:
        enforce_content_length: accepted; a body that is cut short is an error in any case.
        msg, retries, length_remaining, chunked, connection and the names with an underscore: as in urllib3; may be set.
    """

    enforce_content_length = True
    retries: Any = None
    connection: Any = None
    request_method: str | None = None
    request_url: str | None = None
    _connection: Any = None
    _pool: Any = None
    _body: Any = None
    _given_decoder: Any = None

    def __getattr__(self, name: str) -> Any:
        # The rare ones are made when they are asked for, and then stay what they are set to.
        make = _RARE.get(name)
        if make is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        value = self.__dict__[name] = make(self)
        return value

    def __iter__(self) -> Iterator[bytes]:
        """The rest line by line with content codings undone, as in urllib3, whose ``readline()`` leaves them as they are too."""
        return iter(partial(self._line, None, True), b"")

    @property
    def _decoder(self) -> Any:
        return _decoder_slot.__get__(self)

    @_decoder.setter
    def _decoder(self, value: Any) -> None:
        if value is not None and not hasattr(value, "fed"):
            self._given_decoder = value = _ForeignDecoder(value)
        _decoder_slot.__set__(self, value)

    def _choose(self, decode: bool) -> None:
        super()._choose(decode)
        if self._given_decoder is not None:
            _decoder_slot.__set__(self, self._given_decoder if decode else None)

    @property
    def headers(self) -> Any:
        """The header fields; may be set."""
        return super().headers

    @headers.setter
    def headers(self, value: Any) -> None:
        self._fields = value

    @property
    def reason(self) -> Any:
        """The reason phrase; may be set."""
        return super().reason

    @reason.setter
    def reason(self, value: str | None) -> None:
        self._reason = (value or "").encode("latin-1", "replace")

    @property
    def length_remaining(self) -> int | None:
        """Bytes of the body that were not given out yet; None if its length was not announced."""
        announced = self.headers.get("Content-Length", "")
        return max(0, int(announced) - self.taken) if announced.isdigit() else None

    @length_remaining.setter
    def length_remaining(self, value: int | None) -> None:
        """Accepted: the length is what the server has announced."""

    def supports_chunked_reads(self) -> bool:
        """True: pieces can be had as they arrive."""
        return True

    def geturl(self) -> str | None:
        """The URL of the request."""
        return self.request_url

    def isclosed(self) -> bool:
        """Whether no more can be read."""
        return bool(self.closed)

    def get_redirect_location(self) -> Any:
        """The Location of a redirect, None if it has none, False if this is no redirect."""
        return self.headers.get("location") if self.status in REDIRECTS else False

    def drain_conn(self) -> None:
        """Read what is left of a small body, so that its connection can be used again; else close it."""
        self.close()

    def json(self) -> Any:
        """The body as JSON."""
        import json

        return json.loads(self.data)

    def _error_catcher(self) -> Any:
        from contextlib import nullcontext

        return nullcontext()


_RARE: dict[str, Callable[[Raw], Any]] = {
    "_fp": SourceFile,
    "_original_response": lambda raw: OriginalResponse(raw._raw_headers),
    "msg": lambda raw: OriginalResponse(raw._raw_headers).msg,
    "chunked": lambda raw: "chunked" in raw.headers.get("Transfer-Encoding", "").lower(),
    "url": Raw.geturl,
    "_request_url": Raw.geturl,
    "_retries": lambda raw: raw.retries,
    "version_string": lambda raw: f"HTTP/{raw._version.decode('latin-1')}",
}


def as_urllib3(raw: Raw, method: str | None, url: str | None) -> Any:
    """The same response as an ``urllib3.HTTPResponse``, for programs that replace ``build_response`` and look inside.

    Raises:
        ImportError: urllib3 is not installed.
    """
    from urllib3._collections import HTTPHeaderDict
    from urllib3.response import HTTPResponse

    fields = HTTPHeaderDict()
    for name, value in raw.headers.multi_items():
        if name.lower() != "transfer-encoding":  # its framing is undone: urllib3 would look for chunks once more
            fields.add(name, value)
    made = HTTPResponse(
        body=SourceFile(raw),
        headers=fields,
        status=raw.status,
        version=raw.version,
        reason=raw.reason,
        preload_content=False,
        decode_content=False,
        original_response=cast(Any, OriginalResponse(raw._raw_headers)),
        request_method=method,
        request_url=url,
        enforce_content_length=False,  # it was checked where it was read
    )
    made.headers = HTTPHeaderDict(raw.headers.multi_items())
    return made

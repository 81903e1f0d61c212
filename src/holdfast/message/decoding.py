"""Undoing Content-Encoding, in memory that the caller bounds.

Laws:

1. ``read(limit)`` gives at most ``limit`` bytes, and what is held is bounded by ``limit``, by what was fed and by a
   constant (the window a coding needs: 32 KiB gzip, 16 MiB br, 8 MiB zstd), whatever the ratio: a bomb is
   only as large as its reader wants it.
2. Every turn of every loop consumes input, gives output or ends; a coding that does none of these is an error.
3. How the input was cut into pieces makes no difference to the result.
4. Data that ends before its coding does is an error: intact framing around half a gzip file is still half a file.
5. After an error the decoder is dead. Its state is unknown, and some libraries crash on it (CVE-2026-6100).

What follows the last gzip member, zlib stream or zstd frame is ignored unless it begins another one. Brotli does not
allow anything to follow. In a chain, what an outer coding has behind the end of the inner one is not looked for: whether damage
there is noticed depends on how much was decoded at once.
"""

from __future__ import annotations

import sys
import zlib
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from .._loading import loading
from .._numbers import number_of
from ..exceptions import ContentDecodingError, DecodedTooLarge

MAX_CODINGS = 5

_GZIP_WBITS = 16 + zlib.MAX_WBITS

# Input goes to the libraries in slices: zlib copies what it did not use, and that copy must not be the whole body.
_SLICE = 16 * 1024
# Decoding byte by byte, for a reader who asks so, would cost a call into the library for each. The rest is kept.
_SMALLEST_STEP = 4 * 1024
_LARGE_STEP = 1024 * 1024
# A brotli library gives up to twice what it was asked for, and never less than 32 KiB.
_BROTLI_STEP = 16 * 1024
# RFC 9659 section 3: a zstd window is at most 8 MiB. The library itself would go to 128 MiB at a server's word.
_ZSTD_WINDOW_LOG = 23
# Each member costs a new decoder; a megabyte of empty ones would cost seconds.
_MAX_EMPTY_MEMBERS = 1024
# In a chain, what the outer coding expands to without yielding a byte at the end (each stage may multiply by 1000).
_MAX_BARREN = 16 * 1024 * 1024


# ---------------------------------------------------------------------------------------- one coding


class _Stage(ABC):
    """One coding being undone: a queue of coded bytes, and the library's decoder for the member it is in."""

    __slots__ = ("_at", "_empty_members", "_engine", "_more", "_queue", "_rest", "_yielded", "complete", "ended", "fed")

    coding: str
    errors: tuple[type[Exception], ...]
    # How many bytes tell whether another member follows; 0 where none can.
    magic_size = 0

    def __init__(self) -> None:
        self._queue: deque[bytes] = deque()
        self._at = 0  # how much of the queue's first piece was taken
        self._rest = b""  # taken from the queue, not yet used
        self._engine: Any = None
        self._more = False  # the engine holds output that needs no further input
        self._yielded = False
        self._empty_members = 0
        self.fed = False
        self.complete = False  # at the end of a member
        self.ended = False  # nothing that follows matters

    def feed(self, data: bytes) -> None:
        if data and not self.ended:
            self.fed = True
            self._queue.append(data)

    def end(self) -> None:
        """Nothing that follows matters: keep none of it, now and later."""
        self.ended = True
        self._engine = None
        self._rest = b""
        self._queue.clear()

    def read(self, limit: int) -> bytes:
        """Some decoded bytes, about ``limit`` of them; b"" when more input is needed, or none."""
        while not self.ended and (self._engine is not None or self._open_member()):
            piece = b"" if self._more else self._rest or self._slice()
            if not piece and not self._more:
                return b""
            out = self._guarded_step(piece, limit)
            if out:
                return out
        return b""

    def check_complete(self) -> None:
        if self.fed and not self.complete:
            raise ContentDecodingError(f"the {self.coding} data was cut short: it ended before its end mark")

    @abstractmethod
    def _new_engine(self) -> Any:
        """The library's decoder for the member that begins with the next byte; None while that takes more input."""

    @abstractmethod
    def _step(self, piece: bytes, limit: int) -> bytes:
        """Decode ``piece``; sets ``_rest`` and ``_more``, and calls ``_close_member`` at its end."""

    def _begins_member(self, magic: bytes) -> bool:
        return False

    def _guarded_step(self, piece: bytes, limit: int) -> bytes:
        self._rest = b""
        held_back = self._more
        try:
            out = self._step(piece, limit)
        except self.errors as error:
            raise ContentDecodingError(f"the {self.coding} data is corrupt: {error}") from error
        if out:
            self._yielded = True
        elif self._engine is not None and len(self._rest) >= len(piece) and self._more == held_back:
            raise ContentDecodingError(f"the {self.coding} data is corrupt: decoding it makes no progress")
        return out

    def _slice(self) -> bytes:
        if not self._queue:
            return b""
        first, start = self._queue[0], self._at
        if len(first) - start > _SLICE:
            self._at = start + _SLICE
            return first[start : self._at]
        self._queue.popleft()
        self._at = 0
        return first[start:]

    def _gather(self, count: int) -> bool:
        """Have at least ``count`` bytes in ``_rest``, if so many were fed."""
        while len(self._rest) < count:
            piece = self._slice()
            if not piece:
                return False
            self._rest += piece
        return True

    def _open_member(self) -> bool:
        if self.complete and not self._another_follows():
            return False
        self._engine = self._new_engine()
        if self._engine is None:
            return False
        self.complete = False
        self._yielded = False
        return True

    def _another_follows(self) -> bool:
        if not self._gather(self.magic_size):
            return False
        if self._begins_member(self._rest[: self.magic_size]):
            return True
        self.end()
        return False

    def _close_member(self, unused: bytes) -> None:
        self._engine = None
        self._more = False
        self._rest = unused
        self.complete = True
        self._empty_members = 0 if self._yielded else self._empty_members + 1
        if self._empty_members > _MAX_EMPTY_MEMBERS:
            raise ContentDecodingError(f"the {self.coding} data has over {_MAX_EMPTY_MEMBERS} empty parts in a row")


class _ZlibStage(_Stage):
    __slots__ = ()
    errors = (zlib.error,)

    def _step(self, piece: bytes, limit: int) -> bytes:
        engine = self._engine
        out: bytes = engine.decompress(piece, limit)
        if engine.eof:
            self._yielded = self._yielded or bool(out)
            self._close_member(engine.unused_data)
        else:
            self._rest = engine.unconsumed_tail
            # A full buffer may hide output that zlib holds back, even when it took all of the input.
            self._more = len(out) == limit and not self._rest
        return out


class _GzipStage(_ZlibStage):
    """RFC 1952: any number of members, each with its CRC, which zlib checks."""

    __slots__ = ()
    coding = "gzip"
    magic_size = 2

    def _new_engine(self) -> Any:
        return zlib.decompressobj(_GZIP_WBITS)

    def _begins_member(self, magic: bytes) -> bool:
        return magic == b"\x1f\x8b"


class _DeflateStage(_ZlibStage):
    """RFC 1950, or the bare RFC 1951 that some servers send in its place; two bytes tell.

    A zlib header's first byte ends in the bits 1000. As deflate they would be a stored block with padding that is
    not zero, which no compressor writes.
    """

    __slots__ = ()
    coding = "deflate"

    def _new_engine(self) -> Any:
        if not self._gather(2):
            return None
        first, second = self._rest[:2]
        is_zlib = first & 0x0F == 8 and first >> 4 <= 7 and (first << 8 | second) % 31 == 0
        return zlib.decompressobj(zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS)


class _LibraryStage(_Stage):
    """A coding whose library may be there or not."""

    __slots__ = ("_module", "errors")
    error_name: str

    def __init__(self, module: Any) -> None:
        super().__init__()
        self._module = module
        self.errors = (getattr(module, self.error_name),)


class _BrotliStage(_LibraryStage):
    """RFC 7932, by brotli or brotlicffi, 1.2 or later: older ones cannot bound their output."""

    __slots__ = ()
    coding = "br"
    error_name = "error"
    magic_size = 1

    def _new_engine(self) -> Any:
        return self._module.Decompressor()

    def _begins_member(self, magic: bytes) -> bool:
        raise ContentDecodingError("the br data is corrupt: bytes follow its end")

    def _step(self, piece: bytes, limit: int) -> bytes:
        engine = self._engine
        out: bytes = engine.process(piece, output_buffer_limit=min(limit, _BROTLI_STEP))
        # Having given output it may hold back more, or its very end, even when it says that it could take input.
        self._more = bool(out) or not engine.can_accept_more_data()
        if engine.is_finished():
            self._close_member(b"")
        return out


class _ZstdStage(_LibraryStage):
    """RFC 8878: any number of frames, skippable ones too, with windows of at most 8 MiB."""

    __slots__ = ()
    coding = "zstd"
    error_name = "ZstdError"
    magic_size = 4

    def _new_engine(self) -> Any:
        options = {self._module.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}
        return self._module.ZstdDecompressor(options=options)

    def _begins_member(self, magic: bytes) -> bool:
        return magic == b"\x28\xb5\x2f\xfd" or (0x50 <= magic[0] <= 0x5F and magic[1:] == b"\x2a\x4d\x18")

    def _step(self, piece: bytes, limit: int) -> bytes:
        engine = self._engine
        out: bytes = engine.decompress(piece, limit)
        if engine.eof:
            self._yielded = self._yielded or bool(out)
            self._close_member(engine.unused_data)
        else:
            self._more = not engine.needs_input
        return out


# ---------------------------------------------------------------------------------------- all of them


class Decoder:
    """Undoes one or several content codings, piece by piece. Made by ``make_decoder``.

    Feed what arrives; read until it gives b""; feed again; after the last piece was read, ``finish()``.

    Attributes:
        codings: what is being undone, the outermost first.
        fed: coded bytes so far.
        decoded: bytes decoded so far.
        max_decoded: how many there may be; None for any number.
    """

    __slots__ = ("_barren", "_spare", "_spare_at", "_stages", "codings", "decoded", "fed", "max_decoded")

    def __init__(self, stages: list[_Stage], max_decoded: int | None = None) -> None:
        self._stages = stages
        self._spare = b""  # decoded, not yet read
        self._spare_at = 0
        self._barren = 0
        self.codings = tuple(stage.coding for stage in stages)
        self.fed = 0
        self.decoded = 0
        self.max_decoded = max_decoded

    def __repr__(self) -> str:
        state = "" if self._stages else ", dead"
        return f"<Decoder of {', '.join(self.codings)}: {number_of(self.fed, 'byte')} fed, {self.decoded} decoded{state}>"

    def feed(self, data: bytes) -> None:
        """Take coded bytes. Nothing is decoded yet.

        Raises:
            ContentDecodingError: the decoder failed before.
        """
        self._check_alive()
        self.fed += len(data)
        self._stages[0].feed(data)

    def read(self, limit: int) -> bytes:
        """Between 1 and ``limit`` decoded bytes, or b"" when more input is needed.

        Args:
            limit: bytes, at least 1.

        Raises:
            ContentDecodingError: the data is corrupt, or the decoder failed before.
            DecodedTooLarge: there are more than ``max_decoded``.
        """
        self._check_alive()
        if self._spare_at < len(self._spare):
            return self._take_spare(limit)
        out = self._decode(limit)
        if len(out) <= limit:
            return out
        self._spare, self._spare_at = out, 0
        return self._take_spare(limit)

    def finish(self) -> None:
        """Say that everything was fed and read. An entirely empty body is fine.

        Raises:
            ContentDecodingError: the coded data was cut short, or the decoder failed before.
        """
        self._check_alive()
        ended = [index for index, stage in enumerate(self._stages) if stage.ended]
        try:
            for stage in self._stages[ended[-1] if ended else 0 :]:
                stage.check_complete()
        except ContentDecodingError:
            self._die()
            raise

    def decode_all(self, data: bytes) -> bytes:
        """The whole of a complete body.

        Raises:
            ContentDecodingError: the data is corrupt or cut short, or the decoder failed before.
            DecodedTooLarge: it decodes to more than ``max_decoded``; no more than that was decoded.
        """
        at_once = self._decode_at_once(data)
        if at_once is not None:
            return at_once
        self.feed(data)
        pieces = []
        while piece := self.read(_LARGE_STEP):
            pieces.append(piece)
        self.finish()
        return b"".join(pieces)

    def _decode_at_once(self, data: bytes) -> bytes | None:
        """The usual body, one gzip member, in one call of zlib; None for every other, which reading then deals with."""
        if self.codings != ("gzip",) or self.fed:
            return None
        engine = zlib.decompressobj(_GZIP_WBITS)
        try:
            out = engine.decompress(data, 0 if self.max_decoded is None else min(self.max_decoded + 1, sys.maxsize))
        except zlib.error:
            return None
        if not engine.eof or engine.unused_data or (self.max_decoded is not None and len(out) > self.max_decoded):
            return None
        self.fed = len(data)
        self.decoded = len(out)
        return out

    def _take_spare(self, limit: int) -> bytes:
        start = self._spare_at
        self._spare_at = start + limit
        return self._spare[start : start + limit]

    def _decode(self, limit: int) -> bytes:
        step = max(limit, _SMALLEST_STEP)
        if self.max_decoded is not None:
            step = min(step, self.max_decoded - self.decoded + 1)
        try:
            out = self._pull(len(self._stages) - 1, step)
            self.decoded += len(out)
            self._check_size()
        except BaseException:  # MemoryError and KeyboardInterrupt leave a library's state as unknown as its own errors
            self._die()
            raise
        return out

    def _pull(self, index: int, limit: int) -> bytes:
        """Decoded bytes from stage ``index``, which takes its input from the stage before it."""
        stage = self._stages[index]
        while True:
            out = stage.read(limit)
            if out or index == 0 or stage.ended:
                break
            coded = self._pull(index - 1, _SLICE)
            if not coded:
                return b""
            self._count_barren(len(coded))
            stage.feed(coded)
        if stage.ended:
            for outer in self._stages[:index]:
                outer.end()  # an endless body would pile up there, unread
        if out and index == len(self._stages) - 1:
            self._barren = 0
        return out

    def _count_barren(self, size: int) -> None:
        self._barren += size
        if self._barren > _MAX_BARREN:
            raise ContentDecodingError(
                f"the {', '.join(self.codings)} data expands to {number_of(self._barren, 'byte')} in between, to nothing in the end"
            )

    def _check_size(self) -> None:
        if self.max_decoded is not None and self.decoded > self.max_decoded:
            raise DecodedTooLarge(
                f"the body decodes to more than max_decoded={self.max_decoded} bytes: {self.decoded} or more, from the "
                f"first {number_of(self.fed, 'byte')} of {', '.join(self.codings)}; raise max_decoded if that is expected"
            )

    def _check_alive(self) -> None:
        if not self._stages:
            raise ContentDecodingError(
                f"this decoder of {', '.join(self.codings)} failed before, after {number_of(self.decoded, 'decoded byte')}"
            )

    def _die(self) -> None:
        self._stages = []
        self._spare = b""


def make_decoder(content_encoding: str | None, max_decoded: int | None = None) -> Decoder | None:
    """The decoder for a Content-Encoding field (RFC 9110 section 8.4), or None if the body is to be left as it is.

    It is left as it is when there is no coding but ``identity``, or one that is unknown here; br and zstd are unknown
    when their libraries are missing.

    Args:
        content_encoding: the field's value, several of them joined with commas, or None.
        max_decoded: bytes the body may decode to; None for any number.

    Raises:
        ContentDecodingError: there are more than 5 codings.
    """
    if not content_encoding:
        return None
    names = [name for part in content_encoding.split(",") if (name := part.strip().lower()) not in ("", "identity")]
    if len(names) > MAX_CODINGS:
        raise ContentDecodingError(f"the body has {len(names)} content codings, holdfast undoes at most {MAX_CODINGS}")
    stages = []
    for name in reversed(names):
        make_stage = _STAGES.get(name)
        stage = make_stage() if make_stage else None
        if stage is None:
            return None
        stages.append(stage)
    return Decoder(stages, max_decoded) if stages else None


@lru_cache(maxsize=1)
def accept_encoding() -> str:
    """The Accept-Encoding that says what ``make_decoder`` can undo: gzip, deflate, and br and zstd if installed."""
    with loading:
        found = {"br": _brotli() is not None, "zstd": _has_zstd()}
    return ", ".join(["gzip", "deflate", *(name for name, is_there in found.items() if is_there)])


def _brotli_stage() -> _Stage | None:
    module = _brotli()
    return None if module is None else _BrotliStage(module)


def _zstd_stage() -> _Stage | None:
    module = _zstd()
    return None if module is None else _ZstdStage(module)


_STAGES: dict[str, Callable[[], _Stage | None]] = {
    "gzip": _GzipStage,
    "x-gzip": _GzipStage,
    "deflate": _DeflateStage,
    "br": _brotli_stage,
    "zstd": _zstd_stage,
}


@lru_cache(maxsize=1)
def _brotli() -> Any:
    """brotli or brotlicffi, or None: not installed, or too old to bound what it gives (before 1.2)."""
    try:
        import brotli as module
    except ImportError:
        try:
            import brotlicffi as module
        except ImportError:
            return None
    return module if hasattr(module.Decompressor, "can_accept_more_data") else None


@lru_cache(maxsize=1)
def _zstd() -> Any:
    """compression.zstd of Python 3.14, else backports.zstd, or None."""
    try:
        if sys.version_info >= (3, 14):  # pragma: no cover - by that Python it is
            from compression import zstd
        else:
            from backports import zstd
    except ImportError:
        return None
    return zstd


def _has_zstd() -> bool:
    """Whether ``_zstd()`` will be something. Importing it costs 3 ms, which is too much for only saying so."""
    from importlib.util import find_spec

    try:
        return find_spec("_zstd" if sys.version_info >= (3, 14) else "backports.zstd") is not None
    except ImportError:  # there is no backports package at all
        return False

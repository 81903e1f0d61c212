"""FIFOs in the place of PEM files: what a shell makes of ``<(command)``, or a path that was given by mistake.

To open one is to wait for its other end. OpenSSL would wait in C, for ever, and no timeout of a call would count. So a FIFO is read
here, within bounds, and OpenSSL is given a copy in memory, which it may read more than once. Where there are no such copies (macOS)
it opens the FIFO itself.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from ..connecting import Path
from .readiness import wait_readable

PATIENCE_SECONDS = 10.0  # for the next bytes of the command that writes to a FIFO
MAX_BYTES = 1 << 24  # the CA bundles of systems have less than 1 MiB

P = TypeVar("P", str, os.PathLike[str], None)


@contextmanager
def steady(path: P) -> Iterator[P | str]:
    """A path to read ``path`` by as long as this context lasts: the same one, but for a FIFO.

    Raises:
        OSError: of a FIFO, that nothing more came from it for ``PATIENCE_SECONDS``, or that it gave more than ``MAX_BYTES``.
    """
    if path is None or not _is_fifo(path) or not hasattr(os, "memfd_create"):
        yield path
        return
    content = _read(path)
    copy = os.memfd_create("holdfast")
    try:
        with open(copy, "wb", closefd=False) as file:
            file.write(content)
        yield f"/proc/self/fd/{copy}"
    finally:
        os.close(copy)


def require_reader(path: str) -> None:
    """Raise OSError if this is a FIFO without a reader: to open it for writing would wait for one."""
    if _is_fifo(path):
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
        except OSError as error:
            raise OSError(error.errno, "no program reads this FIFO", path) from error


def _is_fifo(path: Path) -> bool:
    try:
        return stat.S_ISFIFO(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False  # OpenSSL says what is wrong with the path


def _read(path: Path) -> bytes:
    content = bytearray()
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # without a wait for a writer
    try:
        while wait_readable(descriptor, PATIENCE_SECONDS):
            piece = os.read(descriptor, 1 << 16)
            content += piece
            if not piece:
                return bytes(content)
            if len(content) > MAX_BYTES:
                raise OSError(errno.EFBIG, f"this FIFO gives more than {MAX_BYTES} bytes", path)
    finally:
        os.close(descriptor)
    what = "nothing more" if content else "nothing"
    raise OSError(errno.ENXIO, f"this FIFO gave {what} for {PATIENCE_SECONDS:g} s", path)

"""What a request carries: one Body, whatever kind of object the user gave.

Laws:

1. Nothing is taken before it is sent. Making a Body reads no byte of a file and asks no iterator for anything.
2. ``chunks()`` gives the whole body from its first byte, or raises. A body that was consumed and cannot be taken
   back is an UnrewindableBodyError, never an empty body.
3. ``length`` is a promise (it becomes Content-Length). A body that turns out shorter or longer is an InvalidRequest
   with both numbers, and a byte beyond the promise is never given out.
4. Memory is bounded: pieces are at most 64 KiB, however large the file.
"""

from __future__ import annotations

import codecs
import io
import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from .._numbers import number_of
from ..exceptions import InvalidRequest, UnrewindableBodyError, WrongType
from .pieces import PIECE, as_bytes, counted
from .span import FileSpan

_OPENED = (io.BufferedReader, io.BufferedRandom, io.FileIO)


class Body(ABC):
    """The bytes of one request's body, in whatever form they come.

    Attributes:
        length: bytes from first to last; None when only sending will tell, and the body goes out chunked. The
            user's Content-Length for an iterator may set it, before the first chunk is taken.
        content_type: the Content-Type that describes it, unless the user named another; None if nothing is known.
        replayable: whether ``rewind()`` works after bytes were taken.
        data: the whole body when it is in memory anyway, so that it can leave together with the head; else None.
        consumed: whether anything was taken since the start or the last ``rewind()``.
    """

    __slots__ = ("consumed", "content_type", "data", "length", "replayable")

    def __init__(
        self, length: int | None, replayable: bool, content_type: str | None = None, data: bytes | None = None
    ) -> None:
        self.length = length
        self.replayable = replayable
        self.content_type = content_type
        self.data = data
        self.consumed = False

    def __repr__(self) -> str:
        size = "unknown length" if self.length is None else number_of(self.length, "byte")
        state = "consumed" if self.consumed else "untouched"
        return f"<{self._name()}: {size}, {state}{', replayable' if self.replayable else ''}>"

    def chunks(self) -> Iterator[bytes]:
        """The body from its first byte, in non-empty pieces of at most 64 KiB.

        Raises:
            InvalidRequest: it is shorter or longer than ``length``, or yields something that is not bytes or str.
            UnrewindableBodyError: it was consumed before and gives its bytes only once.
        """
        self.rewind()
        self.consumed = True
        yield from counted(self._pieces(), self.length)

    def span(self) -> FileSpan | None:
        """The regular file that ``chunks()`` would read, taken instead of them; None if it is none, or small.

        Raises:
            UnrewindableBodyError: the file is closed.
        """
        return None

    @property
    def travels(self) -> bool:
        """Whether a copy in another process is as good as this one, because all of it is in memory."""
        return False

    @property
    def can_be_sent(self) -> bool:
        """Whether ``chunks()`` gives all of it: nothing was taken yet, or what was can be had again."""
        return self.replayable or not self.consumed

    def rewind(self) -> None:
        """Go back to where the body stood when it was made.

        Raises:
            UnrewindableBodyError: bytes were taken and cannot be had again.
        """
        if not self.consumed:
            return
        if not self.can_be_sent:
            raise UnrewindableBodyError(
                f"the body ({self._name()}) was consumed and gives its bytes only once, so it cannot be sent again; "
                "give bytes, a list of bytes or a seekable file instead"
            )
        self._go_back()
        self.consumed = False

    @abstractmethod
    def _pieces(self) -> Iterator[Any]:
        """Its raw pieces, of any size and any kind ``as_bytes`` accepts."""

    def _go_back(self) -> None:  # noqa: B027 - what is in memory has nowhere to go back from
        """Undo what ``_pieces`` took. Only asked of replayable bodies."""

    def _name(self) -> str:
        return type(self).__name__


class BytesBody(Body):
    """A body that is in memory."""

    __slots__ = ()
    data: bytes

    @property
    def travels(self) -> bool:
        """Yes."""
        return True

    def __init__(self, data: bytes, content_type: str | None = None) -> None:
        super().__init__(len(data), True, content_type, data)

    def _pieces(self) -> Iterator[bytes]:
        yield self.data


class PiecesBody(Body):
    """A list or tuple of bytes: as good as one bytes object, without joining it."""

    __slots__ = ("_parts",)

    @property
    def travels(self) -> bool:
        """Yes."""
        return True

    def __init__(self, parts: Iterable[Any]) -> None:
        self._parts = tuple(as_bytes(part) for part in parts)
        super().__init__(sum(map(len, self._parts)), True)

    def _pieces(self) -> Iterator[bytes]:
        return iter(self._parts)


class IterBody(Body):
    """An iterator, a generator or some other iterable: its pieces can be had once.

    An iterable that is no iterator might give them twice, but nothing proves it (its ``__iter__`` may hand out the
    same generator again), and the price of a wrong guess is an empty body at the server.
    """

    __slots__ = ("_source",)

    def __init__(self, source: Iterable[Any]) -> None:
        if _is_spent_generator(source):
            raise UnrewindableBodyError(
                "data= is a generator that has already ended, so its body would be empty; make a new generator"
            )
        self._source = source
        super().__init__(_announced_length(source), False)

    def _pieces(self) -> Iterator[Any]:
        return iter(self._source)

    def _name(self) -> str:
        return f"IterBody of {type(self._source).__name__}"


class FileBody(Body):
    """Something with ``read(size)``: what is left of it after the place where it stood when the Body was made.

    A file that grows after that is sent as long as it was then. ``length`` is None for what has no knowable
    size (pipes, sockets, files of /proc).

    Args:
        file: the object. It is not closed.
        start: its position if that is known better than ``file.tell()``.

    Raises:
        InvalidRequest: the file is closed.
    """

    __slots__ = ("_file", "_start")

    def __init__(self, file: Any, start: int | None = None) -> None:
        if getattr(file, "closed", False) is True:
            raise InvalidRequest(f"the file to send ({_describe(file)}) is closed; open it before the request")
        self._file = file
        self._start = (_position(file) if start is None else start) if _is_seekable(file) else None
        super().__init__(_bytes_left(file, self._start), self._start is not None)

    def _pieces(self) -> Iterator[Any]:
        # The same file may be part of this body twice, or of another body that was sent meanwhile.
        self._go_back()
        left = self.length
        while left is None or left > 0:
            piece = _read(self._file, PIECE if left is None else min(PIECE, left))
            if piece is None:
                raise InvalidRequest(f"the file to send ({_describe(self._file)}) is non-blocking and had no data yet")
            if not piece:
                return
            piece = as_bytes(piece)
            if left is not None:
                left -= len(piece)
            yield piece

    def span(self) -> FileSpan | None:
        """The file, if it is one of those that ``open`` gives, and more than 64 KiB are left of it."""
        file, start, length = self._file, self._start, self.length
        if start is None or length is None or length <= PIECE or not _is_readable_on_disk(file):
            return None
        self.rewind()
        self.consumed = True
        self._go_back()
        file.flush()  # what was written through this very object is sent too
        return FileSpan(file, start, length)

    def _go_back(self) -> None:
        if self._start is None:
            return
        try:
            self._file.seek(self._start)
        except (OSError, ValueError) as error:
            raise UnrewindableBodyError(
                f"cannot go back to byte {self._start} of the file to send ({_describe(self._file)}): {error}"
            ) from error

    def _name(self) -> str:
        return f"FileBody of {_describe(self._file)}"


class LostBody(Body):
    """What a copy has in the place of a body that there is only once: it has its length, and raises when it is to be sent.

    Args:
        lost: the body that stayed with the request it was given to.
    """

    __slots__ = ("_lost",)

    def __init__(self, lost: Body) -> None:
        super().__init__(lost.length, False, lost.content_type)
        self._lost = lost._name()
        self.consumed = True

    @property
    def travels(self) -> bool:
        """A copy of a copy misses the same body."""
        return True

    def rewind(self) -> None:
        """Raise UnrewindableBodyError."""
        raise UnrewindableBodyError(
            f"the body ({self._lost}) did not come along: a copy made by pickle or deepcopy has one only if it is in memory; "
            "set request.body again, or send the request that was copied"
        )

    def _pieces(self) -> Iterator[Any]:
        raise AssertionError("rewind() comes first")  # pragma: no cover - chunks() asks for it, and it raises

    def _name(self) -> str:
        return f"LostBody, a {self._lost} left behind"


# ---------------------------------------------------------------------------------------- what the user gave


def form_pairs(pairs: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    """(name, value) for each value of a form, as requests reads it: lists repeat the name, None is left out.

    Raises:
        InvalidRequest: an item is not a pair.
    """
    for item in pairs:
        if isinstance(item, (str, bytes)):
            raise InvalidRequest(
                f"data= is a list with an item of type {type(item).__name__}: a form is a list of (name, value) pairs, "
                "a body in pieces a list of bytes"
            )
        try:
            name, values = item
        except (TypeError, ValueError) as error:
            raise InvalidRequest(f"an item of the form is no (name, value) pair but {type(item).__name__}") from error
        if isinstance(values, (str, bytes)) or not hasattr(values, "__iter__"):
            values = (values,)
        for value in values:
            if value is not None:
                yield _utf8(name), _utf8(value)


def _utf8(value: Any) -> Any:
    return as_bytes(value) if isinstance(value, str) else value


def stream_body(source: Any) -> Body:
    """The Body of a file-like object, an iterable, or anything with a buffer (array, mmap).

    Raises:
        WrongType: it is none of these, or asynchronous.
    """
    if hasattr(source, "__aiter__"):
        raise WrongType(f"{type(source).__name__} is asynchronous and holdfast is not; give a file or an iterable")
    if hasattr(source, "read"):
        return _file_body(source)
    try:
        return BytesBody(bytes(memoryview(source)))
    except TypeError:
        pass  # memoryview() is the only way to ask for a buffer: there is none, so it is to be iterated over, or wrong
    if hasattr(source, "__iter__"):
        return IterBody(source)
    raise WrongType(
        f"an object of type {type(source).__name__} cannot be sent as a body; "
        "give bytes, str, a dict, a file or an iterable of bytes"
    )


def _file_body(file: Any) -> Body:
    if isinstance(file, io.StringIO) and not file.closed:
        return BytesBody(as_bytes(file.getvalue()[file.tell() :]))
    spooled = getattr(file, "_file", None)  # a SpooledTemporaryFile has no public name for it
    text = spooled if isinstance(spooled, io.TextIOWrapper) else file
    if hasattr(text, "buffer") and isinstance(getattr(text, "encoding", None), str):
        return _text_file_body(text)
    return FileBody(file)


def _text_file_body(file: Any) -> Body:
    """A file opened as text: its bytes as they are on disk, which is what its size counts.

    Reading it as text would translate line ends and re-encode, and then Content-Length is wrong. That is only done
    for a text stream without a position (sys.stdin, a pipe), which is sent chunked anyway.
    """
    start = _position(file)
    if start is None:
        return FileBody(file)
    if codecs.lookup(file.encoding).name not in ("utf-8", "ascii") or start >= 1 << 63:
        # Beyond 1 << 63 a TextIOWrapper's position is not a byte count but a decoder's state.
        raise InvalidRequest(
            f"the file to send ({_describe(file)}) is open as text in {file.encoding}, so it is not clear which bytes "
            "are meant; open it with mode 'rb'"
        )
    return FileBody(file.buffer, start)


# ---------------------------------------------------------------------------------------- lengths and places


def _is_spent_generator(source: Any) -> bool:
    return getattr(source, "gi_frame", source) is None


def _announced_length(source: Any) -> int | None:
    """What an iterable itself says its bytes are: ``len()`` as requests takes it, or a ``.len``.

    The len() of a collection (a deque, a set, a dict's values) counts items, not bytes.
    """
    if hasattr(source, "__len__"):
        return None if isinstance(source, Collection) else len(source)
    return _len_attribute(source)


def _len_attribute(source: Any) -> int | None:
    length = getattr(source, "len", None)
    return length if isinstance(length, int) else None


def _is_seekable(file: Any) -> bool:
    seekable = getattr(file, "seekable", None)
    return bool(seekable()) if callable(seekable) else hasattr(file, "seek")


def _position(file: Any) -> int | None:
    """Where the file stands; None if it cannot say (a pipe, a text file in the middle of an iteration)."""
    try:
        position = file.tell()
    except (OSError, AttributeError):
        return None
    return position if isinstance(position, int) else None


def _bytes_left(file: Any, start: int | None) -> int | None:
    """How many bytes reading would give; None if nothing trustworthy says so."""
    size = _size(file, start)
    if size is None or _ends_early(file, size):
        return None
    left = max(0, size - (start or 0))
    return None if left == 0 and _is_not_empty_after_all(file, start) else left


def _size(file: Any, start: int | None) -> int | None:
    if hasattr(file, "__len__"):
        return len(file)
    announced = _len_attribute(file)
    if announced is not None:
        return announced
    if _decodes(file):
        return None
    # Seeking comes before fstat(): it sees what was written and not yet flushed, and the descriptor of a GzipFile
    # belongs to a file whose size is not the number of bytes that reading gives.
    return _size_of_untouched_file(file) if start is None else _end_by_seeking(file, start)


def _end_by_seeking(file: Any, start: int) -> int | None:
    try:
        file.seek(0, os.SEEK_END)
        return _position(file)
    except (OSError, ValueError):  # ValueError: some readers know no SEEK_END
        return None
    finally:
        file.seek(start)


def _size_of_untouched_file(file: Any) -> int | None:
    """The size of a regular file behind something that reads and cannot tell, if nothing was read from it yet."""
    try:
        number = file.fileno()
        status = os.fstat(number)
        untouched = stat.S_ISREG(status.st_mode) and os.lseek(number, 0, os.SEEK_CUR) == 0
    except (OSError, ValueError, AttributeError, TypeError):
        return None
    return status.st_size if untouched and not _claims_too_much(number, status.st_size) else None


def _is_not_empty_after_all(file: Any, start: int | None) -> bool:
    """Files of /proc claim a size of 0. Asking for a byte settles it, where the byte can be put back."""
    if start is None:
        return True
    probe = _read(file, 1)
    file.seek(start)
    return bool(probe)


def _ends_early(file: Any, size: int) -> bool:
    """Whether it is a regular file that claims ``size`` bytes and has fewer, as files of /sys claim a page.

    Only of what Python itself has opened: other things with a fileno() may make one up to answer, as a SpooledTemporaryFile
    does by moving to the disk.
    """
    raw = getattr(file, "raw", file)
    return isinstance(raw, io.FileIO) and _claims_too_much(raw.fileno(), size)


def _claims_too_much(number: int, size: int) -> bool:
    # Read at a place of its own: neither the file's position nor a wrapper that counts notices.
    try:
        status = os.fstat(number)
        is_claim = stat.S_ISREG(status.st_mode) and status.st_size == size > 0
        return is_claim and os.pread(number, 1, size - 1) == b""
    except (OSError, AttributeError):
        return False  # not open for reading; or Windows, which has no pread, and no such files


def _decodes(file: Any) -> bool:
    """Whether it gives text, so that the number of bytes underneath says nothing of those that are sent."""
    return isinstance(getattr(file, "encoding", None), str) or isinstance(
        file, (codecs.StreamReader, codecs.StreamReaderWriter)
    )


def _is_readable_on_disk(file: Any) -> bool:
    """Whether its descriptor has the very bytes that ``read`` gives. Subclasses may read otherwise, or count."""
    if type(file) not in _OPENED or type(getattr(file, "raw", file)) is not io.FileIO or not hasattr(os, "preadv"):
        return False
    return not file.closed and file.readable() and stat.S_ISREG(os.fstat(file.fileno()).st_mode)


def _read(file: Any, size: int) -> Any:
    try:
        return file.read(size)
    except io.UnsupportedOperation as error:
        raise InvalidRequest(f"the file to send ({_describe(file)}) cannot be read: {error}; open it with mode 'rb'") from error


def _describe(file: Any) -> str:
    name = getattr(file, "name", None)
    return f"{type(file).__name__} {name!r}" if isinstance(name, str) else type(file).__name__

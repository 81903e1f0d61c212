"""WSGITransport: requests answered by a WSGI application (PEP 3333) in this process, without a socket.

Laws:

1. What the application is given is what a server would give it, and what it says is held against PEP 3333 and against its own
   Content-Length.
2. The ``close()`` of what it returned is called once, whatever happens: at the end of the body, when the body is given up in the
   middle, when the response is dropped, when the application fails.
3. A body of the response is taken piece by piece, as it is read. A body of the request whose length is known is handed on as it is
   read, too; one of unknown length is gathered first (above 1 MiB in a temporary file), as nginx does, because applications find no
   body without a CONTENT_LENGTH.
"""

from __future__ import annotations

import io
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from ._numbers import number_of
from ._version import __version__
from .exceptions import IncompleteBody, InvalidRequest, TotalTimeout
from .message.headers import Headers
from .message.response import Response
from .transports import TransportOptions, make_response

if TYPE_CHECKING:
    from .message.body import Body
    from .message.request import PreparedRequest
    from .timeouts import Deadline

MAX_IN_MEMORY = 1 << 20  # bytes of a request's body of unknown length
_OWN_NAMES = frozenset(("content-type", "content-length", "transfer-encoding"))
_WITHOUT_BODY = frozenset((204, 304))

Environ = dict[str, Any]
Fields = list[tuple[str, str]]
App = Callable[..., Iterable[bytes]]


class WSGITransport:
    """For ``Client(transport=WSGITransport(app))``: Flask, Django or any WSGI callable, called in the thread that sends.

    The application runs as long as it runs: no timeout ends it. ``timeouts.total`` is looked at when it has begun its answer and
    behind each piece of the body.

    Args:
        app: the WSGI application.
        raise_app_exceptions: raise what the application raises, as it is. If not, it is printed to ``errors``, and the client
            gets what it would get from a server: a 500, or, once the response has begun, IncompleteBody. Default True.
        script_name: the path below which the application is mounted: ``/app``. Default "".
        remote_addr: address of the client, as the application sees it. Default "127.0.0.1".
        errors: a text stream for ``wsgi.errors``. Default ``sys.stderr``, as it is at the time of the request.

    Raises:
        ValueError: ``app`` cannot be called, or ``script_name`` is no such path.
    """

    def __init__(
        self,
        app: App,
        *,
        raise_app_exceptions: bool = True,
        script_name: str = "",
        remote_addr: str = "127.0.0.1",
        errors: IO[str] | None = None,
    ) -> None:
        if not callable(app):
            raise ValueError(f"WSGITransport({app!r}): expected a WSGI application, app(environ, start_response)")
        if script_name and (not script_name.startswith("/") or script_name.endswith("/")):
            raise ValueError(f"script_name={script_name!r}: begins with / and does not end with it, as in '/app'")
        self.app = app
        self.raise_app_exceptions = raise_app_exceptions
        self.script_name = script_name
        self.remote_addr = remote_addr
        self.errors = errors

    def handle(self, request: PreparedRequest, options: TransportOptions) -> Response:
        """Have the application answer. See ``BaseTransport.handle``.

        Raises:
            InvalidRequest: the URL is not below ``script_name``, or the request contradicts itself.
            TotalTimeout: ``timeouts.total`` was over when the application had begun its answer.
            Exception: the application's own, with ``raise_app_exceptions``.
        """
        request.check_framing()
        errors = self.errors or sys.stderr
        environ = self._environ(request, errors)
        run = _Run(request, options.deadline, environ, None if self.raise_app_exceptions else errors)
        try:
            run.begin(self.app)
            response = run.response()
        except Exception:
            run.close()
            if self.raise_app_exceptions:
                raise
            traceback.print_exc(file=errors)
            said = "Internal Server Error"
            response = make_response(request, 500, headers={"Content-Type": "text/plain"}, content=said.encode(), reason=said)
        except BaseException:
            run.close()
            raise
        try:
            run.check_deadline()
        except TotalTimeout:
            response.close()
            raise
        return response

    # -- what the application is given ---------------------------------------------------------------------------------

    def _environ(self, request: PreparedRequest, errors: IO[str]) -> Environ:
        url = request.parsed
        target = url.target.decode("ascii")
        path, _, query = target.partition("?")
        path_info = self._path_info(path, request)
        body, length = _input_of(request.payload)
        environ: Environ = {
            "REQUEST_METHOD": request.method,
            "SCRIPT_NAME": self.script_name,
            "PATH_INFO": path_info,
            "QUERY_STRING": query,
            "SERVER_NAME": url.host,
            "SERVER_PORT": str(url.port),
            "SERVER_PROTOCOL": "HTTP/1.1",
            "SERVER_SOFTWARE": f"holdfast/{__version__}",
            "REMOTE_ADDR": self.remote_addr,
            "REQUEST_URI": target,
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": url.scheme,
            "wsgi.input": body,
            "wsgi.errors": errors,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        environ |= _fields_of(request.headers, url.host_header.decode("ascii"))
        if "Content-Type" in request.headers:
            environ["CONTENT_TYPE"] = request.headers["Content-Type"]
        if request.payload is not None or "Content-Length" in request.headers:
            environ["CONTENT_LENGTH"] = str(length)
        return environ

    def _path_info(self, path: str, request: PreparedRequest) -> str:
        decoded = unquote_to_bytes(path).decode("latin-1")
        if not self.script_name:
            return decoded
        if decoded != self.script_name and not decoded.startswith(self.script_name + "/"):
            message = f"{request.parsed.safe_text}: the application is mounted below {self.script_name!r}, and this is not"
            raise InvalidRequest(message, request=request)
        return decoded[len(self.script_name) :]


def _fields_of(headers: Headers, host: str) -> Environ:
    """The fields as ``HTTP_…``; repeated ones joined. One with ``_`` is left out, as servers do: it could pose as another."""
    found: dict[str, list[str]] = {"HTTP_HOST": [host]} if "Host" not in headers else {}
    for name, value in headers.multi_items():
        if name.lower() not in _OWN_NAMES and "_" not in name:
            found.setdefault(f"HTTP_{name.upper().replace('-', '_')}", []).append(value)
    return {name: ("; " if name == "HTTP_COOKIE" else ",").join(values) for name, values in found.items()}


def _input_of(payload: Body | None) -> tuple[IO[bytes], int]:
    """The body as a file, and its length."""
    if payload is None:
        return io.BytesIO(), 0
    if payload.data is not None:
        return io.BytesIO(payload.data), len(payload.data)
    if payload.length is not None:
        return io.BufferedReader(_Reader(payload.chunks())), payload.length
    from tempfile import SpooledTemporaryFile

    gathered = SpooledTemporaryFile(MAX_IN_MEMORY)  # noqa: SIM115 - the application reads it
    try:
        for piece in payload.chunks():
            gathered.write(piece)
    except BaseException:
        gathered.close()
        raise
    length = gathered.tell()
    gathered.seek(0)
    return gathered, length


class _Reader(io.RawIOBase):
    """Pieces as a file that is read once, forwards."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        if not self._rest:
            self._rest = next(self._pieces, b"")
        size = min(len(view), len(self._rest))
        view[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


# -- what the application says -------------------------------------------------------------------------------------------


class _Run:
    """One call of the application: what it has said so far, and what it will say.

    Args:
        errors: where an error in the middle of the body, or of ``close()``, is printed; None: it is raised.
    """

    def __init__(self, request: PreparedRequest, deadline: Deadline, environ: Environ, errors: IO[str] | None) -> None:
        self._request = request
        self._deadline = deadline
        self._environ = environ
        self._input: IO[bytes] = environ["wsgi.input"]  # kept: the application may put another one there
        self._errors = errors
        self._head: tuple[int, str, Fields] | None = None
        self._begun = False
        self._written: list[bytes] = []
        self._result: Any = None
        self._pieces: Iterator[bytes] = iter(())

    def begin(self, app: App) -> None:
        """Call the application, and go on until its head counts: PEP 3333 lets it change its mind up to the first byte."""
        self._result = app(self._environ, self._start_response)
        try:
            self._pieces = iter(self._result)
        except TypeError as error:
            raise TypeError(f"the WSGI application returned {self._result!r}: expected an iterable of bytes") from error
        while not self._written and (piece := self._next()) is not None:
            self._write(piece)
        if self._head is None:
            raise RuntimeError("the WSGI application gave its answer without a call of start_response()")
        self._begun = True

    def _next(self) -> bytes | None:
        piece = next(self._pieces, None)
        return None if piece is None else _checked_piece(piece)

    def _start_response(self, status: str, headers: Fields, exc_info: Any = None) -> Callable[[bytes], object]:
        """``start_response`` of PEP 3333."""
        if exc_info is not None:
            try:
                if self._begun or self._written:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # a frame that holds its own traceback is a circle
        elif self._head is not None:
            raise RuntimeError("the WSGI application called start_response() twice, without exc_info")
        self._head = _checked_head(status, headers)
        return self._write

    def _write(self, data: bytes) -> None:
        """What ``start_response`` returns. It is gathered: the client reads when the application has returned."""
        if _checked_piece(data):
            self._written.append(data)

    def response(self) -> Response:
        """The response, its body unread."""
        assert self._head is not None
        status, reason, fields = self._head
        if self._request.method == "HEAD" or status in _WITHOUT_BODY:
            self.close()
            return make_response(self._request, status, headers=fields, reason=reason)
        made = make_response(self._request, status, headers=fields, reason=reason, content=_Body(self, _length_of(fields)))
        made.sets_cookies = any(name.lower() == "set-cookie" for name, _ in fields)
        return made

    def body(self, length: int | None) -> Iterator[bytes]:
        """The pieces of the body; no byte more than ``length``, and fewer are an error, as over a connection.

        The application is asked to its end all the same: it may have something to do there.
        """
        given = 0
        for piece in self._rest():
            kept = piece if length is None else piece[: length - given]
            given += len(kept)
            yield kept
            self.check_deadline()
        if length is not None and given < length:
            raise self._cut_short(given, length)

    def _rest(self) -> Iterator[bytes]:
        try:
            while True:
                yield from self._taken()
                piece = self._next()
                yield from self._taken()  # by write(), during that
                if piece is None:
                    return
                yield piece
        except Exception as error:
            if self._errors is None:
                raise
            traceback.print_exc(file=self._errors)
            raise IncompleteBody("the WSGI application failed in the middle of the body", request=self._request) from error

    def _taken(self) -> list[bytes]:
        taken, self._written = self._written, []
        return taken

    def close(self) -> None:
        """Call ``close()`` of what the application returned, once. What that raises is the application's error as any other."""
        result, self._result = self._result, None
        try:
            close = getattr(result, "close", None)
            if close is not None:
                close()
        except Exception:
            if self._errors is None:
                raise
            traceback.print_exc(file=self._errors)
        except BaseException:  # Ctrl-C, which may come before its first line: the next to close this does it
            self._result = result
            raise
        finally:
            self._input.close()

    def check_deadline(self) -> None:
        """Raise TotalTimeout if the call's time is over."""
        if self._deadline.expired():
            message = f"the call's total of {self._deadline.total} s was used up while the WSGI application ran"
            raise TotalTimeout(message, request=self._request)

    def _cut_short(self, given: int, length: int) -> IncompleteBody:
        message = f"the WSGI application gave {given} of the {number_of(length, 'byte')} that its Content-Length announced"
        return IncompleteBody(message, received=given, expected=length, request=self._request)


class _Body:
    """A body that can be closed before its first piece was taken: a generator that has not begun would close nothing."""

    def __init__(self, run: _Run, length: int | None) -> None:
        self._run = run
        self._length = length

    def __iter__(self) -> Iterator[bytes]:
        return self._run.body(self._length)

    def close(self) -> None:
        self._run.close()


def _checked_piece(piece: Any) -> bytes:
    if isinstance(piece, bytes):
        return piece
    raise TypeError(f"the WSGI application gave a {type(piece).__name__} for a piece of its body: expected bytes")


def _checked_head(status: str, headers: Fields) -> tuple[int, str, Fields]:
    code, _, reason = status.partition(" ") if isinstance(status, str) else ("", "", "")
    if len(code) != 3 or not code.isdecimal() or code < "200":
        raise ValueError(f"the WSGI application gave the status {status!r}: expected one such as '200 OK'")
    if not isinstance(headers, list):
        raise TypeError(f"the WSGI application gave {type(headers).__name__} as headers: expected a list of (name, value)")
    for field in headers:
        if not (isinstance(field, tuple) and len(field) == 2 and all(isinstance(each, str) for each in field)):
            raise TypeError(f"the WSGI application gave the field {field!r}: expected (name, value), both str")
    # Django gives cookies with a space before them. On the wire it would be no part of the value (RFC 9112, section 5.1).
    return int(code), reason, [(name, value.strip(" \t")) for name, value in headers]


def _length_of(fields: Fields) -> int | None:
    given = [value.strip() for name, value in fields if name.lower() == "content-length"]
    return int(given[0]) if given and given[0].isascii() and given[0].isdigit() else None

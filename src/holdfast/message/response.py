"""A response: the head, and a body that is read from the network when it is asked for.

Laws:

1. **No reference leads back to a Response from what it holds.** A streamed response that is dropped takes
   its body's source along at the same moment, by reference count, and the source gives the connection back or closes it.
2. **A body is read to its end or it is an error.** Content that could not be read once is never b"" the second time;
   ``content`` after part of the body was streamed is the rest of it, as in requests, and an error like any other if the
   rest is cut short, was closed, or if iterating has given everything out already.
3. **Nothing is parsed before it is asked for.** Header fields are indexed, cookies parsed and a decoder built at
   first use; reading ``content`` of a body without content coding is one scan of the raw names and one join.
"""

from __future__ import annotations

import json as _json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..exceptions import HTTPError, JSONDecodeError, RequestException, StreamConsumedError
from .decoding import make_decoder
from .fields import RawHeaders, declared_encoding, field_of, has_field, parse_links
from .headers import Headers
from .pieces import MAX_EVENT_BYTES, check_chunk_size, decoded, lines, slices, split_at, text_codec
from .raw import NO_FIELDS, BodySource, BodyState, Drained, GivenBody, RawBody, gather
from .request import PreparedRequest

if TYPE_CHECKING:
    from datetime import timedelta

    from .cookies import CookieJar
    from .events import ServerSentEvent
    from .timings import ConnectionInfo, Timings

REDIRECT_STATUSES = frozenset((301, 302, 303, 307, 308))
"""The statuses whose Location is followed (RFC 9110 section 15.4)."""

_ITER_CHUNK = 128  # requests' size of a piece in ``for piece in response``
_LINES_CHUNK = 512
_SHOWN = 100  # bytes of a server's own words in a message
_BOMS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_CLOSED = "this response was closed before its body was read"
_CONSUMED = StreamConsumedError("the body of this response was consumed already, by iter_content() or iter_lines()")
_NO_CONTENT: Any = None  # of a response built by hand, as in requests
_UNSET: Any = ...  # what a pickle of it gives is it again


class Response:
    """What the server answered.

    Without arguments it is what tests of programs begin with, as in requests: its status, headers, content (``_content``, or
    ``raw`` to read it from), encoding, URL and all the rest are None or empty until they are set.

    Args:
        status_code: 100 to 999.
        reason: the reason phrase as it came.
        raw_headers: the fields as they came, in order. Kept, not copied.
        http_version: ``b"1.1"`` or ``b"1.0"``.
        request: what was sent.
        source: where the body comes from; None for an empty one.
        max_decoded: bytes the body may decode to; None for any number.

    Attributes:
        history: the redirects that led to this one, the oldest first; without any, the challenges that were answered.
        elapsed_seconds: from sending the request to having the response's head; ``elapsed`` is the same as timedelta.
        sets_cookies: False when it is known that no field is a Set-Cookie.
        request_incomplete: whether the server answered without waiting for the whole request body.
        attempts: how often the request was sent until this response came; what ``Retries`` and redirects send begins at 1 again.
        max_decoded: bytes the body may decode to; None for any number. Counts for what is read from then on.
        record, started_at: the few numbers of which ``timings`` and ``connection_info`` are made; set by a Client alone.
        connection: what the response came from; it has a ``send(PreparedRequest, **kw)``.
    """

    __slots__ = (
        "__dict__",  # hooks leave their own attributes on responses
        "__weakref__",
        "_content",
        "_cookies",
        "_encoding",
        "_failure",
        "_headers",
        "_next",
        "_raw",
        "_reason",
        "_source",
        "_url",
        "_version",
        "attempts",
        "connection",
        "elapsed_seconds",
        "encoded",
        "history",
        "max_decoded",
        "raw_headers",
        "record",
        "request",
        "request_incomplete",
        "sets_cookies",
        "started_at",
        "status_code",
    )

    _raw_type = RawBody
    record: tuple[Any, ...]
    started_at: float

    def __init__(
        self,
        status_code: Any = None,
        reason: Any = None,
        raw_headers: RawHeaders = NO_FIELDS,
        http_version: bytes = b"1.1",
        request: Any = None,
        source: BodySource | None = None,
        max_decoded: int | None = None,
    ) -> None:
        self.status_code: int = status_code
        self.raw_headers = raw_headers
        self.request: PreparedRequest = request
        self.history: list[Response] = []
        self._next: PreparedRequest | None = None
        self.elapsed_seconds = 0.0
        self.request_incomplete = False
        self.sets_cookies = self.encoded = True  # the transport, which has read the head, says otherwise
        self.attempts = 1
        self.connection: Any = None
        self._reason: Any = reason
        self._version = http_version
        self._source = source
        self.max_decoded = max_decoded
        self._content: Any = False  # not read yet, as in requests
        self._failure: RequestException | None = None
        self._raw: RawBody | None = None
        self._headers: Headers | None = None
        self._cookies: CookieJar | None = None
        self._encoding: Any = _UNSET
        self._url: Any = None

    @property
    def next(self) -> PreparedRequest | None:
        """The request that would follow this redirect, when it was not followed; else None."""
        return self._next

    @next.setter  # noqa: A003 - requests' name
    def next(self, value: PreparedRequest | None) -> None:
        self._next = value

    # -- the head -----------------------------------------------------------------------------------------------

    @property
    def reason(self) -> str:
        """The reason phrase; may be empty."""
        reason: str = self._reason.decode("latin-1") if isinstance(self._reason, bytes) else self._reason
        return reason

    @reason.setter
    def reason(self, value: str | bytes | None) -> None:
        self._reason = _as_text(value) if isinstance(value, bytes) else value

    @property
    def http_version(self) -> str:
        """``"HTTP/1.1"`` or ``"HTTP/1.0"``."""
        return "HTTP/" + self._version.decode("latin-1")

    @property
    def headers(self) -> Headers:
        """The header fields."""
        headers = self._headers
        if headers is None:
            headers = self._headers = Headers.from_raw(self.raw_headers)
        return headers

    @headers.setter
    def headers(self, value: Any) -> None:
        self._headers = value

    @property
    def trailers(self) -> Headers:
        """The fields after a chunked body; complete when the body was read."""
        return Headers.from_raw(list(self._source.trailers) if self._source is not None else [])

    @property
    def url(self) -> str:
        """The URL this response came from, redirects followed."""
        if self._url is None and self.request is not None:
            return self.request.parsed.text
        url: str = self._url  # None of a response built by hand, as in requests
        return url

    @url.setter
    def url(self, value: str) -> None:
        self._url = value

    @property
    def elapsed(self) -> timedelta:
        """From sending the request to having the response's head."""
        from datetime import timedelta  # 4 ms of import

        return timedelta(seconds=self.elapsed_seconds)

    @elapsed.setter
    def elapsed(self, value: timedelta) -> None:
        self.elapsed_seconds = value.total_seconds()

    @property
    def timings(self) -> Timings | None:
        """Seconds of each phase, from waiting for a connection to the end of the body; None of a response built by hand."""
        from .timings import timings_of

        try:
            return timings_of(self.record, self.started_at, self.started_at + self.elapsed_seconds)
        except AttributeError:  # no call has written anything down
            return None

    @property
    def connection_info(self) -> ConnectionInfo | None:
        """The connection it came over: reused, age, idle time, peer, TLS, attempts; None of a response built by hand."""
        from .timings import connection_of

        try:
            return connection_of(self.record)
        except AttributeError:  # no call has written anything down
            return None

    @property
    def resent(self) -> int:
        """How often the request was sent again before this response came; 0 for never."""
        return self.attempts - 1

    @property
    def cookies(self) -> CookieJar:
        """The cookies this response set, those that are acceptable for its URL."""
        if self._cookies is None:
            from .cookies import CookieJar, extract_cookies

            jar = CookieJar()
            if self.request is not None:
                extract_cookies(jar, self.request.parsed, self.raw_headers)
            self._cookies = jar
        return self._cookies

    @cookies.setter
    def cookies(self, value: CookieJar) -> None:
        self._cookies = value

    @property
    def links(self) -> dict[str, dict[str, str]]:
        """The Link fields (RFC 8288) by relation type, or by URL where there is none."""
        found: dict[str, dict[str, str]] = {}
        for link in parse_links(self.headers.get("link") or ""):
            for key in (link.get("rel") or link["url"], *link.get("rel", "").split()):
                found[key] = link
        return found

    @property
    def ok(self) -> bool:
        """Whether the status is below 400."""
        return not 400 <= self.status_code < 600

    def __bool__(self) -> bool:
        return self.ok

    @property
    def is_redirect(self) -> bool:
        """Whether this is a redirect that can be followed: one of five statuses, and a Location."""
        return self.status_code in REDIRECT_STATUSES and "location" in self.headers

    @property
    def is_permanent_redirect(self) -> bool:
        """Whether it is one for good: 301 or 308, and a Location."""
        return self.status_code in (301, 308) and "location" in self.headers

    def raise_for_status(self) -> None:
        """Raise HTTPError if the status is 400 to 599."""
        if self.ok:
            return
        whose = "Client" if self.status_code < 500 else "Server"
        raise HTTPError(
            f"{self.status_code} {whose} Error: {_shown(str(self.reason))} for url: {self._safe_url()}", response=self
        )

    def _safe_url(self) -> str:
        return self.request.parsed.safe_text if self._url is None and self.request is not None else str(self._url)

    def __repr__(self) -> str:
        return f"<Response [{self.status_code}]>"

    # -- the body, whole ----------------------------------------------------------------------------------------

    @property
    def content(self) -> bytes:
        """The whole body, content codings undone; kept, so it may be read any number of times.

        If a part of it was streamed before, this is what is left, as in requests.

        Raises:
            StreamConsumedError: it was iterated over to its end, or closed before.
            ChunkedEncodingError, ContentDecodingError, BodyReadTimeout, TotalTimeout, ConnectionError: it could not
                be read; each further access raises the same.
        """
        content: Any = self._content
        return content if content is not False else self._read_content()

    def _read_content(self) -> bytes:
        if self._failure is not None:
            raise _again(self._failure)
        if self._raw is not None:
            self._check_open(self._raw)
        try:
            data = self._load()
        except BaseException as error:
            self._note(error)
            raise
        self._content = data
        return data

    def _load(self) -> bytes:
        source, raw = self._source, self._raw
        if raw is not None:
            return raw.read(None, True)
        if source is None:
            return b"" if self.raw_headers is not NO_FIELDS else _NO_CONTENT
        data = _read_all(source)
        if data and self.encoded and (coding := field_of(self.raw_headers, b"content-encoding")):
            decoder = make_decoder(coding, self.max_decoded)
            if decoder is not None:
                return decoder.decode_all(data)
        return data

    def _check_open(self, raw: RawBody) -> None:
        if raw.state is BodyState.CLOSED:
            raise StreamConsumedError(_CLOSED, response=self)

    def _note(self, error: BaseException) -> None:
        """Remember that the body failed, and say in the error which exchange it belongs to."""
        if isinstance(error, RequestException):
            # A twin without traceback: frames in it hold this response, and that would be a cycle.
            self._failure = _again(error)
            if error.request is None:
                error.request = self.request
            if error.response is None:
                error.response = self
        else:
            self._failure = StreamConsumedError(f"reading this body was broken off by {type(error).__name__}")
        self.close()

    @property
    def text(self) -> str:
        """The body as text; what is not valid in its encoding is replaced by U+FFFD.

        In ``encoding`` if that is known. Otherwise in UTF-8 (UTF-16 if it has that mark) if it is valid, and in
        ISO-8859-1 if it is not.
        """
        content = self.content or b""
        encoding = text_codec(self.encoding)
        if encoding is not None:
            return content.decode(encoding, "replace")
        for mark, name in _BOMS:
            if content.startswith(mark):
                return content.decode(name, "replace")
        try:
            return content.decode()
        except UnicodeDecodeError:
            return content.decode("latin-1")

    @property
    def encoding(self) -> str | None:
        """The charset that Content-Type declares, UTF-8 for JSON, else None; may be set."""
        if self._encoding is _UNSET:
            self._encoding = declared_encoding(field_of(self.raw_headers, b"content-type"))
        encoding: str | None = self._encoding
        return encoding

    @encoding.setter
    def encoding(self, value: str | None) -> None:
        self._encoding = value

    @property
    def apparent_encoding(self) -> str:
        """What the content looks like to charset_normalizer, if that is installed; else ``"utf-8"``."""
        try:
            import charset_normalizer
        except ImportError:
            return "utf-8"
        found = charset_normalizer.detect(self.content)["encoding"]
        return found if isinstance(found, str) else "utf-8"

    def json(self, **kwargs: Any) -> Any:
        """The body as JSON. ``kwargs`` are those of ``json.loads``.

        Raises:
            JSONDecodeError: it is not JSON, or nested deeper than Python can follow.
        """
        try:
            return self._load_json(kwargs)
        except _json.JSONDecodeError as error:
            raise JSONDecodeError(error.msg, error.doc, error.pos, response=self) from error
        except RecursionError as error:
            raise JSONDecodeError("Nested too deeply", "", 0, response=self) from error
        except ValueError as error:
            if kwargs:
                raise  # by one of the user's own functions, perhaps
            # sys.get_int_max_str_digits() is exceeded: the json module lets that through as it is.
            raise JSONDecodeError(str(error), "", 0, response=self) from error

    def _load_json(self, kwargs: dict[str, Any]) -> Any:
        # RFC 8259 section 8.1 has UTF-8 only; json.loads(bytes) also knows UTF-16 and UTF-32, with and without mark.
        if self.encoding is None or self.encoding.lower() in ("utf-8", "utf8"):
            try:
                return _json.loads(self.content or b"", **kwargs)
            except UnicodeDecodeError:
                pass  # a broken character in a string: as text, where it is replaced, it may still be JSON, as in requests
        return _json.loads(self.text, **kwargs)

    # -- the body, piece by piece -------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[bytes]:
        return self.iter_content(_ITER_CHUNK)

    def iter_content(self, chunk_size: int | None = 1, decode_unicode: bool = False) -> Iterator[Any]:
        """The body in pieces, content codings undone.

        Args:
            chunk_size: bytes in a piece, at most. When the length of the body is known beforehand only the last is shorter; else
                bytes are passed on as they arrive, no piece being of two chunks. None: so too, in pieces of any size.
            decode_unicode: give str, in ``encoding`` or else UTF-8, instead of bytes.

        Raises:
            StreamConsumedError: the body was streamed to its end before, or closed.
            TypeError, ValueError: ``chunk_size`` is not a positive int or None.
            RequestException: as ``content``, while iterating.
        """
        return self._pieces(chunk_size, decode_unicode, joined=False)

    def _pieces(self, chunk_size: int | None, decode_unicode: bool, *, joined: bool) -> Iterator[Any]:
        """As ``iter_content``; ``joined``: what has come of several chunks may be one piece."""
        check_chunk_size(chunk_size)
        if self._content is not False:
            pieces = slices(self._content or b"", chunk_size)
        else:
            pieces = self._stream(self._open(), chunk_size, joined)
        return decoded(pieces, text_codec(self.encoding) or "utf-8") if decode_unicode else pieces

    def _open(self) -> RawBody:
        if self._failure is not None:
            raise _again(self._failure)
        raw = self._body()
        self._check_open(raw)
        return raw

    def _stream(self, raw: RawBody, chunk_size: int | None, joined: bool) -> Iterator[bytes]:
        fill = chunk_size is not None and has_field(self.raw_headers, b"content-length")
        while True:
            try:
                piece = raw.take(chunk_size, fill, decode=True, joined=joined)
            except BaseException as error:
                self._note(error)
                raise
            if not piece:
                # Iterating alone ends a body: after raw was read to its end there is nothing left, and that is no error.
                self._failure = _CONSUMED
                return
            yield piece

    def iter_lines(
        self,
        chunk_size: int | None = _LINES_CHUNK,
        decode_unicode: bool = False,
        delimiter: str | bytes | None = None,
    ) -> Iterator[Any]:
        """The body line by line, without line ends; a line is given out as soon as its end has arrived.

        Args:
            chunk_size: bytes to read at once, if they are fewer than 512, the default; else all that has come is read at once.
            decode_unicode: give str instead of bytes. Text ends its lines at U+0085, U+2028, U+2029, VT and FF too, as
                ``str.splitlines()`` does: of event streams and JSON lines take bytes.
            delimiter: what separates lines, of the type of the lines; None for what ``splitlines()`` splits at.
        """
        check_chunk_size(chunk_size)
        # A program that asks for small pieces wants to read no further than to a line's end.
        size = chunk_size if chunk_size is not None and chunk_size < _LINES_CHUNK else None
        pieces = self._pieces(size, decode_unicode, joined=True)
        return lines(pieces) if delimiter is None else split_at(pieces, delimiter)

    def iter_events(self, max_event_bytes: int | None = MAX_EVENT_BYTES) -> Iterator[ServerSentEvent]:
        """The events of a ``text/event-stream``, each as soon as it has ended: see ``message.events``.

        Args:
            max_event_bytes: most bytes of one event; None for any number. Default 1 MiB.

        Raises:
            EventStreamError: the Content-Type is another.
            EventTooLarge: an event has more bytes; no more is read.
            RequestException: as ``iter_content``, while iterating.
        """
        from .events import EventParser, events_in

        return events_in(self, EventParser(max_event_bytes=max_event_bytes))

    @property
    def raw(self) -> Any:
        """The body as a readable stream of the bytes that came, content codings not undone: a ``RawBody``.

        May be set to a file to read the body from, or to what has a ``stream(size, decode_content=True)``.
        """
        source = self._source
        if isinstance(source, GivenBody):
            return source.file
        return None if source is None and self.raw_headers is NO_FIELDS else self._body()

    @raw.setter
    def raw(self, value: Any) -> None:
        self._raw = None
        self._source = None if value is None else GivenBody(value)

    def _body(self) -> RawBody:
        if self._raw is None:
            self._raw = self._raw_type(
                self._source, self.raw_headers, self.status_code, self._reason, self._version, self.max_decoded
            )
            if self._content is not False:
                self._raw.state = BodyState.PASSED  # the source is at its end, and so is this
        return self._raw

    # -- the end ------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Read no more of the body. What was read stays; the connection is kept if little is left to read."""
        if self._content is False:
            self._body().close()
        elif self._source is not None:
            self._source.close()

    def free_connection(self) -> None:
        """Another request follows this response: keep its body if it is small and comes at once, else give it up."""
        source = self._source
        if self._content is not False or source is None or not source.holds_connection:
            return
        rest = source.drain()
        if rest is None:
            self.close()
        else:
            self._source = Drained(rest, source.trailers)

    def note_borrower(self) -> None:
        """The body is left to the user: remember which line of theirs has asked for it, for the warning if it is dropped unread."""
        if self._source is not None:
            self._source.note_borrower()

    def __enter__(self) -> Response:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        # As in requests, what is pickled is the whole response; except when its body was given up, as that of most
        # redirects is: then the copy says so too.
        content: Any = False
        failure: RequestException | None = None
        try:
            content = self.content
        except StreamConsumedError as error:
            failure = _again(error)
        return self._state(content, failure)

    def _state(self, content: Any, failure: RequestException | None) -> dict[str, Any]:
        state = {name: getattr(self, name) for name in _PICKLED}
        state["_content"] = content
        state["_failure"] = failure
        state["_trailers"] = self.trailers.multi_items()
        return state

    def _beside_its_error(self) -> Response:
        """This one, or a twin without a body if that has failed: such a response cannot be pickled, and its error is to be."""
        failure = self._failure
        if failure is None or isinstance(failure, StreamConsumedError):
            return self
        twin = type(self).__new__(type(self))
        twin.__setstate__(self._state(False, StreamConsumedError(f"reading this body failed: {failure}")))
        return twin

    def __setstate__(self, state: dict[str, Any]) -> None:
        trailers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in state.pop("_trailers")]
        Response.__init__(self, state["status_code"], b"", [], b"", state["request"], Drained(b"", trailers))
        for name, value in state.items():
            setattr(self, name, value)


_PICKLED = (
    "status_code",
    "request",
    "raw_headers",
    "history",
    "next",
    "elapsed_seconds",
    "request_incomplete",
    "attempts",
    "_reason",
    "_version",
    "_url",
    "_headers",
    "_cookies",
    "_encoding",
)


# ------------------------------------------------------------------------------------------------ reading helpers


def _read_all(source: BodySource) -> bytes:
    first = source.read()
    return first if source.ended or not first else gather(first, source)


def _again(error: RequestException) -> RequestException:
    """The same error without traceback and without the response."""
    rebuild, arguments = error.__reduce__()[:2]
    twin: RequestException = rebuild(*arguments)
    twin.response = None
    return twin


# ------------------------------------------------------------------------------------------------ a server's words


def _as_text(words: bytes) -> str:
    try:
        return words.decode()
    except UnicodeDecodeError:
        return words.decode("latin-1")


def _shown(words: str) -> str:
    """A server's own words for a message: escaped and cut."""
    text = words[:_SHOWN]
    return text if text.isprintable() else repr(text)[1:-1][:_SHOWN]

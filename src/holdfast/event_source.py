"""EventSource: the events of a URL over as many connections as it takes (HTML standard, section 9.2: Server-sent events).

What becomes of a connection decides what follows it:

=====================================================================  =======================================================
what became of it                                                      what follows
=====================================================================  =======================================================
200 and ``text/event-stream``, until the body ends or breaks           a pause, then the next connection, with Last-Event-ID
204                                                                    the end: so a server says that there is no more
any other status, or another Content-Type                              the error, at once (``retries=`` may ask again before)
the first connection cannot be made, or is lost before its answer      the error, at once
a later one cannot be made, or is lost before its answer               a pause twice as long as the one before, then the next
                                                                       one; after ``max_attempts`` such in a row the error
``timeouts.total`` is used up; the client was closed; an event is      the error, at once
too large; any other error
=====================================================================  =======================================================

A read timeout counts as a broken body: a server that is alive sends a comment now and then.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator, Iterator
from typing import Any

from .exceptions import ChunkedEncodingError, EventStreamError, InvalidHeader, StreamConsumedError, Timeout, TotalTimeout
from .exceptions import ConnectionError as HoldfastConnectionError
from .message.events import CONTENT_TYPE, EventParser, ServerSentEvent, events_in
from .message.headers import Headers
from .message.pieces import MAX_EVENT_BYTES
from .message.response import Response
from .retries import Retries

MIN_PAUSE_SECONDS = 0.1
"""The shortest pause, also where a server wants none: one that ends every stream at once is not asked without rest."""

_LOST = (HoldfastConnectionError, Timeout, ChunkedEncodingError)

log = logging.getLogger("holdfast.events")


class EventSource:
    """The events of a URL: iterate over it. When a connection ends or breaks, the next one goes on behind the last event.

    ``Client.events`` makes one. One thread iterates; any thread may call ``close()``. Leaving the loop closes the connection, and
    iterating again goes on behind the last event.

    Args:
        request: sends a request: ``Client.request``.
        url: where the stream is. Asked for by GET, which may be repeated.
        params: as in ``Client.request``.
        headers: as in ``Client.request``. Accept and Cache-Control have values of their own unless given.
        last_event_id: the id of the last event known from before; ``""`` for none.
        max_attempts: connections in a row that could not be made, after one that could, until the error is raised. Default 10.
        pause: seconds until the next connection, as long as the server has given no ``retry``. Default 3.
        max_pause: seconds that no pause exceeds, whatever the server says. Default 60.
        max_event_bytes: most bytes of one event; None for any number. Default 1 MiB.
        sleep: waits for so many seconds; None for a wait that ``close()`` ends.
        rest: is given that wait, and the seconds, and may do without. ``Client.events`` gives that of the client's transport.
        settings: all else that ``Client.request`` takes, for each connection: timeout, auth, cookies, …

    Attributes:
        last_event_id: the last id the stream has given.
        pause: seconds until the next connection: the server's ``retry``, once it has given one.
        connections: how many there were.

    Raises:
        ValueError: a number makes no sense.
    """

    def __init__(
        self,
        request: Callable[..., Response],
        url: Any,
        params: Any = None,
        *,
        headers: Any = None,
        last_event_id: str = "",
        max_attempts: int = 10,
        pause: float = 3.0,
        max_pause: float = 60.0,
        max_event_bytes: int | None = MAX_EVENT_BYTES,
        sleep: Callable[[float], object] | None = None,
        rest: Callable[[Callable[[float], object], float], object] | None = None,
        **settings: Any,
    ) -> None:
        Retries(max_attempts, backoff=pause, max_backoff=max_pause)  # says what is wrong with a number
        self.url = url
        self.last_event_id = last_event_id
        self.pause = pause
        self.connections = 0
        self._request = request
        self._settings = {**settings, "params": params, "stream": True}
        self._headers = headers
        self._max_attempts = max_attempts
        self._max_pause = max_pause
        self._max_event_bytes = max_event_bytes
        self._closed = threading.Event()
        self._rest = rest
        self._sleep = sleep or self._wait_until_closed
        self._response: Response | None = None

    def __iter__(self) -> Iterator[ServerSentEvent]:
        """The events, as they come.

        Raises:
            HTTPError, EventStreamError: the server answers something else.
            EventTooLarge: an event has more than ``max_event_bytes``.
            RequestException: as in ``Client.request``, where the next connection would not help, or did not.
        """
        failed = 0
        while not self._closed.is_set():
            parser = EventParser(self.last_event_id, self._max_event_bytes)
            try:
                events = self._open(parser)
            except _LOST as error:
                if isinstance(error, TotalTimeout) or not self.connections or failed >= self._max_attempts:
                    raise
                failed += 1
                ending = str(error)
            else:
                if events is None:
                    return
                failed = 0
                ending = yield from self._read(events, parser)
            self._wait(failed, ending)

    def _open(self, parser: EventParser) -> Iterator[ServerSentEvent] | None:
        """The events of a new connection; None if there are no more."""
        response = self._request("GET", self.url, headers=self._with_own(self._headers), **self._settings)
        try:
            if response.status_code == 204:
                response.close()
                return None
            response.raise_for_status()
            if response.status_code != 200:
                raise EventStreamError(f"the server answered {response.status_code} instead of an event stream", response=response)
            events = events_in(response, parser)
        except BaseException:
            response.free_connection()  # a handler may want to read what the server said
            raise
        self._response = response
        self.connections += 1
        return events

    def _with_own(self, headers: Any) -> Headers:
        merged = Headers({"Accept": CONTENT_TYPE, "Cache-Control": "no-cache"})
        merged.update(headers or {})
        if self.last_event_id:
            try:
                merged["Last-Event-ID"] = self.last_event_id.encode("utf-8")
                merged.encode()
            except (InvalidHeader, UnicodeEncodeError) as error:
                raise EventStreamError(
                    f"the stream cannot be taken up again behind the event with the id {self.last_event_id[:100]!r}: {error}"
                ) from error
        return merged

    def _read(self, events: Iterator[ServerSentEvent], parser: EventParser) -> Generator[ServerSentEvent, None, str]:
        """The events of one connection, then how it ended."""
        try:
            while not self._closed.is_set():  # close() may have come before there was a response that it could close
                event = next(events, None)
                self._take_over(parser)
                if event is None:
                    break
                yield event
            return "it ended"
        except StreamConsumedError:
            return "it was closed"  # by close(), in another thread
        except _LOST as error:
            if isinstance(error, TotalTimeout):
                raise
            return str(error)
        finally:
            self._take_over(parser)
            self._close_response()

    def _take_over(self, parser: EventParser) -> None:
        self.last_event_id = parser.last_event_id
        if parser.retry is not None:
            self.pause = parser.retry / 1000

    def _wait(self, failed: int, ending: str) -> None:
        if self._closed.is_set():
            return
        seconds = max(MIN_PAUSE_SECONDS, Retries(backoff=self.pause, max_backoff=self._max_pause).wait(failed, None, 0.0))
        log.info("event stream: %s; next connection in %.1f s, behind the event %r", ending, seconds, self.last_event_id)
        self._sleep(seconds)

    def _wait_until_closed(self, seconds: float) -> None:
        if self._rest is None:
            self._closed.wait(seconds)
        else:
            self._rest(self._closed.wait, seconds)

    def _close_response(self) -> None:
        response, self._response = self._response, None
        if response is not None:
            response.close()

    def close(self) -> None:
        """End the iteration, in whatever thread it is under way, and close the connection. Idempotent.

        A request whose answer has not begun yet ends by its own timeouts first.
        """
        self._closed.set()
        self._close_response()

    def __enter__(self) -> EventSource:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

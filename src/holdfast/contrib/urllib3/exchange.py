"""One request of a carried connection's: sent by holdfast, within urllib3's timeouts, its failures in urllib3's terms."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from urllib3.connection import HTTPConnection
from urllib3.exceptions import NewConnectionError
from urllib3.util.timeout import Timeout as Urllib3Timeout

from ... import exceptions as ours
from ...message.raw import BodySource
from ...message.request import PreparedRequest
from ...message.response import Response
from ...timeouts import Timeouts
from . import errors, keeping
from .dialling import CallDeadline, Kept, NoSocket

NO_PATIENCE = 0.001  # seconds: urllib3 itself sends the body at once
MAX_KNOWN = 256  # pairs of timeouts that are remembered

_timeouts: dict[tuple[float | None, float | None], Timeouts] = {}


class Exchange:
    """One request on its way.

    Args:
        connection: of urllib3's, that was asked: its errors name it, and it is told whether a proxy was reached.
        kept: what the connection that sends it is kept under.
        total: seconds until the head of the response is there; None for any number.
        patience: seconds that the body waits for 100 Continue; None if the request does not ask for it.

    Attributes:
        source: the body of the response, once it runs.
        socket: over which it comes.
    """

    __slots__ = ("connect", "connection", "kept", "patience", "request", "socket", "source", "total")

    def __init__(
        self, connection: HTTPConnection, kept: Kept, request: PreparedRequest, total: float | None, patience: float | None
    ) -> None:
        self.connection = connection
        self.connect: float | None = connection.timeout  # as it is while urllib3 connects and sends
        self.kept = kept
        self.request = request
        self.total = total
        self.patience = patience
        self.source: BodySource | None = None
        self.socket: Any = None

    def run(self, timeout: Any) -> Response:
        """Send it, and wait for the head of its response.

        Args:
            timeout: seconds, as urllib3 has them, for that wait and each one for more of the body.

        Raises:
            Exception: what urllib3's own connection would have raised.
        """
        connection = self.connection
        read = timeout if timeout is None or type(timeout) is float else Urllib3Timeout.resolve_default_timeout(timeout)
        deadline = CallDeadline(self.total)
        route: Any = self.kept
        try:
            response = keeping.transport().send(self.request, route, self._timeouts(read), deadline)
        except ours.RequestException as error:
            self._note_proxy(deadline.connection is not None)
            raise errors.of_exchange(error, connection, self.connect) from error
        except NoSocket as reason:
            self.kept.left = str(reason)  # a Retry finds it so
            raise NewConnectionError(connection, str(reason)) from reason
        except Exception as error:
            self._note_proxy(error.__dict__.get("reached_proxy", deadline.connection is not None))
            raise
        connection._has_connected_to_proxy = connection.proxy is not None
        deadline.at = None  # urllib3's total bounds connecting and the wait for the head; then each read has its own time
        if deadline.connection is not None:
            stream: Any = deadline.connection.stream
            self.socket = stream.sock
        self.source = response._source
        return response

    def _timeouts(self, read: float | None) -> Timeouts:
        connect, total = self.connect, self.total
        # urllib3 sends under its timeout for connecting; the total is the deadline's matter.
        if total is not None:
            found = Timeouts(connect, read, connect, None, total)  # what is left of it for reading is never the same twice
        else:
            known = _timeouts.get((connect, read))
            found = _remembered(connect, read) if known is None else known
        return found if self.patience is None else replace(found, expect=self.patience)

    def _note_proxy(self, reached: bool) -> None:
        """urllib3 tells a proxy that could not be reached from a server that could not by this."""
        self.connection._has_connected_to_proxy = self.connection.proxy is not None and reached


def _remembered(connect: float | None, read: float | None) -> Timeouts:
    if len(_timeouts) >= MAX_KNOWN:
        _timeouts.clear()
    found = _timeouts[connect, read] = Timeouts(connect, read, connect, None)
    return found

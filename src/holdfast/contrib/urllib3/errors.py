"""What went wrong below, in the words that urllib3 and http.client have for it.

urllib3 wraps what a connection raises: an OSError or an HTTPException becomes ``ProtocolError("Connection aborted.", ...)``, a
TimeoutError becomes ReadTimeoutError, and its Retry counts them by these classes. So each holdfast error has to leave as the
error that urllib3's own connection would have raised at the same place. The holdfast error, with its longer text, stays as the
``__cause__``. None of holdfast's own may pass: they are OSErrors, and an InvalidRequest would be retried as a broken connection.
"""

from __future__ import annotations

import errno
import http.client
import ssl
from typing import TYPE_CHECKING

from urllib3 import exceptions as urllib3_errors

from ... import exceptions as ours

if TYPE_CHECKING:
    from urllib3.connection import HTTPConnection

DISCONNECTED = "Remote end closed connection without response"  # http.client's own words: programs look for them


def of_exchange(error: ours.RequestException, connection: HTTPConnection, connect: float | None) -> Exception:
    """The exception that urllib3's own connection would have raised where a request failed before its response's head.

    Args:
        connection: the one that is asked; urllib3's errors of connecting name it.
        connect: the timeout for connecting, in seconds, for the message.
    """
    if isinstance(error, ours.ClientClosed):
        return ConnectionAbortedError(errno.ECONNABORTED, str(error))
    if isinstance(error, (ours.InvalidRequest, ours.InvalidHeader)):
        return ValueError(str(error))
    if isinstance(error, ours.UnrewindableBodyError):
        return urllib3_errors.UnrewindableBodyError(str(error))
    if isinstance(error, ours.Timeout):
        return _of_timeout(error, connection, connect)
    if isinstance(error, ours.SSLError):
        return _of_tls(error)
    if isinstance(error, ours.ConnectionLost):
        return _of_loss(error)
    if isinstance(error, ours.RemoteProtocolError):
        is_large = isinstance(error, ours.HeadersTooLarge)
        return http.client.HTTPException(str(error)) if is_large else http.client.BadStatusLine(str(error))
    return urllib3_errors.ProtocolError("Connection aborted.", ConnectionError(str(error)))


def _of_timeout(error: ours.Timeout, connection: HTTPConnection, connect: float | None) -> Exception:
    # A total that is used up before there is a connection has the pool's own timeout as its cause.
    if isinstance(error, ours.ConnectTimeout) or isinstance(error.__cause__, (ours.ConnectTimeout, ours.PoolTimeout)):
        return urllib3_errors.ConnectTimeoutError(
            connection, f"Connection to {connection.host} timed out. (connect timeout={connect})"
        )
    if isinstance(error, ours.WriteTimeout):
        # A bare TimeoutError would be taken for one of reading, and a Retry for reading would send the request again.
        return urllib3_errors.ProtocolError("Connection aborted.", TimeoutError("The write operation timed out"))
    return TimeoutError("timed out")


def _of_tls(error: ours.SSLError) -> ssl.SSLError:
    cause = error.__cause__
    return type(cause)(*cause.args) if isinstance(cause, ssl.SSLError) else ssl.SSLError(1, str(error))


def _of_loss(error: ours.RequestException) -> Exception:
    cause = error.__cause__
    if isinstance(cause, OSError) and not isinstance(cause, (BrokenPipeError, ours.RequestException)):
        return type(cause)(*cause.args)
    return http.client.RemoteDisconnected(DISCONNECTED)


def of_body(error: ours.RequestException) -> Exception | None:
    """What http.client would have met where a body could not be read on; None for the end of file, of which it makes its own."""
    if isinstance(error, ours.StreamConsumedError):
        return None  # ended by response.shutdown() or close() in another thread
    if isinstance(error, ours.Timeout):
        return TimeoutError("timed out")
    if isinstance(error, ours.SSLError):
        return _of_tls(error)
    if isinstance(error, ours.IncompleteBody):
        return _of_loss(error) if isinstance(error.__cause__, OSError) else None
    if isinstance(error, ours.ClientClosed):
        return ConnectionAbortedError(errno.ECONNABORTED, str(error))
    return http.client.HTTPException(str(error))

"""Connections that urllib3's pools hold, while holdfast's pool holds the sockets.

A ``Carried`` connection is one of urllib3's (of the class its pool makes, or of a subclass of it that only opens its sockets
differently). urllib3 and http.client put the request together with their own code, so that whatever is wrapped around their
methods still sees it; the finished head then goes through ``holdfast.transport`` instead of into a socket, and the answer comes
back as http.client's response. Between requests it holds nothing: it is a permit in urllib3's queue, and so ``maxsize`` and
``block`` mean what they mean there.

What cannot be carried is left to urllib3, as it was, request by request; ``left_to_urllib3()`` counts it by its reason.
"""

from __future__ import annotations

import http.client
import inspect
import logging
import ssl
import sys
import threading
import weakref
from collections import Counter
from dataclasses import replace
from typing import Any, cast

from urllib3._collections import HTTPHeaderDict
from urllib3.connection import HTTPConnection, _ResponseOptions
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import NewConnectionError
from urllib3.response import HTTPResponse
from urllib3.util import ssl_
from urllib3.util.timeout import Timeout as Urllib3Timeout

from ... import exceptions as ours
from ...message.body import Body
from ...message.headers import Headers
from ...message.request import PreparedRequest
from ...message.response import Response
from ...pool.limits import Limits
from ...timeouts import Timeouts
from ...transport import Transport
from . import errors
from .bodies import StreamedBody, WholeBody, is_streamed
from .dialling import IDENTITY, CallDeadline, Kept, NoSocket, dial
from .response import Answer, CarriedResponse, Line

log = logging.getLogger("holdfast.urllib3")

MAX_KNOWN = 256  # heads and timeouts that are remembered
AWS_MODULE = "botocore.awsrequest"
NO_PATIENCE = 0.001  # seconds: urllib3 itself sends the body at once
AWS_PATIENCE = 1.0  # seconds that botocore waits for 100 Continue

_RESPONSE = "_HTTPConnection__response"  # where http.client keeps the response that is not read to its end
_parameters = inspect.signature(HTTPResponse.__init__).parameters
_knows_shutdown, _knows_version = "sock_shutdown" in _parameters, "version_string" in _parameters  # since urllib3 2.3

_transport: Transport | None = None
_transport_lock = threading.Lock()
_left: Counter[str] = Counter()
_heads: dict[bytes, Head] = {}
_timeouts: dict[tuple[float | None, float | None], Timeouts] = {}


def transport() -> Transport:
    """The one behind all of them, made when it is first needed. How many connections there are is for urllib3's pools to say."""
    global _transport
    if _transport is None:
        with _transport_lock:
            if _transport is None:
                _transport = new_transport()
    return _transport


def new_transport(keeper: bool = True) -> Transport:
    """A transport whose connections urllib3 opens, as many as there are permits for them."""
    limits = Limits(max_connections_per_origin=None, max_idle_connections=None)
    return Transport(limits, keeper=keeper, connect=dial)


def left_to_urllib3() -> dict[str, int]:
    """How many requests were left to urllib3, by reason."""
    return dict(_left)


class Leave(Exception):
    """This request is not for holdfast: its text says why."""


class Target:
    """What a request line says, as it is: urllib3 has encoded it. In place of a ``Url``, which would tidy it up."""

    __slots__ = ("host_header", "target", "text")

    def __init__(self, target: bytes, host: bytes) -> None:
        self.target = target
        self.host_header = host
        self.text = target.decode("latin-1") if b"://" in target else "//" + (host + target).decode("latin-1")

    @property
    def safe_text(self) -> str:
        start, _, rest = self.text.partition("//")
        authority, slash, path = rest.partition("/")
        return f"{start}//{authority.rpartition('@')[2]}{slash}{path}"


def _since_2_3(line: Line) -> dict[str, Any]:
    """Arguments of an HTTPResponse that older urllib3 does not have."""
    given: dict[str, Any] = {"sock_shutdown": line.shutdown} if _knows_shutdown else {}
    if _knows_version:
        given["version_string"] = "HTTP/1.1"  # whatever the version, as in urllib3
    return given


Head = tuple[str, Target, Headers]

# The steps by which urllib3 and http.client put a request together. As long as no program has wrapped one of them to see requests
# pass, or to add to them, a request that is equal to an earlier one need not go through them again.
_OURS, _BASE = HTTPConnection, http.client.HTTPConnection
_OUR_STEPS = (_OURS.request, _OURS.putrequest, _OURS.putheader, _OURS.getresponse)
_BASE_STEPS = (_BASE.putrequest, _BASE.putheader, _BASE.endheaders, _BASE.send, _BASE.getresponse)


def _is_pristine() -> bool:
    ours, base = _OURS, _BASE
    return (
        (ours.request, ours.putrequest, ours.putheader, ours.getresponse) == _OUR_STEPS
        and (base.putrequest, base.putheader, base.endheaders, base.send, base.getresponse) == _BASE_STEPS
    )


class Carried(HTTPConnection):
    """A connection of urllib3's whose requests holdfast sends. Made by ``carry``."""

    _plain: type[HTTPConnection] = HTTPConnection  # what it was before
    _patience: float | None = None  # seconds to wait for 100 Continue before a body is sent; None to send it at once
    _owner: weakref.ref[HTTPConnectionPool] | None = None
    _kept: Kept | None = None
    _limits: Urllib3Timeout | None = None  # of the request that is under way
    _for_good = False  # made so by its pool's class, and not by inject()
    _is_left = False  # it has a socket of its own: urllib3 speaks over it
    _asking: list[bytes] | None = None  # while urllib3's request() runs: what it has sent
    _key: Any = None  # of the request that is being put together, to know it again
    _is_repeat = False  # http.client had no part in the request that is under way
    response_class = CarriedResponse

    # -- what urllib3 does with a connection ---------------------------------------------------------------------------

    def connect(self) -> None:
        """Be ready; a connection is opened when a request needs one."""
        if self._is_left:
            super().connect()
            return
        self._kept = self._find_kept()
        self.sock = cast(Any, Line())
        self._has_connected_to_proxy = False
        self._tell_verified()

    @property
    def is_connected(self) -> bool:
        """Whether it may be used. The pool looks at the socket itself, right before it does."""
        return super().is_connected if self._is_left else self.sock is not None

    def close(self) -> None:
        """Forget what was under way; connections that are idle beyond what the urllib3 pool may have are closed."""
        kept = self._kept
        super().close()
        self._is_left = False
        if kept is not None:
            trim(kept)

    def request(self, method: str, url: str, body: Any = None, headers: Any = None, *args: Any, **kwargs: Any) -> None:
        """Put a request together; ``getresponse`` sends it."""
        try:
            if not (self._for_good or injected()):
                raise Leave("ejected")
            if not self._repeat(method, url, body, headers, args, kwargs):
                self._refuse_what_is_not_plain(method, headers)
                self._put_together(method, url, body, headers, args, kwargs)
        except Leave as reason:
            self._leave(str(reason))
            super().request(method, url, body, headers, *args, **kwargs)

    def send(self, data: Any) -> None:
        """Called by urllib3 and http.client with what belongs on the wire."""
        if self._asking is not None:
            sys.audit("http.client.send", self, data)
            self._asking.append(data)
            return
        if not self._is_left:
            self._leave("used step by step, without request()")
        super().send(data)

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # urllib3's own is no http.client's, either
        """Send the request; the response."""
        options = self._response_options
        if options is None or not (self._is_repeat or (not self._is_left and _is_pristine())):
            return super().getresponse()
        # What urllib3's does besides is to look for faults of http.client's parser, which had no part in this.
        self._response_options = None
        line: Any = self.sock
        line.timeout = self.timeout
        if self._is_repeat:
            answer = CarriedResponse(line, method=options.request_method)
            try:
                answer.begin()
            except BaseException:
                answer.close()
                raise
            self.__dict__[_RESPONSE] = answer
        else:
            answer = cast(CarriedResponse, http.client.HTTPConnection.getresponse(self))
        newer: dict[str, Any] = {"sock_shutdown": line.shutdown} if _knows_shutdown else {}
        if _knows_version:
            newer["version_string"] = "HTTP/1.1"  # whatever the version, as in urllib3
        return HTTPResponse(
            body=answer,
            headers=HTTPHeaderDict(answer.items),
            status=answer.status,
            version=answer.version,
            reason=answer.reason,
            preload_content=options.preload_content,
            decode_content=options.decode_content,
            original_response=answer,
            enforce_content_length=options.enforce_content_length,
            request_method=options.request_method,
            request_url=options.request_url,
            **_since_2_3(line),
        )

    # -- carrying ------------------------------------------------------------------------------------------------------

    def _refuse_what_is_not_plain(self, method: str, headers: Any) -> None:
        if self._is_left and self._kept is not None and self._kept.left is not None:
            raise Leave(self._kept.left)
        if self._tunnel_scheme == "https":
            raise Leave("TLS inside TLS, to reach a server through an https:// proxy")
        if ssl_.IS_PYOPENSSL and hasattr(self, "cert_reqs"):
            raise Leave("pyOpenSSL is injected into urllib3")
        if method == "CONNECT" or any(_lower(name) == "upgrade" for name in headers or ()):
            raise Leave("it asks for another protocol (CONNECT, Upgrade)")

    def _repeat(self, method: str, url: str, body: Any, headers: Any, args: Any, kwargs: Any) -> bool:
        """Send what was put together before for the same arguments; False if that cannot be."""
        self._is_repeat = False
        line, kept = self.sock, self._kept
        if type(line) is not Line or kept is None or args or not (body is None or type(body) is bytes) or not _is_pristine():
            return False
        previous = self.__dict__.get(_RESPONSE)
        if previous is not None and not previous.isclosed():
            return False  # and http.client says what is wrong with that
        key = (method, url, None if body is None else len(body), kwargs.get("chunked"), *(headers.items() if headers else ()))
        try:
            found = kept.heads.get(key)
        except TypeError:
            return False  # a value that is no text
        if found is None:
            self._key = key
            return False
        sys.audit("http.client.send", self, found[0])
        self._is_repeat = True
        options = (kwargs.get(name, True) for name in ("preload_content", "decode_content", "enforce_content_length"))
        self._response_options = _ResponseOptions(method, url, *options)
        # A request does not change on its way: one without a body is the same each time.
        request = found[1] if body is None else _request(found[2], WholeBody(body))
        line.ask = Exchange(self, kept, line, request, self.timeout).run
        return True

    def _put_together(self, method: str, url: str, body: Any, headers: Any, args: Any, kwargs: Any) -> None:
        if type(self.sock) is not Line:
            self._get_off()
            self.connect()
        line, kept = cast(Line, self.sock), cast(Kept, self._kept)
        if kept.left is not None:
            raise Leave(kept.left)
        streamed = is_streamed(body)
        key, self._key = self._key, None
        sent: list[bytes] = []
        self._asking = sent
        try:
            # An empty iterable in place of a stream: what is said of its framing is the same, and nothing is taken from it.
            super().request(method, url, [] if streamed else body, headers, *args, **kwargs)
        finally:
            self._asking = None
        found = known_head(sent[0])
        if key is not None:
            if len(kept.heads) >= MAX_KNOWN:
                kept.heads.clear()
            kept.heads[key] = (sent[0], _request(found, None), found)
        if streamed:
            content: Body | None = StreamedBody(body, method, self.blocksize)
        else:
            content = None if body is None else WholeBody(body)
        line.ask = Exchange(self, kept, line, _request(found, content), self.timeout).run

    def _find_kept(self) -> Kept:
        owner = None if self._owner is None else self._owner()
        table = {} if owner is None else _table_of(owner)
        mine = self.__dict__
        identity = (type(self), *(_hashable(mine.get(name)) for name in IDENTITY))
        kept = table.get(identity)
        if kept is None:
            kept = table.setdefault(identity, Kept(self, self._plain, owner))
        return kept

    def _tell_verified(self) -> None:
        """What urllib3 warns by (InsecureRequestWarning), before there is a connection to ask."""
        config = self.proxy_config
        own: Any = getattr(self, "cert_reqs", None)
        verifies = hasattr(self, "cert_reqs") and (
            ssl_.resolve_cert_reqs(own) == ssl.CERT_REQUIRED or bool(self.__dict__.get("assert_fingerprint"))
        )
        # Since urllib3 2.2 a server behind a forwarding proxy is the proxy's to verify.
        forwarded = self.proxy is not None and self._tunnel_host is None and hasattr(HTTPConnection, "proxy_is_verified")
        self.is_verified = verifies and not forwarded
        if self.proxy is None:
            return
        if self._tunnel_scheme == "http" or not hasattr(self, "cert_reqs"):
            self.proxy_is_verified = False
            return
        context = None if config is None else config.ssl_context
        mode = ssl_.resolve_cert_reqs(own) if context is None else context.verify_mode
        pinned = config is not None and bool(config.assert_fingerprint)
        self.proxy_is_verified = mode == ssl.CERT_REQUIRED or pinned

    # -- leaving it to urllib3 -----------------------------------------------------------------------------------------

    def _leave(self, reason: str) -> None:
        _left[reason] += 1
        if _left[reason] == 1:
            log.info("a request to %s is left to urllib3, as later ones for this reason: %s", self.host, reason)
        self._is_repeat = False
        if not self._is_left:
            self._get_off()
            self._is_left = True
            self.__dict__["response_class"] = http.client.HTTPResponse

    def _get_off(self) -> None:
        """Give up the socket, or what stands for it; tunnel and proxy settings stay, unlike with urllib3's ``close()``."""
        http.client.HTTPConnection.close(self)
        self.sock = cast(Any, None)
        self._is_left = False
        self.__dict__.pop("response_class", None)


def _request(head: Head, content: Body | None) -> PreparedRequest:
    request = PreparedRequest()
    target: Any  # a Url, or what is one where it is asked
    request.method, target, request.headers = head
    request.parsed = target
    request.payload = content
    return request


class Exchange:
    """One request on its way."""

    __slots__ = ("connect", "connection", "kept", "line", "request")

    def __init__(self, connection: Carried, kept: Kept, line: Line, request: PreparedRequest, connect: float | None) -> None:
        self.connection = connection
        self.kept = kept
        self.line = line
        self.request = request
        self.connect = connect

    def run(self) -> Answer:
        """Send it, and wait for the head of its response.

        Raises:
            Exception: what urllib3's own connection would have raised.
        """
        limits, self.connection._limits = self.connection._limits, None
        total = None if limits is None or not isinstance(limits.total, (int, float)) else float(limits.total)
        read = _seconds(self.line.timeout)
        deadline = CallDeadline(total)
        try:
            response = self._send(_timeouts_of(self.connect, read, total), deadline)
        except ours.RequestException as error:
            self._note_proxy(deadline.connection is not None)
            raise errors.of_exchange(error, self.connection, self.connect) from error
        except NoSocket as reason:
            self.kept.left = str(reason)  # a Retry finds it so
            raise NewConnectionError(self.connection, str(reason)) from reason
        except Exception as error:
            self._note_proxy(error.__dict__.get("reached_proxy", deadline.connection is not None))
            raise
        self._note_proxy(True)
        deadline.at = None  # urllib3's total bounds connecting and the wait for the head; then each read has its own time
        stream: Any = None if deadline.connection is None else deadline.connection.stream
        return Answer(response, None if stream is None else stream.sock, self.kept, trim)

    def _send(self, timeouts: Timeouts, deadline: CallDeadline) -> Response:
        if "Expect" in self.request.headers:
            timeouts = replace(timeouts, expect=self.connection._patience or NO_PATIENCE)
        return transport().send(self.request, cast(Any, self.kept), timeouts, cast(Any, deadline))

    def _note_proxy(self, reached: bool) -> None:
        """urllib3 tells a proxy that could not be reached from a server that could not by this."""
        self.connection._has_connected_to_proxy = self.connection.proxy is not None and reached


def _table_of(owner: HTTPConnectionPool) -> dict[Any, Kept]:
    """What the connections of a urllib3 pool are kept under, by their settings."""
    table: dict[Any, Kept] | None = owner.__dict__.get("_holdfast_kept")
    if table is None:
        table = owner.__dict__.setdefault("_holdfast_kept", {})
        weakref.finalize(owner, _trim_in_finalizer, table).atexit = False  # a pool that is dropped is not always closed
    return table


def pool_closed(owner: HTTPConnectionPool) -> None:
    """A urllib3 pool was closed. Its own closing reaches only connections that are in its queue, and permits get lost."""
    _trim_all(owner.__dict__.get("_holdfast_kept", {}))


def _trim_in_finalizer(table: dict[Any, Kept]) -> None:
    """A urllib3 pool was dropped, perhaps in a garbage collection in the middle of anything, with the pool's lock held."""
    for kept in list(table.values()):
        if _transport is not None:
            _transport.pool.trim_in_finalizer(cast(Any, kept), kept.idle_allowed())


def _trim_all(table: dict[Any, Kept]) -> None:
    for kept in list(table.values()):
        trim(kept)


def trim(kept: Kept) -> None:
    """Close what is idle beyond what the urllib3 pool may have."""
    if _transport is not None:
        _transport.pool.close_idle(cast(Any, kept), kept.idle_allowed())


# -- heads ---------------------------------------------------------------------------------------------------------------


def known_head(sent: bytes) -> Head:
    """Method, target and fields of a head as http.client has written it.

    Raises:
        Leave: holdfast would not send it.
    """
    found = _heads.get(sent)
    if found is None:
        found = _parsed(sent)
        if len(_heads) >= MAX_KNOWN:
            _heads.clear()
        _heads[sent] = found
    return found


def _parsed(sent: bytes) -> Head:
    first, *lines = sent[:-4].split(b"\r\n")
    verb, target, _ = first.split(b" ", 2)
    fields: list[tuple[bytes, bytes]] = []
    for line in lines:
        if line[:1] in (b" ", b"\t") and fields:  # a folded value, which http.client lets pass
            fields[-1] = (fields[-1][0], fields[-1][1] + b" " + line.strip())
            continue
        name, _, value = line.partition(b":")
        fields.append((name, value.strip(b" \t")))
    headers = Headers.from_raw(fields)
    _check(fields)
    return verb.decode("ascii"), Target(target, headers.get("Host", "").encode("latin-1")), headers


def _check(fields: list[tuple[bytes, bytes]]) -> None:
    by_name: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        by_name.setdefault(name.lower(), []).append(value)
    codings = by_name.get(b"transfer-encoding", [])
    if len(by_name.get(b"host", [])) != 1:
        raise Leave("it has no Host field, or several")
    if codings and (b"content-length" in by_name or [c.lower() for c in codings] != [b"chunked"]):
        raise Leave("Transfer-Encoding beside Content-Length, or another than chunked")
    if len(by_name.get(b"content-length", [])) > 1:
        raise Leave("several Content-Length fields")


def _hashable(value: Any) -> Any:
    try:
        hash(value)
    except TypeError:
        return repr(value)
    return value


def _lower(name: Any) -> str:
    return name.decode("latin-1").lower() if isinstance(name, bytes) else str(name).lower()


def _seconds(value: Any) -> float | None:
    return Urllib3Timeout.resolve_default_timeout(value)


def _timeouts_of(connect: float | None, read: float | None, total: float | None) -> Timeouts:
    # urllib3 sends under its timeout for connecting; the total is the deadline's matter.
    if total is not None:
        return Timeouts(connect, read, connect, None, total)  # what is left of it for reading is never the same twice
    key = (connect, read)
    found = _timeouts.get(key)
    if found is None:
        if len(_timeouts) >= MAX_KNOWN:
            _timeouts.clear()
        found = _timeouts[key] = Timeouts(connect, read, connect, None)
    return found


# -- which ones ----------------------------------------------------------------------------------------------------------

_carriers: dict[type[HTTPConnection], type[Carried] | None] = {}
_is_injected = False


def injected() -> bool:
    """Whether ``inject()`` was called, and ``eject()`` not since."""
    return _is_injected


def set_injected(value: bool) -> None:
    global _is_injected
    _is_injected = value


def carry(pool: HTTPConnectionPool, connection: Any, for_good: bool) -> Any:
    """This connection, that ``pool`` has just made, as one that holdfast carries; as it is, if that cannot be."""
    if isinstance(connection, Carried):
        connection._for_good = connection._for_good or for_good
        return connection
    kind = type(connection)
    if kind not in _carriers:
        _carriers[kind] = _carrier(kind)
    carrier = _carriers[kind]
    if carrier is None:
        return connection
    connection.__class__ = carrier
    connection._owner = weakref.ref(pool)
    connection._for_good = for_good
    connection.__dict__.pop("response_class", None)
    return connection


def _carrier(kind: type) -> type[Carried] | None:
    """The class of carried connections for those of ``kind``; None if they have ways of their own with requests or responses."""
    base = kind
    patience = None
    if kind.__module__ == AWS_MODULE:
        # What botocore adds is waiting for 100 Continue, on the socket; here holdfast waits.
        base = next((c for c in kind.__mro__ if c.__module__ == "urllib3.connection"), kind)
        patience = AWS_PATIENCE
    if not _only_opens_differently(base):
        log.info("connections of %s.%s are left to urllib3: they have their own ways", kind.__module__, kind.__qualname__)
        return None
    names = {"_plain": base, "_patience": patience, "__module__": kind.__module__, "__qualname__": kind.__qualname__}
    return type(kind.__name__, (Carried, base), names)


def _only_opens_differently(kind: type) -> bool:
    if not issubclass(kind, HTTPConnection):
        return False
    for each in kind.__mro__:
        if each.__module__ == "urllib3.connection":
            return True
        for name, value in vars(each).items():
            if name not in ("__init__", "_new_conn") and (callable(value) or isinstance(value, property)):
                return False
    return False

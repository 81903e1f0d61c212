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
import weakref
from collections import Counter
from collections.abc import Callable
from operator import is_
from types import FunctionType
from typing import Any, cast

from urllib3.connection import HTTPConnection, _ResponseOptions
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.response import HTTPResponse
from urllib3.util import ssl_
from urllib3.util.timeout import Timeout as Urllib3Timeout

from ...message.body import Body
from ...message.request import PreparedRequest
from . import keeping
from .bodies import StreamedBody, WholeBody, is_streamed
from .dialling import IDENTITY, Kept
from .exchange import NO_PATIENCE, Exchange
from .heads import Leave, known_head, request_of
from .response import CarriedResponse, Line

log = logging.getLogger("holdfast.urllib3")

MAX_KNOWN = 256  # requests that are remembered

_RESPONSE = "_HTTPConnection__response"  # where http.client keeps the response that is not read to its end
_left: Counter[str] = Counter()
_is_injected = False


def left_to_urllib3() -> dict[str, int]:
    """How many requests were left to urllib3, by reason."""
    return dict(_left)


def injected() -> bool:
    """Whether ``inject()`` was called, and ``eject()`` not since."""
    return _is_injected


def set_injected(value: bool) -> None:
    """Say that ``inject()`` or ``eject()`` was called."""
    global _is_injected
    _is_injected = value


def _before_2_3(*, version_string: str, sock_shutdown: Any, **known: Any) -> HTTPResponse:
    return HTTPResponse(**known)


_is_newer = "sock_shutdown" in inspect.signature(HTTPResponse.__init__).parameters
_new_response: Callable[..., HTTPResponse] = HTTPResponse if _is_newer else _before_2_3

# The steps by which urllib3 and http.client put a request together. As long as no program has wrapped one of them to see requests
# pass, or to add to them, a request that is equal to an earlier one need not go through them again.
_BASE: Any = http.client.HTTPConnection


def _steps(kind: Any) -> tuple[Any, ...]:
    base = _BASE
    ours = (kind.request, kind.putrequest, kind.putheader, kind.endheaders, kind._send_output, kind.getresponse)
    return (*ours, base.putrequest, base.putheader, base.send, base.getresponse)


def _is_as_written(step: Any) -> bool:
    """Whether ``step`` is urllib3's or http.client's own: a tracing agent may have wrapped it before holdfast is imported.

    By the type, not by isinstance: wrapt's wrappers say that they are functions, and have the globals of what they wrap.
    """
    return type(step) is FunctionType and step.__globals__["__name__"] in ("urllib3.connection", "http.client")


_WRITTEN = _steps(HTTPConnection)
_IS_LATE = not all(map(_is_as_written, _WRITTEN))  # a step that was wrapped by then counts as wrapped for good


def _is_pristine(kind: type[HTTPConnection]) -> bool:
    """Whether no step of connections of ``kind`` is wrapped. By identity: a wrapper of wrapt's equals what it wraps."""
    return not _IS_LATE and all(map(is_, _steps(kind), _WRITTEN))


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
        reached = not self._is_left and self._has_connected_to_proxy
        super().close()
        # http.client closes before urllib3 asks. Had it forgotten that the proxy was reached, a POST that was read and left without
        # an answer would be a proxy that could not be, and sent again.
        self._has_connected_to_proxy = reached
        self._is_left = False
        if kept is not None:
            keeping.trim(kept)

    def request(self, method: str, url: str, body: Any = None, headers: Any = None, *args: Any, **kwargs: Any) -> None:
        """Put a request together; ``getresponse`` sends it."""
        try:
            if not (self._for_good or _is_injected):
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
        if options is None or not (self._is_repeat or (not self._is_left and _is_pristine(self._plain))):
            return super().getresponse()
        # What urllib3's does besides is to look for faults of http.client's parser, which had no part in this.
        self._response_options = None
        line: Any = self.sock
        line.timeout = self.timeout
        if self._is_repeat:
            answer: CarriedResponse = CarriedResponse(line, method=options.request_method)
            try:
                answer.begin()
            except BaseException:
                answer.close()
                raise
            self.__dict__[_RESPONSE] = answer
        else:
            given: Any = http.client.HTTPConnection.getresponse(self)
            answer = given
        return _new_response(
            body=answer,
            headers=answer.fields,
            status=answer.status,
            version=answer.version,
            reason=answer.reason,
            preload_content=options.preload_content,
            decode_content=options.decode_content,
            original_response=answer,
            enforce_content_length=options.enforce_content_length,
            request_method=options.request_method,
            request_url=options.request_url,
            version_string="HTTP/1.1",  # whatever the version, as in urllib3
            sock_shutdown=line.shutdown,
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
        if type(line) is not Line or kept is None or args or not (body is None or type(body) is bytes):
            return False
        if not _is_pristine(self._plain):
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
        said = kwargs.get
        self._response_options = _ResponseOptions(
            method, url, said("preload_content", True), said("decode_content", True), said("enforce_content_length", True)
        )
        # A request does not change on its way: one without a body is the same each time.
        line.exchange = self._exchange(found[1] if body is None else request_of(found[2], WholeBody(body)), kept, found[2].expects)
        return True

    def _put_together(self, method: str, url: str, body: Any, headers: Any, args: Any, kwargs: Any) -> None:
        if type(self.sock) is not Line:
            self._get_off()
            self.connect()
        line: Any = self.sock
        kept = cast(Kept, self._kept)
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
            kept.heads[key] = (sent[0], request_of(found, None), found)
        if streamed:
            content: Body | None = StreamedBody(body, method, self.blocksize)
        else:
            content = None if body is None else WholeBody(body)
        line.exchange = self._exchange(request_of(found, content), kept, found.expects)

    def _exchange(self, request: PreparedRequest, kept: Kept, expects: bool) -> Exchange:
        total = None
        limits = self._limits
        if limits is not None:
            self._limits = None
            if isinstance(limits.total, (int, float)):
                total = float(limits.total)
        return Exchange(self, kept, request, total, (self._patience or NO_PATIENCE) if expects else None)

    def _find_kept(self) -> Kept:
        owner = None if self._owner is None else self._owner()
        table = {} if owner is None else keeping.table_of(owner)
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


def _hashable(value: Any) -> Any:
    try:
        hash(value)
    except TypeError:
        return repr(value)
    return value


def _lower(name: Any) -> str:
    return name.decode("latin-1").lower() if isinstance(name, bytes) else str(name).lower()

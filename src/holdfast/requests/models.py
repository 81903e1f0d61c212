"""``models`` as requests has it: requests and responses, with the attributes that programs written for requests look for.

They are holdfast's own (``message/``), told apart by these attributes alone. URLs of schemes that holdfast does not speak are
kept as they are: the adapter that is mounted for them understands them.
"""

from __future__ import annotations

import warnings
from typing import Any, cast
from urllib.parse import urlencode, urljoin, urlsplit

from ..exceptions import *  # noqa: F403 - requests' own has them too
from ..exceptions import (
    ChunkedEncodingError,
    ConnectionError,  # noqa: A004 - requests' name
    ContentDecodingError,
    InvalidRequest,
    InvalidSchema,
    InvalidURL,
    MissingSchema,
    RequestException,
    SSLError,
    StreamConsumedError,
)
from ..message import request as core
from ..message import response as core_response
from ..message.body import BytesBody, form_pairs
from ..message.content import make_body
from ..message.cookies import CookieJar, cookiejar_from_dict
from ..message.headers import Headers
from ..message.pieces import PIECE
from ..message.raw import GivenBody
from ..message.response import REDIRECT_STATUSES
from ..message.url import Url, as_location
from ._raw import Raw
from .auth import HTTPBasicAuth
from .cookies import get_cookie_header
from .hooks import default_hooks
from .status_codes import codes
from .structures import CaseInsensitiveDict
from .utils import requote_uri

__all__ = ["REDIRECT_STATI", "PreparedRequest", "Request", "RequestEncodingMixin", "RequestHooksMixin", "Response"]

REDIRECT_STATI = tuple(sorted(REDIRECT_STATUSES))
DEFAULT_REDIRECT_LIMIT = 30
CONTENT_CHUNK_SIZE = 10 * 1024
ITER_CHUNK_SIZE = 512

_HERE_FOR_OTHERS = (CaseInsensitiveDict, HTTPBasicAuth, codes, cookiejar_from_dict, default_hooks, get_cookie_header)


class _HoldfastsToo(type):
    """The class of a class that counts holdfast's own objects among its instances: ``holdfast.get`` gives those."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return super().__instancecheck__(instance) or ("_also" in cls.__dict__ and isinstance(instance, cls.__dict__["_also"]))


class OtherUrl:
    """A URL of a scheme that holdfast does not speak, with what others ask of a ``Url``. Immutable by agreement."""

    def __init__(self, text: str) -> None:
        parts = urlsplit(text)
        self.text = text
        self.scheme = parts.scheme.lower()
        self.host = parts.hostname or ""
        self.username, self.password = parts.username, parts.password
        self.path = parts.path or "/"
        self.query, self.fragment = parts.query or None, parts.fragment
        try:
            self.port = parts.port or 0
        except ValueError:
            self.port = 0  # what stands there is no port in this scheme
        self.origin = (self.scheme, parts.netloc, self.port)
        self.target = (f"{self.path}?{self.query}" if self.query else self.path).encode("utf-8")
        self.host_header = parts.netloc.rpartition("@")[2].encode("utf-8")

    @property
    def safe_text(self) -> str:
        """``text`` without user name and password."""
        parts = urlsplit(self.text)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()

    def join(self, location: str | bytes) -> Any:
        """The URL that a reference found at this one means; ``location`` as in ``Url.join``."""
        return any_url(urljoin(self.text, as_location(location)))

    def with_params(self, params: Any) -> OtherUrl:
        """This URL with ``params`` in its query."""
        added = RequestEncodingMixin._encode_params(params)
        if not added:
            return self
        parts = urlsplit(self.text)
        return OtherUrl(parts._replace(query=f"{parts.query}&{added}" if parts.query else added).geturl())

    def with_fragment(self, fragment: str) -> OtherUrl:
        """This URL with another fragment."""
        return OtherUrl(urlsplit(self.text)._replace(fragment=fragment).geturl())

    def without_userinfo(self) -> OtherUrl:
        """This URL without user name and password."""
        return OtherUrl(self.safe_text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OtherUrl) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __str__(self) -> str:
        return self.text


def any_url(given: Any) -> Any:
    """The Url of http and https, an OtherUrl of every other scheme.

    Raises:
        MissingSchema, InvalidURL: it has no scheme, or makes no sense.
    """
    if isinstance(given, (Url, OtherUrl)):
        return given
    text = given.decode("utf-8") if isinstance(given, bytes) else str(given)
    text = text.lstrip()
    try:
        return Url.parse(text)
    except InvalidSchema:
        return OtherUrl(requote_uri(text) if text.lower().startswith("http") else text)
    except (MissingSchema, InvalidURL):
        # As in requests: what has a colon and does not begin with "http" is left to the adapter that is mounted for it.
        if ":" in text and not text.lower().startswith("http"):
            return OtherUrl(text)
        raise


class RequestEncodingMixin:
    """How requests encodes forms; some programs call it, underscore or not."""

    __slots__ = ()

    @staticmethod
    def _encode_params(data: Any) -> Any:
        """A form or a query as text; what is encoded already, or a file, as it is."""
        if isinstance(data, (str, bytes)) or hasattr(data, "read") or not hasattr(data, "__iter__"):
            return data
        pairs = data.items() if hasattr(data, "items") else data
        return urlencode(list(form_pairs(pairs)), doseq=True)

    @staticmethod
    def _encode_files(files: Any, data: Any) -> tuple[bytes, str | None]:
        """The bytes of a multipart form, and its Content-Type. ValueError: there are no files, or ``data`` is text."""
        if not files:
            raise ValueError("Files must be provided.")
        if isinstance(data, (str, bytes)):
            raise ValueError("Data must not be a string.")
        body = make_body(data, None, files)
        assert body is not None
        return b"".join(body.chunks()), body.content_type


class RequestHooksMixin:
    """The base of what has hooks; the methods are in holdfast's own classes."""

    __slots__ = ()


class Request(RequestHooksMixin, core.Request, metaclass=_HoldfastsToo):
    """What the user asked; ``prepare()`` gives a PreparedRequest of this module. Arguments as in ``holdfast.Request``."""

    __slots__ = ()
    _also = core.Request

    def prepare(self) -> PreparedRequest:
        """The request as it would be sent, without a session's defaults."""
        prepared = PreparedRequest()
        prepared.prepare(
            self.method, self.url, self.headers, self.files, self.data, self.params, self.auth, self.cookies, self._hooks, self.json
        )
        prepared.read_form()
        return prepared


_headers_slot: Any = core.PreparedRequest.__dict__["headers"]
_body_property: Any = core.PreparedRequest.__dict__["body"]


class PreparedRequest(RequestEncodingMixin, RequestHooksMixin, core.PreparedRequest, metaclass=_HoldfastsToo):
    """What goes out, with requests' private attributes; its headers may be set to any mapping."""

    __slots__ = ()
    _also = core.PreparedRequest

    def prepare_method(self, method: str | bytes | None) -> None:
        """Set the verb; None leaves it to be set later."""
        if method is None:
            self.method = cast(str, None)  # as in requests, until it is set
        else:
            super().prepare_method(method)

    def prepare_url(self, url: Any, params: Any = None) -> None:
        """Parse ``url`` and append ``params`` to its query; of a scheme that is not http's, ``params`` are left out."""
        parsed = any_url(url)
        if params and (isinstance(parsed, Url) or parsed.scheme.startswith("http")):
            parsed = parsed.with_params(params)
        self.parsed = parsed

    def _set_headers(self, value: Any) -> None:
        if value is not None and not isinstance(value, Headers):
            value = Headers(value)
        _headers_slot.__set__(self, value)

    headers = property(_headers_slot.__get__, _set_headers)

    @property
    def _cookies(self) -> Any:
        """The jar of this one request."""
        if self.cookies is None:
            self.cookies = CookieJar()
        return self.cookies

    @_cookies.setter
    def _cookies(self, value: Any) -> None:
        self.cookies = value

    def prepare_body(self, data: Any, files: Any = None, json: Any = None) -> None:
        """Make the body; note where its file stands. Arguments as in ``holdfast.PreparedRequest.prepare_body``."""
        super().prepare_body(data, files, json)
        if hasattr(self._shown, "tell"):
            try:
                self._body_position = self._shown.tell()
            except OSError:
                self._body_position = object()  # as in requests: there is a file, and nothing to go back to

    @property
    def body(self) -> Any:
        """The body as requests shows it. A multipart form is bytes: looking at it reads its files."""
        self.read_form()
        return super().body

    @body.setter
    def body(self, value: Any) -> None:
        _body_property.__set__(self, value)

    def read_form(self, at_most: int | None = None) -> None:
        """Read the files of a multipart form into memory, as requests does when it prepares: they may be closed after that.

        Args:
            at_most: bytes; a larger form, or one of unknown length, stays as it is and is sent piece by piece.
        """
        content = self.payload
        if content is not None and content.data is None and (content.content_type or "").startswith("multipart/"):
            if at_most is not None and (content.length is None or content.length > at_most):
                return
            self.payload = BytesBody(b"".join(content.chunks()), content.content_type)
            self._shown = None
            self.prepare_content_length()

    _body_position: Any = None

    def _set_framing(self) -> None:
        """Lengths that make no sense are refused when the request is sent: until then a script may change them, as in requests."""
        try:
            super()._set_framing()
        except InvalidRequest:
            pass  # ``check_framing`` says it again before a byte is sent

    def prepare_auth(self, auth: Any, url: Any = None) -> None:
        """Apply ``auth``. User names and passwords that are no text become it by ``str()``, with a warning, as in requests."""
        if isinstance(auth, tuple) and len(auth) == 2 and not all(isinstance(part, (str, bytes)) for part in auth):
            warnings.warn("user name and password should be str or bytes", DeprecationWarning, stacklevel=2)
            auth = tuple(part if isinstance(part, (str, bytes)) else str(part) for part in auth)
        super().prepare_auth(auth, url)

    def copy(self) -> PreparedRequest:
        """An independent request with the same body object."""
        twin: Any = super().copy()
        twin.__class__ = type(self)
        if self._body_position is not None:
            twin._body_position = self._body_position
        return cast(PreparedRequest, twin)

    def __getstate__(self) -> dict[str, Any]:
        self.read_form()
        return super().__getstate__()


def as_our_request(request: Any) -> core.PreparedRequest:
    """A request that the transport can send: itself, or what it says, if it is another library's or has other headers.

    Raises:
        InvalidRequest: it is no prepared request.
    """
    if isinstance(request, core.PreparedRequest) and isinstance(request.headers, Headers):
        return request
    if isinstance(request, core.PreparedRequest):
        twin = request.copy()
        twin.__class__ = PreparedRequest
        twin.headers = Headers(request.headers)
        return twin
    try:
        made = PreparedRequest()
        made.prepare_method(request.method)
        made.prepare_url(request.url)
        made.prepare_headers(request.headers)
        made.set_body(make_body(request.body))
    except AttributeError as error:
        raise InvalidRequest(f"a PreparedRequest is needed, not a {type(request).__name__}: {error}") from error
    return made


class _OfUrllib3(GivenBody):
    """A body that is read from an object of urllib3's, or one like it; its errors become those that requests has for them."""

    __slots__ = ()

    def read(self, size: int = PIECE) -> bytes:
        """The next piece."""
        try:
            return super().read(size)
        except Exception as error:
            known = {each.__name__ for each in type(error).__mro__ if each.__module__.startswith("urllib3")}
            found = next((made for name, made in _INSTEAD_OF if name in known), None)
            if found is None:
                raise
            raise found(error) from error


_INSTEAD_OF: tuple[tuple[str, type[RequestException]], ...] = (
    ("ProtocolError", ChunkedEncodingError),
    ("DecodeError", ContentDecodingError),
    ("ReadTimeoutError", ConnectionError),
    ("SSLError", SSLError),
)


_SLOTS = tuple(name for name in core_response.Response.__slots__ if not name.startswith("__"))
_own_dict: Any = core_response.Response.__dict__["__dict__"]


class Attributes(dict[str, Any]):
    """The attributes of a response as a dict, which writes them through."""

    def __init__(self, response: Any) -> None:
        self._of = response
        super().__init__(_own_dict.__get__(response))
        for name in (*Response.__attrs__, "raw", "connection", "_content_consumed", "_next"):
            try:
                super().__setitem__(name, getattr(response, name))
            except (AttributeError, RequestException):
                pass  # not set yet

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, value)
        setattr(self._of, name, value)

    def update(self, other: Any = (), /, **more: Any) -> None:
        """Set several. Those of another response are taken over as they are, its body with them."""
        if isinstance(other, Attributes):
            given = other._of
            for name in _SLOTS:
                if hasattr(given, name):
                    setattr(self._of, name, getattr(given, name))
            other = _own_dict.__get__(given)
        for name, value in {**dict(other), **more}.items():
            self[name] = value


class Response(core_response.Response, metaclass=_HoldfastsToo):
    """What the server answered, with requests' private attributes."""

    __slots__ = ()
    _also = core_response.Response
    _raw_type = Raw
    _retries: Any = None  # of its adapter, for ``raw``, which is made when it is asked for

    __attrs__ = [  # noqa: RUF012 - as in requests, where programs add to it
        "_content",
        "status_code",
        "headers",
        "url",
        "history",
        "encoding",
        "reason",
        "cookies",
        "elapsed",
        "request",
    ]

    @property
    def raw(self) -> Any:
        """The body as urllib3's response; may be set to such a one, or to any file."""
        return super().raw

    @raw.setter
    def raw(self, value: Any) -> None:
        self._raw = None
        self._source = None if value is None else _OfUrllib3(value)

    def _load(self) -> bytes:
        return super()._load() if self.status_code != 0 else cast(bytes, None)  # as in requests

    @property
    def _content_consumed(self) -> bool:
        """Whether the body was read, into ``content`` or by iterating."""
        return self._content is not False or isinstance(self._failure, StreamConsumedError)

    @_content_consumed.setter
    def _content_consumed(self, value: bool) -> None:
        self._failure = StreamConsumedError("The content for this response was already consumed") if value else None

    @property
    def __dict__(self) -> Any:
        """All attributes, as in requests, where programs that wrap a response copy them; what is set there is set here."""
        return Attributes(self)

    @__dict__.setter
    def __dict__(self, value: Any) -> None:
        Attributes(self).update(value)

    def __nonzero__(self) -> bool:
        """``bool()``, under the name that Python 2 had for it."""
        return bool(self)

    def _body(self) -> Raw:
        raw: Any = self._raw
        if raw is None:
            raw = super()._body()
            if self.request is not None:
                raw.request_url, raw.request_method = self.request.path_url, self.request.method
            raw.retries = self._retries
        return cast(Raw, raw)


def as_our_response(response: Any) -> Response:
    """The same response with what this module's has beside holdfast's; nothing is copied."""
    if type(response) is core_response.Response:
        response.__class__ = Response
    return cast(Response, response)

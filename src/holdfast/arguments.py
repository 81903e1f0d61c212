"""The arguments of a call by name and type, so that an editor completes them and a type checker knows a wrong one.

Each verb says ``**kwargs: Unpack[…]`` (PEP 692) with the table of what it takes beside the parameters it names itself. What an
argument means is said once, in ``Client.request``; ``tests/typing`` holds that these tables have its parameters, all and no other.

A wrapper completes, too::

    if TYPE_CHECKING:
        from typing_extensions import Unpack
        from holdfast.arguments import RequestOptions

    def fetch(path: str, **options: Unpack[RequestOptions]) -> holdfast.Response:
        return holdfast.request("GET", "https://api.example.org" + path, **options)
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, ParamSpec, Protocol, TypedDict, TypeVar

from .connecting import Cert, Verify
from .message.fields import RawHeaders
from .message.headers import HeaderTypes
from .message.url import Url
from .retries import Retries
from .timeouts import TimeoutTypes

if TYPE_CHECKING:
    from http.cookiejar import CookieJar

    from typing_extensions import Unpack as Unpack
else:
    # get_type_hints() of what is annotated with these works at run time, too, on Python 3.10 without their details.
    CookieJar = Any  # 5 ms of import
    if sys.version_info >= (3, 11):
        from typing import Unpack
    else:
        Unpack = dict

P = ParamSpec("P")
Returned = TypeVar("Returned")


class Unset(Enum):
    """What an argument is that was not given, where None means something."""

    UNSET = False

    def __repr__(self) -> str:
        return "UNSET"

    def __bool__(self) -> bool:
        return False


UNSET: Final = Unset.UNSET


class UrlLike(Protocol):
    """A URL of another library (yarl, furl, pydantic): ``str()`` of it is the URL."""

    @property
    def scheme(self) -> str | None:
        """Such as "https"."""


class Readable(Protocol):
    """A file, or what is read like one."""

    def read(self, size: int, /) -> str | bytes:
        """At most ``size`` bytes; none at the end."""


UrlTypes = str | bytes | Url | UrlLike
ParamTypes = Mapping[Any, Any] | Iterable[tuple[Any, Any]] | str | bytes | None
DataTypes = Mapping[Any, Any] | Iterable[Any] | str | bytes | Readable | None
CookieTypes = Mapping[str, Any] | Iterable[tuple[str, Any]] | CookieJar | None
FileTypes = Mapping[str, Any] | Iterable[tuple[str, Any]] | None
AuthTypes = tuple[str | bytes, str | bytes] | Callable[[Any], Any] | None
ProxyTypes = Mapping[str, str | None] | None
HookTypes = Mapping[str, Any] | None
RetryTypes = Retries | int | None
OnInformational = Callable[[int, RawHeaders], object] | None


class SendOptions(TypedDict, total=False):
    """What ``Client.send`` takes beside the request."""

    timeout: TimeoutTypes
    allow_redirects: bool
    proxies: ProxyTypes
    stream: bool | None
    verify: Verify
    cert: Cert
    retries: RetryTypes
    on_informational: OnInformational


class EveryVerbsOptions(SendOptions, total=False):
    """What the keywords of each verb have in common."""

    headers: HeaderTypes
    cookies: CookieTypes
    files: FileTypes
    auth: AuthTypes
    hooks: HookTypes
    idempotency_key: str | bool | None


class PostOptions(EveryVerbsOptions, total=False):
    """What ``post`` takes beside ``data`` and ``json``."""

    params: ParamTypes


class PutOptions(PostOptions, total=False):
    """What ``put`` and ``patch`` take beside ``data``."""

    json: Any


class GetOptions(EveryVerbsOptions, total=False):
    """What ``get`` takes beside ``params``."""

    data: DataTypes
    json: Any


class EventOptions(EveryVerbsOptions, total=False):
    """What ``events`` takes beside ``params``; see ``EventSource``."""

    last_event_id: str
    max_attempts: int
    pause: float
    max_pause: float
    max_event_bytes: int | None
    sleep: Callable[[float], object] | None


class RequestOptions(PutOptions, total=False):
    """What ``request`` takes beside the method and the URL, and the other verbs beside the URL."""

    data: DataTypes


def taking(like: Callable[P, object]) -> Callable[[Callable[..., Returned]], Callable[P, Returned]]:
    """A decorator: type checkers and editors are told that a function takes what ``like`` takes. The function stays as it is."""
    return lambda function: function

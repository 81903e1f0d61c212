"""What settings mean: a client's defaults, and how what a call says goes over them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ._version import __version__
from .arguments import HookTypes
from .exceptions import InvalidURL
from .message.decoding import accept_encoding
from .message.headers import Headers, HeaderTypes
from .message.url import Url


def default_headers() -> Headers:
    """What a Client sends unless told otherwise. Connection: keep-alive is for HTTP/1.0 servers, and makes Apache send its hint."""
    return Headers(
        {
            "User-Agent": f"holdfast/{__version__}",
            "Accept-Encoding": accept_encoding(),
            "Accept": "*/*",
            "Connection": "keep-alive",
        }
    )


def with_defaults(headers: HeaderTypes) -> Headers:
    """The default fields with the user's over them."""
    merged = default_headers()
    merged.update(headers or {})
    return merged


def checked_base(base_url: str) -> Url:
    """``base_url``, parsed.

    Raises:
        InvalidURL: something is wrong with it, or it has a query or a fragment.
    """
    url = Url.parse(base_url)
    if url.query or url.fragment:
        raise InvalidURL(
            f"base_url {url.safe_text!r} has a query or a fragment, and paths are put behind it: "
            "give what every request's query has as params="
        )
    return url


def merge_params(ours: Any, given: Any) -> Any:
    """A call's ``params`` over the client's: two mappings are merged, and None removes a key."""
    if not ours or not given:
        # A copy: another thread may add to the client's own while its items are being encoded.
        return given or (ours.copy() if isinstance(ours, dict) else ours)
    if isinstance(ours, Mapping) and isinstance(given, Mapping):
        merged = {**ours, **given}
        return {name: value for name, value in merged.items() if value is not None}
    return given


def all_hooks(given: HookTypes) -> dict[str, Any]:
    """A client's hooks: a list for each event.

    Raises:
        ValueError: there is no such event.
    """
    hooks: dict[str, Any] = {"response": []}
    for event, hook in (given or {}).items():
        if event not in hooks:
            raise ValueError(f"there is no hook {event!r}; there is only 'response'")
        hooks[event] = list(hook) if isinstance(hook, Iterable) else [hook]
    return hooks


def merge_hooks(ours: HookTypes, given: HookTypes) -> HookTypes:
    """A call's hooks, or the client's where it has none; None for none at all."""
    if given and given.get("response"):
        return given
    return ours if ours and ours.get("response") else None


def with_idempotency_key(headers: HeaderTypes, key: str | bool) -> Headers:
    """A call's headers with its Idempotency-Key; it is the same whenever the call's requests are sent again.

    Args:
        key: the value, or True for a random UUID.
    """
    import uuid  # 3 ms of import, for the calls that want a key

    merged = Headers(headers)
    merged["Idempotency-Key"] = str(uuid.uuid4()) if key is True else str(key)
    return merged

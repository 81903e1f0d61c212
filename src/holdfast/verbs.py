"""The verbs of a client: each is one call of its ``request``."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from .arguments import DataTypes, GetOptions, ParamTypes, PostOptions, PutOptions, RequestOptions, Unpack, UrlTypes
from .message.response import Response

R = TypeVar("R", bound=Response, covariant=True)


class Requests(Protocol[R]):
    """What has a ``request``: a verb returns what that returns, in a subclass too."""

    def request(self, method: str, url: Any, *args: Any, **kwargs: Any) -> R:  # Any: pyright wants the very same **kwargs
        """Send a request and return the response."""


class Verbs:
    """The seven methods that ``request`` is asked for by name."""

    def get(self: Requests[R], url: UrlTypes, params: ParamTypes = None, **kwargs: Unpack[GetOptions]) -> R:
        """GET. Arguments as in ``request``."""
        return self.request("GET", url, params=params, **kwargs)

    def options(self: Requests[R], url: UrlTypes, **kwargs: Unpack[RequestOptions]) -> R:
        """OPTIONS. Arguments as in ``request``."""
        return self.request("OPTIONS", url, **kwargs)

    def head(self: Requests[R], url: UrlTypes, **kwargs: Unpack[RequestOptions]) -> R:
        """HEAD, without following redirects unless told to. Arguments as in ``request``."""
        kwargs.setdefault("allow_redirects", False)
        return self.request("HEAD", url, **kwargs)

    def post(self: Requests[R], url: UrlTypes, data: DataTypes = None, json: Any = None, **kwargs: Unpack[PostOptions]) -> R:
        """POST. Arguments as in ``request``."""
        return self.request("POST", url, data=data, json=json, **kwargs)

    def put(self: Requests[R], url: UrlTypes, data: DataTypes = None, **kwargs: Unpack[PutOptions]) -> R:
        """PUT. Arguments as in ``request``."""
        return self.request("PUT", url, data=data, **kwargs)

    def patch(self: Requests[R], url: UrlTypes, data: DataTypes = None, **kwargs: Unpack[PutOptions]) -> R:
        """PATCH. Arguments as in ``request``."""
        return self.request("PATCH", url, data=data, **kwargs)

    def delete(self: Requests[R], url: UrlTypes, **kwargs: Unpack[RequestOptions]) -> R:
        """DELETE. Arguments as in ``request``."""
        return self.request("DELETE", url, **kwargs)

"""``api`` as requests has it: the verbs. Each call is one of a new Session, over connections that all such calls share.

A program that replaces ``sessions.Session`` has its own used, for one call each, as in requests. Ours stands on the connections
and the settings of ``holdfast.get`` and its like, so that ``holdfast.configure``, ``stats`` and ``close`` are about them, too.
"""

from __future__ import annotations

from typing import Any

from .. import api as shared
from ..arguments import DataTypes, GetOptions, ParamTypes, PostOptions, PutOptions, RequestOptions, Unpack, UrlTypes
from ..exceptions import ClientClosed
from . import sessions
from .models import Response

__all__ = ["delete", "get", "head", "options", "patch", "post", "put", "request"]


def request(method: str, url: UrlTypes, **kwargs: Unpack[RequestOptions]) -> Response:
    """Send a request. Arguments as in ``Session.request``."""
    if sessions.Session is not sessions.OWN_SESSION:
        with sessions.Session() as replaced:
            return replaced.request(method=method, url=url, **kwargs)
    while True:
        client = shared.shared_client()
        session = sessions.Session.over(client, shared.settings())
        try:
            return session.request(method=method, url=url, **kwargs)
        except ClientClosed as error:
            # Another thread has closed the shared client, or configured another, after this one had taken it.
            if error.may_have_executed or client is shared.shared_client():
                raise


def get(url: UrlTypes, params: ParamTypes = None, **kwargs: Unpack[GetOptions]) -> Response:
    """GET. Arguments as in ``Session.request``."""
    return request("get", url, params=params, **kwargs)


def options(url: UrlTypes, **kwargs: Unpack[RequestOptions]) -> Response:
    """OPTIONS. Arguments as in ``Session.request``."""
    return request("options", url, **kwargs)


def head(url: UrlTypes, **kwargs: Unpack[RequestOptions]) -> Response:
    """HEAD, without following redirects unless told to. Arguments as in ``Session.request``."""
    kwargs.setdefault("allow_redirects", False)
    return request("head", url, **kwargs)


def post(url: UrlTypes, data: DataTypes = None, json: Any = None, **kwargs: Unpack[PostOptions]) -> Response:
    """POST. Arguments as in ``Session.request``."""
    return request("post", url, data=data, json=json, **kwargs)


def put(url: UrlTypes, data: DataTypes = None, **kwargs: Unpack[PutOptions]) -> Response:
    """PUT. Arguments as in ``Session.request``."""
    return request("put", url, data=data, **kwargs)


def patch(url: UrlTypes, data: DataTypes = None, **kwargs: Unpack[PutOptions]) -> Response:
    """PATCH. Arguments as in ``Session.request``."""
    return request("patch", url, data=data, **kwargs)


def delete(url: UrlTypes, **kwargs: Unpack[RequestOptions]) -> Response:
    """DELETE. Arguments as in ``Session.request``."""
    return request("delete", url, **kwargs)

"""What requests' ``data=``, ``json=`` and ``files=`` mean: the Body that a request with these arguments has.

==================================  ==========================================================================
the arguments                       the body
==================================  ==========================================================================
``files``                           multipart/form-data, ``data`` being its fields
``data``: bytes, str                as it is, str in UTF-8
``data``: a dict, pairs             application/x-www-form-urlencoded
``data``: a list of bytes           its items, one after the other
``data``: a file, an iterable       what it gives, read while it is sent
``json``, and neither of the two    JSON
==================================  ==========================================================================
"""

from __future__ import annotations

import json as _json
from collections.abc import Iterable, Mapping
from typing import Any

from ..exceptions import InvalidJSONError, InvalidRequest
from .body import Body, BytesBody, PiecesBody, form_pairs, stream_body
from .pieces import as_bytes

FORM = "application/x-www-form-urlencoded"

# One encoder for all: json.dumps() builds a new one at every call that changes a default.
_dump_json = _json.JSONEncoder(allow_nan=False).encode


def make_body(data: Any = None, json: Any = None, files: Any = None) -> Body | None:
    """The Body that requests' ``data=``, ``json=`` and ``files=`` mean together, or None for no body.

    ``files`` makes a multipart form, with ``data`` as its fields; ``json`` counts only if there is neither a file
    nor any data; everything else is ``data``: bytes and str as they are (str in UTF-8), a dict or a list of pairs
    as a form, a list of bytes, a file, or an iterable of bytes.

    Raises:
        InvalidRequest: ``data`` is of a kind that has no bytes, is str together with ``files``, or a closed file.
        InvalidJSONError: ``json`` holds NaN, Infinity or a circle.
        TypeError: ``json`` holds an object that the json module cannot write.
        NotImplementedError: ``files`` together with a streamed ``data``.
        UnrewindableBodyError: ``data`` is a generator that has ended.
    """
    if files:
        from .multipart import MultipartBody

        return MultipartBody(_form_fields_only(data), files)
    if _is_nothing(data):
        return None if json is None else _json_body(json)
    return _data_body(data)


def _is_nothing(data: Any) -> bool:
    # Not just `not data`: the truth of an array is an error, that of a file or an empty-looking stream means nothing.
    return data is None or (isinstance(data, (str, bytes, bytearray, list, tuple, Mapping)) and not data)


def _form_fields_only(data: Any) -> Any:
    if isinstance(data, (str, bytes)):
        raise InvalidRequest("Data must not be a string. With files=, data= is the form's fields: a dict or pairs")
    if data is None or isinstance(data, (list, tuple, Mapping)):
        return data
    raise NotImplementedError("Streamed bodies and files are mutually exclusive.")


def _json_body(value: Any) -> Body:
    try:
        text = _dump_json(value)
    except ValueError as error:
        raise InvalidJSONError(f"json= has no JSON form: {error}") from error
    return BytesBody(text.encode("ascii"), "application/json")


def _data_body(data: Any) -> Body:
    if isinstance(data, (str, bytes, bytearray, memoryview)):
        return BytesBody(as_bytes(data))
    if isinstance(data, Mapping):
        return _form_body(data.items())
    if isinstance(data, (list, tuple)):
        return _list_body(data)
    return stream_body(data)


def _list_body(data: list[Any] | tuple[Any, ...]) -> Body:
    if isinstance(data[0], (bytes, bytearray, memoryview)):
        return PiecesBody(data)
    return _form_body(data)


def _form_body(pairs: Iterable[Any]) -> Body:
    from urllib.parse import urlencode  # 2 ms of import

    return BytesBody(urlencode(list(form_pairs(pairs)), doseq=True).encode("ascii"), FORM)

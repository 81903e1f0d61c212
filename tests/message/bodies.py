"""Request bodies made by hand, for the tests of what they give."""


from __future__ import annotations

from typing import Any

from holdfast.message.body import Body
from holdfast.message.content import make_body


def made(data: Any = None, **kw: Any) -> Body:
    body = make_body(data, **kw)
    assert body is not None
    return body


def sent(body: Body) -> bytes:
    return b"".join(body.chunks())

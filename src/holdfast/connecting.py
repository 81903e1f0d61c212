"""The types of what a program says of its connections: whom to trust, and how to come from a name to an address.

They are here so that a client's arguments are known before anything is loaded that connects.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from ssl import SSLContext

    from .message.address import DialAddress
else:
    # Each costs 5 ms of import; get_type_hints() of what is annotated with these works at run time, too.
    DialAddress = SSLContext = Any

Path: TypeAlias = str | os.PathLike[str]
Authorities: TypeAlias = bool | Path | tuple[str, ...] | SSLContext
"""certifi's (True), none (False), those of the file or directory at a path, or of several; or a context with its own."""

Verify: TypeAlias = Authorities | None
Cert: TypeAlias = Path | tuple[Path, Path] | tuple[Path, Path, str] | None
Resolver: TypeAlias = Callable[[str, int], Iterable[Any] | None]
AllowAddress: TypeAlias = Callable[[DialAddress], bool]

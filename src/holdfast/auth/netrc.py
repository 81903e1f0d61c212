"""What the user's netrc file says: the credentials for a host, read again when the file has changed."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..environment import watch

if TYPE_CHECKING:
    from ..message.url import Url

_Entries = dict[str, tuple[str, str]]
_netrc_cache: tuple[Any, _Entries] | None = None


class Netrc:
    """The user's netrc, for one client.

    Attributes:
        seen: what ``netrc_stamp`` says, asked again once a second at most, or at once when ``NETRC`` has changed.
    """

    __slots__ = ("seen",)

    def __init__(self, clock: Callable[[], float]) -> None:
        self.seen: Callable[[], Any] = watch(netrc_stamp, "NETRC", clock)

    def credentials(self, url: Url) -> tuple[str, str] | None:
        """User name and password for the URL's host, or None; see ``netrc_auth``."""
        return None if self.seen() is None else netrc_auth(url)


def netrc_auth(url: Url) -> tuple[str, str] | None:
    """User name and password that netrc has for the URL's host, or None.

    The file is ``$NETRC``, which may be empty to name none; else ``~/.netrc``, else ``~/_netrc``. It is read again when it has
    changed. The host has to be the very one, in any case; else the ``default`` entry counts. A file that cannot be read is as
    good as none, and so is a FIFO or a device. If the URL names a user, only that user's password is given.
    """
    entries = _netrc_entries()
    found = entries.get(url.host) or entries.get("")
    if found is None or not any(found) or (url.username is not None and url.username != found[0]):
        return None
    return found


def netrc_stamp() -> tuple[str, int, int, int] | None:
    """What differs when netrc has changed, or is another file; None if there is none. Costs a few system calls."""
    path = _netrc_path()
    if path is None:
        return None
    try:
        status = os.stat(path)
    except OSError:
        return None
    return (path, status.st_mtime_ns, status.st_size, status.st_ino)


def _netrc_entries() -> _Entries:
    global _netrc_cache
    stamp = netrc_stamp()
    if stamp is None:
        return {}
    # One look and one store, so that a thread has what belongs to its stamp, whatever others read meanwhile.
    cached = _netrc_cache
    if cached is None or cached[0] != stamp:
        cached = _netrc_cache = (stamp, _read_netrc(stamp[0]))
    return cached[1]


def _netrc_path() -> str | None:
    given = os.environ.get("NETRC")
    for name in (given,) if given is not None else ("~/.netrc", "~/_netrc"):
        path = os.path.expanduser(name)
        if os.path.exists(path):
            return path
    return None


def _read_netrc(path: str) -> _Entries:
    import netrc

    try:
        require_regular(path)
        hosts = netrc.netrc(path).hosts
    except (OSError, UnicodeDecodeError, netrc.NetrcParseError) as error:
        _complain(path, error)
        return {}
    entries: _Entries = {}
    for host, (login, account, password) in hosts.items():
        entries["" if host == "default" else host.lower()] = (login or account or "", password or "")
    return entries


def require_regular(path: str) -> None:
    """Raise OSError for a path that may have no end: a FIFO to which nothing is written, a terminal, ``/dev/zero``.

    Allowed are ``/dev/null``, by which users tell programs that there is no netrc, and directories, which fail to open.
    """
    mode = os.stat(path).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or os.path.samefile(path, os.devnull)):
        raise OSError(errno.EINVAL, "not a regular file", path)


def _complain(path: str, error: Exception) -> None:
    import logging

    # Without the parser's own words: they quote what it stumbled over, which may be a password.
    line = getattr(error, "lineno", None)
    where = path if line is None else f"{path}, line {line}"
    what = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
    logging.getLogger("holdfast.auth").warning("netrc is not used: %s: %s", where, what)

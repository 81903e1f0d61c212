"""``urllib3.util.timeout``: connect and read timeouts in one object."""

from __future__ import annotations

__all__ = ["Timeout"]


class Timeout:
    """Seconds to connect and to wait for an answer.

    Args:
        total: for each of the two that is not given.
        connect, read: None for no bound.
    """

    def __init__(self, total: float | None = None, connect: float | None = None, read: float | None = None) -> None:
        self.total = total
        self.connect_timeout = total if connect is None else connect
        self.read_timeout = total if read is None else read

    def __repr__(self) -> str:
        return f"Timeout(connect={self.connect_timeout!r}, read={self.read_timeout!r}, total={self.total!r})"

"""Bytes to and from a stream by one deadline, however slowly they drip: what handshakes before HTTP are made of."""

from __future__ import annotations

from collections.abc import Callable

from .protocols import ByteStream


class Bounded:
    """A stream whose every wait ends at one moment.

    Args:
        until: that moment, on ``clock``; None for none.
        clock: seconds, monotonic.
    """

    def __init__(self, stream: ByteStream, until: float | None, clock: Callable[[], float]) -> None:
        self._stream = stream
        self._until = until
        self._clock = clock
        self._received = b""

    def send(self, data: bytes) -> None:
        """Send it all.

        Raises:
            TimeoutError: the moment came first.
            OSError: the connection broke.
        """
        rest = memoryview(data)
        while rest:
            sent = self._stream.write_some(rest)
            if not sent:
                self._stream.wait_writable_or_readable(self._left())
            rest = rest[sent:]

    def receive(self) -> bytes:
        """What comes next, at least one byte; ``b""`` at end of file. Raises as ``send`` does."""
        data, self._received = self._received, b""
        return data or self._stream.read(self._left())

    def receive_exactly(self, size: int) -> bytes:
        """The next ``size`` bytes; what came with them is kept. Raises as ``send`` does.

        Raises:
            EOFError: the stream ended before that; its argument is what had come.
        """
        while len(self._received) < size:
            data = self._stream.read(self._left())
            if not data:
                raise EOFError(self._received)
            self._received += data
        data, self._received = self._received[:size], self._received[size:]
        return data

    @property
    def left_over(self) -> bytes:
        """What was received and not yet taken."""
        return self._received

    def _left(self) -> float | None:
        if self._until is None:
            return None
        left = self._until - self._clock()
        if left <= 0:
            raise TimeoutError("no time is left")
        return left

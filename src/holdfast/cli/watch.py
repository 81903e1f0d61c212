"""Waiting for a server to end idle connections, all at once: how long it keeps them, and how it ends them.

Each watched connection has one role:

======= ==========================================================================================
idle    answered one request, then stays silent until the server ends it
aged    the same, but at its age one more request is sent: does it still arrive?
silent  never sends a byte (over TLS: nothing after the handshake)
======= ==========================================================================================

A server's FIN does not come through a firewall or NAT that has forgotten the connection, so waiting alone would take such a drop
for a patient server. The aged ones tell the two apart.

Time comes from the clock that is given; ``step`` waits in the kernel for at most as long as it is told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from .probe import Clock, Connection, Ending, readable

IDLE, AGED, SILENT = "idle", "aged", "silent"
TICK = 0.25  # seconds between two reports of progress
PATIENCE = 3.0  # seconds that an aged connection's request may stay unacknowledged


@dataclass
class Watched:
    """One watched connection, and what became of it.

    Attributes:
        role: IDLE, AGED or SILENT.
        due: the age at which an AGED one is used again; None for the others.
        seconds: how old it was (since its last use) when the server ended it, or when it was used; None while it waits.
        ending: how the server ended it.
        use: of an AGED one that was used: "answered", "reset", "closed", "silence", "acknowledged, not answered".
    """

    connection: Connection
    role: str
    due: float | None = None
    seconds: float | None = None
    ending: Ending | None = None
    use: str = ""

    @property
    def over(self) -> bool:
        """Whether nothing more is to be learned from it."""
        return self.seconds is not None


def roles(count: int, longest: float) -> list[tuple[str, float | None]]:
    """What ``count`` connections are for, the most telling first: (role, age in seconds at which it is used)."""
    ages = [round(longest * share, 1) for share in (0.9, 0.5, 0.25, 0.125)]
    plan: list[tuple[str, float | None]] = [(IDLE, None), (SILENT, None), (AGED, ages[0]), (IDLE, None), (AGED, ages[1])]
    plan += [(IDLE, None), (AGED, ages[2]), (AGED, ages[3])]
    return plan[:count]


@dataclass
class Watch:
    """The connections that are waited for, until ``until`` on ``clock``."""

    clock: Clock
    until: float
    method: str = "GET"
    watched: list[Watched] = field(default_factory=list)

    @property
    def waiting(self) -> list[Watched]:
        """Those that are still open and silent."""
        return [each for each in self.watched if not each.over]

    @property
    def over(self) -> bool:
        """Whether all is known, or time is up."""
        return not self.waiting or self.clock() >= self.until

    def run(self, progress: Callable[[Watch], object]) -> None:
        """Wait to the end; ``progress`` is called about four times a second."""
        while not self.over:
            progress(self)
            self.step(self._next())

    def _next(self) -> float:
        now = self.clock()
        ages = [each.connection.used + each.due - now for each in self.waiting if each.due is not None]
        return max(0.0, min([TICK, self.until - now, *ages]))

    def step(self, seconds: float) -> None:
        """Wait at most ``seconds`` for something to happen, and note it."""
        by_descriptor = {each.connection.fileno(): each for each in self.waiting}
        for descriptor in readable(by_descriptor, seconds):
            self._ended(by_descriptor[descriptor])
        for each in self.waiting:
            if each.due is not None and self.clock() >= each.connection.used + each.due:
                self._use(each)

    def _ended(self, each: Watched) -> None:
        now = self.clock()
        each.ending = each.connection.look()
        if each.ending is not None:
            each.seconds = now - each.connection.used
            each.connection.close()

    def _use(self, each: Watched) -> None:
        each.seconds = self.clock() - each.connection.used
        each.use = each.connection.delivered(self.method, min(PATIENCE, max(0.1, self.until - self.clock())))
        each.connection.close()

    def close(self) -> None:
        """Close what is still open."""
        for each in self.watched:
            each.connection.close()


@dataclass(frozen=True)
class Idle:
    """How long the server keeps a connection of one role.

    Attributes:
        least, most: seconds at which connections were ended by the server; None if none was.
        endings: how, each way once.
        open_after: seconds for which one was seen open at least.
    """

    least: float | None = None
    most: float | None = None
    endings: tuple[str, ...] = ()
    open_after: float = 0.0


def idle_of(watched: list[Watched], role: str, now: float) -> Idle:
    """What the connections of a role (an aged one that was ended before its age counts as idle) say together."""
    wanted = (IDLE, AGED) if role == IDLE else (role,)
    group = [each for each in watched if each.role in wanted]
    ended = [each for each in group if each.ending is not None and each.seconds is not None]
    times = [each.seconds for each in ended if each.seconds is not None]
    ages = [now - each.connection.used for each in group if not each.over]
    ages += [each.seconds for each in group if each.use == "answered" and each.seconds is not None]
    return Idle(
        min(times, default=None),
        max(times, default=None),
        tuple(dict.fromkeys(str(each.ending) for each in ended)),
        max(ages, default=0.0),
    )


@dataclass(frozen=True)
class Drop:
    """Whether something on the way forgets silent connections.

    Attributes:
        alive_after: the longest silence after which a request was answered; None if none was tried.
        lost_after: the shortest silence after which nothing was acknowledged, or the path answered with a reset; None if none.
        how: "silence" or "reset"; "" without a loss.
    """

    alive_after: float | None = None
    lost_after: float | None = None
    how: str = ""


def drop_of(watched: list[Watched]) -> Drop:
    """What the aged connections that were used say together."""
    used = [each for each in watched if each.use and each.seconds is not None]
    alive = [each.seconds for each in used if each.use in ("answered", "acknowledged, not answered") and each.seconds is not None]
    lost = [(each.seconds, each.use) for each in used if each.use in ("silence", "reset") and each.seconds is not None]
    first = min(lost, default=(None, ""))
    return Drop(max(alive, default=None), *first)

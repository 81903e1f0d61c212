"""Learning when the other end closes: after so many seconds of idleness, or after so many uses. Pure: no clock, no lock.

A peer that closes an idle connection says so with a FIN, and what is sent at that moment crosses it. Where nothing in between
acknowledges for the peer, the kernel can prove that it was not delivered; behind a relay, a load balancer or a proxy it cannot.
What is left is not to be there: each origin remembers what its connections went through (``Learned``), and a use that cannot be
repeated keeps clear of it.

What an origin believes is one number, and it is weighed against what each idle period of each connection shows once:

================================================= ====================================================================
what was seen, against the number believed        what is believed then
================================================= ====================================================================
ended, and nothing was believed                   what was seen: the second meeting is to go well
ended, at less                                    what was seen: the least counts
ended, at the same, or up to ``scatter`` of it    a 32nd of the way to what was seen; confirmed
alive, at no more                                 the same
alive, at more, up to ``scatter`` times as much   a 32nd of the way to what was seen
alive at much more, fewer than five times on end  the same
alive at much more, the fifth time on end         nothing: it was a restart, or the setting was raised
ended, at much more                               counts as alive; the fifth time on end: what was seen
================================================= ====================================================================

Why these numbers. Of 40 servers measured, those with the widest scatter close between 2.0 and 3.0 s, 8.8 and 12.0 s, 120 and 150 s:
never is one close twice as late as another, so ``IDLE_SCATTER`` is 2. With a 32nd, what is believed of such a server settles a
seventh of its range above its earliest close, which the margin of ``keep_for`` covers. Five witnesses on end are what a restart
leaves within moments, because every connection opened after it lives on, and what chance hardly brings where half the servers
behind one name close early.

An end within ``AT_ONCE_SECONDS`` of the last use is not about idleness: the peer closes after so many uses, perhaps after each.
Such a number is believed when two connections on end have shown the same, and none was used more often in between: a restart
ends busy connections at once, after whatever use it was.
"""

from __future__ import annotations

from .._values import NamedTuple

AT_ONCE_SECONDS = 0.1  # of idleness, within which an end has to do with the last use
FOUND_LATE_SECONDS = 1.5  # likewise, where so many uses were the last before: the keeper thread looks once a second
IDLE_SCATTER = 2.0
USES_SCATTER = 1.0  # a server that counts uses counts them exactly
WITNESSES = 5  # on end, that what is believed is wrong
DRAWN = 1 / 32
WORTH_TELLING = 0.1  # of change, as a share


class Belief(NamedTuple):
    """A number at which the other end is believed to close, and how often on end that has proved wrong.

    Attributes:
        value: None: nothing is believed.
        against: witnesses on end.
    """

    value: float | None = None
    against: int = 0


def weigh(belief: Belief, seen: float, ended: bool, scatter: float) -> Belief:
    """What is believed after a connection was seen, ended or alive, at ``seen``. The table is in the module's docstring."""
    value, against = belief
    if value is None:
        return Belief(seen) if ended else belief
    if ended and seen < value:
        return Belief(seen)
    if seen <= value:
        return Belief(value) if ended else belief
    if seen <= value * scatter:
        return Belief(value + (seen - value) * DRAWN, 0 if ended else against)
    if against + 1 < WITNESSES:
        return Belief(value, against + 1)
    return Belief(seen if ended else None)


def keep_for(timeout: float) -> float:
    """Seconds to keep a connection whose other end closes after ``timeout`` seconds idle, as it has said or as was learned.

    A quarter less, at most a second, but never less than a tenth: the other end's clock started earlier than ours.
    """
    return timeout - max(0.1 * timeout, min(1.0, 0.25 * timeout))


class Learned:
    """What one origin has shown of when it closes. Two beliefs; guarded by the pool's lock.

    Attributes:
        idle: seconds of idleness after which it closes.
        uses: after which it closes.
        suspected: uses after which one connection has ended at once; believed when the next one does.
    """

    __slots__ = ("idle", "suspected", "told_idle", "told_uses", "uses")

    def __init__(self) -> None:
        self.idle = Belief()
        self.uses = Belief()
        self.suspected: int | None = None
        self.told_idle: float | None = None
        self.told_uses: float | None = None

    def ended(self, idle: float, uses: int) -> None:
        """A connection that had been used ``uses`` times was found ended, or ended under the next use, ``idle`` seconds later."""
        most = self.uses.value
        if idle >= (FOUND_LATE_SECONDS if uses == most or uses == self.suspected else AT_ONCE_SECONDS):
            self.idle = weigh(self.idle, idle, True, IDLE_SCATTER)
        elif (most is None or uses < most) and uses != self.suspected:
            self.suspected = uses
        else:
            self.uses = weigh(self.uses, uses, True, USES_SCATTER)
            self.suspected = None

    def lived(self, idle: float, uses: int) -> None:
        """A connection that had been used ``uses`` times was seen to be alive ``idle`` seconds later."""
        self.idle = weigh(self.idle, idle, False, IDLE_SCATTER)
        if idle >= AT_ONCE_SECONDS:
            self._outlived(uses + 1)

    def served(self, idle: float, uses: int) -> bool:
        """A connection that had been idle for so long went through its ``uses``-th use; whether that changed a belief."""
        most_idle, most_uses, suspected = self.idle.value, self.uses.value, self.suspected
        if (
            (most_idle is None or idle <= most_idle)
            and (most_uses is None or uses <= most_uses)
            and (suspected is None or uses <= suspected)
        ):
            return False
        self.idle = weigh(self.idle, idle, False, IDLE_SCATTER)
        self._outlived(uses)
        return True

    def _outlived(self, uses: int) -> None:
        """No end has come before the ``uses``-th use."""
        self.uses = weigh(self.uses, uses, False, USES_SCATTER)
        if self.suspected is not None and uses > self.suspected:
            self.suspected = None

    def refuted_by(self, idle: float, uses: int) -> bool:
        """Whether such a connection, if it is alive, is a witness that something believed is wrong."""
        most_idle = self.idle.value
        most_uses = self.uses.value if self.suspected is None else self.suspected  # the lesser of the two, if both are there
        return (most_idle is not None and idle > IDLE_SCATTER * most_idle) or (
            most_uses is not None and uses >= most_uses and idle >= AT_ONCE_SECONDS
        )

    def trusts(self, idle: float, uses: int) -> bool:
        """Whether a connection used ``uses`` times and idle for so long is well clear of what is believed."""
        most_idle, most_uses = self.idle.value, self.uses.value
        return (most_idle is None or idle < keep_for(most_idle)) and (most_uses is None or uses < most_uses)

    @property
    def empty(self) -> bool:
        """Whether nothing is believed or suspected."""
        return self.idle.value is None and self.uses.value is None and self.suspected is None

    def news(self) -> tuple[str, float | None, str] | None:
        """(reason, seconds, text) if what is believed differs from what was told last by enough to be told."""
        idle, uses = self.idle.value, self.uses.value
        if _differ(uses, self.told_uses):
            self.told_uses = uses
            text = "does not close after so many uses, after all" if uses is None else f"closes after {_times(uses)}"
            return "uses", None, f"the other end {text}"
        if _differ(idle, self.told_idle):
            self.told_idle = idle
            text = "keeps idle connections for longer, after all" if idle is None else f"closes after {idle:.2f} s of idleness"
            return "idle", idle, f"the other end {text}"
        return None


NOTHING_LEARNED = Learned()
"""What an origin has shown whose connections have never ended by themselves. Not to be changed."""


def _differ(now: float | None, before: float | None) -> bool:
    if now is None or before is None:
        return now is not before
    return abs(now - before) > WORTH_TELLING * before


def _times(uses: float) -> str:
    return "one use" if uses == 1 else f"{uses:.0f} uses"

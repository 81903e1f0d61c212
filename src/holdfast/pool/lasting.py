"""Lasting: whether the connections of an origin outlive a use. Looked for once, before the first reuse that cannot be repeated.

A peer that closes after each answer without saying so sends its FIN right behind the answer, and the next use may be quicker than
the FIN. What ``Learned`` believes of such a peer takes two ends. Until then a use that cannot be repeated waits a little for the
FIN, unless one of the origin's connections is known to have outlived a use:

* it has been used twice already;
* it is fit although it has been idle for LASTED_SECONDS;
* the longer look has found it fit.

One fact per origin, ``Origin.lasting``. An end within moments of a use takes it back, and the next such use looks again.
"""

from __future__ import annotations

from collections.abc import Callable

from ..reasons import Discard
from .entries import K, Lease, R

LASTED_SECONDS = 0.05  # a FIN that belongs to an answer comes within 1 ms, on a machine that has other work within a few


def look_longer(lease: Lease[K, R], look: Callable[[R], Discard | None] | None) -> Discard | None:
    """None if a connection that has just passed its probe is fit for a use that cannot be repeated, else why not.

    Without the pool's lock, since ``look`` waits. Two threads may look at once; what either of them notes is true of its own
    connection, and costs the other one look more or less.
    """
    held = lease.held
    if look is None or held is None or held.origin.lasting or held.uses == 1:
        return None  # uses counts this one: a connection opened ahead of need has no answer behind it
    lasted = held.uses > 2 or (lease.idle or 0.0) >= LASTED_SECONDS
    verdict = None if lasted else look(lease.resource)
    held.origin.lasting = verdict is None
    return verdict

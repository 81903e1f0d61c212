"""What ends teach: the rule by itself. No pool, no clock."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from holdfast.pool.learning import WITNESSES, Belief, Learned, keep_for, weigh

NOTHING = Belief()
OF_16 = Belief(16.0)


@pytest.mark.parametrize(
    ("before", "seen", "ended", "after"),
    [
        (NOTHING, 5.0, True, Belief(5.0)),
        (NOTHING, 5.0, False, NOTHING),
        (OF_16, 5.0, True, Belief(5.0)),
        (Belief(16.0, 3), 5.0, True, Belief(5.0)),
        (Belief(16.0, 3), 16.0, True, Belief(16.0)),
        (Belief(16.0, 3), 32.0, True, Belief(16.5)),
        (Belief(16.0, 3), 16.0, False, Belief(16.0, 3)),
        (Belief(16.0, 3), 1.0, False, Belief(16.0, 3)),
        (Belief(16.0, 3), 32.0, False, Belief(16.5, 3)),
        (OF_16, 33.0, False, Belief(16.0, 1)),
        (OF_16, 33.0, True, Belief(16.0, 1)),
        (Belief(16.0, WITNESSES - 1), 33.0, False, NOTHING),
        (Belief(16.0, WITNESSES - 1), 33.0, True, Belief(33.0)),
    ],
)
def test_each_row_of_the_table(before: Belief, seen: float, ended: bool, after: Belief) -> None:
    assert weigh(before, seen, ended, 2.0) == after


def test_uses_are_counted_exactly() -> None:
    assert weigh(Belief(100.0), 101, False, 1.0) == Belief(100.0, 1)
    assert weigh(Belief(100.0, 4), 100, True, 1.0) == Belief(100.0)


@pytest.mark.parametrize(("earliest", "latest"), [(2.0, 3.0), (8.8, 12.0), (5.2, 6.4), (120.0, 150.0), (1.0, 1.0)])
def test_of_a_server_that_scatters_the_earliest_closes_are_kept_clear_of(earliest: float, latest: float) -> None:
    """gunicorn, bun, lighttpd, waitress, starman."""
    chance = random.Random(0)
    learned = Learned()
    learned.ended(chance.uniform(earliest, latest), 1)
    met = 0
    for _ in range(5000):
        end = chance.uniform(earliest, latest)
        met += learned.trusts(end, 1)  # the use that is most at risk: at the very moment of the close
        learned.ended(end, 1)

    assert met <= 5
    assert learned.trusts(0.6 * earliest, 1)


def test_a_server_whose_setting_was_raised_a_little_is_believed_slowly_and_one_whose_was_raised_much_soon() -> None:
    little, much = Learned(), Learned()
    little.ended(5.0, 1)
    much.ended(5.0, 1)
    for _ in range(32):
        little.ended(8.0, 1)
    for _ in range(WITNESSES):
        much.lived(11.0, 1)

    assert little.idle.value == pytest.approx(6.9, abs=0.1)
    assert much.empty


def test_an_end_at_once_is_about_uses_and_any_other_about_idleness() -> None:
    learned = Learned()
    learned.ended(0.0002, 1)
    assert (learned.idle, learned.uses, learned.suspected) == (NOTHING, NOTHING, 1)
    learned.ended(0.7, 1)  # the keeper thread's look came late: it ended after as many uses as the one before
    assert (learned.idle, learned.uses) == (NOTHING, Belief(1))
    learned.ended(0.7, 1)
    assert (learned.idle, learned.uses) == (NOTHING, Belief(1))

    learned.ended(0.7, 3)
    learned.ended(2.0, 1)
    assert learned.idle.value == 0.7
    assert learned.uses == Belief(1)


def test_ends_of_busy_connections_say_something_if_two_say_the_same() -> None:
    learned = Learned()
    for uses in (137, 4, 78, 3000):
        learned.ended(0.0, uses)
    assert learned.uses == NOTHING
    learned.ended(0.0, 100)
    assert learned.served(0.0, 100) is False
    learned.ended(0.0, 100)
    assert learned.uses == Belief(100)
    learned.ended(0.0, 7)
    assert learned.uses == Belief(100)


@pytest.mark.parametrize("alive", [lambda learned: learned.served(0.0, 101), lambda learned: learned.lived(0.2, 100)])
def test_a_suspicion_ends_with_a_connection_that_was_used_more_often(alive: Callable[[Learned], object]) -> None:
    learned = Learned()
    learned.ended(0.0, 100)
    assert learned.refuted_by(0.2, 100)
    assert not learned.refuted_by(0.05, 100)
    alive(learned)
    assert learned.empty


def test_news_are_told_when_there_are_some() -> None:
    learned = Learned()
    assert learned.news() is None
    learned.ended(5.0, 7)
    assert learned.news() == ("idle", 5.0, "the other end closes after 5.00 s of idleness")
    learned.ended(4.9, 7)
    assert learned.news() is None
    learned.ended(0.0, 1)
    assert learned.news() is None
    learned.ended(0.0, 1)
    assert learned.news() == ("uses", None, "the other end closes after one use")
    for _ in range(WITNESSES):
        learned.lived(30.0, 8)
    assert learned.news() == ("uses", None, "the other end does not close after so many uses, after all")
    assert learned.news() == ("idle", None, "the other end keeps idle connections for longer, after all")
    assert learned.empty


def test_the_margin_is_that_of_the_servers_own_hints() -> None:
    assert [keep_for(seconds) for seconds in (1, 5, 60)] == [0.75, 4, 54]

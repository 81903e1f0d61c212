"""``1 connection``, ``2 connections``: a number and what it counts, for messages."""

from __future__ import annotations


def number_of(number: int, singular: str, plural: str = "", form: str = "") -> str:
    """The number and the noun in its right form.

    Args:
        singular: of one; more words may stand beside the noun.
        plural: of any other number. Default: ``singular`` with an ``s``.
        form: how the number is written, as in ``format``.
    """
    return f"{number:{form}} {singular if number == 1 else plural or singular + 's'}"

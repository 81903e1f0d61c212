"""What pytest is given where holdfast is installed: the fixtures of ``holdfast.testing``.

pytest imports this module for every program, before it reads a program's own conftest.py. It therefore stands beside the package
and not in it: holdfast is imported by the first test that asks for a fixture, and by no other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from holdfast.testing import Fake


@pytest.fixture
def holdfast_fake() -> Iterator[Fake]:
    """A ``holdfast.testing.Fake`` for the length of the test: no call of holdfast's leaves the process."""
    from holdfast.testing import Fake

    with Fake() as fake:
        yield fake

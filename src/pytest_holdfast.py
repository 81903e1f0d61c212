"""What pytest is given where holdfast is installed: the fixtures of ``holdfast.testing``.

pytest imports this module for every program, before it reads a program's own conftest.py. It therefore stands beside the package
and not in it: holdfast is imported by the first test that asks for a fixture, and by no other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from holdfast.testing import Fake, Server


@pytest.fixture
def holdfast_fake() -> Iterator[Fake]:
    """A ``holdfast.testing.Fake`` for the length of the test: no call of holdfast's leaves the process."""
    from holdfast.testing import Fake

    with Fake() as fake:
        yield fake


@pytest.fixture
def holdfast_server() -> Iterator[Server]:
    """A ``holdfast.testing.Server`` on loopback for the length of the test; it echoes until the test sets its ``script``."""
    from holdfast.testing import Server

    with Server() as server:
        yield server


@pytest.fixture
def holdfast_tls_server() -> Iterator[Server]:
    """As ``holdfast_server``, over TLS: clients verify it against ``server.ca_path``. It needs the extra ``testing`` (trustme)."""
    from holdfast.testing import Server

    with Server(tls=True) as server:
        yield server

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


_error = pytest.StashKey[BaseException]()
"""What a test has failed by, from its end to that of its Fake: the Fake does not say again what the test's own failure says."""


def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Remember it, of tests that have a Fake."""
    if call.when == "call" and call.excinfo is not None and "holdfast_fake" in getattr(item, "fixturenames", ()):
        item.stash[_error] = call.excinfo.value


@pytest.fixture
def holdfast_fake(request: pytest.FixtureRequest) -> Iterator[Fake]:
    """A ``holdfast.testing.Fake`` for the length of the test: no call of holdfast's leaves the process."""
    from holdfast.testing import Fake

    fake = Fake()
    fake.__enter__()
    yield fake
    stash = request.node.stash
    error = stash.get(_error, None)
    fake.__exit__(None if error is None else type(error), error, None)
    if error is not None:
        del stash[_error]  # with its traceback, which has the test's variables
        fake.check(error)


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

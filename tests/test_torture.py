"""Whatever primitive fails, and wherever Ctrl-C strikes, nothing is lost: a sample; ``python -m benchmarks chaos`` does it all."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator

import pytest

from tests.conftest import Tls
from tests.server import Server
from tests.torture import ALL_KINDS, KINDS, SCENARIOS, Saboteur, Teller, Torture, Tracer, sample

SEED = 20261120
CALLS, LINES = 6, 9  # injections per scenario


@pytest.fixture(scope="module")
def running(tls: Tls) -> Iterator[Torture]:
    teller = Teller()
    with Server(teller) as plain, Server(teller, tls=tls.server_context()) as secure:
        yield Torture(teller, plain, secure, tls.client_context())


@pytest.fixture
def torture(running: Torture) -> Iterator[Torture]:
    running.findings.violations.clear()
    with running.ready():
        yield running


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_primitive_that_fails_costs_no_slot_no_descriptor_and_no_lock(torture: Torture, name: str) -> None:
    dice = random.Random(SEED)
    count = torture.count_calls(name)

    for at in sample(count, CALLS, dice):
        torture.run_with_fault(name, at, dice.choice(sorted(KINDS[torture.saboteur.calls[at - 1]])))
        torture.count_calls(name)

    assert torture.findings.violations == []


@pytest.mark.parametrize("name", SCENARIOS)
def test_an_interrupt_at_any_line_costs_no_slot_no_descriptor_and_no_lock(torture: Torture, name: str) -> None:
    for at in sample(torture.count_lines(name), LINES, random.Random(SEED)):
        torture.run_with_interrupt(name, at)

    assert torture.findings.violations == []


@pytest.mark.parametrize("primitive", ["getsockopt", "poll", "socket", "connect_ex", "setsockopt"])
def test_a_dial_that_fails_in_the_kernel_is_a_connection_error_and_closes_its_socket(
    torture: Torture, primitive: str
) -> None:
    name = "GET, new connection"
    torture.count_calls(name)
    kind = next(kind for kind in KINDS[primitive] if kind not in ("interrupt", "memory"))

    for at, called in enumerate(list(torture.saboteur.calls), 1):
        if called == primitive:
            torture.run_with_fault(name, at, kind)

    assert torture.findings.violations == []


def test_an_idle_connection_that_cannot_be_probed_is_not_used(torture: Torture) -> None:
    before = torture.findings.outcomes["answered"]
    torture.run_with_fault("POST, kept connection", 1, "no buffers")

    assert torture.saboteur.struck == "poll: no buffers"
    assert torture.findings.outcomes["answered"] == before + 1
    assert torture.findings.violations == []


# -- the tools themselves --------------------------------------------------------------------------------------------


def test_the_saboteur_spoils_the_call_it_was_told_to_and_leaves_the_primitives_as_they_were(tls: Tls) -> None:
    import select
    import socket

    untouched = select.poll, socket.socket.recv, socket.getaddrinfo
    saboteur = Saboteur()
    with saboteur.at_work(), saboteur.armed(2, "name"):
        socket.getaddrinfo("127.0.0.1", 80)
        with pytest.raises(socket.gaierror, match="saboteur"):
            socket.getaddrinfo("127.0.0.1", 80)

    assert saboteur.calls == ["getaddrinfo"] * 2
    assert (select.poll, socket.socket.recv, socket.getaddrinfo) == untouched


def test_the_tracer_strikes_at_one_line_of_holdfast() -> None:
    from holdfast.resend import is_idempotent

    with pytest.raises(KeyboardInterrupt), Tracer(1) as tracer:
        is_idempotent("GET")

    assert tracer.struck.startswith("resend.py:")


def test_what_is_lost_is_noticed(torture: Torture) -> None:
    """A scenario that keeps a response open: the slot it holds is missed."""
    kept = []

    def hold(bench: object, nonce: str) -> None:
        kept.append(bench.stream("/big", nonce))  # type: ignore[attr-defined]

    before = torture.patience, torture.timeouts
    torture.patience, torture.timeouts = 0.05, dataclasses.replace(torture.timeouts, pool=0.05)
    SCENARIOS["holds"] = (lambda bench: None, hold)
    try:
        torture.run_with_fault("holds", 0, "")
    finally:
        del SCENARIOS["holds"]
        torture.patience, torture.timeouts = before
        kept.pop().close()

    assert any("limit is not usable" in text for text in torture.findings.violations)
    assert any("with nothing going on" in text for text in torture.findings.violations)
    torture.findings.violations.clear()


def test_every_kind_has_a_primitive() -> None:
    assert {kind for kinds in KINDS.values() for kind in kinds} == set(ALL_KINDS)

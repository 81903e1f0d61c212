"""The soak of ``tests/chaos.py`` for a few seconds with a fixed seed; ``python -m benchmarks chaos`` for longer, with another."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

import holdfast
from tests.chaos import TARGET, VERBS, Answer, Call, Plan, Soak, own_reason, rendered, switching_every
from tests.conftest import Tls
from tests.server import Received

SEED = 20261120
SECONDS = 3.5


def test_whatever_the_server_does_every_answer_is_its_own_and_every_failure_is_documented(
    no_leaks: None, tls: Tls
) -> None:
    with switching_every(0.00005):
        report = Soak(SEED, SECONDS, tls.server_context(tickets=4), tls.client_context()).run()

    assert report.violations == []
    assert report.calls > 200, "too few to mean anything"
    assert report.outcomes["answered"] > report.calls / 2
    assert report.close_seconds < 1.0


# -- who judges the judge ----------------------------------------------------------------------------------------------


def plan_with(verb: str) -> Plan:
    return next(plan for seed in range(10_000) if (plan := Plan.of(seed)).verb == verb)


def called(tls: Tls, verb: str, executed: int = 1, once_only: bool = True, times: int = 1, **outcome: Any) -> list[str]:
    """What the judge says of one call with this outcome; or of several."""
    soak = Soak(0, 0.0, tls.server_context(), tls.client_context())
    call = Call("n", plan_with(verb), "POST", {}, "whole", once_only, True, False, **outcome)
    soak.ledger.executed = [("n", TARGET, "POST")] * executed
    soak._calls = [[call] * times]
    soak._judge()
    return soak.report.violations


def answer(plan: Plan, **changed: Any) -> Answer:
    asked = Received("POST", TARGET, "1.1", [("X-Nonce", "n")], b"", 0)
    status, *lines = rendered(plan, asked)[0][:-4].split(b"\r\n")
    fields = [(name, value) for name, _, value in (line.partition(b": ") for line in lines)]
    whole = Answer(
        status=int(status.split(b" ")[1]),
        reason=own_reason("n"),
        method="POST",
        target=TARGET,
        asked_by="n",
        url_differs=False,
        fields=fields,
        cookies={"nonce": "n"},
        trailers=[("X-Trailer", "n")] if plan.framing == "chunked" else [],
        elapsed=0.0,
        history=[],
        body=plan.body("n"),
        whole=True,
    )
    return replace(whole, **changed)


def lost(*, executed: bool) -> Exception:
    error = holdfast.ConnectionLost("gone", may_have_executed=executed, reused=True)
    error.__cause__ = EOFError()
    return error


def test_the_judge_is_content_with_what_is_right(tls: Tls) -> None:
    assert called(tls, "ok", answer=answer(plan_with("ok"))) == []
    assert called(tls, "ok", executed=0, error=lost(executed=False)) == []
    assert called(tls, "fin_at", error=lost(executed=True)) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"asked_by": "other"}, "another request's answer"),
        ({"status": 418}, "status 418"),
        ({"reason": "OK"}, "the reason 'OK'"),
        ({"cookies": {}}, "the cookies {}"),
        ({"trailers": [("X-Trailer", "other")]}, "the trailers"),
        ({"elapsed": -1.0}, "took -1.0 s"),
        ({"target": "/plan/1"}, "redirects by way of ['1']"),
        ({"body": b"n"}, "which are not the"),
    ],
)
def test_the_judge_notices_a_wrong_answer(tls: Tls, changed: dict[str, Any], said: str) -> None:
    violations = called(tls, "ok", answer=answer(plan_with("ok"), **changed))
    assert any(said in violation for violation in violations), violations


def test_the_judge_notices_unsolicited_bytes_that_were_taken_for_an_answer_more_than_once(tls: Tls) -> None:
    marked = answer(plan_with("ok"), fields=[(b"X-Mark", b"unknown")])
    assert called(tls, "ok", answer=marked) == [], "the one that stays in doubt"
    assert len(called(tls, "ok", times=2, answer=marked)) == 2


def test_the_judge_notices_every_field_of_somebody_else(tls: Tls) -> None:
    own = answer(plan_with("ok"))
    for at, (name, value) in enumerate(own.fields):
        fields = [*own.fields[:at], (name, value + b"0"), *own.fields[at + 1 :]]
        assert called(tls, "ok", answer=replace(own, fields=fields))


def test_the_judge_notices_somebody_elses_informational_response(tls: Tls) -> None:
    plan = plan_with("informational")
    (violation,) = called(tls, "informational", answer=answer(plan), informed=[(103, [(b"X-Nonce", b"other")])])
    assert "informational" in violation


def test_what_the_machine_was_late_is_no_fault(tls: Tls) -> None:
    soak = Soak(0, 0.0, tls.server_context(), tls.client_context())
    soak._pulse = [(9.0, 9.01), (9.5, 9.6), (9.9, 10.5)]
    assert soak._lateness(9.55, 10.0) == pytest.approx(0.15)


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        ({"error": ValueError("x")}, "none of holdfast's exceptions"),
        ({"error": holdfast.TooManyRedirects("x")}, "not what this leads to"),
        ({"error": holdfast.ConnectionLost("x", reused=True)}, "no cause"),
        ({"error": holdfast.TotalTimeout("Bearer hush-n")}, "a secret"),
        ({"error": lost(executed=False)}, "although the error says that it was not"),
        ({"error": lost(executed=True), "executed": 2}, "executed 2 times"),
        ({"error": lost(executed=True), "seconds": 9.0}, "took 9.00 s"),
        ({"answer": answer(plan_with("ok")), "executed": 0}, "never executed"),
    ],
)
def test_the_judge_notices_a_wrong_failure(tls: Tls, outcome: dict[str, Any], said: str) -> None:
    violations = called(tls, "ok", **outcome)
    assert any(said in violation for violation in violations), violations


def test_a_plan_follows_from_its_seed_alone_and_every_verb_comes_up() -> None:
    plans = [Plan.of(random.Random(SEED).getrandbits(40)) for _ in range(2)]
    assert plans[0] == plans[1]
    assert {Plan.of(seed).verb for seed in range(5000)} == set(VERBS)

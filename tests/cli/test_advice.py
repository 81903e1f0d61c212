"""From findings to settings, to what others call them, and to what was expected."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

import holdfast
from holdfast.cli.advice import Findings, advice, margin, met, parse_expectation, plan_of, reach_of, value_of
from holdfast.cli.observations import Acknowledged, AddressSeen, First, Http10, PerConnection, Resumption, Stalls
from holdfast.cli.watch import Drop, Idle

FIRST = First(200, "HTTP/1.1", "nginx", None, None, "keep-alive", True, "GET", (), "", 0.001, None, 0.002)
OPEN = Findings("http://example.com/", FIRST, Idle(open_after=118))


def findings(**changes: Any) -> Findings:
    """A server that never ends anything, but for what the test says; ``first`` is a mapping of changes too."""
    first = replace(FIRST, **changes.pop("first", {}))
    return replace(OPEN, first=first, **changes)


@pytest.mark.parametrize(("seconds", "expected"), [(2, 0.5), (5, 1), (8, 1), (60, 6), (300, 30)])
def test_a_client_leaves_a_quarter_earlier_at_most_a_second_at_least_a_tenth(seconds: float, expected: float) -> None:
    assert margin(seconds) == expected


@pytest.mark.parametrize(
    ("changes", "plan"),
    [
        ({}, "Limits(idle_timeout=55)"),
        ({"idle": Idle(75, 75.1)}, "Limits(idle_timeout=55)"),
        ({"idle": Idle(5, 5)}, "Limits(idle_timeout=4)"),
        ({"idle": Idle(8.8, 12)}, "Limits(idle_timeout=4.6)"),
        ({"idle": Idle(0.3, 2)}, "Limits(idle_timeout=0)"),
        ({"idle": Idle(50, 50)}, "Limits(idle_timeout=45)"),
        ({"idle": Idle(open_after=20)}, "Limits(idle_timeout=55)"),
        ({"first": {"hint_timeout": 5}}, "Limits(idle_timeout=4)"),
        ({"first": {"hint_timeout": 20}, "idle": Idle(20.9, 20.9)}, "Limits(idle_timeout=18)"),
        ({"drop": Drop(30, 60, "silence")}, "Limits(idle_timeout=27)"),
        ({"drop": Drop(None, 30, "silence")}, "Limits(idle_timeout=13)"),
        ({"drop": Drop(108)}, "Limits(idle_timeout=55)"),
        ({"requests": PerConnection(100, True, True)}, "Limits(idle_timeout=55)"),
        ({"requests": PerConnection(100, True, False)}, "Limits(idle_timeout=55, max_requests=100)"),
        ({"requests": PerConnection(150, False, False)}, "Limits(idle_timeout=55)"),
        ({"requests": PerConnection(1, True, False)}, "Limits(idle_timeout=0, max_requests=1)"),
        ({"first": {"kept": False}}, "Limits(idle_timeout=0)"),
    ],
)
def test_the_plan_is_the_least_of_what_was_found(changes: dict[str, Any], plan: str) -> None:
    found = plan_of(findings(**changes))

    assert str(found) == plan
    assert eval(plan, {"Limits": holdfast.Limits}) == found.limits
    assert found.why


def test_the_advice_to_each_client_is_in_its_own_words() -> None:
    words = advice(plan_of(findings(idle=Idle(5, 5), requests=PerConnection(100, True, False))))

    assert eval(words["holdfast"], {"holdfast": holdfast}).limits == holdfast.Limits(idle_timeout=4, max_requests=100)
    assert "keepalive_expiry=4" in words["httpx"]
    assert "keepalive_timeout=4" in words["aiohttp"]
    assert "IdleConnTimeout: 4 * time.Second" in words["Go"]
    assert words["nginx upstream"] == "keepalive 16; keepalive_timeout 4s; keepalive_requests 100;"
    assert "pool-purge-delay 2s" in words["HAProxy backend"]
    assert "Retry" in words["requests, urllib3"]


def test_the_advice_names_no_fraction_of_a_second_where_only_whole_numbers_are_understood() -> None:
    words = advice(plan_of(findings(idle=Idle(2, 2))))

    assert "keepalive_expiry=1.5" in words["httpx"]
    assert "IdleConnTimeout: 1500 * time.Millisecond" in words["Go"]
    assert words["nginx upstream"] == "keepalive 16; keepalive_timeout 1500ms;"
    assert "pool-purge-delay 750ms" in words["HAProxy backend"]


@pytest.mark.parametrize(
    ("found", "limits"),
    [
        (findings(first={"kept": False}), holdfast.Limits(idle_timeout=0)),
        (findings(requests=PerConnection(1, True, False)), holdfast.Limits(max_requests=1)),
    ],
)
def test_a_server_that_keeps_nothing_is_asked_to_keep_nothing(found: Findings, limits: holdfast.Limits) -> None:
    words = advice(plan_of(found))

    assert eval(words["holdfast"], {"holdfast": holdfast}).limits == limits
    assert words["Go"] == "&http.Transport{DisableKeepAlives: true}"
    assert words.keys() == advice(plan_of(OPEN)).keys()


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "unknown"),
        ({"acknowledged": Acknowledged(None, None, 0.001, None)}, "unknown"),
        ({"acknowledged": Acknowledged(0.0001, None, 0.001, None)}, "server"),
        ({"acknowledged": Acknowledged(0.020, 0.045, 0.025, 0.021)}, "server"),
        ({"acknowledged": Acknowledged(0.0001, 0.030, 0.025, None)}, "relay"),
        ({"acknowledged": Acknowledged(0.0001, 0.030, 0.001, None)}, "server"),  # the handshake is only slow at computing
        ({"acknowledged": Acknowledged(0.0001, None, 0.025, 0.0001)}, "unclear"),
        ({"acknowledged": Acknowledged(0.0001, None, 0.025, None)}, "server"),
        ({"acknowledged": Acknowledged(0.0001, None, 0.001, None), "first": {"proxies": ("via",)}}, "proxy"),
    ],
)
def test_how_far_the_proof_of_non_delivery_reaches(changes: dict[str, Any], verdict: str) -> None:
    reach = reach_of(findings(**changes))

    assert reach.verdict == verdict
    assert reach.text


MEASURED = findings(
    idle=Idle(75, 75.2),
    silent=Idle(open_after=118),
    requests=PerConnection(150, False, False),
    stalls=Stalls(0.044, 0.001),
    drop=Drop(108),
    resumption=Resumption(True, 5, 4, 0.01, 0.005, 7200),
    http10=Http10(200, "", True),
    addresses=(AddressSeen("::1", error="refused"), AddressSeen("127.0.0.1", 0.1, None, 0.1, 200)),
)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("idle>=60", True),
        (" idle >= 75.0 ", True),
        ("idle<60", False),
        ("idle>75", False),
        ("silent>=100", True),
        ("silent>=200", None),
        ("silent<100", False),
        ("silent<200", None),
        ("silent==118", None),
        ("silent==7", False),
        ("requests>=150", True),
        ("requests>=151", None),
        ("resumed==0.8", True),
        ("stalls==yes", True),
        ("dropped==no", True),
        ("http10==yes", True),
        ("addresses>=2", False),
        ("status==200", True),
        ("status<=199", False),
    ],
)
def test_an_expectation_holds_or_not_or_is_open(text: str, holds: bool | None) -> None:
    assert met(parse_expectation(text), MEASURED) is holds


@pytest.mark.parametrize("name", ["silent", "requests", "stalls", "dropped", "resumed", "http10", "addresses"])
def test_what_was_not_measured_is_no_value(name: str) -> None:
    assert value_of(OPEN, name) is None
    assert met(parse_expectation(f"{name}>0"), OPEN) is None


def test_a_server_that_keeps_nothing_keeps_for_no_second() -> None:
    nothing = findings(first={"kept": False}, idle=Idle())

    assert met(parse_expectation("idle>=1"), nothing) is False


@pytest.mark.parametrize("text", ["", "idle", "idle>=", "idle=>3", "speed>3", "idle>=x"])
def test_what_is_no_expectation_says_what_is(text: str) -> None:
    with pytest.raises(ValueError, match=r"'idle>=60'; names: idle, silent"):
        parse_expectation(text)


def test_an_expectation_reads_as_it_was_written() -> None:
    assert str(parse_expectation("idle >= 60")) == "idle>=60"


def test_the_findings_are_plain_values_with_the_advice() -> None:
    plain = json.loads(json.dumps(MEASURED.as_dict()))

    assert plain["idle"]["least"] == 75
    assert plain["advice"]["idle_timeout"] == 55
    assert plain["advice"]["holdfast"] == "holdfast.Client(limits=holdfast.Limits(idle_timeout=55))"
    assert plain["reach"] == "unknown"

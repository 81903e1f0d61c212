"""The user's own policy for asking again: when, how often, and after how long."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast import Client
from holdfast.resend import IDEMPOTENT
from holdfast.retries import NO_RETRIES, Retries, parse_retry_after
from tests.server import Server, ok, replies, response

NOW = 1_445_412_480.0  # Wed, 21 Oct 2015 07:28:00 GMT


def test_nothing_is_retried_by_default() -> None:
    assert not NO_RETRIES.after_response("GET", 503, False, 0)
    assert not NO_RETRIES.after_failure("GET", False, 0, connected=False)


@pytest.mark.parametrize(
    ("method", "status", "key", "made", "again"),
    [
        ("GET", 503, False, 0, True),
        ("GET", 503, False, 1, True),
        ("GET", 503, False, 2, False),
        ("GET", 500, False, 0, False),
        ("GET", 200, False, 0, False),
        ("POST", 503, False, 0, False),
        ("POST", 429, True, 0, True),
        ("POST", 429, True, 2, False),
    ],
)
def test_responses_worth_another_try(method: str, status: int, key: bool, made: int, again: bool) -> None:
    assert Retries(attempts=2).after_response(method, status, key, made) is again


@pytest.mark.parametrize(
    ("method", "key", "made", "connected", "again"),
    [
        ("GET", False, 0, True, True),
        ("POST", False, 0, True, False),
        ("POST", True, 0, True, True),
        ("POST", False, 0, False, True),
        ("POST", False, 1, False, False),
        ("GET", False, 1, True, False),
    ],
)
def test_failures_worth_another_try(method: str, key: bool, made: int, connected: bool, again: bool) -> None:
    assert Retries(attempts=1).after_failure(method, key, made, connected=connected) is again


def test_methods_are_compared_as_they_are_sent() -> None:
    assert Retries(attempts=1, methods=["post"]).after_response("POST", 503, False, 0)


def test_backoff_doubles_up_to_its_bound() -> None:
    retries = Retries(attempts=9, backoff=0.5, max_backoff=3)
    assert [retries.wait(made, None, NOW) for made in range(5)] == [0.5, 1.0, 2.0, 3, 3]


def test_backoff_of_a_patient_user_does_not_overflow() -> None:
    assert Retries(attempts=10**6).wait(10**6, None, NOW) == 30.0
    assert Retries(attempts=10**6, backoff=0).wait(10**6, None, NOW) == 0


def test_retry_after_is_heeded_up_to_max_backoff() -> None:
    retries = Retries(attempts=1, max_backoff=10)
    assert retries.wait(0, "4", NOW) == 4.0
    assert retries.wait(0, "4000", NOW) == 10
    assert retries.wait(0, "0", NOW) == 0.0
    assert retries.wait(0, "soon", NOW) == 0.5
    assert Retries(attempts=1, respect_retry_after=False).wait(0, "4", NOW) == 0.5


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("120", 120.0),
        (" 120 ", 120.0),
        ("-1", None),
        ("1.5", 2.0),  # no integer, but gateways send such; a fraction sooner would be too soon
        ("299.997", 300.0),
        ("7.0", 7.0),
        ("7.", 7.0),
        (".5", 1.0),
        ("0.0", 0.0),
        (".", None),
        ("1.5.2", None),
        ("-1.5", None),
        ("NaN", None),
        ("inf", None),
        ("1_0", None),
        # the field twice, joined as RFC 9110 section 5.3 has it
        ("5, 7", 7.0),
        ("7.2,5", 8.0),
        ("120, Wed, 21 Oct 2015 07:28:07 GMT", 120.0),
        ("Wed, 21 Oct 2015 07:28:07 GMT, 3", 7.0),
        ("Wed, 21 Oct 2015 07:28:07 GMT, Wed, 21 Oct 2015 07:28:09 GMT", 9.0),
        ("Wed Oct 21 07:28:07 2015, Wednesday, 21-Oct-15 07:28:11 GMT", 11.0),
        ("soon, 4", 4.0),
        ("4,,", 4.0),
        ("٣", None),  # a digit, but not an ASCII one
        ("1e9", None),
        ("Wed, 21 Oct 2015 07:28:07 GMT", 7.0),
        ("Wed, 21 Oct 2015 07:28:07", 7.0),
        ("Wed, 21 Oct 2015 07:28:07 -0000", 7.0),
        ("Wednesday, 21-Oct-15 07:28:07 GMT", 7.0),
        ("Wed Oct 21 07:28:07 2015", 7.0),
        ("Wed, 21 Oct 2015 07:27:00 GMT", 0.0),
        ("Wed, 99 Oct 2015 07:28:07 GMT", None),
        ("Wed, 21 Oct 99999 07:28:07 GMT", None),
        ("\r\n", None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, NOW) == seconds


@pytest.mark.parametrize("hours", [-1, 0, 1])
def test_a_retry_after_that_is_a_date_is_measured_by_the_clock_that_wrote_it(hours: int) -> None:
    """An hour ahead of the server's, this machine's clock asked again at once; an hour behind, after all of max_backoff."""
    here = NOW + 3600 * hours

    assert parse_retry_after("Wed, 21 Oct 2015 07:28:07 GMT", here, "Wed, 21 Oct 2015 07:28:00 GMT") == 7.0
    assert Retries(attempts=1).wait(0, "Wed, 21 Oct 2015 07:28:07 GMT", here, "Wed, 21 Oct 2015 07:28:00 GMT") == 7.0
    assert parse_retry_after("5", here, "Wed, 21 Oct 2015 07:28:00 GMT") == 5.0


@pytest.mark.parametrize("date", [None, "", "today", "Wed, 99 Oct 2015 07:28:07 GMT", "x" * 100_000])
def test_without_a_date_of_the_servers_this_machines_clock_counts(date: str | None) -> None:
    assert parse_retry_after("Wed, 21 Oct 2015 07:28:07 GMT", NOW, date) == 7.0


def test_a_call_waits_as_long_as_the_server_meant_whatever_the_time_is_there() -> None:
    fields = ("Date: Wed, 21 Oct 2015 07:28:00 GMT", "Retry-After: Wed, 21 Oct 2015 07:28:07 GMT")
    waits: list[float] = []
    with Server(replies(response(503, b"", *fields), ok(b"in"))) as server, Client(retries=1, sleep=waits.append) as client:
        assert client.get(server.url()).text == "in"
    assert waits == [7.0]


def test_retry_after_is_bounded_work() -> None:
    assert parse_retry_after("9" * 100_000, NOW) is not None
    assert parse_retry_after("," * 100_000, NOW) is None
    assert parse_retry_after("Wed, " * 100_000, NOW) is None
    assert parse_retry_after("1, " * 100_000, NOW) == 1.0


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts": -1},
        {"backoff": -0.1},
        {"max_backoff": -1},
        {"backoff": float("nan")},
        {"attempts": "3"},
        {"methods": "POST"},
    ],
)
def test_nonsense_is_refused_where_it_is_written(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Retries(**wrong)


def test_of_reads_what_users_write() -> None:
    mine = Retries(attempts=3)

    assert Retries.of(mine) is mine
    assert Retries.of(None) is NO_RETRIES
    assert Retries.of(2) == Retries(attempts=2)
    for wrong in (True, 1.5, "2", -1):
        with pytest.raises(ValueError, match="etries"):
            Retries.of(wrong)  # type: ignore[arg-type]


def test_the_default_methods_are_the_idempotent_ones() -> None:
    assert Retries().methods == IDEMPOTENT

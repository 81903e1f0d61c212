"""The rules of cookies: dates, what a Set-Cookie field means, whom a cookie may reach, and in what order cookies are sent."""

from __future__ import annotations

import calendar
import time
from datetime import datetime, timedelta
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.message.cookie_rules import Cookie, parse_date, parse_set_cookie
from holdfast.message.url import Url

NOW = 1_700_000_000  # 14 November 2023


def utc(*fields: int) -> int:
    """Seconds since 1970 of year, month, day, hour, minute and second."""
    return calendar.timegm(fields)


def parsed(line: str, url: str = "http://www.example.com/") -> Cookie | None:
    return parse_set_cookie(line.encode("latin-1"), Url.parse(url), NOW)


# -- dates: RFC 6265 section 5.1.1 -----------------------------------------------------------------------------

BACK = utc(2015, 10, 21, 7, 28, 0)
DATES: list[tuple[str, int | None]] = [
    # The three forms of HTTP (RFC 9110 section 5.6.7), and that of the first cookies.
    ("Wed, 21 Oct 2015 07:28:00 GMT", BACK),
    ("Wednesday, 21-Oct-15 07:28:00 GMT", BACK),
    ("Wed Oct 21 07:28:00 2015", BACK),
    ("Wed, 21-Oct-2015 07:28:00 GMT", BACK),
    # What date types print: C's asctime with one digit, Java, JavaScript, date(1), Ruby, PHP, Perl, VBScript-like.
    ("Thu Jan  1 00:00:00 1970", 0),
    ("Wed Oct 21 07:28:00 UTC 2015", BACK),
    ("Wed Oct 21 07:28:00 CEST 2015", BACK),
    ("Wed Oct 21 2015 07:28:00 GMT+0000 (Coordinated Universal Time)", BACK),
    ("Wed, 21 Oct 15 07:28:00 +0000", BACK),
    ("Wednesday, 21-October-2015 07:28:00 UTC", BACK),
    ("21/Oct/2015 07:28:00", BACK),
    ("October 21, 2015, 7:28:0", BACK),
    ("2015 Oct 21 07:28:00", BACK),
    # Zones are not read: the time is UTC whatever stands behind it.
    ("Wed, 21 Oct 2015 07:28:00 -0800", BACK),
    ("Wed, 21 Oct 2015 07:28:00 PST", BACK),
    ("Wed Oct 21 07:28:00 +0000 2015", utc(2000, 10, 21, 7, 28, 0)),  # an offset before the year is taken for it
    # Years.
    ("Thu, 01-Jan-70 00:00:00 GMT", 0),
    ("Fri, 31-Dec-99 23:59:59 GMT", utc(1999, 12, 31, 23, 59, 59)),
    ("Sat, 01-Jan-00 00:00:00 GMT", utc(2000, 1, 1, 0, 0, 0)),
    ("Tue, 31-Dec-69 23:59:59 GMT", utc(2069, 12, 31, 23, 59, 59)),
    ("Wed, 31 Dec 1969 23:59:59 GMT", -1),
    ("Mon, 01 Jan 1601 00:00:00 GMT", utc(1601, 1, 1, 0, 0, 0)),
    ("Mon, 01 Jan 0001 00:00:00 GMT", utc(2001, 1, 1, 0, 0, 0)),
    ("Fri, 31 Dec 9999 23:59:59 GMT", utc(9999, 12, 31, 23, 59, 59)),
    ("Sun, 31 Dec 1600 23:59:59 GMT", None),
    ("Wed, 21 Oct 100 07:28:00 GMT", None),
    ("Wed, 21 Oct 12015 07:28:00 GMT", None),
    ("Wed, 21 Oct 5 07:28:00 GMT", None),
    # Days that are, and days that are not.
    ("Thu, 29 Feb 2024 00:00:00 GMT", utc(2024, 2, 29, 0, 0, 0)),
    ("Tue, 29 Feb 2000 00:00:00 GMT", utc(2000, 2, 29, 0, 0, 0)),
    ("Tue, 29 Feb 2022 00:00:00 GMT", None),
    ("Thu, 29 Feb 1900 00:00:00 GMT", None),
    ("Sat, 31 Apr 2010 00:00:00 GMT", None),
    ("Thu, 00 Jan 1970 00:00:00 GMT", None),
    ("Thu, 32 Jan 1970 00:00:00 GMT", None),
    ("Thu, 021 Oct 2015 07:28:00 GMT", None),
    # Times.
    ("Wed, 21 Oct 2015 23:59:59 GMT", utc(2015, 10, 21, 23, 59, 59)),
    ("Wed, 21 Oct 2015 24:00:00 GMT", None),
    ("Wed, 21 Oct 2015 07:60:00 GMT", None),
    ("Wed, 21 Oct 2015 07:28:60 GMT", None),
    ("Wed, 21 Oct 2015 07:28 GMT", None),
    ("Wed, 21 Oct 2015 07:28:000 GMT", None),
    ("Wed, 21 Oct 2015 07:28:00.000 GMT", BACK),
    ("Wed, 21 Oct 2015 07:28:00Z", BACK),
    # The first of a kind counts, in any order and any case, and other words are passed over.
    ("07:28:00 gmt 21 oct 2015 22 nov 2016 08:29:01", BACK),
    ("21ST OCTOBER 2015 AT 07:28:00", BACK),
    ('"Wed, 21 Oct 2015 07:28:00 GMT"', BACK),
    ("\t(Wed)~Oct_21*15`07:28:00!", BACK),
    # Parts that are missing, and what is no such date at all; ISO 8601 is none, for browsers neither.
    ("Wed, Oct 2015 07:28:00 GMT", None),
    ("Wed, 21 2015 07:28:00 GMT", None),
    ("Wed, 21 Oct 07:28:00 GMT", None),
    ("Wed, 21 Oct 2015", None),
    ("2015-10-21T07:28:00Z", None),
    ("2015-10-21 07:28:00 +0000 UTC", None),
    ("10/21/2015 07:28:00", None),
    ("1445412480", None),
    ("0", None),
    ("-1", None),
    ("", None),
    ("Mer, 21 F\xe9v 2015 07:28:00 GMT", None),
    ("Mon, 21 \u017fep 2015 07:28:00 GMT", None),  # a long s is no s
]


@pytest.mark.parametrize(("text", "expected"), DATES)
def test_a_date_is_read_by_its_tokens_as_in_browsers(text: str, expected: int | None) -> None:
    assert parse_date(text) == expected


@given(st.integers(utc(1601, 1, 1, 0, 0, 0), utc(9999, 12, 31, 23, 59, 59)))
def test_a_date_that_was_written_is_the_date_that_is_read(when: int) -> None:
    moment = datetime(1970, 1, 1) + timedelta(seconds=when)
    assert parse_date(moment.strftime(f"%a, %d %b {moment.year:04} %H:%M:%S GMT")) == when
    assert parse_date(moment.ctime()) == when


def test_the_dates_that_python_writes_are_read() -> None:
    for text in (formatdate(NOW, usegmt=True), formatdate(NOW), time.asctime(time.gmtime(NOW))):
        assert parse_date(text) == NOW


@given(st.text() | st.text("0123456789: -/,JanFebGMT"))
def test_no_text_is_too_strange_for_a_date(text: str) -> None:
    when = parse_date(text)
    assert when is None or utc(1601, 1, 1, 0, 0, 0) <= when <= utc(9999, 12, 31, 23, 59, 59)


@pytest.mark.parametrize("text", [text for text, when in DATES if when is not None and when < NOW])
def test_a_past_date_deletes_before_1970_too(text: str) -> None:
    cookie = parsed(f"sid=gone; Path=/; Expires={text}")
    assert cookie is not None
    assert cookie.is_expired(NOW)


@pytest.mark.parametrize("text", [text for text, when in DATES if when is None])
def test_a_date_that_is_none_makes_a_cookie_of_the_session(text: str) -> None:
    cookie = parsed(f"sid=1; Expires={text.encode().decode('latin-1')}")
    assert cookie is not None
    assert cookie.expires is None
    assert cookie.discard


PAST = "Thu, 01 Jan 1970 00:00:00 GMT"
FUTURE = "Fri, 17 Nov 2023 22:13:20 GMT"
DAYS = 86400


@pytest.mark.parametrize(
    ("attributes", "expires"),
    [
        (f"Max-Age=10; Expires={PAST}", NOW + 10),
        (f"Expires={PAST}; Max-Age=10", NOW + 10),
        (f"Max-Age=0; Expires={FUTURE}", 0),
        (f"Max-Age=-5; Expires={FUTURE}", 0),
        ("Max-Age=-0", 0),
        ("Max-Age=0000000000000000", 0),
        ("Max-Age=00000000000000010", NOW + 10),
        ("Max-Age=99999999999999999999", NOW + 400 * DAYS),
        ("Expires=Fri, 31 Dec 9999 23:59:59 GMT", NOW + 400 * DAYS),
        # What cannot be read is passed over (section 5.6.2): it does not stand in for another attribute.
        (f'Max-Age="0"; Expires={FUTURE}', NOW + 3 * DAYS),
        ('Max-Age="0"', None),
        ("Max-Age='0'", None),
        ("Max-Age=", None),
        ("Max-Age", None),
        ("Max-Age=-", None),
        ("Max-Age=1.5", None),
        ("Max-Age=\xb2", None),
        ("Max-Age=0; Max-Age=soon", 0),
        ("Max-Age=soon; Max-Age=0", 0),
        ("Max-Age=10; Max-Age=20", NOW + 20),
        (f"Expires={PAST}; Expires=tomorrow", 0),
        (f"Expires={PAST}; Expires=Tue, 29 Feb 2022 00:00:00 GMT", 0),
        (f"Expires={PAST}; Expires={FUTURE}", NOW + 3 * DAYS),
    ],
)
def test_max_age_counts_before_expires_and_the_last_that_can_be_read_of_each(attributes: str, expires: int | None) -> None:
    cookie = parsed(f"a=1; {attributes}")
    assert cookie is not None
    assert cookie.expires == expires

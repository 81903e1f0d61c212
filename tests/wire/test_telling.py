"""Telling h11 of a request a second time: the same bytes, and h11 stands where it would stand."""

from __future__ import annotations

import h11
import pytest

from holdfast.wire.telling import MAX_KINDS, Told, framing_of

FIELDS = [("Host", "x"), ("User-Agent", "y"), ("Accept", "*/*")]
REQUESTS = {
    "GET": h11.Request(method="GET", target="/a?b", headers=FIELDS),
    "HEAD": h11.Request(method="HEAD", target="/", headers=FIELDS),
    "close": h11.Request(method="GET", target="/", headers=[*FIELDS, ("Connection", "Close")]),
    "upgrade": h11.Request(method="GET", target="/", headers=[*FIELDS, ("Connection", "upgrade"), ("Upgrade", "z")]),
    "length": h11.Request(method="POST", target="/", headers=[*FIELDS, ("content-LENGTH", "5")]),
    "chunked": h11.Request(method="PUT", target="/", headers=[*FIELDS, ("Transfer-Encoding", "chunked")]),
    "expect": h11.Request(method="PUT", target="/", headers=[*FIELDS, ("Expect", "100-continue"), ("Content-Length", "5")]),
    "CONNECT": h11.Request(method="CONNECT", target="x:1", headers=FIELDS),
}
BODIES = {"length": b"12345", "chunked": b"12345", "expect": b"12345"}
ANSWERS = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
]


def story(conn: h11.Connection, head: bytes, body: bytes, answer: bytes) -> list[object]:
    """All that h11 says and where it stands, from the request's body to the end of the answer."""
    told: list[object] = [head, conn.states, conn.client_is_waiting_for_100_continue]
    told.append((conn.send(h11.Data(data=body)) if body else b"") + conn.send(h11.EndOfMessage()))
    conn.receive_data(answer)
    while True:
        event = conn.next_event()
        told += [str(event), conn.states, conn.trailing_data]
        if event in (h11.PAUSED, h11.NEED_DATA) or type(event) in (h11.EndOfMessage, h11.ConnectionClosed):
            return told


@pytest.mark.parametrize("answer", ANSWERS, ids=range(len(ANSWERS)))
@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_told_again_is_to_h11_what_it_was_the_first_time(name: str, answer: bytes) -> None:
    request, body, told = REQUESTS[name], BODIES.get(name, b""), Told()
    if name == "HEAD":
        answer = answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    stories = []
    for _ in range(3):
        conn = h11.Connection(h11.CLIENT)
        stories.append(story(conn, told.tell(conn, request), body, answer))
    assert stories[0] == stories[1] == stories[2]
    assert stories[0][0] == h11.Connection(h11.CLIENT).send(request)


def test_another_request_has_its_own_bytes() -> None:
    told = Told()
    for name in [*REQUESTS, *REQUESTS]:
        expected = h11.Connection(h11.CLIENT).send(REQUESTS[name])
        assert told.tell(h11.Connection(h11.CLIENT), REQUESTS[name]) == expected


def test_a_request_that_h11_refuses_is_not_remembered() -> None:
    told, conn = Told(), h11.Connection(h11.CLIENT)
    told.tell(conn, REQUESTS["GET"])
    for _ in range(2):
        with pytest.raises(h11.LocalProtocolError):
            told.tell(conn, REQUESTS["HEAD"])


def test_requests_of_a_kind_share_what_h11_is_told_and_kinds_are_bounded() -> None:
    assert framing_of(REQUESTS["GET"]) is framing_of(h11.Request(method="GET", target="/other", headers=[("Host", "z")]))
    first = framing_of(REQUESTS["GET"])
    for length in range(MAX_KINDS + 1):
        framing_of(h11.Request(method="POST", target="/", headers=[("Host", "x"), ("Content-Length", str(length))]))
    assert framing_of(REQUESTS["GET"]) is not first

"""What h11 is told of a request: all that it needs, or nothing, and it says of the answer what it would say."""

from __future__ import annotations

import h11
import pytest

from holdfast.wire.telling import MAX_KINDS, Outgoing, framing_of

FIELDS = [("Host", "x"), ("User-Agent", "y"), ("Accept", "*/*")]
REQUESTS = {
    "GET": h11.Request(method="GET", target="/a?b", headers=FIELDS),
    "HEAD": h11.Request(method="HEAD", target="/", headers=FIELDS),
    "keep": h11.Request(method="GET", target="/", headers=[*FIELDS, ("Connection", "keep-alive")]),
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
def test_a_requests_framing_is_to_h11_what_the_request_is(name: str, answer: bytes) -> None:
    request, body = REQUESTS[name], BODIES.get(name, b"")
    if name == "HEAD":
        answer = answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    told = h11.Connection(h11.CLIENT)
    expected = story(told, told.send(request), body, answer)
    for _ in range(2):
        outgoing, conn = Outgoing(request), h11.Connection(h11.CLIENT)
        conn.send(outgoing.framing)
        assert story(conn, outgoing.head, body, answer) == expected


def test_h11_need_not_be_told_of_a_request_with_one_body_of_known_size() -> None:
    sizes = {name: Outgoing(request).size for name, request in REQUESTS.items()}

    assert {name: size for name, size in sizes.items() if size is not None} == {"GET": 0, "HEAD": 0, "keep": 0, "length": 5}


@pytest.mark.parametrize("answer", [*ANSWERS, b"HTTP/1.1 200 OK\r\n\r\nto the end", b"HTTP/1.0 404 No\r\nA: b\r\n c\r\n\r\n"])
def test_h11_reads_an_answer_alike_whether_it_knows_of_the_request_or_not(answer: bytes) -> None:
    told, untold = h11.Connection(h11.CLIENT), h11.Connection(h11.CLIENT)
    told.send(REQUESTS["GET"])
    told.send(h11.EndOfMessage())

    def events(conn: h11.Connection) -> list[str]:
        conn.receive_data(answer)
        conn.receive_data(b"")
        found: list[object] = []
        while not found or not isinstance(found[-1], (h11.EndOfMessage, h11.ConnectionClosed)):
            found.append(conn.next_event())
        return [f"{event} {getattr(event, 'headers', None)!r}" for event in found]

    assert events(untold) == events(told)


def test_a_request_that_h11_refuses_has_no_head() -> None:
    with pytest.raises(h11.LocalProtocolError):
        Outgoing(h11.Request(method="GET", target="/", headers=[("Host", "x"), ("Transfer-Encoding", "gzip")]))


def test_requests_of_a_kind_share_what_h11_is_told_and_kinds_are_bounded() -> None:
    assert framing_of(REQUESTS["GET"]) is framing_of(h11.Request(method="GET", target="/other", headers=[("Host", "z")]))
    first = framing_of(REQUESTS["GET"])
    for length in range(MAX_KINDS + 1):
        framing_of(h11.Request(method="POST", target="/", headers=[("Host", "x"), ("Content-Length", str(length))]))
    assert framing_of(REQUESTS["GET"]) is not first

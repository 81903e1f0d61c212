"""The fault matrix: what a server (or its network) does, and what the caller, the connection and the ledger must show.

One row, one fault. ``outcome`` is the status, or the exception; ``kept`` says whether a connection is idle in the pool
afterwards; ``connections`` and ``delivered`` are the server's own count of what reached it, so a request that was sent
twice cannot hide. Rows with ``within`` also bound the time: at most 100 ms more than the limit that was set.
"""

from __future__ import annotations

import gzip
import select
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

import holdfast
from holdfast import (
    BodyReadTimeout,
    ConnectionLost,
    ContentDecodingError,
    HeadersTooLarge,
    IncompleteBody,
    InvalidRequest,
    Limits,
    PoolTimeout,
    ReadTimeout,
    RemoteProtocolError,
    Timeouts,
    TotalTimeout,
    WriteTimeout,
)
from tests.conftest import FakeClock, Tls
from tests.server import Conn, Script, Server, chunked, echo, head, ok, replies, response

WAIT = 5.0
LARGE = b"x" * (16 * 1024 * 1024)
GRACE = 0.5  # for a busy machine: what would be wrong takes seconds, or for ever

pytestmark = pytest.mark.usefixtures("no_leaks")


# -- what servers do --------------------------------------------------------------------------------------------------


def says(*pieces: bytes) -> Script:
    """Read a request, answer with these bytes, stay."""

    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(*pieces)
        conn.wait_closed()

    return script


def says_and_ends(raw: bytes, end: str) -> Script:
    def script(conn: Conn) -> None:
        conn.expect_request()
        if raw:
            conn.send(raw)
        conn.rst() if end == "RST" else conn.close()

    return script


def first(then: Script) -> Script:
    """One good exchange, so that the connection is a kept one; then this."""

    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(ok(b"first"))
        then(conn)

    return script


def fin(conn: Conn) -> None:
    conn.close()


def rst(conn: Conn) -> None:
    conn.rst()


def half_close(conn: Conn) -> None:
    conn.fin()
    conn.wait_closed()


def sends(raw: bytes, *, then_close: bool = False) -> Script:
    def script(conn: Conn) -> None:
        conn.send(raw)
        if not then_close:
            conn.wait_closed()

    return script


def silent(conn: Conn) -> None:
    conn.wait_closed()


def deaf(conn: Conn) -> None:
    """Takes the head and then not another byte."""
    conn.read_head()
    conn.wait(threading.Event())


def drips(raw: bytes, forever: bytes) -> Script:
    """Sends ``raw`` at once and then ``forever`` byte by byte, over and over."""

    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(raw)
        pause = threading.Event()
        while True:
            for byte in forever:
                conn.send(bytes([byte]))
                pause.wait(0.004)

    return script


def floods(raw: bytes, forever: bytes) -> Script:
    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(raw)
        while True:
            conn.send(forever)

    return script


def early(raw: bytes, then: Script) -> Script:
    """Answers as soon as the head is here."""

    def script(conn: Conn) -> None:
        conn.read_head()
        conn.send(raw)
        then(conn)

    return script


def takes_a_body(conn: Conn) -> None:
    assert conn.read_exactly(4) == b"body"
    conn.send(ok(b"fine"))
    conn.wait_closed()


def half_read_then_rst(conn: Conn) -> None:
    conn.read_head()
    conn.recv()
    conn.rst()


# -- the rows ---------------------------------------------------------------------------------------------------------

Outcome = Any  # a status, an exception class, or a tuple of either


@dataclass(frozen=True)
class Row:
    """One fault."""

    name: str
    scripts: Sequence[Script]
    outcome: Outcome
    kept: bool = False
    connections: int | tuple[int, ...] = 1
    delivered: int | None = None
    method: str = "GET"
    primed: bool = False
    settled: bool = False
    within: float | None = None
    asks: dict[str, Any] = field(default_factory=dict)
    check: Callable[[Any], object] = lambda _: True


def said(text: bytes) -> Callable[[Any], object]:
    return lambda response: response.content == text


def may_have_executed(yes: bool) -> Callable[[Any], object]:
    return lambda error: error.may_have_executed is yes


def idle(name: str, fault: Script, method: str) -> Row:
    """Group C: something happens to a kept connection before the next request; nobody notices."""
    return Row(
        f"C {name}, {method}",
        [first(fault), echo],
        200,
        kept=True,
        connections=2,
        delivered=2,
        method=method,
        primed=True,
        settled=True,
    )


def bad_head(name: str, raw: bytes, outcome: Outcome = RemoteProtocolError) -> Row:
    return Row(f"E {name}", [first(says(raw)), echo], outcome, delivered=2, primed=True)


def good(name: str, raw: bytes, body: bytes, *, kept: bool = True, method: str = "GET") -> Row:
    return Row(name, [says(raw)], 200, kept=kept, delivered=1, method=method, check=said(body))


def bad_body(name: str, raw: bytes, outcome: Outcome = RemoteProtocolError, end: str = "") -> Row:
    script = says_and_ends(raw, end) if end else says(raw)
    return Row(f"F {name}", [first(script), echo], outcome, delivered=2, primed=True)


CHUNKED = head(200, "Transfer-Encoding: chunked")
POST: dict[str, Any] = {"method": "POST"}

CONNECT = [
    # A fresh connection that is gone: asked again where the kernel proves that nothing arrived, and once where asking is harmless
    Row("A RST after accept", [rst] * 3, holdfast.ConnectionError, connections=(1, 2), delivered=0),
    Row("A FIN after accept", [fin] * 3, ConnectionLost, connections=(1, 2, 3), delivered=0, **POST),
    Row("A FIN after the request, GET", [says_and_ends(b"", "FIN")] * 3, ConnectionLost, connections=2, delivered=2),
    Row("A RST after the request, GET", [says_and_ends(b"", "RST")] * 3, ConnectionLost, connections=2, delivered=2),
    Row("A FIN after the first request, GET", [says_and_ends(b"", "FIN"), echo], 200, connections=2, delivered=2, kept=True),
    Row("A RST after the first request, GET", [says_and_ends(b"", "RST"), echo], 200, connections=2, delivered=2, kept=True),
    Row("A RST after the first request, POST", [says_and_ends(b"", "RST"), echo], ConnectionLost, delivered=1, **POST),
    Row("A FIN after the request, POST", [says_and_ends(b"", "FIN")], ConnectionLost, delivered=1, **POST),
]

IDLE = [
    idle(name, fault, method)
    for method in ("GET", "POST")
    for name, fault in [
        ("FIN", fin),
        ("RST", rst),
        ("half-close", half_close),
        ("a response", sends(ok(b"poison"))),
        ("half a response", sends(b"HTTP/1.1 200 OK\r\nCont")),
        ("CRLF", sends(b"\r\n")),
        ("a byte", sends(b"x")),
        ("408 and FIN", sends(response(408, b"", "Connection: close"), then_close=True)),
    ]
]

SEND = [
    Row(
        "D early 413, then closed",
        [early(response(413, b"no"), fin)],
        413,
        delivered=0,
        asks={"data": LARGE},
        check=lambda r: r.request_incomplete and r.content == b"no",
        **POST,
    ),
    Row(
        "D early 200, and reads on",
        [early(ok(b"fine"), silent)],
        200,
        delivered=0,
        asks={"data": LARGE},
        check=lambda r: r.request_incomplete and r.content == b"fine",
        **POST,
    ),
    Row(
        "D early 200, then RST",
        [early(ok(b"fine"), rst)],
        (200, ConnectionLost),
        delivered=0,
        asks={"data": LARGE},
        **POST,
    ),
    Row(
        "D stops reading",
        [deaf],
        WriteTimeout,
        delivered=0,
        within=0.05,
        asks={"data": LARGE, "timeout": Timeouts(write=0.05)},
        **POST,
    ),
    Row(
        "D stops reading, total",
        [deaf],
        TotalTimeout,
        delivered=0,
        within=0.05,
        asks={"data": LARGE, "timeout": Timeouts(total=0.05)},
        **POST,
    ),
    Row(
        "D RST in the middle of a POST on a kept connection",
        [first(half_read_then_rst), echo],
        ConnectionLost,
        delivered=1,
        primed=True,
        asks={"data": LARGE},
        check=may_have_executed(True),
        **POST,
    ),
    Row(
        "D Expect, 100, then 200",
        [early(head(100), takes_a_body)],
        200,
        kept=True,
        asks={"data": b"body", "headers": {"Expect": "100-continue"}},
        **POST,
    ),
    Row(
        "D Expect, 417",
        [says(response(417, b"no")), echo],
        200,
        kept=True,
        connections=2,
        delivered=2,
        asks={"data": b"body", "headers": {"Expect": "100-continue"}, "timeout": Timeouts(expect=0.05)},
        check=lambda r: r.attempts == 2,
        **POST,
    ),
]

LOST = [
    # 41: a kept connection, the request was read, no byte came back
    *[
        Row(
            f"E {end} instead of an answer, {method}",
            [first(says_and_ends(b"", end)), echo],
            200,
            kept=True,
            connections=2,
            delivered=3,
            method=method,
            primed=True,
            check=lambda r: r.attempts == 2,
        )
        for end in ("FIN", "RST")
        for method in ("GET", "PUT", "DELETE")
    ],
    *[
        Row(
            f"E {end} instead of an answer, {method}",
            [first(says_and_ends(b"", end)), echo],
            ConnectionLost,
            delivered=2,
            method=method,
            primed=True,
            check=may_have_executed(True),
        )
        for end in ("FIN", "RST")
        for method in ("POST", "PATCH")
    ],
    Row(
        "E FIN instead of an answer, POST with a key",
        [first(says_and_ends(b"", "FIN")), echo],
        200,
        kept=True,
        connections=2,
        delivered=3,
        primed=True,
        asks={"headers": {"Idempotency-Key": "k"}, "data": b"body"},
        **POST,
    ),
    Row(
        "E FIN instead of an answer, PUT of a generator",
        [first(says_and_ends(b"", "FIN")), echo],
        ConnectionLost,
        delivered=2,
        primed=True,
        method="PUT",
        asks={"data": iter([b"once"])},
    ),
    # 42: part of an answer came: never again
    *[
        Row(
            f"E {end} after {name}",
            [first(says_and_ends(raw, end)), echo],
            ConnectionLost,
            delivered=2,
            primed=True,
            check=may_have_executed(True),
        )
        for end in ("FIN", "RST")
        for name, raw in [
            ("one byte", b"H"),
            ("half a status line", b"HTTP/1.1 20"),
            ("half a field", b"HTTP/1.1 200 OK\r\nConte"),
            ("a 100", head(100)),
        ]
    ],
    # a 408 as the answer on a kept connection: the server grew tired just as we began
    Row(
        "E 408 on a kept connection, GET",
        [first(says_and_ends(response(408, b"", "Connection: close"), "FIN")), echo],
        200,
        kept=True,
        connections=2,
        delivered=3,
        primed=True,
    ),
    Row(
        "E 408 on a kept connection, POST",
        [first(says_and_ends(response(408, b"", "Connection: close"), "FIN")), echo],
        408,
        delivered=2,
        primed=True,
        **POST,
    ),
    Row("E 408 on a fresh connection", [says(response(408))], 408, kept=True, delivered=1),
]

HEADS = [
    bad_head("SSH banner", b"SSH-2.0-OpenSSH_9.2\r\n"),
    bad_head("0.9 body", b"<html><body>"),
    bad_head("TLS alert", b"\x15\x03\x03\x00\x02\x02\x28"),
    bad_head("ICY", b"ICY 200 OK\r\n\r\n"),
    bad_head("a megabyte of A", b"A" * 1_000_000),
    bad_head("status 1000", b"HTTP/1.1 1000 X\r\n\r\n"),
    bad_head("HTTP/2.0", head(200, version="2.0")),
    bad_head("endless fields", b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50_000, HeadersTooLarge),
    bad_head("a long field", head(200, "X: " + "y" * 66_000), HeadersTooLarge),
    bad_head("257 fields", head(200, *["X: y"] * 257), HeadersTooLarge),
    bad_head("33 x 100", head(100) * 33 + ok()),
    bad_head("101 unasked", head(101, "Upgrade: x")),
    bad_head("lengths differ", head(200, "Content-Length: 1", "Content-Length: 2") + b"xx"),
    bad_head("length +5", head(200, "Content-Length: +5") + b"hello"),
    bad_head("gzip, chunked", head(200, "Transfer-Encoding: gzip, chunked")),
    bad_head("NUL", head(200, "X: a\0b")),
    bad_head("space before the colon", head(200, "X : y")),
    bad_head("no colon", head(200, "X")),
    good("E 100, 102, 103, 200", head(100) + head(102) + head(103) + ok(b"x"), b"x"),
    good("E HTTP/1.9", response(200, b"x", version="1.9"), b"x", kept=False),
    good("E no reason", b"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx", b"x"),
    good("E length and chunks", chunked(b"x", headers=["Content-Length: 7"]), b"x", kept=False),
    good("E length 0 and chunks", chunked(b"x", headers=["Content-Length: 0"]), b"x", kept=False),
    good("E HTTP/1.0", response(200, b"x", version="1.0"), b"x", kept=False),
    good("E HTTP/1.0 kept", response(200, b"x", "Connection: keep-alive", version="1.0"), b"x"),
    good("E Connection: close", ok(b"x", "Connection: close"), b"x", kept=False),
    good("E HEAD with a body", ok(b"surplus"), b"", kept=False, method="HEAD"),
    Row(
        "E head drips, read",
        [drips(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n")],
        ReadTimeout,
        within=0.05,
        asks={"timeout": Timeouts(read=0.05)},
    ),
    Row(
        "E head drips, total",
        [drips(b"", b"HTTP/1.1 200 OK\r\n")],
        TotalTimeout,
        within=0.05,
        asks={"timeout": Timeouts(total=0.05)},
    ),
    Row("E silence", [silent], ReadTimeout, within=0.05, asks={"timeout": 0.05}),
    Row(
        "E silence on a kept connection",
        [first(silent), echo],
        ReadTimeout,
        within=0.05,
        delivered=1,
        primed=True,
        asks={"timeout": 0.05},
    ),
    Row(
        "E endless 100s, total",
        [drips(b"", head(100) + b"H")],
        TotalTimeout,
        within=0.05,
        asks={"timeout": Timeouts(total=0.05)},
    ),
]

BODIES = [
    bad_body("short length, FIN", head(200, "Content-Length: 9") + b"hello", IncompleteBody, "FIN"),
    bad_body("short length, RST", head(200, "Content-Length: 9") + b"hello", IncompleteBody, "RST"),
    bad_body("a length of 10^18, FIN", head(200, f"Content-Length: {10**18}") + b"hello", IncompleteBody, "FIN"),
    bad_body("no last chunk, FIN", CHUNKED + b"5\r\nhello\r\n", IncompleteBody, "FIN"),
    bad_body("half a last chunk, FIN", CHUNKED + b"5\r\nhello\r\n0\r\n", IncompleteBody, "FIN"),
    bad_body("half a chunk, FIN", CHUNKED + b"5\r\nhe", IncompleteBody, "FIN"),
    bad_body("no framing, RST", head(200) + b"hello", IncompleteBody, "RST"),
    bad_body("chunk size 0x5", CHUNKED + b"0x5\r\nhello\r\n"),
    bad_body("chunk size -5", CHUNKED + b"-5\r\nhello\r\n"),
    bad_body("chunk size of 32 digits", CHUNKED + b"f" * 32 + b"\r\n"),
    bad_body("chunk without CRLF", CHUNKED + b"5\r\nhelloXX0\r\n\r\n"),
    bad_body("a long chunk extension", CHUNKED + b"5;" + b"x" * 30_000),
    bad_body("endless chunk size", CHUNKED + b"0" * 30_000),
    bad_body("trailers of 17 KiB", CHUNKED + b"0\r\n" + b"X: y\r\n" * 3000),
    Row(
        "F close-delimited, FIN",
        [says_and_ends(head(200) + b"hello", "FIN")],
        200,
        delivered=1,
        check=said(b"hello"),
    ),
    good("F one-byte chunks", chunked(*[b"x"] * 5000), b"x" * 5000),
    Row(
        "F trailers",
        [says(chunked(b"x", trailers=["Content-Length: 7", "Set-Cookie: a=b"]))],
        200,
        kept=True,
        check=lambda r: "Content-Length" not in r.headers and r.trailers["Set-Cookie"] == "a=b" and not r.cookies,
    ),
    Row("F 206", [says(response(206, b"x", "Content-Range: bytes 5-9/7"))], 206, kept=True, check=said(b"x")),
    Row(
        "F body stalls",
        [says(head(200, "Content-Length: 9") + b"hello")],
        BodyReadTimeout,
        within=0.05,
        asks={"timeout": Timeouts(read=0.05)},
    ),
    Row(
        "F body drips, total",
        [drips(head(200, "Content-Length: 100000"), b"x")],
        TotalTimeout,
        within=0.05,
        asks={"timeout": Timeouts(total=0.05)},
    ),
    Row(
        "F body floods, total",
        [floods(head(200), b"x" * 65536)],
        TotalTimeout,
        within=0.1,
        asks={"timeout": Timeouts(total=0.1)},
    ),
    Row(
        "F chunks drip, total",
        [drips(CHUNKED, b"1\r\nx\r\n")],
        TotalTimeout,
        within=0.05,
        asks={"timeout": Timeouts(total=0.05)},
    ),
    # The framing is whole: the connection is none the worse for a coding that is not
    *[
        Row(f"F gzip, {name}", [says(ok(data, "Content-Encoding: gzip"))], ContentDecodingError, kept=True)
        for name, data in [
            ("cut short", gzip.compress(b"hello")[:-4]),
            ("bad CRC", gzip.compress(b"hello")[:-8] + b"\0" * 8),
            ("not gzip", b"hello"),
        ]
    ],
    *[
        Row(f"F {name}", [says(ok(data, f"Content-Encoding: {coding}"))], 200, kept=True, check=said(body))
        for name, coding, data, body in [
            ("gzip, two members", "gzip", gzip.compress(b"hel") + gzip.compress(b"lo"), b"hello"),
            ("gzip, empty", "gzip", b"", b""),
            ("deflate", "deflate", zlib.compress(b"hello"), b"hello"),
            ("raw deflate", "deflate", zlib.compress(b"hello")[2:-4], b"hello"),
        ]
    ],
]

OVER_TLS = [row for row in [*IDLE, *LOST, *BODIES] if "generator" not in row.name and row.name != "F close-delimited, FIN"]
ROWS = [*CONNECT, *IDLE, *SEND, *LOST, *HEADS, *BODIES]


@pytest.fixture
def client(tls: Tls) -> Iterator[holdfast.Client]:
    with holdfast.Client(timeout=WAIT, trust_env=False, verify=tls.ca_path) as it:
        yield it


def settle(client: holdfast.Client) -> None:
    """Until the fault has reached the idle connection."""
    for entry in client._transport.pool._state.idle:
        stream: Any = entry.resource.stream
        assert select.select([stream], [], [], WAIT)[0], "nothing arrived"


def happened(client: holdfast.Client, row: Row, url: str) -> Any:
    """The response, its body read, or the exception."""
    try:
        answer = client.request(row.method, url, **row.asks)
    except holdfast.RequestException as error:
        return error
    assert isinstance(answer.content, bytes)
    return answer


def is_as_expected(result: Any, outcome: Outcome) -> bool:
    if isinstance(outcome, tuple):
        return any(is_as_expected(result, each) for each in outcome)
    if isinstance(outcome, int):
        return getattr(result, "status_code", None) == outcome
    return isinstance(result, outcome)


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_the_matrix(client: holdfast.Client, row: Row) -> None:
    assert_holds(client, row, Server(row.scripts))


# A POST that was executed twice would be the worst of all, and ssl hides what the kernel knows.
@pytest.mark.parametrize("row", OVER_TLS, ids=[row.name for row in OVER_TLS])
def test_the_same_over_tls(client: holdfast.Client, row: Row, tls: Tls) -> None:
    assert_holds(client, row, Server(row.scripts, tls=tls.server_context()))


def assert_holds(client: holdfast.Client, row: Row, server: Server) -> None:
    """Let the row happen, and hold what came of it against what it says."""
    with server:
        if row.primed:
            assert client.get(server.url("/first")).content == b"first"
        if row.settled:
            settle(client)
        started = time.monotonic()
        result = happened(client, row, server.url("/row"))
        elapsed = time.monotonic() - started

        assert is_as_expected(result, row.outcome), repr(result)
        assert row.check(result)
        assert client.stats().active == 0
        assert client.stats().idle == (1 if row.kept else 0)
        assert server.connections in (row.connections if isinstance(row.connections, tuple) else (row.connections,))
        if row.delivered is not None:
            assert len(server.requests) == row.delivered
        if row.within is not None:
            assert row.within <= elapsed <= row.within + GRACE
        if isinstance(result, Exception):
            assert isinstance(result, holdfast.RequestException)
            assert len(str(result)) < 800
            assert getattr(result, "request", None) is not None
        if row.kept and row.scripts[-1] is echo:
            assert client.get(server.url("/next")).json()["target"] == "/next"


# -- faults that are no server's script -------------------------------------------------------------------------------


def test_nobody_listens(client: holdfast.Client) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(holdfast.ConnectionError, match="refused") as caught:
            client.post(f"http://127.0.0.1:{bound.getsockname()[1]}/")

    assert isinstance(caught.value.__cause__, OSError)
    assert client.stats().active == client.stats().idle == 0


def test_nobody_resolves(client: holdfast.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(holdfast.ConnectionError, match="Temporary failure") as caught:
        client.get("http://no.example/")
    assert isinstance(caught.value.__cause__, socket.gaierror)


@pytest.mark.parametrize(
    ("timeouts", "outcome"),
    [(Timeouts(connect=0.05), holdfast.ConnectTimeout), (Timeouts(total=0.05), TotalTimeout)],
    ids=["connect", "total"],
)
@pytest.mark.parametrize("stalls", ["the resolver", "the backlog"])
def test_connecting_ends_in_time(
    client: holdfast.Client, monkeypatch: pytest.MonkeyPatch, timeouts: Timeouts, outcome: type[Exception], stalls: str
) -> None:
    go_on = threading.Event()

    def stall(*_: object) -> list[object]:
        go_on.wait(WAIT)
        return []

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        knocking = [socket.socket() for _ in range(4)]
        for sock in knocking:
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        host = "127.0.0.1"
        if stalls == "the resolver":
            monkeypatch.setattr(socket, "getaddrinfo", stall)
            host = "slow.example"
        started = time.monotonic()
        with pytest.raises(outcome):
            client.get(f"http://{host}:{listener.getsockname()[1]}/", timeout=timeouts)
        elapsed = time.monotonic() - started
        go_on.set()
        for sock in knocking:
            sock.close()

    assert 0.05 <= elapsed <= 0.05 + GRACE
    until = time.monotonic() + WAIT
    while client.stats().connecting:  # the dial has a thread of its own, and ends a moment later
        assert time.monotonic() < until


def test_every_connection_is_in_use() -> None:
    with (
        Server(replies(head(200, "Content-Length: 5"))) as server,
        holdfast.Client(limits=Limits(max_connections_per_origin=1), trust_env=False) as client,
        client.get(server.url(), stream=True),
    ):
        started = time.monotonic()
        with pytest.raises(PoolTimeout):
            client.get(server.url(), timeout=Timeouts(pool=0.05))
        assert 0.05 <= time.monotonic() - started <= 0.05 + GRACE
        assert client.stats().waiting == 0


@pytest.mark.parametrize(
    ("later", "connection"), [(0.5, 0), (0.95, 1), (1.05, 1)], ids=["half of it", "nearly all of it", "too late"]
)
def test_the_servers_hint_is_kept_to(later: float, connection: int) -> None:
    def hinting(conn: Conn) -> None:
        for request in conn.read_requests():
            conn.send(ok(str(conn.number).encode(), "Keep-Alive: timeout=1"))
            assert request.method == "GET"

    clock = FakeClock()
    with Server(hinting) as server, holdfast.Client(clock=clock, timeout=None, trust_env=False) as client:
        assert client.get(server.url()).text == "0"
        clock.advance(later)
        assert client.get(server.url()).text == str(connection)


def test_the_servers_count_is_kept_to(client: holdfast.Client) -> None:
    def counting(conn: Conn) -> None:
        for left in (2, 1, 0):
            conn.expect_request()
            conn.send(ok(str(conn.number).encode(), f"Keep-Alive: timeout=5, max={left}"))
        assert conn.read_request() is None, "a fourth request, which the server had said it would not take"

    with Server(counting) as server:
        assert [client.get(server.url()).text for _ in range(7)] == ["0", "0", "0", "1", "1", "1", "2"]


@pytest.mark.parametrize("boom", [ValueError, OSError, KeyboardInterrupt])
def test_a_body_that_fails_comes_out_as_it_is(client: holdfast.Client, boom: type[BaseException]) -> None:
    def body() -> Iterator[bytes]:
        yield b"x"
        raise boom("mine")

    def unfinished(conn: Conn) -> None:
        assert conn.read_request() is None

    with Server(unfinished) as server:
        with pytest.raises(boom, match="mine"):
            client.post(server.url(), data=body())
        assert client.stats().active == client.stats().idle == 0
        server.wait_idle()
        assert server.requests == []


@pytest.mark.parametrize("pieces", [[b"short"], [b"much too", b" long"]], ids=["short", "long"])
def test_a_body_that_is_not_as_long_as_it_says(client: holdfast.Client, pieces: list[bytes]) -> None:
    def unfinished(conn: Conn) -> None:
        conn.read_request()

    with Server(unfinished) as server:
        with pytest.raises((InvalidRequest, holdfast.InvalidHeader)):
            client.post(server.url(), data=iter(pieces), headers={"Content-Length": "8"})
        assert client.stats().active == client.stats().idle == 0


@pytest.mark.parametrize(("left", "kept"), [(1000, True), (10**9, False)])
def test_giving_up_on_a_body_takes_no_time(client: holdfast.Client, left: int, kept: bool) -> None:
    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(head(200, f"Content-Length: {left}") + b"x" * min(left, 5000))
        conn.wait_closed()

    with Server(script) as server:
        answer = client.get(server.url(), stream=True)
        started = time.monotonic()
        answer.close()
        assert time.monotonic() - started <= 0.05 + GRACE
        assert client.stats().idle == int(kept)


def test_closing_the_client_ends_a_body_that_lasts_until_the_end_of_file() -> None:
    """Its end of file is of our own making: the body must not look complete."""
    go_on = threading.Event()
    got: list[object] = []

    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(head(200) + b"hello")
        conn.wait_closed()

    def read(answer: Any) -> None:
        try:
            for piece in answer.iter_content(None):
                got.append(piece)
                go_on.set()
        except holdfast.RequestException as error:
            got.append(type(error))

    with Server(script) as server:
        client = holdfast.Client(timeout=WAIT, trust_env=False)
        reader = threading.Thread(target=read, args=(client.get(server.url(), stream=True),))
        reader.start()
        assert go_on.wait(WAIT)
        client.close()
        reader.join(WAIT)

    assert got == [b"hello", holdfast.ClientClosed]

"""Http1Connection over a stream without sockets: what arrives is written in the test, and where it is cut."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import h11
import pytest

from holdfast.exceptions import (
    BodyReadTimeout,
    ChunkedEncodingError,
    ConnectionLost,
    HeadersTooLarge,
    IncompleteBody,
    ReadTimeout,
    RemoteProtocolError,
    RequestException,
    SSLError,
    TotalTimeout,
    WriteTimeout,
)
from holdfast.message.span import FilePart, FileSpan
from holdfast.reasons import Delivery, Discard, ExchangeFailed
from holdfast.timeouts import Deadline, Timeouts
from holdfast.wire.framing import ResponseHead, parse_keep_alive
from holdfast.wire.http1 import Http1Connection
from holdfast.wire.limits import MAX_CHUNK_OVERHEAD_BYTES, MAX_FIELDS, MAX_HEAD_BYTES
from holdfast.wire.mending import mend
from holdfast.wire.protocols import Phase
from holdfast.wire.reuse import HEAD_PATIENCE_SECONDS, Habits
from tests.conftest import FakeClock
from tests.server import chunked, head, ok, response

TIMEOUTS = Timeouts()
NO_END = Deadline()
NOTHING = TimeoutError("nothing")  # in a script of reads: nothing comes for as long as one waits
END = b""
STUCK = -1  # in a script of writes: not writable from here on


class Stream:
    """A ByteStream: gives ``reads`` one by one (exceptions are raised), keeps what is written in ``sent``.

    ``takes`` bounds what each write takes, in turn; without more of them, a write takes everything. Once ``early`` bytes
    were written, there is something to read.
    """

    def __init__(self, *reads: bytes | Exception, takes: Sequence[int | Exception] = (), early: int | None = None) -> None:
        self.reads = list(reads)
        self.takes = list(takes)
        self.early = early
        self.sent = b""
        self.waits: list[float | None] = []
        self.written = 0
        self.begun = 0
        self.clean_eof = True
        self.error: OSError | None = None
        self.answer_heard = True
        self.proof = False
        self.strays = False
        self.send_queue = False
        self.hastened = 0
        self.patience: list[float] = []

    def read(self, seconds: float | None) -> bytes:
        self.waits.append(seconds)
        if not self.reads:
            raise TimeoutError("the script of reads is at its end")
        item = self.reads[0]
        if item != END:  # the end stays the end
            self.reads.pop(0)
        if isinstance(item, Exception):
            raise item
        return item

    def read_up_to(self, size: int, seconds: float | None) -> bytes:
        """Never more than was asked for: the rest of what the script has there stays."""
        item = self.read(seconds)
        if len(item) > size:
            self.reads.insert(0, item[size:])
        return item[:size]

    def read_into(self, view: memoryview, seconds: float | None) -> int:
        data = self.read_up_to(len(view), seconds)
        view[: len(data)] = data
        return len(data)

    sends_files = False

    def write_file(self, part: FilePart) -> int:
        raise AssertionError("no socket is known here")

    def write_some(self, data: bytes | memoryview) -> int:
        take = self.takes.pop(0) if self.takes else len(data)
        if isinstance(take, Exception):
            raise take
        taken = bytes(data[:take])
        self.sent += taken
        self.written += len(taken)
        return len(taken)

    def wait_writable_or_readable(self, seconds: float | None) -> tuple[bool, bool]:
        self.waits.append(seconds)
        return self.takes[:1] != [STUCK], self.readable_now()

    def readable_now(self) -> bool:
        return bool(self.reads) and self.early is not None and len(self.sent) >= self.early

    def probe(self, patience: float = 0) -> Discard | None:
        self.patience.append(patience)
        return None

    def hasten(self) -> None:
        self.hastened += 1

    def queued(self) -> bool:
        return self.send_queue

    def begin_exchange(self) -> None:
        self.begun += 1
        self.written = 0

    def acknowledged(self) -> bool:
        return self.answer_heard

    def proven_undelivered(self) -> bool:
        return self.proof

    def close(self, *, polite: bool = True) -> None:
        raise AssertionError("closing is the pool's work")

    def interrupt(self) -> None:
        raise AssertionError("interrupting is the work of the connection's user")

    def forget(self) -> None:
        raise AssertionError("closing is the pool's work")

    def fileno(self) -> int:
        raise AssertionError("no socket is known here")


class Body:
    def __init__(self, *pieces: bytes, data: bytes | None = None) -> None:
        self.pieces = pieces
        self.data = data
        self.given = 0

    def span(self) -> FileSpan | None:
        return None

    def chunks(self) -> Iterator[bytes]:
        for piece in self.pieces:
            self.given += 1
            yield piece


def request(method: str = "GET", *headers: tuple[str, str]) -> h11.Request:
    return h11.Request(method=method, target="/", headers=[("Host", "x"), *headers])


def upload(length: int | None) -> h11.Request:
    framing = ("Transfer-Encoding", "chunked") if length is None else ("Content-Length", str(length))
    return request("POST", framing)


def ask(connection: Http1Connection, method: str = "GET", *headers: tuple[str, str]) -> ResponseHead:
    return connection.exchange(request(method, *headers), None, TIMEOUTS, NO_END)


def body_of(connection: Http1Connection) -> bytes:
    return b"".join(iter(connection.read_body, b""))


def answered(*reads: bytes | Exception, method: str = "GET") -> tuple[ResponseHead, bytes, Discard | None]:
    """Head, body and fate of one exchange over these reads."""
    connection = Http1Connection(Stream(*reads))
    head = ask(connection, method)
    return head, body_of(connection), connection.recycle()


def failure(*reads: bytes | Exception, stream: Stream | None = None, **kw: Any) -> ExchangeFailed:
    connection = Http1Connection(stream or Stream(*reads))
    with pytest.raises(ExchangeFailed) as caught:
        connection.exchange(
            kw.get("request", request()),
            kw.get("body"),
            kw.get("timeouts", TIMEOUTS),
            kw.get("deadline", NO_END),
        )
    assert connection.recycle() is Discard.BROKEN
    return caught.value


# -- framing ----------------------------------------------------------------------------------------------------------

WHOLE = [
    # id, bytes, body, fate
    ("content-length", ok(b"hello"), b"hello", None),
    ("empty", ok(), b"", None),
    ("chunked", chunked(b"hel", b"lo"), b"hello", None),
    ("chunk extensions", head(200, "Transfer-Encoding: chunked") + b"5;a=b\r\nhello\r\n0;c\r\n\r\n", b"hello", None),
    ("trailers", chunked(b"hello", trailers=["X-Sum: 1"]), b"hello", None),
    ("close", ok(b"hello", "Connection: close"), b"hello", Discard.SERVER_CLOSE),
    ("204", head(204), b"", None),
    ("204 with a length", head(204, "Content-Length: 5"), b"", None),
    ("304 with a length", head(304, "Content-Length: 5"), b"", None),
    ("no reason", b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", b"ok", None),
    ("same length twice", head(200, "Content-Length: 2", "Content-Length: 2") + b"ok", b"ok", None),
    ("same length in a list", head(200, "Content-Length: 2, 2") + b"ok", b"ok", None),
    ("bare LF", b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", b"ok", None),
    ("obs-fold", b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok", b"ok", None),
    ("1.0", response(200, b"ok", version="1.0"), b"ok", Discard.SERVER_CLOSE),
    ("1.0 kept", response(200, b"ok", "Connection: Keep-Alive", version="1.0"), b"ok", None),
    ("1.0 both", response(200, b"ok", "Connection: keep-alive, close", version="1.0"), b"ok", Discard.SERVER_CLOSE),
    ("1.9", response(200, b"ok", version="1.9"), b"ok", Discard.SERVER_CLOSE),
    ("length and chunks", chunked(b"hello", headers=["Content-Length: 99"]), b"hello", Discard.SERVER_CLOSE),
    ("length 0 and chunks", chunked(b"hello", headers=["Content-Length: 0"]), b"hello", Discard.SERVER_CLOSE),
    (
        "1.0 and chunks",
        head(200, "Transfer-Encoding: chunked", "Connection: keep-alive", version="1.0") + b"2\r\nok\r\n0\r\n\r\n",
        b"ok",
        Discard.SERVER_CLOSE,
    ),
    ("1xx first", head(100) + head(102) + head(103, "Link: </s>") + ok(b"ok"), b"ok", None),
]


@pytest.mark.parametrize(
    ("reads", "taken", "fate"),
    [
        ((ok(b"hello"),), b"hello", None),
        ((ok(),), b"", None),
        ((head(200, "Content-Length: 5") + b"hell", b"o"), None, None),
        ((ok(b"hello") + b"more",), b"hello", Discard.UNSOLICITED),
        ((chunked(b"hel", b"lo"),), b"hello", None),
        ((chunked(),), b"", None),
        ((chunked(b"hello") + b"more",), None, Discard.UNSOLICITED),
        ((chunked(b"hello") + chunked(b"poison"),), b"hello", Discard.UNSOLICITED),
        ((chunked(b"hello", trailers=["X-Sum: 1"]),), None, None),
    ],
)
def test_a_body_is_taken_whole_only_if_all_of_it_is_here(
    reads: tuple[bytes, ...], taken: bytes | None, fate: Discard | None
) -> None:
    connection = Http1Connection(Stream(*reads))
    ask(connection)

    assert connection.take_whole() == taken
    assert body_of(connection) == (b"hello" if taken is None else b"")
    assert connection.recycle() is fate


CONNECTION_FIELDS = [
    ("close",),
    ("Close",),
    ("keep-alive, close",),
    ("keep-alive,\tCLOSE , x",),
    ("keep-alive", "close"),
    ("keep-alive",),
    ("closed",),
    ("x-close, keep-alive",),
    ('"close"',),
    ("close;q=1",),
    ("",),
]


@pytest.mark.parametrize("values", CONNECTION_FIELDS, ids=" and ".join)
def test_what_the_answer_says_of_the_connection_is_read_as_h11_reads_it(values: tuple[str, ...]) -> None:
    raw = ok(b"hello", *(f"Connection: {value}" for value in values))
    judge = h11.Connection(h11.CLIENT)
    judge.send(request())
    judge.send(h11.EndOfMessage())
    judge.receive_data(raw)
    while type(judge.next_event()) is not h11.EndOfMessage:
        pass

    fate = answered(raw)[2]

    assert fate is (None if judge.our_state is h11.DONE else Discard.SERVER_CLOSE)


@pytest.mark.parametrize(("raw", "body", "fate"), [w[1:] for w in WHOLE], ids=[w[0] for w in WHOLE])
def test_a_response_is_the_same_wherever_it_is_cut(raw: bytes, body: bytes, fate: Discard | None) -> None:
    assert answered(raw)[1:] == (body, fate)
    assert answered(*(raw[i : i + 1] for i in range(len(raw))))[1:] == (body, fate)
    for cut in range(1, len(raw)):
        assert answered(raw[:cut], raw[cut:])[1:] == (body, fate)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_body_without_framing_ends_with_the_connection_and_ends_it(version: str) -> None:
    raw = head(200, "Connection: keep-alive", version=version)

    assert answered(raw, b"hel", b"lo", END)[1:] == (b"hello", Discard.SERVER_CLOSE)


def test_a_body_without_framing_over_tls_needs_the_closure_alert() -> None:
    stream = Stream(head(200), b"hello", END)
    stream.clean_eof = False
    connection = Http1Connection(stream)
    ask(connection)

    assert connection.read_body() == b"hello"
    with pytest.raises(IncompleteBody, match="closure alert") as caught:
        connection.read_body()
    assert (caught.value.received, caught.value.expected) == (5, None)


def test_a_whole_body_needs_no_closure_alert() -> None:
    stream = Stream(head(200, "Content-Length: 5"), b"hello", END)
    stream.clean_eof = False
    connection = Http1Connection(stream)
    ask(connection)

    assert body_of(connection) == b"hello"


def test_trailers_are_kept_apart_and_forgotten_by_the_next_exchange() -> None:
    connection = Http1Connection(Stream(chunked(b"x", trailers=["X-Sum: 1", "Set-Cookie: a=b"]), ok(b"y")))
    ask(connection)
    body_of(connection)

    assert connection.trailers == [(b"X-Sum", b"1"), (b"Set-Cookie", b"a=b")]
    assert connection.recycle() is None
    ask(connection)
    assert connection.trailers == []


def test_remaining_tells_what_is_still_to_come() -> None:
    connection = Http1Connection(Stream(head(200, "Content-Length: 5"), b"hel", b"lo", chunked(b"x")))
    ask(connection)
    assert connection.remaining == 5
    connection.read_body()
    assert connection.remaining == 2
    phases = [connection.phase]
    assert body_of(connection) == b"lo"
    assert [*phases, connection.phase] == [Phase.BODY, Phase.OVER]
    connection.recycle()
    ask(connection)
    assert connection.remaining is None


def test_a_length_beside_chunks_is_not_believed() -> None:
    connection = Http1Connection(Stream(chunked(b"hello", headers=["Content-Length: 0"])))
    ask(connection)

    assert connection.remaining is None


def test_head_fields_are_given_as_they_came() -> None:
    connection = Http1Connection(Stream(b"HTTP/1.1 200 OK\r\nX-A: \xe9\x01\r\nx-b: \xc3\xa9\r\nContent-Length: 0\r\n\r\n"))
    head = ask(connection)

    assert head.raw_headers == [(b"X-A", b"\xe9\x01"), (b"x-b", b"\xc3\xa9"), (b"Content-Length", b"0")]


def test_nothing_is_read_after_the_end_of_the_body() -> None:
    stream = Stream(ok(b"x"), b"never")
    connection = Http1Connection(stream)
    ask(connection)
    body_of(connection)

    assert connection.read_body() == b""
    assert stream.reads == [b"never"]


# -- what is no HTTP/1.x ----------------------------------------------------------------------------------------------

BAD_HEADS = {
    "TLS alert": b"\x15\x03\x01\x00\x02\x02\x16",
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
    "HTML": b"<html><body>hello",
    "ICY": b"ICY 200 OK\r\n\r\n",
    "lower case": b"http/1.1 200 OK\r\n\r\n",
    "empty line first": b"\r\nHTTP/1.1 200 OK\r\n\r\n",
    "LF first": b"\n",
    "As": b"A" * 65536,
    "status 99": b"HTTP/1.1 99 X\r\n\r\n",
    "status 099": b"HTTP/1.1 099 X\r\n\r\n",
    "status 1000": b"HTTP/1.1 1000 X\r\n\r\n",
    "status abc": b"HTTP/1.1 abc X\r\n\r\n",
    "status 20": b"HTTP/1.1 20 X\r\n\r\n",
    "no status": b"HTTP/1.1\r\n\r\n",
    "HTTP/2.0": head(200, version="2.0"),
    "HTTP/1": head(200, version="1"),
    "101": head(101, "Upgrade: websocket", "Connection: upgrade"),
    "NUL": head(200, "X: a\0b"),
    "bare CR": head(200, "X: a\rb"),
    "space before colon": head(200, "X : a"),
    "no colon": head(200, "X"),
    "no name": head(200, ": a"),
    "obs-fold first": b"HTTP/1.1 200 OK\r\n X: a\r\n\r\n",
    "lengths differ": head(200, "Content-Length: 1", "Content-Length: 2"),
    "lengths differ in a list": head(200, "Content-Length: 1, 2"),
    "+5": head(200, "Content-Length: +5"),
    "-1": head(200, "Content-Length: -1"),
    "5_0": head(200, "Content-Length: 5_0"),
    "0x5": head(200, "Content-Length: 0x5"),
    "arabic digit": head(200)[:-2] + "Content-Length: ٣\r\n\r\n".encode(),
    "huge length": head(200, "Content-Length: " + "9" * 21),
    "5000 digits": head(200, "Content-Length: " + "9" * 5000),
    "no length": head(200, "Content-Length:"),
    "gzip, chunked": head(200, "Transfer-Encoding: gzip, chunked"),
    "xchunked": head(200, "Transfer-Encoding: xchunked"),
    "gzip beside chunked": head(200, "Transfer-Encoding: gzip", "Transfer-Encoding: chunked"),
    "gzip, identity": head(200, "Transfer-Encoding: gzip, identity", "Content-Length: 2"),
    "chunked with a space before the colon": head(200, "Transfer-Encoding : chunked", "Transfer-Encoding: chunked"),
    "identity, and lengths differ": head(200, "Transfer-Encoding: identity", "Content-Length: 1", "Content-Length: 2"),
    "chunked twice, and no field": head(200, "Transfer-Encoding: chunked, chunked", "X"),
    "chunked twice, informational": head(103, "Transfer-Encoding: chunked, chunked"),
    "no length, and a close": head(200, "Content-Length:", "Connection: close"),
    "+5, and a close": head(200, "Content-Length: +5", "Connection: close"),
}


CHUNKS = b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"
MENDED = {
    # id: (fields, what follows, body)
    "chunked twice": (["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], CHUNKS, b"hello"),
    "chunked, chunked": (["transfer-encoding:chunked ,Chunked"], CHUNKS, b"hello"),
    "chunked, and an empty element": (["Transfer-Encoding: chunked,"], CHUNKS, b"hello"),
    "identity, chunked": (["Transfer-Encoding: identity", "Transfer-Encoding: chunked"], CHUNKS, b"hello"),
    "folded": (["Transfer-Encoding: chunked,\r\n chunked"], CHUNKS, b"hello"),
    "chunked twice and a length": (["Transfer-Encoding: chunked, chunked", "Content-Length: 99"], CHUNKS, b"hello"),
    "identity and a length": (["Transfer-Encoding: IDENTITY", "Content-Length: 5"], b"hello", b"hello"),
    "identity and two equal": (["Content-Length: 5", "Transfer-Encoding: identity", "Content-Length: 5"], b"hello", b"hello"),
    "no coding and a length": (["Transfer-Encoding:", "Content-Length: 5"], b"hello", b"hello"),
    "identity alone": (["Transfer-Encoding: identity"], b"hello", b"hello"),
    "chunked, and no length": (["Transfer-Encoding: chunked", "Content-Length:"], CHUNKS, b"hello"),
    "chunked, and +5": (["Content-Length: +5", "Transfer-Encoding: chunked"], CHUNKS, b"hello"),
    "chunked, and two lengths": (["Transfer-Encoding: chunked", "Content-Length: 1", "Content-Length: 2"], CHUNKS, b"hello"),
}


@pytest.mark.parametrize(("fields", "rest", "body"), MENDED.values(), ids=MENDED.keys())
@pytest.mark.parametrize("size", [1, 7, 10**6])
def test_what_all_clients_read_alike_is_read_and_the_connection_ends(
    fields: list[str], rest: bytes, body: bytes, size: int
) -> None:
    raw = head(103, "Link: </a>") + head(200, "X-A: 1", *fields, "X-B: 2") + rest
    connection = Http1Connection(Stream(*(raw[i : i + size] for i in range(0, len(raw), size)), END))
    answer = ask(connection)

    assert body_of(connection) == body
    assert connection.trailers == ([(b"X-Sum", b"1")] if rest is CHUNKS else [])
    assert connection.recycle() is Discard.SERVER_CLOSE
    # As they came, but for h11's own: folds are one space, and what it understood of Content-Length is there once.
    names = [name.lower() for name, _ in answer.raw_headers]
    assert (names[0], names[-1]) == (b"x-a", b"x-b")
    assert set(names[1:-1]) == {field.partition(":")[0].lower().encode() for field in fields}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "field",
    [
        "Content-Length:",
        "Content-Length: +5",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: gzip\r\nContent-Length: +5",
    ],
)
def test_where_there_is_no_body_its_framing_does_not_matter(method: str, field: str) -> None:
    raw = head(304 if method == "GET" else 200, field, "ETag: x")
    answer, body, fate = answered(raw, method=method)

    assert (body, answer.expected, fate) == (b"", 0, Discard.SERVER_CLOSE)


def test_a_mended_answer_in_the_middle_of_an_upload_stops_it() -> None:
    raw = head(413, "Transfer-Encoding: chunked, chunked") + CHUNKS
    connection, answer = send(Stream(raw, early=2000), upload(50_000), Body(*[b"x" * 1000] * 50))

    assert answer.request_incomplete
    assert body_of(connection) == b"hello"
    assert connection.recycle() is Discard.SERVER_CLOSE


def test_a_field_by_the_name_that_stands_in_for_a_hidden_one_keeps_its_own() -> None:
    fields = ["Holdfast-Hidden: mine", "Transfer-Encoding: identity", "holdfast-hidden-: mine too", "Content-Length: 0"]
    answer, _, _ = answered(head(200, *fields))

    assert [b": ".join(field).decode() for field in answer.raw_headers] == fields


def test_a_mended_head_is_bounded_as_any_other() -> None:
    long = ["X: " + "a" * 200] * (MAX_FIELDS + 1)

    assert isinstance(failure(head(200, "Transfer-Encoding: identity", *long)).error, HeadersTooLarge)


@pytest.mark.parametrize("line", ["Transfer-Encoding:{}", "Content-Length: 1{}", "X: a\r\nTransfer-Encoding: identity{}"])
@pytest.mark.parametrize("part", [" ,", "\r\n ", "\t"])
def test_mending_takes_linear_time(line: str, part: str) -> None:
    def seconds(count: int) -> float:
        raw = head(200, line.format(part * count))
        started = time.process_time()
        for _ in range(5):
            mend(raw, b"GET")
        return time.process_time() - started

    seconds(1000)
    assert seconds(40_000) < 12 * seconds(10_000)


@pytest.mark.parametrize("raw", BAD_HEADS.values(), ids=BAD_HEADS.keys())
def test_what_is_no_http_is_refused_at_once(raw: bytes) -> None:
    """No read after these bytes: whoever waits for more would wait for the read timeout."""
    failed = failure(raw)

    assert isinstance(failed.error, RemoteProtocolError)
    assert failed.delivery is Delivery.ANSWERED
    assert len(str(failed.error)) < 600


def test_a_switch_of_protocols_is_refused_even_where_it_was_asked_for() -> None:
    asked = request("GET", ("Upgrade", "websocket"), ("Connection", "upgrade"))
    failed = failure(head(101, "Upgrade: websocket", "Connection: upgrade") + b"\x81\x00", request=asked)

    assert isinstance(failed.error, RemoteProtocolError)
    assert "101" in str(failed.error)


def test_a_message_quotes_at_most_a_hundred_escaped_bytes() -> None:
    message = str(failure(b"\x1b[31m" + b"A" * 1000 + b"\r\n\r\n").error)

    assert "\x1b" not in message
    assert message.count("A") <= 100


BAD_CHUNKS = {
    "no hex": b"xyz\r\n",
    "0x": b"0x5\r\nhello\r\n",
    "negative": b"-5\r\nhello\r\n",
    "plus": b"+5\r\nhello\r\n",
    "underscore": b"5_0\r\n",
    "32 digits": b"F" * 32 + b"\r\n",
    "no size": b"\r\nhello",
    "no CRLF behind the data": b"5\r\nhello!!0\r\n\r\n",
    "shorter than it says": b"6\r\nhello\r\n0\r\n\r\n",
    "footer": b"5\r\nhelloXX0\r\n\r\n",
    "bad trailer": b"0\r\nX : y\r\n\r\n",
}


LF_CHUNKS = {
    "size": b"5\nhello\n0\n\n",
    "size with an extension": b"5;a=b\nhello\r",
    "size with a space": b"5 \nhello",
    "size later": b"5\r\nhello\r\n5\nhello",
    "last size": b"5\r\nhello\r\n0\n",
    "LF alone": b"\n",
    "text": b"hello world",
    "HTML": b"<html>",
    "JSON": b'{"a": 1}',
}


@pytest.mark.parametrize("raw", LF_CHUNKS.values(), ids=LF_CHUNKS.keys())
@pytest.mark.parametrize("size", [1, 10**6])
def test_what_will_never_be_a_chunk_is_not_waited_for(raw: bytes, size: int) -> None:
    """h11 waits for CRLF, which a server that ends lines by LF does not send: 60 seconds, and then a wrong reason."""
    reads = [raw[i : i + size] for i in range(0, len(raw), size)]
    connection = Http1Connection(Stream(head(200, "Transfer-Encoding: chunked"), *reads, NOTHING))
    ask(connection)

    with pytest.raises(RemoteProtocolError, match="chunked framing is damaged") as caught:
        body_of(connection)
    assert isinstance(caught.value, ChunkedEncodingError)
    assert connection.recycle() is Discard.BROKEN


@pytest.mark.parametrize("raw", BAD_CHUNKS.values(), ids=BAD_CHUNKS.keys())
def test_damaged_chunks_are_refused(raw: bytes) -> None:
    connection = Http1Connection(Stream(head(200, "Transfer-Encoding: chunked"), raw))
    ask(connection)

    with pytest.raises(RemoteProtocolError) as caught:
        body_of(connection)
    assert isinstance(caught.value, ChunkedEncodingError), "requests has this name for it"
    assert connection.recycle() is Discard.BROKEN


# -- limits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        head(200, "X: " + "a" * MAX_HEAD_BYTES, "Content-Length: 0"),
        head(200, *["X: a"] * (MAX_FIELDS + 1)),
        head(200, *[f"X{i}: " + "a" * 600 for i in range(120)]),
        b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 20_000,
        b"HTTP/1.1 200 " + b"A" * 70_000,
    ],
    ids=["one long line", "too many fields", "too many bytes", "endless fields", "endless status line"],
)
@pytest.mark.parametrize("size", [1000, 65536, 10**9], ids=["dripped", "read by read", "at once"])
def test_a_head_is_bounded(raw: bytes, size: int) -> None:
    failed = failure(*(raw[i : i + size] for i in range(0, len(raw), size)))

    assert isinstance(failed.error, HeadersTooLarge)
    assert failed.delivery is Delivery.ANSWERED


def test_a_head_just_below_the_bounds_is_read() -> None:
    fields = ["X: " + "a" * 200] * (MAX_FIELDS - 1)

    assert answered(head(200, *fields, "Content-Length: 0"))[1:] == (b"", None)


def test_a_small_head_is_not_blamed_for_the_body_that_came_with_it() -> None:
    body = b"x" * (MAX_HEAD_BYTES * 2)

    assert answered(ok(body))[1] == body


def test_a_million_chunk_bytes_of_one_byte_each_are_read_in_linear_time() -> None:
    def seconds(count: int) -> float:
        raw = head(200, "Transfer-Encoding: chunked") + b"1\r\nx\r\n" * count + b"0\r\n\r\n"
        reads = [raw[i : i + 65536] for i in range(0, len(raw), 65536)]
        started = time.process_time()
        assert len(answered(*reads)[1]) == count
        return time.process_time() - started

    seconds(1000)
    assert seconds(80_000) < 12 * seconds(20_000)


CHUNK_FLOODS = {
    "extension on every chunk": b"".join(b"1;" + b"e" * 4000 + b"\r\nx\r\n" for _ in range(50)),
    "one long extension": b"1;" + b"e" * (MAX_CHUNK_OVERHEAD_BYTES + 5000),
    "endless size line": b"0" * (MAX_CHUNK_OVERHEAD_BYTES + 5000),
    "trailers": b"0\r\n" + b"X: a\r\n" * 4000,
    "one long trailer": b"0\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
    "too many trailers": b"0\r\n" + b"X: a\r\n" * (MAX_FIELDS + 1) + b"\r\n",
}


@pytest.mark.parametrize("flood", CHUNK_FLOODS.values(), ids=CHUNK_FLOODS.keys())
@pytest.mark.parametrize("size", [100, 4096, 10**9])
def test_what_surrounds_chunks_is_bounded(flood: bytes, size: int) -> None:
    reads = [flood[i : i + size] for i in range(0, len(flood), size)]
    connection = Http1Connection(Stream(head(200, "Transfer-Encoding: chunked"), *reads))
    ask(connection)

    with pytest.raises(RemoteProtocolError):
        body_of(connection)
    assert connection.recycle() is Discard.BROKEN


def test_honest_extensions_are_not_minded() -> None:
    pieces = [b"%x;sig=%064d\r\n%s\r\n" % (1000, i, b"x" * 1000) for i in range(500)]

    assert len(answered(head(200, "Transfer-Encoding: chunked"), *pieces, b"0\r\n\r\n")[1]) == 500_000


# -- informational responses ------------------------------------------------------------------------------------------


def test_informational_responses_are_passed_on() -> None:
    told: list[tuple[int, list[tuple[bytes, bytes]]]] = []
    connection = Http1Connection(Stream(head(103, "Link: </a>") + head(103, "Link: </b>") + ok()))
    connection.exchange(request(), None, TIMEOUTS, NO_END, lambda status, fields: told.append((status, fields)))

    assert told == [(103, [(b"Link", b"</a>")]), (103, [(b"Link", b"</b>")])]


@pytest.mark.parametrize("size", [25, 65536])
def test_endless_informational_responses_end(size: int) -> None:
    raw = head(100) * 5000
    failed = failure(*(raw[i : i + size] for i in range(0, len(raw), size)))

    assert isinstance(failed.error, RemoteProtocolError)
    assert "32" in str(failed.error)


def test_thirty_two_informational_responses_are_read() -> None:
    assert answered(head(100) * 32 + ok(b"x"))[1] == b"x"


def test_what_a_hook_raises_comes_out_as_it_is() -> None:
    def hook(status: int, fields: object) -> None:
        raise KeyError("mine")

    connection = Http1Connection(Stream(head(103) + ok()))
    with pytest.raises(KeyError, match="mine"):
        connection.exchange(request(), None, TIMEOUTS, NO_END, hook)
    assert connection.recycle() is Discard.BROKEN


# -- reuse: the one gate back to the pool -----------------------------------------------------------------------------


@pytest.mark.parametrize("surplus", [b"\r\n", b"x", ok(b"surplus"), b"\0"], ids=["CRLF", "x", "response", "NUL"])
@pytest.mark.parametrize(
    ("method", "raw"),
    [("GET", ok(b"one")), ("GET", chunked(b"one")), ("GET", head(204)), ("GET", head(304)), ("HEAD", head(200))],
    ids=["length", "chunked", "204", "304", "HEAD"],
)
def test_nothing_left_over_reaches_the_next_request(method: str, raw: bytes, surplus: bytes) -> None:
    glued = raw + surplus
    for cut in range(len(raw) + 1, len(glued) + 1):
        connection = Http1Connection(Stream(glued[:cut], glued[cut:] or NOTHING))
        ask(connection, method)
        body_of(connection)
        assert connection.recycle() is Discard.UNSOLICITED


def test_one_connection_carries_many_exchanges() -> None:
    stream = Stream(*[ok(b"%d" % i) for i in range(5)])
    connection = Http1Connection(stream)

    for i in range(5):
        ask(connection)
        assert body_of(connection) == b"%d" % i
        assert connection.recycle() is None
    assert stream.begun == 5
    assert stream.sent.count(b"GET / HTTP/1.1\r\n") == 5


def after_upload(*reads: bytes, queued: bool = False, body: Body | None = None, said: str = "") -> Http1Connection:
    stream = Stream(*reads)
    stream.send_queue = queued
    connection, _ = send(stream, upload(5), body or Body(data=b"hello"))
    body_of(connection)
    return connection


def test_an_answer_that_proves_that_the_body_was_read_gives_the_connection_back() -> None:
    assert after_upload(ok()).recycle() is None
    assert after_upload(ok(), queued=True).recycle() is Discard.REFUSED
    assert after_upload(response(404)).recycle() is Discard.REFUSED
    assert after_upload(response(404, b"", "Connection: close")).recycle() is Discard.SERVER_CLOSE


def test_a_connection_for_the_next_leg_says_so_and_carries_it() -> None:
    connection = after_upload(response(401, b"", "WWW-Authenticate: NTLM"), ok())

    assert (connection.recycle(), connection.once) == (None, True)
    connection.once = False
    ask(connection)
    assert connection.read_body() == b""
    assert (connection.recycle(), connection.once) == (None, False)


def test_http_1_0_with_keep_alive_is_no_proof_that_a_body_was_read() -> None:
    kept = response(404, b"", "Connection: keep-alive", version="1.0")
    assert after_upload(kept).recycle() is Discard.REFUSED


EXPECTING = request("POST", ("Content-Length", "5"), ("EXPECT", "100-Continue"))


def test_a_body_that_waits_for_a_100_stays_here_until_it_comes() -> None:
    stream = Stream(head(100), ok())
    sent: list[bytes] = []
    connection = Http1Connection(stream)
    connection.exchange(EXPECTING, Body(data=b"hello"), TIMEOUTS, NO_END, lambda *_: sent.append(stream.sent))

    assert sent[0].endswith(b"\r\n\r\n")
    assert stream.sent == sent[0] + b"hello"
    assert connection.recycle() is Discard.BROKEN, "nobody has seen the end of the body yet"
    connection.read_body()
    assert connection.recycle() is None


@pytest.mark.parametrize(("expect", "wait"), [(1.0, 1.0), (None, 60.0), (0.5, 0.5)])
def test_the_wait_for_a_100_is_a_setting(expect: float | None, wait: float) -> None:
    stream = Stream(NOTHING, ok())
    send(stream, EXPECTING, Body(data=b"hello"), timeouts=Timeouts(expect=expect))

    assert stream.waits[0] == pytest.approx(wait, abs=0.1)
    assert stream.sent.endswith(b"hello")


def test_a_write_that_fails_while_a_100_is_due_still_reads_the_answer() -> None:
    stream = Stream(response(413, b"no"), takes=[ConnectionResetError(104, "reset")])
    _, answer = send(stream, EXPECTING, Body(data=b"hello"))

    assert (answer.status_code, answer.request_incomplete) == (413, True)


def test_a_connection_that_breaks_while_a_100_is_due_says_how_far_it_got() -> None:
    with pytest.raises(ExchangeFailed) as raised:
        send(Stream(ConnectionResetError(104, "reset")), EXPECTING, Body(data=b"hello"))
    assert raised.value.delivery is Delivery.UNKNOWN


def test_an_answer_in_one_piece_asks_the_kernel_for_nothing() -> None:
    connection, _ = send(stream := Stream(ok(b"hello")), upload(5), Body(data=b"hello"))
    body_of(connection)
    assert stream.hastened == 0


def test_every_wait_for_more_of_an_answer_is_hastened() -> None:
    stream = Stream(b"HTTP/1.1 200 OK\r\n", b"Content-Length: 4\r\n\r\n", b"bo", b"dy")
    connection = Http1Connection(stream)
    ask(connection)
    assert body_of(connection) == b"body"
    assert stream.hastened == 3


def test_a_read_of_what_is_here_waits_for_nothing() -> None:
    stream = Stream(head(200, "Content-Length: 5") + b"he")
    connection = Http1Connection(stream)
    ask(connection)
    waits = len(stream.waits)
    assert connection.read_body_within(0) == b"he"
    with pytest.raises(BodyReadTimeout):
        connection.read_body_within(0)
    assert len(stream.waits) == waits


def test_bytes_behind_the_answer_to_a_head_are_remembered_of_the_origin() -> None:
    habits = Habits()
    for reads, method in (([ok() + b"x"], "GET"), ([head(200) + b"x"], "HEAD")):
        connection = Http1Connection(Stream(*reads), habits)
        ask(connection, method)
        body_of(connection)
        assert connection.recycle() is Discard.UNSOLICITED
        assert habits.strays_after_head is (True if method == "HEAD" else None)
    another = Http1Connection(Stream(head(200), ok()), habits)
    ask(another, "HEAD")
    assert another.read_body() == b""
    assert another.recycle() is Discard.UNSOLICITED


def test_the_first_connection_of_an_origin_that_is_to_be_used_after_a_head_is_looked_at_for_longer() -> None:
    habits = Habits()
    stream = Stream(ok(), head(200), head(200))
    connection = Http1Connection(stream, habits)
    for method in ("GET", "HEAD", "HEAD"):
        ask(connection, method)
        connection.read_body()
        assert connection.recycle() is None
        assert connection.probe() is None
    assert stream.patience == [0, 0, HEAD_PATIENCE_SECONDS, 0]
    assert habits.strays_after_head is False


def test_an_answer_from_before_its_request_is_remembered_if_it_came_behind_a_head() -> None:
    habits = Habits()
    stream = Stream(head(200), response(404), END)
    connection = Http1Connection(stream, habits)
    ask(connection, "HEAD")
    connection.read_body()
    assert connection.recycle() is None
    stream.answer_heard = False
    with pytest.raises(ExchangeFailed):
        ask(connection)
    assert habits.strays_after_head


@pytest.mark.parametrize("late", [b"hello", b"<html>\r\n\r\n" + ok(), b"\x1f\x8b\x08"])
def test_what_is_no_answer_is_the_body_of_the_head_before_and_is_remembered(late: bytes) -> None:
    habits = Habits()
    connection = Http1Connection(Stream(head(200), late), habits)
    ask(connection, "HEAD")
    connection.read_body()
    assert connection.recycle() is None

    with pytest.raises(ExchangeFailed, match="a body behind its answer to the HEAD") as caught:
        ask(connection)

    assert caught.value.delivery is Delivery.UNKNOWN
    assert habits.strays_after_head


@pytest.mark.parametrize("before", ["GET", "HEAD"])
def test_what_is_no_answer_is_the_servers_fault_if_no_head_was_before_it_or_an_answer_has_begun(before: str) -> None:
    first, informational = (ok(), b"") if before == "GET" else (head(200), response(100))
    connection = Http1Connection(Stream(first, informational + b"hello"))
    ask(connection, before)
    body_of(connection)
    assert connection.recycle() is None

    with pytest.raises(ExchangeFailed, match="is not HTTP") as caught:
        ask(connection)

    assert caught.value.delivery is Delivery.ANSWERED


def test_http_1_0_with_keep_alive_carries_many_exchanges() -> None:
    kept = response(200, b"x", "Connection: keep-alive", version="1.0")
    connection = Http1Connection(Stream(kept, kept, response(200, b"x", version="1.0")))

    fates = []
    for _ in range(3):
        ask(connection)
        assert body_of(connection) == b"x"
        fates.append(connection.recycle())
    assert fates == [None, None, Discard.SERVER_CLOSE]


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_request_that_says_close_is_the_last_one(version: str) -> None:
    connection = Http1Connection(Stream(response(200, b"x", "Connection: keep-alive", version=version)))
    ask(connection, "GET", ("Connection", "close"))
    body_of(connection)

    assert connection.recycle() is Discard.SERVER_CLOSE


def test_an_unread_body_does_not_go_back() -> None:
    connection = Http1Connection(Stream(ok(b"hello")))
    ask(connection)

    assert connection.recycle() is Discard.BROKEN


def test_the_end_of_the_connection_behind_a_whole_response_is_noticed() -> None:
    connection = Http1Connection(Stream(head(200, "Transfer-Encoding: chunked"), b"0\r\n\r", b"\n", END))
    ask(connection)
    body_of(connection)

    assert connection.recycle() is None, "the end was not read: the probe will find it"


def test_the_answer_to_a_connect_ends_http() -> None:
    connection = Http1Connection(Stream(head(200, "Content-Length: 7") + b"tunnel"))
    connection.exchange(h11.Request(method="CONNECT", target="a:1", headers=[("Host", "a:1")]), None, TIMEOUTS, NO_END)

    assert connection.remaining == 0
    assert body_of(connection) == b""
    assert connection.recycle() is not None


@pytest.mark.parametrize(
    ("value", "parsed"),
    [
        (b"timeout=5, max=100", (5.0, 100)),
        (b"timeout=5", (5.0, None)),
        (b"max=3", (None, 3)),
        (b'TimeOut = "7" ,max= 2', (7.0, 2)),
        (b"timeout=-1, max=x", (None, None)),
        (b"timeout=9999999999", (None, None)),
        (b"timeout=\xb2", (None, None)),
        (b"", (None, None)),
        (b"5", (None, None)),
        (b"," * 1000 + b"max=1", (None, None)),
    ],
)
def test_the_servers_hint(value: bytes, parsed: tuple[float | None, int | None]) -> None:
    assert parse_keep_alive(value) == parsed


def test_the_hint_is_of_the_last_response_only() -> None:
    connection = Http1Connection(Stream(ok(b"", "Keep-Alive: timeout=5, max=9"), ok()))
    first = ask(connection)
    body_of(connection)
    connection.recycle()
    second = ask(connection)

    assert (first.keep_alive, second.keep_alive) == ((5.0, 9), (None, None))


# -- sending ----------------------------------------------------------------------------------------------------------


class Counting(Stream):
    def __init__(self, *reads: bytes, **kw: Any) -> None:
        super().__init__(*reads, **kw)
        self.writes: list[int] = []

    def write_some(self, data: bytes | memoryview) -> int:
        self.writes.append(len(data))
        return super().write_some(data)


def send(stream: Stream, event: h11.Request, body: Body | None, **kw: Any) -> tuple[Http1Connection, ResponseHead]:
    connection = Http1Connection(stream)
    head = connection.exchange(event, body, kw.get("timeouts", TIMEOUTS), kw.get("deadline", NO_END))
    return connection, head


def test_head_and_small_body_leave_in_one_write() -> None:
    stream = Counting(ok())
    send(stream, upload(5), Body(data=b"hello"))

    assert len(stream.writes) == 1
    assert stream.sent.endswith(b"\r\n\r\nhello")


def test_a_large_body_leaves_in_pieces_the_first_with_the_head() -> None:
    stream = Counting(ok())
    connection, _ = send(stream, upload(200_000), Body(data=b"x" * 200_000))

    assert [size for size in stream.writes if size] == [65536 + 52, 65536, 65536, 200_000 - 3 * 65536]
    assert stream.sent.endswith(b"\r\n\r\n" + b"x" * 200_000)
    assert body_of(connection) == b""
    assert connection.recycle() is None


def test_an_iterator_is_sent_in_chunks_and_empty_pieces_do_not_end_it() -> None:
    stream = Stream(ok())
    send(stream, upload(None), Body(b"", b"ab", b"", b"c"))

    assert stream.sent.endswith(b"\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n")


@pytest.mark.parametrize("verdict", [Discard.STALE, Discard.UNSOLICITED])
def test_a_connection_that_became_unfit_while_the_body_was_made_is_not_written_to(verdict: Discard) -> None:
    class Unfit(Stream):
        def probe(self, patience: float = 0) -> Discard | None:
            return verdict

    stream = Unfit(ok(b"poison"))
    failed = failure(stream=stream, request=upload(None), body=Body(b"mine"))

    assert failed.delivery is Delivery.NOT_WRITTEN
    assert isinstance(failed.error, ConnectionLost)
    assert failed.error.may_have_executed is False
    assert stream.sent == b""


def test_what_tls_said_before_the_request_is_told_as_a_tls_error() -> None:
    class Refused(Stream):
        def probe(self, patience: float = 0) -> Discard | None:
            self.error = ssl.SSLError(1, "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] certificate required")
            return Discard.STALE

    stream = Refused()
    failed = failure(stream=stream, request=upload(None), body=Body(b"mine"))

    assert failed.delivery is Delivery.NOT_WRITTEN
    assert isinstance(failed.error, SSLError)
    assert "certificate required" in str(failed.error)
    assert stream.sent == b""


def test_an_empty_iterator_is_an_empty_body() -> None:
    stream = Stream(ok())
    send(stream, upload(None), Body())

    assert stream.sent.endswith(b"\r\n\r\n0\r\n\r\n")


@pytest.mark.parametrize("takes", [[1] * 300, [10, 0, 10], [0, 0, 1]])
def test_a_write_that_is_cut_short_goes_on_where_it_stopped(takes: list[int]) -> None:
    stream = Stream(ok(), takes=takes)
    _, answer = send(stream, upload(5), Body(data=b"hello"))

    assert stream.sent.startswith(b"POST / HTTP/1.1\r\n")
    assert stream.sent.endswith(b"\r\n\r\nhello")
    assert not answer.request_incomplete


def test_a_server_that_stops_reading_ends_the_upload() -> None:
    stream = Stream(takes=[10, STUCK])
    failed = failure(stream=stream, request=upload(5), body=Body(data=b"hello"), timeouts=Timeouts(write=0.01))

    assert isinstance(failed.error, WriteTimeout)
    assert failed.timed_out
    assert failed.delivery is Delivery.UNKNOWN
    assert "0.01" in str(failed.error)


def test_a_server_that_takes_nothing_is_given_up_on_a_clock_that_stands_still() -> None:
    """The wait was as long as it was to be: no clock has to say so."""
    failed = failure(
        stream=Stream(takes=[10, STUCK]),
        request=upload(5),
        body=Body(data=b"hello"),
        timeouts=Timeouts(write=0.5),
        deadline=Deadline(9.0, FakeClock()),
    )

    assert isinstance(failed.error, WriteTimeout)


def test_a_writable_stream_that_takes_nothing_does_not_spin_for_ever() -> None:
    """TLS: writable, but the record wants to read first."""
    stream = Stream(takes=[10, *[0] * 10**6])
    failed = failure(stream=stream, request=upload(5), body=Body(data=b"hello"), timeouts=Timeouts(write=0.02))

    assert isinstance(failed.error, WriteTimeout)


def test_the_total_time_ends_an_upload_that_never_waits() -> None:
    clock = FakeClock()

    class Endless(Body):
        def chunks(self) -> Iterator[bytes]:
            while True:
                clock.advance(0.1)
                yield b"x" * 1000

    failed = failure(stream=Stream(), request=upload(None), body=Endless(), deadline=Deadline(2.0, clock))

    assert isinstance(failed.error, TotalTimeout)
    assert "2.0 s" in str(failed.error)
    assert "sending" in str(failed.error)


def test_an_answer_before_the_end_of_the_upload_stops_it() -> None:
    stream = Stream(response(413, b"no"), early=2000)
    body = Body(*[b"x" * 1000] * 50)
    connection, answer = send(stream, upload(50_000), body)

    assert answer.request_incomplete
    assert body.given < 5
    assert body_of(connection) == b"no"
    assert connection.recycle() is Discard.REFUSED


def test_an_answer_in_the_middle_of_a_single_write_stops_it() -> None:
    """The rest of the body was never sent: the server would read the next request as that rest."""
    stream = Stream(response(413, b"no"), takes=[60, STUCK], early=60)
    connection, answer = send(stream, upload(5000), Body(data=b"x" * 5000))

    assert answer.request_incomplete
    assert body_of(connection) == b"no"
    assert connection.recycle() is Discard.REFUSED


def test_an_answer_behind_the_last_piece_is_no_early_answer() -> None:
    stream = Stream(ok(b"thanks"), early=100_000)
    connection, answer = send(stream, upload(100_000), Body(data=b"x" * 100_000))

    assert not answer.request_incomplete
    assert body_of(connection) == b"thanks"
    assert connection.recycle() is None


def test_an_answer_before_the_last_chunk_still_gets_the_end_of_the_request() -> None:
    stream = Stream(ok(b"thanks"), early=200)
    connection, answer = send(stream, upload(None), Body(b"x" * 200))

    assert stream.sent.endswith(b"0\r\n\r\n")
    assert not answer.request_incomplete
    assert body_of(connection) == b"thanks"
    assert connection.recycle() is None


def test_an_informational_response_does_not_stop_an_upload() -> None:
    stream = Stream(head(100), ok(b"done"), early=1)
    _, answer = send(stream, upload(3000), Body(b"x" * 1000, b"y" * 1000, b"z" * 1000))

    assert answer.request_incomplete is (not stream.sent.endswith(b"z"))


def test_half_a_head_does_not_stop_an_upload() -> None:
    stream = Stream(b"HTTP/1.1 200", NOTHING, NOTHING, b" OK\r\nContent-Length: 0\r\n\r\n", early=1)
    _, answer = send(stream, upload(4000), Body(*[b"x" * 1000] * 4))

    assert not answer.request_incomplete
    assert len(stream.sent) > 4000


def test_an_answer_is_read_after_the_server_stopped_taking_the_request() -> None:
    stream = Stream(response(413, b"no"), takes=[60, BrokenPipeError(32, "Broken pipe")])
    connection, answer = send(stream, upload(5000), Body(data=b"x" * 5000))

    assert answer.request_incomplete
    assert body_of(connection) == b"no"
    assert connection.recycle() is Discard.BROKEN


def test_a_piece_that_cannot_be_written_is_the_last_one() -> None:
    stream = Stream(response(413, b"no"), takes=[10**6, BrokenPipeError(32, "Broken pipe")])
    body = Body(*[b"x" * 1000] * 50)
    connection, answer = send(stream, upload(50_000), body)

    assert answer.request_incomplete
    assert body.given == 2
    assert body_of(connection) == b"no"


@pytest.mark.parametrize("error", [BrokenPipeError(32, "Broken pipe"), ConnectionResetError(104, "Connection reset")])
def test_a_failed_write_without_an_answer_names_the_write(error: OSError) -> None:
    failed = failure(stream=Stream(END, takes=[60, error]), request=upload(5000), body=Body(data=b"x" * 5000))

    assert isinstance(failed.error, ConnectionLost)
    assert failed.delivery is Delivery.UNKNOWN
    assert str(error.strerror) in str(failed.error)


def test_nothing_written_is_known_as_such() -> None:
    failed = failure(stream=Stream(END, takes=[BrokenPipeError(32, "Broken pipe")]))

    assert failed.delivery is Delivery.NOT_WRITTEN
    assert isinstance(failed.error, ConnectionLost)
    assert failed.error.may_have_executed is False


def test_last_words_are_not_waited_for_as_long_as_an_answer() -> None:
    stream = Stream(takes=[BrokenPipeError(32, "Broken pipe")])
    failed = failure(stream=stream)

    assert isinstance(failed.error, ConnectionLost)
    assert failed.timed_out
    assert stream.waits[0] is not None
    assert stream.waits[0] <= 2.0


@pytest.mark.parametrize("boom", [ValueError("mine"), OSError("disk"), TimeoutError("db"), KeyboardInterrupt()])
def test_what_the_bodys_iterator_raises_comes_out_as_it_is(boom: BaseException) -> None:
    class Broken(Body):
        def chunks(self) -> Iterator[bytes]:
            yield b"x"
            raise boom

    stream = Stream()
    connection = Http1Connection(stream)
    with pytest.raises(type(boom)) as caught:
        connection.exchange(upload(None), Broken(), TIMEOUTS, NO_END)
    assert caught.value is boom
    assert not stream.sent.endswith(b"0\r\n\r\n"), "it would look complete"
    assert connection.recycle() is Discard.BROKEN


@pytest.mark.parametrize("pieces", [[b"abcdef"], [b"ab"], []], ids=["longer", "shorter", "empty"])
def test_a_body_that_is_not_as_long_as_it_says_is_our_own_fault(pieces: list[bytes]) -> None:
    connection = Http1Connection(Stream(ok()))

    with pytest.raises(h11.LocalProtocolError):
        connection.exchange(upload(4), Body(*pieces), TIMEOUTS, NO_END)
    assert connection.recycle() is Discard.BROKEN


@pytest.mark.parametrize("error", [ConnectionResetError(104, "reset"), END], ids=["RST", "FIN"])
def test_the_connections_end_during_an_upload_is_no_answer(error: Any) -> None:
    stream = Stream(error, early=1000)
    failed = failure(stream=stream, request=upload(5000), body=Body(*[b"x" * 1000] * 5))

    assert isinstance(failed.error, ConnectionLost)
    assert failed.delivery is Delivery.UNKNOWN
    assert failed.error.may_have_executed


# -- how far it got ---------------------------------------------------------------------------------------------------

WITHOUT_AN_ANSWER = [END, ConnectionResetError(104, "Connection reset by peer"), ConnectionAbortedError(103, "gone")]


@pytest.mark.parametrize("end", WITHOUT_AN_ANSWER, ids=["FIN", "RST", "aborted"])
@pytest.mark.parametrize("proof", [True, False])
def test_no_answer_at_all(end: Any, proof: bool) -> None:
    stream = Stream(end)
    stream.proof = proof
    failed = failure(stream=stream)

    assert failed.delivery is (Delivery.NOT_DELIVERED if proof else Delivery.UNKNOWN)
    assert isinstance(failed.error, ConnectionLost)
    assert failed.error.may_have_executed is not proof
    assert failed.error.__cause__ is not None
    assert not failed.timed_out


@pytest.mark.parametrize("end", WITHOUT_AN_ANSWER, ids=["FIN", "RST", "aborted"])
@pytest.mark.parametrize("begun", [b"H", b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nX: a\r\n"])
def test_half_a_head_is_an_answer(begun: bytes, end: Any) -> None:
    stream = Stream(begun, end)
    stream.proof = True  # whatever the kernel says
    failed = failure(stream=stream)

    assert failed.delivery is Delivery.ANSWERED
    assert isinstance(failed.error, ConnectionLost)
    assert failed.error.may_have_executed


@pytest.mark.parametrize("end", WITHOUT_AN_ANSWER, ids=["FIN", "RST", "aborted"])
def test_an_informational_response_is_part_of_an_answer(end: Any) -> None:
    assert failure(head(100), end).delivery is Delivery.ANSWERED


def test_tls_errors_are_told_apart_from_lost_connections() -> None:
    failed = failure(ssl.SSLError(1, "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] certificate required"))

    assert isinstance(failed.error, SSLError)
    assert "certificate required" in str(failed.error)
    assert isinstance(failed.error.__cause__, ssl.SSLError)


def test_bytes_from_before_the_request_are_no_answer() -> None:
    """They crossed the request: the tail of something earlier. That they look like a response makes it worse."""
    stream = Stream(ok(b"poison"), END)
    stream.answer_heard = False
    failed = failure(stream=stream)

    assert isinstance(failed.error, RemoteProtocolError)
    assert failed.delivery is Delivery.UNKNOWN


def test_bytes_from_before_the_request_and_an_end_prove_that_it_was_not_delivered() -> None:
    """A 408 and a FIN that crossed the request, as HAProxy and Apache send them."""
    stream = Stream(response(408, b"", "Connection: close"), b"more", END)
    stream.answer_heard = False
    stream.proof = True

    assert failure(stream=stream).delivery is Delivery.NOT_DELIVERED


@pytest.mark.parametrize("then", [NOTHING, ConnectionResetError(104, "reset")])
def test_bytes_from_before_the_request_without_an_end_prove_nothing(then: Exception) -> None:
    stream = Stream(b"x", then)
    stream.answer_heard = False
    stream.proof = True

    assert failure(stream=stream).delivery is Delivery.UNKNOWN


def test_endless_bytes_from_before_the_request_are_not_read_for_ever() -> None:
    stream = Stream(*[b"x" * 65536] * 50)
    stream.answer_heard = False
    failure(stream=stream)

    assert len(stream.reads) > 40


# -- time -------------------------------------------------------------------------------------------------------------


def test_no_head_in_time() -> None:
    failed = failure(timeouts=Timeouts(read=0.5))

    assert type(failed.error) is ReadTimeout
    assert "0.5" in str(failed.error)
    assert failed.timed_out
    assert failed.delivery is Delivery.UNKNOWN


def test_every_wait_is_on_the_deadlines_clock() -> None:
    clock = FakeClock()

    class Slow(Stream):
        def read(self, seconds: float | None) -> bytes:
            clock.advance(0.1)
            return super().read(seconds)

    stream = Slow(*[b"%c" % c for c in b"HTTP/1.1"])
    failed = failure(stream=stream, timeouts=Timeouts(read=0.5), deadline=Deadline(None, clock))

    assert type(failed.error) is ReadTimeout
    assert [round(wait or 0, 3) for wait in stream.waits] == [0.5, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0, 0.0, 0.0]


def test_a_dripping_head_shares_one_wait() -> None:
    stream = Stream(*[b"%c" % c for c in b"HTTP/1.1 200 OK\r\n"])
    failed = failure(stream=stream, timeouts=Timeouts(read=0.5))

    assert type(failed.error) is ReadTimeout
    assert "17 bytes" in str(failed.error)
    assert failed.delivery is Delivery.ANSWERED
    waits = [w for w in stream.waits if w is not None]
    assert waits == sorted(waits, reverse=True)
    assert waits[-1] < 0.5


def test_the_total_time_is_named_where_it_ends_the_wait() -> None:
    clock = FakeClock()
    deadline = Deadline(1.0, clock)
    clock.advance(2.0)
    failed = failure(deadline=deadline)

    assert type(failed.error) is TotalTimeout
    assert "waiting for the response head" in str(failed.error)


def reading(*reads: bytes | Exception, timeouts: Timeouts = TIMEOUTS, deadline: Deadline = NO_END) -> Http1Connection:
    connection = Http1Connection(Stream(*reads))
    connection.exchange(request(), None, timeouts, deadline)
    return connection


def test_no_more_of_the_body_in_time() -> None:
    connection = reading(head(200, "Content-Length: 5") + b"he", timeouts=Timeouts(read=0.5))

    assert connection.read_body() == b"he"
    with pytest.raises(BodyReadTimeout, match=r"0\.5 s \(2 of 5 bytes"):
        connection.read_body()
    assert connection.recycle() is Discard.BROKEN


def test_the_total_time_ends_a_body_that_never_pauses() -> None:
    clock = FakeClock()
    connection = reading(head(200), *[b"x" * 10] * 100, deadline=Deadline(1.0, clock))
    connection.read_body()
    clock.advance(1.0)

    with pytest.raises(TotalTimeout, match="reading the body"):
        body_of(connection)


def test_a_bounded_read_leaves_the_timeouts_as_they_were() -> None:
    connection = reading(head(200, "Content-Length: 5"), NOTHING, b"hello", timeouts=Timeouts(read=7))
    with pytest.raises(BodyReadTimeout):
        connection.read_body_within(0.3)

    assert connection.read_body_within(0.5) == b"hello"
    stream: Any = connection.stream
    assert stream.waits[-2:] == [0.3, 0.5]
    connection.read_body()
    assert connection._timeouts.read == 7


# -- a body that breaks off -------------------------------------------------------------------------------------------

CUT_SHORT = {
    "length, FIN": (head(200, "Content-Length: 5") + b"he", END, 5),
    "length, RST": (head(200, "Content-Length: 5") + b"he", ConnectionResetError(104, "reset"), 5),
    "chunk, FIN": (head(200, "Transfer-Encoding: chunked") + b"5\r\nhe", END, None),
    "between chunks, FIN": (head(200, "Transfer-Encoding: chunked") + b"2\r\nhe\r\n", END, None),
    "in the last chunk, FIN": (head(200, "Transfer-Encoding: chunked") + b"2\r\nhe\r\n0\r\n", END, None),
    "chunk, RST": (head(200, "Transfer-Encoding: chunked") + b"5\r\nhe", ConnectionResetError(104, "reset"), None),
    "no framing, RST": (head(200) + b"he", ConnectionResetError(104, "reset"), None),
}


@pytest.mark.parametrize(("raw", "end", "expected"), CUT_SHORT.values(), ids=CUT_SHORT.keys())
def test_a_body_that_is_cut_short_says_by_how_much(raw: bytes, end: Any, expected: int | None) -> None:
    connection = reading(raw, end)

    with pytest.raises(IncompleteBody) as caught:
        body_of(connection)
    assert (caught.value.received, caught.value.expected) == (2, expected)
    assert caught.value.__cause__ is not None
    assert connection.recycle() is Discard.BROKEN
    with pytest.raises(RequestException):
        connection.read_body()


def test_a_length_that_lies_costs_no_memory() -> None:
    connection = reading(head(200, "Content-Length: " + "9" * 18) + b"x", END)

    with pytest.raises(IncompleteBody) as caught:
        body_of(connection)
    assert caught.value.expected == 10**18 - 1


def test_a_damaged_tls_record_in_the_body_is_a_tls_error() -> None:
    connection = reading(head(200, "Content-Length: 5") + b"he", ssl.SSLError(1, "bad record mac"))

    with pytest.raises(SSLError, match=r"2 of 5 bytes.*bad record mac"):
        body_of(connection)


def test_every_cut_of_a_response_is_an_error_or_the_whole_of_it() -> None:
    for raw, body, _ in (w[1:] for w in WHOLE):
        for cut in range(len(raw)):
            connection = Http1Connection(Stream(raw[:cut], END))
            try:
                ask(connection)
                assert body_of(connection) == body
            except (ExchangeFailed, RequestException):
                assert connection.recycle() is Discard.BROKEN
            else:
                # h11 was given everything it wanted: only a body without framing would be complete here
                assert raw[:cut].endswith(body)


def test_an_exchange_needs_no_thread() -> None:
    before = threading.active_count()
    answered(ok(b"x"))

    assert threading.active_count() == before

"""Laws of Http1Connection that hold for every response a server can write, whole or damaged, and wherever it is cut.

* Cutting changes nothing: the same head, body, trailers and fate of the connection, or the same class of error.
* h11's own strict reading is the oracle: what is accepted is what h11 makes of the same bytes; what h11 refuses is refused, by a
  documented exception. What holdfast refuses beyond that is named here.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

import h11
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.exceptions import ChunkedEncodingError, ConnectionLost, RemoteProtocolError, RequestException
from holdfast.message.span import FilePart
from holdfast.reasons import Discard, ExchangeFailed
from holdfast.timeouts import NO_TIMEOUTS, Deadline
from holdfast.wire.http1 import Http1Connection
from tests.server import chunks

METHODS = ("GET", "HEAD", "POST")

# -- what servers write ----------------------------------------------------------------------------------------------

statuses = st.sampled_from([200, 200, 200, 201, 204, 206, 301, 304, 404, 413, 500, 599])
bodies = st.one_of(st.binary(max_size=60), st.sampled_from([b"", b"\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 3000]))
fields = st.lists(
    st.sampled_from(
        [
            b"Connection: close",
            b"Connection: keep-alive",
            b"Keep-Alive: timeout=5, max=3",
            b"Content-Encoding: gzip",
            b"X-Empty:",
            b"X-Latin: \xe4\xf6",
            b"Set-Cookie: a=b",
            b"Transfer-Encoding: identity",
            b"Content-Length: 0",
        ]
    ),
    max_size=3,
)
informational = st.tuples(st.sampled_from([100, 102, 103]), st.sampled_from([b"", b"Link: <a>\r\n"]))
versions = st.sampled_from([b"1.1", b"1.1", b"1.1", b"1.0"])


@st.composite
def responses(draw: st.DrawFn) -> bytes:
    """One response, with what may come before it and behind it."""
    before = b"".join(
        b"HTTP/1.1 %d Wait\r\n%s\r\n" % (status, extra)
        for status, extra in draw(st.lists(informational, max_size=2))
    )
    body = draw(bodies)
    framing = draw(st.sampled_from(["length", "length", "chunked", "chunked", "close"]))
    head = b"HTTP/%s %d Said So\r\n" % (draw(versions), draw(statuses))
    lines = draw(fields)
    if framing == "length":
        lines = [*lines, b"Content-Length: %d" % len(body)]
    elif framing == "chunked":
        lines = [*lines, b"Transfer-Encoding: chunked"]
        cut = draw(st.integers(0, len(body)))
        body = chunks(*(piece for piece in (body[:cut], body[cut:]) if piece))
        body += draw(st.sampled_from([b"0\r\n\r\n", b"0\r\nX-T: 1\r\n\r\n", b"000;ext=1\r\nA: b\r\nC: d\r\n\r\n"]))
    surplus = draw(st.sampled_from([b"", b"", b"", b"\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"junk"]))
    return before + head + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body + surplus


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A response of which bytes were changed, removed, doubled or put in."""
    data = bytearray(draw(responses()))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, min(len(data), 300) - 1)))
        how = draw(st.sampled_from(["change", "remove", "insert", "cut"]))
        byte = draw(st.sampled_from(list(b"\r\n\x00 :;09afX\x7f\xff,")))
        if how == "change" and data:
            data[at] = byte
        elif how == "remove":
            del data[at : at + draw(st.integers(1, 4))]
        elif how == "insert":
            data[at:at] = bytes([byte])
        else:
            del data[at:]
    return bytes(data)


def cut(data: bytes, at: list[int]) -> list[bytes]:
    """The data in pieces, none of them empty."""
    edges = sorted({0, len(data), *(min(i, len(data)) for i in at)})
    return [data[a:b] for a, b in itertools.pairwise(edges)]


cuts = st.lists(st.integers(0, 400), max_size=8)

# -- reading it -------------------------------------------------------------------------------------------------------


class Script:
    """A ByteStream that gives these pieces, then the end."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces
        self.written = 0
        self.clean_eof = True
        self.error: OSError | None = None
        self.strays = False

    def hasten(self) -> None: ...

    def queued(self) -> bool:
        return False

    def read(self, seconds: float | None) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""

    def read_up_to(self, size: int, seconds: float | None) -> bytes:
        """Never more than was asked for: the rest stays in the stream."""
        data = self.read(seconds)
        if len(data) > size:
            self.pieces.insert(0, data[size:])
        return data[:size]

    def read_into(self, view: memoryview, seconds: float | None) -> int:
        data = self.read_up_to(len(view), seconds)
        view[: len(data)] = data
        return len(data)

    sends_files = False

    def write_file(self, part: FilePart) -> int:
        raise AssertionError("no file is sent here")

    def write_some(self, data: bytes | memoryview) -> int:
        self.written += len(data)
        return len(data)

    def wait_writable_or_readable(self, seconds: float | None) -> tuple[bool, bool]:
        return True, False

    def readable_now(self) -> bool:
        return False

    def probe(self, patience: float = 0) -> Discard | None:
        return Discard.UNSOLICITED if self.pieces else None  # the end is left out: it comes after every script

    def begin_exchange(self) -> None: ...

    def acknowledged(self) -> bool:
        return True

    def proven_undelivered(self) -> bool:
        return False

    def close(self, *, polite: bool = True) -> None: ...

    def interrupt(self) -> None: ...

    def forget(self) -> None: ...

    def fileno(self) -> int:
        return -1


@dataclass(frozen=True)
class Reading:
    """What one side makes of a response."""

    status: int
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes
    trailers: tuple[tuple[bytes, bytes], ...]
    reusable: bool


def request(method: str) -> h11.Request:
    framing = [("Content-Length", "0")] if method == "POST" else []
    return h11.Request(method=method, target="/", headers=[("Host", "x"), *framing])


def read(method: str, pieces: list[bytes]) -> Reading | type[Exception]:
    """What holdfast makes of it: a reading, or the class of its exception."""
    connection = Http1Connection(Script(list(pieces)))
    try:
        head = connection.exchange(request(method), None, NO_TIMEOUTS, Deadline())
        body = b"".join(iter(connection.read_body, b""))
    except ExchangeFailed as failure:
        return type(failure.error)
    except RequestException as error:
        return type(error)
    reusable = connection.recycle() is None and connection.probe() is None
    return Reading(head.status_code, tuple(head.raw_headers), body, tuple(connection.trailers), reusable)


def read_by_h11(method: str, data: bytes) -> Reading | None:
    """What h11 makes of it; None if it refuses."""
    conn = h11.Connection(h11.CLIENT, max_incomplete_event_size=100 * 1024)
    conn.send(request(method))
    conn.send(h11.EndOfMessage())
    conn.receive_data(data)
    head: h11.Response | None = None
    body = b""
    ended = False
    try:
        while True:
            event = conn.next_event()
            if event is h11.NEED_DATA:
                if ended:
                    return None
                ended = True
                conn.receive_data(b"")
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                assert head is not None
                reusable = conn.their_state is h11.DONE and not conn.trailing_data[0] and not ended
                raw = tuple(head.headers.raw_items())
                return Reading(head.status_code, raw, body, tuple(event.headers.raw_items()), reusable)
            elif not isinstance(event, h11.InformationalResponse):
                return None
    except h11.RemoteProtocolError:
        return None


# -- the laws --------------------------------------------------------------------------------------------------------


@settings(max_examples=250, deadline=None)
@given(st.sampled_from(METHODS), responses(), cuts)
def test_wherever_a_response_is_cut_it_says_the_same(method: str, data: bytes, at: list[int]) -> None:
    assert read(method, cut(data, at)) == read(method, [data])


@settings(max_examples=250, deadline=None)
@given(st.sampled_from(METHODS), damaged(), cuts)
def test_wherever_a_damaged_response_is_cut_it_is_refused_or_read_the_same(
    method: str, data: bytes, at: list[int]
) -> None:
    whole, pieces = read(method, [data]), read(method, cut(data, at))
    if isinstance(whole, Reading) or isinstance(pieces, Reading):
        assert pieces == whole
    # Which of the errors it is may depend on how much of the damage has been seen.


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(METHODS), st.one_of(responses(), damaged()), cuts)
def test_what_is_accepted_is_what_h11_reads_and_the_rest_is_refused_by_name(
    method: str, data: bytes, at: list[int]
) -> None:
    ours, oracle = read(method, cut(data, at)), read_by_h11(method, data)

    if isinstance(ours, Reading) and oracle is None:
        assert accepted_beyond_h11(data), "h11 refuses it for another reason than its framing"
        assert not ours.reusable, "two parsers read it differently, and the connection was kept"
        return
    if isinstance(ours, Reading):
        assert oracle is not None
        assert (ours.status, ours.fields, ours.body, ours.trailers) == (
            oracle.status, oracle.fields, oracle.body, oracle.trailers,
        )  # fmt: skip
        if ours.reusable:
            assert oracle.reusable or b"HTTP/1.0" in data, "kept, although h11 would not"
        return
    assert issubclass(ours, (RemoteProtocolError, ConnectionLost, ChunkedEncodingError))
    if oracle is not None:
        assert refused_beyond_h11(data), f"refused as {ours.__name__}, but h11 reads {oracle}"


FRAMING = re.compile(rb"^(?:transfer-encoding|content-length):[ \t]*((?:[^\r\n]|\r?\n[ \t])*)\r?$", re.IGNORECASE | re.MULTILINE)


def accepted_beyond_h11(data: bytes) -> bool:
    """What h11 refuses and holdfast does not: framing said twice, or not at all, where all clients read the same."""
    values = [value.strip().lower() for value in FRAMING.findall(data)]
    return len(values) > 1 or any(value != b"chunked" and not (value.isdigit() and len(value) <= 20) for value in values)


def refused_beyond_h11(data: bytes) -> bool:
    """What holdfast refuses and h11 does not: other versions, and a switch of protocols."""
    heads = [line for line in data.split(b"\n") if line.startswith(b"HTTP/")]
    return any(not line.startswith(b"HTTP/1.") or line[8:13].strip() == b"101" for line in heads)

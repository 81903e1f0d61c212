"""Chaos: a server that fails in every way a server can, sixteen threads that share one Client, and a judge.

The law of this file: *what happens to a request follows from the seed it carries*. ``X-Plan`` is a number; from it
both sides derive the same ``Plan``, so the client knows what it should get, and a call that went wrong can be repeated.
What happens to the connection afterwards (an end, an abort, bytes nobody asked for) meets whoever uses it next.

The server is the judge: it enters every request it executes (nonce, target, method) in a ledger. Violations are
collected as sentences; an empty list is the only success:

1. an answer is this call's own: status, reason, every header field, cookies, trailers, every byte of the body, the
   request, the URL and the redirects it says it came by, and informational responses before it. Half of the answers are
   looked at only after the thread's next call, when others have used the connection;
2. a failure is a documented exception that this plan can lead to, with its cause, and no secret in it;
3. a request that must not be repeated was executed at most once; "has not been executed" is true; success means executed;
4. credentials go to their own origin only; a connection that was said to close carries no further request;
5. no call takes longer than its total and ``TOLERANCE``; after ``Client.close()`` nobody is held for longer than a second;
   what the machine itself was late meanwhile, as a thread that only wakes up and looks at the clock has felt, is allowed for;
6. the limits hold at every moment, and at the end every counter is back at zero.

Bytes sent by the server before a request reached it are never an answer to it. Whether they were, its kernel knows
(``tcpi_bytes_received``): where a request had arrived meanwhile nobody could tell the difference, and nobody is blamed.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import itertools
import random
import select
import socket
import ssl
import struct
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from queue import SimpleQueue
from typing import Any

import holdfast
from holdfast import Client, Limits, Timeouts
from tests.server import Conn, Received, Server, Stopped, chunks, head

TOTAL = 1.5
TIMEOUTS = Timeouts(connect=0.5, read=0.4, write=0.4, pool=0.6, total=TOTAL)
TOLERANCE = 0.25  # two cores, some thirty threads and one interpreter lock
LIMITS = Limits(max_connections=12, max_connections_per_origin=7, max_idle_connections=8, idle_timeout=0.5)
LATE_SHARE = 0.02  # of well-behaved answers that may miss a time limit because the machine is busy
SECRET = "hush-"
DROPPED_EVERY = 41  # the connections that are aborted right after they were accepted
STUCK_SECONDS = 10.0
PULSE = 0.01
HANDICAP = 1.5  # what another thread may be late, for each second that the pulse is: it needs the interpreter more often
# Calls in whose thread the interpreter paused between the probe and the write, just when the server sent what nobody asked for,
# and was paused again until the request was acknowledged: holdfast.wire.stream, "What stays in doubt".
DOUBTFUL_SHARE = 1 / 20_000

# what the server does -> how often, and what it may lead to besides an answer
_LOST = (holdfast.ConnectionLost,)
_CUT = (holdfast.ConnectionLost, holdfast.IncompleteBody)
_TIME = (holdfast.ReadTimeout, holdfast.TotalTimeout)
VERBS: dict[str, tuple[int, tuple[type[Exception], ...]]] = {
    "ok": (40, ()),
    "empty": (15, ()),
    "compressed": (5, ()),
    "informational": (4, ()),
    "drip": (3, ()),
    "redirect": (6, ()),
    "close_stays": (3, ()),
    "hint": (3, ()),
    "short_length": (2, ()),
    "surplus": (3, ()),
    "fin_idle": (6, ()),
    "rst_idle": (4, ()),
    "notify_idle": (2, ()),
    "bytes_idle": (4, ()),
    "stall_head": (1, _TIME),
    "stall_body": (1, _TIME),
    "drip_head": (1, _TIME),
    "drip_body": (1, _TIME),
    "fin_at": (4, _CUT),
    "rst_at": (4, _CUT),
    "tls_truncate": (2, (holdfast.IncompleteBody,)),
    "garble": (2, (holdfast.RemoteProtocolError,)),
    "early_413": (4, (*_CUT, holdfast.WriteTimeout)),
    "rst_unread": (2, _LOST),
}
TARGET = "/plan"
NEVER_EXECUTED = ("early_413", "rst_unread")
# What may happen to any call: room and time are scarce on purpose.
SCARCE = (holdfast.PoolTimeout, holdfast.ConnectTimeout, holdfast.TotalTimeout)
# Without a cause by nature: our own decision, or what arrived, or did not, is its own reason.
CAUSELESS = (
    holdfast.Timeout,
    holdfast.ClientClosed,
    holdfast.RemoteProtocolError,
    holdfast.StreamConsumedError,
    holdfast.IncompleteBody,
    holdfast.UnrewindableBodyError,
)


@dataclass(frozen=True)
class Plan:
    """What is done to one request, the same on both sides."""

    seed: int
    verb: str
    status: int
    framing: str
    size: int
    fraction: float
    delay: float
    redirect_status: int
    hops: int
    crosses: bool

    @staticmethod
    @lru_cache(1024)
    def of(seed: int) -> Plan:
        """The plan of this seed."""
        dice = random.Random(seed)
        verb = dice.choices(list(VERBS), [weight for weight, _ in VERBS.values()])[0]
        framing = dice.choice(("length", "length", "chunked", "chunked", "close"))
        status = 413 if verb == "early_413" else dice.choice((200, 200, 200, 201, 404, 500))
        if verb == "empty":
            status, framing = ((204, "none"), (304, "none"), (200, "length"), (404, "chunked"))[seed % 4]
        if verb in ("fin_at", "rst_at", "stall_body", "surplus", "fin_idle", "rst_idle", "notify_idle", "bytes_idle", "hint"):
            framing = dice.choice(("length", "chunked"))  # to be told from a complete body, or to keep the connection
        return Plan(
            seed,
            verb,
            status,
            {"short_length": "length", "drip_body": "length", "tls_truncate": "close"}.get(verb, framing),
            int(2 ** dice.uniform(0, 16)),
            dice.random(),
            dice.choice((0.0, 0.0, 0.001, 0.005, 0.02, 0.1)),
            dice.choice((301, 302, 303, 307, 308)),
            dice.randint(1, 3),
            dice.random() < 0.3,
        )

    def body(self, nonce: str) -> bytes:
        """The content of the answer."""
        if self.verb == "empty":
            return b""
        whole = f"{nonce}\n".encode() + random.Random(self.seed).randbytes(self.size)
        return whole[: self.short_length(len(whole))] if self.verb == "short_length" else whole

    def short_length(self, size: int) -> int:
        """What Content-Length says of ``size`` bytes when it says too little."""
        return int(size * self.fraction)


# -- the server --------------------------------------------------------------------------------------------------


@dataclass
class Ledger:
    """What the servers did. Thread-safe by the interpreter's own atomic appends."""

    executed: list[tuple[str, str, str]] = field(default_factory=list)  # nonce, target, method
    complaints: list[str] = field(default_factory=list)
    dropped: list[int] = field(default_factory=list)
    crossed: set[str] = field(default_factory=set)  # unsolicited bytes that a request overtook
    urls: list[str] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=itertools.count)


class Chaos:
    """A script for ``Server``: does to each request what its plan says."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def __call__(self, conn: Conn) -> None:
        number = next(self.ledger.numbers)
        if number % DROPPED_EVERY == DROPPED_EVERY - 1:
            self.ledger.dropped.append(number)
            conn.rst()
            return
        while (request := conn.read_head()) is not None:
            plan = Plan.of(int(request.get("X-Plan")))
            verb = self.verb(plan, request)
            if verb not in NEVER_EXECUTED:
                whole = conn.read_body(request)
                if whole is None:
                    return  # the client left in the middle of it
                request = whole
                self._execute(request)
            if not getattr(self, f"_{verb}")(conn, request, plan):
                return

    @staticmethod
    def verb(plan: Plan, request: Received) -> str:
        """What is done at this target: the plan is for the first; those behind redirects are well-behaved."""
        if request.target == TARGET:
            return plan.verb
        return "redirect" if int(request.target.rpartition("/")[2]) < plan.hops else "ok"

    def _execute(self, request: Received) -> None:
        nonce = request.get("X-Nonce")
        self.ledger.executed.append((nonce, request.target, request.method))
        digest = request.get("X-Digest")
        if request.body and hashlib.sha256(request.body).hexdigest() != digest:
            self._complain(f"{nonce}: the request's body is not what was sent ({len(request.body)} bytes)")
        authorization = request.get("Authorization")
        if authorization != ("" if request.target.startswith("/across/") else f"Bearer {SECRET}{nonce}"):
            self._complain(f"{nonce}: {request.target} came with {authorization!r}")

    def _complain(self, text: str) -> None:
        self.ledger.complaints.append(text)

    # well-behaved, as far as this answer goes

    def _ok(self, conn: Conn, request: Received, plan: Plan) -> bool:
        conn.send(b"".join(rendered(plan, request)))
        return not ends_with_connection(plan, request)

    _empty = _ok

    def _compressed(self, conn: Conn, request: Received, plan: Plan) -> bool:
        conn.send(b"".join(rendered(plan, request)))
        return not ends_with_connection(plan, request)

    def _informational(self, conn: Conn, request: Received, plan: Plan) -> bool:
        for status in (100, 102, 103)[: plan.hops]:
            conn.send(head(status, f"X-Nonce: {request.get('X-Nonce')}"))
        return self._ok(conn, request, plan)

    def _drip(self, conn: Conn, request: Received, plan: Plan) -> bool:
        data = b"".join(rendered(plan, request))
        step = len(data) // 4 + 1
        for at in range(0, len(data), step):
            conn.send(data[at : at + step])
            pause(conn, 0.01)
        return not ends_with_connection(plan, request)

    def _redirect(self, conn: Conn, request: Received, plan: Plan) -> bool:
        hop = 0 if request.target == TARGET else int(request.target.rpartition("/")[2])
        across = request.target.startswith("/across/") or (plan.crosses and hop + 1 == plan.hops)
        path = f"/{'across' if across else 'hop'}/{hop + 1}"
        others = [url for url in self.ledger.urls if not url.startswith(conn.server.url(""))]
        where = others[plan.seed % len(others)] + path if across and others else path
        body = random.Random(plan.seed).randbytes(plan.size)
        nonce = request.get("X-Nonce")
        fields = (f"Location: {where}", f"Content-Length: {len(body)}", *own_fields(nonce, request.target))
        wire = head(plan.redirect_status, *fields, reason=own_reason(nonce))
        conn.send(wire if request.method == "HEAD" else wire + body)
        return True

    def _close_stays(self, conn: Conn, request: Received, plan: Plan) -> bool:
        conn.send(b"".join(rendered(plan, request)))
        if ends_with_connection(plan, request):
            return False  # here the end of the connection is the body's
        if conn.recv():
            self._complain(f"{request.get('X-Nonce')}: a request on a connection that was said to close")
        return False

    def _hint(self, conn: Conn, request: Received, plan: Plan) -> bool:
        conn.send(b"".join(rendered(plan, request)))
        if plan.seed % 3:
            return True
        if conn.recv():
            self._complain(f"{request.get('X-Nonce')}: a request after Keep-Alive: max=0")
        return False

    def _short_length(self, conn: Conn, request: Received, plan: Plan) -> bool:
        start, body = rendered(plan, request)
        conn.send(start + body + random.Random(plan.seed).randbytes(50))
        conn.wait_closed()
        return False

    # what the connection's next user meets

    def _surplus(self, conn: Conn, request: Received, plan: Plan) -> bool:
        return self._unsolicited(conn, plan, bytes_received(conn.sock), b"".join(rendered(plan, request)))

    def _bytes_idle(self, conn: Conn, request: Received, plan: Plan) -> bool:
        count = bytes_received(conn.sock)
        conn.send(b"".join(rendered(plan, request)))
        pause(conn, plan.delay)
        return self._unsolicited(conn, plan, count, b"")

    def _unsolicited(self, conn: Conn, plan: Plan, count: int | None, before: bytes) -> bool:
        """Send what nobody asked for; note if the next request may have been here before it left: ``count`` is without it."""
        mark = f"{plan.verb}-{conn.server.url('')[:5]}-{plan.seed}-{time.monotonic_ns()}"
        conn.send(before + self._poison(plan, mark))
        if bytes_received(conn.sock) != count or count is None:
            self.ledger.crossed.add(mark)
            return False  # from here on nobody could say which answer belongs to what
        return not plan.crosses  # a FIN, or, if a request has come, an RST; or else it goes on as if nothing had happened

    def _poison(self, plan: Plan, mark: str) -> bytes:
        kind = plan.seed % 4
        if kind == 0:
            return b"\r\n"
        if kind == 1:
            return f"junk {mark} ".encode()
        status = 200 if kind == 2 else 408
        return head(status, f"X-Mark: {mark}", "Content-Length: 6") + b"poison"

    def _fin_idle(self, conn: Conn, request: Received, plan: Plan) -> bool:
        conn.send(b"".join(rendered(plan, request)))
        pause(conn, plan.delay)
        conn.fin()
        conn.wait_closed()
        return False

    def _rst_idle(self, conn: Conn, request: Received, plan: Plan) -> bool:
        conn.send(b"".join(rendered(plan, request)))
        pause(conn, plan.delay)
        conn.rst()
        return False

    def _notify_idle(self, conn: Conn, request: Received, plan: Plan) -> bool:
        conn.send(b"".join(rendered(plan, request)))
        pause(conn, plan.delay)
        notify(conn)
        pause(conn, plan.delay)
        return False

    # ill-behaved

    def _stall_head(self, conn: Conn, request: Received, plan: Plan) -> bool:
        conn.send(rendered(plan, request)[0][: int(20 * plan.fraction)])
        conn.wait_closed()
        return False

    def _stall_body(self, conn: Conn, request: Received, plan: Plan) -> bool:
        start, body = rendered(plan, request)
        conn.send(start + body[: int(len(body) * plan.fraction)])
        if not body:
            return True
        conn.wait_closed()
        return False

    def _drip_head(self, conn: Conn, request: Received, plan: Plan) -> bool:
        conn.send(head(200)[:-2] + b"X-Drip: ")
        return self._drip_for_ever(conn)

    def _drip_body(self, conn: Conn, request: Received, plan: Plan) -> bool:
        if request.method == "HEAD":
            return self._ok(conn, request, plan)
        conn.send(rendered(plan, request)[0])
        return self._drip_for_ever(conn)

    def _drip_for_ever(self, conn: Conn) -> bool:
        for _ in range(200):
            conn.send(b"x")
            if pause(conn, 0.03):
                return False  # the client has had enough
        self._complain("a client listened to a drip for six seconds")
        return False

    def _fin_at(self, conn: Conn, request: Received, plan: Plan) -> bool:
        conn.send(cut(plan, request))
        return False

    def _rst_at(self, conn: Conn, request: Received, plan: Plan) -> bool:
        conn.send(cut(plan, request))
        conn.rst()
        return False

    def _tls_truncate(self, conn: Conn, request: Received, plan: Plan) -> bool:
        start, body = rendered(plan, request)
        if isinstance(conn.sock, ssl.SSLSocket):
            body = body[: int(len(body) * plan.fraction)]
        conn.send(start + body)
        if request.method == "HEAD":
            return True
        conn.fin()
        conn.wait_closed()
        return False

    def _garble(self, conn: Conn, request: Received, plan: Plan) -> bool:
        data = bytearray(b"".join(rendered(plan, request)))
        data[int(plan.fraction * 9)] = 0
        conn.send(bytes(data))
        conn.wait_closed()
        return False

    def _early_413(self, conn: Conn, request: Received, plan: Plan) -> bool:
        start, body = rendered(plan, request)
        conn.send(start + body)
        if plan.crosses:
            return False  # what is unread turns the FIN into an RST
        if plan.framing == "close":
            notify(conn)
        conn.wait_closed()
        return False

    def _rst_unread(self, conn: Conn, request: Received, plan: Plan) -> bool:
        conn.rst()
        return False


def rendered(plan: Plan, request: Received) -> tuple[bytes, bytes]:
    """The answer's head and its body as they go over the wire."""
    nonce, verb = request.get("X-Nonce"), Chaos.verb(plan, request)
    payload = plan.body(nonce)
    if verb == "compressed":
        payload = gzip.compress(payload, 1)
    framing: tuple[str, ...] = ()
    if plan.framing == "length":
        framing = (f"Content-Length: {1_000_000 if verb == 'drip_body' and request.method != 'HEAD' else len(payload)}",)
    elif plan.framing == "chunked":
        last = f"0\r\nX-Trailer: {nonce}\r\n\r\n".encode()
        framing, payload = ("Transfer-Encoding: chunked",), chunks(*pieces(plan, payload)) + last
    elif plan.status == 304:
        framing = ("Content-Length: 1234",)  # of what has not been modified
    extra = EXTRA.get(verb, "").format(left=plan.seed % 3)
    fields = (*framing, *([extra] if extra else []), *own_fields(nonce, request.target))
    return head(plan.status, *fields, reason=own_reason(nonce)), b"" if request.method == "HEAD" else payload


EXTRA = {
    "compressed": "Content-Encoding: gzip",
    "close_stays": "Connection: close",
    "early_413": "Connection: close",
    "hint": "Keep-Alive: timeout=1, max={left}",
}


def own_fields(nonce: str, target: str) -> tuple[str, ...]:
    """What every answer says of itself. The cookie's path is nobody's: it is for ``response.cookies``, not to be sent."""
    return (f"X-Nonce: {nonce}", f"X-Target: {target}", f"Set-Cookie: nonce={nonce}; Path=/nowhere", f"X-Again: {nonce}")


def own_reason(nonce: str) -> str:
    """The reason phrase of an answer."""
    return f"Said to {nonce}"


def pieces(plan: Plan, payload: bytes) -> Iterator[bytes]:
    """The payload in at most eight chunks."""
    step = max(1, int(len(payload) * max(plan.fraction, 0.15)))
    for at in range(0, len(payload), step):
        yield payload[at : at + step]


def ends_with_connection(plan: Plan, request: Received) -> bool:
    """Whether the end of the connection is the end of this answer."""
    return plan.framing == "close" and request.method != "HEAD"


def cut(plan: Plan, request: Received) -> bytes:
    """The answer without its end, or without anything."""
    if plan.seed % 3 == 0:
        return b""
    data = b"".join(rendered(plan, request))
    return data[: int(len(data) * plan.fraction)] if plan.crosses else data[: int(min(len(data), 200) * plan.fraction)]


def notify(conn: Conn) -> None:
    """Send TLS's closure alert, a FIN where there is no TLS."""
    if not isinstance(conn.sock, ssl.SSLSocket):
        conn.fin()
        return
    with contextlib.suppress(ssl.SSLError):  # a request has come meanwhile
        conn.unwrap()


def pause(conn: Conn, seconds: float) -> bool:
    """Wait so long, or until the client says something or leaves; whether it did."""
    try:
        return bool(select.select([conn.sock], [], [], seconds)[0])
    except (OSError, ValueError):
        raise Stopped from None  # the descriptor is gone: the server is being stopped


def bytes_received(sock: socket.socket) -> int | None:
    """Bytes that have arrived on this connection, those nobody has read included; None where that cannot be known."""
    if sys.platform != "linux":
        return None
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 136)
    count: int = struct.unpack_from("=Q", info, 128)[0] if len(info) >= 136 else 0
    return count or None


# -- the client's side ---------------------------------------------------------------------------------------------


@dataclass
class Answer:
    """What a response says of itself. ``history`` has those that led to it."""

    status: int
    reason: str
    method: str  # of its request
    target: str
    asked_by: str  # the nonce in its request
    url_differs: bool
    fields: list[tuple[bytes, bytes]]
    cookies: dict[str, Any]
    trailers: list[tuple[str, str]]
    elapsed: float
    history: list[Answer]
    body: bytes
    whole: bool

    @classmethod
    def of(cls, response: Any, body: bytes, whole: bool) -> Answer:
        """All that can be asked of a response."""
        request = response.request
        return cls(
            response.status_code,
            response.reason,
            request.method,
            request.parsed.target.decode(),
            request.headers.get("X-Nonce", ""),
            response.url != request.url,
            list(response.raw_headers),
            response.cookies.get_dict(),
            response.trailers.multi_items(),
            response.elapsed_seconds,
            [cls.of(each, b"", False) for each in response.history],
            body,
            whole,
        )

    def get(self, name: str) -> str:
        """The value of a field."""
        return next((value.decode("latin-1") for key, value in self.fields if key.decode().lower() == name.lower()), "")


@dataclass
class Call:
    """One call, before and after."""

    nonce: str
    plan: Plan
    method: str
    kwargs: dict[str, Any]
    style: str
    once_only: bool
    replayable: bool
    secure: bool
    seconds: float = 0.0
    finished: float = 0.0
    response: Any = None  # until it is looked at
    answer: Answer | None = None
    informed: list[tuple[int, list[tuple[bytes, bytes]]]] = field(default_factory=list)
    trace: str = ""
    error: BaseException | None = None

    def __str__(self) -> str:
        said = f"{type(self.error).__name__}: {self.error}" if self.error is not None else f"{self.answer}"
        return f"{self.nonce} {self.method} {self.style} {self.plan} -> {said[:300]} {self.trace}"


@dataclass
class Report:
    """What came of it."""

    seed: int
    calls: int = 0
    seconds: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    slowest: float = 0.0
    close_seconds: float = 0.0
    stats: Any = None


class Soak:
    """Sixteen threads that share one Client against ``Chaos``.

    Args:
        seed: of every plan and choice.
        seconds: until the client is closed, in the middle of things.
        server_context, client_context: for the https server.
        threads: how many.
    """

    def __init__(
        self,
        seed: int,
        seconds: float,
        server_context: ssl.SSLContext,
        client_context: ssl.SSLContext,
        threads: int = 16,
    ) -> None:
        self.seed = seed
        self.seconds = seconds
        self.server_context = server_context
        self.client_context = client_context
        self.threads = threads
        self.ledger = Ledger()
        self.report = Report(seed)
        self.closed_at = float("inf")
        self._stop = threading.Event()
        self._to_close: SimpleQueue[Any] = SimpleQueue()
        self._calls: list[list[Call]] = [[] for _ in range(threads)]
        self.mistaken: list[str] = []
        self._pulse: list[tuple[float, float]] = []  # when it was due, and when it came

    def run(self) -> Report:
        """Do it, and judge."""
        chaos = Chaos(self.ledger)
        with Server(chaos) as plain, Server(chaos) as second, Server(chaos, tls=self.server_context) as secure:
            self.ledger.urls = [plain.url(""), secure.url(""), second.url("")]
            client = Client(timeout=TIMEOUTS, limits=LIMITS, verify=self.client_context, trust_env=False)
            started = time.monotonic()
            try:
                self._unleash(client)
            finally:
                client.close()
            self._check_settled(client)
            self.report.seconds = time.monotonic() - started
            departures = len(plain.departures) + len(second.departures) + len(secure.departures)
        self.report.outcomes["(server) client left while it was answering"] = departures
        self._judge()
        return self.report

    def _unleash(self, client: Client) -> None:
        workers = [threading.Thread(target=self._work, args=(client, i), name=f"chaos-{i}") for i in range(self.threads)]
        helpers = [
            threading.Thread(target=self._close_responses, name="chaos-closer"),
            threading.Thread(target=self._disturb, args=(client,), name="chaos-disturber"),
            threading.Thread(target=self._feel_pulse, name="chaos-pulse"),
        ]
        for thread in (*workers, *helpers):
            thread.start()
        self._stop.wait(self.seconds)
        self.closed_at = time.monotonic()
        client.close()
        until = self.closed_at + STUCK_SECONDS
        for thread in workers:
            thread.join(max(0.0, until - time.monotonic()))
            if thread.is_alive():
                self._violation(f"{thread.name} is stuck {STUCK_SECONDS} s after close(): {where(thread)}")
        self.report.close_seconds = time.monotonic() - self.closed_at
        self._stop.set()
        self._to_close.put(None)
        for thread in helpers:
            thread.join(1.0)

    def _violation(self, text: str) -> None:
        self.report.violations.append(f"seed {self.seed}: {text}")

    # the threads

    def _work(self, client: Client, index: int) -> None:
        late: Call | None = None
        for number in itertools.count():
            call = self._next_call(index, number)
            started = time.monotonic()
            try:
                self._perform(client, call)
            except BaseException as error:  # noqa: BLE001 - the judge looks at it
                call.error = error
                call.trace = "" if isinstance(error, holdfast.RequestException) else lines_of(error)
                error.with_traceback(None)
            call.finished = time.monotonic()
            call.seconds = call.finished - started
            self._calls[index].append(call)
            late = self._look(late, call, number % 2 == 1)
            if isinstance(call.error, holdfast.ClientClosed) and started > self.closed_at:
                return
            if not isinstance(call.error, (Exception, type(None))) or self._stop.is_set():
                return

    def _look(self, late: Call | None, call: Call, at_once: bool) -> Call | None:
        """Look at the answers, at every other one only when the next call is over; the one that is left for later."""
        for each in (late, call):
            if each is not None and each.response is not None and (each is late or at_once or self._stop.is_set()):
                response, body, whole = each.response
                each.response = None
                try:
                    each.answer = Answer.of(response, body, whole)
                except Exception as error:  # noqa: BLE001 - the judge looks at it
                    each.error = error
                    each.trace = lines_of(error)
        return call if call.response is not None else None

    def _next_call(self, index: int, number: int) -> Call:
        dice = random.Random(f"{self.seed}-{index}-{number}")
        plan = Plan.of(dice.getrandbits(40))
        nonce = f"{index}-{number}-{dice.getrandbits(64):016x}"
        method, key = dice.choices(
            (("GET", False), ("POST", False), ("PUT", False), ("HEAD", False), ("POST", True)), (60, 25, 5, 5, 5)
        )[0]
        headers = {"X-Nonce": nonce, "X-Plan": str(plan.seed), "Authorization": f"Bearer {SECRET}{nonce}"}
        if key:
            headers["Idempotency-Key"] = nonce
        kwargs: dict[str, Any] = {"headers": headers, "allow_redirects": True}
        replayable = True
        if method in ("POST", "PUT"):
            body = nonce.encode() * int(2 ** dice.uniform(0, 15 if plan.verb == "early_413" else 8))
            headers["X-Digest"] = hashlib.sha256(body).hexdigest()
            replayable = dice.random() < 0.8
            kwargs["data"] = body if replayable else iter([body[:100], body[100:]])
        style = dice.choices(("whole", "streamed", "early", "other"), (80, 8, 10, 2))[0]
        url = dice.choices(self.ledger.urls, (4, 4, 2))[0]
        kwargs["url"] = url + TARGET
        once_only = method == "POST" and not key
        call = Call(nonce, plan, method, kwargs, style, once_only, replayable, url.startswith("https"))
        kwargs["on_informational"] = lambda status, fields: call.informed.append((status, fields))
        return call

    def _perform(self, client: Client, call: Call) -> None:
        if call.style == "whole":
            response = client.request(call.method, **call.kwargs)
            call.response = (response, response.content, True)
            return
        with client.request(call.method, stream=True, **call.kwargs) as response:
            if call.style == "other":
                self._to_close.put(response)
            body, whole = b"", call.style != "early"
            for piece in response.iter_content(4096):
                body += piece
                if not whole:
                    break
        call.response = (response, body, whole)

    def _close_responses(self) -> None:
        while (response := self._to_close.get()) is not None:
            try:
                response.close()
            except Exception as error:  # noqa: BLE001 - close() must not raise
                self._violation(f"close() from another thread raised {error!r}")

    def _feel_pulse(self) -> None:
        """Note how late a thread is that does nothing but wake up: as late as that, any other may be."""
        before = time.monotonic()
        while not self._stop.wait(PULSE):
            now = time.monotonic()
            self._pulse.append((before + PULSE, now))
            before = now

    def _disturb(self, client: Client) -> None:
        while not self._stop.wait(0.05):
            client.close_idle()
            for _ in range(5):
                self._check_limits(client.stats())
                self._stop.wait(0.03)

    def _check_limits(self, stats: Any) -> None:
        total = stats.total
        if total.active + total.idle + total.connecting > (LIMITS.max_connections or 0) or total.idle > 8:
            self._violation(f"more than the limits allow: {stats!r}")
        for origin in stats.origins:
            if origin.active + origin.idle + origin.connecting > (LIMITS.max_connections_per_origin or 0):
                self._violation(f"more than the limits allow: {origin!r}")

    def _check_settled(self, client: Client) -> None:
        until = time.monotonic() + 2.0
        while True:
            total = client.stats().total
            left = (total.active, total.idle, total.connecting, total.waiting)
            if not any(left) or time.monotonic() > until:
                break
            threading.Event().wait(0.01)
        if any(left):
            self._violation(f"(active, idle, connecting, waiting) = {left} after close()")
        if total.created != sum(total.closed.values()):
            self._violation(f"{total.created} connections created, {sum(total.closed.values())} closed")
        self.report.stats = total

    # the judge

    def _judge(self) -> None:
        executed = Counter((nonce, target) for nonce, target, _ in self.ledger.executed)
        for text in self.ledger.complaints:
            self._violation(text)
        budgets = Counter(dropped=len(self.ledger.dropped), crossed=len(self.ledger.crossed))
        late = 0
        for call in itertools.chain(*self._calls):
            self.report.calls += 1
            for complaint in self._faults(call, executed):
                self._violation(f"{complaint}: {call}")
            for name in self._excuses(call):
                budgets[name] -= 1
            late += self._is_late(call)
            self.report.outcomes[outcome(call)] += 1
        for name, left in budgets.items():
            if left < 0:
                self._violation(f"{-left} more failures than {name} connections can explain")
        if len(self.mistaken) > 1 + self.report.calls * DOUBTFUL_SHARE:
            for text in self.mistaken:
                self._violation(text)
        self.report.outcomes["(doubt) unsolicited bytes taken for an answer"] = len(self.mistaken)
        if late > 2 + self.report.calls * LATE_SHARE:
            self._violation(f"{late} of {self.report.calls} calls missed a time limit although the server was prompt")

    def _faults(self, call: Call, executed: Counter[tuple[str, str]]) -> Iterator[str]:
        yield from self._faults_of_time(call)
        if call.error is not None:
            yield from self._faults_of_error(call, call.error)
        else:
            yield from self._faults_of_answer(call, executed)
        yield from self._faults_of_informational(call)
        times = executed[call.nonce, TARGET]
        if call.once_only and times > 1:
            yield f"executed {times} times"
        if times > 3:
            yield f"executed {times} times, although idempotent"
        unexecuted = isinstance(call.error, (holdfast.PoolTimeout, holdfast.ConnectTimeout))
        if isinstance(call.error, holdfast.ConnectionLost) and not call.error.may_have_executed:
            unexecuted = True
        redirected = call.plan.verb == "redirect" and times == 1
        if unexecuted and call.once_only and times and not redirected:
            yield "executed, although the error says that it was not"

    def _faults_of_time(self, call: Call) -> Iterator[str]:
        self.report.slowest = max(self.report.slowest, call.seconds)
        began = call.finished - call.seconds
        if self._is_overdue(call, began + TOTAL + TOLERANCE):
            late = self._lateness(began, call.finished)
            yield f"took {call.seconds:.2f} s of {TOTAL}, in which the machine was late by {late:.2f} s"
        if self._is_overdue(call, self.closed_at + 1.0):
            yield f"was held for {call.finished - self.closed_at:.2f} s after close()"

    def _is_overdue(self, call: Call, due: float) -> bool:
        over = call.finished - due
        return over > 0 and over > HANDICAP * self._lateness(call.finished - call.seconds, call.finished)

    def _lateness(self, since: float, until: float) -> float:
        """Seconds in which the machine had no time for a thread that was ready to run."""
        return sum(max(0.0, min(came, until) - max(due, since)) for due, came in self._pulse)

    def _faults_of_answer(self, call: Call, executed: Counter[tuple[str, str]]) -> Iterator[str]:
        plan, answer = call.plan, call.answer
        if answer is None:
            return  # the last of a thread that ended in an exception
        if mark := answer.get("X-Mark"):
            if mark not in self.ledger.crossed:
                self.mistaken.append(f"bytes that were sent before the request arrived were taken for its answer: {call}")
            return
        yield from self._faults_of_head(call, answer)
        if not 0 <= answer.elapsed <= call.seconds:
            yield f"took {answer.elapsed} s of the call's {call.seconds}"
        if plan.verb in NEVER_EXECUTED:
            if plan.verb != "early_413":
                yield "an answer that nobody gave"
        elif not executed[call.nonce, answer.target]:
            yield "an answer, but it was never executed"
        expected = b"" if answer.method == "HEAD" else plan.body(call.nonce)
        if plan.verb == "drip_body" and not answer.whole:
            return
        if not (answer.body == expected if answer.whole else expected.startswith(answer.body)):
            yield f"{len(answer.body)} bytes which are not the {len(expected)} of the answer"
        trailers = [("X-Trailer", call.nonce)] if plan.framing == "chunked" and answer.method != "HEAD" else []
        if answer.trailers != trailers and (answer.whole or answer.trailers):
            yield f"the trailers {answer.trailers}"
        if answer.whole and plan.verb in ("stall_head", "drip_head", "garble", "rst_unread"):
            yield "an answer where none was whole"

    def _faults_of_head(self, call: Call, answer: Answer) -> Iterator[str]:
        plan = call.plan
        for each in (*answer.history, answer):
            if (nonce := each.get("X-Nonce")) != call.nonce:
                yield f"another request's answer ({nonce})"
            if each.asked_by != call.nonce or each.url_differs:
                yield f"another request's answer: its request is {each.asked_by}'s {each.target}"
            if each.cookies != {"nonce": call.nonce}:
                yield f"the cookies {each.cookies}"
            if each.reason != own_reason(call.nonce):
                yield f"the reason {each.reason!r}"
        wire = rendered(plan, Received(answer.method, answer.target, "1.1", [("X-Nonce", call.nonce)], b"", 0))[0]
        status, *lines = wire[:-4].split(b"\r\n")
        if answer.status != int(status.split(b" ")[1]):
            yield f"status {answer.status}"
        if [name + b": " + value for name, value in answer.fields] != lines:
            yield f"the header fields {answer.fields}"
        hops = [each.target.rpartition("/")[2] for each in (*answer.history, answer)]
        if hops != [TARGET[1:], *(str(hop) for hop in range(1, plan.hops + 1) if plan.verb == "redirect")]:
            yield f"redirects by way of {hops}"
        if any(each.status != plan.redirect_status for each in answer.history):
            yield f"redirects of status {[each.status for each in answer.history]}"

    def _faults_of_informational(self, call: Call) -> Iterator[str]:
        for status, fields in call.informed:
            if fields != [(b"X-Nonce", call.nonce.encode())] or call.plan.verb != "informational":
                yield f"another request's informational response: {status} {fields}"

    def _faults_of_error(self, call: Call, error: BaseException) -> Iterator[str]:
        if not isinstance(error, holdfast.RequestException):
            yield f"{type(error).__name__} is none of holdfast's exceptions"
            return
        if not isinstance(error, self._allowed(call, error)):
            yield f"{type(error).__name__} is not what this leads to"
        unsent = isinstance(error, holdfast.ConnectionLost) and not error.may_have_executed
        if error.__cause__ is None and not unsent and not isinstance(error, CAUSELESS):
            yield "no cause"
        shown: BaseException | None = error
        while shown is not None:
            if SECRET in f"{shown} {shown!r}":
                yield "a secret in the error"
            shown = shown.__cause__ or shown.__context__

    def _allowed(self, call: Call, error: BaseException) -> tuple[type[Exception], ...]:
        # What the connection's last user left behind can meet any plan; _excuses counts those that need one.
        leftover: tuple[type[Exception], ...] = (holdfast.ConnectionLost, holdfast.RemoteProtocolError, holdfast.SSLError)
        allowed: tuple[type[Exception], ...] = (*SCARCE, holdfast.ReadTimeout, *leftover, *VERBS[call.plan.verb][1])
        if not call.replayable and call.plan.verb == "redirect":
            allowed += (holdfast.UnrewindableBodyError,)
        if call.finished >= self.closed_at:
            allowed += (holdfast.ClientClosed,)
        if call.style == "other":
            allowed += (holdfast.StreamConsumedError, holdfast.IncompleteBody)
        if getattr(error, "never_connected", False):
            allowed += (holdfast.ConnectionError,)
        return allowed

    def _excuses(self, call: Call) -> Iterator[str]:
        """What must have happened for this to be nobody's fault."""
        error = call.error
        if error is None or isinstance(error, VERBS[call.plan.verb][1]):
            return
        if isinstance(error, holdfast.SSLError) or getattr(error, "never_connected", False):
            yield "dropped"
        if isinstance(error, holdfast.ConnectionLost) and (not error.reused or not call.once_only) and call.replayable:
            yield "dropped"
        if isinstance(error, holdfast.RemoteProtocolError) and not call.once_only and call.replayable:
            yield "crossed"

    def _is_late(self, call: Call) -> bool:
        prompt = not VERBS[call.plan.verb][1]
        return prompt and isinstance(call.error, holdfast.ReadTimeout)


def outcome(call: Call) -> str:
    """For the histogram."""
    return "answered" if call.error is None else type(call.error).__name__


def lines_of(error: BaseException) -> str:
    """The lines an exception came through, innermost last."""
    return " > ".join(f"{f.filename.rpartition('/')[2]}:{f.lineno}" for f in traceback.extract_tb(error.__traceback__))


def where(thread: threading.Thread) -> str:
    """The lines a thread is in, innermost last."""
    frame = sys._current_frames().get(thread.ident or 0)
    lines = []
    while frame is not None:
        lines.append(f"{frame.f_code.co_filename.rpartition('/')[2]}:{frame.f_lineno}")
        frame = frame.f_back
    return " > ".join(reversed(lines[:8]))


@contextlib.contextmanager
def switching_every(seconds: float) -> Iterator[None]:
    """Let the interpreter change threads more often than it would, so that rare interleavings come up."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(seconds)
    try:
        yield
    finally:
        sys.setswitchinterval(before)

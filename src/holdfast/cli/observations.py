"""What ``doctor`` looks at: one small function for each question, from a ``Bench`` to a frozen value.

An observation opens at most the connections that it says it does, closes them, sends GET or HEAD only, and ends at the Bench's
deadline. One that fails says so in ``Findings.troubles``: the others go on.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from ..exceptions import ConnectionError as HoldfastConnectionError
from ..exceptions import ReadTimeout, RequestException
from .probe import Address, Answer, AnswerTooLong, Clock, Connection, Target, addresses_of, dial

DIALS = 5  # handshakes that offer a session
STALL = 0.030  # seconds that a delayed acknowledgement costs at least (Linux: 40 ms)
SAMPLES = 6  # kept requests of which the median is taken
TO_STALL = 3 * SAMPLES  # requests on one connection that show what delayed acknowledgements cost
SETTLE = 0.5  # seconds in which a server that does not keep a connection ends it
MOST_ADDRESSES = 8

PROXY_HEADERS = frozenset(
    ("via", "age", "cf-ray", "x-amz-cf-id", "x-azure-ref", "x-cache", "x-envoy-upstream-service-time", "x-served-by", "x-varnish")
)
PROXY_SERVERS = re.compile(r"cloudflare|cloudfront|akamai|varnish|envoy|awselb|gws|squid|haproxy|fastly", re.IGNORECASE)


@dataclass
class Bench:
    """What every observation is given.

    Attributes:
        target: the server and path.
        clock: the time.
        until: the moment on ``clock`` at which observations end.
        patience: seconds that a dial or an answer may take. Default 10.
        method: GET, or HEAD where the answer to GET is too long to be read each time.
        opened, asked: connections and requests so far.
    """

    target: Target
    clock: Clock
    until: float
    patience: float = 10.0
    method: str = "GET"
    opened: int = 0
    asked: int = 0

    def left(self) -> float:
        """Seconds for the next step; a step that is begun has a second even if that is more than is left."""
        return max(1.0, min(self.patience, self.until - self.clock()))

    def dial(self, **keywords: Any) -> Connection:
        """A new connection, counted."""
        self.opened += 1
        return dial(self.target, self.left(), clock=self.clock, **keywords)

    def ask(self, connection: Connection, **keywords: Any) -> Answer:
        """One request, counted."""
        self.asked += 1
        return connection.ask(self.method, self.left(), **keywords)

    @property
    def late(self) -> bool:
        """Whether its time is over."""
        return self.clock() >= self.until


# -- what the server is, and what it says ------------------------------------------------------------------------------


@dataclass(frozen=True)
class First:
    """The first answer.

    Attributes:
        status, version, server: what it says of itself.
        hint_timeout, hint_max: of its Keep-Alive field; None where it gives none.
        says: its Connection field.
        kept: whether it may be used again, by what was said.
        method: what to ask from now on.
        proxies: the fields that only a proxy, cache or CDN adds.
        tls: version, "" for http.
        connect, handshake, wait: seconds: TCP, TLS (None for http), the answer.
    """

    status: int
    version: str
    server: str
    hint_timeout: int | None
    hint_max: int | None
    says: str
    kept: bool
    method: str
    proxies: tuple[str, ...]
    tls: str
    connect: float
    handshake: float | None
    wait: float


def first_answer(bench: Bench) -> First:
    """One connection, one request (two if the answer to GET is long). Raises what went wrong: without it there is no report."""
    with closing(bench.dial()) as connection:
        try:
            answer = bench.ask(connection)
        except AnswerTooLong:
            bench.method = "HEAD"
        else:
            return _first(bench, connection, answer)
    with closing(bench.dial()) as connection:
        return _first(bench, connection, bench.ask(connection))


def _first(bench: Bench, connection: Connection, answer: Answer) -> First:
    if answer.size > 65536:
        bench.method = "HEAD"  # it will be asked many times
    hints = dict(re.findall(r"(timeout|max)\s*=\s*\"?(\d{1,9})", answer.get("keep-alive").lower()))
    return First(
        answer.status,
        f"HTTP/{answer.version}",
        answer.get("server"),
        int(hints["timeout"]) if "timeout" in hints else None,
        int(hints["max"]) if "max" in hints else None,
        answer.get("connection"),
        answer.kept,
        bench.method,
        signs_of_a_proxy(answer.headers),
        connection.tls_version,
        connection.steps.tcp,
        connection.steps.tls,
        answer.wait,
    )


def signs_of_a_proxy(headers: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """The fields of an answer that a proxy, cache or CDN has added."""
    found = [name for name, _ in headers if name in PROXY_HEADERS]
    found += [f"server: {value}" for name, value in headers if name == "server" and PROXY_SERVERS.search(value)]
    return tuple(dict.fromkeys(found))


# -- one connection, many requests -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PerConnection:
    """How many requests one connection carries.

    Attributes:
        answered: requests answered on it.
        ended: whether the server then ended it; False if the measurement stopped first.
        announced: whether the last answer said so.
    """

    answered: int
    ended: bool
    announced: bool


def requests_per_connection(bench: Bench, most: int) -> PerConnection:
    """One connection, up to ``most`` requests, one after another."""
    with closing(bench.dial()) as connection:
        while connection.requests < most and not bench.late:
            try:
                answer = bench.ask(connection, quick=True)
            except ReadTimeout:
                if bench.late and connection.requests:
                    break  # it was our time that ended, not the server's patience
                raise
            except HoldfastConnectionError:
                if connection.requests == 0:
                    raise
                return PerConnection(connection.requests, True, False)
            if not answer.kept:
                return PerConnection(connection.requests, True, answer.says_close or answer.version == "1.0")
        ended = connection.requests == most < 3 and connection.wait_for_end(SETTLE) is not None
        return PerConnection(connection.requests, ended, False)


@dataclass(frozen=True)
class Stalls:
    """What delayed acknowledgements cost: median seconds per kept request without and with TCP_QUICKACK."""

    plain: float
    quick: float

    @property
    def stalls(self) -> bool:
        """Whether the server waits for acknowledgements between two parts of an answer."""
        return self.plain - self.quick >= STALL


def delayed_acks(bench: Bench) -> Stalls:
    """One connection that carries ``TO_STALL`` requests.

    The kernel acknowledges at once while a connection is new, so the first ones do not count.
    """
    with closing(bench.dial()) as connection:
        plain = [bench.ask(connection).seconds for _ in range(2 * SAMPLES)][SAMPLES:]
        quick = [bench.ask(connection, quick=True).seconds for _ in range(SAMPLES)]
    return Stalls(statistics.median(plain), statistics.median(quick))


@dataclass(frozen=True)
class Acknowledged:
    """Who acknowledges: the round trips that tell a server from a relay in front of it, least seconds of several.

    Attributes:
        ack: the TCP peer's (the kernel's least round-trip time); None where the kernel does not say.
        handshake: of TLS: a round trip to its other end, and the computing; None for http.
        answer: from the request to the answer's first byte.
        early: the time after which a request was acknowledged before its answer came; None if each came with its answer.
    """

    ack: float | None
    handshake: float | None
    answer: float
    early: float | None


def acknowledged(bench: Bench) -> Acknowledged:
    """Two connections, six requests; fewer where the server ends its connections earlier."""
    from .probe import kernel_of

    handshakes, answers, acks, early = [], [], [], []
    for _ in range(2):
        with closing(bench.dial()) as connection:
            for _ in range(SAMPLES // 2):
                try:
                    answer = bench.ask(connection, watch_ack=True)
                except HoldfastConnectionError:
                    if connection.requests == 0:
                        raise
                    break  # the server ends a connection after so many, without a word
                answers.append(answer.send + answer.wait)
                if answer.acked is not None:
                    early.append(answer.acked)
                if not answer.kept:
                    break
            kernel = kernel_of(connection.sock)
            if kernel is not None:
                acks.append(kernel.min_rtt)
            if connection.steps.tls is not None:
                handshakes.append(connection.steps.tls)
    return Acknowledged(min(acks, default=None), min(handshakes, default=None), min(answers), min(early, default=None))


# -- dials -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Resumption:
    """TLS sessions.

    Attributes:
        tickets: whether the first connection brought one.
        dials, resumed: how many offered a session, and how many the server took.
        full, short: median seconds of a full and of a resumed handshake; None where there was none.
        lifetime: seconds for which the server says a ticket is good.
    """

    tickets: bool
    dials: int
    resumed: int
    full: float | None
    short: float | None
    lifetime: int | None

    @property
    def share(self) -> float:
        """Resumed of those that offered a session, 0 to 1."""
        return self.resumed / self.dials if self.dials else 0.0


def resumption(bench: Bench, dials: int = DIALS) -> Resumption:
    """One connection more than ``dials``, one after another, each offering the newest session."""
    full: list[float] = []
    short: list[float] = []
    with closing(bench.dial()) as connection:
        bench.ask(connection)
        session = connection.session
        full.append(connection.steps.tls or 0.0)
    tickets, lifetime = session is not None, None if session is None else session.ticket_lifetime_hint
    tried = 0
    while session is not None and tried < dials and not bench.late:
        tried += 1
        with closing(bench.dial(session=session)) as connection:
            bench.ask(connection)
            (short if connection.resumed else full).append(connection.steps.tls or 0.0)
            session = connection.session or session
    return Resumption(
        tickets,
        tried,
        len(short),
        statistics.median(full) if full else None,
        statistics.median(short) if short else None,
        lifetime,
    )


@dataclass(frozen=True)
class AddressSeen:
    """One address of the name: seconds of TCP, TLS and answer, or what went wrong."""

    address: str
    connect: float | None = None
    handshake: float | None = None
    wait: float | None = None
    status: int | None = None
    error: str = ""


def each_address(bench: Bench) -> tuple[AddressSeen, ...]:
    """One connection to each of the name's addresses (at most MOST_ADDRESSES), one request on it."""
    addresses = addresses_of(bench.target, bench.left(), bench.clock)
    return tuple(_at(bench, address) for address in addresses[:MOST_ADDRESSES])


def _at(bench: Bench, address: Address) -> AddressSeen:
    try:
        with closing(bench.dial(address=address)) as connection:
            answer = bench.ask(connection)
            return AddressSeen(address[0], connection.steps.tcp, connection.steps.tls, answer.wait, answer.status)
    except RequestException as error:
        return AddressSeen(address[0], error=str(error))


@dataclass(frozen=True)
class Http10:
    """What a request of HTTP/1.0 with ``Connection: keep-alive`` gets.

    Attributes:
        status: of the answer.
        says: its Connection field.
        kept: whether the connection was still open half a second later.
    """

    status: int
    says: str
    kept: bool


def http10(bench: Bench) -> Http10:
    """One connection, one request."""
    with closing(bench.dial()) as connection:
        answer = bench.ask(connection, version="1.0")
        return Http10(answer.status, answer.get("connection"), connection.wait_for_end(SETTLE) is None)

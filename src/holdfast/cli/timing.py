"""``holdfast timing URL``: what each phase of a call takes, for a new connection, one whose TLS session is resumed, and a kept one.

Three kinds of calls, by hand on connections of its own:

cold     name, TCP, TLS from nothing, request, answer
resumed  the same with a TLS session from an earlier connection (https only)
kept     request and answer on a connection that is open
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .._numbers import number_of
from ..client import Client
from ..exceptions import ConnectionError as HoldfastConnectionError
from ..exceptions import ReadTimeout
from . import codes
from .options import add_tls, positive, verify_of
from .probe import Clock, Connection, Target, dial
from .terminal import Terminal, milliseconds, terminal, wrapped

if TYPE_CHECKING:
    import ssl

HELP = "what each phase of a call takes, and what keep-alive saves"
COLD, RESUMED, KEPT = "cold", "resumed", "kept"
PHASES = ("dns", "tcp", "tls", "send", "wait", "download")
NAMES = {"dns": "DNS", "tcp": "TCP", "tls": "TLS", "send": "send", "wait": "wait", "download": "download"}
DIALS = 5  # cold calls, and resumed ones, at most
Phases = dict[str, float]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("url", metavar="URL")
    parser.add_argument("-n", type=_count, default=20, metavar="N", help=f"kept calls (default 20); at most {DIALS} of the others")
    parser.add_argument("--head", action="store_true", help="ask by HEAD instead of GET")
    parser.add_argument("--compare", action="store_true", help="also N calls by holdfast: a client for each against one for all")
    parser.add_argument("--timeout", type=positive, default=30.0, metavar="SECONDS", help="of each call (default 30)")
    parser.add_argument("--json", action="store_true", help="write the figures as JSON, in seconds")
    add_tls(parser)


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 10000:
        raise argparse.ArgumentTypeError("expected 1 to 10000")
    return value


# -- measuring ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """The calls of one kind: seconds of each phase, one mapping per call."""

    name: str
    calls: tuple[Phases, ...]

    def median(self, phase: str) -> float | None:
        """Of one phase; None where the kind has no such phase."""
        values = [call[phase] for call in self.calls if phase in call]
        return statistics.median(values) if values else None

    @property
    def totals(self) -> list[float]:
        """Seconds of each call."""
        return [sum(call.values()) for call in self.calls]

    def as_dict(self) -> dict[str, Any]:
        """Seconds: the median of each phase, and of the whole its median, p95, least and most."""
        return {
            "calls": len(self.calls),
            "phases": {phase: self.median(phase) for phase in PHASES if self.median(phase) is not None},
            **summary(self.totals),
        }


def summary(seconds: Sequence[float]) -> dict[str, float]:
    """Median, p95, least and most."""
    return {"median": statistics.median(seconds), "p95": percentile(seconds, 0.95), "min": min(seconds), "max": max(seconds)}


def percentile(values: Sequence[float], share: float) -> float:
    """The least value that ``share`` of all do not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


@dataclass(frozen=True)
class Timings:
    """What was measured.

    Attributes:
        kinds: COLD, RESUMED where a session was resumed, KEPT where the server keeps connections.
        closed: connections that the server ended while calls were to be kept on them.
        tls: version of TLS, "" for http.
        address: which one answered.
    """

    url: str
    kinds: tuple[Kind, ...]
    closed: int = 0
    tls: str = ""
    address: str = ""

    def kind(self, name: str) -> Kind | None:
        """The kind of that name, if there were such calls."""
        return next((kind for kind in self.kinds if kind.name == name), None)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        kinds = {kind.name: kind.as_dict() for kind in self.kinds}
        server = {"url": self.url, "address": self.address, "tls": self.tls}
        return {**server, "closed": self.closed, "kinds": kinds, "saved": saved(self)}


class Stopwatch:
    """Measures the calls of one target."""

    def __init__(self, target: Target, method: str, seconds: float, clock: Clock = time.monotonic) -> None:
        self.target = target
        self.method = method
        self.seconds = seconds
        self.clock = clock
        self.closed = 0
        self.tls = self.address = ""

    def measure(self, kept: int, show: Callable[[str], object] = lambda text: None) -> Timings:
        """``kept`` kept calls, and up to DIALS of the other kinds.

        Raises:
            RequestException: of the first connection, or if the server stops answering.
        """
        dials = min(kept, DIALS)
        cold, resumed = [], []
        session: ssl.SSLSession | None = None
        for number in range(dials):
            show(f"{number + 1} of {number_of(dials, 'new connection')} ...")
            phases, found, _ = self._once(None)
            cold.append(phases)
            session = found or session
            if session is not None:
                phases, found, was_resumed = self._once(session)
                session = found or session
                if was_resumed:
                    resumed.append(phases)
        kinds = [Kind(COLD, tuple(cold)), Kind(RESUMED, tuple(resumed)), Kind(KEPT, tuple(self._kept(kept, show)))]
        return Timings(
            self.target.url.safe_text, tuple(kind for kind in kinds if kind.calls), self.closed, self.tls, self.address
        )

    def _once(self, session: ssl.SSLSession | None) -> tuple[Phases, ssl.SSLSession | None, bool]:
        with closing(dial(self.target, self.seconds, session=session, clock=self.clock)) as connection:
            self.tls, self.address = connection.tls_version, str(connection.address[0])
            phases = self._dialled(connection) | self._asked(connection)[0]
            return phases, connection.session, connection.resumed

    def _dialled(self, connection: Connection) -> Phases:
        steps = connection.steps
        return {"dns": steps.dns, "tcp": steps.tcp} | ({} if steps.tls is None else {"tls": steps.tls})

    def _asked(self, connection: Connection) -> tuple[Phases, bool]:
        answer = connection.ask(self.method, self.seconds, quick=True, most=None)
        return {"send": answer.send, "wait": answer.wait, "download": answer.download}, answer.kept

    def _kept(self, wanted: int, show: Callable[[str], object]) -> list[Phases]:
        """Calls on a kept connection. A server that ends connections gets a new one after each, but not for ever."""
        found: list[Phases] = []
        while len(found) < wanted and self.closed < DIALS:
            with closing(dial(self.target, self.seconds, clock=self.clock)) as connection:
                try:
                    self._fill(connection, found, wanted, show)
                except ReadTimeout:
                    raise
                except HoldfastConnectionError:
                    if connection.requests == 0:
                        raise
                    self.closed += 1
        return found

    def _fill(self, connection: Connection, found: list[Phases], wanted: int, show: Callable[[str], object]) -> None:
        _, keeps = self._asked(connection)  # the first of a connection is not a kept one
        while keeps and len(found) < wanted:
            show(f"{len(found) + 1} of {number_of(wanted, 'kept call')} ...")
            phases, keeps = self._asked(connection)
            found.append(phases)
        self.closed += not keeps


def compare(url: str, count: int, settings: dict[str, Any], clock: Clock = time.monotonic) -> dict[str, dict[str, float]]:
    """``count`` GETs by holdfast, with a Client for each and with one for all: seconds, as in ``summary``."""
    one_off, kept = [], []
    for _ in range(count):
        started = clock()
        with Client(**settings, keeper=False) as client:
            client.get(url)
        one_off.append(clock() - started)
    with Client(**settings) as client:
        client.get(url)
        for _ in range(count):
            started = clock()
            client.get(url)
            kept.append(clock() - started)
    return {"one-off": summary(one_off), "kept alive": summary(kept)}


# -- what it means -----------------------------------------------------------------------------------------------------


def saved(timings: Timings) -> str:
    """What keep-alive and resumption save, in one sentence."""
    cold, resumed, kept = (timings.kind(name) for name in (COLD, RESUMED, KEPT))
    assert cold is not None
    whole = statistics.median(cold.totals)
    if kept is None:
        keeping = f"The server keeps no connection: every call pays the whole {milliseconds(whole)}"
    else:
        keeping = f"Keep-alive saves {_difference(whole, statistics.median(kept.totals))} per call"
    full = cold.median("tls")
    if full is None:
        return keeping + "."
    short = None if resumed is None else resumed.median("tls")
    if short is None:
        return keeping + "; TLS sessions were not resumed, so each new connection pays for a full handshake."
    return keeping + f"; where a connection is new, resumption saves {_difference(full, short)} of the TLS handshake."


def _difference(before: float, after: float) -> str:
    if after >= before:
        return f"nothing measurable ({milliseconds(after)} instead of {milliseconds(before)})"
    return f"{milliseconds(before - after)} of {milliseconds(before)} ({(before - after) / before:.0%})"


# -- showing -----------------------------------------------------------------------------------------------------------

COLOURS = {"dns": "magenta", "tcp": "blue", "tls": "yellow", "send": "cyan", "wait": "green", "download": "white"}


def bar(start: float, length: float, whole: float, width: int) -> str:
    """A bar of a waterfall: ``length`` of ``whole`` from ``start`` on, in ``width`` characters, in eighths of one."""
    if whole <= 0:
        return ""
    first = min(width - 1, int(start / whole * width))
    eighths = max(1, round(length / whole * width * 8))
    full, rest = divmod(min(eighths, (width - first) * 8), 8)
    return " " * first + "█" * full + ("" if rest == 0 else "▏▎▍▌▋▊▉"[rest - 1])


def waterfall(timings: Timings, width: int) -> list[list[tuple[str, str]]]:
    """Rows of (text, style): for each kind its total, then a line for each phase, to one scale."""
    whole = max(statistics.median(kind.totals) for kind in timings.kinds)
    rows = []
    for kind in timings.kinds:
        figures = summary(kind.totals)
        count = number_of(len(kind.calls), "call")
        text = f"median {milliseconds(figures['median'])}, p95 {milliseconds(figures['p95'])}, {count}"
        rows.append([(kind.name, "head"), ("", ""), ("", ""), (text, "")])
        start = 0.0
        for phase in PHASES:
            median = kind.median(phase)
            if median is not None:
                drawn = (bar(start, median, whole, width), COLOURS[phase])
                rows.append([("", ""), (NAMES[phase], ""), (milliseconds(median).rjust(8), ""), drawn])
                start += median
    return rows


def write(out: Terminal, timings: Timings, compared: dict[str, dict[str, float]] | None) -> None:
    """The waterfall, and the sentence."""
    server = ", ".join(part for part in (timings.address, timings.tls) if part)
    out.line((timings.url, "head"), (f"  {server}", "dim"))
    columns = max(20, min(out.columns, 100) - 30)
    for kind, phase, figure, drawn in waterfall(timings, columns):
        if kind[0]:
            out.line((kind[0].ljust(9), kind[1]), drawn[0])
        else:
            out.line("  ", phase[0].ljust(9), figure[0], "  ", drawn)
    out.line()
    for part in wrapped(saved(timings), out.columns):
        out.line(part)
    if timings.closed:
        ended = number_of(timings.closed, "connection")
        out.line((f"The server ended {ended} that calls were to be kept on: see holdfast doctor.", "warn"))
    if compared is not None:
        out.line()
        for name, figures in compared.items():
            median, p95 = milliseconds(figures["median"]), milliseconds(figures["p95"])
            out.line(("holdfast, " + name).ljust(22), f"median {median}, p95 {p95}")


def run(arguments: argparse.Namespace, clock: Clock = time.monotonic) -> int:
    """The command."""
    verify, cert = verify_of(arguments)
    target = Target.of(arguments.url, verify, cert)
    out, err = terminal(sys.stdout), terminal(sys.stderr)
    watch = Stopwatch(target, "HEAD" if arguments.head else "GET", arguments.timeout, clock)
    compared = None
    with err.progress() as progress:
        timings = watch.measure(arguments.n, progress.show)
        if arguments.compare:
            progress.show(f"{number_of(arguments.n, 'call')} by a client for each, and {arguments.n} by one for all ...")
            settings = {"verify": verify, "cert": cert, "timeout": arguments.timeout, "trust_env": False}
            compared = compare(arguments.url, arguments.n, settings, clock)
    if arguments.json:
        found = timings.as_dict() | ({} if compared is None else {"compared": compared})
        out.stream.write(json.dumps(found, indent=2) + "\n")
    else:
        write(out, timings, compared)
    return codes.OK

"""``holdfast doctor URL``: how a server, and the path to it, treat connections, and which limits follow from that.

It looks first at what takes milliseconds, one observation after another, then opens the connections that wait, all of them at once.
Never more than ``--connections`` are open at a time; only GET and HEAD are sent; it ends after ``--max`` seconds, or when nothing
is left to be learned, or at the first Ctrl-C with what is known until then.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar

from .._numbers import number_of
from ..exceptions import RequestException
from . import advice, codes, observations, report, watch
from .options import add_tls, text_of, verify_of
from .probe import Clock, Target
from .terminal import Terminal, terminal
from .watch import Watch, Watched

HELP = "how a server treats connections, and the limits to set"
SHARE_OF_QUICK = 0.4  # of the time for all: what the observations before the wait may take
T = TypeVar("T")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("url", metavar="URL")
    parser.add_argument("--max", type=_seconds, default=120.0, metavar="SECONDS", help="how long it may take (default 120)")
    parser.add_argument("--connections", type=_count, default=8, metavar="N", help="open at once, at most (default 8)")
    parser.add_argument("--requests", type=_count, default=150, metavar="N", help="on one connection, at most (default 150)")
    parser.add_argument("--head", action="store_true", help="ask by HEAD instead of GET")
    parser.add_argument("--json", action="store_true", help="write the findings as JSON")
    names = ", ".join(advice.NAMES)
    parser.add_argument(
        "--expect",
        action="append",
        default=[],
        type=_expectation,
        metavar="'idle>=60'",
        help=f"exit with {codes.UNEXPECTED} unless this holds; may be repeated. Names: {names}",
    )
    add_tls(parser)


def _seconds(text: str) -> float:
    value = float(text)
    if not 1 <= value <= 86400:
        raise argparse.ArgumentTypeError("expected 1 to 86400 seconds")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("expected 1 or more")
    return value


def _expectation(text: str) -> advice.Expectation:
    try:
        return advice.parse_expectation(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def run(arguments: argparse.Namespace, clock: Clock = time.monotonic) -> int:
    """The command."""
    target = Target.of(arguments.url, *verify_of(arguments))
    out, err = terminal(sys.stdout), terminal(sys.stderr)
    with err.progress() as progress:
        examination = Examination(target, arguments, clock, progress.show)
        findings = examination.run()
    if arguments.json:
        out.stream.write(json.dumps(findings.as_dict(), indent=2) + "\n")
    else:
        report.write(out, findings)
    code = check(arguments.expect, findings, err)
    return codes.INTERRUPTED if findings.interrupted else code


def check(expected: list[advice.Expectation], findings: advice.Findings, err: Terminal) -> int:
    """0 if all that was expected holds, else UNEXPECTED; says which does not."""
    code = codes.OK
    for each in expected:
        holds = advice.met(each, findings)
        if holds:
            continue
        code = codes.UNEXPECTED
        value = advice.value_of(findings, each.name)
        if value is None:
            found = "it was not measured"
        elif holds is None:
            found = f"it is {round(value[0], 2):g} or more; measure longer"
        else:
            found = f"it is {round(value[0], 2):g}" + ("" if value[0] == value[1] else " or more")
        err.line(("not as expected: ", "bad"), f"{each}: {found}")
    return code


class Examination:
    """One run: the observations in their order, then the wait."""

    def __init__(self, target: Target, arguments: argparse.Namespace, clock: Clock, show: Callable[[str], object]) -> None:
        self.arguments = arguments
        self.clock = clock
        self.show = show
        self.started = clock()
        self.until = self.started + arguments.max
        quick = self.started + arguments.max * SHARE_OF_QUICK
        self.bench = observations.Bench(target, clock, quick, method="HEAD" if arguments.head else "GET")
        self.troubles: list[str] = []

    def run(self) -> advice.Findings:
        """All of it. Raises what the first connection raises: without an answer there is nothing to examine."""
        self.show("asking once ...")
        first = observations.first_answer(self.bench)
        found: dict[str, Any] = {}
        try:
            self._quickly(found, first)
            self._patiently(found, first)
        except KeyboardInterrupt:
            found["interrupted"] = True
        return advice.Findings(
            url=self.bench.target.url.safe_text,
            first=first,
            troubles=tuple(self.troubles),
            waited=self.clock() - self.started,
            opened=self.bench.opened,
            asked=self.bench.asked,
            **found,
        )

    def _quickly(self, found: dict[str, Any], first: observations.First) -> None:
        bench = self.bench
        found["addresses"] = self._observe("each address of the name", observations.each_address, bench) or ()
        found["acknowledged"] = self._observe("who acknowledges", observations.acknowledged, bench)
        found["http10"] = self._observe("HTTP/1.0", observations.http10, bench)
        if bench.target.context is not None:
            found["resumption"] = self._observe("TLS sessions", observations.resumption, bench)
        if first.kept:
            most = self.arguments.requests
            name = f"up to {number_of(most, 'request')} on one connection"
            seen = self._observe(name, observations.requests_per_connection, bench, most)
            found["requests"] = seen
            if seen is not None and seen.answered >= observations.TO_STALL:
                found["stalls"] = self._observe("delayed acknowledgements", observations.delayed_acks, bench)

    def _observe(self, name: str, observation: Callable[..., T], *arguments: Any) -> T | None:
        self.show(f"{name} ...")
        if self.bench.late:
            self.troubles.append(f"{name}: no time was left for it")
            return None
        try:
            return observation(*arguments)
        except RequestException as error:
            self.troubles.append(f"{name}: {text_of(error)}")
            return None

    def _patiently(self, found: dict[str, Any], first: observations.First) -> None:
        self.bench.until = self.until
        keeps = first.kept and not (found["requests"] is not None and found["requests"].answered == 1)
        waiting = Watch(self.clock, self.until, self.bench.method)
        try:
            for role, age in watch.roles(self.arguments.connections, self.until - self.clock()):
                if keeps or role == watch.SILENT:
                    self._open(waiting, role, age)
            waiting.run(lambda state: self.show(progress_of(state, self.clock())))
        finally:
            now = self.clock()
            found["idle"] = watch.idle_of(waiting.watched, watch.IDLE, now)
            if any(each.role == watch.SILENT for each in waiting.watched):
                found["silent"] = watch.idle_of(waiting.watched, watch.SILENT, now)
            if any(each.role == watch.AGED for each in waiting.watched):
                found["drop"] = watch.drop_of(waiting.watched)
            waiting.close()

    def _open(self, waiting: Watch, role: str, age: float | None) -> None:
        try:
            connection = self.bench.dial()
        except RequestException as error:
            self.troubles.append(f"a connection to wait on: {text_of(error)}")
            return
        waiting.watched.append(Watched(connection, role, age))
        if role == watch.SILENT:
            return
        try:
            self.bench.ask(connection)
        except RequestException as error:
            waiting.watched.pop()
            connection.close()
            self.troubles.append(f"a connection to wait on: {text_of(error)}")


def progress_of(state: Watch, now: float) -> str:
    """``waiting up to 106 s more (Ctrl-C: report now); 3 of 8 done, idle for 12 s``: no wider than a terminal of 80 columns."""
    ended = len(state.watched) - len(state.waiting)
    oldest = max((now - each.connection.used for each in state.waiting), default=0.0)
    left = f"waiting up to {state.until - now:.0f} s more (Ctrl-C: report now)"
    return f"{left}; {ended} of {len(state.watched)} done, idle for {oldest:.0f} s"

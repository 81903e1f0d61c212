"""Eighteen real servers from PyPI, each at its defaults: who loses what against them?

    python -m benchmarks servers [--venv DIR] [--only "gunicorn gthread"] [--client holdfast]

The servers are installed, pinned, into a virtual environment under a temporary folder (``--venv DIR`` keeps it for the
next time), and started on loopback one after the other. Each client does the same to each server: GETs back to back,
POSTs back to back, then *refused uploads*: a POST of 1, 100 or 300 KB to a path where the application answers 404
without reading the body, followed at once by a GET or by a POST. A server may then read the rest, close with or without saying so,
or take the rest of the body for the next request; a client has to find out.

Every answer carries its request's identity. *Failed* is an exception, *wrong* an answer that is not the request's own
(also an error that the server made of something else). The application enters each request in a ledger: *twice* counts
POSTs that it was given more than once. GETs may be sent again.

Bounded: each client has ``--budget`` seconds at each server; what it did not get to is left out and said. Exit status:
0; 1 if holdfast took a wrong answer or a POST of it was executed twice; 2 if no server could be tried.
"""

from __future__ import annotations

import argparse
import json
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from benchmarks import table
from benchmarks.clients import PEERS, Peer, Setting, installed, titles
from benchmarks.link import exit_on_sigterm
from benchmarks.processes import NotStarted, Processes, hear, tell
from benchmarks.real_servers import SERVERS, Environment, NotInstalled, executed

CLIENTS = ("holdfast", "requests", "httpx")
SIZES = (1, 100, 300)
OK, WRONG = "ok", "wrong"


class Told(NamedTuple):
    """What a client says became of one request.

    Attributes:
        phase: "get", "post", "refused", or for what follows a refused POST "after".
        size: KB of the refused body that this is, or follows.
        outcome: "ok", "wrong", or the exception's name.
    """

    phase: str
    method: str
    size: int
    nonce: str
    outcome: str
    seconds: float


@dataclass(frozen=True)
class Plan:
    """What each client is asked to do."""

    requests: int
    pairs: int
    budget: float


# -- the client's process ----------------------------------------------------------------------------------------


def drive(peer: Peer, url: str, plan: Plan) -> Iterator[Told]:
    """Every request of the plan, one after the other, until the budget is spent."""
    until = time.monotonic() + plan.budget
    for phase, method, size in _asked(plan):
        if time.monotonic() > until:
            return
        yield _send(peer, url, phase, method, size)


def _asked(plan: Plan) -> Iterator[tuple[str, str, int]]:
    for method in ("GET", "POST"):
        for _ in range(plan.requests):
            yield method.lower(), method, 0
    for size in SIZES:
        for follower in ("GET", "POST"):
            for _ in range(plan.pairs):
                yield "refused", "POST", size
                yield "after", follower, size


def _send(peer: Peer, url: str, phase: str, method: str, size: int) -> Told:
    nonce = secrets.token_hex(8)
    refused = phase == "refused"
    body = b"x" * (size * 1024) if refused else nonce.encode() if method == "POST" else None
    began = time.monotonic()
    try:
        status, answer = peer.send(method, f"{url}/{'refuse' if refused else 'run'}/{nonce}", body)
        outcome = OK if (status, answer) == (404 if refused else 200, nonce) else WRONG
    except Exception as error:
        outcome = type(error).__name__
    return Told(phase, method, size, nonce, outcome, time.monotonic() - began)


# -- the verdict -------------------------------------------------------------------------------------------------


@dataclass
class Verdict:
    """One client at one server."""

    server: str
    client: str
    told: list[Told] = field(default_factory=list)
    ledger: dict[str, int] = field(default_factory=dict)
    broken: str = ""

    def failed(self, phase: str, method: str, size: int = 0) -> int:
        """How many of these requests ended in an exception."""
        return sum(
            told.outcome not in (OK, WRONG) for told in self.told if (told.phase, told.method, told.size) == (phase, method, size)
        )

    def after(self, method: str) -> list[int]:
        """How many of the requests after a refused POST failed, by the size of that."""
        return [self.failed("after", method, size) for size in SIZES]

    @property
    def refusals(self) -> list[int]:
        """How many refusals could not be read, by the body's size."""
        return [self.failed("refused", "POST", size) for size in SIZES]

    @property
    def wrong(self) -> int:
        """How many answers were not their request's own."""
        return sum(told.outcome == WRONG for told in self.told)

    @property
    def twice(self) -> int:
        """How many POSTs the application was given more than once."""
        return sum(self.ledger.get(f"POST {told.nonce}", 0) > 1 for told in self.told if told.method == "POST")

    def ms(self, phase: str) -> float:
        """The median of the phase's requests that were answered, in milliseconds; of "after", a refusal and what follows."""
        took = [told.seconds for told in self.told if told.phase == phase and told.outcome == OK]
        return 1000 * statistics.median(took) if took else float("nan")


QUESTIONS: dict[str, Callable[[Verdict], int]] = {
    "GETs failed": lambda verdict: verdict.failed("get", "GET"),
    "POSTs failed": lambda verdict: verdict.failed("post", "POST"),
    "GETs failed after a refused POST": lambda verdict: sum(verdict.after("GET")),
    "POSTs failed after a refused POST": lambda verdict: sum(verdict.after("POST")),
    "refusals not read": lambda verdict: sum(verdict.refusals),
    "wrong answers": lambda verdict: verdict.wrong,
    "POSTs executed twice": lambda verdict: verdict.twice,
}
SLOWER = 1.25  # by less than a quarter is this machine's mood
HEADINGS = (
    "server",
    "client",
    "GETs failed",
    "POSTs failed",
    "then GET failed",
    "then POST failed",
    "refusal not read",
    "wrong",
    "POSTs twice",
    "ms: GET",
    "POST",
    "refused POST",
    "the next",
)


def row(verdict: Verdict) -> list[str]:
    """The client's line of the table."""
    if verdict.broken and not verdict.told:
        return [verdict.server, verdict.client, "not tried", *[""] * (len(HEADINGS) - 3)]
    return [
        verdict.server,
        verdict.client,
        str(verdict.failed("get", "GET")),
        str(verdict.failed("post", "POST")),
        *[_by_size(counts) for counts in (verdict.after("GET"), verdict.after("POST"), verdict.refusals)],
        str(verdict.wrong),
        str(verdict.twice),
        *[f"{verdict.ms(phase):.2f}".replace("nan", "-") for phase in ("get", "post", "refused", "after")],
    ]


def _by_size(counts: Sequence[int]) -> str:
    return " / ".join(map(str, counts)) if any(counts) else "0"


def worse(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """Where holdfast does worse than the best of the others at the same server."""
    for own in (verdict for verdict in verdicts if verdict.client == "holdfast" and verdict.told):
        others = [each for each in verdicts if each.server == own.server and each is not own and each.told]
        for what, question in QUESTIONS.items():
            best = min(others, key=question, default=None)
            if best is not None and question(own) > question(best):
                yield f"{own.server}: {what} {question(own)}, {best.client} {question(best)}"
        for phase in ("get", "post", "refused", "after"):
            quickest = min(others, key=lambda each: each.ms(phase), default=None)
            if quickest is not None and own.ms(phase) > SLOWER * quickest.ms(phase):
                yield f"{own.server}: {phase} {own.ms(phase):.2f} ms, {quickest.client} {quickest.ms(phase):.2f} ms"


# -- the command -------------------------------------------------------------------------------------------------


def try_client(server: str, client: str, url: str, plan: Plan) -> Verdict:
    """One client, in a process of its own that is ended with its budget."""
    verdict = Verdict(server, client)
    with Processes() as processes:
        process = processes.converse("benchmarks.servers", "drive", client, url, json.dumps(vars(plan)))
        try:
            verdict.told = [Told(*each) for each in hear(process, plan.budget + 30.0)]
        except NotStarted as error:
            verdict.broken = f"the client broke: {error}; {processes.last_words()}"
    return verdict


def try_server(name: str, home: Environment, clients: Sequence[str], plan: Plan) -> list[Verdict]:
    """Every client at this server; a server that cannot be had, or does not start, is a verdict too."""
    verdicts = []
    try:
        home.install(SERVERS[name])
        with home.running(SERVERS[name]) as (url, ledger):
            for client in clients:
                print(f"{name}, {client} ...", flush=True, file=sys.stderr)
                verdicts.append(try_client(name, client, url, plan))
            counts = executed(ledger)
    except (NotInstalled, NotStarted) as error:
        return [*verdicts, Verdict(name, "-", broken=str(error))]
    for verdict in verdicts:
        verdict.ledger = counts
    return verdicts


def report(verdicts: Sequence[Verdict], clients: list[str], plan: Plan) -> int:
    """Print the table, what was left out, and where holdfast does worse; the exit status."""
    whole = len(list(_asked(plan)))
    print(
        f"{titles(clients)}. {plan.requests} GETs, {plan.requests} POSTs, {plan.pairs} refused POSTs of"
        f" {', '.join(map(str, SIZES))} KB with a GET after each and as many with a POST after each"
        " (figures a / b / c are by size). ms are medians.\n"
    )
    print(table([HEADINGS, *map(row, verdicts)]))
    for verdict in verdicts:
        if verdict.broken:
            print(f"\n{verdict.server}, {verdict.client}: {verdict.broken}")
        elif len(verdict.told) < whole:
            print(f"\n{verdict.server}, {verdict.client}: {len(verdict.told)} of {whole} requests in {plan.budget:g} s")
    lines = list(worse(verdicts))
    print("\nholdfast does worse here:" if lines else "\nholdfast does worse nowhere here.")
    print("\n".join(f"  {line}" for line in lines))
    own = [verdict for verdict in verdicts if verdict.client == "holdfast" and verdict.told]
    if not own and "holdfast" in clients:
        return 2
    return 1 if any(verdict.wrong or verdict.twice for verdict in own) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks servers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", metavar="SERVER", action="append", choices=list(SERVERS), help=f"of {', '.join(SERVERS)}")
    parser.add_argument("--client", action="append", choices=list(PEERS), help=f"which ones ({', '.join(CLIENTS)})")
    parser.add_argument("--venv", metavar="DIR", help="where the servers are, or are to be, installed (a temporary folder)")
    parser.add_argument("--requests", type=int, default=200, help="GETs, and POSTs (200)")
    parser.add_argument("--pairs", type=int, default=20, help="refused POSTs of each size before a GET, and before a POST (20)")
    parser.add_argument("--budget", type=float, default=60.0, help="seconds for each client at each server (60)")
    return parser.parse_args()


def run(options: argparse.Namespace) -> int:
    """Try every server that was asked for; the exit status."""
    plan = Plan(options.requests, options.pairs, options.budget)
    clients = installed(options.client or list(CLIENTS))
    verdicts: list[Verdict] = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        home = Environment(options.venv or folder)
        for name in options.only or SERVERS:
            verdicts += try_server(name, home, clients, plan)
    return report(verdicts, clients, plan)


def main() -> int:
    """Parse the command line and run; the exit status."""
    if sys.argv[1:2] == ["drive"]:
        peer = PEERS[sys.argv[2]](Setting())
        tell([list(told) for told in drive(peer, sys.argv[3], Plan(**json.loads(sys.argv[4])))])
        peer.close()
        return 0
    options = _options()
    exit_on_sigterm()
    try:
        return run(options)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())

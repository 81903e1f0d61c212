"""POSTs aimed at the idle close behind a relay that acknowledges for the server: who learns?

    python -m benchmarks relay [--through haproxy|squid|tinyproxy [--forward]] [--only holdfast]

The server closes a connection 1 s after its last response. Between it and the client stands a relay with two kernel
sockets and 10 ms each way, as a load balancer or a NAT gateway is: it acknowledges the client's POST at once, and
hands it to a server that has closed. No client can know from the outside that such a POST was not executed, so the
right answer is to report it; and a POST must not be sent twice. What a client *can* do is not to meet the same close a second time.

So the losses are counted by *meeting*: the first, second, ... time that this client sends a POST around the idle close
of this server. Each of the threads has a client of its own; at each meeting their aims sweep evenly over the same
window, and a client's aims differ from meeting to meeting.

``--through`` puts a real proxy between client and relay: haproxy relays (mode tcp), squid and tinyproxy are asked for a
tunnel (so the URL is https), or with ``--forward`` for the plain URL.

The server is the judge: *lost* is a POST that ended in an exception, *executed* how many of these the server had
executed all the same, *twice* a POST that it executed twice. A client that simply sends every POST again loses none; so
it is also asked for POSTs that the server executes and then dies of, where the only right answer is to report them: *died*.

Exit status: 0; 1 if holdfast took a wrong answer, or a POST of it was executed twice; 2 if the proxy cannot be had.
"""

from __future__ import annotations

import argparse
import json
import secrets
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks import table
from benchmarks.clients import PEERS, Peer, Setting, installed, titles
from benchmarks.link import exit_on_sigterm
from benchmarks.middle_boxes import PROXIES, start_proxy, start_relay
from benchmarks.processes import HOST, NotStarted, Processes, ask, hear, tell
from benchmarks.race import certificates

CLIENTS = ("holdfast", "requests", "httpx", "urllib3")
IDLE_CLOSE = 1.0
MARGIN = 0.005  # seconds that the sweep begins before and ends after the crossing


@dataclass(frozen=True)
class Plan:
    """How each client is tried.

    Attributes:
        earliest, latest: seconds after a response between which POSTs leave.
    """

    url: str
    ca: str
    proxy: str | None
    threads: int
    meetings: int
    deaths: int
    earliest: float
    latest: float

    def aim(self, thread: int, meeting: int) -> float:
        """Seconds after the response at which this POST leaves: at each meeting the threads sweep the window evenly."""
        place = (thread + meeting * 7) % self.threads  # 7: a thread comes to another place each time
        return self.earliest + (self.latest - self.earliest) * (place + 0.5) / self.threads


@dataclass(frozen=True)
class Told:
    """What a client says became of one POST: "ok", "wrong", or the exception's name; meeting 0: its worker died."""

    meeting: int
    nonce: str
    outcome: str

    @property
    def failed(self) -> bool:
        """Whether the client raised."""
        return self.outcome not in ("ok", "wrong")


# -- the client's process ----------------------------------------------------------------------------------------


class Runner:
    """One thread with a client of its own."""

    def __init__(self, plan: Plan, peer: Peer, thread: int) -> None:
        self.plan, self.peer, self.thread = plan, peer, thread
        self.told: list[Told] = []

    def run(self) -> None:
        """Meet the idle close as often as planned; a GET goes before where the last POST left no answered connection."""
        warm = False
        for meeting in range(1, self.plan.meetings + 1):
            if not warm:
                self._send("GET")
            answered = time.monotonic()
            time.sleep(max(0.0, answered + self.plan.aim(self.thread, meeting) - time.monotonic()))
            told = Told(meeting, *self._send("POST"))
            self.told.append(told)
            warm = told.outcome == "ok"
        for number in range(self.plan.deaths):
            self._send("GET")
            self.told.append(Told(0, *self._send("POST", "die/rst" if number % 2 else "die/fin")))

    def _send(self, method: str, path: str = "") -> tuple[str, str]:
        nonce = secrets.token_hex(8)
        try:
            body = nonce.encode() if method == "POST" else None
            answer = self.peer.send(method, self.plan.url + path, body, {"X-Nonce": nonce})
            return nonce, "ok" if answer == (200, nonce) else "wrong"
        except Exception as error:
            return nonce, type(error).__name__


def drive(name: str, plan: Plan) -> list[list[Any]]:
    """All threads of this client; what became of every POST."""
    peers = [PEERS[name](Setting(plan.ca, plan.proxy)) for _ in range(plan.threads)]
    runners = [Runner(plan, peer, thread) for thread, peer in enumerate(peers)]
    threads = [threading.Thread(target=runner.run, daemon=True) for runner in runners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for peer in peers:
        peer.close()
    return [[told.meeting, told.nonce, told.outcome] for runner in runners for told in runner.told]


# -- the verdict -------------------------------------------------------------------------------------------------


@dataclass
class Verdict:
    """One client's POSTs, held against the server's ledger."""

    client: str
    told: list[Told] = field(default_factory=list)
    executed: Counter[str] = field(default_factory=Counter)

    @property
    def met(self) -> list[Told]:
        """POSTs that were aimed at the idle close."""
        return [told for told in self.told if told.meeting]

    @property
    def died(self) -> list[Told]:
        """POSTs that the server executed and died of."""
        return [told for told in self.told if not told.meeting]

    @property
    def lost(self) -> list[Told]:
        """POSTs aimed at the idle close that ended in an exception."""
        return [told for told in self.met if told.failed]

    @property
    def wrong(self) -> int:
        """Answers that were another request's."""
        return sum(told.outcome == "wrong" for told in self.told)

    def twice(self, told: Sequence[Told]) -> int:
        """How many of these POSTs the server executed more than once."""
        return sum(self.executed[each.nonce] > 1 for each in told)

    def row(self, meetings: Sequence[int]) -> list[str]:
        """The client's line of the table."""
        lost_at = Counter(told.meeting for told in self.lost)
        return [
            self.client,
            *[str(lost_at[meeting]) for meeting in meetings],
            f"{len(self.lost)} of {len(self.met)}",
            str(sum(self.executed[told.nonce] > 0 for told in self.lost)),
            str(self.twice(self.met)),
            str(self.wrong),
            f"{sum(told.failed for told in self.died)} of {len(self.died)}",
            str(self.twice(self.died)),
        ]


# -- the command -------------------------------------------------------------------------------------------------


def try_client(name: str, plan: Plan, server: Any) -> Verdict:
    """Run one client in a process of its own, and judge it by the ledger."""
    verdict = Verdict(name)
    with Processes() as processes:
        process = processes.converse("benchmarks.relay", "drive", name, json.dumps(vars(plan)))
        seconds = (plan.meetings + plan.deaths) * 3 * (IDLE_CLOSE + 5.0) + 30.0
        verdict.told = [Told(*each) for each in hear(process, seconds)]
    time.sleep(IDLE_CLOSE + 0.5)  # what is still on its way to the server arrives, or is given up
    verdict.executed.update(ask(server, 10.0)[0])
    return verdict


def run(options: argparse.Namespace) -> int:
    """Try every client that was asked for, print the table; the exit status."""
    clients, verdicts = installed(options.only or list(CLIENTS)), []
    with Processes() as processes, certificates(HOST) as (ca, certificate):
        server = processes.converse("benchmarks.race", "serve", HOST, certificate, "0", str(IDLE_CLOSE))
        ports = hear(server, 20.0)
        tunnel = options.through in ("squid", "tinyproxy") and not options.forward
        scheme = "https" if tunnel else "http"
        port, proxy = start_relay(processes, ports[scheme], options.delay), None
        if options.through == "haproxy":
            port = start_proxy(processes, "haproxy", port)
        elif options.through:
            proxy = f"http://{HOST}:{start_proxy(processes, options.through, port)}"
        window = IDLE_CLOSE - 2 * options.delay - MARGIN, IDLE_CLOSE + MARGIN
        plan = Plan(f"{scheme}://{HOST}:{port}/", ca, proxy, options.threads, options.meetings, options.deaths, *window)
        for name in clients:
            print(f"{name} ...", end=" ", flush=True, file=sys.stderr)
            verdicts.append(try_client(name, plan, server))
        print(file=sys.stderr)
    return report(verdicts, plan, options, clients)


def report(verdicts: Sequence[Verdict], plan: Plan, options: argparse.Namespace, clients: list[str]) -> int:
    """Print the table; the exit status."""
    how = "a forwarding" if options.forward else "a tunnel of"
    through = {None: "", "haproxy": ", through haproxy"}.get(options.through, f", through {how} {options.through}")
    print(
        f"{titles(clients)}. POSTs leave {1000 * plan.earliest:.0f} to {1000 * plan.latest:.0f} ms after a response, the"
        f" server closes at {1000 * IDLE_CLOSE:.0f} ms; a relay of {1000 * options.delay:g} ms each way{through}."
        f" Lost, of {plan.threads} at each meeting.\n"
    )
    meetings = range(1, plan.meetings + 1)
    headings = ["client", *[f"meeting {meeting}" for meeting in meetings]]
    headings += ["lost in all", "executed", "twice", "wrong", "died: reported", "twice"]
    print(table([headings, *[verdict.row(meetings) for verdict in verdicts]]))
    own = [verdict for verdict in verdicts if verdict.client == "holdfast"]
    return 1 if any(verdict.wrong or verdict.twice(verdict.told) for verdict in own) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks relay", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", metavar="CLIENT", action="append", choices=CLIENTS, help="only this client")
    parser.add_argument("--through", choices=PROXIES, help="a real proxy between client and relay")
    parser.add_argument("--forward", action="store_true", help="ask squid or tinyproxy for the plain URL, not for a tunnel")
    parser.add_argument("--delay", type=float, default=0.01, help="of the relay, seconds each way (0.01)")
    parser.add_argument("--threads", type=int, default=16, help="each with a client of its own (16)")
    parser.add_argument("--meetings", type=int, default=10, help="with the idle close, of each client (10)")
    parser.add_argument("--deaths", type=int, default=2, help="of the server's worker, for each client of a thread (2)")
    return parser.parse_args()


def main() -> int:
    """Parse the command line and run; the exit status."""
    if sys.argv[1:2] == ["drive"]:
        tell(drive(sys.argv[2], Plan(**json.loads(sys.argv[3]))))
        return 0
    options = _options()
    exit_on_sigterm()
    try:
        return run(options)
    except NotStarted as error:
        print(f"not tried: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())

"""Proxies reloaded, and a server restarted, under eight threads: what is lost, what is executed twice?

    python -m benchmarks reload [--only nginx|caddy|haproxy|rolling] [--client holdfast]

nginx, caddy and haproxy stand before a small server and are reloaded by their own means (HUP; ``caddy reload``; USR2 to
haproxy's master). *rolling* has nothing before it: a new process of the server listens at the same port (SO_REUSEPORT),
then the old one gets SIGTERM. A "graceful" reload answers what is at work, and closes connections that are between two
requests, without a word: a request that is on its way then gets no answer, and its client cannot know whether it was executed.

Eight threads share one client, and send GETs and POSTs in turn, as fast as they can. The server enters what it executes
in a ledger: *executed* says how many of the POSTs that the client reported as failed were executed all the same (why
they must be reported), *twice* how many POSTs were executed more than once, *never* how many were answered though never executed.

Proxies that are not installed are said by name. Exit status: 0; 1 if holdfast lost a GET, or a POST of it was executed
twice or never; 2 if nothing could be tried.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from benchmarks import table
from benchmarks.clients import PEERS, Peer, Setting, installed, titles
from benchmarks.link import exit_on_sigterm
from benchmarks.processes import HOST, NotStarted, Processes, ask, environment, free_port, hear, tell
from benchmarks.real_servers import executed

CLIENTS = ("holdfast", "requests", "httpx", "urllib3")
THREADS = 8
_NGINX = """
worker_processes 2;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream origin {{ server {host}:{origin}; keepalive 16; }}
    server {{
        listen {host}:{port};
        location / {{ proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    }}
}}
"""
_HAPROXY = """
defaults
    mode http
    timeout connect 5s
    timeout client 50s
    timeout server 50s
listen origin
    bind {host}:{port}
    server origin {host}:{origin}
"""
_CADDY = """{{
    admin {host}:{admin}
    auto_https off
}}
http://{host}:{port} {{
    reverse_proxy {host}:{origin}
}}
"""

# -- what is reloaded --------------------------------------------------------------------------------------------


class Reloaded(Protocol):
    """Something at a port that can be reloaded.

    Attributes:
        port: where the clients connect to.
    """

    port: int

    def reload(self) -> None:
        """Reload it once; NotStarted if that fails."""
        ...


def _command(name: str) -> str:
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if path is None:
        raise NotStarted(f"{name} is not installed (apt-get install {name})")
    return path


class _Backend:
    """Starts the ledger's server, at a port of its own."""

    def __init__(self, processes: Processes, ledger: str, work: float) -> None:
        self.processes, self.port = processes, free_port()
        self._arguments = "benchmarks.ledger_server", str(self.port), ledger, str(work)
        self.process = self.start()

    def start(self) -> subprocess.Popen[str]:
        """One more process of it at the same port; returns when that listens."""
        process = self.processes.converse(*self._arguments)
        hear(process, 10.0)
        return process


class Rolling(_Backend):
    """The server alone, replaced by a new process of itself."""

    def reload(self) -> None:
        """The new process listens before the old one is told to stop."""
        old, self.process = self.process, self.start()
        old.terminate()


class Proxy:
    """A proxy before the server, configured with nothing that is not needed."""

    template, name = "", ""

    def __init__(self, processes: Processes, ledger: str, work: float) -> None:
        self.processes, self.executable = processes, _command(self.name)
        self.port, self.admin = free_port(), free_port()
        self.path = os.path.join(processes.folder, f"{self.name}.conf")
        origin = _Backend(processes, ledger, work).port
        with open(self.path, "w") as file:
            file.write(
                self.template.format(host=HOST, port=self.port, origin=origin, admin=self.admin, folder=processes.folder)
            )
        env = environment(HOME=processes.folder, XDG_DATA_HOME=processes.folder, XDG_CONFIG_HOME=processes.folder)
        self.process = processes.start([self.executable, *self.arguments()], cwd=processes.folder, env=env)
        processes.listening(self.process, self.port)

    def arguments(self) -> list[str]:
        """Of the command that starts it in the foreground."""
        raise NotImplementedError


class Nginx(Proxy):
    """HUP: new workers; the old ones close what is idle and end."""

    template, name = _NGINX, "nginx"

    def arguments(self) -> list[str]:
        return ["-c", self.path, "-g", "daemon off;"]

    def reload(self) -> None:
        """As ``nginx -s reload``."""
        self.process.send_signal(signal.SIGHUP)


class Haproxy(Proxy):
    """USR2 to the master: a new worker takes the listening sockets over."""

    template, name = _HAPROXY, "haproxy"

    def arguments(self) -> list[str]:
        return ["-W", "-db", "-f", self.path]

    def reload(self) -> None:
        """As ``systemctl reload haproxy``."""
        self.process.send_signal(signal.SIGUSR2)


class Caddy(Proxy):
    """A new configuration in the same process, by its administration port."""

    template, name = _CADDY, "caddy"

    def arguments(self) -> list[str]:
        return ["run", "--config", self.path, "--adapter", "caddyfile"]

    def reload(self) -> None:
        """``caddy reload``, told to do it although nothing has changed."""
        argv = [self.executable, "reload", "--config", self.path, "--adapter", "caddyfile", "--force"]
        argv += ["--address", f"{HOST}:{self.admin}"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=20.0, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise NotStarted(f"caddy reload: {done.stderr.strip()[-200:]}")


CASES: dict[str, Callable[[Processes, str, float], Reloaded]] = {
    "nginx": Nginx,
    "caddy": Caddy,
    "haproxy": Haproxy,
    "rolling": Rolling,
}

# -- the client's process ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Told:
    """What a client says became of one request: "ok", "wrong", or the exception's name."""

    method: str
    nonce: str
    outcome: str


def drive(peer: Peer, url: str, over: threading.Event) -> list[Told]:
    """Eight threads with one client, GET and POST in turn, until it is over."""
    told: list[Told] = []

    def run() -> None:
        while not over.is_set():
            for method in ("GET", "POST"):
                nonce = secrets.token_hex(8)
                try:
                    answer = peer.send(method, f"{url}/run/{nonce}", nonce.encode() if method == "POST" else None)
                    outcome = "ok" if answer == (200, nonce) else "wrong"
                except Exception as error:
                    outcome = type(error).__name__
                told.append(Told(method, nonce, outcome))  # append is atomic

    threads = [threading.Thread(target=run, daemon=True) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return told


def _client(name: str, url: str) -> None:
    """The client's process: a line on stdin ends it, and it says what became of every request."""
    peer, over = PEERS[name](Setting()), threading.Event()

    def wait() -> None:
        sys.stdin.readline()
        over.set()

    threading.Thread(target=wait, daemon=True).start()
    tell(["ready"])
    told = drive(peer, url, over)
    tell([[each.method, each.nonce, each.outcome] for each in told])
    peer.close()


# -- the verdict -------------------------------------------------------------------------------------------------


@dataclass
class Verdict:
    """One client through one case."""

    case: str
    client: str
    told: list[Told] = field(default_factory=list)
    ledger: dict[str, int] = field(default_factory=dict)
    broken: str = ""

    def of(self, method: str) -> list[Told]:
        """The requests with this method."""
        return [told for told in self.told if told.method == method]

    def lost(self, method: str) -> list[Told]:
        """Those that the client reported as failed."""
        return [told for told in self.of(method) if told.outcome not in ("ok", "wrong")]

    @property
    def wrong(self) -> int:
        """Answers that were not the request's own (also a 502 of the proxy)."""
        return sum(told.outcome == "wrong" for told in self.told)

    @property
    def twice(self) -> int:
        """POSTs that were executed more than once."""
        return sum(self.times(told) > 1 for told in self.of("POST"))

    @property
    def never(self) -> int:
        """POSTs that were answered and never executed."""
        return sum(told.outcome == "ok" and not self.times(told) for told in self.of("POST"))

    def times(self, told: Told) -> int:
        """How often the server executed it."""
        return self.ledger.get(f"{told.method} {told.nonce}", 0)


HEADINGS = ("case", "client", "GETs", "lost", "POSTs", "lost, reported", "of these executed", "twice", "never", "wrong")


def row(verdict: Verdict) -> list[str]:
    """The client's line of the table."""
    if verdict.broken:
        return [verdict.case, verdict.client, "not tried", *[""] * (len(HEADINGS) - 3)]
    lost = verdict.lost("POST")
    numbers = [
        len(verdict.of("GET")),
        len(verdict.lost("GET")),
        len(verdict.of("POST")),
        len(lost),
        sum(verdict.times(told) > 0 for told in lost),
        verdict.twice,
        verdict.never,
        verdict.wrong,
    ]
    return [verdict.case, verdict.client, *map(str, numbers)]


# -- the command -------------------------------------------------------------------------------------------------


def try_client(case: str, client: str, options: argparse.Namespace) -> Verdict:
    """Start the case and the client, reload as often as asked for, and judge by the ledger."""
    verdict = Verdict(case, client)
    try:
        with Processes() as processes:
            ledger = os.path.join(processes.folder, "ledger")
            thing = CASES[case](processes, ledger, options.work)
            process = processes.converse("benchmarks.reload", "drive", client, f"http://{HOST}:{thing.port}")
            hear(process, 20.0)
            for _ in range(options.reloads):
                time.sleep(options.every)
                thing.reload()
            time.sleep(options.every)
            verdict.told = [Told(*each) for each in ask(process, 60.0)]
            verdict.ledger = executed(ledger)
    except (NotStarted, subprocess.TimeoutExpired) as error:
        verdict.broken = str(error)
    return verdict


def report(verdicts: Sequence[Verdict], clients: list[str], options: argparse.Namespace) -> int:
    """Print the table; the exit status."""
    print(
        f"{titles(clients)}. {options.reloads} reloads, {options.every:g} s apart, under {THREADS} threads that share a"
        f" client; the server works {1000 * options.work:g} ms on each request.\n"
    )
    print(table([HEADINGS, *map(row, verdicts)]))
    for verdict in verdicts:
        if verdict.broken:
            print(f"\n{verdict.case}, {verdict.client}: {verdict.broken}")
    own = [verdict for verdict in verdicts if verdict.client == "holdfast" and verdict.told]
    if not own and "holdfast" in clients:
        return 2
    return 1 if any(verdict.lost("GET") or verdict.twice or verdict.never for verdict in own) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks reload", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", metavar="CASE", action="append", choices=list(CASES), help=f"of {', '.join(CASES)}")
    parser.add_argument("--client", action="append", choices=CLIENTS, help=f"which ones ({', '.join(CLIENTS)})")
    parser.add_argument("--reloads", type=int, default=8, help="in each case, under each client (8)")
    parser.add_argument("--every", type=float, default=0.7, help="seconds between them (0.7)")
    parser.add_argument("--work", type=float, default=0.002, help="seconds that the server works on a request (0.002)")
    return parser.parse_args()


def run(options: argparse.Namespace) -> int:
    """Try every case with every client; the exit status."""
    clients, verdicts = installed(options.client or list(CLIENTS)), []
    for case in options.only or CASES:
        for client in clients:
            print(f"{case}, {client} ...", flush=True, file=sys.stderr)
            verdicts.append(try_client(case, client, options))
    return report(verdicts, clients, options)


def main() -> int:
    """Parse the command line and run; the exit status."""
    if sys.argv[1:2] == ["drive"]:
        _client(sys.argv[2], sys.argv[3])
        return 0
    options = _options()
    exit_on_sigterm()
    try:
        return run(options)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())

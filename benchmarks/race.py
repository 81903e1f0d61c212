"""Requests aimed at the server's idle close, and workers that die after doing the work: who loses what?

    python -m benchmarks race [--only holdfast] [--loopback] [--json FILE]

*The idle close.* The server closes a connection 0.2 s after its last response. 16 threads, each with a client of its
own, send their next request so that it leaves the client at a chosen moment around that close; the aim sweeps from
before it to after it. With 10 ms each way there are 20 ms in which the FIN and the request cross in flight: neither
side can know. The wire counts how often that really happened ("crossed").

*The dying worker.* The server reads a request on a reused connection, executes it, and dies before it answers: a FIN
for one half, an RST for the other. A GET can be sent again. A POST must not be: it has been executed. The only right
answer is to report it. A client that takes a new connection meets no death, and is not counted.

The server is the judge: it enters the nonce of every request it executes in a ledger. What the client says is compared
with it afterwards: *failed* (an exception), *wrong* (another request's answer), *twice* (executed more than once),
*lost* (the client has an answer, the server never executed it).

Now and then a request arrives in the microseconds between the server's timer and its close(): the server's kernel has
acknowledged it, nobody reads it, the client gets an RST. That is what a death at work looks like, so a POST has to be
reported. The server's kernel counts these closes (TCPAbortOnClose), and so many failed POSTs are shown apart, whoever
the client is ("arrived unread"). With ``--lag 0.002`` there are more of them. With ``--loopback`` nobody can count
them, so failed POSTs are shown, and not held against holdfast.

Exit status: 0; 1 if holdfast, alone or under another, failed, lost, duplicated or concealed anything; 3 if there can be no link.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import importlib.metadata
import importlib.util
import io
import itertools
import json
import os
import secrets
import select
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from benchmarks import table
from benchmarks.link import SERVER_ADDRESS, Link, LinkUnavailable, end, exit_on_sigterm
from benchmarks.results import Chart, add_option, save

IDLE_CLOSE = 0.2
TIMEOUT = 5.0
SCENARIOS, METHODS, SCHEMES = ("race", "die"), ("GET", "POST"), ("http", "https")

# -- the server --------------------------------------------------------------------------------------------------


DIED = "died after "  # in the ledger, before the nonce of what was executed last


class Ledger:
    """The nonces of all executed requests, in order; and how many connections were closed upon unread bytes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._executed: list[str] = []
        self._known: set[str] = set()
        self._unread = _closed_unread()

    def enter(self, nonce: str) -> bool:
        """Execute: enter the nonce; whether that was its first time."""
        with self._lock:
            self._executed.append(nonce)
            first = nonce not in self._known
            self._known.add(nonce)
            return first

    def note_death(self, nonce: str) -> None:
        """The worker dies now, after it has executed this one."""
        with self._lock:
            self._executed.append(DIED + nonce)

    def take(self) -> tuple[list[str], int]:
        """What was executed, and how many requests were closed upon, since the last time."""
        with self._lock:
            executed, self._executed = self._executed, []
            before, self._unread = self._unread, _closed_unread()
            return executed, self._unread - before


def _closed_unread() -> int:
    """How often this host's kernel sent an RST because close() left received bytes unread; 0 where it does not say."""
    try:
        with open("/proc/self/net/netstat") as file:
            names, values = (line.split() for line in file if line.startswith("TcpExt:"))
    except OSError:
        return 0
    return int(values[names.index("TCPAbortOnClose")])


class Plain:
    """The server's end of a connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def wait(self, until: float) -> bool:
        """Whether something can be read before that moment."""
        # select and not a socket timeout, which is rounded up to whole milliseconds
        return bool(select.select([self.sock], [], [], max(0.0, until - time.monotonic()))[0])

    def recv(self) -> bytes:
        """At least one byte; b"" at the end."""
        return self.sock.recv(65536)

    def send(self, data: bytes) -> None:
        """Send it all."""
        self.sock.sendall(data)

    def close(self) -> None:
        """As a server closes an idle connection: at once, without another look at what may have arrived."""
        self.sock.close()

    def die(self, how: str) -> None:
        """The process is gone: "fin", or "rst"; over TLS without a close_notify."""
        if how == "rst":
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class Secured(Plain):
    """The same over TLS.

    Not an ssl.SSLSocket: its unwrap() reads, and so hides from the kernel that a request arrived and was not read.
    """

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        super().__init__(sock)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self._carry(self.tls.do_handshake)

    def _carry(self, step: Callable[[], Any]) -> Any:
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                self._flush()
                data = self.sock.recv(65536)
                self.incoming.write(data) if data else self.incoming.write_eof()
            finally:
                self._flush()

    def _flush(self) -> None:
        if self.outgoing.pending:
            self.sock.sendall(self.outgoing.read())

    def wait(self, until: float) -> bool:
        return bool(self.tls.pending() or self.incoming.pending) or super().wait(until)

    def recv(self) -> bytes:
        try:
            return bytes(self._carry(partial(self.tls.read, 65536)))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""

    def send(self, data: bytes) -> None:
        self._carry(partial(self.tls.write, data))

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.tls.unwrap()  # writes the close_notify, then wants the client's, which nobody waits for
        with contextlib.suppress(OSError):
            self._flush()
        super().close()


class Served:
    """One connection: answers requests, and closes it ``idle`` (and ``lag``) seconds after an answer."""

    def __init__(self, stream: Plain, ledger: Ledger, lag: float, idle: float) -> None:
        self.stream, self.ledger, self.lag, self.idle = stream, ledger, lag, idle
        self.buffer = b""
        self.reused = False

    def serve(self) -> None:
        """Until the idle time is over, the client leaves, or this worker is told to die."""
        while (request := self._read_request()) is not None:
            target, nonce = request
            first = self.ledger.enter(nonce)
            if target.startswith("/die/") and first and self.reused:
                self.ledger.note_death(nonce)
                return self.stream.die(target.removeprefix("/die/"))
            body = nonce.encode()
            self.stream.send(
                b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-Nonce: %s\r\n\r\n%s" % (len(body), body, body)
            )
            self.reused = True
        if self.lag:
            time.sleep(self.lag)
        return self.stream.close()

    def _read_request(self) -> tuple[str, str] | None:
        until = time.monotonic() + (self.idle if self.reused else TIMEOUT)
        while not (whole := _whole_request(self.buffer)):
            if not self.stream.wait(until):
                return None
            data = self.stream.recv()
            if not data:
                return None
            self.buffer += data
        target, nonce, size = whole
        self.buffer = self.buffer[size:]
        return target, nonce


def _whole_request(data: bytes) -> tuple[str, str, int] | None:
    """Target, nonce and length of the request at the beginning of ``data``, if it is whole."""
    head, mark, rest = data.partition(b"\r\n\r\n")
    if not mark:
        return None
    lines = head.decode("latin-1").split("\r\n")
    fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    size = int(fields.get("content-length", "0"))
    if len(rest) < size:
        return None
    return lines[0].split(" ")[1], fields["x-nonce"], len(head) + 4 + size


def serve(host: str, certificate: str, lag: float, idle: float = IDLE_CLOSE) -> int:
    """The server's process: prints its two ports, answers each line on stdin with the ledger, ends when that ends."""
    ledger = Ledger()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    ports = {
        "http": _listen(host, partial(_serve_one, ledger, lag, idle, None)),
        "https": _listen(host, partial(_serve_one, ledger, lag, idle, context)),
    }
    print(json.dumps(ports), flush=True)
    for _ in sys.stdin:
        print(json.dumps(ledger.take()), flush=True)
    return 0


def _listen(host: str, serve_one: Callable[[socket.socket], None]) -> int:
    listener = socket.create_server((host, 0), backlog=256)
    threading.Thread(target=_accept, args=(listener, serve_one), daemon=True).start()
    port: int = listener.getsockname()[1]
    return port


def _accept(listener: socket.socket, serve_one: Callable[[socket.socket], None]) -> None:
    while True:
        sock = listener.accept()[0]
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=serve_one, args=(sock,), daemon=True).start()


def _serve_one(ledger: Ledger, lag: float, idle: float, context: ssl.SSLContext | None, sock: socket.socket) -> None:
    with contextlib.suppress(OSError), sock:  # a client that leaves is the benchmark's subject, not its failure
        Served(Plain(sock) if context is None else Secured(sock, context), ledger, lag, idle).serve()


# -- the clients -------------------------------------------------------------------------------------------------


class Peer(Protocol):
    """One client, used by one thread."""

    def fetch(self, method: str, url: str, nonce: str) -> str:
        """Send the request with its nonce (a POST has it as its body too); the response's body."""
        ...

    def close(self) -> None:
        """Close its connections."""
        ...


class _ByVerb:
    """requests, httpx and holdfast differ only in how a client is made."""

    def __init__(self, client: Any, body: str = "data") -> None:
        self.client, self.body = client, body

    def fetch(self, method: str, url: str, nonce: str) -> str:
        headers = {"X-Nonce": nonce}
        if method == "GET":
            return str(self.client.get(url, headers=headers, timeout=TIMEOUT).text)
        return str(self.client.post(url, headers=headers, timeout=TIMEOUT, **{self.body: nonce.encode()}).text)

    def close(self) -> None:
        self.client.close()


def _holdfast(ca: str) -> Peer:
    return _ByVerb(importlib.import_module("holdfast").Client(verify=ca))


def _requests(ca: str) -> Peer:
    session = importlib.import_module("requests").Session()
    session.verify, session.trust_env = ca, False
    return _ByVerb(session)


def _httpx(ca: str, module: str = "httpx") -> Peer:
    context = ssl.create_default_context(cafile=ca)
    return _ByVerb(importlib.import_module(module).Client(verify=context, trust_env=False), body="content")


class _Urllib3:
    def __init__(self, ca: str) -> None:
        self.pool = importlib.import_module("urllib3").PoolManager(ca_certs=ca, timeout=TIMEOUT)

    def fetch(self, method: str, url: str, nonce: str) -> str:
        body = nonce.encode() if method == "POST" else None
        return str(self.pool.request(method, url, headers={"X-Nonce": nonce}, body=body).data.decode())

    def close(self) -> None:
        self.pool.clear()


class _Pycurl:
    def __init__(self, ca: str) -> None:
        self.curl = importlib.import_module("pycurl")
        self.handle = self.curl.Curl()
        self.ca = ca

    def fetch(self, method: str, url: str, nonce: str) -> str:
        answer = io.BytesIO()
        handle, curl = self.handle, self.curl
        handle.reset()  # forgets the options, keeps the connections
        options = {
            curl.URL: url,
            curl.CAINFO: self.ca,
            curl.NOSIGNAL: 1,
            curl.TIMEOUT_MS: int(TIMEOUT * 1000),
            curl.HTTPHEADER: [f"X-Nonce: {nonce}"],
            curl.WRITEDATA: answer,
        }
        if method == "POST":
            options[curl.POSTFIELDS] = nonce
        for option, value in options.items():
            handle.setopt(option, value)
        handle.perform()
        return answer.getvalue().decode()

    def close(self) -> None:
        self.handle.close()


class _Aiohttp:
    """Its event loop runs in a thread of its own, as it does in an application, so that it sees a FIN when it comes."""

    loop: asyncio.AbstractEventLoop | None = None

    def __init__(self, ca: str) -> None:
        self.aiohttp = importlib.import_module("aiohttp")
        self.context = ssl.create_default_context(cafile=ca)
        self.session = self._run(self._open())

    @classmethod
    def _run(cls, coroutine: Any) -> Any:
        if cls.loop is None:
            cls.loop = asyncio.new_event_loop()
            threading.Thread(target=cls.loop.run_forever, daemon=True).start()
        return asyncio.run_coroutine_threadsafe(coroutine, cls.loop).result()

    async def _open(self) -> Any:
        return self.aiohttp.ClientSession(timeout=self.aiohttp.ClientTimeout(total=TIMEOUT))

    def fetch(self, method: str, url: str, nonce: str) -> str:
        return str(self._run(self._fetch(method, url, nonce)))

    async def _fetch(self, method: str, url: str, nonce: str) -> str:
        body = nonce.encode() if method == "POST" else None
        headers = {"X-Nonce": nonce}
        async with self.session.request(method, url, headers=headers, data=body, ssl=self.context) as response:
            return str(await response.text())

    def close(self) -> None:
        self._run(self.session.close())


PEERS: dict[str, Callable[[str], Peer]] = {
    "holdfast": _holdfast,
    "requests": _requests,
    "urllib3": _Urllib3,
    "httpx": _httpx,
    "httpx2": lambda ca: _httpx(ca, "httpx2"),
    "aiohttp": _Aiohttp,
    "pycurl": _Pycurl,
}

# -- the same libraries with one added line ------------------------------------------------------------------------

INJECTED = {"requests": "urllib3", "urllib3": "urllib3", "httpx": "httpx", "httpx2": "httpx2"}
"""The libraries that can be injected, and the module of ``holdfast.contrib`` whose ``inject()`` does it."""
MARK = " + inject()"


def _injected(library: str) -> Callable[[str], Peer]:
    def make(ca: str) -> Peer:
        importlib.import_module(f"holdfast.contrib.{INJECTED[library]}").inject()
        return PEERS[library](ca)

    return make


WITH_ONE_LINE = {library + MARK: _injected(library) for library in INJECTED}
"""Measured by ``python -m benchmarks inject``. Each client has a process of its own, so injecting one leaves the others."""


def version_of(peer: str) -> str | None:
    """The installed version; None if the peer is not installed (or, for one under development, has no Client yet)."""
    if peer.endswith(MARK):
        library = peer.removesuffix(MARK)
        found = importlib.util.find_spec(f"holdfast.contrib.{INJECTED[library]}")
        return None if found is None else version_of(library)
    try:
        module = importlib.import_module(peer)
        distribution = "holdfast-http" if peer == "holdfast" else peer
        return importlib.metadata.version(distribution) if peer != "holdfast" or hasattr(module, "Client") else None
    except ImportError:
        return None


# -- what one client is asked to do ------------------------------------------------------------------------------


@dataclass
class Told:
    """What a client says became of one request: "ok", "wrong", or the exception's name."""

    scenario: str
    scheme: str
    method: str
    nonce: str
    outcome: str
    detail: str = ""

    @property
    def failed(self) -> bool:
        """Whether the client raised."""
        return self.outcome not in ("ok", "wrong")


@dataclass
class Plan:
    """How a client is to be tried; the same for each of them."""

    urls: dict[str, str]
    ca: str
    threads: int
    requests: int
    deaths: int
    earliest: float
    latest: float

    def aims(self, thread: int) -> list[float]:
        """Seconds after the response at which this thread's requests leave: its share of an even sweep."""
        step = (self.latest - self.earliest) / self.requests
        return [self.earliest + step * (number + 0.5) for number in range(thread, self.requests, self.threads)]


class Runner:
    """One thread with one client of its own."""

    def __init__(self, plan: Plan, peer: Peer, thread: int) -> None:
        self.plan, self.peer, self.thread = plan, peer, thread
        self.told: list[Told] = []

    def race(self, scheme: str, method: str) -> None:
        """Send every request at its moment after the response before it."""
        warm = False
        for aim in self.plan.aims(self.thread):
            if not warm:
                self._ask("prime", scheme, "GET", "/")
            answered = time.monotonic()
            time.sleep(max(0.0, answered + aim - time.monotonic()))
            warm = self._ask("race", scheme, method, "/")

    def die(self, scheme: str, method: str) -> None:
        """Send requests which the server executes and does not answer, each on a connection in use."""
        for number in range(self.thread, self.plan.deaths, self.plan.threads):
            self._ask("prime", scheme, "GET", "/")
            self._ask("die", scheme, method, "/die/rst" if (number // self.plan.threads + number) % 2 else "/die/fin")

    def take(self) -> list[Told]:
        """What became of the requests since the last time."""
        taken, self.told = self.told, []
        return taken

    def _ask(self, scenario: str, scheme: str, method: str, path: str) -> bool:
        nonce, detail = secrets.token_hex(8), ""
        try:
            answer = self.peer.fetch(method, self.plan.urls[scheme] + path, nonce)
            outcome = "ok" if answer == nonce else "wrong"
        except Exception as error:
            outcome, detail = type(error).__name__, f"{error} <- {error.__cause__!r}"
        self.told.append(Told(scenario, scheme, method, nonce, outcome, detail))
        return outcome == "ok"


def run_client(name: str, plan: Plan) -> None:
    """Every phase with this client: for each line on stdin one phase, and what became of its requests on stdout."""
    make = PEERS.get(name) or WITH_ONE_LINE[name]
    peers = [make(plan.ca) for _ in range(plan.threads)]
    runners = [Runner(plan, peer, thread) for thread, peer in enumerate(peers)]
    for line in sys.stdin:
        scenario, scheme, method = line.split()
        _in_threads([partial(getattr(runner, scenario), scheme, method) for runner in runners])
        told = [list(vars(each).values()) for runner in runners for each in runner.take()]
        print(json.dumps(told), flush=True)
    for peer in peers:
        peer.close()


def _in_threads(jobs: Sequence[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=job, daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# -- where it runs -----------------------------------------------------------------------------------------------


class Place(Protocol):
    """Where server and clients run."""

    def start_server(self, argv: Sequence[str], **kwargs: Any) -> subprocess.Popen[Any]: ...
    def start_client(self, argv: Sequence[str], **kwargs: Any) -> subprocess.Popen[Any]: ...
    def crossings(self) -> int | None: ...


class Loopback:
    """Everything on this host: no delay, and nobody sees what crosses."""

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[Any]] = []

    def __enter__(self) -> Loopback:
        return self

    def __exit__(self, *exc: object) -> None:
        for process in reversed(self._processes):
            end(process)

    def start_server(self, argv: Sequence[str], **kwargs: Any) -> subprocess.Popen[Any]:
        self._processes.append(subprocess.Popen(argv, start_new_session=True, **kwargs))
        return self._processes[-1]

    start_client = start_server

    def crossings(self) -> int | None:
        return None


def _argv(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks.race", *arguments]


@contextlib.contextmanager
def certificates(host: str) -> Iterator[tuple[str, str]]:
    """Paths of a new authority's certificate, and of a server's certificate and key for that address."""
    try:
        trustme = importlib.import_module("trustme")
    except ImportError:
        raise SystemExit("this needs trustme, for the server's certificate (pip install trustme)") from None
    authority = trustme.CA()
    with tempfile.TemporaryDirectory() as directory:
        ca, server = os.path.join(directory, "ca.pem"), os.path.join(directory, "server.pem")
        authority.cert_pem.write_to_path(ca)
        authority.issue_cert(host).private_key_and_cert_chain_pem.write_to_path(server)
        yield ca, server


# -- judging -----------------------------------------------------------------------------------------------------


@dataclass
class Verdict:
    """One client's figures: what it said, held against the server's ledger.

    Attributes:
        unread: by scheme, how often the server closed upon a request of the race's POSTs.
        seen: whether the wire and a kernel of the server's own could say what crossed and what arrived unread.
        broken: why there are no figures.
    """

    name: str
    version: str | None
    told: list[Told] = field(default_factory=list)
    executed: Counter[str] = field(default_factory=Counter)
    unread: Counter[str] = field(default_factory=Counter)
    seen: bool = False
    crossed: int = 0
    seconds: float = 0.0
    broken: str = ""

    def count(self, scenario: str, question: Callable[[Told], bool], method: str = "", scheme: str = "") -> int:
        """How many of this scenario's requests the question is true of."""
        return sum(
            question(told)
            for told in self.told
            if told.scenario == scenario and method in ("", told.method) and scheme in ("", told.scheme)
        )

    def twice(self, told: Told) -> bool:
        """Whether the server executed it more than once."""
        return self.executed[told.nonce] > 1

    def died(self, told: Told) -> bool:
        """Whether its worker died after executing it: not where the client took a new connection, which is served in peace."""
        return self.executed[DIED + told.nonce] > 0

    def reported(self, told: Told) -> bool:
        """Whether the client was told of the death."""
        return self.died(told) and told.failed

    def concealed(self, told: Told) -> bool:
        """Whether the client was not."""
        return self.died(told) and not told.failed

    def arrived(self, scheme: str) -> int:
        """Failed POSTs that may have arrived at the closing server, unread: to report such a one is right."""
        return min(self.unread[scheme], self.count("race", _failed, "POST", scheme))

    def posts_failed(self, scheme: str) -> int:
        """POSTs of the race that failed although the client could have known better."""
        return self.count("race", _failed, "POST", scheme) - self.arrived(scheme)

    def lost(self, told: Told) -> bool:
        """Whether the client has an answer to what the server never executed."""
        return told.outcome == "ok" and self.executed[told.nonce] == 0

    def all_told(self, question: Callable[[Told], bool]) -> int:
        """How many requests of the race and the priming it is true of (a GET executed twice after a death is right)."""
        return self.count("race", question) + self.count("prime", question)

    @property
    def faults(self) -> list[str]:
        """What holdfast must never do, each with its number."""
        if self.broken or not self.told:
            return [self.broken or "was not tried"]  # silence is no proof
        found = {
            "GETs failed at the idle close": self.count("race", _failed, "GET"),
            "POSTs failed at the idle close": sum(map(self.posts_failed, SCHEMES)) if self.seen else 0,
            "failed while priming": self.count("prime", _failed),
            "wrong": self.all_told(_wrong) + self.count("die", _wrong),
            "POSTs executed twice": self.count("race", self.twice, "POST") + self.count("die", self.twice, "POST"),
            "lost": self.all_told(self.lost) + self.count("die", self.lost),
            "GETs failed after a death": self.count("die", _failed, "GET"),
            "POSTs concealed after a death": self.count("die", self.concealed, "POST"),
        }
        return [f"{number} {what}" for what, number in found.items() if number]


def _failed(told: Told) -> bool:
    return told.failed


def _anything(told: Told) -> bool:
    return True


def _wrong(told: Told) -> bool:
    return told.outcome == "wrong"


def try_client(name: str, plan: Plan, place: Place, server: subprocess.Popen[str]) -> Verdict:
    """Run one client in a process of its own, and judge it by the ledger."""
    verdict = Verdict(name, version_of(name))
    if verdict.version is None:
        return verdict
    before, began = place.crossings(), time.monotonic()
    verdict.seen = before is not None
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    client = place.start_client(_argv("client", name, json.dumps(vars(plan))), **pipes)
    try:
        for phase in itertools.product(SCENARIOS, SCHEMES, METHODS):
            _try_phase(phase, verdict, client, server)
    except (OSError, ValueError) as error:
        verdict.broken = f"the client's process broke: {type(error).__name__}"
    finally:
        end(client)
    verdict.seconds = time.monotonic() - began
    verdict.crossed = (place.crossings() or 0) - (before or 0)
    return verdict


def _try_phase(
    phase: tuple[str, str, str], verdict: Verdict, client: subprocess.Popen[str], server: subprocess.Popen[str]
) -> None:
    verdict.told += [Told(*entry) for entry in _ask(client, " ".join(phase))]
    # What a client that gave up has sent is still on its way; and no connection may be left in the middle of its close.
    time.sleep(IDLE_CLOSE + 0.2)
    executed, unread = _ask(server)
    verdict.executed.update(executed)
    scenario, scheme, method = phase
    # On loopback the client's own closes are in the same kernel's count, which then says nothing.
    if (scenario, method) == ("race", "POST") and verdict.seen:
        verdict.unread[scheme] += unread


def _ask(process: subprocess.Popen[str], line: str = "") -> Any:
    """Send a line to the process; the JSON it answers with."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


HEADINGS = (
    "client",
    "idle close: GETs failed",
    "POSTs failed",
    "crossed",
    "POSTs arrived unread, reported",
    "wrong",
    "POSTs twice",
    "lost",
    "worker died: GETs failed",
    "POSTs reported",
    "POSTs executed twice",
    "seconds",
)


def row(verdict: Verdict) -> list[str]:
    """The client's line of the table."""
    if verdict.version is None:
        return [verdict.name, "not installed", *[""] * (len(HEADINGS) - 2)]
    if verdict.broken:
        return [f"{verdict.name} {verdict.version}", verdict.broken, *[""] * (len(HEADINGS) - 2)]
    return [
        f"{verdict.name} {verdict.version}",
        _share(verdict, "race", _failed, "GET"),
        _parts([verdict.posts_failed(scheme) for scheme in SCHEMES], verdict.count("race", _anything, "POST")),
        str(verdict.crossed) if verdict.seen else "?",
        str(sum(map(verdict.arrived, SCHEMES))) if verdict.seen else "?",
        str(verdict.all_told(_wrong) + verdict.count("die", _wrong)),
        str(verdict.count("race", verdict.twice, "POST")),
        str(verdict.all_told(verdict.lost) + verdict.count("die", verdict.lost)),
        _share(verdict, "die", _failed, "GET"),
        _share(verdict, "die", verdict.reported, "POST", verdict.died),
        _share(verdict, "die", verdict.twice, "POST"),
        f"{verdict.seconds:.0f}",
    ]


def _share(
    verdict: Verdict, scenario: str, question: Callable[[Told], bool], method: str, among: Callable[[Told], bool] | None = None
) -> str:
    counts = [verdict.count(scenario, question, method, scheme) for scheme in SCHEMES]
    return _parts(counts, verdict.count(scenario, among or _anything, method))


def _parts(counts: Sequence[int], total: int) -> str:
    """As in "51 % (160+163 of 640)": plain and TLS."""
    if sum(counts) == 0:
        return f"0 of {total}"
    return f"{100 * sum(counts) / total:.3g} % ({'+'.join(map(str, counts))} of {total})"


def chart(verdicts: Sequence[Verdict]) -> Chart:
    """The table's shares as numbers; what went well counts as what did not go ill: less is better in all of them."""
    shares: dict[str, Callable[[Verdict], tuple[int, int]]] = {
        "idle close: GETs failed": lambda it: (it.count("race", _failed, "GET"), it.count("race", _anything, "GET")),
        "idle close: POSTs failed": lambda it: (sum(map(it.posts_failed, SCHEMES)), it.count("race", _anything, "POST")),
        "worker died: GETs failed": lambda it: (it.count("die", _failed, "GET"), it.count("die", _anything, "GET")),
        "worker died: POSTs not reported": lambda it: (it.count("die", it.concealed, "POST"), it.count("die", it.died, "POST")),
        "worker died: POSTs executed twice": lambda it: (it.count("die", it.twice, "POST"), it.count("die", _anything, "POST")),
    }
    figures = {
        row: {it.name: None if it.broken or not it.told else _percent(*share(it)) for it in verdicts}
        for row, share in shares.items()
    }
    return Chart("Requests aimed at the server's idle close, and workers that die", "% of the requests", figures)


def _percent(part: int, whole: int) -> float | None:
    return round(100 * part / whole, 1) if whole else None


def _errors_seen(verdict: Verdict) -> str:
    seen = Counter(f"{told.scenario}: {told.outcome}" for told in verdict.told if told.failed)
    return ", ".join(f"{number} x {what}" for what, number in seen.most_common())


# -- the command -------------------------------------------------------------------------------------------------


def parser_of(name: str, description: str | None, clients: Sequence[str]) -> argparse.ArgumentParser:
    """The options of this measurement, and of others that try other clients in the same way."""
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks {name}", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", metavar="CLIENT", action="append", choices=list(clients), help="only this client")
    parser.add_argument("--loopback", action="store_true", help="without the link (and without root): fewer crossings")
    parser.add_argument("--delay", type=float, default=0.01, help="of the link, seconds each way (0.01)")
    parser.add_argument("--threads", type=int, default=16, help="each with a client of its own (16)")
    parser.add_argument("--requests", type=int, default=320, help="aimed, for each method and scheme (320)")
    parser.add_argument("--deaths", type=int, default=80, help="of a worker, for each method and scheme (80)")
    parser.add_argument(
        "--lag",
        type=float,
        default=0.0,
        help="seconds between the server's timer and its close(): more arrives unread (0)",
    )
    parser.add_argument("--errors", action="store_true", help="say which exceptions each client raised")
    add_option(parser)
    parser.set_defaults(name=name)
    return parser


def run(options: argparse.Namespace) -> int:
    """Try every client that was asked for, print the table; the exit status."""
    host = "127.0.0.1" if options.loopback else SERVER_ADDRESS
    # The crossing is one round trip wide and ends at the close; sweep as far again around it.
    margin = 0.002 if options.loopback else options.delay
    earliest, latest = IDLE_CLOSE - 2 * (0 if options.loopback else options.delay) - margin, IDLE_CLOSE + margin
    verdicts = []
    with _place(options) as place, certificates(host) as (ca, certificate):
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        server = place.start_server(_argv("serve", host, certificate, str(options.lag)), **pipes)
        ports = json.loads(server.stdout.readline()) if server.stdout else {}
        urls = {scheme: f"{scheme}://{host}:{port}" for scheme, port in ports.items()}
        plan = Plan(urls, ca, options.threads, options.requests, options.deaths, earliest, latest)
        for name in options.only or PEERS:
            print(f"{name} ...", end=" ", flush=True, file=sys.stderr)
            verdicts.append(try_client(name, plan, place, server))
        print(file=sys.stderr)
    return report(verdicts, options, earliest, latest)


def report(verdicts: Sequence[Verdict], options: argparse.Namespace, earliest: float, latest: float) -> int:
    """Print the table and what is wrong with holdfast; the exit status."""
    print(
        f"{options.requests} requests per client, method and scheme leave {earliest * 1000:.0f} to"
        f" {latest * 1000:.0f} ms after the response; the server closes at {IDLE_CLOSE * 1000:.0f} ms;"
        f" {'loopback' if options.loopback else f'{options.delay * 1000:g} ms each way'};"
        f" {options.deaths} deaths of a worker. Counts are plain+TLS.\n"
    )
    print(table([HEADINGS, *map(row, verdicts)]))
    if options.errors:
        print("\n" + "\n".join(f"{verdict.name}: {_errors_seen(verdict)}" for verdict in verdicts))
    save(options.json, options.name, sys.argv[1:], [chart(verdicts)])
    ours = [each for each in verdicts if each.version and (each.name == "holdfast" or each.name.endswith(MARK))]
    for verdict in ours:
        if verdict.faults:
            print(f"\n{verdict.name}: " + ", ".join(verdict.faults))
    return 1 if any(verdict.faults for verdict in ours) else 0


def _place(options: argparse.Namespace) -> Any:
    return Loopback() if options.loopback else Link(options.delay)


def main() -> int:
    """Parse the command line and run; the exit status."""
    if sys.argv[1:2] == ["serve"]:
        return serve(sys.argv[2], sys.argv[3], *map(float, sys.argv[4:6]))
    if sys.argv[1:2] == ["client"]:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        run_client(sys.argv[2], Plan(**json.loads(sys.argv[3])))
        return 0
    return run_from(parser_of("race", __doc__, list(PEERS)).parse_args())


def run_from(options: argparse.Namespace) -> int:
    """Run with these options, as a command; its exit status."""
    exit_on_sigterm()
    try:
        return run(options)
    except LinkUnavailable as error:
        print(f"no link: {error}; --loopback runs without one, with fewer crossings", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())

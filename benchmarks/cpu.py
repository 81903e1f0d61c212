"""CPU per kept-alive request, against the least that h11 on a socket can cost; and the CPU of the import.

    python -m benchmarks cpu [--post] [--tls] [--ids] [--chunked] [--new [--name] [--no-tickets]] [--only CLIENT] [--max-ratio 1.15]
    python -m benchmarks cpu --first [--http] [--only holdfast]

The floor is a bare loop: one ``h11.Request`` and ``EndOfMessage`` to a blocking socket, ``recv(65536)``, events until
the end of the message. It sends the very fields holdfast sends. Every client gets 1 KiB from a real nginx on loopback
with its own defaults, and returns the body. With ``--new`` the server closes each connection after its answer. With ``--post``
each request has a small JSON body, which is encoded anew each time.

Within a second nginx answers with the same head each time, and holdfast has h11 judge it once. With ``--ids`` no head comes twice:
each has an X-Request-Id of its own, and holdfast looks at the lines that differ from those of the last one.
With ``--chunked`` the body comes in a chunk, as it does from most programs that make it while they send it.

The law: *only neighbours are compared.* One process; blocks of requests in turn, floor, client, floor, client, …; a
block's CPU (``time.process_time``: all threads, user and system) is divided by the mean of the two floor blocks around
it, and the figure is the median of these ratios. A machine that slows down slows both. So it is with the time on the clock.

The import is measured in fresh interpreters in turn: the median of (import - empty interpreter, same round). So is, with
``--first``, the first https GET of a process: import, TLS context with certifi's authorities and one more, handshake, answer; with
``--http``, the first http GET. Beside it stands the resident memory that it takes.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import importlib
import io
import os
import random
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from json import dumps as dump_json
from pathlib import Path

import h11

from benchmarks import table
from benchmarks.link import end, exit_on_sigterm
from benchmarks.results import Chart, add_option, save

Get = Callable[[], bytes]
BODY = b"0123456789abcdef" * 64
JSON = {"name": "holdfast", "numbers": [1, 2, 3], "nested": {"yes": True, "no": None}}
START_SECONDS = 10.0
FLOOR = "bare h11 loop"


# -- nginx -------------------------------------------------------------------------------------------------------

CONFIGURATION = """
daemon off;
{user}
worker_processes 1;
pid {root}/pid;
error_log {root}/errors warn;
events {{ worker_connections 2000; }}
http {{
    access_log off;
    keepalive_timeout {keepalive};
    keepalive_requests 1000000000;
    client_body_temp_path {root}/t1;
    proxy_temp_path {root}/t2;
    fastcgi_temp_path {root}/t3;
    uwsgi_temp_path {root}/t4;
    scgi_temp_path {root}/t5;
    server {{
        listen 127.0.0.1:{port} {tls};
        {listen6}
        {certificates}
        {ids} {chunked}
        root {root}/files;
        location = /p {{ return 200 "{body}"; }}
    }}
}}
"""


@dataclass
class Site:
    """A running nginx: where it is, and which authority to trust if it speaks TLS."""

    port: int
    ca: str | None
    host: str = "127.0.0.1"
    closing: bool = False  # after each answer
    post: bool = False  # JSON

    @property
    def url(self) -> str:
        """Of 1 KiB."""
        return f"{'https' if self.ca else 'http'}://{self.host}:{self.port}{self.path}"

    @property
    def path(self) -> str:
        """Of the 1 KiB file; of what answers a POST with as much."""
        return "/p" if self.post else "/k"

    def context(self) -> ssl.SSLContext | None:
        """A TLS context that trusts it."""
        return ssl.create_default_context(cafile=self.ca) if self.ca else None


@contextlib.contextmanager
def nginx(
    program: str,
    *,
    tls: bool,
    new: bool = False,
    host: str = "127.0.0.1",
    tickets: bool = True,
    ids: bool = False,
    post: bool = False,
    chunked: bool = False,
) -> Iterator[Site]:
    """An nginx with a configuration, a port and files of its own, for the duration of the block.

    Args:
        new: each connection is closed after its answer.
        host: by which it is asked for.
        tickets: whether it gives TLS tickets, with which handshakes are resumed.
        ids: each answer has an X-Request-Id of its own, so that no head comes twice.
        post: it is asked by POST.
        chunked: bodies come in chunks.
    """
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        site = Site(_free_port(), _write_certificates(root) if tls else None, host, new, post)
        _write_files(root, site, tickets, ids, chunked)
        # -e: else nginx complains that it may not open the log it was compiled with.
        argv = [program, "-e", f"{root}/errors", "-p", str(root), "-c", f"{root}/conf"]
        process = subprocess.Popen(argv, start_new_session=True)
        try:
            _wait_until_listening(process, site, root)
            yield site
        finally:
            end(process)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


def _write_certificates(root: Path) -> str:
    trustme = importlib.import_module("trustme")
    authority = trustme.CA()
    identity = authority.issue_cert("127.0.0.1", "localhost")
    authority.cert_pem.write_to_path(root / "ca.pem")
    identity.cert_chain_pems[0].write_to_path(root / "server.crt")
    identity.private_key_pem.write_to_path(root / "server.key")
    return str(root / "ca.pem")


def _write_files(root: Path, site: Site, tickets: bool, ids: bool, chunked: bool) -> None:
    (root / "files").mkdir()
    (root / "files" / "k").write_bytes(BODY)
    certificates = f"ssl_certificate {root}/server.crt; ssl_certificate_key {root}/server.key;"
    certificates += "" if tickets else " ssl_session_tickets off;"
    secure = "ssl" if site.ca else ""
    text = CONFIGURATION.format(
        root=root,
        body=BODY.decode(),
        port=site.port,
        tls=secure,
        keepalive=0 if site.closing else 600,
        # A name may have both addresses: then nobody is refused at the first.
        listen6=f"listen [::1]:{site.port} {secure};" if site.host == "localhost" and socket.has_dualstack_ipv6() else "",
        certificates=certificates if site.ca else "",
        ids="add_header X-Request-Id $request_id;" if ids else "",
        chunked="ssi on; ssi_types *;" if chunked else "",  # what is included might change a body's length
        user="user root;" if os.geteuid() == 0 else "",  # or its worker cannot read the private temporary directory
    )
    (root / "conf").write_text(text)


def _wait_until_listening(process: subprocess.Popen[bytes], site: Site, root: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", site.port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    errors = root / "errors"
    raise SystemExit(f"nginx did not start: {errors.read_text() if errors.exists() else process.poll()}")


# -- the floor ---------------------------------------------------------------------------------------------------


class Floor:
    """A GET with nothing but h11 and a blocking socket: kept alive, or a new one each time."""

    def __init__(self, site: Site, fields: Sequence[tuple[str, str]]) -> None:
        self.site = site
        self.context = site.context()
        self.fields = list(fields)
        self.connect()

    def connect(self) -> None:
        """Open a connection."""
        self.connection = h11.Connection(h11.CLIENT)
        self.sock = socket.create_connection((self.site.host, self.site.port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.context is not None:
            self.sock = self.context.wrap_socket(self.sock, server_hostname=self.site.host)

    def get(self) -> bytes:
        """One exchange; the body."""
        if self.site.closing:
            self.sock.close()
            self.connect()
        connection, sock = self.connection, self.sock
        data = dump_json(JSON).encode() if self.site.post else b""
        method, target = "POST" if data else "GET", self.site.path
        head = connection.send(h11.Request(method=method, target=target, headers=self.fields)) or b""
        head += (connection.send(h11.Data(data=data)) or b"") if data else b""
        sock.sendall(head + (connection.send(h11.EndOfMessage()) or b""))
        pieces = []
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(sock.recv(65536))
            elif isinstance(event, h11.Data):
                pieces.append(event.data)
            elif isinstance(event, h11.EndOfMessage):
                break
        if not self.site.closing:
            connection.start_next_cycle()
        return b"".join(pieces)


def fields_sent(make: Callable[[Site], Get], *, post: bool = False) -> list[tuple[str, str]]:
    """The fields a client sends with a plain GET, or a POST, read off a socket."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        site = Site(listener.getsockname()[1], None, post=post)
        heads: list[bytes] = []
        thread = threading.Thread(target=_answer_once, args=(listener, heads), daemon=True)
        thread.start()
        make(site)()
        thread.join()
    lines = heads[0].decode("latin-1").split("\r\n")[1:]
    return [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines if line)]


def fields_of_floor(site: Site) -> list[tuple[str, str]]:
    """The fields that holdfast sends to ``site``, or else http.client."""
    model = CLIENTS["holdfast" if installed("holdfast") else "http.client"]
    return [(name, _local(value, site)) for name, value in fields_sent(model, post=site.post)]


def _answer_once(listener: socket.socket, heads: list[bytes]) -> None:
    sock = listener.accept()[0]
    with sock:
        head = b""
        while b"\r\n\r\n" not in head:
            head += sock.recv(65536)
        heads.append(head.partition(b"\r\n\r\n")[0])
        sock.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx")


# -- the clients -------------------------------------------------------------------------------------------------


def _holdfast(site: Site) -> Get:
    client = importlib.import_module("holdfast").Client(verify=site.ca or True)
    url = site.url
    if site.post:
        return lambda: client.post(url, json=JSON).content
    return lambda: client.get(url).content


def _requests(site: Site) -> Get:
    session = importlib.import_module("requests").Session()
    url = site.url
    if site.post:
        return lambda: session.post(url, json=JSON, verify=site.ca or True).content
    if site.ca is None:
        return lambda: session.get(url).content
    # Given per call: REQUESTS_CA_BUNDLE in the environment would overrule session.verify.
    return lambda: session.get(url, verify=site.ca).content


def _urllib3(site: Site) -> Get:
    pool = importlib.import_module("urllib3").PoolManager(ca_certs=site.ca)
    url = site.url
    if site.post:
        return lambda: pool.request("POST", url, json=JSON).data
    return lambda: pool.request("GET", url).data


def _httpx(site: Site, module: str = "httpx") -> Get:
    client = importlib.import_module(module).Client(verify=site.context() or True)
    url = site.url
    if site.post:
        return lambda: client.post(url, json=JSON).content
    return lambda: client.get(url).content


def _http_client(site: Site) -> Get:
    context = site.context()
    if context is None:
        connection = http.client.HTTPConnection(site.host, site.port)
    else:
        connection = http.client.HTTPSConnection(site.host, site.port, context=context)

    def get() -> bytes:
        if site.post:
            connection.request("POST", site.path, dump_json(JSON).encode(), {"Content-Type": "application/json"})
        else:
            connection.request("GET", site.path)
        return connection.getresponse().read()

    return get


def _pycurl(site: Site) -> Get:
    curl = importlib.import_module("pycurl")
    handle = curl.Curl()
    handle.setopt(curl.URL, site.url)
    if site.ca:
        handle.setopt(curl.CAINFO, site.ca)
    if site.post:
        handle.setopt(curl.HTTPHEADER, ["Content-Type: application/json"])

    def get() -> bytes:
        answer = io.BytesIO()
        if site.post:
            handle.setopt(curl.POSTFIELDS, dump_json(JSON))
        handle.setopt(curl.WRITEDATA, answer)
        handle.perform()
        return answer.getvalue()

    return get


CLIENTS: dict[str, Callable[[Site], Get]] = {
    "holdfast": _holdfast,
    "requests": _requests,
    "urllib3": _urllib3,
    "httpx": _httpx,
    "httpx2": lambda site: _httpx(site, "httpx2"),
    "http.client": _http_client,
    "pycurl": _pycurl,
}
NEEDED = "h11, ssl"
"""The two modules that an HTTPS client on h11 imports whatever else it does: below them its import cannot come."""
IMPORTS = ("holdfast", "urllib3", "requests", "httpx", NEEDED)


def installed(name: str) -> bool:
    """Whether the client can be imported (and, for one under development, has a Client)."""
    if name in (NEEDED, FLOOR):
        return True
    try:
        module = importlib.import_module(name)
    except ImportError:
        return False
    return name != "holdfast" or hasattr(module, "Client")


# -- measuring ---------------------------------------------------------------------------------------------------


@dataclass
class Figures:
    """One client's blocks: CPU seconds per request, and their ratios to the floor around them; and those of the clock."""

    seconds: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    def line(self) -> list[str]:
        """Microseconds, ratio, the ratio's quartiles, and the clock's ratio."""
        low, middle, high = statistics.quantiles(self.ratios, n=4)
        micro = statistics.median(self.seconds) * 1e6
        return [f"{micro:.1f}", f"{middle:.2f}", f"{low:.2f} to {high:.2f}", f"{statistics.median(self.waits):.2f}"]


def block(get: Get, size: int) -> tuple[float, float]:
    """CPU seconds, and seconds, per request over ``size`` requests."""
    began, then = time.process_time(), time.perf_counter()
    for _ in range(size):
        get()
    return (time.process_time() - began) / size, (time.perf_counter() - then) / size


def compare(floor: Get, clients: dict[str, Get], rounds: int, size: int) -> tuple[dict[str, Figures], float]:
    """Every client's figures, and the floor's median CPU seconds per request."""
    figures = {name: Figures() for name in clients}
    floors: list[tuple[float, float]] = []
    order, shuffle = list(clients), random.Random(1).shuffle
    for get in (floor, *clients.values()):
        assert get() == BODY
        block(get, size)  # caches, adaptive bytecode, the connection itself
    for _ in range(rounds):
        shuffle(order)
        floors.append(block(floor, size))
        for name in order:
            cpu, wall = block(clients[name], size)
            floors.append(block(floor, size))
            (cpu_before, wall_before), (cpu_behind, wall_behind) = floors[-2:]
            figures[name].seconds.append(cpu)
            figures[name].ratios.append(2 * cpu / (cpu_before + cpu_behind))
            figures[name].waits.append(2 * wall / (wall_before + wall_behind))
    return figures, statistics.median(cpu for cpu, _ in floors)


def compiled_environment() -> dict[str, str]:
    """Where compiled modules are kept even if this shell says otherwise: nobody compiles at every start."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": os.path.join(tempfile.gettempdir(), f"holdfast-pycache-{os.getuid()}")}


def cpu_of(code: str) -> float:
    """CPU seconds of a fresh interpreter that runs ``code``."""
    return run_fresh(code)[0]


def run_fresh(code: str, *arguments: str) -> tuple[float, float]:
    """CPU seconds, and seconds, of a fresh interpreter that runs ``code``."""
    began = time.perf_counter()
    pid = os.posix_spawn(sys.executable, [sys.executable, "-c", code, *arguments], compiled_environment())
    _, status, usage = os.wait4(pid, 0)
    if status:
        raise SystemExit(f"{sys.executable} -c {code!r} failed")
    return usage.ru_utime + usage.ru_stime, time.perf_counter() - began


def memory_of(code: str, *arguments: str) -> float:
    """MiB of resident memory that a fresh interpreter which runs ``code`` has taken at most; 0 where it is not known.

    It has to say so itself: what the kernel tells of a child that has ended begins with its parent's memory.
    """
    if not os.path.exists("/proc/self/status"):
        return 0.0  # Platform-specific: Linux tells
    code += "\nprint(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    argv = [sys.executable, "-c", code, *arguments]
    return int(subprocess.run(argv, env=compiled_environment(), capture_output=True, check=True).stdout) / 1024


def import_costs(modules: Sequence[str], rounds: int) -> tuple[dict[str, float], float]:
    """Median CPU seconds each import adds, and the empty interpreter's."""
    added: dict[str, list[float]] = {name: [] for name in modules}
    empty: list[float] = []
    for name in modules:
        cpu_of(f"import {name}")  # writes the byte code, fills the page cache
    for _ in range(rounds):
        empty.append(cpu_of(""))
        for name in modules:
            added[name].append(cpu_of(f"import {name}") - empty[-1])
    return {name: statistics.median(costs) for name, costs in added.items()}, statistics.median(empty)


FIRST = {
    FLOOR: """
import h11, socket
scheme, _, authority, path = url.split("/", 3)
host, port = authority.split(":")
sock = socket.create_connection((host, int(port)))
if scheme == "https:":
    import ssl
    sock = ssl.create_default_context(cafile=ca).wrap_socket(sock, server_hostname=host)
conn, event, body = h11.Connection(h11.CLIENT), None, b""
sock.sendall(conn.send(h11.Request(method="GET", target="/" + path, headers=[("Host", host)])) + conn.send(h11.EndOfMessage()))
while type(event) is not h11.EndOfMessage:
    event = conn.next_event()
    if event is h11.NEED_DATA:
        conn.receive_data(sock.recv(65536))
    elif type(event) is h11.Data:
        body += event.data
""",
    "holdfast": "import holdfast; body = holdfast.Client(verify=ca).get(url).content",
    "urllib3": "import urllib3; body = urllib3.PoolManager(ca_certs=ca).request('GET', url).data",
    "requests": "import requests; body = requests.Session().get(url, verify=ca).content",
    "httpx": "import httpx, ssl; body = httpx.Client(verify=ssl.create_default_context(cafile=ca)).get(url).content",
}
"""A program's first GET, of each client; and of one that does no more than it must, with h11 and, for https, ssl."""


def first_program(name: str, site: Site) -> tuple[str, str, str]:
    """A program that makes the first GET of its process by that client, and its arguments."""
    certifi = Path(importlib.import_module("certifi").where())
    authorities = certifi
    if site.ca is not None:
        authorities = Path(site.ca).with_name("authorities.pem")
        authorities.write_bytes(certifi.read_bytes() + Path(site.ca).read_bytes())
    code = f"import sys; url, ca = sys.argv[1:]\n{FIRST[name]}\nassert len(body) == 1024"
    return code, site.url, str(authorities)


def first_costs(modules: Sequence[str], site: Site, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """CPU seconds, and seconds, that the first GET of a process adds to an empty interpreter, of each round."""
    added: dict[str, list[tuple[float, float]]] = {name: [] for name in modules}
    for name in modules:
        run_fresh(*first_program(name, site))
    for _ in range(rounds):
        empty = run_fresh("import sys")
        for name in modules:
            cpu, wall = run_fresh(*first_program(name, site))
            added[name].append((cpu - empty[0], wall - empty[1]))
    return added


# -- the command -------------------------------------------------------------------------------------------------


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks cpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", metavar="CLIENT", action="append", choices=list(CLIENTS), help="only this client")
    parser.add_argument("--post", action="store_true", help="POST a small JSON")
    parser.add_argument("--tls", action="store_true", help="over TLS (the floor too)")
    parser.add_argument("--new", action="store_true", help="a new connection for each request: the server closes")
    parser.add_argument("--name", action="store_true", help="by the name localhost, not by address")
    parser.add_argument("--no-tickets", action="store_true", help="with --new --tls: no handshake can be resumed")
    parser.add_argument("--ids", action="store_true", help="no head comes twice: each has an X-Request-Id of its own")
    parser.add_argument("--chunked", action="store_true", help="the body comes in a chunk")
    parser.add_argument("--first", action="store_true", help="only the first https GET of a process, its import included")
    parser.add_argument("--http", action="store_true", help="with --first: the first http GET")
    parser.add_argument("--rounds", type=int, default=25, help="blocks of each client (25)")
    parser.add_argument("--block", type=int, default=200, help="requests in a block (200)")
    parser.add_argument("--imports", type=int, default=15, help="fresh interpreters per module (15); 0 for none")
    parser.add_argument("--max-ratio", type=float, help="exit with 1 if holdfast costs more than this x the floor")
    add_option(parser)
    return parser.parse_args()


def measure_requests(options: argparse.Namespace, program: str) -> Chart:
    """Print the table of requests; its ratios of CPU."""
    wanted = options.only or list(CLIENTS)
    present = [name for name in wanted if installed(name)]
    host = "localhost" if options.name else "127.0.0.1"
    tickets = not options.no_tickets
    verb = "POST" if options.post else "GET"
    with nginx(
        program,
        tls=options.tls,
        new=options.new,
        host=host,
        tickets=tickets,
        ids=options.ids,
        post=options.post,
        chunked=options.chunked,
    ) as site:
        floor = Floor(site, fields_of_floor(site)).get
        clients = {name: CLIENTS[name](site) for name in present}
        figures, bare = compare(floor, clients, options.rounds, options.block)
    lines = [["client", f"CPU us per {verb}", "x floor", "quartiles", "time, x floor"]]
    lines.append([FLOOR, f"{bare * 1e6:.1f}", "1.00", "", "1.00"])
    lines += [[name, *figures[name].line()] if name in figures else [name, "not installed", "", "", ""] for name in wanted]
    how = "on a new connection each" if options.new else "kept alive"
    how += (", no head twice" if options.ids else "") + (", chunked" if options.chunked else "")
    print(f"1 KiB from nginx on loopback, {how}, by {'name' if options.name else 'address'}{', TLS' if options.tls else ''};")
    print(f"medians of {options.rounds} blocks of {options.block} requests.\n")
    print(table(lines), flush=True)
    ratios = {name: round(statistics.median(figures[name].ratios), 3) if name in figures else None for name in wanted}
    row = f"{how}{', TLS' if options.tls else ''}"
    return Chart(f"CPU of a {verb}{', small JSON,' if options.post else ''} of 1 KiB", f"× {FLOOR}", {row: {FLOOR: 1.0, **ratios}})


def _local(value: str, site: Site) -> str:
    """The Host field was read off another port."""
    return f"{site.host}:{site.port}" if value.startswith("127.0.0.1:") else value


def measure_imports(rounds: int) -> Chart:
    """Print the table of imports; the same as a chart."""
    costs, empty = import_costs([name for name in IMPORTS if installed(name)], rounds)
    lines = [["import", "CPU ms"], *([name, f"{costs[name] * 1e3:.0f}"] for name in IMPORTS if name in costs)]
    print(f"\nCPU on top of an empty interpreter's {empty * 1e3:.0f} ms; medians of {rounds}.\n")
    print(table(lines))
    return Chart("CPU of the import", "ms", {"import": {name: round(cost * 1e3, 1) for name, cost in costs.items()}})


def measure_first(options: argparse.Namespace, program: str) -> Chart:
    """Print the table of first GETs; their CPU as a chart."""
    names = [name for name in FIRST if installed(name) and name in (options.only or FIRST)]
    with nginx(program, tls=not options.http) as site:
        costs = first_costs(names, site, options.rounds)
        memory = {name: memory_of(*first_program(name, site)) - memory_of("") for name in names}
    lines = [["client", "CPU ms", "the least", "time ms", "MiB"]]
    middle = {name: [statistics.median(column) for column in zip(*costs[name], strict=True)] for name in names}
    for name, (cpu, wall) in middle.items():
        lines.append([name, f"{cpu * 1e3:.0f}", f"{min(costs[name])[0] * 1e3:.0f}", f"{wall * 1e3:.0f}", f"{memory[name]:.1f}"])
    scheme, steps = ("http", "import, answer") if options.http else ("https", "import, context, handshake, answer")
    print(f"The first {scheme} GET of a process: {steps}, on top of an empty interpreter;")
    print(f"medians of {options.rounds}, the least CPU of any, and resident memory.\n")
    print(table(lines), flush=True)
    figures = {"first": {name: round(middle[name][0] * 1e3, 1) for name in names}}
    return Chart(f"CPU of the first {scheme} GET of a process", "ms", figures)


def main() -> int:
    """Parse the command line and run; the exit status."""
    options = _options()
    exit_on_sigterm()
    program = shutil.which("nginx")
    if program is None:
        print("this needs nginx, and there is none on the PATH (apt-get install nginx-light)", file=sys.stderr)
        return 3
    try:
        if options.first:
            save(options.json, "cpu", sys.argv[1:], [measure_first(options, program)])
            return 0
        charts = [measure_requests(options, program)]
        if options.imports:
            charts.append(measure_imports(options.imports))
    except KeyboardInterrupt:
        return 130
    save(options.json, "cpu", sys.argv[1:], charts)
    ratio = next(iter(charts[0].figures.values())).get("holdfast")
    if options.max_ratio is not None and (ratio is None or ratio > options.max_ratio):
        print(f"\nholdfast: {'not measured' if ratio is None else f'{ratio:.2f} x the floor'}, bar {options.max_ratio}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

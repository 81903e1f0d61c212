"""Torture: the k-th call of a primitive fails, for every k; or Ctrl-C strikes at the k-th line of holdfast, for every k.

The idea is curl's ``-t``. The law: whatever is interrupted, nothing is lost. After each injection

* the call ended in its own answer, in one of holdfast's exceptions, or in the very exception that was injected if
  that is not an OSError (KeyboardInterrupt, MemoryError); a POST was executed at most once;
* no counter is off, no lock is held, and the limit is fully usable: as many streamed requests as it allows succeed at once,
  each with its own answer;
* after ``Client.close()`` every socket that was made is closed, not left to the garbage collector.

The primitives belong to the standard library; nothing of holdfast is replaced. Threads of the test server are left in peace.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import gzip
import itertools
import linecache
import opcode
import os
import random
import select
import socket
import ssl
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import holdfast
from holdfast import Client, Limits, Timeouts
from tests.server import Conn, Received, Server, chunks, head, ok

HERE = str(Path(holdfast.__file__).parent) + os.sep
LIMIT = 2
TIMEOUTS = Timeouts(connect=2.0, read=0.6, write=0.6, pool=1.0, total=6.0)
SETTLE = 2.0
BIG = 300_000

_SOCKET_ERRORS: dict[str, Callable[[], BaseException]] = {
    "reset": lambda: ConnectionResetError(errno.ECONNRESET, "reset by the saboteur"),
    "pipe": lambda: BrokenPipeError(errno.EPIPE, "broken by the saboteur"),
    "timed out": lambda: TimeoutError(errno.ETIMEDOUT, "timed out by the saboteur"),
    "no buffers": lambda: OSError(errno.ENOBUFS, "no buffers, says the saboteur"),
}
_ALWAYS: dict[str, Callable[[], BaseException]] = {
    "interrupt": lambda: KeyboardInterrupt("by the saboteur"),
    "memory": lambda: MemoryError("by the saboteur"),
}
_TLS_ERRORS: dict[str, Callable[[], BaseException]] = {
    **_SOCKET_ERRORS,
    "ssl": lambda: ssl.SSLError(1, "[SSL: BAD] by the saboteur"),
    "eof": lambda: ssl.SSLEOFError(8, "EOF by the saboteur"),
}
# primitive -> what can be made of a call of it; "short" and "again" are no errors to whom they happen
KINDS: dict[str, dict[str, Callable[[], BaseException] | None]] = {
    "recv": {**_SOCKET_ERRORS, **_ALWAYS, "again": lambda: BlockingIOError(errno.EAGAIN, "not now"), "short": None},
    "send": {**_SOCKET_ERRORS, **_ALWAYS, "again": lambda: BlockingIOError(errno.EAGAIN, "not now"), "short": None},
    "tls recv": {**_TLS_ERRORS, **_ALWAYS, "again": lambda: ssl.SSLWantReadError(2, "not now")},
    "tls send": {**_TLS_ERRORS, **_ALWAYS, "again": lambda: ssl.SSLWantWriteError(3, "not now")},
    "do_handshake": {**_TLS_ERRORS, **_ALWAYS},
    "unwrap": {**_TLS_ERRORS, "interrupt": _ALWAYS["interrupt"]},
    "wrap_socket": {**_TLS_ERRORS, **_ALWAYS},
    "poll": {"no buffers": lambda: OSError(errno.ENOMEM, "no memory, says the saboteur"), **_ALWAYS},
    "getsockopt": {"no buffers": _SOCKET_ERRORS["no buffers"], **_ALWAYS},
    "setsockopt": {"no buffers": _SOCKET_ERRORS["no buffers"], **_ALWAYS},
    "connect_ex": {"no buffers": _SOCKET_ERRORS["no buffers"], **_ALWAYS},
    "socket": {"files": lambda: OSError(errno.EMFILE, "too many open files, says the saboteur"), **_ALWAYS},
    "getaddrinfo": {"name": lambda: socket.gaierror(socket.EAI_AGAIN, "not now, says the saboteur"), **_ALWAYS},
    "thread": {"thread": lambda: RuntimeError("can't start new thread, says the saboteur")},
}
ALL_KINDS = sorted({kind for kinds in KINDS.values() for kind in kinds})


class Saboteur:
    """Counts the calls of the primitives while armed, and spoils one of them.

    Attributes:
        calls: names of the primitives called since it was armed.
        struck: what was spoiled: "recv: reset", or "".
        sockets: every socket that was made outside the test server.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.struck = ""
        self.sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self._armed = False
        self._at = 0
        self._kind = ""

    @contextlib.contextmanager
    def at_work(self) -> Iterator[Saboteur]:
        """Stand between the interpreter and its primitives."""
        before = [(owner, name, vars(owner).get(name)) for owner, name in _PLACES]
        try:
            self._take_places()
            yield self
        finally:
            for owner, name, original in before:
                if original is None:
                    delattr(owner, name)  # it was inherited
                else:
                    setattr(owner, name, original)

    @contextlib.contextmanager
    def armed(self, at: int, kind: str) -> Iterator[None]:
        """Spoil the call number ``at`` (from 1; 0 for none) in this way, if it is one that can be."""
        with self._lock:
            self.calls, self.struck, self._at, self._kind, self._armed = [], "", at, kind, True
        try:
            yield
        finally:
            self._armed = False

    def _take_places(self) -> None:
        for name in ("recv", "send", "getsockopt", "setsockopt", "connect_ex"):
            setattr(socket.socket, name, self._wrapped(name, getattr(socket.socket, name)))
        for name, primitive in (("recv", "tls recv"), ("send", "tls send"), ("do_handshake",) * 2, ("unwrap",) * 2):
            setattr(ssl.SSLSocket, name, self._wrapped(primitive, getattr(ssl.SSLSocket, name)))
        setattr(ssl.SSLContext, "wrap_socket", self._wrapped("wrap_socket", ssl.SSLContext.wrap_socket))  # noqa: B010
        setattr(threading.Thread, "start", self._wrapped("thread", threading.Thread.start))  # noqa: B010
        setattr(socket, "getaddrinfo", self._wrapped("getaddrinfo", socket.getaddrinfo))  # noqa: B010
        setattr(select, "poll", self._poll_type(select.poll))  # noqa: B010
        setattr(socket.socket, "__init__", self._socket_init(socket.socket.__init__))  # noqa: B010

    def _wrapped(self, primitive: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def spoiled(*args: Any, **kwargs: Any) -> Any:
            if self._armed and not is_helper(args) and self._strikes(primitive):
                args = self._shortened(primitive, args)
            return original(*args, **kwargs)

        return spoiled

    def _poll_type(self, original: Callable[[], Any]) -> Callable[[], Any]:
        saboteur = self

        class Poll:
            def __init__(self) -> None:
                self._poll = original()
                self.register = self._poll.register

            def poll(self, timeout: float | None = None) -> Any:
                if saboteur._armed:
                    saboteur._strikes("poll")
                return self._poll.poll(timeout)

        return Poll

    def _socket_init(self, original: Callable[..., None]) -> Callable[..., None]:
        def init(sock: socket.socket, *args: Any, **kwargs: Any) -> None:
            if not ours():
                return original(sock, *args, **kwargs)
            if self._armed and kwargs.get("fileno") is None:
                self._strikes("socket")
            original(sock, *args, **kwargs)
            self.sockets.append(sock)
            return None

        return init

    def _strikes(self, primitive: str) -> bool:
        """Count this call; raise if it is the one to spoil. True if it is to be shortened."""
        if not ours():
            return False
        with self._lock:
            self.calls.append(primitive)
            if len(self.calls) != self._at or self._kind not in KINDS[primitive]:
                return False
            self.struck = f"{primitive}: {self._kind}"
            make = KINDS[primitive][self._kind]
        if make is not None:
            raise make()
        return True

    @staticmethod
    def _shortened(primitive: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (args[0], 1, *args[2:]) if primitive == "recv" else (args[0], args[1][:1], *args[2:])

    def unclosed(self) -> list[socket.socket]:
        """Sockets that have a descriptor yet."""
        return [sock for sock in self.sockets if sock.fileno() != -1]


_PLACES: tuple[tuple[Any, str], ...] = (
    *((socket.socket, name) for name in ("recv", "send", "getsockopt", "setsockopt", "connect_ex", "__init__")),
    *((ssl.SSLSocket, name) for name in ("recv", "send", "do_handshake", "unwrap")),
    (ssl.SSLContext, "wrap_socket"),
    (threading.Thread, "start"),
    (socket, "getaddrinfo"),
    (select, "poll"),
)


def is_helper(args: tuple[Any, ...]) -> bool:
    """Whether this is the start of a thread that only helps."""
    return isinstance(args[0], threading.Thread) and args[0].name.startswith(("test-", "holdfast-testing-"))


def ours() -> bool:
    """Whether this thread is to be tortured: not the test server's, nor one that only checks or helps."""
    return not threading.current_thread().name.startswith(("test-", "holdfast-testing-"))


# -- Ctrl-C at the k-th line -----------------------------------------------------------------------------------------


class Tracer:
    """Counts the lines executed inside holdfast by this thread, and raises KeyboardInterrupt at one of them."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.lines = 0
        self.struck = ""

    def __enter__(self) -> Tracer:
        self._before = sys.gettrace()
        sys.settrace(self._on_call)
        return self

    def __exit__(self, *exc_info: object) -> None:
        sys.settrace(self._before)

    def _on_call(self, frame: Any, event: str, arg: Any) -> Any:
        return self._on_line if frame.f_code.co_filename.startswith(HERE) else None

    def _on_line(self, frame: Any, event: str, arg: Any) -> Any:
        if event == "line" and not no_place_for_signals(frame):
            self.lines += 1
            if self.lines == self.at and in_finalizer(frame):
                self.at += 1  # it would only be printed, wherever it came from
            elif self.lines == self.at:
                self.struck = f"{frame.f_code.co_filename[len(HERE):]}:{frame.f_lineno} {frame.f_code.co_name}"
                raise KeyboardInterrupt("by the tracer")
        return self._on_line


def in_finalizer(frame: Any) -> bool:
    """Whether this is, or was called by, a ``__del__``."""
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


def no_place_for_signals(frame: Any) -> bool:
    """Whether the interpreter never looks for signals here, and is not prepared for an exception either.

    It looks after calls and jumps. Just before a ``with`` block's ``__exit__`` is called, and at the bare ``try:`` of a block,
    it does not; an exception would find the block left, or not yet entered, and its lock held for ever.
    """
    code = frame.f_code
    operation = opcode.opname[code.co_code[frame.f_lasti]]
    if operation == "NOP":
        return True
    if not linecache.getline(code.co_filename, frame.f_lineno).lstrip().startswith("with "):
        return False
    begins = operation.startswith(("LOAD_", "PUSH_NULL")) and operation != "LOAD_CONST"
    return not begins


# -- the server ------------------------------------------------------------------------------------------------------


class Teller:
    """A script: answers by path, the body beginning with the request's nonce; counts what it executed."""

    def __init__(self) -> None:
        self.executed: Counter[tuple[str, str]] = Counter()

    def __call__(self, conn: Conn) -> None:
        for request in conn.read_requests():
            nonce = request.get("X-Nonce")
            self.executed[request.method, nonce] += 1
            kind = request.target.strip("/")
            conn.send(answer(kind, nonce.encode(), request))
            if kind in ("fin", "ended"):
                return


def answer(kind: str, nonce: bytes, request: Received) -> bytes:
    """What is said at this path."""
    if kind == "redirect":
        return head(302, "Location: /small", "Content-Length: 5") + b"moved"
    if kind == "chunked":
        return head(200, "Transfer-Encoding: chunked") + chunks(nonce, b"x" * 2000, b"y" * 2000) + b"0\r\n\r\n"
    if kind == "gzip":
        return ok(gzip.compress(nonce + b"z" * 5000), "Content-Encoding: gzip")
    if kind == "ended":
        return head(200) + nonce + b"until the end"
    if kind == "big":
        return ok(nonce + b"b" * BIG)
    return ok(nonce + b" %d" % len(request.body))


# -- the scenarios ---------------------------------------------------------------------------------------------------


@dataclass
class Bench:
    """One client and the servers it talks to."""

    client: Client
    plain: Server
    secure: Server

    def ask(self, path: str, nonce: str, *, secure: bool = False, **kwargs: Any) -> bytes:
        """The content of what is there; GET, or POST if there is data."""
        method = kwargs.pop("method", "POST" if "data" in kwargs else "GET")
        url = (self.secure if secure else self.plain).url(path, host=kwargs.pop("host", None))
        content: bytes = self.client.request(method, url, headers={"X-Nonce": nonce}, **kwargs).content
        return content

    def stream(self, path: str, nonce: str, **kwargs: Any) -> Any:
        """A streamed response."""
        return self.client.get(self.plain.url(path), headers={"X-Nonce": nonce}, stream=True, **kwargs)


Scenario = Callable[[Bench, str], "bytes | None"]


def _prepare_nothing(bench: Bench) -> None:
    pass


def _prepare_kept(bench: Bench) -> None:
    bench.ask("/small", "before")


def _prepare_kept_tls(bench: Bench) -> None:
    bench.ask("/small", "before", secure=True)


def _prepare_stale(bench: Bench) -> None:
    bench.ask("/fin", "before")
    bench.plain.wait_idle()


def _early(bench: Bench, nonce: str) -> bytes:
    with bench.stream("/big", nonce) as response:
        piece: bytes = next(response.iter_content(100))
        return piece


def _streamed(bench: Bench, nonce: str) -> bytes:
    with bench.stream("/chunked", nonce) as response:
        return b"".join(response.iter_content(1000))


def _waiting(bench: Bench, nonce: str) -> bytes:
    """All connections are in use; while this one waits, another thread gives one back."""
    ready = threading.Event()
    # Not by an ExitStack: that of Python 3.13 leaves a cycle of its frame and the traceback of what a close() raised.
    with bench.stream("/big", "held") as first, bench.stream("/big", "held"):

        def release() -> None:
            ready.wait(0.01)
            first.close()

        thread = threading.Thread(target=release, name="test-releaser")
        thread.start()
        try:
            return bench.ask("/small", nonce)
        finally:
            ready.set()
            thread.join()


def _scenario(path: str, **kwargs: Any) -> Scenario:
    def run(bench: Bench, nonce: str) -> bytes:
        given = dict(kwargs)
        if given.get("data") is iter:
            given["data"] = iter([b"one", b"two", b"three"])
        return bench.ask(path, nonce, **given)

    return run


SCENARIOS: dict[str, tuple[Callable[[Bench], None], Scenario]] = {
    "GET, new connection": (_prepare_nothing, _scenario("/small", host="localhost")),
    "GET, kept connection": (_prepare_kept, _scenario("/small")),
    "GET, stale connection": (_prepare_stale, _scenario("/small")),
    "POST, new connection": (_prepare_nothing, _scenario("/small", data=b"body")),
    "POST, kept connection": (_prepare_kept, _scenario("/small", data=b"body")),
    "POST of an iterator": (_prepare_kept, _scenario("/small", data=iter)),
    "PUT of much": (_prepare_kept, _scenario("/small", data=b"u" * BIG, method="PUT")),
    "much, closed early": (_prepare_kept, _early),
    "chunks, streamed": (_prepare_nothing, _streamed),
    "redirect": (_prepare_nothing, _scenario("/redirect")),
    "gzip": (_prepare_kept, _scenario("/gzip")),
    "ended by the connection": (_prepare_nothing, _scenario("/ended")),
    "https, new connection": (_prepare_nothing, _scenario("/small", secure=True)),
    "https, kept connection": (_prepare_kept_tls, _scenario("/small", secure=True, data=b"body")),
    "waiting for a connection": (_prepare_nothing, _waiting),
}


# -- running them ----------------------------------------------------------------------------------------------------


@dataclass
class Findings:
    """What came of it."""

    injections: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)


class Torture:
    """Runs scenarios under injection and looks at what is left.

    Args:
        teller: what both servers run.
        plain, secure: the servers.
        client_context: for the https server.

    Attributes:
        findings: what came of it so far.
        patience: seconds until what other threads have not ended counts as lost.
        timeouts: of every client.
    """

    def __init__(self, teller: Teller, plain: Server, secure: Server, client_context: ssl.SSLContext) -> None:
        self.teller = teller
        self.plain = plain
        self.secure = secure
        self.client_context = client_context
        self.saboteur = Saboteur()
        self.findings = Findings()
        self._numbers = itertools.count()
        self._warned: list[str] = []
        self.patience = SETTLE
        self.timeouts = TIMEOUTS

    @contextlib.contextmanager
    def ready(self) -> Iterator[Torture]:
        """Between the interpreter and its primitives, and with an eye on what finalizers complain about."""
        before = sys.unraisablehook
        sys.unraisablehook = lambda said: self._warned.append(f"{said.exc_value!r}")
        try:
            with self.saboteur.at_work():
                yield self
        finally:
            sys.unraisablehook = before

    def count_calls(self, name: str) -> int:
        """How many primitives this scenario calls when nothing is spoiled."""
        self.run_with_fault(name, 0, "")
        return len(self.saboteur.calls)

    def count_lines(self, name: str) -> int:
        """How many lines of holdfast this scenario executes in the calling thread."""
        tracer = Tracer(0)
        self._run(name, "", lambda: tracer)
        return tracer.lines

    def run_with_fault(self, name: str, at: int, kind: str) -> None:
        """The scenario with the ``at``-th call of a primitive spoiled."""
        saboteur = self.saboteur
        self._run(name, f"call {at}", lambda: saboteur.armed(at, kind))

    def run_with_interrupt(self, name: str, at: int) -> None:
        """The scenario with KeyboardInterrupt at the ``at``-th line."""
        self._run(name, f"line {at}", lambda: Tracer(at))

    def _run(self, name: str, what: str, spoil: Callable[[], Any]) -> None:
        prepare, scenario = SCENARIOS[name]
        self.saboteur.sockets.clear()
        nonce = f"n{next(self._numbers)}"
        limits = Limits(max_connections=LIMIT, max_connections_per_origin=LIMIT)
        client = Client(timeout=self.timeouts, limits=limits, verify=self.client_context, trust_env=False)
        bench = Bench(client, self.plain, self.secure)
        prepare(bench)
        spoiler = spoil()
        error: BaseException | None = None
        content: bytes | None = None
        with spoiler:
            try:
                content = scenario(bench, nonce)
            except BaseException as caught:  # noqa: BLE001 - this is what it is all about
                error = without_tracebacks(caught)
        struck = getattr(spoiler, "struck", "") or self.saboteur.struck
        where = f"{name}, {what} ({struck or 'nothing struck'})"
        self.findings.injections += bool(struck)
        self.findings.outcomes["answered" if error is None else type(error).__name__] += 1
        self._judge(where, nonce, content, error, struck)
        error = None
        self._look_around(where, bench)

    def _judge(self, where: str, nonce: str, content: bytes | None, error: BaseException | None, struck: str) -> None:
        if error is None:
            if content is not None and not content.startswith(nonce.encode()):
                self._violation(where, f"answered with {content[:40]!r}")
        elif not struck:
            self._violation(where, f"failed without reason: {error!r}")
        elif isinstance(error, OSError) and not isinstance(error, holdfast.RequestException):
            self._violation(where, f"a bare {error!r}")
        elif not isinstance(error, (holdfast.RequestException, KeyboardInterrupt, MemoryError)):
            self._violation(where, f"{error!r} is neither holdfast's nor what was injected")
        times = self.teller.executed["POST", nonce]
        if times > 1:
            self._violation(where, f"the POST was executed {times} times")

    def _look_around(self, where: str, bench: Bench) -> None:
        """Nothing is lost: counters, locks, slots, descriptors."""
        client = bench.client
        checker = threading.Thread(target=self._check_slots, args=(where, bench), name="test-checker", daemon=True)
        checker.start()
        checker.join(10.0)
        if checker.is_alive():
            self._violation(where, "whoever uses the client now is stuck: a lock is held")
            return
        client.close()
        if not eventually(lambda: not self.saboteur.unclosed(), self.patience):
            self._violation(where, f"not closed: {self.saboteur.unclosed()}")
            for sock in self.saboteur.unclosed():
                sock.close()  # said once is enough
        gc_if(bool(self._warned))
        for text in self._warned:
            if not (where.endswith(")") and ", line " in where and "was dropped while in use" in text):
                self._violation(where, f"a finalizer complained: {text}")
        self._warned.clear()

    def _check_slots(self, where: str, bench: Bench) -> None:
        if not eventually(lambda: busy(bench.client) == (0, 0, 0), self.patience):
            self._violation(where, f"(active, connecting, waiting) = {busy(bench.client)} with nothing going on")
        nonces = [f"s{next(self._numbers)}" for _ in range(LIMIT)]
        try:
            with contextlib.ExitStack() as stack:
                responses = [stack.enter_context(bench.stream("/chunked", nonce)) for nonce in nonces]
                contents = [response.content for response in responses]
        except Exception as error:  # noqa: BLE001 - reported
            self._violation(where, f"the limit is not usable any more: {error!r}")
            return
        for nonce, content in zip(nonces, contents, strict=True):
            if not content.startswith(nonce.encode()):
                self._violation(where, f"the next request got {content[:40]!r} instead of {nonce}'s answer")

    def _violation(self, where: str, text: str) -> None:
        self.findings.violations.append(f"{where}: {text}")


def without_tracebacks(error: BaseException) -> BaseException:
    """It and what it came of, without the frames: what they hold would be lost only when the cycle of both is collected."""
    link: BaseException | None = error
    while link is not None:
        link = link.with_traceback(None).__context__
    return error


def busy(client: Client) -> tuple[int, int, int]:
    """(active, connecting, waiting)."""
    total = client.stats().total
    return total.active, total.connecting, total.waiting


def eventually(true: Callable[[], bool], seconds: float) -> bool:
    """Whether it becomes true in time: other threads end what they have begun."""
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            return False
        threading.Event().wait(0.001)
    return True


def gc_if(needed: bool) -> None:
    """Collect garbage, so that all complaints are in."""
    if needed:
        gc.collect()


def sample(count: int, share: int, dice: random.Random) -> list[int]:
    """``share`` numbers of 1 to ``count``, all of them if there are no more."""
    numbers = range(1, count + 1)
    return list(numbers) if count <= share else sorted(dice.sample(numbers, share))

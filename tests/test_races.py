"""Interleavings that were once wrong, one test each; and a tool that tries every one of them: ``Meanwhile``.

A race of two threads is found by luck, or by trying: at the k-th step of the one the other does all its work, for every k.
Whatever goes wrong when the interpreter changes threads once goes wrong here, every time, at the same k.
"""

from __future__ import annotations

import contextlib
import gzip
import itertools
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast import Client
from holdfast.api import shared_client
from holdfast.auth import netrc
from holdfast.environment import watch
from holdfast.message.cookies import extract_cookies
from holdfast.message.headers import Headers
from holdfast.message.pieces import PIECE
from holdfast.message.raw import LocalBody, RawBody
from holdfast.message.url import Url
from holdfast.pool import pool
from holdfast.requests.cookies import CookieJar
from holdfast.response_body import BodyStream
from holdfast.wire.http1 import Http1Connection
from tests.chaos import switching_every
from tests.conftest import Tls
from tests.server import Conn, Server, echo, head

HERE = str(Path(holdfast.__file__).parent)
BLOCKED = 0.02  # seconds after which the other thread is taken to wait for a lock that this one holds


class Meanwhile:
    """At the k-th step of holdfast in this thread, another one does ``work``: to its end, or to where it has to wait for us.

    Args:
        at: k, from 1.
        work: what is done meanwhile.
        functions: those whose steps count, "pool.py:acquire"; empty for all of holdfast.
        lines: whether a step is a line, and not an instruction.

    Attributes:
        struck: whether there were so many steps.
    """

    def __init__(self, at: int, work: Callable[[], object], functions: tuple[str, ...], lines: bool) -> None:
        self.struck = False
        self._at = at
        self._functions = functions
        self._step = "line" if lines else "opcode"
        self._steps = 0
        self._errors: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, args=(work,), name="test-meanwhile")

    def _run(self, work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised again by the test's own thread
            self._errors.append(error)

    def __enter__(self) -> Meanwhile:
        self._before = sys.gettrace()
        sys._getframe().f_trace_opcodes = True  # CPython 3.12 looks for this when tracing begins, and no more after that
        sys.settrace(self._on_call)
        return self

    def __exit__(self, *exc_info: object) -> None:
        sys.settrace(self._before)
        if not self.struck:
            self._thread.start()  # afterwards, then
        self._thread.join(10)
        assert not self._thread.is_alive(), "a deadlock"
        if self._errors:
            raise self._errors[0]

    def _on_call(self, frame: Any, event: str, arg: Any) -> Any:
        path, name = frame.f_code.co_filename, frame.f_code.co_name
        if not path.startswith(HERE) or (self._functions and f"{Path(path).name}:{name}" not in self._functions):
            return None
        frame.f_trace = self._on_step  # CPython 3.13 asks for no instructions of a frame without it
        frame.f_trace_opcodes = self._step == "opcode"
        return self._on_step

    def _on_step(self, frame: Any, event: str, arg: Any) -> Any:
        if event == self._step:
            self._steps += 1
            if self._steps == self._at:
                self.struck = True
                self._thread.start()
                self._thread.join(BLOCKED)
        return self._on_step


def at_every_step(work: Callable[[], object], *functions: str, lines: bool = False) -> Iterator[Meanwhile]:
    """A Meanwhile for each k. The caller enters each of them; it ends after the first that had nothing left to strike."""
    for at in itertools.count(1):
        meanwhile = Meanwhile(at, work, functions, lines)
        yield meanwhile
        if not meanwhile.struck:
            assert at > 1, "nothing was executed"
            return


# -- a connection that others use at once -------------------------------------------------------------------------------


def nonces(conn: Conn) -> None:
    """Say the request's nonce in everything that is said."""
    for request in conn.read_requests():
        nonce = request.get("X-Nonce")
        fields = ("Content-Length: 5", f"X-Nonce: {nonce}", f"Set-Cookie: nonce={nonce}")
        start = head(204 if request.target == "/none" else 200, *fields[request.target == "/none" :], reason=nonce)
        conn.send(start if request.method == "HEAD" or request.target == "/none" else start + nonce.encode())


@pytest.mark.parametrize(("method", "path"), [("HEAD", "/"), ("GET", "/none"), ("GET", "/")])
def test_whatever_a_response_has_is_its_own_though_another_thread_takes_the_connection_at_once(
    method: str, path: str, no_leaks: None
) -> None:
    """A response without a body gave the connection back before its header fields had been taken from it."""
    with Server(nonces) as server, Client(limits=holdfast.Limits(max_connections_per_origin=1), trust_env=False) as client:

        def ask(nonce: str) -> None:
            answer = client.request(method, server.url(path), headers={"X-Nonce": nonce})
            said = answer.headers["X-Nonce"], answer.cookies["nonce"], answer.reason, answer.content.decode() or nonce
            assert said == (nonce,) * 4

        functions = ("transport.py:_respond", *(f"response_body.py:{name}" for name in ("read", "_finish", "close")))
        for meanwhile in at_every_step(lambda: ask("other"), *functions, lines=True):
            with meanwhile:
                ask("mine.")


# -- a response that is closed while another thread reads it ------------------------------------------------------------


class Pieces(LocalBody):
    """A body for a RawBody; that it has ended is known only when one asks once more."""

    def __init__(self, *pieces: bytes) -> None:
        super().__init__()
        self._pieces = iter(pieces)

    def read(self, size: int = PIECE) -> bytes:
        return next(self._pieces, b"")

    def close(self) -> None:
        pass


def test_a_piece_that_close_throws_away_is_not_the_end_of_the_body() -> None:
    """close() emptied the buffer between two looks of its reader, who took the empty piece for the end: a cut body."""
    current: list[RawBody] = []
    for meanwhile in at_every_step(lambda: current[-1].close(), "raw.py:_some", "raw.py:_next"):
        current.append(RawBody(Pieces(b"12345", b"67890"), [], 200, b"OK", b"1.1", None))
        with meanwhile, contextlib.suppress(holdfast.StreamConsumedError):
            assert b"".join(current[-1].stream(3)) == b"1234567890"


class AllAtOnce(LocalBody):
    """A body of which the first read takes all there is, as off a connection that then is another's."""

    def __init__(self, *pieces: bytes) -> None:
        super().__init__()
        self._pieces = list(pieces)

    def read(self, size: int = PIECE) -> bytes:
        return b"".join(self.read_pieces(size))

    def read_pieces(self, size: int = PIECE) -> list[bytes]:
        pieces, self._pieces = self._pieces, []
        self.ended = True
        return pieces

    def close(self) -> None:
        pass


LONG = b"12345" * PIECE  # more than a decoder gives at once
WHERE = [f"raw.py:{name}" for name in ("_some", "_next", "_pull", "_next_decoded", "take")]


@pytest.mark.parametrize(
    ("pieces", "body", "fields", "size"),
    [
        ((b"12345", b"67890"), b"1234567890", [], None),
        ((b"12345", b"67890"), b"1234567890", [], 3),
        ((gzip.compress(LONG, 1),), LONG, [(b"Content-Encoding", b"gzip")], PIECE),
    ],
    ids=["chunks", "parts of chunks", "gzip"],
)
@pytest.mark.parametrize("fill", [True, False])
def test_what_a_reader_has_taken_off_the_connection_is_not_given_yet_when_close_looks(
    pieces: tuple[bytes, ...], body: bytes, fields: list[tuple[bytes, bytes]], size: int | None, fill: bool
) -> None:
    """close() found that its source had ended, and no rest of it: the reader, who had the rest in hand, was told of an end."""
    current: list[RawBody] = []

    def read() -> Iterator[bytes]:
        while piece := current[-1].take(size, fill, decode=True):
            yield piece

    for lines in (False, True):
        for meanwhile in at_every_step(lambda: current[-1].close(), *WHERE, lines=lines):
            current.append(RawBody(AllAtOnce(*pieces), fields, 200, b"OK", b"1.1", None))
            with meanwhile, contextlib.suppress(holdfast.StreamConsumedError):
                assert b"".join(read()) == body


def stall(conn: Conn) -> None:
    """To every request one byte of ten, and then nothing."""
    for _ in conn.read_requests():
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx")


def test_a_close_that_finds_a_reader_beginning_just_now_ends_its_read(no_leaks: None) -> None:
    """It saw that nobody was reading, was too late to take the body for itself, and left: the reader never heard of it."""
    answers: list[holdfast.Response] = []

    def read() -> None:
        with pytest.raises(holdfast.StreamConsumedError):
            answers[-1].content  # noqa: B018 - reads it

    with Server(stall) as server, Client(timeout=0.5) as client:
        for meanwhile in at_every_step(read, "response_body.py:close"):
            answers.append(client.get(server.url("/"), stream=True))
            source: Any = answers[-1]._source
            with meanwhile:
                source.close()


def in_two_pieces(conn: Conn) -> None:
    """To every request a body that is read in two pieces: the first is here at once, the second too."""
    for _ in conn.read_requests():
        conn.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n6\r\nsecond\r\n0\r\n\r\n")


READING = tuple(f"response_body.py:{name}" for name in ("read", "_finish", "_give_up", "_nothing_left"))
CLOSING = tuple(f"response_body.py:{name}" for name in ("close", "drain", "_read_small_rest", "_finish", "_interrupt_reader"))


@pytest.mark.parametrize("functions", [READING, CLOSING], ids=["close while reading", "read while closing"])
def test_a_body_that_is_closed_while_it_is_read_is_whole_or_an_error_and_the_next_request_is_not_hurt(
    functions: tuple[str, ...], no_leaks: None
) -> None:
    """Each of the interleavings that BodyStream numbers; a closer who comes late must not interrupt the next borrower."""
    sources: list[Any] = []
    said: list[bytes] = []

    def read() -> None:
        said.clear()
        with contextlib.suppress(holdfast.StreamConsumedError):
            while piece := sources[-1].read():
                said.append(piece)
            said.append(b"")

    def close() -> None:
        sources[-1].close()

    work, own = (close, read) if functions is READING else (read, close)
    with Server(in_two_pieces) as server, Client(limits=holdfast.Limits(max_connections_per_origin=1), timeout=5) as client:
        for meanwhile in at_every_step(work, *functions):
            response = client.get(server.url("/"), stream=True)
            sources.append(response._source)
            with meanwhile:
                own()

            assert b"".join(said) in ((b"firstsecond",) if b"" in said else (b"", b"first", b"firstsecond")), "an end that is none"
            assert client.get(server.url("/")).content == b"firstsecond"
            assert client.stats().active == 0


class Reader:
    """A thread that reads a streamed body piece by piece, and stops where the test wants it to: in the middle of a ``read()``.

    Args:
        after: whether it stops when the piece has been read off the connection; else it waits in the connection's own read.
    """

    def __init__(self, client: Client, url: str, monkeypatch: pytest.MonkeyPatch, *, after: bool, pieces: int = 9) -> None:
        self.response = client.get(url, stream=True)
        self.source: Any = self.response._source
        self.said: list[bytes] = []
        self.go_on = threading.Event()
        self._inside = threading.Event()
        self._pieces = pieces
        read_body = Http1Connection.read_body

        def stop(connection: Http1Connection, size: int = PIECE) -> bytes:
            if threading.current_thread() is not self._thread:
                return read_body(connection, size)
            if after:
                data = read_body(connection, size)
            self._inside.set()
            if after:
                assert self.go_on.wait(10)
            return data if after else read_body(connection, size)

        monkeypatch.setattr(Http1Connection, "read_body", stop)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._inside.wait(10)

    def _run(self) -> None:
        with contextlib.suppress(holdfast.StreamConsumedError):
            for _ in range(self._pieces):
                self.said.append(self.source.read())
                if self.source.ended:
                    return

    def join(self) -> None:
        self.go_on.set()
        self._thread.join(10)
        assert not self._thread.is_alive()


def when_interrupting(monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], object]) -> None:
    """Do this when a closer has found that the lease is in use, and has done nothing about it yet."""
    interrupt_reader = BodyStream._interrupt_reader

    def late(source: BodyStream) -> None:
        meanwhile()
        interrupt_reader(source)

    monkeypatch.setattr(BodyStream, "_interrupt_reader", late)


def halves(*events: threading.Event) -> Callable[[Conn], None]:
    """To each request half a body at once and half when its event is set."""

    def script(conn: Conn) -> None:
        for event in events:
            conn.expect_request()
            conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
            conn.wait(event)
            conn.send(b"firstother")
        conn.wait_closed()

    return script


def test_race_2_a_closer_who_comes_late_does_not_interrupt_the_next_borrower(
    no_leaks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    rest, next_rest = threading.Event(), threading.Event()
    with Server(halves(rest, next_rest)) as server, Client(timeout=5, trust_env=False) as client:
        reader = Reader(client, server.url("/"), monkeypatch, after=False)
        borrowed: list[holdfast.Response] = []

        def finish_and_borrow() -> None:
            rest.set()
            reader.join()
            borrowed.append(client.get(server.url("/"), stream=True))

        when_interrupting(monkeypatch, finish_and_borrow)
        reader.source.close()
        next_rest.set()

        assert reader.said == [b"firstother"]
        assert borrowed[0].content == b"firstother"
        assert server.connections == 1


def test_race_3_a_reader_who_has_the_end_keeps_it_and_the_connection_goes(no_leaks: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server([in_one_piece, in_one_piece]) as server, Client(timeout=5, trust_env=False) as client:
        reader = Reader(client, server.url("/"), monkeypatch, after=True)
        reader.source.close()
        reader.join()

        assert reader.said == [b"firstother"]
        assert reader.source.read() == b""
        assert (client.stats().active, client.stats().idle) == (0, 0), "it was being interrupted: no other request must get it"
        assert client.get(server.url("/")).content == b"firstother"


def in_one_piece(conn: Conn) -> None:
    """To every request ten bytes."""
    for _ in conn.read_requests():
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirstother")


def in_half(conn: Conn) -> None:
    """To every request half of its body, and never the rest."""
    for _ in conn.read_requests():
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")


def test_race_4_a_reader_who_puts_the_lease_back_after_the_interruption_closes_for_the_closer(
    no_leaks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Server(in_half) as server, Client(timeout=5, trust_env=False) as client:
        reader = Reader(client, server.url("/"), monkeypatch, after=True, pieces=1)
        reader.source.close()
        assert client.stats().active == 1
        reader.join()

        assert reader.said == [b"first"]
        assert client.stats().active == 0


def test_race_4_a_closer_finds_the_lease_that_a_reader_has_just_put_back(no_leaks: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(in_half) as server, Client(timeout=5, trust_env=False) as client:
        reader = Reader(client, server.url("/"), monkeypatch, after=True, pieces=1)
        when_interrupting(monkeypatch, reader.join)
        reader.source.close()

        assert reader.said == [b"first"]
        assert client.stats().active == 0


# -- settings that change while a request is being prepared -------------------------------------------------------------

USUAL = Client().headers  # one object, with one version
PREPARING = tuple(f"client.py:{name}" for name in ("_plain", "_prepare", "prepare_request", "cookies"))


@pytest.mark.parametrize(
    ("change", "undo", "trace"),
    [
        (lambda c: setattr(c, "auth", ("user", "pass")), lambda c: setattr(c, "auth", None), "Authorization"),
        (lambda c: setattr(c, "params", {"key": "secret"}), lambda c: setattr(c, "params", {}), "target"),
        (lambda c: c.cookies.set("session", "secret"), lambda c: c.cookies.clear(), "Cookie"),
        (lambda c: setattr(c, "headers", {"X-Key": "secret"}), lambda c: setattr(c, "headers", USUAL), "X-Key"),
    ],
    ids=["auth", "params", "cookies", "headers"],
)
def test_a_setting_that_was_taken_back_is_in_no_later_request(
    change: Callable[[Client], object], undo: Callable[[Client], object], trace: str, no_leaks: None
) -> None:
    """The request kept for a URL was looked at for being plain, and then prepared: what was set in between stayed in it."""
    with Server(echo) as server:
        clients: list[Client] = []
        for meanwhile in at_every_step(lambda: change(clients[-1]), *PREPARING, lines=True):
            with Client(headers=USUAL, trust_env=False) as client:
                clients.append(client)
                undo(client)
                with meanwhile:
                    client.get(server.url("/"))
                undo(client)
                client.get(server.url("/"))

                received = server.requests[-1]
                assert (received.get(trace), received.target) == ("", "/")


def test_cookies_that_come_to_a_new_client_at_the_same_moment_are_all_kept() -> None:
    """Each thread made a jar, put its cookie in and saw the other's jar take the place of its own."""
    clients: list[Client] = []
    for meanwhile in at_every_step(lambda: clients[-1].cookies.set("b", "2"), "client.py:cookies"):
        clients.append(Client())
        with meanwhile:
            clients[-1].cookies.set("a", "1")

        assert clients[-1].cookies.get_dict() == {"a": "1", "b": "2"}


def test_a_jar_that_is_set_is_not_replaced_by_one_that_was_missed_before() -> None:
    clients: list[Client] = []
    for meanwhile in at_every_step(lambda: setattr(clients[-1], "cookies", {"b": "2"}), "client.py:cookies"):
        clients.append(Client())
        with meanwhile:
            clients[-1].cookies  # noqa: B018 - makes one if there is none

        assert clients[-1].cookies.get_dict() == {"b": "2"}


def test_authorities_of_the_environment_are_not_remembered_for_when_they_are_gone(
    tls: Tls, monkeypatch: pytest.MonkeyPatch, no_leaks: None
) -> None:
    """The variable appeared between the question whether there is one and the making of the route, which was then kept."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    with Server(echo, tls=tls.server_context()) as server:
        with Client() as client, pytest.raises(holdfast.SSLError):
            client.get(server.url("/"))  # certifi does not know the test's own authority
        functions = ("routes.py:find", "routes.py:_context")
        for meanwhile in at_every_step(lambda: monkeypatch.setenv("SSL_CERT_FILE", tls.ca_path), *functions, lines=True):
            with Client() as client:
                with meanwhile, contextlib.suppress(holdfast.SSLError):
                    client.get(server.url("/"))
                monkeypatch.delenv("SSL_CERT_FILE", raising=False)
                client.close_idle()

                with pytest.raises(holdfast.SSLError):
                    client.get(server.url("/"))


def test_proxies_and_params_may_be_changed_in_place_while_a_request_is_prepared() -> None:
    clients: list[Client] = []

    def change() -> None:
        clients[-1].proxies.clear()
        clients[-1].params.update({str(number): number for number in range(9)})

    functions = ("environment.py:select_proxy", "url.py:_encode_params", "client.py:_merge_params", "body.py:form_pairs")
    for meanwhile in at_every_step(change, *functions):
        with Client(proxies={"http": "http://127.0.0.1:1", "no_proxy": "x"}, params={"a": "b"}) as client:
            clients.append(client)
            with meanwhile:
                request = client.prepare_request(holdfast.Request("GET", "http://example.org/"))
                route = client._routes.find(request, True, None)

        assert request.url is not None
        assert request.url.startswith("http://example.org/?")
        assert route.host in ("127.0.0.1", "example.org"), "by the proxy that was there, or by none"


def test_what_is_configured_counts_whoever_calls_meanwhile(no_leaks: None) -> None:
    """The old client was taken away and the new one put there in two steps: a call in between put one with usual settings there."""
    for meanwhile in at_every_step(holdfast.stats, "api.py:configure", "api.py:_make", "api.py:close"):
        holdfast.configure()
        holdfast.close()
        with meanwhile:
            holdfast.configure(timeout=7)

        assert shared_client().timeout.read == 7
    holdfast.configure()
    holdfast.close()


# -- values that are cached ------------------------------------------------------------------------------------------------

CHANGES: dict[str, Callable[[Headers], object]] = {
    "set": lambda headers: headers.update(A="2"),
    "add": lambda headers: headers.add("A", "2"),
    "drop": lambda headers: headers.update(A=None),
    "delete": lambda headers: headers.pop("A"),
    "clear": lambda headers: headers.clear(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_version_never_stands_for_two_contents_whenever_the_copy_is_made(change: Callable[[Headers], object]) -> None:
    """A change came first and its version after it: a copy made in between had the new fields under the old version."""
    made: list[Headers] = []
    names = ("copy", "_replace", "add", "_drop", "__delitem__", "clear")
    functions = tuple(f"headers.py:{name}" for name in names)

    def copy_it() -> None:
        made.append(made[0].copy())

    def change_it() -> None:
        change(made[0])

    for other, own in ((copy_it, change_it), (change_it, copy_it)):
        for meanwhile in at_every_step(other, *functions, lines=True):
            made[:] = [Headers({"A": "1", "B": "1"})]
            copy_it()
            with meanwhile:
                own()

            by_version = {each.version: each.multi_items() for each in made}
            assert all(each.multi_items() == by_version[each.version] for each in made)


# -- cookies -----------------------------------------------------------------------------------------------------------------


def test_a_secure_cookie_is_not_overwritten_over_http_at_the_moment_it_comes() -> None:
    """There was none yet when the answer over http was asked whether it hides one; when it was put into the jar, there was."""
    plain, secure = Url.parse("http://example.org/"), Url.parse("https://example.org/")
    jars: list[CookieJar] = []

    def keep_secure() -> None:
        extract_cookies(jars[-1], secure, [(b"Set-Cookie", b"id=secure; Secure")])

    functions = ("cookies.py:extract_cookies", "cookies.py:_may_set", "cookies.py:_store")
    for meanwhile in at_every_step(keep_secure, *functions, lines=True):
        jars.append(CookieJar())
        with meanwhile:
            extract_cookies(jars[-1], plain, [(b"Set-Cookie", b"id=plain")])

        assert jars[-1]["id"] == "secure"


def test_a_jar_is_pickled_while_others_put_cookies_into_it() -> None:
    """Its dictionaries were copied while they grew (RuntimeError)."""
    jar = CookieJar()
    for number in range(50):
        jar.set(f"a{number}", "1")
    numbers = itertools.count()
    stop = threading.Event()

    def fill() -> None:
        while not stop.is_set():
            jar.set(f"b{next(numbers) % 50}", "1")
            jar.set(f"b{next(numbers) % 50}", None)

    thread = threading.Thread(target=fill)
    with switching_every(1e-6):
        thread.start()
        try:
            for _ in range(30):
                assert len(pickle.loads(pickle.dumps(jar))) >= 50
        finally:
            stop.set()
            thread.join()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_can_use_a_jar_that_another_thread_of_its_parent_was_using() -> None:
    """Its lock was held, in the child, by a thread that is not there."""
    program = """
        import os, signal, threading, holdfast
        client, held, done = holdfast.Client(cookies={"a": "1"}), threading.Event(), threading.Event()

        def hold():
            with client.cookies._cookies_lock:
                held.set()
                done.wait(10)

        thread = threading.Thread(target=hold)
        thread.start()
        held.wait(10)
        child = os.fork()
        if not child:
            signal.alarm(5)
            client.cookies.set("b", "2")
            os._exit(len(client.cookies))
        status = os.waitpid(child, 0)[1]
        done.set()
        thread.join()
        print(os.waitstatus_to_exitcode(status))
    """
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)]  # Python 3.12 warns of fork in a threaded process
    assert subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout == "2\n"


# -- signals -------------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(signal, "raise_signal"), reason="no signals")
def test_a_signal_handler_may_close_the_client_whatever_it_has_interrupted(
    monkeypatch: pytest.MonkeyPatch, no_leaks: None
) -> None:
    """One signal in thirty meets a busy thread while it holds the pool's lock, for which the handler then waited for ever."""
    monkeypatch.setattr(pool, "MAX_MOVE_SECONDS", 0.01)
    with Server(echo) as server, Client() as client:
        client.get(server.url("/"))
        before = signal.signal(signal.SIGTERM, lambda *_: client.close())
        try:
            with client._transport.pool._state.lock:
                signal.raise_signal(signal.SIGTERM)
        finally:
            signal.signal(signal.SIGTERM, before)
        while helpers := [thread for thread in threading.enumerate() if thread.name == "holdfast-close"]:
            helpers[0].join(10)

        assert client.stats().idle == 0
        with pytest.raises(holdfast.ClientClosed):
            client.get(server.url("/"))


# -- the environment ---------------------------------------------------------------------------------------------------------


def test_what_a_watch_has_seen_belongs_to_the_variable_it_has_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one thread had seen before a change was given out as seen after it: the two were stored one after the other."""
    world = ["old"]

    def look() -> str:
        found = world[0]
        if threading.current_thread() is threading.main_thread():
            change = threading.Thread(target=look_after_a_change)
            change.start()
            change.join()
        return found

    def look_after_a_change() -> None:
        world[0] = "new"
        monkeypatch.setenv("HOLDFAST_TEST", "new")
        assert seen() == "new"

    def look_again() -> None:
        assert world[0] == "old" or seen() == "new"

    for meanwhile in at_every_step(look_again, "environment.py:seen"):
        world[0] = "old"
        monkeypatch.setenv("HOLDFAST_TEST", "old")
        seen = watch(look, "HOLDFAST_TEST", lambda: 0.0)
        with meanwhile:
            seen()


def test_netrc_gives_what_its_file_says_now_though_another_thread_is_not_done_with_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was cached was compared, and then taken from the cache, where another thread had put the other file's meanwhile."""
    new = tmp_path / "new"
    new.write_text("machine example.org login me password new")
    monkeypatch.setenv("NETRC", str(new))
    url = Url.parse("http://example.org/")

    def end_reading_the_old_one() -> None:
        monkeypatch.setattr(netrc, "_netrc_cache", (("old", 0, 0, 0), {"example.org": ("me", "old")}))

    for meanwhile in at_every_step(end_reading_the_old_one, "netrc.py:_netrc_entries"):
        netrc.netrc_auth(url)
        with meanwhile:
            assert netrc.netrc_auth(url) == ("me", "new")

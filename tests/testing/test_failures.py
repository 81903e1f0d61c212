"""A failure of ``holdfast.testing`` is the real thing: each beside what a real server, or a real network, makes of the same call.

Compared are the response or the exception with its class, message, attributes and cause, the attempts, the pool's events and what
the pool has counted.
"""

from __future__ import annotations

import datetime
import re
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trustme

import holdfast
from holdfast import Client, Limits, Timeouts
from holdfast.testing import Answer, Fake, failures
from holdfast.wire.stream import SocketStream
from tests.conftest import FakeClock, Tls
from tests.server import Conn, Script, Server, head, ok, response
from tests.support import free_port
from tests.wire.test_connect import deaf
from tests.wire.test_verification import without_key_identifiers

pytestmark = pytest.mark.usefixtures("no_leaks")

SHORT = Timeouts(connect=0.3, read=0.2, write=0.3, pool=0.2)
ATTRIBUTES = ("may_have_executed", "reused", "never_connected", "received", "expected")


class Seen(NamedTuple):
    """What came of a call."""

    outcome: Any
    attempts: Any
    events: list[tuple[str, str]]
    figures: Any


def shape(message: str) -> str:
    """A message without what differs from one run to the next: how long things took, and who held the connections."""
    message = message.partition(" Held longest")[0]
    message = re.sub(r"\d+\.\d+ s|\d+ s", "N s", message)
    return re.sub(r"(without a response): [^(]*", r"\1: why ", message)


def seen(client: Client, call: Callable[[], holdfast.Response]) -> Seen:
    """Make the call, and write down what can be known of it."""
    events: list[tuple[str, str]] = []
    client.on_event(lambda event: events.append((event.kind, event.reason)))
    try:
        answer = call()
    except holdfast.RequestException as error:
        attributes = {name: getattr(error, name, "absent") for name in ATTRIBUTES}
        outcome: Any = (type(error), shape(str(error)), attributes, getattr(error, "idle", None) is None, type(error.__cause__))
        attempts: Any = None
    else:
        info = answer.connection_info
        assert info is not None
        outcome = (answer.status_code, answer.content, answer.request_incomplete, answer.reason != "")
        tried = [(attempt.reason, shape(attempt.error), attempt.reused) for attempt in info.attempts]
        attempts = (answer.attempts, tried, info.reused, info.requests)
    total = client.stats().total
    figures = (dict(total.resent), total.pool_timeouts, {reason: n for reason, n in total.closed.items() if n})
    return Seen(outcome, attempts, events, figures)


class Case(NamedTuple):
    """One failure, and how it comes about for real.

    Attributes:
        replies: what the Fake answers the call with.
        scripts: what the real server does, one connection after the other; None: there is none.
        method, body: of the call.
        before: a GET that is answered with 200 goes before the call, and leaves its connection.
        timeouts: of the call.
        around: what has to hold for the real call.
    """

    replies: tuple[Any, ...]
    scripts: tuple[Script, ...] | None
    method: str = "GET"
    body: bytes | None = None
    before: bool = False
    timeouts: Timeouts = SHORT
    around: Callable[[pytest.MonkeyPatch], AbstractContextManager[Any]] = lambda patch: nullcontext()


def served(conn: Conn) -> None:
    """Answers one request, and leaves the connection open."""
    conn.expect_request()
    conn.send(ok(b"served"))
    conn.wait_closed()


def then(*steps: Script) -> Script:
    """One after the other on one connection."""

    def script(conn: Conn) -> None:
        for step in steps:
            step(conn)

    return script


def answers(conn: Conn) -> None:
    """Answers one request."""
    conn.expect_request()
    conn.send(ok(b"served"))


def closes(conn: Conn) -> None:
    """Reads a request, and closes."""
    conn.expect_request()
    conn.close()


def aborts(conn: Conn) -> None:
    """Reads a request, and aborts."""
    conn.expect_request()
    conn.rst()


def is_silent(conn: Conn) -> None:
    """Reads, and never answers."""
    conn.wait_closed()


def is_deaf(conn: Conn) -> None:
    """Does not even read."""
    conn.wait(threading.Event())


def says(*pieces: bytes, ending: Callable[[Conn], object] | None = None) -> Script:
    """Reads a request, sends this, and waits for the client to leave, or ends the connection."""

    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(*pieces)
        if ending is None:
            conn.wait_closed()
        else:
            ending(conn)

    return script


def rejects_early(conn: Conn) -> None:
    """Answers from the head of the request alone, and takes no more of it than the kernels do: they do not take four LARGE."""
    conn.read_head()
    conn.send(response(413, b"too large", "Connection: close"))
    conn.wait(threading.Event())


_to_close = threading.Event()


def aborts_in_time(conn: Conn) -> None:
    """When what was sent before has been read: an RST takes away what was not."""
    conn.wait(_to_close)
    conn.rst()


def closes_as_the_request_sets_out(conn: Conn) -> None:
    conn.wait(_to_close)
    conn.close()


@contextmanager
def closing_in_time(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Between the look before the first write and that write, the server closes: 1. the FIN arrives, 2. the request leaves."""
    write = SocketStream.write_some
    first = [True]

    def late(self: SocketStream, data: Any) -> int:
        if first:
            first.clear()
            _to_close.set()
            poll = select.poll()
            poll.register(self.sock, select.POLLRDHUP)
            assert poll.poll(5000), "no FIN came"
        return write(self, data)

    _to_close.clear()
    with patch.context() as patched:
        patched.setattr(SocketStream, "write_some", late)
        yield


@contextmanager
def no_such_name(patch: pytest.MonkeyPatch) -> Iterator[None]:
    def unknown(*_: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with patch.context() as patched:
        patched.setattr(socket, "getaddrinfo", unknown)
        yield


LARGE = b"x" * (4 << 20)
CUT = head(200, "Content-Length: 9", reason="OK") + b"cut "
linux = pytest.mark.needs("linux")  # the proof of non-delivery, and what the kernel says of an end

CASES: dict[str, Any] = {
    "lost before delivery: POST": pytest.param(
        Case((failures.lost_before_delivery(), Answer(content=b"served")), (closes_as_the_request_sets_out, served), "POST", b"{}",
             around=closing_in_time), marks=linux),
    "lost after delivery: POST on a new connection": Case((failures.lost_after_delivery(),), (closes,), "POST", b"{}"),
    "lost after delivery: POST on a kept connection": Case(
        (failures.lost_after_delivery(),), (then(answers, closes),), "POST", b"{}", before=True),
    "lost after delivery, by an abort: POST": Case((failures.lost_after_delivery(by="rst"),), (aborts,), "POST", b"{}"),
    "lost after delivery: GET on a new connection": Case(
        (failures.lost_after_delivery(), Answer(content=b"served")), (closes, served)),
    "lost after delivery: GET on a kept connection": Case(
        (failures.lost_after_delivery(), Answer(content=b"served")), (then(answers, closes), served), before=True),
    "lost after delivery, twice: GET": Case(
        (failures.lost_after_delivery(), failures.lost_after_delivery()), (closes, closes)),
    "408 on a kept connection: GET": Case(
        (failures.request_timeout(), Answer(content=b"served")),
        (then(answers, says(response(408, b"", "Connection: close"), ending=Conn.close)), served), before=True),
    "408 on a kept connection: POST": Case(
        (failures.request_timeout(),),
        (then(answers, says(response(408, b"", "Connection: close"), ending=Conn.close)),), "POST", b"{}", before=True),
    "early 413 to a large body": Case((failures.early_answer(413, content=b"too large"),), (rejects_early,), "POST", LARGE * 4),
    "body cut short": Case((failures.body_cut_short(),), (says(CUT, ending=Conn.close),)),
    "body cut short by an abort": Case(
        (failures.body_cut_short(by="rst"),), (says(CUT, ending=aborts_in_time),)),
    "not HTTP": Case((failures.not_http(b"SSH-2.0-x\r\n"),), (says(b"SSH-2.0-x\r\n", ending=Conn.close),)),
    "read timeout": Case((failures.timeout("read"),), (is_silent,)),
    "read timeout of a POST": Case((failures.timeout("read"),), (is_silent,), "POST", b"{}"),
    "write timeout": Case((failures.timeout("write"),), (is_deaf,), "POST", LARGE * 4),
    "body timeout": Case(
        (failures.timeout("body"),), (says(head(200, "Content-Length: 4", reason="OK") + b"ab"),)),
    "total timeout": Case((failures.timeout("total"),), (is_silent,), timeouts=Timeouts(read=5, total=0.2)),
    "connect timeout": pytest.param(Case((failures.timeout("connect"),), None), marks=linux),
    "connection refused": Case((failures.connection_refused(),), None),
    "name not resolved": Case((failures.name_not_resolved(),), None, around=no_such_name),
}  # fmt: skip


def parameters() -> list[Any]:
    """The cases, by name."""
    return [
        pytest.param(*case.values, id=name, marks=case.marks) if hasattr(case, "values") else pytest.param(case, id=name)
        for name, case in CASES.items()
    ]


@contextmanager
def real_place(case: Case, name: str) -> Iterator[str]:
    """Where the real call goes."""
    if case.scripts is not None:
        with Server(case.scripts) as server:
            yield server.url("/x")
    elif name == "connect timeout":
        with deaf() as port:
            yield f"http://127.0.0.1:{port}/x"
    elif name == "name not resolved":
        yield "http://nowhere.example/x"
    else:
        yield f"http://127.0.0.1:{free_port()}/x"


def observe(case: Case, url: str, cut_body_when: Callable[[], object] = lambda: None) -> Seen:
    with Client(timeout=case.timeouts, trust_env=False) as client:
        if case.before:
            client.get(url)

        def call() -> holdfast.Response:
            with client.request(case.method, url, data=case.body, stream=True) as answer:
                cut_body_when()
                answer.content  # noqa: B018 - reads it
                return answer

        return seen(client, call)


@pytest.mark.parametrize("case", parameters())
def test_a_failure_is_what_the_real_thing_is(
    case: Case, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = request.node.callspec.id
    _to_close.clear()
    with real_place(case, name) as url:
        with case.around(monkeypatch):
            real = observe(case, url, _to_close.set if "abort" in name else lambda: None)
        with Fake() as fake:
            if case.before:
                fake.get(url).answers(Answer(content=b"served"), *(case.replies if case.method == "GET" else ()))
            if case.method != "GET" or not case.before:
                fake.route(case.method, url).answers(*case.replies)
            faked = observe(case, url)

    assert faked == real


# -- certificates --------------------------------------------------------------------------------------------------------

NOW = datetime.datetime.now(datetime.timezone.utc)
DAY = datetime.timedelta(days=1)

CERTIFICATES: dict[str, Callable[[trustme.CA], trustme.LeafCert]] = {
    "unknown authority": lambda ca: trustme.CA().issue_cert("localhost", "127.0.0.1"),
    "expired": lambda ca: ca.issue_cert("localhost", "127.0.0.1", not_after=NOW - DAY),
    "not yet valid": lambda ca: ca.issue_cert("localhost", "127.0.0.1", not_before=NOW + DAY),
    "other name": lambda ca: ca.issue_cert("other.example"),
}


def cause_of(error: BaseException) -> Any:
    """What can be known of ssl's own error, but for the line of C that raised it."""
    cause = error.__cause__
    assert isinstance(cause, ssl.SSLCertVerificationError)
    text = re.sub(r" \(_ssl\.c:\d+\)$", "", cause.args[1])
    return type(cause), cause.args[0], text, cause.verify_code, cause.verify_message, cause.reason, cause.library


def refused(client: Client, url: str) -> Any:
    """What comes of a POST to a server whose certificate is refused."""
    causes: list[Any] = []

    def call() -> holdfast.Response:
        try:
            return client.post(url, data=b"{}")
        except holdfast.SSLError as error:
            causes.append(cause_of(error))
            raise

    return seen(client, call), causes


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
@pytest.mark.parametrize("because", CERTIFICATES)
def test_a_refused_certificate_is_what_a_real_one_is(because: str, host: str, tls: Tls) -> None:
    leaf = CERTIFICATES[because](tls.ca)
    with Server(tls=tls.server_context(leaf)) as server:
        url = server.url("/x", host=host)
        with Client(verify=tls.ca_path, timeout=SHORT, trust_env=False) as client:
            real = refused(client, url)
        server.wait_for_handshakes(1)
        with Fake() as fake, Client(verify=tls.ca_path, timeout=SHORT, trust_env=False) as client:
            route = fake.post(url).fails("certificate verify failed", because=because)
            faked = refused(client, url)

    assert faked == real
    assert route.calls[0].sent == 0


def test_a_certificate_that_signed_itself_is_refused_as_a_real_one_is(tls: Tls, tmp_path: Path) -> None:
    with Server(tls=without_key_identifiers("localhost", tmp_path / "own.pem")) as server:
        url = server.url("/x", host="localhost")
        with Client(verify=tls.ca_path, timeout=SHORT, trust_env=False) as client:
            real = refused(client, url)
        server.wait_for_handshakes(1)
        with Fake() as fake, Client(verify=tls.ca_path, timeout=SHORT, trust_env=False) as client:
            fake.post(url).fails(failures.certificate_verify_failed("self-signed"))
            faked = refused(client, url)

    assert faked == real


def test_a_certificate_is_for_the_name_that_the_client_says() -> None:
    with Fake() as fake, Client(server_name="inner.example") as client:
        fake.get("https://outer.example/").fails("certificate verify failed", because="other name")

        with pytest.raises(holdfast.SSLError, match=r"^the certificate of inner\.example:443 .*valid for 'inner\.example'"):
            client.get("https://outer.example/")


def test_a_kept_connection_has_had_its_certificate_verified() -> None:
    """Met by a new connection alone: so the call that finds a kept one opens another."""
    with Fake() as fake, Client() as client:
        fake.get("https://a.example/").answers(200, failures.certificate_verify_failed(), 200)
        client.get("https://a.example/")
        with pytest.raises(holdfast.SSLError):
            client.get("https://a.example/")
        assert client.get("https://a.example/").ok


@pytest.mark.parametrize(
    ("url", "settings", "why"),
    [
        ("http://a.example/", {}, "speaks no TLS"),
        ("https://a.example/", {"verify": False}, "verifies no certificate"),
    ],
)
def test_a_certificate_that_nothing_looks_at_is_no_failure(url: str, settings: dict[str, Any], why: str) -> None:
    fake = Fake()
    fake.get(url).fails("certificate verify failed")
    with Client(**settings) as client, pytest.raises(AssertionError, match=rf"certificate_verify_failed\(\): .*{why}"), fake:
        client.get(url)


def test_a_reason_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="expected one of unknown authority, self-signed, expired, not yet valid, other name"):
        failures.certificate_verify_failed("bad luck")  # type: ignore[arg-type]  # that is the point


def test_a_stale_connection_is_found_before_use_as_a_real_one_is() -> None:
    def leaves(conn: Conn) -> None:
        answers(conn)
        conn.close()

    def post(client: Client, url: str) -> holdfast.Response:
        return client.post(url, data=b"{}")

    with Server([leaves, served]) as server, Client() as client:
        client.get(server.url("/x"))
        server.wait_idle()
        real = seen(client, lambda: post(client, server.url("/x")))
        with Fake() as fake, Client() as other:
            fake.get(server.url("/x"))
            fake.post(server.url("/x")).answers(failures.stale_before_use(), Answer(content=b"served"))
            other.get(server.url("/x"))
            faked = seen(other, lambda: post(other, server.url("/x")))

    assert faked == real
    assert ("closed", "stale") in faked.events


def test_a_pool_timeout_is_as_a_real_one() -> None:
    limits = Limits(max_connections_per_origin=1)
    with Server(served) as server, Client(timeout=SHORT, limits=limits) as client:
        with client.get(server.url("/held"), stream=True, headers={"X-Held": "1"}) as held:
            real = seen(client, lambda: client.get(server.url("/x")))
            held.content  # noqa: B018
        with Fake() as fake, Client(timeout=SHORT, limits=limits) as other:
            fake.get(server.url("/x")).fails("timeout", phase="pool")
            faked = seen(other, lambda: other.get(server.url("/x")))

    assert faked.outcome == real.outcome
    assert faked.figures[1] == real.figures[1] == 1
    assert [[event for event in each.events if event[0] == "exhausted"] for each in (faked, real)] == [[("exhausted", "")]] * 2


# -- without a real thing beside it: what would take time ----------------------------------------------------------------


@pytest.fixture
def url() -> str:
    """Where no server is."""
    return "http://nowhere.example/x"


def client_on(clock: FakeClock, **settings: Any) -> Client:
    return Client(clock=clock, keeper=False, trust_env=False, **settings)


def test_a_slow_body_comes_whole_where_no_timeout_minds_and_no_time_is_spent(url: str, clock: FakeClock) -> None:
    with Fake() as fake, client_on(clock, timeout=Timeouts(read=2)) as client:
        fake.get(url).fails("slow drip", content=b"drop by drop", every=1.9)

        assert client.get(url).content == b"drop by drop"
    assert clock() == 1000.0


@pytest.mark.parametrize(
    ("timeouts", "expected", "came"),
    [
        (Timeouts(read=0.5), holdfast.BodyReadTimeout, "0 of 12 bytes"),
        (Timeouts(read=2, total=3.5), holdfast.TotalTimeout, "3 of 12 bytes"),
    ],
)
def test_a_slow_body_is_ended_by_the_timeouts_as_the_clock_of_the_call_has_it(
    url: str, clock: FakeClock, timeouts: Timeouts, expected: type[Exception], came: str
) -> None:
    with Fake() as fake, client_on(clock, timeout=timeouts) as client:
        fake.get(url).fails("slow drip", content=b"drop by drop", every=1)

        with pytest.raises(expected, match=came):
            client.get(url)


def test_what_a_redirect_has_waited_counts_for_the_whole_call(url: str, clock: FakeClock) -> None:
    with Fake() as fake, client_on(clock, timeout=Timeouts(read=10, total=7)) as client:
        fake.get(url).responds(302, headers={"Location": "/y"}, delay=4)
        fake.get("http://nowhere.example/y").responds(delay=4)

        with pytest.raises(holdfast.TotalTimeout, match="the call's total of 7 s"):
            client.get(url)


def test_what_retries_wait_counts_and_takes_no_time(url: str, clock: FakeClock) -> None:
    retries = holdfast.Retries(attempts=3, backoff=20)
    with Fake() as fake, Client(clock=clock, keeper=False, retries=retries) as client:
        fake.get(url).answers(503, 503, 200, 503, 503)

        assert client.get(url).status_code == 200
        with pytest.raises(holdfast.TotalTimeout, match="total of 50 s was used up while waiting to try again"):
            client.get(url, timeout=Timeouts(total=50))
    assert clock() == 1000.0


def test_a_clients_own_sleep_is_asked_all_the_same(url: str) -> None:
    slept: list[float] = []
    with Fake() as fake, Client(sleep=slept.append, retries=holdfast.Retries(attempts=1, backoff=20)) as client:
        fake.get(url).answers(503, 200)
        client.get(url)

    assert slept == [20]


@pytest.mark.parametrize("phase", ["pool", "connect", "write", "read", "body", "total"])
def test_a_timeout_that_a_call_does_not_have_is_no_failure_of_it(url: str, phase: str) -> None:
    fake = Fake()
    fake.get(url).fails("timeout", phase=phase)
    message = r"this call has no timeouts\.\w+, and would wait for ever"
    with Client(timeout=None) as client, pytest.raises(AssertionError, match=message), fake:
        client.get(url)


def test_limits_without_a_bound_exhaust_no_pool(url: str) -> None:
    fake, limits = Fake(), Limits(max_connections_per_origin=None)
    fake.get(url).fails("timeout", phase="pool")
    with Client(limits=limits) as client, pytest.raises(AssertionError, match="Limits have no bound"), fake:
        client.get(url)


def test_a_total_limit_exhausts_the_pool_as_well(url: str) -> None:
    with Fake() as fake, Client(limits=Limits(max_connections=2, max_connections_per_origin=None)) as client:
        fake.get(url).fails("timeout", phase="pool")

        with pytest.raises(holdfast.PoolTimeout, match="2 of at most 2 in all"):
            client.get(url)


def test_connections_that_other_calls_take_meanwhile_exhaust_the_pool_as_well(url: str) -> None:
    held: list[holdfast.Response] = []
    once = iter([True])

    def take(event: holdfast.PoolEvent) -> None:
        if event.kind == "opened" and next(once, False):
            held.append(client.get("http://other.example/", stream=True))

    with Fake() as fake, Client(limits=Limits(max_connections=3, max_connections_per_origin=None)) as client:
        fake.get(url).fails("timeout", phase="pool")
        fake.get("http://other.example/").responds(content=[b"held"])
        client.on_event(take)

        with pytest.raises(holdfast.PoolTimeout, match=r"2 in use .* 3 of at most 3 in all"):
            client.get(url)
        assert held[0].content == b"held"


def test_the_answer_to_a_head_drips_nothing(url: str) -> None:
    with Fake() as fake:
        fake.head(url).fails("slow drip", content=b"abc", every=10**9)

        assert holdfast.head(url).headers["Content-Length"] == "3"
    holdfast.close()


def test_a_total_that_is_over_while_a_connection_is_waited_for_or_opened_says_so(url: str) -> None:
    for phase, words in (("pool", "waiting for a free connection"), ("connect", "connecting")):
        with Fake() as fake, Client(timeout=Timeouts(total=3)) as client:
            fake.get(url).fails("timeout", phase=phase)

            with pytest.raises(holdfast.TotalTimeout, match=f"total of 3 s was used up while {words}"):
                client.get(url)


def test_a_connection_is_put_there_for_a_failure_of_kept_ones(url: str) -> None:
    with Fake() as fake, Client() as client:
        fake.get(url).answers(failures.request_timeout(), 200)
        fake.post(url).answers(failures.stale_before_use(), 201)

        answer, posted = client.get(url), client.post(url)
        tried = answer.connection_info
    assert tried is not None
    assert [attempt.reused for attempt in tried.attempts] == [True]
    assert (answer.attempts, posted.attempts, client.stats().total.closed["stale"]) == (2, 1, 1)


def test_a_connection_that_is_kept_does_not_help_against_a_failure_of_opening_one(url: str) -> None:
    with Fake() as fake, Client() as client:
        fake.get(url).answers(200, failures.connection_refused(), 200)

        assert client.get(url).status_code == 200
        with pytest.raises(holdfast.ConnectionError, match="refused"):
            client.get(url)
        assert client.get(url).status_code == 200
        assert client.stats().total.reused == 1, "it was kept all the while"


def test_a_request_that_cannot_be_sent_again_for_want_of_a_connection_says_what_was_before(url: str) -> None:
    with Fake() as fake, Client() as client:
        fake.get(url).answers(failures.lost_after_delivery(), failures.connection_refused())

        with pytest.raises(holdfast.ConnectionLost, match="cannot be sent again: cannot connect") as caught:
            client.get(url)
    assert caught.value.may_have_executed
    assert fake.calls[0].sent == 1


def test_a_failure_of_a_calls_beginning_is_none_of_its_second_sending(url: str) -> None:
    fake = Fake()
    fake.get(url).answers(failures.lost_after_delivery(), failures.timeout("pool"))
    with Client() as client, pytest.raises(AssertionError, match="the request of this one is being sent again"), fake:
        client.get(url)


def test_names_of_failures_may_have_spaces_and_unknown_ones_are_refused_with_those_there_are() -> None:
    assert failures.named("lost after delivery", kept=True).kept
    with pytest.raises(ValueError, match=r"there is no failure 'lost'; there are body_cut_short, .*timeout"):
        failures.named("lost")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: failures.named("timeout", phase="dns"), "expected one of pool, connect, write, read, body, total"),
        (lambda: failures.body_cut_short(b"abc", after=3), "the body has 3 bytes, and fewer must come"),
        (lambda: failures.slow_drip(b"abc", every=-1), "expected seconds"),
        (lambda: failures.slow_drip(b"abc", every=1, size=0), "bytes above 0"),
    ],
)
def test_a_failure_that_makes_no_sense_is_refused_at_once(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_the_table_has_every_failure() -> None:
    named = re.findall(r"^(\w+)  +\w", str(failures.__doc__), re.MULTILINE)

    assert sorted(named) == sorted(set(failures.__all__) - {"Failure"} | {"name"})

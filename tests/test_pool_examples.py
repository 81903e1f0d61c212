"""The examples about the pool's life do what they say: the crawler, the service, the pool of SQLite connections, the fan-out."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import holdfast
from examples import crawler, fan_out_dask, pool_of_anything, pool_of_postgres
from holdfast import Client, Limits
from holdfast.pool.pool import Pool, PoolEvent
from holdfast.pool.words import PoolClosed
from tests.conftest import FakeClock
from tests.server import Conn, Home, Server, ok, redirect
from tests.support import QUICK, eventually, finished, free_port, script

EXAMPLES = Path(crawler.__file__).parent


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def run(source: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python code in a process of its own, as a user would start a script."""
    return subprocess.run(
        [sys.executable, "-c", source, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(EXAMPLES), *sys.path])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# -- the pool of anything ----------------------------------------------------------------------------------------------

OF_HTTP = re.compile(r"http|request|response|stream|timeouts\.|client|\burls?\b|headers?\b|\b(tcp|tls|dns)\b", re.IGNORECASE)


def refusal(kind: type[Exception], function: Callable[..., object], *args: Any, **kwargs: Any) -> str:
    """The sentence with which ``function`` fails."""
    with pytest.raises(kind) as caught:
        function(*args, **kwargs)
    return str(caught.value)


def test_a_pool_of_database_connections_says_nothing_of_http(
    tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    path = str(tmp_path / "bank.db")
    opening = threading.Event()

    def connect(path: str, until: float | None) -> sqlite3.Connection:
        assert opening.wait(5)
        return pool_of_anything.connect(path, until)

    limits = Limits(max_connections_per_origin=1, leak_after=60)
    database: pool_of_anything.Database = Pool(connect, pool_of_anything.probe, pool_of_anything.close, limits=limits, clock=clock)
    told: list[PoolEvent] = []
    database.on_event(told.append)
    said = [refusal(holdfast.ConnectTimeout, database.acquire, path, connect=0.001)]
    opening.set()

    held = database.acquire(path, purpose="a transaction")
    for _ in range(2):
        database.sweep(clock())
        clock.advance(61)
    said.append(refusal(holdfast.PoolTimeout, database.acquire, path, wait=0))
    with ThreadPoolExecutor(1) as executor:
        late = executor.submit(database.acquire, path)
        eventually(lambda: database.stats().waiting == 1, "a thread that waits")
        clock.advance(2)
        held.release()
        held = late.result(5)
    held.note_borrower()
    said.append(refusal(holdfast.PoolTimeout, database.acquire, path, wait=0))
    del late
    with pytest.warns(ResourceWarning) as warned:
        del held
    database.sweep(clock())
    said += [str(warning.message) for warning in warned] + [str(advice) for advice in database.advise()]
    database.close()
    said += [refusal(PoolClosed, database.acquire, path), refusal(PoolClosed, database.warm, path, 1)]
    said += [event.text for event in told] + [record.getMessage() for record in caplog.records]

    assert {event.kind for event in told} >= {"exhausted", "waited", "held", "leaked", "saturated"}
    assert len([text for text in said if text]) > 12
    here = str(EXAMPLES.parent)  # which a user may call what they like, as the folder of the database
    assert [text for text in said if OF_HTTP.search(text.replace(path, "").replace(here, ""))] == []


# -- the crawler -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_leaks")
def test_the_crawler_fetches_its_own_site_once_and_within_its_limit(capsys: pytest.CaptureFixture[str]) -> None:
    assert crawler.main(["--threads", "6", "--connections", "3", "--every", "0.2", "--pages", "40"]) == 0

    *figures, outcomes, advice = capsys.readouterr().out.splitlines()
    assert len(figures) >= 2, "a line now and then, and one at the end"
    assert all(re.fullmatch(r" *\d+ pages, .* active, .* waiting: \d now, \d+ so far, \d+ ms at most .*", line) for line in figures)
    assert "   40 pages" in figures[-1]
    assert re.search(r"0 active, ([123]) idle, \1 opened", figures[-1])
    assert outcomes == "outcomes: 39 × 200, 1 × 404"
    assert re.search(r"\d+ connections suffice .* 3 allowed", advice)


@pytest.mark.usefixtures("no_leaks")
def test_the_crawler_stays_on_its_sites_and_survives_what_it_finds(capsys: pytest.CaptureFixture[str]) -> None:
    def site(conn: Conn) -> None:
        for request in conn.read_requests():
            conn.send(pages(conn.server).get(request.target, ok(b"not a page", "Content-Type: image/png")))
            if request.target == "/cut":
                return

    def pages(server: Home) -> dict[str, bytes]:
        links = [
            "/",
            "#top",
            "a?b=c",
            "/moved",
            "/picture",
            "/cut",
            "ftp://x/",
            "http://[::",
            "mailto:a@b",
            "http://other.example/",
        ]
        body = "".join(f"<a name=x href='{link}'>there</a>" for link in [*links, server.url("/a?b=c")]).encode()
        return {
            "/": ok(body, "Content-Type: text/html"),
            "/a?b=c": ok(b"<a>nowhere</a>", "Content-Type: text/html"),
            "/moved": redirect("/"),
            "/cut": ok(b"<p>" * 100, "Content-Type: text/html")[:-1],
        }

    with Server(site) as server:
        assert crawler.main([server.url(), "--threads", "2"]) == 0
        targets = sorted(request.target for request in server.requests)

    assert targets == ["/", "/", "/a?b=c", "/cut", "/moved", "/picture"], "the second / is where /moved leads"
    assert "outcomes: 4 × 200, 1 × IncompleteBody" in capsys.readouterr().out


def test_the_crawler_reads_only_so_much_of_a_page() -> None:
    def long_page(conn: Conn) -> None:
        conn.expect_request()
        conn.send(ok(bytes(300_000)))

    with Server(long_page) as server, holdfast.Client() as client, client.get(server.url(), stream=True) as response:
        pieces = list(crawler.first_bytes(response, 100_000))
    assert 100_000 <= sum(map(len, pieces)) < 200_000


def test_where_nobody_answers_the_crawler_fails(capsys: pytest.CaptureFixture[str]) -> None:
    with Server() as server:
        url = server.url()
    assert crawler.main([url]) == 1

    assert "outcomes: 1 × no connection" in capsys.readouterr().out


@pytest.mark.usefixtures("no_leaks")
def test_a_crawl_that_is_interrupted_ends() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with crawler.embedded_site() as url, holdfast.Client() as client, pytest.raises(KeyboardInterrupt):
        crawler.Crawl(client, [url], 1000).run(2, 0.05, interrupt)


# -- the pool of SQLite connections ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_leaks")
def test_sqlite_connections_are_shared_replaced_and_none_is_lost(capsys: pytest.CaptureFixture[str]) -> None:
    assert pool_of_anything.main(["--threads", "6", "--connections", "2", "--deposits", "50"]) == 0

    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines[-1] == "balance: 50"
    assert 1 <= lines[: lines.index("50 transactions in 6 threads:")].count("opened") <= 2
    assert "closed broken" in lines
    assert "closed stale" in lines
    assert [line for line in lines if line.startswith("After an error (no such table: nowhere)")]
    assert re.fullmatch(r"54 uses of [234] connections, \d+% reused; closed: 1 broken, 1 stale", lines[-4])


# -- the pool of PostgreSQL connections --------------------------------------------------------------------------------

needs_postgres = pytest.mark.skipif(
    pool_of_postgres.programs() is None or importlib.util.find_spec("psycopg") is None,
    reason="needs PostgreSQL: apt-get install postgresql; pip install 'holdfast-http[postgres]'",
)


@needs_postgres
@pytest.mark.usefixtures("no_leaks")
def test_postgres_connections_are_looked_at_for_nothing_and_survive_a_restart(capsys: pytest.CaptureFixture[str]) -> None:
    assert pool_of_postgres.main(["--threads", "6", "--connections", "3", "--deposits", "120"]) == 0

    look, and_then, quiet, stale, _, committed, failed, uses = capsys.readouterr().out.splitlines()
    assert look == "round trips of a transaction: 3 on a connection of its own, 3 on one of the pool,"
    assert and_then == "  which looks at it before; 4 where a SELECT 1 is sent before"
    assert quiet == "a restart while nothing is under way, then 50 transactions: 0 failed,"
    assert stale == "  3 connections were found stale before they were used"
    done, afterwards = map(int, re.findall(r"\d+", committed))
    lost, under_way, _ = map(int, re.findall(r"\d+", failed))
    assert done + lost == 120
    assert afterwards > 0
    assert lost == under_way <= 3
    assert "3 stale" in uses


@needs_postgres
def test_a_pool_that_does_not_look_fails_the_demonstration(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pool_of_postgres, "probe", lambda connection: None)

    assert pool_of_postgres.main(["--deposits", "30"]) == 1


@pytest.mark.parametrize(
    ("missing", "said"), [("programs", "apt-get install postgresql"), ("psycopg", "pip install -e '.[postgres]'")]
)
def test_without_postgres_the_example_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], missing: str, said: str
) -> None:
    monkeypatch.setattr(pool_of_postgres, "programs", lambda: None if missing == "programs" else Path("/usr/bin"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if missing == "psycopg" else object())

    assert pool_of_postgres.main([]) == 2
    assert capsys.readouterr().err.endswith(f"{said}\n")


# -- the service and the fan-out ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "library", "extra"), [("service", "prometheus_client", "prometheus"), ("fan_out_dask", "distributed", "dask")]
)
def test_without_its_library_an_example_says_what_to_install(script: str, library: str, extra: str) -> None:
    done = run(f"import sys; sys.modules[{library!r}] = None; import {script}; sys.exit({script}.main([]))")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith(f"pip install -e '.[{extra}]'\n")
    assert done.stderr.count("\n") == 1


def test_the_service_has_a_site_of_its_own_and_ends_when_it_is_told() -> None:
    pytest.importorskip("prometheus_client", reason="needs prometheus-client: pip install 'holdfast-http[prometheus]'")
    source = """
import os, signal, sys, threading, service, holdfast
def ask(url):
    with holdfast.Client() as client:
        said = [client.get(url + path) for path in ("0", "stats", "none/such")]
        print([(each.status_code, each.headers["Content-Type"]) for each in said], said[1].json()["total"]["requests"])
    os.kill(os.getpid(), signal.SIGINT)
class Told(service.Service):
    def serve_forever(self, poll_interval):
        threading.Thread(target=ask, args=(f"http://127.0.0.1:{self.server_port}/",)).start()
        super().serve_forever(poll_interval)
service.Service = Told
sys.exit(service.main([]))
"""
    done = run(source)

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    html, json = "text/html; charset=utf-8", "application/json"
    assert done.stdout.splitlines()[1:] == [f"{[(200, html), (200, json), (404, html)]} 1", "ended"]


def test_the_service_says_that_it_is_too_busy_or_that_nobody_is_behind_it() -> None:
    pytest.importorskip("prometheus_client", reason="needs prometheus-client: pip install 'holdfast-http[prometheus]'")
    source = """
import os, signal, sys, threading, service, holdfast
def ask(url):
    with holdfast.Client() as client:
        said = [client.get(url + "x"), client.get(url + "x")]
        print([(each.status_code, ' '.join(each.text.split()[:2])) for each in said])
    os.kill(os.getpid(), signal.SIGTERM)
class Told(service.Service):
    def serve_forever(self, poll_interval):
        threading.Thread(target=ask, args=(f"http://127.0.0.1:{self.server_port}/",)).start()
        super().serve_forever(poll_interval)
service.Service = Told
service.client = holdfast.Client(limits=holdfast.Limits(max_connections_per_origin=1), timeout=holdfast.Timeouts(pool=0.01))
if sys.argv[2]:
    held = service.client.get(sys.argv[1], stream=True)
sys.exit(service.main([sys.argv[1]]))
"""

    def half(conn: Conn) -> None:
        conn.expect_request()
        conn.send(ok(bytes(100_000))[:-1])
        conn.wait_closed()

    with Server(half) as server, ThreadPoolExecutor() as at_once:
        with_a_site = at_once.submit(run, source, server.url(), "busy")
        nobody = run(source, f"http://127.0.0.1:{free_port()}/", "")
        busy = with_a_site.result()

    assert busy.stdout.splitlines()[1:] == ["[(503, 'no connection'), (503, 'no connection')]", "ended"]
    assert nobody.stdout.splitlines()[1:] == ["[(502, 'no answer'), (502, 'no answer')]", "ended"]
    assert nobody.stderr.count("WARNING service: cannot connect to") == 2


@contextlib.contextmanager
def service(upstream: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The example service in front of ``upstream``, and where it listens."""
    path = str(EXAMPLES / "service.py")
    process = script("import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')", path, upstream)
    assert process.stdout is not None
    try:
        line: str = process.stdout.readline()
        assert line.startswith("listening on "), process.communicate()[1]
        yield line.split()[2].rstrip(","), process
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


@pytest.mark.usefixtures("no_leaks")
def test_the_example_service_answers_who_is_under_way_before_it_ends() -> None:
    pytest.importorskip("prometheus_client", reason="needs prometheus-client: pip install 'holdfast-http[prometheus]'")
    go = threading.Event()

    def slow(conn: Conn) -> None:
        conn.expect_request()
        conn.wait(go)
        conn.send(ok(b"in the end"))
        conn.wait_closed()

    with Server(slow) as site, Client(timeout=QUICK) as client, service(site.url()) as (url, process):
        said: list[str] = []
        caller = threading.Thread(target=lambda: said.append(client.get(url + "slow").text))
        caller.start()
        site.wait_for_requests(1)
        process.send_signal(signal.SIGTERM)
        eventually(lambda: refused(url), "no new callers")
        go.set()
        caller.join(5)
        assert finished(process) == "ended\n"
        assert site.conn(0).ending == "fin"

    assert said == ["in the end"]


def refused(url: str) -> bool:
    """Whether nobody listens there any more."""
    host, _, port = url.removeprefix("http://").rstrip("/").partition(":")
    try:
        socket.create_connection((host, int(port)), 5).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        pass  # just now
    return False


@pytest.mark.skipif(importlib.util.find_spec("distributed") is None, reason="needs Dask: pip install 'holdfast-http[dask]'")
def test_each_dask_worker_has_a_client_of_its_own_and_the_calls_of_a_worker_share_its_connections() -> None:
    with Server() as server:
        done = subprocess.run(
            [sys.executable, str(EXAMPLES / "fan_out_dask.py"), server.url(), "--calls", "60"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        requests = server.requests

    assert done.returncode == 0, done.stderr
    *workers, here, answers = done.stdout.splitlines()
    calls = [re.fullmatch(r"process (\d+): (\d+) calls; .* (\d+) requests on (\d+) connections, .*", line) for line in workers]
    figures = [tuple(map(int, match.groups())) for match in calls if match]
    assert len({pid for pid, *_ in figures}) == 2
    assert [made for _, made, _, _ in figures] == [counted for _, _, counted, _ in figures], (done.stdout, done.stderr)
    assert sum(made for _, made, _, _ in figures) == len(requests) == 60
    connections = sum(opened for *_, opened in figures)
    assert connections == len({request.connection for request in requests}) <= 4
    assert "0 requests on 0 connections" in here
    assert answers == "answers: 60 × 200"


def test_the_fan_out_has_the_crawlers_site_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)  # as if it were run as a script
    with fan_out_dask.site() as url, Client(timeout=QUICK) as client:
        assert client.get(url).ok

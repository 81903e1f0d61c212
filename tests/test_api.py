"""The module-level functions: they share connections, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator

import pytest

import holdfast
from holdfast import api
from tests.server import Server, echo, ok, redirect, replies


@pytest.fixture
def server(no_leaks: None) -> Iterator[Server]:
    with Server(echo) as running:
        yield running
        holdfast.configure()
        holdfast.close()


def test_a_loop_of_module_level_calls_uses_one_connection(server: Server) -> None:
    for _ in range(5):
        assert holdfast.get(server.url("/")).ok

    assert server.connections == 1
    assert (holdfast.stats().created, holdfast.stats().requests) == (1, 5)


@pytest.mark.parametrize(
    ("call", "method"),
    [
        (lambda url: holdfast.get(url, {"q": "1"}), "GET"),
        (lambda url: holdfast.options(url), "OPTIONS"),
        (lambda url: holdfast.head(url), "HEAD"),
        (lambda url: holdfast.post(url, b"x"), "POST"),
        (lambda url: holdfast.put(url, b"x"), "PUT"),
        (lambda url: holdfast.patch(url, b"x"), "PATCH"),
        (lambda url: holdfast.delete(url), "DELETE"),
        (lambda url: holdfast.request("REPORT", url), "REPORT"),
    ],
)
def test_every_verb_is_there(server: Server, call: Callable[[str], object], method: str) -> None:
    call(server.url("/"))

    assert server.requests[0].method == method


def test_calls_share_no_cookies(no_leaks: None) -> None:
    with Server(replies(ok(b"", "Set-Cookie: id=1"), ok())) as server:
        first = holdfast.get(server.url("/"))
        holdfast.get(server.url("/"))
        holdfast.close()

        assert first.cookies["id"] == "1"
        assert (server.requests[1].get("Cookie"), server.requests[1].connection) == ("", 0)


def test_a_calls_own_redirects_do_share_cookies(no_leaks: None) -> None:
    with Server(replies(redirect("/next")[:-2] + b"Set-Cookie: id=1\r\n\r\n", ok())) as server:
        holdfast.get(server.url("/"))
        holdfast.close()

        assert server.requests[1].get("Cookie") == "id=1"


def test_calls_share_no_headers_or_auth(server: Server) -> None:
    holdfast.get(server.url("/"), headers={"X-A": "1"}, auth=("a", "b"))
    holdfast.get(server.url("/"))

    assert (server.requests[1].get("X-A"), server.requests[1].get("Authorization")) == ("", "")


def test_close_closes_and_the_next_call_opens_again(server: Server) -> None:
    holdfast.get(server.url("/"))
    holdfast.close()
    holdfast.close()
    holdfast.get(server.url("/"))

    assert server.connections == 2


def test_configure_sets_what_the_module_level_calls_use(server: Server) -> None:
    holdfast.configure(limits=holdfast.Limits(max_connections_per_origin=3), timeout=7)
    holdfast.get(server.url("/"))

    assert api.shared_client().limits.max_connections_per_origin == 3
    assert api.shared_client().timeout.read == 7


def test_what_was_configured_holds_after_close(server: Server) -> None:
    holdfast.configure(headers={"X-Mine": "1"}, max_decoded=10, secret_headers=["X-Mine"])
    holdfast.close()
    holdfast.get(server.url("/"))

    client = api.shared_client()
    assert server.requests[0].get("X-Mine") == "1"
    assert (client.max_decoded, client.secret_headers) == (10, frozenset({"x-mine"}))


def test_configuring_nothing_is_the_way_back(server: Server) -> None:
    holdfast.configure(headers={"X-Mine": "1"})
    holdfast.configure()
    holdfast.get(server.url("/"))

    assert server.requests[0].get("X-Mine") == ""


def test_cookies_that_were_configured_go_with_every_call_and_what_servers_set_lives_for_one(no_leaks: None) -> None:
    with Server(replies(*[ok(b"", "Set-Cookie: theirs=1")] * 2)) as server:
        holdfast.configure(cookies={"ours": "1"})
        holdfast.get(server.url("/"))
        holdfast.get(server.url("/"))
        holdfast.configure()
        holdfast.close()

        assert [request.get("Cookie") for request in server.requests] == ["ours=1", "ours=1"]


def test_a_call_that_has_sent_nothing_begins_again_when_another_thread_closes_the_client_it_took(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = api.shared_client()

    def close_once() -> holdfast.Client:
        monkeypatch.undo()
        holdfast.close()  # as another thread would, between taking the client and asking it
        return taken

    monkeypatch.setattr(api, "shared_client", close_once)

    assert holdfast.post(server.url("/"), b"x").ok
    assert len(server.requests) == 1


def test_a_call_that_was_answered_once_does_not_begin_again(no_leaks: None) -> None:
    """The POST was redirected, and the client closed on the way: a second POST would be executed twice."""

    def closing(response: holdfast.Response, **_: object) -> None:
        holdfast.close()

    with Server(replies(redirect("/next", status=307))) as server:
        with pytest.raises(holdfast.ClientClosed) as caught:
            holdfast.post(server.url("/"), b"x", hooks={"response": closing})

        assert caught.value.may_have_executed
        assert len(server.requests) == 1


def test_configure_with_a_mistake_leaves_everything_as_it_was(server: Server) -> None:
    holdfast.get(server.url("/"))
    with pytest.raises(ValueError, match="timeout"):
        holdfast.configure(timeout=-1)
    holdfast.get(server.url("/"))

    assert server.connections == 1


def test_threads_that_begin_at_once_make_one_client(server: Server) -> None:
    barrier = threading.Barrier(8)
    clients: set[int] = set()

    def work() -> None:
        barrier.wait()
        clients.add(id(api.shared_client()))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(clients) == 1


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-X", "dev", "-c", textwrap.dedent(program), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_a_program_that_never_closes_anything_ends_without_a_word(server: Server) -> None:
    ended = run("import sys, holdfast; print(holdfast.get(sys.argv[1]).status_code)", server.url("/"))

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "200\n", "")


def test_a_request_from_an_atexit_handler_still_works(server: Server) -> None:
    program = """
        import atexit, sys, holdfast
        holdfast.get(sys.argv[1])
        def last():
            print(holdfast.get(sys.argv[1]).status_code)
            holdfast.close()
        atexit.register(last)
    """
    ended = run(program, server.url("/"))

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "200\n", "")


@pytest.mark.needs("fork")
def test_a_forked_child_opens_its_own_connections_and_the_parent_keeps_its(server: Server) -> None:
    program = """
        import os, sys, holdfast
        url = sys.argv[1]
        first = holdfast.get(url).json()["connection"]
        children = []
        for _ in range(4):
            pid = os.fork()
            if pid == 0:
                mine = {holdfast.get(url).json()["connection"] for _ in range(5)}
                os._exit(0 if len(mine) == 1 and first not in mine else 1)
            children.append(pid)
        again = {holdfast.get(url).json()["connection"] for _ in range(5)}
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
        print(again == {first}, codes)
    """
    ended = run(program, server.url("/"))

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "True [0, 0, 0, 0]\n", "")
    assert server.connections == 5

"""The quickstart measures what it says: its table against another server's ledger, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import holdfast
from examples import quickstart
from tests.server import Server

SCRIPT = Path(quickstart.__file__)
CALLS = 12


def rows(printed: str) -> dict[str, list[str]]:
    """The table's rows by their name, each cut into its seven cells."""
    found = {}
    for name in quickstart.WAYS:
        line = next((line for line in printed.splitlines() if line.startswith(name)), None)
        if line is not None:
            found[name] = line[len(name) :].split()
    return found


@pytest.mark.usefixtures("no_leaks")
def test_kept_alive_calls_open_one_connection_and_one_off_calls_open_one_each(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert quickstart.main(["--calls", str(CALLS)]) == 0

    found = rows(capsys.readouterr().out)
    one_off, looped = found["a new holdfast.Client per call"], found["holdfast.get, in a loop"]
    assert one_off[3:] == ["12", "12", "11", "0%"]  # all but the first resume the TLS session
    assert looped[3] == looped[4] == "1"
    assert looped[6] == "92%"
    assert found["requests.get, one-off"][3:] == ["12", "12", "0", "0%"]
    assert 1 <= int(found["one holdfast.Client, 8 threads"][3]) <= CALLS


@pytest.mark.usefixtures("no_leaks")
def test_the_calls_after_the_server_closed_the_connection_succeed(capsys: pytest.CaptureFixture[str]) -> None:
    with quickstart.embedded_server() as (server, verify):
        quickstart.replace_stale(server, verify)

        assert server.seen().connections == 3
    printed = capsys.readouterr().out
    assert printed.count("the server closed 1 idle connection") == 2
    assert "GET: 200 OK" in printed
    assert "POST: 200 OK" in printed
    assert "3 calls on 3 connections; found closed before a byte was sent: 2 stale" in printed


def test_given_urls_are_called_in_turn_and_what_nobody_counted_is_a_dash(capsys: pytest.CaptureFixture[str]) -> None:
    with Server() as server:
        assert quickstart.main([server.url("/a"), server.url("/b"), "--calls", "5"]) == 0

        targets = [request.target for request in server.requests]
    found = rows(capsys.readouterr().out)
    assert found["holdfast.get, in a loop"][3:] == ["1", "0", "-", "80%"]
    assert found["requests.get, one-off"][3:] == ["-", "-", "-", "-"]
    assert targets[:5] == ["/a", "/b", "/a", "/b", "/a"]
    assert len(targets) == 5 * len(quickstart.WAYS)


def test_a_client_that_disagrees_with_the_server_about_its_connections_is_an_error() -> None:
    def liar(job: quickstart.Job) -> list[holdfast.PoolStats]:
        with holdfast.Client(verify=job.verify) as client:
            client.get(job.urls[0])
        with holdfast.Client() as unused:
            return [unused.stats()]

    with (
        quickstart.embedded_server() as (server, verify),
        pytest.raises(RuntimeError, match="the client says 0 connections, the server 1"),
    ):
        quickstart.measure("liar", liar, quickstart.Job([server.url], 1, verify), server)


def test_fewer_calls_than_one_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        quickstart.main(["--calls", "0"])

    assert "--calls: at least 1" in capsys.readouterr().err


def test_without_requests_its_row_is_left_out_and_without_trustme_it_says_what_to_install() -> None:
    source = (
        "import sys; sys.modules.update({'requests': None, 'trustme': None}); sys.argv[1:] = []; "
        "from examples import quickstart; assert len(quickstart.available()) == 3; quickstart.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", source],
        cwd=SCRIPT.parents[1],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    assert "pip install -e '.[examples]'" in done.stderr

"""A client and processes: it is used on both sides of a fork, it travels as a pickle, and it ends with its interpreter."""

from __future__ import annotations

import json
import os
import pickle
import select
import socket
import sys
import threading

import pytest

from holdfast import Client, Limits
from tests.conftest import Tls
from tests.server import Conn, Server, echo, head, ok
from tests.support import QUICK, eventually, finished, holding, script

# -- forks -------------------------------------------------------------------------------------------------------------


FAMILY = """
import json, os, sys, threading
import holdfast
url, ca = sys.argv[1:]
client = holdfast.Client(verify=ca, timeout=10)

def work(who, seen):
    for number in range(25):
        nonce = f"{who}-{number}"
        said = client.get(url, headers={"X-Nonce": nonce})
        assert said.headers["X-Nonce"] == nonce, (said.headers["X-Nonce"], nonce)
        assert ["X-Nonce", nonce] in said.json()["headers"]
        seen.add(said.json()["connection"])

def process(who):
    seen = set()
    threads = [threading.Thread(target=work, args=(f"{who}.{n}", seen)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    total = client.stats().total
    assert (total.requests, total.active, total.waiting) == (before + 50, 0, 0), total
    return sorted(seen)

before = 0
client.warm(url, 2)
work("before", set())
before = 25
reads, writes = os.pipe()
children = []
for child in range(4):
    pid = os.fork()
    if not pid:
        before = 0
        os.write(writes, json.dumps(process(child)).encode() + b"\\n")
        sys.exit(0)
    children.append(pid)
mine = process("parent")
for pid in children:
    assert os.waitpid(pid, 0)[1] == 0
os.close(writes)
with os.fdopen(reads) as lines:
    print(json.dumps([mine, *map(json.loads, lines)]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.usefixtures("no_leaks")
def test_a_parent_and_four_children_use_one_client_at_once_and_share_no_connection(tls: Tls) -> None:
    with Server(echo, tls=tls.server_context()) as server:
        connections: list[list[int]] = json.loads(finished(script(FAMILY, server.url(), tls.ca_path)))
        requests = server.requests

    assert len(connections) == 5
    used = [number for each in connections for number in each]
    assert len(used) == len(set(used)), f"a connection was shared: {connections}"
    assert len(requests) == 25 + 5 * 50
    assert set(connections[0]) <= {0, 1, 2}, "the parent kept what it had"


STEPS = """
import gc, os, sys
import holdfast
url, ca, proxy = sys.argv[1:]
client = holdfast.Client(verify=ca, timeout=10, proxies={"https": proxy} if proxy else None)

def step():
    print(flush=True)
    sys.stdin.readline()

def call():
    assert client.get(url).status_code == 200

held = client.get(url + "hold", stream=True)  # connection 0, in use at the fork
call()  # connection 1, idle at the fork
step()
call()
step()
pid = os.fork()
if not pid:
    held.close()
    call()  # connection 2
    assert client.stats().created == 1, client.stats()
    client.close()
    del held, client
    gc.collect()
    sys.exit(0)
assert os.waitpid(pid, 0)[1] == 0
step()
call()
assert held.content == b"all of it"
step()
"""


class Relay:
    """Passes on what a client sends to a server, and counts it, by connection."""

    def __init__(self, server: Server) -> None:
        self.sent: dict[int, bytes] = {}
        self.ended: list[int] = []
        self._server = server

    def script(self, conn: Conn) -> None:
        """For plain connections, and for tunnels: the bytes of TLS as they are on the wire."""
        tunnel = self._server.tls is not None
        if tunnel:
            assert conn.expect_request().method == "CONNECT"
            conn.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        self.sent[conn.number] = b""
        with socket.create_connection(self._server.address, 5) as other:
            sources = {conn.sock: other, other: conn.sock}
            while True:
                for source in select.select(list(sources), [], [])[0]:
                    data = source.recv(65536)
                    if source is conn.sock:
                        self.sent[conn.number] += data
                    if not data:
                        self.ended.append(conn.number)
                        return
                    sources[source].sendall(data)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.usefixtures("no_leaks")
def test_a_child_sends_not_one_byte_on_its_parents_connections(tls: Tls, secure: bool) -> None:
    rest = threading.Event()

    def server_script(conn: Conn) -> None:
        for request in conn.read_requests():
            if request.target == "/hold":
                conn.send(head(200, "Content-Length: 9") + b"all")
                conn.wait(rest)
                conn.send(b" of it")
            else:
                conn.send(ok(b"answer"))

    with Server(server_script, tls=tls.server_context() if secure else None) as server:
        relay = Relay(server)
        with Server(relay.script) as between:
            url = server.url(host="localhost") if secure else between.url()
            process = script(STEPS, url, tls.ca_path, between.url() if secure else "")
            sizes: list[dict[int, int]] = []
            for _ in range(4):
                assert process.stdout is not None
                assert process.stdin is not None
                assert process.stdout.readline() == "\n", process.communicate()[1]
                sizes.append({number: len(data) for number, data in relay.sent.items()})
                if len(sizes) == 3:
                    eventually(lambda: relay.ended, "the end of the child's connection")
                    rest.set()
                ended = list(relay.ended)
                if len(sizes) < 4:
                    process.stdin.write("\n")
                    process.stdin.flush()
            finished(process, "\n")

    one_call = sizes[1][1] - sizes[0][1]
    assert one_call > 50
    assert sizes[2][0] == sizes[1][0], "the child has closed a response of its parent's: nothing of that was sent"
    assert sizes[2][1] == sizes[1][1], "nor of the end of the client, nor of that of the process"
    assert sizes[3] == {**sizes[2], 1: sizes[2][1] + one_call}, "the parent's next call is all that came"
    assert sizes[3].keys() == {0, 1, 2}, "the child had a connection of its own"
    assert ended == [2]


# -- pickles and exits -------------------------------------------------------------------------------------------------


UNPICKLE = """
import pickle, sys
client = pickle.loads(bytes.fromhex(sys.stdin.read()))
print(client.get("/there").text, client.limits, client.stats().total.created)
client.close()
"""


def test_a_client_pickles_as_its_configuration_and_works_in_another_process(tls: Tls) -> None:
    limits = Limits(max_connections_per_origin=3, idle_timeout=7)
    with Server(holding, tls=tls.server_context()) as server:
        with Client(base_url=server.url(), verify=tls.ca_path, limits=limits, timeout=QUICK) as client:
            client.get("/here")
            output = finished(script(UNPICKLE), pickle.dumps(client).hex())
        paths = [(request.target, request.connection) for request in server.requests]

    assert output == f"/there {limits} 1\n"
    assert paths == [("/here", 0), ("/there", 1)]


AT_EXIT = """
import sys
import holdfast
plain, secure, ca = sys.argv[1:]
kept = holdfast.Client(limits=holdfast.Limits(min_idle_connections=2), verify=ca)
kept.warm(plain, 3)
kept.get(plain)
kept.get(secure)
holdfast.get(plain)
half_read = kept.get(plain + "hold", stream=True)
"""


@pytest.mark.usefixtures("no_leaks")
def test_a_process_ends_without_noise_whatever_is_open(tls: Tls) -> None:
    with Server(holding) as server, Server(echo, tls=tls.server_context()) as secure:
        assert finished(script(AT_EXIT, server.url(), secure.url(), tls.ca_path)) == ""
        server.wait_idle(4)
        secure.wait_idle(1)
        assert server.conn(1).ending == "fin"
        assert secure.conn(0).ending == "close_notify"


# -- interpreters ------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.version_info < (3, 13), reason="none that has a lock of its own, or (3.12) urllib crashes it, too")
def test_an_interpreter_without_daemon_threads_makes_calls_and_keeps_connections(tls: Tls) -> None:
    """``Thread(daemon=True)`` raises RuntimeError there, which used to come out of the first call that had a connection."""
    calls = """
import holdfast
client = holdfast.Client(verify={ca!r}, timeout=10)
print([client.get(url).status_code for url in {urls!r} for _ in range(2)], client.stats().created)
client.close()
"""
    code = """
import sys
calls = sys.argv[1]
import _interpreters as interpreters
failed = interpreters.exec(interpreters.create(), calls)
print("" if failed is None else failed.formatted, end="")
"""
    with Server() as plain, Server(tls=tls.server_context()) as secure:
        urls = [plain.url("/", host="localhost"), secure.url("/", host="localhost")]
        process = script(code, calls.format(ca=tls.ca_path, urls=urls), plain=True)  # coverage cannot end in such an interpreter
        assert finished(process) == f"{[200] * 4} 2\n"

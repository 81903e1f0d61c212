"""More threads than connections: what the queue for them costs, and whether anybody waits for too long.

    python -m benchmarks fairness [--seconds 2] [--rounds 5] [--work 0.01]

The same eight connections to one server, first with a thread for each of them, then with eight threads for each. The queue
is fair if the second way is as fast as the first and nobody's turn comes much later than anybody else's; it is right
if in the end every count is what the server has counted. The ways take turns, round by round, so that whatever else this
machine does falls on all of them; a figure of a way is the median of its rounds. The server is a process of its own, that takes
``--work`` seconds for an answer, as one does that asks a database.

The less work, the more of what is measured is how Python's threads take turns: a thread that is handed something has to be
woken, and to wait for the interpreter. How much that is, shows the third way: 64 threads which pass through the smallest
first-come-first-served gate there can be, so that the pool's own queue stays empty.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import statistics
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import holdfast
from benchmarks import table
from holdfast.pool.events import PoolEvent

CONNECTIONS = 8
FEW, MANY = 8, 64
SLOWER = 0.10  # the share of its throughput that the queue may cost
NO_GATE = nullcontext()
LONGEST = 20  # the longest wait, in median waits
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 256\r\n\r\n" + b"x" * 256


# -- the server --------------------------------------------------------------------------------------------------------


class Answers(asyncio.Protocol):
    """Answers each request after a while; counts connections, requests, and connections that have had one."""

    def __init__(self, work: float, counts: Any) -> None:
        self._work = work
        self._counts = counts
        self._data = b""
        self._used = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self._transport: Any = transport
        self._counts[0] += 1

    def data_received(self, data: bytes) -> None:
        """Part of a request."""
        self._data += data
        while b"\r\n\r\n" in self._data:
            _, _, self._data = self._data.partition(b"\r\n\r\n")
            self._counts[1] += 1
            self._counts[2] += not self._used
            self._used = True
            if self._work:
                asyncio.get_running_loop().call_later(self._work, self._transport.write, RESPONSE)
            else:
                self._transport.write(RESPONSE)


def serve(work: float, counts: Any, port: Any) -> None:
    """The server's process."""

    async def forever() -> None:
        server = await asyncio.get_running_loop().create_server(lambda: Answers(work, counts), "127.0.0.1", 0)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(forever())


@contextmanager
def running(work: float) -> Iterator[tuple[str, Any]]:
    """The server's URL, and what it has counted, as ``Answers`` says."""
    context = multiprocessing.get_context("spawn")
    counts = context.Array("q", 3)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=serve, args=(work, counts, sender), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{receiver.recv()}/", counts
    finally:
        process.terminate()
        process.join()
        for end in (receiver, sender):
            end.close()


# -- measuring ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Round:
    """What some threads got done.

    Attributes:
        calls: answered, per thread.
        seconds: it took all of them.
        cpu: seconds of the client's processor, in all.
        waits: seconds each wait for a connection took; empty where nobody listened.
        wrong: what was counted wrongly, in words.
    """

    calls: list[int]
    seconds: float
    cpu: float
    waits: list[float]
    wrong: list[str]

    @property
    def rate(self) -> float:
        """Calls per second of all threads."""
        return sum(self.calls) / self.seconds


class Gate:
    """Lets in so many at a time, in order of arrival. Nobody who leaves may come back before those who wait."""

    def __init__(self, places: int) -> None:
        self._lock = threading.Lock()
        self._places = places
        self._waiting: deque[threading.Lock] = deque()

    def __enter__(self) -> None:
        with self._lock:
            if self._places:
                self._places -= 1
                return
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        turn.acquire()

    def __exit__(self, *exc_info: object) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._places += 1


def play(
    url: str, counts: Any, threads: int, seconds: float, *, listen: bool = False, gate: Gate | nullcontext[None] = NO_GATE
) -> Round:
    """One round: so many threads call as often as they can. Whoever listens hears of every wait, which is not for nothing."""
    before = list(counts)
    waits: list[float] = []
    calls = [0] * threads
    start, stop = threading.Barrier(threads + 1), threading.Event()

    def note(event: PoolEvent) -> None:
        if event.kind == "waited" and event.seconds is not None:
            waits.append(event.seconds)

    def work(number: int) -> None:
        start.wait()
        while not stop.is_set():
            with gate:
                status = client.get(url).status_code
            if status != 200:
                raise RuntimeError(f"the server says {status}")
            calls[number] += 1

    with holdfast.Client(limits=holdfast.Limits(max_connections_per_origin=CONNECTIONS), trust_env=False) as client:
        client.warm(url, CONNECTIONS)
        if listen:
            client.on_event(note)
        workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
        for worker in workers:
            worker.start()
        start.wait()
        began, cpu = time.perf_counter(), time.process_time()
        stop.wait(seconds)
        stop.set()
        for worker in workers:
            worker.join()
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
        seen = [after - b for after, b in zip(counts, before, strict=True)]
        wrong = miscounted(client.stats().total, sum(calls), seen)
        if listen and len(waits) != client.stats().total.waits:
            wrong.append(f"{len(waits)} waits were told, {client.stats().total.waits} counted")
    return Round(calls, took, cpu, waits, wrong)


def miscounted(total: holdfast.OriginStats, calls: int, seen: Sequence[int]) -> list[str]:
    """What the client says that is not so, now that nothing is under way."""
    truth = {
        "active": 0,
        "waiting": 0,
        "connecting": 0,
        "idle": CONNECTIONS,
        "created": CONNECTIONS,
        "requests": calls,
        "reused": calls - seen[2],
        "pool_timeouts": 0,
        "leaks": 0,
    }
    wrong = [f"{name} is {getattr(total, name)}, not {number}" for name, number in truth.items() if getattr(total, name) != number]
    if list(seen[:2]) != [CONNECTIONS, calls]:
        wrong.append(f"the server saw {seen[0]} connections and {seen[1]} requests, not {CONNECTIONS} and {calls}")
    return wrong


@dataclass(frozen=True)
class Measured:
    """The rounds of each way: few threads, many, many behind a gate, and many again, whose waits were noted."""

    few: list[Round]
    many: list[Round]
    gated: list[Round]
    noted: list[Round]


def measure(work: float, seconds: float, rounds: int) -> Measured:
    """All ways, in turns."""
    found = Measured([], [], [], [])
    with running(work) as (url, counts):
        play(url, counts, FEW, 0.2)  # what happens once happens here
        for _ in range(rounds):
            found.few.append(play(url, counts, FEW, seconds))
            found.many.append(play(url, counts, MANY, seconds))
            found.gated.append(play(url, counts, MANY, seconds, gate=Gate(CONNECTIONS)))
            found.noted.append(play(url, counts, MANY, seconds, listen=True))
    return found


# -- the verdict -------------------------------------------------------------------------------------------------------

HEADINGS = ("threads", "calls/s", "CPU µs/call", "calls per thread", "waits", "median ms", "p99 ms", "longest ms", "longest/median")


def row(name: str, rounds: Sequence[Round], noted: Sequence[Round] = ()) -> tuple[str, ...]:
    """One way as text."""
    least, most = min(min(r.calls) for r in rounds), max(max(r.calls) for r in rounds)
    waits = sorted(wait for r in noted for wait in r.waits)
    times: tuple[str, ...] = ("-",) * 5
    if waits:
        median, last = statistics.median(waits), waits[-1]
        milliseconds = (f"{wait * 1e3:.2f}" for wait in (median, waits[int(len(waits) * 0.99)], last))
        times = str(len(waits)), *milliseconds, f"{last / median:.1f}"
    rate = statistics.median(r.rate for r in rounds)
    cpu = statistics.median(r.cpu / sum(r.calls) for r in rounds)
    return name, f"{rate:.0f}", f"{cpu * 1e6:.0f}", f"{least} to {most}", *times


def share(found: Sequence[Round], of: Sequence[Round]) -> float:
    """Throughput compared round by round, so that what slows both down counts for nothing."""
    return statistics.median(a.rate / b.rate for a, b in zip(found, of, strict=True))


def verdicts(found: Measured) -> list[tuple[bool, str]]:
    """Each claim, and whether it is so."""
    mine, gates = share(found.many, found.few), share(found.gated, found.few)
    ratio = max(max(r.waits) / statistics.median(r.waits) for r in found.noted)
    wrong = [text for r in (*found.few, *found.many, *found.gated, *found.noted) for text in r.wrong]
    least = f"at least {1 - SLOWER:.0%}; the smallest fair gate has {gates:.1%}"
    return [
        (mine >= 1 - SLOWER, f"{MANY} threads have {mine:.1%} of the throughput of {FEW} ({least})"),
        (ratio <= LONGEST, f"the longest wait is {ratio:.1f} times the median wait of its round (at most {LONGEST})"),
        (not wrong, "every count is exact when all is quiet" + "".join(f"; {text}" for text in wrong)),
    ]


def main() -> int:
    """Measure and print; the exit status is 0 if every claim holds."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks fairness", description="64 and 8 threads on 8 connections.")
    parser.add_argument("--seconds", type=float, default=2.0, help="that a round takes (default 2)")
    parser.add_argument("--rounds", type=int, default=5, help="of each way (default 5)")
    parser.add_argument("--work", type=float, default=0.01, help="seconds the server takes for an answer (default 0.01)")
    given = parser.parse_args()
    found = measure(given.work, given.seconds, given.rounds)
    took = f"{given.rounds} rounds of {given.seconds:g} s"
    print(f"{CONNECTIONS} connections, a server that takes {given.work * 1000:g} ms, {took}\n")
    rows = [row(str(FEW), found.few), row(str(MANY), found.many, found.noted), row(f"{MANY}, gated", found.gated)]
    print(table([HEADINGS, *rows]) + "\n")
    said = verdicts(found)
    for holds, text in said:
        print(f"{'yes' if holds else 'NO'}: {text}")
    return 0 if all(holds for holds, _ in said) else 1


if __name__ == "__main__":
    sys.exit(main())

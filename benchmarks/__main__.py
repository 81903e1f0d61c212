"""``python -m benchmarks NAME [options]``: run one measurement; without a name, list them."""

from __future__ import annotations

import importlib
import sys

MEASUREMENTS = {
    "race": "requests aimed at the server's idle close, and workers that die after doing the work (root: needs a link)",
    "inject": "the race of the libraries as they are and with inject(), and what that costs per request (root; nginx)",
    "programs": "real programs on requests and urllib3 with and without inject(): the same result? (needs programs.txt)",
    "sdks": "openai and anthropic over their own connections and over holdfast: the same? (install both)",
    "cpu": "CPU per kept-alive request against a bare h11 loop, and the cost of the import (needs nginx)",
    "instructions": "instructions per kept-alive request, by callgrind (needs nginx and valgrind)",
    "pool": "CPU per acquire and release, with many origins, idle connections and waiters",
    "pools": "CPU per acquire and release beside the pools of SQLAlchemy, psycopg, urllib3, httpcore; who notices a dead one",
    "fairness": "64 threads on 8 connections against 8 threads: throughput, the longest wait, exact counts",
    "threads": "requests per second of 1, 8 and 64 threads on one client, and the slowest (needs nginx)",
    "bodies": "CPU and peak memory of 256 MiB received and sent, plain and TLS, beside other clients",
    "pieces": "CPU per chunk and per line of bodies in small pieces, beside other clients, and of these over holdfast",
    "memory": "resident memory of a 1 GiB upload and a 1 GiB streamed download (Linux)",
    "idle": "memory of an idle connection, plain and TLS, beside other clients (Linux)",
    "chaos": "a soak against servers that fail in every way, then every failing call and an interrupt at every line",
    "servers": "eighteen real servers from PyPI: requests back to back, and what follows a refused upload (installs them)",
    "relay": "POSTs aimed at the idle close behind a relay that acknowledges for the server, by meeting number",
    "reload": "nginx, caddy, haproxy reloaded and a server restarted under eight threads (needs those that it tries)",
    "delayed_ack": "ms per request where head and body come apart with Nagle on (installs uvicorn)",
    "libraries": "real libraries on requests, with holdfast in its place and under it: the same result? (installs them)",
    "requests_suite": "requests' own tests on requests and with install() in its place: what fails, by name (fetches them)",
    "distance": "1000 requests to a server 100 ms away, one-off and kept alive; full and resumed handshakes (root; nginx)",
    "plot": "draw the figures that other commands wrote with --json as SVG (matplotlib)",
    "messages": "what each client says when a connection ends: the messages of docs/errors/",
    "link": "run a server and a client of your own on two hosts joined by a slow wire (root)",
}


def main() -> int:
    """Run the measurement that the command line names; its exit status."""
    if len(sys.argv) < 2 or sys.argv[1] not in MEASUREMENTS:
        print("python -m benchmarks NAME [--help]\n")
        for name, what in MEASUREMENTS.items():
            print(f"  {name:12} {what}")
        return 0 if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help") else 2
    name = sys.argv.pop(1)
    status: int = importlib.import_module(f"benchmarks.{name}").main()
    return status


if __name__ == "__main__":
    sys.exit(main())

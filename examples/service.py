"""A service with one module-level Client, and an endpoint for Prometheus.

    python examples/service.py                                  in front of a site of its own, on loopback
    python examples/service.py --port 8000 https://api.example.com/

    curl localhost:8000/anything       passes on what the site behind it says of /anything
    curl localhost:8000/metrics        the client's figures, for Prometheus
    curl localhost:8000/stats          the same as JSON, with the client's advice
    kill -TERM ...                     requests under way are answered, connections closed, and the process ends

The Client is made when the module is imported and serves every thread until the process ends; after a fork (as in gunicorn's
workers) each process opens connections of its own.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import holdfast

MISSING = "This example needs prometheus-client: pip install -e '.[prometheus]'"

log = logging.getLogger("service")
client = holdfast.Client(
    timeout=holdfast.Timeouts(connect=3, read=10, pool=2, total=15),
    limits=holdfast.Limits(max_connections_per_origin=20, min_idle_connections=2, leak_after=30),
)


class Handler(BaseHTTPRequestHandler):
    """One request to the service. HTTP/1.0, a connection each: whoever is under way when the service ends is answered."""

    server: Service
    timeout = 10

    def do_GET(self) -> None:
        """Answer."""
        if self.path == "/metrics":
            self._answer(200, self.server.content_type, self.server.metrics())
        elif self.path == "/stats":
            said = {**client.stats().as_dict(), "advice": [str(advice) for advice in client.advise()]}
            self._answer(200, "application/json", json.dumps(said).encode())
        else:
            self._pass_on()

    def _pass_on(self) -> None:
        try:
            response = client.get(self.server.upstream.rstrip("/") + self.path)
        except holdfast.PoolTimeout as error:
            self._answer(503, "text/plain; charset=utf-8", f"{error}\n".encode())  # too busy: it says who holds what
        except holdfast.RequestException as error:
            log.warning("%s", error)
            self._answer(502, "text/plain; charset=utf-8", b"no answer from the site behind this service\n")
        else:
            self._answer(response.status_code, response.headers.get("Content-Type", "text/plain"), response.content)

    def _answer(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Leave the log to what matters."""


class Service(ThreadingHTTPServer):
    """The service, in front of ``upstream``. Its end waits for the requests under way."""

    daemon_threads = False
    request_queue_size = 128

    def __init__(self, port: int, upstream: str, prometheus: Any) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.upstream = upstream
        self.content_type: str = prometheus.CONTENT_TYPE_LATEST
        self._generate = prometheus.generate_latest
        # Of its own, so that several services may be in one process; otherwise prometheus_client.REGISTRY.
        self._registry = prometheus.CollectorRegistry()
        self._registry.register(importlib.import_module("holdfast.contrib.prometheus").ClientCollector(client))

    def metrics(self) -> bytes:
        """The figures in Prometheus' text format."""
        text: bytes = self._generate(self._registry)
        return text

    def end(self, *_: object) -> None:
        """Stop, soon: a signal may strike anywhere, so the work is left to a thread."""
        threading.Thread(target=self.shutdown).start()


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C; the exit status."""
    parser = argparse.ArgumentParser(description="A small service in front of a site, with metrics.")
    parser.add_argument("upstream", nargs="?", metavar="URL", help="the site behind it (default: one of its own)")
    parser.add_argument("--port", type=int, default=0, help="port on loopback (default: any that is free)")
    given = parser.parse_args(arguments)
    try:
        prometheus = importlib.import_module("prometheus_client")
    except ImportError:
        print(MISSING, file=sys.stderr)
        return 2
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    with ExitStack() as stack:
        upstream = given.upstream or stack.enter_context(importlib.import_module("crawler").embedded_site())
        stack.enter_context(client)
        service = stack.enter_context(Service(given.port, upstream, prometheus))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, service.end)
        print(f"listening on http://127.0.0.1:{service.server_port}/, in front of {upstream}", flush=True)
        service.serve_forever(poll_interval=0.1)
    print("ended")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The application that real servers run: it enters what it executes in a ledger, and can refuse without reading.

    ``/run/NONCE``      200 with the nonce as its body; a POST's body is read first
    ``/refuse/NONCE``   404 with the nonce as its body; a POST's body is not looked at

The ledger is a file that each request of each worker process appends one line to: ``METHOD NONCE``. This module runs
in the servers' own virtual environment: it imports the standard library, and a server only when it is to start it.
"""

from __future__ import annotations

import http.server
import importlib
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any

LEDGER = "HOLDFAST_BENCHMARK_LEDGER"
HOST = "127.0.0.1"


def execute(method: str, path: str) -> tuple[int, bytes]:
    """Enter the request in the ledger; the status and the body of its answer."""
    kind, _, nonce = path.strip("/").partition("/")
    enter(os.environ[LEDGER], method, nonce)
    return (404 if kind == "refuse" else 200), nonce.encode()


def enter(ledger: str, method: str, nonce: str) -> None:
    """Append to the file; one write of few bytes, so lines of several processes do not mix."""
    descriptor = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, f"{method} {nonce}\n".encode())
    finally:
        os.close(descriptor)


# -- interfaces --------------------------------------------------------------------------------------------------


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """The application for WSGI servers."""
    status, body = execute(environ["REQUEST_METHOD"], environ["PATH_INFO"])
    if status == 200:
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    reason = {200: "200 OK", 404: "404 Not Found"}[status]
    start_response(reason, [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


async def asgi(scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
    """The application for ASGI servers."""
    if scope["type"] == "lifespan":
        while True:
            what = (await receive())["type"]
            await send({"type": f"{what}.complete"})
            if what == "lifespan.shutdown":
                return
    status, body = execute(scope["method"], scope["path"])
    while status == 200 and (await receive()).get("more_body"):
        pass
    fields = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})


# -- servers that are libraries ----------------------------------------------------------------------------------


def serve_cheroot(port: int) -> None:
    """cheroot's WSGI server."""
    importlib.import_module("cheroot.wsgi").Server((HOST, port), wsgi).start()


def serve_tornado(port: int) -> None:
    """tornado's HTTP server."""
    web, ioloop = importlib.import_module("tornado.web"), importlib.import_module("tornado.ioloop")

    def answer(handler: Any) -> None:
        status, body = execute(handler.request.method, handler.request.path)
        handler.set_status(status)
        handler.set_header("Content-Type", "text/plain")
        handler.finish(body)

    handler = type("Handler", (web.RequestHandler,), {"get": answer, "post": answer})
    web.Application([(r"/.*", handler)]).listen(port, address=HOST)
    ioloop.IOLoop.current().start()


def serve_twisted(port: int) -> None:
    """twisted.web."""
    resource, server = importlib.import_module("twisted.web.resource"), importlib.import_module("twisted.web.server")
    reactor: Any = importlib.import_module("twisted.internet.reactor")

    def render(_: Any, request: Any) -> bytes:
        status, body = execute(request.method.decode(), request.path.decode())
        request.setResponseCode(status)
        return body

    leaf = type("Leaf", (resource.Resource,), {"isLeaf": True, "render_GET": render, "render_POST": render})
    reactor.listenTCP(port, server.Site(leaf()), interface=HOST)
    reactor.run()


def serve_aiohttp(port: int) -> None:
    """aiohttp's web server."""
    web = importlib.import_module("aiohttp.web")

    async def answer(request: Any) -> Any:
        status, body = execute(request.method, request.path)
        if status == 200:
            await request.read()
        return web.Response(status=status, body=body)

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    web.run_app(application, host=HOST, port=port, print=None)


def serve_sanic(port: int) -> None:
    """sanic in one process."""
    sanic = importlib.import_module("sanic")
    application = sanic.Sanic("benchmark")

    async def answer(request: Any, path: str) -> Any:
        status, body = execute(request.method, f"/{path}")
        return sanic.response.text(body.decode(), status=status)

    application.add_route(answer, "/<path:path>", methods=["GET", "POST"])
    application.run(host=HOST, port=port, single_process=True, access_log=False)


class Handler(http.server.BaseHTTPRequestHandler):
    """The standard library's server, told to speak HTTP/1.1; it writes head and body apart, as its users do."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        status, body = execute(self.command, self.path)
        if status == 200:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Say nothing: the log is kept for what goes wrong."""


def serve_stdlib(port: int) -> None:
    """``http.server`` with threads."""
    http.server.ThreadingHTTPServer((HOST, port), Handler).serve_forever()


KINDS: dict[str, Callable[[int], None]] = {
    "cheroot": serve_cheroot,
    "tornado": serve_tornado,
    "twisted": serve_twisted,
    "aiohttp": serve_aiohttp,
    "sanic": serve_sanic,
    "http.server": serve_stdlib,
}

if __name__ == "__main__":
    KINDS[sys.argv[1]](int(sys.argv[2]))

"""The sites that the examples talk to where they are given no URL: small servers on loopback, each in a thread.

Not an example itself. ``running(Members)`` is the URL of one, without a slash at its end, for as long as the block lasts.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


class Site(ThreadingHTTPServer):
    """The server of one site.

    Attributes:
        calls: how many requests there were.
    """

    daemon_threads = True
    calls = 0


class Handler(BaseHTTPRequestHandler):
    """What the sites share: HTTP/1.1, kept alive, an answer in one piece, no log."""

    server: Site
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    timeout = 60

    def answer(self, status: int, body: bytes = b"", content_type: str = "text/html; charset=utf-8", **fields: Any) -> None:
        """Send all of it; ``fields`` have ``_`` for ``-``, and a list for fields that come several times."""
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, values in fields.items():
            for value in values if isinstance(values, list) else [values]:
                self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def answer_json(self, status: int, value: Any, **fields: Any) -> None:
        """The same, of a value."""
        self.answer(status, json.dumps(value).encode(), "application/json", **fields)

    def body(self) -> bytes:
        """The request's body, which has a length."""
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Say nothing: what the example prints is what is to be seen."""


@contextmanager
def running(handler: type[Handler]) -> Iterator[str]:
    """The URL of a site that is there until the block ends."""
    with Site(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="site")
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class Items(Handler):
    """An API with items in pages, linked by Link; its second call is refused once, as busy servers do."""

    NAMES = ("ant", "bee", "cat", "dog", "eel", "fox", "gnu")

    def do_GET(self) -> None:
        """One page."""
        self.server.calls += 1
        if self.server.calls == 2:
            self.answer(503, b"later", Retry_After="0")
            return
        query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        number, size = int(query.get("page", "1")), int(query["per_page"])
        items = [{"id": i, "name": name} for i, name in enumerate(self.NAMES)][(number - 1) * size : number * size]
        here = f"http://{self.headers['Host']}{urlsplit(self.path).path}"
        following = f'<{here}?per_page={size}&page={number + 1}>; rel="next"'
        self.answer_json(200, items, **({"Link": following} if number * size < len(self.NAMES) else {}))


class Members(Handler):
    """A site with a login form, an account and a way out, for alice with the password "open sesame"."""

    FORM = b'<form method="post"><input name="user"><input name="password"><input name="token" value="t0ken"></form>'

    def do_GET(self) -> None:
        """The form, the account, the way out."""
        inside = "session=s3ssion" in (self.headers.get("Cookie") or "")
        if self.path == "/login":
            self.answer(200, self.FORM, Set_Cookie="form=f0rm; Path=/login; HttpOnly")
        elif self.path == "/account" and inside:
            self.answer_json(200, {"name": "Alice"})
        elif self.path == "/logout":
            self.answer(303, Location="/login", Set_Cookie="session=; Max-Age=0; Path=/")
        else:
            self.answer(303, Location="/login?next=/account")

    def do_POST(self) -> None:
        """The form, filled in."""
        form = {name: values[0] for name, values in parse_qs(self.body().decode()).items()}
        if form == {"user": "alice", "password": "open sesame", "token": "t0ken"}:
            cookies = ["session=s3ssion; Path=/; HttpOnly", "form=; Max-Age=0; Path=/login"]
            self.answer(302, Location="/account", Set_Cookie=cookies)
        else:
            self.answer(403, b"no")


class Intake(Handler):
    """Takes uploads, and says how many bytes there were."""

    def do_POST(self) -> None:
        """Read a form to its end."""
        left = total = int(self.headers["Content-Length"])
        while left:
            left -= len(self.rfile.read(min(left, 65536)))
        self.answer_json(201, {"received": total})


class Ticker(Handler):
    """An event stream that counts to nine, and ends or breaks off after every third event, as servers and proxies do."""

    LAST = 9

    def do_GET(self) -> None:
        """Go on behind the event that the client had last."""
        begin = int(self.headers.get("Last-Event-ID") or 0)
        if begin >= self.LAST:
            self.send_response(204)
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.say(b"retry: 200\n: a comment, so that the client sees that we are there\n\n")
        for number in range(begin + 1, begin + 4):
            self.say(f"id: {number}\nevent: tick\ndata: {json.dumps({'number': number})}\n\n".encode())
        if begin:
            self.say(b"data: this event has no end")
            self.close_connection = True  # in the middle of the body
        else:
            self.wfile.write(b"0\r\n\r\n")

    def say(self, text: bytes) -> None:
        """Send it now, as a chunk."""
        self.wfile.write(b"%x\r\n%s\r\n" % (len(text), text))
        self.wfile.flush()


class Counter(Handler):
    """Counts POSTs, and closes each connection with its second answer, which says so."""

    answered = 0

    def do_POST(self) -> None:
        """One more."""
        self.body()
        self.server.calls += 1
        self.answered += 1
        self.answer_json(200, {"count": self.server.calls}, **({"Connection": "close"} if self.answered == 2 else {}))

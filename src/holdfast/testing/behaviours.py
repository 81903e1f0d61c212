"""Ready-made scripts for ``Server``: what servers do, and what they do wrong. A script of your own is a function of a ``Conn``.

======================================  ===========================================================================================
``echo``                                answers each request with the request itself
``replies(a, b)``                       answers one request with each response, then waits for the client to leave
``keeps_alive(…)``                      answers, and ends connections after so many requests or so much idle time, in so many ways
``drips(response, seconds=0.1)``        sends a response slowly
``answers_early(response)``             answers before the body of the request has come
``cuts(response, 100)``                 ends after so many bytes of a response
``loses()``                             takes a request, and ends without an answer
``silent``                              takes each request, and never answers
``connect_proxy``                       is a proxy that grants one CONNECT
======================================  ===========================================================================================
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Literal

from .._numbers import number_of
from .connection import Conn, Received, Script, check
from .responses import ok, response

Ending = Literal["close", "fin", "rst"]
"""How a connection is ended: "close" is what a server does that is well (over TLS, close_notify comes first); "fin" is a bare FIN,
over TLS one without close_notify, which a client must not take for the end of a body; "rst" aborts."""

Answer = bytes | Callable[[Received], bytes]

REQUEST_TIMEOUT = response(408, b"", "Connection: close", reason="Request Timeout")
"""What some servers (webfs, npm's http-server) say on an idle connection before they close it: ``farewell=`` of ``keeps_alive``."""


def echo(conn: Conn) -> None:
    """Answer every request until the client leaves (or says ``Connection: close``) with the request itself as JSON."""
    for request in conn.read_requests():
        conn.send(echo_of(request))
        if request.get("Connection").lower() == "close":
            return


def echo_of(request: Received) -> bytes:
    """The response ``echo`` gives: method, target, headers, body (latin-1), connection; ``X-Nonce`` as it came."""
    said = {
        "method": request.method,
        "target": request.target,
        "headers": request.headers,
        "body": request.body.decode("latin-1"),
        "connection": request.connection,
    }
    body = json.dumps(said).encode()
    nonces = [f"X-Nonce: {value}" for value in request.get_all("X-Nonce")]
    whole = ok(body, "Content-Type: application/json", *nonces)
    return whole[: -len(body)] if request.method == "HEAD" else whole


def replies(*responses: bytes) -> Script:
    """A script that answers one request with each response, then keeps the connection until the client leaves."""

    def script(conn: Conn) -> None:
        for each in responses:
            conn.expect_request()
            conn.send(each)
        conn.wait_closed()

    return script


def keeps_alive(
    *answers: Answer,
    requests: int | None = None,
    idle: float | None = None,
    notice: bool = False,
    farewell: bytes = b"",
    ending: Ending = "close",
) -> Script:
    """A server that keeps its connections for a while.

    Args:
        answers: the responses in turn, of which the last is repeated: bytes, or a function of the request. Default ``ok()``.
        requests: end each connection behind so many answers. Default None: never.
        idle: end a connection on which no request has begun for so many seconds. Default None: never.
        notice: say ``Connection: close`` in the last of ``requests`` answers, as a server should (RFC 9112, section 9.6).
        farewell: bytes to send before a connection that is idle is ended: ``REQUEST_TIMEOUT``.
        ending: how connections are ended. Default "close".

    Raises:
        ValueError: an argument makes no sense.
    """
    end = _ending(ending)
    if requests is not None and requests < 1:
        raise ValueError(f"requests={requests}: a connection that answers none is loses()")
    if notice and requests is None:
        raise ValueError("notice=True says close in the last answer: of how many requests=?")

    def script(conn: Conn) -> None:
        number = 0
        while idle is None or not conn.idle(idle):
            request = conn.read_request()
            if request is None:
                return
            number += 1
            answer = _answer(answers, number, request)
            is_last = number == requests
            conn.send(_with_notice(answer) if notice and is_last else answer)
            if is_last:
                end(conn)
                return
        if farewell:
            conn.send(farewell)
        end(conn)

    return script


def drips(response: bytes, *, seconds: float = 0.1, size: int = 1) -> Script:
    """A server that sends each response ``size`` bytes at a time, with ``seconds`` between them.

    A client that bounds each wait alone (a read timeout) sees none too long: only a bound for all of it ends this.
    """
    if seconds <= 0 or size < 1:
        raise ValueError(f"seconds={seconds}, size={size}: both must be more than 0")

    def script(conn: Conn) -> None:
        for _ in conn.read_requests():
            for start in range(0, len(response), size):
                if start:
                    conn.pause(seconds)
                conn.send(response[start : start + size])

    return script


def answers_early(response: bytes, *, after: int = 0, ending: Ending | None = None) -> Script:
    """A server that answers one request when its head and ``after`` bytes of its body have come, before the rest.

    Args:
        response: such as ``response(413, b"too large", "Connection: close")``.
        after: bytes of the body to read first. Default 0.
        ending: end the connection at once; what the client goes on sending is then answered by an RST. Default None: read on
            until the client leaves, as a server should that closes (RFC 9112, section 9.6).
    """
    end = None if ending is None else _ending(ending)

    def script(conn: Conn) -> None:
        if conn.read_head() is None or conn.read_exactly(after) is None:
            return
        conn.send(response)
        if end is None:
            conn.wait_closed()
        else:
            end(conn)

    return script


def cuts(response: bytes, at: int, *, ending: Ending = "close") -> Script:
    """A server that ends the connection behind ``at`` bytes of each response: in its head, or in its body."""
    end = _ending(ending)
    if not 0 <= at < len(response):
        raise ValueError(f"at={at}: the response has {number_of(len(response), 'byte')}")

    def script(conn: Conn) -> None:
        if conn.read_request() is not None:
            conn.send(response[:at])
            end(conn)

    return script


def loses(*, after: int = 0, ending: Ending = "fin") -> Script:
    """A server that dies behind a request it has read: the client cannot know whether it was executed.

    Args:
        after: requests to answer before. Default 0.
        ending: how it dies. Default "fin".
    """
    end = _ending(ending)

    def script(conn: Conn) -> None:
        for number, _ in enumerate(conn.read_requests()):
            if number == after:
                end(conn)
                return
            conn.send(ok())

    return script


def silent(conn: Conn) -> None:
    """Take each request, and never answer."""
    for _ in conn.read_requests():
        pass


def connect_proxy(conn: Conn) -> None:
    """A proxy that grants one CONNECT, whatever name it asks for, to that port on 127.0.0.1 and relays."""
    request = conn.expect_request()
    check(request.method == "CONNECT", f"the proxy was asked to {request.method} {request.target}")
    conn.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
    conn.relay(("127.0.0.1", int(request.target.rpartition(":")[2])))


MAKERS = (replies, keeps_alive, drips, answers_early, cuts, loses)
"""Those that are called with their arguments, and return the script."""

_ENDINGS: dict[str, Callable[[Conn], None]] = {
    "close": Conn.close,
    "fin": lambda conn: conn.close(notify=False),
    "rst": Conn.rst,
}


def _ending(name: str) -> Callable[[Conn], None]:
    if name not in _ENDINGS:
        raise ValueError(f"ending={name!r}: there are {', '.join(map(repr, _ENDINGS))}")
    return _ENDINGS[name]


def _answer(answers: tuple[Answer, ...], number: int, request: Received) -> bytes:
    """The answer to the ``number``-th request of a connection, counted from 1."""
    chosen = answers[min(number, len(answers)) - 1] if answers else ok()
    return chosen if isinstance(chosen, bytes) else chosen(request)


def _with_notice(response: bytes) -> bytes:
    line, _, rest = response.partition(b"\r\n")
    return line + b"\r\nConnection: close\r\n" + rest

"""What each client says when a connection ends: the messages of docs/errors/, produced for real.

    python -m benchmarks messages [--only requests]

A server on loopback follows a script: it answers the first request of its first connection, or not even that, and then ends the
connection in one of these ways. Each client sends as its defaults are, one GET or POST; its result is the status, or the error in
the client's own words. *Used* is a connection that had one answer before, *new* one that had none.

Exit status 0.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: the close is a reset
TIMEOUT = 3.0


# -- the server --------------------------------------------------------------------------------------------------------


def _fin(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_RDWR)


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def _not_http(connection: socket.socket) -> None:
    connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")


def _cut_short(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")


def _silence(connection: socket.socket) -> None:
    connection.recv(65536)  # until the client leaves


End = Callable[[socket.socket], None]
FAILURES: dict[str, tuple[str, bool, End]] = {  # (method, whether the connection was used before, how it ends)
    "FIN in answer to a GET, used": ("GET", True, _fin),
    "FIN in answer to a POST, used": ("POST", True, _fin),
    "FIN in answer to a GET, new": ("GET", False, _fin),
    "reset in answer to a GET, used": ("GET", True, _reset),
    "reset in answer to a GET, new": ("GET", False, _reset),
    "an answer that is not HTTP, new": ("GET", False, _not_http),
    "a body cut short, new": ("GET", False, _cut_short),
    f"no answer for {TIMEOUT:g} s, new": ("GET", False, _silence),
}


def _request(connection: socket.socket) -> bool:
    """Read one request, its body of one byte included; False at the end of the connection."""
    text = b""
    while b"\r\n\r\n" not in text or (text.startswith(b"POST") and text.endswith(b"\r\n\r\n")):
        piece = connection.recv(65536)
        if not piece:
            return False
        text += piece
    return True


def _serve(connection: socket.socket, used: bool, end: End | None) -> None:
    with contextlib.suppress(OSError), connection:  # a client that leaves is no failure of the server
        answers = 1 if used else 0
        while _request(connection):
            if end is not None and answers == 0:
                end(connection)
                return
            connection.sendall(ANSWER)
            answers -= 1


@contextlib.contextmanager
def server(used: bool, end: End, again: bool) -> Iterator[str]:
    """A server whose first connection ends so; later ones end so ``again``, or are answered for as long as the client likes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            first = True
            with contextlib.suppress(OSError):  # the listener was closed
                while True:
                    connection = listener.accept()[0]
                    threading.Thread(target=_serve, args=(connection, used, end if first or again else None), daemon=True).start()
                    first = False

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        listener.shutdown(socket.SHUT_RDWR)


# -- the clients -------------------------------------------------------------------------------------------------------

Call = Callable[[str, str, bool], int]


def _with_requests(method: str, url: str, used: bool) -> int:
    import requests

    with requests.Session() as session:
        if used:
            session.get(url, timeout=TIMEOUT)
        return session.request(method, url, data=b"x" if method == "POST" else None, timeout=TIMEOUT).status_code


def _with_urllib3(method: str, url: str, used: bool) -> int:
    import urllib3

    with urllib3.PoolManager(timeout=TIMEOUT) as manager:
        if used:
            manager.request("GET", url)
        return manager.request(method, url, body=b"x" if method == "POST" else None).status


def _with_httpx(method: str, url: str, used: bool) -> int:
    import httpx

    with httpx.Client(timeout=TIMEOUT, trust_env=False) as client:
        if used:
            client.get(url)
        return client.request(method, url, content=b"x" if method == "POST" else None).status_code


def _with_aiohttp(method: str, url: str, used: bool) -> int:
    import aiohttp

    async def call() -> int:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT)) as session:
            if used:
                async with session.get(url) as response:
                    await response.read()
            async with session.request(method, url, data=b"x" if method == "POST" else None) as response:
                await response.read()
                return int(response.status)

    return asyncio.run(call())


def _with_holdfast(method: str, url: str, used: bool) -> int:
    import holdfast

    with holdfast.Client(timeout=TIMEOUT, trust_env=False) as client:
        if used:
            client.get(url)
        return client.request(method, url, data=b"x" if method == "POST" else None).status_code


CLIENTS: dict[str, Call] = {
    "requests": _with_requests,
    "urllib3": _with_urllib3,
    "httpx": _with_httpx,
    "aiohttp": _with_aiohttp,
    "holdfast": _with_holdfast,
}


def said(client: str, failure: str) -> str:
    """The outcome of one call: its status, or the error's class and text."""
    method, used, end = FAILURES[failure]
    with server(used, end, again=not used) as url:
        try:
            status = CLIENTS[client](method, url, used)
        except ImportError:
            return "is not installed: pip install '.[bench]'"
        except Exception as error:
            return f"{_class(error)}: {error}".replace(url, "URL")
        return f"{status}, sent again" if used else str(status)


def _class(error: Any) -> str:
    return f"{type(error).__module__.partition('.')[0]}.{type(error).__name__}"


def main() -> int:
    """Print what each client says, failure by failure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks messages")
    parser.add_argument("--only", choices=CLIENTS, help="one client")
    only = parser.parse_args().only
    for failure in FAILURES:
        print(failure)
        for client in [only] if only else CLIENTS:
            print(f"  {client:9} {said(client, failure)}")
    return 0

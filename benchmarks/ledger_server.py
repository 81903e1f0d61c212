"""A small threaded server for a measurement: it enters what it executes in a file, and stops as servers do on SIGTERM.

    python -m benchmarks.ledger_server PORT LEDGER WORK_SECONDS

It listens with SO_REUSEPORT, so that the next one can listen at the same port before this one stops. SIGTERM: it
accepts nothing more, closes connections that are between two requests at once, answers those at work with
``Connection: close``, and ends: that is what most servers do, and what a rolling restart does to a kept-alive client.
"""

from __future__ import annotations

import contextlib
import select
import signal
import socket
import sys
import threading
import time

from benchmarks.processes import HOST, tell
from benchmarks.server_apps import enter

STOP_SECONDS = 5.0


class Server:
    """One thread per connection; the path's last part is the request's identity and the answer's body."""

    def __init__(self, port: int, ledger: str, work: float) -> None:
        self.ledger, self.work = ledger, work
        self.stopping = threading.Event()
        self.woken, self._waker = socket.socketpair()
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.listener.bind((HOST, port))
        self.listener.listen(128)
        self.threads: list[threading.Thread] = []

    def stop(self, *_: object) -> None:
        """Let every thread see that this server stops (the pipe stays readable)."""
        self.stopping.set()
        self._waker.send(b"x")

    def serve(self) -> None:
        """Accept until stopped; then wait for the connections at work."""
        while not self.stopping.is_set():
            if self.listener in select.select([self.listener, self.woken], [], [])[0]:
                sock = self.listener.accept()[0]
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.threads.append(threading.Thread(target=self._serve_one, args=(sock,), daemon=True))
                self.threads[-1].start()
        self.listener.close()
        until = time.monotonic() + STOP_SECONDS
        for thread in self.threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _serve_one(self, sock: socket.socket) -> None:
        buffer = b""
        with contextlib.suppress(OSError), sock:  # a client that leaves is no failure of the server
            while not self.stopping.is_set():
                end = _end_of_request(buffer)
                if end:
                    self._answer(sock, buffer[:end])
                    buffer = buffer[end:]
                    continue
                if sock not in select.select([sock, self.woken], [], [])[0]:
                    return
                data = sock.recv(65536)
                if not data:
                    return
                buffer += data

    def _answer(self, sock: socket.socket, request: bytes) -> None:
        method, path = request.split(b" ", 2)[:2]
        nonce = path.rpartition(b"/")[2]
        enter(self.ledger, method.decode(), nonce.decode())
        time.sleep(self.work)
        close = b"Connection: close\r\n" if self.stopping.is_set() else b""
        sock.sendall(b"HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n%s" % (close, len(nonce), nonce))


def _end_of_request(data: bytes) -> int:
    """Where the request at the beginning of the bytes ends; 0 if it is not whole. No chunked bodies."""
    head, mark, rest = data.partition(b"\r\n\r\n")
    if not mark:
        return 0
    fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:])
    size = int(fields.get(b"content-length", b"0"))
    return len(head) + 4 + size if len(rest) >= size else 0


def main() -> None:
    """Serve until SIGTERM; a line on stdout says that it listens."""
    server = Server(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
    signal.signal(signal.SIGTERM, server.stop)
    tell(["listening"])
    server.serve()


if __name__ == "__main__":
    main()

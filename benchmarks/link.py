"""Two hosts and the wire between them, on one machine: two network namespaces joined by a user-space link.

    python -m benchmarks link --delay 0.01 [--loss 0.01] -- SERVER ARGV... -- CLIENT ARGV...

The law: *nothing outlives the processes.* The namespaces have no name; they are held by descriptors and by what runs
inside them, so the kernel removes them when the last of these is gone, even after ``kill -9``. The wire is a process
which ends when the other end of its control socket does.

The client lives on 10.77.0.1, the server on 10.77.0.2, each behind a TUN device; the wire reads packets from one
device and writes them to the other ``delay`` seconds later. It sees every packet, so it also counts what a race is
about: connections on which the server's FIN and bytes of the client *crossed in flight*.

Needs Linux, root and /dev/net/tun; ``Link`` raises ``LinkUnavailable`` saying which of them is missing.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import random
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

CLIENT_ADDRESS, SERVER_ADDRESS = "10.77.0.1", "10.77.0.2"

CLONE_NEWNET = 0x40000000
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
SIOCSIFADDR, SIOCSIFDSTADDR, SIOCSIFFLAGS, IFF_UP = 0x8916, 0x8918, 0x8914, 0x1
END_SECONDS = 5.0


class LinkUnavailable(RuntimeError):
    """This machine, or this user, cannot have a link; the message says why."""


# -- namespaces --------------------------------------------------------------------------------------------------


def _libc(name: str, *args: int) -> None:
    function = getattr(ctypes.CDLL(None, use_errno=True), name)
    if function(*args) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _current_namespace() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


@contextlib.contextmanager
def _inside(namespace: int) -> Iterator[None]:
    """This thread, and the processes it starts, are in that namespace for the duration of the block."""
    before = _current_namespace()
    try:
        _libc("setns", namespace, CLONE_NEWNET)
        yield
    finally:
        _libc("setns", before, CLONE_NEWNET)
        os.close(before)


def _new_namespace() -> int:
    before = _current_namespace()
    try:
        _libc("unshare", CLONE_NEWNET)
        return _current_namespace()
    finally:
        _libc("setns", before, CLONE_NEWNET)
        os.close(before)


def _open_tun(namespace: int, address: str, peer: str) -> int:
    """A TUN device in the namespace, up, with these two addresses; what is written to the result arrives there."""
    import fcntl

    with _inside(namespace), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", b"wire", IFF_TUN | IFF_NO_PI))
            fcntl.ioctl(control, SIOCSIFADDR, _address_request(b"wire", address))
            fcntl.ioctl(control, SIOCSIFDSTADDR, _address_request(b"wire", peer))
            for name in (b"wire", b"lo"):
                fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH22x", name, IFF_UP))
        except BaseException:
            os.close(device)
            raise
    return device


def _address_request(device: bytes, address: str) -> bytes:
    return struct.pack("16sHH4s16x", device, socket.AF_INET, 0, socket.inet_aton(address))


def check_available() -> None:
    """Raise LinkUnavailable unless this process can make a link."""
    if sys.platform != "linux":
        raise LinkUnavailable(f"network namespaces are Linux's; this is {sys.platform}")
    if os.geteuid() != 0:
        raise LinkUnavailable(f"network namespaces need root; this is uid {os.geteuid()}")
    if not os.path.exists("/dev/net/tun"):
        raise LinkUnavailable("there is no /dev/net/tun (modprobe tun; in a container: --device /dev/net/tun)")


# -- the two hosts -----------------------------------------------------------------------------------------------


class Link:
    """Two hosts joined by a wire, while the ``with`` block runs; at its end every process started here is ended.

    Args:
        delay: seconds every packet takes, each way.
        loss: the share of packets that get lost, 0.0 to 1.0; the same ones in every run.

    Raises:
        LinkUnavailable: not Linux, not root, no TUN, or the kernel refuses.
    """

    def __init__(self, delay: float, loss: float = 0.0) -> None:
        check_available()
        self.delay = delay
        self.loss = loss
        self._held: list[int] = []
        self._processes: list[subprocess.Popen[Any]] = []

    def __enter__(self) -> Link:
        try:
            self._client, self._server = self._hold(_new_namespace()), self._hold(_new_namespace())
            ends = (
                self._hold(_open_tun(self._client, CLIENT_ADDRESS, SERVER_ADDRESS)),
                self._hold(_open_tun(self._server, SERVER_ADDRESS, CLIENT_ADDRESS)),
            )
            self._lay_wire(*ends)
        except OSError as error:
            self.__exit__()
            raise LinkUnavailable(f"the kernel refuses a link: {error}") from error
        except BaseException:
            self.__exit__()
            raise
        return self

    def _hold(self, descriptor: int) -> int:
        self._held.append(descriptor)
        return descriptor

    def _lay_wire(self, *ends: int) -> None:
        self._control, theirs = socket.socketpair()
        with theirs:
            numbers = [str(number) for number in (*ends, theirs.fileno(), self.delay, self.loss)]
            argv = [sys.executable, os.path.abspath(__file__), "--wire", *numbers]
            # A session of its own: Ctrl-C is for us, and we end the wire last.
            wire = subprocess.Popen(argv, pass_fds=[*ends, theirs.fileno()], start_new_session=True)
        self._processes.append(wire)
        self.crossings()  # its first answer says that it runs

    def __exit__(self, *exc: object) -> None:
        for process in reversed(self._processes):  # the wire was the first to come and is the last to go
            end(process)
        if hasattr(self, "_control"):
            self._control.close()
        while self._held:
            os.close(self._held.pop())

    def start_server(self, argv: Sequence[str], **kwargs: Any) -> subprocess.Popen[Any]:
        """Start a process on the server's host (10.77.0.2); arguments as for subprocess.Popen."""
        return self._start(self._server, argv, kwargs)

    def start_client(self, argv: Sequence[str], **kwargs: Any) -> subprocess.Popen[Any]:
        """Start a process on the client's host (10.77.0.1); arguments as for subprocess.Popen."""
        return self._start(self._client, argv, kwargs)

    def _start(self, namespace: int, argv: Sequence[str], kwargs: dict[str, Any]) -> subprocess.Popen[Any]:
        with _inside(namespace):
            process = subprocess.Popen(argv, start_new_session=True, **kwargs)
        self._processes.append(process)
        return process

    def swallow(self, everything: bool) -> None:
        """From here on the wire loses every packet (a pulled cable, a NAT that forgot), or none any more."""
        self._ask(b"drop" if everything else b"pass")

    def crossings(self) -> int:
        """Connections so far on which a FIN of the server and bytes of the client crossed in flight."""
        return int(self._ask(b"crossings"))

    def _ask(self, command: bytes) -> bytes:
        self._control.sendall(command + b"\n")
        answer = self._control.recv(100)
        if not answer:
            raise OSError("the wire's process has ended")
        return answer


def end(process: subprocess.Popen[Any]) -> None:
    """Ask the process to end, and end it if it does not; its pipes are closed."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):  # what was not read by the process is lost, as it should be
                pipe.close()


# -- the wire ----------------------------------------------------------------------------------------------------


class Wire:
    """Carries packets between two TUN devices, each ``delay`` seconds late (one delay: first in, first out)."""

    def __init__(self, client: int, server: int, control: socket.socket, delay: float, loss: float) -> None:
        self.client, self.server, self.control = client, server, control
        self.delay, self.loss = delay, loss
        self.random = random.Random(1)
        self.swallowing = False
        self.under_way: deque[tuple[float, int, bytes]] = deque()
        self.crossings = Crossings(delay)

    def run(self) -> None:
        """Until the control socket's other end is closed."""
        watched: list[int | socket.socket] = [self.client, self.server, self.control]
        while True:
            ready = select.select(watched, [], [], self._until_due())[0]
            if self.control in ready and not self._obey():
                return
            for device in (self.client, self.server):
                if device in ready:
                    self._take(device)
            self._deliver()

    def _until_due(self) -> float | None:
        return max(0.0, self.under_way[0][0] - time.monotonic()) if self.under_way else None

    def _obey(self) -> bool:
        command = self.control.recv(100).strip()
        if command in (b"drop", b"pass"):
            self.swallowing = command == b"drop"
        if command:
            self.control.sendall(b"%d\n" % self.crossings.count)
        return bool(command)

    def _take(self, device: int) -> None:
        for _ in range(64):
            try:
                packet = os.read(device, 65536)
            except BlockingIOError:
                return
            if self.swallowing or (self.loss and self.random.random() < self.loss):
                continue
            now = time.monotonic()
            self.crossings.note(packet, now, from_client=device == self.client)
            self.under_way.append((now + self.delay, self.server if device == self.client else self.client, packet))

    def _deliver(self) -> None:
        while self.under_way and self.under_way[0][0] <= time.monotonic():
            _, device, packet = self.under_way.popleft()
            with contextlib.suppress(BlockingIOError):  # a full queue loses packets, as queues do
                os.write(device, packet)


class Crossings:
    """Counts connections whose first FIN from the server met bytes from the client on the wire.

    A packet is on the wire from the moment it enters for ``delay`` seconds. Two packets meet if they are on it at
    the same time in opposite directions: both left before the other arrived.
    """

    def __init__(self, delay: float) -> None:
        self.delay = delay
        self.count = 0
        self._data_at: dict[bytes, float] = {}  # connection -> when the client's last bytes entered
        self._fin_at: dict[bytes, float] = {}  # connection -> when the server's FIN entered, until it is counted

    def note(self, packet: bytes, now: float, *, from_client: bool) -> None:
        """A packet enters the wire."""
        header = (packet[0] & 15) * 4
        if packet[0] >> 4 != 4 or packet[9] != socket.IPPROTO_TCP:
            return
        ports, flags = packet[header : header + 4], packet[header + 13]
        payload = len(packet) - header - (packet[header + 12] >> 4) * 4
        if from_client:
            if flags & 0x02:  # SYN: the port begins a new life
                self._data_at.pop(ports, None)
                self._fin_at.pop(ports, None)
            if payload:
                self._data(ports, now)
        elif flags & 0x01:
            self._fin(ports[2:] + ports[:2], now)

    def _data(self, connection: bytes, now: float) -> None:
        self._data_at[connection] = now
        fin = self._fin_at.pop(connection, None)
        self.count += fin is not None and now - fin < self.delay

    def _fin(self, connection: bytes, now: float) -> None:
        if now - self._data_at.get(connection, -1e9) < self.delay:
            self.count += 1
        else:
            self._fin_at.setdefault(connection, now)


def run_wire(argv: Sequence[str]) -> None:
    """The wire's process: descriptors of the two devices and the control socket, delay, loss."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    client, server, control = (int(number) for number in argv[:3])
    with socket.socket(fileno=control) as commands:
        Wire(client, server, commands, float(argv[3]), float(argv[4])).run()


def exit_on_sigterm() -> None:
    """Let SIGTERM unwind the ``with`` blocks, as Ctrl-C does."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def main() -> int:
    """Run a server and a client on the two hosts; the client's exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks link", description=__doc__)
    parser.add_argument("--delay", type=float, default=0.01, help="seconds each way (0.01)")
    parser.add_argument("--loss", type=float, default=0.0, help="share of packets lost (0.0)")
    parser.add_argument("argv", nargs=argparse.REMAINDER, help="-- SERVER ARGV... -- CLIENT ARGV...")
    options = parser.parse_args()
    argv = options.argv[1:] if options.argv[:1] == ["--"] else options.argv
    if "--" not in argv:
        parser.error("two commands are needed: -- SERVER ARGV... -- CLIENT ARGV...")
    exit_on_sigterm()
    try:
        with Link(options.delay, options.loss) as link:
            link.start_server(argv[: argv.index("--")])
            return link.start_client(argv[argv.index("--") + 1 :]).wait()
    except LinkUnavailable as error:
        print(f"no link: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    if sys.argv[1:2] == ["--wire"]:
        run_wire(sys.argv[2:])
    else:
        sys.exit(main())

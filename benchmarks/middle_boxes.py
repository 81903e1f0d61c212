"""What stands between client and server in a measurement: a relay with a delay, and real proxies in front of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
import time

from benchmarks.processes import HOST, NotStarted, Processes, free_port, hear, tell

PROXIES = ("haproxy", "squid", "tinyproxy")
_CHUNK = 65536
_TINYPROXY = "Port {port}\nListen {host}\nMaxClients 200\nTimeout 600\nLogLevel Critical\nAllow {host}\n"
_SQUID = """
http_port {host}:{port}
http_access allow all
cache deny all
access_log none
cache_log /dev/null
cache_store_log none
pid_filename none
coredump_dir {folder}
shutdown_lifetime 0 seconds
"""
_HAPROXY = """
defaults
    mode tcp
    timeout connect 5s
    timeout client 50s
    timeout server 50s
listen relay
    bind {host}:{port}
    server origin {host}:{origin}
"""
CONFIGURATIONS = {"haproxy": _HAPROXY, "squid": _SQUID, "tinyproxy": _TINYPROXY}


def start_relay(processes: Processes, origin: int, delay: float) -> int:
    """Start a relay to that port of this host; its own port."""
    process = processes.converse("benchmarks.middle_boxes", str(origin), str(delay))
    port: int = hear(process, 10.0)[0]
    return port


def start_proxy(processes: Processes, name: str, origin: int) -> int:
    """Start the proxy (haproxy: towards that port) with nothing set about keep-alive but timeouts; its port."""
    executable = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if executable is None:
        raise NotStarted(f"{name} is not installed (apt-get install {name})")
    port = free_port()
    path = os.path.join(processes.folder, f"{name}.conf")
    with open(path, "w") as file:
        file.write(CONFIGURATIONS[name].format(host=HOST, port=port, origin=origin, folder=processes.folder))
    argv = {"haproxy": ["-db", "-f", path], "squid": ["-N", "-f", path], "tinyproxy": ["-d", "-c", path]}[name]
    processes.listening(processes.start([executable, *argv], cwd=processes.folder), port)
    return port


# -- the relay's process -----------------------------------------------------------------------------------------


class Relay:
    """Two kernel sockets per connection: this host's kernel acknowledges at once, the bytes arrive ``delay`` later.

    An end (FIN or RST) travels like bytes. That is how a load balancer, a NAT gateway, or a service mesh looks to its
    client: what it acknowledged may never have reached the server.
    """

    def __init__(self, origin: int, delay: float) -> None:
        self.origin, self.delay = origin, delay

    async def serve(self) -> None:
        """Listen on a port of the kernel's choice, say it, and relay until the process is ended."""
        server = await asyncio.start_server(self._relay, HOST, 0)
        tell([server.sockets[0].getsockname()[1]])
        await server.serve_forever()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(HOST, self.origin)
            await asyncio.gather(self._carry(reader, far_writer), self._carry(far_reader, writer))
            far_writer.close()
        except OSError:
            pass  # the server cannot be reached: the client sees the end, as it would at a load balancer
        finally:
            writer.close()

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        """One direction: what comes in goes out ``delay`` later, in order, and then the end."""
        underway: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        delivery = asyncio.ensure_future(self._deliver(underway, sink))
        data = b"begin"
        while data:
            try:
                data = await source.read(_CHUNK)
            except OSError:
                data = b""
            underway.put_nowait((time.monotonic() + self.delay, data))
        await delivery

    @staticmethod
    async def _deliver(underway: asyncio.Queue[tuple[float, bytes]], sink: asyncio.StreamWriter) -> None:
        while True:
            due, data = await underway.get()
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            with contextlib.suppress(OSError):  # who has gone does not get it; the source is read to its end all the same
                if not data:
                    sink.write_eof()
                    return
                sink.write(data)
                await sink.drain()
            if not data:
                return


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(Relay(int(sys.argv[1]), float(sys.argv[2])).serve())

#!/usr/bin/env bash
#
# httpx 0.28.1 (httpcore 1.0.9) asks the kernel twice about every idle connection of the pool, for each request.
#
# Expected: what a request to one origin costs does not depend on the idle connections to others. httpx's page
# "Resource Limits" describes the pool as a bound on connections; requests, for comparison, looks at the one that it
# takes.
# Seen: when a request enters and when it leaves, each idle connection is tested for readability, under the pool's
# lock.
#
#   seen    : tests per request with 1, 10 and 100 idle connections: httpx 2, 20, 200; requests 1, 1, 1
#
# Why it matters: a crawler, a gateway or a client of many services with `max_keepalive_connections=None` or a few
# hundred pays milliseconds of CPU per request, and its threads queue for the lock meanwhile.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check httpx==0.28.1 httpcore==1.0.9 requests==2.34.2 urllib3==2.8.0
cd "$tmp"
timeout 60 venv/bin/python - <<'PY'
import select
import socket
import sys
import threading

import httpcore
import httpx
import requests
from requests.adapters import HTTPAdapter


def serve(peer):
    with peer:
        while peer.recv(65536):
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")


def accept(listener):
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


def origin():
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=accept, args=(listener,), daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}/"


calls = 0
real = select.poll


class Counted:
    """select.poll that counts how often it is asked without waiting."""

    def __init__(self):
        self.poll_object = real()

    def __getattr__(self, name):
        return getattr(self.poll_object, name)

    def poll(self, timeout=None):
        global calls
        calls += timeout == 0
        return self.poll_object.poll(timeout)


select.poll = Counted  # httpcore and urllib3 both test sockets by it
urls = [origin() for _ in range(100)]
everything = httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=None)
seen = {"httpx": [], "requests": []}
for idle in 1, 10, 100:
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", HTTPAdapter(pool_connections=200))
    for name, client in ("httpx", httpx.Client(trust_env=False, limits=everything)), ("requests", session):
        with client:
            for url in urls[:idle]:
                client.get(url)
            client.get(urls[0])  # urllib3 tries poll itself once
            calls = 0
            for _ in range(10):
                client.get(urls[0])
            seen[name].append(calls / 10)
text = "; ".join(f"{name} {', '.join(f'{count:g}' for count in counts)}" for name, counts in seen.items())
print("version : httpx", httpx.__version__, "httpcore", httpcore.__version__, "requests", requests.__version__)
print("expected: the same number with 1, 10 and 100 idle connections")
print(f"seen    : tests per request with 1, 10 and 100 idle connections: {text}")
if seen != {"httpx": [2, 20, 200], "requests": [1, 1, 1]}:
    sys.exit("changed: other numbers of tests")
PY

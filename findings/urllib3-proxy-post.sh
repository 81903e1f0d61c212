#!/usr/bin/env bash
#
# urllib3 2.8.0 sends a POST through a tunnel four times when the server reads it and closes without an answer;
# requests 2.34.2 with max_retries=3 does so too.
#
# Expected: one POST, and an error. By urllib3's page "Retry" a request is repeated after a read error only if its
# method is in allowed_methods, and POST is not; without the proxy it is so. RFC 9110, section 9.2.2: a POST must not
# be repeated by itself unless it is known that it was not applied.
# Seen: http.client closes the connection before it raises; urllib3's connection forgets with that that the proxy had
# been reached, so the lost answer becomes a ProxyError "Unable to connect to proxy", and errors of connecting are
# repeated for every method.
#
#   seen    : POSTs that the server read: urllib3 direct 1, urllib3 by proxy 4, requests direct 1, requests by proxy 4
#
# Why it matters: behind a company's proxy a worker that dies in the middle of an order gets it three times more.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check urllib3==2.8.0 requests==2.34.2 trustme==1.2.1
cd "$tmp"
timeout 60 venv/bin/python - <<'PY'
import contextlib
import socket
import ssl
import sys
import threading

import requests
import trustme
import urllib3
from requests.adapters import HTTPAdapter

authority = trustme.CA()
authority.cert_pem.write_to_path("ca.pem")
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
authority.issue_cert("localhost").configure_cert(context)
received = []


def in_threads(handle):
    """A listener whose connections are handled each in a thread of its own."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept():
        while True:
            threading.Thread(target=handle, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


def serve(peer):
    """Reads the POST, and dies without an answer."""
    with context.wrap_socket(peer, server_side=True) as peer:
        got = b""
        while not got.endswith(b"order=1"):
            got += peer.recv(65536)
        received.append(got)


def pump(source, target):
    with contextlib.suppress(OSError):  # the other side may be gone
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def tunnel(peer):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += peer.recv(1)
    with peer, socket.create_connection(("127.0.0.1", server)) as origin:
        peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        upwards = threading.Thread(target=pump, args=(peer, origin), daemon=True)
        upwards.start()
        pump(origin, peer)
        upwards.join()


server = in_threads(serve)
url, proxy = f"https://localhost:{server}/", f"http://127.0.0.1:{in_threads(tunnel)}"
session = requests.Session()
session.trust_env, session.verify = False, "ca.pem"
session.mount("https://", HTTPAdapter(max_retries=3))
CALLS = {
    "urllib3 direct": lambda: urllib3.PoolManager(ca_certs="ca.pem").request("POST", url, body="order=1", timeout=10),
    "urllib3 by proxy": lambda: urllib3.ProxyManager(proxy, ca_certs="ca.pem").request("POST", url, body="order=1", timeout=10),
    "requests direct": lambda: session.post(url, data="order=1", timeout=10),
    "requests by proxy": lambda: session.post(url, data="order=1", timeout=10, proxies={"https": proxy}),
}
seen, errors = {}, {}
for name, call in CALLS.items():
    received.clear()
    try:
        call()
    except (urllib3.exceptions.HTTPError, requests.RequestException) as error:
        errors[name] = error
    seen[name] = len(received)
print("version : urllib3", urllib3.__version__, "requests", requests.__version__)
print("expected: 1 each time (RFC 9110, section 9.2.2; urllib3's Retry: POST is not in allowed_methods)")
print("seen    : POSTs that the server read:", ", ".join(f"{name} {count}" for name, count in seen.items()))
print("          urllib3 by proxy says", str(errors.get("urllib3 by proxy")).partition("Caused by ")[2])
if list(seen.values()) != [1, 4, 1, 4] or len(errors) != 4:
    sys.exit("changed: the POST is repeated otherwise, or answered")
PY

#!/usr/bin/env bash
#
# tinyproxy 1.11.1 (Debian 12) answers wrong proxy credentials with 401 and WWW-Authenticate.
#
# Expected: 407 and Proxy-Authenticate, as for no credentials. RFC 9110, section 15.5.8: 407 is for authentication
# towards a proxy; section 15.5.2: 401 with WWW-Authenticate is for authentication towards the origin.
# Seen: 407 without credentials, 401 with wrong ones.
#
#   seen    : none 407 Proxy-Authenticate, wrong 401 WWW-Authenticate
#
# Why it matters: the user is told that the site refuses his password, a client that handles 401 asks for the site's
# credentials, and a CONNECT fails with a status that no client expects there.
set -eu
tmp=$(mktemp -d)
server=
stop() { [ -z "$server" ] || { kill -KILL -- "-$server" 2>/dev/null || true; sleep 0.2; }; rm -rf "$tmp"; }
trap stop EXIT
if ! command -v tinyproxy >/dev/null; then
    echo "needs tinyproxy: apt-get install tinyproxy" >&2
    exit 1
fi
python3 -m venv "$tmp/venv"
cd "$tmp"
mkdir run
export PORT=$(python3 -c 'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')
set -m  # the server gets a process group of its own, so that its children end with it
sh -c 'printf "Port %s\nListen 127.0.0.1\nTimeout 20\nLogFile \"$PWD/run/log\"\nBasicAuth user right\n" "$PORT" >conf;
    exec tinyproxy -d -c conf' >log 2>&1 &
server=$!
disown "$server"
set +m
timeout 60 venv/bin/python - <<'PY'
import base64
import os
import socket
import subprocess
import sys
import time

PORT = int(os.environ["PORT"])


def connect():
    """A connection to the server, as soon as it listens."""
    for _ in range(200):
        try:
            return socket.create_connection(("127.0.0.1", PORT), timeout=10)
        except ConnectionRefusedError:
            time.sleep(0.1)
    sys.exit("the server did not start")


seen = []
for credentials in None, "user:wrong":
    with connect() as peer:
        field = f"Proxy-Authorization: Basic {base64.b64encode(credentials.encode()).decode()}\r\n" if credentials else ""
        peer.sendall(f"GET http://127.0.0.1:9/ HTTP/1.1\r\nHost: 127.0.0.1:9\r\n{field}\r\n".encode())
        got = b""
        while data := peer.recv(65536):
            got += data
    head = got.decode().partition("\r\n\r\n")[0]
    names = [line.partition(":")[0] for line in head.split("\r\n")[1:]]
    seen.append((head.split()[1], " ".join(name for name in names if name.endswith("-Authenticate"))))
print("version :", subprocess.run(["tinyproxy", "-v"], capture_output=True, text=True).stdout.strip())
print("expected: 407 Proxy-Authenticate for both (RFC 9110, section 15.5.8)")
print(f"seen    : none {' '.join(seen[0])}, wrong {' '.join(seen[1])}")
if seen != [("407", "Proxy-Authenticate"), ("401", "WWW-Authenticate")]:
    sys.exit("changed: another status or field")
PY

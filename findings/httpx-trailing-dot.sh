#!/usr/bin/env bash
#
# httpx 0.28.1 and urllib.request cannot open https URLs whose host ends with a dot.
#
# Expected: 200, as requests, aiohttp and libcurl have it. RFC 3986, section 3.2.2: a name may end with a dot, which
# says that no search domain is to be added. RFC 6066, section 3: the name in TLS (SNI) is sent without the dot;
# certificates have none.
# Seen: the name goes into TLS and is compared with the certificate as it stands.
#
#   seen    : requests 200 with SNI localhost, aiohttp 200 with SNI localhost, pycurl 200 with SNI localhost,
#             httpx ConnectError with SNI localhost., urllib URLError with SNI localhost.
#
# Why it matters: the dot is what keeps a resolver with `ndots:5`, as Kubernetes has it, from asking for four other
# names first.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check httpx==0.28.1 httpcore==1.0.9 requests==2.34.2 urllib3==2.8.0 \
    aiohttp==3.14.5 pycurl==7.49.0 trustme==1.2.1
cd "$tmp"
timeout 60 venv/bin/python - <<'PY'
import asyncio
import importlib.metadata
import io
import socket
import ssl
import sys
import threading
import urllib.request

import aiohttp
import httpx
import pycurl
import requests
import trustme

authority = trustme.CA()
authority.cert_pem.write_to_path("ca.pem")
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
authority.issue_cert("localhost").configure_cert(context)
names = []
context.sni_callback = lambda _, name, __: names.append(name)
real = socket.getaddrinfo


def look_up(host, *args, **kwargs):
    """As DNS does it: a name with the dot has the addresses of the name without."""
    return real(host.rstrip("." if isinstance(host, str) else b"."), *args, **kwargs)


socket.getaddrinfo = look_up


def serve():
    while True:
        peer = listener.accept()[0]
        try:
            with context.wrap_socket(peer, server_side=True) as peer:
                while b"\r\n\r\n" not in peer.recv(65536):
                    pass
                peer.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello")
        except OSError:
            pass  # the client does not accept the certificate


listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=serve, daemon=True).start()
url = f"https://localhost.:{listener.getsockname()[1]}/"
trusting = ssl.create_default_context(cafile="ca.pem")
session = requests.Session()
session.trust_env, session.verify = False, "ca.pem"


async def by_aiohttp():
    async with aiohttp.ClientSession() as client, client.get(url, ssl=trusting) as response:
        return response.status


def by_pycurl():
    curl = pycurl.Curl()
    for option, value in (
        (pycurl.URL, url),
        (pycurl.CAINFO, "ca.pem"),
        (pycurl.NOPROXY, "*"),
        (pycurl.WRITEDATA, io.BytesIO()),
        (pycurl.RESOLVE, [f"localhost:{listener.getsockname()[1]}:127.0.0.1"]),
    ):
        curl.setopt(option, value)
    curl.perform()
    return curl.getinfo(pycurl.RESPONSE_CODE)


def by_urllib():
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trusting))
    return opener.open(url, timeout=10).status


CLIENTS = {
    "requests": lambda: session.get(url, timeout=10).status_code,
    "aiohttp": lambda: asyncio.run(by_aiohttp()),
    "pycurl": by_pycurl,
    "httpx": lambda: httpx.get(url, verify=trusting, trust_env=False).status_code,
    "urllib": by_urllib,
}
seen = {}
for name, get in CLIENTS.items():
    names.clear()
    try:
        seen[name] = f"{get()} with SNI {names[0]}"
    except Exception as error:  # whatever it is: the name is shown
        seen[name] = f"{type(error).__name__} with SNI {names[0]}"
packages = [f"{name} {importlib.metadata.version(name)}" for name in CLIENTS if name != "urllib"]
print("version :", ", ".join(packages), "Python", sys.version.split()[0])
print("expected: 200 with SNI localhost from each (RFC 6066, section 3)")
print("seen    :", ", ".join(f"{name} {what}" for name, what in seen.items()))
WANTED = ["200 with SNI localhost"] * 3 + ["ConnectError with SNI localhost.", "URLError with SNI localhost."]
if list(seen.values()) != WANTED:
    sys.exit("changed: other clients take the dot")
PY

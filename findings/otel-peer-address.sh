#!/usr/bin/env bash
#
# opentelemetry-instrumentation-requests 0.66b2 and -httpx 0.66b2 put the host of the URL into network.peer.address.
#
# Expected: the address that was connected to. OpenTelemetry's semantic conventions 1.44, registry "network":
# network.peer.address is the peer address of the network connection, an IP address or the name of a Unix-domain
# socket; the name of the server stands in server.address.
# Seen: the host of the URL in both attributes. Behind a proxy it names a host that nobody connected to.
#
#   seen    : requests, direct: server.address localhost, network.peer.address localhost
#             requests, by a proxy at 127.0.0.1: server.address api.test, network.peer.address api.test
#             httpx, direct: server.address localhost, network.peer.address localhost
#             httpx, by a proxy at 127.0.0.1: server.address api.test, network.peer.address api.test
#
# Why it matters: the attribute is there to tell which of a name's addresses, or which proxy, was slow or broken.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -qq --disable-pip-version-check --pre requests==2.34.2 httpx==0.28.1 opentelemetry-sdk==1.45.2 \
    opentelemetry-instrumentation-requests==0.66b2 opentelemetry-instrumentation-httpx==0.66b2
cd "$tmp"
OTEL_SEMCONV_STABILITY_OPT_IN=http timeout 60 venv/bin/python - <<'PY'
import importlib.metadata
import socket
import sys
import threading

import httpx
import requests
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


def serve():
    while True:
        peer = listener.accept()[0]
        with peer:
            while b"\r\n\r\n" not in peer.recv(65536):
                pass
            peer.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello")


listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=serve, daemon=True).start()
here = f"127.0.0.1:{listener.getsockname()[1]}"
spans, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
RequestsInstrumentor().instrument(tracer_provider=provider)
HTTPXClientInstrumentor().instrument(tracer_provider=provider)
session = requests.Session()
session.trust_env = False
direct, through = f"http://{here.replace('127.0.0.1', 'localhost')}/", "http://api.test/"
session.get(direct, timeout=10)
session.get(through, proxies={"http": f"http://{here}"}, timeout=10)
httpx.get(direct, trust_env=False)
httpx.get(through, trust_env=False, proxy=f"http://{here}")
ways = [f"{client}, {way}" for client in ("requests", "httpx") for way in ("direct", "by a proxy at 127.0.0.1")]
seen = [(span.attributes["server.address"], span.attributes.get("network.peer.address")) for span in spans.get_finished_spans()]
print("version :", *(importlib.metadata.version(f"opentelemetry-instrumentation-{name}") for name in ("requests", "httpx")))
print("expected: network.peer.address 127.0.0.1 everywhere (semantic conventions, registry of network attributes)")
for lead, way, (server, peer) in zip(("seen    :", *("         ",) * 3), ways, seen):
    print(f"{lead} {way}: server.address {server}, network.peer.address {peer}")
if seen != [("localhost", "localhost"), ("api.test", "api.test")] * 2:
    sys.exit("changed: the peer's address is another one")
PY

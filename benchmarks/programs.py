"""Real programs on requests and urllib3, each run as it is and with ``holdfast.contrib.urllib3.inject()``: the same result?

    pip install -r benchmarks/programs.txt      (into a virtual environment of its own)
    python -m benchmarks programs [--only NAME] [--verbose]

Every program is a few lines that use somebody's library against a server on loopback, run in two processes. Compared are what
it returned or raised, and what the server was asked: method, target, body. "carried" is how many requests holdfast sent.

Exit status: 0; 1 if a program differed; libraries that are not installed are passed over.
"""

# mypy: disable-error-code="import-not-found, import-untyped, no-untyped-call, unused-ignore"

from __future__ import annotations

import argparse
import contextlib
import gzip
import http.server
import io
import json
import logging
import os
import re
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

from benchmarks import table

# -- the server ----------------------------------------------------------------------------------------------------------

XML = '<?xml version="1.0"?>'
POD = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p", "resourceVersion": "1"}}
ANSWERS: dict[str, Any] = {
    "/json": {"a": [1, None, "ü"]},
    "/api/v1/namespaces/default/pods": {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": [POD]},
    "/v1/secret/data/x": {"data": {"data": {"k": "v"}, "metadata": {}}},
    "/repos/o/r": {"id": 1, "full_name": "o/r", "url": "http://h/repos/o/r"},
    "/user": {"login": "me", "id": 1},
    "/api/v4/projects/1": {"id": 1, "name": "p"},
    "/api/v1/query": {"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [1, "2"]}]}},
    "/token": {"access_token": "t", "token_type": "bearer", "expires_in": 3600},
    "/storage/v1/b/b/o/o": {"kind": "storage#object", "name": "o", "bucket": "b", "size": "5"},
    "/v1/customers": {"id": "cus_1", "object": "customer"},
    "/rest/api/2/serverInfo": {"version": "9.0", "versionNumbers": [9, 0, 0]},
    "/containers/json": [{"Id": "c1", "Names": ["/c"]}],
    "/version": {"ApiVersion": "1.44", "MinAPIVersion": "1.24", "Version": "26", "Os": "linux", "Arch": "amd64"},
}
ELASTIC = {
    "name": "n", "cluster_name": "c", "tagline": "You Know, for Search",
    "version": {"number": "7.17.0", "build_flavor": "default", "lucene_version": "8", "distribution": "elasticsearch"},
}  # fmt: skip


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers by the path, and enters every request into the ledger."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name it has there
        pass

    def address_string(self) -> str:
        return "client"

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            pieces = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return b"".join(pieces)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def handle_expect_100(self) -> bool:
        if "refuse" in self.path:
            self._answer(403, f"{XML}<Error><Code>AccessDenied</Code></Error>".encode(), "application/xml")
            self.close_connection = True
            return False
        self.server.ledger.append("100 Continue")  # type: ignore[attr-defined]
        return super().handle_expect_100()

    def _answer(self, status: int, body: bytes, kind: str = "application/json", *more: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in (("Content-Type", kind), ("Content-Length", str(len(body))), *more):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _chunks(self, *pieces: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in (*pieces, b""):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))

    def serve(self) -> None:
        body = self._body()
        path = self.path.partition("?")[0]
        self.server.ledger.append([self.command, self.path, body.decode("latin-1")])  # type: ignore[attr-defined]
        if path.startswith("/ntlm"):
            self._ntlm()
        elif path == "/ping":
            self._answer(204, b"", "text/plain", ("X-Influxdb-Version", "1.8"))
        elif path == "/gzip":
            self._answer(200, gzip.compress(b"z" * 5000, mtime=0), "text/plain", ("Content-Encoding", "gzip"))
        elif path == "/redirect":
            self._answer(302, b"", "text/plain", ("Location", "/json"), ("Set-Cookie", "c=1; Path=/"))
        elif path.startswith("/status/"):
            self._answer(int(path[8:]), b'{"error": "said so", "message": "said so"}')
        elif path == "/cached":
            self._answer(200, b"cached", "text/plain", ("Cache-Control", "max-age=60"), ("Date", self.date_time_string()))
        elif "watch=" in self.path:
            self._chunks(*(json.dumps({"type": "ADDED", "object": POD}).encode() + b"\n" for _ in range(3)))
        elif path == "/stream":
            self._chunks(b"one\n", b"two\nth", b"ree\n")
        elif path.startswith("/bucket"):
            self._s3(path)
        elif path in ANSWERS or path.rpartition("/v1.44")[2] in ANSWERS:
            self._answer(200, json.dumps(ANSWERS.get(path) or ANSWERS[path.rpartition("/v1.44")[2]]).encode())
        elif "alt=media" in self.path:
            self._answer(200, b"hello", "text/plain", ("X-Goog-Hash", "md5=XUFAKrxLKna5cZ2REBfFkg=="))
        else:
            self._answer(200, json.dumps(ELASTIC).encode(), "application/json", ("X-Elastic-Product", "Elasticsearch"))

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = serve

    def _s3(self, path: str) -> None:
        if path.endswith("missing"):
            self._answer(404, f"{XML}<Error><Code>NoSuchKey</Code><Message>no</Message></Error>".encode(), "application/xml")
        elif self.command == "GET" and path.endswith("key"):
            self._answer(200, b"object", "binary/octet-stream", ("ETag", '"e"'))
        else:
            self._answer(200, b"", "application/xml", ("ETag", '"e"'))

    def _ntlm(self) -> None:
        said = self.headers.get("Authorization", "")
        legs = getattr(self, "legs", 0)
        self.legs = legs + 1 if said else 0  # of this connection: NTLM authenticates it, not a request
        challenge = "TlRMTVNTUAACAAAADAAMADgAAAAFgomiASNFZ4mrze8AAAAAAAAAAAAAAABEAAAABgBxFwAAAA9EAE8ATQBBAEkATgA="
        if self.legs >= 2:
            self._answer(200, b"in", "text/plain")
        else:
            self._answer(401, b"", "text/plain", ("WWW-Authenticate", f"NTLM {challenge}" if said else "NTLM"))


class Service(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """The server; ``ledger`` has what it was asked."""

    daemon_threads = True
    block_on_close = False

    handler: type[Handler] = Handler

    def __init__(self, address: Any) -> None:
        self.ledger: list[Any] = []
        super().__init__(address, self.handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


class UnixHandler(Handler):
    """The same without options that are TCP's."""

    disable_nagle_algorithm = False


class UnixService(Service):
    """The same on a Unix socket."""

    address_family = socket.AF_UNIX
    handler = UnixHandler

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "localhost", 0


# -- the programs --------------------------------------------------------------------------------------------------------

PROGRAMS: dict[str, Callable[[str, Service], Any]] = {}


def program(function: Callable[[str, Service], Any]) -> Callable[[str, Service], Any]:
    """Enter it under its name."""
    PROGRAMS[function.__name__] = function
    return function


@program
def requests(url: str, server: Service) -> Any:
    import requests as r

    with r.Session() as s:
        found = [s.get(url + "/json").json(), s.get(url + "/gzip").text, s.get(url + "/redirect").url, dict(s.cookies)]
        found += [s.post(url + "/x", data={"a": "b"}).status_code, s.post(url + "/x", json={"f": [1, 2]}).ok]
        found += [list(s.get(url + "/stream", stream=True).iter_lines()), s.head(url + "/json").headers["Content-Length"]]
        found += [s.put(url + "/x", data=iter([b"a", b"b"])).status_code, s.get(url + "/status/404").reason]
        with contextlib.suppress(r.HTTPError):
            s.get(url + "/status/500").raise_for_status()
        return found


@program
def requests_adapter_with_retries(url: str, server: Service) -> Any:
    import requests as r
    from requests.adapters import HTTPAdapter
    from urllib3.util.retry import Retry

    s = r.Session()
    s.mount("http://", HTTPAdapter(pool_connections=1, pool_maxsize=2, max_retries=Retry(2, status_forcelist=[503])))
    s.get(url + "/status/503")


@program
def requests_ntlm(url: str, server: Service) -> Any:
    import requests as r
    import requests_ntlm as ntlm

    return r.get(url + "/ntlm", auth=ntlm.HttpNtlmAuth("DOM\\user", "password")).status_code


@program
def requests_toolbelt(url: str, server: Service) -> Any:
    import requests as r
    from requests_toolbelt import MultipartEncoder, sessions
    from requests_toolbelt.adapters.socket_options import TCPKeepAliveAdapter
    from requests_toolbelt.utils import dump

    s = sessions.BaseUrlSession(url)
    s.mount("http://", TCPKeepAliveAdapter(idle=30))
    m = MultipartEncoder({"f": "v"}, boundary="b")
    answer = s.post("/x", data=m, headers={"Content-Type": m.content_type})
    return [answer.status_code, re.sub(rb"\d{5}|Date.*?GMT", b"", dump.dump_all(r.get(url + "/json")))]


@program
def requests_oauthlib(url: str, server: Service) -> Any:
    from oauthlib.oauth2 import BackendApplicationClient
    from requests_oauthlib import OAuth2Session

    os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"
    s = OAuth2Session(client=BackendApplicationClient("id"))
    return [s.fetch_token(url + "/token", client_secret="s")["access_token"], s.get(url + "/json").json()]


@program
def boto3_s3(url: str, server: Service) -> Any:
    import boto3
    from botocore.exceptions import ClientError

    s3 = boto3.client("s3", "us-east-1", endpoint_url=url, aws_access_key_id="a", aws_secret_access_key="b")
    put = s3.put_object(Bucket="bucket", Key="key", Body=io.BytesIO(b"x" * 200_000))["ETag"]
    got = s3.get_object(Bucket="bucket", Key="key")["Body"].read()
    began = time.monotonic()
    codes = []
    for call, given in ((s3.get_object, {"Key": "missing"}), (s3.put_object, {"Key": "refuse", "Body": io.BytesIO(b"y")})):
        try:
            call(Bucket="bucket", **given)
        except ClientError as error:
            codes.append(error.response["Error"]["Code"])
    s3.put_object(Bucket="bucket", Key="bytes", Body=b"abc")
    return [put, got, codes, time.monotonic() - began < 0.9]


@program
def minio(url: str, server: Service) -> Any:
    import minio as m

    client = m.Minio(url[7:], "a", "b", secure=False, region="us-east-1")
    return [client.put_object("bucket", "key", io.BytesIO(b"abc"), 3).etag, client.get_object("bucket", "key").read()]


@program
def kubernetes(url: str, server: Service) -> Any:
    from kubernetes import client, watch

    api = client.CoreV1Api(client.ApiClient(client.Configuration(host=url)))
    events = list(watch.Watch().stream(api.list_namespaced_pod, "default", timeout_seconds=1, _request_timeout=3))
    try:
        api.api_client.rest_client.request("GET", url + "/status/404")
    except client.ApiException as error:
        status = error.status
    else:
        status = 0
    names = [getattr(pod.metadata, "name", None) for pod in api.list_namespaced_pod("default").items]
    return [names, [e["type"] for e in events][:3], status]


@program
def elasticsearch(url: str, server: Service) -> Any:
    from elasticsearch import Elasticsearch

    client = Elasticsearch(url)
    return [client.info()["tagline"], client.index(index="i", document={"a": 1})["name"], client.ping()]


@program
def elasticsearch7(url: str, server: Service) -> Any:
    from elasticsearch7 import Elasticsearch

    client = Elasticsearch([url])
    return [client.info()["tagline"], client.search(index="i", body={"query": {"match_all": {}}})["name"]]


@program
def opensearchpy(url: str, server: Service) -> Any:
    from opensearchpy import OpenSearch

    client = OpenSearch([url])
    return [client.info()["tagline"], client.index(index="i", body={"a": 1}, id="1")["name"]]


@program
def sentry_sdk(url: str, server: Service) -> Any:
    import requests as r
    import sentry_sdk as sentry

    sentry.init(url.replace("://", "://key@") + "/1", traces_sample_rate=1.0, shutdown_timeout=5, auto_session_tracking=False)
    with sentry.start_transaction(name="t") as t:
        sent = r.get(url + "/json").request.headers
        spans = [(s.op, re.sub(r":\d+", "", s.description or "")) for s in t._span_recorder.spans[1:]]
        crumbs = [c["category"] for c in sentry.get_isolation_scope()._breadcrumbs]
    sentry.capture_message("hello")
    sentry.flush(5)
    kinds = sorted(line[0] for line in server.ledger if "/envelope/" in line[1])
    server.ledger[:] = []  # bodies have times and identities
    return [spans, crumbs, kinds, sorted(sent)]


@program
def github(url: str, server: Service) -> Any:
    from github import Auth, Github

    g = Github(auth=Auth.Token("t"), base_url=url, retry=0)
    return [g.get_repo("o/r").full_name, g.get_user().login]


@program
def gitlab(url: str, server: Service) -> Any:
    import gitlab as g

    return g.Gitlab(url, private_token="t").projects.get(1).name


@program
def docker_over_unix(url: str, server: Service) -> Any:
    import docker

    path = tempfile.mktemp(suffix=".sock")
    with UnixService(path) as unix:
        threading.Thread(target=unix.serve_forever, daemon=True).start()
        client = docker.APIClient(base_url="unix://" + path, version="1.44")
        found = [client.version()["Version"], [c["Id"] for c in client.containers()]]
        client.close()
        unix.shutdown()
    os.unlink(path)
    return found


@program
def docker_over_tcp(url: str, server: Service) -> Any:
    import docker

    client = docker.APIClient(base_url=url.replace("http", "tcp"), version="1.44")
    return [client.version()["Version"], [c["Id"] for c in client.containers()]]


@program
def google_auth(url: str, server: Service) -> Any:
    import google.auth.transport.requests as by_requests
    import google.auth.transport.urllib3 as by_urllib3
    import urllib3

    one, two = by_requests.Request(), by_urllib3.Request(urllib3.PoolManager())
    return [one(url + "/json").data, two(url + "/json", "POST", b"x").data]


@program
def google_cloud_storage(url: str, server: Service) -> Any:
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    client = storage.Client("p", AnonymousCredentials(), client_options={"api_endpoint": url})
    found = client.bucket("b").blob("o").download_as_bytes()
    # A thread of the library's asks for the bucket meanwhile, or not.
    server.ledger[:] = [entry for entry in server.ledger if "projection" not in entry[1]]
    return found


@program
def azure_core(url: str, server: Service) -> Any:
    from azure.core import PipelineClient
    from azure.core.rest import HttpRequest

    client = PipelineClient(url)
    got = client.send_request(HttpRequest("GET", url + "/json")).json()
    return [got, client.send_request(HttpRequest("PUT", url + "/x", content=b"abc")).status_code]


@program
def hvac(url: str, server: Service) -> Any:
    import hvac as h

    return h.Client(url, token="t").secrets.kv.v2.read_secret_version("x", raise_on_deleted_version=True)["data"]["data"]


@program
def twilio(url: str, server: Service) -> Any:
    from twilio.http.http_client import TwilioHttpClient

    answer = TwilioHttpClient(max_retries=2).request("POST", url + "/json", data={"a": "b"}, auth=("u", "p"))
    return [answer.status_code, answer.text]


@program
def stripe(url: str, server: Service) -> Any:
    import stripe as s

    client = s.StripeClient("sk_test", base_addresses={"api": url}, http_client=s.RequestsClient())
    customer = client.v1.customers.create(options={"idempotency_key": "k"})
    return customer.id


@program
def jira(url: str, server: Service) -> Any:
    import jira as j

    return j.JIRA(url, basic_auth=("u", "p"), get_server_info=True, max_retries=0).server_info()["version"]


@program
def influxdb(url: str, server: Service) -> Any:
    from influxdb import InfluxDBClient

    host, port = url[7:].split(":")
    return InfluxDBClient(host, int(port), retries=1).ping()


@program
def prometheus_api_client(url: str, server: Service) -> Any:
    from prometheus_api_client import PrometheusConnect

    return PrometheusConnect(url, disable_ssl=True).custom_query("up")


@program
def pysolr(url: str, server: Service) -> Any:
    import pysolr as p

    return p.Solr(url + "/solr", always_commit=False).ping()


@program
def cachecontrol(url: str, server: Service) -> Any:
    import requests as r
    from cachecontrol import CacheControl

    s = CacheControl(r.Session())
    return [(s.get(url + "/cached").text, getattr(s.get(url + "/cached"), "from_cache", None)) for _ in range(2)]


@program
def opentelemetry(url: str, server: Service) -> Any:
    import requests as r
    from opentelemetry.instrumentation.requests import RequestsInstrumentor
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    RequestsInstrumentor().instrument(tracer_provider=provider)
    sent = r.get(url + "/redirect").request.headers
    return [[s.name for s in spans.get_finished_spans()], "traceparent" in sent]


@program
def otlp_exporter(url: str, server: Service) -> Any:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(url + "/v1/traces").export([]).name


@program
def responses(url: str, server: Service) -> Any:
    import requests as r
    import responses as mocked

    with mocked.RequestsMock() as m:
        m.get(url + "/json", json={"mocked": True})
        return [r.get(url + "/json").json(), len(m.calls)]


@program
def requests_mock(url: str, server: Service) -> Any:
    import requests as r
    import requests_mock as mocked

    with mocked.Mocker() as m:
        m.get(url + "/json", json={"mocked": True})
        return [r.get(url + "/json").json(), m.call_count]


@program
def vcr(url: str, server: Service) -> Any:
    import requests as r
    import vcr as v

    with tempfile.TemporaryDirectory() as directory:
        for _ in range(2):
            with v.use_cassette(directory + "/c.yaml") as cassette:
                found = [r.get(url + "/json").json(), r.post(url + "/x", data="y").status_code]
        return [found, cassette.play_count]


@program
def betamax(url: str, server: Service) -> Any:
    import betamax as b
    import requests as r

    with tempfile.TemporaryDirectory() as directory:
        s = r.Session()
        for _ in range(2):
            with b.Betamax(s, cassette_library_dir=directory).use_cassette("c"):
                found = s.get(url + "/json").json()
        return found


@program
def requests_cache(url: str, server: Service) -> Any:
    from requests_cache import CachedSession

    s = CachedSession(backend="memory")
    return [(s.get(url + "/json").json(), s.get(url + "/json").from_cache) for _ in range(2)]


# -- running them --------------------------------------------------------------------------------------------------------


def run_one(name: str, injected: bool) -> None:
    """In a process of its own: prints what came of it."""
    logging.disable(logging.CRITICAL)
    sys.stdout, stdout = sys.stderr, sys.stdout
    if injected:
        import holdfast.contrib.urllib3 as under

        under.inject()
    with Service(("127.0.0.1", 0)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        try:
            found = repr(PROGRAMS[name](url, server))
        except ImportError as error:
            found = f"not installed: {error}"
        except Exception as error:
            found = f"raised {type(error).__module__}.{type(error).__qualname__}: {error}"
        plain = re.sub(r"0x[0-9a-f]+", "0x", found.replace(str(server.server_port), "PORT"))
        ledger = json.loads(json.dumps(server.ledger).replace(str(server.server_port), "PORT"))
        carried = [under.stats().requests, sum(under.left_to_urllib3().values())] if injected else [0, 0]
        print(json.dumps([plain, ledger, carried]), file=stdout, flush=True)
        os._exit(0)


def ask(name: str, how: str) -> list[Any]:
    """Run one in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "benchmarks.programs", "run", name, how],
        capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    try:
        answer: list[Any] = json.loads(done.stdout)
    except ValueError:
        return [f"broke: {done.stderr[-300:]}", [], [0, 0]]
    return answer


def main() -> int:
    """Run all, print the table; the exit status."""
    if sys.argv[1:2] == ["run"]:
        run_one(sys.argv[2], sys.argv[3] == "injected")
    parser = argparse.ArgumentParser(prog="python -m benchmarks programs", description=__doc__.partition("\n")[0])  # type: ignore[union-attr]
    parser.add_argument("--only", action="append", choices=list(PROGRAMS))
    parser.add_argument("--verbose", action="store_true", help="print what each returned")
    options = parser.parse_args()
    rows: list[list[str]] = []
    differ = tried = 0
    for name in options.only or PROGRAMS:
        plain, ours = ask(name, "plain"), ask(name, "injected")
        if plain[0].startswith("not installed"):
            rows.append([name, "not installed", "", ""])
            continue
        tried += 1
        same = plain[:2] == ours[:2]
        differ += not same
        how = "DIFFERS" if not same else "same error" if plain[0].startswith("raised") else "same"
        rows.append([name, how, str(ours[2][0]), str(ours[2][1])])
        if options.verbose or not same:
            print(f"{name}\n  as it is: {plain[:2]!s:.900}\n  injected: {ours[:2]!s:.900}")
    print(table([["program", "result", "requests carried", "left to urllib3"], *rows]))
    print(f"\n{tried - differ} of {tried} the same")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())

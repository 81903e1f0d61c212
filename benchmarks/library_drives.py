"""What stands on a session or an adapter of requests: libraries around requests, tools for tests, and programs."""

# mypy: ignore-errors
# The libraries are installed in an environment of their own, which no type checker sees.

from __future__ import annotations

import io
import os
import tempfile
import threading
from collections.abc import Callable
from typing import Any

from library_run import drive, failing


@drive("requests-toolbelt")
def toolbelt(url: str) -> Any:
    import requests
    from requests_toolbelt import MultipartEncoder, MultipartEncoderMonitor, StreamingIterator, sessions
    from requests_toolbelt.adapters import socket_options, source
    from requests_toolbelt.downloadutils import stream
    from requests_toolbelt.utils import dump

    seen: list[int] = []
    encoder = MultipartEncoder({"a": "1", "f": ("name.txt", io.BytesIO(b"x" * 5000), "text/plain")}, boundary="b")
    monitor = MultipartEncoderMonitor(encoder, lambda m: seen.append(m.bytes_read))
    posted = requests.post(url + "/echo", data=monitor, headers={"Content-Type": monitor.content_type})
    streamed = requests.post(url + "/echo", data=StreamingIterator(6, iter([b"abc", b"def"])))
    base = sessions.BaseUrlSession(url + "/")
    session = requests.Session()
    session.mount("http://", source.SourceAddressAdapter("127.0.0.1"))
    with tempfile.TemporaryDirectory() as folder:
        path = stream.stream_response_to_file(session.get(url + "/bytes", stream=True), path=os.path.join(folder, "x"))
        size = os.path.getsize(path)
    options = socket_options.TCPKeepAliveAdapter(idle=20, interval=5)
    session.mount("http://", options)
    dumped = dump.dump_all(session.get(url + "/json"))
    lines = [dumped.count(b"< "), dumped.count(b"> ")]
    return posted.json()["length"], seen[-1], streamed.json()["length"], base.get("json").json(), size, lines[1] > 3


@drive("requests-oauthlib")
def oauthlib(url: str) -> Any:
    os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"
    import requests
    from requests_oauthlib import OAuth1, OAuth2Session

    signed = requests.get(url + "/echo", auth=OAuth1("key", "secret", "token", "secret", timestamp="1", nonce="n"))
    session = OAuth2Session("id", redirect_uri=url + "/back")
    token = session.fetch_token(url + "/token", code="c", client_secret="s", include_client_id=True)
    return (
        signed.json()["headers"]["Authorization"],
        token["access_token"],
        session.get(url + "/echo").json()["headers"]["Authorization"],
    )


@drive("requests-mock")
def mock(url: str) -> Any:
    import requests
    import requests_mock

    with requests_mock.Mocker() as m:
        m.get("http://mocked.example/a", json={"a": 1}, headers={"X": "1"})
        m.post("http://mocked.example/a", exc=requests.exceptions.ConnectTimeout)
        got = requests.get("http://mocked.example/a", timeout=5)
        history = [m.request_history[0].timeout, m.request_history[0].verify, m.call_count]
        raised = failing(lambda: requests.post("http://mocked.example/a"))
    session, adapter = requests.Session(), requests_mock.Adapter()
    session.mount("mock://", adapter)
    adapter.register_uri("GET", "mock://x.example/a", text="data")
    return got.json(), got.headers["X"], history, raised, session.get("mock://x.example/a").text, requests.get(url + "/json").json()


@drive("responses")
def responses_(url: str) -> Any:
    import requests
    import responses
    from requests.adapters import HTTPAdapter
    from urllib3.util.retry import Retry

    with responses.RequestsMock() as m:
        m.get("http://mocked.example/a", json={"a": 1}, status=404)
        first = requests.get("http://mocked.example/a")
        m.add(responses.GET, "http://mocked.example/b", body=requests.exceptions.ConnectionError("no"))
        raised = failing(lambda: requests.get("http://mocked.example/b"))
        m.get("http://mocked.example/c", status=500)
        m.get("http://mocked.example/c", body="well")
        session = requests.Session()
        session.mount("http://", HTTPAdapter(max_retries=Retry(2, status_forcelist=[500])))
        again = session.get("http://mocked.example/c").text
        unknown = failing(lambda: requests.get("http://mocked.example/none"))
    return first.status_code, first.json(), raised, again, unknown, len(m.calls)


@drive("betamax")
def betamax_(url: str) -> Any:
    import betamax
    import requests

    with tempfile.TemporaryDirectory() as folder:
        found = []
        for _ in range(2):
            session = requests.Session()
            recorder = betamax.Betamax(session, cassette_library_dir=folder)
            with recorder.use_cassette("one", record="once"):
                response = session.get(url + "/cookie")
                found.append([response.status_code, response.text, dict(response.cookies)])
        return found


@drive("CacheControl")
def cachecontrol_(url: str) -> Any:
    import cachecontrol
    import requests

    session = cachecontrol.CacheControl(requests.Session())
    found = [session.get(url + "/cached") for _ in range(3)]
    chunked = [session.get(url + "/cached-chunked").text for _ in range(2)]
    return [[r.text, r.from_cache] for r in found], chunked, session.get(url + "/json").from_cache


@drive("requests-cache")
def requests_cache_(url: str) -> Any:
    import requests
    import requests_cache

    session = requests_cache.CachedSession(backend="memory")
    found = [session.get(url + "/json", params={"a": 1}) for _ in range(2)]
    requests_cache.install_cache(backend="memory")
    installed = [requests.get(url + "/cookie") for _ in range(2)]
    requests_cache.uninstall_cache()
    plain = requests.get(url + "/cookie")
    return [[r.json(), r.from_cache] for r in found], [[r.text, r.from_cache] for r in installed], hasattr(plain, "from_cache")


@drive("opentelemetry-instrumentation-requests")
def opentelemetry_(url: str) -> Any:
    import requests
    from opentelemetry.instrumentation.requests import RequestsInstrumentor
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    RequestsInstrumentor().instrument(tracer_provider=provider)
    traced = requests.get(url + "/echo").json()["headers"].get("Traceparent", "")
    requests.Session().post(url + "/status/404", json={})
    RequestsInstrumentor().uninstrument()
    return bool(traced), [[s.name, dict(s.attributes)["http.status_code"]] for s in exporter.get_finished_spans()]


@drive("requests-futures")
def futures(url: str) -> Any:
    from requests_futures.sessions import FuturesSession

    with FuturesSession(max_workers=20) as session:
        calls = [session.get(f"{url}/json?n={n}") for n in range(30)]
        found = [call.result().status_code for call in calls]
        hooked = session.get(url + "/json", hooks={"response": lambda r, *a, **k: setattr(r, "data", r.json())}).result()
    return found, hooked.data


@drive("requests-file")
def file_(url: str) -> Any:
    import requests
    from requests_file import FileAdapter

    session = requests.Session()
    session.mount("file://", FileAdapter())
    with tempfile.NamedTemporaryFile(suffix=".txt") as file:
        file.write(b"some text")
        file.flush()
        there = session.get(f"file://{file.name}")
    return there.status_code, there.text, session.get("file:///nowhere/at/all").status_code, session.get(url + "/json").json()


@drive("requests-aws4auth")
def aws4(url: str) -> Any:
    import requests
    from requests_aws4auth import AWS4Auth

    auth = AWS4Auth("id", "secret", "eu-west-1", "s3")
    found = requests.post(url + "/echo", data={"a": "1"}, auth=auth).json()
    return found["length"], found["headers"]["Authorization"].split(",")[1], sorted(name.lower() for name in found["headers"])


@drive("requests-unixsocket")
def unixsocket(url: str) -> Any:
    import requests_unixsocket

    path, stop = serve_on_a_socket()
    session = requests_unixsocket.Session()
    found = session.get(f"http+unix://{path.replace('/', '%2F')}/some/path?a=1")
    stop()
    return found.status_code, found.text


@drive("docker")
def docker_(url: str) -> Any:
    import docker

    path, stop = serve_on_a_socket(b'{"ApiVersion": "1.44", "Id": "x"}')
    client = docker.APIClient(base_url=f"unix://{path}", version="1.44")
    found = client.info()["Id"]
    stop()
    over_tcp = docker.APIClient(base_url=url.replace("http", "tcp") + "/docker", version="1.44")
    return found, over_tcp.info()["Id"], failing(lambda: over_tcp.inspect_container("none"))


def serve_on_a_socket(body: bytes = b"over a socket") -> tuple[str, Callable[[], None]]:
    """An HTTP server on a Unix-domain socket: its path, and what stops it."""
    import socket

    path = tempfile.mktemp(suffix=".sock")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(5)

    def run() -> None:
        while True:
            try:
                conn, _ = listener.accept()
            except OSError:
                return
            with conn:
                while b"\r\n\r\n" not in conn.recv(65536):
                    pass
                fields = f"Content-Type: application/json\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
                head = f"HTTP/1.1 200 OK\r\n{fields}"
                conn.sendall(head.encode() + body)

    threading.Thread(target=run, daemon=True).start()

    def stop() -> None:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        os.unlink(path)

    return path, stop


@drive("requests_ntlm")
def ntlm(url: str) -> Any:
    import requests
    from requests_ntlm import HttpNtlmAuth

    session = requests.Session()
    session.auth = HttpNtlmAuth("domain\\user", "password")
    found = session.get(url + "/ntlm")
    return found.status_code, found.text, len(found.history)


@drive("cloudscraper")
def cloudscraper_(url: str) -> Any:
    import cloudscraper

    scraper = cloudscraper.create_scraper(browser={"browser": "chrome", "platform": "linux", "desktop": True})
    found = scraper.get(url + "/echo").json()
    return found["headers"]["User-Agent"][:11], scraper.get(url + "/status/503").status_code


@drive("locust")
def locust_(url: str) -> Any:
    from locust.clients import HttpSession
    from locust.env import Environment

    environment = Environment()
    heard: list[Any] = []
    environment.events.request.add_listener(
        lambda **said: heard.append([said["name"], said["response_length"], said["exception"] is None])
    )
    session = HttpSession(base_url=url, request_event=environment.events.request, user=None)
    good = session.get("/json")
    bad = session.get("/status/500")
    with session.get("/json", catch_response=True) as caught:
        caught.failure("because")
    return good.json(), bad.status_code, heard


@drive("httpie")
def httpie_(url: str) -> Any:
    from httpie.context import Environment
    from httpie.core import main

    found = []
    for arguments in (
        ["--ignore-stdin", "--body", url + "/json", "a==1"],
        ["--ignore-stdin", "--headers", "POST", url + "/status/404", "b=2"],
    ):
        out = io.BytesIO()
        text = io.TextIOWrapper(out, write_through=True)
        status = main(["http", *arguments], env=Environment(stdout=text, stdout_isatty=False, stderr=io.StringIO(), stdin=None))
        text.seek(0)
        found.append([int(status), text.read().splitlines()[0]])
    return found


@drive("MechanicalSoup")
def mechanicalsoup_(url: str) -> Any:
    import mechanicalsoup

    browser = mechanicalsoup.StatefulBrowser()
    browser.open(url + "/form")
    browser.select_form("form")
    browser["name"] = "me"
    answer = browser.submit_selected()
    return answer.json()["body"], browser.url.replace(url, "")


@drive("tldextract")
def tldextract_(url: str) -> Any:
    import tldextract

    extract = tldextract.TLDExtract(cache_dir=None, suffix_list_urls=[url + "/suffixes"], fallback_to_snapshot=False)
    found = extract("http://a.b.example.co.test/x")
    return found.subdomain, found.domain, found.suffix

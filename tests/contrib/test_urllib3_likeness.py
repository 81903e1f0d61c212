"""Each scenario is played twice, by urllib3 as it is and with holdfast under it: what the program sees has to be the same."""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import ssl
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import urllib3
from urllib3.util.retry import Retry
from urllib3.util.timeout import Timeout

from holdfast.contrib import urllib3 as under
from holdfast.contrib.urllib3 import keeping
from tests.conftest import Tls
from tests.server import Conn, Script, Server, chunked, chunks, connect_proxy, echo, head, ok, redirect, replies, response

pytestmark = pytest.mark.usefixtures("no_leaks")

Scene = Callable[[Server], Any]


def one(*pieces: bytes, then: str = "end") -> Script:
    """A connection that answers its first request so, and ends."""

    def script(conn: Conn) -> None:
        conn.expect_request()
        if pieces:
            conn.send(*pieces)
        {"end": lambda: None, "close": conn.close, "rst": conn.rst, "wait": conn.wait_closed}[then]()

    return script



@pytest.fixture(autouse=True)
def pool_without_keeper(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(keeping, "_transport", transport := keeping.new_transport(keeper=False))
    yield
    under.eject()
    transport.close()


def told(scene: Scene, server: Server) -> tuple[Any, list[tuple[str, str]]]:
    """What a scene gave, or how it failed, without ports and addresses; and its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found: Any = scene(server)
        except Exception as error:  # noqa: BLE001 - the exception is what is compared
            found = [type(error), str(error), *_reasons(error)]
    seen = [(w.category.__name__, _plain(str(w.message))) for w in caught if w.category is not ResourceWarning]
    return _plain(found), seen


def _reasons(error: Any) -> list[Any]:
    found = []
    while (reason := getattr(error, "reason", None) or getattr(error, "original_error", None)) is not None:
        if not isinstance(reason, Exception):
            break
        found += [type(reason), str(reason)]
        error = reason
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return _plain(value.decode("latin-1")).encode("latin-1")
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return _VARIES.sub(r"\1N", value) if isinstance(value, str) else value


def same(script: Script | list[Script], scene: Scene, **server: Any) -> Any:
    """Play it twice; what both saw."""
    results = []
    for injected in (False, True):
        (under.inject if injected else under.eject)()
        with Server(script, **server) as peer:
            results.append((told(scene, peer), [(r.method, r.target, r.version, _fields(r), r.body) for r in peer.requests]))
    under.eject()
    assert results[1] == results[0]
    return results[0][0][0]


def _fields(request: Any) -> list[tuple[str, str]]:
    # A Host field that the program gives goes first: RFC 9110, section 7.2.
    return sorted(((name, _plain(value)) for name, value in request.headers), key=lambda field: field[0] != "Host")


_VARIES = re.compile(r"(timeout=|port=|127\.0\.0\.1:|localhost:|0x)[0-9a-f.]+|\(_ssl\.c:\d+\)")


def seen(answer: Any) -> list[Any]:
    """Everything a urllib3 response says."""
    return [
        answer.status,
        answer.reason,
        answer.version,
        answer.data,
        list(answer.headers.items()),
        answer.headers.getlist("Set-Cookie"),
        answer.getheader("X-Twice"),
        answer.geturl(),
        answer.tell(),
        answer.closed,
        answer.isclosed(),
        answer.chunked,
        answer.length_remaining,
        answer.supports_chunked_reads(),
        None if answer.retries is None else [h.status for h in answer.retries.history],
        answer.connection is None,
        type(answer),
        list(answer._original_response.msg.items()),
        answer._original_response.getheaders(),
    ]


def fetch(method: str = "GET", path: str = "/", **kwargs: Any) -> Scene:
    def scene(server: Server) -> Any:
        # What is read once is made anew for each of the two.
        given = {name: value() if callable(value) else value for name, value in kwargs.items()}
        with urllib3.PoolManager() as manager:
            return seen(manager.request(method, server.url(path), **given))

    return scene


def leading_there(conn: Conn) -> None:
    """Says 307, and at /there what is there, on one connection (urllib3) or two: a 307 does not prove that the body was read."""
    for request in conn.read_requests():
        conn.send(ok(b"there") if request.target == "/there" else redirect("/there", 307))


PLAIN: list[tuple[str, Script | list[Script], Scene]] = [
    ("get", echo, fetch()),
    ("head", replies(head(200, "Content-Length: 5")), fetch("HEAD")),
    ("204", replies(head(204)), fetch("DELETE")),
    ("304", replies(head(304, "Content-Length: 9")), fetch()),
    ("post", echo, fetch("POST", body=b"body")),
    ("post nothing", echo, fetch("POST")),
    ("post fields", echo, fetch("POST", fields={"a": "b"}, encode_multipart=False)),
    ("post json", echo, fetch("POST", json={"a": ["b", None]})),
    ("put iterator", echo, fetch("PUT", body=[b"a", b"", "ü"])),
    ("put file", echo, fetch("PUT", body=lambda: io.BytesIO(b"file" * 9000))),
    ("put text file", echo, fetch("PUT", body=lambda: io.StringIO("täxt"))),
    ("put chunked", echo, fetch("PUT", body=b"abc", chunked=True)),
    ("own length of an iterator", echo, fetch("PUT", body=lambda: iter([b"ab", b"c"]), headers={"Content-Length": "3"})),
    ("get with body", echo, fetch("GET", body=b"odd")),
    ("headers", echo, fetch(headers={"X-Case": "  spaced ", "user-agent": "me", "Accept-Encoding": "gzip"})),
    ("skipped headers", echo, fetch(headers={"User-Agent": urllib3.util.SKIP_HEADER, "Accept-Encoding": urllib3.util.SKIP_HEADER})),
    ("odd target", echo, fetch(path="/a%2fb//c/../d?x=%7e&y=[1]|2")),
    ("several fields", replies(ok(b"x", "Set-Cookie: a=1", "Set-Cookie: b=2", "X-Twice: 1", "x-twice: 2")), fetch()),
    ("no reason", replies(b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n"), fetch()),
    ("http 1.0", [one(b"HTTP/1.0 200 OK\r\n\r\nbody")], fetch()),
    ("until the end", [one(head(200), b"body")], fetch()),
    ("100 before", replies(head(100) + ok(b"x")), fetch()),
    ("chunked", replies(chunked(b"a", b"bc", headers=["X-Twice: 1"], trailers=["X: y"])), fetch()),
    ("gzip", replies(ok(gzip.compress(b"z" * 9000), "Content-Encoding: gzip")), fetch()),
    ("gzip undecoded", replies(ok(b"\x1f\x8bnot", "Content-Encoding: gzip")), fetch(decode_content=False)),
    ("gzip broken", replies(ok(b"not gzip", "Content-Encoding: gzip")), fetch(retries=False)),
    ("redirect", replies(redirect("/there"), ok(b"there")), fetch()),
    ("redirect post 303", replies(redirect("/there", 303), ok(b"there")), fetch("POST", body=b"x")),
    ("redirect post 307", leading_there, fetch("POST", body=lambda: io.BytesIO(b"x"))),
    ("redirect not followed", replies(redirect("/there")), fetch(redirect=False)),
    ("too many redirects", replies(*[redirect("/again")] * 3), fetch(retries=Retry(2))),
    ("status forced", replies(response(503), response(503), ok(b"at last")), fetch(retries=Retry(3, status_forcelist=[503]))),
    ("status given up", replies(response(503), response(503)), fetch(retries=Retry(1, status_forcelist=[503]))),
    ("retry after", replies(response(429, b"", "Retry-After: 0"), ok(b"now")), fetch(retries=Retry(1, status_forcelist=[429]))),
    ("cut body", [one(head(200, "Content-Length: 9"), b"cut")] * 4, fetch()),
    ("cut body streamed", [one(head(200, "Content-Length: 9"), b"cut")], fetch(preload_content=False)),
    ("cut chunks", [one(head(200, "Transfer-Encoding: chunked"), chunks(b"a"))] * 4, fetch()),
    ("bad header name", echo, fetch(headers={"Bad\nName": "x"})),
    ("bad header value", echo, fetch(headers={"X": "a\r\nb: c"})),
    ("bad method", echo, fetch("BAD METHOD")),
    ("connection lost", [one(then="close")], fetch("POST", body=b"x", retries=False)),
    ("connection lost, counted", [one(then="close")], fetch("POST", body=b"x", retries=0)),
    ("reset", [one(then="rst")], fetch("POST", body=b"x", retries=False)),
    ("read timeout", [one(then="wait")], fetch("POST", timeout=0.05, retries=False)),
    ("read timeout, counted", [one(then="wait")], fetch("POST", timeout=Timeout(connect=5, read=0.05), retries=0)),
    (
        "read timeout in the body",
        [one(head(200, "Content-Length: 9"), b"x", then="wait")],
        fetch("POST", timeout=0.05, retries=False),
    ),
]


@pytest.mark.parametrize(("script", "scene"), [row[1:] for row in PLAIN], ids=[row[0] for row in PLAIN])
def test_a_program_sees_the_same(script: Any, scene: Scene) -> None:
    same(script, scene)


def test_garbage_is_a_protocol_error_with_both() -> None:
    kinds = []
    for switch in (under.eject, under.inject):
        switch()
        with (
            Server([one(b"SSH-2.0-x\r\n")]) as server,
            urllib3.PoolManager() as manager,
            pytest.raises(urllib3.exceptions.ProtocolError) as caught,
        ):
            manager.request("POST", server.url(), retries=False)
        kinds.append((type(caught.value), type(caught.value.args[1])))
    assert kinds[0] == kinds[1]


def test_reading_in_every_way_gives_the_same() -> None:
    bodies = [ok(b"0123456789" * 10), chunked(b"01234", b"56789" * 19)] * 12

    def scene(server: Server) -> Any:
        found: list[Any] = []
        with urllib3.PoolManager() as manager:
            for n in range(2):
                for read in (
                    lambda r: (r.read(3), r.read(), r.read(), r.closed),
                    lambda r: (r.read1(5), r.read(2)),
                    lambda r: b"".join(r.stream(7)),
                    lambda r: (r.read(10), r.tell(), r.drain_conn(), r.tell()),
                    lambda r: list(r),
                    lambda r: (r.read(cache_content=True), r.data),
                    lambda r: io.BufferedReader(r).readline(),
                    lambda r: (r.close(), r.closed, r.read()),
                    lambda r: [b"".join(r.read_chunked())] if r.chunked else [],
                    lambda r: (r.readinto(b := bytearray(6)), b),
                    lambda r: (r.json,) and r.info()["content-length" if not r.chunked else "transfer-encoding"],
                    lambda r: (r._original_response.read(4), r._original_response.length, r._original_response.isclosed()),
                ):
                    answer = manager.request("GET", server.url(), preload_content=False)
                    found.append(repr(read(answer)))
                    answer.drain_conn()
                    answer.release_conn()
                    found.append(n)
        return found

    def script(conn: Conn) -> None:
        for request, body in zip(conn.read_requests(), bodies, strict=False):
            assert request.method == "GET"
            conn.send(body)

    same(script, scene)


def test_a_blocking_pool_and_a_full_one_behave_the_same(caplog: pytest.LogCaptureFixture) -> None:
    def scene(server: Server) -> Any:
        with urllib3.HTTPConnectionPool(*server.address, maxsize=1, block=True) as pool:
            one = pool.request("GET", "/", preload_content=False)
            try:
                pool.request("GET", "/", pool_timeout=0.01)
            except urllib3.exceptions.EmptyPoolError as error:
                found = [str(error)]
            one.drain_conn()
            one.release_conn()
            return [*found, pool.request("GET", "/").status, pool.num_connections, pool.num_requests]

    same(echo, scene)


def test_nobody_listening_and_no_such_name_are_told_the_same() -> None:
    def refused(server: Server) -> Any:
        server.stop_listening()
        return urllib3.PoolManager().request("GET", server.url(), retries=1)

    same(echo, refused)
    same(echo, lambda server: urllib3.PoolManager().request("GET", "http://no.such.name.invalid/", retries=False))


def test_a_foreign_host_and_a_bad_url_are_told_the_same() -> None:
    same(echo, lambda server: urllib3.HTTPConnectionPool(*server.address).request("GET", "http://elsewhere/x"))
    same(echo, lambda server: urllib3.PoolManager().request("GET", "http://[::1/"))
    same(echo, lambda server: urllib3.PoolManager().request("GET", "ftp://x/"))
    same(echo, lambda server: urllib3.PoolManager().request("GET", ""))


# -- TLS -----------------------------------------------------------------------------------------------------------------


def tls_scenes(tls: Tls) -> dict[str, dict[str, Any]]:
    context = ssl.create_default_context(cafile=tls.ca_path)
    with open(tls.ca_path) as file:
        data = file.read()
    fingerprint = ssl.PEM_cert_to_DER_cert(tls.identity.cert_chain_pems[0].bytes().decode())
    digest = hashlib.sha256(fingerprint).hexdigest()
    return {
        "ca_certs": {"ca_certs": tls.ca_path},
        "ca_cert_data": {"ca_cert_data": data},
        "context": {"ssl_context": context},
        "unverified": {"cert_reqs": "CERT_NONE"},
        "unknown authority": {},
        "wrong name": {"ca_certs": tls.ca_path, "server_hostname": "other.example"},
        "asserted name": {"ca_certs": tls.ca_path, "assert_hostname": "localhost"},
        "asserted wrong name": {"ca_certs": tls.ca_path, "assert_hostname": "other.example"},
        "no name": {"ca_certs": tls.ca_path, "assert_hostname": False},
        "fingerprint": {"cert_reqs": "CERT_NONE", "assert_fingerprint": digest},
        "wrong fingerprint": {"cert_reqs": "CERT_NONE", "assert_fingerprint": "00" * 32},
        "maximum": {"ca_certs": tls.ca_path, "ssl_maximum_version": ssl.TLSVersion.TLSv1_2},
        "no such file": {"ca_certs": "/no/such/file"},
    }


def test_tls_arguments_mean_the_same(tls: Tls, subtests: pytest.Subtests) -> None:
    for name, kwargs in tls_scenes(tls).items():

        def scene(server: Server, kwargs: dict[str, Any] = kwargs) -> Any:
            with urllib3.PoolManager(**kwargs) as manager:
                url = server.url(host="localhost")
                return [manager.request("GET", url, retries=False).status, manager.request("GET", url).status]

        with subtests.test(name):
            same(echo, scene, tls=tls.server_context())


def test_a_client_certificate_is_shown(tls: Tls) -> None:
    def scene(server: Server) -> Any:
        kwargs: dict[str, Any] = {"cert_file": tls.client_cert_only, "key_file": tls.client_key, "ca_certs": tls.ca_path}
        with urllib3.PoolManager(**kwargs) as manager:
            return manager.request("GET", server.url(host="localhost")).status

    assert same(echo, scene, tls=tls.server_context(ask_client=True)) == 200


def test_a_body_that_ends_without_a_closure_alert_is_whole_as_with_urllib3(tls: Tls) -> None:
    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(head(200), b"until the end")
        conn.close(notify=False)

    def scene(server: Server) -> Any:
        with urllib3.PoolManager(ca_certs=tls.ca_path) as manager:
            return manager.request("GET", server.url(host="localhost")).data

    assert same([script], scene, tls=tls.server_context()) == b"until the end"


# -- proxies -------------------------------------------------------------------------------------------------------------


def through(proxy: Server, **kwargs: Any) -> urllib3.ProxyManager:
    return urllib3.ProxyManager(f"http://127.0.0.1:{proxy.address[1]}", **kwargs)


def test_a_forwarding_proxy_is_spoken_to_the_same() -> None:
    def scene(server: Server) -> Any:
        with through(server, proxy_headers={"X-Proxy": "yes"}) as manager:
            return [seen(manager.request("GET", "http://origin.example/path?q", headers={"X": "y"}))[:3]]

    same(echo, scene)


def test_a_tunnel_is_opened_once_and_headers_are_the_proxys(tls: Tls) -> None:
    with Server(echo, tls=tls.server_context()) as origin:

        def scene(server: Server) -> Any:
            auth = urllib3.make_headers(proxy_basic_auth="user:secret")
            with through(server, proxy_headers=auth, ca_certs=tls.ca_path) as manager:
                url = origin.url(host="localhost")
                return [manager.request("GET", url).status, manager.request("POST", url, body=b"x").status]

        assert same(connect_proxy, scene) == [200, 200]
        assert origin.connections == 2


@pytest.mark.parametrize("refusal", [response(407), response(502), b"garbage\r\n\r\n"])
def test_a_tunnel_that_is_refused_is_told_the_same(tls: Tls, refusal: bytes) -> None:
    def scene(server: Server) -> Any:
        with through(server, ca_certs=tls.ca_path) as manager:
            return manager.request("GET", "https://origin.example/", retries=False)

    def script(conn: Conn) -> None:
        conn.read_until(b"\r\n\r\n")
        conn.send(refusal)

    same([script], scene)


def test_a_proxy_that_is_not_there_is_told_the_same() -> None:
    def scene(server: Server) -> Any:
        server.stop_listening()
        with through(server) as manager:
            return manager.request("GET", "http://origin.example/", retries=False)

    same(echo, scene)


def test_a_proxy_over_tls_forwards_and_tunnels_the_same(tls: Tls) -> None:
    def scene(server: Server) -> Any:
        context = ssl.create_default_context(cafile=tls.ca_path)
        url = f"https://localhost:{server.address[1]}"
        with urllib3.ProxyManager(url, proxy_ssl_context=context, use_forwarding_for_https=True) as manager:
            return [
                manager.request("GET", "http://origin.example/").status,
                manager.request("GET", "https://origin.example/").status,
            ]

    same(echo, scene, tls=tls.server_context())


# -- timeouts ------------------------------------------------------------------------------------------------------------


def test_the_total_bounds_the_wait_for_the_head_and_not_the_whole_body() -> None:
    events: list[threading.Event] = []

    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(head(200, "Content-Length: 2"), b"a")
        conn.wait(events[-1])
        conn.send(b"b")

    def scene(server: Server) -> Any:
        events.append(threading.Event())
        with urllib3.PoolManager() as manager:
            answer = manager.request("GET", server.url(), timeout=Timeout(total=0.2), retries=False, preload_content=False)
            threading.Event().wait(0.25)  # the total is over
            events[-1].set()
            return answer.read()

    assert same([script], scene) == b"ab"


def test_a_total_used_up_before_the_head_is_a_read_timeout() -> None:
    def scene(server: Server) -> Any:
        with urllib3.PoolManager() as manager:
            return manager.request("POST", server.url(), timeout=Timeout(total=0.05), retries=False)

    same([one(then="wait")], scene)

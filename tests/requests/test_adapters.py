"""Adapters: what a program mounts, overrides or passes on is obeyed, or refused with an error that names it."""

from __future__ import annotations

import hashlib
import io
import pickle
import socket
import ssl
import threading
from typing import Any
from unittest import mock

import pytest
import urllib3
from urllib3.util.retry import Retry

import holdfast
from holdfast import requests
from holdfast.requests.adapters import BaseAdapter, HTTPAdapter
from tests.conftest import Tls
from tests.server import Conn, Server, connect_proxy, echo, ok, redirect, replies, response


@pytest.fixture
def session() -> Any:
    with requests.Session() as made:
        made.trust_env = False
        yield made


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


# -- the snippets ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", [holdfast, holdfast.requests])
def test_the_snippet_that_every_guide_to_requests_has_works_as_it_stands(module: Any) -> None:
    with Server(echo) as server:
        session = module.Session()
        adapter = module.adapters.HTTPAdapter(pool_connections=10, pool_maxsize=20, max_retries=3)
        session.mount("http://", adapter)
        session.mount("https://", adapter)

        assert session.get(server.url("/a")).json()["target"] == "/a"
        assert session.get_adapter(server.url()) is adapter
        session.close()


def test_the_longest_prefix_counts_whatever_was_mounted_first(session: Any) -> None:
    near, far = HTTPAdapter(), HTTPAdapter()
    session.mount("http://x.example/deep", near)
    session.mount("http://x.example", far)

    assert session.get_adapter("http://X.example/deep/er") is near
    assert session.get_adapter("http://x.example/") is far
    assert list(session.adapters)[:2] == ["http://x.example/deep", "http://x.example"]


@pytest.mark.parametrize("url", ["ftp://user:pass@host/x", "user:pass@host", "mock://a@b:pass@host"])
def test_no_password_is_shown_where_no_adapter_is_found(session: Any, url: str) -> None:
    with Server(replies(redirect(url))) as server:
        for where in {url, server.url() if "//" in url else url}:
            with pytest.raises(requests.exceptions.InvalidSchema, match=r"No connection adapters.*\[secret\]@host") as caught:
                session.get(where)
            assert "pass" not in str(caught.value)



def test_a_url_of_another_scheme_goes_to_what_is_mounted_for_it(session: Any) -> None:
    class Local(BaseAdapter):
        def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
            made = requests.Response()
            made.status_code, made._content, made.url, made.request = 200, request.url.encode(), request.url, request
            return made

        def close(self) -> None:
            pass

    session.mount("mock://", Local())

    assert session.get("mock://Some.Where/a%7Eb?c", params={"left": "out"}).content == b"mock://Some.Where/a%7Eb?c"
    with pytest.raises(requests.exceptions.InvalidSchema, match="No connection adapters"):
        session.get("ftp://x.example/")
    session.mount("ftp://", HTTPAdapter())
    with pytest.raises(requests.exceptions.InvalidSchema, match="No connection adapters"):
        session.get("ftp://x.example/")


def silent(conn: Conn) -> None:
    conn.expect_request()
    conn.wait_closed()


def test_an_adapter_of_its_own_is_told_the_timeout_as_requests_tells_it(session: Any) -> None:
    heard = []

    class Quick(HTTPAdapter):
        def send(self, request: Any, **kwargs: Any) -> Any:  # type: ignore[override]
            heard.append(kwargs["timeout"])
            if kwargs["timeout"] is None:
                kwargs["timeout"] = 0.05
            return super().send(request, **kwargs)

    session.mount("http://", Quick())
    with Server(silent) as server:
        with pytest.raises(requests.exceptions.ReadTimeout, match=r"0\.05"):
            session.get(server.url())
        with pytest.raises(requests.exceptions.ReadTimeout, match=r"0\.1"):
            session.get(server.url(), timeout=(1, 0.1))
    assert heard == [None, (1, 0.1)]


@pytest.mark.parametrize("timeout", [urllib3.Timeout(connect=1, read=0.05), socket._GLOBAL_DEFAULT_TIMEOUT, 0.05])  # type: ignore[attr-defined]
def test_timeouts_of_urllib3_and_of_the_socket_module_are_understood(session: Any, timeout: Any) -> None:
    session.timeout = 0.05
    with Server(silent) as server, pytest.raises(requests.exceptions.ReadTimeout):
        session.get(server.url(), timeout=timeout)


@pytest.mark.parametrize("timeout", ["5", (1, 2, 3), (1, "2"), True])
def test_a_timeout_that_is_none_is_a_value_error_before_anything_is_sent(session: Any, timeout: Any) -> None:
    with Server() as server, pytest.raises(ValueError, match=r"[Tt]imeout"):
        session.get(server.url(), timeout=timeout)
    assert not server.requests


# -- retries -----------------------------------------------------------------------------------------------------------


def test_a_number_of_retries_is_urllib3s_and_a_refused_connection_is_tried_so_often(session: Any) -> None:
    adapter = HTTPAdapter(max_retries=2)
    session.mount("http://", adapter)
    with Server() as gone:
        url = gone.url()

    spy = mock.patch.object(Retry, "increment", autospec=True, side_effect=Retry.increment)
    with spy as increment, pytest.raises(requests.exceptions.ConnectionError) as caught:
        session.get(url)
    assert (adapter.max_retries.total, increment.call_count) == (2, 3)
    assert isinstance(caught.value.__cause__, urllib3.exceptions.MaxRetryError)
    assert HTTPAdapter().max_retries.total == 0


def test_a_read_timeout_that_used_up_the_retries_is_a_connection_error_as_in_requests_and_a_timeout(session: Any) -> None:
    session.mount("http://", HTTPAdapter(max_retries=Retry(1)))
    with Server(silent) as server, pytest.raises(requests.exceptions.ConnectionError, match=r"timeouts\.read") as caught:
        session.get(server.url(), timeout=0.05)
    assert isinstance(caught.value, requests.ReadTimeout)
    assert isinstance(caught.value.args[0], urllib3.exceptions.MaxRetryError)
    assert isinstance(caught.value.args[0].reason, urllib3.exceptions.ReadTimeoutError)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), str(again)) == (type(caught.value), str(caught.value))


def test_a_loss_that_used_up_the_retries_has_the_max_retry_error_and_its_reason(session: Any) -> None:
    session.mount("http://", HTTPAdapter(max_retries=Retry(1)))
    with Server(gone_away) as server, pytest.raises(requests.exceptions.ConnectionError) as caught:
        session.get(server.url())
    assert isinstance(caught.value.args[0], urllib3.exceptions.MaxRetryError)
    assert isinstance(caught.value.args[0].reason, urllib3.exceptions.ProtocolError)


def test_raw_has_the_retries_with_what_they_have_been_through(session: Any) -> None:
    session.mount("http://", HTTPAdapter(max_retries=Retry(2, status_forcelist=[503])))
    with Server(replies(response(503), ok(b"well"))) as server:
        answer = session.get(server.url())
        assert (answer.content, [each.status for each in answer.raw.retries.history]) == (b"well", [503])


@pytest.mark.parametrize("raise_on_status", [True, False])
def test_statuses_are_retried_until_the_end_and_then_as_the_retry_says(session: Any, raise_on_status: bool) -> None:
    session.mount("http://", HTTPAdapter(max_retries=Retry(2, status_forcelist=[503], raise_on_status=raise_on_status)))
    with Server(replies(*[response(503)] * 3)) as server:
        if raise_on_status:
            with pytest.raises(requests.exceptions.RetryError, match="too many 503"):
                session.get(server.url())
        else:
            assert session.get(server.url()).status_code == 503
        assert len(server.requests) == 3


def test_a_subclass_of_retry_reads_the_response_and_raises_an_error_of_its_own(session: Any) -> None:
    class Told(Exception):
        pass

    class Reading(Retry):
        def increment(self, *args: Any, response: Any = None, **kwargs: Any) -> Any:
            if response is not None and response.status == 403:
                raise Told(response.data, response.headers["X-Why"], response.get_redirect_location())
            return super().increment(*args, **{**kwargs, "response": response})

    session.mount("http://", HTTPAdapter(max_retries=Reading(2, status_forcelist=[403, 500])))
    with Server(replies(response(500), response(403, b"no", "X-Why: limit"))) as server, pytest.raises(Told) as caught:
        session.get(server.url())
    assert caught.value.args == (b"no", "limit", False)


def test_the_backoff_of_a_subclass_is_waited_for_and_a_body_is_sent_again(session: Any) -> None:
    asked = []

    class Counting(Retry):
        def get_backoff_time(self) -> float:
            asked.append(len(self.history))
            return 0

    session.mount("http://", HTTPAdapter(max_retries=Counting(3, status_forcelist=[500], allowed_methods=None)))
    with Server([replies(response(500)), replies(response(500)), replies(ok(b"well"))]) as server:
        assert session.post(server.url(), data=b"body").content == b"well"
        assert [each.body for each in server.requests] == [b"body"] * 3
    assert asked == [1, 2]


def test_a_body_that_cannot_be_sent_again_is_not_and_the_answer_is_given(session: Any) -> None:
    session.mount("http://", HTTPAdapter(max_retries=Retry(3, status_forcelist=[500], allowed_methods=None)))
    with Server(replies(response(500, b"why"))) as server:
        answer = session.post(server.url(), data=iter([b"once"]))
        assert (answer.status_code, len(server.requests)) == (500, 1)


def test_what_was_certainly_not_executed_is_sent_again_although_there_are_no_retries(session: Any) -> None:
    session.mount("http://", HTTPAdapter(max_retries=Retry(0)))

    def closes_the_first(conn: Conn) -> None:
        conn.expect_request()
        conn.send(ok(b"one") if conn.number == 0 else ok(b"two"))

    with Server(closes_the_first) as server:
        assert session.post(server.url()).content == b"one"
        server.wait_idle()
        assert session.post(server.url()).content == b"two"


def gone_away(conn: Conn) -> None:
    conn.expect_request()


def test_read_false_passes_an_error_on_as_it_is(session: Any) -> None:
    session.mount("http://", HTTPAdapter(max_retries=Retry(3, read=False)))
    with Server(gone_away) as server:
        with pytest.raises(requests.exceptions.ConnectionError, match="may have executed"):
            session.post(server.url())
        assert len(server.requests) == 1


# -- pools -------------------------------------------------------------------------------------------------------------


def test_sizes_of_pools_become_limits() -> None:
    limits = HTTPAdapter(pool_connections=3, pool_maxsize=7).poolmanager.limits
    assert (limits.max_connections_per_origin, limits.max_idle_per_origin, limits.max_idle_connections) == (None, 7, 21)
    blocking = HTTPAdapter(pool_maxsize=7, pool_block=True).poolmanager.limits
    assert blocking.max_connections_per_origin == 7
    assert HTTPAdapter(pool_maxsize=0).poolmanager.limits.max_idle_per_origin is None  # as in urllib3, 0 is no bound


def test_a_pool_that_does_not_block_overflows_and_one_that_does_waits(session: Any) -> None:
    release = threading.Event()

    def held(conn: Conn) -> None:
        for _ in conn.read_requests():  # a connection that is given back may serve a caller whose own is being opened
            conn.wait(release)
            conn.send(ok(b"x"))

    session.mount("http://", HTTPAdapter(pool_maxsize=1))
    with Server(held) as server:
        threads = [threading.Thread(target=session.get, args=(server.url(),)) for _ in range(3)]
        for thread in threads:
            thread.start()
        server.wait_for_connections(3)
        release.set()
        for thread in threads:
            thread.join()
    session.mount("http://", HTTPAdapter(pool_maxsize=1, pool_block=True))
    with Server(echo) as server, session.get(server.url(), stream=True) as first:
        waiting = threading.Thread(target=session.get, args=(server.url(),))
        waiting.start()
        first.content  # noqa: B018 - reads it
        waiting.join()
        assert server.connections == 1


def test_an_adapter_works_again_after_close_and_a_body_that_is_being_read_comes_to_its_end(no_leaks: None) -> None:
    session = requests.Session()
    with Server(replies(ok(b"x" * 200_000))) as server:
        with session:
            answer = session.get(server.url(), stream=True)
        assert answer.content == b"x" * 200_000
        server.wait_idle()  # it was given back to a pool that had been closed meanwhile
        assert session.get(server.url()).content == b"x" * 200_000
        session.close()
        session.close()


def test_adapters_and_their_sessions_can_be_pickled() -> None:
    session = requests.Session(timeout=5)
    session.mount("http://x.example", HTTPAdapter(pool_maxsize=3, max_retries=Retry(2)))
    session.headers["X"] = "1"

    twin = pickle.loads(pickle.dumps(session))

    mounted = twin.get_adapter("http://x.example/")
    assert (mounted.max_retries.total, mounted.poolmanager.limits.max_idle_per_origin) == (2, 3)
    assert (twin.headers["X"], twin.timeout.read) == ("1", 5)
    assert twin.get_adapter("https://y.example").poolmanager is twin._home
    with Server(echo) as server:
        assert twin.get(server.url()).ok
        assert twin.stats().total.requests == 1
    twin.close()


# -- what subclasses say of connections --------------------------------------------------------------------------------


class With(HTTPAdapter):
    """An adapter whose pool manager is given arguments, as subclasses do it."""

    def __init__(self, **given: Any) -> None:
        self.given = given
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **{**kwargs, **self.given})


class Urllib3s(With):
    """The same with a manager made of urllib3's class, as older guides do it."""

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **kwargs: Any) -> None:
        self.poolmanager = urllib3.PoolManager(connections, maxsize=maxsize, block=block, **self.given)


KINDS = [With, Urllib3s]


@pytest.mark.parametrize("kind", KINDS)
def test_the_address_to_connect_from_and_socket_options_are_obeyed(session: Any, kind: Any) -> None:
    seen = []

    def script(conn: Conn) -> None:
        seen.append(conn.sock.getpeername()[0])
        echo(conn)

    options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_RCVBUF, 30_000)]
    session.mount("http://", kind(source_address=("127.0.0.2", 0), socket_options=options, blocksize=1000))
    with Server(script) as server, mock.patch("socket.socket.setsockopt") as setsockopt:
        assert session.get(server.url()).ok
    assert seen == ["127.0.0.2"]
    asked = [call.args for call in setsockopt.mock_calls]
    assert set(options) <= set(asked)


@pytest.mark.parametrize("kind", KINDS)
def test_a_context_is_used_and_trusts_what_verify_names(session: Any, kind: Any, tls: Tls) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    session.mount("https://", kind(ssl_context=context))
    with Server(echo, tls=tls.server_context()) as server:
        url = server.url(host="localhost")
        with pytest.raises(requests.exceptions.SSLError):
            session.get(url)
        assert session.get(url, verify=tls.ca_path).ok
    assert "trustme" in str(context.get_ca_certs())


def test_verify_false_and_a_context_of_the_programs_own(session: Any, tls: Tls) -> None:
    with Server(echo, tls=tls.server_context()) as server:
        url = server.url(host="localhost")
        session.mount("https://", With(ssl_context=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)))
        with pytest.raises(ValueError, match="check_hostname"):
            session.get(url, verify=False)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        session.mount("https://", With(ssl_context=context))
        assert session.get(url, verify=False).ok
        with pytest.raises(holdfast.InvalidRequest, match="mount another adapter"):
            session.get(url)
        session.mount("https://", With(ssl_context=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), assert_hostname=False))
        assert session.get(server.url(host="127.0.0.1"), verify=tls.ca_path).ok


def fingerprint(tls: Tls, name: str) -> str:
    der = ssl.PEM_cert_to_DER_cert(tls.identity.cert_chain_pems[0].bytes().decode())
    return hashlib.new(name, der).hexdigest()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["md5", "sha1", "sha256"])
def test_a_fingerprint_is_checked(session: Any, kind: Any, name: str, tls: Tls) -> None:
    right = fingerprint(tls, name)
    with Server(echo, tls=tls.server_context()) as server:
        url = server.url(host="localhost")
        session.mount("https://", kind(assert_fingerprint=right.upper(), ca_certs=tls.ca_path))
        assert session.get(url).ok
        assert session.get(url).ok
        session.mount("https://", kind(assert_fingerprint=right[::-1], cert_reqs="CERT_NONE"))
        with pytest.raises(requests.exceptions.SSLError, match=r"[Ff]ingerprint"):
            session.get(url)


def test_a_fingerprint_that_is_none_and_one_beside_a_context_are_refused(session: Any) -> None:
    for given, why in (
        ({"assert_fingerprint": "abc"}, "hex"),
        ({"assert_fingerprint": "a" * 40, "ssl_context": ssl.create_default_context()}, "leave ssl_context out"),
    ):
        session.mount("https://", With(**given))
        with pytest.raises(holdfast.InvalidRequest, match=why):
            session.get("https://127.0.0.1:1/")


@pytest.mark.parametrize("kind", KINDS)
def test_names_of_servers_are_checked_as_told(session: Any, kind: Any, tls: Tls) -> None:
    other = tls.ca.issue_cert("other.example", "*.wild.example")
    with Server(echo, tls=tls.server_context(other)) as server:
        url = server.url(host="localhost")
        for given in ({"assert_hostname": "other.example"}, {"assert_hostname": False}, {"server_hostname": "a.wild.example"},
                      {"assert_hostname": "b.wild.example"}):  # fmt: skip
            session.mount("https://", kind(ca_certs=tls.ca_path, **given))
            assert session.get(url).ok, given
        for given in ({"assert_hostname": "no.example"}, {}, {"server_hostname": "a.b.wild.example"}):
            session.mount("https://", kind(ca_certs=tls.ca_path, **given))
            with pytest.raises(requests.exceptions.SSLError):
                session.get(url)


def test_certificates_and_versions_of_a_pool_are_used(session: Any, tls: Tls) -> None:
    with Server(echo, tls=tls.server_context(ask_client=True, maximum=ssl.TLSVersion.TLSv1_2)) as server:
        url = server.url(host="localhost")
        data = tls.ca.cert_pem.bytes().decode()
        session.mount(
            "https://",
            With(ca_cert_data=data, cert_file=tls.client_cert_only, key_file=tls.client_key, ssl_version="PROTOCOL_TLSv1_2"),
        )
        assert session.get(url).ok
        session.mount("https://", With(ca_certs=tls.ca_path, ssl_minimum_version=ssl.TLSVersion.TLSv1_2))
        assert session.get(url, cert=tls.client_cert).ok
        assert session.get(url, cert=(tls.client_cert_only, tls.client_key)).ok
        session.mount("https://", With(ca_certs=tls.ca_path, ssl_version="PROTOCOL_TLSv1"))
        with pytest.raises(holdfast.InvalidRequest, match=r"TLS before 1\.2"):
            session.get(url)
        session.mount("https://", With(ca_certs=tls.client_key))
        with pytest.raises(requests.exceptions.SSLError, match="PEM"):
            session.get(url)
        session.mount("https://", With(ca_certs=tls.ca_path, cert_file=tls.ca_path))
        with pytest.raises(requests.exceptions.SSLError, match="client certificate"):
            session.get(url)


def test_files_that_are_not_there_are_named_as_requests_names_them(session: Any, tls: Tls) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"verify": "/no/ca"}, "Could not find a suitable TLS CA certificate bundle, invalid path: /no/ca"),
        ({"cert": "/no/cert"}, "Could not find the TLS certificate file, invalid path: /no/cert"),
        ({"cert": (tls.client_cert_only, "/no/key")}, "Could not find the TLS key file, invalid path: /no/key"),
    ]
    for given, text in cases:
        with pytest.raises(OSError, match=text):
            session.get("https://127.0.0.1:1/", **given)
    session.mount("https://", With(ca_certs="/no/ca"))
    with pytest.raises(OSError, match="invalid path: /no/ca"):
        session.get("https://127.0.0.1:1/")


def test_cert_verify_of_a_subclass_has_the_last_word(session: Any, tls: Tls) -> None:
    class Trusting(HTTPAdapter):
        def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
            super().cert_verify(conn, url, verify, cert)
            conn.ca_certs, conn.assert_hostname = tls.ca_path, False

    class Odd(HTTPAdapter):
        def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
            super().cert_verify(conn, url, False, None)
            conn.conn_kw["nonsense"] = 1

    with Server(echo, tls=tls.server_context(tls.ca.issue_cert("other.example"))) as server:
        session.mount("https://", Trusting())
        for _ in range(2):
            assert session.get(server.url(host="localhost")).ok
        assert server.connections == 1
        session.mount("https://", Odd())
        with pytest.raises(holdfast.InvalidRequest, match="nonsense cannot be obeyed"):
            session.get(server.url(host="localhost"))


def test_cert_verify_raises_for_files_that_are_not_there() -> None:
    adapter, conn = HTTPAdapter(), mock.Mock()
    adapter.cert_verify(conn, "https://x.example", True, None)
    assert conn.cert_reqs == "CERT_REQUIRED"
    for verify, cert in (("/none", None), (True, "/none"), (True, (__file__, "/none"))):
        with pytest.raises(OSError, match="invalid path: /none"):
            adapter.cert_verify(conn, "https://x.example", verify, cert)
    adapter.cert_verify(conn, "https://x.example", "/tmp", (__file__, __file__))
    assert (conn.ca_cert_dir, conn.key_file) == ("/tmp", __file__)


# -- proxies -----------------------------------------------------------------------------------------------------------


def test_the_manager_for_a_proxy_is_asked_and_its_arguments_count(session: Any, tls: Tls) -> None:
    asked = []

    class Own(HTTPAdapter):
        def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
            asked.append(proxy)
            return super().proxy_manager_for(proxy, ca_certs=tls.ca_path, **kwargs)

    session.mount("https://", Own())
    with Server(echo, tls=tls.server_context()) as server, Server(connect_proxy) as proxy:
        answer = session.get(server.url(host="localhost"), proxies={"https": proxy.url()})
        assert answer.ok
        assert asked == [proxy.url()]
    session.get_adapter("https://").close()


def test_headers_for_the_proxy_are_sent_to_it(session: Any) -> None:
    class Own(HTTPAdapter):
        def proxy_headers(self, proxy: str) -> dict[str, str]:
            return {"X-Proxy": "1"}

    session.mount("http://", Own())
    with Server(echo) as proxy:
        answer = session.get("http://x.example/a", proxies={"http": proxy.url()})
        assert answer.json()["target"] == "http://x.example/a"
        assert ["x-proxy", "1"] in [[name.lower(), value] for name, value in answer.json()["headers"]]
    session.close()


@pytest.mark.parametrize("proxy", ["http:/x.example:3128", "http://:8080", "https://", "http:///x.example:8080"])
def test_a_proxy_without_a_host_is_an_invalid_proxy_url(session: Any, proxy: str) -> None:
    with pytest.raises(requests.exceptions.InvalidProxyURL):
        session.get("http://x.example/", proxies={"http": proxy})


# -- what subclasses say of requests and responses ---------------------------------------------------------------------


def test_build_response_is_given_urllib3s_response_with_a_file_that_may_be_replaced(session: Any) -> None:
    kept = []

    class Copying:
        def __init__(self, inner: Any) -> None:
            self._inner = inner

        def read(self, amt: int = -1) -> bytes:
            data: bytes = self._inner.read(amt)
            kept.append(data)
            return data

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

    class Own(HTTPAdapter):
        def build_response(self, req: Any, resp: Any) -> Any:
            assert isinstance(resp, urllib3.HTTPResponse)
            resp._fp = Copying(resp._fp)  # type: ignore[assignment]
            made = super().build_response(req, resp)
            made.mark = (resp.status, resp.headers.get("X-A"), resp.reason, resp.version)  # type: ignore[attr-defined]
            return made

    session.mount("http://", Own())
    with Server(replies(ok(b"hello", "X-A: 1", "Set-Cookie: a=1"), ok(b"again"))) as server:
        answer = session.get(server.url())
        assert (answer.content, answer.mark) == (b"hello", (200, "1", "OK", 11))
        assert b"".join(kept) == b"hello"
        assert dict(session.cookies) == dict(answer.cookies) == {"a": "1"}
        assert session.get(server.url()).text == "again"
        assert server.connections == 1


def test_headers_may_be_added(session: Any) -> None:
    class Own(HTTPAdapter):
        def add_headers(self, request: Any, **kwargs: Any) -> None:
            request.headers["X-Added"] = str(kwargs["stream"])

    session.mount("http://", Own())
    with Server(echo) as server:
        assert ["X-Added", "False"] in session.get(server.url()).json()["headers"]


def test_a_pool_of_its_own_does_the_sending_and_its_errors_are_requests_errors(session: Any) -> None:
    class Own(HTTPAdapter):
        def get_connection_with_tls_context(self, request: Any, verify: Any, proxies: Any = None, cert: Any = None) -> Any:
            return urllib3.HTTPConnectionPool(*session.where)

    session.mount("http+odd://", Own())
    with Server(echo) as server:
        session.where = server.address
        answer = session.post("http+odd://anything/a?b", data=iter([b"in ", b"pieces"]), headers={"X": "1"})
        assert (answer.json()["target"], answer.json()["body"]) == ("/a?b", "in pieces")
        multipart = session.post("http+odd://anything/", files={"f": b"x"})
        assert "form-data" in multipart.json()["body"]
    with pytest.raises(requests.exceptions.ConnectionError):
        session.get("http+odd://anything/")
    session.close()


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (urllib3.exceptions.ProtocolError("x"), "ConnectionError"),
        (OSError("x"), "ConnectionError"),
        (urllib3.exceptions.ProxyError("x", OSError()), "ProxyError"),
        (urllib3.exceptions.SSLError("x"), "SSLError"),
        (urllib3.exceptions.ReadTimeoutError(None, "u", "x"), "ReadTimeout"),  # type: ignore[arg-type]
        (urllib3.exceptions.InvalidHeader("x"), "InvalidHeader"),
        (urllib3.exceptions.LocationValueError("x"), "InvalidURL"),
        (urllib3.exceptions.MaxRetryError(None, "u", urllib3.exceptions.ResponseError()), "RetryError"),  # type: ignore[arg-type]
        (urllib3.exceptions.MaxRetryError(None, "u", urllib3.exceptions.ConnectTimeoutError()), "ConnectTimeout"),  # type: ignore[arg-type]
        (urllib3.exceptions.MaxRetryError(None, "u", urllib3.exceptions.SSLError()), "SSLError"),  # type: ignore[arg-type]
        (urllib3.exceptions.MaxRetryError(None, "u", None), "ConnectionError"),  # type: ignore[arg-type]
    ],
    ids=repr,
)  # fmt: skip
def test_errors_of_urllib3s_pools(session: Any, raised: Exception, expected: str) -> None:
    class Own(HTTPAdapter):
        def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
            return mock.Mock(urlopen=mock.Mock(side_effect=raised))

    session.mount("http://", Own())
    with pytest.raises(requests.exceptions.RequestException) as caught:
        session.get("http://x.example/")
    assert type(caught.value).__name__ == expected


def test_the_request_line_may_be_another(session: Any) -> None:
    class Own(HTTPAdapter):
        def request_url(self, request: Any, proxies: Any) -> str:
            return "/another" + super().request_url(request, proxies)

    session.mount("http://", Own())
    with Server(echo) as server:
        assert session.get(server.url("/a")).json()["target"] == "/another/a"
    session.close()


def test_what_ours_cannot_do_is_done_by_urllib3s_own_manager(session: Any, tls: Tls) -> None:
    class Pool(urllib3.HTTPConnectionPool):
        pass

    adapter = HTTPAdapter()
    adapter.poolmanager = urllib3.PoolManager()
    adapter.poolmanager.pool_classes_by_scheme = {"http": Pool}
    session.mount("http://", adapter)
    session.mount("https://", With(unheard_of=1))
    with Server(echo) as server:
        assert session.get(server.url()).ok
        with pytest.raises(TypeError, match="unheard_of"):
            session.get("https://127.0.0.1:1/")
        plain = HTTPAdapter()
        assert plain.poolmanager.connection_from_url(server.url()).host == "127.0.0.1"
        with pytest.warns(DeprecationWarning, match="get_connection"):
            assert plain.get_connection(server.url()).host == "127.0.0.1"
        with pytest.warns(DeprecationWarning, match="get_connection"):
            assert plain.get_connection(server.url(), {"http": "x.example:1"}).proxy.host == "x.example"
        plain.close()
    session.close()
    with pytest.raises(AttributeError):
        plain.poolmanager._nothing  # noqa: B018 - asking is the test


def test_a_proxy_manager_of_urllib3s_is_understood(session: Any) -> None:
    class Own(HTTPAdapter):
        def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
            return self.proxy_manager.setdefault(proxy, urllib3.ProxyManager(proxy, maxsize=2))

    class Elsewhere(HTTPAdapter):
        def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
            return urllib3.ProxyManager(proxy, proxy_ssl_context=ssl.create_default_context())

    with Server(echo) as proxy:
        for kind in (Own, Elsewhere):
            session.mount("http://", kind())
            assert session.get("http://x.example/a", proxies={"http": proxy.url()}).json()["target"] == "http://x.example/a"
            session.close()


# -- as doors ----------------------------------------------------------------------------------------------------------


def test_a_mock_of_send_sees_every_request_the_redirected_too(session: Any) -> None:
    spy = mock.patch.object(HTTPAdapter, "send", autospec=True, side_effect=HTTPAdapter.send)
    with Server(replies(redirect("/b"), ok(b"x"))) as server, spy as send:
        assert session.get(server.url("/a")).content == b"x"
    assert [call.args[1].url.rpartition("/")[2] for call in send.mock_calls] == ["a", "b"]
    assert sorted(send.mock_calls[0].kwargs) == ["cert", "proxies", "stream", "timeout", "verify"]


def test_get_adapter_is_asked_for_every_request(session: Any) -> None:
    heard = []
    with Server(replies(redirect("/b"), ok(b"x"))) as server:
        original = session.get_adapter

        def get_adapter(url: str) -> Any:
            heard.append(url)
            return original(url)

        session.get_adapter = get_adapter
        session.get(server.url("/a"))
    assert len(heard) == 2


def test_a_redirect_follows_what_a_mounted_adapter_has_answered(session: Any) -> None:
    class Local(BaseAdapter):
        def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
            made = requests.Response()
            made.status_code, made.url, made.request = 302, request.url, request
            made.headers = {"location": session.to}
            made.raw = io.BytesIO(b"body")
            return made

        def close(self) -> None:
            pass

    session.mount("mock://", Local())
    with Server(echo) as server:
        session.to = server.url("/there")
        assert session.get("mock://x/a").json()["target"] == "/there"
        session.to = "mock://x/loop#f"
        with pytest.raises(requests.exceptions.TooManyRedirects):
            session.get("mock://x/a")


def test_base_adapters_send_and_close_are_for_subclasses() -> None:
    for call in (lambda: BaseAdapter().send(None), BaseAdapter().close):
        with pytest.raises(NotImplementedError):
            call()


def test_names_of_urllib3_are_there_when_they_are_asked_for() -> None:
    adapters: Any = requests.adapters
    assert adapters.Retry is Retry
    assert adapters.MaxRetryError is urllib3.exceptions.MaxRetryError
    assert adapters.TimeoutSauce is urllib3.Timeout
    with pytest.raises(AttributeError, match="nothing"):
        adapters.nothing  # noqa: B018 - asking is the test

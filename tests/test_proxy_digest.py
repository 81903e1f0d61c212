"""Digest to a proxy, on real sockets: a proxy that computes RFC 7616 from its own knowledge of the password."""

from __future__ import annotations

import hashlib
import pickle
import ssl
from collections.abc import Iterator

import pytest

import holdfast
from holdfast import Client, environment
from holdfast.auth import HTTPDigestAuth, HTTPProxyAuth, HTTPProxyDigestAuth
from holdfast.auth.digest import parse_challenges
from holdfast.message.request import PreparedRequest
from tests.conftest import Tls
from tests.server import Conn, Received, Server, ok, redirect, replies, response
from tests.test_proxies import NAMES, OPEN

SECRET = "s3cr3t"


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, no_leaks: None) -> None:
    """None of the variables is set, whatever the machine has."""
    for name in (*environment._NAMES, "NETRC"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def client(tls: Tls) -> Iterator[Client]:
    with Client(verify=tls.ca_path) as made:
        yield made


def user(password: str = SECRET) -> HTTPProxyDigestAuth:
    return HTTPProxyDigestAuth("u", password)


class DigestProxy:
    """Asks for Digest, and stands for the network: forwarded requests and those in tunnels are answered with their target.

    Attributes:
        asking: the challenge; ``stale`` is added where the answer is right but for an old nonce.
        keeps: whether it keeps the connection after a 407.
        answered: (nonce, count) of every right answer.
        location: where the first request that is let through is redirected to.
    """

    def __init__(self, tls: Tls, asking: str = 'Digest realm="r", nonce="{}", qop="auth"', keeps: bool = True) -> None:
        self.context = tls.server_context(tls.ca.issue_cert(*NAMES))
        self.asking = asking
        self.keeps = keeps
        self.nonce = 1
        self.uses = 1000  # of a nonce, before it is stale
        self.answered: list[tuple[str, str]] = []
        self.location = ""

    def __call__(self, conn: Conn) -> None:
        for request in conn.read_requests():
            verdict = self.judge(request)
            if verdict != "right":
                stale = ", stale=true" if verdict == "stale" else ""
                fields = [
                    f"Proxy-Authenticate: {self.asking.format(self.nonce)}{stale}",
                    *([] if self.keeps else ["Connection: close"]),
                ]
                conn.send(response(407, b"who?", *fields))
                if not self.keeps:
                    return
            elif request.method == "CONNECT":
                conn.send(OPEN)
                try:
                    conn.start_tls(self.context)
                except ssl.SSLError:
                    return
                for inside in conn.read_requests():
                    conn.send(self.answer(inside))
            else:
                conn.send(self.answer(request))

    def answer(self, request: Received) -> bytes:
        location, self.location = self.location, ""
        return redirect(location, 307) if location else ok(f"{request.method} {request.target} {len(request.body)}".encode())

    def judge(self, request: Received) -> str:
        given = request.get("Proxy-Authorization")
        if not given.startswith("Digest "):
            return "none"
        ((_, got),) = parse_challenges([given])
        assert got["uri"] == request.target
        name = {"SHA-256": "sha256"}.get(got.get("algorithm", "MD5"), "md5")

        def h(text: str) -> str:
            return hashlib.new(name, text.encode()).hexdigest()

        middle = f"{got['nc']}:{got['cnonce']}:{got['qop']}:" if "qop" in got else ""
        wanted = h(f"{h(f'u:r:{SECRET}')}:{got['nonce']}:{middle}{h(f'{request.method}:{request.target}')}")
        if got["response"] != wanted:
            return "wrong"
        if got["nonce"] != str(self.nonce) or self.uses <= 0:
            self.nonce += 1
            self.uses = 1000
            return "stale"
        self.uses -= 1
        self.answered.append((got["nonce"], got.get("nc", "")))
        return "right"


def methods(proxy: Server) -> list[str]:
    return [request.method for request in proxy.requests]


ASKINGS = [
    'Digest realm="r", nonce="{}", qop="auth"',
    'Digest realm="r", nonce="{}"',
    'Digest realm="r", nonce="{}", qop="auth,auth-int", algorithm=SHA-256, opaque="o"',
    'Basic realm="b", Digest realm="r", nonce="{}", qop="auth"',
]


@pytest.mark.parametrize("asking", ASKINGS)
@pytest.mark.parametrize("keeps", [True, False])
@pytest.mark.parametrize("to_proxy", ["http", "https"])
def test_the_407_of_a_forwarded_request_is_answered_and_later_requests_answer_beforehand(
    tls: Tls, client: Client, asking: str, keeps: bool, to_proxy: str
) -> None:
    script = DigestProxy(tls, asking, keeps)
    with Server(script, tls=tls.server_context() if to_proxy == "https" else None) as proxy:
        client.proxies = {"http": f"{to_proxy}://127.0.0.1:{proxy.port}"}
        client.auth = user()
        answers = [client.get(f"http://origin.test/{n}?a=b") for n in range(3)]

        assert [answer.text for answer in answers] == [f"GET http://origin.test/{n}?a=b 0" for n in range(3)]
        assert [[hop.status_code for hop in answer.history] for answer in answers] == [[407], [], []]
        assert proxy.connections == (1 if keeps else 2)
        assert SECRET not in repr(client.stats())
    counts = [count for _, count in script.answered]
    assert counts in (["00000001", "00000002", "00000003"], [""] * 3)


@pytest.mark.parametrize("asking", ASKINGS)
@pytest.mark.parametrize("keeps", [True, False])
def test_the_407_of_a_connect_is_answered_and_the_tunnel_is_kept(tls: Tls, client: Client, asking: str, keeps: bool) -> None:
    script = DigestProxy(tls, asking, keeps)
    with Server(script) as proxy:
        proxies = {"https": f"http://127.0.0.1:{proxy.port}"}
        texts = [client.get(f"https://origin.test/{n}", proxies=proxies, auth=user()).text for n in range(3)]

        assert texts == [f"GET /{n} 0" for n in range(3)]
        assert client.stats().created == 1
    assert methods(proxy) == ["CONNECT", "CONNECT", "GET", "GET", "GET"]
    assert not any(request.get("Proxy-Authorization") for request in proxy.requests[2:])


def test_a_body_is_sent_again_with_the_answer_and_not_on_the_connection_that_refused_it(tls: Tls, client: Client) -> None:
    with Server(DigestProxy(tls)) as proxy:
        proxies = {"http": f"http://127.0.0.1:{proxy.port}"}
        answer = client.post("http://origin.test/", data=b"x" * 100_000, proxies=proxies, auth=user())

        assert answer.text == "POST http://origin.test/ 100000"
        assert proxy.connections == 2


def test_a_generator_that_was_consumed_cannot_be_sent_again(tls: Tls, client: Client) -> None:
    with Server(DigestProxy(tls)) as proxy, pytest.raises(holdfast.UnrewindableBodyError):
        client.post("http://origin.test/", data=iter([b"x"]), proxies={"http": f"http://127.0.0.1:{proxy.port}"}, auth=user())


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_wrong_credentials_are_tried_once(tls: Tls, client: Client, scheme: str) -> None:
    with Server(DigestProxy(tls)) as proxy:
        proxies = {"all": f"http://127.0.0.1:{proxy.port}"}
        if scheme == "http":
            assert client.get("http://origin.test/", proxies=proxies, auth=user("wr0ng")).status_code == 407
        else:
            with pytest.raises(holdfast.ProxyError, match=r"407 .*does not accept these credentials") as caught:
                client.get("https://origin.test/", proxies=proxies, auth=user("wr0ng"))
            assert "wr0ng" not in str(caught.value)

        assert len(proxy.requests) == 2


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_nonce_that_grew_stale_is_replaced(tls: Tls, client: Client, scheme: str) -> None:
    script = DigestProxy(tls)
    script.uses = 1 if scheme == "http" else 0
    with Server(script) as proxy:
        client.proxies, client.auth = {"all": f"http://127.0.0.1:{proxy.port}"}, user()
        assert [client.get(f"{scheme}://origin.test/").status_code for _ in range(2)] == [200, 200]

    assert [nonce for nonce, _ in script.answered] == (["1", "2"] if scheme == "http" else ["2"])


def test_the_nonce_that_a_proxy_announces_is_used_for_the_next_forwarded_request(tls: Tls, client: Client) -> None:
    """squid announces one when the one in use is about to end."""

    class Announcing(DigestProxy):
        def answer(self, request: Received) -> bytes:
            self.nonce += 1
            return ok(b"", f'Proxy-Authentication-Info: nextnonce="{self.nonce}"')

    script, auth = Announcing(tls), user()
    with Server(script) as proxy:
        for _ in range(3):
            assert client.get("http://o.example/", proxies={"http": proxy.url()}, auth=auth).status_code == 200

        assert script.answered == [("1", "00000001"), ("2", "00000001"), ("3", "00000001")]
        assert len(proxy.requests) == 4, "one 407, the first"


def test_other_challenges_are_left_to_the_caller(tls: Tls, client: Client) -> None:
    for asking in (
        'Basic realm="x"',
        'Digest realm="r", nonce="{}", qop="auth-int"',
        'Digest realm="r", nonce="{}", algorithm=X',
        "",
    ):
        with Server(DigestProxy(tls, asking)) as proxy:
            proxies = {"all": f"http://127.0.0.1:{proxy.port}"}
            assert client.get("http://origin.test/", proxies=proxies, auth=user()).status_code == 407
            with pytest.raises(holdfast.ProxyError, match="407"):
                client.get("https://origin.test/", proxies=proxies, auth=user())
            assert methods(proxy) == ["GET", "CONNECT"]


def test_a_redirect_by_the_same_proxy_takes_the_answer_along_and_one_by_another_does_not(tls: Tls, client: Client) -> None:
    script = DigestProxy(tls)
    with Server(script) as one, Server(DigestProxy(tls)) as two:
        client.proxies = {"http": f"http://127.0.0.1:{one.port}", "https": f"http://127.0.0.1:{one.port}"}
        script.location = "https://other.test/b"
        assert client.get("http://origin.test/a", auth=user()).text == "GET /b 0"
        client.proxies["https"] = f"http://127.0.0.1:{two.port}"
        script.location = "https://other.test/c"
        with pytest.raises(holdfast.ProxyError, match=f"{two.port} refused the tunnel.*407"):
            client.get("http://origin.test/a", auth=user())
        client.proxies["http://other.test"] = f"http://127.0.0.1:{two.port}"
        script.location = "http://other.test/c"
        assert client.get("http://origin.test/a", auth=user()).status_code == 407

    assert [(request.method, request.get("Proxy-Authorization")) for request in two.requests] == [("CONNECT", ""), ("GET", "")]


def test_a_407_of_a_server_is_not_answered(tls: Tls, client: Client) -> None:
    """Reached directly, or inside a tunnel, it is no proxy."""
    challenge = response(407, b"", 'Proxy-Authenticate: Digest realm="r", nonce="1", qop="auth"')
    with Server(replies(challenge)) as server:
        assert client.get(server.url("/"), auth=user()).status_code == 407

    class Inside(DigestProxy):
        def answer(self, request: Received) -> bytes:
            return challenge

    with Server(Inside(tls)) as proxy:
        answer = client.get("https://origin.test/", proxies={"all": f"http://127.0.0.1:{proxy.port}"}, auth=user())
        assert answer.status_code == 407
        assert methods(proxy) == ["CONNECT", "CONNECT", "GET"]


def test_it_goes_over_the_credentials_of_the_proxy_s_url(tls: Tls, client: Client) -> None:
    with Server(DigestProxy(tls)) as proxy:
        proxies = {"all": f"http://other:0ther@127.0.0.1:{proxy.port}"}
        assert client.get("http://origin.test/", proxies=proxies, auth=user()).status_code == 200
        assert client.get("https://origin.test/", proxies=proxies, auth=user()).status_code == 200

    assert not any(request.get("Proxy-Authorization").startswith("Basic") for request in proxy.requests)


def test_two_with_the_same_credentials_share_connections_and_others_do_not(tls: Tls, client: Client) -> None:
    with Server(DigestProxy(tls)) as proxy:
        client.proxies = {"http": f"http://127.0.0.1:{proxy.port}"}
        for password in (SECRET, SECRET, "wr0ng"):
            client.get("http://origin.test/", auth=user(password))

        assert client.stats().created == 2
    assert hash(user()) == hash(user())
    assert user() == user()
    assert user() != user("other")


def test_it_is_pickled_without_what_was_agreed_and_takes_no_name_that_cannot_be_sent() -> None:
    copy = pickle.loads(pickle.dumps(user()))
    assert (type(copy), copy) == (HTTPProxyDigestAuth, user())
    with pytest.raises(holdfast.InvalidRequest):
        HTTPProxyDigestAuth("a\nb", "p")(PreparedRequest())


def test_digest_to_a_server_and_basic_to_a_proxy_are_what_they_were(tls: Tls, client: Client) -> None:
    with Server(DigestProxy(tls)) as proxy:
        proxies = {"http": f"http://127.0.0.1:{proxy.port}"}
        for auth in (HTTPDigestAuth("u", SECRET), HTTPProxyAuth("u", SECRET)):
            assert client.get("http://origin.test/", proxies=proxies, auth=auth).status_code == 407

    assert [request.get("Proxy-Authorization")[:6] for request in proxy.requests] == ["", "Basic "]

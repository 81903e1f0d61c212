"""Digest authentication: the RFC's own vectors, a server that checks what it gets, and what must not be answered."""

from __future__ import annotations

import hashlib
import io
import pickle
import re
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests.auth

from holdfast.auth import HTTPDigestAuth
from holdfast.auth.digest import MAX_ORIGINS, Challenge, find_challenge, parse_challenges
from holdfast.exceptions import IncompleteBody, InvalidRequest, StreamConsumedError, UnrewindableBodyError
from holdfast.message.cookies import CookieJar
from holdfast.message.raw import LocalBody
from holdfast.message.request import PreparedRequest, Request
from holdfast.message.response import Response
from holdfast.redirects import SECRET_HEADERS, next_request

URL = "http://a.example/dir/index.html?q=1"


def asked(method: str = "GET", url: str = URL, **kwargs: Any) -> PreparedRequest:
    return Request(method, url, **kwargs).prepare()


# -- Digest: the RFC's examples --------------------------------------------------------------------------------


def challenge(**changes: Any) -> Challenge:
    return Challenge(
        **{
            "realm": "http-auth@example.org",
            "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
            "algorithm": "MD5",
            "qop": "auth",
            "opaque": "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS",
            "stale": False,
            "is_utf8": False,
            "hides_user": False,
            **changes,
        }
    )


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_rfc_7616_section_3_9_1(algorithm: str, response: str) -> None:
    auth = HTTPDigestAuth("Mufasa", "Circle of Life")
    request = asked(url="http://www.example.org/dir/index.html")
    cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    assert auth.build_header(request, challenge(algorithm=algorithm), 1, cnonce) == (
        'Digest username="Mufasa", realm="http-auth@example.org", '
        'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", uri="/dir/index.html", '
        f'response="{response}", algorithm={algorithm}, '
        'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS", '
        f'qop=auth, nc=00000001, cnonce="{cnonce}"'
    )


def test_rfc_7616_section_3_9_2_with_its_erratum_4897() -> None:
    asking = challenge(
        realm="api@example.org",
        nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK",
        opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS",
        algorithm="SHA-512-256",
        is_utf8=True,
        hides_user=True,
    )
    auth = HTTPDigestAuth("J\u00e4s\u00f8n Doe", "Secret, or not?")
    header = auth.build_header(
        asked(url="http://api.example.org/doe.json"), asking, 1, "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v"
    )
    assert 'username="793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b"' in header
    assert 'response="3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"' in header
    assert header.endswith("userhash=true")


def test_rfc_2617_section_3_5() -> None:
    asking = challenge(
        realm="testrealm@host.com",
        nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093",
        opaque="5ccc069c403ebaf9f0171e9517f40e41",
    )
    auth = HTTPDigestAuth("Mufasa", "Circle Of Life")
    header = auth.build_header(asked(url="http://www.nowhere.org/dir/index.html"), asking, 1, "0a4f113b")
    assert 'response="6629fae49393a05397450978507c4ef1"' in header


@pytest.mark.parametrize(("user", "password"), [("Jäs", "pässwörd"), ("jas", "Пароль"), ("user", "ß€")])
def test_credentials_outside_ascii_are_hashed_as_in_requests(monkeypatch: pytest.MonkeyPatch, user: str, password: str) -> None:
    theirs: Any = requests.auth.HTTPDigestAuth(user, password)
    theirs.init_per_thread_state()
    theirs._thread_local.chal = {"realm": "r", "nonce": "n", "algorithm": "MD5"}
    expected = theirs.build_digest_header("GET", "http://a.example/x")

    asking = Challenge("r", "n", "MD5", None, None, False, False, False)
    found = HTTPDigestAuth(user, password).build_header(asked(url="http://a.example/x"), asking, 1)
    assert re.search('response="(.*?)"', found)[1] == re.search('response="(.*?)"', expected)[1]  # type: ignore[index]


def test_a_name_outside_ascii_is_sent_so_that_the_server_can_read_it() -> None:
    request = asked()
    assert "username*=UTF-8''J%C3%A4s" in HTTPDigestAuth("Jäs", "").build_header(request, challenge(is_utf8=True), 1)
    assert 'username="Jäs"' in HTTPDigestAuth("Jäs", "").build_header(request, challenge(), 1)
    utf8 = "Ж".encode().decode("latin-1")
    assert f'username="{utf8}"' in HTTPDigestAuth("Ж", "").build_header(request, challenge(), 1)


@pytest.mark.parametrize("text", ['quo"ted', "back\\slash", '\\"', "a, realm=evil"])
def test_what_a_server_or_user_says_stays_inside_its_quotes(text: str) -> None:
    header = HTTPDigestAuth(text, "p").build_header(asked(), challenge(realm=text, nonce=text, opaque=text), 1)
    ((scheme, parameters),) = parse_challenges([header])
    assert scheme == "digest"
    assert [parameters[name] for name in ("username", "realm", "nonce", "opaque")] == [text] * 4
    assert set(parameters) == {
        *("username", "realm", "nonce", "uri", "response", "algorithm", "opaque", "qop", "nc", "cnonce")
    }


@pytest.mark.parametrize("user", ["a\r\nb", "\x00", b"bytes", None])
def test_a_digest_user_name_without_a_form_is_refused(user: Any) -> None:
    with pytest.raises(InvalidRequest, match="user name for Digest"):
        asked(auth=HTTPDigestAuth(user, "p"))


# -- Digest: a server that checks ------------------------------------------------------------------------------


class Bytes(LocalBody):
    """A body in memory."""

    def __init__(self, *pieces: bytes | BaseException) -> None:
        super().__init__()
        self.pieces = list(pieces)

    def read(self, size: int = 65536) -> bytes:
        if self.pieces and isinstance(self.pieces[0], BaseException):
            raise self.pieces.pop(0)  # type: ignore[misc]
        return self.pieces.pop(0) if self.pieces else b""  # type: ignore[return-value]

    def close(self) -> None:
        self.ended = not self.pieces
        self.pieces.clear()


class DigestServer:
    """Computes RFC 7616 from its own knowledge of the password, and is what the responses' ``connection`` is."""

    def __init__(self, asking: str = 'Digest realm="r", nonce="n1", qop="auth"', password: str = "p") -> None:
        self.asking = asking
        self.password = password
        self.seen: list[PreparedRequest] = []
        self.bodies: list[bytes] = []
        self.counts: list[tuple[str, str]] = []
        self.kwargs: list[dict[str, Any]] = []
        self.refuse: list[str] = []  # challenges for answers that are right, one each
        self.headers: list[tuple[bytes, bytes]] = []
        self.body: tuple[bytes | BaseException, ...] = (b"who?",)
        self.length: bytes | None = b"4"

    def send(self, request: PreparedRequest, **kwargs: Any) -> Response:
        self.seen.append(request)
        self.kwargs.append(kwargs)
        body = b"".join(request.payload.chunks()) if request.payload is not None else b""
        self.bodies.append(body)
        given = request.headers.get("Authorization")
        if given is None or not self.is_right(request, given, body):
            return self.reply(401, self.asking, request)
        if self.refuse:
            self.asking = self.refuse.pop(0)
            return self.reply(401, self.asking, request)
        return self.reply(200, "", request)

    def reply(self, status: int, asking: str, request: PreparedRequest) -> Response:
        raw = [(b"WWW-Authenticate", asking.encode("latin-1"))] if asking else []
        if self.length is not None:
            raw.append((b"Content-Length", self.length))
        response = Response(status, b"", raw + self.headers, b"1.1", request, Bytes(*self.body))
        response.connection = self
        return response

    def is_right(self, request: PreparedRequest, given: str, body: bytes) -> bool:
        ((_, got),) = parse_challenges([given])
        ((_, mine),) = [each for each in parse_challenges([self.asking]) if each[0] == "digest"]
        algorithm = mine.get("algorithm", "MD5").upper()
        name = {"SHA": "sha1", "SHA-512-256": "sha512_256"}.get(
            algorithm.removesuffix("-SESS"), algorithm.removesuffix("-SESS").replace("-", "").lower()
        )

        def h(text: str | bytes) -> str:
            return hashlib.new(name, text.encode() if isinstance(text, str) else text).hexdigest()

        ha1 = h(f"u:{mine['realm']}:{self.password}")
        if algorithm.endswith("-SESS"):
            ha1 = h(f"{ha1}:{mine['nonce']}:{got['cnonce']}")
        qop = got.get("qop")
        ha2 = h(f"{request.method}:{request.path_url}" + (f":{h(body)}" if qop == "auth-int" else ""))
        middle = f"{got['nc']}:{got['cnonce']}:{qop}:" if qop else ""
        self.counts.append((got["nonce"], got.get("nc", "")))
        return got["response"] == h(f"{ha1}:{mine['nonce']}:{middle}{ha2}") and got["nonce"] == mine["nonce"]

    def call(self, auth: HTTPDigestAuth, **kwargs: Any) -> Response:
        """What a client does: prepare, send, and give the response to the hooks."""
        request = asked(auth=auth, **kwargs)
        return self.hooked(request)

    def hooked(self, request: PreparedRequest) -> Response:
        response = self.send(request)
        for hook in request.hooks["response"]:
            response = hook(response, timeout=5) or response
        return response


def user() -> HTTPDigestAuth:
    return HTTPDigestAuth("u", "p")


ALGORITHMS = ["MD5", "md5", "SHA", "SHA-256", "SHA-512", "SHA-512-256"]


@pytest.mark.parametrize("qop", [None, "auth", "auth-int", "auth,auth-int", " auth-int , auth ", "x, AUTH"])
@pytest.mark.parametrize("algorithm", [None, *ALGORITHMS, *[f"{name}-sess" for name in ALGORITHMS]])
def test_a_challenge_is_answered_right(algorithm: str | None, qop: str | None) -> None:
    asking = 'Digest realm="r", nonce="n1"'
    asking += f", algorithm={algorithm}" if algorithm else ""
    asking += f', qop="{qop}"' if qop else ""
    server = DigestServer(asking)
    response = server.call(user(), method="POST", data=b"body")
    assert response.status_code == 200
    assert server.bodies == [b"body", b"body"]
    assert server.kwargs[1] == {"timeout": 5}


def test_the_answer_has_the_challenge_in_its_history_and_the_signed_request() -> None:
    server = DigestServer()
    response = server.call(user())
    assert [each.status_code for each in response.history] == [401]
    assert response.history[0].content == b"who?"
    assert response.request is server.seen[1]
    assert response.request.headers["Authorization"].startswith("Digest ")
    assert len(response.request.hooks["response"]) == 1
    assert "Authorization" not in response.history[0].request.headers


def test_later_requests_answer_beforehand_and_count_the_nonce() -> None:
    server, auth = DigestServer(), user()
    for _ in range(3):
        assert server.call(auth).status_code == 200
    assert [status.headers.get("Authorization") is None for status in server.seen] == [True, False, False, False]
    assert server.counts == [("n1", "00000001"), ("n1", "00000002"), ("n1", "00000003")]


def test_a_nonce_that_grew_stale_is_replaced_and_answered_once_more() -> None:
    server, auth = DigestServer(), user()
    server.call(auth)
    server.asking = 'Digest realm="r", nonce="n2", qop="auth", stale=TRUE'
    assert server.call(auth).status_code == 200
    assert server.counts[-1] == ("n2", "00000001")


def test_the_nonce_that_an_answer_announces_is_used_for_the_next_request_without_a_401_before_it() -> None:
    """A server of nonces that are good once."""

    class Once(DigestServer):
        def reply(self, status: int, asking: str, request: PreparedRequest) -> Response:
            if status == 200:
                number = len(self.counts) + 1
                self.asking = f'Digest realm="r", nonce="n{number}", qop="auth"'
                self.headers = [(b"Authentication-Info", b'rspauth="x, y", nc=00000001, nextnonce="n%d"' % number)]
            return super().reply(status, asking, request)

    server, auth = Once(), user()
    for _ in range(3):
        assert server.call(auth).status_code == 200
    assert server.counts == [("n1", "00000001"), ("n2", "00000001"), ("n3", "00000001")]
    assert len(server.seen) == 4, "one 401, the first"


@pytest.mark.parametrize(
    "field",
    ['nextnonce="n1"', 'nextnonce=""', 'nextnonce="a\tb"', 'rspauth="x"', "", 'rspauth="a, nextnonce=b"', "nextnonce"],
)
def test_an_announced_nonce_that_is_none_or_the_same_changes_nothing(field: str) -> None:
    server, auth = DigestServer(), user()
    server.headers = [(b"Authentication-Info", field.encode())]
    for _ in range(2):
        assert server.call(auth).status_code == 200
    assert server.counts == [("n1", "00000001"), ("n1", "00000002")]


def test_a_nonce_that_is_announced_before_anything_was_agreed_is_not_used() -> None:
    server, auth = DigestServer(), user()
    server.headers = [(b"Authentication-Info", b'nextnonce="n9"')]
    server.asking = "Basic realm=x"
    assert server.call(auth).status_code == 401
    assert not server.counts


def test_an_answer_that_was_stale_itself_is_answered_again_but_not_for_ever() -> None:
    server = DigestServer()
    server.refuse = ['Digest realm="r", nonce="n2", qop="auth", stale=true']
    assert server.call(user()).status_code == 200
    assert len(server.seen) == 3
    endless = DigestServer()
    endless.refuse = [f'Digest realm="r", nonce="m{number}", qop="auth", stale=true' for number in range(99)]
    response = endless.call(user())
    assert response.status_code == 401
    assert len(endless.seen) == 3


def test_a_wrong_password_is_tried_once() -> None:
    server = DigestServer(password="another")
    response = server.call(user())
    assert response.status_code == 401
    assert len(server.seen) == 2


def test_the_same_nonce_again_goes_on_being_counted() -> None:
    server, auth = DigestServer(), user()
    server.call(auth)
    server.refuse = ['Digest realm="r", nonce="n1", qop="auth"']
    server.call(auth)
    assert [count for _, count in server.counts] == ["00000001", "00000002", "00000003"]


def test_applying_the_same_authentication_twice_registers_one_hook() -> None:
    auth = user()
    request = asked(auth=auth)
    auth(request)
    assert request.hooks["response"] == [auth.handle_401]


def test_a_digest_answer_takes_the_place_of_an_authorization_header() -> None:
    request = asked(headers={"Authorization": "Bearer old"}, auth=user())
    assert "Authorization" not in request.headers


@pytest.mark.parametrize(
    "asking",
    [
        "",
        "Basic realm=r",
        "Digest",
        'Digest realm="r"',
        'Digest nonce="n"',
        'Digest realm="r", nonce=""',
        'Digest realm="r", nonce="n", algorithm=WHIRLPOOL',
        'Digest realm="r", nonce="n", qop="token"',
        'Digest realm="r", nonce="n\x07"',
        'Digest realm="r\x1b", nonce="n"',
        'Digest realm="r", nonce="n", opaque="\x00"',
        'NewAuth nonce="x", realm="y"',
    ],
)
def test_what_cannot_be_answered_is_left_to_the_caller(asking: str) -> None:
    server = DigestServer()
    request = asked(auth=user())
    response = server.reply(401, asking, request)
    assert request.hooks["response"][0](response) is response
    assert server.seen == []


def test_an_algorithm_this_openssl_has_not_is_not_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise ValueError("unsupported hash type")

    monkeypatch.setattr(hashlib, "new", refuse)
    assert find_challenge(['Digest realm="r", nonce="n"'], asked()) is None


def test_a_response_without_a_connection_is_left_alone() -> None:
    request = asked(auth=user())
    response = DigestServer().reply(401, 'Digest realm="r", nonce="n"', request)
    response.connection = None
    assert request.hooks["response"][0](response) is response


def test_of_several_challenges_the_first_that_can_be_answered_counts() -> None:
    fields = [
        'Basic realm="r", Digest realm="r", nonce="n0", algorithm=NEW, Negotiate abc==',
        'Digest realm="r", nonce="n1", algorithm=SHA-256, qop="auth, auth-int", Digest realm="r", nonce="n2"',
    ]
    found = find_challenge(fields, asked())
    assert found is not None
    assert (found.nonce, found.algorithm, found.qop) == ("n1", "SHA-256", "auth")


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("", []),
        (",,", []),
        ("Negotiate", [("negotiate", {})]),
        ("Basic realm=x", [("basic", {"realm": "x"})]),
        ('Digest realm = "a, b" , NONCE=c', [("digest", {"realm": "a, b", "nonce": "c"})]),
        ('A x="1", x=2, B, C y="\\"", D', [("a", {"x": "1"}), ("b", {}), ("c", {"y": '"'}), ("d", {})]),
        ('x="before any scheme"', []),
        ('A b="unterminated, C d=e', [("a", {"b": '"unterminated, C d=e'})]),
        ("=, A b=c", [("a", {"b": "c"})]),
        ("one two three=4", []),
    ],
)
def test_challenges_are_told_apart(field: str, expected: Any) -> None:
    assert list(parse_challenges([field])) == expected


@pytest.mark.parametrize("unit", ['"', "\\", ",", "=", 'a="', "A b,", '"\\', " ", 'A b="c",', "a "])
def test_64_kib_of_malice_are_read_in_linear_time(unit: str) -> None:
    started = time.thread_time()
    find_challenge(["Digest " + unit * (65536 // len(unit))], asked())
    assert time.thread_time() - started < 0.5  # 0.03 in fact; a quadratic reading takes minutes


# -- Digest: bodies --------------------------------------------------------------------------------------------


def once() -> Iterator[bytes]:
    yield b"once"


def test_a_file_is_sent_again_from_where_it_stood() -> None:
    file = io.BytesIO(b"skip-body")
    file.seek(5)
    server = DigestServer()
    assert server.call(user(), method="POST", data=file).status_code == 200
    assert server.bodies == [b"body", b"body"]


def test_auth_int_hashes_a_file_without_using_it_up() -> None:
    server = DigestServer('Digest realm="r", nonce="n", qop=auth-int')
    auth = user()
    for _ in range(2):
        assert server.call(auth, method="POST", data=io.BytesIO(b"body")).status_code == 200
    assert server.call(auth).status_code == 200
    assert server.bodies == [b"body", b"body", b"body", b""]


def test_a_generator_that_was_sent_is_not_sent_again_as_nothing() -> None:
    server = DigestServer()
    with pytest.raises(UnrewindableBodyError) as caught:
        server.call(user(), method="POST", data=once())
    assert caught.value.response is not None
    assert caught.value.response.status_code == 401
    assert len(server.seen) == 1


def test_a_generator_goes_out_at_once_where_the_nonce_is_known_except_for_auth_int() -> None:
    server, auth = DigestServer(), user()
    server.call(auth)
    assert server.call(auth, method="POST", data=once()).status_code == 200
    server.asking = 'Digest realm="r", nonce="n", qop=auth-int'
    server.call(auth)
    assert server.call(auth, method="POST", data=once()).status_code == 401


# -- Digest: the challenge's own body and cookies --------------------------------------------------------------


def test_a_small_challenge_is_read_and_a_large_or_unbounded_one_is_closed() -> None:
    for length, is_read in ((b"4", True), (b"65537", False), (None, False), (b"x", False), (b"9" * 5000, False)):
        server = DigestServer()
        server.length = length
        (challenged,) = server.call(user()).history
        if is_read:
            assert challenged.content == b"who?"
        else:
            with pytest.raises(StreamConsumedError):
                _ = challenged.content


def test_a_challenge_whose_body_breaks_off_is_answered_all_the_same() -> None:
    server = DigestServer()
    server.body = (b"wh", IncompleteBody("2 of 4 bytes"))
    assert server.call(user()).status_code == 200


def test_cookies_of_the_challenge_are_sent_with_the_answer() -> None:
    server = DigestServer()
    server.headers = [(b"Set-Cookie", b"session=1")]
    server.call(user())
    assert server.seen[1].headers["Cookie"] == "session=1"
    jar = CookieJar()
    jar.set("client", "2")
    request = asked(auth=user(), cookies={"own": "3"})
    request.prepare_cookies(None, jar)
    server.seen.clear()
    server.hooked(request)
    assert server.seen[1].headers["Cookie"] == "client=2; own=3"


# -- Digest: scope and threads ---------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["http://b.example/", "http://a.example:8080/", "https://a.example/"])
def test_another_origins_challenge_is_not_answered_after_a_redirect(url: str) -> None:
    server, auth = DigestServer(), user()
    for prior in (False, True):
        if prior:
            server.call(auth)
        request = asked(auth=auth)
        redirect = Response(307, b"", [(b"Location", url.encode())], b"1.1", request, None)
        following = next_request(request, redirect, SECRET_HEADERS)
        assert following is not None
        assert "Authorization" not in following.headers
        server.seen.clear()
        response = server.hooked(following)
        assert response.status_code == 401
        assert len(server.seen) == 1


def test_a_redirect_within_the_origin_is_signed_for_its_own_path() -> None:
    server, auth = DigestServer(), user()
    server.call(auth)
    request = asked(auth=auth)
    redirect = Response(302, b"", [(b"Location", b"/other?x")], b"1.1", request, None)
    following = next_request(request, redirect, SECRET_HEADERS)
    assert following is not None
    assert 'uri="/other?x"' in following.headers["Authorization"]
    server.seen.clear()
    assert server.hooked(following).status_code == 200
    assert len(server.seen) == 1


def test_one_authentication_keeps_origins_apart() -> None:
    auth = user()
    one, two = DigestServer('Digest realm="r", nonce="one"'), DigestServer('Digest realm="r", nonce="two"')
    one.call(auth)
    two.call(auth, url="http://b.example/")
    one.call(auth)
    assert [nonce for nonce, _ in one.counts + two.counts] == ["one", "one", "two"]
    assert len(one.seen) == 3


def test_origins_are_remembered_within_bounds() -> None:
    server, auth = DigestServer(), user()
    for number in range(MAX_ORIGINS + 10):
        server.call(auth, url=f"http://{number}.example/")
    assert len(auth._conversations()) == MAX_ORIGINS


def test_every_thread_counts_nonces_of_its_own() -> None:
    server, auth = DigestServer(), user()
    server.call(auth)
    counts = []

    def work() -> None:
        server.call(auth)
        counts.append(server.counts[-1])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert counts == [("n1", "00000001")]


def test_an_authentication_is_pickled_without_what_was_agreed() -> None:
    server, auth = DigestServer(), user()
    server.call(auth)
    twin = pickle.loads(pickle.dumps(auth))
    assert twin == auth
    assert "Authorization" not in asked(auth=twin).headers

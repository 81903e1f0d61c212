"""Sessions: every door on the way of a call is asked at call time, and holdfast's rules hold behind it."""

from __future__ import annotations

import threading
from typing import Any
from unittest import mock

import pytest

import holdfast
from holdfast import requests
from holdfast.requests.structures import CaseInsensitiveDict
from tests.server import Conn, Server, echo, head, ok, redirect, replies, response


@pytest.fixture
def session() -> Any:
    with requests.Session(trust_env=False) as made:
        yield made


def fields(answer: Any) -> dict[str, str]:
    """What arrived at an echoing server."""
    return {name.title(): value for name, value in answer.json()["headers"]}


# -- doors of a session ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [holdfast.Client, requests.Session])
def test_a_mock_in_the_place_of_send_is_called_and_nothing_goes_out(kind: Any) -> None:
    with Server() as server, kind() as client:
        with mock.patch.object(kind, "send", autospec=True, return_value="mocked") as send:
            assert client.get(server.url("/a"), timeout=3) == "mocked"
        assert send.mock_calls[0].args[1].url == server.url("/a")
        assert send.mock_calls[0].kwargs["timeout"] == 3
        with mock.patch.object(client, "send", return_value="of the object"):
            assert client.post(server.url()) == "of the object"
        assert not server.requests


@pytest.mark.parametrize("kind", [holdfast.Client, requests.Session])
def test_a_mock_in_the_place_of_prepare_request_is_called(kind: Any) -> None:
    with Server(echo) as server, kind() as client:
        prepared = holdfast.Request("PUT", server.url("/other")).prepare()
        for target in (kind, client):
            with mock.patch.object(target, "prepare_request", return_value=prepared):
                assert client.get(server.url("/a")).json()["target"] == "/other"


def test_send_is_called_for_each_hop_as_instrumentation_expects(session: Any) -> None:
    spy = mock.patch.object(requests.Session, "send", autospec=True, side_effect=requests.Session.send)
    with Server(replies(redirect("/b"), redirect("/c"), ok(b"x"))) as server, spy as send:
        answer = session.get(server.url("/a"))
    assert [call.args[1].path_url for call in send.mock_calls] == ["/a", "/b", "/c"]
    assert [each.status_code for each in answer.history] == [302, 302]


def test_the_deadline_and_the_settings_of_a_call_go_along_with_its_redirects(session: Any) -> None:
    heard: list[int] = []

    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(head(103), redirect("/b"))
        conn.expect_request()
        conn.send(head(103))
        conn.wait_closed()

    with Server(script) as server, pytest.raises(holdfast.TotalTimeout):
        session.get(
            server.url(), timeout=holdfast.Timeouts(total=0.3, read=5), on_informational=lambda status, _: heard.append(status)
        )
    assert heard == [103, 103]


def test_timeout_none_of_a_call_is_none_and_without_a_word_the_sessions_counts(session: Any) -> None:
    session.timeout = 0.05
    released = threading.Event()

    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.wait(released)
        conn.send(ok(b"late"))
        conn.wait_closed()

    with Server(script) as server:
        with pytest.raises(requests.exceptions.ReadTimeout):
            session.get(server.url())
        prepared = session.prepare_request(requests.Request("GET", server.url()))
        with pytest.raises(requests.exceptions.ReadTimeout):
            session.send(prepared)
        server.wait_for_requests(2)
        timer = threading.Timer(0.1, released.set)
        timer.start()
        assert session.send(prepared, timeout=None).content == b"late"
        timer.join()


def test_what_a_subclass_sends_within_a_call_is_bounded_as_the_call_is() -> None:
    class First(requests.Session):
        def send(self, request: Any, **kwargs: Any) -> Any:
            super().send(requests.Request("GET", server.url("/token")).prepare(), **kwargs)
            return super().send(request, **kwargs)

    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(ok(b"token"))
        conn.expect_request()
        conn.wait_closed()

    with Server(script) as server, First(timeout=0.05) as session:
        with pytest.raises(requests.exceptions.ReadTimeout):
            session.get(server.url())
        assert [each.target for each in server.requests] == ["/token", "/"]


def test_retries_of_holdfast_work_in_a_session_too(session: Any) -> None:
    with Server(replies(response(503), ok(b"x"))) as server:
        assert session.get(server.url(), retries=holdfast.Retries(1, backoff=0)).content == b"x"
    with Server(replies(response(503), ok(b"x"))) as server:
        prepared = requests.Request("GET", server.url()).prepare()
        assert session.send(prepared, retries=holdfast.Retries(1, backoff=0)).content == b"x"


def test_a_request_in_the_place_of_a_prepared_one_is_refused(session: Any) -> None:
    with pytest.raises(ValueError, match="PreparedRequests"):
        session.send(requests.Request("GET", "http://x.example/"))
    with pytest.raises(holdfast.InvalidRequest, match="a PreparedRequest is needed"):
        session.get_adapter("http://").send(mock.Mock(spec=["url"], url="http://x.example/"))


def test_a_session_behind_a_replaced_session_class_is_used_by_session_and_by_the_verbs() -> None:
    class Mine(requests.Session):
        def request(self, method: Any, url: Any, *args: Any, **kwargs: Any) -> Any:
            return "mine"

    with mock.patch.object(requests.sessions, "Session", Mine):
        assert type(requests.session()) is Mine
        answers: list[Any] = [requests.get("http://x.example/"), requests.put("http://x.example/")]
        assert answers == ["mine", "mine"]


def test_the_verbs_share_connections_with_holdfasts_own_and_keep_no_cookies() -> None:
    holdfast.close()
    with Server(replies(ok(b"1", "Set-Cookie: a=1"), ok(b"2"), ok(b"3"), ok(b"4"))) as server:
        first = requests.get(server.url())
        assert (dict(first.cookies), isinstance(first, requests.Response)) == ({"a": "1"}, True)
        assert [requests.post(server.url()).text, holdfast.get(server.url()).text] == ["2", "3"]
        assert not [each for each in server.requests if each.get("Cookie")]
        assert server.connections == 1
        assert holdfast.stats().total.requests == 3
        with mock.patch.object(requests.Session, "request", autospec=True, return_value="seen") as request:
            deleted: Any = requests.delete(server.url(), timeout=1)
            assert deleted == "seen"
        assert request.mock_calls[0].kwargs == {"method": "delete", "url": server.url(), "timeout": 1}
        assert [requests.head(server.url()).status_code] == [200]
    holdfast.close()


def test_configure_counts_for_the_verbs_of_requests_too() -> None:
    try:
        jar = requests.cookies.cookiejar_from_dict({"a": "1"})
        holdfast.configure(headers={"X-Configured": "1"}, timeout=5, cookies=jar)
        with Server(replies(ok(b"", "Set-Cookie: b=2"))) as server:
            requests.get(server.url())
            assert (server.requests[0].get("Cookie"), dict(jar)) == ("a=1", {"a": "1"})
        with Server(echo) as server:
            assert fields(requests.get(server.url()))["X-Configured"] == "1"
            assert fields(requests.options(server.url()))["X-Configured"] == "1"
            assert requests.patch(server.url(), data={"a": "1"}).json()["body"] == "a=1"
    finally:
        holdfast.configure()


# -- redirects ---------------------------------------------------------------------------------------------------------


class Rebuilding(requests.Session):
    """A session that keeps what holdfast would take away, and tells what it was asked."""

    def __init__(self) -> None:
        super().__init__(trust_env=False)
        self.asked: list[str] = []

    def rebuild_auth(self, prepared_request: Any, response: Any) -> None:
        self.asked.append("auth")

    def rebuild_method(self, prepared_request: Any, response: Any) -> None:
        self.asked.append("method")

    def rebuild_proxies(self, prepared_request: Any, proxies: Any) -> Any:
        self.asked.append("proxies")
        return proxies


def test_a_subclass_that_keeps_authorization_and_method_is_obeyed() -> None:
    with Server(echo) as there, Server(replies(redirect(there.url("/x")))) as server, Rebuilding() as entered:
        session: Any = entered
        answer = session.post(server.url(), headers={"Authorization": "mine", "X-Api-Key": "secret"}, data=b"body")
        assert session.asked == ["method", "proxies", "auth"]
        assert (answer.json()["method"], answer.json()["body"], fields(answer)["Authorization"]) == ("POST", "", "mine")
        assert fields(answer)["Content-Length"] == "0"
        assert "X-Api-Key" not in fields(answer)


@pytest.mark.parametrize("strip", [True, False])
def test_should_strip_auth_decides(strip: bool) -> None:
    class Own(requests.Session):
        def should_strip_auth(self, old_url: str, new_url: str) -> bool:
            assert (old_url, new_url) == (server.url("/a"), there.url("/x"))
            return strip

    with Server(echo) as there, Server(replies(redirect(there.url("/x")))) as server, Own() as session:
        answer = session.get(server.url("/a"), headers={"Authorization": "mine"})
        assert ("Authorization" in fields(answer)) is not strip


def test_get_redirect_target_decides_where_to_and_whether(session: Any) -> None:
    class Own(requests.Session):
        def get_redirect_target(self, resp: Any) -> Any:
            return resp.headers.get("X-Next")

    with Server(replies(ok(b"1", "X-Next: /b"), redirect("/c"))) as server, Own() as own:
        answer = own.get(server.url("/a"))
        assert (answer.status_code, answer.url, len(answer.history)) == (302, server.url("/b"), 1)


@pytest.mark.parametrize(
    ("location", "path"),
    [("/caf\xc3\xa9", "/caf%C3%A9"), ("/caf\xe9", "/caf%E9"), ("/\xe2\x82\xac", "/%E2%82%AC")],
)
def test_a_location_in_utf_8_leads_where_the_server_says(session: Any, location: str, path: str) -> None:
    with Server(replies(redirect(location), ok())) as server:
        assert session.get(server.url()).url == server.url(path)


def test_the_text_that_get_redirect_target_gives_is_taken_for_what_it_is() -> None:
    class Own(requests.Session):
        def get_redirect_target(self, resp: Any) -> Any:
            return "/\xc3\xa9" if resp.is_redirect else None

    with Server(replies(redirect("/elsewhere"), ok())) as server, Own() as own:
        assert own.get(server.url()).url == server.url("/%C3%83%C2%A9")


def test_resolve_redirects_may_be_called_by_hand_and_gives_requests_when_told(session: Any) -> None:
    with Server(replies(redirect("/b"), redirect("/c"), ok(b"x"))) as server:
        first = session.get(server.url("/a"), allow_redirects=False)
        assert first.next.url == server.url("/b")
        assert [each.url for each in session.resolve_redirects(first, first.request, yield_requests=True)] == [server.url("/b")]
        assert [each.status_code for each in session.resolve_redirects(first, first.request)] == [302, 200]


def test_two_different_locations_and_one_that_makes_no_sense_are_errors_with_their_response(session: Any) -> None:
    for location, match in (("/b\r\nLocation: /c", "2 different"), ("http://[", "URL")):
        with Server(replies(redirect(location), redirect(location))) as server:
            with pytest.raises(requests.exceptions.InvalidURL, match=match) as caught:
                session.get(server.url())
            assert (caught.value.response.status_code, caught.value.request.url) == (302, server.url())
            assert session.get(server.url(), allow_redirects=False).next is None


def test_a_redirect_to_another_scheme_goes_to_what_is_mounted_for_it(session: Any) -> None:
    with Server(replies(redirect("mock://x/y"))) as server, pytest.raises(holdfast.InvalidSchema, match="mock://x/y"):
        session.get(server.url())


def test_authorization_for_the_proxy_goes_along_as_long_as_the_proxy_is_the_same(session: Any) -> None:
    with Server(replies(redirect("/b"), ok(b"x"))) as proxy:
        proxies = {"http": proxy.url()}
        assert session.get("http://x.example/a", proxies=proxies, headers={"Proxy-Authorization": "p"}).content == b"x"
        assert [each.get("Proxy-Authorization") for each in proxy.requests] == ["p", "p"]
    with Server(echo) as other, Server(replies(redirect("http://y.example/b"))) as proxy:
        proxies = {"http": proxy.url(), "http://y.example": other.url()}
        answer = session.get("http://x.example/a", proxies=proxies, headers={"Proxy-Authorization": "p"})
        assert "Proxy-Authorization" not in fields(answer)


def test_rebuild_proxies_writes_the_credentials_of_a_proxy_for_http_alone(session: Any) -> None:
    proxies = {"http": "http://u:p@proxy.example:1", "https": "http://u:p@proxy.example:1"}
    for scheme, expected in (("http", True), ("https", False)):
        prepared = requests.Request("GET", f"{scheme}://x.example/").prepare()
        assert session.rebuild_proxies(prepared, proxies) == proxies
        assert ("Proxy-Authorization" in prepared.headers) is expected


def test_a_session_that_calls_nothing_secret_keeps_it() -> None:
    with Server(echo) as there, Server(replies(redirect(there.url()))) as server, requests.Session(secret_headers=()) as session:
        assert fields(session.get(server.url(), headers={"Authorization": "mine"}))["Authorization"] == "mine"


def test_netrc_has_credentials_for_the_host_of_a_redirect(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "netrc").write_text("machine localhost login me password secret")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with (
        Server(echo) as there,
        Server(replies(redirect(there.url("/", host="localhost")))) as server,
        requests.Session() as session,
    ):
        assert fields(session.get(server.url()))["Authorization"] == "Basic bWU6c2VjcmV0"
        monkeypatch.setattr(requests.sessions, "get_netrc_auth", lambda url: ("no", "body"))
        assert fields(session.get(there.url()))["Authorization"] == "Basic bm86Ym9keQ=="


# -- requests ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("made", [dict, CaseInsensitiveDict, holdfast.Headers])
@pytest.mark.parametrize("request_type", [requests.Request, holdfast.Request])
def test_headers_of_a_prepared_request_may_be_any_mapping(session: Any, made: Any, request_type: Any) -> None:
    with Server(echo) as server:
        prepared = request_type("POST", server.url(), data=b"body").prepare()
        prepared.headers = made({"X-A": "1", "Content-Length": "4"})
        answer = session.send(prepared)
        assert (fields(answer)["X-A"], answer.json()["body"]) == ("1", "body")
        assert answer.request is prepared


def test_a_prepared_form_is_bytes_and_its_file_may_be_closed(session: Any, tmp_path: Any) -> None:
    (tmp_path / "f").write_bytes(b"content")
    with Server(echo) as server:
        with open(tmp_path / "f", "rb") as file:
            prepared = session.prepare_request(requests.Request("POST", server.url(), files={"f": file}))
        assert b"content" in prepared.body
        assert "content" in session.send(prepared).json()["body"]
        sent = session.post(server.url(), files={"f": b"streamed"})
        assert isinstance(sent.request.body, bytes)


def test_private_attributes_of_a_prepared_request() -> None:
    prepared = requests.Request("POST", "http://x.example/", data={"a": "1"}, cookies={"c": "2"}).prepare()
    assert prepared._encode_params([("a", "b c"), ("d", None)]) == "a=b+c"
    assert [prepared._encode_params(data) for data in ("x", b"y", 5)] == ["x", b"y", 5]
    body, kind = prepared._encode_files({"f": b"x"}, {"a": "1"})
    assert body.count(b"form-data") == 2
    assert str(kind).startswith("multipart/form-data; boundary=")
    for files, data in (({}, None), ({"f": b""}, "text")):
        with pytest.raises(ValueError, match="must"):
            prepared._encode_files(files, data)
    assert dict(prepared._cookies) == {"c": "2"}
    prepared._cookies = None
    assert dict(prepared._cookies) == {}
    assert prepared._body_position is None
    assert requests.PreparedRequest().copy().url is None
    unsent = requests.Request().prepare if False else requests.PreparedRequest()
    unsent.prepare_method(None)
    assert unsent.method is None


def test_hooks_may_answer_with_something_built_by_hand_and_challenges_set_cookies(session: Any) -> None:
    def answer_it(answer: Any, **kwargs: Any) -> Any:
        assert sorted(kwargs) == ["cert", "proxies", "stream", "timeout", "verify"]
        if answer.status_code != 401:
            return None
        again = answer.connection.send(answer.request.copy(), **kwargs)
        again.history.append(answer)
        return again

    with Server(replies(response(401, b"", "Set-Cookie: a=1"), ok(b"x", "Set-Cookie: b=2"))) as server:
        assert session.get(server.url(), hooks={"response": answer_it}).content == b"x"
    assert dict(session.cookies) == {"a": "1", "b": "2"}

    class Plain:
        """A response of another library's."""

        history: list[Any] = []  # noqa: RUF012 - nobody changes it
        raw = None
        is_redirect = False
        content = b"plain"

    class Adapter(requests.adapters.BaseAdapter):
        def send(self, *args: Any, **kwargs: Any) -> Any:
            return Plain()

        def close(self) -> None:
            pass

    session.mount("plain://", Adapter())
    plain = session.get("plain://x", hooks={"response": lambda *_, **__: None})
    assert (plain.content, plain.request.url) == (b"plain", "plain://x")


def test_interrupted_reading_closes_the_response(session: Any) -> None:
    interrupted = mock.patch.object(requests.Response, "content", new_callable=mock.PropertyMock, side_effect=KeyboardInterrupt)
    with Server(replies(ok(b"x" * 100_000))) as server, interrupted:
        with pytest.raises(KeyboardInterrupt):
            session.get(server.url())
        assert session.stats().total.active == 0

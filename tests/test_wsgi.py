"""WSGITransport: what an application is given, what becomes of what it says, and that what it returned is always closed."""

from __future__ import annotations

import contextlib
import gc
import io
import json
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.validate import validator

import pytest

import holdfast
from holdfast import WSGITransport, requests
from tests.conftest import FakeClock

pytestmark = pytest.mark.usefixtures("no_leaks")

Start = Callable[..., Callable[[bytes], object]]
Environ = dict[str, Any]
PLAIN = [("Content-Type", "text/plain")]


class App:
    """An application that answers with what it was given; it remembers the environ and what came as the body."""

    def __init__(self, *pieces: bytes, status: str = "200 OK", headers: list[tuple[str, str]] = PLAIN) -> None:
        self.pieces, self.status, self.headers = pieces, status, headers
        self.environ: Environ = {}
        self.body = b""

    def __call__(self, environ: Environ, start_response: Start) -> Iterable[bytes]:
        self.environ = environ
        self.body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        start_response(self.status, list(self.headers))
        return list(self.pieces)


def client_of(app: Any, **settings: Any) -> holdfast.Client:
    """A client of the application, which PEP 3333's own validator watches on both sides."""
    return holdfast.Client(transport=WSGITransport(validator(app), **settings))


def bare(app: Any, **settings: Any) -> holdfast.Client:
    """The same without the validator, for applications that err."""
    return holdfast.Client(transport=WSGITransport(app, **settings))


# -- what the application is given -------------------------------------------------------------------------------------


def test_the_environ_is_that_of_pep_3333() -> None:
    app = App(b"hello")
    with client_of(app, remote_addr="203.0.113.7") as client:
        answer = client.post("https://api.example:8443/a%20b/%C3%A4?x=%20&y=1", json={"a": 1}, headers={"X-Mine": "1"})
    environ = app.environ

    assert (answer.status_code, answer.reason, answer.content) == (200, "OK", b"hello")
    assert {name: environ[name] for name in environ if name.isupper() and not name.startswith("HTTP_")} == {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/a b/ä".encode().decode("latin-1"),
        "QUERY_STRING": "x=%20&y=1",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(app.body)),
        "SERVER_NAME": "api.example",
        "SERVER_PORT": "8443",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": f"holdfast/{holdfast.__version__}",
        "REMOTE_ADDR": "203.0.113.7",
        "REQUEST_URI": "/a%20b/%C3%A4?x=%20&y=1",
    }
    assert (environ["HTTP_HOST"], environ["HTTP_X_MINE"]) == ("api.example:8443", "1")
    assert (environ["wsgi.version"], environ["wsgi.url_scheme"]) == ((1, 0), "https")
    assert (environ["wsgi.multithread"], environ["wsgi.multiprocess"], environ["wsgi.run_once"]) == (True, False, False)
    assert "HTTP_CONTENT_TYPE" not in environ
    assert "HTTP_CONTENT_LENGTH" not in environ
    assert json.loads(app.body) == {"a": 1}


def test_repeated_fields_are_joined_and_names_with_underscores_left_out() -> None:
    app = App()
    headers = [("X-A", "1"), ("X-A", "2"), ("X_A", "posing"), ("Cookie", "a=1"), ("Cookie", "b=2"), ("Host", "other.example")]
    with client_of(app) as client:
        client.get("http://h/", headers=holdfast.Headers(headers))

    assert (app.environ["HTTP_X_A"], app.environ["HTTP_COOKIE"], app.environ["HTTP_HOST"]) == ("1,2", "a=1; b=2", "other.example")


@pytest.mark.parametrize(
    ("given", "length"),
    [
        ({"data": b"abc"}, "3"),
        ({"data": io.BytesIO(b"abc")}, "3"),
        ({"data": iter([b"a", b"bc"])}, "3"),
        ({"data": (piece for piece in [b"abc" * 500_000, b"abc" * 500_000])}, "3000000"),
        ({"data": iter([b"a", b"bc"]), "headers": {"Content-Length": "3"}}, "3"),
        ({}, "0"),
    ],
)
def test_a_body_of_any_kind_arrives_with_its_length(given: dict[str, Any], length: str) -> None:
    app = App()
    with client_of(app) as client:
        client.post("http://h/", **given)

    assert app.environ["CONTENT_LENGTH"] == length
    assert app.body == (b"abc" * 1_000_000)[: int(length)]
    assert "HTTP_TRANSFER_ENCODING" not in app.environ


def test_a_request_without_a_body_has_no_length_and_an_empty_input() -> None:
    app = App()
    with client_of(app) as client:
        client.get("http://h/")

    assert "CONTENT_LENGTH" not in app.environ
    assert "CONTENT_TYPE" not in app.environ


def test_a_file_is_read_as_the_application_reads_it(tmp_path: Any) -> None:
    path = tmp_path / "large"
    path.write_bytes(b"line\n" * 100_000)
    read: list[tuple[bytes, int]] = []

    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        source = environ["wsgi.input"]
        read.append((source.readline(), file.tell()))
        rest = sum(len(line) for line in source)
        start_response("200 OK", PLAIN)
        return [str(rest).encode()]

    with path.open("rb") as file, bare(app) as client:
        assert client.put("http://h/", data=file).text == "499995"
    assert read[0][0] == b"line\n"
    assert 0 < read[0][1] <= 131072


def test_an_application_below_a_path_is_given_it_as_script_name() -> None:
    app = App()
    with client_of(app, script_name="/shop") as client:
        client.get("http://h/shop/a%2Fb")
        deep = (app.environ["SCRIPT_NAME"], app.environ["PATH_INFO"])
        client.get("http://h/shop")
        root = (app.environ["SCRIPT_NAME"], app.environ["PATH_INFO"])
        with pytest.raises(holdfast.InvalidRequest, match="mounted below '/shop', and this is not"):
            client.get("http://h/shopping")

    assert (deep, root) == (("/shop", "/a/b"), ("/shop", ""))


def test_a_request_that_contradicts_itself_is_refused_before_the_application_sees_it() -> None:
    app = App()
    with bare(app) as client, pytest.raises(holdfast.InvalidRequest):
        client.post("http://h/", data=b"abc", headers={"Content-Length": "3", "Transfer-Encoding": "chunked"})

    assert app.environ == {}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: WSGITransport(object()), "expected a WSGI application"),  # type: ignore[arg-type]  # a mistake
        (lambda: WSGITransport(App(), script_name="shop"), "begins with /"),
        (lambda: WSGITransport(App(), script_name="/shop/"), "does not end with it"),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


# -- what it says ------------------------------------------------------------------------------------------------------


def test_repeated_fields_cookies_and_redirects_come_as_from_a_server() -> None:
    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/":
            start_response("302 Found", [*PLAIN, ("Location", "/next"), ("Set-Cookie", " a=1"), ("Set-Cookie", "b=2")])
            return [b""]
        start_response("200 OK", PLAIN)
        return [environ["HTTP_COOKIE"].encode()]

    with client_of(app) as client:
        answer = client.get("http://h/")

    assert answer.text == "a=1; b=2"
    assert answer.history[0].headers.get_list("Set-Cookie") == ["a=1", "b=2"]


def test_a_session_and_the_module_level_functions_speak_to_it() -> None:
    transport = WSGITransport(validator(App(b"hello")))
    holdfast.configure(transport=transport)
    try:
        assert holdfast.get("http://h/").text == requests.get("http://h/").text == "hello"
    finally:
        holdfast.configure()
        holdfast.close()
    with requests.Session(transport=transport) as session:
        assert session.get("http://h/").text == "hello"


@pytest.mark.parametrize(("method", "status"), [("HEAD", "200 OK"), ("GET", "204 No Content"), ("GET", "304 Not Modified")])
def test_an_answer_without_a_body_has_none(method: str, status: str) -> None:
    closed: list[bool] = []

    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response(status, [("Content-Length", "5"), ("ETag", '"x"')])
        return Closing(closed, b"hello")

    with bare(app) as client:
        answer = client.request(method, "http://h/", stream=True)

        assert (answer.content, answer.headers["ETag"]) == (b"", '"x"')
    assert closed == [True]


class Closing:
    """What an application returns: pieces, a failure after so many of them, and the closing of it, which is written down."""

    def __init__(self, closed: list[bool], *pieces: bytes, fails: bool = False) -> None:
        self.closed, self.pieces, self.fails = closed, pieces, fails

    def __iter__(self) -> Iterator[bytes]:
        yield from self.pieces
        if self.fails:
            raise ZeroDivisionError("in the middle")

    def close(self) -> None:
        self.closed.append(True)


def test_the_body_is_streamed_piece_by_piece_and_what_the_application_does_behind_it_is_done() -> None:
    given: list[str] = []

    def app(environ: Environ, start_response: Start) -> Iterator[bytes]:
        start_response("200 OK", [*PLAIN, ("Content-Length", "6")])
        for piece in (b"one", b"", b"two"):
            given.append(piece.decode())
            yield piece
        given.append("the end")

    with client_of(app) as client, client.get("http://h/", stream=True) as answer:
        pieces = answer.iter_content(None)
        assert (next(pieces), given) == (b"one", ["one"])
        assert list(pieces) == [b"two"]
    assert given == ["one", "", "two", "the end"]


def test_write_comes_before_what_is_returned() -> None:
    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        write = start_response("200 OK", PLAIN)
        write(b"written ")
        write(b"")
        write(b"twice, ")
        return [b"returned"]

    with client_of(app) as client:
        assert client.get("http://h/").text == "written twice, returned"


def test_write_while_the_body_is_iterated_over_keeps_the_order() -> None:
    def app(environ: Environ, start_response: Start) -> Iterator[bytes]:
        write = start_response("200 OK", PLAIN)
        yield b"1"
        write(b"2")
        yield b"3"
        write(b"4")

    with bare(app) as client:
        assert client.get("http://h/").text == "1234"


def test_an_application_may_change_its_mind_up_to_the_first_byte() -> None:
    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", PLAIN)
        try:
            raise ZeroDivisionError
        except ZeroDivisionError:
            start_response("500 Oh", PLAIN, sys.exc_info())
        return [b"sorry"]

    with client_of(app) as client:
        answer = client.get("http://h/")

    assert (answer.status_code, answer.text) == (500, "sorry")


def test_an_error_after_the_first_byte_is_raised_again_by_start_response() -> None:
    def app(environ: Environ, start_response: Start) -> Iterator[bytes]:
        start_response("200 OK", PLAIN)
        yield b"begun"
        try:
            raise ZeroDivisionError("too late")
        except ZeroDivisionError:
            start_response("500 Oh", PLAIN, sys.exc_info())

    with bare(app) as client, pytest.raises(ZeroDivisionError, match="too late"):
        client.get("http://h/")


@pytest.mark.parametrize(
    ("pieces", "length", "received"),
    [((b"abc", b"de"), "5", None), ((b"abcde", b"fgh"), "5", None), ((b"abc",), "5", 3), ((), "5", 0), ((b"a",), "five", None)],
)
def test_a_body_is_held_against_its_content_length(pieces: tuple[bytes, ...], length: str, received: int | None) -> None:
    with bare(App(*pieces, headers=[("Content-Length", length)])) as client:
        if received is None:
            assert client.get("http://h/").content == (b"abcde" if length == "5" else b"a")
        else:
            with pytest.raises(holdfast.IncompleteBody) as caught:
                client.get("http://h/")
            assert (caught.value.received, caught.value.expected) == (received, 5)


# -- what it gets wrong ------------------------------------------------------------------------------------------------


def fails(environ: Environ, start_response: Start) -> Iterable[bytes]:
    raise ZeroDivisionError("at once")


def fails_behind_its_head(environ: Environ, start_response: Start) -> Iterator[bytes]:
    start_response("200 OK", PLAIN)
    raise ZeroDivisionError("at once")
    yield b""


def never_starts(environ: Environ, start_response: Start) -> Iterable[bytes]:
    return [b"body"]


def starts_twice(environ: Environ, start_response: Start) -> Iterable[bytes]:
    start_response("200 OK", PLAIN)
    start_response("200 OK", PLAIN)
    return []


def has_text(environ: Environ, start_response: Start) -> Iterable[Any]:
    start_response("200 OK", PLAIN)
    return ["text"]


def has_a_number_as_status(environ: Environ, start_response: Start) -> Iterable[bytes]:
    start_response(200, PLAIN)
    return []


def is_informational(environ: Environ, start_response: Start) -> Iterable[bytes]:
    start_response("100 Continue", PLAIN)
    return []


def has_a_dict_of_fields(environ: Environ, start_response: Start) -> Iterable[bytes]:
    start_response("200 OK", dict(PLAIN))
    return []


def has_a_wrong_field(environ: Environ, start_response: Start) -> Iterable[bytes]:
    start_response("200 OK", [("A", "b\r\nC: d")])
    return []


def writes_text(environ: Environ, start_response: Start) -> Iterable[bytes]:
    write: Any = start_response("200 OK", PLAIN)
    write("text")
    return []


def has_a_reason_of_two_lines(environ: Environ, start_response: Start) -> Iterable[bytes]:
    start_response("200 OK\r\nA: b", PLAIN)
    return []


def has_a_number_as_value(environ: Environ, start_response: Start) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Length", 5)])
    return []


def has_half_a_field(environ: Environ, start_response: Start) -> Iterable[bytes]:
    start_response("200 OK", [("A",)])
    return []


def returns_nothing(environ: Environ, start_response: Start) -> Any:
    start_response("200 OK", PLAIN)


WRONG = [
    (fails, "at once"),
    (fails_behind_its_head, "at once"),
    (never_starts, r"without a call of start_response\(\)"),
    (starts_twice, r"start_response\(\) twice, without exc_info"),
    (has_text, "gave a str for a piece of its body: expected bytes"),
    (writes_text, "gave a str for a piece of its body: expected bytes"),
    (returns_nothing, "returned None: expected an iterable of bytes"),
    (has_a_reason_of_two_lines, r"reason phrase 'OK\\r\\nA: b': control character"),
    (has_a_number_as_value, r"gave the field \('Content-Length', 5\): expected \(name, value\), both str"),
    (has_half_a_field, r"gave the field \('A',\): expected \(name, value\), both str"),
    (has_a_number_as_status, "gave the status 200: expected one such as '200 OK'"),
    (is_informational, "gave the status '100 Continue'"),
    (has_a_dict_of_fields, r"gave dict as headers: expected a list of \(name, value\)"),
    (has_a_wrong_field, "control character"),
]


@pytest.mark.parametrize(("app", "message"), WRONG)
def test_an_error_of_the_application_is_raised_or_becomes_what_a_server_makes_of_it(app: Any, message: str) -> None:
    with bare(app) as client, pytest.raises(Exception, match=message):
        client.get("http://h/")
    errors = io.StringIO()
    with bare(app, raise_app_exceptions=False, errors=errors) as client:
        answer = client.get("http://h/")

    assert (answer.status_code, answer.reason, answer.text) == (500, "Internal Server Error", "Internal Server Error")
    assert "Traceback" in errors.getvalue()


def test_errors_go_to_stderr_as_it_is_then(capsys: pytest.CaptureFixture[str]) -> None:
    with bare(fails, raise_app_exceptions=False) as client:
        client.get("http://h/")

    assert "ZeroDivisionError: at once" in capsys.readouterr().err


def test_an_error_in_the_middle_of_the_body_is_raised_or_cuts_it_short() -> None:
    closed: list[bool] = []

    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", PLAIN)
        return Closing(closed, b"begun", fails=True)

    with bare(app) as client, client.get("http://h/", stream=True) as answer:
        pieces = answer.iter_content(None)
        assert next(pieces) == b"begun"
        with pytest.raises(ZeroDivisionError, match="in the middle"):
            next(pieces)
    errors = io.StringIO()
    with (
        bare(app, raise_app_exceptions=False, errors=errors) as client,
        pytest.raises(holdfast.IncompleteBody, match="failed in the middle of the body"),
    ):
        client.get("http://h/")

    assert "ZeroDivisionError: in the middle" in errors.getvalue()
    assert closed == [True, True]


@pytest.mark.parametrize("headers", [PLAIN, [("A", "b\r\nC: d")]])
def test_what_the_application_returned_is_closed_when_its_head_comes_to_nothing(headers: list[tuple[str, str]]) -> None:
    closed: list[bool] = []

    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", headers)
        return Closing(closed, fails=True)

    for raises in (True, False):
        client = bare(app, raise_app_exceptions=raises, errors=io.StringIO())
        with client, contextlib.suppress(ZeroDivisionError, holdfast.InvalidHeader):
            client.get("http://h/")
    assert closed == [True, True]


def test_closing_that_is_interrupted_is_done_when_the_response_is_dropped() -> None:
    closed: list[bool] = []

    class Interrupted(Closing):
        def close(self) -> None:
            super().close()
            if len(closed) == 1:
                raise KeyboardInterrupt  # as Ctrl-C may before the first line of a close()

    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", PLAIN)
        return Interrupted(closed, b"body")

    with bare(app) as client:
        response = client.get("http://h/", stream=True)
        with pytest.raises(KeyboardInterrupt):
            response.close()
        del response
        gc.collect()
    assert closed == [True, True]


def test_an_error_of_close_is_raised_or_printed() -> None:
    class Unclosable(Closing):
        def close(self) -> None:
            raise ZeroDivisionError("cannot close")

    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", PLAIN)
        return Unclosable([], b"body")

    with bare(app) as client, pytest.raises(ZeroDivisionError, match="cannot close"):
        client.get("http://h/")
    errors = io.StringIO()
    with bare(app, raise_app_exceptions=False, errors=errors) as client:
        assert client.get("http://h/").content == b"body"
    assert "cannot close" in errors.getvalue()


def test_an_error_of_the_requests_own_body_is_the_users() -> None:
    def pieces() -> Iterator[bytes]:
        yield b"x" * 2_000_000
        raise ZeroDivisionError("in the generator")

    app = App()
    with bare(app) as client, pytest.raises(ZeroDivisionError, match="in the generator"):
        client.post("http://h/", data=pieces())
    gc.collect()

    assert app.environ == {}


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_is_no_error_of_the_application_passes_and_closes_what_it_returned(error: type[BaseException]) -> None:
    closed: list[bool] = []

    class Interrupted(Closing):
        def __iter__(self) -> Iterator[bytes]:
            raise error

    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", PLAIN)
        return Interrupted(closed)

    with bare(app, raise_app_exceptions=False) as client, pytest.raises(error):
        client.get("http://h/")
    assert closed == [True]


# -- closing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["read", "closed at once", "closed in the middle", "dropped", "no body wanted"])
def test_what_the_application_returned_is_closed_once_whatever_becomes_of_the_body(way: str) -> None:
    closed: list[bool] = []

    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", PLAIN)
        return Closing(closed, b"one", b"two")

    with bare(app) as client:
        answer = client.request("HEAD" if way == "no body wanted" else "GET", "http://h/", stream=True)
        if way == "read":
            answer.content  # noqa: B018
        elif way.startswith("closed"):
            if way.endswith("middle"):
                next(answer.iter_content(None))
            answer.close()
        answer.close() if way != "dropped" else None
        del answer
        gc.collect()
    assert closed == [True]


def test_the_total_time_is_looked_at_when_the_answer_begins_and_behind_each_piece(clock: FakeClock) -> None:
    closed: list[bool] = []

    def late(environ: Environ, start_response: Start) -> Iterable[bytes]:
        clock.advance(4 if environ["PATH_INFO"] == "/late" else 0)
        start_response("200 OK", PLAIN)
        return Ticking(closed)

    class Ticking(Closing):
        def __iter__(self) -> Iterator[bytes]:
            for _ in range(9):
                yield b"tick"
                clock.advance(1)

    settings: dict[str, Any] = {"clock": clock, "timeout": holdfast.Timeouts(total=3)}
    with holdfast.Client(transport=WSGITransport(late), **settings) as client:
        with pytest.raises(holdfast.TotalTimeout, match="total of 3 s was used up while the WSGI application ran"):
            client.get("http://h/late")
        with pytest.raises(holdfast.TotalTimeout), client.get("http://h/", stream=True) as answer:
            assert b"".join(answer.iter_content(None)) == b""

    assert closed == [True, True]


def test_threads_may_share_it() -> None:
    together = threading.Barrier(4)

    def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
        together.wait(10)
        start_response("200 OK", PLAIN)
        return [environ["PATH_INFO"].encode()]

    texts: list[str] = []
    with client_of(app) as client:
        threads = [threading.Thread(target=lambda n=n: texts.append(client.get(f"http://h/{n}").text)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)

    assert sorted(texts) == ["/0", "/1", "/2", "/3"]

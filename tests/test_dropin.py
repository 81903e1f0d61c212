"""``import holdfast as requests``: the names, the order of parameters, the exceptions, and the small structures.

What calls do is compared in test_like_requests.py; this is about what a script finds when it looks.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import inspect
import io
import json
import pickle
import subprocess
import sys
import warnings
from http.cookies import SimpleCookie
from typing import Any

import pytest
import requests

import holdfast
from holdfast.requests.cookies import RequestsCookieJar, add_dict_to_cookiejar, morsel_to_cookie, remove_cookie_by_name
from holdfast.requests.status_codes import codes
from holdfast.requests.structures import CaseInsensitiveDict, LookupDict
from tests.server import Conn, Server, head, ok, replies, response

# requests' own plumbing, and what is no part of it but imported there.
NOT_PUBLIC = {
    "DependencyWarning", "NullHandler", "annotations", "charset_normalizer_version", "chardet_version",
    "check_compatibility", "hooks", "logging", "ssl", "urllib3", "warnings",
}  # fmt: skip
VERBS = ("get", "options", "head", "post", "put", "patch", "delete")


def public(thing: Any) -> set[str]:
    # "@": names that pytest adds to modules whose assertions it rewrites: those of an installed package with a plugin for it.
    return {name for name in dir(thing) if not name.startswith(("_", "@"))}


# -- names -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", [holdfast, holdfast.requests])
def test_the_module_has_every_public_name_of_requests(module: Any) -> None:
    assert not {name for name in public(requests) - NOT_PUBLIC if not hasattr(module, name)}


def test_another_name_is_an_attribute_error_without_a_hint() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'gett'$"):
        holdfast.gett  # noqa: B018 - asking is the test


@pytest.mark.parametrize("module", ["auth", "cookies", "exceptions", "models", "sessions", "status_codes", "structures"])
def test_submodules_have_the_names_that_are_theirs_in_requests(module: str) -> None:
    theirs = getattr(requests, module)
    own = {name for name in public(theirs) if getattr(getattr(theirs, name), "__module__", "") == theirs.__name__}
    plumbing = {"MockRequest", "MockResponse", "extract_cookies_to_jar", "get_cookie_header"}

    plumbing |= {"RequestEncodingMixin", "RequestHooksMixin", "SessionRedirectMixin", "merge_hooks", "merge_setting"}

    assert own - plumbing <= public(getattr(holdfast, module))


def test_modules_are_imported_by_their_names_too() -> None:
    for name in ("auth", "certs", "compat", "cookies", "hooks", "models", "packages", "sessions", "status_codes", "utils"):
        module = importlib.import_module(f"holdfast.requests.{name}")

        assert module is getattr(holdfast.requests, name)
    for name in ("certs", "compat", "cookies", "hooks", "models", "packages", "sessions", "status_codes", "structures", "utils"):
        assert getattr(holdfast, name) is getattr(holdfast.requests, name)


def test_compat_has_what_scripts_fetch_from_there() -> None:
    theirs = {name: getattr(requests.compat, name) for name in public(holdfast.requests.compat) - {"annotations", "Any"}}

    assert {name for name in theirs if getattr(holdfast.requests.compat, name) != theirs[name]} == set()


def test_a_response_is_built_by_hand_and_read_like_another() -> None:
    response: Any = holdfast.Response()
    response.close()
    response.raw = file = io.BytesIO(b"a\nb")
    response.status_code, response.reason = 404, b"not h\xe9re"
    assert (response.raw, response.reason, response.url) == (file, "not hére", None)
    assert list(response.iter_lines()) == [b"a", b"b"]
    response.close()
    assert not file.closed
    response.raw = None
    assert response.raw is None
    assert pickle.loads(pickle.dumps(holdfast.Response())).content is None


def test_a_hook_may_answer_with_a_redirect_built_by_hand() -> None:
    def moved(answer: Any, **_: Any) -> Any:
        if answer.url.endswith("/new"):
            return None
        made = holdfast.Response()
        made.status_code = 302
        made.headers = {"location": "/new"}
        return made

    with Server(replies(response(200), response(200))) as server, holdfast.Session() as session:
        answer = session.get(server.url("/old"), hooks={"response": moved})
        assert (answer.url, [each.status_code for each in answer.history]) == (server.url("/new"), [302])


@pytest.mark.parametrize("module", [holdfast, requests])
def test_hooks_of_a_request_are_replaced_by_setting_them(module: Any) -> None:
    request = module.Request("GET", "http://x.example/")
    request.hooks = {"response": [print]}
    assert request.prepare().hooks == {"response": [print]}
    request.hooks = {"response": []}
    assert request.prepare().hooks == {"response": []}


class Limited(holdfast.Session):
    """A session whose calls go through its own send."""

    heard: list[dict[str, Any]]

    def send(self, request: Any, **kwargs: Any) -> Any:
        self.heard.append(kwargs)
        return super().send(request, **kwargs)


def test_every_call_of_a_subclass_goes_through_its_send_with_the_settings_of_the_call() -> None:
    told: list[int] = []
    script = replies(head(103) + response(503), head(103) + response(200))
    with Server(script) as server, contextlib.closing(Limited()) as session:
        session.heard = []
        answer = session.get(
            server.url(),
            timeout=5,
            retries=holdfast.Retries(1, backoff=0),
            on_informational=lambda status, fields: told.append(status),
        )
        assert (answer.status_code, told, session.heard[0]["timeout"]) == (200, [103, 103], 5)
        # What requests has no argument for goes beside them.
        assert sorted(session.heard[0]) == ["allow_redirects", "cert", "proxies", "stream", "timeout", "verify"]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (holdfast.Session(), requests.Session()),
        (holdfast.Request(), requests.Request()),
        (holdfast.PreparedRequest(), requests.PreparedRequest()),
        (holdfast.Response, requests.Response()),
        (RequestsCookieJar(), requests.cookies.RequestsCookieJar()),
        (holdfast.Headers(), requests.structures.CaseInsensitiveDict()),
        (CaseInsensitiveDict(), requests.structures.CaseInsensitiveDict()),
    ],
    ids=lambda thing: type(thing).__name__,
)
def test_objects_have_the_attributes_they_have_in_requests(ours: Any, theirs: Any) -> None:
    # A method of mappings that requests' own jar cannot do.
    without = {"popitem"}
    if isinstance(theirs, requests.PreparedRequest):
        theirs.prepare("GET", "http://x.example/")
        ours.prepare("GET", "http://x.example/")

    assert public(theirs) - public(ours) <= without


def test_a_session_is_a_client_with_adapters_and_session_makes_one() -> None:
    assert issubclass(holdfast.Session, holdfast.Client)
    assert holdfast.Session is holdfast.requests.Session is holdfast.requests.sessions.Session
    assert isinstance(holdfast.session(), holdfast.Session)
    assert not hasattr(holdfast.Client, "mount")


def test_importing_holdfast_waits_with_what_a_plain_call_does_not_need_and_dir_tells_of_it() -> None:
    source = """
import json, sys, holdfast
waiting = [name for name in ("auth", "cookies", "status_codes", "structures") if "holdfast." + name in sys.modules]
found = holdfast.codes.ok, holdfast.codes is holdfast.codes, holdfast.requests.cookies.__name__, holdfast.auth.__name__
print(json.dumps([waiting, found, sorted({"codes", "cookies", "structures"} - set(dir(holdfast)))]))
"""
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60, check=True)

    waiting, found, hidden = json.loads(done.stdout)
    assert set(waiting) <= {"auth"}  # the client knows netrc
    assert found == [200, True, "holdfast.requests.cookies", "holdfast.auth"]
    assert hidden == []


# -- parameters --------------------------------------------------------------------------------------------------------


def parameters(function: Any) -> list[tuple[str, str]]:
    found = inspect.signature(function).parameters.values()
    return [(each.name, each.kind.name) for each in found if each.name != "self"]


@pytest.mark.parametrize("name", [*VERBS, "request"])
def test_functions_take_what_they_take_in_requests_in_the_same_order(name: str) -> None:
    assert parameters(getattr(holdfast, name)) == parameters(getattr(requests, name))


@pytest.mark.parametrize("name", VERBS)
def test_methods_of_a_session_do_too(name: str) -> None:
    assert parameters(getattr(holdfast.Session, name)) == parameters(getattr(requests.Session, name))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (holdfast.Session.request, requests.Session.request),
        (holdfast.Session.send, requests.Session.send),
        (holdfast.Session.prepare_request, requests.Session.prepare_request),
        (holdfast.Request, requests.Request),
        (holdfast.PreparedRequest.prepare, requests.PreparedRequest.prepare),
        (holdfast.PreparedRequest.prepare_body, requests.PreparedRequest.prepare_body),
        (holdfast.PreparedRequest.prepare_url, requests.PreparedRequest.prepare_url),
        (holdfast.PreparedRequest.prepare_auth, requests.PreparedRequest.prepare_auth),
        (holdfast.PreparedRequest.register_hook, requests.PreparedRequest.register_hook),
        (holdfast.Response.iter_content, requests.Response.iter_content),
        (holdfast.Response.iter_lines, requests.Response.iter_lines),
        (holdfast.Response.json, requests.Response.json),
        (holdfast.requests.cookies.cookiejar_from_dict, requests.cookies.cookiejar_from_dict),
        (holdfast.requests.cookies.create_cookie, requests.cookies.create_cookie),
        (holdfast.requests.cookies.remove_cookie_by_name, requests.cookies.remove_cookie_by_name),
        (holdfast.auth.HTTPBasicAuth, requests.auth.HTTPBasicAuth),
        (holdfast.auth.HTTPDigestAuth, requests.auth.HTTPDigestAuth),
    ],
    ids=lambda function: function.__qualname__,
)
def test_parameters_begin_as_in_requests(ours: Any, theirs: Any) -> None:
    expected = parameters(theirs)

    assert parameters(ours)[: len(expected)] == expected


def test_what_session_request_takes_beyond_requests_has_to_be_named() -> None:
    beyond = parameters(holdfast.Session.request)[len(parameters(requests.Session.request)) :]

    assert {kind for _, kind in beyond} == {"KEYWORD_ONLY"}


# -- exceptions --------------------------------------------------------------------------------------------------------

EXCEPTIONS = sorted(
    name
    for name in public(requests.exceptions)
    if isinstance(getattr(requests.exceptions, name), type)
    and getattr(requests.exceptions, name).__module__ == "requests.exceptions"
)


def test_there_are_exceptions_to_compare() -> None:
    assert len(EXCEPTIONS) >= 25


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_exceptions_have_the_bases_they_have_in_requests(name: str) -> None:
    ours, theirs = getattr(holdfast.exceptions, name), getattr(requests.exceptions, name)
    bases = {base for base in theirs.__mro__ if base.__module__.partition(".")[0] in ("requests", "builtins", "json")}

    assert {base.__name__ for base in bases} - {"CompatJSONDecodeError"} <= {base.__name__ for base in ours.__mro__}


@pytest.mark.parametrize("name", [n for n in EXCEPTIONS if "Warning" not in n and n != "JSONDecodeError"])
def test_exceptions_carry_request_and_response(name: str) -> None:
    request = holdfast.Request("GET", "http://x.example/").prepare()
    error = getattr(holdfast.exceptions, name)("text", request=request)

    assert (str(error), error.request, error.response) == ("text", request, None)


@pytest.mark.parametrize("name", ["ConnectionError", "ConnectTimeout", "HTTPError", "JSONDecodeError", "ReadTimeout"])
def test_the_exceptions_requests_has_at_its_top_are_at_the_top(name: str) -> None:
    assert getattr(holdfast, name) is getattr(holdfast.exceptions, name)
    assert hasattr(requests, name)


def test_filters_that_name_requests_warnings_work() -> None:
    for category in (holdfast.exceptions.RequestsWarning, holdfast.RequestsDependencyWarning, holdfast.FileModeWarning):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            warnings.simplefilter("ignore", category)
            warnings.warn("x", category, stacklevel=1)
        assert caught == []


# -- codes -------------------------------------------------------------------------------------------------------------


def test_codes_have_every_name_of_requests_codes() -> None:
    assert {name: codes[name] for name in vars(requests.codes)} == {
        **vars(requests.codes),
        "name": "status_codes",
    }


def test_codes_are_attributes_and_items_and_what_is_unknown_is_none_or_an_error() -> None:
    assert holdfast.codes.not_found == holdfast.codes["not_found"] == holdfast.codes.NOT_FOUND == 404
    assert holdfast.codes["\\o/"] == holdfast.codes["✓"] == 200
    assert holdfast.codes["no_such"] is None
    assert holdfast.codes.get("no_such", 0) == 0
    assert holdfast.codes.get("teapot") == 418
    with pytest.raises(AttributeError, match="no_such"):
        holdfast.codes.no_such  # noqa: B018 - asking is the test
    assert repr(LookupDict("some")) == repr(requests.structures.LookupDict("some")) == "<lookup 'some'>"


# -- structures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("made", [CaseInsensitiveDict, requests.structures.CaseInsensitiveDict])
def test_a_case_insensitive_dict_is_as_in_requests(made: Any) -> None:
    found = made({"Accept": 1}, X=2)
    found["ACCEPT"] = 3

    assert (found["accept"], list(found), len(found)) == (3, ["ACCEPT", "X"], 2)
    assert repr(found) == "{'ACCEPT': 3, 'X': 2}"
    assert list(found.lower_items()) == [("accept", 3), ("x", 2)]
    assert found == {"aCCept": 3, "x": 2}
    assert found != {"accept": 3}
    assert found != 5
    twin = found.copy()
    del twin["x"]
    assert "X" in found
    assert "X" not in twin
    assert twin.get("none", "d") == "d"
    assert made([("a", 1)]) == made(A=1)
    with pytest.raises(KeyError):
        twin["x"]
    with pytest.raises(TypeError):
        hash(found)
    assert pickle.loads(pickle.dumps(found)) == copy.deepcopy(found) == found


def test_headers_count_as_a_case_insensitive_dict() -> None:
    assert isinstance(holdfast.Headers(), CaseInsensitiveDict)
    assert holdfast.Headers(CaseInsensitiveDict({"A": "1"})) == CaseInsensitiveDict({"a": "1"})


# -- cookies -----------------------------------------------------------------------------------------------------------


def test_dicts_become_jars_and_jars_dicts() -> None:
    jar = holdfast.requests.cookies.cookiejar_from_dict({"a": "1", "b": "2"})

    assert isinstance(jar, RequestsCookieJar)
    assert add_dict_to_cookiejar(jar, {"b": "3", "c": "4"}) is jar
    assert holdfast.requests.cookies.dict_from_cookiejar(jar) == {"a": "1", "b": "3", "c": "4"}


def test_a_cookie_is_removed_by_name_domain_and_path() -> None:
    jar = RequestsCookieJar()
    for domain, path in (("x.example", "/"), ("x.example", "/p"), ("y.example", "/")):
        jar.set("a", "1", domain=domain, path=path)
        jar.set("b", "2", domain=domain, path=path)

    remove_cookie_by_name(jar, "a", domain="x.example", path="/")
    assert [(c.domain, c.path) for c in jar if c.name == "a"] == [("x.example", "/p"), ("y.example", "/")]
    remove_cookie_by_name(jar, "a", domain="x.example")
    assert [(c.domain, c.path) for c in jar if c.name == "a"] == [("y.example", "/")]
    remove_cookie_by_name(jar, "a")
    remove_cookie_by_name(jar, "none")
    assert {c.name for c in jar} == {"b"}
    assert len(jar) == 3


def test_a_morsel_becomes_the_cookie_it_becomes_in_requests() -> None:
    morsel: Any = SimpleCookie("a=1")["a"]
    morsel.update({"domain": "x.example", "path": "/p", "secure": True, "expires": "Wed, 21-Oct-2065 07:28:00 GMT"})

    ours, theirs = vars(morsel_to_cookie(morsel)), vars(requests.cookies.morsel_to_cookie(morsel))
    assert {name for name in theirs if ours[name] != theirs[name]} <= {"comment_url"}  # None, and False in requests


# -- what a user may write on ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("made", [holdfast.PreparedRequest, lambda: holdfast.Request("GET", "u"), holdfast.Client])
def test_objects_take_attributes_of_their_users(made: Any) -> None:
    thing = made()
    thing.started = 5

    assert thing.started == 5


def test_a_hook_that_raises_costs_neither_the_connection_nor_the_body() -> None:
    with Server(replies(response(500, b"why"), response(500, b"why"))) as server, holdfast.Session() as session:
        session.hooks["response"].append(lambda answer, **_: answer.raise_for_status())
        for _ in range(2):
            with pytest.raises(holdfast.HTTPError) as caught:
                session.get(server.url())
            assert caught.value.response.text == "why"

        assert server.connections == 1


def test_a_body_that_breaks_behind_a_hook_that_raises_leaves_the_hooks_error() -> None:
    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(head(500, "Content-Length: 100") + b"cut")

    with Server(script) as server, pytest.raises(holdfast.HTTPError):
        holdfast.get(server.url(), hooks={"response": lambda answer, **_: answer.raise_for_status()})
    holdfast.close()


def test_the_examples_of_requests_own_pages_print_what_they_print_there() -> None:
    """What the likeness of single calls does not look at: the order of cookies in their field, and of a link's parts."""

    def peer(conn: Conn) -> None:
        for request in conn.read_requests():
            fields = ["Set-Cookie: sessioncookie=123456789"] if request.target == "/set" else []
            link = 'Link: <https://api.example/repos?page=2>; rel="next", <https://api.example/repos?page=6>; rel="last"'
            conn.send(ok(request.get("Cookie").encode(), link, *fields))

    seen = []
    with Server(peer) as server:
        modules: list[Any] = [requests, holdfast.requests]
        for module in modules:
            with module.Session() as session:
                session.get(server.url("/set"))
                response = session.get(server.url(), cookies={"from-my": "browser"})
                seen.append((response.text, str(response.links["next"]), str(response.links)))

    assert seen[0] == seen[1]
    assert seen[0][0] == "sessioncookie=123456789; from-my=browser"

"""A client's own resolver and its guard: who is asked, for which address, and that there is no way around the guard."""

from __future__ import annotations

import contextvars
import ipaddress
import pickle
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

import holdfast
from holdfast import AddressRefused, Client, ConnectTimeout, DialAddress, Retries, Timeouts, environment, public_addresses_only
from holdfast.wire import addressing
from holdfast.wire.addressing import BY_SYSTEM, resolve
from tests.conftest import FakeClock, Tls
from tests.server import Conn, Server, connect_proxy, echo, ok, redirect
from tests.support import QUICK, free_port
from tests.test_kinds_of_proxies import Socks, at


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, no_leaks: None) -> None:
    """No proxy is in the environment, whatever the machine has."""
    for name in (*environment._NAMES, "NETRC"):
        monkeypatch.delenv(name, raising=False)


class Guard:
    """Allows what is not in a list; remembers what it was asked.

    Args:
        refused: addresses, as text.
    """

    def __init__(self, *refused: str) -> None:
        self.refused = refused
        self.asked: list[tuple[str, int, str, bool]] = []

    def __call__(self, address: DialAddress) -> bool:
        self.asked.append((str(address.ip), address.port, address.host, address.is_proxy))
        return str(address.ip) not in self.refused


class Names:
    """A resolver with a table; what is not in it is the system's business."""

    def __init__(self, **table: Any) -> None:
        self.table = {name.replace("_", "."): found for name, found in table.items()}
        self.asked: list[tuple[str, int]] = []

    def __call__(self, host: str, port: int) -> Any:
        self.asked.append((host, port))
        return self.table.get(host)


def loopback_only(address: DialAddress) -> bool:
    return address.ip.is_loopback


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(echo) as running:
        yield running


# -- the resolver ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "found",
    [
        ["127.0.0.1"],
        "127.0.0.1",
        ipaddress.ip_address("127.0.0.1"),
        (ipaddress.ip_address("127.0.0.1"),),
        iter(["127.0.0.1"]),
        socket.getaddrinfo("127.0.0.1", 0),
    ],
    ids=["list of text", "text", "object", "tuple of objects", "iterator", "getaddrinfo's"],
)
def test_a_resolver_may_return_addresses_in_any_usual_form(server: Server, found: Any) -> None:
    if isinstance(found, list) and isinstance(found[0], tuple):
        found = [(*entry[:4], (entry[4][0], server.port)) for entry in found]
    with Client(timeout=QUICK, resolver=lambda host, port: found) as client:
        assert client.get(f"http://api.test:{server.port}/").json()["target"] == "/"


def test_a_resolver_is_asked_for_names_alone_once_per_connection_and_the_server_sees_the_name(server: Server) -> None:
    names = Names(api_test=["127.0.0.1"])
    with Client(timeout=QUICK, resolver=names) as client:
        for _ in range(3):
            said = client.get(f"http://api.test:{server.port}/").json()
        for literal in ("127.0.0.1", "127.1"):
            client.get(f"http://{literal}:{server.port}/")
        client.get(f"http://localhost:{server.port}/")  # None: the system knows

    assert ["Host", f"api.test:{server.port}"] in said["headers"]
    assert names.asked == [("api.test", server.port), ("localhost", server.port)]


@pytest.mark.parametrize("option", ["resolver", "allow_address"])
def test_an_interrupt_in_a_function_of_a_script_comes_through_as_it_is(server: Server, option: str) -> None:
    script: dict[str, Any] = {"__name__": "__main__", "__package__": None}  # as python has it for a script: there, and None
    exec("def ask(*asked):\n    raise KeyboardInterrupt", script)
    with Client(timeout=QUICK, **{option: script["ask"]}) as client, pytest.raises(KeyboardInterrupt):
        client.get(f"http://localhost:{server.port}/")


def test_addresses_are_raced_in_the_order_that_the_resolver_gives(server: Server) -> None:
    refusing = free_port()
    with Client(timeout=QUICK, resolver=lambda host, port: ["127.0.0.2", "127.0.0.1"]) as client:
        peer = client.get(f"http://api.test:{server.port}/").connection_info
        with pytest.raises(holdfast.ConnectionError, match=r"\(2 addresses tried\)"):
            client.get(f"http://api.test:{refusing}/")
    assert peer is not None
    assert peer.tried[0][0] == "127.0.0.2"


def test_a_resolver_is_asked_in_another_thread_in_the_callers_context_and_left_behind_when_late(server: Server) -> None:
    here: contextvars.ContextVar[str] = contextvars.ContextVar("here")
    here.set("the caller's")
    go = threading.Event()
    seen: list[tuple[str, bool]] = []

    def slow(host: str, port: int) -> Iterable[str]:
        seen.append((here.get("none"), threading.current_thread() is threading.main_thread()))
        if host == "slow.test":
            go.wait(10)
        return ["127.0.0.1"]

    with Client(resolver=slow, timeout=Timeouts(connect=0.2)) as client:
        assert client.get(f"http://api.test:{server.port}/", timeout=QUICK).ok
        with pytest.raises(holdfast.ConnectTimeout, match=r"'slow\.test' was not resolved after"):
            client.get(f"http://slow.test:{server.port}/")
        assert client.get(f"http://api2.test:{server.port}/", timeout=None).ok
    go.set()

    assert seen == [("the caller's", False), ("the caller's", False), ("the caller's", True)]


def test_look_ups_that_hang_are_bounded_and_the_next_waits_for_one_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addressing, "MAX_LOOK_UPS", 2)
    hang, begun = threading.Event(), threading.Semaphore(0)

    def hanging(host: str, port: int) -> list[str]:
        begun.release()
        hang.wait(10)
        return ["127.0.0.1"]

    def call(resolver: Any, seconds: float) -> int:
        with Client(timeout=holdfast.Timeouts(connect=seconds), resolver=resolver) as client:
            return client.get(serving.url(host="slow.test")).status_code

    with Server(echo) as serving:
        hung = [threading.Thread(target=call, args=(hanging, 10)) for _ in range(2)]
        for thread in hung:
            thread.start()
            assert begun.acquire(timeout=5)
        with pytest.raises(holdfast.ConnectTimeout, match=r"'slow\.test' was not looked up for 0\.05 s: 2 look-ups from before"):
            call(lambda host, port: ["127.0.0.1"], 0.05)

        waiting = threading.Thread(target=call, args=(hanging, 10))
        waiting.start()
        assert not begun.acquire(timeout=0.05), "a third is not begun"
        hang.set()
        assert begun.acquire(timeout=5)
        for thread in (*hung, waiting):
            thread.join(10)
        assert len(serving.requests) == 3


def test_a_dial_in_a_thread_of_its_own_has_the_callers_context_too(server: Server) -> None:
    here: contextvars.ContextVar[str] = contextvars.ContextVar("here", default="none")
    seen: list[str] = []

    def resolver(host: str, port: int) -> None:
        seen.append(here.get())

    with Client(resolver=resolver, timeout=QUICK) as client, client.get(f"http://localhost:{server.port}/", stream=True):
        here.set("the second caller's")
        assert client.get(f"http://localhost:{server.port}/").ok  # the first connection is in use: a thread dials

    assert seen == ["none", "the second caller's"]


@pytest.mark.parametrize("make", [Client, holdfast.ConnectionTransport])
def test_what_is_no_function_is_refused_at_once(make: Any) -> None:
    with pytest.raises(ValueError, match=r"^resolver='1\.1\.1\.1': expected a function of a name and a port"):
        make(resolver="1.1.1.1")
    with pytest.raises(ValueError, match=r"^allow_address=\['10\.0\.0\.1'\]: expected a function of a DialAddress"):
        make(allow_address=["10.0.0.1"])


def failing(host: str, port: int) -> list[str]:
    raise KeyError(host)


def test_what_a_resolver_raises_is_a_failure_to_connect_that_retries_may_repeat() -> None:
    asked: list[str] = []

    def fails(host: str, port: int) -> list[str]:
        asked.append(host)
        raise socket.gaierror(socket.EAI_AGAIN, "try again")

    with Client(timeout=QUICK, resolver=failing) as client:
        with pytest.raises(holdfast.ConnectionError, match=r"'api\.test': resolver=failing raised KeyError: 'api") as one:
            client.post("http://api.test/")
        assert isinstance(one.value.__cause__, KeyError)
        assert one.value.never_connected
    with Client(timeout=QUICK, resolver=fails, retries=Retries(2, backoff=0)) as client, pytest.raises(holdfast.ConnectionError):
        client.post("http://api.test/")
    assert len(asked) == 3


def takes_one(host: str) -> list[str]:
    return [host]


def breaks_off(host: str, port: int) -> Iterator[str]:
    yield "127.0.0.1"
    raise IndexError("list index out of range")


@pytest.mark.parametrize(
    ("resolver", "said"),
    [
        (failing, "resolver=failing raised KeyError: 'api.test'"),
        (takes_one, "resolver=takes_one raised TypeError: takes_one() takes 1 positional argument but 2 were given"),
        (breaks_off, "resolver=breaks_off raised IndexError: list index out of range"),
    ],
)
def test_a_resolver_with_a_mistake_is_told_from_a_name_that_is_not_there(resolver: Any, said: str) -> None:
    with Client(timeout=QUICK, resolver=resolver) as client, pytest.raises(holdfast.ConnectionError) as caught:
        client.get("http://api.test/")

    blame = "It is the resolver that failed: its error is the cause of this one"
    assert str(caught.value) == f"cannot resolve 'api.test': {said}. {blame}"
    assert type(caught.value.__cause__).__name__ in said


def test_a_resolver_that_says_there_is_no_such_name_is_believed() -> None:
    def none_there(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with Client(timeout=QUICK, resolver=none_there) as client, pytest.raises(holdfast.ConnectionError) as caught:
        client.get("http://api.test/")

    said = f"none_there raised gaierror: [Errno {int(socket.EAI_NONAME)}] Name or service not known. Is the name right, and what"
    assert said in str(caught.value)


def test_a_name_that_a_resolver_leaves_to_the_system_is_not_its_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with (
        Client(timeout=QUICK, resolver=lambda host, port: None) as client,
        pytest.raises(holdfast.ConnectionError) as caught,
    ):
        client.get("http://api.test/")

    assert str(caught.value) == "cannot resolve 'api.test': Name or service not known. Is the name right, and DNS reachable?"
    assert isinstance(caught.value.__cause__, socket.gaierror)


def test_a_resolver_that_finds_nothing_is_a_name_without_an_address() -> None:
    def nothing(host: str, port: int) -> list[str]:
        return []

    with (
        Client(timeout=QUICK, resolver=nothing) as client,
        pytest.raises(holdfast.ConnectionError, match=r"'api\.test': the name has no address, by \S+nothing$") as one,
    ):
        client.get("http://api.test/")
    assert one.value.never_connected


TCP = (socket.AF_INET, socket.SOCK_STREAM, 0, "")
OF_OTHER_FORM = [
    [("a", "b", "c", "d", "e")],
    [(*TCP, "127.0.0.1")],
    [(*TCP, None)],
    [(*TCP, ("127.0.0.1",))],
    [(*TCP, ("127.0.0.1", None))],
    [(*TCP, ())],
    [(*TCP, ("127.0.0.1", "80"))],
    [(*TCP, ("127.0.0.1", 65536))],
    [(*TCP, ("api.example", 80))],  # a name: the kernel's connect() would have it looked up a second time
    [(socket.AF_UNIX, *TCP[1:], "/run/docker.sock")],
    [("AF_INET", *TCP[1:], ("127.0.0.1", 80))],
    [(*TCP[:2], "tcp", "", ("127.0.0.1", 80))],
    [("127.0.0.1", 80)],
    ["\ud800"],
]


@pytest.mark.parametrize("seconds", [5, None])
@pytest.mark.parametrize("wrong", OF_OTHER_FORM)
def test_what_only_looks_like_an_answer_of_getaddrinfo_is_the_programs_mistake(wrong: Any, seconds: float | None) -> None:
    with (
        Client(timeout=seconds, resolver=lambda host, port: wrong) as client,
        pytest.raises(holdfast.InvalidRequest, match=r"returned .* for 'api\.test', which is no IP address"),
    ):
        client.get("http://api.test/")


def test_an_asynchronous_resolver_is_told_so_and_leaves_no_warning() -> None:
    async def later(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    resolver: Any = later
    with Client(timeout=QUICK, resolver=resolver) as client, pytest.raises(holdfast.InvalidRequest, match="later is asynchronous"):
        client.get("http://api.test/")


@pytest.mark.parametrize(
    "wrong",
    [
        "api.example",
        [None],
        [b"127.0.0.1"],
        b"127.0.0.1",
        7.5,
    ],
)
def test_what_is_no_address_is_the_programs_mistake(wrong: Any) -> None:
    with (
        Client(timeout=QUICK, resolver=lambda host, port: wrong) as client,
        pytest.raises(holdfast.InvalidRequest, match=r"returned .* for 'api\.test', which is no IP address"),
    ):
        client.get("http://api.test/")


def test_ctrl_c_in_a_resolver_is_ctrl_c() -> None:
    def interrupted(host: str, port: int) -> list[str]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        resolve("api.test", 80, time.monotonic() + 5, resolver=interrupted)


# -- the guard ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "2130706433", "0x7f.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"])
def test_a_refused_address_is_not_dialled_however_it_is_written(host: str) -> None:
    with Server() as server, Client(timeout=QUICK, allow_address=public_addresses_only) as client:
        with pytest.raises(AddressRefused, match="was refused by allow_address=public_addresses_only") as caught:
            client.get(f"http://{host}:{server.port}/")
        assert server.connections == 0

    assert isinstance(caught.value, ValueError)
    assert not isinstance(caught.value, holdfast.ConnectionError)
    assert caught.value.host == host.strip("[]")
    assert caught.value.address in [ipaddress.ip_address(text) for text in ("127.0.0.1", "::1", "::ffff:127.0.0.1")]
    assert caught.value.request.url.startswith("http://")


def test_the_error_says_which_address_of_which_name_and_pickles() -> None:
    with (
        Client(timeout=QUICK, allow_address=Guard("10.0.0.1", "10.0.0.2"), resolver=lambda *_: ["10.0.0.1", "10.0.0.2"]) as client,
        pytest.raises(AddressRefused) as caught,
    ):
        client.get("http://api.test/")

    said = str(caught.value)
    assert said.startswith("the address 10.0.0.1, port 80, of 'api.test' was refused by allow_address=<tests.")
    assert said.endswith(" Nothing was sent there. None of the 2 addresses of this name is allowed.")
    caught.value.request = None
    twin = pickle.loads(pickle.dumps(caught.value))
    assert (twin.address, twin.host, str(twin)) == (ipaddress.ip_address("10.0.0.1"), "api.test", said)


def test_no_second_look_up_comes_between_the_guard_and_the_dial(server: Server) -> None:
    """DNS rebinding: the name has a public address for who looks first, and another for who looks again."""
    answers = iter([["127.0.0.1"], ["127.0.0.66"]])
    guard = Guard("127.0.0.66")
    with Client(timeout=QUICK, resolver=lambda *_: next(answers), allow_address=guard) as client:
        assert client.get(f"http://rebind.test:{server.port}/").ok
        client.close_idle()
        with pytest.raises(AddressRefused):
            client.get(f"http://rebind.test:{server.port}/")

    assert [address for address, *_ in guard.asked] == ["127.0.0.1", "127.0.0.66"]


def test_a_guard_that_takes_all_the_time_to_connect_has_its_address_not_dialled(server: Server, clock: FakeClock) -> None:
    """It is the program's function and runs to its end; but no time is waited after it, and nothing is sent."""

    def slow(address: DialAddress) -> bool:
        clock.advance(3)
        return True

    with Client(timeout=Timeouts(connect=2), allow_address=slow, clock=clock) as client:
        with pytest.raises(ConnectTimeout, match=r"0 of 1 address tried.* allow_address= took 3\.00 s of that") as caught:
            client.get(server.url())
        assert caught.value.never_connected
    assert server.connections == 0


def test_of_several_addresses_only_those_that_are_allowed_are_dialled(server: Server) -> None:
    guard = Guard("127.0.0.2", "::1")
    addresses = ["127.0.0.2", "::1", "127.0.0.1"]
    with Client(timeout=QUICK, resolver=lambda *_: addresses, allow_address=guard) as client:
        info = client.get(f"http://api.test:{server.port}/").connection_info
        with pytest.raises(holdfast.ConnectionError, match=r"Connection refused \(1 address tried\)"):
            client.get(f"http://api.test:{free_port()}/")

    assert info is not None
    assert [what for _, what in info.tried][-1] == ""
    assert "was refused by allow_address" in dict(info.tried)["127.0.0.2"]


def test_a_guard_is_asked_for_each_connection_and_not_for_a_kept_one(server: Server) -> None:
    guard = Guard()
    with Client(timeout=QUICK, allow_address=guard) as client:
        for _ in range(3):
            client.get(server.url())
        client.close_idle()
        client.warm(server.url(), 2)

    assert guard.asked == [("127.0.0.1", server.port, "127.0.0.1", False)] * 3


def test_a_redirect_to_a_refused_address_ends_there() -> None:
    with Server() as inside:
        target = f"http://127.0.0.2:{inside.port}/secret"
        with (
            Server(lambda conn: conn.send(redirect(target)) if conn.expect_request() else None) as outside,
            Client(timeout=QUICK, allow_address=Guard("127.0.0.2")) as client,
            pytest.raises(AddressRefused) as caught,
        ):
            client.get(outside.url())
        assert inside.connections == 0

    assert caught.value.request.url == target


def test_a_refusal_is_never_asked_again() -> None:
    guard = Guard("127.0.0.1")
    with Client(timeout=QUICK, allow_address=guard, retries=5) as client, pytest.raises(AddressRefused):
        client.get(f"http://127.0.0.1:{free_port()}/")
    assert len(guard.asked) == 1


def broken(address: DialAddress) -> bool:
    raise LookupError("no rules are loaded")


def test_a_guard_that_fails_refuses() -> None:
    with Server() as server:
        with (
            Client(timeout=QUICK, allow_address=broken) as client,
            pytest.raises(AddressRefused, match=r"not allowed \(LookupError: no rules .*\) by allow_address=broken") as caught,
        ):
            client.get(server.url())
        with Client(timeout=QUICK, allow_address=lambda address: None) as silent, pytest.raises(AddressRefused):  # type: ignore[arg-type, return-value]  # a guard that forgets to answer
            silent.get(server.url())
        assert server.connections == 0
    assert isinstance(caught.value.__cause__, LookupError)


def test_what_is_no_address_at_all_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What replaces ``socket.getaddrinfo`` in a program may answer anything."""
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("somewhere", 80))])
    with (
        Client(timeout=QUICK, allow_address=Guard()) as client,
        pytest.raises(AddressRefused, match=r"the address somewhere, port 80, of 'api\.test' was not allowed"),
    ):
        client.get("http://api.test/")


def test_tls_is_guarded_as_well(tls: Tls) -> None:
    guard = Guard("127.0.0.1")
    with Server(tls=tls.server_context()) as server, Client(verify=tls.ca_path, timeout=QUICK, allow_address=guard) as client:
        with pytest.raises(AddressRefused):
            client.get(f"https://127.0.0.1:{server.port}/")
        assert server.connections == 0


# -- by way of a proxy -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["http", "socks5", "socks5h"])
def test_the_proxys_own_address_is_asked_for(scheme: str) -> None:
    with Server() as proxy:
        guard = Guard("127.0.0.1")
        with (
            Client(timeout=QUICK, allow_address=guard, resolver=lambda *_: ["198.51.100.1"]) as client,
            pytest.raises(AddressRefused, match=r"address 127\.0\.0\.1, port \d+, of the proxy '127\.0\.0\.1' was refused"),
        ):
            client.get("http://origin.test/", proxies={"all": at(proxy, scheme)})
        assert proxy.connections == 0

    assert guard.asked[-1] == ("127.0.0.1", proxy.port, "127.0.0.1", True)


def test_an_address_in_the_url_is_asked_for_before_a_proxy_is_asked_to_dial_it(tls: Tls) -> None:
    seen: list[str] = []

    def script(conn: Conn) -> None:
        for request in conn.read_requests():
            seen.append(request.target)
            conn.send(ok(b"from the proxy"))

    guard = Guard("169.254.169.254", "10.0.0.1")
    with Server(script) as proxy, Client(timeout=QUICK, allow_address=guard, proxies={"all": at(proxy, "http")}) as client:
        assert client.get("http://198.51.100.1/").text == "from the proxy"
        assert client.get("http://origin.test/").text == "from the proxy"  # who knows where that is
        hosts = ["169.254.169.254", "[::ffff:10.0.0.1]", "0xa9fea9fe", "2852039166", "169.254.169.254.", "1.2.3.4.5"]
        for url in [f"{scheme}://{host}/" for host in hosts for scheme in ("http", "https")]:
            with pytest.raises(AddressRefused):
                client.get(url)

    assert seen == ["http://198.51.100.1/", "http://origin.test/"]


def test_a_tunnel_to_an_allowed_address_is_opened(tls: Tls) -> None:
    guard = Guard()
    with (
        Server(tls=tls.server_context()) as server,
        Server(connect_proxy) as proxy,
        Client(verify=tls.ca_path, timeout=QUICK, allow_address=guard, proxies={"all": at(proxy, "http")}) as client,
    ):
        assert client.get(f"https://127.0.0.1:{server.port}/").ok

    assert guard.asked == [("127.0.0.1", server.port, "127.0.0.1", False), ("127.0.0.1", proxy.port, "127.0.0.1", True)]


def test_where_names_are_resolved_here_socks_is_asked_for_allowed_addresses_only(tls: Tls) -> None:
    socks = Socks(tls)
    names = Names(origin_test=["10.0.0.1", "198.51.100.1"], inner_test=["10.0.0.1"])
    guard = Guard("10.0.0.1")
    with Server(socks) as proxy, Client(timeout=QUICK, resolver=names, allow_address=guard) as client:
        ours = {"all": at(proxy, "socks5")}
        assert client.get("http://origin.test/", proxies=ours).ok
        with pytest.raises(AddressRefused, match=r"10\.0\.0\.1, port 80, of 'inner\.test' was refused"):
            client.get("http://inner.test/", proxies=ours)
        assert client.get("http://inner.test/", proxies={"all": at(proxy, "socks5h")}).ok  # the proxy knows where that is

    assert [host for host, _, _ in socks.asked] == ["198.51.100.1", "inner.test"]


# -- the rest of the client --------------------------------------------------------------------------------------------


@pytest.mark.needs("unix sockets")
def test_a_unix_socket_has_no_address_to_resolve_or_allow() -> None:
    for settings in ({"allow_address": public_addresses_only}, {"resolver": failing}):
        with pytest.raises(ValueError, match="unix_socket='/run/x': no address is dialled there"):
            Client(unix_socket="/run/x", **settings)


def test_a_pickled_client_keeps_its_guard(server: Server) -> None:
    with (
        Client(timeout=QUICK, allow_address=public_addresses_only, resolver=failing) as client,
        pickle.loads(pickle.dumps(client)) as twin,
    ):
        with pytest.raises(AddressRefused):
            twin.get(server.url())
        with pytest.raises(holdfast.ConnectionError, match="resolver=failing"):
            twin.get("http://api.test/")


def test_a_transport_of_connections_has_the_guard_and_a_client_with_a_transport_has_none(server: Server) -> None:
    for settings in ({"allow_address": public_addresses_only}, {"resolver": failing}):
        with pytest.raises(ValueError, match=r"belong to the transport with the connections: give them to holdfast\.Connection"):
            Client(transport=holdfast.ConnectionTransport(), **settings)
    guarded = holdfast.ConnectionTransport(allow_address=public_addresses_only, resolver=failing)
    for transport in (guarded, pickle.loads(pickle.dumps(guarded))):
        with Client(transport=transport, timeout=QUICK) as client:
            with pytest.raises(AddressRefused):
                client.get(server.url())
            with pytest.raises(AddressRefused, match=r"169\.254\.169\.254"):
                client.get("http://169.254.169.254/", proxies={"all": "http://127.0.0.1:1"})
            with pytest.raises(holdfast.ConnectionError, match="resolver=failing"):
                client.get("http://api.test/")
    assert server.connections == 0


def test_the_shared_client_can_be_guarded(server: Server) -> None:
    holdfast.configure(allow_address=public_addresses_only)
    try:
        for get in (holdfast.get, holdfast.requests.get):
            with pytest.raises(AddressRefused):
                get(server.url())
    finally:
        holdfast.configure()
        holdfast.close()


# -- sessions and their adapters ---------------------------------------------------------------------------------------


def test_a_session_is_guarded_by_its_own_adapters_and_by_those_that_are_mounted(server: Server) -> None:
    with holdfast.Session(allow_address=public_addresses_only) as session:
        for _ in range(2):
            with pytest.raises(AddressRefused):
                session.get(server.url())
            session.close()  # it has other connections from then on
        session.mount("http://", holdfast.adapters.HTTPAdapter(max_retries=3))
        with pytest.raises(AddressRefused):
            session.get(server.url())
        with pickle.loads(pickle.dumps(session)) as twin, pytest.raises(AddressRefused):
            twin.get(server.url())
    assert server.connections == 0


def test_an_adapter_with_connections_from_elsewhere_is_refused(server: Server) -> None:
    adapter = holdfast.adapters.HTTPAdapter()
    with holdfast.Session() as plain, holdfast.Session(allow_address=loopback_only) as guarded:
        plain.mount("http://", adapter)
        assert plain.get(server.url()).ok
        guarded.mount("http://", adapter)
        with pytest.raises(holdfast.InvalidRequest, match="mount an adapter of its own"):
            guarded.get(server.url())
        adapter.close()
        assert guarded.get(server.url()).ok, "its connections are gone, and the next are asked for"


def test_an_adapter_that_dials_by_urllib3_is_refused(server: Server) -> None:
    class Own(holdfast.adapters.HTTPAdapter):
        def get_connection_with_tls_context(self, *arguments: Any, **more: Any) -> Any:
            return super().get_connection_with_tls_context(*arguments, **more)

    with holdfast.Session(allow_address=loopback_only) as guarded:
        guarded.mount("http://", Own())
        with pytest.raises(holdfast.InvalidRequest, match="dials by urllib3"):
            guarded.get(server.url())
    assert server.connections == 0


def test_without_either_nothing_is_asked() -> None:
    BY_SYSTEM.require("no address", 80, "x")

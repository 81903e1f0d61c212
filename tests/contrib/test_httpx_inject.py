"""inject(): clients of an unchanged program go over holdfast; what cannot be carried is left to the library, and counted."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Tls
from tests.contrib.conftest import Road
from tests.server import Conn, Server, chunks, echo, head
from tests.support import eventually, in_parallel


@pytest.fixture
def injected(road: Road) -> Iterator[Road]:
    """The library, injected for the time of the test."""
    road.module.inject()
    yield road
    road.module.eject()


def carried(client: Any) -> int:
    """How many exchanges of this client's transport went over holdfast."""
    carrier = getattr(client._transport, "_holdfast", None)
    return 0 if carrier is None else int(carrier.stats().requests)


def newly_left(road: Road, before: dict[str, int]) -> dict[str, int]:
    return {reason: number - before.get(reason, 0) for reason, number in road.left().items() if number != before.get(reason)}


def test_a_client_made_after_inject_is_carried_and_one_made_before_or_after_eject_is_not(road: Road) -> None:
    with Server() as server, road.library.Client() as before:
        road.module.inject()
        road.module.inject()
        assert road.module.injected()
        with road.library.Client() as client:
            counts = [carried(each) for each in (before, client) if each.get(server.url()).status_code == 200]
            road.module.eject()
            road.module.eject()
            assert not road.module.injected()
            client.get(server.url())
            counts.append(carried(client))
        with road.library.Client() as after:
            after.get(server.url())
            counts.append(carried(after))

    assert counts == [0, 1, 1, 0]


@pytest.mark.parametrize("owner", ["ConnectionPool", "HTTPConnection"])
def test_what_a_mock_or_a_tracing_agent_put_into_httpcore_answers(
    injected: Road, monkeypatch: pytest.MonkeyPatch, owner: str
) -> None:
    core = importlib.import_module(injected.library.__name__.replace("httpx", "httpcore"))
    before = injected.left()
    with Server() as server, injected.library.Client() as client:
        statuses = [client.get(server.url()).status_code]
        with monkeypatch.context() as replacing:
            replacing.setattr(getattr(core, owner), "handle_request", lambda *_args: core.Response(299))
            statuses.append(client.get(server.url()).status_code)
        statuses.append(client.get(server.url()).status_code)
        number = len(server.requests), carried(client)

    assert (statuses, number) == ([200, 299, 200], (2, 2))
    assert sum(newly_left(injected, before).values()) == 1


def test_subclasses_and_the_functions_of_the_module_are_carried_too(injected: Road) -> None:
    class Mine(injected.library.HTTPTransport):  # type: ignore[misc, name-defined]
        def handle_request(self, request: Any) -> Any:
            request.headers["X-Mine"] = "1"
            return super().handle_request(request)

    with Server() as server, injected.library.Client(transport=Mine(retries=1)) as client:
        client.get(server.url())
        injected.library.get(server.url())
        said = [request.get("X-Mine") for request in server.requests]
        number = carried(client)

    assert (said, number) == (["1", ""], 1)


def test_a_response_that_is_being_read_at_eject_ends_in_peace(injected: Road) -> None:
    def script(conn: Conn) -> None:
        conn.expect_request()
        conn.send(head(200, "Transfer-Encoding: chunked"), chunks(b"first"))
        conn.send(chunks(b"second") + b"0\r\n\r\n")

    with Server([script]) as server, injected.library.Client() as client, client.stream("GET", server.url()) as answer:
        injected.module.eject()
        assert answer.read() == b"firstsecond"


def test_idle_connections_are_closed_at_eject(injected: Road) -> None:
    with Server() as server, injected.library.Client() as client:
        client.get(server.url())
        injected.module.eject()
        assert client._transport._holdfast.stats().idle == 0


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"http2": True}, "HTTP/1.1"),
        ({"limits": 0}, "max_connections"),
    ],
)
def test_a_transport_that_holdfast_cannot_be_is_left_to_the_library(injected: Road, settings: dict[str, Any], why: str) -> None:
    if "limits" in settings:
        settings = {"limits": injected.library.Limits(max_connections=0)}
    before = injected.left()
    transport = injected.library.HTTPTransport(**settings)
    left = newly_left(injected, before)
    transport.close()

    assert not hasattr(transport, "_holdfast")
    assert list(left.values()) == [1]
    assert why in str(left)


def test_a_request_that_holdfast_refuses_is_left_to_the_library_and_the_next_is_carried(injected: Road) -> None:
    steps: list[str] = []
    before = injected.left()
    with Server() as server, injected.library.Client() as client:
        client.get(server.url(), extensions={"trace": lambda name, _: steps.append(name)})
        client.get(server.url(), headers={"Upgrade": "x"})
        client.get(server.url())
        number = carried(client)
        opened = server.connections
    left = newly_left(injected, before)

    assert "http11.send_request_headers.started" in steps
    assert (number, opened, sorted(left.values())) == (1, 2, [1, 1])


def test_what_asks_for_the_library_s_pool_gets_it(injected: Road) -> None:
    with injected.library.Client() as client:
        assert not hasattr(client._transport._pool, "__len__")  # a special name makes no pool
        assert client._transport._pool.connections == []
        assert type(client._transport._pool).__name__ == "ConnectionPool"
        with pytest.raises(AttributeError):
            client._transport._pool.no_such_thing  # noqa: B018


def test_threads_that_are_left_to_the_library_at_once_get_one_pool(injected: Road) -> None:
    with Server() as server, injected.library.Client() as client:
        standby = client._transport._pool
        errors = in_parallel(4, lambda _: client.get(server.url(), headers={"Upgrade": "x"}))

        assert errors == []
        pool = client._transport._pool
        assert pool is not standby
        assert standby.handle_request.__self__ is pool


def test_asynchronous_clients_work_as_before_and_are_counted(injected: Road) -> None:
    before = injected.left()

    async def fetch(url: str) -> int:
        async with injected.library.AsyncClient() as client:
            return int((await client.get(url)).status_code)

    with Server() as server:
        status = asyncio.run(fetch(server.url()))
    left = newly_left(injected, before)

    assert status == 200
    assert "asynchronous" in next(iter(left))


def test_a_transport_can_be_used_after_close_as_before(injected: Road) -> None:
    transport = injected.library.HTTPTransport()
    with Server() as server:
        for _ in range(2):
            with injected.library.Client(transport=transport) as client:
                client.get(server.url())
        client = injected.library.Client(transport=transport)
        client.get(server.url())
        client.close()
        opened = server.connections
        idle = transport._holdfast.stats().idle

    assert (opened, idle) == (3, 0)


def test_proxies_of_the_environment_are_chosen_by_the_library_and_carried(
    injected: Road, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Server() as proxy, Server() as origin:
        monkeypatch.setenv("http_proxy", proxy.url())
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        with injected.library.Client() as client:
            client.get(origin.url())
            client.get("http://origin.test/")
            mounted = [mount for mount in client._mounts.values() if mount is not None]
            numbers = [carried(client), mounted[0]._holdfast.stats().requests]
        targets = [request.target for request in proxy.requests]

    assert (targets, numbers) == (["http://origin.test/"], [1, 1])


def test_a_transport_by_itself_heeds_no_proxy_of_the_environment_as_before(
    injected: Road, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Server() as proxy, Server() as origin:
        monkeypatch.setenv("http_proxy", proxy.url())
        with injected.library.Client(transport=injected.library.HTTPTransport()) as client:
            client.get(origin.url())
            number = carried(client)

        assert (len(proxy.requests), len(origin.requests), number) == (0, 1, 1)


@pytest.mark.parametrize("how", ["close", "with"])
def test_closing_closes_what_both_have_opened(injected: Road, how: str) -> None:
    with Server() as server:
        client = injected.library.Client()
        end = client.close if how == "close" else client.__enter__().__exit__
        client.get(server.url())
        client.get(server.url(), headers={"Upgrade": "x"})
        end()
        idle = client._transport._holdfast.stats().idle
        eventually(lambda: server.conn(1).closed, "the library's connection")

    assert idle == 0


def test_it_trusts_whom_the_library_trusts(injected: Road, tls: Tls, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(tls=tls.server_context()) as server:
        for settings in ({"verify": tls.client_context()}, {"verify": False}):
            with injected.library.Client(**settings) as client:
                assert (client.get(server.url()).status_code, carried(client)) == (200, 1)
        with injected.library.Client() as client, pytest.raises(injected.library.ConnectError, match="certificate") as caught:
            client.get(server.url())
        text = str(caught.value)
        assert "verify=ssl.create_default_context(cafile=PATH) trusts" in text, "what the library takes"
        assert "verify=PATH" not in text
        assert '"system"' not in text
        monkeypatch.setenv("SSL_CERT_FILE", tls.ca_path)
        with injected.library.Client() as client:
            assert (client.get(server.url()).status_code, carried(client)) == (200, 1)


def test_other_settings_of_a_transport_are_obeyed(injected: Road, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    transport = injected.library.HTTPTransport(uds=path, socket_options=[(1, 9, 1)])
    with Server(echo, unix_path=path), injected.library.Client(transport=transport) as client:
        assert client.get("http://anything.test/").json()["target"] == "/"
        assert carried(client) == 1


def test_reasons_are_bounded(road: Road) -> None:
    from holdfast.contrib._httpx_inject import MAX_REASONS, Injection

    injection = Injection(road.library, road.module.HoldfastTransport)
    for number in range(MAX_REASONS + 10):
        injection._leave(f"reason {number}")

    left = injection.left_out()
    assert (len(left), left["other reasons"]) == (MAX_REASONS + 1, 10)

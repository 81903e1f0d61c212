"""A client of a paginated API, written for requests: a Session, Link headers, and another try where the status says so.

    python examples/paginated_api.py                # import holdfast as requests; an API of its own, on loopback
    python examples/paginated_api.py URL
    python examples/paginated_api.py --real URL     # the real one

``URL`` answers with a JSON list and a ``Link: <...>; rel="next"`` as long as there are more pages.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

TRIES = 4
WORTH_ANOTHER_TRY = ("too_many_requests", "bad_gateway", "service_unavailable", "gateway_timeout")


class Api:
    """Pages of an API, one Session for all of them."""

    def __init__(self, requests: Any, token: str, page_size: int) -> None:
        self.requests = requests
        self.retried = 0
        self._again = {requests.codes[name] for name in WORTH_ANOTHER_TRY}
        self.session = requests.Session()
        self.session.headers.update({"Accept": "application/json", "Authorization": f"Bearer {token}"})
        self.session.params = {"per_page": page_size}
        self.session.hooks["response"].append(self._count)
        self.calls = 0

    def _count(self, response: Any, *args: Any, **kwargs: Any) -> None:
        self.calls += 1

    def get(self, url: str, **kwargs: Any) -> Any:
        """One page; asks again, after as long as the server wants, where the status is worth it."""
        for left in reversed(range(TRIES)):
            response = self.session.get(url, timeout=(3.05, 27), **kwargs)
            if response.status_code not in self._again or not left:
                response.raise_for_status()
                return response
            self.retried += 1
            time.sleep(float(response.headers.get("Retry-After", 0)))
        raise AssertionError("unreachable")

    def items(self, url: str, **params: Any) -> Iterator[Any]:
        """Every item of every page."""
        page = self.get(url, params=params)
        yield from page.json()
        while "next" in page.links:
            # The link has all parameters already; None takes the session's out.
            page = self.get(page.links["next"]["url"], params={"per_page": None})
            yield from page.json()


def main(arguments: Sequence[str] | None = None) -> int:
    """Print every item, then what it took."""
    parser = argparse.ArgumentParser(description="Print the items of all pages of an API.")
    parser.add_argument("url", nargs="?", help="the first page (default: an API of its own)")
    parser.add_argument("--token", default="secret")
    parser.add_argument("--page-size", type=int, default=3)
    parser.add_argument("--real", action="store_true", help="use requests itself")
    given = parser.parse_args(arguments)
    requests = importlib.import_module("requests" if given.real else "holdfast")
    with ExitStack() as stack:
        return show(requests, given.url or f"{stack.enter_context(own_site())}/items", given.token, given.page_size)


def own_site() -> Any:
    """The API where none is given: a script finds what lies beside it."""
    sites = importlib.import_module("sites")
    return sites.running(sites.Items)


def show(requests: Any, url: str, token: str, page_size: int) -> int:
    """Print the items of all pages; the exit status."""
    api = Api(requests, token, page_size)
    with api.session:
        try:
            for item in api.items(url, sort="name"):
                print(f"{item['id']:>4}  {item['name']}")
        except requests.HTTPError as error:
            print(f"gave up: {error}")
            return 1
        except requests.ConnectionError:
            print("gave up: the server cannot be reached")
            return 1
    print(f"{api.calls} calls, {api.retried} of them again")
    return 0


if __name__ == "__main__":
    sys.exit(main())

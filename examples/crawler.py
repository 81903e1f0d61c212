"""A crawler: some threads, one Client, and its figures while it works.

    python examples/crawler.py                                  a site of its own, on loopback
    python examples/crawler.py https://a.example/               that site, as far as the links stay on it
    python examples/crawler.py --threads 16 --connections 4 --pages 500

There are more threads than connections, so that a site never sees more of us than it should: who comes when all are in use
waits for its turn. A line of figures twice a second says how that goes; the advice at the end says whether the numbers fit.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import holdfast

SITE_PAGES = 200
SITE_SECONDS = 0.02  # that the embedded site takes for a page
LARGEST_PAGE = 1 << 20


# -- the crawler -------------------------------------------------------------------------------------------------------


class Links(HTMLParser):
    """What a page links to, as it is written there."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Called for every start tag."""
        self.found += [value for name, value in attrs if tag == "a" and name == "href" and value]


def fetch(client: holdfast.Client, url: str) -> tuple[str, list[holdfast.Url]]:
    """What became of a page (its status, or what went wrong), and the pages it links to."""
    try:
        with client.get(url, stream=True) as response:  # streamed: what is no page is not read
            if not response.ok or "html" not in response.headers.get("Content-Type", ""):
                return str(response.status_code), []
            html = b"".join(first_bytes(response, LARGEST_PAGE)).decode(response.encoding or "utf-8", "replace")
    except holdfast.Timeout:
        return "timed out", []
    except holdfast.ConnectionError:
        return "no connection", []
    except holdfast.RequestException as error:
        return type(error).__name__, []
    return str(response.status_code), list(absolute(response.url, Links(html).found))


def first_bytes(response: holdfast.Response, most: int) -> Iterator[bytes]:
    """The pieces of a body, until there were ``most`` bytes."""
    for piece in response.iter_content(65536):
        yield piece
        most -= len(piece)
        if most <= 0:
            return


def absolute(base: str, links: Sequence[str]) -> Iterator[holdfast.Url]:
    """The links that lead to a page, without their fragments."""
    parsed = holdfast.Url.parse(base)
    for link in links:
        try:
            yield parsed.join(link).with_fragment("")
        except holdfast.RequestException:
            continue  # mailto: and the like


class Crawl:
    """Pages of the sites it starts at, each once, breadth first.

    Args:
        client: fetches the pages; shared by all threads.
        starts: where to begin. Only links to the same origins are followed.
        most: pages to fetch at most.
    """

    def __init__(self, client: holdfast.Client, starts: Sequence[str], most: int) -> None:
        self.reasons: Counter[str] = Counter()
        self._client = client
        self._most = most
        self._origins = {holdfast.Url.parse(start).origin for start in starts}
        self._seen: set[str] = set()
        self._pending: set[Future[tuple[str, list[holdfast.Url]]]] = set()
        self._starts = starts

    def run(self, threads: int, every: float, tick: Callable[[], object]) -> None:
        """Fetch until there is nothing left; call ``tick`` every so many seconds. All but ``fetch`` runs in this thread."""
        with ThreadPoolExecutor(threads) as executor:
            try:
                self._add(executor, [holdfast.Url.parse(start) for start in self._starts])
                next_tick = time.monotonic() + every
                while self._pending:
                    left = max(0.0, next_tick - time.monotonic())
                    done, self._pending = wait(self._pending, left, FIRST_COMPLETED)
                    for future in done:
                        outcome, links = future.result()
                        self.reasons[outcome] += 1
                        self._add(executor, links)
                    if time.monotonic() >= next_tick:
                        tick()
                        next_tick += every
            except BaseException:
                executor.shutdown(wait=False, cancel_futures=True)
                raise

    def _add(self, executor: ThreadPoolExecutor, urls: Sequence[holdfast.Url]) -> None:
        for url in urls:
            if url.origin in self._origins and url.text not in self._seen and len(self._seen) < self._most:
                self._seen.add(url.text)
                self._pending.add(executor.submit(fetch, self._client, url.text))


# -- the embedded site -------------------------------------------------------------------------------------------------


class Page(BaseHTTPRequestHandler):
    """Page k links to the pages 2k + 1 and 2k + 2, back to the first, to a page that is not there, and to an address."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # a response in one piece
    timeout = 60

    def do_GET(self) -> None:
        """Answer, after a while."""
        threading.Event().wait(SITE_SECONDS)
        number = int(self.path[1:]) if self.path[1:].isdecimal() else 0 if self.path == "/" else SITE_PAGES
        found = number < SITE_PAGES
        links = [f"/{n}" for n in (2 * number + 1, 2 * number + 2) if n < SITE_PAGES] if found else []
        links += ["/", "missing", "mailto:somebody@example.com", "https://elsewhere.example/"]
        body = "".join(f'<p><a href="{link}#top">{link}</a>' for link in links).encode()
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Say nothing: the figures are what is to be seen."""


class Site(ThreadingHTTPServer):
    """The embedded site's server."""

    daemon_threads = True
    request_queue_size = 128


@contextmanager
def embedded_site() -> Iterator[str]:
    """The URL of a running site."""
    with Site(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="site")
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


# -- the program -------------------------------------------------------------------------------------------------------


def figures(client: holdfast.Client) -> str:
    """One line on how it goes."""
    total = client.stats().total
    return (
        f"{total.requests:5} pages, {total.request_rate:6.1f}/s | connections: {total.active} active, {total.idle} idle, "
        f"{total.created} opened, {total.reuse_ratio:.0%} reused | waiting: {total.waiting} now, "
        f"{total.waits} so far, {total.wait_max * 1000:.0f} ms at most | p95 {total.lease_p95 * 1000:.0f} ms"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Crawl, and say how it went; the exit status is 1 if no page at all could be had."""
    parser = argparse.ArgumentParser(description="Crawl a site and show the client's figures meanwhile.")
    parser.add_argument("urls", nargs="*", metavar="URL", help="start here instead of at the embedded site")
    parser.add_argument("--threads", type=int, default=16, help="threads (default 16)")
    parser.add_argument("--connections", type=int, default=8, help="connections per origin (default 8)")
    parser.add_argument("--pages", type=int, default=1000, help="pages to fetch at most (default 1000)")
    parser.add_argument("--every", type=float, default=0.5, help="seconds between two lines (default 0.5)")
    given = parser.parse_args(arguments)
    with ExitStack() as stack:
        urls = given.urls or [stack.enter_context(embedded_site())]
        limits = holdfast.Limits(max_connections_per_origin=given.connections)
        client = stack.enter_context(holdfast.Client(limits=limits, headers={"User-Agent": "holdfast-crawler"}))
        crawl = Crawl(client, urls, given.pages)
        crawl.run(given.threads, given.every, lambda: print(figures(client), flush=True))
        print(figures(client))
        print("outcomes: " + ", ".join(f"{count} × {outcome}" for outcome, count in crawl.reasons.most_common()))
        for advice in client.advise():
            print(advice)
    return 0 if any(outcome.isdecimal() for outcome in crawl.reasons) else 1


if __name__ == "__main__":
    sys.exit(main())

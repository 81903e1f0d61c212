"""``holdfast URL``: one request, and its answer: for people where a terminal is, byte by byte where none is.

On a terminal a body of JSON is indented, a text is shown without its control characters, and bytes that are no text are only
counted. Into a pipe or a file go exactly the bytes of the decoded body, as they arrive.
"""

from __future__ import annotations

import argparse
import codecs
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

from .._numbers import number_of
from ..client import Client
from ..message.fields import is_secret
from ..message.headers import Headers
from ..message.request import PreparedRequest
from ..message.response import Response
from ..message.timings import ConnectionInfo
from ..pool.events import PoolEvent
from . import codes
from .options import add_request_fields, add_tls, client_settings
from .terminal import LANGUAGES, Terminal, harmless, milliseconds, terminal

HELP = "send a request and show the answer"
_DESCRIPTORS = ("/dev/stdout", "/dev/stderr", "/dev/fd/", "/proc/")  # links to what may be a plain file that is open
MOST_PRETTY = 4 << 20  # bytes of a body that is gathered to be laid out; a longer one is shown as it comes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("url", metavar="URL")
    parser.add_argument("-X", "--method", metavar="METHOD", help="default GET, or POST with a body")
    parser.add_argument("-q", "--query", action="append", default=[], type=_pair, metavar="NAME=VALUE", help="append to the query")
    body = parser.add_argument_group("body")
    body.add_argument("-j", "--json", metavar="JSON", help="send this JSON")
    body.add_argument("-f", "--form", action="append", default=[], type=_pair, metavar="NAME=VALUE", help="a field of a form")
    body.add_argument("-F", "--file", action="append", default=[], type=_pair, metavar="NAME=PATH", help="a file of a form")
    body.add_argument("-d", "--data", metavar="TEXT", help="send this text; @PATH sends a file, @- standard input")
    shown = parser.add_argument_group("output")
    shown.add_argument("-o", "--output", metavar="PATH", help="write the body to a file")
    shown.add_argument("-i", "--include", action="store_true", help="show status and fields too")
    shown.add_argument("-v", "--verbose", action="store_true", help="show the exchange, and what becomes of the connection")
    shown.add_argument("--raw", action="store_true", help="the bytes as they are, on a terminal too")
    parser.add_argument("--no-follow", action="store_true", help="do not follow redirects")
    parser.add_argument("--retries", type=int, default=0, metavar="N", help="further attempts after 429, 502, 503, 504 (default 0)")
    add_request_fields(parser)
    add_tls(parser)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, got {text!r}")
    return name, value


# -- asking ------------------------------------------------------------------------------------------------------------


@contextmanager
def body_of(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """``data``, ``json`` and ``files`` of the request; files are open while the block runs.

    Raises:
        ValueError: more than one kind of body, or JSON that is none.
        OSError: a file cannot be read.
    """
    kinds = [name for name in ("json", "data") if getattr(arguments, name) is not None]
    kinds += ["form"] if arguments.form or arguments.file else []
    if len(kinds) > 1:
        raise ValueError(f"--{' and --'.join(kinds)}: one kind of body at a time")
    opened: list[BinaryIO] = []
    try:
        yield _body(arguments, opened)
    finally:
        for file in opened:
            file.close()


def _body(arguments: argparse.Namespace, opened: list[BinaryIO]) -> dict[str, Any]:
    if arguments.json is not None:
        return {"json": _parsed(arguments.json)}
    if arguments.file:
        files = []
        for name, path in arguments.file:
            opened.append(open(path, "rb"))  # noqa: SIM115 - body_of closes it
            files.append((name, (os.path.basename(path), opened[-1])))
        return {"files": files, "data": arguments.form}
    if arguments.form:
        return {"data": arguments.form}
    if arguments.data is None:
        return {}
    if arguments.data == "@-":
        return {"data": sys.stdin.buffer.read()}
    if arguments.data.startswith("@"):
        opened.append(open(arguments.data[1:], "rb"))  # noqa: SIM115 - body_of closes it
        return {"data": opened[-1]}
    return {"data": arguments.data.encode()}


def _parsed(text: str) -> Any:
    import json

    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"--json: not JSON: {error}") from None


def run(arguments: argparse.Namespace) -> int:
    """The command."""
    out, err = terminal(sys.stdout), terminal(sys.stderr)
    settings = client_settings(arguments)
    with body_of(arguments) as body, Client(**settings, retries=arguments.retries, keeper=False) as client:
        method = arguments.method or ("POST" if body else "GET")
        if arguments.verbose:
            client.on_event(Narrator(err).event)
        response = client.request(
            method.upper(),
            arguments.url,
            params=arguments.query or None,
            allow_redirects=not arguments.no_follow and method.upper() != "HEAD",
            stream=True,
            **body,
        )
        with response:
            if arguments.verbose:
                for each in [*response.history, response]:
                    show_exchange(err, each)
            elif arguments.include:
                show_head(out, response)
            deliver(response, arguments, out, err)
    return codes.of_status(response.status_code)


# -- showing the exchange ----------------------------------------------------------------------------------------------


SENTENCES = {
    "opened": "opened a connection to {origin}",
    "reused": "reused a connection to {origin}, idle for {seconds:.3f} s",
    "closed": "closed the connection to {origin} ({reason}), {seconds:.3f} s old",
    "resent": "sent again to {origin} ({reason})",
    "waited": "waited {seconds:.3f} s for a connection to {origin}",
}


class Narrator:
    """Tells the connection's life, event by event, as it happens."""

    def __init__(self, err: Terminal) -> None:
        self._err = err

    def event(self, event: PoolEvent) -> None:
        """One sentence for one event."""
        sentence = SENTENCES.get(event.kind)
        if sentence is not None:
            text = sentence.format(origin=event.origin, seconds=event.seconds or 0.0, reason=event.reason)
            self._err.line((f"* {harmless(text)}", "dim"))


def show_exchange(err: Terminal, response: Response) -> None:
    """The request as it was sent, without its secrets, and the response's head."""
    request: PreparedRequest = response.request
    err.line((f"> {request.method} {harmless(request.parsed.target.decode('ascii'))} HTTP/1.1", "name"))
    err.line("> ", ("Host: ", "name"), request.parsed.host_header.decode("ascii"))
    show_fields(err, request.headers, "> ")
    err.line((">", "name"))
    show_head(err, response, "< ")
    for sentence in story_of(response):
        err.line((f"* {harmless(sentence)}", "dim"))


def story_of(response: Response) -> list[str]:
    """What became of the exchange: how its connection came to be, which attempts came to nothing, what it took."""
    info, timings = response.connection_info, response.timings
    if info is None or timings is None:
        return []  # built by hand
    steps = {"DNS": timings.dns, "TCP": timings.tcp, "proxy": timings.proxy, "TLS": timings.tls}
    took = ", ".join(f"{name} {milliseconds(seconds)}" for name, seconds in steps.items() if seconds is not None)
    told = [f"tried {address}: {outcome}" for address, outcome in info.tried if outcome and not info.reused]
    told += [f"connected to {info.peer}: {took}{_tls_of(info)}"] if took else []
    told += [f"sent in vain ({attempt.reason}): {attempt.error}" for attempt in info.attempts]
    again = f", sent {response.attempts} times" if response.attempts > 1 else ""
    phases = f"queued {milliseconds(timings.queued)}, send {milliseconds(timings.send)}, wait {milliseconds(timings.wait)}"
    return [*told, f"answered on request {info.requests} of a connection {info.age:.3f} s old: {phases}{again}"]


def _tls_of(info: ConnectionInfo) -> str:
    return f" ({info.tls_version}, {'resumed' if info.tls_resumed else info.tls_cipher})" if info.tls_version else ""


def show_head(out: Terminal, response: Response, mark: str = "") -> None:
    """Status line and fields."""
    style = "good" if response.status_code < 400 else "bad"
    out.line(mark, (f"{response.http_version} {response.status_code}", style), f" {harmless(response.reason)}")
    show_fields(out, response.headers, mark)
    out.line(mark.rstrip())


def show_fields(out: Terminal, headers: Headers, mark: str) -> None:
    """Fields in their order; in place of what proves who is asking stands ``[secret]``."""
    for name, value in headers.multi_items():
        shown = "[secret]" if is_secret(name) else value
        out.line(mark, (f"{harmless(name)}: ", "name"), harmless(shown))


# -- the body ----------------------------------------------------------------------------------------------------------


def deliver(response: Response, arguments: argparse.Namespace, out: Terminal, err: Terminal) -> None:
    """Write the body to where it belongs."""
    if arguments.output is not None and response.status_code >= 400:
        err.line((f"{response.status_code} {harmless(response.reason)}", "bad"), f": nothing was written to {arguments.output}")
    elif arguments.output is not None:
        size = save(response, arguments.output)
        if err.interactive:
            err.line(f"{arguments.output}: {number_of(size, 'byte', form=',')}")
    elif out.interactive and not arguments.raw:
        present(response, out)
    else:
        pump(response.iter_content(None), _bytes_out(out))


def save(response: Response, path: str) -> int:
    """Write the body to a file, which gets its name when it is whole; the number of bytes.

    What is there and no plain file (``/dev/null``, a named pipe) is written to as it is: root could replace it.
    """
    try:
        return _save(response, os.path.abspath(path))
    except OSError as error:
        if error.errno is not None and error.filename is None:  # a write that failed does not say to which file
            error.filename = path
        raise


def _save(response: Response, path: str) -> int:
    if path.startswith(_DESCRIPTORS) or (os.path.exists(path) and not os.path.isfile(path)):
        with open(path, "wb") as file:
            return pump(response.iter_content(None), file.write)
    path = os.path.realpath(path)
    part = f"{path}.part"
    try:
        with open(part, "wb") as file:
            size = pump(response.iter_content(None), file.write)
        os.replace(part, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(part)
        raise
    return size


def pump(pieces: Iterable[bytes], write: Callable[[bytes], object]) -> int:
    """Write pieces as they come; how many bytes."""
    size = 0
    for piece in pieces:
        write(piece)
        size += len(piece)
    return size


def _bytes_out(out: Terminal) -> Callable[[bytes], object]:
    buffer = getattr(out.stream, "buffer", None)
    if buffer is None:  # a stream of text that is no file, as in tests
        return lambda data: out.stream.write(data.decode("utf-8", "replace"))

    def write(data: bytes) -> None:
        out.stream.flush()  # what was written as text comes first
        buffer.write(data)
        buffer.flush()

    return write


def present(response: Response, out: Terminal) -> None:
    """The body for a person."""
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    language = language_of(kind)
    pieces: Iterator[bytes] = iter(response.iter_content(None))
    if language is None:
        stream_text(pieces, out, response.encoding)
        return
    gathered = b""
    for piece in pieces:
        gathered += piece
        if len(gathered) > MOST_PRETTY:
            stream_text(_then(gathered, pieces), out, response.encoding)
            return
    text = _decoder(response.encoding).decode(gathered, True)
    if language == "json":
        out.json(harmless(text))
    elif text:
        out.code(harmless(text), language)


def _then(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def language_of(kind: str) -> str | None:
    """The language to show a media type in; None for plain text."""
    subtype = kind.rpartition("/")[2]
    if subtype == "json" or subtype.endswith("+json"):
        return "json"
    return LANGUAGES.get(subtype.rpartition("+")[2])


def stream_text(pieces: Iterator[bytes], out: Terminal, encoding: str | None) -> None:
    """Text as it comes, for streams of events too. Bytes that are no text are counted instead."""
    decoder = _decoder(encoding)
    last = "\n"
    for piece in pieces:
        if b"\0" in piece:
            size = len(piece) + sum(len(each) for each in pieces)
            found = number_of(size, "byte that is", "bytes that are", form=",")
            out.line((f"{found} no text: -o PATH writes them to a file, --raw to the terminal", "warn"))
            return
        text = harmless(decoder.decode(piece))
        out.stream.write(text)
        out.stream.flush()
        last = text[-1:] or last
    out.stream.write(harmless(decoder.decode(b"", True)))
    if last != "\n":
        out.stream.write("\n")


def _decoder(encoding: str | None) -> codecs.IncrementalDecoder:
    try:
        return codecs.getincrementaldecoder(encoding or "utf-8")("replace")
    except LookupError:
        return codecs.getincrementaldecoder("utf-8")("replace")

"""openai and anthropic over their own connections and over holdfast, against a server that plays both services: the same?

    python -m benchmarks sdks            # needs: pip install openai anthropic httpx httpx2

Each SDK is asked for JSON, for an event stream, for one that is left in the middle, for errors that it retries (429, 500, a cut
connection, a timeout) and errors that it does not (400), by a stream that breaks off, and by threads. What the program sees is
compared, call by call: with the SDK's own client; with ``http_client=`` over a ``HoldfastTransport``, of httpx and of httpx2 as the
SDK takes it; and with the SDK's own client after ``inject()``.

Exit status: 0 if all are the same; 1 if one differs; 3 if nothing could be compared.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import http.server
import importlib
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from benchmarks import table

WORDS = ("Hold", "fast", " to", " that", " which", " is", " good.")
SLOW = 1.0  # seconds; the SDKs are told to wait half as long

# -- the server ----------------------------------------------------------------------------------------------------------


class Service(http.server.BaseHTTPRequestHandler):
    """Both services; ``model`` in the request says what is to happen. ``asked`` counts requests by it."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    asked: ClassVar[Counter[str]] = Counter()
    lock = threading.Lock()

    def do_POST(self) -> None:
        """Answer as the model says."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        model = body["model"]
        with self.lock:
            self.asked[model] += 1
            first = self.asked[model] == 1
        is_openai = self.path.endswith("/chat/completions")
        if model == "slow once" and first:
            time.sleep(SLOW)
        if model == "cut once" and first:
            self.close_connection = True
            return
        if model in ("429 once", "500 once") and first:
            self._json(int(model[:3]), {"error": {"type": "later", "message": "try again"}}, ("Retry-After-Ms", "1"))
        elif model == "400":
            self._json(400, {"error": {"type": "invalid_request_error", "message": "no such thing"}})
        elif body.get("stream"):
            self._stream(_openai_events(model) if is_openai else _anthropic_events(model), cut=model == "broken stream")
        else:
            self._json(200, _openai_answer(model) if is_openai else _anthropic_answer(model))

    def _json(self, status: int, value: Any, *fields: tuple[str, str]) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        for name, text in (("Content-Type", "application/json"), ("Content-Length", str(len(data))), *fields):
            self.send_header(name, text)
        with contextlib.suppress(OSError):  # the client did not wait
            self.end_headers()
            self.wfile.write(data)

    def _stream(self, events: Iterator[str], *, cut: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        with contextlib.suppress(OSError):  # the client has left in the middle
            for number, event in enumerate(events):
                if cut and number == 4:
                    self.close_connection = True
                    return
                data = event.encode()
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        """Nothing."""


def _openai_answer(model: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": "".join(WORDS)}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    usage = {"prompt_tokens": 1, "completion_tokens": 7, "total_tokens": 8}
    return {"id": "x", "object": "chat.completion", "created": 1, "model": model, "choices": [choice], "usage": usage}


def _openai_events(model: str) -> Iterator[str]:
    for word in _words(model):
        choice = {"index": 0, "delta": {"content": word}, "finish_reason": None}
        chunk = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": model, "choices": [choice]}
        yield f"data: {json.dumps(chunk)}\n\n"
    yield "data: [DONE]\n\n"


def _anthropic_answer(model: str, text: str = "".join(WORDS)) -> dict[str, Any]:
    content = [{"type": "text", "text": text}] if text else []
    usage = {"input_tokens": 1, "output_tokens": 7}
    whole = {"id": "x", "type": "message", "role": "assistant", "model": model, "content": content, "usage": usage}
    return {**whole, "stop_reason": "end_turn", "stop_sequence": None}


def _anthropic_events(model: str) -> Iterator[str]:
    yield _event("message_start", message=_anthropic_answer(model, ""))
    yield _event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    for word in _words(model):
        yield _event("content_block_delta", index=0, delta={"type": "text_delta", "text": word})
    yield _event("content_block_stop", index=0)
    yield _event("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": 7})
    yield _event("message_stop")


def _event(name: str, **fields: Any) -> str:
    return f"event: {name}\ndata: {json.dumps({'type': name, **fields})}\n\n"


def _words(model: str) -> tuple[str, ...]:
    return WORDS * 20_000 if model == "long stream" else WORDS


# -- the programs --------------------------------------------------------------------------------------------------------


class OpenAI:
    """What is asked of openai."""

    libraries = ("httpx", "httpx2")

    def __init__(self, url: str, http_client: Any = None) -> None:
        module = importlib.import_module("openai")
        given = {} if http_client is None else {"http_client": http_client}
        self.sdk = module.OpenAI(api_key="k", base_url=url + "/v1", max_retries=1, timeout=SLOW / 2, **given)
        self.arguments: dict[str, Any] = {"messages": [{"role": "user", "content": "?"}]}

    def ask(self, model: str) -> str:
        """The whole answer."""
        return str(self.sdk.chat.completions.create(model=model, **self.arguments).choices[0].message.content)

    def stream(self, model: str) -> Iterator[str]:
        """The answer word by word; closing the iterator closes the stream."""
        with self.sdk.chat.completions.create(model=model, stream=True, **self.arguments) as stream:
            for chunk in stream:
                yield str(chunk.choices[0].delta.content)


class Anthropic:
    """What is asked of anthropic, which takes a client of httpx2 and of nothing else."""

    libraries = ("httpx2",)

    def __init__(self, url: str, http_client: Any = None) -> None:
        module = importlib.import_module("anthropic")
        given = {} if http_client is None else {"http_client": http_client}
        self.sdk = module.Anthropic(api_key="k", base_url=url, max_retries=1, timeout=SLOW / 2, **given)
        self.arguments: dict[str, Any] = {"max_tokens": 10, "messages": [{"role": "user", "content": "?"}]}

    def ask(self, model: str) -> str:
        """The whole answer."""
        return str(self.sdk.messages.create(model=model, **self.arguments).content[0].text)

    def stream(self, model: str) -> Iterator[str]:
        """The answer word by word; closing the iterator closes the stream."""
        with self.sdk.messages.stream(model=model, **self.arguments) as stream:
            yield from stream.text_stream


SDKS: dict[str, Any] = {"openai": OpenAI, "anthropic": Anthropic}


def _few(sdk: Any, model: str) -> list[str]:
    """The first three words, and the stream closed."""
    words = sdk.stream(model)
    first = [next(words) for _ in range(3)]
    words.close()
    return first


def _threads(sdk: Any) -> list[str]:
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        return sorted(pool.map(lambda number: f"{number} {sdk.ask('json')}", range(40)))


CALLS: dict[str, Callable[[Any], Any]] = {
    "json": lambda sdk: sdk.ask("json"),
    "event stream": lambda sdk: list(sdk.stream("stream")),
    "long event stream left in the middle": lambda sdk: _few(sdk, "long stream"),
    "json after that": lambda sdk: sdk.ask("json"),
    "429, then json": lambda sdk: sdk.ask("429 once"),
    "500, then json": lambda sdk: sdk.ask("500 once"),
    "400": lambda sdk: sdk.ask("400"),
    "cut without an answer, then json": lambda sdk: sdk.ask("cut once"),
    "timeout, then json": lambda sdk: sdk.ask("slow once"),
    "stream that breaks off": lambda sdk: list(sdk.stream("broken stream")),
    "40 by 8 threads": _threads,
}


def outcomes(sdk: Any) -> dict[str, str]:
    """What the program sees of each call: its result, or its exception's and the causes' types; how often the server was asked."""
    seen = {}
    for name, call in CALLS.items():
        Service.asked.clear()
        try:
            result = repr(call(sdk))
        except Exception as error:
            chain = " from ".join(type(each).__name__ for each in _causes(error))
            # The words of httpx's exceptions are the transport's own, and say what it knows.
            result = f"{chain}: {error}" if type(error).__module__.startswith(tuple(SDKS)) else chain
        seen[name] = f"{result} (asked {sum(Service.asked.values())} times)"
    return seen


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The SDK's exception and the library's; whatever is below belongs to the transport."""
    while error is not None and not type(error).__module__.startswith(("httpcore", "holdfast", "h11", "builtins")):
        yield error
        error = error.__cause__


# -- comparing -----------------------------------------------------------------------------------------------------------


def compare(name: str, url: str) -> Iterator[tuple[str, int, list[str], str]]:
    """For each way over holdfast: which, calls that were the same, those that differ, and what its pool did."""
    kind = SDKS[name]
    own = kind(url)
    expected = outcomes(own)
    own.sdk.close()
    for library in kind.libraries:
        transport = importlib.import_module(f"holdfast.contrib.{library}").HoldfastTransport()
        with importlib.import_module(library).Client(transport=transport) as client:
            yield f"{library} with HoldfastTransport", *_differences(expected, outcomes(kind(url, client))), str(transport.stats())
    for library in kind.libraries:
        importlib.import_module(f"holdfast.contrib.{library}").inject()
    try:
        sdk = kind(url)
        found = outcomes(sdk)
        carrier = getattr(sdk.sdk._client._transport, "_holdfast", None)
        yield "inject()", *_differences(expected, found), "not carried" if carrier is None else str(carrier.stats())
        sdk.sdk.close()
    finally:
        for library in kind.libraries:
            importlib.import_module(f"holdfast.contrib.{library}").eject()


def _differences(expected: dict[str, str], found: dict[str, str]) -> tuple[int, list[str]]:
    names = [name for name in expected if expected[name] != found[name]]
    return len(expected) - len(names), [f"{name}: {expected[name][:300]}\n    not {found[name][:300]}" for name in names]


def main() -> int:
    """Compare what is installed; the exit status."""
    argparse.ArgumentParser(
        prog="python -m benchmarks sdks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    lines, problems = [["SDK", "over", "same calls", "its pool"]], []
    for name in SDKS:
        try:
            version = importlib.import_module(name).__version__
        except ImportError:
            lines.append([name, "not installed", "", ""])
            continue
        for way, same, different, pool in compare(name, f"http://127.0.0.1:{server.server_port}"):
            lines.append([f"{name} {version}", way, f"{same} of {len(CALLS)}", pool])
            problems += [f"{name} over {way}: {each}" for each in different]
            problems += [f"{name} over {way}: the requests did not go over holdfast"] if pool == "not carried" else []
    server.shutdown()
    server.server_close()
    print(table(lines))
    print("\n".join(problems))
    return 1 if problems else 0 if len(lines) > len(SDKS) + 1 else 3


if __name__ == "__main__":
    sys.exit(main())

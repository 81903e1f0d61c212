"""``holdfast download URL... -o DIR``: files in parallel; what was cut short is resumed.

A file grows as ``NAME.part``; beside it ``NAME.part.json`` says of which URL and version it is. The next attempt, or the next run,
asks for the rest with Range and If-Range (RFC 9110, sections 13.1.5 and 14.2), so the server itself decides whether the rest
belongs to what is here: 206 is appended, 200 begins anew. Only a strong validator is used (a strong ETag, or Last-Modified a
minute older than the answer); without one the file begins anew. So it does when a 206 contradicts what is here: another validator,
another size, a body of another length than its range (section 15.3.7.3). A server that sends less than the rest is asked again. A
whole file gets its name by one rename, after its checksum was compared.

Several workers take from one queue. Ctrl-C closes the client, which ends their reads; the parts stay for the next run.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from .._numbers import number_of
from ..client import Client
from ..exceptions import ClientClosed, RequestException, StreamConsumedError
from ..message.response import Response
from ..message.url import Url
from ..retries import parse_retry_after
from ..wire.verification import refusal_behind
from . import codes
from .options import add_request_fields, add_tls, client_settings, said_by_system, text_of
from .terminal import Terminal, harmless, terminal

HELP = "fetch files in parallel, and resume what was cut short"
PIECE = 1 << 18
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # seconds before another attempt
TICK = 0.2  # seconds between two looks at the progress
STRONG_AFTER = 60  # seconds by which Last-Modified must precede Date to be a strong validator (RFC 9110, section 8.8.2.2)
TRANSIENT = frozenset((408, 429, 500, 502, 503, 504))
NAME_BYTES = 200  # file systems take 255, of which ".part.json" and a number need some
# What some file system refuses, what terminals obey, and what turns text round.
_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f/\\:*?\"<>|\u2028-\u202e\u2066-\u2069]")
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\.|$)", re.IGNORECASE)  # to Windows, in any directory


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("urls", nargs="+", metavar="URL")
    parser.add_argument("-o", "--output", default=".", metavar="DIR", help="directory to write to (default: this one)")
    parser.add_argument("-j", "--jobs", type=_count, default=8, metavar="N", help="files at a time (default 8)")
    parser.add_argument("--sha256", action="append", default=[], type=_digest, metavar="HEX", help="of each URL, in their order")
    parser.add_argument("--attempts", type=_count, default=5, metavar="N", help="in a row without a byte, per file (default 5)")
    parser.add_argument("--overwrite", action="store_true", help="fetch files that are there already")
    add_request_fields(parser)
    add_tls(parser)


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 256:
        raise argparse.ArgumentTypeError("expected 1 to 256")
    return value


def _digest(text: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise argparse.ArgumentTypeError("a SHA-256 has 64 hexadecimal digits")
    return text.lower()


# -- one file ----------------------------------------------------------------------------------------------------------


@dataclass
class File:
    """One file to fetch, and how far it is.

    Attributes:
        path: where it will be.
        sha256: what its content must have; None if that was not said.
        size: bytes in all; None while that is not known.
        done: bytes that are here.
        resumed: bytes that were here already when this run began.
        state: "waiting", "fetching", "done", "there" (it was there before), "failed".
        error: why it failed.
    """

    url: str
    path: Path
    sha256: str | None = None
    size: int | None = None
    done: int = 0
    resumed: int = 0
    state: str = "waiting"
    error: BaseException | None = None

    @property
    def part(self) -> Path:
        """What grows."""
        return self.path.with_name(self.path.name + ".part")

    @property
    def note(self) -> Path:
        """Of which version the part is."""
        return self.path.with_name(self.path.name + ".part.json")


@dataclass(frozen=True)
class Note:
    """Of what a part is a part: the URL, the validator for If-Range, and what else was said of that version."""

    url: str
    validator: str
    size: int | None
    modified: str = ""


class Refused(Exception):
    """This file cannot be had; another attempt would not help. ``code`` is the exit code that says why."""

    def __init__(self, text: str, code: int = codes.UNEXPECTED) -> None:
        super().__init__(text)
        self.code = code


def files_of(urls: list[str], directory: Path, sums: list[str]) -> list[File]:
    """One File per URL, named after the last part of its path; a second one of the same name gets a number.

    Raises:
        ValueError: checksums for some of the URLs only.
        InvalidURL, MissingSchema, InvalidSchema: of a URL.
    """
    if sums and len(sums) != len(urls):
        given = f"{number_of(len(sums), 'time')} for {number_of(len(urls), 'URL')}"
        raise ValueError(f"--sha256 was given {given}: one for each, in their order")
    taken: set[str] = set()
    files = []
    for number, url in enumerate(urls):
        name = _free(name_of(Url.parse(url)), taken)
        files.append(File(url, directory / name, sums[number] if sums else None))
    return files


def name_of(url: Url) -> str:
    """A file name that stays in its directory, on every system the same: what the server sends has no say in it."""
    name = _UNFIT.sub("_", unquote(url.path.rpartition("/")[2])).strip(". ")
    name = name.encode()[:NAME_BYTES].decode(errors="ignore").rstrip(". ") or "index.html"
    return f"_{name}" if _DEVICE.match(name) else name


def _free(name: str, taken: set[str]) -> str:
    stem, suffix = os.path.splitext(name)
    number, free = 1, name
    while not taken.isdisjoint(_names_of(free)):
        number += 1
        free = f"{stem}-{number}{suffix}"
    taken |= _names_of(free)
    return free


def _names_of(name: str) -> set[str]:
    """The names that a file takes, in the form in which file systems compare them that ignore case and how an umlaut is written."""
    from unicodedata import normalize

    same = normalize("NFC", normalize("NFC", name).casefold())
    return {same, f"{same}.part", f"{same}.part.json"}


class Fetch:
    """Fetches one file: attempts, each of which goes on where the last one stopped."""

    def __init__(
        self, client: Client, file: File, attempts: int, pause: Callable[[float], object], stopped: Callable[[], bool]
    ) -> None:
        self.client = client
        self.file = file
        self.attempts = attempts
        self.pause = pause
        self.stopped = stopped

    def run(self) -> None:
        """Fetch it, or note why not in ``file.error``; a stop leaves it as it is."""
        file = self.file
        file.state = "fetching"
        try:
            self._attempts()
            self._finish()
            file.state = "done"
        except (ClientClosed, StreamConsumedError):  # Ctrl-C closed the client
            file.state = "waiting"
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this file's, and the worker goes on with the next
            file.state = "waiting" if self.stopped() else "failed"
            file.error = error

    def _attempts(self) -> None:
        vain = farthest = 0
        while True:
            farthest = max(farthest, self.file.done)
            try:
                self._attempt()
                if self.file.size is None or self.file.done >= self.file.size:
                    return
                vain = 0
                continue  # the server has sent less than the rest; of each part at least a byte
            except (ClientClosed, StreamConsumedError):
                raise
            except RequestException as error:
                # What is wrong with the URL, or with the server's certificate, is so the next time too.
                if isinstance(error, ValueError) or refusal_behind(error) is not None or self.stopped():
                    raise
                # New bytes begin the count again. Those that had come once before do not, or what begins anew each time had no end.
                vain = 1 if self.file.done > farthest else vain + 1
                if vain >= self.attempts:
                    raise
                asked = retry_after(error)
            self.pause(min(LONGEST_PAUSE, max(asked, FIRST_PAUSE * 2 ** (vain - 1))))

    def _attempt(self) -> None:
        file = self.file
        note = read_note(file)
        start = file.part.stat().st_size if note is not None else 0
        headers = {"Accept-Encoding": "identity"}  # a range counts bytes of the content as it is coded
        if note is not None and start:
            headers |= {"Range": f"bytes={start}-", "If-Range": note.validator}
        with self.client.get(file.url, headers=headers, stream=True) as response:
            if response.status_code == 416:
                self._start_over_or_done(response, note, start)
                return
            if response.status_code in TRANSIENT:
                response.raise_for_status()
            end = self._check(response, note, start)
            self._receive(response, 0 if end is None else start, end)

    def _check(self, response: Response, note: Note | None, start: int) -> int | None:
        """None for the whole file; of a part where it ends. Notes the file's size."""
        status = response.status_code
        if status == 200:
            self.file.size = total_of(response)
            return None
        if status != 206:
            raise Refused(f"the server answered {status} {response.reason}".rstrip(), codes.of_status(status) or codes.UNEXPECTED)
        asked, given = response.request.headers.get("Range", ""), response.headers.get("Content-Range", "")
        found = re.fullmatch(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", given)
        if note is None or found is None or asked != f"bytes={found[1]}-":
            forget(self.file)
            raise Refused(f"asked for {asked or 'all'}, the server sent {given!r}")
        end = int(found[2]) + 1
        total = note.size if found[3] == "*" else int(found[3])
        length = response.headers.get("Content-Length", str(end - start))
        size = end if total is None else total
        is_range = length == str(end - start) and start < end <= size and "Content-Encoding" not in response.headers
        if not (is_range and of_version(response, note, total)):
            here = number_of(start, "byte that was", "bytes that were", form=",")
            raise self._begin_anew(f"the server sent {given!r} that does not belong to the {here} here")
        self.file.size = size
        return end

    def _begin_anew(self, why: str) -> RequestException:
        forget(self.file)
        return RequestException(f"{why}: beginning anew")

    def _start_over_or_done(self, response: Response, note: Note | None, start: int) -> None:
        """416: nothing lies beyond what is here. It is all, or the file has become shorter."""
        whole = response.headers.get("Content-Range", "").removeprefix("bytes */")
        if note is not None and start and whole == str(start) and of_version(response, note, start):
            self.file.size = self.file.done = start
            return
        here = number_of(start, "byte was", "bytes were", form=",")
        raise self._begin_anew(f"the server has not the rest of this file (416), {here} here")

    def _receive(self, response: Response, begin: int, end: int | None) -> None:
        """Write what comes behind the first ``begin`` bytes; as a part, up to ``end``."""
        file = self.file
        if begin == 0:
            forget(file)  # first: a run that is killed here must not leave the new version's note beside the old one's bytes
            write_note(file, response)
        file.done = begin
        file.resumed = begin and (file.resumed or begin)
        with open(file.part, "r+b" if begin else "wb") as out:
            out.seek(begin)
            out.truncate()
            for piece in response.iter_content(None):  # as they come: of a piece of a fixed size, a cut would lose the beginning
                out.write(piece)
                out.flush()
                file.done += len(piece)
        if end is not None and file.done != end:  # in chunks, which announce no length
            came = number_of(file.done - begin, "byte", form=",")
            raise self._begin_anew(f"the server sent {came} as a range of {end - begin:,}")

    def _finish(self) -> None:
        file = self.file
        if file.sha256 is not None:
            found = sha256_of(file.part)
            if found != file.sha256:
                forget(file)
                raise Refused(f"its SHA-256 is {found}, expected was {file.sha256}; it was not kept")
        os.replace(file.part, file.path)
        file.note.unlink(missing_ok=True)


def retry_after(error: RequestException) -> float:
    """Seconds that the server asks to wait; 0 if it does not."""
    fields = {} if error.response is None else error.response.headers
    return parse_retry_after(fields.get("Retry-After"), time.time(), fields.get("Date")) or 0.0


def read_note(file: File) -> Note | None:
    """What the part is a part of; None if there is no part that can be gone on with."""
    try:
        if not file.part.exists():
            return None
        note = Note(**json.loads(file.note.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    return note if note.url == file.url and note.validator else None


def write_note(file: File, response: Response) -> None:
    """Say what is about to be written, before its first byte is."""
    # Of a body that was coded nevertheless only its decoded bytes are here, and no range counts those.
    validator = "" if "Content-Encoding" in response.headers else validator_of(response)
    note = Note(file.url, validator, total_of(response), response.headers.get("Last-Modified", ""))
    file.note.write_text(json.dumps(asdict(note)), encoding="utf-8")


def forget(file: File) -> None:
    """The part is of no use."""
    file.part.unlink(missing_ok=True)
    file.note.unlink(missing_ok=True)
    file.done = 0


def validator_of(response: Response) -> str:
    """A strong validator for If-Range; "" where there is none (RFC 9110, section 13.1.5)."""
    etag = response.headers.get("ETag", "")
    if etag.startswith('"'):
        return etag
    modified, date = response.headers.get("Last-Modified", ""), response.headers.get("Date", "")
    try:
        strong = (parsedate_to_datetime(date) - parsedate_to_datetime(modified)).total_seconds() >= STRONG_AFTER
    except (ValueError, TypeError, OverflowError):
        return ""
    return modified if strong else ""


def of_version(response: Response, note: Note, size: int | None) -> bool:
    """Whether an answer is about the version that ``note`` is of, as far as it says.

    One sign of another version is enough: servers ignore If-Range, and some keep the ETag of a file that has changed meanwhile.

    Args:
        size: of the whole file, in this answer.
    """
    etag = response.headers.get("ETag", note.validator)
    modified = response.headers.get("Last-Modified", note.modified)
    same = etag == note.validator or not note.validator.startswith('"')
    same = same and (modified == note.modified or not note.modified)
    return same and (size is None or note.size is None or size == note.size)


def total_of(response: Response) -> int | None:
    """Bytes of the whole file, as far as an answer with all of it says."""
    if "Content-Encoding" in response.headers:
        return None  # what is counted here is decoded
    if "Transfer-Encoding" in response.headers:
        return None  # a Content-Length beside it is not the length (RFC 9112, section 6.3)
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None


def sha256_of(path: Path) -> str:
    """Of a file's content."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)
    return digest.hexdigest()


# -- all of them -------------------------------------------------------------------------------------------------------


@dataclass
class Crew:
    """The workers, and the files that they take.

    Attributes:
        stop: set when no further file, and no further attempt, is to be begun.
    """

    client: Client
    files: list[File]
    attempts: int
    stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._queue: Iterator[File] = iter(self.files)
        self._lock = threading.Lock()  # guards the queue
        self._threads: list[threading.Thread] = []

    def start(self, jobs: int) -> None:
        """Begin."""
        for number in range(min(jobs, len(self.files))):
            thread = threading.Thread(target=self._work, name=f"holdfast-download-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _work(self) -> None:
        while not self.stop.is_set():
            with self._lock:
                file = next(self._queue, None)
            if file is None:
                return
            Fetch(self.client, file, self.attempts, self.stop.wait, self.stop.is_set).run()

    def wait(self, seconds: float) -> bool:
        """Wait up to ``seconds`` for a worker to end; whether all have."""
        alive = [thread for thread in self._threads if thread.is_alive()]
        if alive:
            alive[0].join(seconds)
        return not any(thread.is_alive() for thread in self._threads)

    def abandon(self) -> None:
        """Begin nothing more, end the reads that are under way, and wait for the workers to leave."""
        self.stop.set()
        self.client.close()
        for thread in self._threads:
            thread.join(LONGEST_PAUSE)


def run(arguments: argparse.Namespace, clock: Callable[[], float] = time.monotonic) -> int:
    """The command."""
    directory = Path(arguments.output)
    files = files_of(arguments.urls, directory, arguments.sha256)
    directory.mkdir(parents=True, exist_ok=True)
    out, err = terminal(sys.stdout), terminal(sys.stderr)
    for file in files:
        if not arguments.overwrite and is_there(file):
            file.state = "there"
    wanted = [file for file in files if file.state == "waiting"]
    with Client(**client_settings(arguments)) as client:
        crew = Crew(client, wanted, arguments.attempts)
        code = work(crew, arguments.jobs, err, clock)
    for file in files:
        out.line(*line_of(file))
    if code != codes.OK:
        out.line("interrupted: the same command goes on where this one stopped")
        return code
    return max((code_of(file) for file in files), default=codes.OK)


def is_there(file: File) -> bool:
    """Whether it was fetched before, and is what it should be."""
    return file.path.exists() and (file.sha256 is None or sha256_of(file.path) == file.sha256)


def work(crew: Crew, jobs: int, err: Terminal, clock: Callable[[], float]) -> int:
    """Let the crew fetch, and show how far it is; INTERRUPTED after a Ctrl-C."""
    started = clock()
    try:
        crew.start(jobs)
        with err.progress() as progress:
            while not crew.wait(TICK):
                progress.show(progress_of(crew.files, clock() - started))
    except KeyboardInterrupt:
        crew.abandon()
        return codes.INTERRUPTED
    return codes.OK


def progress_of(files: list[File], seconds: float) -> str:
    """``[######......] 3 of 8 files, 12.3 of 80.0 MB, 5.1 MB/s``."""
    ended = sum(file.state in ("done", "failed") for file in files)
    done = sum(file.done for file in files)
    fresh = done - sum(file.resumed for file in files)
    known = [file.size for file in files if file.size is not None]
    whole = sum(known) if len(known) == len(files) else None
    share = done / whole if whole else ended / len(files)
    bar = "#" * round(share * 20)
    total = f"{size_of(done)} of {size_of(whole)}" if whole else size_of(done)
    rate = f", {size_of(fresh / seconds)}/s" if seconds > 0 else ""
    return f"[{bar:.<20}] {ended} of {number_of(len(files), 'file')}, {total}{rate}"


def size_of(count: float) -> str:
    """``812 B``, ``1.2 kB``, ``80.0 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000
    return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"


def line_of(file: File) -> tuple[Any, ...]:
    """What became of it."""
    name = harmless(str(file.path))
    if file.state == "done":
        resumed = f" ({size_of(file.resumed)} of it resumed)" if file.resumed else ""
        return ("done      ", "good"), f"{name}  {size_of(file.done)}{resumed}"
    if file.state == "there":
        return ("there     ", "good"), f"{name}"
    so_far = f"  {size_of(file.done)} so far" if file.done else ""
    if file.state == "failed":
        return ("failed    ", "bad"), f"{name}  {harmless(_said_of(file.error))}{so_far}"
    return ("not done  ", "warn"), f"{name}{so_far}"


def _said_of(error: BaseException | None) -> str:
    if isinstance(error, (RequestException, Refused)):
        return text_of(error)
    return said_by_system(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"


def code_of(file: File) -> int:
    """The exit code for one file."""
    if file.state in ("done", "there"):
        return codes.OK
    if isinstance(file.error, RequestException):
        from .main import code_of as code_of_error

        return code_of_error(file.error)
    return file.error.code if isinstance(file.error, Refused) else codes.LOCAL

"""A multipart upload with a progress display, written for requests.

    python examples/upload_with_progress.py                     # import holdfast as requests; a file and a site of its own
    python examples/upload_with_progress.py FILE URL
    python examples/upload_with_progress.py --real FILE URL     # the real one

The file is wrapped in an object that counts what is read of it. With holdfast the file is read while it is sent, 64 KiB
at a time, so the counter shows the progress of the upload, and memory stays small; requests reads it whole, before.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any


class Progress:
    """A file that prints how much of it was read, at every tenth."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self.len = path.stat().st_size
        self._file = path.open("rb")
        self._read = 0
        self._shown = -1

    def read(self, size: int = -1) -> bytes:
        piece = self._file.read(size)
        self._read += len(piece)
        self._show()
        return piece

    def _show(self) -> None:
        tenths = 10 * self._read // self.len if self.len else 10
        for tenth in range(self._shown + 1, tenths + 1):
            print(f"{tenth * 10:3} %")
        self._shown = max(self._shown, tenths)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._file.close()


def upload(requests: Any, path: Path, url: str) -> Any:
    """Send the file as one part of a form, and return what the server says of it."""
    with Progress(path) as file:
        response = requests.post(
            url,
            data={"title": path.stem, "tag": ["a", "b"]},
            files={"file": (path.name, file, "application/octet-stream")},
            headers={"X-Requested-By": "uploader"},
            timeout=300,
        )
    response.raise_for_status()
    if response.status_code != requests.codes.created:
        raise SystemExit(f"not created: {response.status_code} {response.reason}")
    return response.json()


def main(arguments: Sequence[str] | None = None) -> int:
    """Upload, and print what the server says."""
    parser = argparse.ArgumentParser(description="Upload a file as a form, and show the progress.")
    parser.add_argument("file", nargs="?", type=Path, help="what to upload (default: 16 MiB of nothing)")
    parser.add_argument("url", nargs="?", help="where to (default: a site of its own)")
    parser.add_argument("--real", action="store_true", help="use requests itself")
    given = parser.parse_args(arguments)
    requests = importlib.import_module("requests" if given.real else "holdfast")
    with ExitStack() as stack:
        file = given.file or nothing(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        return show(requests, file, given.url or stack.enter_context(own_site()))


def nothing(folder: Path) -> Path:
    """A large file."""
    path = folder / "nothing.bin"
    path.write_bytes(bytes(16 << 20))
    return path


def own_site() -> Any:
    """The site where none is given: a script finds what lies beside it."""
    sites = importlib.import_module("sites")
    return sites.running(sites.Intake)


def show(requests: Any, file: Path, url: str) -> int:
    """Upload, and print what the server says; the exit status."""
    try:
        said = upload(requests, file, url)
    except requests.exceptions.HTTPError as error:
        print(f"refused: {error.response.status_code} {error.response.text}")
        return 1
    for name, value in sorted(said.items()):
        print(f"{name}: {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

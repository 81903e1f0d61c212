"""The site of docs/, built strictly: ``python -m docs.tools.build_site`` writes it to site/.

Zensical ends with an error where a Markdown link leads to no page or to no heading, and where a name of the reference is not
found. What it does not look at is looked at here: that the docstrings of the reference are understood (griffe's warnings), and
that every link in the HTML, to a page, a picture or an anchor, leads somewhere.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
SITE = ROOT / "site"
LINKS = {"a": "href", "link": "href", "img": "src", "script": "src"}


class Page(HTMLParser):
    """The links and the anchors of one page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Called by HTMLParser."""
        given = dict(attrs)
        self.anchors.update(value for value in (given.get("id"), given.get("name")) if value)
        link = given.get(LINKS.get(tag, ""))
        if link:
            self.links.append(link)


def dead_links(site: Path) -> Iterator[str]:
    """``page: link`` for every link inside a built site that leads to no file, or to no anchor of its file."""
    site = site.resolve()
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if not parts.scheme and not parts.netloc and not _leads_somewhere(site, path, parts.path, parts.fragment, pages):
                yield f"{path.relative_to(site)}: {link}"


def _leads_somewhere(site: Path, path: Path, target: str, anchor: str, pages: dict[Path, Page]) -> bool:
    home = site if target.startswith("/") else path.parent
    found = (home / unquote(target).lstrip("/")).resolve() if target else path
    if found.is_dir():
        found /= "index.html"
    if not found.is_relative_to(site):
        return False  # a file of the repository, perhaps, that the site has not
    if not anchor:
        return found.is_file()
    return found in pages and unquote(anchor) in pages[found].anchors


def _zensical(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run Zensical in ``folder``: it wants its settings above the pages, and publishes every file that lies among them."""
    shutil.copytree(DOCS, folder / "docs", ignore=shutil.ignore_patterns("tools", "zensical.toml", "__pycache__"))
    shutil.copy(DOCS / "zensical.toml", folder)
    (folder / "src").symlink_to(ROOT / "src")
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def main() -> int:
    """0 if the site was built and everything in it leads somewhere; 2 without Zensical."""
    if importlib.util.find_spec("zensical") is None:
        print("the site is built by Zensical: pip install -e '.[docs]' (Python 3.11 or newer)")
        return 2
    with tempfile.TemporaryDirectory() as folder:
        done = _zensical(Path(folder))
        if not done.returncode:
            shutil.rmtree(SITE, ignore_errors=True)
            shutil.move(Path(folder) / "site", SITE)
    said = done.stdout + done.stderr
    if done.returncode:
        print(said)
        return 1
    wrong = [line for line in said.splitlines() if line.startswith("griffe: ")]
    wrong += [f"dead link in {each}" for each in dead_links(SITE)]
    print("\n".join(wrong) or f"{sum(1 for _ in SITE.rglob('*.html'))} pages in {SITE}, no dead link")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

"""docs/pictures/timing.svg and doctor.svg: what the commands show in a terminal. ``python -m docs.tools.terminal`` writes them.

Nothing is drawn by hand: nginx is started on loopback with its own settings and a certificate of trustme's, each command runs in a
pseudo-terminal of COLUMNS columns, and rich turns what it wrote there into SVG.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "docs" / "pictures"
COLUMNS = 100
COMMANDS = {
    "timing.svg": ["timing", "URL", "--cacert", "CA"],
    "doctor.svg": ["doctor", "URL", "--cacert", "CA", "--max", "90"],
}
NGINX = """
pid {folder}/pid; error_log {folder}/log; daemon off;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
    uwsgi_temp_path {folder}; scgi_temp_path {folder};
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {folder}/chain.pem; ssl_certificate_key {folder}/key.pem;
        location / {{ return 200 "all is well\\n"; }}
    }}
}}
"""


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """nginx with TLS; its URL. The authority's certificate is ca.pem in ``folder``."""
    import trustme

    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None:
        raise SystemExit("needs nginx: apt-get install nginx-light")
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    certificate.private_key_pem.write_to_path(str(folder / "key.pem"))
    (folder / "chain.pem").write_bytes(b"".join(each.bytes() for each in certificate.cert_chain_pems))
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port), encoding="utf-8")
    process = subprocess.Popen([nginx, "-c", str(folder / "nginx.conf"), "-p", str(folder)], stderr=subprocess.DEVNULL)
    try:
        yield f"https://localhost:{port}/"
    finally:
        process.terminate()
        process.wait(10)


def shown(arguments: list[str], columns: int) -> str:
    """What ``holdfast`` with these arguments writes to a terminal so wide, escape sequences included."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color"}
    environment.pop("NO_COLOR", None)
    command = [sys.executable, "-m", "holdfast", *arguments]
    process = subprocess.Popen(command, stdout=theirs, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, env=environment)
    os.close(theirs)
    text = b"".join(_read(ours))
    os.close(ours)
    if process.wait() != 0:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}: {text.decode(errors='replace')}")
    return text.decode().replace("\r\n", "\n")


def _read(descriptor: int) -> Iterator[bytes]:
    while True:
        try:
            piece = os.read(descriptor, 65536)
        except OSError as error:
            if error.errno != errno.EIO:  # EIO: the last process that had the terminal open has ended
                raise
            return
        if not piece:
            return
        yield piece


def picture(command: str, text: str, columns: int) -> str:
    """The SVG of a terminal in which ``command`` wrote ``text``."""
    from rich.console import Console
    from rich.terminal_theme import MONOKAI
    from rich.text import Text

    console = Console(record=True, width=columns, file=StringIO(), force_terminal=True)
    console.print(f"[bold]$[/] {command}", highlight=False)
    console.print(Text.from_ansi(text.rstrip("\n")))
    return console.export_svg(title=command.split(" ")[0], theme=MONOKAI, unique_id="holdfast")


def main() -> int:
    """Write the pictures."""
    with tempfile.TemporaryDirectory() as name, server(Path(name)) as url:
        for file, template in COMMANDS.items():
            arguments = [{"URL": url, "CA": f"{name}/ca.pem"}.get(each, each) for each in template]
            command = " ".join(["holdfast", *arguments]).replace(f"{name}/", "")
            (PICTURES / file).write_text(picture(command, shown(arguments, COLUMNS), COLUMNS), encoding="utf-8")
            print(PICTURES / file)
    return 0


if __name__ == "__main__":
    sys.exit(main())

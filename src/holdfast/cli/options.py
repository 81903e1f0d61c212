"""Arguments that several commands share, and what they mean for a Client."""

from __future__ import annotations

import argparse
from typing import Any

from ..connecting import Authorities, Cert


def add_tls(parser: argparse.ArgumentParser) -> None:
    """What decides whom to trust."""
    group = parser.add_argument_group("TLS")
    group.add_argument("-k", "--insecure", action="store_true", help="do not verify the server's certificate")
    group.add_argument("--cacert", metavar="PATH", help="file or directory of the authorities to trust; system: the machine's")
    group.add_argument("--cert", metavar="PATH", help="client certificate and key, in PEM form")
    group.add_argument("--key", metavar="PATH", help="the client certificate's key, if it is not in the same file")


def text_of(error: BaseException | None) -> str:
    """What an error says, with these options in the place of the library's arguments."""
    from ..wire.verification import COMMAND, in_terms

    return "" if error is None else in_terms(COMMAND, str(error), error)


def said_by_system(error: OSError) -> str:
    """What the operating system says of a file, without its number."""
    said = error.strerror or str(error)
    return f"{said}: {error.filename}" if error.filename else said


def verify_of(arguments: argparse.Namespace) -> tuple[Authorities, Cert]:
    """``verify`` and ``cert`` of a Client."""
    verify: Authorities = False if arguments.insecure else arguments.cacert or True
    cert: Cert = (arguments.cert, arguments.key) if arguments.key else arguments.cert
    return verify, cert


def add_request_fields(parser: argparse.ArgumentParser) -> None:
    """Fields and credentials."""
    parser.add_argument(
        "-H", "--header", action="append", default=[], type=header, metavar="'NAME: VALUE'", help="a field; 'NAME:' for none"
    )
    parser.add_argument("-a", "--auth", metavar="USER:PASSWORD", help="Basic credentials")
    parser.add_argument("--digest", action="store_true", help="the credentials are for Digest")
    parser.add_argument("--bearer", metavar="TOKEN", help="send Authorization: Bearer TOKEN")
    parser.add_argument("--timeout", type=positive, metavar="SECONDS", help="of each wait; see holdfast.Timeouts for the defaults")
    parser.add_argument("--proxy", metavar="URL", help="of an HTTP proxy; '' for none")


def header(text: str) -> tuple[str, str | None]:
    """Name and value of ``Name: value``; None as value for ``Name:``."""
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise argparse.ArgumentTypeError(f"expected 'NAME: VALUE', got {text!r}")
    return name.strip(), value.strip() or None


def positive(text: str) -> float:
    """A number of seconds."""
    value = float(text)
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError("expected more than 0 seconds")
    return value


def client_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """The keywords of a Client that these arguments mean. Raises ValueError where they contradict each other."""
    verify, cert = verify_of(arguments)
    settings: dict[str, Any] = {"verify": verify, "cert": cert, "headers": list(arguments.header)}
    if arguments.timeout is not None:
        settings["timeout"] = arguments.timeout
    if arguments.proxy is not None:
        # trust_env as well: a variable of the environment would go before the client's own proxies.
        settings |= {"proxies": {"all": arguments.proxy}, "trust_env": False}
    settings["auth"] = _auth(arguments)
    return settings


def _auth(arguments: argparse.Namespace) -> Any:
    if arguments.bearer is not None:
        if arguments.auth is not None:
            raise ValueError("--auth and --bearer: one of the two")
        from ..auth import BearerAuth

        return BearerAuth(arguments.bearer)
    if arguments.auth is None:
        return None
    user, _, password = arguments.auth.partition(":")
    if arguments.digest:
        from ..auth import HTTPDigestAuth

        return HTTPDigestAuth(user, password)
    return user, password

"""``holdfast``: which command, and what becomes of its errors.

Without the name of a command the first argument is a URL to get. ``run`` belongs to another module, which is imported, like those
of all commands, when it is asked for.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from .._version import __version__
from ..exceptions import ConnectionError as HoldfastConnectionError
from ..exceptions import ConnectTimeout, ProxyError, RequestException, SSLError, Timeout
from . import codes
from .terminal import harmless

COMMANDS = {
    "get": "send a request and show the answer; the word itself may be left out",
    "timing": "what each phase of a call takes, and what keep-alive saves",
    "doctor": "how a server treats connections, and the limits to set",
    "download": "fetch files in parallel, and resume what was cut short",
    "run": "run a program whose requests, urllib3 and httpx use holdfast's connections",
}
EPILOG = (
    "exit codes: 0 done; 1 not as expected; 2 wrong arguments; 3 no connection; 4, 5 answered 4xx, 5xx; 6 broken; 7 timeout; "
    "8 file error; 130 Ctrl-C"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that ``arguments`` (default: the process's) mean; the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] == "run":
        return _run_program(given[1:])  # what the program raises, and what becomes of its output, is between the two
    _open_closed_streams()
    try:
        code = _dispatch(given)
        sys.stdout.flush()
        return code
    except SystemExit as stop:  # argparse: help was shown, or the arguments are wrong
        return stop.code if isinstance(stop.code, int) else codes.USAGE
    except KeyboardInterrupt:
        _say("interrupted")
        return codes.INTERRUPTED
    except BrokenPipeError:
        _forget_stdout()
        return codes.PIPE_CLOSED
    except RequestException as error:
        from .options import text_of  # it needs ssl, which not every command does

        _say(text_of(error))
        return code_of(error)
    except OSError as error:
        from .options import said_by_system

        _say(said_by_system(error))
        return codes.LOCAL
    except ValueError as error:
        _say(str(error))
        return codes.USAGE


def code_of(error: RequestException) -> int:
    """The exit code for an error of the library."""
    if isinstance(error, ValueError):
        return codes.USAGE  # a URL, a field: nothing was sent
    if isinstance(error, ConnectTimeout | SSLError | ProxyError) or getattr(error, "never_connected", False):
        return codes.UNREACHABLE
    if isinstance(error, Timeout):
        return codes.TIMEOUT
    # The command's own dials raise a ConnectionError whose cause is the system's refusal.
    refused = isinstance(error, HoldfastConnectionError) and isinstance(error.__cause__, ConnectionRefusedError)
    return codes.UNREACHABLE if refused else codes.BROKEN


def _open_closed_streams() -> None:
    """Streams that the caller has closed (``>&-``) are None to Python, and the next file or socket would have their numbers."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, open(null, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - as Python's own: for good


def _dispatch(given: list[str]) -> int:
    if not given or given[0] in ("-h", "--help", "--version"):
        _parser().parse_args(given or ["--help"])
    name = given.pop(0) if given[0] in COMMANDS else "get"
    module = import_module(f".{name}", __package__)
    parser = argparse.ArgumentParser(
        prog=f"holdfast {name}" if name != "get" else "holdfast",
        description=module.HELP,
        epilog=EPILOG,
        allow_abbrev=False,
    )
    module.add_arguments(parser)
    code = module.run(parser.parse_args(given))
    assert isinstance(code, int)
    return code


def _parser() -> argparse.ArgumentParser:
    """For help and version only: the commands parse their own arguments."""
    listed = "\n".join(f"  {name:10}{what}" for name, what in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="holdfast",
        usage="holdfast [get | timing | doctor | download] URL ... [options]\n       holdfast run PROGRAM ...",
        description=f"commands:\n{listed}\n\nholdfast COMMAND --help says more.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"holdfast {__version__}")
    return parser


def _run_program(arguments: list[str]) -> int:
    try:
        module = import_module(".run", __package__)
    except ModuleNotFoundError as error:
        if error.name != f"{__package__}.run":
            raise
        _say("the command 'run' is not part of this installation")
        return codes.USAGE
    code = module.main(arguments)
    assert isinstance(code, int)
    return code


def _say(text: str) -> None:
    try:
        print(f"holdfast: {harmless(text)}", file=sys.stderr)
    except (OSError, ValueError):
        pass  # stderr is closed: the exit code says it too


def _forget_stdout() -> None:
    """The interpreter flushes stdout when it ends, and would complain about the broken pipe once more."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
    except (OSError, ValueError):
        pass  # stdout is no file here


def console() -> None:
    """The entry point ``holdfast``."""
    sys.exit(main())

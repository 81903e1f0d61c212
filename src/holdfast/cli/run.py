"""``python -m holdfast run program.py …``: an unchanged program, its urllib3 and httpx carried by holdfast.

The program runs in this process as ``__main__``, as it would under python itself: ``sys.argv``, ``sys.path[0]``, exit status,
traceback. Nothing is imported on its behalf: a library is injected at the moment the program has imported it. Processes that the
program starts are not reached.
"""

from __future__ import annotations

import atexit
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import io
import os
import signal
import sys
import threading
import types
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from .._numbers import number_of

USAGE = """\
usage: python -m holdfast run [--stats] [--drop-in] (program.py | -m module) [arguments]

Runs a program as python would, with the connections of urllib3 (requests, botocore, ...) and of httpx and httpx2 carried by
holdfast. What is asynchronous stays as it is, and so do processes that the program starts.

  --stats     at exit, say on stderr what the pools did
  --drop-in   "import requests" gives holdfast.requests
"""

ROADS = ("urllib3", "httpx", "httpx2")
"""Libraries for which there is a ``holdfast.contrib`` module with an ``inject()``."""

MAX_ORIGINS = 200  # that are counted by name


def main(arguments: list[str]) -> int:
    """Run the program that the arguments name.

    Returns:
        The exit status that the program would have had under python itself; what it raised has been printed. 2 if the arguments
        make no sense. After a KeyboardInterrupt the process ends by SIGINT when it exits.
    """
    options, rest = _options(arguments)
    if "--help" in options:
        print(USAGE, end="")
        return 0
    wrong = next((option for option in options if option not in ("--stats", "--drop-in")), None)
    if wrong is not None or not rest or rest == ["-m"]:
        complaint = f"no such option: {wrong}" if wrong else "say which program is to run"
        print(f"{USAGE}\n{complaint}", file=sys.stderr)
        return 2
    if "--stats" in options:
        _count_and_report()
    for name in ROADS:
        if name in sys.modules:  # by a .pth file or a sitecustomize
            inject(name)
    sys.meta_path.insert(0, _Injector([name for name in ROADS if name not in sys.modules]))
    try:
        if "--drop-in" in options:
            _drop_in()
    except (ImportError, AttributeError) as error:
        print(f"--drop-in: {error}", file=sys.stderr)
        return 2
    if rest[0] == "-m":
        return _as_main(lambda: _find_module(rest[1], rest[1:]))
    return _as_main(lambda: _find_program(rest[0], rest))


def _options(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Ours, up to the program, and the program with its own."""
    count = 0
    while count < len(arguments) and arguments[count].startswith("-") and arguments[count] != "-m":
        count += 1
    ours = ["--help" if option == "-h" else option for option in arguments[:count]]
    return ours, list(arguments[count:])


def _drop_in() -> None:
    requests: Any = importlib.import_module("holdfast.requests")
    requests.install()


# -- the program -------------------------------------------------------------------------------------------------------


def _find_program(path: str, argv: list[str]) -> tuple[types.ModuleType, Callable[[], Any]]:
    """The program at a path, and what compiles it. A directory or an archive has it as its ``__main__``."""
    sys.argv[:] = argv
    if os.path.isdir(path) or _is_archive(path):
        _set_first_path(os.path.abspath(path), always=True)
        return _find_spec("__main__", os.path.abspath(path))
    try:
        with io.open_code(os.path.abspath(path)) as file:
            source = file.read()
    except OSError as error:
        reason = f"[Errno {error.errno}] {error.strerror}"
        print(f"{sys.executable}: can't open file {os.path.abspath(path)!r}: {reason}", file=sys.stderr)
        raise SystemExit(2) from None
    _set_first_path(os.path.dirname(os.path.realpath(path)))
    module = types.ModuleType("__main__")
    module.__file__ = os.path.abspath(path)
    module.__loader__ = importlib.machinery.SourceFileLoader("__main__", module.__file__)
    module.__dict__["__cached__"] = None
    return module, lambda: compile(source, module.__dict__["__file__"], "exec", dont_inherit=True)


def _is_archive(path: str) -> bool:
    import zipimport

    try:
        zipimport.zipimporter(path)
    except zipimport.ZipImportError:
        return False
    return True


def _find_module(name: str, argv: list[str]) -> tuple[types.ModuleType, Callable[[], Any]]:
    """The module of that name, as ``python -m`` finds it: in the working directory first; of a package its ``__main__``."""
    sys.argv[:] = ["-m", *argv[1:]]
    return _find_spec(name, None)


def _find_spec(name: str, where: str | None) -> tuple[types.ModuleType, Callable[[], Any]]:
    spec = _spec(name, where)
    if spec is not None and spec.submodule_search_locations is not None:
        package, name = name, f"{name}.__main__"
        spec = _spec(name, where)
        if spec is None:
            _refuse(f"No module named {name}; {package!r} is a package and cannot be directly executed")
    loader: Any = None if spec is None else spec.loader
    if spec is None or not hasattr(loader, "get_code"):
        _refuse(f"can't find '__main__' module in {where!r}" if where else f"No module named {name}")
    module = types.ModuleType("__main__")
    module.__spec__ = spec
    module.__loader__ = loader
    module.__package__ = spec.parent
    module.__file__ = spec.origin
    module.__dict__["__cached__"] = spec.cached
    if where is None and spec.origin is not None:
        sys.argv[0] = spec.origin
    return module, lambda: loader.get_code(spec.name)


def _spec(name: str, where: str | None) -> Any:
    try:
        # Not find_spec() for "__main__": that is this module, by sys.modules.
        return importlib.machinery.PathFinder.find_spec(name, [where]) if where else importlib.util.find_spec(name)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        _refuse(f"Error while finding module specification for {name!r} ({type(error).__name__}: {error})")


def _refuse(complaint: str) -> Any:
    print(f"{sys.executable}: {complaint}", file=sys.stderr)
    raise SystemExit(1)


def _set_first_path(directory: str, *, always: bool = False) -> None:
    """``python -m`` has put the working directory there, with -P or -I nothing; then only an archive comes before the others."""
    if not (getattr(sys.flags, "safe_path", False) or sys.flags.isolated):
        sys.path[0] = directory
    elif always:
        sys.path.insert(0, directory)


def _as_main(find: Callable[[], tuple[types.ModuleType, Callable[[], Any]]]) -> int:
    """Run the code in a ``__main__`` of its own; the exit status that python would have ended with."""
    try:
        module, compiled = find()
        _replaced.append(sys.modules["__main__"])
        sys.modules["__main__"] = module
        if "__mp_main__" in sys.modules:  # multiprocessing's other name for it, if something has imported that before
            sys.modules["__mp_main__"] = module
        module.__dict__["__builtins__"] = __builtins__
        if sys.version_info < (3, 14):
            module.__annotations__ = {}
        exec(compiled(), module.__dict__)
        return 0
    except SystemExit as stop:
        return _status(stop.code)
    except BaseException as error:  # noqa: BLE001 - it is the program's, and is told as python tells it
        failure = error
    _tell(failure)  # out here: what a hook of the program's raises did not come about while this one was being handled
    if not isinstance(failure, KeyboardInterrupt):
        return 1
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # from the start, as behind a shell's &: python dies of it all the same
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.__dict__["_holdfast_ending"] = _Death(signal.SIGINT)  # the one module that is always emptied at the end
    return 128 + signal.SIGINT


_replaced: list[types.ModuleType] = []  # what was __main__: its functions are still running


def _status(code: Any) -> int:
    if code is None or isinstance(code, int):
        return code or 0
    print(code, file=sys.stderr)
    return 1


def _tell(error: BaseException) -> None:
    """Give the exception to whatever ``sys.excepthook`` is by now, its traceback beginning with the program's own first line."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename in _OWN_FILES:
        trace = trace.tb_next
    try:
        sys.excepthook(type(error), error.with_traceback(trace), trace)
    except BaseException as second:  # noqa: BLE001 - as python does
        print("Error in sys.excepthook:", file=sys.stderr)
        trace_of_hook = second.__traceback__ and second.__traceback__.tb_next
        sys.__excepthook__(type(second), second.with_traceback(trace_of_hook), trace_of_hook)
        print("\nOriginal exception was:", file=sys.stderr)
        sys.__excepthook__(type(error), error, trace)


_OWN_FILES = frozenset((__file__, "<frozen importlib._bootstrap>", "<frozen importlib._bootstrap_external>", "<frozen zipimport>"))


class _Death:
    """Ends this process by a signal when the interpreter takes its modules apart: behind all functions of ``atexit``, where python
    does so itself, and has put back what signals do. Who has started the process sees that it was interrupted, and does not go on.
    """

    def __init__(self, number: int) -> None:
        self._number = number

    def __del__(self, kill: Callable[[int, int], None] = os.kill, own: Callable[[], int] = os.getpid) -> None:
        kill(own(), self._number)  # pragma: no cover - coverage has written down by now what it has seen


# -- injecting ---------------------------------------------------------------------------------------------------------


class _Injector(importlib.abc.MetaPathFinder):
    """Calls ``holdfast.contrib.NAME.inject()`` when NAME has been imported. Finds nothing itself."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = set(names)

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> Any:
        # importlib has a lock for each name: one thread at a time asks for this one.
        if fullname not in self._names:
            return None
        self._names.discard(fullname)  # from here on importlib.util.find_spec() does not ask this finder again
        spec = importlib.util.find_spec(fullname)
        if spec is None or spec.loader is None:
            self._names.add(fullname)  # it may come to be importable later
            return None
        spec.loader = _Loader(spec.loader)
        return spec


class _Loader(importlib.abc.Loader):
    """The library's own loader, and then its injection."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: Any) -> Any:
        return self._loader.create_module(spec)

    def exec_module(self, module: types.ModuleType) -> None:
        assert module.__spec__ is not None, "importlib sets it before this"
        module.__loader__ = module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        inject(module.__name__)


def inject(name: str) -> None:
    """Carry that library's connections; if that is not possible, say so on stderr, and the program runs without."""
    try:
        importlib.import_module(f"holdfast.contrib.{name}").inject()
    except Exception as error:  # noqa: BLE001 - a library in a version we do not know is no reason not to run the program
        print(f"holdfast: {name} is left as it is: {type(error).__name__}: {error}", file=sys.stderr)


# -- what the pools did ------------------------------------------------------------------------------------------------


class Tally:
    """The events of every pool of the process, counted. ``note`` is called by any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._origins: set[str] = set()

    def note(self, event: Any) -> None:
        """Count one PoolEvent."""
        with self._lock:
            origin = event.origin if event.origin in self._origins or len(self._origins) < MAX_ORIGINS else "others"
            self._origins.add(origin)
            self._counts[origin, event.kind, event.reason] += 1

    def report(self, left: dict[str, dict[str, int]]) -> str:
        """What happened, per origin, and what was left to the libraries."""
        with self._lock:
            counts, origins = Counter(self._counts), sorted(self._origins)
        lines = ["holdfast: what the connections did"]
        if not any(kind in ("opened", "reused") for _, kind, _ in counts):
            lines.append("  no connection was opened")
        for origin in origins:
            lines += _lines_of(origin, counts)
        for library, reasons in left.items():
            lines += [f"  left to {library}: {number} x {reason}" for reason, number in reasons.items()]
        return "\n".join(lines)


def _lines_of(origin: str, counts: Counter[tuple[str, str, str]]) -> list[str]:
    def number(kind: str, reason: str | None = None) -> int:
        return sum(n for (o, k, r), n in counts.items() if (o, k) == (origin, kind) and reason in (None, r))

    opened, reused, resent, stale = number("opened"), number("reused"), number("resent"), number("closed", "stale")
    failed = sorted((r, n) for (o, k, r), n in counts.items() if (o, k) == (origin, "failed"))
    if not opened + reused + resent + len(failed) + number("exhausted"):
        return []
    share = reused / (opened + reused) if opened + reused else 0.0
    used_again = f"{number_of(reused, 'time')} one was used again ({share:.0%})"
    lines = [f"  {origin}", f"    {number_of(opened, 'connection')} opened, {used_again}"]
    lines += [f"    {number_of(n, 'connection')} could not be opened ({reason})" for reason, n in failed]
    reasons = sorted((r, n) for (o, k, r), n in counts.items() if (o, k) == (origin, "closed"))
    if reasons:
        lines.append("    closed: " + ", ".join(f"{n} {reason}" for reason, n in reasons))
    for reason, n in sorted((r, n) for (o, k, r), n in counts.items() if (o, k) == (origin, "resent")):
        lines.append(f"    sent again: {n} ({reason}); without that, they would have failed")
    if stale:
        noticed = number_of(stale, "connection that the server had closed was", "connections that the server had closed were")
        lines.append(f"    {noticed} noticed; a request sent on one would have failed")
    if waits := number("exhausted"):
        lines.append(f"    {number_of(waits, 'wait for a connection was', 'waits for a connection were')} in vain")
    if leaked := number("leaked"):
        lines.append(f"    {number_of(leaked, 'response was', 'responses were')} never read or closed")
    return lines


def _count_and_report() -> None:
    """Count the events of every pool that is made from now on; print them when the interpreter ends.

    ``atexit`` runs last what was registered first: what the program does at its own exit is counted.
    """
    from ..pool.pool import Pool

    tally = Tally()
    kind: Any = Pool
    make = kind.__init__

    def __init__(pool: Any, *args: Any, **kwargs: Any) -> None:
        make(pool, *args, **kwargs)
        pool.on_event(tally.note)

    kind.__init__ = __init__
    atexit.register(lambda: print(tally.report(_left()), file=sys.stderr, flush=True))


def _left() -> dict[str, dict[str, int]]:
    """By library, what was left to it and why."""
    found = {}
    for name in ROADS:
        road = sys.modules.get(f"holdfast.contrib.{name}")
        ask = getattr(road, f"left_to_{name}", None)
        if ask is not None and (reasons := ask()):
            found[name] = reasons
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""What is said where a library of one of the extras is missing: one sentence, with the exact command that installs it.

``holdfast-http`` is the distribution's name; ``pyproject.toml`` has its extras.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


def install(extra: str, *, upgrade: bool = False) -> str:
    """The command that installs an extra."""
    return f"pip install {'--upgrade ' if upgrade else ''}'holdfast-http[{extra}]'"


@contextmanager
def needed(what: str, library: str, extra: str, *, otherwise: str = "") -> Iterator[None]:
    """``with needed(...): import library``: an ImportError inside says what is missing, and how to get it.

    Args:
        what: what cannot do without the library; it begins the sentence.
        library: the module that is imported.
        extra: the extra that has it.
        otherwise: what helps as well.

    Raises:
        ModuleNotFoundError: the library, or one that it needs itself, is not installed; ``name`` says which.
        ImportError: it is installed, in a version that lacks what is asked for.
    """
    alternative = f", or {otherwise}" if otherwise else ""
    try:
        yield
    except ModuleNotFoundError as error:
        own = error.name is not None and error.name.partition(".")[0] == library
        fault = "is not installed" if own else f"needs {error.name}, which is not installed"
        message = f"{what} needs {library}, which {fault}: {install(extra)}{alternative}"
        raise ModuleNotFoundError(message, name=error.name, path=error.path) from error
    except ImportError as error:
        message = f"{what} needs another version of {library} ({error}): {install(extra, upgrade=True)}{alternative}"
        raise ImportError(message, name=error.name, path=error.path) from error

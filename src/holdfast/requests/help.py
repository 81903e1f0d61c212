"""``python -m holdfast.requests.help``: what a report of a fault should say of the installation."""

from __future__ import annotations

import json
import platform
import ssl
import sys
from importlib import import_module
from typing import Any

from .. import _version
from .__version__ import __version__

idna: Any
try:
    idna = import_module("idna")
except ImportError:
    idna = None

__all__ = ["info", "main"]


def info() -> dict[str, Any]:
    """Versions of the interpreter, the system and the libraries at work."""
    return {
        "platform": {"system": platform.system(), "release": platform.release()},
        "implementation": {"name": platform.python_implementation(), "version": platform.python_version()},
        "system_ssl": {"version": f"{ssl.OPENSSL_VERSION_NUMBER:x}"},
        "using_pyopenssl": False,
        "using_charset_normalizer": _version_of("chardet") == "",
        "pyOpenSSL": {"version": _version_of("OpenSSL"), "openssl_version": ""},
        "urllib3": {"version": _version_of("urllib3")},
        "chardet": {"version": _version_of("chardet") or None},
        "charset_normalizer": {"version": _version_of("charset_normalizer") or None},
        "cryptography": {"version": _version_of("cryptography")},
        "idna": {"version": getattr(idna, "__version__", "")},
        "requests": {"version": __version__},
        "holdfast": {"version": _version.__version__},
    }


def _version_of(module: str) -> str:
    return str(getattr(sys.modules.get(module), "__version__", ""))


def main() -> None:
    """Print ``info()`` as JSON."""
    print(json.dumps(info(), sort_keys=True, indent=2))


if __name__ == "__main__":
    main()

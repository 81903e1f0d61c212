"""``packages.urllib3.exceptions``: the warnings whose names scripts give to ``disable_warnings``."""

from __future__ import annotations


class HTTPWarning(Warning):
    """Base of urllib3's warnings."""


class InsecureRequestWarning(HTTPWarning):
    """In urllib3: a certificate is not verified, because it was told so."""

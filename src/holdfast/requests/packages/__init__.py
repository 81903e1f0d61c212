"""``packages`` as requests has it: the libraries that it came with once."""

from . import urllib3

__all__ = ["urllib3"]

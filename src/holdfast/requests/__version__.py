"""What ``requests`` says of itself, for programs that ask: the level of requests whose interface this package has.

The version of holdfast itself is ``holdfast.__version__``.
"""

from __future__ import annotations

__title__ = "requests"
__description__ = "requests' interface, carried by holdfast."
__url__ = "https://requests.readthedocs.io"
__version__ = "2.34.2"
__build__ = 0x023402
__author__ = "the authors of holdfast"
__author_email__ = ""
__license__ = "MIT"
__copyright__ = "the authors of holdfast"
__cake__ = "\u2728 \U0001f370 \u2728"

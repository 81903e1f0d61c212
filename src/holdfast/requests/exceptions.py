"""``exceptions`` as requests has it: the same classes as ``holdfast.exceptions``."""

from __future__ import annotations

from ..exceptions import *  # noqa: F403
from ..exceptions import __all__ as __all__

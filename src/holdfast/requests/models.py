"""``models`` as requests has it: what is said, under the name of the module that it is in there."""

from __future__ import annotations

from ..exceptions import *  # noqa: F403 - requests' own has them too
from ..message.request import PreparedRequest, Request
from ..message.response import REDIRECT_STATUSES as REDIRECT_STATI
from ..message.response import Response

__all__ = ["REDIRECT_STATI", "PreparedRequest", "Request", "Response"]

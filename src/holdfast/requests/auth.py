"""``auth`` as requests has it."""

from __future__ import annotations

from ..auth import AuthBase, BearerAuth, HTTPBasicAuth, HTTPDigestAuth, HTTPProxyAuth, netrc_auth

__all__ = ["AuthBase", "BearerAuth", "HTTPBasicAuth", "HTTPDigestAuth", "HTTPProxyAuth", "netrc_auth"]

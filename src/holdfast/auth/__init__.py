"""Authentication: Basic, Bearer, Digest, and the credentials in netrc.

A callable is an authentication too: it is given the ``PreparedRequest``, changes it, and returns it. No repr and no message
holds a password or a token.
"""

from .basic import AuthBase, BearerAuth, HTTPBasicAuth, HTTPProxyAuth
from .digest import HTTPDigestAuth
from .netrc import netrc_auth
from .proxy_digest import HTTPProxyDigestAuth

__all__ = ["AuthBase", "BearerAuth", "HTTPBasicAuth", "HTTPDigestAuth", "HTTPProxyAuth", "HTTPProxyDigestAuth", "netrc_auth"]

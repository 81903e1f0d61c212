"""holdfast under httpx2: ``httpx2.Client(transport=HoldfastTransport())`` (for httpx, ``holdfast.contrib.httpx``).

    import httpx2
    from holdfast.contrib.httpx2 import HoldfastTransport

    with httpx2.Client(transport=HoldfastTransport()) as client:
        client.post("https://api.example.com/orders", json={"item": 7})

    holdfast.contrib.httpx2.inject()   # or for every httpx2.HTTPTransport of the process

Above it, httpx2 works as it did: cookies, redirects, authentication, content codings, event hooks, mounts, exceptions. Below it,
a connection is found stale before it is used, and a request that was provably not delivered is sent again whatever its method.
"""

from __future__ import annotations

from typing import Any, ClassVar

from .._extras import needed
from ._httpx import HoldfastTransportBase, ResponseStream
from ._httpx_inject import Injection

with needed(__name__, "httpx2", "httpx2"):
    import httpx2

__all__ = ["HoldfastTransport", "eject", "inject", "injected", "left_to_httpx2"]


class _Stream(ResponseStream, httpx2.SyncByteStream):
    """The body of a response."""


class HoldfastTransport(HoldfastTransportBase, httpx2.BaseTransport):
    """A transport for ``httpx2.Client``, over holdfast's connections. Synchronous; HTTP/1.1. Any number of threads may share it.

    httpx2 ignores its Client's ``verify``, ``cert``, ``limits``, ``proxy`` and the environment's proxies once a transport is given:
    they are said here. The positional parameters are those of ``httpx2.HTTPTransport``, in its order.

    Args:
        verify: True (whom httpx2 trusts: the system, or SSL_CERT_FILE and SSL_CERT_DIR), False, the path of a CA file or
            directory, or an ssl.SSLContext. Default True.
        cert: client certificate: a PEM path, or (certificate, key[, password]).
        trust_env: use the environment's proxies, unless ``proxy`` or ``proxies`` is given, and its authorities. Default True.
        http1: accepted for httpx2's sake; only True makes sense.
        http2: accepted for httpx2's sake; only False makes sense.
        limits: ``httpx2.Limits`` or ``holdfast.Limits``. Default httpx2's own: 100 connections, 20 of them idle, for 5 s.
        proxy: for all requests: a URL or an ``httpx2.Proxy``, of a kind that holdfast speaks to.
        uds: path of a Unix-domain socket to connect to.
        local_address: the local address to connect from.
        retries: how many more times to try to connect, as in httpx2; or ``holdfast.Retries``. Default 0. What was provably not
            delivered is sent again without it.
        socket_options: (level, name, value) of options to set besides TCP_NODELAY and keepalive probes.
        proxies: URLs of proxies by ``scheme://host``, ``scheme`` (``scheme://`` too), ``all``.
        client: a ``holdfast.Client`` whose connections and settings are used instead; its owner closes it.

    Raises:
        ValueError: an argument cannot be obeyed.
        OSError: a path does not exist.
    """

    library: ClassVar[Any] = httpx2
    stream_class = _Stream


_injection = Injection(httpx2, HoldfastTransport)


def inject() -> None:
    """From now on every ``httpx2.HTTPTransport`` that is made, as each ``httpx2.Client`` makes one, goes over holdfast. Idempotent.

    Clients made before keep their transports. What a HoldfastTransport would refuse (http2=True, proxies of other kinds, an
    ``Upgrade``, ``extensions["trace"]``), and all that is asynchronous, is left to httpx2; ``left_to_httpx2()`` counts it.
    """
    _injection.inject()


def eject() -> None:
    """Leave httpx2 as it was. Responses that are being read end in peace; idle connections are closed. Idempotent."""
    _injection.eject()


def injected() -> bool:
    """Whether new transports go over holdfast just now."""
    return _injection.active


def left_to_httpx2() -> dict[str, int]:
    """How many transports, or requests, were left to httpx2 since the first ``inject()``, by reason."""
    return _injection.left_out()

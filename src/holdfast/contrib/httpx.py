"""holdfast under httpx: ``httpx.Client(transport=HoldfastTransport())`` (for httpx2, ``holdfast.contrib.httpx2``).

    import httpx
    from holdfast.contrib.httpx import HoldfastTransport

    with httpx.Client(transport=HoldfastTransport()) as client:
        client.post("https://api.example.com/orders", json={"item": 7})

    holdfast.contrib.httpx.inject()   # or for every httpx.HTTPTransport of the process

Above it, httpx works as it did: cookies, redirects, authentication, content codings, event hooks, mounts, exceptions. Below it,
a connection is found stale before it is used, and a request that was provably not delivered is sent again whatever its method.
"""

from __future__ import annotations

from typing import Any, ClassVar

from .._extras import needed
from ._httpx import HoldfastTransportBase, ResponseStream
from ._httpx_inject import Injection

with needed(__name__, "httpx", "httpx"):
    import httpx

__all__ = ["HoldfastTransport", "eject", "inject", "injected", "left_to_httpx"]


class _Stream(ResponseStream, httpx.SyncByteStream):
    """The body of a response."""


class HoldfastTransport(HoldfastTransportBase, httpx.BaseTransport):
    """A transport for ``httpx.Client``, over holdfast's connections. Synchronous; HTTP/1.1. Any number of threads may share it.

    httpx ignores its Client's ``verify``, ``cert``, ``limits``, ``proxy`` and the environment's proxies once a transport is given:
    they are said here. The positional parameters are those of ``httpx.HTTPTransport``, in its order.

    Args:
        verify: True (whom httpx trusts: certifi's authorities, or SSL_CERT_FILE and SSL_CERT_DIR), False, the path of a CA file or
            directory, or an ssl.SSLContext. Default True.
        cert: client certificate: a PEM path, or (certificate, key[, password]).
        trust_env: use the environment's proxies, unless ``proxy`` or ``proxies`` is given, and its authorities. Default True.
        http1: accepted for httpx's sake; only True makes sense.
        http2: accepted for httpx's sake; only False makes sense.
        limits: ``httpx.Limits`` or ``holdfast.Limits``. Default httpx's own: 100 connections, 20 of them idle, for 5 s.
        proxy: for all requests: a URL or an ``httpx.Proxy``, of a kind that holdfast speaks to.
        uds: path of a Unix-domain socket to connect to.
        local_address: the local address to connect from.
        retries: how many more times to try to connect, as in httpx; or ``holdfast.Retries``. Default 0. What was provably not
            delivered is sent again without it.
        socket_options: (level, name, value) of options to set besides TCP_NODELAY and keepalive probes.
        proxies: URLs of proxies by ``scheme://host``, ``scheme`` (``scheme://`` too), ``all``.
        client: a ``holdfast.Client`` whose connections and settings are used instead; its owner closes it.

    Raises:
        ValueError: an argument cannot be obeyed.
        OSError: a path does not exist.
    """

    library: ClassVar[Any] = httpx
    stream_class = _Stream


_injection = Injection(httpx, HoldfastTransport)


def inject() -> None:
    """From now on every ``httpx.HTTPTransport`` that is made, as each ``httpx.Client`` makes one, goes over holdfast. Idempotent.

    Clients made before keep their transports. What a HoldfastTransport would refuse (http2=True, proxies of other kinds, an
    ``Upgrade``, ``extensions["trace"]``), and all that is asynchronous, is left to httpx; ``left_to_httpx()`` counts it.
    """
    _injection.inject()


def eject() -> None:
    """Leave httpx as it was. Responses that are being read end in peace; idle connections are closed. Idempotent."""
    _injection.eject()


def injected() -> bool:
    """Whether new transports go over holdfast just now."""
    return _injection.active


def left_to_httpx() -> dict[str, int]:
    """How many transports, or requests, were left to httpx since the first ``inject()``, by reason."""
    return _injection.left_out()

"""Addresses: the one that is about to be dialled, as a guard is shown it, and which addresses are those of the public internet.

``public_addresses_only`` follows the registries of IANA for IPv4 and IPv6 special-purpose addresses, as the ``ipaddress`` module of
this Python has them, and ``_NOT_PUBLIC`` for what some versions of it lack.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_NOT_PUBLIC = tuple(
    ipaddress.ip_network(network)
    for network in (
        "192.0.0.0/24",  # IETF protocol assignments, the addresses of NAT64 and DS-Lite among them
        "192.88.99.0/24",  # 6to4 relays, which are no more: RFC 7526
        "2001::/23",  # IETF protocol assignments: Teredo, benchmarking, ORCHID
        "3fff::/20",  # documentation: RFC 9637
    )
)
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


@dataclass(frozen=True)
class DialAddress:
    """An address that is about to be dialled, or that a proxy is about to be asked for.

    Attributes:
        ip: the address itself, an ``ipaddress.IPv4Address`` or ``IPv6Address``.
        port: the port.
        host: the name that it was found for, or the address as the URL writes it.
        is_proxy: whether it is that of a proxy, and ``host`` the proxy's.
    """

    ip: IpAddress
    port: int
    host: str
    is_proxy: bool = False


def public_addresses_only(address: DialAddress) -> bool:
    """Whether an address is one of the public internet: a guard for ``Client(allow_address=...)`` (SSRF).

    False for loopback, private, shared (RFC 6598), link-local (where clouds have their metadata), multicast, reserved,
    documentation and unspecified addresses. Where an IPv6 address stands for an IPv4 one (IPv4-mapped, 6to4, NAT64), the IPv4
    address counts.

    Proxies are no exception. For one in the private network:
    ``lambda address: address.is_proxy or public_addresses_only(address)``.
    """
    return _is_public(address.ip)


def _is_public(ip: IpAddress) -> bool:
    if isinstance(ip, ipaddress.IPv6Address):
        inner = _embedded(ip)
        if inner is not None:
            return _is_public(inner)
        if ip not in _GLOBAL_UNICAST:
            return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or any(ip in network for network in _NOT_PUBLIC))


def _embedded(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address to which packets for this one go: RFC 4291 section 2.5.5.2, RFC 3056, RFC 6052."""
    if ip in _NAT64:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour

"""Which addresses are those of the public internet."""

from __future__ import annotations

import ipaddress

import pytest

from holdfast import DialAddress, public_addresses_only

PUBLIC = ["1.1.1.1", "93.184.215.14", "192.0.1.1", "223.255.255.254", "2606:4700::1111", "2a00:1450:4001:80b::200e", "2400:cb00::1"]
PUBLIC += ["::ffff:1.1.1.1", "2002:0101:0101::1", "64:ff9b::1.1.1.1"]

NOT = {
    "loopback": ["127.0.0.1", "127.255.255.254", "::1"],
    "unspecified": ["0.0.0.0", "0.1.2.3", "::"],
    "private": ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fc00::1", "fd00:ec2::254"],
    "shared": ["100.64.0.1", "100.100.100.200"],
    "link-local": ["169.254.169.254", "fe80::1", "fe80::1%2"],
    "site-local": ["fec0::1"],
    "multicast": ["224.0.0.1", "224.0.1.1", "239.255.255.250", "ff02::1", "ff0e::1"],
    "reserved": ["240.0.0.1", "255.255.255.255", "4000::1", "200::1", "5f00::1", "100::1"],
    "protocol assignments": ["192.0.0.1", "192.0.0.170", "192.88.99.1", "2001::1", "2001:2::1", "2001:10::1"],
    "documentation and benchmarking": ["192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1", "2001:db8::1", "3fff::1"],
    "IPv4-mapped": ["::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254"],
    "IPv4-compatible": ["::127.0.0.1", "::1.1.1.1"],
    "6to4": ["2002:7f00:1::", "2002:a00:1::1", "2002:a9fe:a9fe::1"],
    "NAT64": ["64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1.1.1.1"],
    "Teredo": ["2001:0:4136:e378:8000:63bf:3fff:fdd2"],
}


def is_public(text: str) -> bool:
    return public_addresses_only(DialAddress(ipaddress.ip_address(text), 80, "a.test"))


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses_are_allowed(text: str) -> None:
    assert is_public(text)


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in NOT.items() for text in texts])
def test_all_others_are_not(kind: str, text: str) -> None:
    assert not is_public(text), kind


def test_a_proxy_is_no_exception() -> None:
    assert not public_addresses_only(DialAddress(ipaddress.ip_address("10.0.0.1"), 3128, "proxy.test", is_proxy=True))

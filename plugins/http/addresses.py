"""The sorts of IP addresses that are not reached by accident. Pure."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address

METADATA_NAME = "metadata.google.internal"

_METADATA = frozenset(map(ip_address, ("fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192")))
"""Where clouds answer with credentials of the machine, beside link-local addresses."""
_THIS_NETWORK = ip_network("0.0.0.0/8")
_BROADCAST = ip_address("255.255.255.255")
_HOLDS_IPV4 = (IPv6Network("::/96"), IPv6Network("64:ff9b::/96"))
"""IPv4-compatible addresses and NAT64: the last 32 bits are an IPv4 address."""


def parse_address(text: str) -> Address:
    """Return an address as a resolver gives it, without its scope; the IPv4 address where an IPv6 one stands for it."""
    return plain(ip_address(text.partition("%")[0]))


def plain(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address stands for, else the address."""
    if isinstance(address, IPv4Address):
        return address
    inside = address.ipv4_mapped or address.sixtofour
    if inside is None and any(address in network for network in _HOLDS_IPV4) and int(address) > 1:
        inside = IPv4Address(int(address) & 0xFFFF_FFFF)
    return inside or address


def sort_of(address: Address) -> str | None:
    """Return what is special about a :func:`plain` address, None for nothing: any network's, private ones too."""
    if address.is_loopback:
        return "loopback"
    if address.is_unspecified or address in _THIS_NETWORK:
        return "unspecified"
    if address.is_link_local:
        return "link-local"
    if address in _METADATA:
        return "a metadata service"
    if address.is_multicast or address == _BROADCAST:
        return "multicast"
    return None

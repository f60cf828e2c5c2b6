"""Which addresses may be connected to: the deny list, and what an owner allows in spite of it.

An IPv6 address that carries an IPv4 address is judged twice: as itself and by what it carries.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

DENIED_V4: tuple[tuple[IPv4Network, str], ...] = tuple(
    (IPv4Network(network), why)
    for network, why in (
        ("0.0.0.0/8", "this network (RFC 1122, 3.2.1.3)"),  # Linux takes 0.0.0.0 for loopback.
        ("10.0.0.0/8", "private (RFC 1918)"),
        ("100.64.0.0/10", "shared by a provider's customers (RFC 6598)"),
        ("127.0.0.0/8", "loopback (RFC 1122, 3.2.1.3)"),
        # Public by its number, yet it answers inside every machine at Azure: metadata and certificates.
        ("168.63.129.16/32", "the host of an Azure machine"),
        ("169.254.0.0/16", "link-local (RFC 3927)"),
        ("172.16.0.0/12", "private (RFC 1918)"),
        ("192.0.0.0/24", "protocol assignments (RFC 6890)"),
        ("192.0.2.0/24", "documentation (RFC 5737)"),
        ("192.31.196.0/24", "AS112 (RFC 7535)"),
        ("192.52.193.0/24", "AMT relays (RFC 7450)"),
        ("192.88.99.0/24", "6to4 relays (RFC 7526)"),
        ("192.168.0.0/16", "private (RFC 1918)"),
        ("192.175.48.0/24", "AS112 (RFC 7534)"),
        ("198.18.0.0/15", "benchmarks (RFC 2544)"),
        ("198.51.100.0/24", "documentation (RFC 5737)"),
        ("203.0.113.0/24", "documentation (RFC 5737)"),
        ("224.0.0.0/4", "multicast (RFC 5771)"),
        ("240.0.0.0/4", "reserved, class E (RFC 1112, 4) or broadcast (RFC 919)"),
    )
)
DENIED_V6: tuple[tuple[IPv6Network, str], ...] = tuple(
    (IPv6Network(network), why)
    for network, why in (
        ("::/128", "unspecified (RFC 4291, 2.5.2)"),
        ("::1/128", "loopback (RFC 4291, 2.5.3)"),
        ("::/96", "IPv4-compatible (RFC 4291, 2.5.5.1)"),
        ("::ffff:0:0:0/96", "IPv4-translated (RFC 2765, 2.1)"),
        ("64:ff9b::/96", "NAT64 (RFC 6052)"),
        ("64:ff9b:1::/48", "local NAT64 (RFC 8215)"),
        ("100::/64", "discard (RFC 6666)"),
        ("100:0:0:1::/64", "dummy prefix (RFC 9780)"),
        ("2001::/32", "Teredo (RFC 4380)"),
        ("2001::/23", "protocol assignments (RFC 2928)"),
        ("2001:db8::/32", "documentation (RFC 3849)"),
        ("2002::/16", "6to4 (RFC 3056)"),
        ("2620:4f:8000::/48", "AS112 (RFC 7534)"),
        ("3ffe::/16", "6bone, given back (RFC 3701)"),
        ("3fff::/20", "documentation (RFC 9637)"),
        ("5f00::/16", "segment routing, SRv6 (RFC 9602)"),
        ("fc00::/7", "private, ULA (RFC 4193)"),
        ("fe80::/10", "link-local (RFC 4291, 2.5.6)"),
        ("fec0::/10", "site-local (RFC 3879)"),
        ("ff00::/8", "multicast (RFC 4291, 2.7)"),
    )
)
# Nothing outside has been given out as an address of one machine in the Internet (RFC 4291, 2.4).
_GLOBAL = IPv6Network("2000::/3")
_NOT_GIVEN_OUT = "not given out (RFC 4291, 2.4)"

_MAPPED = IPv6Network("::ffff:0:0/96")
# Where the IPv4 address stands within the IPv6 one, counted in bits from its right end.
_CARRIES: tuple[tuple[IPv6Network, int], ...] = (
    (IPv6Network("::/96"), 0),
    (IPv6Network("::ffff:0:0:0/96"), 0),
    (IPv6Network("64:ff9b::/96"), 0),
    (IPv6Network("2002::/16"), 80),
)
_TEREDO = IPv6Network("2001::/32")
# The interface part of ISATAP (RFC 5214, 6.1), the group bits aside.
_ISATAP, _ISATAP_MASK = 0x00005EFE, 0xFCFFFFFF


def allowed(address: str | Address, allow: Sequence[Network] = ()) -> bool:
    """Tell whether this address may be connected to; `allow` wins over the deny list."""
    return not refusal(address, allow)


def refusal(address: str | Address, allow: Sequence[Network] = ()) -> str:
    """Say in a few words what the address is that it must not be connected to; "" if it may be.

    Text that is no address is refused as well. A zone, as in fe80::1%eth0, changes nothing.
    """
    if isinstance(address, str):
        try:
            address = ip_address(address.partition("%")[0])
        except ValueError:
            return "not an address"
    if isinstance(address, IPv4Address):
        return _refusal_v4(address, allow)
    if address in _MAPPED:
        # Systems connect to what it carries: in IPv4 there is nothing else to judge.
        return _refusal_v4(IPv4Address(int(address) & 0xFFFFFFFF), allow)
    for carried in _carried(address):
        # A NAT64 prefix that is allowed opens the way to the Internet, not to what is private behind it.
        if why := _refusal_v4(carried, allow):
            return f"{carried}, {why}"
    if _within(address, allow):
        return ""
    for network, why in DENIED_V6:
        if address in network:
            return why
    return "" if address in _GLOBAL else _NOT_GIVEN_OUT


def _refusal_v4(address: IPv4Address, allow: Sequence[Network]) -> str:
    if _within(address, allow):
        return ""
    for network, why in DENIED_V4:
        if address in network:
            return why
    return ""


def _within(address: Address, allow: Sequence[Network]) -> bool:
    for network in allow:
        if address.version == network.version:
            if address in network:
                return True
        # An owner may also have written the network in its mapped form.
        elif isinstance(address, IPv4Address) and IPv6Address((0xFFFF << 32) | int(address)) in network:
            return True
    return False


def _carried(address: IPv6Address) -> list[IPv4Address]:
    """The IPv4 addresses within; loopback and unspecified carry none."""
    number = int(address)
    if number <= 1:
        return []
    found = [IPv4Address((number >> shift) & 0xFFFFFFFF) for network, shift in _CARRIES if address in network]
    if address in _TEREDO:
        # The server, and the client with its bits turned (RFC 4380, 4).
        found += [IPv4Address((number >> 64) & 0xFFFFFFFF), IPv4Address(~number & 0xFFFFFFFF)]
    if (number >> 32) & _ISATAP_MASK == _ISATAP:
        found.append(IPv4Address(number & 0xFFFFFFFF))
    return found

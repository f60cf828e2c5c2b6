"""The deny list, address by address, and what an owner allows in spite of it."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidings.outbound.addresses import DENIED_V4, DENIED_V6, allowed, refusal

# First and last of each range that is denied.
DENIED = (
    ("0.0.0.0", "0.255.255.255"),
    ("10.0.0.0", "10.255.255.255"),
    ("100.64.0.0", "100.127.255.255"),
    ("127.0.0.0", "127.255.255.255"),
    ("168.63.129.16", "168.63.129.16"),
    ("169.254.0.0", "169.254.255.255"),
    ("172.16.0.0", "172.31.255.255"),
    ("192.0.0.0", "192.0.0.255"),
    ("192.0.2.0", "192.0.2.255"),
    ("192.31.196.0", "192.31.196.255"),
    ("192.52.193.0", "192.52.193.255"),
    ("192.88.99.0", "192.88.99.255"),
    ("192.168.0.0", "192.168.255.255"),
    ("192.175.48.0", "192.175.48.255"),
    ("198.18.0.0", "198.19.255.255"),
    ("198.51.100.0", "198.51.100.255"),
    ("203.0.113.0", "203.0.113.255"),
    ("224.0.0.0", "255.255.255.255"),
    ("::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("64:ff9b::", "64:ff9b::ffff:ffff"),
    ("64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff"),
    ("100::", "100::ffff:ffff:ffff:ffff"),
    ("2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("2620:4f:8000::", "2620:4f:8000:ffff:ffff:ffff:ffff:ffff"),
    ("3ffe::", "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("4000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("fe80::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("ff00::", "ff0e::1"),
)
PUBLIC = (
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255",
    "128.0.0.0", "168.63.129.15", "168.63.129.17", "169.253.255.255", "169.255.0.0", "172.15.255.255",
    "172.32.0.0", "191.255.255.255", "192.0.1.0", "192.0.3.0", "192.88.98.255", "192.88.100.0",
    "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "198.51.99.255", "203.0.114.0",
    "223.255.255.255", "2001:200::", "2001:4860:4860::8888", "2606:4700::1111", "2003::", "2620:4f:7fff::",
    "2a00::1", "3ffd:ffff::", "::ffff:8.8.8.8", "2606:4700::5efe:808:808",
)  # fmt: skip


@pytest.mark.parametrize(("first", "last"), DENIED)
def test_every_range_is_denied_from_its_first_address_to_its_last(first: str, last: str) -> None:
    low, high = int(ip_address(first)), int(ip_address(last))
    kind = type(ip_address(first))
    # The mapped form of a public address is public: it lies within the first range of IPv6.
    for number in {low, high, (low + high) // 2, min(low + 1, high)}:
        assert refusal(kind(number)), kind(number)


@pytest.mark.parametrize("address", PUBLIC)
def test_the_internet_is_allowed(address: str) -> None:
    assert refusal(address) == ""


@pytest.mark.parametrize(
    "text", ("", "localhost", "127.1", "0x7f.0.0.1", "0177.0.0.1", "2130706433", "1.2.3.4.5", "[::1]")
)
def test_what_is_no_address_is_denied(text: str) -> None:
    assert refusal(text) == "not an address"


def test_a_zone_changes_nothing() -> None:
    assert "link-local" in refusal("fe80::1%eth0")
    assert "loopback" in refusal("::1%1")


@given(st.ip_addresses())
def test_what_the_registries_call_private_is_denied(address: IPv4Address | IPv6Address) -> None:
    if not address.is_global or address.is_multicast or address.is_reserved:
        carried = getattr(address, "ipv4_mapped", None)
        assert not allowed(address) or (carried is not None and allowed(carried))


@given(st.ip_addresses(v=4))
def test_an_address_carried_by_another_is_judged_as_itself(address: IPv4Address) -> None:
    number = int(address)
    mapped = IPv6Address((0xFFFF << 32) | number)
    assert refusal(mapped) == refusal(address)
    isatap = IPv6Address((0x2606_4700 << 96) | (0x5EFE << 32) | number)
    assert allowed(isatap) == allowed(address)
    everything = [ip_network("::/0")]
    for carrier in (
        IPv6Address(number) if number > 1 else mapped,
        IPv6Address((0x64_FF9B << 96) | number),
        IPv6Address((0x2002 << 112) | (number << 80)),
        IPv6Address((0x2001 << 112) | (number << 64) | 0xF7F7_F7F7),
        IPv6Address((0x2001 << 112) | (0x0808_0808 << 64) | (number ^ 0xFFFF_FFFF)),
    ):
        assert not allowed(carrier)
        assert allowed(carrier, [*everything, ip_network("0.0.0.0/0")])


def test_an_allowed_network_wins_also_in_the_mapped_form() -> None:
    allow = [ip_network("10.1.0.0/16"), ip_network("fd00:1::/32")]
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "fd00:1::1"):
        assert allowed(address, allow), address
    for address in ("10.2.0.1", "::ffff:10.2.0.1", "fd00:2::1", "127.0.0.1", "::1", "64:ff9b::a01:203"):
        assert not allowed(address, allow), address


def test_a_network_written_in_its_mapped_form_is_understood() -> None:
    allow = [ip_network("::ffff:10.1.0.0/112")]
    assert allowed("10.1.2.3", allow)
    assert not allowed("10.2.2.3", allow)


def test_an_allowed_translator_leads_to_the_internet_and_not_inside() -> None:
    allow = [ip_network("64:ff9b::/96")]
    assert allowed("64:ff9b::8.8.8.8", allow)
    assert not allowed("64:ff9b::10.0.0.1", allow)
    assert allowed("64:ff9b::10.0.0.1", [*allow, ip_network("10.0.0.0/8")])


def test_every_denied_range_says_what_it_is() -> None:
    for network, why in (*DENIED_V4, *DENIED_V6):
        assert why
        assert not allowed(network.network_address)
        assert not allowed(network.broadcast_address)

"""What may be asked for: an http or https URL of a host, without a name or password in it.

These checks say early and in plain words what is wrong. The gate is not here but where the
socket is made (`client`), so that no way to write an address leads past it.
"""

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

from yarl import URL

from tidings.outbound.addresses import Network, refusal

# Longer than any address of a webhook met so far (signed ones of Azure have some 300 octets).
URL_MAX = 2_048
# A name in the DNS (RFC 1035, 2.3.4), without the dot at its end.
HOST_MAX = 253

# The "bad ports" of the Fetch standard (3.10): what listens there speaks another protocol, and some
# of them would take lines of an HTTP request for commands. 0 is no port.
BAD_PORTS = frozenset(
    (
        0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102,
        103, 104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465,
        512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993,
        995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668,
        6669, 6679, 6697, 10080,
    )
)  # fmt: skip

# Scheme, authority, rest. Control characters, spaces and backslashes are in no part: parsers differ there.
_URL = re.compile(r"(https?)://([^/?#]+)([/?#].*)?", re.IGNORECASE | re.DOTALL)
_ODD = re.compile(r"[\x00-\x20\x7f-\xa0\\<>\"^`{|}\u2028\u2029]")
# A label has at most 63 octets; the underscore is in no host name, yet in some networks' names.
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
# What "ends in a number" is an IPv4 address or nothing (URL standard, 3.5): 127.1, 0x7f000001, 017700000001.
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")


class Refused(OSError):
    """This URL is not asked for; the message says why, in words for the owner of the webhook."""


def checked(url: str, allow: Sequence[Network] = ()) -> URL:
    """Return what to ask for; raise `Refused` for what is malformed or leads inside.

    A host given by name is not looked up here: the name is judged by its addresses when it is connected to.
    """
    if len(url) > URL_MAX:
        raise Refused(f"the address is longer than {URL_MAX:,} characters")
    if _ODD.search(url):
        raise Refused("the address holds a space or another character that must be percent-encoded")
    parts = _URL.fullmatch(url)
    if parts is None:
        raise Refused("the address must begin with http:// or https:// and name a host")
    if "@" in parts[2]:
        raise Refused("the address must hold no user name or password")
    try:
        # Plain ASCII goes out as it was written: a signature in it may cover every octet.
        target = URL(url, encoded=url.isascii())
        host, port = target.raw_host or "", target.port
    except ValueError as problem:
        raise Refused("the address is malformed") from problem
    _check_host(host, allow)
    if port is None or port in BAD_PORTS or port > 65_535:
        raise Refused(f"port {port} is not one for HTTP")
    return target


def _check_host(host: str, allow: Sequence[Network]) -> None:
    literal = _literal(host)
    if literal is not None:
        if why := refusal(literal, allow):
            raise Refused(f"{literal} is not reached: {why}")
        return
    host = host.removesuffix(".")
    labels = host.split(".")
    if len(host) > HOST_MAX or not all(_LABEL.fullmatch(label) for label in labels):
        raise Refused("the address names no valid host")
    if _NUMBER.fullmatch(labels[-1]):
        raise Refused("the host must be a name or an address in its usual form, such as 198.51.100.7")


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    """The host as an address if it is one in canonical form; None otherwise."""
    try:
        return ip_address(host)
    except ValueError:
        return None

"""Which hits no person made, as far as the request itself tells.

Pure. Never one weak sign alone: Gmail's image proxy is the only trace of a Gmail reader and
counts as one, and Outlook's own agents are people's. What needs the database (how soon
after the hand-over, how many links at once) is judged in `tracking.record`.
"""

import re
from ipaddress import IPv4Address, IPv4Network, ip_address
from typing import Final

import msgspec

HEAD: Final = "head"
AGENT: Final = "agent"
PREFETCH: Final = "prefetch"
PROXY: Final = "proxy"
GATEWAY: Final = "gateway"
# These three are found with the database.
EARLY: Final = "early"
BURST: Final = "burst"
HONEY: Final = "honey"
REASONS: Final = (HEAD, AGENT, PREFETCH, PROXY, GATEWAY, EARLY, BURST, HONEY)

# Programs and libraries, by what they call themselves. CUBOT makes telephones.
_TOOL: Final = re.compile(
    r"\b(?:curl|wget|python|aiohttp|httpx|urllib|go-http-client|okhttp|java|libwww|lwp|axios|node-fetch|undici"
    r"|got|ruby|faraday|php|guzzlehttp|perl|winhttp|powershell|httpclient|postman\w*|scrapy|phantomjs|puppeteer"
    r"|playwright|headless\w*|urlscan|virustotal|nessus|zgrab|masscan)\b"
    r"|(?<!cu)bot\b|crawler|spider|scanner|facebookexternalhit|headlesschrome|linkcheck",
    re.IGNORECASE,
)
_BARE: Final = "Mozilla/5.0"
_APPLE: Final = IPv4Network("17.0.0.0/8")
# Networks that belong to mail gateways alone: Barracuda, Mimecast, Proofpoint, Symantec.
_GATEWAYS: Final = tuple(
    IPv4Network(network)
    for network in (
        "64.235.144.0/20", "209.222.80.0/21",
        "91.220.42.0/24", "146.101.78.0/24", "185.58.84.0/22", "195.130.217.0/24", "205.139.110.0/23",
        "207.211.30.0/24",
        "67.231.144.0/20", "148.163.128.0/19", "185.132.180.0/22", "185.183.28.0/22", "205.220.160.0/19",
        "67.219.240.0/20", "85.158.136.0/21", "193.109.254.0/23", "194.106.220.0/23", "195.245.230.0/23",
        "216.82.240.0/20",
    )
)  # fmt: skip
_BLOCKS: Final = frozenset(
    (network.network_address.packed[0] << 8) | network.network_address.packed[1] for network in _GATEWAYS
)


class Facts(msgspec.Struct, frozen=True):
    """What a request says: its method, `User-Agent`, `Sec-Purpose` or `Purpose`, and who asks."""

    method: str
    agent: str
    purpose: str = ""
    address: str = ""


def reason(facts: Facts) -> str | None:
    """Return why no person made this request, one of REASONS; None when nothing says so."""
    if facts.method == "HEAD":
        return HEAD
    purpose = facts.purpose.lower()
    if "prefetch" in purpose or "preview" in purpose or "prerender" in purpose:
        return PREFETCH
    agent = facts.agent.strip()
    address = _ipv4(facts.address)
    if agent == _BARE:
        # Apple's proxy fetches every picture at delivery, read or not; no browser says so little.
        return PROXY if address is not None and address in _APPLE else AGENT
    if not agent or _TOOL.search(agent):
        return AGENT
    return GATEWAY if address is not None and _of_gateway(address) else None


def _of_gateway(address: IPv4Address) -> bool:
    # Nearly every address is told apart by its first 16 bits or less: networks are at least a /16's part.
    first, second = address.packed[:2]
    return (first << 8) | second in _BLOCKS and any(address in network for network in _GATEWAYS)


def _ipv4(text: str) -> IPv4Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return address
    return address.ipv4_mapped

"""Lines of log: one for each request, one for each crash, as JSON, without secrets.

Parameter values, tokens in paths, mail addresses and full client addresses never come here in clear:
what may be shown is listed, the rest becomes `*`.
"""

import logging
import re
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from time import gmtime, strftime, time
from traceback import extract_tb
from typing import Final

import msgspec

# Length of a path and number of parameters in a line, which so stays under 2 KiB.
PATH_MAX: Final = 200
PAIRS_MAX: Final = 20
# Causes of an exception that are told; chains of retries are longer and repeat themselves.
CAUSES_MAX: Final = 5
# An IPv6 address in brackets with a port; anything longer is no address.
ADDRESS_MAX: Final = 64

_TOKEN_PATH: Final = re.compile(r"(/(?:sign-in|confirm|unsubscribe)/).+", re.IGNORECASE | re.DOTALL)
# A segment with an address, a query that was glued on, or something escaped twice.
_TELLING_SEGMENT: Final = re.compile(r"[^/]*[@=%][^/]*")
_PLAIN_KEY: Final = re.compile(r"[a-z_]{1,40}(?:\[[a-z_]{0,40}\]){0,8}")
_PLAIN_VALUE: Final = re.compile(r"[A-Za-z0-9_.:-]{0,32}")
_SHOWN_KEYS: Final = frozenset(
    {"page", "sort_order", "sort_field", "from", "to", "updated_from", "updated_to", "subscriber_state"}
)
_encode_json = msgspec.json.Encoder().encode


def log_request(
    log: logging.Logger,
    *,
    request_id: str,
    method: str,
    path: str,
    query: bytes,
    status: int,
    seconds: float,
    client: str,
    shown_as: Callable[[str], str] | None = None,
) -> None:
    """Write one request as a line of JSON at INFO, without tokens, addresses or parameter values.

    Takes 6 µs with a handler that writes nowhere: only path and query can need escaping, so only they pass
    the encoder, and the record is made without a search for the calling line.
    """
    if not log.isEnabledFor(logging.INFO):
        return
    shown = f"{redact_path(path)}?{redact_query(query)}" if query else redact_path(path)
    line = (
        f'{{"time":"{_now()}","request_id":"{request_id}","method":"{method}",'
        f'"path":{_encode_json(shown).decode()},"status":{status},"ms":{seconds * 1000:.3f},'
        f'"client":"{(shown_as or shorten)(client)}"}}'
    )
    log.handle(log.makeRecord(log.name, logging.INFO, __file__, 0, line, (), None))


def log_crash(log: logging.Logger, request_id: str, problem: BaseException) -> None:
    """Write an exception and its causes as a line of JSON at ERROR: types and places, never values."""
    told: list[dict[str, object]] = []
    cause: BaseException | None = problem
    while cause is not None and len(told) < CAUSES_MAX:
        stack = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in extract_tb(cause.__traceback__)]
        told.append({"type": f"{type(cause).__module__}.{type(cause).__qualname__}", "stack": stack})
        cause = cause.__cause__ or cause.__context__
    line = {
        "time": _now(),
        "request_id": request_id,
        "exceptions": told,
    }
    log.error(_encode_json(line).decode())


def redact_path(path: str) -> str:
    """A path for the log: tokens and segments that hold addresses or values become `*`."""
    lower = path.lower()
    if "sign-in/" in lower or "confirm/" in lower or "unsubscribe/" in lower:
        path = _TOKEN_PATH.sub(r"\1*", path)
    if "@" in path or "=" in path or "%" in path:
        path = _TELLING_SEGMENT.sub("*", path)
    return path[:PATH_MAX]


def redact_query(query: bytes) -> str:
    """A query for the log: only paging, order and date parameters keep their values."""
    shown = []
    for pair in query.decode("latin-1").split("&", PAIRS_MAX)[:PAIRS_MAX]:
        key, equals, value = pair.partition("=")
        if key in _SHOWN_KEYS and _PLAIN_VALUE.fullmatch(value):
            shown.append(pair)
        else:
            shown.append(f"{key}=*" if equals and _PLAIN_KEY.fullmatch(key) else "*")
    return "&".join(shown)


def _now() -> str:
    now = time()
    return f"{_second(int(now))}.{int(now % 1 * 1000):03d}Z"


@lru_cache(maxsize=2)
def _second(second: int) -> str:
    return strftime("%Y-%m-%dT%H:%M:%S", gmtime(second))


@lru_cache(maxsize=1024)
def shorten(client: str) -> str:
    """A network instead of an address: the last octet of IPv4, the last 64 bits of IPv6 are cut."""
    address = parse_address(client)
    if address is None:
        return "unknown"
    prefix, network = (24, IPv4Network) if address.version == 4 else (64, IPv6Network)
    return str(network((int(address), prefix), strict=False))


def network_of(client: str) -> str:
    """Return what limits count: the address, or an IPv6 client's /64, which one household has."""
    address = parse_address(client)
    if not isinstance(address, IPv6Address):
        return client
    return str(IPv6Network((address, 64), strict=False))


def parse_address(source: str) -> IPv4Address | IPv6Address | None:
    """Read an address as proxies write it: plain, in brackets, with a port, IPv4 mapped into IPv6."""
    source = source.strip()
    if len(source) > ADDRESS_MAX:
        return None
    if source.startswith("["):
        source = source[1:].partition("]")[0]
    elif source.count(":") == 1:
        source = source.partition(":")[0]
    # A scope ("%eth0") may hold any text, and means nothing beyond its own link.
    if "%" in source:
        return None
    try:
        address = ip_address(source)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address

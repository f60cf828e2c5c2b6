"""Triggers: which rules an event starts. Events are matched in memory, by name and subject."""

from functools import lru_cache
from urllib.parse import SplitResult, urlsplit

import msgspec

from tidings.core.automations import rows
from tidings.core.events import Event
from tidings.store.tx import Rx, Tx

# What each trigger needs beside its name.
NEEDS = {
    "form_subscribe": "form",
    "course_subscribe": "sequence",
    "course_complete": "sequence",
    "tag_add": "tag",
    "tag_remove": "tag",
    "link_click": "url",
    "product_purchase": "pid",
    "purchase_create": "",
    "field_change": "field",
    "subscriber_activate": "",
    "subscriber_unsubscribe": "",
    "date_arrives": "field",
    "goes_quiet": "",
}
# They are found by looking at the people, and by no event.
TIMED = ("date_arrives", "goes_quiet")
# A URL has at most some kilobytes: a few megabytes for those that are clicked now.
_URLS_KEPT = 1_024
# Parameters that say where a reader came from and nothing about the page.
_TRACKING_PREFIXES = ("utm_", "mtm_", "pk_", "_hs", "vero_", "oly_")
_TRACKING = frozenset(
    {
        "fbclid", "gclid", "gclsrc", "dclid", "gbraid", "wbraid", "msclkid", "yclid", "twclid", "ttclid",
        "igshid", "li_fat_id", "mc_cid", "mc_eid", "mkt_tok", "ck_subscriber_id", "s_cid", "rb_clickid",
    }
)  # fmt: skip
_PORTS = {"http": 80, "https": 443}


class Waiting(msgspec.Struct, frozen=True):
    """One rule that waits for an event; it knows nothing of what was before it was on."""

    rule_id: int
    enabled_at: int
    value: str | None


_Index = dict[tuple[str, int | str | None], list[Waiting]]


def triggered(tx: Tx, event: Event) -> None:
    """Queue a run of each rule that an event starts; the same event a second time changes nothing."""
    if event.subscriber_id is None:
        return
    waiting = tx.remember(_load).get((event.name, _about(event)))
    if not waiting:
        return
    depth = event.origin.depth + 1
    for one in waiting:
        fits = event.name != "field_change" or one.value is None or one.value == event.value
        if fits and one.enabled_at <= event.created_at:
            occasion = f"event:{event.id}"
            rows.queue(tx, one.rule_id, event.subscriber_id, occasion, depth=depth, event_id=event.id)


@lru_cache(maxsize=_URLS_KEPT)
def normal_url(url: str) -> str:
    """Return a URL as link clicks are compared: without fragment and without what only tracks.

    Scheme and host in lower case, no default port, no blank path (RFC 3986, 6.2.2 and 6.2.3). What
    is no URL stays as it is.
    """
    url = url.strip()
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return url
    if not parts.scheme or not parts.hostname:
        return url
    query = "&".join(one for one in parts.query.split("&") if one and not _tracks(one))
    return SplitResult(parts.scheme, _host(parts, port), parts.path or "/", query, "").geturl()


def _host(parts: SplitResult, port: int | None) -> str:
    who, at, _ = parts.netloc.rpartition("@")
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    shown = "" if port is None or port == _PORTS.get(parts.scheme) else f":{port}"
    return f"{who}{at}{host}{shown}"


def _tracks(parameter: str) -> bool:
    name = parameter.partition("=")[0].lower()
    return name in _TRACKING or name.startswith(_TRACKING_PREFIXES)


def _about(event: Event) -> int | str | None:
    """Return by what beside its name the rules of an event are found."""
    need = NEEDS.get(event.name, "")
    if need == "url":
        return normal_url(event.value or "")
    if need == "pid":
        return event.value
    return event.subject_id if need else None


def _load(rx: Rx) -> _Index:
    found: _Index = {}
    for rule_id, kind, ref_id, value, enabled_at in rx.all(
        "SELECT id, trigger, trigger_id, trigger_value, enabled_at FROM rules"
        " WHERE account_id = :account_id AND enabled_at IS NOT NULL ORDER BY id",
        account_id=rx.account_id,
    ):
        if kind in TIMED:
            continue
        about: int | str | None = ref_id
        if NEEDS[kind] == "url":
            about = normal_url(value)
        elif NEEDS[kind] == "pid":
            about = value
        found.setdefault((kind, about), []).append(Waiting(rule_id, enabled_at, value))
    return found

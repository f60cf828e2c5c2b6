"""Tracking: the links of a content, and the opens and clicks of its mails.

Owns `links` and `hits`. Raw hits are kept apart from the numbers: a hit of a machine says
why, and raises only the machines' numbers. Invariants, until hits are folded away: a link's
clicks are its hits of people, a broadcast's opens and clicks are its deliveries with
`opened_at` and `clicked_at`.
"""

from hashlib import sha256

from tidings.core.tracking import clicks as _clicks
from tidings.core.tracking import opens as _opens
from tidings.core.tracking.clicks import HONEY_URL
from tidings.core.tracking.hits import AGENT_MAX, CLICKS_KEPT, OPENS_KEPT, Hit, Link, fold, owner_of
from tidings.errors import Invalid
from tidings.store.tx import Rx, Tx

URL_MAX = 8_192

__all__ = [
    "AGENT_MAX",
    "CLICKS_KEPT",
    "HONEY_URL",
    "OPENS_KEPT",
    "URL_MAX",
    "Hit",
    "Link",
    "fold",
    "link",
    "link_ids",
    "owner_of",
    "record",
]


def link_ids(tx: Tx, owner: str, urls: list[str]) -> list[int]:
    """Return the ids of the links of a content, in the order of `urls`, made where missing."""
    known: dict[str, int] = {}
    for url in urls:
        if url not in known:
            known[url] = _link_id(tx, owner, url)
    return [known[url] for url in urls]


def link(rx: Rx, link_id: int) -> Link | None:
    """Return one link; None for nothing. What it says never changes."""
    row = rx.one(
        "SELECT id, owner, url FROM links WHERE account_id = :account_id AND id = :id",
        account_id=rx.account_id,
        id=link_id,
    )
    return Link(*row) if row else None


def record(tx: Tx, hits: list[Hit], *, opens: bool = True, clicks: bool = True) -> list[bool]:
    """Keep hits and count them, by sets; return for each whether it fits its delivery.

    A click on a link of another mail does not fit and changes nothing. A delivery that is
    folded away fits and changes nothing. With `opens` or `clicks` False, those are only
    looked at: the account keeps none.
    """
    opened = [hit for hit in hits if hit.link is None]
    clicked = [hit for hit in hits if hit.link is not None]
    if opened and opens:
        _opens.record(tx, opened)
    if not clicked:
        return [True] * len(hits)
    verdicts = iter(_clicks.record(tx, clicked, keep=clicks, opens=opens))
    return [True if hit.link is None else next(verdicts) for hit in hits]


def _link_id(tx: Tx, owner: str, url: str) -> int:
    # Neither database keeps a NUL or half a surrogate pair.
    url = url.replace("\0", "").encode("utf-8", "replace").decode()
    if len(url) > URL_MAX:
        raise Invalid("link", f"is too long (maximum is {URL_MAX} characters)")
    names = {
        "account_id": tx.account_id,
        "owner": owner,
        "hash": sha256(url.encode()).hexdigest(),
    }
    find = "SELECT id FROM links WHERE account_id = :account_id AND owner = :owner AND url_hash = :hash"
    row = tx.one(find, **names) or tx.one(
        "INSERT INTO links (account_id, owner, url, url_hash, created_at)"
        " VALUES (:account_id, :owner, :url, :hash, :now)"
        " ON CONFLICT (account_id, owner, url_hash) DO NOTHING RETURNING id",
        url=url,
        now=tx.now,
        **names,
    )
    # None: another process made it since we looked.
    row = row or tx.one(find, **names)
    assert row is not None  # noqa: S101 (links are never deleted)
    return int(row[0])

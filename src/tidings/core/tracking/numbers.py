"""The numbers of a content's links."""

import msgspec

from tidings.core.tracking.clicks import HONEY_URL
from tidings.store.tx import Rx

LINKS_MOST = 1_000


class LinkNumbers(msgspec.Struct, frozen=True):
    """One link with its clicks: all of people's, of how many people, and of machines."""

    url: str
    clicks: int
    unique_clicks: int
    machine_clicks: int


def of_owner(rx: Rx, owner: str) -> list[LinkNumbers]:
    """Return the links of a content such as `broadcast:7`, the most clicked first.

    Without the one that no person sees, which is there for machines to give themselves away.
    """
    rows = rx.all(
        "SELECT url, clicks, unique_clicks, machine_clicks FROM links"
        " WHERE account_id = :account_id AND owner = :owner AND url <> :honey"
        " ORDER BY unique_clicks DESC, id LIMIT :limit",
        account_id=rx.account_id,
        owner=owner,
        honey=HONEY_URL,
        limit=LINKS_MOST,
    )
    return [LinkNumbers(*row) for row in rows]

"""Which broadcasts that have not ended are for, or not for, the people of a form, a sequence or a tag."""

from tidings.store.tx import Rx

# A page that says why something cannot be deleted needs no more.
USES_MOST = 20

_UNFINISHED = {
    kind: (
        "SELECT broadcasts.id, broadcasts.subject FROM broadcasts WHERE account_id = :account_id"  # noqa: S608
        " AND status <> 'completed' AND EXISTS (SELECT 1 FROM broadcast_audiences"
        " WHERE broadcast_audiences.account_id = broadcasts.account_id"
        f" AND broadcast_audiences.broadcast_id = broadcasts.id AND {kind}_id = :ref_id)"
        " ORDER BY broadcasts.id DESC LIMIT :most"
    )
    for kind in ("form", "sequence", "tag")
}


def unfinished(rx: Rx, kind: str, ref_id: int) -> dict[int, str]:
    """Return the subjects of these broadcasts by id: drafts, scheduled ones, and those being sent."""
    rows = rx.all(_UNFINISHED[kind], account_id=rx.account_id, ref_id=ref_id, most=USES_MOST)
    return {row[0]: row[1] or "(no subject)" for row in rows}

"""What an owner is shown of broadcasts beside their numbers: whom they go to, what the Outbox has of them."""

from collections.abc import Iterable
from hashlib import sha256

import msgspec

from tidings.core.broadcasts import PAGE
from tidings.core.broadcasts.course import Part
from tidings.store.tx import Rx


class InOutbox(msgspec.Struct, frozen=True):
    """How many mails of how many broadcasts were kept in the Outbox instead of leaving."""

    mails: int
    broadcasts: int


class UnderWay(msgspec.Struct, frozen=True):
    """A broadcast that is being sent, or is held up before; times in epoch ms."""

    id: int
    subject: str | None
    status: str
    recipients: int
    settled: int
    paused_at: int | None
    paused_why: str | None
    cancelled_at: int | None


# Broadcasts of one kind that a page tells of.
UNDER_WAY_MOST = 10
_UNDER_WAY = tuple(
    f"SELECT {', '.join(UnderWay.__struct_fields__)} FROM broadcasts WHERE account_id = :account_id"  # noqa: S608
    f" AND {which} ORDER BY id DESC LIMIT :most"
    for which in ("status = 'sending'", "status = 'scheduled' AND paused_at IS NOT NULL")
)


def subjects(rx: Rx, ids: list[int]) -> dict[int, str]:
    """Return the subjects of these broadcasts, a page of them; blank where there is none yet."""
    if not ids:
        return {}
    names = {f"id{at}": one for at, one in enumerate((ids + ids[-1:] * PAGE)[:PAGE])}
    rows = rx.all(
        "SELECT id, subject FROM broadcasts WHERE account_id = :account_id"  # noqa: S608 (our names)
        f" AND id IN ({', '.join(':' + name for name in names)})",
        account_id=rx.account_id,
        **names,
    )
    return {row[0]: row[1] or "" for row in rows}


def under_way(rx: Rx) -> list[UnderWay]:
    """Return what is being sent, and what is paused before it has begun; the newest of each."""
    return [
        UnderWay(*row)
        for sql in _UNDER_WAY
        for row in rx.all(sql, account_id=rx.account_id, most=UNDER_WAY_MOST)
    ]


def parts(rx: Rx, broadcast_id: int) -> list[Part]:
    """Return the parts of a broadcast's audience, at most 200; none means everybody active."""
    rows = rx.all(
        "SELECT form_id, sequence_id, tag_id, excluded FROM broadcast_audiences"
        " WHERE account_id = :account_id AND broadcast_id = :broadcast_id ORDER BY id",
        account_id=rx.account_id,
        broadcast_id=broadcast_id,
    )
    found = []
    for form_id, sequence_id, tag_id, excluded in rows:
        kinds = (("form", form_id), ("sequence", sequence_id), ("tag", tag_id))
        kind, ref_id = next((kind, ref_id) for kind, ref_id in kinds if ref_id is not None)
        found.append(Part(kind, ref_id, bool(excluded)))
    return found


def in_outbox(rx: Rx) -> InOutbox:
    """Return what the account's broadcasts have kept in the Outbox, counted apart from what was sent."""
    row = rx.one(
        "SELECT CAST(COALESCE(SUM(kept), 0) AS BIGINT), COUNT(*) FROM broadcasts"
        " WHERE account_id = :account_id AND kept > 0",
        account_id=rx.account_id,
    )
    return InOutbox(*row) if row else InOutbox(0, 0)


def fingerprint(parts: Iterable[Part]) -> str:
    """Return a word that differs where two audiences do, whatever the order of their parts."""
    said = sorted({f"{one.kind}:{one.ref_id}:{int(one.excluded)}" for one in parts})
    return sha256(" ".join(said).encode()).hexdigest()[:16]

"""The audit log: what users did in the dashboard, written in the transaction that did it. Owns `audit`.

Nothing here holds a secret, and nobody rewrites it; rows are folded away after `KEPT_MS`.
"""

from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

import msgspec

from tidings.store.tx import Rx, Tx

P = ParamSpec("P")
T = TypeVar("T")

PAGE = 50
SUBJECT_MAX = 300
LATELY_MS = 10 * 60_000
# Two years: disputes about who sent or erased something come late.
KEPT_MS = 730 * 86_400_000


class Actor(msgspec.Struct, frozen=True):
    """Who acts: a user of the dashboard, by which network address."""

    user_id: int
    email: str
    address: str


class Entry(msgspec.Struct, frozen=True):
    """One act; `act` is noun.verb, `subject` what it was done to, in words."""

    id: int
    who: str
    act: str
    subject: str
    address: str
    created_at: int


def acted(
    tx: Tx,
    actor: Actor,
    act: str,
    subject: str,
    verb: Callable[Concatenate[Tx, P], T],
    /,
    *args: P.args,
    **options: P.kwargs,
) -> T:
    """Run a verb and note who did it; when the verb raises nothing is noted."""
    result = verb(tx, *args, **options)
    note(tx, actor, act, subject)
    return result


def acted_lately(
    tx: Tx,
    actor: Actor,
    act: str,
    subject: str,
    verb: Callable[Concatenate[Tx, P], T],
    /,
    *args: P.args,
    **options: P.kwargs,
) -> T:
    """As `acted`, for what goes on by itself (the saving of what is written): noted every `LATELY_MS`."""
    result = verb(tx, *args, **options)
    known = tx.one(
        "SELECT 1 FROM (SELECT user_id, act, subject, created_at FROM audit WHERE account_id = :account_id"
        " ORDER BY id DESC LIMIT :page) AS last WHERE user_id = :user_id AND act = :act"
        " AND subject = :subject AND created_at > :since LIMIT 1",
        account_id=tx.account_id,
        page=PAGE,
        user_id=actor.user_id,
        act=act,
        subject=subject,
        since=tx.now - LATELY_MS,
    )
    if known is None:
        note(tx, actor, act, subject)
    return result


def note(tx: Tx, actor: Actor, act: str, subject: str = "") -> None:
    """Note an act."""
    tx.run(
        "INSERT INTO audit (account_id, user_id, who, act, subject, address, created_at)"
        " VALUES (:account_id, :user_id, :who, :act, :subject, :address, :now)",
        account_id=tx.account_id,
        user_id=actor.user_id,
        who=actor.email,
        act=act,
        subject=" ".join(subject.split())[:SUBJECT_MAX],
        address=actor.address,
        now=tx.now,
    )


def newest(rx: Rx, before_id: int | None = None) -> list[Entry]:
    """Return a page of acts, newest first; `before_id` is the last id of the page before."""
    rows = rx.all(
        "SELECT id, who, act, subject, address, created_at FROM audit WHERE account_id = :account_id"
        " AND id < :before_id ORDER BY id DESC LIMIT :page",
        account_id=rx.account_id,
        before_id=before_id or 2**63 - 1,
        page=PAGE,
    )
    return [Entry(*row) for row in rows]


def fold(tx: Tx, before_at: int, limit: int) -> int:
    """Forget acts of all accounts from before then; return how many."""
    return tx.run(
        "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE created_at < :before_at"
        " ORDER BY created_at LIMIT :limit)",
        before_at=before_at,
        limit=limit,
    )

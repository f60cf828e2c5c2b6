"""Suppressions: mailboxes that must not be mailed although nothing else is known of them.

Owns `suppressions`. What is kept is a keyed hash of the mailbox: with the master key it can be
asked whether a given address is held, and without it nothing can be learnt. An account's hash
is its own. Invariant: only a confirmation by the link in a mail lifts what an erasure or its
person made; what the account has added itself it may take out again.
"""

import hmac

import msgspec

from tidings.errors import Conflict, NotFound
from tidings.store.tx import Rx, Tx

PAGE = 50
# The reason of what an owner has added, and alone may take out.
BY_OWNER = "added by the account"
COUNTED_MOST = 1_000

_PURPOSE = b"suppress\0"
# A digest says of anybody whom one can guess whether they are held, so all of its bits are kept:
# nobody finds another mailbox with the same one.
_DIGEST = "sha256"


class Held(msgspec.Struct, frozen=True):
    """One mailbox that is held, of which nothing but a hash is known; `created_at` says since when."""

    digest: str
    reason: str
    created_at: int

    @property
    def by_owner(self) -> bool:
        """Whether the account has added it, and may take it out."""
        return self.reason == BY_OWNER


def add(tx: Tx, mailbox_key: str, reason: str) -> None:
    """Hold a mailbox (`Address.mailbox`) from now on; a second time changes nothing."""
    first = not tx.remember(_any)
    tx.run(
        "INSERT INTO suppressions (account_id, digest, reason, created_at)"
        " VALUES (:account_id, :digest, :reason, :now) ON CONFLICT (account_id, digest) DO NOTHING",
        account_id=tx.account_id,
        digest=digest(tx, mailbox_key),
        reason=reason,
        now=tx.now,
    )
    if first:
        tx.redefine()


def holds(rx: Rx, mailbox_key: str) -> bool:
    """Say whether a mailbox is held; asks nothing where the account holds none."""
    return bool(rx.remember(_any)) and since(rx, mailbox_key) is not None


def since(rx: Rx, mailbox_key: str) -> int | None:
    """Return since when (epoch ms) a mailbox is held; None for one that is not."""
    row = rx.one(
        "SELECT created_at FROM suppressions WHERE account_id = :account_id AND digest = :digest",
        account_id=rx.account_id,
        digest=digest(rx, mailbox_key),
    )
    return int(row[0]) if row else None


def look(rx: Rx, mailbox_key: str) -> Held | None:
    """Return what is known of a mailbox that is held; None for one that is not."""
    row = rx.one(
        "SELECT digest, reason, created_at FROM suppressions WHERE account_id = :account_id"
        " AND digest = :digest",
        account_id=rx.account_id,
        digest=digest(rx, mailbox_key),
    )
    return Held(*row) if row else None


def page(rx: Rx, before: tuple[int, str] | None = None) -> list[Held]:
    """Return a page of what is held, newest first; `before` is time and digest of the last one before it."""
    at, last = before if before is not None else (2**62, "")
    rows = rx.all(
        "SELECT digest, reason, created_at FROM suppressions WHERE account_id = :account_id"
        " AND (created_at, digest) < (:at, :last) ORDER BY created_at DESC, digest DESC LIMIT :page",
        account_id=rx.account_id,
        at=at,
        last=last,
        page=PAGE,
    )
    return [Held(*row) for row in rows]


def count(rx: Rx) -> int:
    """Return how many mailboxes are held, `COUNTED_MOST` for that and more."""
    row = rx.one(
        "SELECT COUNT(*) FROM (SELECT 1 FROM suppressions WHERE account_id = :account_id"
        " LIMIT :most) AS held",
        account_id=rx.account_id,
        most=COUNTED_MOST,
    )
    return int(row[0]) if row else 0


def withdraw(tx: Tx, held_digest: str) -> None:
    """Take out what the account has added itself; raise Conflict for what a person has asked for."""
    gone = tx.run(
        "DELETE FROM suppressions WHERE account_id = :account_id AND digest = :digest AND reason = :reason",
        account_id=tx.account_id,
        digest=held_digest,
        reason=BY_OWNER,
    )
    if gone:
        return
    there = tx.one(
        "SELECT 1 FROM suppressions WHERE account_id = :account_id AND digest = :digest",
        account_id=tx.account_id,
        digest=held_digest,
    )
    if there is None:
        raise NotFound("suppression")
    raise Conflict("only its owner can lift this, by the link in a mail that they ask for")


def lift(tx: Tx, mailbox_key: str) -> bool:
    """Let a mailbox be mailed again, for its person has said so; return whether it was held."""
    if not tx.remember(_any):
        return False
    return bool(
        tx.run(
            "DELETE FROM suppressions WHERE account_id = :account_id AND digest = :digest",
            account_id=tx.account_id,
            digest=digest(tx, mailbox_key),
        )
    )


def digest(rx: Rx, mailbox_key: str) -> str:
    """Return what is kept of a mailbox: HMAC-SHA256 with the master key, in hex.

    Without a key it raises AssertionError: a hash that anybody can make would protect nobody, and
    one made with another key would find nobody.
    """
    if not rx.pepper:
        raise AssertionError("the master key is needed to ask who is suppressed; set `Database.pepper`")
    words = _PURPOSE + b"%d\0" % rx.account_id + mailbox_key.encode()
    return hmac.digest(rx.pepper, words, _DIGEST).hex()


def _any(rx: Rx) -> bool:
    sql = "SELECT 1 FROM suppressions WHERE account_id = :account_id LIMIT 1"
    return rx.one(sql, account_id=rx.account_id) is not None

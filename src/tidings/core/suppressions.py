"""Suppressions: mailboxes that must not be mailed although nothing else is known of them.

Owns `suppressions`. What is kept is a keyed hash of the mailbox: with the master key it can be
asked whether a given address is held, and without it nothing can be learnt. An account's hash
is its own. Invariant: only a confirmation by the link in a mail lifts what an erasure made.
"""

import hmac

from tidings.store.tx import Rx, Tx

_PURPOSE = b"suppress\0"
# A digest says of anybody whom one can guess whether they are held, so all of its bits are kept:
# nobody finds another mailbox with the same one.
_DIGEST = "sha256"


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

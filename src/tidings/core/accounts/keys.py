"""The keys of an account as its owner sees them: what is in use, what replaces it, what ends."""

import msgspec

from tidings.core import accounts
from tidings.core.accounts import INSTALLATION
from tidings.store.tx import Rx, Tx
from tidings.tokens import fresh

# The public key stands in the forms of other sites, which nobody changes in a day.
KEY_KEPT_MS = 30 * 24 * 3_600_000


class Kept(msgspec.Struct, frozen=True):
    """A key or secret as its owner sees it: a secret itself is not kept (`shown` is None)."""

    kind: str
    shown: str | None
    created_at: int
    expires_at: int | None
    used_at: int | None


def rotate_key(tx: Tx) -> str:
    """Give the account a fresh public key; the ones before work for another 30 days."""
    tx.run(
        "UPDATE credentials SET expires_at = :until WHERE account_id = :account_id AND kind = 'key'"
        " AND expires_at IS NULL",
        until=tx.now + KEY_KEPT_MS,
        account_id=tx.account_id,
    )
    key = fresh()
    accounts.add_credential(tx, "key", key)
    return key


def end_former(tx: Tx, kind: str) -> int:
    """Have the keys or secrets that were replaced open nothing from now on; return how many."""
    ended = tx.run(
        "UPDATE credentials SET expires_at = :now WHERE account_id = :account_id AND kind = :kind"
        " AND expires_at > :now",
        now=tx.now,
        account_id=tx.account_id,
        kind=kind,
    )
    tx.for_account(INSTALLATION).redefine()
    tx.redefine()
    return ended


def note_use(tx: Tx, hashed: str, at: int) -> None:
    """Note when a key or secret was presented last."""
    tx.run(
        "UPDATE credentials SET used_at = :at WHERE account_id = :account_id AND digest = :digest"
        " AND (used_at IS NULL OR used_at < :at)",
        at=at,
        account_id=tx.account_id,
        digest=hashed,
    )


def credentials(rx: Rx) -> list[Kept]:
    """Return the keys and secrets that open the account now, newest first."""
    rows = rx.all(
        "SELECT kind, shown, created_at, expires_at, used_at FROM credentials WHERE account_id = :account_id"
        " AND (expires_at IS NULL OR expires_at > :now) ORDER BY id DESC LIMIT 100",
        account_id=rx.account_id,
        now=rx.now,
    )
    return [Kept(*row) for row in rows]

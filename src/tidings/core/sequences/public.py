"""Which sequences people may join and leave by themselves."""

from tidings.errors import NotFound
from tidings.store.tx import Rx, Tx


def public_names(rx: Rx) -> dict[int, str]:
    """Return the names of the sequences that people may join and leave by themselves, archived ones too."""
    return rx.remember(_load)


def set_public(tx: Tx, sequence_id: int, *, public: bool) -> None:
    """Let people choose a sequence on their preferences page, or not any more."""
    changed = tx.run(
        "UPDATE sequences SET public_at = CASE WHEN :public = 1 THEN COALESCE(public_at, :now) ELSE NULL END,"
        " updated_at = :now WHERE account_id = :account_id AND id = :id",
        public=int(public),
        now=tx.now,
        account_id=tx.account_id,
        id=sequence_id,
    )
    if not changed:
        raise NotFound("sequence")
    tx.redefine()


def _load(rx: Rx) -> dict[int, str]:
    rows = rx.all(
        "SELECT id, name FROM sequences WHERE account_id = :account_id AND public_at IS NOT NULL ORDER BY id",
        account_id=rx.account_id,
    )
    return {row[0]: row[1] for row in rows}

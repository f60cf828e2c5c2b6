"""What became of the emails of sequences: how many were sent, opened, clicked, and brought an unsubscribe.

Owns the rows of `sequence_numbers`. They are counted where the deliveries are marked, and stay when
those are folded away. A mail of a sequence counts for the email it was made of, whoever edited it since.
"""

import msgspec

from tidings.store.tx import Collected, Rx, Tx

OCCASION = "sequence-email"
KINDS = ("sent", "opens", "clicks", "unsubscribes")

_COUNT = Collected(
    "INSERT INTO sequence_numbers (account_id, email_id, kind, n) VALUES (:account_id, :email_id, :kind, :n)"
    " ON CONFLICT (account_id, email_id, kind) DO UPDATE SET n = sequence_numbers.n + excluded.n",
    ("account_id", "email_id", "kind", "n"),
    merged=True,
)


class Numbers(msgspec.Struct, frozen=True):
    """Mails of one email that were sent, and by how many people they were opened and clicked."""

    sent: int = 0
    opens: int = 0
    clicks: int = 0
    unsubscribes: int = 0

    def plus(self, other: "Numbers") -> "Numbers":
        """Return the sums of both."""
        return Numbers(*(getattr(self, one) + getattr(other, one) for one in KINDS))


def count(tx: Tx, occasion: str, **changes: int) -> None:
    """Change the numbers of the email that a delivery was made of; other occasions change nothing."""
    kind, _, rest = occasion.partition(":")
    ref = rest.partition(":")[0]
    if kind != OCCASION or not ref.isdecimal():
        return
    for name in KINDS:
        if changes.get(name):
            tx.append(_COUNT, (tx.account_id, int(ref), name, changes[name]))


def of_sequence(rx: Rx, sequence_id: int) -> dict[int, Numbers]:
    """Return the numbers of a sequence's emails by id, removed ones too; who was never sent is missing."""
    rows = rx.all(
        "SELECT sequence_numbers.email_id, kind, n FROM sequence_numbers JOIN sequence_emails"
        " ON sequence_emails.account_id = sequence_numbers.account_id"
        " AND sequence_emails.id = sequence_numbers.email_id"
        " WHERE sequence_numbers.account_id = :account_id AND sequence_emails.sequence_id = :id",
        account_id=rx.account_id,
        id=sequence_id,
    )
    return _gathered(rows)


def of_all(rx: Rx) -> dict[int, Numbers]:
    """Return the numbers of each sequence of the account: over all its emails, removed ones too."""
    rows = rx.all(
        "SELECT sequence_emails.sequence_id, kind, SUM(n) FROM sequence_numbers JOIN sequence_emails"
        " ON sequence_emails.account_id = sequence_numbers.account_id"
        " AND sequence_emails.id = sequence_numbers.email_id"
        " WHERE sequence_numbers.account_id = :account_id GROUP BY sequence_emails.sequence_id, kind",
        account_id=rx.account_id,
    )
    return _gathered(rows)


def emails_of_all(rx: Rx) -> dict[int, tuple[int, int]]:
    """Return how many emails each sequence has, and how many of them are published."""
    rows = rx.all(
        "SELECT sequence_id, COUNT(*), COUNT(published_at) FROM sequence_emails"
        " WHERE account_id = :account_id AND removed_at IS NULL GROUP BY sequence_id",
        account_id=rx.account_id,
    )
    return {row[0]: (int(row[1]), int(row[2])) for row in rows}


def _gathered(rows: list[tuple[object, ...]]) -> dict[int, Numbers]:
    found: dict[int, dict[str, int]] = {}
    for ref_id, kind, n in rows:
        found.setdefault(int(str(ref_id)), {})[str(kind)] = int(str(n))
    return {ref_id: Numbers(**one) for ref_id, one in found.items()}

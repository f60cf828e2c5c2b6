"""Notes to the owner: mail about the account itself, to its own address. Owns `owner_notes`.

They are few and go in the lane of single mails; one that was cut off half way goes again under the
same Message-ID, so that nothing an owner must know is ever lost.
"""

import msgspec

from tidings.mail import address, message
from tidings.store.tx import Rx, Tx

SUBJECT_MAX = 200
TEXT_MAX = 20_000
# The first is tried at once, the last after a day.
WAITS_MS = (60_000, 600_000, 3_600_000, 6 * 3_600_000, 17 * 3_600_000)
# Notes of one account in a day: a rule that tells of every sign-up would fill its owner's mailbox.
DAILY_MAX = 200
# Anybody may ask for a link to be mailed to a user.
RECIPIENT_MAX = 10
DAY_MS = 86_400_000
CLAIM = 20


class Note(msgspec.Struct, frozen=True):
    """One note on its way."""

    account_id: int
    id: int
    subject: str
    text: str
    attempts: int
    created_at: int
    recipient: str | None = None


class Posted(msgspec.Struct, frozen=True):
    """A note as a message: envelope and octets."""

    mail_from: str
    rcpt_to: str
    data: bytes
    smtputf8: bool


def tell(tx: Tx, occasion: str, subject: str, text: str, *, recipient: str | None = None) -> None:
    """Queue a note to the account's own address, or to the `recipient`, a user of it.

    A second time for the same occasion changes nothing.

    Beyond `DAILY_MAX` in 24 hours, or `RECIPIENT_MAX` to one recipient, nothing more is queued.
    """
    full = tx.one(
        "SELECT created_at FROM owner_notes WHERE account_id = :account_id"
        " AND COALESCE(recipient, '') = :recipient ORDER BY id DESC LIMIT 1 OFFSET :most",
        account_id=tx.account_id,
        recipient=recipient or "",
        most=(DAILY_MAX if recipient is None else RECIPIENT_MAX) - 1,
    )
    if full is not None and full[0] > tx.now - DAY_MS:
        return
    tx.run(
        "INSERT INTO owner_notes (account_id, occasion, subject, text, state, attempts, due_at, created_at,"
        " recipient) VALUES (:account_id, :occasion, :subject, :text, 'queued', 0, :now, :now, :recipient)"
        " ON CONFLICT (account_id, occasion) DO NOTHING",
        account_id=tx.account_id,
        occasion=occasion,
        subject=" ".join(subject.split())[:SUBJECT_MAX],
        text=text[:TEXT_MAX],
        now=tx.now,
        recipient=recipient,
    )
    tx.wake()


def any_due(rx: Rx) -> bool:
    """Say whether any account has a note to be sent."""
    return (
        rx.one("SELECT 1 FROM owner_notes WHERE state = 'queued' AND due_at <= :now LIMIT 1", now=rx.now)
        is not None
    )


def claim(tx: Tx, limit: int = CLAIM) -> list[Note]:
    """Take due notes of all accounts; each is due again later unless it is settled before."""
    rows = tx.all(
        "SELECT account_id, id, subject, text, attempts, created_at, recipient FROM owner_notes"
        " WHERE state = 'queued' AND due_at <= :now ORDER BY due_at, id LIMIT :limit {skip_locked}",
        now=tx.now,
        limit=limit,
    )
    for row in rows:
        tx.run(
            "UPDATE owner_notes SET attempts = attempts + 1, due_at = :later"
            " WHERE account_id = :account_id AND id = :id",
            later=tx.now + WAITS_MS[min(row[4], len(WAITS_MS) - 1)],
            account_id=row[0],
            id=row[1],
        )
    return [Note(*row) for row in rows]


def settle(tx: Tx, note: Note, reply: str, *, sent: bool, lasting: bool) -> None:
    """Note how a try ended; one that may yet succeed waits for its next time."""
    if sent or lasting or note.attempts >= len(WAITS_MS):
        tx.run(
            # What was sent to one user, such as a link to sign in, is nobody else's to read.
            "UPDATE owner_notes SET state = :state, reply = :reply, settled_at = :now,"
            " text = CASE WHEN recipient IS NULL THEN text ELSE '' END"
            " WHERE account_id = :account_id AND id = :id AND state = 'queued'",
            state="sent" if sent else "failed",
            reply=reply[:500],
            now=tx.now,
            account_id=note.account_id,
            id=note.id,
        )


def posted(note: Note, name: str, sender: str) -> Posted:
    """Make the message of a note to the owner, `name` at `sender`, or to its own recipient from there."""
    domain = sender.rpartition("@")[2]
    to = note.recipient or sender
    made = message.Message(
        from_name="Tidings",
        from_address=sender,
        to_name=name if note.recipient is None else "",
        to_address=to,
        reply_to=None,
        subject=note.subject,
        text=note.text,
        html="",
        message_id=f"note.{note.account_id}.{note.id}.{note.created_at}@{domain}",
        date_ms=note.created_at,
        headers=(("Auto-Submitted", "auto-generated"),),
    )
    mail_from, rcpt_to = address.with_ascii_domain(sender), address.with_ascii_domain(to)
    return Posted(mail_from, rcpt_to, message.build(made), message.needs_smtputf8(made))


def fold(tx: Tx, before_at: int, limit: int) -> int:
    """Forget notes of all accounts that were settled before then; return how many."""
    return tx.run(
        "DELETE FROM owner_notes WHERE id IN (SELECT id FROM owner_notes WHERE state <> 'queued'"
        " AND settled_at < :before_at ORDER BY settled_at LIMIT :limit)",
        before_at=before_at,
        limit=limit,
    )

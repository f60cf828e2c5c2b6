"""The emails of a sequence, as they are read: their words, and their steps in order."""

import msgspec

from tidings.core.sequences import definitions
from tidings.core.slots import ALL_DAYS, Slot
from tidings.errors import NotFound
from tidings.store.tx import Rx

# Emails that are asked for at once.
PAGE = 50


class SequenceEmail(msgspec.Struct, frozen=True):
    """One email of a sequence; `delay_ms` counts from the one before.

    Without `text` it is made from the HTML. `weekdays` is a mask, Monday = 1; an `hour`
    (0 to 23) of its own counts whatever the delay is.
    """

    subject: str
    html: str
    delay_ms: int
    text: str | None = None
    preheader: str = ""
    published: bool = True
    weekdays: int = ALL_DAYS
    hour: int | None = None


class Written(msgspec.Struct, frozen=True):
    """One email as its owner edits it; `version` rises with each change of it."""

    id: int
    sequence_id: int
    version: int
    updated_at: int
    email: SequenceEmail


class Words(msgspec.Struct, frozen=True):
    """What a composer needs of one email."""

    id: int
    sequence_id: int
    sequence_name: str
    subject: str
    html: str
    text: str | None
    preheader: str


class Step(msgspec.Struct, frozen=True):
    """One published email as the way through a sequence knows it."""

    id: int
    position: int
    slot: Slot


def emails(rx: Rx, sequence_id: int) -> list[SequenceEmail]:
    """Return a sequence's emails in order, unpublished ones too."""
    return list(emails_by_id(rx, sequence_id).values())


def emails_by_id(rx: Rx, sequence_id: int) -> dict[int, SequenceEmail]:
    """Return a sequence's emails by id, in order, unpublished ones too."""
    rows = rx.all(
        "SELECT id, subject, html, delay_ms, text, preheader, published_at, weekdays, hour"
        " FROM sequence_emails WHERE account_id = :account_id AND sequence_id = :id AND removed_at IS NULL"
        " ORDER BY position, id",
        account_id=rx.account_id,
        id=sequence_id,
    )
    found = {}
    for email_id, subject, html, delay_ms, text, preheader, published_at, weekdays, hour in rows:
        published = published_at is not None
        found[email_id] = SequenceEmail(subject, html, delay_ms, text, preheader, published, weekdays, hour)
    return found


def written(rx: Rx, sequence_id: int, email_id: int) -> Written:
    """Return one email of a sequence to edit; raise NotFound for none, and for a removed one."""
    row = rx.one(
        "SELECT id, sequence_id, version, updated_at, subject, html, delay_ms, text, preheader,"
        " published_at, weekdays, hour FROM sequence_emails WHERE account_id = :account_id"
        " AND sequence_id = :sequence_id AND id = :id AND removed_at IS NULL",
        account_id=rx.account_id,
        sequence_id=sequence_id,
        id=email_id,
    )
    if row is None:
        raise NotFound("sequence email")
    subject, html, delay_ms, text, preheader, published_at, weekdays, hour = row[4:]
    published = published_at is not None
    one = SequenceEmail(subject, html, delay_ms, text, preheader, published, weekdays, hour)
    return Written(row[0], row[1], row[2], row[3], one)


def email(rx: Rx, email_id: int) -> Words:
    """Return one email's words, or raise NotFound; one that was removed may still be under way."""
    row = rx.one(
        "SELECT sequence_emails.id, sequence_id, sequences.name, subject, html, text, preheader"
        " FROM sequence_emails JOIN sequences ON sequences.account_id = sequence_emails.account_id"
        " AND sequences.id = sequence_emails.sequence_id"
        " WHERE sequence_emails.account_id = :account_id AND sequence_emails.id = :id",
        account_id=rx.account_id,
        id=email_id,
    )
    if row is None:
        raise NotFound("sequence email")
    return Words(*row)


def of_emails(rx: Rx, ids: list[int]) -> dict[int, int]:
    """Return which sequence each of these emails, a page of them, belongs to; removed ones too."""
    if not ids:
        return {}
    names = {f"id{at}": one for at, one in enumerate((ids + ids[-1:] * PAGE)[:PAGE])}
    rows = rx.all(
        "SELECT id, sequence_id FROM sequence_emails WHERE account_id = :account_id"  # noqa: S608 (our names)
        f" AND id IN ({', '.join(':' + name for name in names)})",
        account_id=rx.account_id,
        **names,
    )
    return {row[0]: row[1] for row in rows}


def steps(rx: Rx, sequence_id: int) -> list[Step]:
    """Return a sequence's published emails in order, as those inside go through them."""
    # Not remembered: ranks must be at least as new as the places of those who are claimed.
    default_hour = definitions.find(rx, sequence_id).hour
    rows = rx.all(
        "SELECT id, position, delay_ms, weekdays, hour FROM sequence_emails WHERE account_id = :account_id"
        " AND sequence_id = :id AND published_at IS NOT NULL AND removed_at IS NULL ORDER BY position, id",
        account_id=rx.account_id,
        id=sequence_id,
    )
    return [Step(row[0], row[1], Slot(row[2], row[3], row[4], default_hour)) for row in rows]

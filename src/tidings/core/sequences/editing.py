"""Writing a sequence: emails are added, changed, moved, published and removed.

Whatever is done here, nobody inside gets an email again or is left behind: an email keeps
its id and its rank, a removed one leaves its row, and everybody inside is looked at anew.
"""

import re

from tidings.core import entries
from tidings.core.sequences import definitions, order
from tidings.core.sequences.words import SequenceEmail, emails_by_id
from tidings.core.slots import DAY_MS
from tidings.errors import Conflict, Invalid, NotFound
from tidings.store.tx import Rx, Tx

# A year of weekly emails ten times over; a reader's list of what they had stays small.
EMAILS_MAX = 500
SUBJECT_MAX = 998
PREHEADER_MAX = 998
HTML_MAX = 1_048_576
DELAY_MAX_MS = 3_650 * DAY_MS
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_NOT_IN_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def add_email(tx: Tx, sequence_id: int, email: SequenceEmail, *, rank: int | None = None) -> int:
    """Add an email as the `rank`-th (from 1; None: as the last); return its id."""
    live = _live(tx, sequence_id)
    if len(live) >= EMAILS_MAX:
        raise Invalid("Emails", f"are too many (maximum is {EMAILS_MAX})")
    at = len(live) if rank is None else _place(rank, len(live) + 1)
    made = _insert(tx, sequence_id, _cleaned(email), _room(tx, sequence_id, live, at))
    definitions.replan(tx, sequence_id)
    return made


def change_email(tx: Tx, email_id: int, email: SequenceEmail, *, version: int | None = None) -> None:
    """Give an email other words, another delay or other days; who had it keeps what they had.

    With `version` only the email as it was read with that version: raises Conflict when somebody has
    changed it since.
    """
    sequence_id = _sequence_of(tx, email_id)
    # Nobody else edits the sequence between this look and the write.
    definitions.lock(tx, sequence_id)
    if version is not None and version != _version_of(tx, email_id):
        raise Conflict("somebody else has changed this email since you opened it")
    _write(tx, email_id, _cleaned(email))
    definitions.replan(tx, sequence_id)


def move_email(tx: Tx, email_id: int, rank: int) -> None:
    """Make an email the `rank`-th (from 1) of its sequence; who is past that place does not get it."""
    sequence_id = _sequence_of(tx, email_id)
    live = _live(tx, sequence_id)
    at = _place(rank, len(live))
    if list(live).index(email_id) != at:
        del live[email_id]
        _set_position(tx, email_id, _room(tx, sequence_id, live, at))
        definitions.replan(tx, sequence_id)


def remove_email(tx: Tx, email_id: int) -> None:
    """Take an email out of its sequence; what is queued of it already still goes out."""
    sequence_id = _sequence_of(tx, email_id)
    _remove(tx, email_id)
    definitions.replan(tx, sequence_id)


def publish(tx: Tx, email_id: int) -> None:
    """Let an email be sent to whoever comes to it from now on."""
    _set_published(tx, email_id, tx.now)


def unpublish(tx: Tx, email_id: int) -> None:
    """Pass over an email until it is published again."""
    _set_published(tx, email_id, None)


def set_emails(tx: Tx, sequence_id: int, wanted: list[SequenceEmail]) -> None:
    """Let a sequence have exactly these emails, in this order.

    An email is known again by its subject and HTML, else by one of them, else by its
    place; what is known again keeps its id, so nobody is sent it twice.
    """
    if len(wanted) > EMAILS_MAX:
        raise Invalid("Emails", f"are too many (maximum is {EMAILS_MAX})")
    definitions.lock(tx, sequence_id)
    cleaned = [_cleaned(one) for one in wanted]
    there = emails_by_id(tx, sequence_id)
    ids, held = list(there), list(there.values())
    paired = order.pair(
        held,
        cleaned,
        (lambda one: (one.subject, one.html), lambda one: one.subject, lambda one: one.html),
    )
    for at in set(range(len(ids))) - {one for one in paired if one is not None}:
        _remove(tx, ids[at])
    live = _live(tx, sequence_id)
    keeps = order.in_place([None if one is None else live[ids[one]] for one in paired])
    staying = {ids[one] for at, one in enumerate(paired) if one is not None and at in keeps}
    live = {one: rank for one, rank in live.items() if one in staying}
    for at, (one, email) in enumerate(zip(paired, cleaned, strict=True)):
        if one is None:
            rank = _room(tx, sequence_id, live, at)
            live = _with(live, _insert(tx, sequence_id, email, rank), rank)
            continue
        if ids[one] not in live:
            rank = _room(tx, sequence_id, live, at)
            _set_position(tx, ids[one], rank)
            live = _with(live, ids[one], rank)
        if held[one] != email:
            _write(tx, ids[one], email)
    definitions.replan(tx, sequence_id)


def _cleaned(email: SequenceEmail) -> SequenceEmail:
    """Return an email as it is kept, or raise Invalid."""
    if not email.subject.strip():
        raise Invalid("Subject", "can't be blank")
    words = (
        ("Subject", email.subject, SUBJECT_MAX, _CONTROL),
        ("Preheader", email.preheader, PREHEADER_MAX, _CONTROL),
        ("HTML", email.html, HTML_MAX, _NOT_IN_TEXT),
        ("Text", email.text or "", HTML_MAX, _NOT_IN_TEXT),
    )
    for name, text, longest, unfit in words:
        if len(text) > longest:
            raise Invalid(name, f"is too long (maximum is {longest} characters)")
        if unfit.search(text):
            raise Invalid(name, "must not contain control characters")
    if not 0 <= email.delay_ms <= DELAY_MAX_MS:
        raise Invalid("Delay", f"must be between 0 and {DELAY_MAX_MS // DAY_MS} days")
    if email.hour is not None and not 0 <= email.hour <= definitions.HOUR_LAST:
        raise Invalid("Hour", f"must be between 0 and {definitions.HOUR_LAST}")
    definitions.check_days(email.weekdays)
    return email


def _place(rank: int, count: int) -> int:
    """Return where in a list of `count` the rank-th is, or raise Invalid."""
    if not 1 <= rank <= count:
        raise Invalid("Rank", f"must be between 1 and {count}")
    return rank - 1


def _live(tx: Tx, sequence_id: int) -> dict[int, int]:
    """Return the ranks of a sequence's emails by id, in order; nobody else changes them until the commit."""
    definitions.lock(tx, sequence_id)
    rows = tx.all(
        "SELECT id, position FROM sequence_emails WHERE account_id = :account_id"
        " AND sequence_id = :id AND removed_at IS NULL ORDER BY position, id",
        account_id=tx.account_id,
        id=sequence_id,
    )
    return {row[0]: row[1] for row in rows}


def _with(live: dict[int, int], email_id: int, rank: int) -> dict[int, int]:
    return dict(sorted({**live, email_id: rank}.items(), key=lambda one: one[1]))


def _room(tx: Tx, sequence_id: int, live: dict[int, int], at: int) -> int:
    """Return a rank for the place `at` among these; where none is left, all from there on move back."""
    ranks = list(live.values())
    if at == len(ranks):
        return definitions.raise_last_rank(tx, sequence_id, order.GAP)
    before, after = ranks[at - 1] if at else 0, ranks[at]
    rank = order.between(before, after)
    if rank is not None:
        return rank
    tx.run(
        "UPDATE sequence_emails SET position = position + :by WHERE account_id = :account_id"
        " AND sequence_id = :sequence_id AND position >= :first",
        by=order.GAP,
        account_id=tx.account_id,
        sequence_id=sequence_id,
        first=after,
    )
    entries.shift(tx, sequence_id, after, order.GAP)
    definitions.raise_last_rank(tx, sequence_id, order.GAP)
    for email_id, rank in list(live.items())[at:]:
        live[email_id] = rank + order.GAP
    moved = order.between(before, after + order.GAP)
    assert moved is not None  # noqa: S101 (a gap was made)
    return moved


def _insert(tx: Tx, sequence_id: int, email: SequenceEmail, position: int) -> int:
    row = tx.one(
        "INSERT INTO sequence_emails (account_id, sequence_id, position, subject, html, delay_ms, text,"
        " preheader, published_at, weekdays, hour, created_at, updated_at) VALUES (:account_id, :sequence_id,"
        " :position, :subject, :html, :delay_ms, :text, :preheader, :published_at, :weekdays, :hour, :now,"
        " :now) RETURNING id",
        account_id=tx.account_id,
        sequence_id=sequence_id,
        position=position,
        now=tx.now,
        **_columns(tx, email),
    )
    assert row is not None  # noqa: S101 (RETURNING)
    return int(row[0])


def _write(tx: Tx, email_id: int, email: SequenceEmail) -> None:
    tx.run(
        "UPDATE sequence_emails SET subject = :subject, html = :html, delay_ms = :delay_ms, text = :text,"
        " preheader = :preheader, weekdays = :weekdays, hour = :hour, updated_at = :now,"
        " version = version + 1,"
        " published_at = CASE WHEN CAST(:published_at AS BIGINT) IS NULL THEN NULL"
        " ELSE COALESCE(published_at, CAST(:published_at AS BIGINT)) END"
        " WHERE account_id = :account_id AND id = :id",
        now=tx.now,
        account_id=tx.account_id,
        id=email_id,
        **_columns(tx, email),
    )


def _columns(tx: Tx, email: SequenceEmail) -> dict[str, object]:
    return {
        "subject": email.subject,
        "html": email.html,
        "delay_ms": email.delay_ms,
        "text": email.text,
        "preheader": email.preheader,
        "published_at": tx.now if email.published else None,
        "weekdays": email.weekdays,
        "hour": email.hour,
    }


def _set_position(tx: Tx, email_id: int, position: int) -> None:
    tx.run(
        "UPDATE sequence_emails SET position = :position, updated_at = :now"
        " WHERE account_id = :account_id AND id = :id",
        position=position,
        now=tx.now,
        account_id=tx.account_id,
        id=email_id,
    )


def _set_published(tx: Tx, email_id: int, at: int | None) -> None:
    sequence_id = _sequence_of(tx, email_id)
    tx.run(
        "UPDATE sequence_emails SET published_at = :at, updated_at = :now, version = version + 1"
        " WHERE account_id = :account_id AND id = :id",
        at=at,
        now=tx.now,
        account_id=tx.account_id,
        id=email_id,
    )
    definitions.replan(tx, sequence_id)


def _remove(tx: Tx, email_id: int) -> None:
    tx.run(
        "UPDATE sequence_emails SET removed_at = :now, updated_at = :now"
        " WHERE account_id = :account_id AND id = :id AND removed_at IS NULL",
        now=tx.now,
        account_id=tx.account_id,
        id=email_id,
    )


def _version_of(rx: Rx, email_id: int) -> int:
    row = rx.one(
        "SELECT version FROM sequence_emails WHERE account_id = :account_id AND id = :id",
        account_id=rx.account_id,
        id=email_id,
    )
    assert row is not None  # noqa: S101 (its sequence was found by it)
    return int(row[0])


def _sequence_of(rx: Rx, email_id: int) -> int:
    """Return which sequence an email belongs to; raise NotFound for none and for a removed one."""
    row = rx.one(
        "SELECT sequence_id FROM sequence_emails WHERE account_id = :account_id AND id = :id"
        " AND removed_at IS NULL",
        account_id=rx.account_id,
        id=email_id,
    )
    if row is None:
        raise NotFound("sequence email")
    return int(row[0])

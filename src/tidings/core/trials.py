"""Trials: a mail sent to single addresses, to be looked at before it goes to those it is for.

Owns `trials`. They are no deliveries: no number counts them, no open and no click of them is kept, and
their link to unsubscribe leads nowhere. They go in the lane of single mails; one that was cut off half
way goes again under the same Message-ID.
"""

from collections.abc import Sequence

import msgspec

from tidings.core import forms, letters, outbox, rehearsal, sending
from tidings.core.broadcasts.course import Frozen
from tidings.core.deliveries import Delivery
from tidings.core.letters import Words
from tidings.errors import Invalid, NotFound, TooMany
from tidings.mail import address
from tidings.mail.recipient import Recipient
from tidings.store.tx import Rx, Tx
from tidings.tokens import Links

MARK = "[Test] "
# What else than a broadcast may be tried.
EMAIL = "sequence-email"
FORM = "form"
# Addresses of one call, and of an account in an hour: a test is no way to mail people.
ADDRESSES_MOST = 5
HOURLY_MAX = 50
HOUR_MS = 3_600_000
# The first is tried at once; who tests waits no hour for it.
WAITS_MS = (60_000, 120_000, 600_000)
CLAIM = 20
SHOWN = 10
# A trial is no delivery of a subscriber: its number is negative, and none of a note to the owner.
_NUMBERS_FROM = 1 << 48


class Trial(msgspec.Struct, frozen=True):
    """One trial and what became of it; times in epoch ms."""

    account_id: int
    id: int
    broadcast_id: int
    subscriber_id: int | None
    address: str
    state: str
    attempts: int
    reply: str | None
    created_at: int
    owner: str = ""

    @property
    def form_id(self) -> int | None:
        """Which form's confirmation it is; None for a letter."""
        kind, _, ref = self.owner.partition(":")
        return int(ref) if kind == FORM else None

    @property
    def delivery(self) -> Delivery:
        """What stands for it in the hands of a provider."""
        name = f"trial:{self.id}"
        return Delivery(self.account_id, number(self.id), name, 0, self.attempts, 0, self.created_at)


_COLUMNS = "account_id, id, broadcast_id, subscriber_id, address, state, attempts, reply, created_at, owner"


def number(trial_id: int) -> int:
    """Return the number under which the Outbox keeps a trial."""
    return -_NUMBERS_FROM - trial_id


def ask(tx: Tx, broadcast_id: int, addresses: Sequence[str], subscriber_id: int | None = None) -> int:
    """Have a broadcast sent as it stands to these addresses, as one subscriber gets it; return how many.

    Raises NotFound, Invalid for an address, and TooMany.
    """
    frozen = sending.as_it_stands(tx, broadcast_id)
    return _queue(tx, broadcast_id, "", frozen, addresses, subscriber_id)


def ask_of_email(tx: Tx, email_id: int, addresses: Sequence[str], subscriber_id: int | None = None) -> int:
    """Have an email of a sequence sent as `ask` does a broadcast."""
    frozen = letters.sequence_email(tx, email_id)
    return _queue(tx, 0, f"{EMAIL}:{email_id}", frozen, addresses, subscriber_id)


def ask_of_form(tx: Tx, form_id: int, addresses: Sequence[str]) -> int:
    """Have the confirmation of a form sent to addresses that only look at it."""
    forms.find(tx, form_id)
    return _queue(tx, 0, f"{FORM}:{form_id}", None, addresses, None)


def _queue(
    tx: Tx,
    broadcast_id: int,
    owner: str,
    frozen: Frozen | None,
    addresses: Sequence[str],
    subscriber_id: int | None,
) -> int:
    wanted = [_checked(one) for one in addresses if one.strip()]
    wanted = list(dict.fromkeys(wanted))
    if not wanted:
        raise Invalid("address", "must be given")
    if len(wanted) > ADDRESSES_MOST:
        raise Invalid("address", f"can be {ADDRESSES_MOST} at once")
    if frozen is not None and not (frozen.html or frozen.text):
        raise Invalid("content", "is empty: there is nothing to send")
    full = tx.one(
        "SELECT created_at FROM trials WHERE account_id = :account_id ORDER BY id DESC LIMIT 1 OFFSET :most",
        account_id=tx.account_id,
        most=HOURLY_MAX - len(wanted),
    )
    if full is not None and full[0] > tx.now - HOUR_MS:
        raise TooMany(max(1, (int(full[0]) + HOUR_MS - tx.now) // 1_000))
    kept = ""
    if frozen is not None:
        marked = msgspec.structs.replace(frozen, subject=MARK + (frozen.subject or "(no subject)"))
        kept = msgspec.json.encode(marked).decode()
    for one in wanted:
        tx.run(
            "INSERT INTO trials (account_id, broadcast_id, owner, subscriber_id, address, frozen, state,"
            " attempts, due_at, created_at) VALUES (:account_id, :broadcast_id, :owner, :subscriber_id,"
            " :address, :frozen, 'queued', 0, :now, :now)",
            account_id=tx.account_id,
            broadcast_id=broadcast_id,
            owner=owner,
            subscriber_id=subscriber_id,
            address=one,
            frozen=kept,
            now=tx.now,
        )
    tx.wake()
    return len(wanted)


def of_broadcast(rx: Rx, broadcast_id: int) -> list[Trial]:
    """Return the last trials of a broadcast, newest first."""
    rows = rx.all(
        f"SELECT {_COLUMNS} FROM trials WHERE account_id = :account_id AND broadcast_id = :broadcast_id"  # noqa: S608
        " ORDER BY id DESC LIMIT :most",
        account_id=rx.account_id,
        broadcast_id=broadcast_id,
        most=SHOWN,
    )
    return [Trial(*row) for row in rows]


def of_email(rx: Rx, email_id: int) -> list[Trial]:
    """Return the last trials of a sequence's email, newest first."""
    return _of(rx, f"{EMAIL}:{email_id}")


def of_form(rx: Rx, form_id: int) -> list[Trial]:
    """Return the last trials of a form's confirmation, newest first."""
    return _of(rx, f"{FORM}:{form_id}")


def _of(rx: Rx, owner: str) -> list[Trial]:
    rows = rx.all(
        f"SELECT {_COLUMNS} FROM trials WHERE account_id = :account_id AND owner = :owner"  # noqa: S608
        " AND owner <> '' ORDER BY id DESC LIMIT :most",
        account_id=rx.account_id,
        owner=owner,
        most=SHOWN,
    )
    return [Trial(*row) for row in rows]


def any_due(rx: Rx) -> bool:
    """Say whether any account has a trial to be sent."""
    return (
        rx.one("SELECT 1 FROM trials WHERE state = 'queued' AND due_at <= :now LIMIT 1", now=rx.now)
        is not None
    )


def claim(tx: Tx, limit: int = CLAIM) -> list[Trial]:
    """Take due trials of all accounts; each is due again later unless it is settled before."""
    rows = tx.all(
        f"SELECT {_COLUMNS} FROM trials WHERE state = 'queued' AND due_at <= :now"  # noqa: S608
        " ORDER BY due_at, id LIMIT :limit {skip_locked}",
        now=tx.now,
        limit=limit,
    )
    found = [Trial(*row) for row in rows]
    for one in found:
        tx.run(
            "UPDATE trials SET attempts = attempts + 1, due_at = :later"
            " WHERE account_id = :account_id AND id = :id",
            later=tx.now + WAITS_MS[min(one.attempts, len(WAITS_MS) - 1)],
            account_id=one.account_id,
            id=one.id,
        )
    return found


def letter(rx: Rx, one: Trial, links: Links) -> tuple[Words, Recipient]:
    """Return the words of a trial and who is to get them, or raise NotFound for one that was erased."""
    row = rx.one(
        "SELECT frozen FROM trials WHERE account_id = :account_id AND id = :id",
        account_id=rx.account_id,
        id=one.id,
    )
    if row is None:
        raise NotFound("trial")
    frozen = msgspec.json.decode(row[0], type=Frozen)
    domain = frozen.from_address.rpartition("@")[2].lower()
    who, _ = rehearsal.person(rx, links, domain, one.subscriber_id)
    made = Recipient(
        email=one.address,
        first_name=who.first_name,
        fields=who.fields,
        track=who.track,
        leave=who.leave,
        message_id=f"trial.{one.account_id}.{one.id}.{one.created_at}@{domain}",
        date_ms=one.created_at,
        now=who.now,
    )
    said = frozen.content(track_opens=False, track_clicks=False)
    list_id = f"{frozen.sender_name} <account-{rx.account_id}.{domain}>"
    return Words((rx.account_id, "trial", frozen), said, list_id, ""), made


def settle(tx: Tx, one: Trial, reply: str, *, sent: bool, lasting: bool) -> None:
    """Note how a try ended; one that may yet succeed waits for its next time."""
    ends = sent or lasting or one.attempts + 1 >= len(WAITS_MS)
    tx.run(
        "UPDATE trials SET state = :state, reply = :reply, settled_at = :settled_at"
        " WHERE account_id = :account_id AND id = :id AND state = 'queued'",
        state=("sent" if sent else "failed") if ends else "queued",
        reply=reply[:500],
        settled_at=tx.now if ends else None,
        account_id=one.account_id,
        id=one.id,
    )


def fold(tx: Tx, before_at: int, limit: int) -> int:
    """Forget trials of all accounts that were settled before then, their copies in the Outbox too."""
    rows = tx.all(
        "SELECT account_id, id FROM trials WHERE state <> 'queued' AND settled_at < :before_at"
        " ORDER BY settled_at LIMIT :limit",
        before_at=before_at,
        limit=limit,
    )
    for account_id, trial_id in rows:
        own = tx.for_account(account_id)
        outbox.drop(own, number(trial_id))
        own.run(
            "DELETE FROM trials WHERE account_id = :account_id AND id = :id",
            account_id=account_id,
            id=trial_id,
        )
    return len(rows)


def _checked(given: str) -> str:
    try:
        return address.parse(given.strip()).email
    except ValueError as problem:
        raise Invalid("address", f"{given.strip()[:100]} is not an email address: {problem}") from problem

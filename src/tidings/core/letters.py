"""Letters in bulk: the words of a broadcast, a sequence's email or a rule's, and the people of a batch.

Owns no table. What is the same for all is compiled once by who calls (see `mail.content`).
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from tidings.core import accounts, automations, sequences, snippets, subscribers, tracking
from tidings.core.broadcasts import course
from tidings.core.deliveries import Delivery
from tidings.errors import NotFound, Problem
from tidings.mail import content
from tidings.mail.content import Content, Recipient
from tidings.store.tx import Rx, Tx
from tidings.tokens import Links, link_ref

# People asked for at once.
PEOPLE = 50


class Unfit(Problem):
    """These deliveries can never be composed; the message says why."""


class Words(msgspec.Struct, frozen=True):
    """The content of many deliveries; `key` changes when the words do."""

    key: tuple[object, ...]
    content: Content
    list_id: str
    feedback: str

    @property
    def from_domain(self) -> str:
        """The domain that the mail is from."""
        return self.content.from_address.rpartition("@")[2].lower()


def words(rx: Rx, owner: str) -> Words:
    """Return the content of a broadcast, or of a sequence's or rule's email, or raise Unfit."""
    kind, _, ref = owner.partition(":")
    account = accounts.get(rx)
    opens, clicks = accounts.tracking(rx)
    if kind == "broadcast":
        frozen = course.frozen(rx, int(ref))
        if frozen is None:
            raise Unfit("the broadcast is gone")
        said = frozen
    elif kind == "sequence-email":
        try:
            said = sequence_email(rx, int(ref))
        except NotFound as problem:
            raise Unfit("the email of the sequence is gone") from problem
    elif kind == automations.OCCASION:
        try:
            mail = automations.email_of(rx, int(ref))
        except NotFound as problem:
            raise Unfit("the rule is gone, or sends no email any more") from problem
        said = _said(rx, account, mail.subject, mail.html, mail.text, mail.preheader)
    else:
        raise Unfit(f"nothing is known of the occasion {kind}")
    made = said.content(track_opens=opens, track_clicks=clicks)
    domain = said.from_address.rpartition("@")[2].lower()
    return Words(
        (rx.account_id, owner, said, opens, clicks),
        made,
        f"{said.sender_name} <account-{rx.account_id}.{domain}>",
        content.feedback_id(owner, rx.account_id),
    )


def sequence_email(rx: Rx, email_id: int) -> course.Frozen:
    """Return an email of a sequence as it would be sent now, or raise NotFound."""
    email = sequences.email(rx, email_id)
    return _said(rx, accounts.get(rx), email.subject, email.html, email.text, email.preheader)


def _said(
    rx: Rx, account: accounts.Account, subject: str, html: str, text: str | None, preheader: str
) -> course.Frozen:
    """Return the words of an email that is sent as the account stands now."""
    return course.Frozen(
        subject=subject,
        html=html,
        text=text,
        preheader=preheader,
        layout="text only",
        from_name=account.name,
        from_address=account.primary_email,
        reply_to=None,
        postal_address=account.postal_address or "",
        sender_name=account.name or account.primary_email,
        snippets=snippets.named_in(rx, subject, html, text, preheader),
        lang=accounts.language(rx),
    )


def refs(tx: Tx, owner: str, urls: Sequence[str], links: Links) -> list[str]:
    """Return the reference of each link of a content, made where it is missing."""
    ids = tracking.link_ids(tx, owner, list(urls))
    return [link_ref(links.key, tx.account_id, one) for one in ids]


def recipients(rx: Rx, claimed: list[Delivery], links: Links, domain: str) -> list[Recipient | None]:
    """Return each delivery's person as a letter needs them; None for who is gone."""
    people: dict[int, subscribers.Subscriber] = {}
    ids = list(dict.fromkeys(one.subscriber_id for one in claimed))
    for at in range(0, len(ids), PEOPLE):
        people.update(subscribers.by_ids(rx, ids[at : at + PEOPLE]))
    return [
        _recipient(one, people[one.subscriber_id], links, domain) if one.subscriber_id in people else None
        for one in claimed
    ]


def _recipient(one: Delivery, who: subscribers.Subscriber, links: Links, domain: str) -> Recipient:
    # Whatever the attempt, the same message: its date and id are the delivery's own.
    return Recipient(
        email=who.email,
        first_name=who.first_name,
        fields=who.fields,
        track=links.track_token(one.account_id, one.id, who.id),
        leave=links.leave_token(one.account_id, who.id, one.id),
        message_id=f"{one.account_id}.{one.id}.{one.created_at}@{domain}",
        date_ms=one.created_at,
        now=datetime.fromtimestamp(one.created_at / 1_000, UTC).date(),
    )

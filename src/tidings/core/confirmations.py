"""Confirmations: the mail that asks, and the click that says yes.

Owns `confirmation_caps`. A mailbox gets at most three in any 24 hours over the whole
installation, whatever the form, the key or the spelling of the address.
"""

from tidings.core import deliveries, events, subscribers, subscriptions, suppressions
from tidings.core.events import Origin
from tidings.core.subscribers import Subscriber
from tidings.core.subscriptions import Subscription
from tidings.errors import Problem
from tidings.mail import address
from tidings.store.tx import Tx

CAP_MS = 24 * 3_600_000
LINK_DAYS = 7
LINK_MS = LINK_DAYS * 24 * 3_600_000
PURPOSE = "confirm"


class Expired(Problem):
    """The link is older than seven days."""


def queue(tx: Tx, subscription: Subscription, n: int) -> None:
    """Queue the n-th confirmation of a subscription, once its mailbox was admitted."""
    deliveries.queue(tx, f"confirm:{subscription.id}:{n}", subscription.subscriber_id, lane="now")


def confirm(tx: Tx, subscription_id: int, asked_at: int, origin: Origin) -> tuple[Subscription, Subscriber]:
    """Confirm a subscription by the link in its email; a second click changes nothing.

    It alone lifts a suppression: whose mailbox it is has asked for mail and said so.
    """
    if tx.now > asked_at + LINK_MS:
        raise Expired(f"this link is older than {LINK_DAYS} days")
    subscription = subscriptions.get(tx, subscription_id)
    who = subscribers.get(tx, subscription.subscriber_id)
    if who.state == "inactive":
        suppressions.lift(tx, address.parse(who.email).mailbox)
        who = subscriptions.turn(tx, who, "active")
        events.record(tx, "subscriber_activate", who, who.id, origin, subject_id=subscription.ref_id)
    if who.state == "active":
        subscriptions.confirmed(tx, subscription_id)
    return subscriptions.get(tx, subscription_id), who


def admit(tx: Tx, mailbox: str) -> bool:
    """Take one of the mailbox's three places, if one is free: check and change in one statement."""
    row = tx.one(
        "INSERT INTO confirmation_caps (account_id, mailbox, first_at, second_at, third_at)"
        " VALUES (0, :mailbox, :now, 0, 0) ON CONFLICT (account_id, mailbox) DO UPDATE SET"
        " first_at = :now, second_at = confirmation_caps.first_at, third_at = confirmation_caps.second_at"
        " WHERE confirmation_caps.third_at <= :since RETURNING mailbox",
        mailbox=mailbox,
        now=tx.now,
        since=tx.now - CAP_MS,
    )
    return row is not None


def forget(tx: Tx, mailbox: str) -> None:
    """Forget when confirmations went to a mailbox."""
    tx.run("DELETE FROM confirmation_caps WHERE account_id = 0 AND mailbox = :mailbox", mailbox=mailbox)

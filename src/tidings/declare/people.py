"""Applying people and what they bought.

A person who is known is never brought back: the file's state counts when they are made,
and later only for the worse. Whoever left a form stays out of it. Nothing here asks for
a confirmation.
"""

import msgspec

from tidings.core import custom_fields, events, purchases, subscribers, subscriptions
from tidings.core.events import Origin
from tidings.core.purchases import Order, Product, Purchase
from tidings.core.subscribers import Subscriber
from tidings.declare import wanted
from tidings.declare.outcome import Known, Odd, Outcome, refuse_other_id, refuse_taken
from tidings.store.tx import Tx

ORIGIN = Origin(door="command")
_AMOUNTS = ("subtotal", "discount", "tax", "shipping", "total")
_TURNS = {"bounced": "subscriber_bounce", "complained": "subscriber_complain"}


def subscriber(tx: Tx, want: wanted.Subscriber, known: Known, notes: list[str]) -> Outcome:
    """Make a person in their state, with what they are subscribed to; or add what is missing."""
    keys = {field.key for field in custom_fields.all_fields(tx)}
    for key in want.fields:
        if key not in keys:
            raise Odd("fields", f"the account has no custom field with the key {ascii(key)[1:-1]}")
    joins = [("form", one) for one in known.ids("form", want.forms, "forms")]
    joins += [("sequence", one) for one in known.ids("sequence", want.sequences, "sequences")]
    joins += [("tag", one) for one in known.ids("tag", want.tags, "tags")]
    held = subscribers.find(tx, want.email)
    if held is None:
        refuse_taken(want.id, taken=want.id is not None and subscribers.taken(tx, want.id))
        _make(tx, want, joins)
        return "made"
    refuse_other_id(want.id, held.id, f"the subscriber {want.email}")
    who, _ = subscribers.meet(tx, _person(want), held.state, ORIGIN)
    joined = [_join(tx, who, kind, ref_id) for kind, ref_id in joins]
    turned = _worsen(tx, who, want.state)
    if not turned and want.state != held.state:
        notes.append(f"{want.email} is {held.state} and stays so")
    return "changed" if who != held or any(joined) or turned else "left"


def purchase(tx: Tx, want: wanted.Purchase) -> Outcome:
    """Keep a purchase, or bring the one of this transaction up to date."""
    held = purchases.by_transaction(tx, want.transaction_id)
    products = [
        Product(one.pid, one.lid, one.name, one.sku, one.unit_price, one.quantity) for one in want.products
    ]
    if held is not None and _as_declared(held, want, products):
        return "left"
    order = Order(
        transaction_id=want.transaction_id,
        email=want.email,
        currency=want.currency,
        status=want.status,
        transaction_at=want.transaction_time,
        integration=held.integration if held else None,
        products=[msgspec.structs.asdict(one) for one in products],
        **{name: getattr(want, name) for name in _AMOUNTS},
    )
    purchases.record(tx, order, ORIGIN)
    return "changed" if held else "made"


def _make(tx: Tx, want: wanted.Subscriber, joins: list[tuple[str, int]]) -> None:
    """Make a person: all but the inactive were active before they became what they are."""
    first = "inactive" if want.state == "inactive" else "active"
    who, is_new = subscribers.meet(tx, _person(want), first, ORIGIN, given_id=want.id)
    for kind, ref_id in joins:
        subscriptions.start(tx, who, kind, ref_id, ORIGIN, newcomer=is_new)
    if is_new and who.state == "active":
        events.record(tx, "subscriber_activate", who, who.id, ORIGIN)
    _worsen(tx, who, want.state)


def _person(want: wanted.Subscriber) -> subscribers.Person:
    return subscribers.person(want.email, want.first_name, want.fields)


def _join(tx: Tx, who: Subscriber, kind: str, ref_id: int) -> bool:
    """Let a known person join what they never were in; only tags when they have gone."""
    if kind != "tag" and who.state not in ("active", "inactive"):
        return False
    if subscriptions.find(tx, who.id, kind, ref_id) is not None:
        return False
    subscriptions.start(tx, who, kind, ref_id, ORIGIN)
    return True


def _worsen(tx: Tx, who: Subscriber, state: str) -> bool:
    """Turn a person to cancelled, bounced or complained; return whether that was new."""
    if who.state in ("bounced", "complained") or state == who.state:
        return False
    if state == "cancelled":
        subscriptions.unsubscribe(tx, who, ORIGIN)
        return True
    if state in _TURNS:
        gone = subscriptions.turn(tx, who, state)
        events.record(tx, _TURNS[state], gone, who.id, ORIGIN)
        return True
    return False


def _as_declared(held: Purchase, want: wanted.Purchase, products: list[Product]) -> bool:
    """Whether a purchase is as the file says; its time counts only where the file gives one."""
    said = [(held.email, want.email), (held.currency, want.currency), (held.status, want.status)]
    said += [(getattr(held, name), getattr(want, name)) for name in _AMOUNTS]
    at = want.transaction_time
    return (
        all(one == other for one, other in said)
        and held.products == products
        and at
        in (
            None,
            held.transaction_at,
        )
    )

"""What a webhook is told, in the words of v3. Contract section 4.

Subscriber events are `{"subscriber": {…}}`, purchase events the bare purchase; both are made from the
event's own snapshot, so that what is posted late says how it was then.
"""

import msgspec

from tidings.core.events import Event
from tidings.core.purchases import Purchase
from tidings.core.subscribers import Subscriber
from tidings.web.api_v3 import shapes

_encode = msgspec.json.Encoder().encode


def of_event(event: Event) -> str:
    """Return the payload of an event as JSON text."""
    if event.name == "purchase_create" and event.detail is not None:
        bought = msgspec.json.decode(event.detail, type=Purchase)
        return _encode(shapes.purchase(bought)).decode()
    return of_subscriber(msgspec.json.decode(event.snapshot, type=Subscriber))


def of_subscriber(who: Subscriber) -> str:
    """Return the payload that tells of a person as they are given here."""
    return _encode({"subscriber": shapes.subscriber(who)}).decode()

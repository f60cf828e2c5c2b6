"""Words: what a row of a source means, in sentences for whoever looks at a person."""

from collections.abc import Callable

import msgspec

from tidings.core import custom_fields, forms, sequences
from tidings.core.events import Origin
from tidings.core.history import batches
from tidings.core.history.batches import Batch
from tidings.core.history.sources import Found
from tidings.errors import NotFound
from tidings.store.tx import Rx

# Events by which a person, or somebody for them, says that they want mail.
CONSENTS = ("form_subscribe", "course_subscribe", "subscriber_activate")
_TITLES = {
    "subscriber_activate": "became active",
    "subscriber_unsubscribe": "unsubscribed from everything",
    "subscriber_bounce": "bounced",
    "subscriber_complain": "complained",
    "form_subscribe": "joined the form",
    "course_subscribe": "joined the sequence",
    "course_complete": "finished the sequence",
    "tag_add": "got the tag",
    "tag_remove": "lost the tag",
    "link_click": "clicked a link for the first time",
    "product_purchase": "bought the product",
    "purchase_create": "bought something",
    "field_change": "has a new value in the field",
    "name_change": "has a new name",
    "address_change": "has a new address",
}
_OF = {
    "form_subscribe": "form", "course_subscribe": "sequence", "course_complete": "sequence",
    "tag_add": "tag", "tag_remove": "tag", "field_change": "field",
}  # fmt: skip
_DOORS = {
    "api": "the API", "form": "a form", "link": "a link in a mail", "command": "a command",
    "dashboard": "the dashboard", "engine": "the engine",
}  # fmt: skip


class Moment(msgspec.Struct, frozen=True):
    """One moment of a timeline; `at` in epoch ms.

    `kind` is consent, event, mail, open, click, purchase, notice, rule or leave; `cause` says who or
    what brought it about, empty where that is plain.
    """

    at: int
    kind: str
    title: str
    detail: str
    cause: str


class Names:
    """Makes sentences of rows; what they name was asked for before, in one batch."""

    def __init__(self, rx: Rx, batch: Batch) -> None:
        self._rx = rx
        self._batch = batch
        self._make: dict[str, Callable[[Found], Moment]] = {
            "event": self._event,
            "mail": self._mail,
            "hit": self._hit,
            "purchase": self._purchase,
            "notice": self._notice,
            "rule": self._rule,
            "leave": self._leave,
        }

    def moment(self, found: Found) -> Moment:
        """Return what a row means."""
        return self._make[found.source](found)

    def _event(self, found: Found) -> Moment:
        name, subject_id, value, packed = found.row
        origin = msgspec.json.decode(packed, type=Origin)
        title = _TITLES.get(name, name)
        if name in _OF and subject_id is not None:
            title = f"{title} {self._name(_OF[name], subject_id)}"
        detail = [value] if value else []
        kind = "event"
        if name in CONSENTS:
            kind = "consent"
            told = (("from", origin.address), ("source", origin.source), ("referrer", origin.referrer))
            detail += [f"{label} {said}" for label, said in told if said]
            detail += [f"words of the form {origin.text}"] if origin.text else []
        elif origin.address:
            detail.append(f"from {origin.address}")
        return Moment(found.place.at, kind, title, ", ".join(detail), self._cause(origin))

    def _mail(self, found: Found) -> Moment:
        occasion, state, attempts, reply, _, _ = found.row
        detail = [f"mail {found.place.id}, {state}"]
        if reply:
            detail.append(reply)
        if batches.told(state, attempts):
            tries = self._batch.tries.get(found.place.id, [])
            detail += [f"try {one.n}: {one.state}, {one.reply}" for one in tries]
        return Moment(found.place.at, "mail", self.occasion(occasion), "; ".join(detail), "")

    def _hit(self, found: Found) -> Moment:
        delivery_id, link_id, machine, agent, address = found.row
        kind, title = "open", "opened a mail"
        if link_id is not None:
            url = self._batch.names.get(("link", link_id))
            kind, title = "click", f"clicked {url or 'a link that no person sees'}"
        detail = [f"mail {delivery_id}", f"from {address}" if address else "", agent]
        who = f"a machine ({machine})" if machine else ""
        return Moment(found.place.at, kind, title, ", ".join(one for one in detail if one), who)

    def _purchase(self, found: Found) -> Moment:
        transaction_id, status, currency, total, integration = found.row
        lines = self._batch.products.get(found.place.id, [])[: batches.PRODUCTS_MAX]
        bought = [f"{quantity} × {name}" for name, quantity in lines]
        title = f"bought for {total} {currency}"
        detail = ", ".join([f"transaction {transaction_id}", status, *bought])
        return Moment(found.place.at, "purchase", title, detail, integration or "")

    def _notice(self, found: Found) -> Moment:
        webhook_id, name, state, attempts = found.row
        detail = f"{state} after {attempts} tries" if attempts != 1 else f"{state} after 1 try"
        title = f"{name} told to {self._name('webhook', webhook_id)}"
        return Moment(found.place.at, "notice", title, detail, "")

    def _rule(self, found: Found) -> Moment:
        rule_id, _, state, said = found.row
        title = f"rule {self._name('rule', rule_id)}: {state}"
        return Moment(found.place.at, "rule", title, said, f"rule:{rule_id}")

    def _leave(self, found: Found) -> Moment:
        delivery_id, way, before, undone_at = found.row
        detail = f"by mail {delivery_id}, was {before}" + (", taken back later" if undone_at else "")
        how = "by one click" if way == "one-click" else "by the page"
        return Moment(found.place.at, "leave", f"left {how}", detail, "a link in a mail")

    def _cause(self, origin: Origin) -> str:
        """Say who or what brought something about."""
        if origin.door == "rule":
            _, _, ref = origin.source.partition(":")
            name = f" ({self._name('rule', int(ref))})" if ref.isdecimal() else ""
            return f"{origin.source}{name}"
        # Of an import that the dashboard asked for too: the file says more than the door.
        if origin.source.startswith("import "):
            return "an import"
        return _DOORS.get(origin.door, origin.door)

    def occasion(self, occasion: str) -> str:
        """Say which mail it is."""
        named = batches.of_occasion(occasion)
        if named is None:
            asks = occasion.startswith("confirm:")
            return "mail that asks for a confirmation" if asks else f"mail: {occasion}"
        said = {"broadcast": "broadcast", "email": "email of a sequence:", "rule": "email of the rule"}
        return f"{said[named[0]]} {self._name(*named)}"

    def _name(self, kind: str, ref_id: int) -> str:
        look = _LOOK.get(kind)
        name = _look(self._rx, look, ref_id) if look else self._batch.names.get((kind, ref_id))
        return name or f"{ref_id} (gone)"


# What is in memory.
_LOOK: dict[str, Callable[[Rx, int], str | None]] = {
    "form": lambda rx, ref_id: forms.find(rx, ref_id).name,
    "sequence": lambda rx, ref_id: sequences.find(rx, ref_id).name,
    "field": lambda rx, ref_id: custom_fields.find(rx, ref_id).label,
}


def _look(rx: Rx, look: Callable[[Rx, int], str | None], ref_id: int) -> str | None:
    """Return what a thing is called; None for one that is gone."""
    try:
        return look(rx, ref_id)
    except NotFound:
        return None

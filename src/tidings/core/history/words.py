"""Words: what a row of a source means, in sentences for whoever looks at a person."""

from collections.abc import Callable

import msgspec

from tidings.core import broadcasts, custom_fields, deliveries, forms, sequences, tags, tracking
from tidings.core.events import Origin
from tidings.core.history import sources
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
    """Makes sentences of rows; what things are called is asked once for each."""

    def __init__(self, rx: Rx) -> None:
        self._rx = rx
        self._known: dict[tuple[str, int], str] = {}
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
        if attempts > 1 or state not in ("sent", "queued", "claimed", "handed"):
            tries = deliveries.attempts_of(self._rx, found.place.id)
            detail += [f"try {one.n}: {one.state}, {one.reply}" for one in tries]
        return Moment(found.place.at, "mail", self._occasion(occasion), "; ".join(detail), "")

    def _hit(self, found: Found) -> Moment:
        delivery_id, link_id, machine, agent, address = found.row
        link = tracking.link(self._rx, link_id) if link_id is not None else None
        kind = "open" if link_id is None else "click"
        title = "opened a mail" if link is None else f"clicked {link.url or 'a link that no person sees'}"
        detail = [f"mail {delivery_id}", f"from {address}" if address else "", agent]
        who = f"a machine ({machine})" if machine else ""
        return Moment(found.place.at, kind, title, ", ".join(one for one in detail if one), who)

    def _purchase(self, found: Found) -> Moment:
        transaction_id, status, currency, total, integration = found.row
        bought = [f"{quantity} × {name}" for name, quantity in sources.products(self._rx, found.place.id)]
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
        return _DOORS.get(origin.door, origin.door)

    def _occasion(self, occasion: str) -> str:
        kind, _, rest = occasion.partition(":")
        ref = rest.partition(":")[0]
        number = int(ref) if ref.isdecimal() else 0
        match kind:
            case "confirm":
                return "mail that asks for a confirmation"
            case "broadcast":
                return f"broadcast {self._name('broadcast', number)}"
            case "sequence-email":
                return f"email of a sequence: {self._name('email', number)}"
            case "rule-email":
                return f"email of the rule {self._name('rule', number)}"
        return f"mail: {occasion}"

    def _name(self, kind: str, ref_id: int) -> str:
        known = self._known.get((kind, ref_id))
        if known is None:
            known = self._known[kind, ref_id] = _look(self._rx, kind, ref_id) or f"{ref_id} (gone)"
        return known


_LOOK: dict[str, Callable[[Rx, int], str | None]] = {
    "form": lambda rx, ref_id: forms.find(rx, ref_id).name,
    "sequence": lambda rx, ref_id: sequences.find(rx, ref_id).name,
    "tag": tags.name_of,
    "field": lambda rx, ref_id: custom_fields.find(rx, ref_id).label,
    "broadcast": lambda rx, ref_id: broadcasts.find(rx, ref_id).subject,
    "email": lambda rx, ref_id: sequences.email(rx, ref_id).subject,
    "webhook": sources.webhook_target,
    "rule": sources.rule_name,
}


def _look(rx: Rx, kind: str, ref_id: int) -> str | None:
    """Return what a thing is called; None for one that is gone."""
    try:
        return _LOOK[kind](rx, ref_id)
    except NotFound:
        return None

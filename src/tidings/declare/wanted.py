"""What a file declares, as values: one class for each of its tables.

None is a key that is not in the file: it is left as it is, or becomes the default of what
is made. `lines` holds the line of each key, and of the table itself under "".
"""

from collections.abc import Iterator, Mapping

import msgspec

from tidings.core import forms, sequences, subscribers
from tidings.core.slots import ALL_DAYS
from tidings.declare import checks, rules
from tidings.declare.rules import Rule
from tidings.declare.tables import Entry, Keys, Numbered, Ref, Table
from tidings.mail import phrases


class Account(Entry, frozen=True, kw_only=True):
    name: str | None = None
    primary_email: str | None = None
    plan: str | None = None
    time_zone: str | None = None
    language: str | None = None
    postal_address: str | None = None
    ambiguity: str | None = None
    track_opens: bool | None = None
    track_clicks: bool | None = None


class CustomField(Numbered, frozen=True, kw_only=True):
    label: str


class Tag(Numbered, frozen=True, kw_only=True):
    """`public`: people may take and drop it on their preferences page."""

    name: str
    public: bool | None = None


class Snippet(Entry, frozen=True, kw_only=True):
    """What `{{ snippet.NAME }}` becomes in a mail."""

    name: str
    content: str


class Form(Numbered, frozen=True, kw_only=True):
    name: str
    type: str | None = None
    format: str | None = None
    confirm: bool | None = None
    archived: bool | None = None
    title: str | None = None
    description: str | None = None
    sign_up_button_text: str | None = None
    success_message: str | None = None
    redirect_url: str | None = None


class SequenceEmail(Entry, frozen=True, kw_only=True):
    """`delay` in ms after the email before; `weekdays` is a mask, Monday = 1."""

    subject: str
    html: str
    delay: int
    text: str | None = None
    preheader: str = ""
    published: bool = True
    weekdays: int = ALL_DAYS
    hour: int | None = None


class Sequence(Numbered, frozen=True, kw_only=True):
    """`time_zone` says whose clock counts: the account's or each subscriber's; `public` as for tags."""

    name: str
    public: bool | None = None
    archived: bool | None = None
    hold: bool | None = None
    repeat: bool | None = None
    hour: int | None = None
    time_zone: str | None = None
    excluded_tags: list[Ref] | None = None
    excluded_forms: list[Ref] | None = None
    emails: list[SequenceEmail] | None = None


class Subscriber(Numbered, frozen=True, kw_only=True):
    email: str
    first_name: str | None = None
    state: str = "active"
    forms: list[Ref] = msgspec.field(default_factory=list)
    sequences: list[Ref] = msgspec.field(default_factory=list)
    tags: list[Ref] = msgspec.field(default_factory=list)
    fields: Mapping[str, str] = {}


class Broadcast(Numbered, frozen=True, kw_only=True):
    """`send_at` in epoch ms. It goes to who is in any tag, form or sequence, and in none excluded."""

    subject: str
    html: str | None = None
    text: str | None = None
    preheader: str | None = None
    from_name: str | None = None
    reply_to: str | None = None
    layout: str | None = None
    tags: list[Ref] | None = None
    forms: list[Ref] | None = None
    sequences: list[Ref] | None = None
    excluded_tags: list[Ref] | None = None
    excluded_forms: list[Ref] | None = None
    excluded_sequences: list[Ref] | None = None
    status: str | None = None
    send_at: int | None = None


class Product(Entry, frozen=True, kw_only=True):
    pid: str
    lid: str
    name: str
    sku: str | None = None
    unit_price: str = "0.0"
    quantity: int = 1


class Purchase(Entry, frozen=True, kw_only=True):
    """Amounts are decimal text, `transaction_time` epoch ms."""

    transaction_id: str
    email: str
    currency: str = "USD"
    status: str = "paid"
    subtotal: str = "0.0"
    discount: str = "0.0"
    tax: str = "0.0"
    shipping: str = "0.0"
    total: str = "0.0"
    transaction_time: int | None = None
    products: list[Product] = msgspec.field(default_factory=list)


class Webhook(Numbered, frozen=True, kw_only=True):
    """Of what the event needs, one key at most is given."""

    target_url: str
    event: str
    form_id: Ref | None = None
    sequence_id: Ref | None = None
    course_id: Ref | None = None
    tag_id: Ref | None = None
    product_id: str | None = None
    initiator_value: str | None = None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A whole file; `name` is what the file is called in messages."""

    name: str
    account: Account | None = None
    custom_fields: list[CustomField] = []
    tags: list[Tag] = []
    snippets: list[Snippet] = []
    forms: list[Form] = []
    sequences: list[Sequence] = []
    subscribers: list[Subscriber] = []
    broadcasts: list[Broadcast] = []
    purchases: list[Purchase] = []
    webhooks: list[Webhook] = []
    rules: list[Rule] = []

    def numbered(self) -> Iterator[tuple[str, list[Numbered]]]:
        """The tables of the database whose ids a file may give, with the entries that give one."""
        for name in _NUMBERED:
            given = [one for one in getattr(self, name) if one.id is not None]
            if given:
                yield name, given


_NUMBERED = (
    "custom_fields", "tags", "forms", "sequences", "subscribers", "broadcasts", "webhooks", "rules",
)  # fmt: skip
_EMAILS = Table(
    "[[sequences.emails]]",
    SequenceEmail,
    {
        "subject": checks.subject,
        "html": checks.text,
        "delay": checks.delay,
        "text": checks.text,
        "preheader": checks.line_or_blank,
        "published": checks.flag,
        "weekdays": checks.weekdays,
        "hour": checks.hour,
    },
)
_PRODUCTS = Table(
    "the products of [[purchases]]",
    Product,
    {
        "pid": checks.code,
        "lid": checks.code,
        "name": checks.line,
        "sku": checks.code,
        "unit_price": checks.money,
        "quantity": checks.quantity,
    },
)
_FORM: Keys = {
    "id": checks.ident,
    "name": checks.line,
    "type": checks.one_of(*forms.TYPES),
    "format": checks.one_of(*forms.FORMATS),
    "confirm": checks.flag,
    "archived": checks.flag,
    "title": checks.line_or_blank,
    "description": checks.text,
    "sign_up_button_text": checks.line,
    "success_message": checks.line,
    "redirect_url": checks.url_or_blank,
}
_TAG: Keys = {
    "id": checks.ident,
    "name": checks.line,
    "public": checks.flag,
}
_SEQUENCE: Keys = {
    "id": checks.ident,
    "name": checks.line,
    "public": checks.flag,
    "archived": checks.flag,
    "hold": checks.flag,
    "repeat": checks.flag,
    "hour": checks.hour,
    "time_zone": checks.one_of(*sequences.ZONES),
    "excluded_tags": checks.references,
    "excluded_forms": checks.references,
    "emails": _EMAILS,
}
_SUBSCRIBER: Keys = {
    "id": checks.ident,
    "email": checks.email,
    "first_name": checks.line_or_blank,
    "state": checks.one_of(*subscribers.STATES),
    "forms": checks.references,
    "sequences": checks.references,
    "tags": checks.references,
    "fields": checks.fields,
}
_BROADCAST: Keys = {
    "id": checks.ident,
    "subject": checks.subject,
    "html": checks.text,
    "text": checks.text,
    "preheader": checks.line_or_blank,
    "from_name": checks.line_or_blank,
    "reply_to": checks.email_or_blank,
    "layout": checks.one_of("Text only", "Classic", "Modern"),
    "tags": checks.references,
    "forms": checks.references,
    "sequences": checks.references,
    "excluded_tags": checks.references,
    "excluded_forms": checks.references,
    "excluded_sequences": checks.references,
    "status": checks.one_of("draft", "completed"),
    "send_at": checks.moment,
}
_PURCHASE: Keys = {
    "transaction_id": checks.code,
    "email": checks.email,
    "currency": checks.currency,
    "status": checks.line,
    "subtotal": checks.money,
    "discount": checks.money,
    "tax": checks.money,
    "shipping": checks.money,
    "total": checks.money,
    "transaction_time": checks.moment,
    "products": _PRODUCTS,
}
_WEBHOOK: Keys = {
    "id": checks.ident,
    "target_url": checks.url,
    "event": checks.line,
    "form_id": checks.reference,
    "sequence_id": checks.reference,
    "course_id": checks.reference,
    "tag_id": checks.reference,
    "product_id": checks.code,
    "initiator_value": checks.line,
}

ACCOUNT = Table(
    "[account]",
    Account,
    {
        "name": checks.line,
        "primary_email": checks.email,
        "plan": checks.line,
        "time_zone": checks.time_zone,
        "language": checks.one_of(*phrases.LANGUAGES),
        "postal_address": checks.postal,
        "ambiguity": checks.one_of("retry-once", "hold"),
        "track_opens": checks.flag,
        "track_clicks": checks.flag,
    },
)
TABLES: Mapping[str, Table] = {
    "custom_fields": Table("[[custom_fields]]", CustomField, {"id": checks.ident, "label": checks.line}),
    "tags": Table("[[tags]]", Tag, _TAG),
    "snippets": Table("[[snippets]]", Snippet, {"name": checks.line, "content": checks.text}),
    "forms": Table("[[forms]]", Form, _FORM),
    "sequences": Table("[[sequences]]", Sequence, _SEQUENCE),
    "subscribers": Table("[[subscribers]]", Subscriber, _SUBSCRIBER),
    "broadcasts": Table("[[broadcasts]]", Broadcast, _BROADCAST),
    "purchases": Table("[[purchases]]", Purchase, _PURCHASE),
    "webhooks": Table("[[webhooks]]", Webhook, _WEBHOOK),
    "rules": rules.TABLE,
}

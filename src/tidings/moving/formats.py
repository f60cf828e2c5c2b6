"""Whose export a header is, and what its columns mean.

A column means one of `ROLES`, `field` (a custom field of its name) or nothing. The names are those
of ConvertKit's, Mailchimp's, listmonk's, Ghost's, Beehiiv's and Buttondown's published exports and
our own; other files are read by the same names, or by mapping.
"""

import re
from collections.abc import Mapping, Sequence

import msgspec

ROLES = ("email", "first_name", "last_name", "full_name", "state", "wants", "created_at", "stated_at",
         "confirmed_at", "cancelled_at", "bounced_at", "address", "tags", "forms", "sequences", "source",
         "values")  # fmt: skip
FIELD = "field"
NOTHING = ""
_OWN_FIELD = "fields."
# In a mapping, what is said to be a field although its label is also the name of a role.
AS_FIELD = "field:"
_WORD = re.compile(r"[^a-z0-9.]+")

# Which columns a format has beside the address; the first that has them all is it.
_SIGNS: tuple[tuple[str, frozenset[str]], ...] = (
    ("Tidings", frozenset({"email", "state", "state_at", "created_at", "tags"})),
    ("Mailchimp", frozenset({"email_address", "member_rating"})),
    ("Mailchimp", frozenset({"email_address", "leid", "euid"})),
    ("listmonk", frozenset({"uuid", "email", "attributes", "status"})),
    ("Ghost", frozenset({"email", "subscribed_to_emails", "labels"})),
    ("Buttondown", frozenset({"email", "creation_date", "tags"})),
    ("Buttondown", frozenset({"email_address", "creation_date", "tags"})),
    ("Beehiiv", frozenset({"email", "subscription_tier", "status"})),
    ("Beehiiv", frozenset({"email", "subscribed_at", "subscriber_id"})),
    ("ConvertKit", frozenset({"email_address", "first_name", "state", "created_at"})),
    ("ConvertKit", frozenset({"email", "first_name", "status", "created_at"})),
)
_EVERYWHERE: Mapping[str, str] = {
    "email": "email", "email_address": "email", "e_mail": "email", "mail": "email", "e_mail_address": "email",
    "emailaddress": "email", "subscriber_email": "email",
    "first_name": "first_name", "firstname": "first_name", "fname": "first_name", "given_name": "first_name",
    "last_name": "last_name", "lastname": "last_name", "lname": "last_name", "surname": "last_name",
    "family_name": "last_name", "name": "full_name", "full_name": "full_name",
    "state": "state", "status": "state", "subscriber_state": "state",
    "created_at": "created_at", "created": "created_at", "subscribed_at": "created_at",
    "creation_date": "created_at", "date_added": "created_at", "subscribed": "created_at",
    "signup_date": "created_at", "optin_time": "created_at",
    "confirm_time": "confirmed_at", "confirmed_at": "confirmed_at",
    "unsub_time": "cancelled_at", "unsubscribed_at": "cancelled_at", "cancelled_at": "cancelled_at",
    "unsubscription_date": "cancelled_at", "clean_time": "bounced_at", "bounced_at": "bounced_at",
    "optin_ip": "address", "confirm_ip": "address", "ip_address": "address", "ip": "address",
    "tags": "tags", "tag": "tags", "labels": "tags",
    "source": "source", "referrer": "source", "referrer_url": "source", "utm_source": "source",
    "acquisition_source": "source",
}  # fmt: skip
_OF_FORMAT: Mapping[str, Mapping[str, str]] = {
    "Tidings": {"state_at": "stated_at", "forms": "forms", "sequences": "sequences",
                "id": NOTHING},
    "listmonk": {"uuid": NOTHING, "attributes": "values", "updated_at": NOTHING, "id": NOTHING},
    "Ghost": {"subscribed_to_emails": "wants", "id": NOTHING, "deleted_at": NOTHING, "tiers": NOTHING,
              "stripe_customer_id": NOTHING, "complimentary_plan": NOTHING},
    "Buttondown": {"type": "state", "subscriber_type": "state", "metadata": "values", "id": NOTHING,
                   "secondary_id": NOTHING},
    "Beehiiv": {"id": NOTHING, "subscriber_id": NOTHING, "subscription_tier": NOTHING,
                "subscription_created_at": "created_at"},
    "Mailchimp": dict.fromkeys(
        ("member_rating", "latitude", "longitude", "gmtoff", "dstoff", "timezone", "cc", "region",
         "last_changed", "leid", "euid", "unsub_campaign_title", "unsub_campaign_id", "unsub_reason",
         "unsub_reason_other", "clean_campaign_title", "clean_campaign_id"),
        NOTHING,
    ),
    "ConvertKit": {"id": NOTHING, "subscriber_id": NOTHING},
}  # fmt: skip
# The words of all of them for a state. Who is cold is active at ConvertKit; listmonk mails nobody
# who is disabled or blocklisted.
STATES: Mapping[str, str] = {
    "active": "active", "confirmed": "active", "subscribed": "active", "enabled": "active",
    "regular": "active", "premium": "active", "gifted": "active", "trialed": "active", "paid": "active",
    "free": "active", "cold": "active", "upgraded": "active",
    "inactive": "inactive", "unconfirmed": "inactive", "unactivated": "inactive", "pending": "inactive",
    "validating": "inactive", "nonsubscribed": "inactive", "non_subscribed": "inactive",
    "cancelled": "cancelled", "canceled": "cancelled", "unsubscribed": "cancelled", "removed": "cancelled",
    "disabled": "cancelled", "blocklisted": "cancelled", "blocked": "cancelled", "deleted": "cancelled",
    "bounced": "bounced", "cleaned": "bounced", "undeliverable": "bounced", "invalid": "bounced",
    "complained": "complained", "spam": "complained", "complaint": "complained", "spammy": "complained",
}  # fmt: skip
# Where a word means something else: at Beehiiv who has unsubscribed is inactive.
_STATES_OF: Mapping[str, Mapping[str, str]] = {"Beehiiv": {"inactive": "cancelled"}}


class Wrong(Exception):
    """The header or the mapping says nothing that people could be made of; the text is for a person."""


class Columns(msgspec.Struct, frozen=True):
    """What a file's columns mean: a role, or `field` with the label of the field, for each.

    `state` is what people are whose row does not say; "" where the file must say it.
    """

    format: str
    roles: tuple[str, ...]
    labels: tuple[str, ...]
    state: str

    @property
    def states(self) -> dict[str, str]:
        """The words of this format for a state, and which of ours each is."""
        return {**STATES, **_STATES_OF.get(self.format, {})}

    @property
    def fields(self) -> list[str]:
        """The labels of the custom fields."""
        return [label for role, label in zip(self.roles, self.labels, strict=True) if role == FIELD]


def recognise(header: Sequence[str], mapped: Mapping[str, str], name: str) -> Columns:
    """Return what the columns mean, one being the address: see `understood`; else raise Wrong."""
    columns = understood(header, mapped, name)
    if "email" not in columns.roles:
        raise Wrong("no column holds the address; say which with --map COLUMN=email")
    return columns


def understood(header: Sequence[str], mapped: Mapping[str, str], name: str) -> Columns:
    """Return what the columns mean; `mapped` (column: role or field) wins, `name` is the file's.

    A column is named by its label, or as `#3` by its number, which is the only way where two have one label.

    Raises Wrong for a mapping of no column.
    """
    labels = [one.strip().lstrip("\ufeff") for one in header]
    words = [_word(label) for label in labels]
    found = next((name for name, sign in _SIGNS if sign <= set(words)), "")
    known = {**_EVERYWHERE, **_OF_FORMAT.get(found, {})}
    wanted = {one.strip().casefold(): role.strip() for one, role in mapped.items()}
    roles: list[str] = []
    for at, word in enumerate(words):
        typed = wanted.pop(f"#{at + 1}", None)
        if typed is None:
            typed = wanted.pop(labels[at].casefold(), None)
        if typed is not None:
            role, labels[at] = _typed(typed)
        elif found == "Tidings" and word.startswith(_OWN_FIELD):
            role, labels[at] = FIELD, word.removeprefix(_OWN_FIELD)
        else:
            role = known.get(word, FIELD if word else NOTHING)
        # Of two columns that mean the same the first has the say; what a person typed comes before both.
        roles.append(role if role in (FIELD, NOTHING) or role not in roles else NOTHING)
    if wanted:
        raise Wrong(f"there is no column {next(iter(wanted))!r}; the columns are: {', '.join(labels[:40])}")
    return Columns(found, tuple(roles), tuple(labels), _state_of(found, words, name))


def _state_of(found: str, words: Sequence[str], name: str) -> str:
    """Return the state of people whose row has none. Mailchimp has a file for each."""
    if found == "Mailchimp":
        if "unsub_time" in words:
            return "cancelled"
        if "clean_time" in words:
            return "bounced"
        if name.startswith("nonsubscribed"):
            return "inactive"
    return "active"


def _typed(typed: str) -> tuple[str, str]:
    if not typed or typed == "-":
        return NOTHING, ""
    if typed.startswith(AS_FIELD):
        return FIELD, typed.removeprefix(AS_FIELD)
    role = typed.casefold().replace(" ", "_")
    return (role, typed) if role in ROLES else (FIELD, typed)


def _word(label: str) -> str:
    return _WORD.sub("_", label.casefold()).strip("_")

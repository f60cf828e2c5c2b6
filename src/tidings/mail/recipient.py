"""Whom a letter goes to, and the names that its template may say."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date

from tidings.mail import markup, message

_TOKEN = re.compile(r"[A-Za-z0-9_.~-]{1,512}\Z")
# Liquid gives these a meaning of their own on anything with parts.
_SPECIAL = frozenset({"size", "first", "last"})
_SUBSCRIBER = frozenset({"first_name", "email_address", "fields"})


@dataclass(frozen=True, slots=True)
class Recipient:
    """One person's part of a letter.

    `track` and `leave` are signed tokens (RFC 3986 unreserved characters only); `message_id` has no
    angle brackets; `date_ms` is UTC epoch milliseconds; `now` is the day that "now" and "today" mean.
    """

    email: str
    first_name: str | None
    fields: Mapping[str, str | None]
    track: str
    leave: str
    message_id: str
    date_ms: int
    now: date

    def check_tokens(self) -> None:
        """Raise `ValueError` for a token that could break out of an address."""
        if _TOKEN.match(self.track) is None or _TOKEN.match(self.leave) is None:
            raise ValueError("a token holds what cannot stand in an address")


class Missing:
    """The value of a name that nobody has."""


MISSING = Missing()
Getter = Callable[[Recipient], str | Missing | None]


@dataclass(frozen=True, slots=True)
class Names:
    """Every name of a letter: what is the same for all (`account_name`, `address`), and the person's."""

    account_name: str
    address: str
    leave_url: str
    preferences_url: str
    snippets: Mapping[str, str] = field(default_factory=dict)

    def getter(self, path: tuple[str, ...]) -> Getter | None:
        """Give what reads a name; None where its meaning is left to a full render."""
        head, rest = path[0], path[1:]
        if head == "subscriber" and rest:
            return _subscriber_getter(rest)
        if path == ("account", "name"):
            return _constant(self.account_name)
        if path == ("address",):
            return _constant(self.address)
        if path == ("unsubscribe_url",):
            return lambda person: self.leave_url + person.leave
        if path == ("subscriber_preferences_url",):
            return lambda person: self.preferences_url + person.leave
        if path in (("now",), ("today",)):
            return lambda person: person.now.isoformat()
        return None if head in _HEADS else _missing

    def values(self, person: Recipient, said: Collection[str] | None) -> dict[str, object]:
        """Give a person's values for a full render; of the fields those that are `said`, or all."""
        given = person.fields
        keys = given if said is None else [key for key in said if key in given]
        fields = {key: tidy(given[key]) for key in keys}
        subscriber: dict[str, object] = {**fields, "fields": fields}
        subscriber["first_name"] = tidy(person.first_name)
        subscriber["email_address"] = tidy(person.email)
        leave = self.leave_url + person.leave
        today = person.now.isoformat()
        return {
            "subscriber": subscriber,
            "account": {"name": self.account_name},
            "address": self.address,
            "unsubscribe_url": leave,
            "unsubscribe_link": leave,
            "subscriber_preferences_url": self.preferences_url + person.leave,
            "snippet": self.snippets,
            "now": today,
            "today": today,
        }

    def unknown(self, path: tuple[str, ...], field_keys: Collection[str] | None) -> bool:
        """Whether nobody has this name; without `field_keys` any field is taken to exist."""
        head, rest = path[0], path[1:]
        if head == "snippet":
            return bool(rest) and rest[0] not in self.snippets
        if head == "account":
            return rest != ("name",)
        if head != "subscriber" or not rest:
            return head not in _HEADS
        key = rest[1] if rest[0] == "fields" and len(rest) > 1 else rest[0]
        return field_keys is not None and key not in _SUBSCRIBER | _SPECIAL and key not in field_keys


_HEADS = frozenset(
    {"subscriber", "account", "address", "unsubscribe_url", "unsubscribe_link", "snippet", "now", "today"}
    | {"subscriber_preferences_url"}
)


def fields_said(paths: Iterable[tuple[str, ...]]) -> frozenset[str] | None:
    """Give the keys of custom fields that a template may say; None where it may say any.

    So a field that no letter asks for costs nothing, and cannot be too long for one.
    """
    said: set[str] = set()
    for path in paths:
        if path[:1] != ("subscriber",):
            continue
        if len(path) == 1 or path in (("subscriber", "fields"), ("subscriber", "size")):
            return None
        said.add(path[2] if path[1] == "fields" else path[1])
        said.add(path[1])
    return frozenset(said)


def tidy(text: str | None) -> str | None:
    """Make a value fit to be shown: no controls, "\\n" alone ends lines; nothing is None, not "".

    So `{% if subscriber.first_name %}` holds only where there is a name to say.
    """
    if not text:
        return None
    if text.isascii() and text.isprintable():
        return text
    return markup.RESERVED.sub("", message.tidied(text)) or None


def _subscriber_getter(rest: tuple[str, ...]) -> Getter | None:
    if rest == ("first_name",):
        return lambda person: tidy(person.first_name)
    if rest == ("email_address",):
        return lambda person: tidy(person.email)
    key = rest[0]
    if key == "fields" and len(rest) == 2:
        key = rest[1]
    elif len(rest) > 1 or key == "fields":
        return None
    if key in _SPECIAL:
        return None

    def read(person: Recipient) -> str | Missing | None:
        text = person.fields.get(key, MISSING)
        return text if isinstance(text, Missing) else tidy(text)

    return read


def _constant(text: str) -> Getter:
    return lambda person: text  # noqa: ARG005 - a getter like the others


def _missing(person: Recipient) -> Missing:  # noqa: ARG001 - a getter like the others
    return MISSING

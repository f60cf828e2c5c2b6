"""Rehearsal: a broadcast made into a mail before it is sent, so that what is wrong is seen by its owner."""

import re
from datetime import UTC, datetime

import msgspec

from tidings.core import accounts, custom_fields, sending, subscribers
from tidings.core.broadcasts.course import Frozen
from tidings.core.subscribers import walks
from tidings.mail import content, proofing
from tidings.mail.press import Source
from tidings.mail.recipient import Recipient
from tidings.store.tx import Rx
from tidings.tokens import Links

# Gmail hides what comes after 102 KB of HTML, the unsubscribe link with it.
CLIPPED_OCTETS = 102_000
# A phone shows some 40 characters of a subject, a desktop some 70.
SUBJECT_SHOWN = 70
_REF = "A" * 16
_LEAVES = re.compile(r"\{\{-?\s{0,127}unsubscribe_(?:url|link)\b")


class Rehearsal(msgspec.Struct, frozen=True):
    """What came of it: `unknown` names render empty for everybody, `size` is octets of HTML.

    `links` are the addresses whose clicks will be counted.
    """

    unknown: tuple[str, ...]
    links: tuple[str, ...]
    size: int

    def remarks(self) -> list[str]:
        """Say in sentences what the owner should look at; nothing when all is well."""
        said = [f"nobody has {{{{ {name} }}}}: it will be empty in every mail" for name in self.unknown]
        if self.size > CLIPPED_OCTETS:
            shown = CLIPPED_OCTETS // 1_000
            said.append(f"the HTML has {self.size // 1_000} KB: Gmail shows {shown} of them")
        return said


class Check(msgspec.Struct, frozen=True):
    """One thing that was looked at: `level` is stop (cannot be sent so), look, or fine; `about` a field."""

    level: str
    about: str
    text: str


class Print(msgspec.Struct, frozen=True):
    """What the press needs to print a letter for one person, and who it is (None: nobody in particular)."""

    key: tuple[object, ...]
    source: Source
    recipient: Recipient
    subscriber_id: int | None


def rehearse(rx: Rx, broadcast_id: int, links: Links, *, outbox: bool) -> Rehearsal:
    """Make the mail of a broadcast for nobody.

    Raises `sending.NotReady` where something is missing, and ValueError, with the line, for a content
    that cannot be made into a mail. Compiling takes up to a second, so in a thread.
    """
    return _made(rx, sending.freeze(rx, broadcast_id, outbox=outbox), links)


def checks(rx: Rx, broadcast_id: int, links: Links, *, outbox: bool) -> list[Check]:
    """Look a broadcast over before it is sent: everything at once, what forbids sending first.

    Compiling takes up to a second, so in a thread.
    """
    return looked_over(rx, sending.as_it_stands(rx, broadcast_id), links, outbox=outbox)


def looked_over(rx: Rx, frozen: Frozen, links: Links, *, outbox: bool) -> list[Check]:
    """Look any letter over, as `checks` does a broadcast."""
    found = [
        *_subject(frozen.subject),
        *_missing(frozen, outbox=outbox),
        *([] if frozen.preheader.strip() else [_NO_PREHEADER]),
    ]
    if frozen.html or frozen.text:
        try:
            made = _made(rx, frozen, links)
        except ValueError as problem:
            found.append(Check("stop", "content", f"The letter cannot be made into a mail: {problem}."))
        else:
            found += [Check("look", "content", f"{_capital(one)}.") for one in made.remarks()]
            found += [
                Check("look", one.kind, f"{_capital(one.text)}.") for one in proofing.findings(frozen.html)
            ]
            found += _fine(frozen, made)
    order = ("stop", "look", "fine")
    return sorted(found, key=lambda one: order.index(one.level))


def may_go(found: list[Check]) -> bool:
    """Say whether nothing forbids sending."""
    return all(one.level != "stop" for one in found)


def letter(rx: Rx, broadcast_id: int, links: Links, subscriber_id: int | None = None) -> Print:
    """Return what prints a broadcast as it stands for one person; none given, for the first there is.

    No open and no click of it is counted, and its link to unsubscribe leads nowhere. Raises NotFound.
    """
    return printed(rx, sending.as_it_stands(rx, broadcast_id), broadcast_id, links, subscriber_id)


def printed(rx: Rx, frozen: Frozen, name: object, links: Links, subscriber_id: int | None = None) -> Print:
    """Return what prints any letter for one person, as `letter` does; `name` tells it from others."""
    domain = frozen.from_address.rpartition("@")[2].lower()
    source = Source(
        frozen.content(track_opens=False, track_clicks=False),
        links.base_url,
        f"{frozen.sender_name} <account-{rx.account_id}.{domain}>",
        {},
        "",
        frozen.lang,
    )
    recipient, known = person(rx, links, domain, subscriber_id)
    return Print((rx.account_id, "rehearsal", name), source, recipient, known)


def person(rx: Rx, links: Links, domain: str, subscriber_id: int | None) -> tuple[Recipient, int | None]:
    """Return somebody as a letter shows them, with tokens that do nothing; raises NotFound."""
    known = subscriber_id
    if known is None:
        known = next((one.id for one in walks.active_after(rx, 0, 1)), None)
    who = subscribers.get(rx, known) if known is not None else None
    made = Recipient(
        email=who.email if who else "reader@example.com",
        first_name=who.first_name if who else None,
        fields=who.fields if who else {one.key: None for one in custom_fields.all_fields(rx)},
        track=links.track_token(rx.account_id, 0, 0),
        leave=links.leave_token(rx.account_id, 0, 0),
        message_id=f"{rx.account_id}.rehearsal.{rx.now}@{domain}",
        date_ms=rx.now,
        now=datetime.fromtimestamp(rx.now / 1_000, UTC).date(),
    )
    return made, known


def _made(rx: Rx, frozen: Frozen, links: Links) -> Rehearsal:
    opens, clicks = accounts.tracking(rx)
    domain = frozen.from_address.rpartition("@")[2].lower()
    compiled = content.compile(
        frozen.content(track_opens=opens, track_clicks=clicks),
        base_url=links.base_url,
        list_id=f"account-{rx.account_id}.{domain}",
        refs=lambda urls: [_REF] * len(urls),
        field_keys=[one.key for one in custom_fields.all_fields(rx)],
    )
    return Rehearsal(compiled.unknown, compiled.links, compiled.size)


_NO_PREHEADER = Check(
    "look", "preheader", "There is no preview line: mail programs show the first words of the letter instead."
)


def _subject(subject: str) -> list[Check]:
    if not subject.strip():
        return [Check("stop", "subject", "The subject is empty.")]
    if len(subject) > SUBJECT_SHOWN and "{" not in subject:
        said = f"The subject has {len(subject)} characters: most mail programs cut it after {SUBJECT_SHOWN}."
        return [Check("look", "subject", said)]
    return []


def _missing(frozen: Frozen, *, outbox: bool) -> list[Check]:
    found = []
    if not (frozen.html.strip() or (frozen.text or "").strip()):
        found.append(Check("stop", "content", "The letter is empty."))
    if not frozen.postal_address:
        said = "The account has no postal address, which every bulk mail must show: add it in the settings."
        found.append(Check("look" if outbox else "stop", "address", said))
    return found


def _fine(frozen: Frozen, made: Rehearsal) -> list[Check]:
    own = _LEAVES.search(frozen.html) or (frozen.text and _LEAVES.search(frozen.text))
    leave = "Your own link to unsubscribe is in it." if own else "A link to unsubscribe is added at its foot."
    found = [Check("fine", "unsubscribe", leave)]
    if frozen.postal_address:
        found.append(Check("fine", "address", "Your postal address is in it."))
    if made.size <= CLIPPED_OCTETS:
        size = f"It has {max(1, made.size // 1_000)} KB; Gmail shows up to {CLIPPED_OCTETS // 1_000}."
        found.append(Check("fine", "size", size))
    return found


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]

"""What the command line shows of broadcasts: their numbers, their audience, their recipients."""

from collections.abc import Sequence

import msgspec

from tidings.cli.ground import plain, when
from tidings.core import broadcasts, deliveries, forms, pacing, sequences, subscribers, tags
from tidings.core.broadcasts import Broadcast, shown
from tidings.core.broadcasts.course import Part
from tidings.core.deliveries import Attempt
from tidings.core.pacing import Finishing, Limits
from tidings.core.tracking import numbers
from tidings.core.tracking.numbers import LinkNumbers
from tidings.store.tx import Rx

PAGE = 50
# What a mail that has come to no end may still become.
_WAITING = ("queued", "claimed", "handed", "deferred")


class Whole(msgspec.Struct, frozen=True):
    """A broadcast with its audience in words, when it will be finished, and its links."""

    broadcast: Broadcast
    standing: str
    progress: float
    audience: str
    finishing: Finishing
    links: list[LinkNumbers]

    def lines(self) -> list[str]:
        """Say it line by line."""
        one = self.broadcast
        facts = [
            ("subject", one.subject or "(none)"),
            ("status", self.standing + (f": {one.paused_why}" if one.paused_at and one.paused_why else "")),
            ("audience", self.audience),
            *_times(one),
        ]
        if one.status in ("sending", "completed"):
            facts += self._numbers()
        said = [f"{name + ':':15}{value}" for name, value in facts]
        if self.links:
            said.append("clicks on each link (people, clicks, machines):")
            said += [
                f"  {link.unique_clicks:>8,} {link.clicks:>8,} {link.machine_clicks:>8,}  {link.url}"
                for link in self.links
            ]
        return said

    def _numbers(self) -> list[tuple[str, str]]:
        one = self.broadcast
        return [
            ("recipients", f"{one.recipients:,}"),
            ("done", f"{self.progress:.1f} %" + self._until()),
            ("sent", f"{one.sent:,}"),
            ("in the Outbox", _noted(one.kept, "did not leave this machine")),
            ("failed", f"{one.failed:,}"),
            ("uncertain", _noted(one.uncertain, "nobody knows whether they arrived")),
            ("suppressed", _noted(one.suppressed, "not sent, since their people left or are bounced")),
            ("to come", f"{max(one.recipients - one.settled, 0):,}"),
            ("opened", f"{_share(one.opens, one.recipients)}; by machines alone {one.machine_opens:,}"),
            ("clicked", f"{_share(one.clicks, one.recipients)}; by machines alone {one.machine_clicks:,}"),
            ("clicks", f"{one.total_clicks:,}"),
            ("unsubscribed", _share(one.unsubscribes, one.recipients)),
        ]

    def _until(self) -> str:
        if self.broadcast.status != "sending" or self.finishing.finish_at is None:
            return ""
        pace = f"{self.finishing.per_second:,.1f} a second"
        return f", finished at about {when(self.finishing.finish_at)} ({pace})"


class Recipient(msgspec.Struct, frozen=True):
    """One recipient with the tries that did not simply succeed; times in epoch ms."""

    subscriber_id: int
    delivery_id: int
    email: str
    state: str
    attempts: int
    reply: str | None
    due_at: int
    handed_at: int | None
    settled_at: int | None
    opened_at: int | None
    clicked_at: int | None
    history: list[Attempt]


def standing(one: Broadcast) -> str:
    """Return the state of a broadcast in a word: paused and cancelled are no status of v3."""
    if one.cancelled_at is not None:
        return "cancelled"
    return f"paused ({one.status})" if one.paused_at is not None else one.status


def line(one: Broadcast) -> dict[str, object]:
    """Return what a list says of a broadcast."""
    return {"id": one.id, "subject": one.subject, "send_at": one.send_at, "recipients": one.recipients}


def whole(rx: Rx, broadcast_id: int, limits: Limits | None) -> Whole:
    """Return all that is shown of one broadcast, or raise NotFound; `limits` are the provider's."""
    one = broadcasts.find(rx, broadcast_id)
    finishing = pacing.finishing(rx, broadcast_id, limits)
    links = numbers.of_owner(rx, f"broadcast:{broadcast_id}")
    return Whole(one, standing(one), one.progress, audience(rx, broadcast_id), finishing, links)


def audience(rx: Rx, broadcast_id: int) -> str:
    """Return whom a broadcast goes to, in words."""
    names = {
        "form": {one.id: one.name for one in forms.all_forms(rx).values()},
        "sequence": {one.id: one.name for one in sequences.all_sequences(rx).values()},
        "tag": {one.id: one.name for one in tags.all_tags(rx).values()},
    }

    def said(parts: list[Part]) -> str:
        each = [f"{one.kind} {one.ref_id} ({names[one.kind].get(one.ref_id, 'gone')})" for one in parts]
        return ", ".join(each)

    parts = shown.parts(rx, broadcast_id)
    included = [one for one in parts if not one.excluded]
    excluded = [one for one in parts if one.excluded]
    words = f"whoever is in {said(included)}" if included else "everybody active"
    return words + (f", but not in {said(excluded)}" if excluded else "")


def recipients(rx: Rx, broadcast_id: int, *, after: int, unsent: bool) -> list[Recipient]:
    """Return one page of recipients, in the order of `deliveries.of_broadcast`; raises NotFound."""
    broadcasts.find(rx, broadcast_id)
    rows = deliveries.of_broadcast(rx, broadcast_id, after_id=after, unsent=unsent, limit=PAGE)
    people = subscribers.by_ids(rx, [one.subscriber_id for one in rows])
    return [
        Recipient(
            subscriber_id=row.subscriber_id,
            delivery_id=row.id,
            email=people[row.subscriber_id].email if row.subscriber_id in people else "(gone)",
            history=deliveries.attempts_of(rx, row.id),
            **{name: getattr(row, name) for name in _OF_THE_ROW},
        )
        for row in rows
    ]


_OF_THE_ROW = (
    *("state", "attempts", "reply", "due_at"),
    *("handed_at", "settled_at", "opened_at", "clicked_at"),
)


def table_of(found: Sequence[Recipient]) -> list[str]:
    """Say recipients line by line, their failed tries below them."""
    widest = max((len(plain(one.email)) for one in found), default=0)
    said = []
    for one in found:
        facts = [one.state]
        if one.settled_at is not None:
            facts.append(when(one.settled_at))
        elif one.state in _WAITING:
            facts.append(f"due {when(one.due_at)}")
        facts += [f"opened {when(one.opened_at)}"] if one.opened_at else []
        facts += [f"clicked {when(one.clicked_at)}"] if one.clicked_at else []
        facts += [one.reply] if one.reply else []
        said.append(plain(f"{one.subscriber_id:>10}  {one.email:{widest}}  {', '.join(facts)}"))
        said += [plain(f"{'':12}try {try_.n}, {when(try_.at)}: {try_.reply}") for try_ in one.history]
    return said


def _times(one: Broadcast) -> list[tuple[str, str]]:
    times = [("scheduled for", one.send_at), ("began", one.started_at), ("cancelled", one.cancelled_at)]
    times += [("completed", one.completed_at)]
    return [(name, when(at)) for name, at in times if at is not None]


def _noted(number: int, note: str) -> str:
    return f"{number:,} ({note})" if number else "0"


def _share(part: int, whole_number: int) -> str:
    share = f" ({100 * part / whole_number:.1f} %)" if whole_number else ""
    return f"{part:,}{share}"

"""One email of a sequence: its words and its time, how it looks to somebody, a test, its place, its end."""

from typing import Final, NamedTuple

import msgspec

from tidings.core import letters, rehearsal, sequences, subscribers, trials
from tidings.core.rehearsal import Check, Print
from tidings.core.sequences import Sequence, SequenceEmail, Written, editing
from tidings.core.slots import ALL_DAYS, DAY_MS, HOUR_MS
from tidings.core.trials import Trial
from tidings.errors import Conflict, Invalid, NotFound, Problem, TooMany
from tidings.store.tx import Rx
from tidings.tokens import Links
from tidings.web.dashboard import frames, mail, meanwhile, merging, pages
from tidings.web.dashboard.asked import Asked
from tidings.web.dashboard.given import Given
from tidings.web.dashboard.meanwhile import Other
from tidings.web.dashboard.routing import EDITOR, VIEWER, Route
from tidings.web.dashboard.sequences import DAYS
from tidings.web.http import Reply

UNITS: Final = {"minutes": 60_000, "hours": HOUR_MS, "days": DAY_MS}
LABELS: Final = (
    ("subject", "Subject"), ("preheader", "Preview line"), ("html", "Letter"), ("text", "Text version"),
    ("amount", "Delay"), ("unit", "Unit of the delay"), ("hour", "Hour"),
)  # fmt: skip
# Where the core's words for a value stand on the page.
_FIELDS: Final = {
    "Subject": "subject", "Preheader": "preheader", "HTML": "html", "Text": "text", "Delay": "amount",
    "Hour": "hour", "Weekdays": "day1",
}  # fmt: skip
_NEW: Final = SequenceEmail("", "", DAY_MS)


class _Looked(NamedTuple):
    """An email of a sequence with what the checks say, the last tests, and its place among the others."""

    sequence: Sequence
    written: Written
    checks: list[Check]
    trials: list[Trial]
    rank: int
    many: int


async def show_new(asked: Asked) -> Reply:
    """GET /sequences/{id}/emails/new"""
    return await _new(asked, 200, await asked.read(sequences.find, asked.id()), Given())


async def add(asked: Asked) -> Reply:
    """POST /sequences/{id}/emails/new: as the last one."""
    given = asked.given
    sequence = await asked.read(sequences.find, asked.id())
    email = _email(given, _NEW)
    if given.ok:
        try:
            made = await asked.do(
                "sequence_email.create", email.subject, sequences.add_email, sequence.id, email
            )
            return asked.see(
                f"/sequences/{sequence.id}/emails/{made}", "The email is the last of the sequence now."
            )
        except Problem as problem:
            _blame(given, problem)
    return await _new(asked, 422, sequence, given)


async def show(asked: Asked) -> Reply:
    """GET /sequences/{id}/emails/{email_id}"""
    return await _page(asked, 200, Given())


async def change(asked: Asked) -> Reply:
    """POST /sequences/{id}/emails/{email_id}"""
    given = asked.given
    held = await _written(asked)
    version = given.number("version", "The version") or 0
    email = _email(given, held.email)
    others: list[Other] = []
    if given.ok:
        try:
            await asked.do(
                "sequence_email.change",
                email.subject,
                sequences.change_email,
                held.id,
                email,
                version=version,
            )
            return asked.see(_place(held), "Saved. Who gets it from now on gets it like this.")
        except Conflict:
            held = await _written(asked)
            meanwhile.overtaken(given, held.version, "this email")
            others = meanwhile.differences(given, LABELS, shown(held.email))
        except Problem as problem:
            _blame(given, problem)
    return await _page(asked, 422, given, others)


async def publish(asked: Asked) -> Reply:
    """POST /sequences/{id}/emails/{email_id}/publish"""
    held = await _written(asked)
    await asked.do("sequence_email.publish", held.email.subject, sequences.publish, held.id)
    return asked.see(f"/sequences/{held.sequence_id}", f"“{held.email.subject}” goes out from now on.")


async def unpublish(asked: Asked) -> Reply:
    """POST /sequences/{id}/emails/{email_id}/unpublish"""
    held = await _written(asked)
    await asked.do("sequence_email.unpublish", held.email.subject, sequences.unpublish, held.id)
    return asked.see(f"/sequences/{held.sequence_id}", f"“{held.email.subject}” is passed over from now on.")


async def move(asked: Asked) -> Reply:
    """POST /sequences/{id}/emails/{email_id}/move: to the place `rank`, from 1."""
    held = await _written(asked)
    rank = asked.given.number("rank", "The place", least=1) or 1
    place = f"/sequences/{held.sequence_id}"
    try:
        await asked.do("sequence_email.move", held.email.subject, sequences.move_email, held.id, rank)
    except Invalid:
        # Another has been removed meanwhile.
        return asked.see(place, "There is no such place any more: look at the order now.", wrong=True)
    return asked.see(place, f"“{held.email.subject}” is number {rank} now.")


async def remove(asked: Asked) -> Reply:
    """POST /sequences/{id}/emails/{email_id}/delete"""
    held = await _written(asked)
    await asked.do("sequence_email.delete", held.email.subject, sequences.remove_email, held.id)
    return asked.see(
        f"/sequences/{held.sequence_id}", f"“{held.email.subject}” is gone. What it did stays counted."
    )


async def show_body(asked: Asked) -> Reply:
    """GET /sequences/{id}/emails/{email_id}/body: as the sender makes it, for one person, for a frame."""
    try:
        print_ = await asked.scan(
            _print, asked.id(), asked.id("email_id"), asked.house.links, asked.asks_id("as")
        )
        (made,) = await asked.house.press.print(print_.key, print_.source, [print_.recipient])
    except ValueError as problem:
        made = str(problem)
    if isinstance(made, str):
        return frames.said(f"The letter cannot be made into a mail: {made}.")
    return frames.mail(mail.read(made).html)


async def test(asked: Asked) -> Reply:
    """POST /sequences/{id}/emails/{email_id}/test: to who is signed in, as the chosen subscriber gets it."""
    held = await _written(asked)
    chosen = next(iter(asked.given.ids("as")), None)
    try:
        await asked.do(
            "sequence_email.test",
            held.email.subject,
            trials.ask_of_email,
            held.id,
            [asked.signed.email],
            chosen,
        )
    except TooMany as problem:
        minutes = problem.retry_after // 60 + 1
        return asked.see(
            _place(held), f"So many tests an hour are enough: try again in {minutes} min.", wrong=True
        )
    except Invalid as problem:
        return asked.see(_place(held), f"Nothing was sent: the {problem.message}.", wrong=True)
    where = "the Outbox" if asked.house.sends_nothing else asked.signed.email
    return asked.see(_place(held), f"The test is on its way to {where}. It is in no number.")


def shown(email: SequenceEmail) -> dict[str, object]:
    """Return what stands in the fields of an email that is there."""
    unit = next(
        (one for one in ("days", "hours") if email.delay_ms and not email.delay_ms % UNITS[one]), "minutes"
    )
    unit = unit if email.delay_ms else "days"
    values: dict[str, object] = {
        "subject": email.subject,
        "preheader": email.preheader,
        "html": email.html,
        "text": email.text,
        "amount": email.delay_ms // UNITS[unit],
        "unit": unit,
        "hour": "" if email.hour is None else email.hour,
        "published": email.published,
    }
    return values | {f"day{at}": bool(email.weekdays >> (at - 1) & 1) for at in range(1, 8)}


def _email(given: Given, held: SequenceEmail) -> SequenceEmail:
    """Read an email from its form."""
    days = sum(1 << at for at in range(7) if given.flag(f"day{at + 1}"))
    if not days:
        given.wrong("day1", "Allow at least one day.")
    unit = given.choice("unit", UNITS, "days")
    amount = given.number("amount", "The delay", most=10_000_000)
    html = given.text("html", "The letter", most=editing.HTML_MAX)
    text = given.text("text", "The text version", most=editing.HTML_MAX)
    return msgspec.structs.replace(
        held,
        subject=given.text("subject", "The subject", needed=True, most=editing.SUBJECT_MAX),
        preheader=given.text("preheader", "The preview line", most=editing.PREHEADER_MAX),
        html=html,
        text=text or None,
        delay_ms=(amount or 0) * UNITS[unit],
        weekdays=days or ALL_DAYS,
        hour=given.number("hour", "The hour", most=23),
        published=given.flag("published"),
    )


def _blame(given: Given, problem: Problem) -> None:
    field = _FIELDS.get(problem.field) if isinstance(problem, Invalid) else None
    given.blame(problem, field)


async def _written(asked: Asked) -> Written:
    return await asked.read(sequences.written, asked.id(), asked.id("email_id"))


def _place(held: Written) -> str:
    return f"/sequences/{held.sequence_id}/emails/{held.id}"


def _look(rx: Rx, sequence_id: int, email_id: int, links: Links, outbox: bool) -> _Looked:
    written = sequences.written(rx, sequence_id, email_id)
    found = rehearsal.looked_over(rx, letters.sequence_email(rx, email_id), links, outbox=outbox)
    order = list(sequences.emails_by_id(rx, sequence_id))
    return _Looked(
        sequences.find(rx, sequence_id), written, found, trials.of_email(rx, email_id),
        order.index(email_id) + 1, len(order),
    )  # fmt: skip


def _print(rx: Rx, sequence_id: int, email_id: int, links: Links, subscriber_id: int | None) -> Print:
    """Return what prints an email for one person; the words are its name, so that no old one is shown."""
    sequences.written(rx, sequence_id, email_id)
    frozen = letters.sequence_email(rx, email_id)
    return rehearsal.printed(rx, frozen, frozen, links, subscriber_id)


async def _chosen(asked: Asked) -> tuple[subscribers.Subscriber | None, str]:
    """Return as whom the email is shown, by `as` (an id) or `who` (an address), and what was not found."""
    try:
        number = asked.asks_id("as")
        if number is not None:
            return await asked.read(subscribers.get, number), ""
        address = asked.asks("who")
        found = await asked.read(subscribers.find, address) if address else None
        return found, "" if found or not address else f"Nobody has the address {address}."
    except NotFound:
        return None, "This subscriber is not there."


async def _new(asked: Asked, status: int, sequence: Sequence, given: Given) -> Reply:
    groups = await asked.read(merging.of_letter)
    return pages.page(
        asked, status, "sequences/new_email.html", policy=merging.POLICY, here="sequences", one=sequence,
        given=given, shown=shown(_NEW), days=DAYS, words_max=editing.HTML_MAX, groups=groups,
    )  # fmt: skip


async def _page(asked: Asked, status: int, given: Given, others: list[Other] | None = None) -> Reply:
    looked = await asked.scan(
        _look, asked.id(), asked.id("email_id"), asked.house.links, asked.house.sends_nothing
    )
    chosen, missing = await _chosen(asked)
    groups = await asked.read(merging.of_letter)
    return pages.page(
        asked, status, "sequences/email.html", policy=merging.POLICY, here="sequences", one=looked.sequence,
        email=looked.written, looked=looked, given=given, shown=shown(looked.written.email), days=DAYS,
        others=others or [], chosen=chosen, missing=missing, words_max=editing.HTML_MAX, groups=groups,
    )  # fmt: skip


_ONE: Final = "/sequences/{id}/emails/{email_id}"
ROUTES: Final = (
    Route("GET", "/sequences/{id}/emails/new", EDITOR, show_new),
    Route("POST", "/sequences/{id}/emails/new", EDITOR, add),
    Route("GET", _ONE, VIEWER, show),
    Route("POST", _ONE, EDITOR, change),
    Route("GET", f"{_ONE}/body", VIEWER, show_body),
    Route("POST", f"{_ONE}/publish", EDITOR, publish),
    Route("POST", f"{_ONE}/unpublish", EDITOR, unpublish),
    Route("POST", f"{_ONE}/move", EDITOR, move),
    Route("POST", f"{_ONE}/delete", EDITOR, remove),
    Route("POST", f"{_ONE}/test", EDITOR, test),
)

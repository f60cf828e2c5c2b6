"""Sequences: the list, one with its emails in order and the people inside, and its settings."""

from typing import Final, NamedTuple

from tidings.core import entries, forms, sequences, tags
from tidings.core.sequences import Exclusions, Sequence, SequenceEmail, numbers
from tidings.core.sequences.numbers import Numbers
from tidings.errors import Invalid, Problem
from tidings.store.tx import Rx, Tx
from tidings.web.dashboard import pages
from tidings.web.dashboard.asked import Asked
from tidings.web.dashboard.given import Given
from tidings.web.dashboard.routing import EDITOR, VIEWER, Route
from tidings.web.http import Reply

PAGE: Final = 50
NAME_MAX: Final = 255
# Names offered while somebody types one; any other name of the account works too.
OFFERED_MOST: Final = 300
NOTHING: Final = Numbers()
# People counted for one page, some 10 ms; beyond its step a number is shown as so many or more.
COUNTED_IN_ALL: Final = 50_000
STEPS: Final = (10_000, 5_000, 2_000, 1_000, 500, 200)


class _Listed(NamedTuple):
    """One page of sequences with what became of them."""

    sequences: list[Sequence]
    people: dict[int, dict[str, int]]
    most: int
    numbers: dict[int, Numbers]
    emails: dict[int, tuple[int, int]]
    more: bool
    open: int
    archived: int


class _Shown(NamedTuple):
    """One sequence: its emails in order, who stands behind which, what became of each."""

    one: Sequence
    emails: dict[int, SequenceEmail]
    people: dict[str, int]
    behind: dict[int, int]
    most: int
    numbers: dict[int, Numbers]
    removed: Numbers
    public: bool


async def show_list(asked: Asked) -> Reply:
    """GET /sequences: those that are open, or the archived ones."""
    archived = asked.asks("archived") == "1"
    listed = await asked.scan(_page, asked.page_number, archived=archived)
    return pages.page(
        asked, 200, "sequences/list.html", here="sequences", listed=listed, number=asked.page_number,
        archived=archived, nothing=NOTHING, most=listed.most,
    )  # fmt: skip


async def show_new(asked: Asked) -> Reply:
    """GET /sequences/new"""
    return pages.page(asked, 200, "sequences/new.html", here="sequences", given=Given())


async def make(asked: Asked) -> Reply:
    """POST /sequences/new"""
    given = asked.given
    name = given.text("name", "The name", needed=True, most=NAME_MAX)
    if given.ok:
        try:
            made = await asked.do(
                "sequence.create",
                name,
                sequences.create,
                name,
                hold=given.flag("hold"),
                repeat=given.flag("repeat"),
            )
            return asked.see(
                f"/sequences/{made}", f"The sequence {name} is there. Now write its first email."
            )
        except Problem as problem:
            given.blame(problem, "name")
    return pages.page(asked, 422, "sequences/new.html", here="sequences", given=given)


async def show(asked: Asked) -> Reply:
    """GET /sequences/{id}: its emails in order, and who is inside."""
    shown = await asked.scan(_look, asked.id())
    return pages.page(
        asked, 200, "sequences/show.html", here="sequences", shown=shown, one=shown.one, nothing=NOTHING,
        when=when, most=shown.most,
    )  # fmt: skip


async def show_settings(asked: Asked) -> Reply:
    """GET /sequences/{id}/settings"""
    return await _settings(asked, 200, Given())


async def change(asked: Asked) -> Reply:
    """POST /sequences/{id}/settings"""
    given = asked.given
    one = await asked.read(sequences.find, asked.id())
    name = given.text("name", "The name", needed=True, most=NAME_MAX)
    zone = given.choice("zone", sequences.ZONES, one.zone)
    hour = given.number("hour", "The hour", most=23)
    if given.ok:
        wanted = Sequence(
            one.id,
            name,
            "hold" if given.flag("hold") else "leave",
            "repeat" if given.flag("repeat") else "once",
            one.created_at,
            hour,
            zone,
        )
        try:
            await asked.do("sequence.change", name, _change, wanted, given.flag("public"))
            return asked.see(f"/sequences/{one.id}/settings", "Saved. Everybody inside is looked at anew.")
        except Problem as problem:
            given.blame(problem, "name")
    return await _settings(asked, 422, given)


async def exclude(asked: Asked) -> Reply:
    """POST /sequences/{id}/exclusions: pass over who has a tag (by its name) or came in by a form."""
    given = asked.given
    one = await asked.read(sequences.find, asked.id())
    name = given.text("tag")
    form_id, drop_tag, drop_form = (
        next(iter(given.ids(one)), None) for one in ("form", "drop_tag", "drop_form")
    )
    if not (name or form_id or drop_tag or drop_form):
        given.wrong("tag", "Choose a tag or a form.")
    if given.ok:
        try:
            await asked.do(
                "sequence.exclude", one.name, _exclude, one.id,
                (name, form_id), (drop_tag, drop_form),
            )  # fmt: skip
            return asked.see(f"/sequences/{one.id}/settings", "Saved. It counts from the next email on.")
        except Invalid as problem:
            given.blame(problem, "tag")
    return await _settings(asked, 422, given)


async def archive(asked: Asked) -> Reply:
    """POST /sequences/{id}/archive"""
    one = await asked.read(sequences.find, asked.id())
    await asked.do("sequence.archive", one.name, sequences.archive, one.id)
    return asked.see(f"/sequences/{one.id}", f"{one.name} is archived: it mails nobody any more.")


async def restore(asked: Asked) -> Reply:
    """POST /sequences/{id}/restore"""
    one = await asked.read(sequences.find, asked.id())
    await asked.do("sequence.restore", one.name, sequences.restore, one.id)
    return asked.see(f"/sequences/{one.id}", f"{one.name} is open again: everybody inside goes on.")


def bound(parts: int) -> int:
    """Return how far so many numbers of people are counted, each of them, for one page."""
    return next((one for one in STEPS if one * parts <= COUNTED_IN_ALL), STEPS[-1])


def when(email: SequenceEmail, default_hour: int | None) -> str:
    """Say on which days and at what hour an email goes out; blank where that is any time."""
    days = "" if email.weekdays == 127 else ", ".join(day[:3] for day in days_of(email.weekdays))
    by_day = email.delay_ms > 0 and email.delay_ms % 86_400_000 == 0
    hour = email.hour if email.hour is not None else default_hour if by_day else None
    return " ".join(part for part in (days, f"at {hour:02d}:00" if hour is not None else "") if part)


def days_of(mask: int) -> list[str]:
    """Return the names of the days in a mask, Monday first."""
    return [day for at, day in enumerate(DAYS) if mask >> at & 1]


DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def _page(rx: Rx, number: int, *, archived: bool) -> _Listed:
    everything = list(reversed(sequences.all_sequences(rx).values()))
    known = [one for one in everything if (one.archived_at is not None) == archived]
    some = known[(number - 1) * PAGE : number * PAGE]
    most = bound(len(some) * 4)
    return _Listed(
        some,
        entries.counts(rx, [one.id for one in some], most),
        most,
        numbers.of_all(rx),
        numbers.emails_of_all(rx),
        len(known) > number * PAGE,
        len(everything) - len(known) if archived else len(known),
        len(known) if archived else len(everything) - len(known),
    )


def _look(rx: Rx, sequence_id: int) -> _Shown:
    one = sequences.find(rx, sequence_id)
    emails = sequences.emails_by_id(rx, sequence_id)
    most = bound(len(emails) + 5)
    counted = numbers.of_sequence(rx, sequence_id)
    removed = NOTHING
    for email_id, theirs in counted.items():
        if email_id not in emails:
            removed = removed.plus(theirs)
    return _Shown(
        one,
        emails,
        entries.counts(rx, [sequence_id], most)[sequence_id],
        entries.behind(rx, sequence_id, list(emails), most),
        most,
        counted,
        removed,
        sequence_id in sequences.public_names(rx),
    )


def _change(tx: Tx, wanted: Sequence, public: bool) -> None:
    before = sequences.find(tx, wanted.id)
    hold, repeat = wanted.at_end == "hold", wanted.entry == "repeat"
    sequences.update(tx, wanted.id, name=wanted.name, hold=hold, repeat=repeat)
    if (before.hour, before.zone) != (wanted.hour, wanted.zone):
        sequences.set_schedule(tx, wanted.id, hour=wanted.hour, zone=wanted.zone)
    sequences.set_public(tx, wanted.id, public=public)


def _exclude(
    tx: Tx, sequence_id: int, more: tuple[str, int | None], fewer: tuple[int | None, int | None]
) -> None:
    """Change whom a sequence passes over by a tag's name or a form's id, and by ids that go."""
    held = sequences.exclusions(tx, sequence_id)
    tag_ids, form_ids = list(held.tags), list(held.forms)
    name, form_id = more
    if name:
        wanted = name.casefold()
        found = [one.id for one in tags.all_tags(tx).values() if one.name.casefold() == wanted]
        if not found:
            raise Invalid("tag", "with this name is not there")
        tag_ids += found[:1]
    if form_id is not None:
        form_ids.append(forms.find(tx, form_id).id)
    wanted_now = Exclusions(
        [one for one in tag_ids if one != fewer[0]], [one for one in form_ids if one != fewer[1]]
    )
    sequences.set_exclusions(tx, sequence_id, wanted_now)


async def _settings(asked: Asked, status: int, given: Given) -> Reply:
    one = await asked.read(sequences.find, asked.id())
    passed = await asked.read(sequences.exclusions, one.id)
    known_tags, known_forms = await asked.read(tags.all_tags), await asked.read(forms.all_forms)
    return pages.page(
        asked,
        status,
        "sequences/settings.html",
        here="sequences",
        one=one,
        given=given,
        public=one.id in await asked.read(sequences.public_names),
        passed_tags=[(ref, known_tags[ref].name) for ref in passed.tags if ref in known_tags],
        passed_forms=[(ref, known_forms[ref].name) for ref in passed.forms if ref in known_forms],
        offered=[one.name for one in list(known_tags.values())[:OFFERED_MOST]],
        forms=[(one.id, one.name) for one in known_forms.values() if one.archived_at is None],
    )


ROUTES: Final = (
    Route("GET", "/sequences", VIEWER, show_list),
    Route("GET", "/sequences/new", EDITOR, show_new),
    Route("POST", "/sequences/new", EDITOR, make),
    Route("GET", "/sequences/{id}", VIEWER, show),
    Route("GET", "/sequences/{id}/settings", VIEWER, show_settings),
    Route("POST", "/sequences/{id}/settings", EDITOR, change),
    Route("POST", "/sequences/{id}/exclusions", EDITOR, exclude),
    Route("POST", "/sequences/{id}/archive", EDITOR, archive),
    Route("POST", "/sequences/{id}/restore", EDITOR, restore),
)

"""The last look: checks, a preview as somebody gets it, test mails, and sending."""

from typing import Final

from tidings.core import audience, broadcasts, launch, rehearsal, sending, subscribers, trials
from tidings.core.broadcasts import Broadcast, shown, writing
from tidings.core.broadcasts.course import Part
from tidings.core.subscribers import Subscriber
from tidings.core.trials import Trial
from tidings.errors import Problem
from tidings.store.tx import Rx
from tidings.web import params
from tidings.web.dashboard import mail, pages, times
from tidings.web.dashboard.asked import Asked
from tidings.web.dashboard.broadcasts import spoken
from tidings.web.dashboard.broadcasts.spoken import named, steps
from tidings.web.dashboard.given import Given
from tidings.web.dashboard.routing import EDITOR, VIEWER, Route
from tidings.web.http import Reply, html_reply

# The letter is its author's or a stranger's HTML: nothing in it runs, and it reaches nothing of ours.
_BODY_POLICY: Final = (
    "default-src 'none'; img-src data: https:; style-src 'unsafe-inline'; form-action 'none'; "
    "base-uri 'none'; frame-ancestors 'self'; sandbox allow-popups allow-popups-to-escape-sandbox"
)


async def show(asked: Asked) -> Reply:
    """GET /broadcasts/{id}/review"""
    one = await asked.read(broadcasts.find, asked.id())
    if one.status not in ("draft", "scheduled"):
        return asked.see(f"/broadcasts/{one.id}")
    return await _page(asked, 200, one, Given())


async def show_letter(asked: Asked) -> Reply:
    """GET /broadcasts/{id}/letter?as=ID: the HTML of the mail, for a frame that lets nothing run."""
    printed = await asked.read(rehearsal.letter, asked.id(), asked.house.links, asked.asks_id("as"))
    (made,) = await asked.house.press.print(printed.key, printed.source, [printed.recipient])
    if isinstance(made, str):
        return pages.message(200, "There is no preview", f"The letter cannot be made into a mail: {made}.")
    start = '<!doctype html><meta charset="utf-8"><base target="_blank">'
    return html_reply(200, start + mail.read(made).html, policy=_BODY_POLICY)


async def test(asked: Asked) -> Reply:
    """POST /broadcasts/{id}/test: send it to a few addresses, to be looked at."""
    one = await asked.read(broadcasts.find, asked.id())
    given = asked.given
    wanted = given.text("address", "The address", needed=True, most=1_000)
    if given.ok:
        addresses = [word for word in wanted.replace(";", ",").replace("\n", ",").split(",") if word.strip()]
        try:
            n = await asked.do(
                "broadcast.test",
                named(one),
                trials.ask,
                one.id,
                addresses,
                params.integer(given.values.get("as")),
            )
            kept = " They are kept in the Outbox." if asked.house.sends_nothing else ""
            place = f"/broadcasts/{one.id}/review"
            return asked.see(place, f"{pages.counted(n, 'test mail')} on the way.{kept}")
        except Problem as problem:
            given.blame(problem, "address")
    return await _page(asked, 422, one, given)


async def send(asked: Asked) -> Reply:
    """POST /broadcasts/{id}/send: now, with a moment to take it back, or at a time; twice sends once."""
    one = await asked.read(broadcasts.find, asked.id())
    given = asked.given
    later = given.choice("when", ("now", "later"), "now") == "later"
    send_at = None
    if later:
        assert asked.shell is not None  # noqa: S101 (a page of an account)
        send_at = times.moment_of(given, "date", "time", asked.shell.zone)
    if given.ok:
        seen = given.text("audience", most=64)
        version = params.integer(given.values.get("version")) or 0
        try:
            sent = await asked.do(
                "broadcast.send", named(one), launch.send_off, one.id,
                version=version, audience=seen, send_at=send_at, outbox=asked.house.sends_nothing,
            )  # fmt: skip
            return asked.see(f"/broadcasts/{sent.id}")
        except (writing.Changed, launch.AnotherAudience) as told:
            one = await asked.read(broadcasts.find, asked.id())
            given.wrong("", f"{told.message}. Please look it over once more; nothing was sent.")
        except sending.NotReady as problem:
            given.wrong("", f"{problem.message.partition(':')[0]}.")
        except Problem as problem:
            given.blame(problem, "date" if later else None)
    return await _page(asked, 422, one, given)


async def _page(asked: Asked, status: int, one: Broadcast, given: Given) -> Reply:
    outbox = asked.house.sends_nothing
    checks = await asked.scan(rehearsal.checks, one.id, asked.house.links, outbox=outbox)
    held = await asked.read(_held, one.id, asked.asks("as"))
    parts, names, person, tried = held
    size = await asked.scan(audience.size, one.id, most=audience.QUICK_MOST)
    assert asked.shell is not None  # noqa: S101 (a page of an account)
    return pages.page(
        asked,
        status,
        "broadcasts/review.html",
        subject=await _subject(asked, one, person),
        here="broadcasts",
        one=one,
        given=given,
        steps=steps(one, asked.signed.role),
        checks=checks,
        may_go=rehearsal.may_go(checks),
        size=size,
        words=spoken.audience(parts, names),
        fingerprint=shown.fingerprint(parts),
        person=person,
        wanted=asked.asks("as"),
        tried=tried,
        me=asked.signed.email,
        tomorrow=times.day_after(asked.house.db.clock(), asked.shell.zone),
        zone_now=times.clock_words(asked.house.db.clock(), asked.shell.zone),
    )


async def _subject(asked: Asked, one: Broadcast, person: Subscriber | None) -> str:
    """Return the subject as the reader of the preview gets it; as it is written where nothing can be made."""
    if "{" not in (one.subject or ""):
        return one.subject or ""
    seen_by = person.id if person else None
    printed = await asked.read(rehearsal.letter, one.id, asked.house.links, seen_by)
    (made,) = await asked.house.press.print(printed.key, printed.source, [printed.recipient])
    fields = [] if isinstance(made, str) else mail.read(made).fields
    return next((value for name, value in fields if name == "Subject"), one.subject or "")


_Held = tuple[list[Part], dict[str, dict[int, str]], Subscriber | None, list[Trial]]


def _held(rx: Rx, broadcast_id: int, wanted: str) -> _Held:
    """Return the audience, whose eyes the preview has, and the last test mails."""
    person = subscribers.find(rx, wanted) if wanted else None
    return shown.parts(rx, broadcast_id), spoken.names_of(rx), person, trials.of_broadcast(rx, broadcast_id)


ROUTES: Final = (
    Route("GET", "/broadcasts/{id}/review", VIEWER, show),
    Route("GET", "/broadcasts/{id}/letter", VIEWER, show_letter),
    Route("POST", "/broadcasts/{id}/test", EDITOR, test),
    Route("POST", "/broadcasts/{id}/send", EDITOR, send),
)

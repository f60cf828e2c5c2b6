"""Webhooks: who is told of what, made, switched, deleted, tested, with their secret and their log."""

from datetime import UTC, datetime
from typing import Final, NamedTuple

from tidings.core import automations, notices, slots, webhooks
from tidings.core.automations import Trigger
from tidings.core.notices import Attempt, Kept
from tidings.core.webhooks import Webhook, keys
from tidings.errors import Conflict, NotFound, Problem
from tidings.store.tx import Rx, Tx
from tidings.web.dashboard import pages, picks, rule_form
from tidings.web.dashboard.asked import NO_STORE, Asked
from tidings.web.dashboard.given import Given
from tidings.web.dashboard.picks import Picks
from tidings.web.dashboard.routing import EDITOR, OWNER, VIEWER, Route
from tidings.web.http import Reply

HERE: Final = "rules"
PAGE: Final = 50
WHY: Final = "switched off in the dashboard"
EVENTS: Final = (
    *(pair for pair in rule_form.WHEN if pair[0] in webhooks.NEEDS),
    ("subscriber_bounce", "bounces"),
    ("subscriber_complain", "complains"),
)
# Slices of one request: 20,000 notices, some seconds.
SLICES_MOST: Final = 40
# What an event is about: how it is picked, and the first of its names in v3.
_ABOUT: Final = {
    "form_id": "form",
    "course_id": "sequence",
    "tag_id": "tag",
    "initiator_value": "url",
    "product_id": "pid",
}


class Listed(NamedTuple):
    """A webhook, what it hears in words, and the name of the rule that it belongs to."""

    hook: Webhook
    hears: str
    rule: str


class Hears(NamedTuple):
    """What a webhook is to hear, as `webhooks.create` takes it."""

    event: str
    subject: str | None = None
    subject_id: int | None = None
    value: str | None = None


class Whole(NamedTuple):
    """A webhook with what its page shows."""

    listed: Listed
    waiting: int
    tries: list[Attempt]


async def show_list(asked: Asked) -> Reply:
    """GET /webhooks"""
    number = min(asked.page_number, 1 + 2 * webhooks.WEBHOOKS_MAX // PAGE)
    found, older = await asked.read(_listed, number)
    return pages.page(
        asked, 200, "webhooks/list.html", here=HERE, found=found, number=number, newer=number - 1, older=older
    )


async def show_new(asked: Asked) -> Reply:
    """GET /webhooks/new"""
    return await _form(asked, 200, Given({"event": "form_subscribe"}))


async def make(asked: Asked) -> Reply:
    """POST /webhooks: a step of the form, or the webhook."""
    given = asked.given
    if given.value("step") == "show":
        return await _form(asked, 200, given)
    known = await asked.read(picks.load)
    hears = _hears(given, known)
    target = given.text("target_url", "The address", needed=True, most=webhooks.URL_MAX)
    if given.ok:
        try:
            made = await asked.do("webhook.create", f"{hears.event} to {target}", _create, hears, target)
        except Problem as problem:
            given.blame(problem)
        else:
            return asked.see(
                f"/webhooks/{made.id}", "The webhook is there. Send a test to see whether it works."
            )
    return await _form(asked, 422, given)


async def show(asked: Asked) -> Reply:
    """GET /webhooks/{id}"""
    return await _show(asked, 200, Given())


async def secret(asked: Asked) -> Reply:
    """POST /webhooks/{id}/secret: the secret, on a page that nobody keeps."""
    hook = await asked.do("webhook.secret", f"webhook {asked.id()}", _seen, asked.id())
    return await _show_secret(asked, hook)


async def rotate(asked: Asked) -> Reply:
    """POST /webhooks/{id}/rotate: a fresh secret, shown at once."""
    hook = await asked.do("webhook.rotate", f"webhook {asked.id()}", webhooks.rotate, asked.id())
    return await _show_secret(asked, hook)


async def switch(asked: Asked) -> Reply:
    """POST /webhooks/{id}/switch"""
    on, place = asked.given.flag("on"), f"/webhooks/{asked.id()}"
    if on:
        await asked.do("webhook.on", f"webhook {asked.id()}", webhooks.enable, asked.id())
        return asked.see(place, "It hears again from now on. What it has missed can be posted again below.")
    await asked.do("webhook.off", f"webhook {asked.id()}", webhooks.disable, asked.id(), WHY)
    return asked.see(place, "It hears nothing any more, and what waited for it is dropped.")


async def test(asked: Asked) -> Reply:
    """POST /webhooks/{id}/test: a sample of its event."""
    place = f"/webhooks/{asked.id()}"
    try:
        await asked.do("webhook.test", f"webhook {asked.id()}", notices.test, asked.id(), asked.house.payload)
    except Conflict:
        return asked.see(place, "It is off: switch it on first, then send a test.", wrong=True)
    return asked.see(
        place + "#log", "A test is on its way. Reload in a moment: what came back stands in the log."
    )


async def show_delete(asked: Asked) -> Reply:
    """GET /webhooks/{id}/delete: the question."""
    found = await asked.read(_one, asked.id())
    if found.rule:
        raise NotFound("webhook")
    return pages.page(asked, 200, "webhooks/delete.html", here=HERE, one=found)


async def delete(asked: Asked) -> Reply:
    """POST /webhooks/{id}/delete"""
    hook = await asked.read(webhooks.find, asked.id())
    await asked.do("webhook.delete", f"{hook.event} to {hook.target_url}", webhooks.delete, hook.id)
    return asked.see("/webhooks", "The webhook is deleted. What waited for it is not posted any more.")


async def replay(asked: Asked) -> Reply:
    """POST /webhooks/{id}/replay: what it was to be told in a time, once more."""
    given = asked.given
    await asked.read(webhooks.find, asked.id())
    zone = asked.shell.zone if asked.shell else "UTC"
    since, until = (_moment(given, name, zone) for name in ("since", "until"))
    if since is None and given.ok:
        given.wrong("since", "From when on?")
    if given.ok and until is not None and since is not None and until <= since:
        given.wrong("until", "This is not after the beginning.")
    if not given.ok or since is None:
        return await _show(asked, 422, given)
    try:
        number, more = await _replay(asked, since, until if until is not None else asked.house.db.clock() + 1)
    except Conflict:
        given.wrong("", "The webhook is off: switch it on first.")
        return await _show(asked, 422, given)
    said = (
        f"{number:,} {'notice is' if number == 1 else 'notices are'} posted again, under the same webhook-id."
    )
    rest = " That was as much as is done at once: choose a later beginning for the rest." if more else ""
    return asked.see(f"/webhooks/{asked.id()}#log", said + rest)


async def show_notice(asked: Asked) -> Reply:
    """GET /webhooks/{id}/notices/{notice}: one notice with all its tries."""
    found, tries = await asked.read(_notice, asked.id(), asked.id("notice"))
    return pages.page(asked, 200, "webhooks/notice.html", here=HERE, notice=found, tries=tries)


async def replay_one(asked: Asked) -> Reply:
    """POST /webhooks/{id}/notices/{notice}/replay"""
    found, _ = await asked.read(_notice, asked.id(), asked.id("notice"))
    place = f"/webhooks/{asked.id()}/notices/{found.id}"
    try:
        await asked.do("webhook.replay", f"notice {found.id}", notices.replay, found.id)
    except Conflict as problem:
        return asked.see(place, f"It was not posted again: {problem.message}.", wrong=True)
    return asked.see(place, "It is posted again, under the same webhook-id.")


async def _replay(asked: Asked, since: int, until: int) -> tuple[int, bool]:
    """Post a range again, slice by slice; return how many, and whether more were left."""
    number, after, failed = 0, 0, not asked.given.flag("told")
    for at in range(SLICES_MOST):
        if at:
            part = await asked.house.db.write(
                asked.account_id,
                notices.replay_range,
                asked.id(),
                since,
                until,
                after_id=after,
                failed=failed,
            )
        else:
            part = await asked.do(
                "webhook.replay",
                f"webhook {asked.id()}",
                notices.replay_range,
                asked.id(),
                since,
                until,
                failed=failed,
            )
        number += part.n
        if part.last_id is None:
            return number, False
        after = part.last_id
    return number, True


async def _show(asked: Asked, status: int, given: Given) -> Reply:
    before, failed = asked.asks_id("before"), asked.asks("show") == "failed"
    whole = await asked.scan(_whole, asked.id(), before, failed)
    tries = whole.tries
    return pages.page(
        asked,
        status,
        "webhooks/show.html",
        here=HERE,
        one=whole.listed,
        hook=whole.listed.hook,
        waiting=whole.waiting,
        tries=tries,
        before=before,
        failed=failed,
        older=tries[-1].id if len(tries) == PAGE else 0,
        given=given,
    )


async def _show_secret(asked: Asked, hook: Webhook) -> Reply:
    now, master = asked.house.db.clock(), asked.house.links.key
    shown = [keys.shown(keys.secret(master, asked.account_id, hook.id, n)) for n in hook.signers(now)]
    reply = pages.page(asked, 200, "webhooks/secret.html", here=HERE, hook=hook, secrets=shown)
    reply.headers.append(NO_STORE)
    return reply


async def _form(asked: Asked, status: int, given: Given) -> Reply:
    known = await asked.read(picks.load)
    need = next(iter(webhooks.NEEDS.get(given.value("event"), ())), "")
    template = "webhooks/form_parts.html" if asked.fragment else "webhooks/form.html"
    about = _ABOUT.get(need, "")
    return pages.page(
        asked, status, template, here=HERE, given=given, picks=known, events=EVENTS, about=about
    )


def _hears(given: Given, known: Picks) -> Hears:
    """Return the event that was chosen and what it is about."""
    event = given.choice("event", webhooks.NEEDS)
    subject = next(iter(webhooks.NEEDS.get(event, ())), None)
    about = _ABOUT.get(subject or "", "")
    if about in ("tag", "form", "sequence"):
        text = given.text(about, most=300)
        found = known.find(about, text) if text else None
        if found is None:
            given.wrong(about, f"There is no {about} of this name." if text else f"Choose a {about}.")
        return Hears(event, subject, found)
    if about:
        value = given.text(about, "The address of the link" if about == "url" else "The product", needed=True)
        # As through the API: a shop's ids are numbers where they look like one.
        digits = about == "pid" and value.isascii() and value.isdigit() and len(value) < 19
        if digits and int(value):
            return Hears(event, subject, int(value))
        return Hears(event, subject, None, value)
    return Hears(event)


def _moment(given: Given, name: str, zone: str) -> int | None:
    """Return a time that was given in the account's zone; None where none was."""
    text = given.text(name, most=40)
    if not text:
        return None
    try:
        when = datetime.fromisoformat(text)
        local = when if when.tzinfo else when.replace(tzinfo=slots.zone_of(zone, "UTC"))
        return int(local.astimezone(UTC).timestamp() * 1_000)
    except (ValueError, OverflowError):
        given.wrong(name, "This is not a day and an hour, such as 2026-12-24 18:00.")
        return None


def _create(tx: Tx, hears: Hears, target: str) -> Webhook:
    return webhooks.create(
        tx, hears.event, target, subject=hears.subject, subject_id=hears.subject_id, value=hears.value
    )


def _seen(tx: Tx, webhook_id: int) -> Webhook:
    return webhooks.find(tx, webhook_id)


def _words(rx: Rx, hook: Webhook) -> Listed:
    if hook.rule_id is not None:
        try:
            name = automations.find(rx, hook.rule_id).name
        except NotFound:
            name = f"#{hook.rule_id}"
        return Listed(hook, f"the rule “{name}” posts", name)
    if hook.event not in automations.TRIGGERS:
        return Listed(hook, f"somebody {dict(EVENTS).get(hook.event, hook.event)}", "")
    about = hook.value if hook.subject_id is None else str(hook.subject_id)
    return Listed(
        hook, f"somebody {automations.trigger_words(rx, Trigger(hook.event, hook.subject_id, about))}", ""
    )


def _one(rx: Rx, webhook_id: int) -> Listed:
    return _words(rx, webhooks.find(rx, webhook_id))


def _listed(rx: Rx, number: int) -> tuple[list[Listed], bool]:
    found = webhooks.all_webhooks(rx, of_rules=True)
    first = (number - 1) * PAGE
    return [_words(rx, one) for one in found[first : first + PAGE]], len(found) > first + PAGE


def _whole(rx: Rx, webhook_id: int, before: int | None, failed: bool) -> Whole:
    listed = _one(rx, webhook_id)
    tries = notices.log(rx, webhook_id, before_id=before, failed=failed, limit=PAGE)
    return Whole(listed, notices.queued(rx, webhook_id), tries)


def _notice(rx: Rx, webhook_id: int, notice_id: int) -> tuple[Kept, list[Attempt]]:
    found = notices.get(rx, notice_id)
    if found is None or found.webhook_id != webhook_id:
        raise NotFound("notice")
    return found, notices.attempts(rx, notice_id, limit=100)


ROUTES: Final = (
    Route("GET", "/webhooks", VIEWER, show_list),
    Route("POST", "/webhooks", EDITOR, make, 65_536),
    Route("GET", "/webhooks/new", EDITOR, show_new),
    Route("GET", "/webhooks/{id}", VIEWER, show),
    Route("POST", "/webhooks/{id}/secret", OWNER, secret, 16_384),
    Route("POST", "/webhooks/{id}/rotate", OWNER, rotate, 16_384),
    Route("POST", "/webhooks/{id}/switch", EDITOR, switch, 16_384),
    Route("POST", "/webhooks/{id}/test", EDITOR, test, 16_384),
    Route("GET", "/webhooks/{id}/delete", EDITOR, show_delete),
    Route("POST", "/webhooks/{id}/delete", EDITOR, delete, 16_384),
    Route("POST", "/webhooks/{id}/replay", EDITOR, replay, 16_384),
    Route("GET", "/webhooks/{id}/notices/{notice}", VIEWER, show_notice),
    Route("POST", "/webhooks/{id}/notices/{notice}/replay", EDITOR, replay_one, 16_384),
)

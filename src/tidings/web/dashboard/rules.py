"""Rules: what there is, what each does and did, made and changed by form, switched, deleted."""

from typing import Final, NamedTuple

from tidings.core import automations, subscribers
from tidings.core.automations import Chain, Rule, Run, Shown, Would
from tidings.errors import NotFound, Problem
from tidings.store.tx import Rx
from tidings.web import params
from tidings.web.dashboard import merging, pages, picks, rule_form
from tidings.web.dashboard.asked import Asked
from tidings.web.dashboard.given import Given
from tidings.web.dashboard.picks import Picks
from tidings.web.dashboard.routing import EDITOR, VIEWER, Route
from tidings.web.http import Reply

HERE: Final = "rules"
PAGES_MAX: Final = automations.RULES_MAX // automations.LISTED


class Listed(NamedTuple):
    """A rule of the list: in words, and its newest run."""

    shown: Shown
    when: str
    then: list[str]
    latest: Run | None


class Whole(NamedTuple):
    """A rule with all that its page shows."""

    shown: Shown
    when: str
    conditions: list[str]
    actions: list[str]
    webhooks: list[tuple[int, str]]
    chain: Chain
    counts: dict[str, int]
    runs: list[Run]
    people: dict[int, subscribers.Subscriber]


async def show_list(asked: Asked) -> Reply:
    """GET /rules"""
    number = min(asked.page_number, PAGES_MAX)
    found, older = await asked.read(_listed, number)
    return pages.page(
        asked, 200, "rules/list.html", here=HERE, found=found, number=number, newer=number - 1, older=older
    )


async def show(asked: Asked) -> Reply:
    """GET /rules/{id}: one rule, its runs, and what it would do for somebody."""
    return await _show(asked, 200)


async def show_new(asked: Asked) -> Reply:
    """GET /rules/new"""
    return await _form(asked, 200, rule_form.fresh(), None)


async def make(asked: Asked) -> Reply:
    """POST /rules: a step of the form, or the rule."""
    given = asked.given
    if rule_form.step(given):
        return await _form(asked, 200, given, None)
    wish = await asked.read(_wish, given)
    if given.ok:
        try:
            name, on = wish.name, given.flag("on")
            rule = await asked.do("rule.create", name, automations.create, wish, enabled=on)
        except Problem as problem:
            rule_form.blame(given, problem)
        else:
            said = "is on: it acts on what happens from now." if on else "is kept, and is off."
            return asked.see(f"/rules/{rule.id}", f"The rule “{name}” {said}")
    return await _form(asked, 422, given, None)


async def show_edit(asked: Asked) -> Reply:
    """GET /rules/{id}/edit"""
    shown, known = await asked.read(_with_picks, asked.id())
    given = rule_form.of_rule(shown.rule, known)
    given.values["seen"] = str(shown.updated_at)
    return await _form(asked, 200, given, shown.rule)


async def change(asked: Asked) -> Reply:
    """POST /rules/{id}: a step of the form, or the rule as it shall be."""
    given = asked.given
    rule = (await asked.read(automations.show, asked.id())).rule
    if rule_form.step(given):
        return await _form(asked, 200, given, rule)
    wish = await asked.read(_wish, given)
    if given.ok:
        seen = params.integer(given.values.get("seen")) or 0
        try:
            await asked.do("rule.change", wish.name, automations.change, rule.id, wish, seen_at=seen)
        except NotFound:
            raise
        except Problem as problem:
            rule_form.blame(given, problem)
        else:
            return asked.see(f"/rules/{rule.id}", "The rule is changed.")
    return await _form(asked, 422, given, rule)


async def switch(asked: Asked) -> Reply:
    """POST /rules/{id}/switch"""
    rule = (await asked.read(automations.show, asked.id())).rule
    on = asked.given.flag("on")
    await asked.do("rule.on" if on else "rule.off", rule.name, automations.switch, rule.id, on=on)
    said = "is on: it acts on what happens from now." if on else "is off: it does nothing any more."
    back = "/rules" if asked.given.value("back") == "list" else f"/rules/{rule.id}"
    return asked.see(back, f"The rule “{rule.name}” {said}")


async def show_delete(asked: Asked) -> Reply:
    """GET /rules/{id}/delete: the question."""
    shown = await asked.read(automations.show, asked.id())
    return pages.page(asked, 200, "rules/delete.html", here=HERE, shown=shown)


async def delete(asked: Asked) -> Reply:
    """POST /rules/{id}/delete"""
    rule = (await asked.read(automations.show, asked.id())).rule
    await asked.do("rule.delete", rule.name, automations.delete, rule.id)
    return asked.see("/rules", f"The rule “{rule.name}” is deleted. What it did stays.")


async def _show(asked: Asked, status: int) -> Reply:
    before = asked.asks_id("before")
    whole = await asked.scan(_whole, asked.id(), before)
    email = asked.asks("try")
    would, given = None, Given({"try": email} if email else None)
    if email:
        would = await asked.read(_would, asked.id(), email)
        if would is None:
            given.wrong("try", "Nobody in this account has this address.")
    older = whole.runs[-1].id if len(whole.runs) == automations.PAGE else 0
    return pages.page(
        asked,
        status,
        "rules/show.html",
        here=HERE,
        one=whole,
        rule=whole.shown.rule,
        before=before,
        older=older,
        given=given,
        would=would,
        lately=automations.LATELY,
    )


async def _form(asked: Asked, status: int, given: Given, rule: Rule | None) -> Reply:
    known = await asked.read(picks.load)
    template = "rules/form_parts.html" if asked.fragment else "rules/form.html"
    return pages.page(
        asked, status, template, policy=merging.POLICY, here=HERE, given=given, picks=known, rule=rule,
        form=rule_form, groups=await asked.read(merging.of_letter),
    )  # fmt: skip


def _wish(rx: Rx, given: Given) -> automations.Wish:
    return rule_form.wish(rx, given, picks.load(rx))


def _with_picks(rx: Rx, rule_id: int) -> tuple[Shown, Picks]:
    return automations.show(rx, rule_id), picks.load(rx)


def _listed(rx: Rx, number: int) -> tuple[list[Listed], bool]:
    found = automations.listed(rx, number)
    latest = automations.latest(rx, [one.rule.id for one in found])
    older = len(found) == automations.LISTED and bool(automations.listed(rx, number + 1))
    listed = [
        Listed(
            one,
            automations.trigger_words(rx, one.rule.trigger),
            [automations.action_words(rx, each) for each in one.rule.actions],
            latest.get(one.rule.id),
        )
        for one in found
    ]
    return listed, older


def _whole(rx: Rx, rule_id: int, before: int | None) -> Whole:
    shown = automations.show(rx, rule_id)
    rule = shown.rule
    runs = automations.page(rx, rule_id, before=before)
    return Whole(
        shown,
        automations.trigger_words(rx, rule.trigger),
        [automations.condition_words(rx, one) for one in rule.conditions],
        [automations.action_words(rx, one) for one in rule.actions],
        [(one.ref_id, one.value or "") for one in rule.actions if one.kind == "post" and one.ref_id],
        automations.chain(rx, rule_id),
        dict(automations.lately(rx, rule_id)),
        runs,
        subscribers.by_ids(rx, list({one.subscriber_id for one in runs})),
    )


def _would(rx: Rx, rule_id: int, email: str) -> Would | None:
    who = subscribers.find(rx, email)
    return automations.would(rx, rule_id, who.id) if who is not None else None


ROUTES: Final = (
    Route("GET", "/rules", VIEWER, show_list),
    Route("POST", "/rules", EDITOR, make),
    Route("GET", "/rules/new", EDITOR, show_new),
    Route("GET", "/rules/{id}", VIEWER, show),
    Route("POST", "/rules/{id}", EDITOR, change),
    Route("GET", "/rules/{id}/edit", EDITOR, show_edit),
    Route("POST", "/rules/{id}/switch", EDITOR, switch),
    Route("GET", "/rules/{id}/delete", EDITOR, show_delete),
    Route("POST", "/rules/{id}/delete", EDITOR, delete),
)
